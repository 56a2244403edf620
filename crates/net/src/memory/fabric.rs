//! Links and pipes of the memory network: decides what a sender or a reader may do at a given time. Synchronous.

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use super::link::{Link, LinkState};
use crate::{PeerId, STREAM_WINDOW_BYTES, STREAMS_PER_PEER_MAX};

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PipeId(u64);

/// The two pipes of a stream as one of its ends sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) outward: PipeId,
    pub(super) inward: PipeId,
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Writer,
    Reader,
}

/// What became of a frame handed to [`Fabric::send`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendStep {
    Sent,
    /// The window is full; try again after a change from this version.
    Full(u64),
    Closed,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RecvStep {
    Frame(Vec<u8>),
    TooLarge(usize),
    Finished,
    Closed,
    /// Something arrives at this time.
    At(SystemTime),
    /// Nothing is under way; look again after a change from this version.
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Noticed from this time on.
    Finished(SystemTime),
    /// Noticed this long after the reader first looks. A stream may be dropped when the runtime and its clock are gone, so
    /// the time of a reset is not asked for; a reader that waits looks at once.
    Reset(Duration),
    /// A reset the reader has looked at, noticed from this time on.
    ResetAt(SystemTime),
}

#[derive(Debug)]
struct Parcel {
    arrives: SystemTime,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Pipe {
    from: PeerId,
    to: PeerId,
    parcels: VecDeque<Parcel>,
    held_bytes: usize,
    last_arrival: SystemTime,
    end: Option<End>,
    reader_gone: bool,
    /// Ends not yet dropped.
    handles: u8,
    version: u64,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Pipe {
    fn new(from: PeerId, to: PeerId) -> Self {
        Self {
            from,
            to,
            parcels: VecDeque::new(),
            held_bytes: 0,
            last_arrival: SystemTime::UNIX_EPOCH,
            end: None,
            reader_gone: false,
            handles: 2,
            version: 0,
            writer: None,
            reader: None,
        }
    }

    fn changed(&mut self) {
        self.version += 1;
        for waker in [self.writer.take(), self.reader.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn drop_parcels(&mut self) {
        self.parcels.clear();
        self.held_bytes = 0;
    }

    /// When something sent now arrives: after `delay`, but never before what was sent earlier.
    fn arrival(&mut self, now: SystemTime, delay: Duration) -> SystemTime {
        let arrives = now.checked_add(delay).unwrap_or(now).max(self.last_arrival);
        self.last_arrival = arrives;
        arrives
    }
}

/// All links and pipes of a network.
#[derive(Debug)]
pub(super) struct Fabric {
    seed: u64,
    links: BTreeMap<(PeerId, PeerId), LinkState>,
    pipes: BTreeMap<PipeId, Pipe>,
    pipes_made: u64,
    /// Pipes towards each peer.
    pipes_to: BTreeMap<PeerId, usize>,
}

impl Fabric {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            links: BTreeMap::new(),
            pipes: BTreeMap::new(),
            pipes_made: 0,
            pipes_to: BTreeMap::new(),
        }
    }

    fn link(&mut self, from: PeerId, to: PeerId) -> &mut LinkState {
        let seed = self.seed;
        self.links
            .entry((from, to))
            .or_insert_with(|| LinkState::new(seed, from, to))
    }

    pub(super) fn is_cut(&self, from: PeerId, to: PeerId) -> bool {
        self.links.get(&(from, to)).is_some_and(|link| link.cut)
    }

    pub(super) fn set_link(&mut self, from: PeerId, to: PeerId, link: Link) {
        self.link(from, to).link = link;
    }

    pub(super) fn set_cut(&mut self, from: PeerId, to: PeerId, cut: bool) {
        self.link(from, to).cut = cut;
        for pipe in self.pipes.values_mut() {
            if (pipe.from, pipe.to) == (from, to) || (pipe.to, pipe.from) == (from, to) {
                pipe.changed();
            }
        }
    }

    /// How long the next stream opening, or its answer, takes on the link; `None` when it never arrives.
    pub(super) fn pass(&mut self, from: PeerId, to: PeerId) -> Option<Duration> {
        self.link(from, to).pass()
    }

    /// Makes the pipes of a stream: the opener's ends and the acceptor's. `None` when the acceptor has too many.
    pub(super) fn open(&mut self, opener: PeerId, acceptor: PeerId) -> Option<(Ends, Ends)> {
        if self.pipes_to.get(&acceptor).copied().unwrap_or(0) >= STREAMS_PER_PEER_MAX {
            return None;
        }
        let there = self.make_pipe(opener, acceptor);
        let back = self.make_pipe(acceptor, opener);
        let ours = Ends {
            outward: there,
            inward: back,
        };
        let theirs = Ends {
            outward: back,
            inward: there,
        };
        Some((ours, theirs))
    }

    fn make_pipe(&mut self, from: PeerId, to: PeerId) -> PipeId {
        let id = PipeId(self.pipes_made);
        self.pipes_made += 1;
        self.pipes.insert(id, Pipe::new(from, to));
        *self.pipes_to.entry(to).or_insert(0) += 1;
        id
    }

    pub(super) fn send(&mut self, now: SystemTime, id: PipeId, frame: &[u8]) -> SendStep {
        let Some((from, to)) = self.ends(id) else {
            return SendStep::Closed;
        };
        let stop_heard = !self.is_cut(to, from);
        let Some(pipe) = self.pipes.get(&id) else {
            return SendStep::Closed;
        };
        if pipe.end.is_some() || (pipe.reader_gone && stop_heard) {
            return SendStep::Closed;
        }
        let held_bytes = pipe.held_bytes + frame.len();
        if !pipe.parcels.is_empty() && held_bytes > STREAM_WINDOW_BYTES {
            return SendStep::Full(pipe.version);
        }
        // Drawn only for a frame that goes out, however often a full pipe was tried.
        let delay = self.link(from, to).delay();
        if let Some(pipe) = self.pipes.get_mut(&id) {
            let arrives = pipe.arrival(now, delay);
            pipe.held_bytes = held_bytes;
            pipe.parcels.push_back(Parcel {
                arrives,
                frame: frame.to_vec(),
            });
            pipe.changed();
        }
        SendStep::Sent
    }

    /// The version of a pipe whose reader is there as far as its writer knows.
    pub(super) fn listened_to(&self, id: PipeId) -> Option<u64> {
        let (from, to) = self.ends(id)?;
        let pipe = self.pipes.get(&id)?;
        let has_stopped = pipe.reader_gone && !self.is_cut(to, from);
        let is_broken = matches!(pipe.end, Some(End::Reset(_) | End::ResetAt(_)));
        (!has_stopped && !is_broken).then_some(pipe.version)
    }

    pub(super) fn recv(&mut self, now: SystemTime, id: PipeId, limit: usize) -> RecvStep {
        let cut = self
            .ends(id)
            .is_some_and(|(from, to)| self.is_cut(from, to));
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return RecvStep::Closed;
        };
        if pipe.reader_gone {
            return RecvStep::Closed;
        }
        if let Some(End::Reset(delay)) = pipe.end {
            pipe.end = Some(End::ResetAt(pipe.arrival(now, delay)));
        }
        let next = match (pipe.parcels.front(), pipe.end) {
            (Some(parcel), _) => Some(parcel.arrives),
            (None, Some(End::Finished(arrives) | End::ResetAt(arrives))) => Some(arrives),
            (None, Some(End::Reset(_)) | None) => None,
        };
        let Some(arrives) = next else {
            return RecvStep::Wait(pipe.version);
        };
        if cut {
            return RecvStep::Wait(pipe.version);
        }
        if arrives > now {
            return RecvStep::At(arrives);
        }
        let length = pipe.parcels.front().map(|parcel| parcel.frame.len());
        if let Some(length) = length.filter(|length| *length > limit) {
            return RecvStep::TooLarge(length);
        }
        match (pipe.parcels.pop_front(), pipe.end) {
            (Some(Parcel { frame, .. }), _) => {
                pipe.held_bytes -= frame.len();
                pipe.changed();
                RecvStep::Frame(frame)
            }
            (None, Some(End::Finished(_))) => RecvStep::Finished,
            (None, _) => RecvStep::Closed,
        }
    }

    /// Ready once the pipe is no longer at `version`.
    pub(super) fn poll_changed(
        &mut self,
        id: PipeId,
        side: Side,
        version: u64,
        context: &Context<'_>,
    ) -> Poll<()> {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return Poll::Ready(());
        };
        if pipe.version != version {
            return Poll::Ready(());
        }
        let waker = Some(context.waker().clone());
        match side {
            Side::Writer => pipe.writer = waker,
            Side::Reader => pipe.reader = waker,
        }
        Poll::Pending
    }

