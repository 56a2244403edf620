use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
    output,
};
use commonware_codec::Encode as _;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use fairweir_types::{
    Action, Boxed, Digest, decode, double_vote::DoubleVote, node_api::ValidatorsReport, tx,
};
use serde_json::json;
use std::{io::Read as _, path::PathBuf};

mod handovers;
mod stake;

const AFTER_HELP: &str = "\
Try:
  fairweir validator list                             who validates, with which stake, and who voted twice
  fairweir validator evidence > double-vote.txt       what your node met, to hand on
  fairweir validator report                           show the ledger what your node met: a fifth of what is slashed is yours
  fairweir validator report double-vote.txt           the same with evidence of another node
  fairweir validator handovers seats.fw               what proves who has the seats today, for `fairweir verify --handovers`
  fairweir validator candidates                       who stands for seats, and with which stake
  fairweir validator candidate --commission 500 --amount 1000   stand with the keys 'validator' and 'validator-vote': send 'validator' coins first
  fairweir validator candidate --lead fw1… --amount 1000   stand as a further node of a candidate, which confirms it:
  fairweir validator confirm fw1…                     have your stake give seats to a further node of your own, too
  fairweir validator delegate fw1… 250                put 250 coins behind a candidate
  fairweir validator delegations                      what your account has behind candidates, and what it earned";

/// Bytes of a file of evidence that are read at most: a line takes less than a kilobyte.
const EVIDENCE_BYTES_MAX: u64 = 1 << 20;

/// Show validators, put stake behind candidates, and punish those that vote twice.
///
/// Candidates stand for the seats of validators with stake: their own, and what others delegate to them. At the end of an epoch the seats of the next go to
/// them by largest remainder, as far as their nodes said in this one that they are there (`fairweir node run` does); who has a seat makes blocks and votes. Stake behind a
/// candidate is slashed with it, and a part of the fees of its blocks goes to it. A node has one seat at most: a candidate with stake for several runs further nodes, which name it as their lead.
///
/// Two votes of one validator that exclude each other are evidence that anybody may show the ledger, from any account that can pay the fee. The
/// validator's account then loses half of its stake (governed), and earns no fees any more; if it is a further node, so does its lead's.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Validator {
    /// Show the validators.
    List,
    /// Print evidence that the node met since it started, a line for each validator that voted twice.
    Evidence,
    /// Show evidence to the ledger.
    Report {
        /// A file with lines of evidence, or '-' for standard input; without one the node is asked.
        file: Option<PathBuf>,
        /// The name of the key that shows it, and is paid for that.
        #[arg(long, default_value = "buyer", value_name = "NAME")]
        key: String,
    },
    /// Show the seats of this epoch, and the candidates for the next.
    Candidates,
    /// Become a candidate.
    Candidate(stake::Register),
    /// Confirm a further node of your candidate.
    Confirm(stake::Confirm),
    /// Change what your candidate asks, or whether it stands.
    Update(stake::Update),
    /// Write the blocks that handed the seats over, each checked, to a file: with it `fairweir verify --handovers` needs no node.
    Handovers(handovers::Write),
    /// Put coins behind a candidate.
    Delegate(stake::Change),
    /// Start taking them back; they can be slashed until the unbonding delay is over.
    Undelegate(stake::Change),
    /// Move coins behind another candidate at once, where they stay for the unbonding delay.
    Redelegate(stake::Move),
    /// Take what a delegation earned.
    Claim(stake::Claim),
    /// Show what an account has behind candidates.
    Delegations {
        /// Whose: an address or the name of one of your keys.
        #[arg(default_value = "buyer")]
        account: String,
    },
}

