//! What administrators do to accounts, names, addresses and access tokens: random commands in their name, and what
//! becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use plexichat::domain::admin::act::AdminAct;
use plexichat::domain::contact::silenced::{UserSilence, UserUnsilence};
use plexichat::domain::gate::address::{AddressBlock, AddressUnblock};
use plexichat::domain::gate::change::{
    AccessScopeAdd, AccessScopeRemove, AccessTokenEdit, AccessTokenRotate,
};
use plexichat::domain::gate::closure::{MaintenanceNotice, MaintenanceSet, maintenance};
use plexichat::domain::gate::token::Scope;
use plexichat::domain::identity::banned_name::{NameBanCreate, NameBanRemove};
use plexichat::domain::identity::credential::{Secret, hash_secret};
use plexichat::domain::identity::custody::{
    DeletionCancel, DeletionDelay, UserLock, UserLogOut, UserNoteSet, UserPurge, UserUnlock, UsernameForce,
};
use plexichat::domain::moderation::switch::AutomodSwitchSet;
use plexichat::domain::{Op, Reply, gate, identity, moderation};
use plexichat::id::{AccessScopeId, AccessTokenId, NameBanId, UserId};
use plexichat::store::Read;
use plexichat::store::records::{account, scope_kind, scope_mode};
use plexichat::store::tables::{ADDRESS_BLOCKS, FORCED_NAMES, NAME_BANS, USER_LOCKS, USER_NOTES};

use super::generate::Generator;
use super::model::*;

#[derive(Clone, Debug, Default)]
pub struct Custody {
    notes: BTreeMap<u64, String>,
    name_bans: BTreeSet<u64>,
    blocked: BTreeMap<String, Option<u64>>,
    maintenance: bool,
    /// Until when somebody brings nothing before others.
    pub silenced: BTreeMap<u64, Option<u64>>,
    /// Scopes that were added, by their token.
    pub scopes: BTreeSet<(u64, u64)>,
}

impl Generator<'_> {
    /// Somebody in a state whose account is no bot's, or now and then nobody.
    fn person(&mut self, model: &Model, state: u8) -> UserId {
        if self.chance(8) {
            return UserId(self.junk());
        }
        let found = model.users.iter().filter(|(_, user)| user.state == state && user.owner.is_none());
        let found = self.pick(found.map(|(id, _)| *id));
        UserId(found.unwrap_or_else(|| self.user(model)))
    }

    pub fn custody_command(&mut self, model: &Model) -> (u64, Op) {
        let live = model.admins.some_session(model.at);
        if live.is_none() && self.chance(90) {
            return (self.system(model), self.admin_login(model));
        }
        let op = self.custody_op(model);
        let session = [self.random.u8(..12); 32];
        let session = live.filter(|_| !self.chance(5)).unwrap_or(session);
        (self.system(model), AdminAct::new(session, "192.0.2.1".into(), &op).into())
    }

    fn custody_op(&mut self, model: &Model) -> Op {
        let active = self.person(model, account::ACTIVE);
        match self.random.u8(..22) {
            16.. => self.review_op(model),
            15 if self.chance(30) => {
                // Off for a while now and then.
                let enabled = Some(model.automod_off || self.chance(50));
                AutomodSwitchSet { enabled, ai: self.maybe(20, |_| "{\"model\":\"x\"}".into()) }.into()
            }
            0 if self.chance(30) => UserLock { user_id: active, life_ms: None }.into(),
            1 if self.chance(30) => {
                let life_ms = self.maybe(70, |g| g.random.u64(1..100_000));
                UserSilence { user_id: UserId(self.user(model)), reason: "flood".into(), life_ms }.into()
            }
            2 if self.chance(50) => {
                let known = self.pick(model.custody.silenced.keys().copied());
                UserUnsilence { user_id: UserId(known.unwrap_or_else(|| self.user(model))) }.into()
            }
            0..3 => {
                let user_id = self.person(model, account::LOCKED);
                UserUnlock { user_id, names: vec![self.random.u64(..20)] }.into()
            }
            3 => UserLogOut { user_id: active }.into(),
            4 if self.chance(50) => {
                let ban_current = self.random.bool();
                UsernameForce { user_id: active, reason: "rude".into(), ban_current }.into()
            }
            4 | 5 => DeletionCancel { user_id: self.person(model, account::FROZEN) }.into(),
            6 => {
                let user_id = self.person(model, account::FROZEN);
                DeletionDelay { user_id, in_ms: self.random.u64(1..1_000_000) }.into()
            }
            7 if self.chance(20) => UserPurge { user_id: active }.into(),
            7 | 8 => {
                let notes = if self.random.bool() { self.name() } else { String::new() };
                UserNoteSet { user_id: UserId(self.user(model)), notes }.into()
            }
            9 => NameBanCreate { pattern: self.name(), is_regex: self.random.bool(), reason: None }.into(),
            10 => {
                let known = self.pick(model.custody.name_bans.iter().copied()).unwrap_or(7);
                NameBanRemove { ban_id: NameBanId(known) }.into()
            }
            11 => {
                let life_ms = self.maybe(50, |g| g.random.u64(1..1_000_000));
                AddressBlock { address: format!("192.0.2.{}", self.random.u8(..5)), reason: None, life_ms }
                    .into()
            }
            12 if self.chance(20) => {
                let notice = MaintenanceNotice { message: None, estimated_seconds: Some(9) };
                MaintenanceSet { notice: self.maybe(50, |_| notice) }.into()
            }
            12 => AddressUnblock { address: format!("192.0.2.{}", self.random.u8(..5)) }.into(),
            _ => self.token_change(model),
        }
    }

    fn token_change(&mut self, model: &Model) -> Op {
        let token_id = AccessTokenId(self.pick(model.gate.ids()).unwrap_or(7));
        match self.random.u8(..4) {
            0 => AccessTokenEdit {
                token_id,
                name: self.maybe(50, |g| Some(g.name())),
                description: None,
                life_ms: self.maybe(60, |g| g.maybe(60, |g| g.random.u64(1..10_000_000))),
                scope_mode: self.maybe(30, |_| scope_mode::NONE),
            }
            .into(),
            1 => {
                let value = super::gate::value(self.random.u64(..400));
                AccessTokenRotate { token_id, secret_hash: Secret(hash_secret(&value)) }.into()
            }
            2 => {
                let scope = Scope { kind: scope_kind::CIDR, value: "192.0.2.0/24".into() };
                AccessScopeAdd { token_id, scope }.into()
            }
            _ => {
                let known = self.pick(model.custody.scopes.iter().copied());
                let (token_id, scope_id) = known.unwrap_or((token_id.0, 7));
                AccessScopeRemove { token_id: AccessTokenId(token_id), scope_id: AccessScopeId(scope_id) }
                    .into()
            }
        }
    }
}

