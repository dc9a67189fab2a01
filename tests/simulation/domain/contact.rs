//! Reports and feedback: random commands, what they must be answered, and what is kept.

use std::collections::BTreeMap;

use plexichat::domain::contact::feedback::{FeedbackSend, Quota};
use plexichat::domain::contact::report::{Grounds, MessageReportCreate, UserReportCreate};
use plexichat::domain::contact::telemetry::{CspReportNote, TelemetryNote, Timing};
use plexichat::domain::contact::times::{ServerTimesNote, TelemetryReset, resets, row_count};
use plexichat::domain::permission::MESSAGES_READ;
use plexichat::domain::{Op, Reply, contact};
use plexichat::id::{MessageId, ServerId, UserId};
use plexichat::store::Read;
use plexichat::store::records::{FeedbackCount, MessageReport, ResponseTimes, Ticket, UserReport, account};
use plexichat::store::tables::{
    CSP_REPORTS, FEEDBACK_COUNTS, MESSAGE_REPORTS, RESPONSE_TIMES, TICKETS, USER_REPORTS,
};

use super::generate::Generator;
use super::model::*;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long a span of response times is.
fn span_ms(tier: u8) -> u64 {
    [300_000, HOUR_MS][usize::from(tier % 2)]
}

/// A report as it must be kept: of whom, in whose words, where.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    reporter: u64,
    about: u64,
    name: String,
    content: String,
    place: (u64, Option<u64>),
    messages: Vec<u64>,
    reason: String,
    at: u64,
}

/// Count, errors, sum, and when it lapses.
type Times = (u64, u64, u64, u64);

/// What was heard from users.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub message_reports: BTreeMap<u64, Report>,
    pub user_reports: BTreeMap<u64, Report>,
    /// Whose, what he was called, what he wrote, when.
    pub tickets: BTreeMap<u64, (u64, String, String, u64)>,
    /// By user: where his hour and his day began, and what he sent in them.
    counts: BTreeMap<u64, [(u64, u64); 2]>,
    /// Of response times by span, which one, operation: count, errors, sum, when it lapses.
    times: BTreeMap<(u8, u64, String), Times>,
    /// Of those, how often all were forgotten, and when last.
    resets: u64,
    forgotten_ms: u64,
    /// Of what browsers refused by day and rule: count, when it lapses.
    reports: BTreeMap<(u64, String), (u64, u64)>,
}

impl Generator<'_> {
    pub fn contact_command(&mut self, model: &Model) -> (u64, Op) {
        let grounds =
            Grounds { reason: self.name(), category: "other".into(), details: self.maybe(30, |g| g.text()) };
        match self.random.u8(..8) {
            6 | 7 => self.hash_command(model),
            0 | 1 => {
                let (actor, channel_id, message_id) = self.spot(model);
                (actor, MessageReportCreate { channel_id, message_id, grounds }.into())
            }
            4 | 5 => (if self.chance(25) { self.actor(model) } else { 0 }, self.telemetry_command(model)),
            2 => {
                let actor = self.actor(model);
                let user_id = UserId(if self.chance(10) { actor } else { self.user(model) });
                let evidence = self.maybe(30, |g| vec![MessageId(g.junk())]).unwrap_or_default();
                (actor, UserReportCreate { user_id, grounds, evidence }.into())
            }
            _ => {
                let quota = Quota { hour_max: self.random.u64(..4), day_max: self.random.u64(..8) };
                let rating = self.maybe(50, |g| g.random.u8(1..6));
                let op = FeedbackSend { content: self.text(), category: None, rating, quota };
                (self.actor(model), op.into())
            }
        }
    }
}

