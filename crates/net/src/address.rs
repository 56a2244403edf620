//! Where a peer can be reached, as bytes and as a ticket to copy.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};

use crate::{PEER_ADDRS_MAX, PeerId};

/// Human-readable part of a ticket, which therefore starts with `fwpeer1`.
const TICKET_PREFIX: &str = "fwpeer";
const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;
/// Family, IPv6 address, port.
const ADDR_BYTES_MAX: usize = 1 + 16 + 2;
/// Id, count, addresses.
const ENCODED_BYTES_MAX: usize = PeerId::BYTES + 1 + PEER_ADDRS_MAX * ADDR_BYTES_MAX;

// Bech32m's checksum is good for texts of up to 1023 characters of five bits.
const _: () = assert!(TICKET_PREFIX.len() + 1 + (ENCODED_BYTES_MAX * 8).div_ceil(5) + 6 <= 1023);

/// Why bytes or text are not a peer's id or address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// More socket addresses than [`PEER_ADDRS_MAX`].
    #[error("{found} socket addresses, at most {max} allowed")]
    TooMany {
        /// The bound.
        max: usize,
        /// How many there were.
        found: usize,
    },
    /// The bytes end inside a field.
    #[error("address bytes end early")]
    Truncated,
    /// Bytes follow the address.
    #[error("{found} bytes left over after the address")]
    Leftover {
        /// How many bytes were left.
        found: usize,
    },
    /// A socket address is neither IPv4 nor IPv6.
    #[error("address family {found} is neither 4 nor 6")]
    Family {
        /// The byte in place of the family.
        found: u8,
    },
    /// The text is not a ticket: a character is wrong, missing or not allowed, or the checksum does not match.
    #[error("ticket is damaged: check that it was copied whole")]
    Ticket,
    /// A well-formed text for something other than a peer.
    #[error("ticket does not start with \"fwpeer1\"")]
    TicketPrefix,
    /// A peer id of the wrong length.
    #[error("peer id has {found} digits instead of {expected}")]
    PeerIdLength {
        /// Hex digits in a peer id.
        expected: usize,
        /// Hex digits given.
        found: usize,
    },
    /// A character of a peer id is not a lower-case hex digit.
    #[error("peer id has a character that is not a lower-case hex digit")]
    PeerIdDigit,
    /// The id is not a public key, so no peer can have it.
    #[error("peer id is not a public key")]
    NotAPublicKey,
    /// There is no socket address that can be dialled.
    #[error("no socket address that can be dialled")]
    NoUsableAddress,
}

/// Where a peer can be reached: its id and at most [`PEER_ADDRS_MAX`] socket addresses, in order of preference.
///
/// As text it is a *ticket*, `fwpeer1…`: bech32m over the bytes, so that a mistyped character is noticed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddr {
    id: PeerId,
    addrs: Vec<SocketAddr>,
}

impl PeerAddr {
    /// Says where `id` can be reached. Flow and scope of IPv6 addresses are dropped: they mean nothing elsewhere.
    ///
    /// # Errors
    ///
    /// [`AddressError::TooMany`].
    pub fn new(id: PeerId, addrs: Vec<SocketAddr>) -> Result<Self, AddressError> {
        if addrs.len() > PEER_ADDRS_MAX {
            return Err(AddressError::TooMany {
                max: PEER_ADDRS_MAX,
                found: addrs.len(),
            });
        }
        let addrs = addrs
            .into_iter()
            .map(|addr| SocketAddr::new(addr.ip(), addr.port()))
            .collect();
        Ok(Self { id, addrs })
    }

    /// A peer whose id alone is known, as in the memory network.
    pub const fn from_id(id: PeerId) -> Self {
        Self {
            id,
            addrs: Vec::new(),
        }
    }

    /// Who the peer is.
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// Where it listens, in order of preference.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Encodes as id, count, and per address family (4 or 6), IP, port; integers big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENCODED_BYTES_MAX);
        bytes.extend_from_slice(self.id.as_bytes());
        let count = u8::try_from(self.addrs.len()).expect("the constructor bounds the count");
        bytes.push(count);
        for addr in &self.addrs {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(FAMILY_V4);
                    bytes.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(FAMILY_V6);
                    bytes.extend_from_slice(&ip.octets());
                }
            }
            bytes.extend_from_slice(&addr.port().to_be_bytes());
        }
        bytes
    }

    /// Decodes what [`PeerAddr::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`AddressError::Truncated`], [`AddressError::TooMany`], [`AddressError::Family`], [`AddressError::Leftover`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        let mut rest = bytes;
        let id = PeerId::new(take(&mut rest)?);
        let [count] = take(&mut rest)?;
        let count = usize::from(count);
        if count > PEER_ADDRS_MAX {
            return Err(AddressError::TooMany {
                max: PEER_ADDRS_MAX,
                found: count,
            });
        }
        let mut addrs = Vec::with_capacity(count);
        for _ in 0..count {
            let [family] = take(&mut rest)?;
            let ip = match family {
                FAMILY_V4 => IpAddr::V4(Ipv4Addr::from(take::<4>(&mut rest)?)),
                FAMILY_V6 => IpAddr::V6(Ipv6Addr::from(take::<16>(&mut rest)?)),
                found => return Err(AddressError::Family { found }),
            };
            addrs.push(SocketAddr::new(ip, u16::from_be_bytes(take(&mut rest)?)));
        }
        if !rest.is_empty() {
            return Err(AddressError::Leftover { found: rest.len() });
        }
        Ok(Self { id, addrs })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], AddressError> {
    let (head, tail) = rest.split_first_chunk().ok_or(AddressError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32m, _>(
            formatter,
            Hrp::parse_unchecked(TICKET_PREFIX),
            &self.to_bytes(),
        )
        .map_err(|_| fmt::Error)
    }
}

