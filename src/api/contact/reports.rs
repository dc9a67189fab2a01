//! Reports of messages and of people.

use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, Line, List, Named, Needed, Prose, Written, fields};
use crate::domain::contact::report::{
    Grounds, MessageReportCreate, ReportResponse, UserReportCreate, check_message, check_user,
};
use crate::domain::{Error, Refusal, Result};
use crate::id::{ChannelId, MessageId, ReportId, UserId};

pub(super) const REASON_CHARS_MAX: usize = 500;
const CATEGORY_CHARS_MAX: usize = 50;
pub(super) const DETAILS_CHARS_MAX: usize = 2_000;
/// Messages that are named with a report of somebody.
const EVIDENCE_COUNT_MAX: usize = 100;
const CATEGORY_USUAL: &str = "other";

fields! {
    /// What is wrong with a message.
    pub MESSAGE_REPORT: MessageReportRequest {
        message_id: Needed<Id> = Needed(Id),
        channel_id: Needed<Id> = Needed(Id),
        reason: Needed<Written> = Needed(Written(1..=REASON_CHARS_MAX)),
        /// `spam`, `harassment`, `hate`, `violence`, `nsfw` or what else fits; `other` when there is none.
        category: Line = Line(CATEGORY_CHARS_MAX),
        details: Prose = Prose(DETAILS_CHARS_MAX),
        /// Kept with the report is the server that the channel is of.
        server_id: Id = Id,
    }
}

fields! {
    /// What is wrong with somebody.
    pub USER_REPORT: UserReportRequest {
        user_id: Needed<Id> = Needed(Id),
        reason: Needed<Written> = Needed(Written(1..=REASON_CHARS_MAX)),
        /// `spam`, `harassment`, `hate`, `violence`, `nsfw` or what else fits; `other` when there is none.
        category: Line = Line(CATEGORY_CHARS_MAX),
        details: Prose = Prose(DETAILS_CHARS_MAX),
        /// Messages that show it.
        evidence_message_ids: List = List(EVIDENCE_COUNT_MAX, "string"),
    }
}

pub fn message_report(ctx: &mut Ctx<'_>) -> Result<Step> {
    require_enabled(ctx)?;
    let body = ctx.body()?;
    let form = &MESSAGE_REPORT;
    let op = MessageReportCreate {
        message_id: MessageId(form.message_id.read(&body)?),
        channel_id: ChannelId(form.channel_id.read(&body)?),
        grounds: grounds(&body, (&form.reason, &form.category, &form.details))?,
    };
    form.server_id.read(&body)?;
    check_message(ctx.asking(&ctx.snapshot()), op.channel_id, op.message_id)?;
    ctx.submit(op, answer)
}

pub fn user_report(ctx: &mut Ctx<'_>) -> Result<Step> {
    require_enabled(ctx)?;
    let body = ctx.body()?;
    let form = &USER_REPORT;
    let op = UserReportCreate {
        user_id: UserId(form.user_id.read(&body)?),
        grounds: grounds(&body, (&form.reason, &form.category, &form.details))?,
        evidence: evidence(&body)?,
    };
    check_user(ctx.asking(&ctx.snapshot()), op.user_id)?;
    ctx.submit(op, answer)
}

pub(super) fn require_enabled(ctx: &Ctx<'_>) -> Result<()> {
    if ctx.state.config.reports.enabled { Ok(()) } else { Err(Refusal::ReportsOff.into()) }
}

type GroundFields<'f> = (&'f Named<Needed<Written>>, &'f Named<Line>, &'f Named<Prose>);

fn grounds(body: &Body<'_>, (reason, category, details): GroundFields<'_>) -> Result<Grounds> {
    Ok(Grounds {
        reason: reason.read(body)?,
        category: category.read(body)?.flatten().unwrap_or_else(|| CATEGORY_USUAL.to_string()),
        details: details.read(body)?.filter(|details| !details.is_empty()),
    })
}

fn evidence(body: &Body<'_>) -> Result<Vec<MessageId>> {
    let field = &USER_REPORT.evidence_message_ids;
    let ids = field.read(body)?.iter().map(|value| value.as_id().map(MessageId));
    ids.collect::<Option<_>>().ok_or_else(|| Error::invalid(field.name, "must be a list of message IDs"))
}

