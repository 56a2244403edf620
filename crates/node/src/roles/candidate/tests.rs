use super::*;
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, deterministic};
use fairweir_chain::{ChainConfig, SimulatedMachine, start, transport};
use fairweir_ledger::candidates::candidate;
use fairweir_types::{
    BoundedVec, Boxed, Bps, ChainId, Genesis, GenesisAccount, Validator,
    genesis::GenesisParam,
    keys::VoteSecretKey,
    tx::{RegisterCandidate, Transfer},
};
use std::net::SocketAddr;

const EPOCH: u64 = 10;
const FEE: u64 = 10_000_000;

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32]).expect("any seed")
}

fn vote_key() -> VoteSecretKey {
    VoteSecretKey::from_seed([9; 32]).expect("any seed")
}

fn identity_bytes() -> [u8; 32] {
    let AccountKey::Ed25519(public) = key(1).account_key();
    public.as_ref().try_into().expect("32 bytes")
}

/// A chain with one validator, which has money and may stand for a seat.
fn genesis() -> Genesis {
    let value = |name, value| GenesisParam {
        param: params::number_of(name).expect("a governed value"),
        value,
    };
    let coin = 1_000_000_000;
    let mut values = vec![
        value("epoch_blocks", EPOCH),
        value("candidate_stake_min", coin),
    ];
    values.sort_unstable_by_key(|value| value.param);
    let validator = Validator {
        identity: identity_bytes(),
        vote_key: vote_key().vote_key(),
        possession: vote_key().prove_possession(),
        payout: key(1).address(),
    };
    let genesis = Genesis {
        chain_id: ChainId::new("dev-test").expect("a name"),
        time: Millis(0),
        accounts: BoundedVec::truncating(vec![GenesisAccount {
            address: key(1).address(),
            balance: Amount::from_coins(100).expect("coins"),
        }]),
        validators: BoundedVec::truncating(vec![validator]),
        params: BoundedVec::truncating(values),
        services: BoundedVec::default(),
    };
    genesis.check().expect("a genesis");
    genesis
}

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 7_641).into()
}

fn signed(chain: &ChainHandle, nonce: u64, action: Action) -> SignedTx {
    let transaction = Transaction {
        chain_id: chain.genesis().chain_id.clone(),
        sender: key(1).account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(FEE).expect("a fee"),
        expiry: Height(1_000),
        action,
    };
    transaction.sign(&key(1))
}

fn register(chain: &ChainHandle) -> Action {
    let account = key(1).address();
    let register = RegisterCandidate::sign(
        (chain.genesis().digest(), account),
        (&key(1), &vote_key()),
        (Bps::ZERO, Amount::from_coins(20).expect("coins"), peer()),
    );
    Action::RegisterCandidate(Boxed::new(register))
}

/// Whether a candidate is ready behind some epochs, if the clocks of those who make blocks are ahead of its own by so many milliseconds.
fn is_ready(others_ahead_ms: i64) -> bool {
    let config = ChainConfig {
        heartbeat: Duration::from_millis(500),
        simulated: SimulatedMachine {
            clock_skew_ms: others_ahead_ms,
            ..SimulatedMachine::default()
        },
        ..ChainConfig::new(genesis(), key(1), vote_key())
    };
    deterministic::Runner::timed(Duration::from_secs(300)).start(|context| async move {
        // Its time begins with 1970, before which no block can be made.
        context.sleep(Duration::from_secs(100)).await;
        let AccountKey::Ed25519(public) = key(1).account_key();
        let started = start(context.child("chain"), config, transport::solo(public)).await;
        let (chain, _task) = started.expect("it starts");
        let registers = signed(&chain, 0, register(&chain));
        let registered = chain.submit(registers).expect("taken");
        chain.wait_outcome(registered).await.expect("included");
        let node = chain.clone();
        let says = context
            .child("candidate")
            .spawn(move |clock| say_ready(clock, node, key(1), vec![key(1)]));
        chain
            .wait_height(Height(3 * EPOCH))
            .await
            .expect("it goes on");
        says.abort();
        let record = chain.read(|state| candidate(state, key(1).address()));
        let record = record.expect("readable").expect("registered");
        record.ready.is_some()
    })
}

