//! The ledger without replicas: one state, blocks on demand, and a way to it for each key.
//!
//! What a behaviour earns or costs is decided by the ledger and the services alone, so a table over thousands of stories leaves out
//! consensus, certificates and nodes; the stories of [`crate::scenarios`] have them.

use commonware_runtime::Clock;
use core::{fmt, pin::Pin, time::Duration};
use fairweir_ledger::{
    BlockContext, BlockOutcome, MemoryState, apply_block, genesis_writes, invariants, params,
    referee::NoReferee, report, upgrades::Plans,
};
use fairweir_net::PeerAddr;
use fairweir_services::{ChainClient, ChainError, PastOrder};
use fairweir_types::{
    Action, Address, Amount, BoundedVec, ByteCount, ChainId, Digest, Event, Genesis, Height,
    Millis, Nonce, SecretKey, Transaction, TxCode, TxOutcome, VerifiedTx,
    digest::Domain,
    merkle,
    node_api::EventPage,
    order::{KindId, OrderId},
};
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    channel::{mpsc, oneshot},
    future::{Either, select},
};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// How long a block waits for more transactions after the first.
const GATHER: Duration = Duration::from_millis(20);
/// Blocks come at least so often: as far apart as chain time follows by default (`halt_gap`).
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Validators of whom a worker may have a friend: so few as four make the most of one. They propose in turns, as in `chain/src/wiring.rs`.
pub(super) const VALIDATORS: u64 = 4;
/// Blocks for which a transaction is good.
const EXPIRY: u64 = 100;

struct Waiting {
    tx: VerifiedTx,
    answer: oneshot::Sender<TxOutcome>,
}

struct Books {
    genesis: Genesis,
    params: params::Params,
    state: MemoryState,
    height: Height,
    beacon: Digest,
    seed: u64,
    waiting: Vec<Waiting>,
    nonces: BTreeMap<Address, Nonce>,
    fees: BTreeMap<Address, Amount>,
    pages: Vec<EventPage>,
    events: Digest,
    /// Of each follower one: a task that is woken twice is polled twice.
    wakers: BTreeMap<u64, Waker>,
    followers: u64,
    work_pending: bool,
    /// A worker one of whose friends is a validator, and another a verifier: the one withholds a block that does not ask the other for its link.
    befriended: Option<(Address, Address)>,
}

/// A chain of one state. Clones share it.
#[derive(Clone)]
pub struct LedgerChain {
    id: ChainId,
    books: Arc<Mutex<Books>>,
    bell: mpsc::Sender<()>,
}

impl fmt::Debug for LedgerChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerChain at {}", self.books().height)
    }
}

impl LedgerChain {
    /// A chain at its genesis, and what rings when a block is wanted.
    ///
    /// # Panics
    /// If the ledger refuses the genesis.
    #[must_use]
    pub fn new(genesis: Genesis, seed: u64) -> (Self, mpsc::Receiver<()>) {
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(&genesis).expect("the ledger takes the genesis"));
        let (bell, rings) = mpsc::channel(1);
        let books = Books {
            params: params::of_genesis(&genesis),
            state,
            height: Height::ZERO,
            beacon: Digest::of(Domain::Draw, &[b"table", &seed.to_be_bytes()]),
            seed,
            waiting: Vec::new(),
            nonces: BTreeMap::new(),
            fees: BTreeMap::new(),
            pages: Vec::new(),
            events: Digest::ZERO,
            wakers: BTreeMap::new(),
            followers: 0,
            work_pending: false,
            befriended: None,
            genesis,
        };
        let chain = Self {
            id: books.genesis.chain_id.clone(),
            books: Arc::new(Mutex::new(books)),
            bell,
        };
        (chain, rings)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on one of [`VALIDATORS`] proposers withholds each block of its turn in which another verifier than this one would be asked for the link of a
    /// batch of this worker: the next proposer makes it, with another beacon (protocol rule 1).
    pub(super) fn befriend(&self, worker: Address, verifier: Address) {
        self.books().befriended = Some((worker, verifier));
    }

