//! Every cell of a tiny run: what the referee computes is what was written down, and nothing else passes.

use super::{
    decide::{bytes_of, decide_on, floats_of},
    tree::{ARITY, Bag, CELL, DEPTH, EMPTY, Hash, Opened, Section, cell, digits, levels},
    *,
};
use crate::{
    cache::Cache,
    gguf::File,
    llama::{Logits, Model, Row},
    path::Path,
    pool::Single,
    sample::{Parameters, Sampler},
    simd::Isa,
    testing::{tiny_gguf, tiny_shape},
    trace::Trace,
};
use sha2::{Digest as _, Sha256};

const PROMPT: [u32; 19] = [
    1, 7, 9, 2, 80, 4, 4, 31, 90, 5, 6, 17, 18, 60, 61, 62, 8, 3, 11,
];
const TOKENS: usize = 3;
const ORIGIN: &[u8] = b"what was asked";

struct Fixture {
    file: Vec<u8>,
    model: Model,
    chosen: Vec<u32>,
    end: [u8; 32],
}

fn parameters() -> Parameters {
    Parameters {
        temperature: 0.9,
        top_p: 0.9,
        frequency_penalty: 0.4,
        ..Parameters::default()
    }
}

/// The answer as the engine makes it.
fn fixture(seed: u64, path: Path) -> Fixture {
    let file = tiny_gguf(seed, &tiny_shape(), &[]);
    let parsed = File::parse(&file).expect("well formed");
    let model = Model::load(&parsed, path).expect("a llama model");
    let mut cache = Cache::new(model.shape(), 4).expect("small");
    let sequence = cache.open().expect("the first");
    let mut sampler = Sampler::new(parameters(), [5; 32]).expect("in their ranges");
    let (mut logits, mut trace) = (Logits::new(), Trace::start(ORIGIN));
    let (mut chosen, mut next) = (Vec::new(), PROMPT.to_vec());
    let mut position = 0;
    while chosen.len() < TOKENS {
        let rows: Vec<Row> = (next.iter().zip(position..))
            .map(|(token, position)| Row {
                sequence,
                position,
                token: *token,
                wants_logits: true,
            })
            .collect();
        position += rows.len() as u32;
        model
            .step(&Single, &mut cache, &rows, &mut logits)
            .expect("room");
        let row = logits.row(logits.rows() - 1);
        let choice = sampler.choose(chosen.len() as u32, row, &chosen, None);
        let token = choice.expect("all are finite").token;
        trace.push(token, row);
        chosen.push(token);
        next = vec![token];
    }
    Fixture {
        file,
        model,
        chosen,
        end: trace.finish(),
    }
}

impl Fixture {
    fn run(&self) -> Run<'_> {
        Run {
            model: &self.model,
            file: &self.file,
            origin: ORIGIN,
            prompt: &PROMPT,
            chosen: &self.chosen,
        }
    }

    fn question(&self) -> Question<'_> {
        Question {
            origin: ORIGIN,
            file_bytes: self.file.len() as u64,
            file_sha256: Sha256::digest(&self.file).into(),
            prompt: Some(&PROMPT),
            parameters: Some(parameters()),
            seed: [5; 32],
            tokens_max: TOKENS,
        }
    }
}

/// The paths of all cells of a value with so many.
fn cells(section: Section, at: usize, count: usize) -> Vec<Vec<u8>> {
    let deep = levels(count);
    let within = |number: usize| {
        (0..deep)
            .rev()
            .map(move |level| (number / ARITY.pow(level as u32) % ARITY) as u8)
    };
    (0..count)
        .map(|number| {
            [section as u8]
                .into_iter()
                .chain(digits(at))
                .chain(within(number))
                .collect()
        })
        .collect()
}

fn bag(exhibits: &Exhibits) -> Bag {
    let mut bag = Bag::default();
    exhibits
        .nodes
        .iter()
        .for_each(|node| bag.add_node(node.clone()));
    exhibits
        .values
        .iter()
        .for_each(|value| bag.add_value(value.clone()));
    bag
}

