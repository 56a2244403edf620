use crate::{
    Global,
    connection::{Connection, with_connection},
    describe::Names,
    failure::{Exit, code},
    main_job::{self, Bought, Purchase, Telling},
    models, output,
};
use commonware_codec::Encode as _;
use fairweir_client::Sender;
use fairweir_net::quic::QuicNetwork;
use fairweir_services::{
    Passage, Registry,
    inference::{
        ModelId, ModelStore, Models, NoModels,
        chat::{
            ChatOutput, ChatSpec, Conversation, Finish, Micro, Parameters, Prompt, PromptReader,
        },
    },
};
use fairweir_types::{Amount, Digest, Genesis, Millis, decode, digest::Domain};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
};

const AFTER_HELP: &str = "\
Try:
  fairweir chat 'What is a weir?'                 one question, one answer
  fairweir chat                                   a conversation; an empty line or Ctrl-D ends it
  echo 'Name three rivers' | fairweir chat        from another program
  fairweir chat --seed 7 --temperature 1 'Hello'  the same seed gives the same text, on any machine";

/// Ask a model: one question, or a conversation.
///
/// The answer comes as the worker makes it. Verifiers recompute it bit for bit before the worker is paid, and the receipt
/// proves it to anybody (`fairweir verify FILE --recompute`).
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Chat {
    /// The question; without one, a conversation begins.
    question: Option<String>,
    #[command(flatten)]
    ask: Asking,
}

/// How to ask.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Asking {
    /// The model's name or id; by default the first chat model that this machine knows.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// What the model is told before the conversation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Tokens of an answer at most.
    #[arg(long, default_value_t = 256, value_name = "NUMBER")]
    pub(crate) max_tokens: u32,
    /// 0 takes the likeliest token each time; up to 2.
    #[arg(long, default_value_t = 0.0, value_name = "NUMBER")]
    pub(crate) temperature: f64,
    /// What draws come from; without it, chance.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// The highest price, in coins per million tokens.
    #[arg(long, default_value = "100", value_name = "COINS")]
    pub(crate) price_max: Amount,
    /// The name of the key that pays.
    #[arg(long, default_value = "buyer", value_name = "NAME")]
    pub(crate) key: String,
    /// Where the receipt file goes.
    #[arg(long, default_value = "receipt.fwr", value_name = "FILE")]
    pub(crate) receipt: PathBuf,
    /// Compute each answer again on this machine and compare, bit for bit.
    #[arg(long)]
    pub(crate) recompute: bool,
}

impl Asking {
    /// The defaults of `fairweir chat`.
    pub(crate) fn standard(receipt: PathBuf) -> Self {
        Self {
            model: None,
            system: None,
            max_tokens: 128,
            temperature: 0.0,
            seed: Some(0),
            price_max: Amount::from_coins(100).unwrap_or(Amount::MAX),
            key: "buyer".to_owned(),
            receipt,
            recompute: true,
        }
    }

    /// The order for the next answer of a conversation. `models` recompute it here.
    pub(crate) fn purchase(
        &self,
        model: ModelId,
        messages: &[Value],
        (store, models): (&ModelStore, &Arc<dyn Models>),
    ) -> Result<Purchase, Exit> {
        let refused =
            |error: &dyn core::fmt::Display| Exit::message(code::REFUSED, error.to_string());
        let parameters = Parameters {
            temperature: Micro::nearest(self.temperature),
            ..Parameters::greedy(self.max_tokens)
        };
        let seed = match self.seed {
            Some(seed) => Digest::of(Domain::Draw, &[b"seed", &seed.to_be_bytes()]).0,
            None => {
                *fairweir_node::random_seed().map_err(|error| Exit::new(code::MACHINE, error))?
            }
        };
        let text = Value::Array(messages.to_vec()).to_string();
        let conversation = Conversation {
            messages: Passage::new(text).map_err(|error| refused(&error))?,
            tools: Passage::default(),
        };
        let prompt = Prompt::Messages(conversation);
        let counted = self.count(store, model, &prompt)?;
        let spec =
            ChatSpec::new(model, prompt, parameters, seed).map_err(|error| refused(&error))?;
        let spec = match counted {
            Some(tokens) => spec.with_prompt_tokens(tokens),
            None => spec,
        };
        let registry = Registry::with_models(models);
        let service = registry
            .named("chat")
            .ok_or_else(|| refused(&"no service named chat"))?;
        Ok(Purchase {
            service: Arc::clone(service),
            spec: spec.encode().to_vec(),
            what: format!(
                "a conversation of {} messages, answered in {} tokens at most",
                messages.len(),
                self.max_tokens
            ),
            capabilities: vec![model.capability()],
            price_max: self.price_max,
            match_within: Millis(30_000),
            receipt: Some(self.receipt.clone()),
            live: true,
            recompute: self.recompute,
        })
    }

