//! Events: what the ledger did, in past participles. Each is a leaf under its block's events root.

use crate::{
    amount::Amount,
    bounded::BoundedVec,
    codec::{Boxed, choice, record, tag},
    digest::Digest,
    keys::Address,
    limits::DRAWN_MAX,
    order::{KindId, NonMatches, OrderHeader, OrderId, SlotId},
    quantity::{Millis, Nonce},
    receipt::{Randomness, SignedReceipt, Tier, Verdict},
    session::SampleTraces,
};

mod appeal;
mod delegate;
mod governance;
mod session;
mod stake;
mod validator;

pub use appeal::{AppealDecided, AppealNarrowed, AppealOutcome, Appealed, AppealsOpen};
pub use delegate::{DelegateGranted, DelegateRevoked};
pub use governance::{
    DepositAdded, ModulePaused, ModuleResumed, MotionAnswered, MotionAppealed, ParamChanged,
    Penalised, ProposalEnded, ProposalPassed, ProposalSubmitted, ServiceSet, TreasurySpent,
    UpgradeBegan, UpgradePlanned, VoteOverridden, VoteReturned, Voted, VotingStarted,
    WithdrawalsHalted, WithdrawalsResumed,
};
pub use session::{
    BatchPosted, BatchSettled, LaneClosed, LaneClosing, LaneOpened, LaneToppedUp, LeavesDue,
    LeavesShared, LeavesShown, LinkDue, LinkRevealed, NothingDrawn, SampleChosen, SharingDue,
};
pub use stake::{Bonded, SlashReason, Slashed, Unbonded, Unbonding};
pub use validator::{
    CandidateJailed, CandidateRegistered, CandidateReleased, CandidateUpdated, EpochBegan,
    NodeConfirmed, Redelegated, RedelegationSlashed, RewardsClaimed, Seat, StakeDelegated,
    StakeReturned, StakeUndelegated, ValidatorTombstoned,
};

/// Money moved between accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Who paid.
    pub from: Address,
    /// Who received.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}
record!(Transferred { from, to, amount });

/// An offer was registered or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferRegistered {
    /// The worker.
    pub worker: Address,
    /// The kind.
    pub kind: KindId,
}
record!(OfferRegistered { worker, kind });

/// An offer was withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferWithdrawn {
    /// The worker.
    pub worker: Address,
    /// The kind.
    pub kind: KindId,
}
record!(OfferWithdrawn { worker, kind });

/// A verifier joined the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierEnrolled {
    /// The verifier.
    pub verifier: Address,
}
record!(VerifierEnrolled { verifier });

/// A verifier left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierLeft {
    /// The verifier.
    pub verifier: Address,
}
record!(VerifierLeft { verifier });

/// An order was posted. It carries the header, so that a closed order's record may leave the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPosted {
    /// The order.
    pub order: OrderId,
    /// The buyer, who pays.
    pub buyer: Address,
    /// Who posted it: the buyer, or a delegate of it.
    pub poster: Address,
    /// The poster's transaction number.
    pub nonce: Nonce,
    /// The order's header.
    pub header: OrderHeader,
    /// What was locked for work and checks.
    pub escrow: Amount,
    /// The refundable deposit for the record.
    pub deposit: Amount,
}
record!(OrderPosted {
    order,
    buyer,
    poster,
    nonce,
    header,
    escrow,
    deposit
});

/// Money was added to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToppedUp {
    /// The order.
    pub order: OrderId,
    /// Who paid.
    pub payer: Address,
    /// How much.
    pub amount: Amount,
}
record!(ToppedUp {
    order,
    payer,
    amount
});

/// A slot was given to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The slot.
    pub slot_id: SlotId,
    /// Which assignment of the slot.
    pub attempt: u16,
    /// The worker.
    pub worker: Address,
    /// The buyer.
    pub buyer: Address,
    /// The most that this slot can cost.
    pub quote: Amount,
    /// The chain time by which the receipt is due.
    pub due: Millis,
    /// Milliseconds of chain time from this block until then.
    pub within: Millis,
    /// The other candidates and why they were not taken.
    pub others: NonMatches,
}
record!(Matched {
    slot_id,
    attempt,
    worker,
    buyer,
    quote,
    due,
    within,
    others
});

