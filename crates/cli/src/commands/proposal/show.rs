use crate::{
    Global,
    connection::with_connection,
    describe::{self, Names},
    failure::{Exit, code},
    output, rules,
};
use fairweir_gateway::json;
use fairweir_types::{
    Amount, Height, Millis, ProposalId,
    governance::{Message, ProposalPhase},
    node_api::{GovernanceReport, ProposalReport, RulesReport},
};
use serde_json::Value;

/// A proposal as JSON, with the name of the value that it sets.
fn as_json(proposal: &ProposalReport) -> Value {
    let mut value = json::proposal(proposal);
    let does = value.get_mut("does").and_then(Value::as_object_mut);
    if let (Message::SetParam(set), Some(does)) = (&proposal.message, does) {
        does.insert("name".to_owned(), describe::param(set.param).into());
    }
    value
}

/// The proposals of a node, and what is governed.
fn all(global: &Global) -> Result<(Vec<ProposalReport>, GovernanceReport), Exit> {
    with_connection(global, |connection| async move {
        let mut all: Vec<ProposalReport> = Vec::new();
        loop {
            let from = all.last().map_or(ProposalId(1), |last| {
                ProposalId(last.proposal.get().saturating_add(1))
            });
            let page = connection.client.proposals(from).await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        Ok((all, connection.client.governance().await?))
    })
}

/// The proposal that a key submitted in a block: its newest there.
pub(super) fn submitted_in(
    global: &Global,
    height: Height,
    from: &str,
) -> Result<ProposalReport, Exit> {
    let proposer = super::resolve(global, from)?;
    let (proposals, _) = all(global)?;
    let mut mine = proposals
        .into_iter()
        .rev()
        .filter(|proposal| proposal.submitted == height && proposal.proposer == proposer);
    mine.next().ok_or_else(|| {
        Exit::message(
            code::FAILED,
            "the proposal is on the ledger, but the node does not show it: try `fairweir proposal list`",
        )
    })
}

/// The names of the user's keys, where that needs no passphrase.
fn names(global: &Global) -> Result<Names, Exit> {
    Ok(
        match fairweir_node::Passphrase::of_dev_if_any(&global.data_dir()?)? {
            Some(_) => Names::of(&global.keystore()?),
            None => Names::default(),
        },
    )
}

fn time_left(now: Millis, due: Millis) -> String {
    match due.checked_sub(now) {
        Some(left) if left > Millis::ZERO => {
            format!("for about {}", describe::seconds(left.get()))
        }
        _ => "until one of the next blocks".to_owned(),
    }
}

pub(super) fn list(global: &Global) -> Result<(), Exit> {
    let (proposals, governed) = all(global)?;
    if global.json {
        for proposal in &proposals {
            output::json(&as_json(proposal));
        }
        return Ok(());
    }
    if proposals.is_empty() {
        output::progress(
            "there are no proposals: `fairweir proposal submit --help` says how to make one",
        );
    }
    for proposal in &proposals {
        let state = match proposal.ended {
            Some(ended) => ended.outcome.name().to_owned(),
            None => format!(
                "{} {}",
                proposal.phase.name(),
                time_left(governed.now, proposal.due)
            ),
        };
        output::line(format!(
            "{:>4}  {state:<40} {}",
            proposal.proposal, proposal.title
        ));
    }
    Ok(())
}

/// Which rules are in force, and which are to come.
pub(super) fn rules(global: &Global) -> Result<RulesReport, Exit> {
    with_connection(global, |connection| async move {
        Ok(connection.client.governance().await?.rules)
    })
}

pub(super) fn overview(global: &Global) -> Result<(), Exit> {
    let (governed, height) = with_connection(global, |connection| async move {
        let governed = connection.client.governance().await?;
        Ok((governed, connection.client.status().await?.header.height))
    })?;
    if global.json {
        output::json_pretty(&json::governance(&governed));
        return Ok(());
    }
    output::line(format!("bonded     {} coins", governed.bonded));
    output::line(format!(
        "treasury   {} coins at {}",
        governed.treasury,
        fairweir_types::governance::TREASURY
    ));
    output::line(rules::line(&governed.rules, height));
    for paused in &governed.paused {
        output::line(format!(
            "paused     {} {}",
            paused.module.name(),
            time_left(governed.now, paused.until)
        ));
    }
    Ok(())
}

pub(super) fn show(global: &Global, id: ProposalId) -> Result<(), Exit> {
    let (proposal, governed) = with_connection(global, |connection| async move {
        Ok((
            connection.client.proposal(id).await?,
            connection.client.governance().await?,
        ))
    })?;
    if global.json {
        output::json_pretty(&as_json(&proposal));
        return Ok(());
    }
    for line in lines(&names(global)?, &proposal, governed.now) {
        output::line(line);
    }
    super::plan::tell(global, &proposal.message, &governed.rules);
    Ok(())
}

fn lines(names: &Names, proposal: &ProposalReport, now: Millis) -> Vec<String> {
    let deposit = Amount::sum(proposal.deposits.iter().map(|part| part.amount));
    let state = match proposal.ended {
        Some(ended) => format!(
            "is over since block {}: {}",
            ended.height,
            describe::outcome(ended.outcome, ended.code.0)
        ),
        None => format!(
            "{}, {}",
            describe::phase(proposal.phase),
            time_left(now, proposal.due)
        ),
    };
    let mut lines = vec![
        format!(
            "proposal   {} by {}: {}",
            proposal.proposal,
            names.show(proposal.proposer),
            proposal.title
        ),
        format!("does       {}", describe::message(names, &proposal.message)),
        format!("state      {state}"),
    ];
    if proposal.phase != ProposalPhase::Ended {
        lines.push(format!(
            "deposit    {} of {} coins",
            deposit.unwrap_or_default(),
            proposal.needed
        ));
    }
    if proposal.bonded > Amount::ZERO {
        lines.push(format!(
            "votes      {}",
            describe::tally(&proposal.tally, proposal.bonded)
        ));
    }
    if proposal.expedited {
        lines.push("track      expedited: two thirds must be for it".to_owned());
    }
    if proposal.charged > Amount::ZERO {
        lines.push(format!(
            "charged    {} coins of the accused's stake must stay",
            proposal.charged
        ));
    }
    let papers = [("answer", proposal.answer), ("grounds", proposal.grounds)];
    for (name, digest) in papers {
        if let Some(digest) = digest {
            lines.push(format!("{name:<10} {digest}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{
        BoundedText, BoundedVec, TxCode,
        governance::{Deposited, ProposalOutcome, SetParam, Tally},
        node_api::ProposalEnd,
    };

    fn report() -> ProposalReport {
        let coins = |coins| Amount::from_coins(coins).expect("below the cap");
        ProposalReport {
            proposal: ProposalId(3),
            proposer: fairweir_types::governance::TREASURY,
            title: BoundedText::truncating("dearer transactions"),
            message: Message::SetParam(SetParam {
                param: 1,
                value: 2_000,
            }),
            expedited: false,
            submitted: Height(7),
            phase: ProposalPhase::Voting,
            due: Millis(65_000),
            deposits: BoundedVec::truncating([Deposited {
                from: fairweir_types::governance::TREASURY,
                amount: coins(1_000),
            }]),
            needed: coins(1_000),
            bonded: coins(8_000),
            tally: Tally {
                yes: u128::from(coins(3_000).base_units()) * 10_000,
                no: u128::from(coins(1_000).base_units()) * 10_000,
                ..Tally::default()
            },
            charged: Amount::ZERO,
            answer: None,
            grounds: None,
            ended: None,
        }
    }

    #[test]
    fn a_proposal_reads_as_text() {
        let mut open = report();
        let shown = lines(&Names::default(), &open, Millis(5_000)).join("\n");
        assert_eq!(
            shown,
            "proposal   3 by fw1veskju…4076: dearer transactions
does       set fee_base to 2000
state      is voted on, for about 60 s
deposit    1000 of 1000 coins
votes      yes 75.0 %, no 25.0 %, abstain 0.0 %, veto 0.0 % of what voted: 50.0 % of 8000 bonded coins"
        );
        open.phase = ProposalPhase::Ended;
        open.ended = Some(ProposalEnd {
            outcome: ProposalOutcome::Failed,
            code: TxCode(903),
            height: Height(30),
        });
        let shown = lines(&Names::default(), &open, Millis(90_000)).join("\n");
        assert!(shown.contains(
            "is over since block 30: it passed and could not be done any more (params_disagree, code 903)"
        ));
    }
}
