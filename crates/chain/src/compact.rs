//! Blocks travel without what the others have already: a block is announced by its header and short names of its transactions, and whoever receives
//! it takes them from its pool and asks for the rest. After Bitcoin's compact blocks (BIP 152), with names that nobody keeps secret: two
//! transactions of one name are asked for, like one that is missing.
//!
//! Stands between the network and the buffer of proposed blocks, which sees whole blocks. Of each peer one unfinished block is kept; each peer
//! is answered twice for each of this validator's newest blocks.

use crate::{
    application::root_of,
    block::BLOCK_BYTES_MAX,
    genesis::Identity,
    replica::Core,
    transport::{Channel, Network},
};
use bytes::BufMut;
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::{
    Buf, Encode as _, EncodeSize, Error as CodecError, Read, ReadExt as _, Write,
};
use commonware_p2p::{
    CheckedSender, LimitedSender, Message as Received, Receiver, Recipients, Sender,
};
use commonware_runtime::{IoBuf, IoBufs};
use commonware_utils::sync::Mutex;
use fairweir_types::{
    Block, BlockHeader, BoundedVec, Digest, SignedTx, decode,
    limits::{BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::SystemTime,
};

/// Blocks of this validator for which peers may ask.
const SENT_MAX: usize = 4;

/// Answers to each peer for each of them: what is missing, and all of it if a name was another's.
const ANSWERS_MAX: u8 = 2;

/// The first bytes of a transaction's digest.
pub(crate) type ShortName = [u8; 8];

/// The short name of a transaction.
pub(crate) fn short_name(tx: &Digest) -> ShortName {
    let [a, b, c, d, e, f, g, h, ..] = tx.0;
    [a, b, c, d, e, f, g, h]
}

/// A position in a block.
type Position = u16;
const _: () = assert!(BLOCK_TXS_MAX <= 1 << 16, "every position of a block fits");

/// What travels on the channel of proposed blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// A block, by its header and the short names of its transactions.
    Announced {
        header: Box<BlockHeader>,
        names: BoundedVec<ShortName, BLOCK_TXS_MAX>,
    },
    /// The transactions at these positions of an announced block are wanted.
    Asked {
        block: Digest,
        positions: BoundedVec<Position, BLOCK_TXS_MAX>,
    },
    /// Transactions that were asked for.
    Given {
        block: Digest,
        transactions: BoundedVec<SignedTx, BLOCK_TXS_MAX>,
    },
}

const TAG_ANNOUNCED: u8 = 0;
const TAG_ASKED: u8 = 1;
const TAG_GIVEN: u8 = 2;

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Announced { header, names } => {
                TAG_ANNOUNCED.write(buf);
                header.as_ref().write(buf);
                names.write(buf);
            }
            Self::Asked { block, positions } => {
                TAG_ASKED.write(buf);
                block.write(buf);
                positions.write(buf);
            }
            Self::Given {
                block,
                transactions,
            } => {
                TAG_GIVEN.write(buf);
                block.write(buf);
                transactions.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Announced { header, names } => {
                header.as_ref().encode_size() + names.encode_size()
            }
            Self::Asked { block, positions } => block.encode_size() + positions.encode_size(),
            Self::Given {
                block,
                transactions,
            } => block.encode_size() + transactions.encode_size(),
        }
    }
}

impl Read for Message {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        match u8::read(buf)? {
            TAG_ANNOUNCED => Ok(Self::Announced {
                header: Box::new(BlockHeader::read(buf)?),
                names: BoundedVec::read(buf)?,
            }),
            TAG_ASKED => Ok(Self::Asked {
                block: Digest::read(buf)?,
                positions: BoundedVec::read(buf)?,
            }),
            TAG_GIVEN => Ok(Self::Given {
                block: Digest::read(buf)?,
                transactions: BoundedVec::read(buf)?,
            }),
            other => Err(CodecError::InvalidEnum(other)),
        }
    }
}

/// Whence transactions with a short name are taken.
pub(crate) trait Pool: Send + Sync + 'static {
    /// The transaction of each name; none where no or more than one has it.
    fn named(&self, names: &[ShortName]) -> Vec<Option<SignedTx>>;
}

impl Pool for Core {
    fn named(&self, names: &[ShortName]) -> Vec<Option<SignedTx>> {
        self.waiting_named(names)
    }
}

/// A block that this validator announced, and who asked for parts of it.
struct Sent {
    digest: Digest,
    block: Block,
    /// How often each peer was answered.
    answered: BTreeMap<Identity, u8>,
}

/// The newest blocks that this validator announced.
type Newest = Arc<Mutex<VecDeque<Sent>>>;

/// A block of which transactions are missing.
struct Unfinished {
    digest: Digest,
    header: Box<BlockHeader>,
    transactions: Vec<Option<SignedTx>>,
    /// Positions that were asked for.
    asked: Vec<Position>,
}

