//! What clients see and what stands on disk, as text: a change of it shows in a diff.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the files anew. Review their diff first: routes, errors,
//! opcodes and events are promises to clients, codes, tables and records are promises to stores that exist, metrics
//! are promises to whoever watches.

#[path = "golden/admins.rs"]
mod admins;
#[path = "golden/commands.rs"]
mod commands;
#[path = "golden/expressions.rs"]
mod expressions;
#[path = "golden/hashes.rs"]
mod hashes;
#[path = "golden/metrics.rs"]
mod metrics;
#[path = "golden/polls.rs"]
mod polls;
#[path = "golden/providers.rs"]
mod providers;
#[path = "golden/running.rs"]
mod running;
#[path = "golden/uploads.rs"]
mod uploads;

use std::fmt::{Debug, Write as _};
use std::path::PathBuf;

use plexichat::api::routes;
use plexichat::domain::command::{Row, rows};
use plexichat::domain::community::audit::ACTIONS;
use plexichat::domain::error::REFUSALS;
use plexichat::domain::housekeeping::outbox::KINDS;
use plexichat::domain::{EventName, Op, intent, permission};
use plexichat::gateway::protocol::{CLOSES, Data, OPS, Taken, When};
use plexichat::id::{ChannelId, MessageId, RoleId, RuleId, ServerId, UserId, WebhookId};
use plexichat::store::owners::Hangs;
use plexichat::store::records::*;
use plexichat::store::tables::ROWS;
use plexichat::store::{Record, decode_record, earlier, encode_record};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// Compares with the committed file, or writes it.
fn check(name: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(name), text).expect("tests/golden can be written");
    }
    let golden = std::fs::read_to_string(path(name)).unwrap_or_default();
    for (index, (line, want)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, want, "tests/golden/{name}:{}: review, then UPDATE_GOLDEN=1", index + 1);
    }
    assert!(text == golden, "tests/golden/{name} has other lines: review, then UPDATE_GOLDEN=1");
}

macro_rules! line {
    ($out:expr, $($format:tt)*) => { writeln!($out, $($format)*).expect("strings take any text") };
}

#[test]
fn every_route() {
    check("routes.txt", &routes::listing());
}

#[test]
fn every_fixed_refusal() {
    let mut out = String::new();
    for (name, status, message) in REFUSALS {
        line!(out, "{status} {name:<28} {message}");
    }
    check("errors.txt", &out);
}

#[test]
fn every_command() {
    let mut out = String::new();
    for Row { code, name, reply, marks } in rows() {
        let marks = [
            ("isolated", marks.isolated),
            ("frees_room", marks.frees_room),
            ("system", marks.system),
            ("speaks", marks.speaks),
        ];
        let marks: String =
            marks.iter().filter(|(_, set)| *set).map(|(mark, _)| format!(" {mark}")).collect();
        line!(out, "{code:>3} {name} -> {reply}{marks}");
    }
    check("commands.txt", &out);
}

/// Logs hold these bytes.
#[test]
fn every_encoded_command() {
    let mut out = String::new();
    let examples = commands::examples();
    let codes: Vec<u16> = examples.iter().map(|op| op.row().code).collect();
    assert_eq!(codes, rows().map(|row| row.code).collect::<Vec<_>>(), "one example of each command, by code");
    for op in examples {
        let (row, bytes) = (op.row(), op.encode(Vec::new()));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        line!(out, "{:>3} {:<18} {hex}", row.code, row.name);
        assert_eq!(Op::decode(row.code, &bytes), Ok(op));
    }
    check("command_bytes.txt", &out);
}

/// Stores hold these bytes.
#[test]
fn every_errand() {
    let mut out = String::new();
    let examples = commands::errands();
    let kinds: Vec<(u8, &str)> = KINDS.iter().map(|kind| (kind.code, kind.name)).collect();
    let known: Vec<(u8, &str)> = examples.iter().map(|(code, name, _)| (*code, *name)).collect();
    assert_eq!(known, kinds, "one example of each kind, by code");
    for (code, name, bytes) in examples {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        line!(out, "{code:>3} {name:<18} {hex}");
    }
    check("errand_bytes.txt", &out);
}

