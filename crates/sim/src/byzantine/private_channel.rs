use fairweir_types::Digest;
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    str::FromStr as _,
    sync::{Mutex, PoisonError},
};

/// A channel on which a worker tells verifiers what it will open, out of everybody else's sight: the trace by the digest of the spec.
#[derive(Debug)]
pub enum PrivateChannel {
    /// Within one process.
    Memory(Mutex<BTreeMap<Digest, Digest>>),
    /// Between the processes of a machine: a file in this folder for each spec.
    Folder(PathBuf),
}

impl Default for PrivateChannel {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl PrivateChannel {
    /// Tells the trace of a spec.
    ///
    /// # Errors
    /// If its file cannot be written.
    pub fn tell(&self, spec: Digest, trace: Digest) -> io::Result<()> {
        match self {
            Self::Memory(told) => {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.insert(spec, trace);
                Ok(())
            }
            Self::Folder(folder) => {
                // Never read half written.
                let written = folder.join(format!("{spec}.part"));
                std::fs::write(&written, trace.to_string())?;
                std::fs::rename(written, folder.join(spec.to_string()))
            }
        }
    }

    /// The trace that was told of a spec.
    #[must_use]
    pub fn told(&self, spec: &Digest) -> Option<Digest> {
        match self {
            Self::Memory(told) => {
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.get(spec).copied()
            }
            Self::Folder(folder) => {
                let text = std::fs::read_to_string(folder.join(spec.to_string())).ok()?;
                Digest::from_str(&text).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_heard_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        for channel in [
            PrivateChannel::default(),
            PrivateChannel::Folder(folder.path().into()),
        ] {
            let (spec, trace) = (Digest::of_blob(b"spec"), Digest::of_blob(b"trace"));
            assert_eq!(channel.told(&spec), None);
            channel
                .tell(spec, Digest::of_blob(b"other"))
                .expect("the folder is there");
            channel.tell(spec, trace).expect("the folder is there");
            assert_eq!(channel.told(&spec), Some(trace));
            assert_eq!(channel.told(&trace), None);
        }
    }
}
