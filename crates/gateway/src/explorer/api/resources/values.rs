//! The values that conditions may have.

use crate::json;
use fairweir_types::Action;

pub(super) use json::EVENT_NAMES;
pub(super) const ACTIONS: &[&str] = Action::NAMES;
pub(super) const OPEN_OR_CLOSED: &[&str] = &["open", "closed"];
pub(super) const REASONS: &[&str] = &[
    "price_above_max",
    "capacity_full",
    "collateral_too_low",
    "stake_too_low",
    "demand_too_large",
    "level_too_low",
    "capability_missing",
    "region_differs",
    "privacy_not_offered",
    "owned_by_buyer",
    "excluded",
    "outbid",
    "not_drawn",
    "version_not_offered",
];
pub(super) const SLASH_REASONS: &[&str] = &[
    "wrong_trace",
    "unopened",
    "receipt_late",
    "wrong_verdict",
    "verdict_missing",
    "link_missing",
];
pub(super) const PROPOSAL_STATES: &[&str] = &[
    "deposit",
    "voting",
    "confirming",
    "appealable",
    "appeal_voting",
    "locked",
    "ended",
];
