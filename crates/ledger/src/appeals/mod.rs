//! Appeals: a verdict by vote is taken to the referee (protocol rule 7).
//!
//! Who loses by the verdict of a dispute may appeal it within a window, with a deposit. The appellant and one who has to defend the verdict each
//! post the digest of their whole run and bind it to the trace that they stand for, then open node after node, always that one under which they first differ; who does not move in time
//! loses. About the cell at the end the referee says what it must be, from what either side shows, and the side whose cell is another loses.
//!
//! - An appellant must win against everyone who has to defend the verdict, up to `APPEAL_DEFENDERS_MAX`: one honest one holds it, whatever the
//!   others do for a bribe. Then the verdict is turned, and all who were for it pay as if the vote had gone the other way.
//! - An appellant that loses pays its deposit to the defender that won, and the verdict stands, unless another appeals it in time.
//! - Everybody who loses by the verdict has a turn of its own to appeal it, one after the other: nobody can take another's by losing on purpose.
//! - A game has a time of its own, so that nobody wins by being slow: when it is over, the side whose move it is loses.
//! - Equal runs, and orders that a side would have refused, are undecided. What the referee cannot decide leaves the verdict, and gives the deposit back.
//!
//! - Of a batch the two play about one sample: the traces of all samples stand on the ledger with the vote, and the appellant names one about which
//!   it differs from the verdict. Where one side says that its leaf was not shown as the root promises, the other shows that it is, or loses;
//!   if it does, the referee cannot decide, because it was not there when leaves were shown.
//!
//! It deliberately does not know what a run is.

mod error;
mod moves;
mod records;
mod samples;
mod turns;

pub use error::AppealError;
pub use moves::may_ask;
pub(crate) use moves::{appeal, defend, exhibit, open_node};
pub use records::{Appeals, Game, Side};
pub(crate) use turns::{begin, window_ended};
