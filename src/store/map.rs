//! The data file as this process sees it: how much of it is mapped in, and letting go of that.
//!
//! A page of the file that was read once stays mapped into the process. It is the kernel's page cache either way, but
//! while it is mapped it counts as memory of the process, has a page table, and is the last that the kernel takes back.
//! A server that everybody reconnected to would show the whole file for ever.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes let go at once: at most 16,384 pages.
pub const RELEASE_LEN: usize = 64 << 20;

/// Where LMDB has mapped the data file.
pub struct Map {
    start: usize,
    len: usize,
    /// Where the next release begins.
    at: AtomicUsize,
}

impl Map {
    /// The mapping of the file at `path`, which LMDB does not tell; `None` when there is none.
    pub fn find(path: &Path) -> Option<Map> {
        let inode = std::fs::metadata(path).ok()?.ino().to_string();
        let name = path.file_name()?.to_str()?;
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let line = maps.lines().find(|line| {
            let mut words = line.split_ascii_whitespace().skip(4);
            words.next() == Some(&inode) && words.last().is_some_and(|path| path.ends_with(name))
        })?;
        let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
        let address = |hex: &str| usize::from_str_radix(hex, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        Some(Map { start, len: end - start, at: AtomicUsize::new(0) })
    }

    /// Lets go of the next [`RELEASE_LEN`] bytes of the first `used_len`, and begins anew at their end.
    ///
    /// The pages stay in the page cache: whoever reads one again pays a soft fault, which maps 16 of them at once.
    pub fn release(&self, used_len: usize) {
        let used_len = used_len.min(self.len);
        let at = self.at.load(Ordering::Relaxed);
        let at = if at < used_len { at } else { 0 };
        let len = RELEASE_LEN.min(used_len - at);
        self.at.store(at + len, Ordering::Relaxed);
        // SAFETY: a read-only shared mapping of a file, which lives as long as the store: its pages are read from the
        // file again when somebody looks at them, also in the middle of this call.
        unsafe { libc::madvise((self.start + at) as *mut libc::c_void, len, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use crate::store::records::Meta;
    use crate::store::tables::META;
    use crate::store::tests::temporary;

    /// Bytes of the file that are mapped in.
    fn resident(folder: &std::path::Path) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let path = folder.join("data.mdb");
        let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).expect("the file is mapped");
        rss.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    #[test]
    fn pages_are_let_go_and_read_again() {
        let (folder, store) = temporary(1 << 28);
        let names: Vec<String> = (0..5_000).map(|index| format!("{index:0>400}")).collect();
        let mut tx = store.begin().unwrap();
        names.iter().enumerate().for_each(|(value, name)| {
            tx.put(META, name, &Meta { value: value as u64 });
        });
        tx.commit().unwrap();
        let snapshot = store.snapshot();
        for _ in 0..2 {
            for (index, name) in names.iter().enumerate() {
                assert_eq!(snapshot.read().get(META, name).unwrap().value.to_native(), index as u64);
            }
            assert!(resident(folder.path()) > 2 << 20);
            store.release();
            assert_eq!(resident(folder.path()), 0);
        }
    }
}
