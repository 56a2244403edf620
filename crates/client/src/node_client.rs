//! Asking a node.

use crate::{
    ClientError,
    protocol::{ANSWER_DEADLINE, FOLLOW_DEADLINE, MESSAGE_BYTES_MAX, NODE, SUBMIT_DEADLINE},
};
use commonware_codec::Encode;
use fairweir_net::{FrameStream, Network, PeerAddr, request};
use fairweir_types::{
    Address, Block, BoundedBytes, Digest, Genesis, Height, ProposalId, SignedTx, TxOutcome,
    catalogue::Catalogue,
    decode,
    limits::BLOCK_TXS_MAX,
    node_api::{
        AccountReport, AskAccount, AskBlock, AskBody, AskCandidates, AskDelegations, AskDuties,
        AskGenesis, AskGovernance, AskOffers, AskOrder, AskOutcomes, AskProof, AskProposal,
        AskProposals, AskServices, AskState, AskStatus, AskValidators, BlockReport,
        CandidatesReport, DelegationsReport, Duties, EventPage, Follow, GetBlob, GovernanceReport,
        Included, NodeReply, NodeRequest, OfferReport, OrderReport, ProposalReport, PutBlob,
        Status, Submit, ValidatorsReport,
    },
    order::{KindId, OrderId},
    state_proof::StateProof,
};
use std::time::Duration;

/// A client of one node.
#[derive(Clone, Debug)]
pub struct NodeClient<N> {
    network: N,
    node: PeerAddr,
}

impl<N: Network> NodeClient<N> {
    /// A client of the node at an address.
    #[must_use]
    pub const fn new(network: N, node: PeerAddr) -> Self {
        Self { network, node }
    }

    /// The network it speaks over.
    #[must_use]
    pub const fn network(&self) -> &N {
        &self.network
    }

    /// The node that it asks.
    #[must_use]
    pub const fn node(&self) -> &PeerAddr {
        &self.node
    }

