//! Feedback: what users write to those who run the server. Each becomes a ticket.
//!
//! How much somebody may send is a rule of its own, counted in the store: it holds over restarts, and with rate limits
//! switched off.

use rkyv::{Archive, Deserialize, Serialize};

use super::tally::TICKET_QUEUE;
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::view::existing;
use crate::id::{TicketId, UserId};
use crate::store::records::{FeedbackCount, Ticket, ticket_status};
use crate::store::tables::{FEEDBACK_COUNTS, TICKETS};
use crate::wire::json::shape::shape;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Writes to those who run the server.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FeedbackSend {
    pub content: String,
    pub category: Option<String>,
    /// 1 to 5.
    pub rating: Option<u8>,
    pub quota: Quota,
}

/// How much one user may send. A window begins with what is sent first in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct Quota {
    pub hour_max: u64,
    pub day_max: u64,
}

impl Quota {
    /// # Errors
    /// 429 with the time until there may be more.
    pub fn check(self, asking: Asking<'_>) -> Result<()> {
        let count = sent(asking);
        let windows = [
            (count.hour_count, self.hour_max, count.hour_from + HOUR_MS, "an hour"),
            (count.day_count, self.day_max, count.day_from + DAY_MS, "a day"),
        ];
        // Of two that are full the one that lasts longer counts.
        let full = windows.into_iter().filter(|(count, max, ..)| count >= max).max_by_key(|window| window.2);
        full.map_or(Ok(()), |(_, max, until, span)| {
            let wait = until.saturating_sub(asking.at).max(1);
            Err(Error::too_many(format!("You have sent all the feedback that you may: {max} {span}"), wait))
        })
    }
}

/// What somebody has sent in the windows that are open. Of those that are over nothing counts.
pub fn sent(asking: Asking<'_>) -> FeedbackCount {
    let count = asking.read.get(FEEDBACK_COUNTS, asking.who).map(FeedbackCount::from).unwrap_or_default();
    let is_over = |from: u64, span: u64| asking.at >= from.saturating_add(span);
    let fresh = |from, count, span| if is_over(from, span) { (asking.at, 0) } else { (from, count) };
    let (hour_from, hour_count) = fresh(count.hour_from, count.hour_count, HOUR_MS);
    let (day_from, day_count) = fresh(count.day_from, count.day_count, DAY_MS);
    FeedbackCount { hour_from, hour_count, day_from, day_count }
}

pub(in crate::domain) fn feedback_send(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &FeedbackSend,
) -> Result<TicketId> {
    let asking = machine.asking(actor);
    let username = existing(asking.read, actor)?.username.to_string();
    op.quota.check(asking)?;
    let count = sent(asking);
    let count = FeedbackCount { hour_count: count.hour_count + 1, day_count: count.day_count + 1, ..count };
    let ticket = Ticket {
        user_id: actor,
        username,
        content: op.content.clone(),
        category: op.category.clone(),
        rating: op.rating,
        status: ticket_status::OPEN,
        created_at: machine.unix_ms,
        resolved_at: None,
        resolved_by: None,
    };
    let ticket_id = TicketId(machine.next_id());
    machine.tx.put(TICKETS, ticket_id, &ticket);
    machine.tx.put(FEEDBACK_COUNTS, actor, &count);
    TICKET_QUEUE.enter(machine, ticket_id, ticket.status);
    Ok(ticket_id)
}

shape! {
    /// Feedback has been taken.
    pub FeedbackResponse(ticket_id: TicketId) {
        id: id = ticket_id.0,
        message: str = "Thank you for your feedback.",
    }
}

shape! {
    /// What the one who asks has sent, and may still send.
    pub FeedbackStatusResponse(is_enabled: bool, count: &FeedbackCount, quota: Quota) {
        enabled: bool = is_enabled,
        submissions_this_hour: u64 = count.hour_count,
        submissions_today: u64 = count.day_count,
        max_per_hour: u64 = quota.hour_max,
        max_per_day: u64 = quota.day_max,
        can_submit: bool = is_enabled && count.hour_count < quota.hour_max && count.day_count < quota.day_max,
    }
}
