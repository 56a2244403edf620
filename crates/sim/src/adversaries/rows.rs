//! Every behaviour of the table, with the rule that it breaks and what its loss is measured against.

use super::{
    Outcome,
    lanes::{self, Cheat},
    orders,
    tricks::{self, Trick},
};
use crate::byzantine::Behaviour;

/// What an adversary would have had otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Nothing: it stands aside.
    Aside,
    /// What an honest participant has after the same story with the same seed.
    Twin,
}

/// A behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The rules of `docs/protocol.md` that answer it.
    pub rules: &'static str,
    /// What its loss is measured against.
    pub reference: Reference,
    /// How many times as many seeds it needs: what is rarely found varies much.
    pub times: u64,
    /// Tells its story with a seed; `false` for the twin.
    pub tell: fn(seed: u64, cheats: bool) -> Outcome,
}

macro_rules! rows {
    ($($name:literal, $rules:literal, $reference:ident, $times:literal, $tell:expr;)*) => {
        /// Every behaviour, by who shows it: workers at orders, verifiers, workers in lanes, buyers.
        pub const ALL: &[Row] = &[$(Row {
            name: $name,
            rules: $rules,
            reference: Reference::$reference,
            times: $times,
            tell: $tell,
        }),*];
    };
}

rows! {
    "wrong-output", "2, 7", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WrongOutput);
    "inflated-units", "10", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::InflatedUnits);
    "edited-token", "3", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::EditedToken);
    "skipped-layer", "3", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::SkippedLayer);
    "three-bit-weights", "3", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::ThreeBitWeights);
    "other-template", "3", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::OtherTemplate);
    "other-seed", "3", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::OtherSeed);
    "withheld-opening", "2", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WithheldOpening);
    "withheld-receipt", "6", Aside, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WithheldReceipt);
    "fleeing-stake", "5", Aside, 1, orders::fleeing_stake;
    "collusion", "4, 7", Aside, 1, orders::collusion;
    "copying-verifier", "4", Aside, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::CopyingVerifier);
    "lying-verifier", "7", Aside, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::LyingVerifier);
    "silent-verifier", "4", Aside, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::SilentVerifier);
    "idle-verifier", "7", Aside, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::IdleVerifier);
    "lane-wrong-output", "5", Aside, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::WrongOutput));
    "withholding-proposer", "1", Aside, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::WithheldBlock);
    "withheld-leaves", "2, 8", Aside, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::WithheldLeaves));
    "withheld-key", "8", Aside, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::WithheldKey);
    "inflated-claim", "2", Twin, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::InflatedClaim));
    "forged-request", "2, 3", Twin, 4, |seed, cheats| lanes::worker(seed, cheats, Cheat::ForgedRequest);
    "repeated-leaf", "2", Twin, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::RepeatedLeaf);
    "lane-lying-verifier", "4, 7", Aside, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::LyingVerifier);
    "lane-silent-verifier", "4", Aside, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::SilentVerifier);
    "lane-idle-verifier", "7", Aside, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::IdleVerifier);
    "claimed-again", "2, 6", Twin, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::ClaimedAgain));
    "unclaimed-lane", "6", Twin, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::UnclaimedLane));
    "unpaying-buyer", "6", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Unpaying);
    "early-close", "6", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::EarlyClose);
    "overdrawing-buyer", "6", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Overdrawing);
    "replaying-buyer", "6", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Replaying);
    "unfunded-buyer", "10", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Unfunded);
    "frivolous-challenger", "10", Twin, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Challenger);
    "wash-trader", "9", Aside, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::WashTrader);
}

/// The behaviour with a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Row> {
    ALL.iter().find(|row| row.name == name)
}
