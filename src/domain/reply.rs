//! What a command gives back to the one who asked.
//!
//! The row of a command names the type of its reply, and both ends of the log use that type: apply returns it, the
//! handler goes on with it. In between, replies of all commands share one ring as a [`Reply`].

use crate::id::{
    AccessScopeId, AccessTokenId, AdminId, AttachmentId, ChallengeId, ChannelId, EmojiId, MessageId,
    NameBanId, PasskeyId, ReportId, RoleId, RuleId, ServerId, SignInId, StickerId, TicketId, TokenId, UserId,
    WebhookId,
};

/// The type of a reply: what [`Reply`] holds on its way.
pub trait Answer: Sized + 'static {
    /// # Panics
    /// When it is the reply of another command.
    fn take(reply: Reply) -> Self;
}

macro_rules! replies {
    ($($(#[doc = $doc:literal])* $name:ident $(($($field:ident: $part:ty),*))? = $value:tt of $type:ty;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply { $($(#[doc = $doc])* $name $(($($part),*))?),* }

        $(
            impl From<$type> for Reply {
                fn from($value: $type) -> Reply {
                    Reply::$name $(($($field),*))?
                }
            }

            impl Answer for $type {
                fn take(reply: Reply) -> $type {
                    match reply {
                        Reply::$name $(($($field),*))? => $value,
                        other => panic!("a reply is of the type that its command's row names, not {other:?}"),
                    }
                }
            }
        )*
    };
}

replies! {
    Done = () of ();
    /// Whether something was there to change.
    Changed(yes: bool) = yes of bool;
    Count(count: u64) = count of u64;
    User(id: UserId) = id of UserId;
    /// A login session of a user.
    Token(user_id: UserId, token_id: TokenId) = (user_id, token_id) of (UserId, TokenId);
    /// A new account, with a login session unless something has to come first.
    Account(user_id: UserId, token_id: Option<TokenId>) = (user_id, token_id) of (UserId, Option<TokenId>);
    Server(id: ServerId) = id of ServerId;
    Channel(id: ChannelId) = id of ChannelId;
    Role(id: RoleId) = id of RoleId;
    Message(channel_id: ChannelId, id: MessageId) = (channel_id, id) of (ChannelId, MessageId);
    Challenge(id: ChallengeId) = id of ChallengeId;
    Webhook(id: WebhookId) = id of WebhookId;
    AutomodRule(id: RuleId) = id of RuleId;
    /// The rules of the server refuse a text.
    TextRefused = TextRefused of TextRefused;
    Report(id: ReportId) = id of ReportId;
    Ticket(id: TicketId) = id of TicketId;
    AccessToken(id: AccessTokenId) = id of AccessTokenId;
    SignIn(id: SignInId) = id of SignInId;
    Emoji(id: EmojiId) = id of EmojiId;
    Sticker(id: StickerId) = id of StickerId;
    Passkey(id: PasskeyId) = id of PasskeyId;
    Attachment(id: AttachmentId) = id of AttachmentId;
    Admin(id: AdminId) = id of AdminId;
    NameBan(id: NameBanId) = id of NameBanId;
    AccessScope(id: AccessScopeId) = id of AccessScopeId;
    /// Somebody for whom another provider vouches.
    Admitted(how: Admitted) = how of Admitted;
}

/// Of a command that brings another one: whatever that replies.
impl Answer for Reply {
    fn take(reply: Reply) -> Reply {
        reply
    }
}

/// How far somebody gets for whom another provider vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    Session(UserId, TokenId),
    /// His second factor is asked for.
    Challenge(ChallengeId),
}

/// The rules of the server refuse a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRefused;

/// What a text comes to that is judged: the reply of the command that lets it go, or that.
pub type Judgement = std::result::Result<Reply, TextRefused>;

impl From<Judgement> for Reply {
    fn from(judgement: Judgement) -> Reply {
        judgement.unwrap_or_else(Reply::from)
    }
}

impl Answer for Judgement {
    fn take(reply: Reply) -> Judgement {
        if reply == Reply::TextRefused { Err(TextRefused) } else { Ok(reply) }
    }
}
