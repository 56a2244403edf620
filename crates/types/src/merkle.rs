//! A plain binary Merkle tree over encoded values, after RFC 6962 §2.1: leaves and nodes hash under different domains,
//! an odd node is carried up unchanged, and the root also commits to the number of leaves.

use crate::{
    bounded::BoundedVec,
    codec::record,
    digest::{Digest, Domain},
    limits::MERKLE_PATH_MAX,
};
use thiserror::Error;

/// The digest of a leaf's bytes.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Digest {
    Digest::of(Domain::MerkleLeaf, &[bytes])
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::of(Domain::MerkleNode, &[left.as_bytes(), right.as_bytes()])
}

fn sealed(count: u64, top: &Digest) -> Digest {
    Digest::of(Domain::MerkleRoot, &[&count.to_be_bytes(), top.as_bytes()])
}

fn level_up(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            [odd] => Some(*odd),
            _ => None,
        })
        .collect()
}

fn count_of(leaves: &[Digest]) -> u64 {
    u64::try_from(leaves.len()).unwrap_or(u64::MAX)
}

/// The root over leaf digests; defined for none too.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_up(&level);
    }
    sealed(
        count_of(leaves),
        &level.first().copied().unwrap_or(Digest::ZERO),
    )
}

/// A path from one leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerklePath {
    /// The leaf's position, from 0.
    pub position: u64,
    /// The number of leaves.
    pub count: u64,
    /// The sibling at each level that has one, from the leaf upwards.
    pub siblings: BoundedVec<Digest, MERKLE_PATH_MAX>,
}
record!(MerklePath {
    position,
    count,
    siblings
});

/// Why a path proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MerkleError {
    /// The position is not below the count.
    #[error("leaf {position} is outside a tree of {count}")]
    OutsideTree {
        /// The position.
        position: u64,
        /// The count.
        count: u64,
    },
    /// There are more or fewer siblings than such a tree has.
    #[error("the path has the wrong length for a tree of {count} leaves")]
    WrongLength {
        /// The count.
        count: u64,
    },
    /// The path leads to another root.
    #[error("the path leads to root {found}, not {expected}")]
    OtherRoot {
        /// The root wanted.
        expected: Digest,
        /// The root that the path leads to.
        found: Digest,
    },
}

/// The path of the leaf at `position`, if there is one.
#[must_use]
pub fn path(leaves: &[Digest], position: usize) -> Option<MerklePath> {
    leaves.get(position)?;
    let mut siblings = BoundedVec::default();
    let mut level = leaves.to_vec();
    let mut at = position;
    while level.len() > 1 {
        if let Some(sibling) = level.get(at ^ 1) {
            siblings.push(*sibling).ok()?;
        }
        level = level_up(&level);
        at >>= 1;
    }
    Some(MerklePath {
        position: u64::try_from(position).ok()?,
        count: count_of(leaves),
        siblings,
    })
}

impl MerklePath {
    /// Checks that `leaf` lies at this position under `expected`.
    ///
    /// # Errors
    /// [`MerkleError`].
    pub fn verify(&self, leaf: &Digest, expected: &Digest) -> Result<(), MerkleError> {
        if self.position >= self.count {
            return Err(MerkleError::OutsideTree {
                position: self.position,
                count: self.count,
            });
        }
        let wrong_length = MerkleError::WrongLength { count: self.count };
        let mut siblings = self.siblings.iter();
        let (mut digest, mut at, mut width) = (*leaf, self.position, self.count);
        while width > 1 {
            let is_odd_last = at & 1 == 0 && at.checked_add(1) == Some(width);
            if !is_odd_last {
                let sibling = siblings.next().ok_or(wrong_length)?;
                digest = if at & 1 == 0 {
                    node(&digest, sibling)
                } else {
                    node(sibling, &digest)
                };
            }
            at >>= 1;
            width = width.div_ceil(2);
        }
        if siblings.next().is_some() {
            return Err(wrong_length);
        }
        let found = sealed(self.count, &digest);
        if found == *expected {
            Ok(())
        } else {
            Err(MerkleError::OtherRoot {
                expected: *expected,
                found,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_and_nothing_else() {
        for count in 1..40usize {
            let leaves: Vec<Digest> = (0..count)
                .map(|number| leaf(&[u8::try_from(number).unwrap()]))
                .collect();
            let root = root(&leaves);
            for (position, digest) in leaves.iter().enumerate() {
                let path = path(&leaves, position).unwrap();
                assert_eq!(path.verify(digest, &root), Ok(()));
                assert!(path.verify(&leaf(b"other"), &root).is_err());
                let mut moved = path.clone();
                moved.position = (path.position + 1) % path.count;
                assert!(count == 1 || moved.verify(digest, &root).is_err());
                let mut recounted = path;
                recounted.count += 1;
                assert!(recounted.verify(digest, &root).is_err());
            }
            assert_eq!(path(&leaves, count), None);
        }
    }
}
