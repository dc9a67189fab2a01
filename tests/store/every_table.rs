//! A store with rows in every table, as commands would have left them: two users, a server, a channel, a message.

use plexichat::domain::community::ban::CleanUp;
use plexichat::domain::errand::{Errand as _, bytes};
use plexichat::domain::housekeeping::sweep::Sweep;
use plexichat::domain::{Command, Machine, Now, Reply};
use plexichat::id::{
    AccessScopeId, AccessTokenId, AdminId, AttachmentId, AuditId, ChallengeId, ChannelId, EmojiId, MessageId,
    NameBanId, PasskeyId, PollId, ReportId, RoleId, RuleId, ServerId, SignInId, StickerId, TicketId, TokenId,
    UserId, ViolationId, WebhookId,
};
use plexichat::store::owners::owner_of;
use plexichat::store::records::*;
use plexichat::store::tables::*;
use plexichat::store::{Options, Store, Sync, Tx};

use crate::{owners, support};

/// Ids whose bytes stand nowhere by accident.
const fn number(n: u64) -> u64 {
    0x0456_789a_bcde_f000 + n
}

pub const AT: u64 = 1_767_225_600_123;
/// He owns the server, and wrote the message.
pub const USER: UserId = UserId(number(1));
pub const OTHER: UserId = UserId(number(2));
pub const BOT: UserId = UserId(number(10));
pub const SERVER: ServerId = ServerId(number(3));
pub const CHANNEL: ChannelId = ChannelId(number(4));
pub const MESSAGE: MessageId = MessageId(number(5));
/// Between the two users.
pub const DM: ChannelId = ChannelId(number(6));
pub const NOTES: ChannelId = ChannelId(number(7));
/// Of both, too.
pub const GROUP: ChannelId = ChannelId(number(11));
const EVERYONE: RoleId = RoleId(number(8));
const TOKEN: TokenId = TokenId(number(9));
const INVITE: &str = "abcdefghijkl";

pub fn fill(store: &Store) {
    let mut tx = store.begin().unwrap();
    accounts(&mut tx);
    servers(&mut tx);
    channels(&mut tx);
    messages(&mut tx);
    heard(&mut tx);
    let clean_up =
        CleanUp { server_id: SERVER, user_id: OTHER, after: MESSAGE, since_ms: AT, before: MessageId::MAX };
    tx.put(OUTBOX, (2 * AT, number(30)), &Errand { kind: CleanUp::KIND, what: bytes(&clean_up) });
    tx.commit().unwrap();
    let snapshot = store.snapshot();
    for (index, row) in ROWS.iter().enumerate() {
        assert!(snapshot.read().raw(index).next().is_some(), "give {} a row here", row.name);
    }
}

pub fn picture() -> Picture {
    Picture { hash: [7; 32], format: picture::PNG, animated: false }
}

