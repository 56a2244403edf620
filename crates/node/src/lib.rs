#![doc = include_str!("../README.md")]

mod api;
mod blob_store;
pub mod ceremony;
mod config;
mod data_dir;
mod environment;
mod keystore;
pub mod models;
pub mod network;
mod output_store;
mod places;
mod referee;
pub mod roles;
mod ticket;
mod turns;
mod upstream;

pub use api::Api;
pub use blob_store::{BlobStore, BlobStoreError};
pub use config::{Config, ConfigError, SyncSetting};
pub use data_dir::{DataDir, DataDirError, FORMAT};
pub use environment::{NodeBlobs, NodeChain, NodeEvents};
pub use keystore::{Keystore, KeystoreError, Passphrase, random_seed, transport_seed};
pub use output_store::OutputStore;
pub use referee::Referees;
pub use ticket::{Ticket, TicketError};
pub use upstream::Upstream;
