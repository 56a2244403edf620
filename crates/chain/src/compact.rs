//! Blocks travel without what the others have already: a block is announced by its header and short names of its transactions, and whoever receives
//! it takes them from its pool and asks for the rest. After Bitcoin's compact blocks (BIP 152), with names that need no secret: to find two
//! transactions of one name takes 2^64 hashes, and who has both asks for the block's.
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
use commonware_runtime::{IoBuf, IoBufs, reschedule};
use commonware_utils::sync::Mutex;
use fairweir_types::{
    Block, BlockHeader, BoundedVec, Digest, SignedTx, decode,
    limits::{BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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
pub(crate) type ShortName = [u8; 16];

/// The short name of a transaction.
pub(crate) fn short_name(tx: &Digest) -> ShortName {
    let mut name = ShortName::default();
    name.iter_mut().zip(tx.0).for_each(|(to, from)| *to = from);
    name
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
    /// The transaction of each name, none where no or more than one has it; nothing if together they are longer than a block's may be.
    fn named(&self, names: &[ShortName]) -> Option<Vec<Option<SignedTx>>>;
}

impl Pool for Core {
    fn named(&self, names: &[ShortName]) -> Option<Vec<Option<SignedTx>>> {
        self.waiting_named(names, BLOCK_TX_BYTES_MAX)
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
            // A call that is given up here, or below, loses nothing.
            let (peer, bytes) = self.receiver.recv().await?;
            if let Some(block) = self.take(&peer, bytes.as_ref()) {
                return Ok((peer, block));
            }
            // Who sends without pause must not keep the buffer from what else it has to do.
            reschedule().await;
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
                let different: BTreeSet<&ShortName> = names.iter().collect();
                if different.len() < names.len() || peer.as_ref() != header.proposer {
                    tracing::debug!(%peer, "a peer announced what is not its block");
                    return None;
                }
                let transactions = self.pool.named(names.as_slice())?;
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
        let Unfinished {
            digest,
            header,
            mut transactions,
            asked,
        } = announced;
        let count = transactions.len();
        let missing = (0..).zip(&transactions);
        let mut missing: Vec<Position> = missing
            .filter_map(|(position, tx)| tx.is_none().then_some(position))
            .collect();
        if missing.is_empty() {
            let all: Vec<SignedTx> = transactions.into_iter().flatten().collect();
            if root_of(&all) == header.transactions_root {
                let block = Block {
                    header: *header,
                    transactions: BoundedVec::truncating(all),
                };
                return Some(IoBuf::from(block.encode()));
            }
            if asked.len() == count {
                tracing::debug!(%peer, "a peer gave other transactions than it announced");
                return None;
            }
            // One from the pool has only the name of the block's.
            missing = (0..).take(count).collect();
            transactions = vec![None; count];
        }
        let question = Message::Asked {
            block: digest,
            positions: BoundedVec::truncating(missing.iter().copied()),
        };
        let unfinished = Unfinished {
            digest,
            header,
            transactions,
            asked: missing,
        };
        self.unfinished.insert(peer.clone(), unfinished);
        self.sender
            .send(Recipients::One(peer.clone()), question.encode(), true);
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
mod tests;
