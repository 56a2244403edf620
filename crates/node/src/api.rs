//! Answering clients.

mod blobs;

use crate::{
    blob_store::BlobStore,
    places::{GivesWay, Place, Places},
    turns::{Turn, Turns},
};
use commonware_codec::{Encode as _, EncodeSize as _};
use fairweir_chain::{ChainHandle, FinalisedBlock, SubmitError, WaitError};
use fairweir_client::{
    WAITING,
    protocol::{ANSWER_DEADLINE, MESSAGE_BYTES_MAX},
};
use fairweir_ledger::{
    Fault, audit, candidates, catalogue, governance, report, secured, upgrades, validators,
};
use fairweir_net::{FrameStream, Incoming, NetError, PeerId, read_request, reply};
use fairweir_types::{
    Address, BoundedBytes, BoundedText, BoundedVec, Boxed, Height, Millis, SignedTx, decode,
    limits::{EVENT_PAGE_MAX, OUTCOME_PAGE_MAX},
    merkle,
    node_api::{
        AskState, BlockReport, Duties, EventPage, Included, NodeReply, NodeRequest, OutcomePage,
        Refusal, StatePart, Status, ValidatorsReport,
    },
};
use futures::{FutureExt as _, StreamExt as _, select_biased, stream::FuturesUnordered};
use std::{pin::pin, sync::Arc};

/// Questions under way at the same time; further ones wait in the network's bounded queue. More than all [`Counters`] together, whose
/// places are given up for others: what is left is for answers, and those take as long as this node does.
const UNDER_WAY_MAX: usize = 7_168;
/// Followers, who stay.
const FOLLOWERS_MAX: usize = 384;
/// Submissions that wait for their block. A client's own nonces may keep it waiting for ever.
const SUBMISSIONS_MAX: usize = 2_048;
/// Questions that are read, and answers that are taken: each as slowly as the client likes, within the deadline.
const SMALL_MAX: usize = 1_024;
/// Questions above [`SMALL_BYTES_MAX`] that are read: uploads of blobs, until they are kept and handed on, and exhibits. More than one site has connections: if it holds them all,
/// some identity of it holds two, and those give way first.
const LARGE_QUESTIONS_MAX: usize = 96;
/// Answers above [`SMALL_BYTES_MAX`] that are taken: blocks, blobs and parts of the state.
const LARGE_ANSWERS_MAX: usize = 96;
/// Clients that wait for a blob of another node.
const SEEKS_MAX: usize = 256;
/// Clients that wait for a proof: of what is in no block yet, until there is one.
const PROOFS_MAX: usize = 64;
/// Clients that wait for their turn to have an answer read.
const READERS_MAX: usize = 1_024;
/// Answers that are being read, or wait for the place in which they are taken.
const READS_MAX: usize = 32;
/// Bytes of what most questions and answers are below.
const SMALL_BYTES_MAX: usize = 64 * 1_024;

const _: () = assert!(
    FOLLOWERS_MAX
        + SUBMISSIONS_MAX
        + SEEKS_MAX
        + PROOFS_MAX
        + READERS_MAX
        + 2 * SMALL_MAX
        + LARGE_QUESTIONS_MAX
        + LARGE_ANSWERS_MAX
        < UNDER_WAY_MAX
);

/// Where a client waits for itself or for the chain. That bounds memory, too: what is read and what waits to be taken is at most 0.96 GB at any moment
/// (2 × 1,024 of 64 KiB and 2 × 96 of 4.06 MiB), if all places are held by who sends the longest messages and takes nothing. What is read for 32 answers and 64 proofs (a block, its record and its events for each), the transport's windows, the events of the block that each follower reads, and blobs on their way from and to other nodes (256 and 32 MiB), come on top.
#[derive(Debug)]
struct Counters {
    followers: Places,
    submissions: Places,
    seeks: Places,
    small_questions: Places,
    small_answers: Places,
    large_questions: Places,
    large_answers: Places,
    proofs: Places,
    readers: Places,
    reads: Turns,
}

