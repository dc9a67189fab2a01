//! SIGKILL while the server carries out what changes have left to do: it is done to the end, once, and nothing else.

#[path = "support/account.rs"]
mod account;
mod support;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use account::{SECRET, register};
use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::chat::poll::{NewPoll, PollPost};
use plexichat::domain::community::invite::{InviteCreate, InviteUse};
use plexichat::domain::community::server::ServerCreate;
use plexichat::domain::{Command, Machine, Now, Op, Reply};
use plexichat::id::{ChannelId, ServerId, UserId};
use plexichat::store::blobs::{Blobs as _, Folder};
use plexichat::store::hex;
use plexichat::store::tables::{NOTICES, NOTIFICATIONS, NOTIFIED, OUTBOX, POLLS, ROWS, SERVERS};
use plexichat::store::{Options, Store, Sync};
use support::{Http, PATIENCE, Server, Value, json};

/// A store that is made without a server.
struct Seed {
    store: Store,
    now: Now,
}

/// A server of the contract, and its members with their tokens. The first owns it.
struct Place {
    server: ServerId,
    channel: ChannelId,
    members: Vec<(UserId, String)>,
}

impl Seed {
    fn new(folder: &Path) -> Seed {
        let options = Options { path: folder.into(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Seed { store: Store::open(&options).unwrap(), now: Now::at(now.as_millis() as u64) }
    }

    /// Applies commands, as many in one transaction as it has room for.
    fn apply(&self, commands: impl IntoIterator<Item = (UserId, Op)>) -> Vec<Reply> {
        let (mut commands, mut replies) = (commands.into_iter().peekable(), Vec::new());
        while commands.peek().is_some() {
            replies.extend(self.apply_together(commands.by_ref().take(5_000)));
        }
        replies
    }

    fn apply_together(&self, commands: impl Iterator<Item = (UserId, Op)>) -> Vec<Reply> {
        let mut tx = self.store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, self.now, 0);
        let apply = |(actor, op)| machine.apply(&Command::new(actor, op)).expect("a valid command");
        let replies = commands.map(apply).collect();
        drop(machine.finish());
        tx.commit().unwrap();
        replies
    }

    fn place(&self, member_count: usize) -> Place {
        let replies =
            self.apply((0..member_count).map(|index| (UserId(0), register(&format!("user{index}")).into())));
        let members: Vec<_> = replies
            .into_iter()
            .map(|reply| match reply {
                Reply::Account(user_id, Some(token_id)) => (user_id, format!("{}.{SECRET}", token_id.0)),
                other => panic!("{other:?}"),
            })
            .collect();
        let owner = members[0].0;
        let create = ServerCreate { name: "Place".into(), description: None, server_count_max: 10 };
        let [Reply::Server(server)] = self.apply([(owner, create.into())])[..] else { panic!("a server") };
        let channel = {
            let snapshot = self.store.snapshot();
            let found = snapshot.read().get(SERVERS, server).unwrap();
            ChannelId::from(found.default_channel_id.as_ref().unwrap())
        };
        let code = "seed".to_string();
        let invite = InviteCreate {
            channel_id: channel,
            code: code.clone(),
            max_age: 0,
            max_uses: 0,
            temporary: false,
        };
        self.apply([(owner, invite.into())]);
        let join = |(user_id, _): &(UserId, String)| {
            (*user_id, InviteUse { code: code.clone(), server_count_max: 10 }.into())
        };
        self.apply(members[1..].iter().map(join));
        Place { server, channel, members }
    }
}

fn message(channel_id: ChannelId, content: &str) -> MessageCreate {
    let content = content.to_string();
    MessageCreate { channel_id, content, reply_to_id: None, embeds: String::new(), length_max: 4_000 }
}

fn says(channel_id: ChannelId, content: &str) -> Op {
    message(channel_id, content).into()
}

fn asks(channel_id: ChannelId, duration_ms: Option<u64>) -> Op {
    let poll = NewPoll {
        question: "Tea?".into(),
        options: vec!["yes".into(), "no".into()],
        duration_ms,
        allow_multiple_choice: false,
        results_visibility: 0,
    };
    PollPost { message: message(channel_id, ""), poll }.into()
}

fn get(http: &mut Http, path: &str, token: &str) -> Value {
    http.get(&format!("/api/v1{path}"), Some(token)).want(200)
}

/// Asks until the answer is as wanted.
fn until<T: PartialEq + std::fmt::Debug>(want: T, mut ask: impl FnMut() -> T) {
    let begun = Instant::now();
    loop {
        let got = ask();
        if got == want {
            return;
        }
        assert!(begun.elapsed() < 15 * PATIENCE, "{got:?} instead of {want:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the server again and kills it soon, a few times; then lets it live.
fn killed_again_and_again(folder: &Path, options: &[&str]) -> Server {
    for pause_ms in [0, 110, 125, 140] {
        let mut server = Server::start_in(folder, options);
        std::thread::sleep(Duration::from_millis(pause_ms));
        server.kill();
    }
    Server::start_in(folder, options)
}

#[test]
fn messages_of_a_banned_user_go_to_the_last_one_and_no_others() {
    const COUNT: usize = 6_000;
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let place = seed.place(3);
    let [(owner, token), (author, author_token), (reader, reader_token)] = &place.members[..] else {
        panic!("three")
    };
    let channel = place.channel;
    let write = (0..COUNT).map(|index| (*author, says(channel, &index.to_string())));
    seed.apply(write.chain([(*owner, says(channel, "mine")), (*reader, says(channel, "and mine"))]));
    drop(seed);
    let unread = format!("/channels/{channel}/messages/unread");
    let count = |http: &mut Http, token: &str| get(http, &unread, token)["unread_count"].as_u64().unwrap();

    let mut server = Server::start_in(folder.path(), &[]);
    let mut http = server.http();
    assert_eq!(count(&mut http, reader_token), COUNT as u64 + 1);
    let ban = format!("/api/v1/servers/{}/bans/{author}", place.server);
    http.call("PUT", &ban, Some(token), Some(&json!({"delete_message_days": 1}))).want(200);
    server.kill();

    let mut server = Server::start_in(folder.path(), &[]);
    let mut http = server.http();
    assert!(count(&mut http, reader_token) > 1, "killed before the end");
    // He comes back before all of them are gone; what he writes then stays.
    http.call("DELETE", &ban, Some(token), None).want(200);
    let invites = format!("/api/v1/channels/{channel}/invites");
    let code = http.post(&invites, Some(token), &json!({})).want(200)["code"].clone();
    let join = format!("/api/v1/channels/invites/{}", code.as_str().unwrap());
    http.call("POST", &join, Some(author_token), None).want(200);
    let messages = format!("/api/v1/channels/{channel}/messages");
    http.post(&messages, Some(author_token), &json!({"content": "back"})).want(200);
    server.kill();

    let server = killed_again_and_again(folder.path(), &[]);
    let mut http = server.http();
    until(2, || count(&mut http, reader_token));
    let left = get(&mut http, &format!("/channels/{channel}/messages"), reader_token);
    let left: Vec<_> = left.as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(left, ["back", "and mine", "mine"]);
}

const EVERYONE_COUNT: usize = 2_000;

/// `@everyone`, killed on the way; somebody leaves meanwhile. Returns the server at the end, for its log.
fn everyone_is_told(member_count: usize, options: &[&str]) -> Server {
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let place = seed.place(member_count);
    drop(seed);
    let token = |index: usize| place.members[index].1.as_str();
    let told = |http: &mut Http, index: usize| {
        get(http, "/users/@me/notifications", token(index))["unread_count"].as_u64().unwrap()
    };
    let last = member_count - 1;

    let mut server = Server::start_in(folder.path(), options);
    let mut http = server.http();
    let messages = format!("/api/v1/channels/{}/messages", place.channel);
    let body = json!({"content": "@everyone, listen"});
    let message = http.post(&messages, Some(token(0)), &body).want(200)["id"].clone();
    assert_eq!((told(&mut http, 1), told(&mut http, last)), (1, 0), "some at once, others later");
    // Who has been told keeps it when he leaves, and is not told again when he comes back.
    let leave = format!("/api/v1/servers/{}/leave", place.server);
    http.call("POST", &leave, Some(token(1)), None).want(200);
    assert_eq!(told(&mut http, 1), 1);
    http.call("POST", "/api/v1/channels/invites/seed", Some(token(1)), None).want(200);
    server.kill();

    let server = killed_again_and_again(folder.path(), options);
    let mut http = server.http();
    until(1, || told(&mut http, last));
    let mut counts = (1..member_count).step_by(member_count / 500).map(|index| told(&mut http, index));
    assert!(counts.all(|count| count == 1), "everyone, once");
    assert_eq!(told(&mut http, 0), 0, "but for the author");
    let ids = get(&mut http, "/users/@me/notifications", token(last))["notifications"][0]["id"].clone();
    assert_eq!(ids, message);

    // One row for each, and nothing left to do.
    let mut server = server;
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let store = Seed::new(folder.path()).store;
    let snapshot = store.snapshot();
    let read = snapshot.read();
    let rows = [read.len(NOTIFICATIONS), read.len(NOTIFIED), read.len(NOTICES), read.len(OUTBOX)];
    assert_eq!(rows, [last as u64, last as u64, 1, 0]);
    server
}

#[test]
fn everyone_is_told_once_however_often_the_server_is_killed() {
    everyone_is_told(EVERYONE_COUNT, &[]);
}

#[test]
#[ignore = "minutes"]
fn a_hundred_thousand_are_told_and_no_core_is_held_up() {
    let server = everyone_is_told(100_000, &["logging.slow_turn_ms=5"]);
    // A turn in which other programs had the processor says nothing.
    let held_up = |line: &&str| line.contains("slow turn") && line.contains(" preemptions=0 ");
    let slow: Vec<String> = server.log().lines().filter(held_up).map(str::to_owned).collect();
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

/// What an older version wrote is sealed, then under a new key, then not any more.
#[test]
fn everything_lies_as_wanted_however_often_the_server_is_killed() {
    const COUNT: usize = 20_000;
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let place = seed.place(1);
    let [(owner, token)] = &place.members[..] else { panic!("one") };
    seed.apply((0..COUNT).map(|index| (*owner, says(place.channel, &format!("said {index}")))));
    drop(seed);
    let lie_as = |want: Option<u8>| {
        let store = Seed::new(folder.path()).store;
        let snapshot = store.snapshot();
        let messages = ROWS.iter().position(|row| row.name == "messages").unwrap();
        let how = |value: &[u8]| (value[0] == 0xff).then(|| value[5]);
        let mut count = 0;
        for (_, value) in snapshot.read().raw(messages) {
            assert_eq!(how(value), want);
            count += 1;
        }
        assert_eq!((count, snapshot.read().len(OUTBOX)), (COUNT, 0));
    };
    let to_the_end = |options: &[&str], is_begun: bool| {
        let mut server = Server::start_in(folder.path(), options);
        if !is_begun {
            assert!(server.operate(&json!({"do": "keys_rotate"})).unwrap().starts_with("Key 2 is in use"));
        }
        server.kill();
        let server = killed_again_and_again(folder.path(), options);
        let list = || server.operate(&json!({"do": "keys_list"})).unwrap();
        let mut http = server.http();
        let page = get(&mut http, &format!("/channels/{}/messages?limit=1", place.channel), token);
        assert_eq!(page[0]["content"], format!("said {}", COUNT - 1), "whatever it lies as");
        until(true, || list().contains("Everything lies as it should"));
        let messages = format!("/channels/{}/messages", place.channel);
        let oldest = get(&mut http, &format!("{messages}?limit=1&after=1"), token);
        assert_eq!(oldest[0]["content"], "said 0");
        assert_eq!(server.stop().code(), Some(0));
    };
    lie_as(None);
    to_the_end(&[], true);
    lie_as(Some(1));
    to_the_end(&[], false);
    lie_as(Some(2));
    to_the_end(&["messaging.encrypt_messages=false"], true);
    lie_as(None);
}

/// A key of its own is in each; that is sealed by the server's.
#[test]
fn files_follow_a_new_key_however_often_the_server_is_killed() {
    const COUNT: u32 = 500;
    /// Where the number of the key stands by which that of the file is sealed, twice.
    const NUMBERS_AT: [usize; 2] = [17, 17 + 61];
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let keys = seed.store.unlock(true).unwrap();
    let blobs = Folder::with_keys(folder.path(), keys, true);
    let files: Vec<_> = (0..COUNT).map(|index| blobs.put(&mut &index.to_le_bytes()[..]).unwrap()).collect();
    drop(seed);
    let lie_under = |number: u8| {
        for hash in &files {
            let name = hex::encode(hash);
            let bytes = std::fs::read(folder.path().join("blobs").join(&name[..2]).join(&name[2..])).unwrap();
            assert_eq!(NUMBERS_AT.map(|at| bytes[at]), [number; 2]);
        }
    };
    lie_under(1);
    let mut server = Server::start_in(folder.path(), &[]);
    assert!(server.operate(&json!({"do": "keys_rotate"})).unwrap().starts_with("Key 2 is in use"));
    server.kill();
    let server = killed_again_and_again(folder.path(), &[]);
    until(true, || {
        server.operate(&json!({"do": "keys_list"})).unwrap().contains("Everything lies as it should")
    });
    assert_eq!(server.stop().code(), Some(0));
    lie_under(2);
    let keys = Seed::new(folder.path()).store.unlock(true).unwrap();
    let blobs = Folder::with_keys(folder.path(), keys, true);
    for (index, hash) in files.iter().enumerate() {
        let mut content = [0; 4];
        blobs.open(hash).unwrap().read_exact_at(&mut content, 0).unwrap();
        assert_eq!(u32::from_le_bytes(content), index as u32);
    }
}

/// One ends while no server runs, one later, one never.
#[test]
fn polls_end_on_time_whoever_runs_then() {
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let place = seed.place(2);
    let (owner, token) = &place.members[0];
    let ends = [Some(1), Some(3_000), None];
    seed.apply(ends.map(|duration_ms| (*owner, asks(place.channel, duration_ms))));
    drop(seed);
    let path = format!("/channels/{}/messages", place.channel);
    let polls = |http: &mut Http| {
        let page = get(http, &path, token);
        let mut polls: Vec<Value> =
            page.as_array().unwrap().iter().map(|message| message["poll"].clone()).collect();
        polls.reverse();
        polls
    };
    let ended = |http: &mut Http| polls(http).iter().map(|poll| poll["is_ended"] == true).collect::<Vec<_>>();
    // The store is looked into below, without its keys.
    let server = killed_again_and_again(folder.path(), &["messaging.encrypt_messages=false"]);
    let mut http = server.http();
    until(vec![true, true, false], || ended(&mut http));
    for poll in &polls(&mut http)[..2] {
        assert_eq!(poll["ended_at"], poll["ends_at"], "not when somebody looked");
    }
    // And it is told: the state says so by itself, whoever asks when.
    let mut server = server;
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let store = Seed::new(folder.path()).store;
    let snapshot = store.snapshot();
    let ended = snapshot.read().scan(POLLS, ()).map(|(_, poll)| poll.ended_at.is_some());
    assert!(ended.eq([true, true, false]));
    assert_eq!(snapshot.read().len(OUTBOX), 0);
}

/// Ten thousand votes in ten seconds before a thousand viewers.
#[test]
#[ignore = "half a minute, with a thousand sessions"]
fn a_storm_of_votes_reaches_viewers_as_a_trickle() {
    const VIEWERS: usize = 1_000;
    const VOTES: u32 = 10_000;
    const SPAN: Duration = Duration::from_secs(10);
    const LINES: usize = 10;
    let folder = support::temporary_folder();
    let seed = Seed::new(folder.path());
    let place = seed.place(VIEWERS);
    seed.apply([(place.members[0].0, asks(place.channel, None))]);
    drop(seed);
    let options = [
        "rate_limiting.enabled=false",
        "websocket.identify_per_ip_per_minute=0",
        "websocket.ping_interval_ms=0",
    ];
    let server = Server::start_in(folder.path(), &options);
    let page = get(&mut server.http(), &format!("/channels/{}/messages", place.channel), &place.members[0].1);
    let poll = page[0]["poll"].clone();
    let vote = format!("/api/v1/polls/{}/vote", poll["id"].as_str().unwrap());
    let mut viewers: Vec<_> = place
        .members
        .iter()
        .map(|(_, token)| {
            let mut viewer = server.gateway();
            viewer.identify(token);
            viewer
        })
        .collect();

    let mut watcher = viewers.pop().unwrap();
    let begun = Instant::now();
    let is_last = |event: &Value| event["poll_results"]["options"][1]["vote_count"] == VIEWERS;
    let seen = std::thread::scope(|scope| {
        for line in 0..LINES {
            let (members, vote, poll, server) = (&place.members, &vote, &poll, &server);
            scope.spawn(move || {
                let mut http = server.http();
                let count = VOTES / LINES as u32;
                for index in 0..count {
                    std::thread::sleep((SPAN * index / count).saturating_sub(begun.elapsed()));
                    // The last of each votes for the second option.
                    let voter = (line + index as usize * LINES) % VIEWERS;
                    let option =
                        usize::from(index as usize + VIEWERS / LINES >= count as usize || index % 3 == 0);
                    let body = json!({"option_ids": [poll["options"][option]["id"]]});
                    http.post(vote, Some(&members[voter].1), &body).want(200);
                }
            });
        }
        let mut seen = Vec::new();
        loop {
            let event = watcher.event("MESSAGE_UPDATE");
            seen.push(begun.elapsed());
            if is_last(&event) {
                return seen;
            }
        }
    });
    let second = Duration::from_secs(1);
    let in_a_second =
        |from: &Duration| seen.iter().filter(|at| (*from..*from + second).contains(*at)).count();
    let most = seen.iter().map(in_a_second).max().unwrap();
    println!(
        "{VOTES} votes: {} events in {:?}, at most {most} in a second",
        seen.len(),
        seen.last().unwrap()
    );
    assert!(most <= 4, "{seen:?}");
    for mut viewer in viewers {
        let mut count = 1;
        while !is_last(&viewer.event("MESSAGE_UPDATE")) {
            count += 1;
        }
        assert_eq!(count, seen.len(), "everybody is told the same");
    }
}
