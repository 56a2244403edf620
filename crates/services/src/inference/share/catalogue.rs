//! What the machines of a network have, together.

use super::{FetchError, Holding, SOURCES_MAX, holdings};
use crate::inference::ModelId;
use fairweir_net::{Network, PeerAddr, PeerId};
use std::collections::BTreeMap;

/// A model that machines of a network have.
#[derive(Clone, Debug)]
pub struct OnNetwork {
    /// Its id.
    pub id: ModelId,
    /// What the first of the machines says of it.
    pub holding: Holding,
    /// Every name that a machine gives it.
    pub names: Vec<String>,
    /// Who has it.
    pub holders: Vec<PeerAddr>,
}

/// What a network has, and which machines did not say.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The models, by id.
    pub models: Vec<OnNetwork>,
    /// Who did not answer, and why.
    pub failed: Vec<(PeerId, FetchError)>,
}

/// Why a name is of no one model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOneModel {
    /// Nobody has it.
    #[error("no machine that was asked has a model called {0}")]
    Nobody(String),
    /// Machines call different models by one name.
    #[error("machines call different models {name}: choose one by its id, {}", .ids.join(" or "))]
    Several {
        /// The name.
        name: String,
        /// The ids.
        ids: Vec<String>,
    },
}

/// Asks all machines at once.
pub async fn catalogue<N: Network>(network: &N, sources: &[PeerAddr]) -> Catalogue {
    let sources = &sources[..sources.len().min(SOURCES_MAX)];
    let asked = sources
        .iter()
        .map(|peer| holdings(network, peer, ModelId::default()));
    let answers = futures::future::join_all(asked).await;
    let mut models: BTreeMap<ModelId, OnNetwork> = BTreeMap::new();
    let mut failed = Vec::new();
    for (peer, answer) in sources.iter().zip(answers) {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                failed.push((peer.id(), error));
                continue;
            }
        };
        for (id, holding) in found {
            let name = holding.name.as_str().to_owned();
            let model = models.entry(id).or_insert_with(|| OnNetwork {
                id,
                holding,
                names: Vec::new(),
                holders: Vec::new(),
            });
            model.holders.push(peer.clone());
            if !model.names.contains(&name) {
                model.names.push(name);
            }
        }
    }
    Catalogue {
        models: models.into_values().collect(),
        failed,
    }
}

impl Catalogue {
    /// The one model of an id or a name. Names are what machines say, so one that two models have is nobody's.
    ///
    /// # Errors
    /// [`NoOneModel`].
    pub fn find(&self, name: &str) -> Result<&OnNetwork, NoOneModel> {
        let is_it = |model: &&OnNetwork| {
            model.id.to_string() == name || model.names.iter().any(|other| other == name)
        };
        let found: Vec<&OnNetwork> = self.models.iter().filter(is_it).collect();
        match found.as_slice() {
            [] => Err(NoOneModel::Nobody(name.to_owned())),
            [model] => Ok(model),
            several => Err(NoOneModel::Several {
                name: name.to_owned(),
                ids: several.iter().map(|model| model.id.to_string()).collect(),
            }),
        }
    }
}
