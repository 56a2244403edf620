//! Encoders of the BERT family that turn a text into a vector, as sentence-transformers does with MiniLM: mean over tokens, then length one.
//!
//! Weights are used as they are, without quantising. A text's vector is the same bits whatever else is in its batch: texts are not padded, and
//! every token is a row of its own.

mod encode;
mod load;

pub use encode::EncodeError;
pub use load::EncoderError;

use crate::{linear::Linear, path::Path, simd::Isa};

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncoderShape {
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Elements of a vector.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Elements between the feed-forward matrices.
    pub ffn: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// The most tokens of a text.
    pub max_positions: usize,
}

/// A matrix and what is added to its outputs.
#[derive(Clone, Debug)]
struct Affine {
    matrix: Linear,
    bias: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Layer {
    query: Affine,
    key: Affine,
    value: Affine,
    output: Affine,
    attention_norm: Norm,
    up: Affine,
    down: Affine,
    norm: Norm,
}

/// An encoder in memory, its weights packed.
#[derive(Clone, Debug)]
pub struct Encoder {
    shape: EncoderShape,
    isa: Isa,
    words: Linear,
    positions: Linear,
    /// The embedding of the first kind of text.
    kind: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    epsilon: f32,
}

impl Encoder {
    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> &EncoderShape {
        &self.shape
    }

    /// Which instructions it uses; results do not depend on it.
    #[must_use]
    pub fn path(&self) -> Path {
        self.isa.path()
    }

    /// Bytes of matrices in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            let affines = [
                &layer.query,
                &layer.key,
                &layer.value,
                &layer.output,
                &layer.up,
                &layer.down,
            ];
            let bytes = |affine: &Affine| affine.matrix.bytes() + affine.bias.len() * 4;
            affines.into_iter().map(bytes).sum::<usize>()
        };
        self.words.bytes() + self.positions.bytes() + self.layers.iter().map(layer).sum::<usize>()
    }
}
