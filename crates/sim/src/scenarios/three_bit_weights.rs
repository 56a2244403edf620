//! A worker runs the model with three bits for each weight. Every verifier comes to another trace, and the buyer has every base unit back.

use crate::byzantine::Behaviour;

pub(super) fn run(seed: u64) {
    super::wrong_output::at_inference(seed, Behaviour::ThreeBitWeights);
}
