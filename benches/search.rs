//! The index of messages: how long it takes to make, how large it is, how long a search takes in it.
//!
//! `PLEXICHAT_SEARCH_MESSAGES=10000000 cargo bench --bench search` writes that many messages of 100 bytes into a new store,
//! in five channels of one server and in four others, makes their index and looks for words in it.
//! `PLEXICHAT_SEARCH_STORE=FOLDER` does so in a store that is there (as `plexichat-loadtest seed` has filled it, the
//! server stopped) and leaves it, for measuring a server beside load. Words are drawn by Zipf's law out of 200,000, one of
//! eight texts is Chinese.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexichat::domain::{Machine, Now};
use plexichat::id::{ChannelId, MessageId, ServerId, UserId};
use plexichat::search::terms::Term;
use plexichat::search::{Next, Search, Settings, build_alone};
use plexichat::store::keyring::{Keyring, Purpose};
use plexichat::store::records::{Message, channel_kind};
use plexichat::store::tables::{AUTHOR_MESSAGES, CHANNELS, MEMBERS, MESSAGES};
use plexichat::store::{Options, Store, Sync};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORDS: usize = 200_000;
const TEXT_LEN: usize = 100;
/// Messages of one transaction.
const AT_ONCE: usize = 100_000;

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let default = if world::is_test() { 2_000 } else { 100_000 };
    let count: usize = number("PLEXICHAT_SEARCH_MESSAGES").unwrap_or(default);
    let temporary = tempfile::tempdir().expect("the temporary folder takes files");
    let path = std::env::var("PLEXICHAT_SEARCH_STORE").map_or(temporary.path().to_path_buf(), PathBuf::from);
    let options = Options { path: path.clone(), map_size: 64 << 30, sync: Sync::Interval, readers_max: 64 };
    let store = Arc::new(Store::open(&options).expect("a store"));
    let keys = store.unlock(true).expect("its keys");
    let places = places(&store);
    let texts = Texts::new();
    let begun = Instant::now();
    fill(&store, &places, &texts, count);
    println!("{count} messages in {:.1?}", begun.elapsed());

    let before = rss();
    let begun = Instant::now();
    let said = build_alone(store.clone(), &keys, Settings::new(64 << 30)).expect("an index");
    let took = begun.elapsed();
    print!("made in {took:.1?}, {:.0} a second: {said}", count as f64 / took.as_secs_f64());
    println!("memory {} MB before, {} MB at most", before >> 20, peak_rss() >> 20);
    queries(&store, &keys, places[0].server_id, &texts);
}

struct Place {
    server_id: ServerId,
    channels: Vec<ChannelId>,
    members: Vec<UserId>,
}

/// Servers of the store with their text channels; in an empty one some are made up.
fn places(store: &Store) -> Vec<Place> {
    let snapshot = store.snapshot();
    let read = snapshot.read();
    let mut places: Vec<Place> = Vec::new();
    for (channel_id, channel) in read.scan(CHANNELS, ()) {
        let Some(server_id) = channel.server().filter(|_| channel.kind == channel_kind::TEXT) else {
            continue;
        };
        match places.iter_mut().find(|place| place.server_id == server_id) {
            Some(place) => place.channels.push(channel_id),
            None => {
                let members = read.scan(MEMBERS, server_id).keys().take(200).map(|(_, user_id)| user_id);
                places.push(Place { server_id, channels: vec![channel_id], members: members.collect() });
            }
        }
    }
    if places.is_empty() {
        for server in 1..=5 {
            let channels = (1..=5).map(|channel| ChannelId(server * 100 + channel)).collect();
            let members = (1..=200).map(UserId).collect();
            places.push(Place { server_id: ServerId(server * 100), channels, members });
        }
        drop(snapshot);
        let mut tx = store.begin().expect("nobody else writes");
        for place in &places {
            for channel_id in &place.channels {
                let channel = plexichat::store::records::Channel {
                    server_id: place.server_id,
                    kind: channel_kind::TEXT,
                    ..Default::default()
                };
                tx.put(CHANNELS, *channel_id, &channel);
            }
        }
        tx.commit().expect("there is room");
    }
    places
}

