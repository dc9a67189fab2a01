//! Random queries of the whole language against reading everything, page by page, while messages are said, edited, deleted,
//! pinned, and rights come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::tests::page;
use crate::api::testing::message_world::*;
use crate::domain::Asking;
use crate::domain::permission::MESSAGES_READ;
use crate::id::{ChannelId, MessageId, UserId, first_id_at};
use crate::store::records::{Channel, Member, Override};
use crate::store::tables::{CHANNELS, MEMBERS, MESSAGES, OVERRIDES};

const PATIENCE: Duration = Duration::from_secs(30);
const USERS: [(UserId, &str); 4] = [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol"), (MAX, "max")];
const CHANNELS_OF: [(ChannelId, &str); 6] =
    [(TEXT, "general"), (HIDDEN, "hidden"), (MUTE, "general"), (SLOW, "slow"), (DM, ""), (NOTES, "")];
const WORDS: [&str; 9] =
    ["apple", "Banana", "ÉCLAIR", "fig", "東京都", "京都", "grape", "<@2>", "https://x.org"];

/// A message as the model knows it.
struct Said {
    channel_id: ChannelId,
    author: UserId,
    words: Vec<&'static str>,
    pinned: bool,
}

struct Model {
    world: World,
    random: fastrand::Rng,
    said: BTreeMap<MessageId, Said>,
}

/// A part of a query, and what it means of a message.
type Part = (String, Box<dyn Fn(MessageId, &Said) -> bool>);

impl Model {
    fn new(seed: u64) -> Model {
        let world = World::default();
        world.write(|tx| {
            for (channel_id, name) in &CHANNELS_OF[..4] {
                let channel = Channel::from(tx.get(CHANNELS, *channel_id).unwrap());
                tx.put(
                    CHANNELS,
                    *channel_id,
                    &Channel { name: (*name).into(), slowmode_seconds: 0, ..channel },
                );
            }
        });
        Model { world, random: fastrand::Rng::with_seed(seed), said: BTreeMap::new() }
    }

    fn words(&mut self) -> Vec<&'static str> {
        (0..self.random.usize(1..5)).map(|_| WORDS[self.random.usize(..WORDS.len())]).collect()
    }

    /// One change.
    fn change(&mut self) {
        self.world.harness.advance(self.random.u64(1..4_000_000));
        let ids: Vec<MessageId> = self.said.keys().copied().collect();
        let id = ids.get(self.random.usize(..ids.len().max(1))).copied();
        match (self.random.u8(..10), id) {
            (0, Some(id)) => {
                let said = &self.said[&id];
                let path = format!("/channels/{}/messages/{id}", said.channel_id);
                if self.world.call(said.author, "DELETE", &path, None).0 == 200 {
                    self.said.remove(&id);
                }
            }
            (1, Some(id)) => {
                let words = self.words();
                let said = self.said.get_mut(&id).unwrap();
                let path = format!("/channels/{}/messages/{id}", said.channel_id);
                let body = format!(r#"{{"content":"{}"}}"#, words.join(" "));
                if self.world.call(said.author, "PATCH", &path, Some(&body)).0 == 200 {
                    said.words = words;
                }
            }
            (2, Some(id)) => {
                let said = self.said.get_mut(&id).unwrap();
                let method = if said.pinned { "DELETE" } else { "PUT" };
                let path = format!("/channels/{}/pins/{id}", said.channel_id);
                if self.world.call(ALICE, method, &path, None).0 == 200 {
                    said.pinned = !said.pinned;
                }
            }
            (3, _) => self.change_rights(),
            _ => {
                let (author, _) = USERS[self.random.usize(..USERS.len())];
                let (channel_id, _) = CHANNELS_OF[self.random.usize(..CHANNELS_OF.len())];
                let words = self.words();
                let body = format!(r#"{{"content":"{}"}}"#, words.join(" "));
                let path = format!("/channels/{channel_id}/messages");
                let (status, answer) = self.world.call(author, "POST", &path, Some(&body));
                if status == 200 {
                    let id = MessageId::parse(&field(&answer, "id")).unwrap();
                    self.said.insert(id, Said { channel_id, author, words, pinned: false });
                }
            }
        }
    }

    fn change_rights(&mut self) {
        let (user, _) = USERS[self.random.usize(1..USERS.len())];
        let (channel_id, _) = CHANNELS_OF[self.random.usize(..4)];
        let bits = self.random.u64(..8) & 5;
        let given = self.random.bool();
        match self.random.u8(..3) {
            0 => self.world.write(|tx| match given {
                true => tx.put(MEMBERS, (SERVER, user), &Member::default()),
                false => drop(tx.delete(MEMBERS, (SERVER, user))),
            }),
            _ => self.world.write(|tx| {
                let (allow, deny) = if given { (bits, 0) } else { (0, bits) };
                tx.put(OVERRIDES, (channel_id, 1, user.0), &Override { allow, deny });
            }),
        }
    }

    fn part(&mut self) -> Part {
        let word = WORDS[self.random.usize(..WORDS.len())];
        let (user, name) = USERS[self.random.usize(..USERS.len())];
        let says = |said: &Said, what: &str| said.words.iter().any(|word| word.contains(what));
        match self.random.u8(..11) {
            0..=2 if !word.contains(['<', ':']) => {
                // Signs are found inside of others, words are not.
                let typed = if self.random.bool() { word.to_lowercase() } else { word.to_uppercase() };
                (typed, Box::new(move |_, said| says(said, word)))
            }
            3 => {
                let (a, b) = (WORDS[self.random.usize(..4)], WORDS[self.random.usize(..4)]);
                let phrase = move |said: &Said| said.words.windows(2).any(|pair| pair == [a, b]);
                (format!("\"{a} {b}\""), Box::new(move |_, said| phrase(said)))
            }
            4 => (format!("from:{name}"), Box::new(move |_, said| said.author == user)),
            5 => {
                let name = ["general", "hidden", "slow", "nowhere"][self.random.usize(..4)];
                let of = |id: ChannelId| CHANNELS_OF.iter().find(|(known, _)| *known == id).unwrap().1;
                (format!("in:{}", name.to_uppercase()), Box::new(move |_, said| of(said.channel_id) == name))
            }
            6 => ("mentions:bob".into(), Box::new(|_, said| said.words.contains(&"<@2>"))),
            7 => ("has:link".into(), Box::new(|_, said| said.words.contains(&"https://x.org"))),
            8 => ("pinned:true".into(), Box::new(|_, said| said.pinned)),
            9 => {
                let at_ms = self.world.harness.state.now().unix_ms - 3_600_000 * self.random.u64(1..100);
                let hours = (self.world.harness.state.now().unix_ms - at_ms) / 3_600_000;
                (format!("after:{hours}h"), Box::new(move |id, _| id.0 >= first_id_at(at_ms)))
            }
            _ => ("東".into(), Box::new(move |_, said| says(said, "東"))),
        }
    }

    /// A query, and what is to be found, newest first.
    fn query(&mut self, who: UserId) -> (String, Vec<MessageId>) {
        let parts: Vec<(bool, Part)> =
            (0..self.random.usize(1..4)).map(|_| (self.random.u8(..4) == 0, self.part())).collect();
        let snapshot = self.world.harness.state.snapshot();
        let asking = Asking { read: snapshot.read(), at: self.world.harness.state.now_ms(), who };
        let reads = |id: ChannelId| asking.channel(id).is_ok_and(|access| access.has(MESSAGES_READ));
        let fits = |(id, said): &(&MessageId, &Said)| {
            reads(said.channel_id) && parts.iter().all(|(negated, (_, holds))| holds(**id, said) != *negated)
        };
        let found = self.said.iter().rev().filter(fits).map(|(id, _)| *id).collect();
        let text: Vec<String> = parts
            .iter()
            .map(|(negated, (text, _))| format!("{}{text}", if *negated { "-" } else { "" }))
            .collect();
        (text.join(" "), found)
    }

    /// Compares page by page; what was just said may take a moment.
    fn compare(&mut self) {
        let (who, _) = USERS[self.random.usize(..USERS.len())];
        let (query, want) = self.query(who);
        let limit = self.random.usize(1..12);
        let until = Instant::now() + PATIENCE;
        loop {
            let (mut cursor, mut at) = (String::new(), 0);
            let differs = loop {
                let (ids, next) = page(&self.world, who, &query, &format!("&limit={limit}{cursor}"));
                let rest = &want[at..];
                at += ids.len();
                if ids != rest[..rest.len().min(limit)] || next.is_some() != (rest.len() > limit) {
                    break Some(ids);
                }
                match next {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break None,
                }
            };
            let Some(ids) = differs else { return };
            assert!(Instant::now() < until, "{query} of {who}: {ids:?} at {at}, {want:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_is_found_is_what_reading_everything_finds() {
    let seed = std::env::var("SEARCH_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("SEARCH_SEED={seed}");
    for indexed in [false, true] {
        let mut model = Model::new(seed);
        if indexed {
            model.world.harness.keep_index();
        }
        for round in 0..40 {
            (0..12).for_each(|_| model.change());
            (0..6).for_each(|_| model.compare());
            if indexed && round == 20 {
                model.world.harness.state.search.renew("a test wants it");
            }
        }
        let stored = model.world.harness.state.snapshot().read().len(MESSAGES);
        assert_eq!(stored, model.said.len() as u64);
    }
}
