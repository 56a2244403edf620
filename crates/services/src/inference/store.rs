//! Models on disk: each in a folder named for its id, every byte checked when it comes in.

mod arrival;

pub use arrival::{Arrival, Part};

use super::model::{FILES_MAX, ModelFile};
use super::{ModelError, ModelId, ModelInfo, ModelRole, chat, embedding};
use core::fmt::Debug;
use fairweir_types::BoundedVec;
use memmap2::Mmap;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

const INFO: &str = "model.json";
/// Bytes of a model's description.
const INFO_BYTES_MAX: u64 = 64 * 1_024;
/// Bytes of one file of a model: 64 GiB.
const FILE_BYTES_MAX: u64 = 64 << 30;

/// The models that the kinds can run here.
pub trait Models: Debug + Send + Sync + 'static {
    /// The engine of a model that answers conversations, started if it is not.
    ///
    /// # Errors
    /// [`ModelError`].
    fn chat(&self, id: ModelId) -> Result<Arc<super::engine::ChatEngine>, ModelError>;

    /// The engine of a model that makes vectors.
    ///
    /// # Errors
    /// [`ModelError`].
    fn embedding(&self, id: ModelId) -> Result<Arc<super::engine::EmbeddingEngine>, ModelError>;

    /// A model's files, and what they are by its id: to write a run down.
    ///
    /// # Errors
    /// [`ModelError`].
    fn files(&self, id: ModelId) -> Result<(Mapped, BoundedVec<ModelFile, FILES_MAX>), ModelError> {
        Err(ModelError::NotHere(id.to_string()))
    }
}

/// No models at all: for clients, which only read and write specs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModels;

impl Models for NoModels {
    fn chat(&self, id: ModelId) -> Result<Arc<super::engine::ChatEngine>, ModelError> {
        Err(ModelError::NotHere(id.to_string()))
    }

    fn embedding(&self, id: ModelId) -> Result<Arc<super::engine::EmbeddingEngine>, ModelError> {
        Err(ModelError::NotHere(id.to_string()))
    }
}

/// A folder of models.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.display().to_string();
    move |error| ModelError::Disk { path, error }
}

/// The length and the SHA-256 of a file.
///
/// # Errors
/// [`ModelError::Disk`].
pub fn measure(path: &Path) -> Result<(u64, [u8; 32]), ModelError> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0u64;
    loop {
        let read = file.read(&mut buffer).map_err(at(path))?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += u64::try_from(read).unwrap_or(0);
    }
    Ok((bytes, hasher.finalize().into()))
}

/// The licence that a GGUF file names.
#[must_use]
pub fn licence_of(path: &Path) -> Option<String> {
    let mapped = map(&File::open(path).ok()?).ok()?;
    let file = fairweir_exact::gguf::File::parse(&mapped).ok()?;
    file.text("general.license").map(str::to_owned)
}

impl ModelStore {
    /// The store in a folder, made if it is not there.
    ///
    /// # Errors
    /// [`ModelError::Disk`].
    pub fn open(folder: PathBuf) -> Result<Self, ModelError> {
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(Self { folder })
    }

