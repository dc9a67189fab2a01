//! The process that decodes a picture: `plexichat worker image SIDE`, file in, picture out.
//!
//! Invariants: it is confined before it reads a byte ([`confine`]). The file's own words are judged before a decoder
//! sees them ([`Header::check`]): some make room for what a file announces, whatever limit they were given. What is
//! written is encoded anew from pixels, so that nothing else of the file is in it: no place, no camera, no script.

use std::io::{self, Cursor, Read, Write};
use std::process::ExitCode;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::gif::{GifDecoder, GifEncoder, Repeat};
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::metadata::Orientation;
use image::{
    AnimationDecoder, ColorType, DynamicImage, ExtendedColorType, Frame, ImageDecoder, ImageEncoder,
    ImageResult, RgbaImage,
};

use super::{Converted, Failure};
use crate::limits::MIB;
use crate::wire::picture::{Format, Header, Refused};

/// What the process may have: 64 million pixels in two copies, and the decoder's own.
/// The allocator has reserved its first gigabyte before that is asked for, so this is what there is to take from. Beside it
/// stand the program and the tables by which the allocator finds its own: how many parts of those it needs depends on
/// where the kernel has put the gigabyte.
const ADDRESS_SPACE_MAX: u64 = (1024 + 256) * MIB as u64;
const PROCESSOR_SECONDS_MAX: u64 = 10;
const NICENESS: libc::c_int = 19;
/// Of a JPEG: what 512 × 384 pixels need is 32 KB.
const JPEG_QUALITY: u8 = 85;
/// Of the search for 256 colours, 1 to 30: a frame of 512 × 512 takes 15 ms.
const GIF_SPEED: i32 = 30;
/// Profiles of colours are some 500 bytes; they hold what somebody wants them to hold.
const PROFILE_LEN_MAX: usize = 4 * 1024;

/// First byte of an answer.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
/// With format, animation, size, and the length of what follows: a worker may end in the middle of it.
const ANSWER_HEAD_LEN: usize = 15;

/// Reads a file from standard input and writes an answer to standard output.
#[must_use]
pub fn run(side_max: u32) -> ExitCode {
    confine();
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    let answer = match read.map(|_| convert(&bytes, side_max)) {
        Ok(Ok(converted)) => answer_of(&converted),
        Ok(Err(reason)) => [&[REFUSED], reason.as_bytes()].concat(),
        Err(_) => return ExitCode::FAILURE,
    };
    match io::stdout().lock().write_all(&answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes everything from this process that it does not need. What the kernel does not know it does not take.
fn confine() {
    let limit = |which, max| {
        let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
        // SAFETY: a live rlimit; only this process is concerned.
        unsafe { libc::setrlimit(which, &raw const limit) };
    };
    limit(libc::RLIMIT_AS, ADDRESS_SPACE_MAX);
    limit(libc::RLIMIT_CPU, PROCESSOR_SECONDS_MAX);
    // No file can be written, and none opened but those that are.
    limit(libc::RLIMIT_FSIZE, 0);
    limit(libc::RLIMIT_NOFILE, 3);
    limit(libc::RLIMIT_NPROC, 0);
    limit(libc::RLIMIT_CORE, 0);
    // SAFETY: numbers only. Descriptors above standard error are nobody's here.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        // It gains no right by any program, nobody debugs it, and it ends with the thread that waits for it.
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
    }
}

fn answer_of(converted: &Converted) -> Vec<u8> {
    let format = Format::ALL.iter().position(|format| *format == converted.format);
    let mut out = vec![DONE, format.expect("all are listed") as u8, u8::from(converted.is_animated)];
    out.extend_from_slice(&converted.width.to_le_bytes());
    out.extend_from_slice(&converted.height.to_le_bytes());
    out.extend_from_slice(&(converted.bytes.len() as u32).to_le_bytes());
    assert_eq!(out.len(), ANSWER_HEAD_LEN, "a reader goes by it");
    out.extend_from_slice(&converted.bytes);
    out
}

/// What a worker has written; `None` when that is no answer: it has ended before.
pub(super) fn read_answer(mut bytes: Vec<u8>) -> Option<Result<Converted, Failure>> {
    match *bytes.first()? {
        REFUSED => Some(Err(Failure::Refused(String::from_utf8(bytes.split_off(1)).ok()?))),
        DONE => {
            let [_, format, animated, size @ ..] = *bytes.first_chunk::<ANSWER_HEAD_LEN>()?;
            let [width, height, len] =
                [0, 4, 8].map(|at| u32::from_le_bytes([size[at], size[at + 1], size[at + 2], size[at + 3]]));
            let format = *Format::ALL.get(usize::from(format))?;
            bytes.drain(..ANSWER_HEAD_LEN);
            if bytes.len() != len as usize {
                return None;
            }
            Some(Ok(Converted { format, width, height, is_animated: animated != 0, bytes }))
        }
        _ => None,
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
    let file = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        Format::Jpeg => Box::new(JpegDecoder::new(file)?),
        Format::Png => Box::new(PngDecoder::new(file)?),
        Format::Gif => Box::new(GifDecoder::new(file)?),
        Format::Webp => Box::new(WebPDecoder::new(file)?),
    };
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| is_plain_profile(profile));
    let mut picture = shrunk(DynamicImage::from_decoder(decoder)?, side_max);
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    // A single frame of a GIF has more colours than that once it is made smaller.
    let format = if format == Format::Gif { Format::Png } else { format };
    let bytes = encode(format, &picture, profile)?;
    Ok(Converted { format, width, height, is_animated: false, bytes })
}

