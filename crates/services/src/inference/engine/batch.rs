//! Answers and checks of one model that run together: continuous batching.

use super::{
    answer::{Answer, AnswerError, Answered},
    chat_model::ChatModel,
};
use crate::{Purpose, inference::chat::ChatChunk};
use fairweir_exact::{
    cache::{Cache, SequenceId},
    llama::{Logits, Row},
    pool::Pool,
};
use std::{collections::VecDeque, sync::Arc, time::Duration, time::Instant};

/// Answers and checks that run at a time; others wait.
const RUNNING_MAX: usize = 64;
/// Rows of prompts (and drafts) in one step, besides one for each answer that is past its prompt: a longer step would make
/// those wait.
const PREFILL_ROWS_MAX: usize = 64;
/// The same while nothing is past its prompt.
const PREFILL_ROWS_ALONE_MAX: usize = 128;
/// How long checks wait for answers before they get rows all the same.
const CHECK_PATIENCE: Duration = Duration::from_secs(3);
/// Rows that checks get in a step after that.
const CHECK_ROWS: usize = 16;

/// Who waits for an answer. Called on the engine's thread; must not block.
pub(super) trait Asker: Send {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
    /// More of the answer.
    fn tell(&mut self, chunk: ChatChunk);
    /// The end.
    fn end(self: Box<Self>, result: Result<Answered, AnswerError>);
}

struct Running {
    sequence: SequenceId,
    reserved: usize,
    answer: Answer,
    asker: Box<dyn Asker>,
    since: Instant,
}

/// The scheduler of one model. Whatever it does together, each answer has the bits that it has alone.
pub(super) struct Batch {
    model: Arc<ChatModel>,
    cache: Cache,
    positions: usize,
    reserved: usize,
    waiting: VecDeque<(Answer, Box<dyn Asker>)>,
    running: Vec<Running>,
    logits: Logits,
    rows: Vec<Row>,
    shares: Vec<(usize, usize)>,
}