impl Default for Counters {
    fn default() -> Self {
        let over_soon = |max| Places::new(max, GivesWay::Oldest);
        Self {
            followers: Places::new(FOLLOWERS_MAX, GivesWay::Newest),
            submissions: over_soon(SUBMISSIONS_MAX),
            seeks: over_soon(SEEKS_MAX),
            small_questions: over_soon(SMALL_MAX),
            small_answers: over_soon(SMALL_MAX),
            large_questions: over_soon(LARGE_QUESTIONS_MAX),
            large_answers: over_soon(LARGE_ANSWERS_MAX),
            proofs: over_soon(PROOFS_MAX),
            readers: over_soon(READERS_MAX),
            reads: Turns::new(READS_MAX),
        }
    }
}

/// What answers clients of a node.
#[derive(Clone, Debug)]
pub struct Api {
    chain: ChainHandle,
    blobs: Arc<BlobStore>,
    counters: Arc<Counters>,
}

fn refused(code: &str, reason: &str) -> NodeReply {
    NodeReply::Refused(Refusal {
        code: BoundedText::truncating(code),
        reason: BoundedText::truncating(reason),
    })
}

fn not_found(what: &str) -> NodeReply {
    refused("not_found", &format!("there is no such {what}"))
}

fn broken(fault: &Fault) -> NodeReply {
    refused("fault", &fault.to_string())
}

impl Api {
    /// Answers from a chain and a blob store.
    #[must_use]
    pub fn new(chain: ChainHandle, blobs: Arc<BlobStore>) -> Self {
        Self {
            chain,
            blobs,
            counters: Arc::default(),
        }
    }

    /// Answers until the network is closed.
    pub async fn serve<S: FrameStream>(self, mut incoming: Incoming<S>) {
        let mut answering = FuturesUnordered::new();
        loop {
            if answering.len() >= UNDER_WAY_MAX {
                answering.next().await;
                continue;
            }
            // An empty set is always ready with nothing: then only the network can be waited for.
            if answering.is_empty() {
                let Some((peer, stream)) = incoming.next().await else {
                    return;
                };
                answering.push(self.clone().converse(peer, stream));
                continue;
            }
            select_biased! {
                next = incoming.next().fuse() => {
                    let Some((peer, stream)) = next else { return };
                    answering.push(self.clone().converse(peer, stream));
                }
                _ = answering.next() => {}
            }
        }
    }

    async fn converse<S: FrameStream>(self, peer: PeerId, mut stream: S) {
        let Some((frame, place)) = self.read(peer, &mut stream).await else {
            return;
        };
        let question = decode(&frame);
        // An answer may take its time.
        drop(frame);
        let question = match question {
            Ok(question) => question,
            Err(error) => {
                let answer = refused("malformed", &error.to_string());
                return self.say(peer, stream, answer, None).await;
            }
        };
        Box::pin(self.give_answer(peer, stream, question, place)).await;
    }

    /// Reads a question, and says in which place it is held if it is large; none of a client that takes too long for it while others come.
    async fn read<S: FrameStream>(
        &self,
        peer: PeerId,
        stream: &mut S,
    ) -> Option<(Vec<u8>, Option<Place>)> {
        let reading = Box::pin(read_request(stream, SMALL_BYTES_MAX, ANSWER_DEADLINE));
        let places = &self.counters.small_questions;
        match places.within(peer, reading).await? {
            Err(NetError::FrameTooLarge { found, .. }) if found <= MESSAGE_BYTES_MAX => {
                let reading = Box::pin(read_request(stream, MESSAGE_BYTES_MAX, ANSWER_DEADLINE));
                let mut place = self.counters.large_questions.take(peer)?;
                let read = place.keep_within(reading).await?.ok()?;
                Some((read, Some(place)))
            }
            read => Some((read.ok()?, None)),
        }
    }

