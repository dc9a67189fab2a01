//! Random bytes of the kernel, fetched many at a time.
//!
//! One call of getrandom(2) for 12 bytes takes 240 ns, one for 1,020 bytes 1,906 ns, or 22 ns for each 12 (EPYC,
//! Linux 6.18). A core therefore keeps what one call gives and hands it out in pieces.
//! Invariants: a byte is handed out once, and overwritten in the pool in the same moment, so that what a session id was
//! made of is not found here later. The bytes are the kernel's own, not stretched: as unpredictable as a call for each.

use std::fmt;

/// Bytes of one session id's random part.
pub const PIECE_LEN: usize = 12;
/// Pieces fetched in one call: 1,020 bytes.
const PIECE_COUNT: usize = 85;

/// One core's supply.
pub struct Random {
    bytes: [u8; PIECE_LEN * PIECE_COUNT],
    /// Everything before it was handed out and is 0.
    next: usize,
}

impl Default for Random {
    fn default() -> Self {
        Random { bytes: [0; PIECE_LEN * PIECE_COUNT], next: PIECE_LEN * PIECE_COUNT }
    }
}

/// Bytes that are needed now and then, by a call of their own.
///
/// # Panics
/// When the kernel has no random bytes, which it has once the machine has booted.
pub fn bytes<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).expect("the kernel has random bytes");
    bytes
}

impl fmt::Debug for Random {
    /// Tells nothing of the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").field("left", &(self.bytes.len() - self.next)).finish()
    }
}

impl Random {
    /// Twelve bytes that nobody else gets.
    ///
    /// # Panics
    /// When the kernel has no random bytes, which it has once the machine has booted.
    pub fn piece(&mut self) -> [u8; PIECE_LEN] {
        if self.next == self.bytes.len() {
            getrandom::fill(&mut self.bytes).expect("the kernel has random bytes");
            self.next = 0;
        }
        let piece = &mut self.bytes[self.next..self.next + PIECE_LEN];
        self.next += PIECE_LEN;
        let mut out = [0; PIECE_LEN];
        out.copy_from_slice(piece);
        wipe(piece);
        out
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a valid reference; volatile, so that a store nobody reads is not optimised away.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Each piece is compared with the place in the pool it must come from, over three fills.
    #[test]
    fn pieces_do_not_overlap_and_leave_nothing_behind() {
        let mut random = Random::default();
        let mut seen = HashSet::new();
        for draw in 0..3 * PIECE_COUNT {
            let at = draw % PIECE_COUNT * PIECE_LEN;
            let (ahead, is_filled) = (random.bytes, at > 0);
            let piece = random.piece();
            assert_eq!(random.next, at + PIECE_LEN);
            if is_filled {
                assert_eq!(piece, ahead[at..at + PIECE_LEN], "the next bytes of the pool");
                assert_eq!(random.bytes[random.next..], ahead[random.next..], "the rest is untouched");
            }
            assert!(random.bytes[..random.next].iter().all(|byte| *byte == 0), "wiped");
            // 2^-88 that two of these are the same by chance.
            assert!(seen.insert(piece), "{draw}");
        }
        assert_eq!(seen.len(), 3 * PIECE_COUNT);
    }

    #[test]
    fn a_new_pool_hands_out_nothing_of_its_own() {
        // All zero before the first fill: were a piece taken from there, it would be zero.
        assert_ne!(Random::default().piece(), [0; PIECE_LEN]);
    }

    #[test]
    fn bytes_of_two_calls_differ() {
        // 2^-128 that they are the same by chance.
        assert_ne!(bytes::<16>(), bytes());
    }

    #[test]
    fn printing_tells_nothing() {
        let mut random = Random::default();
        random.piece();
        assert_eq!(format!("{random:?}"), "Random { left: 1008 }");
    }
}
