use super::{
    answer::{Answer, Answered},
    batch::{Asker, Batch, PARTS_PAUSE},
    *,
};
use crate::{
    Discard, Outlet, OutletClosed, Purpose, StopAt,
    inference::{
        chat::{ChatChunk, Micro, Parameters},
        testing::tiny_chat_file,
    },
};
use fairweir_exact::{path::Path, pool::Single};
use fairweir_types::decode;
use futures::{
    FutureExt, StreamExt,
    executor::{LocalPool, block_on},
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

fn model() -> ChatModel {
    ChatModel::of_bytes(&tiny_chat_file(1), Path::best()).unwrap()
}

fn question(index: u8, purpose: Purpose, draft: &[u32]) -> Question {
    let prompt = (0..=u32::from(index) * 7).map(|id| id % 200 + 3).collect();
    Question {
        prompt,
        draft: draft.to_vec(),
        given: Vec::new(),
        parameters: Parameters {
            temperature: Micro(i32::from(index % 3) * 700_000),
            ..Parameters::greedy(u32::from(index % 5) * 20 + 10)
        },
        seed: [index; 32],
        origin: vec![index],
        purpose,
        stop: StopAt::default(),
    }
}

fn alone(engine: &ChatEngine, index: u8) -> Answered {
    block_on(engine.answer(question(index, Purpose::Answer, &[]), &mut Discard)).unwrap()
}

#[test]
fn many_answers_and_checks_at_once_are_each_as_alone() {
    let inline = ChatEngine::inline(model());
    let expected: Vec<_> = (0..12).map(|index| alone(&inline, index)).collect();
    // Room for a few at a time, so that some wait.
    for (threads, bytes) in [(1, 4 << 20), (2, 1 << 20)] {
        let engine = ChatEngine::start(model(), &EngineThreads::anywhere(threads), bytes).unwrap();
        let asked = (0..12).flat_map(|index| {
            let draft = expected[usize::from(index)].output.tokens.as_slice();
            [
                question(index, Purpose::Answer, &[]),
                question(index, Purpose::Check, draft),
            ]
        });
        let answers = asked.map(|question| {
            let engine = &engine;
            async move { engine.answer(question, &mut Discard).await.unwrap() }
        });
        for (position, answered) in block_on(join_all(answers)).into_iter().enumerate() {
            assert_eq!(answered, expected[position / 2], "question {position}");
        }
    }
}

#[test]
fn what_cannot_fit_fails_and_leaves_the_others() {
    let engine = ChatEngine::start(model(), &EngineThreads::anywhere(1), 256 << 10).unwrap();
    let mut large = question(1, Purpose::Answer, &[]);
    large.parameters.tokens_max = 4_000;
    let failed = block_on(engine.answer(large, &mut Discard));
    assert!(matches!(failed, Err(AnswerError::Failed(_))), "{failed:?}");
    assert_eq!(alone(&engine, 2), alone(&ChatEngine::inline(model()), 2));
}

#[test]
fn whoever_leaves_makes_room_and_a_dropped_engine_ends_its_thread() {
    let engine = ChatEngine::start(model(), &EngineThreads::anywhere(1), 256 << 10).unwrap();
    let mut pool = LocalPool::new();
    for index in 0..30 {
        // Asked, and left at once.
        let mut outlet = Discard;
        let answer = engine.answer(question(index % 8, Purpose::Answer, &[]), &mut outlet);
        assert!(
            answer
                .now_or_never()
                .is_none_or(|answered| answered.is_ok())
        );
    }
    let all: FuturesUnordered<_> = (0..4)
        .map(|index| {
            let engine = &engine;
            async move {
                engine
                    .answer(question(index, Purpose::Answer, &[]), &mut Discard)
                    .await
            }
        })
        .collect();
    let done: Vec<_> = pool.run_until(all.collect());
    assert!(done.into_iter().all(|answered| answered.is_ok()));
    drop(engine);
}

/// Notes that an answer ended.
struct Ends(Arc<AtomicBool>);

impl Asker for Ends {
    fn is_gone(&self) -> bool {
        false
    }

    fn tell(&mut self, _: ChatChunk) {}

    fn end(self: Box<Self>, result: Result<Answered, AnswerError>) {
        result.unwrap();
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_long_prompt_keeps_no_short_one_waiting() {
    let mut batch = Batch::new(Arc::new(model()), 256).unwrap();
    let mut ask = |prompt: u32| {
        let asked = Question {
            prompt: (0..prompt).map(|id| id % 200 + 3).collect(),
            parameters: Parameters::greedy(1),
            ..question(1, Purpose::Answer, &[])
        };
        let ended = Arc::new(AtomicBool::new(false));
        batch.add(
            Answer::new(asked).unwrap(),
            Box::new(Ends(Arc::clone(&ended))),
        );
        ended
    };
    let long = [ask(400), ask(400)];
    let short = ask(30);
    let mut steps = 0;
    let mut until = |ended: &AtomicBool| {
        while !ended.load(Ordering::Relaxed) {
            assert!(batch.step(&Single));
            steps += 1;
        }
        steps
    };
    // A third of 128 rows is more than its 30.
    assert_eq!(until(&short), 1);
    assert!(long.iter().all(|ended| !ended.load(Ordering::Relaxed)));
    // What is left is shared: 98 rows in the first step, then 128 in each.
    assert_eq!(until(&long[1]), 7);
    assert!(long[0].load(Ordering::Relaxed));
}

/// Keeps the parts of an answer.
#[derive(Default)]
struct Parts(Vec<ChatChunk>);

impl Outlet for Parts {
    fn emit(&mut self, chunk: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        self.0.push(decode(&chunk).unwrap());
        std::future::ready(Ok(())).boxed()
    }
}

#[test]
fn parts_keep_a_pause_and_add_up_to_the_answer() {
    let engine = ChatEngine::start(model(), &EngineThreads::anywhere(1), 4 << 20).unwrap();
    let mut parts = Parts::default();
    let begun = Instant::now();
    let answered = block_on(engine.answer(question(4, Purpose::Answer, &[]), &mut parts)).unwrap();
    // The first and the end come at once, the others a pause after the one before.
    let pauses = begun.elapsed().as_millis() / PARTS_PAUSE.as_millis();
    assert!(u128::try_from(parts.0.len()).unwrap() <= pauses + 2);
    let tokens: usize = parts.0.iter().map(|part| part.tokens.len()).sum();
    assert_eq!(tokens, answered.output.tokens.len());
    let text: String = parts.0.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(text, answered.output.text.as_str());
}
