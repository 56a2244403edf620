//! The role that plays appeals for an account: as the worker or verifier that loses by a verdict, or as one that has to defend it.
//!
//! It appeals whenever appeals of a verdict open, until it had its turn: another may have lost on purpose. It appeals only for what it finds again: it runs the work once more, with everything written down, and if that does not end in the trace that
//! its account stood for, its account was wrong, and it keeps silent.

use super::{
    Identity, PipelineError, Progress, Tools,
    driver::drive,
    limits::JOBS_MAX,
    memory::{Newest, Orders, PostedOrder, orders},
    role::{Role, Stage, Step, WorkError, ready},
    verifier::disclosed,
};
use crate::{
    Env, ExecuteError, Registry,
    appeal::{Record, RecordError, RefusedRecord},
    world::ChainClient,
};
use commonware_runtime::Clock;
use fairweir_types::{
    Action, Address, BoundedBytes, BoundedVec, Boxed, Digest, Event, Height, Millis, Receipt,
    TxOutcome,
    event::{AppealNarrowed, Appealed, AppealsOpen},
    order::{OrderId, SlotId},
    tx::{Appeal, Defend, Exhibit, OpenNode},
};
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
        let machine = Machine::new(identity.key.address(), Arc::clone(&tools.registry));
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
    /// Appeal the verdict, for a trace.
    Appeal(Digest),
    /// Defend the verdict for a trace.
    Defend(Digest),
    /// Open the node where the runs differ, or exhibit the cell.
    Go {
        narrowed: Boxed<AppealNarrowed>,
        /// Whether there is anything there in the own run.
        has_node: bool,
    },
}

/// What is needed for a move.
#[derive(Clone, Debug)]
pub(super) struct Gear {
    slot_id: SlotId,
    next: Option<Move>,
    receipt: Option<Arc<Receipt>>,
    record: Option<Arc<dyn Record>>,
}

/// What a move gave.
#[derive(Debug)]
pub(super) struct Moved {
    record: Arc<dyn Record>,
    action: Option<Action>,
}

/// A slot that its account has to do with.
#[derive(Debug)]
struct Case {
    order: Arc<PostedOrder>,
    receipt: Option<Arc<Receipt>>,
    /// The worker's trace, once it is open.
    opened: Option<Digest>,
    /// The trace that the account stands for.
    own: Option<Digest>,
    record: Option<Arc<dyn Record>>,
    number: u32,
    next: Option<Move>,
    /// Whether it appealed and lost: nobody appeals a verdict twice.
    had_its_turn: bool,
}

/// The decisions of an advocate.
#[derive(Debug)]
pub(super) struct Machine {
    me: Address,
    registry: Arc<Registry>,
    orders: Orders,
    cases: Newest<SlotId, Case>,
}

impl Machine {
    pub(super) fn new(me: Address, registry: Arc<Registry>) -> Self {
        Self {
            me,
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
            self.registry.get(order.header.kind)?.recorder()?;
            let case = Case {
                order,
                receipt: None,
                opened: None,
                own: None,
                record: None,
                number: 0,
                next: None,
                had_its_turn: false,
            };
            self.cases.put(slot_id, case);
        }
        self.cases.get_mut(&slot_id)
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
        match case.own {
            Some(own) if own != open.judged && !case.had_its_turn => {
                self.plan(open.slot_id, Move::Appeal(own))
            }
            _ => Vec::new(),
        }
    }

