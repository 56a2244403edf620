use super::{PrivateChannel, Twist, WrongOutput};
use fairweir_services::Executed;
use fairweir_types::{
    Digest,
    order::{Demand, KindId},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// A worker that plants faults ("forced errors" in TrueBit). It tells the traces of all its work, as one would that pays verifiers for not computing; a few, by a lot that nobody else knows, are
/// false, and it opens what it told. It is slashed for them like any other; stakeholders may pay it out of the treasury (ADR 0012).
#[derive(Debug)]
pub struct Planter {
    channel: Arc<PrivateChannel>,
    secret: Digest,
    rate_bps: u16,
    planted: AtomicU32,
}

impl Planter {
    /// One that plants so many of ten thousand pieces of work.
    #[must_use]
    pub const fn new(channel: Arc<PrivateChannel>, secret: Digest, rate_bps: u16) -> Self {
        Self {
            channel,
            secret,
            rate_bps,
            planted: AtomicU32::new(0),
        }
    }

    /// How many it planted.
    #[must_use]
    pub fn planted(&self) -> u32 {
        self.planted.load(Ordering::Relaxed)
    }

    /// Whether the lot falls on an output.
    fn is_planted(&self, output: &[u8]) -> bool {
        let drawn = Digest::of_blob(&[&self.secret.0[..], output].concat());
        let drawn = drawn
            .0
            .first_chunk()
            .map_or(0, |head| u64::from_be_bytes(*head));
        drawn % 10_000 < u64::from(self.rate_bps)
    }
}

impl Twist for Planter {
    fn execution(&self, kind: KindId, executed: Executed, demand: &Demand) -> Executed {
        if executed.output.is_empty() || !self.is_planted(&executed.output) {
            return executed;
        }
        self.planted.fetch_add(1, Ordering::Relaxed);
        WrongOutput.execution(kind, executed, demand)
    }

    fn made(&self, spec: &Digest, executed: &Executed) {
        // Who is told nothing computes.
        let _ = self.channel.tell(*spec, executed.trace(spec));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lot_falls_as_often_as_it_is_told_to_and_on_others_with_another_secret() {
        let planted = |secret: &[u8], rate| -> Vec<u32> {
            let secret = Digest::of_blob(secret);
            let planter = Planter::new(Arc::default(), secret, rate);
            let outputs = 0..20_000_u32;
            outputs
                .filter(|output| planter.is_planted(&output.to_be_bytes()))
                .collect()
        };
        assert!(planted(b"one", 0).is_empty());
        assert_eq!(planted(b"one", 10_000).len(), 20_000);
        // 200 of 20,000, and three standard deviations.
        assert!((158..=242).contains(&planted(b"one", 100).len()));
        assert_ne!(planted(b"one", 100), planted(b"other", 100));
    }
}
