//! Keys and values of sequences, in pages of 16 positions.
//!
//! A page holds 16 positions of all layers and heads, as `f32`. Sequences that were forked share full pages; a page is written only by a
//! sequence that alone has it. The number of pages is fixed when the cache is made. What it holds changes nothing about results: a row
//! sees its own sequence alone.

use crate::{
    attention::{PAGE, head_floats},
    llama::{Shape, Workspace},
};
use thiserror::Error;

/// The most sequences that may be open at once, so that tables stay small.
pub const SEQUENCES_MAX: usize = 65_536;

/// Names an open sequence of one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId {
    index: u32,
    generation: u32,
}

/// Why the cache cannot do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CacheError {
    /// The sequence was closed, or is another cache's.
    #[error("the sequence is not open")]
    NotOpen,
    /// Too few pages are free.
    #[error("{needed} pages are needed and {free} are free")]
    Full {
        /// Pages.
        needed: usize,
        /// Pages.
        free: usize,
    },
    /// The sequence is shorter.
    #[error("{wanted} positions are wanted of a sequence that has {length}")]
    TooShort {
        /// Positions.
        wanted: usize,
        /// Positions.
        length: usize,
    },
    /// [`SEQUENCES_MAX`] are open.
    #[error("too many sequences are open")]
    TooManySequences,
    /// The pages would not fit the address space.
    #[error("{pages} pages do not fit memory")]
    TooLarge {
        /// As asked.
        pages: usize,
    },
}

#[derive(Clone, Debug, Default)]
struct Sequence {
    generation: u32,
    is_open: bool,
    pages: Vec<u32>,
    length: usize,
    /// Rows of the step that is under way.
    pending: usize,
}

/// Keys and values of the sequences of one model, and the working memory of its steps.
#[derive(Debug)]
pub struct Cache {
    pub(crate) shape: Shape,
    pub(crate) data: Vec<f32>,
    page_floats: usize,
    users: Vec<u32>,
    free: Vec<u32>,
    sequences: Vec<Sequence>,
    closed: Vec<u32>,
    pub(crate) workspace: Workspace,
}

impl Cache {
    /// An empty cache for models of this shape. The memory is taken from the system as pages are first used.
    ///
    /// # Errors
    ///
    /// [`CacheError::TooLarge`].
    pub fn new(shape: &Shape, pages: usize) -> Result<Self, CacheError> {
        let too_large = CacheError::TooLarge { pages };
        let page_floats = Self::page_floats(shape).ok_or(too_large)?;
        let floats = page_floats
            .checked_mul(pages)
            .filter(|floats| *floats <= isize::MAX as usize / 8);
        let count = u32::try_from(pages).map_err(|_| too_large)?;
        Ok(Self {
            shape: *shape,
            data: vec![0.0; floats.ok_or(too_large)?],
            page_floats,
            users: vec![0; pages],
            free: (0..count).rev().collect(),
            sequences: Vec::new(),
            closed: Vec::new(),
            workspace: Workspace::default(),
        })
    }

    fn page_floats(shape: &Shape) -> Option<usize> {
        head_floats(shape.head_size)
            .checked_mul(shape.kv_heads)?
            .checked_mul(shape.layers)
    }

    /// Bytes of one page, to choose how many there shall be.
    #[must_use]
    pub fn page_bytes(shape: &Shape) -> usize {
        Self::page_floats(shape).map_or(usize::MAX, |floats| floats.saturating_mul(4))
    }

    /// Opens an empty sequence, which takes no page yet.
    ///
    /// # Errors
    ///
    /// [`CacheError::TooManySequences`].
    pub fn open(&mut self) -> Result<SequenceId, CacheError> {
        let index = match self.closed.pop() {
            Some(index) => index,
            None if self.sequences.len() < SEQUENCES_MAX => {
                self.sequences.push(Sequence::default());
                (self.sequences.len() - 1) as u32
            }
            None => return Err(CacheError::TooManySequences),
        };
        let sequence = &mut self.sequences[index as usize];
        sequence.is_open = true;
        let generation = sequence.generation;
        Ok(SequenceId { index, generation })
    }

    /// Opens a sequence that begins with the first positions of another. Full pages are shared, a part of a page is copied.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOpen`], [`CacheError::TooShort`], [`CacheError::Full`], [`CacheError::TooManySequences`].
    pub fn fork(&mut self, from: SequenceId, positions: usize) -> Result<SequenceId, CacheError> {
        let source = self.sequence(from)?;
        let length = source.length;
        if positions > length {
            let wanted = positions;
            return Err(CacheError::TooShort { wanted, length });
        }
        let (full, part) = (positions / PAGE, positions % PAGE);
        let mut pages = source.pages[..full].to_vec();
        let partial = (part > 0).then(|| source.pages[full]);
        if partial.is_some() && self.free.is_empty() {
            return Err(CacheError::Full { needed: 1, free: 0 });
        }
        let id = self.open()?;
        for page in &pages {
            self.users[*page as usize] += 1;
        }
        pages.extend(partial.and_then(|page| self.copy(page)));
        let sequence = &mut self.sequences[id.index as usize];
        (sequence.pages, sequence.length) = (pages, positions);
        Ok(id)
    }

    /// Forgets all but the first positions.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOpen`], [`CacheError::TooShort`].
    pub fn truncate(&mut self, id: SequenceId, positions: usize) -> Result<(), CacheError> {
        let length = self.sequence(id)?.length;
        if positions > length {
            let wanted = positions;
            return Err(CacheError::TooShort { wanted, length });
        }
        self.sequences[id.index as usize].length = positions;
        self.trim(id.index as usize);
        Ok(())
    }

