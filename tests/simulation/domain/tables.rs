//! What must hold over all tables of a store, whatever happened: indexes and records agree both ways, and nothing is
//! left of what is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::owners;
use plexichat::domain::chat::clearing::Clear;
use plexichat::domain::chat::poll::Look;
use plexichat::domain::errand::{Errand as _, bytes};
use plexichat::id::{ChannelId, MessageId, ServerId, UserId};
use plexichat::store::records::*;
use plexichat::store::tables::*;
use plexichat::store::{Key, Read, Record, Table};

/// All rows of a table, as owned records.
fn rows<K, V>(read: Read<'_>, table: Table<K, V>) -> BTreeMap<K::Owned, V>
where
    K: Key,
    K::Owned: Ord,
    V: Record + for<'a> From<&'a V::Archived>,
{
    read.scan(table, ()).map(|(key, record)| (key, V::from(record))).collect()
}

fn keys<K: Key, V: Record>(read: Read<'_>, table: Table<K, V>) -> BTreeSet<K::Owned>
where
    K::Owned: Ord,
{
    read.scan(table, ()).map(|(key, _)| key).collect()
}

/// # Panics
/// With the name of the invariant that does not hold.
pub fn check(read: Read<'_>, at: u64) {
    accounts(read, at);
    mails(read);
    pictures(read);
    uploads(read, at);
    relationships(read);
    servers(read);
    channels(read);
    messages(read);
    ledgers(read);
    marks(read);
    automods(read);
    heard(read);
    elsewhere(read);
    owners::check(read);
}

fn elsewhere(read: Read<'_>) {
    let open = rows(read, PROVIDER_SIGN_INS);
    let by = |key: fn(&ProviderSignIn) -> u64| {
        open.iter().map(|(id, row)| (key(row), *id)).collect::<BTreeSet<_>>()
    };
    assert_eq!(keys(read, PROVIDER_SIGN_IN_LAPSES), by(|row| row.expires_at), "it is the index by time");
    assert_eq!(keys(read, PROVIDER_SIGN_IN_SOURCES), by(|row| row.source), "it is the index by source");
    let links = rows(read, PROVIDER_LINKS);
    let subjects: BTreeMap<_, _> =
        links.iter().map(|((user, code), link)| ((*code, link.subject.clone()), *user)).collect();
    assert_eq!(subjects.len(), links.len(), "an id of a provider means one account");
    let stored: BTreeMap<_, _> =
        rows(read, PROVIDER_SUBJECTS).into_iter().map(|(key, found)| (key, found.id)).collect();
    assert_eq!(stored, subjects, "PROVIDER_SUBJECTS is the index of PROVIDER_LINKS");
    let credentials = keys(read, CREDENTIALS);
    assert!(links.keys().all(|(user, _)| credentials.contains(user)), "no link outlives the account");
}

fn heard(read: Read<'_>) {
    let mut tallies = BTreeMap::new();
    let mut count = |queue: u8, status: u8| *tallies.entry((queue, status)).or_insert(0) += 1;
    let states: BTreeSet<_> = rows(read, MESSAGE_REPORTS).iter().map(|(id, row)| (row.status, *id)).collect();
    assert_eq!(keys(read, MESSAGE_REPORT_STATES), states, "it is the index of MESSAGE_REPORTS");
    states.iter().for_each(|(status, _)| count(0, *status));
    let states: BTreeSet<_> = rows(read, USER_REPORTS).iter().map(|(id, row)| (row.status, *id)).collect();
    assert_eq!(keys(read, USER_REPORT_STATES), states, "it is the index of USER_REPORTS");
    states.iter().for_each(|(status, _)| count(1, *status));
    let states: BTreeSet<_> = rows(read, TICKETS).iter().map(|(id, row)| (row.status, *id)).collect();
    assert_eq!(keys(read, TICKET_STATES), states, "it is the index of TICKETS");
    states.iter().for_each(|(status, _)| count(2, *status));
    let reports = rows(read, HASH_REPORTS);
    let states: BTreeSet<_> = reports.iter().map(|(id, row)| (row.status, *id)).collect();
    assert_eq!(keys(read, HASH_REPORT_STATES), states, "it is the index of HASH_REPORTS");
    states.iter().for_each(|(status, _)| count(3, *status));
    let reporters = reports.iter().map(|(id, row)| ((row.person_id, row.hash_value.clone()), id.0));
    let stored: BTreeMap<_, _> =
        rows(read, HASH_REPORTERS).into_iter().map(|(key, meta)| (key, meta.value)).collect();
    assert_eq!(stored, reporters.collect(), "one report by each person of each file");
    let blocked: BTreeMap<_, _> =
        rows(read, BLOCKED_HASHES).into_iter().map(|(hash, row)| (row.order, hash)).collect();
    let stored: BTreeMap<_, _> =
        rows(read, BLOCKED_HASH_ORDER).into_iter().map(|(order, row)| (order, row.value)).collect();
    assert_eq!(stored, blocked, "it is the index of BLOCKED_HASHES");
    let stored: BTreeMap<_, _> = rows(read, TALLIES)
        .into_iter()
        .map(|(key, meta)| (key, meta.value))
        .filter(|row| row.1 > 0)
        .collect();
    assert_eq!(stored, tallies, "TALLIES counts what is in each state");
}

fn accounts(read: Read<'_>, at: u64) {
    let users = rows(read, USERS);
    let here: BTreeMap<_, _> = users.iter().filter(|(_, user)| user.state != account::PURGED).collect();
    let names: BTreeMap<_, _> = here.iter().map(|(id, user)| (user.username.to_lowercase(), **id)).collect();
    // Accounts that are being purged, in steps, have lost these first: but none before it is due.
    let kept: BTreeMap<_, _> = here.iter().filter(|(_, user)| !user.email.is_empty()).collect();
    for user in here.values().filter(|user| user.email.is_empty() && user.owner_id.is_none()) {
        assert!(user.state == account::FROZEN && user.deletion_at.is_some_and(|due| due <= at), "it is due");
    }
    let emails: BTreeMap<_, _> = kept.iter().map(|(id, user)| (user.email.to_lowercase(), ***id)).collect();
    assert_eq!(names.len(), here.len(), "user names are unique");
    assert_eq!(emails.len(), kept.len(), "addresses are unique");
    let index = |table: Table<&'static str, UserRef>| {
        rows(read, table).into_iter().map(|(name, found)| (name, found.id)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(index(USER_NAMES), names, "USER_NAMES is the index of USERS");
    assert_eq!(index(USER_EMAILS), emails, "USER_EMAILS is the index of USERS");
    let ids: BTreeSet<UserId> = here.keys().map(|id| **id).collect();
    let secret: BTreeSet<UserId> = kept.keys().map(|id| ***id).collect();
    assert_eq!(keys(read, CREDENTIALS), secret, "whoever is not purged has a credential");
    let frozen = here.iter().filter(|(_, user)| user.state == account::FROZEN);
    let due: BTreeSet<_> = frozen.map(|(id, user)| (user.deletion_at.expect("frozen until"), **id)).collect();
    assert_eq!(keys(read, DELETIONS), due, "DELETIONS is the index of frozen accounts");
    let names = rows(read, LOGIN_NAMES);
    let lapses: BTreeSet<_> = names.iter().map(|(name, known)| (known.lapses_at, *name)).collect();
    assert_eq!(keys(read, LOGIN_LAPSES), lapses, "LOGIN_LAPSES is the index of LOGIN_NAMES");
    let tokens = rows(read, TOKENS);
    let of_users: BTreeSet<_> = tokens.iter().map(|(id, token)| (token.user_id, *id)).collect();
    assert_eq!(keys(read, USER_TOKENS), of_users, "USER_TOKENS is the index of TOKENS");
    for (user_id, _) in of_users {
        assert!(ids.contains(&user_id), "login sessions belong to accounts");
    }
    for table in [keys(read, MESSAGING), keys(read, PRESENCES)] {
        assert!(table.is_subset(&ids), "preferences belong to accounts");
    }
    assert!(keys(read, SETTINGS).iter().all(|(id, _)| ids.contains(id)), "settings belong to accounts");
}

fn mails(read: Read<'_>) {
    let mails = rows(read, MAILS);
    let times: BTreeSet<_> = mails.iter().map(|((user_id, id), mail)| (mail.due, *user_id, *id)).collect();
    assert_eq!(keys(read, MAIL_TIMES), times, "MAIL_TIMES is the index of MAILS");
    let is_here = |id: UserId| read.get(USERS, id).is_some_and(|user| user.state != account::PURGED);
    let of_tokens = keys(read, MAIL_TOKENS).into_iter().map(|(id, _)| id);
    let of_mails = mails.keys().map(|(id, _)| *id);
    assert!(of_tokens.chain(of_mails).chain(keys(read, SIGN_INS)).all(is_here), "mail is of accounts");
    for ((user_id, kind), token) in rows(read, MAIL_TOKENS) {
        let brought = mails.iter().filter(|((id, _), mail)| *id == user_id && mail.kind == kind);
        let ids: Vec<u64> = brought.map(|((_, id), _)| *id).collect();
        assert!(ids.iter().all(|id| *id == token.mail_id), "a token has one mail");
    }
}

fn pictures(read: Read<'_>) {
    let avatars = rows(read, USERS).into_values().filter_map(|user| user.avatar);
    let icons = rows(read, SERVERS).into_values().filter_map(|server| server.icon);
    let emojis = rows(read, EMOJIS).into_values().map(|emoji| Box::new(emoji.picture));
    let stickers = rows(read, STICKERS).into_values().map(|sticker| Box::new(sticker.picture));
    let pictures = avatars.chain(icons).chain(emojis).chain(stickers).map(|picture| picture.hash);
    let uploads = rows(read, UPLOADS).into_values().map(|upload| upload.file);
    let files = uploads.chain(rows(read, MESSAGE_FILES).into_values());
    let files: Vec<StoredFile> = files.collect();
    let looks = files.iter().filter_map(|file| Some((file.hash, file.look?)));
    let noted: BTreeMap<_, _> =
        rows(read, BLOB_LOOKS).into_iter().map(|(hash, meta)| (hash, meta.value)).collect();
    assert!(looks.clone().all(|(hash, look)| noted.get(&hash) == Some(&look)), "each is noted");
    let files = files.iter().flat_map(|file| file.blobs().collect::<Vec<_>>());
    let chunks = rows(read, UPLOAD_CHUNKS).into_values().map(|chunk| chunk.hash);
    let mut named = BTreeMap::new();
    pictures.chain(files).chain(chunks).for_each(|hash| *named.entry(hash).or_insert(0) += 1);
    let counts: BTreeMap<_, _> =
        rows(read, BLOBS).into_iter().map(|(hash, meta)| (hash, meta.value)).collect();
    assert_eq!(counts, named, "BLOBS counts the records that name each");
    assert!(noted.keys().all(|hash| counts.contains_key(hash)), "BLOB_LOOKS is about what is in BLOBS");
}

fn uploads(read: Read<'_>, at: u64) {
    let uploads = rows(read, UPLOADS);
    let lapses: BTreeSet<_> = uploads.iter().map(|((user, id), row)| (row.lapses_at, *user, *id)).collect();
    assert_eq!(keys(read, UPLOAD_LAPSES), lapses, "UPLOAD_LAPSES is the index of UPLOADS");
    let by_key: BTreeMap<_, _> =
        uploads.iter().map(|((user_id, id), row)| (row.file.key, (*user_id, *id))).collect();
    let stored: BTreeMap<_, _> =
        rows(read, UPLOAD_KEYS).into_iter().map(|(key, row)| (key, (row.user_id, row.id))).collect();
    assert_eq!(stored, by_key, "UPLOAD_KEYS is the index of UPLOADS");
    let uses: BTreeSet<_> =
        rows(read, MESSAGE_FILES).into_iter().map(|((message, _), file)| (file.key, message)).collect();
    assert_eq!(keys(read, FILE_USES), uses, "FILE_USES is the index of MESSAGE_FILES");
    for ((_, message_id), message) in rows(read, MESSAGES) {
        let of_it = read.scan(MESSAGE_FILES, message_id).map(|((_, id), _)| id.0);
        let shown: BTreeSet<u64> = message.attachments.iter().map(|shown| shown.id).collect();
        assert_eq!(of_it.collect::<BTreeSet<_>>(), shown, "a message holds what it shows");
    }
    let sessions = rows(read, UPLOAD_SESSIONS);
    let lapses: BTreeSet<_> =
        sessions.iter().map(|((user, key), row)| (row.expires_at, *user, *key)).collect();
    assert_eq!(keys(read, UPLOAD_SESSION_LAPSES), lapses, "it is the index of UPLOAD_SESSIONS");
    // An account that is being purged, in steps, loses its sessions first.
    let is_going = |id: UserId| {
        let user = read.get(USERS, id).map(User::from);
        user.is_some_and(|user| {
            user.state == account::FROZEN && user.deletion_at.is_some_and(|due| due <= at)
        })
    };
    for (user, key, _) in keys(read, UPLOAD_CHUNKS) {
        assert!(sessions.contains_key(&(user, key)) || is_going(user), "chunks of {user} are of sessions");
    }
}

fn relationships(read: Read<'_>) {
    let all = rows(read, RELATIONSHIPS);
    let kind = |a, b| all.get(&(a, b)).map(|relationship| relationship.kind);
    for ((a, b), relationship) in &all {
        assert_ne!(a, b, "nobody relates to himself");
        let facing = kind(*b, *a);
        let fits = match relationship.kind {
            relation::FRIEND => facing == Some(relation::FRIEND),
            relation::PENDING_INCOMING => facing == Some(relation::PENDING_OUTGOING),
            relation::PENDING_OUTGOING => facing == Some(relation::PENDING_INCOMING),
            relation::BLOCKED => facing.is_none_or(|facing| facing == relation::BLOCKED),
            _ => false,
        };
        assert!(fits, "{a} to {b} is {} but {facing:?} back", relationship.kind);
        let state = |id| read.get(USERS, id).expect("relationships are between accounts").state;
        assert_ne!(state(*a), account::PURGED, "purged accounts have no relationships");
        // A block is the blocker's own.
        assert!(state(*b) != account::PURGED || relationship.kind == relation::BLOCKED);
    }
}

fn servers(read: Read<'_>) {
    let servers = rows(read, SERVERS);
    let garbage = keys(read, SERVER_GARBAGE);
    assert!(garbage.iter().all(|id| !servers.contains_key(id)), "a server is there or garbage");
    let known = |id: &ServerId| servers.contains_key(id) || garbage.contains(id);
    // Of a server that ended, members and bans go in several steps.
    let here = |id: &ServerId| servers.contains_key(id);
    let mut members = rows(read, MEMBERS);
    let mut bans = rows(read, BANS);
    assert!(members.keys().chain(bans.keys()).all(|(id, _)| known(id)), "members and bans are of servers");
    members.retain(|(id, _), _| here(id));
    bans.retain(|(id, _), _| here(id));
    let turned: BTreeSet<_> = members.keys().map(|(server_id, user_id)| (*user_id, *server_id)).collect();
    let mut index = keys(read, USER_SERVERS);
    assert!(index.iter().all(|(_, id)| known(id)), "memberships are of servers");
    index.retain(|(_, id)| here(id));
    assert_eq!(index, turned, "USER_SERVERS is the index of MEMBERS");
    for (user_id, server_id) in keys(read, TEMPORARY_MEMBERS) {
        let member = read.get(MEMBERS, (server_id, user_id));
        assert!(member.is_some_and(|member| member.temporary), "TEMPORARY_MEMBERS names temporary members");
    }
    let ordered: BTreeMap<_, _> =
        bans.iter().map(|((server_id, user_id), ban)| ((*server_id, ban.order), *user_id)).collect();
    let mut order = rows(read, BAN_ORDER);
    assert!(order.keys().all(|(id, _)| known(id)), "bans are of servers");
    order.retain(|(id, _), _| here(id));
    let order: BTreeMap<_, _> = order.into_iter().map(|(key, user)| (key, user.id)).collect();
    assert_eq!(order, ordered, "BAN_ORDER is the index of BANS");
    assert!(bans.keys().all(|key| !members.contains_key(key)), "who is banned is no member");
    let roles = rows(read, ROLES);
    assert!(keys(read, AUDIT).iter().all(|(id, _)| known(id)), "the audit log is of a server");
    assert!(roles.keys().all(|(id, _)| servers.contains_key(id)), "roles are of servers");
    for (id, server) in &servers {
        let count = members.range((*id, UserId::MIN)..=(*id, UserId::MAX)).count();
        assert_eq!(server.member_count, count as u64, "member_count counts MEMBERS");
        assert!(members.contains_key(&(*id, server.owner_id)), "the owner is a member");
        let own = || roles.iter().filter(|((server_id, _), _)| server_id == id);
        let default: Vec<_> =
            own().filter(|(_, role)| role.is_default).map(|((_, role_id), _)| *role_id).collect();
        assert_eq!(default, [server.everyone_role_id], "@everyone is the one default role");
        let mut positions: Vec<u64> = own().map(|(_, role)| role.position).collect();
        positions.sort_unstable();
        assert!(positions.into_iter().eq(0..own().count() as u64), "role positions are 0..n");
        if let Some(channel_id) = server.default_channel_id {
            let channel = read.get(CHANNELS, channel_id).expect("the default channel exists");
            assert_eq!((channel.server(), channel.kind), (Some(*id), channel_kind::TEXT), "default channel");
        }
    }
    let invites = rows(read, INVITES);
    let of_servers: BTreeSet<_> =
        invites.iter().map(|(code, invite)| (invite.server_id, code.clone())).collect();
    assert_eq!(keys(read, SERVER_INVITES), of_servers, "SERVER_INVITES is the index of INVITES");
    for invite in invites.values() {
        let channel = read.get(CHANNELS, invite.channel_id).expect("invites lead to a channel");
        assert_eq!(channel.server(), Some(invite.server_id), "invites lead to a channel of their server");
    }
}

fn channels(read: Read<'_>) {
    let channels = rows(read, CHANNELS);
    let of_servers = channels.iter().filter(|(_, channel)| channel.server_id != ServerId(0));
    let index: BTreeSet<_> = of_servers.clone().map(|(id, channel)| (channel.server_id, *id)).collect();
    assert_eq!(keys(read, SERVER_CHANNELS), index, "SERVER_CHANNELS is the index of CHANNELS");
    let mut positions: BTreeMap<ServerId, BTreeSet<u64>> = BTreeMap::new();
    for (id, channel) in of_servers {
        assert!(read.contains(SERVERS, channel.server_id), "a channel's server exists");
        let of_server = positions.entry(channel.server_id).or_default();
        assert!(of_server.insert(channel.position), "channel positions are distinct");
        assert!(channel.participants.is_empty());
        if let Some(category) = channel.category_id {
            let category = channels.get(&category).expect("a channel's category exists");
            assert_eq!(
                (category.kind, category.server_id),
                (channel_kind::CATEGORY, channel.server_id),
                "{id}"
            );
            assert_ne!(channel.kind, channel_kind::CATEGORY, "categories stand in no category");
        }
    }
    for positions in positions.into_values() {
        assert!(positions.iter().copied().eq(0..positions.len() as u64), "channel positions are 0..n");
    }
    let mut pairs = BTreeMap::new();
    let (mut dms, mut groups) = (BTreeMap::new(), BTreeSet::new());
    for (id, channel) in channels.iter().filter(|(_, channel)| channel.server_id == ServerId(0)) {
        match (channel.kind, &channel.participants[..]) {
            (channel_kind::DM, [a, b]) => {
                assert_eq!(pairs.insert((*a.min(b), *a.max(b)), *id), None, "a pair has one channel");
                dms.extend([((*a, *id), *b), ((*b, *id), *a)]);
            }
            (channel_kind::NOTES, [a]) => {
                assert_eq!(pairs.insert((*a, *a), *id), None, "a user has one notes channel");
            }
            (channel_kind::GROUP, [_, ..]) => {
                let distinct: BTreeSet<_> = channel.participants.iter().map(|user| (*user, *id)).collect();
                assert_eq!(distinct.len(), channel.participants.len(), "each is in {id} once");
                groups.extend(distinct);
            }
            other => panic!("private channel {id} is {other:?}"),
        }
    }
    let stored: BTreeMap<_, _> =
        rows(read, DM_PAIRS).into_iter().map(|(pair, channel)| (pair, channel.id)).collect();
    assert_eq!(stored, pairs, "DM_PAIRS is the index of private channels");
    let stored: BTreeMap<_, _> = rows(read, USER_DMS).into_iter().map(|(key, user)| (key, user.id)).collect();
    assert_eq!(stored, dms, "USER_DMS is the index of direct messages");
    assert_eq!(keys(read, USER_GROUPS), groups, "USER_GROUPS is the index of groups");
    for id in keys(read, CHANNEL_GARBAGE) {
        assert!(!channels.contains_key(&id), "a channel is there or garbage");
    }
}

fn messages(read: Read<'_>) {
    let messages = rows(read, MESSAGES);
    let garbage = keys(read, CHANNEL_GARBAGE);
    let known = |id: ChannelId| read.contains(CHANNELS, id) || garbage.contains(&id);
    let by_author: BTreeMap<_, _> =
        messages.iter().map(|((channel, id), message)| ((message.author_id, *id), *channel)).collect();
    let stored: BTreeMap<_, _> =
        rows(read, AUTHOR_MESSAGES).into_iter().map(|(key, at)| (key, at.id)).collect();
    assert_eq!(stored, by_author, "AUTHOR_MESSAGES is the index of MESSAGES");
    let pinned = messages.iter().filter(|(_, message)| message.pin != 0);
    let pinned: BTreeMap<_, _> =
        pinned.map(|((channel, id), message)| ((*channel, message.pin), *id)).collect();
    let mut pins: BTreeMap<_, _> =
        rows(read, PINS).into_iter().map(|(key, message)| (key, message.id)).collect();
    // A channel that is being removed loses its messages before its pins.
    pins.retain(|key, id| !garbage.contains(&key.0) || messages.contains_key(&(key.0, *id)));
    assert_eq!(pins, pinned, "PINS is the index of pinned messages");
    let mut reacted = BTreeSet::new();
    for ((channel_id, id), message) in &messages {
        assert!(known(*channel_id), "messages are in channels");
        if message.reacted {
            reacted.insert(*id);
        }
    }
    reactions(read, reacted);
    polls(read, &messages);
}

fn polls(read: Read<'_>, messages: &BTreeMap<(ChannelId, MessageId), Message>) {
    // Of messages in a channel that is being removed they go in several steps.
    let (gone, garbage) = (keys(read, MESSAGE_GARBAGE), keys(read, POLL_GARBAGE));
    let asks = messages.iter().filter(|(_, message)| message.poll != 0);
    let asks: BTreeMap<_, _> = asks.map(|((_, id), message)| (*id, message.poll)).collect();
    let mut stored = rows(read, POLLS);
    let places: BTreeMap<_, _> = stored.iter().map(|(message_id, poll)| (poll.id, *message_id)).collect();
    let index: BTreeMap<_, _> =
        rows(read, POLL_PLACES).into_iter().map(|(id, place)| (id, place.message_id)).collect();
    assert_eq!(index, places, "POLL_PLACES is the index of POLLS");
    assert!(garbage.iter().all(|id| !places.contains_key(id)), "a poll is there or garbage");
    stored.retain(|message_id, _| !gone.contains(message_id));
    let ids: BTreeMap<_, _> = stored.iter().map(|(message_id, poll)| (*message_id, poll.id.0)).collect();
    assert_eq!(ids, asks, "a message and its poll name each other");
    let errands = rows(read, OUTBOX).into_iter().filter(|(_, errand)| errand.kind == Look::KIND);
    let due: BTreeSet<_> = errands.map(|((due, _), errand)| (due, errand.what)).collect();
    for (message_id, poll) in stored.into_iter().filter(|(_, poll)| poll.ended_at.is_none()) {
        let place = read.get(POLL_PLACES, poll.id).map(PollPlace::from).expect("it was found above");
        let look = Look { channel_id: place.channel_id, message_id, poll_id: poll.id };
        let has = |ends_at| due.contains(&(ends_at, bytes(&look)));
        let is_going = !read.contains(CHANNELS, place.channel_id);
        assert!(is_going || poll.ends_at.is_none_or(has), "a poll that is to end has an errand for it");
    }
}

fn reactions(read: Read<'_>, reacted: BTreeSet<MessageId>) {
    // Of messages in a channel that is being removed they go in several steps.
    let gone = keys(read, MESSAGE_GARBAGE);
    let (garbage, stored) = (keys(read, CHANNEL_GARBAGE), keys(read, MESSAGES));
    assert!(stored.iter().all(|(_, id)| !gone.contains(id)), "a message is there or garbage");
    // Of emojis that were cleared, too.
    let clearing =
        |errand: Errand| rkyv::from_bytes::<Clear, rkyv::rancor::Error>(&errand.what).expect("an errand");
    let clears = rows(read, OUTBOX).into_values().filter(|errand| errand.kind == Clear::KIND).map(clearing);
    let cleared: BTreeSet<(MessageId, u16)> =
        clears.flat_map(|it| it.indexes.into_iter().map(move |index| (it.message_id, index))).collect();
    let going = |id: MessageId| {
        gone.contains(&id) || garbage.iter().any(|channel| read.contains(MESSAGES, (*channel, id)))
    };
    let sets = rows(read, REACTION_SETS);
    let with_set: BTreeSet<_> = sets.keys().copied().filter(|id| !gone.contains(id)).collect();
    assert_eq!(with_set, reacted, "message.reacted says whether a set is there");
    let mut reactions = rows(read, REACTIONS);
    reactions.retain(|(id, index, _), _| !going(*id) && !cleared.contains(&(*id, *index)));
    let ordered: BTreeSet<_> =
        reactions.iter().map(|((id, index, user), reaction)| (*id, *index, reaction.order, *user)).collect();
    let mut order = keys(read, REACTION_ORDER);
    order.retain(|(id, index, _, _)| !going(*id) && !cleared.contains(&(*id, *index)));
    assert_eq!(order, ordered, "REACTION_ORDER is the index of REACTIONS");
    let mut places = keys(read, REACTION_PLACES);
    places.retain(|(id, index, _)| !going(*id) && !cleared.contains(&(*id, *index)));
    for (id, index, user) in places {
        assert!(!reactions.contains_key(&(id, index, user)), "who is there has no former place");
        let mut entries = sets.get(&id).into_iter().flat_map(|set| &set.entries);
        assert!(entries.any(|entry| entry.index == index), "former places are of emojis that are there");
    }
    let mut counts = BTreeMap::new();
    for (id, index, _) in reactions.keys() {
        *counts.entry((*id, *index)).or_insert(0) += 1;
    }
    let mut claimed = BTreeMap::new();
    for (message, set) in sets.iter().filter(|(id, _)| !going(**id)) {
        assert!(!set.entries.is_empty(), "a set has an entry");
        let emoji: BTreeSet<_> = set.entries.iter().map(|entry| &entry.emoji).collect();
        assert_eq!(emoji.len(), set.entries.len(), "an emoji has one entry");
        for entry in &set.entries {
            assert_eq!(claimed.insert((*message, entry.index), entry.count), None, "an index has one entry");
        }
    }
    assert_eq!(claimed, counts, "the counts of a set are its rows");
}

fn ledgers(read: Read<'_>) {
    let channels: BTreeSet<_> = read
        .scan(LEDGER_COUNTS, ())
        .chain(read.scan(LEDGER_GONE, ()))
        .map(|((channel_id, _, _), _)| channel_id)
        .collect();
    for id in channels {
        let known = read.contains(CHANNELS, id) || read.contains(CHANNEL_GARBAGE, id);
        assert!(known, "ledgers count messages of channels: {id}");
    }
}

fn marks(read: Read<'_>) {
    let marks: BTreeMap<_, _> =
        rows(read, READ_MARKS).into_iter().map(|(key, mark)| (key, mark.id)).collect();
    let readers: BTreeMap<_, _> = rows(read, CHANNEL_READERS)
        .into_iter()
        .map(|((channel, user), mark)| ((user, channel), mark.id))
        .collect();
    assert_eq!(marks, readers, "CHANNEL_READERS holds the same as READ_MARKS");
    let garbage = keys(read, CHANNEL_GARBAGE);
    for (user, channel) in marks.keys() {
        assert!(read.contains(CHANNELS, *channel) || garbage.contains(channel), "marks are of channels");
        let user = read.get(USERS, *user).expect("marks are of accounts");
        assert_ne!(user.state, account::PURGED, "purged accounts have no marks");
    }
}

fn automods(read: Read<'_>) {
    let violations = rows(read, VIOLATIONS);
    let by_author: BTreeSet<_> =
        violations.iter().map(|((server, id), violation)| (*server, violation.user_id, *id)).collect();
    assert_eq!(keys(read, USER_VIOLATIONS), by_author, "USER_VIOLATIONS is the index of VIOLATIONS");
    let lapses: BTreeSet<_> =
        violations.iter().map(|((server, id), violation)| (violation.lapses_at, *server, *id)).collect();
    assert_eq!(keys(read, VIOLATION_LAPSES), lapses, "VIOLATION_LAPSES is another one");
    let rules = rows(read, AUTOMOD_RULES);
    // Of servers that ended, rules and violations go in steps.
    for (server_id, automod) in rows(read, AUTOMODS).into_iter().filter(|(id, _)| read.contains(SERVERS, *id))
    {
        let own = || rules.iter().filter(|((id, _), _)| *id == server_id).map(|(_, rule)| rule);
        let sum = |of: fn(&AutomodRule) -> u64| own().map(of).sum::<u64>();
        assert_eq!(automod.count, sum(|_| 1), "AUTOMODS counts rules");
        assert_eq!(automod.active, sum(|rule| rule.enabled.into()), "and those that are on");
        assert_eq!(automod.weight.len, sum(|rule| rule.weight.len), "and adds up what they weigh");
        assert_eq!(automod.weight.pattern_cost, sum(|rule| rule.weight.pattern_cost));
        let count = violations.keys().filter(|(id, _)| *id == server_id).count() as u64;
        assert_eq!(automod.violations, count, "AUTOMODS counts violations");
    }
}
