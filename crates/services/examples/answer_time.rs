//! How long a model's answers take in this process, without a network: `answer_time MODEL.gguf FOLDER TOKENS THREADS` reads questions, one
//! a line, and prints for each the milliseconds to the first token, those to the last, and the tokens.

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

/// Notes when the first chunk comes.
struct First(Option<Instant>);

impl Outlet for First {
    fn emit(&mut self, _: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        self.0.get_or_insert_with(Instant::now);
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
        let mut first = First(None);
        let begun = Instant::now();
        let executed = block_on(service.execute(&env, &spec, &mut first))?;
        let whole = begun.elapsed();
        let output: ChatOutput = decode(&executed.output)?;
        let to_first = first.0.map_or(whole, |at| at.duration_since(begun));
        println!(
            "{:.3} {:.3} {}",
            to_first.as_secs_f64() * 1e3,
            whole.as_secs_f64() * 1e3,
            output.tokens.len()
        );
    }
    Ok(())
}