    async fn ask(
        &self,
        question: &NodeRequest,
        deadline: Duration,
    ) -> Result<NodeReply, ClientError> {
        let frame = question.encode();
        let answer = request(
            &self.network,
            &self.node,
            NODE,
            &frame,
            MESSAGE_BYTES_MAX,
            deadline,
        )
        .await?;
        match decode(&answer).map_err(ClientError::Malformed)? {
            NodeReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    /// What the network is doing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        match self
            .ask(&NodeRequest::Status(AskStatus {}), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Status(status) => Ok((*status).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The chain's genesis. Compare its digest with one that you trust.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        match self
            .ask(&NodeRequest::Genesis(AskGenesis {}), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Genesis(genesis) => Ok((*genesis).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// An account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account(&self, address: Address) -> Result<AccountReport, ClientError> {
        match self
            .ask(
                &NodeRequest::Account(AskAccount { address }),
                ANSWER_DEADLINE,
            )
            .await?
        {
            NodeReply::Account(account) => Ok(account),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The first page of a kind's offers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn offers(&self, kind: KindId) -> Result<Vec<OfferReport>, ClientError> {
        self.offers_from(kind, Address::default()).await
    }

    /// An account's offer of a kind, if it is listed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn offer_of(
        &self,
        worker: Address,
        kind: KindId,
    ) -> Result<Option<OfferReport>, ClientError> {
        let page = self.offers_from(kind, worker).await?;
        Ok(page.into_iter().find(|report| report.worker == worker))
    }

    async fn offers_from(
        &self,
        kind: KindId,
        from: Address,
    ) -> Result<Vec<OfferReport>, ClientError> {
        let question = NodeRequest::Offers(AskOffers { kind, from });
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Offers(page) => Ok(page.offers.into_vec()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The catalogue of services: which kinds of work the chain takes, in which version, and what is planned.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn services(&self) -> Result<Catalogue, ClientError> {
        let question = NodeRequest::Services(AskServices {});
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Services(catalogue) => Ok((*catalogue).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// An open order.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` for one that is closed or never was.
    pub async fn order(&self, order: OrderId) -> Result<OrderReport, ClientError> {
        match self
            .ask(&NodeRequest::Order(AskOrder { order }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Order(order) => Ok(order),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// A proposal.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` for one that never was, or is long over.
    pub async fn proposal(&self, proposal: ProposalId) -> Result<ProposalReport, ClientError> {
        let question = NodeRequest::Proposal(AskProposal { proposal });
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Proposal(proposal) => Ok((*proposal).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The proposals that the node knows, oldest first: a page from a number on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn proposals(&self, from: ProposalId) -> Result<Vec<ProposalReport>, ClientError> {
        let question = NodeRequest::Proposals(AskProposals { from });
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Proposals(page) => Ok(page.proposals.into_vec()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// What is governed: values in force, pauses, and what is bonded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn governance(&self) -> Result<GovernanceReport, ClientError> {
        let question = NodeRequest::Governance(AskGovernance {});
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Governance(report) => Ok((*report).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The validators, and evidence of double votes that nobody showed the ledger yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn validators(&self) -> Result<ValidatorsReport, ClientError> {
        let question = NodeRequest::Validators(AskValidators {});
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Validators(report) => Ok((*report).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// The candidates that stand, and the seats.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn candidates(&self) -> Result<CandidatesReport, ClientError> {
        let question = NodeRequest::Candidates(AskCandidates {});
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Candidates(report) => Ok((*report).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// What an account has delegated.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delegations(&self, delegator: Address) -> Result<DelegationsReport, ClientError> {
        let question = NodeRequest::Delegations(AskDelegations { delegator });
        match self.ask(&question, ANSWER_DEADLINE).await? {
            NodeReply::Delegations(report) => Ok((*report).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// From where on an account must read events to know all open work that waits for it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn duties(&self, account: Address) -> Result<Duties, ClientError> {
        match self
            .ask(&NodeRequest::Duties(AskDuties { account }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Duties(duties) => Ok(duties),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// A block's header, certificate and event leaves.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block(&self, height: Height) -> Result<BlockReport, ClientError> {
        match self
            .ask(&NodeRequest::Block(AskBlock { height }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Block(block) => Ok((*block).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// A proof of what the newest final state holds under a key. The node is not believed: see `LightClient::verify_state`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn proof(&self, key: &[u8]) -> Result<StateProof, ClientError> {
        let key = BoundedBytes::new(key.to_vec()).map_err(|_| ClientError::OtherAnswer)?;
        let ask = NodeRequest::Proof(AskProof { key });
        match self.ask(&ask, ANSWER_DEADLINE).await? {
            NodeReply::Proof(proof) => Ok((*proof).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// A whole block, to execute it again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn body(&self, height: Height) -> Result<Block, ClientError> {
        match self
            .ask(&NodeRequest::Body(AskBody { height }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Body(block) => Ok((*block).clone()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// A part of the state, to copy it: bytes that the asker checks.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `state_gone` if the node does not hold that state any more.
    pub async fn state(&self, ask: AskState) -> Result<Vec<u8>, ClientError> {
        match self.ask(&NodeRequest::State(ask), ANSWER_DEADLINE).await? {
            NodeReply::State(part) => Ok(part.bytes.into_vec()),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// What became of all transactions of a block, in their order.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::OtherAnswer`] for a node that never comes to an end.
    pub async fn outcomes(&self, height: Height) -> Result<Vec<TxOutcome>, ClientError> {
        let mut outcomes: Vec<TxOutcome> = Vec::new();
        while outcomes.len() <= BLOCK_TXS_MAX {
            let first = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
            let question = NodeRequest::Outcomes(AskOutcomes { height, first });
            let NodeReply::Outcomes(page) = self.ask(&question, ANSWER_DEADLINE).await? else {
                return Err(ClientError::OtherAnswer);
            };
            let (is_empty, more) = (page.outcomes.is_empty(), page.more);
            outcomes.extend(page.outcomes.into_vec());
            if !more {
                return Ok(outcomes);
            }
            if is_empty {
                break;
            }
        }
        Err(ClientError::OtherAnswer)
    }

    /// Submits a transaction and waits until it is final. Submitting the same transaction again is harmless.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, tx: &SignedTx) -> Result<Included, ClientError> {
        let tx = BoundedBytes::new(tx.encode().to_vec())?;
        match self
            .ask(&NodeRequest::Submit(Submit { tx }), SUBMIT_DEADLINE)
            .await?
        {
            NodeReply::Included(included) => Ok(included),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// Puts a blob into the node's store and checks the digest that it answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, ClientError> {
        let digest = Digest::of_blob(&bytes);
        let bytes = BoundedBytes::new(bytes)?;
        match self
            .ask(&NodeRequest::PutBlob(PutBlob { bytes }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::BlobStored(stored) if stored.digest == digest => Ok(digest),
            NodeReply::BlobStored(_) => Err(ClientError::OtherBlob { digest }),
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// Gets a blob and checks that it is the one of its digest.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_blob(&self, digest: Digest) -> Result<Vec<u8>, ClientError> {
        match self
            .ask(&NodeRequest::GetBlob(GetBlob { digest }), ANSWER_DEADLINE)
            .await?
        {
            NodeReply::Blob(blob) => {
                let bytes = blob.bytes.into_vec();
                if Digest::of_blob(&bytes) == digest {
                    Ok(bytes)
                } else {
                    Err(ClientError::OtherBlob { digest })
                }
            }
            _ => Err(ClientError::OtherAnswer),
        }
    }

    /// Follows the events of final blocks from a height on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow(&self, from: Height) -> Result<EventStream<N>, ClientError> {
        let mut stream = self.network.open(&self.node, NODE, ANSWER_DEADLINE).await?;
        stream
            .send(
                &NodeRequest::Follow(Follow { from }).encode(),
                ANSWER_DEADLINE,
            )
            .await?;
        stream.finish().await?;
        Ok(EventStream { stream })
    }
}

/// The events of final blocks, in order.
#[derive(Debug)]
pub struct EventStream<N: Network> {
    stream: N::Stream,
}

impl<N: Network> EventStream<N> {
    /// The next page: one block's events, or a part of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn next(&mut self) -> Result<EventPage, ClientError> {
        let frame = self
            .stream
            .recv(MESSAGE_BYTES_MAX, FOLLOW_DEADLINE)
            .await?
            .ok_or(ClientError::StreamEnded)?;
        match decode(&frame).map_err(ClientError::Malformed)? {
            NodeReply::Events(page) => Ok(page),
            NodeReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            _ => Err(ClientError::OtherAnswer),
        }
    }
}
