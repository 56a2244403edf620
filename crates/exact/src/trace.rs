//! The chain of hashes that a run leaves: whoever re-computes the run gets the same end.
//!
//! `h₀ = H("start" ‖ seed)`, `hₜ₊₁ = H("token" ‖ hₜ ‖ token ‖ H(logits))` with BLAKE3 in its mode for deriving keys, the token as four bytes
//! and logits as the bits of each `f32`, all little-endian. The prefix of a chain proves nothing about its length: say the length beside it.

use blake3::Hasher;

const START: &str = "fairweir exact 1 trace start";
const TOKEN: &str = "fairweir exact 1 trace token";
const ROW: &str = "fairweir exact 1 logits row";

/// How many floats are turned into bytes at once.
const CHUNK: usize = 1024;

/// The hash of a row of logits, bit for bit.
#[must_use]
pub fn row_digest(logits: &[f32]) -> [u8; 32] {
    let mut hasher = Hasher::new_derive_key(ROW);
    let mut bytes = [0; CHUNK * 4];
    for logits in logits.chunks(CHUNK) {
        let bytes = &mut bytes[..logits.len() * 4];
        for (bytes, value) in bytes.chunks_exact_mut(4).zip(logits) {
            bytes.copy_from_slice(&value.to_bits().to_le_bytes());
        }
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// A chain under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    state: [u8; 32],
    tokens: u32,
}

impl Trace {
    /// Begins a chain; the seed names what is run (model, parameters, prompt).
    #[must_use]
    pub fn start(seed: &[u8]) -> Self {
        Self {
            state: blake3::derive_key(START, seed),
            tokens: 0,
        }
    }

    /// A chain that goes on from a state.
    pub(crate) fn of_state(state: [u8; 32]) -> Self {
        Self { state, tokens: 0 }
    }

    /// Adds a token and the logits that it was chosen from.
    pub fn push(&mut self, token: u32, logits: &[f32]) {
        self.push_digest(token, &row_digest(logits));
    }

    /// As [`push`](Self::push), for logits that were hashed with [`row_digest`].
    pub fn push_digest(&mut self, token: u32, row: &[u8; 32]) {
        let mut hasher = Hasher::new_derive_key(TOKEN);
        hasher.update(&self.state);
        hasher.update(&token.to_le_bytes());
        hasher.update(row);
        self.state = *hasher.finalize().as_bytes();
        self.tokens = self.tokens.saturating_add(1);
    }

    /// How many tokens were added.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The chain's end so far.
    #[must_use]
    pub fn state(&self) -> [u8; 32] {
        self.state
    }

    /// The chain's end.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(rows: &[(u32, Vec<f32>)]) -> [u8; 32] {
        let mut trace = Trace::start(b"seed");
        for (token, logits) in rows {
            trace.push(*token, logits);
        }
        trace.finish()
    }

    #[test]
    fn every_part_counts() {
        let rows = vec![(1, vec![0.5, -0.25]), (2, vec![1.0; 3000])];
        let end = chain(&rows);
        let mut other = rows.clone();
        other[0].0 = 3;
        assert_ne!(chain(&other), end);
        other = rows.clone();
        other[1].1[2999] = -1.0;
        assert_ne!(chain(&other), end);
        other = rows.clone();
        other.swap(0, 1);
        assert_ne!(chain(&other), end);
        assert_ne!(chain(&rows[..1]), end);
        assert_ne!(Trace::start(b"a").finish(), Trace::start(b"b").finish());
        assert_eq!(chain(&rows), end);
    }

    #[test]
    fn zero_and_minus_zero_differ() {
        assert_ne!(row_digest(&[0.0]), row_digest(&[-0.0]));
    }

    #[test]
    fn a_chain_is_golden() {
        let end = blake3::Hash::from_bytes(chain(&[(7, vec![1.0, 2.0])])).to_hex();
        assert_eq!(
            end.as_str(),
            "a4334e20804f1247da878934d40acf06e5b4b21e010c5e8a1ac0ddc037712ef7"
        );
    }
}
