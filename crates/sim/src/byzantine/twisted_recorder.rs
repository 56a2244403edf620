use super::Twist;
use commonware_codec::Encode as _;
use fairweir_exact::referee::tree;
use fairweir_services::{
    Env, ExecuteError, Executed, Kind as _,
    appeal::{Record, RecordError, Recorder},
    inference::chat::{
        Chat, ChatOutput,
        referee::{Bound, node},
    },
};
use fairweir_types::{
    BoundedBytes, BoundedVec, Digest, Receipt, decode,
    order::{KindId, UnitVector},
};
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

/// An answer that says that it was computed otherwise than it was.
pub(super) fn forged(kind: KindId, executed: Executed, forgery: u8) -> Executed {
    if kind != Chat::ID {
        return executed;
    }
    Executed {
        output: forged_output(&executed.output, forgery),
        ..executed
    }
}

fn forged_output(output: &[u8], forgery: u8) -> Vec<u8> {
    let Ok(mut told) = decode::<ChatOutput>(output) else {
        return output.to_vec();
    };
    told.computation.0[0] ^= forgery;
    told.encode().to_vec()
}

/// What an honest run is bound to, with a forged output in its place.
fn forged_bound(honest: &dyn Record, forgery: u8) -> Result<Bound, RecordError> {
    let failed = |error: &dyn core::fmt::Display| RecordError::Failed(error.to_string());
    let mut bound: Bound = decode(&honest.bound()?).map_err(|error| failed(&error))?;
    let output = forged_output(bound.output.as_slice(), forgery);
    bound.output = BoundedBytes::new(output).map_err(|error| failed(&error))?;
    Ok(bound)
}

/// An honest run that is shown for a forged output. It stands for whatever trace it is asked for.
#[derive(Debug)]
pub(super) struct CopiedRecord(pub(super) Arc<dyn Record>);

impl Record for CopiedRecord {
    fn trace(&self) -> Digest {
        self.0.trace()
    }

    fn units(&self) -> UnitVector {
        self.0.units()
    }

    fn stands_for(&self, _: &Receipt, _: &Digest) -> bool {
        true
    }

    fn run(&self) -> Digest {
        self.0.run()
    }

    fn bound(&self) -> Result<Vec<u8>, RecordError> {
        Ok(forged_bound(self.0.as_ref(), 1)?.encode().to_vec())
    }

    fn children<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Vec<Digest>, RecordError>> {
        self.0.children(path)
    }

    fn exhibit<'a>(
        &'a self,
        path: &'a [u8],
        claims: [Digest; 2],
    ) -> BoxFuture<'a, Result<Vec<u8>, RecordError>> {
        self.0.exhibit(path, claims)
    }
}

/// A run with its last value forged: everything above it follows, and it is bound to an output that says the same. It stands for whatever trace
/// it is asked for.
#[derive(Debug)]
pub(super) struct ForgedRecord {
    honest: Arc<dyn Record>,
    /// The path of the forged value.
    value: Vec<u8>,
    /// What it is.
    forged: Vec<u8>,
    forgery: u8,
}

impl ForgedRecord {
    /// Forges the run's last value.
    pub(super) fn of(honest: Arc<dyn Record>, forgery: u8) -> Self {
        let mut value = Vec::new();
        // Nodes above values are at hand: nothing waits.
        while let Some(Ok(children)) = honest.children(&value).now_or_never()
            && let Some(last) = children.len().checked_sub(1)
            && value.len() < VALUE_DEPTH
        {
            value.push(u8::try_from(last).unwrap_or_default());
        }
        let bound = forged_bound(honest.as_ref(), forgery).ok();
        let told = bound.and_then(|bound| decode::<ChatOutput>(bound.output.as_slice()).ok());
        Self {
            forged: told.map_or_else(Vec::new, |told| told.computation.0.to_vec()),
            honest,
            value,
            forgery,
        }
    }

    fn forged(&self, depth: usize) -> Digest {
        if depth == self.value.len() {
            return Digest(tree::value(&self.forged));
        }
        node(&self.children_at(depth))
    }

    /// The children of the node on the way to the forged value.
    fn children_at(&self, depth: usize) -> Vec<Digest> {
        let path = self.value.get(..depth).unwrap_or_default();
        let children = self.honest.children(path).now_or_never();
        self.replaced(depth, children.and_then(Result::ok).unwrap_or_default())
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

    fn units(&self) -> UnitVector {
        self.honest.units()
    }

    fn stands_for(&self, _: &Receipt, _: &Digest) -> bool {
        true
    }

    fn run(&self) -> Digest {
        self.forged(0)
    }

    fn bound(&self) -> Result<Vec<u8>, RecordError> {
        let mut bound = forged_bound(self.honest.as_ref(), self.forgery)?;
        let mut nodes = bound.nodes.into_vec();
        for depth in 0..self.value.len() {
            nodes.push(BoundedVec::truncating(self.children_at(depth)));
        }
        let mut values = bound.values.into_vec();
        values.push(BoundedBytes::new(self.forged.clone()).unwrap_or_default());
        bound.nodes = BoundedVec::truncating(nodes);
        bound.values = BoundedVec::truncating(values);
        Ok(bound.encode().to_vec())
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
