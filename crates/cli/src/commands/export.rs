use crate::{
    Global,
    commands::doctor,
    failure::{Exit, code},
    output,
};
use commonware_runtime::{Runner as _, Supervisor as _, tokio as runtime};
use fairweir_chain::ChainConfig;
use fairweir_ledger::{export, invariants};
use fairweir_node::DataDir;
use fairweir_types::{BlockHeader, Digest, Genesis, SecretKey};
use serde_json::json;
use std::{fs, io::Write as _, path::Path};

/// A state that was written down.
struct Exported {
    header: BlockHeader,
    digest: Digest,
    bytes: Vec<u8>,
    /// The invariant that it breaks, if it does.
    broken: Option<String>,
}

/// Writes the state of a folder's chain to a file.
pub(crate) fn export(global: &Global, file: &Path) -> Result<(), Exit> {
    let data = global.data_dir()?;
    doctor::check_disk(data.path())?;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let exported = read(&data, genesis)?;
    let mut out = fs::File::create_new(file)
        .map_err(|error| Exit::message(code::MACHINE, format!("{}: {error}", file.display())))?;
    out.write_all(&exported.bytes)?;
    out.sync_all()?;
    let Exported {
        header,
        digest,
        bytes,
        broken,
    } = exported;
    if global.json {
        output::json_pretty(&json!({
            "file": file.display().to_string(), "chain_id": header.chain_id.as_str(), "height": header.height.get(),
            "state_root": header.state_root.to_string(), "digest": digest.to_string(), "bytes": bytes.len(),
        }));
    } else {
        output::line(format!(
            "the state of {} behind block {} is in {}: {} bytes",
            header.chain_id,
            header.height,
            file.display(),
            bytes.len()
        ));
        output::line(format!("digest     {digest}"));
    }
    match broken {
        None => Ok(()),
        Some(broken) => Err(Exit::message(
            code::DOES_NOT_HOLD,
            format!("the file is written, but what it holds does not add up: {broken}"),
        )),
    }
}

/// Reads the state behind the newest block that a folder holds.
fn read(data: &DataDir, genesis: Genesis) -> Result<Exported, Exit> {
    // Nobody sees it: the store is opened alone.
    let identity = SecretKey::from_seed([1; 32])
        .map_err(|error| Exit::message(code::MACHINE, error.to_string()))?;
    let config = ChainConfig::follower(genesis, identity);
    let storage = runtime::Config::new().with_storage_directory(data.join("chain"));
    runtime::Runner::new(storage).start(|context| async move {
        let opened = fairweir_chain::open(context.child("export"), config).await;
        let (chain, task) = opened.map_err(|error| Exit::new(code::MACHINE, error))?;
        let header = chain.header();
        let exported = chain.read(|state| {
            let bytes = export::export(state, header.height)?;
            let broken = invariants::check(state).err();
            Ok::<_, export::ExportError>((export::digest(state), bytes, broken))
        });
        task.stop();
        let (digest, bytes, broken) = exported.map_err(|error| Exit::new(code::FAILED, error))?;
        Ok(Exported {
            header,
            digest,
            bytes,
            broken: broken.map(|broken| broken.to_string()),
        })
    })
}
