//! What links do besides losing messages: they deliver some twice, later too; and a validator that is two shows one half of itself to
//! some and the other half to others.

use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::{
    LimitedSender, Message, Receiver, Recipients,
    simulated::{self, Control, Error, Manager, SplitTarget},
};
use commonware_runtime::{Clock as _, Supervisor as _, deterministic::Context};
use core::fmt;
use fairweir_chain::transport::{Channel, Network, Simulated, Transport};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The longest time after which a message comes again, in milliseconds.
const AGAIN_MS: u64 = 3_000;
/// Messages of a channel that are about to come again, at most.
const AGAIN_MAX: usize = 256;

/// How many messages come twice, of those that all links deliver.
#[derive(Clone, Debug, Default)]
pub(super) struct Echo(Arc<State>);

#[derive(Debug, Default)]
struct State {
    hundredths: AtomicU64,
    echoed: AtomicU64,
}

impl Echo {
    /// So many hundredths more do.
    pub(super) fn more(&self, hundredths: u64) {
        self.0.hundredths.fetch_add(hundredths, Ordering::Relaxed);
    }

    /// So many fewer.
    pub(super) fn fewer(&self, hundredths: u64) {
        let fewer = |all: u64| Some(all.saturating_sub(hundredths));
        // Never refused.
        let _ = (self.0.hundredths).fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// None do.
    pub(super) fn mend(&self) {
        self.0.hundredths.store(0, Ordering::Relaxed);
    }

    /// How many did.
    pub(super) fn echoed(&self) -> u64 {
        self.0.echoed.load(Ordering::Relaxed)
    }

    fn hundredths(&self) -> u64 {
        self.0.hundredths.load(Ordering::Relaxed)
    }
}

/// A simulated network with such links.
#[derive(Debug)]
pub(super) struct Faulty;

impl Network for Faulty {
    type Sender = Speaking;
    type Receiver = Hearing;
    type Peers = Manager<PublicKey, Context>;
    type Blocker = Control<PublicKey, Context>;
}

/// Sends to all, or to some only.
#[derive(Clone, Debug)]
pub(super) struct Speaking {
    inner: simulated::Sender<PublicKey, Context>,
    /// All, if nobody is named.
    to: Option<Arc<BTreeSet<PublicKey>>>,
}

impl LimitedSender for Speaking {
    type PublicKey = PublicKey;
    type Checked<'a> = <simulated::Sender<PublicKey, Context> as LimitedSender>::Checked<'a>;

    fn check(
        &mut self,
        recipients: Recipients<PublicKey>,
    ) -> Result<Self::Checked<'_>, SystemTime> {
        let Some(to) = &self.to else {
            return self.inner.check(recipients);
        };
        let wanted = match recipients {
            Recipients::All => to.iter().cloned().collect(),
            Recipients::Some(some) => some,
            Recipients::One(one) => vec![one],
        };
        let heard = wanted.into_iter().filter(|one| to.contains(one)).collect();
        self.inner.check(Recipients::Some(heard))
    }
}

/// Receives some messages twice.
pub(super) struct Hearing {
    inner: simulated::Receiver<PublicKey>,
    clock: Context,
    echo: Echo,
    /// On the heap: channels are moved often.
    dice: Box<ChaCha8Rng>,
    /// What comes again, by when, and by its number among all.
    again: BTreeMap<(SystemTime, u64), Message<PublicKey>>,
    numbered: u64,
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hearing")
    }
}

