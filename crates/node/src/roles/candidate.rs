//! A candidate's node: it says in every epoch that it is there, so that its candidate may have a seat in the next.

use commonware_codec::EncodeSize as _;
use commonware_runtime::Clock;
use fairweir_chain::{ChainHandle, SubmitError};
use fairweir_ledger::{Fault, State, bank, candidates, params, validators};
use fairweir_types::{
    AccountKey, Action, Address, Amount, ByteCount, Height, Nonce, SecretKey, SignedTx,
    Transaction, tx::UpdateCandidate,
};
use std::time::{Duration, UNIX_EPOCH};

/// A node whose newest block is older than this is behind, and does not say that it is there.
const BEHIND: Duration = Duration::from_secs(30);
/// Blocks after which it says so again, if no block has taken it; then twice as many.
const AGAIN: u64 = 3;
/// The fee grows so often with each time that it says so again: whoever fills blocks to keep it out must pay for all of them.
const DEARER: u64 = 4;
/// Times after which neither grows any more.
const GROWS: u32 = 5;
/// Bytes by which a fee may make a transaction longer.
const FEE_BYTES: u64 = 16;

/// What a node says next, and by whose account.
struct Duty {
    epoch: u64,
    update: UpdateCandidate,
    account: Address,
    nonce: Nonce,
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
    // The epoch in which it was said last, how often, and the block from which it is said again.
    let (mut epoch, mut tries, mut next) = (0, 0, Height::ZERO);
    let mut is_warned = false;
    let half = params::of_genesis(chain.genesis())
        .blocks_of_an_epoch()
        .div_ceil(2);
    let mut height = chain.tip().height;
    while let Ok(tip) = chain.wait_height(height).await {
        height = Height(tip.height.get().saturating_add(1));
        let made = UNIX_EPOCH + Duration::from_millis(tip.time.get());
        let age = clock.current().duration_since(made).unwrap_or_default();
        if age > BEHIND {
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
        if duty.epoch != epoch {
            (epoch, tries, next) = (duty.epoch, 0, tip.height);
        }
        if tip.height < next {
            continue;
        }
        let wait = AGAIN.checked_shl(tries.min(GROWS)).unwrap_or(AGAIN);
        next = Height(tip.height.get().saturating_add(wait));
        let worth = DEARER.saturating_pow(tries.min(GROWS));
        match chain.offer(sign(&chain, &duty, key, (next, worth))).await {
            Ok(_) => {
                tries = tries.saturating_add(1);
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
        update: UpdateCandidate {
            commission: record.next_commission,
            stands: true,
            peer: record.peer,
        },
        account: known.account,
        nonce: bank::account(state, known.account)?.nonce,
    }))
}

/// Signs it for blocks up to a height, for so many times the least fee.
fn sign(
    chain: &ChainHandle,
    duty: &Duty,
    key: &SecretKey,
    (expiry, worth): (Height, u64),
) -> SignedTx {
    let mut transaction = Transaction {
        chain_id: chain.genesis().chain_id.clone(),
        sender: key.account_key(),
        nonce: duty.nonce,
        fee: Amount::ZERO,
        expiry,
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
        Amount::from_base_units(fee.base_units().saturating_mul(worth)).unwrap_or(fee);
    transaction.sign(key)
}
