use fairweir_net::NetError;
use fairweir_types::{Digest, node_api::Refusal, outcome::TxOutcome};
use thiserror::Error;

/// Why a question to the network has no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The peer was not reached, or the stream broke.
    #[error("the peer was not reached")]
    Net(#[from] NetError),
    /// The peer refused.
    #[error("refused ({code}): {reason}", code = .0.code, reason = .0.reason)]
    Refused(Refusal),
    /// The transaction is in a block, but its action was refused.
    #[error("the transaction was refused (code {code}): {reason}", code = .0.code.0, reason = .0.reason)]
    TxRefused(TxOutcome),
    /// The peer answered something else than was asked.
    #[error("the peer's answer does not fit the question")]
    OtherAnswer,
    /// The peer's answer is no message of ours.
    #[error("the peer's answer is malformed")]
    Malformed(#[source] commonware_codec::Error),
    /// A blob is not the one of its digest.
    #[error("the peer sent another blob than {digest}")]
    OtherBlob {
        /// The digest asked for.
        digest: Digest,
    },
    /// What is to be sent is longer than allowed.
    #[error("what is to be sent is too long")]
    TooLong(#[from] fairweir_types::LengthError),
    /// The stream of events ended.
    #[error("the node closed the stream of events")]
    StreamEnded,
}

/// The code of a transaction that waits in a node's pool, while the node has no place left to wait for it. The same bytes can be sent again, and the
/// node says what became of them; others would be another transaction.
pub const WAITING: &str = "waiting";

impl ClientError {
    /// Whether asking again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Net(_) | Self::StreamEnded => true,
            Self::Refused(refusal) => {
                matches!(
                    refusal.code.as_str(),
                    "mempool_full"
                        | "account_full"
                        | "busy"
                        | "closed"
                        | "dropped"
                        | "not_ready"
                        | WAITING
                )
            }
            Self::TxRefused(_)
            | Self::OtherAnswer
            | Self::Malformed(_)
            | Self::OtherBlob { .. }
            | Self::TooLong(_) => false,
        }
    }

    /// Whether the transaction has to be built anew: another one of the same account came first, the fee rose, or it was dropped or expired meanwhile.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(
            self.refusal_code(),
            Some("nonce_too_low" | "underpriced" | "dropped" | "expired")
        )
    }

    /// The stable code of a refusal, if this is one.
    #[must_use]
    pub fn refusal_code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(refusal.code.as_str()),
            _ => None,
        }
    }
}
