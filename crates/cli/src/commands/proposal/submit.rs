use super::{plan, publish, resolve, service};
use crate::{
    Global,
    connection::{send, with_connection},
    describe::{self, Names},
    failure::{Exit, code},
    output,
};
use fairweir_ledger::params::{self, PARAMS};
use fairweir_types::{
    Action, Address, Amount, BoundedText, Boxed, Bps, Height, Millis, ProposalId,
    governance::{
        Cancel, Message, Module, Pause, Penalty, Release, Resume, SetParam, TreasurySpend, Upgrade,
    },
    limits::TITLE_BYTES_MAX,
    tx,
};
use serde_json::json as value;
use std::path::PathBuf;

/// Propose something.
#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    /// What it is about, in a line; by default what it does.
    #[arg(long, global = true, value_name = "TEXT")]
    title: Option<String>,
    /// How many coins of the deposit you pay now: at least a fifth. By default all of it, and the voting begins at once.
    #[arg(long, global = true, value_name = "COINS")]
    deposit: Option<Amount>,
    /// Take the fast track: a shorter voting, and two thirds must be for it. A pause and a resumption always do.
    #[arg(long, global = true)]
    expedited: bool,
    /// The name of the key that proposes and pays.
    #[arg(long, global = true, default_value = "buyer", value_name = "NAME")]
    from: String,
    #[command(subcommand)]
    message: What,
}

/// What a proposal does when it passes.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set a governed value; `fairweir config params` has their names and ranges.
    SetParam {
        /// Its name.
        name: String,
        /// Its new value, in its unit.
        value: u64,
    },
    /// Pay from the treasury, which has what was vetoed and what was given to it.
    Spend {
        /// To whom: an address (fw1…) or the name of one of your keys.
        to: String,
        /// How many coins.
        amount: Amount,
    },
    /// Accuse a provider of what no rule of the ledger sees, such as withholding its service.
    Penalty {
        /// Whom: an address (fw1…) or the name of one of your keys.
        accused: String,
        /// A file with the evidence; everybody can read it.
        #[arg(long, value_name = "FILE")]
        evidence: PathBuf,
        /// How much of the stake, in basis points.
        #[arg(long, default_value_t = 1_000, value_name = "BPS")]
        share_bps: u64,
    },
    /// Refuse new actions of a module for a while: an emergency stop that ends by itself.
    Pause {
        /// The module.
        module: Paused,
        /// For how many seconds of chain time.
        #[arg(long = "for", default_value_t = 86_400, value_name = "SECONDS")]
        seconds: u64,
    },
    /// Have every node stop before a block, unless its program knows the rules from there on.
    Upgrade {
        /// The first block of the new rules.
        height: u64,
        /// A file that describes them: which release, from where, what changes; everybody can read it. Or the name of a plan that this program has (`fairweir proposal plan`):
        /// only a program that has a plan with the very bytes of this text goes on.
        #[arg(long, value_name = "FILE or NAME")]
        plan: String,
    },
    /// Add a kind of work to the catalogue, or give it another version or other terms, from a block on.
    ///
    /// The ledger takes work of a kind only while its catalogue has it (`fairweir services`). The block must come after the voting and the lock of
    /// the proposal: leave time for workers and verifiers to install a release that knows the version. What is not said stays as it is
    /// in force, or is the widest for a new kind.
    SetService {
        /// Its name, such as embedding.
        name: String,
        /// The first block that it holds for.
        #[arg(long, value_name = "BLOCK")]
        at: u64,
        /// Its number; by default that of the kind with this name in the catalogue or in this program.
        #[arg(long, value_name = "NUMBER")]
        kind: Option<u16>,
        /// The version of its rules; by default the newest that this program knows.
        #[arg(long, value_name = "NUMBER")]
        service_version: Option<u16>,
        /// The most units of each sort that one piece of work may ask for.
        #[arg(long, value_name = "UNITS")]
        units_max: Option<u64>,
        /// The longest that one piece of work may run.
        #[arg(long, value_name = "SECONDS")]
        seconds_max: Option<u64>,
        /// Whether verdicts over it can be appealed to the referee, if the program has one for the version.
        #[arg(long, value_name = "BOOL")]
        appeals: Option<bool>,
    },
    /// Retire a kind of work from a block on: nothing new of it is taken, and what is open is finished and paid.
    RetireService {
        /// Its name or number, as `fairweir services` lists it.
        name: String,
        /// The first block without it.
        #[arg(long, value_name = "BLOCK")]
        at: u64,
    },
    /// Take back what another proposal would do when its lock is over.
    Cancel {
        /// Its number.
        proposal: u64,
    },
    /// Let withdrawals go on that the ledger halted because an invariant did not hold; `fairweir status` says which.
    Resume {
        /// The block that halted them, as `fairweir status` names it.
        halted: u64,
    },
    /// Let a candidate out of jail before its time; `fairweir validator candidates` says who is jailed, and until which epoch.
    ///
    /// It was jailed because it had a seat and made no block in a whole epoch. A first jail is over before most votes are.
    Release {
        /// Whom: an address (fw1…) or the name of one of your keys.
        candidate: String,
        /// The last epoch of the jail that is lifted; by default that of the one it is in, if it stands.
        #[arg(long, value_name = "EPOCH")]
        until: Option<u64>,
    },
}

