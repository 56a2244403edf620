//! The verifier: re-executes drawn work and says what it found.

use super::{
    Standing, bond_up_to, promised,
    worker::{Equipment, RETRY_PAUSE},
};
use commonware_runtime::Clock;
use fairweir_client::{ClientError, Sender};
use fairweir_net::Network;
use fairweir_services::{ChainClient, Registry, pipeline, session};
use fairweir_types::{
    Action, Address, Amount, BoundedVec, ChainId,
    catalogue::{KnownKind, Versions},
    hash_chain::HashChain,
    node_api::{AccountReport, VerifierReport},
    tx::{EnrolVerifier, LeaveVerifiers},
};
use std::time::Duration;

/// How often a verifier looks how much of its hash chain is left; it commits to another one with half of it, or when it is asked for no more links.
pub(super) const LINKS_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause of a verifier whose enrolments are refused.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Enrols an account as a verifier of what it can check, by its secret seed: with the key that what it may read is encrypted to, and a hash chain.
///
/// What it is enrolled for already and still knows it keeps, also when the catalogue goes on without that: work that is open then needs its
/// verifiers until it is paid. What its program does not know, of another one that enrolled it, it takes back; with nothing left it leaves.
///
/// # Errors
/// [`ClientError`].
pub async fn enrol<N: Network>(
    sender: &Sender<N>,
    (registry, standing): (&Registry, &Standing),
    (owner, seed): (Option<Address>, &[u8; 32]),
) -> Result<(), ClientError> {
    let own = sender.key().address();
    let account = sender.client().account(own).await?;
    let enrolled = account.verifies.as_ref().map(|report| &report.enrolment);
    let present = enrolled.map_or(&[][..], |enrolled| enrolled.kinds.as_slice());
    let kinds = promised::enrolment(present, &registry.known(), &standing.active);
    for KnownKind { kind, versions } in present.iter().copied() {
        if !promised::is_covered(KnownKind { kind, versions }, &kinds) {
            let Versions { oldest, newest } = versions;
            tracing::warn!(%kind, oldest, newest, "this program does not know all versions that the account is enrolled for; the others are taken back");
        }
    }
    if kinds.is_empty() {
        return leave(sender).await;
    }
    let wanted = EnrolVerifier {
        owner: owner.unwrap_or(own),
        kinds: BoundedVec::truncating(kinds),
        seal_key: session::seal_key(seed),
        hash_chain: hash_chain(&account, seed, sender.chain_id()),
    };
    if enrolled == Some(&wanted) {
        return Ok(());
    }
    sender.send(Action::EnrolVerifier(wanted)).await.map(|_| ())
}

/// The hash chain that an account commits to: the one that it has, if it is of this seed and does for long enough, or else one that it never had.
fn hash_chain(account: &AccountReport, seed: &[u8; 32], chain_id: &ChainId) -> HashChain {
    if let Some(VerifierReport {
        enrolment: EnrolVerifier {
            hash_chain: known, ..
        },
        links_left,
    }) = &account.verifies
        && *links_left > known.length.div_euclid(2)
        && session::hash_chain(seed, chain_id, known.number, known.length) == *known
    {
        return *known;
    }
    // No two transactions of an account have the same number.
    session::hash_chain(seed, chain_id, account.nonce.0, session::LINKS)
}

/// Leaves the pool of verifiers, if the account is in it: an earlier program enrolled it, and what it was drawn for nobody here would check.
///
/// # Errors
/// [`ClientError`].
pub(super) async fn leave<N: Network>(sender: &Sender<N>) -> Result<(), ClientError> {
    let own = sender.key().address();
    if sender.client().account(own).await?.verifies.is_none() {
        return Ok(());
    }
    tracing::warn!("nothing is verified here: the account leaves the pool of verifiers");
    let leave = Action::LeaveVerifiers(LeaveVerifiers {});
    sender.send(leave).await.map(|_| ())
}

/// Bonds the stake and enrols for what the chain's catalogue has in a version that this program knows.
///
/// # Errors
/// [`ClientError`].
pub async fn register<N: Network>(
    sender: &Sender<N>,
    registry: &Registry,
    stake: Amount,
    terms: (Option<Address>, &[u8; 32]),
) -> Result<Standing, ClientError> {
    bond_up_to(sender, stake).await?;
    let standing = Standing::of(&sender.client().services().await?, registry);
    enrol(sender, (registry, &standing), terms).await?;
    Ok(standing)
}

