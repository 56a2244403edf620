//! An auditor that trusts no node: it replays every final block and checks every invariant after it.

use commonware_codec::Encode as _;
use commonware_runtime::{Clock, Spawner};
use fairweir_chain::{ChainHandle, FinalisedBlock, root_of};
use fairweir_client::orders;
use fairweir_ledger::{
    BlockContext, MemoryState, State, apply_block, genesis_writes, invariants, report,
    upgrades::Plans,
};
use fairweir_node::Referees;
use fairweir_types::{
    Address, Amount, AmountError, Block, Digest, Event, Genesis, Height, Millis, Rounding,
    SignedTx, VerifiedTx,
    event::{AppealOutcome, DisputeCause, Slashed},
    merkle,
    order::{OrderId, SlotId},
    receipt::Tier,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often somebody who waits for the auditor looks again.
const POLL: Duration = Duration::from_millis(1);
/// Blocks within which the chain's state must be seen equal to the auditor's: blocks go on while one looks.
const COMPARISONS_MAX: usize = 50;

/// Everything that happened, in order, with the block it happened in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Events.
    pub events: Vec<(Height, Event)>,
    /// The newest block that was audited.
    pub height: Height,
    /// The root over the state after it.
    pub state_root: Digest,
    /// The newest block's time.
    pub time: Millis,
    /// Transactions in all blocks.
    pub txs: usize,
    /// What each account paid in fees.
    pub fees: BTreeMap<Address, Amount>,
}

