//! A plan, and the list of those that a program knows.

use super::{Migrating, MigrationError, PLANS};
use fairweir_types::Digest;
use std::fmt;

/// What turns the old records into the new: of the state alone, and the same on every machine.
pub type Migration = fn(&mut Migrating<'_>) -> Result<(), MigrationError>;

/// A change of rules that a program can make.
#[derive(Clone, Copy)]
pub struct Plan {
    /// What people call it. The first line of the text says it too.
    pub name: &'static str,
    /// What the network votes on, byte for byte: which release, from where, what changes.
    pub text: &'static str,
    /// What turns the old records into the new; none if only rules change.
    pub migrate: Option<Migration>,
}

impl Plan {
    /// What a proposal names it by: the blob digest of its text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_blob(self.text.as_bytes())
    }

    /// Whether its text says its name: else a vote would not be about it.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let title = self.text.lines().next().unwrap_or_default();
        !self.name.is_empty() && title.strip_prefix("# ") == Some(self.name)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan {}", self.name)
    }
}

/// The plans that a program knows.
#[derive(Clone, Copy, Debug)]
pub struct Plans(&'static [Plan]);

impl Plans {
    /// Those of a list: for programs that rehearse an upgrade, and for tests. Everybody else takes the default.
    #[must_use]
    pub const fn new(plans: &'static [Plan]) -> Self {
        Self(plans)
    }

    /// All of them, oldest first.
    #[must_use]
    pub const fn all(&self) -> &'static [Plan] {
        self.0
    }

    /// The plan with a digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&'static Plan> {
        // What is asked for is nearly always the newest.
        let mut newest_first = self.0.iter().rev();
        newest_first.find(|plan| plan.digest() == *digest)
    }

    /// The plan with a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&'static Plan> {
        self.0.iter().find(|plan| plan.name == name)
    }
}

/// Those of this release.
impl Default for Plans {
    fn default() -> Self {
        Self(PLANS)
    }
}

impl PartialEq for Plans {
    fn eq(&self, other: &Self) -> bool {
        let texts = |plans: &Self| plans.0.iter().map(|plan| plan.text);
        texts(self).eq(texts(other))
    }
}

impl Eq for Plans {}
