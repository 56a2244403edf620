//! Whether checks find the cheats at inference, and them alone, with a real model: `detect MODEL.gguf FOLDER RECEIPTS TOKENS`.
//!
//! It does what the pipelines of worker and verifier do with an order, without a network in between: the worker's service executes, a
//! receipt is made, the verifier's service collects evidence with the worker's hint, commits to a trace and judges. Each cheat makes
//! `RECEIPTS` receipts; the honest worker as many as have `TOKENS` tokens together. Ends with 1 unless every cheat is found in every
//! receipt and no honest receipt is flagged.

#![expect(clippy::print_stdout, reason = "a program of the command line")]

use anyhow::{Context as _, ensure};
use commonware_codec::Encode as _;
use fairweir_services::{
    AnyService, Assignment, Claim, Discard, Env, Evidence, Executed, Judgement, Passage, StopAt,
    inference::{
        Engines, EnginesOptions, ModelId, ModelRole, ModelStore, Models,
        chat::{self, ChatOutput, ChatSpec, Conversation, Micro, Parameters, Prompt},
    },
    testing::MemoryBlobs,
};
use fairweir_sim::byzantine::{Behaviour, Role, SwappedModels, TwistedService};
use fairweir_types::{
    Address, ChainId, Digest, Receipt, decode,
    digest::Domain,
    order::{Demand, OrderId, SlotId},
    receipt::{Salt, output_commitment},
};
use futures::{executor::block_on, future::try_join_all};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// Questions that run together.
const TOGETHER: usize = 8;
/// Tokens of an answer at most: of a cheat's, and of an honest one.
const SHORT: u32 = 48;
const LONG: u32 = 192;
const WORKER: Address = Address([7; 20]);
const SUBJECTS: [&str; 8] = [
    "the tides",
    "a good bread",
    "the rules of chess",
    "why the sky is blue",
    "the year 1969",
    "bees and flowers",
    "how to fold a shirt",
    "the river Danube",
];
const MANNERS: [&str; 5] = [
    "Explain {} to a child.",
    "Write a short story about {}.",
    "List five facts about {}, with numbers.",
    "What do most people get wrong about {}?",
    "Escribe un poema sobre {}.",
];

/// A question that no other number gives; every third one greedy.
fn question(model: ModelId, number: usize, tokens_max: u32) -> anyhow::Result<Vec<u8>> {
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let manner = MANNERS[number / SUBJECTS.len() % MANNERS.len()];
    let content = format!("{} (no. {number})", manner.replace("{}", subject));
    let messages = serde_json::json!([{ "role": "user", "content": content }]).to_string();
    let prompt = Prompt::Messages(Conversation {
        messages: Passage::new(messages)?,
        tools: Passage::default(),
    });
    let parameters = Parameters {
        temperature: Micro(if number % 3 == 2 { 0 } else { 900_000 }),
        top_p: Micro(950_000),
        ..Parameters::greedy(tokens_max)
    };
    let seed = Digest::of(Domain::Draw, &[&number.to_be_bytes()]);
    let spec = ChatSpec::new(model, prompt, parameters, seed.0)?;
    Ok(spec.encode().to_vec())
}

/// What a worker claims with an execution, and what it was to do.
fn claim(
    service: &dyn AnyService,
    spec: &[u8],
    demand: &Demand,
    executed: &Executed,
) -> anyhow::Result<(Assignment, Claim)> {
    let order = OrderId(Digest::of_blob(spec));
    let assignment = Assignment {
        chain_id: ChainId::new("dev-detect")?,
        slot_id: SlotId { order, slot: 0 },
        attempt: 0,
        kind: service.id(),
        version: service.version(),
        spec_digest: Digest::of_blob(spec),
        demand: *demand,
    };
    let salt = Salt::default();
    let trace = executed.trace(&assignment.spec_digest);
    let receipt = Receipt {
        chain_id: assignment.chain_id.clone(),
        slot_id: assignment.slot_id,
        attempt: assignment.attempt,
        kind: assignment.kind,
        version: assignment.version,
        spec_digest: assignment.spec_digest,
        units: executed.units,
        disclosure: Digest::ZERO,
        output_commitment: output_commitment(WORKER, &assignment.slot_id, 0, &salt, &trace),
    };
    let claim = Claim {
        receipt,
        worker: WORKER,
        salt,
        trace,
    };
    Ok((assignment, claim))
}

/// What came of one order.
struct Found {
    is_flagged: bool,
    output: ChatOutput,
}

