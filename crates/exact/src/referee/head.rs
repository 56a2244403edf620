//! Reads the head of a GGUF file step by step, each within a window of bytes, to learn where its tensors are.
//!
//! It trusts that the file is one that [`crate::llama::Model::load`] takes: a run on another cannot be, so nobody has one to defend.

use super::RefereeError;
use crate::{
    gguf::{scalar_bytes, weight_kind},
    linear::WeightKind,
    llama::Shape,
};
use std::collections::BTreeMap;

/// Bytes that one step sees at most.
pub const WINDOW: usize = 16 * 1024;

const ALIGNMENT: usize = 7;
const SCALING: usize = 9;
/// Keys whose values count.
const KEYS: [&str; 11] = [
    "llama.block_count",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "general.alignment",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
];

/// Parts of a layer that have weights, by the names of their tensors.
const PARTS: [&str; 9] = [
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

/// A tensor of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tensor {
    Embedding,
    OutputNorm,
    Output,
    AttentionNorm(usize),
    Query(usize),
    Key(usize),
    Value(usize),
    AttentionOutput(usize),
    FfnNorm(usize),
    Gate(usize),
    Up(usize),
    Down(usize),
}

impl Tensor {
    fn number(self) -> u32 {
        let of_layer = |layer: usize, part: usize| 3 + (layer * PARTS.len() + part) as u32;
        match self {
            Self::Embedding => 0,
            Self::OutputNorm => 1,
            Self::Output => 2,
            Self::AttentionNorm(layer) => of_layer(layer, 0),
            Self::Query(layer) => of_layer(layer, 1),
            Self::Key(layer) => of_layer(layer, 2),
            Self::Value(layer) => of_layer(layer, 3),
            Self::AttentionOutput(layer) => of_layer(layer, 4),
            Self::FfnNorm(layer) => of_layer(layer, 5),
            Self::Gate(layer) => of_layer(layer, 6),
            Self::Up(layer) => of_layer(layer, 7),
            Self::Down(layer) => of_layer(layer, 8),
        }
    }
}

/// The number of a tensor by its name.
fn number_of(name: &str) -> Option<u32> {
    match name {
        "token_embd.weight" => return Some(0),
        "output_norm.weight" => return Some(1),
        "output.weight" => return Some(2),
        _ => {}
    }
    let mut words = name
        .strip_prefix("blk.")?
        .strip_suffix(".weight")?
        .split('.');
    let (layer, part) = (words.next()?, words.next()?);
    let layer: u32 = layer.parse().ok().filter(|layer| *layer < 1024)?;
    let part = PARTS.iter().position(|known| *known == part)?;
    Some(3 + layer * PARTS.len() as u32 + part as u32)
}

/// Where a tensor stands, from the start of the tensors' bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    kind: u32,
    offset: u64,
}

/// A reading under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The next byte of the file to read.
    at: u64,
    has_begun: bool,
    entries_left: u64,
    tensors_left: u64,
    /// What is left of an array: bytes of each element, zero for texts, and how many.
    array: Option<(u64, u64)>,
    /// Values of keys, by position: the bits of a number of eight bytes.
    values: BTreeMap<u8, u64>,
    vocabulary: u64,
    tensors: BTreeMap<u32, Stand>,
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn take_name<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take_u64(bytes)?).ok()?;
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(name).ok()
}

/// A scalar as the bits that count: numbers as integers, floats as singles.
fn scalar(kind: u32, bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from;
    }
    let number = u64::from_le_bytes(eight);
    match kind {
        6 => u64::from(f32::from_bits(number as u32).to_bits()),
        12 => u64::from((f64::from_bits(number) as f32).to_bits()),
        _ => number,
    }
}

