//! Examples of what is stored of files that nobody is to see.

use plexichat::id::{MessageId, UserId};
use plexichat::store::records::*;

use super::{AT, Records, number, some};

pub fn examples(records: &mut Records) {
    records.example(HashReport {
        hash_value: "0f".repeat(32),
        phash_value: some("8f00ff00ff00ff01"),
        reporter_id: UserId(number(17)),
        person_id: UserId(number(2)),
        reason: "bad".into(),
        details: some("seen twice"),
        uploader_id: Some(UserId(number(15))),
        message_id: Some(MessageId(number(4))),
        attachment_url: some("/a.png"),
        block_uploader: true,
        status: hash_status::CLEARED,
        reported_at: AT,
        review: Some(Box::new(Review { by: number(30), at: AT + 1, notes: some("fine"), action: None })),
    });
    records.example(BlockedHash {
        reason: "bad".into(),
        blocked_at: AT,
        blocked_by: Some(number(30)),
        order: number(33),
        look: Some(0x8f00_ff00_ff00_ff01),
    });
    records.example(HashRef { value: "0f".repeat(32) });
}
