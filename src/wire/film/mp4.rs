//! MP4 and QuickTime: boxes within boxes (ISO/IEC 14496-12 §4.2, §8.2, §8.3).

use super::{Facts, Source, ms};

/// A box without its head: from where to where.
type Span = (u64, u64);

pub fn facts(source: &mut Source<'_>) -> Option<Facts> {
    let file = (0, source.len);
    let movie = find(source, file, *b"moov")?;
    let (width, height) = size(source, movie).unwrap_or_default();
    Some(Facts { duration_ms: duration(source, movie), width, height })
}

/// The first box of a kind within another.
fn find(source: &mut Source<'_>, within: Span, kind: [u8; 4]) -> Option<Span> {
    let mut at = within.0;
    loop {
        let (found, span) = next(source, (at, within.1))?;
        if found == kind {
            return Some(span);
        }
        at = span.1;
    }
}

/// Kind and span of the box that begins there.
fn next(source: &mut Source<'_>, (at, end): Span) -> Option<([u8; 4], Span)> {
    let [s0, s1, s2, s3, k0, k1, k2, k3] = source.array(at)?;
    let (head_len, len) = match u32::from_be_bytes([s0, s1, s2, s3]) {
        // Up to the end.
        0 => (8, end.checked_sub(at)?),
        1 => (16, u64::from_be_bytes(source.array(at + 8)?)),
        len => (8, u64::from(len)),
    };
    let stop = at.checked_add(len)?;
    (len >= head_len && stop <= end).then_some(([k0, k1, k2, k3], (at + head_len, stop)))
}

fn duration(source: &mut Source<'_>, movie: Span) -> Option<u64> {
    let (at, _) = find(source, movie, *b"mvhd")?;
    let [version] = source.array(at)?;
    let (scale, count) = match version {
        0 => {
            let count = u32::from_be_bytes(source.array(at + 16)?);
            // All ones: it is not known.
            (source.array(at + 12)?, if count == u32::MAX { u64::MAX } else { u64::from(count) })
        }
        _ => (source.array(at + 20)?, u64::from_be_bytes(source.array(at + 24)?)),
    };
    let scale = u64::from(u32::from_be_bytes(scale));
    // One in pieces says it elsewhere.
    let count = if count == 0 { fragmented(source, movie)? } else { count };
    ms(count, scale)
}

fn fragmented(source: &mut Source<'_>, movie: Span) -> Option<u64> {
    let extends = find(source, movie, *b"mvex")?;
    let (at, _) = find(source, extends, *b"mehd")?;
    match source.array(at)? {
        [0] => Some(u64::from(u32::from_be_bytes(source.array(at + 4)?))),
        [_] => Some(u64::from_be_bytes(source.array(at + 4)?)),
    }
}

/// Of the first track that has one, turned as it is shown.
fn size(source: &mut Source<'_>, movie: Span) -> Option<(u32, u32)> {
    let mut rest = movie;
    loop {
        let track = find(source, rest, *b"trak")?;
        rest.0 = track.1;
        let Some((at, _)) = find(source, track, *b"tkhd") else { continue };
        let Some([version]) = source.array(at) else { continue };
        let matrix_at = at + if version == 0 { 40 } else { 52 };
        let Some(places) = source.array::<44>(matrix_at) else { continue };
        // Numbers with sixteen bits behind the point.
        let number =
            |at: usize| u32::from_be_bytes([places[at], places[at + 1], places[at + 2], places[at + 3]]);
        let (width, height) = (number(36) >> 16, number(40) >> 16);
        let is_on_its_side = number(0) == 0 && number(16) == 0;
        if width > 0 && height > 0 {
            return Some(if is_on_its_side { (height, width) } else { (width, height) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cut, read};
    use super::*;

    fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
    }

    fn header(version: u8, scale: u32, count: u64) -> Vec<u8> {
        let body = match version {
            0 => [&[0; 12][..], &scale.to_be_bytes(), &(count as u32).to_be_bytes(), &[0; 80]].concat(),
            _ => [&[1][..], &[0; 19], &scale.to_be_bytes(), &count.to_be_bytes(), &[0; 80]].concat(),
        };
        boxed(b"mvhd", &[&body])
    }

    fn track(version: u8, width: u32, height: u32, is_on_its_side: bool) -> Vec<u8> {
        let head = [version].into_iter().chain(std::iter::repeat(0)).take(if version == 0 { 40 } else { 52 });
        let mut body: Vec<u8> = head.collect();
        let one = 1u32 << 16;
        let matrix =
            if is_on_its_side { [0, one, 0, one, 0, 0, 0, 0, 0] } else { [one, 0, 0, 0, one, 0, 0, 0, 0] };
        matrix.iter().for_each(|number| body.extend(number.to_be_bytes()));
        body.extend((width << 16).to_be_bytes());
        body.extend((height << 16).to_be_bytes());
        let head = boxed(b"tkhd", &[&body]);
        boxed(b"trak", &[&boxed(b"edts", &[]), &head])
    }

    #[test]
    fn lengths_and_sizes() {
        let kind = boxed(b"ftyp", &[b"isom\0\0\0\0"]);
        let data = boxed(b"mdat", &[&[7; 1_000]]);
        let sound = track(0, 0, 0, false);
        for (version, side) in [(0, false), (1, false), (0, true), (1, true)] {
            let movie = boxed(
                b"moov",
                &[
                    &header(version, 600, 1_500),
                    &sound,
                    &track(version, 640, 360, side),
                    &track(0, 9, 9, false),
                ],
            );
            let size = if side { (360, 640) } else { (640, 360) };
            let want = Facts { duration_ms: Some(2_500), width: size.0, height: size.1 };
            for file in [[&*kind, &data, &movie].concat(), [&*kind, &movie, &data].concat()] {
                assert_eq!(read(&file), want);
                cut(&file);
            }
        }
        // A sound; one in pieces; a long box, and one up to the end.
        let movie = boxed(b"moov", &[&header(0, 1_000, 90_000), &sound]);
        let long = [&b"\0\0\0\x01mdat"[..], &1_016u64.to_be_bytes(), &[7; 1_000]].concat();
        assert_eq!(
            read(&[&*kind, &long, &movie].concat()),
            Facts { duration_ms: Some(90_000), ..Facts::default() }
        );
        let pieces = boxed(b"mvex", &[&boxed(b"mehd", &[&[0; 4], &3_000u32.to_be_bytes()])]);
        let movie = boxed(b"moov", &[&header(0, 1_000, 0), &pieces]);
        let open = [&kind, &movie, &b"\0\0\0\0mdat"[..], &[7; 99]].concat();
        assert_eq!(read(&open).duration_ms, Some(3_000));
    }

    #[test]
    fn boxes_that_lie() {
        let kind = boxed(b"ftyp", &[b"isom\0\0\0\0"]);
        let with = |more: &[u8]| read(&[&kind, more].concat());
        for lie in [
            &b"\0\0\0\x07moov"[..],
            b"\xff\xff\xff\xffmoov",
            b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(with(lie), Facts::default());
        }
        let movie = |mvhd: Vec<u8>| with(&boxed(b"moov", &[&mvhd])).duration_ms;
        assert_eq!(movie(header(0, 0, 5)), None);
        assert_eq!(movie(header(0, 1, u64::from(u32::MAX))), None);
        assert_eq!(movie(header(1, 1, u64::MAX)), None);
        // Boxes without end are not followed without end.
        assert_eq!(with(&b"\0\0\0\x08free".repeat(100_000)), Facts::default());
    }
}
