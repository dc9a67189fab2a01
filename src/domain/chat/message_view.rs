//! JSON of messages: one writer for REST answers and gateway events.
//!
//! The hottest encoder of the server: a page of 50 messages is the most frequent large answer. Names and fixed
//! values are appended as whole literals, the part that describes an author is encoded once per page and copied
//! from the page itself for his other messages, and nothing is allocated per message.

use std::ops::Range;

use smallvec::SmallVec;

use super::attachment::{AttachmentResponse, Attachments};
use super::poll_view::{self, PollResponse, PollResultsResponse};
use super::{reaction, read_mark};
use crate::domain::permission::Access;
use crate::domain::social::dm;
use crate::domain::time::Offset;
use crate::domain::view;
use crate::id::{ChannelId, MessageId, ServerId, UserId};
use crate::limits::{PAGE_LEN_MAX, READER_LISTED_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedMessage, Message};
use crate::store::tables::{CHANNEL_READERS, USERS};
use crate::wire::json::shape::{Field, Kind, Shape, Slot};
use crate::wire::json::{to_wire_time, write_str, write_u64};

/// Readers of a channel that are looked at for the receipts of a page. Each costs about three look-ups, so a page
/// spends at most some 200 µs on them. `read_count` therefore ends at this number.
const READERS_SCANNED_MAX: usize = 250;
/// Readers listed in `read_by`.
const READERS_LISTED_MAX: usize = READER_LISTED_COUNT_MAX;

/// Who looks at a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Viewer {
    /// The readers of an event: nobody's view. Adds `server_id`.
    Everyone {
        server_id: Option<ServerId>,
        /// With what steady time is shown.
        offset: Offset,
    },
    /// One user over REST.
    User {
        user_id: UserId,
        /// Whether authors are shown who has read their messages: not in every channel, and not over a block.
        receipts: bool,
        /// When he looks, in steady time.
        at: u64,
    },
}

impl Viewer {
    pub fn user(access: &Access<'_>) -> Viewer {
        let receipts = access.channel.read_receipts_enabled && !dm::is_cut(access);
        Viewer::User { user_id: access.asking.who, receipts, at: access.asking.at }
    }

    /// The author right after posting: nobody can have read the message yet.
    pub fn fresh_author(user_id: UserId, at: u64) -> Viewer {
        Viewer::User { user_id, receipts: false, at }
    }

    fn user_id(self) -> Option<UserId> {
        match self {
            Viewer::Everyone { .. } => None,
            Viewer::User { user_id, .. } => Some(user_id),
        }
    }
}

/// What is shown of a message, stored or about to be.
pub struct Fields<'m> {
    author_id: UserId,
    content: &'m str,
    created_at: u64,
    edited_at: Option<u64>,
    reply_to_id: Option<MessageId>,
    attachments: Attachments<'m>,
    embeds: &'m str,
    pinned: bool,
    reacted: bool,
    /// 0 without one.
    poll: u64,
    /// Name and picture, when it was a webhook that said it.
    webhook: Option<(&'m str, Option<&'m str>)>,
}

impl<'m> From<&'m ArchivedMessage> for Fields<'m> {
    fn from(message: &'m ArchivedMessage) -> Fields<'m> {
        Fields {
            author_id: UserId::from(&message.author_id),
            content: &message.content,
            created_at: message.created_at.to_native(),
            edited_at: message.edited_at.as_ref().map(|at| at.to_native()),
            reply_to_id: message.reply_to_id.as_ref().map(MessageId::from),
            attachments: Attachments::Stored(&message.attachments),
            embeds: &message.embeds,
            pinned: message.pin != 0,
            reacted: message.reacted,
            poll: message.poll.to_native(),
            webhook: message.webhook.as_ref().map(|webhook| (&*webhook.name, webhook.avatar_url.as_deref())),
        }
    }
}

