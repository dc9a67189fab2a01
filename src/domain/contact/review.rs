//! What administrators make of reports. A review may be repeated; the last one counts.

use rkyv::{Archive, Deserialize, Serialize};

use super::blocked;
use super::silenced;
use super::tally::{HASH_REPORT_QUEUE, MESSAGE_REPORT_QUEUE, USER_REPORT_QUEUE};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::view::{existing, username};
use crate::id::{ReportId, UserId};
use crate::store::Read;
use crate::store::records::{
    ArchivedHashReport, ArchivedMessageReport, ArchivedReview, ArchivedUserReport, HashReport, MessageReport,
    Meta, Review, UserReport, hash_status, report_status,
};
use crate::store::tables::{HASH_COUNTS, HASH_PENDING_COUNTS, HASH_REPORTS, MESSAGE_REPORTS, USER_REPORTS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// What is done about the report of a message or of somebody.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Verdict {
    /// A [`report_status`] code.
    pub status: u8,
    /// The action, by its name.
    pub action: String,
    pub notes: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageReportReview {
    pub report_id: ReportId,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserReportReview {
    pub report_id: ReportId,
    pub verdict: Verdict,
}

/// What is done about the report of a file.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct HashReportReview {
    pub report_id: ReportId,
    /// A [`hash_status`] code.
    pub status: u8,
    pub action: String,
    pub notes: Option<String>,
}

fn reviewed(machine: &Machine<'_, '_>, action: &str, notes: Option<&str>) -> Result<Box<Review>> {
    Ok(Box::new(Review {
        by: machine.require_admin()?.0,
        at: machine.unix_ms,
        notes: notes.map(str::to_string),
        action: Some(action.to_string()),
    }))
}

fn missing() -> Error {
    Refusal::ReportNotFound.into()
}

pub(in crate::domain) fn message_report_review(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &MessageReportReview,
) -> Result<()> {
    let (report_id, verdict) = (op.report_id, &op.verdict);
    let review = reviewed(machine, &verdict.action, verdict.notes.as_deref())?;
    let report = machine.tx.get(MESSAGE_REPORTS, report_id).map(MessageReport::from).ok_or_else(missing)?;
    let target = format!("report {report_id} of {}", report.author_name);
    MESSAGE_REPORT_QUEUE.turn(machine, report_id, (report.status, verdict.status), target);
    let report = MessageReport { status: verdict.status, review: Some(review), ..report };
    machine.tx.put(MESSAGE_REPORTS, report_id, &report);
    Ok(())
}

pub(in crate::domain) fn user_report_review(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserReportReview,
) -> Result<()> {
    let (report_id, verdict) = (op.report_id, &op.verdict);
    let review = reviewed(machine, &verdict.action, verdict.notes.as_deref())?;
    let report = machine.tx.get(USER_REPORTS, report_id).map(UserReport::from).ok_or_else(missing)?;
    let target = format!("report {report_id} of {}", report.username);
    USER_REPORT_QUEUE.turn(machine, report_id, (report.status, verdict.status), target);
    machine.tx.put(
        USER_REPORTS,
        report_id,
        &UserReport { status: verdict.status, review: Some(review), ..report },
    );
    Ok(())
}

/// What is decided of a file: counting who reports it begins anew.
pub(in crate::domain) fn hash_report_review(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &HashReportReview,
) -> Result<()> {
    let report_id = op.report_id;
    let review = reviewed(machine, &op.action, op.notes.as_deref())?;
    let report = machine.tx.get(HASH_REPORTS, report_id).map(HashReport::from).ok_or_else(missing)?;
    let hash_value = report.hash_value.as_str();
    let admin_id = machine.require_admin()?;
    if op.status == hash_status::BLOCKED {
        blocked::put(machine, hash_value, &report.reason, Some(admin_id.0));
        let uploader = report.uploader_id.filter(|_| report.block_uploader);
        if let Some(uploader) = uploader.filter(|id| existing(machine.read(), *id).is_ok()) {
            silenced::put(machine, uploader, &report.reason, None);
        }
    } else {
        // What this report has brought about, and what many reporters have, is taken back; not another decision.
        let was_own = report.status == hash_status::BLOCKED;
        let is_automatic =
            blocked::find(machine.read(), hash_value).is_some_and(|known| known.blocked_by.is_none());
        if was_own || is_automatic {
            blocked::remove(machine, hash_value);
        }
    }
    machine.tx.put(HASH_COUNTS, hash_value, &Meta { value: 0 });
    if report.status == hash_status::PENDING {
        // Whoever is gone has none.
        let pending =
            machine.tx.get(HASH_PENDING_COUNTS, report.person_id).map(|meta| meta.value.to_native());
        if let Some(pending) = pending {
            let left = Meta { value: pending.saturating_sub(1) };
            machine.tx.put(HASH_PENDING_COUNTS, report.person_id, &left);
        }
    }
    HASH_REPORT_QUEUE.turn(machine, report_id, (report.status, op.status), hash_value);
    machine.tx.put(
        HASH_REPORTS,
        report_id,
        &HashReport { status: op.status, review: Some(review), ..report },
    );
    Ok(())
}

// ------------------------------------------------------------------------------------------- view

fn at(review: Option<&ArchivedReview>) -> Option<u64> {
    review.map(|review| review.at.to_native())
}

fn by(review: Option<&ArchivedReview>) -> Option<u64> {
    review.map(|review| review.by.to_native())
}

fn notes(review: Option<&ArchivedReview>) -> Option<&str> {
    review.and_then(|review| review.notes.as_deref())
}

fn action(review: Option<&ArchivedReview>) -> Option<&str> {
    review.and_then(|review| review.action.as_deref())
}

shape! {
    /// A report of a message, with what that said then.
    pub MessageReportResponse(report_id: ReportId, report: &ArchivedMessageReport) {
        id: id = report_id.0,
        message_id: id = report.message_id.0.to_native(),
        channel_id: id = report.channel_id.0.to_native(),
        server_id: opt_id = report.server_id.as_ref().map(|id| id.0.to_native()),
        reporter_id: id = report.reporter_id.0.to_native(),
        reported_user_id: id = report.author_id.0.to_native(),
        reason: str = &report.reason,
        category: str = &report.category,
        details: opt_str = report.details.as_deref(),
        message_content: opt_str = Some(report.content.as_str()),
        status: (Slot::word(report_status::WORDS)) = report_status::text(report.status),
        reported_at: time = report.reported_at.to_native(),
        reviewed_at: opt_time = at(report.review.as_deref()),
        reviewed_by: opt_id = by(report.review.as_deref()),
        admin_notes: opt_str = notes(report.review.as_deref()),
        action_taken: opt_str = action(report.review.as_deref()),
    }
}

shape! {
    /// A report of somebody.
    pub UserReportResponse(report_id: ReportId, report: &ArchivedUserReport) {
        id: id = report_id.0,
        reported_user_id: id = report.user_id.0.to_native(),
        reporter_id: id = report.reporter_id.0.to_native(),
        reason: str = &report.reason,
        category: str = &report.category,
        details: opt_str = report.details.as_deref(),
        evidence_message_ids: (Slot::list(&Kind::Id)) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            report.evidence.iter().for_each(|id| list.id(id.0.to_native()));
        },
        status: (Slot::word(report_status::WORDS)) = report_status::text(report.status),
        reported_at: time = report.reported_at.to_native(),
        reviewed_at: opt_time = at(report.review.as_deref()),
        reviewed_by: opt_id = by(report.review.as_deref()),
        admin_notes: opt_str = notes(report.review.as_deref()),
        action_taken: opt_str = action(report.review.as_deref()),
    }
}

