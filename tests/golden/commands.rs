//! One example of each command, with something in every field.

use plexichat::domain::chat::clearing::{Clear, ReactionsClear};
use plexichat::domain::chat::message::{MessageCreate, MessageDelete, MessageEdit, MessagesDelete};
use plexichat::domain::chat::notification::{FanOut, NotificationRead, NotificationsRead};
use plexichat::domain::chat::pin::{MessagePin, MessageUnpin};
use plexichat::domain::chat::poll::{Look, NewPoll, PollClose, PollCreate, PollDelete, PollPost, PollVote};
use plexichat::domain::chat::reaction::{ReactionAdd, ReactionRemove};
use plexichat::domain::chat::read_mark::{ChannelAck, ChannelsAck};
use plexichat::domain::community::arrangement::{ChannelsArrange, Place};
use plexichat::domain::community::ban::{BanCreate, BanDelete, BanMessagesDelete, CleanUp};
use plexichat::domain::community::channel::{ChannelCreate, ChannelDelete, ChannelEdit};
use plexichat::domain::community::invite::{InviteCreate, InviteDelete, InviteUse};
use plexichat::domain::community::member::*;
use plexichat::domain::community::member_edit::MemberEdit;
use plexichat::domain::community::overrides::{OverridePut, Subject};
use plexichat::domain::community::owner::OwnerSet;
use plexichat::domain::community::role::{RoleCreate, RoleDelete, RoleEdit};
use plexichat::domain::community::server::{ServerCreate, ServerDelete, ServerEdit};
use plexichat::domain::contact::feedback::{FeedbackSend, Quota};
use plexichat::domain::contact::hash_report::HashReportCreate;
use plexichat::domain::contact::report::{Grounds, MessageReportCreate, UserReportCreate};
use plexichat::domain::contact::telemetry::{CspReportNote, TelemetryNote, Timing};
use plexichat::domain::errand::{Errand, bytes};
use plexichat::domain::expression::emoji::{EmojiCreate, EmojiDelete, EmojiRename};
use plexichat::domain::expression::sticker::{StickerCreate, StickerDelete, StickerSend};
use plexichat::domain::gate::token::{AccessTokenCreate, AccessTokenRevoke, Scope};
use plexichat::domain::gate::usage::{AccessNote, Count, Usage, Use, UseEvent};
use plexichat::domain::hooks::execution::WebhookExecute;
use plexichat::domain::hooks::webhook::{WebhookCreate, WebhookDelete, WebhookEdit, WebhookTokenReplace};
use plexichat::domain::housekeeping::outbox::{OutboxStep, Present};
use plexichat::domain::housekeeping::reseal::{self, Reseal};
use plexichat::domain::housekeeping::rewrap::FilesRewrapped;
use plexichat::domain::housekeeping::sweep::Sweep;
use plexichat::domain::identity::account::*;
use plexichat::domain::identity::bot::*;
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::email_verification::EmailConfirm;
use plexichat::domain::identity::feature::{BadgeGrant, BadgeRevoke, TierSet};
use plexichat::domain::identity::mail::{MailDone, MailRequest, MailsDone, NewMailToken};
use plexichat::domain::identity::oauth::{Newcomer, SignInBegin, SignInEnd, SignInTake};
use plexichat::domain::identity::passkey::{
    PasskeyAdd, PasskeyPass, PasskeyRemove, PasskeyRename, PasskeySignIn, Signed,
};
use plexichat::domain::identity::password_reset::PasswordReset;
use plexichat::domain::identity::token::*;
use plexichat::domain::identity::two_factor::*;
use plexichat::domain::media::picture::{AvatarSet, IconSet};
use plexichat::domain::moderation::judged::{Judged, MessageCondemn};
use plexichat::domain::moderation::rule::*;
use plexichat::domain::moderation::switch::AutomodSwitchSet;
use plexichat::domain::social::dm::{DmOpen, NotesOpen};
use plexichat::domain::social::group::{GroupAdd, GroupEdit, GroupOpen, GroupRemove};
use plexichat::domain::social::presence::PresenceSet;
use plexichat::domain::social::relationship::{Block, FriendAccept, FriendRequest, RelationshipRemove};
use plexichat::domain::social::setting::{MessagingEdit, SettingDelete, SettingsPut};
use plexichat::domain::verdict::{Hit, Verdict};
use plexichat::domain::{Op, Revocation};
use plexichat::id::{
    AccessTokenId, ChallengeId, ChannelId, EmojiId, MessageId, PasskeyId, PollId, RoleId, RuleId, ServerId,
    SignInId, StickerId, TokenId, UserId, WebhookId,
};
use plexichat::store::records::{AutomodAction, Grant, Picture};

