//! The role that runs work: from `Matched` to the opened receipt.

use super::{
    Desk, Identity, PipelineError, Progress, Shelf, Tools,
    driver::drive,
    feed::Feed,
    limits::JOBS_MAX,
    memory::{Newest, Orders, PostedOrder, orders},
    role::{Role, Stage, Step, WorkError, ready},
    salt::worker_salt,
};
use crate::{Env, Executed, Registry, StopAt, world::ChainClient};
use commonware_runtime::Clock;
use fairweir_types::{
    Action, Address, BoundedBytes, Boxed, ChainId, Digest, Event, Height, Receipt, SignedReceipt,
    TxOutcome,
    event::Matched,
    node_api::Delivery,
    order::{OrderId, SlotId},
    receipt::{Disclosure, Salt, output_commitment},
    tx::{OpenReceipt, SubmitReceipt},
};
use std::sync::Arc;

/// Runs the work that is matched to one account.
#[derive(Debug)]
pub struct Worker<C> {
    chain: C,
    tools: Tools,
    progress: Progress,
    machine: Machine,
}

impl<C: ChainClient> Worker<C> {
    /// A worker that has seen nothing yet.
    #[must_use]
    pub fn new(identity: Identity, chain: C, tools: Tools) -> Self {
        let machine = Machine::new(
            identity,
            chain.chain_id().clone(),
            Arc::clone(&tools.registry),
        );
        Self {
            chain,
            tools,
            progress: Progress::default(),
            machine,
        }
    }

    /// The same worker with outputs that survive a restart.
    #[must_use]
    pub fn with_shelf(self, shelf: Arc<dyn Shelf>) -> Self {
        self.machine.desk.use_shelf(shelf);
        self
    }

    /// Where its buyers fetch outputs.
    #[must_use]
    pub fn desk(&self) -> Desk {
        self.machine.desk.clone()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Follows the chain from a height on and works, until the chain cannot be followed any more. Call it again with
    /// [`Progress::resume_from`] to go on; what was under way is done again.
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

/// One assignment of a slot.
pub(super) type Job = (SlotId, u16);

/// What opens the commitment of a receipt.
#[derive(Clone, Copy, Debug)]
struct Opening {
    salt: Salt,
    output: Digest,
    commitment: Digest,
}

/// What an execution needs of the desk: where chunks go, and where the buyer may stop it.
#[derive(Debug)]
pub(super) struct Gear {
    desk: Desk,
    job: Job,
    feed: Feed,
    stop: StopAt,
}

/// An execution, and what is shown of it to verifiers.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) executed: Executed,
    disclosure: Disclosure,
    disclosed: Digest,
}

#[derive(Debug)]
struct Assigned {
    order: Arc<PostedOrder>,
    opening: Option<Opening>,
    /// The commitment that is on the ledger.
    committed: Option<Digest>,
    opening_due: bool,
    /// Whether the opening was submitted, or seen on the ledger.
    is_opened: bool,
}

/// The decisions of a worker.
#[derive(Debug)]
pub(super) struct Machine {
    identity: Identity,
    me: Address,
    chain_id: ChainId,
    registry: Arc<Registry>,
    orders: Orders,
    jobs: Newest<Job, Assigned>,
    pub(super) desk: Desk,
}

impl Machine {
    pub(super) fn new(identity: Identity, chain_id: ChainId, registry: Arc<Registry>) -> Self {
        Self {
            me: identity.key.address(),
            identity,
            chain_id,
            registry,
            orders: orders(),
            jobs: Newest::new(JOBS_MAX),
            desk: Desk::new(),
        }
    }

    /// Forgets what the chain tells again; outputs stay on the desk.
    fn begin_again(&mut self) {
        self.orders = orders();
        self.jobs = Newest::new(JOBS_MAX);
    }

    fn matched(&mut self, matched: &Matched) -> Vec<Step<Job>> {
        let slot_id = matched.slot_id;
        let Some(order) = self.orders.get(&slot_id.order).cloned() else {
            tracing::warn!(%slot_id, "matched to an order of another kind or before the events that were followed");
            return Vec::new();
        };
        let job = (slot_id, matched.attempt);
        if self.jobs.get(&job).is_some() {
            tracing::warn!(%slot_id, "matched twice");
            return Vec::new();
        }
        let assigned = Assigned {
            order: Arc::clone(&order),
            opening: None,
            committed: None,
            opening_due: false,
            is_opened: false,
        };
        if self.jobs.put(job, assigned).is_some() {
            tracing::warn!(%slot_id, "too many slots at a time, the oldest is given up");
        }
        self.desk.expect(slot_id, matched.attempt, matched.buyer);
        if let Some(delivery) = self.desk.made(slot_id, matched.attempt) {
            return self.made_before(job, &delivery);
        }
        vec![Step::Work {
            job,
            order,
            within: matched.within,
        }]
    }

