//! Reads safetensors ([format](https://github.com/huggingface/safetensors#format)).
//!
//! The bytes are hostile, as in [`crate::gguf`]: the header has a limit, each tensor must have the bytes that its shape says, and
//! tensors must fill the file without gaps or overlaps, so that loading cannot take more memory than the file has.

use crate::linear::WeightKind;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use std::{collections::BTreeMap, fmt};
use thiserror::Error;

/// The longest header, in bytes. The format allows 100 MB; the headers of large models have some hundred KB.
pub const HEADER_BYTES_MAX: u64 = 16 << 20;
/// The most dimensions of a tensor.
pub const DIMENSIONS_MAX: usize = 8;

/// Why a file is refused.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    /// It ends within its header.
    #[error("the file ends within its header")]
    Truncated,
    /// The header is longer than [`HEADER_BYTES_MAX`].
    #[error("a header of {0} bytes")]
    Header(u64),
    /// The header is not what the format says.
    #[error("the header cannot be read")]
    Json(#[from] serde_json::Error),
    /// A tensor's elements are of an unknown type.
    #[error("tensor {name:?} has elements of type {kind:?}, which is not known")]
    Kind {
        /// Which.
        name: String,
        /// As the file says.
        kind: String,
    },
    /// A tensor has too many dimensions, or its bytes are not what its shape says.
    #[error("tensor {0:?} does not have the bytes of its shape")]
    Shape(String),
    /// A tensor does not begin where the one before it ends, or is not within the file.
    #[error("tensor {0:?} leaves a gap, overlaps another or is not within the file")]
    Place(String),
    /// Bytes that belong to no tensor.
    #[error("{0} bytes belong to no tensor")]
    Leftover(usize),
}

/// A tensor in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// How its elements stand; none if they are not weights that this crate computes with.
    pub kind: Option<WeightKind>,
    /// Sizes, the slowest running first.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: &'a [u8],
}

/// A file that was checked.
#[derive(Clone, Debug)]
pub struct File<'a> {
    tensors: BTreeMap<String, Tensor<'a>>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Default)]
struct Header {
    infos: BTreeMap<String, Info>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            let is_twice = if name == "__metadata__" {
                header.metadata = map.next_value()?;
                std::mem::replace(&mut has_metadata, true)
            } else {
                header.infos.insert(name, map.next_value()?).is_some()
            };
            if is_twice {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(header)
    }
}

/// Bytes per element, and what the elements are as weights.
fn element(kind: &str) -> Option<(u64, Option<WeightKind>)> {
    Some(match kind {
        "F32" => (4, Some(WeightKind::F32)),
        "F16" => (2, Some(WeightKind::F16)),
        "BF16" => (2, Some(WeightKind::Bf16)),
        "F64" | "I64" | "U64" => (8, None),
        "I32" | "U32" => (4, None),
        "I16" | "U16" => (2, None),
        "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => (1, None),
        _ => return None,
    })
}

impl<'a> File<'a> {
    /// Checks a whole file.
    ///
    /// # Errors
    ///
    /// See [`SafetensorsError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SafetensorsError> {
        let (length, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(SafetensorsError::Truncated)?;
        let length = u64::from_le_bytes(*length);
        if length > HEADER_BYTES_MAX {
            return Err(SafetensorsError::Header(length));
        }
        let (header, data) = rest
            .split_at_checked(length as usize)
            .ok_or(SafetensorsError::Truncated)?;
        let header: Header = serde_json::from_slice(header)?;
        let mut infos: Vec<(String, Info)> = header.infos.into_iter().collect();
        // Of empty tensors and others that begin at one place, the empty ones first.
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        let mut tensors = BTreeMap::new();
        for (name, info) in infos {
            let [from, to] = info.data_offsets;
            let taken = usize::try_from(to)
                .ok()
                .filter(|_| from == end && from <= to)
                .and_then(|to| data.get(from as usize..to));
            let Some(bytes) = taken else {
                return Err(SafetensorsError::Place(name));
            };
            end = to;
            let tensor = tensor(&name, &info, bytes)?;
            tensors.insert(name, tensor);
        }
        let left = data.len() - end as usize;
        if left > 0 {
            return Err(SafetensorsError::Leftover(left));
        }
        let metadata = header.metadata;
        Ok(Self { tensors, metadata })
    }

    /// A tensor by its name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor<'a>> {
        self.tensors.get(name)
    }

    /// Names of all tensors, in order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A text of the file's metadata.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

fn tensor<'a>(name: &str, info: &Info, bytes: &'a [u8]) -> Result<Tensor<'a>, SafetensorsError> {
    let wrong = || SafetensorsError::Shape(name.to_owned());
    let (width, kind) = element(&info.dtype).ok_or_else(|| SafetensorsError::Kind {
        name: name.to_owned(),
        kind: info.dtype.clone(),
    })?;
    if info.shape.len() > DIMENSIONS_MAX {
        return Err(wrong());
    }
    let count = info
        .shape
        .iter()
        .try_fold(width, |count, size| count.checked_mul(*size));
    if count != Some(bytes.len() as u64) {
        return Err(wrong());
    }
    let sizes = info.shape.iter().map(|size| usize::try_from(*size));
    let shape = sizes.collect::<Result<_, _>>().map_err(|_| wrong())?;
    Ok(Tensor { kind, shape, bytes })
}
