//! Epochs: seats that change hands while the chain goes on.

use crate::{
    follow::{Cheat, Neighbour, follower},
    four::{digests, link, lossy, validator, validator_with, validators},
    harness::{FEE, Keys, config, genesis_of, transfer, user},
};
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::Signer as _;
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use fairweir_chain::{
    ChainHandle, FinalisedBlock,
    light::{LightClient, LightError},
    transport,
};
use fairweir_ledger::{State, bank, candidates, params};
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, BoundedVec, Boxed, Bps, ChainId, Event, Genesis, Height,
    SecretKey, SignedTx, Transaction, genesis::GenesisParam, handover::Handover, tx,
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

pub(crate) const EPOCH: u64 = 10;

fn param(name: &str, value: u64) -> GenesisParam {
    GenesisParam {
        param: params::number_of(name).unwrap(),
        value,
    }
}

/// A chain with so many validators and seats for as many, and keys of one more that may stand for a seat.
pub(crate) fn chain_of(validators: u8) -> (Genesis, Vec<Keys>) {
    chain_with(validators, (u64::from(validators), EPOCH))
}

/// The same with so many seats, and epochs of so many blocks.
fn chain_with(validators: u8, (seats, epoch_blocks): (u64, u64)) -> (Genesis, Vec<Keys>) {
    let (mut genesis, keys) = genesis_of(validators + 1, validators);
    let coin = 1_000_000_000;
    let values = [
        param("seats", seats),
        param("epoch_blocks", epoch_blocks),
        param("jail_epochs", 1),
        param("candidate_stake_min", 10 * coin),
        param("seats_stake_min", 10 * coin),
        param("seats_min", 4),
    ];
    let mut values = values.to_vec();
    values.sort_unstable_by_key(|value| value.param);
    genesis.params = BoundedVec::new(values).unwrap();
    (genesis, keys)
}

pub(crate) fn identity(keys: &Keys) -> [u8; 32] {
    let public = keys.identity.as_identity().public_key().encode();
    public.as_ref().try_into().unwrap()
}

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 9_000).into()
}

pub(crate) fn sign(chain: &ChainHandle, key: &SecretKey, action: Action) -> SignedTx {
    let account = chain.read(|state| bank::account(state, key.address()).unwrap());
    let transaction = Transaction {
        chain_id: chain.genesis().chain_id.clone(),
        sender: key.account_key(),
        nonce: account.nonce,
        fee: Amount::from_base_units(FEE).unwrap(),
        expiry: Height(chain.tip().height.get() + 50),
        action,
    };
    transaction.sign(key)
}

/// Says for a node's account what is due: that it is a candidate, then in each epoch that it is there.
pub(crate) fn stand(chain: &ChainHandle, keys: &Keys, coins: u64) {
    stand_with(chain, keys, coins, None);
}

/// The same, perhaps as a further node of a candidate.
fn stand_with(chain: &ChainHandle, keys: &Keys, coins: u64, lead: Option<Address>) {
    let key = &keys.identity;
    let (epoch, record) = chain.read(|state| {
        let record = candidates::candidate(state, key.address()).unwrap();
        (candidates::epoch(state).unwrap().number, record)
    });
    let action = match record {
        None => {
            let signed = tx::RegisterCandidate::sign(
                (chain.genesis().digest(), key.address()),
                (key, &keys.vote_key),
                (Bps::ZERO, Amount::from_coins(coins).unwrap(), peer()),
            );
            Action::RegisterCandidate(Boxed::new(match lead {
                Some(lead) => signed.of(lead),
                None => signed,
            }))
        }
        Some(record) if record.ready != Some(epoch) => {
            Action::UpdateCandidate(tx::UpdateCandidate {
                commission: Bps::ZERO,
                stands: true,
                peer: peer().into(),
            })
        }
        Some(_) => return,
    };
    // It may wait already.
    let _ = chain.submit(sign(chain, key, action));
}

fn epoch(chain: &ChainHandle) -> u64 {
    chain.read(|state| candidates::epoch(state).unwrap().number)
}

pub(crate) fn seated(chain: &ChainHandle) -> BTreeSet<[u8; 32]> {
    let seats = chain.read(|state| candidates::seats(state).unwrap());
    seats.iter().map(|seat| seat.validator).collect()
}

pub(crate) fn ids<'k>(keys: impl IntoIterator<Item = &'k Keys>) -> BTreeSet<[u8; 32]> {
    keys.into_iter().map(identity).collect()
}

