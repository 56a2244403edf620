use crate::world::{ChainClient, ChainError, PastOrder};
use core::fmt;
use fairweir_types::{
    Action, BoundedVec, ChainId, Digest, Event, Height, Millis, TxCode, TxOutcome,
    bounded::BoundedText, node_api::EventPage, order::OrderId,
};
use futures::Stream;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

#[derive(Default)]
struct Log {
    pages: Vec<EventPage>,
    wakers: Vec<Waker>,
    submitted: Vec<Action>,
    answers: VecDeque<Result<TxCode, ChainError>>,
    connections: VecDeque<ChainError>,
    cut: u64,
}

/// A chain in memory that does what the test says: it takes every transaction, and its events are pushed by hand.
/// Clones share it.
#[derive(Clone)]
pub struct MemoryChain {
    id: ChainId,
    log: Arc<Mutex<Log>>,
}

impl fmt::Debug for MemoryChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryChain {}", self.id)
    }
}

impl MemoryChain {
    /// An empty chain.
    #[must_use]
    pub fn new(id: ChainId) -> Self {
        Self {
            id,
            log: Arc::default(),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log
            .lock()
            .expect("nobody panics while it holds the lock")
    }

    /// Adds a block with these events, one second after the one before; its height.
    #[must_use = "the height says where to follow from"]
    pub fn push(&self, events: Vec<Event>) -> Height {
        let mut log = self.log();
        let number = u64::try_from(log.pages.len()).unwrap_or(u64::MAX) + 1;
        let height = Height(number);
        log.pages.push(EventPage {
            height,
            time: Millis(number * 1_000),
            first: 0,
            more: false,
            events: BoundedVec::truncating(events),
        });
        for waker in log.wakers.drain(..) {
            waker.wake();
        }
        height
    }

    /// What was submitted so far.
    #[must_use]
    pub fn submitted(&self) -> Vec<Action> {
        self.log().submitted.clone()
    }

    /// The answer to the next transaction that has no answer yet; without one it is done.
    pub fn answer_next(&self, answer: Result<TxCode, ChainError>) {
        self.log().answers.push_back(answer);
    }

    /// Lets the next attempt to follow events fail.
    pub fn fail_next_connection(&self, error: ChainError) {
        self.log().connections.push_back(error);
    }

    /// Ends every stream of events.
    pub fn cut(&self) {
        let mut log = self.log();
        log.cut += 1;
        for waker in log.wakers.drain(..) {
            waker.wake();
        }
    }

    fn take(&self, action: Action) -> Result<TxOutcome, ChainError> {
        let mut log = self.log();
        log.submitted.push(action);
        let code = log.answers.pop_front().unwrap_or(Ok(TxCode::OK))?;
        Ok(TxOutcome {
            tx: Digest::ZERO,
            code,
            reason: BoundedText::default(),
        })
    }
}

impl ChainClient for MemoryChain {
    type Events = MemoryEvents;

    fn chain_id(&self) -> &ChainId {
        &self.id
    }

    fn submit(&self, action: Action) -> impl Future<Output = Result<TxOutcome, ChainError>> + Send {
        std::future::ready(self.take(action))
    }

    fn events(
        &self,
        from: Height,
    ) -> impl Future<Output = Result<MemoryEvents, ChainError>> + Send {
        let mut log = self.log();
        let answer = match log.connections.pop_front() {
            Some(error) => Err(error),
            None => Ok(MemoryEvents {
                log: Arc::clone(&self.log),
                next: usize::try_from(from.get().saturating_sub(1)).unwrap_or(usize::MAX),
                cut: log.cut,
            }),
        };
        std::future::ready(answer)
    }

    fn past_order(
        &self,
        order: OrderId,
    ) -> impl Future<Output = Result<Option<PastOrder>, ChainError>> + Send {
        let past = past_order(&self.log().pages, order);
        std::future::ready(Ok(past))
    }
}

/// What a chain of pages knows of an order.
fn past_order(pages: &[EventPage], order: OrderId) -> Option<PastOrder> {
    let mut past = PastOrder {
        posted: Height(0),
        events: Vec::new(),
    };
    for page in pages {
        for event in page.events.iter() {
            match event {
                Event::OrderPosted(posted) if posted.order == order => past.posted = page.height,
                Event::ReceiptSubmitted(submitted) if submitted.slot_id.order == order => {}
                Event::OrderClosed(closed) if closed.order == order => return None,
                _ => continue,
            }
            past.events.push(event.clone());
        }
    }
    (!past.events.is_empty()).then_some(past)
}

/// The events of a [`MemoryChain`] from a height on.
pub struct MemoryEvents {
    log: Arc<Mutex<Log>>,
    next: usize,
    cut: u64,
}

impl fmt::Debug for MemoryEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryEvents at {}", self.next)
    }
}

impl Stream for MemoryEvents {
    type Item = Result<EventPage, ChainError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let log = Arc::clone(&self.log);
        let mut log = log.lock().expect("nobody panics while it holds the lock");
        if log.cut != self.cut {
            return Poll::Ready(None);
        }
        match log.pages.get(self.next) {
            Some(page) => {
                self.next += 1;
                Poll::Ready(Some(Ok(page.clone())))
            }
            None => {
                log.wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
