//! Order of checks, framing, timers.

use super::*;
use crate::gateway::protocol::{Data, OPS, When};

// ------------------------------------------------------------------------------------- §1.2, order of checks

#[test]
fn before_identify() {
    let check = |text: &str, want: &str| {
        let mut bench = Bench::new(|_| {});
        let peer = bench.open();
        bench.text(peer, text);
        assert_eq!(bench.frames(peer), [want], "{text}");
    };
    for bad in [
        "",
        "null",
        "[]",
        "5",
        "true",
        "\"x\"",
        "{",
        "{}{}",
        "{\"op\":1}x",
        "{}",
        "{\"op\":null}",
        "\u{feff}{\"op\":1}",
    ] {
        check(bad, CLOSED_4002);
    }
    for unknown in [
        "0", "5", "7", "9", "10", "11", "12", "23", "30", "31", "99", "-1", "1.5", "\"1\"", "true", "[]",
        "50", "60",
    ] {
        check(&format!("{{\"op\":{unknown}}}"), "close 4001 Unknown opcode");
    }
    for early in [3, 4, 8, 20, 21, 22, 24, 25, 26, 40, 41] {
        check(&format!("{{\"op\":{early}}}"), CLOSED_4003);
        check(&format!("{{\"op\":{early},\"d\":\"bad\"}}"), CLOSED_4003);
    }
    for op in [2, 6, 13] {
        for d in ["", ",\"d\":null", ",\"d\":[]", ",\"d\":5", ",\"d\":{}"] {
            check(&format!("{{\"op\":{op}{d}}}"), CLOSED_4002);
        }
    }
    for d in ["", ",\"d\":null", ",\"d\":[]", ",\"d\":\"x\"", ",\"d\":-1", ",\"d\":1e300", ",\"d\":{\"a\":1}"]
    {
        check(&format!("{{\"op\":1{d}}}"), "{\"op\":11}");
    }
    check("{\"op\":1,\"d\":1e400,\"x\":\"\\ud800\"}", "{\"op\":11}");
    check(" {\"d\":1 , \"x\":[{}], \"op\":1.0 } ", "{\"op\":11}");
    check("{\"op\":13,\"d\":{\"client_version\":\"nonsense\"}}", CLOSED_4002);
    check("{\"op\":13,\"d\":{\"client_version\":5}}", CLOSED_4002);
}

/// Every opcode there is, before and after IDENTIFY, with what its row lets through and what not.
#[test]
fn each_opcode_keeps_to_its_row() {
    let mut bench = Bench::new(|config| config.websocket.max_connections_per_user = 0);
    for row in OPS {
        for (in_session, d) in [false, true].into_iter().flat_map(|ready| DATA.map(|d| (ready, d))) {
            let is_null = d.is_empty() || d.ends_with("null");
            let want = match &row.taken {
                None => Some("close 4001 Unknown opcode"),
                Some(taken) if taken.when == When::InSession && !in_session => Some(CLOSED_4003),
                Some(taken) if taken.when == When::BeforeSession && in_session => {
                    Some("close 4005 Already authenticated")
                }
                Some(taken) if taken.data == Data::Any => Some("{\"op\":11}"),
                Some(taken) if taken.data == Data::ObjectOrNull && is_null => None,
                Some(_) => Some(CLOSED_4002),
            };
            let peer = if in_session { bench.ready(0).0 } else { bench.open() };
            bench.text(peer, &format!("{{\"op\":{}{d}}}", row.code));
            let frames = bench.frames(peer);
            assert_eq!(
                frames.first().map(String::as_str),
                want,
                "{} in a session: {in_session}{d}",
                row.name
            );
        }
    }
}

/// `d` as no handler but that of the heartbeat gets it.
const DATA: [&str; 4] = ["", ",\"d\":null", ",\"d\":[]", ",\"d\":5"];

