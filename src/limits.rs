//! Every bound of the server that is not an operator's option, with the relations between them.

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Request line and headers together. Browsers stay under 8 KiB; cookies of proxies add some.
pub const HEAD_LEN_MAX: usize = 16 * KIB;
/// Headers in one request.
pub const HEADER_COUNT_MAX: usize = 64;
/// Path and query together.
pub const TARGET_LEN_MAX: usize = 8 * KIB;
/// Empty lines before a request line that are skipped (RFC 9112 §2.2): old clients add one after a body.
pub const EMPTY_LINE_COUNT_MAX: usize = 4;
/// One chunk-size line with its extensions, line end included. 16 digits of size leave 238 for extensions.
pub const CHUNK_LINE_LEN_MAX: usize = 256;
/// Chunk extensions of a whole body: nobody reads them, so they must not cost more than a head.
pub const CHUNK_EXTENSIONS_LEN_MAX: usize = 4 * KIB;
/// Trailer section of a chunked body.
pub const TRAILER_LEN_MAX: usize = 4 * KIB;
/// What one read of an HTTP connection asks for, and what an idle one holds. Most requests fit.
pub const READ_LEN: usize = 2 * KIB;
/// The same for a client that pipelines and fills its reads.
pub const PIPELINE_READ_LEN_MAX: usize = 16 * KIB;
/// A read for a body that is announced to be longer.
pub const BODY_READ_LEN_MAX: usize = 64 * KIB;
/// A JSON body of a few bounded fields: 5,000 characters in their longest spelling.
pub const FORM_LEN_MAX: usize = 64 * KIB;
/// A JSON body that may be long: as long as `api.max_body_size` can say.
pub const JSON_LEN_MAX: usize = 64 * MIB;
/// A body that nobody asked for is read past up to here: some clients send `{}` with everything.
pub const BODY_IGNORED_LEN_MAX: usize = 64 * KIB;
/// A piece of a body that a handler takes while it comes. It has `http.body_timeout_ms` to arrive: 2 KiB/s.
pub const PIECE_LEN: usize = 64 * KIB;
/// Boundary of a form with files (RFC 2046 §5.1.1), and blanks behind it.
pub const BOUNDARY_LEN_MAX: usize = 70;
pub const BOUNDARY_PADDING_LEN_MAX: usize = 64;
/// Head of a part of such a form, and parts.
pub const PART_HEAD_LEN_MAX: usize = 4 * KIB;
pub const PART_COUNT_MAX: usize = 16;
/// A field of it that is no file.
pub const PART_FIELD_LEN_MAX: usize = 4 * KIB;
/// What a form has around its one file: all else that may be in it.
pub const PART_OVERHEAD_LEN_MAX: usize = PART_COUNT_MAX * (PART_HEAD_LEN_MAX + PART_FIELD_LEN_MAX + 2 * KIB);
/// Pixels of a picture, its frames, and pixels of all of them: what a decoder is asked to do at most. 64 million are
/// 256 MB, of the 1 GiB that its process may have.
pub const PICTURE_AREA_MAX: u64 = 64_000_000;
pub const PICTURE_FRAME_COUNT_MAX: u32 = 1_000;
pub const PICTURE_FRAMES_AREA_MAX: u64 = 400_000_000;
/// A body before anybody has logged in: the longest registration has 15 KB. Longer ones are looked at by their head
/// first, whether anybody known sends them.
pub const BODY_UNKNOWN_LEN_MAX: usize = 64 * KIB;
/// Names and values of a JSON text; with more it is refused before anything is made of them. The most that bodies have
/// are the embeds of a message, in which everything that is spelled counts as characters, and settings that are lists:
/// three of the longest at once.
pub const JSON_COUNT_MAX: usize = 16 * KIB;
/// Answers to pipelined requests that are collected before they are written.
pub const PIPELINE_LEN_MAX: usize = 64 * KIB;
/// A larger buffer goes back to the allocator instead of the core's pool.
pub const POOLED_LEN_MAX: usize = 64 * KIB;
/// Buffers in a core's pool: 16 MiB at most.
pub const POOLED_COUNT_MAX: usize = 256;
/// A page of a list ends when its JSON is this long, whatever was asked for: 100 messages of 4,000 characters with 3,000
/// in embeds, four bytes each, still fit.
pub const PAGE_LEN_MAX: usize = 4 * MIB;
/// Answers that one account, or one address without an account, may leave unread on a core: two of the longest pages.
pub const UNSENT_PAYER_LEN_MAX: usize = 2 * PAGE_LEN_MAX;
/// The same of all together. Above it the answers of those with the most are given up, until so much is left.
pub const UNSENT_CORE_LEN_MAX: usize = 64 * MIB;
pub const UNSENT_CORE_LEN_LEFT: usize = 48 * MIB;
/// Requests that have come in part, of a core, most of them from nobody known yet. Above it those with the most are
/// ended, until half of it is left.
pub const INPUT_CORE_LEN_MAX: usize = 64 * MIB;
/// Shorter outputs are not counted: most answers, which the kernel takes at once.
pub const UNSENT_FREE_LEN: usize = 4 * KIB;
/// What a client must have read of an answer to get the time-out (`http.body_timeout_ms`) anew: 2 KiB/s.
pub const WRITE_PROGRESS_LEN: usize = 64 * KIB;
/// A file that is answered with from memory, where a core keeps those it was asked for lately: all but pictures of the
/// size they were taken in, and videos.
pub const SHORT_FILE_LEN_MAX: usize = 64 * KIB;
/// Bytes of them that a core keeps, and what one counts as at least; and descriptors of longer ones.
pub const RECENT_FILES_LEN_MAX: usize = 32 * MIB;
pub const RECENT_FILE_WEIGHT_MIN: usize = 4 * KIB;
pub const RECENT_FILE_COUNT_MAX: usize = 256;
/// What the kernel is asked to send of a file at once: some 50 µs, after which others have their turn.
pub const SENDFILE_LEN_MAX: usize = 256 * KIB;
/// For how long what follows a connection's last answer is read and thrown away, so that the client gets to see the
/// answer: 20 MB at 6 Mbit/s.
pub const LINGER_MS: u64 = 30_000;
/// In which time at least so much of it must come: 8 KiB/s.
pub const LINGER_STALL_MS: u64 = 2_000;
pub const LINGER_PROGRESS_LEN: usize = 16 * KIB;
/// What a core reads in vain in 100 ms: 64 MiB/s, 1 to 2 % of its time. Who sends faster is slowed down.
pub const DRAIN_LEN_MAX: usize = 6 * MIB + 400 * KIB;
/// Connections of a core that are being told that there are too many; more are closed without a word.
pub const TURNED_AWAY_COUNT_MAX: usize = 64;
/// WebSocket frame as announced in its header; above it the connection closes 1009 unread (gateway.md §1).
pub const FRAME_LEN_MAX: usize = 16 * MIB;
/// What is read of a WebSocket that was sent a close frame: what was under way then, its own close frame among it.
pub const LATE_LEN_MAX: usize = 128 * KIB;
/// Parts of messages that connections without a session hold, of a core. Above it those with the most are ended, until
/// half of it is left. (One message may be as long as any: the contract has 64 KiB before IDENTIFY.)
pub const UNKNOWN_INPUT_CORE_LEN_MAX: usize = 16 * MIB;

