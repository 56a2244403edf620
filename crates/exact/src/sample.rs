//! Chooses tokens from logits. Whoever has the logits, the parameters and the seed gets the same tokens.
//!
//! In this order: a bias for some tokens; the repetition penalty (Keskar et al., CTRL, section 4.1) and the presence and frequency penalties
//! (as OpenAI's API defines them); the mask; then greedy choice at temperature 0, or else division by the temperature, the `top_k` best,
//! the nucleus of `top_p` (Holtzman et al., "The curious case of neural text degeneration"), tokens of at least `min_p` of the best one's
//! probability, and a draw. Among equal logits the smaller token goes first. A draw is `H(seed ‖ index)`, so that each token's can be checked
//! alone. Weights are `f32` by this crate's `exp`, and are summed as `f64` one by one in a fixed order.
//!
//! A logit that is a NaN, and infinities, count as tokens that cannot be chosen; engines of this crate give none.

use crate::{
    math::{exp, ln, sum, vectors, vectors_mut},
    simd::{Isa, Job, LANES, Lanes},
};
use thiserror::Error;

/// The most biased tokens.
pub const BIASES_MAX: usize = 1024;

/// A parameter that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("{name} is {found}, which is not from {least} to {most}")]
pub struct ParameterError {
    /// Which.
    pub name: &'static str,
    /// As asked.
    pub found: f32,
    /// The least.
    pub least: f32,
    /// The most.
    pub most: f32,
}

/// How tokens are chosen. [`Parameters::check`] says whether the values are in their ranges, and [`Sampler::new`] asks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// 0 is greedy; up to 2.
    pub temperature: f32,
    /// The share of probability that the nucleus has at least; from 0 (the best token alone) to 1 (all).
    pub top_p: f32,
    /// How many of the best tokens; 0 is all.
    pub top_k: u32,
    /// The least probability as a share of the best token's, from 0 to 1.
    pub min_p: f32,
    /// Divides the positive and multiplies the negative logits of tokens that are there; from 0.1 to 10, 1 does nothing.
    pub repetition_penalty: f32,
    /// Taken from a token's logit for each time it is there; from −2 to 2.
    pub frequency_penalty: f32,
    /// Taken from a token's logit if it is there; from −2 to 2.
    pub presence_penalty: f32,
    /// Added to logits, from −100 to 100; [`BIASES_MAX`] at most. Biases of one token add up.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for Parameters {
    /// The most likely token.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
        }
    }
}

fn within(name: &'static str, found: f32, least: f32, most: f32) -> Result<(), ParameterError> {
    // False for a NaN.
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(ParameterError {
        name,
        found,
        least,
        most,
    })
}

impl Parameters {
    /// Whether all are in their ranges.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check(&self) -> Result<(), ParameterError> {
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.1, 10.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        let biases = self.logit_bias.len() as f32;
        within("number of biases", biases, 0.0, BIASES_MAX as f32)?;
        for (_, bias) in &self.logit_bias {
            within("logit_bias", *bias, -100.0, 100.0)?;
        }
        Ok(())
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The token.
    pub token: u32,
}

/// Chooses the tokens of one answer.
#[derive(Clone, Debug)]
pub struct Sampler {
    parameters: Parameters,
    seed: [u8; 32],
    /// Logits as they are changed, padded to whole vectors.
    adjusted: Vec<f32>,
    weights: Vec<f32>,
    candidates: Vec<u32>,
    seen: Vec<u32>,
}

/// What stands in for a token that cannot be chosen.
const NEVER: f32 = f32::NEG_INFINITY;