impl<'m> From<&'m Message> for Fields<'m> {
    fn from(message: &'m Message) -> Fields<'m> {
        Fields {
            author_id: message.author_id,
            content: &message.content,
            created_at: message.created_at,
            edited_at: message.edited_at,
            reply_to_id: message.reply_to_id,
            attachments: Attachments::New(&message.attachments),
            embeds: &message.embeds,
            pinned: message.pin != 0,
            reacted: message.reacted,
            poll: message.poll,
            webhook: message.webhook.as_ref().map(|webhook| (&*webhook.name, webhook.avatar_url.as_deref())),
        }
    }
}

/// Appends messages of one channel for one viewer.
pub struct Writer<'o, 'a> {
    out: &'o mut Vec<u8>,
    read: Read<'a>,
    channel_id: ChannelId,
    viewer: Viewer,
    /// Up to where the viewer has read; looked up when the first message of another author comes.
    read_up_to: Option<MessageId>,
    /// Where in `out` the fields of an author stand.
    authors: SmallVec<[(UserId, Range<usize>); 8]>,
    /// Collected when the first message of the viewer himself comes.
    readers: Option<Readers>,
}

impl<'o, 'a> Writer<'o, 'a> {
    pub fn new(
        out: &'o mut Vec<u8>,
        read: Read<'a>,
        channel_id: ChannelId,
        viewer: Viewer,
    ) -> Writer<'o, 'a> {
        Writer { out, read, channel_id, viewer, read_up_to: None, authors: SmallVec::new(), readers: None }
    }

    /// Appends a list of messages, ending where a page is full by its bytes.
    pub fn list<'m, M: Into<Fields<'m>>>(&mut self, messages: impl Iterator<Item = (MessageId, M)>) {
        self.out.push(b'[');
        self.items(messages);
        self.out.push(b']');
    }

    /// The same without the brackets; returns how many there was room for.
    pub fn items<'m, M: Into<Fields<'m>>>(
        &mut self,
        messages: impl Iterator<Item = (MessageId, M)>,
    ) -> usize {
        let (begin, mut count) = (self.out.len(), 0);
        for (index, (message_id, message)) in messages.enumerate() {
            if self.out.len() - begin >= PAGE_LEN_MAX {
                break;
            }
            if index > 0 {
                self.out.push(b',');
            }
            self.message(message_id, message);
            count += 1;
        }
        count
    }

