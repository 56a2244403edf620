//! Drawing verifiers by stake.

use crate::{
    execution::Execution,
    fault::{Fault, counted, present},
    keys,
    market::{Drawn, Phase, Slot, begin_window, order, seed},
    params::{count, money},
    registry::VerifierRecord,
    sessions, stake,
    state::scan,
};
use fairweir_types::{
    Address, BoundedVec, Boxed, Digest, Event, Millis,
    digest::Domain,
    event::{RefundReason, Understaffed, VerifiersDrawn},
    limits::VERIFIERS_MAX,
    order::SlotId,
    receipt::Tier,
};

/// Draws the verifiers that a slot waits for; refunds it when too few are eligible.
pub(crate) fn draw(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
) -> Result<(), Fault> {
    let tier = if slot.phase == Phase::AwaitingDraw {
        Tier::First
    } else {
        Tier::Dispute
    };
    match choose(execution, slot_id, slot, tier)? {
        None => Ok(()),
        // What a batch's worker showed was for the first draw alone.
        Some(slot) if slot.batch.is_some() => sessions::begin_sharing(execution, slot_id, slot),
        Some(slot) => begin_commit(execution, slot_id, slot, tier),
    }
}

/// Chooses the verifiers of a draw; `None` when too few are eligible, and the slot was refunded, or paid because its buyer had challenged it.
pub(crate) fn choose(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    tier: Tier,
) -> Result<Option<Slot>, Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let (needed, purpose): (u64, &[u8]) = match tier {
        Tier::First => (order.terms.over(&execution.params).first_draw, b"first"),
        Tier::Dispute => (execution.params.dispute_draw, b"dispute"),
    };
    let pool = eligible(execution, &order, &slot)?;
    if pool.len() < count(needed) {
        execution.emit(Event::DisputeUnderstaffed(Understaffed {
            slot_id,
            needed: u16::try_from(needed).unwrap_or(u16::MAX),
            eligible: u16::try_from(pool.len()).unwrap_or(u16::MAX),
        }));
        super::judge::leave_open(execution, slot_id, slot, RefundReason::Understaffed)?;
        return Ok(None);
    }
    let seed = seed(execution, purpose, slot_id, slot.attempt);
    for verifier in draw_by_stake(pool, count(needed), &seed)? {
        let key = keys::verifier(verifier);
        let record: VerifierRecord = present(
            execution.overlay.load(&key)?,
            "record of a verifier in the pool",
        )?;
        let drawn = Drawn {
            verifier,
            seal_key: record.seal_key,
            commitment: None,
            trace: None,
        };
        slot.draw_of(tier).push(drawn).map_err(|_| Fault::Counter {
            what: "drawn verifiers",
        })?;
    }
    slot.randomness = execution.randomness;
    Ok(Some(slot))
}

/// From here on the verifiers of a draw commit.
pub(crate) fn begin_commit(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    tier: Tier,
) -> Result<(), Fault> {
    let verifiers: Vec<_> = slot.draw_of(tier).iter().map(|one| one.verifier).collect();
    slot.drawn = execution.context.height;
    let randomness = slot.randomness;
    let window = execution.params.commit_window;
    let due = begin_window(
        execution,
        slot_id,
        &mut slot,
        (super::committing(tier), window),
    )?;
    execution.emit(Event::VerifiersDrawn(Boxed::new(VerifiersDrawn {
        slot_id,
        tier,
        verifiers: BoundedVec::truncating(verifiers),
        due,
        within: Millis(window),
        randomness,
    })));
    Ok(())
}

/// Verifiers that may judge a slot, with their stake: bonded, for the version of its kind, and no party, owner of a party or judge before.
fn eligible(
    execution: &Execution<'_>,
    order: &crate::market::Order,
    slot: &Slot,
) -> Result<Vec<(Address, u64)>, Fault> {
    let worker = slot.assigned()?;
    let delegate = order
        .header
        .open_rounds()
        .and_then(|rounds| rounds.delegate);
    let parties: Vec<Address> = [order.buyer, worker, slot.worker_owner]
        .into_iter()
        .chain(delegate)
        .collect();
    let min = money(execution.params.verifier_stake_min);
    let (from, to) = keys::verifiers();
    let mut pool = Vec::new();
    for (key, record) in scan::<VerifierRecord>(&execution.overlay, &from, &to, VERIFIERS_MAX)? {
        let verifier = present(keys::address_of(&key), "address in a verifier's key")?;
        let is_party = parties.contains(&verifier) || parties.contains(&record.owner);
        let judged_before = slot.first.iter().any(|drawn| drawn.verifier == verifier);
        let header = &order.header;
        let knows = record
            .kinds
            .iter()
            .any(|known| known.kind == header.kind && known.versions.include(header.version));
        if is_party || judged_before || !knows {
            continue;
        }
        let bonded = stake::stake(&execution.overlay, verifier)?.bonded;
        if bonded >= min {
            pool.push((verifier, bonded.base_units()));
        }
    }
    Ok(pool)
}

/// Draws `needed` of the pool without putting back, each with a probability proportional to its stake.
///
/// A lot is a 64-bit number scaled by the total stake: the bias is below total ÷ 2^64.
fn draw_by_stake(
    mut pool: Vec<(Address, u64)>,
    needed: usize,
    seed: &Digest,
) -> Result<Vec<Address>, Fault> {
    let mut drawn = Vec::new();
    for number in (0u64..).take(needed) {
        let total = pool
            .iter()
            .try_fold(0u64, |sum, (_, stake)| sum.checked_add(*stake));
        let total = counted(total, "stake of the pool")?;
        let lot = Digest::of(Domain::Draw, &[seed.as_bytes(), &number.to_be_bytes()]).leading_u64();
        let scaled =
            counted(u128::from(lot).checked_mul(u128::from(total)), "lot")?.wrapping_shr(64);
        let mut target = u64::try_from(scaled).unwrap_or(u64::MAX);
        let position = pool
            .iter()
            .position(|(_, stake)| match target.checked_sub(*stake) {
                Some(rest) => {
                    target = rest;
                    false
                }
                None => true,
            });
        let position = present(position, "verifier under the lot")?;
        let (verifier, _) = pool.remove(position);
        drawn.push(verifier);
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stake_decides_how_often_a_verifier_is_drawn() {
        let pool: Vec<_> = (1..=4u8)
            .map(|number| (Address([number; 20]), u64::from(number) * 100))
            .collect();
        let mut counts = [0u32; 5];
        for number in 0..4_000u32 {
            let seed = Digest::of(Domain::Draw, &[&number.to_be_bytes()]);
            let drawn = draw_by_stake(pool.clone(), 1, &seed).unwrap();
            counts[usize::from(drawn[0].0[0])] += 1;
        }
        for (number, count) in (0u32..).zip(counts).skip(1) {
            // Expected 400, 800, 1200, 1600; the standard deviation is below 32.
            assert!(count.abs_diff(number * 400) < 160, "{counts:?}");
        }
    }

    #[test]
    fn nobody_is_drawn_twice() {
        let pool: Vec<_> = (1..=8u8)
            .map(|number| (Address([number; 20]), 100))
            .collect();
        let mut drawn = draw_by_stake(pool, 8, &Digest::ZERO).unwrap();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 8);
    }
}
