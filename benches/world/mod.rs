//! What the benches measure on: a store in a temporary folder with users, a server, its first channel and messages.
//!
//! The folder is made below `TMPDIR` (`/tmp`): point it at the disk to be measured. On a tmpfs a sync costs nothing.

pub mod gateway;
pub mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion};
use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::chat::message_view::{Viewer, Writer};
use plexichat::domain::community::invite::{InviteCreate, InviteUse};
use plexichat::domain::community::server::ServerCreate;
use plexichat::domain::identity::account::{Email, Entry, Register};
use plexichat::domain::identity::credential::{Secret, hash_secret};
use plexichat::domain::identity::token::NewToken;
use plexichat::domain::{Command, Machine, Now, Op, Output, Reply};
use plexichat::id::{ChannelId, MessageId, ServerId, UserId};
use plexichat::store::records::{ArchivedMessage, tier};
use plexichat::store::tables::{MESSAGES, SERVERS};
use plexichat::store::{Options, Read, Store, Sync};
use tempfile::TempDir;

/// 2026-01-01T00:00:00Z.
pub const START_MS: u64 = 1_767_225_600_000;
/// Secret part of every login token.
pub const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

pub struct World {
    pub store: Arc<Store>,
    /// The first one owns the server; all are members.
    pub users: Vec<UserId>,
    /// Their login tokens.
    pub tokens: Vec<String>,
    pub server_id: ServerId,
    pub channel_id: ChannelId,
    /// Oldest first, authors in turn.
    pub messages: Vec<MessageId>,
    _folder: TempDir,
}

impl World {
    pub fn new(user_count: usize, message_count: usize) -> World {
        World::of(temporary_store(Sync::Interval), user_count, message_count)
    }

    /// The same in a store that seals what people write.
    pub fn sealed(user_count: usize, message_count: usize) -> World {
        let (folder, store) = temporary_store(Sync::Interval);
        store.unlock(true).expect("a folder of its own");
        World::of((folder, store), user_count, message_count)
    }

    fn of((folder, store): (TempDir, Store), user_count: usize, message_count: usize) -> World {
        let mut tx = store.begin().expect("an empty store takes a transaction");
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS), 0);
        let mut apply = |actor, op: Op| machine.apply(&Command::new(actor, op)).expect("a valid command");
        let mut tokens = Vec::new();
        let mut users = Vec::new();
        for index in 0..user_count {
            let Reply::Account(user_id, Some(token_id)) = apply(UserId(0), register(index).into()) else {
                unreachable!("registering gives a token")
            };
            tokens.push(format!("{}.{SECRET}", token_id.0));
            users.push(user_id);
        }
        let create = ServerCreate { name: "Bench".into(), description: None, server_count_max: 10 };
        let Reply::Server(server_id) = apply(users[0], create.into()) else {
            unreachable!("creating a server gives its id")
        };
        drop(machine.finish());
        let channel_id = tx.get(SERVERS, server_id).and_then(|server| server.default_channel_id.as_ref());
        let channel_id = channel_id.map(ChannelId::from).expect("a new server has a channel");
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS), 0);
        let mut apply = |actor, op: Op| machine.apply(&Command::new(actor, op)).expect("a valid command");
        let code = "bench".to_string();
        let invite =
            InviteCreate { channel_id, code: code.clone(), max_age: 0, max_uses: 0, temporary: false };
        apply(users[0], invite.into());
        for user_id in &users[1..] {
            apply(*user_id, InviteUse { code: code.clone(), server_count_max: 10 }.into());
        }
        let messages = (0..message_count).map(|index| {
            let author = users[index % users.len()];
            let Reply::Message(_, id) = apply(author, message(channel_id).into()) else {
                unreachable!("posting gives the id")
            };
            id
        });
        let messages = messages.collect();
        drop(machine.finish());
        tx.commit().expect("there is room");
        World { store: Arc::new(store), users, tokens, server_id, channel_id, messages, _folder: folder }
    }

    /// Time to apply the commands in one transaction that is not committed.
    pub fn time_apply(&self, commands: &[Command]) -> Duration {
        let mut tx = self.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS + 1), 0);
        let begun = Instant::now();
        for command in commands {
            std::hint::black_box(machine.apply(command)).expect("a valid command");
        }
        begun.elapsed()
    }

    /// The newest 50 messages, newest first.
    pub fn page<'a>(
        &self,
        read: Read<'a>,
    ) -> impl Iterator<Item = (MessageId, &'a ArchivedMessage)> + use<'a> {
        read.scan_rev(MESSAGES, self.channel_id).take(50).map(|((_, id), message)| (id, message))
    }

    /// The same as the first user gets them.
    pub fn write_page(&self, out: &mut Vec<u8>) {
        let snapshot = self.store.snapshot();
        let viewer = Viewer::User { user_id: self.users[0], receipts: true, at: 0 };
        let mut writer = Writer::new(out, snapshot.read(), self.channel_id, viewer);
        writer.list(self.page(snapshot.read()));
    }

    /// What a message of the first user makes known.
    pub fn message_output(&self) -> Output {
        let mut tx = self.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS + 1), 0);
        machine
            .apply(&Command::new(self.users[0], message(self.channel_id).into()))
            .expect("a valid command");
        machine.finish().pop().expect("a message makes an event")
    }
}

