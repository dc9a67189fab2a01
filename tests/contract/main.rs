//! The real binary on loopback: what a client sees.