impl Validator {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::List => list(global),
            Self::Evidence => evidence(global),
            Self::Report { file, key } => report(global, file, &key),
            Self::Candidates => stake::candidates(global),
            Self::Handovers(write) => write.run(global),
            Self::Candidate(register) => stake::register(global, &register),
            Self::Confirm(confirm) => stake::confirm(global, &confirm),
            Self::Update(update) => stake::update(global, &update),
            Self::Delegate(change) => stake::delegate(global, &change),
            Self::Undelegate(change) => stake::undelegate(global, &change),
            Self::Redelegate(change) => stake::redelegate(global, &change),
            Self::Claim(claim) => stake::claim(global, &claim),
            Self::Delegations { account } => stake::delegations(global, &account),
        }
    }
}

fn ask(global: &Global) -> Result<ValidatorsReport, Exit> {
    with_connection(global, |connection| async move {
        Ok(connection.client.validators().await?)
    })
}

fn list(global: &Global) -> Result<(), Exit> {
    let report = ask(global)?;
    for validator in &report.validators {
        let identity = Digest(validator.identity);
        let is_accused = report
            .evidence
            .iter()
            .any(|evidence| evidence.validator == validator.identity);
        if global.json {
            output::json(&json!({
                "identity": identity.to_string(), "account": validator.account.to_string(), "bonded": validator.bonded.to_string(),
                "seated": validator.seated, "tombstoned": validator.tombstoned, "evidence": is_accused,
            }));
            continue;
        }
        let state = if validator.tombstoned {
            "  tombstoned: it, or a further node of it, voted twice"
        } else if is_accused {
            "  voted twice: see `fairweir validator report`"
        } else if validator.seated {
            ""
        } else {
            "  no seat in this epoch"
        };
        output::line(format!(
            "{identity}  {}  {} coins bonded{state}",
            validator.account, validator.bonded
        ));
    }
    Ok(())
}

fn evidence(global: &Global) -> Result<(), Exit> {
    let report = ask(global)?;
    if report.evidence.iter().next().is_none() {
        output::progress("the node met no double vote that is not punished already");
    }
    for evidence in &report.evidence {
        let text = HEXLOWER.encode(&evidence.encode());
        if global.json {
            let identity = Digest(evidence.validator).to_string();
            output::json(&json!({"validator": identity, "view": evidence.view, "evidence": text}));
        } else {
            output::line(text);
        }
    }
    Ok(())
}

fn report(global: &Global, file: Option<PathBuf>, key: &str) -> Result<(), Exit> {
    let known = match file {
        Some(file) => read(&file)?,
        None => ask(global)?.evidence.into_vec(),
    };
    if known.is_empty() {
        let message = "there is no evidence to show: the node met no double vote that is not punished already";
        return Err(Exit::message(code::REFUSED, message));
    }
    let keys = global.keystore()?;
    with_connection(global, |connection| async move {
        let sender = connection.sender(&keys, key).await?;
        // A line that is refused keeps no other back; the first refusal is the command's end.
        let mut refused = None;
        for evidence in known {
            let identity = Digest(evidence.validator);
            let view = evidence.view;
            let report = Boxed::new(tx::ReportDoubleVote { evidence });
            if let Err(error) = sender.send(Action::ReportDoubleVote(report)).await {
                output::progress(format!("{identity}: {error}"));
                refused = refused.or(Some(error));
                continue;
            }
            if global.json {
                output::json(&json!({"reported": identity.to_string(), "view": view}));
            } else {
                output::line(format!(
                    "{identity} is tombstoned for its votes in view {view}"
                ));
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    })
}

/// Reads lines of evidence.
fn read(file: &std::path::Path) -> Result<Vec<DoubleVote>, Exit> {
    let source: Box<dyn std::io::Read> = if file == std::path::Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    let mut text = String::new();
    source.take(EVIDENCE_BYTES_MAX).read_to_string(&mut text)?;
    let line = |(number, line): (usize, &str)| {
        let bytes = HEXLOWER_PERMISSIVE.decode(line.as_bytes()).ok();
        bytes.and_then(|bytes| decode(&bytes).ok()).ok_or_else(|| {
            let message = format!(
                "line {} is no evidence: `fairweir validator evidence` prints it",
                number + 1
            );
            Exit::message(code::FAILED, message)
        })
    };
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(line)
        .collect()
}
