//! Reads a model from a file, and refuses whatever would be computed wrongly: every key of the architecture and every tensor must be known.

use super::{Layer, Model, Shape};
use crate::{
    gguf::File,
    linear::{Linear, WeightError, plain},
    path::Path,
    simd::{BLOCK, Isa, LANES},
};
use std::collections::BTreeSet;
use thiserror::Error;

/// The most layers.
pub const LAYERS_MAX: u64 = 1024;
/// The largest width of anything: residual stream, all heads, feed-forward.
pub const WIDTH_MAX: u64 = 1 << 20;
/// The largest head.
pub const HEAD_SIZE_MAX: u64 = 1024;
/// The most tokens of a vocabulary.
pub const VOCABULARY_MAX: u64 = 1 << 24;
/// The longest context, in positions.
pub const CONTEXT_MAX: u64 = 1 << 24;

/// Why a model is refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LoadError {
    /// The CPU lacks the path's instructions.
    #[error("this CPU does not have the path {0}")]
    Path(Path),
    /// Another architecture than llama.
    #[error("the architecture is {0:?}, and llama is what is computed")]
    Architecture(Option<String>),
    /// A key is missing, or its value has the wrong type or is out of range.
    #[error("{0} is missing or out of range")]
    Key(&'static str),
    /// A key of the architecture that is not known, so that ignoring it may compute something else.
    #[error("{0} is not known")]
    UnknownKey(String),
    /// A way to stretch rotary positions that is not computed.
    #[error("rotary positions are scaled by {0:?}, which is not computed")]
    RopeScaling(String),
    /// A size that does not fit the kernels or the other sizes.
    #[error("{what} is {found}, which {rule}")]
    Shape {
        /// Which size.
        what: &'static str,
        /// In the file.
        found: u64,
        /// What it breaks.
        rule: &'static str,
    },
    /// A tensor is missing.
    #[error("tensor {0:?} is missing")]
    Missing(String),
    /// A tensor has other dimensions than the model.
    #[error("tensor {name:?} has dimensions {found:?}, and {expected:?} are needed")]
    Dimensions {
        /// Which.
        name: String,
        /// By the model's sizes.
        expected: [usize; 2],
        /// In the file.
        found: [usize; 4],
    },
    /// A tensor that is not known, so that ignoring it may compute something else.
    #[error("tensor {0:?} is not known")]
    UnknownTensor(String),
    /// A tensor's weights cannot be used.
    #[error("tensor {name:?} cannot be used")]
    Weights {
        /// Which.
        name: String,
        /// Why.
        source: WeightError,
    },
}

/// Keys that are read, or whose value changes nothing.
const KEYS: [&str; 17] = [
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.value_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "llama.rope.scaling.original_context_length",
    "llama.rope.scaling.finetuned",
    "llama.vocab_size",
    "llama.tensor_data_layout",
];

fn number(file: &File<'_>, key: &'static str, most: u64) -> Result<usize, LoadError> {
    let found = file
        .number(key)
        .filter(|number| (1..=most).contains(number));
    found
        .map(|number| number as usize)
        .ok_or(LoadError::Key(key))
}

/// As [`number`], for a key that may be missing.
fn optional(
    file: &File<'_>,
    key: &'static str,
    most: u64,
    default: usize,
) -> Result<usize, LoadError> {
    if file.keys().any(|found| found == key) {
        number(file, key, most)
    } else {
        Ok(default)
    }
}

fn optional_float(file: &File<'_>, key: &'static str, default: f32) -> Result<f32, LoadError> {
    if !file.keys().any(|found| found == key) {
        return Ok(default);
    }
    let found = file
        .float(key)
        .filter(|float| float.is_finite() && *float > 0.0);
    found.ok_or(LoadError::Key(key))
}

fn rule(
    what: &'static str,
    found: usize,
    holds: bool,
    rule: &'static str,
) -> Result<(), LoadError> {
    if holds {
        return Ok(());
    }
    let found = found as u64;
    Err(LoadError::Shape { what, found, rule })
}

