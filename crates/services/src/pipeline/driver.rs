//! Follows the chain for a role and runs its steps.

use super::{
    Tools,
    limits::{
        CONNECT_WITHIN, JOBS_MAX, LOOK_UPS_MAX, PAGES_PER_TURN_MAX, SUBMISSIONS_MAX, SUBMIT_WITHIN,
        TRIES_MAX, pause,
    },
    memory::PostedOrder,
    role::{Role, Stage, Step, WorkError},
};
use crate::world::{ChainClient, ChainError, PastOrder};
use commonware_runtime::Clock;
use core::{fmt, pin::pin, time::Duration};
use fairweir_types::{
    Action, Event, Height, Millis, TxOutcome, node_api::EventPage, order::OrderId,
};
use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Either, select},
    stream::{self, FuturesUnordered},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use thiserror::Error;

/// Why a role stopped. Run it again from [`Progress::resume_from`] when the node is back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PipelineError {
    /// The chain could not be followed any more, however often it was tried.
    #[error("the chain cannot be followed")]
    Chain(#[from] ChainError),
}

/// How far a role is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    resume: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
}

impl Progress {
    /// The height from which to run again after a restart: nothing older matters to open work.
    #[must_use]
    pub fn resume_from(&self) -> Height {
        Height(self.resume.load(Ordering::Relaxed))
    }

    /// The newest block whose events the role has seen.
    #[must_use]
    pub fn seen(&self) -> Height {
        Height(self.seen.load(Ordering::Relaxed))
    }

    fn store(&self, seen: Height, oldest: Option<Height>) {
        self.seen.store(seen.get(), Ordering::Relaxed);
        self.resume
            .store(oldest.unwrap_or(seen).get(), Ordering::Relaxed);
    }
}

/// Where the next event is: a block and a position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    height: Height,
    position: u32,
    has_begun: bool,
}

impl Cursor {
    /// How many events of a page were seen before; moves on. An error if pages are missing.
    fn accept(&mut self, page: &EventPage) -> Result<usize, ChainError> {
        if page.height < self.height {
            return Ok(page.events.len());
        }
        if !self.has_begun && page.height > self.height {
            self.height = page.height;
        }
        let is_next = page.height == self.height && page.first <= self.position;
        if !is_next {
            return Err(ChainError::Broken(format!(
                "expected events of block {} from {}, got block {} from {}",
                self.height, self.position, page.height, page.first
            )));
        }
        let seen = self.position - page.first;
        let end = page
            .first
            .saturating_add(u32::try_from(page.events.len()).unwrap_or(u32::MAX));
        self.has_begun = true;
        if page.more {
            self.position = self.position.max(end);
        } else {
            self.height = Height(page.height.get().saturating_add(1));
            self.position = 0;
        }
        Ok(usize::try_from(seen).unwrap_or(usize::MAX))
    }
}

struct Feed<'a, C: ChainClient, E> {
    chain: &'a C,
    clock: &'a E,
    events: Option<C::Events>,
    cursor: Cursor,
    tries: u32,
    has_ended: bool,
}

/// A page and how many of its events are old.
pub(crate) type Fresh = (EventPage, usize);

impl<C: ChainClient, E: Clock> Feed<'_, C, E> {
    /// The next page, over a new connection if need be.
    async fn next(&mut self) -> Result<Fresh, ChainError> {
        loop {
            let error = match self.try_next().await {
                Ok(fresh) => {
                    self.tries = 0;
                    return Ok(fresh);
                }
                Err(error) => error,
            };
            self.events = None;
            self.tries += 1;
            let is_final = matches!(error, ChainError::Refused { .. });
            if is_final || self.tries >= TRIES_MAX {
                return Err(error);
            }
            tracing::warn!(%error, tries = self.tries, "the chain cannot be followed, trying again");
            self.clock.sleep(pause(self.tries)).await;
        }
    }

    async fn try_next(&mut self) -> Result<Fresh, ChainError> {
        let events = match &mut self.events {
            Some(events) => events,
            none => {
                let opening = self.chain.events(self.cursor.height);
                let opened = within(self.clock, CONNECT_WITHIN, opening)
                    .await
                    .ok_or(ChainError::DeadlinePassed)??;
                none.insert(opened)
            }
        };
        let page = match events.next().await {
            Some(page) => page?,
            None => return Err(ChainError::Unreachable("the events ended".to_owned())),
        };
        let seen = self.cursor.accept(&page)?;
        Ok((page, seen))
    }
}

/// Pages in order until the chain cannot be followed any more. Dropping a pending `next` loses nothing.
pub(crate) fn feed<'a, C: ChainClient, E: Clock>(
    chain: &'a C,
    clock: &'a E,
    from: Height,
) -> impl Stream<Item = Result<Fresh, ChainError>> + Send + 'a {
    let start = Feed {
        chain,
        clock,
        events: None,
        cursor: Cursor {
            height: from,
            position: 0,
            has_begun: false,
        },
        tries: 0,
        has_ended: false,
    };
    stream::unfold(start, |mut feed| async move {
        if feed.has_ended {
            return None;
        }
        let item = feed.next().await;
        feed.has_ended = item.is_err();
        Some((item, feed))
    })
}

