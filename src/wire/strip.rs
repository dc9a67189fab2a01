//! A picture without what is said beside it: where and when it was taken, by whom, with which program.
//!
//! Nothing is decoded, so nothing of the picture is lost, and it takes the time of a copy. What is kept is listed, by
//! format; anything else goes: what a camera or a program puts there next year is not known today. Kept are the parts
//! that pixels are made of, how their colours are meant (ICC), how often an animation is played, and which way is up,
//! which alone is written anew. What follows the end goes too: cameras hide films there.
//!
//! Invariant: what comes out is no longer than what came in and [`ORIENTATION_LEN_MAX`] more, and stripped again it is
//! the same.

use crate::wire::picture::{Format, array, color_table_len, skip_sub_blocks, take};

/// What the longest way to say which way is up takes: a segment, a chunk.
pub const ORIENTATION_LEN_MAX: usize = 40;

/// The picture that a whole file is; `None` when the file is none, or cut off.
pub fn stripped(format: Format, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + ORIENTATION_LEN_MAX);
    match format {
        Format::Jpeg => jpeg(bytes, &mut out),
        Format::Png => png(bytes, &mut out),
        Format::Gif => gif(bytes, &mut out),
        Format::Webp => webp(bytes, &mut out),
    }?;
    Some(out)
}

// ------------------------------------------------------------------------------------- which way is up

/// Tag of it (Exif 2.32 §4.6.4).
const ORIENTATION: u16 = 0x0112;
/// Type of a number of two bytes.
const SHORT: u16 = 3;
/// Entries of a directory that are looked at: cameras write some twenty.
const ENTRY_COUNT_MAX: u16 = 200;

/// Which way is up, when it is another one than that of the pixels: 2 to 8. `exif` begins with its byte order.
fn turned(exif: &[u8]) -> Option<u8> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes: [u8; 4] = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let count = short(directory)?.min(ENTRY_COUNT_MAX);
    let entries = (0..usize::from(count)).map(|index| directory + 2 + 12 * index);
    let mut found = entries.filter(|at| short(*at) == Some(ORIENTATION) && short(at + 2) == Some(SHORT));
    let value = short(found.next()? + 8)?;
    u8::try_from(value).ok().filter(|value| (2..=8).contains(value))
}

/// An Exif that says nothing but which way is up.
fn exif(turned: u8) -> [u8; 26] {
    let mut exif = *b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    exif[19] = turned;
    exif
}

// ------------------------------------------------------------------------------------------------ JPEG

/// Segments up to the end (ITU-T T.81 §B.1).
fn jpeg(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes;
    out.extend_from_slice(take(&mut rest, 2).filter(|start| start == b"\xff\xd8")?);
    let (mut is_headed, mut is_turned) = (false, false);
    loop {
        let (marker, segment) = segment(&mut rest)?;
        match marker {
            0xd9 => {
                out.extend_from_slice(&[0xff, marker]);
                return Some(());
            }
            0xe1 if !is_turned && segment.starts_with(b"Exif\0\0") => {
                if let Some(turned) = turned(segment) {
                    push_segment(out, 0xe1, &[b"Exif\0\0", &exif(turned)[..]].concat());
                    is_turned = true;
                }
            }
            // JFIF, without the small picture that it can have.
            0xe0 => {
                let head = segment.strip_prefix(b"JFIF\0").and_then(|jfif| jfif.get(..7));
                if let Some(head) = head.filter(|_| !is_headed) {
                    is_headed = true;
                    push_segment(out, 0xe0, &[b"JFIF\0", head, &[0, 0]].concat());
                }
            }
            0xe2 if !segment.starts_with(b"ICC_PROFILE\0") => {}
            // How the colours are coded.
            0xee if !segment.starts_with(b"Adobe") => {}
            0xe1 | 0xe3..=0xed | 0xef | 0xfe => {}
            0x01 | 0xd0..=0xd8 => out.extend_from_slice(&[0xff, marker]),
            _ => {
                push_segment(out, marker, segment);
                if marker == 0xda {
                    out.extend_from_slice(scan(&mut rest)?);
                }
            }
        }
    }
}

