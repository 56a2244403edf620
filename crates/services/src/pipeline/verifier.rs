//! The role that checks work: from `VerifiersDrawn` to the revealed verdict.

use super::{
    Identity, PipelineError, Progress, Tools,
    driver::drive,
    limits::{JOBS_MAX, LINKS_WAITING_MAX, RECEIPTS_MAX},
    memory::{Judged, Newest, Orders, PostedOrder, orders},
    role::{Role, Stage, Step, WorkError, ready},
    salt::verdict_nonce,
};
use crate::{
    Env, Evidence, Registry, StopAt,
    session::{
        check, link_due,
        seal::{ContentKey, ReadingKey, Sharing},
    },
    world::ChainClient,
};
use commonware_runtime::Clock;
use core::cmp::Reverse;
use fairweir_types::{
    Action, Address, Boxed, ChainId, Digest, Event, Height, Receipt, TxCode, TxOutcome, decode,
    event::{LeavesShared, LinkDue, SharingDue, VerdictCommitted, VerifiersDrawn},
    limits::HINT_BYTES_MAX,
    order::{OrderId, SlotId},
    receipt::{Disclosure, Tier, missing_spec_trace, verdict_commitment},
    session::{SampleTraces, batch_trace},
    tx::{CommitVerdict, RevealLink, RevealVerdict, ShareLeaves},
};
use std::sync::Arc;

/// The ledger's refusal of a second commitment.
const ALREADY_COMMITTED: TxCode = TxCode(503);
/// The ledger's refusal of a second reveal.
const ALREADY_REVEALED: TxCode = TxCode(505);
/// The ledger's refusals of a link that a batch does not wait for: it has one, or is gone, or asked for another.
const LINKED: TxCode = TxCode(601);
const NO_LANE: TxCode = TxCode(600);
const OTHER_LINK: TxCode = TxCode(629);

/// Checks the work that one account is drawn to check.
#[derive(Debug)]
pub struct Verifier<C> {
    chain: C,
    tools: Tools,
    progress: Progress,
    machine: Machine,
}

impl<C: ChainClient> Verifier<C> {
    /// A verifier that has seen nothing yet.
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

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Follows the chain from a height on and checks, until the chain cannot be followed any more. Call it again with
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

/// One draw for a slot.
pub(super) type Job = (SlotId, Tier);

/// What a check found.
#[derive(Debug)]
pub(super) enum Checked {
    /// Of one piece of work.
    Work(Arc<dyn crate::AnyService>, Evidence),
    /// That its spec is nowhere to be had.
    NoSpec,
    /// Of a batch: the traces of its samples, and the key of what was shown.
    Batch(SampleTraces, Option<ContentKey>),
}

#[derive(Debug)]
struct Drawn {
    order: Arc<PostedOrder>,
    judged: Judged,
    trace: Option<Digest>,
    /// Of a batch: those that it is made of.
    samples: SampleTraces,
    is_committed: bool,
    reveal_due: bool,
    /// The newest transaction asked for: each is submitted once.
    asked: Option<Stage>,
}

/// A link that a batch waits for.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The block that asked for it.
    since: Height,
    due: LinkDue,
    is_sent: bool,
}

/// The decisions of a verifier.
#[derive(Debug)]
pub(super) struct Machine {
    identity: Identity,
    me: Address,
    chain_id: ChainId,
    registry: Arc<Registry>,
    orders: Orders,
    judged: Newest<SlotId, Judged>,
    jobs: Newest<Job, Drawn>,
    /// Links of ours that batches wait for.
    links: Newest<SlotId, Link>,
    /// The batch whose link is under way.
    linking: Option<SlotId>,
    /// Content keys of batches that were checked here: a dispute's verifiers need them.
    keys: Newest<SlotId, ContentKey>,
    reading: ReadingKey,
}

