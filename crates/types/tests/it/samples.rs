//! Values of every type, made from a number: the same number makes the same value on every machine.

use fairweir_types::{
    AccountKey, Action, Address, Amount, Block, BlockHeader, BoundedBytes, BoundedText, BoundedVec,
    Boxed, Bps, ByteCount, ChainId, Digest, Event, Genesis, GenesisAccount, Height, Millis, Nonce,
    PeerAddress, ProposalId, Receipt, SecretKey, SignedReceipt, SignedTx, Transaction, TxCode,
    TxOutcome, Units, Validator,
    catalogue::*,
    digest::Domain,
    double_vote::{CastVote, DoubleVote, VoteKind},
    event::*,
    genesis::GenesisParam,
    governance::{
        Cancel, Deposited, Message, Module, Pause, Penalty, ProposalOutcome, ProposalPhase,
        Release, Resume, SetParam, Tally, TreasurySpend, Upgrade, Weights,
    },
    handover::{Handover, Handovers},
    hash_chain::HashChain,
    invariant::Invariant,
    keys::{Purpose, Signature, VoteSecretKey, VoteSignature},
    merkle::MerklePath,
    node_api::*,
    order::*,
    proof::{InBatch, ReceiptProof, Settlement},
    receipt::{Disclosure, Randomness, SignedStop, Stop, Stopped, Tier, Verdict},
    relay::{Relay, SignedRelay},
    session::*,
    state_proof::StateProof,
    sum_tree::{SumNode, SumPath},
    tx::*,
};

/// Makes values one after the other.
pub(crate) struct Maker {
    seed: u64,
    count: u64,
}

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    pub(crate) fn digest(&mut self) -> Digest {
        self.count += 1;
        Digest::of(
            Domain::Draw,
            &[
                b"sample",
                &self.seed.to_be_bytes(),
                &self.count.to_be_bytes(),
            ],
        )
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.digest().leading_u64()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn small(&mut self) -> u16 {
        u16::try_from(self.below(1 << 16)).unwrap()
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = self.below(max + 1);
        (0..len)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }

    fn list<T>(&mut self, max: u64, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let len = self.below(max + 1);
        (0..len).map(|_| make(self)).collect()
    }

    fn text(&mut self, max: u64) -> String {
        let letters = ['a', 'ß', '水', '-', '9', '🌊'];
        let len = self.below(max / 4 + 1);
        (0..len)
            .map(|_| letters[usize::try_from(self.below(6)).unwrap()])
            .collect()
    }
}

/// A type with samples.
pub(crate) trait Sample {
    fn sample(maker: &mut Maker) -> Self;
}

macro_rules! samples {
    ($($name:ty: |$maker:ident| $value:expr;)*) => {
        $(impl Sample for $name {
            fn sample($maker: &mut Maker) -> Self {
                $value
            }
        })*
    };
}

/// A record whose fields are samples.
macro_rules! records {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(impl Sample for $name {
            fn sample(maker: &mut Maker) -> Self {
                let _ = &maker;
                Self { $($field: Sample::sample(maker)),* }
            }
        })*
    };
}

/// A choice: one of its variants.
macro_rules! choices {
    ($($name:ident { $($variant:ident),* $(,)? })*) => {
        $(impl Sample for $name {
            fn sample(maker: &mut Maker) -> Self {
                let variants: &[fn(&mut Maker) -> Self] = &[$(|maker| Self::$variant(Sample::sample(maker))),*];
                let chosen = usize::try_from(maker.below(u64::try_from(variants.len()).unwrap())).unwrap();
                variants[chosen](maker)
            }
        })*
    };
}

/// An enum without payloads.
macro_rules! tags {
    ($($name:ident),*) => {
        $(impl Sample for $name {
            fn sample(maker: &mut Maker) -> Self {
                loop {
                    if let Some(value) = Self::from_tag(u8::try_from(maker.below(16)).unwrap()) {
                        return value;
                    }
                }
            }
        })*
    };
}

impl<T: Sample> Sample for Option<T> {
    fn sample(maker: &mut Maker) -> Self {
        (maker.below(2) == 1).then(|| T::sample(maker))
    }
}

impl<T: Sample> Sample for Boxed<T> {
    fn sample(maker: &mut Maker) -> Self {
        Self::new(T::sample(maker))
    }
}