/// The output of a future, unless the time is up first.
pub(crate) async fn within<E: Clock, F: Future>(
    clock: &E,
    time: Duration,
    future: F,
) -> Option<F::Output> {
    match select(pin!(future), pin!(clock.sleep(time))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// What became of a step.
enum Done<R: Role> {
    Worked {
        job: R::Job,
        result: Result<R::Product, WorkError>,
    },
    Submitted {
        job: R::Job,
        stage: Stage,
        outcome: Option<TxOutcome>,
    },
}

async fn work<R: Role, E: Clock>(
    tools: &Tools,
    clock: &E,
    job: R::Job,
    (order, gear): (Arc<PostedOrder>, R::Gear),
    time: Millis,
) -> Done<R> {
    let time_for_it = Duration::from_millis(time.get());
    let begun = clock.current();
    let trying = async {
        let mut tries = 0;
        loop {
            let result = R::work(tools, &order, &gear).await;
            tries += 1;
            let passed = clock.current().duration_since(begun).unwrap_or_default();
            // A role that can say that it does not find the spec must have time left to say so.
            let is_over = matches!(result, Err(WorkError::NoSpec(_))) && passed >= time_for_it / 4;
            match result {
                Err(error) if error.is_retryable() && tries < TRIES_MAX && !is_over => {
                    tracing::info!(?job, %error, tries, "work failed, trying again");
                    clock.sleep(pause(tries)).await;
                }
                result => return result,
            }
        }
    };
    let result = within(clock, time_for_it, trying)
        .await
        .unwrap_or(Err(WorkError::Late(time)));
    Done::Worked { job, result }
}

async fn submit<R: Role, C: ChainClient, E: Clock>(
    chain: &C,
    clock: &E,
    job: R::Job,
    stage: Stage,
    action: Action,
) -> Done<R> {
    let mut tries = 0;
    let outcome = loop {
        let answer = within(clock, SUBMIT_WITHIN, chain.submit(action.clone()))
            .await
            .unwrap_or(Err(ChainError::DeadlinePassed));
        tries += 1;
        match answer {
            Ok(outcome) => {
                tracing::info!(?job, ?stage, code = outcome.code.0, reason = %outcome.reason, "submitted");
                break Some(outcome);
            }
            Err(error) if error.is_retryable() && tries < TRIES_MAX => {
                tracing::info!(?job, ?stage, %error, tries, "submission failed, trying again");
                clock.sleep(pause(tries)).await;
            }
            Err(error) => {
                tracing::warn!(?job, ?stage, %error, "not submitted");
                break None;
            }
        }
    };
    Done::Submitted {
        job,
        stage,
        outcome,
    }
}

/// Steps that wait and steps that run.
struct Steps<'a, R: Role> {
    works: VecDeque<Step<R::Job>>,
    submissions: VecDeque<Step<R::Job>>,
    working: usize,
    submitting: usize,
    running: FuturesUnordered<BoxFuture<'a, Done<R>>>,
}

impl<R: Role> fmt::Debug for Steps<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps run", self.running.len())
    }
}

/// Steps that wait at most: each job has one piece of work and two transactions; of the links of a verifier one waits at a time.
const WAITING_MAX: usize = 2 * JOBS_MAX;

impl<'a, R: Role> Steps<'a, R> {
    fn add(&mut self, steps: Vec<Step<R::Job>>) {
        for step in steps {
            let queue = match step {
                Step::Work { .. } => &mut self.works,
                Step::Submit { .. } => &mut self.submissions,
            };
            if queue.len() < WAITING_MAX {
                queue.push_back(step);
            } else {
                tracing::warn!("too many steps wait, one is dropped");
            }
        }
    }

    fn start<C: ChainClient, E: Clock>(
        &mut self,
        role: &R,
        tools: &'a Tools,
        chain: &'a C,
        clock: &'a E,
    ) where
        R: 'a,
    {
        while self.submitting < SUBMISSIONS_MAX {
            let Some(step) = self.submissions.pop_front() else {
                break;
            };
            if !role.wants(&step) {
                continue;
            }
            if let Step::Submit { job, stage, action } = step {
                self.submitting += 1;
                self.running
                    .push(submit(chain, clock, job, stage, *action).boxed());
            }
        }
        while self.working < tools.concurrency.max(1) {
            let Some(step) = self.works.pop_front() else {
                break;
            };
            if !role.wants(&step) {
                continue;
            }
            if let Step::Work { job, order, within } = step {
                self.working += 1;
                let gear = role.gear(job);
                self.running
                    .push(work(tools, clock, job, (order, gear), within).boxed());
            }
        }
    }