    /// Tokens of the prompt, if the model is on this machine: then no more than they cost must be held back.
    fn count(
        &self,
        store: &ModelStore,
        model: ModelId,
        prompt: &Prompt,
    ) -> Result<Option<u32>, Exit> {
        let Ok(reader) = PromptReader::open(store, model) else {
            return Ok(None);
        };
        let tokens = reader.tokens(prompt).map_err(models::exit)?.len();
        let most = usize::try_from(self.max_tokens).unwrap_or(usize::MAX);
        if tokens.saturating_add(most) > reader.context() {
            return Err(Exit::message(
                code::REFUSED,
                format!(
                    "the conversation has {tokens} tokens and {most} are asked for, the model takes {} together: ask for less with --max-tokens, or begin anew",
                    reader.context()
                ),
            ));
        }
        Ok(u32::try_from(tokens).ok())
    }

    fn opening(&self) -> Vec<Value> {
        self.system
            .iter()
            .map(|text| json!({"role": "system", "content": text}))
            .collect()
    }
}

/// The answer of a purchase.
pub(crate) fn answer(bought: &Bought) -> Result<ChatOutput, Exit> {
    decode(&bought.output).map_err(|error| {
        Exit::new(code::DOES_NOT_HOLD, error).context("the output is no answer of the chat service")
    })
}

/// How fast an answer came, in words.
pub(crate) fn pace(bought: &Bought, output: &ChatOutput) -> String {
    let tokens = output.tokens.len();
    let Some(pace) = bought.pace else {
        return format!("{tokens} tokens");
    };
    let rest = pace.rest.as_secs_f64();
    let after_first = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
    let per_second = if rest > 0.0 {
        f64::from(after_first) / rest
    } else {
        0.0
    };
    format!(
        "{} prompt tokens, {tokens} tokens at {per_second:.1} per second, the first after {} ms",
        output.prompt_tokens,
        pace.first.as_millis()
    )
}

pub(crate) const fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Stopped => "stopped",
    }
}

/// A conversation with one model.
struct Talk<'a> {
    global: &'a Global,
    ask: &'a Asking,
    model: ModelId,
    store: ModelStore,
    models: Arc<dyn Models>,
    names: Names,
    genesis: Genesis,
    messages: Vec<Value>,
}

impl Talk<'_> {
    async fn say(&mut self, sender: &Sender<QuicNetwork>, text: &str) -> Result<(), Exit> {
        self.messages.push(json!({"role": "user", "content": text}));
        let purchase =
            self.ask
                .purchase(self.model, &self.messages, (&self.store, &self.models))?;
        let telling = Telling {
            names: &self.names,
            quiet: self.global.json,
            answer_only: true,
        };
        let bought = main_job::buy(sender, &self.genesis, purchase, &telling).await?;
        let output = answer(&bought)?;
        let cost = bought.report.get("cost").cloned().unwrap_or_default();
        if self.global.json {
            output::json(&json!({
                "answer": output.text.as_str(), "finish": finish(output.finish),
                "prompt_tokens": output.prompt_tokens, "tokens": output.tokens.len(), "purchase": bought.report,
            }));
        } else {
            let cost = cost.as_str().unwrap_or("?").to_owned();
            output::progress(format!(
                "[{}; {cost} coins; receipt in {}]",
                pace(&bought, &output),
                self.ask.receipt.display()
            ));
        }
        self.messages
            .push(json!({"role": "assistant", "content": output.text.as_str()}));
        Ok(())
    }
}

/// What recomputes answers here, if that is wanted.
pub(crate) fn models_here(global: &Global, recompute: bool) -> Result<Arc<dyn Models>, Exit> {
    if recompute {
        Ok(models::engines(global)?)
    } else {
        Ok(Arc::new(NoModels))
    }
}

impl Chat {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let keys = global.keystore()?;
        let store = models::store(global)?;
        let (model, _) = models::choose(&store, self.ask.model.as_deref(), true)?;
        let models = models_here(global, self.ask.recompute)?;
        with_connection(global, |connection: Connection| async move {
            let sender = connection.sender(&keys, &self.ask.key).await?;
            let mut talk = Talk {
                global,
                ask: &self.ask,
                model,
                store,
                models,
                names: Names::of(&keys),
                genesis: connection.client.genesis().await?,
                messages: self.ask.opening(),
            };
            match &self.question {
                Some(question) => talk.say(&sender, question).await,
                None => converse(&mut talk, &sender).await,
            }
        })
    }
}

/// Reads questions until there are no more.
async fn converse(talk: &mut Talk<'_>, sender: &Sender<QuicNetwork>) -> Result<(), Exit> {
    let is_terminal = std::io::stdin().is_terminal();
    loop {
        if is_terminal && !talk.global.json {
            output::part("> ");
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line)?;
        let text = line.trim();
        if read == 0 || text.is_empty() {
            return Ok(());
        }
        talk.say(sender, text).await?;
    }
}
