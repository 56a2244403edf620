//! Open lanes: sessions are opened before they are needed, and requests go to the lane with the least to do.

use super::{Shared, board::Told, offers::Reach};
use crate::market::MarketError;
use fairweir_net::Network;
use fairweir_services::{
    Kind as _,
    inference::chat::Chat,
    session::{AccountError, CREDIT_CHUNK, LaneAccount, LaneTerms},
};
use fairweir_types::{
    Action, Amount, BoundedVec, ByteCount, Digest, Millis, Rounding, Units,
    event::LaneOpened,
    limits::SESSION_SPEC_BYTES_MAX,
    order::{
        Demand, KindId, Name, OpenRounds, OrderHeader, OrderId, Privacy, Requirements, Rounds,
        SlotRole, UnitVector, Urgency,
    },
    session::{Credit, SignedRequest},
    tx::CloseSession,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Lanes that one session opens: a request that one worker fails goes on at the other.
const LANES_PER_SESSION: u16 = 2;
/// Requests of the largest size, at the highest price, that a lane's cap pays for: at usual sizes and prices some hundreds.
const REQUESTS_PER_LANE: u64 = 8;
/// How long lanes stay open.
const OPEN_FOR: Millis = Millis(6 * 3_600_000);
/// How long before its end a lane takes no more requests.
const CLOSING_MARGIN: Duration = Duration::from_secs(15 * 60);
/// The most that one request of a session may take: what it costs bounds what a cheat could gain, and so the stake that covers a lane.
const REQUEST_UNITS_MAX: Units = Units(2_048);
/// Milliseconds that one request may run.
const REQUEST_TIME_MAX: Millis = Millis(600_000);
/// How much longer than its time for a match an order may take to become final.
const LEDGER_MARGIN: Duration = Duration::from_secs(30);

/// What requests a lane takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trade {
    pub(super) kind: KindId,
    pub(super) capability: Name,
}

/// A lane that serves.
#[derive(Debug)]
pub(super) struct OpenLane {
    pub(super) opened: LaneOpened,
    pub(super) reach: Reach,
    account: Mutex<LaneAccount>,
    ends: Instant,
    is_bad: AtomicBool,
}

impl OpenLane {
    pub(super) fn account(&self) -> MutexGuard<'_, LaneAccount> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker failed a request: it gets no more of ours.
    pub(super) fn give_up(&self) {
        self.is_bad.store(true, Ordering::Relaxed);
    }

    fn is_good(&self) -> bool {
        !self.is_bad.load(Ordering::Relaxed) && Instant::now() + CLOSING_MARGIN < self.ends
    }
}

/// A request that begins in a lane.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) lane: Arc<OpenLane>,
    pub(super) request: SignedRequest,
    pub(super) credit: Credit,
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
            .all(|lane| !lane.is_good() && lane.account().running() == 0)
    }
}

/// All lanes of this gateway.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: Mutex<BTreeMap<Trade, Vec<Arc<OpenLane>>>>,
    /// One at a time opens a session, and the others wait for its lanes.
    opening: tokio::sync::Mutex<()>,
    sessions: Mutex<Vec<Session>>,
}

