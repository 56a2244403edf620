//! Running totals: where all money is, kept up to date by what each block writes, without reading the rest of the state.
//!
//! [`invariants::supply`] finds the same by reading everything; tests compare the two after every block.

use crate::{
    audit::weigh,
    bank::Supply,
    fault::{Fault, counted, present},
    invariants, keys,
    state::{Overlay, State, Writes, load},
};
use fairweir_types::{Amount, node_api::SupplyReport};

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
        if writes.contains_key(&keys::upgrade()) {
            // What records said before may be in another form.
            *self = Self::of(&Overlay::of(before, writes.clone()))?;
            return Ok(());
        }
        let mut change = Held::default();
        for (key, value) in writes {
            if keys::kind(key).is_none() {
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

/// The money in a record.
fn held(key: &[u8], record: Option<&[u8]>) -> Result<Held, Fault> {
    let Some(record) = record else {
        return Ok(Held::default());
    };
    let held = weigh(key, record)?.held;
    Ok(held.map(|amount| i128::from(amount.base_units())))
}
