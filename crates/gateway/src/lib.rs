#![doc = include_str!("../README.md")]

mod buy;
mod connection;
mod doors;
mod error;
pub mod explorer;
pub mod json;
mod keys;
mod market;
pub mod monitor;
mod network;
mod openai;
mod relay;
mod server;

pub use keys::{ApiKey, ApiKeys, KeyLimits, KeysError};
pub use market::{
    ChatEvent, ChatRun, Claimed, CostTeller, Done, Embedded, Market, MarketError, Model, ModelKind,
    Purchase, ReceiptError, Relayed, TokenCounter,
};
pub use network::{NetworkMarket, NetworkOptions, OrderFees, Payment};
pub use relay::{RelayError, WorkersSide, check_relay};
pub use server::{GatewayOptions, serve};

#[cfg(test)]
mod tests;
