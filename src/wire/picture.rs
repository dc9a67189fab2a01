//! What a picture says of itself: format, size, frames (JPEG, PNG, GIF, WebP), without decoding any of it.
//!
//! Invariants: nothing here allocates by what the bytes say, and every look goes forwards, so the time is that of one
//! pass. What [`Header::check`] lets through no decoder need be asked whether it can be afforded: some allocate before
//! they look at their limits. The type is that of the bytes; what a client declares is never looked at.

use memchr::memchr;

use crate::limits::{PICTURE_AREA_MAX, PICTURE_FRAME_COUNT_MAX, PICTURE_FRAMES_AREA_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Jpeg, Format::Png, Format::Gif, Format::Webp];

    /// What a file seems to be that begins so.
    pub fn of(head: &[u8]) -> Option<Format> {
        match head {
            [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Format::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Gif => "image/gif",
            Format::Webp => "image/webp",
        }
    }
}

/// What a picture is, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Of the canvas, and of every frame.
    pub width: u32,
    pub height: u32,
    pub frame_count: u32,
    /// How often an animation is played; 0 for ever.
    pub play_count: u16,
}

/// Why it is no picture that is taken, in one sentence for the error envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

const UNKNOWN: Refused = Refused("The file is no JPEG, PNG, GIF or WebP");
const BROKEN: Refused = Refused("The picture is damaged or cut off");

impl Header {
    /// Reads what a whole file says.
    ///
    /// # Errors
    /// When it is none of the formats, is cut off, or something else follows it: a file that two programs take for
    /// different things is none that somebody has drawn.
    pub fn read(bytes: &[u8]) -> Result<Header, Refused> {
        let (header, rest) = match Format::of(bytes).ok_or(UNKNOWN)? {
            Format::Jpeg => jpeg(bytes),
            Format::Png => png(&bytes[8..]),
            Format::Gif => gif(&bytes[6..]),
            Format::Webp => webp(&bytes[4..]),
        }
        .ok_or(BROKEN)?;
        if header.width == 0 || header.height == 0 || header.frame_count == 0 {
            return Err(BROKEN);
        }
        if is_something_else(header.format, rest) {
            return Err(Refused("Something else follows the picture in the file"));
        }
        Ok(header)
    }

    /// # Errors
    /// When decoding it may cost more than one picture is worth.
    pub fn check(self) -> Result<(), Refused> {
        let area = u64::from(self.width) * u64::from(self.height);
        if area > PICTURE_AREA_MAX {
            return Err(Refused("The picture has more than 64 million pixels"));
        }
        if self.frame_count > PICTURE_FRAME_COUNT_MAX {
            return Err(Refused("The picture has more than 1,000 frames"));
        }
        if area * u64::from(self.frame_count) > PICTURE_FRAMES_AREA_MAX {
            return Err(Refused("The frames of the picture have more than 400 million pixels together"));
        }
        Ok(())
    }

    fn still(format: Format, width: u32, height: u32) -> Header {
        Header { format, width, height, frame_count: 1, play_count: 1 }
    }
}

/// Reads from the front of `bytes` and moves it on.
pub(super) fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    bytes.split_off(..len)
}

pub(super) fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

