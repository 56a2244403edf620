//! The threads of the engine.

use fairweir_exact::pool::Pool;

/// Threads for one model, of which one is whoever runs a job: a step is hundreds of short jobs, and each thread that must be
/// woken for one costs as much as some of them. The others sleep between steps.
#[derive(Debug)]
pub(super) struct Threads {
    others: rayon::ThreadPool,
}

impl Threads {
    /// So many threads; at least two.
    pub(super) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let others = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.saturating_sub(1).max(1))
            .thread_name(|index| format!("fairweir-engine-{}", index + 1))
            .build()?;
        Ok(Self { others })
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.others.current_num_threads() + 1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        self.others.in_place_scope(|scope| {
            scope.spawn_broadcast(|_, context| job(context.index() + 1));
            job(0);
        });
    }
}