#[test]
fn identify_fields_in_order() {
    let check = |d: &str, want: &str| {
        let mut bench = Bench::new(|_| {});
        let peer = bench.open();
        let d = d.replace("GOOD", &format!("\"token\":\"{}\"", bench.users[0].2));
        bench.text(peer, &format!("{{\"op\":2,\"d\":{d}}}"));
        let frames = bench.frames(peer);
        assert!(frames[0].starts_with(want), "{d}: {frames:?}");
    };
    for intents in ["true", "null", "\"1\"", "1.5", "1.0", "-1", "65536", "[]"] {
        check(&format!("{{\"intents\":{intents},\"properties\":5}}"), "close 4013 Invalid intents");
    }
    for properties in ["5", "[]", "\"x\"", "true"] {
        check(&format!("{{\"properties\":{properties},\"token\":\"bad\"}}"), CLOSED_4002);
    }
    for token in
        ["\"token\":\"\"", "\"token\":5", "\"token\":null", "\"x\":1", "\"token\":\"Bearer 1.secret\""]
    {
        check(&format!("{{{token}}}"), "close 4004 Authentication failed");
    }
    check("{GOOD,\"properties\":{\"client_version\":\"x\"}}", CLOSED_4002);
    check("{GOOD,\"properties\":{\"client_version\":7}}", CLOSED_4002);
    check("{GOOD,\"properties\":null,\"intents\":0,\"shard\":\"x\",\"v\":99}", "{\"op\":0,\"t\":\"READY\"");
    check("{GOOD,\"intents\":65535}", "{\"op\":0,\"t\":\"READY\"");
}

#[test]
fn a_version_that_is_too_old_is_told_before_ready() {
    let mut bench = Bench::new(|config| config.versioning.min_supported_version = "a.1.0-40".into());
    let peer = bench.open();
    let token = bench.users[0].2.clone();
    bench.text(
        peer,
        &format!(
            "{{\"op\":2,\"d\":{{\"token\":\"{token}\",\"properties\":{{\"client_version\":\"a.1.0-39\"}}}}}}"
        ),
    );
    let frames = bench.frames(peer);
    assert!(frames[0].starts_with("{\"op\":13,\"d\":{\"compatible\":false"), "{frames:?}");
    assert_eq!(frames[1..], ["close 4015 Version outdated"]);
}

#[test]
fn on_a_ready_connection() {
    let check = |text: &str, want: &[&str]| {
        let mut bench = Bench::new(|_| {});
        let (peer, _) = bench.ready(0);
        bench.text(peer, text);
        assert_eq!(bench.frames(peer), want, "{text}");
    };
    check("{\"op\":2}", &["close 4005 Already authenticated"]);
    check("{\"op\":2,\"d\":{\"intents\":true}}", &["close 4005 Already authenticated"]);
    for op in [3, 8, 21, 25, 26, 40, 41] {
        check(&format!("{{\"op\":{op}}}"), &[]);
        check(&format!("{{\"op\":{op},\"d\":null}}"), &[]);
        check(&format!("{{\"op\":{op},\"d\":{{}}}}"), &[]);
        check(&format!("{{\"op\":{op},\"d\":{{\"guild_id\":[],\"channel_id\":true,\"status\":5}}}}"), &[]);
        check(&format!("{{\"op\":{op},\"d\":[]}}"), &[CLOSED_4002]);
    }
    for op in [4, 20, 22, 24] {
        check(&format!("{{\"op\":{op}}}"), &[CLOSED_4002]);
        check(&format!("{{\"op\":{op},\"d\":{{}}}}"), &[CLOSED_4002]);
    }
    check("{\"op\":4,\"d\":{\"channel_id\":null}}", &[]);
    check("{\"op\":20,\"d\":{\"channel_id\":\"x\"}}", &[CLOSED_4002]);
    check("{\"op\":20,\"d\":{\"channel_id\":\"5\"}}", &[]);
    let not_there = "{\"op\":23,\"d\":{\"type\":\"error\",\"code\":\"NOT_CONNECTED\",\"message\":\"Join this channel first\",\"channel_id\":\"5\"}}";
    check("{\"op\":22,\"d\":{\"channel_id\":5,\"sdp\":\"v=0\"}}", &[not_there]);
    check("{\"op\":11}", &["close 4001 Unknown opcode"]);
}

// ----------------------------------------------------------------------------------------- §1, framing

