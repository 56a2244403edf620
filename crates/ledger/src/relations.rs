//! What governed values must be to each other: each alone may lie in its range, and together they may still break a rule.

use crate::params::Params;
use fairweir_types::Bps;

/// A relation that holds in every genesis, and after every proposal.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// Its stable name.
    pub name: &'static str,
    /// What must hold, and why.
    pub rule: &'static str,
    holds: fn(&Params) -> bool,
}

/// All relations, in the order in which they are checked.
pub const RELATIONS: &[Relation] = &[
    Relation {
        name: "unbonding_outlasts_windows",
        rule: "unbonding_delay is longer than all windows after a draw, a dispute, appeals and the challenge included: stake outlives what it answers for (protocol rule 5)",
        holds: |params| params.unbonding_delay > params.windows_together().get(),
    },
    Relation {
        name: "dispute_is_larger",
        rule: "dispute_draw is greater than first_draw: a dispute weighs more than what it reviews (protocol rule 7)",
        holds: |params| params.dispute_draw > params.first_draw,
    },
    Relation {
        name: "quorum_is_reachable",
        rule: "dispute_quorum is at most dispute_draw: else no dispute can be decided",
        holds: |params| params.dispute_quorum <= params.dispute_draw,
    },
    Relation {
        name: "quorum_is_a_majority",
        rule: "dispute_quorum is more than half of dispute_draw: else two traces can win at once",
        holds: |params| params.dispute_quorum.saturating_mul(2) > params.dispute_draw,
    },
    Relation {
        name: "silence_costs_less_than_a_lie",
        rule: "missing_verdict_bps is at most wrong_verdict_bps: else a verifier that is unsure gains by lying",
        holds: |params| params.missing_verdict_bps <= params.wrong_verdict_bps,
    },
    Relation {
        name: "challenge_pays_its_checks",
        rule: "challenge_deposit is at least dispute_draw times check_fee_min: the loser of a challenge pays it (protocol rule 10)",
        holds: |params| {
            params.challenge_deposit >= params.dispute_draw.saturating_mul(params.check_fee_min)
        },
    },
    Relation {
        name: "stake_covers_the_late_penalty",
        rule: "worker_stake_min is at least late_penalty_min: else the penalty cannot be taken",
        holds: |params| params.worker_stake_min >= params.late_penalty_min,
    },
    Relation {
        name: "a_game_holds_its_moves",
        rule: "appeal_game is at least thirteen times appeal_move, each with its least blocks: else who uses all of its time runs the other's out",
        holds: |params| params.appeal_game >= params.moves_together(),
    },
    Relation {
        name: "tries_slow_down",
        rule: "match_retry_max is at least match_retry: the pause between tries to match only grows",
        holds: |params| params.match_retry_max >= params.match_retry,
    },
    Relation {
        name: "hurry_needs_more",
        rule: "expedited_bps is at least threshold_bps: what has less time needs more votes",
        holds: |params| params.expedited_bps >= params.threshold_bps,
    },
    Relation {
        name: "locks_can_be_cancelled",
        rule: "expedited_window is shorter than param_lock and upgrade_lock: a decision can be taken back before it has an effect",
        holds: |params| params.expedited_window < params.param_lock.min(params.upgrade_lock),
    },
    Relation {
        name: "unbonding_outlasts_epochs",
        rule: "unbonding_delay is longer than two epochs, each of epoch_blocks as far apart as chain time runs (halt_gap): stake that leaves after it was counted answers for the votes that it stood for",
        holds: |params| {
            let epoch = params.epoch_blocks.saturating_mul(params.halt_gap);
            params.unbonding_delay > epoch.saturating_mul(2)
        },
    },
    Relation {
        name: "secured_is_less_than_burns",
        rule: "secured_share_bps is at most what double_vote_bps burns, without the part of the reporter (reporter_share_bps), who may be the voter itself: who votes twice with a third of the seats loses at least what orders may take in (protocol rule 12)",
        holds: |params| {
            let burns = Bps::WHOLE.saturating_sub(params.reporter_share_bps);
            params.secured_share_bps.saturating_mul(Bps::WHOLE)
                <= params.double_vote_bps.saturating_mul(burns)
        },
    },
];