/// Logins of one user between password and code; an older one makes room.
pub const CHALLENGE_COUNT_MAX: usize = 5;
/// Bots of one owner, whatever `authentication.accounts.max_bots_per_user` allows: all rest when he does.
pub const BOT_COUNT_MAX: usize = 100;
/// Relationships of one user, requests and blocks included. Keeps the list a client gets at once under 1 MiB.
pub const RELATIONSHIP_COUNT_MAX: usize = 5_000;
/// Servers of one user even when his tier has no limit: READY and the server list name all of them.
pub const SERVER_COUNT_MAX: usize = 2_000;
/// Sessions of one user and core that wait for RESUME; the oldest ends when one more comes (gateway.md §3).
pub const DETACHED_OF_USER_MAX: usize = 10;
/// For how long a session may be further behind than `websocket.send_queue_*` allow. It costs a number per event
/// meanwhile, and what the server multiplies at once, a healthy client reads in this time: at 2 Mbit/s, 1.2 MiB.
pub const BACKLOG_GRACE_MS: u32 = 5_000;
/// The same for a client that has taken nothing at all for so long.
pub const BACKLOG_STALL_MS: u32 = 2_000;
/// What an event of a session of its own, such as a list of members, may take of a core's memory for RESUME: all of
/// them together one part in so many, a single session one part in so many of that.
pub const PRIVATE_REPLAY_PART: usize = 4;
pub const PRIVATE_REPLAY_SESSION_PART: usize = 4;
/// Changes of his presence that a user may make at once before others are told of them late, and how often they are
/// told of the next one then. What is told is always the last.
pub const PRESENCE_BURST: u64 = 10;
pub const PRESENCE_INTERVAL_MS: u64 = 1_000;
/// Channels and roles of a server, @everyone apart; invites, those that are used up and still kept included.
pub const CHANNEL_COUNT_MAX: usize = 500;
/// Overrides of one channel: each is looked at whenever somebody's permissions there are.
pub const OVERRIDE_COUNT_MAX: usize = 100;
pub const ROLE_COUNT_MAX: usize = 250;
pub const INVITE_COUNT_MAX: usize = 1_000;
/// Bytes of the longest code that is looked up, and the longest that `servers.invite_code_length` makes.
pub const INVITE_CODE_LEN_MAX: usize = 64;
/// Webhooks of a channel or a server that `webhooks.*` can allow: they go with it in one command.
pub const WEBHOOK_COUNT_MAX: usize = 250;
/// Characters of a webhook's name, of what it says at once, and of an address that it has its picture from.
pub const WEBHOOK_NAME_LEN_MAX: usize = 80;
pub const WEBHOOK_CONTENT_CHARS_MAX: usize = 2_000;
pub const WEBHOOK_ADDRESS_LEN_MAX: usize = 2_048;
/// Pins of one channel, whatever the tier says: the list is sent whole, in answers and events.
pub const PIN_COUNT_MAX: usize = 500;
/// Login sessions of one user that a command looks at, all that `authentication.sessions.max_per_user` allows among
/// them.
pub const LOGIN_COUNT_MAX: usize = 10_000;
pub const LOGIN_COUNT_CONFIGURED_MAX: usize = 1_000;
/// Mails with a token of one kind to one account in an hour: more than somebody asks for who waits for one, and few
/// enough to leave his mailbox usable when somebody else asks.
pub const MAIL_TOKENS_PER_HOUR_MAX: u32 = 10;
/// Mails that wait, of all accounts: 300 bytes each, 20 MB. A mail server that is away for a day gets that many.
pub const MAIL_COUNT_MAX: u64 = 65_536;
/// Places from which somebody has signed in that are remembered.
pub const SIGN_IN_SOURCE_COUNT_MAX: usize = 16;
/// Sign-ins at other providers that are open, of all addresses; the oldest makes room. 150 bytes each with their
/// indexes, 10 MB.
pub const SIGN_IN_COUNT_MAX: u64 = 65_536;
/// Of one address, whatever `oauth.max_states_per_ip` allows.
pub const SIGN_INS_PER_SOURCE_MAX: usize = 1_000;
/// Bytes of what a provider calls somebody (OpenID Connect Core §2: 255); also keeps the key of its index short.
pub const SUBJECT_LEN_MAX: usize = 255;
/// Bytes of an address to which a provider leads back, of a code and of a verifier (RFC 7636 §4.1: 128). Codes of
/// Microsoft have some 1,500.
pub const REDIRECT_LEN_MAX: usize = 2 * KIB;
pub const PROVIDER_CODE_LEN_MAX: usize = 4 * KIB;
pub const VERIFIER_LEN_MAX: usize = 128;
/// Passkeys of one account, whatever `authentication.passkeys.max_per_user` allows.
pub const PASSKEY_COUNT_MAX: usize = 50;
/// Characters of the name of one, bytes of the id of its credential (Web Authentication §5.8.3), of its public key (RSA of
/// 8,192 bits), and of each text that a browser sends of it: an attestation with a chain of certificates.
pub const PASSKEY_NAME_LEN_MAX: usize = 64;
pub const CREDENTIAL_ID_LEN_MAX: usize = 1_023;
pub const PASSKEY_KEY_LEN_MAX: usize = KIB;
pub const PASSKEY_TEXT_LEN_MAX: usize = 24 * KIB;
/// Names under which one account logs in: its own and forms of its address.
pub const LOGIN_NAMES_PER_ACCOUNT_MAX: usize = 8;
/// Reminders of one deletion.
pub const REMINDER_COUNT_MAX: usize = 16;
/// Channels that one request marks as read.
pub const BULK_ACK_COUNT_MAX: usize = 500;
/// Channels that the overview of what is unread looks at, one in five a direct message.
pub const OVERVIEW_CHANNEL_COUNT_MAX: usize = 5_000;
pub const OVERVIEW_DM_COUNT_MAX: usize = OVERVIEW_CHANNEL_COUNT_MAX / 5;
/// Direct messages of one user that his list looks at, newest channels first.
pub const DM_COUNT_MAX: usize = 1_000;
/// Participants of a group, which are named with each event of it, and groups of one user.
pub const GROUP_PARTICIPANT_COUNT_MAX: usize = 100;
pub const GROUP_COUNT_MAX: usize = 200;
/// Notifications that one user is shown, the newest, and how many more may be stored before the oldest are removed.
pub const NOTIFICATION_COUNT_MAX: usize = 1_000;
pub const NOTIFICATION_SURPLUS_MAX: usize = 100;
/// Rules of automod of a server.
pub const RULE_COUNT_MAX: usize = 200;
/// Characters of the name of one.
pub const RULE_NAME_LEN_MAX: usize = 100;
/// A request that makes one: what it looks for, four bytes a character, and some ids.
pub const RULE_BODY_LEN_MAX: usize = 256 * KIB;
/// JSON of what a rule looks for, and bytes of all rules of a server, which are one answer.
pub const RULE_CONFIG_LEN_MAX: usize = 128 * KIB;
pub const RULES_LEN_MAX: u64 = MIB as u64;
/// Words of a rule, addresses of a list, and characters of one.
pub const RULE_WORD_COUNT_MAX: usize = 2_000;
pub const RULE_WORD_LEN_MAX: usize = 100;
/// Patterns of a rule, and characters of one.
pub const PATTERN_COUNT_MAX: usize = 20;
pub const PATTERN_LEN_MAX: usize = 512;
/// Places in a pattern at which a text can be at once, and in all patterns of a server: the steps that each character
/// may cost. At 20 ns a step, the longest text of 8,000 characters takes 80 ms with one pattern and 320 ms with all of
/// them, on a lane; the usual pattern has ten places, of which a text is at one.
pub const PATTERN_COST_MAX: u64 = 500;
pub const PATTERNS_COST_MAX: u64 = 2_000;
/// Bytes of a pattern and of all patterns of a server when they are compiled.
pub const PATTERN_COMPILED_LEN_MAX: u64 = MIB as u64;
pub const PATTERNS_COMPILED_LEN_MAX: u64 = 4 * MIB as u64;
/// Actions of a rule, characters of the reason that one gives, and JSON of what else is said of it.
pub const RULE_ACTION_COUNT_MAX: usize = 6;
pub const RULE_REASON_LEN_MAX: usize = 512;
pub const RULE_METADATA_LEN_MAX: usize = 2 * KIB;
/// Roles or channels that a rule names.
pub const RULE_ID_COUNT_MAX: usize = 500;
/// The longest timeout: 28 days.
pub const TIMEOUT_SECONDS_MAX: u64 = 28 * 24 * 3_600;
/// Characters of what is said about one.
pub const TIMEOUT_REASON_LEN_MAX: usize = 512;
/// Characters of what a member is called in a server.
pub const NICKNAME_LEN_MAX: usize = 32;
/// Characters of a text that a violation shows, and of what in it hit the rule.
pub const VIOLATION_EXCERPT_LEN_MAX: usize = 500;
pub const VIOLATION_MATCH_LEN_MAX: usize = 200;
/// Client settings of one user (contract: settings.md).
pub const SETTING_COUNT_MAX: usize = 100;
/// Characters of a setting's key. At four bytes each a key of the table stays under LMDB's 511 bytes.
pub const SETTING_KEY_LEN_MAX: usize = 100;
/// Characters of a setting's value.
pub const SETTING_VALUE_LEN_MAX: usize = 10_000;
/// Bytes of an e-mail address (RFC 5321 §4.5.3.1: 64 + 1 + 255); also keeps the key of its index short.
pub const EMAIL_LEN_MAX: usize = 320;
/// Bytes of a user name; `authentication.accounts.username_max_length` ends at 64 and names are ASCII.
pub const USERNAME_LEN_MAX: usize = 64;
/// Characters of a `User-Agent` kept with a login session.
pub const USER_AGENT_LEN_MAX: usize = 512;
/// Characters of the text that goes with a friend request.
pub const FRIEND_MESSAGE_LEN_MAX: usize = 256;
/// Characters of a custom status and of its emoji.
pub const CUSTOM_STATUS_LEN_MAX: usize = 128;
pub const CUSTOM_EMOJI_LEN_MAX: usize = 64;
/// Attachments of a message, whatever `messaging.max_attachments_per_message` allows.
pub const ATTACHMENT_COUNT_MAX: u64 = 10;
/// Bytes of the name of a file, as file systems have them.
pub const FILE_NAME_LEN_MAX: usize = 255;
/// Bytes of a file in whatever way it comes, and of a chunk of one that comes in chunks (contract: media.md).
pub const CHUNKED_LEN_MAX: u64 = 1024 * MIB as u64;
pub const CHUNK_LEN: u64 = 5 * MIB as u64;
/// Uploads in chunks of one user that are open at once, and how long one may take.
pub const UPLOAD_SESSION_COUNT_MAX: usize = 10;
pub const UPLOAD_SESSION_MS: u64 = 3_600_000;
/// Characters of a media type that is declared.
pub const CONTENT_TYPE_LEN_MAX: usize = 100;
/// How long a file waits for its first message, and can be put into others.
pub const UPLOAD_LIFE_MS: u64 = 24 * 3_600_000;
/// Messages that one file may be in: who may read any of them may read it, so each is looked at.
pub const FILE_USE_COUNT_MAX: usize = 100;
/// JSON of one attachment of a message: its name at six bytes a character, its type, its address, its sum, and what is
/// around them.
pub const ATTACHMENT_JSON_LEN_MAX: usize = FILE_NAME_LEN_MAX * 6 + CONTENT_TYPE_LEN_MAX + 512;
/// Characters of all embeds of a message: every text in them, whatever it is for. Addresses, times and types, which
/// nobody reads, may have as many again.
pub const EMBED_CHARS_MAX: usize = 6_000;
/// Characters of one address in an embed.
pub const EMBED_ADDRESS_LEN_MAX: usize = 2_048;
/// JSON of all embeds of a message: texts at four bytes each, addresses at one, and 40 bytes around each of 250 fields.
pub const EMBEDS_LEN_MAX: usize = 40 * KIB;
/// Characters of a message, whatever the tier of its author.
pub const CONTENT_CHARS_MAX: usize = 8_000;
/// Messages that one request deletes.
pub const MESSAGE_DELETE_COUNT_MAX: usize = 100;
/// Different emojis on a message, whatever the tier says: the set is read with every page.
pub const REACTION_KIND_COUNT_MAX: usize = 250;
/// Bytes of an emoji as it is typed; in its one spelling it has at most a variation selector more for each of its
/// [`EMOJI_ELEMENT_COUNT_MAX`] elements.
pub const EMOJI_LEN_MAX: usize = 256;
pub const EMOJI_ELEMENT_COUNT_MAX: usize = 8;
/// Options of a poll that `polls.max_options` can allow, characters of one and of the question.
pub const POLL_OPTION_COUNT_MAX: usize = 20;
pub const POLL_OPTION_LEN_MAX: usize = 100;
pub const POLL_QUESTION_LEN_MAX: usize = 300;
/// A poll with its results as clients see it: the question stands in it twice and each option three times, four bytes a
/// character, with 160 bytes around each option and 1 KiB for all else.
pub const POLL_LEN_MAX: usize =
    2 * POLL_QUESTION_LEN_MAX * 4 + 3 * POLL_OPTION_COUNT_MAX * (POLL_OPTION_LEN_MAX * 4 + 160) + KIB;
