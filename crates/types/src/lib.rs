#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::expect_used,
        clippy::panic,
        clippy::float_arithmetic,
        clippy::as_conversions,
        clippy::iter_over_hash_type,
        clippy::let_underscore_must_use
    )
)]

mod codec;

pub mod amount;
pub mod block;
pub mod bounded;
pub mod catalogue;
pub mod digest;
pub mod double_vote;
pub mod event;
pub mod file;
pub mod genesis;
pub mod governance;
pub mod handover;
pub mod hash_chain;
pub mod invariant;
pub mod keys;
pub mod limits;
pub mod merkle;
pub mod node_api;
pub mod order;
pub mod outcome;
pub mod peer_address;
pub mod proof;
pub mod quantity;
pub mod receipt;
pub mod relay;
pub mod session;
pub mod state_proof;
pub mod sum_tree;
pub mod tx;

pub use amount::{Amount, AmountError, Rounding};
pub use block::{Block, BlockHeader};
pub use bounded::{BoundedBytes, BoundedText, BoundedVec, LengthError};
pub use codec::{Boxed, decode};
pub use digest::Digest;
pub use event::Event;
pub use genesis::{Genesis, GenesisAccount, Validator};
pub use keys::{AccountKey, Address, SecretKey, Signature};
pub use outcome::{TxCode, TxOutcome};
pub use peer_address::PeerAddress;
pub use quantity::{Bps, ByteCount, ChainId, Height, Millis, Nonce, ProposalId, Units};
pub use receipt::{Receipt, SignedReceipt};
pub use tx::{Action, SignedTx, Transaction, VerifiedTx};
