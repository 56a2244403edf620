//! Writes GGUF files.

use super::Random;
use crate::{linear::WeightKind, llama::Shape};

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An unsigned integer of 32 bits.
    Number(u32),
    /// A single.
    Float(f32),
    /// A flag.
    Flag(bool),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// An array of integers of 32 bits.
    Numbers(Vec<i32>),
}

/// Collects entries and tensors of a file.
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    entries: Vec<(String, Entry)>,
    tensors: Vec<(String, Vec<u64>, WeightKind, Vec<u8>)>,
}

const ALIGNMENT: usize = 32;

impl GgufWriter {
    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, key: &str, value: Entry) -> Self {
        self.entries.push((key.to_owned(), value));
        self
    }

    /// Adds a tensor; the first dimension runs fastest.
    #[must_use]
    pub fn tensor(
        mut self,
        name: &str,
        dimensions: &[u64],
        kind: WeightKind,
        bytes: Vec<u8>,
    ) -> Self {
        self.tensors
            .push((name.to_owned(), dimensions.to_vec(), kind, bytes));
        self
    }

    /// The file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            text(&mut file, key);
            entry(&mut file, value);
        }
        let mut offset = 0usize;
        for (name, dimensions, kind, bytes) in &self.tensors {
            text(&mut file, name);
            file.extend((dimensions.len() as u32).to_le_bytes());
            for dimension in dimensions {
                file.extend(dimension.to_le_bytes());
            }
            file.extend(number(*kind).to_le_bytes());
            file.extend((offset as u64).to_le_bytes());
            offset = (offset + bytes.len()).next_multiple_of(ALIGNMENT);
        }
        for (_, _, _, bytes) in &self.tensors {
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(bytes);
        }
        file
    }
}

fn number(kind: WeightKind) -> u32 {
    match kind {
        WeightKind::F32 => 0,
        WeightKind::F16 => 1,
        WeightKind::Q4_0 => 2,
        WeightKind::Q4_1 => 3,
        WeightKind::Q8_0 => 8,
        WeightKind::Bf16 => 30,
    }
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn entry(file: &mut Vec<u8>, value: &Entry) {
    let kind: u32 = match value {
        Entry::Number(_) => 4,
        Entry::Float(_) => 6,
        Entry::Flag(_) => 7,
        Entry::Text(_) => 8,
        Entry::Texts(_) | Entry::Numbers(_) => 9,
    };
    file.extend(kind.to_le_bytes());
    match value {
        Entry::Number(number) => file.extend(number.to_le_bytes()),
        Entry::Float(float) => file.extend(float.to_le_bytes()),
        Entry::Flag(flag) => file.push(u8::from(*flag)),
        Entry::Text(value) => text(file, value),
        Entry::Texts(values) => {
            file.extend(8u32.to_le_bytes());
            file.extend((values.len() as u64).to_le_bytes());
            for value in values {
                text(file, value);
            }
        }
        Entry::Numbers(values) => {
            file.extend(5u32.to_le_bytes());
            file.extend((values.len() as u64).to_le_bytes());
            for value in values {
                file.extend(value.to_le_bytes());
            }
        }
    }
}

/// Two layers, grouped heads, 96 tokens: small enough for thousands of steps in a test.
#[must_use]
pub fn tiny_shape() -> Shape {
    Shape {
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_size: 16,
        ffn: 96,
        vocabulary: 96,
        context: 256,
    }
}

/// Pseudo-random weights of a kind. Their spread keeps activations near one.
pub(super) fn weights(
    random: &mut Random,
    kind: WeightKind,
    inputs: usize,
    outputs: usize,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let spread = (3.0 / inputs as f32).sqrt();
    for _ in 0..inputs * outputs / kind.block_weights() {
        match kind {
            WeightKind::F32 => bytes.extend((random.float() * spread).to_le_bytes()),
            WeightKind::F16 => bytes.extend(to_half(random.float() * spread).to_le_bytes()),
            WeightKind::Bf16 => {
                let bits = (random.float() * spread).to_bits() >> 16;
                bytes.extend((bits as u16).to_le_bytes());
            }
            WeightKind::Q4_0 | WeightKind::Q4_1 => {
                let scale = spread / 8.0 * (1.0 + 0.2 * random.float());
                bytes.extend(to_half(scale).to_le_bytes());
                if kind == WeightKind::Q4_1 {
                    bytes.extend(to_half(-7.5 * scale).to_le_bytes());
                }
                bytes.extend((0..16).map(|_| random.next_u64() as u8));
            }
            WeightKind::Q8_0 => {
                bytes.extend(to_half(spread / 128.0 * (1.0 + 0.2 * random.float())).to_le_bytes());
                bytes.extend((0..32).map(|_| random.next_u64() as u8));
            }
        }
    }
    bytes
}

/// The half below a single that is neither tiny nor huge.
fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let exponent = ((bits >> 23) & 0xff).saturating_sub(112).min(30);
    let sign = (bits >> 16) & 0x8000;
    if exponent == 0 {
        return sign as u16;
    }
    (sign | (exponent << 10) | ((bits >> 13) & 0x3ff)) as u16
}