fn u24(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// What follows a picture: nothing, padding, or, behind a JPEG, what cameras put there: more pictures and films.
fn is_something_else(format: Format, rest: &[u8]) -> bool {
    let is_padding = rest.iter().all(|byte| b"\0 \r\n".contains(byte));
    let is_cameras = rest.starts_with(b"\xff\xd8\xff") || rest.get(4..8) == Some(b"ftyp");
    !(is_padding || format == Format::Jpeg && is_cameras)
}

/// Segments up to the end (ITU-T T.81 §B.1, §B.2).
fn jpeg(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let mut rest = &bytes[2..];
    let mut header: Option<Header> = None;
    loop {
        let [prefix, mut marker] = array(&mut rest)?;
        if prefix != 0xff {
            return None;
        }
        // Any number of fill bytes.
        while marker == 0xff {
            [marker] = array(&mut rest)?;
        }
        match marker {
            0xd9 => return header.map(|header| (header, rest)),
            // TEM, RSTn and SOI have no length.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let len = usize::from(u16::from_be_bytes(array(&mut rest)?)).checked_sub(2)?;
        let mut segment = take(&mut rest, len)?;
        match marker {
            // SOFn, but not DHT, JPG and DAC.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let [_, h1, h0, w1, w0] = array(&mut segment)?;
                let [width, height] =
                    [[w1, w0], [h1, h0]].map(|number| u32::from(u16::from_be_bytes(number)));
                // Decoders differ in which of two they take.
                if header.replace(Header::still(Format::Jpeg, width, height)).is_some() {
                    return None;
                }
            }
            // SOS: coded data up to the next marker.
            0xda => skip_scan(&mut rest)?,
            _ => {}
        }
    }
}

/// In a scan a marker's first byte stands for itself when a zero follows, and restarts belong to it.
fn skip_scan(rest: &mut &[u8]) -> Option<()> {
    loop {
        let at = memchr(0xff, rest)?;
        *rest = &rest[at..];
        match rest.get(1)? {
            0x00 | 0xd0..=0xd7 => *rest = &rest[2..],
            0xff => *rest = &rest[1..],
            _ => return Some(()),
        }
    }
}

/// Chunks from IHDR to IEND (W3C PNG §5). An animated one is taken as its still picture.
fn png(mut rest: &[u8]) -> Option<(Header, &[u8])> {
    let mut header: Option<Header> = None;
    loop {
        let len = u32::from_be_bytes(array(&mut rest)?) as usize;
        let kind: [u8; 4] = array(&mut rest)?;
        let mut chunk = take(&mut rest, len)?;
        take(&mut rest, 4)?;
        match (&kind, header) {
            (b"IHDR", None) if len == 13 => {
                let (width, height) = (array(&mut chunk)?, array(&mut chunk)?);
                let [width, height] = [width, height].map(u32::from_be_bytes);
                header = Some(Header::still(Format::Png, width, height));
            }
            (b"IHDR", _) | (_, None) => return None,
            (b"IEND", Some(header)) => return Some((header, rest)),
            _ => {}
        }
    }
}

/// All blocks (GIF89a §17 to §27). A frame counts as large as the canvas: that is what is put together for each.
fn gif(mut rest: &[u8]) -> Option<(Header, &[u8])> {
    let [w0, w1, h0, h1, flags, _, _] = array(&mut rest)?;
    let mut header = Header {
        format: Format::Gif,
        width: u32::from(u16::from_le_bytes([w0, w1])),
        height: u32::from(u16::from_le_bytes([h0, h1])),
        frame_count: 0,
        play_count: 1,
    };
    take(&mut rest, color_table_len(flags))?;
    loop {
        match array(&mut rest) {
            Some([0x21]) => {
                let [label] = array(&mut rest)?;
                let data = rest;
                skip_sub_blocks(&mut rest)?;
                // How often it is repeated, not played (NETSCAPE2.0).
                if let (0xff, Some([3, 1, low, high])) = (label, after_netscape(data)) {
                    let count = u16::from_le_bytes([low, high]);
                    header.play_count = if count == 0 { 0 } else { count.saturating_add(1) };
                }
            }
            Some([0x2c]) => {
                let [x0, x1, y0, y1, w0, w1, h0, h1, flags]: [u8; 9] = array(&mut rest)?;
                let end = |at: [u8; 2], len: [u8; 2]| {
                    u32::from(u16::from_le_bytes(at)) + u32::from(u16::from_le_bytes(len))
                };
                // What lies outside, some decoders make room for.
                header.width = header.width.max(end([x0, x1], [w0, w1]));
                header.height = header.height.max(end([y0, y1], [h0, h1]));
                take(&mut rest, color_table_len(flags) + 1)?;
                skip_sub_blocks(&mut rest)?;
                header.frame_count += 1;
            }
            Some([0x3b]) => return Some((header, rest)),
            Some(_) | None => return None,
        }
    }
}

pub(super) fn color_table_len(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

pub(super) fn skip_sub_blocks(rest: &mut &[u8]) -> Option<()> {
    loop {
        match array(rest)? {
            [0] => return Some(()),
            [len] => take(rest, usize::from(len))?,
        };
    }
}

fn after_netscape(data: &[u8]) -> Option<[u8; 4]> {
    data.strip_prefix(b"\x0bNETSCAPE2.0")?.get(..4)?.try_into().ok()
}

/// Chunks (RFC 9649 §2). The canvas of an extended file is what a decoder makes room for, whatever its frames are.
fn webp(mut file: &[u8]) -> Option<(Header, &[u8])> {
    let len = u32::from_le_bytes(array(&mut file)?) as usize;
    let mut rest = take(&mut file, len)?;
    take(&mut rest, 4)?;
    let mut header: Option<Header> = None;
    let mut frame_count = 0;
    while let Some(kind) = array::<4>(&mut rest) {
        let len = u32::from_le_bytes(array(&mut rest)?) as usize;
        let mut chunk = take(&mut rest, len)?;
        // The last one's padding is left out here and there.
        let padding_len = (len % 2).min(rest.len());
        take(&mut rest, padding_len)?;
        let size = match &kind {
            b"VP8X" => {
                take(&mut chunk, 4)?;
                let (width, height) = (u24(array(&mut chunk)?) + 1, u24(array(&mut chunk)?) + 1);
                Some((width, height))
            }
            // A key frame: three bytes, the start code, then both sizes (RFC 6386 §9.1).
            b"VP8 " => {
                take(&mut chunk, 3)?;
                let [0x9d, 0x01, 0x2a, w0, w1, h0, h1] = array(&mut chunk)? else { return None };
                let [width, height] =
                    [[w0, w1], [h0, h1]].map(|number| u32::from(u16::from_le_bytes(number) & 0x3fff));
                Some((width, height))
            }
            b"VP8L" => {
                let [0x2f, bits @ ..] = array::<5>(&mut chunk)? else { return None };
                let bits = u32::from_le_bytes(bits);
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"ANMF" => {
                take(&mut chunk, 6)?;
                frame_count += 1;
                let (width, height) = (u24(array(&mut chunk)?) + 1, u24(array(&mut chunk)?) + 1);
                Some((width, height))
            }
            _ => None,
        };
        if let Some((width, height)) = size {
            let known = header.get_or_insert(Header::still(Format::Webp, width, height));
            known.width = known.width.max(width);
            known.height = known.height.max(height);
        }
    }
    header.map(|header| (Header { frame_count: frame_count.max(1), ..header }, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Format, u32, u32, u32), &'static str> {
        let header = Header::read(bytes).map_err(|Refused(reason)| reason)?;
        Ok((header.format, header.width, header.height, header.frame_count))
    }

    const JPEG: &[u8] =
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xdb\0\x03x\xff\xc2\0\x0b\x08\x01\x02\x03\x04\x01\0\0\0\
        \xff\xda\0\x03xscan\xff\0scan\xff\xd0more\xff\xc4\0\x04\xff\xd9\xff\xda\0\x03xlast\xff\xd9";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\x02\0\0\x03\x04\x08\x06\0\0\0crc!\
        \0\0\0\x02IDATxxcrc!\0\0\0\0IENDcrc!";
    const GIF: &[u8] = b"GIF89a\x02\x01\x04\x03\x80\0\0rgbrgb\x21\xff\x0bNETSCAPE2.0\x03\x01\x02\0\0\
        \x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02DA\0\x2c\0\0\0\0\x01\0\x01\0\x80rgbrgb\x02\0\x3b";

    fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
        for (kind, data) in chunks {
            out.extend_from_slice(*kind);
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(2), 0);
        }
        let len = out.len() as u32 - 8;
        out[4..8].copy_from_slice(&len.to_le_bytes());
        out
    }

    const LOSSY: &[u8] = b"\0\0\0\x9d\x01\x2a\x02\x01\x04\x43";
    const LOSSLESS: &[u8] = b"\x2f\x01\x41\xc0\0";
    const CANVAS: &[u8] = b"\x02\0\0\0\x01\x01\0\x03\x03\0";

    #[test]
    fn sizes() {
        assert_eq!(read(JPEG), Ok((Format::Jpeg, 0x304, 0x102, 1)));
        assert_eq!(read(PNG), Ok((Format::Png, 0x102, 0x304, 1)));
        assert_eq!(read(GIF), Ok((Format::Gif, 0x102, 0x304, 2)));
        assert_eq!(Header::read(GIF).unwrap().play_count, 3);
        assert_eq!(read(&webp(&[(b"VP8 ", LOSSY)])), Ok((Format::Webp, 0x102, 0x304, 1)));
        assert_eq!(read(&webp(&[(b"VP8L", LOSSLESS)])), Ok((Format::Webp, 0x102, 0x302, 1)));
        assert_eq!(read(&webp(&[(b"VP8X", CANVAS), (b"VP8 ", LOSSY)])), Ok((Format::Webp, 0x102, 0x304, 1)));
        let frame = [&[0; 6][..], &[9, 0, 0, 9, 0, 0], &[0; 4]].concat();
        let frames = [(b"VP8X", CANVAS), (b"ANIM", &[0; 6]), (b"ANMF", &frame), (b"ANMF", &frame)];
        assert_eq!(read(&webp(&frames)), Ok((Format::Webp, 0x102, 0x304, 2)));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        let unknown = "The file is no JPEG, PNG, GIF or WebP";
        for bytes in [&b""[..], b"GIF88a", b"<svg>", b"BM", b"\x89PNG\n", b"RIFF....WAVE", b"zz", b"RIFF"] {
            assert_eq!(read(bytes), Err(unknown), "{}", bytes.escape_ascii());
        }
        let broken = Err("The picture is damaged or cut off");
        let follows = Err("Something else follows the picture in the file");
        for (whole, least) in [(JPEG, 3), (PNG, 8), (GIF, 6), (&webp(&[(b"VP8 ", LOSSY)]), 12)] {
            for len in least..whole.len() {
                assert_eq!(read(&whole[..len]), broken, "{} of {}", len, whole.escape_ascii());
            }
            let with = |more: &[u8]| read(&[whole, more].concat());
            assert!(with(b"\0\0\r\n").is_ok());
            for more in [&b"PK\x03\x04"[..], b"<script>", b"\0\0%PDF-1.4", b"x"] {
                assert_eq!(with(more), follows, "{}", more.escape_ascii());
            }
            assert_eq!(with(JPEG).is_ok(), whole == JPEG, "cameras put more pictures there");
        }
        let twice = [&JPEG[..JPEG.len() - 2], &JPEG[2..]].concat();
        assert_eq!(read(&twice), broken);
        assert_eq!(read(b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)"), broken);
    }

    #[test]
    fn bounds() {
        let check = |width: u32, height: u32, frame_count: u32| {
            let header = Header { width, height, frame_count, ..Header::still(Format::Gif, 1, 1) };
            header.check().map_err(|Refused(reason)| reason.split(' ').nth(5).unwrap())
        };
        assert_eq!(check(8_000, 8_000, 1), Ok(()));
        assert_eq!(check(10_000, 10_000, 1), Err("64"));
        assert_eq!(check(u32::MAX, u32::MAX, u32::MAX), Err("64"));
        assert_eq!(check(1, 1, 1_000), Ok(()));
        assert_eq!(check(1, 1, 1_001), Err("1,000"));
        assert!(check(8_000, 8_000, 7).is_err());
    }
}
