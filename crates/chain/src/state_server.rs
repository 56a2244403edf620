//! Gives parts of the state to nodes that copy it, and proofs about single keys.
//!
//! One question is answered at a time, so whoever copies takes one core's share of a moment's reading at most; blocks come in between.

use crate::{
    error::ReadError,
    qmdb::{Database, Response, request},
    state_proof::{self, Proven},
};
use commonware_codec::Encode as _;
use commonware_runtime::Spawner;
use commonware_storage::{Context as StorageContext, qmdb::sync::Source as _};
use commonware_utils::channel::{mpsc, oneshot};
use fairweir_types::{
    limits::{STATE_OPERATIONS_MAX, STATE_PART_BYTES_MAX},
    node_api::AskState,
};

/// Questions that wait; who comes when there are so many is told to come again.
pub(crate) const QUESTIONS_MAX: usize = 16;

/// Where an answer goes.
type Answer<T> = oneshot::Sender<Result<T, ReadError>>;

/// A question about the state.
pub(crate) enum Question {
    /// For a part of it, encoded.
    Part(AskState, Answer<Vec<u8>>),
    /// For a proof about a key.
    Proof(Vec<u8>, Answer<Proven>),
}

/// Asks for a part of the state.
pub(crate) async fn ask(
    questions: &mpsc::Sender<Question>,
    ask: AskState,
) -> Result<Vec<u8>, ReadError> {
    put(questions, |answer| Question::Part(ask, answer)).await
}

/// Asks for a proof of what the state holds under a key now.
pub(crate) async fn prove(
    questions: &mpsc::Sender<Question>,
    key: Vec<u8>,
) -> Result<Proven, ReadError> {
    put(questions, |answer| Question::Proof(key, answer)).await
}

async fn put<T>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(Answer<T>) -> Question,
) -> Result<T, ReadError> {
    let (answer, answered) = oneshot::channel();
    let sent = questions.try_send(question(answer));
    sent.map_err(|_| ReadError::Busy)?;
    answered.await.map_err(|_| ReadError::Closed)?
}

/// Answers questions until nobody can ask any more.
pub(crate) async fn run<E: StorageContext + Spawner>(
    database: Database<E>,
    mut questions: mpsc::Receiver<Question>,
) {
    // Whoever asked may be gone by now.
    while let Some(question) = questions.recv().await {
        match question {
            Question::Part(ask, answer) if !answer.is_closed() => {
                let _ = answer.send(part(&database, &ask).await);
            }
            Question::Proof(key, answer) if !answer.is_closed() => {
                let proven = state_proof::prove(&database, &key).await;
                let _ = answer.send(proven.map_err(|error| {
                    tracing::error!(%error, "the state proves nothing");
                    ReadError::Unproven
                }));
            }
            Question::Part(..) | Question::Proof(..) => {}
        }
    }
}

/// The part that is asked for, cut where it becomes too long for a message.
async fn part<E: StorageContext + Spawner>(
    database: &Database<E>,
    ask: &AskState,
) -> Result<Vec<u8>, ReadError> {
    let gone = ReadError::StateGone {
        start: ask.start,
        size: ask.size,
    };
    let mut max = ask.max.clamp(1, STATE_OPERATIONS_MAX);
    loop {
        let request = request(&AskState { max, ..*ask }).ok_or(gone)?;
        let served = database.read().await.serve(request).await;
        // A size that was no end of a block, or is none yet, and what was pruned: all the same to who asks.
        let (response, _) = served.map_err(|error| {
            tracing::debug!(%error, "a part of the state is not there");
            gone
        })?;
        let response: Response = response;
        let part = response.encode().to_vec();
        if part.len() <= STATE_PART_BYTES_MAX {
            return Ok(part);
        }
        if max == 1 {
            return Err(gone);
        }
        max = max.div_ceil(2);
    }
}
