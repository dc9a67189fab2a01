//! Does this machine fit? Each finding has what is, what is wanted, and the command that mends it.
//!
//! Only what the server cannot run without fails; the rest costs speed or reach and warns.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::config::Config;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    Warn,
    /// The server does not start.
    Fail,
}

/// One line of `plexichat check`.
#[derive(Debug)]
pub struct Finding {
    pub verdict: Verdict,
    pub name: &'static str,
    pub current: String,
    pub wanted: String,
    /// What to type or change; not shown when all is well.
    pub remedy: String,
}

/// SINGLE_ISSUER came with 6.0, DEFER_TASKRUN with 6.1.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Below this even a small installation runs out.
const OPEN_FILES_MIN: u64 = 1024;
/// Files that are not client connections: rings, database, logs, listeners.
const OPEN_FILES_OWN: u64 = 256;
const MEMLOCK_WANTED: u64 = 8 << 20;
const DISK_MIN: u64 = 64 << 20;
const DISK_WANTED: u64 = 4 << 30;
const PORTS_WANTED: u64 = 28_000;

/// Kernel settings that only cost reach: (file below /proc/sys, sysctl, at least, suggestion).
const SYSCTLS: [(&str, &str, u64, &str); 2] = [
    ("net/core/somaxconn", "net.core.somaxconn", 4096, "65535"),
    ("net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog", 4096, "65535"),
];

/// All findings, those that can fail first.
#[must_use]
pub fn run(config: &Config) -> Vec<Finding> {
    let mut findings =
        vec![kernel(), ring(), open_files(config), address_space(config), disk(config), memlock()];
    findings.extend(SYSCTLS.iter().map(sysctl));
    findings.push(ports());
    findings
}

/// What the server cannot start without: kernel, io_uring, open files.
///
/// # Errors
/// One sentence that says what is missing and what to do.
pub fn essentials() -> Result<(), String> {
    let findings = [kernel(), ring(), open_files(&Config::default())];
    match findings.iter().find(|finding| finding.verdict == Verdict::Fail) {
        Some(finding) => Err(format!(
            "{} is {}, but {} is needed: {} (`plexichat check` shows everything)",
            finding.name, finding.current, finding.wanted, finding.remedy
        )),
        None => Ok(()),
    }
}

/// The findings as a table with a sum at the end.
#[must_use]
pub fn table(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let Finding { name, current, wanted, .. } = finding;
        let _ = writeln!(out, "{verdict:<5}{name:<30}{current:<26}wanted: {wanted}");
        if finding.verdict != Verdict::Ok {
            let _ = writeln!(out, "     → {}", finding.remedy);
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => writeln!(out, "\nThis machine fits."),
        (0, warn) => writeln!(out, "\nThis machine fits; {warn} setting(s) limit what it can carry."),
        (fail, _) => writeln!(out, "\n{fail} thing(s) must be mended before the server can start."),
    };
    out
}

/// Raises the soft limit of open files to the hard one, as each connection is a file.
///
/// # Errors
/// The kernel refused. The limit in force is then unchanged.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = limit(libc::RLIMIT_NOFILE)?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn finding(verdict: Verdict, name: &'static str, current: String, wanted: String, remedy: String) -> Finding {
    Finding { verdict, name, current, wanted, remedy }
}

fn kernel() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let fits = kernel_version(release).is_some_and(|version| version >= KERNEL_MIN);
    let verdict = if fits { Verdict::Ok } else { Verdict::Fail };
    let current = if release.is_empty() { "unknown".to_owned() } else { release.to_owned() };
    let remedy = "install a kernel of 6.1 or later, as in Debian 12, Ubuntu 24.04 or RHEL 10";
    finding(verdict, "kernel", current, "6.1 or later".into(), remedy.into())
}

/// Major and minor of a release such as `6.18.44-fc`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn ring() -> Finding {
    let name = "io_uring";
    let wanted = "SINGLE_ISSUER DEFER_TASKRUN".to_owned();
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match make_ring() {
        Ok(()) => finding(Verdict::Ok, name, "permitted".into(), wanted, String::new()),
        Err(error) => {
            let remedy = ring_remedy(error.raw_os_error().unwrap_or(0), disabled.trim());
            finding(Verdict::Fail, name, format!("refused ({error})"), wanted, remedy.to_owned())
        }
    }
}