fn accounts(tx: &mut Tx<'_>) {
    for (id, name) in [(USER, "ada"), (OTHER, "bob")] {
        let email = format!("{name}@example.com");
        let user = User {
            username: name.into(),
            email: email.clone(),
            email_key: email.clone(),
            created_at: AT,
            avatar: (id == USER).then(|| Box::new(picture())),
            ..User::default()
        };
        tx.put(USERS, id, &user);
        tx.put(USER_NAMES, name, &UserRef { id });
        tx.put(USER_EMAILS, email.as_str(), &UserRef { id });
        tx.put(CREDENTIALS, id, &Credential::default());
        tx.put(MESSAGING, id, &Messaging::default());
        tx.put(PRESENCES, id, &Presence::default());
        tx.put(INBOXES, id, &Inbox { count: 2, read_up_to: 0 });
        tx.put(TWO_FACTORS, id, &TwoFactor { enabled: true, ..TwoFactor::default() });
        let challenge = Challenge { user_id: id, expires_at: 2 * AT, ..Challenge::default() };
        let challenge_id = ChallengeId(number(40) + id.0 % 2);
        tx.put(CHALLENGES, challenge_id, &challenge);
        tx.put(USER_CHALLENGES, (id, challenge_id), &Nil {});
        let mail_id = number(50) + id.0 % 2;
        tx.put(MAIL_TOKENS, (id, mail_kind::PASSWORD_RESET), &MailToken { mail_id, ..MailToken::default() });
        let mail =
            Mail { kind: mail_kind::PASSWORD_RESET, to: email.clone(), due: 2 * AT, ..Mail::default() };
        tx.put(MAILS, (id, mail_id), &mail);
        tx.put(MAIL_TIMES, (2 * AT, id, mail_id), &Nil {});
        tx.put(SIGN_INS, id, &SignIns { sources: vec!["192.0.2.1".into()] });
        let (link, code) = (ProviderLink { subject: format!("of {name}"), created_at: AT }, provider::GITLAB);
        tx.put(PROVIDER_LINKS, (id, code), &link);
        tx.put(PROVIDER_SUBJECTS, (code, link.subject.as_str()), &UserRef { id });
        let passkey = Passkey { credential_hash: [id.0 as u8; 32], ..Passkey::default() };
        let passkey_id = PasskeyId(number(70) + id.0 % 2);
        tx.put(PASSKEYS, (id, passkey_id), &passkey);
        tx.put(PASSKEY_PLACES, passkey.credential_hash, &PasskeyPlace { user_id: id, passkey_id });
        let change = MessageChange { number: 1, channel_id: CHANNEL, message_id: MESSAGE };
        tx.put(MESSAGE_CHANGES, 1, &change);
        tx.put(SETTINGS, (id, "theme"), &Setting { value: "1".into(), ..Setting::default() });
    }
    let bot = User { username: "rosie".into(), owner_id: Some(Box::new(USER)), ..User::default() };
    tx.put(USERS, BOT, &bot);
    tx.put(USER_NAMES, "rosie", &UserRef { id: BOT });
    tx.put(BOTS, (USER, BOT), &Nil {});
    tx.put(DELETIONS, (AT, USER), &Nil {});
    tx.put(REMINDERS, (2 * AT, USER), &Meta { value: AT });
    // The same for the server, its emoji and its sticker.
    // Of the user, the server, an emoji, a sticker, an upload, two messages and a chunk.
    tx.put(BLOBS, picture().hash, &Meta { value: 8 });
    tx.put(BLOB_LOOKS, picture().hash, &Meta { value: number(87) });
    let user = User {
        badges: vec![badge::STAFF],
        state: account::FROZEN,
        deletion_at: Some(AT),
        ..User::from(tx.get(USERS, USER).unwrap())
    };
    tx.put(USERS, USER, &user);
    tx.put(TOKENS, TOKEN, &Token { user_id: USER, expires_at: 2 * AT, ..Token::default() });
    tx.put(USER_TOKENS, (USER, TOKEN), &Nil {});
    let sign_in = ProviderSignIn { source: number(60), expires_at: 2 * AT, ..ProviderSignIn::default() };
    tx.put(PROVIDER_SIGN_INS, SignInId(number(61)), &sign_in);
    tx.put(PROVIDER_SIGN_IN_LAPSES, (2 * AT, SignInId(number(61))), &Nil {});
    tx.put(PROVIDER_SIGN_IN_SOURCES, (number(60), SignInId(number(61))), &Nil {});
    tx.put(LOGIN_NAMES, number(20), &LoginName { lapses_at: 2 * AT, ..LoginName::default() });
    tx.put(LOGIN_LAPSES, (2 * AT, number(20)), &Nil {});
    let friend = Relationship { kind: relation::FRIEND, ..Relationship::default() };
    tx.put(RELATIONSHIPS, (USER, OTHER), &friend);
    tx.put(RELATIONSHIPS, (OTHER, USER), &friend);
    uploads(tx);
    administrators(tx);
}

