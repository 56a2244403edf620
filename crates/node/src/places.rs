//! Places of which there are few, shared fairly: when none is left, one of whoever holds the most is given up. Who takes it over has its turn when that one has let go of
//! what it held, so what places bound is bounded at every moment.

use crate::turns::{Turn, Turns};
use fairweir_net::PeerId;
use futures::{FutureExt as _, channel::oneshot, select_biased};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who gives way where nobody holds more than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivesWay {
    /// Who has been there longest: for what is over soon, unless somebody draws it out.
    Oldest,
    /// Who comes last: for what is meant to stay.
    Newest,
}

/// So many places.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    max: usize,
    gives_way: GivesWay,
    held: Arc<Mutex<Held>>,
    /// As many as there are places: of those who gave way, some have not left yet.
    turns: Turns,
}

#[derive(Debug, Default)]
struct Held {
    /// The number of the next place.
    next: u64,
    /// From the oldest to the newest.
    places: BTreeMap<u64, (PeerId, oneshot::Sender<()>)>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    held: Arc<Mutex<Held>>,
    peer: PeerId,
    turns: Turns,
    /// Once it had to wait no more.
    turn: Option<Turn>,
    lost: oneshot::Receiver<()>,
}

impl Places {
    pub(crate) fn new(max: usize, gives_way: GivesWay) -> Self {
        Self {
            max,
            gives_way,
            held: Arc::default(),
            turns: Turns::new(max),
        }
    }

    /// A place for a peer; none where it would have to give way itself.
    pub(crate) fn take(&self, peer: PeerId) -> Option<Place> {
        let mut held = lock(&self.held);
        if held.places.len() >= self.max {
            let number = held.gives_way(peer, self.gives_way)?;
            if let Some((_, lost)) = held.places.remove(&number) {
                // It may have just ended.
                let _ = lost.send(());
            }
        }
        let number = held.next;
        held.next += 1;
        let (sender, lost) = oneshot::channel();
        held.places.insert(number, (peer, sender));
        Some(Place {
            number,
            held: Arc::clone(&self.held),
            peer,
            turns: self.turns.clone(),
            turn: None,
            lost,
        })
    }

    /// Does something within a place of a peer, boxed: a future within a future takes twice its size, and there may be thousands. Nothing comes of it where there is none, or where it is lost.
    pub(crate) async fn within<T>(
        &self,
        peer: PeerId,
        doing: impl Future<Output = T> + Unpin,
    ) -> Option<T> {
        self.take(peer)?.within(doing).await
    }
}

impl Place {
    /// Does something as long as the place is held, once it is its turn.
    pub(crate) async fn within<T>(mut self, doing: impl Future<Output = T> + Unpin) -> Option<T> {
        self.keep_within(doing).await
    }

    /// The same, and the place is still held afterwards.
    pub(crate) async fn keep_within<T>(
        &mut self,
        doing: impl Future<Output = T> + Unpin,
    ) -> Option<T> {
        if self.turn.is_none() {
            let mut turn = pin!(self.turns.take(self.peer).fuse());
            let turn = select_biased! {
                _ = (&mut self.lost).fuse() => return None,
                turn = turn => turn,
            };
            self.turn = Some(turn);
        }
        let mut doing = doing.fuse();
        select_biased! {
            done = doing => Some(done),
            _ = (&mut self.lost).fuse() => None,
        }
    }
}

