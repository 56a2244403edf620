//! Tells the stories of the network with many seeds, and says how to tell one again that did not hold.

use clap::{Args, Parser, Subcommand};
use fairweir_sim::{
    adversaries::{self, Line, Row, Verdict},
    scenarios::{self, Scenario},
};
use std::{
    io::Write as _,
    panic,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Simulate the network: every scenario with every seed, until all are told or the budget is used.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Seeds to use.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds after which no further scenario begins.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    budget: u64,
    /// One scenario by name, or all.
    #[arg(long, value_name = "NAME", default_value = "all")]
    scenario: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what each behaviour costs at default parameters; fails unless all lose and nobody honest does.
    Adversaries(Table),
}

/// The adversary table.
#[derive(Debug, Args)]
struct Table {
    /// Seeds for each behaviour; what is rarely found takes some times as many.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One behaviour by name, or all.
    #[arg(long, value_name = "NAME", default_value = "all")]
    behaviour: String,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// A line of JSON for each behaviour in place of a table.
    #[arg(long)]
    json: bool,
}

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// The story that is being told.
static TELLING: Mutex<Option<(&str, u64)>> = Mutex::new(None);

/// Says on a panic how to tell the story again: here, because a release build ends with it.
fn say_how_to_tell_again() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        usual(panicked);
        let telling = *TELLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, seed)) = telling {
            line(&format!(
                "FAILED {name} with seed {seed}; again: cargo run -p fairweir-sim -- --scenario {name} --seed {seed} --seeds 1"
            ));
        }
    }));
}

/// Tells a story; `false` if it does not hold.
fn holds(scenario: &Scenario, seed: u64) -> bool {
    *TELLING.lock().unwrap_or_else(PoisonError::into_inner) = Some((scenario.name, seed));
    panic::catch_unwind(|| (scenario.run)(seed)).is_ok()
}

fn chosen(name: &str) -> Option<Vec<&'static Scenario>> {
    if name == "all" {
        Some(scenarios::ALL.iter().collect())
    } else {
        scenarios::named(name).map(|scenario| vec![scenario])
    }
}

fn told(line: &Line, is_json: bool) -> String {
    let (row, loss) = (line.row, &line.loss);
    if is_json {
        return serde_json::json!({
            "behaviour": row.name, "rules": row.rules, "against": format!("{:?}", row.reference).to_lowercase(),
            "seeds": loss.count, "expected": line.expected, "mean": loss.mean, "low": loss.low(), "high": loss.high(),
            "slashed": line.slashed, "taken": line.taken, "slipped": line.slipped, "unpaid": line.unpaid,
            "expects": format!("{:?}", row.expects).to_lowercase(), "difference": line.difference.mean, "difference_half": line.difference.half,
            "verdict": format!("{:?}", line.verdict()).to_lowercase(),
        })
        .to_string();
    }
    format!(
        "| {} | {} | {} | {} | {:.6} | {:.6} | {:.6} to {:.6} | {:.6} ± {:.6} | {:.3} | {} | {:.6} | {:.6} | {} |",
        row.name,
        row.rules,
        format!("{:?}", row.reference).to_lowercase(),
        loss.count,
        line.expected,
        loss.mean,
        loss.low(),
        loss.high(),
        line.difference.mean,
        line.difference.half,
        line.slashed,
        line.taken,
        line.slipped,
        line.unpaid,
        format!("{:?}", line.verdict()).to_lowercase(),
    )
}

/// The adversary table: coins, with the 95 % interval of each mean by the normal approximation.
fn table(wanted: &Table) -> ExitCode {
    let rows: Vec<&Row> = if wanted.behaviour == "all" {
        adversaries::ALL.iter().collect()
    } else {
        adversaries::named(&wanted.behaviour).into_iter().collect()
    };
    if rows.is_empty() {
        let names: Vec<_> = adversaries::ALL.iter().map(|row| row.name).collect();
        line(&format!(
            "no behaviour is called {}; there are: all, {}",
            wanted.behaviour,
            names.join(", ")
        ));
        return ExitCode::from(2);
    }
    if !wanted.json {
        line(
            "| behaviour | rules | against | seeds | expected loss | mean loss | 95 % interval | less that by formula | slashed | taken | slipped | unpaid at most | verdict |",
        );
        line("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    }
    let begun = Instant::now();
    let (mut held, mut stories) = (0, 0);
    for row in &rows {
        let found = adversaries::measure(row, (wanted.seed, wanted.seeds), wanted.threads);
        line(&told(&found, wanted.json));
        stories += found.loss.count;
        held += usize::from(found.verdict() == Verdict::Holds);
    }
    if !wanted.json {
        line(&format!(
            "{held} of {} behaviours lose what they should and take nothing, {stories} stories in {} s",
            rows.len(),
            begun.elapsed().as_secs()
        ));
    }
    if held == rows.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Adversaries(wanted)) = &arguments.command {
        return table(wanted);
    }
    let Some(chosen) = chosen(&arguments.scenario) else {
        let names: Vec<_> = scenarios::ALL
            .iter()
            .map(|scenario| scenario.name)
            .collect();
        line(&format!(
            "no scenario is called {}; there are: all, {}",
            arguments.scenario,
            names.join(", ")
        ));
        return ExitCode::from(2);
    };
    say_how_to_tell_again();
    let begun = Instant::now();
    let budget = Duration::from_secs(arguments.budget);
    let (mut passed, mut failed, mut told) = (0_u64, 0_u64, begun);
    let seeds = (0..arguments.seeds).map(|number| arguments.seed.wrapping_add(number));
    let stories = seeds.flat_map(|seed| chosen.iter().map(move |scenario| (*scenario, seed)));
    for (scenario, seed) in stories {
        if begun.elapsed() >= budget {
            line("the budget is used");
            break;
        }
        if holds(scenario, seed) {
            passed += 1;
        } else {
            failed += 1;
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            line(&format!(
                "{:>4} s: seed {seed}, {passed} passed, {failed} failed",
                begun.elapsed().as_secs()
            ));
        }
    }
    line(&format!("{passed} passed, {failed} failed"));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