/// Whether a profile is small and for the three colours that are kept: that of a printed picture is not.
fn is_plain_profile(profile: &[u8]) -> bool {
    profile.len() <= PROFILE_LEN_MAX && profile.get(16..20) == Some(b"RGB ")
}

fn encode(format: Format, picture: &DynamicImage, profile: Option<Vec<u8>>) -> ImageResult<Vec<u8>> {
    let mut out = Vec::new();
    match format {
        Format::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY);
            write(encoder, &DynamicImage::ImageRgb8(picture.to_rgb8()), profile)?;
        }
        Format::Png | Format::Gif => write(PngEncoder::new(&mut out), picture, profile)?,
        Format::Webp => write(WebPEncoder::new_lossless(&mut out), picture, profile)?,
    }
    Ok(out)
}

fn write(
    mut encoder: impl ImageEncoder,
    picture: &DynamicImage,
    profile: Option<Vec<u8>>,
) -> ImageResult<()> {
    if let Some(profile) = profile {
        // A format without profiles goes without.
        let _ = encoder.set_icc_profile(profile);
    }
    let color = ExtendedColorType::from(picture.color());
    encoder.write_image(picture.as_bytes(), picture.width(), picture.height(), color)
}

/// Frame by frame: there is one in memory at a time.
fn animation(header: Header, bytes: &[u8], side_max: u32) -> ImageResult<Converted> {
    let (mut out, mut size) = (Vec::new(), (0, 0));
    {
        let mut encoder = GifEncoder::new_with_speed(&mut out, GIF_SPEED);
        match header.play_count {
            0 => encoder.set_repeat(Repeat::Infinite)?,
            1 => {}
            count => encoder.set_repeat(Repeat::Finite(count - 1))?,
        }
        for frame in GifDecoder::new(Cursor::new(bytes))?.into_frames() {
            let frame = frame?;
            let delay = frame.delay();
            let picture = shrunk(DynamicImage::ImageRgba8(frame.into_buffer()), side_max);
            size = (picture.width(), picture.height());
            encoder.encode_frame(Frame::from_parts(picture.into_rgba8(), 0, 0, delay))?;
        }
    }
    Ok(Converted { format: Format::Gif, width: size.0, height: size.1, is_animated: true, bytes: out })
}

/// Eight bits a colour, and no side longer than that; the ratio stays.
fn shrunk(picture: DynamicImage, side_max: u32) -> DynamicImage {
    let picture = match picture.color() {
        ColorType::Rgb8 | ColorType::Rgba8 => picture,
        color if color.has_alpha() => DynamicImage::ImageRgba8(picture.into_rgba8()),
        _ => DynamicImage::ImageRgb8(picture.into_rgb8()),
    };
    let (width, height) = (picture.width(), picture.height());
    let longer = width.max(height);
    if longer <= side_max {
        return picture;
    }
    let scaled = |side: u32| {
        let side = (u64::from(side) * u64::from(side_max) + u64::from(longer) / 2) / u64::from(longer);
        (side as u32).max(1)
    };
    resized(picture, scaled(width), scaled(height))
}

fn resized(picture: DynamicImage, width: u32, height: u32) -> DynamicImage {
    let has_alpha = picture.color().has_alpha();
    let kind = if has_alpha { PixelType::U8x4 } else { PixelType::U8x3 };
    let (from_width, from_height) = (picture.width(), picture.height());
    let from = Image::from_vec_u8(from_width, from_height, picture.into_bytes(), kind)
        .expect("a picture has as many bytes as its size and colours say");
    let mut to = Image::new(width, height, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&from, &mut to, &options).expect("both have the same kind of pixels");
    let bytes = to.into_vec();
    let picture = match has_alpha {
        true => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
        false => image::RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
    };
    picture.expect("a picture has as many bytes as its size and colours say")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::gif::GifEncoder;
    use image::{Delay, Rgba};

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
        encode(format, &sample(width, height), None).unwrap()
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