impl Story {
    /// The events about one order.
    pub fn of(&self, order: OrderId) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .map(|(_, event)| event)
            .filter(move |event| orders::concerns(event, order))
    }

    /// All that happened, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// Who lost stake, and why.
    pub fn slashes(&self) -> impl Iterator<Item = &Slashed> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Slashed(slashed) => Some(slashed),
            _ => None,
        })
    }

    /// What an account lost.
    pub fn slashes_of(&self, account: Address) -> impl Iterator<Item = &Slashed> {
        self.slashes()
            .filter(move |slashed| slashed.account == account)
    }

    /// How each game of an appeal ended, in order.
    #[must_use]
    pub fn appeals(&self) -> Vec<AppealOutcome> {
        let outcomes = self.events.iter().filter_map(|(_, event)| match event {
            Event::AppealDecided(decided) => Some(decided.outcome),
            _ => None,
        });
        outcomes.collect()
    }

    /// Who was matched to a slot, first to last.
    #[must_use]
    pub fn workers_of(&self, slot: SlotId) -> Vec<Address> {
        let matched = self.events.iter().filter_map(|(_, event)| match event {
            Event::Matched(matched) if matched.slot_id == slot => Some(matched.worker),
            _ => None,
        });
        matched.collect()
    }

    /// The root over every event and where it happened.
    #[must_use]
    pub fn events_root(&self) -> Digest {
        let leaves: Vec<_> = self
            .events
            .iter()
            .map(|(height, event)| merkle::leaf(&(*height, event.clone()).encode()))
            .collect();
        merkle::root(&leaves)
    }

    /// What a buyer must have left of a balance, once all its orders are closed: it paid fees, work, checks and settlement
    /// fees, and was given what those who failed it owed.
    ///
    /// # Errors
    /// [`AmountError`] if it would have paid more than it had.
    pub fn balance_of_buyer(&self, buyer: Address, before: Amount) -> Result<Amount, AmountError> {
        let mut balance = before.checked_sub(self.fees.get(&buyer).copied().unwrap_or_default())?;
        let mut orders = Vec::new();
        for (_, event) in &self.events {
            match event {
                Event::OrderPosted(posted) if posted.buyer == buyer => orders.push(posted.order),
                Event::Settled(settled) if settled.buyer == buyer => {
                    let checks = settled.checks.iter().map(|check| check.amount);
                    let spent = Amount::sum(checks.chain([settled.paid.amount, settled.burned]))?;
                    balance = balance.checked_sub(spent)?;
                }
                Event::BatchPosted(posted) if orders.contains(&posted.lane.order) => {
                    orders.push(posted.slot_id.order);
                }
                Event::BatchSettled(settled) if settled.payers.buyer == buyer => {
                    let checks = settled.checks.iter().map(|check| check.amount);
                    let spent = Amount::sum(checks.chain([settled.paid.amount, settled.burned]))?;
                    balance = balance.checked_sub(spent)?;
                }
                Event::Slashed(slashed) if orders.contains(&slashed.slot_id.order) => {
                    let reward = self.reward_of_challenger(slashed);
                    balance = Amount::sum([balance, slashed.to_buyer, reward])?;
                }
                _ => {}
            }
        }
        Ok(balance)
    }

    /// What a buyer earned by a slash that it brought about with a challenge: an equal part with those of the first draw that found another trace than the
    /// worker's.
    fn reward_of_challenger(&self, slashed: &Slashed) -> Amount {
        let slot = slashed.slot_id;
        let (mut is_challenged, mut opened, mut heads) = (false, None, 1u64);
        for (_, event) in &self.events {
            match event {
                Event::SampleChosen(chosen) if chosen.slot_id == slot => is_challenged = true,
                Event::Disputed(disputed) if disputed.slot_id == slot => {
                    is_challenged |= disputed.cause == DisputeCause::Challenged;
                }
                Event::ReceiptOpened(receipt) if receipt.slot_id == slot => {
                    opened = Some(receipt.trace);
                }
                Event::VerdictRevealed(verdict)
                    if verdict.slot_id == slot
                        && verdict.tier == Tier::First
                        && opened != Some(verdict.trace) =>
                {
                    heads += 1;
                }
                _ => {}
            }
        }
        let part = slashed
            .to_reporters
            .checked_mul_ratio(1, heads, Rounding::Down);
        part.ok().filter(|_| is_challenged).unwrap_or_default()
    }

    /// What happened to an order, by the names of the events.
    #[must_use]
    pub fn names_of(&self, order: OrderId) -> Vec<String> {
        let name = |event: &Event| {
            let shown = format!("{event:?}");
            shown.split('(').next().unwrap_or_default().to_owned()
        };
        self.of(order).map(name).collect()
    }

    /// Checks that these events, and maybe others in between, happened to an order in this sequence.
    ///
    /// # Panics
    /// If they did not.
    pub fn tells(&self, order: OrderId, expected: &[&str]) {
        let happened = self.names_of(order);
        let mut rest = happened.iter();
        for name in expected {
            assert!(
                rest.any(|happened| happened == name),
                "{name} is missing, or not where it belongs, in {happened:?}"
            );
        }
    }

    /// Orders that were posted and not closed.
    #[must_use]
    pub fn open_orders(&self) -> Vec<OrderId> {
        let mut open = Vec::new();
        for (_, event) in &self.events {
            match event {
                Event::OrderPosted(posted) => open.push(posted.order),
                Event::OrderClosed(closed) => open.retain(|order| *order != closed.order),
                _ => {}
            }
        }
        open
    }
}

#[derive(Debug)]
struct Books {
    genesis: Genesis,
    state: MemoryState,
    story: Story,
}

/// The auditor. Clones share its books.
#[derive(Clone, Debug)]
pub struct Audit {
    books: Arc<Mutex<Books>>,
}

