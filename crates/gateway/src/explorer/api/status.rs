//! What index and network are doing, and accounts with what they have now.

use super::{Explorer, Pairs, Shared, failure::Failure, parameters};
use crate::{
    explorer::{error::IndexError, records::Account, store::Item},
    server::json_response,
};
use axum::{
    extract::{Query, State},
    response::Response,
};
use fairweir_types::{Address, Digest, event::Seat, node_api};
use serde::Serialize;
use utoipa::ToSchema;

/// How far the index is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexStatus {
    /// The newest block in it; 0 is the genesis.
    height: u64,
    /// That block's digest; empty at the genesis.
    digest: String,
    /// What stands in the way of following the chain now, if anything does.
    trouble: Option<String>,
}

/// Where all money is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Supply {
    genesis: String,
    minted: String,
    burned: String,
    balances: String,
    bonded: String,
    unbonding: String,
    escrow: String,
    /// Whether every base unit is accounted for.
    conserved: bool,
}

/// What buyers have locked, against what a third of the seats costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Secured {
    /// What orders hold.
    locked: String,
    /// The stake behind the cheapest third of the seats; null while seats are not given by stake.
    third_of_seats: Option<String>,
    /// The governed share of it that orders may hold.
    share_bps: u64,
    /// How much more may be locked; null while that is not bounded.
    room: Option<String>,
}

/// What the ledger found of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    /// An invariant that is known not to hold; null while all sums hold.
    broken: Option<String>,
    /// The block that halted withdrawals; null while they go on.
    halted: Option<u64>,
    /// How often the whole state was read.
    readings: u64,
    /// The block at which that was last done.
    ended: u64,
}

/// Which rules are in force, and which are to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rules {
    /// The first block of those that are planned; null while none are.
    planned: Option<u64>,
    /// The blob digest of their plan.
    plan: Option<String>,
    /// Whether the node's program has it.
    known: bool,
    /// How often rules have changed.
    begun: u16,
}

/// What the node says of the network.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NetworkStatus {
    height: u64,
    time_ms: u64,
    validators: u16,
    offers: u32,
    verifiers: u32,
    open_orders: u32,
    /// Transactions that wait.
    mempool: u32,
    supply: Supply,
    secured: Secured,
    audit: Audit,
    rules: Rules,
    /// The version of the node's program.
    version: String,
}

/// What index and network are doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    chain_id: String,
    /// The digest of the genesis.
    genesis: String,
    index: IndexStatus,
    /// Null while the node does not answer.
    network: Option<NetworkStatus>,
    /// The version of the explorer's program.
    version: String,
}

/// Who has a seat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeatNow {
    /// The identity of the validator.
    validator: String,
    /// The stake that it was given for, or that stands behind it; 0 for a validator of the genesis without any.
    stake: String,
}

/// Who stands for seats.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CandidateNow {
    /// Its account.
    candidate: String,
    /// The identity of its node.
    validator: String,
    /// What it keeps of the fees of its blocks.
    commission_bps: u64,
    /// What of the stake behind it is its own.
    own: String,
    /// All stake behind it that counts.
    stake: String,
    /// Where its node is reached.
    peer: String,
    /// Whether it said in this epoch that its node is there.
    ready: bool,
    /// Whether it would have a seat in the next epoch if this one ended now, by the jails that there are.
    seat_next: bool,
    /// The last epoch for which it is jailed, because it had a seat and made no block in a whole epoch; null if it is not in the next.
    jailed_until: Option<u64>,
    /// The candidate of which it is a further node; null if it is none.
    lead: Option<String>,
    /// Whether that one confirmed it: before, stake gives it no seat.
    confirmed: bool,
}

/// The seats of this epoch, and who stands for those of the next.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EpochNow {
    epoch: u64,
    /// Its last block.
    ends: u64,
    /// Whether stake gave the seats.
    by_stake: bool,
    /// The epoch since which the same validators have them.
    since: u64,
    seats: Vec<SeatNow>,
    /// The stake behind candidates that are ready.
    stake: String,
    /// That behind those that did not say so, yet.
    absent: String,
    /// How much the first must be for seats to follow stake.
    stake_min: String,
    /// How many candidates must be ready for that.
    seats_min: u16,
    candidates: Vec<CandidateNow>,
}

/// The seats, as the node says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seats {
    /// Null while the node does not answer.
    now: Option<EpochNow>,
}

