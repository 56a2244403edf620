//! A market without a network: answers are made up from the spec, the same for the same spec.

use crate::market::{
    Bill, ChatEvent, ChatRun, Done, Embedded, Market, MarketError, Model, ModelKind, Purchase,
    ReceiptError, Relayed,
};
use fairweir_services::{
    Passage,
    inference::{
        ModelId,
        chat::{ChatChunk, ChatOutput, ChatSpec, Finish, Likelihood, Prompt, TokenLikelihood},
        embedding::{EmbeddingOutput, EmbeddingSpec},
    },
};
use fairweir_types::{
    Address, Amount, BoundedBytes, BoundedVec, ChainId, Digest, SecretKey,
    order::{Demand, OrderId, SlotId},
    relay::{Relay, SignedRelay},
};
use futures::{FutureExt as _, future::BoxFuture};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::TaskTracker;

/// Tokens of prompt and answer that the model takes.
pub(super) const CONTEXT: u32 = 2_048;

/// What each order costs, and costs at most, in base units.
pub(super) const COST: u64 = 3_000_000;
pub(super) const PRICE_MAX: u64 = 5_000_000;

#[derive(Debug, Default)]
pub(super) struct ScriptMarket {
    /// Milliseconds between two tokens.
    pub(super) pause: AtomicU64,
    /// What the next order fails with, before a worker has it.
    pub(super) failure: Mutex<Option<MarketError>>,
    /// What the next question for a receipt fails with.
    pub(super) receiptless: Mutex<Option<ReceiptError>>,
    /// Which API key bought what.
    keys: Mutex<BTreeMap<SlotId, String>>,
    orders: AtomicU64,
    running: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

fn amount(base_units: u64) -> Amount {
    Amount::from_base_units(base_units).unwrap()
}

/// The model's tokens: words with a space in front.
fn words(spec: &ChatSpec) -> Vec<String> {
    let most = usize::try_from(spec.parameters().tokens_max).unwrap();
    let end = usize::from(spec.seed()[0] % 4) + 4;
    (0..most.min(end))
        .map(|index| format!(" w{}", spec.seed()[index % 32]))
        .collect()
}

fn likelihood(text: &str) -> TokenLikelihood {
    let token = Likelihood {
        token: u32::try_from(text.len()).unwrap(),
        bytes: BoundedBytes::new(text.as_bytes().to_vec()).unwrap(),
        logprob_bits: (-0.5_f32).to_bits(),
    };
    TokenLikelihood {
        top: BoundedVec::new(vec![token.clone()]).unwrap(),
        token,
    }
}

/// Words of the prompt, as tokens.
fn prompt_words(prompt: &Prompt) -> Vec<String> {
    match prompt {
        Prompt::Messages(conversation) => conversation
            .messages
            .as_str()
            .split(' ')
            .map(str::to_owned)
            .collect(),
        Prompt::Text(text) => text
            .as_str()
            .split_inclusive(' ')
            .map(str::to_owned)
            .collect(),
        Prompt::Tokens(tokens) => tokens.iter().map(|token| format!("<{token}>")).collect(),
    }
}

fn output(spec: &ChatSpec) -> ChatOutput {
    let mut words = words(spec);
    let stop = spec.parameters().stop.iter().next().cloned();
    let mut text = words.concat();
    let mut finish = if words.len() < usize::try_from(spec.parameters().tokens_max).unwrap() {
        Finish::Stop
    } else {
        Finish::Length
    };
    if let Some(at) = stop.and_then(|stop| text.find(stop.as_str())) {
        text.truncate(at);
        finish = Finish::Stop;
        let mut left = at;
        words.retain(|word| {
            let is_kept = word.len() <= left;
            left = left.saturating_sub(word.len());
            is_kept
        });
    }
    let wants = spec.parameters().logprobs.is_some();
    let prompt = prompt_words(spec.prompt());
    let told = |words: &[String], wants: bool| {
        let told = words.iter().filter(|_| wants).map(|word| likelihood(word));
        BoundedVec::new(told.collect()).unwrap()
    };
    ChatOutput {
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens: BoundedVec::new((0..u32::try_from(words.len()).unwrap()).collect()).unwrap(),
        text: Passage::new(text).unwrap(),
        finish,
        computation: Digest::ZERO,
        likelihoods: told(&words, wants),
        prompt_likelihoods: told(&prompt, wants && spec.parameters().echo),
    }
}

fn chunks(output: &ChatOutput) -> Vec<ChatChunk> {
    let text = output.text.as_str().split_inclusive('w');
    text.enumerate()
        .map(|(index, part)| ChatChunk {
            tokens: BoundedVec::new(vec![u32::try_from(index).unwrap()]).unwrap(),
            text: Passage::new(part.to_owned()).unwrap(),
            likelihoods: BoundedVec::new(
                output
                    .likelihoods
                    .iter()
                    .skip(index)
                    .take(1)
                    .cloned()
                    .collect(),
            )
            .unwrap(),
        })
        .collect()
}

impl ScriptMarket {
    fn purchase(&self, key: String) -> Purchase {
        let number = self.orders.fetch_add(1, Ordering::SeqCst);
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        let slot_id = SlotId {
            order: OrderId(Digest(digest)),
            slot: 0,
        };
        self.keys.lock().unwrap().insert(slot_id, key);
        Purchase {
            slot_id,
            worker: Address::default(),
            price_max: amount(PRICE_MAX),
        }
    }

