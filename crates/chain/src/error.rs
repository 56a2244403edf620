//! Why a chain does not start, why a transaction is not taken, why a read has no answer.

use crate::upgrade::UpgradeStop;
use fairweir_ledger::EnvelopeError;
use fairweir_types::{
    Amount, ByteCount, ChainId, Digest, Height, Nonce, genesis::GenesisError, tx::TxFormError,
};

/// The disk, or what is on it, is not as it must be.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be opened: {reason}")]
pub struct StoreError {
    reason: String,
}

impl StoreError {
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

/// Why a chain does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The genesis is no genesis.
    #[error("the genesis is refused")]
    Genesis(#[source] GenesisError),
    /// The ledger does not take the genesis.
    #[error("the ledger refuses the genesis")]
    LedgerGenesis(#[source] GenesisError),
    /// There is no key to vote with.
    #[error("a node that takes part in consensus needs a vote key")]
    NotAValidator,
    /// So few blocks cannot be kept.
    #[error(
        "{found} blocks are too few to keep, at least {min} are needed: two epochs, for peers and for a start after a crash"
    )]
    Retention {
        /// How many were to be kept.
        found: u64,
        /// The least.
        min: u64,
    },
    /// The heartbeat is zero or above a minute.
    #[error("a heartbeat of {found_ms} ms is outside 1 to {max_ms}")]
    Heartbeat {
        /// The heartbeat given.
        found_ms: u128,
        /// The longest.
        max_ms: u128,
    },
    /// There are more or fewer addresses than validators.
    #[error("{found} addresses for {expected} validators")]
    Addresses {
        /// Validators.
        expected: usize,
        /// Addresses.
        found: usize,
    },
    /// A development chain is to leave this machine.
    #[error("a development chain stays on this machine, {address} is outside")]
    DevAddress {
        /// The address.
        address: std::net::SocketAddr,
    },
    /// The store is of another format.
    #[error("the store has format {found}, this program reads {expected}")]
    OtherFormat {
        /// What this program reads.
        expected: u16,
        /// What the store has.
        found: u16,
    },
    /// The store is of another chain.
    #[error("the store belongs to genesis {found}, not {expected}")]
    OtherGenesis {
        /// The digest of the genesis given.
        expected: Digest,
        /// The digest in the store.
        found: Digest,
    },
    /// The state that was being copied is held by no node any more; a newer one is there to be copied.
    #[error("no node holds the state of block {height} any more")]
    StateGone {
        /// The block.
        height: Height,
    },
    /// A node that votes was started on a copy of the state that is not whole.
    #[error(
        "the store holds a part of a copied state: let a node that follows finish it, or begin with an empty folder"
    )]
    UnfinishedCopy,
    /// The chain goes on by rules that this program cannot follow.
    #[error(transparent)]
    Upgrade(UpgradeStop),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime stopped, or a part of the chain panicked, before the chain was open.
    #[error("the chain stopped before it was open")]
    Stopped,
}

