//! What people tell those who run the server: reports of messages, of people and of files, feedback, how fast it is.
//!
//! Nothing of it goes with what it is about: a report outlives the message and both accounts.

pub mod blocked;
pub mod feedback;
pub mod hash_report;
pub mod report;
pub mod review;
pub mod silenced;
pub mod tally;
pub mod telemetry;
pub mod ticket;
pub mod times;

use super::command::commands;
use crate::id::{ReportId, TicketId};

commands! { Contact:
    360 MessageReportCreate(report::MessageReportCreate) => message_report_create -> ReportId;
    361 UserReportCreate(report::UserReportCreate) => user_report_create -> ReportId;
    362 FeedbackSend(feedback::FeedbackSend) => feedback_send -> TicketId;
    363 TelemetryNote(telemetry::TelemetryNote) => telemetry_note -> (), system;
    364 CspReportNote(telemetry::CspReportNote) => csp_report_note -> (), system;
    450 HashReportCreate(hash_report::HashReportCreate) => hash_report_create -> ReportId;
    520 MessageReportReview(review::MessageReportReview) => message_report_review -> (), system;
    521 UserReportReview(review::UserReportReview) => user_report_review -> (), system;
    522 HashReportReview(review::HashReportReview) => hash_report_review -> (), system;
    523 HashBlock(blocked::HashBlock) => hash_block -> (), system;
    524 HashUnblock(blocked::HashUnblock) => hash_unblock -> bool, frees_room, system;
    525 UserSilence(silenced::UserSilence) => user_silence -> (), frees_room, system;
    526 UserUnsilence(silenced::UserUnsilence) => user_unsilence -> bool, frees_room, system;
    550 TicketStatusSet(ticket::TicketStatusSet) => ticket_status_set -> (), frees_room, system;
    551 TicketNoteAdd(ticket::TicketNoteAdd) => ticket_note_add -> u64, system;
    600 ServerTimesNote(times::ServerTimesNote) => server_times_note -> (), system;
    601 TelemetryReset(times::TelemetryReset) => telemetry_reset -> (), frees_room, system;
}