const USER: UserId = UserId(0x0102_0304_0506_0708);
const TOKEN: TokenId = TokenId(0x1112_1314_1516_1718);
const SERVER: ServerId = ServerId(0x2122_2324_2526_2728);
const CHANNEL: ChannelId = ChannelId(0x3132_3334_3536_3738);
const MESSAGE: MessageId = MessageId(0x4142_4344_4546_4748);
const ROLE: RoleId = RoleId(0x5152_5354_5556_5758);
const ACCESS_TOKEN: AccessTokenId = AccessTokenId(0x7172_7374_7576_7778);
const WEBHOOK: WebhookId = WebhookId(0x6162_6364_6566_6768);
const POLL: PollId = PollId(0x7172_7374_7576_7778);

fn text(text: &str) -> String {
    text.to_string()
}

fn email(address: &str) -> Email {
    Email { address: text(address), key: address.to_lowercase() }
}

fn phc() -> Secret<String> {
    Secret(text("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"))
}

fn token() -> NewToken {
    NewToken {
        secret_hash: Secret(std::array::from_fn(|index| index as u8)),
        ip_address: text("2001:db8::1"),
        user_agent: Some(text("a browser")),
        life_ms: 604_800_000,
        count_max: 10,
    }
}

fn grants() -> Vec<Grant> {
    let grant = |name, allowed| Grant { name: text(name), allowed };
    vec![grant("messages.*", true), grant("members.kick", false)]
}

/// By code.
pub fn examples() -> Vec<Op> {
    [
        identity(),
        super::admins::of_accounts(),
        social(),
        media(),
        community(),
        chat(),
        hooks(),
        moderation(),
        contact(),
        super::admins::contact(),
        gate(),
        super::admins::gate(),
        super::admins::admins(),
        expression(),
        super::uploads::files(),
        vec![
            Sweep { records_max: 1_000 }.into(),
            OutboxStep {
                looks_max: 1_200,
                present: Some(Present { errand: 77, up_to: USER, users: vec![USER] }),
            }
            .into(),
            Reseal { mark: 77 }.into(),
            FilesRewrapped { mark: 77, shelf: 5 }.into(),
        ],
    ]
    .concat()
}

/// Code, name and bytes of each kind of errand, by code.
pub fn errands() -> Vec<(u8, &'static str, Vec<u8>)> {
    fn row<E: Errand>(errand: &E) -> (u8, &'static str, Vec<u8>) {
        (E::KIND, E::NAME, bytes(errand))
    }
    let clean_up = CleanUp {
        server_id: SERVER,
        user_id: USER,
        after: MESSAGE,
        since_ms: 1_767_225_600_123,
        before: MessageId(MESSAGE.0 + 1),
    };
    let fan_out = FanOut {
        message_id: MESSAGE,
        users: vec![USER, UserId(USER.0 + 1)],
        roles: vec![ROLE],
        everyone: false,
        here: true,
        after: USER,
    };
    let clear = Clear { message_id: MESSAGE, indexes: vec![0, 3] };
    let rows = reseal::Rows { table: "messages".into(), after: vec![1, 2] };
    let look = Look { channel_id: CHANNEL, message_id: MESSAGE, poll_id: POLL };
    vec![row(&clean_up), row(&fan_out), row(&mail_request()), row(&look), row(&clear), row(&rows)]
}

