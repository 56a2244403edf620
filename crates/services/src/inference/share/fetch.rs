//! Fetching a model from machines that have it.

use super::{
    ASK_DEADLINE, AskHoldings, AskSlices, HOLDINGS_MAX, Holding, REPLY_BYTES_MAX, SHARE,
    SLICE_DEADLINE, ShareReply, ShareRequest, SharedFile,
};
use crate::inference::{ModelError, ModelId, ModelInfo, ModelRole, ModelStore, store::Arrival};
use commonware_codec::Encode;
use core::fmt;
use fairweir_net::{
    Blob, BlobError, BlobRoot, FrameStream as _, NetError, Network, PeerAddr, PeerId, SliceError,
    read_request, receive_slice, request,
};
use fairweir_types::{Digest, decode, node_api::Refusal};
use std::collections::BTreeMap;
use thiserror::Error;

/// Machines that are asked for a model.
pub const SOURCES_MAX: usize = 16;
/// Answers of one machine that are read, each with up to [`HOLDINGS_MAX`] models.
const PAGES_MAX: usize = 4;

/// Why a machine did not give a model.
#[derive(Debug, Error)]
pub enum FetchError {
    /// It was not reached, or the connection was lost.
    #[error("it was not reached, or fell silent: {0}")]
    Net(#[from] NetError),
    /// It said no.
    #[error("it refused ({}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    /// It answered nothing that can be read.
    #[error("its answer is malformed: {0}")]
    Malformed(String),
    /// It does not have the model.
    #[error("it does not have the model")]
    NotHeld,
    /// It began to send another file than it said to have.
    #[error("it sends another {} than it said", .0.file_name())]
    OtherFile(ModelRole),
    /// It sent bytes that are not of the file.
    #[error("it sent wrong bytes for slice {slice} of {}", .role.file_name())]
    WrongBytes {
        /// The file.
        role: ModelRole,
        /// The slice.
        slice: u64,
    },
    /// Every slice was right by the root that it said, but the file is not the model's.
    #[error("the file that it calls {} is not the model's: {error}", .role.file_name())]
    WrongFile {
        /// The file.
        role: ModelRole,
        /// What was found.
        error: ModelError,
    },
    /// The model is longer than there is room for.
    #[error(
        "the model has {needed} bytes, there is room for {room}: free some disk, or allow more"
    )]
    TooLarge {
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that may come.
        room: u64,
    },
    /// This machine cannot keep it, or the model cannot be used.
    #[error(transparent)]
    Here(#[from] ModelError),
}

impl FetchError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Net(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
            Self::NotHeld => "not_held",
            Self::OtherFile(_) => "other_file",
            Self::WrongBytes { .. } => "wrong_bytes",
            Self::WrongFile { .. } => "wrong_file",
            Self::TooLarge { .. } => "too_large",
            Self::Here(_) => "here",
        }
    }

    /// Whether another machine cannot help.
    const fn is_ours(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Here(_))
    }
}

/// Why a model did not come: what each machine that was asked did.
#[derive(Debug, Default)]
pub struct FetchFailed {
    /// Who was tried, and what came of it, in order.
    pub tried: Vec<(PeerId, FetchError)>,
}

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("no machine was found that has the model");
        }
        f.write_str("no machine gave the model")?;
        for (peer, error) in &self.tried {
            write!(f, "; {peer} ({}): {error}", error.code())?;
        }
        Ok(())
    }
}

impl std::error::Error for FetchFailed {}

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may still be written to disk.
    pub room: u64,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Whom it comes from.
    pub peer: PeerId,
    /// Bytes of all files that are here and checked.
    pub here: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// The models that a machine has, from an id on: up to 256.
///
/// # Errors
/// [`FetchError`].
pub async fn holdings<N: Network>(
    network: &N,
    peer: &PeerAddr,
    from: ModelId,
) -> Result<Vec<(ModelId, Holding)>, FetchError> {
    let mut found: Vec<(ModelId, Holding)> = Vec::new();
    let mut from = from;
    for _ in 0..PAGES_MAX {
        let question = ShareRequest::Holdings(AskHoldings { from }).encode();
        let limit = REPLY_BYTES_MAX;
        let answer = request(network, peer, SHARE, &question, limit, ASK_DEADLINE).await?;
        let page = match read(&answer)? {
            ShareReply::Holdings(page) => page.into_vec(),
            ShareReply::Refused(refusal) => return Err(FetchError::Refused(refusal)),
            ShareReply::Slices(_) => return Err(FetchError::Malformed("slices".to_owned())),
        };
        let is_last = page.len() < HOLDINGS_MAX;
        for holding in page {
            let id = holding
                .id()
                .map_err(|error| FetchError::Malformed(error.to_string()))?;
            if id < from || found.last().is_some_and(|(last, _)| *last >= id) {
                return Err(FetchError::Malformed("models out of order".to_owned()));
            }
            found.push((id, holding));
        }
        let last = found.last().map(|(id, _)| *id);
        match last.and_then(after) {
            Some(next) if !is_last => from = next,
            _ => break,
        }
    }
    Ok(found)
}

