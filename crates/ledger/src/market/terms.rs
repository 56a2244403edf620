//! The fees and rates that an order was posted under.

use crate::{
    params::{Params, money},
    state::state_record,
};
use fairweir_types::Amount;

/// What an order keeps of the governed values: what its escrow was reckoned with. A proposal that changes one does not reach back, so that
/// escrow always suffices, and whoever served can claim what it counted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    settlement_fee_bps: u16,
    settlement_fee_min: u64,
    check_fee_bps: u16,
    check_fee_min: u64,
    sampling_bps: u16,
    first_draw: u16,
    link_fee: u64,
}
state_record!(Terms {
    settlement_fee_bps,
    settlement_fee_min,
    check_fee_bps,
    check_fee_min,
    sampling_bps,
    first_draw,
    link_fee,
});

/// A governed value whose range fits.
fn short(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

impl Terms {
    /// Those of an order that is posted now.
    pub(crate) fn of(params: &Params) -> Self {
        Self {
            settlement_fee_bps: short(params.settlement_fee_bps),
            settlement_fee_min: params.settlement_fee_min,
            check_fee_bps: short(params.check_fee_bps),
            check_fee_min: params.check_fee_min,
            sampling_bps: short(params.sampling_bps),
            first_draw: short(params.first_draw),
            link_fee: params.link_fee,
        }
    }

    /// What a verifier gets for a link that it reveals.
    pub(crate) fn link_fee(&self) -> Amount {
        money(self.link_fee)
    }

    /// The governed values for what is done with the order: its own terms, and for the rest what is in force.
    pub(crate) fn over(&self, params: &Params) -> Params {
        Params {
            settlement_fee_bps: u64::from(self.settlement_fee_bps),
            settlement_fee_min: self.settlement_fee_min,
            check_fee_bps: u64::from(self.check_fee_bps),
            check_fee_min: self.check_fee_min,
            sampling_bps: u64::from(self.sampling_bps),
            first_draw: u64::from(self.first_draw),
            link_fee: self.link_fee,
            ..*params
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{PARAMS, of_genesis_params};

    #[test]
    fn an_order_keeps_what_its_escrow_was_reckoned_with_and_nothing_else() {
        const KEPT: [&str; 7] = [
            "settlement_fee_bps",
            "settlement_fee_min",
            "check_fee_bps",
            "check_fee_min",
            "sampling_bps",
            "first_draw",
            "link_fee",
        ];
        let posted = of_genesis_params(&[]);
        let mut changed = posted;
        for spec in PARAMS {
            changed.set(spec.number, spec.default.saturating_add(1));
        }
        let kept = Terms::of(&posted).over(&changed);
        for spec in PARAMS {
            let from = if KEPT.contains(&spec.name) {
                &posted
            } else {
                &changed
            };
            assert_eq!(
                kept.get(spec.number),
                from.get(spec.number),
                "{}",
                spec.name
            );
        }
    }
}