    fn run(&self, spec: &ChatSpec, bill: Bill) -> Result<ChatRun, MarketError> {
        if let Some(error) = self.failure.lock().unwrap().take() {
            return Err(error);
        }
        let Bill { key, cost } = bill;
        let purchase = self.purchase(key);
        let slot_id = purchase.slot_id;
        let (sender, events) = mpsc::channel(4);
        let output = output(spec);
        let pause = Duration::from_millis(self.pause.load(Ordering::SeqCst));
        let running = Arc::clone(&self.running);
        running.fetch_add(1, Ordering::SeqCst);
        self.tasks.spawn(async move {
            let told = async {
                if output.prompt_tokens > CONTEXT {
                    let _ = sender.send(ChatEvent::Failed(MarketError::Refused)).await;
                    return;
                }
                for chunk in chunks(&output) {
                    sleep(pause).await;
                    if sender.send(ChatEvent::Chunk(chunk)).await.is_err() {
                        return;
                    }
                }
                let done = Done {
                    output,
                    slot_id,
                    receipt: Digest::ZERO,
                    worker: Address::default(),
                    cost: amount(COST),
                    parts: Vec::new(),
                };
                let _ = sender.send(ChatEvent::Done(Box::new(done))).await;
            };
            tokio::select! {
                () = told => {}
                () = sender.closed() => {}
            }
            running.fetch_sub(1, Ordering::SeqCst);
            let _ = cost.send(amount(COST));
        });
        Ok(ChatRun { purchase, events })
    }
}

impl Market for ScriptMarket {
    fn models(&self) -> BoxFuture<'_, Result<Vec<Model>, MarketError>> {
        let model = |name: &str, kind, context| Model {
            name: name.to_owned(),
            id: ModelId(Digest::of_blob(name.as_bytes())),
            kind,
            context,
        };
        let models = vec![
            model("tiny", ModelKind::Chat, CONTEXT),
            model("org/vectors", ModelKind::Embedding, 512),
        ];
        std::future::ready(Ok(models)).boxed()
    }

    fn price_max(&self, _: &Demand) -> Result<Amount, MarketError> {
        Ok(amount(PRICE_MAX))
    }

    fn chat(&self, spec: ChatSpec, bill: Bill) -> BoxFuture<'_, Result<ChatRun, MarketError>> {
        std::future::ready(self.run(&spec, bill)).boxed()
    }

    fn embed(
        &self,
        spec: EmbeddingSpec,
        bill: Bill,
    ) -> BoxFuture<'_, Result<Embedded, MarketError>> {
        let vectors = spec
            .texts()
            .map(|text| {
                let length = u16::try_from(text.len()).unwrap();
                let numbers = [f32::from(length), 0.1, -1.5e-8];
                BoundedVec::new(numbers.iter().map(|n| n.to_bits()).collect()).unwrap()
            })
            .collect();
        let output = EmbeddingOutput {
            tokens: u32::try_from(spec.len()).unwrap(),
            vectors: BoundedVec::new(vectors).unwrap(),
        };
        let Bill { key, cost } = bill;
        let _ = cost.send(amount(COST));
        let purchase = self.purchase(key);
        let done = Done {
            output,
            slot_id: purchase.slot_id,
            receipt: Digest::ZERO,
            worker: Address::default(),
            cost: amount(COST),
            parts: Vec::new(),
        };
        std::future::ready(Ok(Embedded { purchase, done })).boxed()
    }

    fn relay(&self, relayed: &Relayed) -> SignedRelay {
        let relay = Relay {
            chain_id: ChainId::new("dev-test").unwrap(),
            slot_id: relayed.slot_id,
            receipt: relayed.receipt,
            request: relayed.request,
            answer: relayed.answer,
        };
        SignedRelay::sign(relay, &SecretKey::from_seed([7; 32]).unwrap())
    }

    fn receipt<'a>(
        &'a self,
        slot_id: SlotId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>, ReceiptError>> {
        let mut error = self.receiptless.lock().unwrap().take();
        if self.keys.lock().unwrap().get(&slot_id).map(String::as_str) != Some(key) {
            error = Some(ReceiptError::Unknown);
        }
        let file = format!("receipt of {slot_id}").into_bytes();
        std::future::ready(error.map_or(Ok(file), Err)).boxed()
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}
