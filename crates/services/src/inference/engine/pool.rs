//! The threads of the engine.

use fairweir_exact::pool::Pool;

/// Threads for one model, which sleep between steps.
#[derive(Debug)]
pub(super) struct Threads(rayon::ThreadPool);

impl Threads {
    /// So many threads; at least one.
    pub(super) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|index| format!("fairweir-engine-{index}"))
            .build()
            .map(Self)
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        self.0.broadcast(|context| job(context.index()));
    }
}
