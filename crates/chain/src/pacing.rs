//! Blocks on demand: holds a proposal until there is something to put into it, or until the heartbeat is over.
//!
//! The wait is here, around the application, and not inside its `propose`: consensus applies no finalised block while a
//! proposal is being built.

use crate::{
    genesis::{BlockDigest, Context},
    replica::Core,
};
use commonware_consensus::{Automaton, CertifiableAutomaton, types::Round};
use commonware_macros::select;
use commonware_runtime::{Clock, Spawner};
use commonware_utils::channel::oneshot;
use std::sync::Arc;

/// An automaton whose proposals wait for work.
pub(crate) struct Paced<E, A> {
    context: Arc<E>,
    inner: A,
    core: Arc<Core>,
}

impl<E, A> Paced<E, A> {
    pub(crate) fn new(context: E, inner: A, core: Arc<Core>) -> Self {
        Self {
            context: Arc::new(context),
            inner,
            core,
        }
    }
}

impl<E, A: Clone> Clone for Paced<E, A> {
    fn clone(&self) -> Self {
        Self {
            context: Arc::clone(&self.context),
            inner: self.inner.clone(),
            core: Arc::clone(&self.core),
        }
    }
}

impl<E, A> Automaton for Paced<E, A>
where
    E: Clock + Spawner,
    A: CertifiableAutomaton<Context = Context, Digest = BlockDigest>,
{
    type Context = Context;
    type Digest = BlockDigest;

    async fn propose(&mut self, context: Context) -> oneshot::Receiver<BlockDigest> {
        let (mut sender, receiver) = oneshot::channel();
        let (mut inner, core) = (self.inner.clone(), Arc::clone(&self.core));
        let task = self.context.child("pace");
        // Ends with the proposal, or when consensus drops the receiver.
        drop(task.spawn(move |clock| async move {
            let parent = context.parent.1;
            select! {
                () = sender.closed() => return,
                () = core.wait_for_work(&clock, parent) => {},
            }
            let proposal = inner.propose(context).await;
            select! {
                () = sender.closed() => {},
                digest = proposal => if let Ok(digest) = digest {
                    // Consensus may have moved on.
                    let _ = sender.send(digest);
                },
            }
        }));
        receiver
    }

    async fn verify(&mut self, context: Context, payload: BlockDigest) -> oneshot::Receiver<bool> {
        self.inner.verify(context, payload).await
    }
}

impl<E, A> CertifiableAutomaton for Paced<E, A>
where
    E: Clock + Spawner,
    A: CertifiableAutomaton<Context = Context, Digest = BlockDigest>,
{
    async fn certify(&mut self, round: Round, payload: BlockDigest) -> oneshot::Receiver<bool> {
        self.inner.certify(round, payload).await
    }
}
