//! A Merkle sum tree: each node commits to a digest and to the sum of the amounts below it, so that a path proves how much of
//! the root's total its leaf is, and no leaf can hide behind a smaller sum (protocol rule 2). Shaped like [`crate::merkle`]: an odd
//! node is carried up unchanged, and the root also commits to the number of leaves.

use crate::{
    amount::{Amount, AmountError},
    bounded::BoundedVec,
    codec::record,
    digest::{Digest, Domain},
    limits::MERKLE_PATH_MAX,
};
use thiserror::Error;

/// A node: what lies below it, and how much that is together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SumNode {
    /// The digest of what lies below.
    pub digest: Digest,
    /// The sum of the amounts below, in base units.
    pub sum: Amount,
}
record!(SumNode { digest, sum });

/// The leaf over some bytes that counts for `amount`.
#[must_use]
pub fn leaf(bytes: &[u8], amount: Amount) -> SumNode {
    let amount_bytes = amount.base_units().to_be_bytes();
    SumNode {
        digest: Digest::of(Domain::SumLeaf, &[bytes, &amount_bytes]),
        sum: amount,
    }
}

fn node(left: &SumNode, right: &SumNode) -> Result<SumNode, AmountError> {
    let digest = Digest::of(
        Domain::SumNode,
        &[
            left.digest.as_bytes(),
            &left.sum.base_units().to_be_bytes(),
            right.digest.as_bytes(),
            &right.sum.base_units().to_be_bytes(),
        ],
    );
    Ok(SumNode {
        digest,
        sum: left.sum.checked_add(right.sum)?,
    })
}

fn sealed(count: u64, top: &SumNode) -> SumNode {
    SumNode {
        digest: Digest::of(
            Domain::SumRoot,
            &[
                &count.to_be_bytes(),
                top.digest.as_bytes(),
                &top.sum.base_units().to_be_bytes(),
            ],
        ),
        sum: top.sum,
    }
}

fn level_up(level: &[SumNode]) -> Result<Vec<SumNode>, AmountError> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            [odd] => Some(Ok(*odd)),
            _ => None,
        })
        .collect()
}

fn count_of(leaves: &[SumNode]) -> u64 {
    u64::try_from(leaves.len()).unwrap_or(u64::MAX)
}

/// The root over leaves, with their sum; defined for none too. Costs O(leaves).
///
/// # Errors
/// [`AmountError`] when the sum exceeds the cap.
pub fn root(leaves: &[SumNode]) -> Result<SumNode, AmountError> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_up(&level)?;
    }
    let top = level.first().copied().unwrap_or_default();
    Ok(sealed(count_of(leaves), &top))
}

/// A path from one leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumPath {
    /// The leaf's position, from 0.
    pub position: u64,
    /// The number of leaves.
    pub count: u64,
    /// The sibling at each level that has one, from the leaf upwards.
    pub siblings: BoundedVec<SumNode, MERKLE_PATH_MAX>,
}
record!(SumPath {
    position,
    count,
    siblings
});

/// Why a path proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SumPathError {
    /// The position is not below the count, or there are more or fewer siblings than such a tree has.
    #[error("the path does not fit a tree of {count} leaves")]
    Shape {
        /// The count.
        count: u64,
    },
    /// The amounts along the path exceed the cap.
    #[error("the amounts along the path exceed the supply cap")]
    Amount(#[source] AmountError),
    /// The path leads to another root or another sum.
    #[error("the path leads to another root")]
    OtherRoot,
}

/// All nodes over some leaves, for the paths of many of them.
#[derive(Clone, Debug)]
pub struct SumTree {
    /// From the leaves upwards.
    levels: Vec<Vec<SumNode>>,
    /// Of the leaves.
    count: u64,
}

impl SumTree {
    /// The tree over leaves. Costs O(leaves).
    ///
    /// # Errors
    /// [`AmountError`] when the sum exceeds the cap.
    pub fn new(leaves: Vec<SumNode>) -> Result<Self, AmountError> {
        let count = count_of(&leaves);
        let (mut levels, mut level) = (Vec::new(), leaves);
        while level.len() > 1 {
            let above = level_up(&level)?;
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Ok(Self { levels, count })
    }

    /// What [`root`] gives for the leaves.
    #[must_use]
    pub fn root(&self) -> SumNode {
        let top = self.levels.last().and_then(|level| level.first());
        sealed(self.count, &top.copied().unwrap_or_default())
    }

    /// The path of the leaf at `position`, if there is one. Costs O(log leaves).
    #[must_use]
    pub fn path(&self, position: usize) -> Option<SumPath> {
        self.levels.first()?.get(position)?;
        let mut siblings = BoundedVec::default();
        let mut at = position;
        for level in &self.levels {
            if let Some(sibling) = level.get(at ^ 1) {
                siblings.push(*sibling).ok()?;
            }
            at >>= 1;
        }
        Some(SumPath {
            position: u64::try_from(position).ok()?,
            count: self.count,
            siblings,
        })
    }
}

impl SumPath {
    /// What the leaves before this one count together. Means something once the path was verified.
    ///
    /// # Errors
    /// [`AmountError`] when the sum exceeds the cap.
    pub fn offset(&self) -> Result<Amount, AmountError> {
        let mut siblings = self.siblings.iter();
        let (mut offset, mut at, mut width) = (Amount::ZERO, self.position, self.count);
        while width > 1 {
            let is_odd_last = at & 1 == 0 && at.checked_add(1) == Some(width);
            if !is_odd_last
                && let Some(sibling) = siblings.next()
                && at & 1 == 1
            {
                offset = offset.checked_add(sibling.sum)?;
            }
            at >>= 1;
            width = width.div_ceil(2);
        }
        Ok(offset)
    }

