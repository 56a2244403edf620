//! Reads GGUF, the file format of llama.cpp, versions 2 and 3
//! ([specification](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)).
//!
//! The bytes are hostile: every count, length and offset is checked before it is used, nothing is allocated in proportion to what the
//! file says rather than what it has, and nothing recurses. Texts and arrays stay where they are in the file.

use crate::linear::WeightKind;
use std::collections::BTreeMap;
use thiserror::Error;

/// The most metadata entries.
pub const ENTRIES_MAX: u64 = 65_536;
/// The most tensors.
pub const TENSORS_MAX: u64 = 65_536;
/// The longest key or tensor name, in bytes; the specification allows keys of 65,535.
pub const NAME_BYTES_MAX: u64 = 65_535;
/// The most dimensions of a tensor.
pub const DIMENSIONS_MAX: u32 = 4;
/// The largest alignment of tensor data, in bytes.
pub const ALIGNMENT_MAX: u64 = 65_536;
/// Alignment where the file names none.
const ALIGNMENT_DEFAULT: u64 = 32;

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GgufError {
    /// It does not begin with `GGUF`.
    #[error("not a GGUF file")]
    Magic,
    /// A version that is not read.
    #[error("GGUF version {0}, where 2 and 3 are read")]
    Version(u32),
    /// It ends within something.
    #[error("the file ends at {0} bytes, within its header or data")]
    Truncated(usize),
    /// More entries, tensors or dimensions, or a longer name, than the limits of this module allow.
    #[error("{what}: {found} is more than {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// In the file.
        found: u64,
        /// Of this module.
        limit: u64,
    },
    /// A key or name is not UTF-8.
    #[error("a name is not UTF-8")]
    Name,
    /// Two entries or tensors have one name.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// A value's type is unknown.
    #[error("value type {0} is unknown")]
    ValueKind(u32),
    /// An array of arrays.
    #[error("an array of arrays")]
    NestedArray,
    /// A flag is neither 0 nor 1.
    #[error("a flag is neither 0 nor 1")]
    Flag,
    /// The alignment is not a power of two, or above [`ALIGNMENT_MAX`].
    #[error("alignment {0}")]
    Alignment(u64),
    /// Weights of a kind that is not read.
    #[error("tensor {name:?} has weights of kind {kind}, which is not read")]
    WeightKind {
        /// The tensor.
        name: String,
        /// Number of the kind in ggml.
        kind: u32,
    },
    /// A tensor has no dimensions, a dimension of zero, more weights than can be counted, or rows that are not whole blocks.
    #[error("tensor {0:?} has impossible dimensions")]
    Dimensions(String),
    /// A tensor does not start where one may.
    #[error("tensor {0:?} is not aligned")]
    Unaligned(String),
    /// A tensor is not within the file.
    #[error("tensor {0:?} is not within the file")]
    Outside(String),
    /// Two tensors share bytes.
    #[error("tensor {0:?} overlaps another")]
    Overlap(String),
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(&'a [u8]),
    Array {
        kind: u32,
        count: usize,
        bytes: &'a [u8],
    },
}

/// Kinds of values, by their numbers in the format.
mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const FLAG: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

/// A tensor in the file.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// How its weights stand.
    pub kind: WeightKind,
    /// Sizes, the fastest running first; unused ones are 1.
    pub dimensions: [usize; DIMENSIONS_MAX as usize],
    /// The weights.
    pub bytes: &'a [u8],
}

