//! The laws that every kind of service keeps. [`service_laws!`](crate::service_laws) turns them into tests.
//!
//! Each law takes `samples`: for a size, the specs of about that size, one per variant that the kind has, always as
//! many and in the same order. Size 0 is the smallest spec there is.

use crate::{
    AnyService, Assignment, Claim, Discard, Env, Evidence, Executed, Fault, Judgement, StopAt,
    contract::{ExecuteError, Served, SpecError},
    testing::{MemoryBlobs, cancel_after, run},
};
use commonware_codec::Encode;
use core::fmt::Debug;
use fairweir_types::{
    Address, ChainId, Digest, Receipt, Units, decode,
    order::{Demand, OrderId, SlotId, UnitVector},
    receipt::{Salt, output_commitment, trace},
};
use std::sync::Arc;

/// Sizes that the laws look at, ascending.
const SIZES: [usize; 5] = [0, 1, 7, 64, 1_000];
const SALT: Salt = [7; 32];
/// The worker of every claim of the laws.
const WORKER: Address = Address([8; 20]);

/// What [`WORKER`] publishes of a trace in its first assignment.
fn commitment(slot_id: &SlotId, trace: &Digest) -> Digest {
    output_commitment(WORKER, slot_id, 0, &SALT, trace)
}

/// Generates the tests of all laws for a kind, in a test module:
/// `service_laws!(Echo, samples, "hash")` with `fn samples(size: usize) -> Vec<EchoSpec>`. The hash pins the encodings;
/// when they are meant to change, the failing test says the new one.
#[macro_export]
macro_rules! service_laws {
    ($kind:ty, $samples:path, $encoding:literal) => {
        #[test]
        fn law_encodings_read_back_and_keep_their_format() {
            $crate::laws::encodings::<$kind>($samples, $encoding);
        }

        #[test]
        fn law_demand_is_bounded_and_monotone_in_size() {
            $crate::laws::demand::<$kind>($samples);
        }

        #[test]
        fn law_a_spec_over_the_limit_is_refused_before_work() {
            $crate::laws::refusal::<$kind>($samples);
        }

        #[test]
        fn law_an_honest_run_is_valid() {
            $crate::laws::honest_run::<$kind>($samples);
        }

        #[test]
        fn law_a_tampered_claim_is_never_valid() {
            $crate::laws::tampering::<$kind>($samples);
        }

        #[test]
        fn law_equal_inputs_give_equal_verdicts_and_traces() {
            $crate::laws::determinism::<$kind>($samples);
        }

        #[test]
        fn law_cancellation_leaves_nothing() {
            $crate::laws::cancellation::<$kind>($samples);
        }
    };
}

/// One order of a kind, as a worker and a verifier see it.
struct Case {
    service: Arc<dyn AnyService>,
    blobs: MemoryBlobs,
    spec: Vec<u8>,
    demand: Demand,
    stop: StopAt,
}

impl Case {
    fn new<K: Served>(spec: &K::Spec) -> Self {
        let service = K::service();
        let spec = spec.encode().to_vec();
        let demand = service.demand(&spec).expect("a sample is a good spec");
        Self {
            service,
            blobs: MemoryBlobs::default(),
            spec,
            demand,
            stop: StopAt::default(),
        }
    }

    fn spec_digest(&self) -> Digest {
        Digest::of_blob(&self.spec)
    }

    fn env(&self) -> Env<'_> {
        Env::answering(&self.blobs, &self.demand, &self.stop)
    }

    fn execute(&self) -> Executed {
        run(self.service.execute(&self.env(), &self.spec, &mut Discard))
            .expect("an honest run succeeds")
    }

    fn evidence(&self) -> Evidence {
        run(self.service.collect(&self.env(), &self.spec)).expect("an honest check succeeds")
    }

    fn assignment(&self) -> Assignment {
        Assignment {
            chain_id: ChainId::new("dev-laws").expect("a good name"),
            slot_id: SlotId {
                order: OrderId(Digest::of_blob(b"order")),
                slot: 0,
            },
            attempt: 0,
            kind: self.service.id(),
            version: self.service.version(),
            spec_digest: self.spec_digest(),
            demand: self.demand,
        }
    }

    /// What a worker claims that delivers this output and charges these units.
    fn claim(&self, output: &[u8], units: UnitVector) -> Claim {
        let assignment = self.assignment();
        let trace = trace(&assignment.spec_digest, &Digest::of_blob(output), &units);
        Claim {
            receipt: Receipt {
                chain_id: assignment.chain_id,
                slot_id: assignment.slot_id,
                attempt: assignment.attempt,
                kind: assignment.kind,
                version: assignment.version,
                spec_digest: assignment.spec_digest,
                units,
                disclosure: Digest::ZERO,
                output_commitment: commitment(&assignment.slot_id, &trace),
            },
            worker: WORKER,
            salt: SALT,
            trace,
        }
    }
}

