//! What a client can do wrong, as one table: status, message.
//!
//! Every refusal of the contract is an [`Error`]; it becomes the envelope
//! `{"error":{"code":<status or name>,"message":<text>}}` (contract §3). Messages say what to change.

use std::borrow::Cow;
use std::fmt;

use crate::wire::json::{Object, write_u64};

/// An answer that refuses.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub status: u16,
    /// A named code instead of the status.
    pub code: Option<&'static str>,
    pub message: Cow<'static, str>,
    /// Further members of the `error` object.
    pub extra: Vec<(&'static str, Extra)>,
    /// After how many milliseconds another try makes sense (429, 503).
    pub retry_after_ms: Option<u64>,
    /// A 429 that is no rate limit: nothing stands beside its `error`.
    pub is_plain: bool,
}

/// A further member of the `error` object.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra {
    Text(String),
    Null,
    /// JSON as it is.
    Raw(String),
}

pub type Result<T> = std::result::Result<T, Error>;

macro_rules! errors {
    (@ again) => {
        true
    };
    (@) => {
        false
    };
    // `again`: it passes, so that another try makes sense in a moment.
    ($($name:ident = $status:literal $($again:ident)?, $message:literal;)*) => {
        /// The fixed refusals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $($name),* }

        /// Name, status and message of every fixed refusal, for the golden file.
        pub const REFUSALS: &[(&str, u16, &str)] = &[$((stringify!($name), $status, $message)),*];

        /// Whether each of them passes.
        const PASSES: &[bool] = &[$(errors!(@ $($again)?)),*];
    };
}

