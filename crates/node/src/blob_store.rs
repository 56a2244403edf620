//! Blobs by their digest: specs and outputs that are too large for a block. Bounded; the oldest go first.

use fairweir_types::{Digest, limits::BLOB_BYTES_MAX};
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;

/// Why a blob is not stored or read.
#[derive(Debug, Error)]
pub enum BlobStoreError {
    /// Longer than a blob may be.
    #[error("a blob of {found} bytes exceeds the limit of {max}")]
    TooLong {
        /// The limit.
        max: usize,
        /// Its bytes.
        found: usize,
    },
    /// The disk refused.
    #[error("the blob store's disk refused")]
    Disk(#[from] io::Error),
}

#[derive(Debug, Default)]
struct Index {
    sizes: BTreeMap<Digest, usize>,
    /// Oldest first.
    order: VecDeque<Digest>,
    bytes: usize,
    /// Contents, when there is no folder.
    memory: BTreeMap<Digest, Vec<u8>>,
}

/// A bounded store of blobs, in a folder or in memory.
#[derive(Debug)]
pub struct BlobStore {
    folder: Option<PathBuf>,
    bytes_max: usize,
    index: Mutex<Index>,
}

impl BlobStore {
    /// Bytes of all blobs that a node keeps by default.
    pub const BYTES_MAX: usize = 256 * 1_024 * 1_024;

    /// A store in memory, for simulation.
    #[must_use]
    pub fn in_memory(bytes_max: usize) -> Self {
        Self {
            folder: None,
            bytes_max,
            index: Mutex::default(),
        }
    }

    /// A store in a folder; what is there is taken over, what is damaged is removed.
    ///
    /// # Errors
    /// [`BlobStoreError::Disk`].
    pub fn at(folder: &Path, bytes_max: usize) -> Result<Self, BlobStoreError> {
        fs::create_dir_all(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            let metadata = entry.metadata()?;
            match (digest, usize::try_from(metadata.len())) {
                (Some(digest), Ok(size)) if size <= BLOB_BYTES_MAX => {
                    found.push((metadata.modified()?, digest, size))
                }
                // A file that a crash cut short, or that is not ours.
                _ => fs::remove_file(entry.path())?,
            }
        }
        found.sort();
        let store = Self {
            folder: Some(folder.to_owned()),
            bytes_max,
            index: Mutex::default(),
        };
        for (_, digest, size) in found {
            store.lock().add(digest, size);
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a blob; the oldest make room.
    ///
    /// # Errors
    /// [`BlobStoreError`].
    pub fn put(&self, bytes: Vec<u8>) -> Result<Digest, BlobStoreError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(BlobStoreError::TooLong {
                max: BLOB_BYTES_MAX,
                found: bytes.len(),
            });
        }
        let digest = Digest::of_blob(&bytes);
        let mut index = self.lock();
        if index.sizes.contains_key(&digest) {
            return Ok(digest);
        }
        while index.bytes + bytes.len() > self.bytes_max {
            let Some(oldest) = index.remove_oldest() else {
                break;
            };
            if let Some(folder) = &self.folder {
                fs::remove_file(folder.join(oldest.to_string()))?;
            }
        }
        index.add(digest, bytes.len());
        match &self.folder {
            Some(folder) => write_whole(&folder.join(digest.to_string()), &bytes)?,
            None => {
                index.memory.insert(digest, bytes);
            }
        }
        Ok(digest)
    }

    /// Gets a blob, if it is here and undamaged.
    ///
    /// # Errors
    /// [`BlobStoreError::Disk`].
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobStoreError> {
        let index = self.lock();
        if !index.sizes.contains_key(digest) {
            return Ok(None);
        }
        let Some(folder) = &self.folder else {
            return Ok(index.memory.get(digest).cloned());
        };
        let bytes = fs::read(folder.join(digest.to_string()))?;
        Ok(Some(bytes).filter(|bytes| Digest::of_blob(bytes) == *digest))
    }
}

impl Index {
    fn add(&mut self, digest: Digest, size: usize) {
        self.sizes.insert(digest, size);
        self.order.push_back(digest);
        self.bytes += size;
    }

    fn remove_oldest(&mut self) -> Option<Digest> {
        let oldest = self.order.pop_front()?;
        self.bytes -= self.sizes.remove(&oldest).unwrap_or(0);
        self.memory.remove(&oldest);
        Some(oldest)
    }
}

/// Writes a file so that a crash leaves either the whole of it or nothing under its name.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    fn check(store: &BlobStore) {
        let digests: Vec<_> = (0..4u8)
            .map(|number| store.put(vec![number; 40]).unwrap())
            .collect();
        assert_eq!(
            store.get(&digests[0]).unwrap(),
            None,
            "the oldest made room"
        );
        assert_eq!(store.get(&digests[3]).unwrap(), Some(vec![3; 40]));
        assert_eq!(store.put(vec![3; 40]).unwrap(), digests[3]);
        assert!(matches!(
            store.put(vec![0; BLOB_BYTES_MAX + 1]),
            Err(BlobStoreError::TooLong { .. })
        ));
    }

    #[test]
    fn the_oldest_blob_makes_room() {
        check(&BlobStore::in_memory(130));
        let folder = tempfile::tempdir().unwrap();
        check(&BlobStore::at(folder.path(), 130).unwrap());
    }

    #[test]
    fn a_folder_is_taken_over_and_a_damaged_blob_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::at(folder.path(), 1_000).unwrap();
        let (kept, damaged) = (
            store.put(vec![1; 10]).unwrap(),
            store.put(vec![2; 10]).unwrap(),
        );
        fs::write(folder.path().join(damaged.to_string()), b"other").unwrap();
        fs::write(folder.path().join("x.partial"), b"half").unwrap();
        let store = BlobStore::at(folder.path(), 1_000).unwrap();
        assert_eq!(store.get(&kept).unwrap(), Some(vec![1; 10]));
        assert_eq!(store.get(&damaged).unwrap(), None);
        assert!(!folder.path().join("x.partial").exists());
    }
}
