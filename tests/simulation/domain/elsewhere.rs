//! Signing in elsewhere: random commands, what they must be answered, and what becomes of them.

use std::collections::BTreeMap;

use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::oauth::{Newcomer, SignInBegin, SignInEnd, SignInTake};
use plexichat::domain::{Admitted, Op, Reply, identity};
use plexichat::id::{SignInId, UserId};
use plexichat::store::Read;
use plexichat::store::records::{account, dm_policy, mail_kind, provider, tier};
use plexichat::store::tables::{PROVIDER_LINKS, PROVIDER_SIGN_INS};

use super::generate::{Generator, USERS_MAX};
use super::model::*;

const NAME_LEN_MAX: usize = 12;

/// All there is of it.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// By id: where it was begun, when it is over.
    open: BTreeMap<u64, (u64, u64)>,
    /// By user and provider.
    links: BTreeMap<(u64, u8), String>,
}

impl Generator<'_> {
    pub fn elsewhere_command(&mut self, model: &Model) -> (u64, Op) {
        let code = [provider::GOOGLE, provider::GITLAB][self.random.usize(..2)];
        let op: Op = match self.random.u32(..10) {
            0..3 => SignInBegin {
                provider: code,
                secret_hash: Secret([4; 32]),
                redirect_hash: [5; 32],
                challenge: self.maybe(50, |_| [6; 32]),
                source: self.random.u64(..3),
                source_max: self.random.u64(1..4),
                life_ms: self.random.u64(..600_000),
            }
            .into(),
            3..5 => {
                let open = self.pick(model.elsewhere.open.keys().copied());
                SignInTake { sign_in_id: SignInId(open.unwrap_or_else(|| self.junk())) }.into()
            }
            _ => self.end(model, code).into(),
        };
        (self.system(model), op)
    }

    fn end(&mut self, model: &Model, code: u8) -> SignInEnd {
        let known = self.pick(model.elsewhere.links.iter().filter(|((_, of), _)| *of == code));
        let known = known.filter(|_| self.chance(40)).map(|(_, subject)| subject.clone());
        let of_somebody = self.pick(model.users.values().map(|user| user.email.clone()));
        let address = of_somebody.filter(|email| !email.is_empty() && self.chance(60));
        let email = match address {
            Some(address) => identity::account::Email { key: address.to_lowercase(), address },
            None => self.email(),
        };
        let active = model.users.values().filter(|user| user.state == account::ACTIVE).count();
        let keys =
            if self.chance(80) { vec!["nobody@example.com".into(), email.key.clone()] } else { Vec::new() };
        // Only with the address under which he is looked for.
        let is_new = active < USERS_MAX && !keys.is_empty() && self.chance(70);
        let newcomer = is_new.then(|| Newcomer {
            username: self.username(),
            username_len_max: NAME_LEN_MAX as u64,
            email,
            age_verified: self.random.bool(),
            tier: tier::STANDARD,
            badges: Vec::new(),
        });
        SignInEnd {
            provider: code,
            subject: known.unwrap_or_else(|| format!("subject{}", self.random.u8(..40))),
            keys,
            newcomer: newcomer.map(Box::new),
            token: Box::new(self.token()),
            challenge_hash: Secret([7; 32]),
            challenge_life_ms: self.random.u64(..600_000),
        }
    }
}

impl Model {
    /// Whom a provider's id means.
    fn linked(&self, op: &SignInEnd) -> Option<u64> {
        let mut links = self.elsewhere.links.iter();
        links
            .find(|((_, code), known)| *code == op.provider && **known == op.subject)
            .map(|((user, _), _)| *user)
    }

    /// Whom the address means.
    fn addressed(&self, op: &SignInEnd) -> Option<u64> {
        let has = |user: &User, key: &str| !user.email.is_empty() && user.email.to_lowercase() == key;
        op.keys.iter().find_map(|key| self.users.iter().find(|(_, user)| has(user, key)).map(|(id, _)| *id))
    }

    /// `None` when it is no command of these.
    pub fn judge_elsewhere(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let verdict = match op {
            identity::Op::SignInBegin(op) => {
                let mut ends = self.elsewhere.open.values();
                let open =
                    ends.by_ref().filter(|(source, end)| *source == op.source && *end > self.at).count();
                unless(open as u64 >= op.source_max, SLOW).map(|()| Want::Any)
            }
            identity::Op::SignInTake(op) => {
                let open = self.elsewhere.open.get(&op.sign_in_id.0);
                Ok(Want::Changed(open.is_some_and(|(_, end)| *end > self.at)))
            }
            identity::Op::SignInEnd(op) => self.judge_end(op),
            _ => return None,
        };
        Some(if actor == 0 { verdict } else { Err(FORBIDDEN) })
    }