#[test]
fn a_candidate_takes_the_seat_of_a_validator_and_everybody_follows() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let (following, _task) = follower(
            &context,
            &genesis,
            Neighbour::new(&chains[0].0, Cheat::None),
        )
        .await;
        assert_eq!(seated(&chains[0].0), ids(&keys[..4]));
        // The first three and the newcomer stand; the fourth validator does not.
        let standing = [0, 1, 2, 4];
        let expected = ids(standing.map(|number| &keys[number]));
        while chains.iter().any(|(chain, _)| seated(chain) != expected) {
            for number in standing {
                stand(&chains[number].0, &keys[number], 20);
            }
            context.sleep(Duration::from_millis(200)).await;
            assert!(
                chains[0].0.tip().height < Height(100),
                "seats do not follow stake"
            );
        }
        // Whoever has no seat any more passes on what is submitted to it.
        let tx = chains[3].0.submit(transfer(&user(1), 0)).unwrap();
        let target = Height(chains[0].0.tip().height.get() + 4 * EPOCH);
        while chains[0].0.tip().height < target {
            for number in standing {
                stand(&chains[number].0, &keys[number], 20);
            }
            context.sleep(Duration::from_millis(200)).await;
        }
        let blocks = digests(&chains[0].0, target).await;
        for chain in chains.iter().map(|(chain, _)| chain).chain([&following]) {
            chain.wait_height(target).await.unwrap();
            assert!(chain.outcome(tx).await.unwrap().unwrap().outcome.is_done());
            assert_eq!(digests(chain, target).await, blocks);
        }
        check_proofs(&chains[0].0, &genesis, target, (&keys[3], &keys[4])).await;
    });
}

#[test]
fn a_candidate_has_as_many_seats_as_its_part_of_the_stake_for_as_many_nodes() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let chain = &chains[0].0;
        let lead = keys[2].identity.address();
        let everybody_stands = || {
            for (number, keys) in keys.iter().enumerate() {
                let own = [20, 10, 60, 10, 10][number];
                let lead = (number > 2).then_some(lead);
                // Nobody is a further node of who is not there yet.
                if lead.is_none_or(|lead| chain.read(|state| is_candidate(state, lead))) {
                    stand_with(chain, keys, own, lead);
                }
            }
        };
        // While nobody confirmed them, two further nodes have no seat, so too few are ready and the founders go on.
        let begun = epoch(chain);
        while epoch(chain) < begun + 3 {
            everybody_stands();
            context.sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(seated(chain), ids(&keys[..4]));
        // Of 110 coins 80 are behind one candidate: 2.9 of four seats, so three; and the fourth is whose the most is of what remains.
        for node in [3, 4] {
            let node = keys[node].identity.address();
            while chain.read(|state| waits(state, node)) {
                let confirm = Action::ConfirmNode(tx::ConfirmNode { node });
                // It may wait already.
                let _ = chain.submit(sign(chain, &keys[2].identity, confirm));
                context.sleep(Duration::from_millis(200)).await;
            }
        }
        let expected = ids([0, 2, 3, 4].map(|number| &keys[number]));
        while chains.iter().any(|(chain, _)| seated(chain) != expected) {
            everybody_stands();
            context.sleep(Duration::from_millis(200)).await;
            assert!(
                chain.tip().height < Height(100),
                "seats do not follow stake"
            );
        }
        let target = Height(chain.tip().height.get() + 2 * EPOCH);
        while chain.tip().height < target {
            everybody_stands();
            context.sleep(Duration::from_millis(200)).await;
        }
        let blocks = digests(chain, target).await;
        for (chain, _) in &chains {
            chain.wait_height(target).await.unwrap();
            assert_eq!(digests(chain, target).await, blocks);
        }
        assert_eq!(seated(chain), expected);
    });
}

fn is_candidate(state: &dyn State, account: Address) -> bool {
    candidates::candidate(state, account).unwrap().is_some()
}

/// Whether a further node waits for its lead.
fn waits(state: &dyn State, node: Address) -> bool {
    let found = candidates::candidate(state, node).unwrap();
    found.is_some_and(|found| found.waits_for_lead())
}

#[test]
fn who_says_that_it_is_there_and_is_not_is_jailed_and_comes_back() {
    // Eight turns for each.
    let (genesis, keys) = chain_with(4, (5, 40));
    deterministic::Runner::timed(Duration::from_secs(1_200)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let mut chains = validators(&context, &oracle, &genesis, &keys).await;
        let liar = keys[4].identity.address();
        // Somebody says for the last one that it is ready, whether it is or not.
        let until = async |chain: &ChainHandle, has_seat: bool| {
            while seated(chain).contains(&identity(&keys[4])) != has_seat {
                // The chain can spare the last one.
                for (keys, coins) in keys.iter().zip([20, 20, 20, 20, 10]) {
                    stand(chain, keys, coins);
                }
                context.sleep(Duration::from_millis(200)).await;
                assert!(chain.tip().height < Height(600), "seat: {}", !has_seat);
            }
            let record = chain.read(|state| candidates::candidate(state, liar).unwrap());
            (epoch(chain), record.and_then(|record| record.jail))
        };
        let (began, jail) = until(&chains[0].0, true).await;
        assert_eq!(jail, None);
        let (_, task) = chains.pop().unwrap();
        task.stop();
        task.ended().await;
        // It may have made a block of the epoch in which it was stopped.
        let (lost, jail) = until(&chains[0].0, false).await;
        let jail = jail.expect("it is jailed");
        assert_eq!((jail.first, jail.last), (lost, lost));
        assert!((began + 1..=began + 2).contains(&lost), "{began}, {lost}");
        chains.push(validator(&context, &oracle, &genesis, &keys[4], 4).await);
        let (back, _) = until(&chains[0].0, true).await;
        assert_eq!(back, jail.last + 1);
        let target = Height(chains[0].0.tip().height.get() + 40);
        let blocks = digests(&chains[0].0, target).await;
        for (chain, _) in &chains {
            chain.wait_height(target).await.unwrap();
            assert_eq!(digests(chain, target).await, blocks);
        }
    });
}

