//! Writes safetensors files.

use super::Random;
use crate::{bert::EncoderShape, linear::WeightKind};
use std::fmt::Write as _;

/// Collects tensors of a file.
#[derive(Clone, Debug, Default)]
pub struct SafetensorsWriter {
    header: String,
    data: Vec<u8>,
}

impl SafetensorsWriter {
    /// Adds a tensor of plain weights; the last dimension runs fastest.
    #[must_use]
    pub fn tensor(mut self, name: &str, shape: &[usize], kind: WeightKind, bytes: &[u8]) -> Self {
        let kind = match kind {
            WeightKind::F16 => "F16",
            WeightKind::Bf16 => "BF16",
            _ => "F32",
        };
        let from = self.data.len();
        self.data.extend_from_slice(bytes);
        let comma = if self.header.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(
            self.header,
            r#"{comma}"{name}":{{"dtype":"{kind}","shape":{shape:?},"data_offsets":[{from},{}]}}"#,
            self.data.len()
        );
        self
    }

    /// The file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let header = format!(r#"{{"__metadata__":{{"format":"pt"}},{}}}"#, self.header);
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(&self.data);
        file
    }
}

/// Two layers of two heads, 96 tokens.
#[must_use]
pub fn tiny_encoder_shape() -> EncoderShape {
    EncoderShape {
        layers: 2,
        width: 64,
        heads: 2,
        ffn: 96,
        vocabulary: 96,
        max_positions: 64,
    }
}

/// An encoder with pseudo-random weights and its configuration.
#[must_use]
pub fn tiny_encoder(seed: u64, shape: &EncoderShape) -> (Vec<u8>, String) {
    let mut random = Random::new(seed);
    let (width, ffn) = (shape.width, shape.ffn);
    let mut writer = SafetensorsWriter::default();
    let mut add = |name: &str, sizes: &[usize]| {
        let inputs = sizes.last().copied().unwrap_or(1);
        let outputs = if sizes.len() > 1 { sizes[0] } else { 1 };
        let bytes = super::gguf::weights(&mut random, WeightKind::F32, inputs, outputs);
        writer = std::mem::take(&mut writer).tensor(name, sizes, WeightKind::F32, &bytes);
    };
    add(
        "embeddings.word_embeddings.weight",
        &[shape.vocabulary, width],
    );
    add(
        "embeddings.position_embeddings.weight",
        &[shape.max_positions, width],
    );
    add("embeddings.token_type_embeddings.weight", &[2, width]);
    add("embeddings.LayerNorm.weight", &[width]);
    add("embeddings.LayerNorm.bias", &[width]);
    for layer in 0..shape.layers {
        for (part, outputs, inputs) in [
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", ffn, width),
            ("output.dense", width, ffn),
        ] {
            add(
                &format!("encoder.layer.{layer}.{part}.weight"),
                &[outputs, inputs],
            );
            add(&format!("encoder.layer.{layer}.{part}.bias"), &[outputs]);
        }
        for norm in ["attention.output.LayerNorm", "output.LayerNorm"] {
            add(&format!("encoder.layer.{layer}.{norm}.weight"), &[width]);
            add(&format!("encoder.layer.{layer}.{norm}.bias"), &[width]);
        }
    }
    let config = format!(
        r#"{{"model_type":"bert","hidden_act":"gelu","hidden_size":{width},"intermediate_size":{ffn},"num_attention_heads":{},
"num_hidden_layers":{},"max_position_embeddings":{},"type_vocab_size":2,"vocab_size":{},"layer_norm_eps":1e-12}}"#,
        shape.heads, shape.layers, shape.max_positions, shape.vocabulary
    );
    (writer.finish(), config)
}
