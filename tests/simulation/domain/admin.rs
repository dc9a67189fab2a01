//! Those who run the server: random log-ins, guesses and changes of their own accounts, and what is left of them.

use std::collections::BTreeMap;

use plexichat::domain::admin::account::{
    AdminCodesRenew, AdminCreate, AdminOtpDisable, AdminPasswordChange, AdminReset,
};
use plexichat::domain::admin::act::AdminAct;
use plexichat::domain::admin::guessing::{AdminFailed, Guesses};
use plexichat::domain::admin::operation::{Deed, Disconnect, DrainSet, Operate};
use plexichat::domain::admin::session::{
    AdminChallengeCreate, AdminChallengePass, AdminSignIn, AdminSignOut, NewAdminSession, live,
};
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::two_factor::Proof;
use plexichat::domain::{Op, Reply, admin};
use plexichat::id::{AdminId, TokenId, UserId};
use plexichat::store::Read;
use plexichat::store::records;
use plexichat::store::tables::{ADMIN_AUDIT, ADMIN_CHALLENGES, ADMIN_FAILURES, ADMIN_SESSIONS, ADMINS};

use super::generate::Generator;
use super::model::*;

const GUESSES: Guesses = Guesses { count_max: 3, window_ms: 300_000, lockout_ms: 900_000 };
const CHALLENGE_FAILURES_MAX: u64 = 2;

#[derive(Clone, Debug, Default)]
struct Account {
    name: String,
    phc: String,
    sealed: Vec<u8>,
    last_step: u64,
    codes: Vec<[u8; 32]>,
}

#[derive(Clone, Debug)]
struct Session {
    admin: u64,
    expires_at: u64,
    is_ended: bool,
}

#[derive(Clone, Debug)]
struct Challenge {
    admin: u64,
    sealed: Vec<u8>,
    expires_at: u64,
    failures: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Admins {
    accounts: BTreeMap<u64, Account>,
    sessions: BTreeMap<[u8; 32], Session>,
    challenges: BTreeMap<[u8; 32], Challenge>,
    /// Count, end of the window, end of the lock.
    failures: BTreeMap<String, (u64, u64, u64)>,
    /// Lines of the audit log.
    lines: u64,
}

impl Generator<'_> {
    fn admin_hash(&mut self) -> [u8; 32] {
        [self.random.u8(..12); 32]
    }

    fn admin_phc(&mut self) -> Secret<String> {
        Secret(format!("phc{}", self.random.u8(..2)))
    }

    fn admin_proof(&mut self) -> Proof {
        match self.random.bool() {
            true => Proof::Step(self.random.u64(..20)),
            false => Proof::Backup(Secret([self.random.u8(..3); 32])),
        }
    }

    /// One that holds, as a rule.
    fn admin_proof_of(&mut self, model: &Model, admin_id: AdminId) -> Proof {
        let last = model.admins.accounts.get(&admin_id.0).map(|account| account.last_step);
        last.filter(|_| self.chance(80)).map_or_else(|| self.admin_proof(), |last| Proof::Step(last + 1))
    }

    fn admin_session(&mut self) -> Box<NewAdminSession> {
        Box::new(NewAdminSession {
            hash: Secret(self.admin_hash()),
            ip_address: "192.0.2.1".into(),
            user_agent: None,
            // Longer than a real one: the clock goes by hours here.
            life_ms: self.random.u64(1..3_000_000_000),
            source: self.admin_source(),
        })
    }

    /// What somebody is logged in by after some of these.
    pub fn admin_login(&mut self, model: &Model) -> Op {
        let accounts = &model.admins.accounts;
        let mut open = accounts.iter().filter(|(_, account)| account.sealed.is_empty());
        if let Some((id, account)) = open.next_back() {
            let (admin_id, phc) = (AdminId(*id), Secret(account.phc.clone()));
            return AdminSignIn { admin_id, phc, session: self.admin_session() }.into();
        }
        match self.pick(accounts.keys().copied()) {
            Some(id) => AdminReset { admin_id: AdminId(id), phc: self.admin_phc() }.into(),
            None => AdminCreate { username: "root0".into(), phc: self.admin_phc() }.into(),
        }
    }

