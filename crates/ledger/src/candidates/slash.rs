use super::{candidate, delegation, pot::keep, standing};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault},
    params::Params,
};
use fairweir_types::{Address, Amount, Bps};

/// What a slash took of a candidate's pot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// In all.
    pub(crate) all: Amount,
    /// What of it was the candidate's own.
    pub(crate) own: Amount,
}

/// Takes the governed share of the pot behind an account, if it is a candidate with this identity, and tombstones it. The money is the
/// caller's to hand out.
pub(crate) fn slash(
    execution: &mut Execution<'_>,
    account: Address,
    validator: &[u8; 32],
) -> Result<Taken, Fault> {
    let found = candidate(&execution.overlay, account)?;
    let Some(mut record) = found.filter(|record| record.validator == *validator) else {
        return Ok(Taken::default());
    };
    let bps = execution.params.double_vote_bps;
    let all = Params::share_up(record.stake, bps).or_fault()?;
    let own = delegation(&execution.overlay, account, account)?;
    let own = own.map_or(Amount::ZERO, |own| own.shares);
    let own = Params::share_down(record.worth(own)?, bps).or_fault()?;
    record.stake = record.stake.checked_sub(all).or_fault()?;
    record.slashed = Bps(bps);
    if record.stands {
        standing::stand_down(execution, account, &mut record);
    }
    keep(execution, account, &record);
    Ok(Taken { all, own })
}
