//! A value that many wait for, woken in the order in which they began to watch.
//!
//! Tokio's `watch` spreads its waiters at random and so wakes them in another order each run, which makes a simulation with two
//! followers unrepeatable.

use commonware_utils::sync::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

struct Inner<T> {
    value: T,
    version: u64,
    is_closed: bool,
    /// By watcher, in the order of their numbers.
    waiting: BTreeMap<u64, Waker>,
    watchers: u64,
}

/// The side that changes the value; dropping it lets go of whoever waits.
pub(crate) struct Watched<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

/// The value will not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes the value any more")]
pub(crate) struct WatchedGone;

fn wake(waiting: BTreeMap<u64, Waker>) {
    waiting.into_values().for_each(Waker::wake);
}

impl<T: Copy> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                value,
                version: 0,
                is_closed: false,
                waiting: BTreeMap::new(),
                watchers: 0,
            })),
        }
    }

    pub(crate) fn get(&self) -> T {
        self.inner.lock().value
    }

    /// Changes the value; `change` says whether it did, and then whoever waits is woken.
    pub(crate) fn modify(&self, change: impl FnOnce(&mut T) -> bool) {
        let waiting = {
            let mut inner = self.inner.lock();
            if !change(&mut inner.value) {
                return;
            }
            inner.version = inner.version.wrapping_add(1);
            std::mem::take(&mut inner.waiting)
        };
        wake(waiting);
    }

    pub(crate) fn set(&self, value: T) {
        self.modify(|held| {
            *held = value;
            true
        });
    }

    /// A watcher that has seen the present value.
    pub(crate) fn watch(&self) -> Watcher<T> {
        let mut inner = self.inner.lock();
        inner.watchers = inner.watchers.wrapping_add(1);
        Watcher {
            inner: Arc::clone(&self.inner),
            number: inner.watchers,
            seen: inner.version,
        }
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.is_closed = true;
            std::mem::take(&mut inner.waiting)
        };
        wake(waiting);
    }
}

/// The side that waits.
pub(crate) struct Watcher<T> {
    inner: Arc<Mutex<Inner<T>>>,
    number: u64,
    seen: u64,
}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher {}", self.number)
    }
}

impl<T: Copy> Watcher<T> {
    /// Takes the present value for seen.
    pub(crate) fn mark_unchanged(&mut self) {
        self.seen = self.inner.lock().version;
    }

    fn poll_changed(&mut self, context: &Context<'_>) -> Poll<Result<T, WatchedGone>> {
        let mut inner = self.inner.lock();
        if inner.version != self.seen {
            self.seen = inner.version;
            Poll::Ready(Ok(inner.value))
        } else if inner.is_closed {
            Poll::Ready(Err(WatchedGone))
        } else {
            inner.waiting.insert(self.number, context.waker().clone());
            Poll::Pending
        }
    }

    /// Waits for a value that was not seen. A dropped call loses nothing.
    pub(crate) async fn changed(&mut self) -> Result<T, WatchedGone> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    /// Waits for a value that fits, the present one included.
    pub(crate) async fn wait_for(
        &mut self,
        mut fits: impl FnMut(&T) -> bool,
    ) -> Result<T, WatchedGone> {
        let mut value = {
            let inner = self.inner.lock();
            self.seen = inner.version;
            inner.value
        };
        while !fits(&value) {
            value = self.changed().await?;
        }
        Ok(value)
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        let gone = self.inner.lock().waiting.remove(&self.number);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_utils::sync::Mutex as Order;
    use futures::FutureExt as _;
    use std::task::Wake;

    /// Writes its number down when it is woken.
    struct Note(usize, Arc<Order<Vec<usize>>>);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0);
        }
    }

    #[test]
    fn watchers_are_woken_in_the_order_in_which_they_began() {
        let watched = Watched::new(0);
        let order = Arc::new(Order::new(Vec::new()));
        let mut watchers: Vec<_> = (0..64).map(|_| watched.watch()).collect();
        // They begin to wait in another order.
        for (number, watcher) in watchers.iter_mut().enumerate().rev() {
            let waker = Waker::from(Arc::new(Note(number, Arc::clone(&order))));
            let polled = watcher.poll_changed(&Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        watched.set(1);
        assert_eq!(*order.lock(), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn a_watcher_sees_each_change_once_and_the_end() {
        let watched = Watched::new(1);
        let mut watcher = watched.watch();
        assert_eq!(watcher.changed().now_or_never(), None);
        assert_eq!(
            watcher.wait_for(|value| *value == 1).now_or_never(),
            Some(Ok(1))
        );
        watched.set(2);
        assert_eq!(watcher.changed().now_or_never(), Some(Ok(2)));
        assert_eq!(watcher.changed().now_or_never(), None);
        watched.modify(|_| false);
        assert_eq!(watcher.changed().now_or_never(), None);
        watched.set(3);
        watcher.mark_unchanged();
        assert_eq!(watcher.changed().now_or_never(), None);
        drop(watched);
        assert_eq!(watcher.changed().now_or_never(), Some(Err(WatchedGone)));
    }
}