    /// Makes blocks for as long as somebody listens.
    pub async fn run(self, clock: &impl Clock, mut rings: mpsc::Receiver<()>) {
        loop {
            let is_pending = self.books().work_pending;
            let wait = if is_pending { GATHER } else { HEARTBEAT };
            match select(rings.next(), pin!(clock.sleep(wait))).await {
                Either::Left((None, _)) => return,
                Either::Left((Some(()), _)) => clock.sleep(GATHER).await,
                Either::Right(_) => {}
            }
            let time = clock
                .current()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("virtual time begins at the epoch");
            let time = Millis(u64::try_from(time.as_millis()).expect("a story is short"));
            self.books().block(time);
        }
    }

    /// The way of a key to the chain.
    #[must_use]
    pub fn seat(&self, key: SecretKey) -> Seat {
        Seat {
            chain: self.clone(),
            key,
        }
    }

    /// Balance, bonded and unbonding stake together.
    ///
    /// # Panics
    /// If the state does not read.
    #[must_use]
    pub fn wealth(&self, account: Address) -> Amount {
        let report = report::account(&self.books().state, account).expect("the state reads");
        Amount::sum([report.balance, report.bonded, report.unbonding])
            .expect("nobody has more than there is")
    }

    /// What of an account's stake is bonded.
    ///
    /// # Panics
    /// If the state does not read.
    #[must_use]
    pub fn bonded(&self, account: Address) -> Amount {
        report::account(&self.books().state, account)
            .expect("the state reads")
            .bonded
    }

    /// The fees that an account paid.
    #[must_use]
    pub fn fees(&self, account: Address) -> Amount {
        self.books().fees.get(&account).copied().unwrap_or_default()
    }

    /// What a buyer's settlements burned and paid for checks.
    ///
    /// # Panics
    /// If it is more than there is.
    #[must_use]
    pub fn burned_and_checks(&self, buyer: Address) -> Amount {
        let parts = self.events().into_iter().flat_map(|event| match event {
            Event::Settled(settled) if settled.buyer == buyer => {
                let checks = settled.checks.iter().map(|check| check.amount);
                checks.chain([settled.burned]).collect()
            }
            Event::BatchSettled(settled) if settled.payers.buyer == buyer => {
                let checks = settled.checks.iter().map(|check| check.amount);
                checks.chain([settled.burned]).collect()
            }
            _ => Vec::new(),
        });
        Amount::sum(parts).expect("it is little")
    }

    /// What the workers of a buyer's batches paid towards checks: where a lane is so small that what it keeps for them is too little.
    ///
    /// # Panics
    /// If it is more than there is.
    #[must_use]
    pub fn workers_part(&self, buyer: Address) -> Amount {
        let parts = self.events().into_iter().filter_map(|event| match event {
            Event::BatchSettled(settled) if settled.payers.buyer == buyer => {
                settled.root.sum.checked_sub(settled.paid.amount).ok()
            }
            _ => None,
        });
        Amount::sum(parts).expect("it is little")
    }

    /// The governed values.
    #[must_use]
    pub fn params(&self) -> params::Params {
        self.books().params
    }

