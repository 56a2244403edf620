//! Integration tests of the ledger.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test should stop at the line that fails"
)]

mod audit;
mod crowded_blocks;
mod export;
mod full_block;
mod full_lists;
mod governance;
mod model;
mod random_candidates;
mod random_catalogue;
mod random_sessions;
mod random_specs;
mod random_walk;
mod referee;
mod reference;
mod script;
mod secured;
mod session_state;
mod steps;
mod upgrades;
mod world;

use script::run;

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(concat!(stringify!($name), ".script"), include_str!(concat!("scripts/", stringify!($name), ".script")));
        })*

        #[test]
        fn every_refusal_has_a_row() {
            let all = concat!($(include_str!(concat!("scripts/", stringify!($name), ".script"))),*);
            script::assert_every_code_is_expected(all);
        }
    };
}

scripts!(
    envelopes,
    bank,
    stakes,
    registry,
    orders_that_are_refused,
    an_order_from_escrow_to_settlement,
    receipts,
    commit_and_reveal,
    a_lying_worker_is_slashed,
    an_overcharging_worker_is_slashed,
    lying_and_silent_verifiers,
    challenges,
    checks_of_batches_that_stay_undecided,
    workers_that_do_not_deliver,
    matching,
    unmatched_orders,
    too_few_verifiers,
    draws_come_before_transactions,
    slots_and_streams,
    a_session_from_escrow_to_settlement,
    a_check_that_its_buyer_asked_for,
    a_small_lane_pays_its_worker,
    specs_that_nobody_finds,
    batches_that_their_buyer_checks,
    dear_batches_that_their_buyer_checks,
    sessions_that_cheat,
    sessions_that_are_refused,
    sessions_with_many_batches,
    sessions_that_end_together,
    delegates,
    lanes_that_are_topped_up,
    leaves_that_nobody_can_open,
    links_of_hash_chains,
    a_later_link_answers,
    links_that_are_used_up,
    leaves_that_were_shown_or_not,
    a_verdict_over_a_batch_is_turned,
    a_lying_worker_loses_its_appeal_over_a_batch,
    samples_that_say_more_than_their_requests,
    disputes_over_batches,
    an_honest_worker_turns_a_verdict,
    a_lying_worker_loses_its_appeal,
    a_verifier_appeals_for_what_it_found,
    appeals_that_are_refused,
    appeals_that_end_early,
    runs_that_are_copied,
    decoys_do_not_take_a_turn,
    proposals,
    proposals_that_are_refused,
    proposals_that_crowd,
    a_penalty_motion,
    a_penalty_motion_after_unbonding,
    pauses,
    withdrawals_that_halt,
    double_votes,
    candidates,
    candidates_that_are_refused,
    candidates_that_vote_twice,
    seats,
    further_nodes,
    further_nodes_earn_for_their_lead,
    further_nodes_in_jail,
    further_nodes_that_are_silent,
    further_nodes_that_never_came,
    further_nodes_that_vote_twice,
    seats_of_those_who_are_gone,
    jail,
    jail_of_no_epochs,
    jail_that_holds_few,
    jail_that_spares_six,
    silence_that_is_not_judged,
    who_voted_twice_is_not_jailed,
    rewards_of_delegations,
    redelegations,
    votes_of_delegated_stake,
    value_secured,
    values_that_change_under_open_work,
    upgrades_by_plan,
    a_kind_is_added_and_retired,
    versions_of_a_kind,
    catalogue_changes_that_are_refused,
    appeals_that_the_catalogue_ends,
);