impl Generator<'_> {
    fn telemetry_command(&mut self, model: &Model) -> Op {
        if self.chance(8) {
            return TelemetryReset {}.into();
        }
        let retention_ms = [1_000, 86_400_000, 30 * DAY_MS][self.random.usize(..3)];
        if self.random.bool() {
            let directive = ["img-src", "script-src", "other"][self.random.usize(..3)].to_string();
            return CspReportNote {
                directive,
                blocked: self.text(),
                retention_ms,
                ..CspReportNote::default()
            }
            .into();
        }
        let operations =
            ["GET /users/@me", "POST /servers", "other"].into_iter().take(self.random.usize(1..4));
        let timings = operations.map(|operation| {
            let mut timing = Timing::new(operation.to_string());
            (0..self.random.u8(1..4))
                .for_each(|_| timing.add(self.random.u64(..100_000), self.random.bool(), (1, 2)));
            timing
        });
        let timings = timings.collect();
        if self.random.bool() {
            return TelemetryNote { timings, retention_ms }.into();
        }
        // What was measured before all was forgotten, and what since.
        let resets = model.heard.resets - u64::from(self.chance(20) && model.heard.resets > 0);
        let begun_ms = model.unix_ms.saturating_sub(self.random.u64(..400_000)).max(model.heard.forgotten_ms);
        ServerTimesNote { timings, begun_ms, resets, retention_ms }.into()
    }
}

impl Model {
    pub fn judge_contact(&self, actor: u64, op: &contact::Op) -> Result<Want, Refused> {
        match op {
            contact::Op::MessageReportCreate(op) => {
                let (channel, have) = self.access(actor, op.channel_id.0)?;
                require(have, MESSAGES_READ)?;
                some(channel.messages.get(&op.message_id.0), MISSING)?;
                Ok(Want::Report)
            }
            contact::Op::UserReportCreate(op) => {
                unless(op.user_id.0 == actor, BAD)?;
                self.existing(op.user_id.0)?;
                Ok(Want::Report)
            }
            contact::Op::HashReportCreate(op) => self.judge_hash_report(actor, op),
            contact::Op::TelemetryNote(_)
            | contact::Op::CspReportNote(_)
            | contact::Op::ServerTimesNote(_)
            | contact::Op::TelemetryReset(_) => {
                unless(actor != 0, FORBIDDEN)?;
                Ok(Want::Done)
            }
            contact::Op::UserSilence(op) => self.existing(op.user_id.0).map(|_| Want::Done),
            contact::Op::UserUnsilence(op) => {
                let is_due = |user: &User| user.deletion_at != 0 && user.deletion_at <= self.at;
                let silenced = &self.custody.silenced;
                match self.users.get(&op.user_id.0) {
                    // Of an account that goes in steps it may be gone already.
                    Some(user) if user.state != account::PURGED && is_due(user) => Ok(Want::Any),
                    _ => Ok(Want::Changed(silenced.contains_key(&op.user_id.0))),
                }
            }
            contact::Op::FeedbackSend(op) => {
                self.existing(actor)?;
                let [hour, day] = self.sent(actor);
                unless(hour.1 >= op.quota.hour_max || day.1 >= op.quota.day_max, SLOW)?;
                Ok(Want::Ticket)
            }
            op => self.judge_review(op),
        }
    }

    /// `tier`: of five minutes; that of hours is the next.
    fn add_times(&mut self, tier: u8, begun_ms: u64, timings: &[Timing], retention_ms: u64) {
        self.heard.forgotten_ms = self.heard.forgotten_ms.min(begun_ms);
        for (tier, kept_ms) in [(tier, retention_ms.min(2 * DAY_MS)), (tier + 1, retention_ms)] {
            for timing in timings {
                let key = (tier, begun_ms / span_ms(tier), timing.operation.clone());
                let lapses_at = self.at + span_ms(tier) + kept_ms;
                let row = self.heard.times.entry(key).or_insert((0, 0, 0, lapses_at));
                row.0 += timing.count;
                row.1 += timing.error_count;
                row.2 += timing.total_us;
            }
        }
    }

