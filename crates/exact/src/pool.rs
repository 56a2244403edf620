//! Threads, handed in by whoever owns them.

use std::fmt::Debug;

/// Runs one job on several threads at once.
///
/// Results never depend on a pool: work is handed out in pieces that no two threads share, and no sum is divided. A pool that calls a
/// job too seldom or too often only costs time.
pub trait Pool: Send + Sync + Debug {
    /// How many calls of a job [`run`](Self::run) makes; at least 1.
    fn threads(&self) -> usize;

    /// Calls `job(i)` once for each `i` in `0..threads()`, if it can at the same time, and returns when all calls have returned.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single;

impl Pool for Single {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}
