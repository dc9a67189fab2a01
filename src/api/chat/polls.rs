//! Polls: in a message that is being sent, and put into one later; votes, results, ends.

use std::ops::RangeInclusive;

use crate::api::body::{Body, check_len};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{
    Chars, ConfiguredInt, Flag, Id, Ids, Name, Named, Needed, Or, Schema, Word, fields,
};
use crate::api::moderation::judging::{self, Speech, Spoken, Whence};
use crate::config::Config;
use crate::domain::chat::message_view::Viewer;
use crate::domain::chat::poll::{self, NewPoll, PollClose, PollCreate, PollDelete, PollPost, PollVote};
use crate::domain::chat::poll_view::{PollResponse, PollResultsResponse, Seen};
use crate::domain::{Asking, Error, Refusal, Result};
use crate::id::{ChannelId, MessageId};
use crate::limits::{POLL_OPTION_COUNT_MAX, POLL_OPTION_LEN_MAX, POLL_QUESTION_LEN_MAX};
use crate::store::records::poll_visibility;
use crate::store::tables::POLLS;
use crate::text;
use crate::wire::json::{Object, Value};

const HOUR_MS: u64 = 3_600_000;

fn question_range(_: &Config) -> RangeInclusive<usize> {
    1..=POLL_QUESTION_LEN_MAX
}

fn hours_range(config: &Config) -> RangeInclusive<u64> {
    1..=config.polls.max_duration_hours
}

/// What can be chosen: texts of one line.
pub struct Choices;

impl Choices {
    fn count(config: &Config) -> RangeInclusive<usize> {
        2..=config.polls.max_options as usize
    }
}

impl Schema for Choices {
    fn write_schema(&self, config: &Config, schema: &mut Object<'_>) {
        let count = Choices::count(config);
        schema.str("type", "array").u64("minItems", *count.start() as u64);
        schema.u64("maxItems", *count.end() as u64);
        let mut items = schema.object("items");
        items.str("type", "string").u64("minLength", 1).u64("maxLength", POLL_OPTION_LEN_MAX as u64);
    }
}

impl Named<Needed<Choices>> {
    /// # Errors
    /// 400 when it is no list of texts, has too few or too many, or one of them is blank or too long.
    fn read(&self, body: &Body<'_>, config: &Config) -> Result<Vec<String>> {
        let count = Choices::count(config);
        let items = body.list(self.name, *count.end())?;
        if items.len() < *count.start() {
            let (start, end) = count.into_inner();
            return Err(Error::invalid(
                self.name,
                format_args!("must be {start} to {end}, not {}", items.len()),
            ));
        }
        items.iter().map(|item| self.read_one(item)).collect()
    }

    fn read_one(&self, item: &Value<'_>) -> Result<String> {
        /// What is much longer than it may be is not cleaned first.
        const RAW_LEN_MAX: usize = 16 * POLL_OPTION_LEN_MAX;
        let typed = item.as_str().ok_or_else(|| Error::invalid(self.name, "each must be a string"))?;
        let text = if typed.len() > RAW_LEN_MAX { typed.into() } else { text::line(typed) };
        if text::is_blank(&text) {
            return Err(Error::invalid(self.name, "none may be blank"));
        }
        check_len(self.name, &text, 1..=POLL_OPTION_LEN_MAX)?;
        Ok(text.into_owned())
    }
}

fields! {
    /// What a message asks.
    pub POLL_INLINE: PollInlineCreateRequest {
        question: Needed<Name> = Needed(Name(Chars::Configured(question_range))),
        options: Needed<Choices> = Needed(Choices),
        /// Without it the poll runs until somebody ends it.
        duration_hours: ConfiguredInt = ConfiguredInt(hours_range),
        allow_multiple_choice: Or<Flag, bool> = Or(Flag, false),
        /// Who is shown the results before the end: everybody, who has voted, nobody. `always` when it is not given.
        results_visibility: Word = Word(poll_visibility::WORDS),
    }
}

fields! {
    /// What an own message asks from now on.
    pub POLL_CREATE: PollCreateRequest {
        question: Needed<Name> = Needed(Name(Chars::Configured(question_range))),
        options: Needed<Choices> = Needed(Choices),
        /// Without it the poll runs until somebody ends it.
        duration_hours: ConfiguredInt = ConfiguredInt(hours_range),
        allow_multiple_choice: Or<Flag, bool> = Or(Flag, false),
        /// Who is shown the results before the end: everybody, who has voted, nobody. `always` when it is not given.
        results_visibility: Word = Word(poll_visibility::WORDS),
        message_id: Needed<Id> = Needed(Id),
    }
}

