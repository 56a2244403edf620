//! The keys that clients show: hashed at rest, limited, revocable while the gateway runs.
//!
//! They lie in one JSON file, which a command line may change while a gateway uses it: every change is made under a lock on a file
//! beside it, and the gateway looks for changes about once a second.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fairweir_types::Amount;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use thiserror::Error;

/// What a secret begins with.
const SECRET_PREFIX: &str = "fw-";
/// Keys in one file.
const KEYS_MAX: usize = 4_096;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// How often the file is looked at; and at most how often when somebody shows a key that is not known, which may be new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// A key as it lies in the file: nothing in it lets anybody ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal digits.
    pub sha256: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// What it may spend in all.
    #[serde(with = "coins_if_any", default)]
    pub spend_max: Option<Amount>,
    /// What it spent.
    #[serde(with = "coins", default)]
    pub spent: Amount,
    /// Requests per minute.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Requests at a time.
    pub concurrent_max: u32,
    /// Whether it was taken back.
    #[serde(default)]
    pub revoked: bool,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// What it may spend in all; `None` for as much as the gateway has.
    pub spend_max: Option<Amount>,
    /// Requests per minute; `None` for any number.
    pub requests_per_minute: Option<u32>,
    /// Requests at a time.
    pub concurrent_max: u32,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            spend_max: None,
            requests_per_minute: None,
            concurrent_max: 64,
        }
    }
}

/// Why keys cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The disk refused.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: std::io::Error,
    },
    /// The file is none of ours.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No key has the id.
    #[error("there is no key {0}")]
    NoSuchKey(String),
    /// The name is empty or too long.
    #[error("a key's name has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    BadName,
    /// There are too many keys.
    #[error("there are {KEYS_MAX} keys already")]
    Full,
    /// The operating system has no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
}

/// Why a key may not ask now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It is unknown or revoked.
    Unknown,
    /// Too many requests in a minute.
    Rate { limit: u32, wait: Duration },
    /// Too many requests at a time.
    Concurrent { limit: u32 },
}

/// What of its rate a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateStanding {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset: Duration,
}

#[derive(Debug, Default)]
struct Use {
    running: u32,
    /// Requests that may be made at once, in 60,000ths, and when that was so.
    bucket: Option<(u64, Instant)>,
}

/// Base units that keys spent, or were given back.
type Changes = BTreeMap<String, i128>;

#[derive(Debug)]
struct State {
    keys: Vec<ApiKey>,
    /// Base units spent (or given back) since the file was written last.
    unsaved: Changes,
    /// The same, on its way into the file.
    saving: Changes,
    uses: BTreeMap<String, Use>,
    read: Option<SystemTime>,
    looked: Instant,
}

impl State {
    /// The key with a hash; takes as long whichever it is.
    fn find(&self, hashed: &str) -> Option<ApiKey> {
        let mut found = None;
        for key in &self.keys {
            if is_same(&key.sha256, hashed) {
                found = Some(key);
            }
        }
        found.cloned()
    }

    /// What a key of the list spent until now.
    fn spent(&self, key: &ApiKey) -> Amount {
        let change = |changes: &Changes| changes.get(&key.id).copied().unwrap_or_default();
        changed(key.spent, change(&self.unsaved) + change(&self.saving))
    }
}

/// The keys of a gateway. Clones share them.
#[derive(Clone)]
pub struct ApiKeys {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} API keys", self.state().keys.len())
    }
}

/// A request that a key may make; it counts against the key until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    keys: ApiKeys,
    pub(crate) id: String,
    pub(crate) rate: Option<RateStanding>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(used) = self.keys.state().uses.get_mut(&self.id) {
            used.running = used.running.saturating_sub(1);
        }
    }
}

fn hash(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares in a time that does not tell where the difference is.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

fn random<const N: usize>() -> Result<[u8; N], KeysError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeysError::Randomness)?;
    Ok(bytes)
}