fn cases<K: Served>(samples: fn(usize) -> Vec<K::Spec>) -> Vec<Case> {
    SIZES
        .into_iter()
        .flat_map(samples)
        .map(|spec| Case::new::<K>(&spec))
        .collect()
}

/// Specs and outputs read back as they were, without left-over bytes, and keep their format.
///
/// # Panics
/// If the law is broken, as all laws.
pub fn encodings<K: Served>(samples: fn(usize) -> Vec<K::Spec>, expected: &str)
where
    K::Output: Debug,
{
    let mut encodings = Vec::new();
    for spec in SIZES.into_iter().flat_map(samples) {
        let case = Case::new::<K>(&spec);
        assert_eq!(
            decode::<K::Spec>(&case.spec).expect("a spec reads back"),
            spec
        );
        let output = case.execute().output;
        let read: K::Output = decode(&output).expect("an output reads back");
        assert_eq!(read.encode().to_vec(), output, "one encoding per output");
        for bytes in [&case.spec, &output] {
            let mut longer = bytes.clone();
            longer.push(0);
            let both = (
                decode::<K::Spec>(&longer).is_err(),
                decode::<K::Output>(&longer).is_err(),
            );
            assert!(both.0 || both.1, "left-over bytes are refused");
        }
        encodings.push(Digest::of_blob(&case.spec).0);
        encodings.push(Digest::of_blob(&output).0);
    }
    let found = Digest::of_blob(&encodings.concat()).to_string();
    assert_eq!(found, expected, "the format of specs or outputs changed");
}

/// The demand covers what a run takes, states the length of the spec, and grows with the size.
///
/// # Panics
/// If the law is broken.
pub fn demand<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    let mut smaller: Vec<Demand> = Vec::new();
    for size in SIZES {
        let cases: Vec<_> = samples(size)
            .iter()
            .map(|spec| Case::new::<K>(spec))
            .collect();
        for case in &cases {
            let executed = case.execute();
            assert!(executed.units.within(&case.demand.units), "units");
            assert!(bytes(&executed.output) <= case.demand.bytes_out_max.get());
            assert_eq!(bytes(&case.spec), case.demand.bytes_in.get());
            let units = case.demand.units;
            assert!(
                [units.input, units.cached_input, units.output, units.time]
                    .iter()
                    .any(|units| *units > Units::ZERO),
                "the ledger takes no order without demand"
            );
            assert!(case.demand.memory_max.get() > 0 && case.demand.execution_max.get() > 0);
        }
        let demands: Vec<_> = cases.iter().map(|case| case.demand).collect();
        for (less, more) in smaller.iter().zip(&demands) {
            assert!(less.units.within(&more.units), "units are monotone");
            assert!(less.bytes_in <= more.bytes_in, "input is monotone");
            assert!(
                less.bytes_out_max <= more.bytes_out_max,
                "output is monotone"
            );
            assert!(less.memory_max <= more.memory_max, "memory is monotone");
            assert!(less.execution_max <= more.execution_max, "time is monotone");
        }
        assert!(smaller.is_empty() || smaller.len() == demands.len());
        smaller = demands;
    }
}