#[test]
fn framing() {
    let check = |bytes: &[u8], want: &[&str]| {
        let mut bench = Bench::new(|_| {});
        let peer = bench.open();
        bench.bytes(peer, bytes);
        // Whatever follows a close is discarded.
        bench.text(peer, "{\"op\":1}");
        let after = if want.last().is_some_and(|last| last.starts_with("close")) { 0 } else { 1 };
        let frames = bench.frames(peer);
        assert_eq!(frames[..frames.len() - after], *want);
    };
    check(&masked(0x89, b"abc"), &["pong abc"]);
    check(&masked(0x88, &1000u16.to_be_bytes()), &["close 1000"]);
    check(&masked(0x88, &4321u16.to_be_bytes()), &["close 4321"]);
    check(&masked(0x88, b""), &["close"]);
    check(&masked(0x88, &1005u16.to_be_bytes()), &["close 1002 Protocol error"]);
    check(&[masked(0x88, b""), masked(0x89, b"late")].concat(), &["close"]);
    check(&masked(0x81, b"\xff"), &["close 1007 Invalid UTF-8"]);
    check(&masked(0x82, b"{\"op\":\"\xff\"}"), &[CLOSED_4002]);
    check(&masked(0xc1, b"{}"), &["close 1002 Protocol error"]);
    check(b"\x81\x02{}", &["close 1002 Protocol error"]);
    check(&masked(0x82, b"{\"op\":1}"), &["{\"op\":11}"]);
    check(&masked(0x82, b"\x78\x9c\x00"), &[CLOSED_4002]);
    let announced = [&[0x81, 0xff][..], &((16u64 << 20) + 1).to_be_bytes()].concat();
    check(&announced, &["close 1009 Frame too large"]);
    // One object of exactly 65,536 bytes is taken, one byte more is not.
    let padded = |len: usize| format!("{{\"op\":1,\"d\":\"{}\"}}", "x".repeat(len - 15)).into_bytes();
    check(&masked(0x81, &padded(65_536)), &["{\"op\":11}"]);
    check(&masked(0x81, &padded(65_537)), &[CLOSED_4002]);
    // Fragments: reassembled, and bounded as a whole.
    check(
        &[masked(0x01, b"{\"op\""), masked(0x89, b""), masked(0x80, b":1}")].concat(),
        &["pong", "{\"op\":11}"].map(|t| if t == "pong" { "pong " } else { t }),
    );
    let flood: Vec<u8> =
        (0..70).flat_map(|n| masked(if n == 0 { 0x01 } else { 0x00 }, &[b'x'; 1_000])).collect();
    check(&flood, &[CLOSED_4002]);
}

#[test]
fn zlib_in_and_out() {
    use std::io::Write;
    let mut bench = Bench::new(|config| config.websocket.rate_limit_per_minute = 3);
    let (peer, _) = bench.ready(0);
    let zlib = |text: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    bench.bytes(peer, &masked(0x82, &zlib(b"{\"op\":1}")));
    assert_eq!(bench.frames(peer), ["{\"op\":11}"]);
    bench.bytes(peer, &masked(0x82, &zlib(&[b' '; 262_145])));
    assert_eq!(bench.frames(peer), [CLOSED_4002]);
    // The rate comes before the content (§1.2).
    let peer = bench.open();
    for _ in 0..3 {
        bench.text(peer, "{\"op\":1}");
    }
    bench.bytes(peer, &masked(0x82, b"\x78\x9cgarbage"));
    assert_eq!(bench.frames(peer)[3..], ["close 4008 Rate limited"]);
    for (enabled, want) in [(true, "binary"), (false, "{\"op\":11}")] {
        let mut bench = Bench::new(|config| config.websocket.compression_enabled = enabled);
        let peer = bench.open();
        let token = bench.users[0].2.clone();
        bench.text(peer, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\",\"compress\":1}}}}"));
        bench.frames(peer);
        bench.text(peer, "{\"op\":1}");
        assert_eq!(bench.frames(peer), [want]);
    }
}

// ------------------------------------------------------------------------------------------ §3, timers

