//! Changes of rules, as whoever runs a node hears of them.

use crate::failure::{Exit, code};
use fairweir_chain::{ChainHandle, StopReason, UpgradeStop};
use fairweir_node::DataDir;
use fairweir_types::{Height, node_api::RulesReport};
use serde_json::{Value, json};

/// Which rules are in force, and which are to come, in a line. `height` is the newest block.
pub(crate) fn line(rules: &RulesReport, height: Height) -> String {
    let Some(planned) = rules.planned else {
        return match rules.newest {
            Some(newest) => format!(
                "rules      since block {} those of the plan {}; no others are decided",
                newest.height, newest.plan
            ),
            None => "rules      those that the chain began with; no others are decided".to_owned(),
        };
    };
    let left = planned.height.get().saturating_sub(height.get());
    let known = if rules.knows {
        "this node's program has it, and goes on"
    } else {
        "THIS NODE'S PROGRAM DOES NOT HAVE IT and stops before that block: install the release that the plan names (`fairweir proposal plan` shows it)"
    };
    format!(
        "rules      OTHERS BEGIN with block {}, in {left} blocks, by the plan {}; {known}",
        planned.height, planned.plan
    )
}

/// The end of a node whose program cannot follow the rules: what happened, what is there, and what to do.
pub(crate) fn stopped(data: &DataDir, stop: &UpgradeStop) -> Exit {
    let todo = match stop.reason {
        StopReason::Unknown => {
            "Install the release that the plan names and start the node again with the same folder: it goes on from there. This program would only stop again."
        }
        StopReason::Migration(_) => {
            "This is a mistake of the release, and every node with it stops here: ask who made it for another one, then start the node again with the same folder."
        }
    };
    let message = format!(
        "{stop}.\nNothing is lost: blocks, state, votes and keys are in {}, and nothing of the new rules was written there.\n{todo}\nSee docs/how-to/upgrade-a-network.md.",
        data.path().display()
    );
    Exit::message(code::UPGRADE, message)
}

/// What a node's monitor says of rules.
pub(crate) fn detail(chain: &ChainHandle) -> Value {
    let newest = chain.tip().height;
    chain.rules().map_or(Value::Null, |rules| {
        let planned = rules.planned.map(|planned| {
            json!({
                "height": planned.height.get(),
                "plan": planned.plan.to_string(),
                "known": rules.knows,
                "blocks_left": planned.height.get().saturating_sub(newest.get()),
            })
        });
        json!({"planned": planned, "begun": rules.begun, "stopped": chain.stopped().is_some()})
    })
}

/// The end of OpenMetrics' text.
const END: &str = "# EOF\n";

/// A node's counters, with those of rules.
pub(crate) fn metrics(chain: &ChainHandle, counters: &str) -> String {
    let rules = chain.rules().unwrap_or_default();
    let planned = rules.planned.map_or(0, |planned| planned.height.get());
    let lacks = u8::from(rules.planned.is_some() && !rules.knows);
    format!(
        "{}# HELP fairweir_upgrade_height First block of rules that were decided and have not begun; 0 if there are none.\n\
         # TYPE fairweir_upgrade_height gauge\n\
         fairweir_upgrade_height {planned}\n\
         # HELP fairweir_upgrade_unknown Whether this program lacks their plan, so that the node will stop before that block.\n\
         # TYPE fairweir_upgrade_unknown gauge\n\
         fairweir_upgrade_unknown {lacks}\n{END}",
        counters.strip_suffix(END).unwrap_or(counters),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{Digest, governance::Upgrade};

    #[test]
    fn what_is_to_come_is_said_in_words() {
        let mut rules = RulesReport::default();
        assert!(
            line(&rules, Height(7))
                .ends_with("those that the chain began with; no others are decided")
        );
        rules.planned = Some(Upgrade {
            height: Height(120),
            plan: Digest([7; 32]),
        });
        let said = line(&rules, Height(100));
        assert!(said.contains("OTHERS BEGIN with block 120, in 20 blocks"));
        assert!(said.contains("THIS NODE'S PROGRAM DOES NOT HAVE IT"));
        rules.knows = true;
        assert!(line(&rules, Height(100)).contains("this node's program has it"));
        rules = RulesReport {
            newest: rules.planned,
            begun: 1,
            ..RulesReport::default()
        };
        assert!(line(&rules, Height(130)).contains("since block 120 those of the plan"));
    }

    #[test]
    fn who_is_stopped_is_told_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("it opens");
        let mut stop = UpgradeStop {
            newest: Height(13),
            height: Height(14),
            plan: Digest([7; 32]),
            reason: StopReason::Unknown,
        };
        let said = format!("{:?}", stopped(&data, &stop));
        for part in [
            "other rules begin with block 14",
            "stops behind block 13",
            "Nothing is lost",
            folder.path().to_str().expect("a path in UTF-8"),
            "Install the release",
        ] {
            assert!(said.contains(part), "{said}");
        }
        stop.reason = StopReason::Migration(fairweir_ledger::upgrades::MigrationError::Refused(
            "a reason",
        ));
        let said = format!("{:?}", stopped(&data, &stop));
        assert!(
            said.contains("it refuses this state: a reason")
                && said.contains("mistake of the release")
        );
    }
}