/// The next marker, and what belongs to it.
fn segment<'b>(rest: &mut &'b [u8]) -> Option<(u8, &'b [u8])> {
    let [prefix, mut marker] = array(rest)?;
    if prefix != 0xff {
        return None;
    }
    while marker == 0xff {
        [marker] = array(rest)?;
    }
    if matches!(marker, 0x01 | 0xd0..=0xd9) {
        return Some((marker, &[]));
    }
    let len = usize::from(u16::from_be_bytes(array(rest)?)).checked_sub(2)?;
    Some((marker, take(rest, len)?))
}

/// Coded data up to the next marker that is none of its own.
fn scan<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let mut at = 0;
    loop {
        at += memchr::memchr(0xff, &rest[at..])?;
        match rest.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return take(rest, at),
        }
    }
}

fn push_segment(out: &mut Vec<u8>, marker: u8, segment: &[u8]) {
    let len = u16::try_from(segment.len() + 2).expect("a segment is as long as it was");
    out.extend_from_slice(&[0xff, marker]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(segment);
}

// ------------------------------------------------------------------------------------------------- PNG

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that pixels and their colours are made of (W3C PNG, third edition, §5.6).
const PNG_KEPT: [&[u8; 4]; 20] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"sBIT", b"bKGD",
    b"hIST", b"pHYs", b"sPLT", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT",
];

fn png(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes.strip_prefix(PNG_SIGNATURE)?;
    out.extend_from_slice(PNG_SIGNATURE);
    let mut turned = png_turned(rest);
    loop {
        let (kind, whole) = png_chunk(&mut rest)?;
        if PNG_KEPT.contains(&kind) {
            out.extend_from_slice(whole);
        }
        match kind {
            b"IHDR" => {
                if let Some(turned) = turned.take() {
                    push_png_chunk(out, *b"eXIf", &exif(turned));
                }
            }
            b"IEND" => return Some(()),
            _ => {}
        }
    }
}

/// Its kind, and all of it.
fn png_chunk<'b>(rest: &mut &'b [u8]) -> Option<(&'b [u8; 4], &'b [u8])> {
    let len = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
    let whole = take(rest, len.checked_add(12)?)?;
    Some((whole[4..8].try_into().ok()?, whole))
}

/// Which way is up; it is said before the pixels, or behind them.
fn png_turned(mut rest: &[u8]) -> Option<u8> {
    while let Some((kind, whole)) = png_chunk(&mut rest) {
        match kind {
            b"eXIf" => return turned(&whole[8..whole.len() - 4]),
            b"IEND" => break,
            _ => {}
        }
    }
    None
}

