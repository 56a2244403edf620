//! Following whole blocks: transactions, outcomes and events, each checked against a certificate before anybody sees it.

use crate::{
    ClientError, EventStream, NodeClient,
    seats::{events_at, learn_seats},
};
use commonware_codec::Encode;
use fairweir_chain::light::{LightClient, LightError};
use fairweir_net::Network;
use fairweir_types::{
    Block, Digest, Event, Genesis, Height, TxOutcome, handover::Handover, merkle,
    node_api::BlockReport,
};
use thiserror::Error;

/// Why a block of a node is not taken.
#[derive(Debug, Error)]
pub enum BlockError {
    /// The node was not reached, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The certificate does not prove the header.
    #[error("block {height} is not proven final")]
    Finality {
        /// The block.
        height: Height,
        /// Why not.
        source: LightError,
    },
    /// What the node says of a block is not what its header commits to.
    #[error("the {part} of block {height} are not those that its header commits to")]
    OtherRoot {
        /// The block.
        height: Height,
        /// Which part.
        part: &'static str,
    },
    /// The node sent another block than the next.
    #[error("block {found} came instead of {expected}")]
    OtherHeight {
        /// The next block.
        expected: Height,
        /// The block that came.
        found: Height,
    },
}

/// A final block with all that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    /// Header and transactions.
    pub block: Block,
    /// The header's digest.
    pub digest: Digest,
    /// What became of each transaction.
    pub outcomes: Vec<TxOutcome>,
    /// What happened.
    pub events: Vec<Event>,
}

fn root_of<T: Encode>(values: &[T]) -> Digest {
    let leaves: Vec<Digest> = values
        .iter()
        .map(|value| merkle::leaf(&value.encode()))
        .collect();
    merkle::root(&leaves)
}

/// Whether a header commits to its transactions, what became of them, and what happened.
fn check_roots(block: &Block, outcomes: &[TxOutcome], events: &[Event]) -> Result<(), BlockError> {
    let header = &block.header;
    let parts = [
        (
            "transactions",
            root_of(block.transactions.as_slice()) == header.transactions_root,
        ),
        ("outcomes", root_of(outcomes) == header.outcomes_root),
        ("events", root_of(events) == header.events_root),
    ];
    let height = header.height;
    match parts.into_iter().find(|(_, holds)| !holds) {
        Some((part, _)) => Err(BlockError::OtherRoot { height, part }),
        None => Ok(()),
    }
}

impl FinalBlock {
    /// Takes a block whose header is proven final and commits to every part.
    ///
    /// # Errors
    /// [`BlockError::Finality`], [`BlockError::OtherRoot`].
    pub fn check(
        light: &LightClient,
        proof: &BlockReport,
        block: Block,
        outcomes: Vec<TxOutcome>,
        events: Vec<Event>,
    ) -> Result<Self, BlockError> {
        let header = &proof.header;
        let height = header.height;
        let digest = light
            .verify_through(
                header,
                proof.descendants.as_slice(),
                proof.certificate.as_slice(),
            )
            .map_err(|source| BlockError::Finality { height, source })?;
        if block.header != *header {
            let part = "transactions";
            return Err(BlockError::OtherRoot { height, part });
        }
        check_roots(&block, &outcomes, &events)?;
        Ok(Self {
            block,
            digest,
            outcomes,
            events,
        })
    }
}

/// Reads the blocks of a chain in order, past ones first, then new ones as they become final.
#[derive(Debug)]
pub struct BlockStream<N: Network> {
    client: NodeClient<N>,
    light: LightClient,
    events: EventStream<N>,
    next: Height,
    /// Whether it is known who has the seats of the next block's epoch.
    is_begun: bool,
}

impl<N: Network> BlockStream<N> {
    /// Follows the chain of a genesis from a block on.
    ///
    /// # Errors
    /// [`BlockError`].
    pub async fn open(
        client: NodeClient<N>,
        genesis: &Genesis,
        from: Height,
    ) -> Result<Self, BlockError> {
        let light = LightClient::new(genesis).map_err(|source| BlockError::Finality {
            height: from,
            source,
        })?;
        let events = client.follow(from).await?;
        Ok(Self {
            client,
            light,
            events,
            next: from,
            is_begun: false,
        })
    }

