//! Which cores this process may use, and pinning a thread to one of them.
//!
//! Owns: the affinity mask. Invariant: a container's or `taskset`'s restriction is respected, so the
//! number of cores returned is the number of core threads worth starting.

use std::io;
use std::mem;

/// The cores the calling thread may run on, ascending (`sched_getaffinity`). Never empty on success.
///
/// Call it before [`pin`]: afterwards the answer is the one core. Threads inherit the mask of the thread
/// that starts them, so helpers that should roam are started before pinning too.
pub fn available() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is a plain bit array, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: pid 0 is the calling thread; `set` is writable and the size given is its own.
    let status = unsafe { libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &mut set) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every index is below CPU_SETSIZE, the number of bits in the set.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Pins the calling thread to `core`, a number out of [`available`].
///
/// Errors: `InvalidInput` for a number no kernel mask holds, else what `sched_setaffinity` says
/// (`EINVAL` when the core is offline or not allowed).
pub fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "core number out of range"));
    }
    // SAFETY: as in `available`; the index was checked against the number of bits.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: pid 0 is the calling thread; `set` is readable and the size given is its own.
    match unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the calling thread more polite.
pub fn lower_priority(niceness: libc::c_int) {
    // SAFETY: takes no pointers; id 0 is the calling thread (on Linux, priorities are per thread).
    // Raising the niceness needs no right, and if it failed the lane would only be less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_pins_itself_only() {
        let before = available().unwrap();
        assert!(!before.is_empty());
        let last = *before.last().unwrap();
        let seen = std::thread::spawn(move || pin(last).and_then(|()| available())).join().unwrap().unwrap();
        assert_eq!(seen, [last]);
        assert_eq!(available().unwrap(), before);
    }

    #[test]
    fn cores_that_do_not_exist_are_errors() {
        assert!(pin(usize::MAX).is_err());
        assert!(pin(libc::CPU_SETSIZE as usize).is_err());
    }
}