shape! {
    /// A report of a file.
    pub AdminHashReportResponse(read: Read<'_>, report_id: ReportId, report: &ArchivedHashReport) {
        id: id = report_id.0,
        hash_value: str = &report.hash_value,
        phash_value: opt_str = report.phash_value.as_deref(),
        reporter_id: id = report.reporter_id.0.to_native(),
        reporter_username: opt_str = Some(username(read, UserId::from(&report.reporter_id))),
        reason: str = &report.reason,
        details: opt_str = report.details.as_deref(),
        status: (Slot::word(hash_status::WORDS)) = hash_status::text(report.status),
        reported_at: time = report.reported_at.to_native(),
        reviewed_at: opt_time = at(report.review.as_deref()),
        reviewed_by: opt_id = by(report.review.as_deref()),
        admin_notes: opt_str = notes(report.review.as_deref()),
        uploader_id: opt_id = report.uploader_id.as_ref().map(|id| id.0.to_native()),
        message_id: opt_id = report.message_id.as_ref().map(|id| id.0.to_native()),
        attachment_url: opt_str = report.attachment_url.as_deref(),
        block_uploader: bool = report.block_uploader,
    }
}

shape! {
    /// How many reports of messages, or of people, are in each state.
    pub ModerationReportCountsResponse(counts: &dyn Fn(u8) -> u64, total: u64) {
        pending: u64 = counts(report_status::PENDING),
        reviewed: u64 = counts(report_status::REVIEWED),
        actioned: u64 = counts(report_status::ACTIONED),
        dismissed: u64 = counts(report_status::DISMISSED),
        total: u64 = total,
    }
}

shape! {
    /// How many reports of files are in each state.
    pub HashReportCountsResponse(read: Read<'_>) {
        pending: u64 = HASH_REPORT_QUEUE.count(read, hash_status::PENDING),
        blocked: u64 = HASH_REPORT_QUEUE.count(read, hash_status::BLOCKED),
        cleared: u64 = HASH_REPORT_QUEUE.count(read, hash_status::CLEARED),
        total: u64 = HASH_REPORT_QUEUE.total(read),
    }
}

shape! {
    /// A report has been reviewed.
    pub ModerationReportReviewResponse(action: &str) {
        success: bool = true,
        action: str = action,
    }
}
