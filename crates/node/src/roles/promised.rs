//! What an account has promised on the ledger, and what its program can keep of that: an offer or an enrolment may be older than the program.
//! Whoever is matched to, or drawn for, a version that it cannot run is slashed for its silence, so that is taken back.

use fairweir_types::{catalogue::KnownKind, limits::VERIFIER_KINDS_MAX};

/// What becomes of an offer that is on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The program knows every version that it names.
    Stands,
    /// The program does not, but knows the one in force: another offer replaces it.
    Replaced,
    /// The program can do none of the work that there is now.
    Withdrawn,
}

/// Decides on an offer, by all that the program knows and what is active of that.
pub(super) fn offer(offered: KnownKind, known: &[KnownKind], active: &[KnownKind]) -> Offered {
    if is_covered(offered, known) {
        Offered::Stands
    } else if active.iter().any(|active| active.kind == offered.kind) {
        Offered::Replaced
    } else {
        Offered::Withdrawn
    }
}

/// What to be enrolled for: what is active, and what the program still knows of the present enrolment, also when the catalogue went on without
/// that. In order of kinds; none to leave.
pub(super) fn enrolment(
    enrolled: &[KnownKind],
    known: &[KnownKind],
    active: &[KnownKind],
) -> Vec<KnownKind> {
    let mut kinds = active.to_vec();
    for present in enrolled {
        for run in known.iter().filter(|run| run.kind == present.kind) {
            let shared = present.versions.shared(run.versions);
            let kept = shared.map(|versions| KnownKind {
                versions,
                ..*present
            });
            if let Some(kept) = kept.filter(|kept| !is_covered(*kept, &kinds)) {
                kinds.push(kept);
            }
        }
    }
    // What is active comes first, so it is the last to be dropped.
    kinds.truncate(VERIFIER_KINDS_MAX);
    kinds.sort_by_key(|kept| (kept.kind, kept.versions.oldest));
    kinds
}

/// Whether every version of a kind lies within one of these ranges.
pub(super) fn is_covered(kind: KnownKind, ranges: &[KnownKind]) -> bool {
    let mut ranges = ranges.iter().filter(|range| range.kind == kind.kind);
    ranges.any(|range| kind.versions.lie_within(range.versions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{catalogue::Versions, order::KindId};

    fn kinds(ranges: &[(u16, u16, u16)]) -> Vec<KnownKind> {
        let ranges = ranges.iter().map(|&(kind, oldest, newest)| KnownKind {
            kind: KindId(kind),
            versions: Versions { oldest, newest },
        });
        ranges.collect()
    }

    #[test]
    fn an_offer_that_names_what_the_program_does_not_know_is_taken_back() {
        let cases: [(_, &[_], &[_], _); 9] = [
            // In force, or not: what is known stands.
            ((1, 1, 2), &[(1, 1, 2)], &[(1, 1, 2)], Offered::Stands),
            ((1, 1, 1), &[(1, 1, 2)], &[], Offered::Stands),
            // An older program, whose version is still the one in force; and no more.
            ((1, 1, 2), &[(1, 1, 1)], &[(1, 1, 1)], Offered::Replaced),
            ((1, 1, 2), &[(1, 1, 1)], &[], Offered::Withdrawn),
            // A newer one, that dropped the oldest version.
            ((1, 1, 2), &[(1, 2, 3)], &[(1, 2, 3)], Offered::Replaced),
            ((1, 1, 2), &[(1, 2, 3)], &[], Offered::Withdrawn),
            // One with a gap between, and one that has the kind no longer.
            ((1, 1, 3), &[(1, 1, 1), (1, 3, 3)], &[], Offered::Withdrawn),
            ((1, 1, 1), &[(2, 1, 1)], &[(2, 1, 1)], Offered::Withdrawn),
            ((1, 1, 1), &[], &[], Offered::Withdrawn),
        ];
        for (offered, known, active, expected) in cases {
            let decided = offer(kinds(&[offered])[0], &kinds(known), &kinds(active));
            assert_eq!(decided, expected, "{offered:?} by {known:?}, {active:?}");
        }
    }

    #[test]
    fn an_enrolment_keeps_what_the_program_knows_and_nothing_else() {
        type Ranges<'a> = &'a [(u16, u16, u16)];
        let cases: [[Ranges<'_>; 4]; 10] = [
            // Enrolled, known, active: enrolled for anew.
            [&[], &[(1, 1, 2)], &[(1, 1, 2)], &[(1, 1, 2)]],
            [&[], &[(1, 1, 2)], &[], &[]],
            // What is not active any more is kept, for its open work.
            [&[(1, 1, 1)], &[(1, 1, 1)], &[], &[(1, 1, 1)]],
            // Cut at the newest, and at the oldest version.
            [&[(1, 1, 2)], &[(1, 1, 1)], &[], &[(1, 1, 1)]],
            [&[(1, 1, 2)], &[(1, 2, 3)], &[], &[(1, 2, 2)]],
            // On both sides of a gap.
            [
                &[(1, 1, 3)],
                &[(1, 1, 1), (1, 3, 3)],
                &[],
                &[(1, 1, 1), (1, 3, 3)],
            ],
            [
                &[(1, 1, 3)],
                &[(1, 1, 1), (1, 3, 3)],
                &[(1, 3, 3)],
                &[(1, 1, 1), (1, 3, 3)],
            ],
            // Nothing is left: it leaves.
            [&[(1, 1, 1)], &[(1, 2, 2)], &[], &[]],
            [&[(1, 1, 1)], &[(2, 1, 1)], &[], &[]],
            // A kind that is gone, beside one that is active.
            [
                &[(2, 1, 1), (3, 1, 1)],
                &[(1, 1, 1), (2, 1, 1)],
                &[(1, 1, 1)],
                &[(1, 1, 1), (2, 1, 1)],
            ],
        ];
        for [enrolled, known, active, expected] in cases {
            let kept = enrolment(&kinds(enrolled), &kinds(known), &kinds(active));
            assert_eq!(kept, kinds(expected), "{enrolled:?} by {known:?}");
        }
    }
}
