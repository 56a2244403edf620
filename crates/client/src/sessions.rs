//! Requests of a session: asked of a lane's worker directly, paid by vouchers.

use crate::{
    ClientError,
    orders::OutputStream,
    protocol::{ANSWER_DEADLINE, DELIVERY, MESSAGE_BYTES_MAX},
};
use commonware_codec::Encode;
use fairweir_net::{FrameStream, Network, PeerAddr, request};
use fairweir_types::{
    Boxed, decode,
    node_api::{DeliveryReply, DeskRequest},
    receipt::SignedStop,
    session::{Ask, Credit},
};

/// Asks for one request: its output chunk by chunk, then the whole with its receipt.
///
/// # Errors
/// [`ClientError::Net`]; what the worker refuses comes with the first item.
pub async fn ask<N: Network>(
    network: &N,
    worker: &PeerAddr,
    ask: Ask,
) -> Result<OutputStream<N::Stream>, ClientError> {
    let question = DeskRequest::Ask(Boxed::new(ask)).encode();
    let mut stream = network.open(worker, DELIVERY, ANSWER_DEADLINE).await?;
    stream.send(&question, ANSWER_DEADLINE).await?;
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
