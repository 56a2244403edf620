//! Nodes that lie to who follows them or copies their state: each asks honest ones, and changes what they say.

use super::joiner::Lie;
use commonware_codec::Encode as _;
use commonware_runtime::deterministic::Context;
use fairweir_client::{
    NodeClient,
    protocol::{ANSWER_DEADLINE, MESSAGE_BYTES_MAX, NODE},
};
use fairweir_net::{
    FrameStream, Incoming, PeerAddr,
    memory::{MemoryNetwork, MemoryStream},
    read_request, reply, request,
};
use fairweir_types::{
    Block, BlockHeader, BoundedBytes, BoundedText, BoundedVec, Boxed, Digest, Event, Height,
    decode,
    limits::STATE_OPERATIONS_MAX,
    node_api::{
        AskBlock, AskBody, AskState, BlockReport, EventPage, Follow, NodeReply, NodeRequest,
        Refusal, StatePart, Status,
    },
};
use futures::{FutureExt as _, StreamExt as _, select_biased, stream::FuturesUnordered};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How far above its newest block one is that never was.
const FAR: u64 = 1 << 40;
/// Where the proof of a part has a byte that counts: behind the tag and the number of leaves.
const IN_A_PROOF: usize = 12;

/// A node that lies in one way.
#[derive(Clone)]
pub(super) struct FalseNode {
    pub(super) network: MemoryNetwork<Context>,
    /// Whom it asks.
    pub(super) honest: Vec<PeerAddr>,
    pub(super) lie: Lie,
    /// How often this and others lied.
    pub(super) told: Arc<AtomicU64>,
    /// The block that it shows as its newest.
    pub(super) newest: Arc<AtomicU64>,
}

/// What it says.
enum Says {
    Bytes(Vec<u8>),
    Nothing,
}

impl Says {
    fn reply(reply: &NodeReply) -> Self {
        Self::Bytes(reply.encode().to_vec())
    }

    fn noise() -> Self {
        Self::Bytes(noise())
    }
}

fn noise() -> Vec<u8> {
    vec![7; 500]
}

impl FalseNode {
    /// Answers until its network is closed.
    pub(super) async fn serve(self, mut incoming: Incoming<MemoryStream<Context>>) {
        let mut answering = FuturesUnordered::new();
        loop {
            if answering.is_empty() {
                let Some((_, stream)) = incoming.next().await else {
                    return;
                };
                answering.push(self.clone().converse(stream));
                continue;
            }
            select_biased! {
                next = incoming.next().fuse() => {
                    let Some((_, stream)) = next else { return };
                    answering.push(self.clone().converse(stream));
                }
                _ = answering.next() => {}
            }
        }
    }

    /// A lie more. How many there were.
    fn count(&self) -> u64 {
        self.told.fetch_add(1, Ordering::Relaxed)
    }

    async fn converse(self, mut stream: MemoryStream<Context>) -> Option<()> {
        let read = read_request(&mut stream, MESSAGE_BYTES_MAX, ANSWER_DEADLINE).await;
        let question: NodeRequest = decode(&read.ok()?).ok()?;
        if let NodeRequest::Follow(follow) = question {
            return Box::pin(self.follow(stream, follow)).await;
        }
        let bytes = match Box::pin(self.answer(question)).await? {
            Says::Bytes(bytes) => bytes,
            Says::Nothing => {
                stream.gone().await;
                return None;
            }
        };
        reply(stream, &bytes, ANSWER_DEADLINE).await.ok()
    }

    /// What the first honest node says that is there.
    async fn ask(&self, question: &NodeRequest) -> Option<NodeReply> {
        let frame = question.encode();
        for node in &self.honest {
            let network = &self.network;
            let limits = (MESSAGE_BYTES_MAX, ANSWER_DEADLINE);
            let asked = request(network, node, NODE, &frame, limits.0, limits.1).await;
            if let Ok(Ok(answer)) = asked.map(|answer| decode(&answer)) {
                return Some(answer);
            }
        }
        None
    }

    async fn answer(&self, question: NodeRequest) -> Option<Says> {
        let answer = match (self.lie, question) {
            (
                Lie::Noise | Lie::Silent,
                question @ (NodeRequest::State(_) | NodeRequest::Body(_)),
            ) => {
                return self.no_answer(question).await;
            }
            (lie, NodeRequest::State(ask)) => self.part(lie, ask).await?,
            (lie, question) => {
                let answer = self.ask(&question).await?;
                match (lie, answer) {
                    (Lie::Old | Lie::Future, NodeReply::Status(status)) => {
                        NodeReply::Status(Boxed::new(self.status((*status).clone()).await))
                    }
                    (Lie::Header | Lie::Certificate, NodeReply::Block(block)) => {
                        NodeReply::Block(Boxed::new(self.block((*block).clone()).await))
                    }
                    (Lie::Header | Lie::Body, NodeReply::Body(body)) => {
                        NodeReply::Body(Boxed::new(self.body((*body).clone())))
                    }
                    (_, answer) => answer,
                }
            }
        };
        Some(Says::reply(&answer))
    }

    /// Nothing, or what is no answer: bytes that are no word, or in every second one a part that is none.
    async fn no_answer(&self, question: NodeRequest) -> Option<Says> {
        let count = self.count();
        if self.lie == Lie::Silent {
            return Some(Says::Nothing);
        }
        if matches!(question, NodeRequest::State(_)) && count.is_multiple_of(2) {
            return Some(Says::reply(&part_of(noise())?));
        }
        Some(Says::noise())
    }

