//! What the kernel lets this process do: its version, io_uring, open files, memory and address space.

use std::io;

use super::machine::size_text;
use super::{Finding, Machine, Verdict, grade};
use crate::config::{Config, Http, Store};
use crate::net::rings;

/// SINGLE_ISSUER came with 6.0, DEFER_TASKRUN with 6.1.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Files that are not client connections: rings, database, logs, listeners.
pub(super) const OPEN_FILES_OWN: u64 = 256;
/// Below this there is nobody to serve.
const OPEN_FILES_MIN: u64 = OPEN_FILES_OWN + 64;
/// What the store maps beyond `store.map_size`, so that a full database can still be read and emptied.
const MAP_RESERVE: u64 = 1 << 30;

/// What the server itself looks at before it starts.
pub fn to_start(machine: &Machine, config: &Config) -> Vec<Finding> {
    vec![kernel(machine), ring(machine), open_files(config), address_space(&config.store)]
}

/// The same, and what it finds out when it has started: the rings of all `core_count` cores.
pub fn essential(machine: &Machine, config: &Config, core_count: usize) -> Vec<Finding> {
    let mut findings = to_start(machine, config);
    // Without one ring there is no need to ask for more.
    let made = if findings[1].verdict == Verdict::Ok { rings::trial(core_count) } else { Ok(()) };
    findings.push(memlock(made, core_count));
    findings
}

/// Takes no more connections than there are files for, and says so. Call it once the limit is raised.
pub fn fit_connections(config: &mut Config) -> Option<String> {
    let limit = open_files_max().ok()?;
    let wanted = config.http.connections_max;
    let fit = limit.saturating_sub(OPEN_FILES_OWN);
    if fit >= wanted {
        return None;
    }
    config.http.connections_max = fit;
    let files = wanted + OPEN_FILES_OWN;
    Some(format!(
        "http.connections_max is {wanted}, but the hard limit of open files is {limit}: {fit} connections are taken, \
         further ones are answered 503; {}",
        open_files_remedy(files)
    ))
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

/// The hard limit of open files: the one in force once the server has raised its own.
pub fn open_files_max() -> io::Result<u64> {
    Ok(limit(libc::RLIMIT_NOFILE)?.rlim_max)
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn kernel(machine: &Machine) -> Finding {
    let release = machine.text("proc/sys/kernel/osrelease").unwrap_or_default();
    let verdict = match kernel_version(&release) {
        Some(version) if version >= KERNEL_MIN => Verdict::Ok,
        Some(_) => Verdict::Error,
        // A sandbox may hide the file; making a ring tells what counts.
        None => Verdict::Warning,
    };
    let current = if release.is_empty() { "unknown".to_owned() } else { release };
    Finding::new("kernel", verdict, current)
        .wanted("6.1 or later")
        .why("the cores use what io_uring learnt in 6.0 and 6.1")
        .remedy("install a kernel of 6.1 or later, as in Debian 12, Ubuntu 24.04 or RHEL 10")
}

/// Major and minor of a release such as `6.18.44-fc`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn ring(machine: &Machine) -> Finding {
    // The rings of a server that has just ended count for a moment longer.
    let made = rings::patiently(make_ring).map_err(|error| error.raw_os_error().unwrap_or(0));
    ring_finding(machine, made)
}

/// Of what became of a trial: the error number, if it failed.
fn ring_finding(machine: &Machine, made: Result<(), i32>) -> Finding {
    // proc(5): 2 is a filter, as containers and systemd units have.
    let filtered = machine.field("proc/self/status", "Seccomp") == Some(2);
    let disabled = machine.number("proc/sys/kernel/io_uring_disabled").unwrap_or(0);
    let (verdict, current) = match made {
        Ok(()) if filtered => (Verdict::Ok, "permitted by the filter".to_owned()),
        Ok(()) => (Verdict::Ok, "permitted".to_owned()),
        Err(errno) => (Verdict::Error, format!("refused ({})", io::Error::from_raw_os_error(errno))),
    };
    let finding = Finding::new("io_uring", verdict, current)
        .wanted("SINGLE_ISSUER DEFER_TASKRUN")
        .why("every socket of the server is read and written through it");
    match made {
        Ok(()) => finding,
        Err(libc::EPERM) if disabled > 0 => finding.command("sysctl -w kernel.io_uring_disabled=0"),
        Err(errno) => finding.remedy(ring_remedy(errno)),
    }
}

fn ring_remedy(errno: i32) -> &'static str {
    match errno {
        libc::EPERM | libc::EACCES => {
            "the container or unit forbids it: run with the seccomp profile in tuning/, or --security-opt seccomp=unconfined"
        }
        libc::ENOSYS => "use a kernel built with CONFIG_IO_URING, and no sandbox that hides it",
        libc::EINVAL => "install a kernel of 6.1 or later",
        libc::ENOMEM => {
            "raise the limit of locked memory: LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for a container, `ulimit -l unlimited` as root or tuning/limits.conf for a login"
        }
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
    open_files_of(&config.http, open_files_max())
}

fn open_files_of(http: &Http, max: io::Result<u64>) -> Finding {
    let wanted = http.connections_max + OPEN_FILES_OWN;
    let (verdict, current) = match max {
        Ok(value) => (grade(value, OPEN_FILES_MIN.min(wanted), wanted), limit_text(value)),
        Err(error) => (Verdict::Warning, error.to_string()),
    };
    Finding::new("open files (hard limit)", verdict, current)
        .wanted(format!("{wanted} for http.connections_max = {}", http.connections_max))
        .why("a connection is a file; the server takes as many as there are files for, less 256 of its own")
        .remedy(open_files_remedy(wanted))
}

fn open_files_remedy(wanted: u64) -> String {
    format!(
        "LimitNOFILE={wanted} in the systemd unit, --ulimit nofile={wanted} for a container, tuning/limits.conf for a \
         login, or `ulimit -Hn {wanted}` as root"
    )
}

fn limit_text(value: u64) -> String {
    if value == libc::RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() }
}

