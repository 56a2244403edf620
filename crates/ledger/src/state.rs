//! The state: an ordered map of bytes, read through [`State`] and written through an [`Overlay`].
//!
//! A block executes on an overlay over the parent's state. An action that is refused rolls its writes back; a block
//! that fails drops the whole overlay. Nothing here does I/O: the state fits memory, and `chain` persists the writes.

use crate::fault::Fault;
use commonware_codec::{Encode, Read};
use fairweir_types::decode;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Writes of a block in canonical order; `None` deletes.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What one write leaves under its key; `None` deletes.
type Write = Option<Vec<u8>>;

/// A readable state.
pub trait State {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// The first entry with `from <= key < to`.
    fn first_in(&self, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)>;
}

/// A state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryState {
    /// Applies the writes of a block.
    pub fn apply(&mut self, writes: &Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.entries.insert(key.clone(), value.clone()),
                None => self.entries.remove(key),
            };
        }
    }

    /// Puts one entry, for rebuilding the state from a store.
    pub fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.entries.insert(key, value);
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn range<'a>(from: &'a [u8], to: &'a [u8]) -> Option<KeyRange<'a>> {
    // BTreeMap::range panics on an empty or reversed range.
    (from < to).then_some((Bound::Included(from), Bound::Excluded(to)))
}

impl State for MemoryState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.entries.get(key).cloned()
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let (key, value) = self.entries.range::<[u8], _>(range(from, to)?).next()?;
        Some((key.clone(), value.clone()))
    }
}

/// A state with writes on top. Also readable as a [`State`], so overlays stack.
#[derive(Clone)]
pub struct Overlay<'a> {
    base: &'a dyn State,
    writes: Writes,
    /// What each write since the last checkpoint replaced, newest last.
    journal: Vec<(Vec<u8>, Option<Write>)>,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// An overlay without writes.
    #[must_use]
    pub fn new(base: &'a dyn State) -> Self {
        Self {
            base,
            writes: Writes::new(),
            journal: Vec::new(),
        }
    }

    /// An overlay with the writes of a block.
    pub(crate) const fn of(base: &'a dyn State, writes: Writes) -> Self {
        Self {
            base,
            writes,
            journal: Vec::new(),
        }
    }

    /// The writes.
    #[must_use]
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    /// Keeps everything written so far: [`Overlay::roll_back`] goes no further back.
    pub(crate) fn checkpoint(&mut self) {
        self.journal.clear();
    }

    /// Undoes everything written since the last checkpoint.
    pub(crate) fn roll_back(&mut self) {
        while let Some((key, replaced)) = self.journal.pop() {
            match replaced {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Write) {
        let replaced = self.writes.insert(key.clone(), value);
        self.journal.push((key, replaced));
    }

    /// Puts a record as bytes.
    pub(crate) fn put(&mut self, key: Vec<u8>, record: Vec<u8>) {
        self.write(key, Some(record));
    }

    /// The state without the writes.
    pub(crate) fn before(&self) -> &dyn State {
        self.base
    }

    /// Whether something is written under a key, or deleted.
    pub(crate) fn is_written(&self, key: &[u8]) -> bool {
        self.writes.contains_key(key)
    }

    /// What is written under keys with `from <= key < to`, in order.
    pub(crate) fn written_in<'s>(
        &'s self,
        from: &'s [u8],
        to: &'s [u8],
    ) -> impl Iterator<Item = (&'s [u8], Option<&'s [u8]>)> {
        let written = range(from, to).map(|range| self.writes.range::<[u8], _>(range));
        let written = written.into_iter().flatten();
        written.map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Reads and decodes a record.
    pub(crate) fn load<T: Read<Cfg = ()>>(&self, key: &[u8]) -> Result<Option<T>, Fault> {
        load(self, key)
    }

    /// Encodes and writes a record.
    pub(crate) fn store(&mut self, key: Vec<u8>, record: &impl Encode) {
        self.write(key, Some(record.encode().to_vec()));
    }

    /// Deletes a record.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.write(key, None);
    }
}

