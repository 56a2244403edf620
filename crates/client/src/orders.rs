//! Buying: post, follow, fetch, prove.

use crate::{
    ClientError, NodeClient, Sender,
    protocol::{ANSWER_DEADLINE, DELIVERY, MESSAGE_BYTES_MAX},
};
use commonware_codec::Encode;
use fairweir_net::{FrameStream, Network, PeerAddr, request};
use fairweir_types::{
    Action, Address, BoundedBytes, Boxed, Event, Height, SecretKey, decode,
    event::{Refunded, Settled},
    keys::Purpose,
    merkle,
    node_api::{Delivery, DeliveryReply, DeliveryRequest, DeskRequest, EventPage},
    order::{KindId, OrderHeader, OrderId, SlotId},
    proof::{self, ReceiptProof},
    receipt::{SignedStop, Stop},
    tx::PostOrder,
};
use std::time::Duration;

/// An order that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its id.
    pub order: OrderId,
    /// The block that it is in: where to follow from.
    pub height: Height,
}

/// Posts an order. A spec that is not inline must be in the node's blob store before.
///
/// # Errors
/// [`ClientError`].
pub async fn post<N: Network>(
    sender: &Sender<N>,
    header: OrderHeader,
) -> Result<Posted, ClientError> {
    let included = sender
        .send(Action::PostOrder(Boxed::new(PostOrder { header })))
        .await?;
    let buyer = sender.key().address();
    let mut failures = 0;
    loop {
        match posted_by(sender.client(), buyer, included.height).await {
            Err(error) if error.is_retryable() && failures < FAILURES_MAX => failures += 1,
            posted => return posted,
        }
    }
}

/// Finds an account's order in the block that it is in: an account has one transaction under way at a time.
async fn posted_by<N: Network>(
    client: &NodeClient<N>,
    buyer: Address,
    height: Height,
) -> Result<Posted, ClientError> {
    let mut events = client.follow(height).await?;
    loop {
        let page = events.next().await?;
        if page.height > height {
            return Err(ClientError::OtherAnswer);
        }
        let posted = page.events.iter().find_map(|event| match event {
            Event::OrderPosted(posted) if posted.buyer == buyer => Some(posted.order),
            _ => None,
        });
        if let Some(order) = posted {
            return Ok(Posted { order, height });
        }
    }
}

/// How a slot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEnd {
    /// The worker was paid.
    Settled(Settlement),
    /// The buyer got its money back.
    Refunded(Refunded),
}

/// A settlement, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The event.
    pub settled: Settled,
    /// The block.
    pub height: Height,
    /// The event's position in its block.
    pub position: usize,
}

/// Whether an event is about an order.
#[must_use]
pub fn concerns(event: &Event, order: OrderId) -> bool {
    slot_of(event).is_some_and(|slot| slot.order == order)
        || match event {
            Event::OrderPosted(posted) => posted.order == order,
            Event::OrderClosed(closed) => closed.order == order,
            Event::ToppedUp(topped_up) => topped_up.order == order,
            _ => false,
        }
}