    /// The newest assignment of a slot.
    fn job_of(&self, slot_id: SlotId) -> Option<Job> {
        self.jobs.last_in((slot_id, 0), (slot_id, u16::MAX))
    }

    /// Submits the opening, once, when it is due and known.
    fn open(&mut self, job: Job) -> Vec<Step<Job>> {
        let Some(assigned) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        match assigned.opening {
            Some(Opening { salt, output, .. }) if assigned.opening_due && !assigned.is_opened => {
                assigned.is_opened = true;
                vec![Step::Submit {
                    job,
                    stage: Stage::Opening,
                    action: Box::new(Action::OpenReceipt(OpenReceipt {
                        slot_id: job.0,
                        salt,
                        output,
                    })),
                }]
            }
            _ => Vec::new(),
        }
    }

    fn receipt(&self, job: Job, order: &PostedOrder, made: &Made) -> (SignedReceipt, Opening) {
        let executed = &made.executed;
        let (slot_id, attempt) = job;
        let header = &order.header;
        let salt = worker_salt(&self.identity.seed, &self.chain_id, &slot_id, attempt);
        let opening = Opening {
            salt,
            output: Digest::of_blob(&executed.output),
            commitment: output_commitment(
                self.me,
                &slot_id,
                attempt,
                &salt,
                &executed.trace(&header.spec_digest),
            ),
        };
        let receipt = Receipt {
            chain_id: self.chain_id.clone(),
            slot_id,
            attempt,
            kind: header.kind,
            version: header.version,
            spec_digest: header.spec_digest,
            units: executed.units,
            disclosure: made.disclosed,
            output_commitment: opening.commitment,
        };
        (SignedReceipt::sign(receipt, &self.identity.key), opening)
    }

    /// Goes on with what was made before a restart or a lost connection. Doing it again could give other work, when the
    /// buyer has stopped it meanwhile, and the commitment on the ledger could not be opened.
    fn made_before(&mut self, job: Job, delivery: &Delivery) -> Vec<Step<Job>> {
        let commitment = delivery.receipt.receipt.output_commitment;
        if let Some(assigned) = self.jobs.get_mut(&job) {
            assigned.opening = Some(Opening {
                salt: delivery.salt,
                output: Digest::of_blob(delivery.output.as_slice()),
                commitment,
            });
        }
        vec![Step::Submit {
            job,
            stage: Stage::Receipt,
            action: Box::new(Action::SubmitReceipt(Boxed::new(SubmitReceipt {
                receipt: delivery.receipt.clone(),
            }))),
        }]
    }

    fn made(&mut self, job: Job, made: Made) -> Vec<Step<Job>> {
        let Some(assigned) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let (receipt, opening) = self.receipt(job, &assigned.order, &made);
        let committed = assigned.committed;
        let (slot_id, attempt) = job;
        let Ok(output) = BoundedBytes::new(made.executed.output) else {
            tracing::error!(%slot_id, "the output is longer than a blob may be");
            return Vec::new();
        };
        if committed.is_some_and(|committed| committed != receipt.receipt.output_commitment) {
            tracing::error!(%slot_id, "the receipt on the ledger commits to other work than was done again");
            return Vec::new();
        }
        let delivery = Delivery {
            receipt: receipt.clone(),
            salt: opening.salt,
            output,
            disclosure: made.disclosure,
        };
        self.desk.keep(slot_id, attempt, delivery);
        if let Some(assigned) = self.jobs.get_mut(&job) {
            assigned.opening = Some(opening);
        }
        if committed.is_some() {
            return self.open(job);
        }
        vec![Step::Submit {
            job,
            stage: Stage::Receipt,
            action: Box::new(Action::SubmitReceipt(Boxed::new(SubmitReceipt { receipt }))),
        }]
    }

    fn handed_in(&mut self, signed: &SignedReceipt) {
        let job = (signed.receipt.slot_id, signed.receipt.attempt);
        if let Some(assigned) = self.jobs.get_mut(&job) {
            assigned.committed = Some(signed.receipt.output_commitment);
            self.desk.handed_in(job.0, job.1);
        }
    }

    fn close(&mut self, slot_id: SlotId) {
        self.jobs.remove_all(|(slot, _)| *slot == slot_id);
        self.desk.close(slot_id);
    }
}

impl Role for Machine {
    type Job = Job;
    type Product = Made;
    type Gear = Gear;