impl Machine {
    pub(super) fn new(identity: Identity, chain_id: ChainId, registry: Arc<Registry>) -> Self {
        Self {
            me: identity.key.address(),
            reading: ReadingKey::of(identity.key.address(), &identity.seed),
            keys: Newest::new(RECEIPTS_MAX),
            links: Newest::new(LINKS_WAITING_MAX),
            linking: None,
            identity,
            chain_id,
            registry,
            orders: orders(),
            judged: Newest::new(RECEIPTS_MAX),
            jobs: Newest::new(JOBS_MAX),
        }
    }

    /// Forgets what the chain tells again.
    fn begin_again(&mut self) {
        self.orders = orders();
        self.judged = Newest::new(RECEIPTS_MAX);
        self.jobs = Newest::new(JOBS_MAX);
        self.keys = Newest::new(RECEIPTS_MAX);
        self.links = Newest::new(LINKS_WAITING_MAX);
        self.linking = None;
    }

    /// A batch asks for a link of ours.
    fn link_due(&mut self, height: Height, due: &LinkDue) -> Vec<Step<Job>> {
        let asked = Link {
            since: height,
            due: *due,
            is_sent: false,
        };
        if self.links.put(due.slot_id, asked).is_some() {
            tracing::debug!("an old batch was forgotten");
        }
        self.next_link()
    }

    /// The link that is revealed next, one at a time: the newest of the oldest chain, because it answers for all before it if many batches ask at once.
    fn next_link(&mut self) -> Vec<Step<Job>> {
        let is_under_way = |slot_id| self.links.get(&slot_id).is_some();
        if self.linking.is_some_and(is_under_way) {
            return Vec::new();
        }
        let waiting = self.links.iter().filter(|(_, asked)| !asked.is_sent);
        let next = waiting
            .max_by_key(|(_, asked)| (Reverse(asked.due.hash_chain.number), asked.due.index));
        self.linking = next.map(|(slot_id, _)| *slot_id);
        let Some(asked) = self
            .linking
            .and_then(|slot_id| self.links.get_mut(&slot_id))
        else {
            return Vec::new();
        };
        asked.is_sent = true;
        let slot_id = asked.due.slot_id;
        // It follows from the seed.
        let Some(link) = link_due(&self.identity.seed, &self.chain_id, &asked.due) else {
            tracing::error!(%slot_id, "the account is enrolled with a hash chain of another seed: its link is missing, this costs the penalty for it");
            // Others may wait behind it.
            return self.linked(slot_id);
        };
        vec![Step::Submit {
            job: (slot_id, Tier::First),
            stage: Stage::Link,
            action: Box::new(Action::RevealLink(RevealLink { slot_id, link })),
        }]
    }

    /// A batch does not wait for our link any more.
    fn linked(&mut self, slot_id: SlotId) -> Vec<Step<Job>> {
        self.links.remove(&slot_id);
        self.next_link()
    }

    fn drawn(&mut self, drawn: &VerifiersDrawn) -> Vec<Step<Job>> {
        let slot_id = drawn.slot_id;
        let (Some(order), Some(judged)) = (
            self.orders.get(&slot_id.order).cloned(),
            self.judged.get(&slot_id).cloned(),
        ) else {
            tracing::warn!(%slot_id, "drawn for an order of another kind or before the events that were followed");
            return Vec::new();
        };
        let job = (slot_id, drawn.tier);
        if self.jobs.get(&job).is_some() {
            tracing::warn!(%slot_id, "drawn twice");
            return Vec::new();
        }
        let entry = Drawn {
            order: Arc::clone(&order),
            judged,
            trace: None,
            samples: SampleTraces::default(),
            is_committed: false,
            reveal_due: false,
            asked: None,
        };
        if self.jobs.put(job, entry).is_some() {
            tracing::warn!(%slot_id, "too many draws at a time, the oldest is given up");
        }
        vec![Step::Work {
            job,
            order,
            within: drawn.within,
        }]
    }