    /// His, as a rule.
    fn admin_phc_of(&mut self, model: &Model, admin_id: AdminId) -> Secret<String> {
        let known = model.admins.accounts.get(&admin_id.0).map(|account| Secret(account.phc.clone()));
        known.filter(|_| self.chance(85)).unwrap_or_else(|| self.admin_phc())
    }

    fn admin_source(&mut self) -> String {
        format!("192.0.2.{}", self.random.u8(..3))
    }

    fn admin_id(&mut self, model: &Model) -> AdminId {
        AdminId(self.id(model.admins.accounts.keys().copied().collect::<Vec<_>>().into_iter()))
    }

    pub fn admin_command(&mut self, model: &Model) -> (u64, Op) {
        let admin_id = self.admin_id(model);
        let op: Op = match self.random.u8(..12) {
            0 => {
                AdminCreate { username: format!("root{}", self.random.u8(..3)), phc: self.admin_phc() }.into()
            }
            1 if self.chance(20) => AdminReset { admin_id, phc: self.admin_phc() }.into(),
            1..3 => {
                let challenge = self.maybe(50, |g| (g.admin_hash(), CHALLENGE_FAILURES_MAX));
                AdminFailed { source: self.admin_source(), guesses: GUESSES, challenge }.into()
            }
            3..5 => self.admin_challenge(model, admin_id).into(),
            5..7 => AdminChallengePass {
                challenge: {
                    let known = self.pick(model.admins.challenges.keys().copied());
                    Secret(known.filter(|_| self.chance(80)).unwrap_or_else(|| self.admin_hash()))
                },
                proof: self.admin_proof(),
                session: self.admin_session(),
            }
            .into(),
            7 => {
                let phc = self.admin_phc_of(model, admin_id);
                AdminSignIn { admin_id, phc, session: self.admin_session() }.into()
            }
            8 => {
                let known = model.admins.some_session(model.at).filter(|_| self.chance(30));
                AdminSignOut { session: Secret(known.unwrap_or_else(|| self.admin_hash())) }.into()
            }
            _ => {
                // Of somebody with a second factor, where there is one: that he has is rare.
                let sealed = model.admins.sealed_session(model.at).filter(|_| self.chance(60));
                let known =
                    sealed.or_else(|| model.admins.some_session(model.at)).filter(|_| self.chance(85));
                let session = known.unwrap_or_else(|| self.admin_hash());
                let own = known.and_then(|session| model.admins.live(&session, model.at)).map(AdminId);
                let admin_id = own.filter(|_| self.chance(85)).unwrap_or(admin_id);
                let inner = self.admin_inner(model, admin_id, session);
                // As nobody may do it: beside every session.
                if self.chance(5) { inner } else { AdminAct::new(session, "192.0.2.1".into(), &inner).into() }
            }
        };
        (self.system(model), op)
    }

    fn admin_challenge(&mut self, model: &Model, admin_id: AdminId) -> AdminChallengeCreate {
        AdminChallengeCreate {
            admin_id,
            phc: self.admin_phc_of(model, admin_id),
            hash: Secret(self.admin_hash()),
            sealed: Secret(self.maybe(60, |g| vec![g.random.u8(1..4)]).unwrap_or_default()),
            life_ms: self.random.u64(1..1_000_000_000),
        }
    }

    fn admin_inner(&mut self, model: &Model, admin_id: AdminId, session: [u8; 32]) -> Op {
        match self.random.u8(..8) {
            6 => {
                let user_id = UserId(if self.chance(20) { self.junk() } else { self.user(model) });
                Disconnect { user_id, token_id: self.maybe(20, |g| TokenId(g.junk())) }.into()
            }
            0 => AdminPasswordChange {
                verified: self.admin_phc_of(model, admin_id),
                phc: self.admin_phc(),
                session: Secret(session),
            }
            .into(),
            1 | 7 => {
                let verified = self.admin_phc_of(model, admin_id);
                AdminOtpDisable { verified, proof: self.admin_proof_of(model, admin_id) }.into()
            }
            2 => {
                let codes = Secret((0..3).map(|code| [code; 32]).collect());
                AdminCodesRenew { verified: self.admin_phc_of(model, admin_id), codes }.into()
            }
            3 => self.admin_challenge(model, admin_id).into(),
            4 => Operate { deed: Deed::ALL[self.random.usize(..6)], before: None, after: None }.into(),
            _ => DrainSet { spread_ms: self.maybe(50, |_| 60_000) }.into(),
        }
    }
}

