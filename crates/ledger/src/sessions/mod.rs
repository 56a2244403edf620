//! Sessions: lanes that are paid by vouchers, batches of receipts that are settled together, and samples of them that are checked.
//!
//! An order of open rounds is a session; each of its slots is a lane. A lane is matched like any slot. Then its worker serves requests
//! that the ledger does not see, and now and then posts a batch: the sum root of their receipts, with a voucher that covers it. The
//! batch becomes an order of one slot of its own, funded out of the lane: two blocks later its verifiers are drawn, one reveals a link
//! of its hash chain, some leaves are drawn, the worker shows them, and from there on it is judged like any other work. Judged wrong, or not shown, the whole batch goes back to the buyer.
//!
//! Requests of a lane are claimed in the order of their numbers: a batch begins above all that were claimed before, and verifiers find
//! one whose leaves do not ascend. So no number is paid twice.
//!
//! The ledger never learns what a request was, nor how many were made that nobody claimed.

mod close_session;
mod error;
mod lane;
mod links;
mod open_batch;
mod post_batch;
mod records;
mod sample;
mod settle_batch;
mod share_leaves;
mod show_leaves;
mod top_up_lane;

pub(crate) use close_session::close_session;
pub use error::SessionError;
pub use lane::lane_exposure;
pub(crate) use lane::{
    batch_ended, check_open, lane_costs, lane_timer_ended, open_lane, payers_of,
};
pub use links::LinkAsked;
pub(crate) use links::{link_ended, reveal_link};
pub(crate) use open_batch::open_batch;
pub(crate) use post_batch::post_batch;
pub use records::{Batch, Found, Lane};
pub use sample::draw_offsets;
pub(crate) use sample::{TURNS_MAX, check_of_dearest, choose_sample, draw_verifiers};
pub(crate) use settle_batch::settle_batch;
pub(crate) use share_leaves::{begin_sharing, share_leaves, sharing_ended};
pub(crate) use show_leaves::show_leaves;
pub(crate) use top_up_lane::top_up_lane;
