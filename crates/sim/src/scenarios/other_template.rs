//! A worker makes the prompt by a template that is not the model's. Every verifier comes to another trace, and the buyer has every base unit back.

use crate::byzantine::Behaviour;

pub(super) fn run(seed: u64) {
    super::wrong_output::at_inference(seed, Behaviour::OtherTemplate);
}
