//! A core's gateway without sockets: what clients send, what they get, how time passes.

use std::cell::Cell;
use std::sync::Arc;

use super::connection::Facts;
use super::home::Liveboard;
use super::hub::{Action, Ask, Cx, FILL_LEN_MAX, Filled, Hub, Mail};
use crate::config::Config;
use crate::domain::account::Register;
use crate::domain::credential::{Secret, hash_secret};
use crate::domain::invite::{InviteCreate, InviteUse};
use crate::domain::message::MessageCreate;
use crate::domain::server::ServerCreate;
use crate::domain::token::{NewToken, TokenRevoke};
use crate::domain::{Command, Machine, Op, Reply, Revocation};
use crate::id::{ChannelId, ServerId, TokenId, UserId};
use crate::runtime::shared_map::shared_map;
use crate::store::tables::SERVERS;
use crate::store::tests::temporary;
use crate::store::{Snapshot, Store};
use crate::wire::websocket::apply_mask;

const START_MS: u64 = 1_800_000_000_000;
const CLOSED_4002: &str = "close 4002 Decode error";
const CLOSED_4003: &str = "close 4003 Not authenticated";

struct Bench {
    hubs: Vec<Hub>,
    store: Store,
    _folder: tempfile::TempDir,
    snapshot: Snapshot,
    board: Liveboard,
    now: u64,
    random: Cell<u8>,
    allowed: bool,
    /// Bytes the kernel takes, in all; `None` = any number.
    room: Option<usize>,
    submitted: Vec<Command>,
    users: Vec<(UserId, TokenId, String)>,
}