fn ring_remedy(errno: i32, disabled: &str) -> &'static str {
    match (errno, disabled) {
        (libc::EPERM, "1" | "2") => "sysctl -w kernel.io_uring_disabled=0",
        (libc::EPERM | libc::EACCES, _) => {
            "the container forbids it: run with the seccomp profile in tuning/, or --security-opt seccomp=unconfined"
        }
        (libc::ENOSYS, _) => "use a kernel built with CONFIG_IO_URING, and no sandbox that hides it",
        (libc::EINVAL, _) => "install a kernel of 6.1 or later",
        (libc::ENOMEM, _) => "raise the memlock limit: ulimit -l unlimited",
        _ => "see io_uring_setup(2) for this error",
    }
}

/// Makes the smallest ring with the flags the cores use, and lets it go.
fn make_ring() -> io::Result<()> {
    // linux/io_uring.h: struct io_uring_params is 120 bytes, flags is its third u32.
    const PARAMS_LEN: usize = 30;
    const FLAGS_INDEX: usize = 2;
    const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
    const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
    let mut params = [0u32; PARAMS_LEN];
    params[FLAGS_INDEX] = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN;
    // SAFETY: the kernel reads and writes 120 bytes at the pointer, which the array has.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2_u32, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = libc::c_int::try_from(fd).expect("a descriptor is an int");
    // SAFETY: the descriptor is new, so nobody else holds it.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
    Ok(())
}

/// The hard limit counts, because the server raises the soft one to it.
fn open_files(config: &Config) -> Finding {
    let name = "open files (hard limit)";
    let wanted = config.http_connections_max + OPEN_FILES_OWN;
    let remedy = format!("ulimit -Hn {wanted}, or LimitNOFILE={wanted} in the systemd unit");
    let (verdict, current) = match limit(libc::RLIMIT_NOFILE) {
        Ok(limit) => (grade(limit.rlim_max, OPEN_FILES_MIN, wanted), limit_text(limit.rlim_max)),
        Err(error) => (Verdict::Warn, error.to_string()),
    };
    finding(verdict, name, current, format!("{wanted} for http.connections_max"), remedy)
}

fn grade(value: u64, fail_below: u64, warn_below: u64) -> Verdict {
    match value {
        value if value < fail_below => Verdict::Fail,
        value if value < warn_below => Verdict::Warn,
        _ => Verdict::Ok,
    }
}

fn limit_text(value: u64) -> String {
    if value == libc::RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() }
}

/// Reserves as much address space as the database will map, and gives it back.
fn address_space(config: &Config) -> Finding {
    let size = config.store_map_size;
    let wanted = format!("{} for store.map_size", size_text(size));
    let remedy = "ulimit -v unlimited, or a smaller store.map_size".to_owned();
    let name = "address space";
    match reserve(size) {
        Ok(()) => finding(Verdict::Ok, name, "enough".into(), wanted, remedy),
        Err(error) => finding(Verdict::Fail, name, format!("refused ({error})"), wanted, remedy),
    }
}

fn reserve(size: u64) -> io::Result<()> {
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place the kernel chooses, which nothing points to and which is given back at once.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0);
        if start == libc::MAP_FAILED || libc::munmap(start, size) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn disk(config: &Config) -> Finding {
    let name = "free disk at store.path";
    let wanted = size_text(DISK_WANTED);
    let remedy = format!("free some space at {}, or choose another store.path", config.store_path);
    match free_bytes(Path::new(&config.store_path)) {
        Ok(free) => finding(grade(free, DISK_MIN, DISK_WANTED), name, size_text(free), wanted, remedy),
        Err(error) => finding(Verdict::Warn, name, error.to_string(), wanted, remedy),
    }
}

