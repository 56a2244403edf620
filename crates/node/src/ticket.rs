//! Tickets: all that a machine needs to join a network, in one word.

use fairweir_net::PeerAddr;
use fairweir_types::Digest;
use std::{fmt, str::FromStr};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a ticket begins with.
const PREFIX: &str = "fwjoin1";

/// An invitation: where a node is, which network it is of, and the key of an account with a first stake.
///
/// Whoever has the ticket has that account: hand it over like money.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The node.
    pub node: PeerAddr,
    /// The digest of the network's genesis, which the joining machine checks.
    pub genesis: Digest,
    /// The seed of the account.
    pub seed: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("node", &self.node)
            .field("genesis", &self.genesis)
            .finish_non_exhaustive()
    }
}

/// A text that is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no join ticket: copy the whole word that begins with {PREFIX}")]
pub struct TicketError;

impl Ticket {
    /// The ticket in one word; treat it as a secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        let mut bytes = self.genesis.0.to_vec();
        bytes.extend_from_slice(self.seed.as_slice());
        bytes.extend_from_slice(&self.node.to_bytes());
        let checksum = Digest::of_blob(&bytes);
        bytes.extend_from_slice(&checksum.0[..4]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{hex}")
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let hex = text.trim().strip_prefix(PREFIX).ok_or(TicketError)?;
        if hex.len() > 2_048 || !hex.len().is_multiple_of(2) || !hex.is_ascii() {
            return Err(TicketError);
        }
        let pairs = (0..hex.len())
            .step_by(2)
            .map(|start| u8::from_str_radix(&hex[start..start + 2], 16));
        let bytes: Vec<u8> = pairs.collect::<Result<_, _>>().map_err(|_| TicketError)?;
        let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(TicketError)?;
        if Digest::of_blob(content).0[..4] != checksum[..] {
            return Err(TicketError);
        }
        let (genesis, rest) = content.split_first_chunk::<32>().ok_or(TicketError)?;
        let (seed, node) = rest.split_first_chunk::<32>().ok_or(TicketError)?;
        let node = PeerAddr::from_bytes(node).map_err(|_| TicketError)?;
        Ok(Self {
            node,
            genesis: Digest(*genesis),
            seed: Zeroizing::new(*seed),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_net::PeerId;

    #[test]
    fn a_ticket_reads_back_and_a_typo_is_noticed() {
        let node =
            PeerAddr::new(PeerId::new([1; 32]), vec!["10.0.0.1:7640".parse().unwrap()]).unwrap();
        let ticket = Ticket {
            node,
            genesis: Digest([2; 32]),
            seed: Zeroizing::new([3; 32]),
        };
        let text = ticket.to_secret_text();
        assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
        for position in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[position] = if typo[position] == b'0' { b'1' } else { b'0' };
            assert_eq!(
                String::from_utf8(typo).unwrap().parse::<Ticket>(),
                Err(TicketError)
            );
        }
        assert_eq!(text[..text.len() - 2].parse::<Ticket>(), Err(TicketError));
        assert!(
            !format!("{ticket:?}").contains("0303"),
            "the seed is not shown"
        );
    }
}
