//! Votes: one engine of the library for each epoch, among those who have seats in it.
//!
//! The engine of an epoch ends when the epoch's last block is final and executed here; then the ledger has said who votes next, and the next engine begins
//! on that block. All messages carry the number of their epoch. What comes for the next epoch a moment too early is kept for it; and since it shows that
//! its sender is ahead, that one is asked for the last block.
//!
//! A node without a seat starts no engine. It hears of final blocks by the certificates that validators send to everybody, and takes them over; so it is there
//! when it gets a seat.

use crate::{
    application::App,
    block::ChainBlock,
    double_votes,
    engine::Runtime,
    epochs::Epochs,
    genesis::{self, BlockDigest, Identity, Scheme},
    handle::Marshal,
    pacing::Paced,
    replica::Core,
    transport::{Channel, Directory as _, Network, Place},
};
use commonware_codec::Decode as _;
use commonware_consensus::{
    Epochable as _, Reporter as _, Reporters, Viewable as _,
    marshal::{Identifier, standard::Deferred},
    simplex::{
        self,
        config::{ForwardPolicy, SkipPolicy},
        elector::RoundRobin,
        types::{Activity, Certificate},
    },
    types::{Epoch, Height as ConsensusHeight, View, ViewDelta},
};
use commonware_cryptography::{
    Digestible as _, Sha256,
    certificate::{Scheme as _, Verifier as _},
};
use commonware_glue::stateful::Mailbox as StatefulMailbox;
use commonware_macros::select;
use commonware_p2p::{
    Blocker as _, Message, Receiver,
    utils::mux::{Builder as _, MuxHandle, Muxer, SubReceiver, SubSender},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_utils::{NZDuration, NZUsize, channel::mpsc, vec::NonEmptyVec};
use fairweir_ledger::candidates;
use fairweir_types::limits::VALIDATORS_MAX;
use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Requests that wait for one of the engine's parts.
pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Views below the finalised one for which votes and candidate blocks are kept.
pub(crate) const VIEW_RETENTION: ViewDelta = ViewDelta::new(64);
/// Bytes that are read or written at once.
pub(crate) const BUFFER: NonZeroUsize = NZUsize!(1 << 18);
/// How long a peer has to answer.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Time before something is asked for again.
pub(crate) const FETCH_RETRY: Duration = Duration::from_millis(100);
/// Messages of the next epoch that are kept of each sender, on each channel.
const EARLY_MAX: usize = 8;
/// Time between two questions to a peer that is ahead.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Time without a new block after which a node without a seat asks for the epoch's last one: it may have missed that one's certificate.
const QUIET: Duration = Duration::from_secs(10);
/// The same in heartbeats, where these are long.
const QUIET_HEARTBEATS: u32 = 5;
/// Executed blocks that block storage may not know to be executed.
pub(crate) const ACKS_MAX: NonZeroUsize = NZUsize!(16);
/// How many epochs votes are kept on the disk. A node that starts again does so up to [`ACKS_MAX`] blocks below the newest it had executed: two of the
/// shortest epochs. An engine without its votes might cast others.
const VOTES_KEPT: u64 = 3;
/// So many epochs more are looked for when one begins: a node that was behind skips some.
const LEFT_OVER: u64 = 64;
/// Validators of an epoch at most, as the library counts them.
pub(crate) const PARTICIPANTS_MAX: u32 = 64;
const _: () = assert!(
    PARTICIPANTS_MAX as usize == VALIDATORS_MAX,
    "one number, of two types"
);

/// The application as an engine sees it.
pub(crate) type Application<E> = Deferred<E, Scheme, StatefulMailbox<E, App>, ChainBlock, Epochs>;
type Automaton<E> = Paced<E, Application<E>>;
type EngineConfig<E, N> = simplex::Config<
    Scheme,
    RoundRobin<Sha256>,
    <N as Network>::Blocker,
    BlockDigest,
    Automaton<E>,
    Application<E>,
    Reporters<Application<E>, double_votes::Hears>,
    Sequential,
>;

/// What engines are made of.
pub(crate) struct Consensus<E: Runtime, N: Network> {
    /// The runtime.
    pub(crate) context: E,
    /// What the replica shares.
    pub(crate) core: Arc<Core>,
    /// Block storage.
    pub(crate) marshal: Marshal,
    /// The application.
    pub(crate) application: Application<E>,
    /// Who may connect.
    pub(crate) peers: N::Peers,
    /// Shuts out peers that break the protocol.
    pub(crate) blocker: N::Blocker,
    /// Pages of the journals.
    pub(crate) page_cache: CacheRef,
    /// Whether the engine of an epoch runs now, rather than what listens.
    pub(crate) is_voting: bool,
}

/// A channel whose messages carry their epoch.
struct Muxed<N: Network> {
    handle: MuxHandle<N::Sender>,
    /// Messages of epochs that nobody here takes part in.
    others: mpsc::Receiver<(u64, Message<Identity>)>,
    /// Those of the next epoch, the first that came.
    early: VecDeque<Message<Identity>>,
}

/// One epoch's part of a channel.
type Part<N> = (
    SubSender<<N as Network>::Sender>,
    Caught<SubReceiver<Identity>>,
);

impl<N: Network> Muxed<N> {
    fn start<E: Runtime>(context: E, (sender, receiver): Channel<N>) -> Self {
        let (mux, handle, others) = Muxer::builder(context, sender, receiver)
            .with_backup()
            .build();
        // Ends with the network, or with this task.
        drop(mux.start());
        Self {
            handle,
            others,
            early: VecDeque::new(),
        }
    }

    /// An epoch's part; none when the network is gone.
    async fn open(&mut self, epoch: u64) -> Option<Part<N>> {
        let (sender, inner) = self.handle.register(epoch).await.ok()?;
        let early = std::mem::take(&mut self.early);
        Some((sender, Caught { early, inner }))
    }

    /// Keeps a message for the next epoch, if it may be one of votes; a few of each sender.
    fn keep(&mut self, message: Message<Identity>) {
        let (sender, bytes) = &message;
        let of_sender = self.early.iter().filter(|(other, _)| other == sender);
        let bytes_max = simplex::max_payload_size::<Scheme, BlockDigest>(PARTICIPANTS_MAX);
        if bytes.len() <= bytes_max && of_sender.count() < EARLY_MAX {
            self.early.push_back(message);
        }
    }
}

/// A receiver with what came before it was there.
#[derive(Debug)]
struct Caught<R> {
    early: VecDeque<Message<Identity>>,
    inner: R,
}

impl<R: Receiver<PublicKey = Identity>> Receiver for Caught<R> {
    type Error = R::Error;
    type PublicKey = Identity;

    async fn recv(&mut self) -> Result<Message<Identity>, R::Error> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.inner.recv().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}

/// The channels of votes.
struct Channels<N: Network> {
    votes: Muxed<N>,
    certificates: Muxed<N>,
    certificate_fetch: Muxed<N>,
}

impl<E: Runtime, N: Network> Consensus<E, N> {
    /// Votes, and listens where this node has no seat, until a part of it ends.
    pub(crate) async fn run(
        mut self,
        votes: Channel<N>,
        certificates: Channel<N>,
        certificate_fetch: Channel<N>,
    ) {
        let child = |name| self.context.child(name);
        let mut channels = Channels {
            votes: Muxed::start(child("votes"), votes),
            certificates: Muxed::start(child("certificates"), certificates),
            certificate_fetch: Muxed::start(child("certificate_fetch"), certificate_fetch),
        };
        let core = Arc::clone(&self.core);
        let mut tips = core.watch_tip();
        let mut epoch = core.epochs.after(core.tip().height);
        let mut asked: BTreeMap<Identity, SystemTime> = BTreeMap::new();
        let mut quiet = self.quiet_until();
        loop {
            let Some(mut engine) = self.enter(epoch, &mut channels).await else {
                return;
            };
            loop {
                tips.mark_unchanged();
                if core.epochs.after(core.tip().height) > epoch {
                    break;
                }
                let (others, certificates, questions) = (
                    &mut channels.votes.others,
                    &mut channels.certificates.others,
                    &mut channels.certificate_fetch.others,
                );
                let (of, message, is_vote) = select! {
                    ended = &mut engine => {
                        tracing::error!(epoch, ?ended, "the engine of votes ended");
                        return;
                    },
                    changed = tips.changed() => match changed {
                        Ok(_) => {
                            quiet = self.quiet_until();
                            continue;
                        },
                        Err(_) => return,
                    },
                    () = self.context.sleep_until(quiet) => {
                        self.ask_validators(epoch);
                        quiet = self.quiet_until();
                        continue;
                    },
                    vote = others.recv() => match vote {
                        Some((of, message)) => (of, message, true),
                        None => return,
                    },
                    certificate = certificates.recv() => match certificate {
                        Some((of, message)) => (of, message, false),
                        None => return,
                    },
                    // Nobody here answers what is asked of another epoch; unread it would pile up.
                    question = questions.recv() => match question {
                        Some(_) => continue,
                        None => return,
                    },
                };
                if of <= epoch {
                    continue;
                }
                let now = self.context.current();
                let before = asked.get(&message.0).copied();
                let passed = before.and_then(|before| now.duration_since(before).ok());
                if passed.is_none_or(|passed| passed >= ASK_AGAIN) {
                    asked.insert(message.0.clone(), now);
                    self.ask_for_last(epoch, NonEmptyVec::new(message.0.clone()));
                }
                if of == epoch.saturating_add(1) {
                    let channel = if is_vote {
                        &mut channels.votes
                    } else {
                        &mut channels.certificates
                    };
                    channel.keep(message);
                }
            }
            engine.abort();
            asked.clear();
            // More than one may have passed while this node was behind: what was kept is of none of them then.
            let next = core.epochs.after(core.tip().height);
            if next > epoch.saturating_add(1) {
                channels.votes.early.clear();
                channels.certificates.early.clear();
            }
            epoch = next;
        }
    }

    /// Until when no new block is no reason to ask for one.
    fn quiet_until(&self) -> SystemTime {
        let heartbeats = self.core.config.heartbeat.saturating_mul(QUIET_HEARTBEATS);
        self.context.current() + QUIET.max(heartbeats)
    }

    /// Asks for the last block of an epoch and its certificate.
    fn ask_for_last(&self, epoch: u64, peers: NonEmptyVec<Identity>) {
        let last = ConsensusHeight::new(self.core.epochs.last(epoch).get());
        self.marshal.hint_finalized(last, peers);
    }

    /// The same of all that have seats in it, if this node does not vote: those that do hear of each other.
    fn ask_validators(&self, epoch: u64) {
        let Some(scheme) = self.core.schemes.of(epoch) else {
            return;
        };
        let own = &self.core.identity;
        let seated = scheme.participants().iter().filter(|seated| *seated != own);
        let seated: Vec<Identity> = seated.cloned().collect();
        if let (false, Ok(seated)) = (self.is_voting, NonEmptyVec::try_from(seated)) {
            self.ask_for_last(epoch, seated);
        }
    }

    /// Begins an epoch: its engine if this node votes in it, else what listens. None when the network is gone.
    async fn enter(&mut self, epoch: u64, channels: &mut Channels<N>) -> Option<Handle<()>> {
        let core = Arc::clone(&self.core);
        let scheme = core.schemes.of(epoch)?;
        self.track(epoch);
        let foot = core.epochs.foot(epoch).get();
        let foot = Identifier::Height(ConsensusHeight::new(foot));
        // Who copied the state at a block of this epoch does not have the one on which the epoch stands: it listens until the next.
        let foot = self.marshal.get_block(foot).await;
        let foot = foot.filter(|_| core.votes_in(epoch));
        self.is_voting = foot.is_some();
        let votes = channels.votes.open(epoch).await?;
        let certificates = channels.certificates.open(epoch).await?;
        let fetch = channels.certificate_fetch.open(epoch).await?;
        tracing::info!(
            epoch,
            is_voting = self.is_voting,
            validators = scheme.participants().len(),
            "an epoch begins"
        );
        if let Some(foot) = foot {
            self.forget_votes(epoch).await;
            let config = self.engine(epoch, foot.digest(), scheme.as_ref().clone());
            let engine = simplex::Engine::new(self.context.child("simplex"), config);
            return Some(engine.start(votes, certificates, fetch));
        }
        // Votes and questions are for those who vote: nobody keeps them here.
        drop((votes, fetch));
        let (reporter, blocker) = (self.application.clone(), self.blocker.clone());
        let listening = self
            .context
            .child("listen")
            .spawn(move |context| async move {
                listen::<E, N>(context, (epoch, &scheme), certificates, reporter, blocker).await;
            });
        Some(listening)
    }

    /// Removes votes of long ago, before this node votes in an epoch: so the newest that it has always stay, and tell in which epoch it voted last.
    async fn forget_votes(&mut self, epoch: u64) {
        let kept = epoch.saturating_sub(VOTES_KEPT.saturating_sub(1));
        for past in kept.saturating_sub(LEFT_OVER)..kept {
            // Seldom there: each is removed once, and there is none of an epoch in which this node had no seat.
            let _ = self.context.remove(&self.partition(past), None).await;
        }
    }

    fn partition(&self, epoch: u64) -> String {
        format!("{}-votes-{epoch}", self.core.config.partition_prefix)
    }

    /// Says who may connect in an epoch.
    fn track(&mut self, epoch: u64) {
        let place = |identity: &[u8; 32], peer| Some((genesis::identity(identity)?, peer));
        let (seated, standing): (Vec<Place>, Vec<Place>) = self.core.cache.read(|state| {
            // A state that does not read stops the chain with its next block; nobody is lost for it here.
            let seats = candidates::seats(state).unwrap_or_default();
            let seated = seats.iter().filter_map(|seat| {
                // Also of one that stands no more: its seat is its own until the epoch ends.
                let peer = candidates::peer_of(state, &seat.validator).ok().flatten();
                place(&seat.validator, peer)
            });
            let standing = candidates::peers(state).unwrap_or_default().into_iter();
            let standing = standing.filter_map(|(identity, peer)| place(&identity, Some(peer)));
            (seated.collect(), standing.collect())
        });
        self.peers.track(epoch, seated, standing);
    }

    fn engine(&self, epoch: u64, foot: BlockDigest, scheme: Scheme) -> EngineConfig<E, N> {
        let is_alone = scheme.participants().len() == 1;
        let (leader_timeout, certification_timeout) = self.core.config.view_timeouts(is_alone);
        let application = self.application.clone();
        simplex::Config {
            scheme,
            elector: RoundRobin::default(),
            blocker: self.blocker.clone(),
            automaton: Paced::new(
                self.context.child("pacing"),
                application.clone(),
                Arc::clone(&self.core),
            ),
            relay: application.clone(),
            reporter: Reporters::from((application, double_votes::Hears(Arc::clone(&self.core)))),
            strategy: Sequential,
            partition: self.partition(epoch),
            mailbox_size: MAILBOX,
            epoch: Epoch::new(epoch),
            floor: simplex::config::Floor::Genesis(foot),
            replay_buffer: BUFFER,
            write_buffer: BUFFER,
            page_cache: self.page_cache.clone(),
            leader_timeout,
            certification_timeout,
            timeout_retry: Duration::from_millis(500),
            view_retention: VIEW_RETENTION,
            skip: SkipPolicy::Enabled {
                timeout: certification_timeout.saturating_add(Duration::from_secs(3)),
                budget: simplex::SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            forward: ForwardPolicy::Disabled,
            // A second vote may come when the first is counted already; without the first it would be no evidence.
            track_historical_votes: true,
        }
    }
}

/// Takes over what certificates say is final, until the network is gone.
async fn listen<E: Runtime, N: Network>(
    mut context: E,
    (epoch, scheme): (u64, &Scheme),
    (_, mut receiver): Part<N>,
    mut reporter: Application<E>,
    mut blocker: N::Blocker,
) {
    let mut newest = View::zero();
    while let Ok((peer, message)) = receiver.recv().await {
        let read = Certificate::<Scheme, BlockDigest>::decode_cfg(
            message,
            &scheme.certificate_codec_config(),
        );
        let certificate = match read {
            // One of another epoch may be signed by the same validators, and its view says nothing here.
            Ok(certificate) if certificate.epoch().get() == epoch => certificate,
            Ok(_) | Err(_) => {
                blocker.block(peer);
                continue;
            }
        };
        let finalization = match certificate {
            Certificate::Finalization(found) if found.view() > newest => found,
            _ => continue,
        };
        if !finalization.verify(&mut context, scheme, &Sequential) {
            blocker.block(peer);
            continue;
        }
        newest = finalization.view();
        tracing::debug!(epoch, view = newest.get(), "heard of a final block");
        reporter.report(Activity::Finalization(finalization));
    }
}
