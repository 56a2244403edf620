//! What goes wrong in a story, drawn from its seed.

use super::joiner::{self, Joiner};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::{collections::BTreeSet, time::Duration};

/// How long faults go on.
const LENGTH_SECONDS: u64 = 15;
/// Faults of a story at most.
const FAULTS_MAX: u64 = 6;
/// How wrong a clock may be, in milliseconds: ten minutes.
const SKEW_MAX_MS: u64 = 600_000;
/// Of so many seeds the one with that rest tells of silence that is judged.
const JUDGED: (u64, u64) = (12, 11);
/// How many times later and longer validators crash there, where epochs are longer.
const LONGER: u32 = 3;
/// How wrong a clock that counts as right may be, in milliseconds.
const RIGHT_MS: u64 = 200;

/// Milliseconds until a write is durable on a disk that is hardly slow, at most.
const DISK_MS: u64 = 40;
/// So many times that is doubled at most.
const DISK_DOUBLINGS: u64 = 6;
/// The dice for what came later than the other faults, so that what else happens in a story stays what it was.
const LATER: u64 = 1;
/// The same for what came after that: who joins.
const JOINS: u64 = 2;

/// A validator that does not keep the rules throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Byzantine {
    /// It votes for a block that does not exist besides each that does.
    VotesTwice,
    /// It never says anything.
    Silent,
    /// It is two with the same keys, each of which keeps the rules and speaks with some of the others only: two real blocks in the views in
    /// which it proposes, and votes for both.
    Twins {
        /// Whom the first half speaks with.
        first: BTreeSet<usize>,
        /// Whom the second does.
        second: BTreeSet<usize>,
    },
    /// It leaves the transactions of an account, or all, out of its blocks.
    Censor,
    /// Every block that it proposes is invalid, each in another way.
    Forger,
}

impl Byzantine {
    /// Whether it signs what excludes what else it signs: with more than f of these no chain of 3f + 1 validators is safe.
    #[must_use]
    pub const fn signs_twice(&self) -> bool {
        matches!(self, Self::VotesTwice | Self::Twins { .. })
    }
}

/// How long the epochs of a story are, and whether seats move with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats {
    /// One epoch lasts for the whole story.
    Stay,
    /// Epochs of a few blocks, in which the same validators have the seats.
    StayOverEpochs,
    /// Epochs of a few blocks; honest validators stand for the seats, and those that are gone lose theirs.
    Move,
    /// The same with as many blocks as it takes to jail those that have seats and make none.
    MoveAndJail,
}

impl Seats {
    /// Whether honest validators stand for them.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        matches!(self, Self::Move | Self::MoveAndJail)
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Validators crash, lose what was not yet durable, and start again later.
    Crash {
        /// Who.
        validators: BTreeSet<usize>,
    },
    /// These validators and the others do not reach each other.
    Partition {
        /// One side.
        side: BTreeSet<usize>,
    },
    /// These and the other honest validators do not reach each other, and those that lie reach all.
    Bridged {
        /// One side.
        side: BTreeSet<usize>,
    },
    /// These validators reach nobody of the others, who reach them.
    OneWay {
        /// Whose words are lost.
        side: BTreeSet<usize>,
    },
    /// The same, off and on each second.
    Flapping {
        /// One side.
        side: BTreeSet<usize>,
    },
    /// All links lose this part of all messages, in hundredths, and deliver the others out of order.
    Loss {
        /// The part.
        hundredths: u64,
    },
    /// Of all messages this part, in hundredths, comes twice, the second time up to three seconds later.
    Echo {
        /// The part.
        hundredths: u64,
    },
    /// What these validators write takes longer to become durable.
    SlowDisks {
        /// Who.
        validators: BTreeSet<usize>,
        /// Milliseconds of each write that is waited for.
        by_ms: u64,
    },
}

impl Fault {
    /// Whether it hits nobody but that one; the node that joins has the number behind those of validators.
    fn only_hits(&self, number: usize) -> bool {
        let hit = match self {
            Self::Crash { validators } | Self::SlowDisks { validators, .. } => validators,
            Self::Partition { side }
            | Self::Bridged { side }
            | Self::OneWay { side }
            | Self::Flapping { side } => side,
            Self::Loss { .. } | Self::Echo { .. } => return false,
        };
        hit.iter().eq([&number])
    }
}

