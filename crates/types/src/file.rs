//! Files that hold one record: what they are, the canonical encoding, and a digest of both against accidents.

use crate::{codec::decode, digest::Digest};
use commonware_codec::{Decode, Encode};
use core::fmt;
use thiserror::Error;

/// A sort of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The first bytes of every such file, the version among them.
    pub magic: [u8; 8],
    /// What such a file is, in words.
    pub name: &'static str,
    /// The stable code of bytes that are no such file.
    pub other: &'static str,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Why bytes are no file of a sort.
#[derive(Debug, Error)]
pub enum FileError {
    /// They do not begin as such a file does, or are too short.
    #[error("this is no {0}, or one of a version that this program does not read")]
    OtherSort(Sort),
    /// They were changed.
    #[error("the {0} was altered: its checksum does not match")]
    Checksum(Sort),
    /// They are not canonical.
    #[error("the {sort} is damaged")]
    Malformed {
        /// What it should be.
        sort: Sort,
        /// Where it is not.
        #[source]
        source: commonware_codec::Error,
    },
}

impl FileError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherSort(sort) => sort.other,
            Self::Checksum(_) => "checksum",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// A record that has a file of its own.
pub trait Filed: Encode + Decode<Cfg = ()> {
    /// What sort of file.
    const SORT: Sort;

    /// The file's bytes: magic, canonical encoding, and a digest of both against accidents.
    #[must_use]
    fn to_file(&self) -> Vec<u8> {
        let mut bytes = Self::SORT.magic.to_vec();
        bytes.extend_from_slice(&self.encode());
        let checksum = Digest::of_blob(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`FileError`].
    fn from_file(bytes: &[u8]) -> Result<Self, FileError> {
        let sort = Self::SORT;
        let (content, checksum) = bytes
            .split_last_chunk::<32>()
            .ok_or(FileError::OtherSort(sort))?;
        let encoded = content
            .strip_prefix(&sort.magic)
            .ok_or(FileError::OtherSort(sort))?;
        if Digest::of_blob(content).as_bytes() != checksum {
            return Err(FileError::Checksum(sort));
        }
        decode(encoded).map_err(|source| FileError::Malformed { sort, source })
    }
}
