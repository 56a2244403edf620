//! Tells stories of crashes, partitions, bad links, slow disks, wrong clocks, validators that lie, and nodes that join, one for each seed, and says how to
//! tell one again that did not hold.

use clap::Parser;
use fairweir_sim::faults::{Faults, Told, tell};
use std::{
    cell::Cell,
    fmt,
    io::Write as _,
    panic,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Break a network of four or seven validators in virtual time, in another way with each seed: it must never fork, lose nothing that it
/// acknowledged, jail nobody to whom nothing happened, and go on once it is whole, unless more lie than may.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Seeds to use.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds after which no further story begins, which is a failure.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    budget: u64,
    /// Threads, each with stories of its own.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Show what goes wrong in each story, and what it showed.
    #[arg(long)]
    verbose: bool,
}

thread_local! {
    /// The seed of this thread's story.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn failed(seed: u64, why: &str) {
    line(&format!(
        "FAILED seed {seed}: {why}; again: cargo run -p fairweir-sim --bin fairweir-faults -- --seed {seed} --seeds 1 --verbose"
    ));
}

/// What all stories showed.
#[derive(Debug, Default)]
struct Sum {
    stories: u64,
    failed: u64,
    blocks: u64,
    moved: u64,
    jailed: usize,
    /// Of how many more liars than may be.
    beyond: u64,
    /// Of how many a liar was proven to vote twice.
    guilty: u64,
    lies: u64,
    echoes: u64,
    waits: u64,
    joins: Joins,
    acknowledged: usize,
    healed_after: Duration,
}

/// What became of the nodes that joined.
#[derive(Debug, Default)]
struct Joins {
    /// In how many stories one was to come.
    all: u64,
    /// How many showed their chains in the end: all but some where the chain need not go on.
    came: u64,
    by_state: u64,
    again: u64,
    /// How many were lied to.
    misled: u64,
    lies: u64,
    refused: u64,
    left: u64,
    compared: u64,
    after: Duration,
}

impl Joins {
    fn add(&mut self, faults: &Faults, told: &Told) {
        self.all += u64::from(faults.joiner.is_some());
        let Some(joined) = &told.joined else { return };
        self.came += 1;
        self.by_state += u64::from(joined.by_state);
        self.again += joined.lives.saturating_sub(1);
        self.misled += u64::from(joined.lies > 0);
        self.lies += joined.lies;
        self.refused += joined.refused;
        self.left += joined.left;
        self.compared += told.compared;
        self.after = self.after.max(told.joined_after);
    }
}

impl fmt::Display for Joins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in {} a node was to join: {} did, {} by the state and {} by blocks, started again {} times; {} lies to {} of them, {} answers refused, {} times another was asked, {} states the same, all there after {:.1} s at most",
            self.all,
            self.came,
            self.by_state,
            self.came - self.by_state,
            self.again,
            self.lies,
            self.misled,
            self.refused,
            self.left,
            self.compared,
            self.after.as_secs_f64()
        )
    }
}

impl Sum {
    fn add(&mut self, faults: &Faults, told: &Told) {
        self.beyond += u64::from(!faults.must_go_on());
        self.guilty += u64::from(told.guilty > 0);
        self.lies += told.done.lies;
        self.echoes += told.done.echoes;
        self.waits += told.done.waits;
        self.joins.add(faults, told);
        self.blocks += told.blocks;
        self.moved += u64::from(told.seats_since > 0);
        self.jailed += told.jailed;
        self.acknowledged += told.acknowledged;
        self.healed_after = self.healed_after.max(told.healed_after);
    }
}

fn stories(arguments: &Arguments, begun: Instant, next: &AtomicU64, sum: &Mutex<Sum>) {
    while begun.elapsed() < Duration::from_secs(arguments.budget) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds {
            return;
        }
        let seed = arguments.seed.wrapping_add(number);
        SEED.set(Some(seed));
        let faults = Faults::of_seed(seed);
        if arguments.verbose {
            line(&format!("{faults:#?}"));
        }
        let told = tell(&faults);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.stories += 1;
        match told {
            Ok(told) => {
                sum.add(&faults, &told);
                if arguments.verbose {
                    line(&told.to_string());
                }
            }
            Err(broken) => {
                sum.failed += 1;
                failed(seed, &broken.to_string());
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        usual(panicked);
        if let Some(seed) = SEED.get() {
            failed(seed, "a panic");
        }
    }));
    let (begun, next, sum) = (
        Instant::now(),
        AtomicU64::new(0),
        Mutex::new(Sum::default()),
    );
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1))
            .map(|_| scope.spawn(|| stories(&arguments, begun, &next, &sum)))
            .collect();
        let mut told = begun;
        while threads.iter().any(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(100));
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                let sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                let (stories, failed) = (sum.stories, sum.failed);
                drop(sum);
                let seconds = begun.elapsed().as_secs();
                line(&format!(
                    "{seconds:>5} s: {stories} stories, {failed} failed"
                ));
            }
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    line(&format!(
        "{} of {} stories of seeds from {}, {} blocks, seats moved in {}, {} validators jailed, {} transactions acknowledged, whole again after {:.1} s at most, {} failed",
        sum.stories,
        arguments.seeds,
        arguments.seed,
        sum.blocks,
        sum.moved,
        sum.jailed,
        sum.acknowledged,
        sum.healed_after.as_secs_f64(),
        sum.failed
    ));
    line(&format!(
        "in {} more lied than may, in {} a double vote was proven; {} lies of proposers, {} messages came twice, {} writes waited for slow disks",
        sum.beyond, sum.guilty, sum.lies, sum.echoes, sum.waits
    ));
    line(&sum.joins.to_string());
    if sum.stories < arguments.seeds {
        line("the time was up before all stories were told");
        return ExitCode::FAILURE;
    }
    if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