    /// What somebody has sent in his hour and his day.
    fn sent(&self, user: u64) -> [(u64, u64); 2] {
        let [hour, day] = self.heard.counts.get(&user).copied().unwrap_or_default();
        let open = |(from, count): (u64, u64), span| {
            if self.at < from + span { (from, count) } else { (self.at, 0) }
        };
        [open(hour, HOUR_MS), open(day, DAY_MS)]
    }

    pub fn take_contact(&mut self, actor: u64, op: &contact::Op, reply: &Reply) {
        let name_of = |user: u64| self.users.get(&user).map_or("System", |user| &*user.name).to_string();
        let at = self.unix_ms;
        match (op, reply) {
            (contact::Op::MessageReportCreate(op), Reply::Report(id)) => {
                let channel = &self.channels[&op.channel_id.0];
                let message = &channel.messages[&op.message_id.0];
                let report = Report {
                    reporter: actor,
                    about: message.author,
                    name: message.webhook.clone().unwrap_or_else(|| name_of(message.author)),
                    content: message.content.clone(),
                    place: (op.channel_id.0, channel.server),
                    messages: vec![op.message_id.0],
                    reason: op.grounds.reason.clone(),
                    at,
                };
                assert!(self.heard.message_reports.insert(id.0, report).is_none());
            }
            (contact::Op::UserReportCreate(op), Reply::Report(id)) => {
                let report = Report {
                    reporter: actor,
                    about: op.user_id.0,
                    name: name_of(op.user_id.0),
                    content: String::new(),
                    place: (0, None),
                    messages: op.evidence.iter().map(|id| id.0).collect(),
                    reason: op.grounds.reason.clone(),
                    at,
                };
                assert!(self.heard.user_reports.insert(id.0, report).is_none());
            }
            (contact::Op::HashReportCreate(op), Reply::Report(id)) => self.take_hash_report(actor, op, *id),
            (contact::Op::UserSilence(op), _) => {
                let until = op.life_ms.map(|life_ms| self.at + life_ms);
                self.custody.silenced.insert(op.user_id.0, until);
            }
            (contact::Op::UserUnsilence(op), _) => drop(self.custody.silenced.remove(&op.user_id.0)),
            (contact::Op::FeedbackSend(op), Reply::Ticket(id)) => {
                let ticket = (actor, name_of(actor), op.content.clone(), at);
                let counts = self.sent(actor).map(|(from, count)| (from, count + 1));
                assert!(self.heard.tickets.insert(id.0, ticket).is_none());
                self.heard.counts.insert(actor, counts);
            }
            (contact::Op::TelemetryNote(op), _) => self.add_times(0, at, &op.timings, op.retention_ms),
            (contact::Op::ServerTimesNote(op), _) => {
                if op.resets == self.heard.resets {
                    self.add_times(2, op.begun_ms, &op.timings, op.retention_ms);
                }
            }
            (contact::Op::TelemetryReset(_), _) => {
                (self.heard.resets, self.heard.forgotten_ms) = (self.heard.resets + 1, at);
                self.heard.times.retain(|(tier, slot, _), _| *slot < at / span_ms(*tier));
            }
            (contact::Op::CspReportNote(op), _) => {
                let lapses_at = self.at + DAY_MS + op.retention_ms;
                let row =
                    self.heard.reports.entry((at / DAY_MS, op.directive.clone())).or_insert((0, lapses_at));
                row.0 += 1;
            }
            (op, reply) => self.take_review(op, reply),
        }
    }

    /// What was heard stays when accounts go; how much they have sent is theirs.
    pub fn forget_counts(&mut self, user: u64) {
        self.heard.counts.remove(&user);
    }

