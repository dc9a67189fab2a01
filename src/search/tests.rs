//! The index beside a store that changes: whatever happens, what is in the store is found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::terms::{Term, mark};
use super::{FOLDER, Next, Running, Search, Settings};
use crate::domain::chat::message::{MessageCreate, MessageEdit};
use crate::domain::community::server::ServerCreate;
use crate::domain::identity::account::{Email, Entry, Register};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::token::NewToken;
use crate::domain::{Command, Machine, Now, Op, Reply};
use crate::id::{ChannelId, MessageId, ServerId, UserId};
use crate::log::Touches;
use crate::observe::SearchMetrics;
use crate::store::tables::SERVERS;
use crate::store::{Options, Store, Sync};

const PATIENCE: Duration = Duration::from_secs(60);

/// A store with a server, and the threads that keep its index.
struct World {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    metrics: Arc<SearchMetrics>,
    index: Option<(Arc<Search>, Arc<Touches>, Running)>,
    user_id: UserId,
    server_id: ServerId,
    channel_id: ChannelId,
    at_ms: u64,
}

fn open(folder: &std::path::Path) -> Arc<Store> {
    let path = folder.to_path_buf();
    let options = Options { path, map_size: 1 << 28, sync: Sync::Interval, readers_max: 32 };
    Arc::new(Store::open(&options).unwrap())
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let mut world = World {
            folder,
            store,
            metrics: Arc::default(),
            index: None,
            user_id: UserId(0),
            server_id: ServerId(0),
            channel_id: ChannelId(0),
            at_ms: 1_767_225_600_000,
        };
        let token = NewToken {
            secret_hash: Secret([1; 32]),
            ip_address: String::new(),
            user_agent: None,
            life_ms: 1,
            count_max: 1,
        };
        let register = Register {
            username: "ada".into(),
            email: Box::new(Email { address: "a@b.org".into(), key: "a@b.org".into() }),
            phc: Secret("$argon2id$".into()),
            age_verified: true,
            tier: crate::store::records::tier::STANDARD,
            badges: Vec::new(),
            entry: Entry::Session(token),
        };
        let Reply::Account(user_id, _) = world.apply(UserId(0), register.into()) else { panic!() };
        let create = ServerCreate { name: "s".into(), description: None, server_count_max: 9 };
        let Reply::Server(server_id) = world.apply(user_id, create.into()) else { panic!() };
        let snapshot = world.store.snapshot();
        let server = snapshot.read().get(SERVERS, server_id).unwrap();
        let channel_id = ChannelId::from(server.default_channel_id.as_ref().unwrap());
        (world.user_id, world.server_id, world.channel_id) = (user_id, server_id, channel_id);
        world
    }

    fn apply(&mut self, actor: UserId, op: Op) -> Reply {
        self.at_ms += 1_000;
        let mut tx = self.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(self.at_ms), 0);
        let reply = machine.apply(&Command::new(actor, op)).unwrap();
        let touched = std::mem::take(&mut machine.touched);
        drop(machine.finish());
        tx.commit().unwrap();
        if let Some((_, touches, _)) = &self.index {
            touches.tell(touched);
        }
        reply
    }

    fn say(&mut self, content: &str) -> MessageId {
        let op = MessageCreate {
            channel_id: self.channel_id,
            content: content.into(),
            reply_to_id: None,
            embeds: String::new(),
            length_max: 100_000,
        };
        let Reply::Message(_, id) = self.apply(self.user_id, op.into()) else { panic!() };
        id
    }

    fn edit(&mut self, message_id: MessageId, content: &str) {
        let op = MessageEdit {
            channel_id: self.channel_id,
            message_id,
            content: content.into(),
            length_max: 9_000,
        };
        self.apply(self.user_id, op.into());
    }

    fn start(&mut self, key: u8, settings: Settings) {
        let touches: Arc<Touches> = Arc::default();
        let search = Search::new(self.store.clone(), &[key; 32], settings, self.metrics.clone());
        let running = search.start(touches.clone()).unwrap();
        self.index = Some((search, touches, running));
    }

    fn settings() -> Settings {
        Settings {
            fresh_count: 20,
            fresh_age: Duration::from_millis(300),
            walk_count: 50,
            ..Settings::new(1 << 26)
        }
    }

    /// What the index has for a word, newest first; `None` as long as it is not complete.
    fn ids(&self, word: &str) -> Option<Vec<MessageId>> {
        let (search, ..) = self.index.as_ref().unwrap();
        let look = search.look();
        if !look.is_complete() {
            return None;
        }
        let mut common = look.common(look.place(self.server_id.0), &[Term::Word(word)]).unwrap();
        let (mut ids, mut id) = (Vec::new(), u64::MAX);
        loop {
            match common.at_most(id, 10).unwrap() {
                Next::Found(posting) => {
                    assert_eq!(posting.mark, mark(self.channel_id));
                    ids.push(MessageId(posting.id));
                    id = posting.id - 1;
                }
                Next::NotAbove(below) => id = below,
                Next::End => return Some(ids),
            }
        }
    }

    #[track_caller]
    fn expect(&self, word: &str, want: &[MessageId]) {
        let until = Instant::now() + PATIENCE;
        let want: Vec<MessageId> = want.iter().rev().copied().collect();
        let mut got = self.ids(word);
        while got.as_ref() != Some(&want) {
            assert!(Instant::now() < until, "{word}: {}", difference(got.as_deref(), &want));
            std::thread::sleep(Duration::from_millis(2));
            got = self.ids(word);
        }
    }

    /// Ends the threads, and nothing is written any more, as a kill would.
    fn kill(&mut self) {
        let (search, touches, running) = self.index.take().unwrap();
        search.killed.store(true, Ordering::Release);
        touches.nudge();
        drop(running);
    }
}

