use crate::{
    Global,
    commands::{
        account::resolve,
        trust::{Trust, read, refused},
    },
    connection::with_connection,
    failure::{Exit, code},
    output,
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use fairweir_ledger::{MemoryState, bank};
use fairweir_types::{Address, file::Filed as _, state_proof::StateProof};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const AFTER_HELP: &str = "\
Try:
  fairweir proof account buyer --output buyer.fws    what you have, proven, for somebody who trusts no node
  fairweir proof check buyer.fws                     check it offline
  fairweir proof check buyer.fws --handovers FILE    the same, since other validators than the genesis's have the seats
  fairweir proof key 0a                              any record, by its key in hexadecimal digits";

/// Age from which on a proof is said to be old.
const OLD: Duration = Duration::from_secs(600);
/// The first byte of the keys of accounts.
const ACCOUNT: u8 = 0x01;

/// Prove what the ledger holds, and check such proofs.
///
/// Every block's header commits to the whole state. A proof shows one record of it, or that there is none, against the header of a final block; who checks it needs the genesis,
/// and the handovers since then if others have the seats now, but no node. The bytes are described in docs/reference/proofs.md.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Proof {
    /// Prove an account's balance and nonce, or that there is no such account.
    Account {
        /// An address (fw1…) or the name of one of your keys.
        account: String,
        #[command(flatten)]
        get: Get,
    },
    /// Prove the record under a key, or that there is none.
    Key {
        /// The key, in hexadecimal digits.
        key: String,
        #[command(flatten)]
        get: Get,
    },
    /// Check a proof that somebody wrote to a file: no node is asked, but with --seats, or with --checkpoint and no --handovers.
    Check {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        trust: Trust,
    },
}

/// What becomes of a proof that a node gave.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Write the proof to a file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

impl Proof {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Account { account, get } => {
                get.run(global, &bank::key(resolve(global, account)?))
            }
            Self::Key { key, get } => {
                let key = HEXLOWER_PERMISSIVE.decode(key.as_bytes()).map_err(|_| {
                    Exit::message(
                        code::MACHINE,
                        "a key is written in pairs of hexadecimal digits",
                    )
                })?;
                get.run(global, &key)
            }
            Self::Check { file, trust } => {
                let proof = StateProof::from_file(&read(file)?).map_err(|error| {
                    let message = format!("{error} ({})", error.code());
                    Exit::message(code::DOES_NOT_HOLD, message)
                })?;
                show(global, trust, &proof)
            }
        }
    }
}

impl Get {
    fn run(&self, global: &Global, key: &[u8]) -> Result<(), Exit> {
        let proof = with_connection(global, |connection| async move {
            Ok(connection.client.proof(key).await?)
        })?;
        if proof.key.as_slice() != key {
            let message = "the node proves something about another key";
            return Err(Exit::message(code::DOES_NOT_HOLD, message));
        }
        show(global, &self.trust, &proof)?;
        if let Some(path) = &self.output {
            write(path, &proof)?;
        }
        Ok(())
    }
}

fn write(path: &Path, proof: &StateProof) -> Result<(), Exit> {
    std::fs::write(path, proof.to_file())
        .map_err(|error| Exit::message(code::MACHINE, format!("{}: {error}", path.display())))
}

/// Checks a proof, and says what it shows.
fn show(global: &Global, trust: &Trust, proof: &StateProof) -> Result<(), Exit> {
    let height = proof.header.height;
    let (genesis, light) = trust.light(global, height)?;
    let record = light.verify_state(proof).map_err(|error| refused(&error))?;
    let key = proof.key.as_slice();
    let account = account(key, record.as_deref())?;
    if global.json {
        output::json_pretty(&json!({
            "chain_id": genesis.chain_id.as_str(), "genesis": genesis.digest().to_string(),
            "height": height.get(), "block": proof.header.digest().to_string(), "time_ms": proof.header.time.get(),
            "key": HEXLOWER.encode(key), "record": record.map(|record| HEXLOWER.encode(&record)), "account": account,
        }));
        return Ok(());
    }
    output::line(format!(
        "chain       {} (genesis {})",
        genesis.chain_id,
        genesis.digest()
    ));
    output::line(format!(
        "proven      after block {height} ({})",
        proof.header.digest()
    ));
    let made = UNIX_EPOCH + Duration::from_millis(proof.header.time.get());
    let age = SystemTime::now().duration_since(made).unwrap_or_default();
    output::line(format!(
        "made        {} s ago, by this machine's clock",
        age.as_secs()
    ));
    if age > OLD {
        output::progress("That is long ago: it proves what was so then, not what is so now.");
    }
    output::line(format!("key         {}", HEXLOWER.encode(key)));
    match (&record, account) {
        (None, _) => output::line("record      there is none"),
        (Some(_), Some(account)) => output::line(format!("account     {account}")),
        (Some(record), None) => output::line(format!("record      {}", HEXLOWER.encode(record))),
    }
    Ok(())
}

/// What a record of an account says; none of another record, and where there is none.
fn account(key: &[u8], record: Option<&[u8]>) -> Result<Option<Value>, Exit> {
    let (Some((&ACCOUNT, address)), Some(record)) = (key.split_first(), record) else {
        return Ok(None);
    };
    let Ok(address) = <[u8; 20]>::try_from(address) else {
        return Ok(None);
    };
    let address = Address(address);
    let mut state = MemoryState::default();
    state.insert(key.to_vec(), record.to_vec());
    let account = bank::account(&state, address)
        .map_err(|error| Exit::message(code::DOES_NOT_HOLD, error.to_string()))?;
    Ok(Some(json!({
        "address": address.to_string(), "balance": account.balance.to_string(), "nonce": account.nonce.0,
    })))
}
