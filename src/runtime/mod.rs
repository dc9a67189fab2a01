//! What a thread per core needs besides its ring: pinning, time, random bytes, waking, mailboxes, timers, shared
//! lookups; and by what its clients are counted.
//!
//! Owns: how cores find each other and how long they may sleep.
//! Invariant: nothing here knows a protocol, a record or a socket, and no call made by a core thread
//! takes a lock or waits for another thread ([`shared_map`] names its one exception: cloning a reader).

pub mod clock;
pub mod cpu;
pub mod heap;
pub mod mailbox;
pub mod network;
pub mod paged;
pub mod panics;
pub mod random;
pub mod shared_map;
pub mod wake;
pub mod wheel;
pub mod wipe;