    /// Answers a question, which is held in a place if it is large.
    async fn give_answer<S: FrameStream>(
        &self,
        peer: PeerId,
        mut stream: S,
        question: NodeRequest,
        place: Option<Place>,
    ) {
        let answer = match question {
            NodeRequest::Follow(follow) => return self.follow(peer, stream, follow.from).await,
            NodeRequest::GetBlob(get) => return self.give_blob(peer, stream, get.digest).await,
            // These wait for the chain or for other nodes.
            NodeRequest::Status(_) => Some(self.status().await),
            NodeRequest::Submit(submit) => {
                let bytes = submit.tx.into_vec();
                let submitting = Box::pin(self.submit(peer, bytes, place));
                while_there(&mut stream, submitting).await
            }
            NodeRequest::PutBlob(put) => {
                let putting = Box::pin(self.put_blob(put.bytes.into_vec(), place));
                while_there(&mut stream, putting).await.flatten()
            }
            NodeRequest::Proof(ask) => {
                let proving = Box::pin(self.prove(peer, ask.key.as_slice()));
                while_there(&mut stream, proving).await
            }
            question => {
                let reading = Box::pin(self.read_answer(question));
                return self.read_and_say(peer, stream, reading).await;
            }
        };
        if let Some(answer) = answer {
            self.say(peer, stream, answer, None).await;
        }
    }

    /// Reads an answer, which may be large, when it is the peer's turn, and gives it.
    async fn read_and_say<S: FrameStream>(
        &self,
        peer: PeerId,
        mut stream: S,
        reading: impl Future<Output = NodeReply> + Unpin,
    ) {
        if let Some((answer, turn)) = self.read_in_turn(peer, &mut stream, reading).await {
            self.say(peer, stream, answer, Some(turn)).await;
        }
    }

    /// Reads what an answer needs when it is the peer's turn; nothing if its client is gone, or waited while too many others came.
    async fn read_in_turn<S: FrameStream, T>(
        &self,
        peer: PeerId,
        stream: &mut S,
        reading: impl Future<Output = T> + Unpin,
    ) -> Option<(T, Turn)> {
        let in_turn = Box::pin(async {
            let turn = self.counters.reads.take(peer).await;
            (reading.await, turn)
        });
        let waiting = Box::pin(self.counters.readers.within(peer, in_turn));
        while_there(stream, waiting).await.flatten()
    }

    /// Gives an answer; not to a client that takes too long for it while others come. The turn in which it was read ends when it has its place.
    async fn say<S: FrameStream>(
        &self,
        peer: PeerId,
        stream: S,
        answer: NodeReply,
        turn: Option<Turn>,
    ) {
        let places = if answer.encode_size() <= SMALL_BYTES_MAX {
            &self.counters.small_answers
        } else {
            &self.counters.large_answers
        };
        let handing_over = Box::pin(async {
            let bytes = answer.encode();
            drop((answer, turn));
            hand_over(stream, &bytes).await;
        });
        if places.within(peer, handing_over).await.is_none() {
            tracing::debug!(%peer, "a client was too slow to take its answer");
        }
    }

