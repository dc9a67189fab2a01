//! The index of a real server: killed at any moment, made anew, damaged, of another store. What is in the store is found,
//! and the server serves meanwhile.
//!
//! `SEARCH_KILLS` sets the number of kills.

#[path = "support/line.rs"]
mod line;
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use line::Line;
use support::{Http, Server, Value, json, temporary_folder};

const PATIENCE: Duration = Duration::from_secs(30);

fn start(folder: &Path) -> Server {
    Server::start_in(folder, &["search.write_interval_ms=100"])
}

struct World {
    token: String,
    channel: String,
}

fn world(server: &Server) -> World {
    let token = server.register("ada").token;
    let mut http = server.http();
    let made = http.post("/api/v1/servers", Some(&token), &json!({"name": "Index"})).want(200);
    let id = made["id"].as_str().expect("an id").to_owned();
    let channels = http.get(&format!("/api/v1/servers/{id}/channels"), Some(&token)).want(200);
    World { token, channel: channels[0]["id"].as_str().expect("an id").to_owned() }
}

fn say(http: &mut Http, world: &World, content: &str) -> String {
    let path = format!("/api/v1/channels/{}/messages", world.channel);
    let said = http.post(&path, Some(&world.token), &json!({"content": content})).want(200);
    said["id"].as_str().expect("an id").to_owned()
}

fn ids(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array().expect("a list").iter().map(|item| item["id"].as_str().expect("an id").to_owned())
}

/// All that is found for a word.
fn found(http: &mut Http, world: &World, word: &str) -> BTreeSet<String> {
    let (mut all, mut next) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/api/v1/search/messages?query={word}&limit=100{next}");
        let page = http.get(&path, Some(&world.token)).want(200);
        all.extend(ids(&page["results"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
    }
}

/// All that is there.
fn listed(http: &mut Http, world: &World) -> BTreeSet<String> {
    let (mut all, mut before) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/api/v1/channels/{}/messages?limit=100{before}", world.channel);
        let page = http.get(&path, Some(&world.token)).want(200);
        let Some(last) = ids(&page).last() else { return all };
        all.extend(ids(&page));
        before = format!("&before={last}");
    }
}

#[track_caller]
fn expect(http: &mut Http, world: &World, word: &str, want: &BTreeSet<String>) {
    let until = Instant::now() + PATIENCE;
    loop {
        let got = found(http, world, word);
        if got == *want {
            return;
        }
        let missing: Vec<_> = want.difference(&got).take(5).collect();
        let surplus: Vec<_> = got.difference(want).take(5).collect();
        assert!(
            Instant::now() < until,
            "{} of {}, without {missing:?}, with {surplus:?}",
            got.len(),
            want.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn post_until_it_dies(address: SocketAddr, world: &World, what: &str) {
    let Ok(mut line) = Line::open(address) else { return };
    let path = format!("/channels/{}/messages", world.channel);
    for number in 0.. {
        let body = json!({"content": format!("word {number} {what}")});
        if line.post(&path, &world.token, &body).is_err() {
            return;
        }
    }
}

#[test]
fn everything_is_found_after_a_kill_at_any_moment() {
    let kills = std::env::var("SEARCH_KILLS").map_or(20, |text| text.parse().expect("a number"));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = temporary_folder();
    let mut server = start(folder.path());
    let world = world(&server);
    for kill in 0..kills {
        let (pause, renews) = (Duration::from_millis(random.u64(5..400)), random.u8(..3) == 0);
        let address = server.address();
        std::thread::scope(|scope| {
            for poster in 0..2 {
                let world = &world;
                scope.spawn(move || post_until_it_dies(address, world, &format!("of {poster} in {kill}")));
            }
            std::thread::sleep(pause);
            if renews {
                server.operate(&json!({"do": "reindex"})).expect("it begins");
                std::thread::sleep(Duration::from_millis(random.u64(..30)));
            }
            server.kill();
        });
        server = start(folder.path());
        let mut http = server.http();
        let there = listed(&mut http, &world);
        assert!(!there.is_empty() || kill == 0, "nothing was said");
        expect(&mut http, &world, "word", &there);
    }
    assert!(server.stop().success());
}

#[test]
fn an_index_that_cannot_be_used_is_made_anew() {
    let folder = temporary_folder();
    let server = start(folder.path());
    let world = world(&server);
    let mut http = server.http();
    let mut all: BTreeSet<String> =
        (0..300).map(|number| say(&mut http, &world, &format!("word {number}"))).collect();
    expect(&mut http, &world, "word", &all);
    // Asked for while the server serves.
    let said = server.operate(&json!({"do": "reindex"})).expect("it begins");
    assert!(said.starts_with("The index of 300 messages is made anew"), "{said}");
    server.log_with("the index of messages is complete");
    expect(&mut http, &world, "word", &all);
    assert!(server.stop().success());
    let data = folder.path().join("search/data.mdb");
    let mut random = fastrand::Rng::with_seed(9);
    for round in 0..4 {
        let mut bytes = std::fs::read(&data).expect("the index");
        match round {
            0 => bytes.truncate(bytes.len() / 2),
            1 => (0..200).for_each(|_| {
                let at = random.usize(..bytes.len());
                bytes[at] ^= random.u8(1..);
            }),
            2 => bytes.fill(0xff),
            _ => bytes.clear(),
        }
        std::fs::write(&data, bytes).expect("it is written");
        let server = start(folder.path());
        let mut http = server.http();
        expect(&mut http, &world, "word", &all);
        all.insert(say(&mut http, &world, "word anew"));
        expect(&mut http, &world, "word", &all);
        assert!(server.stop().success());
    }
    // While no server runs.
    let said = support::command(folder.path()).arg("reindex").output().expect("it starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.starts_with("The index of 304 messages is made: "), "{said}");
    let server = start(folder.path());
    expect(&mut server.http(), &world, "word", &all);
    assert!(!server.log().contains("is made anew"), "it was there");
}

#[test]
fn an_index_is_of_its_store() {
    let (folder, copy) = (temporary_folder(), temporary_folder());
    let server = start(folder.path());
    let world = world(&server);
    let first = say(&mut server.http(), &world, "word one");
    let backup = copy.path().join("copy");
    let run = |line: &str| {
        let done = support::command(folder.path()).args(line.split(' ')).output().expect("it starts");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(&format!("backup {}", backup.display()));
    assert!(!backup.join("search").exists(), "it is made again");
    let second = say(&mut server.http(), &world, "word two");
    expect(&mut server.http(), &world, "word", &[first.clone(), second].into());
    assert!(server.stop().success());
    run(&format!("restore {}", backup.display()));
    let server = start(folder.path());
    expect(&mut server.http(), &world, "word", &[first].into());
    assert!(server.stop().success());
    let off = Server::start_in(folder.path(), &["search.enabled=false"]);
    off.http().get("/api/v1/search/messages?query=word", Some(&world.token)).want(503);
    assert!(!folder.path().join("search").exists(), "without it there is no index");
    assert!(off.operate(&json!({"do": "reindex"})).unwrap_err().contains("switched off"));
}
