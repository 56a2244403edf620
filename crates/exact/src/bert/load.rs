//! Reads an encoder from a file and its configuration, and refuses what would be computed wrongly.

use super::{Affine, Encoder, EncoderShape, Layer, Norm};
use crate::{
    linear::{Linear, WeightError, plain},
    path::Path,
    safetensors::{File, Tensor},
    simd::{BLOCK, Isa, LANES},
};
use serde::Deserialize;
use std::collections::BTreeSet;
use thiserror::Error;

/// The longest configuration, in bytes.
const CONFIG_BYTES_MAX: usize = 1 << 16;
/// The most layers.
const LAYERS_MAX: u64 = 256;
/// The largest width of anything.
const WIDTH_MAX: u64 = 1 << 16;
/// The most tokens, and the most positions.
const TOKENS_MAX: u64 = 1 << 24;

/// Why an encoder is refused.
#[derive(Debug, Error)]
pub enum EncoderError {
    /// The CPU lacks the path's instructions.
    #[error("this CPU does not have the path {0}")]
    Path(Path),
    /// The configuration cannot be read.
    #[error("the configuration cannot be read")]
    Json(#[from] serde_json::Error),
    /// The configuration is too long.
    #[error("a configuration of {0} bytes")]
    ConfigLength(usize),
    /// Something that is not computed.
    #[error("{what} is {found:?}, which is not computed")]
    Unsupported {
        /// Key of the configuration.
        what: &'static str,
        /// In the configuration.
        found: String,
    },
    /// A size that is out of range, or does not fit the kernels or the other sizes.
    #[error("{what} is {found}, which does not fit")]
    Shape {
        /// Key of the configuration.
        what: &'static str,
        /// In the configuration.
        found: u64,
    },
    /// A tensor is missing.
    #[error("tensor {0:?} is missing")]
    Missing(String),
    /// A tensor has other sizes than the model.
    #[error("tensor {name:?} has sizes {found:?}, and {expected:?} are needed")]
    Dimensions {
        /// Which.
        name: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
    /// A tensor's elements are not weights.
    #[error("tensor {0:?} is not of weights")]
    NotWeights(String),
    /// A tensor's weights cannot be used.
    #[error("tensor {name:?} cannot be used")]
    Weights {
        /// Which.
        name: String,
        /// Why.
        source: WeightError,
    },
    /// A tensor that is not known, so that ignoring it may compute something else.
    #[error("tensor {0:?} is not known")]
    UnknownTensor(String),
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default)]
    is_decoder: bool,
    hidden_size: u64,
    intermediate_size: u64,
    num_attention_heads: u64,
    num_hidden_layers: u64,
    max_position_embeddings: u64,
    type_vocab_size: u64,
    vocab_size: u64,
    layer_norm_eps: f32,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// Tensors that do not matter for the vector of a text: buffers, and heads for other tasks.
fn is_unused(name: &str) -> bool {
    name == "embeddings.position_ids" || name.starts_with("pooler.") || name.starts_with("cls.")
}

impl Config {
    fn shape(&self) -> Result<EncoderShape, EncoderError> {
        let only = |what, found: &str, computed| {
            let found = found.to_owned();
            if found == computed {
                Ok(())
            } else {
                Err(EncoderError::Unsupported { what, found })
            }
        };
        only("model_type", &self.model_type, "bert")?;
        only("hidden_act", &self.hidden_act, "gelu")?;
        only(
            "position_embedding_type",
            &self.position_embedding_type,
            "absolute",
        )?;
        only("is_decoder", &self.is_decoder.to_string(), "false")?;
        let size = |what, found: u64, most, multiple: usize| {
            let fits = (1..=most).contains(&found) && (found as usize).is_multiple_of(multiple);
            if fits {
                Ok(found as usize)
            } else {
                Err(EncoderError::Shape { what, found })
            }
        };
        let width = size("hidden_size", self.hidden_size, WIDTH_MAX, BLOCK)?;
        let heads = size(
            "num_attention_heads",
            self.num_attention_heads,
            WIDTH_MAX,
            1,
        )?;
        if !width.is_multiple_of(heads * LANES) {
            let found = self.num_attention_heads;
            return Err(EncoderError::Shape {
                what: "num_attention_heads",
                found,
            });
        }
        let epsilon = self.layer_norm_eps;
        if !(f32::MIN_POSITIVE..1.0).contains(&epsilon) {
            let found = epsilon.to_string();
            return Err(EncoderError::Unsupported {
                what: "layer_norm_eps",
                found,
            });
        }
        size("type_vocab_size", self.type_vocab_size, TOKENS_MAX, 1)?;
        Ok(EncoderShape {
            layers: size("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX, 1)?,
            width,
            heads,
            ffn: size(
                "intermediate_size",
                self.intermediate_size,
                WIDTH_MAX,
                BLOCK,
            )?,
            vocabulary: size("vocab_size", self.vocab_size, TOKENS_MAX, 1)?,
            max_positions: size(
                "max_position_embeddings",
                self.max_position_embeddings,
                TOKENS_MAX,
                1,
            )?,
        })
    }
}

/// Takes tensors from a file and remembers which.
struct Tensors<'a, 'b> {
    file: &'b File<'a>,
    /// What all names begin with: nothing, or the model's name.
    prefix: &'static str,
    used: BTreeSet<String>,
}

impl<'a, 'b> Tensors<'a, 'b> {
    fn take(
        &mut self,
        name: &str,
        expected: &[usize],
    ) -> Result<(String, &'b Tensor<'a>), EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let found = self.file.tensor(&name);
        let tensor = found.ok_or_else(|| EncoderError::Missing(name.clone()))?;
        if tensor.shape != expected {
            return Err(EncoderError::Dimensions {
                name,
                expected: expected.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        self.used.insert(name.clone());
        Ok((name, tensor))
    }

    fn matrix(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Linear, EncoderError> {
        let (name, tensor) = self.take(name, &[outputs, inputs])?;
        let kind = tensor
            .kind
            .ok_or_else(|| EncoderError::NotWeights(name.clone()))?;
        Linear::pack(kind, tensor.bytes, outputs, inputs)
            .map_err(|source| EncoderError::Weights { name, source })
    }

    fn vector(&mut self, name: &str, count: usize) -> Result<Vec<f32>, EncoderError> {
        let (name, tensor) = self.take(name, &[count])?;
        let kind = tensor
            .kind
            .ok_or_else(|| EncoderError::NotWeights(name.clone()))?;
        plain(kind, tensor.bytes, count).map_err(|source| EncoderError::Weights { name, source })
    }

    fn affine(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Affine, EncoderError> {
        Ok(Affine {
            matrix: self.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: self.vector(&format!("{name}.bias"), outputs)?,
        })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, EncoderError> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), width)?,
            bias: self.vector(&format!("{name}.bias"), width)?,
        })
    }

