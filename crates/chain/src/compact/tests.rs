#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use crate::{
    config::MempoolLimits,
    mempool::{Mempool, Standing},
    testing::transfers,
    transport::Silence,
};
use commonware_cryptography::Signer as _;
use fairweir_types::{Amount, ChainId, Millis, Nonce, SecretKey};
use futures::FutureExt as _;

/// Keeps what is sent.
#[derive(Clone, Debug, Default)]
struct Post(Arc<Mutex<Vec<IoBuf>>>);

impl Post {
    fn last(&self) -> IoBuf {
        self.0.lock().pop().expect("something was sent")
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl LimitedSender for Post {
    type PublicKey = Identity;
    type Checked<'a> = Self;

    fn check(&mut self, _: Recipients<Identity>) -> Result<Self, SystemTime> {
        Ok(self.clone())
    }
}

impl CheckedSender for Post {
    type PublicKey = Identity;

    fn recipients(&self) -> Vec<Identity> {
        Vec::new()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        self.0.lock().push(message.into().coalesce());
        Unreliable::new(Feedback::Ok)
    }
}

/// What a pool has under each name.
struct Holds(BTreeMap<ShortName, SignedTx>);

impl Holds {
    fn of(txs: &[SignedTx]) -> Self {
        let named = txs.iter().map(|tx| (short_name(&tx.digest()), tx.clone()));
        Self(named.collect())
    }
}

impl Pool for Holds {
    fn named(&self, names: &[ShortName]) -> Option<Vec<Option<SignedTx>>> {
        Some(names.iter().map(|name| self.0.get(name).cloned()).collect())
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32]).unwrap()
}

fn peer() -> Identity {
    key().as_identity().public_key()
}

fn txs() -> Vec<SignedTx> {
    transfers(20)
}

fn block() -> Block {
    let genesis = fairweir_types::Genesis {
        chain_id: ChainId::new("dev-transfers").unwrap(),
        time: Millis(0),
        accounts: BoundedVec::default(),
        validators: BoundedVec::default(),
        params: BoundedVec::default(),
        services: BoundedVec::default(),
    };
    let roots = crate::qmdb::Roots {
        state: Digest::ZERO,
        ops: Digest::ZERO,
        range_start: 0,
        range_end: 1,
    };
    let mut block = crate::genesis::block(&genesis, roots);
    block.header.proposer.copy_from_slice(&peer());
    block.header.transactions_root = root_of(&txs());
    block.transactions = BoundedVec::new(txs()).unwrap();
    block
}

struct Proposer {
    post: Post,
    answers: Completing<Post, Silence>,
}

fn completing(pool: Holds, newest: &Newest) -> (Post, Completing<Post, Silence>) {
    let post = Post::default();
    let completing = Completing {
        pool: Arc::new(pool),
        sender: post.clone(),
        receiver: Silence,
        newest: Arc::clone(newest),
        unfinished: BTreeMap::new(),
    };
    (post, completing)
}

/// A validator that announced the block, and what it said.
fn announced() -> (Proposer, IoBuf) {
    let newest = Newest::default();
    let (post, answers) = completing(Holds::of(&[]), &newest);
    let sender = post.clone();
    let mut announcing = Announcing { sender, newest };
    announcing.send(Recipients::All, block().encode(), true);
    let said = post.last();
    (Proposer { post, answers }, said)
}

#[test]
fn a_block_of_known_transactions_is_whole_at_once() {
    let (_, said) = announced();
    assert!(said.len() < block().encode_size() / 2);
    let (post, mut completing) = completing(Holds::of(&txs()), &Newest::default());
    let whole = completing.take(&peer(), said.as_ref()).unwrap();
    assert_eq!(whole.as_ref(), block().encode().as_ref());
    assert!(post.is_empty());
}

#[test]
fn what_is_missing_is_asked_for_and_given() {
    let (mut proposer, said) = announced();
    let (post, mut completing) = completing(Holds::of(&txs()[3..]), &Newest::default());
    assert!(completing.take(&peer(), said.as_ref()).is_none());
    let asked = post.last();
    assert!(proposer.answers.take(&peer(), asked.as_ref()).is_none());
    let given = proposer.post.last();
    assert!(given.len() < block().encode_size() / 3);
    let whole = completing.take(&peer(), given.as_ref()).unwrap();
    assert_eq!(whole.as_ref(), block().encode().as_ref());
    // What was taken once is not waited for again.
    assert!(completing.take(&peer(), given.as_ref()).is_none());
}

#[test]
fn a_name_of_two_transactions_costs_one_more_question() {
    let (mut proposer, said) = announced();
    let mut pool = Holds::of(&txs()[1..]);
    // Under the name of the second lies another.
    pool.0
        .insert(short_name(&txs()[1].digest()), txs()[0].clone());
    let (post, mut completing) = completing(pool, &Newest::default());
    assert!(completing.take(&peer(), said.as_ref()).is_none());
    // The first is missing; with it the whole does not fit, and all is asked for.
    for _ in 0..2 {
        let asked = post.last();
        assert!(proposer.answers.take(&peer(), asked.as_ref()).is_none());
        let given = proposer.post.last();
        let whole = completing.take(&peer(), given.as_ref());
        if let Some(whole) = whole {
            assert_eq!(whole.as_ref(), block().encode().as_ref());
            return;
        }
    }
    panic!("the block was not completed");
}

#[test]
fn who_gives_something_else_is_asked_once_more_and_no_block_comes_of_it() {
    let (_, said) = announced();
    let (post, mut completing) = completing(Holds::of(&txs()[1..]), &Newest::default());
    assert!(completing.take(&peer(), said.as_ref()).is_none());
    let digest = block().header.digest();
    let gives = |transactions: Vec<SignedTx>| Message::Given {
        block: digest,
        transactions: BoundedVec::new(transactions).unwrap(),
    };
    // Not as many as were asked for, and of another block.
    assert!(completing.take(&peer(), &gives(txs()).encode()).is_none());
    let other = Message::Given {
        block: Digest::ZERO,
        transactions: BoundedVec::truncating(txs().into_iter().take(1)),
    };
    assert!(completing.take(&peer(), &other.encode()).is_none());
    post.last();
    assert!(post.is_empty());
    // As many, but others: all of it is asked for, and then nothing more.
    let mut wrong = txs();
    wrong.reverse();
    assert!(
        completing
            .take(&peer(), &gives(wrong[..1].to_vec()).encode())
            .is_none()
    );
    post.last();
    assert!(completing.take(&peer(), &gives(wrong).encode()).is_none());
    assert!(post.is_empty() && completing.unfinished.is_empty());
}

#[test]
fn a_peer_is_answered_twice_and_only_about_blocks_that_were_announced() {
    let (mut proposer, _) = announced();
    let ask = |block: Digest, positions: Vec<Position>| Message::Asked {
        block,
        positions: BoundedVec::new(positions).unwrap(),
    };
    let digest = block().header.digest();
    let other = ask(Digest::ZERO, vec![0]);
    proposer.answers.take(&peer(), &other.encode());
    assert!(proposer.post.is_empty());
    for _ in 0..5 {
        // Positions that no block has are left out.
        let asked = ask(digest, vec![1, 1, 9_999]);
        proposer.answers.take(&peer(), &asked.encode());
    }
    for _ in 0..2 {
        let given: Message = decode(proposer.post.last().as_ref()).unwrap();
        let Message::Given { transactions, .. } = given else {
            panic!("transactions are given");
        };
        assert_eq!(transactions.len(), 2);
    }
    assert!(proposer.post.is_empty());
}

/// Has a message at any time, which is none of ours.
#[derive(Debug)]
struct Noise;

impl Receiver for Noise {
    type Error = std::convert::Infallible;
    type PublicKey = Identity;

