//! Links of machines whose network has a bandwidth: each machine sends one message after the other, and receives one after the other. So a vote waits
//! behind a block that was sent before it, and a machine that others send much to waits for those who were first: both worse than what connections
//! beside each other do.
//!
//! The library's simulated network has bandwidths too, and shares them exactly among all messages on their way, which takes minutes for the
//! messages of fifty validators.

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::{
    CheckedSender, LimitedSender, Recipients, Sender as _,
    simulated::{Control, Manager, Receiver, Sender},
};
use commonware_runtime::{Clock as _, IoBuf, IoBufs, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::channel::mpsc;
use fairweir_chain::transport::{Network, Simulated, Transport};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

type Context = deterministic::Context;
type Wire = Sender<PublicKey, Context>;

/// Bytes that a message takes besides its own: headers of IP and TCP, frames, a tag.
const OVERHEAD_BYTES: u64 = 80;

/// A network of such machines.
pub(super) struct Paced;

impl Network for Paced {
    type Sender = PacedSender;
    type Receiver = Receiver<PublicKey>;
    type Peers = Manager<PublicKey, Context>;
    type Blocker = Control<PublicKey, Context>;
}

/// Until when each machine sends, and until when it receives, what is on its way.
#[derive(Default)]
struct Busy {
    sending: BTreeMap<PublicKey, SystemTime>,
    receiving: BTreeMap<PublicKey, SystemTime>,
}

/// A message that is through at a time.
struct Through {
    at: SystemTime,
    number: u64,
    wire: Wire,
    to: PublicKey,
    message: IoBuf,
}

impl Through {
    const fn key(&self) -> (SystemTime, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Through {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Through {}

impl PartialOrd for Through {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Through {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What all machines of a network share.
#[derive(Clone)]
pub(super) struct Links {
    clock: Arc<Context>,
    machines: Arc<Vec<PublicKey>>,
    /// Bytes a second of each machine, in each direction.
    bandwidth: Option<u64>,
    busy: Arc<Mutex<Busy>>,
    through: mpsc::UnboundedSender<Through>,
}

impl Links {
    pub(super) fn new(context: &Context, machines: Vec<PublicKey>, bandwidth: Option<u64>) -> Self {
        let (through, queue) = mpsc::unbounded_channel();
        context
            .child("links")
            .spawn(move |clock| deliver(clock, queue));
        Self {
            clock: Arc::new(context.child("clock")),
            machines: Arc::new(machines),
            bandwidth,
            busy: Arc::default(),
            through,
        }
    }

    /// Puts a machine's channels behind its links.
    pub(super) fn pace(
        &self,
        from: &PublicKey,
        transport: Transport<Simulated<Context>>,
    ) -> Transport<Paced> {
        let paced = |(wire, receiver): (Wire, Receiver<PublicKey>)| {
            let sender = PacedSender {
                from: from.clone(),
                wire,
                links: self.clone(),
            };
            (sender, receiver)
        };
        Transport {
            votes: paced(transport.votes),
            certificates: paced(transport.certificates),
            certificate_fetch: paced(transport.certificate_fetch),
            block_fetch: paced(transport.block_fetch),
            blocks: paced(transport.blocks),
            transactions: paced(transport.transactions),
            blobs: paced(transport.blobs),
            peers: transport.peers,
            blocker: transport.blocker,
        }
    }

    /// When a message is through that is sent now.
    fn through_at(&self, from: &PublicKey, to: &PublicKey, bytes: usize) -> SystemTime {
        let now = self.clock.current();
        let Some(bandwidth) = self.bandwidth else {
            return now;
        };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let nanoseconds = bytes
            .saturating_add(OVERHEAD_BYTES)
            .saturating_mul(1_000_000_000)
            .div_ceil(bandwidth);
        let lasts = Duration::from_nanos(nanoseconds);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let after =
            |busy: &mut BTreeMap<PublicKey, SystemTime>, machine: &PublicKey, start: SystemTime| {
                let until = busy.entry(machine.clone()).or_insert(start);
                *until = (*until).max(start) + lasts;
                *until
            };
        let sent = after(&mut busy.sending, from, now);
        // It arrives while it is sent.
        after(&mut busy.receiving, to, sent - lasts)
    }
}

/// Hands on what is through.
async fn deliver(clock: Context, mut queue: mpsc::UnboundedReceiver<Through>) {
    let mut waiting = BinaryHeap::new();
    let mut number = 0;
    loop {
        let next: Option<&Reverse<Through>> = waiting.peek();
        let due = next.map(|Reverse(through)| through.at);
        if due.is_some_and(|due| due <= clock.current()) {
            if let Some(Reverse(mut through)) = waiting.pop() {
                through
                    .wire
                    .send(Recipients::One(through.to), through.message, true);
            }
            continue;
        }
        // Longer than any story, unless something is due.
        let until = due.unwrap_or_else(|| clock.current() + Duration::from_secs(86_400));
        select! {
            sent = queue.recv() => {
                let Some(mut sent) = sent else { return };
                sent.number = number;
                number += 1;
                waiting.push(Reverse(sent));
            },
            () = clock.sleep_until(until) => {},
        }
    }
}

/// Sends over a machine's links.
#[derive(Clone)]
pub(super) struct PacedSender {
    from: PublicKey,
    wire: Wire,
    links: Links,
}

impl LimitedSender for PacedSender {
    type PublicKey = PublicKey;
    type Checked<'a> = CheckedPaced;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<CheckedPaced, SystemTime> {
        let recipients = match recipients {
            Recipients::All => {
                let others = self.links.machines.iter();
                others
                    .filter(|other| **other != self.from)
                    .cloned()
                    .collect()
            }
            Recipients::Some(some) => some,
            Recipients::One(one) => vec![one],
        };
        Ok(CheckedPaced {
            sender: self.clone(),
            recipients,
        })
    }
}

/// The same, to some machines.
pub(super) struct CheckedPaced {
    sender: PacedSender,
    recipients: Vec<PublicKey>,
}

impl CheckedSender for CheckedPaced {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.recipients.clone()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        let message = message.into().coalesce();
        let PacedSender { from, wire, links } = self.sender;
        for to in self.recipients {
            let through = Through {
                at: links.through_at(&from, &to, message.len()),
                number: 0,
                wire: wire.clone(),
                to,
                message: message.clone(),
            };
            // Without a receiver the story is over.
            let _ = links.through.send(through);
        }
        Unreliable::new(Feedback::Ok)
    }
}
