//! Whether a worker makes its output at a pace that a client can live with.

use fairweir_types::Units;
use std::time::Duration;
use tokio::time::Instant;

/// Before its first token a worker has this long, and so long for each unit of input: 50 tokens a second.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
const PER_INPUT: Duration = Duration::from_millis(20);
/// Afterwards it is looked at in windows of this length, and is slow when it made fewer tokens in one: less than one a second.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOW_TOKENS: usize = 5;

/// One worker's pace in the newest window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    ends: Instant,
    /// Tokens until the window began.
    before: usize,
}

impl Pace {
    /// The window before the first token of an answer to so much input.
    pub(super) fn new(now: Instant, input: Units) -> Self {
        let input = u32::try_from(input.get()).unwrap_or(u32::MAX);
        Self {
            ends: now + FIRST_WITHIN + PER_INPUT.saturating_mul(input),
            before: 0,
        }
    }

    /// When the window ends.
    pub(super) const fn ends(&self) -> Instant {
        self.ends
    }

    /// Whether too little was made in the window, with so many tokens in all at its end.
    pub(super) const fn is_slow(&self, tokens: usize) -> bool {
        let needed = if self.before == 0 { 1 } else { WINDOW_TOKENS };
        tokens.saturating_sub(self.before) < needed
    }

    /// The next window begins.
    pub(super) fn begin(&mut self, now: Instant, tokens: usize) {
        *self = Self {
            ends: now + WINDOW,
            before: tokens,
        };
    }

    /// The worker waited for somebody else for so long.
    pub(super) fn wait(&mut self, pause: Duration) {
        self.ends += pause;
    }
}
