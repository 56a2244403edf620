//! Orders and offers: one shape for every kind of work.
//!
//! Order = header + slots (role, payee, replaceable with a reason) + funding streams + rounds. The ledger reads the
//! header only; what the spec means is the business of the service kind.

use crate::{
    amount::{Amount, AmountError, Rounding, mul_ratio},
    bounded::{BoundedBytes, BoundedText, BoundedVec},
    catalogue::Versions,
    codec::{choice, newtype, record, tag},
    digest::{Digest, Domain},
    keys::Address,
    limits::{
        CANDIDATES_REPORTED_MAX, CAPABILITIES_MAX, ENDPOINT_BYTES_MAX, FUNDING_STREAMS_MAX,
        NAME_BYTES_MAX, SPEC_INLINE_BYTES_MAX,
    },
    quantity::{ByteCount, ChainId, Millis, Nonce, Units},
};
use commonware_codec::Encode;
use core::fmt;

/// A kind of service. What it means the ledger does not know; whether it is wanted, and in which version, the catalogue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u16);
newtype!(KindId(u16));

impl fmt::Display for KindId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order's id: the digest of chain id, buyer and the nonce of the transaction that posted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub Digest);
newtype!(OrderId(Digest));

impl OrderId {
    /// The id of the order that `buyer` posts with its transaction number `nonce`.
    #[must_use]
    pub fn of(chain_id: &ChainId, buyer: Address, nonce: Nonce) -> Self {
        Self(Digest::of(
            Domain::Order,
            &[&chain_id.encode(), &buyer.encode(), &nonce.encode()],
        ))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One slot of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// The order.
    pub order: OrderId,
    /// The slot's number, from 0.
    pub slot: u16,
}
record!(SlotId { order, slot });

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.slot)
    }
}

/// Metered units, one count per component of the price vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitVector {
    /// Units of input read.
    pub input: Units,
    /// Units of input that were already at the worker.
    pub cached_input: Units,
    /// Units of output made.
    pub output: Units,
    /// Milliseconds of reserved time.
    pub time: Units,
}
record!(UnitVector {
    input,
    cached_input,
    output,
    time
});

impl UnitVector {
    /// Whether no component exceeds the one in `limit`.
    #[must_use]
    pub fn within(&self, limit: &Self) -> bool {
        self.input <= limit.input
            && self.cached_input <= limit.cached_input
            && self.output <= limit.output
            && self.time <= limit.time
    }
}

/// What the work needs at most. Pure function of the spec, computed by its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Metered units at most.
    pub units: UnitVector,
    /// Bytes of the spec.
    pub bytes_in: ByteCount,
    /// Bytes of output at most.
    pub bytes_out_max: ByteCount,
    /// Bytes of memory at most.
    pub memory_max: ByteCount,
    /// Milliseconds from assignment to receipt at most.
    pub execution_max: Millis,
}
impl Demand {
    /// Whether no part exceeds the same part of `limit`.
    #[must_use]
    pub fn within(&self, limit: &Self) -> bool {
        self.units.within(&limit.units)
            && self.bytes_in <= limit.bytes_in
            && self.bytes_out_max <= limit.bytes_out_max
            && self.memory_max <= limit.memory_max
            && self.execution_max <= limit.execution_max
    }

    /// The smaller, or the larger, of each part.
    fn each(&self, other: &Self, of: fn(u64, u64) -> u64) -> Self {
        let units = |mine: Units, others: Units| Units(of(mine.0, others.0));
        let bytes = |mine: ByteCount, others: ByteCount| ByteCount(of(mine.0, others.0));
        Self {
            units: UnitVector {
                input: units(self.units.input, other.units.input),
                cached_input: units(self.units.cached_input, other.units.cached_input),
                output: units(self.units.output, other.units.output),
                time: units(self.units.time, other.units.time),
            },
            bytes_in: bytes(self.bytes_in, other.bytes_in),
            bytes_out_max: bytes(self.bytes_out_max, other.bytes_out_max),
            memory_max: bytes(self.memory_max, other.memory_max),
            execution_max: Millis(of(self.execution_max.0, other.execution_max.0)),
        }
    }

