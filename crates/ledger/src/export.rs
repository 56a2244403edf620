//! A state as bytes, and back: for chains that begin anew from what an older one held, for backups, and to compare states that were stored otherwise.
//!
//! The same entries make the same bytes. So do their digests: an authenticated store's root depends on the history of its writes, not on what it holds alone, hence what an
//! import restores is a state with the same [`digest`], not one with the root of the blocks' headers.
//!
//! ```text
//! magic (16 bytes) ‖ version (2) ‖ genesis (32) ‖ height (8) ‖ entries (8) ‖ entry … ‖ digest (32)
//! entry = length of the key (2) ‖ key ‖ length of the record (4) ‖ record, by ascending keys
//! ```
//!
//! Numbers are big-endian; the digest is of everything before it. Nothing is read that is not bounded, and nothing is left over. Records are not looked
//! into: whoever takes a state in checks its invariants too.

use crate::{
    fault::{Fault, present},
    genesis::ChainRecord,
    keys,
    state::{MemoryState, State, load},
};
use fairweir_types::{Digest, Height, digest::Domain};
use thiserror::Error;

const MAGIC: [u8; 16] = *b"fairweir-state\r\n";
const VERSION: u16 = 1;
/// Bytes of a key, at most.
pub const KEY_BYTES_MAX: usize = 128;
/// Bytes of a record, at most.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(
    KEY_BYTES_MAX >= crate::audit::KEY_BYTES_MAX,
    "every key of the ledger can be exported"
);

/// A state that was imported, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The digest of the genesis of its chain.
    pub genesis: Digest,
    /// The block after which it was exported.
    pub height: Height,
    /// The state.
    pub state: MemoryState,
}

/// Why bytes are no export, or a state cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// They do not begin as an export does.
    #[error("this is no export of a state")]
    NotAnExport,
    /// It was made by another version.
    #[error("the export has the format {found}, this program reads {VERSION}")]
    OtherVersion {
        /// Its version.
        found: u16,
    },
    /// It ends too early.
    #[error("the export ends too early")]
    Truncated,
    /// Something is behind its end.
    #[error("{left} bytes are left over behind the export")]
    LeftOver {
        /// How many.
        left: usize,
    },
    /// A key is empty or too long, or a record is too long.
    #[error(
        "entry {position}: a key has 1 to {KEY_BYTES_MAX} bytes, a record at most {RECORD_BYTES_MAX}"
    )]
    Length {
        /// Which entry.
        position: u64,
    },
    /// Keys do not ascend, or one is there twice.
    #[error("entry {position}: its key is not above the one before it")]
    Order {
        /// Which entry.
        position: u64,
    },
    /// The digest is that of other bytes.
    #[error("the export was changed: its digest is {found}, it says {said}")]
    Digest {
        /// What its bytes have.
        found: Digest,
        /// What it says.
        said: Digest,
    },
    /// It says that it is of another chain than its state does.
    #[error("the export says that it is of the genesis {said}, its state is of {found}")]
    OtherGenesis {
        /// The genesis of its state.
        found: Digest,
        /// What it says.
        said: Digest,
    },
    /// The state does not read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Walks all entries in order.
fn entries(state: &dyn State, mut each: impl FnMut(&[u8], &[u8])) {
    let (mut from, to) = keys::everything();
    while let Some((key, record)) = state.first_in(&from, &to) {
        each(&key, &record);
        from = key;
        // The next possible key: the same bytes and one zero.
        from.push(0);
    }
}

fn genesis_of(state: &dyn State) -> Result<Digest, Fault> {
    let chain: Option<ChainRecord> = load(state, &keys::chain())?;
    Ok(present(chain, "chain")?.genesis)
}

