use super::Twist;
use fairweir_services::{
    Env, ExecuteError,
    appeal::{Record, RecordError, Recorder},
    inference::chat::referee::node,
};
use fairweir_types::{Digest, digest::Domain};
use futures::{FutureExt as _, future::BoxFuture};
use std::sync::Arc;

/// A recorder whose records are twisted.
#[derive(Debug)]
pub(super) struct TwistedRecorder {
    pub(super) honest: Arc<dyn Recorder>,
    pub(super) twist: Arc<dyn Twist>,
}

impl Recorder for TwistedRecorder {
    fn record<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<dyn Record>, ExecuteError>> {
        async move { Ok(self.twist.record(self.honest.record(env, spec).await?)) }.boxed()
    }
}

/// A run with one value forged: everything above it follows. It stands for whatever trace it is asked for.
#[derive(Debug)]
pub(super) struct ForgedRecord {
    honest: Arc<dyn Record>,
    /// The path of the forged value.
    value: Vec<u8>,
}

impl ForgedRecord {
    /// Forges the run's last value.
    pub(super) fn of(honest: Arc<dyn Record>) -> Self {
        let mut value = Vec::new();
        // Nodes above values are at hand: nothing waits.
        while let Some(Ok(children)) = honest.children(&value).now_or_never()
            && let Some(last) = children.len().checked_sub(1)
            && value.len() < VALUE_DEPTH
        {
            value.push(u8::try_from(last).unwrap_or_default());
        }
        Self { honest, value }
    }

    fn forged(&self, depth: usize) -> Digest {
        let path = self.value.get(..depth).unwrap_or_default();
        if depth == self.value.len() {
            return Digest::of(Domain::Draw, &[b"forged"]);
        }
        let children = self.honest.children(path).now_or_never();
        node(&self.replaced(depth, children.and_then(Result::ok).unwrap_or_default()))
    }

    fn replaced(&self, depth: usize, mut children: Vec<Digest>) -> Vec<Digest> {
        let digit = self.value.get(depth).copied().map(usize::from);
        if let Some(child) = digit.and_then(|digit| children.get_mut(digit)) {
            *child = self.forged(depth + 1);
        }
        children
    }
}

/// Digits of a value's path: its section, and seven levels.
const VALUE_DEPTH: usize = 8;

impl Record for ForgedRecord {
    fn trace(&self) -> Digest {
        self.honest.trace()
    }

    fn stands_for(&self, _: &Digest) -> bool {
        true
    }

    fn run(&self) -> Digest {
        self.forged(0)
    }

    fn children<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Vec<Digest>, RecordError>> {
        async move {
            let children = self.honest.children(path).await?;
            if self.value.starts_with(path) {
                Ok(self.replaced(path.len(), children))
            } else {
                Ok(children)
            }
        }
        .boxed()
    }

    fn exhibit<'a>(
        &'a self,
        path: &'a [u8],
        claims: [Digest; 2],
    ) -> BoxFuture<'a, Result<Vec<u8>, RecordError>> {
        self.honest.exhibit(path, claims)
    }
}