#[test]
fn an_old_certificate_does_not_keep_a_node_without_a_seat_from_hearing_new_ones() {
    let (genesis, keys) = chain_of(5);
    let attacker = SecretKey::from_seed([66; 32]).unwrap();
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        // The last key is the attacker's: it is let in, and has no seat.
        let mut everybody = keys.clone();
        everybody[5].identity = attacker.clone();
        let oracle = link(&context, &genesis, &everybody, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys[..5]).await;
        let public = attacker.as_identity().public_key();
        let (mut sender, _) = transport::simulated(&oracle, public)
            .await
            .unwrap()
            .certificates;
        // Four of the five stand.
        let expected = ids(&keys[..4]);
        while chains.iter().any(|(chain, _)| seated(chain) != expected) {
            for number in 0..4 {
                stand(&chains[number].0, &keys[number], 20);
            }
            context.sleep(Duration::from_millis(200)).await;
        }
        let (first, unseated) = (chains[0].0.clone(), chains[4].0.clone());
        // In the next epoch the same four have the seats; the last view of this one is above most of that.
        let end = first.tip().height.get().next_multiple_of(EPOCH);
        while first.tip().height.get() <= end {
            for number in 0..4 {
                stand(&chains[number].0, &keys[number], 20);
            }
            context.sleep(Duration::from_millis(50)).await;
        }
        let old = first.finalised(Height(end)).await.unwrap().unwrap();
        let epoch = end / EPOCH;
        let message = [UInt(epoch).encode().to_vec(), vec![2], old.certificate].concat();
        let to = keys[4].identity.as_identity().public_key();
        sender.send(Recipients::One(to), message, true);
        first.wait_height(Height(end + 6)).await.unwrap();
        context.sleep(Duration::from_millis(200)).await;
        let behind = first.tip().height.get() - unseated.tip().height.get();
        assert!(behind <= 2, "it is {behind} blocks behind");
    });
}

/// Every block is proven to who knows the genesis and follows handovers; blocks are made by those who have seats.
async fn check_proofs(
    chain: &ChainHandle,
    genesis: &Genesis,
    to: Height,
    (leaver, newcomer): (&Keys, &Keys),
) {
    let mut light = LightClient::new(genesis).unwrap();
    let untold = light.clone();
    let (mut handovers, mut by_newcomer, mut refused) = (Vec::new(), 0, 0);
    for height in 1..=to.get() {
        let found = chain.finalised(Height(height)).await.unwrap().unwrap();
        let header = &found.block.header;
        assert_eq!(header.epoch, (height - 1) / EPOCH);
        light
            .verify_through(header, &found.descendants, &found.certificate)
            .unwrap();
        let mut other = header.clone();
        other.epoch += 1;
        let refused_form = light.verify(&other, &found.certificate);
        assert!(matches!(refused_form, Err(LightError::OtherEpoch { .. })));
        if !handovers.is_empty() {
            assert_ne!(header.proposer, identity(leaver), "block {height}");
            by_newcomer += u64::from(header.proposer == identity(newcomer));
            let untold = untold.verify_through(header, &found.descendants, &found.certificate);
            refused += u64::from(matches!(untold, Err(LightError::OtherValidators { .. })));
        }
        let is_last = height % EPOCH == 0;
        let began = found
            .events
            .iter()
            .any(|event| matches!(event, Event::EpochBegan(_)));
        assert_eq!(is_last, began);
        if is_last {
            // Nothing is proven by a later block alone: the last of an epoch has a certificate of its own.
            assert!(found.descendants.is_empty());
            let handover = handover(&found);
            let mut other = handover.clone();
            other.began.seats = BoundedVec::default();
            let refused_event = light.clone().hand_over(&other);
            assert!(matches!(refused_event, Err(LightError::OtherEvents)));
            if light.hand_over(&handover).unwrap() {
                handovers.push(handover);
            }
        }
    }
    assert_eq!(handovers.len(), 1);
    check_checkpoint(chain, genesis, &handovers[0]).await;
    // Also where the seats did not change hands: those of the checkpoint had them before, and that is not believed of them.
    let last = Height((to.get() - 1) / EPOCH * EPOCH);
    let last = chain.finalised(last).await.unwrap().unwrap();
    let last = handover(&last);
    assert!(last.began.since < last.began.epoch);
    check_checkpoint(chain, genesis, &last).await;
    assert!(by_newcomer > 5, "{by_newcomer} blocks of the newcomer");
    assert!(
        refused > 0,
        "who was not told of the handover believed everything"
    );
}

