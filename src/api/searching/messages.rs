//! Searching for messages, everywhere or in one channel.

use std::time::Duration;

use super::cursor::{self, Of};
use super::find::{Budget, End, Found, find};
use super::plan::Request;
use super::query;
use crate::api::ctx::{Ctx, Step};
use crate::api::dispatch::whole;
use crate::api::fields::{Chars, Id, Int, Needed, Or, Text, fields};
use crate::domain::chat::message_view::{MESSAGE, Viewer, Writer};
use crate::domain::permission::MESSAGES_READ;
use crate::domain::{Asking, Error, Result};
use crate::effect::search::Search;
use crate::id::{ChannelId, MessageId, ServerId, UserId};
use crate::limits::{PAGE_LEN_MAX, SEARCH_LEN_MAX};
use crate::wire::json::shape::{Kind, Slot, shape};

/// A slice of a search: what one of the lane's threads does before it is another one's turn.
const SLICE: Budget = Budget { candidates: 20_000, time: Duration::from_millis(50) };
/// Slices until a page is given out although it is not full, with where to go on.
const SLICE_COUNT_MAX: usize = 20;

fields! {
    /// What messages to look for.
    pub MESSAGE_SEARCH: MessageSearchQuery {
        /// Words that must all occur, `"exact phrases"`, `from:name`, `in:channel`, `mentions:name`,
        /// `has:link|image|file|embed|video|audio|attachment`, `before:` and `after:` a day or a span, `pinned:true`;
        /// `-` in front of what must not be. An empty one finds nothing.
        query: Needed<Text> = Needed(Text(Chars::UpTo(SEARCH_LEN_MAX))),
        conversation_id: Id = Id,
        server_id: Id = Id,
        /// The same as `conversation_id`.
        channel_id: Id = Id,
        author_id: Id = Id,
        limit: Or<Int, u64> = Or(Int(1..=100), 25),
        /// `next_cursor` of the page before.
        cursor: Text = Text(Chars::Any),
    }
}

fields! {
    /// What messages of a channel to look for.
    pub CHANNEL_SEARCH: ChannelMessageSearchQuery {
        /// As `query` of the search for messages everywhere.
        content: Needed<Text> = Needed(Text(Chars::UpTo(SEARCH_LEN_MAX))),
        limit: Or<Int, u64> = Or(Int(1..=100), 25),
    }
}

shape! {
    /// Messages, newest first, and where the next page begins.
    pub MessageSearchPageResponse(results: &[u8], next_cursor: Option<&str>) {
        results: (Slot::list(&Kind::Object(MESSAGE))) = |out: &mut Vec<u8>| out.extend_from_slice(results),
        next_cursor: opt_str = next_cursor,
    }
}

pub async fn search_message_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    super::require_enabled(ctx)?;
    let text = MESSAGE_SEARCH.query.query(ctx)?;
    let limit = super::limit(ctx, MESSAGE_SEARCH.limit.query(ctx)?);
    let channel_id = MESSAGE_SEARCH.channel_id.query(ctx)?;
    let conversation_id = MESSAGE_SEARCH.conversation_id.query(ctx)?;
    let before = MESSAGE_SEARCH.cursor.query(ctx)?.map(|text| cursor::decode_number(Of::Messages, &text));
    let request = Request {
        conditions: query::parse(MESSAGE_SEARCH.query.name, &text, ctx.now().unix_ms)?,
        channel_id: channel_id.or(conversation_id).map(ChannelId),
        server_id: MESSAGE_SEARCH.server_id.query(ctx)?.map(ServerId),
        author_id: MESSAGE_SEARCH.author_id.query(ctx)?.map(UserId),
        before: before.transpose()?.map(MessageId),
    };
    let is_nowhere = channel_id.is_some() && conversation_id.is_some() && channel_id != conversation_id;
    let page = if is_nowhere { Page::default() } else { Page::find(ctx, request, limit).await? };
    let next = page.next.map(|before| cursor::encode(Of::Messages, &before.0.to_le_bytes()));
    ctx.json(|out| MessageSearchPageResponse::write(out, &page.list(), next.as_deref()))
}

