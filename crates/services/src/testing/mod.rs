//! The world in memory, for tests: [`MemoryBlobs`] and [`MemoryChain`]. Both can be told to fail.

mod blobs;
mod chain;

pub use blobs::MemoryBlobs;
pub use chain::{MemoryChain, MemoryEvents};

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Polls until the future is ready: for work that waits for nothing outside.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Polls at most `polls` times, then drops the future; says whether it was cut short.
pub fn cancel_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).all(|_| future.as_mut().poll(&mut context).is_pending())
}