/// A file that was checked.
#[derive(Clone, Debug)]
pub struct File<'a> {
    entries: BTreeMap<&'a str, Value<'a>>,
    tensors: BTreeMap<&'a str, Tensor<'a>>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], GgufError> {
        let truncated = GgufError::Truncated(self.bytes.len());
        let count = usize::try_from(count).map_err(|_| truncated.clone())?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(truncated)?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn limited(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufError> {
        let found = self.u64()?;
        if found > limit {
            return Err(GgufError::Limit { what, found, limit });
        }
        Ok(found)
    }

    fn name(&mut self) -> Result<&'a str, GgufError> {
        let length = self.limited("bytes of a name", NAME_BYTES_MAX)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| GgufError::Name)
    }

    fn value(&mut self) -> Result<Value<'a>, GgufError> {
        let kind = self.u32()?;
        if kind != kind::ARRAY {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let count = self.u64()?;
        let start = self.at;
        match kind {
            kind::ARRAY => return Err(GgufError::NestedArray),
            kind::TEXT => {
                // Each text takes eight bytes at least, so a false count ends with the file.
                for _ in 0..count {
                    self.text()?;
                }
            }
            _ => {
                let width = scalar_bytes(kind).ok_or(GgufError::ValueKind(kind))?;
                let truncated = GgufError::Truncated(self.bytes.len());
                self.take(count.checked_mul(width).ok_or(truncated)?)?;
            }
        }
        Ok(Value::Array {
            kind,
            // As many elements were there, of a byte at least each.
            count: count as usize,
            bytes: &self.bytes[start..self.at],
        })
    }

    fn text(&mut self) -> Result<&'a [u8], GgufError> {
        let length = self.u64()?;
        self.take(length)
    }

    fn scalar(&mut self, kind: u32) -> Result<Value<'a>, GgufError> {
        Ok(match kind {
            kind::U8 => Value::Unsigned(self.array::<1>()?[0].into()),
            kind::I8 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            kind::U16 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            kind::I16 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            kind::U32 => Value::Unsigned(self.u32()?.into()),
            kind::I32 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            kind::F32 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            kind::FLAG => match self.array::<1>()?[0] {
                0 => Value::Flag(false),
                1 => Value::Flag(true),
                _ => return Err(GgufError::Flag),
            },
            kind::TEXT => Value::Text(self.text()?),
            kind::U64 => Value::Unsigned(self.u64()?),
            kind::I64 => Value::Signed(i64::from_le_bytes(self.array()?)),
            kind::F64 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => return Err(GgufError::ValueKind(kind)),
        })
    }
}

pub(crate) fn scalar_bytes(kind: u32) -> Option<u64> {
    match kind {
        kind::U8 | kind::I8 | kind::FLAG => Some(1),
        kind::U16 | kind::I16 => Some(2),
        kind::U32 | kind::I32 | kind::F32 => Some(4),
        kind::U64 | kind::I64 | kind::F64 => Some(8),
        _ => None,
    }
}

pub(crate) fn weight_kind(number: u32) -> Option<WeightKind> {
    match number {
        0 => Some(WeightKind::F32),
        1 => Some(WeightKind::F16),
        2 => Some(WeightKind::Q4_0),
        3 => Some(WeightKind::Q4_1),
        8 => Some(WeightKind::Q8_0),
        30 => Some(WeightKind::Bf16),
        _ => None,
    }
}

struct Info {
    kind: WeightKind,
    dimensions: [usize; DIMENSIONS_MAX as usize],
    offset: u64,
    length: u64,
}

fn tensor_info<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Info), GgufError> {
    let name = reader.name()?;
    let count = reader.u32()?;
    if count > DIMENSIONS_MAX {
        return Err(GgufError::Limit {
            what: "dimensions of a tensor",
            found: count.into(),
            limit: DIMENSIONS_MAX.into(),
        });
    }
    let impossible = || GgufError::Dimensions(name.to_owned());
    let mut dimensions = [1; DIMENSIONS_MAX as usize];
    let mut weights = u64::from(count > 0);
    for dimension in dimensions.iter_mut().take(count as usize) {
        let size = reader.u64()?;
        weights = weights.checked_mul(size).ok_or_else(impossible)?;
        *dimension = usize::try_from(size).map_err(|_| impossible())?;
    }
    let number = reader.u32()?;
    let kind = weight_kind(number).ok_or_else(|| GgufError::WeightKind {
        name: name.to_owned(),
        kind: number,
    })?;
    let offset = reader.u64()?;
    if weights == 0 || !dimensions[0].is_multiple_of(kind.block_weights()) {
        return Err(impossible());
    }
    let length = (weights / kind.block_weights() as u64)
        .checked_mul(kind.block_bytes() as u64)
        .ok_or_else(impossible)?;
    let info = Info {
        kind,
        dimensions,
        offset,
        length,
    };
    Ok((name, info))
}

