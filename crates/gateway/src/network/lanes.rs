//! Open lanes: sessions are opened before they are needed, and requests go to the lane with the least to do.

mod pending;

use super::{
    Shared,
    board::{Listening, Told},
    lane::{KeptLane, OPEN_FOR, OpenLane, Trade},
    offers::version_of,
};
use crate::market::MarketError;
use fairweir_client::ClientError;
use fairweir_net::Network;
use fairweir_services::session::{AccountError, Mark};
use fairweir_types::{
    Action, Address, Amount, BoundedVec, ByteCount, Digest, Millis, Rounding, Units,
    event::LaneOpened,
    limits::{BLOB_BYTES_MAX, SESSION_SPEC_BYTES_MAX},
    order::{
        Demand, OpenRounds, OrderHeader, OrderId, Privacy, Requirements, Rounds, SlotId, SlotRole,
        UnitVector, Urgency,
    },
    session::{Credit, SignedRequest},
    tx::{CloseSession, TopUpLane},
};
use pending::{Inherited, PendingSession};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep_until, timeout_at};

/// Lanes that one session opens: a request that one worker fails goes on at another, even while a second one starts again.
const LANES_PER_SESSION: u16 = 3;
/// Requests of the largest size, at the highest price, that a lane's cap pays for: at usual sizes and prices some thousands. What a worker
/// stakes for a lane grows by a hundredth for each.
const REQUESTS_PER_LANE: u64 = 64;
/// A request waits for a lane whose worker was not reached, rather than open a session more, for so long at a time, and so often.
const REST_WAIT_MAX: Duration = Duration::from_secs(5);
const RESTS_MAX: usize = 6;
/// The most input, and output, that one request of a session may take: what it costs bounds what a cheat could gain, and so the stake that covers a lane.
pub(super) const REQUEST_UNITS_MAX: Units = Units(2_048);
/// Milliseconds that one request may run.
const REQUEST_TIME_MAX: Millis = Millis(600_000);
/// Bytes of memory that one request may take.
const REQUEST_MEMORY_MAX: ByteCount = ByteCount(1 << 30);
/// How much longer than its time for a match an order may take to become final.
const LEDGER_MARGIN: Duration = Duration::from_secs(30);

/// The ledger's word for a lane that takes requests.
const SERVING: &str = "serving";

/// Which workers a request had better not go to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shunned<'a> {
    /// Not at all.
    pub(super) never: &'a [Address],
    /// Only where nobody else is ready.
    pub(super) last: &'a [Address],
}

/// A request that begins in a lane.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) lane: Arc<OpenLane>,
    pub(super) request: SignedRequest,
    pub(super) credit: Credit,
}

/// What there is for a request.
enum Found {
    Begun(Box<Begun>),
    /// Lanes whose workers were not reached; the first is tried again then.
    Resting(Instant),
    Nothing,
}

/// A session that was opened, with those of its lanes that were matched.
#[derive(Debug)]
struct Session {
    order: OrderId,
    lanes: Vec<Arc<OpenLane>>,
}

impl Session {
    /// Whether nothing of it is used any more, so that it can be closed.
    fn is_over(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.ready_at(Instant::now()).is_none() && lane.account().running() == 0)
    }
}

/// The lanes of a session that is being opened.
#[derive(Debug)]
struct Joining<N> {
    shared: Arc<Shared<N>>,
    trade: Trade,
    order: OrderId,
    listening: Listening,
    /// Lanes that joined.
    open: u16,
}

impl<N: Network> Joining<N> {
    /// Waits for the first lane that can be used.
    async fn first(&mut self, deadline: Instant) -> Result<(), MarketError> {
        let mut reasons = Vec::new();
        while self.open < LANES_PER_SESSION {
            match timeout_at(deadline, self.listening.told.recv()).await {
                Ok(Some(Told::LaneOpened(lane))) => {
                    if self.join(*lane).await {
                        return Ok(());
                    }
                }
                Ok(Some(Told::Unmatched { reasons: why })) => reasons = why,
                Ok(Some(Told::Refunded { .. }) | None) | Err(_) => break,
                Ok(Some(_)) => {}
            }
        }
        reasons.sort();
        reasons.dedup();
        Err(MarketError::NoWorker { reasons })
    }

