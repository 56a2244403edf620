use super::*;
use fairweir_types::{
    Action, BoundedBytes, Boxed, ChainId, SecretKey, Transaction,
    order::{OrderId, SlotId},
    tx::Exhibit,
};

const RICH: Standing = Standing {
    next_nonce: Nonce(0),
    balance: Amount::MAX,
};

/// A transaction of an account with a fee, of so many bytes and a few more.
fn tx(account: u8, nonce: u64, (fee, bytes): (u64, usize)) -> VerifiedTx {
    let key = SecretKey::from_seed([account; 32]).expect("any seed");
    let slot_id = SlotId {
        order: OrderId(Digest::ZERO),
        slot: 0,
    };
    let shown = BoundedBytes::new(vec![0; bytes]).expect("few");
    let transaction = Transaction {
        chain_id: ChainId::new("dev-test").expect("a name"),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(fee).expect("small"),
        expiry: Height(100),
        action: Action::Exhibit(Boxed::new(Exhibit { slot_id, shown })),
    };
    transaction.sign(&key).verify().expect("signed")
}

fn pool(txs_max: usize, bytes_max: u64) -> Mempool {
    Mempool::new(MempoolLimits {
        txs_max,
        bytes_max: ByteCount(bytes_max),
        ..MempoolLimits::default()
    })
}

fn is_taken(pool: &mut Mempool, tx: &VerifiedTx) -> bool {
    pool.insert(tx.clone(), RICH).is_ok()
}

#[test]
fn rates_compare_without_rounding() {
    let rate = |fee, bytes| Rate { fee, bytes };
    assert_eq!(rate(1, 3), rate(2, 6));
    assert!(rate(u64::MAX, 3) > rate(u64::MAX - 1, 3));
    assert!(rate(u64::MAX, u64::MAX) < rate(u64::MAX, u64::MAX - 1));
    assert!(rate(11, 10).outbids(&rate(1, 1)) && !rate(109, 100).outbids(&rate(1, 1)));
    assert!(!rate(0, 10).outbids(&rate(0, 1)) && rate(1, 1_000).outbids(&rate(0, 1)));
}

#[test]
fn what_pays_most_for_each_byte_goes_first() {
    let mut pool = pool(10, 1 << 20);
    let large = tx(1, 0, (3_000_000, 100_000));
    let small = [tx(2, 0, (50_000, 10)), tx(3, 0, (1_000, 10))];
    for tx in [&large, &small[0], &small[1]] {
        assert!(is_taken(&mut pool, tx));
    }
    let heads = vec![small[1].clone(), large.clone(), small[0].clone()];
    let all = pool.select(heads.clone(), (10, 1 << 20), |_| true, |_| false);
    assert_eq!(all, [small[0].clone(), large.clone(), small[1].clone()]);
    // What must wait is left out, and waits on.
    let few = pool.select(heads.clone(), (10, 1 << 20), |tx| *tx != large, |_| false);
    assert_eq!(few, small);
    assert_eq!(pool.len(), 3);
    // Room is kept for what goes first, whatever the others pay.
    let crowded = (10, 100_300);
    let without = pool.select(heads.clone(), crowded, |_| true, |_| false);
    assert_eq!(without, small);
    let with = pool.select(heads, crowded, |_| true, |tx| *tx == large);
    assert_eq!(with, [large]);
}

#[test]
fn what_waits_behind_a_gap_makes_way() {
    let mut pool = pool(4, 1 << 20);
    // It pays a lot, and nothing as long as its nonces 1 and 3 do not come.
    let gapped = [
        tx(1, 0, (9_000, 10)),
        tx(1, 2, (9_000, 10)),
        tx(1, 4, (9_000, 10)),
    ];
    assert!(gapped.iter().all(|tx| is_taken(&mut pool, tx)));
    assert!(is_taken(&mut pool, &tx(2, 0, (500, 10))));
    // Another behind a gap does not take their place, nor that of one that could be included.
    assert!(!is_taken(&mut pool, &tx(3, 1, (9_000, 10))));
    assert!(!is_taken(&mut pool, &tx(3, 1, (9_000, 10_000))));
    assert!(is_taken(&mut pool, &tx(4, 0, (10, 10))));
    assert!(!pool.contains(&gapped[2].digest()));
    assert!(is_taken(&mut pool, &tx(4, 1, (10, 10))));
    assert!(!pool.contains(&gapped[1].digest()));
    // What can be included stays, unless another that can be pays more.
    assert!(!is_taken(&mut pool, &tx(5, 0, (10, 10))));
    assert!(!is_taken(&mut pool, &tx(5, 1, (90_000, 10))));
    assert!(is_taken(&mut pool, &tx(5, 0, (90_000, 10))));
    assert!(pool.contains(&gapped[0].digest()));
}