impl<'a> File<'a> {
    /// Checks a whole file.
    ///
    /// # Errors
    ///
    /// See [`GgufError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GgufError> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err(GgufError::Magic);
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let tensor_count = reader.limited("tensors", TENSORS_MAX)?;
        let entry_count = reader.limited("metadata entries", ENTRIES_MAX)?;
        let mut entries = BTreeMap::new();
        for _ in 0..entry_count {
            let key = reader.name()?;
            if entries.insert(key, reader.value()?).is_some() {
                return Err(GgufError::Twice(key.to_owned()));
            }
        }
        let mut infos = Vec::new();
        for _ in 0..tensor_count {
            infos.push(tensor_info(&mut reader)?);
        }
        let mut file = Self {
            entries,
            tensors: BTreeMap::new(),
        };
        let alignment = file.alignment()?;
        // A file without tensors may end right after its header.
        let padding = (reader.at as u64).next_multiple_of(alignment) - reader.at as u64;
        let data = match reader.take(padding) {
            Ok(_) => &bytes[reader.at..],
            Err(_) if infos.is_empty() => &[],
            Err(error) => return Err(error),
        };
        file.tensors = place(infos, data, alignment)?;
        Ok(file)
    }

    fn alignment(&self) -> Result<u64, GgufError> {
        let alignment = self
            .number("general.alignment")
            .unwrap_or(ALIGNMENT_DEFAULT);
        if alignment.is_power_of_two() && alignment <= ALIGNMENT_MAX {
            Ok(alignment)
        } else {
            Err(GgufError::Alignment(alignment))
        }
    }

    /// A text; none if the key is missing, or its value something else or not UTF-8.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.entries.get(key)? {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// An integer that is not negative.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.entries.get(key)? {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A float; one of double precision is rounded.
    #[must_use]
    pub fn float(&self, key: &str) -> Option<f32> {
        match self.entries.get(key)? {
            Value::Float(float) => Some(*float as f32),
            _ => None,
        }
    }

    /// A flag.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.entries.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// An array of texts: as many as the file has bytes / 8 at most. None if one is not UTF-8.
    #[must_use]
    pub fn texts(&self, key: &str) -> Option<Vec<&'a str>> {
        let Value::Array {
            kind: kind::TEXT,
            count,
            bytes,
        } = *self.entries.get(key)?
        else {
            return None;
        };
        let mut reader = Reader { bytes, at: 0 };
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(std::str::from_utf8(reader.text().ok()?).ok()?);
        }
        Some(texts)
    }

    /// An array of integers: as many as the file has bytes at most. None if one is above the largest `i64`.
    #[must_use]
    pub fn numbers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::Array { kind, count, bytes } = *self.entries.get(key)? else {
            return None;
        };
        let mut reader = Reader { bytes, at: 0 };
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(match reader.scalar(kind).ok()? {
                Value::Unsigned(number) => i64::try_from(number).ok()?,
                Value::Signed(number) => number,
                _ => return None,
            });
        }
        Some(numbers)
    }

    /// An array of floats.
    #[must_use]
    pub fn floats(&self, key: &str) -> Option<Vec<f32>> {
        let Value::Array { kind, count, bytes } = *self.entries.get(key)? else {
            return None;
        };
        let mut reader = Reader { bytes, at: 0 };
        let mut floats = Vec::new();
        for _ in 0..count {
            let Value::Float(float) = reader.scalar(kind).ok()? else {
                return None;
            };
            floats.push(float as f32);
        }
        Some(floats)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// A tensor by its name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<Tensor<'a>> {
        self.tensors.get(name).copied()
    }

    /// Names of all tensors, in order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &'a str> {
        self.tensors.keys().copied()
    }
}

/// Finds the tensors' bytes: within the file, aligned, and none shared, so that loading cannot take more memory than the file has.
fn place<'a>(
    mut infos: Vec<(&'a str, Info)>,
    data: &'a [u8],
    alignment: u64,
) -> Result<BTreeMap<&'a str, Tensor<'a>>, GgufError> {
    infos.sort_by_key(|(_, info)| info.offset);
    let mut end = 0;
    let mut tensors = BTreeMap::new();
    for (name, info) in infos {
        let named = || name.to_owned();
        if !info.offset.is_multiple_of(alignment) {
            return Err(GgufError::Unaligned(named()));
        }
        if info.offset < end {
            return Err(GgufError::Overlap(named()));
        }
        end = info
            .offset
            .checked_add(info.length)
            .filter(|end| *end <= data.len() as u64)
            .ok_or_else(|| GgufError::Outside(named()))?;
        let tensor = Tensor {
            kind: info.kind,
            dimensions: info.dimensions,
            bytes: &data[info.offset as usize..end as usize],
        };
        if tensors.insert(name, tensor).is_some() {
            return Err(GgufError::Twice(named()));
        }
    }
    Ok(tensors)
}