errors! {
    // credentials
    Unauthorized = 401, "Authentication required: send 'Authorization: Bearer <token>'";
    TokenInvalid = 401, "Invalid or expired token";
    CredentialsInvalid = 401, "Invalid username or password";
    TwoFactorOff = 400, "Two-factor login is not on";
    TwoFactorNotBegun = 400, "No set-up of two-factor login is pending: begin one";
    CodeWrong = 401, "The code is wrong or was used before";
    WebhookTokenInvalid = 401, "Invalid webhook token: it was replaced, or is not of this webhook";
    MailTokenInvalid = 401, "Invalid or expired token: ask for a new mail";
    SignInInvalid = 400, "This sign-in is not known, over, or used up: begin another one";
    VerifierWrong = 400, "Invalid code_verifier: send the one that came with the address";
    ProviderRefused = 401, "The provider does not accept the code: begin another sign-in";
    EmailUnverified = 400, "The provider has not confirmed your e-mail address: confirm it there first";
    PasskeyInvalid = 401, "This passkey is not known here";
    PasskeyCopied = 401, "This passkey has been used elsewhere than on its device: delete it and make another one";
    PasskeyNotFound = 404, "Passkey not found";
    PasskeyKnown = 409, "This passkey is already known here";
    PasskeysOff = 503, "Passkeys are switched off on this server";
    PasswordAbsent = 400, "This account has no password yet: choose one with a password reset first";
    ChallengeInvalid = 401, "Invalid or expired challenge: log in again";
    TooManyFailedVerifications = 401, "Too many failed token verifications from this address; wait a minute";
    AccountLocked = 403, "Account locked after too many failed logins; try again later";
    CodesLocked = 403, "Too many wrong codes; try again later";
    AccountSuspended = 403, "Account suspended";
    NameForced = 403, "You have to choose another name first: PATCH /users/@me";
    AccountFrozen = 403, "Account is scheduled for deletion";
    EmailUnconfirmed = 403, "Confirm your e-mail address first, with the token that was mailed to you";
    PasswordWrong = 403, "The current password is wrong";
    DeletionClosed = 403, "Account deletion is switched off on this server";
    RegistrationClosed = 403, "Registration is switched off on this server";
    // things that are not there
    RouteNotFound = 404, "Not found";
    MethodNotAllowed = 405, "Method not allowed";
    UpgradeRequired = 426, "This is the gateway: connect with a WebSocket client, and let a proxy in front pass the Upgrade and Connection headers on";
    UserNotFound = 404, "User not found";
    ServerNotFound = 404, "Server not found";
    ChannelNotFound = 404, "Channel not found";
    MessageNotFound = 404, "Message not found";
    RoleNotFound = 404, "Role not found";
    MemberNotFound = 404, "Member not found";
    BanNotFound = 404, "Ban not found";
    InviteNotFound = 404, "Invite not found or expired";
    SettingNotFound = 404, "Setting not found";
    SessionNotFound = 404, "Session not found";
    RelationshipNotFound = 404, "Relationship not found";
    WebhookNotFound = 404, "Webhook not found";
    NotificationNotFound = 404, "Notification not found";
    RuleNotFound = 404, "Rule not found";
    GroupNotFound = 404, "Group not found";
    ParticipantNotFound = 404, "This user is not in the group";
    PollNotFound = 404, "Poll not found";
    OverrideNotFound = 404, "The channel has no override for this role or member";
    EmojiNotFound = 404, "Emoji not found";
    StickerNotFound = 404, "Sticker not found";
    FileNotFound = 404, "File not found";
    UploadNotFound = 404, "Upload not found: it was completed, aborted, or has taken too long";
    ReplyNotFound = 404, "The message to reply to was not found in this channel";
    // not allowed
    NotMember = 403, "You are not a member of this server";
    NotParticipant = 403, "You are not a participant of this channel";
    NotOwner = 403, "Only the owner of the server can do this";
    OwnerProtected = 403, "This cannot be done to the owner of the server";
    RoleTooHigh = 403, "Your highest role must stand above the target";
    Blocked = 403, "One of you has blocked the other";
    DmFriendsOnly = 403, "This user accepts direct messages from friends only";
    DmRefused = 403, "This user accepts no direct messages";
    NotGroupOwner = 403, "Only the owner of the group can do this";
    GroupBlocked = 403, "One of the group has blocked this user, or is blocked by him";
    WebhookHolderBanned = 403, "Whoever was given this webhook's token may not post here any more: have it replaced by somebody who may";
    Banned = 403, "You are banned from this server";
    // switched off
    ReportsOff = 503, "Reports are switched off on this server";
    FeedbackOff = 503, "Feedback is switched off on this server";
    ProviderOff = 503, "Signing in with this provider is not set up on this server";
    ProviderAway = 503 again, "The provider does not answer as it should; try again later";
    TelemetryOff = 503, "Telemetry is switched off on this server";
    VoiceOff = 503, "Voice is switched off on this server";
    // the gate in front of the API
    AccessTokenRequired = 401, "API access token required";
    AccessTokenInvalid = 401, "Invalid or expired API access token";
    AccessTokenOutOfScope = 403, "This API access token may not be used from your address";
    AccessTokenNotFound = 404, "Access token not found";
    AccessScopeNotFound = 404, "The access token has no such scope";
    ReportNotFound = 404, "Report not found";
    TicketNotFound = 404, "Ticket not found";
    UserSilenced = 403, "You may not post, react or upload any more";
    NameBanNotFound = 404, "There is no such banned name";
    AddressBlocked = 403, "Your address is blocked";
    AccessTokenTaken = 409, "Another access token has this value";
    // conflicts
    TwoFactorOn = 409, "Two-factor login is already on";
    UsernameTaken = 409, "Username is already taken";
    EmailTaken = 409, "Email is already registered";
    EmojiNameTaken = 409, "The server has an emoji of this name already";
    AlreadyMember = 409, "You are already a member of this server";
    AlreadyBanned = 409, "User is already banned";
    AlreadyFriends = 409, "You are already friends";
    RequestPending = 409, "A friend request is already pending";
    PollTaken = 409, "This message has a poll already";
    AlreadyBlocked = 409, "User is already blocked";
    PollEnded = 400, "This poll has ended";
    // texts that are judged by rules
    TextRefused = 400, "Your message was blocked by the rules of this server";
    Unjudged = 503 again, "The rules of this server are changing; try again in a moment";
    // files
    FileBlocked = 400, "This file is not allowed on this server";
    // the request as a whole
    BodyTooLarge = 413, "The request body is too large";
    Busy = 503 again, "The server is busy; try again in a moment";
    StoreFull = 503 again, "Storage is full: the operator must free disk space or raise store.map_size";
    StoreFailed = 503 again, "The change could not be written to disk";
    StoreDamaged = 500, "A record that this needs is damaged on disk: the operator must restore a backup";
    ShuttingDown = 503 again, "The server is shutting down";
    Internal = 500, "Something went wrong on the server";
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let (_, status, message) = REFUSALS[refusal as usize];
        let retry_after_ms = PASSES[refusal as usize].then_some(1_000);
        Error { retry_after_ms, ..Error::new(status, message) }
    }
}

