//! What a worker or a gateway keeps of its work in a folder: outputs, until the desk has no room for them any more; sessions and receipts.

use crate::blob_store::write_whole;
use fairweir_services::pipeline::Shelf;
use fairweir_types::order::SlotId;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

/// What waits to be written or removed; who comes with more waits for the disk.
const WAITING_MAX: usize = 64;

/// Outputs in a folder, one file each. What the disk refuses is lost with the process, and logged.
#[derive(Debug)]
pub struct OutputStore {
    folder: Folder,
    /// Does what need not be waited for, from the first such output on; none where no thread was to be had.
    writer: OnceLock<Option<Writer>>,
}

#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    /// Whether what is kept outlives the machine, too.
    is_synced: bool,
}

/// Writes and removes outputs on a thread of its own, in their order.
#[derive(Debug)]
struct Writer {
    /// There until the drop.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Job {
    Keep(SlotId, Vec<u8>),
    Forget(SlotId),
    /// Everything before this is done.
    Tell(SyncSender<()>),
}

impl Writer {
    fn start(folder: Folder) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("fairweir-shelf".to_owned());
        let thread = thread.spawn(move || folder.work_off(&waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Whether it will be done: the thread ends with this alone, or by a panic.
    fn take(&self, job: Job) -> bool {
        let jobs = self.jobs.as_ref();
        jobs.is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Waits until everything is done.
    fn wait(&self) {
        let (told, all) = sync_channel(1);
        if !self.take(Job::Tell(told)) || all.recv().is_err() {
            tracing::error!("some outputs may not be on disk: a crash would lose them");
        }
    }
}

impl Drop for Writer {
    /// What waits is written before the process ends.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl OutputStore {
    /// A store in a folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(folder: &Path) -> io::Result<Self> {
        Self::of(folder, true)
    }

    fn of(path: &Path, is_synced: bool) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let folder = Folder {
            path: path.to_owned(),
            is_synced,
        };
        Ok(Self {
            folder,
            writer: OnceLock::new(),
        })
    }

    /// A store that nobody but its owner reads, and that does not wait for the disk: what it keeps outlives the process, of the newest seconds not the machine.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn private_at(folder: &Path) -> io::Result<Self> {
        let store = Self::of(folder, false)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(store)
    }

    fn running_writer(&self) -> Option<&Writer> {
        self.writer.get().and_then(Option::as_ref)
    }

    /// The folder, once nothing waits to be written to it.
    fn up_to_date(&self) -> &Folder {
        if let Some(writer) = self.running_writer() {
            writer.wait();
        }
        &self.folder
    }
}

impl Folder {
    fn file(&self, slot_id: SlotId) -> PathBuf {
        let SlotId { order, slot } = slot_id;
        self.path.join(format!("{order}-{slot}"))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
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

    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        let path = self.file(slot_id);
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
        match fs::remove_file(self.file(slot_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%slot_id, %error, "an old output stays on disk");
            }
            _ => {}
        }
    }

    fn work_off(&self, waiting: &Receiver<Job>) {
        for job in waiting {
            match job {
                Job::Keep(slot_id, output) => self.keep(slot_id, &output),
                Job::Forget(slot_id) => self.forget(slot_id),
                Job::Tell(told) => {
                    // Whoever waited may be gone.
                    let _ = told.send(());
                }
            }
        }
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
        self.up_to_date().keep(slot_id, output);
    }

    fn keep_soon(&self, slot_id: SlotId, output: &[u8]) {
        let start = || Writer::start(self.folder.clone()).ok();
        let is_taken = self
            .writer
            .get_or_init(start)
            .as_ref()
            .is_some_and(|writer| writer.take(Job::Keep(slot_id, output.to_vec())));
        if !is_taken {
            self.folder.keep(slot_id, output);
        }
    }

    fn forget(&self, slot_id: SlotId) {
        let is_taken = self
            .running_writer()
            .is_some_and(|writer| writer.take(Job::Forget(slot_id)));
        if !is_taken {
            self.folder.forget(slot_id);
        }
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let files = self.up_to_date().files().unwrap_or_else(|error| {
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
    fn what_need_not_be_waited_for_is_written_in_its_order_and_before_the_store_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = OutputStore::at(folder.path()).unwrap();
        let outputs = |from: u16| (from..from + 100).map(|number| number.to_le_bytes().to_vec());
        for output in outputs(0) {
            store.keep_soon(slot(0), &output);
        }
        store.keep(slot(0), b"waited for");
        assert_eq!(store.all(), [b"waited for".to_vec()]);
        store.keep_soon(slot(0), b"forgotten");
        store.forget(slot(0));
        assert!(store.all().is_empty());
        for (number, output) in (0..).zip(outputs(100)) {
            store.keep_soon(slot(number), &output);
        }
        drop(store);
        let mut found = OutputStore::at(folder.path()).unwrap().all();
        found.sort();
        let mut expected: Vec<Vec<u8>> = outputs(100).collect();
        expected.sort();
        assert_eq!(found, expected);
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
