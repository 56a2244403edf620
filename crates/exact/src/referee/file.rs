//! SHA-256 in steps: the digest that names a model's file, from states of its hash.

use sha2::block_api::compress256;

/// The state of a SHA-256 as bytes.
pub(super) fn state_bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    bytes
}

/// The state from its bytes.
pub(super) fn state_of(bytes: &[u8; 32]) -> [u32; 8] {
    let words = bytes.as_chunks::<4>().0;
    std::array::from_fn(|word| u32::from_be_bytes(words[word]))
}

/// The state that a SHA-256 begins with (FIPS 180-4, 5.3.3).
pub(super) const SHA256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A SHA-256 goes on with whole blocks.
pub(super) fn absorb(state: &mut [u32; 8], bytes: &[u8]) {
    compress256(state, bytes.as_chunks().0);
}

/// A SHA-256 ends with the last bytes of so many (FIPS 180-4, 5.1.1).
pub(super) fn finish(mut state: [u32; 8], last: &[u8], all: u64) -> [u8; 32] {
    let mut padded = last.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((all.wrapping_mul(8)).to_be_bytes());
    absorb(&mut state, &padded);
    state_bytes(&state)
}

/// A value of the file: the state of the hash before a piece, and the piece.
pub(super) fn piece_value(state: &[u8; 32], piece: &[u8]) -> Vec<u8> {
    [&state[..], piece].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_hash_in_steps_is_the_hash() {
        let bytes: Vec<u8> = (0..1000u32).map(|number| number as u8).collect();
        for (whole, all) in [
            (0, 0),
            (0, 55),
            (0, 63),
            (64, 64),
            (64, 119),
            (128, 200),
            (960, 1000),
        ] {
            let mut state = SHA256_START;
            absorb(&mut state, &bytes[..whole]);
            let state = state_of(&state_bytes(&state));
            let found = finish(state, &bytes[whole..all], all as u64);
            assert_eq!(
                found,
                <[u8; 32]>::from(Sha256::digest(&bytes[..all])),
                "{whole} {all}"
            );
        }
    }
}