fn administrators(tx: &mut Tx<'_>) {
    let admin_id = AdminId(number(80));
    tx.put(ADMINS, admin_id, &Admin { username: "root".into(), ..Admin::default() });
    tx.put(ADMIN_NAMES, "root", &AdminRef { id: admin_id });
    tx.put(
        ADMIN_SESSIONS,
        [5; 32],
        &AdminSession { admin_id, expires_at: 2 * AT, ..AdminSession::default() },
    );
    tx.put(ADMIN_CHALLENGES, [4; 32], &AdminChallenge { admin_id, ..AdminChallenge::default() });
    tx.put(ADMIN_FAILURES, "192.0.2.1", &AdminFailures { lapses_at: 2 * AT, ..AdminFailures::default() });
    tx.put(ADMIN_FAILURE_LAPSES, (2 * AT, "192.0.2.1"), &Nil {});
    tx.put(USER_LOCKS, OTHER, &UserLock { until: Some(2 * AT), ..UserLock::default() });
    tx.put(USER_LOCK_LAPSES, (2 * AT, OTHER), &Nil {});
    tx.put(FORCED_NAMES, USER, &ForcedName { reason: "rude".into(), forced_at: AT });
    tx.put(USER_NOTES, USER, &UserNote { text: "called twice".into() });
    tx.put(DELETION_TIMES, USER, &Meta { value: AT });
    tx.put(NAME_BANS, NameBanId(number(82)), &NameBan { pattern: "villain".into(), ..NameBan::default() });
    tx.put(USER_BLOCKS, OTHER, &UserBlock { order: number(84), ..UserBlock::default() });
    tx.put(USER_BLOCK_ORDER, number(84), &UserRef { id: OTHER });
    tx.put(TICKET_NOTES, (TicketId(number(85)), number(86)), &TicketNote::default());
    tx.put(AUTOMOD_SWITCH, 0, &AutomodSwitch { enabled: true, ai: "{}".into() });
    tx.put(MAINTENANCE, 0, &Maintenance { since: AT, ..Maintenance::default() });
    tx.put(ADDRESS_BLOCKS, "192.0.2.1", &BlockedNet { order: number(83), ..BlockedNet::default() });
    tx.put(ADMIN_AUDIT, AuditId(number(81)), &AdminAudit { admin_id, ..AdminAudit::default() });
}

pub fn file() -> StoredFile {
    let (key, look) = (number(70), Some(number(87)));
    StoredFile { key, filename: "a.png".into(), hash: picture().hash, look, ..StoredFile::default() }
}

fn uploads(tx: &mut Tx<'_>) {
    let (id, lapses_at) = (AttachmentId(number(71)), 2 * AT);
    tx.put(UPLOADS, (USER, id), &Upload { file: file(), created_at: AT, lapses_at });
    tx.put(UPLOAD_KEYS, file().key, &UploadRef { user_id: USER, id });
    tx.put(UPLOAD_LAPSES, (lapses_at, USER, id), &Nil {});
    tx.put(UPLOAD_COUNTS, USER, &UploadCount { day_from: AT, day_count: 1, ..UploadCount::default() });
    let session =
        UploadSession { size: 9, chunk_size: 5, expires_at: 2 * AT, chunk_count: 1, ..Default::default() };
    tx.put(UPLOAD_SESSIONS, (USER, [6; 32]), &session);
    tx.put(UPLOAD_SESSION_LAPSES, (2 * AT, USER, [6; 32]), &Nil {});
    tx.put(UPLOAD_CHUNKS, (USER, [6; 32], 0), &UploadChunk { hash: picture().hash, size: 5 });
}

