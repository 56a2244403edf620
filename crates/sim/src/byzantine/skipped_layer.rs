use super::{Twist, model_file::with_weights};

/// A worker that leaves out the model's second layer: what it adds to the stream of activations is nothing.
#[derive(Clone, Copy, Debug)]
pub struct SkippedLayer;

impl Twist for SkippedLayer {
    fn model_file(&self, file: &[u8]) -> Option<Vec<u8>> {
        let adds = ["blk.1.attn_output.weight", "blk.1.ffn_down.weight"];
        // Zero bytes are zero weights, whatever their kind: scales are zero too.
        with_weights(file, |name| adds.contains(&name), |_, bytes| bytes.fill(0))
    }
}
