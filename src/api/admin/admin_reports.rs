//! Reports of messages, of people and of files, and what administrators make of them.

use super::lists::{LIMIT, OFFSET, queue_list};
use crate::api::body::{Body, check_len};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Needed, Or, Text, Word, fields};
use crate::domain::contact::review::{
    AdminHashReportResponse, HashReportCountsResponse, HashReportReview, MessageReportResponse,
    MessageReportReview, ModerationReportCountsResponse, ModerationReportReviewResponse, UserReportResponse,
    UserReportReview, Verdict,
};
use crate::domain::contact::tally::{HASH_REPORT_QUEUE, MESSAGE_REPORT_QUEUE, Queue, USER_REPORT_QUEUE};
use crate::domain::{Error, Result};
use crate::id::{ReportId, parse_id};
use crate::store::Record;
use crate::store::records::{hash_status, report_status};

const NOTES_CHARS: std::ops::RangeInclusive<usize> = 0..=2_000;

/// What is done about a report, and the state that it has then.
const ACTIONS: &[(&str, u8)] = &[
    ("action", report_status::ACTIONED),
    ("dismiss", report_status::DISMISSED),
    ("review", report_status::REVIEWED),
];
const ACTION_WORDS: &[&str] = &["action", "dismiss", "review"];
/// The same of the report of a file.
const HASH_ACTIONS: &[(&str, u8)] =
    &[("block", hash_status::BLOCKED), ("clear", hash_status::CLEARED), ("dismiss", hash_status::CLEARED)];
const HASH_ACTION_WORDS: &[&str] = &["block", "clear", "dismiss"];

fields! {
    /// Which reports.
    pub LIST_QUERY: AdminReportListQuery {
        status_filter: Word = Word(report_status::WORDS),
        limit: Or<Int, u64> = Or(Int(LIMIT), 50),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// Which reports of files.
    pub HASH_LIST_QUERY: AdminHashReportListQuery {
        status_filter: Word = Word(hash_status::WORDS),
        limit: Or<Int, u64> = Or(Int(LIMIT), 50),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// What is done about a report.
    pub REVIEW: ModerationReportReviewRequest {
        action: Needed<Word> = Needed(Word(ACTION_WORDS)),
        notes: Text = Text(Chars::Configured(|_| NOTES_CHARS)),
    }
}

fields! {
    /// What is done about the report of a file.
    pub HASH_REVIEW: HashReportReviewRequest {
        action: Needed<Word> = Needed(Word(HASH_ACTION_WORDS)),
        notes: Text = Text(Chars::Configured(|_| NOTES_CHARS)),
    }
}

pub fn admin_message_report_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (state, part) = asked(ctx)?;
    queue_list(ctx, &MESSAGE_REPORT_QUEUE, state, part, |out, _, id, report| {
        MessageReportResponse::write(out, id, report);
    })
}

pub fn admin_user_report_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (state, part) = asked(ctx)?;
    queue_list(ctx, &USER_REPORT_QUEUE, state, part, |out, _, id, report| {
        UserReportResponse::write(out, id, report);
    })
}

pub fn admin_hash_report_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let query = &HASH_LIST_QUERY;
    let (state, part) =
        (query.status_filter.query(ctx)?, (query.limit.query(ctx)?, query.offset.query(ctx)?));
    queue_list(ctx, &HASH_REPORT_QUEUE, state, part, |out, read, id, report| {
        AdminHashReportResponse::write(out, read, id, report);
    })
}

/// Which reports: a state, and a part.
fn asked(ctx: &Ctx<'_>) -> Result<(Option<&'static str>, (u64, u64))> {
    let query = &LIST_QUERY;
    Ok((query.status_filter.query(ctx)?, (query.limit.query(ctx)?, query.offset.query(ctx)?)))
}

pub fn admin_message_report_counts(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer_counts(ctx, &MESSAGE_REPORT_QUEUE)
}

pub fn admin_user_report_counts(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer_counts(ctx, &USER_REPORT_QUEUE)
}

fn answer_counts<V: Record>(ctx: &mut Ctx<'_>, queue: &Queue<ReportId, V>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let count = |status| queue.count(read, status);
    ctx.json(|out| ModerationReportCountsResponse::write(out, &count, queue.total(read)))
}

pub fn admin_hash_report_counts(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| HashReportCountsResponse::write(out, snapshot.read()))
}

/// The report that the path names, the action that the body does, its state, and notes.
fn review(
    ctx: &mut Ctx<'_>,
    action: fn(&Body<'_>) -> Result<String>,
    actions: &[(&str, u8)],
) -> Result<(ReportId, Verdict)> {
    let report_id = parse_id(&ctx.param("report_id")).ok_or_else(|| Error::invalid_id("report"))?;
    let body = ctx.body()?;
    let action = action(&body)?;
    let notes = REVIEW.notes.read(&body)?;
    check_len("notes", notes.unwrap_or_default(), NOTES_CHARS)?;
    let status = actions.iter().find(|(word, _)| *word == action).expect("it is one of the words").1;
    Ok((ReportId(report_id), Verdict { status, action, notes: notes.map(str::to_string) }))
}

fn answer(ctx: &mut Ctx<'_>, action: &str) -> Result<Step> {
    ctx.json(|out| ModerationReportReviewResponse::write(out, action))
}

pub async fn admin_message_report_review(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (report_id, verdict) = review(ctx, |body| Ok(REVIEW.action.read(body)?.to_string()), ACTIONS)?;
    let action = verdict.action.clone();
    ctx.act(MessageReportReview { report_id, verdict }).await?;
    answer(ctx, &action)
}

pub async fn admin_user_report_review(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (report_id, verdict) = review(ctx, |body| Ok(REVIEW.action.read(body)?.to_string()), ACTIONS)?;
    let action = verdict.action.clone();
    ctx.act(UserReportReview { report_id, verdict }).await?;
    answer(ctx, &action)
}

pub async fn admin_hash_report_review(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (report_id, verdict) =
        review(ctx, |body| Ok(HASH_REVIEW.action.read(body)?.to_string()), HASH_ACTIONS)?;
    let Verdict { status, action, notes } = verdict;
    ctx.act(HashReportReview { report_id, status, action: action.clone(), notes }).await?;
    answer(ctx, &action)
}

/// Both tables have the same words as their actions.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fields::Fields as _;

    #[test]
    fn every_action_leads_to_a_state() {
        let words =
            |actions: &[(&'static str, u8)]| actions.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        assert_eq!(words(ACTIONS), ACTION_WORDS);
        assert_eq!(words(HASH_ACTIONS), HASH_ACTION_WORDS);
        assert_eq!(REVIEW.name(), "ModerationReportReviewRequest");
    }
}
