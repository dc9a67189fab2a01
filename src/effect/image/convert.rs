//! A picture made anew: avatars, icons, emojis, stickers.

use std::io::Cursor;

use image::codecs::gif::{GifDecoder, GifEncoder, Repeat};
use image::{AnimationDecoder, DynamicImage, Frame, ImageResult};

use super::examine::{LOOK_SIDE, byte, long, number};
use super::look::look_of;
use super::pixels::{Decoded, decode, encode, shrunk};
use super::worker::{DONE, refusal};
use super::{Converted, Failure};
use crate::wire::picture::{Format, Header, Refused};

/// Of a JPEG: what 512 × 384 pixels need is 32 KB.
const JPEG_QUALITY: u8 = 85;
/// Of the search for 256 colours, 1 to 30: a frame of 512 × 512 takes 15 ms.
const GIF_SPEED: i32 = 30;
/// First byte, format, animation, size, look, and the length of what follows: a worker may end in the middle of it.
const ANSWER_HEAD_LEN: usize = 24;

pub(super) fn answer_of(converted: &Converted) -> Vec<u8> {
    let format = Format::ALL.iter().position(|format| *format == converted.format);
    let mut out = vec![DONE, format.expect("all are listed") as u8, u8::from(converted.is_animated)];
    out.extend_from_slice(&converted.width.to_le_bytes());
    out.extend_from_slice(&converted.height.to_le_bytes());
    out.push(u8::from(converted.look.is_some()));
    out.extend_from_slice(&converted.look.unwrap_or_default().to_le_bytes());
    out.extend_from_slice(&(converted.bytes.len() as u32).to_le_bytes());
    assert_eq!(out.len(), ANSWER_HEAD_LEN, "a reader goes by it");
    out.extend_from_slice(&converted.bytes);
    out
}

/// What a worker has written; `None` when that is no answer: it has ended before.
pub(super) fn read_answer(mut bytes: Vec<u8>) -> Option<Result<Converted, Failure>> {
    match *bytes.first()? {
        DONE => {
            let rest = &mut &bytes[1..];
            let (format, is_animated) = (*Format::ALL.get(usize::from(byte(rest)?))?, byte(rest)? != 0);
            let (width, height, look) = (number(rest)?, number(rest)?, long(rest)?);
            let len = number(rest)? as usize;
            bytes.drain(..ANSWER_HEAD_LEN);
            (bytes.len() == len).then_some(Ok(Converted { format, width, height, is_animated, look, bytes }))
        }
        _ => refusal(bytes).map(Err),
    }
}

/// The picture anew, of at most so many pixels on either side.
///
/// # Errors
/// Why the file is no picture that is taken.
pub fn convert(bytes: &[u8], side_max: u32) -> Result<Converted, String> {
    let header = Header::read(bytes).map_err(|Refused(reason)| reason.to_string())?;
    header.check().map_err(|Refused(reason)| reason.to_string())?;
    let converted = match header.format {
        Format::Gif if header.frame_count > 1 => animation(header, bytes, side_max),
        _ => still(header.format, bytes, side_max),
    };
    // What a decoder says may have bytes of the file in it.
    converted.map_err(|_| "The picture is damaged or cut off".to_string())
}

fn still(format: Format, bytes: &[u8], side_max: u32) -> ImageResult<Converted> {
    let Decoded { picture, orientation, profile } = decode(format, bytes)?;
    let mut picture = shrunk(picture, side_max);
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    let look = look_of(&shrunk(picture.clone(), LOOK_SIDE));
    // A single frame of a GIF has more colours than that once it is made smaller.
    let format = if format == Format::Gif { Format::Png } else { format };
    let bytes = encode(format, &picture, profile, JPEG_QUALITY)?;
    Ok(Converted { format, width, height, is_animated: false, look, bytes })
}

