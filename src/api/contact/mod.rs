//! What people tell those who run the server.

pub mod feedback;
pub mod reports;

use super::routes::Answer::One;
use super::routes::{json, routes};
use crate::domain::contact::feedback::{FeedbackResponse, FeedbackStatusResponse};
use crate::domain::contact::report::ReportResponse;
use crate::limits::FORM_LEN_MAX;

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
    /// Write to those who run the server.
    Post "/feedback" => feedback::feedback_send, User, Feedback {
        body: json(FORM_LEN_MAX),
        form: Some(&feedback::FEEDBACK),
        answer: One(FeedbackResponse::SHAPE),
    };
    /// How much one has written, and may still write.
    Get "/feedback/status" => feedback::feedback_status, User, Default { answer: One(FeedbackStatusResponse::SHAPE) };
}