impl<T: Sample, const MAX: usize> Sample for BoundedVec<T, MAX> {
    fn sample(maker: &mut Maker) -> Self {
        let max = u64::try_from(MAX.min(4)).unwrap();
        Self::new(maker.list(max, T::sample)).unwrap()
    }
}

impl<const MAX: usize> Sample for BoundedBytes<MAX> {
    fn sample(maker: &mut Maker) -> Self {
        let max = u64::try_from(MAX.min(96)).unwrap();
        Self::new(maker.bytes(max)).unwrap()
    }
}

impl<const MAX: usize> Sample for BoundedText<MAX> {
    fn sample(maker: &mut Maker) -> Self {
        let max = u64::try_from(MAX.min(96)).unwrap();
        Self::new(&maker.text(max)).unwrap()
    }
}

samples! {
    u8: |maker| u8::try_from(maker.below(256)).unwrap();
    u16: |maker| maker.small();
    u32: |maker| u32::try_from(maker.below(1 << 32)).unwrap();
    u64: |maker| maker.number();
    u128: |maker| u128::from(maker.number());
    bool: |maker| maker.below(2) == 1;
    [u8; 32]: |maker| maker.digest().0;
    PeerAddress: |maker| {
        let digest = maker.digest().0;
        let (port, ip) = (maker.small(), <[u8; 16]>::try_from(&digest[..16]).unwrap());
        let socket = if digest[31].is_multiple_of(2) {
            std::net::SocketAddr::from(([digest[0], digest[1], digest[2], digest[3]], port))
        } else {
            (ip, port).into()
        };
        socket.into()
    };
    [u8; 80]: |maker| {
        let mut bytes = [0; 80];
        for part in bytes.chunks_mut(16) {
            part.copy_from_slice(&maker.digest().0[..16]);
        }
        bytes
    };
    [u8; 48]: |maker| VoteSecretKey::sample(maker).vote_key().to_bytes();
    [u8; 64]: |maker| {
        let Signature::Ed25519(signature) = Signature::sample(maker);
        signature.as_ref().try_into().unwrap()
    };
    Digest: |maker| maker.digest();
    Amount: |maker| Amount::from_base_units(maker.below(Amount::MAX.base_units() + 1)).unwrap();
    Height: |maker| Height(maker.number());
    Millis: |maker| Millis(maker.number());
    Nonce: |maker| Nonce(maker.number());
    Units: |maker| Units(maker.number());
    ProposalId: |maker| ProposalId(maker.number());
    ByteCount: |maker| ByteCount(maker.number());
    Bps: |maker| Bps(maker.below(10_001));
    KindId: |maker| KindId(maker.small());
    OrderId: |maker| OrderId(maker.digest());
    TxCode: |maker| TxCode(maker.small());
    ChainId: |maker| ChainId::new(&format!("dev-{}", maker.below(1_000_000))).unwrap();
    SecretKey: |maker| SecretKey::from_seed(maker.digest().0).unwrap();
    AccountKey: |maker| SecretKey::sample(maker).account_key();
    Address: |maker| AccountKey::sample(maker).address();
    Signature: |maker| SecretKey::sample(maker).sign(Purpose::Receipt, b"sample");
    VoteSecretKey: |maker| VoteSecretKey::from_seed(maker.digest().0).unwrap();
    [u8; 96]: |maker| VoteSignature::sample(maker).to_bytes();
    VoteSignature: |maker| VoteSecretKey::sample(maker).sign(Purpose::Beacon, b"sample");
    Validator: |maker| {
        let vote = VoteSecretKey::sample(maker);
        let AccountKey::Ed25519(identity) = AccountKey::sample(maker);
        Validator {
            identity: identity.as_ref().try_into().unwrap(),
            vote_key: vote.vote_key(),
            possession: vote.prove_possession(),
            payout: Address::sample(maker),
        }
    };
    SignedTx: |maker| {
        let key = SecretKey::sample(maker);
        let mut transaction = Transaction::sample(maker);
        transaction.sender = key.account_key();
        transaction.sign(&key)
    };
    SignedReceipt: |maker| {
        let key = SecretKey::sample(maker);
        SignedReceipt::sign(Receipt::sample(maker), &key)
    };
}

