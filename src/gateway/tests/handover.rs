//! A session with its connection as bytes: another hub goes on where the first was.

use super::*;

use crate::gateway::protocol::Close;
use crate::gateway::session::Slot;
use crate::gateway::{Unpackable, Unusable};
use crate::limits::{HANDOVER_LEN_MAX, HANDOVER_SLOT_GAP_MAX};

const EVERYTHING: &str = ",\"intents\":65535";

impl Bench {
    fn pack(&mut self, peer: Peer) -> Vec<u8> {
        self.with(peer.0, |hub, cx| hub.pack(cx, peer.1)).unwrap()
    }

    fn unpack(&mut self, bytes: &[u8]) -> Result<Peer, Unusable> {
        self.with(0, |hub, cx| hub.unpack(cx, 101, bytes)).map(|id| (0, id))
    }

    /// A hub at the place of the first, which knows nobody.
    fn replace_hub(&mut self) {
        let (live, reader) = shared_map(16);
        let config = Config {
            websocket: Websocket { rate_limit_per_minute: 0, ..Websocket::default() },
            ..Config::default()
        };
        self.hubs[0] = Hub::new(0, self.hubs.len(), &config.into(), live, 7, self.now);
        self.board.0[0] = reader;
    }

    /// These connections, in another hub.
    fn succeed(&mut self, peers: &[Peer]) -> Vec<Peer> {
        let packed: Vec<Vec<u8>> = peers.iter().map(|peer| self.pack(*peer)).collect();
        self.replace_hub();
        // Nothing is lost on the way back either: each field comes out as it went in.
        let unpacked: Vec<Peer> = packed.iter().map(|bytes| self.unpack(bytes).unwrap()).collect();
        for (peer, bytes) in unpacked.iter().zip(&packed) {
            assert_eq!(&self.pack(*peer), bytes);
        }
        unpacked
    }

    /// Ann and Bob in a server; Bob has had three messages and is to be sent a fourth.
    fn with_something_unsent() -> (Bench, ChannelId, [Peer; 2], String) {
        let mut bench = Bench::new(|_| {});
        let (_, channel) = bench.server();
        let (ann, _) = bench.ready_as(0, EVERYTHING);
        let (bob, id) = bench.ready_as(1, EVERYTHING);
        ["m2", "m3", "m4"].into_iter().for_each(|text| bench.post(channel, text));
        bench.frames(ann);
        bench.frames(bob);
        bench.post(channel, "m5");
        (bench, channel, [ann, bob], id)
    }
}

/// Number and content of messages, or the name of what else it is.
fn told(frames: Vec<String>) -> Vec<String> {
    let short = |text: String| {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        match value["d"]["content"].as_str().or(value["t"].as_str()) {
            Some(what) => format!("{} {what}", value["s"]),
            None => text,
        }
    };
    frames.into_iter().map(short).collect()
}

#[test]
fn a_session_goes_on_in_another_hub_with_its_numbers() {
    let (mut bench, channel, peers, id) = Bench::with_something_unsent();
    let [ann, bob] = bench.succeed(&peers)[..] else { panic!("two") };
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].detached_count()), (2, 0));
    bench.post(channel, "m6");
    let mut sent = bench.flush(0);
    let mut of = |peer: Peer| -> Vec<u8> {
        sent.iter_mut().filter(|(id, _)| *id == peer.1).flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    assert_eq!(told(shown(&of(bob))), ["5 m5", "6 m6"]);
    // Ann was told of Bob's coming once; nobody comes or goes.
    assert_eq!(told(shown(&of(ann)))[..].iter().filter(|text| !text.contains(" m")).count(), 0);
    bench.lose(bob);
    bench.post(channel, "m7");
    let bob = bench.open();
    bench.resume(bob, 1, &id, "3");
    assert_eq!(told(bench.frames(bob)), ["3 RESUMED", "4 m4", "5 m5", "6 m6", "7 m7"]);
    // His last session ends for good, and everybody's: nothing is left.
    bench.lose(bob);
    bench.lose(ann);
    bench.wait(61_000);
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].residue()), (0, 0));
    assert!(!bench.board.get(bench.users[1].0).online);
}

#[test]
fn a_resume_before_anything_else_replays_from_the_bytes() {
    let (mut bench, _, peers, id) = Bench::with_something_unsent();
    let [_, bob] = bench.succeed(&peers)[..] else { panic!("two") };
    bench.lose(bob);
    let bob = bench.open();
    bench.resume(bob, 1, &id, "1");
    assert_eq!(told(bench.frames(bob)), ["1 RESUMED", "2 m2", "3 m3", "4 m4", "5 m5"]);
}

