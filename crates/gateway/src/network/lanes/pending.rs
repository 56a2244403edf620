//! Sessions whose lanes are not all known yet: each is written down before it is posted, so that what it locks is used though the process ends before
//! it hears of the lanes.

use super::{LEDGER_MARGIN, Lanes, SERVING, Session, Trade};
use crate::{
    market::MarketError,
    network::{Shared, poster::Posted},
};
use commonware_codec::{Copying, Decode as _, Encode as _};
use fairweir_client::ClientError;
use fairweir_net::Network;
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    Action, Event, Height, Millis, SignedTx,
    event::LaneOpened,
    node_api::{EventPage, OrderReport},
    order::{OrderHeader, OrderId, SlotId},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Of what is written down; lanes, which lie on the same shelf, have others.
const FORMAT: u8 = 2;
/// Under this number it lies beside the lanes of its session, which has not so many.
const RECORD_SLOT: u16 = u16::MAX;
/// Time before what was not reached is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a transaction that was lost is waited for. After that the next process sees.
const POSTED_WITHIN: Duration = Duration::from_secs(10);
/// The node's words for a transaction that no block can hold any more.
const NEVER: [&str; 3] = ["other_chain", "expired", "nonce_too_low"];
/// The ledger's word for a slot that may still become a lane.
const AWAITING: &str = "awaiting_match";

const fn record_key(order: OrderId) -> SlotId {
    SlotId {
        order,
        slot: RECORD_SLOT,
    }
}

/// One of them, as it is written down: the transaction that opens it. Whoever sends the same again hears what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingSession(SignedTx);

impl PendingSession {
    fn encode(tx: &SignedTx) -> Vec<u8> {
        (FORMAT, tx.clone()).encode().to_vec()
    }

    /// `None` for what is damaged, or no such record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (format, tx) = <(u8, SignedTx)>::decode_cfg(Copying(bytes), &((), ())).ok()?;
        (format == FORMAT).then_some(Self(tx))
    }

    fn order(&self) -> OrderId {
        let tx = &self.0.transaction;
        OrderId::of(&tx.chain_id, tx.sender.address(), tx.nonce)
    }

    /// What its lanes are for; `None` for what opens no session of ours.
    fn trade(&self) -> Option<Trade> {
        let header = match &self.0.transaction.action {
            Action::PostOrder(post) => &post.header,
            Action::OpenSession(open) => &open.header,
            _ => return None,
        };
        let capability = header.requirements.capabilities.iter().next()?.clone();
        let kind = header.kind;
        Some(Trade { kind, capability })
    }
}

/// Posts a session that is written down before.
pub(super) async fn post<N: Network>(
    shared: &Shared<N>,
    header: OrderHeader,
) -> Result<Posted, MarketError> {
    let owner = shared.options.owner;
    let Some(shelf) = &shared.options.sessions else {
        return shared.poster.open_session(owner, header, |_, _| ()).await;
    };
    let newest = Mutex::new(None);
    let write_down = |order, tx: &SignedTx| {
        shelf.keep(record_key(order), &PendingSession::encode(tx));
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
    };
    let posted = shared.poster.open_session(owner, header, write_down).await;
    let newest = newest.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What was tried before, or not answered, may be in a block, or come into one: the next process sees.
    if let (Err(error), Some(order)) = (&posted, newest)
        && !matches!(error, MarketError::Unreachable(_))
    {
        forget(&**shelf, order);
    }
    posted
}

/// A session is closed, or its lanes are written down.
pub(super) fn forget(shelf: &dyn Shelf, order: OrderId) {
    shelf.forget(record_key(order));
}

impl Lanes {
    fn has_lanes(&self, order: OrderId) -> bool {
        let has_lanes = |session: &Session| session.order == order && !session.lanes.is_empty();
        self.sessions().iter().any(has_lanes)
    }

    /// No more lanes of a session are waited for.
    pub(super) fn end_pending<N: Network>(&self, shared: &Shared<N>, order: OrderId) {
        // Without a lane nothing else would lead to it.
        if let Some(shelf) = &shared.options.sessions
            && self.has_lanes(order)
        {
            forget(&**shelf, order);
        }
    }
}

/// While any of these is there nobody opens a session.
type Turn = Arc<OwnedMutexGuard<()>>;

/// What a former process left.
#[derive(Debug)]
pub(super) struct Inherited<N> {
    pub(super) shared: Arc<Shared<N>>,
    /// The lanes that it had written down.
    pub(super) known: BTreeSet<SlotId>,
}

