//! Searching: messages, people, servers.
//!
//! Owns: the language of queries, who may find what, and pages of it. Everything is looked for on a lane of its own, in
//! slices; what is found is what is in the store at that moment and may be read by the one who asks.

mod cursor;
mod dates;
mod find;
pub mod messages;
#[cfg(test)]
mod model_tests;
mod plan;
mod query;
pub mod search;
pub mod servers;
#[cfg(test)]
mod tests;
pub mod users;

use super::ctx::Ctx;
use super::routes::Answer::{List, One};
use super::routes::routes;
use crate::domain::chat::message_view::MESSAGE;
use crate::domain::identity::right::Right;
use crate::domain::{Error, Result};
use crate::limits::SEARCH_LEN_MAX;

routes! {
    /// Search for messages that one may read, newest first.
    Get "/search/messages" => search::search_message_list.await, User, Default {
        right: Some(Right::MessagesRead),
        query: Some(&messages::MESSAGE_SEARCH),
        answer: One(messages::MessageSearchPageResponse::SHAPE),
    };
    /// Search for messages of a channel, newest first.
    Get "/channels/{channel_id}/messages/search" => messages::message_search.await, User, Default {
        right: Some(Right::MessagesRead),
        query: Some(&messages::CHANNEL_SEARCH),
        answer: List(MESSAGE),
    };
    /// Search for people by name.
    Get "/search/users" => search::search_user_list.await, User, Default {
        query: Some(&users::USER_SEARCH),
        answer: One(users::UserSearchPageResponse::SHAPE),
    };
    /// Search for servers that are listed; none is.
    Get "/search/servers" => search::search_server_list, User, Default {
        query: Some(&servers::SERVER_SEARCH),
        answer: One(servers::ServerSearchPageResponse::SHAPE),
    };
}

/// # Errors
/// 503 where search is switched off.
fn require_enabled(ctx: &Ctx<'_>) -> Result<()> {
    match ctx.state.config.search.enabled {
        true => Ok(()),
        false => Err(Error::new(503, "Search is switched off on this server")),
    }
}

/// Results of a page, of those that were asked for.
fn limit(ctx: &Ctx<'_>, limit: u64) -> usize {
    limit.min(ctx.state.config.search.result_limit) as usize
}

/// # Errors
/// 400 for what is too long to be searched for.
fn check_len(name: &str, text: &str) -> Result<()> {
    match text.chars().take(SEARCH_LEN_MAX + 1).count() > SEARCH_LEN_MAX {
        true => Err(Error::invalid(name, format_args!("must be at most {SEARCH_LEN_MAX} characters"))),
        false => Ok(()),
    }
}
