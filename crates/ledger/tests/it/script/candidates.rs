//! Candidates in the table language.
//!
//! ```text
//! A: candidate commission=500 amount=1000    with keys named after A; `identity=B` and `vote=B` take B's, `for=B` signs for B's account,
//!                                            `genesis=other` for another chain; the validator of the genesis has the keys of `validator`;
//!                                            `peer=127.0.0.1:9000` is where its node is; `lead=B` names B as its lead, as a further node
//! B: confirm A                               says that A is a further node of B
//! A: stand commission=600                    which also says that its node is there; `stand-down` to stand no more
//! B: delegate A 100                          also `undelegate A 40`, `redelegate A C 10`, `claim A`
//! expect shares B A 60                       what B has behind A; `pot A 100` is the money behind A, `earned B A 0.5` what it may claim
//! silent A B                                 make no blocks from now on, also with seats; `silent` alone: everybody makes them again
//! expect jailed A 13                         the last epoch in which it has no seat for that, or `none`
//! expect ready A yes                         it said in this epoch that its node is there, or `no`
//! expect would-be-jailed A yes               if the epoch ended now, or `no`
//! expect stake-of-seat A 120                 behind its seat in the present epoch
//! expect seats A 1                           in the present epoch, whose number is `epoch 3`; nobody came or left since the epoch `since 2`
//! expect secured 70                          what orders hold; `third 240` of the seats costs so much, `room 10` more may be locked, or `none`
//! ```

use super::{Line, address};
use crate::world::{World, coins, key_of, vote_key, vote_key_of};
use fairweir_ledger::{candidates, secured};
use fairweir_types::{
    Action, Amount, Boxed, Bps, Digest, SecretKey,
    tx::{
        ClaimRewards, ConfirmNode, DelegateStake, RedelegateStake, RegisterCandidate,
        UndelegateStake, UpdateCandidate,
    },
};
use std::net::SocketAddr;

/// Where a node is: `peer=127.0.0.1:9000` unless the line says otherwise.
fn peer(line: &Line<'_>) -> SocketAddr {
    let peer = line.options.get("peer").copied();
    peer.unwrap_or("127.0.0.1:9000").parse().unwrap()
}

fn register(world: &World, key: &SecretKey, line: &Line<'_>) -> RegisterCandidate {
    let own = world.name_of(key.address());
    let named = |option: &str| line.options.get(option).copied().unwrap_or(&own);
    let account = line
        .options
        .get("for")
        .map_or(key.address(), |name| address(world, name));
    let genesis = match line.options.get("genesis") {
        Some(other) => Digest::of_blob(other.as_bytes()),
        None => world.genesis.digest(),
    };
    let vote = match named("vote") {
        "validator" => vote_key(),
        name => vote_key_of(name),
    };
    let amount = coins(line.options.get("amount").copied().unwrap_or("1000"));
    let signed = RegisterCandidate::sign(
        (genesis, account),
        (&key_of(named("identity")), &vote),
        (Bps(line.option("commission", 0)), amount, peer(line)),
    );
    match line.options.get("lead") {
        Some(lead) => signed.of(address(world, lead)),
        None => signed,
    }
}

pub(super) fn action(world: &World, key: &SecretKey, line: &Line<'_>) -> Option<Action> {
    let account = |position: usize| address(world, line.word(position));
    Some(match line.word(0) {
        "candidate" => Action::RegisterCandidate(Boxed::new(register(world, key, line))),
        stands @ ("stand" | "stand-down") => Action::UpdateCandidate(UpdateCandidate {
            commission: Bps(line.option("commission", 0)),
            stands: stands == "stand",
            peer: peer(line).into(),
        }),
        "confirm" => Action::ConfirmNode(ConfirmNode { node: account(1) }),
        "delegate" => Action::DelegateStake(DelegateStake {
            candidate: account(1),
            amount: coins(line.word(2)),
        }),
        "undelegate" => Action::UndelegateStake(UndelegateStake {
            candidate: account(1),
            shares: coins(line.word(2)),
        }),
        "redelegate" => Action::RedelegateStake(RedelegateStake {
            from: account(1),
            to: account(2),
            amount: coins(line.word(3)),
        }),
        "claim" => Action::ClaimRewards(ClaimRewards {
            candidate: account(1),
        }),
        _ => return None,
    })
}

