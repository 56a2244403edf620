//! Large files in slices, each of which proves itself.
//!
//! A [`BlobRoot`] is the BLAKE3 hash of a file. A slice travels in one frame, as its bytes between the hashes that lead from the root
//! to them, in the encoding of bao; so whoever knows the root and the length checks each slice when it comes, keeps what is right, and
//! goes on from there with anybody who has the same file. Tree and encoding are those of iroh-blobs, without its store: the files stay
//! where they are, and only the inner hashes of the tree (0.4 % of the bytes) are held beside them.

use crate::{FRAME_BYTES_MAX, FrameStream, NetError};
use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        BaoContentItem, EncodeError,
        outboard::PreOrderMemOutboard,
        sync::{DecodeResponseIter, ReadAt, encode_ranges_validated, outboard},
    },
};
use std::{fmt, io, time::Duration};

/// Bytes of one slice, but for the last of a file: 1 MiB, one window of a stream.
pub const SLICE_BYTES: u64 = 1 << 20;
/// Bytes of one file: 64 GiB.
pub const BLOB_BYTES_MAX: u64 = 64 << 30;
/// Bytes of a slice with its proof. A slice has 63 inner nodes, and at most 16 are above it; each has 64 bytes.
pub const SLICE_FRAME_BYTES_MAX: usize = (1 << 20) + 8 * 1_024;

/// Bytes that share a leaf of the tree: 16 KiB, as in iroh-blobs.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes of BLAKE3's own chunks.
const CHUNK_BYTES: u64 = 1_024;

const _: () = assert!(SLICE_FRAME_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(SLICE_BYTES.is_multiple_of(CHUNK_BYTES << 4));
const _: () = assert!(BLOB_BYTES_MAX / SLICE_BYTES <= 1 << 16 && 64 * (63 + 16) <= 8 * 1_024);

/// The BLAKE3 hash of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRoot(pub [u8; 32]);

impl fmt::Display for BlobRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobRoot({self})")
    }
}

/// Why bytes are no slice of a file.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file is longer than is served.
    #[error("a file of {found} bytes, at most {max} allowed")]
    TooLong {
        /// The bound, in bytes.
        max: u64,
        /// The file's length, in bytes.
        found: u64,
    },
    /// There is no such slice.
    #[error("there is no slice {slice} of {slices}")]
    NoSlice {
        /// What was asked for.
        slice: u64,
        /// How many there are.
        slices: u64,
    },
    /// The bytes are not those of the root.
    #[error("slice {slice} does not have the bytes of its root")]
    WrongBytes {
        /// Which slice.
        slice: u64,
    },
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Disk(#[from] io::Error),
}

/// Why a slice does not move.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The bytes.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// A file by its root and its length: all that is needed to check slices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    root: BlobRoot,
    bytes: u64,
}

impl Blob {
    /// A file of so many bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLong`].
    pub const fn new(root: BlobRoot, bytes: u64) -> Result<Self, BlobError> {
        if bytes > BLOB_BYTES_MAX {
            return Err(BlobError::TooLong {
                max: BLOB_BYTES_MAX,
                found: bytes,
            });
        }
        Ok(Self { root, bytes })
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> BlobRoot {
        self.root
    }

    /// The length, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many slices there are; an empty file has none.
    #[must_use]
    pub const fn slices(&self) -> u64 {
        self.bytes.div_ceil(SLICE_BYTES)
    }

    fn ranges(&self, slice: u64) -> Result<ChunkRanges, BlobError> {
        let slices = self.slices();
        if slice >= slices {
            return Err(BlobError::NoSlice { slice, slices });
        }
        let chunks = SLICE_BYTES / CHUNK_BYTES;
        let (from, to) = (slice * chunks, (slice + 1) * chunks);
        // A range that goes on beyond the end asks for the end's proof, which is the last slice's anyway.
        Ok(ChunkRanges::from(ChunkNum(from)..ChunkNum(to)))
    }

    /// The bytes of a slice out of its frame, if they are those of the root. Left-over bytes are refused.
    ///
    /// # Errors
    /// [`BlobError::NoSlice`], [`BlobError::WrongBytes`].
    pub fn check_slice(&self, slice: u64, frame: &[u8]) -> Result<Vec<u8>, BlobError> {
        let ranges = self.ranges(slice)?;
        let wrong = || BlobError::WrongBytes { slice };
        let mut left = frame;
        let mut bytes = Vec::new();
        let tree = BaoTree::new(self.bytes, GROUP);
        for item in DecodeResponseIter::new(self.root.0.into(), tree, &mut left, &ranges) {
            match item.map_err(|_| wrong())? {
                BaoContentItem::Parent(_) => {}
                BaoContentItem::Leaf(leaf) => bytes.extend_from_slice(&leaf.data),
            }
        }
        let begins = slice * SLICE_BYTES;
        let expected = self.bytes.saturating_sub(begins).min(SLICE_BYTES);
        if !left.is_empty() || u64::try_from(bytes.len()) != Ok(expected) {
            return Err(wrong());
        }
        Ok(bytes)
    }
}

/// A file's inner hashes, with which slices of it can be proven.
#[derive(Clone)]
pub struct BlobTree {
    blob: Blob,
    hashes: PreOrderMemOutboard,
}

impl fmt::Debug for BlobTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobTree")
            .field("blob", &self.blob)
            .finish_non_exhaustive()
    }
}

