//! What a picture looks like, as 64 bits: pictures that look alike differ in few of them, whatever their size, format and
//! quality. Each bit says whether it gets brighter from one place to the next (a difference hash).

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

const WIDTH: u32 = 9;
const HEIGHT: u32 = 8;
/// Bits of one kind that a picture must have to look like anything: an even one, or one that gets brighter from one side
/// to the other, looks like any other such.
const TELLING_MIN: u32 = 8;

/// `None` when it looks like nothing. The picture is upright, and small already.
pub fn look_of(picture: &DynamicImage) -> Option<u64> {
    let from = Image::from_vec_u8(picture.width(), picture.height(), greys(picture), PixelType::U8)
        .expect("a picture has a grey for each of its pixels");
    let mut to = Image::new(WIDTH, HEIGHT, PixelType::U8);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options).expect("both have the same kind of pixels");
    let rows = to.buffer().chunks_exact(WIDTH as usize);
    let steps = rows.flat_map(|row| row.windows(2).map(|pair| pair[0] < pair[1]));
    let look = steps.fold(0, |look, is_brighter| look << 1 | u64::from(is_brighter));
    (TELLING_MIN..=64 - TELLING_MIN).contains(&u64::count_ones(look)).then_some(look)
}

/// As they are seen on white (ITU-R BT.601 luma).
fn greys(picture: &DynamicImage) -> Vec<u8> {
    let luma = |[red, green, blue]: [u8; 3]| {
        ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1_000) as u8
    };
    let pixels = picture.to_rgba8();
    let greys = pixels.pixels().map(|pixel| {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        let on_white = |color: u32| ((color * alpha + 255 * (255 - alpha)) / 255) as u8;
        luma([red, green, blue].map(on_white))
    });
    greys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    /// Blots at places by number.
    fn blots(number: u32, width: u32, height: u32) -> DynamicImage {
        let mut state = number.wrapping_mul(2_654_435_761).max(1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state % 1_000) as f32 / 1_000.0
        };
        let spots: Vec<[f32; 3]> = (0..12).map(|_| [next(), next(), next()]).collect();
        DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
            let light = spots.iter().map(|[at_x, at_y, light]| {
                let far = (x - at_x).powi(2) + (y - at_y).powi(2);
                light * 200.0 * (-far * 40.0).exp()
            });
            Rgb([light.sum::<f32>().min(255.0) as u8; 3])
        }))
    }

    #[test]
    fn what_looks_alike_differs_in_few_bits() {
        let looks: Vec<u64> = (1..40).filter_map(|number| look_of(&blots(number, 64, 48))).collect();
        assert!(looks.len() > 30);
        for (index, look) in looks.iter().enumerate() {
            let other = looks[(index + 1) % looks.len()];
            assert!((look ^ other).count_ones() > 8, "{index}");
        }
        let (mut near, mut total) = (0, 0);
        for number in 1..40 {
            let Some(look) = look_of(&blots(number, 64, 48)) else { continue };
            let others = [blots(number, 256, 192), blots(number, 64, 48).brighten(12), blots(number, 80, 48)];
            for other in &others {
                total += 1;
                let is_near = look_of(other).is_some_and(|other| (look ^ other).count_ones() <= 4);
                near += usize::from(is_near);
            }
        }
        // Where a picture is even, a step is hardly one.
        assert!(near * 100 >= total * 95, "{near} of {total}");
    }

    #[test]
    fn what_is_even_looks_like_nothing() {
        let even = |shade: fn(u32) -> u8| {
            DynamicImage::ImageRgb8(RgbImage::from_fn(64, 64, |x, _| Rgb([shade(x); 3])))
        };
        assert_eq!(look_of(&even(|_| 0)), None);
        assert_eq!(look_of(&even(|_| 200)), None);
        assert_eq!(look_of(&even(|x| x as u8 * 3)), None);
        assert_eq!(look_of(&even(|x| 255 - x as u8 * 3)), None);
        assert_eq!(look_of(&DynamicImage::new_rgba8(1, 1)), None);
    }
}
