//! The disk of the data folder: room, what kind it is, and how long making a page durable takes.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::machine::size_text;
use super::{Finding, Machine, Verdict, grade};
use crate::config::Store;

const DISK_MIN: u64 = 64 << 20;
const DISK_WANTED: u64 = 4 << 30;
/// Syncs that are timed. Together with the time limit they bound what a check costs a slow disk.
const SYNC_COUNT: usize = 8;
const SYNC_TIME_MAX: Duration = Duration::from_secs(2);
/// Faster than any path to a device and back; an NVMe disk with its own capacitors takes about as long.
const SYNC_HONEST_MIN: Duration = Duration::from_micros(15);
/// A post alone takes about one of these; posts that come together share it.
const SYNC_WANTED: Duration = Duration::from_millis(5);
const SYNC_SLOW: Duration = Duration::from_millis(30);

/// statfs(2): what a file system answers, its name, how bad it is for a database, and why.
const KINDS: [(i64, &str, Verdict, &str); 9] = [
    (0xEF53, "ext4", Verdict::Ok, ""),
    (0x5846_5342, "xfs", Verdict::Ok, ""),
    (
        0x9123_683E,
        "btrfs",
        Verdict::Hint,
        "copies every page that is written: chattr +C on the empty folder stops it",
    ),
    (0x2FC1_2FC1, "zfs", Verdict::Hint, "copies every page that is written: recordsize=4k keeps it small"),
    (0x0102_1994, "tmpfs", Verdict::Warning, "is memory: everything is gone after the next start"),
    (0x794C_7630, "overlayfs", Verdict::Warning, "is the container's own layer: it goes with the container"),
    (0x6969, "NFS", Verdict::Warning, "is a network: locks and mapped pages of LMDB are not safe there"),
    (0xFE53_4D42, "SMB", Verdict::Warning, "is a network: locks and mapped pages of LMDB are not safe there"),
    (
        0x6573_5546,
        "FUSE",
        Verdict::Warning,
        "may be a network: locks and mapped pages of LMDB are not safe there",
    ),
];

pub fn findings(machine: &Machine, store: &Store) -> Vec<Finding> {
    let path = Path::new(&store.path);
    // Before the first start the folder is not there; its parent is on the same disk, most likely.
    let folder = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let always = store.sync == "always";
    let known = kind(folder);
    vec![
        room(folder),
        access(path),
        kind_finding(&known),
        sync_finding(time_syncs(folder), always, known.is_ok_and(|kind| kind == 0x0102_1994)),
        scheduler(machine, folder),
    ]
}

/// Whether others than the owner have rights in the data folder or to a file in it.
fn access(folder: &Path) -> Finding {
    const NAME: &str = "who can read the data";
    let private = |name: &Path| name.metadata().map_or(0, |data| data.mode() & 0o077) == 0;
    let mode = |name: &Path| name.metadata().map_or(0, |data| data.mode() & 0o7777);
    if !folder.is_dir() {
        return Finding::new(NAME, Verdict::Ok, "no data folder yet");
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut open: Vec<_> = entries.filter(|name| name.is_file() && !private(name)).collect();
    open.sort();
    let folder_is_open = !private(folder);
    let current = match (folder_is_open, open.first()) {
        (false, None) => return Finding::new(NAME, Verdict::Ok, "its owner alone"),
        (true, _) => format!("others too: {:04o} {}", mode(folder), folder.display()),
        (false, Some(file)) => format!("others too: {:04o} {}", mode(file), file.display()),
    };
    let quoted = |name: &Path| format!("'{}'", name.display().to_string().replace('\'', "'\\''"));
    let mut finding = Finding::new(NAME, Verdict::Warning, current)
        .wanted("its owner alone: 0700 for the folder, 0600 for files")
        .why("messages, addresses, password hashes and login sessions are in there");
    if folder_is_open {
        finding = finding.command(format!("chmod 700 {}", quoted(folder)));
    }
    open.iter().fold(finding, |finding, name| finding.command(format!("chmod 600 {}", quoted(name))))
}

fn room(folder: &Path) -> Finding {
    let (verdict, current) = match statvfs(folder) {
        Ok(free) => (grade(free, DISK_MIN, DISK_WANTED), size_text(free)),
        Err(error) => (Verdict::Warning, error.to_string()),
    };
    Finding::new("free disk at store.path", verdict, current)
        .wanted(size_text(DISK_WANTED))
        .why("a full disk refuses every change; what is there can still be read")
        .remedy(format!("free some space at {}, or choose another store.path", folder.display()))
}

/// Bytes that may still be written by a user without privileges.
fn statvfs(folder: &Path) -> io::Result<u64> {
    let name = CString::new(folder.as_os_str().as_encoded_bytes())?;
    // SAFETY: statvfs is plain numbers, for which zero is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated name and a live statvfs.
    match unsafe { libc::statvfs(name.as_ptr(), &raw mut stat) } {
        0 => Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number by which statfs(2) tells file systems apart.
fn kind(folder: &Path) -> io::Result<i64> {
    let name = CString::new(folder.as_os_str().as_encoded_bytes())?;
    // SAFETY: statfs is plain numbers, for which zero is a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated name and a live statfs.
    match unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } {
        // The type differs between C libraries; the numbers are 32 bits.
        0 => Ok(stat.f_type as i64 & 0xFFFF_FFFF),
        _ => Err(io::Error::last_os_error()),
    }
}

fn kind_finding(kind: &io::Result<i64>) -> Finding {
    let row = kind.as_ref().ok().and_then(|kind| KINDS.iter().find(|row| row.0 == *kind));
    let (current, verdict, why) = match (kind, row) {
        (_, Some(&(_, name, verdict, why))) => (name.to_owned(), verdict, why),
        (Ok(number), None) => (format!("type {number:#x}"), Verdict::Ok, ""),
        (Err(error), None) => (error.to_string(), Verdict::Ok, ""),
    };
    Finding::new("file system at store.path", verdict, current)
        .wanted("ext4 or xfs on a disk of this machine")
        .why(why)
        .remedy("choose a store.path on a disk of this machine; for a container, a volume")
}

/// The middle one of a few syncs of a page, as a commit does it.
fn time_syncs(folder: &Path) -> io::Result<Duration> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    // A file without a name leaves nothing behind, whatever happens. Some file systems cannot.
    let nameless = options.clone().custom_flags(libc::O_TMPFILE).open(folder);
    let name = folder.join(format!(".plexichat-check-{}", std::process::id()));
    let file = match nameless {
        Ok(file) => file,
        Err(_) => options.create_new(true).open(&name)?,
    };
    let timed = time_syncs_of(&file);
    if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
        std::fs::remove_file(&name)?;
    }
    timed
}

