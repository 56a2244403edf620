//! Candidates, and the stake behind them.

use super::super::{account::resolve, genesis, node::CARD_FILE};
use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
    output,
};
use fairweir_gateway::json;
use fairweir_node::ceremony::ValidatorCard;
use fairweir_types::{Action, Amount, Boxed, Bps, tx};
use serde_json::{Value, json as value};
use std::net::SocketAddr;

/// Which key sends it.
#[derive(Debug, clap::Args)]
pub(crate) struct From {
    /// The name of the key whose account it is.
    #[arg(long, default_value = "buyer", value_name = "NAME")]
    key: String,
}

/// Which key the candidate's account is.
#[derive(Debug, clap::Args)]
pub(crate) struct Itself {
    /// The name of the key whose account it is; of a validator of the genesis the one that its fees go to.
    #[arg(long, default_value = "validator", value_name = "NAME")]
    key: String,
}

/// Become a candidate for seats.
#[derive(Debug, clap::Args)]
pub(crate) struct Register {
    /// What the candidate keeps of the fees of its blocks, in basis points; the rest is for the stake behind it. Those of a further node are its lead's once that one confirmed it.
    #[arg(long, value_name = "BPS", required_unless_present = "lead")]
    commission: Option<u16>,
    /// The coins that it puts behind itself. Those of a further node bind its place, and earn nothing while its lead answers for it; keep some more in its account, for it pays the fee of saying in each epoch that it is there.
    #[arg(long, value_name = "COINS")]
    amount: Amount,
    /// The name of the key that is the validator's identity.
    #[arg(long, default_value = "validator", value_name = "NAME")]
    identity: String,
    /// The name of the key that signs its votes.
    #[arg(long, default_value = "validator-vote", value_name = "NAME")]
    vote: String,
    /// Where its node is reached by those of other validators; without it what this folder's card says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<SocketAddr>,
    /// The candidate of which this is a further node: an address, or the name of one of your keys. It confirms it with `fairweir validator confirm`.
    #[arg(long, value_name = "CANDIDATE")]
    lead: Option<String>,
    #[command(flatten)]
    itself: Itself,
}

/// Confirm that a candidate is a further node of your own, for good: your stake gives it seats, and is slashed if it votes twice.
#[derive(Debug, clap::Args)]
pub(crate) struct Confirm {
    /// The further node's account: an address (fw1…) or the name of one of your keys.
    candidate: String,
    #[command(flatten)]
    itself: Itself,
}

/// Change what a candidate asks, where it is, or whether it stands. What is not said stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// What it keeps of the fees of its blocks from the next epoch on, in basis points.
    #[arg(long, value_name = "BPS")]
    commission: Option<u16>,
    /// Stand for no seats any more; what is behind it stays until it is taken back.
    #[arg(long)]
    stand_down: bool,
    /// Where its node is reached by those of other validators, from the next epoch on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<SocketAddr>,
    #[command(flatten)]
    itself: Itself,
}

/// Stake behind a candidate.
#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// The candidate: an address (fw1…) or the name of one of your keys.
    candidate: String,
    /// How many coins, or shares where they are taken back: a share is a coin until the candidate is slashed.
    amount: Amount,
    #[command(flatten)]
    from: From,
}

/// Move stake from one candidate to another.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The candidate that it leaves: an address or the name of one of your keys.
    leaves: String,
    /// The other.
    joins: String,
    /// How many coins.
    amount: Amount,
    #[command(flatten)]
    from: From,
}

/// Take what a delegation earned.
#[derive(Debug, clap::Args)]
pub(crate) struct Claim {
    /// The candidate: an address or the name of one of your keys.
    candidate: String,
    #[command(flatten)]
    from: From,
}

fn send(global: &Global, key: &str, action: Action, said: &str) -> Result<(), Exit> {
    let keys = global.keystore()?;
    let included = with_connection(global, |connection| async move {
        Ok(connection.sender(&keys, key).await?.send(action).await?)
    })?;
    let (height, tx) = (included.height, included.outcome.tx);
    if global.json {
        output::json(&value!({"tx": tx.to_string(), "height": height.get()}));
    } else {
        output::line(format!("{said} (block {height})"));
    }
    Ok(())
}

