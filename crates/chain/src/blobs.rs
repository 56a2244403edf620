//! Blobs that other nodes have. What a client leaves with its node is read where the worker's node is, and the verifiers': so a node asks its peers for what it
//! does not have.
//!
//! A peer that has a blob says so, and is asked for it part by part, one part at a time: votes and blocks on the same connection wait behind one part
//! at most. No peer is asked on behalf of another, so a question goes one step; and what peers give counts only if the whole has the digest.

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
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Bytes of one part.
pub(crate) const PART_BYTES: usize = 256 * 1_024;
/// Bytes of one message at most: a part with its digest and its number.
pub(crate) const MESSAGE_BYTES_MAX: usize = PART_BYTES + 64;
/// Questions that wait.
pub(crate) const QUESTIONS_MAX: usize = 16;
/// Blobs that are looked for at a time: each may take 4 MiB.
const SEARCHES_MAX: usize = 32;
/// Peers that said that they have a blob, and are asked in turn.
const HOLDERS_MAX: usize = 8;
/// How often peers are asked whether they have a blob.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long nobody may have it.
const HOLDER_WITHIN: Duration = Duration::from_secs(3);
/// How long one part may take.
const PART_WITHIN: Duration = Duration::from_secs(5);
/// How long all of it may take: less than a client waits for its answer.
const SEARCH_WITHIN: Duration = Duration::from_secs(15);

/// What a node has of blobs.
pub trait BlobShelf: fmt::Debug + Send + Sync + 'static {
    /// How many bytes a blob has, if it is here.
    fn size(&self, digest: &Digest) -> Option<usize>;
    /// A blob, if it is here and undamaged.
    fn read(&self, digest: &Digest) -> Option<Vec<u8>>;
}

/// The shelf of a node that has none.
#[derive(Debug)]
pub(crate) struct NoShelf;

impl BlobShelf for NoShelf {
    fn size(&self, _: &Digest) -> Option<usize> {
        None
    }

    fn read(&self, _: &Digest) -> Option<Vec<u8>> {
        None
    }
}

/// What a node asks of others about blobs.
pub(crate) enum Question {
    /// For a blob.
    Seek(Digest, oneshot::Sender<Option<Vec<u8>>>),
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
    /// A part of it is wanted.
    Asked(Digest, u16),
    /// That part.
    Given(Digest, u16, BoundedBytes<PART_BYTES>),
}

const TAG_SOUGHT: u8 = 0;
const TAG_HELD: u8 = 1;
const TAG_ASKED: u8 = 2;
const TAG_GIVEN: u8 = 3;

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
            Self::Sought(digest) => digest.encode_size(),
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

/// A part of a blob, from 0; none behind its end.
fn part_of(blob: &[u8], part: u16) -> Option<&[u8]> {
    let from = usize::from(part).checked_mul(PART_BYTES)?;
    let rest = blob.get(from..).filter(|rest| !rest.is_empty())?;
    Some(rest.get(..PART_BYTES).unwrap_or(rest))
}

/// A blob on its way from one peer.
struct Coming {
    from: Identity,
    size: usize,
    bytes: Vec<u8>,
    /// When the next part is too late.
    until: SystemTime,
}

impl Coming {
    /// The number of the part that comes next.
    fn next_part(&self) -> u16 {
        u16::try_from(self.bytes.len().div_euclid(PART_BYTES)).unwrap_or(u16::MAX)
    }
}

/// A blob that is looked for.
struct Search {
    answers: Vec<oneshot::Sender<Option<Vec<u8>>>>,
    /// Who said that it has the blob, with its bytes, and was not asked yet.
    holders: VecDeque<(Identity, usize)>,
    /// Who was asked for it.
    asked: Vec<Identity>,
    coming: Option<Coming>,
    ask_again: SystemTime,
    /// When it is given up if nobody has it.
    holder_until: SystemTime,
    until: SystemTime,
}

/// Asks peers for blobs, and gives them those that are here.
struct Exchange<C, S> {
    clock: C,
    shelf: Arc<dyn BlobShelf>,
    sender: S,
    searches: BTreeMap<Digest, Search>,
    /// The blob that was given last: its parts are asked for one after the other.
    given: Option<(Digest, Vec<u8>)>,
}