/// The digest of all entries: the same for the same entries, however they came to be.
#[must_use]
pub fn digest(state: &dyn State) -> Digest {
    let mut all = Vec::new();
    entries(state, |key, record| {
        for part in [key, record] {
            all.extend_from_slice(&length(part).to_be_bytes());
            all.extend_from_slice(part);
        }
    });
    Digest::of(Domain::State, &[&all])
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Writes a state down.
///
/// Costs O(state), and as much memory again.
///
/// # Errors
/// [`ExportError::Fault`] when it is of no chain, [`ExportError::Length`] when an entry is longer than one may be.
pub fn export(state: &dyn State, height: Height) -> Result<Vec<u8>, ExportError> {
    let mut count = 0u64;
    let mut bytes = Vec::new();
    let mut refused = None;
    entries(state, |key, record| {
        if !fits(key, record) {
            refused.get_or_insert(count);
        }
        count = count.saturating_add(1);
        let key_bytes = u16::try_from(key.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&key_bytes.to_be_bytes());
        bytes.extend_from_slice(key);
        let record_bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&record_bytes.to_be_bytes());
        bytes.extend_from_slice(record);
    });
    if let Some(position) = refused {
        return Err(ExportError::Length { position });
    }
    let mut all = Vec::new();
    all.extend_from_slice(&MAGIC);
    all.extend_from_slice(&VERSION.to_be_bytes());
    all.extend_from_slice(&genesis_of(state)?.0);
    all.extend_from_slice(&height.get().to_be_bytes());
    all.extend_from_slice(&count.to_be_bytes());
    all.append(&mut bytes);
    let digest = Digest::of(Domain::State, &[&all]);
    all.extend_from_slice(&digest.0);
    Ok(all)
}

const fn fits(key: &[u8], record: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && record.len() <= RECORD_BYTES_MAX
}

/// What is left to read.
struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ExportError> {
        let (taken, left) = self
            .left
            .split_at_checked(count)
            .ok_or(ExportError::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], ExportError> {
        let (taken, left) = self
            .left
            .split_first_chunk::<COUNT>()
            .ok_or(ExportError::Truncated)?;
        self.left = left;
        Ok(*taken)
    }
}

/// Reads an export: its form, its order, its digest, and that it is of the chain that it says.
///
/// # Errors
/// [`ExportError`].
pub fn import(bytes: &[u8]) -> Result<Imported, ExportError> {
    let mut reader = Reader { left: bytes };
    if reader.array::<16>().ok() != Some(MAGIC) {
        return Err(ExportError::NotAnExport);
    }
    let version = u16::from_be_bytes(reader.array()?);
    if version != VERSION {
        return Err(ExportError::OtherVersion { found: version });
    }
    let genesis = Digest(reader.array()?);
    let height = Height(u64::from_be_bytes(reader.array()?));
    let count = u64::from_be_bytes(reader.array()?);
    let mut state = MemoryState::default();
    let mut last: &[u8] = &[];
    for position in 0..count {
        let key = usize::from(u16::from_be_bytes(reader.array()?));
        if key == 0 || key > KEY_BYTES_MAX {
            return Err(ExportError::Length { position });
        }
        let key = reader.take(key)?;
        let record = u32::from_be_bytes(reader.array()?);
        let record = usize::try_from(record).unwrap_or(usize::MAX);
        if record > RECORD_BYTES_MAX {
            return Err(ExportError::Length { position });
        }
        let record = reader.take(record)?;
        if key <= last {
            return Err(ExportError::Order { position });
        }
        last = key;
        state.insert(key.to_vec(), record.to_vec());
    }
    let said = Digest(reader.array()?);
    if !reader.left.is_empty() {
        let left = reader.left.len();
        return Err(ExportError::LeftOver { left });
    }
    let hashed = bytes.len().saturating_sub(said.0.len());
    let found = Digest::of(Domain::State, &[bytes.get(..hashed).unwrap_or_default()]);
    if found != said {
        return Err(ExportError::Digest { found, said });
    }
    let found = genesis_of(&state)?;
    if found != genesis {
        return Err(ExportError::OtherGenesis {
            found,
            said: genesis,
        });
    }
    Ok(Imported {
        genesis,
        height,
        state,
    })
}
