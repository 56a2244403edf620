//! One answer under way: which rows it needs next, and what becomes of their logits.

use super::{chat_model::ChatModel, writer::Writer};
use crate::{
    Passage, Purpose, StopAt,
    inference::{
        chat::{ChatChunk, ChatOutput, Finish, Format, Likelihood, Parameters, TokenLikelihood},
        json::JsonObject,
    },
};
use fairweir_exact::{
    cache::SequenceId,
    llama::Row,
    sample::{self, Sampler},
    trace::Trace,
};
use fairweir_types::{BoundedBytes, BoundedVec, Digest};

/// Tokens that a worker may have made more than its buyer pays for when a stop comes: a stop below that is not kept to
/// (protocol rule 6: a credit chunk is the most that either side can lose).
pub(super) const STOP_SLACK: usize = 64;

/// What an answer is made from.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Tokens of the prompt; at least one.
    pub(crate) prompt: Vec<u32>,
    /// Tokens that are likely to come, which are computed together and checked one by one: what the worker says it made, in a check.
    pub(crate) draft: Vec<u32>,
    /// Tokens that the buyer has already: those of them that come again are input, see [`ChatSpec::draft`].
    ///
    /// [`ChatSpec::draft`]: crate::inference::chat::ChatSpec::draft
    pub(crate) given: Vec<u32>,
    pub(crate) parameters: Parameters,
    pub(crate) seed: [u8; 32],
    /// What the trace begins from: the whole spec.
    pub(crate) origin: Vec<u8>,
    pub(crate) purpose: Purpose,
    pub(crate) stop: StopAt,
}

/// A whole answer, and where the buyer stopped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) output: ChatOutput,
    pub(crate) stopped_at: Option<u64>,
    /// The token that ended it, which is no part of the output.
    pub(crate) ending: Option<u32>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// On every machine alike.
    #[error("{0}")]
    Refused(String),
    /// On this one.
    #[error("{0}")]
    Failed(String),
}

/// A token that was chosen, with what is needed to take it back.
#[derive(Debug)]
struct Chosen {
    token: u32,
    trace: Trace,
}

#[derive(Debug)]
pub(super) struct Answer {
    question: Question,
    sampler: Sampler,
    begun: Trace,
    chosen: Vec<Chosen>,
    generated: Vec<u32>,
    /// Of those, how many the buyer had already: the first so many.
    given: usize,
    /// Positions whose keys and values are in the cache.
    computed: usize,
    trace: Trace,
    writer: Writer,
    object: Option<JsonObject>,
    likelihoods: Vec<TokenLikelihood>,
    prompt_likelihoods: Vec<TokenLikelihood>,
    /// Of tokens and likelihoods, how many were handed on.
    told: (usize, usize),
    finish: Option<Finish>,
    ending: Option<u32>,
    stopped_at: Option<u64>,
}

impl Answer {
    pub(super) fn new(question: Question) -> Result<Self, AnswerError> {
        let parameters = &question.parameters;
        let sampler = Sampler::new(parameters.for_sampler(), question.seed)
            .map_err(|error| AnswerError::Refused(error.to_string()))?;
        let stops = parameters
            .stop
            .iter()
            .map(|stop| stop.as_str().to_owned())
            .collect();
        let begun = Trace::start(&question.origin);
        Ok(Self {
            sampler,
            trace: begun.clone(),
            begun,
            chosen: Vec::new(),
            generated: Vec::new(),
            given: 0,
            computed: 0,
            writer: Writer::new(stops),
            object: (parameters.format == Format::JsonObject).then(JsonObject::default),
            likelihoods: Vec::new(),
            prompt_likelihoods: Vec::new(),
            told: (0, 0),
            finish: None,
            ending: None,
            stopped_at: None,
            question,
        })
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.question.purpose
    }

