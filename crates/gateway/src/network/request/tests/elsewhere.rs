//! Requests that go on elsewhere.

use super::*;
use crate::market::ChatEvent;
use fairweir_services::inference::{
    ModelId,
    chat::{Finish, Parameters, Prompt},
};
use fairweir_types::{
    Receipt, SignedReceipt,
    node_api::DeskRequest,
    receipt::{Disclosure, Stopped, output_commitment, trace},
    session::{Leaf, batch_slot},
    sum_tree::SumTree,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

/// The right answer: token `n` is the text `n `.
const ANSWER: [u32; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// What a worker does.
#[derive(Clone, Debug)]
enum Word {
    /// It gives these tokens.
    Give(Vec<u32>),
    Wait(Duration),
    /// It goes on, from what it gave, to the end of the answer, and signs it.
    End,
    /// It signs an answer of these tokens.
    Sign(Vec<u32>),
    /// It signs that there is no answer.
    Refuse,
    /// It signs an answer of these tokens, and charges them all as output.
    Charge(Vec<u32>),
    /// Its connection breaks.
    Break,
}

/// One machine, with a worker that does the same for everybody.
#[derive(Debug)]
struct Machine {
    key: SecretKey,
    script: Vec<Word>,
    asked: Mutex<Vec<Ask>>,
    stopped: Mutex<Option<SignedStop>>,
}

#[derive(Clone, Debug, Default)]
struct Machines(Arc<BTreeMap<PeerId, Machine>>);

#[derive(Debug)]
struct Stream {
    machines: Machines,
    peer: PeerId,
    ask: Option<Box<Ask>>,
    script: VecDeque<Word>,
    given: Vec<u32>,
}

impl Network for Machines {
    type Stream = Stream;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(&self, peer: &PeerAddr, _: Protocol, _: Duration) -> Result<Stream, NetError> {
        let peer = peer.id();
        let machine = self.0.get(&peer).ok_or(NetError::Closed)?;
        Ok(Stream {
            machines: self.clone(),
            peer,
            ask: None,
            script: machine.script.iter().cloned().collect(),
            given: Vec::new(),
        })
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Stream>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

fn text(tokens: &[u32]) -> String {
    tokens.iter().map(|token| format!("{token} ")).collect()
}

fn part(tokens: &[u32]) -> ChatChunk {
    ChatChunk {
        tokens: BoundedVec::new(tokens.to_vec()).unwrap(),
        text: Passage::new(text(tokens)).unwrap(),
        likelihoods: BoundedVec::default(),
    }
}

fn output(tokens: &[u32]) -> Vec<u8> {
    let output = ChatOutput {
        prompt_tokens: 1,
        tokens: BoundedVec::new(tokens.to_vec()).unwrap(),
        text: Passage::new(text(tokens)).unwrap(),
        finish: Finish::Stop,
        computation: Digest::ZERO,
        likelihoods: BoundedVec::default(),
        prompt_likelihoods: BoundedVec::default(),
    };
    output.encode().to_vec()
}

impl Stream {
    fn machine(&self) -> &Machine {
        &self.machines.0[&self.peer]
    }

    fn give(&mut self, tokens: &[u32]) -> DeliveryReply {
        self.given.extend(tokens);
        let bytes = BoundedBytes::new(part(tokens).encode().to_vec()).unwrap();
        DeliveryReply::Chunk(OutputChunk { bytes })
    }

    fn delivery(&self, tokens: &[u32], stop: Option<SignedStop>) -> DeliveryReply {
        let spec: ChatSpec = decode(self.ask.as_ref().unwrap().spec.as_slice()).unwrap();
        self.signed(output(tokens), spec.units(1, tokens), stop)
    }

    fn signed(
        &self,
        output: Vec<u8>,
        units: UnitVector,
        stop: Option<SignedStop>,
    ) -> DeliveryReply {
        let request = &self.ask.as_ref().unwrap().request;
        let spec_digest = request.request.spec_digest;
        let traced = trace(&spec_digest, &Digest::of_blob(&output), &units);
        let (salt, slot_id) = ([1; 32], request.slot_id());
        let me = self.machine().key.address();
        let disclosure = Disclosure {
            stopped: stop.map(|stop| Stopped {
                at: units.output,
                stop,
            }),
            hint: BoundedBytes::default(),
        };
        let receipt = Receipt {
            chain_id: request.request.chain_id.clone(),
            slot_id,
            attempt: 0,
            kind: request.request.kind,
            version: 1,
            spec_digest,
            units,
            disclosure: disclosure.to_blob().1,
            output_commitment: output_commitment(me, &slot_id, 0, &salt, &traced),
        };
        let delivery = Delivery {
            receipt: SignedReceipt::sign(receipt, &self.machine().key),
            salt,
            output: BoundedBytes::new(output).unwrap(),
            disclosure,
        };
        DeliveryReply::Delivered(fairweir_types::Boxed::new(delivery))
    }

    async fn say(&mut self) -> Result<DeliveryReply, NetError> {
        loop {
            let stop = self.machine().stopped.lock().unwrap().clone();
            if let Some(stop) = stop {
                let at = usize::try_from(stop.stop.output_max.get()).unwrap();
                let tokens = self.given[..at].to_vec();
                return Ok(self.delivery(&tokens, Some(stop)));
            }
            match self.script.pop_front() {
                Some(Word::Give(tokens)) => return Ok(self.give(&tokens)),
                // A bit at a time: a stop may come meanwhile, and whoever asks may ask again.
                Some(Word::Wait(left)) => {
                    let bit = left.min(Duration::from_millis(100));
                    if left > bit {
                        self.script.push_front(Word::Wait(left - bit));
                    }
                    sleep(bit).await;
                }
                Some(Word::End) if self.given == ANSWER => {
                    return Ok(self.delivery(&ANSWER, None));
                }
                Some(Word::End) => {
                    self.script.push_front(Word::End);
                    let next = ANSWER[self.given.len()];
                    return Ok(self.give(&[next]));
                }
                Some(Word::Sign(tokens)) => return Ok(self.delivery(&tokens, None)),
                Some(Word::Refuse) => {
                    return Ok(self.signed(Vec::new(), UnitVector::default(), None));
                }
                Some(Word::Charge(tokens)) => {
                    let units = UnitVector {
                        input: Units(1),
                        output: Units(tokens.len() as u64),
                        ..UnitVector::default()
                    };
                    return Ok(self.signed(output(&tokens), units, None));
                }
                Some(Word::Break) | None => return Err(NetError::Closed),
            }
        }
    }
}

impl FrameStream for Stream {
    async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
        let machine = &self.machines.0[&self.peer];
        match decode(frame).unwrap() {
            DeskRequest::Ask(ask) => {
                machine.asked.lock().unwrap().push((*ask).clone());
                self.ask = Some(Box::new((*ask).clone()));
            }
            DeskRequest::Stop(stop) => *machine.stopped.lock().unwrap() = Some((*stop).clone()),
            _ => {}
        }
        Ok(())
    }

    async fn recv(&mut self, _: usize, deadline: Duration) -> Result<Option<Vec<u8>>, NetError> {
        let reply = if self.ask.is_some() {
            let late = NetError::DeadlinePassed {
                operation: Operation::Receive,
            };
            timeout(deadline, self.say()).await.map_err(|_| late)??
        } else {
            DeliveryReply::Stopping(SlotId {
                order: OrderId(Digest::ZERO),
                slot: 0,
            })
        };
        Ok(Some(reply.encode().to_vec()))
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

/// What came of a request on workers that do this.
struct Outcome {
    machines: Vec<Machine>,
    lanes: Vec<Arc<OpenLane>>,
    /// What the client has at the end.
    given: Vec<u32>,
    revoked: usize,
    done: Result<ChatOutput, MarketError>,
    /// The slot under which the client can ask for its receipt from the beginning.
    told: Option<SlotId>,
    /// That under which the answer was made.
    made_under: Option<SlotId>,
    parts: Vec<Part>,
    cost: Option<Amount>,
    took: Duration,
    receipts: Arc<Receipts>,
}

impl Outcome {
    /// The draft that a worker was asked with last.
    fn draft(&self, worker: usize) -> Vec<u32> {
        let asked = self.machines[worker].asked.lock().unwrap();
        let spec: ChatSpec = decode(asked.last().unwrap().spec.as_slice()).unwrap();
        spec.draft().to_vec()
    }

    fn asked(&self, worker: usize) -> usize {
        self.machines[worker].asked.lock().unwrap().len()
    }

    fn is_given_up(&self, worker: usize) -> bool {
        self.lanes[worker].ready_at(Instant::now()).is_none()
    }

    /// Whether what a worker gave can be proved: a claim of something else for its first request is noticed.
    fn is_proved(&self, worker: usize) -> bool {
        let other = Leaf {
            index: 0,
            amount: Amount::ZERO,
            receipt: Digest::ZERO,
        };
        let tree = SumTree::new(vec![other.node()]).unwrap();
        let lane = self.lanes[worker].opened.slot_id;
        let batch = batch_slot(&lane, 0);
        self.receipts
            .locate((batch, &lane), &[other], &tree)
            .is_err()
    }

    /// The receipt that is had under a slot, by the slot that it names.
    fn receipt_under(&self, slot_id: Option<SlotId>) -> Option<SlotId> {
        let delivery = self.receipts.delivery(&slot_id?)?;
        Some(delivery.receipt.receipt.slot_id)
    }

    /// The whole answer came, and the client has nothing but it.
    fn check(&self) {
        assert_eq!(
            self.done.as_ref().map(|output| output.tokens.as_slice()),
            Ok(&ANSWER[..])
        );
        assert_eq!(self.given, ANSWER);
        // What the client was told first is its receipt, or that of a part which it pays.
        let is_part = self
            .parts
            .iter()
            .any(|part| Some(part.slot_id) == self.told);
        let expected = if is_part { self.told } else { self.made_under };
        assert_eq!(self.receipt_under(self.told), expected);
    }
}

async fn outcome(scripts: &[&[Word]]) -> Outcome {
    let machine_of = |number: usize| {
        let number = u8::try_from(number).unwrap() + 1;
        let key = SecretKey::from_seed([number; 32]).unwrap();
        (PeerId::new([number; 32]), key)
    };
    let machines = scripts.iter().enumerate().map(|(number, script)| {
        let (id, key) = machine_of(number);
        let machine = Machine {
            key,
            script: script.to_vec(),
            asked: Mutex::default(),
            stopped: Mutex::default(),
        };
        (id, machine)
    });
    let network = Machines(Arc::new(machines.collect()));
    let shared = shared(&network);
    let mut lanes = Vec::new();
    for (number, (id, machine)) in network.0.iter().enumerate() {
        let slot = u16::try_from(number).unwrap();
        let endpoint = PeerAddr::new(*id, Vec::new()).unwrap();
        let lane = lane_of(slot, machine.key.address(), endpoint);
        let trade = Trade {
            kind: Chat::ID,
            capability: Name::new("model").unwrap(),
        };
        shared.lanes.put(trade, Arc::clone(&lane));
        lanes.push(lane);
    }
    let prompt = Prompt::Tokens(BoundedVec::new(vec![9]).unwrap());
    let model = ModelId(Digest::ZERO);
    let spec = ChatSpec::new(model, prompt, Parameters::greedy(16), [0; 32]).unwrap();
    let work = Work {
        kind: Chat::ID,
        demand: Chat::demand(&spec).unwrap(),
        spec: spec.encode().to_vec(),
        capability: Name::new("model").unwrap(),
        key: "key".to_owned(),
    };
    let (sender, mut events) = tokio::sync::mpsc::channel(64);
    let (begun, mut purchase) = oneshot::channel();
    let (cost, mut told) = oneshot::channel();
    let receipts = Arc::clone(&shared.receipts);
    let since = Instant::now();
    let request = Request::new(shared, work, Outlet::Chat(sender), begun, cost);
    request.run().await;
    let took = since.elapsed();
    let (mut given, mut revoked, mut done) = (Vec::new(), 0, Err(MarketError::Closed));
    let (mut made_under, mut parts) = (None, Vec::new());
    while let Some(event) = events.recv().await {
        match event {
            ChatEvent::Chunk(part) => {
                assert_eq!(part.text.as_str(), text(part.tokens.as_slice()));
                given.extend(part.tokens.into_vec());
            }
            ChatEvent::Revoked => {
                revoked += 1;
                given.clear();
            }
            ChatEvent::Done(whole) => {
                (made_under, parts) = (Some(whole.slot_id), whole.parts);
                done = Ok(whole.output);
            }
            ChatEvent::Failed(error) => done = Err(error),
        }
    }
    let machines = Arc::try_unwrap(network.0).unwrap_or_default();
    Outcome {
        machines: machines.into_values().collect(),
        lanes,
        given,
        revoked,
        done,
        told: purchase
            .try_recv()
            .ok()
            .and_then(Result::ok)
            .map(|bought| bought.slot_id),
        made_under,
        parts,
        cost: told.try_recv().ok(),
        took,
        receipts,
    }
}

/// What so many units cost in the lanes of these tests.
fn price(units: u64) -> Amount {
    Amount::from_base_units(units * 1_000).unwrap()
}

fn give(tokens: &[u32]) -> Word {
    Word::Give(tokens.to_vec())
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_worker_is_killed_goes_on_from_what_is_there() {
    let killed = [give(&[1, 2]), give(&[3]), Word::Break];
    let outcome = outcome(&[&killed, &[Word::End]]).await;
    outcome.check();
    assert_eq!((outcome.revoked, outcome.draft(1)), (0, vec![1, 2, 3]));
    assert!(!outcome.is_proved(0) && outcome.is_proved(1));
    // Nobody is paid for the beginning, and what the client was told then leads to the receipt.
    assert_eq!(outcome.parts, []);
    assert_ne!(outcome.told, outcome.made_under);
    assert_eq!(outcome.receipt_under(outcome.told), outcome.made_under);
    assert_eq!(
        outcome.receipt_under(outcome.made_under),
        outcome.made_under
    );
    // One token of prompt and three of draft are input, five output: as many units as without the fault.
    assert_eq!(outcome.cost, Some(price(9)));
    assert!(outcome.took < Duration::from_secs(1), "{:?}", outcome.took);
}

#[tokio::test(start_paused = true)]
async fn a_slow_worker_is_paid_for_its_part_and_left() {
    let minute = Word::Wait(Duration::from_secs(60));
    let slow = [give(&[1, 2, 3]), minute.clone(), Word::End];
    let left = outcome(&[&slow, &[Word::End]]).await;
    left.check();
    assert_eq!((left.revoked, left.draft(1)), (0, vec![1, 2, 3]));
    assert!(left.is_proved(0) && left.is_proved(1));
    // The prompt and three tokens; then both as input, and five tokens: each is told with its receipt.
    assert_eq!(left.cost, Some(price(4 + 9)));
    let part = Part {
        slot_id: left.told.unwrap(),
        worker: left.lanes[0].opened.worker,
        cost: price(4),
    };
    assert_eq!(left.parts, [part]);
    assert_eq!(left.receipt_under(left.told), left.told);
    assert_eq!(left.receipt_under(left.made_under), left.made_under);
    let stop = left.machines[0].stopped.lock().unwrap().clone();
    assert_eq!(stop.map(|stop| stop.stop.output_max), Some(Units(3)));
    assert!(left.took < Duration::from_secs(30), "{:?}", left.took);
    // Nobody else is there: it is waited for.
    let alone = outcome(&[&slow[..1], &[]]).await;
    assert!(alone.done.is_err());
    let steady = [give(&[1]), Word::Wait(Duration::from_secs(30)), Word::End];
    let alone = outcome(&[&steady]).await;
    alone.check();
    assert_eq!((alone.revoked, alone.asked(0)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_finds_another_beginning_alone_is_the_liar() {
    let killed = [give(&[1, 2]), Word::Break];
    let liar = [give(&[1, 9]), Word::End];
    let outcome = outcome(&[&killed, &liar, &[Word::End]]).await;
    outcome.check();
    assert_eq!((outcome.revoked, outcome.draft(2)), (0, vec![1, 2]));
    assert!(outcome.is_given_up(1) && !outcome.is_given_up(0));
}

#[tokio::test(start_paused = true)]
async fn a_beginning_that_two_find_otherwise_is_taken_back() {
    let liar = [give(&[1, 9]), Word::Break];
    let outcome = outcome(&[&liar, &[Word::End], &[Word::End]]).await;
    outcome.check();
    assert_eq!(outcome.revoked, 1);
    assert!(outcome.is_given_up(0) && !outcome.is_given_up(1) && !outcome.is_given_up(2));
}

#[tokio::test(start_paused = true)]
async fn where_one_other_worker_is_left_its_answer_counts() {
    let liar = [give(&[1, 9]), Word::Break];
    let outcome = outcome(&[&liar, &[Word::End]]).await;
    outcome.check();
    assert_eq!(outcome.revoked, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_was_given_of_it_is_refused() {
    let liar = [give(&[1, 9]), Word::Sign(ANSWER.to_vec())];
    let first = outcome(&[&liar, &[Word::End]]).await;
    first.check();
    assert_eq!(first.revoked, 1);
    assert!(first.is_given_up(0));
    // Who gives more than was asked for, likewise.
    let much = [give(&[7; 17]), Word::End];
    let second = outcome(&[&much, &[Word::End]]).await;
    second.check();
    assert!(second.is_given_up(0));
}

#[tokio::test(start_paused = true)]
async fn whoever_began_wrongly_does_not_judge_its_own_words() {
    // It is back at once, and would agree with itself.
    let liar = [give(&[1, 9]), Word::Break];
    let outcome = outcome(&[&liar, &[Word::End]]).await;
    outcome.check();
    assert_eq!((outcome.revoked, outcome.asked(0)), (1, 1));
    assert!(!outcome.is_given_up(1));
}

#[tokio::test(start_paused = true)]
async fn who_doubted_what_was_taken_back_is_not_blamed_for_what_came_after() {
    let liar = [give(&[1, 9]), Word::Break];
    // It agrees with the liar, and then refutes itself.
    let friend = [give(&[1, 9, 9]), Word::Sign(ANSWER.to_vec())];
    let outcome = outcome(&[&liar, &[Word::End], &friend, &[Word::End]]).await;
    outcome.check();
    assert_eq!(outcome.revoked, 1);
    assert!(!outcome.is_given_up(1) && outcome.is_given_up(2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_says_nothing_without_end_is_left() {
    let mut flood = vec![give(&[1])];
    flood.extend(vec![give(&[]); 1_000]);
    let outcome = outcome(&[&flood, &[Word::End]]).await;
    outcome.check();
    assert!(outcome.is_given_up(0));
}

#[tokio::test(start_paused = true)]
async fn nobody_refuses_what_it_began_or_charges_for_what_is_not_there() {
    let refusing = [give(&[1, 2]), Word::Refuse];
    let first = outcome(&[&refusing, &[Word::End]]).await;
    first.check();
    assert!(first.is_given_up(0));
    // Two tokens of a draft charged as output.
    let killed = [give(&[1, 2]), Word::Break];
    let dear = [Word::Charge(ANSWER.to_vec())];
    let second = outcome(&[&killed, &dear, &[Word::End]]).await;
    second.check();
    assert!(second.is_given_up(1) && !second.is_given_up(2));
}
