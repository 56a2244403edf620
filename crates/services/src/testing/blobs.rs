use crate::world::{BlobError, Blobs};
use fairweir_types::Digest;
use futures::{FutureExt, future::BoxFuture};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

#[derive(Debug, Default)]
struct Store {
    blobs: BTreeMap<Digest, Vec<u8>>,
    failures: Vec<BlobError>,
}

/// A blob store in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(Arc<Mutex<Store>>);

impl MemoryBlobs {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0
            .lock()
            .expect("nobody panics while it holds the lock")
    }

    /// Keeps bytes at once.
    #[must_use]
    pub fn keep(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of_blob(&bytes);
        self.store().blobs.insert(digest, bytes);
        digest
    }

    /// Forgets a blob.
    pub fn forget(&self, digest: &Digest) {
        self.store().blobs.remove(digest);
    }

    /// Lies: keeps bytes under a digest that is not theirs.
    pub fn corrupt(&self, digest: Digest, bytes: Vec<u8>) {
        self.store().blobs.insert(digest, bytes);
    }

    /// Lets the next `get` fail; told several times, the failures come in turn.
    pub fn fail_next(&self, error: BlobError) {
        self.store().failures.push(error);
    }

    /// How many blobs it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store().blobs.len()
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn look_up(&self, expected: Digest, limit_bytes: usize) -> Result<Vec<u8>, BlobError> {
        let mut store = self.store();
        if !store.failures.is_empty() {
            return Err(store.failures.remove(0));
        }
        let bytes = store
            .blobs
            .get(&expected)
            .ok_or(BlobError::NotFound(expected))?;
        if bytes.len() > limit_bytes {
            return Err(BlobError::TooLarge { limit_bytes });
        }
        let found = Digest::of_blob(bytes);
        if found != expected {
            return Err(BlobError::DigestDiffers { expected, found });
        }
        Ok(bytes.clone())
    }
}

impl Blobs for MemoryBlobs {
    fn get(&self, digest: Digest, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>> {
        let answer = self.look_up(digest, limit_bytes);
        async move { answer }.boxed()
    }

    fn put(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>> {
        let digest = self.keep(bytes);
        async move { Ok(digest) }.boxed()
    }
}