/// The value of the recording at a place, with its exhibits' machinery.
fn value_bytes(shown: &Shown<'_>, section: Section, at: usize) -> Vec<u8> {
    shown
        .value(section, at)
        .expect("it was computed")
        .into_owned()
}

fn check_every_cell(path: Path, seed: u64) -> usize {
    let fixture = fixture(seed, path);
    let (run, question) = (fixture.run(), fixture.question());
    let recording = run.record(&Single).expect("small");
    let isa = Isa::new(path).expect("available");
    let rows = recording.rows() * recording.order().of_row();
    let places = (0..fixture.file.len().div_ceil(PIECE) + 1).map(|at| (Section::File, at));
    let places = places.chain((0..4).map(|at| (Section::Head, at)));
    let places = places.chain([(Section::Prompt, 0), (Section::Prompt, 1)]);
    // Rows before the prompt's last are alike: one of them, and all from the second page on.
    let of_row = recording.order().of_row();
    let rows = (0..rows).filter(|at| [0, 15, 16, 18, 20].contains(&(at / of_row)));
    let mut checked = 0;
    for (section, at) in places.chain(rows.map(|at| (Section::Rows, at))) {
        let shown = run.show(&Single, &recording, (section, at));
        let bytes = value_bytes(&shown, section, at);
        let count = bytes.len().div_ceil(CELL);
        for (number, path) in cells(section, at, count.max(1)).into_iter().enumerate() {
            // A value's first, second and last cells are alike the others.
            if number > 1 && number + 1 < count {
                continue;
            }
            let hash = bytes.chunks(CELL).nth(number).map_or(EMPTY, cell);
            let claims = [hash, [9; 32]];
            let (exhibits, finding) = shown
                .exhibits_on(&question, isa, &path, &claims)
                .expect("all is there");
            assert_eq!(
                finding,
                Finding::Is(hash),
                "{path:?} {:?}",
                recording.order().at(at)
            );
            let bag = bag(&exhibits);
            let opened = Opened::new(recording.root(), &bag);
            let again = decide_on(&question, &opened, isa, (&path, exhibits.head_at), &claims);
            assert_eq!(again, Ok(finding));
            checked += 1;
        }
    }
    checked
}

#[test]
fn every_cell_is_what_the_referee_computes_on_every_path() {
    for path in Path::available() {
        for seed in [1, 2] {
            assert!(check_every_cell(path, seed) > 500);
        }
    }
}

#[test]
fn a_recording_ends_where_the_engine_did() {
    let fixture = fixture(1, Path::best());
    let recording = fixture.run().record(&Single).expect("small");
    assert_eq!(recording.rows(), PROMPT.len() + TOKENS - 1);
    let last = recording.order().index(recording.rows() - 1, Value::Trace);
    let shown = fixture
        .run()
        .show(&Single, &recording, (Section::Rows, last));
    assert_eq!(value_bytes(&shown, Section::Rows, last), fixture.end);
    for path in Path::available() {
        let other = super::tests::fixture(1, path);
        assert_eq!(
            other.run().record(&Single).expect("small").root(),
            recording.root(),
            "{path}"
        );
    }
}

#[test]
fn the_ends_of_a_run_are_its_last_values_and_nothing_else_passes_for_them() {
    let fixture = fixture(1, Path::best());
    let recording = fixture.run().record(&Single).expect("small");
    let exhibits = recording.ends(&fixture.run());
    let found = |exhibits: &Exhibits| {
        let bag = bag(exhibits);
        ends(&Opened::new(recording.root(), &bag), ORIGIN)
    };
    let right = Ends {
        prompt: PROMPT.to_vec(),
        chosen: fixture.chosen.clone(),
        trace: fixture.end,
    };
    assert_eq!(found(&exhibits), Ok(right));
    for number in 0..exhibits.values.len() {
        let mut changed = exhibits.clone();
        changed.values[number][1] ^= 1;
        assert!(matches!(
            found(&changed),
            Err(RefereeError::NotShown { .. })
        ));
    }
    for number in 0..exhibits.nodes.len() {
        let mut shorter = exhibits.clone();
        shorter.nodes.remove(number);
        assert!(found(&shorter).is_err());
    }
    // The values of an earlier row are not the last.
    let earlier = Run {
        chosen: &fixture.chosen[..2],
        ..fixture.run()
    };
    let earlier = earlier.record(&Single).expect("small").ends(&earlier);
    let mut both = exhibits.clone();
    both.nodes.extend(earlier.nodes);
    both.values.extend(earlier.values);
    assert_eq!(found(&both), found(&exhibits));
    // A run that was stopped before it began.
    let stopped = Run {
        chosen: &[],
        ..fixture.run()
    };
    let recording = stopped.record(&Single).expect("small");
    let bag = bag(&recording.ends(&stopped));
    let found = ends(&Opened::new(recording.root(), &bag), ORIGIN).expect("all is there");
    assert_eq!((found.chosen.len(), found.prompt.len()), (0, PROMPT.len()));
    assert_eq!(found.trace, Trace::start(ORIGIN).finish());
}

