//! Notifications: who is told that a message mentions him.
//!
//! A notification has the id of its message, so there is one per message and person whatever is done twice, and what
//! all who are told have in common is stored once, as a [`Notice`]: its text is that of the message when it was sent,
//! as who has left since must not read what it was changed to. Invariants: `NOTIFICATIONS` and `NOTIFIED` name the
//! same; a row without its notice is being removed and is shown to nobody; nobody has more than
//! [`NOTIFICATION_COUNT_MAX`] that are shown.
//!
//! Few are told with the message itself, so that its answer is followed by what it causes; of more the rest is an
//! errand ([`FanOut`]), which walks over the members. Who is there decides about `@here` alone: it stands in the step
//! (see [`crate::domain::housekeeping::outbox`]), as a message does not know it. The channel that somebody has in focus
//! is what his client has stored under [`FOCUS`], whether or not he is there.

use rkyv::{Archive, Deserialize, Serialize};

use super::mention::Mentions;
use super::message::Scope;
use crate::domain::asking::Asking;
use crate::domain::errand::{self, Errand, Work};
use crate::domain::error::{Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{Access, CHANNELS_VIEW, MESSAGES_MENTION_EVERYONE, MESSAGES_READ};
use crate::domain::social::relationship;
use crate::id::{ChannelId, MessageId, RoleId, ServerId, UserId};
use crate::limits::{NOTIFICATION_COUNT_MAX, NOTIFICATION_SURPLUS_MAX};
use crate::store::Read;
use crate::store::records::{
    ArchivedMember, ArchivedNotice, ArchivedNotification, Inbox, Message, Nil, Notice, Notification,
    mention_reason,
};
use crate::store::tables::{CHANNELS, INBOXES, MEMBERS, NOTICES, NOTIFICATIONS, NOTIFIED, SETTINGS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{self, Array};

/// Characters of a message that are shown.
const PREVIEW_CHARS: usize = 100;
/// The setting under which a client says which channel is in focus (contract: settings.md): JSON with `channel_id`.
const FOCUS: &str = "_focused_channel";
/// Longer values are not looked at: two ids and their names.
const FOCUS_LEN_MAX: usize = 256;
/// Looks that go with the message itself: some 20 are told.
const AT_ONCE_LOOKS: usize = 400;
/// What it costs to see whether somebody is to be told, and to tell him.
const JUDGE_LOOKS: usize = 4;
const TELL_LOOKS: usize = 12;
/// Of so few who were told each hears that it is taken back; of more all who can read the channel do.
const TAKEN_BACK_EACH_MAX: usize = 20;

/// Marks one of the actor's notifications read.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NotificationRead {
    pub message_id: MessageId,
}

/// Marks all of the actor's notifications read.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NotificationsRead {}

/// Tells all whom a message mentions, from the most personal reason to the least.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FanOut {
    pub message_id: MessageId,
    /// Those of them who are left; the last is next.
    pub users: Vec<UserId>,
    pub roles: Vec<RoleId>,
    pub everyone: bool,
    /// Those who are there.
    pub here: bool,
    /// Members up to and with this one were looked at.
    pub after: UserId,
}

// ------------------------------------------------------------------------------------------- telling

/// Upon whom an author may call beside those whom he names.
pub(in crate::domain) struct Calls {
    /// That of the server; `None` in direct messages, where there are no roles.
    pub default_role: Option<RoleId>,
    /// Upon everybody.
    pub everyone: bool,
}

impl Calls {
    pub(super) fn of(access: &Access<'_>) -> Calls {
        let default_role = access.standing.map(|standing| RoleId::from(&standing.server.everyone_role_id));
        Calls { default_role, everyone: access.has(MESSAGES_MENTION_EVERYONE) }
    }
}

/// What a message that is about to be sent will do; `None` when nobody can be told. Who may not call upon everybody
/// only writes so.
pub(in crate::domain) fn call(mentions: Mentions, calls: impl FnOnce() -> Calls) -> Option<FanOut> {
    if mentions.is_empty() {
        return None;
    }
    let Mentions { users, mut roles, mut everyone, mut here } = mentions;
    match calls() {
        Calls { default_role: None, .. } => (roles, everyone, here) = (Vec::new(), false, false),
        Calls { default_role: Some(default), everyone: may } => {
            // The role that everybody has is another name for everybody.
            let named = roles.len();
            roles.retain(|role| *role != default);
            everyone = may && (everyone || roles.len() < named);
            here &= may && !everyone;
        }
    }
    Some(FanOut { message_id: MessageId(0), users, roles, everyone, here, after: UserId(0) })
}