tags!(
    Privacy,
    Urgency,
    SlotRole,
    Tier,
    Verdict,
    Randomness,
    SlashReason,
    DisputeCause,
    RefundReason,
    AppealOutcome,
    Module,
    VoteKind,
    ProposalPhase,
    ProposalOutcome,
    Invariant
);

records! {
    SlotId { order, slot }
    UnitVector { input, cached_input, output, time }
    Demand { units, bytes_in, bytes_out_max, memory_max, execution_max }
    PriceVector { input, cached_input, output, time }
    Requirements { level_min, capabilities, region, stake_min }
    OpenRounds { lane_cap, open_for, delegate }
    FundingStream { payer, round_max }
    OrderHeader { kind, version, spec_digest, spec_inline, demand, slots, role, rounds, price_max, urgency, match_within, requirements, privacy }
    Offer { kind, versions, digest, prices, capacity, collateral, demand_max, level, capabilities, region, privacy_max, owner, endpoint }
    Shortfall { has, asked }
    NonMatch { worker, reason }
    Receipt { chain_id, slot_id, attempt, kind, version, spec_digest, units, disclosure, output_commitment }
    Stop { chain_id, slot_id, attempt, output_max }
    SignedStop { stop, buyer, signature }
    Stopped { at, stop }
    Disclosure { stopped, hint }
    OutputChunk { bytes }
    Transfer { to, amount }
    Bond { amount }
    Unbond { amount }
    RegisterOffer { offer }
    WithdrawOffer { kind }
    HashChain { number, length, anchor }
    EnrolVerifier { owner, kinds, seal_key, hash_chain }
    LeaveVerifiers {}
    PostOrder { header }
    TopUp { order, amount }
    CancelOrder { order }
    SubmitReceipt { receipt }
    CommitVerdict { slot_id, tier, commitment }
    OpenReceipt { slot_id, salt, output }
    RevealVerdict { slot_id, tier, nonce, trace, samples }
    Challenge { slot_id, at }
    Request { chain_id, lane, index, kind, spec_digest, demand }
    SignedRequest { request, signer, signature }
    Payers { buyer, delegate }
    Relay { chain_id, slot_id, receipt, request, answer }
    SignedRelay { relay, gateway, signature }
    Voucher { chain_id, lane, cumulative }
    SignedVoucher { voucher, signer, signature }
    Leaf { index, amount, receipt }
    Numbers { first, last }
    SampledLeaf { index, commitment, receipt, demand }
    ShownLeaf { request, receipt, spec, disclosure }
    ShownLeaves { list, leaves }
    Reader { verifier, key }
    SealedLeaves { wraps, bytes }
    LeafOpening { salt, trace }
    Ask { request, spec, credit }
    Credit { voucher, stop }
    KeptRequest { request, amount, receipt, trace, spec, disclosure }
    KeptBatch { lane, number, indices }
    SumNode { digest, sum }
    SumPath { position, count, siblings }
    PostBatch { lane, number, root, count, numbers, total, voucher }
    ShowLeaves { slot_id, shown, sealed, leaves }
    RevealLink { slot_id, link }
    ShareLeaves { slot_id, wraps }
    OpenBatch { slot_id, openings }
    CloseSession { order }
    GrantDelegate { delegate, cap, until }
    RevokeDelegate { delegate }
    OpenSession { owner, header }
    TopUpLane { lane, amount }
    Appeal { slot_id, sample, run, bound }
    BoundSample { receipt, bound }
    BoundLeaf { list, request, receipt }
    Defend { slot_id, run, bound }
    OpenNode { slot_id, depth, children }
    Exhibit { slot_id, shown }
    SubmitProposal { title, message, expedited, deposit }
    AddDeposit { proposal, amount }
    Vote { proposal, weights }
    AnswerMotion { proposal, answer }
    AppealMotion { proposal, grounds }
    AskValidators {}
    ValidatorReport { identity, account, bonded, seated, tombstoned }
    ValidatorsReport { validators, evidence }
    CastVote { kind, parent_view, block, signature }
    DoubleVote { validator, epoch, view, first, second }
    ReportDoubleVote { evidence }
    ValidatorTombstoned { validator, voter, account, epoch, view, reporter, amount, delegated, to_reporter, burned }
    RegisterCandidate { identity, vote_key, consent, possession, commission, amount, peer, lead }
    UpdateCandidate { commission, stands, peer }
    DelegateStake { candidate, amount }
    UndelegateStake { candidate, shares }
    RedelegateStake { from, to, amount }
    ClaimRewards { candidate }
    ConfirmNode { node }
    CandidateRegistered { candidate, validator, commission }
    CandidateUpdated { candidate, commission, stands }
    CandidateJailed { candidate, validator, epoch, until }
    CandidateReleased { proposal, candidate }
    NodeConfirmed { lead, node }
    StakeDelegated { candidate, delegator, amount }
    StakeUndelegated { candidate, delegator, shares, free_at }
    StakeReturned { candidate, delegator, amount }
    Redelegated { from, to, delegator, amount, until }
    RedelegationSlashed { from, to, delegator, burned }
    RewardsClaimed { candidate, delegator, amount }
    Seat { validator, vote_key, stake }
    EpochBegan { epoch, ends, by_stake, since, seats }
    AskCandidates {}
    CandidateReport { candidate, validator, commission, next_commission, own, stake, leaving, peer, is_ready, seat_next, jailed_until, lead, is_confirmed }
    CandidatesReport { epoch, ends, by_stake, since, seats, stake, absent, stake_min, seats_min, candidates }
    AskDelegations { delegator }
    AskState { size, start, max, is_boundary }
    AskProof { key }
    StateProof { key, header, descendants, certificate, proof }
    StatePart { bytes }
    DelegationReport { candidate, shares, worth, moved, rewards, tombstoned }
    DelegationsReport { delegations }
    SetParam { param, value }
    TreasurySpend { to, amount }
    Penalty { accused, evidence, share }
    Pause { module, duration }
    Cancel { proposal }
    Release { candidate, until }
    Upgrade { height, plan }
    Resume { halted }
    WithdrawalsHalted { invariant, halted }
    WithdrawalsResumed { proposal, halted }
    Halt { invariant, halted }
    AuditReport { halt, broken, readings, ended }
    Weights { yes, no, abstain, veto }
    Tally { yes, no, abstain, veto }
    Deposited { from, amount }
    ProposalSubmitted { proposal, proposer, title, message, expedited, deposit, needed, due }
    DepositAdded { proposal, from, amount, deposit }
    VotingStarted { proposal, is_appeal, bonded, charged, until }
    Voted { proposal, voter, weights, power, lent }
    VoteOverridden { proposal, candidate, voter, power }
    VoteReturned { voting, voter, amount }
    ProposalPassed { proposal, phase, tally, until }
    MotionAnswered { proposal, accused, answer }
    MotionAppealed { proposal, accused, grounds }
    ProposalEnded { proposal, outcome, code, tally, returned, forfeited }
    ParamChanged { proposal, param, before, value }
    TreasurySpent { proposal, to, amount }
    Penalised { proposal, accused, burned }
    ModulePaused { proposal, module, until }
    ModuleResumed { module }
    UpgradePlanned { proposal, height, plan }
    UpgradeBegan { height, plan, records }
    LaneOpened { slot_id, worker, payers, kind, version, prices, demand, cap, until }
    LaneToppedUp { slot_id, worker, payer, cap, locked }
    LaneClosing { slot_id, worker, until }
    LaneClosed { slot_id, worker, claimed, returned }
    BatchPosted { slot_id, lane, number, worker, root, count, numbers }
    LeavesDue { slot_id, worker, samples, readers, due }
    LeavesShown { slot_id, lane, worker, payers, kind, version, prices, demand, root, count, numbers, samples, leaves, shown, sealed, readers }
    LinkDue { slot_id, worker, seed, verifier, hash_chain, index, due }
    LinkRevealed { slot_id, verifier, link }
    NothingDrawn { slot_id, worker }
    SampleChosen { slot_id, buyer, at }
    SharingDue { slot_id, worker, readers, due }
    LeavesShared { slot_id, sender, wraps }
    BatchSettled { slot_id, lane, payers, root, count, samples, paid, checks, burned, returned, recomputed_by, disputed, randomness }
    AppealsOpen { slot_id, judged, until }
    Appealed { slot_id, sample, appellant, trace, run, defender, judged, due }
    AppealNarrowed { slot_id, appellant, defender, path, claimed, defended, due }
    AppealDecided { slot_id, appellant, defender, outcome, path, is_turned }
    Transaction { chain_id, sender, nonce, fee, expiry, action }
    TxOutcome { tx, code, reason }
    Transferred { from, to, amount }
    Bonded { account, amount }
    Unbonding { account, amount, free_at }
    Unbonded { account, amount }
    Slashed { account, reason, slot_id, amount, to_buyer, to_reporters, to_verifiers, burned }
    OfferRegistered { worker, kind }
    OfferWithdrawn { worker, kind }
    VerifierEnrolled { verifier }
    VerifierLeft { verifier }
    DelegateGranted { owner, delegate, cap, until }
    DelegateRevoked { owner, delegate }
    OrderPosted { order, buyer, poster, nonce, header, escrow, deposit }
    ToppedUp { order, payer, amount }
    Matched { slot_id, attempt, worker, buyer, quote, due, within, others }
    Unmatched { slot_id, candidates }
    ReceiptSubmitted { slot_id, worker, receipt }
    VerifiersDrawn { slot_id, tier, verifiers, due, within, randomness }
    Understaffed { slot_id, needed, eligible }
    VerdictCommitted { slot_id, tier, verifier }
    OpeningDue { slot_id, worker, due }
    ReceiptOpened { slot_id, worker, trace, samples }
    RevealDue { slot_id, tier, due }
    VerdictRevealed { slot_id, tier, verifier, trace, samples }
    Disputed { slot_id, cause }
    Judged { slot_id, tier, verdict, agreeing, drawn, challenge_until }
    Payment { to, amount }
    Settled { slot_id, buyer, receipt, trace, paid, checks, burned, recomputed_by, disputed, randomness }
    Refunded { slot_id, buyer, reason, amount }
    WorkerReplaced { slot_id, worker, reason }
    OrderClosed { order, deposit, returned }
    BlockHeader {
        version, chain_id, certificate_scheme, height, parent, epoch, view, parent_view, proposer, time, beacon_signature, beacon,
        transactions_root, outcomes_root, events_root, outbox_root, state_root, state_ops_root, state_range_start, state_range_end,
    }
    Block { header, transactions }
    MerklePath { position, count, siblings }
    GenesisAccount { address, balance }
    GenesisParam { param, value }
    Versions { oldest, newest }
    KnownKind { kind, versions }
    ServiceTerms { name, version, demand_max, has_appeals }
    ServiceEntry { from, terms }
    GenesisService { kind, terms }
    SetService { kind, entry }
    ServiceReport { kind, entries }
    Catalogue { height, services }
    ServiceSet { proposal, kind, entry }
    AskServices {}
    Genesis { chain_id, time, accounts, validators, params, services }
    InBatch { settled, leaf, path }
    BatchLeaves { leaves }
    Handover { header, certificate, began, path }
    Handovers { genesis, handovers }
    ReceiptProof { receipt, settlement, path, header, descendants, certificate, salt, spec, output, disclosure }
    Submit { tx }
    AskStatus {}
    AskGenesis {}
    AskAccount { address }
    AskOffers { kind, from }
    AskOrder { order }
    Follow { from }
    AskBlock { height }
    AskBody { height }
    AskOutcomes { height, first }
    AskDuties { account }
    PutBlob { bytes }
    GetBlob { digest }
    Refusal { code, reason }
    Included { height, outcome }
    SupplyReport { genesis, minted, burned, balances, bonded, unbonding, escrow }
    Status { header, genesis, validators, offers, verifiers, open_orders, mempool, supply, secured, audit, rules, version }
    SecuredReport { locked, third, share, limit }
    VerifierReport { enrolment, links_left }
    AccountReport { address, balance, nonce, bonded, unbonding, exposure, fee_min, verifies, delegates }
    DelegateReport { delegate, cap, left, until }
    OfferReport { worker, offer, open }
    OfferPage { offers }
    SlotReport { slot_id, phase, worker, due, receipt }
    OrderReport { order, buyer, posted, slots }
    Duties { tip, since }
    OutcomePage { outcomes, more }
    AskProposal { proposal }
    AskProposals { from }
    AskGovernance {}
    ProposalReport {
        proposal, proposer, title, message, expedited, submitted, phase, due, deposits, needed, bonded, tally, charged, answer, grounds, ended,
    }
    ProposalEnd { outcome, code, height }
    ProposalPage { proposals }
    PausedModule { module, until }
    GovernanceReport { now, bonded, treasury, params, paused, rules }
    RulesReport { planned, knows, newest, begun }
    EventPage { height, time, first, more, events }
    BlockReport { header, descendants, certificate, event_leaves }
    Blob { bytes }
    BlobStored { digest }
    DeliveryRequest { slot_id, buyer, signature }
    Delivery { receipt, salt, output, disclosure }
    KeptOutput { buyer, delivery }
}

