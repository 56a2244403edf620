#![doc = include_str!("../README.md")]

mod actor;
pub mod adversaries;
mod audit;
mod buyer;
pub mod byzantine;
pub mod economics;
pub mod faults;
mod plan;
pub mod scenarios;
mod session;
pub mod speed;
mod validators;
mod world;

pub use actor::{Actor, ActorError};
pub use audit::{Audit, Story};
pub use buyer::{Buyer, Purchase, Work};
pub use plan::{Part, Plan};
pub use session::Session;
pub use world::{World, play};
