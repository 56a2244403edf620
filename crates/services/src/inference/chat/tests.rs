use super::*;
use crate::{
    Discard, Env, Executed, Passage, StopAt,
    contract::{ExecuteError, Served},
    inference::testing::{TINY_CHAT, TINY_OTHER, TinyModels},
    service_laws,
    testing::{MemoryBlobs, run},
};
use commonware_codec::Encode;
use fairweir_types::{BoundedVec, Units, decode};
use futures::channel::mpsc;
use std::sync::LazyLock;

static MODELS: LazyLock<Arc<TinyModels>> = LazyLock::new(TinyModels::load);

impl Served for Chat {
    fn service() -> Arc<dyn AnyService> {
        service(Arc::clone(&*MODELS) as Arc<dyn Models>)
    }
}

fn messages(content: &str) -> Prompt {
    let messages = serde_json::json!([{ "role": "user", "content": content }]);
    Prompt::Messages(Conversation {
        messages: Passage::new(messages.to_string()).unwrap(),
        tools: Passage::default(),
    })
}

fn warm(tokens_max: u32) -> Parameters {
    Parameters {
        temperature: Micro(1_200_000),
        top_p: Micro(950_000),
        frequency_penalty: Micro(500_000),
        ..Parameters::greedy(tokens_max)
    }
}

fn spec(prompt: Prompt, parameters: Parameters) -> ChatSpec {
    ChatSpec::new(TINY_CHAT, prompt, parameters, [9; 32]).unwrap()
}

fn samples(size: usize) -> Vec<ChatSpec> {
    let text: String = "the rain on 12 roofs, für alle. "
        .chars()
        .cycle()
        .take(size)
        .collect();
    let long = Parameters {
        logprobs: Some(2),
        echo: true,
        ..warm(6)
    };
    let tokens = (0..=size).map(|index| u32::try_from(index % 200 + 3).unwrap());
    vec![
        spec(messages(&text), Parameters::greedy(5)),
        spec(
            Prompt::Text(Passage::new(format!("a{text}")).unwrap()),
            long,
        ),
        spec(Prompt::Tokens(BoundedVec::truncating(tokens)), warm(4)),
    ]
}

service_laws!(
    Chat,
    samples,
    "ece7bdd1814c421b8b1297d75d3d5d4e14ee7d6dbb35c565869ab5e15511626b"
);

fn try_run(spec: &ChatSpec, stop: &StopAt, hint: Option<&[u8]>) -> Result<Executed, ExecuteError> {
    let blobs = MemoryBlobs::default();
    let limits = Chat::demand(spec).map_err(ExecuteError::Refused)?;
    let env = match hint {
        None => Env::answering(&blobs, &limits, stop),
        Some(hint) => Env::checking(&blobs, &limits, stop, hint),
    };
    run(Chat::service().execute(&env, &spec.encode(), &mut Discard))
}

fn output(executed: &Executed) -> ChatOutput {
    decode(&executed.output).unwrap()
}

#[test]
fn a_check_finds_the_same_with_any_hint() {
    let never = StopAt::default();
    for parameters in [Parameters::greedy(40), warm(40)] {
        let spec = spec(messages("Tell me"), parameters);
        let answer = try_run(&spec, &never, None).unwrap();
        let ids = |executed: &Executed| output(executed).tokens.into_vec();
        assert!(ids(&answer).len() > 8, "{:?}", output(&answer));
        let mut wrong = answer.hint.clone();
        wrong[8] ^= 1;
        let mut longer = answer.hint.clone();
        longer.extend([7, 0, 0, 0].repeat(30));
        let out_of_range = [0xff; 40].to_vec();
        let hints = [
            answer.hint.clone(),
            Vec::new(),
            answer.hint[..12].to_vec(),
            answer.hint[..13].to_vec(),
            wrong,
            longer,
            out_of_range,
        ];
        for hint in hints {
            let check = try_run(&spec, &never, Some(&hint)).unwrap();
            assert_eq!(check, answer, "hint of {} bytes", hint.len());
        }
    }
}

