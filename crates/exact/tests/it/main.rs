//! Tests of the crate from outside.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

mod bert;
mod cache;
mod hostile;
mod llama;
mod sample;