impl ApiKeys {
    /// The keys in a file; none if there is no file yet.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let keys = Self {
            path: path.to_owned(),
            state: Arc::new(Mutex::new(State {
                keys: Vec::new(),
                unsaved: BTreeMap::new(),
                saving: BTreeMap::new(),
                uses: BTreeMap::new(),
                read: None,
                looked: Instant::now(),
            })),
        };
        let (read, found) = keys.read()?;
        let mut state = keys.state();
        state.keys = found;
        state.read = read;
        drop(state);
        Ok(keys)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self, error: std::io::Error) -> KeysError {
        KeysError::Disk {
            path: self.path.clone(),
            error,
        }
    }

    fn read(&self) -> Result<(Option<SystemTime>, Vec<ApiKey>), KeysError> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((None, Vec::new()));
            }
            Err(error) => return Err(self.disk(error)),
        };
        let damaged = |reason: String| KeysError::Damaged {
            path: self.path.clone(),
            reason,
        };
        if metadata.len() > FILE_BYTES_MAX {
            return Err(damaged(format!("it has {} bytes", metadata.len())));
        }
        let text = fs::read(&self.path).map_err(|error| self.disk(error))?;
        let keys: Vec<ApiKey> =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if keys.len() > KEYS_MAX {
            return Err(damaged(format!("it has {} keys", keys.len())));
        }
        Ok((metadata.modified().ok(), keys))
    }

    fn write(&self, keys: &[ApiKey]) -> Result<(), KeysError> {
        let text = serde_json::to_vec_pretty(keys).map_err(|error| KeysError::Damaged {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        let new = self.path.with_extension("new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|error| self.disk(error))
    }

    /// Changes the file under its lock, with what was spent meanwhile.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .map_err(|error| self.disk(error))?;
        lock.lock().map_err(|error| self.disk(error))?;
        let (_, mut keys) = self.read()?;
        let saving = {
            let mut state = self.state();
            state.saving = core::mem::take(&mut state.unsaved);
            state.saving.clone()
        };
        for key in &mut keys {
            if let Some(change) = saving.get(&key.id) {
                key.spent = changed(key.spent, *change);
            }
        }
        let result = change(&mut keys).and_then(|result| {
            self.write(&keys)?;
            Ok(result)
        });
        let mut state = self.state();
        let saved = core::mem::take(&mut state.saving);
        if result.is_ok() {
            state.keys = keys;
            let metadata = fs::metadata(&self.path);
            state.read = metadata.and_then(|data| data.modified()).ok();
        } else {
            for (id, change) in saved {
                *state.unsaved.entry(id).or_default() += change;
            }
        }
        result
    }

    /// Makes a key and its secret, which is shown this once and kept nowhere.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn create(&self, name: &str, limits: KeyLimits) -> Result<(ApiKey, String), KeysError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(KeysError::BadName);
        }
        let secret = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let id: String = random::<6>()?.iter().map(|b| format!("{b:02x}")).collect();
        let created = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let key = ApiKey {
            id: format!("key_{id}"),
            name: name.to_owned(),
            sha256: hash(&secret),
            created: created.as_secs(),
            spend_max: limits.spend_max,
            spent: Amount::ZERO,
            requests_per_minute: limits.requests_per_minute,
            concurrent_max: limits.concurrent_max,
            revoked: false,
        };
        let made = key.clone();
        self.change(|keys| {
            if keys.len() >= KEYS_MAX {
                return Err(KeysError::Full);
            }
            keys.push(key);
            Ok(())
        })?;
        Ok((made, secret))
    }

    /// All keys, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ApiKey> {
        let state = self.state();
        let mut keys = state.keys.clone();
        for key in &mut keys {
            key.spent = state.spent(key);
        }
        keys
    }

    /// Takes a key back, by its id or its name. A gateway that runs knows within about a second.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn revoke(&self, id: &str) -> Result<(), KeysError> {
        self.change(|keys| {
            let key = keys
                .iter_mut()
                .find(|key| !key.revoked && (key.id == id || key.name == id));
            key.map(|key| key.revoked = true)
                .ok_or_else(|| KeysError::NoSuchKey(id.to_owned()))
        })
    }

    /// Writes down what was spent, and reads what others changed.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn save(&self) -> Result<(), KeysError> {
        if self.state().unsaved.is_empty() {
            return Ok(());
        }
        self.change(|_| Ok(()))
    }

    /// Reads the file again if it changed.
    fn look(&self, every: Duration) {
        {
            let mut state = self.state();
            if state.looked.elapsed() < every {
                return;
            }
            state.looked = Instant::now();
            let modified = fs::metadata(&self.path).and_then(|data| data.modified());
            if modified.ok() == state.read {
                return;
            }
        }
        match self.read() {
            Ok((read, keys)) => {
                let mut state = self.state();
                state.keys = keys;
                state.read = read;
            }
            Err(error) => tracing::warn!(%error, "the API keys could not be read again"),
        }
    }

    /// Whether a secret is that of a key which is not revoked.
    #[must_use]
    pub fn holds(&self, secret: &str) -> bool {
        let found = self.state().find(&hash(secret));
        found.is_some_and(|key| !key.revoked)
    }

    /// Lets a request in, or says why not. It counts until the admission is dropped.
    pub(crate) fn admit(&self, secret: &str) -> Result<Admission, Denial> {
        self.look(LOOK_EVERY);
        let hashed = hash(secret);
        let mut found = self.state().find(&hashed);
        if found.is_none() {
            self.look(LOOK_AT_MOST_EVERY);
            found = self.state().find(&hashed);
        }
        let key = found.filter(|key| !key.revoked).ok_or(Denial::Unknown)?;
        let mut state = self.state();
        let used = state.uses.entry(key.id.clone()).or_default();
        if used.running >= key.concurrent_max {
            let limit = key.concurrent_max;
            return Err(Denial::Concurrent { limit });
        }
        let rate = match key.requests_per_minute {
            None => None,
            Some(limit) => Some(used.take(limit, Instant::now())?),
        };
        used.running = used.running.saturating_add(1);
        drop(state);
        Ok(Admission {
            keys: self.clone(),
            id: key.id,
            rate,
        })
    }

    /// Counts money as spent before it is, if the key has it.
    pub(crate) fn reserve(&self, id: &str, amount: Amount) -> bool {
        let mut state = self.state();
        let Some(key) = state.keys.iter().find(|key| key.id == id) else {
            return false;
        };
        let spent = state.spent(key);
        let fits = key.spend_max.is_none_or(|most| {
            spent
                .checked_add(amount)
                .is_ok_and(|together| together <= most)
        });
        if fits {
            *state.unsaved.entry(id.to_owned()).or_default() += i128::from(amount.base_units());
        }
        fits
    }

    /// Counts what was spent in the end in place of what was reserved.
    pub(crate) fn correct(&self, id: &str, reserved: Amount, cost: Amount) {
        let difference = i128::from(cost.base_units()) - i128::from(reserved.base_units());
        *self.state().unsaved.entry(id.to_owned()).or_default() += difference;
    }
}

