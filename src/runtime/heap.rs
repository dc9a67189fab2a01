//! The allocator, as far as the server tells it what to do.

/// Gives pages that this thread has freed back to the kernel.
///
/// The allocator keeps them for a while and looks at them only when it is used again, so an idle core would hold the
/// pages of tables it has outgrown: 220 bytes per session after 15,000 sessions came. Costs up to a millisecond with
/// a large heap; call it seldom. Does nothing when the process uses another allocator.
pub fn give_back() {
    // SAFETY: looks at the calling thread's own heap.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
