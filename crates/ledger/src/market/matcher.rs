//! The match: which worker gets a slot, and why the others do not.

use crate::{
    params::{self, Params},
    sessions,
};
use fairweir_types::{
    Address, Amount, Digest,
    digest::Domain,
    order::{NonMatch, NonMatchReason, Offer, OrderHeader, Shortfall, UnitVector, Urgency},
};

/// One worker's offer with what the ledger knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The worker.
    pub worker: Address,
    /// Its offer.
    pub offer: Offer,
    /// Slots of the offer that are open.
    pub open: u16,
    /// Stake that covers the offer's open work.
    pub offer_exposure: Amount,
    /// The worker's bonded stake.
    pub bonded: Amount,
    /// Stake that covers all its open work.
    pub exposure: Amount,
    /// Whether it failed this slot or holds another slot of the order.
    pub excluded: bool,
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The position of the chosen candidate.
    pub chosen: usize,
    /// The most that the work can cost at its prices.
    pub quote: Amount,
    /// Stake that must cover it.
    pub exposure: Amount,
    /// The others and why not.
    pub others: Vec<NonMatch>,
}

/// Chooses a worker for a slot. A trait because auctions will change by governance.
pub trait Matcher {
    /// The choice, or every candidate's reason.
    ///
    /// Pure: the same header, candidates and seed give the same answer on every replica.
    ///
    /// # Errors
    /// The reasons of all candidates when none fits.
    fn assign(
        &self,
        header: &OrderHeader,
        buyer: Address,
        candidates: &[Candidate],
        seed: &Digest,
    ) -> Result<Assignment, Vec<NonMatch>>;
}

/// The cheapest fitting offer (for urgent orders the freest, then the cheapest); the beacon draws among equals.
#[derive(Clone, Copy, Debug)]
pub struct CheapestMatcher<'a> {
    /// The governed values.
    pub params: &'a Params,
}

/// A candidate that fits: what it costs, and by what it is ranked (lower is better).
struct Fitting {
    position: usize,
    quote: Amount,
    exposure: Amount,
    rank: (u64, u64),
    lot: Digest,
}

impl Matcher for CheapestMatcher<'_> {
    fn assign(
        &self,
        header: &OrderHeader,
        buyer: Address,
        candidates: &[Candidate],
        seed: &Digest,
    ) -> Result<Assignment, Vec<NonMatch>> {
        let mut fitting = Vec::new();
        let mut others = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            match self.examine(header, buyer, candidate) {
                Ok((quote, exposure)) => fitting.push(Fitting {
                    position,
                    quote,
                    exposure,
                    rank: rank(header.urgency, candidate, quote),
                    lot: Digest::of(Domain::Draw, &[seed.as_bytes(), &candidate.worker.0]),
                }),
                Err(reason) => others.push(NonMatch {
                    worker: candidate.worker,
                    reason,
                }),
            }
        }
        let Some(best) = fitting.iter().min_by_key(|fit| (fit.rank, fit.lot)) else {
            return Err(others);
        };
        for fit in fitting.iter().filter(|fit| fit.position != best.position) {
            let figures = Shortfall {
                has: fit.quote.base_units(),
                asked: best.quote.base_units(),
            };
            let reason = if fit.rank == best.rank {
                NonMatchReason::NotDrawn(figures)
            } else {
                NonMatchReason::Outbid(figures)
            };
            if let Some(candidate) = candidates.get(fit.position) {
                others.push(NonMatch {
                    worker: candidate.worker,
                    reason,
                });
            }
        }
        Ok(Assignment {
            chosen: best.position,
            quote: best.quote,
            exposure: best.exposure,
            others,
        })
    }
}

fn rank(urgency: Urgency, candidate: &Candidate, quote: Amount) -> (u64, u64) {
    let price = quote.base_units();
    match urgency {
        Urgency::Normal => (price, 0),
        Urgency::High => {
            let free = candidate.offer.capacity.saturating_sub(candidate.open);
            (u64::from(u16::MAX.saturating_sub(free)), price)
        }
    }
}