fn time_syncs_of(file: &File) -> io::Result<Duration> {
    let page = [0x5a_u8; 4096];
    let began = Instant::now();
    let mut times = Vec::with_capacity(SYNC_COUNT);
    while times.len() < SYNC_COUNT && began.elapsed() < SYNC_TIME_MAX {
        let before = Instant::now();
        // At the end, as a database that grows does it: the disk also has to remember the new length.
        file.write_all_at(&page, (times.len() * page.len()) as u64)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// `always`: whether each post waits for it. `in_memory`: there is nothing to wait for, and it is told elsewhere.
fn sync_finding(timed: io::Result<Duration>, always: bool, in_memory: bool) -> Finding {
    const SLOW: &str = "a post is answered when it is on disk: this is the least a post can take";
    const LYING: &str =
        "faster than a disk can be: a cache may answer for it, and a power cut then takes answered posts";
    const UNKNOWN: &str =
        "the data folder cannot be written to by this user; check as the user of the server";
    let (verdict, current, why) = match timed {
        Err(error) => (Verdict::Hint, error.to_string(), UNKNOWN),
        Ok(time) => {
            let text = format!("{}.{:02} ms", time.as_millis(), time.as_micros() % 1000 / 10);
            match time {
                _ if !always || in_memory => (Verdict::Ok, text, ""),
                time if time < SYNC_HONEST_MIN => (Verdict::Hint, text, LYING),
                time if time >= SYNC_SLOW => (Verdict::Warning, text, SLOW),
                time if time >= SYNC_WANTED => (Verdict::Hint, text, SLOW),
                _ => (Verdict::Ok, text, ""),
            }
        }
    };
    let finding = Finding::new("sync of a page at store.path", verdict, current)
        .wanted("below 5 ms, and not instant")
        .why(why);
    if why == UNKNOWN {
        return finding.remedy("sudo -u plexichat plexichat check, with the server's --config and --data");
    }
    finding
        .remedy("a disk with power-loss protection; or store.sync = \"interval\", knowing what a power cut then takes")
}

/// bfq shares a disk between programs of a desktop; on a server's disk it only adds time.
fn scheduler(machine: &Machine, folder: &Path) -> Finding {
    let device = std::fs::metadata(folder).map(|metadata| metadata.dev()).unwrap_or(0);
    let device = format!("sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
    // A partition has no queue of its own: its disk is the folder above.
    let queue = [format!("{device}/queue"), format!("{device}/../queue")];
    let queue = queue.into_iter().find(|queue| machine.exists(queue));
    let chosen = queue.as_ref().and_then(|queue| machine.choice(&format!("{queue}/scheduler")));
    let verdict = if chosen.as_deref() == Some("bfq") { Verdict::Hint } else { Verdict::Ok };
    let finding =
        Finding::new("disk scheduler", verdict, chosen.unwrap_or_else(|| "none to choose".to_owned()))
            .wanted("none or mq-deadline")
            .why("holds a sync back in favour of other programs");
    match queue {
        Some(queue) => finding.command(format!("echo mq-deadline > /{queue}/scheduler")),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::*;
    use crate::config::Config;
    use crate::config::Store;

    #[test]
    fn syncs_are_judged() {
        let ms = Duration::from_millis;
        for (time, always, in_memory, want) in [
            (Duration::from_micros(3), true, false, Verdict::Hint),
            (Duration::from_micros(3), true, true, Verdict::Ok),
            (Duration::from_micros(300), true, false, Verdict::Ok),
            (ms(8), true, false, Verdict::Hint),
            (ms(30), true, false, Verdict::Warning),
            (ms(900), false, false, Verdict::Ok),
        ] {
            assert_eq!(sync_finding(Ok(time), always, in_memory).verdict, want, "{time:?}");
        }
        let refused = sync_finding(Err(io::ErrorKind::PermissionDenied.into()), true, false);
        assert!(refused.verdict == Verdict::Hint && refused.remedy.starts_with("sudo -u"), "{refused:?}");
        assert_eq!(sync_finding(Ok(Duration::from_micros(12_345)), true, false).current, "12.34 ms");
    }

    #[test]
    fn a_trial_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(time_syncs(folder.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(time_syncs(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn kinds_of_file_systems() {
        for (number, want, verdict) in [
            (0xEF53, "ext4", Verdict::Ok),
            (0x0102_1994, "tmpfs", Verdict::Warning),
            (0x6969, "NFS", Verdict::Warning),
            (0x1234, "type 0x1234", Verdict::Ok),
        ] {
            let finding = kind_finding(&Ok(number));
            assert_eq!((finding.current.as_str(), finding.verdict), (want, verdict));
        }
        assert_eq!(kind_finding(&Err(io::ErrorKind::NotFound.into())).verdict, Verdict::Ok);
        let proc = kind(Path::new("/proc")).unwrap();
        assert_eq!(proc, 0x9FA0, "PROC_SUPER_MAGIC of statfs(2)");
    }

    #[test]
    fn schedulers() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().metadata().unwrap().dev();
        let own = format!("sys/dev/block/{}:{}/queue/scheduler", libc::major(device), libc::minor(device));
        let above = own.replace("/queue/", "/../queue/");
        for (file, text, want) in [
            (&own, "none mq-deadline [bfq]\n", Verdict::Hint),
            (&own, "[none] mq-deadline\n", Verdict::Ok),
            (&above, "mq-deadline [bfq]\n", Verdict::Hint),
        ] {
            // The folder of the device is there even when its queue is above.
            let (_folder, machine) = fake(&[(&own.replace("queue/scheduler", "dev"), ""), (file, text)]);
            assert_eq!(scheduler(&machine, folder.path()).verdict, want, "{file} {text}");
        }
        let (_folder, empty) = fake(&[]);
        let finding = scheduler(&empty, folder.path());
        assert_eq!((finding.verdict, finding.commands.len()), (Verdict::Ok, 0));
    }

    #[test]
    fn rights_of_others_are_found() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path().join("it's"), place.path().join("it's/data.mdb"));
        assert_eq!(access(&folder).verdict, Verdict::Ok);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for (folder_mode, file_mode, commands) in [
            (0o700, 0o600, 0),
            (0o700, 0o400, 0),
            (0o1700, 0o600, 0),
            (0o2700, 0o600, 0),
            (0o750, 0o600, 1),
            (0o700, 0o640, 1),
            (0o777, 0o666, 2),
        ] {
            set(&file, file_mode);
            set(&folder, folder_mode);
            let finding = access(&folder);
            assert_eq!(finding.commands.len(), commands, "{folder_mode:o} {file_mode:o} {finding:?}");
            assert_eq!(finding.verdict == Verdict::Ok, commands == 0);
            assert!(finding.commands.iter().all(|command| command.contains(r"it'\''s")), "{finding:?}");
        }
    }

    #[test]
    fn room_is_counted_where_the_folder_will_be() {
        let config = Config {
            store: Store { path: "/nowhere/at/all".into(), ..Store::default() },
            ..Config::default()
        };
        let findings = findings(&Machine::this(), &config.store);
        let room = findings.iter().find(|finding| finding.name == "free disk at store.path").unwrap();
        assert!(room.remedy.contains(" at /,"), "{room:?}");
    }
}
