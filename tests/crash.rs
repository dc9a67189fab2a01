//! SIGKILL under load, restart on the same folder, again and again: what was acknowledged is there, once and in
//! order, and nothing is there by halves. Posters and makers of accounts look closely at what they make; mixers change
//! everything that can be changed.
//!
//! `CRASH_KILLS` sets the number of kills, `CRASH_PAUSE_MS` the longest time from start to kill, `CRASH_SEED` repeats
//! the choices of a run.

#[path = "support/line.rs"]
mod line;
#[path = "crash/mix.rs"]
mod mix;
mod support;
#[path = "crash/uploads.rs"]
mod uploads;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use line::Line;
use mix::Mixer;
use plexichat::store::blobs::{BLOBS_FOLDER, SHELF_COUNT};
use plexichat::store::tables::BLOBS;
use plexichat::store::{Options, Store, Sync};
use support::provider::Provider;
use support::{PASSWORD, Server, Sink, Value, json};

const POSTERS: usize = 4;
const MAKERS: usize = 2;
const MIXERS: usize = 2;
const KILLS: usize = 50;
/// A whole pass over all messages every so many kills; in between only what is new is read.
const WHOLE_EVERY: usize = 10;

/// What a message must be after the restart.
#[derive(Clone, Debug)]
struct Expected {
    /// `None`: it was deleted.
    content: Option<String>,
    /// The change that was under way when the server died: it may have happened.
    perhaps: Option<Option<String>>,
}

/// An account and what it has made, as far as that was acknowledged.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    token: Option<String>,
    server: Option<String>,
    channel: Option<String>,
}

/// What one thread had acknowledged.
#[derive(Default)]
struct Log {
    messages: BTreeMap<u64, Expected>,
    /// Contents whose acknowledgement did not come.
    unknown: Vec<String>,
    made: Vec<Made>,
    acknowledged: usize,
}

/// The place where the posters post.
#[derive(Clone)]
struct World {
    token: String,
    channels: [String; 2],
}

/// Where the mail of all servers goes.
static MAIL: LazyLock<Sink> = LazyLock::new(Sink::start);

/// Where people sign in elsewhere.
static PROVIDER: LazyLock<Provider> = LazyLock::new(Provider::start);

