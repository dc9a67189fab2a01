//! QR codes, drawn.
//!
//! A pixel is of one module, so a scanner has straight edges to go by. The code is as large as whole pixels per module
//! allow, in the middle of what was asked for; the rest is white, as is the margin that scanners need (ISO/IEC 18004:
//! four modules). Where there is no room for that the margin goes first, and then modules lose their shape.

use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};

use super::lane::{Effect, Row};

pub static LANE: Row = Row {
    name: "qr",
    // The largest code on a million pixels takes some milliseconds.
    threads: |_| 1,
    // A second for all of them.
    queue_len_max: |_| 128,
    // As beside hashing.
    niceness: 19,
    full: "Too many QR codes are being drawn; try again in a moment",
};

const MARGIN: u32 = 4;
const DARK: u8 = 0;
const LIGHT: u8 = 255;
/// What the edges of modules bear.
const JPEG_QUALITY: u8 = 90;

/// A QR code of a text.
pub struct Draw {
    pub data: String,
    pub width: u32,
    pub height: u32,
    pub format: Drawn,
}

/// The formats there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    Png,
    Jpeg,
}

impl Drawn {
    pub fn content_type(self) -> &'static str {
        match self {
            Drawn::Png => "image/png",
            Drawn::Jpeg => "image/jpeg",
        }
    }
}

/// More than a QR code holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Effect for Draw {
    type Answer = Result<Vec<u8>, TooLong>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let code = encode(&self.data)?;
        let pixels = draw(&code, self.width, self.height);
        Ok(write(self.format, &pixels, self.width, self.height).expect("memory takes what is written to it"))
    }
}

/// A QR code of a text as a path around its dark modules, of which one is a unit wide; the margin is around it.
pub struct Outline {
    pub data: String,
}

impl Effect for Outline {
    /// Modules of a side, and the path as SVG has it.
    type Answer = Result<(usize, String), TooLong>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let code = encode(&self.data)?;
        let mut path = String::new();
        for y in 0..code.size {
            let mut x = 0;
            while x < code.size {
                let dark = (x..code.size).take_while(|&x| code[y][x].value()).count();
                if dark > 0 {
                    let (left, top) = (x + MARGIN as usize, y + MARGIN as usize);
                    path.push_str(&format!("M{left} {top}h{dark}v1h-{dark}z"));
                }
                x += dark.max(1);
            }
        }
        Ok((code.size, path))
    }
}

/// With as much redundancy as is usual, or with less where it would not fit.
fn encode(data: &str) -> Result<QRCode, TooLong> {
    let with = |level| QRBuilder::new(data).ecl(level).build();
    with(ECL::M).or_else(|_| with(ECL::L)).map_err(|_| TooLong)
}

/// One byte of grey per pixel, row by row.
fn draw(code: &QRCode, width: u32, height: u32) -> Vec<u8> {
    let modules = code.size as u32;
    let side = width.min(height);
    // Pixels of the code itself.
    let extent = match (side / (modules + 2 * MARGIN), side / modules) {
        (0, 0) => side,
        (0, _) => modules,
        (scale, _) => scale * modules,
    };
    let (left, top) = ((width - extent) / 2, (height - extent) / 2);
    let module_of =
        |at: u32, from: u32| at.checked_sub(from).filter(|&at| at < extent).map(|at| at * modules / extent);
    let columns: Vec<Option<u32>> = (0..width).map(|x| module_of(x, left)).collect();
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        let row = module_of(y, top);
        pixels.extend(columns.iter().map(|column| match (row, column) {
            (Some(row), Some(column)) if code[row as usize][*column as usize].value() => DARK,
            _ => LIGHT,
        }));
    }
    pixels
}

