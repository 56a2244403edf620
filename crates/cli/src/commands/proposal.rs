mod plan;
mod service;
mod show;
mod submit;

use super::account::resolve;
use crate::{
    Global,
    connection::{Connection, send, with_connection},
    failure::{Exit, code},
    output,
};
use fairweir_types::{
    Action, Amount, Bps, Digest, ProposalId, governance::Weights, limits::BLOB_BYTES_MAX, tx,
};
use serde_json::json as value;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Try:
  fairweir config params --current            every value, its range, and what it is now
  fairweir proposal submit set-param fee_base 2000
                                              propose another value
  fairweir proposal submit penalty worker-2 --evidence notes.txt
                                              accuse a provider that withholds its service
  fairweir proposal submit set-service embedding --at 5000
                                              take another kind of work, from block 5000 on
  fairweir proposal vote 1 yes --from worker-1
                                              vote with the stake of worker-1
  fairweir proposal vote 1 --weights yes=6000,abstain=4000
                                              split a vote, in basis points
  fairweir proposal show 1                    where it is, and how the votes stand
  fairweir proposal submit upgrade 120000 --plan plan.md
                                              other rules from a block on; docs/how-to/upgrade-a-network.md
  fairweir proposal plan                      the rules that are to come, and the release to install
  fairweir proposal answer 2 mine.txt --from worker-2
                                              the accused answers; `appeal` once it passed

What decides: a third of the bonded stake must have voted, more than half of those who took a side
must be for it, and fewer than a third may veto it. `fairweir config params` has the exact figures,
and every window and lock.";

/// Decide together: propose, vote, answer a motion, appeal it.
///
/// A proposal needs a deposit, which comes back unless a third vetoes it. Each vote weighs the stake that its account had bonded when the
/// voting began. What passes is confirmed, then waits for its lock, and is then done once; until then another proposal can cancel it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Proposal {
    /// Propose something.
    Submit(submit::Submit),
    /// Add to the deposit of a proposal that waits for it; what is more than needed is not taken.
    Deposit {
        /// The number of the proposal.
        proposal: u64,
        /// How many coins.
        amount: Amount,
        /// The name of the key that pays.
        #[arg(long, default_value = "buyer", value_name = "NAME")]
        from: String,
    },
    /// Vote; a second vote of the same key replaces the first.
    Vote {
        /// The number of the proposal.
        proposal: u64,
        /// How.
        #[arg(required_unless_present = "weights", conflicts_with = "weights")]
        choice: Option<Choice>,
        /// In parts: basis points for yes, no, abstain and veto, 10000 together, such as yes=6000,no=4000.
        #[arg(long, value_name = "PARTS", value_parser = weights)]
        weights: Option<Weights>,
        /// The name of the key whose stake votes.
        #[arg(long, default_value = "buyer", value_name = "NAME")]
        from: String,
    },
    /// Answer a penalty motion against you.
    Answer(Paper),
    /// Appeal a penalty against you that has passed: it is voted on again, and needs two thirds.
    Appeal(Paper),
    /// Show a proposal: what it does, where it is, how the votes stand.
    Show {
        /// The number of the proposal.
        proposal: u64,
    },
    /// Show the plan of an upgrade: its text, which says which release to install. Without a digest, whether rules are to change, the plan by which, and the plans that
    /// this program has.
    Plan {
        /// The plan's digest, as `fairweir proposal show` and `fairweir status` name it.
        plan: Option<Digest>,
    },
    /// List the proposals that are open, and the newest of those that are over.
    List,
    /// Show what is bonded, what the treasury has, and which modules are paused.
    Overview,
}

/// A file that the network keeps by its digest.
#[derive(Debug, clap::Args)]
pub(crate) struct Paper {
    /// The number of the proposal.
    proposal: u64,
    /// A file with your words; everybody can read it.
    file: PathBuf,
    /// The name of the accused's key.
    #[arg(long, value_name = "NAME")]
    from: String,
}

/// A vote that is not split.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Choice {
    /// For it.
    Yes,
    /// Against it.
    No,
    /// For the quorum alone.
    Abstain,
    /// Against it, and against its having been asked: a third of these takes the deposit.
    Veto,
}