/// Where a candidate's node is: as given, or as this folder's card says.
fn peer(global: &Global, given: Option<SocketAddr>) -> Result<SocketAddr, Exit> {
    if let Some(given) = given {
        return Ok(given);
    }
    let card = global.data_dir()?.read(CARD_FILE)?.ok_or_else(|| {
        let message = "this folder has no validator's card: say with --peer ADDRESS:PORT where the candidate's node is reached";
        Exit::message(code::MACHINE, message)
    })?;
    let card = ValidatorCard::parse(&String::from_utf8_lossy(&card)).map_err(genesis::refused)?;
    Ok(card.peer)
}

pub(super) fn register(global: &Global, register: &Register) -> Result<(), Exit> {
    let keys = global.keystore()?;
    let identity = keys.account(&register.identity)?;
    let vote = keys.vote_key(&register.vote)?;
    let account = keys.account(&register.itself.key)?.address();
    let genesis = with_connection(global, |connection| async move {
        Ok(connection.client.genesis().await?.digest())
    })?;
    let signed = tx::RegisterCandidate::sign(
        (genesis, account),
        (&identity, &vote),
        (
            Bps(register.commission.unwrap_or(0).into()),
            register.amount,
            peer(global, register.peer)?,
        ),
    );
    let (signed, said) = match &register.lead {
        None => {
            let said = format!(
                "{account} is a candidate with {} coins of its own",
                register.amount
            );
            (signed, said)
        }
        Some(lead) => {
            let lead = resolve(global, lead)?;
            let said = format!(
                "{account} is to be a further node of {lead}, which confirms it with `fairweir validator confirm {account}`"
            );
            (signed.of(lead), said)
        }
    };
    let action = Action::RegisterCandidate(Boxed::new(signed));
    send(global, &register.itself.key, action, &said)
}

pub(super) fn confirm(global: &Global, confirm: &Confirm) -> Result<(), Exit> {
    let node = resolve(global, &confirm.candidate)?;
    let action = Action::ConfirmNode(tx::ConfirmNode { node });
    let said = format!("{node} is a further node of {}", confirm.itself.key);
    send(global, &confirm.itself.key, action, &said)
}

pub(super) fn update(global: &Global, update: &Update) -> Result<(), Exit> {
    let stands = !update.stand_down;
    let account = global.keystore()?.account(&update.itself.key)?.address();
    let report = with_connection(global, |connection| async move {
        Ok(connection.client.candidates().await?)
    })?;
    // Only those that stand are told of.
    let known = report
        .candidates
        .iter()
        .find(|found| found.candidate == account);
    let commission = update.commission.map(|bps| Bps(u64::from(bps)));
    let commission = commission.or(known.map(|known| known.next_commission));
    let action = Action::UpdateCandidate(tx::UpdateCandidate {
        commission: commission.ok_or_else(|| {
            let message = format!("{account} does not stand: say its --commission");
            Exit::message(code::MACHINE, message)
        })?,
        stands,
        peer: match update
            .peer
            .map(Into::into)
            .or(known.map(|known| known.peer))
        {
            Some(peer) => peer,
            None => peer(global, None)?.into(),
        },
    });
    let said = if stands {
        "stands for seats"
    } else {
        "stands for no seats"
    };
    let said = format!("{} {said}", update.itself.key);
    send(global, &update.itself.key, action, &said)
}

pub(super) fn delegate(global: &Global, change: &Change) -> Result<(), Exit> {
    let candidate = resolve(global, &change.candidate)?;
    let amount = change.amount;
    let action = Action::DelegateStake(tx::DelegateStake { candidate, amount });
    let said = format!("{amount} coins are behind {candidate}");
    send(global, &change.from.key, action, &said)
}