impl<N: Network> Inherited<N> {
    /// Takes up the sessions whose lanes it did not all know. No other is opened before each has a lane, or gets none.
    pub(super) async fn take_up(self, pending: Vec<PendingSession>) -> Result<(), ClientError> {
        let inherited = Arc::new(self);
        let lanes = &inherited.shared.lanes;
        let turn = Arc::clone(&lanes.opening).lock_owned().await;
        let turn = Arc::new(turn);
        for pending in pending {
            let Some(trade) = pending.trade() else {
                continue;
            };
            let Some(report) = inherited.posted(&pending).await? else {
                continue;
            };
            lanes.know_session(report.order);
            let turn = (!lanes.has_lanes(report.order)).then(|| Arc::clone(&turn));
            let (task, stop) = (Arc::clone(&inherited), inherited.shared.stop.clone());
            inherited.shared.tasks.spawn(async move {
                tokio::select! {
                    () = task.join(trade, &report, turn) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        Ok(())
    }

    /// What the ledger has of it, once its transaction is in a block.
    async fn posted(&self, pending: &PendingSession) -> Result<Option<OrderReport>, ClientError> {
        let (order, poster) = (pending.order(), &self.shared.poster);
        // Another transaction of the account may have its number, and so an order by its name: what became of these bytes counts.
        let submitted = timeout(POSTED_WITHIN, poster.submit(&pending.0)).await;
        tracing::debug!(%order, ?submitted, "a session that may not be answered is posted again");
        match submitted {
            Ok(Ok(included)) if included.outcome.is_done() => {}
            Ok(Ok(_)) => {
                self.forget(order);
                return Ok(None);
            }
            Ok(Err(error))
                if error
                    .refusal_code()
                    .is_some_and(|code| NEVER.contains(&code)) =>
            {
                self.forget(order);
                return Ok(None);
            }
            // The next process sees.
            Ok(Err(_)) | Err(_) => return Ok(None),
        }
        match self.shared.sender.client().order(order).await {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.refusal_code() == Some("not_found") => {
                self.forget(order);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn forget(&self, order: OrderId) {
        if let Some(shelf) = &self.shared.options.sessions {
            forget(&**shelf, order);
        }
    }

    /// Uses the lanes that it gets; closes it if it gets none. The turn ends with the first of them.
    async fn join(&self, trade: Trade, report: &OrderReport, turn: Option<Turn>) {
        let (lanes, order) = (&self.shared.lanes, report.order);
        let within = Duration::from_millis(self.shared.options.match_within.get());
        let within = within.saturating_add(LEDGER_MARGIN);
        let may_serve = report
            .slots
            .iter()
            .filter(|slot| matches!(slot.phase.as_str(), SERVING | AWAITING));
        let may_serve = may_serve.map(|slot| slot.slot_id);
        let mut replay = LaneReplay {
            shared: &self.shared,
            trade,
            awaited: may_serve
                .filter(|slot_id| !self.known.contains(slot_id))
                .collect(),
            begun: None,
            within,
            turn,
        };
        let deadline = Instant::now() + within;
        while let Ok(heard) = timeout_at(deadline, replay.follow(report.posted)).await {
            match heard {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => {
                    tracing::warn!(%error, %order, "a session's lanes are not told any more");
                    break;
                }
            }
            sleep(PAUSE).await;
        }
        drop(replay);
        let is_unused = |session: &Session| session.order == order && session.lanes.is_empty();
        lanes.close_where(&self.shared, is_unused).await;
        lanes.end_pending(&self.shared, order);
    }
}

/// The lanes of a session, as the chain told of them while nobody of ours heard it, and goes on to.
#[derive(Debug)]
struct LaneReplay<'a, N> {
    shared: &'a Arc<Shared<N>>,
    trade: Trade,
    /// Slots that are lanes, or may become some, and are not used yet.
    awaited: BTreeSet<SlotId>,
    /// The time of the session's block.
    begun: Option<Millis>,
    /// Time from there on within which lanes come.
    within: Duration,
    turn: Option<Turn>,
}

impl<N: Network> LaneReplay<'_, N> {
    /// Hears the chain from the session's block on until no more lanes can come. False if one that came is to be
    /// tried again.
    async fn follow(&mut self, posted: Height) -> Result<bool, ClientError> {
        let mut events = self.shared.sender.client().follow(posted).await?;
        while !self.awaited.is_empty() {
            let page = events.next().await?;
            let begun = *self.begun.get_or_insert(page.time);
            if !self.hear(&page).await {
                return Ok(false);
            }
            let passed = page.time.get().saturating_sub(begun.get());
            if Duration::from_millis(passed) > self.within {
                break;
            }
        }
        Ok(true)
    }

    async fn hear(&mut self, page: &EventPage) -> bool {
        let mut are_used = true;
        for event in page.events.iter() {
            match event {
                Event::LaneOpened(opened) if self.awaited.contains(&opened.slot_id) => {
                    are_used &= self.join(opened).await;
                }
                Event::Refunded(refunded) => {
                    self.awaited.remove(&refunded.slot_id);
                }
                _ => {}
            }
        }
        are_used
    }

    /// Whether it is known if the lane can be used.
    async fn join(&mut self, opened: &LaneOpened) -> bool {
        self.shared.receipts.open_lane(opened);
        let lanes = &self.shared.lanes;
        let joined = lanes.join_new(self.shared, &self.trade, opened.clone());
        match joined.await {
            Ok(joins) => {
                self.awaited.remove(&opened.slot_id);
                if joins {
                    self.turn = None;
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, slot_id = %opened.slot_id, "a lane is not used yet");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
