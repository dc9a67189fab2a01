//! Passkeys: random commands, what they must be answered, and what becomes of them.

use std::collections::BTreeMap;

use plexichat::domain::identity::passkey::{
    PasskeyAdd, PasskeyPass, PasskeyRemove, PasskeyRename, PasskeySignIn, Signed,
};
use plexichat::domain::{Op, Reply, identity};
use plexichat::id::{ChallengeId, PasskeyId};
use plexichat::store::Read;
use plexichat::store::records::{account, mail_kind, passkey_algorithm};
use plexichat::store::tables::PASSKEYS;

use super::generate::Generator;
use super::model::*;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Passkey {
    user: u64,
    name: String,
    /// The first byte of the sum of its credential's id.
    credential: u8,
    counter: u32,
    used_at: Option<u64>,
}

impl Generator<'_> {
    pub fn passkey_command(&mut self, model: &Model) -> (u64, Op) {
        let known = self.pick(model.passkeys.iter().map(|(id, found)| (*id, found.clone())));
        let (id, known) = known.unzip();
        let passkey_id = PasskeyId(id.filter(|_| self.chance(90)).unwrap_or_else(|| self.junk()));
        let owner = known.as_ref().map(|known| known.user).filter(|_| self.chance(85));
        let actor = owner.unwrap_or_else(|| self.actor(model));
        let counter = known.as_ref().map_or(0, |known| known.counter + self.random.u32(..2));
        let credential = known.map_or(0, |known| known.credential);
        let signed = Signed { credential_hash: [credential; 32], counter };
        let mine = |user: u64| model.passkeys.values().find(move |found| found.user == user);
        let asked: Vec<_> =
            model.challenges.iter().filter_map(|(id, asked)| Some((*id, mine(asked.user())?))).collect();
        // It comes seldom that somebody is asked who has a passkey.
        let roll = if !asked.is_empty() && self.chance(50) { 9 } else { self.random.u32(..10) };
        match roll {
            0..4 => {
                let credential = self.random.u8(1..60);
                let op = PasskeyAdd {
                    name: self.text(),
                    credential_id: vec![credential; 16],
                    credential_hash: [credential; 32],
                    algorithm: passkey_algorithm::EDDSA,
                    key: vec![2; 32],
                    exponent: Vec::new(),
                    counter: self.random.u32(..2),
                    count_max: self.random.u64(1..4),
                };
                (self.actor(model), op.into())
            }
            4 => (actor, PasskeyRename { passkey_id, name: self.text() }.into()),
            5 => (actor, PasskeyRemove { passkey_id }.into()),
            6..8 => (self.system(model), PasskeySignIn { signed, token: self.token() }.into()),
            _ => {
                let (challenge, found) = self.pick(asked.into_iter()).unzip();
                let signed = match found.filter(|_| self.chance(80)) {
                    Some(found) => {
                        Signed { credential_hash: [found.credential; 32], counter: found.counter + 1 }
                    }
                    None => signed,
                };
                let challenge_id = ChallengeId(challenge.unwrap_or_else(|| self.junk()));
                (self.system(model), PasskeyPass { challenge_id, signed, token: self.token() }.into())
            }
        }
    }
}

impl Model {
    fn own_passkey(&self, actor: u64, id: PasskeyId) -> Result<&Passkey, Refused> {
        let user = some(self.users.get(&actor), UNKNOWN_TOKEN)?;
        unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
        some(self.passkeys.get(&id.0).filter(|found| found.user == actor), MISSING)
    }

    fn signed(&self, signed: &Signed) -> Option<u64> {
        let mut all = self.passkeys.iter();
        all.find(|(_, found)| [found.credential; 32] == signed.credential_hash).map(|(id, _)| *id)
    }

    fn used(&self, signed: &Signed) -> Result<&Passkey, Refused> {
        let found = &self.passkeys[&some(self.signed(signed), UNKNOWN_TOKEN)?];
        let counts = found.counter != 0 || signed.counter != 0;
        unless(counts && signed.counter <= found.counter, UNKNOWN_TOKEN)?;
        Ok(found)
    }

