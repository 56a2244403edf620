use crate::{
    Global,
    commands::node::CARD_FILE,
    failure::{Exit, code},
    output,
};
use fairweir_node::{Config, DataDir, ceremony::ValidatorCard};
use serde_json::json;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The folder of the chain's store, in the data folder.
const CHAIN: &str = "chain";
/// The file that says in which epoch a validator votes again.
const VOTES_FROM: &str = "votes-from";

/// The first epoch in which the validators of a folder vote: what they voted before may be lost.
pub(crate) fn votes_from(data: &DataDir) -> Result<u64, Exit> {
    let Some(bytes) = data.read(VOTES_FROM)? else {
        return Ok(0);
    };
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(|_| {
        let message = format!(
            "{} must hold the number of an epoch",
            data.join(VOTES_FROM).display()
        );
        Exit::message(code::MACHINE, message)
    })
}

/// Sets the store of the chain aside, but for the votes, so that the next start gets the chain from others.
pub(crate) fn repair(global: &Global) -> Result<(), Exit> {
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let config = Config::load(&data)?;
    if config.follow.is_empty() && !has_others(&data, &config)? {
        let message = "no other node has this chain's blocks, so they cannot be fetched again: restore the folder from a copy";
        return Err(Exit::message(code::MACHINE, message));
    }
    let chain = data.join(CHAIN);
    if !chain.is_dir() {
        let message = format!(
            "{} holds no chain: nothing to repair",
            data.path().display()
        );
        return Err(Exit::message(code::MACHINE, message));
    }
    let votes = votes_in(&chain)?;
    // A validator whose votes of an epoch are gone might vote otherwise than before, and be slashed for that.
    let from = votes.iter().filter_map(epoch_of).max();
    let from = from.unwrap_or_default().max(votes_from(&data)?);
    data.write(VOTES_FROM, from.to_string().as_bytes())?;
    let aside = free_name(&data);
    fs::rename(&chain, &aside)?;
    fs::create_dir(&chain)?;
    for name in &votes {
        fs::rename(aside.join(name), chain.join(name))?;
    }
    if global.json {
        output::json_pretty(&json!({
            "chain_id": genesis.chain_id.as_str(), "aside": aside.display().to_string(), "votes_from": from,
        }));
    } else {
        output::line(format!("the damaged chain lies in {} now", aside.display()));
        output::line(
            "its votes are kept; `fairweir node run` gets the blocks from other nodes and executes them again",
        );
        if from > 0 {
            output::line(format!(
                "this node votes again from epoch {from} on, if it has a seat"
            ));
        }
        output::progress("Remove that folder when the node runs again.");
    }
    Ok(())
}

/// Whether the settings name another validator than this folder's own.
fn has_others(data: &DataDir, config: &Config) -> Result<bool, Exit> {
    let card = data.read(CARD_FILE)?.unwrap_or_default();
    let own = ValidatorCard::parse(&String::from_utf8_lossy(&card)).map(|card| card.identity);
    let own = own.ok();
    Ok(config
        .peers
        .keys()
        .any(|identity| Some(identity) != own.as_ref()))
}

/// The partitions of votes, by name.
fn votes_in(chain: &Path) -> Result<Vec<OsString>, Exit> {
    let mut found = Vec::new();
    for entry in fs::read_dir(chain)? {
        let name = entry?.file_name();
        if epoch_of(&name).is_some() {
            found.push(name);
        }
    }
    Ok(found)
}

/// The epoch of a partition of votes: `…-votes-` and a number.
fn epoch_of(name: &OsString) -> Option<u64> {
    let (_, epoch) = name.to_str()?.rsplit_once("-votes-")?;
    epoch.parse().ok()
}

/// A folder that is not there yet.
fn free_name(data: &DataDir) -> PathBuf {
    let name = |number: u32| data.join(&format!("{CHAIN}-damaged-{number}"));
    (1..u32::MAX)
        .map(name)
        .find(|path| !path.exists())
        .unwrap_or_else(|| name(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_votes_are_votes() {
        let table = [
            ("chain-votes-0", Some(0)),
            ("chain-2-votes-17", Some(17)),
            ("chain-votes-", None),
            ("chain-votes-x", None),
            ("chain-blocks-value", None),
        ];
        for (name, epoch) in table {
            assert_eq!(epoch_of(&OsString::from(name)), epoch, "{name}");
        }
    }
}
