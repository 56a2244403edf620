//! `fairweir`: the one binary.

mod commands;
mod connection;
mod describe;
mod door;
mod ending;
mod failure;
mod local_node;
mod main_job;
mod memory;
mod models;
mod output;
mod rules;
mod wall_clock;

use clap::{CommandFactory as _, Parser, Subcommand};
use failure::Exit;
use fairweir_services::inference::Cores;
use std::{path::PathBuf, process::ExitCode};

/// Fairweir: buy and sell AI services on a network that proves the work right.
///
/// Start with `fairweir up`: it runs a whole network on this machine and does one job on it in front of you.
#[derive(Debug, Parser)]
#[command(name = "fairweir", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed for another reason
  2  the command line is not understood
  3  the network refused (the reason and its code are shown)
  4  the node was not reached
  5  a receipt, a file or a check did not hold
  6  this machine stands in the way: busy port, folder in use, disk, clock, keys
  7  the network goes on by other rules: install the release of the plan that is named

Try:
  fairweir up                      a whole network, and one job on it
  fairweir chat 'a question'       ask a model, from a second terminal
  fairweir status                  who is there, and is all money accounted for
  fairweir events --follow         everything that happens
  fairweir verify receipt.fwr      check a receipt without trusting anybody";

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// The folder of keys, chain and settings.
    #[arg(long, global = true, env = "FAIRWEIR_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The node to ask, as a `fwpeer1…` address; by default the one that runs in the data folder.
    #[arg(long, global = true, env = "FAIRWEIR_NODE", value_name = "ADDRESS")]
    node: Option<String>,
    /// The folder of models; by default one that all networks of this user share.
    #[arg(long, global = true, env = "FAIRWEIR_MODELS", value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Threads that compute, for each model; by default one for each core, of the engine's cores if they are given.
    #[arg(long, global = true, env = "FAIRWEIR_THREADS", value_name = "NUMBER")]
    threads: Option<usize>,
    /// The cores that models' threads are kept to, as 0-3,8; everything else of this process stays off these. For a worker beside other work. By default none are set apart.
    #[arg(
        long,
        global = true,
        env = "FAIRWEIR_ENGINE_CORES",
        value_name = "LIST",
        hide_short_help = true
    )]
    engine_cores: Option<Cores>,
    /// Which instructions to compute with: portable, avx2 or avx512-vnni. All give the same bits; by default the fastest.
    #[arg(
        long,
        global = true,
        env = "FAIRWEIR_PATH",
        value_name = "NAME",
        hide_short_help = true
    )]
    path: Option<String>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// A file whose first line is the passphrase of the keys. Else FAIRWEIR_PASSPHRASE, else it is asked for.
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Log more to standard error; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines are written: for people, or one JSON object a line for programs.
    #[arg(
        long,
        global = true,
        env = "FAIRWEIR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        hide_short_help = true
    )]
    log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole network on this machine, and do one job on it.
    Up(commands::up::Up),
    /// Run or set up a node: the ledger and its clients' door.
    #[command(subcommand)]
    Node(commands::node::Node),
    #[command(subcommand)]
    Genesis(commands::genesis::Genesis),
    /// Run a worker, or let another machine join as one.
    #[command(subcommand)]
    Worker(commands::worker::Worker),
    /// Make, list, back up and restore keys.
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Show an account.
    Account(commands::account::Account),
    /// Send money.
    Transfer(commands::transfer::Transfer),
    /// Bond or unbond stake.
    #[command(subcommand)]
    Stake(commands::stake::Stake),
    /// Buy a text job, or change an order: post the order, watch it, get output and receipt.
    Order(commands::order::Order),
    /// Ask a model: one question, or a conversation.
    Chat(commands::chat::Chat),
    /// Turn texts into vectors.
    Embed(commands::embed::Embed),
    /// Serve OpenAI's API in front of the network.
    Gateway(commands::gateway::Gateway),
    /// Serve the explorer's API over everything that happened.
    Explorer(commands::explorer::Explorer),
    /// Make, list and revoke the keys of a gateway's clients.
    #[command(subcommand)]
    Apikey(commands::apikey::Apikey),
    #[command(subcommand)]
    Delegate(commands::delegate::Delegate),
    #[command(subcommand)]
    Proposal(commands::proposal::Proposal),
    #[command(subcommand)]
    Validator(commands::validator::Validator),
    /// Add, list, check and remove models on this machine.
    #[command(subcommand)]
    Model(commands::model::Model),
    /// Show what the network is doing, and that all money is accounted for.
    Status(commands::status::Status),
    /// Show which kinds of work this chain takes.
    Services(commands::services::Services),
    /// Show what happened, block by block.
    Events(commands::events::Events),
    /// Check a receipt file offline.
    Verify(commands::verify::Verify),
    #[command(subcommand)]
    Proof(commands::proof::Proof),
    /// Show or write the settings.
    #[command(subcommand)]
    Config(commands::config::Config),
    /// Look for what would stand in the way on this machine.
    Doctor(commands::doctor::Doctor),
    /// Print the completion script of a shell.
    Completions(commands::completions::Completions),
}