/// Half of them in the first server, the rest in the others in turn; one each six seconds.
fn fill(store: &Store, places: &[Place], texts: &Texts, count: usize) {
    let mut random = Random(7);
    let begin_ms = world::START_MS - 6_000 * count as u64;
    for first in (0..count).step_by(AT_ONCE) {
        let mut tx = store.begin().expect("nobody else writes");
        for index in first..(first + AT_ONCE).min(count) {
            let place = if index % 2 == 0 { &places[0] } else { &places[index / 2 % places.len()] };
            let channel_id = place.channels[random.below(place.channels.len())];
            let author_id = place.members[random.below(place.members.len())];
            let mut machine = Machine::begin(&mut tx, Now::at(begin_ms + 6_000 * index as u64), 0);
            let message_id = MessageId(machine.next_id());
            let message = Message {
                author_id,
                content: texts.draw(&mut random),
                created_at: begin_ms + 6_000 * index as u64,
                ..Message::default()
            };
            machine.tx.put(MESSAGES, (channel_id, message_id), &message);
            machine.tx.put(AUTHOR_MESSAGES, (author_id, message_id), &channel_id.into());
            drop(machine.finish());
        }
        tx.commit().expect("there is room");
    }
    store.sync().expect("the disk takes it");
}

fn queries(store: &Arc<Store>, keys: &Keyring, server_id: ServerId, texts: &Texts) {
    let key = keys.derive(Purpose::SearchTerms);
    let search = Search::new(store.clone(), &key, Settings::new(64 << 30), Arc::default());
    let running = search.start(Arc::default()).expect("threads");
    while !search.look().is_complete() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for (name, ranks) in [
        ("the most frequent word", vec![0]),
        ("two of the frequent words", vec![20, 30]),
        ("two words of one in a thousand", vec![150, 170]),
        ("two rare words", vec![20_000, 30_000]),
        ("a frequent and a rare word", vec![5, 20_000]),
    ] {
        let words: Vec<&str> = ranks.iter().map(|rank| texts.words[*rank].as_str()).collect();
        let terms: Vec<Term<'_>> = words.iter().map(|word| Term::Word(word)).collect();
        let (mut found, mut times) = (0, Vec::new());
        for _ in 0..50 {
            let begun = Instant::now();
            let look = search.look();
            let mut common = look.common(look.place(server_id.0), &terms).expect("there is an index");
            let mut id = u64::MAX;
            found = 0;
            while found < 25 {
                match common.at_most(id, 4_096).expect("it is sound") {
                    Next::Found(posting) => (found, id) = (found + 1, posting.id - 1),
                    Next::NotAbove(below) => id = below,
                    Next::End => break,
                }
            }
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        println!("{name} ({}): {found} in {:.1?}, at most {:.1?}", words.join(" "), times[25], times[49]);
    }
    drop(running);
}

/// Texts of some hundred bytes.
struct Texts {
    words: Vec<String>,
    /// Up to where the share of each word goes, of 2^32.
    shares: Vec<u32>,
}

impl Texts {
    fn new() -> Texts {
        let mut random = Random(3);
        let word = |index: usize, random: &mut Random| {
            let len = 3 + random.below(6);
            let letters: String = (0..len).map(|_| (b'a' + random.below(26) as u8) as char).collect();
            format!("{letters}{}", if index < 2_000 { String::new() } else { index.to_string() })
        };
        let words = (0..WORDS).map(|index| word(index, &mut random)).collect();
        let total: f64 = (1..=WORDS).map(|rank| 1.0 / rank as f64).sum();
        let mut sum = 0.0;
        let share = |rank: usize| {
            sum += 1.0 / rank as f64 / total;
            (sum * f64::from(u32::MAX)) as u32
        };
        Texts { words, shares: (1..=WORDS).map(share).collect() }
    }

    fn draw(&self, random: &mut Random) -> String {
        let mut text = String::with_capacity(TEXT_LEN + 16);
        if random.below(8) == 0 {
            while text.len() < TEXT_LEN {
                let sign = 0x4e00 + (random.below(60) * random.below(60)) as u32;
                text.push(char::from_u32(sign).expect("a sign"));
            }
            return text;
        }
        while text.len() < TEXT_LEN {
            let at = self.shares.partition_point(|share| *share < random.next());
            text.push_str(&self.words[at.min(WORDS - 1)]);
            text.push(' ');
        }
        text
    }
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

fn rss() -> u64 {
    of_status("VmRSS:")
}

fn peak_rss() -> u64 {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}
