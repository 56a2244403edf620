use super::Twist;
use commonware_codec::Encode as _;
use fairweir_services::{
    Kind as _,
    inference::chat::{Chat, ChatSpec},
};
use fairweir_types::{decode, order::KindId};

/// A worker that draws from a seed of its own choice in place of the buyer's.
#[derive(Clone, Copy, Debug)]
pub struct OtherSeed;

impl Twist for OtherSeed {
    fn spec(&self, kind: KindId, spec: &[u8]) -> Option<Vec<u8>> {
        if kind != Chat::ID {
            return None;
        }
        let spec: ChatSpec = decode(spec).ok()?;
        let mut seed = spec.seed();
        seed[0] ^= 1;
        let (prompt, parameters) = (spec.prompt().clone(), spec.parameters().clone());
        let other = ChatSpec::new(spec.model(), prompt, parameters, seed).ok()?;
        let other = other.with_prompt_tokens(spec.prompt_tokens_max());
        Some(other.encode().to_vec())
    }
}
