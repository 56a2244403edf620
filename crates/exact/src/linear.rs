//! Matrices of weights, packed for the kernels: tiles of 16 outputs.

use crate::{
    activation::Activations,
    half::{from_brain, from_half, is_finite},
    pool::Pool,
    simd::{
        BLOCK, Isa, Job, LANES, Lanes, TileQ4, TileQ8,
        parallel::{Column, Columns, each_piece},
    },
};
use thiserror::Error;

/// How weights stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightKind {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Brain float, the upper half of a single.
    Bf16,
    /// Blocks of 32: a half scale, 32 nibbles less 8.
    Q4_0,
    /// Blocks of 32: a half scale, a half offset, 32 nibbles.
    Q4_1,
    /// Blocks of 32: a half scale, 32 signed bytes.
    Q8_0,
}

impl WeightKind {
    /// How many weights stand together.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => BLOCK,
        }
    }

    /// How many bytes they take.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
        }
    }
}

/// Why weights cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WeightError {
    /// The matrix does not have the size that the model needs.
    #[error("{found} bytes of weights where {expected} are needed")]
    Size {
        /// By shape and kind.
        expected: usize,
        /// In the file.
        found: usize,
    },
    /// The width is not a multiple of what the kernels take.
    #[error("rows of {0} weights, which is not a multiple of 32")]
    Width(usize),
    /// A weight, scale or offset is infinite or not a number.
    #[error("a weight is not a finite number")]
    NotFinite,
}

#[derive(Clone, Debug)]
enum Tiles {
    Q4(Vec<TileQ4>),
    Q8(Vec<TileQ8>),
    Half(Vec<[u16; LANES]>),
    Single(Vec<[f32; LANES]>),
}

/// A matrix: `outputs` rows of `inputs` weights.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    tiles: Tiles,
    outputs: usize,
    inputs: usize,
}

impl Linear {
    /// Packs weights that stand row by row.
    pub(crate) fn pack(
        kind: WeightKind,
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
    ) -> Result<Self, WeightError> {
        if !inputs.is_multiple_of(BLOCK) || inputs == 0 {
            return Err(WeightError::Width(inputs));
        }
        let expected = (inputs / kind.block_weights())
            .saturating_mul(kind.block_bytes())
            .saturating_mul(outputs);
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(WeightError::Size { expected, found });
        }
        let row_bytes = inputs / kind.block_weights() * kind.block_bytes();
        let rows = bytes.chunks_exact(row_bytes).enumerate();
        let columns = outputs.div_ceil(LANES);
        let tiles = match kind {
            WeightKind::Q4_0 | WeightKind::Q4_1 => pack_q4(kind, rows, columns, inputs)?,
            WeightKind::Q8_0 => pack_q8(rows, columns, inputs)?,
            WeightKind::F16 => {
                let read = |two: &[u8]| u16::from_le_bytes([two[0], two[1]]);
                Tiles::Half(pack_plain(rows, columns, inputs, 2, read, is_finite)?)
            }
            WeightKind::Bf16 => {
                let read = |two: &[u8]| from_brain(u16::from_le_bytes([two[0], two[1]]));
                Tiles::Single(pack_plain(rows, columns, inputs, 2, read, f32::is_finite)?)
            }
            WeightKind::F32 => {
                let read = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                Tiles::Single(pack_plain(rows, columns, inputs, 4, read, f32::is_finite)?)
            }
        };
        Ok(Self {
            tiles,
            outputs,
            inputs,
        })
    }

    /// Outputs rounded up to whole tiles: the width of a matrix of results.
    pub(crate) fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// How many outputs there are.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match &self.tiles {
            Tiles::Q4(tiles) => size_of_val(tiles.as_slice()),
            Tiles::Q8(tiles) => size_of_val(tiles.as_slice()),
            Tiles::Half(tiles) => size_of_val(tiles.as_slice()),
            Tiles::Single(tiles) => size_of_val(tiles.as_slice()),
        }
    }

    /// The weights of one output, as singles: `scale · q`, `fma(scale, q, offset)`, or the weight itself.
    pub(crate) fn row(&self, isa: Isa, output: usize, to: &mut [f32]) {
        isa.run(ReadRow {
            linear: self,
            output,
            to,
        });
    }
}

