//! The file `fairweir.toml`: every setting with its default.

use crate::{
    blob_store::BlobStore,
    data_dir::{DataDir, DataDirError},
};
use fairweir_chain::SyncMode;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};
use thiserror::Error;

/// The name of the file.
pub(crate) const CONFIG_FILE: &str = "fairweir.toml";

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The folder refused.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Not TOML of ours.
    #[error("{CONFIG_FILE} is not understood: {0}")]
    Malformed(String),
    /// A value is out of range.
    #[error("{CONFIG_FILE}: {setting} is {found}, it must be {range}")]
    OutOfRange {
        /// Which setting.
        setting: &'static str,
        /// The value.
        found: String,
        /// What it may be.
        range: &'static str,
    },
}

/// Bytes of blobs that a node keeps at least: the longest fits a quarter of them.
const BLOB_BYTES_MIN: u64 = 16 * 1_024 * 1_024;
/// Blocks that a node keeps at least.
const RETAIN_BLOCKS_MIN: u64 = 1_000;

/// How a node that follows others, and has an empty disk, gets to the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncSetting {
    /// By the state if the chain is long, or its first blocks are gone; else by blocks.
    #[default]
    Auto,
    /// By a copy of the state at a newest final block.
    State,
    /// By executing every block.
    Blocks,
}

impl SyncSetting {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl From<SyncSetting> for SyncMode {
    fn from(sync: SyncSetting) -> Self {
        match sync {
            SyncSetting::Auto => Self::Auto,
            SyncSetting::State => Self::State,
            SyncSetting::Blocks => Self::Blocks,
        }
    }
}

/// Settings of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the node listens for clients, workers and verifiers. A development network stays on loopback.
    pub listen: SocketAddr,
    /// Further addresses under which others reach the node; port 0 stands for the port of `listen`.
    pub advertise: Vec<SocketAddr>,
    /// The longest time between two blocks, in milliseconds: 100 to 60000.
    pub heartbeat_ms: u64,
    /// Bytes of blobs that the node keeps.
    pub blob_bytes_max: u64,
    /// How many of the newest blocks the node keeps at least; all of them unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_blocks: Option<u64>,
    /// Where this validator listens for the others, over TCP; only a network of several machines needs it.
    pub peer_listen: SocketAddr,
    /// Where tools that watch the node ask for `/health` and `/metrics`, over HTTP; nowhere unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<SocketAddr>,
    /// The nodes that this one follows, as `fwpeer1…` addresses; only a node without a vote has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub follow: Vec<String>,
    /// How a node that follows others gets to the present, if its disk is empty.
    #[serde(skip_serializing_if = "SyncSetting::is_auto")]
    pub sync: SyncSetting,
    /// The nodes whose state a validator or candidate copies if its disk is empty, as `fwpeer1…` addresses; it executes every block if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
    /// A block that this node trusts when it copies a state, written as HEIGHT:DIGEST; the genesis unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Where each validator of such a network is reached, by identity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7_640)),
            advertise: Vec::new(),
            heartbeat_ms: 1_000,
            blob_bytes_max: u64::try_from(BlobStore::BYTES_MAX).unwrap_or(u64::MAX),
            retain_blocks: None,
            peer_listen: SocketAddr::from(([127, 0, 0, 1], 7_641)),
            monitor: None,
            follow: Vec::new(),
            sync: SyncSetting::Auto,
            copy: Vec::new(),
            checkpoint: None,
            peers: BTreeMap::new(),
        }
    }
}

const HEADER: &str = "\
# Settings of this Fairweir node. What is missing has its default.
#
# listen          where clients, workers and verifiers reach the node; a development network stays on loopback
# advertise       further addresses under which others reach it; port 0 stands for the port of `listen`
# heartbeat_ms    the longest time between two blocks: 100 to 60000
# blob_bytes_max  bytes of blobs (large specs) that the node keeps; the oldest go first; a quarter is for those that no transaction names
# retain_blocks   how many of the newest blocks the node keeps: at least 1000 and two epochs; all of them unless it is set
# peer_listen     where this validator listens for the others of a network of several machines, over TCP
# monitor         where /health and /metrics are served over HTTP, for example 127.0.0.1:9464; nowhere unless it is set
# follow          the nodes that this one follows, if it has no vote; `fairweir node follow` writes it
# sync            how a node that follows gets to the present: \"state\" copies the state at a newest final block, \"blocks\" executes every block since
#                 the genesis, \"auto\" (unless it is set) takes the state if there are more than 10000 blocks, or the first ones are gone
# copy            the nodes whose state a validator or candidate copies if its disk is empty; `fairweir node join --copy` writes it
# checkpoint      a block that the node trusts when it copies a state, as HEIGHT:DIGEST; `fairweir node follow|join --checkpoint` writes it
# [peers]         where each of these validators is reached, by its identity; `fairweir node join` writes it

";

impl Config {
    /// Reads the settings of a folder; defaults where there are none.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(data: &DataDir) -> Result<Self, ConfigError> {
        let Some(bytes) = data.read(CONFIG_FILE)? else {
            return Ok(Self::default());
        };
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads settings.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] or [`ConfigError::OutOfRange`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::Malformed(error.to_string()))?;
        let out_of_range = |setting, found: u64, range| {
            Err(ConfigError::OutOfRange {
                setting,
                found: found.to_string(),
                range,
            })
        };
        if !(100..=60_000).contains(&config.heartbeat_ms) {
            return out_of_range("heartbeat_ms", config.heartbeat_ms, "100 to 60000");
        }
        if config.blob_bytes_max < BLOB_BYTES_MIN {
            return out_of_range("blob_bytes_max", config.blob_bytes_max, "at least 16777216");
        }
        if let Some(found) = config
            .retain_blocks
            .filter(|found| *found < RETAIN_BLOCKS_MIN)
        {
            return out_of_range("retain_blocks", found, "at least 1000");
        }
        Ok(config)
    }

    /// The settings as a file, with what each means.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Plain values of a plain struct always have a TOML form.
        format!("{HEADER}{}", toml::to_string(self).unwrap_or_default())
    }

    /// Writes the settings into a folder.
    ///
    /// # Errors
    /// [`ConfigError::DataDir`].
    pub fn save(&self, data: &DataDir) -> Result<(), ConfigError> {
        Ok(data.write(CONFIG_FILE, self.to_toml().as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    #[test]
    fn settings_read_back_and_what_is_missing_has_its_default() {
        let config = Config {
            heartbeat_ms: 500,
            monitor: Some(SocketAddr::from(([127, 0, 0, 1], 9_464))),
            sync: SyncSetting::State,
            peers: BTreeMap::from([("ab".to_owned(), SocketAddr::from(([10, 0, 0, 1], 7_641)))]),
            ..Config::default()
        };
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert!(matches!(
            Config::parse("heartbeat_ms = 1"),
            Err(ConfigError::OutOfRange { .. })
        ));
        assert!(matches!(
            Config::parse("heart = 1"),
            Err(ConfigError::Malformed(_))
        ));
        assert!(matches!(
            Config::parse("sync = \"snapshot\""),
            Err(ConfigError::Malformed(_))
        ));
    }
}
