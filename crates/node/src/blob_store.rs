//! Blobs by their digest: specs and outputs that are too large for a block. Bounded; the oldest go first.
//!
//! Anybody may leave a blob, and pays nothing for it. So those that a transaction names, for which somebody paid, have three quarters of the room, and all
//! others together the rest: who only uploads puts out none of the first.

use fairweir_chain::BlobShelf;
use fairweir_types::{Digest, limits::BLOB_BYTES_MAX};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
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

/// Digests that transactions named, of which some may not be here, or not yet.
const NAMES_MAX: usize = 65_536;

/// Bytes that a blob takes at least, with its entry here and on the disk: so there are not too many.
const ROOM_MIN: usize = 4_096;

/// Blobs of one class.
#[derive(Debug, Default)]
struct Class {
    /// The bytes of each, and its place in the order.
    blobs: BTreeMap<Digest, (usize, u64)>,
    /// From the oldest to the newest.
    order: BTreeMap<u64, Digest>,
    next: u64,
    /// The room that they take.
    room: usize,
}

impl Class {
    /// Adds a blob as the newest.
    fn add(&mut self, digest: Digest, size: usize) {
        self.take(&digest);
        self.blobs.insert(digest, (size, self.next));
        self.order.insert(self.next, digest);
        self.next += 1;
        self.room += room_of(size);
    }

    fn take(&mut self, digest: &Digest) -> Option<usize> {
        let (size, place) = self.blobs.remove(digest)?;
        self.order.remove(&place);
        self.room -= room_of(size);
        Some(size)
    }

    fn size(&self, digest: &Digest) -> Option<usize> {
        self.blobs.get(digest).map(|(size, _)| *size)
    }
}

fn room_of(size: usize) -> usize {
    size.max(ROOM_MIN)
}

#[derive(Debug, Default)]
struct Index {
    /// Those that a transaction named.
    named: Class,
    /// The others.
    left: Class,
    /// What transactions named, oldest first.
    names: VecDeque<Digest>,
    known_names: BTreeSet<Digest>,
    /// Whether these are those of the newest blocks, all of them.
    knows_names: bool,
    /// Contents, when there is no folder.
    memory: BTreeMap<Digest, Vec<u8>>,
}

impl Index {
    fn size(&self, digest: &Digest) -> Option<usize> {
        let found = self.named.size(digest);
        found.or_else(|| self.left.size(digest))
    }

    fn is_named(&self, digest: &Digest) -> bool {
        self.known_names.contains(digest)
    }

    fn add(&mut self, digest: Digest, size: usize) {
        if self.is_named(&digest) {
            self.named.add(digest, size);
        } else {
            self.left.add(digest, size);
        }
    }

    fn forget(&mut self, digest: &Digest) {
        self.memory.remove(digest);
        self.named.take(digest);
        self.left.take(digest);
    }

    /// The oldest blob of a class that has not so much room more.
    fn too_much(&self, is_named: bool, more: usize, bytes_max: usize) -> Option<Digest> {
        let quarter = bytes_max.div_euclid(4);
        let (class, room) = if is_named {
            (&self.named, bytes_max - quarter)
        } else {
            (&self.left, quarter)
        };
        let is_over = class.room + more > room;
        class.order.values().next().filter(|_| is_over).copied()
    }
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
    pub const BYTES_MAX: usize = 1_024 * 1_024 * 1_024;

    /// A store in memory, for simulation.
    #[must_use]
    pub fn in_memory(bytes_max: usize) -> Self {
        Self {
            folder: None,
            bytes_max,
            index: Mutex::default(),
        }
    }

