//! CRC-32C of records: short ones by the processor's instruction, without a call in between.
//!
//! Records are checked at every read and most are some dozens of bytes long. The crate is made for long inputs: it
//! aligns its reads and finds out where to go, which costs several times what a short sum itself takes.

/// From here on three sums at a time, as the crate makes them, are faster than one.
#[cfg(target_arch = "x86_64")]
const SHORT_MAX: usize = 512;

/// Goes on with a sum: `append(append(seed, a), b)` is the sum of `ab`.
pub fn append(sum: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() <= SHORT_MAX && is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instruction.
        return unsafe { short(sum, bytes) };
    }
    crc32c::crc32c_append(sum, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn short(sum: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(u64::from(!sum), |sum, word| _mm_crc32_u64(sum, u64::from_le_bytes(*word)));
    let (halves, rest) = rest.as_chunks::<4>();
    #[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half 0")]
    let sum = halves.iter().fold(sum as u32, |sum, half| _mm_crc32_u32(sum, u32::from_le_bytes(*half)));
    !rest.iter().fold(sum, |sum, byte| _mm_crc32_u8(sum, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_sum_of_the_crate() {
        let bytes: Vec<u8> = (0..600_u32).map(|index| (index * 31 % 251) as u8).collect();
        for len in 0..bytes.len() {
            for seed in [0, 1, 0x811C_9DC5, u32::MAX] {
                assert_eq!(append(seed, &bytes[..len]), crc32c::crc32c_append(seed, &bytes[..len]), "{len}");
            }
        }
    }

    #[test]
    fn a_sum_goes_on_where_it_was() {
        // The check value of CRC-32C.
        assert_eq!(append(0, b"123456789"), 0xE306_9283);
        for cut in 0..=9 {
            let (a, b) = b"123456789".split_at(cut);
            assert_eq!(append(append(0, a), b), 0xE306_9283, "{cut}");
        }
    }
}
