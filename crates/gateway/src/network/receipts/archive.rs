//! What of our receipts outlives the process: records on a shelf, written in the order in which they came about.
//!
//! A gateway that starts again has the answers that it gave, knows the lanes that they were given in, and hears from the chain what it missed since
//! the newest record.

use super::{BatchEnd, Entry};
use commonware_codec::{Copying, Encode as _, Error, Read, ReadExt as _};
use fairweir_client::orders::{Settlement, SlotEnd};
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    BoundedBytes, BoundedVec, Height,
    event::{BatchPosted, BatchSettled, Refunded, Settled},
    limits::{BATCH_LEAVES_MAX, BLOB_BYTES_MAX, ENDPOINT_BYTES_MAX},
    node_api::Delivery,
    order::{KindId, PriceVector, SlotId},
    session::Leaf,
};
use std::sync::Arc;

/// Of what is written down.
const FORMAT: u8 = 1;
/// Bytes of an API key's id.
const KEY_BYTES_MAX: usize = 256;

/// A lane of ours, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptLane {
    pub(super) slot_id: SlotId,
    pub(super) kind: KindId,
    pub(super) prices: PriceVector,
    /// Where its worker was reached, encoded; empty if it is not known.
    pub(super) endpoint: Vec<u8>,
    pub(super) is_closed: bool,
}

/// One record.
#[derive(Debug)]
pub(super) enum Kept {
    Lane(KeptLane),
    /// What came under a slot.
    Answer(SlotId, Box<Entry>),
    /// A batch whose worker is asked for its leaves.
    Posted(Box<BatchPosted>),
    /// The leaves of a batch of a lane.
    Leaves {
        batch: SlotId,
        lane: SlotId,
        leaves: Vec<Leaf>,
    },
    End(SlotId, BatchEnd),
}

/// The tags of records.
const LANE: u8 = 1;
const ANSWER: u8 = 2;
const POSTED: u8 = 3;
const LEAVES: u8 = 4;
const END: u8 = 5;

type LaneFields = (
    SlotId,
    KindId,
    PriceVector,
    BoundedBytes<ENDPOINT_BYTES_MAX>,
    bool,
);
type Key = BoundedBytes<KEY_BYTES_MAX>;
type Blob = BoundedBytes<BLOB_BYTES_MAX>;
type AnswerFields = (
    (SlotId, Key, Option<SlotId>, Blob),
    (Option<Delivery>, Option<SlotId>),
    (Option<(Settled, Height, u64)>, Option<Refunded>),
);
type Leaves = BoundedVec<Leaf, BATCH_LEAVES_MAX>;
/// Without a settlement its price went back.
type EndFields = (SlotId, Option<(BatchSettled, Height, u64)>);

/// What of a batch a record is about: each has a place of its own beside the batch's.
#[derive(Clone, Copy, Debug)]
enum Of {
    Leaves = 0,
    Posted = 1,
    End = 2,
}

fn of_batch(batch: SlotId, of: Of) -> SlotId {
    SlotId {
        slot: of as u16,
        ..batch
    }
}

impl Kept {
    fn tag(&self) -> u8 {
        match self {
            Self::Lane(_) => LANE,
            Self::Answer(..) => ANSWER,
            Self::Posted(_) => POSTED,
            Self::Leaves { .. } => LEAVES,
            Self::End(..) => END,
        }
    }

    /// Where the record lies, and its bytes; `None` for what is too long to be read again.
    fn encode(&self, heard: Height) -> Option<(SlotId, Vec<u8>)> {
        let (place, body) = match self {
            Self::Lane(lane) => {
                let endpoint = BoundedBytes::new(lane.endpoint.clone()).ok()?;
                let KeptLane {
                    slot_id,
                    kind,
                    prices,
                    is_closed,
                    ..
                } = *lane;
                let fields: LaneFields = (slot_id, kind, prices, endpoint, is_closed);
                (slot_id, fields.encode())
            }
            Self::Answer(slot_id, entry) => (*slot_id, answer_fields(*slot_id, entry)?.encode()),
            Self::Posted(posted) => (of_batch(posted.slot_id, Of::Posted), posted.encode()),
            Self::Leaves {
                batch,
                lane,
                leaves,
            } => {
                let leaves = Leaves::new(leaves.clone()).ok()?;
                let fields = (*batch, *lane, leaves);
                (of_batch(*batch, Of::Leaves), fields.encode())
            }
            Self::End(batch, end) => {
                let settled = match end {
                    BatchEnd::Refunded => None,
                    BatchEnd::Settled(settled) => {
                        let (settled, height, position) = (**settled).clone();
                        Some((settled, height, u64::try_from(position).ok()?))
                    }
                };
                let fields: EndFields = (*batch, settled);
                (of_batch(*batch, Of::End), fields.encode())
            }
        };
        let head = (FORMAT, heard, self.tag()).encode();
        Some((place, [head, body].concat()))
    }

