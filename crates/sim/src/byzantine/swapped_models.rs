use super::Twist;
use fairweir_services::inference::{
    Engines, EnginesOptions, ModelError, ModelId, ModelRole, ModelStore, Models,
    engine::{ChatEngine, EmbeddingEngine},
    model::{FILES_MAX, ModelFile},
    store::Mapped,
};
use fairweir_types::BoundedVec;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

/// Models of a machine that claims to run others: each answers under the id of the one that it is made from.
#[derive(Debug)]
pub struct SwappedModels {
    honest: Arc<dyn Models>,
    cheating: Engines,
    runs: BTreeMap<ModelId, ModelId>,
}

impl SwappedModels {
    /// Changes each chat model of a store as the twist does, and keeps the results in a folder. What it does not change stays honest.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn make(
        store: &ModelStore,
        honest: Arc<dyn Models>,
        twist: &dyn Twist,
        folder: &Path,
        options: EnginesOptions,
    ) -> Result<Arc<Self>, ModelError> {
        let own = ModelStore::open(folder.join("models"))?;
        let mut runs = BTreeMap::new();
        for (id, info) in store.list()? {
            if !info.is_chat() {
                continue;
            }
            let mapped = store.load(id)?;
            let Some(file) = twist.model_file(mapped.file(ModelRole::Gguf)?) else {
                continue;
            };
            let path = folder.join("changed.gguf");
            fs::write(&path, file).map_err(|error| ModelError::Disk {
                path: path.display().to_string(),
                error,
            })?;
            let files = [(ModelRole::Gguf, path)];
            let (other, _) = own.add(&info.name, &info.licence, &info.source, &files)?;
            runs.insert(id, other);
        }
        Ok(Arc::new(Self {
            honest,
            cheating: Engines::new(own, options),
            runs,
        }))
    }
}

impl Models for SwappedModels {
    fn chat(&self, id: ModelId) -> Result<Arc<ChatEngine>, ModelError> {
        match self.runs.get(&id) {
            Some(other) => self.cheating.chat(*other),
            None => self.honest.chat(id),
        }
    }

    fn embedding(&self, id: ModelId) -> Result<Arc<EmbeddingEngine>, ModelError> {
        self.honest.embedding(id)
    }

    fn files(&self, id: ModelId) -> Result<(Mapped, BoundedVec<ModelFile, FILES_MAX>), ModelError> {
        self.honest.files(id)
    }
}
