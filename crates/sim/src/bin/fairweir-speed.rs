//! The matrix of the Proof-of-Training prototype (arXiv 2307.07066): seconds until all nodes hold the same state, by nodes, bandwidth and
//! transactions, in virtual time.
#![expect(clippy::print_stdout, reason = "a tool of the command line")]

use clap::Parser;
use fairweir_sim::speed::{Setting, synchronise};
use std::time::Duration;

/// Send transfers to a network of many validators in virtual time, and say how long it took until all of them held the same state.
///
/// Links have a latency, each machine sends and receives at a bandwidth, and work lasts as long as the machines are said to need for it. The same
/// setting gives the same figure, whatever runs it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Validators, up to 50; may be given several times.
    #[arg(long, default_values_t = [50])]
    validators: Vec<u8>,
    /// Transfers; may be given several times.
    #[arg(long, default_values_t = [10_000])]
    transactions: Vec<u64>,
    /// Megabits a second that each machine sends and receives; 0 for no bound; may be given several times.
    #[arg(long, default_values_t = [125])]
    megabits: Vec<u64>,
    /// Milliseconds that a message takes.
    #[arg(long, default_value_t = 10)]
    latency_ms: u64,
    /// Microseconds to check one signature among many.
    #[arg(long, default_value_t = 25)]
    signature_us: u64,
    /// Microseconds for everything else that a transfer in a block needs.
    #[arg(long, default_value_t = 15)]
    execution_us: u64,
    /// What all that is random is drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    for validators in &arguments.validators {
        for megabits in &arguments.megabits {
            for transactions in &arguments.transactions {
                let setting = Setting {
                    validators: *validators,
                    transactions: *transactions,
                    megabits: Some(*megabits).filter(|megabits| *megabits > 0),
                    latency: Duration::from_millis(arguments.latency_ms),
                    signature: Duration::from_micros(arguments.signature_us),
                    execution: Duration::from_micros(arguments.execution_us),
                    seed: arguments.seed,
                };
                let told = synchronise(&setting)?;
                println!(
                    "{validators} validators, {megabits} Mbps, {transactions} transactions: {told}"
                );
            }
        }
    }
    Ok(())
}
