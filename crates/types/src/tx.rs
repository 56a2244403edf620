//! Transactions: an envelope (who, on which chain, in which order, for which fee, until when) around one action.

use crate::{
    amount::Amount,
    bounded::BoundedVec,
    catalogue::KnownKind,
    codec::{Boxed, choice, decode, record},
    digest::{Digest, Domain},
    hash_chain::HashChain,
    keys::{AccountKey, Address, Purpose, SecretKey, Signature},
    limits::{EXHIBIT_TX_BYTES_MAX, TX_BYTES_MAX, VERIFIER_KINDS_MAX},
    order::{KindId, Offer, OrderHeader, OrderId, SlotId},
    quantity::{ByteCount, ChainId, Height, Nonce},
    receipt::{Salt, SignedReceipt, Tier},
    session::{SampleTraces, SealKey},
};
use commonware_codec::{Encode, EncodeSize};
use commonware_cryptography::{BatchEntry, BatchVerifier, ed25519};
use commonware_parallel::Strategy;
use rand_core::CryptoRng;
use thiserror::Error;

mod appeal;
mod blob;
mod delegate;
mod governance;
mod session;
mod validator;

pub use appeal::{Appeal, BoundLeaf, BoundSample, Defend, Exhibit, OpenNode};
pub use delegate::{GrantDelegate, OpenSession, RevokeDelegate};
pub use governance::{AddDeposit, AnswerMotion, AppealMotion, SubmitProposal, Vote};
pub use session::{
    CloseSession, OpenBatch, PostBatch, RevealLink, ShareLeaves, ShowLeaves, TopUpLane,
};
pub use validator::{
    ClaimRewards, ConfirmNode, DelegateStake, RedelegateStake, RegisterCandidate, ReportDoubleVote,
    UndelegateStake, UpdateCandidate,
};

/// Moves money to another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who receives it.
    pub to: Address,
    /// How much; more than zero.
    pub amount: Amount,
}
record!(Transfer { to, amount });

/// Moves money from the balance to the slashable stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// How much; more than zero.
    pub amount: Amount,
}
record!(Bond { amount });

/// Starts moving stake back to the balance; it stays slashable until the unbonding delay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbond {
    /// How much; more than zero.
    pub amount: Amount,
}
record!(Unbond { amount });

/// Registers or replaces the sender's offer for a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterOffer {
    /// The offer.
    pub offer: Offer,
}
record!(RegisterOffer { offer });

/// Withdraws the sender's offer for a kind; open work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawOffer {
    /// The kind.
    pub kind: KindId,
}
record!(WithdrawOffer { kind });

/// Puts the sender into the pool of verifiers, or replaces its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolVerifier {
    /// The owner: the verifier never judges work of a worker or buyer with the same owner.
    pub owner: Address,
    /// The kinds that it can re-execute, and in which versions.
    pub kinds: BoundedVec<KnownKind, VERIFIER_KINDS_MAX>,
    /// The key that what it may read is encrypted to.
    pub seal_key: SealKey,
    /// The hash chain of which it reveals a link when a batch asks for one.
    pub hash_chain: HashChain,
}
record!(EnrolVerifier {
    owner,
    kinds,
    seal_key,
    hash_chain
});

/// Takes the sender out of the pool of verifiers; draws that it is in go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaveVerifiers {}
record!(LeaveVerifiers {});

/// Posts an order and locks its escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostOrder {
    /// The order.
    pub header: OrderHeader,
}
record!(PostOrder { header });

/// Adds a funding stream of the sender to an open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// The order.
    pub order: OrderId,
    /// How much; more than zero.
    pub amount: Amount,
}
record!(TopUp { order, amount });

/// Takes back an order of which no slot is matched yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelOrder {
    /// The order.
    pub order: OrderId,
}
record!(CancelOrder { order });

/// Hands in the receipt for a slot; sent by its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitReceipt {
    /// The receipt, signed by the worker on its own so that it can be checked without the transaction.
    pub receipt: SignedReceipt,
}
record!(SubmitReceipt { receipt });

/// Commits a drawn verifier to its own trace before the worker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitVerdict {
    /// The slot.
    pub slot_id: SlotId,
    /// The draw.
    pub tier: Tier,
    /// [`crate::receipt::verdict_commitment`].
    pub commitment: Digest,
}
record!(CommitVerdict {
    slot_id,
    tier,
    commitment
});

/// Opens the worker's commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenReceipt {
    /// The slot.
    pub slot_id: SlotId,
    /// The salt of the commitment.
    pub salt: Salt,
    /// The digest of the output's bytes. The ledger makes the trace of it, of the order's spec and of the receipt's units,
    /// so that a right output cannot be opened under a receipt that charges too much.
    pub output: Digest,
}
record!(OpenReceipt {
    slot_id,
    salt,
    output
});

