//! What a file is that somebody gives others to see: size and length, what it looks like, small pictures of it, and the
//! picture itself without what is said beside it. It is decoded once for all of these, and the picture is not encoded
//! anew: nothing of it is lost.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use image::metadata::Orientation;
use image::{DynamicImage, ImageResult};

use super::Failure;
use super::look::look_of;
use super::pixels::{Decoded, decode, encode, shrunk};
use super::worker::{DONE, refusal};
use crate::wire::picture::{Format, Header, Refused};
use crate::wire::{film, strip};

/// The size from which the look of a picture is taken.
pub(super) const LOOK_SIDE: u32 = 64;

/// What is made of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Pixels of the longer sides of its small pictures.
    pub sides: Vec<u32>,
    /// Of those that are JPEG.
    pub quality: u8,
}

/// What a file is, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Pixels as it is shown; 0 when it is no picture.
    pub width: u32,
    pub height: u32,
    /// Of a film or a sound.
    pub duration_ms: Option<u64>,
    /// What it looks like; pictures that look alike differ in few bits.
    pub look: Option<u64>,
    /// What is to be kept in its place.
    pub stripped: Option<Vec<u8>>,
    /// The largest first; none that is not smaller than the picture.
    pub small: Vec<Small>,
}

/// A small picture of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Small {
    /// Of the sides that are wanted.
    pub side: u32,
    /// Its place in [`Format::ALL`].
    pub format: u8,
    pub bytes: Vec<u8>,
}

impl Small {
    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        Format::ALL[usize::from(self.format) % Format::ALL.len()].media_type()
    }
}

pub(super) fn answer_of(examined: &Examined) -> Vec<u8> {
    let mut out = vec![DONE];
    out.extend_from_slice(&examined.width.to_le_bytes());
    out.extend_from_slice(&examined.height.to_le_bytes());
    for number in [examined.duration_ms, examined.look] {
        out.push(u8::from(number.is_some()));
        out.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
    }
    out.push(u8::from(examined.stripped.is_some()));
    push_bytes(&mut out, examined.stripped.as_deref().unwrap_or_default());
    for small in &examined.small {
        out.extend_from_slice(&small.side.to_le_bytes());
        out.push(small.format);
        push_bytes(&mut out, &small.bytes);
    }
    // It may end in the middle of it.
    out.push(DONE);
    out
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What a worker has written; `None` when that is no answer: it has ended before.
pub(super) fn read_answer(bytes: Vec<u8>) -> Option<Result<Examined, Failure>> {
    match bytes.split_first()? {
        (&DONE, rest) => read_examined(rest).map(Ok),
        _ => refusal(bytes).map(Err),
    }
}

fn read_examined(mut rest: &[u8]) -> Option<Examined> {
    let rest = &mut rest;
    let (width, height) = (number(rest)?, number(rest)?);
    let (duration_ms, look) = (long(rest)?, long(rest)?);
    let (is_stripped, stripped) = (byte(rest)? != 0, sized(rest)?);
    let stripped = is_stripped.then(|| stripped.to_vec());
    let mut small = Vec::new();
    while rest.len() > 1 {
        small.push(Small { side: number(rest)?, format: byte(rest)?, bytes: sized(rest)?.to_vec() });
    }
    (byte(rest)? == DONE).then_some(Examined { width, height, duration_ms, look, stripped, small })
}

pub(super) fn byte(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

pub(super) fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?))
}

pub(super) fn long(rest: &mut &[u8]) -> Option<Option<u64>> {
    let is_some = byte(rest)? != 0;
    let number = u64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?);
    Some(is_some.then_some(number))
}

fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = number(rest)? as usize;
    rest.split_off(..len)
}

/// The inner error is why the file is none that is taken.
///
/// # Errors
/// When it cannot be read.
pub fn examine(file: &File, wanted: &Wanted) -> io::Result<Result<Examined, String>> {
    let mut head = [0; 16];
    let len = file.metadata()?.len();
    let head_len = len.min(head.len() as u64) as usize;
    file.read_exact_at(&mut head[..head_len], 0)?;
    if Format::of(&head[..head_len]).is_some() {
        let mut bytes = Vec::new();
        (&*file).read_to_end(&mut bytes)?;
        return Ok(picture(&bytes, wanted));
    }
    let mut read = |at: u64, out: &mut [u8]| file.read_exact_at(out, at).is_ok();
    let film::Facts { duration_ms, width, height } = film::facts(&mut read, len);
    Ok(Ok(Examined { width, height, duration_ms, ..Examined::default() }))
}

