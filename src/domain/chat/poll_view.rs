//! JSON of polls: by itself, with its results, and within its message.
//!
//! What is chosen shows in the results alone, and there only to whom the poll allows it; an event is nobody's view.

use super::message_view::Viewer;
use super::poll::{is_over, vote};
use crate::domain::machine::last_moment;
use crate::domain::time::Offset;
use crate::id::{MessageId, PollId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedPoll, ArchivedPollOption, poll_visibility};
use crate::store::tables::POLLS;
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// A poll as somebody sees it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    message_id: MessageId,
    poll: &'a ArchivedPoll,
    offset: Offset,
    /// Whether it is over when he looks.
    is_ended: bool,
    /// What he chose, by bits.
    chosen: u64,
}

impl<'a> Seen<'a> {
    pub fn new(read: Read<'a>, message_id: MessageId, poll: &'a ArchivedPoll, viewer: Viewer) -> Seen<'a> {
        let (offset, is_ended, chosen) = match viewer {
            Viewer::Everyone { offset, .. } => (offset, poll.ended_at.is_some(), 0),
            Viewer::User { user_id, at, .. } => {
                let offset = last_moment(read).map_or(Offset::default(), |moment| moment.offset());
                (offset, is_over(poll, at), vote(read, PollId::from(&poll.id), user_id))
            }
        };
        Seen { message_id, poll, offset, is_ended, chosen }
    }

    fn ends_at(self) -> Option<u64> {
        self.poll.ends_at.as_ref().map(|ends_at| self.offset.shown(ends_at.to_native()))
    }

    fn ended_at(self) -> Option<u64> {
        let ended_at = self.poll.ended_at.as_ref().map(|ended_at| ended_at.to_native());
        ended_at.or_else(|| self.ends_at().filter(|_| self.is_ended))
    }

    fn total_votes(self) -> u64 {
        self.poll.options.iter().map(|option| option.votes.to_native()).sum()
    }

    fn shows_results(self) -> bool {
        self.is_ended
            || match self.poll.results_visibility {
                poll_visibility::ALWAYS => true,
                poll_visibility::AFTER_VOTE => self.chosen != 0,
                _ => false,
            }
    }

    fn write_options(self, out: &mut Vec<u8>, with_votes: bool) {
        let mut options = Array::new(out);
        for (position, option) in self.poll.options.iter().enumerate() {
            let votes = with_votes.then(|| option.votes.to_native());
            PollOptionResponse::write(options.item(), PollId::from(&self.poll.id), position, option, votes);
        }
    }

    fn write_chosen(self, out: &mut Vec<u8>) {
        let mut ids = Array::new(out);
        for (index, option) in self.poll.options.iter().enumerate() {
            if self.chosen >> index & 1 == 1 {
                ids.id(option.id.to_native());
            }
        }
    }
}

shape! {
    /// What can be chosen. How many did is told in the results, unless they are hidden.
    pub PollOptionResponse(poll_id: PollId, position: usize, option: &ArchivedPollOption, votes: Option<u64>) {
        id: id = option.id.to_native(),
        poll_id: id = poll_id.0,
        text: str = &option.text,
        position: u64 = position as u64,
        vote_count: opt_u64 = votes,
    }
}

const OPTIONS: Slot = Slot::list(&Kind::Object(PollOptionResponse::SHAPE));

shape! {
    /// What a message asks.
    pub PollResponse(seen: Seen<'_>) {
        id: id = PollId::from(&seen.poll.id).0,
        message_id: id = seen.message_id.0,
        question: str = &seen.poll.question,
        created_by: id = UserId::from(&seen.poll.creator_id).0,
        created_at: time = seen.poll.created_at.to_native(),
        ends_at: opt_time = seen.ends_at(),
        ended_at: opt_time = seen.ended_at(),
        allow_multiple_choice: bool = seen.poll.allow_multiple_choice,
        results_visibility: (Slot::word(poll_visibility::WORDS)) = poll_visibility::text(seen.poll.results_visibility),
        options: (OPTIONS) = |out: &mut Vec<u8>| seen.write_options(out, false),
        /// Of all options together.
        total_votes: u64 = seen.total_votes(),
        is_ended: bool = seen.is_ended,
    }
}

shape! {
    /// What was chosen, and by the caller.
    pub PollResultsResponse(seen: Seen<'_>) {
        poll: (Slot::object(PollResponse::SHAPE)) = |out: &mut Vec<u8>| PollResponse::write(out, seen),
        options: (OPTIONS) = |out: &mut Vec<u8>| seen.write_options(out, seen.shows_results()),
        total_votes: u64 = seen.total_votes(),
        user_voted: bool = seen.chosen != 0,
        user_votes: (Slot::list(&Kind::Id)) = |out: &mut Vec<u8>| seen.write_chosen(out),
    }
}

/// Appends `poll` and `poll_results` to a message.
pub fn write_both(out: &mut Vec<u8>, read: Read<'_>, message_id: MessageId, viewer: Viewer) {
    let Some(poll) = read.get(POLLS, message_id) else {
        return out.extend_from_slice(b",\"poll\":null,\"poll_results\":null");
    };
    let seen = Seen::new(read, message_id, poll, viewer);
    out.extend_from_slice(b",\"poll\":");
    PollResponse::write(out, seen);
    out.extend_from_slice(b",\"poll_results\":");
    PollResultsResponse::write(out, seen);
}
