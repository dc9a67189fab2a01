//! Bots: accounts of programs, for which somebody answers.
//!
//! A bot is a user with an owner. It has neither password nor e-mail address, so nobody logs in as it; its token stands
//! among the login sessions and does not run out, and what ends those ends it.
//!
//! Invariants: a bot has one token while it lives. `BOTS` lists the living bots of each owner. A bot may be used as long
//! as its owner may: while he waits for his deletion it rests, and it ends with him.

use rkyv::{Archive, Deserialize, Serialize};

use super::account;
use super::credential::{Secret, require_present};
use super::token;
use crate::domain::error::{Error, Result};
use crate::domain::event::{Change, Revocation};
use crate::domain::machine::Machine;
use crate::id::{TokenId, UserId};
use crate::limits::BOT_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedUser, Nil, Token, User, UserRef, account as state};
use crate::store::tables::{BOTS, DELETIONS, TOKENS, USER_NAMES, USER_TOKENS, USERS};

/// A new bot with its token. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BotCreate {
    pub owner_id: UserId,
    pub username: String,
    /// SHA-256 of the secret part of its token.
    pub secret_hash: Secret<[u8; 32]>,
    /// A [`crate::store::records::tier`] code.
    pub tier: u8,
    /// Bots of one owner.
    pub count_max: u64,
}

/// Another token for a bot; the one before is void. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BotTokenRenew {
    pub bot_id: UserId,
    /// SHA-256 of the secret part.
    pub secret_hash: Secret<[u8; 32]>,
}

/// Ends a bot: it is purged as an account is whose grace has run out. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BotDelete {
    pub bot_id: UserId,
}

/// The bots of somebody, oldest first.
pub fn of_owner(read: Read<'_>, owner_id: UserId) -> impl Iterator<Item = (UserId, &ArchivedUser)> {
    let ids = read.scan(BOTS, owner_id).take(BOT_COUNT_MAX).map(|((_, bot_id), _)| bot_id);
    ids.filter_map(move |bot_id| read.get(USERS, bot_id).map(|user| (bot_id, user)))
}

/// A bot that lives.
///
/// # Errors
/// 404 when nobody has the id; 400 when it is a person's; 409 when it has ended.
pub fn living(read: Read<'_>, bot_id: UserId) -> Result<&ArchivedUser> {
    let user = crate::domain::view::existing(read, bot_id)?;
    if !user.is_bot() {
        return Err(Error::bad_request("This account is no bot"));
    }
    if user.state == state::FROZEN {
        return Err(Error::new(409, "This bot has been deleted"));
    }
    Ok(user)
}

/// # Errors
/// 404, 400 or 403 when somebody cannot have a bot; 400 when he has as many as he may.
pub fn require_room(read: Read<'_>, owner_id: UserId, count_max: u64) -> Result<()> {
    let owner = crate::domain::view::existing(read, owner_id)?;
    if owner.is_bot() {
        return Err(Error::bad_request("A bot cannot have bots"));
    }
    require_present(read, owner)?;
    let count_max = count_max.min(BOT_COUNT_MAX as u64);
    if of_owner(read, owner_id).count() as u64 >= count_max {
        return Err(Error::bad_request(format!(
            "This account already has {count_max} bots, the most allowed"
        )));
    }
    Ok(())
}

pub(in crate::domain) fn create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &BotCreate,
) -> Result<(UserId, TokenId)> {
    require_room(machine.read(), op.owner_id, op.count_max)?;
    account::require_free(machine.read(), Some(&op.username), None, None)?;
    let bot_id = UserId(machine.next_id());
    let bot = User {
        username: op.username.clone(),
        created_at: machine.unix_ms,
        tier: op.tier,
        owner_id: Some(Box::new(op.owner_id)),
        ..User::default()
    };
    let tx = &mut *machine.tx;
    tx.put(USERS, bot_id, &bot);
    tx.put(USER_NAMES, op.username.to_ascii_lowercase().as_str(), &UserRef::from(bot_id));
    tx.put(BOTS, (op.owner_id, bot_id), &Nil {});
    let token_id = give_token(machine, bot_id, &op.secret_hash);
    machine.ensure(|read| account::by_name(read, &op.username) == Some(bot_id), "the name leads to the bot");
    Ok((bot_id, token_id))
}

pub(in crate::domain) fn renew_token(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &BotTokenRenew,
) -> Result<(UserId, TokenId)> {
    living(machine.read(), op.bot_id)?;
    token::revoke_all(machine, op.bot_id, Revocation::Security, None);
    Ok((op.bot_id, give_token(machine, op.bot_id, &op.secret_hash)))
}

pub(in crate::domain) fn delete(machine: &mut Machine<'_, '_>, _: UserId, op: &BotDelete) -> Result<()> {
    living(machine.read(), op.bot_id)?;
    end(machine, op.bot_id);
    Ok(())
}

fn give_token(machine: &mut Machine<'_, '_>, bot_id: UserId, secret_hash: &Secret<[u8; 32]>) -> TokenId {
    let token_id = TokenId(machine.next_id());
    let token = Token {
        user_id: bot_id,
        secret_hash: secret_hash.0,
        created_at: machine.at,
        expires_at: u64::MAX,
        last_activity: machine.at,
        ip_address: String::new(),
        user_agent: None,
    };
    machine.tx.put(TOKENS, token_id, &token);
    machine.tx.put(USER_TOKENS, (bot_id, token_id), &Nil {});
    token_id
}

/// From now on nothing can be done as this bot; what is left of it goes in steps.
pub(in crate::domain) fn end(machine: &mut Machine<'_, '_>, bot_id: UserId) {
    let Some(bot) = machine.tx.get(USERS, bot_id) else { return };
    let (owner_id, mut bot) = (bot.owner(), User::from(bot));
    token::revoke_all(machine, bot_id, Revocation::Security, None);
    let due = machine.at;
    (bot.state, bot.deletion_at) = (state::FROZEN, Some(due));
    machine.tx.put(USERS, bot_id, &bot);
    machine.tx.put(DELETIONS, (due, bot_id), &Nil {});
    if let Some(owner_id) = owner_id {
        machine.tx.delete(BOTS, (owner_id, bot_id));
    }
}

/// Ends the connections of a bot; its token stays.
pub(super) fn disconnect(machine: &mut Machine<'_, '_>, bot_id: UserId, how: Revocation) {
    let tokens: Vec<TokenId> =
        machine.read().scan(USER_TOKENS, bot_id).take(1).map(|((_, id), _)| id).collect();
    for token_id in tokens {
        machine.change(Change::TokenRevoked { token_id, user_id: bot_id, how });
    }
}

/// The same of all bots of somebody: they rest.
pub(super) fn disconnect_all(machine: &mut Machine<'_, '_>, owner_id: UserId, how: Revocation) {
    let bots: Vec<UserId> = of_owner(machine.read(), owner_id).map(|(bot_id, _)| bot_id).collect();
    for bot_id in bots {
        disconnect(machine, bot_id, how);
    }
}
