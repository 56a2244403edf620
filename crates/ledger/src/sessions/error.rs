use crate::{fault::Fault, market::Phase, refusal::lift_faults};
use fairweir_types::{Amount, Millis, session::Numbers};
use thiserror::Error;

/// Why a step of a session is refused. The checks of each verb run in the order of the codes.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no such open lane or batch.
    #[error("there is no such open lane or batch")]
    NoSuchLane,
    /// The slot is in another phase.
    #[error("the slot is {found}, this needs it {expected}", found = found.name(), expected = expected.name())]
    WrongPhase {
        /// The phase needed.
        expected: Phase,
        /// The phase that it is in.
        found: Phase,
    },
    /// The sender is not the lane's worker.
    #[error("only the lane's worker may do this")]
    NotTheWorker,
    /// A batch of the lane was judged wrong.
    #[error("a batch of the lane was judged wrong or not shown: it takes no more")]
    LaneFailed,
    /// Not the lane's next batch.
    #[error("the lane's next batch has number {expected}, found {found}")]
    BatchNumber {
        /// The number of the next batch.
        expected: u32,
        /// The number found.
        found: u32,
    },
    /// Too many batches wait for their settlement.
    #[error("{max} batches of the lane wait for their settlement already")]
    TooManyBatches {
        /// The limit.
        max: u32,
    },
    /// No requests, or more than can be sampled at the governed rate.
    #[error("a batch holds 1 to {max} requests, found {found}")]
    BatchSize {
        /// The limit.
        max: u32,
        /// Requests found.
        found: u32,
    },
    /// The voucher is for another lane, or not signed by the buyer or its delegate.
    #[error("the voucher is not one of the session's buyer for this lane")]
    BadVoucher,
    /// The voucher does not cover the claim.
    #[error("the voucher covers {covered} coins, the lane would have claimed {claimed}")]
    AboveVoucher {
        /// What the voucher covers.
        covered: Amount,
        /// What the lane would have claimed.
        claimed: Amount,
    },
    /// The claim exceeds what the lane holds.
    #[error("the lane has {left} coins left for work, the batch claims {claimed}")]
    AboveCap {
        /// What is left.
        left: Amount,
        /// What is claimed.
        claimed: Amount,
    },
    /// The batch does not pay its own settlement.
    #[error(
        "the batch claims {claimed} coins, less than the {cost} that its settlement costs beyond the lane's reserve"
    )]
    BatchTooSmall {
        /// What is claimed.
        claimed: Amount,
        /// What its settlement costs beyond the reserve.
        cost: Amount,
    },
    /// The claim exceeds what so many requests may cost.
    #[error("so many requests cost {most} coins at most, the batch claims {claimed}")]
    AboveRequests {
        /// The most that they may cost.
        most: Amount,
        /// What is claimed.
        claimed: Amount,
    },
    /// The numbers of the requests were claimed before, or are too few for so many.
    #[error(
        "{count} requests with numbers from {next} on are taken, found {} to {}",
        numbers.first,
        numbers.last
    )]
    BatchNumbers {
        /// The least number that is taken.
        next: u64,
        /// Requests claimed.
        count: u32,
        /// The numbers found.
        numbers: Numbers,
    },
    /// Another number of leaves than was drawn.
    #[error("{expected} leaves are asked for, found {found}")]
    OtherLeaves {
        /// Leaves asked for.
        expected: usize,
        /// Leaves found.
        found: usize,
    },
    /// What is opened is not what was shown.
    #[error("this does not open the commitment of leaf {position}")]
    DoesNotOpen {
        /// Which of the samples, from 0.
        position: usize,
    },
    /// The sender is neither buyer nor delegate.
    #[error("only the buyer or its delegate may close a session")]
    NotAPayer,
    /// The order is no session.
    #[error("the order is no session")]
    NotASession,
    /// The time that lanes stay open is out of range.
    #[error("a lane may stay open for 10000 to 604800000 ms, found {found}")]
    OpenForOutOfRange {
        /// What was found.
        found: Millis,
    },
    /// The cap does not pay for one request.
    #[error("the cap of a lane is {cap} coins, one request may cost {needed}")]
    CapTooLow {
        /// The cap.
        cap: Amount,
        /// What one request may cost.
        needed: Amount,
    },
    /// A session fixes no spec; its requests do.
    #[error("a session has no spec of its own, and requests of at most 131072 bytes")]
    SpecInSession,
    /// The sender is neither the session's buyer nor the delegate that opened it: others ask and pay up to the caps, and set none.
    #[error(
        "only the session's buyer, or the delegate that opened it, may raise the cap of a lane"
    )]
    NotTheBuyer,
    /// The cap would stay as it is.
    #[error("a cap is raised by more than nothing")]
    NothingAdded,
    /// The worker takes no more work.
    #[error("the lane's worker withdrew its offer: it takes no more than it has")]
    OfferWithdrawn,
    /// The worker's stake does not cover more.
    #[error("the lane's worker has {has} coins of stake left, the higher cap needs {asked}")]
    StakeDoesNotCover {
        /// What is left of it.
        has: Amount,
        /// What more would be set aside.
        asked: Amount,
    },
    /// The balance does not suffice.
    #[error("the balance is {balance} coins, the higher cap locks {locked}")]
    CannotPayTopUp {
        /// The balance.
        balance: Amount,
        /// What would be locked.
        locked: Amount,
    },
    /// The sender cannot read what was shown.
    #[error("only the batch's worker and the verifiers of its first draw may share what was shown")]
    NotAReader,
    /// Another number of wraps than there are verifiers.
    #[error("the dispute has {expected} verifiers, found the key for {found}")]
    OtherWraps {
        /// Verifiers of the dispute.
        expected: usize,
        /// Wraps found.
        found: usize,
    },
    /// It shared before.
    #[error("the sender shared what was shown before")]
    AlreadyShared,
    /// The sender is not the verifier that was asked for a link.
    #[error("the batch asked another account for a link")]
    NotAsked,
    /// What is revealed is not the link that was asked for.
    #[error("this is not link {index} of the verifier's hash chain")]
    OtherLink {
        /// Which link was asked for.
        index: u32,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(SessionError => Session);

impl SessionError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoSuchLane => 600,
            Self::WrongPhase { .. } => 601,
            Self::NotTheWorker => 602,
            Self::LaneFailed => 603,
            Self::TooManyBatches { .. } => 604,
            Self::BatchSize { .. } => 605,
            Self::BadVoucher => 606,
            Self::AboveVoucher { .. } => 607,
            Self::AboveCap { .. } => 608,
            Self::BatchTooSmall { .. } => 609,
            Self::OtherLeaves { .. } => 610,
            Self::DoesNotOpen { .. } => 611,
            Self::NotAPayer => 612,
            Self::NotASession => 613,
            Self::OpenForOutOfRange { .. } => 614,
            Self::CapTooLow { .. } => 615,
            Self::SpecInSession => 616,
            Self::BatchNumber { .. } => 617,
            Self::AboveRequests { .. } => 618,
            Self::BatchNumbers { .. } => 619,
            Self::NotTheBuyer => 620,
            Self::NothingAdded => 621,
            Self::OfferWithdrawn => 622,
            Self::StakeDoesNotCover { .. } => 623,
            Self::CannotPayTopUp { .. } => 624,
            Self::NotAReader => 625,
            Self::OtherWraps { .. } => 626,
            Self::AlreadyShared => 627,
            Self::NotAsked => 628,
            Self::OtherLink { .. } => 629,
            Self::Fault(_) => 99,
        }
    }
}