    /// A record, and until which block the chain's events were heard when it was written; `None` for what is damaged, or of another format.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Height, Self)> {
        Self::read(bytes).ok().flatten()
    }

    fn read(bytes: &[u8]) -> Result<Option<(Height, Self)>, Error> {
        let mut buf = Copying(bytes);
        let format = u8::read(&mut buf)?;
        if format != FORMAT {
            return Ok(None);
        }
        let heard = Height::read(&mut buf)?;
        let kept = match u8::read(&mut buf)? {
            LANE => {
                let (slot_id, kind, prices, endpoint, is_closed) =
                    LaneFields::read_cfg(&mut buf, &Default::default())?;
                Self::Lane(KeptLane {
                    slot_id,
                    kind,
                    prices,
                    endpoint: endpoint.into_vec(),
                    is_closed,
                })
            }
            ANSWER => match answer_of(AnswerFields::read_cfg(&mut buf, &Default::default())?) {
                Some((slot_id, entry)) => Self::Answer(slot_id, Box::new(entry)),
                None => return Ok(None),
            },
            POSTED => Self::Posted(Box::new(BatchPosted::read(&mut buf)?)),
            LEAVES => {
                let (batch, lane, leaves) =
                    <(SlotId, SlotId, Leaves)>::read_cfg(&mut buf, &Default::default())?;
                Self::Leaves {
                    batch,
                    lane,
                    leaves: leaves.into_vec(),
                }
            }
            END => {
                let (batch, settled) = EndFields::read_cfg(&mut buf, &Default::default())?;
                let end = settled.map_or(BatchEnd::Refunded, |(settled, height, position)| {
                    let position = usize::try_from(position).unwrap_or(usize::MAX);
                    BatchEnd::Settled(Box::new((settled, height, position)))
                });
                Self::End(batch, end)
            }
            _ => return Ok(None),
        };
        Ok(buf.0.is_empty().then_some((heard, kept)))
    }
}

fn answer_fields(slot_id: SlotId, entry: &Entry) -> Option<AnswerFields> {
    let Entry {
        key,
        spec,
        lane,
        delivery,
        end,
        made_under,
        // Found again from the leaves of its batch.
        place: _,
    } = entry;
    let key = BoundedBytes::new(key.clone().into_bytes()).ok()?;
    let spec = BoundedBytes::new(spec.clone()).ok()?;
    let end = match end {
        None => (None, None),
        Some(SlotEnd::Refunded(refunded)) => (None, Some(*refunded)),
        Some(SlotEnd::Settled(settlement)) => {
            let Settlement {
                settled,
                height,
                position,
            } = settlement.clone();
            let position = u64::try_from(position).ok()?;
            (Some((settled, height, position)), None)
        }
    };
    Some((
        (slot_id, key, *lane, spec),
        (delivery.clone(), *made_under),
        end,
    ))
}

fn answer_of(fields: AnswerFields) -> Option<(SlotId, Entry)> {
    let ((slot_id, key, lane, spec), (delivery, made_under), (settled, refunded)) = fields;
    let settled = settled.map(|(settled, height, position)| {
        SlotEnd::Settled(Settlement {
            settled,
            height,
            position: usize::try_from(position).unwrap_or(usize::MAX),
        })
    });
    let entry = Entry {
        key: String::from_utf8(key.into_vec()).ok()?,
        spec: spec.into_vec(),
        lane,
        delivery,
        end: settled.or(refunded.map(SlotEnd::Refunded)),
        place: None,
        made_under,
    };
    Some((slot_id, entry))
}

/// The way to the shelf. Whatever is kept is there when the call returns: so an answer that a client has has its receipt.
#[derive(Debug)]
pub(super) struct Archive(Arc<dyn Shelf>);

impl Archive {
    pub(super) const fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self(shelf)
    }

    /// Keeps a record, in place of what was there for the same.
    pub(super) fn keep(&self, heard: Height, kept: &Kept) {
        match kept.encode(heard) {
            Some((place, bytes)) => self.0.keep(place, &bytes),
            None => tracing::warn!("a receipt is too large to be written down"),
        }
    }

    pub(super) fn forget(&self, slot_id: SlotId) {
        self.0.forget(slot_id);
    }

    /// A batch has its leaves, or gets none.
    pub(super) fn forget_posted(&self, batch: SlotId) {
        self.0.forget(of_batch(batch, Of::Posted));
    }

    pub(super) fn forget_batch(&self, batch: SlotId) {
        for of in [Of::Leaves, Of::Posted, Of::End] {
            self.0.forget(of_batch(batch, of));
        }
    }
}
