use super::*;
use crate::{
    Discard, Env, Executed, StopAt,
    contract::ExecuteError,
    service_laws,
    testing::{MemoryBlobs, run},
};
use commonware_codec::Encode;
use fairweir_types::{decode, order::Demand};
use proptest::prelude::*;

fn samples(size: usize) -> Vec<TextSpec> {
    let text: String = "Ünïcode e\u{301} a@b.de.\r\n\r\n\r\nLine two: 4111111111111111 👩‍👩‍👧‍👦!  \n"
        .chars()
        .cycle()
        .take(size)
        .collect();
    let operations = [
        (Normalise::Nothing, Deduplicate::Nothing, Redact::Nothing),
        (Normalise::Nfc, Deduplicate::Lines, Redact::Nothing),
        (
            Normalise::Nfkc,
            Deduplicate::ParagraphsAndLines,
            Redact::PersonalData,
        ),
        (
            Normalise::Nothing,
            Deduplicate::Paragraphs,
            Redact::PersonalData,
        ),
    ];
    operations
        .into_iter()
        .map(|(normalise, deduplicate, redact)| {
            let operations = Operations {
                normalise,
                deduplicate,
                redact,
            };
            TextSpec::new(text.clone(), operations).unwrap()
        })
        .collect()
}

service_laws!(
    Text,
    samples,
    "a59ec52b8e7f78058968e643737441081fb94b54276b21435e6635414747e82d"
);

fn try_process(spec: &TextSpec) -> Result<TextOutput, ExecuteError> {
    let blobs = MemoryBlobs::default();
    let limits = Demand::default();
    let stop = StopAt::default();
    let env = Env::answering(&blobs, &limits, &stop);
    let Executed { output, .. } = run(Text::service().execute(&env, &spec.encode(), &mut Discard))?;
    Ok(decode(&output).unwrap())
}

fn process(text: &str, operations: Operations) -> TextOutput {
    try_process(&TextSpec::new(text.to_owned(), operations).unwrap()).unwrap()
}

fn normal(normalise: Normalise) -> Operations {
    Operations {
        normalise,
        ..Operations::default()
    }
}

fn unique(deduplicate: Deduplicate) -> Operations {
    Operations {
        deduplicate,
        ..Operations::default()
    }
}

#[test]
fn a_text_is_counted_as_unicode_says() {
    // text, code points, graphemes, words, sentences, lines
    let table = [
        ("", 0, 0, 0, 0, 0),
        ("a", 1, 1, 1, 1, 1),
        ("Hello there. How are you?", 25, 25, 5, 2, 1),
        ("e\u{301}", 2, 1, 1, 1, 1),
        ("Z\u{351}\u{36b}\u{343}algo", 8, 5, 1, 1, 1),
        ("👩‍👩‍👧‍👦", 7, 1, 0, 0, 1),
        ("🇩🇪🇫🇷", 4, 2, 0, 0, 1),
        ("שלום עולם", 9, 9, 2, 1, 1),
        ("مرحبا\u{202e}abc", 9, 9, 1, 1, 1),
        ("a\u{200b}b", 3, 3, 2, 1, 1),
        ("can't 3.14", 10, 10, 2, 1, 1),
        ("one\r\ntwo\rthree\nfour", 19, 18, 4, 4, 4),
        ("one\n", 4, 4, 1, 1, 1),
        ("\n\n", 2, 2, 0, 0, 2),
        ("日本語", 3, 3, 3, 1, 1),
        ("한국어", 3, 3, 1, 1, 1),
        ("नमस्ते", 6, 3, 1, 1, 1),
    ];
    for (text, code_points, graphemes, words, sentences, lines) in table {
        let output = process(text, Operations::default());
        let found = output.statistics();
        assert_eq!(output.text(), text);
        assert_eq!(
            (
                found.scalar_values,
                found.graphemes,
                found.words,
                found.sentences,
                found.lines
            ),
            (code_points, graphemes, words, sentences, lines),
            "{text:?}"
        );
        assert_eq!(found.bytes, text.len() as u64);
    }
}