fn servers(tx: &mut Tx<'_>) {
    let server = Server {
        name: "Society".into(),
        description: Some("engines".into()),
        owner_id: USER,
        member_count: 2,
        default_channel_id: Some(CHANNEL),
        everyone_role_id: EVERYONE,
        created_at: AT,
        icon: Some(Box::new(picture())),
    };
    tx.put(SERVERS, SERVER, &server);
    tx.put(ROLES, (SERVER, EVERYONE), &Role { is_default: true, ..Role::default() });
    for user_id in [USER, OTHER] {
        tx.put(MEMBERS, (SERVER, user_id), &Member { temporary: true, ..Member::default() });
        tx.put(USER_SERVERS, (user_id, SERVER), &Nil {});
        tx.put(TEMPORARY_MEMBERS, (user_id, SERVER), &Nil {});
    }
    tx.put(BANS, (SERVER, UserId(number(21))), &Ban { order: number(22), ..Ban::default() });
    tx.put(BAN_ORDER, (SERVER, number(22)), &UserRef { id: UserId(number(21)) });
    let invite = Invite { server_id: SERVER, channel_id: CHANNEL, inviter_id: USER, ..Invite::default() };
    tx.put(INVITES, INVITE, &invite);
    tx.put(SERVER_INVITES, (SERVER, INVITE), &Nil {});
    tx.put(AUDIT, (SERVER, AuditId(number(23))), &Audit { user_id: USER, ..Audit::default() });
    let webhook_id = WebhookId(number(31));
    let webhook = Webhook { server_id: SERVER, channel_id: CHANNEL, creator_id: USER, ..Webhook::default() };
    tx.put(WEBHOOKS, webhook_id, &webhook);
    tx.put(SERVER_WEBHOOKS, (SERVER, webhook_id), &CHANNEL.into());
    tx.put(CHANNEL_WEBHOOKS, (CHANNEL, webhook_id), &SERVER.into());
    let rule_id = RuleId(number(34));
    tx.put(AUTOMODS, SERVER, &Automod { version: number(32), count: 1, violations: 1, ..Automod::default() });
    tx.put(AUTOMOD_RULES, (SERVER, rule_id), &AutomodRule { name: "quiet".into(), ..AutomodRule::default() });
    let (id, user_id, lapses_at) = (ViolationId(number(33)), OTHER, 2 * AT);
    tx.put(VIOLATIONS, (SERVER, id), &Violation { user_id, rule_id, lapses_at, ..Violation::default() });
    tx.put(USER_VIOLATIONS, (SERVER, user_id, id), &Nil {});
    tx.put(VIOLATION_LAPSES, (lapses_at, SERVER, id), &Nil {});
    let created_by = OTHER;
    let (emoji_id, sticker_id) = (EmojiId(number(60)), StickerId(number(61)));
    tx.put(EMOJIS, (SERVER, emoji_id), &Emoji { picture: picture(), created_by, ..Emoji::default() });
    tx.put(EMOJI_SERVERS, emoji_id, &SERVER.into());
    tx.put(STICKERS, (SERVER, sticker_id), &Sticker { picture: picture(), created_by, ..Sticker::default() });
    tx.put(STICKER_SERVERS, sticker_id, &SERVER.into());
    tx.put(STICKER_PACKS, SERVER, &Meta { value: number(62) });
    // Of an earlier server, that has nothing else left.
    tx.put(SERVER_GARBAGE, ServerId(number(24)), &Nil {});
}

fn channels(tx: &mut Tx<'_>) {
    let channel = Channel { server_id: SERVER, name: "news".into(), created_at: AT, ..Channel::default() };
    tx.put(CHANNELS, CHANNEL, &channel);
    tx.put(SERVER_CHANNELS, (SERVER, CHANNEL), &Nil {});
    tx.put(OVERRIDES, (CHANNEL, 0, EVERYONE.0), &Override { allow: 1, deny: 2 });
    tx.put(SLOWMODE, (CHANNEL, USER), &Meta { value: AT });
    let of_two = Channel { kind: channel_kind::DM, participants: vec![USER, OTHER], ..Channel::default() };
    tx.put(CHANNELS, DM, &of_two);
    tx.put(DM_PAIRS, (USER, OTHER), &ChannelRef { id: DM });
    tx.put(USER_DMS, (USER, DM), &UserRef { id: OTHER });
    tx.put(USER_DMS, (OTHER, DM), &UserRef { id: USER });
    let notes = Channel { kind: channel_kind::NOTES, participants: vec![USER], ..Channel::default() };
    tx.put(CHANNELS, NOTES, &notes);
    tx.put(DM_PAIRS, (USER, USER), &ChannelRef { id: NOTES });
    let of_several =
        Channel { kind: channel_kind::GROUP, participants: vec![USER, OTHER], ..Channel::default() };
    tx.put(CHANNELS, GROUP, &of_several);
    tx.put(USER_GROUPS, (USER, GROUP), &Nil {});
    tx.put(USER_GROUPS, (OTHER, GROUP), &Nil {});
    // Of an earlier channel, that has nothing else left.
    tx.put(CHANNEL_GARBAGE, ChannelId(number(25)), &Nil {});
    for (author, window) in [(0, 1), (USER.0, 2)] {
        tx.put(LEDGER_COUNTS, (CHANNEL, author, window), &Meta { value: 1 });
        tx.put(LEDGER_GONE, (CHANNEL, author, window), &Meta { value: 1 });
    }
    tx.put(LEDGER_WINDOWS, (0, CHANNEL.0, number(26)), &Meta { value: 1 });
    tx.put(LEDGER_WINDOWS, (1, USER.0, number(26)), &Meta { value: 2 });
}

