//! Sessions that are being opened: written down before they are posted, so that what they lock is used though the process ends before it hears of
//! their lanes.

use super::{LANES_PER_SESSION, LEDGER_MARGIN, Lanes, SERVING, Session, Trade};
use crate::{
    market::MarketError,
    network::{Shared, poster::Posted},
};
use commonware_codec::{Copying, Decode as _, Encode as _};
use fairweir_client::ClientError;
use fairweir_net::Network;
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    Event, Height, Millis,
    event::LaneOpened,
    node_api::{EventPage, OrderReport},
    order::{KindId, Name, OrderHeader, OrderId, SlotId},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout_at},
};

/// Of what is written down; lanes, which lie on the same shelf, have others.
const FORMAT: u8 = 2;
/// Where it lies beside the lanes of its session.
const BESIDE: u16 = u16::MAX;
/// Time before the node is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The ledger's word for a slot that may still become a lane.
const AWAITING: &str = "awaiting_match";

/// One of them, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    order: OrderId,
    trade: Trade,
    /// The last block that may hold its transaction.
    until: Height,
}

const fn place(order: OrderId) -> SlotId {
    SlotId {
        order,
        slot: BESIDE,
    }
}

impl Opening {
    fn encode(&self) -> Vec<u8> {
        let Trade { kind, capability } = self.trade.clone();
        (FORMAT, self.order, kind, capability, self.until)
            .encode()
            .to_vec()
    }

    /// `None` for what is damaged, or no such record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        type Fields = (u8, OrderId, KindId, Name, Height);
        let fields = Fields::decode_cfg(Copying(bytes), &((), (), (), (), ()));
        let (format, order, kind, capability, until) = fields.ok()?;
        (format == FORMAT).then_some(Self {
            order,
            trade: Trade { kind, capability },
            until,
        })
    }
}

/// Posts a session that is written down before.
pub(super) async fn post<N: Network>(
    shared: &Shared<N>,
    trade: &Trade,
    header: OrderHeader,
) -> Result<Posted, MarketError> {
    let Some(shelf) = &shared.options.sessions else {
        let owner = shared.options.owner;
        return shared.poster.open_session(owner, header, |_, _| ()).await;
    };
    let tried = Mutex::new(BTreeSet::new());
    let write_down = |order, until| {
        let trade = trade.clone();
        let opening = Opening {
            order,
            trade,
            until,
        };
        shelf.keep(place(order), &opening.encode());
        let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.insert(order);
    };
    let owner = shared.options.owner;
    let posted = shared.poster.open_session(owner, header, write_down).await;
    let tried = tried.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_over = |order: &OrderId| match &posted {
        Ok(posted) => posted.order != *order,
        // It may be in a block, or come into one: the next process sees.
        Err(MarketError::Unreachable(_)) => false,
        Err(_) => true,
    };
    for order in tried.into_iter().filter(is_over) {
        forget(&**shelf, order);
    }
    posted
}

impl Lanes {
    fn knows_session(&self, order: OrderId) -> bool {
        self.sessions().iter().any(|session| session.order == order)
    }

    fn has_lanes(&self, order: OrderId) -> bool {
        let has_lanes = |session: &Session| session.order == order && !session.lanes.is_empty();
        self.sessions().iter().any(has_lanes)
    }

    /// A session has all the lanes that it gets.
    pub(super) fn end_opening(&self, shelf: Option<&Arc<dyn Shelf>>, order: OrderId) {
        // Without a lane nothing else would lead to it.
        if let Some(shelf) = shelf
            && self.has_lanes(order)
        {
            forget(&**shelf, order);
        }
    }
}

/// A session is closed, or has its lanes.
pub(super) fn forget(shelf: &dyn Shelf, order: OrderId) {
    shelf.forget(place(order));
}

/// What a former process was opening.
#[derive(Debug)]
pub(super) struct Inherited<N> {
    pub(super) shared: Arc<Shared<N>>,
    /// The lanes that it had written down.
    pub(super) known: BTreeSet<SlotId>,
}

