use crate::{
    Global,
    failure::{Exit, code},
    models, output,
};
use commonware_codec::Encode as _;
use fairweir_services::{
    BlobError, Blobs, Env, Outlet, OutletClosed, Passage, StopAt,
    inference::{
        Engines, ModelId, Models,
        chat::{self, ChatChunk, ChatOutput, ChatSpec, Conversation, Parameters, Prompt},
    },
};
use fairweir_types::{Digest, decode};
use futures::{FutureExt as _, executor::block_on, future::BoxFuture};
use serde_json::json;
use std::{
    io::IsTerminal as _,
    sync::Arc,
    time::{Duration, Instant},
};

/// Tokens of an answer, unless somebody says how many.
const MAX_TOKENS: u32 = 64;
/// What is asked when nobody says what.
const QUESTION: &str = "Tell me about rivers, in the order of importance.";

/// Questions are read from standard input, a line each; the first one also loads the model, and is slower.
#[derive(Debug, clap::Args)]
pub(crate) struct TimeModel {
    /// The model's name or id.
    model: String,
    /// Tokens that an answer has at most.
    #[arg(long, default_value_t = MAX_TOKENS, value_name = "NUMBER")]
    max_tokens: u32,
}

impl TimeModel {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let answers = Answers::new(&models::engines(global)?, &self.model, self.max_tokens)?;
        if std::io::stdin().is_terminal() {
            show(&answers.time(QUESTION)?, global.json);
            return Ok(());
        }
        answers.to_all(|time| show(time, global.json))
    }
}

/// Answers questions of standard input by engines that serve a network as well, on a thread of its own, until there are no more.
pub(crate) fn time_beside(engines: &Arc<Engines>, model: &str) -> Result<(), Exit> {
    let answers = Answers::new(engines, model, MAX_TOKENS)?;
    let thread = std::thread::Builder::new().name("fairweir-time".to_owned());
    thread.spawn(move || {
        if let Err(error) = answers.to_all(|time| show(time, true)) {
            output::progress(format!("no more questions are answered: {error:?}"));
        }
    })?;
    Ok(())
}

/// How long an answer took.
struct Time {
    /// Until its first text.
    first: Option<Duration>,
    /// Until its last text.
    last: Option<Duration>,
    tokens: usize,
}

struct Answers {
    models: Arc<dyn Models>,
    model: ModelId,
    max_tokens: u32,
}

impl Answers {
    fn new(engines: &Arc<Engines>, model: &str, max_tokens: u32) -> Result<Self, Exit> {
        let (model, info) = engines.store().find(model).map_err(models::exit)?;
        if !info.is_chat() {
            let message = format!("{} answers no questions: it makes vectors", info.name);
            return Err(Exit::message(code::FAILED, message));
        }
        let models: Arc<dyn Models> = Arc::<Engines>::clone(engines);
        Ok(Self {
            models,
            model,
            max_tokens,
        })
    }

    fn to_all(&self, tell: impl Fn(&Time)) -> Result<(), Exit> {
        let lines = std::io::stdin().lines();
        lines.map(|line| self.time(&line?)).try_for_each(|time| {
            tell(&time?);
            Ok(())
        })
    }

    fn time(&self, question: &str) -> Result<Time, Exit> {
        let failed = |error: &dyn std::fmt::Display| Exit::message(code::FAILED, error.to_string());
        let messages = json!([{ "role": "user", "content": question }]).to_string();
        let prompt = Prompt::Messages(Conversation {
            messages: Passage::new(messages).map_err(|error| failed(&error))?,
            tools: Passage::default(),
        });
        let parameters = Parameters::greedy(self.max_tokens);
        let spec = ChatSpec::new(self.model, prompt, parameters, [0; 32])
            .map_err(|error| failed(&error))?;
        let spec = spec.encode().to_vec();
        let service = chat::service(Arc::clone(&self.models));
        let demand = service.demand(&spec).map_err(|error| failed(&error))?;
        let (blobs, stop) = (NoBlobs, StopAt::default());
        let env = Env::answering(&blobs, &demand, &stop);
        let mut texts = Texts::default();
        let begun = Instant::now();
        let executed =
            block_on(service.execute(&env, &spec, &mut texts)).map_err(|error| failed(&error))?;
        let made: ChatOutput = decode(&executed.output).map_err(|error| failed(&error))?;
        let after = |at: Option<Instant>| at.map(|at| at.duration_since(begun));
        Ok(Time {
            first: after(texts.first),
            last: after(texts.newest),
            tokens: made.tokens.len(),
        })
    }
}

fn show(time: &Time, as_json: bool) {
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    if as_json {
        output::json(&json!({
            "first_ms": milliseconds(time.first), "last_ms": milliseconds(time.last), "tokens": time.tokens,
        }));
        return;
    }
    let (Some(first), Some(last)) = (time.first, time.last) else {
        output::line("an empty answer");
        return;
    };
    let tokens = time.tokens;
    let between = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
    let rate = f64::from(between) / (last - first).as_secs_f64().max(f64::EPSILON);
    output::line(format!(
        "first text after {:.0} ms, {tokens} tokens after {:.0} ms: {rate:.1} tokens per second",
        first.as_secs_f64() * 1e3,
        last.as_secs_f64() * 1e3,
    ));
}

/// Notes when the first text comes, and when the newest: what an answer's reader sees.
#[derive(Default)]
struct Texts {
    first: Option<Instant>,
    newest: Option<Instant>,
}

impl Outlet for Texts {
    fn emit(&mut self, chunk: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        let has_text =
            decode::<ChatChunk>(&chunk).is_ok_and(|chunk| !chunk.text.as_str().is_empty());
        if has_text {
            let now = Instant::now();
            self.first.get_or_insert(now);
            self.newest = Some(now);
        }
        std::future::ready(Ok(())).boxed()
    }
}

/// Nobody reads what an answer leaves behind for its verifiers.
#[derive(Debug)]
struct NoBlobs;

impl Blobs for NoBlobs {
    fn get(&self, digest: Digest, _: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>> {
        std::future::ready(Err(BlobError::NotFound(digest))).boxed()
    }

    fn put(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>> {
        std::future::ready(Ok(Digest::of_blob(&bytes))).boxed()
    }
}
