//! Telling one row's story with many seeds, on several threads.

use super::{Expects, Outcome, Reference, Row, Summary};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// How many of a row's first seeds are told twice, to compare roots.
const TWICE: u64 = 2;
/// Base units of a coin.
#[expect(clippy::cast_precision_loss, reason = "a coin is 10^9")]
const COIN: f64 = fairweir_types::Amount::COIN_BASE_UNITS as f64;

/// Standard errors by which mean and formula may differ: 99.9 % of a normal distribution, so that of all rows together about one in thirty tables
/// has one that differs by chance alone.
pub const APART_MAX: f64 = 3.290_527;
/// And so many coins besides, for what the ledger rounds.
pub const ROUNDING: f64 = 0.000_001;
/// Stories from which on mean and formula are compared.
pub const COMPARED_FROM: u64 = 30;

/// One row's figures, in coins.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The behaviour.
    pub row: &'static Row,
    /// The loss by formula, with the fees that were paid.
    pub expected: f64,
    /// The measured loss.
    pub loss: Summary,
    /// The measured loss less that by formula, story by story.
    pub difference: Summary,
    /// The most that a worker of a story was left unpaid.
    pub unpaid: f64,
    /// Whether that was within what the rules allow, in all stories.
    pub is_within_credit: bool,
    /// The share of stories in which the adversary lost stake.
    pub slashed: f64,
    /// What honest participants lost against the rules, in all stories together.
    pub taken: f64,
    /// What slipped by in the mean.
    pub slipped: f64,
    /// Whether the same seed gave the same root.
    pub is_deterministic: bool,
}

/// What a row's figures say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A loss, with its whole interval; nobody honest lost anything against the rules; same seed, same root.
    Holds,
    /// The loss, or the lower end of its interval, is not above zero.
    Gains,
    /// An honest participant lost something.
    HonestLoss,
    /// A worker was left unpaid for more than it hands over ahead of its pay, or may pay towards checks.
    Unpaid,
    /// The mean is not what the formula says.
    Unexpected,
    /// The same seed gave two roots.
    Roots,
}

impl Line {
    /// What it says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.is_deterministic {
            Verdict::Roots
        } else if self.taken > 0.0 {
            Verdict::HonestLoss
        } else if !self.is_within_credit {
            Verdict::Unpaid
        } else if self.loss.low() <= 0.0 {
            Verdict::Gains
        } else if !self.agrees() {
            Verdict::Unexpected
        } else {
            Verdict::Holds
        }
    }

    /// Whether mean and formula agree, story by story: so it matters not how prices and demands vary.
    #[must_use]
    pub fn agrees(&self) -> bool {
        if self.difference.count < COMPARED_FROM {
            return true;
        }
        let apart = APART_MAX * self.difference.standard_error() + ROUNDING;
        match self.row.expects {
            Expects::Exactly => self.difference.mean.abs() <= apart,
            Expects::AtLeast => self.difference.mean >= -apart,
        }
    }
}

struct Told {
    cheat: Outcome,
    loss: f64,
    expected: f64,
    is_same: bool,
    twin_taken: i64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "amounts of a story are below 2^53"
)]
fn tell(row: &Row, (seed, number): (u64, u64)) -> Told {
    let cheat = (row.tell)(seed, true);
    let twin = (row.reference == Reference::Twin).then(|| (row.tell)(seed, false));
    let reference = twin.map_or(0, |twin| twin.outcome);
    // What an honest participant pays in fees the adversary would have paid as well.
    let fees = cheat.fees - twin.map_or(0, |twin| twin.fees);
    let is_same = number >= TWICE || (row.tell)(seed, true) == cheat;
    Told {
        loss: (reference - cheat.outcome) as f64,
        expected: cheat.expected + fees as f64,
        twin_taken: twin.map_or(0, |twin| twin.taken),
        cheat,
        is_same,
    }
}

