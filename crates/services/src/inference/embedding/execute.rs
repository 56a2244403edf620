use super::{Embedding, EmbeddingOutput, EmbeddingSpec};
use crate::{
    contract::{ExecuteError, Execution, Executor, SpecError},
    inference::{ModelError, Models, engine::EmbeddingEngine, store::Mapped},
    world::{Env, Outlet},
};
use fairweir_exact::path::Path;
use fairweir_types::{BoundedVec, Units, order::UnitVector};
use std::sync::Arc;

/// Runs the kind with the models of this machine.
#[derive(Clone, Debug)]
pub struct Engine {
    models: Arc<dyn Models>,
}

impl Engine {
    /// With these models.
    #[must_use]
    pub fn new(models: Arc<dyn Models>) -> Self {
        Self { models }
    }
}

/// Whether a model can be used: everything that running it needs is read.
pub(in crate::inference) fn check_model(mapped: &Mapped) -> Result<(), ModelError> {
    EmbeddingEngine::inline(mapped, Path::best()).map(drop)
}

fn refused(reason: impl core::fmt::Display) -> ExecuteError {
    ExecuteError::Refused(SpecError::Refused(reason.to_string()))
}

impl Executor<Embedding> for Engine {
    async fn execute(
        &self,
        env: &Env<'_>,
        spec: &EmbeddingSpec,
        _: &mut dyn Outlet,
    ) -> Result<Execution<EmbeddingOutput>, ExecuteError> {
        let engine = self
            .models
            .embedding(spec.model())
            .map_err(|error| ExecuteError::Engine(error.to_string()))?;
        let texts = spec
            .texts()
            .map(|text| engine.tokens(text).map_err(refused))
            .collect::<Result<Vec<_>, _>>()?;
        let tokens: usize = texts.iter().map(Vec::len).sum();
        let input = Units(u64::try_from(tokens).unwrap_or(u64::MAX));
        if input > env.limits.units.input {
            return Err(refused("the texts have more tokens than the order allows"));
        }
        let vectors = engine.encode(texts).await.map_err(ExecuteError::Engine)?;
        let vectors = vectors
            .into_iter()
            .map(|vector| BoundedVec::new(vector.into_iter().map(f32::to_bits).collect()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(refused)?;
        let output = EmbeddingOutput {
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            vectors: BoundedVec::new(vectors).map_err(refused)?,
        };
        let units = UnitVector {
            input,
            ..UnitVector::default()
        };
        Ok(Execution::whole(output, units))
    }
}