/// Plays the game between two recordings down to a cell.
fn descend(a: &(Run<'_>, &Recording), b: &(Run<'_>, &Recording)) -> (Vec<u8>, [Hash; 2]) {
    let children = |(run, recording): &(Run<'_>, &Recording), path: &[u8]| {
        Recording::value_of(path).map_or_else(
            || recording.children(path),
            |place| run.show(&Single, recording, place).children(path),
        )
    };
    let (mut path, mut claims) = (Vec::new(), [a.1.root(), b.1.root()]);
    loop {
        let (mine, theirs) = (children(a, &path), children(b, &path));
        if mine.is_empty() && theirs.is_empty() {
            return (path, claims);
        }
        let at = |list: &[Hash], digit: usize| list.get(digit).copied().unwrap_or(EMPTY);
        let digit = (0..ARITY).find(|digit| at(&mine, *digit) != at(&theirs, *digit));
        let digit = digit.expect("the nodes differ");
        claims = [at(&mine, digit), at(&theirs, digit)];
        path.push(digit as u8);
    }
}

#[test]
fn the_game_finds_a_skipped_layer_another_file_and_another_choice() {
    let honest = fixture(1, Path::best());
    let recording = honest.run().record(&Single).expect("small");
    let mut skipped = honest.model.clone();
    skipped.layers[1].down = skipped.layers[0].down.clone();
    let mut other_file = honest.file.clone();
    let end = other_file.len() - 5000;
    other_file[end] ^= 1;
    let mut other_choice = honest.chosen.clone();
    other_choice[1] ^= 1;
    let forged = [
        Run {
            model: &skipped,
            ..honest.run()
        },
        Run {
            file: &other_file,
            ..honest.run()
        },
        Run {
            chosen: &other_choice,
            ..honest.run()
        },
    ];
    for (number, run) in forged.into_iter().enumerate() {
        let forgery = run.record(&Single).expect("small");
        let (path, claims) = descend(&(honest.run(), &recording), &(run, &forgery));
        let place = Recording::value_of(&path).expect("a cell is in a value");
        let shown = honest.run().show(&Single, &recording, place);
        let (exhibits, finding) = shown
            .exhibits(&honest.question(), &path, &claims)
            .expect("all is there");
        assert_eq!(
            finding,
            Finding::Is(claims[0]),
            "forgery {number} at {place:?}"
        );
        // Whatever the forger shows of its own run speaks against it, or is refused.
        let shown = run.show(&Single, &forgery, place);
        match shown.exhibits(&honest.question(), &path, &claims) {
            Ok((_, Finding::Is(found))) => assert_ne!(found, claims[1]),
            Ok((_, Finding::Undecided)) => panic!("forgery {number} is undecided"),
            Err(_) => {}
        }
        // Exhibits of one run open no other.
        let bag = bag(&exhibits);
        let opened = Opened::new(forgery.root(), &bag);
        let found = decide(
            &honest.question(),
            &opened,
            (&path, exhibits.head_at),
            &claims,
        );
        assert!(
            found.is_err() || found == Ok(Finding::Is(claims[0])),
            "{found:?}"
        );
    }
}