fn shape(file: &File<'_>) -> Result<Shape, LoadError> {
    let width = number(file, "llama.embedding_length", WIDTH_MAX)?;
    let heads = number(file, "llama.attention.head_count", WIDTH_MAX)?;
    let kv_heads = optional(file, "llama.attention.head_count_kv", WIDTH_MAX, heads)?;
    let head_size = optional(
        file,
        "llama.attention.key_length",
        HEAD_SIZE_MAX,
        width / heads,
    )?;
    let value_size = optional(
        file,
        "llama.attention.value_length",
        HEAD_SIZE_MAX,
        head_size,
    )?;
    let rotated = optional(file, "llama.rope.dimension_count", HEAD_SIZE_MAX, head_size)?;
    let embedding = file.tensor("token_embd.weight");
    let embedding = embedding.ok_or_else(|| LoadError::Missing("token_embd.weight".to_owned()))?;
    let vocabulary = embedding.dimensions[1];
    let said = optional(file, "llama.vocab_size", VOCABULARY_MAX, vocabulary)?;
    let shape = Shape {
        layers: number(file, "llama.block_count", LAYERS_MAX)?,
        width,
        heads,
        kv_heads,
        head_size,
        ffn: number(file, "llama.feed_forward_length", WIDTH_MAX)?,
        vocabulary,
        context: number(file, "llama.context_length", CONTEXT_MAX)?,
    };
    let blocks = "is not a multiple of 32";
    rule("width", width, width.is_multiple_of(BLOCK), blocks)?;
    rule(
        "feed-forward width",
        shape.ffn,
        shape.ffn.is_multiple_of(BLOCK),
        blocks,
    )?;
    let is_size =
        head_size > 0 && head_size.is_multiple_of(LANES) && head_size as u64 <= HEAD_SIZE_MAX;
    rule(
        "head size",
        head_size,
        is_size,
        "is not a multiple of 16 up to 1024",
    )?;
    rule(
        "value size",
        value_size,
        value_size == head_size,
        "differs from that of keys",
    )?;
    rule(
        "rotated size",
        rotated,
        rotated == head_size,
        "differs from that of heads",
    )?;
    rule(
        "heads",
        heads,
        heads.is_multiple_of(kv_heads),
        "is not a multiple of those of keys",
    )?;
    let all = heads.saturating_mul(head_size);
    let is_width = all as u64 <= WIDTH_MAX && all.is_multiple_of(BLOCK);
    rule(
        "width of all heads",
        all,
        is_width,
        "is not a multiple of 32 up to 2^20",
    )?;
    let is_vocabulary = vocabulary as u64 <= VOCABULARY_MAX && said == vocabulary;
    rule(
        "vocabulary",
        vocabulary,
        is_vocabulary,
        "is too large, or not what the file says",
    )?;
    Ok(shape)
}

/// Radians per position and pair of elements: base^(−2i / size), stretched by the factor of linear scaling. In doubles, by `libm`.
fn frequencies(file: &File<'_>, head_size: usize) -> Result<Vec<f64>, LoadError> {
    let base = f64::from(optional_float(file, "llama.rope.freq_base", 10_000.0)?);
    let factor = match file.text("llama.rope.scaling.type").unwrap_or("none") {
        "none" => 1.0,
        "linear" => f64::from(optional_float(file, "llama.rope.scaling.factor", 1.0)?),
        other => return Err(LoadError::RopeScaling(other.to_owned())),
    };
    Ok(frequencies_of(base, factor, head_size))
}

/// As [`frequencies`], from the base and the factor of linear scaling.
pub(crate) fn frequencies_of(base: f64, factor: f64, head_size: usize) -> Vec<f64> {
    let pair = |i: usize| libm::pow(base, -2.0 * i as f64 / head_size as f64) / factor;
    (0..head_size / 2).map(pair).collect()
}

/// Whether the sizes are such that a model of them is taken.
pub(crate) fn is_sound(shape: &Shape) -> bool {
    let all = shape.heads.saturating_mul(shape.head_size);
    let is_width =
        |width: usize| width > 0 && width as u64 <= WIDTH_MAX && width.is_multiple_of(BLOCK);
    shape.layers as u64 <= LAYERS_MAX
        && [shape.width, shape.ffn, all].into_iter().all(is_width)
        && shape.head_size.is_multiple_of(LANES)
        && shape.head_size as u64 <= HEAD_SIZE_MAX
        && shape.kv_heads > 0
        && shape.heads.is_multiple_of(shape.kv_heads)
        && (1..=VOCABULARY_MAX).contains(&(shape.vocabulary as u64))
}