#[test]
fn a_draft_changes_what_is_input_and_never_the_answer() {
    let spec = spec(messages("Tell me"), warm(40));
    let never = StopAt::default();
    let whole = try_run(&spec, &never, None).unwrap();
    let (tokens, prompt) = (output(&whole).tokens.into_vec(), whole.units.input.get());
    assert!(tokens.len() > 8);
    let mut wrong = tokens[..8].to_vec();
    wrong[5] ^= 1;
    let mut longer = tokens.clone();
    longer.truncate(30);
    longer.extend([7; 10]);
    for draft in [tokens[..8].to_vec(), wrong, longer, vec![u32::MAX; 3]] {
        let both = draft.iter().zip(&tokens);
        let again = both.take_while(|(had, came)| had == came).count() as u64;
        let drafted = spec
            .clone()
            .with_draft(BoundedVec::new(draft.clone()).unwrap());
        let answer = try_run(&drafted, &never, None).unwrap();
        assert_eq!(output(&answer).tokens.as_slice(), tokens);
        assert_eq!(output(&answer).text, output(&whole).text);
        assert_eq!(answer.units.input.get(), prompt + again);
        assert_eq!(answer.units.output.get(), tokens.len() as u64 - again);
        for hint in [&answer.hint[..], &answer.hint[..12], &[0xff; 16]] {
            assert_eq!(try_run(&drafted, &never, Some(hint)).unwrap(), answer);
        }
        // A stop counts what the buyer did not have.
        for at in [0, 1, 3] {
            let stop = StopAt::at(Units(at));
            let check = try_run(&drafted, &stop, Some(&answer.hint)).unwrap();
            if again + at < tokens.len() as u64 {
                assert_eq!(check.units.output, Units(at), "draft of {}", draft.len());
                assert_eq!(check.stopped_at, Some(Units(at)));
                assert_eq!(check.units.input.get(), prompt + again);
                let plain = try_run(&drafted, &stop, Some(&[])).unwrap();
                assert_eq!(plain, check);
                // A worker stops where it is.
                let worker = try_run(&drafted, &stop, None).unwrap();
                let there = StopAt::at(worker.stopped_at.unwrap());
                let check = try_run(&drafted, &there, Some(&worker.hint)).unwrap();
                assert_eq!(worker, check);
            }
        }
    }
    let too_long = spec.with_draft(BoundedVec::new(vec![1; 41]).unwrap());
    assert!(try_run(&too_long, &never, None).is_err());
}

#[test]
fn a_buyer_pays_for_what_it_wanted_and_a_check_stops_there_too() {
    let spec = spec(messages("Tell me"), warm(40));
    let whole = output(&try_run(&spec, &StopAt::default(), None).unwrap());
    let made = u64::try_from(whole.tokens.len()).unwrap();
    assert!(made > 8);
    for at in [0, 1, 7, made - 1] {
        let check = try_run(&spec, &StopAt::at(Units(at)), Some(&[])).unwrap();
        let stopped = output(&check);
        assert_eq!(
            (check.stopped_at, check.units.output),
            (Some(Units(at)), Units(at))
        );
        assert_eq!(stopped.finish, Finish::Stopped);
        let at = usize::try_from(at).unwrap();
        assert_eq!(stopped.tokens.as_slice(), &whole.tokens.as_slice()[..at]);
        let hinted = try_run(&spec, &StopAt::at(Units(at as u64)), Some(&check.hint)).unwrap();
        assert_eq!(hinted, check);
    }
    let late = try_run(&spec, &StopAt::at(Units(made + 1)), Some(&[])).unwrap();
    assert_eq!((output(&late), late.stopped_at), (whole, None));
}

#[test]
fn an_answer_stopped_within_its_prompt_tells_nothing_of_the_prompt() {
    let parameters = Parameters {
        logprobs: Some(1),
        echo: true,
        ..warm(10)
    };
    let spec = spec(messages(&"long ".repeat(100)), parameters);
    let stop = StopAt::at(Units(0));
    let answer = try_run(&spec, &stop, None).unwrap();
    assert_eq!(answer.stopped_at, Some(Units(0)));
    assert_eq!(try_run(&spec, &stop, Some(&[])).unwrap(), answer);
}

