//! Fetching models from other machines of a network.

use super::{KNOWN, download, store};
use crate::{
    Global,
    commands::doctor::{FREE_DISK_MIN, free_bytes},
    failure::{Exit, code},
    output,
};
use fairweir_client::NodeClient;
use fairweir_net::{PeerAddr, quic::QuicNetwork};
use fairweir_node::{Ticket, models};
use fairweir_services::inference::{
    ModelId, ModelInfo, ModelStore,
    share::{Catalogue, FetchFailed, Limits, OnNetwork, catalogue, fetch},
};
use std::io::IsTerminal as _;

/// The word for every model that the network has.
const ALL: &str = "all";
/// Bytes that all fetched models of one command may have, unless it says otherwise: 16 GB.
pub(crate) const GB_MAX: u64 = 16;

/// A node, a worker, or the node of a ticket.
pub(crate) fn source_of(text: &str) -> Result<PeerAddr, Exit> {
    if let Ok(ticket) = text.parse::<Ticket>() {
        return Ok(ticket.node);
    }
    text.parse().map_err(|_| {
        Exit::message(
            code::FAILED,
            "this is neither a peer's address (fwpeer1…) nor a join ticket (fwjoin1…)",
        )
    })
}

/// What the machines have that a node or worker leads to.
pub(crate) async fn on_network(network: &QuicNetwork, source: &PeerAddr) -> Catalogue {
    let client = NodeClient::new(network.clone(), source.clone());
    // A worker does not answer questions to nodes, but may have models.
    let sources = models::sources(&client, source, None).await;
    let sources = sources.unwrap_or_else(|_| vec![source.clone()]);
    catalogue(network, &sources).await
}

/// Fails when nobody at all answered.
pub(crate) fn check_answered(found: &Catalogue) -> Result<(), Exit> {
    match found.failed.as_slice() {
        [(peer, error), ..] if found.models.is_empty() => Err(Exit::message(
            code::UNREACHABLE,
            format!(
                "no machine said which models it has; {peer} ({}): {error}",
                error.code()
            ),
        )),
        _ => Ok(()),
    }
}

/// Brings models by name or id, all of them for `all`; those that are here are left alone.
pub(crate) async fn bring(
    global: &Global,
    network: &QuicNetwork,
    found: &Catalogue,
    names: &[String],
    gb_max: u64,
) -> Result<Vec<(ModelId, ModelInfo)>, Exit> {
    let store = store(global)?;
    let mut wanted: Vec<&OnNetwork> = Vec::new();
    for name in names {
        if name == ALL {
            wanted.extend(found.models.iter());
        } else if let Ok(here) = store.find(name) {
            tell(global, &format!("{} is here already", here.1.name));
        } else {
            check_answered(found)?;
            let model = found
                .find(name)
                .map_err(|error| Exit::new(code::FAILED, error))?;
            check_pinned(name, model)?;
            wanted.push(model);
        }
    }
    let mut brought = Vec::new();
    let mut left = gb_max.saturating_mul(1_000_000_000);
    for model in wanted {
        if store.info(model.id).is_ok() {
            continue;
        }
        brought.push(one(global, network, &store, model, left).await?);
        left = left.saturating_sub(model.holding.bytes());
    }
    Ok(brought)
}

fn tell(global: &Global, text: &str) {
    if !global.json {
        output::progress(text);
    }
}

/// A name that this program knows must be the model that it knows.
fn check_pinned(name: &str, model: &OnNetwork) -> Result<(), Exit> {
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        return Ok(());
    };
    let files = model.holding.info().files;
    let has = |sha256: &str| files.iter().any(|(.., found)| found == sha256);
    if known.files.iter().all(|(.., sha256)| has(sha256)) {
        return Ok(());
    }
    Err(Exit::message(
        code::DOES_NOT_HOLD,
        format!(
            "what machines call {name} is not that model; if you want it nevertheless, ask for {}",
            model.id
        ),
    ))
}

async fn one(
    global: &Global,
    network: &QuicNetwork,
    store: &ModelStore,
    model: &OnNetwork,
    bytes_max: u64,
) -> Result<(ModelId, ModelInfo), Exit> {
    let holding = &model.holding;
    tell(
        global,
        &format!(
            "fetching {} ({} MB, licence {}) from {} machines",
            holding.name,
            holding.bytes() / 1_000_000,
            holding.licence,
            model.holders.len()
        ),
    );
    let folder = store.folder_of(model.id);
    let free = free_bytes(&folder).unwrap_or(u64::MAX);
    let limits = Limits {
        room: bytes_max.min(free.saturating_sub(FREE_DISK_MIN)),
    };
    let bar = download::bar(Some(holding.bytes()), !global.json);
    let mut progress = |progress: fairweir_services::inference::share::Progress| {
        bar.set_position(progress.here);
    };
    let fetching = fetch(
        network,
        store,
        model.id,
        &model.holders,
        limits,
        &mut progress,
    );
    let fetched = Box::pin(fetching).await;
    bar.finish_and_clear();
    fetched.map_err(exit)
}

fn exit(failed: FetchFailed) -> Exit {
    let has = |codes: &[&str]| {
        let tried = &mut failed.tried.iter();
        tried.any(|(_, error)| codes.contains(&error.code()))
    };
    let code = if has(&["too_large", "here"]) {
        code::MACHINE
    } else if has(&["wrong_bytes", "wrong_file", "other_file", "malformed"]) {
        code::DOES_NOT_HOLD
    } else {
        code::UNREACHABLE
    };
    Exit::new(code, failed)
}

/// Before a worker works: brings the models that it was told to, or asks about those that the network has and this machine does not.
pub(crate) async fn for_worker(
    global: &Global,
    network: &QuicNetwork,
    node: &PeerAddr,
    names: &[String],
) -> Result<(), Exit> {
    if !names.is_empty() {
        let found = on_network(network, node).await;
        bring(global, network, &found, names, GB_MAX).await?;
        return Ok(());
    }
    if global.json {
        return Ok(());
    }
    let store = store(global)?;
    let found = on_network(network, node).await;
    let missing: Vec<String> = found
        .models
        .iter()
        .filter(|model| store.info(model.id).is_err())
        .map(|model| {
            let holding = &model.holding;
            let megabytes = holding.bytes() / 1_000_000;
            format!("{} ({megabytes} MB, {})", holding.name, holding.licence)
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    if !std::io::stdin().is_terminal() {
        output::progress(format!(
            "the network has models that this machine has not: {missing}; '--model all' fetches them"
        ));
        return Ok(());
    }
    output::progress(format!(
        "The network has models that this machine has not: {missing}. Fetch them from it, and work with them too? [y/N]"
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        let all = [ALL.to_owned()];
        bring(global, network, &found, &all, GB_MAX).await?;
    }
    Ok(())
}
