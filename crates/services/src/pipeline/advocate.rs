//! The role that plays appeals for an account: as the worker or verifier that loses by a verdict, or as one that has to defend it.
//!
//! It appeals whenever appeals of a verdict open, until it had its turn: another may have lost on purpose. It appeals only for what it finds again: it runs the work once more, with everything written down, and if that does not end in the trace that
//! its account stood for, its account was wrong, and it keeps silent. Of a batch it does so for the sample that is played about.

mod batch;
mod ground;

use super::{
    Identity, PipelineError, Progress, Tools,
    driver::drive,
    limits::JOBS_MAX,
    memory::{Newest, Orders, PostedOrder, orders},
    role::{Role, Stage, Step, WorkError},
};
use crate::{ExecuteError, Registry, session::seal::Sharing, world::ChainClient};
use batch::{Batch, Reading};
use commonware_runtime::Clock;
use fairweir_types::{
    Action, Address, Boxed, ChainId, Digest, Event, Height, Millis, Receipt, TxOutcome,
    event::{AppealNarrowed, Appealed, AppealsOpen, LeavesShown, ReceiptOpened},
    order::{OrderId, SlotId},
    session::SampleTraces,
};
use ground::Ground;
use std::sync::Arc;

/// Time that one move may take; the ledger's window ends it sooner.
const MOVE_WITHIN: Millis = Millis(600_000);

/// Plays the appeals of one account.
#[derive(Debug)]
pub struct Advocate<C> {
    chain: C,
    tools: Tools,
    progress: Progress,
    machine: Machine,
}

impl<C: ChainClient> Advocate<C> {
    /// An advocate that has seen nothing yet.
    #[must_use]
    pub fn new(identity: &Identity, chain: C, tools: Tools) -> Self {
        let registry = Arc::clone(&tools.registry);
        let machine = Machine::new(identity, chain.chain_id().clone(), registry);
        Self {
            chain,
            tools,
            progress: Progress::default(),
            machine,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Follows the chain from a height on and plays, until the chain cannot be followed any more. Call it again with
    /// [`Progress::resume_from`] to go on.
    pub async fn run(&mut self, clock: &impl Clock, from: Height) -> PipelineError {
        self.machine.begin_again();
        drive(
            &mut self.machine,
            &self.tools,
            &self.chain,
            clock,
            (from, &self.progress),
        )
        .await
    }
}

/// A move of a slot's appeal, by number.
pub(super) type Job = (SlotId, u32);

/// What a move is.
#[derive(Clone, Debug)]
enum Move {
    /// Appeal the verdict.
    Appeal,
    /// Defend the verdict.
    Defend,
    /// Open the node where the runs differ, or exhibit the cell.
    Go {
        narrowed: Boxed<AppealNarrowed>,
        /// Whether there is anything there in the own run.
        has_node: bool,
    },
}

/// What the two sides of a game stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    own: Digest,
    other: Digest,
    /// Of a batch: the sample that they play about.
    sample: u8,
}

/// What is needed for a move.
#[derive(Clone, Debug)]
pub(super) struct Gear {
    slot_id: SlotId,
    next: Option<Move>,
    stand: Option<Stand>,
    receipt: Option<Arc<Receipt>>,
    batch: Option<Batch>,
    reading: Reading,
    ground: Option<Ground>,
}

/// What a move gave.
#[derive(Debug)]
pub(super) struct Moved {
    ground: Option<Ground>,
    action: Option<Action>,
}

/// A slot that its account has to do with.
#[derive(Debug)]
struct Case {
    order: Arc<PostedOrder>,
    receipt: Option<Arc<Receipt>>,
    /// The trace that the account stands for.
    own: Option<Digest>,
    batch: Option<Batch>,
    /// What the game that is on, or may begin, is about.
    stand: Option<Stand>,
    /// What the account has to show for that.
    ground: Option<Ground>,
    number: u32,
    next: Option<Move>,
    /// Whether it appealed and lost: nobody appeals a verdict twice.
    had_its_turn: bool,
}

/// The decisions of an advocate.
#[derive(Debug)]
pub(super) struct Machine {
    me: Address,
    reading: Reading,
    registry: Arc<Registry>,
    orders: Orders,
    cases: Newest<SlotId, Case>,
}

impl Machine {
    pub(super) fn new(identity: &Identity, chain_id: ChainId, registry: Arc<Registry>) -> Self {
        Self {
            me: identity.key.address(),
            reading: Reading::of(identity, chain_id),
            registry,
            orders: orders(),
            cases: Newest::new(JOBS_MAX),
        }
    }

    /// Forgets what the chain tells again.
    fn begin_again(&mut self) {
        self.orders = orders();
        self.cases = Newest::new(JOBS_MAX);
    }

    /// The case of a slot whose kind has a referee.
    fn case(&mut self, slot_id: SlotId) -> Option<&mut Case> {
        if self.cases.get(&slot_id).is_none() {
            let order = Arc::clone(self.orders.get(&slot_id.order)?);
            self.registry
                .get(order.header.kind, order.header.version)?
                .recorder()?;
            let case = Case {
                order,
                receipt: None,
                own: None,
                batch: None,
                stand: None,
                ground: None,
                number: 0,
                next: None,
                had_its_turn: false,
            };
            self.cases.put(slot_id, case);
        }
        self.cases.get_mut(&slot_id)
    }