fn read(frame: &[u8]) -> Result<ShareReply, FetchError> {
    decode(frame).map_err(|error| FetchError::Malformed(error.to_string()))
}

/// The next id.
fn after(id: ModelId) -> Option<ModelId> {
    let mut bytes = id.0.0;
    for byte in bytes.iter_mut().rev() {
        let (next, overflows) = byte.overflowing_add(1);
        *byte = next;
        if !overflows {
            return Some(ModelId(Digest(bytes)));
        }
    }
    None
}

/// Brings a model into the store from whichever of the machines have it, one after the other until one has given the last byte.
/// What has come stays when this is dropped or fails, and is not fetched again.
///
/// # Errors
/// [`FetchFailed`] with what each machine did.
pub async fn fetch<N: Network>(
    network: &N,
    store: &ModelStore,
    id: ModelId,
    sources: &[PeerAddr],
    limits: Limits,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(ModelId, ModelInfo), FetchFailed> {
    let mut failed = FetchFailed::default();
    let holders = holders(network, id, sources, &mut failed).await;
    let Some((first, holding)) = holders.first() else {
        return Err(failed);
    };
    let arrival = match begin(store, id, (first, holding)) {
        Ok(arrival) => arrival,
        Err(error) => {
            failed.tried.push((first.id(), error.into()));
            return Err(failed);
        }
    };
    for (peer, holding) in in_turn(&arrival, holders) {
        let mut fetching = Fetching {
            network,
            arrival: &arrival,
            peer: &peer,
            holding: &holding,
            progress: &mut *progress,
        };
        match fetching.all(limits).await {
            Ok(()) => {
                return arrival.finish().map_err(|error| {
                    failed.tried.push((peer.id(), error.into()));
                    failed
                });
            }
            Err(error) => {
                tracing::info!(peer = %peer.id(), code = error.code(), %error, "a machine did not give the model");
                let is_ours = error.is_ours();
                failed.tried.push((peer.id(), error));
                if is_ours {
                    break;
                }
            }
        }
    }
    Err(failed)
}

/// Asks every machine at once for the model.
async fn holders<N: Network>(
    network: &N,
    id: ModelId,
    sources: &[PeerAddr],
    failed: &mut FetchFailed,
) -> Vec<(PeerAddr, Holding)> {
    let sources = &sources[..sources.len().min(SOURCES_MAX)];
    let asked = sources.iter().map(|peer| async move {
        let found = holdings(network, peer, id).await?;
        let first = found.into_iter().next();
        first
            .filter(|(first, _)| *first == id)
            .map(|(_, holding)| holding)
            .ok_or(FetchError::NotHeld)
    });
    let answers = futures::future::join_all(asked).await;
    let mut holders = Vec::new();
    for (peer, answer) in sources.iter().zip(answers) {
        match answer {
            Ok(holding) => holders.push((peer.clone(), holding)),
            Err(error) => failed.tried.push((peer.id(), error)),
        }
    }
    holders
}

fn begin(
    store: &ModelStore,
    id: ModelId,
    (peer, holding): (&PeerAddr, &Holding),
) -> Result<Arrival, ModelError> {
    let mut info = holding.info();
    info.source = format!("peer {}, which has it from {}", peer.id(), holding.source);
    store.arrive(id, info)
}

fn roots(holding: &Holding) -> Vec<Digest> {
    holding.files.iter().map(|file| file.root).collect()
}

/// Who is asked first: machines that name the roots of what is here already, then those whose roots most machines name. A lie about a
/// root then costs the most when it is alone.
fn in_turn(arrival: &Arrival, mut holders: Vec<(PeerAddr, Holding)>) -> Vec<(PeerAddr, Holding)> {
    let mut named: BTreeMap<Vec<Digest>, usize> = BTreeMap::new();
    for (_, holding) in &holders {
        *named.entry(roots(holding)).or_default() += 1;
    }
    let begun = |holding: &Holding| {
        let has = |file: &SharedFile| arrival.has_part(file.file.role, BlobRoot(file.root.0));
        holding.files.iter().any(has)
    };
    holders.sort_by_cached_key(|(_, holding)| {
        let count = named.get(&roots(holding)).copied().unwrap_or(0);
        core::cmp::Reverse((begun(holding), count))
    });
    holders
}

/// One machine's turn.
struct Fetching<'a, N> {
    network: &'a N,
    arrival: &'a Arrival,
    peer: &'a PeerAddr,
    holding: &'a Holding,
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl<N: Network> Fetching<'_, N> {
    async fn all(&mut self, limits: Limits) -> Result<(), FetchError> {
        self.check_room(limits)?;
        for at in 0..self.holding.files.len() {
            let Some(shared) = self.holding.files.as_slice().get(at).copied() else {
                break;
            };
            if self.arrival.is_whole(shared.file.role) {
                continue;
            }
            match self.file(shared).await {
                // What came before a crash of the whole machine may be lost in part; that is not this machine's fault.
                Err((FetchError::WrongFile { .. }, true)) => {
                    self.file(shared).await.map_err(|(error, _)| error)?;
                }
                result => result.map_err(|(error, _)| error)?,
            }
        }
        Ok(())
    }

    fn check_room(&self, limits: Limits) -> Result<(), FetchError> {
        let mut needed = 0u64;
        for shared in &self.holding.files {
            if self.arrival.is_whole(shared.file.role) {
                continue;
            }
            let blob = blob(shared)?;
            let part = self.arrival.part(shared.file.role, &blob)?;
            let here = part.slices().saturating_mul(fairweir_net::SLICE_BYTES);
            needed = needed.saturating_add(blob.bytes().saturating_sub(here));
        }
        if needed > limits.room {
            let room = limits.room;
            return Err(FetchError::TooLarge { needed, room });
        }
        Ok(())
    }

    /// Brings one file. An error comes with whether a part of the file was here before.
    async fn file(&mut self, shared: SharedFile) -> Result<(), (FetchError, bool)> {
        let role = shared.file.role;
        let blob = blob(&shared).map_err(|error| (error, false))?;
        let mut part = match self.arrival.part(role, &blob) {
            Ok(part) => part,
            Err(error) => return Err((error.into(), false)),
        };
        let had_some = part.slices() > 0;
        if part.slices() < blob.slices() {
            self.slices(shared, &blob, &mut part)
                .await
                .map_err(|error| (error, had_some))?;
        }
        self.arrival.keep(role, part).map_err(|error| match error {
            ModelError::Damaged(_) => (FetchError::WrongFile { role, error }, had_some),
            other => (other.into(), had_some),
        })
    }

    async fn slices(
        &mut self,
        shared: SharedFile,
        blob: &Blob,
        part: &mut crate::inference::store::Part,
    ) -> Result<(), FetchError> {
        let role = shared.file.role;
        let mut stream = self.network.open(self.peer, SHARE, ASK_DEADLINE).await?;
        let question = ShareRequest::Slices(AskSlices {
            model: self.holding.id()?,
            role,
            from: part.slices(),
        });
        stream.send(&question.encode(), ASK_DEADLINE).await?;
        stream.finish().await?;
        let answer = read_request(&mut stream, REPLY_BYTES_MAX, ASK_DEADLINE).await?;
        match read(&answer)? {
            ShareReply::Slices(found) if found == shared => {}
            ShareReply::Refused(refusal) => return Err(FetchError::Refused(refusal)),
            _ => return Err(FetchError::OtherFile(role)),
        }
        while part.slices() < blob.slices() {
            let slice = part.slices();
            let bytes = receive_slice(&mut stream, blob, slice, SLICE_DEADLINE)
                .await
                .map_err(|error| match error {
                    SliceError::Net(NetError::FrameTooLarge { .. }) | SliceError::Blob(_) => {
                        FetchError::WrongBytes { role, slice }
                    }
                    SliceError::Net(error) => FetchError::Net(error),
                })?;
            part.append(&bytes)?;
            self.tell(shared, part.slices());
        }
        Ok(())
    }

    fn tell(&mut self, shared: SharedFile, slices: u64) {
        let whole = self.holding.files.iter().filter(|file| {
            file.file.role != shared.file.role && self.arrival.is_whole(file.file.role)
        });
        let before: u64 = whole.map(|file| file.file.bytes).sum();
        let these = slices
            .saturating_mul(fairweir_net::SLICE_BYTES)
            .min(shared.file.bytes);
        (self.progress)(Progress {
            peer: self.peer.id(),
            here: before.saturating_add(these),
            bytes: self.holding.bytes(),
        });
    }
}

fn blob(shared: &SharedFile) -> Result<Blob, FetchError> {
    shared
        .blob()
        .map_err(|error: BlobError| FetchError::Malformed(error.to_string()))
}
