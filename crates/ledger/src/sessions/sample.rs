//! Which leaves of a batch are checked.

use super::{Batch, links::ask_for_link, share_leaves::readers_of};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    market::{Order, Phase, Slot, Timer, begin_window, order, seed, store_slot},
    params::{Params, money},
    verification,
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Bps, Digest, Event, Height, Millis,
    digest::Domain,
    event::{LeavesDue, NothingDrawn, SampleChosen},
    limits::{BATCH_REQUESTS_MAX, BATCH_SAMPLES_MAX},
    order::SlotId,
    receipt::Tier,
};

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

/// Draws the offsets of a batch to check, from what the beacon gave and, if it was revealed, the link of a verifier: the expected number, each anywhere
/// in what the batch costs; ascending.
///
/// Drawn by value, not by position, so that a claim is found as often as it is worth: whoever hides one dear leaf among many cheap ones
/// is drawn for the dear one. Two may fall into one leaf. What the expected number is more than a whole one is decided by lot; but without a link
/// it counts as one, so that nobody withholds its link in order that nothing be drawn.
///
/// # Errors
/// [`Fault::Counter`] if more is drawn than numbers can say, which governed ranges exclude.
pub fn draw_offsets(
    params: &Params,
    (count, total): (u32, Amount),
    seed: &Digest,
    link: Option<&Digest>,
) -> Result<Vec<Amount>, Fault> {
    let seed = link.map_or(*seed, |link| {
        Digest::of(Domain::Draw, &[seed.as_bytes(), link.as_bytes()])
    });
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
    let most = samples_max(params, count);
    let wanted = match link {
        Some(_) => whole.saturating_add(by_lot).min(most),
        None => most,
    };
    let mut drawn = Vec::new();
    for number in 1..=wanted {
        drawn.push(money(scaled(number, total.base_units())?));
    }
    drawn.sort_unstable();
    Ok(drawn)
}

/// Turns of proposers among which the block is drawn that draws a batch's verifiers.
pub(crate) const TURNS_MAX: u16 = 32;

/// Which block from the next one on draws the verifiers of a batch, and gives the seed of its samples: one of a whole round of the validators' turns, each as likely. So a worker
/// cannot post its batch two blocks before the turn of a proposer that is its friend, who would withhold its block when the draw is bad.
fn turn(validators: u16, seed: &Digest) -> u64 {
    let lot = u128::from(seed.leading_u64());
    // A 64-bit lot scaled to a few turns: the bias is below 2^-59.
    let scaled = lot.saturating_mul(u128::from(validators.min(TURNS_MAX)));
    u64::try_from(scaled.wrapping_shr(64)).unwrap_or(0)
}

/// Draws the block that draws a batch's verifiers.
fn put_off(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (mut slot, mut batch): (Slot, Batch),
) -> Result<(), Fault> {
    let seed = seed(execution, b"turn", slot_id, 0);
    let blocks = counted(turn(execution.validators, &seed).checked_add(1), "turns")?;
    let height = execution.context.height.checked_add(Height(blocks));
    let height = counted(height, "height")?;
    batch.draws_at = height;
    slot.batch = Some(batch);
    let timer = Timer {
        time: Millis::ZERO,
        height,
    };
    store_slot(execution, slot_id, &mut slot, timer);
    Ok(())
}

/// Draws the verifiers of a batch, one of whom must reveal the link from which its samples are drawn.
///
/// The worker knows its verifiers before it shows, and can do nothing with it: root and samples fix all that it may show.
pub(crate) fn draw_verifiers(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let batch = present(slot.batch.take(), "batch of a slot that awaits its samples")?;
    // A single validator makes every block, whenever it is.
    if execution.validators > 1 && batch.draws_at == Height::ZERO {
        return put_off(execution, slot_id, (slot, batch));
    }
    let seed = seed(execution, b"sample", slot_id, 0);
    slot.batch = Some(batch);
    let chosen = verification::choose(execution, slot_id, slot, Tier::First)?;
    let Some(mut slot) = chosen else {
        return Ok(());
    };
    let mut batch = present(slot.batch.take(), "batch of a slot that was drawn for")?;
    batch.seed = seed;
    ask_for_link(execution, slot_id, (slot, batch))
}

/// Draws the samples of a batch, whose worker must show them; without any it only waits for its time.
pub(super) fn draw_samples(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let mut batch = present(slot.batch.take(), "batch of a slot that is linked")?;
    let link = batch.link.and_then(|asked| asked.link);
    let order = present(
        order(&execution.overlay, slot_id.order)?,
        "order of a batch",
    )?;
    let claim = (batch.count, batch.root.sum);
    let params = order.terms.over(&execution.params);
    let offsets = draw_offsets(&params, claim, &batch.seed, link.as_ref())?;
    batch.samples = BoundedVec::truncating(offsets);
    let is_empty = batch.samples.is_empty();
    slot.batch = Some(batch);
    if is_empty {
        let worker = slot.assigned()?;
        let window = (Phase::Unsampled, execution.params.challenge_window);
        begin_window(execution, slot_id, &mut slot, window)?;
        execution.emit(Event::NothingDrawn(NothingDrawn { slot_id, worker }));
        return Ok(());
    }
    ask_for_leaves(execution, slot_id, slot)
}