    /// Takes in the others, until all are there or it is too late for more.
    async fn others(mut self, deadline: Instant) {
        let stop = self.shared.stop.clone();
        let joining = async {
            while self.open < LANES_PER_SESSION {
                match timeout_at(deadline, self.listening.told.recv()).await {
                    Ok(Some(Told::LaneOpened(lane))) => {
                        self.join(*lane).await;
                    }
                    Ok(Some(Told::Refunded { .. }) | None) | Err(_) => break,
                    Ok(Some(_)) => {}
                }
            }
            self.shared.lanes.end_pending(&self.shared, self.order);
        };
        tokio::select! {
            () = joining => {}
            () = stop.cancelled() => {}
        }
    }

    /// Whether the lane is used: its worker is to be found.
    async fn join(&mut self, lane: LaneOpened) -> bool {
        self.open += 1;
        let lanes = Arc::clone(&self.shared.lanes);
        match lanes.join_new(&self.shared, &self.trade, lane).await {
            Ok(joins) => joins,
            Err(error) => {
                tracing::warn!(%error, "a lane is not used");
                false
            }
        }
    }
}

/// All lanes of this gateway.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: Mutex<BTreeMap<Trade, Vec<Arc<OpenLane>>>>,
    /// One at a time opens a session, and the others wait for its lanes.
    opening: Arc<tokio::sync::Mutex<()>>,
    sessions: Mutex<Vec<Session>>,
}

impl Lanes {
    fn open(&self) -> MutexGuard<'_, BTreeMap<Trade, Vec<Arc<OpenLane>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane that is there without a session.
    #[cfg(test)]
    pub(super) fn put(&self, trade: Trade, lane: Arc<OpenLane>) {
        self.open().entry(trade).or_default().push(lane);
    }

    /// Begins a request in the lane with the least to do, opening a session when there is none with room.
    pub(super) async fn begin<N: Network>(
        &self,
        shared: &Arc<Shared<N>>,
        trade: &Trade,
        (spec, demand): (&[u8], &Demand),
        shunned: Shunned<'_>,
    ) -> Result<Begun, MarketError> {
        let work = (Digest::of_blob(spec), demand);
        let none = || MarketError::NoWorker {
            reasons: Vec::new(),
        };
        for _ in 0..RESTS_MAX {
            match self.begin_in_open(shared, trade, work, shunned)? {
                Found::Begun(begun) => return Ok(*begun),
                Found::Resting(until) => sleep_until(until).await,
                // Another session may well bring the same workers.
                Found::Nothing if !shunned.never.is_empty() => return Err(none()),
                Found::Nothing => break,
            }
        }
        let _turn = self.opening.lock().await;
        // Another request may have opened one meanwhile.
        if let Found::Begun(begun) = self.begin_in_open(shared, trade, work, shunned)? {
            return Ok(*begun);
        }
        if self.top_up(shared, trade, demand).await
            && let Found::Begun(begun) = self.begin_in_open(shared, trade, work, shunned)?
        {
            return Ok(*begun);
        }
        self.retire(trade, demand);
        self.close_where(shared, Session::is_over).await;
        self.open_session(shared, trade, demand).await?;
        match self.begin_in_open(shared, trade, work, shunned)? {
            Found::Begun(begun) => Ok(*begun),
            Found::Resting(_) | Found::Nothing => Err(none()),
        }
    }