/// Of the file system that the folder, or the nearest parent that exists, is on.
fn free_bytes(path: &Path) -> io::Result<u64> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let name = std::ffi::CString::new(existing.as_os_str().as_encoded_bytes())?;
    // SAFETY: statvfs is plain numbers, for which zero is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated name and a live statvfs.
    match unsafe { libc::statvfs(name.as_ptr(), &raw mut stat) } {
        0 => Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn memlock() -> Finding {
    let wanted = format!("{} for ring buffers", size_text(MEMLOCK_WANTED));
    let remedy = "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit".to_owned();
    let (verdict, current) = match limit(libc::RLIMIT_MEMLOCK) {
        Ok(limit) if limit.rlim_cur == libc::RLIM_INFINITY => (Verdict::Ok, "unlimited".to_owned()),
        Ok(limit) => (grade(limit.rlim_cur, 0, MEMLOCK_WANTED), size_text(limit.rlim_cur)),
        Err(error) => (Verdict::Warn, error.to_string()),
    };
    finding(verdict, "locked memory", current, wanted, remedy)
}

fn sysctl(row: &(&str, &'static str, u64, &str)) -> Finding {
    let (file, name, at_least, suggestion) = *row;
    let remedy = format!("sysctl -w {name}={suggestion}");
    let wanted = format!("{at_least} or more");
    let text = std::fs::read_to_string(format!("/proc/sys/{file}"));
    match text.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(value) => finding(grade(value, 0, at_least), name, value.to_string(), wanted, remedy),
        None => finding(Verdict::Warn, name, "unknown".into(), wanted, remedy),
    }
}

/// Matters to whoever connects from this machine: a proxy in front, or a load test.
fn ports() -> Finding {
    let name = "net.ipv4.ip_local_port_range";
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let count = port_count(&text).unwrap_or(0);
    let remedy = format!("sysctl -w {name}='1024 65535'");
    let current = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    finding(grade(count, 0, PORTS_WANTED), name, current, format!("{PORTS_WANTED} ports or more"), remedy)
}

fn port_count(text: &str) -> Option<u64> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some((high + 1).saturating_sub(low))
}

/// For people: `64 GiB`, `1.5 GiB`.
fn size_text(bytes: u64) -> String {
    let units: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = units.into_iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    match u128::from(bytes) * 10 / u128::from(unit) % 10 {
        0 => format!("{} {name}", bytes / unit),
        tenths => format!("{}.{tenths} {name}", bytes / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        for (release, want) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("6.1", Some((6, 1))),
            ("5.15.0-1-amd64", Some((5, 15))),
            ("10.0-rc1", Some((10, 0))),
            ("six", None),
            ("", None),
        ] {
            assert_eq!(kernel_version(release), want, "{release}");
        }
        let fits = [(5, 19), (6, 0), (6, 1), (10, 0)].map(|version| version >= KERNEL_MIN);
        assert_eq!(fits, [false, false, true, true]);
    }

    #[test]
    fn numbers_are_read_and_shown() {
        for (text, want) in [("32768\t60999\n", Some(28_232)), ("5 4", Some(0)), ("5", None), ("", None)] {
            assert_eq!(port_count(text), want, "{text:?}");
        }
        for (bytes, want) in [(0, "0 bytes"), (1024, "1 KiB"), (3 << 29, "1.5 GiB"), (64 << 30, "64 GiB")] {
            assert_eq!(size_text(bytes), want);
        }
        assert_eq!([0, 10, 20].map(|value| grade(value, 5, 15)), [Verdict::Fail, Verdict::Warn, Verdict::Ok]);
    }

    #[test]
    fn remedies_follow_the_cause() {
        assert_eq!(ring_remedy(libc::EPERM, "2"), "sysctl -w kernel.io_uring_disabled=0");
        assert!(ring_remedy(libc::EPERM, "0").contains("seccomp"));
        assert!(ring_remedy(libc::EINVAL, "").contains("6.1"));
    }

    #[test]
    fn findings_are_complete() {
        let findings = run(&Config { store_path: "/nowhere/at/all".into(), ..Config::default() });
        assert_eq!(findings.len(), 9);
        let text = table(&findings);
        for finding in &findings {
            assert!(!finding.current.is_empty(), "{finding:?}");
            assert!(finding.verdict == Verdict::Ok || !finding.remedy.is_empty(), "{finding:?}");
            assert!(text.contains(finding.name));
        }
    }

    #[test]
    fn a_map_that_cannot_be_is_refused() {
        assert!(reserve(1 << 50).is_err());
        assert!(reserve(1 << 30).is_ok());
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        let now = limit(libc::RLIMIT_NOFILE).unwrap();
        assert_eq!((now.rlim_cur, now.rlim_max), (raised, raised));
    }
}
