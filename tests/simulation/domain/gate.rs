//! Access tokens: random commands, what they must be answered, whom the gate lets in, and what is kept of their use.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use plexichat::domain::gate::token::{self, Verdict};
use plexichat::domain::gate::usage::{AccessNote, Count, Usage, Use, UseEvent};
use plexichat::domain::identity::credential::{Secret, hash_secret};
use plexichat::domain::{Op, Reply, gate};
use plexichat::id::AccessTokenId;
use plexichat::limits::{ACCESS_SCOPE_COUNT_MAX, ACCESS_TOKEN_COUNT_MAX};
use plexichat::store::Read;
use plexichat::store::records::{AccessUse, scope_kind, scope_mode};
use plexichat::store::tables::{ACCESS_ADDRESSES, ACCESS_EVENTS, ACCESS_TOKENS, ACCESS_USES};

use super::generate::Generator;
use super::model::*;

/// Whose requests are judged.
const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[derive(Clone, Debug)]
struct Token {
    value: u64,
    expires_at: Option<u64>,
    mode: u8,
    /// Its scopes, and those of them that [`IP`] is in.
    scope_count: usize,
    own_count: usize,
    revoked: bool,
    let_in: u64,
    denied: u64,
    addresses: BTreeMap<String, u64>,
    events: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Gate(BTreeMap<u64, Token>);

impl Gate {
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }
}

pub fn value(number: u64) -> String {
    format!("{number:032}")
}

impl Generator<'_> {
    pub fn gate_command(&mut self, model: &Model) -> (u64, Op) {
        let token_id = AccessTokenId(self.id(model.gate.0.keys().copied().collect::<Vec<_>>().into_iter()));
        let op: Op = match self.random.u8(..6) {
            0 | 1 => {
                let networks = ["192.0.2.0/24", "10.0.0.0/8"];
                let scope = |net: &str| token::Scope { kind: scope_kind::CIDR, value: net.into() };
                let scopes = self.maybe(50, |g| vec![scope(networks[g.random.usize(..2)])]);
                token::AccessTokenCreate {
                    name: self.maybe(50, |g| g.name()),
                    description: None,
                    // Few values, so that some are taken.
                    secret_hash: Secret(hash_secret(&value(self.random.u64(..400)))),
                    by: self.maybe(20, |g| g.random.u64(..9)),
                    life_ms: self.maybe(50, |g| g.random.u64(1..10_000_000)),
                    scope_mode: self.random.u8(..3),
                    scopes: scopes.unwrap_or_default(),
                }
                .into()
            }
            2 | 3 => token::AccessTokenRevoke { token_id, by: None }.into(),
            _ => {
                let of = Use { ip_address: format!("192.0.2.{}", self.random.u8(..4)), ..Use::default() };
                let count = Count { name: of.ip_address.clone(), let_in: 2, denied: 1 };
                let usage = Usage {
                    token_id,
                    let_in: 2,
                    denied: 1,
                    last: Some(of.clone()),
                    addresses: vec![count],
                    paths: Vec::new(),
                    events: vec![UseEvent { of, ..UseEvent::default() }],
                };
                AccessNote { usages: vec![usage] }.into()
            }
        };
        (self.system(model), op)
    }
}

fn number_of(hash: &[u8; 32]) -> u64 {
    (0..400).find(|number| hash_secret(&value(*number)) == *hash).expect("it is one of these")
}

impl Model {
    pub fn judge_gate(&self, actor: u64, op: &gate::Op) -> Result<Want, Refused> {
        unless(actor != 0, FORBIDDEN)?;
        match op {
            gate::Op::AccessTokenCreate(op) => {
                let number = number_of(&op.secret_hash.0);
                unless(self.gate.0.values().any(|token| token.value == number), CONFLICT)?;
                let live = self.gate.0.values().filter(|token| self.is_live(token)).count();
                unless(live >= ACCESS_TOKEN_COUNT_MAX, BAD)?;
                Ok(Want::AccessToken)
            }
            gate::Op::AccessTokenRevoke(op) => {
                let token = some(self.gate.0.get(&op.token_id.0), MISSING)?;
                Ok(Want::Changed(!token.revoked))
            }
            gate::Op::AccessNote(_) => Ok(Want::Done),
            gate::Op::AccessTokenEdit(op) => {
                some(self.gate.0.get(&op.token_id.0), MISSING).map(|_| Want::Done)
            }
            gate::Op::AccessTokenRotate(op) => {
                some(self.gate.0.get(&op.token_id.0), MISSING)?;
                let number = number_of(&op.secret_hash.0);
                unless(self.gate.0.values().any(|token| token.value == number), CONFLICT)?;
                Ok(Want::Done)
            }
            gate::Op::AccessScopeAdd(op) => {
                some(self.gate.0.get(&op.token_id.0), MISSING)?;
                let count = self.gate.0[&op.token_id.0].scope_count;
                unless(count >= ACCESS_SCOPE_COUNT_MAX, BAD)?;
                Ok(Want::Any)
            }
            gate::Op::AccessScopeRemove(op) => {
                some(self.gate.0.get(&op.token_id.0), MISSING)?;
                some(self.custody.scopes.get(&(op.token_id.0, op.scope_id.0)), MISSING)?;
                Ok(Want::Done)
            }
            op => Ok(self.judge_address(op).expect("it is one of these")),
        }
    }