fn push_png_chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    let sum = crc32(&out[from..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

/// W3C PNG §D, for a few bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = !0u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

// ------------------------------------------------------------------------------------------------- GIF

/// Blocks up to the trailer (GIF89a §17 to §27).
fn gif(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes;
    let head = take(&mut rest, 13).filter(|head| head.starts_with(b"GIF8"))?;
    out.extend_from_slice(head);
    out.extend_from_slice(take(&mut rest, color_table_len(head[10]))?);
    loop {
        let from = rest;
        match array(&mut rest)? {
            [0x3b] => {
                out.push(0x3b);
                return Some(());
            }
            [0x2c] => {
                let head = take(&mut rest, 9)?;
                take(&mut rest, color_table_len(head[8]) + 1)?;
                skip_sub_blocks(&mut rest)?;
            }
            [0x21] => {
                let [label] = array(&mut rest)?;
                let data = rest;
                skip_sub_blocks(&mut rest)?;
                match label {
                    // How the next picture is shown; a text that is one.
                    0xf9 | 0x01 => {}
                    0xff => {
                        push_application(out, data, &data[..data.len() - rest.len()]);
                        continue;
                    }
                    _ => continue,
                }
            }
            _ => return None,
        }
        out.extend_from_slice(&from[..from.len() - rest.len()]);
    }
}

/// How often an animation is played, and a profile of its colours; other programs' notes are nobody's business.
fn push_application(out: &mut Vec<u8>, data: &[u8], whole: &[u8]) {
    let is_loop =
        data.starts_with(b"\x0bNETSCAPE2.0\x03\x01") || data.starts_with(b"\x0bANIMEXTS1.0\x03\x01");
    if is_loop && whole.len() >= 17 {
        out.extend_from_slice(b"\x21\xff");
        out.extend_from_slice(&whole[..16]);
        out.push(0);
    } else if data.starts_with(b"\x0bICCRGBG1012") {
        out.extend_from_slice(b"\x21\xff");
        out.extend_from_slice(whole);
    }
}

// ------------------------------------------------------------------------------------------------ WebP

/// Flags of an extended file: that there is an Exif, and XMP (RFC 9649 §2.7.1).
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;
/// What a frame of an animation says before its chunks.
const FRAME_HEAD_LEN: usize = 16;

fn webp(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut file = bytes.strip_prefix(b"RIFF")?;
    let len = u32::from_le_bytes(array(&mut file)?) as usize;
    let mut rest = take(&mut file, len)?.strip_prefix(b"WEBP")?;
    out.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    let turned = webp_turned(rest);
    let mut is_extended = false;
    while !rest.is_empty() {
        let (kind, data) = webp_chunk(&mut rest)?;
        match kind {
            // Decoders differ in which of two they take.
            b"VP8X" if is_extended => return None,
            b"VP8X" if data.len() >= 10 => {
                is_extended = true;
                let mut head: [u8; 10] = *data.first_chunk()?;
                head[0] &= !(HAS_EXIF | HAS_XMP);
                head[0] |= if turned.is_some() { HAS_EXIF } else { 0 };
                push_webp_chunk(out, *kind, &head);
            }
            b"ANMF" => push_frame(out, data)?,
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" | b"ICCP" => push_webp_chunk(out, *kind, data),
            _ => {}
        }
    }
    if let Some(turned) = turned.filter(|_| is_extended) {
        push_webp_chunk(out, *b"EXIF", &exif(turned));
    }
    let len = u32::try_from(out.len() - 8).ok()?;
    out[4..8].copy_from_slice(&len.to_le_bytes());
    Some(())
}

fn webp_turned(mut rest: &[u8]) -> Option<u8> {
    while let Some((kind, data)) = webp_chunk(&mut rest) {
        if kind == b"EXIF" {
            return turned(data);
        }
    }
    None
}

/// A chunk without its padding, which may be left out at the end.
fn webp_chunk<'b>(rest: &mut &'b [u8]) -> Option<(&'b [u8; 4], &'b [u8])> {
    let kind = take(rest, 4)?.try_into().ok()?;
    let len = u32::from_le_bytes(array(rest)?) as usize;
    let data = take(rest, len)?;
    let padding_len = (len % 2).min(rest.len());
    take(rest, padding_len)?;
    Some((kind, data))
}

fn push_webp_chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    out.extend_from_slice(&kind);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(0);
    }
}

