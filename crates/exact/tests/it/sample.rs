//! The sampler: tables for each parameter, and properties.

use fairweir_exact::sample::{
    Parameters, Sampler, log_probabilities, log_probability, top_log_probabilities,
};
use proptest::prelude::*;

fn greedy() -> Parameters {
    Parameters::default()
}

fn warm() -> Parameters {
    Parameters {
        temperature: 1.0,
        ..greedy()
    }
}

fn choose(parameters: Parameters, logits: &[f32], generated: &[u32]) -> Option<u32> {
    let mut sampler = Sampler::new(parameters, [7; 32]).expect("in range");
    sampler
        .choose(0, logits, generated, None)
        .map(|choice| choice.token)
}

/// The tokens that come up in many draws.
fn drawn(parameters: &Parameters, logits: &[f32]) -> Vec<u32> {
    let mut sampler = Sampler::new(parameters.clone(), [1; 32]).expect("in range");
    let mut tokens: Vec<u32> = (0..500)
        .filter_map(|index| sampler.choose(index, logits, &[], None))
        .map(|choice| choice.token)
        .collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[test]
fn greedy_takes_the_first_of_the_largest() {
    for (logits, token) in [
        (&[1.0, 3.0, 3.0, 2.0][..], Some(1)),
        (&[-0.0, 0.0], Some(0)),
        (&[f32::NAN, -5.0, f32::INFINITY], Some(1)),
        (&[f32::NAN, f32::NEG_INFINITY], None),
        (&[], None),
    ] {
        assert_eq!(choose(greedy(), logits, &[]), token, "{logits:?}");
        let one = Parameters { top_k: 1, ..warm() };
        assert_eq!(choose(one, logits, &[]), token, "{logits:?}");
    }
}

#[test]
fn penalties_count_what_is_there() {
    let with = |repetition_penalty, frequency_penalty, presence_penalty| Parameters {
        repetition_penalty,
        frequency_penalty,
        presence_penalty,
        ..greedy()
    };
    for (parameters, logits, generated, token) in [
        (with(1.0, 0.0, 0.6), [2.0, 1.5, 1.0], &[0][..], 1),
        (with(1.0, 0.0, 0.4), [2.0, 1.5, 1.0], &[0, 0, 0], 0),
        (with(1.0, 0.2, 0.0), [2.0, 1.5, 1.0], &[0, 1, 0, 0], 0),
        (with(1.0, 0.3, 0.0), [2.0, 1.5, 1.0], &[0, 1, 0, 0], 1),
        (with(2.0, 0.0, 0.0), [2.0, 1.5, -1.0], &[0], 1),
        (with(2.0, 0.0, 0.0), [-2.0, -1.5, -1.0], &[2], 1),
        (with(1.0, 0.0, -1.0), [2.0, 1.5, 1.0], &[1], 1),
        (with(1.0, 2.0, 2.0), [2.0, 1.5, 1.0], &[77], 0),
    ] {
        assert_eq!(
            choose(parameters.clone(), &logits, generated),
            Some(token),
            "{parameters:?}"
        );
    }
}

#[test]
fn biases_add_up_and_masks_hold() {
    let logit_bias = vec![(2, 1.0), (2, 1.5), (99, 3.0)];
    let parameters = Parameters {
        logit_bias,
        ..greedy()
    };
    assert_eq!(choose(parameters.clone(), &[2.0, 1.0, 0.0], &[]), Some(2));
    let mut sampler = Sampler::new(parameters, [0; 32]).expect("in range");
    let mut masked = |allows: &dyn Fn(u32) -> bool| {
        let choice = sampler.choose(0, &[2.0, 1.0, 0.0], &[], Some(allows));
        choice.map(|choice| choice.token)
    };
    assert_eq!(masked(&|token| token == 1), Some(1));
    assert_eq!(masked(&|_| false), None);
}

#[test]
fn narrowing_keeps_the_best() {
    // Probabilities 0.5, 0.25, 0.125, 0.125.
    let logits = [0f32, 2f32.ln(), 4f32.ln(), 0f32];
    for (parameters, tokens) in [
        (warm(), &[0, 1, 2, 3][..]),
        (Parameters { top_k: 2, ..warm() }, &[1, 2]),
        (Parameters { top_k: 3, ..warm() }, &[0, 1, 2]),
        (
            Parameters {
                top_p: 0.0,
                ..warm()
            },
            &[2],
        ),
        (
            Parameters {
                top_p: 0.45,
                ..warm()
            },
            &[2],
        ),
        (
            Parameters {
                top_p: 0.7,
                ..warm()
            },
            &[1, 2],
        ),
        (
            Parameters {
                top_p: 0.8,
                ..warm()
            },
            &[0, 1, 2],
        ),
        (
            Parameters {
                min_p: 0.3,
                ..warm()
            },
            &[1, 2],
        ),
        (
            Parameters {
                min_p: 1.0,
                ..warm()
            },
            &[2],
        ),
        (
            Parameters {
                top_k: 3,
                top_p: 0.8,
                ..warm()
            },
            &[1, 2],
        ),
    ] {
        assert_eq!(drawn(&parameters, &logits), tokens, "{parameters:?}");
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0f32, 3f32.ln()];
    let mut sampler = Sampler::new(warm(), [3; 32]).expect("in range");
    let count = (0..10_000)
        .filter(|index| {
            sampler
                .choose(*index, &logits, &[], None)
                .is_some_and(|choice| choice.token == 1)
        })
        .count();
    assert!(
        (7350..7650).contains(&count),
        "{count} of 10000, where three quarters are expected"
    );
}

#[test]
fn choices_are_golden() {
    let logits: Vec<f32> = (0..1000)
        .map(|token| ((token * 37) % 101) as f32 / 20.0)
        .collect();
    let parameters = Parameters {
        temperature: 0.8,
        top_p: 0.9,
        top_k: 300,
        ..greedy()
    };
    let mut sampler = Sampler::new(parameters, [5; 32]).expect("in range");
    let tokens: Vec<u32> = (0..8)
        .filter_map(|index| sampler.choose(index, &logits, &[], None))
        .map(|choice| choice.token)
        .collect();
    assert_eq!(tokens, [745, 903, 671, 472, 297, 554, 491, 439]);
}

#[test]
fn parameters_out_of_range_are_refused() {
    for (name, parameters) in [
        (
            "temperature",
            Parameters {
                temperature: -0.1,
                ..warm()
            },
        ),
        (
            "temperature",
            Parameters {
                temperature: f32::NAN,
                ..warm()
            },
        ),
        (
            "temperature",
            Parameters {
                temperature: f32::INFINITY,
                ..warm()
            },
        ),
        (
            "top_p",
            Parameters {
                top_p: 1.1,
                ..warm()
            },
        ),
        (
            "min_p",
            Parameters {
                min_p: -1.0,
                ..warm()
            },
        ),
        (
            "repetition_penalty",
            Parameters {
                repetition_penalty: 0.0,
                ..warm()
            },
        ),
        (
            "frequency_penalty",
            Parameters {
                frequency_penalty: 2.1,
                ..warm()
            },
        ),
        (
            "presence_penalty",
            Parameters {
                presence_penalty: -2.1,
                ..warm()
            },
        ),
        (
            "logit_bias",
            Parameters {
                logit_bias: vec![(0, f32::NAN)],
                ..warm()
            },
        ),
        (
            "logit_bias",
            Parameters {
                logit_bias: vec![(0, 100.5)],
                ..warm()
            },
        ),
        (
            "number of biases",
            Parameters {
                logit_bias: vec![(0, 1.0); 1025],
                ..warm()
            },
        ),
    ] {
        let error = Sampler::new(parameters, [0; 32]).expect_err("out of range");
        assert_eq!(error.name, name);
    }
}

#[test]
fn top_log_probabilities_are_in_order() {
    let logits = [1.0, 2.0, 2.0, -3.0];
    let all = log_probabilities(&logits);
    let top = top_log_probabilities(&logits, 3);
    assert_eq!(top, [(1, all[1]), (2, all[2]), (0, all[0])]);
    assert_eq!(top_log_probabilities(&logits, 9).len(), 4);
    assert_eq!(log_probability(&logits, 3), Some(all[3]));
    assert_eq!(log_probability(&logits, 4), None);
}

proptest! {
    #[test]
    fn log_probabilities_are_those_of_doubles(logits in proptest::collection::vec(-30f32..30.0, 1..200)) {
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        for (found, logit) in log_probabilities(&logits).iter().zip(&logits) {
            let exact = f64::from(*logit) - sum.ln();
            prop_assert!((f64::from(*found) - exact).abs() < 2e-5, "{found} {exact}");
        }
    }

    #[test]
    fn a_choice_depends_on_its_arguments_alone(
        logits in proptest::collection::vec(-9f32..9.0, 1..200),
        seed: [u8; 32],
        index: u32,
        temperature in 0f32..2.0,
        top_p in 0f32..=1.0,
        top_k in 0u32..50,
    ) {
        let parameters = Parameters { temperature, top_p, top_k, ..greedy() };
        let mut first = Sampler::new(parameters.clone(), seed).expect("in range");
        let mut second = Sampler::new(parameters, seed).expect("in range");
        let expected = first.choose(index, &logits, &[], None);
        prop_assert!(expected.is_some_and(|choice| (choice.token as usize) < logits.len()));
        // Whatever was chosen before.
        second.choose(index.wrapping_add(1), &logits[..1], &[0], None);
        prop_assert_eq!(second.choose(index, &logits, &[], None), expected);
    }
}
