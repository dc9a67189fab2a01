//! Messages: history, posting, editing, deleting.
//!
//! Posting and editing go straight to the log when the body is good: apply makes all the other checks, in the
//! order of the contract and on the newest state. Only a bad body is checked against the snapshot first, because
//! a missing permission is told before a mistake in the body.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::attachments::Files;
use super::polls::{self, POLL_INLINE};
use super::{custom_emojis, embeds};
use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Id, Ids, Inner, Int, List, Needed, Or, Text, fields};
use crate::api::moderation::judging::{self, Speech, Spoken, Whence};
use crate::config::Config;
use crate::domain::chat::attachment::{FilesPost, Wanted};
use crate::domain::chat::message::{self, MessageCreate, MessageDelete, MessageEdit, MessagesDelete, Page};
use crate::domain::chat::message_view::{Viewer, Writer};
use crate::domain::chat::poll::{NewPoll, PollPost};
use crate::domain::identity::tier;
use crate::domain::permission::{MESSAGES_ATTACH_FILES, MESSAGES_EMBED_LINKS, MESSAGES_READ};
use crate::domain::social::setting;
use crate::domain::{Error, Refusal, Result};
use crate::id::{ChannelId, MessageId};
use crate::limits::MESSAGE_DELETE_COUNT_MAX;
use crate::store::tables::MESSAGES;
use crate::text;
use crate::wire::json::shape::shape;

fields! {
    /// A page of messages, newest first without `after`.
    pub MESSAGE_LIST: MessageListQuery {
        limit: Or<Int, u64> = Or(Int(1..=100), 50),
        before: Id = Id,
        after: Id = Id,
    }
}

/// Characters that a message may have at most; a tier or a user's own settings may allow fewer.
fn content_range(config: &Config) -> RangeInclusive<usize> {
    0..=config.messaging.max_message_length as usize
}

fields! {
    /// A message: content, embeds, a poll, or several of them.
    pub MESSAGE_CREATE: MessageCreateRequest {
        content: Text = Text(Chars::Configured(content_range)),
        reply_to_id: Id = Id,
        attachments: Files = Files,
        embeds: List = List(embeds::COUNT_MAX, "object"),
        poll: Inner = Inner(&POLL_INLINE),
    }
}

fields! {
    /// What a message says from now on.
    pub MESSAGE_EDIT: MessageUpdateRequest {
        content: Needed<Text> = Needed(Text(Chars::Configured(content_range))),
    }
}

fields! {
    /// Messages of one channel.
    pub MESSAGES_DELETE: MessageBulkDeleteRequest {
        /// At least one. Those that are not there are skipped.
        message_ids: Needed<Ids> = Needed(Ids(MESSAGE_DELETE_COUNT_MAX)),
    }
}

shape! {
    /// How many messages were deleted.
    pub MessageBulkDeleteResponse(count: u64) {
        success: bool = true,
        deleted_count: u64 = count,
    }
}

pub fn message_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    let access = ctx.asking(&snapshot).channel(channel_id)?;
    access.require(MESSAGES_READ)?;
    let page = Page {
        limit: MESSAGE_LIST.limit.query(ctx)? as usize,
        before: MESSAGE_LIST.before.query(ctx)?.map(MessageId),
        after: MESSAGE_LIST.after.query(ctx)?.map(MessageId),
    };
    ctx.json(|out| message::write_page(out, &access, page))
}

pub fn message_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    let snapshot = ctx.snapshot();
    let (access, message) = message::message_access(ctx.asking(&snapshot), channel_id, message_id)?;
    ctx.json(|out| message::write_one(out, &access, message_id, message))
}

pub fn message_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let body = ctx.body();
    let length_max = length_max(ctx);
    let config = &ctx.state.config;
    let read = |body| read_create(body, channel_id, length_max, config);
    let author = ctx.user_id();
    let whence = Whence { channel_id, author, webhook: None, edits: None };
    let op = body.as_ref().map_err(Clone::clone).and_then(read).map(|(mut message, poll, files)| {
        message.content = permitted(ctx, channel_id, message.content);
        (message, poll, files)
    });
    match op {
        Ok((op, None, files)) if files.is_empty() => judging::submit(ctx, author, whence, op, answer_created),
        Ok((message, Some(poll), files)) if files.is_empty() => {
            judging::submit(ctx, author, whence, PollPost { message, poll }, answer_created)
        }
        Ok((message, poll, files)) => {
            let op = FilesPost { message, poll: poll.map(Box::new), files, count_max: file_count_max(ctx) };
            judging::submit(ctx, author, whence, op, answer_created)
        }
        Err(error) => Err(refused_before_body(ctx, channel_id, body.ok().as_ref()).err().unwrap_or(error)),
    }
}