/// A client's connection: core and number.
type Peer = (usize, u32);

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Bench {
        Bench::with_cores(1, change)
    }

    fn with_cores(count: usize, change: impl FnOnce(&mut Config)) -> Bench {
        let (folder, store) = temporary(1 << 26);
        let mut config = Config { websocket_rate_limit_per_minute: 0, ..Config::default() };
        change(&mut config);
        let (writers, readers): (Vec<_>, Vec<_>) = (0..count).map(|_| shared_map(16)).unzip();
        let hubs = writers.into_iter().enumerate();
        let hubs = hubs.map(|(index, live)| Hub::new(index, count, &config, live, 7, 1_000)).collect();
        let snapshot = store.snapshot();
        let mut bench = Bench {
            hubs,
            store,
            _folder: folder,
            snapshot,
            board: Liveboard(readers),
            now: 1_000,
            random: Cell::new(0),
            allowed: true,
            room: None,
            submitted: Vec::new(),
            users: Vec::new(),
        };
        ["ann", "bob", "cat"].into_iter().for_each(|name| bench.register(name));
        bench
    }

    fn register(&mut self, name: &str) {
        let token = NewToken {
            secret_hash: Secret(hash_secret("secret")),
            ip_address: "::1".into(),
            user_agent: None,
            life_ms: 1 << 40,
            count_max: 10,
        };
        let op = Register {
            username: name.into(),
            email: format!("{name}@example.org"),
            phc: Secret("phc".into()),
            age_verified: true,
            tier: 0,
            badges: Vec::new(),
            token,
        };
        let Reply::Token(id, token_id) = self.apply(UserId(0), op.into()) else { panic!("no account") };
        self.users.push((id, token_id, format!("{token_id}.secret")));
    }

    fn apply(&mut self, actor: UserId, op: Op) -> Reply {
        self.apply_all(vec![Command::new(actor, op)]).pop().unwrap()
    }

    /// One batch.
    fn apply_all(&mut self, commands: Vec<Command>) -> Vec<Reply> {
        let mut tx = self.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, START_MS + self.now, 0);
        let replies = commands.iter().map(|command| machine.apply(command).unwrap()).collect();
        let outputs = machine.finish();
        tx.commit().unwrap();
        self.snapshot = self.store.snapshot();
        for core in 0..self.hubs.len() {
            self.with(core, |hub, cx| hub.apply(cx, &outputs));
        }
        replies
    }

    /// Ann's server with Bob in it; returns its first channel.
    fn server(&mut self) -> (ServerId, ChannelId) {
        let ann = self.users[0].0;
        let op = ServerCreate { name: "s".into(), description: None, server_count_max: 9 };
        let Reply::Server(id) = self.apply(ann, op.into()) else { panic!("no server") };
        let channel =
            self.snapshot.read().get(SERVERS, id).unwrap().default_channel_id.as_ref().map(ChannelId::from);
        self.join(channel.unwrap(), 1, false);
        (id, channel.unwrap())
    }

    fn join(&mut self, channel_id: ChannelId, user: usize, temporary: bool) {
        let code = format!("code{user}");
        let op = InviteCreate { channel_id, code: code.clone(), max_age: 0, max_uses: 0, temporary };
        self.apply(self.users[0].0, op.into());
        self.apply(self.users[user].0, InviteUse { code, server_count_max: 9 }.into());
    }

    fn post(&mut self, channel_id: ChannelId, content: &str) {
        let (content, embeds) = (content.to_string(), String::new());
        let op = MessageCreate { channel_id, content, reply_to_id: None, embeds, length_max: 100_000 };
        self.apply(self.users[0].0, op.into());
    }

    fn with<T>(&mut self, core: usize, work: impl FnOnce(&mut Hub, &Cx<'_>) -> T) -> T {
        let random = || {
            self.random.set(self.random.get() + 1);
            [self.random.get(); 12]
        };
        let allow = |_: Ask| self.allowed;
        let cx = Cx {
            read: self.snapshot.read(),
            unix_ms: START_MS + self.now,
            mono_ms: self.now,
            allow: &allow,
            random: &random,
            live: &self.board,
        };
        work(&mut self.hubs[core], &cx)
    }

    fn open_on(&mut self, core: usize) -> Peer {
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let facts =
            Facts { host: "h".into(), secure: true, ip, version_unknown: false, luggage: Box::new(()) };
        (core, self.with(core, |hub, cx| hub.open(cx, 100, facts)))
    }

    /// A connection whose HELLO was read.
    fn open(&mut self) -> Peer {
        let peer = self.open_on(0);
        assert_eq!(self.frames(peer), [r#"{"op":10,"d":{"heartbeat_interval":45000}}"#]);
        peer
    }

    fn ready_as(&mut self, user: usize, more: &str) -> (Peer, String) {
        let peer = self.open();
        let token = self.users[user].2.clone();
        self.text(peer, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"{more}}}}}"));
        let frames = self.frames(peer);
        let ready = &frames[0];
        assert!(ready.starts_with(r#"{"op":0,"t":"READY","s":1,"d":{"v":10,"#), "{ready}");
        let id = ready.split("\"session_id\":\"").nth(1).unwrap()[..32].to_string();
        (peer, id)
    }

    fn ready(&mut self, user: usize) -> (Peer, String) {
        self.ready_as(user, "")
    }

    fn bytes(&mut self, (core, id): Peer, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.with(core, |hub, cx| hub.receive(cx, id, &mut bytes));
    }

    fn text(&mut self, peer: Peer, text: &str) {
        self.bytes(peer, &masked(0x81, text.as_bytes()));
    }

    fn resume(&mut self, peer: Peer, user: usize, session: &str, seq: &str) {
        let token = self.users[user].2.clone();
        let seq = if seq.is_empty() { String::new() } else { format!(",\"seq\":{seq}") };
        self.text(
            peer,
            &format!("{{\"op\":6,\"d\":{{\"token\":\"{token}\",\"session_id\":\"{session}\"{seq}}}}}"),
        );
    }

    fn lose(&mut self, (core, id): Peer) {
        self.with(core, |hub, cx| hub.lost(cx, id));
    }

    fn wait(&mut self, ms: u64) {
        // In steps, as the real one ticks.
        for _ in 0..ms.div_ceil(100) {
            self.now += 100.min(ms);
            (0..self.hubs.len()).for_each(|core| self.with(core, |hub, cx| hub.tick(cx)));
        }
    }

    /// Sends what is there; bytes that the kernel took, by connection.
    fn flush(&mut self, core: usize) -> Vec<(u32, Vec<u8>)> {
        let mut dirty = Vec::new();
        self.with(core, |hub, cx| hub.take_dirty(cx, &mut dirty));
        let mut sent = Vec::new();
        for id in dirty {
            loop {
                let mut out = Vec::new();
                let filled = self.hubs[core].fill(id, &mut out, FILL_LEN_MAX);
                let taken = self.room.map_or(out.len(), |room| room.min(out.len()));
                self.room = self.room.map(|room| room - taken);
                sent.push((id, out[..taken].to_vec()));
                let rest = (taken < out.len()).then_some(&out[taken..]);
                self.with(core, |hub, cx| hub.sent(cx, id, rest));
                if rest.is_some() || filled == Filled::All {
                    break;
                }
                if filled == Filled::Lost {
                    self.with(core, |hub, cx| hub.close_slow(cx, id));
                    break;
                }
            }
        }
        for action in self.hubs[core].take_actions() {
            match action {
                Action::Submit(command) => self.submitted.push(command),
                Action::Mail { to, mail: Mail::Adopt(adopted) } => {
                    self.with(to, |hub, cx| hub.adopt(cx, *adopted));
                }
                Action::Mail { to, mail } => self.with(to, |hub, cx| hub.on_mail(cx, mail)),
                Action::Shut { .. } | Action::ShutWrite { .. } | Action::Release { .. } => {}
            }
        }
        sent
    }

    /// What one connection was sent; the rest is thrown away.
    fn frames(&mut self, (core, id): Peer) -> Vec<String> {
        let mut bytes = Vec::new();
        for _ in 0..3 {
            for (to, some) in self.flush(core) {
                if to == id {
                    bytes.extend(some);
                }
            }
        }
        shown(&bytes)
    }

    fn names(&mut self, peer: Peer) -> Vec<String> {
        let names = self.frames(peer).into_iter();
        names.map(|text| text.split('"').nth(5).map_or(text.clone(), str::to_string)).collect()
    }
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=65_535 => out.extend([&[0xfe], (len as u16).to_be_bytes().as_slice()].concat()),
        len => out.extend([&[0xff], (len as u64).to_be_bytes().as_slice()].concat()),
    }
    out.extend([1, 2, 3, 4]);
    let at = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[at..], [1, 2, 3, 4], 0);
    out
}

fn shown(mut bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        let (payload, rest) = rest.split_at(len);
        bytes = rest;
        let text = String::from_utf8_lossy(payload).into_owned();
        out.push(match first {
            0x81 => text,
            0x82 => "binary".into(),
            0x88 if len == 0 => "close".into(),
            0x88 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                format!("close {code} {}", String::from_utf8_lossy(&payload[2..])).trim_end().into()
            }
            0x89 => "ping".into(),
            0x8a => format!("pong {text}"),
            first => panic!("frame {first:x}"),
        });
    }
    out
}

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
    check(" {\"d\":1 , \"x\":[{}], \"op\":1.0 } ", "{\"op\":11}");
    check("{\"op\":13,\"d\":{\"client_version\":\"nonsense\"}}", CLOSED_4002);
    check("{\"op\":13,\"d\":{\"client_version\":5}}", CLOSED_4002);
}

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
    let mut bench = Bench::new(|config| config.versioning_min_supported_version = "a.1.0-40".into());
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
    let no_server = "{\"op\":23,\"d\":{\"type\":\"error\",\"code\":\"NO_MEDIA_SERVER\",\"message\":\"No media server is configured\",\"channel_id\":\"5\"}}";
    check("{\"op\":22,\"d\":{\"channel_id\":5,\"sdp\":\"v=0\"}}", &[no_server]);
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
    let mut bench = Bench::new(|config| config.websocket_rate_limit_per_minute = 3);
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
        let mut bench = Bench::new(|config| config.websocket_compression_enabled = enabled);
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
    let mut bench = Bench::new(|config| config.websocket_identify_timeout_ms = 3_000);
    let peer = bench.open();
    bench.text(peer, "{\"op\":1}");
    bench.frames(peer);
    bench.wait(2_900);
    assert_eq!(bench.frames(peer), [""; 0]);
    bench.wait(600);
    assert_eq!(bench.frames(peer), [CLOSED_4003]);

    // Only op 1 is a sign of life.
    let mut bench = Bench::new(|config| config.websocket_heartbeat_timeout_ms = 5_000);
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
        config.websocket_identify_timeout_ms = 0;
        config.websocket_heartbeat_timeout_ms = 10_000_000;
        config.websocket_ping_interval_ms = 0;
        config.websocket_send_queue_bytes = 0;
        config.websocket_send_queue_events = 0;
        config.websocket_send_timeout_ms = 0;
        config.websocket_max_connections_per_user = 0;
        config.websocket_resume_buffer_events = 0;
        config.websocket_resume_buffer_bytes = 0;
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
        config.websocket_session_timeout_ms = 0;
        config.websocket_close_timeout_ms = 0;
        config.websocket_ping_timeout_ms = 0;
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

