use crate::{catalogue::CatalogueError, fault::Fault, refusal::lift_faults};
use fairweir_types::{
    Address, Amount, Bps, Height, Millis, ProposalId,
    governance::{Module, ProposalPhase},
    invariant::Invariant,
    limits::UPGRADES_MAX,
};
use thiserror::Error;

/// Why an action about proposals is refused. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum GovernanceError {
    /// A proposal says nothing about itself.
    #[error("a proposal needs a title")]
    NoTitle,
    /// There is no such parameter.
    #[error("there is no parameter {param}")]
    UnknownParam {
        /// Its number.
        param: u16,
    },
    /// The value lies outside of the parameter's hard range.
    #[error("{name} must be from {min} to {max}, {value} is proposed")]
    ParamOutOfRange {
        /// Its name.
        name: &'static str,
        /// The least value on this chain.
        min: u64,
        /// The greatest value.
        max: u64,
        /// What is proposed.
        value: u64,
    },
    /// The value does not fit the other parameters.
    #[error("the values would not fit each other ({name}): {rule}")]
    ParamsDisagree {
        /// The relation that would not hold.
        name: &'static str,
        /// What it asks, and why.
        rule: &'static str,
    },
    /// The treasury would pay nothing, or itself.
    #[error("the treasury pays more than nothing, and to another account")]
    SpendsNothing,
    /// The treasury has less.
    #[error("the treasury has {balance} coins, {amount} are to be paid")]
    TreasuryTooSmall {
        /// What it has.
        balance: Amount,
        /// What is to be paid.
        amount: Amount,
    },
    /// The penalty is nothing, or more than a penalty may be.
    #[error("a penalty is 1 to {max} basis points of the stake, {share} are proposed")]
    PenaltyOutOfRange {
        /// The most.
        max: Bps,
        /// What is proposed.
        share: Bps,
    },
    /// The accused has no stake.
    #[error("the accused has no stake")]
    NothingToPenalise,
    /// A penalty must not be decided in a hurry.
    #[error("a penalty motion cannot be expedited: the accused needs the time to answer")]
    PenaltyNotExpedited,
    /// The pause is of no time, or longer than a pause may be.
    #[error("a pause is 1 to {max} milliseconds, {duration} are proposed")]
    PauseOutOfRange {
        /// The longest.
        max: Millis,
        /// What is proposed.
        duration: Millis,
    },
    /// There is no such open proposal to cancel.
    #[error("proposal {proposal} is not open: nothing to cancel")]
    NothingToCancel {
        /// Its number.
        proposal: ProposalId,
    },
    /// The part of the deposit is too small to begin with, or for a new payer.
    #[error("{found} coins are paid, this part of the deposit is at least {min}")]
    DepositTooSmall {
        /// The least.
        min: Amount,
        /// What is paid.
        found: Amount,
    },
    /// The balance does not suffice for the deposit.
    #[error("the balance is {balance} coins, {amount} are to be deposited")]
    CannotPayDeposit {
        /// The balance after the fee.
        balance: Amount,
        /// What is to be deposited.
        amount: Amount,
    },
    /// As many proposals wait or are voted on as may be.
    #[error("{max} proposals {doing} already: try again when one is over")]
    TooManyProposals {
        /// How many may.
        max: usize,
        /// What they do.
        doing: &'static str,
    },
    /// There is no such proposal, or it is long over.
    #[error("there is no proposal {proposal} any more, or not yet: list them")]
    NoSuchProposal {
        /// Its number.
        proposal: ProposalId,
    },
    /// The sender is not whom the motion accuses, or it accuses nobody.
    #[error("only the accused of a penalty motion answers it and appeals it")]
    NotTheAccused,
    /// The proposal is in another phase.
    #[error("that cannot be done in the phase {}", .found.name())]
    NotInThatPhase {
        /// Where it is.
        found: ProposalPhase,
    },
    /// Nothing to deposit.
    #[error("the amount is zero")]
    NothingDeposited,
    /// The parts of a vote are not a whole.
    #[error("the parts of a vote are 10000 basis points together, not {found}")]
    WeightsNotWhole {
        /// What they are.
        found: u64,
    },
    /// The voter had nothing bonded when the voting began.
    #[error(
        "the account had nothing bonded when the voting began: what it bonds now counts in the next one"
    )]
    NoVotingPower,
    /// The module is paused.
    #[error("the module {} is paused until chain time {until}: what is open goes on", .module.name())]
    ModulePaused {
        /// The module.
        module: Module,
        /// The chain time until which.
        until: Millis,
    },
    /// The upgrade would begin with a block that is there already.
    #[error("the upgrade begins with block {height}, this is block {now}")]
    UpgradeInThePast {
        /// Its first block.
        height: Height,
        /// This block.
        now: Height,
    },
    /// The plan's rules are in force already.
    #[error("the rules of this plan are in force since block {height}: no plan begins twice")]
    UpgradeDone {
        /// The block with which they began.
        height: Height,
    },
    /// There were as many upgrades as there may be.
    #[error("there were {UPGRADES_MAX} upgrades already, more are not kept")]
    TooManyUpgrades,
    /// No halt of withdrawals began in that block, or it is over.
    #[error(
        "withdrawals were not halted by block {height}, or a later block halted them again: see `fairweir status`"
    )]
    NotHalted {
        /// The block.
        height: Height,
    },
    /// Withdrawals are halted, because an invariant of the ledger did not hold.
    #[error(
        "withdrawals are halted since block {height}, because the invariant {invariant} did not hold: work, votes and proposals go on"
    )]
    WithdrawalsHalted {
        /// Which.
        invariant: Invariant,
        /// The block that found it.
        height: Height,
    },
    /// The value stays as the genesis has it.
    #[error("{name} stays as the genesis has it: it is not voted on")]
    ParamFixed {
        /// Its name.
        name: &'static str,
    },
    /// The candidate is not in that jail, or comes out of it with the next epoch, or is none.
    #[error(
        "{candidate} is not jailed until epoch {until}, or comes out with the next one: `fairweir validator candidates` says who is jailed of those that stand"
    )]
    NotJailed {
        /// The account.
        candidate: Address,
        /// The last epoch of the jail.
        until: u64,
    },
    /// The catalogue of services cannot be changed like this.
    #[error(transparent)]
    Catalogue(CatalogueError),
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(GovernanceError => Governance);

