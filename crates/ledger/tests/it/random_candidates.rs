//! Random candidates, delegations, redelegations, double votes, and votes on proposals: every invariant holds after every block, the same steps make the same
//! state, and in the end all stake can leave.

use crate::world::{World, coins, key_of, vote_key_of};
use fairweir_ledger::{candidates, governance};
use fairweir_types::{
    Action, Address, Amount, BoundedText, Boxed, Bps, Digest, ProposalId, SecretKey, TxCode,
    double_vote::{CastVote, DoubleVote, VoteKind},
    governance::{Message, SetParam, Weights},
    tx,
};
use proptest::prelude::*;
use std::net::SocketAddr;

pub(crate) const NAMES: [&str; 5] = ["A", "B", "C", "D", "validator"];
/// Short windows, so that the delay of stake is some hundred blocks.
const PARAMS: [(&str, u64); 16] = [
    ("proposal_deposit", 1_000_000_000),
    ("voting_window", 1_000_000),
    ("unbonding_delay", 4_000_000),
    ("appeal_window", 1_000),
    ("appeal_move", 1_000),
    ("appeal_game", 195_000),
    ("window_blocks_min", 2),
    ("challenge_window", 1_000),
    ("epoch_blocks", 24),
    ("jail_epochs", 2),
    ("candidate_stake_min", 1_000_000_000),
    ("seats_stake_min", 100_000_000_000),
    ("commission_step_bps", 2_000),
    ("double_vote_bps", 3_333),
    ("secured_share_bps", 2_000),
    ("seats_min", 1),
];

#[derive(Clone, Debug)]
pub(crate) struct Step {
    who: usize,
    verb: u8,
    other: usize,
    third: usize,
    amount: u64,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let amount = prop_oneof![1u64..100, 1u64..3_000_000_000_000];
    (name(), 0u8..51, name(), name(), amount).prop_map(|(who, verb, other, third, amount)| Step {
        who,
        verb,
        other,
        third,
        amount,
    })
}

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9_000))
}

fn vote_key(name: &str) -> fairweir_types::keys::VoteSecretKey {
    match name {
        "validator" => crate::world::vote_key(),
        name => vote_key_of(name),
    }
}

fn double_vote(world: &World, name: &str) -> DoubleVote {
    let genesis = world.genesis.digest();
    let key = vote_key(name);
    let vote = |block: &[u8]| {
        let block = (1, Digest::of_blob(block));
        CastVote::cast((&genesis, &key), (0, 2), VoteKind::Finalize, block)
    };
    DoubleVote {
        validator: crate::world::identity_of(name),
        epoch: 0,
        view: 2,
        first: vote(b"a"),
        second: vote(b"b"),
    }
}

fn action(world: &World, step: &Step) -> Action {
    let key = |position: usize| -> SecretKey { key_of(NAMES[position]) };
    let address = |position: usize| -> Address { key(position).address() };
    let amount = Amount::from_base_units(step.amount).unwrap();
    let (candidate, to) = (address(step.other), address(step.third));
    match step.verb {
        0..=3 => {
            let signed = tx::RegisterCandidate::sign(
                (world.genesis.digest(), address(step.who)),
                (&key(step.who), &vote_key(NAMES[step.who])),
                (Bps(step.amount % 2_000), amount, peer()),
            );
            Action::RegisterCandidate(Boxed::new(match step.verb {
                2..=3 => signed.of(candidate),
                _ => signed,
            }))
        }
        4..=5 => Action::UpdateCandidate(tx::UpdateCandidate {
            commission: Bps(step.amount % 2_000),
            stands: !step.amount.is_multiple_of(3),
            peer: peer().into(),
        }),
        6..=16 => Action::DelegateStake(tx::DelegateStake { candidate, amount }),
        17..=24 => Action::UndelegateStake(tx::UndelegateStake {
            candidate,
            shares: amount,
        }),
        25..=31 => Action::RedelegateStake(tx::RedelegateStake {
            from: candidate,
            to,
            amount,
        }),
        32..=34 => Action::ClaimRewards(tx::ClaimRewards { candidate }),
        35 => Action::Bond(tx::Bond { amount }),
        36 => Action::Unbond(tx::Unbond { amount }),
        // Seldom: it ends a candidate.
        37 if step.amount.is_multiple_of(2) => {
            Action::ReportDoubleVote(Boxed::new(tx::ReportDoubleVote {
                evidence: double_vote(world, NAMES[step.other]),
            }))
        }
        40..=41 => Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating("a proposal"),
            message: Message::SetParam(SetParam {
                param: 1,
                value: 2_000,
            }),
            expedited: false,
            deposit: Amount::MAX,
        })),
        42..=47 => Action::Vote(tx::Vote {
            proposal: voted_on(world, step.amount),
            weights: [
                Weights {
                    yes: 10_000,
                    ..Weights::default()
                },
                Weights {
                    no: 3_000,
                    veto: 7_000,
                    ..Weights::default()
                },
            ][step.third % 2],
        }),
        48..=50 => Action::ConfirmNode(tx::ConfirmNode {
            node: waits_for(world, address(step.who)).unwrap_or(candidate),
        }),
        _ => Action::Transfer(tx::Transfer { to, amount }),
    }
}

