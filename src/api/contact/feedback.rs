//! Feedback: sending it, and how much of it.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Int, Line, Needed, Written, fields};
use crate::config::Config;
use crate::domain::contact::feedback::{FeedbackResponse, FeedbackSend, FeedbackStatusResponse, Quota, sent};
use crate::domain::{Refusal, Result};

fields! {
    /// What somebody thinks of the server.
    pub FEEDBACK: FeedbackCreate {
        content: Needed<Written> = Needed(Written(10..=2_000)),
        category: Line = Line(50),
        /// From bad to good.
        rating: Int = Int(1..=5),
    }
}

pub fn feedback_send(ctx: &mut Ctx<'_>) -> Result<Step> {
    if !ctx.state.config.feedback.enabled {
        return Err(Refusal::FeedbackOff.into());
    }
    let body = ctx.body()?;
    let rating = FEEDBACK.rating.read(&body)?.map(|rating| u8::try_from(rating).expect("it is one to five"));
    let op = FeedbackSend {
        content: FEEDBACK.content.read(&body)?,
        category: FEEDBACK.category.read(&body)?.flatten(),
        rating,
        quota: quota(&ctx.state.config),
    };
    op.quota.check(ctx.asking(&ctx.snapshot()))?;
    ctx.submit(op, |ctx, ticket_id| ctx.json(|out| FeedbackResponse::write(out, ticket_id)))
}

pub fn feedback_status(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (is_enabled, quota) = (ctx.state.config.feedback.enabled, quota(&ctx.state.config));
    let snapshot = ctx.snapshot();
    let count = sent(ctx.asking(&snapshot));
    ctx.json(|out| FeedbackStatusResponse::write(out, is_enabled, &count, quota))
}

fn quota(config: &Config) -> Quota {
    Quota {
        hour_max: config.feedback_rate_limit.max_per_hour,
        day_max: config.feedback_rate_limit.max_per_day,
    }
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::server_world::{Person, World, text_of};
    use crate::config::{Config, Feedback, FeedbackRateLimit};
    use crate::id::TicketId;
    use crate::store::records::{Ticket, ticket_status};
    use crate::store::tables::*;

    const HOUR_MS: u64 = 3_600_000;
    const BODY: &str = r#"{"content":"long enough","category":" ","rating":4}"#;

    fn world_with(config: Config) -> World {
        World { harness: Harness::with_config(config) }
    }

    fn status(world: &World, who: &Person) -> String {
        world.ok(who, "GET", "/feedback/status", "")
    }

    fn want(hour: u64, day: u64, can: bool) -> String {
        format!(
            r#"{{"enabled":true,"submissions_this_hour":{hour},"submissions_today":{day},"max_per_hour":5,"max_per_day":20,"can_submit":{can}}}"#
        )
    }

    #[test]
    fn feedback_becomes_a_ticket() {
        let world = World::default();
        let alice = world.user(1, "alice");
        let made = world.ok(&alice, "POST", "/feedback", BODY);
        let id = TicketId::parse(text_of(&made, "id")).unwrap();
        let snapshot = world.harness.state.store.snapshot();
        let ticket = Ticket::from(snapshot.read().get(TICKETS, id).unwrap());
        assert_eq!((ticket.user_id, ticket.username.as_str()), (alice.id, "alice"));
        assert_eq!((ticket.content.as_str(), ticket.category, ticket.rating), ("long enough", None, Some(4)));
        assert!(snapshot.read().contains(TICKET_STATES, (ticket_status::OPEN, id)));
    }

    #[test]
    fn an_hour_and_a_day_have_their_end() {
        let world = World::default();
        let alice = world.user(1, "alice");
        for round in 0..4 {
            for count in 0..5 {
                assert_eq!(status(&world, &alice), want(count, 5 * round + count, true));
                world.ok(&alice, "POST", "/feedback", BODY);
            }
            assert_eq!(status(&world, &alice), want(5, 5 * round + 5, false));
            let (text, hours) = if round < 3 { (": 5 an hour", 1) } else { (": 20 a day", 21) };
            world.refused(&alice, ("POST", "/feedback", BODY), 429, text);
            let left = format!("\"retry_after\":{}.000", hours * 3_600);
            world.refused(&alice, ("POST", "/feedback", BODY), 429, &left);
            world.harness.advance(HOUR_MS - 1);
            assert_eq!(status(&world, &alice), want(5, 5 * round + 5, false));
            world.harness.advance(1);
        }
        assert_eq!(status(&world, &alice), want(0, 20, false));
        world.harness.advance(20 * HOUR_MS);
        assert_eq!(status(&world, &alice), want(0, 0, true));
        world.ok(&alice, "POST", "/feedback", BODY);
        assert_eq!(status(&world, &alice), want(1, 1, true));
    }

    #[test]
    fn the_operator_decides() {
        let limits = FeedbackRateLimit { max_per_hour: 1, max_per_day: 2 };
        let world = world_with(Config { feedback_rate_limit: limits, ..Config::default() });
        let alice = world.user(1, "alice");
        world.ok(&alice, "POST", "/feedback", BODY);
        world.refused(&alice, ("POST", "/feedback", BODY), 429, ": 1 an hour");
        let off = world_with(Config { feedback: Feedback { enabled: false }, ..Config::default() });
        let alice = off.user(1, "alice");
        off.refused(&alice, ("POST", "/feedback", BODY), 503, "switched off");
        assert!(status(&off, &alice).starts_with(r#"{"enabled":false,"#));
    }
}