#[test]
fn nothing_is_dropped_that_does_not_make_enough_room() {
    let mut pool = pool(10, 4_000);
    let small: Vec<_> = (1..=3).map(|account| tx(account, 0, (100, 700))).collect();
    assert!(small.iter().all(|tx| is_taken(&mut pool, tx)));
    // It pays more for each byte than all, but a pool without them has no room for it either.
    assert!(!is_taken(&mut pool, &tx(9, 0, (1_000_000, 4_000))));
    assert_eq!(pool.len(), 3);
    // It pays more in all, and less for each byte.
    assert!(!is_taken(&mut pool, &tx(9, 0, (150, 3_000))));
    assert_eq!(pool.len(), 3);
    // It pays more for each byte: as many go as must.
    let dear = tx(9, 0, (1_000_000, 2_300));
    assert!(is_taken(&mut pool, &dear));
    assert!(pool.contains(&dear.digest()));
    assert_eq!(pool.len(), 2);
}

#[test]
fn of_an_account_the_last_goes_first() {
    let mut pool = pool(3, 1 << 20);
    let queue = [tx(1, 0, (10, 10)), tx(1, 1, (500, 10))];
    assert!(queue.iter().all(|tx| is_taken(&mut pool, tx)));
    assert!(is_taken(&mut pool, &tx(2, 0, (1_000, 10))));
    // The one that pays least has another behind it, which would be left without it.
    assert!(is_taken(&mut pool, &tx(3, 0, (600, 10))));
    assert!(pool.contains(&queue[0].digest()) && !pool.contains(&queue[1].digest()));
    assert!(is_taken(&mut pool, &tx(4, 0, (20, 10))));
    assert!(!pool.contains(&queue[0].digest()));
}

/// What the state says of an account whose next nonce and balance are these.
fn standing(next_nonce: u64, balance: u64) -> Standing {
    Standing {
        next_nonce: Nonce(next_nonce),
        balance: Amount::from_base_units(balance).expect("small"),
    }
}

#[test]
fn what_a_balance_pays_no_more_leaves_the_last_first() {
    let mut pool = pool(10, 1 << 20);
    let queue: Vec<_> = [0, 1, 2, 3, 7].map(|nonce| tx(1, nonce, (10, 10))).to_vec();
    let other = tx(2, 0, (10, 10));
    assert!(queue.iter().all(|tx| is_taken(&mut pool, tx)) && is_taken(&mut pool, &other));
    let waiting = |pool: &Mempool| {
        let waits = queue.iter().filter(|tx| pool.contains(&tx.digest()));
        waits.count()
    };
    let changed = |next, balance| BTreeMap::from([(queue[0].sender(), standing(next, balance))]);
    // What is left pays for exactly those that wait: all of them stay.
    pool.finalised(&changed(1, 40), Height(2));
    assert_eq!(waiting(&pool), 4);
    // It pays for two, and not for the one behind the gap, though that costs no more.
    pool.finalised(&changed(1, 29), Height(3));
    assert_eq!(waiting(&pool), 2);
    assert!(pool.contains(&queue[1].digest()) && pool.contains(&queue[2].digest()));
    // Money can go without a transaction of its own, and what comes later brings nothing back.
    pool.finalised(&changed(1, 9), Height(4));
    pool.finalised(&changed(1, 1_000), Height(5));
    assert_eq!(waiting(&pool), 0);
    assert!(pool.contains(&other.digest()));
    let again = pool.insert(queue[1].clone(), standing(1, 1_000));
    assert_eq!(again.expect("it can be paid"), Inserted::New);
}

#[test]
fn the_first_nonce_with_which_nothing_waits_is_free() {
    let mut pool = pool(10, 1 << 20);
    let queue = [0, 1, 3].map(|nonce| tx(1, nonce, (10, 10)));
    assert!(queue.iter().all(|tx| is_taken(&mut pool, tx)));
    let sender = queue[0].sender();
    let free = [0, 2, 3, 5].map(|from| pool.free_nonce(&sender, Nonce(from)).get());
    assert_eq!(free, [2, 2, 4, 5]);
    assert_eq!(pool.free_nonce(&Address::default(), Nonce(9)), Nonce(9));
}