    /// A part of a state as it is not, or of another one.
    async fn part(&self, lie: Lie, ask: AskState) -> Option<NodeReply> {
        let other = match lie {
            // Few are no lie; then fewer are missing than one answer may have.
            Lie::TooMany if ask.max == STATE_OPERATIONS_MAX => {
                return self
                    .ask(&NodeRequest::State(AskState { max: 10, ..ask }))
                    .await;
            }
            Lie::TooMany if !ask.is_boundary => AskState {
                max: STATE_OPERATIONS_MAX,
                ..ask
            },
            Lie::Elsewhere => AskState {
                start: ask.start.checked_sub(1).unwrap_or(1),
                ..ask
            },
            Lie::OtherState => AskState {
                size: self.other_size(ask.size).await?,
                ..ask
            },
            _ => ask,
        };
        let refused = match lie {
            Lie::Gone => Some("state_gone"),
            Lie::Busy => Some("busy"),
            _ => None,
        };
        if let Some(code) = refused {
            self.count();
            return Some(NodeReply::Refused(Refusal {
                code: BoundedText::truncating(code),
                reason: BoundedText::truncating("come another time"),
            }));
        }
        let answer = self.ask(&NodeRequest::State(other)).await?;
        let NodeReply::State(part) = answer else {
            return Some(answer);
        };
        let mut bytes = part.bytes.into_vec();
        let place = match lie {
            Lie::Record => bytes.len().checked_sub(1),
            Lie::Proof => Some(IN_A_PROOF),
            _ => None,
        };
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
            *byte ^= 1;
            self.count();
        }
        if lie == Lie::Cut {
            bytes.pop();
            self.count();
        }
        if other != ask {
            self.count();
        }
        part_of(bytes)
    }

    /// The size of the log after another block than the one that it had this size after.
    async fn other_size(&self, size: u64) -> Option<u64> {
        let newest = self.honest_status().await?.header;
        if newest.state_range_end != size {
            return Some(newest.state_range_end);
        }
        let height = newest.height.get().checked_sub(1)?;
        Some(
            self.honest_body(Height(height))
                .await?
                .header
                .state_range_end,
        )
    }

    async fn honest_status(&self) -> Option<Status> {
        let ask = NodeRequest::Status(fairweir_types::node_api::AskStatus {});
        match self.ask(&ask).await? {
            NodeReply::Status(status) => Some((*status).clone()),
            _ => None,
        }
    }

    async fn honest_body(&self, height: Height) -> Option<Block> {
        match self.ask(&NodeRequest::Body(AskBody { height })).await? {
            NodeReply::Body(body) => Some((*body).clone()),
            _ => None,
        }
    }

    /// A newest block that is an old one, or none.
    async fn status(&self, mut status: Status) -> Status {
        let newest = status.header.height.get();
        if self.lie == Lie::Future {
            self.count();
            status.header.height = Height(newest.saturating_add(FAR));
        } else if let Some(old) = self.honest_body(Height((newest / 2).max(1))).await {
            self.count();
            let height = old.header.height.get();
            self.newest.store(height, Ordering::Relaxed);
            status.header = old.header;
        }
        status
    }

    async fn block(&self, mut block: BlockReport) -> BlockReport {
        if self.lie == Lie::Header {
            self.count();
            spoil(&mut block.header);
            return block;
        }
        let height = block.header.height.get();
        let height = Height(
            height
                .checked_sub(1)
                .filter(|other| *other > 0)
                .unwrap_or(2),
        );
        let other = self.ask(&NodeRequest::Block(AskBlock { height })).await;
        if let Some(NodeReply::Block(other)) = other
            && other.certificate != block.certificate
        {
            self.count();
            block.certificate = other.certificate.clone();
        }
        block
    }

    fn body(&self, mut body: Block) -> Block {
        self.count();
        if self.lie == Lie::Header {
            spoil(&mut body.header);
        } else if body.transactions.is_empty() {
            body.header.time.0 = body.header.time.get().wrapping_add(1);
        } else {
            body.transactions = BoundedVec::default();
        }
        body
    }

    /// Passes events on, without those of blocks that it keeps back.
    async fn follow(
        self,
        mut stream: MemoryStream<Context>,
        Follow { from }: Follow,
    ) -> Option<()> {
        for node in &self.honest {
            let client = NodeClient::new(self.network.clone(), node.clone());
            let Ok(mut pages) = client.follow(from).await else {
                continue;
            };
            loop {
                let page = {
                    let next = pages.next().fuse();
                    let gone = stream.gone().fuse();
                    futures::pin_mut!(next, gone);
                    select_biased! {
                        page = next => page.ok()?,
                        () = gone => return None,
                    }
                };
                if self.lie == Lie::Old && page.height.get() > self.newest.load(Ordering::Relaxed) {
                    self.count();
                    stream.gone().await;
                    return None;
                }
                let page = NodeReply::Events(self.page(page)).encode();
                stream.send(&page, ANSWER_DEADLINE).await.ok()?;
            }
        }
        None
    }

    /// Events as they did not happen.
    fn page(&self, mut page: EventPage) -> EventPage {
        if self.lie != Lie::Seats {
            return page;
        }
        for event in page.events.as_mut_slice() {
            let Event::EpochBegan(began) = event else {
                continue;
            };
            let mut other = (**began).clone();
            // The seats were always theirs, or are theirs from now on.
            let always = other.since > 0 && self.told.load(Ordering::Relaxed).is_multiple_of(2);
            let since = if always { 0 } else { other.epoch };
            if other.since != since {
                self.count();
                other.since = since;
                *began = Boxed::new(other);
            }
        }
        page
    }
}

fn part_of(bytes: Vec<u8>) -> Option<NodeReply> {
    let bytes = BoundedBytes::new(bytes).ok()?;
    Some(NodeReply::State(StatePart { bytes }))
}

fn spoil(header: &mut BlockHeader) {
    header.state_ops_root = Digest([0xab; 32]);
}
