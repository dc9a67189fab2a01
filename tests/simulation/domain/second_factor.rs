//! Two-factor login: random commands, what they must be answered, and what becomes of them.

use std::collections::BTreeSet;

use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::two_factor::{self, Proof};
use plexichat::domain::{Op, Reply, identity};
use plexichat::id::{ChallengeId, UserId};
use plexichat::limits::CHALLENGE_COUNT_MAX;
use plexichat::store::Read;
use plexichat::store::records::{TwoFactor as Record, account, mail_kind};
use plexichat::store::tables::{CHALLENGES, TWO_FACTORS};

use super::generate::Generator;
use super::model::*;

#[derive(Clone, Debug, Default)]
pub struct TwoFactor {
    enabled: bool,
    sealed: Vec<u8>,
    codes: BTreeSet<[u8; 32]>,
    last_step: u64,
    failures: u32,
    locked_until: u64,
}

impl TwoFactor {
    fn holds(&self, proof: &Proof) -> bool {
        match proof {
            Proof::Step(step) => *step > self.last_step,
            Proof::Backup(sum) => self.codes.contains(&sum.0),
        }
    }

    fn spend(&mut self, proof: &Proof) {
        match proof {
            Proof::Step(step) => self.last_step = *step,
            Proof::Backup(sum) => drop(self.codes.remove(&sum.0)),
        }
        (self.failures, self.locked_until) = (0, 0);
    }
}

#[derive(Clone, Debug)]
pub struct Challenge {
    user: u64,
    expires_at: u64,
    failures: u64,
}

impl Challenge {
    pub fn user(&self) -> u64 {
        self.user
    }

    pub fn is_of(&self, user: u64) -> bool {
        self.user == user
    }
}

impl Generator<'_> {
    pub fn second_factor_command(&mut self, model: &Model) -> (u64, Op) {
        fn set_up(user: &User) -> Option<&TwoFactor> {
            user.two_factor.as_ref()
        }
        let begun = model.users.iter().filter(|(_, user)| set_up(user).is_some()).map(|(id, _)| *id);
        let known = self.pick(begun).unwrap_or_else(|| self.actor(model));
        let record = model.users.get(&known).and_then(set_up).cloned().unwrap_or_default();
        let proof = self.proof(&record);
        let phc = Secret(self.phc(model, known));
        let op: Op = match self.random.u32(..12) {
            0 | 1 => {
                let actor = self.actor(model);
                let (phc, seed) = (Secret(self.phc(model, actor)), self.random.u8(..));
                let codes = Secret(vec![[seed; 32], [seed ^ 1; 32]]);
                let sealed = Secret(vec![seed, self.random.u8(..)]);
                return (actor, two_factor::TwoFactorBegin { phc, sealed, codes }.into());
            }
            2 | 3 => {
                let sealed = if self.chance(85) { record.sealed } else { vec![1] };
                let step = self.random.u64(1..100);
                two_factor::TwoFactorConfirm { sealed: Secret(sealed), step }.into()
            }
            4 if self.chance(70) => two_factor::TwoFactorDisable { phc, proof }.into(),
            4 | 5 => two_factor::TwoFactorUse { proof }.into(),
            6 => {
                let lockout_ms = self.random.u64(..90_000);
                two_factor::TwoFactorFailed { failures_max: 3, lockout_ms }.into()
            }
            7 | 8 => {
                let op = two_factor::ChallengeCreate {
                    user_id: UserId(known),
                    name: self.random.u64(..8),
                    phc,
                    secret_hash: Secret([3; 32]),
                    life_ms: self.random.u64(..600_000),
                };
                return (self.system(model), op.into());
            }
            roll => {
                let open = self.pick(model.challenges.iter().map(|(id, found)| (*id, found.user)));
                let (id, user) = open.unwrap_or_else(|| (self.junk(), 0));
                let record = model.users.get(&user).and_then(set_up).cloned().unwrap_or_default();
                let (challenge_id, proof) = (ChallengeId(id), self.proof(&record));
                let op: Op = if roll == 9 {
                    two_factor::ChallengeFailed { challenge_id, failures_max: 3 }.into()
                } else {
                    two_factor::ChallengePass { challenge_id, proof, token: self.token() }.into()
                };
                return (self.system(model), op);
            }
        };
        (known, op)
    }

    fn proof(&mut self, record: &TwoFactor) -> Proof {
        match self.random.u32(..3) {
            0 => Proof::Backup(Secret(self.pick(record.codes.iter().copied()).unwrap_or([0; 32]))),
            _ => Proof::Step((record.last_step + 1).saturating_sub(self.random.u64(..2))),
        }
    }
}

