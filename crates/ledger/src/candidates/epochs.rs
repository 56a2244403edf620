//! Epochs, and who has seats in them.
//!
//! A seat is one vote, and a node has one at most. Operators get as many seats as their part of all stake, as far as they have nodes that are there (`operator`): where everybody has one
//! node, the candidates with the most stake behind them get them.

use super::{
    Candidate, candidate, delegation, jail,
    operator::{self, Share},
    standing,
    third::cost_of_a_third,
};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    genesis::ChainRecord,
    keys,
    params::{Params, count as length, money},
    state::{State, load, state_record},
    validators::{ValidatorRecord, validator},
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Event, Height,
    event::{EpochBegan, Seat},
    limits::VALIDATORS_MAX,
};
use std::collections::{BTreeMap, BTreeSet};

/// An epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// Its last block.
    pub ends: Height,
    /// Whether stake gave its seats.
    pub by_stake: bool,
    /// The epoch since which the same validators have them.
    pub since: u64,
    /// The stake behind the cheapest third of them when the epoch began; none until seats are given by stake for the first time.
    pub third: Option<Amount>,
}
state_record!(Epoch {
    number,
    ends,
    by_stake,
    since,
    third
});

/// The seats of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats {
    /// Who has them, in ascending order of identity.
    pub(crate) seats: BoundedVec<Seat, VALIDATORS_MAX>,
}
state_record!(Seats { seats });

/// The epoch of the block that comes next.
///
/// # Errors
/// [`Fault`].
pub fn epoch(state: &dyn State) -> Result<Epoch, Fault> {
    present(load(state, &keys::epoch())?, "epoch")
}

/// Who has the seats of that epoch, in ascending order of identity: who votes on its blocks.
///
/// # Errors
/// [`Fault`].
pub fn seats(state: &dyn State) -> Result<BoundedVec<Seat, VALIDATORS_MAX>, Fault> {
    let seats: Seats = present(load(state, &keys::seats())?, "seats")?;
    Ok(seats.seats)
}

/// What a third of the seats costs in this epoch; none while seats are not given by stake.
pub(crate) fn third_of_seats(state: &dyn State) -> Result<Option<Amount>, Fault> {
    Ok(epoch(state)?.third)
}

/// More than two of three equal parts.
const MOST: u64 = 3;
/// More than five of six: of seven equal candidates one may be jailed. Who could have many of them jailed, one after the other, would soon be a third of the rest.
const NEARLY_ALL: u64 = 6;

/// Candidates that may have seats.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// By operator, those that have any.
    operators: BTreeMap<Address, Share>,
    /// Of each operator's stake the part (its nodes here) ÷ (the seats that it would have with all its nodes), at most all of it.
    pub(super) stake: Amount,
}

impl Group {
    fn add(&mut self, operator: Address, share: Share, seats_if_all: usize) -> Result<(), Fault> {
        let parts = share.seats_max.min(seats_if_all);
        let part = operator::part(share.stake, (parts, seats_if_all))?;
        self.stake = self.stake.checked_add(part).or_fault()?;
        if share.seats_max > 0 {
            self.operators.insert(operator, share);
        }
        Ok(())
    }

    /// Their accounts.
    fn nodes(&self) -> impl Iterator<Item = Address> {
        let operators = self.operators.values();
        operators.flat_map(|share| share.nodes.iter().copied())
    }

    /// How many seats they may have together.
    fn seats_max(&self) -> usize {
        self.operators.values().map(|share| share.seats_max).sum()
    }
}

/// Candidates that may have seats, by whether they are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Those that said in this epoch that they are there: the ready.
    pub(super) ready: Group,
    /// Those of them that are not jailed in the next; of an operator with so many jailed, so many fewer than it would have seats, but for those that have one and were not silent.
    pub(super) free: Group,
    /// The stake behind those that did not say so.
    pub(super) absent: Amount,
}

/// A candidate that leads, with its nodes that stand: itself and its further ones.
struct Standing<'s> {
    record: &'s Candidate,
    nodes: Vec<(Address, &'s Candidate)>,
}

