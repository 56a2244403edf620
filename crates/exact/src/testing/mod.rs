//! For tests, simulation and examples: tiny models with pseudo-random weights, and a pool of threads.

mod gguf;
mod safetensors;
mod threads;

pub use gguf::{Entry, GgufWriter, tiny_gguf, tiny_shape};
pub use safetensors::{SafetensorsWriter, tiny_encoder, tiny_encoder_shape};
pub use threads::Threads;

/// Pseudo-random numbers that are the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not zero. Slightly biased.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// From −1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}