fn identity() -> Vec<Op> {
    vec![
        LoginFailed { user_id: USER, name: Some(77), failures_max: 5, lockout_ms: 900_000 }.into(),
        TokenCreate { user_id: USER, name: 77, phc: phc(), token: token() }.into(),
        TokenTouch { token_id: TOKEN, life_ms: 604_800_000, threshold_ms: 86_400_000 }.into(),
        TokenRevoke { token_id: TOKEN, how: Revocation::Security }.into(),
        TokenRevokeAll { except: Some(TOKEN) }.into(),
        TwoFactorBegin { phc: phc(), sealed: Secret(vec![1, 2, 3]), codes: Secret(vec![[7; 32], [8; 32]]) }
            .into(),
        TwoFactorConfirm { sealed: Secret(vec![1, 2, 3]), step: 58_000_000 }.into(),
        TwoFactorDisable { phc: phc(), proof: Proof::Step(58_000_001) }.into(),
        TwoFactorUse { proof: Proof::Backup(Secret([7; 32])) }.into(),
        TwoFactorFailed { failures_max: 5, lockout_ms: 900_000 }.into(),
        ChallengeCreate {
            user_id: USER,
            name: 77,
            phc: phc(),
            secret_hash: Secret([9; 32]),
            life_ms: 300_000,
        }
        .into(),
        ChallengePass { challenge_id: ChallengeId(5), proof: Proof::Step(58_000_002), token: token() }.into(),
        ChallengeFailed { challenge_id: ChallengeId(5), failures_max: 5 }.into(),
        BotCreate {
            owner_id: USER,
            username: text("rosie"),
            secret_hash: Secret([7; 32]),
            tier: 1,
            count_max: 5,
        }
        .into(),
        BotTokenRenew { bot_id: USER, secret_hash: Secret([8; 32]) }.into(),
        BotDelete { bot_id: USER }.into(),
        TierSet { user_id: USER, tier: 2, life_ms: Some(86_400_000) }.into(),
        BadgeGrant { user_id: USER, badge: 4 }.into(),
        BadgeRevoke { user_id: USER, badge: 4 }.into(),
        mail_request().into(),
        MailsDone {
            mails: vec![
                MailDone { user_id: USER, mail_id: 7, again_in_ms: None },
                MailDone { user_id: USER, mail_id: 8, again_in_ms: Some(5_000) },
            ],
        }
        .into(),
        PasswordReset { user_id: USER, secret_hash: Secret([6; 32]), phc: phc(), names: vec![77, 78] }.into(),
        EmailConfirm { user_id: USER, secret_hash: Secret([6; 32]) }.into(),
        Register {
            username: text("ada"),
            email: Box::new(email("Ada@example.com")),
            phc: phc(),
            age_verified: true,
            tier: 2,
            badges: vec![1, 2],
            entry: Entry::Session(token()),
        }
        .into(),
        ProfileEdit {
            username: Some(text("countess")),
            email: Some(email("Countess@example.com")),
            password: Some(PasswordChange { phc: phc(), token_id: TOKEN }),
            verified: Some(phc()),
            confirmation: Some(Box::new(mail_token())),
        }
        .into(),
        AccountDelete { phc: phc(), grace_ms: 86_400_000, reminders_ms: vec![3_600_000, 60_000] }.into(),
        SignInBegin {
            provider: 4,
            secret_hash: Secret([11; 32]),
            redirect_hash: [12; 32],
            challenge: Some([13; 32]),
            source: 77,
            source_max: 10,
            life_ms: 600_000,
        }
        .into(),
        SignInTake { sign_in_id: SignInId(6) }.into(),
        SignInEnd {
            provider: 4,
            subject: text("42"),
            keys: vec![text("ada@example.com")],
            newcomer: Some(Box::new(Newcomer {
                username: text("ada"),
                username_len_max: 32,
                email: email("Ada@example.com"),
                age_verified: true,
                tier: 2,
                badges: vec![1, 2],
            })),
            token: Box::new(token()),
            challenge_hash: Secret([14; 32]),
            challenge_life_ms: 300_000,
        }
        .into(),
        PasskeyAdd {
            name: text("phone"),
            credential_id: vec![1, 2, 3],
            credential_hash: [15; 32],
            algorithm: 1,
            key: vec![4, 5, 6],
            exponent: vec![1, 0, 1],
            counter: 7,
            count_max: 10,
        }
        .into(),
        PasskeyRename { passkey_id: PasskeyId(8), name: text("old phone") }.into(),
        PasskeyRemove { passkey_id: PasskeyId(8) }.into(),
        PasskeySignIn { signed: Signed { credential_hash: [15; 32], counter: 8 }, token: token() }.into(),
        PasskeyPass {
            challenge_id: ChallengeId(5),
            signed: Signed { credential_hash: [15; 32], counter: 9 },
            token: token(),
        }
        .into(),
    ]
}