    /// `None` when it is no command of these.
    pub fn judge_passkey(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let system = || unless(actor != 0, FORBIDDEN);
        let judge = || match op {
            identity::Op::PasskeyAdd(op) => {
                let user = some(self.users.get(&actor), UNKNOWN_TOKEN)?;
                unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
                let is_known =
                    self.passkeys.values().any(|found| [found.credential; 32] == op.credential_hash);
                unless(is_known, CONFLICT)?;
                let count = self.passkeys.values().filter(|found| found.user == actor).count();
                unless(count as u64 >= op.count_max, BAD)?;
                Ok(Want::Any)
            }
            identity::Op::PasskeyRename(op) => self.own_passkey(actor, op.passkey_id).map(|_| Want::Done),
            identity::Op::PasskeyRemove(op) => self.own_passkey(actor, op.passkey_id).map(|_| Want::Done),
            identity::Op::PasskeySignIn(op) => {
                system()?;
                let found = self.used(&op.signed)?;
                let user = &self.users[&found.user];
                // Who answers for a bot is asked too.
                let mut all = [Some(user), user.owner.map(|owner| &self.users[&owner])].into_iter().flatten();
                unless(all.any(|user| user.state != account::ACTIVE), FORBIDDEN)?;
                Ok(Want::Token)
            }
            identity::Op::PasskeyPass(op) => {
                system()?;
                let user = self.challenge(op.challenge_id)?.user();
                unless(self.used(&op.signed)?.user != user, UNKNOWN_TOKEN)?;
                Ok(Want::Token)
            }
            _ => Err(&[] as Refused),
        };
        Some(judge()).filter(|verdict| *verdict != Err(&[]))
    }

    /// Makes the change; false when it is no command of these.
    pub fn take_passkey(&mut self, actor: u64, op: &identity::Op, reply: &Reply) -> bool {
        match op {
            identity::Op::PasskeyAdd(op) => {
                let Reply::Passkey(id) = reply else { unreachable!() };
                let (credential, counter) = (op.credential_hash[0], op.counter);
                let passkey =
                    Passkey { user: actor, name: op.name.clone(), credential, counter, used_at: None };
                self.passkeys.insert(id.0, passkey);
                self.tell(actor, mail_kind::PASSKEY_ADDED);
            }
            identity::Op::PasskeyRename(op) => {
                self.passkeys.get_mut(&op.passkey_id.0).unwrap().name.clone_from(&op.name)
            }
            identity::Op::PasskeyRemove(op) => drop(self.passkeys.remove(&op.passkey_id.0)),
            identity::Op::PasskeySignIn(op) => self.enter_with(&op.signed, &op.token, reply),
            identity::Op::PasskeyPass(op) => {
                self.challenges.remove(&op.challenge_id.0);
                self.enter_with(&op.signed, &op.token, reply);
            }
            _ => return false,
        }
        true
    }

    fn enter_with(&mut self, signed: &Signed, token: &identity::token::NewToken, reply: &Reply) {
        let Reply::Token(user_id, token_id) = reply else { unreachable!() };
        let (id, at) = (self.signed(signed).unwrap(), self.at);
        let found = self.passkeys.get_mut(&id).unwrap();
        assert_eq!(found.user, user_id.0);
        (found.counter, found.used_at) = (signed.counter, Some(at));
        self.grant(user_id.0, token_id.0, token);
    }

    pub fn forget_passkeys(&mut self, user: u64) {
        self.passkeys.retain(|_, found| found.user != user);
    }

    pub fn compare_passkeys(&self, read: Read<'_>) {
        let is_active = |user: u64| self.users[&user].state == account::ACTIVE;
        let stored = read.scan(PASSKEYS, ()).map(|((user, id), found)| {
            let found = Passkey {
                user: user.0,
                name: found.name.to_string(),
                credential: found.credential_hash[0],
                counter: found.counter.to_native(),
                used_at: found.last_used_at.as_ref().map(|at| at.to_native()),
            };
            (id.0, found)
        });
        let got: BTreeMap<_, _> = stored.filter(|(_, found)| is_active(found.user)).collect();
        let want = self.passkeys.iter().filter(|(_, found)| is_active(found.user));
        assert_eq!(got, want.map(|(id, found)| (*id, found.clone())).collect(), "passkeys");
    }
}