/// The first relation that does not hold.
#[must_use]
pub(crate) fn first_broken(params: &Params) -> Option<&'static Relation> {
    RELATIONS.iter().find(|relation| !(relation.holds)(params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{number_of, of_genesis_params};
    use fairweir_types::genesis::GenesisParam;

    fn broken(given: &[(&str, u64)]) -> Option<&'static str> {
        let given: Vec<GenesisParam> = given
            .iter()
            .map(|(name, value)| GenesisParam {
                param: number_of(name).unwrap(),
                value: *value,
            })
            .collect();
        first_broken(&of_genesis_params(&given)).map(|relation| relation.name)
    }

    type Row<'a> = (&'a [(&'a str, u64)], Option<&'a str>);

    #[test]
    fn every_relation_is_broken_by_values_that_lie_in_their_ranges() {
        // values, the relation that they break
        let table: &[Row<'_>] = &[
            (&[], None),
            (
                &[("unbonding_delay", 20_000_000), ("challenge_window", 1_000)],
                None,
            ),
            (
                &[("unbonding_delay", 3_600_000)],
                Some("unbonding_outlasts_windows"),
            ),
            (
                &[("challenge_window", 86_400_000)],
                Some("unbonding_outlasts_windows"),
            ),
            (
                &[("window_blocks_min", 1_000), ("halt_gap", 600_000)],
                Some("unbonding_outlasts_windows"),
            ),
            (
                &[("first_draw", 4), ("dispute_draw", 4)],
                Some("dispute_is_larger"),
            ),
            (&[("dispute_quorum", 6)], Some("quorum_is_reachable")),
            (
                &[("dispute_draw", 8), ("dispute_quorum", 4)],
                Some("quorum_is_a_majority"),
            ),
            (&[("dispute_draw", 8), ("dispute_quorum", 5)], None),
            (
                &[("missing_verdict_bps", 501)],
                Some("silence_costs_less_than_a_lie"),
            ),
            (
                &[("challenge_deposit", 4_999)],
                Some("challenge_pays_its_checks"),
            ),
            (
                &[
                    ("worker_stake_min", 1_000_000_000),
                    ("late_penalty_min", 1_000_000_001),
                ],
                Some("stake_covers_the_late_penalty"),
            ),
            (&[("appeal_game", 324_999)], Some("a_game_holds_its_moves")),
            (&[("appeal_game", 325_000)], None),
            (&[("appeal_move", 41_154)], Some("a_game_holds_its_moves")),
            (&[("appeal_move", 41_153)], None),
            (&[("match_retry", 60_001)], Some("tries_slow_down")),
            (&[("threshold_bps", 6_671)], Some("hurry_needs_more")),
            (
                &[("param_lock", 86_400_000)],
                Some("locks_can_be_cancelled"),
            ),
            (
                &[("upgrade_lock", 86_400_000)],
                Some("locks_can_be_cancelled"),
            ),
            (
                &[("epoch_blocks", 8_640)],
                Some("unbonding_outlasts_epochs"),
            ),
            (&[("epoch_blocks", 8_639)], None),
            (
                &[("secured_share_bps", 4_001)],
                Some("secured_is_less_than_burns"),
            ),
            (&[("secured_share_bps", 4_000)], None),
            (
                &[("double_vote_bps", 4_166)],
                Some("secured_is_less_than_burns"),
            ),
            (&[("double_vote_bps", 4_167)], None),
            (
                &[
                    ("secured_share_bps", 10_000),
                    ("double_vote_bps", 10_000),
                    ("reporter_share_bps", 1),
                ],
                Some("secured_is_less_than_burns"),
            ),
        ];
        for (given, expected) in table {
            assert_eq!(broken(given), *expected, "{given:?}");
        }
        for relation in RELATIONS {
            assert!(
                table
                    .iter()
                    .any(|(_, broken)| *broken == Some(relation.name)),
                "no row breaks {}",
                relation.name
            );
        }
    }
}
