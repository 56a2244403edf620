use crate::{
    Global,
    connection::TICKET_FILE,
    failure::{Exit, code},
    output,
};
use fairweir_node::{Config, Keystore};
use serde_json::{Value, json};
use std::{
    net::UdpSocket,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Look for what would stand in the way on this machine, and say what to do about it.
///
/// Ends with code 6 if anything does.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

struct Finding {
    what: &'static str,
    holds: bool,
    detail: String,
}

impl Finding {
    fn into_result(self) -> Result<(), Exit> {
        if self.holds {
            Ok(())
        } else {
            Err(Exit::message(code::MACHINE, self.detail))
        }
    }
}

/// Bytes of free disk below which a node should not start.
pub(crate) const FREE_DISK_MIN: u64 = 512 * 1_024 * 1_024;
/// With less than this a file that a store needs may not be begun.
const FULL_DISK: u64 = 32 * 1_024 * 1_024;
/// A clock before this time is certainly wrong: the program was written later (2026-11-01).
const CLOCK_MIN: Duration = Duration::from_secs(1_793_491_200);

impl Doctor {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let findings = [
            clock(now()),
            disk(&global.data_path(), free_bytes(&global.data_path())),
            folder(global),
            keys(global),
            port(global),
            node(global),
        ];
        if global.json {
            let findings: Vec<Value> = findings
                .iter()
                .map(|finding| json!({"check": finding.what, "ok": finding.holds, "detail": finding.detail}))
                .collect();
            output::json_pretty(&findings.into());
        } else {
            for finding in &findings {
                let mark = if finding.holds { "ok  " } else { "FAIL" };
                output::line(format!("{mark}  {:<8} {}", finding.what, finding.detail));
            }
        }
        if findings.iter().all(|finding| finding.holds) {
            Ok(())
        } else {
            Err(Exit::message(
                code::MACHINE,
                "something stands in the way; see above",
            ))
        }
    }
}

/// Time since 1970 by the system's clock.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn clock(now: Duration) -> Finding {
    let holds = now >= CLOCK_MIN;
    let detail = if holds {
        format!("{} seconds since 1970", now.as_secs())
    } else {
        "the clock is years behind: set it, or install systemd-timesyncd or chrony".to_owned()
    };
    Finding {
        what: "clock",
        holds,
        detail,
    }
}

/// Fails when the clock is certainly wrong.
pub(crate) fn check_clock() -> Result<(), Exit> {
    clock(now()).into_result()
}

/// Free bytes where a folder is or will be, by the system's `df`.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|path| path.exists())?;
    let output = std::process::Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(existing)
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .nth(1)?
        .trim()
        .parse()
        .ok()
}

/// Fails when the disk is nearly full.
pub(crate) fn check_disk(path: &Path) -> Result<(), Exit> {
    disk(path, free_bytes(path)).into_result()
}

/// What to say of a disk on which nearly nothing can be written any more.
pub(crate) fn full_disk(path: &Path) -> Option<String> {
    let free = free_bytes(path).filter(|free| *free < FULL_DISK)?;
    Some(disk(path, Some(free)).detail)
}

fn disk(path: &Path, free: Option<u64>) -> Finding {
    let mebibytes = |bytes: u64| bytes / 1_024 / 1_024;
    match free {
        Some(free) if free < FREE_DISK_MIN => Finding {
            what: "disk",
            holds: false,
            detail: format!(
                "only {} MiB are free at {}: make room (at least {} MiB), or choose another folder with --data",
                mebibytes(free),
                path.display(),
                mebibytes(FREE_DISK_MIN)
            ),
        },
        Some(free) => Finding {
            what: "disk",
            holds: true,
            detail: format!("{} MiB free at {}", mebibytes(free), path.display()),
        },
        None => Finding {
            what: "disk",
            holds: true,
            detail: "free space is unknown here".to_owned(),
        },
    }
}

fn folder(global: &Global) -> Finding {
    let opened = global
        .data_dir()
        .map_err(|_| ())
        .and_then(|data| data.genesis().map_err(|_| ()));
    let path = global.data_path();
    match opened {
        Ok(genesis) => Finding {
            what: "folder",
            holds: true,
            detail: format!("{} holds {}", path.display(), genesis.chain_id),
        },
        Err(()) => match fairweir_node::DataDir::open(&path) {
            Ok(_) => Finding {
                what: "folder",
                holds: true,
                detail: format!("{} is empty: `fairweir up` will fill it", path.display()),
            },
            Err(error) => Finding {
                what: "folder",
                holds: false,
                detail: error.to_string(),
            },
        },
    }
}

fn keys(global: &Global) -> Finding {
    let exists = global
        .data_dir()
        .ok()
        .and_then(|data| Keystore::exists(&data).ok())
        .unwrap_or(false);
    let detail = if exists {
        "encrypted keys are here"
    } else {
        "no keys yet: `fairweir up` or `fairweir keys new NAME` makes some"
    };
    Finding {
        what: "keys",
        holds: true,
        detail: detail.to_owned(),
    }
}

fn port(global: &Global) -> Finding {
    let listen = global
        .data_dir()
        .ok()
        .and_then(|data| Config::load(&data).ok())
        .unwrap_or_default()
        .listen;
    let is_running = global.data_dir().is_ok_and(|data| data.lock().is_err());
    match UdpSocket::bind(listen) {
        Ok(_) => Finding {
            what: "port",
            holds: true,
            detail: format!("{listen} is free"),
        },
        Err(_) if is_running => Finding {
            what: "port",
            holds: true,
            detail: format!("{listen} is used by the node that runs here"),
        },
        Err(error) => Finding {
            what: "port",
            holds: false,
            detail: format!(
                "{listen} cannot be used ({error}): stop the other program, or use --listen {}:0",
                listen.ip()
            ),
        },
    }
}

fn node(global: &Global) -> Finding {
    let data = global.data_dir();
    let is_running = data.as_ref().is_ok_and(|data| data.lock().is_err());
    let has_address = data.is_ok_and(|data| matches!(data.read(TICKET_FILE), Ok(Some(_))));
    let detail = match (is_running, has_address) {
        (true, true) => "a node runs here",
        (true, false) => "a node is starting here",
        (false, _) => "no node runs here: `fairweir up` starts one",
    };
    Finding {
        what: "node",
        holds: true,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_and_a_full_disk_are_named_with_a_way_out() {
        let path = Path::new("/data");
        // finding, whether it holds, what it says
        let table = [
            (clock(Duration::ZERO), false, "set it, or install"),
            (
                clock(CLOCK_MIN - Duration::from_secs(1)),
                false,
                "years behind",
            ),
            (clock(CLOCK_MIN), true, "seconds since 1970"),
            (
                disk(path, Some(0)),
                false,
                "only 0 MiB are free at /data: make room",
            ),
            (
                disk(path, Some(FREE_DISK_MIN - 1)),
                false,
                "only 511 MiB are free at /data: make room (at least 512 MiB), or choose another folder with --data",
            ),
            (disk(path, Some(FREE_DISK_MIN)), true, "512 MiB free"),
            (disk(path, None), true, "unknown"),
        ];
        for (finding, holds, says) in table {
            assert_eq!(finding.holds, holds, "{}", finding.detail);
            assert!(finding.detail.contains(says), "{}", finding.detail);
            let detail = finding.detail.clone();
            assert_eq!(finding.into_result().is_ok(), holds, "{detail}");
        }
    }
}