fn write(format: Drawn, pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, ImageError> {
    let (mut out, color) = (Vec::new(), ExtendedColorType::L8);
    match format {
        Drawn::Png => {
            // Rows repeat, which the filter shows to the compression.
            let encoder = PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Up);
            encoder.write_image(pixels, width, height, color)?;
        }
        Drawn::Jpeg => {
            JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY)
                .write_image(pixels, width, height, color)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(data: &str, width: u32, height: u32, format: Drawn) -> Vec<u8> {
        Draw { data: data.into(), width, height, format }.run().unwrap()
    }

    /// What a scanner sees.
    fn scanned(picture: &[u8]) -> (u32, u32, String) {
        let grey = image::load_from_memory(picture).unwrap().into_luma8();
        let (width, height) = grey.dimensions();
        let pixel = |x, y| grey.get_pixel(x as u32, y as u32).0[0];
        let mut prepared =
            rqrr::PreparedImage::prepare_from_greyscale(width as usize, height as usize, pixel);
        let grids = prepared.detect_grids();
        assert_eq!(grids.len(), 1);
        (width, height, grids[0].decode().unwrap().1)
    }

    #[test]
    fn what_is_drawn_can_be_scanned() {
        let address = "https://chat.example.org/invite/AbCdEfGhIjKl?x=1&y=%20";
        let long = "https://example.org/".to_string() + &"path/".repeat(100);
        for data in ["x", "hello", "0123456789", "HELLO WORLD $%*+-./:", address, "Grüße, 世界 👋", &long]
        {
            for (width, height) in [(200, 200), (1_000, 1_000), (200, 300), (701, 200)] {
                for format in [Drawn::Png, Drawn::Jpeg] {
                    let seen = scanned(&drawn(data, width, height, format));
                    assert_eq!(seen, (width, height, data.to_string()), "{format:?}");
                }
            }
        }
    }

    #[test]
    fn formats_are_what_they_are_called() {
        assert!(drawn("x", 50, 50, Drawn::Png).starts_with(b"\x89PNG\r\n\x1a\n"));
        assert!(drawn("x", 50, 50, Drawn::Jpeg).starts_with(b"\xff\xd8\xff"));
        assert_eq!((Drawn::Png.content_type(), Drawn::Jpeg.content_type()), ("image/png", "image/jpeg"));
    }

    #[test]
    fn it_is_in_the_middle_with_a_margin() {
        let code = encode("x").unwrap();
        assert_eq!(code.size, 21);
        // (width, height): pixels per module, left, top.
        for ((width, height), (scale, left, top)) in
            [((29, 29), (1, 4, 4)), ((58, 58), (2, 8, 8)), ((60, 100), (2, 9, 29)), ((21, 28), (1, 0, 3))]
        {
            let pixels = draw(&code, width, height);
            assert_eq!(pixels.len(), (width * height) as usize);
            for (index, pixel) in pixels.iter().enumerate() {
                let (x, y) = (index as u32 % width, index as u32 / width);
                let place = |at: u32, from: u32| at.checked_sub(from).map(|at| (at / scale) as usize);
                let module = place(x, left).zip(place(y, top)).filter(|&(x, y)| x < 21 && y < 21);
                let dark = module.is_some_and(|(x, y)| code[y][x].value());
                assert_eq!(*pixel == DARK, dark, "{width}x{height} at {x},{y}");
            }
        }
    }

    /// Nothing can be read from it any more; it is what was asked for.
    #[test]
    fn less_than_a_pixel_for_a_module() {
        let picture = image::load_from_memory(&drawn("hello", 10, 10, Drawn::Png)).unwrap();
        assert_eq!((picture.width(), picture.height()), (10, 10));
        assert_eq!(picture.to_luma8().get_pixel(0, 0).0[0], DARK, "it fills all there is");
    }

    #[test]
    fn only_what_fits_is_encoded() {
        // ISO/IEC 18004, table 7: version 40 with level L.
        for (data, fits) in [
            ("x".repeat(2_953), true),
            ("x".repeat(2_954), false),
            ("7".repeat(7_089), true),
            ("7".repeat(7_090), false),
            ("ü".repeat(1_477), false),
        ] {
            assert_eq!(encode(&data).is_ok(), fits, "{}", data.len());
        }
        let data = "x".repeat(2_953);
        assert_eq!(scanned(&drawn(&data, 1_000, 1_000, Drawn::Png)).2, data);
    }
}