#[test]
fn everything_of_the_gateway() {
    let mut out = String::from("# opcodes\n");
    for op in OPS {
        let is = |pick: fn(&Taken) -> bool| op.taken.as_ref().is_some_and(pick);
        let flags = [
            ("sendable", is(|_| true)),
            ("early", is(|taken| taken.when != When::InSession)),
            ("object", is(|taken| taken.data == Data::Object)),
        ];
        let flags: Vec<&str> = flags.iter().filter(|flag| flag.1).map(|flag| flag.0).collect();
        line!(out, "{}", format!("{:>2} {:<22} {}", op.code, op.name, flags.join(" ")).trim_end());
    }
    out.push_str("\n# close codes\n");
    for (name, close) in CLOSES {
        line!(out, "{} {name:<22} {}", close.code, close.reason);
    }
    out.push_str("\n# events\n");
    for event in EventName::ALL {
        line!(out, "{}", event.text());
    }
    out.push_str("\n# intents\n");
    for (name, bits) in [
        ("GUILDS", intent::GUILDS),
        ("GUILD_MEMBERS", intent::GUILD_MEMBERS),
        ("GUILD_BANS", intent::GUILD_BANS),
        ("GUILD_WEBHOOKS", intent::GUILD_WEBHOOKS),
        ("GUILD_INVITES", intent::GUILD_INVITES),
        ("GUILD_VOICE_STATES", intent::GUILD_VOICE_STATES),
        ("GUILD_PRESENCES", intent::GUILD_PRESENCES),
        ("GUILD_MESSAGES", intent::GUILD_MESSAGES),
        ("GUILD_MESSAGE_REACTIONS", intent::GUILD_MESSAGE_REACTIONS),
        ("GUILD_MESSAGE_TYPING", intent::GUILD_MESSAGE_TYPING),
        ("DIRECT_MESSAGES", intent::DIRECT_MESSAGES),
        ("DIRECT_MESSAGE_REACTIONS", intent::DIRECT_MESSAGE_REACTIONS),
        ("DIRECT_MESSAGE_TYPING", intent::DIRECT_MESSAGE_TYPING),
        ("MESSAGE_CONTENT", intent::MESSAGE_CONTENT),
        ("DEFAULT", intent::DEFAULT),
    ] {
        line!(out, "{bits:>5} {name}");
    }
    check("gateway.txt", &out);
}

#[test]
fn every_table() {
    let mut out = String::new();
    for row in ROWS {
        let hangs = match row.hangs {
            Hangs::Root => "root".to_string(),
            Hangs::Due => "due".to_string(),
            Hangs::With(table) => format!("with {}", ROWS[table].name),
            Hangs::On { kind, tag: None } => format!("on {kind:?}"),
            Hangs::On { kind, tag: Some(tag) } => format!("on {kind:?} after {tag}"),
        };
        let hangs = if row.sealed { hangs + ", sealed" } else { hangs };
        line!(out, "{:<17} {:<34} {:<12} {:<20}{}", row.name, row.key, row.record, hangs, row.doc);
    }
    check("tables.txt", &out);
}

/// Numbers that stand in records.
#[test]
fn every_stored_code() {
    let mut out = String::from("# permissions\n");
    for (bit, name) in permission::NAMES.iter().enumerate() {
        line!(out, "{bit:>3} {name}");
    }
    out.push_str("\n# audit actions\n");
    for (code, name) in ACTIONS {
        line!(out, "{code:>3} {name}");
    }
    type Text = fn(u8) -> &'static str;
    let tables: [(&str, Text); 15] = [
        ("accounts", account::text),
        ("tiers", tier::text),
        ("badges", badge::text),
        ("relationships", relation::text),
        ("statuses", status::text),
        ("direct messages from", dm_policy::text),
        ("channel kinds", channel_kind::text),
        ("picture formats", picture::text),
        ("types of automod rules", automod_rule::text),
        ("actions of automod", automod_action::text),
        ("severities", severity::text),
        ("mails", mail_kind::text),
        ("results of polls before the end", poll_visibility::text),
        ("providers", provider::text),
        ("how passkeys sign", passkey_algorithm::text),
    ];
    for (name, text) in tables {
        line!(out, "\n# {name}");
        for code in (0..=u8::MAX).filter(|code| text(*code) != "unknown") {
            line!(out, "{code:>3} {}", text(code));
        }
    }
    check("codes.txt", &out);
}