fn bytes(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Too long, cut off and prolonged specs are refused without any work; both roles agree on what the answer is then.
///
/// # Panics
/// If the law is broken.
pub fn refusal<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    for case in cases::<K>(samples) {
        let mut prolonged = case.spec.clone();
        prolonged.push(0);
        let cut = case.spec[..case.spec.len().saturating_sub(1)].to_vec();
        let too_long = vec![0; K::SPEC_BYTES_MAX + 1];
        for bad in [prolonged, cut, too_long] {
            if case.service.demand(&bad).is_ok() {
                // A kind may take any bytes; but not too many.
                assert!(bad.len() <= K::SPEC_BYTES_MAX);
                continue;
            }
            assert!(
                !cancel_after(1, case.service.execute(&case.env(), &bad, &mut Discard)),
                "a refusal takes no work"
            );
            let refused = run(case.service.execute(&case.env(), &bad, &mut Discard));
            assert!(matches!(
                refused,
                Err(ExecuteError::Refused(
                    SpecError::TooLarge { .. }
                        | SpecError::Malformed(_)
                        | SpecError::Version { .. }
                ))
            ));
            let evidence =
                run(case.service.collect(&case.env(), &bad)).expect("a refusal is evidence");
            assert_eq!(evidence, Evidence::Refused);
            let digest = Digest::of_blob(&bad);
            let refusal = Executed::refusal();
            let mut receipt = case.claim(&refusal.output, refusal.units).receipt;
            receipt.spec_digest = digest;
            assert_eq!(
                case.service.trace(&receipt, &evidence),
                Some(refusal.trace(&digest)),
                "worker and verifier agree on the answer to a bad order"
            );
        }
        assert!(
            case.service
                .demand(&vec![0; K::SPEC_BYTES_MAX + 1])
                .is_err()
        );
    }
}

/// What an honest worker delivers is valid, and its verifier commits to the same trace.
///
/// # Panics
/// If the law is broken.
pub fn honest_run<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    for case in cases::<K>(samples) {
        let executed = case.execute();
        let claim = case.claim(&executed.output, executed.units);
        let evidence = case.evidence();
        assert_eq!(
            case.service.judge(&case.assignment(), &claim, &evidence),
            Judgement::Valid
        );
        assert_eq!(
            case.service.trace(&claim.receipt, &evidence),
            Some(claim.trace)
        );
    }
}

/// A changed output, changed units, a withheld spec and a receipt of other work are never valid.
///
/// # Panics
/// If the law is broken.
pub fn tampering<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    for case in cases::<K>(samples) {
        let Executed { output, units, .. } = case.execute();
        let honest = case.claim(&output, units);
        let evidence = case.evidence();
        let judge = |claim: &Claim| case.service.judge(&case.assignment(), claim, &evidence);

        for at in [0, output.len() / 2, output.len().saturating_sub(1)] {
            let mut changed = output.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
                let claim = case.claim(&changed, units);
                assert_ne!(judge(&claim), Judgement::Valid, "output byte {at}");
            }
        }
        assert_ne!(
            judge(&case.claim(&[], UnitVector::default())),
            Judgement::Valid,
            "refused a good order"
        );

        for units in other_units(units) {
            let claim = case.claim(&output, units);
            assert_ne!(judge(&claim), Judgement::Valid, "units {units:?}");
            // Units in the open that the trace does not commit to: the hidden overcharge.
            let mut hidden = honest.clone();
            hidden.receipt.units = units;
            assert_ne!(judge(&hidden), Judgement::Valid, "hidden units {units:?}");
            let trace = |claim: &Claim| case.service.trace(&claim.receipt, &evidence);
            assert_ne!(trace(&claim), Some(claim.trace), "units {units:?}");
            assert_ne!(trace(&hidden), Some(hidden.trace), "hidden {units:?}");
            // A worker that foresees what verifiers will commit to, and commits to it too.
            let mut foreseen = hidden.clone();
            foreseen.trace = trace(&hidden).expect("there is evidence");
            foreseen.receipt.output_commitment =
                commitment(&foreseen.receipt.slot_id, &foreseen.trace);
            assert_ne!(trace(&foreseen), Some(foreseen.trace), "foreseen {units:?}");
        }
        replays(&honest, judge);
        assert_eq!(
            case.service
                .judge(&case.assignment(), &honest, &Evidence::Withheld),
            Judgement::Inconclusive,
            "withheld spec"
        );
        assert_eq!(
            case.service.trace(&honest.receipt, &Evidence::Withheld),
            None
        );
        let forged = Evidence::Collected(vec![0xff; 3]);
        assert_ne!(
            case.service.judge(&case.assignment(), &honest, &forged),
            Judgement::Valid,
            "evidence that is none"
        );
    }
}

