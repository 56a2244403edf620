//! One story's outcome, and what many of them come to.

use super::Town;
use fairweir_types::{
    Address, Amount, Digest, Event,
    event::{Payment, SlashReason, Slashed},
};
use std::collections::BTreeSet;

/// Standard errors on each side of a mean that hold 95 % of a normal distribution (the central limit theorem for means of many seeds).
const NORMAL_95: f64 = 1.959_964;

/// Base units with a sign.
pub(super) fn signed(amount: Amount) -> i64 {
    i64::try_from(amount.base_units()).expect("the supply fits")
}

/// Base units as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "amounts of a story are below 2^53"
)]
pub(super) const fn base_units(amount: i64) -> f64 {
    amount as f64
}

/// What a story came to, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What the adversary has more than before, with what it received.
    pub outcome: i64,
    /// The loss by formula, without the fees of transactions.
    pub expected: f64,
    /// The fees of the adversary's transactions.
    pub fees: i64,
    /// What an adversary that buys received beyond what it paid: its worker's loss.
    pub unpaid: i64,
    /// What of it the rules allow: what a worker hands over ahead of its pay, or what it may have to pay towards checks.
    pub ahead: i64,
    /// What honest participants lost against the rules.
    pub taken: i64,
    /// What honest buyers paid beyond right work.
    pub slipped: i64,
    /// Whether the adversary lost stake.
    pub was_slashed: bool,
    /// The root over state and events.
    pub root: Digest,
}

/// What a story knows besides its ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// What the adversary received, at its price.
    pub(super) received: Amount,
    /// What honest buyers received of right work, at its price.
    pub(super) right: Amount,
    /// What a worker may be left without at most.
    pub(super) ahead: Amount,
    /// The loss by formula, in base units, without fees.
    pub(super) expected: f64,
    /// Who plants faults: what it is slashed for wrong traces it loses knowingly.
    pub(super) planter: Option<Address>,
}

/// Reads the outcome off the ledger. All orders must be closed.
pub(super) fn read(town: &Town, adversaries: &[Address], told: Told) -> Outcome {
    let events = town.chain.events();
    let change =
        |account: Address| signed(town.chain.wealth(account)) - signed(town.before(account).0);
    let is_slashed =
        |account: &Address| slashes(&events).any(|slashed| slashed.account == *account);
    let fees = |account: Address| signed(town.chain.fees(account)) - signed(town.before(account).1);
    let paid_by = |account: &Address| Bill::of(&events, *account).to_workers;
    let paid: i64 = adversaries.iter().map(paid_by).sum();
    let mut found = Outcome {
        outcome: adversaries.iter().copied().map(change).sum::<i64>() + signed(told.received),
        expected: told.expected,
        fees: adversaries.iter().copied().map(fees).sum(),
        unpaid: (signed(told.received) - paid).max(0),
        ahead: signed(told.ahead),
        was_slashed: adversaries.iter().any(is_slashed),
        root: town.chain.root(),
        ..Outcome::default()
    };
    for account in town.people() {
        if adversaries.contains(&account) {
            continue;
        }
        let bill = Bill::of(&events, account);
        let lost = |is_for_a_trace: bool| -> i64 {
            slashes(&events)
                .filter(|slashed| slashed.account == account)
                .filter(|slashed| (slashed.reason == SlashReason::WrongTrace) == is_for_a_trace)
                .map(|slashed| signed(slashed.amount))
                .sum()
        };
        let known = if told.planter == Some(account) {
            lost(true)
        } else {
            0
        };
        let slashed = lost(true) + lost(false) - known;
        let short = -(change(account) + known + fees(account) + bill.settled - bill.awarded);
        found.taken += slashed.max(short).max(0);
        if bill.is_buyer {
            found.slipped += (bill.to_workers - signed(told.right)).max(0);
        }
    }
    found
}

/// What an account earned besides what it paid in fees and lost of its stake, in base units.
pub(super) fn earned(town: &Town, account: Address) -> i64 {
    let events = town.chain.events();
    let slashed = slashes(&events).filter(|slashed| slashed.account == account);
    let slashed: i64 = slashed.map(|slashed| signed(slashed.amount)).sum();
    let (wealth, fees) = town.before(account);
    let change = signed(town.chain.wealth(account)) - signed(wealth);
    change + signed(town.chain.fees(account)) - signed(fees) + slashed
}

fn slashes(events: &[Event]) -> impl Iterator<Item = &Slashed> {
    events.iter().filter_map(|event| match event {
        Event::Slashed(slashed) => Some(slashed),
        _ => None,
    })
}

/// What a buyer owes by what was settled, and what it is owed.
#[derive(Clone, Copy, Debug, Default)]
struct Bill {
    is_buyer: bool,
    settled: i64,
    to_workers: i64,
    awarded: i64,
}

impl Bill {
    fn of(events: &[Event], buyer: Address) -> Self {
        let mut bill = Self::default();
        let mut orders = BTreeSet::new();
        for event in events {
            match event {
                Event::OrderPosted(posted) if posted.buyer == buyer => {
                    bill.is_buyer = true;
                    orders.insert(posted.order);
                }
                Event::BatchPosted(posted) if orders.contains(&posted.lane.order) => {
                    orders.insert(posted.slot_id.order);
                }
                Event::Settled(settled) if settled.buyer == buyer => {
                    bill.pay(&settled.paid, settled.checks.as_slice(), settled.burned);
                }
                Event::BatchSettled(settled) if settled.payers.buyer == buyer => {
                    bill.pay(&settled.paid, settled.checks.as_slice(), settled.burned);
                }
                Event::Slashed(slashed) if orders.contains(&slashed.slot_id.order) => {
                    bill.awarded += signed(slashed.to_buyer);
                }
                _ => {}
            }
        }
        bill
    }

    fn pay(&mut self, worker: &Payment, checks: &[Payment], burned: Amount) {
        let checks: i64 = checks.iter().map(|check| signed(check.amount)).sum();
        self.to_workers += signed(worker.amount);
        self.settled += signed(worker.amount) + checks + signed(burned);
    }
}

/// The mean of a figure with its 95 % interval, by the normal approximation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half the width of the interval: 1.96 standard errors, the standard deviation taken from the sample (n − 1).
    pub half: f64,
}

impl Summary {
    /// Of these values.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer values than 2^53")]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        if values.is_empty() {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let half = if values.len() < 2 {
            0.0
        } else {
            NORMAL_95 * (squares / (count - 1.0) / count).sqrt()
        };
        Self {
            count: values.len() as u64,
            mean,
            half,
        }
    }

    /// The standard error of the mean.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        self.half / NORMAL_95
    }

    /// The interval's lower bound.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.mean - self.half
    }

    /// The interval's upper bound.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.mean + self.half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_two_standard_errors_wide_on_each_side() {
        let found = Summary::of(&[1.0, 2.0, 3.0, 4.0]);
        assert!((found.mean - 2.5).abs() < 1e-12);
        // Sample variance 5/3, standard error sqrt(5/12).
        assert!((found.half - NORMAL_95 * (5.0_f64 / 12.0).sqrt()).abs() < 1e-9);
        assert!(Summary::of(&[7.0, 7.0]).half.abs() < 1e-12);
        assert_eq!(Summary::of(&[]), Summary::default());
    }
}