    fn layer(&mut self, index: usize, shape: &EncoderShape) -> Result<Layer, EncoderError> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let (width, ffn) = (shape.width, shape.ffn);
        Ok(Layer {
            query: self.affine(&name("attention.self.query"), width, width)?,
            key: self.affine(&name("attention.self.key"), width, width)?,
            value: self.affine(&name("attention.self.value"), width, width)?,
            output: self.affine(&name("attention.output.dense"), width, width)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            up: self.affine(&name("intermediate.dense"), ffn, width)?,
            down: self.affine(&name("output.dense"), width, ffn)?,
            norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }
}

impl Encoder {
    /// Copies and packs the weights; the bytes may be dropped afterwards. `config` is the `config.json` beside the weights.
    ///
    /// # Errors
    ///
    /// See [`EncoderError`].
    pub fn load(file: &File<'_>, config: &[u8], path: Path) -> Result<Self, EncoderError> {
        let isa = Isa::new(path).ok_or(EncoderError::Path(path))?;
        if config.len() > CONFIG_BYTES_MAX {
            return Err(EncoderError::ConfigLength(config.len()));
        }
        let config: Config = serde_json::from_slice(config)?;
        let shape = config.shape()?;
        let word_embeddings = "embeddings.word_embeddings.weight";
        let is_bare = file.tensor(word_embeddings).is_some();
        let mut tensors = Tensors {
            file,
            prefix: if is_bare { "" } else { "bert." },
            used: BTreeSet::new(),
        };
        let kinds = config.type_vocab_size as usize;
        let kinds = tensors.matrix(
            "embeddings.token_type_embeddings.weight",
            kinds,
            shape.width,
        )?;
        let mut kind = vec![0.0; shape.width];
        kinds.row(isa, 0, &mut kind);
        let positions = "embeddings.position_embeddings.weight";
        let encoder = Self {
            shape,
            isa,
            words: tensors.matrix(word_embeddings, shape.vocabulary, shape.width)?,
            positions: tensors.matrix(positions, shape.max_positions, shape.width)?,
            kind,
            norm: tensors.norm("embeddings.LayerNorm", shape.width)?,
            layers: (0..shape.layers)
                .map(|index| tensors.layer(index, &shape))
                .collect::<Result<_, _>>()?,
            epsilon: config.layer_norm_eps,
        };
        let unknown = file.tensor_names().find(|name| {
            let bare = name.strip_prefix(tensors.prefix).unwrap_or(name);
            !tensors.used.contains(*name) && !is_unused(bare)
        });
        match unknown {
            Some(name) => Err(EncoderError::UnknownTensor(name.to_owned())),
            None => Ok(encoder),
        }
    }
}
