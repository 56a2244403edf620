#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]
use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn coins(text: &str) -> Amount {
    text.parse().unwrap()
}

#[test]
fn a_key_is_hashed_at_rest_and_survives_being_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = ApiKeys::open(&path).unwrap();
    let limits = KeyLimits {
        spend_max: Some(coins("1.5")),
        requests_per_minute: Some(3),
        concurrent_max: 2,
    };
    let (made, secret) = keys.create("first", limits).unwrap();
    assert!(secret.starts_with("fw-") && secret.len() == 3 + 43);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&secret));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = ApiKeys::open(&path).unwrap();
    assert_eq!(again.list(), vec![made]);
    assert!(again.admit(&secret).is_ok());
    assert_eq!(again.admit("fw-no").unwrap_err(), Denial::Unknown);
}

#[test]
fn money_is_counted_in_both_directions_and_saved_with_changes_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = ApiKeys::open(&path).unwrap();
    let limits = KeyLimits {
        spend_max: Some(coins("1")),
        ..KeyLimits::default()
    };
    let (key, _) = keys.create("first", limits).unwrap();
    assert!(keys.reserve(&key.id, coins("0.6")));
    assert!(!keys.reserve(&key.id, coins("0.6")));
    keys.correct(&key.id, coins("0.6"), coins("0.25"));
    let other = ApiKeys::open(&path).unwrap();
    other.create("second", KeyLimits::default()).unwrap();
    keys.save().unwrap();
    let read = ApiKeys::open(&path).unwrap().list();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].spent, coins("0.25"));
    other.revoke("second").unwrap();
    assert!(matches!(
        other.revoke("second"),
        Err(KeysError::NoSuchKey(_))
    ));
}

#[test]
fn the_bucket_fills_with_time() {
    let mut used = Use::default();
    let begin = Instant::now();
    let after = |seconds| begin + Duration::from_secs(seconds);
    assert_eq!(used.take(2, begin).unwrap().remaining, 1);
    assert_eq!(used.take(2, begin).unwrap().remaining, 0);
    let wait = Duration::from_secs(30);
    assert_eq!(used.take(2, begin), Err(Denial::Rate { limit: 2, wait }));
    assert!(used.take(2, after(29)).is_err());
    assert!(used.take(2, after(30)).is_ok());
    assert_eq!(used.take(2, after(600)).unwrap().remaining, 1);
}

#[test]
fn a_key_has_so_many_requests_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(&folder.path().join("keys.json")).unwrap();
    let limits = KeyLimits {
        concurrent_max: 1,
        ..KeyLimits::default()
    };
    let (_, secret) = keys.create("one", limits).unwrap();
    let first = keys.admit(&secret).unwrap();
    assert_eq!(
        keys.admit(&secret).unwrap_err(),
        Denial::Concurrent { limit: 1 }
    );
    drop(first);
    assert!(keys.admit(&secret).is_ok());
}
