//! Access tokens: made, listed, revoked.

use super::{LISTED_COUNT_MAX, Place, date, read_days, table};
use crate::api::authenticate::{hash_secret, new_secret};
use crate::api::body::Body;
use crate::api::fields::{Chars, Needed, Text, fields};
use crate::domain::gate::token::{
    AccessTokenCreate, AccessTokenRevoke, Scope, closed_until, find, is_live, require_room, scope,
};
use crate::domain::identity::credential::Secret;
use crate::domain::time::Offset;
use crate::domain::{Error, Result};
use crate::id::{AccessTokenId, parse_id};
use crate::limits::ACCESS_SCOPE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedAccessToken, scope_kind, scope_mode};
use crate::store::tables::{ACCESS_SCOPES, ACCESS_TOKENS, ACCESS_USES};

/// Bytes of randomness: 32 characters.
const SECRET_LEN: usize = 24;
const NAME_CHARS_MAX: usize = 100;
const DAY_MS: u64 = 86_400_000;

fields! {
    /// A new token.
    pub ACCESS_TOKEN_CREATE: AccessTokenCreateRequest {
        name: Text = Text(Chars::UpTo(NAME_CHARS_MAX)),
        /// How long it is good.
        days: Text = Text(Chars::Any),
        /// Addresses and networks, with commas between them.
        scope: Text = Text(Chars::Any),
        /// What becomes of other addresses.
        mode: Text = Text(Chars::Any),
    }
}

