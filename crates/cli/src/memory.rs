//! What the allocator gives back to the system.

/// From this size on a buffer is a mapping of its own, in bytes: 1 MiB.
///
/// By default glibc raises its bound to the size of what was freed last, up to 32 MiB. Then what messages were read into comes from arenas of 64 MiB, of which each goes
/// back only when nothing lies in it any more: a node that strangers threw at held half as much again as was in use, and kept most of it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES_MIN: i32 = 1024 * 1024;

/// What each arena keeps for later at its end, in bytes: 4 MiB. By default it follows the bound above.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES_MAX: i32 = 4 * 1024 * 1024;

/// Has large buffers go back to the system as soon as they are freed, whatever `GLIBC_TUNABLES` says. Call it before there are other threads.
pub(crate) fn give_large_buffers_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(
            unsafe_code,
            reason = "glibc is told so by a call, or by the environment, which is not ours to set"
        )]
        // SAFETY: mallopt writes the allocator's own settings, under its own lock.
        let taken = unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN) == 1
                && libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX) == 1
        };
        debug_assert!(taken, "glibc refuses only bounds above half an arena");
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use std::fs;

    const MESSAGE: usize = 4 * 1024 * 1024;

    fn resident_bytes() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes = resident.split_whitespace().next().unwrap();
        kibibytes.parse::<usize>().unwrap() * 1_024
    }

    #[test]
    fn what_few_buffers_remain_of_holds_no_more_than_they_are() {
        give_large_buffers_back();
        // The first that is freed would raise the bound.
        drop(vec![1_u8; MESSAGE]);
        let before = resident_bytes();
        let mut buffers: Vec<_> = (0..60).map(|_| vec![1_u8; MESSAGE]).collect();
        assert!(resident_bytes() - before >= 60 * MESSAGE);
        let mut number = 0;
        buffers.retain(|_| {
            number += 1;
            number % 10 == 0
        });
        let held = resident_bytes() - before;
        assert!(held < 7 * MESSAGE, "{held} bytes for 6 buffers");
        assert_eq!(buffers.len(), 6);
    }
}