/// Reserves as much address space as the database will map, and gives it back.
fn address_space(store: &Store) -> Finding {
    let size = store.map_size.saturating_add(MAP_RESERVE);
    let (verdict, current) = match (reserve(size), limit(libc::RLIMIT_AS)) {
        (Ok(()), _) => (Verdict::Ok, "enough".to_owned()),
        (Err(_), Ok(limit)) if limit.rlim_cur != libc::RLIM_INFINITY => {
            (Verdict::Error, format!("limited to {}", size_text(limit.rlim_cur)))
        }
        (Err(error), _) => (Verdict::Error, format!("refused ({error})")),
    };
    Finding::new("address space", verdict, current)
        .wanted(format!("{} for store.map_size = {} and 1 GiB", size_text(size), size_text(store.map_size)))
        .why("the database is mapped as a whole; addresses cost no memory")
        .remedy(
            "`ulimit -v unlimited` (LimitAS=infinity in the systemd unit), or a smaller store.map_size, such as \
             --set store.map_size=1GiB",
        )
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

/// Of what became of a trial with all rings: for how many cores there was room, and why not for more.
fn memlock(made: Result<(), (usize, io::Error)>, core_count: usize) -> Finding {
    let need = rings::memory_per_core() * core_count as u64;
    let in_force = match limit(libc::RLIMIT_MEMLOCK) {
        Ok(limit) if limit.rlim_cur == libc::RLIM_INFINITY => "unlimited".to_owned(),
        Ok(limit) => size_text(limit.rlim_cur),
        Err(error) => error.to_string(),
    };
    let (verdict, current, remedy) = match made {
        Ok(()) => (Verdict::Ok, in_force, ""),
        Err((count, error)) => {
            let remedy = match error.raw_os_error() {
                Some(libc::ENOMEM) => {
                    "LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for a container, `ulimit -l \
                     unlimited` as root or tuning/limits.conf for a login, or fewer --cores"
                }
                Some(libc::EMFILE | libc::ENFILE) => {
                    "a ring is a file: raise the limit of open files, or fewer --cores"
                }
                other => ring_remedy(other.unwrap_or(0)),
            };
            (Verdict::Error, format!("{in_force}: rings of {count} of {core_count} cores ({error})"), remedy)
        }
    };
    Finding::new("locked memory", verdict, current)
        .wanted(format!("{} for the rings of {core_count} core(s)", size_text(need)))
        .why("newer kernels count the rings of all servers of a user here, unless he has CAP_IPC_LOCK")
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::*;
    use crate::config::{Http, Store};

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
        for (release, want) in [
            ("5.19.1", Verdict::Error),
            ("6.0", Verdict::Error),
            ("6.1.0-18", Verdict::Ok),
            ("10.0", Verdict::Ok),
            ("?", Verdict::Warning),
        ] {
            let (_folder, machine) = fake(&[("proc/sys/kernel/osrelease", release)]);
            assert_eq!(kernel(&machine).verdict, want, "{release}");
        }
        assert_eq!(kernel(&Machine::at("/nowhere")).current, "unknown");
    }

    #[test]
    fn remedies_follow_the_cause() {
        let (_folder, off) = fake(&[("proc/sys/kernel/io_uring_disabled", "2\n")]);
        let finding = ring_finding(&off, Err(libc::EPERM));
        assert_eq!((finding.verdict, finding.commands.len()), (Verdict::Error, 1));
        assert_eq!(finding.commands, ["sysctl -w kernel.io_uring_disabled=0"]);
        let (_folder, container) =
            fake(&[("proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n")]);
        let finding = ring_finding(&container, Err(libc::EPERM));
        assert!(finding.remedy.contains("seccomp") && finding.commands.is_empty(), "{finding:?}");
        assert!(ring_finding(&container, Err(libc::EINVAL)).remedy.contains("6.1"));
        let finding = ring_finding(&container, Ok(()));
        assert_eq!((finding.verdict, finding.current.as_str()), (Verdict::Ok, "permitted by the filter"));
    }

    #[test]
    fn a_map_that_cannot_be_is_refused() {
        assert!(reserve(1 << 50).is_err());
        assert!(reserve(1 << 30).is_ok());
        let config = Config { store: Store { map_size: 1 << 50, ..Store::default() }, ..Config::default() };
        let finding = address_space(&config.store);
        assert_eq!(finding.verdict, Verdict::Error, "{finding:?}");
    }

    #[test]
    fn locked_memory_is_for_all_rings() {
        assert_eq!(memlock(Ok(()), 8).verdict, Verdict::Ok);
        let finding = memlock(Err((6, io::Error::from_raw_os_error(libc::ENOMEM))), 8);
        assert_eq!(finding.verdict, Verdict::Error);
        assert!(finding.current.contains("6 of 8 cores"), "{finding:?}");
        assert_eq!(finding.wanted, "9.3 MiB for the rings of 8 core(s)");
        for (errno, part) in [
            (libc::ENOMEM, "LimitMEMLOCK=infinity"),
            (libc::EMFILE, "limit of open files"),
            (libc::EPERM, "seccomp"),
            (libc::EIO, "io_uring_setup(2)"),
        ] {
            let finding = memlock(Err((6, io::Error::from_raw_os_error(errno))), 8);
            assert!(finding.remedy.contains(part), "{errno}: {finding:?}");
            assert_eq!(finding.remedy.contains("MEMLOCK"), errno == libc::ENOMEM, "{errno}: {finding:?}");
        }
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        let now = limit(libc::RLIMIT_NOFILE).unwrap();
        assert_eq!((now.rlim_cur, now.rlim_max), (raised, raised));
        assert_eq!(open_files_max().unwrap(), raised);
        let config = Config {
            http: Http { connections_max: raised.saturating_sub(OPEN_FILES_OWN), ..Http::default() },
            ..Config::default()
        };
        assert_eq!(open_files(&config).verdict, Verdict::Ok);
        assert_eq!(fit_connections(&mut config.clone()), None);
        let mut config = Config {
            http: Http { connections_max: config.http.connections_max + 1, ..config.http },
            ..config
        };
        assert_eq!(open_files(&config).verdict, Verdict::Warning);
        let wanted = config.http.connections_max;
        let said = fit_connections(&mut config).expect("one too many");
        assert!(said.contains(&format!("http.connections_max is {wanted}")), "{said}");
        assert_eq!(config.http.connections_max, wanted - 1);
        // Few are enough for somebody who wants few.
        let few = Config { http: Http { connections_max: 1, ..config.http }, ..config };
        assert_eq!(open_files_of(&few.http, Ok(OPEN_FILES_OWN + 1)).verdict, Verdict::Ok);
        assert_eq!(open_files_of(&few.http, Ok(OPEN_FILES_OWN)).verdict, Verdict::Error);
        let many = Config { http: Http { connections_max: 100, ..few.http }, ..few };
        assert_eq!(open_files_of(&many.http, Ok(OPEN_FILES_MIN)).verdict, Verdict::Warning);
        assert_eq!(open_files_of(&many.http, Ok(OPEN_FILES_MIN - 1)).verdict, Verdict::Error);
    }
}
