//! Blobs that other nodes have. What a client leaves with its node is read where the worker's node is, and the verifiers': so a node asks its peers for what it
//! does not have.
//!
//! A peer says whether it has a blob, and is asked for it part by part, one part at a time: votes and blocks on the same connection wait behind one part of each
//! blob at most. No peer is asked on behalf of another, so a question goes one step; and what peers give counts only if the whole has the digest.
//! Who takes too long for the whole, or gives something else, is asked last from then on.

use crate::{
    engine::{Part, Runtime},
    follow::Source,
    genesis::Identity,
    replica::Core,
    transport::{Channel, Network},
};
use bytes::BufMut;
use commonware_codec::{
    Buf, Encode as _, EncodeSize, Error as CodecError, Read, ReadExt as _, Write,
};
use commonware_macros::select;
use commonware_p2p::{CheckedSender as _, Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use commonware_utils::channel::{mpsc, oneshot};
use fairweir_types::{BoundedBytes, Digest, decode, limits::BLOB_BYTES_MAX};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Bytes of one part.
pub(crate) const PART_BYTES: usize = 256 * 1_024;
/// Bytes of one message at most: a part with its digest and its number.
pub(crate) const MESSAGE_BYTES_MAX: usize = PART_BYTES + 64;
/// Questions that wait.
pub(crate) const QUESTIONS_MAX: usize = 64;
/// Blobs that are looked for at a time and that a transaction names, and others, for which nobody paid. Each takes up to 8 MiB.
const NAMED_SEARCHES_MAX: usize = 24;
const OTHER_SEARCHES_MAX: usize = 8;
/// Who waits for one blob.
const ANSWERS_MAX: usize = 64;
/// Peers that said that they have a blob, and are asked in turn.
const HOLDERS_MAX: usize = 16;
/// How often peers are asked whether they have a blob.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a blob is looked for that a transaction names: somebody has it, whose connection may be back in a moment.
const NAMED_WITHIN: Duration = Duration::from_secs(10);
/// How long another is looked for.
const OTHER_WITHIN: Duration = Duration::from_secs(5);
/// How long a peer may take for the whole of a blob.
const WHOLE_WITHIN: Duration = Duration::from_secs(5);
/// After how long a second peer is asked besides.
const SECOND_AFTER: Duration = Duration::from_secs(2);
/// How long who is asked last waits for others that may have a blob too.
const OTHERS_WITHIN: Duration = Duration::from_secs(1);
/// Parts that one peer is given in a second: 16 MiB.
const PARTS_PER_SECOND: u32 = 64;
/// Peers that are remembered for what they did not give.
const UNRELIABLE_MAX: usize = 64;
/// Blobs that a node that follows hands on at a time.
const HAND_ONS_MAX: usize = 8;

/// What a node has of blobs.
pub trait BlobShelf: fmt::Debug + Send + Sync + 'static {
    /// How many bytes a blob has, if it is here.
    fn size(&self, digest: &Digest) -> Option<usize>;
    /// So many bytes of a blob from an offset on, fewer at its end; none if it is not here.
    fn part(&self, digest: &Digest, from: usize, bytes: usize) -> Option<Vec<u8>>;
}

/// What came of looking for a blob at other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoughtBlob {
    /// Here it is.
    Found(Arc<Vec<u8>>),
    /// No node that is reached has it.
    Nowhere,
    /// Too much is looked for at once, or nobody was reached: it can be tried again.
    Later,
}

/// The shelf of a node that has none.
#[derive(Debug)]
pub(crate) struct NoShelf;

impl BlobShelf for NoShelf {
    fn size(&self, _: &Digest) -> Option<usize> {
        None
    }

    fn part(&self, _: &Digest, _: usize, _: usize) -> Option<Vec<u8>> {
        None
    }
}

/// What a node asks of others about blobs.
pub(crate) enum Question {
    /// For a blob, which a transaction may have named.
    Seek {
        digest: Digest,
        is_named: bool,
        answer: oneshot::Sender<SoughtBlob>,
    },
    /// That others can get this blob from where they ask.
    HandOn(Vec<u8>, oneshot::Sender<bool>),
}

/// Where questions come in, and where they are answered.
pub(crate) type Questions = (mpsc::Sender<Question>, mpsc::Receiver<Question>);

/// What travels on the channel of blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// Who has this blob?
    Sought(Digest),
    /// Its sender has it; so many bytes.
    Held(Digest, u32),
    /// Its sender does not have it.
    Missing(Digest),
    /// A part of it is wanted.
    Asked(Digest, u16),
    /// That part.
    Given(Digest, u16, BoundedBytes<PART_BYTES>),
}

