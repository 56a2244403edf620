//! Keys at rest: one file, encrypted with a passphrase by age (scrypt, ChaCha20-Poly1305).

use crate::data_dir::{DataDir, DataDirError};
use age::secrecy::SecretString;
use fairweir_types::{Digest, SecretKey, digest::Domain, keys::VoteSecretKey};
use std::{collections::BTreeMap, fmt};
use thiserror::Error;
use zeroize::Zeroizing;

const KEYS_FILE: &str = "keys.age";
const DEV_PASSPHRASE_FILE: &str = "dev.passphrase";
/// scrypt's cost as a power of two: about a second for a passphrase that a person chose (the default of age).
const WORK_FACTOR: u8 = 18;
/// For a passphrase of 256 random bits there is nothing to guess, so the cost may be low.
const WORK_FACTOR_DEV: u8 = 10;
/// The highest cost that a file may ask of us: a minute.
const WORK_FACTOR_MAX: u8 = 22;
/// Keys in one store.
const KEYS_MAX: usize = 256;

/// Why keys cannot be used.
#[derive(Debug, Error)]
pub enum KeystoreError {
    /// The folder refused.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no keystore.
    #[error(
        "there are no keys here yet: run `fairweir keys new NAME`, `fairweir keys restore FILE` or `fairweir up`"
    )]
    Missing,
    /// The passphrase is wrong, or the file is damaged.
    #[error("the keys do not open: wrong passphrase, or a damaged file")]
    DoesNotOpen(#[source] age::DecryptError),
    /// It could not be encrypted.
    #[error("the keys could not be encrypted")]
    Encrypt(#[source] age::EncryptError),
    /// The contents are not ours.
    #[error("the decrypted keys are malformed at line {line}")]
    Malformed {
        /// The line, from 1.
        line: usize,
    },
    /// No key of this name.
    #[error("there is no key named {name}: `fairweir keys list` shows those there are")]
    NoSuchKey {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("a key named {name} exists already")]
    Taken {
        /// The name.
        name: String,
    },
    /// The name is not 1 to 32 of a-z, 0-9 and -.
    #[error("a key's name is 1 to 32 of a-z, 0-9 and -")]
    BadName,
    /// There are as many keys as fit.
    #[error("a keystore holds at most {KEYS_MAX} keys")]
    Full,
    /// The operating system has no randomness.
    #[error("the operating system gave no randomness")]
    Randomness(#[source] getrandom::Error),
    /// The passphrase is needed and there is none.
    #[error("a passphrase is needed: set FAIRWEIR_PASSPHRASE, or give --passphrase-file")]
    NoPassphrase,
}

/// 32 random bytes of the operating system.
///
/// # Errors
/// [`KeystoreError::Randomness`].
pub fn random_seed() -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(KeystoreError::Randomness)?;
    Ok(seed)
}

/// What opens a keystore.
#[derive(Clone)]
pub struct Passphrase {
    secret: SecretString,
    work_factor: u8,
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// A passphrase that a person chose.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self {
            secret: SecretString::from(secret),
            work_factor: WORK_FACTOR,
        }
    }

    /// The random passphrase of a development network, which lies beside its keys: such keys deserve no trust, and a
    /// node with them talks to this machine only.
    ///
    /// # Errors
    /// [`KeystoreError::DataDir`] or [`KeystoreError::Randomness`].
    pub fn of_dev(data: &DataDir) -> Result<Self, KeystoreError> {
        let text = if let Some(bytes) = data.read(DEV_PASSPHRASE_FILE)? {
            String::from_utf8_lossy(&bytes).trim().to_owned()
        } else {
            let text = Digest(*random_seed()?).to_string();
            data.write(DEV_PASSPHRASE_FILE, text.as_bytes())?;
            make_private(data, DEV_PASSPHRASE_FILE)?;
            text
        };
        Ok(Self {
            secret: SecretString::from(text),
            work_factor: WORK_FACTOR_DEV,
        })
    }

    /// The passphrase of a development network, if this folder holds one.
    ///
    /// # Errors
    /// [`KeystoreError::DataDir`].
    pub fn of_dev_if_any(data: &DataDir) -> Result<Option<Self>, KeystoreError> {
        if data.read(DEV_PASSPHRASE_FILE)?.is_some() {
            Self::of_dev(data).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn make_private(data: &DataDir, name: &str) -> Result<(), DataDirError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = data.join(name);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).map_err(|source| DataDirError::Disk { path, source })
}