/// How long the readers of a poll are not told of a vote after they were told of another: of many that come at once they
/// are told three times a second, and of the last one in the end. What ends a poll is told at once: four times.
pub const POLL_TELL_INTERVAL_MS: u64 = 350;
/// Emojis of a server of either kind, and its stickers, that options can allow: a list of them is one event. Those that
/// were deleted and are kept for what was said with them come on top, the latest.
pub const EMOJI_COUNT_MAX: usize = 250;
pub const STICKER_COUNT_MAX: usize = 250;
pub const DELETED_COUNT_MAX: usize = 200;
pub const EMOJI_STORED_COUNT_MAX: usize = 2 * EMOJI_COUNT_MAX + DELETED_COUNT_MAX;
pub const STICKER_STORED_COUNT_MAX: usize = STICKER_COUNT_MAX + DELETED_COUNT_MAX;
/// Characters of an emoji's name, which are ASCII; of a sticker's, of one of its tags; and tags of a sticker.
pub const EMOJI_NAME_LEN_MAX: usize = 32;
pub const STICKER_NAME_LEN_MAX: usize = 30;
pub const STICKER_TAG_LEN_MAX: usize = 30;
pub const STICKER_TAG_COUNT_MAX: usize = 10;
/// Bytes of their pictures as they are kept: an animation may grow when it is made anew.
pub const EMOJI_LEN_KEPT_MAX: u64 = MIB as u64;
pub const STICKER_LEN_KEPT_MAX: u64 = 2 * MIB as u64;
/// Custom emojis in one message that are looked up.
pub const CUSTOM_EMOJI_COUNT_MAX: usize = 100;
/// Stickers that are counted for one message, and that are looked at for a suggestion: 30 ms, on a lane.
pub const STICKERS_OF_MESSAGE_MAX: usize = 10;
pub const STICKERS_LOOKED_AT_MAX: usize = 20_000;
/// Readers that an author sees named.
pub const READER_LISTED_COUNT_MAX: usize = 100;
/// A message as clients see it: its text at six bytes a character (`\u0001`), its embeds, which stand in it twice, its
/// reactions with 120 bytes around each emoji, the ids of its readers, its poll, and 16 KiB for all else.
pub const MESSAGE_LEN_MAX: usize = CONTENT_CHARS_MAX * 6
    + 2 * EMBEDS_LEN_MAX
    + REACTION_KIND_COUNT_MAX * (EMOJI_LEN_MAX + 3 * EMOJI_ELEMENT_COUNT_MAX + 120)
    + READER_LISTED_COUNT_MAX * 23
    + POLL_LEN_MAX
    + ATTACHMENT_COUNT_MAX as usize * ATTACHMENT_JSON_LEN_MAX
    + 16 * KIB;
