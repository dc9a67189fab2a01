//! Pixels: what formats make of them, and smaller ones. In the process of its own alone.

use std::io::Cursor;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageResult, RgbaImage};

use crate::wire::picture::Format;

/// Profiles of colours are some 500 bytes; they hold what somebody wants them to hold.
const PROFILE_LEN_MAX: usize = 4 * 1024;

/// A picture, or the first one of an animation.
pub struct Decoded {
    pub picture: DynamicImage,
    /// Not applied: it costs less once the picture is smaller.
    pub orientation: Orientation,
    pub profile: Option<Vec<u8>>,
}

pub fn decode(format: Format, bytes: &[u8]) -> ImageResult<Decoded> {
    let file = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        Format::Jpeg => Box::new(JpegDecoder::new(file)?),
        Format::Png => Box::new(PngDecoder::new(file)?),
        Format::Gif => Box::new(GifDecoder::new(file)?),
        Format::Webp => Box::new(WebPDecoder::new(file)?),
    };
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| is_plain_profile(profile));
    Ok(Decoded { picture: DynamicImage::from_decoder(decoder)?, orientation, profile })
}

/// Whether a profile is small and for the three colours that are kept: that of a printed picture is not.
fn is_plain_profile(profile: &[u8]) -> bool {
    profile.len() <= PROFILE_LEN_MAX && profile.get(16..20) == Some(b"RGB ")
}

/// `quality` is that of a JPEG; what else there is loses nothing.
pub fn encode(
    format: Format,
    picture: &DynamicImage,
    profile: Option<Vec<u8>>,
    quality: u8,
) -> ImageResult<Vec<u8>> {
    let mut out = Vec::new();
    match format {
        Format::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut out, quality);
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

/// Eight bits a colour, and no side longer than that; the ratio stays.
pub fn shrunk(picture: DynamicImage, side_max: u32) -> DynamicImage {
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
