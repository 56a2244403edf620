//! The index: opened for a chain, grown block by block.

use crate::explorer::{
    apply,
    error::IndexError,
    store::{Store, Tip},
    tables::seq,
};
use fairweir_client::FinalBlock;
use fairweir_types::Genesis;
use std::sync::Arc;
use tokio::sync::watch;

/// An index of a chain in a database.
///
/// It is made from blocks alone. Each block is one transaction of the database, and the height stands in the same transaction, so that an
/// end at any moment loses nothing and repeats nothing.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) store: Store,
    /// The height, for those who wait for more.
    height: Arc<watch::Sender<u64>>,
}

impl Index {
    /// Opens an index in a database, `sqlite:PATH` or `postgres://USER@HOST/NAME`, for the chain of a genesis. One of another chain or
    /// format is thrown away: blocks make it anew.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn open(url: &str, genesis: &Genesis) -> Result<Self, IndexError> {
        let store = Store::open(url).await?;
        let digest = genesis.digest().to_string();
        let index = Self {
            store,
            height: Arc::new(watch::Sender::new(0)),
        };
        match index.store.tip_of(&digest).await? {
            Some(tip) => {
                index.height.send_replace(tip.height);
            }
            None => index.found(genesis).await?,
        }
        Ok(index)
    }

    /// Throws everything away and begins again at the genesis.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn found(&self, genesis: &Genesis) -> Result<(), IndexError> {
        let mut writing = self.store.begin_anew().await?;
        writing.found(&genesis.digest().to_string()).await?;
        apply::genesis(&mut writing, genesis).await?;
        writing.commit().await?;
        self.height.send_replace(0);
        Ok(())
    }

    /// How far the index is.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn tip(&self) -> Result<Tip, IndexError> {
        let mut writing = self.store.begin().await?;
        writing.tip().await?.ok_or(IndexError::NoIndex)
    }

    /// Takes the next block, wholly or not at all.
    ///
    /// # Errors
    /// [`IndexError::NotNext`] for any block but the next; [`IndexError::OtherChain`] if it is the next of another chain.
    pub async fn apply(&self, block: &FinalBlock) -> Result<(), IndexError> {
        let mut writing = self.store.begin().await?;
        let tip = writing.tip().await?.ok_or(IndexError::NoIndex)?;
        let header = &block.block.header;
        if Some(header.height.get()) != tip.height.checked_add(1) {
            return Err(IndexError::NotNext {
                tip: tip.height,
                found: header.height,
            });
        }
        // The genesis has no certificate, so its digest is not known here; the first block's certificate binds it.
        if tip.height > 0 && header.parent.to_string() != tip.digest {
            return Err(IndexError::OtherChain);
        }
        let next = Tip {
            height: header.height.get(),
            digest: block.digest.to_string(),
        };
        writing.advance(&tip, &next).await?;
        apply::block(&mut writing, block).await?;
        writing.commit().await?;
        self.height.send_replace(next.height);
        Ok(())
    }

    /// Every row of every table as text, in order. Indices of the same blocks have the same dump, live or rebuilt, in either database.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn dump(
        &self,
        line: impl FnMut(String) -> std::io::Result<()>,
    ) -> Result<(), IndexError> {
        self.store.dump(line).await
    }

    /// Tells of each new height.
    pub(crate) fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// Lets the database go.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The cursor of the newest place there can be at present.
    pub(crate) fn last_seq(&self) -> Result<i64, IndexError> {
        let height = *self.height.borrow();
        seq(height.saturating_add(1), 0, 0)
    }
}
