//! The first bytes of a stream: the opener's header and the acceptor's one-byte answer.

use crate::{NetError, PeerId, Protocol, incoming::Refusal};

/// Version of what follows the connection's handshake.
const VERSION: u16 = 1;

/// Version and protocol, big-endian.
pub(super) const HEADER_BYTES: usize = 4;

/// The acceptor's answer to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Accepted,
    UnknownProtocol,
    Busy,
    BadVersion,
}

impl Status {
    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::UnknownProtocol => 1,
            Self::Busy => 2,
            Self::BadVersion => 3,
        }
    }

    /// What the answer means to the opener.
    pub(super) const fn read(byte: u8, peer: PeerId, protocol: Protocol) -> Result<(), NetError> {
        match byte {
            0 => Ok(()),
            1 => Err(NetError::UnknownProtocol { protocol }),
            2 => Err(NetError::Busy { peer }),
            _ => Err(NetError::BadHandshake),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownProtocol => Self::UnknownProtocol,
            Refusal::Busy => Self::Busy,
        }
    }
}

pub(super) fn header(protocol: Protocol) -> [u8; HEADER_BYTES] {
    let [v0, v1] = VERSION.to_be_bytes();
    let [p0, p1] = protocol.number().to_be_bytes();
    [v0, v1, p0, p1]
}

pub(super) fn read_header(bytes: [u8; HEADER_BYTES]) -> Result<Protocol, Status> {
    let [v0, v1, p0, p1] = bytes;
    if u16::from_be_bytes([v0, v1]) != VERSION {
        return Err(Status::BadVersion);
    }
    Ok(Protocol::new(u16::from_be_bytes([p0, p1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_and_another_version_is_refused() {
        let protocol = Protocol::new(0x0102);
        assert_eq!(header(protocol), [0, 1, 1, 2]);
        assert_eq!(read_header(header(protocol)), Ok(protocol));
        assert_eq!(read_header([0, 2, 1, 2]), Err(Status::BadVersion));
    }

    #[test]
    fn every_status_reads_as_its_error() {
        let peer = PeerId::new([1; 32]);
        let protocol = Protocol::new(7);
        let cases = [
            (Status::Accepted, Ok(())),
            (
                Status::UnknownProtocol,
                Err(NetError::UnknownProtocol { protocol }),
            ),
            (Status::Busy, Err(NetError::Busy { peer })),
            (Status::BadVersion, Err(NetError::BadHandshake)),
        ];
        for (status, meaning) in cases {
            assert_eq!(Status::read(status.to_byte(), peer, protocol), meaning);
        }
        let unknown = Status::read(200, peer, protocol);
        assert_eq!(unknown, Err(NetError::BadHandshake));
    }
}
