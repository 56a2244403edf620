//! What a model is.

use crate::codec::{newtype, record, tag};
use commonware_codec::Encode;
use core::{fmt, str::FromStr};
use fairweir_types::{BoundedVec, Digest, order::Name};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Files of one model.
pub const FILES_MAX: usize = 8;

/// A model by the digests of its files: who has the id can check every byte. A renamed model is the same model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub Digest);
newtype!(ModelId(Digest));

impl ModelId {
    /// The id of these files.
    #[must_use]
    pub fn of_files(files: &BoundedVec<ModelFile, FILES_MAX>) -> Self {
        Self(Digest::of_blob(&files.encode()))
    }

    /// The capability that a worker with the model offers, and that an order for it asks: 26 hexadecimal digits of the id.
    /// Workers check the whole id when they see the spec.
    #[must_use]
    pub fn capability(&self) -> Name {
        let digits = self.0.to_string();
        Name::truncating(&format!("model-{}", digits.get(..26).unwrap_or_default()))
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ModelId {
    type Err = <Digest as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a file of a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelRole {
    /// A GGUF file: weights with tokeniser and template.
    Gguf,
    /// Weights in the safetensors format.
    Safetensors,
    /// The shape of the model that the safetensors are for.
    Config,
    /// A `tokenizer.json`.
    Tokenizer,
}
tag!(ModelRole { 1 => Gguf, 2 => Safetensors, 3 => Config, 4 => Tokenizer });

impl ModelRole {
    /// The file's name in the store.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Gguf => "model.gguf",
            Self::Safetensors => "model.safetensors",
            Self::Config => "config.json",
            Self::Tokenizer => "tokenizer.json",
        }
    }
}

/// One file of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// What it is for.
    pub role: ModelRole,
    /// Its length.
    pub bytes: u64,
    /// Its plain SHA-256, as every download page gives it.
    pub sha256: [u8; 32],
}
record!(ModelFile {
    role,
    bytes,
    sha256
});

/// What people want to know about a model. Kept beside its files; no part of its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The name that clients ask for.
    pub name: String,
    /// Its licence, as far as it is known.
    pub licence: String,
    /// Where it came from.
    pub source: String,
    /// Its files: what for, bytes, and SHA-256 in hexadecimal digits.
    pub files: Vec<(ModelRole, u64, String)>,
}

impl ModelInfo {
    /// The files in the order of their roles.
    ///
    /// # Errors
    /// [`ModelError::Damaged`].
    pub fn model_files(&self) -> Result<BoundedVec<ModelFile, FILES_MAX>, ModelError> {
        let mut files = self
            .files
            .iter()
            .map(|(role, bytes, sha256)| {
                let digest: Digest = sha256
                    .parse()
                    .map_err(|_| ModelError::Damaged("a SHA-256 has not 64 digits".to_owned()))?;
                Ok(ModelFile {
                    role: *role,
                    bytes: *bytes,
                    sha256: digest.0,
                })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        files.sort_by_key(|file| file.role);
        BoundedVec::new(files).map_err(|error| ModelError::Damaged(error.to_string()))
    }

    /// The id.
    ///
    /// # Errors
    /// [`ModelError::Damaged`].
    pub fn id(&self) -> Result<ModelId, ModelError> {
        self.model_files().map(|files| ModelId::of_files(&files))
    }

    /// Whether it answers conversations; else it makes vectors of texts.
    #[must_use]
    pub fn is_chat(&self) -> bool {
        self.files.iter().any(|(role, ..)| *role == ModelRole::Gguf)
    }
}

/// Why a model cannot be used.
#[derive(Debug, Error)]
pub enum ModelError {
    /// It is not here.
    #[error("the model {0} is not on this machine: add it with 'fairweir model add'")]
    NotHere(String),
    /// A file of it cannot be read or written.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        error: std::io::Error,
    },
    /// Another process brings it already.
    #[error("another process is fetching the model {0}: wait for it, or stop it")]
    Arriving(String),
    /// What is here is not what it should be.
    #[error("the model is damaged: {0}")]
    Damaged(String),
    /// Its file is no GGUF, or one that the engine does not know.
    #[error("its weights cannot be used: {0}")]
    Weights(String),
    /// Its tokeniser cannot be used.
    #[error("its tokeniser cannot be used: {0}")]
    Tokenizer(String),
    /// Its chat template cannot be used, or refuses the messages.
    #[error("its chat template: {0}")]
    Template(String),
    /// The prompt is nothing that the model can take.
    #[error("the prompt cannot be taken: {0}")]
    Prompt(String),
    /// It does not fit the memory that it may take.
    #[error("it needs {needed} bytes of memory, {left} are left of what models may take")]
    Memory {
        /// What it needs.
        needed: usize,
        /// What is left.
        left: usize,
    },
}
