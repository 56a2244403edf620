//! Running totals: where all money is, kept up to date by what each block writes, without reading the rest of the state.
//!
//! [`invariants::supply`] finds the same by reading everything; tests compare the two after every block.

use crate::{
    bank::{Account, Supply},
    candidates::{Candidate, Delegation},
    delegates::Grant,
    fault::{Fault, OrFault, counted, present},
    governance::{Proposal, VoteRecord},
    invariants, keys,
    market::{Order, Slot},
    registry::{OfferRecord, VerifierRecord},
    stake::Stake,
    state::{State, Writes, load},
};
use commonware_codec::Read;
use fairweir_types::{Amount, decode, node_api::SupplyReport};

/// Where all money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    report: SupplyReport,
}

/// Money in one record, or its change in many: balances, bonded, unbonding, escrow. A change may be negative in between.
type Held = [i128; 4];

impl Totals {
    /// Reads the whole state.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn of(state: &dyn State) -> Result<Self, Fault> {
        invariants::supply(state).map(|report| Self { report })
    }

    /// What there is.
    #[must_use]
    pub const fn report(&self) -> SupplyReport {
        self.report
    }

    /// Follows the writes of a block; `before` is the state without them.
    ///
    /// # Errors
    /// [`Fault`]; the totals are of no use then.
    pub fn follow(&mut self, before: &dyn State, writes: &Writes) -> Result<(), Fault> {
        let mut change = Held::default();
        for (key, value) in writes {
            if !keys::holds_money(key) {
                continue;
            }
            let was = before.get(key);
            add(&mut change, held(key, value.as_deref())?, 1)?;
            add(&mut change, held(key, was.as_deref())?, -1)?;
        }
        let [balances, bonded, unbonding, escrow] = change;
        let report = &mut self.report;
        for (total, change) in [
            (&mut report.balances, balances),
            (&mut report.bonded, bonded),
            (&mut report.unbonding, unbonding),
            (&mut report.escrow, escrow),
        ] {
            let sum = i128::from(total.base_units()).checked_add(change);
            let sum = sum.and_then(|sum| u64::try_from(sum).ok());
            *total = counted(sum.and_then(Amount::from_base_units), "money")?;
        }
        if let Some(Some(_)) = writes.get(&keys::supply()) {
            let after = Written { before, writes };
            let supply: Supply = present(load(&after, &keys::supply())?, "supply")?;
            report.minted = supply.minted;
            report.burned = supply.burned;
        }
        Ok(())
    }
}

/// A state with writes over it, as far as single records go.
struct Written<'a> {
    before: &'a dyn State,
    writes: &'a Writes,
}

impl State for Written<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.get(key) {
            Some(value) => value.clone(),
            None => self.before.get(key),
        }
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        self.before.first_in(from, to)
    }
}

fn add(sum: &mut Held, held: Held, sign: i128) -> Result<(), Fault> {
    for (sum, held) in sum.iter_mut().zip(held) {
        let change = held.checked_mul(sign);
        *sum = counted(change.and_then(|change| sum.checked_add(change)), "money")?;
    }
    Ok(())
}

fn read<T: Read<Cfg = ()>>(key: &[u8], value: &[u8]) -> Result<T, Fault> {
    decode(value).map_err(|source| Fault::Record {
        key: key.to_vec(),
        source,
    })
}

/// The money in a record.
fn held(key: &[u8], value: Option<&[u8]>) -> Result<Held, Fault> {
    let units = |amount: Amount| i128::from(amount.base_units());
    let Some(value) = value else {
        return Ok(Held::default());
    };
    let is_in = |(from, to): (Vec<u8>, Vec<u8>)| from.as_slice() <= key && key < to.as_slice();
    if is_in(keys::accounts()) {
        return read::<Account>(key, value).map(|account| [units(account.balance), 0, 0, 0]);
    }
    if is_in(keys::stakes()) {
        let stake: Stake = read(key, value)?;
        return Ok([0, units(stake.bonded), units(stake.unbonding), 0]);
    }
    if is_in(keys::candidates()) {
        let parts = read::<Candidate>(key, value)?.money()?;
        return Ok(parts.map(units));
    }
    let escrow = if is_in(keys::orders()) {
        let order: Order = read(key, value)?;
        let streams = order.streams.iter().map(|stream| stream.held);
        Amount::sum(streams.chain([order.deposit])).or_fault()?
    } else if is_in(keys::slots()) {
        let slot: Slot = read(key, value)?;
        Amount::sum([slot.challenge_deposit, slot.appeal_deposit()]).or_fault()?
    } else if is_in(keys::offers()) {
        read::<OfferRecord>(key, value)?.deposit
    } else if is_in(keys::verifiers()) {
        read::<VerifierRecord>(key, value)?.deposit
    } else if is_in(keys::grants()) {
        read::<Grant>(key, value)?.deposit
    } else if is_in(keys::delegations()) {
        read::<Delegation>(key, value)?.deposit
    } else if is_in(keys::proposals()) {
        read::<Proposal>(key, value)?.deposit()?
    } else if is_in(keys::votes()) {
        read::<VoteRecord>(key, value)?.deposit
    } else {
        Amount::ZERO
    };
    Ok([0, 0, 0, units(escrow)])
}