/// Payload of an event that many may get: what one member can send to everybody is a message. The longest is
/// GUILD_CREATE, of 500 channels and 250 roles, and that has one receiver.
pub const EVENT_LEN_MAX: usize = 512 * KIB;

/// A session with its connection on its way to another process: what is unsent, and what a RESUME may ask for.
pub const HANDOVER_LEN_MAX: usize = 16 * MIB;
/// Slots that may be free between two sessions that are taken over: what their places cost stays below 100 MiB.
pub const HANDOVER_SLOT_GAP_MAX: usize = 1 << 20;
/// Characters of the hash of a file, whatever kind it is; keys are made of it.
pub const HASH_CHARS_MIN: usize = 16;
pub const HASH_CHARS_MAX: usize = 128;
/// Reports of files by one person that nobody has looked at yet.
pub const HASH_PENDING_COUNT_MAX: u64 = 500;
/// Log-ins of administrators, and those between password and code, that there are at one time.
pub const ADMIN_SESSION_COUNT_MAX: usize = 256;
pub const ADMIN_CHALLENGE_COUNT_MAX: usize = 64;
/// Addresses from where administrators' passwords were guessed wrong. Each guess costs a password hash.
pub const ADMIN_FAILURE_COUNT_MAX: u64 = 65_536;
pub const HOUR_MS: u64 = 3_600_000;
/// For how many hours an administrator may lock somebody or something out: a hundred years.
pub const LOCK_HOURS_MAX: u64 = 876_000;
/// Records that one step of housekeeping touches: well under a millisecond of the writer's time.
pub const SWEEP_RECORDS_MAX: u64 = 500;
/// What administrators have done, of which the oldest makes room, and characters of what was before and after.
pub const ADMIN_AUDIT_KEPT_MAX: u64 = 100_000;
pub const ADMIN_NOTE_CHARS_MAX: usize = 2_000;
/// Names, or patterns of names, that nobody may take: each is looked at for a new name.
pub const NAME_BAN_COUNT_MAX: usize = 500;
/// Addresses and networks that are not served: each core has them in memory.
pub const ADDRESS_BLOCK_COUNT_MAX: usize = 10_000;
/// Notes of administrators to one ticket.
pub const TICKET_NOTE_COUNT_MAX: usize = 500;
/// Access tokens that let somebody in, and those that are listed, ended ones included: the oldest of these makes room.
pub const ACCESS_TOKEN_COUNT_MAX: usize = 100;
pub const ACCESS_TOKEN_KEPT_MAX: u64 = 1_000;
/// Scopes of one: each is looked at for every request that shows it.
pub const ACCESS_SCOPE_COUNT_MAX: usize = 50;
/// Addresses and operations that are counted apart for one, and uses that are kept as they were: 300 KB each token.
pub const ACCESS_ADDRESS_COUNT_MAX: u64 = 1_000;
pub const ACCESS_PATH_COUNT_MAX: u64 = 500;
pub const ACCESS_EVENT_COUNT_MAX: u64 = 1_000;