pub fn message_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    let length_max = length_max(ctx);
    let content = ctx.body().and_then(|body| Ok(read_content(&body, length_max)?.map(str::to_string)));
    match content
        .and_then(|content| content.ok_or_else(|| Error::invalid("content", "this field is required")))
    {
        Ok(content) => {
            let content = permitted(ctx, channel_id, content);
            let op = MessageEdit { channel_id, message_id, content, length_max };
            let author = ctx.user_id();
            let whence = Whence { channel_id, author, webhook: None, edits: Some(message_id) };
            judging::submit(ctx, author, whence, op, answer_edited)
        }
        Err(error) => {
            let snapshot = ctx.snapshot();
            message::editing_access(ctx.asking(&snapshot), channel_id, message_id)?;
            Err(error)
        }
    }
}

pub fn message_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    ctx.submit_success(MessageDelete { channel_id, message_id })
}

pub fn message_bulk_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    match ctx.body().and_then(|body| MESSAGES_DELETE.message_ids.read(&body)) {
        Ok(ids) => {
            let message_ids = ids.into_iter().map(MessageId).collect();
            ctx.submit(MessagesDelete { channel_id, message_ids }, |ctx, count| {
                ctx.json(|out| MessageBulkDeleteResponse::write(out, count))
            })
        }
        Err(error) => {
            message::check_delete_all(ctx.asking(&ctx.snapshot()), channel_id)?;
            Err(error)
        }
    }
}

impl Spoken for MessageCreate {
    fn speech(&self) -> Speech<'_> {
        Speech { content: &self.content, embeds: &self.embeds, ..Speech::default() }
    }
}

impl Spoken for MessageEdit {
    fn speech(&self) -> Speech<'_> {
        Speech { content: &self.content, ..Speech::default() }
    }
}

/// Answers the author with the message just edited; he may edit without `messages.read`.
fn answer_edited(ctx: &mut Ctx<'_>, (channel_id, message_id): (ChannelId, MessageId)) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let (access, message) = message::own_message(ctx.asking(&snapshot), channel_id, message_id)?;
    ctx.json(|out| message::write_one(out, &access, message_id, message))
}

/// Answers its author with the message just posted. Nobody has read it yet, and he may post without `messages.read`.
fn answer_created(ctx: &mut Ctx<'_>, (channel_id, message_id): (ChannelId, MessageId)) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let message = snapshot.read().get(MESSAGES, (channel_id, message_id)).ok_or(Refusal::MessageNotFound)?;
    let viewer = Viewer::fresh_author(ctx.user_id(), ctx.now_ms());
    ctx.json(|out| Writer::new(out, snapshot.read(), channel_id, viewer).message(message_id, message))
}

/// The text as its author may say it there.
fn permitted(ctx: &Ctx<'_>, channel_id: ChannelId, content: String) -> String {
    let snapshot = ctx.snapshot();
    match custom_emojis::permitted(ctx.asking(&snapshot), channel_id, &content) {
        Cow::Owned(changed) => changed,
        Cow::Borrowed(_) => content,
    }
}

/// Characters that a message of the asking user may have: the least of what the server, his tier and he himself allow.
fn length_max(ctx: &Ctx<'_>) -> u64 {
    let server_max = ctx.state.config.messaging.max_message_length;
    let len_max = tier::message_len_max(ctx.principal().tier, server_max);
    setting::message_len_max(ctx.snapshot().read(), ctx.user_id(), len_max)
}

/// Files that a message of the asking user may have.
fn file_count_max(ctx: &Ctx<'_>) -> u64 {
    let count_max = ctx.state.config.messaging.max_attachments_per_message;
    setting::attachment_max(ctx.snapshot().read(), ctx.user_id(), 0, count_max).1
}

// --------------------------------------------------------------------------------------------- body