impl From<CatalogueError> for GovernanceError {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Fault(fault) => Self::Fault(fault),
            other => Self::Catalogue(other),
        }
    }
}

impl GovernanceError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoTitle => 900,
            Self::UnknownParam { .. } => 901,
            Self::ParamOutOfRange { .. } => 902,
            Self::ParamsDisagree { .. } => 903,
            Self::SpendsNothing => 904,
            Self::TreasuryTooSmall { .. } => 905,
            Self::PenaltyOutOfRange { .. } => 906,
            Self::NothingToPenalise => 907,
            Self::PenaltyNotExpedited => 908,
            Self::PauseOutOfRange { .. } => 909,
            Self::NothingToCancel { .. } => 910,
            Self::DepositTooSmall { .. } => 911,
            Self::CannotPayDeposit { .. } => 912,
            Self::TooManyProposals { .. } => 913,
            Self::NoSuchProposal { .. } => 914,
            Self::NotTheAccused => 915,
            Self::NotInThatPhase { .. } => 916,
            Self::NothingDeposited => 917,
            Self::WeightsNotWhole { .. } => 919,
            Self::NoVotingPower => 920,
            Self::ModulePaused { .. } => 921,
            Self::UpgradeInThePast { .. } => 922,
            Self::NotHalted { .. } => 923,
            Self::WithdrawalsHalted { .. } => 924,
            Self::ParamFixed { .. } => 925,
            Self::NotJailed { .. } => 926,
            Self::UpgradeDone { .. } => 946,
            Self::TooManyUpgrades => 947,
            Self::Catalogue(error) => error.code(),
            Self::Fault(_) => 99,
        }
    }
}