#[test]
fn the_text_of_the_chunks_is_the_text_of_the_answer() {
    let mut parameters = warm(60);
    parameters.stop = BoundedVec::truncating([Passage::new("q".to_owned()).unwrap()]);
    let spec = spec(messages("für"), parameters);
    let blobs = MemoryBlobs::default();
    let limits = Chat::demand(&spec).unwrap();
    let stop = StopAt::default();
    let env = Env::answering(&blobs, &limits, &stop);
    let (mut sender, receiver) = mpsc::channel(1_000);
    let executed = run(Chat::service().execute(&env, &spec.encode(), &mut sender)).unwrap();
    drop(sender);
    let chunks: Vec<ChatChunk> = run(futures::StreamExt::collect::<Vec<_>>(receiver))
        .iter()
        .map(|chunk| decode(chunk).unwrap())
        .collect();
    let text: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    let tokens: usize = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
    let output = output(&executed);
    assert_eq!(text, output.text.as_str());
    assert!(!text.contains('q'));
    assert_eq!(tokens, output.tokens.len());
}

#[test]
fn an_answer_in_json_mode_is_a_json_object_or_cut_short() {
    for seed in 0..6 {
        let parameters = Parameters {
            format: Format::JsonObject,
            ..warm(120)
        };
        let spec = ChatSpec::new(TINY_CHAT, messages("JSON"), parameters, [seed; 32]).unwrap();
        let output = output(&try_run(&spec, &StopAt::default(), None).unwrap());
        let parsed = serde_json::from_str::<serde_json::Value>(output.text.as_str());
        assert_eq!(
            output.finish == Finish::Stop,
            parsed.is_ok(),
            "{:?}",
            output.text.as_str()
        );
    }
}

#[test]
fn seeds_models_and_parameters_matter_and_nothing_else_does() {
    let answer = |model, seed, parameters: Parameters| {
        let spec = ChatSpec::new(model, messages("Hi"), parameters, [seed; 32]).unwrap();
        output(&try_run(&spec, &StopAt::default(), None).unwrap())
    };
    let first = answer(TINY_CHAT, 1, warm(20));
    assert_eq!(first, answer(TINY_CHAT, 1, warm(20)));
    for other in [
        answer(TINY_CHAT, 2, warm(20)),
        answer(TINY_OTHER, 1, warm(20)),
        answer(TINY_CHAT, 1, Parameters::greedy(20)),
    ] {
        assert_ne!(first.computation, other.computation);
    }
}

#[test]
fn what_no_machine_can_do_is_refused() {
    let bad_messages = |text: &str| {
        Prompt::Messages(Conversation {
            messages: Passage::new(text.to_owned()).unwrap(),
            tools: Passage::default(),
        })
    };
    let greedy = || Parameters::greedy(5);
    let table = [
        spec(bad_messages("[]"), greedy()),
        spec(bad_messages("{}"), greedy()),
        spec(bad_messages("[{\"content\":\"x\"}]"), greedy()),
        spec(bad_messages("not JSON"), greedy()),
        spec(Prompt::Tokens(BoundedVec::default()), greedy()),
        spec(Prompt::Tokens(BoundedVec::truncating([9_999])), greedy()),
        spec(messages(&"long ".repeat(2_000)), greedy()),
        spec(messages("x"), Parameters::greedy(0)),
        spec(
            messages("x"),
            Parameters {
                temperature: Micro(2_100_000),
                ..greedy()
            },
        ),
        spec(
            messages("x"),
            Parameters {
                top_p: Micro(-1),
                ..greedy()
            },
        ),
        spec(
            messages("x"),
            Parameters {
                logprobs: Some(21),
                ..greedy()
            },
        ),
        spec(
            messages("x"),
            Parameters {
                stop: BoundedVec::truncating([Passage::default()]),
                ..greedy()
            },
        ),
    ];
    for spec in table {
        let error = try_run(&spec, &StopAt::default(), None).unwrap_err();
        assert!(error.is_refusal(), "{spec:?}: {error}");
    }
    let unknown = ChatSpec::new(ModelId::default(), messages("x"), greedy(), [0; 32]).unwrap();
    let error = try_run(&unknown, &StopAt::default(), None).unwrap_err();
    assert!(
        !error.is_refusal() && error.is_retryable(),
        "another machine may have the model"
    );
}