    /// Orders that are open.
    ///
    /// # Panics
    /// If the state does not read.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        report::counts(&self.books().state)
            .expect("the state reads")
            .2
    }

    /// The newest block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.books().height
    }

    /// Everything that happened, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let books = self.books();
        books
            .pages
            .iter()
            .flat_map(|page| page.events.iter().cloned())
            .collect()
    }

    /// The root over the state and everything that happened, after the ledger's invariants were checked.
    ///
    /// # Panics
    /// If an invariant does not hold.
    #[must_use]
    pub fn root(&self) -> Digest {
        let books = self.books();
        if let Err(violation) = invariants::check(&books.state) {
            panic!("after block {}: {violation}", books.height);
        }
        let leaf = |(key, value): (&[u8], &[u8])| merkle::leaf(&[key, value].concat());
        let leaves: Vec<_> = books.state.iter().map(leaf).collect();
        let root = merkle::root(&leaves);
        Digest::of(Domain::Draw, &[root.as_bytes(), books.events.as_bytes()])
    }

    fn submit(&self, key: &SecretKey, action: Action) -> oneshot::Receiver<TxOutcome> {
        let (answer, told) = oneshot::channel();
        self.books().sign(key, action, answer);
        // A bell that already rings is heard.
        let _ = self.bell.clone().try_send(());
        told
    }
}

impl Books {
    fn sign(&mut self, key: &SecretKey, action: Action, answer: oneshot::Sender<TxOutcome>) {
        let nonce = self.nonces.entry(key.address()).or_default();
        let mut transaction = Transaction {
            chain_id: self.genesis.chain_id.clone(),
            sender: key.account_key(),
            nonce: *nonce,
            fee: Amount::ZERO,
            expiry: Height(self.height.get() + EXPIRY),
            action,
        };
        *nonce = nonce.next().expect("few transactions");
        // A fee has the same length whatever it is.
        let signed = transaction.clone().sign(key);
        let size = commonware_codec::EncodeSize::encode_size(&signed);
        let size = ByteCount(u64::try_from(size).expect("a transaction is short"));
        transaction.fee = self.params.fee_min(size);
        let tx = transaction.sign(key).verify().expect("it was just signed");
        self.waiting.push(Waiting { tx, answer });
    }

    /// The block as the proposer of a turn makes it: its signature is the only one that it can give.
    fn proposed(
        &mut self,
        time: Millis,
        (before, turn): (Digest, u64),
        txs: &[VerifiedTx],
    ) -> BlockOutcome {
        let mut parts = vec![before.as_bytes().to_vec()];
        parts.push(self.seed.to_be_bytes().to_vec());
        parts.push(self.height.get().to_be_bytes().to_vec());
        if turn > 0 {
            parts.push(turn.to_be_bytes().to_vec());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        self.beacon = Digest::of(Domain::Draw, &parts);
        let validators = self.genesis.validators.as_slice();
        let context = BlockContext {
            chain_id: self.genesis.chain_id.clone(),
            height: self.height,
            time,
            beacon: self.beacon,
            proposer: validators.first().expect("there is a validator").identity,
            plans: Plans::default(),
        };
        apply_block(&self.state, &context, &NoReferee, txs).expect("every sender can pay")
    }

    fn is_withheld(&self, outcome: &BlockOutcome) -> bool {
        let is_bad = |(worker, verifier): &(Address, Address)| {
            outcome.events.iter().any(|event| {
                matches!(event, Event::LinkDue(due) if due.worker == *worker && due.verifier != *verifier)
            })
        };
        // Whose turn a story's blocks are differs from seed to seed.
        (self.height.get() + self.seed).is_multiple_of(VALIDATORS)
            && self.befriended.as_ref().is_some_and(is_bad)
    }

    fn block(&mut self, time: Millis) {
        self.height = self.height.next().expect("few blocks");
        let (txs, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|waiting| (waiting.tx, waiting.answer))
            .unzip();
        let before = self.beacon;
        let mut outcome = self.proposed(time, (before, 0), &txs);
        if self.is_withheld(&outcome) {
            outcome = self.proposed(time, (before, 1), &txs);
        }
        self.state.apply(&outcome.writes);
        self.work_pending = outcome.work_pending;
        for tx in &txs {
            let fee = tx.transaction().fee;
            let paid = self.fees.entry(tx.sender()).or_default();
            *paid = paid.checked_add(fee).expect("fees are below the supply");
        }
        for event in &outcome.events {
            let encoded = commonware_codec::Encode::encode(event);
            self.events = Digest::of(Domain::Draw, &[self.events.as_bytes(), &encoded]);
        }
        self.pages.push(EventPage {
            height: self.height,
            time,
            first: 0,
            more: false,
            events: BoundedVec::new(outcome.events).expect("a story's block is small"),
        });
        for (answer, told) in answers.into_iter().zip(outcome.outcomes) {
            // Who does not wait does not want to know.
            let _ = answer.send(told);
        }
        for waker in std::mem::take(&mut self.wakers).into_values() {
            waker.wake();
        }
    }
}

/// One key's way to the chain.
#[derive(Clone, Debug)]
pub struct Seat {
    chain: LedgerChain,
    key: SecretKey,
}

impl Seat {
    /// The account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The chain's id.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain.id
    }

