//! How many of a run's posts each session has seen, by server: all, once, in order, as they were written, or a fault.
//!
//! Invariant: ids of a server's messages ascend, so a session that has seen as many messages as were stored, each with
//! a greater id than the one before, has seen each of them once. A count per session and server is enough, however
//! long a run is, and whatever numbers the events bear.

use std::collections::HashMap;

use super::faults::Faults;
use crate::engine::Engine;
use crate::marker::{Marker, message_id};
use crate::peer::Peer;
use crate::stats::Results;
use crate::worker::Context;

/// Intent GUILD_MESSAGES: without it, sessions see no posts.
const MESSAGES: u32 = 1 << 9;

/// What a session has seen of a server.
#[derive(Clone)]
struct Seen {
    server: u32,
    count: u32,
    /// Id of the last message; of a plain peer, which gives none, the post's number and one.
    last: u64,
}

/// A session's servers.
#[derive(Default)]
struct Place {
    /// Has been READY from the first post on, and never gone without coming back.
    whole: bool,
    seen: Vec<Seen>,
}

#[derive(Default)]
pub struct Tally {
    places: Vec<Place>,
    peer: Peer,
    faults: Faults,
    hint: usize,
}

impl Tally {
    /// For sessions of these users. Without the intent for messages nothing is expected.
    pub fn new(engine: &Engine, context: &Context, users: &[u32]) -> Tally {
        let peer = engine.settings.peer;
        if peer == Peer::Plexichat && engine.settings.intents & MESSAGES == 0 {
            return Tally::default();
        }
        let mut servers: HashMap<u32, Vec<u32>> = users.iter().map(|user| (*user, Vec::new())).collect();
        for (index, server) in (0..).zip(&context.servers) {
            for member in &server.members {
                if let Some(list) = servers.get_mut(member) {
                    list.push(index);
                }
            }
        }
        let seen = |user| servers[user].iter().map(|&server| Seen { server, count: 0, last: 0 }).collect();
        let places = users.iter().map(|user| Place { whole: false, seen: seen(user) }).collect();
        Tally { places, peer, ..Tally::default() }
    }

    /// A session became READY before the first post.
    pub fn begin(&mut self, session: u32) {
        if let Some(place) = self.places.get_mut(session as usize) {
            place.whole = true;
        }
    }

    /// A session is gone or began anew: what it has missed is not known.
    pub fn end(&mut self, session: u32) {
        if let Some(place) = self.places.get_mut(session as usize) {
            place.whole = false;
            place.seen.iter_mut().for_each(|seen| seen.last = 0);
        }
    }

    /// Notes the event of a post; gives the marker of a post of this run.
    pub fn received(&mut self, context: &Context, session: u32, text: &[u8]) -> Option<Marker> {
        let found = Marker::find(text, &mut self.hint)?;
        if !found.whole {
            self.faults.altered += 1;
        }
        let marker = Some(found.marker).filter(|marker| marker.run == context.run)?;
        let Some(place) = self.places.get_mut(session as usize) else { return Some(marker) };
        let home = context.shared.home(marker.seq);
        let Some(seen) = place.seen.iter_mut().find(|seen| seen.server == home) else {
            self.faults.strays += 1;
            return Some(marker);
        };
        let key = match self.peer {
            Peer::Plexichat => message_id(text),
            Peer::Plain => u64::from(marker.seq) + 1,
        };
        match key.cmp(&seen.last) {
            std::cmp::Ordering::Greater => seen.count += 1,
            std::cmp::Ordering::Equal => self.faults.repeated += 1,
            std::cmp::Ordering::Less => {
                seen.count += 1;
                self.faults.unordered += 1;
            }
        }
        seen.last = key;
        Some(marker)
    }

    /// Stored posts that sessions lack, and posts that they have seen though none may have been stored.
    fn balance(&self, context: &Context) -> (u64, u64) {
        let (mut missing, mut phantoms) = (0, 0);
        for seen in self.places.iter().filter(|place| place.whole).flat_map(|place| &place.seen) {
            let (stored, unknown) = context.shared.posts_to(seen.server);
            missing += u64::from(stored.saturating_sub(seen.count));
            phantoms += u64::from(seen.count.saturating_sub(stored + unknown));
        }
        (missing, phantoms)
    }

    pub fn is_complete(&self, context: &Context) -> bool {
        self.balance(context).0 == 0
    }

    /// Counts the faults. What is still under way when a run is broken off is not missing.
    pub fn report(self, context: &Context, results: &mut Results) {
        let (missing, phantoms) = if context.is_finished() { self.balance(context) } else { (0, 0) };
        Faults { missing, phantoms, ..self.faults }.report(results);
    }
}