/// The slot that an event is about.
#[must_use]
pub fn slot_of(event: &Event) -> Option<SlotId> {
    match event {
        Event::Slashed(event) => Some(event.slot_id),
        Event::Matched(event) => Some(event.slot_id),
        Event::Unmatched(event) => Some(event.slot_id),
        Event::ReceiptSubmitted(event) => Some(event.slot_id),
        Event::VerifiersDrawn(event) => Some(event.slot_id),
        Event::DisputeUnderstaffed(event) => Some(event.slot_id),
        Event::VerdictCommitted(event) => Some(event.slot_id),
        Event::OpeningDue(event) => Some(event.slot_id),
        Event::ReceiptOpened(event) => Some(event.slot_id),
        Event::RevealDue(event) => Some(event.slot_id),
        Event::VerdictRevealed(event) => Some(event.slot_id),
        Event::Disputed(event) => Some(event.slot_id),
        Event::Judged(event) => Some(event.slot_id),
        Event::Settled(event) => Some(event.slot_id),
        Event::Refunded(event) => Some(event.slot_id),
        Event::WorkerReplaced(event) => Some(event.slot_id),
        Event::LaneOpened(event) => Some(event.slot_id),
        Event::LaneToppedUp(event) => Some(event.slot_id),
        Event::SharingDue(event) => Some(event.slot_id),
        Event::LeavesShared(event) => Some(event.slot_id),
        Event::LaneClosing(event) => Some(event.slot_id),
        Event::LaneClosed(event) => Some(event.slot_id),
        Event::BatchPosted(event) => Some(event.slot_id),
        Event::LinkDue(event) => Some(event.slot_id),
        Event::LinkRevealed(event) => Some(event.slot_id),
        Event::NothingDrawn(event) => Some(event.slot_id),
        Event::SampleChosen(event) => Some(event.slot_id),
        Event::LeavesDue(event) => Some(event.slot_id),
        Event::LeavesShown(event) => Some(event.slot_id),
        Event::BatchSettled(event) => Some(event.slot_id),
        Event::Appealed(event) => Some(event.slot_id),
        Event::AppealNarrowed(event) => Some(event.slot_id),
        Event::AppealDecided(event) => Some(event.slot_id),
        Event::AppealsOpen(event) => Some(event.slot_id),
        Event::Transferred(_)
        | Event::Bonded(_)
        | Event::Unbonding(_)
        | Event::Unbonded(_)
        | Event::OfferRegistered(_)
        | Event::OfferWithdrawn(_)
        | Event::VerifierEnrolled(_)
        | Event::VerifierLeft(_)
        | Event::OrderPosted(_)
        | Event::ToppedUp(_)
        | Event::OrderClosed(_)
        | Event::DelegateGranted(_)
        | Event::DelegateRevoked(_)
        | Event::ProposalSubmitted(_)
        | Event::DepositAdded(_)
        | Event::VotingStarted(_)
        | Event::Voted(_)
        | Event::ProposalPassed(_)
        | Event::MotionAnswered(_)
        | Event::MotionAppealed(_)
        | Event::ProposalEnded(_)
        | Event::ParamChanged(_)
        | Event::TreasurySpent(_)
        | Event::Penalised(_)
        | Event::ModulePaused(_)
        | Event::ModuleResumed(_)
        | Event::UpgradePlanned(_)
        | Event::UpgradeBegan(_)
        | Event::WithdrawalsHalted(_)
        | Event::WithdrawalsResumed(_)
        | Event::ServiceSet(_)
        | Event::VoteOverridden(_)
        | Event::VoteReturned(_)
        | Event::ValidatorTombstoned(_)
        | Event::CandidateRegistered(_)
        | Event::CandidateUpdated(_)
        | Event::StakeDelegated(_)
        | Event::StakeUndelegated(_)
        | Event::StakeReturned(_)
        | Event::Redelegated(_)
        | Event::RedelegationSlashed(_)
        | Event::RewardsClaimed(_)
        | Event::EpochBegan(_)
        | Event::CandidateJailed(_)
        | Event::CandidateReleased(_)
        | Event::NodeConfirmed(_) => None,
    }
}

/// The end of a slot, if this event of a page is it.
#[must_use]
pub fn end_of(page: &EventPage, index: usize) -> Option<(SlotId, SlotEnd)> {
    let position = usize::try_from(page.first).ok()?.checked_add(index)?;
    match page.events.as_slice().get(index)? {
        Event::Settled(settled) => {
            let settlement = Settlement {
                settled: (**settled).clone(),
                height: page.height,
                position,
            };
            Some((settled.slot_id, SlotEnd::Settled(settlement)))
        }
        Event::Refunded(refunded) => Some((refunded.slot_id, SlotEnd::Refunded(*refunded))),
        _ => None,
    }
}

