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

/// Answers that run at a time; others wait.
const ANSWERS_MAX: usize = 64;
/// Checks that run at a time. They have places of their own, so that no crowd of answers keeps them from their windows.
const CHECKS_MAX: usize = 32;
/// Of the cache's positions answers take at most three in four while checks may need the rest.
const ANSWERS_SHARE: (usize, usize) = (3, 4);
/// Rows of prompts (and drafts) in one step, besides one for each answer that is past its prompt: a longer step would make
/// those wait.
const PREFILL_ROWS_MAX: usize = 64;
/// The same while nothing is past its prompt.
const PREFILL_ROWS_ALONE_MAX: usize = 128;
/// Rows that checks get in a step beside answers, by how long the oldest has waited: few at first, and as many as they can use
/// before their windows (20 seconds at least) close, because a verifier that is late pays for it.
const CHECK_ROWS: [(Duration, usize); 3] = [
    (Duration::from_secs(12), PREFILL_ROWS_ALONE_MAX),
    (Duration::from_secs(6), PREFILL_ROWS_MAX),
    (Duration::from_secs(2), 16),
];

/// The time between two parts of an answer, at least. Some thirty a second are a steady flow to who reads, and each part is a message through the
/// network, which wakes threads of three programs on its way. The first token and the end come at once.
pub(super) const PARTS_PAUSE: Duration = Duration::from_millis(30);

/// Who waits for an answer. Called on the engine's thread; must not block.
pub(super) trait Asker: Send {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
    /// More of the answer.
    fn tell(&mut self, chunk: ChatChunk);
    /// The end.
    fn end(self: Box<Self>, result: Result<Answered, AnswerError>);
}

struct Waiting {
    answer: Answer,
    asker: Box<dyn Asker>,
    since: Instant,
}

struct Running {
    sequence: SequenceId,
    reserved: usize,
    answer: Answer,
    asker: Box<dyn Asker>,
    since: Instant,
    /// When the newest part was told.
    told: Option<Instant>,
}

impl Running {
    /// Tells what is new, if the pause since the part before is over. Only an engine with a thread of its own pauses: others have no time.
    fn tell(&mut self, pauses: bool) {
        let is_early = |told: Instant| told.elapsed() < PARTS_PAUSE;
        if pauses && self.told.is_some_and(is_early) {
            return;
        }
        if let Some(chunk) = self.answer.news() {
            self.asker.tell(chunk);
            self.told = Some(Instant::now());
        }
    }
}

