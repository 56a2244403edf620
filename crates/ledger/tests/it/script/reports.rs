//! Validators in the table language. The one of the genesis is called `validator`; so is its account, if `accounts` names it.
//!
//! ```text
//! A: report validator notarize:a notarize:b      two votes in view 7, for the blocks `a` and `b`; `a/3` has its parent in view 3
//! A: report validator nullify finalize:a genesis=other    signed for another chain; `key=other` by another key, `view=8` in another view
//! B: report A notarize:a notarize:b              the votes of a candidate
//! ```

use super::Line;
use crate::world::{World, identity_of, vote_key, vote_key_of};
use fairweir_types::{
    Action, Boxed, Digest,
    double_vote::{CastVote, DoubleVote, VoteKind},
    keys::VoteSecretKey,
    tx::ReportDoubleVote,
};

/// The view that is reported.
const VIEW: u64 = 7;

fn vote(world: &World, line: &Line<'_>, text: &str) -> CastVote {
    let (kind, block) = text.split_once(':').unwrap_or((text, ""));
    let (block, parent) = block.split_once('/').unwrap_or((block, "6"));
    let kind = match kind {
        "notarize" => VoteKind::Notarize,
        "nullify" => VoteKind::Nullify,
        "finalize" => VoteKind::Finalize,
        other => panic!("no kind of vote {other}"),
    };
    let genesis = match line.options.get("genesis") {
        Some(other) => Digest::of_blob(other.as_bytes()),
        None => world.genesis.digest(),
    };
    let key = match (line.options.get("key"), line.word(1)) {
        (Some(_), _) => VoteSecretKey::from_seed([8; 32]).unwrap(),
        (None, "validator") => vote_key(),
        (None, name) => vote_key_of(name),
    };
    let block = Digest::of_blob(block.as_bytes());
    let round = (0, line.option("view", VIEW));
    CastVote::cast(
        (&genesis, &key),
        round,
        kind,
        (parent.parse().unwrap(), block),
    )
}

pub(super) fn action(world: &World, line: &Line<'_>) -> Option<Action> {
    if line.word(0) != "report" {
        return None;
    }
    let evidence = DoubleVote {
        validator: identity_of(line.word(1)),
        epoch: 0,
        view: VIEW,
        first: vote(world, line, line.word(2)),
        second: vote(world, line, line.word(3)),
    };
    Some(Action::ReportDoubleVote(Boxed::new(ReportDoubleVote {
        evidence,
    })))
}