    /// What a job needs now that its trace is known: a commitment, then the reveal.
    fn next(&mut self, job: Job) -> Vec<Step<Job>> {
        let (slot_id, tier) = job;
        let Some(drawn) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let Some(trace) = drawn.trace else {
            return Vec::new();
        };
        let nonce = verdict_nonce(&self.identity.seed, &self.chain_id, &slot_id, tier);
        let (stage, action) = match (drawn.is_committed, drawn.reveal_due) {
            (true, true) => (
                Stage::Reveal,
                Action::RevealVerdict(RevealVerdict {
                    slot_id,
                    tier,
                    nonce,
                    trace,
                    samples: drawn.samples.clone(),
                }),
            ),
            (false, false) => (
                Stage::Commitment,
                Action::CommitVerdict(CommitVerdict {
                    slot_id,
                    tier,
                    commitment: verdict_commitment(self.me, &slot_id, &nonce, &trace),
                }),
            ),
            _ => return Vec::new(),
        };
        if drawn.asked == Some(stage) {
            return Vec::new();
        }
        drawn.asked = Some(stage);
        vec![Step::Submit {
            job,
            stage,
            action: Box::new(action),
        }]
    }

    fn committed(&mut self, committed: &VerdictCommitted) -> Vec<Step<Job>> {
        let job = (committed.slot_id, committed.tier);
        if let Some(drawn) = self.jobs.get_mut(&job) {
            drawn.is_committed = true;
        }
        Vec::new()
    }

    fn reveal_due(&mut self, job: Job) -> Vec<Step<Job>> {
        let Some(drawn) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        drawn.reveal_due = true;
        if !drawn.is_committed {
            // A commitment of ours would have come before.
            tracing::warn!(slot_id = %job.0, "the time to commit is over");
            self.jobs.remove(&job);
            return Vec::new();
        }
        self.next(job)
    }

    /// A dispute's verifiers must be let read what was shown; they learn among whom it was shared.
    fn sharing_due(&mut self, due: &SharingDue) -> Vec<Step<Job>> {
        let slot_id = due.slot_id;
        if let Some(Judged::Batch(_, sharing)) = self.judged.get_mut(&slot_id) {
            let readers = due.readers.clone();
            *sharing = Some(Arc::new(Sharing {
                readers,
                shares: Vec::new(),
            }));
        }
        let Some(key) = self.keys.get(&slot_id) else {
            return Vec::new();
        };
        let action = Action::ShareLeaves(Boxed::new(ShareLeaves {
            slot_id,
            wraps: key.wraps(&slot_id, due.readers.as_slice()),
        }));
        vec![Step::Submit {
            job: (slot_id, Tier::First),
            stage: Stage::Sharing,
            action: Box::new(action),
        }]
    }

    fn shared(&mut self, shared: &LeavesShared) {
        if let Some(Judged::Batch(_, Some(sharing))) = self.judged.get_mut(&shared.slot_id) {
            Arc::make_mut(sharing).shares.push(shared.wraps.clone());
        }
    }

    fn close(&mut self, slot_id: SlotId) {
        self.judged.remove(&slot_id);
        self.links.remove(&slot_id);
        self.keys.remove(&slot_id);
        self.jobs.remove_all(|(slot, _)| *slot == slot_id);
    }
}

/// Bytes of an encoded disclosure at most: the hint and the buyer's stop.
const DISCLOSURE_BYTES_MAX: usize = HINT_BYTES_MAX + 1_024;

