//! The words between a node and its clients: one request, then one or more replies, over a request stream.

use crate::{
    amount::Amount,
    block::{Block, BlockHeader},
    bounded::{BoundedBytes, BoundedText, BoundedVec},
    catalogue::Catalogue,
    codec::{Boxed, choice, record},
    digest::Digest,
    event::Event,
    genesis::Genesis,
    keys::Address,
    limits::{
        BLOB_BYTES_MAX, CERTIFICATE_BYTES_MAX, DELEGATES_MAX, EVENT_PAGE_MAX, EXHIBIT_TX_BYTES_MAX,
        OUTCOME_PAGE_MAX, RECORD_PAGE_MAX, TEXT_BYTES_MAX,
    },
    order::{KindId, Offer, OrderId, SlotId},
    outcome::TxOutcome,
    quantity::{ByteCount, Height, Millis, Nonce},
    receipt::SignedReceipt,
    state_proof::StateProof,
    tx::EnrolVerifier,
};

mod desk;
mod governance;
mod state;
mod validators;

pub use desk::{
    BatchLeaves, Delivery, DeliveryReply, DeliveryRequest, DeskRequest, KeptOutput, OutputChunk,
};
pub use governance::{
    AskGovernance, AskProposal, AskProposals, AuditReport, GovernanceReport, Halt, PausedModule,
    ProposalEnd, ProposalPage, ProposalReport, RulesReport,
};
pub use state::{AskProof, AskState, StatePart};
pub use validators::{
    AskCandidates, AskDelegations, AskValidators, CandidateReport, CandidatesReport,
    DelegationReport, DelegationsReport, SecuredReport, ValidatorReport, ValidatorsReport,
};

/// Submits a transaction and waits until it is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// The encoded transaction.
    pub tx: BoundedBytes<EXHIBIT_TX_BYTES_MAX>,
}
record!(Submit { tx });

/// Asks for what the network is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskStatus {}
record!(AskStatus {});

/// Asks for the chain's genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskGenesis {}
record!(AskGenesis {});

/// Asks for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskAccount {
    /// The account.
    pub address: Address,
}
record!(AskAccount { address });

/// Asks for the offers of a kind, from an address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskOffers {
    /// The kind.
    pub kind: KindId,
    /// Where the page begins.
    pub from: Address,
}
record!(AskOffers { kind, from });

/// Asks for the catalogue of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskServices {}
record!(AskServices {});

/// Asks for an open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskOrder {
    /// The order.
    pub order: OrderId,
}
record!(AskOrder { order });

/// Asks from where on an account must read events to know all open work that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskDuties {
    /// The account of a worker or verifier.
    pub account: Address,
}
record!(AskDuties { account });

/// Follows the events of final blocks: one [`EventPage`] per block from `from` on, past ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The first block.
    pub from: Height,
}
record!(Follow { from });

/// Asks for a block's header and certificate, with the leaves of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskBlock {
    /// The block.
    pub height: Height,
}
record!(AskBlock { height });

/// Asks for a whole block, to execute it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskBody {
    /// The block.
    pub height: Height,
}
record!(AskBody { height });

/// Asks what became of a block's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskOutcomes {
    /// The block.
    pub height: Height,
    /// The position in the block where the page begins.
    pub first: u32,
}
record!(AskOutcomes { height, first });

/// Puts a blob into the node's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBlob {
    /// The bytes.
    pub bytes: BoundedBytes<BLOB_BYTES_MAX>,
}
record!(PutBlob { bytes });

/// Gets a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetBlob {
    /// Its digest.
    pub digest: Digest,
}
record!(GetBlob { digest });

/// What a client asks a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named for its payload, which is documented"
)]
pub enum NodeRequest {
    Submit(Submit),
    Status(AskStatus),
    Genesis(AskGenesis),
    Account(AskAccount),
    Offers(AskOffers),
    Order(AskOrder),
    Follow(Follow),
    Block(AskBlock),
    PutBlob(PutBlob),
    GetBlob(GetBlob),
    Body(AskBody),
    Duties(AskDuties),
    Outcomes(AskOutcomes),
    Proposal(AskProposal),
    Proposals(AskProposals),
    Governance(AskGovernance),
    Validators(AskValidators),
    Candidates(AskCandidates),
    Delegations(AskDelegations),
    State(AskState),
    Proof(AskProof),
    Services(AskServices),
}
choice!(NodeRequest {
    1 => Submit(Submit),
    2 => Status(AskStatus),
    3 => Genesis(AskGenesis),
    4 => Account(AskAccount),
    5 => Offers(AskOffers),
    6 => Order(AskOrder),
    7 => Follow(Follow),
    8 => Block(AskBlock),
    9 => PutBlob(PutBlob),
    10 => GetBlob(GetBlob),
    11 => Body(AskBody),
    12 => Duties(AskDuties),
    13 => Outcomes(AskOutcomes),
    14 => Proposal(AskProposal),
    15 => Proposals(AskProposals),
    16 => Governance(AskGovernance),
    17 => Validators(AskValidators),
    18 => Candidates(AskCandidates),
    19 => Delegations(AskDelegations),
    20 => State(AskState),
    21 => Proof(AskProof),
    24 => Services(AskServices),
});

