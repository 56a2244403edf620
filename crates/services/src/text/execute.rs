use super::{
    RESULT_BYTES_MAX, Text, TextOutput, TextSpec, count,
    deduplicate::deduplicate,
    normalise::{collapse_blank_lines, normalise},
    order::{Normalise, Redact},
    output::{Redacted, Statistics},
    redact::redact,
};
use crate::{
    contract::{ExecuteError, Execution, Executor},
    world::{Env, Outlet},
};
use fairweir_types::{Units, order::UnitVector};
use std::{future::poll_fn, task::Poll};

/// Does the work of the kind. It keeps nothing between executions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine;

/// Lets others run between two steps, and is where an execution can be cancelled.
async fn breathe() {
    let mut resumed = false;
    poll_fn(|context| {
        if resumed {
            return Poll::Ready(());
        }
        resumed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn units(bytes: usize) -> Units {
    Units(u64::try_from(bytes).unwrap_or(u64::MAX))
}

impl Executor<Text> for Engine {
    async fn execute(
        &self,
        _: &Env<'_>,
        spec: &TextSpec,
        outlet: &mut dyn Outlet,
    ) -> Result<Execution<TextOutput>, ExecuteError> {
        let operations = spec.operations();
        breathe().await;
        let text = normalise(spec.text(), operations.normalise)?;
        breathe().await;
        let (mut text, removed) = deduplicate(text, operations.deduplicate);
        if operations.normalise != Normalise::Nothing {
            // Between removed lines, blank ones may have met.
            text = collapse_blank_lines(&text);
        }
        breathe().await;
        let (text, redacted) = match operations.redact {
            Redact::Nothing => (text, Redacted::default()),
            Redact::PersonalData => redact(&text),
        };
        breathe().await;
        let mut statistics = Statistics::default();
        count::characters(&text, &mut statistics);
        breathe().await;
        count::words(&text, &mut statistics);
        breathe().await;
        count::sentences(&text, &mut statistics);
        breathe().await;
        let found = text.len();
        let output = TextOutput::new(text, statistics, removed, redacted).map_err(|_| {
            ExecuteError::OutputTooLarge {
                max: RESULT_BYTES_MAX,
                found,
            }
        })?;
        outlet.emit(output.text().as_bytes().to_vec()).await?;
        let units = UnitVector {
            input: units(spec.text().len().max(1)),
            output: units(found),
            ..UnitVector::default()
        };
        Ok(Execution::whole(output, units))
    }
}