fn mail_token() -> NewMailToken {
    NewMailToken { secret_hash: Secret([6; 32]), sealed: Secret(vec![1, 2, 3]), life_ms: 3_600_000 }
}

fn mail_request() -> MailRequest {
    MailRequest { kind: 1, keys: vec![text("ada@example.com"), text("ada@example.org")], token: mail_token() }
}

fn social() -> Vec<Op> {
    vec![
        SettingsPut { entries: vec![(text("theme"), text("\"dark\"")), (text("zoom"), text("2"))] }.into(),
        SettingDelete { key: text("theme") }.into(),
        MessagingEdit {
            read_receipts_enabled: Some(true),
            typing_indicators_enabled: Some(false),
            compact_messages_enabled: Some(true),
            allow_dms_from: Some(1),
            auto_create_dms: Some(false),
            max_message_length: Some(2_000),
            max_attachment_size: Some(1_000_000),
            max_attachments_per_message: Some(4),
        }
        .into(),
        FriendRequest { user_id: USER, message: Some(text("we met at a show")) }.into(),
        FriendAccept { user_id: USER }.into(),
        RelationshipRemove { user_id: USER }.into(),
        Block { user_id: USER }.into(),
        PresenceSet {
            status: Some(2),
            custom_status: Some(Some(text("busy"))),
            custom_emoji: Some(None),
            by_rest: true,
        }
        .into(),
        DmOpen { recipient_id: USER }.into(),
        NotesOpen {}.into(),
        GroupOpen { name: text("Tee"), user_ids: vec![USER, UserId(7)], participants_max: 100 }.into(),
        GroupEdit { channel_id: CHANNEL, name: Some(text("Größer")), owner_id: Some(USER) }.into(),
        GroupAdd { channel_id: CHANNEL, user_id: USER, participants_max: 100 }.into(),
        GroupRemove { channel_id: CHANNEL, user_id: USER }.into(),
    ]
}

fn media() -> Vec<Op> {
    let hash = std::array::from_fn(|index| index as u8);
    vec![
        AvatarSet { picture: Some(Picture { hash, format: 3, animated: true }) }.into(),
        IconSet { server_id: SERVER, picture: Some(Picture { hash, format: 2, animated: false }) }.into(),
    ]
}