// ------------------------------------------------------------------------------------------ §4, RESUME

#[test]
fn resume_replays_what_was_missed() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let (peer, id) = bench.ready(1);
    bench.post(channel, "one");
    assert_eq!(bench.names(peer), ["MESSAGE_CREATE"]);
    bench.lose(peer);
    bench.post(channel, "two");
    let peer = bench.open();
    bench.resume(peer, 1, &id, "");
    let frames = bench.frames(peer);
    assert_eq!(frames[0], "{\"op\":0,\"t\":\"RESUMED\",\"s\":0,\"d\":{}}");
    assert!(frames[1].contains("\"s\":2,") && frames[1].contains("one"));
    assert!(frames[2].contains("\"s\":3,") && frames[2].contains("two"));
    // Of its own session, on the ready connection.
    bench.resume(peer, 1, &id, "2");
    let frames = bench.frames(peer);
    assert_eq!(frames[0], "{\"op\":0,\"t\":\"RESUMED\",\"s\":2,\"d\":{}}");
    assert!(frames.len() == 2 && frames[1].contains("\"s\":3,"));
    // Another session on a ready connection: refused, the live one goes on.
    bench.resume(peer, 1, &"0".repeat(32), "1");
    assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    bench.post(channel, "three");
    assert!(bench.frames(peer)[0].contains("\"s\":4,"));
}