fields! {
    /// What somebody chooses; what he chose before counts no longer.
    pub POLL_VOTE: PollVoteRequest {
        /// One, unless the poll allows several.
        option_ids: Needed<Ids> = Needed(Ids(POLL_OPTION_COUNT_MAX)),
    }
}

/// A poll as it stands in a body.
///
/// # Errors
/// 400 when it is none.
pub fn read_poll(body: &Body<'_>, config: &Config) -> Result<NewPoll> {
    let form = &POLL_INLINE;
    let visibility = form.results_visibility.read(body)?.and_then(poll_visibility::code);
    let results_visibility = visibility.unwrap_or(poll_visibility::ALWAYS);
    Ok(NewPoll {
        question: form.question.read(body, config)?,
        options: form.options.read(body, config)?,
        duration_ms: form.duration_hours.read(body, config)?.map(|hours| hours * HOUR_MS),
        allow_multiple_choice: form.allow_multiple_choice.read(body)?,
        results_visibility,
    })
}

fn texts(poll: &NewPoll) -> Vec<&str> {
    [&poll.question].into_iter().chain(&poll.options).map(String::as_str).collect()
}

impl Spoken for PollPost {
    fn speech(&self) -> Speech<'_> {
        Speech { beside: texts(&self.poll), ..self.message.speech() }
    }
}

impl Spoken for PollCreate {
    fn speech(&self) -> Speech<'_> {
        Speech { beside: texts(&self.poll), ..Speech::default() }
    }
}

pub async fn poll_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let message_id = MessageId(POLL_CREATE.message_id.read(&body)?);
    let poll = read_poll(&body, &ctx.state.config)?;
    let author = ctx.user_id();
    let place = poll::own_place(ctx.snapshot().read(), author, message_id);
    let Some(channel_id) = place else {
        let look = move |asking: Asking<'_>| Ok(poll::refusal_of_others(asking, message_id));
        return Err(ctx.read(look).await?);
    };
    let whence = Whence { channel_id, author, webhook: None, edits: Some(message_id) };
    let op = PollCreate { channel_id, message_id, poll };
    let place = judging::decide(ctx, author, whence, op).await?;
    answer_created(ctx, place)
}

fn answer_created(ctx: &mut Ctx<'_>, (_, message_id): (ChannelId, MessageId)) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let poll = snapshot.read().get(POLLS, message_id).ok_or(Refusal::PollNotFound)?;
    let viewer = Viewer::fresh_author(ctx.user_id(), ctx.now_ms());
    let seen = Seen::new(snapshot.read(), message_id, poll, viewer);
    ctx.json(|out| PollResponse::write(out, seen))
}

/// Answers with the poll in the path.
fn answer(ctx: &mut Ctx<'_>, write: fn(&mut Vec<u8>, Seen<'_>)) -> Result<Step> {
    let (poll_id, snapshot) = (ctx.path_poll()?, ctx.snapshot());
    let found = poll::find(ctx.asking(&snapshot), poll_id)?;
    let viewer = Viewer::user(&found.access);
    let seen = Seen::new(snapshot.read(), found.message_id, found.poll, viewer);
    ctx.json(|out| write(out, seen))
}

pub fn poll_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer(ctx, PollResponse::write)
}

pub fn poll_results(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer(ctx, PollResultsResponse::write)
}

pub fn poll_vote(ctx: &mut Ctx<'_>) -> Result<Step> {
    let poll_id = ctx.path_poll()?;
    let option_ids = ctx.body().and_then(|body| POLL_VOTE.option_ids.read(&body));
    match option_ids {
        Ok(option_ids) => {
            ctx.submit(PollVote { poll_id, option_ids }, |ctx, _| answer(ctx, PollResultsResponse::write))
        }
        Err(error) => {
            poll::find(ctx.asking(&ctx.snapshot()), poll_id)?;
            Err(error)
        }
    }
}

pub fn poll_close(ctx: &mut Ctx<'_>) -> Result<Step> {
    let poll_id = ctx.path_poll()?;
    ctx.submit(PollClose { poll_id }, |ctx, _| answer(ctx, PollResponse::write))
}

pub fn poll_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let poll_id = ctx.path_poll()?;
    ctx.submit_success(PollDelete { poll_id })
}