fn community() -> Vec<Op> {
    let (server_id, channel_id, role_id, user_id) = (SERVER, CHANNEL, ROLE, USER);
    vec![
        ServerCreate { name: text("Home"), description: Some(text("warm")), server_count_max: 100 }.into(),
        ServerEdit {
            server_id,
            name: Some(text("House")),
            description: Some(text("cold")),
            default_channel_id: Some(CHANNEL),
        }
        .into(),
        ServerDelete { server_id }.into(),
        MemberLeave { server_id }.into(),
        MemberKick { server_id, user_id }.into(),
        MemberExpire { server_id, user_id }.into(),
        MemberRoleAdd { server_id, user_id, role_id }.into(),
        MemberRoleRemove { server_id, user_id, role_id }.into(),
        RoleCreate {
            server_id,
            name: text("moderator"),
            color: Some(text("#3ba55c")),
            permissions: grants(),
            hoist: true,
            mentionable: false,
        }
        .into(),
        RoleEdit {
            server_id,
            role_id,
            name: Some(text("keeper")),
            color: Some(text("#000000")),
            permissions: Some(grants()),
            hoist: Some(false),
            mentionable: Some(true),
            position: Some(3),
        }
        .into(),
        RoleDelete { server_id, role_id }.into(),
        BanCreate { server_id, user_id, reason: Some(text("spam")), delete_message_days: 7 }.into(),
        BanDelete { server_id, user_id }.into(),
        BanMessagesDelete { server_id, user_id, after: MESSAGE, since_ms: 1_767_225_600_123 }.into(),
        ChannelCreate {
            server_id,
            name: text("news"),
            kind: 1,
            topic: Some(text("what is new")),
            category_id: Some(CHANNEL),
            nsfw: true,
            slowmode_seconds: 5,
            read_receipts_enabled: true,
        }
        .into(),
        ChannelEdit {
            channel_id,
            name: Some(text("old-news")),
            topic: Some(text("what was new")),
            position: Some(2),
            nsfw: Some(false),
            slowmode_seconds: Some(0),
            read_receipts_enabled: Some(false),
        }
        .into(),
        ChannelDelete { channel_id }.into(),
        InviteCreate { channel_id, code: text("AbC-_9"), max_age: 86_400, max_uses: 3, temporary: true }
            .into(),
        InviteUse { code: text("AbC-_9"), server_count_max: 100 }.into(),
        InviteDelete { code: text("AbC-_9") }.into(),
        MemberEdit {
            server_id: SERVER,
            user_id: USER,
            nickname: Some(Some(text("Countess"))),
            timeout_seconds: Some(60),
            timeout_reason: Some(text("cool down")),
        }
        .into(),
        OverridePut { channel_id: CHANNEL, subject: Subject::Member(USER), allow: 1, deny: 6 }.into(),
        OwnerSet { server_id: SERVER, user_id: USER }.into(),
        ChannelsArrange {
            server_id: SERVER,
            places: vec![Place { channel_id: CHANNEL, position: Some(3), category_id: Some(Some(CHANNEL)) }],
        }
        .into(),
    ]
}

fn message() -> MessageCreate {
    MessageCreate {
        channel_id: CHANNEL,
        content: text("Guten Tag, schöne Welt"),
        reply_to_id: Some(MESSAGE),
        embeds: text("[{\"title\":\"a\"}]"),
        length_max: 2_000,
    }
}

fn new_poll() -> NewPoll {
    NewPoll {
        question: text("Tea?"),
        options: vec![text("ja"), text("nö")],
        duration_ms: Some(3_600_000),
        allow_multiple_choice: true,
        results_visibility: 2,
    }
}

