//! What machines say to each other about models.

use super::super::model::{FILES_MAX, ModelFile};
use super::super::{ModelError, ModelId, ModelInfo, ModelRole};
use crate::codec::{choice, record};
use fairweir_net::{Blob, BlobError, BlobRoot};
use fairweir_types::{BoundedText, BoundedVec, Digest, node_api::Refusal};

/// Models in one answer.
pub const HOLDINGS_MAX: usize = 64;

/// A file that a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// What the model's id is made of.
    pub file: ModelFile,
    /// Its BLAKE3 hash, as the machine says.
    pub root: Digest,
}
record!(SharedFile { file, root });

impl SharedFile {
    /// The file as its slices are checked.
    ///
    /// # Errors
    /// [`BlobError::TooLong`].
    pub fn blob(&self) -> Result<Blob, BlobError> {
        Blob::new(BlobRoot(self.root.0), self.file.bytes)
    }
}

/// A model that a machine has. Only the files are part of the id: name, licence and source are the machine's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The name that it has there.
    pub name: BoundedText<128>,
    /// Its licence, as recorded there.
    pub licence: BoundedText<128>,
    /// Where that machine has it from.
    pub source: BoundedText<256>,
    /// Its files, in the order of their roles.
    pub files: BoundedVec<SharedFile, FILES_MAX>,
}
record!(Holding {
    name,
    licence,
    source,
    files
});

impl Holding {
    /// What it is.
    #[must_use]
    pub fn info(&self) -> ModelInfo {
        let files = self.files.iter().map(|shared| {
            let file = shared.file;
            (file.role, file.bytes, Digest(file.sha256).to_string())
        });
        ModelInfo {
            name: self.name.as_str().to_owned(),
            licence: self.licence.as_str().to_owned(),
            source: self.source.as_str().to_owned(),
            files: files.collect(),
        }
    }

    /// The id of its files.
    ///
    /// # Errors
    /// [`ModelError::Damaged`].
    pub fn id(&self) -> Result<ModelId, ModelError> {
        self.info().id()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let bytes = self.files.iter().map(|shared| shared.file.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

/// Which models are there, from an id on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskHoldings {
    /// The least id.
    pub from: ModelId,
}
record!(AskHoldings { from });

/// A file's slices, from one on to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskSlices {
    /// The model.
    pub model: ModelId,
    /// The file.
    pub role: ModelRole,
    /// The first slice.
    pub from: u64,
}
record!(AskSlices { model, role, from });

/// A question about models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareRequest {
    /// Which models are there?
    Holdings(AskHoldings),
    /// The bytes of a file, please.
    Slices(AskSlices),
}
choice!(ShareRequest {
    1 => Holdings(AskHoldings),
    2 => Slices(AskSlices),
});

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareReply {
    /// No.
    Refused(Refusal),
    /// What is there, by id.
    Holdings(BoundedVec<Holding, HOLDINGS_MAX>),
    /// The slices of this file follow, a frame each.
    Slices(SharedFile),
}
choice!(ShareReply {
    1 => Refused(Refusal),
    2 => Holdings(BoundedVec<Holding, HOLDINGS_MAX>),
    3 => Slices(SharedFile),
});
