//! The ledger and the model side by side.

use super::{COIN, Model, Money, UNBONDING_DELAY};
use crate::{
    full_block::header,
    script::run_on,
    steps::{self, Step},
    world::{World, chain_id, coins, identity_of, key_of},
};
use fairweir_ledger::{bank, candidates, market, report, stake, validators};
use fairweir_types::{
    Action, Address, Amount, Boxed, Digest, Event, Millis, VerifiedTx,
    digest::Domain,
    event::SlashReason,
    order::{KindId, OrderId},
    tx,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Who acts at random.
const NAMES: [&str; 5] = ["A", "B", "C", "D", "S"];
/// With a worker and eight verifiers, who do what the walk says, and two candidates, one of whom proposes every block.
const SETUP: &str = "param deposit_per_byte 0\nparam unbonding_delay 4000000\nparam appeal_window 1000\nparam appeal_move 1000\nparam appeal_game 195000\n\
    param window_blocks_min 2\nparam challenge_window 1000\naccounts A B C D S W V1 V2 V3 V4 V5 V6 V7 V8 validator\n\
    validator: candidate commission=1000 amount=1000\nS: candidate amount=1000\n\
    W: bond 300\nW: offer price=0.9";
const VERIFIERS: u8 = 8;

/// Both of them.
struct Pair {
    world: World,
    model: Model,
    /// Blocks that the model has followed.
    followed: usize,
    orders: Vec<OrderId>,
}

impl Pair {
    fn new() -> Self {
        let mut setup = SETUP.to_owned();
        for verifier in 1..=VERIFIERS {
            setup += &format!("\nV{verifier}: bond 300\nV{verifier}: enrol");
        }
        let world = run_on(None, "model", &setup).unwrap();
        let balance = |account: &fairweir_types::GenesisAccount| {
            let balance = Money::from(account.balance.base_units());
            (account.address, balance)
        };
        let accounts = world.genesis.accounts.iter().map(balance);
        let model = Model::new(world.genesis.time.get(), accounts);
        let mut pair = Self {
            world,
            model,
            followed: 0,
            orders: Vec::new(),
        };
        pair.follow();
        pair
    }

    /// The model follows what the ledger did, and both must have the same.
    fn follow(&mut self) {
        let identity = identity_of("validator");
        let proposer = validators::validator(&self.world.state, &identity).unwrap();
        let proposer = proposer.unwrap().account;
        for made in &self.world.blocks[self.followed..] {
            self.model.follow(made, proposer);
        }
        self.followed = self.world.blocks.len();
        self.compare();
    }

    fn compare(&self) {
        let (world, model) = (&self.world, &self.model);
        let units = |amount: Amount| Money::from(amount.base_units());
        for (name, key) in &world.keys {
            let who = key.address();
            let account = bank::account(&world.state, who).unwrap();
            assert_eq!(
                units(account.balance),
                model.balance(who),
                "balance of {name}"
            );
            let staked = stake::stake(&world.state, who).unwrap();
            let unbonding = model.unbonding.iter().filter(|(_, of, _)| *of == who);
            let delegated = model.shares.iter().filter(|((of, _), _)| *of == who);
            let expected = [
                model.bonded(who),
                unbonding.map(|(_, _, amount)| amount).sum(),
                model.exposure.get(&who).copied().unwrap_or_default(),
                delegated.map(|(_, share)| share.shares).sum(),
            ];
            let found = [
                staked.bonded,
                staked.unbonding,
                staked.exposure,
                staked.delegated,
            ];
            assert_eq!(found.map(units), expected, "stake of {name}");
            let found = candidates::delegations(&world.state, who).unwrap();
            let found: Vec<_> = found
                .delegations
                .iter()
                .map(|known| {
                    (
                        known.candidate,
                        units(known.shares),
                        units(known.moved),
                        units(known.rewards),
                    )
                })
                .collect();
            let expected: Vec<_> = model
                .shares
                .iter()
                .filter(|((of, _), _)| *of == who)
                .map(|((_, to), share)| (*to, share.shares, share.moved, model.earned(who, *to)))
                .collect();
            assert_eq!(found, expected, "delegations of {name}");
        }
        for (candidate, pot) in &model.pots {
            let found = candidates::candidate(&world.state, *candidate).unwrap();
            assert_eq!(units(found.unwrap().rewards), pot.rewards);
        }
        for (id, purse) in &model.orders {
            let found = market::order(&world.state, *id).unwrap().unwrap();
            let found: Vec<_> = found
                .streams
                .iter()
                .map(|stream| (stream.payer, units(stream.held)))
                .collect();
            assert_eq!(found, purse.streams);
        }
        let (_, _, open) = report::counts(&world.state).unwrap();
        assert_eq!(usize::try_from(open), Ok(model.orders.len()));
        assert_eq!(units(world.totals.report().burned), model.burned);
    }

    fn block(&mut self, after_ms: u64, txs: &[VerifiedTx]) {
        self.world.block(after_ms, txs);
        self.follow();
    }

    fn wait(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.block(5_000, &[]);
        }
    }

    /// An order from its posting to its end: as everybody should do it, or with somebody who lies or says nothing.
    fn work(&mut self, buyer: &str, step: &Step) {
        let (number, units) = (self.world.blocks.len(), 1 + step.amount % 1_000_000);
        let name = format!("w{number}");
        let price = ["0.9", "1", "7.000000001"][step.which % 3];
        let fee = ["0.01", "0.012345678"][step.which % 2];
        let (given, found, others) = ("commit", "reveal", step.which / 8 % 3);
        let all_five = |verb: &str| -> String {
            let words = (1..=5).map(|verifier| match (verifier, others) {
                // One of the five lies, or says nothing: four are enough.
                (5, 1) => format!("d5: {verb} {name} wrong\n"),
                (5, 2) => String::new(),
                _ => format!("d{verifier}: {verb} {name}\n"),
            });
            words.collect()
        };
        let waits = if others == 2 { "wait 21000\n" } else { "" };
        let dispute = format!(
            "blocks 2\nexpect phase {name} dispute_committing\n{}{waits}{}{waits}",
            all_five(given),
            all_five(found)
        );
        let begins = format!(
            "W: bond 60\n{buyer}: order {name} price={price} fee={fee} execution=60000\nblocks 2\nexpect phase {name} executing\n"
        );
        let story = match step.which / 24 {
            // The worker is wrong, and five say so.
            0 => format!(
                "W: receipt {name} wrong units={units}\nblocks 2\nd1: commit {name}\nd2: commit {name}\nW: open {name} wrong\n\
                 d1: reveal {name}\nd2: reveal {name}\n{dispute}expect event judged dispute invalid\n"
            ),
            // A verifier is wrong, and five say so.
            1 => format!(
                "W: receipt {name} units={units}\nblocks 2\nd1: commit {name} wrong\nd2: commit {name}\nW: open {name}\n\
                 d1: reveal {name} wrong\nd2: reveal {name}\n{dispute}expect event judged dispute valid\nwait 1100\nblocks 3\n"
            ),
            _ if step.which % 4 == 1 => format!(
                "W: receipt {name} units={units}\nblocks 2\nd1: commit {name}\nd2: commit {name}\nwait 21000\n"
            ),
            _ => format!(
                "W: receipt {name} units={units}\nblocks 2\nd1: commit {name}\nd2: commit {name}\nW: open {name}\n\
                 d1: reveal {name}\nd2: reveal {name}\nwait 1100\nblocks 3\n"
            ),
        };
        let script = format!("{begins}{story}blocks 1\nexpect closed {name}");
        // The world goes through the script; the model follows block by block, and what they have is compared at its end.
        let world = std::mem::replace(&mut self.world, World::new(&["nobody"], &[]));
        self.world = run_on(Some(world), "work", &script).unwrap();
        self.follow();
    }

    fn act(&mut self, block: &[Step]) {
        let mut txs = Vec::new();
        for (name, step) in NAMES.iter().zip(block) {
            if self.world.balance(name) < coins("20") {
                continue;
            }
            if step.verb == 0 {
                self.work(name, step);
            }
            let Some(action) = self.action(step) else {
                continue;
            };
            let key = key_of(name);
            let transaction = self.world.transaction(&key, action);
            if matches!(transaction.action, Action::PostOrder(_)) {
                let id = OrderId::of(&chain_id(), key.address(), transaction.nonce);
                self.orders.push(id);
            }
            txs.push(transaction.sign(&key).verify().unwrap());
        }
        self.block(10, &txs);
    }

    fn action(&self, step: &Step) -> Option<Action> {
        let amount = Amount::from_base_units(step.amount).unwrap();
        let name = |number: usize| key_of(["A", "B", "S", "validator"][number % 4]).address();
        let (candidate, to): (Address, Address) = (name(step.which), name(step.which / 4));
        let order = || Some(self.orders[step.which.checked_rem(self.orders.len())?]);
        Some(match step.verb {
            1..=3 => Action::Transfer(tx::Transfer { to, amount }),
            4 => Action::Bond(tx::Bond { amount }),
            5 => Action::Unbond(tx::Unbond { amount }),
            6..=8 => Action::DelegateStake(tx::DelegateStake { candidate, amount }),
            9..=10 => Action::UndelegateStake(tx::UndelegateStake {
                candidate,
                shares: amount,
            }),
            11..=13 => {
                // Mostly between the two that are candidates.
                let (from, to) = match step.which {
                    0..=23 => (name(2), name(3)),
                    24..=47 => (name(3), name(2)),
                    _ => (candidate, to),
                };
                Action::RedelegateStake(tx::RedelegateStake { from, to, amount })
            }
            14..=15 => Action::ClaimRewards(tx::ClaimRewards { candidate }),
            16..=17 => {
                let mut header = header();
                // A kind that nobody offers.
                header.kind = KindId(2);
                header.match_within = Millis(80_000_000);
                header.price_max.input = amount;
                header.slots = 1 + u16::try_from(step.which % 3).unwrap();
                header.demand.units.input.0 = 1 + step.amount % 3_000_000;
                Action::PostOrder(Boxed::new(tx::PostOrder { header }))
            }
            18..=20 => Action::TopUp(tx::TopUp {
                order: order()?,
                amount,
            }),
            21..=22 => Action::CancelOrder(tx::CancelOrder { order: order()? }),
            _ => return None,
        })
    }
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let amount = prop_oneof![0u64..3, 1u64..1_000_000_000, 1u64..20_000_000_000_000];
    steps::blocks(NAMES.len(), 24, amount)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_model_has_the_same_money_in_the_same_places(blocks in blocks(), pause in 0usize..80) {
        let mut pair = Pair::new();
        for (number, block) in blocks.iter().enumerate() {
            pair.act(block);
            if number == pause {
                pair.wait(UNBONDING_DELAY / 5_000);
            }
        }
        pair.wait(20);
    }
}