/// Tells whom a message mentions, right now or as an errand.
pub(super) fn send(
    machine: &mut Machine<'_, '_>,
    fan_out: FanOut,
    (server_id, channel_id, message_id): (Option<ServerId>, ChannelId, MessageId),
    message: &Message,
) {
    let notice = Notice {
        server_id: server_id.unwrap_or(ServerId(0)),
        channel_id,
        sender_id: message.author_id,
        created_at: message.created_at,
        preview: message.content.chars().take(PREVIEW_CHARS).collect(),
    };
    machine.tx.put(NOTICES, message_id, &notice);
    let mut work = Work { left: AT_ONCE_LOOKS, present: None };
    if let Some(left) = (FanOut { message_id, ..fan_out }).step(machine, &mut work) {
        errand::leave(machine, &left);
    }
}

/// Those who are to be told, by reason.
type Told = [Vec<UserId>; mention_reason::WORDS.len()];

impl Errand for FanOut {
    const KIND: u8 = 2;
    const NAME: &'static str = "mentions";

    fn step(mut self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<FanOut> {
        let message_id = self.message_id;
        // Deleted meanwhile, maybe with its channel.
        let notice = Notice::from(machine.tx.get(NOTICES, message_id)?);
        // What one part has told must stand before the next one asks who was told.
        let done = self.part(machine, &notice, work, FanOut::named)
            && (!self.is_walk() || self.part(machine, &notice, work, FanOut::walk));
        (!done).then_some(self)
    }

    fn asks(&self, read: Read<'_>, count: usize) -> Vec<UserId> {
        if !self.here || !self.users.is_empty() {
            return Vec::new();
        }
        let notice = read.get(NOTICES, self.message_id);
        let Some(server_id) = notice.map(|notice| ServerId::from(&notice.server_id)) else {
            return Vec::new();
        };
        read.scan_after(MEMBERS, server_id, (server_id, self.after))
            .take(count)
            .map(|((_, id), _)| id)
            .collect()
    }
}

impl FanOut {
    /// Whether members are looked at one by one.
    fn is_walk(&self) -> bool {
        self.everyone || self.here || !self.roles.is_empty()
    }

    /// Finds some of those who are to be told, and tells them.
    fn part(
        &mut self,
        machine: &mut Machine<'_, '_>,
        notice: &Notice,
        work: &mut Work<'_>,
        find: impl FnOnce(&mut FanOut, Asking<'_>, &Notice, &mut Work<'_>, &mut Told) -> bool,
    ) -> bool {
        let mut told = Told::default();
        let done = find(self, machine.asking(notice.sender_id), notice, work, &mut told);
        for (reason, users) in (0..).zip(told) {
            tell(machine, self.message_id, notice, reason, &users);
        }
        done
    }

    /// Those who were named. True when none is left.
    fn named(&mut self, asking: Asking<'_>, notice: &Notice, work: &mut Work<'_>, told: &mut Told) -> bool {
        while let Some(&user_id) = self.users.last() {
            if work.is_spent() {
                return false;
            }
            self.users.pop();
            judge(asking.of(user_id), self.message_id, notice, mention_reason::USER, work, told);
        }
        true
    }

    /// Members of the server. True when all were looked at.
    fn walk(&mut self, asking: Asking<'_>, notice: &Notice, work: &mut Work<'_>, told: &mut Told) -> bool {
        let server_id = notice.server_id;
        for ((_, user_id), member) in asking.read.scan_after(MEMBERS, server_id, (server_id, self.after)) {
            let unknown = self.here && work.present.is_none_or(|(up_to, _)| user_id > up_to);
            if work.is_spent() || unknown {
                return false;
            }
            work.take(1);
            self.after = user_id;
            if let Some(reason) = self.reason(user_id, member, work) {
                judge(asking.of(user_id), self.message_id, notice, reason, work, told);
            }
        }
        true
    }

