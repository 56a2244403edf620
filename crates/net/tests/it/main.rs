//! Both networks against one contract, and each against its own promises.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod contract;
mod memory;
#[cfg(feature = "quic")]
mod quic;
