//! `idle`: opens sessions, holds them, lets them beat.

use std::sync::atomic::Ordering::Release;

use super::nothing;
use crate::args::IdleArgs;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::stats::Results;
use crate::worker::{Context, Opener};

struct Idle {
    context: Context,
    opener: Opener,
    hold_s: u32,
    events: u64,
}

pub fn size(args: &IdleArgs) -> Result<(u32, u32), String> {
    Ok((args.sessions, 0))
}

pub fn work(args: &IdleArgs, context: Context, mut engine: Engine) -> Results {
    let users = context.share(args.sessions).map(|i| i % context.users);
    let opener = Opener::new(&mut engine, &context, users, args.common.concurrency);
    let mut idle = Idle { context, opener, hold_s: args.hold, events: 0 };
    engine.run(&mut idle);
    idle.opener.report(&mut engine.results);
    engine.results.count("events_received", idle.events);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    nothing(results, "sessions_ready", "No session became READY; see the errors above.")
}

impl Driver for Idle {
    fn answered(&mut self, _: &mut Engine, _: u32, _: Answer<'_>) {}

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Closed(_) => self.opener.closed(session, self.context.me()),
            Event::Dispatch { .. } => self.events += 1,
            Event::Acknowledged(_) | Event::Resumed | Event::Refused => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me, &mut self.context.random);
        if self.context.running() && engine.now >= self.context.run_time_ns(self.hold_s) {
            me.finished.store(1, Release);
        }
        (!self.context.stopping()).then_some(u64::MAX)
    }
}
