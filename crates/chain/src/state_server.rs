//! Gives parts of the state to nodes that copy it.
//!
//! One question is answered at a time, so whoever copies takes one core's share of a moment's reading at most; blocks come in between.

use crate::{
    error::ReadError,
    qmdb::{Database, Response, request},
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

/// A question for a part of the state.
pub(crate) struct Question {
    /// What is asked.
    pub(crate) ask: AskState,
    /// Where the encoded part goes.
    pub(crate) answer: oneshot::Sender<Result<Vec<u8>, ReadError>>,
}

/// Asks for a part of the state.
pub(crate) async fn ask(
    questions: &mpsc::Sender<Question>,
    ask: AskState,
) -> Result<Vec<u8>, ReadError> {
    let (answer, part) = oneshot::channel();
    let sent = questions.try_send(Question { ask, answer });
    sent.map_err(|_| ReadError::Busy)?;
    part.await.map_err(|_| ReadError::Closed)?
}

/// Answers questions until nobody can ask any more.
pub(crate) async fn run<E: StorageContext + Spawner>(
    database: Database<E>,
    mut questions: mpsc::Receiver<Question>,
) {
    while let Some(Question { ask, answer }) = questions.recv().await {
        if !answer.is_closed() {
            // The asker may be gone by now.
            let _ = answer.send(part(&database, &ask).await);
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