/// Why a transaction is not taken. Each has a stable code.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too long, malformed, or not signed by its sender.
    #[error(transparent)]
    Form(#[from] TxFormError),
    /// The chain stopped.
    #[error("the chain is closed")]
    Closed,
    /// For another chain.
    #[error("the transaction is for chain {found}, this is {expected}")]
    WrongChain {
        /// This chain.
        expected: ChainId,
        /// The transaction's.
        found: ChainId,
    },
    /// Too late.
    #[error("the transaction expired at height {expiry}, the next block is {next}")]
    Expired {
        /// The last height at which it could be included.
        expiry: Height,
        /// The next block.
        next: Height,
    },
    /// The account already sent a transaction with this nonce.
    #[error("nonce {found} was used, the next is {expected}")]
    NonceTooLow {
        /// The account's next nonce.
        expected: Nonce,
        /// The transaction's.
        found: Nonce,
    },
    /// Too far ahead of the account's nonce to be kept.
    #[error("nonce {found} is more than {gap_max} above the next, {expected}")]
    NonceTooHigh {
        /// The account's next nonce.
        expected: Nonce,
        /// The transaction's.
        found: Nonce,
        /// How far ahead is kept.
        gap_max: u64,
    },
    /// Another transaction with this nonce waits, and this one does not pay enough more.
    #[error(
        "a transaction with this nonce waits; replacing it takes a fee of {needed}, not {found}"
    )]
    Underpriced {
        /// The fee that replaces it.
        needed: Amount,
        /// The transaction's.
        found: Amount,
    },
    /// The account has as much waiting as it may.
    #[error("{txs} transactions of {bytes} bytes wait for this account, it may not have more")]
    AccountFull {
        /// Waiting transactions.
        txs: usize,
        /// Their bytes.
        bytes: ByteCount,
    },
    /// The pool is full.
    #[error("{txs} transactions of {bytes} bytes wait, there is no room for more")]
    Full {
        /// Waiting transactions.
        txs: usize,
        /// Their bytes.
        bytes: ByteCount,
    },
    /// The account cannot pay the fees of all its waiting transactions.
    #[error(
        "the account has {balance} coins, its waiting transactions take {fees} base units of fees"
    )]
    CannotPay {
        /// Its balance.
        balance: Amount,
        /// The fees in base units; their sum may exceed the supply.
        fees: u64,
    },
    /// It reports a double vote that is none: its fee would not pay for its place.
    #[error("these are no two votes of a validator of this chain that exclude each other")]
    NotItsVotes,
    /// It registers keys that did not sign for its sender: its fee would not pay for its place.
    #[error("the identity and the vote key did not both sign for this account on this chain")]
    KeysNotProven,
    /// The ledger would refuse the envelope.
    #[error(transparent)]
    Refused(EnvelopeError),
}

impl SubmitError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(TxFormError::TooLong { .. }) => "too_long",
            Self::Form(TxFormError::Malformed(_)) => "malformed",
            Self::Form(TxFormError::BadSignature) => "bad_signature",
            Self::Closed => "closed",
            Self::WrongChain { .. } => "wrong_chain",
            Self::Expired { .. } => "expired",
            Self::NonceTooLow { .. } => "nonce_too_low",
            Self::NonceTooHigh { .. } => "nonce_too_high",
            Self::Underpriced { .. } => "underpriced",
            Self::AccountFull { .. } => "account_full",
            Self::Full { .. } => "mempool_full",
            Self::CannotPay { .. } => "cannot_pay_fee",
            Self::NotItsVotes => "not_its_votes",
            Self::KeysNotProven => "keys_not_proven",
            Self::Refused(error) => error.name(),
        }
    }
}

/// Why a read has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The chain stopped.
    #[error("the chain stopped")]
    Closed,
    /// The node keeps the newest blocks only.
    #[error(
        "block {height} is not kept any more, blocks from {oldest} on are: ask a node that keeps all of them"
    )]
    Pruned {
        /// The height that was asked for.
        height: Height,
        /// From where on there are blocks for certain.
        oldest: Height,
    },
    /// The node does not hold the state of that size, or not from there on any more.
    #[error(
        "the operations of the state from {start} on, as it was after {size}, are not held: ask for those of a newer block"
    )]
    StateGone {
        /// The first operation that was asked for.
        start: u64,
        /// After how many.
        size: u64,
    },
    /// Others ask for the state now.
    #[error("others ask this node for parts of its state now: ask again in a second")]
    Busy,
    /// The store gives no proof of a key, or none that belongs to a block that it has.
    #[error("no proof of the state of a final block can be had now: ask again in a second")]
    Unproven,
    /// A finalised block is missing from the store.
    #[error("block {height} is final but incomplete in the store")]
    Incomplete {
        /// Its height.
        height: Height,
    },
}

impl ReadError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Pruned { .. } => "pruned",
            Self::StateGone { .. } => "state_gone",
            Self::Busy => "busy",
            Self::Unproven => "unproven",
            Self::Incomplete { .. } => "incomplete",
        }
    }
}

/// Why a transaction has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// It neither waits nor was included: never submitted here, replaced, expired, or no longer payable.
    #[error("transaction {tx} is neither waiting nor included")]
    Dropped {
        /// Its id.
        tx: Digest,
    },
    /// The store has no answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}
