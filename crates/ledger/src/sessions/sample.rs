//! Which leaves of a batch are checked.

use super::Batch;
use crate::{
    execution::Execution,
    fault::{Fault, counted, present},
    market::{Phase, Slot, Timer, seed, store_slot},
    params::Params,
};
use fairweir_types::{
    BoundedVec, Boxed, Bps, Digest, Event,
    digest::Domain,
    event::LeavesDue,
    limits::{BATCH_REQUESTS_MAX, BATCH_SAMPLES_MAX},
    order::SlotId,
};
use std::collections::BTreeSet;

fn samples_limit() -> u64 {
    u64::try_from(BATCH_SAMPLES_MAX).unwrap_or(u64::MAX)
}

/// Requests that one batch may hold: so many that its samples at the governed rate never exceed the limit.
pub(super) fn requests_max(params: &Params) -> u32 {
    let rate = params.sampling_bps.max(1);
    let most = samples_limit()
        .saturating_mul(Bps::WHOLE)
        .checked_div(rate)
        .unwrap_or(0);
    u32::try_from(most)
        .unwrap_or(u32::MAX)
        .clamp(1, BATCH_REQUESTS_MAX)
}

/// The most leaves that may be drawn of so many: the expected number, rounded up.
pub(super) fn samples_max(params: &Params, count: u32) -> u64 {
    u64::from(count)
        .saturating_mul(params.sampling_bps)
        .div_ceil(Bps::WHOLE)
        .min(u64::from(count))
        .min(samples_limit())
}

/// Draws the positions to check: the expected number, its fraction by lot, without putting back; ascending.
fn draw_positions(params: &Params, count: u32, seed: &Digest) -> Result<Vec<u32>, Fault> {
    let lot = |number: u64| {
        Digest::of(Domain::Draw, &[seed.as_bytes(), &number.to_be_bytes()]).leading_u64()
    };
    // A 64-bit lot scaled to a bound: the bias is below bound ÷ 2^64.
    let scaled = |number: u64, bound: u64| -> Result<u64, Fault> {
        let product = counted(
            u128::from(lot(number)).checked_mul(u128::from(bound)),
            "lot",
        )?;
        Ok(u64::try_from(product.wrapping_shr(64)).unwrap_or(u64::MAX))
    };
    let expected = u64::from(count).saturating_mul(params.sampling_bps);
    let whole = expected.checked_div(Bps::WHOLE).unwrap_or(0);
    let fraction = expected.checked_rem(Bps::WHOLE).unwrap_or(0);
    let by_lot = u64::from(scaled(0, Bps::WHOLE)? < fraction);
    let wanted = whole.saturating_add(by_lot).min(samples_max(params, count));
    let mut chosen = BTreeSet::new();
    // Robert Floyd's sampling: one lot for each position, whatever was drawn before.
    for (number, bound) in (1u64..).zip(u64::from(count).saturating_sub(wanted)..u64::from(count)) {
        let drawn = scaled(number, bound.saturating_add(1))?;
        let position = if chosen.contains(&drawn) {
            bound
        } else {
            drawn
        };
        chosen.insert(position);
    }
    Ok(chosen
        .into_iter()
        .map(|position| u32::try_from(position).unwrap_or(u32::MAX))
        .collect())
}

/// Draws the samples of a batch; without any it only waits for its time.
pub(crate) fn sample(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let batch: &mut Batch = present(
        slot.batch.as_mut(),
        "batch of a slot that awaits its samples",
    )?;
    let seed = seed(execution, b"sample", slot_id, 0);
    let positions = draw_positions(&execution.params, batch.count, &seed)?;
    batch.samples = BoundedVec::truncating(positions);
    let samples = batch.samples.clone();
    slot.randomness = execution.randomness;
    let (phase, window) = if samples.is_empty() {
        (Phase::Unsampled, execution.params.challenge_window)
    } else {
        (Phase::Showing, execution.params.open_window)
    };
    slot.phase = phase;
    let worker = slot.assigned()?;
    let due = execution.window_end(window)?;
    let height = execution.window_height()?;
    store_slot(execution, slot_id, &mut slot, Timer { time: due, height });
    if phase == Phase::Showing {
        execution.emit(Event::LeavesDue(Boxed::new(LeavesDue {
            slot_id,
            worker,
            samples,
            due,
        })));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::of_genesis_params;
    use fairweir_types::genesis::GenesisParam;

    fn params(rate: u64) -> Params {
        of_genesis_params(&[GenesisParam {
            param: crate::params::number_of("sampling_bps").unwrap(),
            value: rate,
        }])
    }

    #[test]
    fn positions_are_distinct_and_each_is_drawn_as_often_as_the_rate_says() {
        let params = params(500);
        let mut drawn = [0u32; 30];
        for number in 0..8_000u32 {
            let seed = Digest::of(Domain::Draw, &[&number.to_be_bytes()]);
            let positions = draw_positions(&params, 30, &seed).unwrap();
            // 30 at 5 % are 1.5.
            assert!((1..=2).contains(&positions.len()));
            assert!(positions.is_sorted_by(|earlier, later| earlier < later));
            for position in positions {
                drawn[usize::try_from(position).unwrap()] += 1;
            }
        }
        for count in drawn {
            // Expected 400; the standard deviation is below 20.
            assert!(count.abs_diff(400) < 100, "{drawn:?}");
        }
    }

    #[test]
    fn no_batch_may_need_more_samples_than_there_is_room_for() {
        // rate, requests at most
        for (rate, requests) in [(1, 65_536), (100, 1_600), (10_000, 16)] {
            let params = params(rate);
            assert_eq!(requests_max(&params), requests);
            assert!(samples_max(&params, requests) <= samples_limit());
            let positions = draw_positions(&params, requests, &Digest::ZERO).unwrap();
            assert!(positions.len() <= BATCH_SAMPLES_MAX);
        }
    }
}
