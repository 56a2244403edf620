//! Frames on a QUIC stream: four bytes of length, big-endian, then the frame.

use std::{fmt, time::Duration};

use iroh::endpoint::{ReadError, RecvStream, SendStream, VarInt};

use super::within;
use crate::{FRAME_BYTES_MAX, FrameStream, NetError, Operation};

/// Application code of a stream given up without finishing.
const ABANDONED: VarInt = VarInt::from_u32(1);
const LENGTH_BYTES: usize = 4;

/// A stream over a QUIC connection, which lives at least as long as the stream.
pub struct QuicStream {
    pub(super) outward: SendStream,
    pub(super) inward: RecvStream,
    sending: Sending,
    receiving: Receiving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Ready,
    /// A frame is under way; found at the start of a call, the frame before was given up half way.
    Torn,
    Finished,
}

/// What has been read of the next frame. Kept between calls, so that a call given up loses nothing.
#[derive(Debug)]
enum Receiving {
    Length(Vec<u8>),
    Body { length: usize, body: Vec<u8> },
    Finished,
    Broken,
}

impl QuicStream {
    pub(super) const fn new(outward: SendStream, inward: RecvStream) -> Self {
        Self {
            outward,
            inward,
            sending: Sending::Ready,
            receiving: Receiving::Length(Vec::new()),
        }
    }

    async fn write(&mut self, frame: &[u8]) -> Result<(), NetError> {
        let length = u32::try_from(frame.len()).map_err(|_| NetError::FrameTooLarge {
            limit: FRAME_BYTES_MAX,
            found: frame.len(),
        })?;
        self.outward
            .write_all(&length.to_be_bytes())
            .await
            .map_err(|_| NetError::Closed)?;
        self.outward
            .write_all(frame)
            .await
            .map_err(|_| NetError::Closed)
    }

    async fn read(&mut self, limit: usize) -> Result<Option<Vec<u8>>, NetError> {
        loop {
            let wanted = match &mut self.receiving {
                Receiving::Finished => return Ok(None),
                Receiving::Broken => return Err(NetError::Closed),
                Receiving::Length(bytes) => {
                    match <[u8; LENGTH_BYTES]>::try_from(bytes.as_slice()) {
                        Ok(length) => {
                            self.begin_body(u32::from_be_bytes(length), limit)?;
                            continue;
                        }
                        Err(_) => LENGTH_BYTES - bytes.len(),
                    }
                }
                Receiving::Body { length, body } if body.len() == *length => {
                    let frame = std::mem::take(body);
                    self.receiving = Receiving::Length(Vec::new());
                    return Ok(Some(frame));
                }
                Receiving::Body { length, body } => *length - body.len(),
            };
            match self.inward.read_chunk(wanted).await {
                Ok(Some(chunk)) => self.receiving.push(&chunk),
                Ok(None) => return self.ended(),
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn begin_body(&mut self, length: u32, limit: usize) -> Result<(), NetError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            if length > FRAME_BYTES_MAX {
                self.receiving = Receiving::Broken;
                // An error says that the peer has closed the stream, which is as good.
                let _ = self.inward.stop(ABANDONED);
            }
            return Err(NetError::FrameTooLarge {
                limit,
                found: length,
            });
        }
        // No capacity: the vector grows with the bytes that do arrive.
        let body = Vec::new();
        self.receiving = Receiving::Body { length, body };
        Ok(())
    }

    /// The peer finished: between frames that is the end, inside one it is not.
    fn ended(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        if matches!(&self.receiving, Receiving::Length(bytes) if bytes.is_empty()) {
            self.receiving = Receiving::Finished;
            return Ok(None);
        }
        self.receiving = Receiving::Broken;
        Err(NetError::Truncated)
    }

    fn lost(&mut self, error: &ReadError) -> NetError {
        tracing::debug!(%error, "stream lost");
        self.receiving = Receiving::Broken;
        NetError::Closed
    }
}

impl Receiving {
    fn push(&mut self, chunk: &[u8]) {
        match self {
            Self::Length(bytes) => bytes.extend_from_slice(chunk),
            Self::Body { length, body } => {
                if body.capacity() - body.len() < chunk.len() {
                    // A quarter more than what came, and no more than what is to come: doubled, it would be up to twice the frame.
                    let more = chunk.len().max(body.len() / 4);
                    body.reserve_exact(more.min(*length - body.len()));
                }
                body.extend_from_slice(chunk);
            }
            Self::Finished | Self::Broken => {}
        }
    }
}

impl FrameStream for QuicStream {
    async fn send(&mut self, frame: &[u8], deadline: Duration) -> Result<(), NetError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(NetError::FrameTooLarge {
                limit: FRAME_BYTES_MAX,
                found: frame.len(),
            });
        }
        if self.sending != Sending::Ready {
            return Err(NetError::Closed);
        }
        self.sending = Sending::Torn;
        within(deadline, Operation::Send, self.write(frame)).await?;
        self.sending = Sending::Ready;
        Ok(())
    }

    async fn recv(
        &mut self,
        limit: usize,
        deadline: Duration,
    ) -> Result<Option<Vec<u8>>, NetError> {
        let limit = limit.min(FRAME_BYTES_MAX);
        within(deadline, Operation::Receive, self.read(limit)).await
    }

    async fn gone(&mut self) {
        // Lost connections are errors here, and gone as well.
        let _ = self.outward.stopped().await;
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        match self.sending {
            Sending::Finished => Ok(()),
            Sending::Torn => Err(NetError::Closed),
            Sending::Ready => {
                self.outward.finish().map_err(|_| NetError::Closed)?;
                self.sending = Sending::Finished;
                Ok(())
            }
        }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        // Without the reset the transport would finish the stream, and the peer would take half an answer for a whole one.
        if self.sending != Sending::Finished {
            let _ = self.outward.reset(ABANDONED);
        }
    }
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QuicStream")
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}
