//! The records that the API answers. Amounts are decimal strings of coins; numbers that others choose freely are decimal strings too, since
//! JSON readers round what is beyond 2^53; digests are hexadecimal digits.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ })+) => {
        $($(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
        pub(crate) struct $name { $($(#[$field_meta])* pub(crate) $field: $type,)+ })+
    };
}

records! {
    /// A final block.
    Block {
        /// The block's number.
        height: u64,
        /// The digest of its header.
        digest: String,
        /// The digest of the header before it.
        parent: String,
        /// Milliseconds since the Unix epoch by the proposer's clock.
        time_ms: u64,
        /// The proposer's identity.
        proposer: String,
        /// The view in which it was proposed.
        view: u64,
        /// Transactions in it.
        transactions: u64,
        /// Events of it.
        events: u64,
        transactions_root: String,
        outcomes_root: String,
        events_root: String,
        state_root: String,
    }
    /// A transaction of a final block, done or refused.
    Transaction {
        id: String,
        height: u64,
        /// Its place in the block.
        position: u64,
        time_ms: u64,
        sender: String,
        nonce: String,
        fee: String,
        /// What it does, in one word.
        action: String,
        /// Whether the action was done; the fee is paid either way.
        done: bool,
        /// 0, or the stable number of the refusal.
        code: u16,
        /// Why it was refused; empty when done.
        reason: String,
    }
    /// Something that the ledger did.
    Event {
        /// Its place in the order of all events, as a cursor.
        cursor: String,
        height: u64,
        /// Its place among the events of the block.
        position: u64,
        time_ms: u64,
        /// What happened, in one word.
        event: String,
        /// The order that it is about.
        order: Option<String>,
        /// The slot that it is about.
        slot: Option<String>,
        /// What is particular to this sort of event.
        #[schema(value_type = Object)]
        data: Value,
    }
    /// An account, as far as blocks tell of it.
    Account {
        address: String,
        /// The first block that tells of it; 0 is the genesis.
        height: u64,
        /// The newest block that tells of it.
        last_height: u64,
        /// What it had at the genesis.
        genesis_balance: String,
        /// Transactions that it sent.
        transactions: u64,
    }
    /// Units of work by sort.
    Units {
        input: String,
        cached_input: String,
        output: String,
        time: String,
    }
    /// Coins per million units by sort.
    Prices {
        input: String,
        cached_input: String,
        output: String,
        time: String,
    }
    /// What a piece of work takes at most.
    Demand {
        units: Units,
        bytes_in: String,
        bytes_out_max: String,
        memory_bytes_max: String,
        execution_ms_max: String,
    }
    /// What makes an order a session.
    Session {
        /// The most that one lane may cost.
        lane_cap: String,
        /// How long lanes stay open.
        open_for_ms: String,
        /// Who may ask and pay besides the buyer.
        delegate: Option<String>,
    }
    /// An order.
    Order {
        order: String,
        height: u64,
        time_ms: u64,
        buyer: String,
        /// Who posted it: the buyer, or a delegate of it.
        poster: String,
        nonce: String,
        /// `order` or `session`.
        shape: String,
        /// `open` or `closed`.
        state: String,
        /// The number of the kind of work.
        kind: u16,
        spec_digest: String,
        slots: u16,
        demand: Demand,
        price_max: Prices,
        urgency: String,
        privacy: String,
        match_within_ms: String,
        level_min: u16,
        capabilities: Vec<String>,
        region: Option<String>,
        stake_min: String,
        session: Option<Session>,
        /// What was locked for work and checks when it was posted.
        escrow: String,
        /// What was added since.
        topped_up: String,
        deposit: String,
        closed_height: Option<u64>,
        /// Escrow that was not used and went back.
        returned: Option<String>,
    }
    /// A slot: of an order, or the one of a batch.
    Slot {
        slot: String,
        order: String,
        height: u64,
        /// The newest block that tells of it.
        last_height: u64,
        /// `order`, `lane` or `batch`.
        of: String,
        /// How far it is, in one word.
        state: String,
        attempt: u16,
        worker: Option<String>,
        /// The most that it can cost.
        quote: Option<String>,
        receipt: Option<String>,
        /// The worker's trace, once it is open.
        trace: Option<String>,
        /// Those drawn last.
        verifiers: Vec<String>,
        verdict: Option<String>,
        settlement: Option<Settlement>,
        refund: Option<Refund>,
    }
    /// A payment.
    Payment {
        to: String,
        amount: String,
    }
    /// How a slot was paid.
    Settlement {
        height: u64,
        paid: Payment,
        /// To verifiers, for their checks and the link.
        checks: Vec<Payment>,
        burned: String,
        /// Verifiers that re-executed it and agree.
        recomputed_by: u16,
        /// Whether a dispute decided.
        disputed: bool,
        /// Where the randomness of the draw came from.
        randomness: String,
    }
    /// How a slot was given back.
    Refund {
        height: u64,
        reason: String,
        amount: String,
    }
    /// Why a candidate was not taken.
    NonMatch {
        slot: String,
        order: String,
        height: u64,
        time_ms: u64,
        worker: String,
        /// The reason, in one word.
        reason: String,
        /// What the candidate has; amounts of money in base units.
        has: String,
        /// What was asked; amounts of money in base units.
        asked: String,
        /// Who was taken instead, if anybody was.
        matched: Option<String>,
    }
    /// A lane of a session.
    Lane {
        slot: String,
        session: String,
        height: u64,
        time_ms: u64,
        /// `open`, `closing` or `closed`.
        state: String,
        worker: String,
        buyer: String,
        delegate: Option<String>,
        kind: u16,
        prices: Prices,
        demand: Demand,
        cap: String,
        /// The chain time at which it closes by itself.
        until_ms: String,
        batches: u64,
        claimed: Option<String>,
        returned: Option<String>,
    }
    /// Requests of a lane that its worker claims together.
    Batch {
        slot: String,
        lane: String,
        number: u32,
        height: u64,
        time_ms: u64,
        /// `open`, `settled` or `refunded`; its slot tells how far it is.
        state: String,
        worker: String,
        root: String,
        requests: u32,
        total: String,
        /// The drawn offsets into what it costs.
        samples: Vec<String>,
        settlement: Option<Settlement>,
        refund: Option<Refund>,
    }
    /// What a worker signed for work done.
    Receipt {
        receipt: String,
        slot: String,
        order: String,
        height: u64,
        time_ms: u64,
        /// `pending`, `settled`, `refunded` or `replaced`.
        state: String,
        worker: String,
        attempt: u16,
        kind: u16,
        spec_digest: String,
        units: Units,
        output_commitment: String,
        disclosure: String,
        settlement: Option<Settlement>,
    }
    /// What a verifier revealed.
    Verdict {
        slot: String,
        height: u64,
        time_ms: u64,
        tier: String,
        verifier: String,
        trace: String,
    }
    /// What the ledger made of all verdicts.
    Judgement {
        slot: String,
        height: u64,
        time_ms: u64,
        tier: String,
        verdict: String,
        /// Verifiers that agree with the worker.
        agreeing: u16,
        drawn: u16,
        /// The chain time until which it can be challenged; 0 when it is final.
        challenge_until_ms: String,
    }
    /// A second draw of verifiers, whose quorum decides.
    Dispute {
        slot: String,
        height: u64,
        time_ms: u64,
        cause: String,
        /// `open`, `decided`, `understaffed`, `appealed`, or `turned` by an appeal.
        state: String,
        verifiers: Vec<String>,
        verdict: Option<String>,
        agreeing: Option<u16>,
        decided_height: Option<u64>,
    }
    /// Stake that was slashed, and where it went.
    Slash {
        account: String,
        slot: String,
        height: u64,
        time_ms: u64,
        reason: String,
        amount: String,
        to_buyer: String,
        to_reporters: String,
        to_verifiers: String,
        burned: String,
    }
    /// What a verifier said of itself when it enrolled.
    Enrolment {
        height: u64,
        owner: String,
        kinds: Vec<KnownKind>,
    }
    /// A kind with a range of its versions, from oldest to newest; a kind may have several.
    KnownKind {
        kind: u16,
        versions: Vec<u16>,
    }
    /// A worker or verifier.
    Node {
        address: String,
        height: u64,
        /// Offers that stand.
        offers: u64,
        /// Its enrolment, while it is in the pool of verifiers.
        verifier: Option<Enrolment>,
        matched: u64,
        settled: u64,
        replaced: u64,
        verdicts: u64,
        slashes: u64,
    }
    /// The votes of a voting: of each option, stake in base units times basis points.
    Tally {
        yes: String,
        no: String,
        abstain: String,
        veto: String,
    }
    /// What stakeholders decide about.
    Proposal {
        proposal: u64,
        height: u64,
        time_ms: u64,
        /// Where it is, in one word; `ended` has an outcome.
        state: String,
        proposer: String,
        title: String,
        /// What it does when it passes.
        #[schema(value_type = Object)]
        does: Value,
        expedited: bool,
        /// What was paid of its deposit.
        deposit: String,
        deposit_needed: String,
        /// All stake that was bonded when its last voting began.
        bonded: Option<String>,
        /// The votes when they were counted last.
        tally: Option<Tally>,
        /// The chain time at which its state ends.
        until_ms: String,
        /// The digest of the accused's answer to a penalty motion.
        answer: Option<String>,
        /// The digest of the grounds of the accused's appeal.
        grounds: Option<String>,
        outcome: Option<String>,
        /// Why it could not be done; 0 unless it failed.
        code: Option<u16>,
        returned: Option<String>,
        /// What of its deposit a veto took.
        forfeited: Option<String>,
        ended_height: Option<u64>,
    }
    /// How a vote is split, in basis points.
    Weights {
        yes: u16,
        no: u16,
        abstain: u16,
        veto: u16,
    }
    /// A vote; an earlier one of the same voter is replaced by it.
    ProposalVote {
        proposal: u64,
        height: u64,
        time_ms: u64,
        voter: String,
        weights: Weights,
        /// The stake that it weighs.
        power: String,
    }
    /// What holds for a kind of work from a block on.
    ServiceEntry {
        /// Its first block.
        from: u64,
        /// The block that decided it; 0 for the genesis.
        decided: u64,
        /// The proposal that decided it.
        proposal: Option<u64>,
        /// The version in force; null if the kind is retired.
        version: Option<u16>,
        name: Option<String>,
        /// The most that one piece of work may ask for.
        demand_max: Option<Demand>,
        /// Whether verdicts can be appealed to a referee.
        appeals: Option<bool>,
    }
    /// A kind of work with all that was decided about it, but for what a later decision replaced before it came: the last entry whose block is
    /// there holds.
    Service {
        kind: u16,
        entries: Vec<ServiceEntry>,
    }
    /// What a worker offers.
    Offer {
        offer: String,
        worker: String,
        kind: u16,
        /// The oldest and the newest version of the kind that it is for.
        versions: Vec<u16>,
        /// The block of its present words.
        height: u64,
        /// `registered` or `withdrawn`.
        state: String,
        owner: String,
        digest: String,
        prices: Prices,
        capacity: u16,
        collateral: String,
        demand_max: Demand,
        level: u16,
        capabilities: Vec<String>,
        region: Option<String>,
        privacy_max: String,
    }
}
