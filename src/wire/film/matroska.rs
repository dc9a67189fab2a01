//! Matroska and WebM: elements within elements (RFC 8794, RFC 9559).

use super::{DURATION_MS_MAX, Facts, Source};

const HEADER: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const INFO: u32 = 0x1549_a966;
const SCALE: u32 = 0x002a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const VIDEO: u32 = 0xe0;
const WIDTH: u32 = 0xb0;
const HEIGHT: u32 = 0xba;
/// Nanoseconds of a unit of time, where nothing else is said.
const SCALE_USUAL: u64 = 1_000_000;

/// An element without its head.
#[derive(Clone, Copy)]
struct Element {
    id: u32,
    at: u64,
    end: u64,
}

pub fn facts(source: &mut Source<'_>) -> Option<Facts> {
    let len = source.len;
    let header = next(source, 0, len).filter(|element| element.id == HEADER)?;
    let segment = next(source, header.end, len).filter(|element| element.id == SEGMENT)?;
    let (mut facts, mut at) = (Facts::default(), segment.at);
    // What is told stands before what is shown.
    while let Some(element) = next(source, at, segment.end).filter(|element| element.id != CLUSTER) {
        match element.id {
            INFO => facts.duration_ms = duration(source, element),
            TRACKS => (facts.width, facts.height) = size(source, element).unwrap_or_default(),
            _ => {}
        }
        at = element.end;
    }
    Some(facts)
}

/// The element that begins there. One of unknown length ends with what it is in.
fn next(source: &mut Source<'_>, at: u64, end: u64) -> Option<Element> {
    if at >= end {
        return None;
    }
    let (id_len, id) = number(source, at, false)?;
    let (size_len, size) = number(source, at + id_len, true)?;
    let start = at + id_len + size_len;
    let is_unknown = size == (1 << (7 * size_len)) - 1;
    let stop = if is_unknown { end } else { start.checked_add(size)? };
    (start <= end && stop <= end).then_some(Element { id: u32::try_from(id).ok()?, at: start, end: stop })
}

/// A number of up to eight bytes, of which the first says how many (RFC 8794 §4); without that mark when it is `bare`.
fn number(source: &mut Source<'_>, at: u64, bare: bool) -> Option<(u64, u64)> {
    let [first] = source.array(at)?;
    let len = first.leading_zeros() + 1;
    if len > 8 {
        return None;
    }
    let mut bytes = [0; 8];
    source.fill(at, &mut bytes[8 - len as usize..])?;
    let value = u64::from_be_bytes(bytes);
    let mark = 1u64 << (7 * len);
    Some((u64::from(len), if bare { value & (mark - 1) } else { value }))
}

/// The first child of a kind.
fn find(source: &mut Source<'_>, parent: Element, id: u32) -> Option<Element> {
    let mut at = parent.at;
    loop {
        let element = next(source, at, parent.end)?;
        if element.id == id {
            return Some(element);
        }
        at = element.end;
    }
}

fn unsigned(source: &mut Source<'_>, element: Element) -> Option<u64> {
    let len = usize::try_from(element.end - element.at).ok().filter(|len| *len <= 8)?;
    let mut bytes = [0; 8];
    source.fill(element.at, &mut bytes[8 - len..])?;
    Some(u64::from_be_bytes(bytes))
}

fn float(source: &mut Source<'_>, element: Element) -> Option<f64> {
    match element.end - element.at {
        4 => Some(f64::from(f32::from_be_bytes(source.array(element.at)?))),
        8 => Some(f64::from_be_bytes(source.array(element.at)?)),
        _ => None,
    }
}

fn duration(source: &mut Source<'_>, info: Element) -> Option<u64> {
    let scale =
        find(source, info, SCALE).and_then(|element| unsigned(source, element)).unwrap_or(SCALE_USUAL);
    let element = find(source, info, DURATION)?;
    let ms = float(source, element)? * scale as f64 / 1e6;
    (ms >= 0.0 && ms <= DURATION_MS_MAX as f64).then_some(ms.round() as u64)
}

/// Of the first track that is a film.
fn size(source: &mut Source<'_>, tracks: Element) -> Option<(u32, u32)> {
    let mut rest = tracks;
    loop {
        let track = find(source, rest, TRACK)?;
        rest.at = track.end;
        let Some(video) = find(source, track, VIDEO) else { continue };
        let mut side = |id| {
            let element = find(source, video, id)?;
            unsigned(source, element).and_then(|side| u32::try_from(side).ok())
        };
        return Some((side(WIDTH)?, side(HEIGHT)?));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cut, read};
    use super::*;

    fn element(id: u32, body: &[u8]) -> Vec<u8> {
        let id = id.to_be_bytes();
        let id = &id[id.iter().position(|byte| *byte != 0).unwrap()..];
        // Of eight bytes, whatever is needed.
        let size = (body.len() as u64 | 1 << 56).to_be_bytes();
        [id, &size, body].concat()
    }

    fn film(info: &[u8], tracks: &[u8], is_open: bool) -> Vec<u8> {
        let head = element(HEADER, b"\x42\x82\x84webm");
        let body = [
            element(0xec, &[0; 9]),
            element(INFO, info),
            element(TRACKS, tracks),
            element(CLUSTER, &[7; 99]),
        ];
        let mut segment = element(SEGMENT, &body.concat());
        if is_open {
            segment[4..12].copy_from_slice(&[1, 255, 255, 255, 255, 255, 255, 255]);
        }
        [head, segment].concat()
    }

    #[test]
    fn lengths_and_sizes() {
        let sound = element(TRACK, &element(0xe1, &[1, 2, 3]));
        let video = [element(WIDTH, &640u16.to_be_bytes()), element(HEIGHT, &[0, 1, 104])].concat();
        let tracks = [sound.clone(), element(TRACK, &element(VIDEO, &video))].concat();
        let long = element(DURATION, &2_500.4f64.to_be_bytes());
        let half =
            [element(SCALE, &500_000u32.to_be_bytes()), element(DURATION, &5_000f32.to_be_bytes())].concat();
        for (info, want) in [(long, 2_500), (half, 2_500)] {
            for is_open in [false, true] {
                let file = film(&info, &tracks, is_open);
                assert_eq!(read(&file), Facts { duration_ms: Some(want), width: 640, height: 360 });
                cut(&file);
            }
        }
        let live = film(&element(SCALE, &[1]), &sound, true);
        assert_eq!(read(&live), Facts::default());
    }

    #[test]
    fn elements_that_lie() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(read(&film(&element(DURATION, &value.to_be_bytes()), b"", false)), Facts::default());
        }
        assert_eq!(read(&film(&element(DURATION, b"xxx"), b"", false)), Facts::default());
        let head = element(HEADER, b"");
        for lie in [
            &b"\0"[..],
            b"\x18\x53\x80\x67",
            b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xfe",
            b"\x81\x80",
        ] {
            assert_eq!(read(&[&head, lie, &[0x80; 20]].concat()), Facts::default());
        }
        assert_eq!(read(&[head, element(SEGMENT, &b"\xec\x80".repeat(100_000))].concat()), Facts::default());
    }
}