/// What is done to the network at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A validator crashes.
    Stop(usize),
    /// It starts again, unless another crash of its own goes on.
    Start(usize),
    /// What the first says does not reach the second.
    Cut(BTreeSet<(usize, usize)>),
    /// It does again, unless another fault is between them.
    Join(BTreeSet<(usize, usize)>),
    /// All links lose so many hundredths more.
    Lossy(u64),
    /// They do no more.
    Lossless(u64),
    /// So many hundredths of messages more come twice.
    Echo(u64),
    /// They do no more.
    NoEcho(u64),
    /// A validator's disk becomes slower by so many milliseconds.
    SlowDisk(usize, u64),
    /// It is as quick again as before.
    QuickDisk(usize, u64),
    /// The node that joins comes.
    Come,
}

/// The faults of one story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// What they were drawn from, and all else that is random.
    pub seed: u64,
    /// Validators, 4 or 7: of 3f + 1 up to f may be byzantine, and one more where the chain need not go on.
    pub validators: usize,
    /// Milliseconds that a message takes on a whole link.
    pub latency_ms: u64,
    /// Milliseconds by which that varies.
    pub jitter_ms: u64,
    /// Hundredths of messages that a whole link loses.
    pub loss: u64,
    /// What becomes of the seats.
    pub seats: Seats,
    /// The last validators are byzantine.
    pub byzantine: Vec<Byzantine>,
    /// Milliseconds by which each honest validator's clock is wrong: of f of them at most by more than a little.
    pub skews_ms: Vec<i64>,
    /// What goes wrong, from when to when. The node that joins is the one after the last validator.
    pub faults: Vec<(Duration, Duration, Fault)>,
    /// Who comes later, with an empty disk.
    pub joiner: Option<Joiner>,
}

/// Throws dice.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// Those of a seed and a stream of their own.
    fn of(seed: u64, stream: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(stream);
        Self(dice)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }

    pub(super) fn is_one_of(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Some of so many, at least one and not all.
    pub(super) fn some(&mut self, of: usize) -> BTreeSet<usize> {
        let bits = 1 + self.below((1 << of) - 2);
        (0..of).filter(|number| bits >> number & 1 == 1).collect()
    }

    /// Some who lie, of so many validators: of one of eight stories one more than may.
    fn liars(&mut self, validators: usize, tolerated: usize) -> Vec<Byzantine> {
        let count = if self.is_one_of(4) {
            tolerated + 1
        } else {
            1 + usize::try_from(self.below(tolerated as u64)).unwrap_or_default()
        };
        let first_liar = validators - count;
        let liars = (0..count).map(|number| {
            // Not more than may sign twice.
            let may_sign_twice = number < tolerated;
            match self.below(if may_sign_twice { 7 } else { 4 }) {
                0 => Byzantine::Silent,
                1 => Byzantine::Censor,
                2 | 3 => Byzantine::Forger,
                4 => Byzantine::VotesTwice,
                _ => self.twins(validators, first_liar + number),
            }
        });
        liars.collect()
    }

    /// One that is two, whose halves share the others.
    fn twins(&mut self, validators: usize, itself: usize) -> Byzantine {
        let (mut first, mut second) = (BTreeSet::new(), BTreeSet::new());
        for other in (0..validators).filter(|other| *other != itself) {
            let speaks_with = self.below(5);
            // The one, the other, or both.
            if speaks_with != 0 && speaks_with != 1 {
                first.insert(other);
            }
            if speaks_with != 2 && speaks_with != 3 {
                second.insert(other);
            }
        }
        Byzantine::Twins { first, second }
    }
}

