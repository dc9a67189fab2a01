//! Bots: random commands, what they must be answered, and what becomes of them.

use std::collections::BTreeSet;

use plexichat::domain::identity::bot;
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::{Op, Reply, Revocation, identity};
use plexichat::id::UserId;
use plexichat::store::Read;
use plexichat::store::records::{account, dm_policy, tier};
use plexichat::store::tables::BOTS;

use super::features::Features;
use super::generate::Generator;
use super::model::*;

/// What no password matches.
const NO_PASSWORD: &str = "\0";

impl Generator<'_> {
    pub fn bot_command(&mut self, model: &Model) -> (u64, Op) {
        let secret_hash = Secret([self.random.u8(..); 32]);
        let bots = model.users.iter().filter(|(_, user)| user.owner.is_some()).map(|(id, _)| *id);
        let bot_id = UserId(match self.chance(10) {
            true => self.user(model),
            false => self.pick(bots).unwrap_or_else(|| self.junk()),
        });
        let op: Op = match self.random.u32(..6) {
            0..3 => bot::BotCreate {
                owner_id: UserId(self.user(model)),
                username: self.username(),
                secret_hash,
                tier: tier::STANDARD,
                count_max: self.random.u64(..4),
            }
            .into(),
            3 | 4 => bot::BotTokenRenew { bot_id, secret_hash }.into(),
            _ => bot::BotDelete { bot_id }.into(),
        };
        (self.system(model), op)
    }
}

impl Model {
    pub fn is_bot(&self, user: u64) -> bool {
        self.users.get(&user).is_some_and(|user| user.owner.is_some())
    }

    /// Bots of an owner that live.
    fn bots_of(&self, owner: u64) -> impl Iterator<Item = u64> {
        let lives = move |user: &User| user.owner == Some(owner) && user.state == account::ACTIVE;
        self.users.iter().filter(move |(_, user)| lives(user)).map(|(id, _)| *id)
    }

    fn living_bot(&self, bot: u64) -> Result<(), Refused> {
        let user = self.existing(bot)?;
        unless(user.owner.is_none(), BAD)?;
        unless(user.state == account::FROZEN, CONFLICT)
    }

    /// `None` when it is no command of these, nor means anything else for a bot.
    pub fn judge_bot(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let system = || unless(actor != 0, FORBIDDEN);
        let by_bot = self.is_bot(actor);
        let judge = || match op {
            identity::Op::BotCreate(op) => {
                system()?;
                let owner = self.existing(op.owner_id.0)?;
                unless(owner.owner.is_some(), BAD)?;
                unless(owner.state != account::ACTIVE, FORBIDDEN)?;
                unless(self.bots_of(op.owner_id.0).count() as u64 >= op.count_max, BAD)?;
                self.free(Some(&op.username), None, 0)?;
                Ok(Want::Token)
            }
            identity::Op::BotTokenRenew(op) => {
                system()?;
                self.living_bot(op.bot_id.0)?;
                Ok(Want::Token)
            }
            identity::Op::BotDelete(op) => {
                system()?;
                self.living_bot(op.bot_id.0)?;
                Ok(Want::Done)
            }
            identity::Op::ProfileEdit(_) if by_bot => {
                unless(self.users[&actor].state != account::ACTIVE, UNKNOWN_TOKEN)?;
                Err(FORBIDDEN)
            }
            identity::Op::TokenRevoke(op) if by_bot => {
                some(self.live_token(actor, op.token_id.0), MISSING)?;
                unless(op.how != Revocation::LoggedOut, MISSING)?;
                Ok(Want::Done)
            }
            identity::Op::TokenRevokeAll(_) if by_bot => Ok(Want::Count(0)),
            _ => Err(&[] as Refused),
        };
        Some(judge()).filter(|verdict| *verdict != Err(&[]))
    }

    /// Makes the change; false when it is no command of these, nor means anything else for a bot.
    pub fn take_bot(&mut self, actor: u64, op: &identity::Op, reply: &Reply) -> bool {
        let at = self.at;
        let give_token = |user: &mut User| {
            let Reply::Token(_, token_id) = reply else { unreachable!() };
            user.tokens.clear();
            user.tokens.insert(token_id.0, Token { expires_at: u64::MAX, last_activity: at });
        };
        match op {
            identity::Op::BotCreate(op) => {
                let Reply::Token(bot_id, _) = reply else { unreachable!() };
                let mut bot = User {
                    name: op.username.clone(),
                    phc: NO_PASSWORD.into(),
                    dm_policy: dm_policy::EVERYONE,
                    owner: Some(op.owner_id.0),
                    features: Features { tier: op.tier, ..Features::default() },
                    ..User::default()
                };
                give_token(&mut bot);
                self.users.insert(bot_id.0, bot);
            }
            identity::Op::BotTokenRenew(op) => give_token(self.user(op.bot_id.0)),
            identity::Op::BotDelete(op) => self.end_bot(op.bot_id.0),
            identity::Op::TokenRevoke(_) | identity::Op::TokenRevokeAll(_) => return self.is_bot(actor),
            _ => return false,
        }
        true
    }

    fn end_bot(&mut self, bot: u64) {
        let at = self.at;
        let bot = self.user(bot);
        bot.tokens.clear();
        (bot.state, bot.deletion_at) = (account::FROZEN, at);
    }

    /// An account is purged: its bots follow.
    pub fn end_bots(&mut self, owner: u64) {
        let bots: Vec<u64> = self.bots_of(owner).collect();
        bots.into_iter().for_each(|bot| self.end_bot(bot));
    }

    pub fn compare_bots(&self, read: Read<'_>) {
        let stored: BTreeSet<(u64, u64)> =
            read.scan(BOTS, ()).map(|((owner_id, bot_id), _)| (owner_id.0, bot_id.0)).collect();
        let bots = self.users.keys().flat_map(|owner| self.bots_of(*owner).map(|bot| (*owner, bot)));
        assert_eq!(stored, bots.collect(), "bots by their owners");
    }
}
