//! What a block does to the index: blocks, transactions, accounts, and then event by event.

mod governance;
mod orders;
mod services;
mod sessions;

use crate::{
    explorer::{
        api::cursor,
        error::IndexError,
        records::{self, Account, Demand, Enrolment, KnownKind, Node, Offer, Prices, Slash, Units},
        store::Writing,
        tables::{ACCOUNT_EVENTS, OF_TRANSACTION, seq},
    },
    json,
};
use fairweir_client::{FinalBlock, orders::slot_of};
use fairweir_types::{
    Action, Address, Amount, Event, Genesis, SignedTx, TxOutcome, catalogue,
    order::{self, PriceVector, SlotId, UnitVector},
    tx,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Where in the chain a record comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) position: usize,
}

impl Place {
    pub(crate) fn seq(&self, sub: usize) -> Result<i64, IndexError> {
        seq(self.height, self.position, sub)
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(crate) fn units(units: &UnitVector) -> Units {
    Units {
        input: units.input.to_string(),
        cached_input: units.cached_input.to_string(),
        output: units.output.to_string(),
        time: units.time.to_string(),
    }
}

pub(crate) fn prices(prices: &PriceVector) -> Prices {
    Prices {
        input: prices.input.to_string(),
        cached_input: prices.cached_input.to_string(),
        output: prices.output.to_string(),
        time: prices.time.to_string(),
    }
}

pub(crate) fn demand(demand: &order::Demand) -> Demand {
    Demand {
        units: units(&demand.units),
        bytes_in: demand.bytes_in.to_string(),
        bytes_out_max: demand.bytes_out_max.to_string(),
        memory_bytes_max: demand.memory_max.to_string(),
        execution_ms_max: demand.execution_max.to_string(),
    }
}

pub(crate) fn names<const MAX: usize>(
    names: &fairweir_types::BoundedVec<order::Name, MAX>,
) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

/// What the genesis tells: who had what.
pub(crate) async fn genesis(writing: &mut Writing, genesis: &Genesis) -> Result<(), IndexError> {
    for (position, account) in genesis.accounts.iter().enumerate() {
        let row = Account {
            address: account.address.to_string(),
            height: 0,
            last_height: 0,
            genesis_balance: account.balance.to_string(),
            transactions: 0,
        };
        writing.insert(seq(0, position, 0)?, &row).await?;
    }
    services::genesis(writing, genesis).await
}

/// Takes a block.
pub(crate) async fn block(writing: &mut Writing, block: &FinalBlock) -> Result<(), IndexError> {
    let header = &block.block.header;
    let (height, time_ms) = (header.height.get(), header.time.get());
    let row = records::Block {
        height,
        digest: block.digest.to_string(),
        parent: header.parent.to_string(),
        time_ms,
        proposer: fairweir_types::Digest(header.proposer).to_string(),
        view: header.view,
        transactions: count(block.block.transactions.len()),
        events: count(block.events.len()),
        transactions_root: header.transactions_root.to_string(),
        outcomes_root: header.outcomes_root.to_string(),
        events_root: header.events_root.to_string(),
        state_root: header.state_root.to_string(),
    };
    writing.insert(seq(height, 0, 0)?, &row).await?;
    let place = |position| Place {
        height,
        time_ms,
        position,
    };
    let transactions = block.block.transactions.iter().zip(&block.outcomes);
    for (position, (signed, outcome)) in transactions.enumerate() {
        transaction(writing, place(position), signed, outcome).await?;
    }
    for (position, done) in block.events.iter().enumerate() {
        event(writing, place(position), done).await?;
    }
    Ok(())
}

async fn transaction(
    writing: &mut Writing,
    place: Place,
    signed: &SignedTx,
    outcome: &TxOutcome,
) -> Result<(), IndexError> {
    let transaction = &signed.transaction;
    let sender = transaction.sender.address();
    let row = records::Transaction {
        id: outcome.tx.to_string(),
        height: place.height,
        position: count(place.position),
        time_ms: place.time_ms,
        sender: sender.to_string(),
        nonce: transaction.nonce.to_string(),
        fee: transaction.fee.to_string(),
        action: transaction.action.name().to_owned(),
        done: outcome.is_done(),
        code: outcome.code.0,
        reason: outcome.reason.as_str().to_owned(),
    };
    writing.insert(place.seq(0)?, &row).await?;
    told_of(writing, place, OF_TRANSACTION, sender, 1).await?;
    // Events of these name only who and what kind: the words themselves stand in the transaction.
    match &transaction.action {
        Action::RegisterOffer(register) if outcome.is_done() => {
            offer(writing, place, sender, &register.offer).await
        }
        Action::EnrolVerifier(enrol) if outcome.is_done() => {
            enrolled(writing, place, sender, enrol).await
        }
        _ => Ok(()),
    }
}

/// Notes that a block tells of an account.
async fn told_of(
    writing: &mut Writing,
    place: Place,
    sub: usize,
    address: Address,
    transactions: u64,
) -> Result<(), IndexError> {
    let address = address.to_string();
    if let Some((seq, mut row)) = writing.find::<Account>("address", &address).await? {
        row.last_height = place.height;
        row.transactions = row.transactions.saturating_add(transactions);
        return writing.update(seq, &row).await;
    }
    let row = Account {
        address,
        height: place.height,
        last_height: place.height,
        genesis_balance: Amount::ZERO.to_string(),
        transactions,
    };
    writing.insert(place.seq(sub)?, &row).await
}

/// Changes the row of a node, which is made with the first change.
pub(crate) async fn change_node(
    writing: &mut Writing,
    place: Place,
    address: Address,
    change: impl FnOnce(&mut Node),
) -> Result<(), IndexError> {
    let address = address.to_string();
    if let Some((seq, mut row)) = writing.find::<Node>("address", &address).await? {
        change(&mut row);
        return writing.update(seq, &row).await;
    }
    let mut row = Node {
        address,
        height: place.height,
        offers: 0,
        verifier: None,
        matched: 0,
        settled: 0,
        replaced: 0,
        verdicts: 0,
        slashes: 0,
    };
    change(&mut row);
    writing.insert(place.seq(OF_TRANSACTION)?, &row).await
}

async fn offer(
    writing: &mut Writing,
    place: Place,
    worker: Address,
    offer: &order::Offer,
) -> Result<(), IndexError> {
    let row = Offer {
        offer: format!("{worker}:{}", offer.kind),
        worker: worker.to_string(),
        kind: offer.kind.0,
        versions: vec![offer.versions.oldest, offer.versions.newest],
        height: place.height,
        state: "registered".to_owned(),
        owner: offer.owner.to_string(),
        digest: offer.digest.to_string(),
        prices: prices(&offer.prices),
        capacity: offer.capacity,
        collateral: offer.collateral.to_string(),
        demand_max: demand(&offer.demand_max),
        level: offer.level,
        capabilities: names(&offer.capabilities),
        region: offer.region.as_ref().map(|name| name.as_str().to_owned()),
        privacy_max: json::snake(offer.privacy_max),
    };
    let found = writing.find::<Offer>("offer_id", &row.offer).await?;
    let is_more = found
        .as_ref()
        .is_none_or(|(_, before)| before.state != row.state);
    match found {
        Some((seq, _)) => writing.update(seq, &row).await?,
        None => writing.insert(place.seq(0)?, &row).await?,
    }
    change_node(writing, place, worker, |node| {
        node.offers = node.offers.saturating_add(u64::from(is_more));
    })
    .await
}

async fn enrolled(
    writing: &mut Writing,
    place: Place,
    verifier: Address,
    enrol: &tx::EnrolVerifier,
) -> Result<(), IndexError> {
    let enrolment = Enrolment {
        height: place.height,
        owner: enrol.owner.to_string(),
        kinds: enrol.kinds.iter().map(known_kind).collect(),
    };
    change_node(writing, place, verifier, |node| {
        node.verifier = Some(enrolment);
    })
    .await
}

fn known_kind(known: &catalogue::KnownKind) -> KnownKind {
    KnownKind {
        kind: known.kind.0,
        versions: vec![known.versions.oldest, known.versions.newest],
    }
}

async fn event(writing: &mut Writing, place: Place, event: &Event) -> Result<(), IndexError> {
    let mut data = json::event(event);
    let slot = slot_of(event);
    if let Some(data) = data.as_object_mut() {
        for name in ["event", "order", "slot"] {
            data.remove(name);
        }
    }
    let order = match event {
        Event::OrderPosted(event) => Some(event.order),
        Event::ToppedUp(event) => Some(event.order),
        Event::OrderClosed(event) => Some(event.order),
        _ => slot.map(|slot_id| slot_id.order),
    };
    let row = records::Event {
        cursor: cursor::write(place.seq(0)?),
        height: place.height,
        position: count(place.position),
        time_ms: place.time_ms,
        event: json::event_name(event).to_owned(),
        order: order.map(|order| order.to_string()),
        slot: slot.map(json::slot_name),
        data,
    };
    writing.insert(place.seq(0)?, &row).await?;
    for (sub, account) in accounts_of(&row.data).into_iter().enumerate() {
        // More accounts than a row can number cannot be in one event: candidates, verifiers and payments have limits.
        writing
            .insert_raw(
                &ACCOUNT_EVENTS,
                place.seq(sub)?,
                vec![account.to_string()],
                String::new(),
            )
            .await?;
        told_of(writing, place, sub, account, 0).await?;
    }
    happened(writing, place, event).await
}

/// The accounts that an event names, wherever it names them.
fn accounts_of(data: &Value) -> BTreeSet<Address> {
    let mut accounts = BTreeSet::new();
    let mut left = vec![data];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => accounts.extend(text.parse::<Address>().ok()),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    accounts
}

async fn happened(writing: &mut Writing, place: Place, event: &Event) -> Result<(), IndexError> {
    match event {
        Event::Transferred(_)
        | Event::Bonded(_)
        | Event::Unbonding(_)
        | Event::Unbonded(_)
        | Event::OfferRegistered(_)
        | Event::VerifierEnrolled(_)
        | Event::VerdictCommitted(_)
        | Event::DelegateGranted(_)
        | Event::DelegateRevoked(_)
        | Event::ValidatorTombstoned(_)
        | Event::CandidateRegistered(_)
        | Event::CandidateUpdated(_)
        | Event::StakeDelegated(_)
        | Event::StakeUndelegated(_)
        | Event::StakeReturned(_)
        | Event::Redelegated(_)
        | Event::RedelegationSlashed(_)
        | Event::RewardsClaimed(_)
        | Event::VoteReturned(_)
        | Event::EpochBegan(_)
        | Event::CandidateJailed(_)
        | Event::CandidateReleased(_)
        | Event::NodeConfirmed(_) => Ok(()),
        Event::ServiceSet(event) => services::set(writing, place, event).await,
        Event::ProposalSubmitted(_)
        | Event::DepositAdded(_)
        | Event::VotingStarted(_)
        | Event::Voted(_)
        | Event::VoteOverridden(_)
        | Event::ProposalPassed(_)
        | Event::MotionAnswered(_)
        | Event::MotionAppealed(_)
        | Event::ProposalEnded(_)
        | Event::ParamChanged(_)
        | Event::TreasurySpent(_)
        | Event::Penalised(_)
        | Event::ModulePaused(_)
        | Event::ModuleResumed(_)
        | Event::UpgradePlanned(_)
        | Event::UpgradeBegan(_)
        | Event::WithdrawalsHalted(_)
        | Event::WithdrawalsResumed(_) => governance::happened(writing, place, event).await,
        Event::OfferWithdrawn(event) => {
            let key = format!("{}:{}", event.worker, event.kind);
            writing
                .change::<Offer>("offer_id", &key, |offer| {
                    "withdrawn".clone_into(&mut offer.state);
                    Ok(())
                })
                .await?;
            change_node(writing, place, event.worker, |node| {
                node.offers = node.offers.saturating_sub(1);
            })
            .await
        }
        Event::VerifierLeft(event) => {
            change_node(writing, place, event.verifier, |node| node.verifier = None).await
        }
        Event::Slashed(event) => {
            let row = Slash {
                account: event.account.to_string(),
                slot: json::slot_name(event.slot_id),
                height: place.height,
                time_ms: place.time_ms,
                reason: json::snake(event.reason),
                amount: event.amount.to_string(),
                to_buyer: event.to_buyer.to_string(),
                to_reporters: event.to_reporters.to_string(),
                to_verifiers: event.to_verifiers.to_string(),
                burned: event.burned.to_string(),
            };
            writing.insert(place.seq(0)?, &row).await?;
            change_node(writing, place, event.account, |node| {
                node.slashes = node.slashes.saturating_add(1);
            })
            .await
        }
        Event::LaneOpened(_)
        | Event::LaneToppedUp(_)
        | Event::SharingDue(_)
        | Event::LeavesShared(_)
        | Event::LaneClosing(_)
        | Event::LaneClosed(_)
        | Event::BatchPosted(_)
        | Event::LinkDue(_)
        | Event::LinkRevealed(_)
        | Event::NothingDrawn(_)
        | Event::SampleChosen(_)
        | Event::LeavesDue(_)
        | Event::LeavesShown(_)
        | Event::BatchSettled(_) => sessions::happened(writing, place, event).await,
        _ => orders::happened(writing, place, event).await,
    }
}

/// Changes the row of a slot.
pub(crate) async fn change_slot(
    writing: &mut Writing,
    place: Place,
    slot_id: SlotId,
    state: &str,
    change: impl FnOnce(&mut records::Slot),
) -> Result<(), IndexError> {
    writing
        .change::<records::Slot>("slot_id", &json::slot_name(slot_id), |slot| {
            state.clone_into(&mut slot.state);
            slot.last_height = place.height;
            change(slot);
            Ok(())
        })
        .await
}
