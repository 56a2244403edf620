//! The tree over everything that a run computes, and openings of it.
//!
//! A value is bytes in cells of [`CELL`]; its digest is the root of a tree of arity [`ARITY`] over the cells' hashes. Values stand in
//! sections; a section is such a tree of [`DEPTH`] levels over its values, empty behind the last. What is empty has the digest zero, at every level,
//! so a longer run only adds to a shorter one, and the leftmost difference of two trees is well defined.

use super::RefereeError;
use std::collections::HashMap;

/// A digest of a cell, of a node or of a whole tree; zero for what is empty.
pub type Hash = [u8; 32];

/// What is empty.
pub const EMPTY: Hash = [0; 32];
/// Bytes of a cell: sixteen singles, which the kernels make at once.
pub const CELL: usize = 64;
/// Children of a node at most.
pub const ARITY: usize = 16;
/// Levels of a section: 16^7 values are more than the longest run has.
pub const DEPTH: usize = 7;

const CELL_KEY: &[u8; 32] = b"fairweir referee 1: a cell      ";
const NODE_KEY: &[u8; 32] = b"fairweir referee 1: a node      ";

/// The parts of a run, in the order in which they depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The model's file, from its end to its start.
    File,
    /// The reading of the file's head.
    Head,
    /// The tokens of the prompt.
    Prompt,
    /// The rows of the forward pass.
    Rows,
}

impl Section {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::File, Self::Head, Self::Prompt, Self::Rows];
}

/// The hash of a cell's bytes.
#[must_use]
pub fn cell(bytes: &[u8]) -> Hash {
    *blake3::keyed_hash(CELL_KEY, bytes).as_bytes()
}

/// The hash of a node: of its children's, of which trailing empty ones do not count. Empty if all are.
#[must_use]
pub fn node(children: &[Hash]) -> Hash {
    let count = children
        .iter()
        .rposition(|child| *child != EMPTY)
        .map_or(0, |last| last + 1);
    if count == 0 {
        return EMPTY;
    }
    let mut hasher = blake3::Hasher::new_keyed(NODE_KEY);
    for child in &children[..count] {
        hasher.update(child);
    }
    *hasher.finalize().as_bytes()
}

/// Levels between a value's digest and its cells.
#[must_use]
pub fn levels(cells: usize) -> usize {
    let (mut levels, mut width) = (0, 1);
    while width < cells {
        width *= ARITY;
        levels += 1;
    }
    levels
}

fn parents(hashes: &[Hash]) -> Vec<Hash> {
    hashes.chunks(ARITY).map(node).collect()
}

/// The digest of a value. Empty for no bytes.
#[must_use]
pub fn value(bytes: &[u8]) -> Hash {
    let mut hashes: Vec<Hash> = bytes.chunks(CELL).map(cell).collect();
    while hashes.len() > 1 {
        hashes = parents(&hashes);
    }
    hashes.first().copied().unwrap_or(EMPTY)
}

/// A section's tree: the digests of its values, and all nodes above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// From the values up to the root.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Over these values.
    #[must_use]
    pub fn new(values: Vec<Hash>) -> Self {
        let mut levels = vec![values];
        for level in 0..DEPTH {
            levels.push(parents(&levels[level]));
        }
        Self { levels }
    }

    /// The digest of all.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.levels[DEPTH].first().copied().unwrap_or(EMPTY)
    }

    /// The children of the node that a path from the root leads to; none below the values.
    #[must_use]
    pub fn children(&self, path: &[u8]) -> Vec<Hash> {
        let Some(level) = (DEPTH - 1).checked_sub(path.len()) else {
            return Vec::new();
        };
        let node = path
            .iter()
            .fold(0usize, |node, digit| node * ARITY + usize::from(*digit));
        let hashes = &self.levels[level];
        let from = (node * ARITY).min(hashes.len());
        hashes[from..(from + ARITY).min(hashes.len())].to_vec()
    }
}

/// The digits of a value's place in its section.
#[must_use]
pub fn digits(index: usize) -> [u8; DEPTH] {
    std::array::from_fn(|level| (index >> (4 * (DEPTH - 1 - level)) & 15) as u8)
}

/// The place of a value in its section.
#[must_use]
pub fn index(digits: &[u8]) -> usize {
    digits
        .iter()
        .fold(0, |index, digit| index * ARITY + usize::from(*digit))
}

/// A run's tree: its sections side by side.
#[must_use]
pub fn run(sections: &[Hash; 4]) -> Hash {
    node(sections)
}

/// Preimages by their hashes: values whole, and nodes above them. Whatever is asked for is walked to from a root, so false ones are never met.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    nodes: HashMap<Hash, Vec<Hash>>,
    values: HashMap<Hash, Vec<u8>>,
}

impl Bag {
    /// Adds a node.
    pub fn add_node(&mut self, children: Vec<Hash>) {
        self.nodes.insert(node(&children), children);
    }

    /// Adds a value.
    pub fn add_value(&mut self, bytes: Vec<u8>) {
        self.values.insert(value(&bytes), bytes);
    }
}

/// A run that is known by its root, and opened as far as a bag goes.
#[derive(Debug)]
pub struct Opened<'a> {
    root: Hash,
    bag: &'a Bag,
}

