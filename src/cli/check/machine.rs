//! What /proc and /sys say about a machine, read below a root folder so that tests can show another one.
//!
//! Invariant: a file that is missing, unreadable or not understood is `None`, never an error and never a panic.

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More than any file that is looked at; `/proc/interrupts` of 256 cores and as many queues is about 1 MiB.
const FILE_LEN_MAX: u64 = 4 << 20;

/// The files of one machine.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one this process runs on.
    #[must_use]
    pub fn this() -> Machine {
        Machine::at("/")
    }

    /// The files are looked up below `root`: `root/proc/…`, `root/sys/…`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file without the white space around it.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let file = std::fs::File::open(self.path(path)).ok()?;
        let mut bytes = Vec::new();
        // Some files exist and refuse to be read, as xps_cpus of a card with one queue does.
        file.take(FILE_LEN_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    #[must_use]
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The word in brackets of a list such as `always [madvise] never`.
    #[must_use]
    pub fn choice(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    }

    /// The number after `name:` in a file of such lines (`/proc/meminfo`, `/proc/self/status`).
    #[must_use]
    pub fn field(&self, path: &str, name: &str) -> Option<u64> {
        let text = self.text(path)?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Bytes of memory in the machine, or in `/proc/meminfo` under another name.
    #[must_use]
    pub fn memory_bytes(&self, name: &str) -> Option<u64> {
        self.field("proc/meminfo", name)?.checked_mul(1024)
    }

    /// The names in a folder, sorted; none when there is no such folder.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The last part of where a symbolic link points to.
    #[must_use]
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Folders of this process's control group and of those above it, innermost first (cgroups(7)): of the unified
    /// hierarchy for an empty `controller`, else of that one's own. In a container the path that is told may not
    /// exist, so the root is always among them.
    #[must_use]
    pub fn group_folders(&self, controller: &str) -> Vec<String> {
        let text = self.text("proc/self/cgroup").unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?, parts.next()?))
        });
        let own = lines.find(|(names, _)| names.split(',').any(|name| name == controller));
        let (mount, mut path) = match own {
            Some(("", path)) => ("sys/fs/cgroup".to_owned(), path),
            Some((names, path)) => (format!("sys/fs/cgroup/{names}"), path),
            None if controller.is_empty() => ("sys/fs/cgroup".to_owned(), ""),
            None => return Vec::new(),
        };
        let mut folders = Vec::new();
        while let Some((above, name)) = path.rsplit_once('/') {
            if !name.is_empty() && name != ".." {
                folders.push(format!("{mount}{path}"));
            }
            path = above;
        }
        folders.push(mount);
        folders
    }

    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        Path::exists(&self.path(path))
    }
}

/// The numbers of a list such as `0-3,8,10-11` (cpuset(7), "List format").
#[must_use]
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    /// Linux is built for 8,192 at most.
    const CPU_MAX: usize = 8_192;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CPU_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// The mask that the files `rps_cpus`, `xps_cpus` and `smp_affinity` take: hexadecimal words of 32 bits, highest
/// first (cpuset(7), "Mask format").
#[must_use]
pub fn cpu_mask(cpus: &[usize]) -> String {
    let word_count = cpus.iter().max().map_or(1, |last| last / 32 + 1);
    let mut words = vec![0u32; word_count];
    for cpu in cpus {
        words[cpu / 32] |= 1 << (cpu % 32);
    }
    let mut text = format!("{:x}", words[word_count - 1]);
    for word in words.iter().rev().skip(1) {
        text.push_str(&format!(",{word:08x}"));
    }
    text
}

/// For people: `64 GiB`, `1.5 GiB`.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let units: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = units.into_iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    match u128::from(bytes) * 10 / u128::from(unit) % 10 {
        0 => format!("{} {name}", bytes / unit),
        tenths => format!("{}.{tenths} {name}", bytes / unit),
    }
}