#[test]
fn changed_exhibits_show_nothing() {
    let fixture = fixture(2, Path::best());
    let (run, question) = (fixture.run(), fixture.question());
    let recording = run.record(&Single).expect("small");
    let at = recording.order().index(18, Value::Down(1));
    let shown = run.show(&Single, &recording, (Section::Rows, at));
    let path = cells(Section::Rows, at, 4).remove(2);
    let claims = [EMPTY, [1; 32]];
    let (exhibits, finding) = shown
        .exhibits(&question, &path, &claims)
        .expect("all is there");
    let found = |exhibits: &Exhibits| {
        let bag = bag(exhibits);
        let opened = Opened::new(recording.root(), &bag);
        decide(&question, &opened, (&path, exhibits.head_at), &claims)
    };
    assert_eq!(found(&exhibits), Ok(finding));
    for number in 0..exhibits.values.len() {
        let mut changed = exhibits.clone();
        changed.values[number][0] ^= 1;
        assert!(matches!(
            found(&changed),
            Err(RefereeError::NotShown { .. })
        ));
        let mut shorter = exhibits.clone();
        shorter.values.remove(number);
        assert!(found(&shorter).is_err());
    }
    for number in 0..exhibits.nodes.len() {
        let mut changed = exhibits.clone();
        changed.nodes[number][0][3] ^= 1;
        assert!(found(&changed).is_err());
    }
    let mut elsewhere = exhibits.clone();
    elsewhere.head_at = 0;
    assert!(found(&elsewhere).is_ok() || found(&elsewhere).is_err());
    for path in [&path[..3], &path[..1 + DEPTH], &[9; 9], &[]] {
        let bag = bag(&exhibits);
        let opened = Opened::new(recording.root(), &bag);
        let found = decide(&question, &opened, (path, exhibits.head_at), &claims);
        assert!(
            !matches!(found, Ok(Finding::Is(hash)) if hash != EMPTY),
            "{path:?}"
        );
    }
}

#[test]
fn what_rests_on_the_tokeniser_is_undecided() {
    let fixture = fixture(1, Path::best());
    let recording = fixture.run().record(&Single).expect("small");
    let order = recording.order();
    let found = |question: &Question<'_>, place: (Section, usize), claims: [Hash; 2]| {
        let shown = fixture.run().show(&Single, &recording, place);
        let path = cells(place.0, place.1, 1).remove(0);
        shown
            .exhibits(question, &path, &claims)
            .map(|(_, finding)| finding)
    };
    let claims = [[1; 32], [2; 32]];
    let text = Question {
        prompt: None,
        ..fixture.question()
    };
    assert_eq!(
        found(&text, (Section::Prompt, 0), claims),
        Ok(Finding::Undecided)
    );
    let masked = Question {
        parameters: None,
        ..fixture.question()
    };
    let choice = (Section::Rows, order.index(18, Value::Chosen));
    assert_eq!(found(&masked, choice, claims), Ok(Finding::Undecided));
    let longer = Question {
        tokens_max: 9,
        ..fixture.question()
    };
    let next = (Section::Rows, order.index(recording.rows(), Value::Token));
    assert_eq!(
        found(&longer, next, [EMPTY, [2; 32]]),
        Ok(Finding::Undecided)
    );
    assert_eq!(
        found(&fixture.question(), next, claims),
        Ok(Finding::Is(EMPTY)),
        "the limit is reached"
    );
    let first = (Section::Rows, order.index(0, Value::Token));
    assert_eq!(
        found(&fixture.question(), first, [EMPTY, [2; 32]]),
        Ok(Finding::Undecided),
        "it may have been stopped at once"
    );
}

#[test]
fn what_is_not_finite_decides_nothing() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = [1.0f32.to_le_bytes(), number.to_le_bytes()].concat();
        assert_eq!(floats_of(&bytes), Err(RefereeError::NotFinite));
        let made = bytes_of(&[1.0, number]);
        assert_eq!(made, Err(RefereeError::NotFinite));
    }
    assert_eq!(floats_of(&1.5f32.to_le_bytes()), Ok(vec![1.5]));
}
