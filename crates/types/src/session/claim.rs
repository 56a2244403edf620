//! What a batch claims of its leaves, and whether a leaf is as it claims: the verifiers' question, and the ledger's in an appeal.

use super::{Leaf, Numbers, Payers, SampledLeaf, SignedRequest, request_slot};
use crate::{
    amount::Amount,
    keys::Address,
    order::{Demand, KindId, PriceVector, SlotId},
    receipt::SignedReceipt,
    sum_tree::{self, SumNode},
};

/// What a batch claims.
#[derive(Clone, Copy, Debug)]
pub struct BatchClaim<'a> {
    /// Its lane.
    pub lane: SlotId,
    /// The lane's worker.
    pub worker: Address,
    /// Who may ask in the session.
    pub payers: &'a Payers,
    /// The kind of service.
    pub kind: KindId,
    /// The version of the kind that its requests follow.
    pub version: u16,
    /// The lane's prices.
    pub prices: &'a PriceVector,
    /// What one request may take at most.
    pub demand: &'a Demand,
    /// The root over all leaves, with what they cost together.
    pub root: SumNode,
    /// How many leaves it has.
    pub count: u32,
    /// Which numbers they have.
    pub numbers: Numbers,
}

impl BatchClaim<'_> {
    /// What of the list of leaves is not as it must be.
    #[must_use]
    pub fn fault_of_list(&self, list: &[Leaf]) -> Option<&'static str> {
        first_fault(&[
            ("count", u32::try_from(list.len()) == Ok(self.count)),
            ("root", root_of(list) == Some(self.root)),
            ("numbers", Numbers::of(list) == Some(self.numbers)),
        ])
    }

    /// What of a sampled leaf and its request is not as it must be, but for the bytes of the spec and what is disclosed.
    #[must_use]
    pub fn fault_of(
        &self,
        (leaf, sampled): (&Leaf, &SampledLeaf),
        request: &SignedRequest,
        receipt: &SignedReceipt,
    ) -> Option<&'static str> {
        let (asked, did) = (&request.request, &receipt.receipt);
        let amount = self.prices.quote(&did.units);
        first_fault(&[
            (
                "number",
                sampled.index == leaf.index && asked.index == leaf.index,
            ),
            ("commitment", sampled.commitment == did.output_commitment),
            (
                "receipt",
                leaf.receipt == did.digest() && sampled.receipt == leaf.receipt,
            ),
            (
                "worker",
                receipt.worker.address() == self.worker && receipt.is_signed(),
            ),
            (
                "slot",
                did.slot_id == request_slot(&self.lane, leaf.index)
                    && did.attempt == 0
                    && asked.lane == self.lane,
            ),
            ("chain", did.chain_id == asked.chain_id),
            ("buyer", request.is_signed_by(self.payers)),
            ("kind", did.kind == self.kind && asked.kind == self.kind),
            ("version", did.version == self.version),
            ("spec", did.spec_digest == asked.spec_digest),
            ("units", did.units.within(&asked.demand.units)),
            (
                "demand",
                asked.demand.within(self.demand) && asked.demand == sampled.demand,
            ),
            ("amount", amount.is_ok_and(|amount| amount == leaf.amount)),
        ])
    }
}

fn first_fault(checks: &[(&'static str, bool)]) -> Option<&'static str> {
    let failed = checks.iter().find(|(_, holds)| !holds);
    failed.map(|(what, _)| *what)
}

/// The root of a batch's leaves; `None` if they cost more than all the money that there is.
#[must_use]
pub fn root_of(leaves: &[Leaf]) -> Option<SumNode> {
    let nodes: Vec<_> = leaves.iter().map(Leaf::node).collect();
    sum_tree::root(&nodes).ok()
}

/// The leaf that covers an offset into what all leaves cost.
#[must_use]
pub fn position_of(leaves: &[Leaf], offset: Amount) -> Option<usize> {
    let mut end = Amount::ZERO;
    leaves.iter().position(|leaf| {
        end = end.checked_add(leaf.amount).unwrap_or(Amount::MAX);
        offset < end
    })
}
