#![doc = include_str!("../README.md")]

mod address;
mod blob;
mod error;
mod incoming;
mod limits;
pub mod memory;
mod peer;
#[cfg(feature = "quic")]
pub mod quic;
mod request;
mod sites;

use std::{fmt::Debug, future::Future, time::Duration};

pub use address::{AddressError, PeerAddr};
pub use blob::{
    BLOB_BYTES_MAX, Blob, BlobError, BlobRoot, BlobTree, SLICE_BYTES, SLICE_FRAME_BYTES_MAX,
    SliceError, receive_slice, send_slices,
};
pub use error::{NetError, Operation};
pub use incoming::Incoming;
pub use limits::{
    ACCEPT_CAPACITY_MAX, DEADLINE_MAX, FRAME_BYTES_MAX, PEER_ADDRS_MAX, STREAM_WINDOW_BYTES,
    STREAMS_PER_PEER_MAX,
};
pub use peer::{PeerId, Protocol};
pub use request::{read_request, reply, request};
pub use sites::{Counted, Counts, Place, Site};

/// One peer's place in a network: it opens streams to others and accepts theirs.
///
/// Clones share the same place; [`Network::close`] ends it for all of them.
pub trait Network: Clone + Debug + Send + Sync + 'static {
    /// The streams this network carries.
    type Stream: FrameStream;

    /// Where others reach this peer.
    fn local_addr(&self) -> PeerAddr;

    /// Time since an arbitrary origin. Never goes back; virtual where the clock is virtual.
    fn now(&self) -> Duration;

    /// Opens a stream to `peer` and names the `protocol` to be spoken on it.
    ///
    /// `deadline` counts from the call and covers dialling and the handshake of the stream; beyond [`DEADLINE_MAX`] it is
    /// taken as that. Dropping the future abandons the stream.
    ///
    /// # Errors
    ///
    /// [`NetError::DeadlinePassed`], [`NetError::Unreachable`], [`NetError::Refused`], [`NetError::WrongPeer`],
    /// [`NetError::UnknownProtocol`] when the peer has no handler, [`NetError::Busy`] when its queue is full,
    /// [`NetError::SelfDial`], [`NetError::BadAddress`], [`NetError::NotLoopback`], [`NetError::Closed`].
    fn open(
        &self,
        peer: &PeerAddr,
        protocol: Protocol,
        deadline: Duration,
    ) -> impl Future<Output = Result<Self::Stream, NetError>> + Send;

    /// Takes over the incoming streams of `protocol`. At most `capacity` wait in the queue; more are refused as busy.
    ///
    /// Dropping the [`Incoming`] gives the protocol back.
    ///
    /// # Errors
    ///
    /// [`NetError::ProtocolTaken`], [`NetError::BadCapacity`] outside `1..=`[`ACCEPT_CAPACITY_MAX`], [`NetError::Closed`].
    fn accept(
        &self,
        protocol: Protocol,
        capacity: usize,
    ) -> Result<Incoming<Self::Stream>, NetError>;

    /// Leaves the network: every stream and every [`Incoming`] of this peer ends. Frames not yet delivered may be lost.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A two-way sequence of frames with one peer.
///
/// Dropping a stream without [`FrameStream::finish`] resets it: the peer's next read is [`NetError::Closed`], and frames it
/// has not read are lost. After `finish` the stream may be dropped at once; what was sent is still delivered.
pub trait FrameStream: Debug + Send + 'static {
    /// Sends one frame of at most [`FRAME_BYTES_MAX`] bytes, waiting while the peer reads slower than we send.
    ///
    /// A send that fails or is dropped half way leaves the stream unusable for sending.
    ///
    /// # Errors
    ///
    /// [`NetError::FrameTooLarge`] (the stream stays usable), [`NetError::DeadlinePassed`], [`NetError::Closed`].
    fn send(
        &mut self,
        frame: &[u8],
        deadline: Duration,
    ) -> impl Future<Output = Result<(), NetError>> + Send;

    /// Receives the next frame, or `None` when the peer finished.
    ///
    /// Memory for a frame is set aside as its bytes arrive, after its length was checked against `limit` (and
    /// [`FRAME_BYTES_MAX`]). After a passed deadline, or a dropped future, the call may be repeated and nothing is lost.
    ///
    /// # Errors
    ///
    /// [`NetError::FrameTooLarge`] (a call with a larger limit may still receive it, unless it is longer than
    /// [`FRAME_BYTES_MAX`]), [`NetError::DeadlinePassed`], [`NetError::Truncated`], [`NetError::Closed`].
    fn recv(
        &mut self,
        limit: usize,
        deadline: Duration,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, NetError>> + Send;

    /// Ready once the peer takes nothing more of this stream. Dropping the future loses nothing.
    ///
    /// Ask before [`FrameStream::finish`]; afterwards it may also mean that everything arrived.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Says that no more frames come from this side; receiving goes on. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`NetError::Closed`] when the stream is already broken.
    fn finish(&mut self) -> impl Future<Output = Result<(), NetError>> + Send;
}
