//! The records of open orders and slots.

use super::Terms;
use crate::{
    appeals::Appeals,
    delegates::Poster,
    execution::Execution,
    fault::{Fault, present},
    keys,
    sessions::{Batch, Lane},
    state::{Mark, Overlay, scan, state_record},
};
use commonware_codec::{Buf, Error, FixedSize, Read, ReadExt, Write};
use fairweir_types::{
    Address, Amount, BoundedVec, Digest, Height, Millis, SignedReceipt,
    limits::{DRAWN_MAX, EXCLUDED_MAX, FUNDING_STREAMS_MAX},
    order::{OrderHeader, PriceVector, SlotId},
    receipt::Randomness,
    session::SealKey,
};

/// What one payer still has in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldStream {
    /// The payer.
    pub payer: Address,
    /// What is held of its money.
    pub held: Amount,
}
state_record!(HeldStream { payer, held });

/// An open order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who buys: the most of its money, and what was not needed goes back there.
    pub buyer: Address,
    /// Who posted it: the buyer, or a delegate of it.
    pub poster: Poster,
    /// The header without the inline spec, which the event log keeps.
    pub header: OrderHeader,
    /// Whether there is none, and the spec lies beside the chain: then it can be missing.
    pub has_blob_spec: bool,
    /// What each payer still has in it.
    pub streams: BoundedVec<HeldStream, FUNDING_STREAMS_MAX>,
    /// Slots that are not done.
    pub slots_open: u16,
    /// The most that one slot may cost: quote, settlement fee and checks.
    pub slot_budget: Amount,
    /// The highest quote for one slot.
    pub quote_max: Amount,
    /// What one check earns.
    pub check_fee: Amount,
    /// The fees and rates that it was posted under, and keeps.
    pub terms: Terms,
    /// Whether verdicts over it may go to a referee, as the catalogue said when it was posted.
    pub has_appeals: bool,
    /// The settlement fee for one slot.
    pub settlement_fee: Amount,
    /// Each slot's share of the least fee for the posting transaction: part of making the buyer whole.
    pub posting_fee: Amount,
    /// The refundable deposit for the records.
    pub deposit: Amount,
    /// The chain time by which every slot must be matched.
    pub match_until: Millis,
    /// The block that it was posted in.
    pub posted: Height,
}
state_record!(Order {
    buyer,
    poster,
    header,
    has_blob_spec,
    streams,
    slots_open,
    slot_budget,
    quote_max,
    check_fee,
    terms,
    has_appeals,
    settlement_fee,
    posting_fee,
    deposit,
    match_until,
    posted,
});

/// Where a slot is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Waits for the beacon to match it, or for a worker that fits.
    #[default]
    AwaitingMatch,
    /// A worker runs it.
    Executing,
    /// Waits for the beacon to draw verifiers.
    AwaitingDraw,
    /// Drawn verifiers commit to their traces.
    Committing,
    /// The worker opens its trace.
    Opening,
    /// Verifiers reveal.
    Revealing,
    /// The verdict can be challenged.
    Challengeable,
    /// Waits for the beacon to draw the dispute's verifiers.
    AwaitingDisputeDraw,
    /// The dispute's verifiers commit.
    DisputeCommitting,
    /// The dispute's verifiers reveal.
    DisputeRevealing,
    /// A lane serves requests.
    Serving,
    /// A lane takes no more requests, but its worker's claims.
    Closing,
    /// A lane waits for the settlement of its last batches.
    Ending,
    /// A batch waits for the beacon to draw its verifiers, and with a link of one its samples.
    AwaitingSample,
    /// The worker shows a batch's sampled leaves.
    Showing,
    /// A batch of which nothing was drawn waits for its time.
    Unsampled,
    /// The dispute's verifiers of a batch are let read what was shown.
    Sharing,
    /// The verdict of a dispute can be appealed.
    Appealable,
    /// An appeal is played.
    Appealed,
    /// One of a batch's verifiers reveals a link of its hash chain.
    Linking,
}

