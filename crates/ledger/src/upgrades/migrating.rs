use super::MigrationError;
use crate::{
    export::{KEY_BYTES_MAX, RECORD_BYTES_MAX},
    keys,
    state::{Overlay, State as _},
};
use fairweir_types::limits::MIGRATION_STEPS_MAX;

/// A key and its record.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The state as a migration sees and changes it. Each reading and each writing is a step, and there are [`MIGRATION_STEPS_MAX`].
#[derive(Debug)]
pub struct Migrating<'s> {
    overlay: Overlay<'s>,
    steps_left: usize,
}

impl<'s> Migrating<'s> {
    pub(super) const fn new(overlay: Overlay<'s>) -> Self {
        Self {
            overlay,
            steps_left: MIGRATION_STEPS_MAX,
        }
    }

    /// What it made, and how many records it wrote or deleted.
    pub(super) fn into_overlay(self) -> (Overlay<'s>, u64) {
        let (from, to) = keys::everything();
        let changed = self.overlay.written_in(&from, &to).count();
        (self.overlay, u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn step(&mut self) -> Result<(), MigrationError> {
        let left = self.steps_left.checked_sub(1);
        self.steps_left = left.ok_or(MigrationError::TooLong)?;
        Ok(())
    }

    /// The record under a key.
    ///
    /// # Errors
    /// [`MigrationError::TooLong`].
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, MigrationError> {
        self.step()?;
        Ok(self.overlay.get(key))
    }

    /// The first record with `from <= key < to`.
    ///
    /// # Errors
    /// [`MigrationError::TooLong`].
    pub fn first_in(&mut self, from: &[u8], to: &[u8]) -> Result<Option<Entry>, MigrationError> {
        self.step()?;
        Ok(self.overlay.first_in(from, to))
    }

    /// The next record behind a key whose key begins with `prefix`: the first one if `after` is the prefix alone.
    ///
    /// # Errors
    /// [`MigrationError::TooLong`].
    pub fn next_of(
        &mut self,
        prefix: &[u8],
        after: &[u8],
    ) -> Result<Option<Entry>, MigrationError> {
        let (_, end) = keys::everything();
        // The next possible key: the same bytes and one zero.
        let from = [after, &[0]].concat();
        let found = self.first_in(&from, &end)?;
        Ok(found.filter(|(key, _)| key.starts_with(prefix)))
    }

    /// Puts a record under a key.
    ///
    /// # Errors
    /// [`MigrationError::NoRecord`], [`MigrationError::TooLong`].
    pub fn put(&mut self, key: &[u8], record: Vec<u8>) -> Result<(), MigrationError> {
        self.check(key)?;
        if record.len() > RECORD_BYTES_MAX {
            return Err(MigrationError::NoRecord);
        }
        self.overlay.put(key.to_vec(), record);
        Ok(())
    }

    /// Deletes the record under a key.
    ///
    /// # Errors
    /// [`MigrationError::NoRecord`], [`MigrationError::TooLong`].
    pub fn delete(&mut self, key: &[u8]) -> Result<(), MigrationError> {
        self.check(key)?;
        self.overlay.delete(key.to_vec());
        Ok(())
    }

    /// Counts a writing, and refuses keys that are none, and those of what has run and of the audit.
    fn check(&mut self, key: &[u8]) -> Result<(), MigrationError> {
        self.step()?;
        let (_, end) = keys::everything();
        let is_kept = [keys::upgrade(), keys::audit()].iter().any(|of| of == key);
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key >= end.as_slice() || is_kept {
            return Err(MigrationError::NoRecord);
        }
        Ok(())
    }
}
