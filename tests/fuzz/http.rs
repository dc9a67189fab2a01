//! HTTP heads, bodies and answers under random mutation and random cuts.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use plexichat::wire::http::{
    BodyDecoder, HttpError, Method, ProxyHeader, Query, ResponseHead, ResponseOptions, header_slots,
    http_date, parse_head, proxy_header, websocket_key,
};

const BODY_LEN_MAX: usize = 300;

const REQUESTS: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\n\r\nGET /api/v1/channels/1/messages/?limit=50&q=a+b%20c&x HTTP/1.1\r\nHost: h:80\r\nAuthorization: Bearer x\r\n\r\n",
    "POST /a/%F0%9F%91%8D/b HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n{\"a\":\"b\\n\"}",
    "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nb;x=\"y\"\r\n, the world\r\n0\r\nT: t\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: [::1]\r\nConnection: close, TE\r\n\r\n",
    "DELETE http://h/x?y HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
    "GET /gateway?v=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
];

/// Bytes and phrases that decide something somewhere in the codec.
const SPICE: [&str; 30] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\0",
    "\t",
    " ",
    ":",
    ",",
    ";",
    "%",
    "%zz",
    "%ff",
    "+",
    "&",
    "=",
    "/",
    "?",
    "0",
    "f",
    "ffffffffffffffff",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Host: x\r\n",
    "Connection: close\r\n",
    "HTTP/1.0",
    "HTTP/2.0",
    "99999999999999999999",
    "\u{e9}",
];

/// Runs `case` with one seed after another for a while; a failing one is named.
pub fn with_seeds(seconds: f32, case: impl Fn(&mut Rng)) {
    let until = Instant::now() + Duration::from_secs_f32(seconds);
    let first = fastrand::u64(..);
    for seed in (0..).map(|n| first.wrapping_add(n)) {
        if Instant::now() > until {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::with_seed(seed)))) {
            eprintln!("failing seed: {seed}");
            resume_unwind(panic);
        }
    }
}

/// One request as a connection sees it: everything there is to know, as text and bytes.
type Seen = Result<(String, Vec<u8>), HttpError>;

/// What a connection makes of a stream that arrives in these parts, ending with what is left over.
fn serve<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<Seen>, Vec<u8>) {
    let (mut buf, mut seen) = (Vec::new(), Vec::new());
    let mut body: Option<(BodyDecoder, usize)> = None;
    for part in parts {
        buf.extend_from_slice(part);
        loop {
            match turn(&mut buf, &mut body) {
                Ok(Some(request)) => seen.push(Ok(request)),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Err(error));
                    return (seen, Vec::new());
                }
            }
        }
    }
    (seen, buf)
}

fn turn(
    buf: &mut Vec<u8>,
    body: &mut Option<(BodyDecoder, usize)>,
) -> Result<Option<(String, Vec<u8>)>, HttpError> {
    if body.is_none() {
        let mut slots = header_slots();
        let Some(head) = parse_head(buf, &mut slots)? else { return Ok(None) };
        *body = Some((BodyDecoder::new(head.framing, BODY_LEN_MAX)?, head.framing.head_len));
    }
    let (decoder, head_len) = body.as_mut().expect("just set");
    let head_len = *head_len;
    let Some(end) = decoder.decode(buf)? else {
        assert!(decoder.missing(buf) <= BODY_LEN_MAX);
        return Ok(None);
    };
    let request = (describe(&buf[..head_len]), buf[head_len..end].to_vec());
    buf.drain(..end);
    *body = None;
    Ok(Some(request))
}

fn describe(bytes: &[u8]) -> String {
    let mut slots = header_slots();
    let head = parse_head(bytes, &mut slots).expect("parsed before").expect("was whole before");
    let segments: Vec<_> = head.target.segments().collect();
    let pairs: Vec<_> = head.target.query.pairs().collect();
    let got = head.target.query.get("q");
    format!("{head:?} {segments:?} {pairs:?} {got:?} {:?}", websocket_key(&head))
}

/// Whole, byte by byte and cut at random: the same requests, the same error, the same rest.
fn same_in_any_split(stream: &[u8], rng: &mut Rng) -> (Vec<Seen>, Vec<u8>) {
    let whole = serve(std::iter::once(stream));
    assert_eq!(whole, serve(stream.chunks(1)), "{}", stream.escape_ascii());
    let mut rest = stream;
    let cut = std::iter::from_fn(|| {
        let at = rng.usize(1..=rest.len().clamp(1, 64));
        let part = rest.get(..at)?;
        rest = &rest[at..];
        Some(part)
    });
    let cut: Vec<&[u8]> = cut.collect();
    assert_eq!(whole, serve(cut.into_iter()), "{}", stream.escape_ascii());
    whole
}