impl Admins {
    /// A session that is good now.
    pub fn some_session(&self, at: u64) -> Option<[u8; 32]> {
        self.sessions.keys().find(|session| self.live(session, at).is_some()).copied()
    }

    fn sealed_session(&self, at: u64) -> Option<[u8; 32]> {
        let is_sealed = |session: &&[u8; 32]| {
            let admin = self.live(session, at).and_then(|admin| self.accounts.get(&admin));
            admin.is_some_and(|account| !account.sealed.is_empty())
        };
        self.sessions.keys().find(is_sealed).copied()
    }

    fn live(&self, session: &[u8; 32], at: u64) -> Option<u64> {
        let known = self.sessions.get(session)?;
        (!known.is_ended && known.expires_at > at).then_some(known.admin)
    }

    fn verified(&self, admin: u64, phc: &Secret<String>) -> Result<&Account, Refused> {
        let account = some(self.accounts.get(&admin), UNKNOWN_TOKEN)?;
        unless(account.phc != phc.0, UNKNOWN_TOKEN)?;
        Ok(account)
    }
}

fn holds(account: &Account, proof: &Proof) -> bool {
    match proof {
        Proof::Step(step) => *step > account.last_step,
        Proof::Backup(sum) => account.codes.contains(&sum.0),
    }
}

fn spend(account: &mut Account, proof: &Proof) {
    match proof {
        Proof::Step(step) => account.last_step = *step,
        Proof::Backup(sum) => account.codes.retain(|code| *code != sum.0),
    }
}

/// What stands in a command of an administrator.
fn inner(op: &AdminAct) -> Op {
    Op::decode(op.code, &op.bytes.0).expect("the generator has made it")
}

impl Model {
    pub fn judge_admin(&self, actor: u64, op: &admin::Op) -> Result<Want, Refused> {
        unless(actor != 0, FORBIDDEN)?;
        match op {
            admin::Op::AdminAct(op) => {
                let admin = some(self.admins.live(&op.session.0, self.at), UNKNOWN_TOKEN)?;
                match inner(op) {
                    Op::Admin(op) => self.judge_own(&op, Some(admin)),
                    op => self.judge_acted(&op),
                }
            }
            op => self.judge_own(op, None),
        }
    }

    fn judge_own(&self, op: &admin::Op, acting: Option<u64>) -> Result<Want, Refused> {
        let all = &self.admins;
        match op {
            admin::Op::AdminCreate(op) => {
                unless(all.accounts.values().any(|account| account.name == op.username), CONFLICT)?;
                Ok(Want::Any)
            }
            admin::Op::AdminReset(op) => {
                some(all.accounts.get(&op.admin_id.0), MISSING)?;
                Ok(Want::Done)
            }
            admin::Op::AdminFailed(op) => {
                let (count, window, locked) = all.failures.get(&op.source).copied().unwrap_or_default();
                unless(locked > self.at, SLOW)?;
                if let Some((hash, failures_max)) = op.challenge {
                    let known = all.challenges.get(&hash);
                    some(known.filter(|known| known.failures < failures_max), UNKNOWN_TOKEN)?;
                }
                let count = if locked != 0 || window <= self.at { 0 } else { count };
                Ok(Want::Changed(count + 1 >= op.guesses.count_max))
            }
            admin::Op::AdminChallengeCreate(op) => {
                let account = all.verified(op.admin_id.0, &op.phc)?;
                unless(op.sealed.0.is_empty() && account.sealed.is_empty(), UNKNOWN_TOKEN)?;
                let is_replacing = !op.sealed.0.is_empty() && !account.sealed.is_empty();
                unless(is_replacing && acting != Some(op.admin_id.0), FORBIDDEN)?;
                Ok(Want::Done)
            }
            admin::Op::AdminChallengePass(op) => {
                let known = all.challenges.get(&op.challenge.0).filter(|known| known.expires_at > self.at);
                let known = some(known, UNKNOWN_TOKEN)?;
                let mut account = all.accounts[&known.admin].clone();
                if !known.sealed.is_empty() {
                    account.last_step = 0;
                }
                unless(!holds(&account, &op.proof), UNKNOWN_TOKEN)?;
                Ok(Want::Any)
            }
            admin::Op::AdminSignIn(op) => {
                let account = all.verified(op.admin_id.0, &op.phc)?;
                unless(!account.sealed.is_empty(), UNKNOWN_TOKEN)?;
                Ok(Want::Any)
            }
            admin::Op::AdminSignOut(op) => {
                let known = all.sessions.get(&op.session.0);
                some(known.filter(|known| known.expires_at > self.at), UNKNOWN_TOKEN)?;
                Ok(Want::Done)
            }
            op => self.judge_self(op, some(acting, FORBIDDEN)?),
        }
    }