impl CheapestMatcher<'_> {
    /// Whether a candidate fits, at which quote and exposure; the checks run in the order of the reasons.
    fn examine(
        &self,
        header: &OrderHeader,
        buyer: Address,
        candidate: &Candidate,
    ) -> Result<(Amount, Amount), NonMatchReason> {
        let offer = &candidate.offer;
        if !offer.versions.include(header.version) {
            return Err(NonMatchReason::VersionNotOffered(Shortfall {
                has: u64::from(offer.versions.newest),
                asked: u64::from(header.version),
            }));
        }
        if let Some((has, asked)) = offer.prices.first_above(&header.price_max) {
            return Err(NonMatchReason::PriceAboveMax(Shortfall {
                has: has.base_units(),
                asked: asked.base_units(),
            }));
        }
        if candidate.open >= offer.capacity {
            return Err(NonMatchReason::CapacityFull(Shortfall {
                has: u64::from(offer.capacity),
                asked: u64::from(candidate.open),
            }));
        }
        let too_dear = NonMatchReason::PriceAboveMax(Shortfall::default());
        let quote = offer
            .prices
            .quote(&header.demand.units)
            .map_err(|_| too_dear)?;
        let exposure = match header.open_rounds() {
            Some(rounds) => sessions::lane_exposure(self.params, quote, rounds.lane_cap),
            None => Params::share_up(quote, self.params.exposure_bps),
        };
        let exposure = exposure.map_err(|_| too_dear)?;
        covers(candidate, exposure)?;
        let stake_min = header
            .requirements
            .stake_min
            .max(params::money(self.params.worker_stake_min));
        if candidate.bonded < stake_min {
            return Err(NonMatchReason::StakeTooLow(Shortfall {
                has: candidate.bonded.base_units(),
                asked: stake_min.base_units(),
            }));
        }
        fits_demand(header, offer)?;
        fits_requirements(header, offer)?;
        let delegate = header.open_rounds().and_then(|rounds| rounds.delegate);
        let is_payer = |account| account == buyer || delegate == Some(account);
        if is_payer(offer.owner) || is_payer(candidate.worker) {
            return Err(NonMatchReason::OwnedByBuyer(Shortfall::default()));
        }
        if candidate.excluded {
            return Err(NonMatchReason::Excluded(Shortfall::default()));
        }
        Ok((quote, exposure))
    }
}

/// Protocol rule 5: open work never exceeds the stake that covers it.
fn covers(candidate: &Candidate, exposure: Amount) -> Result<(), NonMatchReason> {
    let free = |limit: Amount, used: Amount| limit.checked_sub(used).unwrap_or(Amount::ZERO);
    let left = free(candidate.offer.collateral, candidate.offer_exposure)
        .min(free(candidate.bonded, candidate.exposure));
    if left < exposure {
        return Err(NonMatchReason::CollateralTooLow(Shortfall {
            has: left.base_units(),
            asked: exposure.base_units(),
        }));
    }
    Ok(())
}

fn fits_demand(header: &OrderHeader, offer: &Offer) -> Result<(), NonMatchReason> {
    let (asked, max) = (&header.demand, &offer.demand_max);
    let too_large =
        |has: u64, asked: u64| Err(NonMatchReason::DemandTooLarge(Shortfall { has, asked }));
    if !asked.units.within(&max.units) {
        let sum = |units: &UnitVector| units.input.get().saturating_add(units.output.get());
        return too_large(sum(&max.units), sum(&asked.units));
    }
    for (has, asked) in [
        (max.bytes_in.get(), asked.bytes_in.get()),
        (max.bytes_out_max.get(), asked.bytes_out_max.get()),
        (max.memory_max.get(), asked.memory_max.get()),
        (max.execution_max.get(), asked.execution_max.get()),
    ] {
        if asked > has {
            return too_large(has, asked);
        }
    }
    Ok(())
}

fn fits_requirements(header: &OrderHeader, offer: &Offer) -> Result<(), NonMatchReason> {
    let asked = &header.requirements;
    if offer.level < asked.level_min {
        return Err(NonMatchReason::LevelTooLow(Shortfall {
            has: u64::from(offer.level),
            asked: u64::from(asked.level_min),
        }));
    }
    if asked
        .capabilities
        .iter()
        .any(|asked| !offer.capabilities.iter().any(|has| has == asked))
    {
        return Err(NonMatchReason::CapabilityMissing(Shortfall::default()));
    }
    if asked.region.is_some() && asked.region != offer.region {
        return Err(NonMatchReason::RegionDiffers(Shortfall::default()));
    }
    if header.privacy > offer.privacy_max {
        return Err(NonMatchReason::PrivacyNotOffered(Shortfall::default()));
    }
    Ok(())
}
