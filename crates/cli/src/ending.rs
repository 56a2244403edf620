//! When a program that serves comes to its end.

use crate::failure::Exit;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// Waits for Ctrl-C, a termination signal, or the end of the terminal.
pub(crate) async fn wait_for_end() -> Result<(), Exit> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
        hung_up = wait_for_hangup() => hung_up?,
    }
    Ok(())
}

/// Waits until its terminal is gone: for ever where it was started to outlive that.
async fn wait_for_hangup() -> Result<(), Exit> {
    if outlives_its_terminal() {
        std::future::pending::<()>().await;
    }
    signal(SignalKind::hangup())?.recv().await;
    Ok(())
}

/// Whether it was started with `nohup` or the like, which have the signal ignored; whoever handles it would undo that. Where the system does not say it is
/// left to the system, which kills who does not ignore it.
fn outlives_its_terminal() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is that of signal 1, SIGHUP.
    ignored.is_none_or(|mask| mask & 1 == 1)
}