/// No worker fits a slot now; it is tried again until the order's time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The slot.
    pub slot_id: SlotId,
    /// The candidates and why not.
    pub candidates: NonMatches,
}
record!(Unmatched {
    slot_id,
    candidates
});

/// A worker handed in a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSubmitted {
    /// The slot.
    pub slot_id: SlotId,
    /// The worker.
    pub worker: Address,
    /// The receipt.
    pub receipt: SignedReceipt,
}
record!(ReceiptSubmitted {
    slot_id,
    worker,
    receipt
});

/// Verifiers were drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiersDrawn {
    /// The slot.
    pub slot_id: SlotId,
    /// Which draw.
    pub tier: Tier,
    /// The verifiers.
    pub verifiers: BoundedVec<Address, DRAWN_MAX>,
    /// The chain time by which they must commit.
    pub due: Millis,
    /// Milliseconds of chain time from this block until then.
    pub within: Millis,
    /// Where the randomness came from.
    pub randomness: Randomness,
}
record!(VerifiersDrawn {
    slot_id,
    tier,
    verifiers,
    due,
    within,
    randomness
});

/// Too few verifiers are eligible: the order is refunded and nobody is slashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Understaffed {
    /// The slot.
    pub slot_id: SlotId,
    /// Verifiers needed.
    pub needed: u16,
    /// Verifiers eligible.
    pub eligible: u16,
}
record!(Understaffed {
    slot_id,
    needed,
    eligible
});

/// A verifier committed to its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictCommitted {
    /// The slot.
    pub slot_id: SlotId,
    /// Which draw.
    pub tier: Tier,
    /// The verifier.
    pub verifier: Address,
}
record!(VerdictCommitted {
    slot_id,
    tier,
    verifier
});

/// All commitments are in (or their time is up); the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningDue {
    /// The slot.
    pub slot_id: SlotId,
    /// The worker that must open.
    pub worker: Address,
    /// The chain time by which.
    pub due: Millis,
}
record!(OpeningDue {
    slot_id,
    worker,
    due
});

/// A worker opened its commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptOpened {
    /// The slot.
    pub slot_id: SlotId,
    /// The worker.
    pub worker: Address,
    /// Its trace.
    pub trace: Digest,
    /// Of a batch: the traces of its samples.
    pub samples: SampleTraces,
}
record!(ReceiptOpened {
    slot_id,
    worker,
    trace,
    samples
});

/// Verifiers may reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevealDue {
    /// The slot.
    pub slot_id: SlotId,
    /// Which draw.
    pub tier: Tier,
    /// The chain time by which.
    pub due: Millis,
}
record!(RevealDue { slot_id, tier, due });

/// A verifier revealed its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRevealed {
    /// The slot.
    pub slot_id: SlotId,
    /// Which draw.
    pub tier: Tier,
    /// The verifier.
    pub verifier: Address,
    /// Its trace.
    pub trace: Digest,
    /// Of a batch: the traces of its samples.
    pub samples: SampleTraces,
}
record!(VerdictRevealed {
    slot_id,
    tier,
    verifier,
    trace,
    samples
});

/// Why a slot is disputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisputeCause {
    /// The verifiers of the first draw do not all agree with the worker.
    Disagreement,
    /// A verifier of the first draw did not commit or reveal.
    VerdictMissing,
    /// The buyer challenged the verdict.
    Challenged,
}
tag!(DisputeCause { 1 => Disagreement, 2 => VerdictMissing, 3 => Challenged });

/// A dispute began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disputed {
    /// The slot.
    pub slot_id: SlotId,
    /// Why.
    pub cause: DisputeCause,
}
record!(Disputed { slot_id, cause });

