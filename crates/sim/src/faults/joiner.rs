//! A node that comes in the middle of a story with an empty disk: how it gets to the present, and how those lie to it that it asks; drawn from a seed.

use super::{Fault, Faults, plan::Dice};
use std::{collections::BTreeSet, time::Duration};

/// Milliseconds in which it comes, from the first second on: chains have some blocks then.
const COMES_WITHIN_MS: u64 = 14_000;
/// Milliseconds after that in which what hits it alone begins: so short that it may be in the middle of its copy.
const HIT_WITHIN_MS: u64 = 3_000;

/// A node without a vote that comes later, with an empty disk, and asks the nodes of all validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    /// When it comes.
    pub at: Duration,
    /// How it is told to get to the present.
    pub way: Way,
    /// What the nodes of the byzantine validators do to it, each in its own way; if there is none they have no nodes.
    pub lies: Vec<Lie>,
    /// Whether it asks those first.
    pub trusts_liars: bool,
    /// Validators that keep the newest blocks only, and the state after them: not all. Where epochs are long nothing is forgotten in a story.
    pub forgetful: BTreeSet<usize>,
}

/// How a node gets to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a copy of the state.
    State,
    /// By all blocks.
    Blocks,
    /// By blocks, unless nobody gives it the first one for a while.
    Auto,
}

/// How a node lies to who follows it. In all else it answers as an honest one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// A byte of a record of the state is another.
    Record,
    /// A byte of the proof of a part is another.
    Proof,
    /// The end of a part is missing.
    Cut,
    /// A part has more than was asked for.
    TooMany,
    /// A part is of another place in the log, with its proof.
    Elsewhere,
    /// A part belongs to the state after another block, with its proof.
    OtherState,
    /// It says that it does not hold the state any more.
    Gone,
    /// It says that others ask it, for ever.
    Busy,
    /// It gives parts and blocks that are noise.
    Noise,
    /// It takes questions for parts and blocks, and never answers.
    Silent,
    /// Headers say another state.
    Header,
    /// Certificates are of another block.
    Certificate,
    /// Blocks say another time, and lack their transactions.
    Body,
    /// It shows an old block as its newest one, and keeps back what came since.
    Old,
    /// It tells of blocks that never were.
    Future,
    /// It says that the seats changed hands when they did not, or that they never did.
    Seats,
}

impl Lie {
    /// All of them: those about the state first.
    pub const ALL: [Self; 16] = [
        Self::Record,
        Self::Proof,
        Self::Cut,
        Self::TooMany,
        Self::Elsewhere,
        Self::OtherState,
        Self::Gone,
        Self::Busy,
        Self::Noise,
        Self::Silent,
        Self::Header,
        Self::Certificate,
        Self::Body,
        Self::Old,
        Self::Future,
        Self::Seats,
    ];
    /// How many of them only who copies the state is told.
    pub const OF_STATE: usize = 8;

    /// Those that matter to who goes this way.
    fn of(way: Way) -> &'static [Self] {
        let first = match way {
            Way::State => 0,
            Way::Blocks | Way::Auto => Self::OF_STATE,
        };
        Self::ALL.get(first..).unwrap_or_default()
    }
}

/// Draws one for some stories, and what hits it alone: it is the validator after the last one.
pub(super) fn draw(dice: &mut Dice, faults: &mut Faults) {
    let (validators, byzantine) = (faults.validators, faults.byzantine.len());
    if !dice.is_one_of(2) {
        return;
    }
    let way = match dice.below(6) {
        0..=3 => Way::State,
        4 => Way::Blocks,
        _ => Way::Auto,
    };
    let at = Duration::from_millis(1_000 + dice.below(COMES_WITHIN_MS));
    let lies = Lie::of(way);
    let count = if dice.is_one_of(6) { 0 } else { byzantine };
    // One after the other, so that each is another one.
    let first = usize::try_from(dice.below(lies.len() as u64)).unwrap_or_default();
    let drawn = lies.iter().cycle().skip(first).step_by(5).take(count);
    let joiner = Joiner {
        at,
        way,
        lies: drawn.copied().collect(),
        trusts_liars: !dice.is_one_of(3),
        forgetful: if dice.is_one_of(2) {
            dice.some(validators - byzantine)
        } else {
            BTreeSet::new()
        },
    };
    let itself = BTreeSet::from([validators]);
    for _ in 0..dice.below(4) {
        let from = at + Duration::from_millis(dice.below(HIT_WITHIN_MS));
        let length = Duration::from_millis(1_000 + dice.below(6_000));
        let side = itself.clone();
        let fault = match dice.below(6) {
            0 => Fault::Partition { side },
            1 => Fault::Flapping { side },
            2 => Fault::SlowDisks {
                validators: side,
                by_ms: 5 + dice.below(400),
            },
            _ => Fault::Crash { validators: side },
        };
        faults.faults.push((from, from + length, fault));
    }
    faults.joiner = Some(joiner);
}
