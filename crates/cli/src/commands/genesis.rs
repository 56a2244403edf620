use super::account::resolve;
use crate::{
    Global,
    failure::{Exit, code},
    output,
};
use fairweir_node::ceremony::{CeremonyError, GENESIS_FILE_BYTES_MAX, GenesisFile, ValidatorCard};
use fairweir_types::{Amount, ChainId, Millis};
use serde_json::json;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

const AFTER_HELP: &str = "\
How several machines found a network:
  fairweir node init --chain-id river --peer 203.0.113.5:7641      on each machine: keys, and a card to hand over
  fairweir genesis new genesis.toml --chain-id river               one person starts the file,
  fairweir genesis add-validator genesis.toml CARD CARD CARD CARD  puts the cards in,
  fairweir genesis add-account genesis.toml fw1… 1000000           gives accounts their first money,
  fairweir genesis finalise genesis.toml                           and hands the finished file out
  fairweir node join genesis.toml                                  on each machine: compare the digest, then
  fairweir node run";

/// Found a network over several machines: collect validators, balances and settings in a file that all join by.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Genesis {
    /// Start a file.
    New {
        /// Where.
        file: PathBuf,
        /// The chain's name: 1 to 31 of a-z, 0-9 and -; the first digits of its genesis are put behind it when the file is finished. A name that begins with dev- stays on one machine.
        #[arg(long, value_name = "NAME")]
        chain_id: String,
        /// The kinds of work that the chain begins with, by name; by default all that this program knows. Votes add and retire others later.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        kinds: Option<Vec<String>>,
    },
    /// Take the cards of validators, as `fairweir node init --peer` wrote them.
    AddValidator {
        /// The file.
        file: PathBuf,
        /// The cards.
        #[arg(required = true, value_name = "CARD")]
        cards: Vec<PathBuf>,
    },
    /// Give an account its first balance.
    AddAccount {
        /// The file.
        file: PathBuf,
        /// Whose: an address (fw1…) or the name of one of your keys.
        account: String,
        /// Coins.
        coins: Amount,
    },
    /// Set a governed value that shall differ from its default.
    SetParam {
        /// The file.
        file: PathBuf,
        /// Its name, as `fairweir config params` lists it.
        name: String,
        /// The value, in the unit of that list.
        value: u64,
    },
    /// Finish the file: nobody can change balances, values or validators afterwards without changing its digest.
    Finalise {
        /// The file.
        file: PathBuf,
    },
    /// Show what is in a file.
    Show {
        /// The file.
        file: PathBuf,
    },
}

impl Genesis {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::New {
                file,
                chain_id,
                kinds,
            } => {
                if file.exists() {
                    let message =
                        format!("{} is there already: choose another name", file.display());
                    return Err(Exit::message(code::MACHINE, message));
                }
                let mut genesis = GenesisFile::new(&chain_id).map_err(refused)?;
                if let Some(kinds) = kinds {
                    genesis.keep_kinds(&kinds).map_err(refused)?;
                }
                save(&file, &genesis)?;
                show(global, &file)
            }
            Self::AddValidator { file, cards } => {
                let mut genesis = load(&file)?;
                for path in cards {
                    let card = ValidatorCard::parse(&read(&path)?)
                        .and_then(|card| genesis.add_validator(card));
                    card.map_err(|error| {
                        let message = format!("{}: {error}", path.display());
                        Exit::message(code::DOES_NOT_HOLD, message)
                    })?;
                }
                save(&file, &genesis)?;
                show(global, &file)
            }
            Self::AddAccount {
                file,
                account,
                coins,
            } => {
                let address = resolve(global, &account)?;
                change(global, &file, |genesis| genesis.add_account(address, coins))
            }
            Self::SetParam { file, name, value } => {
                change(global, &file, |genesis| genesis.set_param(&name, value))
            }
            Self::Finalise { file } => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                let now = Millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
                change(global, &file, |genesis| genesis.finalise(now).map(drop))
            }
            Self::Show { file } => show(global, &file),
        }
    }
}

pub(crate) fn refused(error: CeremonyError) -> Exit {
    Exit::new(code::DOES_NOT_HOLD, error)
}

/// Reads a file of text whose length is bounded.
pub(crate) fn read(path: &Path) -> Result<String, Exit> {
    let failed = |error: std::io::Error| {
        Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let length = file
        .take(GENESIS_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > GENESIS_FILE_BYTES_MAX {
        let message = format!("{} is too long to be a genesis file", path.display());
        return Err(Exit::message(code::DOES_NOT_HOLD, message));
    }
    Ok(text)
}

/// Reads a genesis file.
pub(crate) fn load(path: &Path) -> Result<GenesisFile, Exit> {
    GenesisFile::parse(&read(path)?).map_err(refused)
}

/// Writes the file whole or not at all.
fn save(path: &Path, genesis: &GenesisFile) -> Result<(), Exit> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |error: std::io::Error| {
        Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
    };
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut new, genesis.to_toml().as_bytes()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    // A temporary file is its maker's alone, but this one is handed out.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(readable).map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn change(
    global: &Global,
    path: &Path,
    change: impl FnOnce(&mut GenesisFile) -> Result<(), CeremonyError>,
) -> Result<(), Exit> {
    let mut genesis = load(path)?;
    change(&mut genesis).map_err(refused)?;
    save(path, &genesis)?;
    show(global, path)
}

fn show(global: &Global, path: &Path) -> Result<(), Exit> {
    let genesis = load(path)?;
    if global.json {
        output::json(&json!({
            "name": genesis.chain_id(),
            "chain_id": genesis.tagged_chain_id().as_ref().map(ChainId::as_str),
            "validators": genesis.peers(),
            "accounts": genesis.accounts(),
            "kinds": genesis.kinds().collect::<Vec<_>>(),
            "digest": genesis.digest(),
        }));
        return Ok(());
    }
    output::line(format!(
        "{}: {} validators, {} accounts; kinds of work: {}",
        genesis.chain_id(),
        genesis.validators().len(),
        genesis.accounts(),
        genesis.kinds().collect::<Vec<_>>().join(", ")
    ));
    for card in genesis.validators() {
        output::line(format!("  {} at {}", card.payout, card.peer));
    }
    output::line(match (genesis.digest(), genesis.tagged_chain_id()) {
        (Some(digest), Some(chain)) => format!("finished; chain {chain}, genesis {digest}"),
        _ => "not finished yet: `fairweir genesis finalise` comes last".to_owned(),
    });
    Ok(())
}