    fn reason(&self, user_id: UserId, member: &ArchivedMember, work: &Work<'_>) -> Option<u8> {
        if member.role_ids().any(|role| self.roles.contains(&role)) {
            return Some(mention_reason::ROLE);
        }
        let is_here = || work.present.is_some_and(|(_, users)| users.binary_search(&user_id).is_ok());
        (self.everyone || self.here && is_here()).then_some(mention_reason::EVERYONE)
    }
}

/// Whether he who asks is to be told of a message: not of his own, not over a block, not where he cannot read it or
/// looks at it, not twice.
fn judge(
    asking: Asking<'_>,
    message_id: MessageId,
    notice: &Notice,
    reason: u8,
    work: &mut Work<'_>,
    told: &mut Told,
) {
    let Asking { read, who, .. } = asking;
    work.take(JUDGE_LOOKS);
    if who == notice.sender_id
        || read.contains(NOTIFICATIONS, (who, message_id))
        || relationship::blocked(read, who, notice.sender_id)
        || !asking.channel(notice.channel_id).is_ok_and(|access| access.has(CHANNELS_VIEW | MESSAGES_READ))
        || focus(read, who) == Some(notice.channel_id)
    {
        return;
    }
    work.take(TELL_LOOKS);
    told[usize::from(reason)].push(who);
}

/// The channel that somebody looks at, as his client has stored it.
fn focus(read: Read<'_>, user_id: UserId) -> Option<ChannelId> {
    let setting =
        read.get(SETTINGS, (user_id, FOCUS)).filter(|setting| setting.value.len() <= FOCUS_LEN_MAX)?;
    let mut text = setting.value.as_bytes().to_vec();
    json::parse(&mut text).ok()?.get("channel_id")?.as_id().map(ChannelId)
}

fn tell(machine: &mut Machine<'_, '_>, message_id: MessageId, notice: &Notice, reason: u8, users: &[UserId]) {
    if users.is_empty() {
        return;
    }
    for &user_id in users {
        let order = machine.next_id();
        let notification = Notification { reason, read: false, order };
        machine.tx.put(NOTIFICATIONS, (user_id, message_id), &notification);
        machine.tx.put(NOTIFIED, (message_id, user_id), &Nil {});
        count(machine, user_id);
    }
    let mut payload = Vec::new();
    NotificationInfo::write(&mut payload, message_id, Shown::of(notice), reason, false);
    let audience = Audience::Users(users.iter().copied().collect());
    machine.emit(Event::new(EventName::NotificationCreate, intent::NONE, audience, payload));
}

/// Counts a new notification of a user. What is removed elsewhere is not counted: rows are looked at once there may be
/// too many, and then one in [`NOTIFICATION_SURPLUS_MAX`] times.
fn count(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let mut inbox = inbox(machine.read(), user_id);
    inbox.count += 1;
    if inbox.count > (NOTIFICATION_COUNT_MAX + NOTIFICATION_SURPLUS_MAX) as u64 {
        let newest = machine.read().scan_rev(NOTIFICATIONS, user_id).map(|((_, message_id), _)| message_id);
        let messages: Vec<MessageId> = newest.collect();
        let (kept, surplus) = messages.split_at(messages.len().min(NOTIFICATION_COUNT_MAX));
        for &message_id in surplus {
            machine.tx.remove(NOTIFICATIONS, (user_id, message_id));
        }
        inbox.count = kept.len() as u64;
    }
    machine.tx.put(INBOXES, user_id, &inbox);
}

fn inbox(read: Read<'_>, user_id: UserId) -> Inbox {
    read.get(INBOXES, user_id).map(Inbox::from).unwrap_or_default()
}

/// Takes back what a message that is about to be removed has told; the rows go with it.
pub(super) fn take_back(machine: &mut Machine<'_, '_>, channel_id: ChannelId, message_id: MessageId) {
    if !machine.tx.delete(NOTICES, message_id) {
        return;
    }
    let told = machine.read().scan(NOTIFIED, message_id).map(|((_, user_id), _)| user_id);
    let told: Vec<UserId> = told.take(TAKEN_BACK_EACH_MAX + 1).collect();
    let audience = match told.len() {
        0 => return,
        1..=TAKEN_BACK_EACH_MAX => Audience::Users(told.into_iter().collect()),
        _ => match machine.read().get(CHANNELS, channel_id) {
            Some(channel) => Scope::of(channel_id, channel).readers,
            None => return,
        },
    };
    let payload = payload(|object| {
        object.id("id", message_id.0);
    });
    machine.emit(Event::new(EventName::NotificationDelete, intent::NONE, audience, payload));
}

// ------------------------------------------------------------------------------------------- reading

pub(in crate::domain) fn notification_read(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &NotificationRead,
) -> Result<()> {
    let key = (actor, op.message_id);
    let read = machine.read();
    let found = read.get(NOTIFICATIONS, key).filter(|_| notice(read, op.message_id).is_some());
    let notification = Notification::from(found.ok_or(Refusal::NotificationNotFound)?);
    machine.tx.put(NOTIFICATIONS, key, &Notification { read: true, ..notification });
    let payload = payload(|object| {
        object.id("id", op.message_id.0).bool("read", true);
    });
    tell_update(machine, actor, payload);
    Ok(())
}

pub(in crate::domain) fn notifications_read(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    _: &NotificationsRead,
) -> Result<()> {
    let read_up_to = machine.next_id();
    let inbox = Inbox { read_up_to, ..inbox(machine.read(), actor) };
    machine.tx.put(INBOXES, actor, &inbox);
    let payload = payload(|object| {
        object.bool("all_read", true);
    });
    tell_update(machine, actor, payload);
    Ok(())
}

fn tell_update(machine: &mut Machine<'_, '_>, user_id: UserId, payload: Vec<u8>) {
    let event = EventName::NotificationUpdate;
    machine.emit(Event::new(event, intent::NONE, Audience::user(user_id), payload));
}

// ------------------------------------------------------------------------------------------- queries

/// What all who are told have in common.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    server_id: Option<ServerId>,
    channel_id: ChannelId,
    sender_id: UserId,
    created_at: u64,
    preview: &'a str,
}