impl Model {
    fn active(&self, user: u64) -> Result<&User, Refused> {
        some(self.users.get(&user).filter(|user| user.state == account::ACTIVE), UNKNOWN_TOKEN)
    }

    fn enabled(&self, user: u64) -> Option<&TwoFactor> {
        self.users.get(&user)?.two_factor.as_ref().filter(|record| record.enabled)
    }

    /// Whether a password alone does not log in.
    pub fn asks_for_more(&self, user: u64) -> bool {
        self.enabled(user).is_some()
    }

    fn proved(&self, user: u64, proof: &Proof) -> Result<(), Refused> {
        self.active(user)?;
        let record = some(self.enabled(user), BAD)?;
        unless(record.locked_until > self.at, FORBIDDEN)?;
        unless(!record.holds(proof), UNKNOWN_TOKEN)
    }

    pub fn challenge(&self, id: ChallengeId) -> Result<&Challenge, Refused> {
        let found = some(self.challenges.get(&id.0), UNKNOWN_TOKEN)?;
        unless(found.expires_at <= self.at, UNKNOWN_TOKEN)?;
        self.active(found.user)?;
        Ok(found)
    }

    /// `None` when it is no command of these.
    pub fn judge_second_factor(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let system = || unless(actor != 0, FORBIDDEN);
        let judge = || match op {
            identity::Op::TwoFactorBegin(op) => {
                unless(self.active(actor)?.phc != op.phc.0, UNKNOWN_TOKEN)?;
                unless(self.enabled(actor).is_some(), CONFLICT)?;
                Ok(Want::Done)
            }
            identity::Op::TwoFactorConfirm(op) => {
                let pending = self.active(actor)?.two_factor.as_ref().filter(|record| !record.enabled);
                let pending = some(pending, BAD)?;
                unless(pending.locked_until > self.at, FORBIDDEN)?;
                unless(pending.sealed != op.sealed.0, UNKNOWN_TOKEN)?;
                Ok(Want::Done)
            }
            identity::Op::TwoFactorDisable(op) => {
                unless(self.active(actor)?.phc != op.phc.0, UNKNOWN_TOKEN)?;
                self.proved(actor, &op.proof).map(|()| Want::Done)
            }
            identity::Op::TwoFactorUse(op) => self.proved(actor, &op.proof).map(|()| Want::Done),
            identity::Op::TwoFactorFailed(op) => {
                let record = some(self.active(actor)?.two_factor.as_ref(), BAD)?;
                unless(record.locked_until > self.at, FORBIDDEN)?;
                let before = if record.locked_until == 0 { record.failures } else { 0 };
                Ok(Want::Changed(u64::from(before) + 1 >= op.failures_max))
            }
            identity::Op::ChallengeCreate(op) => {
                system()?;
                let user = self.active(op.user_id.0)?;
                unless(user.locked_until > self.at, FORBIDDEN)?;
                unless(user.phc != op.phc.0, UNKNOWN_TOKEN)?;
                some(self.enabled(op.user_id.0), UNKNOWN_TOKEN)?;
                Ok(Want::Any)
            }
            identity::Op::ChallengePass(op) => {
                system()?;
                let user = self.challenge(op.challenge_id)?.user;
                unless(!some(self.enabled(user), UNKNOWN_TOKEN)?.holds(&op.proof), UNKNOWN_TOKEN)?;
                Ok(Want::Token)
            }
            identity::Op::ChallengeFailed(op) => {
                system()?;
                Ok(Want::Changed(self.challenge(op.challenge_id)?.failures + 1 >= op.failures_max))
            }
            _ => Err(&[] as Refused),
        };
        Some(judge()).filter(|verdict| *verdict != Err(&[]))
    }