// Each name and each value of a character, and what lists and objects there are around them.
const _: () = assert!(2 * EMBED_CHARS_MAX + 10 * 250 <= JSON_COUNT_MAX);
const _: () = assert!(3 * SETTING_VALUE_LEN_MAX / 2 + 2 * SETTING_COUNT_MAX < JSON_COUNT_MAX);
const _: () = assert!(EMBED_CHARS_MAX * 5 + 250 * 40 <= EMBEDS_LEN_MAX);
const _: () = assert!(MESSAGE_LEN_MAX <= EVENT_LEN_MAX);
// Chunks are told apart by sixteen bits.
const _: () = assert!(CHUNKED_LEN_MAX / CHUNK_LEN < u16::MAX as u64);
// A vote has a bit for each option.
const _: () = assert!(POLL_OPTION_COUNT_MAX <= 64);
const _: () = assert!(1_000 / POLL_TELL_INTERVAL_MS < 4);
const _: () = assert!(WEBHOOK_CONTENT_CHARS_MAX <= CONTENT_CHARS_MAX);
// Name and picture of a webhook are in what a message has beside all else.
const _: () = assert!(WEBHOOK_NAME_LEN_MAX * 6 + WEBHOOK_ADDRESS_LEN_MAX * 4 < 12 * KIB);
// The pins of a channel are one event, and so are the new places of all channels or roles of a server.
const _: () = assert!(PIN_COUNT_MAX * 23 + KIB <= EVENT_LEN_MAX);
const _: () = assert!(CHANNEL_COUNT_MAX * 100 + 64 * KIB <= EVENT_LEN_MAX);
const _: () = assert!(ROLE_COUNT_MAX * 50 + 64 * KIB <= EVENT_LEN_MAX);
// So are all emojis of a server, and all its stickers: ids, a name, an address, and who made it.
const _: () =
    assert!(2 * EMOJI_COUNT_MAX * (EMOJI_NAME_LEN_MAX + USERNAME_LEN_MAX + 400) + KIB <= EVENT_LEN_MAX);