impl FromStr for PeerAddr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ticket =
            CheckedHrpstring::new::<Bech32m>(text.trim()).map_err(|_| AddressError::Ticket)?;
        if ticket.hrp() != Hrp::parse_unchecked(TICKET_PREFIX) {
            return Err(AddressError::TicketPrefix);
        }
        // The checksum bounds the text's length, and so the bytes here.
        Self::from_bytes(&ticket.byte_iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::*;

    fn some_addr() -> PeerAddr {
        PeerAddr::new(
            PeerId::new([7; 32]),
            vec![
                "127.0.0.1:4801".parse().unwrap(),
                "[2001:db8::1]:9".parse().unwrap(),
            ],
        )
        .unwrap()
    }

    fn addrs() -> impl Strategy<Value = PeerAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
            Just(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        let socket = (ip, any::<u16>()).prop_map(SocketAddr::from);
        let sockets = proptest::collection::vec(socket, 0..=PEER_ADDRS_MAX);
        (any::<[u8; 32]>(), sockets)
            .prop_map(|(id, addrs)| PeerAddr::new(PeerId::new(id), addrs).unwrap())
    }

    proptest! {
        #[test]
        fn address_round_trips(addr in addrs()) {
            assert_eq!(PeerAddr::from_bytes(&addr.to_bytes()), Ok(addr.clone()));
            assert_eq!(addr.to_string().parse(), Ok(addr));
        }

        #[test]
        fn any_bytes_decode_or_fail_and_decoding_is_canonical(
            bytes in proptest::collection::vec(any::<u8>(), 0..220),
        ) {
            if let Ok(addr) = PeerAddr::from_bytes(&bytes) {
                assert_eq!(addr.to_bytes(), bytes);
            }
        }

        #[test]
        fn one_changed_character_of_a_ticket_is_noticed(at in 0usize..120, letter in "[a-z0-9]") {
            let ticket = some_addr().to_string();
            let at = at % ticket.len();
            let mut changed = ticket.clone();
            changed.replace_range(at..=at, &letter);
            if changed != ticket {
                assert!(changed.parse::<PeerAddr>().is_err());
            }
        }
    }

    #[test]
    fn malformed_bytes_are_refused_with_their_reason() {
        let good = some_addr().to_bytes();
        let cases: [(Vec<u8>, AddressError); 5] = [
            (Vec::new(), AddressError::Truncated),
            (good[..good.len() - 1].to_vec(), AddressError::Truncated),
            (
                [good.as_slice(), &[0]].concat(),
                AddressError::Leftover { found: 1 },
            ),
            (
                [&good[..32], &[9]].concat(),
                AddressError::TooMany { max: 8, found: 9 },
            ),
            (
                [&good[..32], &[1, 5]].concat(),
                AddressError::Family { found: 5 },
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(PeerAddr::from_bytes(&bytes), Err(error));
        }
    }

    #[test]
    fn ticket_is_lower_case_and_names_its_kind() {
        let ticket = some_addr().to_string();
        assert!(ticket.starts_with("fwpeer1"));
        assert_eq!(ticket, ticket.to_lowercase());
        assert_eq!(format!(" {ticket}\n").parse(), Ok(some_addr()));
        let other =
            bech32::encode::<Bech32m>(Hrp::parse_unchecked("fw"), &some_addr().to_bytes()).unwrap();
        assert_eq!(other.parse::<PeerAddr>(), Err(AddressError::TicketPrefix));
    }

    #[test]
    fn nine_addresses_are_too_many() {
        let addrs = vec!["127.0.0.1:1".parse().unwrap(); PEER_ADDRS_MAX + 1];
        assert_eq!(
            PeerAddr::new(PeerId::new([0; 32]), addrs),
            Err(AddressError::TooMany { max: 8, found: 9 })
        );
    }
}