    async fn recv(&mut self) -> Result<Received<Identity>, Self::Error> {
        Ok((peer(), IoBuf::from(vec![9, 9, 9])))
    }

    fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

#[test]
fn who_sends_without_pause_keeps_nobody_from_other_work() {
    let mut completing = Completing {
        pool: Arc::new(Holds::of(&[])),
        sender: Post::default(),
        receiver: Noise,
        newest: Newest::default(),
        unfinished: BTreeMap::new(),
    };
    assert!(completing.recv().now_or_never().is_none());
}

#[test]
fn what_is_no_message_is_nothing() {
    let (_, said) = announced();
    let (post, mut completing) = completing(Holds::of(&txs()), &Newest::default());
    for end in 0..said.len() {
        assert!(completing.take(&peer(), &said.as_ref()[..end]).is_none());
    }
    // Another's block, and a name that stands twice.
    let other = SecretKey::from_seed([8; 32]).unwrap();
    let other = other.as_identity().public_key();
    assert!(completing.take(&other, said.as_ref()).is_none());
    let twice = Message::Announced {
        header: Box::new(block().header),
        names: BoundedVec::new(vec![short_name(&txs()[0].digest()); 2]).unwrap(),
    };
    assert!(completing.take(&peer(), &twice.encode()).is_none());
    assert!(completing.take(&peer(), &[9, 9, 9]).is_none());
    assert!(post.is_empty() && completing.unfinished.is_empty());
}

#[test]
fn a_pool_gives_what_it_has_under_names_and_no_more_than_a_block_holds() {
    let mut pool = Mempool::new(MempoolLimits::default());
    let standing = Standing {
        next_nonce: Nonce(0),
        balance: Amount::MAX,
    };
    for tx in &txs()[..5] {
        pool.insert(tx.clone().verify().unwrap(), standing).unwrap();
    }
    let names: Vec<ShortName> = txs().iter().map(|tx| short_name(&tx.digest())).collect();
    let bytes: usize = txs()[..5].iter().map(EncodeSize::encode_size).sum();
    let found = pool.all_named(&names, bytes).unwrap();
    assert_eq!(found.len(), names.len());
    for (position, found) in found.iter().enumerate() {
        assert_eq!(found.as_ref(), txs()[..5].get(position));
    }
    assert!(pool.all_named(&names, bytes - 1).is_none());
}
