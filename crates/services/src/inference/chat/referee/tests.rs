use super::*;
use crate::{
    Passage, StopAt,
    appeal::RefusedRecord,
    contract::Served,
    inference::{
        chat::{ChatOutput, Finish, Parameters, Prompt},
        testing::{TINY_CHAT, TINY_OTHER, tiny_chat_file},
    },
    testing::{MemoryBlobs, run},
    trace_for,
};
use fairweir_types::{
    ChainId, Receipt, Units,
    order::{OrderId, SlotId},
};

fn spec(model: ModelId, tokens_max: u32) -> Vec<u8> {
    let prompt = Prompt::Tokens(BoundedVec::truncating(5..25));
    let spec = ChatSpec::new(model, prompt, Parameters::greedy(tokens_max), [9; 32]);
    spec.unwrap().encode().to_vec()
}

fn record(spec: &[u8]) -> Arc<dyn Record> {
    record_stopped(spec, &StopAt::default())
}

fn record_stopped(spec: &[u8], stop: &StopAt) -> Arc<dyn Record> {
    let blobs = MemoryBlobs::default();
    let limits = Chat::service().demand(spec).unwrap();
    let env = Env::checking(&blobs, &limits, stop, &[]);
    let recorder = Chat::service().recorder().unwrap();
    run(recorder.record(&env, spec)).unwrap()
}

/// The path of the run's last value, which has one cell.
fn last(record: &dyn Record) -> Vec<u8> {
    let mut path = Vec::new();
    while let Some(last) = run(record.children(&path)).unwrap().len().checked_sub(1) {
        path.push(u8::try_from(last).unwrap());
    }
    path
}

fn cell_at(record: &dyn Record, path: &[u8]) -> Digest {
    let (last, above) = path.split_last().unwrap();
    run(record.children(above)).unwrap()[usize::from(*last)]
}

#[test]
fn a_run_ends_in_the_trace_that_verifiers_find_and_nodes_are_those_that_the_ledger_asks_for() {
    let spec = spec(TINY_CHAT, 6);
    let record = record(&spec);
    let (blobs, stop) = (MemoryBlobs::default(), StopAt::default());
    let limits = Chat::service().demand(&spec).unwrap();
    let env = Env::checking(&blobs, &limits, &stop, &[]);
    let executed = run(Chat::service().execute(&env, &spec, &mut Discard)).unwrap();
    assert_eq!(record.trace(), executed.trace(&Digest::of_blob(&spec)));
    let receipt = receipt_of(&spec, record.units());
    assert!(record.stands_for(&receipt, &record.trace()));
    assert!(!record.stands_for(&receipt, &Digest::ZERO));
    let path = last(record.as_ref());
    let mut node_there = record.run();
    for length in 0..path.len() {
        let children = run(record.children(&path[..length])).unwrap();
        assert_eq!(node(&children), node_there);
        node_there = children[usize::from(path[length])];
    }
}

#[test]
fn what_is_shown_decides_and_what_is_not_of_the_order_is_refused() {
    let asked = spec(TINY_CHAT, 6);
    let record = record(&asked);
    let path = last(record.as_ref());
    let right = cell_at(record.as_ref(), &path);
    let claims = [right, Digest([7; 32])];
    let shown = run(record.exhibit(&path, claims)).unwrap();
    let (digest, root) = (Digest::of_blob(&asked), record.run());
    assert_eq!(
        find(&digest, &root, &path, &claims, &shown),
        Ok(Some(right))
    );

    let refused = |spec: &Digest, run: &Digest, path: &[u8], shown: &[u8]| {
        find(spec, run, path, &claims, shown).unwrap_err()
    };
    assert_eq!(
        refused(&digest, &root, &path, b"nothing"),
        ShownError::Malformed
    );
    assert_eq!(
        refused(&Digest::ZERO, &root, &path, &shown),
        ShownError::OtherSpec
    );
    assert_eq!(
        refused(&digest, &root, &path[..3], &shown),
        ShownError::Referee(RefereeError::NotACell)
    );
    assert!(matches!(
        refused(&digest, &Digest([3; 32]), &path, &shown),
        ShownError::Referee(RefereeError::NotShown { .. })
    ));
    let with = |change: &dyn Fn(&mut Shown)| {
        let mut shown: Shown = decode(&shown).unwrap();
        change(&mut shown);
        shown.encode().to_vec()
    };
    let other_files = with(&|shown| shown.files = BoundedVec::default());
    assert_eq!(
        refused(&digest, &root, &path, &other_files),
        ShownError::OtherFiles
    );
    // The spec of another model, and none at all.
    for other in [spec(TINY_OTHER, 6), vec![1, 2, 3]] {
        let shown = with(&|shown| shown.spec = BoundedBytes::new(other.clone()).unwrap());
        let found = find(&Digest::of_blob(&other), &root, &path, &claims, &shown);
        assert_ne!(found, Ok(Some(right)));
    }
    // Cut or changed anywhere, it is refused or says the same; it never says that another cell is right.
    for at in (0..shown.len()).step_by(shown.len() / 200 + 1) {
        let mut changed = shown.clone();
        changed[at] ^= 0x10;
        let cut = find(&digest, &root, &path, &claims, &shown[..at]);
        assert!(cut.is_err());
        let found = find(&digest, &root, &path, &claims, &changed);
        assert!(
            found.is_err() || found == Ok(Some(right)),
            "{at}: {found:?}"
        );
    }
    assert!(
        tiny_chat_file(1).len() > referee::PIECE,
        "the file has several pieces"
    );
}

