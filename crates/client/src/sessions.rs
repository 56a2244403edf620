//! Requests of a session: asked of a lane's worker directly, paid by vouchers.

use crate::{
    ClientError, NodeClient,
    orders::{OutputStream, delivery_request, prove_at},
    protocol::{ANSWER_DEADLINE, DELIVERY, MESSAGE_BYTES_MAX},
};
use commonware_codec::Encode;
use fairweir_net::{FrameStream, Network, PeerAddr, request};
use fairweir_types::{
    Boxed, Height, SecretKey, decode,
    node_api::{Delivery, DeliveryReply, DeskRequest},
    order::SlotId,
    proof::{InBatch, ReceiptProof, Settlement},
    receipt::SignedStop,
    session::{Ask, Credit, Leaf},
};
use std::time::Duration;

/// Asks for one request: its output chunk by chunk, then the whole with its receipt. The worker must be reached `within` this time.
///
/// # Errors
/// [`ClientError::Net`]; what the worker refuses comes with the first item.
pub async fn ask<N: Network>(
    network: &N,
    worker: &PeerAddr,
    ask: Ask,
    within: Duration,
) -> Result<OutputStream<N::Stream>, ClientError> {
    let question = DeskRequest::Ask(Boxed::new(ask)).encode();
    let mut stream = network.open(worker, DELIVERY, within).await?;
    stream.send(&question, within).await?;
    stream.finish().await?;
    Ok(OutputStream::of(stream))
}

/// Promises to pay for more of a request under way.
///
/// # Errors
/// [`ClientError`].
pub async fn credit<N: Network>(
    network: &N,
    worker: &PeerAddr,
    credit: Credit,
) -> Result<(), ClientError> {
    tell(network, worker, &DeskRequest::Credit(Boxed::new(credit))).await
}

/// Wants no more of a request under way.
///
/// # Errors
/// [`ClientError`].
pub async fn stop<N: Network>(
    network: &N,
    worker: &PeerAddr,
    stop: SignedStop,
) -> Result<(), ClientError> {
    tell(network, worker, &DeskRequest::Stop(Boxed::new(stop))).await
}

/// All leaves of a batch of the buyer's session, while the worker keeps them.
///
/// # Errors
/// [`ClientError`].
pub async fn leaves<N: Network>(
    network: &N,
    worker: &PeerAddr,
    buyer: &SecretKey,
    batch: SlotId,
) -> Result<Vec<Leaf>, ClientError> {
    let question = DeskRequest::Leaves(delivery_request(buyer, batch)).encode();
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
        DeliveryReply::Leaves(leaves) => Ok(leaves.leaves.into_vec()),
        DeliveryReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
        _ => Err(ClientError::OtherAnswer),
    }
}

/// Puts together the receipt file of a request in a batch that was settled by the event at a position of a block.
///
/// # Errors
/// [`ClientError`]; [`ClientError::OtherAnswer`] when the node's block does not have the settlement.
pub async fn prove<N: Network>(
    client: &NodeClient<N>,
    settled: InBatch,
    place: (Height, usize),
    delivery: &Delivery,
    spec: Vec<u8>,
) -> Result<ReceiptProof, ClientError> {
    let settlement = Settlement::Batch(Boxed::new(settled));
    prove_at(client, settlement, place, (delivery, spec)).await
}

async fn tell<N: Network>(
    network: &N,
    worker: &PeerAddr,
    word: &DeskRequest,
) -> Result<(), ClientError> {
    let answer = request(
        network,
        worker,
        DELIVERY,
        &word.encode(),
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
