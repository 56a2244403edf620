//! One file per command.

pub(crate) mod account;
pub(crate) mod apikey;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod delegate;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod events;
pub(crate) mod explorer;
pub(crate) mod gateway;
pub(crate) mod genesis;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod node;
pub(crate) mod order;
pub(crate) mod proposal;
pub(crate) mod repair;
pub(crate) mod stake;
pub(crate) mod status;
pub(crate) mod transfer;
pub(crate) mod up;
pub(crate) mod validator;
pub(crate) mod verify;
pub(crate) mod worker;
