//! The referee of the kind: what the ledger's validators compute of a run, and what a side shows them.
//!
//! An exhibit carries the spec, whose digest is in the order; the list of the model's files, whose digest is in the spec; and values of the run with
//! the nodes above them, which lead to the run's digest. Nothing else is trusted, and no model is needed.
//! What binds a run to a trace is the spec, the output that the trace was made of, and the ends of the run.

mod bind;

pub use bind::{Bound, Standing, bind};

use super::{Chat, ChatSpec, Engine, Format, Prompt};
use crate::{
    appeal::{Record, RecordError, Recorder},
    codec::record,
    contract::{ExecuteError, Kind as _, SpecError},
    inference::{
        ModelFile, ModelId, ModelRole, engine::ChatEngine, model::FILES_MAX, store::Mapped,
    },
    recompute::check_length,
    world::{Discard, Env},
};
use commonware_codec::Encode;
use fairweir_exact::{
    pool::Single,
    referee::{
        self, Exhibits, Finding, Question, Recording, RefereeError, Run,
        tree::{Bag, Hash, Opened},
    },
};
use fairweir_types::{
    BoundedBytes, BoundedVec, Digest, decode,
    limits::{APPEAL_CHILDREN_MAX, EXHIBIT_BYTES_MAX},
    order::UnitVector,
    receipt::trace,
};
use futures::{FutureExt as _, future::BoxFuture};
use std::sync::Arc;
use thiserror::Error;

/// Nodes and values of one exhibit: each has bytes of its own, so the bytes are the limit.
pub const PARTS_MAX: usize = EXHIBIT_BYTES_MAX / 32;

/// Nodes as they are shown.
pub type Nodes = BoundedVec<BoundedVec<Digest, APPEAL_CHILDREN_MAX>, PARTS_MAX>;
/// Values as they are shown.
pub type Parts = BoundedVec<BoundedBytes<EXHIBIT_BYTES_MAX>, PARTS_MAX>;

/// What a side shows of what a cell follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What was asked.
    pub spec: BoundedBytes<EXHIBIT_BYTES_MAX>,
    /// The files of the model.
    pub files: BoundedVec<ModelFile, FILES_MAX>,
    /// The last step of the reading of the file's head.
    pub head_at: u32,
    /// Nodes above the values.
    pub nodes: Nodes,
    /// Values of the run.
    pub values: Parts,
}
record!(Shown {
    spec,
    files,
    head_at,
    nodes,
    values
});

/// Why what is shown shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShownError {
    /// It is no exhibit of this kind.
    #[error("it is no exhibit")]
    Malformed,
    /// It is for another spec.
    #[error("the spec is not the order's")]
    OtherSpec,
    /// The order was to be refused, so there is no run of it.
    #[error("there is no run of an order that is refused")]
    Refused,
    /// The files are not those of the spec's model.
    #[error("the files are not the model's")]
    OtherFiles,
    /// The output is not one of the run.
    #[error("the output is not what the run ends in")]
    OtherOutput,
    /// The trace is not that of the output.
    #[error("the trace was not made of this output")]
    OtherTrace,
    /// See [`RefereeError`].
    #[error(transparent)]
    Referee(#[from] RefereeError),
}

/// The digest of a node of a run.
#[must_use]
pub fn node(children: &[Digest]) -> Digest {
    let children: Vec<Hash> = children.iter().map(|child| child.0).collect();
    Digest(referee::tree::node(&children))
}

/// Preimages by their digests.
fn bag_of(nodes: &Nodes, values: Parts) -> Bag {
    let mut bag = Bag::default();
    for node in nodes {
        bag.add_node(node.iter().map(|child| child.0).collect());
    }
    for value in values.into_vec() {
        bag.add_value(value.into_vec());
    }
    bag
}

