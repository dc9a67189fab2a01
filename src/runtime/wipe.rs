//! Memory that held a password is overwritten, so that neither a later bug nor a core dump shows it.
//!
//! A password is copied on its way: by the JSON parser, by a string that grows, by whoever normalises it. So it is not
//! the places that are wiped but everything that is given back while a request with secrets is at work: the allocator
//! does it. Buffers that are kept are wiped by their owners.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    static IS_WIPING: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`; if it `has_secrets`, whatever memory it gives back is overwritten, and its stack when it is done.
pub fn wiping<T>(has_secrets: bool, work: impl FnOnce() -> T) -> T {
    struct Restore(bool, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_WIPING.set(self.0);
            if self.1 {
                wipe_stack();
            }
        }
    }
    let _restore = Restore(IS_WIPING.replace(IS_WIPING.get() || has_secrets), has_secrets);
    work()
}

/// Overwrites bytes that nobody reads any more.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // As if somebody read them: else the compiler leaves out what nobody sees.
    std::hint::black_box(bytes);
}

/// The same for what calls that have returned left on the stack below the caller: hash functions copy their input.
#[inline(never)]
pub fn wipe_stack() {
    /// More than parsing or hashing a password takes.
    const LEN: usize = 64 << 10;
    let mut below = [0_u8; LEN];
    wipe(&mut below);
}

/// The same for what a buffer has room for and once held.
pub fn wipe_spare(buffer: &mut Vec<u8>) {
    let spare = buffer.spare_capacity_mut();
    spare.fill(std::mem::MaybeUninit::new(0));
    std::hint::black_box(spare);
}

/// An allocator that overwrites what is given back within [`wiping`]. Otherwise it costs a look at a thread's flag.
pub struct Wiping<A>(pub A);

fn is_wiping() -> bool {
    IS_WIPING.try_with(Cell::get).unwrap_or(false)
}

// SAFETY: all memory is the inner allocator's, under its own layout; what is written to is still allocated.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_wiping() {
            // SAFETY: the block has this length and is the caller's until the next line. The inner allocator is given
            // the pointer, so the bytes count as seen.
            unsafe { at.write_bytes(0, layout.size()) };
        }
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.dealloc(at, layout) };
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        if !is_wiping() {
            // SAFETY: the caller's promises are passed on.
            return unsafe { self.0.realloc(at, layout, len) };
        }
        // A block that moves must not leave its bytes behind.
        // SAFETY: the caller promises that `len` is above 0 and that the alignment allows it; the blocks differ, and
        // both have the bytes that are copied.
        unsafe {
            let new = self.0.alloc(Layout::from_size_align_unchecked(len, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(at, layout.size().min(len));
                self.dealloc(at, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what the last block that was given back looked like, and gives nothing back.
    struct Seen(std::sync::Mutex<Vec<u8>>);

    // SAFETY: the system's allocator, but for blocks that are never freed.
    unsafe impl GlobalAlloc for Seen {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promises are passed on.
            unsafe { std::alloc::System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            // SAFETY: the block has this length.
            *self.0.lock().unwrap() = unsafe { std::slice::from_raw_parts(at, layout.size()) }.to_vec();
        }
    }

    #[test]
    fn what_is_given_back_is_overwritten_when_it_is_secret() {
        let allocator = Wiping(Seen(std::sync::Mutex::default()));
        let layout = Layout::from_size_align(8, 1).unwrap();
        let seen = || allocator.0.0.lock().unwrap().clone();
        for (has_secrets, left) in [(false, *b"password"), (true, [0; 8])] {
            // SAFETY: blocks of eight and sixteen bytes, each given back once.
            unsafe {
                let at = allocator.alloc(layout);
                at.copy_from_nonoverlapping(b"password".as_ptr(), 8);
                let at = wiping(has_secrets, || allocator.realloc(at, layout, 16));
                assert_eq!(seen(), left, "grown");
                assert_eq!(std::slice::from_raw_parts(at, 8), b"password");
                wiping(has_secrets, || {
                    wiping(false, || allocator.dealloc(at, Layout::from_size_align(16, 1).unwrap()))
                });
                assert_eq!(seen()[..8], left, "freed");
            }
            assert!(!is_wiping());
        }
    }

    #[test]
    fn buffers_are_overwritten() {
        let mut buffer = b"password".to_vec();
        buffer.truncate(4);
        wipe_spare(&mut buffer);
        // SAFETY: the bytes were written a line ago.
        unsafe { buffer.set_len(8) };
        assert_eq!(buffer, b"pass\0\0\0\0");
        wipe(&mut buffer);
        assert_eq!(buffer, [0; 8]);
    }
}