/// What stands before a mistake in the body: channel, permissions, slowmode.
fn refused_before_body(ctx: &Ctx<'_>, channel_id: ChannelId, body: Option<&Body<'_>>) -> Result<()> {
    let snapshot = ctx.snapshot();
    let access = message::posting_access(ctx.asking(&snapshot), channel_id)?;
    let given =
        |field| body.and_then(|body| body.value(field)).is_some_and(|value| value.as_array() != Some(&[]));
    if given(MESSAGE_CREATE.attachments.name) {
        access.require(MESSAGES_ATTACH_FILES)?;
    }
    if given(MESSAGE_CREATE.embeds.name) {
        access.require(MESSAGES_EMBED_LINKS)?;
    }
    message::check_slowmode(&access)
}

fn read_create(
    body: &Body<'_>,
    channel_id: ChannelId,
    length_max: u64,
    config: &Config,
) -> Result<(MessageCreate, Option<NewPoll>, Vec<Wanted>)> {
    let content = read_content(body, length_max)?.unwrap_or_default();
    let reply_to_id = MESSAGE_CREATE.reply_to_id.read(body)?.map(MessageId);
    let files = MESSAGE_CREATE.attachments.read(body)?;
    let embeds = embeds::read(MESSAGE_CREATE.embeds.read(body)?)?;
    let poll = MESSAGE_CREATE.poll.read(body)?.map(|poll| polls::read_poll(&poll, config)).transpose()?;
    let has_more = !embeds.is_empty() || !files.is_empty() || poll.is_some();
    message::check_content(content, has_more, length_max)?;
    let content = content.to_string();
    Ok((MessageCreate { channel_id, content, reply_to_id, embeds, length_max }, poll, files))
}

