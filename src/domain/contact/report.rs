//! Reports of messages and of people.
//!
//! Invariants: a report says what was there when it was made, whatever is edited, deleted or purged later. The tables
//! by state name the same reports, and `TALLIES` counts them.

use rkyv::{Archive, Deserialize, Serialize};

use super::tally::{MESSAGE_REPORT_QUEUE, USER_REPORT_QUEUE};
use crate::domain::asking::Asking;
use crate::domain::chat::message::message_access;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::permission::Access;
use crate::domain::view::{existing, username};
use crate::id::{ChannelId, MessageId, ReportId, UserId};
use crate::store::records::{ArchivedMessage, MessageReport, UserReport, report_status};
use crate::store::tables::{CHANNELS, MESSAGE_REPORTS, USER_REPORTS};
use crate::wire::json::shape::shape;

/// Why something is reported.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Grounds {
    pub reason: String,
    pub category: String,
    pub details: Option<String>,
}

/// Reports a message as it is now.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageReportCreate {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    pub grounds: Grounds,
}

/// Reports somebody.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserReportCreate {
    pub user_id: UserId,
    pub grounds: Grounds,
    /// Messages that show it, as far as the reporter says.
    pub evidence: Vec<MessageId>,
}

/// Whoever may read a message may report it, as often as he likes.
///
/// # Errors
/// Those of [`message_access`].
pub fn check_message(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    message_access(asking, channel_id, message_id)
}

/// # Errors
/// 400 for oneself; 404 for who is not there.
pub fn check_user(asking: Asking<'_>, user_id: UserId) -> Result<()> {
    if user_id == asking.who {
        return Err(Error::invalid("user_id", "you cannot report yourself"));
    }
    existing(asking.read, user_id).map(drop)
}

pub(in crate::domain) fn message_report_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessageReportCreate,
) -> Result<ReportId> {
    let (channel_id, message_id) = (op.channel_id, op.message_id);
    let (_, message) = check_message(machine.asking(actor), channel_id, message_id)?;
    let (read, author_id) = (machine.read(), UserId::from(&message.author_id));
    // What everybody saw as its author.
    let author_name = match message.webhook.as_ref() {
        Some(webhook) => webhook.name.to_string(),
        None => username(read, author_id).to_string(),
    };
    let Grounds { reason, category, details } = op.grounds.clone();
    let report = MessageReport {
        message_id,
        channel_id,
        server_id: read.get(CHANNELS, channel_id).and_then(|channel| channel.server()),
        reporter_id: actor,
        author_id,
        author_name,
        content: message.content.to_string(),
        reason,
        category,
        details,
        status: report_status::PENDING,
        reported_at: machine.unix_ms,
        review: None,
    };
    let report_id = ReportId(machine.next_id());
    machine.tx.put(MESSAGE_REPORTS, report_id, &report);
    MESSAGE_REPORT_QUEUE.enter(machine, report_id, report.status);
    Ok(report_id)
}

pub(in crate::domain) fn user_report_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &UserReportCreate,
) -> Result<ReportId> {
    check_user(machine.asking(actor), op.user_id)?;
    let Grounds { reason, category, details } = op.grounds.clone();
    let report = UserReport {
        user_id: op.user_id,
        username: username(machine.read(), op.user_id).to_string(),
        reporter_id: actor,
        reason,
        category,
        details,
        evidence: op.evidence.clone(),
        status: report_status::PENDING,
        reported_at: machine.unix_ms,
        review: None,
    };
    let report_id = ReportId(machine.next_id());
    machine.tx.put(USER_REPORTS, report_id, &report);
    USER_REPORT_QUEUE.enter(machine, report_id, report.status);
    Ok(report_id)
}

shape! {
    /// A report has been taken.
    pub ReportResponse(report_id: ReportId) {
        success: bool = true,
        report_id: id = report_id.0,
        message: str = "Thank you. The people who run this server will look at it.",
    }
}
