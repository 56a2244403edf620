//! A block's life on one page: load, draw what is due, run each transaction, run the end-of-block work, hand out fees.

use crate::{
    appeals::{self, AppealError},
    audit, bank, candidates, catalogue, delegates,
    envelope::{self, EnvelopeError},
    fault::{Fault, OrFault, counted},
    governance, keys, market,
    params::Params,
    referee::Referee,
    refusal::Refusal,
    registry, secured, sessions, stake,
    state::{Overlay, State, Writes, load, state_record},
    upgrades::{self, Begun, Plans},
    validators, verification,
};
use fairweir_types::{
    Action, Address, Amount, BoundedText, ChainId, Digest, Event, Height, Millis, TxCode,
    TxOutcome, VerifiedTx,
    limits::{BLOCK_EVENTS_MAX, END_OF_BLOCK_EVENTS_MAX, REFEREE_ASKED_MAX},
    order::SlotId,
    receipt::Randomness,
};
use std::collections::BTreeSet;
use thiserror::Error;

/// What a block is executed in: everything that is not state or transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The chain.
    pub chain_id: ChainId,
    /// The block's number.
    pub height: Height,
    /// The block's time, in milliseconds since the Unix epoch.
    pub time: Millis,
    /// The block's beacon.
    pub beacon: Digest,
    /// The proposer's identity: its payout account receives the fees.
    pub proposer: [u8; 32],
    /// The changes of rules that this program knows.
    pub plans: Plans,
}

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutcome {
    /// The writes, in canonical order.
    pub writes: Writes,
    /// What became of each transaction, in order.
    pub outcomes: Vec<TxOutcome>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Whether draws or due work wait for the next block, so that it should come soon.
    pub work_pending: bool,
}

impl BlockOutcome {
    /// The same, with what was written before the block itself.
    fn upon(mut self, mut before: Writes) -> Self {
        before.append(&mut self.writes);
        self.writes = before;
        self
    }
}

/// Why a block cannot be applied.
#[derive(Debug, Error)]
pub enum BlockError {
    /// A transaction must not be in a block: the block is invalid.
    #[error("transaction {position} must not be in the block")]
    Envelope {
        /// Its position.
        position: usize,
        #[source]
        /// Why.
        source: EnvelopeError,
    },
    /// The block asks the referee more often than it may: the block is invalid.
    #[error(
        "with transaction {position} the block asks the referee more than {max} times",
        max = REFEREE_ASKED_MAX
    )]
    RefereeBusy {
        /// The position of the first that is too many.
        position: usize,
    },
    /// The ledger's own state is broken: halt.
    #[error("the ledger's state is broken")]
    Fault(#[from] Fault),
}

/// Milliseconds of chain time: block time without halts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) chain_time: Millis,
    pub(crate) block_time: Millis,
}
state_record!(Clock {
    chain_time,
    block_time
});

/// The state of one block's execution, handed to every verb.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) overlay: Overlay<'a>,
    pub(crate) params: Params,
    pub(crate) context: &'a BlockContext,
    pub(crate) referee: &'a dyn Referee,
    /// Who asked the referee in this block, and about what.
    asked: BTreeSet<(SlotId, Address)>,
    /// Modules that take no new actions.
    pub(crate) pauses: governance::Pauses,
    /// Whether withdrawals are halted.
    pub(crate) halted: Option<audit::Halted>,
    /// Chain time.
    pub(crate) now: Millis,
    pub(crate) randomness: Randomness,
    /// Validators, who propose in turns.
    pub(crate) validators: u16,
    /// Reports of double votes whose signatures were checked.
    pub(crate) reports: usize,
    /// Registrations of candidates whose keys were checked.
    pub(crate) registrations: usize,
    pub(crate) events: Vec<Event>,
    fees: Amount,
}

impl<'a> Execution<'a> {
    /// Begins a block on what an upgrade made of the state, with what is drawn in it.
    fn begin_on(
        begun: &'a Begun<'_>,
        context: &'a BlockContext,
        referee: &'a dyn Referee,
    ) -> Result<Self, Fault> {
        let mut execution = Self::begin(&begun.state, context, referee)?;
        execution.events.extend(begun.event.clone());
        market::begin_block(&mut execution)?;
        Ok(execution)
    }