impl<'a> Shown<'a> {
    fn of(notice: &'a Notice) -> Shown<'a> {
        Shown {
            server_id: Some(notice.server_id).filter(|id| id.0 != 0),
            channel_id: notice.channel_id,
            sender_id: notice.sender_id,
            created_at: notice.created_at,
            preview: &notice.preview,
        }
    }

    fn of_archived(notice: &'a ArchivedNotice) -> Shown<'a> {
        Shown {
            server_id: Some(ServerId::from(&notice.server_id)).filter(|id| id.0 != 0),
            channel_id: ChannelId::from(&notice.channel_id),
            sender_id: UserId::from(&notice.sender_id),
            created_at: notice.created_at.to_native(),
            preview: &notice.preview,
        }
    }

    fn link(&self, message_id: MessageId) -> String {
        match self.server_id {
            Some(server_id) => format!("/channels/{server_id}/{}/{message_id}", self.channel_id),
            None => format!("/channels/@me/{}/{message_id}", self.channel_id),
        }
    }
}

shape! {
    /// That a message mentions somebody.
    pub NotificationInfo(id: MessageId, shown: Shown<'_>, reason: u8, read: bool) {
        id: id = id.0,
        type: (Slot::word(&["mention"])) = "mention",
        title: str = mention_reason::text(reason),
        content: str = shown.preview,
        content_preview: opt_str = Some(shown.preview),
        read: bool = read,
        created_at: time = shown.created_at,
        link: opt_str = Some(shown.link(id).as_str()),
        sender_id: opt_id = Some(shown.sender_id.0),
    }
}

shape! {
    /// Notifications, newest first, and how many there are in all that are not read.
    pub NotificationsResponse(read: Read<'_>, user_id: UserId, page: Page) {
        notifications: (Slot::list(&Kind::Object(NotificationInfo::SHAPE))) =
            |out: &mut Vec<u8>| write_list(out, read, user_id, page),
        unread_count: u64 = all(read, user_id).filter(|entry| !entry.is_read).count() as u64,
    }
}

/// Which part of the notifications.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub limit: usize,
    pub unread_only: bool,
}

struct Entry<'a> {
    id: MessageId,
    notice: &'a ArchivedNotice,
    reason: u8,
    is_read: bool,
}

/// What a user is shown, newest first.
fn all(read: Read<'_>, user_id: UserId) -> impl Iterator<Item = Entry<'_>> {
    let read_up_to = inbox(read, user_id).read_up_to;
    let rows = read.scan_rev(NOTIFICATIONS, user_id).take(NOTIFICATION_COUNT_MAX);
    rows.filter_map(move |((_, id), row): (_, &ArchivedNotification)| {
        let is_read = row.read || row.order.to_native() <= read_up_to;
        Some(Entry { id, notice: notice(read, id)?, reason: row.reason, is_read })
    })
}

/// What a message tells, as long as it and its channel are there.
fn notice(read: Read<'_>, message_id: MessageId) -> Option<&ArchivedNotice> {
    let notice = read.get(NOTICES, message_id)?;
    read.contains(CHANNELS, ChannelId::from(&notice.channel_id)).then_some(notice)
}

fn write_list(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId, page: Page) {
    let mut list = Array::new(out);
    let wanted = all(read, user_id).filter(|entry| !(page.unread_only && entry.is_read));
    for Entry { id, notice, reason, is_read } in wanted.take(page.limit) {
        NotificationInfo::write(list.item(), id, Shown::of_archived(notice), reason, is_read);
    }
}