impl Sampler {
    /// A sampler whose draws come from the seed.
    ///
    /// # Errors
    ///
    /// A parameter is out of its range.
    pub fn new(parameters: Parameters, seed: [u8; 32]) -> Result<Self, ParameterError> {
        parameters.check()?;
        Ok(Self {
            parameters,
            seed,
            adjusted: Vec::new(),
            weights: Vec::new(),
            candidates: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Chooses the token of this index, counted from the answer's first. `generated` are those that penalties count, `mask` says which tokens
    /// are allowed. The state of a sampler is its parameters and seed alone: the same arguments give the same token.
    ///
    /// None if no token can be chosen: the mask allows none, or no logit is finite.
    pub fn choose(
        &mut self,
        index: u32,
        logits: &[f32],
        generated: &[u32],
        mask: Option<&dyn Fn(u32) -> bool>,
    ) -> Option<Choice> {
        self.adjust(logits, generated, mask);
        let best = best(&self.adjusted)?;
        if self.parameters.temperature == 0.0 || self.parameters.top_k == 1 {
            return Some(Choice { token: best });
        }
        self.weigh(best);
        self.narrow();
        let uniform = uniform(&self.seed, index);
        Some(Choice {
            token: draw(&self.candidates, &self.weights, uniform),
        })
    }

    fn adjust(&mut self, logits: &[f32], generated: &[u32], mask: Option<&dyn Fn(u32) -> bool>) {
        self.adjusted.clear();
        self.adjusted.extend_from_slice(logits);
        let adjusted = &mut self.adjusted;
        let parameters = &self.parameters;
        for (token, bias) in &parameters.logit_bias {
            if let Some(logit) = adjusted.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        self.seen.clear();
        self.seen.extend_from_slice(generated);
        self.seen.sort_unstable();
        for same in self.seen.chunk_by(|a, b| a == b) {
            let Some(logit) = adjusted.get_mut(same[0] as usize) else {
                continue;
            };
            if *logit > 0.0 {
                *logit /= parameters.repetition_penalty;
            } else {
                *logit *= parameters.repetition_penalty;
            }
            *logit -= same.len() as f32 * parameters.frequency_penalty;
            *logit -= parameters.presence_penalty;
        }
        for (token, logit) in adjusted.iter_mut().enumerate() {
            // Zero and minus zero are equal.
            *logit += 0.0;
            let is_allowed = mask.is_none_or(|allows| allows(token as u32));
            if !is_allowed || !logit.is_finite() {
                *logit = NEVER;
            }
        }
    }

    /// Turns logits into weights, of which the best is one, and makes all that can be chosen candidates.
    fn weigh(&mut self, best: u32) {
        self.weights.clear();
        self.weights.extend_from_slice(&self.adjusted);
        self.weights
            .resize(self.adjusted.len().next_multiple_of(LANES), NEVER);
        Isa::best().run(Weigh {
            values: &mut self.weights,
            most: self.adjusted[best as usize],
            temperature: self.parameters.temperature,
        });
        let tokens = 0..self.adjusted.len() as u32;
        self.candidates.clear();
        let can_be = |token: &u32| self.adjusted[*token as usize] != NEVER;
        self.candidates.extend(tokens.filter(can_be));
    }

    /// Keeps the `top_k`, the nucleus and what has `min_p`.
    fn narrow(&mut self) {
        let (weights, candidates) = (&self.weights, &mut self.candidates);
        let adjusted = &self.adjusted;
        let (top_k, top_p) = (self.parameters.top_k as usize, self.parameters.top_p);
        let min_p = self.parameters.min_p;
        // By logit, not by weight: small weights are equal where logits are not.
        let order = |a: &u32, b: &u32| {
            let (first, second) = (adjusted[*a as usize], adjusted[*b as usize]);
            second.total_cmp(&first).then(a.cmp(b))
        };
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k, order);
            candidates.truncate(top_k);
            candidates.sort_unstable();
        }
        if top_p < 1.0 {
            let total = total(candidates, weights);
            // All tokens below this together have less than what the nucleus leaves out, so none of them is in it.
            let least = total * (1.0 - f64::from(top_p)) / candidates.len() as f64;
            candidates.retain(|token| f64::from(weights[*token as usize]) >= least);
            candidates.sort_unstable_by(order);
            let enough = total * f64::from(top_p);
            let mut sum = 0.0;
            let mut count = 0;
            while count < candidates.len() && (count == 0 || sum < enough) {
                sum += f64::from(weights[candidates[count] as usize]);
                count += 1;
            }
            candidates.truncate(count);
        }
        if min_p > 0.0 {
            // The best weighs one.
            candidates.retain(|token| weights[*token as usize] >= min_p);
        }
        candidates.sort_unstable();
    }
}

struct Weigh<'a> {
    values: &'a mut [f32],
    most: f32,
    temperature: f32,
}

impl Job for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (most, temperature) = (L::splat(self.most), L::splat(self.temperature));
        for values in vectors_mut(self.values) {
            exp(L::load(values).sub(most).div(temperature)).store(values);
        }
    }
}

