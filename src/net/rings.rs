//! The two rings of each core: how they are set up, what memory the kernel counts for them, and what to do when it
//! refuses that.
//!
//! Since Linux 6.14 the memory of rings counts against RLIMIT_MEMLOCK of the user, unless he has CAP_IPC_LOCK; before,
//! only registered buffers did, of which there are none here. 8 MiB, what most systems allow, are enough for six cores.

use std::io;
use std::time::{Duration, Instant};

use io_uring::IoUring;

use super::ring::{COMPLETION_COUNT, SUBMISSION_COUNT};

/// Submissions of the ring under HTTP; the kernel makes room for twice as many completions.
pub const HTTP_SUBMISSION_COUNT: u32 = 4_096;

/// io_uring.h: a submission, a completion, and the index of a submission.
const SUBMISSION_LEN: u64 = 64;
const COMPLETION_LEN: u64 = 16;
const INDEX_LEN: u64 = 4;
/// The heads of both queues, in cache lines of their own.
const HEADS_LEN: u64 = 320;
const PAGE_LEN: u64 = 4_096;

/// The kernel takes the rings of a process that has ended apart beside its end: after a restart their memory counts
/// for a moment longer.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Bytes that the kernel counts for one core.
pub fn memory_per_core() -> u64 {
    let ring = |submissions: u32, completions: u32| {
        let (submissions, completions) = (u64::from(submissions), u64::from(completions));
        let queues = HEADS_LEN + completions * COMPLETION_LEN + submissions * INDEX_LEN;
        queues.next_multiple_of(PAGE_LEN) + (submissions * SUBMISSION_LEN).next_multiple_of(PAGE_LEN)
    };
    ring(HTTP_SUBMISSION_COUNT, 2 * HTTP_SUBMISSION_COUNT) + ring(SUBMISSION_COUNT, COMPLETION_COUNT)
}

/// Sets up as many rings as a server with `core_count` cores, all at once, and lets them go.
///
/// # Errors
/// For how many cores there was room, and what the kernel said then.
pub fn trial(core_count: usize) -> Result<(), (usize, io::Error)> {
    let mut rings = Vec::with_capacity(core_count);
    for index in 0..core_count {
        for (submissions, completions) in
            [(HTTP_SUBMISSION_COUNT, 2 * HTTP_SUBMISSION_COUNT), (SUBMISSION_COUNT, COMPLETION_COUNT)]
        {
            let ring: io::Result<IoUring> = patiently(|| {
                let mut builder = IoUring::builder();
                builder
                    .setup_single_issuer()
                    .setup_defer_taskrun()
                    .setup_cqsize(completions)
                    .build(submissions)
            });
            rings.push(ring.map_err(|error| (index, error))?);
        }
    }
    Ok(())
}

/// Tries again while memory is refused, for [`PATIENCE`]. Blocks: for threads that serve nobody yet.
///
/// # Errors
/// The last one.
pub fn patiently<T>(set_up: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match set_up() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(RETRY_INTERVAL);
            }
            result => return result,
        }
    }
}

/// Why the rings of a core cannot be set up, and what to do about it. `limit`: RLIMIT_MEMLOCK.
pub fn explain(error: &io::Error, core_index: usize, core_count: usize, limit: Option<u64>) -> String {
    let begin = format!("cannot set up io_uring for core {} of {core_count}: {error}", core_index + 1);
    match (error.raw_os_error(), limit) {
        (Some(libc::ENOMEM), Some(limit)) => {
            let (each, kib) = (memory_per_core(), 1 << 10);
            let need = each * core_count as u64;
            format!(
                "{begin}; the limit of locked memory (RLIMIT_MEMLOCK) is {} KiB, and {core_count} cores need {} KiB, \
                 {} each: LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for a container, \
                 `ulimit -l unlimited` as root or tuning/limits.conf for a login, or --cores {}",
                limit / kib,
                need.div_ceil(kib),
                each.div_ceil(kib),
                (limit / each).clamp(1, core_count as u64)
            )
        }
        _ => format!("{begin}; `plexichat check --cores {core_count}` says why and what to do"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_by_core() {
        // 37 + 64 pages under HTTP, 133 + 64 of the gateway.
        assert_eq!(memory_per_core(), 298 * PAGE_LEN);
        assert_eq!((8 << 20) / memory_per_core(), 6);
    }

    #[test]
    fn as_many_rings_as_wanted() {
        assert!(trial(2).is_ok());
    }

    #[test]
    fn a_refusal_names_limit_need_and_remedy() {
        let text = explain(&io::Error::from_raw_os_error(libc::ENOMEM), 6, 8, Some(8 << 20));
        for part in [
            "core 7 of 8",
            "is 8192 KiB",
            "8 cores need 9536 KiB, 1192 each",
            "LimitMEMLOCK=infinity",
            "--cores 6",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = explain(&io::Error::from_raw_os_error(libc::EPERM), 0, 2, Some(8 << 20));
        assert!(text.contains("core 1 of 2") && text.contains("plexichat check --cores 2"), "{text}");
    }
}