    /// Appends one message object.
    pub fn message<'m>(&mut self, message_id: MessageId, message: impl Into<Fields<'m>>) {
        let message = message.into();
        // Fixed parts are 460 bytes, the ids and times 110 more.
        self.out.reserve(message.content.len() + 2 * message.embeds.len() + 640);
        self.text(b"{\"id\":\"");
        write_u64(self.out, message_id.0);
        self.text(b"\",\"channel_id\":\"");
        write_u64(self.out, self.channel_id.0);
        self.text(b"\",\"author_id\":\"");
        write_u64(self.out, message.author_id.0);
        self.text(b"\",\"content\":");
        write_str(self.out, message.content);
        self.text(b",\"created_at\":");
        write_u64(self.out, to_wire_time(message.created_at));
        match message.edited_at {
            None => self.text(b",\"edited_at\":null"),
            Some(at) => {
                self.text(b",\"edited_at\":");
                write_u64(self.out, to_wire_time(at));
            }
        }
        match message.reply_to_id {
            None => self.text(b",\"reply_to_id\":null"),
            Some(id) => {
                self.text(b",\"reply_to_id\":\"");
                write_u64(self.out, id.0);
                self.out.push(b'"');
            }
        }
        if message.attachments.is_empty() {
            self.text(b",\"attachments\":[],\"embeds\":");
        } else {
            self.text(b",\"attachments\":");
            message.attachments.write(self.out);
            self.text(b",\"embeds\":");
        }
        self.text(if message.embeds.is_empty() { b"[]" } else { message.embeds.as_bytes() });
        self.text(if message.pinned { b",\"pinned\":true" } else { b",\"pinned\":false" });
        self.receipts(message_id, message.author_id);
        match message.webhook {
            None => self.author(message.author_id),
            Some((name, avatar_url)) => self.webhook(name, avatar_url),
        }
        self.text(b",\"reactions\":");
        if message.reacted {
            reaction::write_list(self.out, self.read, message_id, self.viewer.user_id());
        } else {
            self.text(b"[]");
        }
        match message.poll {
            0 if message.embeds.is_empty() => {
                self.text(b",\"metadata\":null,\"poll\":null,\"poll_results\":null");
            }
            0 => {
                self.text(b",\"metadata\":{\"embeds\":");
                self.text(message.embeds.as_bytes());
                self.text(b"},\"poll\":null,\"poll_results\":null");
            }
            poll => self.poll(message_id, poll, message.embeds),
        }
        if let Viewer::Everyone { server_id, .. } = self.viewer {
            match server_id {
                None => self.text(b",\"server_id\":null"),
                Some(id) => {
                    self.text(b",\"server_id\":\"");
                    write_u64(self.out, id.0);
                    self.out.push(b'"');
                }
            }
        }
        self.out.push(b'}');
    }

    #[inline]
    fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// `status`, `delivery_count`, `read_count`, `read`, `read_by`.
    fn receipts(&mut self, message_id: MessageId, author_id: UserId) {
        let (user_id, receipts) = match self.viewer {
            Viewer::Everyone { .. } => return self.text(UNREAD),
            Viewer::User { user_id, receipts, .. } => (user_id, receipts),
        };
        if user_id == author_id {
            if !receipts {
                return self.text(READ);
            }
            let (read, channel_id) = (self.read, self.channel_id);
            let readers = self.readers.get_or_insert_with(|| Readers::collect(read, channel_id, user_id));
            return readers.write(self.out, message_id);
        }
        let (read, channel_id) = (self.read, self.channel_id);
        let up_to = self.read_up_to.get_or_insert_with(|| read_mark::mark(read, user_id, channel_id));
        let text = if message_id <= *up_to { READ } else { UNREAD };
        self.text(text);
    }

    /// `author_username`, `author_avatar_url`, `author_badges`.
    fn author(&mut self, author_id: UserId) {
        if let Some((_, range)) = self.authors.iter().find(|(known, _)| *known == author_id) {
            return self.out.extend_from_within(range.clone());
        }
        let start = self.out.len();
        let user = self.read.get(USERS, author_id);
        self.text(b",\"author_username\":");
        write_str(self.out, user.map_or_else(|| view::username(self.read, author_id), |user| &user.username));
        self.text(b",\"author_avatar_url\":");
        view::write_avatar_url(self.out, author_id);
        self.text(b",\"author_badges\":");
        match user {
            Some(user) => view::write_badges(self.out, user),
            None => self.text(b"[]"),
        }
        self.authors.push((author_id, start..self.out.len()));
    }

    /// `metadata`, `poll` and `poll_results` of a message that asks something.
    #[cold]
    fn poll(&mut self, message_id: MessageId, poll: u64, embeds: &str) {
        self.text(b",\"metadata\":{");
        if !embeds.is_empty() {
            self.text(b"\"embeds\":");
            self.text(embeds.as_bytes());
            self.out.push(b',');
        }
        self.text(b"\"poll_id\":\"");
        write_u64(self.out, poll);
        self.text(b"\"}");
        poll_view::write_both(self.out, self.read, message_id, self.viewer);
    }

    /// The same of a webhook, which wears none of its creator's badges.
    #[cold]
    fn webhook(&mut self, name: &str, avatar_url: Option<&str>) {
        self.text(b",\"author_username\":");
        write_str(self.out, name);
        self.text(b",\"author_avatar_url\":");
        match avatar_url {
            Some(url) => write_str(self.out, url),
            None => self.text(b"null"),
        }
        self.text(b",\"author_badges\":[]");
    }
}

/// Fields of an embed: what a client may give, and what is shown.
const EMBED: &Kind = &Kind::Map(&Kind::Any);