    async fn read_answer(&self, question: NodeRequest) -> NodeReply {
        match question {
            NodeRequest::Genesis(_) => NodeReply::Genesis(Boxed::new(self.chain.genesis().clone())),
            NodeRequest::Account(ask) => {
                let account = self.chain.read(|state| report::account(state, ask.address));
                account.map_or_else(|fault| broken(&fault), NodeReply::Account)
            }
            NodeRequest::Offers(ask) => {
                let offers = self
                    .chain
                    .read(|state| report::offers(state, ask.kind, ask.from));
                offers.map_or_else(|fault| broken(&fault), NodeReply::Offers)
            }
            NodeRequest::Order(ask) => {
                match self.chain.read(|state| report::order(state, ask.order)) {
                    Ok(Some(order)) => NodeReply::Order(order),
                    Ok(None) => not_found("open order"),
                    Err(fault) => broken(&fault),
                }
            }
            NodeRequest::Proposal(ask) => {
                let found = self
                    .chain
                    .read(|state| governance::proposal_report(state, ask.proposal));
                match found {
                    Ok(Some(proposal)) => NodeReply::Proposal(Boxed::new(proposal)),
                    Ok(None) => not_found("proposal, or it is long over"),
                    Err(fault) => broken(&fault),
                }
            }
            NodeRequest::Proposals(ask) => {
                let page = self
                    .chain
                    .read(|state| governance::proposals(state, ask.from));
                page.map_or_else(|fault| broken(&fault), NodeReply::Proposals)
            }
            NodeRequest::Governance(_) => {
                let report = self
                    .chain
                    .read(|state| governance::report(state, self.chain.plans()));
                report.map_or_else(
                    |fault| broken(&fault),
                    |report| NodeReply::Governance(Boxed::new(report)),
                )
            }
            NodeRequest::Services(_) => self.services(),
            NodeRequest::Validators(_) => self.validators(),
            NodeRequest::Candidates(_) => self.candidates(),
            NodeRequest::Delegations(ask) => self.delegations(ask.delegator),
            NodeRequest::Block(ask) => self.block(ask.height).await,
            NodeRequest::Body(ask) => match self.chain.finalised(ask.height).await {
                Ok(Some(found)) => NodeReply::Body(Boxed::new(found.block)),
                Ok(None) => not_found("final block"),
                Err(error) => refused(error.code(), &error.to_string()),
            },
            NodeRequest::Outcomes(ask) => match self.chain.finalised(ask.height).await {
                Ok(Some(found)) => NodeReply::Outcomes(outcome_page(&found, ask.first)),
                Ok(None) => not_found("final block"),
                Err(error) => refused(error.code(), &error.to_string()),
            },
            NodeRequest::Duties(ask) => {
                // The tip first: a match in between is then read as an event.
                let tip = self.chain.tip().height;
                let since = self
                    .chain
                    .read(|state| report::duty_since(state, ask.account));
                since.map_or_else(
                    |fault| broken(&fault),
                    |since| NodeReply::Duties(Duties { tip, since }),
                )
            }
            NodeRequest::State(ask) => self.state_part(ask).await,
            // Handled by `give_answer`.
            NodeRequest::Status(_)
            | NodeRequest::Submit(_)
            | NodeRequest::PutBlob(_)
            | NodeRequest::GetBlob(_)
            | NodeRequest::Proof(_)
            | NodeRequest::Follow(_) => refused("malformed", "this is not answered by reading"),
        }
    }

    async fn prove(&self, peer: PeerId, key: &[u8]) -> NodeReply {
        let proving = Box::pin(self.chain.prove(key));
        match self.counters.proofs.within(peer, proving).await {
            Some(Ok(proof)) => NodeReply::Proof(Boxed::new(proof)),
            Some(Err(error)) => refused(error.code(), &error.to_string()),
            None => refused(
                "busy",
                "too many clients wait for proofs of this node; try again",
            ),
        }
    }

    fn services(&self) -> NodeReply {
        // The tip first: an entry that was decided in between is then only more.
        let tip = self.chain.tip().height;
        let catalogue = self.chain.read(|state| catalogue::report(state, tip));
        catalogue.map_or_else(
            |fault| broken(&fault),
            |catalogue| NodeReply::Services(Boxed::new(catalogue)),
        )
    }

    fn candidates(&self) -> NodeReply {
        let report = self.chain.read(candidates::report);
        report.map_or_else(
            |fault| broken(&fault),
            |report| NodeReply::Candidates(Boxed::new(report)),
        )
    }

    fn delegations(&self, delegator: Address) -> NodeReply {
        let known = self
            .chain
            .read(|state| candidates::delegations(state, delegator));
        known.map_or_else(
            |fault| broken(&fault),
            |known| NodeReply::Delegations(Boxed::new(known)),
        )
    }

    fn validators(&self) -> NodeReply {
        let genesis = self.chain.genesis();
        let known = self.chain.read(|state| validators::report(state, genesis));
        let known = match known {
            Ok(known) => known,
            Err(fault) => return broken(&fault),
        };
        let is_open = |identity: &[u8; 32]| {
            let mut open = known.iter().filter(|validator| !validator.tombstoned);
            open.any(|validator| validator.identity == *identity)
        };
        let found = self.chain.double_votes().into_iter();
        let evidence = found.filter(|evidence| is_open(&evidence.validator));
        NodeReply::Validators(Boxed::new(ValidatorsReport {
            evidence: BoundedVec::truncating(evidence),
            validators: BoundedVec::truncating(known.iter().copied()),
        }))
    }

