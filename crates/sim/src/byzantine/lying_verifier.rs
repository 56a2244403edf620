use super::Twist;
use fairweir_types::Digest;

/// A verifier that says of every piece of work that it should have been another.
#[derive(Clone, Copy, Debug)]
pub struct LyingVerifier;

impl Twist for LyingVerifier {
    fn trace(&self, mut trace: Digest) -> Digest {
        trace.0[0] ^= 1;
        trace
    }
}