impl<C: Clock, S: Sender<PublicKey = Identity>> Exchange<C, S> {
    fn new(clock: C, shelf: Arc<dyn BlobShelf>, sender: S) -> Self {
        Self {
            clock,
            shelf,
            sender,
            searches: BTreeMap::new(),
            given: None,
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
        let (digest, answer) = match question {
            Question::Seek(digest, answer) => (digest, answer),
            // Peers ask for it when they need it. Who asked may be gone.
            Question::HandOn(_, answer) => {
                let _ = answer.send(true);
                return;
            }
        };
        if let Some(search) = self.searches.get_mut(&digest) {
            search.answers.push(answer);
            return;
        }
        if self.searches.len() >= SEARCHES_MAX || !self.ask_all(digest) {
            // Who asked may be gone.
            let _ = answer.send(None);
            return;
        }
        let now = self.clock.current();
        let search = Search {
            answers: vec![answer],
            holders: VecDeque::new(),
            asked: Vec::new(),
            coming: None,
            ask_again: now + ASK_AGAIN,
            holder_until: now + HOLDER_WITHIN,
            until: now + SEARCH_WITHIN,
        };
        self.searches.insert(digest, search);
    }

    /// Asks everybody who has a blob; false if there is nobody.
    fn ask_all(&mut self, digest: Digest) -> bool {
        match self.sender.check(Recipients::All) {
            Ok(checked) if checked.recipients().is_empty() => false,
            Ok(checked) => {
                let _ = checked.send(Message::Sought(digest).encode(), false);
                true
            }
            // Too many messages at once: they are asked again.
            Err(_) => true,
        }
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
                if let Some(Ok(size)) = size {
                    self.tell(peer, &Message::Held(digest, size));
                }
            }
            Message::Held(digest, size) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if let Some(search) = self.searches.get_mut(&digest)
                    && search.holders.len() < HOLDERS_MAX
                    && size <= BLOB_BYTES_MAX
                    && search.asked.iter().all(|asked| asked != peer)
                    && search.holders.iter().all(|(holder, _)| holder != peer)
                {
                    search.holders.push_back((peer.clone(), size));
                }
            }
            Message::Asked(digest, part) => self.give(peer, digest, part),
            Message::Given(digest, part, bytes) => {
                self.fill(peer, (digest, part), bytes.as_slice());
            }
        }
    }

    fn give(&mut self, peer: &Identity, digest: Digest, part: u16) {
        if self
            .given
            .as_ref()
            .is_none_or(|(given, _)| *given != digest)
        {
            let Some(blob) = self.shelf.read(&digest) else {
                return;
            };
            self.given = Some((digest, blob));
        }
        let bytes = self
            .given
            .as_ref()
            .and_then(|(_, blob)| part_of(blob, part));
        if let Some(Ok(bytes)) = bytes.map(|bytes| BoundedBytes::new(bytes.to_vec())) {
            self.tell(peer, &Message::Given(digest, part, bytes));
        }
    }

    /// Takes a part that was asked for, and asks for the next.
    fn fill(&mut self, peer: &Identity, (digest, part): (Digest, u16), bytes: &[u8]) {
        let now = self.clock.current();
        let Some(search) = self.searches.get_mut(&digest) else {
            return;
        };
        let Some(coming) = &mut search.coming else {
            return;
        };
        if coming.from != *peer || coming.next_part() != part {
            return;
        }
        let left = coming.size.saturating_sub(coming.bytes.len());
        if bytes.len() != left.min(PART_BYTES) {
            tracing::warn!(%peer, %digest, "a peer gave no part of a blob");
            search.coming = None;
            return;
        }
        coming.bytes.extend_from_slice(bytes);
        if coming.bytes.len() < coming.size {
            coming.until = now + PART_WITHIN;
            let next = Message::Asked(digest, coming.next_part());
            return self.tell(peer, &next);
        }
        if Digest::of_blob(&coming.bytes) == digest {
            let blob = std::mem::take(&mut coming.bytes);
            return self.finish(&digest, Some(blob));
        }
        tracing::warn!(%peer, %digest, "a peer gave another blob than it was asked for");
        search.coming = None;
    }

    fn finish(&mut self, digest: &Digest, blob: Option<Vec<u8>>) {
        let search = self.searches.remove(digest);
        for answer in search.into_iter().flat_map(|search| search.answers) {
            // Who asked may be gone.
            let _ = answer.send(blob.clone());
        }
    }

    /// Ends searches whose time is over, turns to the next peer where one takes too long, and asks again where nobody answered.
    fn look_after(&mut self) {
        let now = self.clock.current();
        let (mut over, mut begun, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (digest, search) in &mut self.searches {
            search.answers.retain(|answer| !answer.is_closed());
            if search
                .coming
                .as_ref()
                .is_some_and(|coming| now >= coming.until)
            {
                search.coming = None;
            }
            if search.coming.is_none()
                && let Some((from, size)) = search.holders.pop_front()
            {
                search.asked.push(from.clone());
                begun.push((from.clone(), *digest));
                search.coming = Some(Coming {
                    from,
                    size,
                    bytes: Vec::new(),
                    until: now + PART_WITHIN,
                });
            }
            let nobody_has_it = search.coming.is_none() && now >= search.holder_until;
            if search.answers.is_empty() || now >= search.until || nobody_has_it {
                over.push(*digest);
            } else if search.coming.is_none() && now >= search.ask_again {
                search.ask_again = now + ASK_AGAIN;
                again.push(*digest);
            }
        }
        for (from, digest) in begun {
            self.tell(&from, &Message::Asked(digest, 0));
        }
        for digest in again {
            self.ask_all(digest);
        }
        for digest in over {
            self.finish(&digest, None);
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
    let exchange = context
        .child("blobs")
        .spawn(move |clock| Exchange::new(clock, shelf, sender).run(questions, receiver));
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
    let mut under_way: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        if under_way.len() >= SEARCHES_MAX {
            under_way.next().await;
            continue;
        }
        // An empty set is always ready with nothing.
        let mut done = if under_way.is_empty() {
            futures::future::pending().boxed()
        } else {
            under_way.next().boxed()
        };
        let question = select! {
            question = questions.recv() => question,
            _ = &mut done => continue,
        };
        drop(done);
        let Some(question) = question else { return };
        let source = &source;
        under_way.push(
            async move {
                match question {
                    // Who asked may be gone.
                    Question::Seek(digest, answer) => {
                        let _ = answer.send(source.blob(digest).await);
                    }
                    Question::HandOn(bytes, answer) => {
                        let _ = answer.send(source.keep_blob(bytes).await);
                    }
                }
            }
            .boxed(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole() {
        for size in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
            let blob: Vec<u8> = (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let parts = (0..=u16::MAX).map_while(|part| part_of(&blob, part));
            assert_eq!(parts.collect::<Vec<_>>().concat(), blob);
        }
    }

    #[test]
    fn messages_are_told_and_read_and_fit() {
        let digest = Digest::of_blob(b"blob");
        let part = BoundedBytes::new(vec![7; PART_BYTES]).unwrap();
        for message in [
            Message::Sought(digest),
            Message::Held(digest, 9),
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
