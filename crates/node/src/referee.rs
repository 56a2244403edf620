//! The referees of the kinds that have one, as the ledger asks them.

use fairweir_ledger::referee::{BadExhibit, Difference, Finding, Referee, Standing};
use fairweir_services::{
    Kind as _,
    inference::chat::{Chat, referee},
};
use fairweir_types::{Digest, order::KindId};

/// Every kind's referee. Needs no model: what it computes with is shown to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Referees;

impl Referee for Referees {
    fn knows(&self, kind: KindId, version: u16) -> bool {
        // What it computes is part of the state machine: another version of chat is another plan of an upgrade.
        kind == Chat::ID && version == Chat::VERSION
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