impl Use {
    /// Takes one request of a bucket that fills at so many a minute.
    fn take(&mut self, limit: u32, now: Instant) -> Result<RateStanding, Denial> {
        const ONE: u64 = 60_000;
        let full = u64::from(limit).saturating_mul(ONE);
        let (before, since) = self.bucket.unwrap_or((full, now));
        let passed = u64::try_from(now.saturating_duration_since(since).as_millis());
        let filled = before
            .saturating_add(passed.unwrap_or(u64::MAX).saturating_mul(u64::from(limit)))
            .min(full);
        let wait = |missing: u64| Duration::from_millis(missing.div_ceil(u64::from(limit).max(1)));
        if filled < ONE {
            self.bucket = Some((filled, now));
            return Err(Denial::Rate {
                limit,
                wait: wait(ONE - filled),
            });
        }
        let left = filled - ONE;
        self.bucket = Some((left, now));
        Ok(RateStanding {
            limit,
            remaining: u32::try_from(left / ONE).unwrap_or(limit),
            reset: wait(full - left),
        })
    }
}

/// What was spent, after a change in base units.
fn changed(spent: Amount, change: i128) -> Amount {
    let most = i128::from(Amount::MAX.base_units());
    let new = (i128::from(spent.base_units()) + change).clamp(0, most);
    u64::try_from(new)
        .ok()
        .and_then(Amount::from_base_units)
        .unwrap_or(spent)
}

mod coins {
    use fairweir_types::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(amount: &Amount, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

mod coins_if_any {
    use fairweir_types::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        amount: &Option<Amount>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => to.collect_str(amount),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Amount>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests;
