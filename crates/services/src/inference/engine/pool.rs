//! The threads of the engine.

use super::Cores;
use crate::inference::ModelError;
use fairweir_exact::pool::{Pool, Single};
use std::thread::JoinHandle;

/// Which threads an engine has.
#[derive(Clone, Debug)]
pub struct EngineThreads {
    /// Threads that compute, for each model; at least one, also if it says none.
    pub count: usize,
    /// The cores that they are kept to, if any.
    pub cores: Option<Cores>,
}

impl EngineThreads {
    /// So many, on whatever cores the system likes.
    #[must_use]
    pub const fn anywhere(count: usize) -> Self {
        Self { count, cores: None }
    }

    /// Threads that compute together, of which one is whoever runs a job.
    pub(super) fn pool(&self) -> Result<Box<dyn Pool>, ModelError> {
        if self.count <= 1 {
            return Ok(Box::new(Single));
        }
        Ok(Box::new(Threads::new(self).map_err(not_started)?))
    }

    /// Starts the engine's own thread, which is one of those that compute.
    pub(super) fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, ModelError> {
        let threads = self.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                threads.take_place();
                work();
            })
            .map_err(not_started)
    }

    /// The calling thread goes to its cores. They were there when the engines were made; if they are gone since (a container's may be), an engine
    /// on other cores is better than none.
    fn take_place(&self) {
        if let Some(cores) = &self.cores
            && let Err(error) = cores.keep()
        {
            tracing::warn!(%cores, %error, "an engine's thread cannot be kept to its cores");
        }
    }
}

fn not_started(error: impl core::fmt::Display) -> ModelError {
    ModelError::Weights(error.to_string())
}

/// Threads for one model, of which one is whoever runs a job: a step is hundreds of short jobs, and each thread that must be
/// woken for one costs as much as some of them. The others sleep between steps.
#[derive(Debug)]
struct Threads {
    others: rayon::ThreadPool,
}

impl Threads {
    /// At least two.
    fn new(threads: &EngineThreads) -> Result<Self, rayon::ThreadPoolBuildError> {
        let place = threads.clone();
        let others = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.count.saturating_sub(1).max(1))
            .thread_name(|index| format!("fairweir-engine-{}", index + 1))
            .start_handler(move |_| place.take_place())
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn all_that_compute_are_kept_to_the_cores() {
        let allowed = Cores::allowed().unwrap().to_string();
        let (_, last) = allowed.rsplit_once([',', '-']).unwrap_or(("", &allowed));
        let cores: Cores = last.parse().unwrap();
        let threads = EngineThreads {
            count: 3,
            cores: Some(cores.clone()),
        };
        let pool = threads.pool().unwrap();
        let seen = Arc::new(Mutex::new(vec![None; 3]));
        let found = Arc::clone(&seen);
        let engine = threads.spawn("engine", move || {
            pool.run(&|index| found.lock().unwrap()[index] = Cores::allowed().ok());
        });
        engine.unwrap().join().unwrap();
        assert_eq!(*seen.lock().unwrap(), vec![Some(cores); 3]);
        // Whoever starts an engine is not kept anywhere.
        assert_eq!(Cores::allowed().unwrap().to_string(), allowed);
    }
}