    fn judge_end(&self, op: &SignInEnd) -> Result<Want, Refused> {
        let linked = self.linked(op);
        match linked.or_else(|| self.addressed(op)) {
            Some(user) => {
                let user = &self.users[&user];
                unless(user.state != account::ACTIVE, FORBIDDEN)?;
                unless(linked.is_none() && !user.verified, FORBIDDEN)?;
            }
            None => unless(op.newcomer.is_none(), UNKNOWN_TOKEN)?,
        }
        Ok(Want::Any)
    }

    /// Makes the change; false when it is no command of these.
    pub fn take_elsewhere(&mut self, op: &identity::Op, reply: &Reply) -> bool {
        match op {
            identity::Op::SignInBegin(op) => {
                let Reply::SignIn(id) = reply else { unreachable!() };
                self.elsewhere.open.insert(id.0, (op.source, self.at + op.life_ms));
            }
            identity::Op::SignInTake(op) => drop(self.elsewhere.open.remove(&op.sign_in_id.0)),
            identity::Op::SignInEnd(op) => {
                let Reply::Admitted(how) = reply else { unreachable!() };
                self.end(op, *how);
            }
            _ => return false,
        }
        true
    }

    fn end(&mut self, op: &SignInEnd, how: Admitted) {
        let linked = self.linked(op);
        let user = match linked.or_else(|| self.addressed(op)) {
            Some(user) => user,
            None => {
                let Admitted::Session(user_id, _) = how else { panic!("somebody new has no second factor") };
                self.welcome(user_id.0, op.newcomer.as_ref().unwrap());
                user_id.0
            }
        };
        if linked.is_none() {
            self.elsewhere.links.insert((user, op.provider), op.subject.clone());
            // Who is new is told nothing.
            if self.users[&user].phc != NEW {
                self.tell(user, mail_kind::PROVIDER_LINKED);
            }
        }
        if self.users[&user].phc == NEW {
            self.user(user).phc.clear();
        }
        match how {
            Admitted::Session(user_id, token_id) => {
                assert_eq!((user_id.0, self.asks_for_more(user)), (user, false));
                self.grant(user, token_id.0, &op.token);
            }
            Admitted::Challenge(id) => {
                assert!(self.asks_for_more(user));
                self.ask_for_more(user, id, op.challenge_life_ms);
            }
        }
    }

    fn welcome(&mut self, user: u64, new: &Newcomer) {
        let name = self.free_name(&new.username);
        self.users.insert(
            user,
            User {
                name,
                email: new.email.address.clone(),
                verified: true,
                phc: NEW.into(),
                dm_policy: dm_policy::EVERYONE,
                ..User::default()
            },
        );
    }

    /// The first that is free; there are never so many of one name that none of these is.
    fn free_name(&self, base: &str) -> String {
        let numbered = (2..=20).map(|number: u32| {
            let number = number.to_string();
            let kept: String = base.chars().take(NAME_LEN_MAX - number.len()).collect();
            format!("{kept}{number}")
        });
        let mut names = [base.to_owned()].into_iter().chain(numbered);
        names.find(|name| self.free(Some(name), None, 0).is_ok()).expect("one of them is free")
    }

    pub fn forget_elsewhere(&mut self, user: u64) {
        self.elsewhere.links.retain(|(of, _), _| *of != user);
    }

    pub fn compare_elsewhere(&self, read: Read<'_>) {
        let open = self.elsewhere.open.iter().filter(|(_, (_, end))| *end > self.at);
        let want: BTreeMap<u64, (u64, u64)> = open.map(|(id, found)| (*id, *found)).collect();
        let stored = read
            .scan(PROVIDER_SIGN_INS, ())
            .map(|(id, found)| (id.0, (found.source.to_native(), found.expires_at.to_native())));
        let got: BTreeMap<_, _> = stored.filter(|(_, (_, end))| *end > self.at).collect();
        assert_eq!(got, want, "sign-ins that are open");
        let is_active = |user: &u64| self.users[user].state == account::ACTIVE;
        let want = self.elsewhere.links.iter().filter(|((user, _), _)| is_active(user));
        let want: BTreeMap<_, _> =
            want.map(|((user, code), name)| ((UserId(*user), *code), name.clone())).collect();
        let stored = read.scan(PROVIDER_LINKS, ()).map(|(key, link)| (key, link.subject.to_string()));
        let got: BTreeMap<_, _> = stored.filter(|((user, _), _)| is_active(&user.0)).collect();
        assert_eq!(got, want, "what people are elsewhere");
    }
}

/// Marks an account that this very command makes.
const NEW: &str = "\0new";
