//! The catalogue of services: which kinds of work the ledger takes, in which version, from which block on.
//!
//! What a kind *means* is the business of its service. The catalogue holds what the ledger must know to take work of it: that it is wanted, which
//! version of its rules buyer, worker and verifiers have to share, and how large one piece of work may be.

use crate::{
    bounded::BoundedVec,
    codec::record,
    limits::{SERVICE_ENTRIES_MAX, SERVICES_MAX},
    order::{Demand, KindId, Name},
    quantity::{ByteCount, Height, Millis, Units},
};

/// The versions of a kind that a program knows, from the oldest to the newest: what it offers and verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}
record!(Versions { oldest, newest });

impl Versions {
    /// A single version.
    #[must_use]
    pub const fn only(version: u16) -> Self {
        Self {
            oldest: version,
            newest: version,
        }
    }

    /// Whether a version is one of them.
    #[must_use]
    pub const fn include(&self, version: u16) -> bool {
        self.oldest <= version && version <= self.newest
    }

    /// Whether every one of them is one of the others. An empty range lies nowhere.
    #[must_use]
    pub const fn lie_within(&self, others: Self) -> bool {
        self.oldest <= self.newest && others.include(self.oldest) && others.include(self.newest)
    }

    /// The versions that are in both.
    #[must_use]
    pub fn shared(self, other: Self) -> Option<Self> {
        let shared = Self {
            oldest: self.oldest.max(other.oldest),
            newest: self.newest.min(other.newest),
        };
        (shared.oldest <= shared.newest).then_some(shared)
    }
}

/// A kind with the versions of it that a verifier's program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKind {
    /// The kind.
    pub kind: KindId,
    /// The versions.
    pub versions: Versions,
}
record!(KnownKind { kind, versions });

/// What the ledger knows of a version of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTerms {
    /// What it is called: a to z, 0 to 9 and hyphens.
    pub name: Name,
    /// The version of its rules: what a spec says, what an output is, how it is metered and checked.
    pub version: u16,
    /// The most that one piece of work may ask for: an order, or a request of a session.
    pub demand_max: Demand,
    /// Whether verdicts can be appealed to a referee, if the program has one for this version.
    pub has_appeals: bool,
}
record!(ServiceTerms {
    name,
    version,
    demand_max,
    has_appeals
});

impl ServiceTerms {
    /// The largest demand that a kind is founded with, if nobody says otherwise: more than any machine of today takes, and still a bound.
    pub const DEMAND_MAX: Demand = {
        const UNITS: Units = Units(1 << 32);
        const BYTES: ByteCount = ByteCount(1 << 32);
        Demand {
            units: crate::order::UnitVector {
                input: UNITS,
                cached_input: UNITS,
                output: UNITS,
                time: UNITS,
            },
            bytes_in: BYTES,
            bytes_out_max: BYTES,
            memory_max: ByteCount(1 << 40),
            execution_max: Millis(3_600_000),
        }
    };

    /// A version with the widest terms.
    #[must_use]
    pub fn widest(name: &str, version: u16) -> Self {
        Self {
            name: Name::truncating(name),
            version,
            demand_max: Self::DEMAND_MAX,
            has_appeals: true,
        }
    }
}

/// What holds for a kind from a block on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The first block that it holds for.
    pub from: Height,
    /// The version in force; none if the kind is retired.
    pub terms: Option<ServiceTerms>,
}
record!(ServiceEntry { from, terms });

/// A kind that a chain begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisService {
    /// The kind.
    pub kind: KindId,
    /// What holds for it from the first block on.
    pub terms: ServiceTerms,
}
record!(GenesisService { kind, terms });

/// Adds a kind to the catalogue, gives it another version or other terms, or retires it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetService {
    /// The kind.
    pub kind: KindId,
    /// What holds, and from which block on: what was planned from that block on is replaced.
    pub entry: ServiceEntry,
}
record!(SetService { kind, entry });

/// What the catalogue says of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReport {
    /// The kind.
    pub kind: KindId,
    /// In order of their blocks: what is in force, or was last, and what is planned.
    pub entries: BoundedVec<ServiceEntry, SERVICE_ENTRIES_MAX>,
}
record!(ServiceReport { kind, entries });

impl ServiceReport {
    /// What holds for a block; `None` before the first entry, and when the kind is retired.
    #[must_use]
    pub fn in_force(&self, height: Height) -> Option<&ServiceTerms> {
        let entry = self.entries.iter().rev().find(|entry| entry.from <= height);
        entry.and_then(|entry| entry.terms.as_ref())
    }

    /// What is planned after a block, in order.
    pub fn planned(&self, height: Height) -> impl Iterator<Item = &ServiceEntry> {
        self.entries.iter().filter(move |entry| entry.from > height)
    }

    /// The name that it has, had last, or will have first.
    #[must_use]
    pub fn name(&self, height: Height) -> &str {
        let named = |entry: &ServiceEntry| entry.terms.is_some();
        let until_now = self.entries.iter().rev();
        let mut until_now = until_now.filter(|entry| entry.from <= height);
        until_now
            .find(|entry| named(entry))
            .or_else(|| self.entries.iter().find(|entry| named(entry)))
            .and_then(|entry| entry.terms.as_ref())
            .map_or("", |terms| terms.name.as_str())
    }
}

/// The catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The newest block that the node has: the entries of the next one are in force for what is sent now.
    pub height: Height,
    /// Every kind, in order.
    pub services: BoundedVec<ServiceReport, SERVICES_MAX>,
}
record!(Catalogue { height, services });

impl Catalogue {
    /// What the catalogue says of a kind.
    #[must_use]
    pub fn get(&self, kind: KindId) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.kind == kind)
    }

    /// What holds for a kind in the next block.
    #[must_use]
    pub fn in_force(&self, kind: KindId) -> Option<&ServiceTerms> {
        let next = Height(self.height.get().saturating_add(1));
        self.get(kind)?.in_force(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(from: u64, version: Option<u16>) -> ServiceEntry {
        ServiceEntry {
            from: Height(from),
            terms: version.map(|version| ServiceTerms::widest("text", version)),
        }
    }

    #[test]
    fn ranges_share_what_is_in_both() {
        let range = |(oldest, newest)| Versions { oldest, newest };
        for (one, other, shared) in [
            ((1, 3), (2, 5), Some((2, 3))),
            ((1, 3), (3, 3), Some((3, 3))),
            ((1, 3), (4, 5), None),
            ((3, 1), (1, 3), None),
        ] {
            let (one, other, shared) = (range(one), range(other), shared.map(range));
            assert_eq!(one.shared(other), shared);
            assert_eq!(other.shared(one), shared);
            assert_eq!(one.lie_within(other), shared == Some(one));
            assert_eq!(other.lie_within(one), shared == Some(other));
        }
    }

    #[test]
    fn an_entry_holds_until_the_next_ones_block() {
        let entries = vec![entry(1, Some(1)), entry(10, Some(2)), entry(20, None)];
        let report = ServiceReport {
            kind: KindId(1),
            entries: BoundedVec::new(entries).unwrap(),
        };
        let version = |height| report.in_force(Height(height)).map(|terms| terms.version);
        for (height, expected) in [
            (0, None),
            (1, Some(1)),
            (9, Some(1)),
            (10, Some(2)),
            (19, Some(2)),
            (20, None),
        ] {
            assert_eq!(version(height), expected, "block {height}");
        }
        assert_eq!(report.planned(Height(9)).count(), 2);
        assert_eq!(report.name(Height(30)), "text");
    }
}
