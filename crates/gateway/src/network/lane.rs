//! One open lane: its account, whether its worker can be relied upon, and what of it survives a restart.

use super::offers::Reach;
use commonware_codec::{Copying, Decode as _, Encode as _};
use fairweir_net::PeerAddr;
use fairweir_services::{
    Kind as _,
    inference::chat::Chat,
    pipeline::Shelf,
    session::{AccountError, CREDIT_CHUNK, LaneAccount, LaneTerms, Mark},
};
use fairweir_types::{
    Amount, ChainId, Digest, Rounding, SecretKey, Units,
    event::LaneOpened,
    order::{Demand, KindId, Name},
    session::{Credit, SignedRequest},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// How long lanes stay open.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(6 * 3_600);
/// How long before its end a lane takes no more requests.
const CLOSING_MARGIN: Duration = Duration::from_secs(15 * 60);
/// How long a lane rests after its worker was not reached, doubled for each time that follows, up to the longest.
const REST_FIRST: Duration = Duration::from_millis(500);
const REST_LONGEST: Duration = Duration::from_secs(60);
/// Parts of a lane, in requests and in coins, that are written down as used before they are: a restart loses one at most.
const PARTS: u64 = 64;
/// Of what is written down.
const FORMAT: u8 = 1;

/// What requests a lane takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trade {
    pub(super) kind: KindId,
    pub(super) capability: Name,
}

/// Whether the worker can be relied upon.
#[derive(Clone, Copy, Debug)]
enum Health {
    Good,
    /// It was not reached, so many times in a row. It may come back.
    Resting {
        until: Instant,
        times: u32,
    },
    /// It gave something wrong: it gets no more of ours.
    Bad,
}

impl Health {
    fn after_failure(self, now: Instant) -> Self {
        let times = match self {
            Self::Bad => return self,
            // What failed together is one failure.
            Self::Resting { until, .. } if until > now => return self,
            Self::Resting { times, .. } => times.saturating_add(1),
            Self::Good => 0,
        };
        let rest = REST_FIRST.saturating_mul(1 << times.min(16));
        Self::Resting {
            until: now + rest.min(REST_LONGEST),
            times,
        }
    }

    fn ready_at(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Good => Some(now),
            Self::Resting { until, .. } => Some(until.max(now)),
            Self::Bad => None,
        }
    }
}

/// A lane that serves.
#[derive(Debug)]
pub(super) struct OpenLane {
    pub(super) opened: LaneOpened,
    reach: Mutex<Reach>,
    trade: Trade,
    account: Mutex<LaneAccount>,
    ends: Instant,
    ends_at: SystemTime,
    health: Mutex<Health>,
    shelf: Option<Arc<dyn Shelf>>,
    written: Mutex<Mark>,
    /// Whether its worker may have stake for a higher cap.
    may_grow: AtomicBool,
}

/// A lane as it is written down.
#[derive(Debug)]
pub(super) struct KeptLane {
    pub(super) trade: Trade,
    pub(super) opened: LaneOpened,
    pub(super) mark: Mark,
    /// When it closes by itself, at the earliest: the chain's time stands still while the chain does.
    pub(super) ends: SystemTime,
}

impl KeptLane {
    /// How long it is still open.
    fn left(&self) -> Duration {
        let left = self.ends.duration_since(SystemTime::now());
        left.unwrap_or_default().min(OPEN_FOR)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let ends = self.ends.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Mark { next, promised } = self.mark;
        (
            FORMAT,
            self.trade.capability.clone(),
            self.opened.clone(),
            next,
            promised,
            ends.as_secs(),
        )
            .encode()
            .to_vec()
    }

    /// `None` for what is damaged, or of another format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        type Fields = (u8, Name, LaneOpened, u64, Amount, u64);
        let fields = Fields::decode_cfg(Copying(bytes), &((), (), (), (), (), ()));
        let (format, capability, opened, next, promised, ends) = fields.ok()?;
        let kind = opened.kind;
        (format == FORMAT).then_some(Self {
            trade: Trade { kind, capability },
            opened,
            mark: Mark { next, promised },
            ends: UNIX_EPOCH.checked_add(Duration::from_secs(ends))?,
        })
    }
}

