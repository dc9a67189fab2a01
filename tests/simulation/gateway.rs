//! Sessions, cores and mailboxes under simulated time.
