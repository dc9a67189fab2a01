//! Parsing and writing, without sockets: HTTP heads and bodies, WebSocket frames, JSON.
//!
//! What to compare with stands at each group. All figures are of 2 cores of an AMD EPYC, release build.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use plexichat::domain::chat::message_view::{Viewer, Writer};
use plexichat::wire::http::{
    BodyDecoder, ResponseHead, ResponseOptions, header_slots, http_date, parse_head,
};
use plexichat::wire::json;
use plexichat::wire::websocket::{Decoder, DeflateStream, Deflater, apply_mask};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MINIMAL: &[u8] =
    b"GET /api/v1/users/@me HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer 1.abc\r\n\r\n";
/// Reference: a whole keep-alive request costs 5.6 µs of CPU, almost all of it in the kernel; a head may be a tenth.
fn http(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http");
    for (name, head) in [("head minimal", MINIMAL), ("head browser", world::BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut slots = header_slots();
                let head = parse_head(black_box(head), &mut slots).expect("valid").expect("whole");
                black_box(head.header("authorization"));
            });
        });
    }
    let mut chunked = b"POST /api/v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let mut slots = header_slots();
    let framing = parse_head(&chunked, &mut slots).expect("valid").expect("whole").framing;
    for _ in 0..4 {
        chunked.extend_from_slice(b"100\r\n");
        chunked.extend_from_slice(&[b'x'; 256]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    group.throughput(Throughput::Bytes(1024));
    group.bench_function("body 1 KiB in 4 chunks", |bencher| {
        let decode = |buf: &mut Vec<u8>| {
            let mut body = BodyDecoder::new(framing, 1 << 20).expect("no length is announced");
            body.decode(buf).expect("valid").expect("whole")
        };
        bencher.iter_batched_ref(|| chunked.clone(), decode, BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("response head, body of 200 bytes", |bencher| {
        let (date, mut out) = (http_date(world::START_MS / 1000), Vec::new());
        bencher.iter(|| {
            out.clear();
            let head = ResponseHead::new(&mut out, 200, ResponseOptions::new(&date));
            head.header_number("x-ratelimit-limit", 120).body("application/json", black_box(&[b'x'; 200]));
        });
    });
    group.finish();
}

/// Reference: unmasking at memory speed (64 KiB in 1.1 µs); a delivery costs 3.8 µs in the kernel, so a frame may
/// take a few percent of that. Deflate is paid by sessions that asked for it only.
fn websocket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    let heartbeat = br#"{"op":1,"d":123456,"t":1767225600000000}"#;
    assert_eq!(heartbeat.len(), 40);
    let (text, large) = (world::text(), "x".repeat(64 << 10));
    let cases = [
        ("heartbeat 40 B", &heartbeat[..]),
        ("text 300 B", text.as_bytes()),
        ("text 64 KiB", large.as_bytes()),
    ];
    for (name, payload) in cases {
        let mut frame = world::gateway::client_frame(payload);
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("decode {name}"), |bencher| {
            let mut decoder = Decoder::new();
            bencher.iter(|| {
                let mut input = &mut black_box(&mut frame)[..];
                black_box(decoder.next_message(&mut input, 1 << 20).expect("valid").expect("whole"));
            });
        });
    }
    let mut payload = large.into_bytes();
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("unmask 64 KiB", |bencher| {
        bencher.iter(|| apply_mask(black_box(&mut payload), [1, 2, 3, 4], 0));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("deflate a dispatch of 700 B", |bencher| {
        let text = world::text().repeat(3);
        let (mut deflater, mut stream, mut out) = (Deflater::default(), DeflateStream::default(), Vec::new());
        bencher.iter(|| {
            out.clear();
            deflater.write_frame(&mut stream, black_box(&text.as_bytes()[..700]), &mut out);
        });
    });
    group.finish();
}

/// Reference: a page of 50 messages to JSON in 13 µs by hand, 15–20 µs by generic serialisers (without reading it).
fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    let mut body = Vec::new();
    json::Object::new(&mut body).str("content", &world::text()).null("reply_to_id").array("embeds");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parse a message body", |bencher| {
        let parse =
            |body: &mut Vec<u8>| black_box(json::parse(body).expect("valid").get("content").is_some());
        bencher.iter_batched_ref(|| body.clone(), parse, BatchSize::SmallInput);
    });
    for (name, text) in [("plain", "x".repeat(300)), ("with quotes and line ends", world::text())] {
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("write a string {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                json::write_str(&mut out, black_box(&text));
            });
        });
    }
    let world = world::World::new(8, 60);
    let snapshot = world.store.snapshot();
    let viewer = Viewer::User { user_id: world.users[0], receipts: true, at: 0 };
    let mut out = Vec::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("write a message", |bencher| {
        let (id, message) = world.page(snapshot.read()).next().expect("there are some");
        bencher.iter(|| {
            out.clear();
            Writer::new(&mut out, snapshot.read(), world.channel_id, viewer).message(id, black_box(message));
        });
    });
    group.throughput(Throughput::Elements(50));
    group.bench_function("read and write a page of 50", |bencher| {
        bencher.iter(|| {
            out.clear();
            world.write_page(&mut out);
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = world::config(); targets = http, websocket, json }
criterion_main!(benches);