/// Where the worker was stopped, and its hint. What is missing, malformed or not signed by the buyer counts as not shown: the
/// check then finds what the whole work gives.
pub(super) async fn disclosed(
    tools: &Tools,
    order: &PostedOrder,
    receipt: &Receipt,
) -> Result<(StopAt, Vec<u8>), WorkError> {
    if receipt.disclosure == Digest::ZERO {
        return Ok((StopAt::default(), Vec::new()));
    }
    let bytes = match tools
        .blobs
        .get(receipt.disclosure, DISCLOSURE_BYTES_MAX)
        .await
    {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok((StopAt::default(), Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let disclosure: Disclosure = decode(&bytes).unwrap_or_default();
    let stop = match disclosure.stopped {
        Some(stopped) if stopped.is_allowed(receipt, order.buyer) => StopAt::at(stopped.at),
        _ => StopAt::default(),
    };
    Ok((stop, disclosure.hint.into_vec()))
}

impl Role for Machine {
    type Job = Job;
    type Product = Checked;
    type Gear = (Option<Judged>, ReadingKey);

    fn misses(&self, event: &Event) -> Option<OrderId> {
        match event {
            Event::VerifiersDrawn(drawn) if drawn.verifiers.iter().any(|name| *name == self.me) => {
                let slot_id = drawn.slot_id;
                let is_known = self.orders.get(&slot_id.order).is_some()
                    && self.judged.get(&slot_id).is_some();
                (!is_known).then_some(slot_id.order)
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
            Event::ReceiptSubmitted(submitted)
                if self.orders.get(&submitted.slot_id.order).is_some() =>
            {
                let receipt = Arc::new(submitted.receipt.receipt.clone());
                self.judged.put(submitted.slot_id, Judged::Work(receipt));
            }
            Event::LeavesShown(shown) if self.registry.knows(shown.kind, shown.version) => {
                let order = PostedOrder::of_batch(shown, height);
                self.orders.put(shown.slot_id.order, Arc::new(order));
                let batch = Judged::Batch(Arc::new((**shown).clone()), None);
                self.judged.put(shown.slot_id, batch);
            }
            Event::LinkDue(due) if due.verifier == self.me => return self.link_due(height, due),
            Event::LinkRevealed(revealed) if revealed.verifier == self.me => {
                return self.linked(revealed.slot_id);
            }
            // The time for its link is over.
            Event::LeavesDue(due) => return self.linked(due.slot_id),
            Event::NothingDrawn(drawn) => return self.linked(drawn.slot_id),
            Event::SharingDue(due) => return self.sharing_due(due),
            Event::LeavesShared(shared) => self.shared(shared),
            Event::VerifiersDrawn(drawn) if drawn.verifiers.iter().any(|name| *name == self.me) => {
                return self.drawn(drawn);
            }
            Event::VerdictCommitted(committed) if committed.verifier == self.me => {
                return self.committed(committed);
            }
            Event::RevealDue(due) => return self.reveal_due((due.slot_id, due.tier)),
            Event::VerdictRevealed(revealed) if revealed.verifier == self.me => {
                self.jobs.remove(&(revealed.slot_id, revealed.tier));
            }
            Event::Judged(judged) => {
                self.jobs.remove(&(judged.slot_id, judged.tier));
            }
            Event::Settled(settled) => self.close(settled.slot_id),
            Event::BatchSettled(settled) => self.close(settled.slot_id),
            Event::Refunded(refunded) => self.close(refunded.slot_id),
            Event::OrderClosed(closed) => {
                self.orders.remove(&closed.order);
                self.judged.remove_all(|slot| slot.order == closed.order);
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
                .is_some_and(|drawn| drawn.trace.is_none()),
            Step::Submit {
                job,
                stage: Stage::Link,
                ..
            } => self.links.get(&job.0).is_some(),
            Step::Submit {
                job,
                stage: Stage::Sharing,
                ..
            } => self.keys.get(&job.0).is_some(),
            Step::Submit { job, stage, .. } => {
                self.jobs.get(job).is_some_and(|drawn| match stage {
                    Stage::Commitment => !drawn.is_committed && !drawn.reveal_due,
                    _ => true,
                })
            }
        }
    }

    fn gear(&self, job: Job) -> Self::Gear {
        let judged = self.jobs.get(&job).map(|drawn| drawn.judged.clone());
        (judged, self.reading.clone())
    }

    async fn work(
        tools: &Tools,
        order: &PostedOrder,
        (judged, reading): &Self::Gear,
    ) -> Result<Self::Product, WorkError> {
        let receipt = match judged {
            Some(Judged::Batch(batch, sharing)) => {
                let batch = (batch.as_ref(), sharing.as_deref());
                let blobs = tools.blobs.as_ref();
                let (samples, key) = check::batch(&tools.registry, blobs, batch, reading).await?;
                return Ok(Checked::Batch(samples, key));
            }
            Some(Judged::Work(receipt)) => Some(receipt),
            None => None,
        };
        let ready = match ready(tools, order).await {
            // Whoever looks for it finds that.
            Err(WorkError::Spec(error)) if error.is_missing() => return Ok(Checked::NoSpec),
            Err(WorkError::Spec(error)) => return Err(WorkError::NoSpec(error)),
            ready => ready?,
        };
        let evidence = if ready.is_refused {
            Evidence::Refused
        } else {
            let (stop, hint) = match receipt {
                Some(receipt) => disclosed(tools, order, receipt).await?,
                None => (StopAt::default(), Vec::new()),
            };
            let env = Env::checking(tools.blobs.as_ref(), &order.header.demand, &stop, &hint);
            ready.service.collect(&env, &ready.spec).await?
        };
        Ok(Checked::Work(ready.service, evidence))
    }

    fn worked(&mut self, job: Job, result: Result<Self::Product, WorkError>) -> Vec<Step<Job>> {
        let checked = match result {
            Ok(checked) => checked,
            // Who is asked for it may only say that it comes: to say so too costs less than silence.
            Err(WorkError::NoSpec(error)) => {
                tracing::warn!(slot_id = %job.0, %error, "the spec does not come");
                Checked::NoSpec
            }
            Err(error) => {
                tracing::error!(slot_id = %job.0, %error, "the check is not done, this costs the penalty for a missing verdict");
                return Vec::new();
            }
        };
        if let Some(drawn) = self.jobs.get_mut(&job) {
            drawn.trace = match (&drawn.judged, checked) {
                (Judged::Work(receipt), Checked::Work(service, evidence)) => {
                    service.trace(receipt, &evidence)
                }
                (_, Checked::Batch(samples, key)) => {
                    if let Some(key) = key {
                        self.keys.put(job.0, key);
                    }
                    drawn.samples = samples;
                    Some(batch_trace(&job.0, drawn.samples.iter()))
                }
                (Judged::Work(_), Checked::NoSpec) => Some(missing_spec_trace(&job.0)),
                (Judged::Batch(..), Checked::Work(..) | Checked::NoSpec) => None,
            };
        }
        self.next(job)
    }

    fn submitted(&mut self, job: Job, stage: Stage, outcome: Option<&TxOutcome>) -> Vec<Step<Job>> {
        let code = outcome.map(|outcome| outcome.code);
        match stage {
            Stage::Commitment if matches!(code, Some(TxCode::OK | ALREADY_COMMITTED)) => {
                if let Some(drawn) = self.jobs.get_mut(&job) {
                    drawn.is_committed = true;
                }
                return self.next(job);
            }
            Stage::Link => {
                if self.linking == Some(job.0) {
                    self.linking = None;
                }
                // Else it is tried again for as long as the batch waits.
                let is_over = matches!(code, Some(TxCode::OK | LINKED | NO_LANE | OTHER_LINK));
                if let (false, Some(asked)) = (is_over, self.links.get_mut(&job.0)) {
                    asked.is_sent = false;
                }
                return self.next_link();
            }
            Stage::Reveal if matches!(code, Some(TxCode::OK | ALREADY_REVEALED)) => {
                self.jobs.remove(&job);
            }
            _ => {}
        }
        Vec::new()
    }

    fn oldest(&self) -> Option<Height> {
        let order = self.orders.oldest().map(|order| order.posted);
        let job = self.jobs.oldest().map(|drawn| drawn.order.posted);
        let link = self.links.oldest().map(|asked| asked.since);
        order.into_iter().chain(job).chain(link).min()
    }
}