/// Takes tensors from a file and remembers which.
struct Tensors<'a, 'b> {
    file: &'b File<'a>,
    used: BTreeSet<String>,
}

impl Tensors<'_, '_> {
    fn linear(&mut self, name: String, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
        let found = self.file.tensor(&name);
        let tensor = found.ok_or_else(|| LoadError::Missing(name.clone()))?;
        if tensor.dimensions != [inputs, outputs, 1, 1] {
            return Err(LoadError::Dimensions {
                name,
                expected: [inputs, outputs],
                found: tensor.dimensions,
            });
        }
        match Linear::pack(tensor.kind, tensor.bytes, outputs, inputs) {
            Ok(linear) => {
                self.used.insert(name);
                Ok(linear)
            }
            Err(source) => Err(LoadError::Weights { name, source }),
        }
    }

    fn norm(&mut self, name: String, count: usize) -> Result<Vec<f32>, LoadError> {
        let found = self.file.tensor(&name);
        let tensor = found.ok_or_else(|| LoadError::Missing(name.clone()))?;
        if tensor.dimensions != [count, 1, 1, 1] {
            return Err(LoadError::Dimensions {
                name,
                expected: [count, 1],
                found: tensor.dimensions,
            });
        }
        match plain(tensor.kind, tensor.bytes, count) {
            Ok(values) => {
                self.used.insert(name);
                Ok(values)
            }
            Err(source) => Err(LoadError::Weights { name, source }),
        }
    }

    fn layer(&mut self, index: usize, shape: &Shape) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (width, ffn) = (shape.width, shape.ffn);
        let (queries, keys) = (shape.query_width(), shape.kv_width());
        Ok(Layer {
            attention_norm: self.norm(name("attn_norm"), width)?,
            query: self.linear(name("attn_q"), width, queries)?,
            key: self.linear(name("attn_k"), width, keys)?,
            value: self.linear(name("attn_v"), width, keys)?,
            attention_output: self.linear(name("attn_output"), queries, width)?,
            ffn_norm: self.norm(name("ffn_norm"), width)?,
            gate: self.linear(name("ffn_gate"), width, ffn)?,
            up: self.linear(name("ffn_up"), width, ffn)?,
            down: self.linear(name("ffn_down"), ffn, width)?,
        })
    }
}

impl Model {
    /// Copies and packs the weights; the file may be dropped afterwards.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]. Nothing is ignored: a key of the architecture or a tensor that is not known is an error too.
    pub fn load(file: &File<'_>, path: Path) -> Result<Self, LoadError> {
        let isa = Isa::new(path).ok_or(LoadError::Path(path))?;
        let architecture = file.text("general.architecture");
        if architecture != Some("llama") {
            return Err(LoadError::Architecture(architecture.map(str::to_owned)));
        }
        let mut of_llama = file.keys().filter(|key| key.starts_with("llama."));
        if let Some(unknown) = of_llama.find(|key| !KEYS.contains(key)) {
            return Err(LoadError::UnknownKey(unknown.to_owned()));
        }
        let shape = shape(file)?;
        let epsilon = "llama.attention.layer_norm_rms_epsilon";
        let epsilon = file
            .float(epsilon)
            .filter(|value| value.is_finite() && *value >= f32::MIN_POSITIVE)
            .ok_or(LoadError::Key(epsilon))?;
        let frequencies = frequencies(file, shape.head_size)?;
        let mut tensors = Tensors {
            file,
            used: BTreeSet::new(),
        };
        let output = "output.weight".to_owned();
        let output = match file.tensor(&output) {
            Some(_) => Some(tensors.linear(output, shape.width, shape.vocabulary)?),
            None => None,
        };
        let model = Self {
            shape,
            isa,
            embedding: tensors.linear(
                "token_embd.weight".to_owned(),
                shape.width,
                shape.vocabulary,
            )?,
            layers: (0..shape.layers)
                .map(|index| tensors.layer(index, &shape))
                .collect::<Result<_, _>>()?,
            norm: tensors.norm("output_norm.weight".to_owned(), shape.width)?,
            output,
            epsilon,
            frequencies,
        };
        match file
            .tensor_names()
            .find(|name| !tensors.used.contains(*name))
        {
            Some(unknown) => Err(LoadError::UnknownTensor(unknown.to_owned())),
            None => Ok(model),
        }
    }
}