struct ReadRow<'a> {
    linear: &'a Linear,
    output: usize,
    to: &'a mut [f32],
}

impl Job for ReadRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (column, lane) = (self.output / LANES, self.output % LANES);
        let (inputs, to) = (self.linear.inputs, self.to);
        let blocks = inputs / BLOCK;
        match &self.linear.tiles {
            Tiles::Q4(tiles) => {
                for (tile, to) in tiles[column * blocks..]
                    .iter()
                    .zip(to.chunks_exact_mut(BLOCK))
                {
                    let (scale, offset) =
                        (from_half(tile.scales[lane]), from_half(tile.offsets[lane]));
                    for (input, to) in to.iter_mut().enumerate() {
                        let byte = tile.nibbles[input / 8 * 64 + lane * 4 + input % 4];
                        let nibble = if input % 8 < 4 { byte & 15 } else { byte >> 4 };
                        *to = L::fma_one(f32::from(nibble), scale, offset);
                    }
                }
            }
            Tiles::Q8(tiles) => {
                for (tile, to) in tiles[column * blocks..]
                    .iter()
                    .zip(to.chunks_exact_mut(BLOCK))
                {
                    for (input, to) in to.iter_mut().enumerate() {
                        let byte = tile.bytes[input / 4 * 64 + lane * 4 + input % 4];
                        *to = (f32::from(byte) - 128.0) * tile.scales[lane];
                    }
                }
            }
            Tiles::Half(tiles) => {
                for (tile, to) in tiles[column * inputs..].iter().zip(to) {
                    *to = from_half(tile[lane]);
                }
            }
            Tiles::Single(tiles) => {
                for (tile, to) in tiles[column * inputs..].iter().zip(to) {
                    *to = tile[lane];
                }
            }
        }
    }
}

fn half_at(block: &[u8], at: usize) -> Result<u16, WeightError> {
    let bits = u16::from_le_bytes([block[at], block[at + 1]]);
    if is_finite(bits) {
        Ok(bits)
    } else {
        Err(WeightError::NotFinite)
    }
}

fn pack_q4<'a>(
    kind: WeightKind,
    rows: impl Iterator<Item = (usize, &'a [u8])>,
    columns: usize,
    inputs: usize,
) -> Result<Tiles, WeightError> {
    let blocks = inputs / BLOCK;
    let empty = TileQ4 {
        nibbles: [0; 256],
        scales: [0; LANES],
        offsets: [0; LANES],
    };
    let mut tiles = vec![empty; columns * blocks];
    for (output, row) in rows {
        let (column, lane) = (output / LANES, output % LANES);
        for (block, bytes) in row.chunks_exact(kind.block_bytes()).enumerate() {
            let tile = &mut tiles[column * blocks + block];
            tile.scales[lane] = half_at(bytes, 0)?;
            let nibbles = if kind == WeightKind::Q4_1 {
                tile.offsets[lane] = half_at(bytes, 2)?;
                &bytes[4..]
            } else {
                tile.offsets[lane] = minus_eight(tile.scales[lane])?;
                &bytes[2..]
            };
            // In the file, byte j holds inputs j (low) and j + 16 (high).
            let nibble = |input: usize| {
                if input < 16 {
                    nibbles[input] & 15
                } else {
                    nibbles[input - 16] >> 4
                }
            };
            for group in 0..4 {
                for j in 0..4 {
                    tile.nibbles[group * 64 + lane * 4 + j] =
                        nibble(group * 8 + j) | (nibble(group * 8 + 4 + j) << 4);
                }
            }
        }
    }
    Ok(Tiles::Q4(tiles))
}

/// −8 times a half: weights less 8 are weights with this offset. Exact, because it moves the exponent, but for subnormals, where it
/// is a shift of the fraction.
fn minus_eight(scale: u16) -> Result<u16, WeightError> {
    let sign = (scale & 0x8000) ^ 0x8000;
    let (mut exponent, mut fraction) = ((scale >> 10) & 31, scale & 0x3ff);
    if exponent > 0 {
        exponent += 3;
    } else {
        fraction <<= 3;
        // Twice the fraction per exponent above the first.
        if fraction >= 0x400 {
            exponent = 1;
            while fraction >= 0x800 {
                fraction >>= 1;
                exponent += 1;
            }
            fraction &= 0x3ff;
        }
    }
    if exponent > 30 {
        return Err(WeightError::NotFinite);
    }
    Ok(sign | (exponent << 10) | fraction)
}