impl BlobTree {
    /// Reads a file of so many bytes to its end.
    ///
    /// # Errors
    /// [`BlobError::TooLong`]; [`BlobError::Disk`], also when the file is shorter.
    pub fn read(data: impl io::Read, bytes: u64) -> Result<Self, BlobError> {
        Blob::new(BlobRoot([0; 32]), bytes)?;
        let tree = BaoTree::new(bytes, GROUP);
        let length = usize::try_from(tree.outboard_size()).unwrap_or(usize::MAX);
        let mut hashes = PreOrderMemOutboard {
            root: [0; 32].into(),
            tree,
            data: vec![0; length],
        };
        hashes.root = outboard(data, tree, &mut hashes)?;
        let root = BlobRoot(*hashes.root.as_bytes());
        Ok(Self {
            blob: Blob::new(root, bytes)?,
            hashes,
        })
    }

    /// The file's root and length.
    #[must_use]
    pub const fn blob(&self) -> Blob {
        self.blob
    }

    /// The frame of a slice, out of the file, whose bytes are compared with the hashes on the way.
    ///
    /// # Errors
    /// [`BlobError::NoSlice`]; [`BlobError::WrongBytes`] when the file has changed; [`BlobError::Disk`].
    pub fn slice(&self, data: &impl ReadAt, slice: u64) -> Result<Vec<u8>, BlobError> {
        let ranges = self.blob.ranges(slice)?;
        let mut frame = Vec::new();
        encode_ranges_validated(data, &self.hashes, &ranges, &mut frame).map_err(|error| {
            match error {
                EncodeError::Io(error) => BlobError::Disk(error),
                _ => BlobError::WrongBytes { slice },
            }
        })?;
        Ok(frame)
    }
}

/// Sends all slices from one on, a frame for each, and finishes the stream. `deadline` is for each frame.
///
/// A slice is read from the file in the middle of this future; that takes about a millisecond.
///
/// # Errors
/// [`SliceError`].
pub async fn send_slices<S: FrameStream>(
    mut stream: S,
    tree: &BlobTree,
    data: &(impl ReadAt + Sync),
    from: u64,
    deadline: Duration,
) -> Result<(), SliceError> {
    for slice in from..tree.blob().slices() {
        let frame = tree.slice(data, slice)?;
        stream.send(&frame, deadline).await?;
    }
    Ok(stream.finish().await?)
}