/// A channel of whole blocks.
type WholeBlocks<N> = (
    Announcing<<N as Network>::Sender>,
    Completing<<N as Network>::Sender, <N as Network>::Receiver>,
);

/// Makes whole blocks of a channel on which they travel without what the others have.
pub(crate) fn channel<N: Network>(
    pool: Arc<impl Pool>,
    (sender, receiver): Channel<N>,
) -> WholeBlocks<N> {
    let newest = Newest::default();
    let completing = Completing {
        pool,
        sender: sender.clone(),
        receiver,
        newest: Arc::clone(&newest),
        unfinished: BTreeMap::new(),
    };
    (Announcing { sender, newest }, completing)
}

/// Announces the blocks that it is given.
#[derive(Clone)]
pub(crate) struct Announcing<S> {
    sender: S,
    newest: Newest,
}

impl<S> fmt::Debug for Announcing<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Announcing")
    }
}

impl<S: Sender<PublicKey = Identity>> LimitedSender for Announcing<S> {
    type PublicKey = Identity;
    type Checked<'a> = Checked<S::Checked<'a>>;

    fn check(&mut self, recipients: Recipients<Identity>) -> Result<Self::Checked<'_>, SystemTime> {
        let sender = self.sender.check(recipients)?;
        let newest = Arc::clone(&self.newest);
        Ok(Checked { sender, newest })
    }
}

/// The same, for some recipients.
pub(crate) struct Checked<C> {
    sender: C,
    newest: Newest,
}

impl<C: CheckedSender<PublicKey = Identity>> CheckedSender for Checked<C> {
    type PublicKey = Identity;

    fn recipients(&self) -> Vec<Identity> {
        self.sender.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let whole = message.into().coalesce();
        let Ok(block) = decode::<Block>(whole.as_ref()) else {
            tracing::error!("what should be announced is no block");
            return Unreliable::Rejected;
        };
        let names = block.transactions.iter();
        let names = names.map(|tx| short_name(&tx.digest()));
        let announced = Message::Announced {
            header: Box::new(block.header.clone()),
            names: BoundedVec::truncating(names),
        };
        let digest = block.header.digest();
        {
            let mut newest = self.newest.lock();
            if newest.iter().all(|sent| sent.digest != digest) {
                newest.push_back(Sent {
                    digest,
                    block,
                    answered: BTreeMap::new(),
                });
                if newest.len() > SENT_MAX {
                    newest.pop_front();
                }
            }
        }
        self.sender.send(announced.encode(), priority)
    }
}

/// Receives whole blocks.
pub(crate) struct Completing<S, R> {
    pool: Arc<dyn Pool>,
    sender: S,
    receiver: R,
    newest: Newest,
    unfinished: BTreeMap<Identity, Unfinished>,
}

impl<S, R> fmt::Debug for Completing<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completing")
    }
}