impl Batch {
    pub(super) fn new(model: Arc<ChatModel>, pages: usize) -> Result<Self, AnswerError> {
        let cache = Cache::new(model.weights.shape(), pages)
            .map_err(|error| AnswerError::Failed(error.to_string()))?;
        Ok(Self {
            positions: pages * cache.page_positions(),
            cache,
            model,
            reserved: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            logits: Logits::new(),
            rows: Vec::new(),
            shares: Vec::new(),
        })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Takes one more; answers go before checks.
    pub(super) fn add(&mut self, answer: Answer, asker: Box<dyn Asker>) {
        if answer.positions_max() > self.positions {
            asker.end(Err(AnswerError::Failed(
                "prompt and answer do not fit the memory that the model may take here".to_owned(),
            )));
            return;
        }
        match answer.purpose() {
            Purpose::Answer => {
                let checks = self
                    .waiting
                    .iter()
                    .position(|(other, _)| other.purpose() == Purpose::Check);
                let at = checks.unwrap_or(self.waiting.len());
                self.waiting.insert(at, (answer, asker));
            }
            Purpose::Check => self.waiting.push_back((answer, asker)),
        }
    }

    /// One step for everything that runs.
    pub(super) fn step(&mut self, pool: &dyn Pool) {
        self.drop_the_gone();
        self.admit();
        self.plan();
        if self.rows.is_empty() {
            return;
        }
        let done = self
            .model
            .weights
            .step(pool, &mut self.cache, &self.rows, &mut self.logits);
        match done {
            Ok(()) => self.take(),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// A whole page more than the positions: the last page of a sequence is rarely full.
    fn need(&self, answer: &Answer) -> usize {
        answer.positions_max() + self.cache.page_positions()
    }

    fn admit(&mut self) {
        while self.running.len() < RUNNING_MAX {
            let Some((answer, _)) = self.waiting.front() else {
                break;
            };
            let need = self.need(answer).min(self.positions);
            if self.reserved + need > self.positions {
                break;
            }
            let Ok(sequence) = self.cache.open() else {
                break;
            };
            let Some((answer, asker)) = self.waiting.pop_front() else {
                break;
            };
            self.reserved += need;
            self.running.push(Running {
                sequence,
                reserved: need,
                answer,
                asker,
                since: Instant::now(),
            });
        }
    }

    fn drop_the_gone(&mut self) {
        self.waiting.retain(|(_, asker)| !asker.is_gone());
        let mut index = 0;
        while index < self.running.len() {
            if self
                .running
                .get(index)
                .is_some_and(|running| running.asker.is_gone())
            {
                self.close(index);
            } else {
                index += 1;
            }
        }
        // A stop may come while nothing is made.
        let mut index = 0;
        while index < self.running.len() {
            let stops = self.running.get_mut(index).is_some_and(|running| {
                running.answer.purpose() == Purpose::Answer && running.answer.stops_before_next()
            });
            if stops {
                self.finish(index);
            } else {
                index += 1;
            }
        }
    }

    fn close(&mut self, index: usize) -> Running {
        let running = self.running.remove(index);
        self.reserved -= running.reserved;
        let _ = self.cache.close(running.sequence);
        running
    }

    fn finish(&mut self, index: usize) {
        let mut running = self.close(index);
        if let Some(chunk) = running.answer.news() {
            running.asker.tell(chunk);
        }
        let answered = running.answer.into_answered(&self.model);
        running.asker.end(answered);
    }

    fn fail(&mut self, reason: &str) {
        while !self.running.is_empty() {
            let running = self.close(0);
            running.asker.end(Err(AnswerError::Failed(format!(
                "the engine failed: {reason}"
            ))));
        }
    }

    /// Chooses the rows of the next step: one for each answer that is past its prompt, then prompts in the order that they
    /// came, then checks, which wait for answers for a while.
    fn plan(&mut self) {
        self.rows.clear();
        self.shares.clear();
        let is_answer = |running: &Running| running.answer.purpose() == Purpose::Answer;
        let has_answers = self.running.iter().any(is_answer);
        for (index, running) in self.running.iter().enumerate() {
            if is_answer(running) && running.answer.is_decoding() {
                let rows = running.answer.plan(running.sequence, 1, &mut self.rows);
                self.shares.push((index, rows));
            }
        }
        let mut budget = if self.rows.is_empty() {
            PREFILL_ROWS_ALONE_MAX
        } else {
            PREFILL_ROWS_MAX
        };
        for (index, running) in self.running.iter().enumerate() {
            if is_answer(running) && !running.answer.is_decoding() && budget > 0 {
                let rows = running
                    .answer
                    .plan(running.sequence, budget, &mut self.rows);
                self.shares.push((index, rows));
                budget -= rows.min(budget);
            }
        }
        if has_answers {
            budget = budget.min(CHECK_ROWS);
        }
        for (index, running) in self.running.iter().enumerate() {
            let is_due = !has_answers || running.since.elapsed() >= CHECK_PATIENCE;
            if !is_answer(running) && is_due && budget > 0 {
                let rows = running
                    .answer
                    .plan(running.sequence, budget, &mut self.rows);
                self.shares.push((index, rows));
                budget -= rows.min(budget);
            }
        }
    }

    /// Hands the logits to whom they belong, and ends what is finished.
    fn take(&mut self) {
        let (mut row, mut wanted) = (0, 0);
        let mut finished = Vec::new();
        for (index, rows) in &self.shares {
            let planned = self.rows.get(row..row + rows).unwrap_or_default();
            row += rows;
            let first = wanted;
            wanted += planned.iter().filter(|row| row.wants_logits).count();
            let Some(running) = self.running.get_mut(*index) else {
                continue;
            };
            let logits = &self.logits;
            let cut = running
                .answer
                .take(&self.model, planned, |n| logits.row(first + n));
            if let Some(positions) = cut {
                let _ = self.cache.truncate(running.sequence, positions);
            }
            if running.answer.is_finished() {
                finished.push(*index);
            } else if let Some(chunk) = running.answer.news() {
                running.asker.tell(chunk);
            }
        }
        finished.sort_unstable();
        for index in finished.into_iter().rev() {
            self.finish(index);
        }
    }
}