    /// The next block; waits until there is one. After an error the stream is at its end.
    ///
    /// # Errors
    /// [`BlockError`].
    pub async fn next(&mut self) -> Result<FinalBlock, BlockError> {
        let height = self.next;
        let events = events_at(&mut self.events, height).await?;
        if !self.is_begun {
            learn_seats(&self.client, (&mut self.light, None), height).await?;
            self.is_begun = true;
        }
        let proof = self.client.block(height).await?;
        let block = self.client.body(height).await?;
        let outcomes = if block.transactions.is_empty() {
            Vec::new()
        } else {
            self.client.outcomes(height).await?
        };
        self.next = Height(height.get().saturating_add(1));
        let found = FinalBlock::check(&self.light, &proof, block, outcomes, events)?;
        if let Some(handover) = Handover::of(proof.header, proof.certificate, &found.events) {
            self.light
                .hand_over(&handover)
                .map_err(|source| BlockError::Finality { height, source })?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_types::{
        Address, Amount, BlockHeader, BoundedText, BoundedVec, ChainId, Millis, TxCode, block,
        event::Bonded,
    };

    fn event(base_units: u64) -> Event {
        Event::Bonded(Bonded {
            account: Address::default(),
            amount: Amount::from_base_units(base_units).unwrap(),
        })
    }

    fn outcome(code: u16) -> TxOutcome {
        TxOutcome {
            tx: Digest::ZERO,
            code: TxCode(code),
            reason: BoundedText::truncating(""),
        }
    }

    #[test]
    fn what_a_header_does_not_commit_to_is_refused() {
        let (outcomes, events) = ([outcome(0), outcome(1)], [event(1), event(2)]);
        let header = BlockHeader {
            version: block::BLOCK_VERSION,
            chain_id: ChainId::new("dev-test").unwrap(),
            certificate_scheme: block::CERTIFICATE_SCHEME_BLS12381_MULTISIG,
            height: Height(7),
            parent: Digest::ZERO,
            epoch: 0,
            view: 7,
            parent_view: 6,
            proposer: [0; 32],
            time: Millis(1),
            beacon_signature: None,
            beacon: Digest::ZERO,
            transactions_root: root_of::<Event>(&[]),
            outcomes_root: root_of(&outcomes),
            events_root: root_of(&events),
            outbox_root: Digest::ZERO,
            state_root: Digest::ZERO,
            state_ops_root: Digest::ZERO,
            state_range_start: 0,
            state_range_end: 0,
        };
        let block = Block {
            header,
            transactions: BoundedVec::new(Vec::new()).unwrap(),
        };
        check_roots(&block, &outcomes, &events).unwrap();
        let part = |outcomes: &[TxOutcome], events: &[Event]| match check_roots(
            &block, outcomes, events,
        ) {
            Err(BlockError::OtherRoot { part, .. }) => part,
            other => panic!("{other:?}"),
        };
        let [first, second] = &outcomes;
        assert_eq!(part(std::slice::from_ref(first), &events), "outcomes");
        assert_eq!(part(&[second.clone(), first.clone()], &events), "outcomes");
        assert_eq!(part(&[outcome(0), outcome(2)], &events), "outcomes");
        assert_eq!(part(&outcomes, &[event(2), event(1)]), "events");
        assert_eq!(part(&outcomes, &[event(1), event(2), event(3)]), "events");
        assert_eq!(part(&outcomes, &[]), "events");
        let mut other = block.clone();
        other.header.transactions_root = Digest::ZERO;
        let refused = check_roots(&other, &outcomes, &events);
        assert!(matches!(
            refused,
            Err(BlockError::OtherRoot {
                part: "transactions",
                ..
            })
        ));
    }
}