fn other_units(units: UnitVector) -> Vec<UnitVector> {
    let more = |units: Units| Units(units.get() + 1);
    let mut other = vec![
        UnitVector {
            input: more(units.input),
            ..units
        },
        UnitVector {
            cached_input: more(units.cached_input),
            ..units
        },
        UnitVector {
            output: more(units.output),
            ..units
        },
        UnitVector {
            time: more(units.time),
            ..units
        },
    ];
    if let Some(less) = units.input.checked_sub(Units(1)) {
        other.push(UnitVector {
            input: less,
            ..units
        });
    }
    other
}

/// The honest claim, but for other work.
fn replays(honest: &Claim, judge: impl Fn(&Claim) -> Judgement) {
    let changes: [fn(&mut Receipt); 6] = [
        |receipt| receipt.chain_id = ChainId::new("dev-other").expect("a good name"),
        |receipt| receipt.slot_id.slot += 1,
        |receipt| receipt.attempt += 1,
        |receipt| receipt.kind.0 += 1,
        |receipt| receipt.version += 1,
        |receipt| receipt.spec_digest = Digest::of_blob(b"another spec"),
    ];
    for change in changes {
        let mut replayed = honest.clone();
        change(&mut replayed.receipt);
        assert!(matches!(
            judge(&replayed),
            Judgement::Invalid(Fault::OtherWork { .. })
        ));
    }
    let mut of_another = honest.clone();
    of_another.worker = Address([9; 20]);
    assert_eq!(judge(&of_another), Judgement::Invalid(Fault::DoesNotOpen));
    let mut other_salt = honest.clone();
    other_salt.salt[0] ^= 1;
    assert_eq!(judge(&other_salt), Judgement::Invalid(Fault::DoesNotOpen));
}

/// Equal inputs give equal outputs, evidence, traces and verdicts.
///
/// # Panics
/// If the law is broken.
pub fn determinism<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    for (one, other) in cases::<K>(samples).into_iter().zip(cases::<K>(samples)) {
        let executed = one.execute();
        assert_eq!(executed, other.execute());
        assert_eq!(
            executed.trace(&one.spec_digest()),
            other.execute().trace(&other.spec_digest())
        );
        assert_eq!(one.evidence(), other.evidence());
        let claim = one.claim(&executed.output, executed.units);
        assert_eq!(
            one.service
                .judge(&one.assignment(), &claim, &one.evidence()),
            other
                .service
                .judge(&other.assignment(), &claim, &other.evidence())
        );
    }
}

/// Wherever an execution or a check is dropped, it leaves nothing behind and the next one is as if it had not been.
///
/// # Panics
/// If the law is broken.
pub fn cancellation<K: Served>(samples: fn(usize) -> Vec<K::Spec>) {
    /// Points at which an execution may be dropped that a law tries at most.
    const POLLS_MAX: usize = 64;
    for case in cases::<K>(samples) {
        let untouched = case.execute();
        for polls in 0..POLLS_MAX {
            let was_cut = cancel_after(
                polls,
                case.service.execute(&case.env(), &case.spec, &mut Discard),
            );
            let check_was_cut = cancel_after(polls, case.service.collect(&case.env(), &case.spec));
            assert!(case.blobs.is_empty(), "a dropped run leaves no blob");
            assert_eq!(
                Arc::strong_count(&case.service),
                1,
                "nothing holds on to the service"
            );
            if !was_cut && !check_was_cut {
                break;
            }
        }
        assert_eq!(case.execute(), untouched);
    }
}

#[cfg(test)]
mod tests {
    //! Kinds that break a law are caught by it.

    use super::*;
    use crate::{
        Execution, Executor, Kind, Metered, Outlet, Passage, Service, Verifier,
        recompute::Recomputed,
    };
    use commonware_codec::EncodeSize;
    use fairweir_types::{ByteCount, Millis, order::KindId};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const TRUSTING: u8 = 0;
    const FICKLE: u8 = 1;
    const GREEDY: u8 = 2;
    const SHRINKING: u8 = 3;
    const LITTERING: u8 = 4;

    static RUNS: AtomicUsize = AtomicUsize::new(0);