fn answer(ctx: &mut Ctx<'_>, report_id: ReportId) -> Result<Step> {
    ctx.json(|out| ReportResponse::write(out, report_id))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{Person, World, text_of};
    use crate::id::{ReportId, UserId};
    use crate::store::records::{MessageReport, User, UserReport, account, report_status};
    use crate::store::tables::*;

    const GROUNDS: &str = r#""reason":"spam","details":" ""#;

    fn message_report(world: &World, who: &Person, channel: &str, message: &str) -> String {
        let channel_id = channel.rsplit('/').next().unwrap();
        let body = format!(r#"{{"message_id":"{message}","channel_id":"{channel_id}",{GROUNDS}}}"#);
        let made = world.ok(who, "POST", "/reports/messages", &body);
        text_of(&made, "report_id").to_string()
    }

    fn tally(world: &World, queue: u8) -> u64 {
        let snapshot = world.harness.state.store.snapshot();
        let count = snapshot.read().get(TALLIES, (queue, report_status::PENDING));
        count.map_or(0, |meta| meta.value.to_native())
    }

    #[test]
    fn a_report_keeps_what_was_there() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        let said = world.ok(&alice, "POST", &format!("{channel}/messages"), r#"{"content":"buy now"}"#);
        let message = format!("{channel}/messages/{}", text_of(&said, "id"));
        let first = message_report(&world, &bob, &channel, text_of(&said, "id"));
        world.ok(&alice, "PATCH", &message, r#"{"content":"good morning"}"#);
        let second = message_report(&world, &bob, &channel, text_of(&said, "id"));
        world.ok(&alice, "DELETE", &message, "");
        let snapshot = world.harness.state.store.snapshot();
        for (id, content) in [(first, "buy now"), (second, "good morning")] {
            let id = ReportId::parse(&id).unwrap();
            let report = MessageReport::from(snapshot.read().get(MESSAGE_REPORTS, id).unwrap());
            assert_eq!((report.content.as_str(), report.author_name.as_str()), (content, "alice"));
            assert_eq!((report.author_id, report.reporter_id), (UserId(1), UserId(2)));
            assert_eq!(report.server_id.map(|id| format!("/servers/{id}")), Some(server.clone()));
            assert_eq!((report.category.as_str(), report.details), ("other", None));
            assert_eq!((report.status, report.review), (report_status::PENDING, None));
        }
        let newest = snapshot.read().scan_rev(MESSAGE_REPORT_STATES, report_status::PENDING);
        assert_eq!(newest.count(), 2);
        assert_eq!((tally(&world, 0), tally(&world, 1)), (2, 0));
    }

    #[test]
    fn who_is_reported_is_there_and_somebody_else() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let path = "/reports/users";
        world.refused(&alice, ("POST", path, r#"{"user_id":1,"reason":"x"}"#), 400, "yourself");
        world.refused(&alice, ("POST", path, r#"{"user_id":3,"reason":"x"}"#), 404, "User not found");
        world.refused(&alice, ("POST", path, r#"{"user_id":2,"reason":" "}"#), 400, "Invalid reason");
        let list = r#"{"user_id":2,"reason":"x","evidence_message_ids":["x"]}"#;
        world.refused(&alice, ("POST", path, list), 400, "Invalid evidence_message_ids");
        assert_eq!(tally(&world, 1), 0, "a refusal writes nothing");
        let body = r#"{"user_id":2,"reason":"rude","category":"  ","evidence_message_ids":["7",8]}"#;
        let made = world.ok(&alice, "POST", path, body);
        let id = ReportId::parse(text_of(&made, "report_id")).unwrap();
        let snapshot = world.harness.state.store.snapshot();
        let report = UserReport::from(snapshot.read().get(USER_REPORTS, id).unwrap());
        let evidence: Vec<u64> = report.evidence.iter().map(|id| id.0).collect();
        assert_eq!((report.user_id, report.username.as_str(), evidence), (bob.id, "bob", vec![7, 8]));
        assert_eq!(report.category, "other");
        let gone = User { state: account::PURGED, ..User::default() };
        world.put(USERS, bob.id, &gone);
        world.refused(&alice, ("POST", path, body), 404, "User not found");
    }
}