#[test]
fn resume_is_refused_in_order() {
    let mut bench = Bench::new(|_| {});
    let (first, id) = bench.ready(0);
    let peer = bench.open();
    let good = bench.users[0].2.clone();
    let refused = [
        format!("\"token\":\"{good}\",\"seq\":null"),
        format!("\"session_id\":\"{id}\""),
        format!("\"token\":5,\"session_id\":\"{id}\",\"seq\":1"),
        format!("\"token\":\"1.bad\",\"session_id\":\"{id}\",\"seq\":null"),
        format!("\"token\":\"{good}\",\"session_id\":\"{}\",\"seq\":true", "f".repeat(32)),
        format!("\"token\":\"{good}\",\"session_id\":\"{}\"", id.to_uppercase() + "x"),
        // The session of another user.
        format!("\"token\":\"{}\",\"session_id\":\"{id}\",\"seq\":null", bench.users[1].2.clone()),
    ];
    for d in refused {
        bench.text(peer, &format!("{{\"op\":6,\"d\":{{{d}}}}}"));
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"], "{d}");
    }
    // The rightful owner's session is untouched by all that.
    bench.text(first, "{\"op\":1}");
    assert_eq!(bench.frames(first), ["{\"op\":11}"]);
    for seq in ["null", "true", "\"1\"", "1.5", "[]", "-1", "2", "99999999999"] {
        let mut bench = Bench::new(|_| {});
        let (first, id) = bench.ready(0);
        let peer = bench.open();
        bench.resume(peer, 0, &id, seq);
        assert_eq!(bench.frames(peer), ["close 4007 Invalid seq"], "{seq}");
        // The session is dropped, and the connection that still had it is closed.
        assert_eq!(bench.frames(first), [""; 0]);
        assert_eq!(bench.hubs[0].session_count(), 0);
        bench.text(first, "{\"op\":3,\"d\":{\"status\":\"idle\"}}");
        let peer = bench.open();
        bench.resume(peer, 0, &id, "1");
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    }
}

