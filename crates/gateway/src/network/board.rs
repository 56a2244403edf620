//! What the chain says of our orders: one follower of its events for all requests.

use super::audit::Auditor;
use fairweir_client::{ClientError, NodeClient, orders};
use fairweir_net::Network;
use fairweir_types::{
    Address, Amount, Event, Height,
    event::{BatchPosted, LaneOpened, Matched, RefundReason, SlashReason},
    node_api::{Duties, EventPage},
    order::OrderId,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::TaskTracker;

/// Time before a lost connection to the node is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// The node's word for a block that it does not have any more.
const PRUNED: &str = "pruned";

/// What is told about an order.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// It is posted; so much is locked for work and checks.
    Posted {
        escrow: Amount,
    },
    /// A worker has it.
    Matched(Box<Matched>),
    /// No worker fits now, and why.
    Unmatched {
        reasons: Vec<String>,
    },
    /// The worker failed.
    Replaced {
        reason: SlashReason,
    },
    /// The money came back.
    Refunded {
        reason: RefundReason,
    },
    LaneOpened(Box<LaneOpened>),
}

/// By order, and by number: an id may be tried twice while a node lags.
type Ears = BTreeMap<(OrderId, u64), mpsc::UnboundedSender<Told>>;

/// Who listens to which order. What an order can be told is bounded by its time to be matched and its replacements.
#[derive(Debug, Default)]
pub(super) struct Board {
    ears: Mutex<Ears>,
    numbers: AtomicU64,
    tip: AtomicU64,
}

/// Hears of one order until it is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    board: Arc<Board>,
    ear: (OrderId, u64),
    pub(super) told: mpsc::UnboundedReceiver<Told>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.board.ears().remove(&self.ear);
    }
}

impl Board {
    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest block that is known.
    pub(super) fn tip(&self) -> Height {
        Height(self.tip.load(Ordering::Relaxed))
    }

    pub(super) fn raise_tip(&self, height: Height) {
        self.tip.fetch_max(height.get(), Ordering::Relaxed);
    }

    /// Listens to an order from now on.
    pub(super) fn listen(self: &Arc<Self>, order: OrderId) -> Listening {
        let (sender, told) = mpsc::unbounded_channel();
        let ear = (order, self.numbers.fetch_add(1, Ordering::Relaxed));
        self.ears().insert(ear, sender);
        Listening {
            board: Arc::clone(self),
            ear,
            told,
        }
    }

    pub(super) fn tell(&self, order: OrderId, told: &Told) {
        for (_, ear) in self.ears().range((order, 0)..=(order, u64::MAX)) {
            let _ = ear.send(told.clone());
        }
    }
}

/// Follows the chain's events for ever.
#[derive(Debug)]
pub(super) struct Follower<N> {
    pub(super) client: NodeClient<N>,
    /// The gateway's own account: a buyer, or the delegate of one.
    pub(super) account: Address,
    /// Whose money it spends: its own, or its owner's.
    pub(super) payer: Address,
    pub(super) tasks: TaskTracker,
    pub(super) board: Arc<Board>,
    pub(super) auditor: Auditor<N>,
    pub(super) hearing: Mutex<Hearing>,
}

/// A place in the chain's events: a block, and a position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    height: Height,
    first: u32,
}

impl Place {
    const fn at(height: Height) -> Self {
        Self { height, first: 0 }
    }

    const fn of(page: &EventPage) -> Self {
        Self {
            height: page.height,
            first: page.first,
        }
    }

    /// That behind a page.
    fn after(page: &EventPage) -> Self {
        if page.more {
            let count = u32::try_from(page.events.len()).unwrap_or(u32::MAX);
            return Self {
                first: page.first.saturating_add(count),
                ..Self::of(page)
            };
        }
        Self::at(page.height.next().unwrap_or(page.height))
    }
}

/// What receipts hear: every page once, in order, be it told to all or asked for because nobody was there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing {
    /// What they hear next.
    next: Place,
    /// What is told to all next.
    told: Place,
}