    fn appealed(&mut self, appealed: &Appealed) -> Vec<Step<Job>> {
        if appealed.defender != self.me {
            if let Some(case) = self.cases.get_mut(&appealed.slot_id) {
                // It appealed itself, or another was faster.
                case.next = None;
            }
            return Vec::new();
        }
        self.plan(appealed.slot_id, Move::Defend(appealed.judged))
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
            Event::OrderPosted(posted) if self.registry.get(posted.header.kind).is_some() => {
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
            Event::ReceiptOpened(opened) => {
                let is_own = opened.worker == self.me;
                if let Some(case) = self.case(opened.slot_id) {
                    case.opened = Some(opened.trace);
                    case.own = case.own.or(is_own.then_some(opened.trace));
                }
            }
            Event::VerdictRevealed(revealed) if revealed.verifier == self.me => {
                if let Some(case) = self.case(revealed.slot_id) {
                    case.own = Some(revealed.trace);
                }
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
            receipt: case.and_then(|case| case.receipt.clone()),
            record: case.and_then(|case| case.record.clone()),
        }
    }

    async fn work(tools: &Tools, order: &PostedOrder, gear: &Gear) -> Result<Moved, WorkError> {
        let Some(next) = &gear.next else {
            return Err(WorkError::NotWanted);
        };
        let record = match &gear.record {
            Some(record) => Arc::clone(record),
            None => record_of(tools, order, gear.receipt.as_deref()).await?,
        };
        let receipt = gear.receipt.as_deref();
        let action = action(gear.slot_id, next, record.as_ref(), receipt)
            .await
            .map_err(|error| ExecuteError::Engine(error.to_string()))?;
        Ok(Moved { record, action })
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
        case.record = Some(moved.record);
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

/// Runs the work again, with everything written down.
async fn record_of(
    tools: &Tools,
    order: &PostedOrder,
    receipt: Option<&Receipt>,
) -> Result<Arc<dyn Record>, WorkError> {
    let ready = ready(tools, order).await?;
    let refused = || Arc::new(RefusedRecord::of(&order.header.spec_digest));
    if ready.is_refused {
        return Ok(refused());
    }
    let recorder = ready.service.recorder();
    let recorder = recorder.ok_or(WorkError::NoService(order.header.kind))?;
    let (stop, hint) = match receipt {
        Some(receipt) => disclosed(tools, order, receipt).await?,
        None => Default::default(),
    };
    let env = Env::checking(tools.blobs.as_ref(), &order.header.demand, &stop, &hint);
    match recorder.record(&env, &ready.spec).await {
        Err(error) if error.is_refusal() => Ok(refused()),
        recorded => Ok(recorded?),
    }
}

/// The transaction of a move, if there is one to make.
async fn action(
    slot_id: SlotId,
    next: &Move,
    record: &dyn Record,
    receipt: Option<&Receipt>,
) -> Result<Option<Action>, RecordError> {
    let run = record.run();
    let stands_for = |trace| receipt.is_some_and(|receipt| record.stands_for(receipt, trace));
    let bound = || {
        let bound = BoundedBytes::new(record.bound()?);
        bound.map_err(|error| RecordError::Failed(error.to_string()))
    };
    Ok(match next {
        Move::Appeal(trace) | Move::Defend(trace) if !stands_for(trace) => None,
        Move::Appeal(_) => Some(Action::Appeal(Boxed::new(Appeal {
            slot_id,
            run,
            bound: bound()?,
        }))),
        Move::Defend(_) => Some(Action::Defend(Boxed::new(Defend {
            slot_id,
            run,
            bound: bound()?,
        }))),
        Move::Go { narrowed, has_node } => {
            let path = narrowed.path.as_slice();
            if *has_node {
                let children = record.children(path).await?;
                if !children.is_empty() {
                    return Ok(Some(Action::OpenNode(Boxed::new(OpenNode {
                        slot_id,
                        depth: u8::try_from(path.len()).unwrap_or(u8::MAX),
                        children: BoundedVec::truncating(children),
                    }))));
                }
            }
            let claims = [narrowed.claimed, narrowed.defended];
            let shown = match record.exhibit(path, claims).await {
                // The other side's run goes on where this one has nothing yet.
                Err(RecordError::NotACell) if !has_node => return Ok(None),
                shown => shown?,
            };
            let shown =
                BoundedBytes::new(shown).map_err(|error| RecordError::Failed(error.to_string()))?;
            Some(Action::Exhibit(Boxed::new(Exhibit { slot_id, shown })))
        }
    })
}