const TAG_SOUGHT: u8 = 0;
const TAG_HELD: u8 = 1;
const TAG_MISSING: u8 = 2;
const TAG_ASKED: u8 = 3;
const TAG_GIVEN: u8 = 4;

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Sought(digest) => {
                TAG_SOUGHT.write(buf);
                digest.write(buf);
            }
            Self::Held(digest, size) => {
                TAG_HELD.write(buf);
                digest.write(buf);
                size.write(buf);
            }
            Self::Missing(digest) => {
                TAG_MISSING.write(buf);
                digest.write(buf);
            }
            Self::Asked(digest, part) => {
                TAG_ASKED.write(buf);
                digest.write(buf);
                part.write(buf);
            }
            Self::Given(digest, part, bytes) => {
                TAG_GIVEN.write(buf);
                digest.write(buf);
                part.write(buf);
                bytes.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Sought(digest) | Self::Missing(digest) => digest.encode_size(),
            Self::Held(digest, size) => digest.encode_size() + size.encode_size(),
            Self::Asked(digest, part) => digest.encode_size() + part.encode_size(),
            Self::Given(digest, part, bytes) => {
                digest.encode_size() + part.encode_size() + bytes.encode_size()
            }
        }
    }
}

impl Read for Message {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        match u8::read(buf)? {
            TAG_SOUGHT => Ok(Self::Sought(Digest::read(buf)?)),
            TAG_HELD => Ok(Self::Held(Digest::read(buf)?, u32::read(buf)?)),
            TAG_MISSING => Ok(Self::Missing(Digest::read(buf)?)),
            TAG_ASKED => Ok(Self::Asked(Digest::read(buf)?, u16::read(buf)?)),
            TAG_GIVEN => Ok(Self::Given(
                Digest::read(buf)?,
                u16::read(buf)?,
                BoundedBytes::read(buf)?,
            )),
            other => Err(CodecError::InvalidEnum(other)),
        }
    }
}

/// A blob on its way from one peer.
struct Coming {
    from: Identity,
    size: usize,
    bytes: Vec<u8>,
    began: SystemTime,
    /// When the next part was asked for.
    asked: SystemTime,
}

impl Coming {
    /// The number of the part that comes next.
    fn next_part(&self) -> u16 {
        u16::try_from(self.bytes.len().div_euclid(PART_BYTES)).unwrap_or(u16::MAX)
    }
}

/// A blob that is looked for.
struct Search {
    answers: Vec<oneshot::Sender<SoughtBlob>>,
    is_named: bool,
    /// Who said that it has the blob, with its bytes, and was not asked yet.
    holders: VecDeque<(Identity, usize)>,
    /// Who was asked for it.
    asked: Vec<Identity>,
    /// From whom it comes: from two at most.
    coming: Vec<Coming>,
    /// To how many the question went last, if it could be sent, and who of them does not have it.
    questioned: Option<usize>,
    missing_at: BTreeSet<Identity>,
    /// Whether anybody was ever asked.
    is_reached: bool,
    /// Whether somebody gave a part of it, and not the whole in time.
    is_half_here: bool,
    ask_again: SystemTime,
    began: SystemTime,
    until: SystemTime,
}

/// Asks peers for blobs, and gives them those that are here.
struct Exchange<C, S> {
    clock: C,
    shelf: Arc<dyn BlobShelf>,
    /// Whether the chain was founded by one validator, which may have no peers at all.
    may_be_alone: bool,
    sender: S,
    searches: BTreeMap<Digest, Search>,
    /// Who did not give what it said that it has: asked last.
    unreliable: VecDeque<Identity>,
    /// Parts that peers were given in the second that began then.
    given: (SystemTime, BTreeMap<Identity, u32>),
}

impl<C: Clock, S: Sender<PublicKey = Identity>> Exchange<C, S> {
    fn new(clock: C, (shelf, may_be_alone): (Arc<dyn BlobShelf>, bool), sender: S) -> Self {
        let given = (clock.current(), BTreeMap::new());
        Self {
            clock,
            shelf,
            may_be_alone,
            sender,
            searches: BTreeMap::new(),
            unreliable: VecDeque::new(),
            given,
        }
    }