#[test]
fn a_node_whose_clock_is_wrong_does_not_say_that_it_is_ready() {
    assert!(is_ready(0));
    assert!(is_ready(2_000));
    assert!(!is_ready(10_000), "it would refuse each block");
    assert!(!is_ready(-60_000), "it takes itself for one that is behind");
}

#[test]
fn a_block_tells_whether_the_node_or_its_clock_is_behind() {
    let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
    let cases = [
        (100_000, Sight::Present),
        (130_000, Sight::Present),
        (130_001, Sight::Behind),
        (97_000, Sight::Present),
        (96_999, Sight::ClockBehind(AHEAD + Duration::from_millis(1))),
        (0, Sight::ClockBehind(Duration::from_secs(100))),
    ];
    for (now, expected) in cases {
        assert_eq!(Sight::of(Millis(100_000), at(now)), expected);
    }
}

#[test]
fn it_waits_for_its_turn_as_long_as_there_is_time() {
    let turns = |begins: u64, ends| {
        let mut said = Said::default();
        let tips = (begins..ends).map(Height);
        let turns = tips.filter_map(|tip| {
            let turn = said.turn(tip, Height(ends))?;
            said.tries += 1;
            Some((tip.get(), turn.place, turn.worth))
        });
        turns.collect::<Vec<_>>()
    };
    use Place::{Behind, First};
    let long = [
        (150, Behind, 1),
        (153, Behind, 4),
        (159, Behind, 16),
        (171, First, 64),
        (195, First, 256),
        (243, First, 1_024),
    ];
    assert_eq!(turns(150, 300), long);
    // With little time it does not wait for long.
    assert_eq!(turns(5, 10), [(5, Behind, 1), (8, First, 4)]);
    assert_eq!(turns(8, 10), [(8, First, 1)]);
}

/// What a node has to say of which the others hold nothing against it.
fn untroubled() -> Duty {
    Duty {
        epoch: 0,
        ends: Height(EPOCH),
        jailed_until: None,
        is_silent: false,
        lacks_lead: false,
        update: UpdateCandidate {
            commission: Bps::ZERO,
            stands: true,
            peer: peer().into(),
        },
        account: key(1).address(),
        nonce: Nonce(0),
    }
}

#[test]
fn an_operator_is_told_the_worst_of_what_the_others_hold_against_its_node() {
    // jailed until, silent, without a lead
    let table = [
        (None, false, false, None),
        (None, true, false, Some(Trouble::Silent)),
        (Some(7), true, false, Some(Trouble::Jailed(7))),
        (Some(7), false, false, Some(Trouble::Jailed(7))),
        (Some(7), true, true, Some(Trouble::NoLead)),
        (None, false, true, Some(Trouble::NoLead)),
    ];
    for (jailed_until, is_silent, lacks_lead, expected) in table {
        let duty = Duty {
            jailed_until,
            is_silent,
            lacks_lead,
            ..untroubled()
        };
        assert_eq!(duty.trouble(), expected);
    }
}

#[test]
fn what_the_account_has_waiting_goes_before_it_at_first() {
    let config = ChainConfig::new(genesis(), key(1), vote_key());
    deterministic::Runner::timed(Duration::from_secs(300)).start(|context| async move {
        let AccountKey::Ed25519(public) = key(1).account_key();
        let started = start(context.child("chain"), config, transport::solo(public)).await;
        let (chain, _task) = started.expect("it starts");
        let transfer = Action::Transfer(Transfer {
            to: key(2).address(),
            amount: Amount::from_base_units(1).expect("small"),
        });
        let duty = untroubled();
        assert_eq!(nonce(&chain, &duty, Place::Behind), Nonce(0));
        for nonce in [0, 1] {
            let own = signed(&chain, nonce, transfer.clone());
            chain.submit(own).expect("taken");
        }
        assert_eq!(nonce(&chain, &duty, Place::Behind), Nonce(2));
        assert_eq!(nonce(&chain, &duty, Place::First), Nonce(0));
    });
}