fn mutate(stream: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=stream.len());
    let end = (at + rng.usize(..8)).min(stream.len());
    let spice = SPICE[rng.usize(..SPICE.len())].bytes();
    match rng.u8(..5) {
        0 => drop(stream.splice(at..at, spice)),
        1 => drop(stream.splice(at..end, spice)),
        2 => drop(stream.drain(at..end)),
        3 => {
            let copy = stream[at..end].to_vec();
            stream.splice(at..at, copy);
        }
        _ => stream.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << rng.u8(..8)),
    }
}

#[test]
fn valid_requests_pipelined() {
    with_seeds(0.3, |rng| {
        let count = rng.usize(1..5);
        let stream: String = (0..count).map(|_| REQUESTS[rng.usize(..REQUESTS.len())]).collect();
        let (seen, rest) = same_in_any_split(stream.as_bytes(), rng);
        assert_eq!((seen.len(), rest.len()), (count, 0));
        assert!(seen.iter().all(|request| request.is_ok()));
    });
}

#[test]
fn mutated_requests() {
    with_seeds(0.7, |rng| {
        let mut stream: Vec<u8> = Vec::new();
        for _ in 0..rng.usize(1..4) {
            stream.extend_from_slice(REQUESTS[rng.usize(..REQUESTS.len())].as_bytes());
        }
        for _ in 0..rng.usize(1..6) {
            mutate(&mut stream, rng);
        }
        same_in_any_split(&stream, rng);
    });
}

#[test]
fn random_bytes() {
    with_seeds(0.2, |rng| {
        let spiced: String = (0..rng.usize(..20)).map(|_| SPICE[rng.usize(..SPICE.len())]).collect();
        let noise: Vec<u8> = (0..rng.usize(..100)).map(|_| rng.u8(..)).collect();
        for tail in [spiced.as_bytes(), &noise] {
            same_in_any_split(tail, rng);
            same_in_any_split(&[REQUESTS[3].as_bytes(), tail].concat(), rng);
            same_in_any_split(
                &[b"PUT / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n", tail].concat(),
                rng,
            );
            if let Ok(text) = std::str::from_utf8(tail) {
                let _ = Query(text).get("a");
                assert!(Query(text).pairs().count() <= text.len());
            }
        }
    });
}

#[test]
fn chunked_identity() {
    with_seeds(0.3, |rng| {
        let body: Vec<u8> = (0..rng.usize(..=BODY_LEN_MAX)).map(|_| rng.u8(..)).collect();
        let mut stream = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(rng.usize(1..=rest.len()));
            let extension = ["", ";a", " ; a=\"b\""][rng.usize(..3)];
            let size = chunk.len();
            let line =
                if rng.bool() { format!("{size:x}{extension}") } else { format!("{size:05X}{extension}") };
            stream.extend_from_slice(&[line.as_bytes(), b"\r\n", chunk, b"\r\n"].concat());
            rest = tail;
        }
        stream.extend_from_slice(if rng.bool() { b"0\r\n\r\n" } else { b"0\r\nA: b\r\nC: d\r\n\r\n" });
        stream.extend_from_slice(b"GET"); // the next request has begun
        let (seen, rest) = same_in_any_split(&stream, rng);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].as_ref().expect("valid").1, body);
        assert_eq!(rest, b"GET");
    });
}

/// Text of header values, path segments and query values that survives its encoding.
fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..12)).map(|_| rng.char(' '..='\u{10ffff}')).filter(|c| !c.is_control()).collect()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02x}") })
        .collect()
}

