//! Pieces of outputs, each handed to one thread.

#![expect(unsafe_code, reason = "threads write different parts of one slice")]

use super::LANES;
use crate::pool::Pool;
use std::{
    marker::PhantomData,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Something that consists of pieces which do not overlap.
///
/// # Safety
///
/// Pieces of different indices must not overlap.
pub(crate) unsafe trait Pieces: Sync {
    type Piece;

    /// How many pieces there are.
    fn count(&self) -> usize;

    /// # Safety
    ///
    /// `index` must be below the count, and no other piece of the same index may be alive.
    unsafe fn piece(&self, index: usize) -> Self::Piece;
}

/// A slice in pieces of `width`.
#[derive(Debug)]
pub(crate) struct Rows<'a, T> {
    start: *mut T,
    width: usize,
    count: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out only `&mut` to parts that do not overlap, which may go to other threads if T may.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// The first `count` pieces of `width`; panics if there are fewer.
    pub(crate) fn new(slice: &'a mut [T], width: usize, count: usize) -> Self {
        assert!(
            width
                .checked_mul(count)
                .is_some_and(|all| all <= slice.len()),
            "a slice has all of its pieces"
        );
        Self {
            start: slice.as_mut_ptr(),
            width,
            count,
            slice: PhantomData,
        }
    }
}

// SAFETY: piece i is the elements from i · width to (i + 1) · width.
unsafe impl<'a, T: Send> Pieces for Rows<'a, T> {
    type Piece = &'a mut [T];

    fn count(&self) -> usize {
        self.count
    }

    unsafe fn piece(&self, index: usize) -> &'a mut [T] {
        debug_assert!(index < self.count);
        // SAFETY: the index is below the count, so the part is within the slice; nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(index * self.width), self.width) }
    }
}

/// A matrix in pieces of sixteen columns.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: as for Rows.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// `width` must be a multiple of sixteen.
    pub(crate) fn new(matrix: &'a mut [f32], width: usize, rows: usize) -> Self {
        assert!(
            width.is_multiple_of(LANES)
                && width
                    .checked_mul(rows)
                    .is_some_and(|all| all <= matrix.len()),
            "a matrix has all of its columns"
        );
        Self {
            start: matrix.as_mut_ptr(),
            rows,
            width,
            matrix: PhantomData,
        }
    }
}

/// Sixteen columns of a matrix.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    start: *mut f32,
    rows: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

impl Column<'_> {
    /// How many rows the matrix has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The sixteen values of a row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32; LANES] {
        assert!(row < self.rows, "the matrix has the row");
        // SAFETY: the row is in the matrix, and its sixteen values from `start` on belong to this column alone.
        unsafe { &mut *self.start.add(row * self.width).cast() }
    }
}

// SAFETY: piece i is the columns from 16 i to 16 i + 16, of all rows.
unsafe impl<'a> Pieces for Columns<'a> {
    type Piece = Column<'a>;

    fn count(&self) -> usize {
        self.width / LANES
    }

    unsafe fn piece(&self, index: usize) -> Column<'a> {
        debug_assert!(index < self.count());
        Column {
            // SAFETY: the index is below the count, so the column starts within the first row.
            start: unsafe { self.start.add(index * LANES) },
            rows: self.rows,
            width: self.width,
            matrix: PhantomData,
        }
    }
}

macro_rules! together {
    ($($name:ident $index:tt),+) => {
        // SAFETY: the parts do not overlap, so their tuples do not.
        unsafe impl<$($name: Pieces),+> Pieces for ($($name,)+) {
            type Piece = ($($name::Piece,)+);

            fn count(&self) -> usize {
                [$(self.$index.count()),+].into_iter().fold(usize::MAX, usize::min)
            }

            unsafe fn piece(&self, index: usize) -> Self::Piece {
                // SAFETY: the caller's promise for the tuple is the promise for each.
                ($(unsafe { self.$index.piece(index) },)+)
            }
        }
    };
}
together!(A 0, B 1);
together!(A 0, B 1, C 2, D 3);
together!(A 0, B 1, C 2, D 3, E 4);

/// Calls `work` once for each piece, on the threads of the pool.
#[expect(
    clippy::needless_pass_by_value,
    reason = "who has the pieces once cannot hand them out twice"
)]
pub(crate) fn each_piece<P: Pieces>(
    pool: &dyn Pool,
    pieces: P,
    work: impl Fn(usize, P::Piece) + Sync,
) {
    ranges(pool, pieces.count(), |_, range| {
        for index in range {
            // SAFETY: ranges are below the count and do not overlap.
            work(index, unsafe { pieces.piece(index) });
        }
    });
}

/// As [`each_piece`], with working memory: one for each thread; a thread that comes when its memory is taken waits.
#[expect(
    clippy::needless_pass_by_value,
    reason = "who has the pieces once cannot hand them out twice"
)]
pub(crate) fn each_piece_with<P: Pieces, S: Send>(
    pool: &dyn Pool,
    pieces: P,
    scratch: &[Mutex<S>],
    work: impl Fn(usize, P::Piece, &mut S) + Sync,
) {
    ranges(pool, pieces.count(), |thread, range| {
        let mut scratch = scratch[thread % scratch.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for index in range {
            // SAFETY: ranges are below the count and do not overlap.
            work(index, unsafe { pieces.piece(index) }, &mut scratch);
        }
    });
}

/// Divides `0..count` into ranges that do not overlap, a few per thread because threads are not equally fast.
fn ranges(pool: &dyn Pool, count: usize, work: impl Fn(usize, Range<usize>) + Sync) {
    let threads = pool.threads().max(1);
    if threads == 1 || count <= 1 {
        work(0, 0..count);
        return;
    }
    let grain = count.div_ceil(threads * 6).max(1);
    let next = AtomicUsize::new(0);
    let job = |thread: usize| {
        loop {
            let from = next.fetch_add(grain, Ordering::Relaxed);
            if from >= count {
                break;
            }
            work(thread, from..count.min(from + grain));
        }
    };
    pool.run(&job);
    // Whatever a pool that called too seldom left over.
    job(0);
}