    fn batch(&mut self, slot_id: SlotId) -> Option<&mut Batch> {
        self.cases.get_mut(&slot_id)?.batch.as_mut()
    }

    /// A batch is an order of its own.
    fn leaves_shown(&mut self, height: Height, shown: &LeavesShown) {
        let order = PostedOrder::of_batch(shown, height);
        self.orders.put(shown.slot_id.order, Arc::new(order));
        if let Some(case) = self.case(shown.slot_id) {
            case.batch = Some(Batch::of(shown));
        }
    }

    /// Somebody said what the trace of the work is.
    fn told(&mut self, slot_id: SlotId, who: Address, trace: Digest, samples: &SampleTraces) {
        let is_me = who == self.me;
        if let Some(case) = self.case(slot_id) {
            if let Some(batch) = &mut case.batch {
                batch.hear(trace, samples);
            }
            if is_me {
                case.own = Some(trace);
            }
        }
    }

    /// What a game is about. What was to be shown in another is forgotten, unless it is shown in this one too: to write a run down takes long.
    fn stands(&mut self, slot_id: SlotId, stand: Stand) {
        if let Some(case) = self.case(slot_id) {
            let fits = match (&case.batch, &case.stand) {
                (Some(batch), Some(known)) => batch.is_shown_alike(known, &stand),
                _ => true,
            };
            if !fits {
                case.ground = None;
            }
            case.stand = Some(stand);
        }
    }

    fn plan(&mut self, slot_id: SlotId, next: Move) -> Vec<Step<Job>> {
        let Some(case) = self.case(slot_id) else {
            return Vec::new();
        };
        case.number += 1;
        case.next = Some(next);
        vec![Step::Work {
            job: (slot_id, case.number),
            order: Arc::clone(&case.order),
            within: MOVE_WITHIN,
        }]
    }

    fn appeals_open(&mut self, open: &AppealsOpen) -> Vec<Step<Job>> {
        let Some(case) = self.cases.get(&open.slot_id) else {
            return Vec::new();
        };
        let own = case.own.filter(|own| *own != open.judged);
        let Some(own) = own.filter(|_| !case.had_its_turn) else {
            return Vec::new();
        };
        let sample = match &case.batch {
            None => Some(0),
            Some(batch) => batch.sample(&own, &open.judged),
        };
        let Some(sample) = sample else {
            return Vec::new();
        };
        let stand = Stand {
            own,
            other: open.judged,
            sample,
        };
        self.stands(open.slot_id, stand);
        self.plan(open.slot_id, Move::Appeal)
    }

    fn appealed(&mut self, appealed: &Appealed) -> Vec<Step<Job>> {
        let (slot_id, sample) = (appealed.slot_id, appealed.sample);
        let (own, other) = if appealed.defender == self.me {
            (appealed.judged, appealed.trace)
        } else {
            (appealed.trace, appealed.judged)
        };
        if appealed.defender == self.me || appealed.appellant == self.me {
            let stand = Stand { own, other, sample };
            self.stands(slot_id, stand);
        }
        if appealed.defender == self.me {
            return self.plan(slot_id, Move::Defend);
        }
        if let Some(case) = self.cases.get_mut(&slot_id) {
            // It appealed itself, or another was faster.
            case.next = None;
        }
        Vec::new()
    }

    fn narrowed(&mut self, narrowed: &Boxed<AppealNarrowed>) -> Vec<Step<Job>> {
        let node = if narrowed.appellant == self.me {
            narrowed.claimed
        } else if narrowed.defender == self.me {
            narrowed.defended
        } else {
            return Vec::new();
        };
        let next = Move::Go {
            narrowed: narrowed.clone(),
            has_node: node != Digest::ZERO,
        };
        self.plan(narrowed.slot_id, next)
    }
}

impl Role for Machine {
    type Job = Job;
    type Product = Moved;
    type Gear = Gear;

    fn misses(&self, event: &Event) -> Option<OrderId> {
        let slot_id = match event {
            Event::Appealed(event) if event.defender == self.me || event.appellant == self.me => {
                event.slot_id
            }
            Event::AppealNarrowed(event)
                if event.defender == self.me || event.appellant == self.me =>
            {
                event.slot_id
            }
            _ => return None,
        };
        let order = slot_id.order;
        self.orders.get(&order).is_none().then_some(order)
    }

