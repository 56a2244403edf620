//! A vote retires a kind while an order of it runs and lanes serve it: all that is open is finished, checked and paid by the roles as they are, nobody is
//! slashed, and nothing new is taken.

use crate::{Plan, World, play};
use commonware_runtime::Clock as _;
use core::time::Duration;
use fairweir_client::{ClientError, orders::SlotEnd};
use fairweir_services::{Kind as _, text::Text};
use fairweir_types::{
    Action, Amount, BoundedText, Boxed, Event, Height, ProposalId, TxCode,
    catalogue::{ServiceEntry, SetService},
    governance::{Message, Weights},
    tx::{Bond, SubmitProposal, Vote},
};

const PARAMS: &[(&str, u64)] = &[
    ("unbonding_delay", 7_200_000),
    ("challenge_window", 1_000),
    ("appeal_window", 5_000),
    ("appeal_game", 330_000),
    ("sampling_bps", 5_000),
    ("expedited_window", 6_000),
    ("upgrade_lock", 12_000),
];
/// Blocks from the proposal to the kind's end: three times as long as voting and lock take, at a block a second.
const AHEAD: u64 = 60;
/// Blocks before the end in which an order is posted that is then under way.
const LATE: u64 = 5;
/// Requests before and after the end, in each lane.
const REQUESTS: usize = 3;
/// The refusal of a kind that is not active.
const NOT_ACTIVE: TxCode = TxCode(1_201);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(seed: u64) {
    let plan = Plan {
        buyers: 2,
        params: PARAMS,
        ..Plan::honest(seed)
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let (buyer, governor) = (world.buyer(1), world.buyer(2));
        let client = buyer.sender().client();
        let mut session = buyer.open_session(2).await.expect("two lanes open");
        for number in 0..2 * REQUESTS {
            let text = super::text(seed, number, 1 + number % 3);
            let answer = buyer.ask(&mut session, number % 2, &text).await;
            answer.expect("a lane answers");
        }
        let now = client.services().await.expect("a catalogue").height;
        let end = Height(now.get() + AHEAD);
        let entry = ServiceEntry {
            from: end,
            terms: None,
        };
        let kind = Text::ID;
        let actions = [
            Action::Bond(Bond {
                amount: Amount::from_coins(8_000).expect("below the cap"),
            }),
            Action::SubmitProposal(Boxed::new(SubmitProposal {
                title: BoundedText::truncating("no more texts"),
                message: Message::SetService(Boxed::new(SetService { kind, entry })),
                expedited: true,
                deposit: Amount::MAX,
            })),
            Action::Vote(Vote {
                proposal: ProposalId(1),
                weights: Weights {
                    yes: 10_000,
                    ..Weights::default()
                },
            }),
        ];
        for action in actions {
            governor.sender().send(action).await.expect("it is done");
        }
        let height = async |height: Height| {
            while client.services().await.expect("a catalogue").height < height {
                world.context().sleep(PAUSE).await;
            }
        };
        height(Height(end.get() - LATE)).await;
        let (text, before) = (super::text(seed, 100, 5), buyer.balance().await);
        let posted = buyer.post(&text).await.expect("it is still active");
        height(end).await;
        let catalogue = client.services().await.expect("a catalogue");
        assert_eq!(catalogue.in_force(kind), None, "it is retired");
        let refused = buyer.post(&text).await;
        assert!(
            matches!(&refused, Err(ClientError::TxRefused(outcome)) if outcome.code == NOT_ACTIVE),
            "{refused:?}"
        );
        for number in 0..2 * REQUESTS {
            let text = super::text(seed, 10 + number, 1 + number % 3);
            let answer = buyer.ask(&mut session, number % 2, &text).await;
            answer.expect("a lane that is open serves on");
        }
        let before = before.expect("an account");
        let bought = buyer.complete(world.context(), &text, posted, before).await;
        let bought = bought.expect("the order comes to its end");
        assert!(matches!(bought.end, SlotEnd::Settled(_)), "{bought:?}");
        let closed = buyer.close_session(world.context(), &session).await;
        closed.expect("the session comes to an end");
        let story = world.end().await;
        assert_eq!(story.slashes().count(), 0);
        let settled: u32 = story
            .events()
            .filter_map(|event| match event {
                Event::BatchSettled(settled) => Some(settled.count),
                _ => None,
            })
            .sum();
        assert_eq!(usize::try_from(settled), Ok(4 * REQUESTS));
    });
}