    fn begin_in_open<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        (digest, demand): (Digest, &Demand),
        shunned: Shunned<'_>,
    ) -> Result<Found, MarketError> {
        let mut open = self.open();
        let Some(lanes) = open.get_mut(trade) else {
            return Ok(Found::Nothing);
        };
        let now = Instant::now();
        lanes.retain(|lane| lane.ready_at(now).is_some());
        let (mut ready, mut resting) = (Vec::new(), None::<Instant>);
        let may = |lane: &&Arc<OpenLane>| {
            lane.takes(demand) && !shunned.never.contains(&lane.opened.worker)
        };
        for lane in lanes.iter().filter(may) {
            match lane.ready_at(now) {
                Some(at) if at <= now => ready.push(Arc::clone(lane)),
                Some(at) => resting = Some(resting.map_or(at, |other| other.min(at))),
                None => {}
            }
        }
        ready.sort_by_key(|lane| {
            let is_last = shunned.last.contains(&lane.opened.worker);
            (is_last, lane.account().running())
        });
        for lane in ready {
            match lane.begin(digest, demand, shared.sender.key()) {
                Ok((request, credit)) => {
                    let begun = Begun {
                        lane,
                        request,
                        credit,
                    };
                    return Ok(Found::Begun(Box::new(begun)));
                }
                Err(AccountError::CapReached { .. }) => {}
                Err(error) => return Err(MarketError::Spec(error.to_string())),
            }
        }
        Ok(match resting {
            Some(until) if until <= now + REST_WAIT_MAX => Found::Resting(until),
            Some(_) | None => Found::Nothing,
        })
    }

    /// Whether a worker that is none of these is ready for such a request.
    pub(super) fn has_other(&self, trade: &Trade, demand: &Demand, workers: &[Address]) -> bool {
        let now = Instant::now();
        self.open().get(trade).into_iter().flatten().any(|lane| {
            let quote = lane.opened.prices.quote(&demand.units);
            !workers.contains(&lane.opened.worker)
                && lane.takes(demand)
                && lane.ready_at(now).is_some_and(|at| at <= now)
                && quote.is_ok_and(|quote| quote <= lane.account().left())
        })
    }

    /// Raises the cap of a lane that is ready but full, when its worker has the stake for it: one transaction, where a session takes three
    /// lanes and some twenty. Says whether it did.
    async fn top_up<N: Network>(&self, shared: &Shared<N>, trade: &Trade, demand: &Demand) -> bool {
        let now = Instant::now();
        let lanes: Vec<_> = {
            let open = self.open();
            let lanes = open.get(trade).into_iter().flatten();
            lanes
                .filter(|lane| {
                    lane.may_grow()
                        && lane.takes(demand)
                        && lane.ready_at(now).is_some_and(|at| at <= now)
                })
                .cloned()
                .collect()
        };
        for lane in lanes {
            let amount = lane.opened.cap;
            let action = Action::TopUpLane(TopUpLane {
                lane: lane.opened.slot_id,
                amount,
            });
            match shared.poster.send(action).await {
                Ok(()) => {
                    lane.raise(amount);
                    return true;
                }
                Err(error) => {
                    tracing::info!(worker = %lane.opened.worker, %error, "a lane is not topped up");
                    // A network that is full has room again when orders close.
                    if !matches!(error, MarketError::Full(_)) {
                        lane.grows_no_more();
                    }
                }
            }
        }
        false
    }

    /// A lane takes no more requests, whoever closed it.
    pub(super) fn end(&self, slot_id: SlotId) {
        let open = self.open();
        let lanes = open.values().flatten();
        for lane in lanes.filter(|lane| lane.opened.slot_id == slot_id) {
            lane.give_up();
        }
    }

    /// Takes up again the lanes that a former process of this gateway left open, and the sessions that it was opening.
    pub(super) async fn resume<N: Network>(
        &self,
        shared: &Arc<Shared<N>>,
    ) -> Result<(), ClientError> {
        let Some(shelf) = &shared.options.sessions else {
            return Ok(());
        };
        let left = shelf.all();
        let kept: Vec<_> = left
            .iter()
            .filter_map(|bytes| KeptLane::decode(bytes))
            .collect();
        let known = kept.iter().map(|kept| kept.opened.slot_id).collect();
        let client = shared.sender.client();
        for kept in kept {
            let slot_id = kept.opened.slot_id;
            let is_open = match client.order(slot_id.order).await {
                Ok(report) => report
                    .slots
                    .iter()
                    .any(|slot| slot.slot_id == slot_id && slot.phase.as_str() == SERVING),
                Err(error) if error.refusal_code() == Some("not_found") => false,
                Err(error) => return Err(error),
            };
            if !is_open {
                shelf.forget(slot_id);
                continue;
            }
            self.know_session(slot_id.order);
            // The chain does not tell again that it was opened.
            shared.receipts.open_lane(&kept.opened);
            if let Err(error) = self.join(shared, kept).await {
                tracing::warn!(%slot_id, %error, "a lane is not taken up again");
            }
        }
        let pending = left
            .iter()
            .filter_map(|bytes| PendingSession::decode(bytes));
        let pending = pending.collect();
        let shared = Arc::clone(shared);
        Inherited { shared, known }.take_up(pending).await
    }

    /// A session of ours, whose lanes join as they are told, if it is not there already.
    fn know_session(&self, order: OrderId) {
        let mut sessions = self.sessions();
        if !sessions.iter().any(|session| session.order == order) {
            sessions.push(Session {
                order,
                lanes: Vec::new(),
            });
        }
    }

    async fn open_session<N: Network>(
        &self,
        shared: &Arc<Shared<N>>,
        trade: &Trade,
        demand: &Demand,
    ) -> Result<(), MarketError> {
        let units = session_units(demand);
        let price_max = &shared.options.price_max;
        // A cap by prices that nobody asks would lock money, and workers' stakes, for nothing.
        let dearest = shared.offers.dearest(trade, &units, price_max).await;
        let request = match dearest.map_err(|error| MarketError::Unreachable(error.to_string()))? {
            Some(request) => request,
            None => price_max
                .quote(&units)
                .map_err(|error| MarketError::Spec(error.to_string()))?,
        };
        let most = shared.offers.demand_max(trade.kind).await;
        let most = most.map_err(|error| MarketError::Unreachable(error.to_string()))?;
        let header = session_header(shared, trade, (demand, most.as_ref()), request)?;
        let posted = pending::post(shared, header).await?;
        self.know_session(posted.order);
        let mut joining = Joining {
            shared: Arc::clone(shared),
            trade: trade.clone(),
            order: posted.order,
            listening: posted.listening,
            open: 0,
        };
        let within = Duration::from_millis(shared.options.match_within.get());
        let deadline = Instant::now() + within.saturating_add(LEDGER_MARGIN);
        let first = joining.first(deadline).await;
        // The first lane is enough to begin with; the others join when they are told.
        shared.tasks.spawn(joining.others(deadline));
        first
    }

    async fn join_new<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        opened: LaneOpened,
    ) -> Result<bool, MarketError> {
        let kept = KeptLane {
            trade: trade.clone(),
            opened,
            mark: Mark::default(),
            ends: SystemTime::now() + OPEN_FOR,
        };
        self.join(shared, kept).await
    }

    async fn join<N: Network>(
        &self,
        shared: &Shared<N>,
        kept: KeptLane,
    ) -> Result<bool, MarketError> {
        let (kind, worker) = (kept.trade.kind, kept.opened.worker);
        let reach = shared.offers.reach(kind, worker).await;
        let reach = reach.map_err(|error| MarketError::Unreachable(error.to_string()))?;
        let Some(reach) = reach else {
            return Ok(false);
        };
        let (slot_id, trade) = (kept.opened.slot_id, kept.trade.clone());
        shared.receipts.reach_lane(&slot_id, &reach.endpoint);
        let at = (shared.sender.chain_id(), shared.options.sessions.clone());
        let lane = Arc::new(OpenLane::new(at, kept, reach));
        // Before it is used: a process that ends until then would leave what the session locks to its end.
        lane.keep_unused();
        let mut sessions = self.sessions();
        if let Some(session) = sessions
            .iter_mut()
            .find(|session| session.order == slot_id.order)
        {
            session.lanes.push(Arc::clone(&lane));
        }
        drop(sessions);
        self.open().entry(trade).or_default().push(lane);
        Ok(true)
    }

    /// Gives no more requests to lanes that cannot pay for one like this, and forgets those that end.
    fn retire(&self, trade: &Trade, demand: &Demand) {
        for lane in self.open().get(trade).into_iter().flatten() {
            let quote = lane.opened.prices.quote(&demand.units);
            let left = lane.account().left();
            if demand.within(&lane.opened.demand) && quote.is_ok_and(|quote| quote > left) {
                lane.give_up();
            }
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes sessions: what their workers served they still claim, and the rest comes back.
    pub(super) async fn close<N: Network>(&self, shared: &Shared<N>) {
        self.close_where(shared, |_| true).await;
    }

    async fn close_where<N: Network>(
        &self,
        shared: &Shared<N>,
        is_over: impl Fn(&Session) -> bool,
    ) {
        let over: Vec<Session> = {
            let mut sessions = self.sessions();
            let (over, kept) = std::mem::take(&mut *sessions)
                .into_iter()
                .partition(|session| is_over(session));
            *sessions = kept;
            over
        };
        for session in over {
            let order = session.order;
            let action = Action::CloseSession(CloseSession { order });
            match shared.poster.send(action).await {
                Ok(()) => {}
                // It is tried again, by the next process if need be.
                Err(error @ (MarketError::Unreachable(_) | MarketError::NoFunds(_))) => {
                    tracing::warn!(%error, %order, "a session is not closed");
                    self.sessions().push(session);
                    continue;
                }
                Err(error) => tracing::info!(%error, %order, "a session was closed before"),
            }
            session.lanes.iter().for_each(|lane| lane.forget());
            if let Some(shelf) = &shared.options.sessions {
                pending::forget(&**shelf, order);
            }
        }
    }
}

/// The most units of one request in a session that is opened for one like this.
fn session_units(demand: &Demand) -> UnitVector {
    UnitVector {
        input: demand.units.input.max(REQUEST_UNITS_MAX),
        output: demand.units.output.max(REQUEST_UNITS_MAX),
        ..demand.units
    }
}

/// What one request of a session may take at most. Its units alone bound it: one that is a little longer than the first, or goes on with a draft, must
/// not need a session of its own. No more than the catalogue takes, if that is known, but what this request needs in any case: what it needs too much of is refused by the ledger.
fn session_demand(demand: &Demand, most: Option<&Demand>) -> Demand {
    let bytes = |bytes: usize| ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX));
    let wanted = Demand {
        units: session_units(demand),
        bytes_in: bytes(SESSION_SPEC_BYTES_MAX),
        bytes_out_max: bytes(BLOB_BYTES_MAX),
        memory_max: demand.memory_max.max(REQUEST_MEMORY_MAX),
        execution_max: REQUEST_TIME_MAX,
    };
    match most {
        Some(most) => wanted.at_most(most).at_least(demand),
        None => wanted,
    }
}

