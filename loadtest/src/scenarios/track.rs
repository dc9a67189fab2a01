//! What each session has seen of a run's posts: everything once, in order, or a fault.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::faults::Faults;
use crate::engine::Engine;
use crate::marker::{Marker, message_id};
use crate::session::State;
use crate::shared::{FATES, Fate};
use crate::worker::Context;

/// What one session has seen.
#[derive(Default)]
pub struct Track {
    /// A bit per post.
    seen: Vec<u64>,
    last_id: u64,
    /// Failed attempts to come back in a row.
    pub attempts: u32,
    /// Could not be resumed: what it missed is lost.
    pub lost: bool,
}

impl Track {
    /// Notes a post; false when it had been seen before.
    fn note(&mut self, seq: u32) -> bool {
        let word = seq as usize / 64;
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (seq % 64);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }

    fn has(&self, seq: u32) -> bool {
        self.seen.get(seq as usize / 64).is_some_and(|word| word & (1 << (seq % 64)) != 0)
    }
}

/// After the last post: until everyone is back and has everything, but not for ever.
#[derive(Default)]
pub struct CatchUp {
    begun_ns: u64,
    checked_ns: u64,
}

/// Looking at all posts of all sessions takes its time.
const CHECK_INTERVAL_NS: u64 = 100_000_000;

impl CatchUp {
    /// Begins with the first call; takes `seconds` at most.
    pub fn is_over(&mut self, engine: &Engine, tracks: &Tracks, context: &Context, seconds: u32) -> bool {
        if self.begun_ns == 0 {
            self.begun_ns = engine.now;
        }
        if engine.now < self.checked_ns + CHECK_INTERVAL_NS {
            return false;
        }
        self.checked_ns = engine.now;
        let mut sessions = (0..).zip(&tracks.sessions);
        let back = sessions.all(|(session, track)| engine.state(session) == State::Live || track.lost);
        let late = engine.now > self.begun_ns + u64::from(seconds) * 1_000_000_000;
        late || (back && tracks.missing(context) == 0)
    }
}

/// All sessions of a process.
#[derive(Default)]
pub struct Tracks {
    pub sessions: Vec<Track>,
    pub deliveries: u64,
    faults: Faults,
    hint: usize,
}

impl Tracks {
    pub fn new(sessions: usize) -> Tracks {
        Tracks { sessions: (0..sessions).map(|_| Track::default()).collect(), ..Tracks::default() }
    }

    /// Notes a MESSAGE_CREATE; gives the marker of a post of this run.
    pub fn received(&mut self, context: &Context, session: u32, text: &[u8]) -> Option<Marker> {
        let found = Marker::find(text, &mut self.hint)?;
        if !found.whole {
            self.faults.altered += 1;
        }
        let marker = Some(found.marker).filter(|marker| marker.run == context.run)?;
        self.deliveries += 1;
        context.me().deliveries.store(self.deliveries, Relaxed);
        let track = &mut self.sessions[session as usize];
        if marker.seq as usize >= FATES || !track.note(marker.seq) {
            self.faults.repeated += 1;
        }
        let id = message_id(text);
        if id <= track.last_id {
            self.faults.unordered += 1;
        }
        track.last_id = id;
        Some(marker)
    }

    /// Gives a session up: what it missed is not counted as missing.
    pub fn lose(&mut self, session: u32) {
        self.sessions[session as usize].lost = true;
        self.faults.lost += 1;
    }

    /// Stored messages that sessions lack.
    pub fn missing(&self, context: &Context) -> u64 {
        let posted = context.shared.posted.load(Acquire);
        let stored: Vec<u32> = (0..posted).filter(|&seq| context.shared.fate(seq) == Fate::Stored).collect();
        let lacks = |track: &Track| stored.iter().filter(|&&seq| !track.has(seq)).count() as u64;
        self.sessions.iter().filter(|t| !t.lost).map(lacks).sum()
    }

    /// Refused messages that sessions have seen all the same.
    fn phantoms(&self, context: &Context) -> u64 {
        let posted = context.shared.posted.load(Acquire);
        let refused: Vec<u32> = (0..posted).filter(|&seq| context.shared.fate(seq) == Fate::None).collect();
        let sees = |track: &Track| refused.iter().filter(|&&seq| track.has(seq)).count() as u64;
        self.sessions.iter().map(sees).sum()
    }

    /// Counts the deliveries and the faults. What is still under way when a run is broken off is not missing.
    pub fn report(&self, context: &Context, engine: &mut Engine) {
        engine.results.count("deliveries", self.deliveries);
        let missing = if context.is_finished() { self.missing(context) } else { 0 };
        Faults { missing, phantoms: self.phantoms(context), ..self.faults }.report(&mut engine.results);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_note_each_post_once() {
        let mut track = Track::default();
        for seq in [0, 63, 64, 1000] {
            assert!(!track.has(seq));
            assert!(track.note(seq));
            assert!(track.has(seq));
            assert!(!track.note(seq), "a repeat");
        }
        assert!(!track.has(999) && !track.has(100_000));
    }
}
