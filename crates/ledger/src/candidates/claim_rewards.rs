use super::{
    CandidateError, candidate,
    delegation::{self, Between, delegation},
    pot,
};
use crate::{execution::Execution, refusal::Refusal};
use fairweir_types::{Address, Amount, tx::ClaimRewards};

/// Pays a delegation what it earned.
pub(crate) fn claim_rewards(
    execution: &mut Execution<'_>,
    sender: Address,
    claim: &ClaimRewards,
) -> Result<(), Refusal> {
    let between = Between {
        delegator: sender,
        candidate: claim.candidate,
    };
    let Some(mut record) = candidate(&execution.overlay, claim.candidate)? else {
        return Err(CandidateError::NoSuchCandidate.into());
    };
    let Some(mut known) = delegation(&execution.overlay, sender, claim.candidate)? else {
        return Err(CandidateError::NoDelegation.into());
    };
    if delegation::pay(execution, between, (&mut record, &mut known))? == Amount::ZERO {
        return Err(CandidateError::NothingToClaim.into());
    }
    execution.overlay.store(between.key(), &known);
    pot::keep(execution, claim.candidate, &record);
    Ok(())
}