/// What [`Writer`] appends for REST.
pub const MESSAGE: &Shape = &Shape {
    name: "MessageResponse",
    doc: "A message as one user sees it.",
    heads: &[],
    fields: &[
        Field::new("id", "", Slot::id),
        Field::new("channel_id", "", Slot::id),
        Field::new("author_id", "\"0\" is the server itself.", Slot::id),
        Field::new("content", "", Slot::str),
        Field::new("created_at", "", Slot::time),
        Field::new("edited_at", "", Slot::opt_time),
        Field::new("reply_to_id", "", Slot::opt_id),
        Field::new("attachments", "", Slot::list(&Kind::Object(AttachmentResponse::SHAPE))),
        Field::new("embeds", "", Slot::list(EMBED)),
        Field::new("pinned", "", Slot::bool),
        Field::new("status", "", Slot::word(&["sent", "read"])),
        Field::new("delivery_count", "", Slot::u64),
        Field::new("read_count", "", Slot::u64),
        Field::new("read", "Whether the caller has read it.", Slot::bool),
        Field::new(
            "read_by",
            "Who has, of a message of the caller's own.",
            Slot::list(&Kind::Object(view::BriefUser::SHAPE)),
        ),
        Field::new("author_username", "", Slot::str),
        Field::new("author_avatar_url", "Null for a webhook without one.", Slot::opt_str),
        Field::new("author_badges", "", Slot::list(&Kind::Text)),
        Field::new("reactions", "In order of first use.", Slot::list(&Kind::Object(reaction::REACTION))),
        Field::new("metadata", "", Slot::of(Kind::OrNull(&Kind::Map(&Kind::Any)))),
        Field::new("poll", "", Slot::of(Kind::OrNull(&Kind::Object(PollResponse::SHAPE)))),
        Field::new("poll_results", "", Slot::of(Kind::OrNull(&Kind::Object(PollResultsResponse::SHAPE)))),
    ],
};

const UNREAD: &[u8] =
    b",\"status\":\"sent\",\"delivery_count\":0,\"read_count\":0,\"read\":false,\"read_by\":[]";
const READ: &[u8] =
    b",\"status\":\"sent\",\"delivery_count\":0,\"read_count\":0,\"read\":true,\"read_by\":[]";

/// Who has read a channel up to where, of those who let others know.
struct Readers {
    marks: Vec<(MessageId, Range<usize>)>,
    /// Their JSON, one after the other.
    json: Vec<u8>,
}

impl Readers {
    #[cold]
    fn collect(read: Read<'_>, channel_id: ChannelId, author_id: UserId) -> Readers {
        let (mut marks, mut json) = (Vec::new(), Vec::new());
        let scan = read.scan(CHANNEL_READERS, channel_id).take(READERS_SCANNED_MAX);
        for ((_, user_id), mark) in scan {
            if user_id == author_id || !read_mark::receipts_enabled(read, user_id) {
                continue;
            }
            let start = json.len();
            view::BriefUser::write(&mut json, read, user_id);
            marks.push((MessageId::from(&mark.id), start..json.len()));
        }
        Readers { marks, json }
    }

    /// Nothing tells us that a message has reached a client before it is read, so delivered means read.
    fn write(&self, out: &mut Vec<u8>, message_id: MessageId) {
        let has_read = || self.marks.iter().filter(|(mark, _)| *mark >= message_id);
        let count = has_read().count() as u64;
        if count == 0 {
            return out.extend_from_slice(READ);
        }
        out.extend_from_slice(b",\"status\":\"read\",\"delivery_count\":");
        write_u64(out, count);
        out.extend_from_slice(b",\"read_count\":");
        write_u64(out, count);
        out.extend_from_slice(b",\"read\":true,\"read_by\":[");
        for (index, (_, range)) in has_read().take(READERS_LISTED_MAX).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.json[range.clone()]);
        }
        out.push(b']');
    }
}
