use crate::{Global, connection::with_connection, output};
use fairweir_gateway::json;
use fairweir_node::network;
use fairweir_services::known_with;
use fairweir_types::{
    Height,
    catalogue::{Catalogue, KnownKind, ServiceReport, Versions},
    order::KindId,
};

const AFTER_HELP: &str = "\
A kind of work is added, changed or retired by a vote, from a block on; what is open then is finished and paid at its own terms:
  fairweir proposal submit set-service embedding --at 5000          take embeddings from block 5000 on
  fairweir proposal submit set-service chat --service-version 2 --at 9000
  fairweir proposal submit retire-service text --at 9000
  fairweir proposal vote 1 yes --from worker-1                      and so on: `fairweir proposal --help`";

/// Show the catalogue: which kinds of work this chain takes, in which version, and what is planned.
///
/// Workers offer, verifiers check and gateways sell a kind while it is active in a version that their program knows, and begin by themselves when
/// it becomes active. `this program` says what the one that you run knows.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Services {}

impl Services {
    pub(crate) fn run(&self, global: &Global) -> Result<(), crate::failure::Exit> {
        let catalogue = with_connection(global, |connection| async move {
            Ok(connection.client.services().await?)
        })?;
        if global.json {
            output::json_pretty(&json::catalogue(&catalogue));
            return Ok(());
        }
        for line in lines(&catalogue, &network::known_services()) {
            output::line(line);
        }
        Ok(())
    }
}

/// The kinds that are active, in a line.
pub(crate) fn summary(catalogue: &Catalogue) -> String {
    let next = Height(catalogue.height.get().saturating_add(1));
    let active = catalogue.services.iter().filter_map(|service| {
        let terms = service.in_force(next)?;
        Some(format!("{} {}", terms.name, terms.version))
    });
    let active = active.collect::<Vec<_>>().join(", ");
    let planned = catalogue.services.iter();
    let planned: usize = planned.map(|service| service.planned(next).count()).sum();
    let active = if active.is_empty() {
        "none: votes add them"
    } else {
        &active
    };
    match planned {
        0 => format!("services   {active}"),
        _ => format!("services   {active}; {planned} change(s) planned, see `fairweir services`"),
    }
}

fn lines(catalogue: &Catalogue, known: &[KnownKind]) -> Vec<String> {
    let next = Height(catalogue.height.get().saturating_add(1));
    let mut lines: Vec<String> = catalogue
        .services
        .iter()
        .map(|service| line(service, next, known))
        .collect();
    if lines.is_empty() {
        lines.push(
            "the catalogue is empty: no kind of work is taken until a vote adds one".to_owned(),
        );
    }
    lines
}

/// What this program knows of a version of a kind.
fn here(known: &[KnownKind], kind: KindId, version: u16) -> String {
    if known_with(known, kind, version).is_some() {
        return "this program knows it".to_owned();
    }
    let ranges = known.iter().filter(|run| run.kind == kind).map(|run| {
        let Versions { oldest, newest } = run.versions;
        if oldest == newest {
            newest.to_string()
        } else {
            format!("{oldest} to {newest}")
        }
    });
    let ranges: Vec<String> = ranges.collect();
    if ranges.is_empty() {
        "this program does not know it".to_owned()
    } else {
        format!("this program knows version {} only", ranges.join(" and "))
    }
}

fn line(service: &ServiceReport, next: Height, known: &[KnownKind]) -> String {
    let mut words = match service.in_force(next) {
        Some(terms) => {
            let here = here(known, service.kind, terms.version);
            let limits = &terms.demand_max;
            format!(
                "active, version {}; {here}; at most {} units in, {} out, {} s{}",
                terms.version,
                limits.units.input,
                limits.units.output,
                limits.execution_max.get() / 1_000,
                if terms.has_appeals {
                    ""
                } else {
                    "; without appeals"
                }
            )
        }
        None => json::service_state(service, next).to_owned(),
    };
    for entry in service.planned(next) {
        let change = match &entry.terms {
            Some(terms) => format!("; version {} from block {} on", terms.version, entry.from),
            None => format!("; retired from block {} on", entry.from),
        };
        words.push_str(&change);
    }
    format!(
        "{:<12} kind {:<5} {words}",
        service.name(next),
        service.kind
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{
        BoundedVec,
        catalogue::{ServiceEntry, ServiceTerms},
    };

    fn entry(name: &str, from: u64, version: Option<u16>) -> ServiceEntry {
        ServiceEntry {
            from: Height(from),
            terms: version.map(|version| ServiceTerms::widest(name, version)),
        }
    }

    #[test]
    fn a_catalogue_reads_as_text() {
        let service = |kind, entries| ServiceReport {
            kind: KindId(kind),
            entries: BoundedVec::truncating(entries),
        };
        let catalogue = Catalogue {
            height: Height(40),
            services: BoundedVec::truncating([
                service(
                    1,
                    vec![entry("text", 1, Some(1)), entry("text", 90, Some(2))],
                ),
                service(2, vec![entry("chat", 1, Some(7)), entry("chat", 20, None)]),
                service(9, vec![entry("echo", 50, Some(1))]),
            ]),
        };
        let known = [KnownKind {
            kind: KindId(1),
            versions: Versions::only(1),
        }];
        assert_eq!(
            lines(&catalogue, &known).join("\n"),
            "text         kind 1     active, version 1; this program knows it; at most 4294967296 units in, 4294967296 out, 3600 s; version 2 from block 90 on\n\
             chat         kind 2     retired\n\
             echo         kind 9     planned; version 1 from block 50 on"
        );
        assert_eq!(
            summary(&catalogue),
            "services   text 1; 2 change(s) planned, see `fairweir services`"
        );
    }

    #[test]
    fn every_version_that_the_program_knows_counts() {
        let run = |oldest, newest| KnownKind {
            kind: KindId(1),
            versions: Versions { oldest, newest },
        };
        let known = [run(1, 2), run(4, 4)];
        let words = [1, 3, 4].map(|version| here(&known, KindId(1), version));
        assert_eq!(
            words,
            [
                "this program knows it",
                "this program knows version 1 to 2 and 4 only",
                "this program knows it"
            ]
        );
        assert_eq!(here(&known, KindId(2), 1), "this program does not know it");
    }
}
