use crate::{
    Global,
    failure::{Exit, code},
    output,
};
use fairweir_node::{Keystore, KeystoreError, Passphrase};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Make, list, back up and restore keys. They are encrypted at rest with your passphrase.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Keys {
    /// List the keys with their addresses.
    List,
    /// Make a new key.
    New {
        /// Its name: 1 to 32 of a-z, 0-9 and -.
        name: String,
    },
    /// Write an encrypted copy of all keys.
    Backup {
        /// The file to write; must not exist.
        file: PathBuf,
    },
    /// Take the keys of an encrypted copy into this folder; keys that are here already stay.
    Restore {
        /// The copy.
        file: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::List => {
                show(global, &global.keystore()?);
                Ok(())
            }
            Self::New { name } => new(global, name),
            Self::Backup { file } => backup(global, file),
            Self::Restore { file } => restore(global, file),
        }
    }
}

fn show(global: &Global, keys: &Keystore) {
    let named = keys
        .names()
        .filter_map(|name| Some((name, keys.account(name).ok()?.address())));
    if global.json {
        let keys: Vec<Value> = named
            .map(|(name, address)| json!({"name": name, "address": address.to_string()}))
            .collect();
        output::json_pretty(&keys.into());
    } else {
        for (name, address) in named {
            output::line(format!("{name:<20} {address}"));
        }
    }
}

/// The passphrase for a store that is made now: given, or asked for twice.
fn fresh_passphrase(global: &Global) -> Result<Passphrase, Exit> {
    if let Some(given) = global.passphrase_given()? {
        return Ok(given);
    }
    let ask = |prompt| {
        rpassword::prompt_password(prompt).map_err(|_| Exit::from(KeystoreError::NoPassphrase))
    };
    let first = ask("New passphrase: ")?;
    if first.len() < 8 {
        return Err(Exit::message(
            code::MACHINE,
            "a passphrase needs at least 8 characters",
        ));
    }
    if ask("Once more: ")? != first {
        return Err(Exit::message(code::MACHINE, "the two passphrases differ"));
    }
    Ok(Passphrase::new(first))
}

/// Opens the folder's keys, or begins an empty store with a fresh passphrase.
pub(crate) fn open_or_begin(global: &Global) -> Result<(Keystore, Passphrase), Exit> {
    let data = global.data_dir()?;
    if Keystore::exists(&data)? {
        let passphrase = global.passphrase(&data)?;
        return Ok((Keystore::open(&data, &passphrase)?, passphrase));
    }
    Ok((Keystore::empty(), fresh_passphrase(global)?))
}

fn new(global: &Global, name: &str) -> Result<(), Exit> {
    let (mut keys, passphrase) = open_or_begin(global)?;
    let address = keys.generate(name)?.address();
    keys.save(&global.data_dir()?, &passphrase)?;
    if global.json {
        output::json(&json!({"name": name, "address": address.to_string()}));
    } else {
        output::line(format!("{name:<20} {address}"));
    }
    Ok(())
}

fn backup(global: &Global, file: &PathBuf) -> Result<(), Exit> {
    if file.exists() {
        return Err(Exit::message(
            code::MACHINE,
            format!("{} exists already: choose another name", file.display()),
        ));
    }
    let data = global.data_dir()?;
    let passphrase = global.passphrase(&data)?;
    let copy = Keystore::open(&data, &passphrase)?.encrypt(&passphrase)?;
    std::fs::write(file, &copy)?;
    // A backup that does not open is worse than none: try it.
    Keystore::decrypt(&std::fs::read(file)?, &passphrase)?;
    output::line(format!(
        "{} holds an encrypted copy; it opens with the same passphrase",
        file.display()
    ));
    Ok(())
}

fn restore(global: &Global, file: &PathBuf) -> Result<(), Exit> {
    let data = global.data_dir()?;
    let bytes = std::fs::read(file)
        .map_err(|error| Exit::message(code::MACHINE, format!("{}: {error}", file.display())))?;
    let passphrase = global.passphrase(&data)?;
    let copy = Keystore::decrypt(&bytes, &passphrase)?;
    let mut keys = if Keystore::exists(&data)? {
        Keystore::open(&data, &passphrase)?
    } else {
        Keystore::empty()
    };
    let mut restored = 0;
    for name in copy.names() {
        if keys.contains(name) && keys.seed(name)? != copy.seed(name)? {
            return Err(KeystoreError::Taken {
                name: name.to_owned(),
            }
            .into());
        }
        if !keys.contains(name) {
            keys.insert(name, zeroize::Zeroizing::new(*copy.seed(name)?))?;
            restored += 1;
        }
    }
    keys.save(&data, &passphrase)?;
    output::line(format!("{restored} keys restored"));
    Ok(())
}