/// A verdict was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The slot.
    pub slot_id: SlotId,
    /// By which draw.
    pub tier: Tier,
    /// The verdict.
    pub verdict: Verdict,
    /// Verifiers that agree with the worker.
    pub agreeing: u16,
    /// Verifiers drawn.
    pub drawn: u16,
    /// The chain time until which the verdict can be challenged, or that of a dispute appealed; zero when it is final.
    pub challenge_until: Millis,
}
record!(Judged {
    slot_id,
    tier,
    verdict,
    agreeing,
    drawn,
    challenge_until
});

/// One payment out of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Who received it.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}
record!(Payment { to, amount });

/// A slot was settled: the worker is paid. This is the leaf that a receipt's proof leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The slot.
    pub slot_id: SlotId,
    /// The buyer.
    pub buyer: Address,
    /// The digest of the receipt.
    pub receipt: Digest,
    /// The worker's trace as it opened it.
    pub trace: Digest,
    /// To the worker, for metered units.
    pub paid: Payment,
    /// To the verifiers, for their checks.
    pub checks: BoundedVec<Payment, { DRAWN_MAX * 2 }>,
    /// The settlement fee, burned.
    pub burned: Amount,
    /// Verifiers that re-executed the work and agree with the trace.
    pub recomputed_by: u16,
    /// Whether a dispute decided.
    pub disputed: bool,
    /// Where the randomness of the draw came from.
    pub randomness: Randomness,
}
record!(Settled {
    slot_id,
    buyer,
    receipt,
    trace,
    paid,
    checks,
    burned,
    recomputed_by,
    disputed,
    randomness
});

/// Why a slot was refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefundReason {
    /// The buyer took the order back.
    Cancelled,
    /// No worker was matched in time.
    NoMatch,
    /// No assigned worker delivered a receipt in time.
    NoReceipt,
    /// The work was judged wrong.
    Invalid,
    /// The worker did not open its commitment.
    Unopened,
    /// Too few verifiers to judge.
    Understaffed,
    /// The dispute could not be decided.
    Undecided,
    /// The kind was retired, or went on with another version, before a worker had the order.
    Retired,
    /// The spec lies beside the chain, and the verifiers do not find it.
    SpecMissing,
}
tag!(RefundReason {
    1 => Cancelled,
    2 => NoMatch,
    3 => NoReceipt,
    4 => Invalid,
    5 => Unopened,
    6 => Understaffed,
    7 => Undecided,
    8 => Retired,
    9 => SpecMissing,
});

/// A slot was refunded: its whole escrow went back, or what those who looked in vain for its spec left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refunded {
    /// The slot.
    pub slot_id: SlotId,
    /// The buyer.
    pub buyer: Address,
    /// Why.
    pub reason: RefundReason,
    /// How much went back.
    pub amount: Amount,
}
record!(Refunded {
    slot_id,
    buyer,
    reason,
    amount
});

/// A slot goes to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerReplaced {
    /// The slot.
    pub slot_id: SlotId,
    /// The worker that failed.
    pub worker: Address,
    /// Why.
    pub reason: SlashReason,
}
record!(WorkerReplaced {
    slot_id,
    worker,
    reason
});

/// All slots of an order are done; its record left the state and its deposit went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderClosed {
    /// The order.
    pub order: OrderId,
    /// The deposit returned.
    pub deposit: Amount,
    /// Escrow that was not used, returned to the payers.
    pub returned: Amount,
}
record!(OrderClosed {
    order,
    deposit,
    returned
});