impl Model {
    /// He himself, or who answers for him.
    pub fn is_silenced(&self, user: u64) -> bool {
        let owner = self.users.get(&user).and_then(|user| user.owner);
        let until = [Some(user), owner].into_iter().flatten().filter_map(|id| self.custody.silenced.get(&id));
        until.into_iter().any(|until| until.is_none_or(|until| until > self.at))
    }

    fn to_be_deleted(&self, user: u64) -> Result<&User, Refused> {
        let user = self.existing(user)?;
        unless(user.deletion_at == 0 || user.owner.is_some(), CONFLICT)?;
        Ok(user)
    }

    /// What an administrator does that is about others.
    pub fn judge_acted(&self, op: &Op) -> Result<Want, Refused> {
        match op {
            Op::Identity(op) => self.judge_custody(op),
            Op::Gate(op) => self.judge_gate(0, op),
            Op::Contact(op) => self.judge_contact(0, op),
            Op::Moderation(moderation::Op::AutomodSwitchSet(_)) => Ok(Want::Done),
            op => unreachable!("no administrator does {op:?}"),
        }
    }

    fn judge_custody(&self, op: &identity::Op) -> Result<Want, Refused> {
        match op {
            identity::Op::UserLock(UserLock { user_id, .. })
            | identity::Op::UserUnlock(UserUnlock { user_id, .. })
            | identity::Op::UserPurge(UserPurge { user_id })
            | identity::Op::UserNoteSet(UserNoteSet { user_id, .. }) => {
                self.existing(user_id.0)?;
                Ok(Want::Done)
            }
            identity::Op::UserLogOut(op) => {
                let user = self.existing(op.user_id.0)?;
                let live = user.tokens.values().filter(|token| token.expires_at > self.at).count();
                Ok(if user.owner.is_some() { Want::Any } else { Want::Count(live as u64) })
            }
            identity::Op::UsernameForce(op) => {
                unless(self.existing(op.user_id.0)?.owner.is_some(), BAD)?;
                Ok(Want::Done)
            }
            identity::Op::DeletionCancel(op) => self.to_be_deleted(op.user_id.0).map(|_| Want::Done),
            identity::Op::DeletionDelay(op) => {
                unless(self.existing(op.user_id.0)?.deletion_at == 0, CONFLICT)?;
                Ok(Want::Done)
            }
            identity::Op::NameBanCreate(_) => Ok(Want::Any),
            identity::Op::NameBanRemove(op) => {
                some(self.custody.name_bans.get(&op.ban_id.0), MISSING)?;
                Ok(Want::Done)
            }
            op => unreachable!("no administrator does {op:?}"),
        }
    }

    pub fn take_acted(&mut self, op: &Op, reply: &Reply) {
        match op {
            Op::Identity(op) => self.take_custody(op, reply),
            Op::Gate(op) => self.take_gate(op, reply),
            Op::Contact(op) => self.take_contact(0, op, reply),
            Op::Moderation(moderation::Op::AutomodSwitchSet(op)) => {
                self.automod_off = op.enabled.map_or(self.automod_off, |is_on| !is_on);
            }
            op => unreachable!("no administrator does {op:?}"),
        }
    }

