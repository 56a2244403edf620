//! Epochs and their seats.

use super::{Candidate, apportion, candidate, delegation, standing, third::cost_of_a_third};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    keys,
    params::{Params, money},
    state::{State, load, state_record},
    validators::validator,
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Event, Height,
    event::{EpochBegan, Seat},
    limits::VALIDATORS_MAX,
};

/// An epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Its number.
    pub(crate) number: u64,
    /// Its last block.
    pub(crate) ends: Height,
}
state_record!(Epoch { number, ends });

/// The seats of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats {
    /// Who has them.
    pub(crate) seats: BoundedVec<Seat, VALIDATORS_MAX>,
    /// The stake behind the cheapest third of them when the epoch began; none until seats are given by stake for the first time.
    pub(crate) third: Option<Amount>,
}
state_record!(Seats { seats, third });

/// The epoch of the block that is made.
pub(crate) fn epoch(state: &dyn State) -> Result<Epoch, Fault> {
    present(load(state, &keys::epoch())?, "epoch")
}

/// The seats of the epoch.
pub(super) fn seats(state: &dyn State) -> Result<Seats, Fault> {
    present(load(state, &keys::seats())?, "seats")
}

/// What a third of the seats costs in this epoch; none while seats are not given by stake.
pub(crate) fn third_of_seats(state: &dyn State) -> Result<Option<Amount>, Fault> {
    Ok(seats(state)?.third)
}

/// A candidate that may have seats.
#[derive(Clone, Debug)]
pub(super) struct Eligible {
    pub(super) account: Address,
    pub(super) validator: [u8; 32],
    pub(super) stake: Amount,
    pub(super) seats: u16,
}

/// What the stake that stands would give now, and how much it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    pub(super) eligible: Vec<Eligible>,
    pub(super) stake: Amount,
}

/// Counts the stake behind those that stand with enough stake of their own, and gives all seats to it. Reads a bounded list.
pub(super) fn count(
    state: &dyn State,
    params: &Params,
    standing: &[(Address, Candidate)],
) -> Result<Count, Fault> {
    let min = money(params.candidate_stake_min);
    let mut count = Count::default();
    for (account, record) in standing {
        let own = delegation(state, *account, *account)?;
        if own.map_or(Amount::ZERO, |own| own.shares) < min {
            continue;
        }
        let stake = record.counting()?;
        count.stake = count.stake.checked_add(stake).or_fault()?;
        count.eligible.push(Eligible {
            account: *account,
            validator: record.validator,
            stake,
            seats: 0,
        });
    }
    let weights: Vec<u64> = count
        .eligible
        .iter()
        .map(|eligible| eligible.stake.base_units())
        .collect();
    let seats = u16::try_from(params.seats).ok();
    let given = counted(seats.and_then(|seats| apportion(&weights, seats)), "seats")?;
    for (eligible, seats) in count.eligible.iter_mut().zip(given) {
        eligible.seats = seats;
    }
    Ok(count)
}

/// Begins the next epoch after the last block of one.
pub(super) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let mut epoch = epoch(&execution.overlay)?;
    if execution.context.height < epoch.ends {
        return Ok(());
    }
    epoch.number = counted(epoch.number.checked_add(1), "epochs")?;
    let length = Height(execution.params.epoch_blocks);
    epoch.ends = counted(execution.context.height.checked_add(length), "height")?;
    execution.overlay.store(keys::epoch(), &epoch);
    let (next, by_stake) = next_seats(execution)?;
    execution.overlay.store(keys::seats(), &next);
    execution.emit(Event::EpochBegan(Boxed::new(EpochBegan {
        epoch: epoch.number,
        ends: epoch.ends,
        by_stake,
        seats: next.seats,
    })));
    Ok(())
}

/// The seats that the stake gives; below the bar those that there are.
fn next_seats(execution: &Execution<'_>) -> Result<(Seats, bool), Fault> {
    let state = &execution.overlay;
    let count = count(state, &execution.params, &standing::all(state)?)?;
    if count.stake > Amount::ZERO && count.stake >= money(execution.params.seats_stake_min) {
        let with_seats = count.eligible.into_iter().filter(|found| found.seats > 0);
        let seats = with_seats.map(|found| Seat {
            validator: found.validator,
            seats: found.seats,
            stake: found.stake,
        });
        let seats: Vec<Seat> = seats.collect();
        let third = Some(cost_of_a_third(&seats).or_fault()?);
        let seats = BoundedVec::new(seats).map_err(|_| Fault::Counter { what: "seats" })?;
        return Ok((Seats { seats, third }, true));
    }
    let held = seats(state)?;
    let mut kept = Vec::new();
    for seat in &held.seats {
        let known = present(validator(state, &seat.validator)?, "validator with a seat")?;
        if !known.tombstoned {
            kept.push(*seat);
        }
    }
    // Somebody has to.
    if kept.is_empty() {
        kept = held.seats.as_slice().to_vec();
    }
    // Stake that is below the bar is worth what it is: the bound does not end because it left.
    let third = match held.third {
        Some(_) => Some(cost_of_a_third(&as_of_now(state, &kept)?).or_fault()?),
        None => None,
    };
    let seats = BoundedVec::truncating(kept);
    Ok((Seats { seats, third }, false))
}

/// Seats with what counts behind them now.
fn as_of_now(state: &dyn State, seats: &[Seat]) -> Result<Vec<Seat>, Fault> {
    let of_now = |seat: &Seat| {
        let known = present(validator(state, &seat.validator)?, "validator with a seat")?;
        let found = candidate(state, known.account)?;
        let found = found.filter(|found| found.validator == seat.validator && !known.tombstoned);
        let stake = found.map_or(Ok(Amount::ZERO), |found| found.counting())?;
        Ok(Seat { stake, ..*seat })
    };
    seats.iter().map(of_now).collect()
}