/// Those that stand and have enough stake of their own, by operator.
fn by_operator<'s>(
    state: &dyn State,
    min: Amount,
    standing: &'s [(Address, Candidate)],
) -> Result<BTreeMap<Address, Standing<'s>>, Fault> {
    let mut operators = BTreeMap::new();
    let mut further = Vec::new();
    for (account, record) in standing {
        let own = delegation(state, *account, *account)?;
        if own.is_none_or(|own| own.shares < min) {
            continue;
        }
        match record.lead {
            None => {
                let nodes = vec![(*account, record)];
                operators.insert(*account, Standing { record, nodes });
            }
            Some(lead) if lead.is_confirmed => further.push((lead.account, *account, record)),
            Some(_) => {}
        }
    }
    for (lead, account, record) in further {
        if let Some(operator) = operators.get_mut(&lead) {
            operator.nodes.push((account, record));
        }
    }
    Ok(operators)
}

/// Counts the stake behind those that stand and have enough stake of their own. Reads bounded lists.
pub(super) fn count(
    state: &dyn State,
    params: &Params,
    standing: &[(Address, Candidate)],
) -> Result<Count, Fault> {
    let epoch = epoch(state)?.number;
    let held: BTreeSet<[u8; 32]> = seats(state)?.iter().map(|seat| seat.validator).collect();
    let operators = by_operator(state, money(params.candidate_stake_min), standing)?;
    let mut jailed = BTreeMap::new();
    for (account, Standing { record, .. }) in &operators {
        jailed.insert(
            *account,
            jail::jailed_nodes(state, (*account, record), epoch)?,
        );
    }
    let if_all = SeatsIfAll::of(&operators, &jailed, seats_at_most(params))?;
    let mut count = Count::default();
    let mut all = Amount::ZERO;
    for (account, Standing { record, nodes }) in operators {
        let stake = record.counting()?;
        all = all.checked_add(stake).or_fault()?;
        let those = |is_one: &dyn Fn(&Candidate) -> bool| -> Vec<Address> {
            let nodes = nodes.iter().filter(|(_, node)| is_one(node));
            nodes.map(|(node, _)| *node).collect()
        };
        let is_ready = |node: &Candidate| node.ready == Some(epoch);
        let is_free = |node: &Candidate| is_ready(node) && !node.is_jailed_after(epoch);
        let (ready, free) = (those(&is_ready), those(&is_free));
        let seats_if_all = if_all.of_those_that_stand(account);
        count
            .ready
            .add(account, Share::new(stake, ready), seats_if_all)?;
        // The seat of one that is jailed is no other node's of that operator. Who had one and was not silent keeps it, also when less stake is behind it than before.
        let jailed = jailed.get(&account).map_or(0, Vec::len);
        let seats_if_all = if_all.with_those_in_jail(account);
        let mut share = Share::new(stake, free);
        if jailed > 0 {
            let keep = those(&|node| is_free(node) && held.contains(&node.validator));
            let most = seats_if_all
                .saturating_sub(jailed)
                .max(keep.len().min(seats_if_all));
            share.seats_max = share.seats_max.min(most);
        }
        count.free.add(account, share, seats_if_all)?;
    }
    count.absent = all.checked_sub(count.ready.stake).or_fault()?;
    Ok(count)
}

/// How many seats operators would have if all nodes were there that ever were.
struct SeatsIfAll {
    standing: BTreeMap<Address, usize>,
    jailed: BTreeMap<Address, usize>,
}