/// Tells a row's story with so many seeds (times its own factor), from a first one on.
///
/// # Panics
/// If a story does not come to its end.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "amounts of a story are below 2^53"
)]
pub fn measure(row: &'static Row, (first, seeds): (u64, u64), threads: usize) -> Line {
    let wanted = seeds.saturating_mul(row.times);
    let next = AtomicU64::new(0);
    let mut told: Vec<(u64, Told)> = thread::scope(|scope| {
        let work = || {
            let mut told = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= wanted {
                    return told;
                }
                let seed = first.wrapping_add(number);
                told.push((number, tell(row, (seed, number))));
            }
        };
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let told = running
            .into_iter()
            .map(|thread| thread.join().expect("every story is told to its end"));
        told.flatten().collect()
    });
    // Sums of floats do not depend on which thread was faster.
    told.sort_by_key(|(number, _)| *number);
    let told: Vec<_> = told.into_iter().map(|(_, told)| told).collect();
    let mean = |value: &dyn Fn(&Told) -> f64| {
        told.iter().map(value).sum::<f64>() / told.len().max(1) as f64
    };
    let losses: Vec<_> = told.iter().map(|told| told.loss / COIN).collect();
    let differences = told.iter().map(|told| (told.loss - told.expected) / COIN);
    let differences: Vec<_> = differences.collect();
    let unpaid = told.iter().map(|told| told.cheat.unpaid).max();
    let taken: i64 = told
        .iter()
        .map(|told| told.cheat.taken + told.twin_taken)
        .sum();
    Line {
        row,
        expected: mean(&|told| told.expected) / COIN,
        loss: Summary::of(&losses),
        difference: Summary::of(&differences),
        unpaid: unpaid.unwrap_or_default() as f64 / COIN,
        is_within_credit: told
            .iter()
            .all(|told| told.cheat.unpaid <= told.cheat.ahead),
        slashed: mean(&|told| f64::from(u8::from(told.cheat.was_slashed))),
        taken: taken as f64 / COIN,
        slipped: mean(&|told| told.cheat.slipped as f64) / COIN,
        is_deterministic: told.iter().all(|told| told.is_same),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversaries::ALL;

    fn line(expects: Expects, differences: &[f64]) -> Line {
        let row: &'static Row = Box::leak(Box::new(Row { expects, ..ALL[0] }));
        Line {
            row,
            expected: 1.0,
            loss: Summary::of(&vec![1.0; differences.len()]),
            difference: Summary::of(differences),
            unpaid: 0.0,
            is_within_credit: true,
            slashed: 1.0,
            taken: 0.0,
            slipped: 0.0,
            is_deterministic: true,
        }
    }

    #[test]
    fn a_mean_that_is_not_as_its_formula_says_does_not_hold() {
        let verdict = |expects, differences: &[f64]| line(expects, differences).verdict();
        let exact = Expects::Exactly;
        assert_eq!(verdict(exact, &[0.0; 40]), Verdict::Holds);
        assert_eq!(verdict(exact, &[0.01; 40]), Verdict::Unexpected);
        assert_eq!(verdict(exact, &[-0.01; 40]), Verdict::Unexpected);
        // More than formula is no fault where that is a bound.
        assert_eq!(verdict(Expects::AtLeast, &[0.01; 40]), Verdict::Holds);
        assert_eq!(verdict(Expects::AtLeast, &[-0.01; 40]), Verdict::Unexpected);
        // What varies much may be apart by chance, and of few stories nothing is said.
        let wide: Vec<_> = (0..40)
            .map(|n| if n % 2 == 0 { 1.1 } else { -0.9 })
            .collect();
        assert_eq!(verdict(exact, &wide), Verdict::Holds);
        assert_eq!(verdict(exact, &[0.01; 5]), Verdict::Holds);
        let unpaid = Line {
            is_within_credit: false,
            ..line(exact, &[0.0; 40])
        };
        assert_eq!(unpaid.verdict(), Verdict::Unpaid);
    }
}
