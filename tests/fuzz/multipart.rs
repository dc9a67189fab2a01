//! Forms with files under random mutation and random cuts.

use fastrand::Rng;
use plexichat::wire::multipart::{Event, Malformed, Multipart, PartHead, boundary};

use super::http::with_seeds;

const BOUNDARY: &str = "b-1";

const SPICE: [&str; 16] = [
    "\r\n",
    "\r",
    "\n",
    "--",
    "-",
    "--b-1",
    "\r\n--b-1",
    "\r\n--b-1--",
    "\r\n\r\n",
    "\"",
    "\\",
    ";",
    "=",
    "Content-Disposition: form-data; name=\"x\"",
    " ",
    "\0",
];

fn cuts(rng: &mut Rng, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rng.usize(1..=rest.len().min(40)));
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

/// The parts of a body that comes in pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<(PartHead, Vec<u8>)>, Malformed> {
    let mut form = Multipart::new(BOUNDARY);
    let (mut parts, mut open) = (Vec::new(), false);
    for piece in pieces {
        form.feed(piece);
        while let Some(event) = form.next_event()? {
            match event {
                Event::Part(head) => {
                    assert!(
                        !std::mem::replace(&mut open, true),
                        "a part begins after the one before has ended"
                    );
                    parts.push((head, Vec::new()));
                }
                Event::Data(data) => {
                    assert!(open && !data.is_empty());
                    parts.last_mut().expect("a part is open").1.extend(data);
                }
                Event::End => assert!(std::mem::replace(&mut open, false)),
            }
        }
    }
    form.finish()?;
    assert!(!open, "a form that is whole has whole parts");
    Ok(parts)
}

fn form(rng: &mut Rng) -> (Vec<u8>, Vec<(PartHead, Vec<u8>)>) {
    let (mut body, mut parts) = (Vec::new(), Vec::new());
    for index in 0..rng.usize(..4) {
        let data: Vec<u8> = (0..rng.usize(..60)).map(|_| b"\r\n-b1x"[rng.usize(..6)]).collect();
        let delimiter = format!("\r\n--{BOUNDARY}");
        if [b"\r\n", &data[..]].concat().windows(delimiter.len()).any(|window| window == delimiter.as_bytes())
        {
            continue;
        }
        let file_name = rng.bool().then(|| format!("{index}.png"));
        let shown = file_name.as_ref().map_or(String::new(), |name| format!("; filename=\"{name}\""));
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"n{index}\"{shown}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&data);
        body.extend_from_slice(b"\r\n");
        parts.push((PartHead { name: format!("n{index}"), file_name, content_type: None }, data));
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (body, parts)
}

#[test]
fn what_is_put_in_comes_out_in_any_split() {
    with_seeds(0.3, |rng| {
        let (body, parts) = form(rng);
        let pieces = cuts(rng, &body);
        assert_eq!(read(pieces.iter().map(Vec::as_slice)), Ok(parts), "{}", body.escape_ascii());
    });
}

#[test]
fn any_bytes_are_read_alike_in_any_split() {
    with_seeds(0.3, |rng| {
        let (mut body, _) = form(rng);
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..=body.len());
            let end = rng.usize(at..=body.len().min(at + 6));
            let spice = SPICE[rng.usize(..SPICE.len())];
            body.splice(at..end, spice.bytes());
        }
        let pieces = cuts(rng, &body);
        let whole = read([body.as_slice()]);
        assert_eq!(read(pieces.iter().map(Vec::as_slice)), whole, "{}", body.escape_ascii());
        assert_eq!(read(body.chunks(1)), whole, "{}", body.escape_ascii());
    });
}

#[test]
fn any_content_type_is_looked_at() {
    with_seeds(0.1, |rng| {
        let mut text = b"multipart/form-data; boundary=\"a\\\"b\"; x=y".to_vec();
        for _ in 0..rng.usize(..4) {
            let at = rng.usize(..text.len());
            text[at] = b";=\"\\ a\xff"[rng.usize(..7)];
        }
        if let Ok(Some(found)) = boundary(&text) {
            assert!((1..=70).contains(&found.len()));
        }
    });
}