#[test]
fn a_dropped_session_closes_the_connection_that_had_it() {
    let mut bench = Bench::new(|config| config.websocket_resume_buffer_events = 3);
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    (0..10).for_each(|_| bench.post(channel, "x"));
    assert_eq!(bench.frames(first).len(), 10);
    let peer = bench.open();
    bench.resume(peer, 1, &id, "2");
    bench.text(first, "{\"op\":40,\"d\":{\"channel_id\":1}}");
    let mut sent = bench.flush(0);
    sent.sort();
    let sent: Vec<Vec<String>> = sent.iter().map(|(_, bytes)| shown(bytes)).collect();
    assert_eq!(sent, [["close 4009 Session resumed elsewhere"], ["{\"op\":9,\"d\":false}"]]);

    // On its own connection: op 9, and it may identify anew.
    let (peer, id) = bench.ready(1);
    (0..10).for_each(|_| bench.post(channel, "x"));
    bench.frames(peer);
    bench.resume(peer, 1, &id, "2");
    assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
    let token = bench.users[1].2.clone();
    bench.text(peer, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    let frames = bench.frames(peer);
    assert!(frames[0].contains("\"resume_gateway_url\":\"wss://h/gateway\""), "{frames:?}");
}

#[test]
fn taking_over() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    bench.post(channel, "one");
    let second = bench.open_on(0);
    bench.resume(second, 1, &id, "1");
    bench.post(channel, "two");
    let mut sent = bench.flush(0);
    sent.sort();
    let text = |bytes: &[u8]| shown(bytes).join(" ");
    // What was not sent yet goes to the new connection alone; the close overtakes it.
    assert_eq!(text(&sent[0].1), "close 4009 Session resumed elsewhere");
    assert_eq!(shown(&sent[1].1).len(), 4);
    bench.text(first, "{\"op\":1}");
    bench.lose(first);
    bench.post(channel, "three");
    assert!(bench.frames(second)[0].contains("\"s\":4,"));
    // Out of its window it is gone.
    bench.lose(second);
    bench.wait(60_500);
    assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].residue()), (0, 0));
}

#[test]
fn a_connection_moves_to_the_core_of_its_session_with_all_it_has() {
    let mut bench = Bench::with_cores(2, |_| {});
    let (_, channel) = bench.server();
    let (first, id) = bench.ready(1);
    bench.lose(first);
    bench.post(channel, "one");
    let moved = bench.open_on(1);
    // Before HELLO has gone out, with half a heartbeat behind.
    let token = bench.users[1].2.clone();
    let text = format!("{{\"op\":6,\"d\":{{\"token\":\"{token}\",\"session_id\":\"{id}\",\"seq\":1}}}}");
    let beat = masked(0x81, b"{\"op\":1}");
    bench.bytes(moved, &[masked(0x89, b"p"), masked(0x81, text.as_bytes()), beat[..5].to_vec()].concat());
    assert_eq!(bench.flush(1), []);
    let peer = (0, 0);
    let frames = bench.frames(peer);
    assert_eq!(
        frames[..3],
        [
            "{\"op\":10,\"d\":{\"heartbeat_interval\":45000}}",
            "pong p",
            "{\"op\":0,\"t\":\"RESUMED\",\"s\":1,\"d\":{}}"
        ]
    );
    assert!(frames[3].contains("one"));
    bench.bytes(peer, &beat[5..]);
    assert_eq!(bench.frames(peer), ["{\"op\":11}"]);
    assert_eq!(bench.hubs[1].connection_count(), 0);
}

// --------------------------------------------------------------------------------------- §7, slow readers

#[test]
fn slow_consumers_are_closed_and_may_resume() {
    type Change = fn(&mut Config);
    let cases: [(Change, usize, usize); 2] = [
        (|config| config.websocket_send_queue_events = 20, 10, 22),
        (|config| config.websocket_send_queue_bytes = 20_000, 2_000, 14),
    ];
    for (change, len, count) in cases {
        let mut bench = Bench::new(change);
        let (_, channel) = bench.server();
        let (peer, id) = bench.ready(1);
        bench.room = Some(100);
        for _ in 0..count {
            bench.post(channel, &"x".repeat(len));
            assert_eq!(bench.flush(0).iter().filter(|(_, bytes)| bytes.len() > 100).count(), 0);
        }
        bench.flush(0);
        bench.room = None;
        bench.with(0, |hub, _| hub.writable(peer.1));
        let sent = bench.flush(0).into_iter().flat_map(|(_, bytes)| bytes);
        let sent: Vec<u8> = sent.collect();
        assert!(sent.ends_with(b"\x88\x0f\x0f\xa8Slow consumer"), "{len}");
        let again = bench.open();
        bench.resume(again, 1, &id, "1");
        assert_eq!(bench.frames(again).len(), 1 + count, "{len}");
    }
}

