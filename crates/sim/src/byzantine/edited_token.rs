use super::Twist;
use commonware_codec::Encode as _;
use fairweir_services::{
    Executed, Kind as _,
    inference::chat::{Chat, ChatOutput},
};
use fairweir_types::{
    BoundedVec, decode,
    order::{Demand, KindId},
};

/// A worker that runs the model as it should and changes one token of the answer, in its middle; the hint says so too.
#[derive(Clone, Copy, Debug)]
pub struct EditedToken;

impl Twist for EditedToken {
    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        if kind != Chat::ID {
            return executed;
        }
        let Ok(mut output) = decode::<ChatOutput>(&executed.output) else {
            return executed;
        };
        let mut tokens = output.tokens.as_slice().to_vec();
        let middle = tokens.len() / 2;
        let Some(token) = tokens.get_mut(middle) else {
            return executed;
        };
        *token ^= 1;
        let hint = tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        output.tokens = BoundedVec::truncating(tokens);
        Executed {
            output: output.encode().to_vec(),
            hint,
            ..executed
        }
    }
}
