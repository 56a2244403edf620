use crate::{
    Global,
    commands::node::CARD_FILE,
    failure::{Exit, code},
    output,
};
use fairweir_node::{Config, DataDir, ceremony::ValidatorCard};
use serde_json::json;
use std::{
    ffi::OsStr,
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

/// Sets the store of the chain aside, so that the next start gets the chain from others.
///
/// What this node voted lies in the store, and may be damaged as well. So it votes again only after the newest epoch in which it did.
pub(crate) fn repair(global: &Global, given: Option<u64>) -> Result<(), Exit> {
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let config = Config::load(&data)?;
    let card = data.read(CARD_FILE)?;
    if config.follow.is_empty() && !has_others(card.as_deref(), &config) {
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
    let known = data.read(VOTES_FROM)?.is_some();
    let newest = newest_votes(&chain)?;
    if card.is_some() && newest.is_none() && !known && given.is_none() {
        let message = "no votes are found here, so it is not known in which epochs this node voted: say with --votes-from from which epoch on it may vote. One that has not begun yet is safe; another node's `fairweir validator candidates` tells which one it is now";
        return Err(Exit::message(code::MACHINE, message));
    }
    let after = newest.map_or(0, |newest| newest.saturating_add(1));
    let from = after.max(votes_from(&data)?).max(given.unwrap_or_default());
    // First: whatever becomes of the rest, this node votes in no epoch again.
    data.write(VOTES_FROM, from.to_string().as_bytes())?;
    fs::File::open(data.path())?.sync_all()?;
    let aside = free_name(&data);
    fs::rename(&chain, &aside)?;
    fs::create_dir(&chain)?;
    fs::File::open(data.path())?.sync_all()?;
    if global.json {
        output::json_pretty(&json!({
            "chain_id": genesis.chain_id.as_str(), "aside": aside.display().to_string(), "votes_from": from,
        }));
    } else {
        output::line(format!("the damaged chain lies in {} now", aside.display()));
        output::line(
            "`fairweir node run` gets the blocks from other nodes and executes them again",
        );
        if card.is_some() {
            output::line(format!(
                "this node votes again from epoch {from} on, if it has a seat then"
            ));
        }
        output::progress(
            "Repair one validator after the other: an epoch does not end while more than a third do not vote. Remove the folder when the node has caught up.",
        );
    }
    Ok(())
}

/// Whether the settings name another validator than this folder's own.
fn has_others(card: Option<&[u8]>, config: &Config) -> bool {
    let card = String::from_utf8_lossy(card.unwrap_or_default());
    let own = ValidatorCard::parse(&card).map(|card| card.identity).ok();
    config
        .peers
        .keys()
        .any(|identity| Some(identity) != own.as_ref())
}

/// The newest epoch of which there are votes. A node keeps those of the newest in which it had a seat for ever.
fn newest_votes(chain: &Path) -> Result<Option<u64>, Exit> {
    let mut newest = None;
    for entry in fs::read_dir(chain)? {
        newest = newest.max(epoch_of(&entry?.file_name()));
    }
    Ok(newest)
}

/// The epoch of a partition of votes: `…-votes-` and a number.
fn epoch_of(name: &OsStr) -> Option<u64> {
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
            assert_eq!(epoch_of(OsStr::new(name)), epoch, "{name}");
        }
    }
}