/// What a cell must be, of a run of the spec with this digest; `None` if the referee cannot say.
///
/// # Errors
/// [`ShownError`].
pub fn find(
    spec: &Digest,
    run: &Digest,
    path: &[u8],
    claims: &[Digest; 2],
    shown: &[u8],
) -> Result<Option<Digest>, ShownError> {
    let shown: Shown = decode(shown).map_err(|_| ShownError::Malformed)?;
    if Digest::of_blob(shown.spec.as_slice()) != *spec {
        return Err(ShownError::OtherSpec);
    }
    let spec: ChatSpec = decode(shown.spec.as_slice()).map_err(|_| ShownError::Refused)?;
    Chat::demand(&spec).map_err(|_| ShownError::Refused)?;
    let question = question(&spec, shown.spec.as_slice(), &shown.files)?;
    let bag = bag_of(&shown.nodes, shown.values);
    let opened = Opened::new(run.0, &bag);
    let head_at = usize::try_from(shown.head_at).unwrap_or(usize::MAX);
    let claims = claims.map(|claim| claim.0);
    Ok(
        match referee::decide(&question, &opened, (path, head_at), &claims)? {
            Finding::Is(cell) => Some(Digest(cell)),
            Finding::Undecided => None,
        },
    )
}

fn question<'a>(
    spec: &'a ChatSpec,
    origin: &'a [u8],
    files: &BoundedVec<ModelFile, FILES_MAX>,
) -> Result<Question<'a>, ShownError> {
    if ModelId::of_files(files) != spec.model() {
        return Err(ShownError::OtherFiles);
    }
    let file = files.iter().find(|file| file.role == ModelRole::Gguf);
    let file = file.ok_or(ShownError::OtherFiles)?;
    let parameters = spec.parameters();
    Ok(Question {
        origin,
        file_bytes: file.bytes,
        file_sha256: file.sha256,
        prompt: match spec.prompt() {
            Prompt::Tokens(tokens) => Some(tokens.as_slice()),
            Prompt::Text(_) | Prompt::Messages(_) => None,
        },
        parameters: (parameters.format == Format::Text).then(|| parameters.for_sampler()),
        seed: spec.seed(),
        tokens_max: usize::try_from(parameters.tokens_max).unwrap_or(usize::MAX),
    })
}

/// A run of a chat model, written down.
#[derive(Debug)]
struct ChatRecord {
    inner: Arc<Written>,
    engine: Arc<ChatEngine>,
}

#[derive(Debug)]
struct Written {
    engine: Arc<ChatEngine>,
    mapped: Mapped,
    files: BoundedVec<ModelFile, FILES_MAX>,
    typed: ChatSpec,
    spec: Vec<u8>,
    prompt: Vec<u32>,
    chosen: Vec<u32>,
    output: Vec<u8>,
    units: UnitVector,
    trace: Digest,
    recording: Option<Recording>,
}

impl Written {
    fn failed(error: impl core::fmt::Display) -> RecordError {
        RecordError::Failed(error.to_string())
    }

    fn run(&self) -> Result<Run<'_>, RecordError> {
        Ok(Run {
            model: &self.engine.model().weights,
            file: self.mapped.file(ModelRole::Gguf).map_err(Self::failed)?,
            origin: &self.spec,
            prompt: &self.prompt,
            chosen: &self.chosen,
        })
    }

    fn recording(&self) -> Result<&Recording, RecordError> {
        self.recording.as_ref().ok_or(RecordError::NotACell)
    }

    fn children(&self, path: &[u8]) -> Result<Vec<Digest>, RecordError> {
        let recording = self.recording()?;
        let children = match Recording::value_of(path) {
            None => recording.children(path),
            Some(place) => self.run()?.show(&Single, recording, place).children(path),
        };
        Ok(children.into_iter().map(Digest).collect())
    }

    fn exhibit(&self, path: &[u8], claims: [Digest; 2]) -> Result<Vec<u8>, RecordError> {
        let recording = self.recording()?;
        let place = Recording::value_of(path).ok_or(RecordError::NotACell)?;
        let question = question(&self.typed, &self.spec, &self.files).map_err(Self::failed)?;
        let claims = claims.map(|claim| claim.0);
        let shown = self.run()?.show(&Single, recording, place);
        let (exhibits, _) = match shown.exhibits(&question, path, &claims) {
            Err(RefereeError::NotACell) => return Err(RecordError::NotACell),
            other => other.map_err(Self::failed)?,
        };
        let bytes = self.encode(exhibits)?;
        if bytes.len() > EXHIBIT_BYTES_MAX {
            return Err(RecordError::TooLarge {
                found: bytes.len(),
                max: EXHIBIT_BYTES_MAX,
            });
        }
        Ok(bytes)
    }

    fn encode(&self, exhibits: Exhibits) -> Result<Vec<u8>, RecordError> {
        let head_at = u32::try_from(exhibits.head_at).unwrap_or(u32::MAX);
        let (nodes, values) = parts(exhibits)?;
        let shown = Shown {
            spec: BoundedBytes::new(self.spec.clone()).map_err(Self::failed)?,
            files: self.files.clone(),
            head_at,
            nodes,
            values,
        };
        Ok(shown.encode().to_vec())
    }

    fn bound(&self) -> Result<Vec<u8>, RecordError> {
        let (nodes, values) = parts(self.recording()?.ends(&self.run()?))?;
        let bound = Bound {
            spec: BoundedBytes::new(self.spec.clone()).map_err(Self::failed)?,
            output: BoundedBytes::new(self.output.clone()).map_err(Self::failed)?,
            nodes,
            values,
        };
        Ok(bound.encode().to_vec())
    }
}