/// A frame of an animation, which has chunks of its own.
fn push_frame(out: &mut Vec<u8>, frame: &[u8]) -> Option<()> {
    let mut rest = frame;
    let from = out.len();
    push_webp_chunk(out, *b"ANMF", take(&mut rest, FRAME_HEAD_LEN)?);
    while !rest.is_empty() {
        let (kind, data) = webp_chunk(&mut rest)?;
        if [b"VP8 ", b"VP8L", b"ALPH"].contains(&kind) {
            push_webp_chunk(out, *kind, data);
        }
    }
    let len = u32::try_from(out.len() - from - 8).ok()?;
    out[from + 4..from + 8].copy_from_slice(&len.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::picture::Header;

    fn exif_of(turned: u16, is_little: bool) -> Vec<u8> {
        let short = |value: u16| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut out = if is_little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        out.extend(long(12));
        out.extend(b"geo!");
        out.extend(short(2));
        // A text that stands behind the directory, then which way is up.
        out.extend([&short(0x010e)[..], &short(2), &long(8), &long(42)].concat());
        out.extend([&short(ORIENTATION)[..], &short(SHORT), &long(1), &short(turned), &[0; 2]].concat());
        out.extend(long(0));
        out.extend(b"at home\0");
        out
    }

    fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_segment(&mut out, marker, data);
        out
    }

    fn png_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = PNG_SIGNATURE.to_vec();
        chunks.iter().for_each(|(kind, data)| push_png_chunk(&mut out, **kind, data));
        out
    }

    fn webp_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
        chunks.iter().for_each(|(kind, data)| push_webp_chunk(&mut out, **kind, data));
        let len = out.len() as u32 - 8;
        out[4..8].copy_from_slice(&len.to_le_bytes());
        out
    }

    /// What it becomes, which is a picture of the same size, and is the same when it is stripped again.
    #[track_caller]
    fn strip(format: Format, bytes: &[u8]) -> Vec<u8> {
        let out = stripped(format, bytes).unwrap();
        let [before, after] = [bytes, &*out].map(|bytes| Header::read(bytes).unwrap());
        assert_eq!(before, after);
        assert_eq!(stripped(format, &out).as_deref(), Some(&*out));
        assert!(out.len() <= bytes.len() + ORIENTATION_LEN_MAX);
        for word in [&b"secret"[..], b"geo!", b"at home"] {
            assert!(memchr::memmem::find(&out, word).is_none(), "{}", out.escape_ascii());
        }
        out
    }

    const FRAME: &[u8] = b"\x08\x01\x02\x03\x04\x01\0\0\0";
    const SIZE: &[u8] = b"\0\0\x01\x02\0\0\x03\x04\x08\x06\0\0\0";

    #[test]
    fn which_way_is_up() {
        for is_little in [false, true] {
            for turned in 2..=8 {
                assert_eq!(super::turned(&exif_of(turned, is_little)), Some(turned as u8));
                let prefixed = [b"Exif\0\0", &*exif_of(turned, is_little)].concat();
                assert_eq!(super::turned(&prefixed), Some(turned as u8));
            }
            for other in [0, 1, 9, 256, 0xffff] {
                assert_eq!(super::turned(&exif_of(other, is_little)), None);
            }
            let whole = exif_of(6, is_little);
            (0..whole.len() - 8 - 4 - 4).for_each(|len| assert_eq!(super::turned(&whole[..len]), None));
        }
        (2..=8).for_each(|turned| assert_eq!(super::turned(&exif(turned)), Some(turned)));
        // A directory of nothing, far away, or in itself.
        for at in [u32::MAX, 4, 1 << 31] {
            let mut far = exif_of(6, false);
            far[4..8].copy_from_slice(&at.to_be_bytes());
            assert_eq!(super::turned(&far), None, "{at}");
        }
    }

    #[test]
    fn jpeg_keeps_colours_and_which_way_is_up() {
        let scan = b"\xff\xda\0\x03xscan\xff\0scan\xff\xd0more";
        let kept = [
            segment(0xdb, b"x"),
            segment(0xe2, b"ICC_PROFILE\0\x01\x01rgb"),
            segment(0xee, b"Adobe\0d\0\0\0\0\x01"),
            segment(0xc2, FRAME),
            scan.to_vec(),
            segment(0xc4, b"table"),
            scan.to_vec(),
        ]
        .concat();
        let exif = [b"Exif\0\0", &*exif_of(6, true)].concat();
        let noise = [
            segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\x01\x01secretrgb"),
            segment(0xe0, b"JFXX\0secret"),
            segment(0xe1, &exif),
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0secret"),
            segment(0xe2, b"MPF\0secret"),
            segment(0xed, b"Photoshop 3.0\0secret"),
            segment(0xee, b"secret"),
            segment(0xef, b"secret"),
            segment(0xfe, b"secret"),
        ]
        .concat();
        let file =
            [b"\xff\xd8", &*noise, &*kept, &segment(0xfe, b"secret"), b"\xff\xff\xd9", b"\xff\xd8\xffsecret"];
        let exif = segment(0xe1, &[b"Exif\0\0", &super::exif(6)[..]].concat());
        let jfif = segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
        let want = [b"\xff\xd8", &*jfif, &*exif, &*kept, b"\xff\xd9"].concat();
        assert_eq!(
            strip(Format::Jpeg, &file.concat()).escape_ascii().to_string(),
            want.escape_ascii().to_string()
        );
        let upright = segment(0xe1, &[b"Exif\0\0", &*exif_of(1, false)].concat());
        let file = [b"\xff\xd8", &*upright, &*kept, b"\xff\xd9"].concat();
        assert_eq!(strip(Format::Jpeg, &file), [b"\xff\xd8", &*kept, b"\xff\xd9"].concat());
    }

    #[test]
    fn png_keeps_colours_and_which_way_is_up() {
        let exif = exif_of(8, false);
        let file = png_of(&[
            (b"IHDR", SIZE),
            (b"iCCP", b"name\0\0rgb"),
            (b"tEXt", b"Author\0secret"),
            (b"acTL", &[0; 8]),
            (b"IDAT", b"xx"),
            (b"IDAT", b"yy"),
            (b"caBX", b"secret"),
            (b"zTXt", b"secret"),
            (b"iTXt", b"secret"),
            (b"tIME", b"secret!"),
            (b"eXIf", &exif),
            (b"IEND", b""),
        ]);
        let want = png_of(&[
            (b"IHDR", SIZE),
            (b"eXIf", &super::exif(8)),
            (b"iCCP", b"name\0\0rgb"),
            (b"acTL", &[0; 8]),
            (b"IDAT", b"xx"),
            (b"IDAT", b"yy"),
            (b"IEND", b""),
        ]);
        assert_eq!(strip(Format::Png, &[&*file, b"\0\0"].concat()), want);
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn gif_keeps_how_often_it_is_played() {
        let head = b"GIF89a\x02\x01\x04\x03\x80\0\0rgbrgb";
        let plays = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x02\0\0";
        let picture = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\x80rgbrgb\x02\x02DA\0";
        let more = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x02\0\x06secret\0";
        let notes = b"\x21\xfe\x06secret\0\x21\xff\x0bXMP DataXMP\x06secret\0\x21\x99\x06secret\0";
        let file = [&head[..], more, notes, picture, notes, picture, b"\x3b\0"].concat();
        assert_eq!(strip(Format::Gif, &file), [&head[..], plays, picture, picture, b"\x3b"].concat());
    }

    #[test]
    fn webp_says_what_it_still_has() {
        const LOSSY: &[u8] = b"\0\0\0\x9d\x01\x2a\x02\x01\x04\x03";
        let canvas = |flags: u8| [&[flags][..], b"\0\0\0\x01\x01\0\x03\x03\0"].concat();
        let exif = exif_of(3, true);
        let frame = |notes: &[u8]| {
            let mut out = [0u8; FRAME_HEAD_LEN].to_vec();
            push_webp_chunk(&mut out, *b"VP8 ", LOSSY);
            out.extend_from_slice(notes);
            out
        };
        let still = webp_of(&[
            (b"VP8X", &canvas(0x3c)),
            (b"ICCP", b"rgb"),
            (b"ALPH", b"a"),
            (b"VP8 ", LOSSY),
            (b"EXIF", &exif),
            (b"XMP ", b"secret"),
            (b"note", b"secret"),
        ]);
        let want = webp_of(&[
            (b"VP8X", &canvas(0x38)),
            (b"ICCP", b"rgb"),
            (b"ALPH", b"a"),
            (b"VP8 ", LOSSY),
            (b"EXIF", &super::exif(3)),
        ]);
        assert_eq!(strip(Format::Webp, &still), want);
        let noted = frame(b"note\x06\0\0\0secret");
        let moving = [(b"VP8X", &*canvas(0x0e)), (b"ANIM", &[0; 6]), (b"ANMF", &noted), (b"XMP ", b"secret")];
        let plain = frame(b"");
        let want = webp_of(&[(b"VP8X", &canvas(0x02)), (b"ANIM", &[0; 6]), (b"ANMF", &plain)]);
        assert_eq!(strip(Format::Webp, &webp_of(&moving)), want);
        let simple = webp_of(&[(b"VP8 ", LOSSY)]);
        assert_eq!(strip(Format::Webp, &simple), simple);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let jpeg = [b"\xff\xd8", &*segment(0xc0, FRAME), b"\xff\xda\0\x03xscan\xff\xd9"].concat();
        let png = png_of(&[(b"IHDR", SIZE), (b"IDAT", b"xx"), (b"IEND", b"")]);
        let gif = b"GIF89a\x02\x01\x04\x03\x80\0\0rgbrgb\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02DA\0\x3b";
        let webp = webp_of(&[(b"VP8 ", b"\0\0\0\x9d\x01\x2a\x02\x01\x04\x03")]);
        let files = [(Format::Jpeg, &*jpeg), (Format::Png, &png), (Format::Gif, gif), (Format::Webp, &webp)];
        for (format, file) in files {
            assert_eq!(stripped(format, file).as_deref(), Some(file));
            (0..file.len())
                .for_each(|len| assert_eq!(stripped(format, &file[..len]), None, "{format:?} {len}"));
        }
    }
}