fn pack_q8<'a>(
    rows: impl Iterator<Item = (usize, &'a [u8])>,
    columns: usize,
    inputs: usize,
) -> Result<Tiles, WeightError> {
    let blocks = inputs / BLOCK;
    let empty = TileQ8 {
        bytes: [128; 512],
        scales: [0.0; LANES],
    };
    let mut tiles = vec![empty; columns * blocks];
    for (output, row) in rows {
        let (column, lane) = (output / LANES, output % LANES);
        for (block, bytes) in row.chunks_exact(34).enumerate() {
            let tile = &mut tiles[column * blocks + block];
            tile.scales[lane] = from_half(half_at(bytes, 0)?);
            for (input, byte) in bytes[2..].iter().enumerate() {
                tile.bytes[input / 4 * 64 + lane * 4 + input % 4] = byte ^ 128;
            }
        }
    }
    Ok(Tiles::Q8(tiles))
}

fn pack_plain<'a, T: Copy + Default>(
    rows: impl Iterator<Item = (usize, &'a [u8])>,
    columns: usize,
    inputs: usize,
    bytes: usize,
    read: impl Fn(&[u8]) -> T,
    is_finite: impl Fn(T) -> bool,
) -> Result<Vec<[T; LANES]>, WeightError> {
    let mut tiles = vec![[T::default(); LANES]; columns * inputs];
    for (output, row) in rows {
        let (column, lane) = (output / LANES, output % LANES);
        let tiles = &mut tiles[column * inputs..][..inputs];
        for (tile, bytes) in tiles.iter_mut().zip(row.chunks_exact(bytes)) {
            let value = read(bytes);
            if !is_finite(value) {
                return Err(WeightError::NotFinite);
            }
            tile[lane] = value;
        }
    }
    Ok(tiles)
}

/// Multiplies all rows with several matrices of equal inputs; their outputs stand side by side, each padded to whole tiles.
///
/// `out` has rows of the sum of [`Linear::padded_outputs`].
pub(crate) fn multiply(
    isa: Isa,
    pool: &dyn Pool,
    matrices: &[&Linear],
    input: &Activations,
    out: &mut [f32],
) {
    let width = matrices.iter().map(|matrix| matrix.padded_outputs()).sum();
    assert!(
        matrices.iter().all(|matrix| matrix.inputs == input.width()),
        "rows are as wide as the matrices"
    );
    each_piece(
        pool,
        Columns::new(out, width, input.rows()),
        |index, column| {
            let mut index = index;
            for matrix in matrices {
                let columns = matrix.padded_outputs() / LANES;
                if index < columns {
                    return isa.run(MultiplyColumn {
                        matrix,
                        index,
                        input,
                        column,
                    });
                }
                index -= columns;
            }
        },
    );
}

struct MultiplyColumn<'a, 'b> {
    matrix: &'a Linear,
    index: usize,
    input: &'a Activations,
    column: Column<'b>,
}

impl Job for MultiplyColumn<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (inputs, mut column) = (self.matrix.inputs, self.column);
        let (blocks, index) = (inputs / BLOCK, self.index);
        match &self.matrix.tiles {
            Tiles::Q4(tiles) => {
                let tiles = &tiles[index * blocks..][..blocks];
                let rows = self.input.quantised();
                in_groups::<L>(&mut column, &Q4 { tiles, rows: &rows });
            }
            Tiles::Q8(tiles) => {
                let tiles = &tiles[index * blocks..][..blocks];
                let rows = self.input.quantised();
                in_groups::<L>(&mut column, &Q8 { tiles, rows: &rows });
            }
            Tiles::Half(tiles) => {
                let tiles = &tiles[index * inputs..][..inputs];
                let plain = &self.input.plain;
                in_groups::<L>(&mut column, &Half { tiles, plain });
            }
            Tiles::Single(tiles) => {
                let tiles = &tiles[index * inputs..][..inputs];
                let plain = &self.input.plain;
                in_groups::<L>(&mut column, &Single { tiles, plain });
            }
        }
    }
}

