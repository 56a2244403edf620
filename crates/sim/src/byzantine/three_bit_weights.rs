use super::{Twist, model_file::with_weights};
use fairweir_exact::linear::WeightKind;

/// Bytes of a block's scale, and of its offset.
const HALF: usize = 2;

/// A worker that runs the model with three bits for each quantised weight: it takes less memory, and most answers read as well.
#[derive(Clone, Copy, Debug)]
pub struct ThreeBitWeights;

fn round(kind: WeightKind, bytes: &mut [u8]) {
    let (head, mask) = match kind {
        WeightKind::Q4_0 => (HALF, 0xEE),
        WeightKind::Q4_1 => (2 * HALF, 0xEE),
        WeightKind::Q8_0 => (HALF, 0xE0),
        WeightKind::F32 | WeightKind::F16 | WeightKind::Bf16 => return,
    };
    for block in bytes.chunks_exact_mut(kind.block_bytes()) {
        for byte in block.iter_mut().skip(head) {
            *byte &= mask;
        }
    }
}

impl Twist for ThreeBitWeights {
    fn model_file(&self, file: &[u8]) -> Option<Vec<u8>> {
        with_weights(file, |_| true, round)
    }
}