fn messages(tx: &mut Tx<'_>) {
    // Of an earlier message, that has nothing else left.
    tx.put(MESSAGE_GARBAGE, MessageId(number(29)), &Nil {});
    // The same of a poll.
    tx.put(POLL_GARBAGE, PollId(number(62)), &Nil {});
    for (channel_id, message_id) in [(CHANNEL, MESSAGE), (NOTES, MessageId(number(27)))] {
        let message = Message {
            author_id: USER,
            content: "Grüße".into(),
            created_at: AT,
            embeds: "[]".into(),
            pin: number(28),
            reacted: true,
            poll: message_id.0 + 60,
            ..Message::default()
        };
        tx.put(MESSAGES, (channel_id, message_id), &message);
        tx.put(AUTHOR_MESSAGES, (USER, message_id), &ChannelRef { id: channel_id });
        tx.put(PINS, (channel_id, number(28)), &MessageRef { id: message_id });
        let poll_id = PollId(message_id.0 + 60);
        let option = PollOption { id: number(61), text: "yes".into(), votes: 1 };
        let poll = Poll { id: poll_id, creator_id: USER, options: vec![option], ..Poll::default() };
        tx.put(POLLS, message_id, &poll);
        tx.put(POLL_PLACES, poll_id, &PollPlace { channel_id, message_id });
        tx.put(POLL_VOTES, (poll_id, OTHER), &Meta { value: 1 });
        let entry = ReactionEntry { emoji: "🎉".into(), index: 0, count: 1 };
        tx.put(REACTION_SETS, message_id, &ReactionSet { entries: vec![entry] });
        tx.put(REACTIONS, (message_id, 0, OTHER), &Reaction { at: AT, order: 1 });
        tx.put(REACTION_ORDER, (message_id, 0, 1, OTHER), &Nil {});
        tx.put(REACTION_PLACES, (message_id, 0, USER), &Meta { value: 2 });
        let id = AttachmentId(number(71));
        tx.put(MESSAGE_FILES, (message_id, id), &file());
        tx.put(FILE_USES, (file().key, message_id), &FileUse { channel_id, id });
        tx.put(STICKER_USES, (message_id, StickerId(number(61))), &Nil {});
        tx.put(NOTIFICATIONS, (OTHER, message_id), &Notification::default());
        tx.put(NOTIFIED, (message_id, OTHER), &Nil {});
        tx.put(NOTICES, message_id, &Notice { channel_id, sender_id: USER, ..Notice::default() });
        tx.put(READ_MARKS, (OTHER, channel_id), &MessageRef { id: message_id });
        tx.put(CHANNEL_READERS, (channel_id, OTHER), &MessageRef { id: message_id });
    }
}

