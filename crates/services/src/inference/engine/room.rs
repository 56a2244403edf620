//! The engines of one process: each model once, within a memory budget.

use super::{ChatEngine, ChatModel, EmbeddingEngine, EngineThreads};
use crate::inference::{
    ModelError, ModelFile, ModelId, ModelStore, Models, model::FILES_MAX, store::Mapped,
};
use fairweir_exact::path::Path;
use fairweir_types::BoundedVec;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How engines use the machine.
#[derive(Clone, Debug)]
pub struct EnginesOptions {
    /// Threads that compute, for each model.
    pub threads: EngineThreads,
    /// Bytes that models may take together: weights, keys and values.
    pub memory_max: usize,
    /// Bytes of keys and values for each chat model.
    pub cache_max: usize,
    /// Which instructions to use; all give the same bits.
    pub path: Path,
}

impl Default for EnginesOptions {
    fn default() -> Self {
        Self {
            threads: EngineThreads::anywhere(
                std::thread::available_parallelism().map_or(1, usize::from),
            ),
            memory_max: 8 << 30,
            cache_max: 2 << 30,
            path: Path::best(),
        }
    }
}

#[derive(Debug, Default)]
struct Loaded {
    chat: BTreeMap<ModelId, Arc<ChatEngine>>,
    embedding: BTreeMap<ModelId, Arc<EmbeddingEngine>>,
    bytes: usize,
}

/// The models of a store, each loaded when it is first asked for, and then shared.
#[derive(Debug)]
pub struct Engines {
    store: ModelStore,
    options: EnginesOptions,
    loaded: Mutex<Loaded>,
}

impl Engines {
    /// Engines for the models of a store.
    #[must_use]
    pub fn new(store: ModelStore, options: EnginesOptions) -> Self {
        Self {
            store,
            options,
            loaded: Mutex::new(Loaded::default()),
        }
    }

    /// Where its models are.
    #[must_use]
    pub const fn store(&self) -> &ModelStore {
        &self.store
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admission: what does not fit the budget is refused before it is loaded.
    fn admit(&self, loaded: &Loaded, needed: usize) -> Result<(), ModelError> {
        let left = self.options.memory_max.saturating_sub(loaded.bytes);
        if needed > left {
            return Err(ModelError::Memory { needed, left });
        }
        Ok(())
    }

    fn file_bytes(&self, id: ModelId) -> Result<usize, ModelError> {
        let info = self.store.info(id)?;
        let bytes: u64 = info.files.iter().map(|(_, bytes, _)| *bytes).sum();
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }
}

impl Models for Engines {
    fn chat(&self, id: ModelId) -> Result<Arc<ChatEngine>, ModelError> {
        // The lock is held while a model loads, so that nobody loads it twice.
        let mut loaded = self.loaded();
        if let Some(engine) = loaded.chat.get(&id) {
            return Ok(Arc::clone(engine));
        }
        let needed = self.file_bytes(id)?.saturating_add(self.options.cache_max);
        self.admit(&loaded, needed)?;
        let model = ChatModel::load(&self.store.load(id)?, self.options.path)?;
        let bytes = model.weights.bytes().saturating_add(self.options.cache_max);
        let engine = ChatEngine::start(model, &self.options.threads, self.options.cache_max)?;
        let engine = Arc::new(engine);
        loaded.bytes += bytes;
        loaded.chat.insert(id, Arc::clone(&engine));
        Ok(engine)
    }

    fn embedding(&self, id: ModelId) -> Result<Arc<EmbeddingEngine>, ModelError> {
        let mut loaded = self.loaded();
        if let Some(engine) = loaded.embedding.get(&id) {
            return Ok(Arc::clone(engine));
        }
        self.admit(&loaded, self.file_bytes(id)?)?;
        let mapped = self.store.load(id)?;
        let engine = EmbeddingEngine::start(&mapped, self.options.path, &self.options.threads)?;
        let engine = Arc::new(engine);
        loaded.bytes += engine.bytes();
        loaded.embedding.insert(id, Arc::clone(&engine));
        Ok(engine)
    }

    fn files(&self, id: ModelId) -> Result<(Mapped, BoundedVec<ModelFile, FILES_MAX>), ModelError> {
        Ok((self.store.load(id)?, self.store.info(id)?.model_files()?))
    }
}
