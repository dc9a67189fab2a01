//! Pictures, films and sounds under random mutation: no panic, no endless look, and what is left of a picture without
//! what is said beside it is the same picture.

use std::cell::Cell;
use std::io::{Cursor, Seek as _, Write as _};

use fastrand::Rng;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgba, RgbaImage};
use plexichat::wire::film::{self, Facts};
use plexichat::wire::picture::{Format, Header};
use plexichat::wire::strip::{ORIENTATION_LEN_MAX, stripped};

use super::http::with_seeds;

const SPICE: [&[u8]; 24] = [
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\xe1\0\x10Exif\0\0II*\0\x08\0\0\0",
    b"\xff\xe2\0\x08MPF\0",
    b"\xff\xda\0\x03x",
    b"\xff\xff",
    b"\x89PNG\r\n\x1a\n",
    b"\0\0\0\0IEND\xae\x42\x60\x82",
    b"\0\0\0\x04eXIfMM\0*abcd",
    b"\xff\xff\xff\xfftEXt",
    b"GIF89a",
    b"\x21\xfe\x03abc\0",
    b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0",
    b"\x3b",
    b"RIFF\xff\xff\xff\xffWEBP",
    b"VP8X\x0a\0\0\0\x0c\0\0\0\x01\0\0\x01\0\0",
    b"ANMF\xff\xff\xff\x7f",
    b"EXIF\x06\0\0\0II*\0\xff\xff",
    b"\0\0\0\x08moov",
    b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
    b"OggS",
    b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
    b"\0",
];

fn pictures() -> Vec<Vec<u8>> {
    let picture = RgbaImage::from_fn(40, 20, |x, y| Rgba([x as u8 * 6, y as u8 * 12, 99, 255]));
    let picture = DynamicImage::ImageRgba8(picture);
    let mut files: Vec<Vec<u8>> = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP]
        .into_iter()
        .map(|format| {
            let mut out = Cursor::new(Vec::new());
            let picture =
                if format == ImageFormat::Jpeg { picture.to_rgb8().into() } else { picture.clone() };
            picture.write_to(&mut out, format).unwrap();
            out.into_inner()
        })
        .collect();
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new(&mut gif);
    (0..2).for_each(|_| encoder.encode_frame(Frame::new(picture.to_rgba8())).unwrap());
    drop(encoder);
    files.push(gif);
    files
}

fn mutated(rng: &mut Rng, file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..rng.usize(..6) {
        let at = rng.usize(..=file.len());
        match rng.u8(..5) {
            0 if at < file.len() => file[at] = rng.u8(..),
            1 => file.truncate(at.max(file.len() / 2)),
            2 => {
                let end = (at + rng.usize(..40)).min(file.len());
                file.drain(at..end);
            }
            3 if at < file.len() => file[at] ^= 1 << rng.u8(..8),
            _ => drop(file.splice(at..at, SPICE[rng.usize(..SPICE.len())].iter().copied())),
        }
    }
    file
}

fn film_facts(file: &[u8]) -> Facts {
    let mut looks = 0;
    let mut read = |at: u64, out: &mut [u8]| {
        looks += 1;
        assert!(looks < 10_000, "looks without end");
        out.copy_from_slice(&file[at as usize..][..out.len()]);
        true
    };
    film::facts(&mut read, file.len() as u64)
}

#[test]
fn what_is_left_of_a_picture_is_the_picture() {
    let files = pictures();
    with_seeds(1.0, |rng| {
        let file = &files[rng.usize(..files.len())];
        let file = mutated(rng, file);
        let header = Header::read(&file);
        for format in Format::ALL {
            let Some(left) = stripped(format, &file) else { continue };
            assert!(left.len() <= file.len() + ORIENTATION_LEN_MAX);
            assert_eq!(stripped(format, &left).as_deref(), Some(&*left));
            if header.is_ok_and(|header| header.format == format) {
                assert_eq!(Header::read(&left), header);
            }
        }
        film_facts(&file);
    });
}

#[test]
fn films_and_sounds_of_anything() {
    let heads: [&[u8]; 6] = [
        b"\0\0\0\x0cftypisom\0\0\0\x08moov",
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8a\x44\x89\x84\x40\0\0\0",
        b"OggS\0\x02\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0",
        b"fLaC\0\0\0\x22",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x04\0\0\0abcd",
        b"ID3\x04\0\0\0\0\0\x02xx\xff\xfb\x90\0",
    ];
    with_seeds(0.5, |rng| {
        let mut file = heads[rng.usize(..heads.len())].to_vec();
        (0..rng.usize(..200)).for_each(|_| file.push(rng.u8(..)));
        let facts = film_facts(&mutated(rng, &file));
        assert_eq!(facts.width == 0, facts.height == 0);
    });
}

/// The process that looks into pictures, with some that have a few bytes changed: each is taken or refused, or ends its
/// process and nothing else. `PLEXICHAT_MUTATED_SECONDS=600` sends them for longer.
#[test]
fn mutated_pictures_are_taken_or_refused() {
    let seconds = std::env::var("PLEXICHAT_MUTATED_SECONDS").ok().and_then(|text| text.parse().ok());
    let mut files = pictures();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures");
    let made_elsewhere = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
    files.extend(made_elsewhere.map(Result::unwrap).filter(|file| Format::of(file).is_some()));
    let (taken, refused, ended) = (Cell::new(0), Cell::new(0), Cell::new(0));
    with_seeds(seconds.unwrap_or(1.0), |rng| {
        let file = &files[rng.usize(..files.len())];
        let file = mutated(rng, file);
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(&file).unwrap();
        input.rewind().unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plexichat"));
        command.args(["worker", "file", "64,128,256,512", "85"]).stdin(input);
        let answer = command.output().unwrap();
        let count = match (answer.status.success(), answer.stdout.first()) {
            (true, Some(0)) => &taken,
            (true, Some(1)) => &refused,
            _ => &ended,
        };
        count.set(count.get() + 1);
    });
    eprintln!("{} taken, {} refused, {} ended", taken.get(), refused.get(), ended.get());
    assert!(taken.get() + refused.get() > ended.get());
}