/// Blocks from a number, always the same.
fn fixed(seed: u64) -> Vec<Vec<Step>> {
    let number = |parts: [u64; 4]| {
        let bytes = [[seed, parts[0], parts[1], parts[2]], [parts[3], 0, 0, 0]];
        let bytes = bytes
            .map(|half| half.map(u64::to_be_bytes).concat())
            .concat();
        Digest::of(Domain::Draw, &[&bytes]).leading_u64()
    };
    let step = |block: u64, who: u64| {
        let most = [3, 1_000_000_000, 20_000_000_000_000];
        let most = most[usize::try_from(number([block, who, 0, 0]) % 3).unwrap()];
        Step {
            verb: u8::try_from(number([block, who, 1, 0]) % 24).unwrap(),
            which: usize::try_from(number([block, who, 2, 0]) % 64).unwrap(),
            amount: number([block, who, 3, 0]) % most,
        }
    };
    let block = |block: u64| (0..5).map(|who| step(block, who)).collect();
    (0..60).map(block).collect()
}

#[test]
fn the_walk_comes_to_everything_that_the_model_knows() {
    let mut codes = BTreeSet::new();
    let mut events = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    for seed in 0..4 {
        let mut pair = Pair::new();
        for (number, block) in fixed(seed).iter().enumerate() {
            pair.act(block);
            if seed < 2 && number == 50 {
                pair.wait(UNBONDING_DELAY / 5_000);
            }
        }
        let outcomes = pair.world.blocks.iter().flat_map(|made| &made.outcomes);
        codes.extend(outcomes.map(|outcome| outcome.code.0));
        let debug = pair.world.history().map(|event| format!("{event:?}"));
        events.extend(debug.map(|debug| debug.split('(').next().unwrap().to_owned()));
        reasons.extend(pair.world.history().filter_map(|event| match event {
            Event::Slashed(slashed) => Some(slashed.reason),
            _ => None,
        }));
        // Everything that there was is somewhere.
        let spent = pair.world.totals.report();
        assert!(Money::from(spent.balances.base_units()) > COIN);
    }
    for code in [
        0, 100, 101, 102, 200, 201, 202, 408, 409, 410, 419, 420, 1100, 1101, 1102, 1105, 1111,
        1112, 1113, 1118,
    ] {
        assert!(codes.contains(&code), "no step led to {code}: {codes:?}");
    }
    for name in [
        "Settled",
        "Slashed",
        "Refunded",
        "OrderClosed",
        "Unbonded",
        "StakeReturned",
        "Redelegated",
        "RewardsClaimed",
    ] {
        assert!(events.contains(name), "no step led to {name}: {events:?}");
    }
    use SlashReason::{Unopened, VerdictMissing, WrongTrace, WrongVerdict};
    assert_eq!(
        reasons,
        BTreeSet::from([WrongTrace, Unopened, WrongVerdict, VerdictMissing])
    );
}