#[test]
fn timeouts() {
    let mut bench = Bench::new(|config| config.websocket.identify_timeout_ms = 3_000);
    let peer = bench.open();
    bench.text(peer, "{\"op\":1}");
    bench.frames(peer);
    bench.wait(2_900);
    assert_eq!(bench.frames(peer), [""; 0]);
    bench.wait(600);
    assert_eq!(bench.frames(peer), [CLOSED_4003]);

    // Only op 1 is a sign of life.
    let mut bench = Bench::new(|config| config.websocket.heartbeat_timeout_ms = 5_000);
    let (peer, id) = bench.ready(0);
    bench.wait(4_000);
    bench.text(peer, "{\"op\":1}");
    bench.wait(4_000);
    bench.text(peer, "{\"op\":26}");
    bench.bytes(peer, &masked(0x8a, b""));
    assert_eq!(bench.frames(peer), ["{\"op\":11}"]);
    bench.wait(1_600);
    assert_eq!(bench.frames(peer), ["close 4009 Session timed out"]);
    let again = bench.open();
    bench.resume(again, 0, &id, "1");
    assert_eq!(bench.frames(again), ["{\"op\":0,\"t\":\"RESUMED\",\"s\":1,\"d\":{}}"]);

    // Pings every 20 s whatever else is sent; 20 s for the pong.
    let mut bench = Bench::new(|_| {});
    let (peer, _) = bench.ready(0);
    for _ in 0..3 {
        bench.wait(20_500);
        bench.text(peer, "{\"op\":1}");
        assert_eq!(bench.frames(peer), ["ping", "{\"op\":11}"]);
        bench.bytes(peer, &masked(0x8a, b""));
    }
    bench.wait(20_500);
    assert_eq!(bench.frames(peer), ["ping"]);
    bench.wait(10_000);
    bench.text(peer, "{\"op\":1}");
    bench.wait(10_500);
    let frames = bench.frames(peer);
    assert_eq!(frames.last().unwrap(), "close 1011 No answer to ping");
    // The handshake ends for lack of an answer.
    bench.wait(5_500);
    assert_eq!(bench.hubs[0].connection_count(), 0);
}

#[test]
fn zero_turns_a_limit_off() {
    let mut bench = Bench::new(|config| {
        config.websocket.identify_timeout_ms = 0;
        config.websocket.heartbeat_timeout_ms = 10_000_000;
        config.websocket.ping_interval_ms = 0;
        config.websocket.send_queue_bytes = 0;
        config.websocket.send_queue_events = 0;
        config.websocket.send_timeout_ms = 0;
        config.websocket.max_connections_per_user = 0;
        config.websocket.resume_buffer_events = 0;
        config.websocket.resume_buffer_bytes = 0;
    });
    let (_, channel) = bench.server();
    let idle = bench.open();
    bench.wait(600_000);
    assert_eq!(bench.frames(idle), [""; 0]);
    let peers: Vec<Peer> = (0..12).map(|_| bench.ready(1).0).collect();
    bench.room = Some(0);
    for _ in 0..1_500 {
        bench.post(channel, "x");
        bench.flush(0);
    }
    bench.wait(60_000);
    bench.room = None;
    bench.with(0, |hub, _| peers.iter().for_each(|peer| hub.writable(peer.1)));
    let frames = bench.frames(peers[11]);
    assert!(frames.len() == 1_500 && frames.iter().all(|text| text.contains("MESSAGE_CREATE")));

    // A window of 0 means that nothing can be resumed; a handshake of 0 still sends its close frame.
    let mut bench = Bench::new(|config| {
        config.websocket.session_timeout_ms = 0;
        config.websocket.close_timeout_ms = 0;
        config.websocket.ping_timeout_ms = 0;
    });
    let (peer, id) = bench.ready(0);
    bench.wait(41_000);
    bench.text(peer, "{\"op\":0}");
    bench.wait(100);
    assert_eq!(bench.frames(peer), ["ping", "close 4001 Unknown opcode"]);
    bench.wait(100);
    assert_eq!((bench.hubs[0].connection_count(), bench.hubs[0].session_count()), (0, 0));
    let peer = bench.open();
    bench.resume(peer, 0, &id, "1");
    assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
}

// ------------------------------------------------------------------------------------- ends of both sides