impl Receiver for Hearing {
    type Error = Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Error> {
        let due = self.again.first_key_value().map(|((due, _), _)| *due);
        let message = match due {
            None => self.inner.recv().await?,
            Some(due) => {
                let late = select! {
                    () = self.clock.sleep_until(due) => None,
                    message = self.inner.recv() => Some(message?),
                };
                match late {
                    Some(message) => message,
                    None => {
                        let (_, again) = self.again.pop_first().expect("one is due");
                        return Ok(again);
                    }
                }
            }
        };
        let hundredths = self.echo.hundredths();
        if hundredths > 0 && self.dice.next_u64() % 100 < hundredths && self.again.len() < AGAIN_MAX
        {
            let after = Duration::from_millis(self.dice.next_u64() % AGAIN_MS);
            let due = self.clock.current() + after;
            self.numbered += 1;
            self.again.insert((due, self.numbered), message.clone());
            self.echo.0.echoed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(message)
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}

/// What makes the links of a validator's life faulty.
pub(super) struct Links {
    pub(super) context: Context,
    pub(super) echo: Echo,
    pub(super) seed: u64,
}

type Whole = Transport<Simulated<Context>>;
type Faultily = Transport<Faulty>;

impl Links {
    fn hearing(&self, inner: simulated::Receiver<PublicKey>, channel: u64) -> Hearing {
        let mut dice = Box::new(ChaCha8Rng::seed_from_u64(self.seed));
        dice.set_stream(channel);
        Hearing {
            inner,
            clock: self.context.child("hearing"),
            echo: self.echo.clone(),
            dice,
            again: BTreeMap::new(),
            numbered: 0,
        }
    }

    /// Those of a validator that is one.
    pub(super) fn whole(&self, transport: Whole) -> Faultily {
        let channel = |number, (inner, receiver): Channel<Simulated<Context>>| {
            let to = None;
            (Speaking { inner, to }, self.hearing(receiver, number))
        };
        Transport {
            votes: channel(0, transport.votes),
            certificates: channel(1, transport.certificates),
            certificate_fetch: channel(2, transport.certificate_fetch),
            block_fetch: channel(3, transport.block_fetch),
            blocks: channel(4, transport.blocks),
            transactions: channel(5, transport.transactions),
            blobs: channel(6, transport.blobs),
            peers: transport.peers,
            blocker: transport.blocker,
        }
    }

    /// Those of a validator that is two, each of which speaks with some only, and perhaps both with the same.
    pub(super) fn halves(
        &self,
        transport: Whole,
        [first, second]: [BTreeSet<PublicKey>; 2],
    ) -> [Faultily; 2] {
        let [first, second] = [Arc::new(first), Arc::new(second)];
        let channel = |number, (inner, receiver): Channel<Simulated<Context>>| {
            let (of_first, of_second) = (Arc::clone(&first), Arc::clone(&second));
            let heard_by = move |(sender, _): &Message<PublicKey>| match (
                of_first.contains(sender),
                of_second.contains(sender),
            ) {
                (true, true) => SplitTarget::Both,
                (true, false) => SplitTarget::Primary,
                (false, true) => SplitTarget::Secondary,
                (false, false) => SplitTarget::None,
            };
            let (one, other) = receiver.split_with(self.context.child("split"), heard_by);
            let speaking = |to: &Arc<BTreeSet<PublicKey>>| Speaking {
                inner: inner.clone(),
                to: Some(Arc::clone(to)),
            };
            [
                (speaking(&first), self.hearing(one, number)),
                (speaking(&second), self.hearing(other, number)),
            ]
        };
        let [votes, other_votes] = channel(0, transport.votes);
        let [certificates, other_certificates] = channel(1, transport.certificates);
        let [certificate_fetch, other_certificate_fetch] = channel(2, transport.certificate_fetch);
        let [block_fetch, other_block_fetch] = channel(3, transport.block_fetch);
        let [blocks, other_blocks] = channel(4, transport.blocks);
        let [transactions, other_transactions] = channel(5, transport.transactions);
        let [blobs, other_blobs] = channel(6, transport.blobs);
        [
            Transport {
                votes,
                certificates,
                certificate_fetch,
                block_fetch,
                blocks,
                transactions,
                blobs,
                peers: transport.peers.clone(),
                blocker: transport.blocker.clone(),
            },
            Transport {
                votes: other_votes,
                certificates: other_certificates,
                certificate_fetch: other_certificate_fetch,
                block_fetch: other_block_fetch,
                blocks: other_blocks,
                transactions: other_transactions,
                blobs: other_blobs,
                peers: transport.peers,
                blocker: transport.blocker,
            },
        ]
    }
}