/// Reads and decodes a record of any state.
pub(crate) fn load<T: Read<Cfg = ()>>(state: &dyn State, key: &[u8]) -> Result<Option<T>, Fault> {
    state
        .get(key)
        .map(|bytes| {
            decode(&bytes).map_err(|source| Fault::Record {
                key: key.to_vec(),
                source,
            })
        })
        .transpose()
}

/// Walks all records whose key lies in `from..to`, at most `limit` of them.
pub(crate) fn scan<T: Read<Cfg = ()>>(
    state: &dyn State,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, T)>, Fault> {
    let mut found = Vec::new();
    let mut from = from.to_vec();
    while found.len() < limit {
        let Some((key, value)) = state.first_in(&from, to) else {
            break;
        };
        let record = decode(&value).map_err(|source| Fault::Record {
            key: key.clone(),
            source,
        })?;
        from.clone_from(&key);
        // The next possible key: the same bytes and one zero.
        from.push(0);
        found.push((key, record));
    }
    Ok(found)
}

impl State for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.get(key) {
            Some(value) => value.clone(),
            None => self.base.get(key),
        }
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut written = self.writes.range::<[u8], _>(range(from, to)?);
        let mut written_next = written.next();
        let mut base_next = self.base.first_in(from, to);
        loop {
            match (written_next, base_next) {
                (None, base) => return base,
                (Some((key, value)), None) => match value {
                    Some(value) => return Some((key.clone(), value.clone())),
                    None => (written_next, base_next) = (written.next(), None),
                },
                (Some((key, value)), Some((base_key, base_value))) => {
                    if base_key < *key {
                        return Some((base_key, base_value));
                    }
                    if let Some(value) = value {
                        return Some((key.clone(), value.clone()));
                    }
                    // Deleted: skip it here and, if it is the same key, in the base.
                    base_next = if base_key == *key {
                        let mut after = base_key;
                        after.push(0);
                        self.base.first_in(&after, to)
                    } else {
                        Some((base_key, base_value))
                    };
                    written_next = written.next();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_overlay_reads_like_the_state_it_becomes(
            base in proptest::collection::btree_map(0u8..20, any::<u8>(), 0..20),
            writes in proptest::collection::vec((0u8..20, any::<Option<u8>>()), 0..30),
            kept in 0usize..30,
        ) {
            let mut memory = MemoryState::default();
            for (key, value) in &base {
                memory.insert(vec![*key], vec![*value]);
            }
            let mut overlay = Overlay::new(&memory);
            for (position, (key, value)) in writes.iter().enumerate() {
                if position == kept {
                    overlay.checkpoint();
                }
                overlay.write(vec![*key], value.map(|value| vec![value]));
            }
            let cut = if kept < writes.len() { overlay.roll_back(); kept } else { writes.len() };
            let mut expected = memory.clone();
            for (key, value) in &writes[..cut] {
                expected.apply(&BTreeMap::from([(vec![*key], value.map(|value| vec![value]))]));
            }
            for from in 0u8..20 {
                prop_assert_eq!(overlay.get(&[from]), expected.get(&[from]));
                for to in 0u8..22 {
                    prop_assert_eq!(overlay.first_in(&[from], &[to]), expected.first_in(&[from], &[to]));
                }
            }
        }
    }
}

/// Implements the canonical encoding of a record that only the ledger's state holds: its fields in order.
macro_rules! state_record {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                $(commonware_codec::Write::write(&self.$field, buf);)*
                let _ = buf;
            }
        }
        impl commonware_codec::EncodeSize for $name {
            #[allow(clippy::arithmetic_side_effects, clippy::allow_attributes, reason = "a sum of sizes of values in memory; not every record has two fields")]
            fn encode_size(&self) -> usize {
                0 $(+ commonware_codec::EncodeSize::encode_size(&self.$field))*
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl commonware_codec::Buf, _: &()) -> Result<Self, commonware_codec::Error> {
                $(let $field = commonware_codec::ReadExt::read(buf)?;)*
                let _ = buf;
                Ok(Self { $($field),* })
            }
        }
    };
}
pub(crate) use state_record;

/// A record without content: its key says everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {}
state_record!(Mark {});