    /// Each part as it is, but not above the same part of `limit`.
    #[must_use]
    pub fn at_most(&self, limit: &Self) -> Self {
        self.each(limit, u64::min)
    }

    /// Each part as it is, but not below the same part of `other`.
    #[must_use]
    pub fn at_least(&self, other: &Self) -> Self {
        self.each(other, u64::max)
    }
}
record!(Demand {
    units,
    bytes_in,
    bytes_out_max,
    memory_max,
    execution_max
});

/// Base units of money per 10^6 units of work, one price per component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceVector {
    /// Per 10^6 units of input.
    pub input: Amount,
    /// Per 10^6 units of cached input.
    pub cached_input: Amount,
    /// Per 10^6 units of output.
    pub output: Amount,
    /// Per 10^6 milliseconds of time.
    pub time: Amount,
}
record!(PriceVector {
    input,
    cached_input,
    output,
    time
});

impl PriceVector {
    /// Units that one price is for.
    pub const UNITS_PER_PRICE: u64 = 1_000_000;

    /// The price of `units`, rounded up once on the total of all components.
    ///
    /// # Errors
    /// [`AmountError::AboveCap`].
    pub fn quote(&self, units: &UnitVector) -> Result<Amount, AmountError> {
        let parts = [
            (self.input, units.input),
            (self.cached_input, units.cached_input),
            (self.output, units.output),
            (self.time, units.time),
        ];
        let total = parts.into_iter().try_fold(0u128, |total, (price, units)| {
            u128::from(price.base_units())
                .checked_mul(u128::from(units.get()))
                .and_then(|part| total.checked_add(part))
                .ok_or(AmountError::AboveCap)
        })?;
        let whole = total
            .checked_div(u128::from(Self::UNITS_PER_PRICE))
            .ok_or(AmountError::DivisionByZero)?;
        let rest = total
            .checked_rem(u128::from(Self::UNITS_PER_PRICE))
            .ok_or(AmountError::DivisionByZero)?;
        let whole = u64::try_from(whole).map_err(|_| AmountError::AboveCap)?;
        let rest = u64::try_from(rest).map_err(|_| AmountError::AboveCap)?;
        let rounded = mul_ratio(rest, 1, Self::UNITS_PER_PRICE, Rounding::Up)?;
        Amount::from_base_units(whole)
            .ok_or(AmountError::AboveCap)?
            .checked_add(rounded)
    }

    /// The first component that exceeds the one in `limit`, if any: its offered and its allowed price.
    #[must_use]
    pub fn first_above(&self, limit: &Self) -> Option<(Amount, Amount)> {
        [
            (self.input, limit.input),
            (self.cached_input, limit.cached_input),
            (self.output, limit.output),
            (self.time, limit.time),
        ]
        .into_iter()
        .find(|(offered, allowed)| offered > allowed)
    }
}

/// A short name such as a region or a capability.
pub type Name = BoundedText<NAME_BYTES_MAX>;

/// How far the input may be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privacy {
    /// Workers and verifiers see the input; blobs are fetched by digest.
    #[default]
    Public,
    /// Only the assigned worker and the drawn verifiers may see the input. No kind offers it yet.
    Confidential,
}
tag!(Privacy { 0 => Public, 1 => Confidential });

/// How soon the buyer needs the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The cheapest match.
    #[default]
    Normal,
    /// The match with most free capacity; price decides among equals.
    High,
}
tag!(Urgency { 0 => Normal, 1 => High });

/// What a worker must have to be matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The lowest level.
    pub level_min: u16,
    /// Capabilities that the offer must name.
    pub capabilities: BoundedVec<Name, CAPABILITIES_MAX>,
    /// The region, if it matters.
    pub region: Option<Name>,
    /// The least bonded stake.
    pub stake_min: Amount,
}
record!(Requirements {
    level_min,
    capabilities,
    region,
    stake_min
});

/// How many rounds an order runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// Exactly so many.
    Fixed(u32),
    /// Until the buyer closes it or the funding ends.
    Open(OpenRounds),
}
choice!(Rounds { 1 => Fixed(u32), 2 => Open(OpenRounds) });

