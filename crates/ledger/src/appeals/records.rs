//! What a slot holds while its verdict may be appealed, and is.

use super::samples;
use crate::{fault::Fault, market::Slot, state::state_record};
use fairweir_types::{
    Address, Amount, BoundedVec, Digest, Millis,
    event::{AppealDecided, AppealNarrowed, AppealOutcome, Appealed},
    limits::{APPEAL_CHILDREN_MAX, APPEAL_DEFENDERS_MAX, APPEAL_PATH_MAX, APPELLANTS_MAX},
    order::SlotId,
};

/// The appeals of one verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appeals {
    /// The trace that the verdict is for.
    pub judged: Digest,
    /// Who appealed and lost.
    pub failed: BoundedVec<Address, APPELLANTS_MAX>,
    /// The game that is on.
    pub game: Option<Game>,
}
state_record!(Appeals {
    judged,
    failed,
    game
});

/// One of the two who play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who appeals.
    Appellant,
    /// Who defends the verdict.
    Defender,
}

/// What one side has shown of its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Play {
    /// The digest of its run, once it was posted.
    pub run: Option<Digest>,
    /// Its node at the path; zero where its run has nothing.
    pub node: Digest,
    /// The node's children, once it opened it.
    pub children: Option<BoundedVec<Digest, APPEAL_CHILDREN_MAX>>,
}
state_record!(Play {
    run,
    node,
    children
});

impl Play {
    /// Whether its move is made: it opened its node, or there is nothing to open.
    fn is_made(&self) -> bool {
        self.run.is_some() && (self.children.is_some() || self.node == Digest::ZERO)
    }

    pub(super) fn child(&self, digit: usize) -> Digest {
        let children = self.children.as_ref().map(BoundedVec::as_slice);
        let child = children.and_then(|children| children.get(digit));
        child.copied().unwrap_or(Digest::ZERO)
    }
}

/// A game between an appellant and a defender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Game {
    /// Who appeals.
    pub appellant: Address,
    /// The trace that it stands for.
    pub trace: Digest,
    /// Of a batch: the sample that they play about.
    pub sample: u8,
    /// The digest of the spec that the runs are of; zero where there are none.
    pub spec: Digest,
    /// Its deposit.
    pub deposit: Amount,
    /// Who has to defend the verdict; the first plays.
    pub defenders: BoundedVec<Address, APPEAL_DEFENDERS_MAX>,
    /// The way from the runs' roots to the nodes.
    pub path: BoundedVec<u8, APPEAL_PATH_MAX>,
    /// What the appellant shows.
    pub mine: Play,
    /// What the defender shows.
    pub theirs: Play,
    /// The chain time at which it is over at the latest, once it is defended.
    pub until: Millis,
}
state_record!(Game {
    appellant,
    trace,
    sample,
    spec,
    deposit,
    defenders,
    path,
    mine,
    theirs,
    until
});

impl Game {
    /// Who defends now.
    pub(super) fn defender(&self) -> Result<Address, Fault> {
        let first = self.defenders.as_slice().first().copied();
        crate::fault::present(first, "defender of a game")
    }

    /// Which side an account plays.
    pub(super) fn side_of(&self, account: Address) -> Option<Side> {
        if account == self.appellant {
            Some(Side::Appellant)
        } else if self.defenders.as_slice().first() == Some(&account) {
            Some(Side::Defender)
        } else {
            None
        }
    }

    pub(super) fn play_of(&mut self, side: Side) -> &mut Play {
        match side {
            Side::Appellant => &mut self.mine,
            Side::Defender => &mut self.theirs,
        }
    }

    /// Whether both have moved.
    pub(super) fn is_round_over(&self) -> bool {
        self.mine.is_made() && self.theirs.is_made()
    }

    /// Who loses when the time is up: who has not moved, and the appellant where neither has, because it is for it to show something.
    pub(super) fn silent(&self) -> AppealOutcome {
        if self.theirs.run.is_none() || (self.mine.is_made() && !self.theirs.is_made()) {
            AppealOutcome::DefenderSilent
        } else {
            AppealOutcome::AppellantSilent
        }
    }

    /// Another defender: both begin again.
    pub(super) fn restart(&mut self) {
        self.path = BoundedVec::default();
        self.mine.children = None;
        self.theirs = Play::default();
    }

    pub(super) fn appealed(
        &self,
        slot_id: SlotId,
        judged: Digest,
        due: Millis,
    ) -> Result<Appealed, Fault> {
        Ok(Appealed {
            slot_id,
            sample: self.sample,
            appellant: self.appellant,
            trace: self.trace,
            run: self.mine.run.unwrap_or_default(),
            defender: self.defender()?,
            judged,
            due,
        })
    }

    pub(super) fn narrowed(&self, slot_id: SlotId, due: Millis) -> Result<AppealNarrowed, Fault> {
        Ok(AppealNarrowed {
            slot_id,
            appellant: self.appellant,
            defender: self.defender()?,
            path: self.path.clone(),
            claimed: self.mine.node,
            defended: self.theirs.node,
            due,
        })
    }

    pub(super) fn decided(
        &self,
        slot_id: SlotId,
        outcome: AppealOutcome,
        is_turned: bool,
    ) -> Result<AppealDecided, Fault> {
        Ok(AppealDecided {
            slot_id,
            appellant: self.appellant,
            defender: self.defender()?,
            outcome,
            path: self.path.clone(),
            is_turned,
        })
    }
}

impl Slot {
    /// All who said what the trace of the work is, and what: worker, first draw, dispute.
    fn voices(&self) -> impl Iterator<Item = (Address, Digest)> {
        let worker = self.worker.zip(self.opened);
        let drawn = self.first.iter().chain(self.dispute.iter());
        let drawn = drawn.filter_map(|drawn| Some((drawn.verifier, drawn.trace?)));
        worker.into_iter().chain(drawn)
    }

    /// The trace that an account stands for, if it loses by the verdict and did not appeal it yet.
    pub(super) fn loser(&self, account: Address) -> Option<Digest> {
        let appeals = self.appeals.as_ref()?;
        if appeals.failed.iter().any(|failed| *failed == account) {
            return None;
        }
        self.voices()
            .find(|(voice, trace)| *voice == account && *trace != appeals.judged)
            .map(|(_, trace)| trace)
    }

    /// Whether anybody may still appeal the verdict.
    pub(super) fn may_be_appealed(&self, slot_id: &SlotId, units_max: u64) -> bool {
        let Some(appeals) = &self.appeals else {
            return false;
        };
        let losers = self.voices().filter_map(|(voice, _)| self.loser(voice));
        losers.into_iter().any(|trace| {
            let traces = (&trace, &appeals.judged);
            samples::is_disputable((slot_id, self), traces, units_max)
        })
    }

    /// Who has to defend the verdict for a trace, the worker first.
    pub(super) fn defenders(&self, judged: &Digest) -> BoundedVec<Address, APPEAL_DEFENDERS_MAX> {
        let for_it = self.voices().filter(|(_, trace)| trace == judged);
        BoundedVec::truncating(for_it.map(|(voice, _)| voice))
    }

    /// What an open appeal holds of money.
    #[must_use]
    pub fn appeal_deposit(&self) -> Amount {
        let game = self
            .appeals
            .as_ref()
            .and_then(|appeals| appeals.game.as_ref());
        game.map_or(Amount::ZERO, |game| game.deposit)
    }

    /// Whether an account may have to move in an appeal of this slot.
    #[must_use]
    pub(crate) fn is_heard(&self, account: Address) -> bool {
        self.appeals.is_some() && self.voices().any(|(voice, _)| voice == account)
    }
}