    fn misses(&self, event: &Event) -> Option<OrderId> {
        match event {
            Event::Matched(matched) if matched.worker == self.me => {
                let order = matched.slot_id.order;
                self.orders.get(&order).is_none().then_some(order)
            }
            _ => None,
        }
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
                if self.orders.put(posted.order, Arc::new(order)).is_some() {
                    tracing::debug!("an old order was forgotten");
                }
            }
            Event::Matched(matched) if matched.worker == self.me => {
                return self.matched(matched);
            }
            Event::ReceiptSubmitted(submitted) if submitted.worker == self.me => {
                self.handed_in(&submitted.receipt);
            }
            Event::OpeningDue(due) if due.worker == self.me => {
                let Some(job) = self.job_of(due.slot_id) else {
                    return Vec::new();
                };
                if let Some(assigned) = self.jobs.get_mut(&job) {
                    assigned.opening_due = true;
                }
                return self.open(job);
            }
            Event::ReceiptOpened(opened) if opened.worker == self.me => {
                if let Some(job) = self.job_of(opened.slot_id)
                    && let Some(assigned) = self.jobs.get_mut(&job)
                {
                    assigned.is_opened = true;
                }
            }
            Event::WorkerReplaced(replaced) if replaced.worker == self.me => {
                self.close(replaced.slot_id);
                self.desk.forget(replaced.slot_id);
            }
            Event::Settled(settled) => self.close(settled.slot_id),
            Event::Refunded(refunded) => self.close(refunded.slot_id),
            Event::OrderClosed(closed) => {
                self.orders.remove(&closed.order);
                self.jobs.remove_all(|(slot, _)| slot.order == closed.order);
            }
            _ => {}
        }
        Vec::new()
    }

    fn wants(&self, step: &Step<Job>) -> bool {
        match step {
            Step::Work { job, .. } => self
                .jobs
                .get(job)
                .is_some_and(|assigned| assigned.opening.is_none()),
            Step::Submit { job, stage, .. } => {
                self.jobs.get(job).is_some_and(|assigned| match stage {
                    Stage::Receipt => assigned.committed.is_none(),
                    _ => true,
                })
            }
        }
    }

    fn gear(&self, job: Job) -> Gear {
        let (feed, stop) = self.desk.equip(job.0, job.1);
        Gear {
            desk: self.desk.clone(),
            job,
            feed,
            stop,
        }
    }

    async fn work(tools: &Tools, order: &PostedOrder, gear: &Gear) -> Result<Made, WorkError> {
        let ready = ready(tools, order).await?;
        if order.header.spec_inline.is_none() {
            // Its buyer may take it away: whoever checks must find it. Where it was found it mostly stays, so this is worth no delay.
            if let Err(error) = tools.blobs.put(ready.spec.clone()).await {
                tracing::warn!(spec = %order.header.spec_digest, %error, "the spec is not left again");
            }
        }
        let executed = if ready.is_refused {
            Executed::refusal()
        } else {
            let env = Env::answering(tools.blobs.as_ref(), &order.header.demand, &gear.stop);
            let mut outlet = gear.feed.writer();
            match ready.service.execute(&env, &ready.spec, &mut outlet).await {
                Err(error) if error.is_refusal() => Executed::refusal(),
                result => result?,
            }
        };
        let stopped = match executed.stopped_at {
            None => None,
            // Without the buyer's word for it verifiers would find another output: no receipt costs less than a wrong one.
            Some(at) => Some(
                gear.desk
                    .stopped(gear.job, at)
                    .ok_or(WorkError::NotWanted)?,
            ),
        };
        let disclosure = Disclosure {
            stopped,
            hint: BoundedBytes::new(executed.hint.clone()).unwrap_or_default(),
        };
        let (blob, disclosed) = disclosure.to_blob();
        if let Some(blob) = blob {
            tools.blobs.put(blob).await?;
        }
        Ok(Made {
            executed,
            disclosure,
            disclosed,
        })
    }

    fn worked(&mut self, job: Job, result: Result<Made, WorkError>) -> Vec<Step<Job>> {
        match result {
            Ok(made) => self.made(job, made),
            Err(error) => {
                tracing::error!(slot_id = %job.0, %error, "the work is not done, this costs the late penalty");
                Vec::new()
            }
        }
    }

    fn submitted(&mut self, job: Job, stage: Stage, outcome: Option<&TxOutcome>) -> Vec<Step<Job>> {
        let is_done = outcome.is_some_and(TxOutcome::is_done);
        let Some(assigned) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        match stage {
            Stage::Receipt if is_done => {
                if let Some(Opening { commitment, .. }) = assigned.opening {
                    assigned.committed = Some(commitment);
                    self.desk.handed_in(job.0, job.1);
                }
                return self.open(job);
            }
            _ => {}
        }
        Vec::new()
    }

    fn oldest(&self) -> Option<Height> {
        // Orders come in the order of their blocks, and an order stays until it is closed.
        let order = self.orders.oldest().map(|order| order.posted);
        let job = self.jobs.oldest().map(|assigned| assigned.order.posted);
        order.into_iter().chain(job).min()
    }
}
