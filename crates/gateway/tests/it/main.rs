//! The explorer over blocks of the real ledger: every script of the ledger's own tests is played, and its blocks are indexed.
//!
//! The database is SQLite, or PostgreSQL if FAIRWEIR_TEST_DATABASE gives an address in which `{}` stands for a database's name, as
//! `promises/session-explorer` does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test should stop at the line that fails"
)]

mod explorer;
mod monitor;
#[path = "../../../ledger/tests/it/referee.rs"]
mod referee;
mod running;
#[expect(dead_code, reason = "these tests need the world, not all of its tools")]
#[path = "../../../ledger/tests/it/script/mod.rs"]
mod script;
#[expect(dead_code, reason = "these tests need the world, not all of its tools")]
#[path = "../../../ledger/tests/it/world.rs"]
mod world;