/// A refusal by a node: a stable code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code, such as `nonce_too_low` or `not_found`.
    pub code: BoundedText<64>,
    /// What to do, in words.
    pub reason: BoundedText<TEXT_BYTES_MAX>,
}
record!(Refusal { code, reason });

/// A transaction is final and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The block.
    pub height: Height,
    /// What became of it.
    pub outcome: TxOutcome,
}
record!(Included { height, outcome });

/// Where all money is. Sums to `genesis + minted − burned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SupplyReport {
    /// Supply at genesis.
    pub genesis: Amount,
    /// Minted since.
    pub minted: Amount,
    /// Burned since.
    pub burned: Amount,
    /// In balances.
    pub balances: Amount,
    /// In bonded stakes.
    pub bonded: Amount,
    /// In unbonding stakes.
    pub unbonding: Amount,
    /// In the escrow of open orders, and in the deposits of orders, offers, verifiers, challenges, proposals and votes.
    pub escrow: Amount,
}
record!(SupplyReport {
    genesis,
    minted,
    burned,
    balances,
    bonded,
    unbonding,
    escrow
});

impl SupplyReport {
    /// Whether every base unit is accounted for.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let held = Amount::sum([self.balances, self.bonded, self.unbonding, self.escrow]);
        let expected = self
            .genesis
            .checked_add(self.minted)
            .and_then(|sum| sum.checked_sub(self.burned));
        held.is_ok() && held == expected
    }
}

/// What the network is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest final block.
    pub header: BlockHeader,
    /// The digest of the genesis.
    pub genesis: Digest,
    /// Validators.
    pub validators: u16,
    /// Offers registered.
    pub offers: u32,
    /// Verifiers enrolled.
    pub verifiers: u32,
    /// Orders open.
    pub open_orders: u32,
    /// Transactions waiting.
    pub mempool: u32,
    /// Where all money is.
    pub supply: SupplyReport,
    /// What buyers have locked, against what a third of the seats costs.
    pub secured: SecuredReport,
    /// What the ledger found of itself.
    pub audit: AuditReport,
    /// Which rules are in force, and which are to come.
    pub rules: RulesReport,
    /// The version of the node's program.
    pub version: BoundedText<64>,
}
record!(Status {
    header,
    genesis,
    validators,
    offers,
    verifiers,
    open_orders,
    mempool,
    supply,
    secured,
    audit,
    rules,
    version
});

/// Bytes of an ordinary transaction, for which an account's report suggests a fee.
pub const ORDINARY_TX_BYTES: ByteCount = ByteCount(512);

/// What an account verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierReport {
    /// How it is enrolled.
    pub enrolment: EnrolVerifier,
    /// For how many more batches its hash chain does; none while it is asked for no more because too many links are open.
    pub links_left: u32,
}
record!(VerifierReport {
    enrolment,
    links_left
});

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountReport {
    /// The account.
    pub address: Address,
    /// Free money.
    pub balance: Amount,
    /// Transactions sent.
    pub nonce: Nonce,
    /// Slashable stake.
    pub bonded: Amount,
    /// Stake on its way back, still slashable.
    pub unbonding: Amount,
    /// Stake that covers open work.
    pub exposure: Amount,
    /// The lowest fee that a transaction of [`ORDINARY_TX_BYTES`] needs now.
    pub fee_min: Amount,
    /// What it verifies, and for whom, if it is enrolled.
    pub verifies: Option<VerifierReport>,
    /// Who may open sessions that it pays for.
    pub delegates: BoundedVec<DelegateReport, DELEGATES_MAX>,
}
record!(AccountReport {
    address,
    balance,
    nonce,
    bonded,
    unbonding,
    exposure,
    fee_min,
    verifies,
    delegates
});

/// What an account lets a delegate spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegateReport {
    /// The delegate.
    pub delegate: Address,
    /// The most that its sessions may take.
    pub cap: Amount,
    /// What of it is free.
    pub left: Amount,
    /// Until when, in milliseconds since the Unix epoch.
    pub until: Millis,
}
record!(DelegateReport {
    delegate,
    cap,
    left,
    until
});

/// A registered offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferReport {
    /// The worker.
    pub worker: Address,
    /// The offer.
    pub offer: Offer,
    /// Slots of it that are open.
    pub open: u16,
}
record!(OfferReport {
    worker,
    offer,
    open
});