    fn decide(&mut self, height: Height, event: &Event) -> Vec<Step<Job>> {
        match event {
            Event::OrderPosted(posted)
                if self
                    .registry
                    .knows(posted.header.kind, posted.header.version) =>
            {
                let order = PostedOrder {
                    buyer: posted.buyer,
                    posted: height,
                    header: posted.header.clone(),
                };
                self.orders.put(posted.order, Arc::new(order));
            }
            Event::ReceiptSubmitted(submitted) => {
                if let Some(case) = self.case(submitted.slot_id) {
                    case.receipt = Some(Arc::new(submitted.receipt.receipt.clone()));
                }
            }
            Event::LeavesShown(shown) if self.registry.knows(shown.kind, shown.version) => {
                self.leaves_shown(height, shown);
            }
            Event::SharingDue(due) => {
                if let Some(batch) = self.batch(due.slot_id) {
                    let readers = due.readers.clone();
                    let shares = Vec::new();
                    batch.sharing = Some(Arc::new(Sharing { readers, shares }));
                }
            }
            Event::LeavesShared(shared) => {
                let batch = self.batch(shared.slot_id);
                if let Some(sharing) = batch.and_then(|batch| batch.sharing.as_mut()) {
                    Arc::make_mut(sharing).shares.push(shared.wraps.clone());
                }
            }
            Event::ReceiptOpened(opened) => {
                let ReceiptOpened {
                    slot_id,
                    worker,
                    trace,
                    ref samples,
                } = *opened;
                self.told(slot_id, worker, trace, samples);
            }
            Event::VerdictRevealed(revealed) => {
                let (slot_id, trace) = (revealed.slot_id, revealed.trace);
                self.told(slot_id, revealed.verifier, trace, &revealed.samples);
            }
            Event::AppealsOpen(open) => return self.appeals_open(open),
            Event::Appealed(appealed) => return self.appealed(appealed),
            Event::AppealNarrowed(narrowed) => return self.narrowed(narrowed),
            Event::AppealDecided(decided) => {
                if let Some(case) = self.cases.get_mut(&decided.slot_id) {
                    case.next = None;
                    case.had_its_turn |=
                        decided.appellant == self.me && !decided.outcome.is_for_appellant();
                }
            }
            Event::Settled(settled) => drop(self.cases.remove(&settled.slot_id)),
            Event::BatchSettled(settled) => drop(self.cases.remove(&settled.slot_id)),
            Event::Refunded(refunded) => drop(self.cases.remove(&refunded.slot_id)),
            Event::OrderClosed(closed) => {
                self.orders.remove(&closed.order);
                self.cases.remove_all(|slot| slot.order == closed.order);
            }
            _ => {}
        }
        Vec::new()
    }

    fn wants(&self, step: &Step<Job>) -> bool {
        let (Step::Work { job, .. } | Step::Submit { job, .. }) = step;
        self.cases
            .get(&job.0)
            .is_some_and(|case| case.number == job.1 && case.next.is_some())
    }

    fn gear(&self, (slot_id, _): Job) -> Gear {
        let case = self.cases.get(&slot_id);
        Gear {
            slot_id,
            next: case.and_then(|case| case.next.clone()),
            stand: case.and_then(|case| case.stand),
            receipt: case.and_then(|case| case.receipt.clone()),
            batch: case.and_then(|case| case.batch.clone()),
            reading: self.reading.clone(),
            ground: case.and_then(|case| case.ground.clone()),
        }
    }

    async fn work(tools: &Tools, order: &PostedOrder, gear: &Gear) -> Result<Moved, WorkError> {
        let (Some(next), Some(stand)) = (&gear.next, &gear.stand) else {
            return Err(WorkError::NotWanted);
        };
        let ground = match (&gear.ground, &gear.batch) {
            (Some(ground), _) => Some(ground.clone()),
            (None, None) => ground::of_work(tools, order, (gear.receipt.as_ref(), stand)).await?,
            (None, Some(batch)) => batch.ground(tools, &gear.reading, stand).await?,
        };
        let Some(ground) = ground else {
            return Ok(Moved {
                ground: None,
                action: None,
            });
        };
        let action = ground
            .action((gear.slot_id, stand.sample), next)
            .await
            .map_err(|error| ExecuteError::Engine(error.to_string()))?;
        Ok(Moved {
            ground: Some(ground),
            action,
        })
    }

    fn worked(&mut self, job: Job, result: Result<Moved, WorkError>) -> Vec<Step<Job>> {
        let (slot_id, number) = job;
        let moved = match result {
            Ok(moved) => moved,
            Err(error) => {
                tracing::error!(%slot_id, %error, "an appeal is not played on, this may lose it");
                return Vec::new();
            }
        };
        let Some(case) = self.cases.get_mut(&slot_id) else {
            return Vec::new();
        };
        case.ground = moved.ground;
        if case.number != number {
            return Vec::new();
        }
        moved.action.map_or_else(Vec::new, |action| {
            vec![Step::Submit {
                job,
                stage: Stage::Appeal,
                action: Box::new(action),
            }]
        })
    }

    fn submitted(&mut self, _: Job, _: Stage, _: Option<&TxOutcome>) -> Vec<Step<Job>> {
        Vec::new()
    }

    fn oldest(&self) -> Option<Height> {
        let order = self.orders.oldest().map(|order| order.posted);
        let case = self.cases.oldest().map(|case| case.order.posted);
        order.into_iter().chain(case).min()
    }
}
