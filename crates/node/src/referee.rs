//! The referees of the kinds that have one, as the ledger asks them.

use fairweir_ledger::referee::{BadExhibit, Difference, Finding, Referee, Standing};
use fairweir_services::{
    Kind as _,
    inference::chat::{Chat, referee},
};
use fairweir_types::{Digest, order::KindId};

/// The version of chat whose runs this referee computes. It is part of the state machine, so it does not follow the program's newest version: another one is a plan of an
/// upgrade, which begins at the same block everywhere.
const CHAT: u16 = 1;

/// Every kind's referee. Needs no model: what it computes with is shown to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Referees;

impl Referee for Referees {
    fn knows(&self, kind: KindId, version: u16) -> bool {
        kind == Chat::ID && version == CHAT
    }

    fn node(&self, children: &[Digest]) -> Digest {
        referee::node(children)
    }

    fn bind(&self, standing: &Standing<'_>, bound: &[u8]) -> Result<(), BadExhibit> {
        let standing = referee::Standing {
            spec: standing.spec,
            demand: standing.demand,
            receipt: standing.receipt,
            trace: standing.trace,
            run: standing.run,
        };
        referee::bind(&standing, bound).map_err(|error| BadExhibit(error.to_string()))
    }

    fn find(&self, difference: &Difference<'_>, shown: &[u8]) -> Result<Finding, BadExhibit> {
        let Difference {
            spec,
            run,
            path,
            claims,
            ..
        } = *difference;
        let found = referee::find(spec, run, path, claims, shown)
            .map_err(|error| BadExhibit(error.to_string()))?;
        Ok(found.map_or(Finding::Undecided, Finding::Is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What validators say of a version must not change with a release: those with the old and the new program would make different states. Whoever makes this fail
    /// writes a plan.
    #[test]
    fn the_referee_knows_the_first_version_of_chat_alone() {
        let known: Vec<(u16, u16)> = (0..2_100)
            .flat_map(|kind| (0..5).map(move |version| (kind, version)))
            .filter(|(kind, version)| Referees.knows(KindId(*kind), *version))
            .collect();
        assert_eq!(known, [(2, 1)]);
    }
}