/// Rounds without a number: the order is a session, and each of its slots a lane that serves one request after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenRounds {
    /// The most that all requests of one lane may cost together.
    pub lane_cap: Amount,
    /// Milliseconds of chain time after its match at which a lane closes by itself.
    pub open_for: Millis,
    /// Who may sign requests and vouchers besides the buyer.
    pub delegate: Option<Address>,
}
record!(OpenRounds {
    lane_cap,
    open_for,
    delegate
});

/// What a slot is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotRole {
    /// Runs the work.
    #[default]
    Worker,
}
tag!(SlotRole { 1 => Worker });

/// Who pays, and how much at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingStream {
    /// The account that pays.
    pub payer: Address,
    /// What it pays at most in one round.
    pub round_max: Amount,
}
record!(FundingStream { payer, round_max });

/// The part of an order that is the same for every kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderHeader {
    /// The kind of service.
    pub kind: KindId,
    /// The version of the kind that the buyer asks for: only the one in force is taken, and it holds until the order is closed.
    pub version: u16,
    /// The digest of the spec's bytes.
    pub spec_digest: Digest,
    /// The spec, when it is small; else it is a blob.
    pub spec_inline: Option<BoundedBytes<SPEC_INLINE_BYTES_MAX>>,
    /// What the work needs at most, per slot and round.
    pub demand: Demand,
    /// The role of each slot; one worker runs each.
    pub slots: u16,
    /// The role of the slots.
    pub role: SlotRole,
    /// How many rounds.
    pub rounds: Rounds,
    /// The highest acceptable price.
    pub price_max: PriceVector,
    /// How soon.
    pub urgency: Urgency,
    /// Milliseconds of chain time from posting within which a worker must be matched.
    pub match_within: Millis,
    /// What a worker must have.
    pub requirements: Requirements,
    /// How far the input may be seen.
    pub privacy: Privacy,
}
impl OrderHeader {
    /// The rounds of a session, if it is one.
    #[must_use]
    pub const fn open_rounds(&self) -> Option<&OpenRounds> {
        match &self.rounds {
            Rounds::Open(rounds) => Some(rounds),
            Rounds::Fixed(_) => None,
        }
    }
}
record!(OrderHeader {
    kind,
    version,
    spec_digest,
    spec_inline,
    demand,
    slots,
    role,
    rounds,
    price_max,
    urgency,
    match_within,
    requirements,
    privacy,
});

/// What a worker offers to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The kind of service.
    pub kind: KindId,
    /// The versions of it that the worker's program knows: only work of these is matched to it.
    pub versions: Versions,
    /// The digest of what is offered within the kind (a model, a version); zero when the kind has just one.
    pub digest: Digest,
    /// Prices.
    pub prices: PriceVector,
    /// Slots that may be open at once.
    pub capacity: u16,
    /// Stake set aside for this offer's open work.
    pub collateral: Amount,
    /// The largest demand that it takes.
    pub demand_max: Demand,
    /// The level it has reached.
    pub level: u16,
    /// What it can do.
    pub capabilities: BoundedVec<Name, CAPABILITIES_MAX>,
    /// Where it is.
    pub region: Option<Name>,
    /// The most private input that it handles.
    pub privacy_max: Privacy,
    /// The owner of the worker: no verifier with the same owner judges its work.
    pub owner: Address,
    /// Where buyers reach the worker: an encoded peer address.
    pub endpoint: BoundedBytes<ENDPOINT_BYTES_MAX>,
}
record!(Offer {
    kind,
    versions,
    digest,
    prices,
    capacity,
    collateral,
    demand_max,
    level,
    capabilities,
    region,
    privacy_max,
    owner,
    endpoint,
});

