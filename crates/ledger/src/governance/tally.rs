//! Counting, exactly.

use crate::{
    fault::{Fault, counted},
    params::Params,
};
use fairweir_types::{
    Amount, Bps,
    governance::{Tally, Weights},
};

/// What the votes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passes.
    Passed,
    /// Not enough are for it.
    Rejected,
    /// Too few voted.
    NoQuorum,
    /// Enough veto it.
    Vetoed,
}

fn times(number: u128, factor: u64) -> Result<u128, Fault> {
    counted(number.checked_mul(u128::from(factor)), "votes")
}

fn sum(parts: &[u128]) -> Result<u128, Fault> {
    let sum = parts
        .iter()
        .try_fold(0u128, |sum, part| sum.checked_add(*part));
    counted(sum, "votes")
}

/// What a tally says, by whole numbers alone: ratios are compared across, never divided.
///
/// - Quorum: all votes are at least `quorum_bps` of the bonded stake.
/// - Veto: the vetoes are at least `veto_bps` of all votes, abstentions included.
/// - Threshold: those for it are *more* than `threshold_bps` (expedited: `expedited_bps`) of all that took a side; a tie does not pass.
///
/// # Errors
/// [`Fault::Counter`] beyond 128 bits, which the cap of all money excludes.
pub fn decide(
    tally: &Tally,
    bonded: Amount,
    params: &Params,
    expedited: bool,
) -> Result<Decision, Fault> {
    let Tally {
        yes,
        no,
        abstain,
        veto,
    } = *tally;
    let sides = sum(&[yes, no, veto])?;
    let all = sum(&[sides, abstain])?;
    // Votes are in base units times basis points, so the quorum's basis points are the factor of the stake alone.
    if all == 0 || all < times(u128::from(bonded.base_units()), params.quorum_bps)? {
        return Ok(Decision::NoQuorum);
    }
    if times(veto, Bps::WHOLE)? >= times(all, params.veto_bps)? {
        return Ok(Decision::Vetoed);
    }
    let threshold = if expedited {
        params.expedited_bps
    } else {
        params.threshold_bps
    };
    if times(yes, Bps::WHOLE)? > times(sides, threshold)? {
        Ok(Decision::Passed)
    } else {
        Ok(Decision::Rejected)
    }
}

type Change = fn(u128, u128) -> Option<u128>;

fn changed(
    tally: &Tally,
    (weights, power): (&Weights, Amount),
    change: Change,
) -> Result<Tally, Fault> {
    let part = |now: u128, weight: u16| {
        let votes = times(u128::from(power.base_units()), u64::from(weight))?;
        counted(change(now, votes), "votes")
    };
    Ok(Tally {
        yes: part(tally.yes, weights.yes)?,
        no: part(tally.no, weights.no)?,
        abstain: part(tally.abstain, weights.abstain)?,
        veto: part(tally.veto, weights.veto)?,
    })
}

/// A tally with one vote more.
pub(super) fn with(tally: &Tally, vote: (&Weights, Amount)) -> Result<Tally, Fault> {
    changed(tally, vote, u128::checked_add)
}

/// A tally without one of its votes.
pub(super) fn without(tally: &Tally, vote: (&Weights, Amount)) -> Result<Tally, Fault> {
    changed(tally, vote, u128::checked_sub)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::of_genesis_params;

    const WHOLE: u128 = 10_000;

    fn decided(votes: [u64; 4], bonded: u64, expedited: bool) -> Decision {
        let [yes, no, abstain, veto] = votes.map(|votes| u128::from(votes) * WHOLE);
        let tally = Tally {
            yes,
            no,
            abstain,
            veto,
        };
        let bonded = Amount::from_base_units(bonded).unwrap();
        decide(&tally, bonded, &of_genesis_params(&[]), expedited).unwrap()
    }

    #[test]
    fn each_bar_is_met_or_missed_by_one_base_unit() {
        // yes, no, abstain, veto; bonded; expedited; what it says
        let table = [
            ([0, 0, 0, 0], 0, false, Decision::NoQuorum),
            ([0, 0, 0, 0], 10_000, false, Decision::NoQuorum),
            // The quorum is 33.4 %, abstentions included.
            ([3_339, 0, 0, 0], 10_000, false, Decision::NoQuorum),
            ([3_340, 0, 0, 0], 10_000, false, Decision::Passed),
            ([1, 0, 3_339, 0], 10_000, false, Decision::Passed),
            ([0, 0, 3_340, 0], 10_000, false, Decision::Rejected),
            // A tie does not pass, one more does.
            ([5_000, 5_000, 0, 0], 10_000, false, Decision::Rejected),
            ([5_001, 5_000, 0, 0], 10_001, false, Decision::Passed),
            // Vetoes count against it, and from 33.4 % of all votes on they take the deposit.
            ([6_661, 0, 0, 3_339], 10_000, false, Decision::Passed),
            ([6_660, 0, 0, 3_340], 10_000, false, Decision::Vetoed),
            ([3_330, 0, 3_331, 3_339], 10_000, false, Decision::Rejected),
            // Expedited: more than 66.7 %.
            ([6_670, 3_330, 0, 0], 10_000, true, Decision::Rejected),
            ([6_671, 3_329, 0, 0], 10_000, true, Decision::Passed),
            // All money there can be.
            (
                [2_000_000_000_000_000_000, 0, 0, 0],
                2_000_000_000_000_000_000,
                true,
                Decision::Passed,
            ),
        ];
        for (votes, bonded, expedited, expected) in table {
            assert_eq!(
                decided(votes, bonded, expedited),
                expected,
                "{votes:?} of {bonded}"
            );
        }
    }
}