    /// A kind with one flaw.
    #[derive(Clone, Copy, Debug)]
    struct Flawed<const FLAW: u8>;

    impl<const FLAW: u8> Kind for Flawed<FLAW> {
        const ID: KindId = KindId(2_000);
        const VERSION: u16 = 1;
        const NAME: &'static str = "flawed";
        const SPEC_BYTES_MAX: usize = 2_000;
        type Spec = Passage<1_000>;
        type Output = Passage<1_000>;

        fn demand(spec: &Self::Spec) -> Result<Demand, SpecError> {
            let bytes = bytes(spec.as_str().as_bytes());
            let memory = if FLAW == SHRINKING {
                2_000 - bytes
            } else {
                2_000
            };
            Ok(Demand {
                units: UnitVector {
                    input: Units(bytes + 1),
                    ..UnitVector::default()
                },
                bytes_in: ByteCount(u64::try_from(spec.encode_size()).unwrap_or(u64::MAX)),
                bytes_out_max: ByteCount(bytes + 5),
                memory_max: ByteCount(memory),
                execution_max: Millis(1_000),
            })
        }
    }

    impl<const FLAW: u8> Executor<Flawed<FLAW>> for Flawed<FLAW> {
        async fn execute(
            &self,
            env: &Env<'_>,
            spec: &Passage<1_000>,
            _: &mut dyn Outlet,
        ) -> Result<Execution<Passage<1_000>>, ExecuteError> {
            if FLAW == LITTERING {
                env.blobs.put(vec![1]).await?;
                std::future::ready(()).await;
            }
            let run = RUNS.fetch_add(1, Ordering::Relaxed);
            let mut output = spec.as_str().to_owned();
            if FLAW == FICKLE && run.is_multiple_of(2) {
                output.clear();
            }
            let surplus = if FLAW == GREEDY { 2 } else { 1 };
            let units = UnitVector {
                input: Units(bytes(spec.as_str().as_bytes()) + surplus),
                ..UnitVector::default()
            };
            let output = Passage::new(output).expect("not longer than the spec");
            Ok(Execution::whole(output, units))
        }
    }

    impl<const FLAW: u8> Verifier<Flawed<FLAW>> for Flawed<FLAW> {
        type Evidence = Recomputed;

        async fn collect(
            &self,
            env: &Env<'_>,
            spec: &Passage<1_000>,
            digest: &Digest,
        ) -> Result<Recomputed, ExecuteError> {
            crate::Recompute(*self).collect(env, spec, digest).await
        }

        fn trace(&self, evidence: &Recomputed) -> Digest {
            evidence.trace
        }

        fn units(&self, evidence: &Recomputed) -> UnitVector {
            evidence.units
        }

        fn judge(&self, claim: &Claim, evidence: &Recomputed) -> Judgement {
            if FLAW == TRUSTING {
                return Judgement::Valid;
            }
            Verifier::<Self>::judge(&crate::Recompute(*self), claim, evidence)
        }
    }

    impl<const FLAW: u8> Served for Flawed<FLAW> {
        fn service() -> Arc<dyn AnyService> {
            Arc::new(Service::<Self, _, _, _>::new(Self, Self, Metered))
        }
    }

    fn samples(size: usize) -> Vec<Passage<1_000>> {
        vec![Passage::new("x".repeat(size)).unwrap()]
    }

    #[test]
    #[should_panic(expected = "output byte")]
    fn a_verifier_that_trusts_is_caught() {
        tampering::<Flawed<TRUSTING>>(samples);
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn an_executor_that_changes_its_mind_is_caught() {
        determinism::<Flawed<FICKLE>>(samples);
    }

    #[test]
    #[should_panic(expected = "more units than the demand allows")]
    fn an_executor_that_meters_above_demand_is_caught() {
        demand::<Flawed<GREEDY>>(samples);
    }

    #[test]
    #[should_panic(expected = "memory is monotone")]
    fn a_demand_that_shrinks_is_caught() {
        demand::<Flawed<SHRINKING>>(samples);
    }

    #[test]
    #[should_panic(expected = "leaves no blob")]
    fn an_executor_that_litters_is_caught() {
        cancellation::<Flawed<LITTERING>>(samples);
    }
}