/// Something the ledger did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named for its payload, which is documented"
)]
pub enum Event {
    Transferred(Transferred),
    Bonded(Bonded),
    Unbonding(Unbonding),
    Unbonded(Unbonded),
    Slashed(Slashed),
    OfferRegistered(OfferRegistered),
    OfferWithdrawn(OfferWithdrawn),
    VerifierEnrolled(VerifierEnrolled),
    VerifierLeft(VerifierLeft),
    OrderPosted(Boxed<OrderPosted>),
    ToppedUp(ToppedUp),
    Matched(Boxed<Matched>),
    Unmatched(Boxed<Unmatched>),
    ReceiptSubmitted(Boxed<ReceiptSubmitted>),
    VerifiersDrawn(Boxed<VerifiersDrawn>),
    DisputeUnderstaffed(Understaffed),
    VerdictCommitted(VerdictCommitted),
    OpeningDue(OpeningDue),
    ReceiptOpened(ReceiptOpened),
    RevealDue(RevealDue),
    VerdictRevealed(VerdictRevealed),
    Disputed(Disputed),
    Judged(Judged),
    Settled(Boxed<Settled>),
    Refunded(Refunded),
    WorkerReplaced(WorkerReplaced),
    OrderClosed(OrderClosed),
    LaneOpened(Boxed<LaneOpened>),
    LaneClosing(LaneClosing),
    LaneClosed(LaneClosed),
    BatchPosted(Boxed<BatchPosted>),
    LeavesDue(Boxed<LeavesDue>),
    LeavesShown(Boxed<LeavesShown>),
    BatchSettled(Boxed<BatchSettled>),
    DelegateGranted(DelegateGranted),
    DelegateRevoked(DelegateRevoked),
    LaneToppedUp(LaneToppedUp),
    SharingDue(Boxed<SharingDue>),
    LeavesShared(Boxed<LeavesShared>),
    LinkDue(Boxed<LinkDue>),
    LinkRevealed(LinkRevealed),
    NothingDrawn(NothingDrawn),
    SampleChosen(SampleChosen),
    Appealed(Boxed<Appealed>),
    AppealNarrowed(Boxed<AppealNarrowed>),
    AppealDecided(Boxed<AppealDecided>),
    AppealsOpen(AppealsOpen),
    ProposalSubmitted(Boxed<ProposalSubmitted>),
    DepositAdded(DepositAdded),
    VotingStarted(VotingStarted),
    Voted(Voted),
    ProposalPassed(Boxed<ProposalPassed>),
    MotionAnswered(MotionAnswered),
    MotionAppealed(MotionAppealed),
    ProposalEnded(Boxed<ProposalEnded>),
    ParamChanged(ParamChanged),
    TreasurySpent(TreasurySpent),
    Penalised(Penalised),
    ModulePaused(ModulePaused),
    ModuleResumed(ModuleResumed),
    UpgradePlanned(UpgradePlanned),
    VoteOverridden(VoteOverridden),
    WithdrawalsHalted(WithdrawalsHalted),
    WithdrawalsResumed(WithdrawalsResumed),
    VoteReturned(VoteReturned),
    ValidatorTombstoned(Boxed<ValidatorTombstoned>),
    CandidateRegistered(CandidateRegistered),
    CandidateUpdated(CandidateUpdated),
    StakeDelegated(StakeDelegated),
    StakeUndelegated(StakeUndelegated),
    StakeReturned(StakeReturned),
    Redelegated(Redelegated),
    RedelegationSlashed(RedelegationSlashed),
    RewardsClaimed(RewardsClaimed),
    EpochBegan(Boxed<EpochBegan>),
    CandidateJailed(CandidateJailed),
    CandidateReleased(CandidateReleased),
    NodeConfirmed(NodeConfirmed),
    /// See [`ServiceSet`].
    ServiceSet(Boxed<ServiceSet>),
    /// See [`UpgradeBegan`].
    UpgradeBegan(UpgradeBegan),
}
choice!(Event {
    1 => Transferred(Transferred),
    2 => Bonded(Bonded),
    3 => Unbonding(Unbonding),
    4 => Unbonded(Unbonded),
    5 => Slashed(Slashed),
    6 => OfferRegistered(OfferRegistered),
    7 => OfferWithdrawn(OfferWithdrawn),
    8 => VerifierEnrolled(VerifierEnrolled),
    9 => VerifierLeft(VerifierLeft),
    10 => OrderPosted(Boxed<OrderPosted>),
    11 => ToppedUp(ToppedUp),
    12 => Matched(Boxed<Matched>),
    13 => Unmatched(Boxed<Unmatched>),
    14 => ReceiptSubmitted(Boxed<ReceiptSubmitted>),
    15 => VerifiersDrawn(Boxed<VerifiersDrawn>),
    16 => DisputeUnderstaffed(Understaffed),
    17 => VerdictCommitted(VerdictCommitted),
    18 => OpeningDue(OpeningDue),
    19 => ReceiptOpened(ReceiptOpened),
    20 => RevealDue(RevealDue),
    21 => VerdictRevealed(VerdictRevealed),
    22 => Disputed(Disputed),
    23 => Judged(Judged),
    24 => Settled(Boxed<Settled>),
    25 => Refunded(Refunded),
    26 => WorkerReplaced(WorkerReplaced),
    27 => OrderClosed(OrderClosed),
    28 => LaneOpened(Boxed<LaneOpened>),
    29 => LaneClosing(LaneClosing),
    30 => LaneClosed(LaneClosed),
    31 => BatchPosted(Boxed<BatchPosted>),
    32 => LeavesDue(Boxed<LeavesDue>),
    33 => LeavesShown(Boxed<LeavesShown>),
    34 => BatchSettled(Boxed<BatchSettled>),
    35 => DelegateGranted(DelegateGranted),
    36 => DelegateRevoked(DelegateRevoked),
    37 => LaneToppedUp(LaneToppedUp),
    38 => SharingDue(Boxed<SharingDue>),
    39 => LeavesShared(Boxed<LeavesShared>),
    40 => Appealed(Boxed<Appealed>),
    41 => AppealNarrowed(Boxed<AppealNarrowed>),
    42 => AppealDecided(Boxed<AppealDecided>),
    43 => LinkDue(Boxed<LinkDue>),
    44 => LinkRevealed(LinkRevealed),
    45 => NothingDrawn(NothingDrawn),
    46 => SampleChosen(SampleChosen),
    50 => AppealsOpen(AppealsOpen),
    60 => ProposalSubmitted(Boxed<ProposalSubmitted>),
    61 => DepositAdded(DepositAdded),
    62 => VotingStarted(VotingStarted),
    63 => Voted(Voted),
    64 => ProposalPassed(Boxed<ProposalPassed>),
    65 => MotionAnswered(MotionAnswered),
    66 => MotionAppealed(MotionAppealed),
    67 => ProposalEnded(Boxed<ProposalEnded>),
    68 => ParamChanged(ParamChanged),
    69 => TreasurySpent(TreasurySpent),
    70 => Penalised(Penalised),
    71 => ModulePaused(ModulePaused),
    72 => ModuleResumed(ModuleResumed),
    73 => UpgradePlanned(UpgradePlanned),
    74 => VoteOverridden(VoteOverridden),
    75 => WithdrawalsHalted(WithdrawalsHalted),
    76 => WithdrawalsResumed(WithdrawalsResumed),
    77 => VoteReturned(VoteReturned),
    80 => ValidatorTombstoned(Boxed<ValidatorTombstoned>),
    81 => CandidateRegistered(CandidateRegistered),
    82 => CandidateUpdated(CandidateUpdated),
    83 => StakeDelegated(StakeDelegated),
    84 => StakeUndelegated(StakeUndelegated),
    85 => StakeReturned(StakeReturned),
    86 => Redelegated(Redelegated),
    87 => RedelegationSlashed(RedelegationSlashed),
    88 => RewardsClaimed(RewardsClaimed),
    89 => EpochBegan(Boxed<EpochBegan>),
    90 => ServiceSet(Boxed<ServiceSet>),
    91 => CandidateJailed(CandidateJailed),
    92 => CandidateReleased(CandidateReleased),
    93 => NodeConfirmed(NodeConfirmed),
    100 => UpgradeBegan(UpgradeBegan),
});