fn receipt_of(spec: &[u8], units: UnitVector) -> Receipt {
    Receipt {
        chain_id: ChainId::new("dev-test").unwrap(),
        slot_id: SlotId {
            order: OrderId(Digest([1; 32])),
            slot: 0,
        },
        attempt: 0,
        kind: Chat::ID,
        version: Chat::VERSION,
        spec_digest: Digest::of_blob(spec),
        units,
        disclosure: Digest::ZERO,
        output_commitment: Digest([4; 32]),
    }
}

/// What becomes of a side with this record, trace and receipt that shows this.
fn bound_to(
    spec: &[u8],
    run: Digest,
    (receipt, trace): (&Receipt, Digest),
    bound: &[u8],
) -> Result<(), ShownError> {
    let standing = Standing {
        spec: &Digest::of_blob(spec),
        demand: &Chat::service().demand(spec).unwrap(),
        receipt,
        trace: &trace,
        run: &run,
    };
    bind(&standing, bound)
}

/// The trace of an output with the units of a record.
fn trace_of(spec: &[u8], output: &ChatOutput, units: &UnitVector) -> Digest {
    let output = Digest::of_blob(&output.encode());
    trace(&Digest::of_blob(spec), &output, units)
}

fn retold(bound: &[u8], change: impl FnOnce(&mut ChatOutput)) -> (Vec<u8>, ChatOutput) {
    let mut bound: Bound = decode(bound).unwrap();
    let mut output: ChatOutput = decode(bound.output.as_slice()).unwrap();
    change(&mut output);
    bound.output = BoundedBytes::new(output.encode().to_vec()).unwrap();
    (bound.encode().to_vec(), output)
}

#[test]
fn a_run_is_bound_to_what_it_ends_in_and_to_nothing_else() {
    let spec = spec(TINY_CHAT, 6);
    let record = record(&spec);
    let (run, units) = (record.run(), record.units());
    let receipt = receipt_of(&spec, units);
    let bound = record.bound().unwrap();
    let ends_in = |trace| bound_to(&spec, run, (&receipt, trace), &bound);
    assert_eq!(ends_in(record.trace()), Ok(()));
    assert_eq!(ends_in(Digest([7; 32])), Err(ShownError::OtherTrace));

    // A liar that copies the run cannot say that its own output was made of it.
    type Change = fn(&mut ChatOutput);
    let lies: [(Change, &str); 6] = [
        (|output| output.computation.0[0] ^= 1, "computation"),
        (|output| output.prompt_tokens += 1, "prompt"),
        (
            |output| output.tokens = BoundedVec::truncating(output.tokens.iter().skip(1).copied()),
            "tokens",
        ),
        (
            |output| {
                let fewer = output.tokens.len() - 1;
                output.tokens = BoundedVec::truncating(output.tokens.iter().take(fewer).copied());
            },
            "an end that came later",
        ),
        (|output| output.finish = Finish::Length, "no end"),
        (
            |output| {
                let likelihood = crate::inference::chat::Likelihood {
                    token: 1,
                    bytes: BoundedBytes::default(),
                    logprob_bits: 0,
                };
                let told = crate::inference::chat::TokenLikelihood {
                    token: likelihood,
                    top: BoundedVec::default(),
                };
                output.likelihoods = BoundedVec::truncating([told]);
            },
            "probabilities that nobody asked for",
        ),
    ];
    let (_, honest) = retold(&bound, |_| {});
    for (lie, what) in lies {
        let (bytes, output) = retold(&bound, lie);
        if output == honest {
            continue;
        }
        let trace = trace_of(&spec, &output, &units);
        let found = bound_to(&spec, run, (&receipt, trace), &bytes);
        assert!(found.is_err(), "{what}: {found:?}");
        // Nor that it voted for the output that the run has.
        let found = bound_to(&spec, run, (&receipt, trace), &bound);
        assert_eq!(found, Err(ShownError::OtherTrace), "{what}");
    }
    // What is told of the same computation is not the referee's to say.
    let (bytes, output) = retold(&bound, |output| {
        output.text = Passage::new("something else".to_owned()).unwrap();
    });
    let trace = trace_of(&spec, &output, &units);
    assert_eq!(bound_to(&spec, run, (&receipt, trace), &bytes), Ok(()));
}

