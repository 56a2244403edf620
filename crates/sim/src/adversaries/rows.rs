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

/// What the loss by formula says of the measured mean. Both are without the fees of the adversary's transactions, which are counted and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// The mean is this.
    Exactly,
    /// It is this at least.
    AtLeast,
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
    /// What its loss by formula says of the mean.
    pub expects: Expects,
    /// How the formula goes, in words.
    pub formula: &'static str,
    /// How many times as many seeds it needs: what is rarely found varies much.
    pub times: u64,
    /// Tells its story with a seed; `false` for the twin.
    pub tell: fn(seed: u64, cheats: bool) -> Outcome,
}

macro_rules! rows {
    ($($name:literal, $rules:literal, $reference:ident, $expects:ident $formula:ident, $times:literal, $tell:expr;)*) => {
        /// Every behaviour, by who shows it: workers at orders, verifiers, workers in lanes, buyers.
        pub const ALL: &[Row] = &[$(Row {
            name: $name,
            rules: $rules,
            reference: Reference::$reference,
            expects: Expects::$expects,
            formula: $formula,
            times: $times,
            tell: $tell,
        }),*];
    };
}

/// A cheat at an order, which is always found.
const FOUND: &str = "Q + s·S: every order is checked";
const LATE: &str = "the late penalty on Q";
const COLLUSION: &str = "Q + s·S, and w·V by how likely the verifier votes: 2/8 + 6/8 · 5/6";
const LISTENED: &str =
    "V·(1 − (1 − w·2/8)^k) less what it earned, k of 24 orders planted, each by a lot of 1 %";
const DRAWN: &str =
    "V·(1 − (1 − x·2/8)^6): drawn for a quarter of six orders, x of what is left each time";
const SAMPLED: &str = "P·(s·S + T) − (1 − P)·T";
const WITHHELD: &str = "P·(s·S + T) − (1 − P)·T less what the friend earned: to withhold is never worth it, because without a link something is drawn";
const INFLATED: &str = "P·(s·S + U + T) − (1 − P)·(U − T), U what the voucher covers";
const FORGED: &str = "D·(s·S + 2·T + v) − (1 − D)·v, D = (n + 1)·p·v/(T + v), v the forged leaf";
const SHELTERED: &str = "the same with D·(1 − A + A·v/(T + v)) in place of D, and A·D·(1 − v/(T + v))·x·V less what the friend earned more than in the twin, A = 1/8";
const REPEATED: &str =
    "P·(s·S + 2·T + v) − (1 − P)·v, P of n + 1 requests, v the leaf that comes twice";
const LANE_DRAWN: &str = "P·2/8·x·V − 1/8·l, l the fee of a link";
const NOTHING: &str = "nothing but the fees of what is refused, or comes to nothing";
const TOTAL: &str = "T";
const OVERHEAD: &str =
    "what its settlements burned and paid for checks, less its worker's part; as an honest buyer";
const CHECKS: &str = "five checks";
const LOOKED: &str = "the least fee of seven checks";

rows! {
    "wrong-output", "2, 7", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WrongOutput);
    "inflated-units", "10", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::InflatedUnits);
    "edited-token", "3", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::EditedToken);
    "skipped-layer", "3", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::SkippedLayer);
    "three-bit-weights", "3", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::ThreeBitWeights);
    "other-template", "3", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::OtherTemplate);
    "other-seed", "3", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::OtherSeed);
    "withheld-opening", "2", Aside, Exactly FOUND, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WithheldOpening);
    "withheld-receipt", "6", Aside, Exactly LATE, 1, |seed, cheats| orders::worker(seed, cheats, Behaviour::WithheldReceipt);
    "fleeing-stake", "5", Aside, Exactly FOUND, 1, orders::fleeing_stake;
    "collusion", "4, 7", Aside, Exactly COLLUSION, 1, orders::collusion;
    "listening-verifier", "4", Aside, Exactly LISTENED, 4, orders::listening_verifier;
    "copying-verifier", "4", Aside, Exactly DRAWN, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::CopyingVerifier);
    "lying-verifier", "7", Aside, Exactly DRAWN, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::LyingVerifier);
    "silent-verifier", "4", Aside, Exactly DRAWN, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::SilentVerifier);
    "idle-verifier", "7", Aside, Exactly DRAWN, 1, |seed, cheats| orders::verifier(seed, cheats, Behaviour::IdleVerifier);
    "lane-wrong-output", "5", Aside, Exactly SAMPLED, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::WrongOutput));
    "withholding-verifier", "1", Aside, Exactly WITHHELD, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::WithheldLink);
    "withholding-proposer", "1", Aside, Exactly WITHHELD, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::WithheldBlock);
    "withheld-leaves", "2, 8", Aside, Exactly SAMPLED, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::WithheldLeaves));
    "withheld-key", "8", Aside, Exactly SAMPLED, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::WithheldKey);
    "inflated-claim", "2", Twin, Exactly INFLATED, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::InflatedClaim));
    "forged-request", "2, 3", Twin, Exactly FORGED, 4, |seed, cheats| lanes::worker(seed, cheats, Cheat::ForgedRequest);
    "sheltered-forgery", "1, 2, 3", Twin, Exactly SHELTERED, 4, |seed, cheats| lanes::worker(seed, cheats, Cheat::ShelteredForgery);
    "repeated-leaf", "2", Twin, Exactly REPEATED, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::RepeatedLeaf);
    "lane-lying-verifier", "4, 7", Aside, Exactly LANE_DRAWN, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::LyingVerifier);
    "lane-silent-verifier", "4", Aside, Exactly LANE_DRAWN, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::SilentVerifier);
    "lane-idle-verifier", "7", Aside, Exactly LANE_DRAWN, 4, |seed, cheats| lanes::verifier(seed, cheats, Behaviour::IdleVerifier);
    "claimed-again", "2, 6", Twin, Exactly NOTHING, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::ClaimedAgain));
    "unclaimed-lane", "6", Twin, Exactly TOTAL, 1, |seed, cheats| lanes::worker(seed, cheats, Cheat::Twist(Behaviour::UnclaimedLane));
    "unpaying-buyer", "6", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Unpaying);
    "early-close", "6", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::EarlyClose);
    "overdrawing-buyer", "6", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Overdrawing);
    "replaying-buyer", "6", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Replaying);
    "unfunded-buyer", "10", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Unfunded);
    "frivolous-challenger", "10", Twin, Exactly CHECKS, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::Challenger);
    "absent-spec", "3, 6", Aside, Exactly NOTHING, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::AbsentSpec);
    "hidden-spec", "3, 4, 7", Aside, Exactly LOOKED, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::HiddenSpec);
    "wash-trader", "9", Aside, Exactly OVERHEAD, 1, |seed, cheats| tricks::buyer(seed, cheats, Trick::WashTrader);
}

/// The behaviour with a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Row> {
    ALL.iter().find(|row| row.name == name)
}