impl Choice {
    fn weights(self) -> Weights {
        let whole = u16::try_from(Bps::WHOLE).unwrap_or(u16::MAX);
        let mut weights = Weights::default();
        match self {
            Self::Yes => weights.yes = whole,
            Self::No => weights.no = whole,
            Self::Abstain => weights.abstain = whole,
            Self::Veto => weights.veto = whole,
        }
        weights
    }
}

/// Reads parts such as `yes=6000,no=4000`.
fn weights(text: &str) -> Result<Weights, String> {
    let mut weights = Weights::default();
    for part in text.split(',') {
        let said = || format!("'{part}' is no part of a vote: write yes=6000,no=4000");
        let (name, number) = part.split_once('=').ok_or_else(said)?;
        let number: u16 = number.parse().map_err(|_| said())?;
        let place = match name {
            "yes" => &mut weights.yes,
            "no" => &mut weights.no,
            "abstain" => &mut weights.abstain,
            "veto" => &mut weights.veto,
            _ => return Err(said()),
        };
        *place = number;
    }
    match weights.sum() {
        Bps::WHOLE => Ok(weights),
        sum => Err(format!(
            "the parts are {sum} basis points together, and must be 10000"
        )),
    }
}

impl Proposal {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Submit(submit) => submit.run(global),
            Self::Deposit {
                proposal,
                amount,
                from,
            } => {
                let proposal = ProposalId(proposal);
                let action = Action::AddDeposit(tx::AddDeposit { proposal, amount });
                act(global, &from, action)?;
                tell(global, proposal, "deposit added to")
            }
            Self::Vote {
                proposal,
                choice,
                weights,
                from,
            } => {
                let proposal = ProposalId(proposal);
                let weights = weights.or(choice.map(Choice::weights)).unwrap_or_default();
                act(global, &from, Action::Vote(tx::Vote { proposal, weights }))?;
                tell(global, proposal, "the vote counts for")
            }
            Self::Answer(paper) => paper.hand_in(global, "answered", |proposal, answer| {
                Action::AnswerMotion(tx::AnswerMotion { proposal, answer })
            }),
            Self::Appeal(paper) => paper.hand_in(global, "appealed", |proposal, grounds| {
                Action::AppealMotion(tx::AppealMotion { proposal, grounds })
            }),
            Self::Show { proposal } => show::show(global, ProposalId(proposal)),
            Self::Plan { plan } => plan::show(global, plan),
            Self::List => show::list(global),
            Self::Overview => show::overview(global),
        }
    }
}

impl Paper {
    fn hand_in(
        self,
        global: &Global,
        done: &str,
        action: impl FnOnce(ProposalId, Digest) -> Action,
    ) -> Result<(), Exit> {
        let proposal = ProposalId(self.proposal);
        let digest = publish(global, &self.file)?;
        act(global, &self.from, action(proposal, digest))?;
        if !global.json {
            output::line(format!("digest     {digest}"));
        }
        tell(global, proposal, done)
    }
}

/// Puts a file into the node's store; returns the digest by which everybody can get it.
fn publish(global: &Global, file: &Path) -> Result<Digest, Exit> {
    let bytes = std::fs::read(file)
        .map_err(|error| Exit::message(code::MACHINE, format!("{}: {error}", file.display())))?;
    if bytes.len() > BLOB_BYTES_MAX {
        let shown = file.display();
        return Err(Exit::message(
            code::FAILED,
            format!(
                "{shown} is larger than {BLOB_BYTES_MAX} bytes: publish it elsewhere, and hand in a file that says where and its digest"
            ),
        ));
    }
    with_connection(global, |connection| async move {
        Ok(connection.client.put_blob(bytes).await?)
    })
}

fn act(global: &Global, from: &str, action: Action) -> Result<(), Exit> {
    send(global, from, action)?;
    Ok(())
}

/// Says what became of a proposal by what was done just now.
fn tell(global: &Global, proposal: ProposalId, done: &str) -> Result<(), Exit> {
    let report = with_connection(global, |connection: Connection| async move {
        Ok(connection.client.proposal(proposal).await?)
    })?;
    if global.json {
        output::json(&value!({"proposal": proposal.get(), "phase": report.phase.name()}));
    } else {
        output::line(format!(
            "{done} proposal {proposal}, which {}",
            crate::describe::phase(report.phase)
        ));
    }
    Ok(())
}