#[test]
fn head_identity() {
    with_seeds(0.3, |rng| {
        let method = Method::ALL[rng.usize(..Method::ALL.len())];
        let segments: Vec<String> = (0..rng.usize(1..5)).map(|_| text(rng) + "x").collect();
        let path: Vec<String> = segments.iter().map(|segment| percent(segment)).collect();
        let pairs: Vec<(String, String)> =
            (0..rng.usize(..4)).map(|n| (format!("{n}{}", text(rng)), text(rng))).collect();
        let query: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{}={}", percent(key), percent(value))).collect();
        let headers: Vec<(String, String)> =
            (0..rng.usize(..20)).map(|n| (format!("X-{n}"), text(rng).trim().to_string())).collect();
        let mut wire =
            format!("{} /{}?{} HTTP/1.1\r\nHost: h\r\n", method.as_str(), path.join("/"), query.join("&"));
        for (name, value) in &headers {
            wire += &format!("{name}:{}{value}\t\r\n", ["", " ", "\t "][rng.usize(..3)]);
        }
        wire += "\r\n";

        let mut slots = header_slots();
        let head = parse_head(wire.as_bytes(), &mut slots).expect("valid").expect("whole");
        assert_eq!(head.method, method);
        assert_eq!(head.framing.head_len, wire.len());
        assert_eq!(head.target.segments().collect::<Vec<_>>(), segments);
        for (key, value) in &pairs {
            assert_eq!(head.target.query.get(key).expect("valid").as_deref(), Some(value.as_str()));
        }
        let got = head.headers().skip(1).map(|(name, value)| (name.as_bytes(), value));
        assert!(got.eq(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))), "{wire}");
    });
}

/// An answer read back by httparse is what was put in, less what would have broken its lines.
#[test]
fn answers_parse() {
    with_seeds(0.2, |rng| {
        let value: Vec<u8> = (0..rng.usize(..20)).map(|_| rng.u8(..)).collect();
        let body: Vec<u8> = (0..rng.usize(..100)).map(|_| rng.u8(..)).collect();
        let mut out = Vec::new();
        let date = http_date(rng.u64(..));
        let options =
            ResponseOptions { keep_alive: rng.bool(), tls: rng.bool(), ..ResponseOptions::new(&date) };
        let head = ResponseHead::new(&mut out, rng.u16(200..204), options).header("x-value", &value);
        if rng.bool() {
            head.body("text/plain", &body);
        } else {
            let mut open = head.open_body("text/plain");
            open.extend_from_slice(&body);
            open.finish();
        }

        let mut headers = [httparse::EMPTY_HEADER; 20];
        let mut response = httparse::Response::new(&mut headers);
        let head_len = response.parse(&out).expect("valid").unwrap();
        assert_eq!(out[head_len..], body);
        let find = |name| response.headers.iter().find(|header| header.name == name).expect("written").value;
        assert_eq!(find("content-length"), body.len().to_string().as_bytes());
        assert_eq!(find("date"), date);
        let kept: Vec<u8> = value.into_iter().filter(|b| *b == b'\t' || !b.is_ascii_control()).collect();
        let kept = kept.trim_ascii();
        assert_eq!(find("x-value"), kept);
    });
}

/// A header of the PROXY protocol, damaged, in any split: no panic, bounded, the same from every split, and the address
/// that was written is the one that is read.
#[test]
fn proxy_headers() {
    with_seeds(0.3, |random| {
        let address: IpAddr = if random.bool() {
            random.u32(..).to_be_bytes().into()
        } else {
            random.u128(..).to_be_bytes().into()
        };
        let (family, mut addresses) = match address {
            IpAddr::V4(v4) => (0x11, [&v4.octets()[..], &[9; 8]].concat()),
            IpAddr::V6(v6) => (0x21, [&v6.octets()[..], &[9; 20]].concat()),
        };
        addresses.extend((0..random.usize(..40)).map(|_| random.u8(..)));
        let len = (addresses.len() as u16).to_be_bytes();
        let mut bytes = [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &len, &addresses].concat();
        let whole = bytes.len();
        bytes.extend((0..random.usize(..20)).map(|_| random.u8(..)));
        let want = ProxyHeader { len: whole, client: Some(address.to_canonical()) };
        assert_eq!(proxy_header(&bytes), Ok(Some(want)));
        for _ in 0..random.usize(..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let got = proxy_header(&bytes);
        if let Ok(Some(header)) = got {
            assert!(header.len <= 536 && header.len <= bytes.len(), "{header:?}");
        }
        let early = (0..bytes.len()).map(|len| proxy_header(&bytes[..len])).find(|early| *early != Ok(None));
        assert_eq!(early.unwrap_or(got), got);
        // Nothing of any kind is waited for without end.
        bytes.resize(600, 0);
        assert_ne!(proxy_header(&bytes), Ok(None));
    });
}
