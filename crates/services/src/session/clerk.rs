//! The worker's business with the ledger: batches are posted, drawn leaves are shown, and commitments are opened.

use super::{
    check,
    lanes::{Claimable, Lanes, Showing, Stragglers},
};
use crate::{
    Blobs,
    pipeline::{Fresh, PipelineError, SUBMIT_WITHIN, TRIES_MAX, feed, pause, within},
    world::{ChainClient, ChainError},
};
use commonware_runtime::Clock;
use core::{pin::pin, time::Duration};
use fairweir_types::{
    Action, BoundedVec, Boxed, Event, Height, Millis, TxCode,
    event::LeavesDue,
    order::SlotId,
    session::root_of,
    tx::{OpenBatch, PostBatch, ShowLeaves},
};
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How often the clerk looks for what to claim.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Errands under way at a time.
const ERRANDS_MAX: usize = 32;
/// The ledger's codes that say: fewer requests, and: too little to pay for its settlement.
/// Milliseconds of blocks' time until a lane whose claim was refused claims again.
const CLAIM_AGAIN_MS: u64 = 5_000;
/// How long a lane that closes waits for its last requests: a third of its window for claims.
const STRAGGLERS_WITHIN: Duration = Duration::from_secs(20);
/// Codes after which a batch is surely not on the ledger, and not about to be.
const SURELY_NOT_TAKEN: [TxCode; 6] = [
    BATCH_SIZE,
    TxCode(607),
    TxCode(608),
    BATCH_TOO_SMALL,
    TxCode(618),
    TxCode(619),
];
const BATCH_SIZE: TxCode = TxCode(605);
const BATCH_TOO_SMALL: TxCode = TxCode(609);

/// When a worker claims what it served.
#[derive(Clone, Copy, Debug)]
pub struct ClerkOptions {
    /// So many requests are claimed at once.
    pub batch_requests: usize,
    /// Fewer are claimed after this time.
    pub batch_after: Duration,
}

impl Default for ClerkOptions {
    fn default() -> Self {
        Self {
            // The most of which the samples of one batch are still one in a hundred.
            batch_requests: 1_600,
            // Six an hour: a batch costs eight transactions, its challenge window is an hour, and fewer than may be open at a time wait for its end.
            batch_after: Duration::from_secs(600),
        }
    }
}

/// The clerk of one worker.
#[derive(Debug)]
pub struct Clerk<C> {
    chain: C,
    lanes: Lanes,
    blobs: Arc<dyn Blobs>,
    options: ClerkOptions,
    /// Samples that were asked for, for the opening that follows.
    due: BTreeMap<SlotId, LeavesDue>,
    /// Lanes with a claim under way.
    claiming: BTreeSet<SlotId>,
    /// Since which block's time each lane's requests wait.
    waiting: BTreeMap<SlotId, Millis>,
    /// The time before which a lane claims nothing.
    not_before: BTreeMap<SlotId, Millis>,
    /// The newest block's time.
    now: Millis,
    /// Requests of one batch that the ledger takes.
    most: usize,
}

/// What came of an errand.
enum Done {
    Claimed { lane: SlotId, code: Option<TxCode> },
    Ran,
}

impl<C: ChainClient> Clerk<C> {
    /// A clerk for a worker's lanes.
    #[must_use]
    pub fn new(chain: C, lanes: Lanes, blobs: Arc<dyn Blobs>, options: ClerkOptions) -> Self {
        Self {
            chain,
            lanes,
            blobs,
            most: options.batch_requests.max(1),
            options,
            due: BTreeMap::new(),
            claiming: BTreeSet::new(),
            waiting: BTreeMap::new(),
            not_before: BTreeMap::new(),
            now: Millis::ZERO,
        }
    }

    /// Follows the chain from a height; ends with the error that stopped it.
    pub async fn run(&mut self, clock: &impl Clock, from: Height) -> PipelineError {
        let Self { chain, .. } = self;
        let chain: &C = &*chain;
        // The machine and what it borrows apart, so that errands can run while it decides.
        let mut machine = Machine {
            lanes: self.lanes.clone(),
            blobs: Arc::clone(&self.blobs),
            options: self.options,
            due: &mut self.due,
            claiming: &mut self.claiming,
            waiting: &mut self.waiting,
            not_before: &mut self.not_before,
            now: &mut self.now,
            most: &mut self.most,
        };
        machine.claiming.clear();
        let mut pages = feed(chain, clock, from).boxed();
        let mut errands: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        loop {
            match turn(&mut pages, &mut errands, clock).await {
                Turn::Page(Some(Ok((page, seen)))) => {
                    *machine.now = page.time;
                    for event in page.events.iter().skip(seen) {
                        errands.extend(machine.decide(chain, clock, event));
                    }
                }
                Turn::Page(Some(Err(error))) => return error.into(),
                Turn::Page(None) => {
                    return ChainError::Unreachable("the events ended".to_owned()).into();
                }
                Turn::Done(Done::Claimed { lane, code }) => machine.claimed(lane, code),
                Turn::Done(Done::Ran) => {}
                Turn::Look => {
                    let room = ERRANDS_MAX.saturating_sub(errands.len());
                    errands.extend(machine.look(chain, clock, room));
                }
            }
        }
    }
}

