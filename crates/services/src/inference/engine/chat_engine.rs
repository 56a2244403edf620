//! The engine of one chat model: a thread that steps everything asked of it, or, in simulation, whoever asks.

use super::{
    answer::{Answer, AnswerError, Answered, Question},
    batch::{Asker, Batch},
    chat_model::ChatModel,
    pool::EngineThreads,
};
use crate::{
    Outlet,
    inference::{ModelError, chat::ChatChunk},
};
use commonware_codec::Encode;
#[cfg(any(test, feature = "testing"))]
use fairweir_exact::pool::Single;
use fairweir_exact::{cache::Cache, pool::Pool};
use futures::{
    StreamExt,
    channel::{mpsc, oneshot},
};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
};

/// Questions that wait to be looked at by the engine's thread.
const QUESTIONS_MAX: usize = 1_024;

/// A chat model that runs.
#[derive(Debug)]
pub struct ChatEngine {
    model: Arc<ChatModel>,
    runs: Runs,
}

#[derive(Debug)]
enum Runs {
    /// On a thread of its own, which ends when the sender is dropped.
    Thread {
        questions: Option<SyncSender<Asked>>,
        thread: Option<JoinHandle<()>>,
    },
    #[cfg(any(test, feature = "testing"))]
    /// On the thread of whoever asks, alone: the same bits, and nothing that a simulation does not control.
    Inline,
}

struct Asked {
    answer: Answer,
    waiter: Waiter,
}

enum Item {
    Chunk(ChatChunk),
    End(Result<Answered, AnswerError>),
}

/// The engine's end of the way to whoever waits. Its capacity is the most that can be told.
struct Waiter(mpsc::Sender<Item>);

impl Asker for Waiter {
    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    fn tell(&mut self, chunk: ChatChunk) {
        let _ = self.0.try_send(Item::Chunk(chunk));
    }

    fn end(mut self: Box<Self>, result: Result<Answered, AnswerError>) {
        let _ = self.0.try_send(Item::End(result));
    }
}

impl ChatEngine {
    #[cfg(any(test, feature = "testing"))]
    /// An engine that steps on the thread of whoever asks.
    pub(crate) fn inline(model: ChatModel) -> Self {
        Self {
            model: Arc::new(model),
            runs: Runs::Inline,
        }
    }

    /// An engine with a thread of its own, which is one of `threads`, whose keys and values take `cache_bytes` at most.
    pub(crate) fn start(
        model: ChatModel,
        threads: &EngineThreads,
        cache_bytes: usize,
    ) -> Result<Self, ModelError> {
        let model = Arc::new(model);
        let failed = |error: &dyn core::fmt::Display| ModelError::Weights(error.to_string());
        let pages = cache_bytes / Cache::page_bytes(model.weights.shape()).max(1);
        let mut batch = Batch::new(Arc::clone(&model), pages).map_err(|error| failed(&error))?;
        batch.hold();
        let pool = threads.pool()?;
        let (sender, receiver) = sync_channel(QUESTIONS_MAX);
        let thread = threads.spawn("fairweir-engine", move || {
            run(batch, pool.as_ref(), &receiver);
        })?;
        Ok(Self {
            model,
            runs: Runs::Thread {
                questions: Some(sender),
                thread: Some(thread),
            },
        })
    }

    pub(crate) fn model(&self) -> &ChatModel {
        &self.model
    }

    /// Computes something long beside the answers, on a thread of its own, or, in simulation, on that of whoever asks. None if it did not end.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match &self.runs {
            #[cfg(any(test, feature = "testing"))]
            Runs::Inline => Some(work()),
            Runs::Thread { .. } => {
                let (sender, receiver) = oneshot::channel();
                let thread = std::thread::Builder::new().name("fairweir-record".to_owned());
                let spawned = thread.spawn(move || {
                    // Whoever waited may be gone.
                    let _ = sender.send(work());
                });
                spawned.ok()?;
                receiver.await.ok()
            }
        }
    }

    /// Answers a question; chunks go to the outlet as they come. Dropping the future ends the work within a step.
    pub(crate) async fn answer(
        &self,
        question: Question,
        outlet: &mut dyn Outlet,
    ) -> Result<Answered, AnswerError> {
        let answer = Answer::new(question)?;
        // One chunk for each token, and the end.
        let (sender, mut items) = mpsc::channel(answer.positions_max().saturating_add(1));
        let waiter = Waiter(sender);
        match &self.runs {
            #[cfg(any(test, feature = "testing"))]
            Runs::Inline => self.answer_inline(answer, waiter)?,
            Runs::Thread { questions, .. } => {
                let questions = questions.as_ref().expect("it is there until the drop");
                questions
                    .try_send(Asked { answer, waiter })
                    .map_err(|_| AnswerError::Failed("the engine has too much to do".to_owned()))?;
            }
        }
        while let Some(item) = items.next().await {
            match item {
                Item::Chunk(chunk) => outlet
                    .emit(chunk.encode().to_vec())
                    .await
                    .map_err(|error| AnswerError::Failed(error.to_string()))?,
                Item::End(result) => return result,
            }
        }
        Err(AnswerError::Failed("the engine stopped".to_owned()))
    }

    #[cfg(any(test, feature = "testing"))]
    fn answer_inline(&self, answer: Answer, waiter: Waiter) -> Result<(), AnswerError> {
        let page = self.model.weights.shape();
        let positions = answer.positions_max();
        let probe = Cache::new(page, 1).map_err(|error| AnswerError::Failed(error.to_string()))?;
        let pages = positions.div_ceil(probe.page_positions()) + 2;
        let mut batch = Batch::new(Arc::clone(&self.model), pages)?;
        batch.add(answer, Box::new(waiter));
        while !batch.is_idle() {
            batch.step(&Single);
        }
        Ok(())
    }
}

impl Drop for ChatEngine {
    fn drop(&mut self) {
        match &mut self.runs {
            Runs::Thread { questions, thread } => {
                drop(questions.take());
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
            #[cfg(any(test, feature = "testing"))]
            Runs::Inline => {}
        }
    }
}

/// How long an engine sleeps when all of its answers wait for credit: short against a token.
const HELD_PAUSE: core::time::Duration = core::time::Duration::from_millis(1);

/// Steps the batch for as long as there is something to do, else waits for questions.
fn run(mut batch: Batch, pool: &dyn Pool, questions: &Receiver<Asked>) {
    loop {
        if batch.is_idle() {
            let Ok(asked) = questions.recv() else { return };
            batch.add(asked.answer, Box::new(asked.waiter));
        }
        loop {
            match questions.try_recv() {
                Ok(asked) => batch.add(asked.answer, Box::new(asked.waiter)),
                Err(TryRecvError::Empty) => break,
                // Nobody can ask any more, so nobody waits.
                Err(TryRecvError::Disconnected) => return,
            }
        }
        if !batch.step(pool) && !batch.is_idle() {
            // All that runs waits for credit, or for room.
            std::thread::sleep(HELD_PAUSE);
        }
    }
}
