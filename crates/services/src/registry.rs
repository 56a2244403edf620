//! Every kind that this program can run, in every version that it knows.

use crate::{AnyService, contract::Served, text::Text};
use fairweir_types::{
    Height,
    catalogue::{Catalogue, GenesisService, KnownKind, ServiceTerms, Versions},
    order::KindId,
};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;

/// Services by kind and version.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    services: BTreeMap<(KindId, u16), Arc<dyn AnyService>>,
}

/// Why a kind that this program has cannot be worked for as the catalogue stands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotNow {
    /// Nobody voted for it.
    #[error(
        "the kind {kind} is not in this chain's catalogue: `fairweir proposal submit set-service` proposes it"
    )]
    NotInCatalogue {
        /// Its number.
        kind: KindId,
    },
    /// It begins later.
    #[error("the kind {kind} becomes active with block {from}")]
    NotYet {
        /// Its number.
        kind: KindId,
        /// Its first block.
        from: Height,
    },
    /// It is retired.
    #[error("the kind {kind} is retired since block {since}")]
    Retired {
        /// Its number.
        kind: KindId,
        /// From which block on.
        since: Height,
    },
    /// Another version is in force.
    #[error(
        "the kind {kind} is at version {in_force} on this chain, this program knows {oldest} to {newest}: {}",
        if in_force > newest { "update it" } else { "it is too new, use an older release or wait for the vote" }
    )]
    OtherVersion {
        /// Its number.
        kind: KindId,
        /// The version in force.
        in_force: u16,
        /// The oldest version of this program.
        oldest: u16,
        /// The newest version of this program.
        newest: u16,
    },
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
        registry.services.extend(more.into_iter().map(keyed));
        registry
    }

    /// Without a kind: for a machine that cannot run it.
    #[must_use]
    pub fn without(mut self, kind: KindId) -> Self {
        self.services.retain(|(other, _), _| *other != kind);
        self
    }

    /// These services; of two with one kind and version the later one.
    #[must_use]
    pub fn of(services: impl IntoIterator<Item = Arc<dyn AnyService>>) -> Self {
        Self {
            services: services.into_iter().map(keyed).collect(),
        }
    }

    /// The service of a version of a kind.
    #[must_use]
    pub fn get(&self, kind: KindId, version: u16) -> Option<&Arc<dyn AnyService>> {
        self.services.get(&(kind, version))
    }

    /// Whether there is a service of a version of a kind.
    #[must_use]
    pub fn knows(&self, kind: KindId, version: u16) -> bool {
        self.get(kind, version).is_some()
    }

    /// The service of the newest version of a kind.
    #[must_use]
    pub fn newest(&self, kind: KindId) -> Option<&Arc<dyn AnyService>> {
        let versions = self.services.range((kind, 0)..=(kind, u16::MAX));
        versions.last().map(|(_, service)| service)
    }

    /// The service with a name, in its newest version.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn AnyService>> {
        self.iter().find(|service| service.name() == name)
    }

    /// The newest version of each kind, by kind.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyService>> {
        let is_newest = move |(kind, version): (KindId, u16)| {
            self.versions(kind).map(|v| v.newest) == Some(version)
        };
        let newest = self.services.iter();
        let newest = newest.filter(move |(key, _)| is_newest(**key));
        newest.map(|(_, service)| service)
    }

    /// The versions of a kind: the newest, and those before it without a gap.
    #[must_use]
    pub fn versions(&self, kind: KindId) -> Option<Versions> {
        let mut runs = self.known().into_iter();
        let newest = runs.rfind(|run| run.kind == kind);
        newest.map(|run| run.versions)
    }

    /// Every version of every kind, in ranges without a gap, by kind.
    #[must_use]
    pub fn known(&self) -> Vec<KnownKind> {
        let mut known: Vec<KnownKind> = Vec::new();
        for &(kind, version) in self.services.keys() {
            match known.last_mut() {
                Some(run)
                    if run.kind == kind && run.versions.newest.checked_add(1) == Some(version) =>
                {
                    run.versions.newest = version;
                }
                _ => known.push(KnownKind {
                    kind,
                    versions: Versions::only(version),
                }),
            }
        }
        known
    }

    /// Whether work of a kind can be offered, checked or bought with this program now.
    ///
    /// # Errors
    /// [`NotNow`]: why not, and what to do.
    pub fn check(&self, catalogue: &Catalogue, kind: KindId) -> Result<KnownKind, NotNow> {
        let service = catalogue.get(kind);
        let service = service.ok_or(NotNow::NotInCatalogue { kind })?;
        let Some(terms) = catalogue.in_force(kind) else {
            let next = Height(catalogue.height.get().saturating_add(1));
            let planned = service.planned(next).find(|entry| entry.terms.is_some());
            return Err(match planned {
                Some(entry) => NotNow::NotYet {
                    kind,
                    from: entry.from,
                },
                None => NotNow::Retired {
                    kind,
                    since: service.entries.iter().last().map_or(next, |last| last.from),
                },
            });
        };
        known_with(&self.known(), kind, terms.version).ok_or_else(|| {
            let newest = self.versions(kind).unwrap_or_default();
            NotNow::OtherVersion {
                kind,
                in_force: terms.version,
                oldest: newest.oldest,
                newest: newest.newest,
            }
        })
    }

    /// The kinds that can be worked for as the catalogue stands, and why the others cannot.
    #[must_use]
    pub fn active(&self, catalogue: &Catalogue) -> (Vec<KnownKind>, Vec<NotNow>) {
        let (mut active, mut others) = (Vec::new(), Vec::new());
        for service in self.iter() {
            match self.check(catalogue, service.id()) {
                Ok(known) => active.push(known),
                Err(why) => others.push(why),
            }
        }
        (active, others)
    }

    /// The kinds that a chain is founded with if nobody says otherwise: all of them, in their newest version.
    #[must_use]
    pub fn founding(&self) -> Vec<GenesisService> {
        let services = self.iter().map(|service| GenesisService {
            kind: service.id(),
            terms: ServiceTerms::widest(service.name(), service.version()),
        });
        services.collect()
    }
}