// ----------------------------------------------------------------------------------------- records

/// One line per record and version, and what the committed line of the same record says today.
struct Records {
    golden: Vec<(String, Vec<u8>)>,
    out: String,
    names: Vec<String>,
}

impl Records {
    fn example<V>(&mut self, record: V)
    where
        V: Record + Debug + PartialEq + for<'a> From<&'a V::Archived>,
    {
        let name = self.name_of::<V>();
        self.lines(&name, &record, &[]);
        self.names.push(name);
    }

    /// A record that has changed: what becomes of each earlier version, the first version first.
    fn example_of_versions<V>(&mut self, record: V, earlier: &[V])
    where
        V: Record + Debug + PartialEq + for<'a> From<&'a V::Archived>,
    {
        let name = self.name_of::<V>();
        assert_eq!(earlier.len() + 1, usize::from(V::VERSION), "{name}: every version has its example");
        self.lines(&name, &record, earlier);
        self.names.push(name);
    }

    fn name_of<V>(&self) -> String {
        let full = std::any::type_name::<V>();
        full.rsplit("::").next().unwrap_or(full).to_string()
    }

    fn lines<V>(&mut self, name: &str, record: &V, earlier: &[V])
    where
        V: Record + Debug + PartialEq + for<'a> From<&'a V::Archived>,
    {
        for (version, want) in (1..).zip(earlier) {
            let old = format!("{name}.{version}");
            let known = self.golden.iter().find(|(known, _)| *known == old);
            let (_, stored) = known.unwrap_or_else(|| panic!("{old}: keep the line of that version"));
            assert_eq!(stored[0], version, "{old}");
            assert_eq!(decode_record::<V>(stored).as_ref(), Some(want), "{old} means something else now");
            let hex: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
            line!(self.out, "{old:<14} {hex}");
        }
        let bytes = encode_record(record, Vec::new());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        line!(self.out, "{name:<14} {hex}");
        let updating = std::env::var_os("UPDATE_GOLDEN").is_some();
        if let Some((_, stored)) = self.golden.iter().find(|(known, _)| known == name && !updating) {
            assert_eq!(
                stored[0],
                V::VERSION,
                "{name}: say in earlier.rs what becomes of it, keep the old line as {name}.{}",
                stored[0]
            );
            assert_eq!(
                decode_record::<V>(stored).as_ref(),
                Some(record),
                "{name}: bytes of stores that exist mean something else now"
            );
        }
    }
}

