//! Integration tests of the words.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

mod conformance;
mod hostile;
mod proof;
mod reference;
mod samples;