/// The range of versions of a kind that has this one.
#[must_use]
pub fn known_with(known: &[KnownKind], kind: KindId, version: u16) -> Option<KnownKind> {
    let mut runs = known.iter().filter(|run| run.kind == kind);
    runs.find(|run| run.versions.include(version)).copied()
}

fn keyed(service: Arc<dyn AnyService>) -> ((KindId, u16), Arc<dyn AnyService>) {
    ((service.id(), service.version()), service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{
        BoundedVec,
        catalogue::{ServiceEntry, ServiceReport},
    };

    const TEXT: KindId = KindId(1);

    /// A catalogue after block 10, with entries of text.
    fn catalogue(entries: &[(u64, Option<u16>)]) -> Catalogue {
        let entries = entries.iter().map(|(from, version)| ServiceEntry {
            from: Height(*from),
            terms: version.map(|version| ServiceTerms::widest("text", version)),
        });
        let entries = BoundedVec::truncating(entries);
        let service = ServiceReport {
            kind: TEXT,
            entries,
        };
        Catalogue {
            height: Height(10),
            services: BoundedVec::truncating([service]),
        }
    }

    #[test]
    fn a_kind_is_worked_for_in_a_version_that_is_known_and_in_force() {
        let registry = Registry::standard();
        let check = |entries: &[_]| registry.check(&catalogue(entries), TEXT);
        let versions = Versions::only(1);
        let known = Ok(KnownKind {
            kind: TEXT,
            versions,
        });
        assert_eq!(check(&[(1, Some(1))]), known);
        // The next block counts, because what is sent now lands in it.
        assert_eq!(check(&[(11, Some(1))]), known);
        assert_eq!(
            check(&[(12, Some(1))]),
            Err(NotNow::NotYet {
                kind: TEXT,
                from: Height(12)
            })
        );
        assert_eq!(
            check(&[(1, Some(1)), (9, None)]),
            Err(NotNow::Retired {
                kind: TEXT,
                since: Height(9)
            })
        );
        let newer = check(&[(1, Some(1)), (9, Some(2))]).unwrap_err();
        assert!(newer.to_string().ends_with("knows 1 to 1: update it"));
        let missing = registry.check(&Catalogue::default(), TEXT).unwrap_err();
        assert_eq!(missing, NotNow::NotInCatalogue { kind: TEXT });
        let (active, others) = registry.active(&catalogue(&[(1, Some(2))]));
        assert_eq!((active.len(), others.len()), (0, 1));
    }

    #[test]
    fn a_version_before_a_gap_is_known() {
        let run = |oldest, newest| KnownKind {
            kind: TEXT,
            versions: Versions { oldest, newest },
        };
        let known = [run(1, 2), run(4, 5)];
        let with = |version| known_with(&known, TEXT, version);
        assert_eq!(with(2), Some(run(1, 2)));
        assert_eq!(with(3), None);
        assert_eq!(with(5), Some(run(4, 5)));
        assert_eq!(known_with(&known, KindId(2), 5), None);
    }

    #[test]
    fn a_chain_is_founded_with_every_kind_that_is_known() {
        let founding = Registry::standard().founding();
        let found: Vec<_> = founding
            .iter()
            .map(|service| (service.kind, service.terms.name.as_str()))
            .collect();
        assert_eq!(found, [(TEXT, "text")]);
    }
}