    /// Makes the change; false when it is no command of these.
    pub fn take_second_factor(&mut self, actor: u64, op: &identity::Op, reply: &Reply) -> bool {
        let at = self.at;
        match op {
            identity::Op::TwoFactorBegin(op) => {
                let before = self.user(actor).two_factor.take().unwrap_or_default();
                self.user(actor).two_factor = Some(TwoFactor {
                    sealed: op.sealed.0.clone(),
                    codes: op.codes.0.iter().copied().collect(),
                    last_step: 0,
                    ..before
                });
            }
            identity::Op::TwoFactorConfirm(op) => {
                let record = self.record(actor);
                record.enabled = true;
                record.spend(&Proof::Step(op.step));
                self.tell(actor, mail_kind::TWO_FACTOR_ON);
            }
            identity::Op::TwoFactorDisable(_) => {
                self.user(actor).two_factor = None;
                self.challenges.retain(|_, found| found.user != actor);
                self.tell(actor, mail_kind::TWO_FACTOR_OFF);
            }
            identity::Op::TwoFactorUse(op) => self.record(actor).spend(&op.proof),
            identity::Op::TwoFactorFailed(op) => {
                let record = self.record(actor);
                record.failures = if record.locked_until == 0 { record.failures + 1 } else { 1 };
                let locked = u64::from(record.failures) >= op.failures_max;
                record.locked_until = if locked { at + op.lockout_ms } else { 0 };
            }
            identity::Op::ChallengeCreate(op) => {
                let Reply::Challenge(id) = reply else { unreachable!() };
                self.login_names.remove(&op.name);
                let user = op.user_id.0;
                (self.user(user).failures, self.user(user).locked_until) = (0, 0);
                self.ask_for_more(user, *id, op.life_ms);
            }
            identity::Op::ChallengePass(op) => {
                let Reply::Token(user_id, token_id) = reply else { unreachable!() };
                let challenge = self.challenges.remove(&op.challenge_id.0).unwrap();
                assert_eq!(challenge.user, user_id.0);
                self.record(user_id.0).spend(&op.proof);
                self.grant(user_id.0, token_id.0, &op.token);
            }
            identity::Op::ChallengeFailed(op) => {
                let challenge = self.challenges.get_mut(&op.challenge_id.0).unwrap();
                challenge.failures += 1;
                if challenge.failures >= op.failures_max {
                    self.challenges.remove(&op.challenge_id.0);
                }
            }
            _ => return false,
        }
        true
    }

    /// A new challenge; of too many the oldest makes room.
    pub fn ask_for_more(&mut self, user: u64, id: ChallengeId, life_ms: u64) {
        let at = self.at;
        self.challenges.retain(|_, found| found.user != user || found.expires_at > at);
        let own = self.challenges.iter().filter(|(_, found)| found.user == user).map(|(id, _)| *id);
        let own: Vec<u64> = own.collect();
        for old in &own[..(own.len() + 1).saturating_sub(CHALLENGE_COUNT_MAX)] {
            self.challenges.remove(old);
        }
        let challenge = Challenge { user, expires_at: at + life_ms, failures: 0 };
        assert!(self.challenges.insert(id.0, challenge).is_none());
    }

    fn record(&mut self, user: u64) -> &mut TwoFactor {
        self.user(user).two_factor.as_mut().unwrap()
    }

    pub fn compare_second_factors(&self, read: Read<'_>) {
        for (id, user) in self.users.iter().filter(|(_, user)| user.state == account::ACTIVE) {
            let stored = read.get(TWO_FACTORS, UserId(*id)).map(Record::from);
            let want = user.two_factor.clone().map(|record| Record {
                enabled: record.enabled,
                sealed: record.sealed,
                codes: stored.as_ref().map(|stored| stored.codes.clone()).unwrap_or_default(),
                last_step: record.last_step,
                failures: record.failures,
                locked_until: record.locked_until,
            });
            assert_eq!(stored, want, "second factor of {id}");
            let codes = stored.map(|stored| stored.codes.into_iter().collect()).unwrap_or_default();
            assert_eq!(
                user.two_factor.as_ref().map(|record| &record.codes).unwrap_or(&BTreeSet::new()),
                &codes
            );
        }
        let is_active = |user: u64| self.users[&user].state == account::ACTIVE;
        for (id, found) in self.challenges.iter().filter(|(_, found)| is_active(found.user)) {
            let stored = read.get(CHALLENGES, ChallengeId(*id)).expect("a challenge stays until it ends");
            assert_eq!(
                (stored.user_id.0.to_native(), stored.failures.to_native() as u64),
                (found.user, found.failures)
            );
        }
    }
}