    /// Runs until the network goes away, or nobody can ask any more.
    async fn run(
        mut self,
        mut questions: mpsc::Receiver<Question>,
        mut receiver: impl Receiver<PublicKey = Identity>,
    ) {
        loop {
            let next_look = self.clock.current() + ASK_AGAIN;
            select! {
                message = receiver.recv() => {
                    let Ok((peer, bytes)) = message else { return };
                    match decode(bytes.as_ref()) {
                        Ok(message) => self.take(&peer, message),
                        Err(error) => tracing::debug!(%peer, %error, "a peer sent no message about blobs"),
                    }
                },
                question = questions.recv() => {
                    let Some(question) = question else { return };
                    self.seek(question);
                },
                () = self.clock.sleep_until(next_look) => {},
            }
            self.look_after();
        }
    }

    fn seek(&mut self, question: Question) {
        let (digest, is_named, answer) = match question {
            Question::Seek {
                digest,
                is_named,
                answer,
            } => (digest, is_named, answer),
            Question::HandOn(_, answer) => {
                // Peers ask for it when they need it.
                let _ = answer.send(true);
                return;
            }
        };
        let now = self.clock.current();
        if let Some(search) = self.searches.get_mut(&digest) {
            if search.answers.len() < ANSWERS_MAX {
                search.answers.push(answer);
            } else {
                let _ = answer.send(SoughtBlob::Later);
            }
            if is_named && !search.is_named {
                // Who asked first did not know yet.
                search.is_named = true;
                search.until = now + NAMED_WITHIN;
            }
            return;
        }
        let searches = self.searches.values();
        let alike = searches.filter(|search| search.is_named == is_named);
        let (most, within) = if is_named {
            (NAMED_SEARCHES_MAX, NAMED_WITHIN)
        } else {
            (OTHER_SEARCHES_MAX, OTHER_WITHIN)
        };
        if alike.count() >= most {
            let _ = answer.send(SoughtBlob::Later);
            return;
        }
        let questioned = self.ask_all(digest);
        let search = Search {
            answers: vec![answer],
            is_named,
            holders: VecDeque::new(),
            asked: Vec::new(),
            coming: Vec::new(),
            questioned,
            missing_at: BTreeSet::new(),
            is_reached: questioned.is_some_and(|count| count > 0),
            is_half_here: false,
            ask_again: now + ASK_AGAIN,
            began: now,
            until: now + within,
        };
        self.searches.insert(digest, search);
    }

    /// Asks everybody who has a blob; how many that are. None if too much was sent just now: they are asked again.
    fn ask_all(&mut self, digest: Digest) -> Option<usize> {
        let checked = self.sender.check(Recipients::All).ok()?;
        let questioned = checked.recipients().len();
        if questioned > 0 {
            let _ = checked.send(Message::Sought(digest).encode(), false);
        }
        Some(questioned)
    }

    fn tell(&mut self, peer: &Identity, message: &Message) {
        let to = Recipients::One(peer.clone());
        // Who is away misses it, and is asked, or asks, again.
        drop(self.sender.send(to, message.encode(), false));
    }

    fn take(&mut self, peer: &Identity, message: Message) {
        match message {
            Message::Sought(digest) => {
                let size = self.shelf.size(&digest).map(u32::try_from);
                let answer = match size {
                    Some(Ok(size)) => Message::Held(digest, size),
                    _ => Message::Missing(digest),
                };
                self.tell(peer, &answer);
            }
            Message::Held(digest, size) => self.held(peer, digest, size),
            Message::Missing(digest) => {
                if let Some(search) = self.searches.get_mut(&digest)
                    && search
                        .questioned
                        .is_some_and(|count| search.missing_at.len() < count)
                {
                    search.missing_at.insert(peer.clone());
                }
            }
            Message::Asked(digest, part) => self.give(peer, digest, part),
            Message::Given(digest, part, bytes) => {
                self.fill(peer, (digest, part), bytes.as_slice());
            }
        }
    }

    fn held(&mut self, peer: &Identity, digest: Digest, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let is_unreliable = self.unreliable.contains(peer);
        if let Some(search) = self.searches.get_mut(&digest)
            && size <= BLOB_BYTES_MAX
            && !search.asked.contains(peer)
            && search.holders.iter().all(|(holder, _)| holder != peer)
        {
            if is_unreliable {
                search.holders.push_back((peer.clone(), size));
            } else {
                search.holders.push_front((peer.clone(), size));
            }
            search.holders.truncate(HOLDERS_MAX);
        }
    }