impl Head {
    /// Whether all is read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.has_begun && self.entries_left == 0 && self.tensors_left == 0 && self.array.is_none()
    }

    /// The next byte of the file to read.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads on; the window begins at [`at`](Self::at) and has [`WINDOW`] bytes, unless the file ends.
    ///
    /// # Errors
    /// [`RefereeError::Head`].
    pub fn step(&mut self, window: &[u8]) -> Result<(), RefereeError> {
        let mut rest = window;
        let mut skipped = 0u64;
        let before = self.clone();
        while !self.is_done() {
            let mut item = rest;
            let Some(skip) = self.item(&mut item) else {
                break;
            };
            let within = skip.min(item.len() as u64) as usize;
            rest = &item[within..];
            skipped = skip - within as u64;
            if skipped > 0 {
                break;
            }
        }
        let read = (window.len() - rest.len()) as u64;
        self.at = (self.at.checked_add(read))
            .and_then(|at| at.checked_add(skipped))
            .ok_or(RefereeError::Head)?;
        if *self == before {
            return Err(RefereeError::Head);
        }
        Ok(())
    }

    /// Takes one item, if it is whole; says how many bytes after it do not count.
    fn item(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        if !self.has_begun {
            let head: [u8; 8] = take(bytes)?;
            let (tensors, entries) = (take_u64(bytes)?, take_u64(bytes)?);
            if &head[..4] != b"GGUF" {
                return None;
            }
            (self.has_begun, self.tensors_left, self.entries_left) = (true, tensors, entries);
            return Some(0);
        }
        if let Some((width, left)) = self.array {
            if width > 0 {
                self.array = None;
                return left.checked_mul(width);
            }
            if left == 0 {
                self.array = None;
                return Some(0);
            }
            let length = take_u64(bytes)?;
            self.array = (left > 1).then_some((0, left - 1));
            return Some(length);
        }
        if self.entries_left > 0 {
            return self.entry(bytes);
        }
        self.tensor(bytes)
    }

    fn entry(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        let key = take_name(bytes)?;
        let known = KEYS.iter().position(|known| *known == key);
        let kind = take_u32(bytes)?;
        let mut skip = 0;
        match kind {
            9 => {
                let (kind, count) = (take_u32(bytes)?, take_u64(bytes)?);
                let width = if kind == 8 { 0 } else { scalar_bytes(kind)? };
                self.array = Some((width, count));
            }
            8 if known == Some(SCALING) => {
                let text = take_name(bytes)?;
                self.values
                    .insert(SCALING as u8, u64::from(text == "linear"));
            }
            8 => skip = take_u64(bytes)?,
            _ => {
                let width = usize::try_from(scalar_bytes(kind)?).ok()?;
                let (value, rest) = bytes.split_at_checked(width)?;
                *bytes = rest;
                if let Some(known) = known {
                    self.values.insert(known as u8, scalar(kind, value));
                }
            }
        }
        self.entries_left -= 1;
        Some(skip)
    }

    fn tensor(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        let name = take_name(bytes)?;
        let dimensions = take_u32(bytes).filter(|count| *count <= 4)?;
        let mut rows = 1;
        for dimension in 0..dimensions {
            let size = take_u64(bytes)?;
            if dimension == 1 {
                rows = size;
            }
        }
        let (kind, offset) = (take_u32(bytes)?, take_u64(bytes)?);
        if let Some(number) = number_of(name) {
            if number == Tensor::Embedding.number() {
                self.vocabulary = rows;
            }
            self.tensors.insert(number, Stand { kind, offset });
        }
        self.tensors_left -= 1;
        Some(0)
    }

    /// Its bytes, as a cell of the run holds them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (width, left) = self.array.unwrap_or_default();
        let mut bytes = vec![u8::from(self.has_begun), u8::from(self.array.is_some())];
        let numbers = [
            self.at,
            self.entries_left,
            self.tensors_left,
            width,
            left,
            self.vocabulary,
        ];
        bytes.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        bytes.push(self.values.len() as u8);
        for (key, value) in &self.values {
            bytes.push(*key);
            bytes.extend(value.to_le_bytes());
        }
        for (number, stand) in &self.tensors {
            bytes.extend(number.to_le_bytes());
            bytes.extend(stand.kind.to_le_bytes());
            bytes.extend(stand.offset.to_le_bytes());
        }
        bytes
    }

    /// From its bytes.
    ///
    /// # Errors
    /// [`RefereeError::Head`].
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, RefereeError> {
        Self::read(bytes)
            .filter(|head| head.to_bytes() == bytes)
            .ok_or(RefereeError::Head)
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let [has_begun, has_array] = take(bytes)?;
        let mut head = Self {
            at: take_u64(bytes)?,
            has_begun: has_begun == 1,
            entries_left: take_u64(bytes)?,
            tensors_left: take_u64(bytes)?,
            array: Some((take_u64(bytes)?, take_u64(bytes)?)).filter(|_| has_array == 1),
            vocabulary: take_u64(bytes)?,
            ..Self::default()
        };
        let [values] = take(bytes)?;
        for _ in 0..values {
            let [key] = take(bytes)?;
            head.values.insert(key, take_u64(bytes)?);
        }
        while !bytes.is_empty() {
            let number = take_u32(bytes)?;
            let (kind, offset) = (take_u32(bytes)?, take_u64(bytes)?);
            head.tensors.insert(number, Stand { kind, offset });
        }
        Some(head)
    }

    fn number(&self, key: usize) -> Option<usize> {
        let value = self.values.get(&(key as u8))?;
        usize::try_from(*value).ok().filter(|value| *value > 0)
    }

    fn float(&self, key: usize) -> Option<f32> {
        let bits = self.values.get(&(key as u8))?;
        u32::try_from(*bits).ok().map(f32::from_bits)
    }

    /// What it says of the model.
    ///
    /// # Errors
    /// [`RefereeError::Head`].
    pub(crate) fn layout(&self) -> Result<Layout, RefereeError> {
        self.try_layout().ok_or(RefereeError::Head)
    }

    fn try_layout(&self) -> Option<Layout> {
        let (width, heads) = (self.number(1)?, self.number(3)?);
        let shape = Shape {
            layers: self.number(0)?,
            width,
            heads,
            kv_heads: self.number(4).unwrap_or(heads),
            head_size: self.number(5).unwrap_or(width / heads),
            ffn: self.number(2)?,
            vocabulary: usize::try_from(self.vocabulary).ok()?,
            context: 0,
        };
        // Before anything is made of its sizes: they are whatever the file says.
        if !crate::llama::is_sound(&shape) || !self.is_done() {
            return None;
        }
        let base = f64::from(self.float(8).unwrap_or(10_000.0));
        let factor = match self.values.get(&(SCALING as u8)) {
            Some(1) => f64::from(self.float(10).unwrap_or(1.0)),
            _ => 1.0,
        };
        let alignment = self.number(ALIGNMENT).unwrap_or(32) as u64;
        let tensors = self.tensors.iter().map(|(number, stand)| {
            let data = self.at.checked_next_multiple_of(alignment)?;
            Some((
                *number,
                (weight_kind(stand.kind)?, data.checked_add(stand.offset)?),
            ))
        });
        let epsilon = self.float(6)?;
        let is_positive = |number: f64| number.is_finite() && number > 0.0;
        if ![f64::from(epsilon), base, factor]
            .into_iter()
            .all(is_positive)
        {
            return None;
        }
        Some(Layout {
            shape,
            epsilon,
            frequencies: crate::llama::frequencies_of(base, factor, shape.head_size),
            tensors: tensors.collect::<Option<_>>()?,
        })
    }
}

