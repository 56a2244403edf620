//! What events of sessions do to the index.

use super::{Place, change_node, change_slot, demand, orders, prices};
use crate::{
    explorer::{
        error::IndexError,
        records::{Batch, Lane},
        store::Writing,
    },
    json,
};
use fairweir_types::{
    Amount, Event,
    event::{BatchPosted, BatchSettled, LaneOpened},
};

pub(super) async fn happened(
    writing: &mut Writing,
    place: Place,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::LaneOpened(event) => opened(writing, place, event).await,
        Event::LaneToppedUp(event) => {
            let slot = json::slot_name(event.slot_id);
            let cap = event.cap;
            writing
                .change::<Lane>("slot_id", &slot, |lane| {
                    lane.cap = cap.to_string();
                    Ok(())
                })
                .await?;
            change_slot(writing, place, event.slot_id, "serving", |_| {}).await
        }
        Event::LaneClosing(event) => {
            let slot = json::slot_name(event.slot_id);
            writing
                .change::<Lane>("slot_id", &slot, |lane| {
                    "closing".clone_into(&mut lane.state);
                    lane.until_ms = event.until.to_string();
                    Ok(())
                })
                .await?;
            change_slot(writing, place, event.slot_id, "closing", |_| {}).await
        }
        Event::LaneClosed(event) => {
            let slot = json::slot_name(event.slot_id);
            writing
                .change::<Lane>("slot_id", &slot, |lane| {
                    "closed".clone_into(&mut lane.state);
                    lane.claimed = Some(event.claimed.to_string());
                    lane.returned = Some(event.returned.to_string());
                    Ok(())
                })
                .await?;
            change_slot(writing, place, event.slot_id, "closed", |_| {}).await
        }
        Event::BatchPosted(event) => posted(writing, place, event).await,
        Event::LinkDue(event) => {
            change_slot(writing, place, event.slot_id, "linking", |_| {}).await
        }
        Event::LinkRevealed(event) => {
            change_slot(writing, place, event.slot_id, "linking", |_| {}).await
        }
        Event::NothingDrawn(event) => {
            change_slot(writing, place, event.slot_id, "unsampled", |_| {}).await
        }
        Event::SampleChosen(event) => {
            change_slot(writing, place, event.slot_id, "sample_chosen", |_| {}).await
        }
        Event::LeavesDue(event) => {
            let samples: Vec<String> = event.samples.iter().map(Amount::to_string).collect();
            let slot = json::slot_name(event.slot_id);
            writing
                .change::<Batch>("slot_id", &slot, |batch| {
                    batch.samples = samples;
                    Ok(())
                })
                .await?;
            change_slot(writing, place, event.slot_id, "leaves_due", |_| {}).await
        }
        Event::LeavesShown(event) => {
            change_slot(writing, place, event.slot_id, "leaves_shown", |_| {}).await
        }
        Event::SharingDue(event) => {
            change_slot(writing, place, event.slot_id, "sharing", |_| {}).await
        }
        Event::LeavesShared(event) => {
            change_slot(writing, place, event.slot_id, "shared", |_| {}).await
        }
        Event::BatchSettled(event) => settled(writing, place, event).await,
        // The others are not of sessions.
        _ => Ok(()),
    }
}

async fn opened(writing: &mut Writing, place: Place, event: &LaneOpened) -> Result<(), IndexError> {
    let row = Lane {
        slot: json::slot_name(event.slot_id),
        session: event.slot_id.order.to_string(),
        height: place.height,
        time_ms: place.time_ms,
        state: "open".to_owned(),
        worker: event.worker.to_string(),
        buyer: event.payers.buyer.to_string(),
        delegate: event.payers.delegate.map(|delegate| delegate.to_string()),
        kind: event.kind.0,
        prices: prices(&event.prices),
        demand: demand(&event.demand),
        cap: event.cap.to_string(),
        until_ms: event.until.to_string(),
        batches: 0,
        claimed: None,
        returned: None,
    };
    writing.insert(place.seq(0)?, &row).await?;
    change_slot(writing, place, event.slot_id, "serving", |slot| {
        "lane".clone_into(&mut slot.of);
    })
    .await
}

async fn posted(
    writing: &mut Writing,
    place: Place,
    event: &BatchPosted,
) -> Result<(), IndexError> {
    let lane = json::slot_name(event.lane);
    let row = Batch {
        slot: json::slot_name(event.slot_id),
        lane: lane.clone(),
        number: event.number,
        height: place.height,
        time_ms: place.time_ms,
        state: "open".to_owned(),
        worker: event.worker.to_string(),
        root: event.root.digest.to_string(),
        requests: event.count,
        total: event.root.sum.to_string(),
        samples: Vec::new(),
        settlement: None,
        refund: None,
    };
    writing.insert(place.seq(0)?, &row).await?;
    let mut slot = orders::new_slot(place, event.slot_id, "batch", "posted");
    slot.worker = Some(event.worker.to_string());
    writing.insert(place.seq(0)?, &slot).await?;
    writing
        .change::<Lane>("slot_id", &lane, |lane| {
            lane.batches = lane.batches.saturating_add(1);
            Ok(())
        })
        .await
}

async fn settled(
    writing: &mut Writing,
    place: Place,
    event: &BatchSettled,
) -> Result<(), IndexError> {
    let how = (event.recomputed_by, event.disputed, event.randomness);
    let checks = event.checks.as_slice();
    let settlement = orders::settlement(place, event.paid, checks, event.burned, how);
    let slot = json::slot_name(event.slot_id);
    writing
        .change::<Batch>("slot_id", &slot, |batch| {
            "settled".clone_into(&mut batch.state);
            batch.samples = event.samples.iter().map(Amount::to_string).collect();
            batch.settlement = Some(settlement.clone());
            Ok(())
        })
        .await?;
    change_node(writing, place, event.paid.to, |node| {
        node.settled = node.settled.saturating_add(1);
    })
    .await?;
    change_slot(writing, place, event.slot_id, "settled", |slot| {
        slot.settlement = Some(settlement);
    })
    .await
}