/// The keys of a folder, decrypted.
#[derive(Clone)]
pub struct Keystore {
    seeds: BTreeMap<String, Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.seeds.keys()).finish()
    }
}

fn check_name(name: &str) -> Result<(), KeystoreError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(allowed) {
        return Err(KeystoreError::BadName);
    }
    Ok(())
}

impl Keystore {
    /// A store without keys.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            seeds: BTreeMap::new(),
        }
    }

    /// Whether a folder has keys.
    ///
    /// # Errors
    /// [`KeystoreError::DataDir`].
    pub fn exists(data: &DataDir) -> Result<bool, KeystoreError> {
        Ok(data.read(KEYS_FILE)?.is_some())
    }

    /// Opens the keys of a folder.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn open(data: &DataDir, passphrase: &Passphrase) -> Result<Self, KeystoreError> {
        Self::decrypt(
            &data.read(KEYS_FILE)?.ok_or(KeystoreError::Missing)?,
            passphrase,
        )
    }

    /// Opens an encrypted copy.
    ///
    /// # Errors
    /// [`KeystoreError::DoesNotOpen`] or [`KeystoreError::Malformed`].
    pub fn decrypt(bytes: &[u8], passphrase: &Passphrase) -> Result<Self, KeystoreError> {
        let mut identity = age::scrypt::Identity::new(passphrase.secret.clone());
        identity.set_max_work_factor(WORK_FACTOR_MAX);
        let text =
            Zeroizing::new(age::decrypt(&identity, bytes).map_err(KeystoreError::DoesNotOpen)?);
        let text = std::str::from_utf8(&text).map_err(|_| KeystoreError::Malformed { line: 1 })?;
        let mut keys = Self::empty();
        for (line, entry) in (1..).zip(text.lines()) {
            let malformed = KeystoreError::Malformed { line };
            let Some((name, seed)) = entry.split_once(' ') else {
                return Err(malformed);
            };
            let Ok(Digest(seed)) = seed.parse() else {
                return Err(malformed);
            };
            keys.insert(name, Zeroizing::new(seed))
                .map_err(|_| malformed)?;
        }
        Ok(keys)
    }

    /// The encrypted copy: what a backup is.
    ///
    /// # Errors
    /// [`KeystoreError::Encrypt`].
    pub fn encrypt(&self, passphrase: &Passphrase) -> Result<Vec<u8>, KeystoreError> {
        let mut text = Zeroizing::new(String::new());
        for (name, seed) in &self.seeds {
            text.push_str(&format!("{name} {}\n", Digest(**seed)));
        }
        let mut recipient = age::scrypt::Recipient::new(passphrase.secret.clone());
        recipient.set_work_factor(passphrase.work_factor);
        age::encrypt(&recipient, text.as_bytes()).map_err(KeystoreError::Encrypt)
    }

    /// Keeps the keys in a folder, readable by this user alone.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn save(&self, data: &DataDir, passphrase: &Passphrase) -> Result<(), KeystoreError> {
        data.write(KEYS_FILE, &self.encrypt(passphrase)?)?;
        Ok(make_private(data, KEYS_FILE)?)
    }

    /// Adds a key by its seed.
    ///
    /// # Errors
    /// [`KeystoreError::BadName`], [`KeystoreError::Taken`] or [`KeystoreError::Full`].
    pub fn insert(&mut self, name: &str, seed: Zeroizing<[u8; 32]>) -> Result<(), KeystoreError> {
        check_name(name)?;
        if self.seeds.contains_key(name) {
            return Err(KeystoreError::Taken {
                name: name.to_owned(),
            });
        }
        if self.seeds.len() >= KEYS_MAX {
            return Err(KeystoreError::Full);
        }
        self.seeds.insert(name.to_owned(), seed);
        Ok(())
    }

    /// Adds a fresh random key.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn generate(&mut self, name: &str) -> Result<SecretKey, KeystoreError> {
        self.insert(name, random_seed()?)?;
        self.account(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.seeds.keys().map(String::as_str)
    }

    /// Whether there is a key of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.seeds.contains_key(name)
    }

    /// The seed of a key.
    ///
    /// # Errors
    /// [`KeystoreError::NoSuchKey`].
    pub fn seed(&self, name: &str) -> Result<&[u8; 32], KeystoreError> {
        self.seeds
            .get(name)
            .map(|seed| &**seed)
            .ok_or_else(|| KeystoreError::NoSuchKey {
                name: name.to_owned(),
            })
    }

    /// The account key of a name.
    ///
    /// # Errors
    /// [`KeystoreError::NoSuchKey`].
    pub fn account(&self, name: &str) -> Result<SecretKey, KeystoreError> {
        SecretKey::from_seed(*self.seed(name)?).map_err(|_| KeystoreError::Malformed { line: 0 })
    }

    /// The vote key of a name.
    ///
    /// # Errors
    /// [`KeystoreError::NoSuchKey`].
    pub fn vote_key(&self, name: &str) -> Result<VoteSecretKey, KeystoreError> {
        VoteSecretKey::from_seed(*self.seed(name)?)
            .map_err(|_| KeystoreError::Malformed { line: 0 })
    }
}

