//! A model whose files come from other machines, a slice after the other. What has come survives a kill.

use super::{FILE_BYTES_MAX, ModelStore, at, measure};
use crate::inference::{ModelError, ModelId, ModelInfo, ModelRole};
use fairweir_net::{Blob, BlobRoot, SLICE_BYTES};
use fairweir_types::Digest;
use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

/// Held while a process brings the model.
const LOCK: &str = "lock";
/// How the names of unfinished files end; before it is the root that their bytes were checked with.
const PART: &str = "part";

/// A model on its way into the store. One process at a time brings a model.
#[derive(Debug)]
pub struct Arrival {
    store: ModelStore,
    id: ModelId,
    info: ModelInfo,
    folder: PathBuf,
    /// Locked as long as this is open.
    _lock: File,
}

/// A file of which the first slices have come.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    file: File,
    slices: u64,
}

impl Part {
    /// How many slices are here.
    #[must_use]
    pub const fn slices(&self) -> u64 {
        self.slices
    }

    /// Keeps the next slice, which the caller has checked.
    ///
    /// # Errors
    /// [`ModelError::Disk`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        self.file.write_all(bytes).map_err(at(&self.path))?;
        self.slices += 1;
        Ok(())
    }
}

impl ModelStore {
    /// Begins to bring a model, or goes on where another process stopped.
    ///
    /// # Errors
    /// [`ModelError::Arriving`] while another process does; [`ModelError::Damaged`] when the description is not of this id;
    /// [`ModelError::Disk`].
    pub fn arrive(&self, id: ModelId, info: ModelInfo) -> Result<Arrival, ModelError> {
        if info.id()? != id {
            return Err(ModelError::Damaged(
                "the description is of another model".to_owned(),
            ));
        }
        let mut roles: Vec<_> = info.files.iter().map(|(role, ..)| *role).collect();
        roles.sort();
        if roles.windows(2).any(|pair| pair[0] == pair[1])
            || info
                .files
                .iter()
                .any(|(_, bytes, _)| *bytes > FILE_BYTES_MAX)
        {
            return Err(ModelError::Damaged(
                "two files are for the same, or one is longer than 64 GiB".to_owned(),
            ));
        }
        let folder = self.arriving(id);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(at(&path))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => ModelError::Arriving(id.to_string()),
            fs::TryLockError::Error(error) => at(&path)(error),
        })?;
        Ok(Arrival {
            store: self.clone(),
            id,
            info,
            folder,
            _lock: lock,
        })
    }
}

impl Arrival {
    fn path(&self, role: ModelRole) -> PathBuf {
        self.folder.join(role.file_name())
    }

    fn part_path(&self, role: ModelRole, root: BlobRoot) -> PathBuf {
        self.folder
            .join(format!("{}.{root}.{PART}", role.file_name()))
    }

    /// Whether all bytes of a file are here and were compared with its SHA-256.
    #[must_use]
    pub fn is_whole(&self, role: ModelRole) -> bool {
        self.path(role).is_file()
    }

    /// Whether slices that were checked with a root are here.
    #[must_use]
    pub fn has_part(&self, role: ModelRole, root: BlobRoot) -> bool {
        self.part_path(role, root).is_file()
    }

    /// The unfinished file of a root. What came for another root goes: only one of them can be right, and the disk has room for one.
    ///
    /// # Errors
    /// [`ModelError::Disk`].
    pub fn part(&self, role: ModelRole, blob: &Blob) -> Result<Part, ModelError> {
        let path = self.part_path(role, blob.root());
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let other = entry.map_err(at(&self.folder))?.path();
            let name = other.file_name().map(|name| name.to_string_lossy());
            let is_part = name.is_some_and(|name| {
                name.starts_with(&format!("{}.", role.file_name())) && name.ends_with(PART)
            });
            if is_part && other != path {
                fs::remove_file(&other).map_err(at(&other))?;
            }
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        // A slice whose writing was interrupted is fetched again.
        let here = file.metadata().map_err(at(&path))?.len();
        let slices = if here == blob.bytes() {
            blob.slices()
        } else {
            (here / SLICE_BYTES).min(blob.slices().saturating_sub(1))
        };
        let bytes = slices.saturating_mul(SLICE_BYTES).min(blob.bytes());
        file.set_len(bytes).map_err(at(&path))?;
        file.seek(SeekFrom::Start(bytes)).map_err(at(&path))?;
        Ok(Part { path, file, slices })
    }

    /// Compares a file all of whose slices are here with its SHA-256, and keeps it if it is right. Else all of it goes.
    ///
    /// # Errors
    /// [`ModelError::Damaged`] when it is not right; [`ModelError::Disk`].
    pub fn keep(&self, role: ModelRole, part: Part) -> Result<(), ModelError> {
        let Part { path, file, .. } = part;
        file.sync_all().map_err(at(&path))?;
        drop(file);
        let (bytes, sha256) = measure(&path)?;
        let found = (role, bytes, Digest(sha256).to_string());
        if !self.info.files.contains(&found) {
            fs::remove_file(&path).map_err(at(&path))?;
            return Err(ModelError::Damaged(format!(
                "{} has the SHA-256 {}",
                role.file_name(),
                found.2
            )));
        }
        let whole = self.path(role);
        fs::rename(&path, &whole).map_err(at(&whole))
    }

    /// Takes the model into the store, when all its files are here and can be used. If the file says its licence, that is recorded.
    ///
    /// # Errors
    /// [`ModelError`]; if the files cannot be used, all of them go.
    pub fn finish(mut self) -> Result<(ModelId, ModelInfo), ModelError> {
        if let Some((role, ..)) = self.info.files.iter().find(|file| !self.is_whole(file.0)) {
            return Err(ModelError::Damaged(format!(
                "{} has not come",
                role.file_name()
            )));
        }
        if let Some(stated) = super::licence_of(&self.path(ModelRole::Gguf)) {
            self.info.licence = stated;
        }
        if let Err(error) = ModelStore::describe(&self.folder, &self.info) {
            if !matches!(error, ModelError::Disk { .. }) {
                let _ = fs::remove_dir_all(&self.folder);
            }
            return Err(error);
        }
        let lock = self.folder.join(LOCK);
        fs::remove_file(&lock).map_err(at(&lock))?;
        let folder = self.store.folder_of(self.id);
        if folder.exists() {
            // Added by hand meanwhile: the same bytes.
            fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        } else {
            fs::rename(&self.folder, &folder).map_err(at(&folder))?;
        }
        Ok((self.id, self.info))
    }
}