/// A further node that waits for a lead.
fn waits_for(world: &World, lead: Address) -> Option<Address> {
    let mut accounts = NAMES.iter().map(|name| key_of(name).address());
    accounts.find(|account| {
        let found = candidates::candidate(&world.state, *account).unwrap();
        found.is_some_and(|found| {
            found.waits_for_lead() && found.lead.is_some_and(|named| named.account == lead)
        })
    })
}

/// One of the newest proposals.
fn voted_on(world: &World, number: u64) -> ProposalId {
    let newest = governance::governance(&world.state).unwrap().proposals;
    ProposalId(newest.saturating_sub(number % 3))
}

fn wait(world: &mut World, blocks: u64) {
    for _ in 0..blocks {
        world.block(5_000, &[]);
    }
}

pub(crate) fn walk(steps: &[Step]) -> World {
    let mut params = PARAMS.map(|(name, value)| {
        let number = fairweir_ledger::params::number_of(name).unwrap();
        (number, value)
    });
    params.sort_unstable();
    let mut world = World::new(&NAMES, &params);
    for step in steps {
        if step.verb == 39 {
            wait(&mut world, 300);
        } else if step.verb == 38 {
            keep_silent(&mut world, NAMES[step.other]);
        } else if world.balance(NAMES[step.who]) >= coins("1") {
            let key = key_of(NAMES[step.who]);
            let action = action(&world, step);
            world.act(&key, action);
        }
    }
    world
}

/// Who made blocks makes none any more, and the other way round.
fn keep_silent(world: &mut World, name: &str) {
    let identity = crate::world::identity_of(name);
    if !world.silent.remove(&identity) {
        world.silent.insert(identity);
    }
}

/// Everybody takes everything back.
fn leave(world: &mut World) {
    // What moved is free after one delay.
    wait(world, 810);
    for name in NAMES {
        let key = key_of(name);
        let known = candidates::delegations(&world.state, key.address()).unwrap();
        for known in &known.delegations {
            assert_eq!(known.moved, Amount::ZERO);
            let undelegate = tx::UndelegateStake {
                candidate: known.candidate,
                shares: known.shares,
            };
            let outcome = world.act(&key, Action::UndelegateStake(undelegate));
            assert_eq!(outcome.code, TxCode::OK, "{name}: {}", outcome.reason);
        }
    }
    wait(world, 810);
    for name in NAMES {
        let account = key_of(name).address();
        if let Some(record) = candidates::candidate(&world.state, account).unwrap() {
            assert_eq!((record.stake, record.shares), Default::default(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn stake_behind_candidates_is_conserved_and_can_leave(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut first, second) = (walk(&steps), walk(&steps));
        prop_assert_eq!(&first.state, &second.state);
        if (0..NAMES.len()).all(|who| first.balance(NAMES[who]) >= coins("1")) {
            leave(&mut first);
        }
    }
}

/// Steps from a number, always the same.
fn fixed(seed: u64, count: u64) -> Vec<Step> {
    let number = |step: u64, part: u64| {
        Digest::of(
            fairweir_types::digest::Domain::Draw,
            &[&[seed, step, part].map(u64::to_be_bytes).concat()],
        )
        .leading_u64()
    };
    let below = |step, part, bound: usize| {
        usize::try_from(number(step, part) % u64::try_from(bound).unwrap()).unwrap()
    };
    let make = |step| Step {
        who: below(step, 0, NAMES.len()),
        verb: u8::try_from(below(step, 1, 51)).unwrap(),
        other: below(step, 2, NAMES.len()),
        third: below(step, 3, NAMES.len()),
        amount: 1 + number(step, 4) % [100, 300_000_000_000, 3_000_000_000_000][below(step, 5, 3)],
    };
    (0..count).map(make).collect()
}

#[test]
fn random_steps_reach_everything_that_happens_to_stake() {
    let mut reached = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let world = walk(&fixed(seed, 300));
        for event in world.history() {
            let debug = format!("{event:?}");
            reached.insert(debug.split('(').next().unwrap().to_owned());
            if debug.contains("by_stake: true") {
                reached.insert("BySeats".to_owned());
            }
        }
    }
    for name in [
        "CandidateRegistered",
        "CandidateUpdated",
        "CandidateJailed",
        "NodeConfirmed",
        "StakeDelegated",
        "StakeUndelegated",
        "StakeReturned",
        "Redelegated",
        "RedelegationSlashed",
        "RewardsClaimed",
        "ValidatorTombstoned",
        "EpochBegan",
        "BySeats",
        "Voted",
        "VoteOverridden",
        "VoteReturned",
    ] {
        assert!(reached.contains(name), "no step led to {name}: {reached:?}");
    }
}