/// Worker and verifier do an order.
async fn order(
    worker: &dyn AnyService,
    verifier: &dyn AnyService,
    spec: Vec<u8>,
) -> anyhow::Result<Found> {
    let (blobs, stop) = (MemoryBlobs::default(), StopAt::default());
    let demand = verifier.demand(&spec)?;
    let env = Env::answering(&blobs, &demand, &stop);
    let executed = worker.execute(&env, &spec, &mut Discard).await?;
    let (assignment, claim) = claim(verifier, &spec, &demand, &executed)?;
    let env = Env::checking(&blobs, &demand, &stop, &executed.hint);
    let evidence = verifier.collect(&env, &spec).await?;
    ensure!(
        matches!(evidence, Evidence::Collected(_)),
        "a question was refused"
    );
    let trace = verifier
        .trace(&claim.receipt, &evidence)
        .context("evidence gives a trace")?;
    let judgement = verifier.judge(&assignment, &claim, &evidence);
    // A draw is decided by traces, a dispute by judgements: both must say the same.
    let is_flagged = trace != claim.trace;
    ensure!(
        is_flagged == matches!(judgement, Judgement::Invalid(_)),
        "trace and judgement differ: {judgement:?}"
    );
    Ok(Found {
        is_flagged,
        output: decode(&executed.output).map_err(|error| anyhow::anyhow!("no answer: {error}"))?,
    })
}

fn orders(
    worker: &dyn AnyService,
    verifier: &dyn AnyService,
    specs: Vec<Vec<u8>>,
) -> anyhow::Result<Vec<Found>> {
    let orders = specs.into_iter().map(|spec| order(worker, verifier, spec));
    block_on(try_join_all(orders))
}

fn questions(
    model: ModelId,
    numbers: std::ops::Range<usize>,
    tokens_max: u32,
) -> anyhow::Result<Vec<Vec<u8>>> {
    numbers
        .map(|number| question(model, number, tokens_max))
        .collect()
}

struct Shop {
    store: ModelStore,
    model: ModelId,
    folder: PathBuf,
    models: Arc<dyn Models>,
    honest: Arc<dyn AnyService>,
}

impl Shop {
    /// Receipts of a cheat that are found, and those whose answers read differently from the honest ones.
    fn cheat(&self, behaviour: Behaviour, receipts: usize) -> anyhow::Result<(usize, usize)> {
        let twist = behaviour.twist();
        let folder = self.folder.join(behaviour.name());
        std::fs::create_dir_all(&folder)?;
        let models: Arc<dyn Models> = SwappedModels::make(
            &self.store,
            Arc::clone(&self.models),
            twist.as_ref(),
            &folder,
            EnginesOptions::default(),
        )?;
        let own = chat::service(models);
        let worker = TwistedService::new(Arc::clone(&self.honest), own, twist);
        let (mut found, mut different) = (0, 0);
        for from in (0..receipts).step_by(TOGETHER) {
            let numbers = from..(from + TOGETHER).min(receipts);
            let specs = questions(self.model, numbers, SHORT)?;
            let made = orders(&worker, self.honest.as_ref(), specs.clone())?;
            let right = orders(self.honest.as_ref(), self.honest.as_ref(), specs)?;
            for (made, right) in made.iter().zip(&right) {
                found += usize::from(made.is_flagged);
                different += usize::from(made.output.tokens != right.output.tokens);
            }
        }
        Ok((found, different))
    }

    /// Honest receipts, their tokens, and how many of them are flagged.
    fn honest(&self, tokens_min: usize) -> anyhow::Result<(usize, usize, usize)> {
        let (mut receipts, mut tokens, mut flagged) = (0, 0, 0);
        while tokens < tokens_min {
            let specs = questions(self.model, receipts..receipts + TOGETHER, LONG)?;
            for found in orders(self.honest.as_ref(), self.honest.as_ref(), specs)? {
                receipts += 1;
                tokens += found.output.tokens.len();
                flagged += usize::from(found.is_flagged);
            }
        }
        Ok((receipts, tokens, flagged))
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let usage = "usage: detect MODEL.gguf FOLDER RECEIPTS TOKENS";
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context(usage);
    let (file, folder) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let (receipts, tokens_min): (usize, usize) = (next()?.parse()?, next()?.parse()?);
    let store = ModelStore::open(folder.join("models"))?;
    let (model, _) = store.add("model", "", "", &[(ModelRole::Gguf, file)])?;
    let models: Arc<dyn Models> = Arc::new(Engines::new(store.clone(), EnginesOptions::default()));
    let shop = Shop {
        honest: chat::service(Arc::clone(&models)),
        store,
        model,
        folder,
        models,
    };
    let mut holds = true;
    let cheats = Behaviour::ALL
        .into_iter()
        .filter(|cheat| cheat.is_about_models())
        .filter(|cheat| !matches!(cheat, Behaviour::ForgedTrace | Behaviour::LateAppeal))
        .filter(|cheat| cheat.role() == Role::Worker);
    for behaviour in cheats {
        let (found, different) = shop.cheat(behaviour, receipts)?;
        println!(
            "{}: found in {found} of {receipts} receipts; {different} answers have other tokens",
            behaviour.name()
        );
        holds &= found == receipts;
    }
    let (all, tokens, flagged) = shop.honest(tokens_min)?;
    println!("honest: {flagged} of {all} receipts flagged; {tokens} tokens");
    holds &= flagged == 0;
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