    fn give(&mut self, peer: &Identity, digest: Digest, part: u16) {
        let now = self.clock.current();
        let (began, given) = &mut self.given;
        if now >= *began + Duration::from_secs(1) {
            *began = now;
            given.clear();
        }
        let count = given.entry(peer.clone()).or_default();
        if *count >= PARTS_PER_SECOND {
            return;
        }
        *count += 1;
        let Some(from) = usize::from(part).checked_mul(PART_BYTES) else {
            return;
        };
        let bytes = self.shelf.part(&digest, from, PART_BYTES);
        if let Some(Ok(bytes)) = bytes.map(BoundedBytes::new) {
            self.tell(peer, &Message::Given(digest, part, bytes));
        }
    }

    /// Takes a part that was asked for, and asks for the next.
    fn fill(&mut self, peer: &Identity, (digest, part): (Digest, u16), bytes: &[u8]) {
        let now = self.clock.current();
        let Some(search) = self.searches.get_mut(&digest) else {
            return;
        };
        let Some(place) = search.coming.iter().position(|one| one.from == *peer) else {
            return;
        };
        let Some(coming) = search.coming.get_mut(place) else {
            return;
        };
        if coming.next_part() != part || coming.bytes.len() > coming.size {
            return;
        }
        let left = coming.size.saturating_sub(coming.bytes.len());
        let is_a_part = bytes.len() == left.min(PART_BYTES);
        if is_a_part {
            coming.bytes.extend_from_slice(bytes);
            coming.asked = now;
            if coming.bytes.len() < coming.size {
                let next = Message::Asked(digest, coming.next_part());
                return self.tell(peer, &next);
            }
            if Digest::of_blob(&coming.bytes) == digest {
                let blob = search.coming.remove(place).bytes;
                return self.finish(&digest, &SoughtBlob::Found(Arc::new(blob)));
            }
        }
        tracing::warn!(%peer, %digest, "a peer gave another blob than it was asked for");
        search.coming.remove(place);
        self.remember(peer.clone());
    }

    fn finish(&mut self, digest: &Digest, found: &SoughtBlob) {
        let Some(search) = self.searches.remove(digest) else {
            return;
        };
        let now = self.clock.current();
        for coming in search.coming {
            // It took so long that another was asked besides.
            if now >= coming.began + SECOND_AFTER && coming.bytes.len() < coming.size {
                self.remember(coming.from);
            }
        }
        for answer in search.answers {
            // Who asked may be gone.
            let _ = answer.send(found.clone());
        }
    }

    fn remember(&mut self, peer: Identity) {
        if self.unreliable.contains(&peer) {
            return;
        }
        if self.unreliable.len() >= UNRELIABLE_MAX {
            self.unreliable.pop_front();
        }
        self.unreliable.push_back(peer);
    }

    /// Ends searches whose time is over, turns to the next peer where one takes too long, and asks again where nobody has it.
    fn look_after(&mut self) {
        let now = self.clock.current();
        let (mut over, mut begun) = (Vec::new(), Vec::new());
        let (mut again, mut late) = (Vec::new(), Vec::new());
        for (digest, search) in &mut self.searches {
            search.answers.retain(|answer| !answer.is_closed());
            search.coming.retain(|coming| {
                let is_late = now >= coming.began + WHOLE_WITHIN;
                if is_late {
                    search.is_half_here |= !coming.bytes.is_empty();
                    late.push(coming.from.clone());
                }
                !is_late
            });
            for coming in &mut search.coming {
                // The question or its answer was lost, or asked too soon after many others.
                if now >= coming.asked + ASK_AGAIN {
                    coming.asked = now;
                    begun.push((coming.from.clone(), *digest, coming.next_part()));
                }
            }
            let asks_one_more = match search.coming.as_slice() {
                [] => true,
                [only] => now >= only.began + SECOND_AFTER,
                _ => false,
            };
            // Others that have it too may still answer.
            let is_last = |(holder, _): &(Identity, usize)| self.unreliable.contains(holder);
            let waits = now < search.began + OTHERS_WITHIN;
            let next = search.holders.front();
            if asks_one_more
                && next.is_some_and(|next| !(waits && is_last(next)))
                && let Some((from, size)) = search.holders.pop_front()
            {
                search.asked.push(from.clone());
                begun.push((from.clone(), *digest, 0));
                search.coming.push(Coming {
                    from,
                    size,
                    bytes: Vec::new(),
                    began: now,
                    asked: now,
                });
            }
            let is_sought = !search.coming.is_empty();
            // What a transaction names somebody has, who may be back in a moment; of another it is enough that nobody has it who is here.
            let is_reached = search.is_reached || self.may_be_alone;
            let all_answered =
                (search.questioned).is_some_and(|count| search.missing_at.len() >= count);
            let nobody_has_it = all_answered && is_reached && !search.is_named && !is_sought;
            if search.answers.is_empty() || now >= search.until || nobody_has_it {
                // That nobody has it is said only by who asked somebody: it costs a worker its stake.
                let found = if is_sought || search.is_half_here || !is_reached {
                    SoughtBlob::Later
                } else {
                    SoughtBlob::Nowhere
                };
                over.push((*digest, found));
            } else if !is_sought && now >= search.ask_again {
                search.ask_again = now + ASK_AGAIN;
                again.push(*digest);
            }
        }
        for peer in late {
            tracing::debug!(%peer, "a peer took too long for a blob");
            self.remember(peer);
        }
        for (from, digest, part) in begun {
            self.tell(&from, &Message::Asked(digest, part));
        }
        for digest in again {
            let questioned = self.ask_all(digest);
            if let Some(search) = self.searches.get_mut(&digest) {
                search.questioned = questioned;
                search.is_reached |= questioned.is_some_and(|count| count > 0);
                search.missing_at.clear();
                // Who was slow may give it now.
                search.asked.clear();
            }
        }
        for (digest, found) in over {
            self.finish(&digest, &found);
        }
    }
}