/// # Errors
/// Why the file is no picture that is taken.
pub fn picture(bytes: &[u8], wanted: &Wanted) -> Result<Examined, String> {
    let header = Header::read(bytes).map_err(|Refused(reason)| reason.to_string())?;
    header.check().map_err(|Refused(reason)| reason.to_string())?;
    let broken = || "The picture is damaged or cut off".to_string();
    let stripped = strip::stripped(header.format, bytes).ok_or_else(broken)?;
    // What a decoder says may have bytes of the file in it.
    let (mut examined, largest, profile) = decoded(header, bytes, wanted).map_err(|_| broken())?;
    examined.small = small(&examined, largest, profile, wanted).map_err(|_| broken())?;
    examined.stripped = Some(stripped).filter(|stripped| stripped != bytes);
    Ok(examined)
}

/// What it is, and the largest picture that others are made from, upright.
fn decoded(
    header: Header,
    bytes: &[u8],
    wanted: &Wanted,
) -> ImageResult<(Examined, DynamicImage, Option<Vec<u8>>)> {
    let Decoded { picture, orientation, profile } = decode(header.format, bytes)?;
    let side_max = wanted.sides.iter().copied().max().unwrap_or_default().max(LOOK_SIDE);
    let mut largest = shrunk(picture, side_max);
    largest.apply_orientation(orientation);
    let is_on_its_side = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = match is_on_its_side {
        true => (header.height, header.width),
        false => (header.width, header.height),
    };
    let look = look_of(&shrunk(largest.clone(), LOOK_SIDE));
    Ok((Examined { width, height, look, ..Examined::default() }, largest, profile))
}

