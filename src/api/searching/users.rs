//! Searching for people by their names: those that begin with what is searched for, then those of which it is a word.
//!
//! The names of all accounts are one table in order, so a beginning is a range of it. For the words inside of names there
//! is no table: all names are gone through, some 10 million a second, in slices on the lane.

use std::time::{Duration, Instant};

use super::cursor::{self, Of};
use crate::api::ctx::{Ctx, Step};
use crate::api::dispatch::whole;
use crate::api::fields::{Chars, Id, Int, Needed, Or, Text, fields};
use crate::domain::social::relationship;
use crate::domain::{Asking, Result, view};
use crate::effect::search::Search;
use crate::id::{ServerId, UserId};
use crate::limits::{SEARCH_LEN_MAX, USERNAME_LEN_MAX};
use crate::store::tables::{MEMBERS, USER_NAMES, USERS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

const SLICE: Duration = Duration::from_millis(50);
const SLICE_COUNT_MAX: usize = 20;
/// Names until somebody looks at the time.
const NAMES: usize = 1_024;
/// A blocked pair, no member, no longer there: looked up one by one.
const WORD_BREAK: char = '_';

fields! {
    /// Whom to look for.
    pub USER_SEARCH: UserSearchQuery {
        /// What the name begins with, or a word of it, in whatever case. An empty one finds nobody.
        query: Needed<Text> = Needed(Text(Chars::UpTo(SEARCH_LEN_MAX))),
        /// Only its members; for members.
        server_id: Id = Id,
        limit: Or<Int, u64> = Or(Int(1..=100), 25),
        /// `next_cursor` of the page before.
        cursor: Text = Text(Chars::Any),
    }
}

shape! {
    /// Somebody who was found.
    pub UserSearchResultResponse(asking: Asking<'_>, user_id: UserId, score: u64) {
        user_id: id = user_id.0,
        username: str = view::username(asking.read, user_id),
        display_name: opt_str = None,
        avatar_url: (Slot::str) = view::avatar_url(user_id),
        badges: (Slot::list(&Kind::Text)) = view::badges(asking.read.get(USERS, user_id)),
        /// How much of the name was searched for, of 100.
        score: u64 = score,
    }
}

shape! {
    /// People, and where the next page begins.
    pub UserSearchPageResponse(results: &[u8], next_cursor: Option<&str>) {
        results: (Slot::list(&Kind::Object(UserSearchResultResponse::SHAPE))) =
            |out: &mut Vec<u8>| out.extend_from_slice(results),
        next_cursor: opt_str = next_cursor,
    }
}

/// After whom a search goes on: whether beginnings are done, and the last name that was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    within: bool,
    after: String,
}

impl Place {
    fn encode(&self) -> String {
        cursor::encode(Of::Users, &[&[u8::from(self.within)], self.after.as_bytes()].concat())
    }

    fn decode(text: &str) -> Result<Place> {
        let bytes = cursor::decode(Of::Users, text)?;
        let (first, name) = bytes.split_first().unwrap_or((&0, &[]));
        Ok(Place { within: *first == 1, after: String::from_utf8_lossy(name).into_owned() })
    }
}

pub async fn search_user_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    super::require_enabled(ctx)?;
    let query = USER_SEARCH.query.query(ctx)?.trim().trim_start_matches('@').to_ascii_lowercase();
    super::check_len(USER_SEARCH.query.name, &query)?;
    let limit = super::limit(ctx, USER_SEARCH.limit.query(ctx)?);
    let server_id = USER_SEARCH.server_id.query(ctx)?.map(ServerId);
    let place = USER_SEARCH.cursor.query(ctx)?.map(|text| Place::decode(&text)).transpose()?;
    if let Some(server_id) = server_id {
        ctx.asking(&ctx.snapshot()).server(server_id)?;
    }
    let mut found = Vec::new();
    let mut place =
        Some(place.unwrap_or_default()).filter(|_| !query.is_empty() && query.len() <= USERNAME_LEN_MAX);
    for _ in 0..SLICE_COUNT_MAX {
        let Some(from) = place.take().filter(|_| found.len() <= limit) else { break };
        let wanted = Wanted { query: query.clone(), server_id, count: limit + 1 - found.len() };
        let more;
        (more, place) = ask(ctx, wanted, from).await?;
        found.extend(more);
    }
    // One too many says that there are more: the next page begins with it.
    let next = match found.len() > limit {
        true => {
            found.truncate(limit);
            found.last().map(|last| last.place.clone())
        }
        false => place,
    };
    let next = next.map(|place| place.encode());
    let snapshot = ctx.snapshot();
    let asking = ctx.asking(&snapshot);
    let mut results = Vec::new();
    {
        let mut list = Array::new(&mut results);
        for Found { user_id, score, .. } in found {
            UserSearchResultResponse::write(list.item(), asking, user_id, score);
        }
    }
    ctx.json(|out| UserSearchPageResponse::write(out, &results, next.as_deref()))
}

struct Wanted {
    query: String,
    server_id: Option<ServerId>,
    count: usize,
}

struct Found {
    user_id: UserId,
    score: u64,
    /// After him.
    place: Place,
}

/// Has a slice done by the lane; with where to go on, if there is more to look at.
async fn ask(ctx: &Ctx<'_>, wanted: Wanted, from: Place) -> Result<(Vec<Found>, Option<Place>)> {
    let (store, at, who) = (ctx.state.store.clone(), ctx.now_ms(), ctx.user_id());
    let work = move || {
        let snapshot = store.snapshot();
        whole(|| Ok(find(Asking { read: snapshot.read(), at, who }, &wanted, from)))
    };
    ctx.effect(Search(work)).await?
}

fn find(asking: Asking<'_>, wanted: &Wanted, from: Place) -> (Vec<Found>, Option<Place>) {
    let until = Instant::now() + SLICE;
    let mut found = Vec::new();
    let mut after = from.after;
    for within in [false, true] {
        if from.within && !within {
            continue;
        }
        let prefix = if within { "" } else { wanted.query.as_str() };
        let names = match after.as_str() {
            "" => asking.read.scan(USER_NAMES, prefix),
            // No name has this letter: what begins with the last one and goes on is still to come.
            after => asking.read.scan_after(USER_NAMES, prefix, format!("{after}\0").as_str()),
        };
        for (count, (name, user)) in names.enumerate() {
            let user_id = UserId::from(&user.id);
            let is_one = name.starts_with(&wanted.query) != within
                && (!within || name.split(WORD_BREAK).any(|word| word == wanted.query));
            if is_one && is_shown(asking, wanted, user_id) {
                let score = (100 * wanted.query.len() / name.len().max(1)) as u64;
                let place = Place { within, after: name.clone() };
                found.push(Found { user_id, score, place: place.clone() });
                if found.len() == wanted.count {
                    return (found, Some(place));
                }
            }
            if (count + 1).is_multiple_of(NAMES) && Instant::now() >= until {
                return (found, Some(Place { within, after: name }));
            }
        }
        after = String::new();
    }
    (found, None)
}

/// Whether the one who asks may find somebody: no block between them, and a member where members are wanted.
fn is_shown(asking: Asking<'_>, wanted: &Wanted, user_id: UserId) -> bool {
    let Asking { read, who, .. } = asking;
    let is_there = wanted.server_id.is_none_or(|server_id| read.contains(MEMBERS, (server_id, user_id)));
    is_there && !relationship::blocked(read, who, user_id)
}