fn norm(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|_| (1.0 + 0.1 * random.float()).to_le_bytes())
        .collect()
}

/// A llama model with pseudo-random weights: the kinds of matrices take turns by layer and part, the embedding is `Q8_0`, and for odd
/// seeds the output matrix is one of its own. `extra` entries, such as those of a tokenizer, stand behind those of the model.
#[must_use]
pub fn tiny_gguf(seed: u64, shape: &Shape, extra: &[(String, Entry)]) -> Vec<u8> {
    let mut random = Random::new(seed);
    let number = |value: usize| Entry::Number(value as u32);
    let mut writer = GgufWriter::default()
        .entry("general.architecture", Entry::Text("llama".to_owned()))
        .entry("llama.block_count", number(shape.layers))
        .entry("llama.context_length", number(shape.context))
        .entry("llama.embedding_length", number(shape.width))
        .entry("llama.feed_forward_length", number(shape.ffn))
        .entry("llama.attention.head_count", number(shape.heads))
        .entry("llama.attention.head_count_kv", number(shape.kv_heads))
        .entry("llama.attention.key_length", number(shape.head_size))
        .entry("llama.attention.value_length", number(shape.head_size))
        .entry("llama.attention.layer_norm_rms_epsilon", Entry::Float(1e-5))
        .entry("llama.rope.freq_base", Entry::Float(10_000.0));
    for (key, value) in extra {
        writer = writer.entry(key, value.clone());
    }
    let mut kinds = [
        WeightKind::Q4_1,
        WeightKind::Q8_0,
        WeightKind::Q4_0,
        WeightKind::F16,
        WeightKind::F32,
        WeightKind::Q4_1,
    ]
    .into_iter()
    .cycle();
    let mut matrix =
        |writer: GgufWriter, random: &mut Random, name: &str, inputs: usize, outputs: usize| {
            let kind = kinds.next().unwrap_or(WeightKind::F32);
            let bytes = weights(random, kind, inputs, outputs);
            writer.tensor(name, &[inputs as u64, outputs as u64], kind, bytes)
        };
    let (width, ffn) = (shape.width, shape.ffn);
    let (queries, keys) = (
        shape.heads * shape.head_size,
        shape.kv_heads * shape.head_size,
    );
    let embedding = weights(&mut random, WeightKind::Q8_0, width, shape.vocabulary);
    let sizes = [width as u64, shape.vocabulary as u64];
    writer = writer.tensor("token_embd.weight", &sizes, WeightKind::Q8_0, embedding);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        for part in ["attn_norm", "ffn_norm"] {
            let bytes = norm(&mut random, width);
            writer = writer.tensor(&name(part), &[width as u64], WeightKind::F32, bytes);
        }
        for (part, inputs, outputs) in [
            ("attn_q", width, queries),
            ("attn_k", width, keys),
            ("attn_v", width, keys),
            ("attn_output", queries, width),
            ("ffn_gate", width, ffn),
            ("ffn_up", width, ffn),
            ("ffn_down", ffn, width),
        ] {
            writer = matrix(writer, &mut random, &name(part), inputs, outputs);
        }
    }
    let bytes = norm(&mut random, width);
    writer = writer.tensor(
        "output_norm.weight",
        &[width as u64],
        WeightKind::F32,
        bytes,
    );
    if seed % 2 == 1 {
        writer = matrix(
            writer,
            &mut random,
            "output.weight",
            width,
            shape.vocabulary,
        );
    }
    writer.finish()
}
