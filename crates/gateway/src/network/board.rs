//! What the chain says of our orders: one follower of its events for all requests.

use super::audit::Auditor;
use fairweir_client::{ClientError, NodeClient, orders};
use fairweir_net::Network;
use fairweir_types::{
    Address, Amount, Event, Height,
    event::{BatchPosted, LaneOpened, Matched, RefundReason, SlashReason},
    node_api::EventPage,
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
}

impl<N: Network> Follower<N> {
    pub(super) async fn run(&self) {
        // Pages of a block that is read again after a lost connection are not told twice.
        let mut told_until = (Height::ZERO, 0);
        loop {
            let from = self.board.tip();
            if let Err(error) = self.follow(from, &mut told_until).await {
                tracing::warn!(%error, "the chain's events are followed again");
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

    /// Hears for receipts what came about while no process of ours did: from a block to the one at which following begins.
    pub(super) async fn catch_up(&self, from: Height, to: Height) {
        let receipts = &self.auditor.receipts;
        let mut next = from;
        while let Err(error) = self.hear_until(&mut next, to).await {
            if !error.is_retryable() {
                tracing::warn!(%error, "what was settled from block {next} to {to} is not heard any more: it has no receipts");
                break;
            }
            tracing::debug!(%error, "what was settled meanwhile is asked for again");
            sleep(PAUSE).await;
        }
        receipts.catch_up(to, true);
    }

    async fn hear_until(&self, next: &mut Height, to: Height) -> Result<(), ClientError> {
        let mut events = self.client.follow(*next).await?;
        loop {
            let page = events.next().await?;
            if page.height >= to {
                return Ok(());
            }
            self.hear(&page);
            *next = page.height;
            self.auditor.receipts.catch_up(page.height, false);
        }
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
    }

    /// Asks the worker of a batch for its leaves.
    pub(super) fn audit(&self, posted: BatchPosted) {
        let auditor = self.auditor.clone();
        self.tasks
            .spawn(async move { auditor.audit(&posted).await });
    }

    fn tell(&self, page: &EventPage) {
        self.hear(page);
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
        receipts.hear(page.height);
    }
}

#[cfg(test)]
mod tests;