/// A module that can be paused.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Paused {
    /// Transfers, and grants to delegates.
    Transfers,
    /// Bonding and unbonding.
    Stake,
    /// Offers and enrolments.
    Registry,
    /// Orders of one round.
    Orders,
    /// Sessions.
    Sessions,
}

impl Paused {
    const fn module(self) -> Module {
        match self {
            Self::Transfers => Module::Transfers,
            Self::Stake => Module::Stake,
            Self::Registry => Module::Registry,
            Self::Orders => Module::Orders,
            Self::Sessions => Module::Sessions,
        }
    }
}

impl What {
    fn message(&self, global: &Global) -> Result<Message, Exit> {
        Ok(match self {
            Self::SetParam { name, value } => Message::SetParam(SetParam {
                param: params::number_of(name).ok_or_else(|| unknown(name))?,
                value: *value,
            }),
            Self::Spend { to, amount } => Message::TreasurySpend(TreasurySpend {
                to: resolve(global, to)?,
                amount: *amount,
            }),
            Self::Penalty {
                accused,
                evidence,
                share_bps,
            } => Message::Penalty(Penalty {
                accused: resolve(global, accused)?,
                evidence: publish(global, evidence)?,
                share: Bps(*share_bps),
            }),
            Self::Pause { module, seconds } => Message::Pause(Pause {
                module: module.module(),
                duration: Millis(seconds.saturating_mul(1_000)),
            }),
            Self::Upgrade { height, plan } => Message::Upgrade(Upgrade {
                height: Height(*height),
                plan: plan::publish_plan(global, plan)?,
            }),
            Self::SetService {
                name,
                at,
                kind,
                service_version,
                units_max,
                seconds_max,
                appeals,
            } => {
                let limits = service::Limits {
                    units_max: *units_max,
                    seconds_max: *seconds_max,
                    appeals: *appeals,
                };
                service::set(
                    global,
                    (name, *kind, *service_version),
                    Height(*at),
                    &limits,
                )?
            }
            Self::RetireService { name, at } => service::retire(global, name, Height(*at))?,
            Self::Cancel { proposal } => Message::Cancel(Cancel {
                proposal: ProposalId(*proposal),
            }),
            Self::Resume { halted } => Message::Resume(Resume {
                halted: Height(*halted),
            }),
            Self::Release { candidate, until } => release(global, candidate, *until)?,
        })
    }
}

fn release(global: &Global, candidate: &str, until: Option<u64>) -> Result<Message, Exit> {
    let candidate = resolve(global, candidate)?;
    let until = match until {
        Some(until) => until,
        None => jailed_until(global, candidate)?,
    };
    Ok(Message::Release(Release { candidate, until }))
}

fn jailed_until(global: &Global, candidate: Address) -> Result<u64, Exit> {
    let report = with_connection(global, |connection| async move {
        Ok(connection.client.candidates().await?)
    })?;
    let mut standing = report.candidates.iter();
    let found = standing.find(|found| found.candidate == candidate);
    found.and_then(|found| found.jailed_until).ok_or_else(|| {
        Exit::message(
            code::FAILED,
            format!("{candidate} is not jailed, or does not stand: `fairweir validator candidates` lists those that stand; for who does not, name the end of its jail with --until"),
        )
    })
}

/// There is no such value: name those that sound like it.
fn unknown(name: &str) -> Exit {
    let stem = name.split('_').next().unwrap_or(name);
    let near: Vec<&str> = PARAMS
        .iter()
        .map(|spec| spec.name)
        .filter(|known| known.contains(stem))
        .collect();
    let near = if near.is_empty() {
        String::new()
    } else {
        format!(" Did you mean {}?", near.join(", "))
    };
    Exit::message(
        code::FAILED,
        format!("there is no governed value {name}: `fairweir config params` lists them.{near}"),
    )
}

impl Submit {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let message = self.message.message(global)?;
        let names = Names::default();
        let title = self
            .title
            .unwrap_or_else(|| describe::message(&names, &message));
        let title = BoundedText::<TITLE_BYTES_MAX>::new(&title).map_err(|_| {
            Exit::message(
                code::FAILED,
                format!("a title is one line of at most {TITLE_BYTES_MAX} bytes"),
            )
        })?;
        let action = Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title,
            message,
            expedited: self.expedited,
            deposit: self.deposit.unwrap_or(Amount::MAX),
        }));
        let included = send(global, &self.from, action)?;
        let report = super::show::submitted_in(global, included.height, &self.from)?;
        let rules = super::show::rules(global)?;
        if global.json {
            output::json(
                &value!({"proposal": report.proposal.get(), "phase": report.phase.name(), "height": included.height.get()}),
            );
        } else {
            output::line(format!(
                "proposal {}: {}; it {}",
                report.proposal,
                describe::message(&names, &report.message),
                describe::phase(report.phase)
            ));
            plan::tell(global, &report.message, &rules);
        }
        Ok(())
    }
}
