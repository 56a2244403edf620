//! Learning who has seats: from the blocks that handed them over, each checked by those who had them before.

use crate::{BlockError, ClientError, EventStream, NodeClient};
use fairweir_chain::light::{LightClient, LightError};
use fairweir_net::Network;
use fairweir_types::{
    Event, Height,
    handover::{Checkpoint, Handover, Handovers, began},
    limits::BLOCK_EVENTS_MAX,
};

/// Handovers that a node may tell of: one every five minutes for ten years.
const HANDOVERS_MAX: usize = 1 << 20;

/// Brings a light client to those who have the seats in the epoch of a block, by asking a node, which is not believed: from what it knows, or from a checkpoint.
///
/// It asks for one block for each time that the seats changed hands, and for those that say when they did. Returns these handovers, in their order.
///
/// # Errors
/// [`BlockError`].
pub async fn learn_seats<N: Network>(
    client: &NodeClient<N>,
    (light, checkpoint): (&mut LightClient, Option<Checkpoint>),
    height: Height,
) -> Result<Vec<Handover>, BlockError> {
    let mut handed = Vec::new();
    if let Some(checkpoint) = checkpoint {
        let height = checkpoint.height;
        let trusted = handover_at(client, height).await?;
        light
            .begin_at(checkpoint, &trusted)
            .map_err(|source| BlockError::Finality { height, source })?;
        handed.push(trusted);
    }
    let handovers = match handovers_before(client, light, light.epoch_of(height)).await {
        // Old blocks are gone there, but not those that handed the seats over: they are found from the newest.
        Err(BlockError::Client(error)) if error.refusal_code() == Some("pruned") => {
            let tip = client.status().await?.header.height;
            let next = light.epoch_of(Height(tip.get().saturating_add(1)));
            handovers_before(client, light, next).await?
        }
        found => found?,
    };
    for epoch in handovers.into_iter().rev() {
        let height = light.foot_of(epoch);
        let handover = handover_at(client, height).await?;
        light
            .hand_over(&handover)
            .map_err(|source| BlockError::Finality { height, source })?;
        handed.push(handover);
    }
    Ok(handed)
}

/// The epochs up to one since which others than before have the seats, the newest first, as far as they are not known; as a node tells it. Nothing of this is
/// checked yet, so only numbers are kept.
async fn handovers_before<N: Network>(
    client: &NodeClient<N>,
    light: &LightClient,
    mut epoch: u64,
) -> Result<Vec<u64>, BlockError> {
    let mut handovers: Vec<u64> = Vec::new();
    // An epoch that was named as the first of its seats has to say so itself: so each handover costs two steps at most.
    let mut is_named = false;
    while epoch > light.known_since() {
        let foot = light.foot_of(epoch);
        let events = events_at(&mut client.follow(foot).await?, foot).await?;
        let began = began(&events).filter(|began| began.epoch == epoch && began.since <= epoch);
        let since = began.ok_or(ClientError::OtherAnswer)?.since;
        if since == epoch {
            handovers.push(epoch);
            epoch = epoch.saturating_sub(1);
            is_named = false;
        } else if is_named {
            return Err(ClientError::OtherAnswer.into());
        } else {
            epoch = since;
            is_named = true;
        }
        if handovers.len() > HANDOVERS_MAX {
            return Err(ClientError::OtherAnswer.into());
        }
    }
    Ok(handovers)
}

/// The same from a file: the first of its handovers is the checkpoint, if one is named.
///
/// # Errors
/// [`LightError`]; the client has taken over those before the one that does not hold.
pub fn take_over(
    light: &mut LightClient,
    checkpoint: Option<Checkpoint>,
    file: &Handovers,
) -> Result<(), LightError> {
    let mut handovers = file.handovers.iter();
    if let Some(checkpoint) = checkpoint {
        let height = checkpoint.height;
        let first = handovers.next();
        let first = first.ok_or(LightError::NoHandover { height })?;
        light.begin_at(checkpoint, first)?;
    }
    for handover in handovers {
        light.hand_over(handover)?;
    }
    Ok(())
}

/// The handover with the last block of an epoch, as a node tells it.
///
/// # Errors
/// [`BlockError`].
pub async fn handover_at<N: Network>(
    client: &NodeClient<N>,
    height: Height,
) -> Result<Handover, BlockError> {
    let proof = client.block(height).await?;
    let events = events_at(&mut client.follow(height).await?, height).await?;
    let none = || BlockError::Finality {
        height,
        source: LightError::NoHandover { height },
    };
    // The last block of an epoch has a certificate of its own.
    if !proof.descendants.is_empty() {
        return Err(none());
    }
    Handover::of(proof.header, proof.certificate, &events).ok_or_else(none)
}

/// All events of the block that comes next in a stream.
///
/// # Errors
/// [`BlockError::OtherHeight`] if it is another block.
pub(crate) async fn events_at<N: Network>(
    stream: &mut EventStream<N>,
    height: Height,
) -> Result<Vec<Event>, BlockError> {
    let mut events = Vec::new();
    loop {
        let page = stream.next().await?;
        if page.height != height {
            return Err(BlockError::OtherHeight {
                expected: height,
                found: page.height,
            });
        }
        let more = page.more;
        if more && page.events.is_empty() {
            return Err(ClientError::OtherAnswer.into());
        }
        events.extend(page.events.into_vec());
        if !more {
            return Ok(events);
        }
        if events.len() > BLOCK_EVENTS_MAX {
            return Err(ClientError::OtherAnswer.into());
        }
    }
}
