//! Chunks of an output on their way from an execution to its buyer.

use crate::{Outlet, world::OutletClosed};
use core::{
    fmt,
    task::{Poll, Waker},
};
use fairweir_types::{limits::BLOB_BYTES_MAX, node_api::Delivery};
use futures::{FutureExt, future::BoxFuture};
use std::sync::{Arc, Mutex, MutexGuard};

/// Buyers that follow one slot at a time: one, and one that lost its connection and came again.
const FOLLOWERS_MAX: usize = 4;

#[derive(Default)]
struct State {
    chunks: Vec<Arc<[u8]>>,
    bytes: usize,
    delivery: Option<Arc<Delivery>>,
    is_ended: bool,
    is_full: bool,
    followers: usize,
    wakers: Vec<Waker>,
}

/// The chunks of one slot so far; an outlet for the execution. Bounded by what an output may be, so the execution need
/// not wait for a slow buyer. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Feed(Arc<Mutex<State>>);

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed of {} chunks", self.state().chunks.len())
    }
}

/// What a follower gets next.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The next chunk.
    Chunk(Arc<[u8]>),
    /// The whole output: the last item.
    Delivery(Arc<Delivery>),
    /// There will be none: the slot is done with, or went to another worker.
    Gone,
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("nobody panics while it holds the lock")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state();
            change(&mut state);
            core::mem::take(&mut state.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// The execution begins again. Equal work gives equal chunks, so what was told stays told.
    pub(crate) fn writer(&self) -> Writer {
        Writer {
            feed: self.clone(),
            position: 0,
        }
    }

    /// The receipt is on the ledger: the output may go out.
    pub(crate) fn complete(&self, delivery: Arc<Delivery>) {
        self.change(|state| {
            state.delivery.get_or_insert(delivery);
        });
    }

    /// Takes a place for one more follower, if there is one; it is given back by [`Feed::leave`].
    pub(crate) fn join(&self) -> bool {
        let mut state = self.state();
        let has_place = state.followers < FOLLOWERS_MAX;
        state.followers += usize::from(has_place);
        has_place
    }

    /// A follower has gone.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.followers = state.followers.saturating_sub(1);
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.change(|state| state.is_ended = true);
    }

    /// The item after `position` chunks.
    pub(crate) async fn item(&self, position: usize) -> Item {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if let Some(chunk) = state.chunks.get(position) {
                return Poll::Ready(Item::Chunk(Arc::clone(chunk)));
            }
            if let Some(delivery) = &state.delivery {
                return Poll::Ready(Item::Delivery(Arc::clone(delivery)));
            }
            if state.is_ended {
                return Poll::Ready(Item::Gone);
            }
            let waker = context.waker();
            if !state.wakers.iter().any(|other| other.will_wake(waker)) {
                state.wakers.push(waker.clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Writes the chunks of one execution of the slot.
#[derive(Debug)]
pub(crate) struct Writer {
    feed: Feed,
    position: usize,
}

impl Outlet for Writer {
    fn emit(&mut self, chunk: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        let position = self.position;
        self.feed.change(|state| {
            if position < state.chunks.len() {
                return;
            }
            // Of an output whose chunks are longer than itself may be, the rest comes with the whole.
            if state.is_full || state.bytes + chunk.len() > BLOB_BYTES_MAX {
                state.is_full = true;
                return;
            }
            state.bytes += chunk.len();
            state.chunks.push(chunk.into());
        });
        self.position += 1;
        std::future::ready(Ok(())).boxed()
    }
}