/// Follows an order until it closes; `tell` hears of each of its events as it becomes final. Survives lost connections.
///
/// # Errors
/// [`ClientError`] that asking again does not help.
pub async fn follow<N: Network>(
    client: &NodeClient<N>,
    posted: Posted,
    mut tell: impl FnMut(&EventPage, &Event),
) -> Result<Vec<(SlotId, SlotEnd)>, ClientError> {
    let mut ends = Vec::new();
    let mut from = posted.height;
    let mut failures = 0;
    // Pages of a block that is read again after a lost connection are not told twice.
    let mut told_until = (Height::ZERO, 0);
    loop {
        let mut events = match client.follow(from).await {
            Ok(events) => events,
            Err(error) if error.is_retryable() && failures < FAILURES_MAX => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        loop {
            let page = match events.next().await {
                Ok(page) => page,
                Err(error) if error.is_retryable() && failures < FAILURES_MAX => {
                    failures += 1;
                    break;
                }
                Err(error) => return Err(error),
            };
            failures = 0;
            from = page.height;
            if (page.height, page.first.saturating_add(1)) <= told_until {
                continue;
            }
            told_until = (page.height, page.first.saturating_add(1));
            for (index, event) in page
                .events
                .iter()
                .enumerate()
                .filter(|(_, event)| concerns(event, posted.order))
            {
                tell(&page, event);
                ends.extend(end_of(&page, index));
                if matches!(event, Event::OrderClosed(_)) {
                    return Ok(ends);
                }
            }
        }
    }
}

/// How often in a row the connection to the node may be lost before following gives up.
const FAILURES_MAX: usize = 5;

/// Where a worker of a kind is reached, from its offer.
///
/// # Errors
/// [`ClientError`]; `None` when it has no offer any more or its endpoint is no address.
pub async fn endpoint<N: Network>(
    client: &NodeClient<N>,
    kind: KindId,
    worker: Address,
) -> Result<Option<PeerAddr>, ClientError> {
    let offers = client.offers(kind).await?;
    let offer = offers.iter().find(|report| report.worker == worker);
    Ok(offer.and_then(|report| PeerAddr::from_bytes(report.offer.endpoint.as_slice()).ok()))
}

/// Fetches the output of a slot from its worker. The reply is not trusted: compare it with the settled trace.
///
/// # Errors
/// [`ClientError`]; [`ClientError::Refused`] with `not_ready` while the worker still works.
pub async fn fetch<N: Network>(
    network: &N,
    worker: &PeerAddr,
    buyer: &SecretKey,
    slot_id: SlotId,
) -> Result<Delivery, ClientError> {
    let question = DeskRequest::Fetch(delivery_request(buyer, slot_id)).encode();
    let answer = request(
        network,
        worker,
        DELIVERY,
        &question,
        MESSAGE_BYTES_MAX,
        ANSWER_DEADLINE,
    )
    .await?;
    match decode(&answer).map_err(ClientError::Malformed)? {
        DeliveryReply::Delivered(delivery) => Ok((*delivery).clone()),
        DeliveryReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
        _ => Err(ClientError::OtherAnswer),
    }
}

pub(crate) fn delivery_request(buyer: &SecretKey, slot_id: SlotId) -> DeliveryRequest {
    DeliveryRequest {
        slot_id,
        buyer: buyer.account_key(),
        signature: buyer.sign(Purpose::Delivery, &slot_id.encode()),
    }
}

/// What comes of a followed output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputItem {
    /// A part, as the kind writes it; a long one may come in several.
    Chunk(Vec<u8>),
    /// All of it: the last item. Not trusted either: compare it with the settled trace.
    Whole(Box<Delivery>),
}

/// An output as its worker makes it.
#[derive(Debug)]
pub struct OutputStream<S> {
    stream: S,
}