/// What a check earns of the dearest request that a batch may hold, or of its samples in the mean, if that is more.
pub(crate) fn check_of_dearest(
    execution: &Execution<'_>,
    order: &Order,
    (slot, total): (&Slot, Amount),
) -> Result<Amount, Fault> {
    let params = order.terms.over(&execution.params);
    let dearest = slot.prices.quote(&order.header.demand.units).or_fault()?;
    let share = Params::share_up(dearest.at_most(total), params.check_fee_bps).or_fault()?;
    Ok(share.max(money(params.check_fee_min)).max(order.check_fee))
}

/// Takes what the buyer of a batch of which nothing was drawn wants to have checked: the leaf at an offset below what it costs.
pub(crate) fn choose_sample(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    (buyer, at): (Address, Amount),
    check: Amount,
) -> Result<(), Fault> {
    let batch = present(slot.batch.as_mut(), "batch of which nothing was drawn")?;
    batch.samples = BoundedVec::truncating(vec![at]);
    batch.chosen_check = Some(check);
    execution.emit(Event::SampleChosen(SampleChosen { slot_id, buyer, at }));
    ask_for_leaves(execution, slot_id, slot)
}

/// The worker of a batch must show the leaves that its samples fall into.
fn ask_for_leaves(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let batch = present(slot.batch.as_ref(), "batch of which leaves are due")?;
    let samples = batch.samples.clone();
    let (worker, readers) = (slot.assigned()?, readers_of(&slot.first));
    let window = (Phase::Showing, execution.params.open_window);
    let due = begin_window(execution, slot_id, &mut slot, window)?;
    execution.emit(Event::LeavesDue(Boxed::new(LeavesDue {
        slot_id,
        worker,
        samples,
        readers,
        due,
    })));
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
    fn what_is_dear_is_drawn_as_often_as_it_is_worth() {
        let params = params(500);
        // One leaf of 700, then ten of 30: 1.5 of 30 requests are drawn, so the dear one 1.05 times.
        let total = Amount::from_base_units(1_000).unwrap();
        let (mut dear, mut all) = (0u32, 0u32);
        for number in 0..4_000u32 {
            let seed = Digest::of(Domain::Draw, &[&number.to_be_bytes()]);
            let offsets = draw_offsets(&params, (30, total), &Digest::ZERO, Some(&seed)).unwrap();
            assert!((1..=2).contains(&offsets.len()));
            assert!(offsets.is_sorted() && offsets.iter().all(|offset| *offset < total));
            all += u32::try_from(offsets.len()).unwrap();
            dear +=
                u32::try_from(offsets.iter().filter(|at| at.base_units() < 700).count()).unwrap();
        }
        // Expected 6000 and 4200; the standard deviations are below 40.
        assert!(all.abs_diff(6_000) < 200, "{all}");
        assert!(dear.abs_diff(4_200) < 200, "{dear}");
    }

    #[test]
    fn beacon_and_link_decide_and_a_missing_link_lets_nothing_off() {
        let params = params(100);
        let total = Amount::from_base_units(1_000_000).unwrap();
        let digest = |number: u32| Digest::of(Domain::HashChain, &[&number.to_be_bytes()]);
        let draw = |count, seed, link: Option<u32>| {
            let link = link.map(digest);
            draw_offsets(&params, (count, total), &digest(seed), link.as_ref()).unwrap()
        };
        let drawn = draw(400, 1, Some(2));
        assert_eq!(drawn.len(), 4);
        for (seed, link) in [(1, Some(3)), (3, Some(2)), (2, Some(1)), (1, None)] {
            assert_ne!(draw(400, seed, link), drawn);
        }
        // Of 25 requests a quarter of the batches has a sample; without a link all have.
        let sampled = |link: &dyn Fn(u32) -> Option<u32>| -> usize {
            (0..400).map(|number| draw(25, 1, link(number)).len()).sum()
        };
        let found = sampled(&Some);
        assert!(found.abs_diff(100) < 30, "{found}");
        assert_eq!(sampled(&|_| None), 400);
    }

    #[test]
    fn every_proposer_of_a_round_draws_as_often_as_the_others() {
        let mut counts = [0u32; 4];
        for number in 0..4_000u32 {
            let seed = Digest::of(Domain::Draw, &[&number.to_be_bytes()]);
            let turn = usize::try_from(turn(4, &seed)).unwrap();
            counts[turn] += 1;
            assert!(super::turn(1_000, &seed) < u64::from(TURNS_MAX));
        }
        // Expected 1000 each; the standard deviation is below 28.
        assert!(
            counts.iter().all(|count| count.abs_diff(1_000) < 140),
            "{counts:?}"
        );
    }

    #[test]
    fn no_batch_may_need_more_samples_than_there_is_room_for() {
        // rate, requests at most
        for (rate, requests) in [(1, 16_384), (100, 1_600), (10_000, 16)] {
            let params = params(rate);
            assert_eq!(requests_max(&params), requests);
            assert!(samples_max(&params, requests) <= samples_limit());
            let total = Amount::from_coins(1).unwrap();
            let drawn = draw_offsets(&params, (requests, total), &Digest::ZERO, None).unwrap();
            assert!(drawn.len() <= BATCH_SAMPLES_MAX);
        }
    }
}
