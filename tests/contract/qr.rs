//! QR codes: what they say can be read, and how they are kept.

use crate::support::Value;
use crate::world::World;

cases![qr];

/// What a scanner reads, and how large the picture is.
fn scanned(picture: &[u8]) -> (u32, u32, String) {
    let grey = image::load_from_memory(picture).expect("it is a picture").into_luma8();
    let (width, height) = grey.dimensions();
    let pixel = |x, y| grey.get_pixel(x as u32, y as u32).0[0];
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width as usize, height as usize, pixel);
    let grids = prepared.detect_grids();
    assert_eq!(grids.len(), 1, "one code is in it");
    (width, height, grids[0].decode().expect("it can be read").1)
}

fn qr(w: &World) {
    for (query, content_type, want) in [
        ("data=hello&size=120x120", "image/png", (120, 120, "hello")),
        ("data=a%2Bb%20c&format=jpg&size=300x200", "image/jpeg", (300, 200, "a+b c")),
        ("data=%C3%BC&size=nonsense", "image/png", (200, 200, "ü")),
    ] {
        let answer = w.anyone(&format!("GET /qr?{query}"), Value::Null);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{query}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=86400"));
        assert_eq!(answer.header("x-ratelimit-bucket"), None, "limits are off here");
        let (width, height, text) = scanned(&answer.body);
        assert_eq!((width, height, text.as_str()), want);
    }
    let first = w.anyone("GET /qr?data=x", Value::Null);
    let etag = first.header("etag").expect("it has a tag").to_owned();
    let again = w.headed("GET", "/qr?data=x", &[("If-None-Match", &etag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    // A bad token is none here.
    assert_eq!(w.call(Some("nobody.x"), "GET /qr?data=x", Value::Null).status, 200);
    for query in ["", "?data=", "?size=100x100", &format!("?data={}", "x".repeat(2_954))] {
        w.anyone(&format!("GET /qr{query}"), Value::Null).want(400);
    }
}