    /// No more frames come; `false` when the pipe is broken already.
    pub(super) fn finish(&mut self, now: SystemTime, id: PipeId) -> bool {
        let Some((from, to)) = self.ends(id) else {
            return false;
        };
        match self.pipes.get(&id).and_then(|pipe| pipe.end) {
            None => {}
            Some(End::Finished(_)) => return true,
            Some(End::Reset(_) | End::ResetAt(_)) => return false,
        }
        let delay = self.link(from, to).delay();
        if let Some(pipe) = self.pipes.get_mut(&id) {
            let arrives = pipe.arrival(now, delay);
            pipe.end = Some(End::Finished(arrives));
            pipe.changed();
        }
        true
    }

    /// Breaks a pipe from its writer's side: the reader learns of it after the link's delay, and gets no more frames.
    fn reset(&mut self, id: PipeId) {
        let Some((from, to)) = self.ends(id) else {
            return;
        };
        let delay = self.link(from, to).delay();
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.drop_parcels();
            pipe.end = Some(End::Reset(delay));
            pipe.changed();
        }
    }

    /// One end of a stream is dropped: what it has not finished is reset, what it has not read is refused.
    pub(super) fn leave(&mut self, ends: Ends) {
        if self
            .pipes
            .get(&ends.outward)
            .is_some_and(|pipe| pipe.end.is_none())
        {
            self.reset(ends.outward);
        }
        if let Some(pipe) = self.pipes.get_mut(&ends.inward) {
            pipe.reader_gone = true;
            pipe.drop_parcels();
            pipe.changed();
        }
        self.drop_handle(ends.outward);
        self.drop_handle(ends.inward);
    }

    fn drop_handle(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        pipe.handles -= 1;
        if pipe.handles > 0 {
            return;
        }
        let to = pipe.to;
        self.pipes.remove(&id);
        if let Some(count) = self.pipes_to.get_mut(&to) {
            *count -= 1;
        }
    }

    /// Breaks every stream of a peer that leaves. Its correspondents learn of it as they would of a reset.
    pub(super) fn leave_all(&mut self, peer: PeerId) {
        let ids: Vec<PipeId> = self.pipes.keys().copied().collect();
        for id in ids {
            let Some((from, to)) = self.ends(id) else {
                continue;
            };
            if from == peer {
                self.reset(id);
            }
            if to == peer
                && let Some(pipe) = self.pipes.get_mut(&id)
            {
                pipe.reader_gone = true;
                pipe.drop_parcels();
                pipe.changed();
            }
        }
    }

    fn ends(&self, id: PipeId) -> Option<(PeerId, PeerId)> {
        self.pipes.get(&id).map(|pipe| (pipe.from, pipe.to))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const A: PeerId = PeerId::new([1; 32]);
    const B: PeerId = PeerId::new([2; 32]);

    #[test]
    fn one_frame_above_the_window_passes_and_the_next_waits() {
        let mut fabric = Fabric::new(0);
        let (ours, _theirs) = fabric.open(A, B).unwrap();
        let frame = vec![0; STREAM_WINDOW_BYTES + 1];
        assert_eq!(fabric.send(NOW, ours.outward, &frame), SendStep::Sent);
        assert!(matches!(
            fabric.send(NOW, ours.outward, &[0]),
            SendStep::Full(_)
        ));
    }

    #[test]
    fn jitter_never_reorders_frames_nor_the_end() {
        let mut fabric = Fabric::new(3);
        let link = Link {
            jitter: Duration::from_millis(50),
            ..Link::default()
        };
        fabric.set_link(A, B, link);
        let (ours, theirs) = fabric.open(A, B).unwrap();
        for number in 0..100_u8 {
            fabric.send(NOW, ours.outward, &[number]);
        }
        assert!(fabric.finish(NOW, ours.outward));
        let later = NOW + Duration::from_secs(1);
        for number in 0..100_u8 {
            assert_eq!(
                fabric.recv(later, theirs.inward, 1),
                RecvStep::Frame(vec![number])
            );
        }
        assert_eq!(fabric.recv(later, theirs.inward, 1), RecvStep::Finished);
    }

    #[test]
    fn dropped_streams_leave_nothing_behind() {
        let mut fabric = Fabric::new(0);
        let (ours, theirs) = fabric.open(A, B).unwrap();
        fabric.leave(ours);
        assert_eq!(fabric.recv(NOW, theirs.inward, 1), RecvStep::Closed);
        fabric.leave(theirs);
        assert!(fabric.pipes.is_empty());
        assert!(fabric.pipes_to.values().all(|count| *count == 0));
    }

    #[test]
    fn streams_towards_a_peer_are_capped() {
        let mut fabric = Fabric::new(0);
        let opened = (0..=STREAMS_PER_PEER_MAX)
            .filter(|_| fabric.open(A, B).is_some())
            .count();
        assert_eq!(opened, STREAMS_PER_PEER_MAX);
    }
}
