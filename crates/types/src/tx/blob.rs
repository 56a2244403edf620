//! Which blobs transactions name.

use super::Action;
use crate::{digest::Digest, governance::Message};

impl Action {
    /// The blob that it names, which others will read: a spec that is not inline, a disclosure, sealed leaves, a text about a proposal.
    #[must_use]
    pub fn blob(&self) -> Option<Digest> {
        let named = match self {
            Self::PostOrder(post) if post.header.spec_inline.is_none() => post.header.spec_digest,
            Self::SubmitReceipt(submit) => submit.receipt.receipt.disclosure,
            Self::ShowLeaves(show) => show.sealed,
            Self::SubmitProposal(submit) => match &submit.message {
                Message::Penalty(penalty) => penalty.evidence,
                Message::Upgrade(upgrade) => upgrade.plan,
                _ => return None,
            },
            Self::AnswerMotion(answer) => answer.answer,
            Self::AppealMotion(appeal) => appeal.grounds,
            _ => return None,
        };
        Some(named).filter(|digest| *digest != Digest::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Address, Amount,
        bounded::{BoundedText, BoundedVec},
        codec::Boxed,
        governance::{Penalty, Upgrade},
        order::{OrderId, SlotId},
        quantity::{Bps, Height, ProposalId},
        tx::{AnswerMotion, AppealMotion, LeaveVerifiers, ShowLeaves, SubmitProposal},
    };

    #[test]
    fn what_others_will_read_is_named() {
        let digest = Digest::of_blob(b"read by others");
        let proposal = |message| {
            Action::SubmitProposal(Boxed::new(SubmitProposal {
                title: BoundedText::default(),
                message,
                expedited: false,
                deposit: Amount::ZERO,
            }))
        };
        let penalty = Message::Penalty(Penalty {
            accused: Address::default(),
            evidence: digest,
            share: Bps::ZERO,
        });
        let upgrade = Message::Upgrade(Upgrade {
            height: Height(9),
            plan: digest,
        });
        let show = ShowLeaves {
            slot_id: SlotId {
                order: OrderId::default(),
                slot: 0,
            },
            shown: Digest::ZERO,
            sealed: digest,
            leaves: BoundedVec::default(),
        };
        let (answer, grounds) = (digest, digest);
        let of = ProposalId(1);
        for action in [
            Action::ShowLeaves(Boxed::new(show)),
            proposal(penalty),
            proposal(upgrade),
            Action::AnswerMotion(AnswerMotion {
                proposal: of,
                answer,
            }),
            Action::AppealMotion(AppealMotion {
                proposal: of,
                grounds,
            }),
        ] {
            assert_eq!(action.blob(), Some(digest), "{}", action.name());
        }
        let nothing = Upgrade {
            height: Height(9),
            plan: Digest::ZERO,
        };
        assert_eq!(proposal(Message::Upgrade(nothing)).blob(), None);
        assert_eq!(Action::LeaveVerifiers(LeaveVerifiers {}).blob(), None);
    }
}