#[test]
fn a_stalled_write_is_closed_and_a_replay_is_no_backlog() {
    let mut bench = Bench::new(|config| config.websocket_send_queue_events = 10);
    let (_, channel) = bench.server();
    let (peer, id) = bench.ready(1);
    bench.lose(peer);
    (0..100).for_each(|_| bench.post(channel, "x"));
    let peer = bench.open();
    bench.room = Some(300);
    bench.resume(peer, 1, &id, "1");
    bench.flush(0);
    // Ten live events behind the replay are within the bound, a hundred old ones do not count.
    (0..10).for_each(|_| bench.post(channel, "x"));
    bench.flush(0);
    assert_eq!(bench.hubs[0].slow_consumer_count, 0);
    bench.wait(14_900);
    assert_eq!(bench.hubs[0].slow_consumer_count, 0);
    bench.wait(200);
    assert_eq!(bench.hubs[0].slow_consumer_count, 1);
    bench.flush(0);
    bench.wait(5_100);
    assert_eq!((bench.hubs[0].connection_count(), bench.hubs[0].session_count()), (0, 1));
}

#[test]
fn pings_of_a_client_that_never_reads_stay_bounded() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.open();
    bench.room = Some(0);
    let pings: Vec<u8> = (0..1_000).flat_map(|_| masked(0x89, &[b'x'; 125])).collect();
    for _ in 0..100 {
        bench.bytes(peer, &pings);
        bench.flush(0);
    }
    assert_eq!(bench.hubs[0].slow_consumer_count, 1);
    let mut out = Vec::new();
    bench.hubs[0].fill(peer.1, &mut out, FILL_LEN_MAX);
    assert!(out.len() < 3 << 20 && out.ends_with(b"Slow consumer"), "{}", out.len());
}

// ----------------------------------------------------------------------------------------- endings

#[test]
fn revoked_tokens_end_their_sessions() {
    for (how, want) in [
        (Revocation::LoggedOut, &["close 4004 Logged out"][..]),
        (Revocation::Security, &["SECURITY_LOGOUT", "close 4004 Security logout"]),
        (Revocation::Suspended, &["SECURITY_LOGOUT", "close 4004 Account suspended"]),
    ] {
        let mut bench = Bench::new(|_| {});
        let (peer, id) = bench.ready(0);
        let (user_id, token_id, _) = bench.users[0].clone();
        bench.apply(user_id, TokenRevoke { token_id, how }.into());
        assert_eq!(bench.names(peer), want);
        let peer = bench.open();
        bench.resume(peer, 0, &id, "1");
        assert_eq!(bench.frames(peer), ["{\"op\":9,\"d\":false}"]);
        assert_eq!((bench.hubs[0].session_count(), bench.hubs[0].residue()), (0, 0));
    }
}

/// In one batch: the snapshot lacks the membership already when the session ends, the index still has it.
#[test]
fn a_session_that_ends_in_the_batch_that_ends_its_membership_leaves_nothing() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel_id) = bench.server();
    bench.ready(1);
    let (user_id, token_id, _) = bench.users[1].clone();
    let message = MessageCreate {
        channel_id,
        content: "x".into(),
        reply_to_id: None,
        embeds: String::new(),
        length_max: 10,
    };
    bench.apply_all(vec![
        Command::new(user_id, TokenRevoke { token_id, how: Revocation::LoggedOut }.into()),
        Command::new(bench.users[0].0, message.into()),
        Command::new(user_id, crate::domain::member::MemberLeave { server_id }.into()),
    ]);
    assert_eq!(bench.hubs[0].residue(), 0);
}

