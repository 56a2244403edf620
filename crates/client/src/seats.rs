//! Learning who has seats: from the blocks that handed them over, each checked by those who had them before.

use crate::{BlockError, ClientError, EventStream, NodeClient};
use fairweir_chain::light::{LightClient, LightError};
use fairweir_net::Network;
use fairweir_types::{
    Event, Height,
    handover::{Checkpoint, Handover, Handovers, began},
    limits::BLOCK_EVENTS_MAX,
};

/// Handovers that are followed back at most, as a node tells of them: one every five minutes for ten years.
const STEPS_MAX: usize = 1 << 20;

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
        if handovers.len() > STEPS_MAX {
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
    // The last block of an epoch has a certificate of its own.
    if !proof.descendants.is_empty() {
        return Err(ClientError::OtherAnswer.into());
    }
    let handover = Handover::of(proof.header, proof.certificate, &events);
    handover.ok_or(BlockError::Finality {
        height,
        source: LightError::NoHandover { height },
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

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use crate::scripted::{client_of, status};
    use commonware_codec::Encode as _;
    use commonware_runtime::{Runner as _, deterministic};
    use fairweir_types::{
        AccountKey, Amount, BoundedText, BoundedVec, Boxed, ChainId, Genesis, GenesisAccount,
        Millis, SecretKey, Validator,
        event::EpochBegan,
        keys::VoteSecretKey,
        node_api::{EventPage, NodeReply, NodeRequest, Refusal},
    };
    use std::sync::{Arc, Mutex};

    fn light() -> LightClient {
        let key = SecretKey::from_seed([1; 32]).unwrap();
        let AccountKey::Ed25519(identity) = key.account_key();
        let vote_key = VoteSecretKey::from_seed([2; 32]).unwrap();
        let validator = Validator {
            identity: identity.encode().as_ref().try_into().unwrap(),
            vote_key: vote_key.vote_key(),
            possession: vote_key.prove_possession(),
            payout: key.address(),
        };
        let account = GenesisAccount {
            address: key.address(),
            balance: Amount::from_coins(1_000).unwrap(),
        };
        let genesis = Genesis {
            chain_id: ChainId::new("dev-seats").unwrap(),
            time: Millis(0),
            accounts: BoundedVec::new(vec![account]).unwrap(),
            validators: BoundedVec::new(vec![validator]).unwrap(),
            params: BoundedVec::default(),
            services: BoundedVec::default(),
        };
        LightClient::new(&genesis).unwrap()
    }

    fn page(height: Height, events: Vec<Event>, more: bool) -> NodeReply {
        NodeReply::Events(EventPage {
            height,
            time: Millis(0),
            first: 0,
            more,
            events: BoundedVec::new(events).unwrap(),
        })
    }

    /// The events with which an epoch began.
    fn began_event(epoch: u64, since: u64) -> Event {
        Event::EpochBegan(Boxed::new(EpochBegan {
            epoch,
            ends: Height(1),
            by_stake: true,
            since,
            seats: BoundedVec::default(),
        }))
    }

    fn refused(code: &str) -> NodeReply {
        NodeReply::Refused(Refusal {
            code: BoundedText::truncating(code),
            reason: BoundedText::truncating(code),
        })
    }

    /// What `learn_seats` says of the seats of an epoch when a node says of each epoch since when its seats are held (nothing: the block is not there any more), and of which
    /// epochs the node was asked.
    fn walk(
        to: u64,
        newest: u64,
        since: impl Fn(u64) -> Option<u64> + Send + 'static,
    ) -> (Result<Vec<Handover>, BlockError>, Vec<u64>) {
        deterministic::Runner::seeded(1).start(|context| async move {
            let mut light = light();
            let length = light.foot_of(1).get();
            let (asked, seen) = (Arc::new(Mutex::new(Vec::new())), light.clone());
            let noted = Arc::clone(&asked);
            let client = client_of(&context, move |request| {
                vec![match request {
                    NodeRequest::Follow(follow) => {
                        let epoch = follow.from.get() / length;
                        assert_eq!(follow.from, seen.foot_of(epoch));
                        noted.lock().unwrap().push(epoch);
                        match since(epoch) {
                            Some(since) => {
                                page(follow.from, vec![began_event(epoch, since)], false)
                            }
                            None => refused("pruned"),
                        }
                    }
                    NodeRequest::Status(_) => {
                        let height = Height(seen.foot_of(newest).get() + 1);
                        let chain = ChainId::new("dev-seats").unwrap();
                        NodeReply::Status(Boxed::new(status(&chain, height)))
                    }
                    // The walk back is over.
                    NodeRequest::Block(_) => refused("not_found"),
                    other => panic!("an unexpected question: {other:?}"),
                }]
            });
            let height = Height(light.foot_of(to).get() + 1);
            let learned = learn_seats(&client, (&mut light, None), height).await;
            let asked = asked.lock().unwrap().clone();
            (learned, asked)
        })
    }

    fn code(result: &Result<Vec<Handover>, BlockError>) -> &str {
        match result {
            Err(BlockError::Client(ClientError::OtherAnswer)) => "other answer",
            Err(BlockError::Client(error)) => error.refusal_code().unwrap_or("network"),
            Err(_) => "block",
            Ok(_) => "learnt",
        }
    }

    #[test]
    fn seats_are_followed_back_to_those_that_are_known() {
        let steps = |epoch| Some(if epoch >= 7 { 7 } else { 4.min(epoch) });
        let (result, asked) = walk(9, 9, steps);
        // Those of 9 are held since 7, before since 4, before since the epochs 3, 2 and 1 each; then the blocks of handovers are asked for, the oldest first.
        assert_eq!(asked, [9, 7, 6, 4, 3, 2, 1]);
        assert_eq!(code(&result), "not_found");
        // Nobody's seats changed.
        let (result, asked) = walk(9, 9, |_| Some(0));
        assert_eq!((code(&result), asked), ("learnt", vec![9]));
    }

    #[test]
    fn an_old_block_that_is_gone_is_found_from_the_newest() {
        let (result, asked) = walk(3, 9, |epoch| (epoch >= 8).then_some(0));
        assert_eq!((code(&result), asked), ("learnt", vec![3, 9]));
        // Also the newest is gone: that is said, not asked for again.
        let (result, asked) = walk(3, 9, |_| None);
        assert_eq!((code(&result), asked), ("pruned", vec![3, 9]));
    }

    #[test]
    fn a_node_that_leads_nowhere_is_not_followed() {
        // The epoch that was named says another one.
        let (result, asked) = walk(1_000, 1_000, |epoch| Some(epoch - 1));
        assert_eq!((code(&result), asked), ("other answer", vec![1_000, 999]));
        // Later than itself.
        let (result, asked) = walk(5, 5, |epoch| Some(epoch + 1));
        assert_eq!((code(&result), asked), ("other answer", vec![5]));
    }

    #[test]
    fn events_end() {
        let walk = |pages: Vec<NodeReply>| {
            deterministic::Runner::seeded(1).start(|context| async move {
                let client = client_of(&context, move |_| pages.clone());
                let mut stream = client.follow(Height(5)).await.unwrap();
                events_at(&mut stream, Height(5)).await
            })
        };
        let event = began_event(1, 1);
        let two = vec![
            page(Height(5), vec![event.clone()], true),
            page(Height(5), vec![event.clone()], false),
        ];
        assert_eq!(walk(two).unwrap().len(), 2);
        for pages in [
            // Nothing, and more of it.
            vec![page(Height(5), Vec::new(), true)],
            // Another block.
            vec![page(Height(6), vec![event.clone()], false)],
            // The stream ends.
            vec![page(Height(5), vec![event], true)],
        ] {
            assert!(walk(pages).is_err());
        }
    }
}