impl Audit {
    /// Begins at genesis.
    ///
    /// # Panics
    /// If the ledger refuses the genesis.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(&genesis).expect("the ledger takes the genesis"));
        let books = Books {
            genesis,
            state,
            story: Story::default(),
        };
        Self {
            books: Arc::new(Mutex::new(books)),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a chain from its first block for as long as it runs.
    pub fn follow<E: Spawner>(&self, context: E, chain: &ChainHandle) {
        let mut blocks = chain.subscribe(Height(1));
        let audit = self.clone();
        context.spawn(move |_| async move {
            // A chain that is stopped ends the audit; what it acknowledged was audited or will be in the next life.
            while let Ok(block) = blocks.next().await {
                audit.books().take(&block);
            }
        });
    }

    /// Waits until every block up to the chain's tip is audited, and checks that the chain's state is the auditor's,
    /// entry by entry. Returns the story so far.
    ///
    /// # Panics
    /// If the states differ.
    pub async fn catch_up(&self, clock: &impl Clock, chain: &ChainHandle) -> Story {
        for _ in 0..COMPARISONS_MAX {
            let tip = chain.tip().height;
            while self.books().story.height < tip {
                clock.sleep(POLL).await;
            }
            if let Some(story) = self.story_if_same(chain) {
                return story;
            }
            clock.sleep(POLL).await;
        }
        panic!("the chain's state is not what its blocks make");
    }

    /// The story, if the chain's state is the auditor's: it may be a block ahead, of what is not yet shown to be durable.
    fn story_if_same(&self, chain: &ChainHandle) -> Option<Story> {
        let books = self.books();
        let is_same = chain.read(|state| is_same(state, &books.state));
        is_same.then(|| books.story.clone())
    }

    /// Orders that are open in the state.
    ///
    /// # Panics
    /// If the state does not read.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        report::counts(&self.books().state)
            .expect("the state reads")
            .2
    }
}

fn is_same(found: &dyn State, expected: &MemoryState) -> bool {
    let mut from = Vec::new();
    // Above every key of the ledger: keys begin with a small tag.
    let to = [u8::MAX; 64];
    for (key, value) in expected.iter() {
        match found.first_in(&from, &to) {
            Some((found_key, found_value)) if found_key == key && found_value == value => {
                from = found_key;
                from.push(0);
            }
            _ => return false,
        }
    }
    found.first_in(&from, &to).is_none()
}

fn verified(block: &Block) -> Vec<VerifiedTx> {
    block
        .transactions
        .iter()
        .cloned()
        .map(|tx: SignedTx| {
            tx.verify()
                .expect("a final block holds signed transactions alone")
        })
        .collect()
}

impl Books {
    /// Replays a block and checks what it claims.
    fn take(&mut self, found: &FinalisedBlock) {
        let header = &found.block.header;
        let height = header.height;
        assert_eq!(
            Some(height),
            self.story.height.next(),
            "final blocks come in order"
        );
        let context = BlockContext {
            chain_id: self.genesis.chain_id.clone(),
            height,
            time: header.time,
            beacon: header.beacon,
            proposer: header.proposer,
            plans: Plans::default(),
        };
        let outcome = apply_block(&self.state, &context, &Referees, &verified(&found.block))
            .expect("a final block applies");
        assert_eq!(
            outcome.outcomes, found.outcomes,
            "outcomes of block {height}"
        );
        assert_eq!(outcome.events, found.events, "events of block {height}");
        assert_eq!(
            root_of(&outcome.outcomes),
            header.outcomes_root,
            "root of outcomes of block {height}"
        );
        assert_eq!(
            root_of(&outcome.events),
            header.events_root,
            "root of events of block {height}"
        );
        self.state.apply(&outcome.writes);
        if let Err(violation) = invariants::check(&self.state) {
            panic!("after block {height}: {violation}");
        }
        let story = &mut self.story;
        story.height = height;
        story.time = header.time;
        story.state_root = header.state_root;
        story.txs += found.outcomes.len();
        for tx in &found.block.transactions {
            let sender = tx.transaction.sender.address();
            let paid = story.fees.entry(sender).or_default();
            *paid = paid
                .checked_add(tx.transaction.fee)
                .expect("fees are below the supply");
        }
        story
            .events
            .extend(outcome.events.into_iter().map(|event| (height, event)));
    }
}
