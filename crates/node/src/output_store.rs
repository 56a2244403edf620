//! What a worker or a gateway keeps of its work in a folder: outputs, until the desk has no room for them any more; sessions and receipts.

use crate::blob_store::write_whole;
use fairweir_services::pipeline::Shelf;
use fairweir_types::order::SlotId;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Outputs in a folder, one file each. What the disk refuses is lost with the process, and logged.
#[derive(Debug)]
pub struct OutputStore {
    folder: PathBuf,
    /// Whether what is kept outlives the machine, too.
    is_synced: bool,
}

impl OutputStore {
    /// A store in a folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            is_synced: true,
        })
    }

    /// A store that nobody but its owner reads, and that does not wait for the disk: what it keeps outlives the process, of the newest seconds not the machine.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn private_at(folder: &Path) -> io::Result<Self> {
        let store = Self::at(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self {
            is_synced: false,
            ..store
        })
    }

    fn path(&self, slot_id: SlotId) -> PathBuf {
        let SlotId { order, slot } = slot_id;
        self.folder.join(format!("{order}-{slot}"))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some() {
                // A crash cut it short.
                fs::remove_file(entry.path())?;
            } else {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
}

/// Writes a file whole or not at all, as long as the machine runs.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path)
}

impl Shelf for OutputStore {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        let path = self.path(slot_id);
        let kept = if self.is_synced {
            write_whole(&path, output)
        } else {
            write_beside(&path, output)
        };
        if let Err(error) = kept {
            tracing::warn!(%slot_id, %error, "the output is not on disk: a crash would lose it");
        }
    }

    fn forget(&self, slot_id: SlotId) {
        match fs::remove_file(self.path(slot_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%slot_id, %error, "an old output stays on disk");
            }
            _ => {}
        }
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let files = self.files().unwrap_or_else(|error| {
            tracing::warn!(%error, "kept outputs cannot be listed");
            Vec::new()
        });
        files
            .iter()
            .filter_map(|path| fs::read(path).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_types::{Digest, order::OrderId};

    fn slot(slot: u16) -> SlotId {
        SlotId {
            order: OrderId(Digest::of_blob(b"order")),
            slot,
        }
    }

    #[test]
    fn outputs_are_there_after_a_restart_until_they_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = OutputStore::at(folder.path()).unwrap();
        store.keep(slot(0), b"first");
        store.keep(slot(1), b"other");
        store.keep(slot(1), b"second");
        fs::write(folder.path().join("x.partial"), b"half").unwrap();
        let again = OutputStore::at(folder.path()).unwrap();
        let mut found = again.all();
        found.sort();
        assert_eq!(found, [b"first".to_vec(), b"second".to_vec()]);
        again.forget(slot(0));
        again.forget(slot(0));
        assert_eq!(again.all(), [b"second".to_vec()]);
        assert!(!folder.path().join("x.partial").exists());
    }

    #[test]
    fn a_private_store_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts");
        let store = OutputStore::private_at(&path).unwrap();
        store.keep(slot(0), b"first");
        store.keep(slot(0), b"second");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let again = OutputStore::private_at(&path).unwrap();
        assert_eq!(again.all(), [b"second".to_vec()]);
    }
}