/// Frame by frame: there is one in memory at a time.
fn animation(header: Header, bytes: &[u8], side_max: u32) -> ImageResult<Converted> {
    let (mut out, mut size, mut look) = (Vec::new(), (0, 0), None);
    {
        let mut encoder = GifEncoder::new_with_speed(&mut out, GIF_SPEED);
        match header.play_count {
            0 => encoder.set_repeat(Repeat::Infinite)?,
            1 => {}
            count => encoder.set_repeat(Repeat::Finite(count - 1))?,
        }
        for (index, frame) in GifDecoder::new(Cursor::new(bytes))?.into_frames().enumerate() {
            let frame = frame?;
            let delay = frame.delay();
            let picture = shrunk(DynamicImage::ImageRgba8(frame.into_buffer()), side_max);
            size = (picture.width(), picture.height());
            if index == 0 {
                look = look_of(&shrunk(picture.clone(), LOOK_SIDE));
            }
            encoder.encode_frame(Frame::from_parts(picture.into_rgba8(), 0, 0, delay))?;
        }
    }
    Ok(Converted { format: Format::Gif, width: size.0, height: size.1, is_animated: true, look, bytes: out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::gif::GifEncoder;
    use image::{Delay, Rgba, RgbaImage};

    /// Left red, right blue, with a hole.
    fn sample(width: u32, height: u32) -> DynamicImage {
        let half = width / 2;
        DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |x, y| match (x, y) {
            (0, 0) => Rgba([0, 0, 0, 0]),
            _ if x < half => Rgba([255, 0, 0, 255]),
            _ => Rgba([0, 0, 255, 255]),
        }))
    }

    fn encoded(format: Format, width: u32, height: u32) -> Vec<u8> {
        encode(format, &sample(width, height), None, 85).unwrap()
    }

    fn gif(frame_count: u32, repeat: Option<Repeat>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = GifEncoder::new(&mut out);
        repeat.into_iter().for_each(|repeat| encoder.set_repeat(repeat).unwrap());
        for index in 0..frame_count {
            let picture = RgbaImage::from_pixel(600, 300, Rgba([index as u8 * 60, 0, 0, 255]));
            let delay = Delay::from_numer_denom_ms(70, 1);
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
        drop(encoder);
        out
    }

    fn decoded(converted: &Converted) -> DynamicImage {
        image::load_from_memory(&converted.bytes).unwrap()
    }

    #[test]
    fn pictures_fit_and_keep_their_format_and_ratio() {
        for (format, size, want) in [
            (Format::Png, (64, 64), (64, 64)),
            (Format::Jpeg, (2_000, 1_000), (512, 256)),
            (Format::Webp, (100, 2_000), (26, 512)),
            (Format::Png, (5_000, 1), (512, 1)),
            (Format::Png, (513, 512), (512, 511)),
        ] {
            let converted = convert(&encoded(format, size.0, size.1), 512).unwrap();
            assert_eq!((converted.format, converted.width, converted.height), (format, want.0, want.1));
            assert_eq!((decoded(&converted).width(), decoded(&converted).height()), want);
            let header = Header::read(&converted.bytes).unwrap();
            assert_eq!((header.format, header.width, header.height), (format, want.0, want.1));
            let right = decoded(&converted).to_rgba8().get_pixel(want.0 - 1, want.1 - 1).0;
            assert!(right[2] > 240 && right[0] < 15, "{format:?}: {right:?}");
        }
    }

    #[test]
    fn animations_stay_animated() {
        for (repeat, play_count) in [(None, 1), (Some(Repeat::Infinite), 0), (Some(Repeat::Finite(4)), 5)] {
            let converted = convert(&gif(3, repeat), 512).unwrap();
            let header = Header::read(&converted.bytes).unwrap();
            assert_eq!((header.format, header.frame_count, header.play_count), (Format::Gif, 3, play_count));
            assert_eq!((converted.width, converted.height, converted.is_animated), (512, 256, true));
            let frames = GifDecoder::new(Cursor::new(&converted.bytes)).unwrap().into_frames();
            let frames = frames.collect_frames().unwrap();
            let delay = frames[1].delay().numer_denom_ms();
            assert_eq!((frames[2].buffer().get_pixel(9, 9).0, delay), ([120, 0, 0, 255], (70, 1)));
        }
        let single = convert(&gif(1, None), 512).unwrap();
        assert_eq!((single.format, single.is_animated), (Format::Png, false));
    }

    /// A JPEG with an Exif orientation, and words that nobody else is to read.
    fn turned(orientation: u8) -> Vec<u8> {
        let jpeg = encoded(Format::Jpeg, 40, 20);
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend_from_slice(&[orientation, 0, 0, 0]);
        exif.extend_from_slice(b"\x0e\x01\x02\0\x08\0\0\0\x26\0\0\0\0\0\0\0at home\0");
        let len = (exif.len() as u16 + 2).to_be_bytes();
        let comment = b"\xff\xfe\0\x0cmy secret!";
        [&jpeg[..2], b"\xff\xe1", &len, &exif, comment, &jpeg[2..]].concat()
    }

    #[test]
    fn orientation_is_applied_and_metadata_is_gone() {
        for orientation in 1..=8 {
            let file = turned(orientation);
            let converted = convert(&file, 512).unwrap();
            let is_on_its_side = orientation >= 5;
            let want = if is_on_its_side { (20, 40) } else { (40, 20) };
            assert_eq!((converted.width, converted.height), want, "{orientation}");
            // Red was left.
            let at = |x, y| decoded(&converted).to_rgb8().get_pixel(x, y).0[0] > 128;
            let red = match orientation {
                1 | 4 => at(5, 10),
                2 | 3 => at(35, 10),
                5 | 6 => at(10, 5),
                _ => at(10, 35),
            };
            assert!(red, "{orientation}");
            for word in [&b"Exif"[..], b"at home", b"my secret"] {
                assert!(memchr::memmem::find(&file, word).is_some());
                assert!(memchr::memmem::find(&converted.bytes, word).is_none());
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_is_refused() {
        let files = [Format::Jpeg, Format::Png, Format::Webp].map(|format| encoded(format, 300, 200));
        for file in files.iter().chain([&gif(2, None)]) {
            assert!(convert(file, 512).is_ok());
            for len in [0, 1, 12, file.len() / 2, file.len() - 20, file.len() - 1] {
                assert!(convert(&file[..len], 512).is_err(), "{len} of {}", file.len());
            }
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let converted = convert(&encoded(Format::Png, 30, 20), 512).unwrap();
        let answer = answer_of(&converted);
        let again = read_answer(answer.clone()).unwrap().unwrap();
        assert_eq!(again, converted);
        for len in [ANSWER_HEAD_LEN - 1, ANSWER_HEAD_LEN, answer.len() - 1] {
            assert!(read_answer(answer[..len].to_vec()).is_none());
        }
        assert!(read_answer(Vec::new()).is_none() && read_answer(vec![9]).is_none());
        assert!(matches!(read_answer(b"\x01no".to_vec()), Some(Err(Failure::Refused(why))) if why == "no"));
    }
}