/// The seed of the transport key that belongs to a seed: another key, so that a TLS key never signs a transaction.
#[must_use]
pub fn transport_seed(seed: &[u8; 32]) -> [u8; 32] {
    Digest::of(Domain::KeyDerivation, &[b"transport", seed]).0
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    fn cheap(secret: &str) -> Passphrase {
        Passphrase {
            secret: SecretString::from(secret.to_owned()),
            work_factor: 2,
        }
    }

    #[test]
    fn keys_are_encrypted_at_rest_and_open_with_their_passphrase_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let mut keys = Keystore::empty();
        let address = keys.generate("worker-1").unwrap().address();
        keys.save(&data, &cheap("right")).unwrap();
        let file = data.read(KEYS_FILE).unwrap().unwrap();
        let hex = Digest(*keys.seed("worker-1").unwrap()).to_string();
        assert!(
            !file
                .windows(hex.len())
                .any(|window| window == hex.as_bytes())
        );
        assert_eq!(
            Keystore::open(&data, &cheap("right"))
                .unwrap()
                .account("worker-1")
                .unwrap()
                .address(),
            address
        );
        assert!(matches!(
            Keystore::open(&data, &cheap("wrong")),
            Err(KeystoreError::DoesNotOpen(_))
        ));
        let mut damaged = file;
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(matches!(
            Keystore::decrypt(&damaged, &cheap("right")),
            Err(KeystoreError::DoesNotOpen(_))
        ));
    }

    #[test]
    fn names_are_checked_and_taken_once() {
        let mut keys = Keystore::empty();
        keys.generate("a").unwrap();
        assert!(matches!(
            keys.generate("a"),
            Err(KeystoreError::Taken { .. })
        ));
        for bad in ["", "A", "a b", "../x", &"x".repeat(33)] {
            assert!(
                matches!(keys.generate(bad), Err(KeystoreError::BadName)),
                "{bad}"
            );
        }
        assert!(matches!(
            keys.account("b"),
            Err(KeystoreError::NoSuchKey { .. })
        ));
    }
}
