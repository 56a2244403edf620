//! The engine of one model that makes vectors.

use super::EngineThreads;
use crate::inference::{ModelError, ModelRole, encoder_tokens, store::Mapped};
use fairweir_exact::{
    bert::Encoder,
    path::Path,
    pool::{Pool, Single},
    safetensors,
};
use futures::channel::oneshot;
use std::sync::{
    Arc, Mutex,
    mpsc::{SyncSender, sync_channel},
};
use std::thread::JoinHandle;

/// Requests that wait for the engine's thread.
const REQUESTS_MAX: usize = 1_024;
/// Texts that are computed together.
const BATCH_MAX: usize = 16;

/// A text encoder that runs.
#[derive(Debug)]
pub struct EmbeddingEngine {
    encoder: Arc<Encoder>,
    tokenizer: tokenizers::Tokenizer,
    runs: Runs,
}

type Vectors = Result<Vec<Vec<f32>>, String>;

#[derive(Debug)]
struct Request {
    texts: Vec<Vec<u32>>,
    reply: oneshot::Sender<Vectors>,
}

#[derive(Debug)]
enum Runs {
    Thread {
        requests: Mutex<Option<SyncSender<Request>>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline,
}

fn encode(encoder: &Encoder, pool: &dyn Pool, texts: &[Vec<u32>]) -> Vectors {
    let mut vectors = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH_MAX) {
        let batch: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
        let more = encoder
            .encode(pool, &batch)
            .map_err(|error| error.to_string())?;
        vectors.extend(more);
    }
    Ok(vectors)
}

impl EmbeddingEngine {
    fn load(mapped: &Mapped, path: Path, runs: Runs) -> Result<Self, ModelError> {
        let weights = |error: &dyn core::fmt::Display| ModelError::Weights(error.to_string());
        let file = safetensors::File::parse(mapped.file(ModelRole::Safetensors)?)
            .map_err(|error| weights(&error))?;
        let encoder = Encoder::load(&file, mapped.file(ModelRole::Config)?, path)
            .map_err(|error| weights(&error))?;
        let length_max = encoder.shape().max_positions;
        let tokenizer = encoder_tokens::of_json(mapped.file(ModelRole::Tokenizer)?, length_max)?;
        let known = tokenizer.get_vocab_size(true);
        if known > encoder.shape().vocabulary {
            return Err(ModelError::Weights(format!(
                "they are for {} tokens, the tokeniser has {known}",
                encoder.shape().vocabulary
            )));
        }
        Ok(Self {
            encoder: Arc::new(encoder),
            tokenizer,
            runs,
        })
    }

    /// An engine on the thread of whoever asks.
    pub(crate) fn inline(mapped: &Mapped, path: Path) -> Result<Self, ModelError> {
        Self::load(mapped, path, Runs::Inline)
    }

    /// An engine with a thread of its own, which is one of `threads`.
    pub(crate) fn start(
        mapped: &Mapped,
        path: Path,
        threads: &EngineThreads,
    ) -> Result<Self, ModelError> {
        let mut engine = Self::load(mapped, path, Runs::Inline)?;
        let pool = threads.pool()?;
        let (sender, receiver) = sync_channel::<Request>(REQUESTS_MAX);
        let encoder = Arc::clone(&engine.encoder);
        let thread = threads.spawn("fairweir-encoder", move || {
            for request in receiver {
                if !request.reply.is_canceled() {
                    let vectors = encode(&encoder, pool.as_ref(), &request.texts);
                    let _ = request.reply.send(vectors);
                }
            }
        })?;
        engine.runs = Runs::Thread {
            requests: Mutex::new(Some(sender)),
            thread: Some(thread),
        };
        Ok(engine)
    }

    /// Bytes of the weights in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.encoder.bytes()
    }

    /// The length of its vectors.
    #[must_use]
    pub fn width(&self) -> usize {
        self.encoder.shape().width
    }

    /// The token ids of a text, with the special ones that the model wants, cut at what it takes.
    pub(crate) fn tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokenizer
            .encode_fast(text, true)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| error.to_string())
    }

    /// The vectors of texts.
    pub(crate) async fn encode(&self, texts: Vec<Vec<u32>>) -> Vectors {
        let Runs::Thread { requests, .. } = &self.runs else {
            return encode(&self.encoder, &Single, &texts);
        };
        let (reply, vectors) = oneshot::channel();
        {
            let requests = requests.lock().map_err(|error| error.to_string())?;
            let sender = requests.as_ref().ok_or("the engine stopped")?;
            sender
                .try_send(Request { texts, reply })
                .map_err(|_| "the engine has too much to do")?;
        }
        vectors.await.map_err(|_| "the engine stopped".to_owned())?
    }
}

impl Drop for EmbeddingEngine {
    fn drop(&mut self) {
        if let Runs::Thread { requests, thread } = &mut self.runs {
            if let Ok(requests) = requests.get_mut() {
                requests.take();
            }
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}
