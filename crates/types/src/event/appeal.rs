//! Events of an appeal: two who disagree about a run find the cell about which they do, and the referee says who is wrong.

use crate::{
    bounded::BoundedVec,
    codec::{record, tag},
    digest::Digest,
    keys::Address,
    limits::APPEAL_PATH_MAX,
    order::SlotId,
    quantity::Millis,
};

/// A verdict may be appealed, for the first time or again, by anybody who loses by it and did not appeal it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppealsOpen {
    /// The slot.
    pub slot_id: SlotId,
    /// The trace that the verdict is for.
    pub judged: Digest,
    /// The chain time by which an appeal must come.
    pub until: Millis,
}
record!(AppealsOpen {
    slot_id,
    judged,
    until
});

/// A verdict was appealed, or another defends it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appealed {
    /// The slot.
    pub slot_id: SlotId,
    /// Of a batch: the sample that they play about.
    pub sample: u8,
    /// Who appeals.
    pub appellant: Address,
    /// The trace that it stands for.
    pub trace: Digest,
    /// Its whole run.
    pub run: Digest,
    /// Who has to defend the verdict.
    pub defender: Address,
    /// The trace that the verdict is for.
    pub judged: Digest,
    /// The chain time by which the defender must show its run.
    pub due: Millis,
}
record!(Appealed {
    slot_id,
    sample,
    appellant,
    trace,
    run,
    defender,
    judged,
    due
});

/// The difference between two runs lies under one node: each side opens its own, or, if it is a cell, exhibits what it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppealNarrowed {
    /// The slot.
    pub slot_id: SlotId,
    /// Who appeals.
    pub appellant: Address,
    /// Who defends.
    pub defender: Address,
    /// The way from the runs' roots to the node.
    pub path: BoundedVec<u8, APPEAL_PATH_MAX>,
    /// The appellant's node.
    pub claimed: Digest,
    /// The defender's node.
    pub defended: Digest,
    /// The chain time by which both must have moved.
    pub due: Millis,
}
record!(AppealNarrowed {
    slot_id,
    appellant,
    defender,
    path,
    claimed,
    defended,
    due
});

/// Who was right in a game of an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppealOutcome {
    /// The referee found the defender's cell wrong.
    DefenderWrong,
    /// The defender did not move in time.
    DefenderSilent,
    /// The referee found the appellant's cell wrong.
    AppellantWrong,
    /// The appellant did not move in time.
    AppellantSilent,
    /// The referee cannot decide about the cell: the verdict stands.
    Undecided,
}
tag!(AppealOutcome {
    1 => DefenderWrong,
    2 => DefenderSilent,
    3 => AppellantWrong,
    4 => AppellantSilent,
    5 => Undecided,
});

impl AppealOutcome {
    /// Whether the defender lost.
    #[must_use]
    pub const fn is_for_appellant(self) -> bool {
        matches!(self, Self::DefenderWrong | Self::DefenderSilent)
    }
}

/// A game of an appeal is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppealDecided {
    /// The slot.
    pub slot_id: SlotId,
    /// Who appealed.
    pub appellant: Address,
    /// Who defended.
    pub defender: Address,
    /// Who was right.
    pub outcome: AppealOutcome,
    /// Where the difference was.
    pub path: BoundedVec<u8, APPEAL_PATH_MAX>,
    /// Whether the verdict is turned: all who had to defend it lost.
    pub is_turned: bool,
}
record!(AppealDecided {
    slot_id,
    appellant,
    defender,
    outcome,
    path,
    is_turned
});