    /// What has lapsed may be there still; what is there is what was told.
    fn compare_telemetry(&self, read: Read<'_>) {
        let is_lapsed = |lapses_at: u64| lapses_at <= self.at;
        let is_forgotten = |tier: u8, slot: u64| (slot + 1) * span_ms(tier) <= self.heard.forgotten_ms;
        let mut counted = 0;
        for (key, row) in read.scan(RESPONSE_TIMES, ()) {
            let row = ResponseTimes::from(row);
            let is_gone = is_lapsed(row.lapses_at) || is_forgotten(key.0, key.1);
            counted += u64::from(!is_forgotten(key.0, key.1));
            let got = (row.count, row.error_count, row.total_us, row.lapses_at);
            assert!(self.heard.times.get(&key) == Some(&got) || is_gone, "{key:?}: {got:?}");
            assert_eq!(row.classes.iter().map(|class| u64::from(class.count)).sum::<u64>(), row.count);
        }
        assert_eq!((resets(read), row_count(read)), (self.heard.resets, counted));
        for ((tier, slot, operation), row) in &self.heard.times {
            let is_there = read.contains(RESPONSE_TIMES, (*tier, *slot, &**operation));
            let is_gone = is_lapsed(row.3) || is_forgotten(*tier, *slot);
            assert!(is_there || is_gone, "{operation} in {slot} of {tier}");
        }
        for (key, row) in read.scan(CSP_REPORTS, ()) {
            let got = (row.count.to_native(), row.lapses_at.to_native());
            assert!(self.heard.reports.get(&key) == Some(&got) || is_lapsed(got.1), "{key:?}: {got:?}");
        }
        for ((day, directive), row) in &self.heard.reports {
            assert!(
                read.contains(CSP_REPORTS, (*day, &**directive)) || is_lapsed(row.1),
                "{directive} on {day}"
            );
        }
    }

    /// Housekeeping was there: what has lapsed is begun anew when it is told again.
    pub fn expire_telemetry(&mut self, read: Read<'_>) {
        let is_there = |tier: u8, slot: u64, name: &str| read.contains(RESPONSE_TIMES, (tier, slot, name));
        self.heard.times.retain(|(tier, slot, name), _| is_there(*tier, *slot, name));
        self.heard.reports.retain(|(day, name), _| read.contains(CSP_REPORTS, (*day, &**name)));
    }

    pub fn compare_heard(&self, read: Read<'_>) {
        self.compare_telemetry(read);
        self.compare_reviews(read);
        let stored = read.scan(MESSAGE_REPORTS, ()).map(|(id, record)| {
            let record = MessageReport::from(record);
            let report = Report {
                reporter: record.reporter_id.0,
                about: record.author_id.0,
                name: record.author_name,
                content: record.content,
                place: (record.channel_id.0, record.server_id.map(|ServerId(id)| id)),
                messages: vec![record.message_id.0],
                reason: record.reason,
                at: record.reported_at,
            };
            (id.0, report)
        });
        assert!(stored.eq(self.heard.message_reports.clone()), "reports of messages");
        let stored = read.scan(USER_REPORTS, ()).map(|(id, record)| {
            let record = UserReport::from(record);
            let report = Report {
                reporter: record.reporter_id.0,
                about: record.user_id.0,
                name: record.username,
                content: String::new(),
                place: (0, None),
                messages: record.evidence.iter().map(|id| id.0).collect(),
                reason: record.reason,
                at: record.reported_at,
            };
            (id.0, report)
        });
        assert!(stored.eq(self.heard.user_reports.clone()), "reports of users");
        let stored = read.scan(TICKETS, ()).map(|(id, record)| {
            let Ticket { user_id, username, content, created_at, .. } = Ticket::from(record);
            (id.0, (user_id.0, username, content, created_at))
        });
        assert!(stored.eq(self.heard.tickets.clone()), "tickets");
        let stored = read.scan(FEEDBACK_COUNTS, ()).map(|(user, record)| {
            let count = FeedbackCount::from(record);
            (user.0, [(count.hour_from, count.hour_count), (count.day_from, count.day_count)])
        });
        assert!(stored.eq(self.heard.counts.clone()), "what each has sent");
    }
}
