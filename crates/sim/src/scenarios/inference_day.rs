//! Many questions to a language model, greedy and drawn, short and long, from two buyers at once: all are answered, each answer is
//! recomputed to the same bits by every verifier, and nobody is flagged.

use crate::{Plan, Work, World, play};
use fairweir_services::inference::chat::ChatOutput;
use fairweir_types::decode;
use futures::future::join_all;

/// Questions of each buyer.
const QUESTIONS: usize = 16;
/// Tokens that all answers have together at least: some answers end early.
const TOKENS_MIN: usize = 200;

pub(super) fn run(seed: u64) {
    let plan = Plan {
        buyers: 2,
        models: true,
        ..Plan::honest(seed)
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyers = [world.buyer(1), world.buyer(2)];
        let clock = world.context();
        let asking = (0..).zip(&buyers).flat_map(|(buyer_number, buyer)| {
            (0..QUESTIONS).map(move |number| {
                let question = super::question(seed, 2 * number + buyer_number);
                async move { buyer.buy_work(clock, &Work::chat(&question)).await }
            })
        });
        let mut tokens = 0;
        for purchase in join_all(asking).await {
            let purchase = purchase.expect("the purchase goes through");
            let (output, words) = purchase.bought.as_ref().expect("the answer is settled");
            assert!(words.signed && words.settled && words.sampled && !words.disputed);
            assert_eq!(words.recomputed_by, 2, "both verifiers agree");
            let output: ChatOutput = decode(output).expect("what was settled is an answer");
            tokens += output.tokens.len();
        }
        assert!(tokens >= TOKENS_MIN, "only {tokens} tokens were made");
        drop(buyers);
        let story = world.end().await;
        assert_eq!(story.slashes().count(), 0, "nobody is flagged");
    });
}