    fn finish(&mut self, role: &mut R, done: Done<R>) {
        let steps = match done {
            Done::Worked { job, result } => {
                self.working -= 1;
                role.worked(job, result)
            }
            Done::Submitted {
                job,
                stage,
                outcome,
            } => {
                self.submitting -= 1;
                role.submitted(job, stage, outcome.as_ref())
            }
        };
        self.add(steps);
    }
}

/// Runs a role from a height on, until the chain cannot be followed any more.
pub(super) async fn drive<R: Role, C: ChainClient, E: Clock>(
    role: &mut R,
    tools: &Tools,
    chain: &C,
    clock: &E,
    (from, progress): (Height, &Progress),
) -> PipelineError {
    let mut feed = feed(chain, clock, from).boxed();
    let mut steps: Steps<'_, R> = Steps {
        works: VecDeque::new(),
        submissions: VecDeque::new(),
        working: 0,
        submitting: 0,
        running: FuturesUnordered::new(),
    };
    loop {
        steps.start(role, tools, chain, clock);
        // `select_next_some` and the like would end on an empty set; here an empty set just waits.
        let mut done =
            std::future::poll_fn(|context| match steps.running.poll_next_unpin(context) {
                core::task::Poll::Ready(Some(done)) => core::task::Poll::Ready(done),
                _ => core::task::Poll::Pending,
            });
        let first = match select(feed.next(), &mut done).await {
            Either::Right((done, _)) => {
                steps.finish(role, done);
                continue;
            }
            Either::Left((page, _)) => page,
        };
        let mut next = first;
        for _ in 0..PAGES_PER_TURN_MAX {
            let (page, seen) = match next {
                Some(Ok(fresh)) => fresh,
                Some(Err(error)) => return error.into(),
                None => return ChainError::Unreachable("the events ended".to_owned()).into(),
            };
            read(role, &mut steps, (chain, clock), &page, seen).await;
            progress.store(page.height, role.oldest());
            match feed.next().now_or_never() {
                Some(page) => next = page,
                None => break,
            }
        }
    }
}

/// Decides on a page's events in order. An order that is missing is looked up before the next event is read: else the
/// events that follow on it would be missed too.
async fn read<R: Role, C: ChainClient, E: Clock>(
    role: &mut R,
    steps: &mut Steps<'_, R>,
    (chain, clock): (&C, &E),
    page: &EventPage,
    seen: usize,
) {
    let height = page.height;
    for event in page.events.iter().skip(seen) {
        if let Some(order) = role.misses(event) {
            for (posted, past) in look_up(chain, clock, order).await {
                steps.add(role.decide(posted, &past));
            }
        }
        steps.add(role.decide(height, event));
    }
}

/// What the chain knows of an open order; nothing if it is closed or the chain does not answer.
async fn look_up<C: ChainClient, E: Clock>(
    chain: &C,
    clock: &E,
    order: OrderId,
) -> Vec<(Height, Event)> {
    for tries in 1..=LOOK_UPS_MAX {
        let answer = within(clock, CONNECT_WITHIN, chain.past_order(order)).await;
        match answer.unwrap_or(Err(ChainError::DeadlinePassed)) {
            Ok(Some(PastOrder { posted, events })) => {
                return events.into_iter().map(|event| (posted, event)).collect();
            }
            Ok(None) => return Vec::new(),
            Err(error) => {
                tracing::warn!(%order, %error, tries, "an order of before could not be looked up");
                clock.sleep(pause(tries)).await;
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{BoundedVec, event::VerifierLeft, keys::Address};

    fn page(height: u64, first: u32, events: usize, more: bool) -> EventPage {
        let event = Event::VerifierLeft(VerifierLeft {
            verifier: Address::default(),
        });
        EventPage {
            height: Height(height),
            time: Millis::ZERO,
            first,
            more,
            events: BoundedVec::truncating(vec![event; events]),
        }
    }

    #[test]
    fn pages_are_taken_once_and_gaps_are_noticed() {
        // page, how many of its events are old (None: refused)
        let table = [
            (page(5, 0, 2, true), Some(0)),
            (page(5, 0, 2, true), Some(2)),
            (page(5, 0, 3, true), Some(2)),
            (page(5, 3, 1, false), Some(0)),
            (page(5, 0, 4, false), Some(4)),
            (page(7, 0, 0, false), None),
            (page(6, 1, 0, false), None),
            (page(6, 0, 0, false), Some(0)),
            (page(7, 0, 1, false), Some(0)),
        ];
        let mut cursor = Cursor {
            height: Height(3),
            position: 0,
            has_begun: false,
        };
        for (page, expected) in table {
            assert_eq!(cursor.accept(&page).ok(), expected, "{page:?}");
        }
    }
}