/// Checks what a line expects; false when it is not about candidates.
pub(super) fn expect(world: &World, line: &Line<'_>) -> bool {
    let subject = line.words.get(1).copied().unwrap_or_default();
    let of = |delegator: &str, candidate: &str| {
        let report = candidates::delegations(&world.state, address(world, delegator)).unwrap();
        let candidate = address(world, candidate);
        let mut known = report.delegations.iter().copied();
        known.find(|known| known.candidate == candidate)
    };
    match line.word(0) {
        "shares" => {
            let found = of(subject, line.word(2)).map_or(Amount::ZERO, |known| known.shares);
            assert_eq!(found, coins(line.word(3)), "shares of {subject}");
        }
        "earned" => {
            let found = of(subject, line.word(2)).map_or(Amount::ZERO, |known| known.rewards);
            // Rounding keeps a few base units back.
            let lacks = coins(line.word(3)).checked_sub(found).unwrap();
            assert!(lacks.base_units() <= 10, "rewards of {subject}: {found}");
        }
        "pot" => {
            let found = candidates::candidate(&world.state, address(world, subject)).unwrap();
            assert_eq!(
                found.unwrap().stake,
                coins(line.word(2)),
                "pot of {subject}"
            );
        }
        "seats" => {
            let report = candidates::report(&world.state).unwrap();
            let identity = crate::world::identity_of(subject);
            let found = report
                .seats
                .iter()
                .filter(|seat| seat.validator == identity);
            assert_eq!(
                found.count().to_string(),
                line.word(2),
                "seats of {subject}"
            );
        }
        "stake-of-seat" => {
            let seats = candidates::seats(&world.state).unwrap();
            let identity = crate::world::identity_of(subject);
            let mut seats = seats.iter();
            let found = seats.find(|seat| seat.validator == identity).unwrap();
            assert_eq!(found.stake, coins(line.word(2)), "seat of {subject}");
        }
        "jailed" => {
            let report = candidates::report(&world.state).unwrap();
            let account = address(world, subject);
            let mut known = report.candidates.iter();
            let found = known.find(|known| known.candidate == account).unwrap();
            let until = found.jailed_until;
            let until = until.map_or_else(|| "none".to_owned(), |until| until.to_string());
            assert_eq!(until, line.word(2), "jail of {subject}");
        }
        "ready" => {
            let report = candidates::report(&world.state).unwrap();
            let account = address(world, subject);
            let mut known = report.candidates.iter();
            let found = known.find(|known| known.candidate == account).unwrap();
            assert_eq!(if found.is_ready { "yes" } else { "no" }, line.word(2));
        }
        "would-be-jailed" => {
            let identity = crate::world::identity_of(subject);
            let would = candidates::would_be_jailed(&world.state, &identity).unwrap();
            assert_eq!(if would { "yes" } else { "no" }, line.word(2));
        }
        "since" => {
            let report = candidates::report(&world.state).unwrap();
            assert_eq!(report.since.to_string(), subject);
        }
        "secured" => {
            let report = secured::report(&world.state).unwrap();
            assert_eq!(report.locked, coins(subject));
        }
        bound @ ("third" | "room") => {
            let report = secured::report(&world.state).unwrap();
            let found = if bound == "third" {
                report.third
            } else {
                report.room()
            };
            let expected = (subject != "none").then(|| coins(subject));
            assert_eq!(found, expected, "{bound}");
        }
        "epoch" => {
            let report = candidates::report(&world.state).unwrap();
            assert_eq!(report.epoch.to_string(), subject);
        }
        _ => return false,
    }
    true
}