fn main() -> ExitCode {
    memory::give_large_buffers_back();
    let cli = Cli::parse();
    start_logging(cli.global.verbose, cli.global.log_format);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn start_logging(verbose: u8, format: LogFormat) {
    let default = match verbose {
        0 => "off",
        1 => "warn,fairweir=info,fairweir_chain=info,fairweir_node=info,fairweir_services=info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("FAIRWEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber in one process cannot happen: main runs once.
    let _ = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}

fn run(cli: Cli) -> Result<(), Exit> {
    let global = &cli.global;
    match cli.command {
        Command::Up(up) => up.run(global),
        Command::Node(node) => node.run(global),
        Command::Genesis(genesis) => genesis.run(global),
        Command::Worker(worker) => worker.run(global),
        Command::Keys(keys) => keys.run(global),
        Command::Account(account) => account.run(global),
        Command::Transfer(transfer) => transfer.run(global),
        Command::Stake(stake) => stake.run(global),
        Command::Order(order) => order.run(global),
        Command::Chat(chat) => chat.run(global),
        Command::Embed(embed) => embed.run(global),
        Command::Gateway(gateway) => gateway.run(global),
        Command::Explorer(explorer) => explorer.run(global),
        Command::Apikey(apikey) => apikey.run(global),
        Command::Delegate(delegate) => delegate.run(global),
        Command::Proposal(proposal) => proposal.run(global),
        Command::Validator(validator) => validator.run(global),
        Command::Model(model) => model.run(global),
        Command::Status(status) => status.run(global),
        Command::Services(services) => services.run(global),
        Command::Events(events) => events.run(global),
        Command::Verify(verify) => verify.run(global),
        Command::Proof(proof) => proof.run(global),
        Command::Config(config) => config.run(global),
        Command::Doctor(doctor) => doctor.run(global),
        Command::Completions(completions) => {
            completions.run(&mut Cli::command());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_is_well_defined() {
        Cli::command().debug_assert();
    }

    /// Options of every command, by their names, must not be taken by one command's own: it would be told another one's value.
    fn check_names(command: &clap::Command, taken: &BTreeSet<String>) {
        for subcommand in command.get_subcommands() {
            for own in subcommand.get_arguments() {
                let (name, of) = (own.get_id().as_str(), subcommand.get_name());
                assert!(
                    !taken.contains(name),
                    "{of} takes --{name} of every command"
                );
            }
            check_names(subcommand, taken);
        }
    }

    #[test]
    fn no_command_takes_the_name_of_an_option_of_every_command() {
        let command = Cli::command();
        let of_all = command
            .get_arguments()
            .filter(|found| found.is_global_set());
        let taken: BTreeSet<String> = of_all.map(|found| found.get_id().to_string()).collect();
        assert!(taken.contains("node"));
        check_names(&command, &taken);
    }
}
