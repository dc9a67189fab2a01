//! One example of each record of polls, with something in every field.

use plexichat::id::{ChannelId, MessageId, PollId, UserId};
use plexichat::store::records::*;

use super::{AT, Records, number};

pub fn examples(records: &mut Records) {
    let option = |n: u64| PollOption { id: number(41 + n), text: "Grüße".into(), votes: n };
    records.example(Poll {
        id: PollId(number(40)),
        creator_id: UserId(number(2)),
        question: "Tea?".into(),
        options: vec![option(1), option(2)],
        created_at: AT,
        ends_at: Some(AT + 1),
        ended_at: Some(AT + 2),
        allow_multiple_choice: true,
        results_visibility: poll_visibility::AFTER_VOTE,
        told_at: AT + 3,
        untold: true,
    });
    records.example(option(3));
    records.example(PollPlace { channel_id: ChannelId(number(3)), message_id: MessageId(number(4)) });
}