fn chat() -> Vec<Op> {
    let (channel_id, message_id) = (CHANNEL, MESSAGE);
    vec![
        message().into(),
        MessageEdit { channel_id, message_id, content: text("Guten Abend"), length_max: 2_000 }.into(),
        MessageDelete { channel_id, message_id }.into(),
        ReactionAdd { channel_id, message_id, emoji: text("👍"), kinds_max: 20 }.into(),
        ReactionRemove { channel_id, message_id, emoji: text("👍") }.into(),
        MessagePin { channel_id, message_id, pins_max: 50 }.into(),
        MessageUnpin { channel_id, message_id }.into(),
        ChannelAck { channel_id, message_id: Some(MESSAGE) }.into(),
        ChannelsAck { marks: vec![(CHANNEL, Some(MESSAGE)), (CHANNEL, None)] }.into(),
        NotificationRead { message_id: MESSAGE }.into(),
        NotificationsRead {}.into(),
        PollPost { message: message(), poll: new_poll() }.into(),
        PollCreate { channel_id, message_id, poll: new_poll() }.into(),
        PollVote { poll_id: POLL, option_ids: vec![POLL.0 + 1, POLL.0 + 2] }.into(),
        PollClose { poll_id: POLL }.into(),
        PollDelete { poll_id: POLL }.into(),
        MessagesDelete { channel_id, message_ids: vec![MESSAGE, MessageId(7)] }.into(),
        ReactionsClear { channel_id, message_id, emoji: Some(text("👍")), rows_max: 1_000 }.into(),
        super::uploads::chat(message(), new_poll()),
    ]
}

fn contact() -> Vec<Op> {
    let grounds =
        || Grounds { reason: text("rude"), category: text("harassment"), details: Some(text("Grüße")) };
    let mut timing = Timing::new(text("GET /users/@me"));
    timing.add(12_500, true, (3, 700));
    vec![
        MessageReportCreate { channel_id: CHANNEL, message_id: MESSAGE, grounds: grounds() }.into(),
        UserReportCreate { user_id: USER, grounds: grounds(), evidence: vec![MESSAGE, MessageId(7)] }.into(),
        FeedbackSend {
            content: text("I like the colours"),
            category: Some(text("ui")),
            rating: Some(5),
            quota: Quota { hour_max: 5, day_max: 20 },
        }
        .into(),
        TelemetryNote { timings: vec![timing], retention_ms: 86_400_000 }.into(),
        CspReportNote {
            directive: text("img-src"),
            blocked: text("https://example.org/x.png"),
            document: text("https://chat.example/"),
            source: Some(text("https://chat.example/app.js")),
            retention_ms: 86_400_000,
        }
        .into(),
        HashReportCreate {
            hash_value: "0f".repeat(32),
            phash_value: Some(text("8f00ff00ff00ff01")),
            reason: text("bad"),
            details: Some(text("seen twice")),
            uploader_id: Some(USER),
            message_id: Some(MESSAGE),
            attachment_url: Some(text("/a.png")),
            block_uploader: true,
            threshold: 5,
            waiting_max: 500,
        }
        .into(),
    ]
}

fn gate() -> Vec<Op> {
    let of = Use {
        ip_address: text("2001:db8::1"),
        method: text("GET"),
        path: text("/users/@me"),
        user_agent: Some(text("a browser")),
    };
    let count = |name| vec![Count { name: text(name), let_in: 3, denied: 1 }];
    let usage = Usage {
        token_id: ACCESS_TOKEN,
        let_in: 3,
        denied: 1,
        last: Some(of.clone()),
        addresses: count("2001:db8::1"),
        paths: count("GET /users/@me"),
        events: vec![UseEvent { of, scope_match: Some(false), reject_reason: Some(text("scope_mismatch")) }],
    };
    vec![
        AccessTokenCreate {
            name: Some(text("desktop")),
            description: Some(text("of the desktop client")),
            secret_hash: Secret([9; 32]),
            by: Some(77),
            life_ms: Some(86_400_000),
            scope_mode: 2,
            scopes: vec![Scope { kind: 2, value: text("10.0.0.0/8") }],
        }
        .into(),
        AccessTokenRevoke { token_id: ACCESS_TOKEN, by: Some(77) }.into(),
        AccessNote { usages: vec![usage] }.into(),
    ]
}