/// What the referee must know of a model: its sizes, and where its weights are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Shape,
    pub(crate) epsilon: f32,
    pub(crate) frequencies: Vec<f64>,
    tensors: BTreeMap<u32, (WeightKind, u64)>,
}

impl Layout {
    /// The tensor that makes logits.
    pub(crate) fn output(&self) -> Tensor {
        if self.tensors.contains_key(&Tensor::Output.number()) {
            Tensor::Output
        } else {
            Tensor::Embedding
        }
    }

    /// The kind of some rows of a matrix, and the bytes of the file that hold them: where they start, and how many.
    pub(crate) fn rows(
        &self,
        tensor: Tensor,
        (first, count, inputs): (usize, usize, usize),
    ) -> Result<(WeightKind, u64, usize), RefereeError> {
        let (kind, start) = self
            .tensors
            .get(&tensor.number())
            .ok_or(RefereeError::Head)?;
        let row = inputs / kind.block_weights() * kind.block_bytes();
        let from = (first as u64)
            .checked_mul(row as u64)
            .and_then(|offset| offset.checked_add(*start))
            .ok_or(RefereeError::Head)?;
        Ok((*kind, from, count * row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head that was read to its end, with one value in place of what is usual.
    fn head(other: Option<(usize, u64)>) -> Head {
        let float = |float: f32| u64::from(float.to_bits());
        let usual = [(0, 2), (1, 64), (2, 128), (3, 4), (4, 2), (6, float(1e-5))];
        let mut values: BTreeMap<u8, u64> = usual.into();
        if let Some((key, value)) = other {
            values.insert(key as u8, value);
        }
        Head {
            at: 4_096,
            has_begun: true,
            entries_left: 0,
            tensors_left: 0,
            array: None,
            values,
            vocabulary: 100,
            tensors: BTreeMap::new(),
        }
    }

    #[test]
    fn a_head_is_judged_before_anything_is_made_of_its_sizes() {
        assert!(head(None).layout().is_ok());
        let float = |float: f32| u64::from(float.to_bits());
        let hostile = [
            (5, 1 << 62),
            (5, 1 << 30),
            (0, 1 << 40),
            (1, u64::MAX),
            (6, float(-1e-5)),
            (6, float(f32::NAN)),
            (8, float(f32::INFINITY)),
            (8, float(0.0)),
        ];
        for other in hostile {
            let found = head(Some(other)).layout().map(|_| ());
            assert_eq!(found, Err(RefereeError::Head), "{other:?}");
        }
        let unread = Head {
            entries_left: 1,
            ..head(None)
        };
        assert_eq!(unread.layout().map(|_| ()), Err(RefereeError::Head));
    }
}