/// What comes next: events, the end of an errand, or time to look for what to claim.
enum Turn {
    Page(Option<Result<Fresh, ChainError>>),
    Done(Done),
    Look,
}

async fn turn<E: Clock>(
    pages: &mut (impl Stream<Item = Result<Fresh, ChainError>> + Unpin),
    errands: &mut FuturesUnordered<BoxFuture<'_, Done>>,
    clock: &E,
) -> Turn {
    let mut done = std::future::poll_fn(|context| match errands.poll_next_unpin(context) {
        core::task::Poll::Ready(Some(done)) => core::task::Poll::Ready(done),
        // An empty set just waits.
        _ => core::task::Poll::Pending,
    });
    let look = pin!(clock.sleep(LOOK_EVERY));
    let other = select(&mut done, look);
    match select(pages.next(), other).await {
        Either::Left((page, _)) => Turn::Page(page),
        Either::Right((Either::Left((done, _)), _)) => Turn::Done(done),
        Either::Right((Either::Right(_), _)) => Turn::Look,
    }
}

struct Machine<'a> {
    lanes: Lanes,
    blobs: Arc<dyn Blobs>,
    options: ClerkOptions,
    due: &'a mut BTreeMap<SlotId, LeavesDue>,
    claiming: &'a mut BTreeSet<SlotId>,
    waiting: &'a mut BTreeMap<SlotId, Millis>,
    not_before: &'a mut BTreeMap<SlotId, Millis>,
    now: &'a mut Millis,
    most: &'a mut usize,
}