    /// The number of the next transaction.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        let books = self.chain.books();
        books
            .nonces
            .get(&self.address())
            .copied()
            .unwrap_or_default()
    }

    /// Where a worker is reached.
    ///
    /// # Panics
    /// If it has no offer of the kind.
    #[must_use]
    pub fn endpoint(&self, kind: KindId, worker: Address) -> PeerAddr {
        let page = report::offers(&self.chain.books().state, kind, worker);
        let page = page.expect("the state reads");
        let offer = page.offers.iter().find(|offer| offer.worker == worker);
        let endpoint = &offer.expect("a matched worker has an offer").offer.endpoint;
        PeerAddr::from_bytes(endpoint.as_slice()).expect("it is an address")
    }

    /// Everything that happened, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.chain.events()
    }

    /// Sends an action and waits for its block; what became of it.
    ///
    /// # Panics
    /// If the chain ended.
    pub async fn send(&self, action: Action) -> TxOutcome {
        let told = self.chain.submit(&self.key, action);
        told.await.expect("the chain runs")
    }

    /// The same, and the action must be done.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn done(&self, action: Action) {
        let name = action.name();
        let outcome = self.send(action).await;
        assert_eq!(outcome.code, TxCode::OK, "{name}: {}", outcome.reason);
    }

    /// The events of blocks after this one.
    #[must_use]
    pub fn follow(&self, from: Height) -> Pages {
        let mut books = self.chain.books();
        books.followers += 1;
        Pages {
            number: books.followers,
            books: Arc::clone(&self.chain.books),
            next: usize::try_from(from.get().saturating_sub(1)).unwrap_or(usize::MAX),
        }
    }
}

impl ChainClient for Seat {
    type Events = Pages;

    fn chain_id(&self) -> &ChainId {
        &self.chain.id
    }

    fn submit(&self, action: Action) -> impl Future<Output = Result<TxOutcome, ChainError>> + Send {
        let told = self.chain.submit(&self.key, action);
        told.map(|told| told.map_err(|_| ChainError::Unreachable("the chain ended".to_owned())))
    }

    fn events(&self, from: Height) -> impl Future<Output = Result<Pages, ChainError>> + Send {
        std::future::ready(Ok(self.follow(from)))
    }

    fn past_order(
        &self,
        _: OrderId,
    ) -> impl Future<Output = Result<Option<PastOrder>, ChainError>> + Send {
        // Everybody follows from the first block on.
        std::future::ready(Ok(None))
    }
}

/// Pages of events, one for each block.
pub struct Pages {
    number: u64,
    books: Arc<Mutex<Books>>,
    next: usize,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages from {}", self.next)
    }
}

impl Stream for Pages {
    type Item = Result<EventPage, ChainError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let books = Arc::clone(&self.books);
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        match books.pages.get(self.next) {
            Some(page) => {
                self.next += 1;
                Poll::Ready(Some(Ok(page.clone())))
            }
            None => {
                books.wakers.insert(self.number, context.waker().clone());
                Poll::Pending
            }
        }
    }
}