/// Reveals a drawn verifier's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealVerdict {
    /// The slot.
    pub slot_id: SlotId,
    /// The draw.
    pub tier: Tier,
    /// The nonce of the commitment.
    pub nonce: Salt,
    /// The verifier's own trace.
    pub trace: Digest,
    /// Of a batch: the traces of its samples, of which the trace is made.
    pub samples: SampleTraces,
}
record!(RevealVerdict {
    slot_id,
    tier,
    nonce,
    trace,
    samples
});

/// Disputes a verdict within the challenge window, or has a batch checked of which nothing was drawn; sent by the buyer, who risks a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The slot.
    pub slot_id: SlotId,
    /// Of a batch of which nothing was drawn, an offset into what it costs: the leaf that covers it is checked.
    pub at: Option<Amount>,
}
record!(Challenge { slot_id, at });

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See [`Transfer`].
    Transfer(Transfer),
    /// See [`Bond`].
    Bond(Bond),
    /// See [`Unbond`].
    Unbond(Unbond),
    /// See [`RegisterOffer`].
    RegisterOffer(Boxed<RegisterOffer>),
    /// See [`WithdrawOffer`].
    WithdrawOffer(WithdrawOffer),
    /// See [`EnrolVerifier`].
    EnrolVerifier(EnrolVerifier),
    /// See [`LeaveVerifiers`].
    LeaveVerifiers(LeaveVerifiers),
    /// See [`PostOrder`].
    PostOrder(Boxed<PostOrder>),
    /// See [`TopUp`].
    TopUp(TopUp),
    /// See [`CancelOrder`].
    CancelOrder(CancelOrder),
    /// See [`SubmitReceipt`].
    SubmitReceipt(Boxed<SubmitReceipt>),
    /// See [`CommitVerdict`].
    CommitVerdict(CommitVerdict),
    /// See [`OpenReceipt`].
    OpenReceipt(OpenReceipt),
    /// See [`RevealVerdict`].
    RevealVerdict(RevealVerdict),
    /// See [`Challenge`].
    Challenge(Challenge),
    /// See [`PostBatch`].
    PostBatch(Boxed<PostBatch>),
    /// See [`ShowLeaves`].
    ShowLeaves(Boxed<ShowLeaves>),
    /// See [`OpenBatch`].
    OpenBatch(Boxed<OpenBatch>),
    /// See [`CloseSession`].
    CloseSession(CloseSession),
    /// See [`GrantDelegate`].
    GrantDelegate(GrantDelegate),
    /// See [`RevokeDelegate`].
    RevokeDelegate(RevokeDelegate),
    /// See [`OpenSession`].
    OpenSession(Boxed<OpenSession>),
    /// See [`TopUpLane`].
    TopUpLane(TopUpLane),
    /// See [`ShareLeaves`].
    ShareLeaves(Boxed<ShareLeaves>),
    /// See [`Appeal`].
    Appeal(Boxed<Appeal>),
    /// See [`Defend`].
    Defend(Boxed<Defend>),
    /// See [`OpenNode`].
    OpenNode(Boxed<OpenNode>),
    /// See [`Exhibit`].
    Exhibit(Boxed<Exhibit>),
    /// See [`RevealLink`].
    RevealLink(RevealLink),
    /// See [`SubmitProposal`].
    SubmitProposal(Boxed<SubmitProposal>),
    /// See [`AddDeposit`].
    AddDeposit(AddDeposit),
    /// See [`Vote`].
    Vote(Vote),
    /// See [`AnswerMotion`].
    AnswerMotion(AnswerMotion),
    /// See [`AppealMotion`].
    AppealMotion(AppealMotion),
    /// See [`ReportDoubleVote`].
    ReportDoubleVote(Boxed<ReportDoubleVote>),
    /// See [`RegisterCandidate`].
    RegisterCandidate(Boxed<RegisterCandidate>),
    /// See [`UpdateCandidate`].
    UpdateCandidate(UpdateCandidate),
    /// See [`DelegateStake`].
    DelegateStake(DelegateStake),
    /// See [`UndelegateStake`].
    UndelegateStake(UndelegateStake),
    /// See [`RedelegateStake`].
    RedelegateStake(RedelegateStake),
    /// See [`ClaimRewards`].
    ClaimRewards(ClaimRewards),
    /// See [`ConfirmNode`].
    ConfirmNode(ConfirmNode),
}
choice!(Action {
    1 => Transfer(Transfer),
    2 => Bond(Bond),
    3 => Unbond(Unbond),
    4 => RegisterOffer(Boxed<RegisterOffer>),
    5 => WithdrawOffer(WithdrawOffer),
    6 => EnrolVerifier(EnrolVerifier),
    7 => LeaveVerifiers(LeaveVerifiers),
    8 => PostOrder(Boxed<PostOrder>),
    9 => TopUp(TopUp),
    10 => CancelOrder(CancelOrder),
    11 => SubmitReceipt(Boxed<SubmitReceipt>),
    12 => CommitVerdict(CommitVerdict),
    13 => OpenReceipt(OpenReceipt),
    14 => RevealVerdict(RevealVerdict),
    15 => Challenge(Challenge),
    16 => PostBatch(Boxed<PostBatch>),
    17 => ShowLeaves(Boxed<ShowLeaves>),
    18 => OpenBatch(Boxed<OpenBatch>),
    19 => CloseSession(CloseSession),
    20 => GrantDelegate(GrantDelegate),
    21 => RevokeDelegate(RevokeDelegate),
    22 => OpenSession(Boxed<OpenSession>),
    23 => TopUpLane(TopUpLane),
    24 => ShareLeaves(Boxed<ShareLeaves>),
    25 => Appeal(Boxed<Appeal>),
    26 => Defend(Boxed<Defend>),
    27 => OpenNode(Boxed<OpenNode>),
    28 => Exhibit(Boxed<Exhibit>),
    29 => RevealLink(RevealLink),
    40 => SubmitProposal(Boxed<SubmitProposal>),
    41 => AddDeposit(AddDeposit),
    42 => Vote(Vote),
    43 => AnswerMotion(AnswerMotion),
    44 => AppealMotion(AppealMotion),
    50 => ReportDoubleVote(Boxed<ReportDoubleVote>),
    51 => RegisterCandidate(Boxed<RegisterCandidate>),
    52 => UpdateCandidate(UpdateCandidate),
    53 => DelegateStake(DelegateStake),
    54 => UndelegateStake(UndelegateStake),
    55 => RedelegateStake(RedelegateStake),
    56 => ClaimRewards(ClaimRewards),
    57 => ConfirmNode(ConfirmNode),
});