fn parts(exhibits: Exhibits) -> Result<(Nodes, Parts), RecordError> {
    let node = |node: Vec<Hash>| BoundedVec::truncating(node.into_iter().map(Digest));
    let nodes = BoundedVec::new(exhibits.nodes.into_iter().map(node).collect());
    let values: Result<Vec<_>, _> = exhibits.values.into_iter().map(BoundedBytes::new).collect();
    let values = BoundedVec::new(values.map_err(Written::failed)?);
    Ok((
        nodes.map_err(Written::failed)?,
        values.map_err(Written::failed)?,
    ))
}

impl Recorder for Engine {
    fn record<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<dyn Record>, ExecuteError>> {
        async move {
            let typed: ChatSpec = decode(spec).map_err(SpecError::Malformed)?;
            let made = self.make(env, &typed, &mut Discard).await?;
            let engine = |error: &dyn core::fmt::Display| ExecuteError::Engine(error.to_string());
            let (mapped, files) = self
                .models()
                .files(typed.model())
                .map_err(|error| engine(&error))?;
            let output = made.execution.output.encode().to_vec();
            // What every honest machine refuses has no run.
            check_length::<Chat>(&typed, output.len())?;
            let units = made.execution.units;
            let mut chosen = made.execution.output.tokens.as_slice().to_vec();
            chosen.extend(made.ending);
            let mut written = Written {
                engine: Arc::clone(&made.engine),
                mapped,
                files,
                spec: spec.to_vec(),
                prompt: made.prompt,
                chosen,
                trace: trace(&Digest::of_blob(spec), &Digest::of_blob(&output), &units),
                output,
                units,
                typed,
                recording: None,
            };
            let recorded = made
                .engine
                .aside(move || {
                    let recording = written.run().map(|run| run.record(&Single));
                    recording.map(|recording| {
                        recording.map(|recording| {
                            written.recording = Some(recording);
                            written
                        })
                    })
                })
                .await
                .ok_or_else(|| engine(&"the engine stopped"))?;
            let written = recorded
                .map_err(|error| engine(&error))?
                .map_err(|error| engine(&error))?;
            let record: Arc<dyn Record> = Arc::new(ChatRecord {
                engine: made.engine,
                inner: Arc::new(written),
            });
            Ok(record)
        }
        .boxed()
    }
}

impl Record for ChatRecord {
    fn trace(&self) -> Digest {
        self.inner.trace
    }

    fn units(&self) -> UnitVector {
        self.inner.units
    }

    fn bound(&self) -> Result<Vec<u8>, RecordError> {
        self.inner.bound()
    }

    fn run(&self) -> Digest {
        let recording = self.inner.recording.as_ref();
        recording.map_or(Digest::ZERO, |recording| Digest(recording.root()))
    }

    fn children<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Vec<Digest>, RecordError>> {
        if Recording::value_of(path).is_none() {
            return std::future::ready(self.inner.children(path)).boxed();
        }
        let (inner, path) = (Arc::clone(&self.inner), path.to_vec());
        let stopped = || RecordError::Failed("the engine stopped".to_owned());
        async move {
            let done = self.engine.aside(move || inner.children(&path)).await;
            done.ok_or_else(stopped)?
        }
        .boxed()
    }

    fn exhibit<'a>(
        &'a self,
        path: &'a [u8],
        claims: [Digest; 2],
    ) -> BoxFuture<'a, Result<Vec<u8>, RecordError>> {
        let (inner, path) = (Arc::clone(&self.inner), path.to_vec());
        let stopped = || RecordError::Failed("the engine stopped".to_owned());
        async move {
            let done = self
                .engine
                .aside(move || inner.exhibit(&path, claims))
                .await;
            done.ok_or_else(stopped)?
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