/// The first of the largest that can be chosen.
fn best(adjusted: &[f32]) -> Option<u32> {
    let mut best = None;
    let mut most = NEVER;
    for (token, logit) in (0..).zip(adjusted) {
        if *logit > most {
            (best, most) = (Some(token), *logit);
        }
    }
    best
}

fn total(candidates: &[u32], weights: &[f32]) -> f64 {
    let weights = candidates.iter().map(|token| weights[*token as usize]);
    weights.fold(0.0, |sum, weight| sum + f64::from(weight))
}

/// From 0 (included) to 1 (not): the first 53 bits of the hash of seed and index.
fn uniform(seed: &[u8; 32], index: u32) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("fairweir exact 1 draw");
    hasher.update(seed);
    hasher.update(&index.to_le_bytes());
    let hash = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
}

/// The candidate in whose part of the whole the number falls; there is one at least, because the best is never left out.
fn draw(candidates: &[u32], weights: &[f32], uniform: f64) -> u32 {
    let at = uniform * total(candidates, weights);
    let mut sum = 0.0;
    let mut last = 0;
    for token in candidates {
        sum += f64::from(weights[*token as usize]);
        last = *token;
        if sum > at {
            break;
        }
    }
    last
}

struct SumExp<'a> {
    values: &'a [f32],
    most: f32,
}

impl Job for SumExp<'_> {
    type Output = f32;

    /// Sixteen chains by index modulo sixteen; the last vector is filled with what weighs nothing.
    #[inline(always)]
    fn run<L: Lanes>(self) -> f32 {
        let most = L::splat(self.most);
        let mut chains = L::splat(0.0);
        for values in vectors(self.values) {
            chains = chains.add(exp(L::load(values).sub(most)));
        }
        let rest = self.values.as_chunks::<LANES>().1;
        if !rest.is_empty() {
            let mut last = [self.most; LANES];
            last[..rest.len()].copy_from_slice(rest);
            exp(L::load(&last).sub(most)).store(&mut last);
            last[rest.len()..].fill(0.0);
            chains = chains.add(L::load(&last));
        }
        sum(chains)
    }
}

/// The largest logit, and the logarithm of the sum of `exp(logit − largest)`.
fn log_sum(logits: &[f32]) -> (f32, f32) {
    let most = logits.iter().fold(
        f32::MIN,
        |most, logit| if *logit > most { *logit } else { most },
    );
    let values = logits;
    (most, ln(Isa::best().run(SumExp { values, most })))
}

/// The natural logarithm of each token's probability at temperature 1, without any parameter: `(logit − largest) − ln Σ exp(logit − largest)`.
/// Logits must be finite.
#[must_use]
pub fn log_probabilities(logits: &[f32]) -> Vec<f32> {
    let (most, log_sum) = log_sum(logits);
    logits
        .iter()
        .map(|logit| (logit - most) - log_sum)
        .collect()
}

/// One token's of [`log_probabilities`]. None beyond the vocabulary.
#[must_use]
pub fn log_probability(logits: &[f32], token: u32) -> Option<f32> {
    let logit = logits.get(token as usize)?;
    let (most, log_sum) = log_sum(logits);
    Some((logit - most) - log_sum)
}

/// The `count` most likely tokens with their [`log_probabilities`], best first; among equals the smaller token goes first.
#[must_use]
pub fn top_log_probabilities(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let (most, log_sum) = log_sum(logits);
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| {
        // Zero and minus zero are equal.
        let (first, second) = (logits[*a as usize] + 0.0, logits[*b as usize] + 0.0);
        second.total_cmp(&first).then(a.cmp(b))
    };
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count, order);
        tokens.truncate(count);
    }
    tokens.sort_unstable_by(order);
    let probability = |token: u32| (token, (logits[token as usize] - most) - log_sum);
    tokens.into_iter().map(probability).collect()
}
