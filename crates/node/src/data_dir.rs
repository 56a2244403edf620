//! A node's folder.

use crate::blob_store::write_whole;
use commonware_codec::Encode;
use fairweir_types::{Genesis, decode};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The format of the folder's layout; raised when an old program could not read a new folder.
pub const FORMAT: u32 = 8;

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "{path} is in use by another fairweir process: stop it, or choose another folder with --data"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Another program's format.
    #[error(
        "{path} has format {found}, this program reads {FORMAT}: use the program that made it, or another folder with --data"
    )]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// There is no network in it yet.
    #[error("{path} holds no network yet: run `fairweir up`, or `fairweir node init`")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The genesis file is damaged.
    #[error("the genesis in {path} is damaged: restore it from a copy")]
    Genesis {
        /// The file.
        path: PathBuf,
        #[source]
        /// What the codec says.
        source: commonware_codec::Error,
    },
    /// The disk refused.
    #[error("{path}: the disk refused (is there space, and may this user write here?)")]
    Disk {
        /// The file.
        path: PathBuf,
        #[source]
        /// What the system says.
        source: io::Error,
    },
}

/// A node's folder: keys, genesis, chain, blobs, ticket.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// The right to run a node in a folder; given back when dropped, also by a crash.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Opens or makes a folder and checks its format. Does not lock it.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let disk = |source| DataDirError::Disk {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(disk)?;
        let format = path.join("format");
        match fs::read_to_string(&format) {
            Ok(found) if found.trim() == FORMAT.to_string() => {}
            Ok(found) => {
                return Err(DataDirError::OtherFormat {
                    path: path.to_owned(),
                    found: found.trim().to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_whole(&format, FORMAT.to_string().as_bytes()).map_err(disk)?;
            }
            Err(error) => return Err(disk(error)),
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the right to run a node here.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] or [`DataDirError::Disk`].
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.join("lock");
        let file = File::create(&path).map_err(|source| DataDirError::Disk {
            path: path.clone(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
                path: self.path.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(DataDirError::Disk { path, source }),
        }
    }

    /// Writes a file whole.
    ///
    /// # Errors
    /// [`DataDirError::Disk`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        let path = self.join(name);
        write_whole(&path, bytes).map_err(|source| DataDirError::Disk { path, source })
    }

    /// Reads a file, if it is there.
    ///
    /// # Errors
    /// [`DataDirError::Disk`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        let path = self.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Disk { path, source }),
        }
    }

    /// The genesis of the network in this folder.
    ///
    /// # Errors
    /// [`DataDirError::Empty`], [`DataDirError::Genesis`] or [`DataDirError::Disk`].
    pub fn genesis(&self) -> Result<Genesis, DataDirError> {
        let bytes = self
            .read(GENESIS_FILE)?
            .ok_or_else(|| DataDirError::Empty {
                path: self.path.clone(),
            })?;
        decode(&bytes).map_err(|source| DataDirError::Genesis {
            path: self.join(GENESIS_FILE),
            source,
        })
    }

    /// Keeps the genesis of the network in this folder.
    ///
    /// # Errors
    /// [`DataDirError::Disk`].
    pub fn write_genesis(&self, genesis: &Genesis) -> Result<(), DataDirError> {
        self.write(GENESIS_FILE, &genesis.encode())
    }
}

const GENESIS_FILE: &str = "genesis.bin";

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    #[test]
    fn a_folder_is_used_by_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let lock = data.lock().unwrap();
        assert!(matches!(data.lock(), Err(DataDirError::InUse { .. })));
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn a_folder_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "99").unwrap();
        assert!(matches!(
            DataDir::open(folder.path()),
            Err(DataDirError::OtherFormat { .. })
        ));
        assert!(matches!(
            DataDir::open(tempfile::tempdir().unwrap().path())
                .unwrap()
                .genesis(),
            Err(DataDirError::Empty { .. })
        ));
    }
}
