//! Models of the llama family, from GGUF: decoding, prefill and checking are one function, [`Model::step`].

mod load;
mod step;

pub use load::{CONTEXT_MAX, HEAD_SIZE_MAX, LAYERS_MAX, LoadError, VOCABULARY_MAX, WIDTH_MAX};
pub(crate) use load::{frequencies_of, is_sound};
pub(crate) use step::rotate;
pub use step::{StepError, Workspace};

use crate::{cache::SequenceId, linear::Linear, path::Path, simd::Isa};

/// The sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Elements of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; divides the query heads.
    pub kv_heads: usize,
    /// Elements per head.
    pub head_size: usize,
    /// Elements between the feed-forward matrices.
    pub ffn: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// The most positions of a sequence.
    pub context: usize,
}

impl Shape {
    /// Elements of all query heads.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Elements of all heads of keys, and as many of values.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }
}

/// The most rows of a step, so that working memory is bounded: at most this many times the widths of a layer, and logits if wanted.
pub const STEP_ROWS_MAX: usize = 4096;

/// One token of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub sequence: SequenceId,
    /// The sequence's length, and one more for each row of the sequence before this one in the step.
    pub position: u32,
    /// Which token.
    pub token: u32,
    /// Whether the logits of the next token are wanted.
    pub wants_logits: bool,
}

/// Logits of a step, one row per [`Row`] that wants them, in their order. To be used again for the next step: its memory is kept.
#[derive(Clone, Debug, Default)]
pub struct Logits {
    pub(crate) values: Vec<f32>,
    pub(crate) count: usize,
    pub(crate) stride: usize,
    pub(crate) vocabulary: usize,
}

impl Logits {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.count
    }

    /// A row, as wide as the vocabulary. Panics if there are not so many rows.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        assert!(index < self.count, "row {index} of {}", self.count);
        &self.values[index * self.stride..][..self.vocabulary]
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) attention_output: Linear,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// A model in memory, its weights packed.
#[derive(Clone, Debug)]
pub struct Model {
    shape: Shape,
    pub(crate) isa: Isa,
    pub(crate) embedding: Linear,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    /// None where the embedding is used.
    pub(crate) output: Option<Linear>,
    pub(crate) epsilon: f32,
    /// Radians per position, for each pair of elements of a head.
    pub(crate) frequencies: Vec<f64>,
}

impl Model {
    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Which instructions it uses; results do not depend on it.
    #[must_use]
    pub fn path(&self) -> Path {
        self.isa.path()
    }

    /// Bytes of weights in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            let matrices = [
                &layer.query,
                &layer.key,
                &layer.value,
                &layer.attention_output,
                &layer.gate,
                &layer.up,
                &layer.down,
            ];
            let norms = layer.attention_norm.len() + layer.ffn_norm.len();
            matrices.into_iter().map(Linear::bytes).sum::<usize>() + norms * 4
        };
        self.embedding.bytes()
            + self.output.as_ref().map_or(0, Linear::bytes)
            + self.layers.iter().map(layer).sum::<usize>()
            + self.norm.len() * 4
    }
}