impl Lanes {
    fn open(&self) -> MutexGuard<'_, BTreeMap<Trade, Vec<Arc<OpenLane>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request in the lane with the least to do, opening a session when there is none with room.
    pub(super) async fn begin<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        (spec, demand): (&[u8], &Demand),
    ) -> Result<Begun, MarketError> {
        let digest = Digest::of_blob(spec);
        if let Some(begun) = self.begin_in_open(shared, trade, digest, demand)? {
            return Ok(begun);
        }
        let _turn = self.opening.lock().await;
        // Another request may have opened one meanwhile.
        if let Some(begun) = self.begin_in_open(shared, trade, digest, demand)? {
            return Ok(begun);
        }
        self.retire(trade, demand);
        self.close_where(shared, Session::is_over).await;
        self.open_session(shared, trade, demand).await?;
        self.begin_in_open(shared, trade, digest, demand)?
            .ok_or_else(|| MarketError::NoWorker {
                reasons: Vec::new(),
            })
    }

    fn begin_in_open<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        digest: Digest,
        demand: &Demand,
    ) -> Result<Option<Begun>, MarketError> {
        let mut open = self.open();
        let Some(lanes) = open.get_mut(trade) else {
            return Ok(None);
        };
        lanes.retain(|lane| lane.is_good());
        let mut by_load: Vec<_> = lanes
            .iter()
            .filter(|lane| demand.within(&lane.opened.demand))
            .map(Arc::clone)
            .collect();
        by_load.sort_by_key(|lane| lane.account().running());
        for lane in by_load {
            let begun = lane.account().begin(digest, demand, shared.sender.key());
            match begun {
                Ok((request, credit)) => {
                    return Ok(Some(Begun {
                        lane,
                        request,
                        credit,
                    }));
                }
                Err(AccountError::CapReached { .. }) => {}
                Err(error) => return Err(MarketError::Spec(error.to_string())),
            }
        }
        Ok(None)
    }

    async fn open_session<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        demand: &Demand,
    ) -> Result<(), MarketError> {
        let header = session_header(shared, trade, demand)?;
        let posted = shared.poster.post(header).await?;
        self.sessions().push(Session {
            order: posted.order,
            lanes: Vec::new(),
        });
        let mut listening = posted.listening;
        let within = Duration::from_millis(shared.options.match_within.get());
        let deadline = Instant::now() + within.saturating_add(LEDGER_MARGIN);
        let mut reasons = Vec::new();
        let mut opened = 0;
        // The first lane is enough to begin with; the others join when they are matched.
        while opened == 0 {
            match timeout_at(deadline, listening.told.recv()).await {
                Ok(Some(Told::LaneOpened(lane))) => {
                    self.join(shared, trade, *lane).await?;
                    opened += 1;
                }
                Ok(Some(Told::Unmatched { reasons: why })) => {
                    if opened == 0 {
                        reasons = why;
                    }
                }
                Ok(Some(Told::Refunded { .. }) | None) | Err(_) => {
                    reasons.sort();
                    reasons.dedup();
                    return Err(MarketError::NoWorker { reasons });
                }
                Ok(Some(_)) => {}
            }
        }
        // Lanes are matched in one block, so those that were are told by now.
        while let Ok(told) = listening.told.try_recv() {
            if let Told::LaneOpened(lane) = told {
                self.join(shared, trade, *lane).await?;
            }
        }
        Ok(())
    }

    async fn join<N: Network>(
        &self,
        shared: &Shared<N>,
        trade: &Trade,
        opened: LaneOpened,
    ) -> Result<(), MarketError> {
        let reach = shared.offers.reach(trade.kind, opened.worker).await;
        let reach = reach.map_err(|error| MarketError::Unreachable(error.to_string()))?;
        let Some(reach) = reach else { return Ok(()) };
        let account = LaneAccount::new(LaneTerms {
            chain_id: shared.sender.chain_id().clone(),
            lane: opened.slot_id,
            kind: opened.kind,
            prices: opened.prices,
            cap: opened.cap,
            chunk: if trade.kind == Chat::ID {
                CREDIT_CHUNK
            } else {
                LaneTerms::WHOLE
            },
        });
        let order = opened.slot_id.order;
        let lane = Arc::new(OpenLane {
            opened,
            reach,
            account: Mutex::new(account),
            ends: Instant::now() + Duration::from_millis(OPEN_FOR.get()),
            is_bad: AtomicBool::new(false),
        });
        let mut sessions = self.sessions();
        if let Some(session) = sessions.iter_mut().find(|session| session.order == order) {
            session.lanes.push(Arc::clone(&lane));
        }
        drop(sessions);
        self.open().entry(trade.clone()).or_default().push(lane);
        Ok(())
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
        let orders: Vec<OrderId> = {
            let mut sessions = self.sessions();
            let (over, kept) = std::mem::take(&mut *sessions)
                .into_iter()
                .partition(|session| is_over(session));
            *sessions = kept;
            let over: Vec<Session> = over;
            over.into_iter().map(|session| session.order).collect()
        };
        for order in orders {
            let action = Action::CloseSession(CloseSession { order });
            if let Err(error) = shared.poster.send(action).await {
                tracing::warn!(%error, "a session is left to close by itself");
            }
        }
    }
}

fn session_header<N: Network>(
    shared: &Shared<N>,
    trade: &Trade,
    demand: &Demand,
) -> Result<OrderHeader, MarketError> {
    let spec = |error: &dyn core::fmt::Display| MarketError::Spec(error.to_string());
    let options = &shared.options;
    let units = UnitVector {
        input: demand.units.input.max(REQUEST_UNITS_MAX),
        output: demand.units.output.max(REQUEST_UNITS_MAX),
        ..demand.units
    };
    let request = options
        .price_max
        .quote(&units)
        .map_err(|error| spec(&error))?;
    let lane_cap = request
        .checked_mul_ratio(REQUESTS_PER_LANE, 1, Rounding::Up)
        .map_err(|error| spec(&error))?;
    let capabilities = BoundedVec::new(vec![trade.capability.clone()]);
    Ok(OrderHeader {
        kind: trade.kind,
        spec_digest: Digest::ZERO,
        spec_inline: None,
        demand: Demand {
            units,
            bytes_in: ByteCount(u64::try_from(SESSION_SPEC_BYTES_MAX).unwrap_or(u64::MAX)),
            bytes_out_max: demand.bytes_out_max,
            memory_max: demand.memory_max,
            execution_max: REQUEST_TIME_MAX,
        },
        slots: LANES_PER_SESSION,
        role: SlotRole::Worker,
        rounds: Rounds::Open(OpenRounds {
            lane_cap: lane_cap.max(Amount::from_base_units(1).unwrap_or_default()),
            open_for: OPEN_FOR,
            delegate: None,
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
