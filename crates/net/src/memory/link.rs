//! What a directed link does to what passes over it.

use std::time::Duration;

use crate::PeerId;

/// Lost requests are counted in ten thousandths.
pub const LOSS_WHOLE_BPS: u16 = 10_000;

/// Faults of the link from one peer to another. The default link is instant and loses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Time every frame takes.
    pub latency: Duration,
    /// Most time added to it, drawn evenly per frame. Frames of a stream stay in order.
    pub jitter: Duration,
    /// Share of stream openings lost on this link, in ten thousandths: the opener waits until its deadline. Frames on an
    /// open stream are never lost, as on a connection that sends again.
    pub loss_bps: u16,
}

/// A link with the state of its faults.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) link: Link,
    pub(super) cut: bool,
    random: SplitMix64,
}

impl LinkState {
    /// Every link draws from a sequence of its own, so that traffic elsewhere does not change what happens here.
    pub(super) fn new(seed: u64, from: PeerId, to: PeerId) -> Self {
        let mut random = SplitMix64(seed);
        for byte in from.as_bytes().iter().chain(to.as_bytes()) {
            random = SplitMix64(random.next() ^ u64::from(*byte));
        }
        Self {
            link: Link::default(),
            cut: false,
            random,
        }
    }

    /// How long the next frame takes.
    pub(super) fn delay(&mut self) -> Duration {
        let jitter_nanos = u64::try_from(self.link.jitter.as_nanos()).unwrap_or(u64::MAX);
        let added = match jitter_nanos.checked_add(1) {
            Some(span) => self.random.next() % span,
            None => self.random.next(),
        };
        self.link
            .latency
            .saturating_add(Duration::from_nanos(added))
    }

    /// How long the next opening takes, or `None` when it is lost.
    pub(super) fn pass(&mut self) -> Option<Duration> {
        // Both numbers are drawn in any case, so that a fault does not shift the later ones.
        let lost = self.random.next() % u64::from(LOSS_WHOLE_BPS) < u64::from(self.link.loss_bps);
        let delay = self.delay();
        (!lost && !self.cut).then_some(delay)
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014. Not for secrets.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(link: Link) -> LinkState {
        let mut state = LinkState::new(1, PeerId::new([1; 32]), PeerId::new([2; 32]));
        state.link = link;
        state
    }

    #[test]
    fn generator_matches_the_published_sequence() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn delay_stays_between_latency_and_latency_plus_jitter() {
        let latency = Duration::from_millis(20);
        let jitter = Duration::from_millis(5);
        let mut state = state(Link {
            latency,
            jitter,
            loss_bps: 0,
        });
        for _ in 0..1000 {
            let delay = state.delay();
            assert!(latency <= delay && delay <= latency + jitter);
        }
    }

    #[test]
    fn loss_is_about_the_share_asked_for() {
        let passed = |loss_bps| {
            let mut state = state(Link {
                loss_bps,
                ..Link::default()
            });
            (0..10_000).filter(|_| state.pass().is_some()).count()
        };
        assert_eq!(passed(0), 10_000);
        assert_eq!(passed(LOSS_WHOLE_BPS), 0);
        assert!((7_300..7_700).contains(&passed(2_500)));
    }
}