    fn take_custody(&mut self, op: &identity::Op, reply: &Reply) {
        let at = self.at;
        match op {
            identity::Op::UserLock(op) => self.user(op.user_id.0).state = account::LOCKED,
            identity::Op::UserUnlock(op) => {
                for name in &op.names {
                    self.login_names.remove(name);
                }
                let user = self.user(op.user_id.0);
                if user.owner.is_none() {
                    (user.failures, user.locked_until) = (0, 0);
                }
                if user.state == account::LOCKED {
                    let is_frozen = user.deletion_at != 0;
                    user.state = if is_frozen { account::FROZEN } else { account::ACTIVE };
                }
            }
            identity::Op::UserLogOut(op) => {
                if self.users[&op.user_id.0].owner.is_none() {
                    self.user(op.user_id.0).tokens.clear();
                }
            }
            identity::Op::UsernameForce(op) => {
                self.user(op.user_id.0).renaming = true;
            }
            identity::Op::DeletionCancel(op) => {
                let user = self.user(op.user_id.0);
                user.deletion_at = 0;
                if user.state == account::FROZEN {
                    user.state = account::ACTIVE;
                }
            }
            identity::Op::DeletionDelay(op) => self.user(op.user_id.0).deletion_at = at + op.in_ms,
            identity::Op::UserPurge(op) => {
                let user = self.user(op.user_id.0);
                user.deletion_at = at;
                if user.state == account::ACTIVE {
                    user.state = account::FROZEN;
                }
                user.tokens.clear();
            }
            identity::Op::UserNoteSet(op) => match op.notes.as_str() {
                "" => drop(self.custody.notes.remove(&op.user_id.0)),
                notes => drop(self.custody.notes.insert(op.user_id.0, notes.to_string())),
            },
            identity::Op::NameBanCreate(_) => {
                let Reply::NameBan(id) = reply else { panic!("{reply:?} to {op:?}") };
                self.custody.name_bans.insert(id.0);
            }
            identity::Op::NameBanRemove(op) => drop(self.custody.name_bans.remove(&op.ban_id.0)),
            op => unreachable!("judge has refused {op:?}"),
        }
    }

    pub fn judge_address(&self, op: &gate::Op) -> Option<Want> {
        match op {
            gate::Op::AddressBlock(_) | gate::Op::MaintenanceSet(_) => Some(Want::Done),
            gate::Op::AddressUnblock(op) => {
                Some(Want::Changed(self.custody.blocked.contains_key(&op.address)))
            }
            _ => None,
        }
    }

    pub fn take_address(&mut self, op: &gate::Op) -> bool {
        let at = self.at;
        let Custody { blocked, maintenance, .. } = &mut self.custody;
        match op {
            gate::Op::AddressBlock(op) => {
                blocked.retain(|_, until| until.is_none_or(|until| until > at));
                blocked.insert(op.address.clone(), op.life_ms.map(|life_ms| at + life_ms));
            }
            gate::Op::AddressUnblock(op) => drop(blocked.remove(&op.address)),
            gate::Op::MaintenanceSet(op) => *maintenance = op.notice.is_some(),
            _ => return false,
        }
        true
    }

    pub fn compare_custody(&self, read: Read<'_>) {
        let there = |user: &&u64| self.users[user].state != account::PURGED;
        let notes: BTreeMap<u64, String> =
            read.scan(USER_NOTES, ()).map(|(id, note)| (id.0, note.text.to_string())).collect();
        let want = self.custody.notes.iter().filter(|(user, _)| there(user));
        // Of an account that goes in steps they may be gone already.
        for (user, note) in want.filter(|(user, _)| self.users[user].deletion_at > self.at) {
            assert_eq!(notes.get(user), Some(note), "what is kept in mind about {user}");
        }
        let blocked: BTreeMap<String, Option<u64>> = read
            .scan(ADDRESS_BLOCKS, ())
            .map(|(address, block)| (address, block.until.as_ref().map(|until| until.to_native())))
            .collect();
        assert_eq!(blocked, self.custody.blocked);
        assert_eq!(maintenance(read).is_some(), self.custody.maintenance);
        for ban in &self.custody.name_bans {
            assert!(read.contains(NAME_BANS, NameBanId(*ban)), "it is banned still");
        }
        for (id, user) in self.users.iter().filter(|(id, _)| there(id)) {
            let is_locked = read.contains(USER_LOCKS, UserId(*id));
            assert_eq!(is_locked, user.state == account::LOCKED, "the lock of {id}");
            assert_eq!(read.contains(FORCED_NAMES, UserId(*id)), user.renaming, "the name of {id}");
        }
    }
}