/// Receives a slice and checks it.
///
/// # Errors
/// [`SliceError`]; [`NetError::NoFrame`] when the other side finished before this slice.
pub async fn receive_slice<S: FrameStream>(
    stream: &mut S,
    blob: &Blob,
    slice: u64,
    deadline: Duration,
) -> Result<Vec<u8>, SliceError> {
    let frame = stream
        .recv(SLICE_FRAME_BYTES_MAX, deadline)
        .await?
        .ok_or(NetError::NoFrame)?;
    Ok(blob.check_slice(slice, &frame)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use proptest::prelude::*;

    /// Bytes without a period that a slice could share.
    fn data(bytes: u64) -> Vec<u8> {
        let word = |at: u64| {
            at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(23)
                .to_le_bytes()
        };
        let bytes = usize::try_from(bytes).unwrap();
        (0..).flat_map(word).take(bytes).collect()
    }

    fn tree(data: &[u8]) -> BlobTree {
        BlobTree::read(data, u64::try_from(data.len()).unwrap()).unwrap()
    }

    #[test]
    fn slices_of_any_length_come_together_again() {
        for bytes in [
            1,
            1_023,
            16_384,
            16_385,
            SLICE_BYTES - 1,
            SLICE_BYTES,
            SLICE_BYTES + 1,
            3 * SLICE_BYTES + 77_777,
        ] {
            let data = data(bytes);
            let tree = tree(&data);
            assert_eq!(
                tree.blob().root().0,
                *bao_tree::blake3::hash(&data).as_bytes()
            );
            let mut together = Vec::new();
            for slice in 0..tree.blob().slices() {
                let frame = tree.slice(&data.as_slice(), slice).unwrap();
                assert!(frame.len() <= SLICE_FRAME_BYTES_MAX);
                together.extend(tree.blob().check_slice(slice, &frame).unwrap());
            }
            assert!(together == data, "{bytes} bytes");
        }
    }

    #[test]
    fn the_longest_file_has_proofs_that_fit_a_frame() {
        let blob = Blob::new(BlobRoot([0; 32]), BLOB_BYTES_MAX).unwrap();
        let tree = BaoTree::new(blob.bytes(), GROUP);
        for slice in [0, blob.slices() / 3, blob.slices() - 1] {
            let ranges = blob.ranges(slice).unwrap();
            let items = tree.ranges_pre_order_chunks_iter_ref(&ranges, 0);
            let parents =
                items.filter(|item| matches!(item, bao_tree::iter::BaoChunk::Parent { .. }));
            let bytes = usize::try_from(SLICE_BYTES).unwrap() + 64 * parents.count();
            assert!(bytes <= SLICE_FRAME_BYTES_MAX, "{bytes} bytes");
        }
        assert!(matches!(
            Blob::new(BlobRoot([0; 32]), BLOB_BYTES_MAX + 1),
            Err(BlobError::TooLong { .. })
        ));
    }

    #[test]
    fn another_slice_a_cut_one_and_one_with_more_are_refused() {
        let data = data(2 * SLICE_BYTES + 5);
        let tree = tree(&data);
        let blob = tree.blob();
        let frame = tree.slice(&data.as_slice(), 0).unwrap();
        let wrong = |slice, frame: &[u8]| matches!(blob.check_slice(slice, frame), Err(BlobError::WrongBytes { slice: found }) if found == slice);
        assert!(wrong(1, &frame));
        assert!(wrong(0, &frame[..frame.len() - 1]));
        assert!(wrong(0, &[frame.as_slice(), &[0]].concat()));
        assert!(wrong(0, &[]));
        assert!(matches!(
            blob.check_slice(3, &frame),
            Err(BlobError::NoSlice {
                slice: 3,
                slices: 3
            })
        ));
        let longer = Blob::new(blob.root(), blob.bytes() + 1).unwrap();
        assert!(
            longer
                .check_slice(2, &tree.slice(&data.as_slice(), 2).unwrap())
                .is_err()
        );
    }

    #[test]
    fn a_file_that_has_changed_is_not_sent() {
        let mut data = data(SLICE_BYTES + 1);
        let tree = tree(&data);
        data[100_000] ^= 1;
        let slice = |number| tree.slice(&data.as_slice(), number);
        assert!(matches!(slice(0), Err(BlobError::WrongBytes { slice: 0 })));
        assert!(slice(1).is_ok());
        assert!(matches!(
            tree.slice(&&data[..10], 0),
            Err(BlobError::Disk(_))
        ));
        assert!(matches!(
            BlobTree::read(&data[..10], 11),
            Err(BlobError::Disk(_))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_changed_bit_is_taken(at in 0usize..66_000, bit in 0u8..8) {
            let data = data(66_000);
            let tree = tree(&data);
            let mut frame = tree.slice(&data.as_slice(), 0).unwrap();
            let at = at % frame.len();
            frame[at] ^= 1 << bit;
            prop_assert!(tree.blob().check_slice(0, &frame).is_err());
        }

        #[test]
        fn hostile_frames_are_refused_without_panic(bytes in 1u64..BLOB_BYTES_MAX, slice: u64, frame in prop::collection::vec(any::<u8>(), 0..4_096)) {
            let blob = Blob::new(BlobRoot([7; 32]), bytes).unwrap();
            prop_assert!(blob.check_slice(slice % (blob.slices() + 1), &frame).is_err());
        }
    }
}