pub async fn message_search(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    ctx.asking(&ctx.snapshot()).channel(channel_id)?.require(MESSAGES_READ)?;
    super::require_enabled(ctx)?;
    let text = CHANNEL_SEARCH.content.query(ctx)?;
    let limit = super::limit(ctx, CHANNEL_SEARCH.limit.query(ctx)?);
    let conditions = query::parse(CHANNEL_SEARCH.content.name, &text, ctx.now().unix_ms)?;
    let request = Request { conditions, channel_id: Some(channel_id), ..Request::default() };
    let page = Page::find(ctx, request, limit).await?;
    ctx.json(|out| out.extend_from_slice(&page.list()))
}

/// Results of several slices.
#[derive(Default)]
struct Page {
    /// Objects with commas between them.
    json: Vec<u8>,
    count: usize,
    /// Where the next page begins.
    next: Option<MessageId>,
}

/// What came of one slice.
struct Slice {
    json: Vec<u8>,
    count: usize,
    /// The last that is shown.
    last: Option<MessageId>,
    end: End,
}

impl Page {
    async fn find(ctx: &Ctx<'_>, mut request: Request, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        if request.conditions.is_empty() {
            return Ok(page);
        }
        for slice in 1.. {
            let Slice { json, count, last, end } = ask(ctx, request.clone(), limit - page.count).await?;
            if page.count > 0 && count > 0 {
                page.json.push(b',');
            }
            page.json.extend_from_slice(&json);
            page.count += count;
            match end {
                End::All => break,
                End::Enough => {
                    page.next = last.or(request.before);
                    break;
                }
                End::Before(before) if slice == SLICE_COUNT_MAX || page.json.len() >= PAGE_LEN_MAX => {
                    page.next = Some(before);
                    break;
                }
                End::Before(before) => request.before = Some(before),
            }
        }
        Ok(page)
    }

    fn list(&self) -> Vec<u8> {
        [b"[", &self.json[..], b"]"].concat()
    }
}

/// Has a slice done by the lane: at most `limit` messages, and whether there are more.
async fn ask(ctx: &Ctx<'_>, request: Request, limit: usize) -> Result<Slice> {
    let (store, index, at, who) =
        (ctx.state.store.clone(), ctx.state.search.clone(), ctx.now_ms(), ctx.user_id());
    let work = move || {
        let snapshot = store.snapshot();
        whole(|| {
            let asking = Asking { read: snapshot.read(), at, who };
            let look = index.look();
            match find(asking, &look, &request, limit + 1, SLICE) {
                Ok((found, end)) => Ok(written(asking, &found, limit, end)),
                Err(damaged) => {
                    drop(look);
                    index.damaged(damaged);
                    Err(Error::new(503, "The index of messages is being made anew; try again in a moment"))
                }
            }
        })
    };
    ctx.effect(Search(work)).await?
}

fn written(asking: Asking<'_>, found: &[Found<'_>], limit: usize, mut end: End) -> Slice {
    let (mut json, mut count) = (Vec::new(), 0);
    let shown = &found[..found.len().min(limit)];
    // Runs of one channel share what their writer looks up.
    for run in shown.chunk_by(|a, b| a.access.channel_id == b.access.channel_id) {
        if json.len() >= PAGE_LEN_MAX {
            break;
        }
        if count > 0 {
            json.push(b',');
        }
        let access = &run[0].access;
        let mut writer = Writer::new(&mut json, asking.read, access.channel_id, Viewer::user(access));
        count += writer.items(run.iter().map(|found| (found.message_id, found.message)));
    }
    if count < shown.len() {
        end = End::Enough;
    }
    let last = count.checked_sub(1).map(|at| shown[at].message_id);
    Slice { json, count, last, end }
}