#[test]
fn scripts_and_words_are_ranked() {
    let output = process("B b c C a straße ДА да", Operations::default());
    let scripts: Vec<_> = output
        .statistics()
        .scripts
        .iter()
        .map(|entry| (entry.script.as_str().to_owned(), entry.count))
        .collect();
    assert_eq!(
        scripts,
        [
            ("Latin".to_owned(), 11),
            ("Common".to_owned(), 7),
            ("Cyrillic".to_owned(), 4)
        ]
    );
    let words: Vec<_> = output
        .statistics()
        .frequent_words
        .iter()
        .map(|entry| (entry.word.as_str().to_owned(), entry.count))
        .collect();
    let expected = [("b", 2), ("c", 2), ("да", 2), ("a", 1), ("straße", 1)];
    assert_eq!(
        words,
        expected.map(|(word, count)| (word.to_owned(), count))
    );
}

#[test]
fn at_most_twenty_words_are_named_and_long_ones_not_at_all() {
    let text: String = (0..40).map(|number| format!("word{number} ")).collect();
    let output = process(&format!("{text}{}", "x".repeat(65)), Operations::default());
    assert_eq!(output.statistics().words, 41);
    assert_eq!(output.statistics().frequent_words.len(), 20);
    assert!(
        output
            .statistics()
            .frequent_words
            .iter()
            .all(|entry| entry.word.as_str().starts_with("word"))
    );
}

#[test]
fn texts_are_normalised() {
    let table = [
        (Normalise::Nfc, "e\u{301}\r\nx \t\r\n", "é\nx\n"),
        (Normalise::Nfc, "a\r\n\r\n\r\n\rb", "a\n\nb"),
        (Normalise::Nfc, "a\n \n\t\n\u{2003}\nb\n\n\n", "a\n\nb\n\n"),
        (Normalise::Nfc, "ﬁ ①", "ﬁ ①"),
        (Normalise::Nfkc, "ﬁ ① Ｆｕｌｌ", "fi 1 Full"),
        (Normalise::Nfkc, "a\u{a0}\n", "a\n"),
        (
            Normalise::Nothing,
            "e\u{301}\r\n \r\n\r\n",
            "e\u{301}\r\n \r\n\r\n",
        ),
        (Normalise::Nfc, "", ""),
        (Normalise::Nfc, "\n\n\n", "\n"),
        (
            Normalise::Nfc,
            "\u{200b}\u{feff}a\u{200d}",
            "\u{200b}\u{feff}a\u{200d}",
        ),
    ];
    for (form, text, expected) in table {
        assert_eq!(process(text, normal(form)).text(), expected, "{text:?}");
    }
}

#[test]
fn duplicates_are_removed_and_counted() {
    let table = [
        (Deduplicate::Lines, "a\nb\na\nb\nc", "a\nb\nc", (0, 2)),
        (Deduplicate::Lines, "a\n\n\na\n", "a\n\n\n", (0, 1)),
        (Deduplicate::Lines, "a\na", "a\n", (0, 1)),
        (
            Deduplicate::Paragraphs,
            "p\nq\n\nr\n\np\nq\n\ns",
            "p\nq\n\nr\n\ns",
            (1, 0),
        ),
        (Deduplicate::Paragraphs, "p\np\n\np", "p\np\n\np", (0, 0)),
        (Deduplicate::Paragraphs, "\n\np\n\np", "\n\np\n\n", (1, 0)),
        (
            Deduplicate::ParagraphsAndLines,
            "p\nq\n\np\nq\n\nq\n",
            "p\nq\n\n",
            (1, 1),
        ),
        (Deduplicate::Nothing, "a\na", "a\na", (0, 0)),
    ];
    for (what, text, expected, (paragraphs, lines)) in table {
        let output = process(text, unique(what));
        assert_eq!(output.text(), expected, "{text:?}");
        assert_eq!(output.removed(), Removed { paragraphs, lines }, "{text:?}");
    }
}

#[test]
fn the_report_names_every_figure_and_hides_direction_marks_in_words() {
    let operations = Operations {
        normalise: Normalise::Nfc,
        deduplicate: Deduplicate::Lines,
        redact: Redact::PersonalData,
    };
    let report = process("Write to a@b.de.\nDone.\nDone.\n", operations).to_string();
    let expected = "\
bytes        24
code points  24
characters   24
words        4
sentences    2
lines        2
scripts      Latin 16, Common 8
top words    done 1, email 1, to 1, write 1
removed      0 duplicate paragraphs, 1 duplicate lines
redacted     1 email, 0 phone, 0 IBAN, 0 card, 0 IPv4, 0 IPv6
";
    assert!(report.starts_with(expected), "{report}");
    assert!(
        report.ends_with("\n\nWrite to [EMAIL].\nDone.\n"),
        "{report}"
    );
    let hidden = process("a\u{202e}b", Operations::default()).to_string();
    assert!(hidden.contains("a\u{fffd}b 1"), "{hidden}");
}

