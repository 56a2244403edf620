use super::{Audit, Imbalances};
use crate::{
    BlockContext, MemoryState, bank, execution::Execution, genesis_writes, keys,
    referee::NoReferee, state::load,
};
use commonware_codec::Encode as _;
use fairweir_types::{
    Address, Amount, BoundedVec, ChainId, Digest, Event, Genesis, GenesisAccount, Height, Millis,
    SecretKey, Validator, decode, event::WithdrawalsHalted, invariant::Invariant,
    keys::VoteSecretKey,
};
use proptest::prelude::*;

const COIN: Amount = match Amount::from_coins(1) {
    Some(coin) => coin,
    None => Amount::ZERO,
};

/// A state that takes three blocks to read.
fn state() -> MemoryState {
    let account = |number: u16| {
        let mut address = Address::default();
        address.0[..2].copy_from_slice(&number.to_be_bytes());
        GenesisAccount {
            address,
            balance: COIN,
        }
    };
    let identity = SecretKey::from_seed([1; 32]).unwrap();
    let vote = VoteSecretKey::from_seed([2; 32]).unwrap();
    let fairweir_types::AccountKey::Ed25519(public) = identity.account_key();
    let validator = Validator {
        identity: public.as_ref().try_into().unwrap(),
        vote_key: vote.vote_key(),
        possession: vote.prove_possession(),
        payout: identity.address(),
    };
    let genesis = Genesis {
        chain_id: ChainId::new("dev-test").unwrap(),
        time: Millis(1),
        accounts: BoundedVec::new((1..=600).map(account).collect()).unwrap(),
        validators: BoundedVec::new(vec![validator]).unwrap(),
        params: BoundedVec::default(),
        services: BoundedVec::default(),
    };
    let mut state = MemoryState::default();
    state.apply(&genesis_writes(&genesis).unwrap());
    state
}

/// Makes a block in which something happens that no verb does.
fn block(
    state: &mut MemoryState,
    height: u64,
    wrong: impl FnOnce(&mut Execution<'_>),
) -> Vec<Event> {
    let context = BlockContext {
        chain_id: ChainId::new("dev-test").unwrap(),
        height: Height(height),
        time: Millis(height),
        beacon: Digest::ZERO,
        proposer: [0; 32],
        plans: crate::upgrades::Plans::default(),
    };
    let mut execution = Execution::begin(state, &context, &NoReferee).unwrap();
    wrong(&mut execution);
    execution.end_block().unwrap();
    let Execution {
        overlay, events, ..
    } = execution;
    let writes = overlay.into_writes();
    state.apply(&writes);
    events
}

fn known(state: &MemoryState) -> Imbalances {
    let audit: Option<Audit> = load(state, &keys::audit()).unwrap();
    audit.unwrap().known
}

#[test]
fn what_a_verb_does_wrong_is_found_in_its_block_and_once() {
    // Before and behind where the reading has come to.
    for who in [1u8, 255] {
        let to = Address([who; 20]);
        let mut state = state();
        assert_eq!(block(&mut state, 1, |_| ()), []);
        let events = block(&mut state, 2, |execution| {
            bank::credit(execution, to, COIN).unwrap();
        });
        let halted = |height| {
            [Event::WithdrawalsHalted(WithdrawalsHalted {
                invariant: Invariant::Supply,
                halted: Height(height),
            })]
        };
        assert_eq!(events, halted(2));
        let one = i128::from(COIN.base_units());
        assert_eq!(known(&state).money, one);
        // Readings end, and find what is known.
        for height in 3..10 {
            assert_eq!(block(&mut state, height, |_| ()), []);
        }
        assert_eq!(known(&state).money, one);
        assert_eq!(known(&state), Imbalances::of_state(&state));
        // More of it is another matter, and so is less.
        let events = block(&mut state, 10, |execution| {
            bank::credit(execution, to, COIN).unwrap();
        });
        assert_eq!(events, halted(10));
        let events = block(&mut state, 11, |execution| {
            bank::debit(execution, to, COIN).unwrap();
        });
        assert_eq!(events, halted(11));
        // That it adds up again is no reason to halt.
        let events = block(&mut state, 12, |execution| {
            bank::debit(execution, to, COIN).unwrap();
        });
        assert_eq!(events, []);
        assert_eq!(known(&state), Imbalances::default());
    }
}

#[test]
fn wrong_records_halt_when_there_are_more_of_them() {
    let wrong = |overdrawn| Imbalances {
        overdrawn,
        ..Imbalances::default()
    };
    assert_eq!(wrong(1).worse_than(&wrong(0)), Some(Invariant::Grants));
    assert_eq!(wrong(1).worse_than(&wrong(2)), None);
    let both = Imbalances {
        money: -1,
        ..wrong(1)
    };
    assert_eq!(both.worse_than(&wrong(0)), Some(Invariant::Supply));
    assert_eq!(both.worse_than(&both), None);
    assert_eq!(Imbalances::default().worse_than(&both), None);
    // Every invariant has a sum.
    for invariant in Invariant::ALL {
        assert!(Imbalances::has(invariant), "{invariant}");
    }
}

proptest! {
    #[test]
    fn sums_decode_as_they_were_and_in_one_way(
        money in any::<i128>(), overdrawn in any::<i64>(), slots in -1i128..2, bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let sums = Imbalances { money, overdrawn: i128::from(overdrawn), slots, ..Imbalances::default() };
        let encoded = sums.encode();
        prop_assert_eq!(decode::<Imbalances>(&encoded).unwrap(), sums);
        if let Ok(sums) = decode::<Imbalances>(&bytes) {
            prop_assert_eq!(sums.encode().to_vec(), bytes);
        }
    }
}