macro_rules! action_names {
    ($($action:ident => $name:literal),* $(,)?) => {
        impl Action {
            /// The stable names of all actions.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The stable name of the action.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$action(_) => $name),*
                }
            }
        }
    };
}
action_names! {
    Transfer => "transfer",
    Bond => "bond",
    Unbond => "unbond",
    RegisterOffer => "register_offer",
    WithdrawOffer => "withdraw_offer",
    EnrolVerifier => "enrol_verifier",
    LeaveVerifiers => "leave_verifiers",
    PostOrder => "post_order",
    TopUp => "top_up",
    CancelOrder => "cancel_order",
    SubmitReceipt => "submit_receipt",
    CommitVerdict => "commit_verdict",
    OpenReceipt => "open_receipt",
    RevealVerdict => "reveal_verdict",
    Challenge => "challenge",
    PostBatch => "post_batch",
    ShowLeaves => "show_leaves",
    OpenBatch => "open_batch",
    CloseSession => "close_session",
    GrantDelegate => "grant_delegate",
    RevokeDelegate => "revoke_delegate",
    OpenSession => "open_session",
    TopUpLane => "top_up_lane",
    ShareLeaves => "share_leaves",
    Appeal => "appeal",
    Defend => "defend",
    OpenNode => "open_node",
    Exhibit => "exhibit",
    RevealLink => "reveal_link",
    SubmitProposal => "submit_proposal",
    AddDeposit => "add_deposit",
    Vote => "vote",
    AnswerMotion => "answer_motion",
    AppealMotion => "appeal_motion",
    ReportDoubleVote => "report_double_vote",
    RegisterCandidate => "register_candidate",
    UpdateCandidate => "update_candidate",
    DelegateStake => "delegate_stake",
    UndelegateStake => "undelegate_stake",
    RedelegateStake => "redelegate_stake",
    ClaimRewards => "claim_rewards",
    ConfirmNode => "confirm_node",
}

impl Action {
    /// Whether it may ask the referee, which takes validators some time.
    #[must_use]
    pub const fn asks_referee(&self) -> bool {
        matches!(self, Self::Appeal(_) | Self::Defend(_) | Self::Exhibit(_))
    }

    /// Bytes that a signed transaction with it has at most.
    #[must_use]
    pub const fn tx_bytes_max(&self) -> usize {
        match self {
            Self::Appeal(_) | Self::Defend(_) | Self::Exhibit(_) => EXHIBIT_TX_BYTES_MAX,
            _ => TX_BYTES_MAX,
        }
    }
}

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The chain it is for.
    pub chain_id: ChainId,
    /// Who sends it.
    pub sender: AccountKey,
    /// How many transactions the sender sent before.
    pub nonce: Nonce,
    /// What the sender pays to have it included.
    pub fee: Amount,
    /// The last height at which it may be included.
    pub expiry: Height,
    /// What it does.
    pub action: Action,
}
record!(Transaction {
    chain_id,
    sender,
    nonce,
    fee,
    expiry,
    action
});

