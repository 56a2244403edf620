//! Blobs that clients bring and fetch.

use super::{Api, not_found, refused, while_there};
use crate::places::Place;
use fairweir_chain::{BlobShelf as _, SoughtBlob};
use fairweir_net::{FrameStream, PeerId};
use fairweir_types::{
    BoundedBytes, Digest,
    node_api::{Blob, BlobStored, NodeReply},
};

fn blob_reply(bytes: Vec<u8>) -> NodeReply {
    match BoundedBytes::new(bytes) {
        Ok(bytes) => NodeReply::Blob(Blob { bytes }),
        Err(error) => refused("too_long", &error.to_string()),
    }
}

impl Api {
    /// Keeps a blob and hands it on, in the place that it holds if it is large; no answer if that was given up for another.
    pub(super) async fn put_blob(&self, bytes: Vec<u8>, place: Option<Place>) -> Option<NodeReply> {
        let putting = Box::pin(async {
            let digest = match self.blobs.put(bytes.clone()) {
                Ok(digest) => digest,
                Err(error) => return refused("blob_store", &error.to_string()),
            };
            if self.chain.hand_on_blob(bytes).await {
                NodeReply::BlobStored(BlobStored { digest })
            } else {
                refused(
                    "busy",
                    "no node that this one follows took the blob; try again",
                )
            }
        });
        match place {
            Some(place) => place.within(putting).await,
            None => Some(putting.await),
        }
    }

    /// Asks other nodes for a blob, in a place that a client has for it.
    async fn seek_blob(&self, peer: PeerId, digest: Digest) -> SoughtBlob {
        let is_named = self.blobs.may_be_named(&digest);
        let seeking = Box::pin(self.chain.seek_blob(digest, is_named));
        let sought = self.counters.seeks.within(peer, seeking).await;
        sought.unwrap_or(SoughtBlob::Later)
    }

    /// Gives a blob that is here, or that another node has.
    pub(super) async fn give_blob<S: FrameStream>(
        &self,
        peer: PeerId,
        mut stream: S,
        digest: Digest,
    ) {
        for was_sought in [false, true] {
            if self.blobs.size(&digest).is_some() {
                let reading = Box::pin(async { self.read_blob(&digest) });
                match self.read_in_turn(peer, &mut stream, reading).await {
                    None => return,
                    Some((Some(answer), turn)) => {
                        return self.say(peer, stream, answer, Some(turn)).await;
                    }
                    // It is damaged, or made room meanwhile.
                    Some((None, _)) => {}
                }
            }
            if was_sought {
                break;
            }
            // Not in its turn: that may take long.
            let fetching = Box::pin(self.fetch_blob(peer, digest));
            match while_there(&mut stream, fetching).await {
                None => return,
                Some(None) => {}
                Some(Some(answer)) => return self.say(peer, stream, answer, None).await,
            }
        }
        let answer = refused("busy", "the blob made room for others; try again");
        self.say(peer, stream, answer, None).await;
    }

    /// A blob that is here undamaged.
    fn read_blob(&self, digest: &Digest) -> Option<NodeReply> {
        match self.blobs.get(digest) {
            Ok(found) => found.map(blob_reply),
            Err(error) => Some(refused("blob_store", &error.to_string())),
        }
    }

    /// Fetches a blob that another node has. If it is not here by then, what to answer.
    async fn fetch_blob(&self, peer: PeerId, digest: Digest) -> Option<NodeReply> {
        let was_named = self.blobs.may_be_named(&digest);
        let mut sought = self.seek_blob(peer, digest).await;
        if sought == SoughtBlob::Nowhere && !was_named && self.blobs.may_be_named(&digest) {
            // The block that names it came meanwhile.
            sought = self.seek_blob(peer, digest).await;
        }
        let is_here = || self.blobs.size(&digest).is_some();
        match sought {
            // It may have been left here meanwhile.
            SoughtBlob::Found(_) | SoughtBlob::Nowhere if is_here() => None,
            SoughtBlob::Found(bytes) => {
                // This one and the next one who asks have it from here.
                let error = self.blobs.put(bytes.as_ref().clone()).err()?;
                tracing::warn!(%digest, %error, "a blob of another node is not kept");
                Some(blob_reply(bytes.as_ref().clone()))
            }
            SoughtBlob::Nowhere => Some(not_found("blob")),
            SoughtBlob::Later => Some(refused(
                "busy",
                "other nodes cannot be asked for the blob now; try again",
            )),
        }
    }
}