/// A column's product with `M` rows.
trait Kernel {
    fn product<L: Lanes, const M: usize>(&self, row: usize) -> [[f32; LANES]; M];
}

/// As many rows at once as the path likes. The grouping changes no bit: each row has its own chain.
#[inline(always)]
fn in_groups<L: Lanes>(column: &mut Column<'_>, kernel: &impl Kernel) {
    let rows = column.rows();
    let mut row = 0;
    while L::ROWS >= 8 && rows - row >= 8 {
        group::<L, 8>(column, kernel, &mut row);
    }
    while rows - row >= 4 {
        group::<L, 4>(column, kernel, &mut row);
    }
    while rows - row >= 2 {
        group::<L, 2>(column, kernel, &mut row);
    }
    if row < rows {
        group::<L, 1>(column, kernel, &mut row);
    }
}

#[inline(always)]
fn group<L: Lanes, const M: usize>(column: &mut Column<'_>, kernel: &impl Kernel, row: &mut usize) {
    for (m, values) in kernel.product::<L, M>(*row).iter().enumerate() {
        *column.row(*row + m) = *values;
    }
    *row += M;
}

struct Q4<'a> {
    tiles: &'a [TileQ4],
    rows: &'a crate::simd::Quantised<'a>,
}

impl Kernel for Q4<'_> {
    #[inline(always)]
    fn product<L: Lanes, const M: usize>(&self, row: usize) -> [[f32; LANES]; M] {
        L::columns_q4::<M>(self.tiles, self.rows, row)
    }
}

struct Q8<'a> {
    tiles: &'a [TileQ8],
    rows: &'a crate::simd::Quantised<'a>,
}

impl Kernel for Q8<'_> {
    #[inline(always)]
    fn product<L: Lanes, const M: usize>(&self, row: usize) -> [[f32; LANES]; M] {
        L::columns_q8::<M>(self.tiles, self.rows, row)
    }
}

struct Half<'a> {
    tiles: &'a [[u16; LANES]],
    plain: &'a [f32],
}

impl Kernel for Half<'_> {
    #[inline(always)]
    fn product<L: Lanes, const M: usize>(&self, row: usize) -> [[f32; LANES]; M] {
        chains::<L, _, M>(self.tiles, self.plain, row, L::load_half)
    }
}

struct Single<'a> {
    tiles: &'a [[f32; LANES]],
    plain: &'a [f32],
}

impl Kernel for Single<'_> {
    #[inline(always)]
    fn product<L: Lanes, const M: usize>(&self, row: usize) -> [[f32; LANES]; M] {
        chains::<L, _, M>(self.tiles, self.plain, row, L::load)
    }
}

/// One chain over the inputs in order, for each of `M` rows.
#[inline(always)]
fn chains<L: Lanes, T, const M: usize>(
    tiles: &[T],
    plain: &[f32],
    row: usize,
    load: impl Fn(&T) -> L,
) -> [[f32; LANES]; M] {
    let inputs = tiles.len();
    let rows: [&[f32]; M] = std::array::from_fn(|m| &plain[(row + m) * inputs..][..inputs]);
    let mut sums = [L::splat(0.0); M];
    for (input, tile) in tiles.iter().enumerate() {
        let weights = load(tile);
        for m in 0..M {
            sums[m] = weights.fma(L::splat(rows[m][input]), sums[m]);
        }
    }
    let mut columns = [[0.0; LANES]; M];
    for m in 0..M {
        sums[m].store(&mut columns[m]);
    }
    columns
}

/// Weights that stay plain: norms and biases.
pub(crate) fn plain(kind: WeightKind, bytes: &[u8], count: usize) -> Result<Vec<f32>, WeightError> {
    let expected = count.saturating_mul(kind.block_bytes());
    if kind.block_weights() != 1 || bytes.len() != expected {
        let found = bytes.len();
        return Err(WeightError::Size { expected, found });
    }
    let values: Vec<f32> = match kind {
        WeightKind::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect(),
        _ => {
            let read = if kind == WeightKind::F16 {
                from_half
            } else {
                from_brain
            };
            let pairs = bytes.as_chunks().0.iter();
            pairs.map(|two| read(u16::from_le_bytes(*two))).collect()
        }
    };
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(WeightError::NotFinite)
    }
}