    /// A store in a folder; what is there is taken over, as if transactions had named it, and what is damaged is removed.
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
        {
            let mut index = store.lock();
            for (_, digest, size) in found {
                index.named.add(digest, size);
            }
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a blob; the oldest of its class make room. One that is here already is renewed: it is the newest then.
    ///
    /// # Errors
    /// [`BlobStoreError`]; then the blob is not here, or as it was.
    pub fn put(&self, bytes: Vec<u8>) -> Result<Digest, BlobStoreError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(BlobStoreError::TooLong {
                max: BLOB_BYTES_MAX,
                found: bytes.len(),
            });
        }
        let digest = Digest::of_blob(&bytes);
        let size = bytes.len();
        let is_intact = self.is_on_disk(&digest, &bytes);
        let mut index = self.lock();
        if !is_intact {
            index.forget(&digest);
        }
        let Index { named, left, .. } = &mut *index;
        for class in [named, left] {
            if class.size(&digest).is_some() {
                class.add(digest, size);
                return Ok(digest);
            }
        }
        let Some(folder) = &self.folder else {
            self.add(&mut index, digest, size)?;
            index.memory.insert(digest, bytes);
            return Ok(digest);
        };
        // Nobody waits for the disk but who puts. What is not written is not here.
        drop(index);
        write_whole(&folder.join(digest.to_string()), &bytes)?;
        self.add(&mut self.lock(), digest, size)?;
        Ok(digest)
    }

    /// Whether a blob that should be on the disk is there as it was; true where there is no disk.
    fn is_on_disk(&self, digest: &Digest, bytes: &[u8]) -> bool {
        let Some(folder) = &self.folder else {
            return true;
        };
        self.size(digest).is_none()
            || fs::read(folder.join(digest.to_string())).is_ok_and(|found| found == bytes)
    }

    /// Adds a blob, after room was made for it.
    fn add(&self, index: &mut Index, digest: Digest, size: usize) -> io::Result<()> {
        let is_named = index.is_named(&digest);
        self.make_room(index, is_named, room_of(size))?;
        index.add(digest, size);
        Ok(())
    }

    /// Says that a transaction named a blob: it counts among those that somebody paid for, when it is here or comes.
    ///
    /// # Errors
    /// [`BlobStoreError::Disk`].
    pub fn name(&self, digest: Digest) -> Result<(), BlobStoreError> {
        let mut index = self.lock();
        if index.known_names.insert(digest) {
            index.names.push_back(digest);
        }
        if index.names.len() > NAMES_MAX
            && let Some(oldest) = index.names.pop_front()
        {
            index.known_names.remove(&oldest);
        }
        if let Some(size) = index.left.take(&digest) {
            index.named.add(digest, size);
            self.make_room(&mut index, true, 0)?;
        }
        Ok(())
    }

    fn make_room(&self, index: &mut Index, is_named: bool, more: usize) -> io::Result<()> {
        while let Some(oldest) = index.too_much(is_named, more, self.bytes_max) {
            index.forget(&oldest);
            if let Some(folder) = &self.folder {
                match fs::remove_file(folder.join(oldest.to_string())) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether a transaction named a blob, be it here or not; any may be, until it is known what the newest blocks name.
    #[must_use]
    pub fn may_be_named(&self, digest: &Digest) -> bool {
        let index = self.lock();
        !index.knows_names || index.is_named(digest)
    }

    /// Says that what the newest blocks name was told.
    pub fn know_names(&self) {
        self.lock().knows_names = true;
    }

    /// Gets a blob, if it is here and undamaged. One that is damaged or gone from the disk is not here any more, and can be put again.
    ///
    /// # Errors
    /// [`BlobStoreError::Disk`].
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobStoreError> {
        let Some(folder) = &self.folder else {
            return Ok(self.lock().memory.get(digest).cloned());
        };
        if self.lock().size(digest).is_none() {
            return Ok(None);
        }
        match fs::read(folder.join(digest.to_string())) {
            Ok(bytes) if Digest::of_blob(&bytes) == *digest => Ok(Some(bytes)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            // It may have made room meanwhile.
            damaged => {
                self.lock().forget(digest);
                if damaged.is_ok() {
                    tracing::warn!(%digest, "a blob was damaged on the disk");
                    fs::remove_file(folder.join(digest.to_string()))?;
                }
                Ok(None)
            }
        }
    }

    fn read_part(&self, digest: &Digest, from: usize, bytes: usize) -> io::Result<Vec<u8>> {
        let mut part = Vec::new();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let from = u64::try_from(from).unwrap_or(u64::MAX);
        match &self.folder {
            Some(folder) => {
                let mut file = fs::File::open(folder.join(digest.to_string()))?;
                file.seek(SeekFrom::Start(from))?;
                file.take(bytes).read_to_end(&mut part)?;
            }
            None => {
                let index = self.lock();
                let whole = index.memory.get(digest).map_or(&[][..], Vec::as_slice);
                let mut whole = io::Cursor::new(whole);
                whole.set_position(from);
                whole.take(bytes).read_to_end(&mut part)?;
            }
        }
        Ok(part)
    }
}

impl BlobShelf for BlobStore {
    fn size(&self, digest: &Digest) -> Option<usize> {
        self.lock().size(digest)
    }

    fn part(&self, digest: &Digest, from: usize, bytes: usize) -> Option<Vec<u8>> {
        self.size(digest)?;
        match self.read_part(digest, from, bytes) {
            Ok(part) => Some(part),
            Err(error) => {
                tracing::warn!(%digest, %error, "a blob that another node asks for cannot be read");
                if error.kind() == io::ErrorKind::NotFound {
                    self.lock().forget(digest);
                }
                None
            }
        }
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

    fn digest(number: u8) -> Digest {
        Digest::of_blob(&[number; 40])
    }

    /// Room for three small blobs that are named, and one that is not.
    const BYTES_MAX: usize = 4 * ROOM_MIN;

    fn check(store: &BlobStore) {
        let put = |number: u8| store.put(vec![number; 40]).unwrap();
        let here = || (0..9).filter(|number| store.get(&digest(*number)).unwrap().is_some());
        assert_eq!(put(0), digest(0));
        put(1);
        assert_eq!(here().collect::<Vec<_>>(), [1], "the oldest made room");
        for number in [2, 3, 4] {
            // Before or after it comes.
            if number == 3 {
                store.name(digest(number)).unwrap();
            }
            put(number);
            store.name(digest(number)).unwrap();
        }
        assert_eq!(here().collect::<Vec<_>>(), [2, 3, 4]);
        // Whoever only uploads puts out none of them.
        for number in [5, 6, 7] {
            put(number);
        }
        assert_eq!(here().collect::<Vec<_>>(), [2, 3, 4, 7]);
        // What is put again is the newest.
        put(2);
        store.name(digest(7)).unwrap();
        assert_eq!(here().collect::<Vec<_>>(), [2, 4, 7]);
        assert!(matches!(
            store.put(vec![0; BLOB_BYTES_MAX + 1]),
            Err(BlobStoreError::TooLong { .. })
        ));
        assert_eq!(store.part(&digest(4), 0, 9), Some(vec![4; 9]));
        assert_eq!(store.part(&digest(4), 38, 9), Some(vec![4; 2]));
        assert_eq!(store.part(&digest(4), 40, 9), Some(Vec::new()));
        assert_eq!(store.part(&digest(3), 0, 9), None);
        assert_eq!(store.size(&digest(4)), Some(40));
        assert_eq!(store.size(&digest(3)), None);
    }

    #[test]
    fn who_only_uploads_puts_out_nothing_that_was_paid_for() {
        check(&BlobStore::in_memory(BYTES_MAX));
        let folder = tempfile::tempdir().unwrap();
        check(&BlobStore::at(folder.path(), BYTES_MAX).unwrap());
    }

    #[test]
    fn what_could_not_be_written_is_not_here() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::at(folder.path(), 2 * BYTES_MAX).unwrap();
        // As on a disk that is full: there is no room for the file.
        let blocked = folder.path().join(digest(1).to_string());
        fs::create_dir(&blocked).unwrap();
        assert!(store.put(vec![1; 40]).is_err());
        assert_eq!(store.size(&digest(1)), None);
        fs::remove_dir(&blocked).unwrap();
        store.put(vec![1; 40]).unwrap();
        assert_eq!(store.get(&digest(1)).unwrap(), Some(vec![1; 40]));
    }

    #[test]
    fn a_folder_is_taken_over_and_a_damaged_blob_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::at(folder.path(), 2 * BYTES_MAX).unwrap();
        let (kept, damaged) = (
            store.put(vec![1; 10]).unwrap(),
            store.put(vec![2; 10]).unwrap(),
        );
        fs::write(folder.path().join(damaged.to_string()), b"other").unwrap();
        fs::write(folder.path().join("x.partial"), b"half").unwrap();
        let store = BlobStore::at(folder.path(), 2 * BYTES_MAX).unwrap();
        assert_eq!(store.get(&kept).unwrap(), Some(vec![1; 10]));
        assert_eq!(store.get(&damaged).unwrap(), None);
        // What is damaged or gone can be left again.
        store.put(vec![2; 10]).unwrap();
        assert_eq!(store.get(&damaged).unwrap(), Some(vec![2; 10]));
        fs::write(folder.path().join(damaged.to_string()), b"again").unwrap();
        store.put(vec![2; 10]).unwrap();
        assert_eq!(store.get(&damaged).unwrap(), Some(vec![2; 10]));
        fs::remove_file(folder.path().join(damaged.to_string())).unwrap();
        assert_eq!(store.get(&damaged).unwrap(), None);
        assert_eq!(store.size(&damaged), None);
        assert!(!folder.path().join("x.partial").exists());
    }
}
