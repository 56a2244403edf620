//! The kind *embedding*: texts in, one vector of length 1 each out.
//!
//! A vector is a pure function of the text and the model's files on every machine, whatever it is computed together with, so a check
//! computes it again and compares bits. Units: input is tokens, the model's own marks included.

mod execute;
mod order;
#[cfg(test)]
mod tests;

pub use execute::Engine;
pub(in crate::inference) use execute::check_model;
pub use order::{EmbeddingOutput, EmbeddingSpec, TEXT_BYTES_MAX, TEXTS_MAX, WIDTH_MAX};

use super::Models;
use crate::{
    AnyService, Metered, Recompute, Service,
    contract::{Kind, SpecError},
};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// The version of the rules here, a byte, and of the engine's arithmetic, a byte.
pub const VERSION: u16 = (1 << 8) | fairweir_exact::ENGINE_VERSION;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Embedding;

impl Kind for Embedding {
    const ID: KindId = KindId(3);
    const VERSION: u16 = 1;
    const NAME: &'static str = "embedding";
    const SPEC_BYTES_MAX: usize = order::SPEC_BYTES_MAX;
    type Spec = EmbeddingSpec;
    type Output = EmbeddingOutput;

    fn demand(spec: &EmbeddingSpec) -> Result<Demand, SpecError> {
        order::demand(spec)
    }
}

/// The kind with the models that this machine has.
#[must_use]
pub fn service(models: Arc<dyn Models>) -> Arc<dyn AnyService> {
    let engine = Engine::new(models);
    Arc::new(Service::<Embedding, _, _, _>::new(
        engine.clone(),
        Recompute(engine),
        Metered,
    ))
}
