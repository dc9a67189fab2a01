//! Searching for servers that let themselves be found. No route lists a server, so none is found: what is asked is
//! checked, and the page is empty.

use super::cursor::{self, Of};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Needed, Or, Text, fields};
use crate::domain::Result;
use crate::limits::SEARCH_LEN_MAX;
use crate::wire::json::shape::{Kind, Slot, shape};

fields! {
    /// What servers to look for.
    pub SERVER_SEARCH: ServerSearchQuery {
        query: Needed<Text> = Needed(Text(Chars::UpTo(SEARCH_LEN_MAX))),
        category: Text = Text(Chars::Any),
        limit: Or<Int, u64> = Or(Int(1..=100), 25),
        /// `next_cursor` of the page before.
        cursor: Text = Text(Chars::Any),
    }
}

shape! {
    /// Servers that are listed: none is.
    pub ServerSearchPageResponse() {
        results: (Slot::list(&Kind::Map(&Kind::Any))) = |out: &mut Vec<u8>| out.extend_from_slice(b"[]"),
        next_cursor: opt_str = None,
    }
}

pub fn search_server_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    super::require_enabled(ctx)?;
    super::check_len(SERVER_SEARCH.query.name, &SERVER_SEARCH.query.query(ctx)?)?;
    SERVER_SEARCH.category.query(ctx)?;
    SERVER_SEARCH.limit.query(ctx)?;
    if let Some(text) = SERVER_SEARCH.cursor.query(ctx)? {
        cursor::decode(Of::Servers, &text)?;
    }
    ctx.json(ServerSearchPageResponse::write)
}