/// The scheduler of one model. Whatever it does together, each answer has the bits that it has alone.
pub(super) struct Batch {
    model: Arc<ChatModel>,
    cache: Cache,
    positions: usize,
    reserved: usize,
    answers: VecDeque<Waiting>,
    checks: VecDeque<Waiting>,
    running: Vec<Running>,
    logits: Logits,
    rows: Vec<Row>,
    shares: Vec<(usize, usize)>,
    /// Whether answers wait for credit. Only an engine with a thread of its own can wait.
    holds: bool,
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
            answers: VecDeque::new(),
            checks: VecDeque::new(),
            running: Vec::new(),
            logits: Logits::new(),
            rows: Vec::new(),
            shares: Vec::new(),
            holds: false,
        })
    }

    /// Answers whose buyer has not paid further wait.
    pub(super) const fn hold(&mut self) {
        self.holds = true;
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.checks.is_empty() && self.running.is_empty()
    }

    /// Takes one more.
    pub(super) fn add(&mut self, answer: Answer, asker: Box<dyn Asker>) {
        if answer.positions_max() > self.positions {
            asker.end(Err(AnswerError::Failed(
                "prompt and answer do not fit the memory that the model may take here".to_owned(),
            )));
            return;
        }
        let waiting = match answer.purpose() {
            Purpose::Answer => &mut self.answers,
            Purpose::Check => &mut self.checks,
        };
        waiting.push_back(Waiting {
            answer,
            asker,
            since: Instant::now(),
        });
    }

    /// One step for everything that runs; whether anything did.
    pub(super) fn step(&mut self, pool: &dyn Pool) -> bool {
        self.drop_the_gone();
        self.tell();
        self.admit();
        self.plan();
        if self.rows.is_empty() {
            return false;
        }
        let done = self
            .model
            .weights
            .step(pool, &mut self.cache, &self.rows, &mut self.logits);
        match done {
            Ok(()) => self.take(),
            Err(error) => self.fail(&error.to_string()),
        }
        true
    }

    /// A whole page more than the positions: the last page of a sequence is rarely full.
    fn need(&self, answer: &Answer) -> usize {
        answer.positions_max() + self.cache.page_positions()
    }

    fn admit(&mut self) {
        let (share, of) = ANSWERS_SHARE;
        while let Some(waiting) = self.answers.front() {
            let (count, reserved) = self.taken(Purpose::Answer);
            let need = self.need(&waiting.answer).min(self.positions);
            let has_share = reserved == 0 || reserved + need <= self.positions / of * share;
            let fits = self.reserved + need <= self.positions;
            if count >= ANSWERS_MAX || !has_share || !fits {
                break;
            }
            let waiting = self.answers.pop_front();
            self.open(waiting, need);
        }
        while let Some(waiting) = self.checks.front() {
            let (count, _) = self.taken(Purpose::Check);
            let need = self.need(&waiting.answer).min(self.positions);
            if count >= CHECKS_MAX || self.reserved + need > self.positions {
                break;
            }
            let waiting = self.checks.pop_front();
            self.open(waiting, need);
        }
    }

    /// How many of a purpose run, and the positions that they have.
    fn taken(&self, purpose: Purpose) -> (usize, usize) {
        self.running
            .iter()
            .filter(|running| running.answer.purpose() == purpose)
            .fold((0, 0), |(count, reserved), running| {
                (count + 1, reserved + running.reserved)
            })
    }

    fn open(&mut self, waiting: Option<Waiting>, need: usize) {
        let Some(waiting) = waiting else { return };
        match self.cache.open() {
            Ok(sequence) => {
                self.reserved += need;
                self.running.push(Running {
                    sequence,
                    reserved: need,
                    answer: waiting.answer,
                    asker: waiting.asker,
                    since: waiting.since,
                    told: None,
                });
            }
            Err(error) => waiting
                .asker
                .end(Err(AnswerError::Failed(error.to_string()))),
        }
    }

    fn drop_the_gone(&mut self) {
        self.answers.retain(|waiting| !waiting.asker.is_gone());
        self.checks.retain(|waiting| !waiting.asker.is_gone());
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

    /// Tells what was kept back for a pause, also of answers that wait for credit: who gives it counts what was told.
    fn tell(&mut self) {
        for running in &mut self.running {
            running.tell(self.holds);
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

    /// Chooses the rows of the next step: one for each answer that is past its prompt, then prompts, each an equal part, so that a long one keeps
    /// no other waiting, then checks in the order that they came, which wait for answers for a while.
    fn plan(&mut self) {
        self.rows.clear();
        self.shares.clear();
        let is_answer = |running: &Running| running.answer.purpose() == Purpose::Answer;
        let has_answers = self.running.iter().any(is_answer);
        for (index, running) in self.running.iter().enumerate() {
            let is_held = self.holds && running.answer.is_held();
            if is_answer(running) && running.answer.is_decoding() && !is_held {
                let rows = running.answer.plan(running.sequence, 1, &mut self.rows);
                self.shares.push((index, rows));
            }
        }
        let mut budget = if self.rows.is_empty() {
            PREFILL_ROWS_ALONE_MAX
        } else {
            PREFILL_ROWS_MAX
        };
        let prompts = self.running.iter().enumerate();
        let prompts =
            prompts.filter(|(_, running)| is_answer(running) && !running.answer.is_decoding());
        let mut prompts: Vec<_> = prompts
            .map(|(index, running)| (running.answer.left(), index))
            .collect();
        // What the short ones leave of their parts is for the long ones.
        prompts.sort_unstable();
        let mut others = prompts.len();
        for (_, index) in prompts {
            let part = budget.div_ceil(others.max(1));
            others -= 1;
            if let Some(running) = self.running.get(index).filter(|_| part > 0) {
                let rows = running.answer.plan(running.sequence, part, &mut self.rows);
                self.shares.push((index, rows));
                budget -= rows.min(budget);
            }
        }
        if has_answers {
            budget = self.check_rows();
        }
        for (index, running) in self.running.iter().enumerate() {
            if !is_answer(running) && budget > 0 {
                let rows = running
                    .answer
                    .plan(running.sequence, budget, &mut self.rows);
                self.shares.push((index, rows));
                budget -= rows.min(budget);
            }
        }
    }

    /// Rows for checks while there are answers.
    fn check_rows(&self) -> usize {
        let waited = self
            .running
            .iter()
            .filter(|running| running.answer.purpose() == Purpose::Check)
            .map(|running| running.since.elapsed())
            .max();
        let waited = waited.unwrap_or_default();
        CHECK_ROWS
            .iter()
            .find(|(patience, _)| waited >= *patience)
            .map_or(0, |(_, rows)| *rows)
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
            } else {
                running.tell(self.holds);
            }
        }
        finished.sort_unstable();
        for index in finished.into_iter().rev() {
            self.finish(index);
        }
    }
}
