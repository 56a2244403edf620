#![doc = include_str!("../README.md")]

mod blocks;
mod error;
mod node_client;
pub mod orders;
pub mod protocol;
#[cfg(test)]
mod scripted;
mod seats;
mod sender;
pub mod sessions;
pub mod verify;

pub use blocks::{BlockError, BlockStream, FinalBlock};
pub use error::{ClientError, WAITING};
pub use node_client::{EventStream, NodeClient};
pub use seats::{handover_at, learn_seats, take_over};
pub use sender::{Sender, fee};
