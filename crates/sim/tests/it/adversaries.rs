//! Each row of the adversary table, with two seeds: the same seed gives the same root, and nobody honest loses anything.

use fairweir_sim::adversaries::{ALL, Row};

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
