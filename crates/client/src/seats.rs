//! Learning who has seats: from the blocks that handed them over, each checked by those who had them before.

use crate::{BlockError, ClientError, EventStream, NodeClient};
use fairweir_chain::light::LightClient;
use fairweir_net::Network;
use fairweir_types::{Event, Height, event::EpochBegan, limits::BLOCK_EVENTS_MAX};

/// Handovers that a node may tell of: one every five minutes for ten years.
const HANDOVERS_MAX: usize = 1 << 20;

/// Brings a light client to those who have the seats in the epoch of a block, by asking a node, which is not believed.
///
/// It asks for one block for each time that the seats changed hands, and for those that say when they did.
///
/// # Errors
/// [`BlockError`].
pub async fn learn_seats<N: Network>(
    client: &NodeClient<N>,
    light: &mut LightClient,
    height: Height,
) -> Result<(), BlockError> {
    let mut epoch = light.epoch_of(height);
    // Nothing of this is checked yet, so only numbers are kept.
    let mut handovers: Vec<u64> = Vec::new();
    while epoch > light.known_since() {
        let foot = light.foot_of(epoch);
        let events = events_at(&mut client.follow(foot).await?, foot).await?;
        let began = began(&events).filter(|began| began.epoch == epoch && began.since <= epoch);
        let since = began.ok_or(ClientError::OtherAnswer)?.since;
        if since == epoch {
            handovers.push(epoch);
            epoch = epoch.saturating_sub(1);
        } else {
            epoch = since;
        }
        if handovers.len() > HANDOVERS_MAX {
            return Err(ClientError::OtherAnswer.into());
        }
    }
    for epoch in handovers.into_iter().rev() {
        let foot = light.foot_of(epoch);
        let proof = client.block(foot).await?;
        let events = events_at(&mut client.follow(foot).await?, foot).await?;
        let handed = light.hand_over(&proof.header, proof.certificate.as_slice(), &events);
        handed.map_err(|source| BlockError::Finality {
            height: foot,
            source,
        })?;
    }
    Ok(())
}

/// What began with a block's events.
pub(crate) fn began(events: &[Event]) -> Option<&EpochBegan> {
    events.iter().find_map(|event| match event {
        Event::EpochBegan(began) => Some(&**began),
        _ => None,
    })
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
        events.extend(page.events.into_vec());
        if !more {
            return Ok(events);
        }
        if events.len() > BLOCK_EVENTS_MAX {
            return Err(ClientError::OtherAnswer.into());
        }
    }
}