fn golden_records() -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(path("records.txt")).unwrap_or_default();
    let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).expect("hex");
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').expect("name and bytes");
        (name.to_string(), hex.trim().as_bytes().chunks(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

const AT: u64 = 1_767_225_600_123;
/// Ids as they are given out: high bits set, so that every byte of them shows.
const fn number(n: u64) -> u64 {
    0x0456_789a_bcde_f000 + n
}

fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

#[test]
fn one_example_of_every_record() {
    let mut records = Records { golden: golden_records(), out: String::new(), names: Vec::new() };
    account_examples(&mut records);
    server_examples(&mut records);
    message_examples(&mut records);
    automod_examples(&mut records);
    mail_examples(&mut records);
    contact_examples(&mut records);
    polls::examples(&mut records);
    providers::examples(&mut records);
    expressions::examples(&mut records);
    providers::passkeys(&mut records);
    let (channel_id, message_id) = (ChannelId(number(4)), MessageId(number(5)));
    records.example(MessageChange { number: 7, channel_id, message_id });
    running::examples(&mut records);
    hashes::examples(&mut records);
    uploads::examples(&mut records);
    admins::examples(&mut records);
    let names = [
        NAMES,
        plexichat::store::running::NAMES,
        plexichat::store::hashes::NAMES,
        plexichat::store::uploads::NAMES,
        plexichat::store::admins::NAMES,
    ]
    .concat();
    assert_eq!(records.names, names, "every record has its example, in order");
    let line_count = records.out.lines().count();
    assert_eq!(line_count, names.len() + earlier::NAMES.len(), "every earlier version has its line");
    check("records.txt", &records.out);
}

fn contact_examples(records: &mut Records) {
    let review = Review { by: number(30), at: AT + 1, notes: some("warned"), action: some("action") };
    records.example(MessageReport {
        message_id: MessageId(number(4)),
        channel_id: ChannelId(number(3)),
        server_id: Some(ServerId(number(8))),
        reporter_id: UserId(number(2)),
        author_id: UserId(number(15)),
        author_name: "bob".into(),
        content: "Grüße".into(),
        reason: "rude".into(),
        category: "harassment".into(),
        details: some("twice"),
        status: report_status::ACTIONED,
        reported_at: AT,
        review: Some(Box::new(review.clone())),
    });
    records.example(UserReport {
        user_id: UserId(number(15)),
        username: "bob".into(),
        reporter_id: UserId(number(2)),
        reason: "rude".into(),
        category: "other".into(),
        details: None,
        evidence: vec![MessageId(number(4)), MessageId(7)],
        status: report_status::PENDING,
        reported_at: AT,
        review: None,
    });
    records.example(review);
    records.example(Ticket {
        user_id: UserId(number(2)),
        username: "ada".into(),
        content: "I like the colours".into(),
        category: some("ui"),
        rating: Some(5),
        status: ticket_status::RESOLVED,
        created_at: AT,
        resolved_at: Some(AT + 2),
        resolved_by: Some(number(30)),
    });
    records.example(FeedbackCount { hour_from: AT, hour_count: 1, day_from: AT - 1, day_count: 2 });
}

fn account_examples(records: &mut Records) {
    records.example(Nil {});
    records.example(Meta { value: number(1) });
    records.example(UserRef { id: UserId(number(2)) });
    records.example(ServerRef { id: ServerId(number(8)) });
    records.example(ChannelRef { id: ChannelId(number(3)) });
    records.example(MessageRef { id: MessageId(number(4)) });
    let user = User {
        username: "ada".into(),
        email: "ada.lovelace@example.com".into(),
        created_at: AT,
        email_verified: true,
        age_verified: false,
        badges: vec![badge::STAFF, badge::PARTNER],
        tier: tier::PREMIUM,
        state: account::FROZEN,
        deletion_at: Some(AT + 1),
        ..User::default()
    };
    // Of versions that kept no key it is made.
    let user = User { email_key: "ada.lovelace@example.com".into(), ..user };
    let pictured = User { avatar: Some(Box::new(picture())), ..user.clone() };
    let keyed = User { email: "Ada.Lovelace@example.com".into(), ..pictured.clone() };
    let owned = User {
        owner_id: Some(Box::new(UserId(number(17)))),
        tier_until: Some(Box::new(AT + 2)),
        ..keyed.clone()
    };
    records.example_of_versions(owned, &[user, pictured, keyed]);
    records.example(picture());
    records.example(Credential {
        phc: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        failures: 3,
        locked_until: AT,
    });
    records.example(Token {
        user_id: UserId(number(2)),
        secret_hash: std::array::from_fn(|index| index as u8),
        created_at: AT,
        expires_at: AT + 2,
        last_activity: AT + 1,
        ip_address: "2001:db8::1".into(),
        user_agent: some("a browser"),
    });
    records.example(Setting { value: "{\"theme\":\"dark\"}".into(), created_at: AT, updated_at: AT + 1 });
    records.example(Messaging {
        read_receipts_enabled: true,
        typing_indicators_enabled: false,
        compact_messages_enabled: true,
        allow_dms_from: dm_policy::FRIENDS,
        auto_create_dms: false,
        max_message_length: Some(2_000),
        max_attachment_size: None,
        max_attachments_per_message: Some(4),
    });
    records.example(Relationship {
        kind: relation::PENDING_INCOMING,
        created_at: AT,
        message: some("we met at the fair"),
    });
    records.example(Presence {
        status: status::DND,
        custom_status: some("busy"),
        custom_emoji: some("🎉"),
        last_seen: AT,
        rest_at: AT + 1,
    });
}

fn picture() -> Picture {
    let hash = std::array::from_fn(|index| 0x80 + index as u8);
    Picture { hash, format: picture::GIF, animated: true }
}

fn attachment() -> Attachment {
    Attachment {
        id: number(16),
        filename: "Grundriß.pdf".into(),
        content_type: "application/pdf".into(),
        size: 1 << 20,
        file: "0123456789abcdef.pdf".into(),
        hash: std::array::from_fn(|index| 0x40 + index as u8),
    }
}

fn server_examples(records: &mut Records) {
    let server = Server {
        name: "Analytical Society".into(),
        description: some("engines"),
        icon: None,
        owner_id: UserId(number(2)),
        member_count: 300,
        default_channel_id: Some(ChannelId(number(3))),
        everyone_role_id: RoleId(number(5)),
        created_at: AT,
    };
    let pictured = Server { icon: Some(Box::new(picture())), ..server.clone() };
    records.example_of_versions(pictured, &[server]);
    records.example(Member {
        nickname: some("Countess"),
        joined_at: AT,
        roles: vec![RoleId(number(6)), RoleId(number(7))],
        timeout_until: Some(AT + 1),
        timeout_reason: some("shouting"),
        temporary: true,
    });
    records.example(Channel {
        server_id: ServerId(number(8)),
        kind: channel_kind::ANNOUNCEMENT,
        name: "news".into(),
        topic: some("what is new"),
        position: 4,
        category_id: Some(ChannelId(number(9))),
        nsfw: true,
        slowmode_seconds: 21_600,
        read_receipts_enabled: true,
        created_at: AT,
        participants: vec![UserId(number(2)), UserId(number(10))],
    });
    records.example(Override { allow: 0x15, deny: 1 << 36 });
    records.example(Role {
        name: "moderator".into(),
        color: some("#3ba55c"),
        position: 2,
        permissions: vec![Grant { name: "messages.*".into(), allowed: true }],
        bits: 0x1f_ffff_ffff,
        hoist: true,
        mentionable: false,
        is_default: false,
        created_at: AT,
    });
    records.example(Grant { name: "members.kick".into(), allowed: false });
    records.example(Ban {
        reason: some("spam"),
        banned_by: UserId(number(2)),
        banned_at: AT,
        order: number(11),
    });
    records.example(Invite {
        id: number(12),
        server_id: ServerId(number(8)),
        channel_id: ChannelId(number(3)),
        inviter_id: UserId(number(2)),
        uses: 3,
        max_uses: 10,
        max_age: 86_400,
        temporary: true,
        created_at: AT,
    });
    records.example(Audit {
        user_id: UserId(number(2)),
        action: 12,
        target_type: 4,
        target_id: number(10),
        target_name: some("charles"),
        changes: some("{\"name\":{\"old\":\"a\",\"new\":\"b\"}}"),
        reason: None,
        created_at: AT,
    });
}

fn message_examples(records: &mut Records) {
    let message = Message {
        author_id: UserId(number(2)),
        content: "Grüße, a somewhat longer text 😀".into(),
        created_at: AT,
        edited_at: Some(AT + 1),
        reply_to_id: Some(MessageId(number(4))),
        embeds: "[{\"title\":\"t\"}]".into(),
        pin: number(13),
        reacted: true,
        attachments: Vec::new(),
        poll: 0,
        webhook: None,
    };
    let full = Message { attachments: vec![attachment()], poll: number(15), ..message.clone() };
    let author = WebhookAuthor {
        webhook_id: WebhookId(number(19)),
        name: "Build".into(),
        avatar_url: some("https://ci.example.org/a.png"),
    };
    let by_webhook = Message { webhook: Some(Box::new(author.clone())), ..full.clone() };
    records.example_of_versions(by_webhook, &[message, full]);
    records.example(author);
    records.example(attachment());
    let entry = |emoji: &str, index| ReactionEntry { emoji: emoji.into(), index, count: 2 };
    records
        .example(ReactionSet { entries: vec![entry("👍", 0), entry("👩\u{200d}👩\u{200d}👧", 3)] });
    records.example(entry("🎉", 258));
    records.example(Reaction { at: AT, order: number(14) });
    records.example(LoginName { failures: 5, locked_until: AT + 1, lapses_at: AT + 2 });
    records.example(Errand { kind: 1, what: vec![1, 2, 3] });
    records.example(Notification { reason: mention_reason::ROLE, read: true, order: number(17) });
    records.example(Notice {
        server_id: ServerId(number(8)),
        channel_id: ChannelId(number(3)),
        sender_id: UserId(number(2)),
        created_at: AT,
        preview: "Grüße, a somewhat".into(),
    });
    records.example(Inbox { count: 3, read_up_to: number(18) });
    records.example(TwoFactor {
        enabled: true,
        sealed: vec![1, 2, 3],
        codes: vec![[7; 32], [8; 32]],
        last_step: 58_000_000,
        failures: 2,
        locked_until: AT + 3,
    });
    records.example(Challenge {
        user_id: UserId(number(15)),
        secret_hash: [9; 32],
        expires_at: AT + 4,
        failures: 3,
    });
    records.example(Webhook {
        server_id: ServerId(number(8)),
        channel_id: ChannelId(number(3)),
        creator_id: UserId(number(2)),
        name: "Build".into(),
        avatar_url: some("https://ci.example.org/a.png"),
        secret_hash: [10; 32],
        holder_id: UserId(number(15)),
        created_at: AT,
    });
}

fn automod_examples(records: &mut Records) {
    let weight = RuleWeight { len: 300, pattern_len: 16_384, pattern_cost: 12 };
    records.example(Automod {
        version: number(19),
        count: 3,
        active: 2,
        weight: weight.clone(),
        violations: 70_000,
    });
    records.example(weight.clone());
    let action = AutomodAction {
        kind: automod_action::TIMEOUT_USER,
        duration_seconds: Some(600),
        reason: some("shouting"),
        notify_user: true,
        metadata: "{\"a\":1}".into(),
    };
    records.example(AutomodRule {
        name: "quiet".into(),
        kind: automod_rule::CAPS_PERCENTAGE,
        enabled: true,
        config: "{\"max_percentage\":70}".into(),
        actions: vec![action.clone()],
        applied_roles: vec![RoleId(number(6))],
        exempt_roles: vec![RoleId(number(7))],
        exempt_channels: vec![ChannelId(number(3))],
        priority: -2,
        check_all: true,
        created_at: AT,
        updated_at: AT + 1,
        created_by: UserId(number(2)),
        weight,
    });
    records.example(action);
    records.example(Violation {
        user_id: UserId(number(10)),
        channel_id: ChannelId(number(3)),
        rule_id: RuleId(number(20)),
        kind: automod_rule::CAPS_PERCENTAGE,
        matched: "HELLO WORLD".into(),
        severity: severity::HIGH,
        actions: vec![automod_action::DELETE_MESSAGE, automod_action::TIMEOUT_USER],
        created_at: AT,
        lapses_at: AT + 2,
        metadata: "{\"rule_name\":\"quiet\"}".into(),
    });
}

fn mail_examples(records: &mut Records) {
    records.example(MailToken {
        secret_hash: [6; 32],
        expires_at: AT + 5,
        mail_id: number(19),
        since: AT,
        count: 2,
    });
    records.example(Mail {
        kind: mail_kind::NEW_SIGN_IN,
        to: "ada.lovelace@example.com".into(),
        sealed: vec![1, 2, 3],
        source: "2001:db8::1".into(),
        term_ms: 3_600_000,
        created_at: AT,
        made_at: AT + 1,
        due: AT + 6,
        tries: 4,
    });
    records.example(SignIns { sources: vec!["192.0.2.1".into(), "2001:db8::/64".into()] });
}
