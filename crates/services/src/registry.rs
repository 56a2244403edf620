//! Every kind that this program can run.

use crate::{AnyService, contract::Served, text::Text};
use fairweir_types::order::KindId;
use std::{collections::BTreeMap, sync::Arc};

/// Services by kind.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    services: BTreeMap<KindId, Arc<dyn AnyService>>,
}

impl Registry {
    /// Every kind in this crate.
    #[must_use]
    pub fn standard() -> Self {
        Self::of([
            // One line per kind.
            Text::service(),
        ])
    }

    /// Every kind in this crate, with models to run those that need some.
    #[cfg(feature = "inference")]
    #[must_use]
    pub fn with_models(models: &Arc<dyn crate::inference::Models>) -> Self {
        let mut registry = Self::standard();
        let more = [
            crate::inference::chat::service(Arc::clone(models)),
            crate::inference::embedding::service(Arc::clone(models)),
        ];
        let more = more.into_iter().map(|service| (service.id(), service));
        registry.services.extend(more);
        registry
    }

    /// Without a kind: for a machine that cannot run it.
    #[must_use]
    pub fn without(mut self, kind: KindId) -> Self {
        self.services.remove(&kind);
        self
    }

    /// These services; of two with one kind the later one.
    #[must_use]
    pub fn of(services: impl IntoIterator<Item = Arc<dyn AnyService>>) -> Self {
        Self {
            services: services
                .into_iter()
                .map(|service| (service.id(), service))
                .collect(),
        }
    }

    /// The service of a kind.
    #[must_use]
    pub fn get(&self, kind: KindId) -> Option<&Arc<dyn AnyService>> {
        self.services.get(&kind)
    }

    /// The service with a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn AnyService>> {
        self.iter().find(|service| service.name() == name)
    }

    /// All services, by kind.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyService>> {
        self.services.values()
    }
}