fn expression() -> Vec<Op> {
    let picture = || Picture { hash: [7; 32], format: 3, animated: true };
    let (emoji_id, sticker_id) = (EmojiId(70), StickerId(71));
    vec![
        EmojiCreate { server_id: SERVER, name: text("party"), picture: picture(), count_max: 50 }.into(),
        EmojiRename { server_id: SERVER, emoji_id, name: text("party_time") }.into(),
        EmojiDelete { server_id: SERVER, emoji_id }.into(),
        StickerCreate {
            server_id: SERVER,
            name: text("Wave"),
            tags: vec![text("hello"), text("Grüße")],
            picture: picture(),
            width: 320,
            height: 160,
            count_max: 100,
        }
        .into(),
        StickerDelete { sticker_id }.into(),
        StickerSend { sticker_id, channel_id: CHANNEL, message_id: MESSAGE }.into(),
    ]
}

fn hooks() -> Vec<Op> {
    let (webhook_id, secret_hash) = (WEBHOOK, Secret([9; 32]));
    vec![
        WebhookCreate {
            channel_id: CHANNEL,
            name: text("Build"),
            avatar_url: Some(text("https://ci.example.org/a.png")),
            secret_hash,
            channel_count_max: 100,
            server_count_max: 50,
        }
        .into(),
        WebhookEdit {
            webhook_id,
            name: Some(text("News")),
            avatar_url: Some(None),
            channel_id: Some(CHANNEL),
            channel_count_max: 100,
        }
        .into(),
        WebhookDelete { webhook_id }.into(),
        WebhookTokenReplace { webhook_id, secret_hash }.into(),
        WebhookExecute {
            webhook_id,
            secret_hash,
            content: text("build 7 passed"),
            embeds: text("[{\"title\":\"a\"}]"),
            username: Some(text("CI")),
            avatar_url: Some(text("https://ci.example.org/b.png")),
            length_max: 2_000,
        }
        .into(),
    ]
}

fn moderation() -> Vec<Op> {
    let (server_id, channel_id, message_id, rule_id) = (SERVER, CHANNEL, MESSAGE, RuleId(9));
    let action = AutomodAction {
        kind: 2,
        duration_seconds: Some(60),
        reason: Some(text("badgers")),
        notify_user: true,
        metadata: text("{}"),
    };
    let looks_for =
        LooksFor { config: text("{\"keywords\":[\"badger\"]}"), pattern_len: 16_384, pattern_cost: 9 };
    let rule = NewRule {
        name: text("animals"),
        kind: 1,
        looks_for: looks_for.clone(),
        actions: vec![action.clone()],
        applied_roles: vec![ROLE],
        exempt_roles: vec![ROLE],
        exempt_channels: vec![CHANNEL],
        priority: -5,
        check_all: true,
        enabled: false,
    };
    let verdict = Verdict {
        version: 77,
        latest: Some(MESSAGE),
        hits: vec![Hit { rule_id, severity: 3, matched: text("badger") }],
        excerpt: text("a badger"),
        is_own: true,
        keep_ms: 7_776_000_000,
        keep_count: 10_000,
    };
    vec![
        AutomodRuleCreate { server_id, rule: Box::new(rule.clone()) }.into(),
        AutomodRuleEdit {
            server_id,
            rule_id,
            name: Some(text("birds")),
            looks_for: Some(Box::new(looks_for)),
            actions: Some(vec![action]),
            applied_roles: Some(Vec::new()),
            exempt_roles: Some(vec![ROLE]),
            exempt_channels: Some(Vec::new()),
            priority: Some(3),
            check_all: Some(false),
            enabled: Some(true),
        }
        .into(),
        AutomodRuleDelete { server_id, rule_id }.into(),
        Judged { verdict: verdict.clone(), code: 80, bytes: vec![1, 2, 3] }.into(),
        MessageCondemn { channel_id, message_id, content: text("a badger"), verdict }.into(),
        ServerFound {
            create: ServerCreate { name: text("Home"), description: None, server_count_max: 100 },
            rules: vec![rule],
        }
        .into(),
        AutomodSwitchSet { enabled: Some(false), ai: Some("{}".into()) }.into(),
    ]
}