choices! {
    Rounds { Fixed, Open }
    NonMatchReason {
        PriceAboveMax, CapacityFull, CollateralTooLow, StakeTooLow, DemandTooLarge, LevelTooLow, CapabilityMissing, RegionDiffers,
        PrivacyNotOffered, OwnedByBuyer, Excluded, Outbid, NotDrawn, VersionNotOffered,
    }
    Action {
        Transfer, Bond, Unbond, RegisterOffer, WithdrawOffer, EnrolVerifier, LeaveVerifiers, PostOrder, TopUp, CancelOrder,
        SubmitReceipt, CommitVerdict, OpenReceipt, RevealVerdict, Challenge, PostBatch, ShowLeaves, OpenBatch, CloseSession,
        GrantDelegate, RevokeDelegate, OpenSession, TopUpLane, ShareLeaves, Appeal, Defend, OpenNode, Exhibit, RevealLink,
        SubmitProposal, AddDeposit, Vote, AnswerMotion, AppealMotion, ReportDoubleVote,
        RegisterCandidate, UpdateCandidate, DelegateStake, UndelegateStake, RedelegateStake, ClaimRewards, ConfirmNode,
    }
    Event {
        Transferred, Bonded, Unbonding, Unbonded, Slashed, OfferRegistered, OfferWithdrawn, VerifierEnrolled, VerifierLeft, OrderPosted,
        ToppedUp, Matched, Unmatched, ReceiptSubmitted, VerifiersDrawn, DisputeUnderstaffed, VerdictCommitted, OpeningDue, ReceiptOpened,
        RevealDue, VerdictRevealed, Disputed, Judged, Settled, Refunded, WorkerReplaced, OrderClosed, LaneOpened,
        LaneClosing, LaneClosed, BatchPosted, LeavesDue, LeavesShown, BatchSettled, DelegateGranted, DelegateRevoked,
        LaneToppedUp, SharingDue, LeavesShared, LinkDue, LinkRevealed, NothingDrawn, SampleChosen, Appealed, AppealNarrowed, AppealDecided, AppealsOpen, ProposalSubmitted, DepositAdded,
        VotingStarted, Voted, ProposalPassed, MotionAnswered, MotionAppealed, ProposalEnded, ParamChanged, TreasurySpent, Penalised,
        ModulePaused, ModuleResumed, UpgradePlanned, VoteOverridden, VoteReturned, ValidatorTombstoned,
        CandidateRegistered, CandidateUpdated, CandidateJailed, CandidateReleased, NodeConfirmed, StakeDelegated, StakeUndelegated, StakeReturned, Redelegated,
        RedelegationSlashed, RewardsClaimed, EpochBegan, WithdrawalsHalted, WithdrawalsResumed, ServiceSet, UpgradeBegan,
    }
    Message { SetParam, TreasurySpend, Penalty, Pause, Cancel, Upgrade, Resume, SetService, Release }
    NodeRequest { Submit, Status, Genesis, Account, Offers, Order, Follow, Block, PutBlob, GetBlob, Body, Duties, Outcomes, Proposal, Proposals, Governance, Validators, Candidates, Delegations, State, Services }
    NodeReply { Refused, Included, Status, Genesis, Account, Offers, Order, Events, Block, BlobStored, Blob, Body, Duties, Outcomes, Proposal, Proposals, Governance, Validators, Candidates, Delegations, State, Services }
    DeskRequest { Fetch, Follow, Stop, Ask, Credit, Leaves }
    Kept { Request, Batch, Voucher }
    Settlement { Order, Batch }
    DeliveryReply { Refused, Delivered, Chunk, Stopping, Leaves }
}