impl Held {
    /// The place that another one of a peer takes; none if that gives way itself.
    fn gives_way(&self, newcomer: PeerId, among_equals: GivesWay) -> Option<u64> {
        // How many each holds, and its oldest.
        let mut holders: BTreeMap<PeerId, (usize, u64)> = BTreeMap::new();
        for (number, (peer, _)) in &self.places {
            match holders.entry(*peer) {
                Entry::Vacant(entry) => {
                    entry.insert((1, *number));
                }
                Entry::Occupied(mut entry) => entry.get_mut().0 += 1,
            }
        }
        let own = holders.get(&newcomer).map_or(0, |(count, _)| *count);
        let most = holders.values().map(|(count, _)| *count).max()?;
        if among_equals == GivesWay::Newest && most <= own + 1 {
            return None;
        }
        if own == most {
            // Nobody holds more than it: one of its own.
            return holders.get(&newcomer).map(|(_, oldest)| *oldest);
        }
        let holders = holders.into_values();
        let largest = holders.filter(|(count, _)| *count == most);
        largest.map(|(_, oldest)| oldest).min()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.held).places.remove(&self.number);
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::Index};
    use std::{
        cell::Cell,
        future::{pending, poll_fn},
        rc::Rc,
        task::Poll,
    };

    fn peer(number: u8) -> PeerId {
        PeerId::new([number; 32])
    }

    /// Takes places for these peers in turn; says for each whether it still holds its place, and none for whom there was none.
    fn taken(max: usize, gives_way: GivesWay, peers: &[u8]) -> Vec<Option<bool>> {
        let places = Places::new(max, gives_way);
        // All of them before the first is dropped: that would make room.
        let held: Vec<_> = peers
            .iter()
            .map(|number| places.take(peer(*number)))
            .collect();
        let is_held = |mut place: Place| (&mut place.lost).now_or_never().is_none();
        held.into_iter().map(|place| place.map(is_held)).collect()
    }

    #[test]
    fn whoever_holds_the_most_gives_way() {
        use GivesWay::{Newest, Oldest};
        let (kept, lost, none) = (Some(true), Some(false), None);
        for (gives_way, peers, expected) in [
            // There is room.
            (Oldest, &[1, 1, 2][..], &[kept, kept, kept][..]),
            // Its own oldest place.
            (Oldest, &[1, 1, 1, 1], &[lost, kept, kept, kept]),
            // That of another who has more; who has little keeps it.
            (Oldest, &[2, 1, 1, 3], &[kept, lost, kept, kept]),
            (Newest, &[2, 1, 1, 3], &[kept, lost, kept, kept]),
            // Among equals.
            (Oldest, &[1, 2, 3, 4], &[lost, kept, kept, kept]),
            (Newest, &[1, 2, 3, 4], &[kept, kept, kept, none]),
            (Newest, &[1, 1, 1, 1], &[kept, kept, kept, none]),
            (Newest, &[2, 1, 1, 2], &[kept, kept, kept, none]),
        ] {
            assert_eq!(
                taken(3, gives_way, peers),
                expected,
                "{gives_way:?} {peers:?}"
            );
        }
    }

    #[test]
    fn a_place_comes_back_and_what_lost_its_place_ends() {
        let places = Places::new(1, GivesWay::Oldest);
        drop(places.take(peer(1)).unwrap());
        assert_eq!(lock(&places.held).places.len(), 0);
        assert_eq!(
            places.within(peer(1), Box::pin(async { 7 })).now_or_never(),
            Some(Some(7))
        );
        let mut first = Box::pin(places.within(peer(1), pending::<()>()));
        assert_eq!((&mut first).now_or_never(), None);
        let mut second = Box::pin(places.within(peer(2), pending::<()>()));
        assert_eq!((&mut second).now_or_never(), None);
        assert_eq!(first.now_or_never(), Some(None));
    }

    #[test]
    fn who_gives_way_while_it_waits_lets_go_at_once() {
        let places = Places::new(1, GivesWay::Oldest);
        let mut holds = [1, 2, 3].map(|number| {
            let doing = Box::pin(pending::<()>());
            Box::pin(places.within(peer(number), doing))
        });
        for within in &mut holds {
            assert_eq!(within.now_or_never(), None);
        }
        let [first, second, mut third] = holds;
        // It waited for the first one's place, which has not been looked at since.
        assert_eq!(second.now_or_never(), Some(None));
        assert_eq!((&mut third).now_or_never(), None);
        drop(first);
        assert_eq!(third.now_or_never(), None);
    }

    /// What is done in a place until it is told to end: counted while it is.
    async fn counted(running: Rc<Cell<usize>>, ends: Rc<Cell<bool>>) {
        struct Running(Rc<Cell<usize>>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        running.set(running.get() + 1);
        let _running = Running(running);
        poll_fn(|_| {
            if ends.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    proptest! {
        /// Whoever comes and whenever each is looked at, no more is done at once than there are places; and all places are used again afterwards.
        #[test]
        fn no_more_is_done_at_once_than_there_are_places(
            max in 1usize..5,
            steps in vec((0u8..3, 0u8..5, any::<Index>()), 1..80),
        ) {
            let places = Places::new(max, GivesWay::Oldest);
            let running = Rc::new(Cell::new(0));
            let mut all = Vec::new();
            let begin = |number| {
                let ends = Rc::new(Cell::new(false));
                let doing = Box::pin(counted(Rc::clone(&running), Rc::clone(&ends)));
                let places = places.clone();
                let within = async move { places.within(peer(number), doing).await };
                (ends, Box::pin(within))
            };
            for (step, number, which) in steps {
                if step == 0 || all.is_empty() {
                    all.push(begin(number));
                }
                let at = which.index(all.len());
                if step == 1 {
                    all[at].0.set(true);
                }
                if step == 2 && number == 0 {
                    // Its client is gone.
                    drop(all.remove(at));
                } else if (&mut all[at].1).now_or_never().is_some() {
                    drop(all.remove(at));
                }
                prop_assert!(running.get() <= max, "{} run", running.get());
            }
            all.extend((0..5).cycle().take(2 * max).map(begin));
            // Each waits for one that came before it at the most.
            for _ in 0..all.len() {
                all.retain_mut(|(_, within)| within.now_or_never().is_none());
                prop_assert!(running.get() <= max);
            }
            prop_assert_eq!(running.get(), max);
            prop_assert_eq!(all.len(), max);
        }
    }
}