fn difference(got: Option<&[MessageId]>, want: &[MessageId]) -> String {
    let Some(got) = got else { return "it is not complete".into() };
    let missing: Vec<_> = want.iter().filter(|id| !got.contains(id)).take(5).collect();
    format!("{} are found, {} are wanted, {missing:?} are missing", got.len(), want.len())
}

#[test]
fn messages_are_found_at_once_and_after_a_start() {
    let mut world = World::new();
    let old = world.say("an old word");
    world.start(7, World::settings());
    world.expect("word", &[old]);
    let new = world.say("a new word");
    world.expect("word", &[old, new]);
    world.edit(old, "changed to other things");
    world.expect("things", &[old]);
    // The old text stays in the index: who is found is looked at.
    world.expect("word", &[old, new]);
    let mut all = vec![old, new];
    all.extend((0..100).map(|number| world.say(&format!("word {number}"))));
    world.expect("word", &all);
    assert!(world.folder.path().join(FOLDER).exists());
    world.index = None;
    world.start(7, World::settings());
    world.expect("word", &all);
    assert_eq!(world.metrics.rebuilds.value(), 1, "only the first start has made it");
}

#[test]
fn what_was_missed_is_caught_up_with() {
    let mut world = World::new();
    let first = world.say("word one");
    world.start(7, World::settings());
    world.expect("word", &[first]);
    world.kill();
    let second = world.say("word two");
    world.edit(first, "word first");
    world.start(7, World::settings());
    world.expect("first", &[first]);
    world.expect("word", &[first, second]);
    let third = world.say("word three");
    world.expect("word", &[first, second, third]);
    world.kill();
    world.start(7, World::settings());
    world.expect("word", &[first, second, third]);
    assert_eq!(world.metrics.rebuilds.value(), 1);
}

#[test]
fn an_index_that_does_not_fit_is_made_anew() {
    let mut world = World::new();
    let all: Vec<MessageId> = (0..200).map(|number| world.say(&format!("word {number}"))).collect();
    world.start(7, World::settings());
    world.expect("word", &all);
    world.expect("117", &[all[117]]);
    // Another key, as of another server.
    world.index = None;
    world.start(8, World::settings());
    world.expect("word", &all);
    assert_eq!(world.metrics.rebuilds.value(), 2);
    // Asked for, while it is used.
    world.index.as_ref().unwrap().0.renew("somebody wants it");
    let until = Instant::now() + PATIENCE;
    while world.metrics.rebuilds.value() < 3 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    world.expect("word", &all);
    // Damaged in whatever way.
    let data = world.folder.path().join(FOLDER).join("data.mdb");
    let mut random = fastrand::Rng::with_seed(4);
    for round in 0..6 {
        world.index = None;
        let mut bytes = std::fs::read(&data).unwrap();
        match round % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.iter_mut().for_each(|byte| *byte ^= random.u8(..)),
            _ => bytes.clear(),
        }
        std::fs::write(&data, bytes).unwrap();
        world.start(8, World::settings());
        world.expect("word", &all);
        assert_eq!(world.metrics.rebuilds.value(), 4 + round);
    }
}

#[test]
fn a_store_that_has_gone_back_has_its_index_made_anew() {
    let mut world = World::new();
    let first = world.say("word one");
    let (elsewhere, data) = (tempfile::tempdir().unwrap(), world.folder.path().join("data.mdb"));
    let copy = elsewhere.path().join("copy");
    world.store.backup(&copy).unwrap();
    let second = world.say("word two");
    world.start(7, World::settings());
    world.expect("word", &[first, second]);
    world.index = None;
    world.store = open(&elsewhere.path().join("other"));
    std::fs::copy(copy.join("data.mdb"), &data).unwrap();
    world.store = open(world.folder.path());
    world.start(7, World::settings());
    world.expect("word", &[first]);
    assert_eq!(world.metrics.rebuilds.value(), 2);
}

#[test]
fn a_walk_may_be_killed_at_any_moment() {
    let mut world = World::new();
    let mut all: Vec<MessageId> = (0..600).map(|number| world.say(&format!("word {number}"))).collect();
    for round in 0..12 {
        world.start(7, World::settings());
        std::thread::sleep(Duration::from_millis(3 * round));
        all.push(world.say("word while it is made"));
        world.kill();
    }
    world.start(7, World::settings());
    world.expect("word", &all);
}
