//! A file whose bytes are those of a blob, so that the kernel can send them by itself, and how much of it that can be
//! done without waiting for a disk.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::LazyLock;

use super::blobs::Blob;
use super::closing::EndedElsewhere;

/// Pages that are asked after at once.
const PAGE_COUNT_MAX: usize = 128;

pub struct PlainFile {
    opened: EndedElsewhere<Opened>,
    len: u64,
}

/// A file that is removed while it is sent is off the disk when both are gone.
struct Opened {
    file: File,
    /// None where the system gives none: then nothing is known of its pages.
    span: Option<Span>,
}

impl PlainFile {
    /// # Errors
    /// When its length cannot be told.
    pub fn new(file: File) -> io::Result<PlainFile> {
        let len = file.metadata()?.len();
        let span = Span::over(&file, len);
        Ok(PlainFile { opened: EndedElsewhere::new(Opened { file, span }), len })
    }

    /// How many bytes from `at` on are in memory, of `len_max` at most: of those none is waited for. What a disk has
    /// yet to bring does not count, nor does what is behind the end.
    pub fn len_in_memory(&self, at: u64, len_max: usize) -> usize {
        let len = self.len.saturating_sub(at).min(len_max as u64);
        match &self.opened.span {
            Some(span) if len > 0 => span.len_in_memory(at as usize, len as usize),
            _ => 0,
        }
    }
}

impl AsFd for PlainFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.opened.file.as_fd()
    }
}

impl Blob for PlainFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.opened.file.read_exact_at(out, at)
    }

    fn plain_file(&self) -> Option<&PlainFile> {
        Some(self)
    }
}

/// Addresses that stand for a file. Nothing can be read or written there, so a file that is cut is no signal; the kernel
/// is asked which pages behind them are in memory, and that is all.
struct Span {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the addresses are never used to read or write, only named in system calls.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

impl Span {
    fn over(file: &File, len: u64) -> Option<Span> {
        let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping, at addresses that the kernel chooses and nobody has.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, libc::MAP_SHARED, fd, 0) };
        let start = if start == libc::MAP_FAILED { None } else { NonNull::new(start) };
        start.map(|start| Span { start, len })
    }

    fn len_in_memory(&self, at: usize, len: usize) -> usize {
        let page_len = *PAGE_LEN;
        let (first, end) = (at / page_len, (at + len).div_ceil(page_len));
        let count = (end - first).min(PAGE_COUNT_MAX);
        let mut pages = [0u8; PAGE_COUNT_MAX];
        assert!(at + len <= self.len, "callers stay inside the file");
        // SAFETY: whole pages of the mapping, of which the last may be there in part; `pages` has a byte for each.
        let told = unsafe {
            let start = self.start.as_ptr().byte_add(first * page_len);
            libc::mincore(start, count * page_len, pages.as_mut_ptr())
        };
        if told != 0 {
            return 0;
        }
        let there = pages[..count].iter().take_while(|page| **page & 1 == 1).count();
        ((first + there) * page_len).saturating_sub(at).min(len)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has its addresses any more.
        unsafe { libc::munmap(self.start.as_ptr(), self.len) };
    }
}

static PAGE_LEN: LazyLock<usize> = LazyLock::new(|| {
    // SAFETY: takes no pointers.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).ok().filter(|len| *len > 0).expect("pages have a length")
});

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(len: usize) -> PlainFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len]).unwrap();
        // What is not written back yet cannot be dropped from memory.
        file.sync_all().unwrap();
        PlainFile::new(file).unwrap()
    }

    /// Has the kernel drop what it has in memory of so many bytes from `at` on.
    fn drop_pages(file: &PlainFile, at: usize, len: usize) {
        let advice = libc::POSIX_FADV_DONTNEED;
        // SAFETY: takes no pointers.
        let dropped =
            unsafe { libc::posix_fadvise(file.opened.file.as_raw_fd(), at as i64, len as i64, advice) };
        assert_eq!(dropped, 0);
    }

    #[test]
    fn what_is_in_memory_is_told_and_nothing_else() {
        let page_len = *PAGE_LEN;
        let (len, middle) = (8 * page_len + 100, 4 * page_len);
        let file = file(len);
        assert_eq!(file.len_in_memory(0, len), len);
        assert_eq!(file.len_in_memory(5, 10), 10);
        assert_eq!(file.len_in_memory(len as u64 - 7, 1_000), 7, "up to the end");
        assert_eq!(file.len_in_memory(len as u64, 1_000), 0);
        assert_eq!(file.len_in_memory(u64::MAX, 1_000), 0);
        drop_pages(&file, middle, page_len);
        if file.len_in_memory(middle as u64, 1) > 0 {
            return println!("skipped: this file system lies in memory");
        }
        assert_eq!(file.len_in_memory(0, len), middle);
        assert_eq!(file.len_in_memory(middle as u64 - 3, 10), 3);
        assert_eq!(file.len_in_memory((middle + page_len) as u64, len), len - middle - page_len);
        let mut byte = [0; 1];
        file.read_exact_at(&mut byte, middle as u64).unwrap();
        assert_eq!((byte, file.len_in_memory(middle as u64, 1)), ([7], 1), "it was read");
    }

    #[test]
    fn a_file_that_is_cut_or_empty_has_nothing_in_memory() {
        let whole = file(3 * *PAGE_LEN);
        whole.opened.file.set_len(*PAGE_LEN as u64).unwrap();
        assert_eq!(whole.len_in_memory(0, usize::MAX), *PAGE_LEN);
        assert_eq!(whole.len_in_memory(*PAGE_LEN as u64 + 1, 10), 0);
        assert_eq!(file(0).len_in_memory(0, 10), 0);
    }

    /// More than is asked after at once.
    #[test]
    fn long_files_are_looked_at_in_parts() {
        let file = file(1 << 20);
        let told = file.len_in_memory(0, 1 << 20);
        assert_eq!(told, (PAGE_COUNT_MAX * *PAGE_LEN).min(1 << 20));
    }
}