/// A small generator: the test needs variety, not randomness.
struct Variety(u64);

impl Variety {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = self.below(u64::try_from(all.len()).expect("few"));
        all[usize::try_from(place).expect("few")]
    }
}

/// What makes way for an account's transaction, in order, by looking at all accounts each time.
fn scanned(pool: &Mempool, sender: Address) -> Vec<Last> {
    let mut counts: BTreeMap<Address, (Nonce, usize)> = BTreeMap::new();
    for (other, account) in &pool.accounts {
        counts.insert(*other, (Nonce(u64::MAX), account.txs.len()));
    }
    counts.remove(&sender);
    let mut order = Vec::new();
    loop {
        let lasts = counts.iter().filter_map(|(other, (end, count))| {
            pool.accounts.get(other)?.last(*other, ..*end, *count)
        });
        let Some(last) = lasts.min() else {
            return order;
        };
        counts.insert(last.sender, (last.nonce, last.count - 1));
        order.push(last);
    }
}

/// Checks that all that is kept beside the transactions is what they add up to.
fn check_sums(pool: &Mempool) {
    let all = || {
        pool.accounts
            .values()
            .flat_map(|account| account.txs.values())
    };
    assert!(pool.places.len() <= pool.limits.txs_max && pool.bytes <= pool.limits.bytes_max.get());
    assert_eq!(pool.places.len(), all().count());
    assert_eq!(pool.expiries.len(), all().count());
    assert_eq!(pool.bytes, all().map(|tx| tx.size().get()).sum::<u64>());
    for account in pool.accounts.values() {
        let txs = account.txs.values();
        let sums = txs.fold((0, 0), |(bytes, fees), tx| {
            let fee = tx.transaction().fee.base_units();
            (bytes + tx.size().get(), fees + fee)
        });
        assert_eq!((account.bytes, account.fees), sums);
    }
    let ready = pool
        .accounts
        .iter()
        .filter(|(_, account)| account.is_ready());
    assert!(pool.ready().eq(ready.map(|(sender, _)| sender)));
}

#[test]
fn what_makes_way_is_what_a_look_at_all_accounts_finds() {
    let mut variety = Variety(1);
    let mut told = BTreeSet::new();
    for _ in 0..20 {
        let mut pool = pool(12, 6_000);
        let mut standings = [standing(0, 1_000_000); 8];
        let accounts = [0, 1, 2, 3, 4, 5, 6, 7].map(|account| (account, tx(account, 0, (1, 1))));
        let accounts = accounts.map(|(account, tx)| (account, tx.sender()));
        for _ in 0..150 {
            let (account, sender) = variety.one_of(&accounts);
            let known = &mut standings[usize::from(account)];
            let next_nonce = known.next_nonce.get();
            match variety.below(10) {
                0 => {
                    let balance = variety.one_of(&[0, 50, 200, 1_000_000]);
                    *known = standing(next_nonce + variety.below(3), balance);
                    let changed = BTreeMap::from([(sender, *known)]);
                    pool.finalised(&changed, Height(variety.below(102)));
                    let left = pool.accounts.get(&sender);
                    assert!(left.is_none_or(|account| account.fees <= balance));
                }
                1 => {
                    let waiting = pool.places.keys().nth(usize::from(account)).copied();
                    waiting.into_iter().for_each(|tx| pool.drop_tx(&tx));
                }
                _ => {
                    let nonce = next_nonce + variety.below(5);
                    let fee = variety.one_of(&[0, 10, 20, 100, 500, 5_000]);
                    let bytes = variety.one_of(&[1, 1, 200, 1_500]);
                    let taken = pool.insert(tx(account, nonce, (fee, bytes)), *known);
                    told.insert(taken.map_or_else(|error| error.code(), |_| "taken"));
                    // Money comes back.
                    known.balance = RICH.balance;
                }
            }
            check_sums(&pool);
            for sender in [sender, Address::default()] {
                let found: Vec<Last> = pool.cheapest_of_others(sender).collect();
                assert_eq!(found, scanned(&pool, sender));
            }
        }
    }
    let expected = ["taken", "mempool_full", "cannot_pay_fee", "underpriced"];
    assert!(expected.iter().all(|code| told.contains(code)), "{told:?}");
}