impl Hearing {
    /// They hear from one block on what is told from another on.
    pub(super) fn new(next: Height, told: Height) -> Self {
        Self {
            next: Place::at(next.min(told)),
            told: Place::at(told),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.next >= self.told
    }
}

impl<N: Network> Follower<N> {
    pub(super) async fn run(&self) {
        // Pages of a block that is read again after a lost connection are not told twice.
        let mut told_until = (Height::ZERO, 0);
        loop {
            let from = self.board.tip();
            if let Err(error) = self.follow(from, &mut told_until).await {
                tracing::warn!(%error, "the chain's events are followed again");
                if error.refusal_code() == Some(PRUNED) {
                    self.skip_told().await;
                }
            }
            self.auditor.offers.forget();
            sleep(PAUSE).await;
        }
    }

    async fn follow(
        &self,
        from: Height,
        told_until: &mut (Height, u32),
    ) -> Result<(), ClientError> {
        let mut events = self.client.follow(from).await?;
        loop {
            let page = events.next().await?;
            let place = (page.height, page.first.saturating_add(1));
            if place <= *told_until {
                continue;
            }
            *told_until = place;
            self.tell(&page);
            self.board.raise_tip(page.height);
        }
    }

    /// The node does not have any more what comes after the block that it told last: goes on with the oldest that it has.
    async fn skip_told(&self) {
        let told = self.board.tip();
        let Ok(Duties { tip, .. }) = self.client.duties(self.account).await else {
            return;
        };
        let kept = self.oldest_kept(told, tip).await;
        if kept <= told {
            return;
        }
        tracing::warn!("what the chain said between blocks {told} and {kept} is not told any more");
        self.auditor.receipts.lose_sight();
        let mut hearing = self.hearing();
        // Who is still catching up comes to there.
        if hearing.is_done() {
            hearing.next = hearing.next.max(Place::at(kept));
        }
        hearing.told = hearing.told.max(Place::at(kept));
        self.board.raise_tip(kept);
    }

    /// Hears for receipts what came about while no process of ours did.
    pub(super) async fn catch_up(&self) {
        let receipts = &self.auditor.receipts;
        while let Err(error) = self.hear_on().await {
            if !error.is_retryable() {
                receipts.lose_sight();
                self.skip(&error).await;
            }
            sleep(PAUSE).await;
        }
        receipts.catch_up();
    }

    /// Hears what comes next until all is heard that was told.
    async fn hear_on(&self) -> Result<(), ClientError> {
        if self.hearing().is_done() {
            return Ok(());
        }
        let from = self.hearing().next.height;
        let mut events = self.client.follow(from).await?;
        loop {
            let page = events.next().await?;
            if self.hear_in_order(&page, false) {
                return Ok(());
            }
        }
    }

    /// The node does not have the next block any more: goes on with the oldest that it has.
    async fn skip(&self, error: &ClientError) {
        let Hearing { next, told } = *self.hearing();
        let kept = self.oldest_kept(next.height, told.height).await;
        tracing::warn!(%error, "what was settled from block {} to {kept} is not told any more: it has no receipts", next.height);
        self.hearing().next = Place::at(kept);
    }

    /// The oldest block from which on the node has all, between one behind which it has not and one that it has.
    async fn oldest_kept(&self, gone: Height, kept: Height) -> Height {
        let (mut gone, mut kept) = (gone.get(), kept.get());
        while gone.saturating_add(1) < kept {
            let middle = gone.midpoint(kept);
            match self.is_kept(Height(middle), Height(kept)).await {
                Ok(true) => kept = middle,
                Ok(false) => gone = middle,
                Err(_) => sleep(PAUSE).await,
            }
        }
        Height(kept)
    }