impl<'a> Opened<'a> {
    /// The run with this root.
    #[must_use]
    pub fn new(root: Hash, bag: &'a Bag) -> Self {
        Self { root, bag }
    }

    /// A value; no bytes where there is none.
    ///
    /// # Errors
    /// [`RefereeError::NotShown`].
    pub fn value(&self, section: Section, index: usize) -> Result<&'a [u8], RefereeError> {
        let missing = RefereeError::NotShown { section, index };
        let mut hash = self.root;
        for digit in [section as u8].into_iter().chain(digits(index)) {
            if hash == EMPTY {
                break;
            }
            let children = self.bag.nodes.get(&hash).ok_or(missing)?;
            hash = children.get(usize::from(digit)).copied().unwrap_or(EMPTY);
        }
        if hash == EMPTY {
            return Ok(&[]);
        }
        Ok(self.bag.values.get(&hash).ok_or(missing)?)
    }

    /// The place of a section's last value, behind which all is empty; none in an empty section.
    ///
    /// # Errors
    /// [`RefereeError::NotShown`].
    pub fn last(&self, section: Section) -> Result<Option<usize>, RefereeError> {
        let children = |hash: &Hash| self.bag.nodes.get(hash);
        let missing = RefereeError::NotShown { section, index: 0 };
        let sections = children(&self.root).ok_or(missing)?;
        let root = sections.get(section as usize).copied();
        let mut hash = root.unwrap_or(EMPTY);
        if hash == EMPTY {
            return Ok(None);
        }
        let mut path = [0; DEPTH];
        for digit in &mut path {
            let children = children(&hash).ok_or(missing)?;
            let last = children
                .iter()
                .take(ARITY)
                .rposition(|child| *child != EMPTY);
            // A node that is not empty has a child that is not.
            let last = last.ok_or(missing)?;
            (*digit, hash) = (last as u8, children[last]);
        }
        Ok(Some(index(&path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_longer_runs_only_add() {
        let values: Vec<Hash> = (0..300u32)
            .map(|number| cell(&number.to_le_bytes()))
            .collect();
        let (long, short) = (Tree::new(values.clone()), Tree::new(values[..290].to_vec()));
        let (mut path, mut found) = (Vec::new(), None);
        for _ in 0..DEPTH {
            let (a, b) = (long.children(&path), short.children(&path));
            let differs = |at: &usize| {
                a.get(*at).copied().unwrap_or(EMPTY) != b.get(*at).copied().unwrap_or(EMPTY)
            };
            let digit = (0..ARITY).find(differs).expect("the roots differ");
            path.push(digit as u8);
            found = Some(index(&path));
        }
        assert_eq!(found, Some(290));
        assert_eq!(digits(290).to_vec(), path);
        assert_eq!(Tree::new(Vec::new()).root(), EMPTY);
    }

    #[test]
    fn cells_nodes_and_values_never_look_alike() {
        let bytes = [7; 32];
        assert_ne!(cell(&bytes), node(&[bytes]));
        assert_eq!(value(&bytes), cell(&bytes), "one cell is its value");
        assert_ne!(value(&[0; 65]), value(&[0; 64]));
        assert_eq!(value(&[]), EMPTY);
        assert_eq!(node(&[bytes, EMPTY]), node(&[bytes]));
        assert_eq!(
            (levels(1), levels(16), levels(17), levels(256)),
            (0, 1, 2, 2)
        );
    }

    #[test]
    fn what_is_opened_leads_to_the_root() {
        let values: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; 100]).collect();
        let tree = Tree::new(values.iter().map(|bytes| value(bytes)).collect());
        let sections = [EMPTY, EMPTY, EMPTY, tree.root()];
        let mut bag = Bag::default();
        bag.add_node(sections.to_vec());
        let path = digits(33);
        for level in 0..DEPTH {
            bag.add_node(tree.children(&path[..level]));
        }
        bag.add_value(values[33].clone());
        bag.add_value(values[1].clone());
        let opened = Opened::new(run(&sections), &bag);
        assert_eq!(opened.value(Section::Rows, 33), Ok(&values[33][..]));
        assert_eq!(
            opened.value(Section::Rows, 45),
            Ok(&[][..]),
            "behind the last"
        );
        assert_eq!(opened.value(Section::File, 0), Ok(&[][..]));
        assert_eq!(opened.last(Section::File), Ok(None));
        // It stands beside the one that is shown.
        assert_eq!(opened.last(Section::Rows), Ok(Some(39)));
        let mut first = Bag::default();
        first.add_node(sections.to_vec());
        for level in 0..DEPTH {
            first.add_node(tree.children(&digits(1)[..level]));
        }
        let first = Opened::new(run(&sections), &first);
        assert!(
            first.last(Section::Rows).is_err(),
            "the last path is not there"
        );
        assert!(
            opened.value(Section::Rows, 34).is_err(),
            "the value is not there"
        );
        assert!(
            opened.value(Section::Rows, 1).is_err(),
            "the path is not there"
        );
        assert!(Opened::new([1; 32], &bag).value(Section::Rows, 33).is_err());
    }
}
