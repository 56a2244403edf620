//! Why an action is refused: every reason typed, with a stable code. The codes are append-only.

use crate::{
    appeals::AppealError, bank::BankError, candidates::CandidateError, catalogue::CatalogueError,
    delegates::DelegateError, fault::Fault, governance::GovernanceError, market::MarketError,
    registry::RegistryError, sessions::SessionError, stake::StakeError, validators::ValidatorError,
    verification::VerificationError,
};
use fairweir_types::TxCode;
use thiserror::Error;

/// Why an action is refused. The state is as if it had not been tried, but for the fee.
#[derive(Debug, Error)]
pub enum Refusal {
    /// By the bank.
    #[error(transparent)]
    Bank(BankError),
    /// By the stake module.
    #[error(transparent)]
    Stake(StakeError),
    /// By the registry.
    #[error(transparent)]
    Registry(RegistryError),
    /// By the market.
    #[error(transparent)]
    Market(MarketError),
    /// By verification.
    #[error(transparent)]
    Verification(VerificationError),
    /// See [`SessionError`].
    #[error(transparent)]
    Session(SessionError),
    /// By the grants of owners to delegates.
    #[error(transparent)]
    Delegate(DelegateError),
    /// See [`AppealError`].
    #[error(transparent)]
    Appeal(AppealError),
    /// By governance.
    #[error(transparent)]
    Governance(GovernanceError),
    /// By what is said about validators.
    #[error(transparent)]
    Validator(ValidatorError),
    /// By candidates and the stake behind them.
    #[error(transparent)]
    Candidate(CandidateError),
    /// By the catalogue of services.
    #[error(transparent)]
    Catalogue(CatalogueError),
    /// The block has as many events as it may.
    #[error("the block has no room for the events of this transaction: send it again")]
    BlockFull,
    /// Not a refusal: the ledger's own state is broken.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> TxCode {
        TxCode(match self {
            Self::Bank(error) => error.code(),
            Self::Stake(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Market(error) => error.code(),
            Self::Verification(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Delegate(error) => error.code(),
            Self::Appeal(error) => error.code(),
            Self::Governance(error) => error.code(),
            Self::Validator(error) => error.code(),
            Self::Candidate(error) => error.code(),
            Self::Catalogue(error) => error.code(),
            Self::BlockFull => 8,
            Self::Fault(_) => 99,
        })
    }
}

/// Every code with its name, for the reference page and for clients.
pub const CODES: &[(u16, &str)] = &[
    (0, "ok"),
    (1, "other_chain"),
    (2, "expired"),
    (3, "expiry_too_far"),
    (4, "nonce_too_low"),
    (5, "nonce_too_high"),
    (6, "fee_too_low"),
    (7, "cannot_pay_fee"),
    (8, "block_full"),
    (99, "fault"),
    (100, "zero_amount"),
    (101, "insufficient_balance"),
    (102, "to_self"),
    (200, "zero_stake"),
    (201, "insufficient_balance_to_bond"),
    (202, "insufficient_stake"),
    (203, "stake_covers_open_work"),
    (204, "stake_below_role_minimum"),
    (205, "stake_is_charged"),
    (300, "worker_stake_too_low"),
    (301, "collateral_above_stake"),
    (302, "zero_capacity"),
    (303, "endpoint_missing"),
    (304, "no_such_offer"),
    (305, "verifier_stake_too_low"),
    (306, "no_kinds"),
    (307, "verifier_pool_full"),
    (308, "not_enrolled"),
    (309, "too_many_offers"),
    (310, "cannot_pay_record_deposit"),
    (311, "chain_length"),
    (400, "no_slots"),
    (401, "too_many_slots"),
    (402, "rounds_not_offered"),
    (403, "no_demand"),
    (404, "spec_does_not_match"),
    (405, "match_window_out_of_range"),
    (406, "execution_time_out_of_range"),
    (407, "price_above_cap"),
    (408, "cannot_pay_escrow"),
    (409, "no_such_order"),
    (410, "not_the_buyer"),
    (411, "already_matched"),
    (412, "too_many_streams"),
    (413, "no_such_slot"),
    (414, "wrong_phase"),
    (415, "not_the_worker"),
    (416, "receipt_does_not_match"),
    (417, "units_above_demand"),
    (418, "receipt_not_signed"),
    (419, "top_up_zero"),
    (420, "cannot_pay_top_up"),
    (421, "above_secured"),
    (500, "no_slot_to_judge"),
    (501, "not_in_this_phase"),
    (502, "not_drawn"),
    (503, "already_committed"),
    (504, "not_committed"),
    (505, "already_revealed"),
    (506, "does_not_open"),
    (507, "not_the_opener"),
    (508, "not_the_challenger"),
    (509, "cannot_pay_deposit"),
    (510, "other_samples"),
    (511, "offset_outside"),
    (512, "offset_of_verdict"),
    (600, "no_such_lane"),
    (601, "lane_in_another_phase"),
    (602, "not_the_lanes_worker"),
    (603, "lane_failed"),
    (604, "too_many_batches"),
    (605, "batch_size"),
    (606, "bad_voucher"),
    (607, "above_voucher"),
    (608, "above_cap"),
    (609, "batch_too_small"),
    (610, "other_leaves"),
    (611, "leaf_does_not_open"),
    (612, "not_a_payer"),
    (613, "not_a_session"),
    (614, "open_for_out_of_range"),
    (615, "cap_too_low"),
    (616, "spec_in_session"),
    (617, "batch_number"),
    (618, "above_requests"),
    (619, "batch_numbers"),
    (620, "not_the_sessions_buyer"),
    (621, "nothing_added"),
    (622, "lanes_offer_withdrawn"),
    (623, "stake_does_not_cover"),
    (624, "cannot_pay_lane"),
    (625, "not_a_reader"),
    (626, "other_wraps"),
    (627, "already_shared"),
    (628, "not_asked_for_a_link"),
    (629, "not_the_link"),
    (700, "delegate_is_owner"),
    (701, "zero_cap"),
    (702, "grant_over"),
    (703, "too_many_delegates"),
    (704, "no_grant"),
    (705, "not_the_sessions_delegate"),
    (706, "above_grant"),
    (707, "other_grant"),
    (800, "no_slot_to_appeal"),
    (801, "not_open_to_appeal"),
    (802, "not_a_loser"),
    (803, "cannot_pay_appeal"),
    (804, "not_a_player"),
    (805, "not_your_move"),
    (806, "not_the_node"),
    (807, "too_deep"),
    (808, "bad_exhibit"),
    (809, "asked_in_this_block"),
    (810, "not_disputed"),
    (900, "no_title"),
    (901, "unknown_param"),
    (902, "param_out_of_range"),
    (903, "params_disagree"),
    (904, "spends_nothing"),
    (905, "treasury_too_small"),
    (906, "penalty_out_of_range"),
    (907, "nothing_to_penalise"),
    (908, "penalty_not_expedited"),
    (909, "pause_out_of_range"),
    (910, "nothing_to_cancel"),
    (911, "deposit_too_small"),
    (912, "cannot_pay_proposal"),
    (913, "too_many_proposals"),
    (914, "no_such_proposal"),
    (915, "not_the_accused"),
    (916, "not_in_that_phase"),
    (917, "nothing_deposited"),
    (919, "weights_not_whole"),
    (920, "no_voting_power"),
    (921, "module_paused"),
    (922, "upgrade_in_the_past"),
    (923, "not_halted"),
    (924, "withdrawals_halted"),
    (925, "param_fixed"),
    (926, "not_jailed"),
    (946, "upgrade_done"),
    (947, "too_many_upgrades"),
    (1000, "no_such_validator"),
    (1001, "already_tombstoned"),
    (1002, "no_conflict"),
    (1003, "too_many_reports"),
    (1004, "not_its_votes"),
    (1100, "zero_delegation"),
    (1101, "same_candidate"),
    (1102, "no_such_candidate"),
    (1103, "candidate_tombstoned"),
    (1104, "candidate_does_not_stand"),
    (1105, "no_delegation"),
    (1106, "already_candidate"),
    (1107, "keys_in_use"),
    (1108, "commission_out_of_range"),
    (1109, "commission_rises_too_fast"),
    (1110, "own_stake_too_low"),
    (1111, "cannot_pay_delegation"),
    (1112, "above_delegation"),
    (1113, "redelegated_before"),
    (1114, "too_many_delegations"),
    (1115, "too_many_candidates"),
    (1116, "too_many_registrations"),
    (1117, "keys_not_proven"),
    (1118, "nothing_to_claim"),
    (1119, "peer_unreachable"),
    (1120, "no_lead"),
    (1121, "not_its_node"),
    (1122, "confirmed_before"),
    (1123, "behind_lead"),
    (1200, "not_in_catalogue"),
    (1201, "kind_not_active"),
    (1202, "other_version"),
    (1203, "demand_above_service"),
    (1204, "entry_in_the_past"),
    (1205, "bad_terms"),
    (1206, "version_goes_back"),
    (1207, "name_taken"),
    (1208, "nothing_to_retire"),
    (1209, "catalogue_full"),
    (1210, "too_many_entries"),
];

/// The name of a code.
#[must_use]
pub fn name(code: TxCode) -> &'static str {
    CODES
        .iter()
        .find(|(number, _)| *number == code.0)
        .map_or("unknown", |(_, name)| name)
}

/// Lets `?` lift a fault through a module's error into a [`Refusal::Fault`].
macro_rules! lift_faults {
    ($error:ident => $variant:ident) => {
        impl From<$error> for $crate::refusal::Refusal {
            fn from(error: $error) -> Self {
                match error {
                    $error::Fault(fault) => Self::Fault(fault),
                    other => Self::$variant(other),
                }
            }
        }
    };
}
pub(crate) use lift_faults;
