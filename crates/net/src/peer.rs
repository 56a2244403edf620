//! Names: who a peer is and which protocol a stream speaks.

use std::{fmt, str::FromStr};

use crate::AddressError;

/// Identity of a peer: its transport public key (ed25519, 32 bytes). Written as 64 lower-case hex digits.
///
/// Any 32 bytes are a value; whether they are a point of the curve shows when the peer is dialled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; PeerId::BYTES]);

impl PeerId {
    /// Length of an identity, in bytes.
    pub const BYTES: usize = 32;

    /// Names the peer that holds the secret of `public_key`.
    pub const fn new(public_key: [u8; Self::BYTES]) -> Self {
        Self(public_key)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != Self::BYTES * 2 {
            return Err(AddressError::PeerIdLength {
                expected: Self::BYTES * 2,
                found: digits.len(),
            });
        }
        let mut key = [0; Self::BYTES];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().try_fold(0, |value, digit| {
                hex_value(*digit)
                    .map(|nibble| value << 4 | nibble)
                    .ok_or(AddressError::PeerIdDigit)
            })?;
        }
        Ok(Self(key))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Which request protocol a stream speaks. The numbers are given out by the users of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(u16);

impl Protocol {
    /// Names protocol `number`.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The protocol's number on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_id_text_round_trips_and_typos_are_refused() {
        let id = PeerId::new(std::array::from_fn(|index| {
            u8::try_from(index * 7).unwrap_or(0)
        }));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(
            text[1..].parse::<PeerId>(),
            Err(AddressError::PeerIdLength {
                expected: 64,
                found: 63
            })
        );
        assert_eq!(
            text.to_uppercase().parse::<PeerId>(),
            Err(AddressError::PeerIdDigit)
        );
    }
}
