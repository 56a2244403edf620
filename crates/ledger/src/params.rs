//! Governed values: number, unit, range, default and where the default comes from.
//!
//! A genesis sets them within their ranges, and a proposal that passes changes one for the blocks after it (`governance`). What is open goes
//! on by what it was begun with: timers, fees, deposits and quotes stand in its own records.

use crate::{fault::Fault, keys, relations::first_broken, state::State};
use fairweir_types::{
    Amount, Bps, ChainId, Genesis, Millis,
    genesis::{GenesisError, GenesisParam},
    limits::{APPEAL_DEFENDERS_MAX, APPEAL_MOVES_MAX},
};

/// What one governed value is.
#[derive(Clone, Copy, Debug)]
pub struct ParamSpec {
    /// Its stable number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The least value.
    pub min: u64,
    /// The default.
    pub default: u64,
    /// The greatest value.
    pub max: u64,
    /// Why the default is what it is.
    pub source: &'static str,
}

macro_rules! params {
    ($($number:literal $name:ident: $unit:literal, $min:literal ..= $max:literal, $default:literal, $source:literal;)*) => {
        /// All governed values, by number.
        pub const PARAMS: &[ParamSpec] = &[$(ParamSpec {
            number: $number,
            name: stringify!($name),
            unit: $unit,
            min: $min,
            default: $default,
            max: $max,
            source: $source,
        }),*];

        /// The governed values of one block, loaded once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Params { $(#[doc = $source] pub(crate) $name: u64,)* }

        impl Params {
            /// Loads the values in force.
            pub(crate) fn load(state: &dyn State) -> Result<Self, Fault> {
                Ok(Self { $($name: crate::state::load(state, &keys::param($number))?.unwrap_or($default),)* })
            }

            /// The defaults, but for the values given by number.
            fn with(given: impl Fn(u16) -> Option<u64>) -> Self {
                Self { $($name: given($number).unwrap_or($default),)* }
            }

            /// The value with this number.
            #[must_use]
            pub fn get(&self, number: u16) -> Option<u64> {
                match number {
                    $($number => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Sets the value with this number, if there is one.
            pub(crate) fn set(&mut self, number: u16, value: u64) {
                match number {
                    $($number => self.$name = value,)*
                    _ => {}
                }
            }

            /// Every value by name, for reports.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

params! {
    1 fee_base: "base units", 0..=1_000_000_000, 1_000, "A transaction costs at least a millionth of a coin, so that filling a block costs money.";
    2 fee_per_byte: "base units per byte", 0..=1_000_000, 10, "Blocks and their history cost in proportion to bytes.";
    3 expiry_blocks_max: "blocks", 10..=10_000_000, 100_000, "A forgotten transaction cannot come back after about a day of heartbeats.";
    4 verifier_stake_min: "base units", 1_000_000_000..=1_000_000_000_000_000, 100_000_000_000, "A hundred coins: one missed verdict costs more than many checks earn.";
    5 worker_stake_min: "base units", 1_000_000_000..=1_000_000_000_000_000, 100_000_000_000, "A hundred coins: as much as a verifier, because workers are drawn as verifiers too.";
    6 unbonding_delay: "milliseconds of chain time", 60_000..=31_536_000_000, 86_400_000, "A day: longer than every window together, so that stake outlives what it answers for (protocol rule 5).";
    7 settlement_fee_bps: "basis points of the quote", 0..=1_000, 100, "One per cent, burned: wash trading loses money (protocol rule 9).";
    8 settlement_fee_min: "base units", 0..=1_000_000_000, 1_000, "The record work of a settlement is not free.";
    9 check_fee_bps: "basis points of the quote, per check", 0..=10_000, 2_500, "Verification costs about a quarter of generation (protocol rule 10).";
    10 check_fee_min: "base units", 0..=1_000_000_000, 15_000, "The two transactions of a verdict must be worth their fee.";
    11 deposit_per_byte: "base units per byte", 0..=1_000_000, 100, "Refundable: whoever fills the state lends money to it (protocol rule 10).";
    12 late_penalty_bps: "basis points of the quote", 0..=10_000, 1_000, "A missed deadline costs a tenth of the price.";
    13 slash_share_bps: "basis points of the stake", 0..=1_000, 500, "Until a kind has a referee, a majority takes the held payment and at most this share (protocol rule 7).";
    14 wrong_verdict_bps: "basis points of the stake", 1..=10_000, 500, "A wrong verdict costs as much as the worker's share.";
    15 missing_verdict_bps: "basis points of the stake", 1..=10_000, 100, "Silence costs less than a lie, and more than the check earns.";
    16 reporter_share_bps: "basis points of the slashed amount", 0..=2_000, 2_000, "At most a fifth, so that reporting is no business of its own (protocol rule 5).";
    17 exposure_bps: "basis points of the quote", 10_000..=100_000, 20_000, "Open work is covered twice by stake (protocol rule 5 with p = 1).";
    18 commit_window: "milliseconds of chain time", 1_000..=86_400_000, 20_000, "Re-executing a job of the longest allowed run, on a busy machine.";
    19 open_window: "milliseconds of chain time", 1_000..=86_400_000, 20_000, "One transaction, with time to restart a process.";
    20 reveal_window: "milliseconds of chain time", 1_000..=86_400_000, 20_000, "One transaction, with time to restart a process.";
    21 challenge_window: "milliseconds of chain time", 1_000..=604_800_000, 3_600_000, "An hour for the buyer to look at what it got.";
    22 window_blocks_min: "blocks", 2..=1_000, 4, "2f + 2 final blocks for f = 1 (protocol rule 2): no proposer alone can run a window out; a network of more validators is founded with more.";
    23 match_retry: "milliseconds of chain time", 100..=600_000, 1_000, "One heartbeat; it doubles with each try.";
    24 attempts_max: "assignments", 1..=8, 3, "After three failed workers the order, not the workers, is the likely cause.";
    25 first_draw: "verifiers", 1..=4, 2, "Protocol rule 7.";
    26 dispute_draw: "verifiers", 3..=8, 5, "Protocol rule 7.";
    27 dispute_quorum: "verifiers", 3..=8, 4, "Protocol rule 7: at least four of five.";
    28 halt_gap: "milliseconds", 1_000..=600_000, 5_000, "Chain time advances at most this much per block, so that windows stretch over a halt (protocol rule 2).";
    29 draw_delay: "blocks", 2..=100, 2, "A draw for something in block h uses the beacon of h + 2 (protocol rule 1).";
    30 challenge_deposit: "base units", 1_000..=1_000_000_000_000, 1_000_000_000, "One coin at least: pays the checks of a frivolous challenge.";
    31 late_penalty_min: "base units", 0..=1_000_000_000_000, 10_000_000, "A hundredth of a coin: a cheap offer of a dead worker must not hold up orders for nothing.";
    32 match_retry_max: "milliseconds of chain time", 1_000..=86_400_000, 60_000, "An unmatched order is tried at least once a minute, if the block's quota of tries allows.";
    33 sampling_bps: "basis points", 1..=10_000, 100, "One request in a hundred of a session is checked: stake at a lane makes a single found cheat cost more than a hundred gain (protocol rule 5).";
    34 close_window: "milliseconds of chain time", 1_000..=86_400_000, 60_000, "For a worker to claim what it served before its lane closed, with time to restart a machine.";
    35 appeal_window: "milliseconds of chain time", 1_000..=86_400_000, 600_000, "Ten minutes to write a run down, for whoever appeals and then for whoever defends: it takes as long as the longest work.";
    36 appeal_move: "milliseconds of chain time", 1_000..=86_400_000, 20_000, "One transaction: a row of the run is computed again to show a value.";
    37 appeal_game: "milliseconds of chain time", 10_000..=86_400_000, 600_000, "For all moves of one game, thirteen of each side at most, once the defender has shown its run: who is slow loses.";
    38 appeal_deposit: "base units", 1_000..=1_000_000_000_000, 1_000_000_000, "One coin: pays the moves of the defender that it loses against.";
    39 appeal_units_max: "units of input and output", 1..=1_000_000_000, 2_048, "Work above it has no appeal: an honest side that could not write its run down would lose by silence. Runs of 2,048 positions can be written down for models of up to 40 layers of 64 heads.";
    40 link_fee: "base units", 0..=1_000_000_000, 10_000, "The transaction that reveals a link must be worth its fee, whatever is drawn (protocol rule 10).";
    60 proposal_deposit: "base units", 1_000_000_000..=1_000_000_000_000_000, 1_000_000_000_000, "A thousand coins: everybody's attention is worth something, and only a veto takes it.";
    61 proposal_first_bps: "basis points of the deposit", 1..=10_000, 2_000, "A fifth shows that it is meant; others may add the rest.";
    62 deposit_window: "milliseconds of chain time", 1_000..=2_592_000_000, 172_800_000, "Two days to find others who pay for the question.";
    63 voting_window: "milliseconds of chain time", 1_000..=2_592_000_000, 432_000_000, "Five days: a week's work and its weekend are not both missed.";
    64 expedited_window: "milliseconds of chain time", 1_000..=604_800_000, 86_400_000, "A day: shorter than any lock, so that what passed can be cancelled in time.";
    65 confirm_window: "milliseconds of chain time", 1_000..=604_800_000, 86_400_000, "A day in which votes still count, so that the last minute of a voting decides nothing alone.";
    66 quorum_bps: "basis points of the bonded stake", 1_000..=9_000, 3_340, "A third of the stake must have voted, abstentions included.";
    67 threshold_bps: "basis points of those who took a side", 5_000..=9_000, 5_000, "More than half.";
    68 veto_bps: "basis points of all votes", 1_000..=5_000, 3_340, "A third can say that the question should not have been asked.";
    69 expedited_bps: "basis points of those who took a side", 5_000..=9_500, 6_670, "More than two thirds for what is hurried, and for a penalty that was appealed.";
    70 param_lock: "milliseconds of chain time", 1_000..=2_592_000_000, 172_800_000, "48 hours between a decision about values or money and its effect: time to leave, or to cancel it.";
    71 upgrade_lock: "milliseconds of chain time", 1_000..=7_776_000_000, 604_800_000, "Seven days between a decision about rules and its effect: every operator has to install a release.";
    72 penalty_bps_max: "basis points of the stake", 1..=1_000, 1_000, "A vote of others takes at most a tenth of a stake.";
    73 penalty_appeal: "milliseconds of chain time", 1_000..=2_592_000_000, 604_800_000, "Seven days for the accused to appeal.";
    74 pause_max: "milliseconds of chain time", 1_000..=604_800_000, 259_200_000, "72 hours: an emergency, not a rule.";
    75 double_vote_bps: "basis points of the stake", 1..=10_000, 5_000, "Half of the stake of a validator that votes twice: no load or crash makes one do so, only a second machine with its keys, a lost store of votes, or intent.";
    80 seats: "seats", 4..=64, 16, "Enough that a third of them is several validators, few enough that all votes of a view fit a second.";
    81 epoch_blocks: "blocks", 10..=100_000, 300, "Five minutes of heartbeats: seats follow stake soon, and stake that leaves still answers for two epochs. It stays as the genesis has it, because consensus counts by it.";
    82 candidate_stake_min: "base units", 1_000_000_000..=1_000_000_000_000_000, 1_000_000_000_000, "A thousand coins of its own: who votes twice loses half of them itself, and a place in the list is not free.";
    83 seats_stake_min: "base units", 1_000_000_000..=1_000_000_000_000_000_000, 1_000_000_000_000_000, "A million coins behind candidates together: below, whoever comes first would own the chain.";
    84 commission_max_bps: "basis points of the fees", 0..=10_000, 2_000, "A fifth: the rest belongs to the stake that answers for the votes.";
    85 commission_step_bps: "basis points per epoch", 1..=10_000, 100, "One per cent: delegators see it rise before it is high.";
    86 secured_share_bps: "basis points of what a third of the seats costs", 1..=10_000, 3_333, "A third: whoever votes twice with a third of the seats burns half of the stake behind them but for a reporter's fifth, two fifths in all, and can win what orders hold at most.";
    87 seats_min: "seats", 1..=64, 4, "Four validators stand one that fails: fewer do not take over from those that there are.";
    88 jail_epochs: "epochs", 0..=10_000, 12, "An hour of heartbeats: who said that it is there and made no block in a whole epoch leaves its seat to others for twelve. Again soon takes twice as long, up to 256 times. Zero jails nobody, and so do epochs of fewer than eight blocks for each seat.";
}

/// Values that stay as the genesis has them: what agrees on blocks counts by them, in blocks that are not executed yet.
const FIXED: &[&str] = &["epoch_blocks"];

/// Least values on chains that are not for development (`dev-…`), where everything is quick: a vote must not be over before people saw it.
/// 24 hours for what is ordinary, 72 for upgrades, an hour for what is expedited.
const PUBLIC_MIN: &[(u16, u64)] = &[
    (62, 86_400_000),
    (63, 86_400_000),
    (64, 3_600_000),
    (65, 3_600_000),
    (70, 86_400_000),
    (71, 259_200_000),
    (73, 86_400_000),
];

impl ParamSpec {
    /// The least value on a chain.
    #[must_use]
    pub fn min_on(&self, chain: &ChainId) -> u64 {
        let floor = PUBLIC_MIN
            .iter()
            .find(|(number, _)| *number == self.number && !chain.is_dev());
        floor.map_or(self.min, |(_, floor)| self.min.max(*floor))
    }

    /// Whether it stays as the genesis has it.
    pub(crate) fn is_fixed(&self) -> bool {
        FIXED.contains(&self.name)
    }
}

/// A governed count as a length.
pub(crate) fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A governed value as money; ranges keep it below the cap.
pub(crate) fn money(value: u64) -> Amount {
    Amount::from_base_units(value).unwrap_or(Amount::MAX)
}

impl Params {
    /// Loads `fee_base`, `fee_per_byte` and `expiry_blocks_max`, which is all that an envelope is checked by; every waiting transaction is
    /// checked again for each block. The others are the defaults.
    pub(crate) fn of_envelope(state: &dyn State) -> Result<Self, Fault> {
        let mut params = Self::with(|_| None);
        for number in [1, 2, 3] {
            if let Some(value) = crate::state::load(state, &keys::param(number))? {
                params.set(number, value);
            }
        }
        Ok(params)
    }

    /// Milliseconds of chain time that one window takes at most: its blocks may be as far apart as chain time runs, and
    /// it is looked at once per block.
    fn stretched(&self, window: u64) -> u64 {
        window
            .max(self.window_blocks_min.saturating_mul(self.halt_gap))
            .saturating_add(self.halt_gap)
    }

    /// How many may lose by the verdict of a dispute: the worker, the first draw, and who is outvoted.
    fn appellants(&self) -> u64 {
        self.first_draw
            .saturating_add(self.dispute_draw.saturating_sub(self.dispute_quorum))
            .saturating_add(1)
    }

    /// Milliseconds of chain time that the moves of a game take together at most, if both use all of their time for each.
    pub(crate) fn moves_together(&self) -> u64 {
        self.stretched(self.appeal_move)
            .saturating_mul(APPEAL_MOVES_MAX)
    }

    /// Milliseconds of chain time that draws, windows and appeals after a receipt take together, but for a backlog of due slots.
    #[must_use]
    pub fn windows_together(&self) -> Millis {
        let draws = self
            .draw_delay
            .saturating_mul(2)
            // The verifiers of a batch wait for a drawn block besides.
            .saturating_add(u64::from(crate::sessions::TURNS_MAX))
            .saturating_mul(self.halt_gap);
        let windows = [
            // A batch is linked and shown before its verifiers commit, and shared before those of its dispute do. One of which nothing was drawn
            // waits before it is shown to whether its buyer has it checked.
            self.reveal_window,
            self.challenge_window,
            self.open_window,
            self.commit_window,
            self.open_window,
            self.reveal_window,
            self.challenge_window,
            self.open_window,
            self.commit_window,
            self.reveal_window,
        ];
        let defenders = u64::try_from(APPEAL_DEFENDERS_MAX).unwrap_or(u64::MAX);
        // For each who loses by a verdict one wait for its appeal, and with each defender one for its run and a game.
        let waits = self.stretched(self.appeal_window);
        let games = (waits.saturating_add(self.stretched(self.appeal_game)))
            .saturating_mul(defenders)
            .saturating_add(waits);
        let appeals = games.saturating_mul(self.appellants());
        Millis(
            windows
                .into_iter()
                .fold(draws.saturating_add(appeals), |sum, window| {
                    sum.saturating_add(self.stretched(window))
                }),
        )
    }

    /// The blocks of an epoch.
    #[must_use]
    pub const fn blocks_of_an_epoch(&self) -> u64 {
        self.epoch_blocks
    }

    /// The fee that a transaction of this size needs.
    #[must_use]
    pub fn fee_min(&self, size: fairweir_types::ByteCount) -> Amount {
        money(
            self.fee_base
                .saturating_add(self.fee_per_byte.saturating_mul(size.get())),
        )
    }

    /// `bps` of an amount, rounded up: for what is owed.
    pub(crate) fn share_up(
        amount: Amount,
        bps: u64,
    ) -> Result<Amount, fairweir_types::AmountError> {
        amount.checked_mul_ratio(bps, Bps::WHOLE, fairweir_types::Rounding::Up)
    }

    /// `bps` of an amount, rounded down: for what is taken or paid out.
    pub(crate) fn share_down(
        amount: Amount,
        bps: u64,
    ) -> Result<Amount, fairweir_types::AmountError> {
        amount.checked_mul_ratio(bps, Bps::WHOLE, fairweir_types::Rounding::Down)
    }
}

/// The governed values that a genesis sets.
pub(crate) fn of_genesis_params(given: &[GenesisParam]) -> Params {
    Params::with(|number| {
        let given = given.iter().find(|given| given.param == number)?;
        Some(given.value)
    })
}

/// The governed values in force.
///
/// # Errors
/// [`Fault`].
pub fn current(state: &dyn State) -> Result<Params, Fault> {
    Params::load(state)
}

/// The governed values that a chain begins with.
#[must_use]
pub fn of_genesis(genesis: &Genesis) -> Params {
    of_genesis_params(genesis.params.as_slice())
}

/// Checks the governed values of a genesis against their ranges and against each other.
///
/// # Errors
/// [`GenesisError::UnknownParam`], [`GenesisError::ParamRange`] or [`GenesisError::ParamsDisagree`].
pub fn check_genesis_params(genesis: &Genesis) -> Result<(), GenesisError> {
    for given in &genesis.params {
        let spec = PARAMS
            .iter()
            .find(|spec| spec.number == given.param)
            .ok_or(GenesisError::UnknownParam { param: given.param })?;
        let min = spec.min_on(&genesis.chain_id);
        if given.value < min || given.value > spec.max {
            return Err(GenesisError::ParamRange {
                param: given.param,
                value: given.value,
                min,
                max: spec.max,
            });
        }
    }
    match first_broken(&of_genesis(genesis)) {
        Some(broken) => Err(GenesisError::ParamsDisagree {
            name: broken.name,
            rule: broken.rule,
        }),
        None => Ok(()),
    }
}

/// The number of the parameter with this name.
#[must_use]
pub fn number_of(name: &str) -> Option<u16> {
    PARAMS
        .iter()
        .find(|spec| spec.name == name)
        .map(|spec| spec.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_codec::Encode as _;
    use fairweir_types::limits::APPELLANTS_MAX;

    #[test]
    fn there_is_room_for_everybody_who_can_lose_by_a_verdict() {
        let greatest = Params {
            first_draw: 4,
            dispute_draw: 8,
            // More than half of the draw.
            dispute_quorum: 5,
            ..Params::with(|_| None)
        };
        assert_eq!(usize::try_from(greatest.appellants()), Ok(APPELLANTS_MAX));
        let range = |name: &str| PARAMS.iter().find(|spec| spec.name == name).unwrap();
        assert_eq!(range("first_draw").max, greatest.first_draw);
        assert_eq!(range("dispute_draw").max, greatest.dispute_draw);
    }

    #[test]
    fn an_envelope_is_checked_by_the_values_in_force() {
        let mut state = crate::MemoryState::default();
        let set = [1, 2, 3].map(|number| {
            let value = 1_000 + u64::from(number);
            (keys::param(number), Some(value.encode().to_vec()))
        });
        state.apply(&set.into_iter().collect());
        let of_envelope = Params::of_envelope(&state).unwrap();
        assert_eq!(of_envelope, Params::load(&state).unwrap());
        assert_eq!(of_envelope.expiry_blocks_max, 1_003);
    }

    #[test]
    fn every_default_lies_in_its_range_and_numbers_ascend() {
        for spec in PARAMS {
            assert!(
                spec.min <= spec.default && spec.default <= spec.max,
                "{}",
                spec.name
            );
        }
        assert!(PARAMS.is_sorted_by(|earlier, later| earlier.number < later.number));
    }

    #[test]
    fn a_public_chain_has_time_to_see_a_vote() {
        let [dev, public] = ["dev-quick", "fairweir"].map(|name| ChainId::new(name).unwrap());
        for (number, floor) in PUBLIC_MIN {
            let spec = PARAMS.iter().find(|spec| spec.number == *number).unwrap();
            assert_eq!(spec.min_on(&dev), spec.min);
            assert_eq!(spec.min_on(&public), *floor);
            assert!(*floor <= spec.default, "{}", spec.name);
        }
    }
}
