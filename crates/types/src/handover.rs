//! Handovers: how who knows the validators of the genesis, or of a later block, comes to know those of today.
//!
//! With the last block of each epoch the ledger says who has the seats of the next, in an event. Header, certificate, that event and its Merkle path are a handover: it
//! is believed if those signed the block who had the seats before. One that a person trusts by its digest alone is a checkpoint.
//!
//! A file of handovers makes receipts of later blocks verify without a node.

use crate::{
    block::BlockHeader,
    bounded::{BoundedBytes, BoundedVec},
    codec::{Boxed, record},
    digest::Digest,
    event::{EpochBegan, Event},
    file::{Filed, Sort},
    limits::{CERTIFICATE_BYTES_MAX, HANDOVERS_MAX},
    merkle::{self, MerklePath},
    quantity::Height,
};
use commonware_codec::Encode;
use core::{fmt, str::FromStr};
use thiserror::Error;

/// The last block of an epoch, and who has the seats of the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Its header.
    pub header: BlockHeader,
    /// Its finality certificate.
    pub certificate: BoundedBytes<CERTIFICATE_BYTES_MAX>,
    /// The epoch that it began, with its seats.
    pub began: EpochBegan,
    /// The path of that event to the header's root of events.
    pub path: MerklePath,
}
record!(Handover {
    header,
    certificate,
    began,
    path
});

/// The epoch that a block's events began.
#[must_use]
pub fn began(events: &[Event]) -> Option<&EpochBegan> {
    events.iter().find_map(began_with)
}

fn began_with(event: &Event) -> Option<&EpochBegan> {
    match event {
        Event::EpochBegan(began) => Some(&**began),
        _ => None,
    }
}

impl Handover {
    /// Of a block with all its events; none if it began no epoch.
    #[must_use]
    pub fn of(
        header: BlockHeader,
        certificate: BoundedBytes<CERTIFICATE_BYTES_MAX>,
        events: &[Event],
    ) -> Option<Self> {
        let position = events
            .iter()
            .position(|event| began_with(event).is_some())?;
        let leaves: Vec<Digest> = events
            .iter()
            .map(|event| merkle::leaf(&event.encode()))
            .collect();
        Some(Self {
            header,
            certificate,
            began: began(events)?.clone(),
            path: merkle::path(&leaves, position)?,
        })
    }

    /// Whether the block began that epoch.
    #[must_use]
    pub fn is_of_its_block(&self) -> bool {
        let event = Event::EpochBegan(Boxed::new(self.began.clone()));
        let leaf = merkle::leaf(&event.encode());
        self.path.verify(&leaf, &self.header.events_root).is_ok()
    }

    /// What names it.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            height: self.header.height,
            digest: self.header.digest(),
        }
    }
}

/// A block that a person trusts: the last of an epoch. Written as its height, a colon, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: Digest,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.digest)
    }
}

/// A text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a checkpoint is the height of a block, a colon, and the 64 hexadecimal digits of its digest"
)]
pub struct NoCheckpoint;

impl FromStr for Checkpoint {
    type Err = NoCheckpoint;

    fn from_str(text: &str) -> Result<Self, NoCheckpoint> {
        let (height, digest) = text.split_once(':').ok_or(NoCheckpoint)?;
        Ok(Self {
            height: Height(height.parse().map_err(|_| NoCheckpoint)?),
            digest: digest.parse().map_err(|_| NoCheckpoint)?,
        })
    }
}

/// Handovers of one chain, in their order: one for each time that the seats changed hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handovers {
    /// The genesis of the chain.
    pub genesis: Digest,
    /// From the genesis on, or from the one that a person trusts.
    pub handovers: BoundedVec<Handover, HANDOVERS_MAX>,
}
record!(Handovers { genesis, handovers });

impl Filed for Handovers {
    const SORT: Sort = Sort {
        magic: *b"FWSEATS\x01",
        name: "file of handovers",
        other: "not_handovers",
    };
}
