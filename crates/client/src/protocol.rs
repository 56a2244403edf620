//! The request protocols between clients, nodes and workers, and their limits.

use fairweir_net::Protocol;
use fairweir_types::limits::BLOB_BYTES_MAX;
use std::time::Duration;

/// A client asks a node: `NodeRequest` in one frame, `NodeReply` in one or more.
pub const NODE: Protocol = Protocol::new(1);
/// A buyer asks a worker for its output: `DeliveryRequest`, `DeliveryReply`.
pub const DELIVERY: Protocol = Protocol::new(2);
// 3 is for models from machine to machine: `fairweir_services::inference::share::SHARE`.

/// Bytes of one request or reply: a blob and what is around it.
pub const MESSAGE_BYTES_MAX: usize = BLOB_BYTES_MAX + 64 * 1_024;
/// How long a question may take that a node answers from memory or disk.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// How long a transaction may take to become final.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(60);
/// How long a follower waits for the next event page. A chain has a heartbeat, so silence means that it stopped.
pub const FOLLOW_DEADLINE: Duration = Duration::from_secs(120);

const _: () = assert!(MESSAGE_BYTES_MAX <= fairweir_net::FRAME_BYTES_MAX);