    /// Positions that it may need in all.
    pub(super) fn positions_max(&self) -> usize {
        let tokens = usize::try_from(self.question.parameters.tokens_max).unwrap_or(usize::MAX);
        self.question.prompt.len().saturating_add(tokens)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether it is past its prompt and has no draft left: it needs one row for each step.
    pub(super) fn is_decoding(&self) -> bool {
        self.computed + 1 >= self.known()
    }

    /// Rows that are to be computed before it is past its prompt and draft.
    pub(super) fn left(&self) -> usize {
        self.known().saturating_sub(self.computed)
    }

    /// Tokens that are known: prompt, those chosen, and the draft beyond them.
    fn known(&self) -> usize {
        let made = self.generated.len().max(self.draft().len());
        self.question.prompt.len() + made
    }

    /// The draft that is worth computing: after the last token that may be made nothing is chosen.
    fn draft(&self) -> &[u32] {
        let drafted = &self.question.draft;
        let room = self.limit().saturating_sub(1);
        drafted.get(..drafted.len().min(room)).unwrap_or_default()
    }

    /// Tokens to make at most.
    fn limit(&self) -> usize {
        usize::try_from(self.question.parameters.tokens_max).unwrap_or(usize::MAX)
    }

    fn token_at(&self, position: usize) -> Option<u32> {
        let prompt = &self.question.prompt;
        match position.checked_sub(prompt.len()) {
            None => prompt.get(position).copied(),
            Some(index) => self
                .generated
                .get(index)
                .or_else(|| self.draft().get(index))
                .copied(),
        }
    }

    /// Appends the next rows, `rows_max` at most.
    pub(super) fn plan(&self, sequence: SequenceId, rows_max: usize, rows: &mut Vec<Row>) -> usize {
        let end = self.known().min(self.computed + rows_max);
        let first_answer_row = self.question.prompt.len() - 1;
        for position in self.computed..end {
            let Some(token) = self.token_at(position) else {
                break;
            };
            rows.push(Row {
                sequence,
                position: u32::try_from(position).unwrap_or(u32::MAX),
                token,
                wants_logits: position >= first_answer_row || self.question.parameters.echo,
            });
        }
        end.saturating_sub(self.computed)
    }

    /// Takes the logits of the rows that were planned, in order; `row` gives those of the n-th row that wanted them. Gives
    /// the length to which the sequence is to be cut, when a draft was wrong.
    pub(super) fn take<'a>(
        &mut self,
        model: &ChatModel,
        rows: &[Row],
        row: impl Fn(usize) -> &'a [f32],
    ) -> Option<usize> {
        let mut wanted = 0;
        for planned in rows {
            self.computed += 1;
            if !planned.wants_logits {
                continue;
            }
            let logits = row(wanted);
            wanted += 1;
            if self.computed < self.question.prompt.len() {
                self.echo(model, logits);
                continue;
            }
            self.choose(model, logits);
            if self.finish.is_some() {
                return None;
            }
            let index = self.generated.len() - 1;
            let drafted = self.question.draft.get(index).copied();
            if drafted.is_some() && drafted != self.generated.last().copied() {
                self.question.draft.clear();
                return Some(self.computed);
            }
        }
        None
    }

    fn echo(&mut self, model: &ChatModel, logits: &[f32]) {
        let Some(top) = self.question.parameters.logprobs else {
            return;
        };
        if self.prompt_likelihoods.is_empty() {
            let first = self.question.prompt.first().copied().unwrap_or_default();
            self.prompt_likelihoods.push(TokenLikelihood {
                token: likelihood(model, first, 0.0),
                top: BoundedVec::default(),
            });
        }
        if let Some(token) = self.token_at(self.computed) {
            self.prompt_likelihoods
                .push(told(model, token, logits, top));
        }
    }

    fn choose(&mut self, model: &ChatModel, logits: &[f32]) {
        if self.stops_before_next() {
            return;
        }
        let index = u32::try_from(self.generated.len()).unwrap_or(u32::MAX);
        let choice = match &self.object {
            None => self.sampler.choose(index, logits, &self.generated, None),
            Some(object) => {
                let allows = |token: u32| {
                    if object.is_complete() {
                        model.reader.tokens.is_end(token)
                    } else {
                        object.admits(model.reader.tokens.bytes(token))
                    }
                };
                self.sampler
                    .choose(index, logits, &self.generated, Some(&allows))
            }
        };
        let Some(choice) = choice else {
            self.finish = Some(Finish::Stop);
            return;
        };
        let token = choice.token;
        self.trace.push(token, logits);
        if model.reader.tokens.is_end(token) {
            self.ending = Some(token);
            self.finish = Some(Finish::Stop);
            return;
        }
        if self.repeats() && self.question.given.get(self.given) == Some(&token) {
            self.given += 1;
        }
        self.generated.push(token);
        self.chosen.push(Chosen {
            token,
            trace: self.trace.clone(),
        });
        if let Some(top) = self.question.parameters.logprobs {
            self.likelihoods.push(told(model, token, logits, top));
        }
        let bytes = model.reader.tokens.bytes(token);
        if let Some(object) = &mut self.object {
            let _ = object.take(bytes);
        }
        if self.writer.push(bytes) {
            self.finish = Some(Finish::Stop);
        } else if self.generated.len() >= self.limit() {
            self.finish = Some(Finish::Length);
        }
    }

    /// Whether every token until now is one that the buyer had already.
    const fn repeats(&self) -> bool {
        self.given == self.generated.len()
    }

    /// Output units until now: tokens that the buyer did not have.
    const fn made(&self) -> usize {
        self.generated.len() - self.given
    }