fn handover(found: &FinalisedBlock) -> Handover {
    let certificate = BoundedBytes::new(found.certificate.clone()).unwrap();
    Handover::of(found.block.header.clone(), certificate, &found.events).unwrap()
}

/// Who begins at a checkpoint believes its block by its digest, and those who have the seats since then; it knows nothing of blocks before.
async fn check_checkpoint(chain: &ChainHandle, genesis: &Genesis, handover: &Handover) {
    let checkpoint = handover.checkpoint();
    assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    let mut light = LightClient::new(genesis).unwrap();
    let known = light.clone();
    let mut unproven = handover.clone();
    unproven.certificate = BoundedBytes::default();
    light.begin_at(checkpoint, &unproven).unwrap();
    for (change, is_refused) in [
        (0, "other_checkpoint"),
        (1, "other_events"),
        (2, "other_chain"),
    ] {
        let mut other = handover.clone();
        let mut trusted = checkpoint;
        match change {
            0 => trusted.height = Height(trusted.height.get() - 1),
            1 => other.began.since -= 1,
            _ => {
                other.header.chain_id = ChainId::new("dev-other").unwrap();
                trusted = other.checkpoint();
            }
        }
        let refused = known.clone().begin_at(trusted, &other).unwrap_err();
        assert_eq!(refused.code(), is_refused);
    }
    let foot = checkpoint.height.get();
    for height in [1, foot, foot + 1, chain.tip().height.get()] {
        let found = chain.finalised(Height(height)).await.unwrap().unwrap();
        let header = &found.block.header;
        let verified = light.verify_through(header, &found.descendants, &found.certificate);
        match verified {
            Ok(digest) => assert!(height > foot && digest == found.digest),
            Err(error) => assert!(height <= foot && error.code() == "before_checkpoint"),
        }
    }
    assert!(foot < chain.tip().height.get());
}

#[test]
fn validators_that_crash_around_the_end_of_an_epoch_go_on_in_the_next() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(1_200)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let mut chains = validators(&context, &oracle, &genesis, &keys[..4]).await;
        for (round, down) in (0..).zip([1, 2, 1, 2, 1, 2, 4, 4]) {
            // The heights around the end, and all four at once in the end.
            let height = Height(EPOCH * (round + 1) - 2 + round % 4);
            chains[0].0.wait_height(height).await.unwrap();
            context.sleep(Duration::from_millis(round * 37)).await;
            for _ in 0..down {
                let (_, task) = chains.pop().unwrap();
                task.stop();
                task.ended().await;
            }
            context.sleep(Duration::from_millis(900)).await;
            let gone = chains.len();
            for (number, keys) in keys.iter().enumerate().take(4).skip(gone) {
                chains.push(validator(&context, &oracle, &genesis, keys, number).await);
            }
        }
        let target = Height(EPOCH * 10 + 3);
        chains[0].0.wait_height(target).await.unwrap();
        let blocks = digests(&chains[0].0, target).await;
        for (chain, _) in &chains {
            chain.wait_height(target).await.unwrap();
            assert_eq!(digests(chain, target).await, blocks);
        }
    });
}

#[test]
fn who_lost_its_votes_follows_and_votes_again_from_the_epoch_that_it_was_told() {
    const FROM: u64 = 2;
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let mut chains = validators(&context, &oracle, &genesis, &keys[..3]).await;
        let mut mended = config(&genesis, &keys[3]);
        mended.votes_from = FROM;
        chains.push(validator_with(&context, &oracle, (mended, &keys[3]), 3).await);
        let chain = &chains[3].0;
        assert_eq!(chain.votes_from(), FROM);
        let target = Height(EPOCH * (FROM + 2));
        chain.wait_height(target).await.unwrap();
        let mut proposed = BTreeSet::new();
        for height in 1..=target.get() {
            let found = chain.finalised(Height(height)).await.unwrap().unwrap();
            if found.block.header.proposer == identity(&keys[3]) {
                proposed.insert(found.block.header.epoch);
            }
        }
        assert_eq!(proposed, BTreeSet::from([FROM, FROM + 1]));
    });
}
