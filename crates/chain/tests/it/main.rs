//! The chain under the deterministic runtime: the same wiring as in production, virtual time, storage in memory.

mod four;
mod harness;
mod light;
mod mempool;
mod restart;
mod single;