/// What a browser sends before a page of messages.
pub const BROWSER: &[u8] = b"GET /api/v1/channels/123456789012345678/messages?limit=50 HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Authorization: Bearer 123456789012345678.0123456789abcdefghijklmnopqrstuvwxyzABCDEFG\r\n\
    Origin: https://app.example.com\r\n\
    Connection: keep-alive\r\n\
    Referer: https://app.example.com/\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-site\r\n\
    Priority: u=0\r\n\r\n";

/// An empty store of at most 8 GiB.
pub fn temporary_store(sync: Sync) -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let path = folder.path().to_path_buf();
    let store =
        Store::open(&Options { path, map_size: 8 << 30, sync, readers_max: 16 }).expect("a new store");
    (folder, store)
}

/// The account number `index`, without the hashing of its password.
pub fn register(index: usize) -> Register {
    let token = NewToken {
        secret_hash: Secret(hash_secret(SECRET)),
        ip_address: "192.0.2.1".into(),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
        life_ms: 30 * 24 * 3_600_000,
        count_max: 10,
    };
    Register {
        username: format!("user{index}"),
        email: email(format!("user{index}@example.com")),
        phc: Secret(
            "$argon2id$v=19$m=65536,t=2,p=2$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
                .into(),
        ),
        age_verified: true,
        tier: tier::STANDARD,
        badges: Vec::new(),
        entry: Entry::Session(token),
    }
}

/// A text of 300 bytes with two line ends.
pub fn text() -> String {
    let mut text = "The quick brown fox jumps over the lazy dog, says \"hello\" and goes on.\n".repeat(5);
    text.truncate(300);
    text
}

pub fn message(channel_id: ChannelId) -> MessageCreate {
    MessageCreate { channel_id, content: text(), reply_to_id: None, embeds: String::new(), length_max: 4_000 }
}

/// Only to see that the benches run: `cargo bench -- --test`, `cargo test --benches`.
pub fn is_test() -> bool {
    let has = |flag: &str| std::env::args().any(|arg| arg == flag);
    has("--test") || !has("--bench")
}

/// Few samples: a bench of this project is to show factors, not percents.
pub fn config() -> Criterion {
    let short = Criterion::default().without_plots().sample_size(10);
    short.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(700))
}

/// Reports the time of one of the `count` equal parts of each `run`, which says itself how long it took.
pub fn per_part(bencher: &mut Bencher<'_>, count: usize, mut run: impl FnMut() -> Duration) {
    bencher.iter_custom(|iters| {
        let runs = iters.div_ceil(count as u64);
        let total: Duration = (0..runs).map(|_| run()).sum();
        total.mul_f64(iters as f64 / (runs * count as u64) as f64)
    });
}

/// In lower case already.
fn email(address: String) -> Box<Email> {
    Box::new(Email { key: address.clone(), address })
}