    /// Closes a sequence; its id means nothing afterwards.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOpen`].
    pub fn close(&mut self, id: SequenceId) -> Result<(), CacheError> {
        self.truncate(id, 0)?;
        let sequence = &mut self.sequences[id.index as usize];
        sequence.is_open = false;
        // An id that lived through 2³² others is not used again.
        if let Some(next) = sequence.generation.checked_add(1) {
            sequence.generation = next;
            self.closed.push(id.index);
        }
        Ok(())
    }

    /// How many positions a sequence has.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOpen`].
    pub fn len(&self, id: SequenceId) -> Result<usize, CacheError> {
        Ok(self.sequence(id)?.length)
    }

    /// Whether a sequence has no positions.
    ///
    /// # Errors
    ///
    /// [`CacheError::NotOpen`].
    pub fn is_empty(&self, id: SequenceId) -> Result<bool, CacheError> {
        Ok(self.len(id)? == 0)
    }

    /// Positions in pages that nobody has.
    #[must_use]
    pub fn free_positions(&self) -> usize {
        self.free.len() * PAGE
    }

    /// Positions per page.
    #[must_use]
    pub fn page_positions(&self) -> usize {
        PAGE
    }

    fn sequence(&self, id: SequenceId) -> Result<&Sequence, CacheError> {
        self.sequences
            .get(id.index as usize)
            .filter(|sequence| sequence.is_open && sequence.generation == id.generation)
            .ok_or(CacheError::NotOpen)
    }

    /// The position that the sequence's next row in this step must have.
    pub(crate) fn next_position(&self, id: SequenceId) -> Result<usize, CacheError> {
        let sequence = self.sequence(id)?;
        Ok(sequence.length + sequence.pending)
    }

    /// Counts a row of the step; true if it is the sequence's first. The sequence must be open.
    pub(crate) fn expect_row(&mut self, id: SequenceId) -> bool {
        let pending = &mut self.sequences[id.index as usize].pending;
        *pending += 1;
        *pending == 1
    }

    /// Takes pages for all expected rows of these sequences, or none. Each must be named once.
    pub(crate) fn reserve(&mut self, ids: &[SequenceId]) -> Result<(), CacheError> {
        let mut needed = 0;
        for id in ids {
            let sequence = &self.sequences[id.index as usize];
            let end = (sequence.length + sequence.pending).div_ceil(PAGE);
            needed += end - sequence.pages.len();
            needed += usize::from(self.shared_tail(sequence).is_some());
        }
        let free = self.free.len();
        if needed > free {
            return Err(CacheError::Full { needed, free });
        }
        for id in ids {
            self.take_pages(id.index as usize);
        }
        Ok(())
    }

    /// The last page, if it is in part full and others have it too.
    fn shared_tail(&self, sequence: &Sequence) -> Option<u32> {
        let last = *sequence.pages.last()?;
        let is_partial = !sequence.length.is_multiple_of(PAGE);
        (is_partial && self.users[last as usize] > 1).then_some(last)
    }

    fn take_pages(&mut self, index: usize) {
        if let Some(shared) = self.shared_tail(&self.sequences[index])
            && let Some(own) = self.copy(shared)
        {
            self.users[shared as usize] -= 1;
            if let Some(last) = self.sequences[index].pages.last_mut() {
                *last = own;
            }
        }
        let sequence = &mut self.sequences[index];
        let end = (sequence.length + sequence.pending).div_ceil(PAGE);
        while sequence.pages.len() < end
            && let Some(page) = self.free.pop()
        {
            self.users[page as usize] = 1;
            sequence.pages.push(page);
        }
    }

    /// Ends a step: its rows are kept or forgotten.
    pub(crate) fn finish(&mut self, ids: &[SequenceId], keep: bool) {
        for id in ids {
            let sequence = &mut self.sequences[id.index as usize];
            if keep {
                sequence.length += sequence.pending;
            }
            sequence.pending = 0;
        }
        if !keep {
            for id in ids {
                self.trim(id.index as usize);
            }
        }
    }

    /// A free page with the content of another.
    fn copy(&mut self, page: u32) -> Option<u32> {
        let own = self.free.pop()?;
        self.users[own as usize] = 1;
        let from = page as usize * self.page_floats;
        let to = own as usize * self.page_floats;
        self.data.copy_within(from..from + self.page_floats, to);
        Some(own)
    }

    /// Gives back pages beyond the sequence's length.
    fn trim(&mut self, index: usize) {
        let sequence = &mut self.sequences[index];
        let keep = sequence.length.div_ceil(PAGE);
        for page in sequence.pages.drain(keep.min(sequence.pages.len())..) {
            let users = &mut self.users[page as usize];
            *users -= 1;
            if *users == 0 {
                self.free.push(page);
            }
        }
    }

    /// Which pages an open sequence has.
    pub(crate) fn table(&self, id: SequenceId) -> &[u32] {
        &self.sequences[id.index as usize].pages
    }

    /// One head of a layer in the page of a position, to write.
    pub(crate) fn head_mut(
        &mut self,
        id: SequenceId,
        position: usize,
        layer: usize,
        head: usize,
    ) -> &mut [f32] {
        let page = self.sequences[id.index as usize].pages[position / PAGE] as usize;
        let floats = head_floats(self.shape.head_size);
        let start = page * self.page_floats + (layer * self.shape.kv_heads + head) * floats;
        &mut self.data[start..][..floats]
    }

    /// Floats per page.
    pub(crate) fn stride(&self) -> usize {
        self.page_floats
    }
}