impl Phase {
    const ALL: [Self; 20] = [
        Self::AwaitingMatch,
        Self::Executing,
        Self::AwaitingDraw,
        Self::Committing,
        Self::Opening,
        Self::Revealing,
        Self::Challengeable,
        Self::AwaitingDisputeDraw,
        Self::DisputeCommitting,
        Self::DisputeRevealing,
        Self::Serving,
        Self::Closing,
        Self::Ending,
        Self::AwaitingSample,
        Self::Showing,
        Self::Unsampled,
        Self::Sharing,
        Self::Appealable,
        Self::Appealed,
        Self::Linking,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwaitingMatch => "awaiting_match",
            Self::Executing => "executing",
            Self::AwaitingDraw => "awaiting_draw",
            Self::Committing => "committing",
            Self::Opening => "opening",
            Self::Revealing => "revealing",
            Self::Challengeable => "challengeable",
            Self::AwaitingDisputeDraw => "awaiting_dispute_draw",
            Self::DisputeCommitting => "dispute_committing",
            Self::DisputeRevealing => "dispute_revealing",
            Self::Serving => "serving",
            Self::Closing => "closing",
            Self::Ending => "ending",
            Self::AwaitingSample => "awaiting_sample",
            Self::Showing => "showing",
            Self::Unsampled => "unsampled",
            Self::Sharing => "sharing",
            Self::Appealable => "appealable",
            Self::Appealed => "appealed",
            Self::Linking => "linking",
        }
    }

    fn tag(self) -> u8 {
        let position = Self::ALL
            .iter()
            .position(|phase| *phase == self)
            .unwrap_or(0);
        u8::try_from(position).unwrap_or(u8::MAX)
    }
}

impl Write for Phase {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.tag().write(buf);
    }
}

impl FixedSize for Phase {
    const SIZE: usize = 1;
}

impl Read for Phase {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let tag = u8::read(buf)?;
        Self::ALL
            .get(usize::from(tag))
            .copied()
            .ok_or(Error::InvalidEnum(tag))
    }
}

/// When a slot is looked at next: at a height (a draw), at a chain time not before a height (the end of a window), or at a
/// chain time alone (another try to match it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// The chain time; zero for a draw.
    pub time: Millis,
    /// The height; zero for another try.
    pub height: Height,
}
state_record!(Timer { time, height });

impl Timer {
    fn key(&self, id: SlotId) -> Vec<u8> {
        if self.time == Millis::ZERO {
            keys::due_at_height(self.height, id)
        } else if self.height == Height::ZERO {
            keys::retry_at_time(self.time, id)
        } else {
            keys::due_at_time(self.time, id)
        }
    }
}

/// One drawn verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The verifier.
    pub verifier: Address,
    /// Its key for what it may read, as it was when it was drawn.
    pub seal_key: SealKey,
    /// Its commitment, once it committed.
    pub commitment: Option<Digest>,
    /// Its trace, once it revealed.
    pub trace: Option<Digest>,
}
state_record!(Drawn {
    verifier,
    seal_key,
    commitment,
    trace
});

/// The verifiers of one draw.
pub type Draw = BoundedVec<Drawn, DRAWN_MAX>;

/// A worker that handed in no receipt in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// The worker.
    pub worker: Address,
    /// What that costs it, by its own price.
    pub penalty: Amount,
}
state_record!(Late { worker, penalty });

/// An open slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it is.
    pub phase: Phase,
    /// When it is looked at next.
    pub timer: Timer,
    /// Which assignment, from 0.
    pub attempt: u16,
    /// The worker, once matched.
    pub worker: Option<Address>,
    /// The block of the newest match.
    pub matched: Height,
    /// The block of the newest draw.
    pub drawn: Height,
    /// The worker's owner.
    pub worker_owner: Address,
    /// The prices it was matched at.
    pub prices: PriceVector,
    /// The most that the work can cost at these prices.
    pub quote: Amount,
    /// The worker's stake that covers it.
    pub exposure: Amount,
    /// Workers that handed in no receipt in time: they get it no more.
    pub late: BoundedVec<Late, EXCLUDED_MAX>,
    /// How often nobody fitted since it was last assigned; the buyer is told the first time.
    pub tries: u16,
    /// The receipt, once handed in.
    pub receipt: Option<SignedReceipt>,
    /// The worker's trace, once opened.
    pub opened: Option<Digest>,
    /// The first draw.
    pub first: Draw,
    /// The dispute's draw.
    pub dispute: Draw,
    /// Where the draw's randomness came from.
    pub randomness: Randomness,
    /// The buyer's deposit, if it challenged.
    pub challenge_deposit: Amount,
    /// What it holds as a lane of a session, once matched.
    pub lane: Option<Lane>,
    /// What it holds as a batch of a lane.
    pub batch: Option<Batch>,
    /// What it holds while its verdict may be appealed.
    pub appeals: Option<Appeals>,
}
state_record!(Slot {
    phase,
    timer,
    attempt,
    worker,
    matched,
    drawn,
    worker_owner,
    prices,
    quote,
    exposure,
    late,
    tries,
    receipt,
    opened,
    first,
    dispute,
    randomness,
    challenge_deposit,
    lane,
    batch,
    appeals,
});

