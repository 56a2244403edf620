//! The newest block.

use fairweir_types::{BlockHeader, Digest, Height, Millis};

/// The newest finalised block whose effects are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: Digest,
    /// Its proposer's time.
    pub time: Millis,
}

impl Tip {
    pub(crate) fn of(header: &BlockHeader) -> Self {
        Self {
            height: header.height,
            digest: header.digest(),
            time: header.time,
        }
    }
}