/// Half a message, input that waits, output that waits, a compressed stream, a connection that has no session yet.
#[test]
fn what_is_in_flight_goes_along() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let (bob, _) = bench.ready(1);
    let fresh = bench.open();
    let deflated = bench.open();
    let token = bench.users[2].2.clone();
    bench.join(channel, 2, false);
    bench.text(deflated, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\",\"compress\":1}}}}"));
    let mut stream = Vec::new();
    stream.extend(bench.flush(0).into_iter().filter(|(id, _)| *id == deflated.1).flat_map(|sent| sent.1));
    bench.wait(1_500);
    let piece = masked(0x01, b"{\"op\"");
    let last = masked(0x80, b":1}");
    bench.bytes(bob, &[&piece, &last[..7]].concat());
    bench.read_on(0);
    bench.arrives(fresh, &masked(0x89, b"x").repeat(400));
    assert!(bench.hubs[0].has_unread(fresh.1));
    let [bob, fresh, deflated] = bench.succeed(&[bob, fresh, deflated])[..] else { panic!("three") };
    bench.bytes(bob, &last[7..]);
    while bench.hubs[0].has_unread(fresh.1) {
        bench.read_on(0);
    }
    bench.text(deflated, "{\"op\":1}");
    let sent = bench.flush(0);
    let of = |peer: Peer| -> Vec<u8> {
        sent.iter().filter(|(id, _)| *id == peer.1).flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    assert_eq!(shown(&of(bob)), ["{\"op\":11}"]);
    assert_eq!(shown(&of(fresh)).iter().filter(|frame| *frame == "pong x").count(), 400);
    stream.extend(of(deflated));
    assert!(inflated(&stream).ends_with("{\"op\":11}"), "{}", inflated(&stream));
    // HELLO of the first hub, IDENTIFY in the second.
    let token = bench.users[0].2.clone();
    bench.text(fresh, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    assert!(bench.frames(fresh)[0].contains("READY"));
}

/// The binary frames of one stream.
fn inflated(mut frames: &[u8]) -> String {
    let mut state = flate2::Decompress::new(true);
    let mut plain = Vec::with_capacity(1 << 16);
    while let [first, second, rest @ ..] = frames {
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            len => (usize::from(*len), rest),
        };
        if *first == 0x82 {
            state.decompress_vec(&rest[..len], &mut plain, flate2::FlushDecompress::Sync).unwrap();
        }
        frames = &rest[len..];
    }
    String::from_utf8(plain).unwrap()
}

#[test]
fn bytes_that_are_cut_changed_or_of_another_version_are_refused() {
    let (mut bench, _, peers, _) = Bench::with_something_unsent();
    let bytes = bench.pack(peers[1]);
    bench.replace_hub();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert_eq!(bench.unpack(&changed), Err(Unusable::Damaged), "{at}");
        assert_eq!(bench.unpack(&bytes[..at]), Err(Unusable::Damaged), "{at}");
    }
    let summed = |body: &[u8]| [body, &crc32c::crc32c(body).to_le_bytes()].concat();
    let body = &bytes[..bytes.len() - 4];
    assert_eq!(bench.unpack(&summed(&[&[2, 0], &body[2..]].concat())), Err(Unusable::Version(2)));
    assert_eq!(bench.unpack(&summed(&[body, &[0]].concat())), Err(Unusable::Damaged));
    assert_eq!(bench.unpack(&summed(&vec![1; HANDOVER_LEN_MAX])), Err(Unusable::Damaged));
    for len in 2..body.len() {
        assert_eq!(bench.unpack(&summed(&body[..len])), Err(Unusable::Damaged), "{len}");
    }
    assert_eq!((bench.hubs[0].connection_count(), bench.hubs[0].session_count()), (0, 0));
    // Whatever a sum is right for: no panic, and nothing that is not consistent.
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..600 {
        let mut changed = body.to_vec();
        let at = random.usize(2..changed.len());
        changed[at] = random.u8(..);
        if let Ok((_, id)) = bench.unpack(&summed(&changed)) {
            bench.frames((0, id));
            let slot = bench.hubs[0].connections[id].session;
            if slot != Slot::NONE {
                bench.with(0, |hub, cx| hub.end_and_close(cx, slot, &Close::SERVER_SHUTDOWN));
            }
            bench.replace_hub();
        }
    }
}

#[test]
fn a_session_comes_to_its_own_place_once() {
    let (mut bench, _, [_, bob], _) = Bench::with_something_unsent();
    let bytes = bench.pack(bob);
    assert_eq!(bench.unpack(&bytes), Err(Unusable::Place));
    bench.replace_hub();
    let config = Config::default().into();
    let mut elsewhere = Hub::new(1, 2, &config, shared_map(16).0, 7, 1_000);
    let refused = bench.with(0, |_, cx| elsewhere.unpack(cx, 1, &bytes));
    assert_eq!(refused, Err(Unusable::Place));
    let mut stranger =
        Hub::new(0, 1, &config, shared_map(16).0, 7 ^ (HANDOVER_SLOT_GAP_MAX as u32) << 1, 1_000);
    assert_eq!(bench.with(0, |_, cx| stranger.unpack(cx, 1, &bytes)), Err(Unusable::Place));
    let (user_id, token_id, _) = bench.users[1].clone();
    bench.apply(user_id, TokenRevoke { token_id, how: Revocation::LoggedOut }.into());
    assert_eq!(bench.unpack(&bytes), Err(Unusable::Ended));
    assert_eq!((bench.hubs[0].connection_count(), bench.hubs[0].session_count()), (0, 0));
}

#[test]
fn a_connection_that_ends_or_waits_for_a_list_has_no_bytes() {
    let mut bench = Bench::new(|config| config.websocket.members_chunk_size = 1);
    let (server_id, channel) = bench.server();
    let (ann, _) = bench.ready_as(0, EVERYTHING);
    let pack = |bench: &mut Bench| bench.with(0, |hub, cx| hub.pack(cx, ann.1));
    let request = format!("{{\"op\":8,\"d\":{{\"guild_id\":\"{}\"}}}}", server_id.0);
    bench.text(ann, &request);
    assert_eq!(pack(&mut bench), Err(Unpackable::Busy));
    for _ in 0..10 {
        bench.wait(100);
        bench.frames(ann);
    }
    let bytes = pack(&mut bench).unwrap();
    // The chunks, which she alone has had, go along as hers.
    bench.replace_hub();
    let ann = bench.unpack(&bytes).unwrap();
    assert!(bench.hubs[0].sessions.replay.len() > 0);
    bench.post(channel, "on");
    assert_eq!(bench.frames(ann).len(), 1);
    bench.with(0, |hub, cx| hub.close(cx, ann.1, &Close::SERVER_SHUTDOWN));
    assert_eq!(bench.with(0, |hub, cx| hub.pack(cx, ann.1)), Err(Unpackable::Closing));
}