const _: () = assert!(
    STICKER_COUNT_MAX
        * (STICKER_NAME_LEN_MAX * 4 + STICKER_TAG_COUNT_MAX * (STICKER_TAG_LEN_MAX * 4 + 3) + 400)
        + KIB
        <= EVENT_LEN_MAX
);
// Two ids and their names each.
const _: () = assert!(BULK_ACK_COUNT_MAX * 90 <= FORM_LEN_MAX);
// The overview counts in every direct message that the list shows, and in more channels than one server has.
const _: () = assert!(OVERVIEW_DM_COUNT_MAX >= DM_COUNT_MAX);
const _: () = assert!(OVERVIEW_CHANNEL_COUNT_MAX > OVERVIEW_DM_COUNT_MAX + CHANNEL_COUNT_MAX);
// The list of rules: names of fields around each and its actions.
const _: () = assert!(RULES_LEN_MAX as usize + RULE_COUNT_MAX * 2 * KIB <= PAGE_LEN_MAX);
const _: () = assert!(RULE_WORD_COUNT_MAX < JSON_COUNT_MAX);
const _: () = assert!(RULE_CONFIG_LEN_MAX < RULE_BODY_LEN_MAX);
const _: () = assert!(LOGIN_COUNT_CONFIGURED_MAX <= LOGIN_COUNT_MAX);
const _: () = assert!(INVITE_CODE_LEN_MAX + 8 <= 511);
const _: () = assert!(USERNAME_LEN_MAX <= 511);
// As said there, with 1 KiB for all else of each message.
const _: () = assert!(100 * (4_000 * 4 + 2 * 3_000 * 4 + KIB) <= PAGE_LEN_MAX);
// A page is beyond its end by one message at most, and a payer has room for two.
const _: () = assert!(2 * (PAGE_LEN_MAX + MESSAGE_LEN_MAX) < UNSENT_CORE_LEN_LEFT);
// No event alone is more than a session may be behind (`websocket.send_queue_bytes`).
const _: () = assert!(EVENT_LEN_MAX <= MIB);
const _: () = assert!(BACKLOG_STALL_MS < BACKLOG_GRACE_MS);
// One session's lists are a small part of what a core remembers, and the lists of all leave most of it to the others.
const _: () = assert!(PRIVATE_REPLAY_PART >= 2);
const _: () = assert!(PRIVATE_REPLAY_SESSION_PART >= 2);
const _: () = assert!(SETTING_KEY_LEN_MAX * 4 + 8 <= 511);
const _: () = assert!(EMAIL_LEN_MAX <= 511);
const _: () = assert!(TARGET_LEN_MAX < HEAD_LEN_MAX);
// Who has much unread is refused before all of it is too much, and making room leaves one payer his.
const _: () = assert!(UNSENT_PAYER_LEN_MAX < UNSENT_CORE_LEN_LEFT);
const _: () = assert!(UNSENT_CORE_LEN_LEFT < UNSENT_CORE_LEN_MAX);
const _: () = assert!(UNSENT_FREE_LEN < PIPELINE_LEN_MAX);
const _: () = assert!(READ_LEN < HEAD_LEN_MAX);
const _: () = assert!(LINGER_STALL_MS < LINGER_MS);
// Who sends as slowly as is allowed is not held up by what a core may read.
const _: () = assert!(LINGER_PROGRESS_LEN < DRAIN_LEN_MAX);
const _: () = assert!(CHUNK_LINE_LEN_MAX < CHUNK_EXTENSIONS_LEN_MAX);

// ------------------------------------------------------------------------------------------- search

/// Words of a message that it is found by, each once. One with more, as only some of the longest are, may have any word
/// as far as the index knows: it is looked at itself.
pub const TERM_COUNT_MAX: usize = 1_024;
/// Characters of what is searched for, and conditions in it.
pub const SEARCH_LEN_MAX: usize = 512;
pub const SEARCH_CONDITION_COUNT_MAX: usize = 32;
/// Lists of the index that one search walks over; what they leave is looked at itself.
pub const SEARCH_LIST_COUNT_MAX: usize = 16;