fn read_content<'b>(body: &Body<'b>, length_max: u64) -> Result<Option<&'b str>> {
    let content = MESSAGE_CREATE.content.read_up_to(body, length_max as usize)?;
    // Invisible characters alone are no text; apply says whether there may be none.
    Ok(content.map(|content| if text::is_blank(content) { "" } else { content }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::START_MS;
    use crate::api::testing::message_world::*;
    use crate::domain::permission::{CHANNELS_VIEW, MESSAGES_SEND};
    use crate::domain::{Audience, EventName, intent};
    use crate::id::{RoleId, UserId};
    use crate::store::records::tier;
    use crate::store::records::*;
    use crate::store::tables::*;

    fn messages(channel: ChannelId) -> String {
        format!("/channels/{channel}/messages")
    }

    #[test]
    fn a_message_is_stored_answered_and_told() {
        let world = World::default();
        let body = r#"{"content":"hi <b>\"x\"</b>; drop table","nonce":1}"#;
        let answer = world.ok(ALICE, "POST", &messages(TEXT), Some(body));
        let id = field(&answer, "id");
        let seconds = START_MS / 1_000;
        let want = format!(
            r#"{{"id":"{id}","channel_id":"200","author_id":"1","content":"hi <b>\"x\"</b>; drop table","created_at":{seconds},"edited_at":null,"reply_to_id":null,"attachments":[],"embeds":[],"pinned":false,"status":"sent","delivery_count":0,"read_count":0,"read":true,"read_by":[],"author_username":"alice","author_avatar_url":"/api/v1/avatars/users/1","author_badges":["alpha_tester"],"reactions":[],"metadata":null,"poll":null,"poll_results":null}}"#
        );
        assert_eq!(answer, want);
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!(event.name, EventName::MessageCreate);
        assert_eq!(event.intent, intent::GUILD_MESSAGES);
        let all_of = CHANNELS_VIEW | MESSAGES_READ;
        assert_eq!(event.audience, Audience::Channel { server_id: SERVER, channel_id: TEXT, all_of });
        let neutral = want.replace("\"read\":true", "\"read\":false");
        assert_eq!(payload(event), format!("{},\"server_id\":\"100\"}}", neutral.strip_suffix('}').unwrap()));
        let path = format!("{}/{id}", messages(TEXT));
        assert_eq!(world.ok(ALICE, "GET", &path, None), want);
        assert_eq!(world.ok(BOB, "GET", &path, None), neutral);
    }

    #[test]
    fn direct_messages_go_to_both_sides() {
        let world = World::default();
        world.say(BOB, DM, "psst");
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!(
            (event.intent, &event.audience),
            (intent::DIRECT_MESSAGES, &Audience::Users([ALICE, BOB].into_iter().collect()))
        );
        assert!(payload(event).ends_with(r#","server_id":null}"#));
        world.say(ALICE, NOTES, "to myself");
        assert_eq!(world.events()[0].audience, Audience::user(ALICE));
        assert_eq!(
            world.refused(CAROL, "POST", &messages(DM), Some(r#"{"content":"x"}"#), 403),
            "You are not a participant of this channel"
        );
    }

    #[test]
    fn blocks_stop_direct_messages_both_ways() {
        for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
            let world = World::default();
            let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
            world.write(|tx| tx.put(RELATIONSHIPS, (from, to), &block));
            for who in [ALICE, BOB] {
                world.refused(who, "POST", &messages(DM), Some(r#"{"content":"x"}"#), 403);
                // The block stands before a mistake in the body.
                world.refused(who, "POST", &messages(DM), Some("{}"), 403);
                world.ok(who, "POST", &messages(TEXT), Some(r#"{"content":"x"}"#));
            }
        }
    }

    #[test]
    fn posting_is_refused() {
        let world = World::default();
        let ok = Some(r#"{"content":"x"}"#);
        let check = |who: UserId, channel: ChannelId, body: Option<&str>, status: u16, want: &str| {
            let got = world.refused(who, "POST", &messages(channel), body, status);
            assert!(got.contains(want), "{body:?}: {got}");
        };
        check(BOB, NOWHERE, ok, 404, "Channel not found");
        check(GINA, TEXT, ok, 403, "not a member");
        check(GINA, TEXT, Some("{}"), 403, "not a member");
        check(BOB, HIDDEN, ok, 403, "channels.view");
        check(BOB, VOICE, ok, 400, "voice channel");
        check(BOB, TEXT, None, 400, "body is required");
        check(BOB, TEXT, Some("[]"), 400, "JSON object");
        check(BOB, TEXT, Some("{}"), 400, "blank");
        check(BOB, TEXT, Some(r#"{"content":null}"#), 400, "blank");
        check(BOB, TEXT, Some(r#"{"content":"  \n"}"#), 400, "blank");
        check(BOB, TEXT, Some(r#"{"content":5}"#), 400, "Invalid content: must be a string");
        check(BOB, TEXT, Some(r#"{"content":"x","reply_to_id":"x"}"#), 400, "reply_to_id");
        check(BOB, TEXT, Some(r#"{"content":"x","reply_to_id":"77"}"#), 404, "reply");
        check(BOB, TEXT, Some(r#"{"content":"x","poll":{}}"#), 400, "question: this field is required");
        check(BOB, TEXT, Some(r#"{"content":"x","attachments":[{}]}"#), 400, "each needs the url");
        check(BOB, TEXT, Some(r#"{"content":"x","attachments":[5]}"#), 400, "a list of objects");
        check(BOB, TEXT, Some(r#"{"content":"x","attachments":[{"id":7}]}"#), 400, "no upload of yours");
        check(BOB, TEXT, Some(r#"{"content":"x","attachments":{}}"#), 400, "must be a list");
        let long = format!("{{\"content\":\"{}\"}}", "é".repeat(2_001));
        check(BOB, TEXT, Some(&long), 400, "at most 2000 characters, not 2001");
        let longest = format!("{{\"content\":\"{}\"}}", "é".repeat(2_000));
        world.events();
        world.ok(BOB, "POST", &messages(TEXT), Some(&longest));
        assert_eq!(world.event_names(), [EventName::MessageCreate]);
        assert_eq!(world.call(BOB, "POST", "/channels/abc/messages", ok).0, 400);
        assert_eq!(world.harness.request("POST", &messages(TEXT), None, ok).0, 401);
        world.ok(
            BOB,
            "POST",
            &messages(TEXT),
            Some(r#"{"content":"x","attachments":[],"embeds":[],"poll":null}"#),
        );
    }

    #[test]
    fn replies_stay_in_their_channel() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "one");
        for spelled in [format!("\"{id}\""), id.to_string()] {
            let body = format!("{{\"content\":\"two\",\"reply_to_id\":{spelled}}}");
            let answer = world.ok(BOB, "POST", &messages(TEXT), Some(&body));
            assert_eq!(field(&answer, "reply_to_id"), id.to_string());
            world.refused(ALICE, "POST", &messages(DM), Some(&body), 404);
        }
    }

    #[test]
    fn embeds_are_checked_and_echoed() {
        let world = World::default();
        let post = |embeds: &str| {
            world.call(BOB, "POST", &messages(TEXT), Some(&format!("{{\"embeds\":{embeds}}}")))
        };
        let embed = r##"[{"title":"T","color":255,"fields":[{"name":"n","value":"v","inline":true}]}]"##;
        let (status, answer) = post(embed);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(field(&answer, "embeds"), embed);
        assert_eq!(field(&answer, "metadata"), format!("{{\"embeds\":{embed}}}"));
        assert_eq!(field(&answer, "content"), "");
        assert!(payload(&world.events()[0]).contains(embed));
        let twice = r#"[{"title":"a","title":"b","fields":[{"name":"x"}],"fields":[]}]"#;
        let (_, answer_twice) = post(twice);
        assert_eq!(field(&answer_twice, "embeds"), r#"[{"title":"b","fields":[]}]"#);
        assert!(payload(&world.events()[0]).contains(r#""embeds":[{"title":"b","fields":[]}]"#));
        for blank in ["[]", "[{}]", r#"[{"title":null}]"#, r#"[{"color":1},{}]"#] {
            assert_eq!(post(blank).0, 400, "{blank}");
        }
        for wrong in ["[5]", "{}", r#"[{"fields":{}}]"#] {
            assert_eq!(post(wrong).0, 400, "{wrong}");
        }
        let beside = world.ok(BOB, "POST", &messages(TEXT), Some(r#"{"content":"x","embeds":[{}]}"#));
        assert_eq!((field(&beside, "embeds"), field(&beside, "metadata")), ("[]".into(), "null".into()));
        let path = format!("{}/{}", messages(TEXT), field(&beside, "id"));
        world.refused(BOB, "PATCH", &path, Some(r#"{"content":""}"#), 400);
        let id = field(&answer, "id");
        let path = format!("{}/{id}", messages(TEXT));
        let edited = world.ok(BOB, "PATCH", &path, Some(r#"{"content":""}"#));
        assert_eq!(field(&edited, "embeds"), embed);
    }

    #[test]
    fn embeds_and_attachments_need_their_permission() {
        let world = World::default();
        let bits = CHANNELS_VIEW | MESSAGES_SEND;
        world.write(|tx| tx.put(ROLES, (SERVER, RoleId(101)), &Role { bits, ..Role::default() }));
        let post = |body: &str| world.refused(BOB, "POST", &messages(TEXT), Some(body), 403);
        assert!(post(r#"{"content":"x","embeds":[{"title":"t"}]}"#).contains("messages.embed_links"));
        assert!(post(r#"{"content":"x","attachments":[{}]}"#).contains("messages.attach_files"));
        // He posts and edits although he may not read.
        let id = world.say(BOB, TEXT, "x");
        world.ok(BOB, "PATCH", &format!("{}/{id}", messages(TEXT)), Some(r#"{"content":"y"}"#));
        assert!(world.refused(BOB, "GET", &messages(TEXT), None, 403).contains("messages.read"));
    }

    #[test]
    fn a_timeout_silences() {
        let world = World::default();
        let member = Member { timeout_until: Some(START_MS + 60_000), ..Member::default() };
        world.write(|tx| tx.put(MEMBERS, (SERVER, BOB), &member));
        let body = Some(r#"{"content":"x"}"#);
        assert!(world.refused(BOB, "POST", &messages(TEXT), body, 403).contains("messages.send"));
        world.harness.advance(60_000);
        world.say(BOB, TEXT, "x");
    }

    #[test]
    fn slowmode_makes_wait() {
        let world = World::default();
        world.say(BOB, SLOW, "one");
        world.harness.advance(500);
        let (status, text) = world.call(BOB, "POST", &messages(SLOW), Some(r#"{"content":"two"}"#));
        assert_eq!(status, 429);
        assert!(text.contains(r#""retry_after":29.500"#), "{text}");
        // Slowmode stands before a mistake in the body.
        assert_eq!(world.call(BOB, "POST", &messages(SLOW), Some("{}")).0, 429);
        world.say(CAROL, SLOW, "another user");
        world.say(ALICE, SLOW, "the owner");
        world.say(ALICE, SLOW, "does not wait");
        world.harness.advance(29_500);
        world.say(BOB, SLOW, "two");
    }

    #[test]
    fn pages_of_history() {
        let world = World::default();
        let ids: Vec<MessageId> = (0..6).map(|index| world.say(BOB, TEXT, &format!("m{index}"))).collect();
        let check = |query: &str, want: &[usize]| {
            let page = world.ok(CAROL, "GET", &format!("{}{query}", messages(TEXT)), None);
            let want: Vec<String> = want.iter().map(|&index| ids[index].to_string()).collect();
            assert_eq!(column(&page, "id"), want, "{query}");
        };
        check("", &[5, 4, 3, 2, 1, 0]);
        check("?limit=2", &[5, 4]);
        check(&format!("?before={}&limit=2", ids[3]), &[2, 1]);
        check(&format!("?after={}&limit=2", ids[1]), &[2, 3]);
        check(&format!("?after={}&before={}&limit=9", ids[0], ids[2]), &[1, 0]);
        check(&format!("?before={}", ids[0]), &[]);
        check(&format!("?after={}", ids[5]), &[]);
        check("?after=0", &[0, 1, 2, 3, 4, 5]);
        check(&format!("?before={}", u64::MAX), &[5, 4, 3, 2, 1, 0]);
        for query in ["?limit=0", "?limit=101", "?limit=x", "?before=x", "?after=-1"] {
            world.refused(CAROL, "GET", &format!("{}{query}", messages(TEXT)), None, 400);
        }
        let page = world.ok(BOB, "GET", &messages(TEXT), None);
        assert_eq!(column(&page, "author_username"), ["bob"; 6]);
        // A page goes on where it ended, whatever was deleted since.
        world.ok(BOB, "DELETE", &format!("{}/{}", messages(TEXT), ids[3]), None);
        check(&format!("?before={}&limit=2", ids[3]), &[2, 1]);
        check(&format!("?after={}&limit=2", ids[3]), &[4, 5]);
        assert_eq!(world.ok(BOB, "GET", &messages(VOICE), None), "[]");
        world.refused(BOB, "GET", &messages(NOWHERE), None, 404);
        world.refused(GINA, "GET", &messages(TEXT), None, 403);
        world.refused(BOB, "GET", &messages(HIDDEN), None, 403);
        world.refused(BOB, "GET", &messages(MUTE), None, 403);
        world.refused(CAROL, "GET", &messages(DM), None, 403);
    }

    #[test]
    fn one_message_and_those_that_are_not_there() {
        let world = World::default();
        let id = world.say(BOB, TEXT, "x");
        let path = |channel: ChannelId, id: &str| format!("{}/{id}", messages(channel));
        world.refused(ALICE, "GET", &path(SLOW, &id.to_string()), None, 404);
        world.refused(ALICE, "GET", &path(TEXT, "77"), None, 404);
        world.refused(ALICE, "GET", &path(TEXT, "abc"), None, 400);
        world.refused(GINA, "GET", &path(TEXT, &id.to_string()), None, 403);
        world.refused(ALICE, "GET", &path(NOWHERE, &id.to_string()), None, 404);
    }

    #[test]
    fn only_the_author_edits() {
        let world = World::default();
        let path = format!("{}/{}", messages(TEXT), world.say(BOB, TEXT, "x"));
        world.events();
        world.harness.advance(5_000);
        let edited = world.ok(BOB, "PATCH", &path, Some(r#"{"content":"y"}"#));
        assert_eq!(
            (field(&edited, "content"), field(&edited, "edited_at")),
            ("y".to_string(), (START_MS / 1_000 + 5).to_string())
        );
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!(event.name, EventName::MessageUpdate);
        assert_eq!(field(&payload(event), "content"), "y");
        for who in [ALICE, MAX, CAROL] {
            world.refused(who, "PATCH", &path, Some(r#"{"content":"z"}"#), 403);
            world.refused(who, "PATCH", &path, Some("{}"), 403);
        }
        for body in ["{}", r#"{"content":" "}"#, r#"{"content":null}"#, r#"{"content":7}"#, "nothing"] {
            world.refused(BOB, "PATCH", &path, Some(body), 400);
        }
        let long = format!("{{\"content\":\"{}\"}}", "x".repeat(4_001));
        world.refused(BOB, "PATCH", &path, Some(&long), 400);
        world.refused(BOB, "PATCH", &format!("{}/77", messages(TEXT)), Some(r#"{"content":"z"}"#), 404);
        assert!(world.events().is_empty());
    }

    #[test]
    fn deleting_takes_everything_along() {
        let world = World::default();
        let id = world.say(BOB, TEXT, "x");
        let path = format!("{}/{id}", messages(TEXT));
        world.ok(CAROL, "PUT", &format!("{path}/reactions/%F0%9F%91%8D"), None);
        world.ok(MAX, "PUT", &format!("/channels/{TEXT}/pins/{id}"), None);
        world.events();
        world.refused(CAROL, "DELETE", &path, None, 403);
        world.ok(BOB, "DELETE", &path, None);
        let events = world.events();
        assert_eq!(events[0].name, EventName::MessageDelete);
        assert_eq!(payload(&events[0]), format!(r#"{{"id":"{id}","channel_id":"200","server_id":"100"}}"#));
        assert_eq!(events[1].name, EventName::ChannelPinsUpdate);
        assert_eq!(field(&payload(&events[1]), "pinned_message_ids"), "[]");
        assert_eq!(events.len(), 2);
        world.refused(BOB, "DELETE", &path, None, 404);
        world.refused(BOB, "GET", &path, None, 404);
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        let left = [
            read.len(MESSAGES),
            read.len(AUTHOR_MESSAGES),
            read.len(PINS),
            read.len(REACTION_SETS),
            read.len(REACTIONS),
            read.len(REACTION_ORDER),
        ];
        assert_eq!(left, [0; 6]);
    }

    #[test]
    fn who_may_delete() {
        let world = World::default();
        let path = |channel: ChannelId, id: MessageId| format!("{}/{id}", messages(channel));
        for who in [BOB, MAX, ALICE] {
            world.ok(who, "DELETE", &path(TEXT, world.say(BOB, TEXT, "x")), None);
        }
        let id = world.say(BOB, DM, "x");
        world.refused(ALICE, "DELETE", &path(DM, id), None, 403);
        world.events();
        world.ok(BOB, "DELETE", &path(DM, id), None);
        assert!(payload(&world.events()[0]).contains(r#""server_id":null"#));
        world.refused(ALICE, "DELETE", &path(TEXT, MessageId(77)), None, 404);
        world.refused(ALICE, "DELETE", &format!("{}/abc", messages(TEXT)), None, 400);
        let id = world.say(ALICE, TEXT, "x");
        world.refused(GINA, "DELETE", &path(TEXT, id), None, 403);
    }

    #[test]
    fn the_limit_of_the_user_himself_holds() {
        let world = World::default();
        let path = format!("{}/{}", messages(TEXT), world.say(BOB, TEXT, "123456"));
        world.ok(BOB, "PATCH", "/users/@me/messaging-settings", Some(r#"{"max_message_length":5}"#));
        let (fits, long) = (r#"{"content":"äöüßx"}"#, r#"{"content":"äöüßxy"}"#);
        for (method, path) in [("POST", &messages(TEXT)), ("POST", &messages(DM)), ("PATCH", &path)] {
            let refusal = world.refused(BOB, method, path, Some(long), 400);
            assert_eq!(refusal, "Invalid content: must be at most 5 characters, not 6");
            world.ok(BOB, method, path, Some(fits));
        }
        world.ok(ALICE, "POST", &messages(TEXT), Some(long));
        world.ok(BOB, "PATCH", "/users/@me/messaging-settings", Some(r#"{"max_message_length":6}"#));
        world.ok(BOB, "POST", &messages(TEXT), Some(long));
    }

    #[test]
    fn the_limit_of_the_tier_holds() {
        let config = crate::config::Config {
            messaging: crate::config::Messaging { max_message_length: 9_000, ..Default::default() },
            ..Default::default()
        };
        let world = World::with_config(config);
        for (tier, max) in [(tier::STANDARD, 2_000), (tier::ALPHA, 4_000), (tier::STAFF, 8_000)] {
            let user = User { tier, username: "bob".into(), ..User::default() };
            world.write(|tx| tx.put(USERS, BOB, &user));
            let post = |count: usize| {
                let body = format!("{{\"content\":\"{}\"}}", "x".repeat(count));
                world.call(BOB, "POST", &messages(TEXT), Some(&body)).0
            };
            assert_eq!((post(max), post(max + 1)), (200, 400));
        }
    }

    #[test]
    fn the_limit_of_the_operator_holds() {
        let config = crate::config::Config {
            messaging: crate::config::Messaging { max_message_length: 3, ..Default::default() },
            ..Default::default()
        };
        let world = World::with_config(config);
        world.say(BOB, TEXT, "äöü");
        world.refused(BOB, "POST", &messages(TEXT), Some(r#"{"content":"abcd"}"#), 400);
    }
}