impl Machine<'_> {
    fn decide<'c, C: ChainClient, E: Clock>(
        &mut self,
        chain: &'c C,
        clock: &'c E,
        event: &Event,
    ) -> Option<BoxFuture<'c, Done>> {
        let me = self.lanes.me();
        match event {
            Event::LaneOpened(opened) if opened.worker == me => self.lanes.open(opened),
            Event::LaneToppedUp(raised) if raised.worker == me => self.lanes.raised(raised),
            Event::LaneClosing(closing) if closing.worker == me => {
                self.lanes.closing(closing.slot_id);
                // From here on it waits for stragglers alone.
                self.waiting.insert(closing.slot_id, *self.now);
            }
            Event::LaneClosed(closed) if closed.worker == me => {
                self.waiting.remove(&closed.slot_id);
                self.not_before.remove(&closed.slot_id);
                self.lanes.closed(closed.slot_id);
            }
            Event::BatchPosted(posted) if posted.worker == me => {
                self.claiming.remove(&posted.lane);
                self.lanes.posted(posted);
            }
            Event::LeavesDue(due) if due.worker == me => {
                self.due.insert(due.slot_id, (**due).clone());
                return self.show(chain, clock, due);
            }
            Event::SharingDue(due) if due.worker == me => {
                let action = Action::ShareLeaves(Boxed::new(self.lanes.shared(due)));
                let errand = async move {
                    submit(chain, clock, action).await;
                    Done::Ran
                };
                return Some(errand.boxed());
            }
            Event::OpeningDue(due) if due.worker == me => {
                let asked = self.due.get(&due.slot_id)?;
                return self.open(chain, clock, asked);
            }
            Event::BatchSettled(settled) => self.over(settled.slot_id),
            Event::Refunded(refunded) => self.over(refunded.slot_id),
            _ => {}
        }
        None
    }

    fn over(&mut self, slot_id: SlotId) {
        self.due.remove(&slot_id);
        self.lanes.settled(slot_id);
    }

    fn show<'c, C: ChainClient, E: Clock>(
        &self,
        chain: &'c C,
        clock: &'c E,
        due: &LeavesDue,
    ) -> Option<BoxFuture<'c, Done>> {
        let Some(showing) = self.lanes.shown(due) else {
            tracing::error!(slot_id = %due.slot_id, "the drawn leaves of a batch are not kept here, this costs as much as wrong work");
            return None;
        };
        let (blobs, slot_id) = (Arc::clone(&self.blobs), due.slot_id);
        Some(
            async move {
                let Showing {
                    shown,
                    blob,
                    sampled,
                } = showing;
                let Some(sealed) = put(blobs.as_ref(), blob.clone(), clock).await else {
                    tracing::error!(%slot_id, "the drawn leaves could not be stored");
                    return Done::Ran;
                };
                let action = Action::ShowLeaves(Boxed::new(ShowLeaves {
                    slot_id,
                    shown,
                    sealed,
                    leaves: check::bounded(sampled),
                }));
                // Also when the ledger had it already: an answer may have been lost.
                if submit(chain, clock, action).await.is_some()
                    && put(blobs.as_ref(), blob, clock).await.is_none()
                {
                    // A store keeps what a transaction names before what none does, so it may have gone meanwhile.
                    tracing::error!(%slot_id, "the drawn leaves could not be stored again");
                }
                Done::Ran
            }
            .boxed(),
        )
    }

    fn open<'c, C: ChainClient, E: Clock>(
        &self,
        chain: &'c C,
        clock: &'c E,
        due: &LeavesDue,
    ) -> Option<BoxFuture<'c, Done>> {
        let slot_id = due.slot_id;
        let openings = self.lanes.openings(slot_id, due.samples.as_slice())?;
        let action = Action::OpenBatch(Boxed::new(OpenBatch {
            slot_id,
            openings: BoundedVec::truncating(openings),
        }));
        Some(
            async move {
                submit(chain, clock, action).await;
                Done::Ran
            }
            .boxed(),
        )
    }

    /// Claims for lanes that have enough, have waited long enough, or close.
    fn look<'c, C: ChainClient, E: Clock>(
        &mut self,
        chain: &'c C,
        clock: &'c E,
        room: usize,
    ) -> Vec<BoxFuture<'c, Done>> {
        let now = *self.now;
        let mut errands = Vec::new();
        for claimable in self.lanes.to_claim() {
            let Claimable {
                lane,
                is_closing,
                requests,
            } = claimable;
            let since = *self.waiting.entry(lane).or_insert(now);
            let waited = Duration::from_millis(now.get().saturating_sub(since.get()));
            let is_due = is_closing || requests >= *self.most || waited >= self.options.batch_after;
            let is_early = self.not_before.get(&lane).is_some_and(|time| now < *time);
            if !is_due || is_early || self.claiming.contains(&lane) || errands.len() >= room {
                continue;
            }
            let stragglers = if is_closing && waited >= STRAGGLERS_WITHIN {
                Stragglers::GivenUp
            } else {
                Stragglers::Awaited
            };
            let Some(claim) = self.lanes.claim(lane, (*self.most, stragglers)) else {
                continue;
            };
            let Some(root) = root_of(&claim.leaves) else {
                continue;
            };
            self.waiting.remove(&lane);
            self.claiming.insert(lane);
            let action = Action::PostBatch(Boxed::new(PostBatch {
                lane: claim.lane,
                number: claim.number,
                root: root.digest,
                count: u32::try_from(claim.leaves.len()).unwrap_or(u32::MAX),
                numbers: claim.numbers,
                total: root.sum,
                voucher: claim.voucher,
            }));
            let errand = async move {
                let code = submit(chain, clock, action).await;
                Done::Claimed { lane, code }
            };
            errands.push(errand.boxed());
        }
        errands
    }

    fn claimed(&mut self, lane: SlotId, code: Option<TxCode>) {
        // A claim that was taken is over with its event, so that its requests are not claimed again before.
        if code != Some(TxCode::OK) {
            self.claiming.remove(&lane);
        }
        if code.is_some_and(|code| SURELY_NOT_TAKEN.contains(&code)) {
            self.lanes.refused(lane);
        }
        if code != Some(TxCode::OK) {
            // What was refused is refused again for a while, and each claim costs its fee.
            let again = self.now.get().saturating_add(CLAIM_AGAIN_MS);
            self.not_before.insert(lane, Millis(again));
        }
        match code {
            Some(BATCH_SIZE) => *self.most = (*self.most / 2).max(1),
            Some(BATCH_TOO_SMALL) => {
                tracing::debug!(%lane, "a batch does not pay for its settlement yet");
            }
            _ => {}
        }
    }
}

async fn put<E: Clock>(
    blobs: &dyn Blobs,
    bytes: Vec<u8>,
    clock: &E,
) -> Option<fairweir_types::Digest> {
    for tries in 1..=TRIES_MAX {
        match blobs.put(bytes.clone()).await {
            Ok(digest) => return Some(digest),
            Err(error) if error.is_retryable() => clock.sleep(pause(tries)).await,
            Err(_) => return None,
        }
    }
    None
}

/// Sends a transaction until the ledger says something; its code, or nothing when it was not reached.
async fn submit<C: ChainClient, E: Clock>(chain: &C, clock: &E, action: Action) -> Option<TxCode> {
    let name = action.name();
    for tries in 1..=TRIES_MAX {
        let answer = within(clock, SUBMIT_WITHIN, chain.submit(action.clone()))
            .await
            .unwrap_or(Err(ChainError::DeadlinePassed));
        match answer {
            Ok(outcome) => {
                tracing::info!(name, code = outcome.code.0, reason = %outcome.reason, "submitted");
                return Some(outcome.code);
            }
            Err(error) if error.is_retryable() => {
                tracing::info!(name, %error, tries, "submission failed, trying again");
                clock.sleep(pause(tries)).await;
            }
            Err(error) => {
                tracing::warn!(name, %error, "not submitted");
                return None;
            }
        }
    }
    None
}
