//! Files that hold one record: what they are, the canonical encoding, and a digest of both against accidents.

use crate::digest::Digest;
use commonware_codec::Encode;

/// Why bytes are no file of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    /// They do not begin as such a file does, or are too short.
    OtherSort,
    /// They were changed.
    Checksum,
}

/// The bytes of a file.
pub(crate) fn seal(magic: &[u8; 8], record: &impl Encode) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&record.encode());
    let checksum = Digest::of_blob(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// The encoding of the record in a file.
pub(crate) fn open<'b>(magic: &[u8; 8], bytes: &'b [u8]) -> Result<&'b [u8], FileError> {
    let (content, checksum) = bytes.split_last_chunk::<32>().ok_or(FileError::OtherSort)?;
    let encoded = content.strip_prefix(magic).ok_or(FileError::OtherSort)?;
    if Digest::of_blob(content).as_bytes() != checksum {
        return Err(FileError::Checksum);
    }
    Ok(encoded)
}
