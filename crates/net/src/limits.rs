//! Bounds on what a peer can make us hold or wait for.

use std::time::Duration;

/// Most bytes in one frame: 8 MiB, room for a block of transactions or a slice of a blob with its proof.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most socket addresses in a [`PeerAddr`](crate::PeerAddr): both families on a few interfaces.
pub const PEER_ADDRS_MAX: usize = 8;

/// Longest deadline of a call; longer ones are taken as this. An hour is beyond any request, and keeps clock sums in range.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// Longest queue of incoming streams per protocol.
pub const ACCEPT_CAPACITY_MAX: usize = 4096;

/// Bytes one stream holds for a reader who does not read: 1 MiB, or a single larger frame in the memory network.
///
/// Fills a 100 Mbit/s path of 80 ms.
pub const STREAM_WINDOW_BYTES: usize = 1024 * 1024;

/// Most streams open towards one peer: per connection in QUIC, in all in the memory network.
pub const STREAMS_PER_PEER_MAX: usize = 1024;

// A frame's length travels in four bytes.
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
// One frame spans several windows at most, so that a window is never mistaken for a frame limit.
const _: () = assert!(STREAM_WINDOW_BYTES <= FRAME_BYTES_MAX);
