//! Sessions of one server that follow the posts of a run, whatever happens to their connections: what the scenarios
//! share in which sessions are cut off and resume.
//!
//! Owns: opening them, who has seen what, the posting, and the wait at the end.
//! Invariant: a session that never was READY, or could not be resumed, is not tested further.

use std::sync::atomic::Ordering::{Acquire, Release};

use super::audience_users;
use super::poster::Poster;
use super::track::{CatchUp, Tracks};
use crate::args::Audience;
use crate::engine::{Answer, Engine, Event};
use crate::marker::Marker;
use crate::session::Leave;
use crate::worker::{Context, Opener};

/// Failed attempts to come back before a session counts as lost.
const ATTEMPTS_MAX: u32 = 50;

/// What a scenario has to know of a session; all else is seen to.
pub enum News<'a> {
    /// One of the run's posts, for the first time or not.
    Post(Marker),
    Resumed,
    /// RESUME was refused; the connection is still open.
    Refused,
    /// The connection is gone, for this reason.
    Cut(&'a str),
}

pub struct Followers {
    pub context: Context,
    opener: Opener,
    pub tracks: Tracks,
    catch_up: CatchUp,
    poster: Option<Poster>,
}

impl Followers {
    /// This process's share of an audience; the first process posts to it, `rate` times a second.
    pub fn new(
        engine: &mut Engine,
        context: Context,
        audience: &Audience,
        concurrency: u32,
        rate: f64,
        content_len: u32,
    ) -> Followers {
        let users = audience_users(audience, &context);
        let poster = Poster::new(engine, &context, &context.servers[audience.server], rate, content_len);
        let tracks = Tracks::new(users.len());
        let opener = Opener::new(engine, &context, users.into_iter(), concurrency);
        Followers { context, opener, tracks, catch_up: CatchUp::default(), poster }
    }

    pub fn len(&self) -> u32 {
        self.tracks.sessions.len() as u32
    }

    pub fn answered(&mut self, engine: &mut Engine, connection: u32, answer: &Answer<'_>) {
        if let Some(poster) = &mut self.poster {
            poster.answered(&self.context, engine, connection, answer);
        }
    }

    pub fn session<'e>(&mut self, engine: &mut Engine, session: u32, event: Event<'e>) -> Option<News<'e>> {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => {
                self.tracks.received(&self.context, session, text).map(News::Post)
            }
            Event::Dispatch { .. } | Event::Acknowledged(_) => None,
            Event::Ready => {
                self.opener.joined(engine, session, self.context.me());
                None
            }
            Event::Resumed => {
                self.tracks.sessions[session as usize].attempts = 0;
                Some(News::Resumed)
            }
            Event::Refused => Some(News::Refused),
            Event::Closed(_) if !self.opener.was_ready(session) => {
                self.opener.closed(session, self.context.me());
                self.tracks.sessions[session as usize].lost = true;
                None
            }
            Event::Closed(why) => Some(News::Cut(why)),
        }
    }

    /// Whether a session whose connection ended is to come back; one that has tried too often is given up.
    pub fn may_return(&mut self, session: u32) -> bool {
        let track = &mut self.tracks.sessions[session as usize];
        track.attempts += 1;
        let may = track.attempts <= ATTEMPTS_MAX;
        if !may {
            self.tracks.lose(session);
        }
        may
    }

    /// Gives up a session whose RESUME was refused.
    pub fn lose(&mut self, engine: &mut Engine, session: u32) {
        engine.leave(session, Leave::Reset);
        self.tracks.lose(session);
    }

    /// Opens what may be opened; false when the run is over.
    pub fn turn(&mut self, engine: &mut Engine) -> bool {
        self.opener.turn(engine, self.context.me(), &mut self.context.random);
        !self.context.stopping()
    }

    /// Posts what is due before `end`.
    pub fn post(&mut self, engine: &mut Engine, end: u64) {
        if let Some(poster) = &mut self.poster {
            poster.turn(end, &mut self.context, engine);
        }
    }

    /// Whether the last post was answered.
    pub fn is_posted(&self) -> bool {
        self.context.shared.posting_done.load(Acquire) == 1
    }

    /// After the last post: waits until everyone is back and has everything, but `seconds` at most.
    pub fn catch_up(&mut self, engine: &Engine, seconds: u32) {
        if self.catch_up.is_over(engine, &self.tracks, &self.context, seconds) {
            self.context.me().finished.store(1, Release);
        }
    }

    /// When to look again: at the next post, and within `patience_ns`.
    pub fn next_ns(&self, now: u64, patience_ns: u64) -> u64 {
        let post = self.poster.as_ref().map_or(u64::MAX, Poster::next_ns);
        post.clamp(now, now + patience_ns)
    }

    pub fn report(self, engine: &mut Engine) {
        self.opener.report(&mut engine.results);
        self.tracks.report(&self.context, engine);
        if let Some(poster) = self.poster {
            poster.report(engine);
        }
    }
}