/// Each from the one before. What can be seen through loses nothing, all else becomes a JPEG.
fn small(
    examined: &Examined,
    largest: DynamicImage,
    profile: Option<Vec<u8>>,
    wanted: &Wanted,
) -> ImageResult<Vec<Small>> {
    let longer = examined.width.max(examined.height);
    let mut sides: Vec<u32> =
        wanted.sides.iter().copied().filter(|side| (1..longer).contains(side)).collect();
    sides.sort_unstable_by(|a, b| b.cmp(a));
    sides.dedup();
    let is_clear = largest.color().has_alpha() && largest.to_rgba8().pixels().any(|pixel| pixel.0[3] < 255);
    let format = if is_clear { Format::Webp } else { Format::Jpeg };
    let code = Format::ALL.iter().position(|known| *known == format).unwrap_or_default() as u8;
    let (mut picture, mut made) = (largest, Vec::new());
    for side in sides {
        picture = shrunk(picture, side);
        let bytes = encode(format, &picture, profile.clone(), wanted.quality)?;
        made.push(Small { side, format: code, bytes });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::gif::GifEncoder;
    use image::{Frame, Rgba, RgbaImage};

    const SIDES: [u32; 4] = [64, 128, 256, 512];

    fn wanted() -> Wanted {
        Wanted { sides: SIDES.to_vec(), quality: 85 }
    }

    /// Each quarter has a colour of its own.
    fn quarters(width: u32, height: u32, is_clear: bool) -> DynamicImage {
        DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |x, y| {
            match (x < width / 2, y < height / 2) {
                (true, true) => Rgba([250, 10, 10, 255]),
                (false, true) => Rgba([10, 250, 10, 255]),
                (true, false) => Rgba([10, 10, 250, 255]),
                (false, false) => Rgba([250, 250, 10, if is_clear { 0 } else { 255 }]),
            }
        }))
    }

    fn file_of(format: Format, picture: &DynamicImage) -> Vec<u8> {
        encode(format, picture, None, 95).unwrap()
    }

    fn loaded(small: &Small) -> DynamicImage {
        image::load_from_memory(&small.bytes).unwrap()
    }

    /// Names of the colours of the four quarters.
    fn seen(picture: &DynamicImage) -> String {
        let (width, height) = (picture.width(), picture.height());
        let at = |x: u32, y: u32| {
            let Rgba([red, green, blue, alpha]) =
                *picture.to_rgba8().get_pixel(width * x / 4, height * y / 4);
            match (red > 128, green > 128, blue > 128) {
                _ if alpha < 128 => '-',
                (true, false, false) => 'r',
                (false, true, false) => 'g',
                (false, false, true) => 'b',
                (true, true, false) => 'y',
                _ => '?',
            }
        };
        [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| at(x, y)).iter().collect()
    }

    #[test]
    fn small_pictures_are_smaller_and_look_the_same() {
        for (format, size, sides) in [
            (Format::Jpeg, (600, 300), &[512, 256, 128, 64][..]),
            (Format::Png, (300, 600), &[512, 256, 128, 64]),
            (Format::Webp, (256, 200), &[128, 64]),
            (Format::Png, (64, 64), &[]),
            (Format::Png, (1, 1), &[]),
            (Format::Png, (2_000, 1), &[512, 256, 128, 64]),
        ] {
            let examined = picture(&file_of(format, &quarters(size.0, size.1, false)), &wanted()).unwrap();
            assert_eq!((examined.width, examined.height, examined.duration_ms), (size.0, size.1, None));
            assert_eq!(examined.small.iter().map(|small| small.side).collect::<Vec<_>>(), sides);
            for small in &examined.small {
                let picture = loaded(small);
                assert_eq!(picture.width().max(picture.height()), small.side);
                assert_eq!(small.content_type(), "image/jpeg");
                assert!(
                    size.1 == 1 || seen(&picture) == "rgby",
                    "{format:?} {}: {}",
                    small.side,
                    seen(&picture)
                );
            }
        }
        let again = Wanted { sides: vec![128, 64, 128], quality: 85 };
        let examined = picture(&file_of(Format::Png, &quarters(200, 200, false)), &again).unwrap();
        assert_eq!(examined.small.iter().map(|small| small.side).collect::<Vec<_>>(), [128, 64]);
    }

    #[test]
    fn what_can_be_seen_through_stays_so() {
        for format in [Format::Png, Format::Webp] {
            let examined = picture(&file_of(format, &quarters(200, 200, true)), &wanted()).unwrap();
            assert_eq!(examined.small.len(), 2);
            for small in &examined.small {
                assert_eq!((seen(&loaded(small)).as_str(), small.content_type()), ("rgb-", "image/webp"));
            }
        }
    }

    #[test]
    fn an_animation_is_kept_and_shows_its_first_picture() {
        let mut gif = Vec::new();
        let mut encoder = GifEncoder::new(&mut gif);
        for picture in [quarters(200, 100, false), DynamicImage::new_rgba8(200, 100)] {
            encoder.encode_frame(Frame::new(picture.into_rgba8())).unwrap();
        }
        drop(encoder);
        let examined = picture(&gif, &wanted()).unwrap();
        assert_eq!((examined.stripped, examined.small.len()), (None, 2));
        assert_eq!(seen(&loaded(&examined.small[0])), "rgby");
    }

    #[test]
    fn files_that_are_no_pictures_are_told_of_what_they_say() {
        let write = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            examine(&file, &wanted()).unwrap()
        };
        assert_eq!(write(b""), Ok(Examined::default()));
        assert_eq!(write(b"hello"), Ok(Examined::default()));
        assert_eq!(write(b"\x89PNG\r\n\x1a\nhello"), Err("The picture is damaged or cut off".into()));
        let mut wav =
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0".to_vec();
        wav.extend_from_slice(b"data\xa0\x0f\0\0");
        wav.resize(wav.len() + 4_000, 7);
        assert_eq!(write(&wav).unwrap().duration_ms, Some(500));
        let png = file_of(Format::Png, &quarters(100, 100, false));
        assert_eq!(write(&png).unwrap(), picture(&png, &wanted()).unwrap());
    }

    /// `tests/pictures` has what other programs make.
    fn made_elsewhere(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    #[test]
    fn pictures_of_other_programs_are_upright_and_of_their_colours() {
        let turned: Vec<String> = (1..=8).map(|turned| format!("turned-{turned}.jpg")).collect();
        let others = [
            ("turned.png", "rgby"),
            ("turned.webp", "rgby"),
            ("progressive.jpg", "rgby"),
            ("cmyk.jpg", "rgby"),
            ("grey.jpg", "????"),
            ("sixteen-interlaced.png", "rgby"),
            ("indexed-clear.png", "rgb-"),
            ("moving.png", "rgby"),
            ("moving.webp", "rgby"),
            ("moving.gif", "rgby"),
        ];
        let turned = turned.iter().map(|name| (name.as_str(), "rgby"));
        for (name, want) in turned.chain(others) {
            let file = made_elsewhere(name);
            let examined = picture(&file, &wanted()).unwrap();
            assert_eq!((examined.width, examined.height), (96, 64), "{name}");
            assert_eq!(examined.small.len(), 1, "{name}");
            assert!(want == "????" || seen(&loaded(&examined.small[0])) == want, "{name}");
            // Without what was said beside it, it is the same picture, and as it was.
            let has_secret = memchr::memmem::find(&file, b"secret").is_some();
            assert_eq!(examined.stripped.is_some(), has_secret, "{name}");
            let kept = examined.stripped.clone().unwrap_or(file);
            assert!(memchr::memmem::find(&kept, b"secret").is_none(), "{name}");
            let again = picture(&kept, &wanted()).unwrap();
            assert_eq!(Examined { stripped: None, ..examined }, again, "{name}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let examined = picture(&file_of(Format::Png, &quarters(300, 200, true)), &wanted()).unwrap();
        let answer = answer_of(&examined);
        assert_eq!(read_answer(answer.clone()).unwrap().unwrap(), examined);
        for len in [0, 1, answer.len() / 2, answer.len() - 1] {
            assert!(read_answer(answer[..len].to_vec()).is_none(), "{len}");
        }
        assert!(matches!(read_answer(b"\x01no".to_vec()), Some(Err(Failure::Refused(why))) if why == "no"));
    }
}