impl<N: Network> Inherited<N> {
    /// Takes up the sessions that it was opening. While one that the ledger has is without a lane, no other is opened.
    pub(super) async fn take_up(self, openings: Vec<Opening>) -> Result<(), ClientError> {
        let inherited = Arc::new(self);
        for opening in openings {
            let report = inherited.report(&opening).await?;
            let lanes = &inherited.shared.lanes;
            let is_empty = report.is_some() && !lanes.has_lanes(opening.order);
            let turn = is_empty.then(|| Arc::clone(&lanes.opening).try_lock_owned());
            // Another such session has it already.
            let mut turn = turn.and_then(Result::ok);
            let task = Arc::clone(&inherited);
            inherited.spawn(async move {
                match report {
                    Some(report) => task.join(&opening, &report, &mut turn).await,
                    None => task.await_posting(opening).await,
                }
            });
        }
        Ok(())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shared.stop.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// While it is held nobody opens a session.
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.shared.lanes.opening).lock_owned().await
    }

    async fn report(&self, opening: &Opening) -> Result<Option<OrderReport>, ClientError> {
        match self.shared.sender.client().order(opening.order).await {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.refusal_code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its transaction may still come into a block.
    async fn await_posting(&self, opening: Opening) {
        loop {
            // Before the order is asked for: one that comes into a block after it is asked for again.
            let sender = &self.shared.sender;
            let duties = sender.client().duties(sender.key().address()).await;
            match (duties, self.report(&opening).await) {
                (_, Ok(Some(report))) => {
                    let mut turn = Some(self.turn().await);
                    // This process may have posted one with the same number.
                    if !self.shared.lanes.knows_session(opening.order) {
                        self.join(&opening, &report, &mut turn).await;
                    }
                    return;
                }
                (Ok(duties), Ok(None)) if duties.tip > opening.until => {
                    return self.forget(&opening);
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    fn forget(&self, opening: &Opening) {
        if let Some(shelf) = &self.shared.options.sessions {
            forget(&**shelf, opening.order);
        }
    }

    /// Uses the lanes that it gets; closes it if it gets none. The turn ends with the first of them.
    async fn join(
        &self,
        opening: &Opening,
        report: &OrderReport,
        turn: &mut Option<OwnedMutexGuard<()>>,
    ) {
        let lanes = &self.shared.lanes;
        lanes.know_session(opening.order);
        let within = Duration::from_millis(self.shared.options.match_within.get());
        let within = within.saturating_add(LEDGER_MARGIN);
        let over = report
            .slots
            .iter()
            .filter(|slot| !matches!(slot.phase.as_str(), SERVING | AWAITING));
        let of_session = |slot_id: &&SlotId| slot_id.order == opening.order;
        let known = self.known.iter().filter(of_session).copied();
        let mut joining = Joining {
            inherited: self,
            opening,
            heard: over.map(|slot| slot.slot_id).chain(known).collect(),
            begun: None,
            within,
        };
        let deadline = Instant::now() + within;
        while let Ok(Err(error)) = timeout_at(deadline, joining.follow(report.posted, turn)).await {
            if !error.is_retryable() {
                tracing::warn!(%error, order = %opening.order, "a session's lanes are not told any more");
                break;
            }
            sleep(PAUSE).await;
        }
        let unused = |session: &Session| session.order == opening.order && session.lanes.is_empty();
        lanes.close_where(&self.shared, unused).await;
        lanes.end_opening(self.shared.options.sessions.as_ref(), opening.order);
    }
}

/// The lanes that a session gets, as the chain tells them.
#[derive(Debug)]
struct Joining<'a, N> {
    inherited: &'a Inherited<N>,
    opening: &'a Opening,
    /// Slots that are lanes of ours already, or will be none.
    heard: BTreeSet<SlotId>,
    /// The time of the session's block.
    begun: Option<Millis>,
    /// Time from there on within which lanes come.
    within: Duration,
}

impl<N: Network> Joining<'_, N> {
    async fn follow(
        &mut self,
        from: Height,
        turn: &mut Option<OwnedMutexGuard<()>>,
    ) -> Result<(), ClientError> {
        let mut events = self.inherited.shared.sender.client().follow(from).await?;
        while !self.is_done() {
            let page = events.next().await?;
            let begun = *self.begun.get_or_insert(page.time);
            if self.hear(&page).await {
                *turn = None;
            }
            let passed = page.time.get().saturating_sub(begun.get());
            if Duration::from_millis(passed) > self.within {
                break;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.heard.len() >= usize::from(LANES_PER_SESSION)
    }

    /// Whether a lane joined.
    async fn hear(&mut self, page: &EventPage) -> bool {
        let mut joins = false;
        for event in page.events.iter() {
            match event {
                Event::LaneOpened(opened) if self.is_new(opened.slot_id) => {
                    joins |= self.join(opened).await;
                }
                Event::Refunded(refunded) => {
                    self.is_new(refunded.slot_id);
                }
                _ => {}
            }
        }
        joins
    }

    /// Whether a slot is one of the session's of which nothing was heard yet.
    fn is_new(&mut self, slot_id: SlotId) -> bool {
        slot_id.order == self.opening.order && self.heard.insert(slot_id)
    }

    async fn join(&self, opened: &LaneOpened) -> bool {
        let shared = &self.inherited.shared;
        shared.receipts.open_lane(opened);
        let joined = shared
            .lanes
            .join_new(shared, &self.opening.trade, opened.clone());
        joined.await.unwrap_or_else(|error| {
            tracing::warn!(%error, slot_id = %opened.slot_id, "a lane is not used");
            false
        })
    }
}

#[cfg(test)]
mod tests;
