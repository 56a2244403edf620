//! One end of a stream in the memory network.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use commonware_runtime::Clock;

use super::{
    Shared,
    fabric::{Ends, RecvStep, SendStep, Side},
};
use crate::{FRAME_BYTES_MAX, FrameStream, NetError, Operation};

/// A stream to another peer of the same [`Hub`](super::Hub).
pub struct MemoryStream<C: Clock> {
    shared: Arc<Shared<C>>,
    ends: Ends,
    /// A send was given up half way, so that the reader could not tell where the next frame begins.
    torn: bool,
}

impl<C: Clock> MemoryStream<C> {
    pub(super) fn new(shared: Arc<Shared<C>>, ends: Ends) -> Self {
        Self {
            shared,
            ends,
            torn: false,
        }
    }

    async fn push(&self, frame: &[u8]) -> Result<(), NetError> {
        let pipe = self.ends.outward;
        loop {
            let now = self.shared.now();
            let step = self.shared.lock().fabric.send(now, pipe, frame);
            match step {
                SendStep::Sent => return Ok(()),
                SendStep::Closed => return Err(NetError::Closed),
                SendStep::Full(version) => self.changed(Side::Writer, version).await,
            }
        }
    }

    async fn pull(&self, limit: usize) -> Result<Option<Vec<u8>>, NetError> {
        let pipe = self.ends.inward;
        loop {
            let now = self.shared.now();
            let step = self.shared.lock().fabric.recv(now, pipe, limit);
            match step {
                RecvStep::Frame(frame) => return Ok(Some(frame)),
                RecvStep::Finished => return Ok(None),
                RecvStep::Closed => return Err(NetError::Closed),
                RecvStep::TooLarge(found) => return Err(NetError::FrameTooLarge { limit, found }),
                RecvStep::At(arrives) => self.shared.clock.sleep_until(arrives).await,
                RecvStep::Wait(version) => self.changed(Side::Reader, version).await,
            }
        }
    }

    async fn changed(&self, side: Side, version: u64) {
        let pipe = match side {
            Side::Writer => self.ends.outward,
            Side::Reader => self.ends.inward,
        };
        poll_fn(|context| {
            self.shared
                .lock()
                .fabric
                .poll_changed(pipe, side, version, context)
        })
        .await;
    }
}

impl<C: Clock> FrameStream for MemoryStream<C> {
    async fn send(&mut self, frame: &[u8], deadline: Duration) -> Result<(), NetError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(NetError::FrameTooLarge {
                limit: FRAME_BYTES_MAX,
                found: frame.len(),
            });
        }
        if self.torn {
            return Err(NetError::Closed);
        }
        self.torn = true;
        let push = self.push(frame);
        self.shared.within(deadline, Operation::Send, push).await?;
        self.torn = false;
        Ok(())
    }

    async fn recv(
        &mut self,
        limit: usize,
        deadline: Duration,
    ) -> Result<Option<Vec<u8>>, NetError> {
        let pull = self.pull(limit.min(FRAME_BYTES_MAX));
        self.shared.within(deadline, Operation::Receive, pull).await
    }

    async fn gone(&mut self) {
        let pipe = self.ends.outward;
        loop {
            let version = self.shared.lock().fabric.listened_to(pipe);
            let Some(version) = version else { return };
            self.changed(Side::Writer, version).await;
        }
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        if self.torn {
            return Err(NetError::Closed);
        }
        let now = self.shared.now();
        let finished = self.shared.lock().fabric.finish(now, self.ends.outward);
        finished.then_some(()).ok_or(NetError::Closed)
    }
}

impl<C: Clock> Drop for MemoryStream<C> {
    fn drop(&mut self) {
        self.shared.lock().fabric.leave(self.ends);
    }
}

impl<C: Clock> fmt::Debug for MemoryStream<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryStream")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}
