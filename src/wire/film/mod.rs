//! What films and sounds say of themselves: how long they are, and how large; without decoding any of it.
//!
//! Invariants: a file is looked at where something is expected, [`LOOK_COUNT_MAX`] times at most, a few bytes each time
//! but for the end of an Ogg; nothing is allocated by what the bytes say. What a file says may be wrong: it is told, and
//! nothing depends on it.

mod matroska;
mod mp4;
mod sound;

/// The longest way to what is looked for is that over the boxes of a film, some hundred.
const LOOK_COUNT_MAX: u32 = 4_096;
/// What is longer is no duration: a year.
const DURATION_MS_MAX: u64 = 366 * 86_400_000;
/// As pictures: what is larger is no size.
const SIDE_MAX: u32 = 65_535;

/// What is known of a file; of most, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub duration_ms: Option<u64>,
    /// Pixels as it is shown; 0 when it is no film.
    pub width: u32,
    pub height: u32,
}

/// Fills a buffer with what is at a place; false when it is not there.
pub type ReadAt<'r> = &'r mut dyn FnMut(u64, &mut [u8]) -> bool;

/// A file as it is looked at.
struct Source<'r> {
    read: ReadAt<'r>,
    len: u64,
    looks_left: u32,
}

impl Source<'_> {
    fn fill(&mut self, at: u64, out: &mut [u8]) -> Option<()> {
        self.looks_left = self.looks_left.checked_sub(1)?;
        let end = at.checked_add(out.len() as u64)?;
        (end <= self.len && (self.read)(at, out)).then_some(())
    }

    fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let mut out = [0; N];
        self.fill(at, &mut out)?;
        Some(out)
    }
}

/// What a file of so many bytes says.
pub fn facts(read: ReadAt<'_>, len: u64) -> Facts {
    let mut source = Source { read, len, looks_left: LOOK_COUNT_MAX };
    let Some(head) = source.array::<12>(0) else { return Facts::default() };
    let found = match &head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => mp4::facts(&mut source),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska::facts(&mut source),
        [b'O', b'g', b'g', b'S', ..] => sound::ogg(&mut source),
        [b'f', b'L', b'a', b'C', ..] => sound::flac(&mut source),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => sound::wav(&mut source),
        [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..] => sound::mp3(&mut source),
        // Films of earlier QuickTimes have no name of their kind.
        [_, _, _, _, b'm', b'o', b'o', b'v', ..] | [_, _, _, _, b'm', b'd', b'a', b't', ..] => {
            mp4::facts(&mut source)
        }
        _ => None,
    };
    let Facts { duration_ms, width, height } = found.unwrap_or_default();
    let is_size = (1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height);
    Facts {
        duration_ms: duration_ms.filter(|ms| *ms <= DURATION_MS_MAX),
        width: if is_size { width } else { 0 },
        height: if is_size { height } else { 0 },
    }
}

/// So many units of which so many make a second.
fn ms(count: u64, per_second: u64) -> Option<u64> {
    let ms = u128::from(count) * 1_000;
    u64::try_from(ms.checked_div(u128::from(per_second))?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What bytes say that are a whole file.
    pub fn read(bytes: &[u8]) -> Facts {
        let mut read = |at: u64, out: &mut [u8]| {
            out.copy_from_slice(&bytes[at as usize..][..out.len()]);
            true
        };
        facts(&mut read, bytes.len() as u64)
    }

    /// What every beginning of a file says: nothing wrong, and no panic.
    pub fn cut(bytes: &[u8]) {
        let whole = read(bytes);
        for len in 0..bytes.len() {
            let part = read(&bytes[..len]);
            assert!(part.width == 0 || (part.width, part.height) == (whole.width, whole.height), "{len}");
        }
    }

    #[test]
    fn what_is_unknown_or_absurd_says_nothing() {
        for bytes in [&b""[..], b"hello", b"hello, this is a text", &[0xff; 64], &[0; 64]] {
            assert_eq!(read(bytes), Facts::default());
        }
        assert_eq!(ms(u64::MAX, 1), None);
        assert_eq!(ms(5, 0), None);
        assert_eq!(ms(u64::MAX, u64::MAX), Some(1_000));
        let mut never = |_: u64, _: &mut [u8]| false;
        assert_eq!(facts(&mut never, 1 << 40), Facts::default());
    }
}