fields! {
    /// Which token.
    pub ACCESS_TOKEN: AccessTokenRequest {
        id: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

pub async fn create(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let fields = &ACCESS_TOKEN_CREATE;
    let name = fields.name.read(body)?.map(str::trim).filter(|name| !name.is_empty());
    let life_ms = fields.days.read(body)?.map(read_days).transpose()?.map(|days| days * DAY_MS);
    let scopes = fields.scope.read(body)?.map(read_scopes).transpose()?.unwrap_or_default();
    let scope_mode = read_mode(fields.mode.read(body)?, &scopes)?;
    let secret = new_secret::<SECRET_LEN>();
    let secret_hash = hash_secret(&secret);
    let at = place.moment().steady_ms;
    let was_closed = place.look(|read| {
        require_room(read, &secret_hash, at)?;
        Ok(at < closed_until(read))
    })?;
    let op = AccessTokenCreate {
        name: name.map(str::to_string),
        description: None,
        secret_hash: Secret(secret_hash),
        by: None,
        life_ms,
        scope_mode,
        scopes,
    };
    let token_id = place.submit(op).await?;
    let closed = match was_closed {
        true => "",
        false => "The API is closed now: clients need a token in the header X-API-Access-Token.\n",
    };
    Ok(format!("{closed}Access token {token_id}, which is shown only now:\n{secret}\n"))
}

fn read_scopes(text: &str) -> Result<Vec<Scope>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let kind = |part: &str| if part.contains('/') { scope_kind::CIDR } else { scope_kind::IP };
    let scopes: Vec<Scope> = parts
        .map(|part| {
            let wrong = |_| Error::invalid("scope", format_args!("{part} is no address and no network"));
            scope(kind(part), part).map_err(wrong)
        })
        .collect::<Result<_>>()?;
    if scopes.len() > ACCESS_SCOPE_COUNT_MAX {
        return Err(Error::invalid("scope", format_args!("must be at most {ACCESS_SCOPE_COUNT_MAX}")));
    }
    Ok(scopes)
}

/// Who names addresses and says no more wants others refused.
fn read_mode(text: Option<&str>, scopes: &[Scope]) -> Result<u8> {
    let Some(text) = text else {
        return Ok(if scopes.is_empty() { scope_mode::NONE } else { scope_mode::ENFORCE });
    };
    scope_mode::code(text).ok_or_else(|| Error::invalid("mode", "must be none, monitor or enforce"))
}

pub async fn list(place: &dyn Place, _: &Body<'_>) -> Result<String> {
    let (at, offset) = (place.moment().steady_ms, place.moment().offset());
    place.look(|read| {
        let tokens = read.scan_rev(ACCESS_TOKENS, ()).take(LISTED_COUNT_MAX);
        let rows: Vec<[String; 7]> = tokens.map(|(id, token)| row(read, id, token, at, offset)).collect();
        let head = ["ID", "NAME", "STATE", "UNTIL", "FROM", "USED", "LAST USED"];
        Ok(table(head, &rows, "There are no access tokens: the API is open."))
    })
}

fn row(
    read: Read<'_>,
    token_id: AccessTokenId,
    token: &ArchivedAccessToken,
    at: u64,
    offset: Offset,
) -> [String; 7] {
    let state = match () {
        () if token.revoked_at.is_some() => "revoked",
        () if !is_live(token, at) => "expired",
        () => "active",
    };
    let until = token.expires_at.as_ref().map(|at| date(offset.shown(at.to_native())));
    let scopes = read.scan(ACCESS_SCOPES, token_id).take(ACCESS_SCOPE_COUNT_MAX);
    let scopes: Vec<&str> = scopes.map(|(_, scope)| &*scope.value).collect();
    let from = match (token.scope_mode, scopes.is_empty()) {
        (scope_mode::NONE, _) | (_, true) => "anywhere".to_string(),
        (scope_mode::MONITOR, false) => format!("anywhere, but watched: {}", scopes.join(",")),
        _ => scopes.join(","),
    };
    let used = read.get(ACCESS_USES, token_id);
    let last = used.and_then(|used| used.last_used_at.as_ref()).map(|at| date(at.to_native()));
    [
        token_id.to_string(),
        token.name.as_deref().unwrap_or("-").to_string(),
        state.to_string(),
        until.unwrap_or_else(|| "for ever".to_string()),
        from,
        used.map_or(0, |used| used.use_count.to_native()).to_string(),
        last.unwrap_or_else(|| "never".to_string()),
    ]
}

pub async fn revoke(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let text = ACCESS_TOKEN.id.read(body)?;
    let none = || Error::new(404, format!("There is no access token {text}"));
    let token_id = AccessTokenId(parse_id(text.trim()).ok_or_else(none)?);
    place.look(|read| find(read, token_id).map(drop).map_err(|_| none()))?;
    let was_good = place.submit(AccessTokenRevoke { token_id, by: None }).await?;
    let at = place.moment().steady_ms;
    let is_open = place.look(|read| Ok(closed_until(read) <= at))?;
    let revoked = if was_good { "is void" } else { "was revoked before" };
    let open = if is_open { " No access token is left: the API is open." } else { "" };
    Ok(format!("Access token {token_id} {revoked}.{open}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, register, text_at};
    use crate::domain::Command;
    use crate::domain::gate::usage::{AccessNote, Count, Usage, Use, UseEvent};
    use crate::id::{AccessTokenId, UserId};
    use crate::limits::{ACCESS_ADDRESS_COUNT_MAX, ACCESS_EVENT_COUNT_MAX};
    use crate::store::tables::*;

    const DAY_MS: u64 = 86_400_000;

    /// Makes one; its id and its value.
    fn create(harness: &Harness, more: &str) -> (String, String) {
        let said = ask(harness, &format!(r#"{{"do":"access_token_create"{more}}}"#)).unwrap();
        let mut lines = said.lines().rev();
        let value = lines.next().unwrap().to_string();
        let id = lines.next().unwrap().split([' ', ',']).nth(2).unwrap().to_string();
        (id, value)
    }

    /// `/users/@me`, by somebody with what he shows.
    fn me(harness: &Harness, account: &Account, shown: &str) -> (u16, String) {
        let head = format!(
            "GET /api/v1/users/@me HTTP/1.1\r\nhost: h\r\nuser-agent: a browser\r\n\
             authorization: Bearer {}\r\n{shown}\r\n",
            account.token
        );
        let response = harness.respond(&head, "");
        (response.status, String::from_utf8(response.body).unwrap())
    }

    fn shown(value: &str) -> String {
        format!("X-API-Access-Token: {value}\r\n")
    }

    /// Ten uses, each from another address.
    fn many(id: &str, round: u64) -> AccessNote {
        let of = |n: u64| Use { ip_address: format!("10.0.{round}.{n}"), ..Use::default() };
        let usage = Usage {
            token_id: AccessTokenId(id.parse().unwrap()),
            let_in: 10,
            addresses: (0..10).map(|n| Count { name: of(n).ip_address, let_in: 1, denied: 0 }).collect(),
            events: (0..10).map(|n| UseEvent { of: of(n), ..UseEvent::default() }).collect(),
            ..Usage::default()
        };
        AccessNote { usages: vec![usage] }
    }

    fn note(harness: &Harness) {
        if let Some(note) = harness.state.gate.take_note() {
            harness.apply(&note).unwrap();
        }
    }

    #[test]
    fn the_gate_closes_with_the_first_and_opens_with_the_last() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        let required = || {
            let body = harness.request("GET", "/capabilities", None, None).1;
            text_at(&body, &["access_token_required"])
        };
        assert_eq!((me(&harness, &ada, "").0, required()), (200, "false".into()));
        let (id, value) = create(&harness, r#","name":"desktop""#);
        assert_eq!(value.len(), 32);
        assert_eq!(required(), "true");
        let (status, body) = me(&harness, &ada, "");
        assert_eq!(
            (status, text_at(&body, &["error", "message"])),
            (401, "API access token required".into())
        );
        assert_eq!(me(&harness, &ada, &shown(&value)).0, 200);
        let twice = shown(&value) + &shown(&value);
        for wrong in [&shown(&"0".repeat(32)), &shown(""), &shown(&"x".repeat(300)), &shown("\u{e9}"), &twice]
        {
            assert_eq!(me(&harness, &ada, wrong).0, 401, "{wrong}");
        }
        // Neither which paths there are, nor who somebody is.
        for line in
            ["GET /nothing", "PUT /users/@me", "OPTIONS /users/@me", "POST /webhooks/1", "GET /search"]
        {
            let (method, path) = line.split_once(' ').unwrap();
            assert_eq!(harness.request(method, path, None, None).0, 401, "{line}");
        }
        for (method, path, want) in [
            ("GET", "/version", 200),
            ("GET", "/health", 200),
            ("GET", "!/", 200),
            ("GET", "!/openapi.json", 200),
            ("GET", "!/nothing", 404),
            ("GET", "/admin/nothing", 404),
            ("GET", "/admin/tickets", 401),
            ("POST", "/webhooks/7/webhook.7.x", 404),
        ] {
            assert_eq!(harness.request(method, path, None, None).0, want, "{method} {path}");
        }
        let (other, second) = create(&harness, "");
        let revoke = |id: &str| ask(&harness, &format!(r#"{{"do":"access_token_revoke","id":"{id}"}}"#));
        assert_eq!(revoke(&id).unwrap(), format!("Access token {id} is void.\n"));
        assert_eq!(me(&harness, &ada, &shown(&value)).0, 401);
        assert_eq!(me(&harness, &ada, &shown(&second)).0, 200);
        assert!(revoke(&other).unwrap().ends_with("the API is open.\n"));
        assert!(revoke(&other).unwrap().contains("was revoked before"));
        assert_eq!((me(&harness, &ada, "").0, required()), (200, "false".into()));
        for id in ["7", "x", ""] {
            assert_eq!(revoke(id).unwrap_err(), format!("There is no access token {id}"));
        }
        let list = ask(&harness, r#"{"do":"access_token_list"}"#).unwrap();
        assert_eq!(list.matches("revoked").count(), 2, "{list}");
    }

    #[test]
    fn a_token_that_has_run_out_opens_it_too() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        let (_, value) = create(&harness, r#","days":"3""#);
        harness.advance(3 * DAY_MS - 1);
        assert_eq!((me(&harness, &ada, "").0, me(&harness, &ada, &shown(&value)).0), (401, 200));
        harness.set_clock(400 * DAY_MS as i64);
        assert_eq!(me(&harness, &ada, "").0, 401, "its life goes by no clock");
        harness.advance(1);
        assert_eq!(me(&harness, &ada, "").0, 200);
        let (_, second) = create(&harness, "");
        assert_eq!((me(&harness, &ada, &shown(&value)).0, me(&harness, &ada, &shown(&second)).0), (401, 200));
        let list = ask(&harness, r#"{"do":"access_token_list"}"#).unwrap();
        assert!(list.contains("expired") && list.contains("for ever"), "{list}");
    }

    #[test]
    fn scopes_bind_as_their_mode_says() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        // Requests come from 127.0.0.1 here.
        for (more, want) in [
            (r#","scope":"127.0.0.1""#, 200),
            (r#","scope":"10.0.0.1, 127.0.0.0/8""#, 200),
            (r#","scope":"127.0.0.2""#, 403),
            (r#","scope":"127.0.0.2","mode":"none""#, 200),
            (r#","scope":"127.0.0.2","mode":"monitor""#, 200),
            (r#","scope":"::/0""#, 403),
            (r#","mode":"enforce""#, 200),
        ] {
            let (_, value) = create(&harness, more);
            assert_eq!(me(&harness, &ada, &shown(&value)).0, want, "{more}");
        }
        note(&harness);
        let snapshot = harness.state.snapshot();
        let events: Vec<_> = snapshot
            .read()
            .scan(ACCESS_EVENTS, ())
            .map(|(_, event)| (event.scope_match.as_ref().copied(), event.reject_reason.as_deref()))
            .collect();
        let refused = (Some(false), Some("scope_mismatch"));
        let matched = (Some(true), None);
        let want = [matched, matched, refused, (None, None), (Some(false), None), refused, (None, None)];
        assert_eq!(events, want);
        for (more, want) in [
            (r#","scope":"nowhere""#, "nowhere is no address"),
            (r#","mode":"strict""#, "none, monitor or enforce"),
            (r#","days":"0""#, "Invalid days"),
            (r#","days":"soon""#, "Invalid days"),
        ] {
            let refused = ask(&harness, &format!(r#"{{"do":"access_token_create"{more}}}"#)).unwrap_err();
            assert!(refused.contains(want), "{refused}");
        }
    }

    #[test]
    fn use_is_noted_in_one_piece_and_within_bounds() {
        let harness = Harness::default();
        let ada = register(&harness, "ada");
        let (id, value) = create(&harness, "");
        (0..100).for_each(|_| drop(me(&harness, &ada, &shown(&value))));
        assert_eq!(harness.state.snapshot().read().len(ACCESS_USES), 0, "a request writes nothing");
        note(&harness);
        assert!(harness.state.gate.take_note().is_none());
        let snapshot = harness.state.snapshot();
        let (_, used) = snapshot.read().scan(ACCESS_USES, ()).next().unwrap();
        assert_eq!((used.use_count.to_native(), used.address_count.to_native()), (100, 1));
        assert_eq!(used.last_path.as_deref(), Some("/users/@me"));
        assert_eq!(used.last_user_agent.as_deref(), Some("a browser"));
        assert_eq!(snapshot.read().len(ACCESS_EVENTS), 8);
        let keys: Vec<_> = snapshot.read().scan(ACCESS_PATHS, ()).keys().collect();
        assert_eq!(keys[0].1, "GET /users/@me");
        // However many addresses there are, and however long it goes on.
        for round in 0..200 {
            let note = many(&id, round);
            harness.apply(&Command::new(UserId(0), note.into())).unwrap();
        }
        let snapshot = harness.state.snapshot();
        assert_eq!(snapshot.read().len(ACCESS_ADDRESSES), ACCESS_ADDRESS_COUNT_MAX);
        assert_eq!(snapshot.read().len(ACCESS_EVENTS), ACCESS_EVENT_COUNT_MAX);
    }
}