fn session_header<N: Network>(
    shared: &Shared<N>,
    trade: &Trade,
    (demand, most): (&Demand, Option<&Demand>),
    request: Amount,
) -> Result<OrderHeader, MarketError> {
    let spec = |error: &dyn core::fmt::Display| MarketError::Spec(error.to_string());
    let options = &shared.options;
    let lane_cap = request
        .checked_mul_ratio(REQUESTS_PER_LANE, 1, Rounding::Up)
        .map_err(|error| spec(&error))?;
    let capabilities = BoundedVec::new(vec![trade.capability.clone()]);
    Ok(OrderHeader {
        kind: trade.kind,
        version: version_of(trade.kind),
        spec_digest: Digest::ZERO,
        spec_inline: None,
        demand: session_demand(demand, most),
        slots: LANES_PER_SESSION,
        role: SlotRole::Worker,
        rounds: Rounds::Open(OpenRounds {
            lane_cap: lane_cap.max(Amount::from_base_units(1).unwrap_or_default()),
            open_for: Millis(u64::try_from(OPEN_FOR.as_millis()).unwrap_or(u64::MAX)),
            delegate: options.owner.map(|_| shared.sender.key().address()),
        }),
        price_max: options.price_max,
        urgency: Urgency::High,
        match_within: options.match_within,
        requirements: Requirements {
            capabilities: capabilities.map_err(|error| spec(&error))?,
            ..Requirements::default()
        },
        privacy: Privacy::Public,
    })
}

#[cfg(test)]
pub(super) mod tests;
