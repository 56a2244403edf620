//! How long a model's answers take in this process, without a network: `answer_time MODEL.gguf FOLDER TOKENS THREADS` reads questions, one
//! a line, and prints for each the milliseconds to the first token, those to the last token, and the tokens.

#![expect(clippy::print_stdout, reason = "a program of the command line")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use commonware_codec::Encode as _;
use fairweir_services::{
    Env, Outlet, OutletClosed, Passage, StopAt,
    inference::{
        Engines, EnginesOptions, ModelRole, ModelStore, Models,
        chat::{self, ChatOutput, ChatSpec, Conversation, Parameters, Prompt},
    },
    testing::MemoryBlobs,
};
use fairweir_types::decode;
use futures::{FutureExt as _, executor::block_on, future::BoxFuture};
use std::{error::Error, path::PathBuf, sync::Arc, time::Instant};

/// Notes when the first chunk comes, and when the newest: what an answer's reader sees. Its receipt is made after the last.
#[derive(Default)]
struct Chunks {
    first: Option<Instant>,
    newest: Option<Instant>,
}

impl Outlet for Chunks {
    fn emit(&mut self, _: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.newest = Some(now);
        std::future::ready(Ok(())).boxed()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: answer_time MODEL.gguf FOLDER TOKENS THREADS";
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(usage);
    let (file, folder) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let tokens_max: u32 = next()?.parse()?;
    let options = EnginesOptions {
        threads: next()?.parse()?,
        ..EnginesOptions::default()
    };
    let store = ModelStore::open(folder.join("models"))?;
    let (model, _) = store.add("model", "", "", &[(ModelRole::Gguf, file)])?;
    let models: Arc<dyn Models> = Arc::new(Engines::new(store, options));
    let service = chat::service(models);
    for (number, line) in std::io::stdin().lines().enumerate() {
        let messages = serde_json::json!([{ "role": "user", "content": line? }]).to_string();
        let prompt = Prompt::Messages(Conversation {
            messages: Passage::new(messages)?,
            tools: Passage::default(),
        });
        let seed = [u8::try_from(number % 256)?; 32];
        let spec = ChatSpec::new(model, prompt, Parameters::greedy(tokens_max), seed)?;
        let spec = spec.encode().to_vec();
        let (blobs, stop) = (MemoryBlobs::default(), StopAt::default());
        let demand = service.demand(&spec)?;
        let env = Env::answering(&blobs, &demand, &stop);
        let mut chunks = Chunks::default();
        let begun = Instant::now();
        let executed = block_on(service.execute(&env, &spec, &mut chunks))?;
        let output: ChatOutput = decode(&executed.output)?;
        // An answer without a chunk took until now.
        let now = Instant::now();
        let milliseconds = |at: Option<Instant>| {
            let taken = at.unwrap_or(now).duration_since(begun);
            taken.as_secs_f64() * 1e3
        };
        println!(
            "{:.3} {:.3} {}",
            milliseconds(chunks.first),
            milliseconds(chunks.newest),
            output.tokens.len()
        );
    }
    Ok(())
}