    /// Submits a transaction; if it is large, it holds its place until the pool has it, which is as long as this node takes.
    async fn submit(&self, peer: PeerId, bytes: Vec<u8>, place: Option<Place>) -> NodeReply {
        let tx = SignedTx::decode_bounded(&bytes);
        drop(bytes);
        let tx = match tx {
            Ok(tx) => tx,
            Err(error) => {
                let error = SubmitError::Form(error);
                return refused(error.code(), &error.to_string());
            }
        };
        let digest = tx.digest();
        // Offered again after a lost reply: answer with what became of it.
        match self.chain.outcome(digest).await {
            Ok(Some(included)) => {
                return NodeReply::Included(Included {
                    height: included.height,
                    outcome: included.outcome,
                });
            }
            Ok(None) => {}
            Err(error) => return refused(error.code(), &error.to_string()),
        }
        if let Err(error) = self.chain.offer(tx).await {
            return refused(error.code(), &error.to_string());
        }
        // The pool holds it from here on, within its own bounds.
        drop(place);
        let waiting = Box::pin(self.chain.wait_outcome(digest));
        let waited = self.counters.submissions.within(peer, waiting).await;
        let Some(outcome) = waited else {
            return refused(
                WAITING,
                "the transaction is in the pool and may get into a block; too many clients wait with it for this node to say when: whoever sends the same bytes again hears what became of it",
            );
        };
        match outcome {
            Ok(included) => NodeReply::Included(Included {
                height: included.height,
                outcome: included.outcome,
            }),
            Err(error @ WaitError::Dropped { .. }) => refused("dropped", &error.to_string()),
            Err(WaitError::Read(error)) => refused(error.code(), &error.to_string()),
        }
    }

    async fn status(&self) -> NodeReply {
        let header = self.chain.header();
        // Its effects are shown a moment before the block can be asked for.
        if let Err(error) = self.chain.wait_height(header.height).await {
            return refused(error.code(), &error.to_string());
        }
        if header.height == Height(0) {
            return refused(
                "not_ready",
                "the chain has no block yet; ask again in a second",
            );
        }
        let read = self.chain.read(|state| {
            let seats = candidates::seats(state)?.len();
            let secured = secured::report(state)?;
            let audit = audit::report(state)?;
            let rules = upgrades::report(state, self.chain.plans())?;
            Ok::<_, Fault>((report::counts(state)?, secured, (audit, rules), seats))
        });
        let ((counts, secured, (audit, rules), seats), supply) = match (read, self.chain.supply()) {
            (Ok(read), Ok(supply)) => (read, supply),
            (Err(fault), _) | (_, Err(fault)) => return broken(&fault),
        };
        let genesis = self.chain.genesis();
        NodeReply::Status(Boxed::new(Status {
            header,
            genesis: genesis.digest(),
            validators: u16::try_from(seats).unwrap_or(u16::MAX),
            offers: counts.0,
            verifiers: counts.1,
            open_orders: counts.2,
            mempool: u32::try_from(self.chain.waiting()).unwrap_or(u32::MAX),
            supply,
            secured,
            audit,
            rules,
            version: BoundedText::truncating(env!("CARGO_PKG_VERSION")),
        }))
    }

    async fn block(&self, height: Height) -> NodeReply {
        let found = match self.chain.finalised(height).await {
            Ok(Some(found)) => found,
            Ok(None) => return not_found("final block"),
            Err(error) => return refused(error.code(), &error.to_string()),
        };
        let leaves = found
            .events
            .iter()
            .map(|event| merkle::leaf(&event.encode()))
            .collect();
        let parts = (
            BoundedVec::new(leaves),
            BoundedVec::new(found.descendants),
            BoundedBytes::new(found.certificate),
        );
        let (Ok(event_leaves), Ok(descendants), Ok(certificate)) = parts else {
            return refused("too_long", "the block's proof exceeds a message");
        };
        NodeReply::Block(Boxed::new(BlockReport {
            header: found.block.header,
            descendants,
            certificate,
            event_leaves,
        }))
    }