impl Slot {
    pub(crate) fn new(timer: Timer) -> Self {
        Self {
            phase: Phase::AwaitingMatch,
            timer,
            attempt: 0,
            worker: None,
            matched: Height::ZERO,
            drawn: Height::ZERO,
            worker_owner: Address::default(),
            prices: PriceVector::default(),
            quote: Amount::ZERO,
            exposure: Amount::ZERO,
            late: BoundedVec::default(),
            tries: 0,
            receipt: None,
            opened: None,
            first: Draw::default(),
            dispute: Draw::default(),
            randomness: Randomness::ValidatorTrusted,
            challenge_deposit: Amount::ZERO,
            lane: None,
            batch: None,
            appeals: None,
        }
    }

    /// The block of the match or draw for which an account still has to act, if it has.
    pub(crate) fn duty_of(&self, account: Address) -> Option<Height> {
        let is_drawn = |draw: &Draw| draw.iter().any(|drawn| drawn.verifier == account);
        match self.phase {
            Phase::Executing
            | Phase::AwaitingDraw
            | Phase::Committing
            | Phase::Opening
            | Phase::Revealing
            | Phase::Serving
            | Phase::Closing
            | Phase::Ending
            | Phase::AwaitingSample
            | Phase::Linking
            | Phase::Showing
            | Phase::Sharing
            | Phase::Appealable
            | Phase::Appealed
                if self.worker == Some(account) =>
            {
                Some(self.matched)
            }
            // Of a batch of which nothing was drawn its buyer may have something checked.
            Phase::Linking
            | Phase::Unsampled
            | Phase::Showing
            | Phase::Committing
            | Phase::Opening
            | Phase::Revealing
            | Phase::Sharing
                if is_drawn(&self.first) =>
            {
                Some(self.known_since())
            }
            Phase::Sharing | Phase::DisputeCommitting | Phase::DisputeRevealing
                if is_drawn(&self.dispute) =>
            {
                Some(self.known_since())
            }
            Phase::Appealable | Phase::Appealed if self.is_heard(account) => {
                Some(self.known_since())
            }
            _ => None,
        }
    }

    /// The block from which on its verifiers find all that they need among the events; what came before can be asked for, but for
    /// a batch, which no order announced.
    fn known_since(&self) -> Height {
        if self.batch.is_some() {
            self.matched
        } else {
            self.drawn
        }
    }

    /// The worker, which every phase after the match has.
    pub(crate) fn assigned(&self) -> Result<Address, Fault> {
        present(self.worker, "worker of a matched slot")
    }
}

/// A slot that a timer or another record refers to.
pub(crate) fn slot_of(overlay: &Overlay<'_>, id: SlotId) -> Result<Slot, Fault> {
    present(overlay.load(&keys::slot(id))?, "slot")
}

/// Writes a slot and moves its timer, so that there is always exactly one.
pub(crate) fn store_slot(execution: &mut Execution<'_>, id: SlotId, slot: &mut Slot, timer: Timer) {
    execution.overlay.delete(slot.timer.key(id));
    slot.timer = timer;
    execution.overlay.store(timer.key(id), &Mark {});
    execution.overlay.store(keys::slot(id), slot);
}

/// Slots whose timers have keys in a range, with these keys: the first so many.
pub(super) fn due(
    execution: &Execution<'_>,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, SlotId)>, Fault> {
    scan::<Mark>(&execution.overlay, from, to, limit)?
        .into_iter()
        .map(|(key, Mark {})| {
            let id = key.get(9..).unwrap_or_default();
            let id = fairweir_types::decode(id).map_err(|source| Fault::Record {
                key: key.clone(),
                source,
            })?;
            Ok((key, id))
        })
        .collect()
}

/// Writes a slot in another phase, with a window of so many milliseconds of chain time that opens with this block; the time at which it closes.
pub(crate) fn begin_window(
    execution: &mut Execution<'_>,
    id: SlotId,
    slot: &mut Slot,
    (phase, window): (Phase, u64),
) -> Result<Millis, Fault> {
    let time = execution.window_end(window)?;
    let height = execution.window_height()?;
    slot.phase = phase;
    store_slot(execution, id, slot, Timer { time, height });
    Ok(time)
}

/// Writes a slot whose timer stays.
pub(crate) fn keep_slot(execution: &mut Execution<'_>, id: SlotId, slot: &Slot) {
    execution.overlay.store(keys::slot(id), slot);
}

/// Deletes a slot with its timer.
pub(crate) fn drop_slot(execution: &mut Execution<'_>, id: SlotId, slot: &Slot) {
    execution.overlay.delete(slot.timer.key(id));
    execution.overlay.delete(keys::slot(id));
}