impl SeatsIfAll {
    fn of(
        operators: &BTreeMap<Address, Standing<'_>>,
        jailed: &BTreeMap<Address, Vec<Address>>,
        seats: usize,
    ) -> Result<Self, Fault> {
        let (mut those, mut with_jailed) = (BTreeMap::new(), BTreeMap::new());
        for (account, Standing { record, nodes }) in operators {
            // A further one that never was there is missed by nobody.
            let known = nodes.iter().filter(|(_, node)| node.ready.is_some());
            let mut known: BTreeSet<Address> = known.map(|(node, _)| *node).collect();
            let share = |known: &BTreeSet<Address>| -> Result<Share, Fault> {
                let nodes = known.iter().copied().collect();
                Ok(Share::new(record.counting()?, nodes))
            };
            those.insert(*account, share(&known)?);
            known.extend(jailed.get(account).into_iter().flatten());
            with_jailed.insert(*account, share(&known)?);
        }
        Ok(Self {
            standing: operator::divide(&those, seats)?,
            jailed: operator::divide(&with_jailed, seats)?,
        })
    }

    /// With those that stand; one at least.
    fn of_those_that_stand(&self, operator: Address) -> usize {
        self.standing.get(&operator).copied().unwrap_or(0).max(1)
    }

    /// Also with those that are jailed and do not stand.
    fn with_those_in_jail(&self, operator: Address) -> usize {
        self.jailed.get(&operator).copied().unwrap_or(0).max(1)
    }
}

fn seats_at_most(params: &Params) -> usize {
    length(params.seats).min(VALIDATORS_MAX)
}

/// Those that get seats, if seats follow stake. Whoever keeps others from saying that they are ready must not win by that: more than two thirds of the stake are. Nor must who has
/// others jailed: unless the rest is nearly all, the jailed count that said that they are there.
pub(super) fn elected(
    count: &Count,
    params: &Params,
) -> Result<Option<Vec<(Address, Amount)>>, Fault> {
    let all = count.ready.stake.checked_add(count.absent).or_fault()?;
    let is_enough = |group: &Group, parts| {
        group.seats_max() >= length(params.seats_min)
            && group.stake >= money(params.seats_stake_min)
            && exceeds(group.stake.base_units(), all.base_units(), parts)
    };
    if !is_enough(&count.ready, MOST) {
        return Ok(None);
    }
    let chosen = if is_enough(&count.free, NEARLY_ALL) {
        &count.free
    } else {
        &count.ready
    };
    operator::apportion(&chosen.operators, seats_at_most(params)).map(Some)
}

/// Whether a part of all is more than all but one of so many equal parts.
fn exceeds(part: u64, all: u64, parts: u64) -> bool {
    let times = |number: u64, by: u64| u128::from(number).saturating_mul(by.into());
    times(part, parts) > times(all, parts.saturating_sub(1))
}

/// Notes who made the block, and begins the next epoch after the last block of one.
pub(super) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let now = epoch(&execution.overlay)?;
    jail::note_proposer(execution, now.number)?;
    if execution.context.height < now.ends {
        return Ok(());
    }
    let held = seats(&execution.overlay)?;
    jail::jail_silent(execution, &now, held.as_slice())?;
    let (mut next, by_stake) = next_seats(execution, &held)?;
    next.sort_by_key(|seat| seat.validator);
    let is_other = next.len() != held.len() || !next.iter().zip(&held).all(is_same);
    let number = counted(now.number.checked_add(1), "epochs")?;
    let blocks = Height(execution.params.epoch_blocks);
    // Stake that is below the bar is worth what it is: the bound of what may be locked does not end because it left.
    let is_bounded = by_stake || now.third.is_some();
    let epoch = Epoch {
        number,
        ends: counted(now.ends.checked_add(blocks), "height")?,
        by_stake,
        since: if is_other { number } else { now.since },
        third: if is_bounded {
            Some(cost_of_a_third(&next).or_fault()?)
        } else {
            None
        },
    };
    let seats = Seats {
        seats: BoundedVec::new(next).map_err(|_| Fault::Counter { what: "seats" })?,
    };
    execution.overlay.store(keys::epoch(), &epoch);
    execution.overlay.store(keys::seats(), &seats);
    count_validators(execution, seats.seats.len())?;
    execution.emit(Event::EpochBegan(Boxed::new(EpochBegan {
        epoch: number,
        ends: epoch.ends,
        by_stake,
        since: epoch.since,
        seats: seats.seats,
    })));
    Ok(())
}

