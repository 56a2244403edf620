use super::{Twist, twisted_recorder::ForgedRecord};
use commonware_codec::Encode as _;
use fairweir_services::{
    Executed, Kind as _,
    appeal::Record,
    inference::chat::{Chat, ChatOutput},
};
use fairweir_types::{
    decode,
    order::{Demand, KindId},
};
use std::sync::Arc;

/// A worker whose trace is not that of its computation, and who insists on it before the referee.
#[derive(Clone, Copy, Debug)]
pub struct ForgedTrace;

impl Twist for ForgedTrace {
    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        let output = decode::<ChatOutput>(&executed.output);
        let Some(mut output) = output.ok().filter(|_| kind == Chat::ID) else {
            return executed;
        };
        output.computation.0[0] ^= 1;
        Executed {
            output: output.encode().to_vec(),
            ..executed
        }
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(ForgedRecord::of(record))
    }
}