pub(super) fn undelegate(global: &Global, change: &Change) -> Result<(), Exit> {
    let candidate = resolve(global, &change.candidate)?;
    let shares = change.amount;
    let action = Action::UndelegateStake(tx::UndelegateStake { candidate, shares });
    let said = format!("{shares} shares are on their way back from {candidate}");
    send(global, &change.from.key, action, &said)
}

pub(super) fn redelegate(global: &Global, change: &Move) -> Result<(), Exit> {
    let from = resolve(global, &change.leaves)?;
    let to = resolve(global, &change.joins)?;
    let amount = change.amount;
    let action = Action::RedelegateStake(tx::RedelegateStake { from, to, amount });
    let said = format!("{amount} coins moved to {to}, where they stay for a while");
    send(global, &change.from.key, action, &said)
}

pub(super) fn claim(global: &Global, claim: &Claim) -> Result<(), Exit> {
    let candidate = resolve(global, &claim.candidate)?;
    let action = Action::ClaimRewards(tx::ClaimRewards { candidate });
    let said = format!("what {candidate} earned for {} is paid", claim.from.key);
    send(global, &claim.from.key, action, &said)
}

/// Shows the seats, and who stands for them.
pub(super) fn candidates(global: &Global) -> Result<(), Exit> {
    let report = with_connection(global, |connection| async move {
        Ok(connection.client.candidates().await?)
    })?;
    if global.json {
        output::json(&json::candidates(&report));
        return Ok(());
    }
    output::line(format!(
        "epoch {} until block {}; {} coins stand that said in it that they are ready, {} that did not yet; seats follow stake from {} ready coins and {} ready candidates on, if they are more than two thirds",
        report.epoch, report.ends, report.stake, report.absent, report.stake_min, report.seats_min
    ));
    output::line(format!(
        "seats are {}; the same validators have had them since epoch {}",
        if report.by_stake {
            "given by stake"
        } else {
            "those of before: too few were ready, with too little stake or too small a part of it, or withdrawals were halted"
        },
        report.since
    ));
    for seat in &report.seats {
        let identity = fairweir_types::Digest(seat.validator);
        output::line(format!("{identity}  a seat, for {} coins", seat.stake));
    }
    for found in &report.candidates {
        let ready = match (found.jailed_until, found.is_ready) {
            (None, true) => "ready".to_owned(),
            (None, false) => "not ready".to_owned(),
            (Some(until), true) => format!("ready, jailed until epoch {until} is over"),
            (Some(until), false) => format!("not ready, jailed until epoch {until} is over"),
        };
        let next = if found.seat_next { "a seat" } else { "no seat" };
        let lead = match (found.lead, found.is_confirmed) {
            (None, _) => String::new(),
            (Some(lead), true) => format!("; a further node of {lead}"),
            (Some(lead), false) => format!("; a further node of {lead} once that one confirms it"),
        };
        output::line(format!(
            "{}  {} coins behind it, {} its own, keeps {} basis points; at {}, {ready}, {next} next{lead}",
            found.candidate, found.stake, found.own, found.commission, found.peer
        ));
    }
    Ok(())
}

/// Shows what an account has behind candidates.
pub(super) fn delegations(global: &Global, account: &str) -> Result<(), Exit> {
    let delegator = resolve(global, account)?;
    let report = with_connection(global, |connection| async move {
        Ok(connection.client.delegations(delegator).await?)
    })?;
    if global.json {
        let all: Vec<Value> = report.delegations.iter().map(json::delegation).collect();
        output::json(&value!({"delegator": delegator.to_string(), "delegations": all}));
        return Ok(());
    }
    if report.delegations.is_empty() {
        output::progress(format!("{account} has nothing behind a candidate"));
    }
    for known in &report.delegations {
        let state = if known.tombstoned {
            "  tombstoned: it can only leave"
        } else {
            ""
        };
        output::line(format!(
            "{}  {} shares worth {} coins, {} of them moved, {} coins to claim{state}",
            known.candidate, known.shares, known.worth, known.moved, known.rewards
        ));
    }
    Ok(())
}