impl<S: FrameStream> OutputStream<S> {
    pub(crate) const fn of(stream: S) -> Self {
        Self { stream }
    }

    /// The next item. Each must come within `within`.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] with `not_found` when the worker has no such work (yet, or any more).
    pub async fn next(&mut self, within: Duration) -> Result<OutputItem, ClientError> {
        let frame = self
            .stream
            .recv(MESSAGE_BYTES_MAX, within)
            .await?
            .ok_or(ClientError::StreamEnded)?;
        match decode(&frame).map_err(ClientError::Malformed)? {
            DeliveryReply::Chunk(chunk) => Ok(OutputItem::Chunk(chunk.bytes.into_vec())),
            DeliveryReply::Delivered(delivery) => {
                Ok(OutputItem::Whole(Box::new((*delivery).clone())))
            }
            DeliveryReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            DeliveryReply::Stopping(_) | DeliveryReply::Leaves(_) => Err(ClientError::OtherAnswer),
        }
    }
}

/// Follows the output of a slot from its worker.
///
/// # Errors
/// [`ClientError`].
pub async fn stream<N: Network>(
    network: &N,
    worker: &PeerAddr,
    buyer: &SecretKey,
    slot_id: SlotId,
) -> Result<OutputStream<N::Stream>, ClientError> {
    let question = DeskRequest::Follow(delivery_request(buyer, slot_id)).encode();
    let mut stream = network.open(worker, DELIVERY, ANSWER_DEADLINE).await?;
    stream.send(&question, ANSWER_DEADLINE).await?;
    stream.finish().await?;
    Ok(OutputStream { stream })
}

/// Tells a worker that no more than so much output is wanted. It may have made more already, up to a small excess that
/// it is not paid for.
///
/// # Errors
/// [`ClientError`].
pub async fn stop<N: Network>(
    network: &N,
    worker: &PeerAddr,
    buyer: &SecretKey,
    stop: Stop,
) -> Result<(), ClientError> {
    let question = DeskRequest::Stop(Boxed::new(SignedStop::sign(stop, buyer))).encode();
    let answer = request(
        network,
        worker,
        DELIVERY,
        &question,
        MESSAGE_BYTES_MAX,
        ANSWER_DEADLINE,
    )
    .await?;
    match decode(&answer).map_err(ClientError::Malformed)? {
        DeliveryReply::Stopping(_) => Ok(()),
        DeliveryReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
        _ => Err(ClientError::OtherAnswer),
    }
}

/// Puts together the receipt file of a settled slot.
///
/// # Errors
/// [`ClientError`]; [`ClientError::OtherAnswer`] when the node's block does not have the settlement.
pub async fn prove<N: Network>(
    client: &NodeClient<N>,
    settlement: &Settlement,
    delivery: &Delivery,
    spec: Vec<u8>,
) -> Result<ReceiptProof, ClientError> {
    let settled = proof::Settlement::Order(Boxed::new(settlement.settled.clone()));
    let place = (settlement.height, settlement.position);
    prove_at(client, settled, place, (delivery, spec)).await
}

/// Puts together the receipt file of work that was settled by the event at a position of a block.
pub(crate) async fn prove_at<N: Network>(
    client: &NodeClient<N>,
    settlement: proof::Settlement,
    (height, position): (Height, usize),
    (delivery, spec): (&Delivery, Vec<u8>),
) -> Result<ReceiptProof, ClientError> {
    let block = client.block(height).await?;
    let path =
        merkle::path(block.event_leaves.as_slice(), position).ok_or(ClientError::OtherAnswer)?;
    Ok(ReceiptProof {
        receipt: delivery.receipt.clone(),
        settlement,
        path,
        header: block.header,
        descendants: block.descendants,
        certificate: block.certificate,
        salt: delivery.salt,
        spec: BoundedBytes::new(spec)?,
        output: delivery.output.clone(),
        disclosure: delivery.disclosure.clone(),
    })
}