impl Faults {
    /// The faults of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut faults = Self::without_joiner(seed);
        joiner::draw(&mut Dice::of(seed, JOINS), &mut faults);
        faults
    }

    /// Those of a seed but for the node that joins.
    #[must_use]
    pub fn without_joiner(seed: u64) -> Self {
        let mut dice = Dice::of(seed, LATER);
        let validators = Self::plain(seed).validators;
        let tolerated = (validators - 1) / 3;
        let liars = dice.is_one_of(2).then(|| dice.liars(validators, tolerated));
        let mut faults = Self::drawn(seed, liars);
        let honest = faults.honest();
        for _ in 0..dice.below(4) {
            let from = Duration::from_millis(dice.below(LENGTH_SECONDS * 800));
            let length = Duration::from_millis(500 + dice.below(LENGTH_SECONDS * 500));
            let fault = match dice.below(5) {
                0 => Fault::Bridged {
                    side: dice.some(honest),
                },
                1 | 2 => Fault::Echo {
                    hundredths: 5 + dice.below(60),
                },
                _ => {
                    // As often a little as much: one that is very slow only stops its validator.
                    let most_ms = DISK_MS << dice.below(DISK_DOUBLINGS);
                    Fault::SlowDisks {
                        validators: if dice.is_one_of(4) {
                            (0..honest).collect()
                        } else {
                            dice.some(honest)
                        },
                        by_ms: 5 + dice.below(most_ms),
                    }
                }
            };
            faults.faults.push((from, from + length, fault));
        }
        if seed % JUDGED.0 == JUDGED.1 {
            faults.judge_silence();
        }
        faults
    }

    /// Whoever makes no block in an epoch is jailed, and validators crash instead of all else, but for the last one: who is jailed though nothing happened
    /// to it was jailed wrongly.
    fn judge_silence(&mut self) {
        self.seats = Seats::MoveAndJail;
        self.byzantine.clear();
        self.skews_ms.resize(self.validators, 0);
        let crashing = self.validators - 1;
        for (number, (from, to, fault)) in self.faults.iter_mut().enumerate() {
            let validators = BTreeSet::from([number % crashing]);
            *fault = Fault::Crash { validators };
            *from *= LONGER;
            *to *= LONGER;
        }
    }

    /// Those of a seed without what came later: silence that is judged, twins, censors, forgers, more liars than may be, halves that liars bridge, disks that are slow, messages that come
    /// twice, and nodes that join.
    #[must_use]
    pub fn plain(seed: u64) -> Self {
        Self::drawn(seed, None)
    }

    /// Those of a seed, where these lie if any are said.
    fn drawn(seed: u64, liars: Option<Vec<Byzantine>>) -> Self {
        let mut dice = Dice::of(seed, 0);
        let validators = if dice.is_one_of(8) { 7 } else { 4 };
        let tolerated: usize = (validators - 1) / 3;
        let byzantine: Vec<_> = match dice.below(4) {
            0 => vec![Byzantine::VotesTwice],
            1 => vec![Byzantine::Silent],
            _ => Vec::new(),
        };
        let byzantine = liars.unwrap_or(byzantine);
        let honest = validators - byzantine.len();
        let mut skews_ms = vec![0; honest];
        for (number, skew) in skews_ms.iter_mut().enumerate() {
            // Who is wrong by much counts among the f that may fail.
            let may_be_wild = tolerated.saturating_sub(byzantine.len());
            let is_wild = number < may_be_wild && dice.is_one_of(3);
            let most = if is_wild { SKEW_MAX_MS } else { RIGHT_MS };
            let off = i64::try_from(dice.below(2 * most + 1)).unwrap_or_default();
            *skew = off - i64::try_from(most).unwrap_or_default();
        }
        let faults = (0..=dice.below(FAULTS_MAX)).map(|_| {
            let from = Duration::from_millis(dice.below(LENGTH_SECONDS * 800));
            let length = Duration::from_millis(500 + dice.below(LENGTH_SECONDS * 500));
            let fault = match dice.below(8) {
                0..=2 => Fault::Crash {
                    validators: if dice.is_one_of(8) {
                        (0..honest).collect()
                    } else {
                        dice.some(honest)
                    },
                },
                3 => Fault::Partition {
                    side: dice.some(honest),
                },
                4 => Fault::OneWay {
                    side: dice.some(honest),
                },
                5 => Fault::Flapping {
                    side: dice.some(honest),
                },
                _ => Fault::Loss {
                    hundredths: 5 + dice.below(40),
                },
            };
            (from, from + length, fault)
        });
        let faults = faults.collect();
        Self {
            seed,
            validators,
            latency_ms: 2 + dice.below(80),
            jitter_ms: dice.below(40),
            loss: dice.below(3),
            // Not by the dice: what else happens in a story stays what it was.
            seats: match seed % 3 {
                0 => Seats::Stay,
                1 => Seats::StayOverEpochs,
                _ => Seats::Move,
            },
            byzantine,
            skews_ms,
            faults,
            joiner: None,
        }
    }

    /// Validators that keep the rules: the first so many.
    #[must_use]
    pub const fn honest(&self) -> usize {
        self.validators - self.byzantine.len()
    }

    /// Whether a validator keeps the newest blocks only: of long epochs all would be kept in any case.
    pub(super) fn forgets(&self, validator: usize) -> bool {
        let joiner = self.joiner.as_ref();
        self.seats != Seats::Stay
            && joiner.is_some_and(|joiner| joiner.forgetful.contains(&validator))
    }

    /// Validators that nothing happens to which could keep their blocks from the others; none where more goes wrong than validators that crash.
    pub(super) fn untouched(&self) -> BTreeSet<usize> {
        let mut untouched: BTreeSet<usize> = (0..self.honest()).collect();
        if !self.byzantine.is_empty() {
            return BTreeSet::new();
        }
        for (_, _, fault) in &self.faults {
            match fault {
                Fault::Crash { validators } => {
                    untouched.retain(|validator| !validators.contains(validator));
                }
                fault if fault.only_hits(self.validators) => {}
                _ => return BTreeSet::new(),
            }
        }
        // Blocks of a validator whose clock is ahead by more come too late.
        untouched.retain(|validator| self.skews_ms[*validator].unsigned_abs() <= RIGHT_MS);
        untouched
    }

    /// Whether no more fail than may, so that the chain must go on once all else is whole.
    #[must_use]
    pub const fn must_go_on(&self) -> bool {
        3 * self.byzantine.len() < self.validators
    }

    /// What is done when, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<(Duration, Change)> {
        let mut changes = Vec::new();
        if let Some(joiner) = &self.joiner {
            changes.push((joiner.at, Change::Come));
        }
        for (from, to, fault) in &self.faults {
            let (from, to) = (*from, *to);
            match fault {
                Fault::Crash { validators } => {
                    for validator in validators {
                        changes.push((from, Change::Stop(*validator)));
                        changes.push((to, Change::Start(*validator)));
                    }
                }
                Fault::Partition { side } | Fault::Bridged { side } => {
                    let mut both = self.between(side, true);
                    if matches!(fault, Fault::Bridged { .. }) {
                        let honest = 0..self.honest();
                        both.retain(|(a, b)| honest.contains(a) && honest.contains(b));
                    }
                    changes.push((from, Change::Cut(both.clone())));
                    changes.push((to, Change::Join(both)));
                }
                Fault::OneWay { side } => {
                    let one = self.between(side, false);
                    changes.push((from, Change::Cut(one.clone())));
                    changes.push((to, Change::Join(one)));
                }
                Fault::Flapping { side } => {
                    let both = self.between(side, true);
                    let mut at = from;
                    while at < to {
                        changes.push((at, Change::Cut(both.clone())));
                        changes.push((at + Duration::from_millis(500), Change::Join(both.clone())));
                        at += Duration::from_secs(1);
                    }
                }
                Fault::Loss { hundredths } => {
                    changes.push((from, Change::Lossy(*hundredths)));
                    changes.push((to, Change::Lossless(*hundredths)));
                }
                Fault::Echo { hundredths } => {
                    changes.push((from, Change::Echo(*hundredths)));
                    changes.push((to, Change::NoEcho(*hundredths)));
                }
                Fault::SlowDisks { validators, by_ms } => {
                    for validator in validators {
                        changes.push((from, Change::SlowDisk(*validator, *by_ms)));
                        changes.push((to, Change::QuickDisk(*validator, *by_ms)));
                    }
                }
            }
        }
        changes.sort_by_key(|(at, _)| *at);
        changes
    }

    fn between(&self, side: &BTreeSet<usize>, both_ways: bool) -> BTreeSet<(usize, usize)> {
        let others = (0..self.validators).filter(|number| !side.contains(number));
        let pairs = others.flat_map(|other| {
            let out = side.iter().map(move |one| (*one, other));
            let back = side
                .iter()
                .filter(move |_| both_ways)
                .map(move |one| (other, *one));
            out.chain(back)
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::joiner::{Lie, Way},
        *,
    };

    #[test]
    fn what_begins_ends_and_no_more_than_f_fail_where_the_chain_must_go_on() {
        for seed in 0..500 {
            let faults = Faults::of_seed(seed);
            assert_eq!(faults, Faults::of_seed(seed));
            let tolerated = (faults.validators - 1) / 3;
            let wild = faults.skews_ms.iter().filter(|skew| skew.abs() > 1_000);
            let failing = faults.byzantine.len() + wild.count();
            assert!(failing <= tolerated + usize::from(!faults.must_go_on()));
            let twice = faults.byzantine.iter().filter(|liar| liar.signs_twice());
            assert!(twice.count() <= tolerated, "no chain is safe otherwise");
            if let Some(joiner) = &faults.joiner {
                assert!(joiner.lies.len() <= faults.byzantine.len());
                assert!(joiner.forgetful.len() < faults.honest());
                assert!(joiner.forgetful.last() < Some(&faults.honest()));
                let kinds: BTreeSet<_> = joiner.lies.iter().collect();
                assert_eq!(kinds.len(), joiner.lies.len(), "each in its own way");
            }
            let count = |is: fn(&Change) -> bool| {
                let changes = faults.changes();
                changes.iter().filter(|(_, change)| is(change)).count()
            };
            assert_eq!(
                count(|change| matches!(change, Change::Stop(_))),
                count(|change| matches!(change, Change::Start(_)))
            );
            assert_eq!(
                count(|change| matches!(change, Change::Cut(_))),
                count(|change| matches!(change, Change::Join(_)))
            );
            assert_eq!(
                count(|change| matches!(change, Change::SlowDisk(..))),
                count(|change| matches!(change, Change::QuickDisk(..)))
            );
        }
    }

    #[test]
    fn every_fault_is_among_those_of_two_hundred_stories() {
        let stories: Vec<_> = (0..200).map(Faults::of_seed).collect();
        let is_there = |is: fn(&Byzantine) -> bool| {
            let mut liars = stories.iter().flat_map(|faults| &faults.byzantine);
            assert!(liars.any(is));
        };
        is_there(|liar| matches!(liar, Byzantine::VotesTwice));
        is_there(|liar| matches!(liar, Byzantine::Silent));
        is_there(|liar| matches!(liar, Byzantine::Twins { .. }));
        is_there(|liar| matches!(liar, Byzantine::Censor));
        is_there(|liar| matches!(liar, Byzantine::Forger));
        let is_told = |is: fn(&Fault) -> bool| {
            let mut faults = stories.iter().flat_map(|faults| &faults.faults);
            assert!(faults.any(|(_, _, fault)| is(fault)));
        };
        is_told(|fault| matches!(fault, Fault::Crash { .. }));
        is_told(|fault| matches!(fault, Fault::Partition { .. }));
        is_told(|fault| matches!(fault, Fault::Bridged { .. }));
        is_told(|fault| matches!(fault, Fault::OneWay { .. }));
        is_told(|fault| matches!(fault, Fault::Flapping { .. }));
        is_told(|fault| matches!(fault, Fault::Loss { .. }));
        is_told(|fault| matches!(fault, Fault::Echo { .. }));
        is_told(|fault| matches!(fault, Fault::SlowDisks { .. }));
        assert!(stories.iter().any(|faults| !faults.must_go_on()));
        let judged = stories
            .iter()
            .filter(|faults| faults.seats == Seats::MoveAndJail);
        // Each has somebody whom nobody may jail.
        let untouched: Vec<_> = judged.map(|faults| faults.untouched().len()).collect();
        assert!(
            untouched.len() > 10 && !untouched.contains(&0),
            "{untouched:?}"
        );
        let joiners = || stories.iter().filter_map(|faults| faults.joiner.as_ref());
        for way in [Way::State, Way::Blocks, Way::Auto] {
            assert!(joiners().any(|joiner| joiner.way == way), "{way:?}");
        }
        let skews = stories.iter().flat_map(|faults| &faults.skews_ms);
        let (least, most) = (skews.clone().min(), skews.max());
        assert!(least < Some(&-300_000) && most > Some(&300_000));
    }

    #[test]
    fn every_lie_to_who_joins_is_among_those_of_five_hundred_stories() {
        let stories: Vec<_> = (0..500).map(Faults::of_seed).collect();
        let joiners = stories.iter().filter_map(|faults| faults.joiner.as_ref());
        let told: BTreeSet<_> = joiners.flat_map(|joiner| &joiner.lies).collect();
        assert_eq!(told, Lie::ALL.iter().collect());
    }
}
