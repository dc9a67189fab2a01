//! Commands: every change of the state, what is said of it in one row, and its bytes.
//!
//! Each area has its table ([`commands`]): code, name, the struct, the function that applies it, what that replies, and
//! its [`Marks`]. Codes are promises: append, never reuse; so are the bytes of a command, which are those of its struct:
//! a struct that has to change is a new command.

use super::contact::silenced;
use super::error::{Error, Result};
use super::machine::Machine;
use super::reply::{Answer, Reply};
use super::{
    admin, chat, community, contact, expression, files, gate, hooks, housekeeping, identity, media,
    moderation, social,
};
use crate::id::UserId;

/// A change that is asked for. `apply` decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Which log it belongs to; one machine has the one log 0.
    pub partition: u32,
    /// Who asks; `UserId(0)` is the server itself.
    pub actor: UserId,
    pub op: Op,
}

impl Command {
    pub fn new(actor: UserId, op: Op) -> Command {
        Command { partition: 0, actor, op }
    }
}

/// What may be done with a command because of what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Changes what roles or overrides give: gets a batch of its own, so that every event of a batch is judged by the
    /// permissions that held for all of it.
    pub isolated: bool,
    /// Allowed in a full store: it removes more than it writes, or guards an account.
    pub frees_room: bool,
    /// Only the server itself may ask for it.
    pub system: bool,
    /// Brings something before others: not by whom administrators have silenced.
    pub speaks: bool,
}

impl Marks {
    pub(in crate::domain) const NONE: Marks =
        Marks { isolated: false, frees_room: false, system: false, speaks: false };

    pub(super) const fn isolated(self) -> Marks {
        Marks { isolated: true, ..self }
    }

    pub(super) const fn frees_room(self) -> Marks {
        Marks { frees_room: true, ..self }
    }

    pub(super) const fn system(self) -> Marks {
        Marks { system: true, ..self }
    }

    pub(super) const fn speaks(self) -> Marks {
        Marks { speaks: true, ..self }
    }
}

/// What the tables say of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub code: u16,
    pub name: &'static str,
    /// The type of the reply, as it stands in the source.
    pub reply: &'static str,
    pub marks: Marks,
}

/// The struct of a command, with what its row says at compile time.
pub trait Operation: Into<Op> {
    const CODE: u16;
    type Reply: Answer;
}

/// No code is greater, so that it can be checked that each is given out once.
const CODE_MAX: u16 = 999;

/// Codes of commands that are no more: not to be given out again. No log keeps commands over a restart, so nothing that
/// is stored has them. 1 and 2 took an e-mail address without its key; 3, 30 and 31 knew of no mail; 440 and 445 of no
/// file that was looked at.
const RETIRED: &[u16] = &[1, 2, 3, 30, 31, 440, 445];

/// Why bytes are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No command of this version has the code: the bytes are of a newer one.
    UnknownCode(u16),
    /// A command of earlier versions.
    Retired(u16),
    /// The bytes are none of the command that has the code.
    Malformed(u16),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::UnknownCode(code) => {
                write!(f, "command {code} is not known to this version: update the server before it goes on")
            }
            DecodeError::Retired(code) => {
                write!(f, "command {code} is of an earlier version, which no log has kept")
            }
            DecodeError::Malformed(code) => write!(f, "these bytes are no command {code}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The commands of an area. The marks are methods of [`Marks`].
macro_rules! commands {
    ($area:ident: $($code:literal $name:ident($module:ident::$type:ident) => $apply:ident -> $reply:ty $(, $mark:ident)*;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($name($module::$type)),* }

        pub(in crate::domain) const ROWS: &[$crate::domain::command::Row] = &[$($crate::domain::command::Row {
            code: $code,
            name: stringify!($name),
            reply: stringify!($reply),
            marks: $crate::domain::command::Marks::NONE$(.$mark())*,
        }),*];

        impl Op {
            pub fn row(&self) -> &'static $crate::domain::command::Row {
                // The variants stand in the order of the rows.
                #[allow(clippy::enum_variant_names, reason = "an area may be of one noun")]
                enum Index { $($name),* }
                &ROWS[match self { $(Op::$name(_) => Index::$name as usize),* }]
            }

            pub(in crate::domain) fn apply(
                &self,
                machine: &mut $crate::domain::Machine<'_, '_>,
                actor: $crate::id::UserId,
            ) -> $crate::domain::Result<$crate::domain::Reply> {
                match self { $(Op::$name(op) => {
                    let reply: $crate::domain::Result<$reply> = $module::$apply(machine, actor, op);
                    reply.map($crate::domain::Reply::from)
                })* }
            }

            pub(in crate::domain) fn encode(&self, out: Vec<u8>) -> Vec<u8> {
                match self { $(Op::$name(op) => $crate::domain::command::append(op, out)),* }
            }

            /// `None` when this area has no such code or the bytes are none of it.
            pub(in crate::domain) fn decode(code: u16, bytes: &[u8]) -> Option<Op> {
                match code {
                    $($code => rkyv::from_bytes::<$module::$type, rkyv::rancor::Error>(bytes).ok().map(Op::$name),)*
                    _ => None,
                }
            }
        }

        $(
            impl From<$module::$type> for $crate::domain::Op {
                fn from(op: $module::$type) -> $crate::domain::Op {
                    $crate::domain::Op::$area(Op::$name(op))
                }
            }

            impl $crate::domain::command::Operation for $module::$type {
                const CODE: u16 = $code;
                type Reply = $reply;
            }
        )*
    };
}

pub(super) use commands;