impl<S, R> Receiver for Completing<S, R>
where
    S: Sender<PublicKey = Identity> + 'static,
    R: Receiver<PublicKey = Identity>,
{
    type Error = R::Error;
    type PublicKey = Identity;

    async fn recv(&mut self) -> Result<Received<Identity>, R::Error> {
        loop {
            // The only wait: a call that is given up loses nothing.
            let (peer, bytes) = self.receiver.recv().await?;
            if let Some(block) = self.take(&peer, bytes.as_ref()) {
                return Ok((peer, block));
            }
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.receiver.capacity()
    }
}

impl<S: Sender<PublicKey = Identity>, R> Completing<S, R> {
    /// Takes a message; gives the block that it completes.
    fn take(&mut self, peer: &Identity, bytes: &[u8]) -> Option<IoBuf> {
        match decode(bytes) {
            Ok(Message::Announced { header, names }) => {
                let transactions = self.pool.named(names.as_slice());
                let announced = Unfinished {
                    digest: header.digest(),
                    header,
                    transactions,
                    asked: Vec::new(),
                };
                self.finish(peer, announced)
            }
            Ok(Message::Asked { block, positions }) => {
                self.give(peer, block, positions.as_slice());
                None
            }
            Ok(Message::Given {
                block,
                transactions,
            }) => self.fill(peer, block, transactions.into_vec()),
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer announced no block");
                None
            }
        }
    }

    /// Puts a block together, or asks for what is missing.
    fn finish(&mut self, peer: &Identity, announced: Unfinished) -> Option<IoBuf> {
        let missing = (0..).zip(&announced.transactions);
        let mut missing: Vec<Position> = missing
            .filter_map(|(position, tx)| tx.is_none().then_some(position))
            .collect();
        if missing.is_empty() {
            let transactions: Vec<SignedTx> =
                announced.transactions.iter().flatten().cloned().collect();
            if root_of(&transactions) == announced.header.transactions_root {
                let block = Block {
                    header: *announced.header,
                    transactions: BoundedVec::truncating(transactions),
                };
                return Some(IoBuf::from(block.encode()));
            }
            if announced.asked.len() == announced.transactions.len() {
                tracing::debug!(%peer, "a peer gave other transactions than it announced");
                return None;
            }
            // One from the pool has only the name of the block's.
            missing = (0..).take(announced.transactions.len()).collect();
        }
        let asked = Message::Asked {
            block: announced.digest,
            positions: BoundedVec::truncating(missing.iter().copied()),
        };
        let transactions = announced.transactions;
        self.unfinished.insert(
            peer.clone(),
            Unfinished {
                asked: missing,
                transactions,
                ..announced
            },
        );
        self.sender
            .send(Recipients::One(peer.clone()), asked.encode(), true);
        None
    }

    /// Takes what was asked for.
    fn fill(&mut self, peer: &Identity, block: Digest, given: Vec<SignedTx>) -> Option<IoBuf> {
        let is_asked = |unfinished: &Unfinished| {
            unfinished.digest == block && unfinished.asked.len() == given.len()
        };
        if !self.unfinished.get(peer).is_some_and(is_asked) {
            tracing::debug!(%peer, %block, "a peer gave transactions that were not asked for");
            return None;
        }
        let mut unfinished = self.unfinished.remove(peer)?;
        for (position, tx) in unfinished.asked.iter().zip(given) {
            *unfinished.transactions.get_mut(usize::from(*position))? = Some(tx);
        }
        self.finish(peer, unfinished)
    }

    /// Answers a peer, a few times for each block.
    fn give(&mut self, peer: &Identity, block: Digest, positions: &[Position]) {
        let given = {
            let mut newest = self.newest.lock();
            let Some(sent) = newest.iter_mut().find(|sent| sent.digest == block) else {
                return;
            };
            let answered = sent.answered.entry(peer.clone()).or_default();
            if *answered == ANSWERS_MAX {
                return;
            }
            *answered = answered.saturating_add(1);
            let all = sent.block.transactions.as_slice();
            let wanted = positions.iter();
            let wanted = wanted.filter_map(|position| all.get(usize::from(*position)));
            let mut bytes = 0_usize;
            // Positions may repeat.
            let within = wanted.take_while(|tx| {
                bytes = bytes.saturating_add(tx.encode_size());
                bytes <= BLOCK_TX_BYTES_MAX
            });
            BoundedVec::truncating(within.cloned())
        };
        let given = Message::Given {
            block,
            transactions: given,
        };
        self.sender
            .send(Recipients::One(peer.clone()), given.encode(), true);
    }
}

const _: () = assert!(
    BLOCK_BYTES_MAX > BLOCK_TX_BYTES_MAX + 64,
    "transactions of a block are given in one message, which no whole block exceeds"
);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;
    use crate::transport::Silence;
    use commonware_cryptography::Signer as _;
    use fairweir_types::{
        Action, Amount, ChainId, Height, Millis, Nonce, SecretKey, Transaction, tx::Transfer,
    };

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
        fn named(&self, names: &[ShortName]) -> Vec<Option<SignedTx>> {
            names.iter().map(|name| self.0.get(name).cloned()).collect()
        }
    }

    fn key() -> SecretKey {
        SecretKey::from_seed([7; 32]).unwrap()
    }

    fn peer() -> Identity {
        key().as_identity().public_key()
    }

    fn txs() -> Vec<SignedTx> {
        let tx = |nonce| Transaction {
            chain_id: ChainId::new("dev-compact").unwrap(),
            sender: key().account_key(),
            nonce: Nonce(nonce),
            fee: Amount::from_base_units(1_000).unwrap(),
            expiry: Height(50),
            action: Action::Transfer(Transfer {
                to: key().address(),
                amount: Amount::from_base_units(1).unwrap(),
            }),
        };
        (0..20).map(|nonce| tx(nonce).sign(&key())).collect()
    }

    fn block() -> Block {
        let genesis = fairweir_types::Genesis {
            chain_id: ChainId::new("dev-compact").unwrap(),
            time: Millis(0),
            accounts: BoundedVec::default(),
            validators: BoundedVec::default(),
            params: BoundedVec::default(),
        };
        let roots = crate::qmdb::Roots {
            state: Digest::ZERO,
            ops: Digest::ZERO,
            range_start: 0,
            range_end: 1,
        };
        let mut block = crate::genesis::block(&genesis, roots);
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
        assert!(said.len() < block().encode_size() / 3);
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

    #[test]
    fn what_is_no_message_is_nothing() {
        let (_, said) = announced();
        let (post, mut completing) = completing(Holds::of(&txs()), &Newest::default());
        for end in 0..said.len() {
            assert!(completing.take(&peer(), &said.as_ref()[..end]).is_none());
        }
        assert!(completing.take(&peer(), &[9, 9, 9]).is_none());
        assert!(post.is_empty() && completing.unfinished.is_empty());
    }
}
