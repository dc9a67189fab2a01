//! What people tell those who run the server.

pub mod csp;
pub mod feedback;
pub mod hashes;
pub mod reports;
pub mod telemetry;

use super::routes::Answer::{Nothing, One};
use super::routes::{BodyRule, json, routes};
use crate::domain::contact::blocked::HashStatusResponse;
use crate::domain::contact::feedback::{FeedbackResponse, FeedbackStatusResponse};
use crate::domain::contact::hash_report::HashReportResponse;
use crate::domain::contact::report::ReportResponse;
use crate::limits::{FORM_LEN_MAX, MIB};

routes! {
    /// Report a message, as it is now.
    Post "/reports/messages" => reports::message_report, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&reports::MESSAGE_REPORT),
        answer: One(ReportResponse::SHAPE),
    };
    /// Report somebody.
    Post "/reports/users" => reports::user_report, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&reports::USER_REPORT),
        answer: One(ReportResponse::SHAPE),
    };
    /// Report a file by its hash. One that enough people report is not taken any more.
    Post "/media/report" => hashes::hash_report, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&hashes::HASH_REPORT),
        answer: One(HashReportResponse::SHAPE),
    };
    /// Whether a file is taken, by its hash.
    Get "/media/hash/{hash_value}/status" => hashes::hash_status_get, User, Default {
        answer: One(HashStatusResponse::SHAPE),
    };
    /// Write to those who run the server.
    Post "/feedback" => feedback::feedback_send, User, Feedback {
        body: json(FORM_LEN_MAX),
        form: Some(&feedback::FEEDBACK),
        answer: One(FeedbackResponse::SHAPE),
    };
    /// How much one has written, and may still write.
    Get "/feedback/status" => feedback::feedback_status, User, Default { answer: One(FeedbackStatusResponse::SHAPE) };
    /// Tell how long requests took. They are added up by operation; nobody is remembered.
    Post "/telemetry/response-times" => telemetry::response_times, Public, Telemetry {
        body: json(FORM_LEN_MAX),
        form: Some(&telemetry::TELEMETRY),
        answer: One(telemetry::TelemetryResponse::SHAPE),
    };
    /// Where browsers report what a Content-Security-Policy has refused. They have no access token.
    Post "/telemetry/csp-report" => telemetry::csp_report.await, Public, Telemetry {
        ungated: true,
        body: BodyRule::Stream(MIB),
        answer: Nothing,
    };
}
