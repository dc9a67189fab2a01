//! A core's gateway without sockets: what clients send, what they get, how time passes.

use std::cell::Cell;

use super::allowance::Ask;
use super::connection::Facts;
use super::connections::ConnectionId;
use super::home::Liveboard;
use super::hub::{Action, Cx, Hub, Mail};
use super::send::{FILL_LEN_MAX, Filled};
use crate::config::{Config, Websocket};
use crate::domain::chat::message::MessageCreate;
use crate::domain::community::invite::{InviteCreate, InviteUse};
use crate::domain::community::server::ServerCreate;
use crate::domain::identity::account::{Email, Entry, Register};
use crate::domain::identity::credential::{Secret, hash_secret};
use crate::domain::identity::token::{NewToken, TokenRevoke};
use crate::domain::{Command, Machine, Now, Op, Reply, Revocation};
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
    /// By how much the wall's clock is ahead of the steady one, milliseconds.
    wall_ahead_ms: i64,
    random: Cell<u8>,
    allowed: bool,
    /// Bytes the kernel takes, in all; `None` = any number.
    room: Option<usize>,
    submitted: Vec<Command>,
    /// How often one side of a socket was shut.
    half_closed: usize,
    users: Vec<(UserId, TokenId, String)>,
}

/// A client's connection: core and number.
type Peer = (usize, ConnectionId);

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Bench {
        Bench::with_cores(1, change)
    }

    fn with_cores(count: usize, change: impl FnOnce(&mut Config)) -> Bench {
        let (folder, store) = temporary(1 << 26);
        let mut config = Config {
            websocket: Websocket { rate_limit_per_minute: 0, ..Websocket::default() },
            ..Config::default()
        };
        change(&mut config);
        let config = config.into();
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
            wall_ahead_ms: 0,
            random: Cell::new(0),
            allowed: true,
            room: None,
            submitted: Vec::new(),
            half_closed: 0,
            users: Vec::new(),
        };
        ["ann", "bob", "cat"].into_iter().for_each(|name| bench.register(name));
        bench
    }

    fn register(&mut self, name: &str) {
        self.register_for(name, 1 << 40);
    }

    /// An account whose token lives so long.
    fn register_for(&mut self, name: &str, life_ms: u64) {
        let token = NewToken {
            secret_hash: Secret(hash_secret("secret")),
            ip_address: "::1".into(),
            user_agent: None,
            life_ms,
            count_max: 10,
        };
        let op = Register {
            username: name.into(),
            email: email(format!("{name}@example.org")),
            phc: Secret("phc".into()),
            age_verified: true,
            tier: 0,
            badges: Vec::new(),
            entry: Entry::Session(token),
        };
        let Reply::Account(id, Some(token_id)) = self.apply(UserId(0), op.into()) else {
            panic!("no account")
        };
        self.users.push((id, token_id, format!("{token_id}.secret")));
    }

    fn apply(&mut self, actor: UserId, op: Op) -> Reply {
        self.apply_all(vec![Command::new(actor, op)]).pop().unwrap()
    }

    /// One batch.
    fn apply_all(&mut self, commands: Vec<Command>) -> Vec<Reply> {
        let mut tx = self.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS + self.now), 0);
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
            unix_ms: (START_MS + self.now).strict_add_signed(self.wall_ahead_ms),
            steady_ms: START_MS + self.now,
            mono_ms: self.now,
            allow: &allow,
            random: &random,
            live: &self.board,
        };
        work(&mut self.hubs[core], &cx)
    }

    fn open_on(&mut self, core: usize) -> Peer {
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let facts = Facts { host: "h".into(), secure: true, ip, version_unknown: false, is_counted: false };
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

    /// Handles input, in as many turns as that takes.
    fn bytes(&mut self, (core, id): Peer, bytes: &[u8]) {
        self.read_on(core);
        self.arrives((core, id), bytes);
        while self.hubs[core].has_unread(id) {
            self.read_on(core);
        }
    }

    /// Input, in the turn that is under way.
    fn arrives(&mut self, (core, id): Peer, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.with(core, |hub, cx| hub.receive(cx, id, &mut bytes));
    }

    /// The next turn of reading.
    fn read_on(&mut self, core: usize) {
        self.with(core, |hub, cx| hub.begin_reading(cx));
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
    fn flush(&mut self, core: usize) -> Vec<(ConnectionId, Vec<u8>)> {
        let mut dirty = Vec::new();
        let hub = &self.hubs[core];
        let detached =
            hub.sessions.iter().filter(|(_, session)| session.connection == ConnectionId::NONE).count();
        assert_eq!(hub.detached_count(), detached);
        self.with(core, |hub, cx| hub.take_dirty(cx, usize::MAX, &mut dirty));
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
                Action::ShutWrite { .. } => self.half_closed += 1,
                Action::Shut { .. } | Action::Release { .. } => {}
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

mod bounds;
mod drain;
mod expiry;
mod handover;
mod protocol;
mod sessions;
mod voice;
mod work;

/// In lower case already.
fn email(address: String) -> Box<Email> {
    Box::new(Email { key: address.clone(), address })
}