    fn is_live(&self, token: &Token) -> bool {
        !token.revoked && token.expires_at.is_none_or(|at| at > self.at)
    }

    pub fn take_gate(&mut self, op: &gate::Op, reply: &Reply) {
        if self.take_address(op) {
            return;
        }
        let at = self.at;
        match (op, reply) {
            (gate::Op::AccessTokenEdit(op), _) => {
                let token = self.gate.0.get_mut(&op.token_id.0).expect("judge found it");
                if let Some(life) = op.life_ms {
                    token.expires_at = life.map(|life_ms| at + life_ms);
                }
                if let Some(mode) = op.scope_mode {
                    token.mode = mode;
                }
            }
            (gate::Op::AccessTokenRotate(op), _) => {
                let value = number_of(&op.secret_hash.0);
                self.gate.0.get_mut(&op.token_id.0).expect("judge found it").value = value;
            }
            (gate::Op::AccessScopeAdd(op), Reply::AccessScope(id)) => {
                let token = self.gate.0.get_mut(&op.token_id.0).expect("judge found it");
                (token.scope_count, token.own_count) = (token.scope_count + 1, token.own_count + 1);
                self.custody.scopes.insert((op.token_id.0, id.0));
            }
            (gate::Op::AccessScopeRemove(op), _) => {
                let token = self.gate.0.get_mut(&op.token_id.0).expect("judge found it");
                (token.scope_count, token.own_count) = (token.scope_count - 1, token.own_count - 1);
                self.custody.scopes.remove(&(op.token_id.0, op.scope_id.0));
            }
            (gate::Op::AccessTokenCreate(op), Reply::AccessToken(id)) => {
                let own_count = op.scopes.iter().filter(|scope| scope.value == "192.0.2.0/24").count();
                let token = Token {
                    value: number_of(&op.secret_hash.0),
                    expires_at: op.life_ms.map(|life_ms| self.at + life_ms),
                    mode: op.scope_mode,
                    scope_count: op.scopes.len(),
                    own_count,
                    revoked: false,
                    let_in: 0,
                    denied: 0,
                    addresses: BTreeMap::new(),
                    events: 0,
                };
                assert!(self.gate.0.insert(id.0, token).is_none());
            }
            (gate::Op::AccessTokenRevoke(op), _) => {
                self.gate.0.get_mut(&op.token_id.0).expect("judge found it").revoked = true;
            }
            (gate::Op::AccessNote(op), _) => {
                for usage in &op.usages {
                    let Some(token) = self.gate.0.get_mut(&usage.token_id.0) else { continue };
                    token.let_in += usage.let_in;
                    token.denied += usage.denied;
                    token.events += usage.events.len() as u64;
                    for count in &usage.addresses {
                        *token.addresses.entry(count.name.clone()).or_default() += count.let_in;
                    }
                }
            }
            (op, reply) => unreachable!("{reply:?} to {op:?}"),
        }
    }

    pub fn compare_gate(&self, read: Read<'_>) {
        let is_closed = self.gate.0.values().any(|token| self.is_live(token));
        assert_eq!(
            token::closed_until(read) > self.at,
            is_closed,
            "the gate is closed while a token is good"
        );
        assert_eq!(read.len(ACCESS_TOKENS), self.gate.0.len() as u64);
        for (id, token) in &self.gate.0 {
            let judged = token::judge(read, &value(token.value), IP, self.at).expect("it is a token");
            assert_eq!(judged.0.0, *id);
            let want = match token {
                Token { revoked: true, .. } => Some(Verdict::Revoked),
                token if !self.is_live(token) => Some(Verdict::Expired),
                token
                    if token.mode == scope_mode::ENFORCE && token.scope_count > 0 && token.own_count == 0 =>
                {
                    Some(Verdict::OutOfScope)
                }
                _ => None,
            };
            let is_right = want.map_or(matches!(judged.1, Verdict::LetIn(_)), |want| want == judged.1);
            assert!(is_right, "{:?} of {token:?}", judged.1);
            let token_id = AccessTokenId(*id);
            let used = read.get(ACCESS_USES, token_id).map(AccessUse::from).unwrap_or_default();
            assert_eq!((used.use_count, used.denied_count), (token.let_in, token.denied));
            assert_eq!(read.scan(ACCESS_EVENTS, token_id).count() as u64, token.events);
            let stored = read.scan(ACCESS_ADDRESSES, token_id);
            let stored: BTreeMap<_, _> =
                stored.map(|((_, name), count)| (name, count.let_in.to_native())).collect();
            assert_eq!(stored, token.addresses);
        }
    }
}