    /// Whether the node has a block and the next one, where that is not the one that it has: blocks in which seats change hands it keeps, each alone.
    async fn is_kept(&self, height: Height, kept: Height) -> Result<bool, ClientError> {
        let next = height.next().filter(|next| *next < kept);
        let last = next.unwrap_or(height);
        let reaches = async {
            let mut events = self.client.follow(height).await?;
            while events.next().await?.height < last {}
            Ok::<_, ClientError>(())
        };
        match reaches.await {
            Ok(()) => Ok(true),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Ok(false),
        }
    }

    pub(super) fn hearing(&self) -> MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears a page if it is the next one, whichever stream brings it; says whether all is heard that was told.
    fn hear_in_order(&self, page: &EventPage, is_told: bool) -> bool {
        let mut hearing = self.hearing();
        let after = Place::after(page);
        if is_told {
            hearing.told = hearing.told.max(after);
        }
        if hearing.next == Place::of(page) {
            self.hear(page);
            hearing.next = after;
        }
        hearing.is_done()
    }

    /// What a page says of our receipts. Heard again, nothing changes.
    fn hear(&self, page: &EventPage) {
        let receipts = &self.auditor.receipts;
        for (index, event) in page.events.iter().enumerate() {
            match event {
                Event::LaneOpened(opened) if opened.payers.include(self.account) => {
                    receipts.open_lane(opened);
                }
                Event::LaneClosed(closed) => receipts.close_lane(&closed.slot_id),
                Event::BatchPosted(posted) if receipts.begin_audit(posted) => {
                    self.audit(**posted);
                }
                Event::BatchSettled(settled) if settled.payers.include(self.account) => {
                    let position = usize::try_from(page.first).unwrap_or(usize::MAX);
                    let place = (page.height, position.saturating_add(index));
                    receipts.settle_batch(settled, place);
                }
                Event::Refunded(refunded) => receipts.refund_batch(refunded.slot_id),
                _ => {}
            }
            if let Some((slot_id, end)) = orders::end_of(page, index) {
                receipts.end(slot_id, end);
            }
        }
        receipts.hear(page.height);
    }

    /// Asks the worker of a batch for its leaves.
    pub(super) fn audit(&self, posted: BatchPosted) {
        let auditor = self.auditor.clone();
        self.tasks
            .spawn(async move { auditor.audit(&posted).await });
    }

    fn tell(&self, page: &EventPage) {
        self.hear_in_order(page, true);
        let Auditor {
            receipts,
            lanes,
            offers,
            ..
        } = &self.auditor;
        for event in page.events.iter() {
            match event {
                Event::OfferRegistered(_) | Event::OfferWithdrawn(_) | Event::ServiceSet(_) => {
                    offers.forget()
                }
                Event::OrderPosted(posted) if posted.poster == self.account => {
                    let escrow = posted.escrow;
                    self.board.tell(posted.order, &Told::Posted { escrow });
                }
                Event::Matched(matched) if matched.buyer == self.payer => {
                    let told = Told::Matched(Box::new((**matched).clone()));
                    self.board.tell(matched.slot_id.order, &told);
                }
                Event::LaneOpened(opened) if opened.payers.include(self.account) => {
                    // It is used at once, though receipts may not have heard of it in its turn.
                    receipts.open_lane(opened);
                    let told = Told::LaneOpened(Box::new((**opened).clone()));
                    self.board.tell(opened.slot_id.order, &told);
                }
                // Its session's owner may close it too.
                Event::LaneClosing(closing) => lanes.end(closing.slot_id),
                Event::Unmatched(unmatched) => {
                    let reasons = unmatched
                        .candidates
                        .iter()
                        .map(|candidate| candidate.reason.name().to_owned())
                        .collect();
                    self.board
                        .tell(unmatched.slot_id.order, &Told::Unmatched { reasons });
                }
                Event::WorkerReplaced(replaced) => {
                    let reason = replaced.reason;
                    self.board
                        .tell(replaced.slot_id.order, &Told::Replaced { reason });
                }
                Event::Refunded(refunded) if refunded.buyer == self.payer => {
                    let reason = refunded.reason;
                    self.board
                        .tell(refunded.slot_id.order, &Told::Refunded { reason });
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
