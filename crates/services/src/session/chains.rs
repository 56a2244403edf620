//! The hash chains of a verifier: which one it commits to, and the links that batches ask for (protocol rule 1).

use fairweir_types::{
    ChainId, Digest,
    digest::Domain,
    event::LinkDue,
    hash_chain::{HashChain, link_before},
};

/// Links of a chain that a verifier commits to: so few that any of them is some milliseconds' work, so many that half of them last for minutes of a hundred
/// batches a second.
pub const LINKS: u32 = 16_384;

/// A verifier's chain of a number, by its secret seed. Chains of other numbers, other networks and other verifiers have nothing in common with it.
#[must_use]
pub fn hash_chain(seed: &[u8; 32], chain_id: &ChainId, number: u64, length: u32) -> HashChain {
    HashChain::ending_in(&last_link(seed, chain_id, number), number, length)
}

fn last_link(seed: &[u8; 32], chain_id: &ChainId, number: u64) -> Digest {
    let parts: [&[u8]; 4] = [
        b"link-chain",
        seed,
        chain_id.as_str().as_bytes(),
        &number.to_be_bytes(),
    ];
    Digest::of(Domain::KeyDerivation, &parts)
}

/// The link that a batch asks for; none if the chain is not this verifier's.
#[must_use]
pub fn link_due(seed: &[u8; 32], chain_id: &ChainId, due: &LinkDue) -> Option<Digest> {
    let last = last_link(seed, chain_id, due.hash_chain.number);
    let link = due.hash_chain.link(&last, due.index);
    (link_before(&link, due.index) == due.hash_chain.anchor).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{
        Address, Millis,
        order::{OrderId, SlotId},
    };

    #[test]
    fn a_verifier_finds_its_links_and_no_others() {
        let network = ChainId::new("dev-test").unwrap();
        let chain = hash_chain(&[7; 32], &network, 3, 16);
        let due = LinkDue {
            slot_id: SlotId {
                order: OrderId::default(),
                slot: 0,
            },
            worker: Address::default(),
            seed: Digest::ZERO,
            verifier: Address::default(),
            hash_chain: chain,
            index: 5,
            due: Millis::ZERO,
        };
        let link = link_due(&[7; 32], &network, &due).unwrap();
        assert_eq!(link_before(&link, 5), chain.anchor);
        assert_eq!(link_due(&[8; 32], &network, &due), None);
        let elsewhere = ChainId::new("dev-other").unwrap();
        assert_eq!(link_due(&[7; 32], &elsewhere, &due), None);
        assert_ne!(hash_chain(&[7; 32], &network, 4, 16).anchor, chain.anchor);
    }
}
