//! Views of the state for nodes to hand out.

use crate::{
    bank, delegates,
    fault::{Fault, present},
    keys, market,
    params::Params,
    registry::{OfferRecord, VerifierRecord, counters},
    stake,
    state::{State, load, scan},
};
use fairweir_types::{
    Address, BoundedText, BoundedVec, Height,
    limits::RECORD_PAGE_MAX,
    node_api::{
        AccountReport, ORDINARY_TX_BYTES, OfferPage, OfferReport, OrderReport, SlotReport,
        VerifierReport,
    },
    order::{KindId, OrderId, SlotId},
    tx::EnrolVerifier,
};

/// An account.
///
/// # Errors
/// [`Fault`].
pub fn account(state: &dyn State, address: Address) -> Result<AccountReport, Fault> {
    let account = bank::account(state, address)?;
    let staked = stake::stake(state, address)?;
    Ok(AccountReport {
        address,
        balance: account.balance,
        nonce: account.nonce,
        bonded: staked.bonded,
        unbonding: staked.unbonding,
        exposure: staked.exposure,
        fee_min: Params::load(state)?.fee_min(ORDINARY_TX_BYTES),
        verifies: load::<VerifierRecord>(state, &keys::verifier(address))?.map(|record| {
            let newest = *record.newest_chain();
            VerifierReport {
                enrolment: EnrolVerifier {
                    owner: record.owner,
                    kinds: record.kinds,
                    seal_key: record.seal_key,
                    hash_chain: newest.hash_chain,
                },
                links_left: newest.links_left(),
            }
        }),
        delegates: BoundedVec::truncating(delegates::of_owner(state, address)?),
    })
}

/// A page of listed offers of a kind, from a worker's address on.
///
/// # Errors
/// [`Fault`].
pub fn offers(state: &dyn State, kind: KindId, from: Address) -> Result<OfferPage, Fault> {
    let (from, to) = keys::offers_from(kind, from);
    let mut page = OfferPage::default();
    for (key, record) in scan::<OfferRecord>(state, &from, &to, RECORD_PAGE_MAX)? {
        if !record.listed {
            continue;
        }
        let worker = present(keys::worker_of_offer(&key), "worker in an offer's key")?;
        let report = OfferReport {
            worker,
            offer: record.offer,
            open: record.open,
        };
        page.offers.push(report).map_err(|_| Fault::Counter {
            what: "offers of a page",
        })?;
    }
    Ok(page)
}

/// An open order.
///
/// # Errors
/// [`Fault`].
pub fn order(state: &dyn State, id: OrderId) -> Result<Option<OrderReport>, Fault> {
    let Some(order) = market::order(state, id)? else {
        return Ok(None);
    };
    let mut slots = BoundedVec::default();
    for slot in 0..order.header.slots {
        let slot_id = SlotId { order: id, slot };
        let Some(record) = market::slot(state, slot_id)? else {
            continue;
        };
        let phase = BoundedText::truncating(record.phase.name());
        let report = SlotReport {
            slot_id,
            phase,
            worker: record.worker,
            due: record.timer.time,
            receipt: record.receipt,
        };
        slots.push(report).map_err(|_| Fault::Counter {
            what: "slots of an order",
        })?;
    }
    Ok(Some(OrderReport {
        order: id,
        buyer: order.buyer,
        posted: order.posted,
        slots,
    }))
}

/// The block of the oldest match or draw that still waits for an account. Reads all open slots.
///
/// # Errors
/// [`Fault`].
pub fn duty_since(state: &dyn State, account: Address) -> Result<Option<Height>, Fault> {
    let slots = crate::invariants::open_slots(state)?;
    Ok(slots
        .iter()
        .filter_map(|(_, slot)| slot.duty_of(account))
        .min())
}

/// How many offers, verifiers and open orders there are.
///
/// # Errors
/// [`Fault`].
pub fn counts(state: &dyn State) -> Result<(u32, u32, u32), Fault> {
    let counters = counters(state)?;
    Ok((counters.offers, counters.verifiers, counters.open_orders))
}