/// A page of offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferPage {
    /// The offers.
    pub offers: BoundedVec<OfferReport, RECORD_PAGE_MAX>,
}
record!(OfferPage { offers });

/// One slot of an open order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotReport {
    /// The slot.
    pub slot_id: SlotId,
    /// The phase in one word.
    pub phase: BoundedText<32>,
    /// The worker, once matched.
    pub worker: Option<Address>,
    /// The chain time at which the phase ends.
    pub due: Millis,
    /// The receipt, once handed in.
    pub receipt: Option<SignedReceipt>,
}
record!(SlotReport {
    slot_id,
    phase,
    worker,
    due,
    receipt
});

/// An open order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReport {
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub buyer: Address,
    /// The block that it was posted in.
    pub posted: Height,
    /// Its slots.
    pub slots: BoundedVec<SlotReport, { crate::limits::SLOTS_MAX }>,
}
record!(OrderReport {
    order,
    buyer,
    posted,
    slots
});

/// The open work that waits for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duties {
    /// The newest final block.
    pub tip: Height,
    /// The block of the oldest match or draw that still waits for the account, if any does.
    pub since: Option<Height>,
}
record!(Duties { tip, since });

/// The events of one final block, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The block.
    pub height: Height,
    /// The block's time.
    pub time: Millis,
    /// The position of the first event of this page in its block.
    pub first: u32,
    /// Whether the block has more events after this page.
    pub more: bool,
    /// The events.
    pub events: BoundedVec<Event, EVENT_PAGE_MAX>,
}
record!(EventPage {
    height,
    time,
    first,
    more,
    events
});

/// A block's header, certificate and the leaves of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockReport {
    /// The header.
    pub header: BlockHeader,
    /// The headers after it, up to the one that the certificate is over.
    pub descendants: BoundedVec<BlockHeader, { crate::limits::DESCENDANTS_MAX }>,
    /// The finality certificate.
    pub certificate: BoundedBytes<CERTIFICATE_BYTES_MAX>,
    /// The digest of each event's leaf, in order.
    pub event_leaves: BoundedVec<Digest, { crate::limits::BLOCK_EVENTS_MAX }>,
}
record!(BlockReport {
    header,
    descendants,
    certificate,
    event_leaves
});

/// What became of some of a block's transactions, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomePage {
    /// The outcomes.
    pub outcomes: BoundedVec<TxOutcome, OUTCOME_PAGE_MAX>,
    /// Whether the block has more after this page.
    pub more: bool,
}
record!(OutcomePage { outcomes, more });

/// Bytes of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The bytes.
    pub bytes: BoundedBytes<BLOB_BYTES_MAX>,
}
record!(Blob { bytes });

/// A blob is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStored {
    /// Its digest.
    pub digest: Digest,
}
record!(BlobStored { digest });

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named for its payload, which is documented"
)]
pub enum NodeReply {
    Refused(Refusal),
    Included(Included),
    Status(Boxed<Status>),
    Genesis(Boxed<Genesis>),
    Account(AccountReport),
    Offers(OfferPage),
    Order(OrderReport),
    Events(EventPage),
    Block(Boxed<BlockReport>),
    BlobStored(BlobStored),
    Blob(Blob),
    Body(Boxed<Block>),
    Duties(Duties),
    Outcomes(OutcomePage),
    Proposal(Boxed<ProposalReport>),
    Proposals(ProposalPage),
    Governance(Boxed<GovernanceReport>),
    Validators(Boxed<ValidatorsReport>),
    Candidates(Boxed<CandidatesReport>),
    Delegations(Boxed<DelegationsReport>),
    State(StatePart),
    Proof(Boxed<StateProof>),
    Services(Boxed<Catalogue>),
}
choice!(NodeReply {
    1 => Refused(Refusal),
    2 => Included(Included),
    3 => Status(Boxed<Status>),
    4 => Genesis(Boxed<Genesis>),
    5 => Account(AccountReport),
    6 => Offers(OfferPage),
    7 => Order(OrderReport),
    8 => Events(EventPage),
    9 => Block(Boxed<BlockReport>),
    10 => BlobStored(BlobStored),
    11 => Blob(Blob),
    12 => Body(Boxed<Block>),
    13 => Duties(Duties),
    14 => Outcomes(OutcomePage),
    15 => Proposal(Boxed<ProposalReport>),
    16 => Proposals(ProposalPage),
    17 => Governance(Boxed<GovernanceReport>),
    18 => Validators(Boxed<ValidatorsReport>),
    19 => Candidates(Boxed<CandidatesReport>),
    20 => Delegations(Boxed<DelegationsReport>),
    21 => State(StatePart),
    22 => Proof(Boxed<StateProof>),
    25 => Services(Boxed<Catalogue>),
});
