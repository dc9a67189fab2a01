//! Tickets: what users have written, how far it is with it, and notes.

use super::lists::{LIMIT, OFFSET, queue_list};
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Needed, Or, Text, Word, fields};
use crate::domain::contact::tally::TICKET_QUEUE;
use crate::domain::contact::ticket::{
    NoteResponse, TicketNoteAdd, TicketResponse, TicketStatusSet, find, notes,
};
use crate::domain::{Error, Refusal, Result};
use crate::id::{TicketId, parse_id};
use crate::store::records::ticket_status;
use crate::store::tables::TICKET_NOTES;
use crate::wire::json::Array;

const CONTENT_CHARS: std::ops::RangeInclusive<usize> = 1..=2_000;

fields! {
    /// Which tickets.
    pub LIST_QUERY: TicketListQuery {
        status_filter: Word = Word(ticket_status::WORDS),
        limit: Or<Int, u64> = Or(Int(LIMIT), 50),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// How far it is with a ticket.
    pub STATUS: TicketStatusUpdateRequest {
        status: Needed<Word> = Needed(Word(ticket_status::WORDS)),
    }
}

fields! {
    /// Something to be kept in mind about a ticket.
    pub NOTE: NoteCreateRequest {
        content: Needed<Text> = Needed(Text(Chars::Configured(|_| CONTENT_CHARS))),
    }
}

fn named(ctx: &Ctx<'_>) -> Result<TicketId> {
    let id = parse_id(&ctx.param("ticket_id")).ok_or_else(|| Error::invalid_id("ticket"))?;
    find(ctx.snapshot().read(), TicketId(id))?;
    Ok(TicketId(id))
}

pub fn admin_ticket_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let query = &LIST_QUERY;
    let (state, part) =
        (query.status_filter.query(ctx)?, (query.limit.query(ctx)?, query.offset.query(ctx)?));
    queue_list(ctx, &TICKET_QUEUE, state, part, |out, _, id, ticket| TicketResponse::write(out, id, ticket))
}

pub fn admin_ticket_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let ticket_id = named(ctx)?;
    let snapshot = ctx.snapshot();
    let ticket = find(snapshot.read(), ticket_id)?;
    ctx.json(|out| TicketResponse::write(out, ticket_id, ticket))
}

pub async fn admin_ticket_status_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let status = {
        let body = ctx.body()?;
        ticket_status::code(STATUS.status.read(&body)?).expect("it is one of the words")
    };
    let ticket_id = named(ctx)?;
    ctx.act(TicketStatusSet { ticket_id, status }).await?;
    ctx.success()
}

pub fn admin_ticket_note_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let ticket_id = named(ctx)?;
    let snapshot = ctx.snapshot();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (note_id, note) in notes(snapshot.read(), ticket_id) {
            NoteResponse::write(list.item(), ticket_id, note_id, note);
        }
    })
}

pub async fn admin_ticket_note_add(ctx: &mut Ctx<'_>) -> Result<Step> {
    let content = {
        let body = ctx.body()?;
        let content = NOTE.content.read(&body)?.trim();
        check_len("content", content, CONTENT_CHARS)?;
        content.to_string()
    };
    let ticket_id = named(ctx)?;
    let note_id = ctx.act(TicketNoteAdd { ticket_id, content }).await?;
    let snapshot = ctx.snapshot();
    let note = snapshot.read().get(TICKET_NOTES, (ticket_id, note_id)).ok_or(Refusal::TicketNotFound)?;
    ctx.json(|out| NoteResponse::write(out, ticket_id, note_id, note))
}
