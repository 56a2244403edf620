//! Turns at something of which only so much may be done at once. Nobody is sent away: whoever waits gets a turn after one of every other peer that waits.

use fairweir_net::PeerId;
use futures::channel::oneshot;
use std::{
    collections::BTreeMap,
    future::pending,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many turns at a time.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    free: usize,
    /// The number of the next one that waits.
    next: u64,
    /// Those who wait, by peer, and from the oldest to the newest.
    waiting: BTreeMap<PeerId, BTreeMap<u64, oneshot::Sender<Turn>>>,
    /// The peer that a turn was passed on to last.
    last: Option<PeerId>,
}

/// A turn; passed on when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Nothing once it is passed on.
    shared: Option<Arc<Mutex<Shared>>>,
}

/// One that waits, and is forgotten when dropped.
struct Waiting<'a> {
    turns: &'a Turns,
    peer: PeerId,
    number: u64,
    turn: oneshot::Receiver<Turn>,
}

impl Turns {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                free: max,
                next: 0,
                waiting: BTreeMap::new(),
                last: None,
            })),
        }
    }

    /// Waits for a turn of a peer.
    pub(crate) async fn take(&self, peer: PeerId) -> Turn {
        let mut waiting = {
            let mut shared = lock(&self.shared);
            if shared.free > 0 {
                shared.free -= 1;
                return Turn {
                    shared: Some(Arc::clone(&self.shared)),
                };
            }
            let number = shared.next;
            shared.next += 1;
            let (sender, turn) = oneshot::channel();
            let of_peer = shared.waiting.entry(peer).or_default();
            of_peer.insert(number, sender);
            Waiting {
                turns: self,
                peer,
                number,
                turn,
            }
        };
        match (&mut waiting.turn).await {
            Ok(turn) => turn,
            // Only a turn that was passed on is forgotten.
            Err(oneshot::Canceled) => pending().await,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut shared = lock(&self.turns.shared);
        if let Some(of_peer) = shared.waiting.get_mut(&self.peer) {
            of_peer.remove(&self.number);
            if of_peer.is_empty() {
                shared.waiting.remove(&self.peer);
            }
        }
    }
}

impl Shared {
    /// The oldest of the next peer that waits.
    fn next_waiting(&mut self) -> Option<oneshot::Sender<Turn>> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = self.waiting.range((after, Bound::Unbounded));
        let peer = behind.next().or_else(|| self.waiting.iter().next());
        let peer = *peer?.0;
        let of_peer = self.waiting.get_mut(&peer)?;
        let (_, sender) = of_peer.pop_first()?;
        if of_peer.is_empty() {
            self.waiting.remove(&peer);
        }
        self.last = Some(peer);
        Some(sender)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        loop {
            let next = {
                let mut shared = lock(&shared);
                let next = shared.next_waiting();
                if next.is_none() {
                    shared.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            let turn = Self {
                shared: Some(Arc::clone(&shared)),
            };
            match next.send(turn) {
                Ok(()) => return,
                // It has just stopped waiting.
                Err(mut back) => back.shared = None,
            }
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use futures::FutureExt as _;

    fn peer(number: u8) -> PeerId {
        PeerId::new([number; 32])
    }

    #[test]
    fn whoever_waits_gets_a_turn_after_one_of_every_other_peer() {
        let turns = Turns::new(1);
        let mut held = turns.take(peer(9)).now_or_never().unwrap();
        // The first peer came first, and with much.
        let order = [1, 1, 1, 1, 2, 2, 3];
        let mut waiting: Vec<_> = order
            .iter()
            .map(|number| (*number, Box::pin(turns.take(peer(*number)))))
            .collect();
        for (_, waits) in &mut waiting {
            assert!(waits.now_or_never().is_none());
        }
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(held);
            let mut ready = waiting.iter_mut().enumerate();
            let (position, turn) = ready
                .find_map(|(position, (_, waits))| Some((position, waits.now_or_never()?)))
                .unwrap();
            held = turn;
            let (number, waits) = waiting.remove(position);
            drop(waits);
            served.push(number);
        }
        assert_eq!(served, [1, 2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn who_stops_waiting_keeps_nobody_waiting() {
        let turns = Turns::new(1);
        let held = turns.take(peer(1)).now_or_never().unwrap();
        let mut gone = Box::pin(turns.take(peer(2)));
        let mut told = Box::pin(turns.take(peer(3)));
        let mut waits = Box::pin(turns.take(peer(4)));
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut told).now_or_never().is_none());
        assert!((&mut waits).now_or_never().is_none());
        // One stops before it has a turn, one when it was given a turn that it never saw.
        drop(gone);
        drop(held);
        drop(told);
        let last = waits.now_or_never().unwrap();
        drop(last);
        assert!(lock(&turns.shared).waiting.is_empty());
        assert_eq!(lock(&turns.shared).free, 1);
    }
}