impl OpenLane {
    /// A lane whose account stands at a mark.
    pub(super) fn new(
        (chain_id, shelf): (&ChainId, Option<Arc<dyn Shelf>>),
        kept: KeptLane,
        reach: Reach,
    ) -> Self {
        let left = kept.left();
        let KeptLane {
            trade,
            opened,
            mark,
            ends,
        } = kept;
        let terms = LaneTerms {
            chain_id: chain_id.clone(),
            lane: opened.slot_id,
            kind: opened.kind,
            prices: opened.prices,
            cap: opened.cap,
            chunk: if trade.kind == Chat::ID {
                CREDIT_CHUNK
            } else {
                LaneTerms::WHOLE
            },
        };
        Self {
            opened,
            reach: Mutex::new(reach),
            trade,
            account: Mutex::new(LaneAccount::resumed(terms, mark)),
            ends_at: ends,
            ends: Instant::now() + left,
            health: Mutex::new(Health::Good),
            shelf,
            written: Mutex::new(mark),
            may_grow: AtomicBool::new(true),
        }
    }

    pub(super) fn account(&self) -> MutexGuard<'_, LaneAccount> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its worker is reached.
    pub(super) fn endpoint(&self) -> PeerAddr {
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.endpoint.clone()
    }

    /// The worker's offer names this endpoint now.
    pub(super) fn reached_at(&self, reach: Reach) {
        *self.reach.lock().unwrap_or_else(PoisonError::into_inner) = reach;
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It gets no more requests of ours: its worker gave something wrong, or it closes.
    pub(super) fn give_up(&self) {
        *self.health() = Health::Bad;
    }

    /// The worker was not reached: it gets nothing for a while.
    pub(super) fn rest(&self) {
        let mut health = self.health();
        *health = health.after_failure(Instant::now());
    }

    /// The worker did what it was asked for.
    pub(super) fn praise(&self) {
        let mut health = self.health();
        if matches!(*health, Health::Resting { .. }) {
            *health = Health::Good;
        }
    }

    /// When it takes requests again; `None` when it takes no more.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        if now + CLOSING_MARGIN >= self.ends {
            return None;
        }
        self.health().ready_at(now)
    }

    /// Whether a request is within what the session allows for one.
    pub(super) fn takes(&self, demand: &Demand) -> bool {
        demand.within(&self.opened.demand)
    }

    /// Begins a request: its number, and its first credit, which are written down as used before anybody sees them.
    pub(super) fn begin(
        &self,
        digest: Digest,
        demand: &Demand,
        key: &SecretKey,
    ) -> Result<(SignedRequest, Credit), AccountError> {
        let mut account = self.account();
        let begun = account.begin(digest, demand, key)?;
        self.write_down(&account);
        Ok(begun)
    }

    /// More credit once it is time, written down as the first is.
    pub(super) fn received(
        &self,
        index: u64,
        output: Units,
        key: &SecretKey,
    ) -> Result<Option<Credit>, AccountError> {
        let mut account = self.account();
        let credit = account.received(index, output, key)?;
        if credit.is_some() {
            self.write_down(&account);
        }
        Ok(credit)
    }

    /// Whether it may be topped up: its worker's stake was not found to be used up.
    pub(super) fn may_grow(&self) -> bool {
        self.may_grow.load(Ordering::Relaxed)
    }

    /// Its worker has no stake for more.
    pub(super) fn grows_no_more(&self) {
        self.may_grow.store(false, Ordering::Relaxed);
    }

    /// The ledger raised its cap by so much.
    pub(super) fn raise(&self, amount: Amount) {
        let mut account = self.account();
        let cap = account.terms().cap.checked_add(amount);
        account.raise_cap(cap.unwrap_or(Amount::MAX));
        self.keep(&account);
    }

    /// Writes it down as it is, before it is used.
    pub(super) fn keep_unused(&self) {
        let account = self.account();
        self.keep_at(account.mark(), account.terms().cap);
    }

    fn write_down(&self, account: &LaneAccount) {
        let mark = account.mark();
        let written = *self.written();
        if mark.next > written.next || mark.promised > written.promised {
            self.keep(account);
        }
    }

    fn written(&self) -> MutexGuard<'_, Mark> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, account: &LaneAccount) {
        let (mark, cap) = (account.mark(), account.terms().cap);
        let part = cap
            .checked_mul_ratio(1, PARTS, Rounding::Up)
            .unwrap_or_default();
        let ahead = Mark {
            next: mark.next.saturating_add(PARTS),
            promised: mark.promised.checked_add(part).unwrap_or(cap).min(cap),
        };
        self.keep_at(ahead, cap);
    }

    fn keep_at(&self, mark: Mark, cap: Amount) {
        let Some(shelf) = &self.shelf else { return };
        let kept = KeptLane {
            trade: self.trade.clone(),
            opened: LaneOpened {
                cap,
                ..self.opened.clone()
            },
            mark,
            ends: self.ends_at,
        };
        shelf.keep(self.opened.slot_id, &kept.encode());
        *self.written() = mark;
    }

    /// Nothing of it is to be taken up again.
    pub(super) fn forget(&self) {
        if let Some(shelf) = &self.shelf {
            shelf.forget(self.opened.slot_id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_net::PeerId;
    use fairweir_types::{
        ByteCount, Millis,
        order::{OrderId, PriceVector, SlotId, UnitVector},
        session::Payers,
    };
    use std::collections::BTreeMap;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A shelf in memory that counts what is written.
    #[derive(Debug, Default)]
    struct Memory(Mutex<(BTreeMap<SlotId, Vec<u8>>, usize)>);

    impl Shelf for Memory {
        fn keep(&self, slot_id: SlotId, output: &[u8]) {
            let mut memory = self.0.lock().unwrap();
            memory.0.insert(slot_id, output.to_vec());
            memory.1 += 1;
        }

        fn forget(&self, slot_id: SlotId) {
            self.0.lock().unwrap().0.remove(&slot_id);
        }

        fn all(&self) -> Vec<Vec<u8>> {
            self.0.lock().unwrap().0.values().cloned().collect()
        }
    }

    fn coins(base_units: u64) -> Amount {
        Amount::from_base_units(base_units).unwrap()
    }

    fn demand() -> Demand {
        Demand {
            units: UnitVector {
                input: Units(10),
                output: Units(10),
                ..UnitVector::default()
            },
            bytes_in: ByteCount(1_000),
            ..Demand::default()
        }
    }

    /// A lane of a million requests, each of 20 base units.
    fn kept() -> KeptLane {
        let price = coins(1_000_000);
        KeptLane {
            trade: Trade {
                kind: Chat::ID,
                capability: Name::new("model").unwrap(),
            },
            opened: LaneOpened {
                slot_id: SlotId {
                    order: OrderId(Digest::ZERO),
                    slot: 1,
                },
                worker: fairweir_types::Address::default(),
                payers: Payers::default(),
                kind: Chat::ID,
                version: Chat::VERSION,
                prices: PriceVector {
                    input: price,
                    output: price,
                    ..PriceVector::default()
                },
                demand: demand(),
                cap: coins(20_000_000),
                until: Millis(1),
            },
            mark: Mark::default(),
            ends: SystemTime::now() + HOUR,
        }
    }

    fn lane(kept: KeptLane, shelf: &Arc<Memory>) -> OpenLane {
        let endpoint = PeerAddr::new(PeerId::new([0; 32]), Vec::new()).unwrap();
        let prices = kept.opened.prices;
        let shelf = Arc::clone(shelf) as Arc<dyn Shelf>;
        let chain_id = ChainId::new("dev-test").unwrap();
        OpenLane::new((&chain_id, Some(shelf)), kept, Reach { endpoint, prices })
    }

    fn key() -> SecretKey {
        SecretKey::from_seed([7; 32]).unwrap()
    }

    #[test]
    fn what_is_written_down_is_never_behind_what_was_given() {
        let shelf = Arc::new(Memory::default());
        let before = lane(kept(), &shelf);
        // One that was never used is known to the next process, and has all that it had.
        before.keep_unused();
        let unused = KeptLane::decode(&shelf.all()[0]).unwrap();
        assert_eq!(unused.mark, Mark::default());
        let mut given = Mark::default();
        for _ in 0..1_000 {
            let (request, credit) = before.begin(Digest::ZERO, &demand(), &key()).unwrap();
            given = Mark {
                next: request.request.index + 1,
                promised: credit.voucher.voucher.cumulative,
            };
            let kept = KeptLane::decode(&shelf.all()[0]).unwrap();
            assert!(kept.mark.next >= given.next && kept.mark.promised >= given.promised);
        }
        assert!(shelf.0.lock().unwrap().1 <= 18, "not for every request");
        let kept = KeptLane::decode(&shelf.all()[0]).unwrap();
        let after = lane(kept, &shelf);
        let (request, credit) = after.begin(Digest::ZERO, &demand(), &key()).unwrap();
        assert!(request.request.index >= given.next);
        assert!(credit.voucher.voucher.cumulative > given.promised);
        after.forget();
        assert_eq!(shelf.all(), Vec::<Vec<u8>>::new());
        assert!(KeptLane::decode(b"not a lane").is_none());
    }

    #[test]
    fn a_lane_that_is_topped_up_pays_for_more_and_remembers_it() {
        let shelf = Arc::new(Memory::default());
        let twenty = KeptLane {
            opened: LaneOpened {
                cap: coins(20),
                ..kept().opened
            },
            ..kept()
        };
        let full = lane(twenty, &shelf);
        let begin = |lane: &OpenLane| lane.begin(Digest::ZERO, &demand(), &key());
        assert!(begin(&full).is_ok());
        assert!(begin(&full).is_err(), "its cap pays for one");
        full.raise(coins(20));
        assert!(begin(&full).is_ok());
        let kept = KeptLane::decode(&shelf.all()[0]).unwrap();
        assert_eq!(kept.opened.cap, coins(40));
        assert!(full.may_grow());
        full.grows_no_more();
        assert!(!full.may_grow());
    }

    #[test]
    fn a_worker_that_is_not_reached_rests_longer_each_time_and_one_that_cheats_for_ever() {
        let mut now = Instant::now();
        let mut health = Health::Good;
        let wait = |health: Health, now| health.ready_at(now).unwrap() - now;
        for expected in [0, 500, 1_000, 2_000, 4_000] {
            assert_eq!(wait(health, now), Duration::from_millis(expected));
            now += wait(health, now);
            health = health.after_failure(now);
            // What fails meanwhile is the same failure.
            let later = now + Duration::from_millis(10);
            assert_eq!(wait(health.after_failure(later), now), wait(health, now));
        }
        for _ in 0..20 {
            now += wait(health, now);
            health = health.after_failure(now);
        }
        assert_eq!(wait(health, now), REST_LONGEST);
        assert!(Health::Bad.after_failure(now).ready_at(now).is_none());
    }

    #[test]
    fn a_lane_takes_nothing_once_it_is_about_to_close_or_its_worker_cheats() {
        let shelf = Arc::default();
        let ends = SystemTime::now() + CLOSING_MARGIN;
        let ending = lane(KeptLane { ends, ..kept() }, &shelf);
        let now = Instant::now();
        assert!(ending.ready_at(now).is_none());
        let open = lane(kept(), &shelf);
        assert_eq!(open.ready_at(now), Some(now));
        open.rest();
        assert!(open.ready_at(now).is_some_and(|at| at > now));
        open.praise();
        assert_eq!(open.ready_at(now), Some(now));
        open.give_up();
        open.praise();
        open.rest();
        assert!(open.ready_at(now).is_none());
    }
}