/// Our side of the socket ends after the client's close frame, not before.
#[test]
fn our_side_ends_when_both_have_closed() {
    let close = masked(0x88, &4_001u16.to_be_bytes());
    let mut bench = Bench::new(|_| {});
    let peer = bench.open();
    bench.text(peer, "{\"op\":99}");
    assert_eq!(bench.frames(peer), ["close 4001 Unknown opcode"]);
    assert_eq!(bench.half_closed, 0);
    // Still sending: discarded, in one piece or in several.
    bench.text(peer, "{\"op\":1}");
    bench.bytes(peer, &masked(0x89, b"ping"));
    bench.bytes(peer, &close[..5]);
    assert!(bench.frames(peer).is_empty());
    assert_eq!(bench.half_closed, 0);
    bench.bytes(peer, &close[5..]);
    assert!(bench.frames(peer).is_empty());
    assert_eq!(bench.half_closed, 1);
    bench.bytes(peer, &close);
    bench.wait(5_100);
    assert_eq!((bench.half_closed, bench.hubs[0].connection_count()), (1, 0));

    // The client begins: both go with our answer.
    let peer = bench.open();
    bench.bytes(peer, &masked(0x88, &1_000u16.to_be_bytes()));
    assert_eq!(bench.half_closed, 1);
    assert_eq!(bench.frames(peer), ["close 1000"]);
    assert_eq!(bench.half_closed, 2);

    // Behind a socket that takes nothing our side ends with the last byte.
    let peer = bench.open();
    bench.room = Some(3);
    bench.text(peer, "{\"op\":99}");
    bench.flush(0);
    bench.bytes(peer, &close);
    bench.flush(0);
    assert_eq!(bench.half_closed, 2);
    bench.room = None;
    bench.with(0, |hub, _| hub.writable(peer.1));
    bench.flush(0);
    assert_eq!(bench.half_closed, 3);

    // Where frames can no longer be told apart, the answer to our close frame still is.
    let peer = bench.open();
    bench.bytes(peer, &[0x81, 0x02, b'{', b'}', 0xff, 0xff]);
    assert!(bench.frames(peer)[0].starts_with("close 1002"));
    assert_eq!(bench.half_closed, 3);
    bench.bytes(peer, &close);
    assert_eq!(bench.frames(peer), [""; 0]);
    assert_eq!(bench.half_closed, 4);

    // Without an answer the time-out decides.
    let peer = bench.open();
    bench.text(peer, "{\"op\":99}");
    bench.frames(peer);
    bench.wait(4_900);
    assert!(bench.hubs[0].generation(peer.1).is_some());
    bench.wait(200);
    assert!(bench.hubs[0].generation(peer.1).is_none());
}

/// Whatever a client sends counts, not only what is a message.
#[test]
fn pings_pongs_and_pieces_count_as_messages() {
    let begin = |bench: &mut Bench, peer| bench.bytes(peer, &masked(0x01, b""));
    let cases: [(&str, Vec<u8>); 4] = [
        ("ping", masked(0x89, b"x")),
        ("pong", masked(0x8a, b"x")),
        ("piece", masked(0x00, b"x")),
        ("empty piece", masked(0x00, b"")),
    ];
    for (name, frame) in cases {
        for at_once in [true, false] {
            let mut bench = Bench::new(|config| config.websocket.rate_limit_per_minute = 120);
            let peer = bench.open();
            let mut left = 120;
            if name.contains("piece") {
                begin(&mut bench, peer);
                left -= 1;
            }
            let send = |bench: &mut Bench, count: usize| match at_once {
                true => bench.bytes(peer, &frame.repeat(count)),
                false => (0..count).for_each(|_| bench.bytes(peer, &frame)),
            };
            send(&mut bench, left);
            assert!(bench.frames(peer).iter().all(|frame| frame.starts_with("pong")), "{name}");
            send(&mut bench, 1);
            assert_eq!(bench.frames(peer), ["close 4008 Rate limited"], "{name}");
            // What follows is not answered.
            send(&mut bench, 50);
            assert!(bench.frames(peer).is_empty(), "{name}");
        }
    }
    // Two a second go on for ever.
    let mut bench = Bench::new(|config| {
        config.websocket.rate_limit_per_minute = 120;
        config.websocket.ping_timeout_ms = 0;
    });
    let peer = bench.open();
    for _ in 0..80 {
        bench.bytes(peer, &masked(0x89, b"x"));
        bench.wait(500);
        assert!(bench.frames(peer).iter().all(|frame| !frame.starts_with("close")));
    }
}