    fn judge_self(&self, op: &admin::Op, admin: u64) -> Result<Want, Refused> {
        match op {
            admin::Op::AdminPasswordChange(op) => drop(self.admins.verified(admin, &op.verified)?),
            admin::Op::AdminOtpDisable(op) => {
                let account = self.admins.verified(admin, &op.verified)?;
                unless(account.sealed.is_empty(), BAD)?;
                unless(!holds(account, &op.proof), UNKNOWN_TOKEN)?;
            }
            admin::Op::AdminCodesRenew(op) => {
                unless(self.admins.verified(admin, &op.verified)?.sealed.is_empty(), BAD)?;
            }
            admin::Op::Disconnect(op) => {
                some(self.users.get(&op.user_id.0), MISSING)?;
                unless(op.token_id.is_some(), MISSING)?;
            }
            _ => {}
        }
        Ok(Want::Done)
    }

    pub fn take_admin(&mut self, op: &admin::Op, reply: &Reply) {
        match op {
            admin::Op::AdminAct(op) => {
                let admin = self.admins.live(&op.session.0, self.at).expect("judge has found it");
                self.admins.lines += 1;
                match inner(op) {
                    Op::Admin(op) => self.take_own(&op, reply, Some(admin)),
                    op => self.take_acted(&op, reply),
                }
            }
            op => self.take_own(op, reply, None),
        }
    }

    fn take_own(&mut self, op: &admin::Op, reply: &Reply, acting: Option<u64>) {
        let at = self.at;
        let all = &mut self.admins;
        match op {
            admin::Op::AdminCreate(op) => {
                let Reply::Admin(id) = reply else { panic!("{reply:?} to {op:?}") };
                let account =
                    Account { name: op.username.clone(), phc: op.phc.0.clone(), ..Account::default() };
                all.accounts.insert(id.0, account);
            }
            admin::Op::AdminReset(op) => {
                let account = all.accounts.get_mut(&op.admin_id.0).expect("judge has found it");
                *account =
                    Account { name: account.name.clone(), phc: op.phc.0.clone(), ..Account::default() };
                all.end(op.admin_id.0, None);
            }
            admin::Op::AdminFailed(op) => all.fail(op, at),
            admin::Op::AdminChallengeCreate(op) => {
                let (admin, sealed) = (op.admin_id.0, op.sealed.0.clone());
                let is_kept = |known: &Challenge| {
                    let is_replaced = !sealed.is_empty() && !known.sealed.is_empty() && known.admin == admin;
                    known.expires_at > at && !is_replaced
                };
                all.challenges.retain(|_, known| is_kept(known));
                let challenge =
                    Challenge { admin, sealed: sealed.clone(), expires_at: at + op.life_ms, failures: 0 };
                all.challenges.insert(op.hash.0, challenge);
            }
            admin::Op::AdminChallengePass(op) => {
                let known = all.challenges.remove(&op.challenge.0).expect("judge has found it");
                let account = all.accounts.get_mut(&known.admin).expect("it is its own");
                if !known.sealed.is_empty() {
                    (account.sealed, account.last_step) = (known.sealed, 0);
                }
                spend(account, &op.proof);
                all.begin(known.admin, &op.session, at);
            }
            admin::Op::AdminSignIn(op) => all.begin(op.admin_id.0, &op.session, at),
            admin::Op::AdminSignOut(op) => {
                all.sessions.remove(&op.session.0);
                all.lines += 1;
            }
            op => all.take_self(op, acting.expect("judge has asked")),
        }
    }

