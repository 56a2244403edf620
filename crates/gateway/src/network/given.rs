//! What a client was given of an answer, and how far each worker's words agree with it.

use fairweir_services::{
    Passage,
    inference::chat::{ChatChunk, ChatOutput},
};
use fairweir_types::{BoundedVec, order::Demand};

/// What the client was given, whichever workers it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    tokens: Vec<u32>,
    text: String,
    likelihoods: usize,
}

/// How far one worker has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Tokens that it gave.
    pub(super) tokens: usize,
    text: usize,
    likelihoods: usize,
}

/// A worker's answer begins otherwise than what was given: one of them is wrong, because equal work gives equal bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Differs;

/// What of `part`, which stands `at` so far into `whole`, goes beyond it; both must be equal where they overlap.
fn beyond<'a, T: PartialEq>(whole: &[T], at: usize, part: &'a [T]) -> Result<&'a [T], Differs> {
    let known = whole.get(at..).ok_or(Differs)?;
    let overlap = known.len().min(part.len());
    match part.split_at_checked(overlap) {
        Some((again, new)) if known.starts_with(again) => Ok(new),
        _ => Err(Differs),
    }
}

impl Given {
    /// Nothing yet.
    pub(super) const EMPTY: Self = Self {
        tokens: Vec::new(),
        text: String::new(),
        likelihoods: 0,
    };

    /// Whether nothing was given yet.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The tokens that the text is made of.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Takes a worker's next part and gives what is new of it: equal work gives equal text, however it is cut into parts.
    pub(super) fn take(
        &mut self,
        place: &mut Place,
        part: &ChatChunk,
    ) -> Result<Option<ChatChunk>, Differs> {
        let (text, tokens) = (part.text.as_str(), part.tokens.as_slice());
        let new_tokens = beyond(&self.tokens, place.tokens, tokens)?;
        let new_bytes = beyond(self.text.as_bytes(), place.text, text.as_bytes())?;
        // Where all bytes before are equal, so are the ends of characters.
        let new_text = text.get(text.len() - new_bytes.len()..).ok_or(Differs)?;
        let again = self.likelihoods.saturating_sub(place.likelihoods);
        let likelihoods: Vec<_> = part.likelihoods.iter().skip(again).cloned().collect();
        place.tokens += tokens.len();
        place.text += text.len();
        place.likelihoods += part.likelihoods.len();
        self.tokens.extend_from_slice(new_tokens);
        self.text.push_str(new_text);
        self.likelihoods += likelihoods.len();
        if new_tokens.is_empty() && new_text.is_empty() && likelihoods.is_empty() {
            return Ok(None);
        }
        Ok(Some(ChatChunk {
            tokens: BoundedVec::truncating(new_tokens.iter().copied()),
            text: Passage::new(new_text.to_owned()).map_err(|_| Differs)?,
            likelihoods: BoundedVec::truncating(likelihoods),
        }))
    }

    /// Whether this, and what a worker gave of it, is no more than was asked for.
    pub(super) fn is_within(&self, place: &Place, demand: &Demand) -> bool {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        count(place.tokens) <= demand.units.output.get()
            && count(self.text.len()) <= demand.bytes_out_max.get()
            && place.likelihoods <= place.tokens
    }

    /// Whether what was given goes on from a part of the answer.
    pub(super) fn goes_on_from(&self, output: &ChatOutput) -> bool {
        self.tokens.starts_with(output.tokens.as_slice())
    }

    /// Whether a whole answer begins with what was given.
    pub(super) fn begins(&self, output: &ChatOutput) -> bool {
        output.tokens.as_slice().starts_with(&self.tokens)
            && output.text.as_str().starts_with(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    fn part(tokens: &[u32], text: &str) -> ChatChunk {
        ChatChunk {
            tokens: BoundedVec::new(tokens.to_vec()).unwrap(),
            text: Passage::new(text.to_owned()).unwrap(),
            likelihoods: BoundedVec::default(),
        }
    }

    #[test]
    fn what_another_worker_gives_again_is_left_out() {
        let (mut given, mut first) = (Given::default(), Place::default());
        for part in [part(&[1], "one "), part(&[2], "two ")] {
            assert_eq!(given.take(&mut first, &part), Ok(Some(part)));
        }
        // The same text, cut otherwise.
        let mut second = Place::default();
        assert_eq!(given.take(&mut second, &part(&[1], "one")), Ok(None));
        let more = given.take(&mut second, &part(&[2, 3], " two three"));
        assert_eq!(more, Ok(Some(part(&[3], "three"))));
        let last = given.take(&mut second, &part(&[4], " ü"));
        assert_eq!(last, Ok(Some(part(&[4], " ü"))));
        assert_eq!((given.tokens(), second.tokens), (&[1, 2, 3, 4][..], 4));
    }

    #[test]
    fn a_worker_that_gives_something_else_is_noticed_and_changes_nothing() {
        let (mut given, mut first) = (Given::default(), Place::default());
        assert!(given.take(&mut first, &part(&[1, 2], "one ü")).is_ok());
        let before = given.clone();
        let others = [
            part(&[1, 3], "one ü"),
            part(&[1, 2], "one o"),
            // Equal in half of a character.
            part(&[1, 2], "one ý"),
            part(&[2], "two"),
        ];
        for other in others {
            let mut second = Place::default();
            assert_eq!(given.take(&mut second, &other), Err(Differs), "{other:?}");
            assert_eq!((&given, second), (&before, Place::default()));
        }
    }
}