    /// Whether the buyer has not paid for another token yet.
    pub(super) fn is_held(&self) -> bool {
        let made = u64::try_from(self.made()).unwrap_or(u64::MAX);
        self.finish.is_none() && self.question.stop.holds(made)
    }

    /// Whether the buyer wants no more; then the answer ends with what it pays for.
    pub(super) fn stops_before_next(&mut self) -> bool {
        let Some(stop) = self.question.stop.get() else {
            return false;
        };
        if self.repeats() && self.given < self.question.given.len() {
            // How much of it was done when the stop came is known to this machine alone: a stop is kept to beyond it.
            return self.finish.is_some();
        }
        let made = self.made();
        let at = usize::try_from(stop.get()).unwrap_or(usize::MAX);
        let is_due = match self.question.purpose {
            Purpose::Answer => at.saturating_add(STOP_SLACK) >= made,
            Purpose::Check => made >= at,
        };
        if is_due && self.finish.is_none() {
            self.cut(at.min(made));
        }
        self.finish.is_some()
    }

    /// Ends the answer after so many output units, as if no more had been made.
    fn cut(&mut self, made: usize) {
        let tokens = self.given + made;
        self.generated.truncate(tokens);
        self.chosen.truncate(tokens);
        self.likelihoods.truncate(tokens);
        if tokens == 0 {
            // How far the prompt was read when the stop came is known to this machine alone.
            self.prompt_likelihoods.clear();
        }
        self.trace = self
            .chosen
            .last()
            .map_or_else(|| self.begun.clone(), |chosen| chosen.trace.clone());
        self.finish = Some(Finish::Stopped);
        self.stopped_at = u64::try_from(made).ok();
    }

    /// What is new since it was last asked; `None` if nothing is.
    pub(super) fn news(&mut self) -> Option<ChatChunk> {
        let text = if self.finish.is_some() {
            self.writer.rest()
        } else {
            self.writer.certain()
        };
        let (tokens, likelihoods) = self.told;
        let new: Vec<_> = self.likelihoods.iter().skip(likelihoods).cloned().collect();
        let made = self.generated.get(tokens..).unwrap_or_default().to_vec();
        self.told = (
            self.generated.len().max(tokens),
            self.likelihoods.len().max(likelihoods),
        );
        if made.is_empty() && text.is_empty() {
            return None;
        }
        Some(ChatChunk {
            tokens: BoundedVec::truncating(made),
            text: Passage::new(text).unwrap_or_default(),
            likelihoods: BoundedVec::truncating(new),
        })
    }

    /// The whole answer, once it is finished.
    pub(super) fn into_answered(self, model: &ChatModel) -> Result<Answered, AnswerError> {
        let finish = self
            .finish
            .ok_or_else(|| AnswerError::Failed("the answer is not finished".to_owned()))?;
        let too_long =
            |_| AnswerError::Refused("the answer is longer than an output may be".to_owned());
        let text = if self.stopped_at.is_some() {
            // Some of what was written may be cut off: write again.
            let mut writer = Writer::default();
            for chosen in &self.chosen {
                writer.push(model.reader.tokens.bytes(chosen.token));
            }
            let _ = writer.rest();
            writer.into_text()
        } else {
            self.writer.into_text()
        };
        let output = ChatOutput {
            prompt_tokens: u32::try_from(self.question.prompt.len()).unwrap_or(u32::MAX),
            tokens: BoundedVec::new(self.generated).map_err(too_long)?,
            text: Passage::new(text).map_err(too_long)?,
            finish,
            computation: Digest(self.trace.finish()),
            likelihoods: BoundedVec::new(self.likelihoods).map_err(too_long)?,
            prompt_likelihoods: BoundedVec::new(self.prompt_likelihoods).map_err(too_long)?,
        };
        Ok(Answered {
            output,
            stopped_at: self.stopped_at,
            ending: self.ending,
        })
    }
}

fn likelihood(model: &ChatModel, token: u32, logprob: f32) -> Likelihood {
    let bytes = model.reader.tokens.bytes(token);
    let bytes = if bytes.is_empty() {
        model
            .reader
            .tokens
            .control(token)
            .unwrap_or_default()
            .as_bytes()
    } else {
        bytes
    };
    Likelihood {
        token,
        bytes: BoundedBytes::new(bytes.to_vec()).unwrap_or_default(),
        logprob_bits: logprob.to_bits(),
    }
}

fn told(model: &ChatModel, token: u32, logits: &[f32], top: u8) -> TokenLikelihood {
    let logprob = sample::log_probability(logits, token).unwrap_or(f32::NEG_INFINITY);
    let top = sample::top_log_probabilities(logits, usize::from(top))
        .into_iter()
        .map(|(token, logprob)| likelihood(model, token, logprob));
    TokenLikelihood {
        token: likelihood(model, token, logprob),
        top: BoundedVec::truncating(top),
    }
}