#[test]
fn what_binds_no_run_is_refused_and_changed_bytes_never_bind_to_another_trace() {
    let asked = spec(TINY_CHAT, 6);
    let record = record(&asked);
    let (run, bound) = (record.run(), record.bound().unwrap());
    let receipt = receipt_of(&asked, record.units());
    let found = |run, bound: &[u8]| bound_to(&asked, run, (&receipt, record.trace()), bound);
    assert_eq!(found(run, &[]), Err(ShownError::Malformed));
    assert!(matches!(
        found(Digest([3; 32]), &bound),
        Err(ShownError::Referee(RefereeError::NotShown { .. }))
    ));
    let other = spec(TINY_CHAT, 5);
    let of_other = bound_to(&other, run, (&receipt, record.trace()), &bound);
    assert_eq!(of_other, Err(ShownError::OtherSpec));
    // The order allows less than the spec needs, so that it had to be refused.
    let mut demand = Chat::service().demand(&asked).unwrap();
    demand.bytes_out_max.0 -= 1;
    let standing = Standing {
        spec: &Digest::of_blob(&asked),
        demand: &demand,
        receipt: &receipt,
        trace: &record.trace(),
        run: &run,
    };
    assert_eq!(bind(&standing, &bound), Err(ShownError::Refused));
    for at in (0..bound.len()).step_by(bound.len() / 300 + 1) {
        assert!(found(run, &bound[..at]).is_err());
        let mut changed = bound.clone();
        changed[at] ^= 0x04;
        let other = bound_to(&asked, run, (&receipt, Digest([9; 32])), &changed);
        assert!(other.is_err(), "{at}");
    }
}

#[test]
fn whoever_found_other_units_than_the_receipt_charges_is_bound_by_its_run_and_the_worker_is_not() {
    let spec = spec(TINY_CHAT, 6);
    let record = record(&spec);
    let (run, bound) = (record.run(), record.bound().unwrap());
    let inflated = UnitVector {
        output: Units(record.units().output.get() + 1),
        ..record.units()
    };
    let receipt = receipt_of(&spec, inflated);
    let found = trace_for(&receipt, &record.trace(), &record.units());
    assert!(record.stands_for(&receipt, &found));
    assert_eq!(bound_to(&spec, run, (&receipt, found), &bound), Ok(()));
    // The worker opened a trace with the units that it charges, or with the right ones: neither is what its run gives.
    let (_, output) = retold(&bound, |_| {});
    for opened in [trace_of(&spec, &output, &inflated), record.trace()] {
        assert!(!record.stands_for(&receipt, &opened));
        assert_eq!(
            bound_to(&spec, run, (&receipt, opened), &bound),
            Err(ShownError::OtherTrace)
        );
    }
}

#[test]
fn a_refusal_has_no_run_and_is_bound_by_saying_nothing() {
    let spec = spec(TINY_CHAT, 6);
    let digest = Digest::of_blob(&spec);
    let record = RefusedRecord::of(&digest);
    let honest = receipt_of(&spec, UnitVector::default());
    let charged = receipt_of(
        &spec,
        UnitVector {
            output: Units(5),
            ..UnitVector::default()
        },
    );
    assert_eq!(record.run(), Digest::ZERO);
    for receipt in [&honest, &charged] {
        let found = trace_for(receipt, &record.trace(), &record.units());
        assert!(record.stands_for(receipt, &found));
        let of = |bound: &[u8]| bound_to(&spec, Digest::ZERO, (receipt, found), bound);
        assert_eq!(of(&record.bound().unwrap()), Ok(()));
        assert_eq!(of(b"something"), Err(ShownError::Malformed));
    }
    let other = bound_to(&spec, Digest::ZERO, (&honest, Digest([2; 32])), &[]);
    assert_eq!(other, Err(ShownError::OtherTrace));
}

#[test]
fn stopped_answers_are_bound_too() {
    let spec = spec(TINY_CHAT, 6);
    for tokens in [0, 1, 3] {
        let record = record_stopped(&spec, &StopAt::at(Units(tokens)));
        let receipt = receipt_of(&spec, record.units());
        let bound = record.bound().unwrap();
        let trace = record.trace();
        assert_eq!(
            bound_to(&spec, record.run(), (&receipt, trace), &bound),
            Ok(()),
            "{tokens}"
        );
    }
}