    pub fn compare_admins(&self, read: Read<'_>) {
        let all = &self.admins;
        assert_eq!(read.len(ADMINS), all.accounts.len() as u64);
        for (id, account) in &all.accounts {
            let stored = records::Admin::from(read.get(ADMINS, AdminId(*id)).expect("it is there"));
            let stored = (stored.username, stored.phc, stored.sealed, stored.last_step, stored.codes);
            let account = account.clone();
            assert_eq!(stored, (account.name, account.phc, account.sealed, account.last_step, account.codes));
        }
        for session in (0..12).map(|byte| [byte; 32]) {
            let got = live(read, &session, self.at).ok().map(|(id, _)| id.0);
            assert_eq!(got, all.live(&session, self.at), "whose session it is");
        }
        assert_eq!(read.len(ADMIN_SESSIONS), all.sessions.len() as u64);
        assert_eq!(read.len(ADMIN_CHALLENGES), all.challenges.len() as u64);
        // Those that are over may have been forgotten.
        let counted = |(_, (_, window, locked)): &(&String, &(u64, u64, u64))| self.at < *window.max(locked);
        for (source, (count, window, locked)) in all.failures.iter().filter(counted) {
            let stored = records::AdminFailures::from(read.get(ADMIN_FAILURES, source).expect("it counts"));
            let stored = (u64::from(stored.count), stored.window_until, stored.locked_until);
            assert_eq!(stored, (*count, *window, *locked));
        }
        let told = || read.scan(ADMIN_AUDIT, ()).map(|(_, line)| line.action.to_string()).collect::<Vec<_>>();
        assert_eq!(read.len(ADMIN_AUDIT), all.lines, "every change stands in the log: {:?}", told());
    }
}

impl Admins {
    fn begin(&mut self, admin: u64, new: &NewAdminSession, at: u64) {
        self.sessions.retain(|_, known| known.expires_at > at);
        let session = Session { admin, expires_at: at + new.life_ms, is_ended: false };
        self.sessions.insert(new.hash.0, session);
        self.failures.remove(&new.source);
        self.lines += 1;
    }

    fn end(&mut self, admin: u64, but: Option<&[u8; 32]>) {
        for (hash, session) in &mut self.sessions {
            session.is_ended |= session.admin == admin && but != Some(hash);
        }
        self.challenges.retain(|_, known| known.admin != admin);
    }

    fn fail(&mut self, op: &AdminFailed, at: u64) {
        if let Some((hash, _)) = op.challenge {
            self.challenges.get_mut(&hash).expect("judge has found it").failures += 1;
        }
        let (count, window, locked) = self.failures.get(&op.source).copied().unwrap_or_default();
        let (count, window) =
            if locked != 0 || window <= at { (0, at + op.guesses.window_ms) } else { (count, window) };
        let locked = if count + 1 >= op.guesses.count_max { at + op.guesses.lockout_ms } else { 0 };
        self.failures.insert(op.source.clone(), (count + 1, window, locked));
    }

    fn take_self(&mut self, op: &admin::Op, admin: u64) {
        let account = self.accounts.get_mut(&admin).expect("who acts is there");
        match op {
            admin::Op::AdminPasswordChange(op) => {
                account.phc.clone_from(&op.phc.0);
                self.end(admin, Some(&op.session.0));
            }
            admin::Op::AdminOtpDisable(op) => {
                spend(account, &op.proof);
                (account.sealed, account.codes) = (Vec::new(), Vec::new());
            }
            admin::Op::AdminCodesRenew(op) => account.codes.clone_from(&op.codes.0),
            _ => {}
        }
    }
}
