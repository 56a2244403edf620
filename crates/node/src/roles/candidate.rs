//! A candidate's node: it says in every epoch that it is there, so that its candidate may have a seat in the next.

use commonware_codec::EncodeSize as _;
use commonware_runtime::Clock;
use fairweir_chain::{ChainHandle, SubmitError};
use fairweir_ledger::{Fault, State, bank, candidates, params, validators};
use fairweir_types::{
    AccountKey, Action, Address, Amount, ByteCount, Height, Millis, Nonce, SecretKey, SignedTx,
    Transaction, tx::UpdateCandidate,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A node whose newest block is older than this is behind, and does not say that it is there.
const BEHIND: Duration = Duration::from_secs(30);
/// Nor does a node whose newest block is from so far in its future. Validators with the right time make no block final that is more than two seconds ahead of theirs, and this node
/// waits until it is no more ahead of its own: from another second on its votes come too late, and a little later it has none.
const AHEAD: Duration = Duration::from_secs(3);
/// Blocks after which it says so again, if no block has taken it; then twice as many.
const AGAIN: u64 = 3;
/// The fee grows so often with each time that it says so again: whoever fills blocks to keep it out must pay for all of them.
const DEARER: u64 = 4;
/// Times after which neither grows any more.
const GROWS: u32 = 5;
/// Times that it waits for its turn behind what its account has waiting. What no block took meanwhile pays too little, and would keep it out for the whole epoch.
const PATIENT: u32 = 3;
/// Bytes by which a fee may make a transaction longer.
const FEE_BYTES: u64 = 16;

/// What a node says next, and by whose account.
struct Duty {
    epoch: u64,
    /// The last block of the epoch.
    ends: Height,
    /// The last epoch for which it is jailed.
    jailed_until: Option<u64>,
    /// Whether it would be jailed if the epoch ended now.
    is_silent: bool,
    /// Whether it is a further node for which nobody answers: it can have no seat.
    lacks_lead: bool,
    update: UpdateCandidate,
    account: Address,
    /// The account's next nonce, whatever it has waiting.
    nonce: Nonce,
}

/// What keeps a candidate from a seat, or soon may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is a further node for which no lead answers.
    NoLead,
    /// It is jailed until that epoch is over.
    Jailed(u64),
    /// It would be jailed if the epoch ended now.
    Silent,
}

impl Duty {
    /// The worst of what the others hold against its node.
    fn trouble(&self) -> Option<Trouble> {
        if self.lacks_lead {
            return Some(Trouble::NoLead);
        }
        let jailed = self.jailed_until.map(Trouble::Jailed);
        jailed.or_else(|| self.is_silent.then_some(Trouble::Silent))
    }

    /// Tells whoever runs it.
    fn warn(&self) {
        let (account, epoch) = (self.account, self.epoch);
        match self.trouble() {
            Some(Trouble::NoLead) => {
                tracing::warn!(%account, "the candidate is a further node for which no lead answers, so stake gives it no seat: have its lead confirm it (`fairweir validator confirm`), or register another one if the lead was tombstoned")
            }
            Some(Trouble::Jailed(until)) => {
                tracing::warn!(%account, until, "the candidate is jailed, because it had a seat and made no block in a whole epoch: it has no seat until that epoch is over, unless too few others are there or a proposal releases it. See that the clock is right, and links and machine fast enough")
            }
            Some(Trouble::Silent) => {
                tracing::warn!(%account, epoch, "half of the epoch is over, and no block of this validator's was made final: without one until its end it is jailed. See that the clock is right, and links and machine fast enough")
            }
            None => {}
        }
    }
}

/// What the newest block's time says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// It sees blocks as they are made.
    Present,
    /// It sees old ones.
    Behind,
    /// It sees them before they are made: by so much its clock is behind.
    ClockBehind(Duration),
}

impl Sight {
    fn of(made: Millis, now: SystemTime) -> Self {
        let made = UNIX_EPOCH + Duration::from_millis(made.get());
        match now.duration_since(made) {
            Ok(age) if age > BEHIND => Self::Behind,
            Err(ahead) if ahead.duration() > AHEAD => Self::ClockBehind(ahead.duration()),
            Ok(_) | Err(_) => Self::Present,
        }
    }
}

/// What was said in an epoch.
#[derive(Debug, Default)]
struct Said {
    epoch: u64,
    tries: u32,
    /// The block from which it is said again.
    next: Height,
    /// Whether the operator was told that the clock is wrong.
    is_clock_told: bool,
    /// Whether the operator was told how the candidate fares.
    is_warned: bool,
}

/// How it is said this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    place: Place,
    /// How many times the least fee it is worth.
    worth: u64,
    expiry: Height,
}

/// Where a transaction goes among those that its account has waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind them.
    Behind,
    /// In front, in the place of the first of them.
    First,
}

