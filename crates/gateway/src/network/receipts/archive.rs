//! What of our receipts outlives the process: records on a shelf, written in the order in which they came about.
//!
//! A gateway that starts again has the answers that it gave, knows the lanes that they were given in, and hears from the chain what it missed since
//! the newest record.

use super::{BatchEnd, Entry, Place};
use bytes::Bytes;
use commonware_codec::{Copying, Encode as _, Error, Read, ReadExt as _};
use fairweir_client::orders::{Settlement, SlotEnd};
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    BoundedBytes, ChainId, Digest, Height,
    event::{BatchPosted, BatchSettled, Refunded, Settled},
    limits::{BLOB_BYTES_MAX, ENDPOINT_BYTES_MAX},
    node_api::Delivery,
    order::{KindId, OrderId, PriceVector, SlotId},
    session::Leaf,
    sum_tree::SumPath,
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
    pub(super) is_unsure: bool,
}

/// One record.
#[derive(Debug)]
pub(super) enum Kept {
    Lane(KeptLane),
    /// What came under a slot.
    Answer(SlotId, Box<Entry>),
    /// A batch whose worker is asked for its leaves.
    Posted(Box<BatchPosted>),
    End(SlotId, BatchEnd),
    /// Where what came under a slot is in its batch.
    Place(SlotId, Place),
    /// Nothing but until where the chain's events were heard, which all records say.
    Heard,
}

/// The tags of records.
const LANE: u8 = 1;
const ANSWER: u8 = 2;
const PLACE: u8 = 3;
const POSTED: u8 = 4;
const END: u8 = 5;
const HEARD: u8 = 6;

type LaneFields = (
    SlotId,
    KindId,
    PriceVector,
    BoundedBytes<ENDPOINT_BYTES_MAX>,
    (bool, bool),
);
type Key = BoundedBytes<KEY_BYTES_MAX>;
type Blob = BoundedBytes<BLOB_BYTES_MAX>;
type AnswerFields = (
    (SlotId, Key, Option<SlotId>, Blob),
    (Option<Delivery>, Option<SlotId>),
    (Option<(Settled, Height, u64)>, Option<Refunded>),
);
type PlaceFields = (SlotId, SlotId, Leaf, SumPath);
/// Without a settlement its price went back.
type EndFields = (SlotId, Option<(BatchSettled, Height, u64)>);

/// What lies beside a record of a slot: slots of requests and batches have the number 0, and these none.
#[derive(Clone, Copy, Debug)]
enum Beside {
    /// Beside an answer.
    Place = 1,
    /// Beside a batch.
    Posted = 2,
    End = 3,
}

const fn beside(slot_id: SlotId, what: Beside) -> SlotId {
    SlotId {
        order: slot_id.order,
        slot: what as u16,
    }
}

/// Where it is written down until where the chain's events were heard: no order has this id.
const HEARD_AT: SlotId = SlotId {
    order: OrderId(Digest::ZERO),
    slot: u16::MAX,
};

impl Kept {
    pub(super) const fn tag(&self) -> u8 {
        match self {
            Self::Lane(_) => LANE,
            Self::Answer(..) => ANSWER,
            Self::Posted(_) => POSTED,
            Self::End(..) => END,
            Self::Place(..) => PLACE,
            Self::Heard => HEARD,
        }
    }

    /// Where the record lies.
    const fn place(&self) -> SlotId {
        match self {
            Self::Lane(lane) => lane.slot_id,
            Self::Answer(slot_id, _) => *slot_id,
            Self::Posted(posted) => beside(posted.slot_id, Beside::Posted),
            Self::End(batch, _) => beside(*batch, Beside::End),
            Self::Place(slot_id, _) => beside(*slot_id, Beside::Place),
            Self::Heard => HEARD_AT,
        }
    }

