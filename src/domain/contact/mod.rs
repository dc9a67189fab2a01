//! What people tell those who run the server: reports of messages, of people and of files, feedback, how fast it is.
//!
//! Nothing of it goes with what it is about: a report outlives the message and both accounts.

pub mod blocked;
pub mod feedback;
pub mod hash_report;
pub mod report;
pub mod tally;
pub mod telemetry;

use super::command::commands;
use crate::id::{ReportId, TicketId};

commands! { Contact:
    360 MessageReportCreate(report::MessageReportCreate) => message_report_create -> ReportId;
    361 UserReportCreate(report::UserReportCreate) => user_report_create -> ReportId;
    362 FeedbackSend(feedback::FeedbackSend) => feedback_send -> TicketId;
    363 TelemetryNote(telemetry::TelemetryNote) => telemetry_note -> (), system;
    364 CspReportNote(telemetry::CspReportNote) => csp_report_note -> (), system;
    450 HashReportCreate(hash_report::HashReportCreate) => hash_report_create -> ReportId;
}