fn start(folder: &Path) -> Server {
    let mut options = [MAIL.options(), PROVIDER.options(&["google"])].concat();
    options.push("admin_ui.require_otp=false".to_owned());
    // A kill leaves some open.
    options.push("oauth.max_states_per_ip=1000".into());
    options.push("media.deduplication.auto_block_threshold=2".into());
    options.push("media.rate_limit.enabled=false".into());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Server::start_in(folder, &options)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn id(value: &Value) -> u64 {
    value["id"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no id in {value}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let kills = number("CRASH_KILLS", KILLS as u64) as usize;
    let seed = number("CRASH_SEED", fastrand::u64(..));
    let pause_ms = number("CRASH_PAUSE_MS", 300).max(20);
    println!("CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = support::temporary_folder();
    let mut server = start(folder.path());
    let world = prepare(&server);
    let mut mixers: Vec<Mixer> = (0..MIXERS).map(|n| Mixer::new(&server, &format!("mix{n}"))).collect();
    // From here on the gate is closed.
    let said = server.operate(&json!({"do": "access_token_create"})).expect("it is made");
    line::ACCESS.set(said.lines().last().expect("a token").to_owned()).expect("the first");
    let mut known: [BTreeMap<u64, Expected>; 2] = Default::default();
    let (mut acknowledged, mut accounts) = (0, 0);
    for kill in 1..=kills {
        let pause = Duration::from_millis(random.u64(20..=pause_ms));
        let logs = load(&mut server, &world, &mut mixers, kill, pause, random.u64(..));
        server = start(folder.path());
        acknowledged += logs.iter().map(|log| log.acknowledged).sum::<usize>();
        let whole = kill % WHOLE_EVERY == 0 || kill == kills;
        for (index, known) in known.iter_mut().enumerate() {
            let before = known.last_key_value().map_or(0, |(id, _)| *id);
            let unknown = take_over(known, &logs, index);
            let from = if whole { 0 } else { before };
            check_messages(server.address(), &world, index, known, from, &unknown);
        }
        mixers.iter_mut().for_each(|mixer| mixer.check(server.address(), whole));
        for made in logs.iter().flat_map(|log| &log.made) {
            check_account(server.address(), made);
            accounts += 1;
        }
        check_new_ids(server.address(), &world, &mut known);
    }
    let mixed = mixers.iter().map(|mixer| mixer.acknowledged).sum::<usize>();
    let kinds: BTreeSet<&str> = mixers.iter().flat_map(|mixer| mixer.kinds.iter().copied()).collect();
    println!(
        "{kills} kills, {acknowledged} acknowledged, {accounts} accounts, {mixed} changes of {} kinds, 0 lost",
        kinds.len()
    );
    // Actions are drawn alike, so a hundred times as many changes as actions leave none out by chance.
    let missing: Vec<&&str> = mix::KINDS.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(mixed < 100 * mix::ACTIONS.len() || missing.is_empty(), "never changed: {missing:?}");
    assert!(acknowledged > kills, "there was hardly any load");
    assert_eq!(server.stop().code(), Some(0));
    check_files(folder.path());
}

/// Each file that a record names is there and whole; what a kill has left beside them is collected once it is old.
fn check_files(folder: &Path) {
    let verified = plexichat::store::verify(folder).expect("a store");
    assert!(verified.is_sound(), "{verified}");
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3_600);
    let shelves = || std::fs::read_dir(folder.join(BLOBS_FOLDER)).expect("uploads").flatten();
    let shelves = || shelves().filter(|shelf| shelf.file_name().len() == 2);
    let files = || shelves().flat_map(|shelf| std::fs::read_dir(shelf.path()).expect("a shelf").flatten());
    for file in files() {
        let file = std::fs::File::options().write(true).open(file.path()).expect("it is ours");
        file.set_modified(hour_ago).expect("it is ours");
    }
    let options = Options { path: folder.to_owned(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("the store");
    let (snapshot, before) = (store.snapshot(), files().count());
    let is_named = |hash: &[u8; 32]| snapshot.read().contains(BLOBS, *hash);
    for shelf in 0..SHELF_COUNT {
        store.blobs().collect(shelf, &is_named).expect("a shelf");
    }
    let (named, left) = (snapshot.read().len(BLOBS) as usize, files().count());
    println!("{named} files are named, {} were left over", before - left);
    assert_eq!(left, named, "no file without an owner, and none twice");
}

fn prepare(server: &Server) -> World {
    let owner = server.register("owner");
    let mut line = Line::open(server.address()).unwrap();
    let made = line.post("/servers", &owner.token, &json!({"name": "crash"})).unwrap().want(200);
    let body = json!({"name": "second", "channel_type": "text"});
    let second = line.post(&format!("/servers/{}/channels", text(&made["id"])), &owner.token, &body);
    let channels = [text(&made["default_channel_id"]), text(&second.unwrap().want(200)["id"])];
    World { token: owner.token, channels }
}

/// Lets all threads work until the server is killed after `pause`.
fn load(
    server: &mut Server,
    world: &World,
    mixers: &mut Vec<Mixer>,
    kill: usize,
    pause: Duration,
    seed: u64,
) -> Vec<Log> {
    let address = server.address();
    let mut threads = Vec::new();
    for worker in 0..POSTERS {
        let world = world.clone();
        let mut random = fastrand::Rng::with_seed(seed ^ worker as u64);
        threads.push(std::thread::spawn(move || {
            let mut log = Log::default();
            let ended = post(address, &world, kill, worker, &mut random, &mut log);
            assert!(ended.is_err(), "posters go on until the server is gone");
            log
        }));
    }
    for worker in 0..MAKERS {
        threads.push(std::thread::spawn(move || {
            let mut log = Log::default();
            let ended = make(address, kill, worker, &mut log);
            assert!(ended.is_err(), "makers go on until the server is gone");
            log
        }));
    }
    let mixing: Vec<_> = (0..)
        .zip(mixers.drain(..))
        .map(|(worker, mut mixer)| {
            let mut random = fastrand::Rng::with_seed(seed ^ (worker + 1) << 32);
            std::thread::spawn(move || {
                let ended = mixer.run(address, &mut random);
                assert!(ended.is_err(), "mixers go on until the server is gone");
                mixer
            })
        })
        .collect();
    std::thread::sleep(pause);
    server.kill();
    mixers.extend(mixing.into_iter().map(|thread| thread.join().expect("no wrong answer")));
    threads.into_iter().map(|thread| thread.join().expect("no wrong answer")).collect()
}

/// Posts, and now and then edits or deletes one of its own, until the connection is lost.
fn post(
    address: SocketAddr,
    world: &World,
    kill: usize,
    worker: usize,
    random: &mut fastrand::Rng,
    log: &mut Log,
) -> Result<(), String> {
    let mut line = Line::open(address)?;
    let channel = &world.channels[worker % 2];
    let messages = format!("/channels/{channel}/messages");
    for count in 0.. {
        let len_max = if random.u8(..8) == 0 { 2_000 } else { 60 };
        let filler = "·".repeat(random.usize(..len_max));
        let content = format!("{kill}-{worker}-{count} {filler}");
        log.unknown.push(content.clone());
        let posted = line.post(&messages, &world.token, &json!({"content": content}))?.want(200);
        log.unknown.pop();
        assert_eq!(posted["content"], content.as_str());
        let posted = id(&posted);
        if let Some((last, _)) = log.messages.last_key_value() {
            assert!(*last < posted, "ids ascend");
        }
        log.messages.insert(posted, Expected { content: Some(content.clone()), perhaps: None });
        log.acknowledged += 1;
        let changed = match random.u8(..8) {
            0 => None,
            1 => Some(format!("{content} edited")),
            _ => continue,
        };
        let path = format!("{messages}/{posted}");
        let expected = log.messages.get_mut(&posted).expect("just inserted");
        expected.perhaps = Some(changed.clone());
        match &changed {
            Some(content) => {
                line.call("PATCH", &path, Some(&world.token), Some(&json!({"content": content})))?
            }
            None => line.call("DELETE", &path, Some(&world.token), None)?,
        }
        .want(200);
        *expected = Expected { content: changed, perhaps: None };
        log.acknowledged += 1;
    }
    unreachable!("counting does not end")
}

/// Registers accounts that make a server with a channel.
fn make(address: SocketAddr, kill: usize, worker: usize, log: &mut Log) -> Result<(), String> {
    let mut line = Line::open(address)?;
    for count in 0.. {
        let name = format!("user_{kill}_{worker}_{count}");
        log.made.push(Made { name: name.clone(), token: None, server: None, channel: None });
        let made = log.made.last_mut().expect("just pushed");
        let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
        let answer = line.call("POST", "/auth/register", None, Some(&body))?.want(200);
        let token = made.token.insert(text(&answer["token"])).clone();
        let answer = line.post("/servers", &token, &json!({"name": name}))?.want(200);
        let server = made.server.insert(text(&answer["id"])).clone();
        let body = json!({"name": "more", "channel_type": "text"});
        let answer = line.post(&format!("/servers/{server}/channels"), &token, &body)?.want(200);
        made.channel = Some(text(&answer["id"]));
        log.acknowledged += 3;
    }
    unreachable!("counting does not end")
}

/// Adds what the posters of a channel know; returns contents that may be there or not.
fn take_over(known: &mut BTreeMap<u64, Expected>, logs: &[Log], channel: usize) -> HashSet<String> {
    let mut unknown = HashSet::new();
    for log in logs[..POSTERS].iter().skip(channel).step_by(2) {
        known.extend(log.messages.iter().map(|(id, expected)| (*id, expected.clone())));
        unknown.extend(log.unknown.iter().cloned());
    }
    unknown
}

/// Reads the channel from `from` on and compares; what turns out to have happened becomes known.
fn check_messages(
    address: SocketAddr,
    world: &World,
    channel: usize,
    known: &mut BTreeMap<u64, Expected>,
    from: u64,
    unknown: &HashSet<String>,
) {
    let mut line = Line::open(address).unwrap();
    let mut last = from;
    let mut found: HashMap<u64, String> = HashMap::new();
    loop {
        let path = format!("/channels/{}/messages?limit=100&after={last}", world.channels[channel]);
        let page = line.get(&path, &world.token).unwrap().want(200);
        let page = page.as_array().expect("a list");
        for message in page {
            let id = id(message);
            assert!(id > last, "{id} does not follow {last}");
            last = id;
            found.insert(id, text(&message["content"]));
        }
        if page.len() < 100 {
            break;
        }
    }
    let contents: HashSet<&String> = found.values().collect();
    assert_eq!(contents.len(), found.len(), "every content is there once");
    for (id, expected) in known.range_mut(from + 1..) {
        let content = found.remove(id);
        let as_acknowledged = content == expected.content;
        let as_under_way = expected.perhaps.as_ref() == Some(&content);
        assert!(as_acknowledged || as_under_way, "{id}: {content:?} instead of {expected:?}");
        *expected = Expected { content, perhaps: None };
    }
    for (id, content) in found {
        assert!(unknown.contains(&content), "nobody has posted {id}: {content:?}");
        known.insert(id, Expected { content: Some(content), perhaps: None });
    }
}

/// An account is whole or not there, and so is everything it has made.
fn check_account(address: SocketAddr, made: &Made) {
    let mut line = Line::open(address).unwrap();
    let body = json!({"username": made.name, "password": PASSWORD});
    let login = line.call("POST", "/auth/login", None, Some(&body)).unwrap();
    if login.status == 401 && made.token.is_none() {
        let (name, email) = (&made.name, format!("{}@example.org", made.name));
        let body = json!({"username": name, "email": email, "password": PASSWORD});
        line.call("POST", "/auth/register", None, Some(&body)).unwrap().want(200);
        return;
    }
    let token = text(&login.want(200)["token"]);
    if let Some(first) = &made.token {
        assert_eq!(line.get("/users/@me", first).unwrap().want(200)["username"], made.name.as_str());
    }
    let servers = line.get("/servers", &token).unwrap().want(200);
    let servers = servers.as_array().expect("a list");
    assert!(servers.len() <= 1, "{servers:?}");
    if let Some(server) = &made.server {
        assert_eq!(servers.first().map(|one| &one["id"]), Some(&json!(server)), "{made:?}");
    }
    let Some(server) = servers.first() else { return };
    let path = format!("/servers/{}", text(&server["id"]));
    let mut list = |what: &str| line.get(&format!("{path}/{what}"), &token).unwrap().want(200);
    let (roles, members, channels) = (list("roles"), list("members"), list("channels"));
    assert_eq!((&roles[0]["name"], &roles[0]["is_default"]), (&json!("@everyone"), &json!(true)));
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
    let channels = channels.as_array().expect("a list");
    assert_eq!(channels.first().map(|one| &one["id"]), Some(&server["default_channel_id"]));
    assert!(channels.len() <= 2, "{channels:?}");
    if let Some(channel) = &made.channel {
        assert_eq!(channels.get(1).map(|one| &one["id"]), Some(&json!(channel)), "{made:?}");
    }
}

/// What is new is greater than everything before.
fn check_new_ids(address: SocketAddr, world: &World, known: &mut [BTreeMap<u64, Expected>; 2]) {
    let mut line = Line::open(address).unwrap();
    let greatest = known.iter().filter_map(|known| known.last_key_value()).map(|(id, _)| *id).max();
    for (channel, known) in world.channels.iter().zip(known) {
        let content = format!("after {greatest:?} {:?}", Instant::now());
        let path = format!("/channels/{channel}/messages");
        let posted = line.post(&path, &world.token, &json!({"content": content})).unwrap().want(200);
        assert!(Some(id(&posted)) > greatest, "{posted} does not follow {greatest:?}");
        known.insert(id(&posted), Expected { content: Some(content), perhaps: None });
    }
}
