use super::Twist;
use fairweir_services::Executed;
use fairweir_types::order::{Demand, KindId};

/// A worker that flips a byte of its output: the cheapest forgery there is.
#[derive(Clone, Copy, Debug)]
pub struct WrongOutput;

impl Twist for WrongOutput {
    fn execution(&self, _: KindId, mut executed: Executed, _: &Demand) -> Executed {
        if let Some(last) = executed.output.last_mut() {
            *last ^= 1;
        }
        executed
    }
}
