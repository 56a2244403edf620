//! What only a node knows: balances, supply, who waits. Asked for when somebody wants it, and left out when the node does not answer.

use core::fmt;
use fairweir_client::NodeClient;
use fairweir_net::Network;
use fairweir_types::{
    Address,
    node_api::{AccountReport, CandidatesReport, Status},
};
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};

/// How long a node may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What was said, and when; nothing if nothing was.
type Said<T> = Mutex<Option<(Instant, Option<T>)>>;

/// How long the same is told again.
const SAID_FOR: Duration = Duration::from_secs(1);
/// Questions to the node at the same time.
const QUESTIONS_MAX: usize = 16;

/// Something that knows the present state.
pub trait Live: fmt::Debug + Send + Sync + 'static {
    /// What the network is doing, if it can be said.
    fn status(&self) -> BoxFuture<'_, Option<Status>>;
    /// The seats and who stands for them, if it can be said.
    fn candidates(&self) -> BoxFuture<'_, Option<CandidatesReport>>;
    /// An account, if it can be said.
    fn account(&self, address: Address) -> BoxFuture<'_, Option<AccountReport>>;
}

impl<N: Network + fmt::Debug> Live for NodeClient<N> {
    fn status(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(async { Self::status(self).await.ok() })
    }

    fn candidates(&self) -> BoxFuture<'_, Option<CandidatesReport>> {
        Box::pin(async { Self::candidates(self).await.ok() })
    }

    fn account(&self, address: Address) -> BoxFuture<'_, Option<AccountReport>> {
        Box::pin(async move { Self::account(self, address).await.ok() })
    }
}

/// Asks with patience and memory, so that many readers are few questions.
#[derive(Debug)]
pub(crate) struct Asker {
    live: Arc<dyn Live>,
    status: Said<Status>,
    candidates: Said<CandidatesReport>,
    places: Semaphore,
}

impl Asker {
    pub(crate) fn new(live: Arc<dyn Live>) -> Self {
        Self {
            live,
            status: Mutex::default(),
            candidates: Mutex::default(),
            places: Semaphore::new(QUESTIONS_MAX),
        }
    }

    pub(crate) async fn status(&self) -> Option<Status> {
        again(&self.status, || self.live.status()).await
    }

    pub(crate) async fn candidates(&self) -> Option<CandidatesReport> {
        again(&self.candidates, || self.live.candidates()).await
    }

    pub(crate) async fn account(&self, address: Address) -> Option<AccountReport> {
        let asked = async {
            let _place = self.places.acquire().await.ok()?;
            self.live.account(address).await
        };
        timeout(ANSWER_WITHIN, asked).await.ok().flatten()
    }
}

/// What was said within the last second, or what is said now.
async fn again<'a, T: Clone>(
    said: &Said<T>,
    ask: impl FnOnce() -> BoxFuture<'a, Option<T>>,
) -> Option<T> {
    let mut known = said.lock().await;
    if let Some((asked, answer)) = &*known
        && asked.elapsed() < SAID_FOR
    {
        return answer.clone();
    }
    let answer = timeout(ANSWER_WITHIN, ask()).await.ok().flatten();
    *known = Some((Instant::now(), answer.clone()));
    answer
}
