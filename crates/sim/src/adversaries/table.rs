//! Telling one row's story with many seeds, on several threads.

use super::{Outcome, Reference, Row, Summary};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// How many of a row's first seeds are told twice, to compare roots.
const TWICE: u64 = 2;
/// Base units of a coin.
#[expect(clippy::cast_precision_loss, reason = "a coin is 10^9")]
const COIN: f64 = fairweir_types::Amount::COIN_BASE_UNITS as f64;

/// One row's figures, in coins.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The behaviour.
    pub row: &'static Row,
    /// The loss by formula.
    pub expected: f64,
    /// The measured loss.
    pub loss: Summary,
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
        } else if self.loss.low() > 0.0 {
            Verdict::Holds
        } else {
            Verdict::Gains
        }
    }
}

struct Told {
    cheat: Outcome,
    loss: f64,
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
    let is_same = number >= TWICE || (row.tell)(seed, true) == cheat;
    Told {
        loss: (reference - cheat.outcome) as f64,
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
    let taken: i64 = told
        .iter()
        .map(|told| told.cheat.taken + told.twin_taken)
        .sum();
    Line {
        row,
        expected: mean(&|told| told.cheat.expected) / COIN,
        loss: Summary::of(&losses),
        slashed: mean(&|told| f64::from(u8::from(told.cheat.was_slashed))),
        taken: taken as f64 / COIN,
        slipped: mean(&|told| told.cheat.slipped as f64) / COIN,
        is_deterministic: told.iter().all(|told| told.is_same),
    }
}