/// A folder that looks like the root of a machine with the given files.
#[cfg(test)]
pub(super) fn fake(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let machine = Machine::at(folder.path());
    (folder, machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_missing_ones_are_none() {
        let (folder, machine) = fake(&[
            ("proc/a", " 12\n"),
            ("proc/b", "always [madvise] never\n"),
            ("proc/c", "none\n"),
            ("proc/meminfo", "MemTotal:       24684092 kB\nSwapTotal:  0 kB\n"),
            ("proc/huge", "MemTotal:       99999999999999999 kB\n"),
            ("proc/bytes", "\u{fffd}"),
        ]);
        std::fs::write(folder.path().join("proc/bytes"), [0xff, 0xfe]).unwrap();
        std::os::unix::fs::symlink("../../virtio2", folder.path().join("proc/link")).unwrap();
        assert_eq!((machine.number("proc/a"), machine.number("/proc/b")), (Some(12), None));
        assert_eq!(machine.choice("proc/b").as_deref(), Some("madvise"));
        assert_eq!((machine.choice("proc/c"), machine.choice("proc/d")), (None, None));
        assert_eq!(machine.memory_bytes("MemTotal"), Some(24_684_092 * 1024));
        assert_eq!(machine.field("proc/huge", "MemTotal").and_then(|kib| kib.checked_mul(1024)), None);
        assert_eq!((machine.memory_bytes("SwapTotal"), machine.memory_bytes("Swap")), (Some(0), None));
        assert_eq!(machine.link_name("proc/link").as_deref(), Some("virtio2"));
        assert_eq!((machine.link_name("proc/a"), machine.number("proc/bytes")), (None, None));
        assert_eq!(machine.names("proc").first().map(String::as_str), Some("a"));
        assert!(machine.names("sys").is_empty() && machine.exists("proc/c") && !machine.exists("sys"));
    }

    #[test]
    fn control_groups_up_to_the_root() {
        let (_folder, machine) =
            fake(&[("proc/self/cgroup", "4:memory:/a/b\n1:name=x:/\n0::/s.slice/u.service\n")]);
        let v2 = ["sys/fs/cgroup/s.slice/u.service", "sys/fs/cgroup/s.slice", "sys/fs/cgroup"];
        assert_eq!(machine.group_folders(""), v2);
        let v1 = ["sys/fs/cgroup/memory/a/b", "sys/fs/cgroup/memory/a", "sys/fs/cgroup/memory"];
        assert_eq!(machine.group_folders("memory"), v1);
        assert!(machine.group_folders("cpu").is_empty());
        let (_folder, machine) = fake(&[("proc/self/cgroup", "0::/../../x\nbroken\n:\n")]);
        assert_eq!(machine.group_folders(""), ["sys/fs/cgroup/../../x", "sys/fs/cgroup"]);
        assert_eq!(Machine::at("/nowhere").group_folders(""), ["sys/fs/cgroup"]);
    }

    #[test]
    fn lists_of_cpus() {
        for (text, want) in [
            ("0-3,8,10-11\n", Some(vec![0, 1, 2, 3, 8, 10, 11])),
            ("5", Some(vec![5])),
            ("", Some(vec![])),
            ("3-1", None),
            ("0-99999999999", None),
            ("a", None),
        ] {
            assert_eq!(cpu_list(text), want, "{text}");
        }
    }

    #[test]
    fn masks_of_cpus() {
        for (cpus, want) in [
            (&[][..], "0"),
            (&[0], "1"),
            (&[0, 1, 2, 3], "f"),
            (&[31], "80000000"),
            (&[0, 32], "1,00000001"),
            (&[95], "80000000,00000000,00000000"),
        ] {
            assert_eq!(cpu_mask(cpus), want, "{cpus:?}");
        }
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, want) in [(0, "0 bytes"), (1024, "1 KiB"), (3 << 29, "1.5 GiB"), (64 << 30, "64 GiB")] {
            assert_eq!(size_text(bytes), want);
        }
    }
}