/// Enrols again, or leaves, whenever the catalogue lets this verifier check other work than before, or half of its hash chain is used.
pub async fn keep_enrolled<N: Network>(
    clock: &impl Clock,
    sender: &Sender<N>,
    (registry, mut standing): (&Registry, Standing),
    terms: (Option<Address>, &[u8; 32]),
) {
    let mut pause = LINKS_PAUSE;
    loop {
        let next = standing
            .changed_within(clock, (sender.client(), registry), pause)
            .await;
        let enrolled = enrol(sender, (registry, &next), terms).await;
        pause = pause_after(pause, &enrolled);
        match enrolled {
            Ok(()) => standing = next,
            Err(error) => {
                tracing::warn!(%error, "the enrolment could not be changed; it is tried again");
            }
        }
    }
}

/// How long it is until the next look. What the ledger refused was paid for, and is refused again until somebody bonds more: so each refusal doubles it.
fn pause_after(pause: Duration, enrolled: &Result<(), ClientError>) -> Duration {
    match enrolled {
        Err(ClientError::TxRefused(_)) => pause.saturating_mul(2).min(REFUSED_PAUSE_MAX),
        Ok(()) | Err(_) => LINKS_PAUSE,
    }
}

/// Plays an account's appeals; it ends when its future is dropped.
pub(super) async fn advocate<C: ChainClient>(clock: &impl Clock, equipment: Equipment<C>) {
    let tools = equipment.tools();
    let mut from = equipment.from;
    let mut advocate = pipeline::Advocate::new(&equipment.identity, equipment.chain, tools);
    let progress = advocate.progress();
    loop {
        let error = advocate.run(clock, from).await;
        tracing::warn!(%error, "the advocate lost the chain; it tries again");
        from = progress.resume_from().max(from);
        clock.sleep(RETRY_PAUSE).await;
    }
}

/// Runs an enrolled verifier and its advocate; it ends when its future is dropped.
pub async fn run<C: ChainClient + Clone>(clock: &impl Clock, equipment: Equipment<C>) {
    let advocates = advocate(clock, equipment.clone());
    let checks = check(clock, equipment);
    futures::future::join(advocates, checks).await;
}

async fn check<C: ChainClient>(clock: &impl Clock, equipment: Equipment<C>) {
    let tools = equipment.tools();
    let mut from = equipment.from;
    let mut verifier = pipeline::Verifier::new(equipment.identity, equipment.chain, tools);
    let progress = verifier.progress();
    loop {
        let error = verifier.run(clock, from).await;
        tracing::warn!(%error, "the verifier lost the chain; it tries again");
        from = progress.resume_from().max(from);
        clock.sleep(RETRY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_types::{BoundedText, Digest, Nonce, TxCode, TxOutcome};

    #[test]
    fn refusals_are_paid_for_ever_more_seldom() {
        let refused = Err(ClientError::TxRefused(TxOutcome {
            tx: Digest::ZERO,
            code: TxCode(311),
            reason: BoundedText::default(),
        }));
        let mut pause = LINKS_PAUSE;
        let mut paid = 0;
        let mut passed = Duration::ZERO;
        while passed < Duration::from_secs(24 * 3_600) {
            pause = pause_after(pause, &refused);
            passed += pause;
            paid += 1;
        }
        assert!(paid < 30, "{paid} refusals in a day");
        assert_eq!(pause_after(pause, &Ok(())), LINKS_PAUSE);
        // A node that is away costs nothing.
        assert_eq!(
            pause_after(pause, &Err(ClientError::StreamEnded)),
            LINKS_PAUSE
        );
    }

    #[test]
    fn a_chain_is_kept_while_it_is_ours_and_half_of_it_is_left() {
        let chain_id = ChainId::new("dev-links").unwrap();
        let (seed, other) = ([1; 32], [2; 32]);
        let account = |hash_chain, links_left| AccountReport {
            nonce: Nonce(40),
            verifies: Some(VerifierReport {
                enrolment: EnrolVerifier {
                    owner: Address::default(),
                    kinds: BoundedVec::default(),
                    seal_key: [0; 32],
                    hash_chain,
                },
                links_left,
            }),
            ..AccountReport::default()
        };
        let known = session::hash_chain(&seed, &chain_id, 7, 64);
        let fresh = session::hash_chain(&seed, &chain_id, 40, session::LINKS);
        let foreign = session::hash_chain(&other, &chain_id, 7, 64);
        // What the account is enrolled with, and what it commits to.
        let table = [
            (account(known, 64), known),
            (account(known, 33), known),
            (account(known, 32), fresh),
            (account(known, 0), fresh),
            (account(foreign, 64), fresh),
            (
                AccountReport {
                    nonce: Nonce(40),
                    ..AccountReport::default()
                },
                fresh,
            ),
        ];
        for (row, (account, expected)) in table.iter().enumerate() {
            assert_eq!(
                hash_chain(account, &seed, &chain_id),
                *expected,
                "row {row}"
            );
        }
    }
}