/// What stays whoever goes.
fn heard(tx: &mut Tx<'_>) {
    let (report_id, ticket_id) = (ReportId(number(50)), TicketId(number(51)));
    let report = MessageReport { message_id: MESSAGE, author_id: USER, ..MessageReport::default() };
    tx.put(MESSAGE_REPORTS, report_id, &report);
    tx.put(MESSAGE_REPORT_STATES, (report.status, report_id), &Nil {});
    let report = UserReport { user_id: USER, reporter_id: OTHER, ..UserReport::default() };
    tx.put(USER_REPORTS, report_id, &report);
    tx.put(USER_REPORT_STATES, (report.status, report_id), &Nil {});
    let ticket = Ticket { user_id: USER, username: "ada".into(), ..Ticket::default() };
    tx.put(TICKETS, ticket_id, &ticket);
    tx.put(TICKET_STATES, (ticket.status, ticket_id), &Nil {});
    (0..4).for_each(|queue| tx.put(TALLIES, (queue, 0), &Meta { value: 1 }));
    let hash_value = "0f".repeat(32);
    let report = HashReport { hash_value: hash_value.clone(), person_id: USER, ..HashReport::default() };
    tx.put(HASH_REPORTS, report_id, &report);
    tx.put(HASH_REPORT_STATES, (report.status, report_id), &Nil {});
    tx.put(HASH_REPORTERS, (USER, &*hash_value), &Meta { value: report_id.0 });
    tx.put(HASH_COUNTS, &*hash_value, &Meta { value: 1 });
    tx.put(HASH_PENDING_COUNTS, USER, &Meta { value: 1 });
    let (order, look) = (number(63), Some(number(87)));
    tx.put(BLOCKED_HASHES, &*hash_value, &BlockedHash { order, look, ..BlockedHash::default() });
    tx.put(BLOCKED_LOOKS, (number(87), order), &Nil {});
    tx.put(BLOCKED_HASH_ORDER, number(63), &HashRef { value: hash_value });
    tx.put(FEEDBACK_COUNTS, USER, &FeedbackCount { hour_from: AT, ..FeedbackCount::default() });
    let (token_id, expires_at) = (AccessTokenId(number(60)), Some(2 * AT));
    let token = AccessToken { secret_hash: [8; 32], expires_at, ..AccessToken::default() };
    tx.put(ACCESS_TOKENS, token_id, &token);
    tx.put(ACCESS_HASHES, token.secret_hash, &AccessRef { id: token_id });
    tx.put(ACCESS_LAPSES, (2 * AT, token_id), &Nil {});
    let scope = AccessScope { kind: scope_kind::IP, value: "192.0.2.1".into(), ..AccessScope::default() };
    tx.put(ACCESS_SCOPES, (token_id, AccessScopeId(number(61))), &scope);
    let used = AccessUse { address_count: 1, path_count: 1, event_count: 1, ..AccessUse::default() };
    tx.put(ACCESS_USES, token_id, &used);
    tx.put(ACCESS_ADDRESSES, (token_id, "192.0.2.1"), &AccessCount::default());
    tx.put(ACCESS_PATHS, (token_id, "GET /users/@me"), &AccessCount::default());
    tx.put(ACCESS_EVENTS, (token_id, number(62)), &AccessEvent::default());
    let lapses_at = 2 * AT;
    let times = ResponseTimes { count: 1, lapses_at, ..ResponseTimes::default() };
    (0..2).for_each(|tier| tx.put(RESPONSE_TIMES, (tier, AT / 3_600_000, "GET /users/@me"), &times));
    let report = CspReport { count: 1, lapses_at, ..CspReport::default() };
    tx.put(CSP_REPORTS, (AT / 86_400_000, "img-src"), &report);
}

/// The account that owns nearly all of it is purged, a few rows at a time: whatever table a row is in, it goes with
/// what it hangs on.
#[test]
fn nothing_is_left_of_what_is_gone() {
    for records_max in [1, 2, 5, 1_000] {
        let folder = support::temporary_folder();
        let path = folder.path().to_path_buf();
        let store =
            Store::open(&Options { path, map_size: 1 << 26, sync: Sync::Interval, readers_max: 8 }).unwrap();
        fill(&store);
        owners::check(store.snapshot().read());
        let kinds = owners::kinds_with_rows(store.snapshot().read());
        assert_eq!(kinds.len(), 5, "rows of all kinds of owners: {kinds:?}");
        loop {
            let mut tx = store.begin().unwrap();
            let mut machine = Machine::begin(&mut tx, Now::at(AT), 0);
            let sweep = Command::new(UserId(0), Sweep { records_max }.into());
            let reply = machine.apply(&sweep).unwrap();
            machine.finish();
            tx.commit().unwrap();
            let snapshot = store.snapshot();
            // No password and no address, whatever else is left.
            assert!(!snapshot.read().contains(CREDENTIALS, USER));
            assert!(!snapshot.read().contains(USER_EMAILS, "ada@example.com"));
            assert!(snapshot.read().scan(MAILS, USER).next().is_none());
            if reply == Reply::Count(0) {
                break;
            }
        }
        let snapshot = store.snapshot();
        owners::check(snapshot.read());
        assert_eq!(snapshot.read().get(USERS, USER).unwrap().state, account::PURGED);
        assert!(!snapshot.read().contains(BLOBS, picture().hash), "no record names it");
        assert!(!snapshot.read().contains(BLOB_LOOKS, picture().hash), "nor knows what it looked like");
        for (index, row) in ROWS.iter().enumerate() {
            for (key, _) in snapshot.read().raw(index) {
                let owner = owner_of(row.hangs, key);
                // What is left hangs on the other account.
                assert!(owner.is_none_or(|owner| owner == OTHER.into()), "{}: {owner:?}", row.name);
            }
        }
    }
}
