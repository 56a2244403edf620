//! Plans: those of this program, those of files, and those that a node keeps.

use super::publish;
use crate::{Global, connection::with_connection, failure::Exit, output, rules};
use fairweir_ledger::upgrades::{Plan, Plans};
use fairweir_types::{
    Digest,
    governance::{Message, Upgrade},
    node_api::RulesReport,
};
use serde_json::json;
use std::path::Path;

/// Lines of a plan's text that are shown beside other things.
const LINES_MAX: usize = 12;

/// Puts a plan's text into the node's store: that of a plan of this program by its name, else that of a file.
pub(super) fn publish_plan(global: &Global, named: &str) -> Result<Digest, Exit> {
    match Plans::default().named(named) {
        Some(plan) => {
            let bytes = plan.text.as_bytes().to_vec();
            with_connection(global, |connection| async move {
                Ok(connection.client.put_blob(bytes).await?)
            })
        }
        None => publish(global, Path::new(named)),
    }
}

/// The plan's name, if this program has it.
fn name_of(plan: &Digest) -> Option<&'static str> {
    Plans::default().find(plan).map(|plan| plan.name)
}

/// The text of a plan: of this program, or of the node.
fn text(global: &Global, plan: Digest) -> Result<String, Exit> {
    if let Some(Plan { text, .. }) = Plans::default().find(&plan) {
        return Ok((*text).to_owned());
    }
    let bytes = with_connection(global, |connection| async move {
        Ok(connection.client.get_blob(plan).await?)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a proposal's plan says, in some lines; nothing for other proposals.
pub(super) fn tell(global: &Global, message: &Message, rules: &RulesReport) {
    let Message::Upgrade(Upgrade { plan, .. }) = message else {
        return;
    };
    output::line(format!("plan       {plan}"));
    output::line(match name_of(plan) {
        Some(name) => format!("           this program has it, as {name}"),
        None => "           this program does not have it".to_owned(),
    });
    if let Some(planned) = rules.planned
        && planned.plan != *plan
    {
        output::line(format!(
            "           it takes the place of the plan {}, which was to begin with block {}",
            planned.plan, planned.height
        ));
    }
    let Ok(text) = text(global, *plan) else {
        output::line(
            "           the node does not keep its text: ask who proposed it, and compare the digest",
        );
        return;
    };
    let mut lines = text.lines();
    for line in lines.by_ref().take(LINES_MAX) {
        output::part(&format!("           {line}\n"));
    }
    if lines.next().is_some() {
        output::line(format!(
            "           … (`fairweir proposal plan {plan}` shows all)"
        ));
    }
}

/// Shows a plan's text; of all plans without one, those of this program, and the one that is to begin.
pub(super) fn show(global: &Global, plan: Option<Digest>) -> Result<(), Exit> {
    if let Some(plan) = plan {
        let text = text(global, plan)?;
        if global.json {
            output::json_pretty(
                &json!({"plan": plan.to_string(), "name": name_of(&plan), "text": text}),
            );
        } else {
            output::part(&text);
        }
        return Ok(());
    }
    if global.json {
        let plans = Plans::default().all().iter();
        let plans: Vec<_> = plans
            .map(|plan| json!({"plan": plan.digest().to_string(), "name": plan.name, "migrates": plan.migrate.is_some()}))
            .collect();
        output::json_pretty(&plans.into());
        return Ok(());
    }
    let status = with_connection(global, |connection| async move {
        Ok(connection.client.status().await?)
    })?;
    output::line(rules::line(&status.rules, status.header.height));
    if Plans::default().all().is_empty() {
        output::line("this program has no plans: it follows the rules that chains begin with");
    }
    for plan in Plans::default().all() {
        output::line(format!("{}  {}", plan.digest(), plan.name));
    }
    match status.rules.planned {
        Some(planned) => show(global, Some(planned.plan)),
        None => Ok(()),
    }
}