    pub(crate) fn begin(
        state: &'a dyn State,
        context: &'a BlockContext,
        referee: &'a dyn Referee,
    ) -> Result<Self, Fault> {
        let params = Params::load(state)?;
        let clock: Clock = load(state, &keys::clock())?.unwrap_or_default();
        // Capped, so that windows stretch over a halt of the chain (protocol rule 2).
        let passed = context
            .time
            .get()
            .saturating_sub(clock.block_time.get())
            .min(params.halt_gap);
        let now = Millis(counted(
            clock.chain_time.get().checked_add(passed),
            "chain time",
        )?);
        let chain: crate::genesis::ChainRecord = load(state, &keys::chain())?.unwrap_or_default();
        let randomness = if chain.validators < 4 {
            Randomness::ValidatorTrusted
        } else {
            Randomness::Beacon
        };
        let mut overlay = Overlay::new(state);
        overlay.store(
            keys::clock(),
            &Clock {
                chain_time: now,
                block_time: context.time,
            },
        );
        Ok(Self {
            overlay,
            params,
            context,
            referee,
            asked: BTreeSet::new(),
            pauses: load(state, &keys::pauses())?.unwrap_or_default(),
            halted: load(state, &keys::halt())?,
            now,
            randomness,
            validators: chain.validators,
            reports: 0,
            registrations: 0,
            events: Vec::new(),
            fees: Amount::ZERO,
        })
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Counts a question to the referee, also one that turns out to be none: it takes time all the same.
    pub(crate) fn ask_referee(
        &mut self,
        slot_id: SlotId,
        sender: Address,
    ) -> Result<(), AppealError> {
        if self.asked.contains(&(slot_id, sender)) {
            return Err(AppealError::AskedInThisBlock);
        }
        if self.asked.len() >= REFEREE_ASKED_MAX {
            return Err(AppealError::RefereeBusy);
        }
        self.asked.insert((slot_id, sender));
        Ok(())
    }

    /// The chain time at which a window that opens in this block closes.
    pub(crate) fn window_end(&self, window: u64) -> Result<Millis, Fault> {
        counted(self.now.checked_add(Millis(window)), "chain time")
    }

    /// The height before which no window that opens in this block closes.
    pub(crate) fn window_height(&self) -> Result<Height, Fault> {
        counted(
            self.context
                .height
                .checked_add(Height(self.params.window_blocks_min)),
            "height",
        )
    }

    fn run(&mut self, tx: &VerifiedTx) -> Result<TxOutcome, RunError> {
        let fee = envelope::charge(self, tx).map_err(RunError::Envelope)?;
        self.fees = self.fees.checked_add(fee).or_fault()?;
        self.overlay.checkpoint();
        let events_before = self.events.len();
        let acted = self.act(tx).and_then(|()| self.check_room());
        match acted {
            Ok(()) => Ok(TxOutcome {
                tx: tx.digest(),
                code: TxCode::OK,
                reason: BoundedText::default(),
            }),
            Err(refusal) => {
                match refusal {
                    Refusal::Fault(fault) => return Err(fault.into()),
                    Refusal::Appeal(AppealError::RefereeBusy) => return Err(RunError::RefereeBusy),
                    _ => {}
                }
                self.overlay.roll_back();
                self.events.truncate(events_before);
                let reason = BoundedText::truncating(&refusal.to_string());
                Ok(TxOutcome {
                    tx: tx.digest(),
                    code: refusal.code(),
                    reason,
                })
            }
        }
    }

    /// Whether the block's events still leave room for those of its end. Without this, a block full of transactions with
    /// many events each could not be stored.
    fn check_room(&self) -> Result<(), Refusal> {
        const ROOM: usize = BLOCK_EVENTS_MAX.saturating_sub(END_OF_BLOCK_EVENTS_MAX);
        if self.events.len() > ROOM {
            return Err(Refusal::BlockFull);
        }
        Ok(())
    }

    fn act(&mut self, tx: &VerifiedTx) -> Result<(), Refusal> {
        let sender = tx.sender();
        governance::check_paused(self, &tx.transaction().action)?;
        audit::check_halted(self, &tx.transaction().action)?;
        catalogue::check_action(self, (sender, &tx.transaction().action))?;
        match &tx.transaction().action {
            Action::Transfer(transfer) => bank::transfer(self, sender, transfer)?,
            Action::Bond(bond) => stake::bond(self, sender, bond)?,
            Action::Unbond(unbond) => stake::unbond(self, sender, unbond)?,
            Action::RegisterOffer(register) => registry::register_offer(self, sender, register)?,
            Action::WithdrawOffer(withdraw) => registry::withdraw_offer(self, sender, withdraw)?,
            Action::EnrolVerifier(enrol) => registry::enrol_verifier(self, sender, enrol)?,
            Action::LeaveVerifiers(_) => registry::leave_verifiers(self, sender)?,
            Action::PostOrder(post) => market::post_order(self, tx, post)?,
            Action::OpenSession(open) => market::open_session(self, tx, open)?,
            Action::GrantDelegate(grant) => delegates::grant_delegate(self, sender, grant)?,
            Action::RevokeDelegate(revoke) => delegates::revoke_delegate(self, sender, revoke)?,
            Action::TopUp(top_up) => market::top_up(self, sender, top_up)?,
            Action::CancelOrder(cancel) => market::cancel_order(self, sender, cancel)?,
            Action::SubmitReceipt(submit) => market::submit_receipt(self, sender, submit)?,
            Action::CommitVerdict(commit) => verification::commit_verdict(self, sender, commit)?,
            Action::OpenReceipt(open) => verification::open_receipt(self, sender, open)?,
            Action::RevealVerdict(reveal) => verification::reveal_verdict(self, sender, reveal)?,
            Action::Challenge(challenge) => verification::challenge(self, sender, challenge)?,
            Action::PostBatch(post) => sessions::post_batch(self, sender, post)?,
            Action::ShowLeaves(show) => sessions::show_leaves(self, sender, show)?,
            Action::RevealLink(reveal) => sessions::reveal_link(self, sender, reveal)?,
            Action::OpenBatch(open) => sessions::open_batch(self, sender, open)?,
            Action::CloseSession(close) => sessions::close_session(self, sender, close)?,
            Action::ShareLeaves(share) => sessions::share_leaves(self, sender, share)?,
            Action::TopUpLane(top_up) => sessions::top_up_lane(self, sender, top_up)?,
            Action::Appeal(appeal) => appeals::appeal(self, sender, appeal)?,
            Action::Defend(defend) => appeals::defend(self, sender, defend)?,
            Action::OpenNode(open) => appeals::open_node(self, sender, open)?,
            Action::Exhibit(exhibit) => appeals::exhibit(self, sender, exhibit)?,
            Action::SubmitProposal(submit) => governance::submit_proposal(self, sender, submit)?,
            Action::AddDeposit(add) => governance::add_deposit(self, sender, add)?,
            Action::Vote(vote) => governance::vote(self, sender, vote)?,
            Action::AnswerMotion(answer) => governance::answer_motion(self, sender, answer)?,
            Action::AppealMotion(appeal) => governance::appeal_motion(self, sender, appeal)?,
            Action::ReportDoubleVote(report) => {
                validators::report_double_vote(self, sender, report)?;
            }
            Action::RegisterCandidate(register) => {
                candidates::register_candidate(self, sender, register)?;
            }
            Action::UpdateCandidate(update) => {
                candidates::update_candidate(self, sender, update)?;
            }
            Action::DelegateStake(delegate) => {
                candidates::delegate_stake(self, sender, delegate)?;
            }
            Action::UndelegateStake(undelegate) => {
                candidates::undelegate_stake(self, sender, undelegate)?;
            }
            Action::RedelegateStake(redelegate) => {
                candidates::redelegate_stake(self, sender, redelegate)?;
            }
            Action::ClaimRewards(claim) => candidates::claim_rewards(self, sender, claim)?,
            Action::ConfirmNode(confirm) => candidates::confirm_node(self, sender, confirm)?,
        }
        Ok(())
    }

    pub(crate) fn end_block(&mut self) -> Result<bool, Fault> {
        self.overlay.checkpoint();
        stake::end_block(self)?;
        let votes_carried_over = governance::end_block(self)?;
        let carried_over = market::end_block(self)? || votes_carried_over;
        // The fees of an epoch's last block are still shared by its commissions.
        validators::pay_fees(self, self.fees)?;
        candidates::end_block(self)?;
        secured::end_block(self)?;
        audit::end_block(self)?;
        let (from, to) = keys::due_at_any_height();
        Ok(carried_over || self.overlay.first_in(&from, &to).is_some())
    }
}

#[derive(Debug)]
enum RunError {
    Envelope(EnvelopeError),
    RefereeBusy,
    Fault(Fault),
}

impl From<Fault> for RunError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Applies a block.
///
/// A transaction whose action is refused is in the block all the same: it pays its fee, and its outcome says why.
/// Costs O(transactions + due items × log state), and what the referee takes for [`REFEREE_ASKED_MAX`] questions.
///
/// # Errors
/// [`BlockError::Envelope`] or [`BlockError::RefereeBusy`] when the block is invalid; [`BlockError::Fault`] when the state is broken and the replica must halt.
pub fn apply_block(
    state: &dyn State,
    context: &BlockContext,
    referee: &dyn Referee,
    txs: &[VerifiedTx],
) -> Result<BlockOutcome, BlockError> {
    let begun = upgrades::begin(state, context.plans, context.height)?;
    let mut execution = Execution::begin_on(&begun, context, referee)?;
    let mut outcomes = Vec::with_capacity(txs.len());
    for (position, tx) in txs.iter().enumerate() {
        outcomes.push(execution.run(tx).map_err(|error| match error {
            RunError::Envelope(source) => BlockError::Envelope { position, source },
            RunError::RefereeBusy => BlockError::RefereeBusy { position },
            RunError::Fault(fault) => BlockError::Fault(fault),
        })?);
    }
    let outcome = finish(execution, outcomes)?;
    Ok(outcome.upon(begun.state.into_writes()))
}

fn finish(
    mut execution: Execution<'_>,
    outcomes: Vec<TxOutcome>,
) -> Result<BlockOutcome, BlockError> {
    let work_pending = execution.end_block()?;
    let Execution {
        overlay, events, ..
    } = execution;
    Ok(BlockOutcome {
        writes: overlay.into_writes(),
        outcomes,
        events,
        work_pending,
    })
}

/// A block that was made of transactions of which some may not fit it.
#[derive(Debug)]
pub struct BuiltBlock {
    /// What is in it, in order.
    pub included: Vec<VerifiedTx>,
    /// What cannot be included, and why.
    pub left_out: Vec<(Digest, EnvelopeError)>,
    /// What the block does: the same as [`apply_block`] of what is included.
    pub outcome: BlockOutcome,
}

/// Makes a block: as [`apply_block`], but a transaction whose envelope is refused is left out, so that those who pay for nothing cannot
/// keep those who pay out of a block.
///
/// # Errors
/// [`BlockError::RefereeBusy`], with the position in `txs` of the first that asks too much, or [`BlockError::Fault`].
pub fn build_block(
    state: &dyn State,
    context: &BlockContext,
    referee: &dyn Referee,
    txs: &[VerifiedTx],
) -> Result<BuiltBlock, BlockError> {
    let begun = upgrades::begin(state, context.plans, context.height)?;
    let mut execution = Execution::begin_on(&begun, context, referee)?;
    let (mut included, mut left_out, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for (position, tx) in txs.iter().enumerate() {
        match execution.run(tx) {
            Ok(outcome) => {
                outcomes.push(outcome);
                included.push(tx.clone());
            }
            // Nothing was written: the fee comes first.
            Err(RunError::Envelope(error)) => left_out.push((tx.digest(), error)),
            Err(RunError::RefereeBusy) => return Err(BlockError::RefereeBusy { position }),
            Err(RunError::Fault(fault)) => return Err(BlockError::Fault(fault)),
        }
    }
    let outcome = finish(execution, outcomes)?;
    Ok(BuiltBlock {
        included,
        left_out,
        outcome: outcome.upon(begun.state.into_writes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryState, referee::NoReferee};

    #[test]
    fn a_block_asks_the_referee_a_few_times_and_each_side_once() {
        let context = BlockContext {
            chain_id: ChainId::new("dev-test").unwrap(),
            height: Height(1),
            time: Millis(1),
            beacon: Digest::ZERO,
            proposer: [0; 32],
            plans: Plans::default(),
        };
        let state = MemoryState::default();
        let mut execution = Execution::begin(&state, &context, &NoReferee).unwrap();
        let slot = |number: u8| SlotId {
            order: fairweir_types::order::OrderId(Digest([number; 32])),
            slot: 0,
        };
        let mut ask = |number, sender| execution.ask_referee(slot(number), Address([sender; 20]));
        assert!(ask(0, 0).is_ok());
        assert!(matches!(ask(0, 0), Err(AppealError::AskedInThisBlock)));
        assert!(ask(0, 1).is_ok(), "the other side may too");
        for number in 2..8 {
            assert!(ask(number, 0).is_ok());
        }
        assert!(matches!(ask(8, 0), Err(AppealError::RefereeBusy)));
        // Precedence: a side that asked is told so in a full block too.
        assert!(matches!(ask(2, 0), Err(AppealError::AskedInThisBlock)));
    }
}