    async fn state_part(&self, ask: AskState) -> NodeReply {
        match self.chain.state_part(ask).await.map(BoundedBytes::new) {
            Ok(Ok(bytes)) => NodeReply::State(StatePart { bytes }),
            Ok(Err(error)) => refused("too_long", &error.to_string()),
            Err(error) => refused(error.code(), &error.to_string()),
        }
    }

    async fn follow<S: FrameStream>(&self, peer: PeerId, stream: S, from: Height) {
        let place = self.counters.followers.take(peer);
        let Some(place) = place else {
            let answer = refused(
                "busy",
                "this node has as many followers as it takes; ask again later",
            );
            return self.say(peer, stream, answer, None).await;
        };
        // Whoever loses its place can come back, and follow from the height that it has seen.
        place.within(Box::pin(self.send_pages(stream, from))).await;
    }

    async fn send_pages<S: FrameStream>(&self, mut stream: S, from: Height) {
        let mut blocks = self.chain.subscribe(from);
        loop {
            let block = match while_there(&mut stream, Box::pin(blocks.next())).await {
                None => return,
                Some(Ok(block)) => block,
                Some(Err(error)) => {
                    tracing::debug!(%error, "a follower is let go");
                    let answer = refused(error.code(), &error.to_string());
                    // It may be gone, too. Else it must have read why before the stream is closed.
                    let _ = reply(stream, &answer.encode(), ANSWER_DEADLINE).await;
                    return;
                }
            };
            // The rest of the block is let go while the follower reads.
            let FinalisedBlock { block, events, .. } = block;
            let place = (block.header.height, block.header.time);
            drop(block);
            for page in pages_of(place, &events) {
                // A follower that does not read is let go; it can come back from the height it has seen.
                if stream
                    .send(&NodeReply::Events(page).encode(), ANSWER_DEADLINE)
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Does something for a client, as long as it has not given its stream up.
async fn while_there<S: FrameStream, T>(
    stream: &mut S,
    doing: impl Future<Output = T> + Unpin,
) -> Option<T> {
    let mut doing = doing.fuse();
    let mut gone = pin!(stream.gone().fuse());
    select_biased! {
        done = doing => Some(done),
        () = gone => None,
    }
}

/// Hands an answer over to a client that may have gone.
async fn hand_over<S: FrameStream>(stream: S, answer: &[u8]) {
    if let Err(error) = reply(stream, answer, ANSWER_DEADLINE).await {
        // A client that is gone needs no answer.
        tracing::debug!(%error, "a client did not take its answer");
    }
}

/// What became of a block's transactions from a position on.
fn outcome_page(block: &FinalisedBlock, first: u32) -> OutcomePage {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let left = block.outcomes.get(first..).unwrap_or_default();
    OutcomePage {
        outcomes: BoundedVec::truncating(left.iter().cloned()),
        more: left.len() > OUTCOME_PAGE_MAX,
    }
}

/// The events of a block, with its height and time, in pages; a block without events is one empty page, so that followers see that the chain
/// lives.
fn pages_of(
    (height, time): (Height, Millis),
    events: &[fairweir_types::Event],
) -> impl Iterator<Item = EventPage> {
    let starts = (0..events.len().max(1)).step_by(EVENT_PAGE_MAX);
    starts.map(move |first| {
        let left = events.get(first..).unwrap_or_default();
        EventPage {
            height,
            time,
            first: u32::try_from(first).unwrap_or(u32::MAX),
            more: left.len() > EVENT_PAGE_MAX,
            events: BoundedVec::truncating(left.iter().cloned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_net::quic::QuicStream;

    #[test]
    fn a_question_under_way_is_small() {
        fn of_three<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        fn of_five<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        let outer = of_three(Api::converse::<QuicStream>);
        let inner = of_five(Api::give_answer::<QuicStream>);
        assert!(outer + inner <= 8_192, "{outer} and {inner} bytes");
    }
}