fn epoch(report: &node_api::CandidatesReport) -> EpochNow {
    let candidate = |found: &node_api::CandidateReport| CandidateNow {
        candidate: found.candidate.to_string(),
        validator: Digest(found.validator).to_string(),
        commission_bps: found.commission.get(),
        own: found.own.to_string(),
        stake: found.stake.to_string(),
        peer: found.peer.to_string(),
        ready: found.is_ready,
        seat_next: found.seat_next,
        jailed_until: found.jailed_until,
        lead: found.lead.map(|lead| lead.to_string()),
        confirmed: found.is_confirmed,
    };
    let seat = |seat: &Seat| SeatNow {
        validator: Digest(seat.validator).to_string(),
        stake: seat.stake.to_string(),
    };
    EpochNow {
        epoch: report.epoch,
        ends: report.ends.get(),
        by_stake: report.by_stake,
        since: report.since,
        seats: report.seats.iter().map(seat).collect(),
        stake: report.stake.to_string(),
        absent: report.absent.to_string(),
        stake_min: report.stake_min.to_string(),
        seats_min: report.seats_min,
        candidates: report.candidates.iter().map(candidate).collect(),
    }
}

/// What an account has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Holdings {
    balance: String,
    nonce: String,
    /// Slashable stake.
    bonded: String,
    /// Stake on its way back, still slashable.
    unbonding: String,
    /// Stake that covers open work.
    exposure: String,
}

/// An account, with what it has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountNow {
    #[serde(flatten)]
    account: Account,
    /// As the node says; null while it does not answer.
    now: Option<Holdings>,
}

fn network(status: &node_api::Status) -> NetworkStatus {
    let (supply, secured) = (&status.supply, &status.secured);
    let (audit, rules) = (&status.audit, &status.rules);
    NetworkStatus {
        height: status.header.height.get(),
        time_ms: status.header.time.get(),
        validators: status.validators,
        offers: status.offers,
        verifiers: status.verifiers,
        open_orders: status.open_orders,
        mempool: status.mempool,
        supply: Supply {
            genesis: supply.genesis.to_string(),
            minted: supply.minted.to_string(),
            burned: supply.burned.to_string(),
            balances: supply.balances.to_string(),
            bonded: supply.bonded.to_string(),
            unbonding: supply.unbonding.to_string(),
            escrow: supply.escrow.to_string(),
            conserved: supply.is_conserved(),
        },
        secured: Secured {
            locked: secured.locked.to_string(),
            third_of_seats: secured.third.map(|third| third.to_string()),
            share_bps: secured.share.get(),
            room: secured.room().map(|room| room.to_string()),
        },
        audit: Audit {
            broken: audit.broken.map(|invariant| invariant.name().to_owned()),
            halted: audit.halt.map(|halt| halt.halted.get()),
            readings: audit.readings,
            ended: audit.ended.get(),
        },
        rules: Rules {
            planned: rules.planned.map(|planned| planned.height.get()),
            plan: rules.planned.map(|planned| planned.plan.to_string()),
            known: rules.knows,
            begun: rules.begun,
        },
        version: status.version.as_str().to_owned(),
    }
}

fn json<T: Serialize>(value: &T) -> Result<Response, Failure> {
    let text = serde_json::to_string(value).map_err(IndexError::from)?;
    Ok(json_response(text))
}

pub(super) async fn status(
    State(explorer): Shared,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Failure> {
    parameters(pairs, &[])?;
    let tip = explorer.index.tip().await?;
    let (chain_id, genesis) = explorer.chain.clone();
    json(&Status {
        chain_id,
        genesis,
        index: IndexStatus {
            height: tip.height,
            digest: tip.digest,
            trouble: explorer.following.trouble(),
        },
        network: explorer.live.status().await.as_ref().map(network),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

pub(super) async fn seats(
    State(explorer): Shared,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Failure> {
    parameters(pairs, &[])?;
    let now = explorer.live.candidates().await;
    json(&Seats {
        now: now.as_ref().map(epoch),
    })
}

pub(super) async fn account(
    explorer: &Explorer,
    found: Item,
    address: &str,
) -> Result<Response, Failure> {
    let account: Account = serde_json::from_str(&found.record).map_err(IndexError::from)?;
    let now = match address.parse::<Address>() {
        Ok(address) => explorer.live.account(address).await,
        Err(_) => None,
    };
    let now = now.map(|report| Holdings {
        balance: report.balance.to_string(),
        nonce: report.nonce.to_string(),
        bonded: report.bonded.to_string(),
        unbonding: report.unbonding.to_string(),
        exposure: report.exposure.to_string(),
    });
    json(&AccountNow { account, now })
}