impl Said {
    /// Begins anew in another epoch.
    fn enter(&mut self, epoch: u64) {
        if epoch != self.epoch {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
    }

    /// How it is said after a block, if it is time to; in an epoch that ends with this one.
    fn turn(&mut self, tip: Height, ends: Height) -> Option<Turn> {
        if tip < self.next {
            return None;
        }
        let grown = self.tries.min(GROWS);
        let wait = AGAIN.checked_shl(grown).unwrap_or(AGAIN);
        self.next = Height(tip.get().saturating_add(wait));
        let is_last = self.next >= ends;
        let place = if self.tries < PATIENT && !is_last {
            Place::Behind
        } else {
            Place::First
        };
        Some(Turn {
            place,
            worth: DEARER.saturating_pow(grown),
            expiry: self.next,
        })
    }
}

/// Says in the second half of every epoch that the node of a validator's identity is there, as long as its account stands; until the chain ends.
///
/// `accounts` are the keys of the node's folder: the candidate's must be among them, or somebody else has to say it.
pub async fn say_ready(
    clock: impl Clock,
    chain: ChainHandle,
    identity: SecretKey,
    accounts: Vec<SecretKey>,
) {
    let AccountKey::Ed25519(public) = identity.account_key();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(public.as_ref());
    let mut said = Said::default();
    let mut is_warned = false;
    let half = params::of_genesis(chain.genesis())
        .blocks_of_an_epoch()
        .div_ceil(2);
    let mut height = chain.tip().height;
    while let Ok(tip) = chain.wait_height(height).await {
        height = Height(tip.height.get().saturating_add(1));
        let sight = Sight::of(tip.time, clock.current());
        if sight == Sight::Behind {
            continue;
        }
        // A state that does not read stops the chain itself.
        let Ok(Some(duty)) = chain.read(|state| duty(state, (tip.height, half), &bytes)) else {
            continue;
        };
        // A seat that does not vote helps nobody.
        if duty.epoch.saturating_add(1) < chain.votes_from() {
            continue;
        }
        let Some(key) = accounts.iter().find(|key| key.address() == duty.account) else {
            if !is_warned {
                tracing::warn!(account = %duty.account, "the account of this node's candidate is not in its folder: nobody says here that it is ready");
                is_warned = true;
            }
            continue;
        };
        said.enter(duty.epoch);
        if !said.is_warned {
            duty.warn();
            said.is_warned = true;
        }
        if duty.lacks_lead {
            continue;
        }
        if let Sight::ClockBehind(behind) = sight {
            if !said.is_clock_told {
                tracing::warn!(behind = ?behind, "the clock of this machine is behind the chain's newest block, so its votes come too late: the candidate does not say that it is ready. Set the clock, and keep it right with systemd-timesyncd or chrony");
                said.is_clock_told = true;
            }
            continue;
        }
        let Some(turn) = said.turn(tip.height, duty.ends) else {
            continue;
        };
        match chain.offer(sign(&chain, &duty, key, turn)).await {
            Ok(_) => {
                said.tries = said.tries.saturating_add(1);
                tracing::debug!(height = %tip.height, "the candidate is ready");
            }
            Err(SubmitError::Closed) => return,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the candidate cannot say that it is ready")
            }
        }
    }
}

/// What the node of an identity has to say after a block: nothing in the first half of an epoch, and if its account does not stand or has said it.
fn duty(
    state: &dyn State,
    (tip, half): (Height, u64),
    identity: &[u8; 32],
) -> Result<Option<Duty>, Fault> {
    let epoch = candidates::epoch(state)?;
    if epoch.ends.get().saturating_sub(tip.get()) > half {
        return Ok(None);
    }
    let Some(known) = validators::validator(state, identity)? else {
        return Ok(None);
    };
    let record = candidates::candidate(state, known.account)?;
    let stands = record.filter(|record| {
        record.stands && record.validator == *identity && record.ready != Some(epoch.number)
    });
    let Some(record) = stands else {
        return Ok(None);
    };
    Ok(Some(Duty {
        epoch: epoch.number,
        ends: epoch.ends,
        jailed_until: record.jailed_until(epoch.number),
        is_silent: candidates::would_be_jailed(state, identity)?,
        lacks_lead: !candidates::may_have_seats(state, &record)?,
        update: UpdateCandidate {
            commission: record.next_commission,
            stands: true,
            peer: record.peer,
        },
        account: known.account,
        nonce: bank::account(state, known.account)?.nonce,
    }))
}

/// The nonce that it is said with.
fn nonce(chain: &ChainHandle, duty: &Duty, place: Place) -> Nonce {
    let free = chain.free_nonce(duty.account);
    match place {
        Place::Behind => free,
        Place::First => {
            if free > duty.nonce {
                tracing::warn!(account = %duty.account, nonce = %duty.nonce, "what the candidate's account has waiting with this nonce makes way, because the candidate has to say that it is ready");
            }
            duty.nonce
        }
    }
}

/// Signs it as it is its turn.
fn sign(chain: &ChainHandle, duty: &Duty, key: &SecretKey, turn: Turn) -> SignedTx {
    let mut transaction = Transaction {
        chain_id: chain.genesis().chain_id.clone(),
        sender: key.account_key(),
        nonce: nonce(chain, duty, turn.place),
        fee: Amount::ZERO,
        expiry: turn.expiry,
        action: Action::UpdateCandidate(duty.update),
    };
    let size = transaction.clone().sign(key).encode_size();
    let size = ByteCount(
        u64::try_from(size)
            .unwrap_or(u64::MAX)
            .saturating_add(FEE_BYTES),
    );
    let fee = chain.read(|state| params::current(state).map(|params| params.fee_min(size)));
    let fee = fee.unwrap_or_default();
    transaction.fee =
        Amount::from_base_units(fee.base_units().saturating_mul(turn.worth)).unwrap_or(fee);
    transaction.sign(key)
}

#[cfg(test)]
mod tests;