#[test]
fn the_digest_is_the_plain_one_of_the_text_returned() {
    // printf abc | sha256sum
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let output = process("abc", Operations::default());
    assert_eq!(output.sha256().to_string(), abc);
}

#[test]
fn another_version_is_refused() {
    let spec = TextSpec::new("a".to_owned(), Operations::default())
        .unwrap()
        .for_version(VERSION + 1);
    assert!(matches!(
        Text::service().demand(&spec.encode()),
        Err(SpecError::Version { ours: 1, found: 2 })
    ));
}

#[test]
fn a_text_over_the_limit_is_no_spec() {
    let text = "a".repeat(TEXT_BYTES_MAX);
    assert!(TextSpec::new(text.clone(), Operations::default()).is_ok());
    assert!(TextSpec::new(text + "a", Operations::default()).is_err());
}

#[test]
fn a_text_whose_normal_form_is_too_long_is_refused() {
    // One code point of three bytes that becomes thirty-three (U+FDFA).
    let spec = TextSpec::new(
        "\u{fdfa}".repeat(TEXT_BYTES_MAX / 3),
        normal(Normalise::Nfkc),
    )
    .unwrap();
    let error = try_process(&spec).unwrap_err();
    assert!(matches!(error, ExecuteError::OutputTooLarge { .. }));
    assert!(error.is_refusal());
}

#[test]
fn hostile_texts_take_no_longer_than_their_size() {
    // Each would take minutes if a step were quadratic in it.
    let seeds = [
        "a.        ",
        "a.((((((",
        ". ",
        "\u{301}",
        "👩‍",
        "🇩",
        "a@",
        "1 ",
        "::",
        "+1-",
        "\n",
        "a'",
        "\"א",
    ];
    let everything = Operations {
        normalise: Normalise::Nfc,
        deduplicate: Deduplicate::ParagraphsAndLines,
        redact: Redact::PersonalData,
    };
    for seed in seeds {
        let size = 64 * 1_024;
        let once = format!(
            "a.{}",
            &seed.chars().last().unwrap().to_string().repeat(size)
        );
        process(&once, everything);
        process(&seed.repeat(size / seed.len()), everything);
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<char>().prop_map(String::from),
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("  ".to_owned()),
        Just("e\u{301}".to_owned()),
        Just("\u{344}\u{323}".to_owned()),
        Just("same line\n".to_owned()),
        Just("ab@cd.ef".to_owned()),
        Just("DE89370400440532013000".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("+49 30 123456".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("192.0.2.1".to_owned()),
        "[-a1.:+@_ ]{1,3}",
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(text in hostile_text(), form in prop_oneof![Just(Normalise::Nfc), Just(Normalise::Nfkc)]) {
        let once = process(&text, normal(form));
        let twice = process(once.text(), normal(form));
        prop_assert_eq!(once.text(), twice.text());
    }

    #[test]
    fn what_stays_keeps_its_order(text in hostile_text()) {
        let output = process(&text, unique(Deduplicate::Lines));
        let mut rest = text.split_inclusive('\n');
        for line in output.text().split_inclusive('\n') {
            prop_assert!(rest.any(|other| other == line));
        }
        let again = process(output.text(), unique(Deduplicate::Lines));
        prop_assert_eq!(again.removed(), Removed::default());
    }

    #[test]
    fn after_redaction_nothing_is_left_to_redact(text in hostile_text()) {
        let operations = Operations { redact: Redact::PersonalData, ..Operations::default() };
        let output = process(&text, operations);
        let again = process(output.text(), operations);
        prop_assert_eq!(again.redacted(), Redacted::default());
        prop_assert_eq!(again.text(), output.text());
        prop_assert!(output.text().len() <= text.len() + text.len() / 2);
    }

    #[test]
    fn any_spec_bytes_are_refused_or_run(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let blobs = MemoryBlobs::default();
        let limits = Demand::default();
        let stop = StopAt::default();
        let env = Env::answering(&blobs, &limits, &stop);
        let executed = run(Text::service().execute(&env, &bytes, &mut Discard));
        prop_assert_eq!(executed.is_ok(), Text::service().demand(&bytes).is_ok());
    }
}
