//! Tests of the crate from outside.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

mod cache;
mod llama;
mod sample;
