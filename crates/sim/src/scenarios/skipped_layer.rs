//! A worker leaves out a layer of the model. Every verifier comes to another trace, and the buyer has every base unit back.

use crate::byzantine::Behaviour;

pub(super) fn run(seed: u64) {
    super::wrong_output::at_inference(seed, Behaviour::SkippedLayer);
}
