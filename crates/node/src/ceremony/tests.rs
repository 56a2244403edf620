//! Of genesis files and cards.

#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]
use super::*;

const NOW: Millis = Millis(1_800_000_000_000);

fn card(number: u8) -> ValidatorCard {
    let mut keys = Keystore::empty();
    keys.insert(names::VALIDATOR, [number; 32].into()).unwrap();
    keys.insert(names::VOTE, [number + 100; 32].into()).unwrap();
    ValidatorCard::of(&keys, SocketAddr::from(([10, 0, 0, number], 7_641))).unwrap()
}

fn file_of(cards: &[ValidatorCard]) -> GenesisFile {
    let mut file = GenesisFile::new("river").unwrap();
    for card in cards {
        let card = ValidatorCard::parse(&card.to_toml()).unwrap();
        file.add_validator(card).unwrap();
    }
    let rich = cards[0].payout.parse().unwrap();
    file.add_account(rich, Amount::from_coins(1_000).unwrap())
        .unwrap();
    file.set_param("unbonding_delay", 172_800_000).unwrap();
    file
}

#[test]
fn the_order_of_cards_does_not_matter_and_the_finished_file_reads_back() {
    let cards = [card(1), card(2), card(3), card(4)];
    let mut one = file_of(&cards);
    let mut other = GenesisFile::parse(&one.to_toml()).unwrap();
    other.validators.reverse();
    assert_eq!(one.finalise(NOW).unwrap(), other.finalise(NOW).unwrap());
    let read = GenesisFile::parse(&one.to_toml()).unwrap();
    assert_eq!(read, one);
    let genesis = read.genesis().unwrap();
    assert_eq!(genesis.digest().to_string(), read.digest().unwrap());
    assert_eq!(genesis.validators.len(), 4);
    for card in &cards {
        read.check_invites(card).unwrap();
        assert_eq!(read.peers()[&card.identity], card.peer);
    }
}

#[test]
fn a_finished_file_is_not_changed() {
    let mut file = file_of(&[card(1), card(2)]);
    assert!(matches!(
        file.check_invites(&card(1)),
        Err(CeremonyError::Unfinished)
    ));
    file.finalise(NOW).unwrap();
    assert!(matches!(
        file.add_validator(card(3)),
        Err(CeremonyError::Finished)
    ));
    assert!(matches!(file.finalise(NOW), Err(CeremonyError::Finished)));
    let changed = file.to_toml().replace("172800000", "172800001");
    assert!(matches!(
        GenesisFile::parse(&changed),
        Err(CeremonyError::Changed { .. })
    ));
}

#[test]
fn cards_that_do_not_hold_are_refused_and_leave_the_file_as_it_was() {
    let mut file = file_of(&[card(1)]);
    let before = file.clone();
    let whole = card(2);
    let cut = ValidatorCard {
        vote_key: whole.vote_key[1..].to_owned(),
        ..whole.clone()
    };
    let stolen_vote_key = ValidatorCard {
        vote_key: card(1).vote_key,
        possession: card(1).possession,
        ..whole.clone()
    };
    let unproven = ValidatorCard {
        possession: card(3).possession,
        ..whole.clone()
    };
    let same_peer = ValidatorCard {
        peer: card(1).peer,
        ..whole
    };
    let results =
        [cut, card(1), stolen_vote_key, unproven, same_peer].map(|card| file.add_validator(card));
    assert!(matches!(
        results,
        [
            Err(CeremonyError::Card {
                field: "vote_key",
                ..
            }),
            Err(CeremonyError::Twice {
                what: "identity",
                ..
            }),
            Err(CeremonyError::Twice {
                what: "vote key",
                ..
            }),
            Err(CeremonyError::Genesis(GenesisError::NoPossession { .. })),
            Err(CeremonyError::Twice {
                what: "peer address",
                ..
            }),
        ]
    ));
    assert_eq!(file, before);
}

#[test]
fn a_machine_joins_by_its_own_card_only() {
    let mut file = file_of(&[card(1), card(2)]);
    file.validators[1].payout = card(1).payout;
    file.finalise(NOW).unwrap();
    assert!(matches!(
        file.check_invites(&card(2)),
        Err(CeremonyError::CardAltered {
            what: "payout address"
        })
    ));
    assert!(matches!(
        file.check_invites(&card(3)),
        Err(CeremonyError::NotInvited)
    ));
}

#[test]
fn values_out_of_range_and_unknown_names_are_refused() {
    let mut file = GenesisFile::new("river").unwrap();
    assert!(matches!(
        file.set_param("no_such_value", 1),
        Err(CeremonyError::UnknownParam(_))
    ));
    assert!(matches!(
        file.set_param("unbonding_delay", 1),
        Err(CeremonyError::ParamRange { .. })
    ));
    assert!(matches!(
        file.finalise(NOW),
        Err(CeremonyError::Genesis(GenesisError::NoValidator))
    ));
    assert!(matches!(
        GenesisFile::new("A River"),
        Err(CeremonyError::ChainId(_))
    ));
    assert!(matches!(
        GenesisFile::parse("chain_id = \"river\"\nextra = 1"),
        Err(CeremonyError::Malformed(_))
    ));
}
