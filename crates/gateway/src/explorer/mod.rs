//! The explorer: an index of everything that final blocks tell, and the JSON API over it.
//!
//! [`follow()`] reads blocks from a node, each checked against its finality certificate, and gives them to an [`Index`], which anybody can
//! throw away: it makes itself anew from the blocks. [`serve`] answers from the index alone; what only a node knows (balances, supply) it
//! asks of the node and leaves out when the node does not answer.

mod api;
mod apply;
mod error;
mod follow;
mod index;
mod live;
mod records;
mod store;
mod tables;

pub use api::{ExplorerOptions, openapi, serve};
pub use error::IndexError;
pub use follow::{FollowError, Following, follow, follow_until};
pub use index::Index;
pub use live::Live;
pub use store::Tip;
