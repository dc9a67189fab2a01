//! Tickets: what administrators do about what users have written to them.

use rkyv::{Archive, Deserialize, Serialize};

use super::tally::TICKET_QUEUE;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{TicketId, UserId};
use crate::limits::TICKET_NOTE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedTicket, ArchivedTicketNote, Ticket, TicketNote, ticket_status};
use crate::store::tables::{ADMINS, TICKET_NOTES, TICKETS};
use crate::wire::json::shape::{Slot, shape};

/// How far it is with a ticket.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TicketStatusSet {
    pub ticket_id: TicketId,
    /// A [`ticket_status`] code.
    pub status: u8,
}

/// Something to be kept in mind about it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TicketNoteAdd {
    pub ticket_id: TicketId,
    pub content: String,
}

/// # Errors
/// 404.
pub fn find(read: Read<'_>, ticket_id: TicketId) -> Result<&ArchivedTicket> {
    read.get(TICKETS, ticket_id).ok_or_else(|| Refusal::TicketNotFound.into())
}

/// The notes of a ticket, the oldest first.
pub fn notes(read: Read<'_>, ticket_id: TicketId) -> impl Iterator<Item = (u64, &ArchivedTicketNote)> {
    let notes = read.scan(TICKET_NOTES, ticket_id).take(TICKET_NOTE_COUNT_MAX);
    notes.map(|((_, note_id), note)| (note_id, note))
}

pub(in crate::domain) fn ticket_status_set(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &TicketStatusSet,
) -> Result<()> {
    let admin_id = machine.require_admin()?;
    let ticket = Ticket::from(find(machine.read(), op.ticket_id)?);
    let is_done = |status: u8| matches!(status, ticket_status::RESOLVED | ticket_status::CLOSED);
    let (resolved_at, resolved_by) = match (is_done(op.status), is_done(ticket.status)) {
        // From resolved to closed: it stays when it was resolved, and by whom.
        (true, true) => (ticket.resolved_at, ticket.resolved_by),
        (true, false) => (Some(machine.unix_ms), Some(admin_id.0)),
        (false, _) => (None, None),
    };
    let target = format!("ticket {} of {}", op.ticket_id, ticket.username);
    TICKET_QUEUE.turn(machine, op.ticket_id, (ticket.status, op.status), target);
    let ticket = Ticket { status: op.status, resolved_at, resolved_by, ..ticket };
    machine.tx.put(TICKETS, op.ticket_id, &ticket);
    Ok(())
}

/// Replies the id of the note.
pub(in crate::domain) fn ticket_note_add(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &TicketNoteAdd,
) -> Result<u64> {
    let admin_id = machine.require_admin()?;
    find(machine.read(), op.ticket_id)?;
    if notes(machine.read(), op.ticket_id).count() == TICKET_NOTE_COUNT_MAX {
        return Err(Error::bad_request(format!("A ticket has at most {TICKET_NOTE_COUNT_MAX} notes")));
    }
    let admin_name = machine.tx.get(ADMINS, admin_id).map(|admin| admin.username.to_string());
    let note = TicketNote {
        admin_id: admin_id.0,
        admin_name: admin_name.unwrap_or_default(),
        content: op.content.clone(),
        created_at: machine.unix_ms,
    };
    let note_id = machine.next_id();
    machine.tx.put(TICKET_NOTES, (op.ticket_id, note_id), &note);
    machine.note(Note::of(format!("ticket {}", op.ticket_id)).after(&op.content));
    Ok(note_id)
}

shape! {
    /// What somebody has written to those who run the server.
    pub TicketResponse(ticket_id: TicketId, ticket: &ArchivedTicket) {
        id: id = ticket_id.0,
        user_id: id = ticket.user_id.0.to_native(),
        username: str = &ticket.username,
        content: str = &ticket.content,
        category: opt_str = ticket.category.as_deref(),
        rating: opt_u64 = ticket.rating.as_ref().map(|rating| u64::from(*rating)),
        status: (Slot::word(ticket_status::WORDS)) = ticket_status::text(ticket.status),
        created_at: time = ticket.created_at.to_native(),
        resolved_at: opt_time = ticket.resolved_at.as_ref().map(|at| at.to_native()),
        resolved_by: opt_id = ticket.resolved_by.as_ref().map(|id| id.to_native()),
    }
}

shape! {
    /// Something that an administrator keeps in mind about a ticket.
    pub NoteResponse(ticket_id: TicketId, note_id: u64, note: &ArchivedTicketNote) {
        id: id = note_id,
        ticket_id: id = ticket_id.0,
        admin_id: id = note.admin_id.to_native(),
        admin_username: str = &note.admin_name,
        content: str = &note.content,
        created_at: time = note.created_at.to_native(),
    }
}