impl Error {
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            status,
            code: None,
            message: message.into(),
            extra: Vec::new(),
            retry_after_ms: None,
            is_plain: false,
        }
    }

    /// 400 with a whole sentence.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(400, message)
    }

    /// 400 `Invalid <field>: <problem>`.
    pub fn invalid(field: &str, problem: impl fmt::Display) -> Error {
        Error::new(400, format!("Invalid {field}: {problem}"))
    }

    /// 400 for an id in the path that is no id.
    pub fn invalid_id(thing: &str) -> Error {
        Error::new(400, format!("Invalid {thing} ID"))
    }

    /// 403 with the name of the permission.
    pub fn missing_permission(name: &str) -> Error {
        Error::new(403, format!("Missing required permission: {name}"))
    }

    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(403, message)
    }

    /// 429 in the form of the contract; `retry_after_ms` tells how long to wait.
    pub fn too_many(message: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Error {
        Error { retry_after_ms: Some(retry_after_ms), ..Error::new(429, message) }
    }

    /// 429 for what is no rate limit: too much of something is there at once.
    pub fn too_many_open(message: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Error {
        Error { is_plain: true, ..Error::too_many(message, retry_after_ms) }
    }

    /// Adds the `reason` of a 403 for suspended and frozen accounts.
    pub fn with_reason(mut self, reason: &str) -> Error {
        self.extra.push(("reason", Extra::Text(reason.to_string())));
        self
    }

    /// Appends the JSON body.
    pub fn write(&self, out: &mut Vec<u8>) {
        let retry_after = self.retry_after_ms.map(seconds_text);
        let limited = self.status == 429;
        let mut body = Object::new(out);
        {
            let mut error = body.object("error");
            match self.code {
                Some(code) => error.str("code", code),
                None => error.u64("code", self.status.into()),
            };
            error.str("message", &self.message);
            for (key, value) in &self.extra {
                match value {
                    Extra::Text(text) => error.str(key, text),
                    Extra::Null => error.null(key),
                    Extra::Raw(json) => error.raw(key, json.as_bytes()),
                };
            }
            if let (true, Some(seconds)) = (limited, &retry_after) {
                error.raw("retry_after", seconds.as_bytes());
            }
        }
        if let (true, Some(seconds)) = (limited && !self.is_plain, &retry_after) {
            body.str("message", "You are being rate limited.").raw("retry_after", seconds.as_bytes());
            body.bool("global", false).str("scope", "resource");
        }
    }
}

/// Milliseconds as seconds with three decimals, rounded up to the millisecond they are.
pub fn seconds_text(ms: u64) -> String {
    let mut out = Vec::new();
    write_u64(&mut out, ms / 1_000);
    out.push(b'.');
    out.extend_from_slice(format!("{:03}", ms % 1_000).as_bytes());
    String::from_utf8(out).expect("digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: Error, want: &str) {
        let mut out = Vec::new();
        error.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn what_is_switched_off_is_not_there_in_a_moment() {
        let waits = |refusal: Refusal| Error::from(refusal).retry_after_ms;
        assert_eq!([Refusal::Busy, Refusal::ProviderAway].map(waits), [Some(1_000); 2]);
        assert_eq!([Refusal::VoiceOff, Refusal::ChannelNotFound].map(waits), [None; 2]);
        let is_odd = |(at, passes): (usize, &bool)| *passes && REFUSALS[at].1 != 503;
        assert!(!PASSES.iter().enumerate().any(is_odd), "only what is 503 passes");
    }

    #[test]
    fn envelope() {
        check(Refusal::ChannelNotFound.into(), r#"{"error":{"code":404,"message":"Channel not found"}}"#);
        check(
            Error::invalid("name", "too long"),
            r#"{"error":{"code":400,"message":"Invalid name: too long"}}"#,
        );
        check(
            Error::from(Refusal::AccountSuspended).with_reason("suspended"),
            r#"{"error":{"code":403,"message":"Account suspended","reason":"suspended"}}"#,
        );
        check(
            Error::too_many("Slow mode is on", 1_500),
            r#"{"error":{"code":429,"message":"Slow mode is on","retry_after":1.500},"message":"You are being rate limited.","retry_after":1.500,"global":false,"scope":"resource"}"#,
        );
    }
}
