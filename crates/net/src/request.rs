//! One frame out, one frame back.

use std::time::Duration;

use crate::{FrameStream, NetError, Network, PeerAddr, Protocol};

/// Sends `frame` to `peer` on a stream of its own and returns the one frame that answers it.
///
/// `deadline` is for all of it, dialling included. `reply_limit` bounds the answer, in bytes. Nothing is retried: the peer
/// may have acted on a request whose answer was lost.
///
/// # Errors
///
/// Those of [`Network::open`], [`FrameStream::send`] and [`FrameStream::recv`]; [`NetError::NoFrame`] when the peer finished
/// without an answer.
pub async fn request<N: Network>(
    network: &N,
    peer: &PeerAddr,
    protocol: Protocol,
    frame: &[u8],
    reply_limit: usize,
    deadline: Duration,
) -> Result<Vec<u8>, NetError> {
    let ends = network.now().saturating_add(deadline);
    let left = || ends.saturating_sub(network.now());
    let mut stream = network.open(peer, protocol, deadline).await?;
    stream.send(frame, left()).await?;
    stream.finish().await?;
    read_request(&mut stream, reply_limit, left()).await
}

/// Receives the one frame that is due on `stream`: for the side that answers, the request.
///
/// # Errors
///
/// Those of [`FrameStream::recv`]; [`NetError::NoFrame`] when the peer finished instead.
pub async fn read_request<S: FrameStream>(
    stream: &mut S,
    limit: usize,
    deadline: Duration,
) -> Result<Vec<u8>, NetError> {
    stream.recv(limit, deadline).await?.ok_or(NetError::NoFrame)
}

/// Sends the answer to a request and finishes the stream.
///
/// # Errors
///
/// Those of [`FrameStream::send`].
pub async fn reply<S: FrameStream>(
    mut stream: S,
    frame: &[u8],
    deadline: Duration,
) -> Result<(), NetError> {
    stream.send(frame, deadline).await?;
    stream.finish().await
}