    /// Where a model's files are.
    #[must_use]
    pub fn folder_of(&self, id: ModelId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Where a model's files are while they come from other machines.
    fn arriving(&self, id: ModelId) -> PathBuf {
        self.folder.join(format!("{id}.arriving"))
    }

    /// Takes a model in: copies its files, and tries whether it can be used. Taking it in again changes its description.
    ///
    /// # Errors
    /// [`ModelError`]; nothing stays then.
    pub fn add(
        &self,
        name: &str,
        licence: &str,
        source: &str,
        files: &[(ModelRole, PathBuf)],
    ) -> Result<(ModelId, ModelInfo), ModelError> {
        let mut measured = Vec::new();
        for (role, path) in files {
            let (bytes, sha256) = measure(path)?;
            if bytes > FILE_BYTES_MAX {
                return Err(ModelError::Damaged(
                    "a file is longer than 64 GiB".to_owned(),
                ));
            }
            measured.push((*role, bytes, fairweir_types::Digest(sha256).to_string()));
        }
        measured.sort();
        let info = ModelInfo {
            name: name.to_owned(),
            licence: licence.to_owned(),
            source: source.to_owned(),
            files: measured,
        };
        let id = info.id()?;
        let folder = self.folder_of(id);
        let coming = self.folder.join(format!("{id}.coming"));
        let _ = fs::remove_dir_all(&coming);
        fs::create_dir_all(&coming).map_err(at(&coming))?;
        let taken = self.take(&coming, files, &info);
        if let Err(error) = taken {
            let _ = fs::remove_dir_all(&coming);
            return Err(error);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        fs::rename(&coming, &folder).map_err(at(&folder))?;
        Ok((id, info))
    }

    fn take(
        &self,
        coming: &Path,
        files: &[(ModelRole, PathBuf)],
        info: &ModelInfo,
    ) -> Result<(), ModelError> {
        for (role, path) in files {
            let to = coming.join(role.file_name());
            fs::copy(path, &to).map_err(at(&to))?;
        }
        Self::describe(coming, info)
    }

    /// Writes a model's description beside its files, and tries whether they can be used.
    fn describe(coming: &Path, info: &ModelInfo) -> Result<(), ModelError> {
        let path = coming.join(INFO);
        let text = serde_json::to_vec_pretty(info)
            .map_err(|error| ModelError::Damaged(error.to_string()))?;
        let mut file = File::create(&path).map_err(at(&path))?;
        file.write_all(&text).map_err(at(&path))?;
        file.sync_all().map_err(at(&path))?;
        let mapped = Self::map(coming, info)?;
        if info.is_chat() {
            chat::check_model(&mapped)
        } else {
            embedding::check_model(&mapped)
        }
    }

    /// Every model here, by name.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn list(&self) -> Result<Vec<(ModelId, ModelInfo)>, ModelError> {
        let mut models = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let entry = entry.map_err(at(&self.folder))?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<ModelId>().ok()) else {
                continue;
            };
            models.push((id, self.info(id)?));
        }
        models.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
        Ok(models)
    }

    /// What is known of a model.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn info(&self, id: ModelId) -> Result<ModelInfo, ModelError> {
        let path = self.folder_of(id).join(INFO);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ModelError::NotHere(id.to_string()),
            _ => ModelError::Disk {
                path: path.display().to_string(),
                error,
            },
        })?;
        let mut text = Vec::new();
        file.take(INFO_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(at(&path))?;
        let info: ModelInfo = serde_json::from_slice(&text)
            .map_err(|error| ModelError::Damaged(format!("{}: {error}", path.display())))?;
        if info.id()? != id {
            return Err(ModelError::Damaged(format!(
                "{} is of another model",
                path.display()
            )));
        }
        Ok(info)
    }

    /// Finds a model by its name or by its id.
    ///
    /// # Errors
    /// [`ModelError::NotHere`].
    pub fn find(&self, name: &str) -> Result<(ModelId, ModelInfo), ModelError> {
        self.list()?
            .into_iter()
            .find(|(id, info)| info.name == name || id.to_string() == name)
            .ok_or_else(|| ModelError::NotHere(name.to_owned()))
    }

    /// Forgets a model.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn remove(&self, id: ModelId) -> Result<(), ModelError> {
        self.info(id)?;
        let folder = self.folder_of(id);
        // What is left of an interrupted fetch, if anything.
        let _ = fs::remove_dir_all(self.arriving(id));
        fs::remove_dir_all(&folder).map_err(at(&folder))
    }

    /// Reads every byte of a model and compares.
    ///
    /// # Errors
    /// [`ModelError::Damaged`].
    pub fn check(&self, id: ModelId) -> Result<(), ModelError> {
        let info = self.info(id)?;
        for (role, bytes, sha256) in &info.files {
            let path = self.folder_of(id).join(role.file_name());
            let (found, digest) = measure(&path)?;
            if found != *bytes || fairweir_types::Digest(digest).to_string() != *sha256 {
                return Err(ModelError::Damaged(format!(
                    "{} has changed",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Maps a model's files into memory, after every byte was compared with the id.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(&self, id: ModelId) -> Result<Mapped, ModelError> {
        self.check(id)?;
        Self::map(&self.folder_of(id), &self.info(id)?)
    }

    /// Maps a model's files into memory without reading them all.
    pub(super) fn map_unchecked(&self, id: ModelId) -> Result<Mapped, ModelError> {
        Self::map(&self.folder_of(id), &self.info(id)?)
    }

    fn map(folder: &Path, info: &ModelInfo) -> Result<Mapped, ModelError> {
        let mut files = Vec::new();
        for (role, ..) in &info.files {
            let path = folder.join(role.file_name());
            let file = File::open(&path).map_err(at(&path))?;
            files.push((*role, Bytes::Map(map(&file).map_err(at(&path))?)));
        }
        Ok(Mapped { files })
    }
}

#[expect(
    unsafe_code,
    reason = "mapping a file has no safe form; the engine copies the weights out and drops the map"
)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the store's files are written once, under another name, and never changed in place; whoever can change them
    // can change the program too.
    unsafe { Mmap::map(file) }
}

/// The bytes of a model's files.
#[derive(Debug)]
pub struct Mapped {
    files: Vec<(ModelRole, Bytes)>,
}

/// Bytes from a file or from a test.
#[derive(Debug)]
enum Bytes {
    Map(Mmap),
    #[cfg(any(test, feature = "testing"))]
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            #[cfg(any(test, feature = "testing"))]
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Mapped {
    /// Files that are no files.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of_bytes(files: impl IntoIterator<Item = (ModelRole, Vec<u8>)>) -> Self {
        let files = files
            .into_iter()
            .map(|(role, bytes)| (role, Bytes::Owned(bytes)))
            .collect();
        Self { files }
    }

    /// The file for something.
    ///
    /// # Errors
    /// [`ModelError::Damaged`] if the model has none.
    pub fn file(&self, role: ModelRole) -> Result<&[u8], ModelError> {
        self.files
            .iter()
            .find(|(other, _)| *other == role)
            .map(|(_, bytes)| bytes.as_slice())
            .ok_or_else(|| ModelError::Damaged(format!("it has no {}", role.file_name())))
    }
}