macro_rules! areas {
    ($($name:ident = $module:ident;)*) => {
        /// A change, by area.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($name($module::Op)),* }

        /// The tables of all areas.
        const TABLES: &[&[Row]] = &[$($module::ROWS),*];

        impl Op {
            /// What the table says of it.
            pub fn row(&self) -> &'static Row {
                match self { $(Op::$name(op) => op.row()),* }
            }

            fn apply(&self, machine: &mut Machine<'_, '_>, actor: UserId) -> Result<Reply> {
                match self { $(Op::$name(op) => op.apply(machine, actor)),* }
            }

            /// Appends its bytes, without the code.
            pub fn encode(&self, out: Vec<u8>) -> Vec<u8> {
                match self { $(Op::$name(op) => op.encode(out)),* }
            }

            /// The command that these bytes are.
            ///
            /// # Errors
            /// When no command has that code, or the bytes are none of it.
            pub fn decode(code: u16, bytes: &[u8]) -> std::result::Result<Op, DecodeError> {
                if RETIRED.contains(&code) {
                    return Err(DecodeError::Retired(code));
                }
                if !rows().any(|row| row.code == code) {
                    return Err(DecodeError::UnknownCode(code));
                }
                $(if let Some(op) = $module::Op::decode(code, bytes) {
                    return Ok(Op::$name(op));
                })*
                Err(DecodeError::Malformed(code))
            }
        }
    };
}

areas! {
    Identity = identity;
    Social = social;
    Media = media;
    Community = community;
    Chat = chat;
    Hooks = hooks;
    Moderation = moderation;
    Contact = contact;
    Gate = gate;
    Admin = admin;
    Expression = expression;
    Files = files;
    Housekeeping = housekeeping;
}

/// The rows of all commands, by code.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().copied().flatten()
}

/// Two areas must not give out one code, whoever wrote them at the same time.
const _: () = {
    let mut seen = [false; CODE_MAX as usize + 1];
    let (mut area, mut index) = (0, 0);
    while area < TABLES.len() {
        if index == TABLES[area].len() {
            (area, index) = (area + 1, 0);
            continue;
        }
        let code = TABLES[area][index].code as usize;
        assert!(!seen[code], "a code is given out twice");
        seen[code] = true;
        index += 1;
    }
    let mut retired = 0;
    while retired < RETIRED.len() {
        assert!(!seen[RETIRED[retired] as usize], "a code that is retired is given out again");
        retired += 1;
    }
};

/// Bytes of the struct of a command.
pub(super) fn append<T>(op: &T, out: Vec<u8>) -> Vec<u8>
where
    T: for<'a> rkyv::Serialize<
            rkyv::api::high::HighSerializer<
                Vec<u8>,
                rkyv::ser::allocator::ArenaHandle<'a>,
                rkyv::rancor::Error,
            >,
        >,
{
    rkyv::api::high::to_bytes_in::<_, rkyv::rancor::Error>(op, out)
        .expect("commands hold nothing that cannot be archived")
}

/// Runs one command. Everything is checked before the first write, so a refusal leaves no trace.
pub(in crate::domain) fn dispatch(machine: &mut Machine<'_, '_>, actor: UserId, op: &Op) -> Result<Reply> {
    if op.row().marks.system && actor != UserId(0) {
        return Err(Error::forbidden("Only the server itself can do this"));
    }
    if op.row().marks.speaks {
        silenced::check(machine.read(), actor, machine.at)?;
    }
    op.apply(machine, actor)
}

#[cfg(test)]
mod tests {
    use super::super::identity::account::{AccountDelete, PasswordChange, ProfileEdit};
    use super::super::identity::credential::Secret;
    use super::super::identity::token::{NewToken, TokenCreate};
    use super::*;
    use crate::id::TokenId;

    fn secret_ops() -> [Op; 3] {
        let phc = || Secret("$argon2id$".to_string());
        let token = NewToken {
            secret_hash: Secret([77; 32]),
            ip_address: String::new(),
            user_agent: None,
            life_ms: 1,
            count_max: 1,
        };
        [
            TokenCreate { user_id: UserId(1), name: 1, phc: phc(), token }.into(),
            AccountDelete { phc: phc(), grace_ms: 1, reminders_ms: Vec::new() }.into(),
            ProfileEdit {
                password: Some(PasswordChange { phc: phc(), token_id: TokenId(1) }),
                verified: Some(phc()),
                ..ProfileEdit::default()
            }
            .into(),
        ]
    }

    #[test]
    fn secrets_are_not_printed() {
        for op in secret_ops() {
            let text = format!("{:?}", Command::new(UserId(0), op));
            assert!(!text.contains("argon2") && !text.contains("77"), "{text}");
        }
    }

    #[test]
    fn codes_are_unique_and_ascend_in_their_area() {
        for table in TABLES {
            assert!(table.is_sorted_by(|a, b| a.code < b.code), "{table:?}");
        }
        let mut codes: Vec<u16> = rows().map(|row| row.code).chain(RETIRED.iter().copied()).collect();
        codes.sort_unstable();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn bytes_that_are_no_command_are_refused() {
        for op in secret_ops() {
            let (code, bytes) = (op.row().code, op.encode(Vec::new()));
            assert_eq!(Op::decode(code, &bytes), Ok(op));
            assert_eq!(Op::decode(9_999, &bytes), Err(DecodeError::UnknownCode(9_999)));
            assert_eq!(Op::decode(1, &bytes), Err(DecodeError::Retired(1)));
            assert_eq!(Op::decode(code, &bytes[..bytes.len() / 2]), Err(DecodeError::Malformed(code)));
            assert_eq!(Op::decode(code, &[]), Err(DecodeError::Malformed(code)));
        }
    }
}