/// Why a candidate was not matched: machine-readable, one code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonMatchReason {
    /// A price is above the order's.
    PriceAboveMax(Shortfall),
    /// All of the offer's capacity is in use.
    CapacityFull(Shortfall),
    /// The collateral left over from open work does not cover this order (protocol rule 5).
    CollateralTooLow(Shortfall),
    /// The bonded stake is below the order's minimum.
    StakeTooLow(Shortfall),
    /// The demand exceeds what the offer takes.
    DemandTooLarge(Shortfall),
    /// The level is below the order's minimum.
    LevelTooLow(Shortfall),
    /// A required capability is missing.
    CapabilityMissing(Shortfall),
    /// It is in another region.
    RegionDiffers(Shortfall),
    /// It does not handle input this private.
    PrivacyNotOffered(Shortfall),
    /// It belongs to the buyer.
    OwnedByBuyer(Shortfall),
    /// It failed this slot before, or holds another slot of the order.
    Excluded(Shortfall),
    /// It fits, but another is cheaper (or freer, for urgent orders).
    Outbid(Shortfall),
    /// It fits as well as the one chosen, and the beacon drew the other.
    NotDrawn(Shortfall),
    /// Its program does not know the version of the kind.
    VersionNotOffered(Shortfall),
}
choice!(NonMatchReason {
    1 => PriceAboveMax(Shortfall),
    2 => CapacityFull(Shortfall),
    3 => CollateralTooLow(Shortfall),
    4 => StakeTooLow(Shortfall),
    5 => DemandTooLarge(Shortfall),
    6 => LevelTooLow(Shortfall),
    7 => CapabilityMissing(Shortfall),
    8 => RegionDiffers(Shortfall),
    9 => PrivacyNotOffered(Shortfall),
    10 => OwnedByBuyer(Shortfall),
    11 => Excluded(Shortfall),
    12 => Outbid(Shortfall),
    13 => NotDrawn(Shortfall),
    14 => VersionNotOffered(Shortfall),
});

impl NonMatchReason {
    /// The stable name of the reason.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PriceAboveMax(_) => "price_above_max",
            Self::CapacityFull(_) => "capacity_full",
            Self::CollateralTooLow(_) => "collateral_too_low",
            Self::StakeTooLow(_) => "stake_too_low",
            Self::DemandTooLarge(_) => "demand_too_large",
            Self::LevelTooLow(_) => "level_too_low",
            Self::CapabilityMissing(_) => "capability_missing",
            Self::RegionDiffers(_) => "region_differs",
            Self::PrivacyNotOffered(_) => "privacy_not_offered",
            Self::OwnedByBuyer(_) => "owned_by_buyer",
            Self::Excluded(_) => "excluded",
            Self::Outbid(_) => "outbid",
            Self::NotDrawn(_) => "not_drawn",
            Self::VersionNotOffered(_) => "version_not_offered",
        }
    }

    /// What was offered and what was asked, in the unit of the reason (base units of money, slots, levels); zeros
    /// where the reason has no figures.
    #[must_use]
    pub const fn shortfall(&self) -> Shortfall {
        match self {
            Self::PriceAboveMax(figures)
            | Self::CapacityFull(figures)
            | Self::CollateralTooLow(figures)
            | Self::StakeTooLow(figures)
            | Self::DemandTooLarge(figures)
            | Self::LevelTooLow(figures)
            | Self::CapabilityMissing(figures)
            | Self::RegionDiffers(figures)
            | Self::PrivacyNotOffered(figures)
            | Self::OwnedByBuyer(figures)
            | Self::Excluded(figures)
            | Self::Outbid(figures)
            | Self::NotDrawn(figures)
            | Self::VersionNotOffered(figures) => *figures,
        }
    }
}

/// What a candidate had and what was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// What the candidate has.
    pub has: u64,
    /// What the order asks, or the winner has.
    pub asked: u64,
}
record!(Shortfall { has, asked });

/// One candidate that was not matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonMatch {
    /// The candidate.
    pub worker: Address,
    /// Why not.
    pub reason: NonMatchReason,
}
record!(NonMatch { worker, reason });

/// The candidates that were not matched, as far as one event reports them.
pub type NonMatches = BoundedVec<NonMatch, CANDIDATES_REPORTED_MAX>;

/// The funding streams of an order.
pub type FundingStreams = BoundedVec<FundingStream, FUNDING_STREAMS_MAX>;
