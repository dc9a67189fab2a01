//! Where an attack takes place: the server, who is in it, and what attackers do there over and over.
//!
//! Invariant: attackers end when the stage says so; an attack that did not act as it was meant to is not taken for one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use super::client::{Line, Target};
use super::server::Server;

/// Attackers' addresses begin here: 127.0.0.20.
pub const SOURCE: u8 = 20;

/// Where it happens.
pub struct Stage<'a> {
    pub target: &'a Target,
    pub server: &'a Server,
    /// A server in which everybody is, its owner's token, and a channel in which attackers may write.
    pub server_id: String,
    pub owner: String,
    pub channel: String,
    /// Tokens and names of attackers with accounts of their own.
    pub attackers: Vec<(String, String)>,
    /// Tokens of everybody else.
    pub crowd: Vec<String>,
    pub stop: AtomicBool,
    /// How often the attack acted so far, with what it is about reaching the server.
    pub acts: AtomicU64,
}

impl Stage<'_> {
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// The attack acted so many times more.
    pub fn acted(&self, times: u64) {
        self.acts.fetch_add(times, Relaxed);
    }

    pub fn wait(&self) {
        while !self.stopped() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets so many attackers act over and over, each with a connection that `act` opens; after an error with a new one.
    pub fn each(&self, count: usize, act: impl Fn(usize, &mut Option<Line>) -> io::Result<()> + Sync) {
        let act = &act;
        thread::scope(|scope| {
            for index in 0..count {
                scope.spawn(move || {
                    let mut line = None;
                    while !self.stopped() {
                        if act(index, &mut line).is_err() {
                            line = None;
                            thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
        });
    }

    /// The attacker's connection, opened when there is none.
    pub fn line<'l>(&self, index: usize, line: &'l mut Option<Line>) -> io::Result<&'l mut Line> {
        match line {
            Some(line) => Ok(line),
            None => Ok(line.insert(Line::open(self.target, source(index), None)?)),
        }
    }

    /// A request within the limits that everybody has. It is an act when it is answered with one of `meant`.
    pub fn call(
        &self,
        index: usize,
        line: &mut Option<Line>,
        token: &str,
        (method, path, body): (&str, &str, &str),
        meant: &[u16],
    ) -> io::Result<()> {
        let reply = self.line(index, line)?.call(&self.target.stranger, method, path, token, body)?;
        match reply.status {
            status if meant.contains(&status) => self.acted(1),
            429 => thread::sleep(Duration::from_millis(100)),
            _ => thread::sleep(Duration::from_millis(20)),
        }
        Ok(())
    }

    /// A request without limits, to prepare something.
    pub fn arrange(&self, line: &mut Line, token: &str, path: &str, body: &str) -> io::Result<u16> {
        Ok(line.call(&self.target.friend, "POST", path, token, body)?.status)
    }
}

pub fn source(index: usize) -> u8 {
    SOURCE + (index % 200) as u8
}
