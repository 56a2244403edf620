//! Each row of the adversary table, with two seeds: the same seed gives the same root, and nobody honest loses anything.

use fairweir_sim::adversaries::{ALL, Row, named};

fn tell(rows: &[Row]) {
    for row in rows {
        let (first, again) = ((row.tell)(1, true), (row.tell)(1, true));
        assert_eq!(first, again, "{}: same seed, same root", row.name);
        let other = (row.tell)(2, true);
        let twin = (row.tell)(2, false);
        assert_eq!(
            [first.taken, other.taken, twin.taken],
            [0; 3],
            "{}",
            row.name
        );
        assert!(!twin.was_slashed, "{}: its twin is honest", row.name);
    }
}

/// One of four parts, so that they run at the same time.
fn part(number: usize) {
    let size = ALL.len().div_ceil(4);
    tell(ALL.chunks(size).nth(number).expect("there are four parts"));
}

#[test]
fn the_first_adversaries_take_nothing_from_the_honest() {
    part(0);
}

#[test]
fn the_second_adversaries_take_nothing_from_the_honest() {
    part(1);
}

#[test]
fn the_third_adversaries_take_nothing_from_the_honest() {
    part(2);
}

#[test]
fn the_last_adversaries_take_nothing_from_the_honest() {
    part(3);
}

#[test]
fn there_are_enough_of_them_and_each_has_its_name() {
    let mut names: Vec<_> = ALL.iter().map(|row| row.name).collect();
    assert!(names.len() >= 18);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}

/// Whatever sample is drawn finds a number that comes twice: who was drawn lost its stake, and the loss by formula is no gain.
#[test]
fn a_request_that_is_claimed_twice_is_found_by_any_sample() {
    let row = named("repeated-leaf").expect("it is in the table");
    let told: Vec<_> = (1..=16).map(|seed| (row.tell)(seed, true)).collect();
    assert!(told.iter().all(|outcome| outcome.expected > 0.0));
    let found = told.iter().filter(|outcome| outcome.was_slashed).count();
    // Sixteen batches of which about a quarter is sampled: none found has a probability of 0.8 %, and the seeds are fixed.
    assert!(found > 0, "no sample found it");
    let loss: i64 = told.iter().map(|outcome| -outcome.outcome).sum();
    assert!(loss > 0, "it gained {} base units", -loss);
}

/// Where a fault is planted and the listener is drawn for it, it loses its share of its stake, and who computed loses nothing.
#[test]
fn who_takes_a_workers_word_is_found_by_what_is_planted() {
    let row = named("listening-verifier").expect("it is in the table");
    // One story in five has a planted order, and for a quarter of these the listener is drawn: this one of them.
    let told = (row.tell)(34, true);
    assert!(told.was_slashed, "it was not found");
    // Five per cent of a stake of 200 coins, less what it earned by checks of some thousandths of a coin.
    assert!((-10_000_000_000..-9_000_000_000).contains(&told.outcome));
    assert_eq!(told.taken, 0);
    let honest = (row.tell)(34, false);
    assert!(!honest.was_slashed && honest.outcome > 0);
}
