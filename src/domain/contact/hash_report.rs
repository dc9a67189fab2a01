//! Reports of files, by their hash.
//!
//! Invariants: somebody reports a file once, and counts once, with whatever bots he has. What is decided of a file
//! stands in [`super::blocked`]; that so many have reported it is enough, until an administrator decides.

use rkyv::{Archive, Deserialize, Serialize};

use super::blocked;
use super::tally::HASH_REPORT_QUEUE;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::view::existing;
use crate::id::{MessageId, ReportId, UserId};
use crate::store::records::{HashReport, Meta, hash_status};
use crate::store::tables::{HASH_COUNTS, HASH_PENDING_COUNTS, HASH_REPORTERS, HASH_REPORTS};
use crate::wire::json::shape::shape;

/// Reports a file.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct HashReportCreate {
    /// Normalised.
    pub hash_value: String,
    pub phash_value: Option<String>,
    pub reason: String,
    pub details: Option<String>,
    pub uploader_id: Option<UserId>,
    pub message_id: Option<MessageId>,
    pub attachment_url: Option<String>,
    pub block_uploader: bool,
    /// People who have to report it until it is blocked; 0 = however many do, it is not.
    pub threshold: u64,
    /// Reports by one person that may wait to be looked at.
    pub waiting_max: u64,
}

/// A report of a file that the same person has reported before is that one, as it is.
pub(in crate::domain) fn hash_report_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &HashReportCreate,
) -> Result<ReportId> {
    let read = machine.read();
    let person_id = existing(read, actor)?.owner_id.as_ref().map_or(actor, |owner| UserId::from(&**owner));
    let hash_value = op.hash_value.as_str();
    if let Some(known) = read.get(HASH_REPORTERS, (person_id, hash_value)) {
        return Ok(ReportId(known.value.to_native()));
    }
    let pending = read.get(HASH_PENDING_COUNTS, person_id).map_or(0, |meta| meta.value.to_native());
    if pending >= op.waiting_max {
        let full = format!("{pending} files that you have reported wait to be looked at");
        return Err(Error::bad_request(full));
    }
    let count = read.get(HASH_COUNTS, hash_value).map_or(0, |meta| meta.value.to_native()) + 1;
    let is_enough = op.threshold > 0 && count >= op.threshold;
    let is_news = is_enough && blocked::find(read, hash_value).is_none();
    let report = HashReport {
        hash_value: op.hash_value.clone(),
        phash_value: op.phash_value.clone(),
        reporter_id: actor,
        person_id,
        reason: op.reason.clone(),
        details: op.details.clone(),
        uploader_id: op.uploader_id,
        message_id: op.message_id,
        attachment_url: op.attachment_url.clone(),
        block_uploader: op.block_uploader,
        status: hash_status::PENDING,
        reported_at: machine.unix_ms,
        review: None,
    };
    let report_id = ReportId(machine.next_id());
    machine.tx.put(HASH_REPORTS, report_id, &report);
    machine.tx.put(HASH_REPORTERS, (person_id, hash_value), &Meta { value: report_id.0 });
    machine.tx.put(HASH_COUNTS, hash_value, &Meta { value: count });
    machine.tx.put(HASH_PENDING_COUNTS, person_id, &Meta { value: pending + 1 });
    HASH_REPORT_QUEUE.enter(machine, report_id, report.status);
    if is_news {
        blocked::block(machine, hash_value, &op.reason, None);
    }
    Ok(report_id)
}

shape! {
    /// A report of a file has been taken.
    pub HashReportResponse(report_id: ReportId, is_blocked: bool) {
        success: bool = true,
        report_id: id = report_id.0,
        message: str = match is_blocked {
            true => "Thank you. This file is not taken any more.",
            false => "Thank you. The people who run this server will look at it.",
        },
    }
}
