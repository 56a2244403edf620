//! What can go wrong between peers, in the same words for every network.

use std::{fmt, net::SocketAddr};

use crate::{AddressError, PeerId, Protocol};

/// What was under way when a deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Dialling a peer or opening a stream to it.
    Open,
    /// Sending a frame.
    Send,
    /// Waiting for a frame.
    Receive,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Open => "opening a stream",
            Self::Send => "sending a frame",
            Self::Receive => "waiting for a frame",
        })
    }
}

/// Why bytes did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The peer was too slow, or the link is down: the two can't be told apart.
    #[error("deadline passed while {operation}")]
    DeadlinePassed {
        /// What took too long.
        operation: Operation,
    },
    /// No connection to the peer could be made.
    #[error("peer {peer} cannot be reached")]
    Unreachable {
        /// Who was dialled.
        peer: PeerId,
    },
    /// The peer, or its policy, turned the connection down.
    #[error("peer {peer} refused the connection")]
    Refused {
        /// Who refused.
        peer: PeerId,
    },
    /// Whoever answered at the address does not hold the peer's key, or does not accept ours.
    #[error("the other end could not prove to be peer {peer}")]
    WrongPeer {
        /// Who was dialled.
        peer: PeerId,
    },
    /// The peer has as many streams as it takes; later it may take more.
    #[error("peer {peer} is busy")]
    Busy {
        /// Who is busy.
        peer: PeerId,
    },
    /// The peer has no handler for the protocol.
    #[error("peer does not speak protocol {protocol}")]
    UnknownProtocol {
        /// What it was asked for.
        protocol: Protocol,
    },
    /// The peer does not follow the handshake of streams, or follows another version of it.
    #[error("peer does not speak this version of the stream handshake")]
    BadHandshake,
    /// A frame is longer than allowed.
    #[error("frame of {found} bytes, at most {limit} allowed")]
    FrameTooLarge {
        /// The bound, in bytes.
        limit: usize,
        /// The frame's length, in bytes.
        found: usize,
    },
    /// The peer finished in the middle of a frame.
    #[error("stream ended inside a frame")]
    Truncated,
    /// The peer finished where a frame was due.
    #[error("peer finished without sending a frame")]
    NoFrame,
    /// The stream was reset, its connection lost, or the network left.
    #[error("closed")]
    Closed,
    /// A peer dialled itself.
    #[error("a peer cannot dial itself")]
    SelfDial,
    /// The peer's address cannot be dialled.
    #[error("bad address")]
    BadAddress(#[from] AddressError),
    /// The policy allows only peers on this machine.
    #[error("{addr} is not on this machine, and the dial policy allows no other")]
    NotLoopback {
        /// The address that is elsewhere.
        addr: SocketAddr,
    },
    /// The protocol's incoming streams are already taken.
    #[error("protocol {protocol} already has a handler")]
    ProtocolTaken {
        /// The protocol.
        protocol: Protocol,
    },
    /// A queue that is empty or too long.
    #[error("capacity {found} is not within 1..={max}")]
    BadCapacity {
        /// The bound.
        max: usize,
        /// What was asked for.
        found: usize,
    },
    /// Another socket listens on the address.
    #[error("address {addr} is in use")]
    AddressInUse {
        /// Where we wanted to listen.
        addr: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {reason}")]
    CannotListen {
        /// Where we wanted to listen.
        addr: SocketAddr,
        /// The system's words.
        reason: String,
    },
    /// The peer is already part of the memory network.
    #[error("peer {peer} has already joined")]
    AlreadyJoined {
        /// Who joined twice.
        peer: PeerId,
    },
}