fn is_same((one, other): (&Seat, &Seat)) -> bool {
    (one.validator, one.vote_key) == (other.validator, other.vote_key)
}

/// Keeps how many validators the chain has, which every block reads.
fn count_validators(execution: &mut Execution<'_>, seats: usize) -> Result<(), Fault> {
    let chain: Option<ChainRecord> = execution.overlay.load(&keys::chain())?;
    let mut chain = present(chain, "chain")?;
    let validators = counted(u16::try_from(seats).ok(), "seats")?;
    if chain.validators != validators {
        chain.validators = validators;
        execution.overlay.store(keys::chain(), &chain);
    }
    Ok(())
}

/// The seats that the stake gives; below the bar those that there are.
fn next_seats(
    execution: &Execution<'_>,
    held: &BoundedVec<Seat, VALIDATORS_MAX>,
) -> Result<(Vec<Seat>, bool), Fault> {
    let state = &execution.overlay;
    let params = &execution.params;
    let count = count(state, params, &standing::all(state)?)?;
    // While money may be there that should not be, it gives no seats.
    let is_sound = execution.halted.is_none();
    if let Some(elected) = elected(&count, params)?.filter(|_| is_sound) {
        let seat = |(account, stake)| {
            let identity = present(candidate(state, account)?, "candidate that stands")?.validator;
            let known = present(validator(state, &identity)?, "validator of a candidate")?;
            Ok(Seat {
                validator: identity,
                vote_key: known.vote_key.to_bytes(),
                stake,
            })
        };
        let seats: Result<Vec<Seat>, Fault> = elected.into_iter().map(seat).collect();
        return Ok((seats?, true));
    }
    let ready: BTreeSet<Address> = count.ready.nodes().collect();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for seat in held {
        let known = present(validator(state, &seat.validator)?, "validator with a seat")?;
        if known.tombstoned || lost_its_lead(state, (&known, &seat.validator))? {
            continue;
        }
        let seats = if ready.contains(&known.account) {
            &mut there
        } else {
            &mut gone
        };
        seats.push(*seat);
    }
    // Those that leave make room, so that the chain outlives them; never more than a third of those whom stake chose, for nobody comes in their place.
    let are_chosen = is_sound && epoch(state)?.by_stake;
    let seats = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let all = there.len().saturating_add(gone.len());
    let are_enough = there.len() >= length(params.seats_min);
    if !(are_chosen && are_enough && exceeds(seats(there.len()), seats(all), MOST)) {
        there.append(&mut gone);
    }
    // Somebody has to.
    if there.is_empty() {
        there = held.as_slice().to_vec();
    }
    Ok((as_of_now(state, &there)?, false))
}

/// Whether a validator is a further node whose lead was tombstoned.
fn lost_its_lead(
    state: &dyn State,
    (known, identity): (&ValidatorRecord, &[u8; 32]),
) -> Result<bool, Fault> {
    match candidate(state, known.account)? {
        Some(found) if found.validator == *identity => operator::lost_its_lead(state, &found),
        _ => Ok(false),
    }
}

/// Seats with what counts behind them now.
fn as_of_now(state: &dyn State, seats: &[Seat]) -> Result<Vec<Seat>, Fault> {
    let mut seated = Vec::new();
    for seat in seats {
        let known = present(validator(state, &seat.validator)?, "validator with a seat")?;
        let found = candidate(state, known.account)?;
        let found = found.filter(|found| found.validator == seat.validator && !known.tombstoned);
        seated.extend(found.map(|found| (known.account, found)));
    }
    let stakes = operator::stake_of_seats(state, &seated)?;
    let stakes: BTreeMap<[u8; 32], Amount> = seated
        .iter()
        .map(|(_, found)| found.validator)
        .zip(stakes)
        .collect();
    let of_now = |seat: &Seat| Seat {
        stake: stakes.get(&seat.validator).copied().unwrap_or_default(),
        ..*seat
    };
    Ok(seats.iter().map(of_now).collect())
}
