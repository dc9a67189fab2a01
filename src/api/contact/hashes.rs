//! Reports of files by their hash, and which of them are blocked.

use super::reports::{DETAILS_CHARS_MAX, REASON_CHARS_MAX, require_enabled};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Id, Line, Needed, Or, Prose, Text, Written, fields};
use crate::domain::contact::blocked::{self, HashStatusResponse};
use crate::domain::contact::hash_report::{HashReportCreate, HashReportResponse};
use crate::domain::{Error, Result};
use crate::id::{MessageId, UserId};
use crate::limits::{HASH_CHARS_MAX, HASH_CHARS_MIN, HASH_PENDING_COUNT_MAX};

const LOOK_CHARS_MAX: usize = 64;
const ADDRESS_CHARS_MAX: usize = 2_000;

fields! {
    /// What is wrong with a file.
    pub HASH_REPORT: HashReportRequest {
        /// As uploads are answered: the SHA-256 of the file in hexadecimal digits, of either case.
        hash_value: Needed<Text> = Needed(Text(Chars::Configured(|_| HASH_CHARS_MIN..=HASH_CHARS_MAX))),
        reason: Needed<Written> = Needed(Written(1..=REASON_CHARS_MAX)),
        details: Prose = Prose(DETAILS_CHARS_MAX),
        /// What the picture looks like, by whichever measure; for those who look at the report.
        phash_value: Line = Line(LOOK_CHARS_MAX),
        uploader_id: Id = Id,
        message_id: Id = Id,
        attachment_url: Line = Line(ADDRESS_CHARS_MAX),
        /// Whether who uploaded it should be blocked as well. Those who look at the report decide.
        block_uploader: Or<Flag, bool> = Or(Flag, false),
    }
}

pub fn hash_report(ctx: &mut Ctx<'_>) -> Result<Step> {
    require_enabled(ctx)?;
    let body = ctx.body()?;
    let form = &HASH_REPORT;
    let hash_value = normalised(form.hash_value.read(&body)?)?;
    let op = HashReportCreate {
        hash_value: hash_value.clone(),
        phash_value: form.phash_value.read(&body)?.flatten(),
        reason: form.reason.read(&body)?,
        details: form.details.read(&body)?.filter(|details| !details.is_empty()),
        uploader_id: form.uploader_id.read(&body)?.map(UserId),
        message_id: form.message_id.read(&body)?.map(MessageId),
        attachment_url: form.attachment_url.read(&body)?.flatten(),
        block_uploader: form.block_uploader.read(&body)?,
        threshold: ctx.state.config.media_deduplication.auto_block_threshold,
        waiting_max: HASH_PENDING_COUNT_MAX,
    };
    ctx.submit(op, move |ctx, report_id| {
        let is_blocked = blocked::find(ctx.snapshot().read(), &hash_value).is_some();
        ctx.json(|out| HashReportResponse::write(out, report_id, is_blocked))
    })
}

pub fn hash_status_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let typed = ctx.param("hash_value");
    let hash_value = normalised(&typed)?;
    let snapshot = ctx.snapshot();
    let blocked = blocked::find(snapshot.read(), &hash_value);
    ctx.json(|out| HashStatusResponse::write(out, &typed, blocked))
}

fn normalised(typed: &str) -> Result<String> {
    blocked::normalised(typed).ok_or_else(|| {
        let problem = format_args!("must be {HASH_CHARS_MIN} to {HASH_CHARS_MAX} characters without blanks");
        Error::invalid("hash_value", problem)
    })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{World, text_of};
    use crate::domain::contact::blocked::check_file;
    use crate::id::{ReportId, UserId};
    use crate::store::records::{HashReport, hash_status};
    use crate::store::tables::*;

    const PATH: &str = "/media/report";

    fn body(hash: &str) -> String {
        format!(r#"{{"hash_value":"{hash}","reason":"bad picture","details":" "}}"#)
    }

    #[test]
    fn five_people_block_a_file() {
        let world = World::default();
        let people: Vec<_> = (1..=6).map(|n| world.user(n, &format!("user{n}"))).collect();
        let hash = "AB".repeat(32);
        let status = format!("/media/hash/{hash}/status");
        let may_be_kept = || check_file(world.harness.state.store.snapshot().read(), &[0xab; 32]).is_ok();
        let mut first = String::new();
        for (index, who) in people.iter().enumerate().take(5) {
            assert!(may_be_kept());
            let shown = world.ok(who, "GET", &status, "");
            assert_eq!(shown, format!(r#"{{"hash_value":"{hash}","is_blocked":false,"reason":null}}"#));
            let made = world.ok(who, "POST", PATH, &body(&hash));
            // Whoever says it again, in whatever case, has said it once.
            let again = world.ok(who, "POST", PATH, &body(&hash.to_lowercase()));
            assert_eq!(text_of(&again, "report_id"), text_of(&made, "report_id"));
            assert_eq!(text_of(&made, "message").contains("not taken"), index == 4);
            if index == 0 {
                first = text_of(&made, "report_id").to_string();
            }
        }
        assert!(!may_be_kept());
        let shown = world.ok(&people[5], "GET", &status, "");
        assert_eq!(text_of(&shown, "reason"), "bad picture");
        let made = world.ok(&people[5], "POST", PATH, &body(&hash));
        assert!(text_of(&made, "message").contains("not taken"));
        let snapshot = world.harness.state.store.snapshot();
        let id = ReportId::parse(&first).unwrap();
        let report = HashReport::from(snapshot.read().get(HASH_REPORTS, id).unwrap());
        assert_eq!((report.reporter_id, report.person_id), (UserId(1), UserId(1)));
        assert_eq!((report.status, report.details), (hash_status::PENDING, None));
        let tally = snapshot.read().get(TALLIES, (3, hash_status::PENDING)).unwrap();
        assert_eq!(tally.value.to_native(), 6);
        let order: Vec<_> = snapshot.read().scan(BLOCKED_HASH_ORDER, ()).collect();
        assert_eq!((order.len(), order[0].1.value.as_str()), (1, &*hash.to_lowercase()));
    }

    #[test]
    fn reports_that_wait_are_bounded() {
        let world = World::default();
        let who = world.user(1, "eager");
        let waiting = crate::limits::HASH_PENDING_COUNT_MAX;
        world.put(HASH_PENDING_COUNTS, who.id, &crate::store::records::Meta { value: waiting - 1 });
        world.ok(&who, "POST", PATH, &body(&"a".repeat(64)));
        world.refused(&who, ("POST", PATH, &body(&"b".repeat(64))), 400, "wait to be looked at");
        world.ok(&who, "POST", PATH, &body(&"a".repeat(64)));
    }
}
