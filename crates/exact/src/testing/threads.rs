//! A pool of threads, made anew for each job.

use crate::pool::Pool;

/// So many threads.
///
/// A job borrows from its caller, so threads that outlive it would need `unsafe` code; these do not outlive it. That is slow for small
/// steps: production has a pool of its own.
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// At least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(count.max(1))
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for thread in 1..self.0 {
                scope.spawn(move || job(thread));
            }
            job(0);
        });
    }
}