    /// Its bytes; `None` for what is too long to be read again.
    fn encode(&self, (chain_id, heard): (&ChainId, Height)) -> Option<Vec<u8>> {
        let body = match self {
            Self::Lane(lane) => {
                let endpoint = BoundedBytes::new(lane.endpoint.clone()).ok()?;
                let KeptLane {
                    slot_id,
                    kind,
                    prices,
                    is_closed,
                    is_unsure,
                    ..
                } = *lane;
                let is = (is_closed, is_unsure);
                let fields: LaneFields = (slot_id, kind, prices, endpoint, is);
                fields.encode()
            }
            Self::Answer(slot_id, entry) => answer_fields(*slot_id, entry)?.encode(),
            Self::Posted(posted) => posted.encode(),
            Self::End(batch, end) => {
                let settled = match end {
                    BatchEnd::Refunded => None,
                    BatchEnd::Settled(settled) => {
                        let (settled, height, position) = (**settled).clone();
                        Some((settled, height, u64::try_from(position).ok()?))
                    }
                };
                let fields: EndFields = (*batch, settled);
                fields.encode()
            }
            Self::Place(slot_id, place) => {
                let Place { batch, leaf, path } = place.clone();
                let fields: PlaceFields = (*slot_id, batch, leaf, path);
                fields.encode()
            }
            Self::Heard => Bytes::new(),
        };
        let head = (FORMAT, chain_id.clone(), heard, self.tag()).encode();
        Some([head, body].concat())
    }

    /// A record, its chain, and until which block its events were heard when it was written; `None` for what is damaged, or of another format.
    pub(super) fn decode(bytes: &[u8]) -> Option<(ChainId, Height, Self)> {
        Self::read(bytes).ok().flatten()
    }

    fn read(bytes: &[u8]) -> Result<Option<(ChainId, Height, Self)>, Error> {
        let mut buf = Copying(bytes);
        let format = u8::read(&mut buf)?;
        if format != FORMAT {
            return Ok(None);
        }
        let chain_id = ChainId::read(&mut buf)?;
        let heard = Height::read(&mut buf)?;
        let kept = match u8::read(&mut buf)? {
            LANE => {
                let (slot_id, kind, prices, endpoint, (is_closed, is_unsure)) =
                    LaneFields::read_cfg(&mut buf, &Default::default())?;
                Self::Lane(KeptLane {
                    slot_id,
                    kind,
                    prices,
                    endpoint: endpoint.into_vec(),
                    is_closed,
                    is_unsure,
                })
            }
            ANSWER => match answer_of(AnswerFields::read_cfg(&mut buf, &Default::default())?) {
                Some((slot_id, entry)) => Self::Answer(slot_id, Box::new(entry)),
                None => return Ok(None),
            },
            POSTED => Self::Posted(Box::new(BatchPosted::read(&mut buf)?)),
            PLACE => {
                let (slot_id, batch, leaf, path) =
                    PlaceFields::read_cfg(&mut buf, &Default::default())?;
                Self::Place(slot_id, Place { batch, leaf, path })
            }
            HEARD => Self::Heard,
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
        Ok(buf.0.is_empty().then_some((chain_id, heard, kept)))
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
        // A record of its own.
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

/// The way to the shelf, for one chain. What is kept is there when the call returns, as long as the machine runs: so an answer that a client has has
/// its receipt.
#[derive(Debug)]
pub(super) struct Archive {
    shelf: Arc<dyn Shelf>,
    chain_id: ChainId,
}

impl Archive {
    pub(super) const fn new(shelf: Arc<dyn Shelf>, chain_id: ChainId) -> Self {
        Self { shelf, chain_id }
    }

    /// The chain's records that are there, each kind from the oldest on.
    pub(super) fn left(&self) -> Vec<(Height, Kept)> {
        let all = self.shelf.all();
        let readable = all.iter().filter_map(|bytes| Kept::decode(bytes));
        let ours = readable.filter(|(chain_id, ..)| *chain_id == self.chain_id);
        ours.map(|(_, heard, kept)| (heard, kept)).collect()
    }

    /// Keeps a record, in place of what was there for the same.
    pub(super) fn keep(&self, heard: Height, kept: &Kept) {
        match kept.encode((&self.chain_id, heard)) {
            Some(bytes) => self.shelf.keep(kept.place(), &bytes),
            None => tracing::warn!("a receipt is too large to be written down"),
        }
    }

    pub(super) fn forget_lane(&self, lane: SlotId) {
        self.shelf.forget(lane);
    }

    /// What came under a slot, and its place.
    pub(super) fn forget_answer(&self, slot_id: SlotId) {
        self.shelf.forget(slot_id);
        self.shelf.forget(beside(slot_id, Beside::Place));
    }

    /// A batch has its leaves, or gets none.
    pub(super) fn forget_posted(&self, batch: SlotId) {
        self.shelf.forget(beside(batch, Beside::Posted));
    }

    pub(super) fn forget_batch(&self, batch: SlotId) {
        for what in [Beside::Posted, Beside::End] {
            self.shelf.forget(beside(batch, what));
        }
    }
}