impl Transaction {
    /// Signs the transaction.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> SignedTx {
        let signature = key.sign(Purpose::Transaction, &self.encode());
        SignedTx {
            transaction: self,
            signature,
        }
    }
}

/// A transaction with a signature that nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTx {
    /// The transaction.
    pub transaction: Transaction,
    /// The sender's signature over its encoding.
    pub signature: Signature,
}
record!(SignedTx {
    transaction,
    signature
});

/// Why bytes are no transaction of ours.
#[derive(Debug, Error)]
pub enum TxFormError {
    /// Longer than a transaction may be.
    #[error("transaction of {found} bytes exceeds the limit of {max}")]
    TooLong {
        /// The limit.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// Not the canonical encoding.
    #[error("malformed transaction")]
    Malformed(#[source] commonware_codec::Error),
    /// The signature is not the sender's.
    #[error("the signature is not the sender's")]
    BadSignature,
}

impl SignedTx {
    /// Decodes a transaction from outside.
    ///
    /// # Errors
    /// [`TxFormError::TooLong`] or [`TxFormError::Malformed`].
    pub fn decode_bounded(bytes: &[u8]) -> Result<Self, TxFormError> {
        let found = bytes.len();
        let check = |max: usize| {
            if found > max {
                return Err(TxFormError::TooLong { max, found });
            }
            Ok(())
        };
        check(EXHIBIT_TX_BYTES_MAX)?;
        let signed: Self = decode(bytes).map_err(TxFormError::Malformed)?;
        check(signed.transaction.action.tx_bytes_max())?;
        Ok(signed)
    }

    /// The transaction's id: the digest of its signed encoding.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_encoded(Domain::Transaction, self)
    }

    /// Checks length and signature.
    ///
    /// # Errors
    /// [`TxFormError::TooLong`] or [`TxFormError::BadSignature`].
    pub fn verify(self) -> Result<VerifiedTx, TxFormError> {
        let encoded = self.transaction.encode();
        if !self
            .transaction
            .sender
            .verify(Purpose::Transaction, &encoded, &self.signature)
        {
            return Err(TxFormError::BadSignature);
        }
        VerifiedTx::checked(self)
    }

    /// Checks lengths and signatures of many transactions at once; `rng` makes the batch equation unforgeable.
    ///
    /// Accepts exactly what [`SignedTx::verify`] accepts one by one (ZIP-215).
    ///
    /// # Errors
    /// [`TxFormError`] if any is bad, without saying which.
    pub fn verify_batch(
        txs: Vec<Self>,
        rng: &mut impl CryptoRng,
        strategy: &impl Strategy,
    ) -> Result<Vec<VerifiedTx>, TxFormError> {
        if txs.is_empty() {
            return Ok(Vec::new());
        }
        let signed: Vec<_> = txs
            .iter()
            .map(|tx| {
                let AccountKey::Ed25519(key) = &tx.transaction.sender;
                let Signature::Ed25519(signature) = &tx.signature;
                (key, signature, tx.transaction.encode())
            })
            .collect();
        let all_good = ed25519::PublicKey::verify_batch(
            rng,
            &signed,
            |_, (key, signature, message)| batch_entry(key, signature, message),
            strategy,
        );
        if !all_good {
            return Err(TxFormError::BadSignature);
        }
        txs.into_iter().map(VerifiedTx::checked).collect()
    }
}

fn batch_entry<'a>(
    public_key: &'a ed25519::PublicKey,
    signature: &'a ed25519::Signature,
    message: &'a [u8],
) -> BatchEntry<'a, ed25519::PublicKey> {
    BatchEntry {
        namespace: Purpose::Transaction.namespace(),
        message,
        public_key,
        signature,
    }
}

/// A transaction whose signature and length were checked; only the check can build it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTx {
    signed: SignedTx,
    digest: Digest,
    sender: Address,
    size: ByteCount,
}

impl VerifiedTx {
    fn checked(signed: SignedTx) -> Result<Self, TxFormError> {
        let size = signed.encode_size();
        let max = signed.transaction.action.tx_bytes_max();
        if size > max {
            return Err(TxFormError::TooLong { max, found: size });
        }
        let digest = signed.digest();
        let sender = signed.transaction.sender.address();
        let size = ByteCount(u64::try_from(size).unwrap_or(u64::MAX));
        Ok(Self {
            signed,
            digest,
            sender,
            size,
        })
    }

    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.signed.transaction
    }

    /// The transaction with its signature.
    #[must_use]
    pub const fn signed(&self) -> &SignedTx {
        &self.signed
    }

    /// The transaction's id.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The sender's address.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// Bytes of the encoding.
    #[must_use]
    pub const fn size(&self) -> ByteCount {
        self.size
    }
}