#[test]
fn the_oldest_of_too_many_connections_goes_for_good() {
    let mut bench = Bench::new(|config| config.websocket_max_connections_per_user = 2);
    let sessions: Vec<(Peer, String)> = (0..2).map(|_| bench.ready(0)).collect();
    let third = bench.open();
    let token = bench.users[0].2.clone();
    bench.text(third, &format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"));
    let sent = bench.flush(0);
    let of = |peer: Peer| shown(&sent.iter().find(|(id, _)| *id == peer.1).unwrap().1);
    assert_eq!(of(sessions[0].0), ["close 4008 Too many connections"]);
    assert!(of(third)[0].contains("READY"));
    let again = bench.open();
    bench.resume(again, 0, &sessions[0].1, "1");
    assert_eq!(bench.frames(again), ["{\"op\":9,\"d\":false}"]);
}

#[test]
fn identify_and_resume_limits() {
    let mut bench = Bench::new(|_| {});
    bench.allowed = false;
    let token = bench.users[0].2.clone();
    for (text, want) in [
        (format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}"), "close 4008 Rate limited"),
        (format!("{{\"op\":6,\"d\":{{\"token\":\"{token}\"}}}}"), "close 4008 Rate limited"),
        ("{\"op\":2,\"d\":{\"token\":\"x\"}}".to_string(), "close 4004 Authentication failed"),
    ] {
        let peer = bench.open();
        bench.text(peer, &text);
        assert_eq!(bench.frames(peer), [want]);
    }
}

#[test]
fn shutdown_and_unknown_versions() {
    let mut bench = Bench::new(|_| {});
    let (ready, idle) = (bench.ready(0).0, bench.open());
    bench.hubs[0].announce_shutdown();
    bench.with(0, |hub, cx| hub.close_all(cx, &super::protocol::Close::SERVER_SHUTDOWN));
    let sent = bench.flush(0);
    for peer in [ready, idle] {
        let frames = shown(&sent.iter().find(|(id, _)| *id == peer.1).unwrap().1);
        assert!(frames[0].contains("\"op\":12,\"d\":{\"state\":\"shutting_down\""), "{frames:?}");
        assert!(frames[0].contains("\"restart_at\":null,\"closing_in_seconds\":2.0"), "{frames:?}");
        assert_eq!(frames[1..], ["{\"op\":7,\"d\":null}", "close 4017 Server shutdown"]);
    }
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let facts = Facts { host: "h".into(), secure: false, ip, version_unknown: true, luggage: Box::new(()) };
    let id = bench.with(0, |hub, cx| hub.open(cx, 9, facts));
    assert_eq!(bench.frames((0, id)), ["close 4012 Invalid API version"]);
}

#[test]
fn luggage_lives_as_long_as_its_connection() {
    let mut bench = Bench::new(|_| {});
    let luggage = Arc::new(());
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let facts = Facts {
        host: "h".into(),
        secure: false,
        ip,
        version_unknown: false,
        luggage: Box::new(luggage.clone()),
    };
    let id = bench.with(0, |hub, cx| hub.open(cx, 9, facts));
    assert_eq!(Arc::strong_count(&luggage), 2);
    bench.lose((0, id));
    assert_eq!(Arc::strong_count(&luggage), 1);
}

// ------------------------------------------------------------------------------------ presence, typing

#[test]
fn offline_as_stored_status_ends_with_the_next_first_session() {
    let mut bench = Bench::new(|_| {});
    let (peer, _) = bench.ready(0);
    bench.text(peer, "{\"op\":3,\"d\":{\"status\":\"offline\"}}");
    bench.flush(0);
    let command = bench.submitted.pop().unwrap();
    bench.apply(command.actor, command.op);
    // A second session changes nothing.
    let second = bench.open();
    let token = bench.users[0].2.clone();
    let identify = format!("{{\"op\":2,\"d\":{{\"token\":\"{token}\"}}}}");
    bench.text(second, &identify);
    assert!(bench.frames(second)[0].contains("\"presence\":{\"status\":\"offline\""));
    assert!(bench.submitted.is_empty());
    // Back within the grace, but first again.
    bench.lose(peer);
    bench.lose(second);
    let third = bench.open();
    bench.text(third, &identify);
    assert!(bench.frames(third)[0].contains("\"presence\":{\"status\":\"online\""));
    assert_eq!(bench.submitted.len(), 1);
}

#[test]
fn typing_stops_with_the_connection() {
    let mut bench = Bench::new(|_| {});
    let (_, channel) = bench.server();
    let ((ann, _), (bob, _)) = (bench.ready(0), bench.ready(1));
    bench.text(ann, &format!("{{\"op\":40,\"d\":{{\"channel_id\":{channel}}}}}"));
    bench.lose(ann);
    assert_eq!(bench.names(bob), ["TYPING_START", "TYPING_STOP"]);
    assert!(bench.hubs[0].typing.is_empty());
}

// ------------------------------------------------------------------------------------------- op 8

#[test]
fn member_lists() {
    let mut bench = Bench::new(|config| config.websocket_members_chunk_size = 2);
    let (server, channel) = bench.server();
    bench.join(channel, 2, false);
    let (ann, _) = bench.ready_as(0, ",\"intents\":2");
    let ids: Vec<UserId> = bench.users.iter().map(|user| user.0).collect();
    let mut ask = |d: &str| {
        bench.text(ann, &format!("{{\"op\":8,\"d\":{{\"guild_id\":\"{server}\"{d}}}}}"));
        bench.wait(1_000);
        let frames = bench.frames(ann);
        // Further chunks wait until the first has gone out.
        let more = (0..5).flat_map(|_| {
            bench.wait(100);
            bench.frames(ann)
        });
        frames.into_iter().chain(more).collect::<Vec<_>>()
    };
    let names = |text: &String| {
        text.split("\"username\":\"").skip(1).map(|rest| rest[..3].to_string()).collect::<Vec<_>>()
    };
    let all = ask("");
    assert_eq!(all.iter().map(names).collect::<Vec<_>>(), [vec!["ann", "bob"], vec!["cat"]]);
    assert!(all[0].contains("\"chunk_index\":0,\"chunk_count\":2,\"not_found\":[]}"), "{all:?}");
    assert!(all[1].contains("\"chunk_index\":1,\"chunk_count\":2"));
    assert!(
        all[0].contains("\"presence\":{\"status\":\"online\"}")
            && all[1].contains("{\"status\":\"offline\"}")
    );
    assert_eq!(ask(",\"query\":\"B\",\"nonce\":\"n1\"").iter().map(names).collect::<Vec<_>>(), [["bob"]]);
    let none = ask(",\"query\":\"zzz\",\"nonce\":\"n1\"");
    assert!(
        none[0].contains(
            "\"members\":[],\"chunk_index\":0,\"chunk_count\":1,\"not_found\":[],\"nonce\":\"n1\"}"
        ),
        "{none:?}"
    );
    assert_eq!(ask(",\"limit\":1,\"presences\":false").iter().map(names).collect::<Vec<_>>(), [["ann"]]);
    assert!(!ask(",\"limit\":0,\"presences\":false")[0].contains("presence"));
    let some =
        ask(&format!(",\"user_ids\":[\"{}\",{},5,\"x\"],\"nonce\":\"{}\"", ids[2], ids[0], "n".repeat(33)));
    assert_eq!(some.iter().map(names).collect::<Vec<_>>(), [["ann", "cat"]]);
    assert!(some[0].contains("\"not_found\":[\"5\"]}"), "{some:?}");
    for ignored in [",\"query\":5", ",\"user_ids\":\"x\"", ",\"limit\":\"x\""] {
        assert_eq!(ask(ignored).len(), 0, "{ignored}");
    }
    let many = vec!["1"; 101].join(",");
    assert_eq!(ask(&format!(",\"user_ids\":[{many}]")).len(), 0);
}

#[test]
fn member_lists_are_for_members_with_the_intent() {
    let mut bench = Bench::new(|_| {});
    let (server, _) = bench.server();
    let ask = format!("{{\"op\":8,\"d\":{{\"guild_id\":{server}}}}}");
    for (user, intents, want) in [(0, 65_535, 1), (0, 65_533, 0), (2, 65_535, 0)] {
        let (peer, _) = bench.ready_as(user, &format!(",\"intents\":{intents}"));
        bench.text(peer, &ask);
        bench.wait(500);
        assert_eq!(bench.names(peer).len(), want);
        bench.lose(peer);
    }
    // Too many unanswered requests, and none is left behind by a session that ends.
    let (peer, id) = bench.ready_as(0, ",\"intents\":2");
    for _ in 0..9 {
        bench.text(peer, &ask);
    }
    assert_eq!(bench.frames(peer), ["close 4008 Rate limited"]);
    assert!(!bench.hubs[0].has_work());
    // The answers come when it is back.
    let peer = bench.open();
    bench.resume(peer, 0, &id, "1");
    assert_eq!(bench.names(peer), ["RESUMED"]);
    assert!(bench.hubs[0].has_work());
    for _ in 0..8 {
        bench.wait(300);
        assert!(bench.names(peer).len() <= 3);
    }
    bench.lose(peer);
    bench.wait(61_000);
    assert_eq!(bench.hubs[0].residue(), 0);
}

#[test]
fn temporary_memberships_end_with_the_last_session() {
    let mut bench = Bench::new(|_| {});
    let (server_id, channel) = bench.server();
    bench.join(channel, 2, true);
    let ((first, _), (second, _)) = (bench.ready(2), bench.ready(2));
    bench.ready(1);
    bench.lose(first);
    bench.wait(61_000);
    bench.flush(0);
    assert!(bench.submitted.is_empty());
    bench.lose(second);
    bench.wait(61_000);
    bench.flush(0);
    let user_id = bench.users[2].0;
    let op = crate::domain::member::MemberExpire { server_id, user_id };
    assert_eq!(bench.submitted, [Command::new(UserId(0), op.into())]);
}