/// Starts the exchange of blobs among validators and candidates.
pub(crate) fn exchange<E: Runtime, N: Network>(
    context: &E,
    core: &Core,
    (sender, receiver): Channel<N>,
    questions: mpsc::Receiver<Question>,
) -> Part {
    let shelf = Arc::clone(&core.config.shelf);
    let may_be_alone = core.config.genesis.validators.len() == 1;
    let exchange = context.child("blobs").spawn(move |clock| {
        Exchange::new(clock, (shelf, may_be_alone), sender).run(questions, receiver)
    });
    ("blobs", exchange)
}

/// Starts what gets blobs for a node that follows.
pub(crate) fn ask<E: Runtime, S: Source>(
    context: &E,
    source: S,
    questions: mpsc::Receiver<Question>,
) -> Part {
    let asking = context.child("blobs");
    ("blobs", asking.spawn(move |_| of_source(source, questions)))
}

/// Asks the node that is followed for blobs, and hands on to it what clients leave here: those that need it do not ask a node that follows.
async fn of_source<S: Source>(source: S, mut questions: mpsc::Receiver<Question>) {
    // For what transactions name, and for what nobody paid for.
    let (mut named, mut others) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut hand_ons = FuturesUnordered::new();
    loop {
        // An empty set is always ready with nothing.
        let sought = async {
            if named.is_empty() {
                std::future::pending::<()>().await;
            }
            named.next().await
        };
        let sought_besides = async {
            if others.is_empty() {
                std::future::pending::<()>().await;
            }
            others.next().await
        };
        let handed_on = async {
            if hand_ons.is_empty() {
                std::future::pending::<()>().await;
            }
            hand_ons.next().await
        };
        let question = select! {
            question = questions.recv() => question,
            _ = sought => continue,
            _ = sought_besides => continue,
            _ = handed_on => continue,
        };
        let Some(question) = question else { return };
        let source = &source;
        match question {
            Question::Seek {
                digest,
                is_named,
                mut answer,
            } => {
                let (places, most) = if is_named {
                    (&mut named, NAMED_SEARCHES_MAX)
                } else {
                    (&mut others, OTHER_SEARCHES_MAX)
                };
                if places.len() >= most {
                    let _ = answer.send(SoughtBlob::Later);
                    continue;
                }
                places.push(
                    async move {
                        let found = select! {
                            found = source.blob(digest) => found,
                            // Nobody waits for it any more.
                            () = answer.closed() => return,
                        };
                        let _ = answer.send(found);
                    }
                    .boxed(),
                );
            }
            Question::HandOn(_, answer) if hand_ons.len() >= HAND_ONS_MAX => {
                let _ = answer.send(false);
            }
            Question::HandOn(bytes, answer) => hand_ons.push(async move {
                let _ = answer.send(source.keep_blob(bytes).await);
            }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_and_read_and_fit() {
        let digest = Digest::of_blob(b"blob");
        let part = BoundedBytes::new(vec![7; PART_BYTES]).unwrap();
        for message in [
            Message::Sought(digest),
            Message::Held(digest, 9),
            Message::Missing(digest),
            Message::Asked(digest, 2),
            Message::Given(digest, 2, part),
        ] {
            let bytes = message.encode();
            assert!(bytes.len() <= MESSAGE_BYTES_MAX);
            assert_eq!(decode::<Message>(&bytes).unwrap(), message);
        }
        assert!(decode::<Message>(&[9; 40]).is_err());
    }
}
