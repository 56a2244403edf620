//! Serving the models of a machine.

use super::{
    ASK_DEADLINE, AskHoldings, AskSlices, HOLDINGS_MAX, Holding, REQUEST_BYTES_MAX, SLICE_DEADLINE,
    ShareReply, ShareRequest, SharedFile,
};
use crate::inference::{ModelError, ModelId, ModelRole, ModelStore};
use commonware_codec::Encode;
use fairweir_net::{
    BlobError, BlobTree, FrameStream, Incoming, PeerId, SliceError, read_request, send_slices,
};
use fairweir_types::{BoundedText, BoundedVec, Digest, decode, node_api::Refusal};
use futures::{StreamExt as _, future, stream::FuturesUnordered};
use std::{collections::BTreeMap, fs::File, path::PathBuf, sync::Arc};

/// Machines that are served at the same time; others are told to come again.
const SERVED_MAX: usize = 16;
/// Of these, how many one machine may take.
const SERVED_PER_PEER_MAX: usize = 4;
/// What a model's licence is called when nobody has said it.
const UNKNOWN_LICENCE: &str = "unknown";

/// The models that a machine serves: those of its store whose licence is recorded, as they were when this was made.
#[derive(Debug)]
pub struct Library {
    models: BTreeMap<ModelId, Shared>,
}

#[derive(Debug)]
struct Shared {
    holding: Holding,
    files: BTreeMap<ModelRole, (PathBuf, BlobTree)>,
}

fn refused(code: &str, reason: &str) -> ShareReply {
    ShareReply::Refused(Refusal {
        code: BoundedText::truncating(code),
        reason: BoundedText::truncating(reason),
    })
}

impl Library {
    /// Reads the models of a store: every byte once, about a second for a gigabyte. A model that cannot be read is left out.
    ///
    /// # Errors
    /// [`ModelError`] when the store itself cannot be read.
    pub fn open(store: &ModelStore) -> Result<Self, ModelError> {
        let mut models = BTreeMap::new();
        for (id, info) in store.list()? {
            let licence = info.licence.trim();
            if licence.is_empty() || licence.eq_ignore_ascii_case(UNKNOWN_LICENCE) {
                tracing::info!(model = info.name, "not served: no licence is recorded");
                continue;
            }
            match Shared::read(store, id) {
                Ok(shared) => drop(models.insert(id, shared)),
                Err(error) => tracing::warn!(model = info.name, %error, "not served"),
            }
        }
        Ok(Self { models })
    }

    /// How many models are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Serves until the network is closed.
    pub async fn serve<S: FrameStream>(self: Arc<Self>, mut incoming: Incoming<S>) {
        let mut serving = FuturesUnordered::new();
        let mut by_peer: BTreeMap<PeerId, usize> = BTreeMap::new();
        loop {
            let arrival = if serving.is_empty() {
                incoming.next().await
            } else {
                match future::select(Box::pin(incoming.next()), serving.next()).await {
                    future::Either::Left((arrival, _)) => arrival,
                    future::Either::Right((served, _)) => {
                        if let Some(peer) = served
                            && let Some(count) = by_peer.get_mut(&peer)
                        {
                            *count -= 1;
                        }
                        by_peer.retain(|_, count| *count > 0);
                        continue;
                    }
                }
            };
            let Some((peer, stream)) = arrival else {
                return;
            };
            let count = by_peer.entry(peer).or_default();
            // Beyond twice the places, dropping the stream says no without waiting for who asks.
            if serving.len() < 2 * SERVED_MAX {
                *count += 1;
                let has_room = serving.len() < SERVED_MAX && *count <= SERVED_PER_PEER_MAX;
                let library = &self;
                serving.push(async move {
                    library.converse(stream, has_room).await;
                    peer
                });
            }
        }
    }

    async fn converse<S: FrameStream>(&self, mut stream: S, has_room: bool) {
        let Ok(frame) = read_request(&mut stream, REQUEST_BYTES_MAX, ASK_DEADLINE).await else {
            return;
        };
        let request = decode::<ShareRequest>(&frame);
        let answer = match &request {
            Ok(_) if !has_room => refused("busy", "this machine serves as many files as it can"),
            Ok(ShareRequest::Holdings(ask)) => self.holdings(*ask),
            Ok(ShareRequest::Slices(ask)) => match self.file(*ask) {
                Ok((shared, path, tree)) => {
                    if let Err(error) = send(stream, (shared, path, tree), ask.from).await {
                        tracing::debug!(%error, "a model was not taken to its end");
                    }
                    return;
                }
                Err(refusal) => refusal,
            },
            Err(error) => refused("malformed", &error.to_string()),
        };
        if let Err(error) = fairweir_net::reply(stream, &answer.encode(), ASK_DEADLINE).await {
            tracing::debug!(%error, "an answer about models was not taken");
        }
    }

    fn holdings(&self, ask: AskHoldings) -> ShareReply {
        let found = self.models.range(ask.from..).take(HOLDINGS_MAX);
        ShareReply::Holdings(BoundedVec::truncating(
            found.map(|(_, shared)| shared.holding.clone()),
        ))
    }

    fn file(&self, ask: AskSlices) -> Result<(SharedFile, &PathBuf, &BlobTree), ShareReply> {
        let shared = self
            .models
            .get(&ask.model)
            .ok_or_else(|| refused("not_held", "this model is not served here"))?;
        let file = shared
            .holding
            .files
            .iter()
            .find(|file| file.file.role == ask.role);
        match (file, shared.files.get(&ask.role)) {
            (Some(file), Some((path, tree))) if ask.from <= tree.blob().slices() => {
                Ok((*file, path, tree))
            }
            _ => Err(refused("no_slice", "the model has no such file or slice")),
        }
    }
}

impl Shared {
    fn read(store: &ModelStore, id: ModelId) -> Result<Self, ModelError> {
        let info = store.info(id)?;
        let mut files = BTreeMap::new();
        let mut shared = Vec::new();
        for file in info.model_files()?.into_vec() {
            let path = store.folder_of(id).join(file.role.file_name());
            let disk =
                |error: BlobError| ModelError::Damaged(format!("{}: {error}", path.display()));
            let opened = File::open(&path).map_err(|error| disk(error.into()))?;
            let tree = BlobTree::read(&opened, file.bytes).map_err(disk)?;
            shared.push(SharedFile {
                file,
                root: Digest(tree.blob().root().0),
            });
            files.insert(file.role, (path, tree));
        }
        let holding = Holding {
            name: BoundedText::truncating(&info.name),
            licence: BoundedText::truncating(&info.licence),
            source: BoundedText::truncating(&info.source),
            files: BoundedVec::truncating(shared),
        };
        Ok(Self { holding, files })
    }
}

async fn send<S: FrameStream>(
    mut stream: S,
    (shared, path, tree): (SharedFile, &PathBuf, &BlobTree),
    from: u64,
) -> Result<(), SliceError> {
    let data = match File::open(path) {
        Ok(data) => data,
        Err(error) => {
            let answer = refused("not_held", "this model is not here any more");
            fairweir_net::reply(stream, &answer.encode(), ASK_DEADLINE).await?;
            return Err(BlobError::Disk(error).into());
        }
    };
    let coming = ShareReply::Slices(shared);
    stream.send(&coming.encode(), ASK_DEADLINE).await?;
    send_slices(stream, tree, &data, from, SLICE_DEADLINE).await
}