    /// Whether a leaf of this amount covers an offset into the total: the interval from its own offset on, of its own length.
    #[must_use]
    pub fn covers(&self, amount: Amount, sample: Amount) -> bool {
        let Ok(from) = self.offset() else {
            return false;
        };
        from <= sample && from.checked_add(amount).is_ok_and(|to| sample < to)
    }

    /// Checks that `leaf` lies at this position under `expected`, digest and sum.
    ///
    /// # Errors
    /// [`SumPathError`].
    pub fn verify(&self, leaf: &SumNode, expected: &SumNode) -> Result<(), SumPathError> {
        let shape = SumPathError::Shape { count: self.count };
        if self.position >= self.count {
            return Err(shape);
        }
        let mut siblings = self.siblings.iter();
        let (mut found, mut at, mut width) = (*leaf, self.position, self.count);
        while width > 1 {
            let is_odd_last = at & 1 == 0 && at.checked_add(1) == Some(width);
            if !is_odd_last {
                let sibling = siblings.next().ok_or(shape)?;
                let above = if at & 1 == 0 {
                    node(&found, sibling)
                } else {
                    node(sibling, &found)
                };
                found = above.map_err(SumPathError::Amount)?;
            }
            at >>= 1;
            width = width.div_ceil(2);
        }
        if siblings.next().is_some() {
            return Err(shape);
        }
        if sealed(self.count, &found) == *expected {
            Ok(())
        } else {
            Err(SumPathError::OtherRoot)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<SumNode> {
        (0..count)
            .map(|number| {
                leaf(
                    &number.to_be_bytes(),
                    Amount::from_base_units(number * 7 + 1).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_and_its_amount() {
        for count in 1..40u64 {
            let leaves = leaves(count);
            let tree = SumTree::new(leaves.clone()).unwrap();
            let root = root(&leaves).unwrap();
            assert_eq!(tree.root(), root);
            assert!(tree.path(leaves.len()).is_none());
            let total = Amount::sum(leaves.iter().map(|leaf| leaf.sum)).unwrap();
            assert_eq!(root.sum, total);
            for (position, node) in leaves.iter().enumerate() {
                let path = tree.path(position).unwrap();
                assert_eq!(path.verify(node, &root), Ok(()));
                let before =
                    Amount::sum(leaves.iter().take(position).map(|leaf| leaf.sum)).unwrap();
                assert_eq!(path.offset(), Ok(before));
                assert!(path.covers(node.sum, before));
                assert!(!path.covers(node.sum, before.checked_add(node.sum).unwrap()));
                let dearer = leaf(
                    &u64::try_from(position).unwrap().to_be_bytes(),
                    node.sum
                        .checked_add(Amount::from_base_units(1).unwrap())
                        .unwrap(),
                );
                assert!(path.verify(&dearer, &root).is_err());
                let mut moved = path.clone();
                moved.position = (path.position + 1) % path.count;
                assert!(count == 1 || moved.verify(node, &root).is_err());
                let mut recounted = path;
                recounted.count += 1;
                assert!(recounted.verify(node, &root).is_err());
            }
        }
    }

    #[test]
    fn a_sibling_cannot_trade_its_amount_with_its_leaf() {
        let leaves = leaves(4);
        let root = root(&leaves).unwrap();
        let mut path = SumTree::new(leaves.clone()).unwrap().path(1).unwrap();
        let [first, second] = path.siblings.as_mut_slice() else {
            panic!("a tree of four has two levels");
        };
        std::mem::swap(&mut first.sum, &mut second.sum);
        assert!(path.verify(&leaves[1], &root).is_err());
    }

    #[test]
    fn sums_above_the_cap_have_no_root() {
        let most = leaf(b"a", Amount::MAX);
        assert!(root(&[most, most]).is_err());
        assert!(SumTree::new(vec![most, most]).is_err());
    }
}
