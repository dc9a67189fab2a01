//! The session of a browser, in a cookie, and the token that shows that a form is one of this server's.
//!
//! Before anybody is logged in the cookie holds a secret that is no session, so that the log-in's own form has a token
//! too. Invariant: a form counts when its token is made of the cookie that came with it, and no other site sent it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::api::address::TrustedProxies;
use crate::api::authenticate::{SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::ctx::Ctx;
use crate::domain::admin::session::live;
use crate::wire::http::Head;
use crate::wire::json::Value;

const NAME: &str = "plexichat_admin";
/// As long as the session of an administrator is good.
const LIFE_S: u64 = 8 * 3_600;
/// Characters of a token.
const TOKEN_LEN: usize = 43;
/// What a token of forms is made for.
const PURPOSE: &[u8] = b"plexichat console form";

/// The field of a form that holds its token.
pub(super) const FORM_TOKEN: &str = "form_token";

/// What the cookie holds.
pub(super) fn cookie<'r>(head: &Head<'r>) -> Option<&'r str> {
    let cookies = head.header_all("cookie").flat_map(|line| line.split(|&byte| byte == b';'));
    let mut values = cookies.filter_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    });
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    values.find(|value| value.len() == TOKEN_LEN && value.bytes().all(is_plain))
}

/// What it holds, or is given, before anybody is logged in.
pub(super) fn cookie_or_new(ctx: &mut Ctx<'_>) -> String {
    if let Some(held) = cookie(&ctx.request.head) {
        return held.to_string();
    }
    let secret = new_secret::<SESSION_SECRET_LEN>();
    keep(ctx, &secret);
    secret
}

/// Whether it is the session of an administrator.
pub(super) fn is_live(ctx: &Ctx<'_>, token: &str) -> bool {
    live(ctx.snapshot().read(), &hash_secret(token), ctx.now_ms()).is_ok()
}

/// Has the browser keep a token.
pub(super) fn keep(ctx: &mut Ctx<'_>, token: &str) {
    set(ctx, token, LIFE_S);
}

/// Has it forget the one it has.
pub(super) fn forget(ctx: &mut Ctx<'_>) {
    set(ctx, "", 0);
}

fn set(ctx: &mut Ctx<'_>, value: &str, seconds: u64) {
    let base = base(&ctx.state.config.admin_ui.path);
    let path = if base.is_empty() { "/" } else { base };
    let secure = if TrustedProxies::is_https(&ctx.request.head) { "; Secure" } else { "" };
    let cookie = format!("{NAME}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    ctx.response.headers.push(("set-cookie", cookie));
}

/// `admin_ui.path`, without a slash at its end.
pub(super) fn base(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// The token of forms that go with a cookie.
pub(super) fn form_token(cookie: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(cookie.as_bytes()).expect("a key may have any length");
    mac.update(PURPOSE);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a form was made for the browser that sends it, and nobody else has it sent.
///
/// # Errors
/// A sentence for people.
pub(super) fn check(head: &Head<'_>, sent: &Value<'_>) -> Result<(), &'static str> {
    if !is_own_origin(head) {
        return Err("This form was sent by another site. Behind a proxy, have it pass the Host header on.");
    }
    let given = sent.get(FORM_TOKEN).and_then(Value::as_str).unwrap_or_default();
    let matches = |cookie: &str| bool::from(form_token(cookie).as_bytes().ct_eq(given.as_bytes()));
    if cookie(head).is_some_and(matches) {
        Ok(())
    } else {
        Err("This form is too old, or cookies are switched off. Go back, load the page again, and repeat it.")
    }
}

/// Browsers say where a form comes from, and pages cannot have them say anything else. The word on the relation of sites
/// holds behind a proxy that changes the host, too.
fn is_own_origin(head: &Head<'_>) -> bool {
    match (head.header("sec-fetch-site"), head.header("origin")) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => {
            let host = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
            let own = head.header("host");
            host.is_some_and(|host| own.is_some_and(|own| own.eq_ignore_ascii_case(host)))
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    const COOKIE: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF-";

    fn with<T>(headers: &str, look: impl FnOnce(&Head<'_>) -> T) -> T {
        let text = format!("POST / HTTP/1.1\r\nhost: h:8000\r\n{headers}\r\n").into_bytes();
        let mut slots = header_slots();
        look(&parse_head(&text, &mut slots).unwrap().unwrap())
    }

    #[test]
    fn tokens_are_found_in_their_cookie() {
        let check = |headers: &str, want: Option<&str>| {
            with(headers, |head| assert_eq!(cookie(head), want, "{headers}"));
        };
        check(&format!("cookie: plexichat_admin={COOKIE}\r\n"), Some(COOKIE));
        check(&format!("cookie: a=b; plexichat_admin={COOKIE}; c=d\r\n"), Some(COOKIE));
        check(&format!("cookie: plexichat_admin=short; plexichat_admin={COOKIE}\r\n"), Some(COOKIE));
        for refused in ["", "cookie: plexichat_admin=\r\n", "cookie: plexichat_admin=x\r\n"] {
            check(refused, None);
        }
        check(&format!("cookie: xplexichat_admin={COOKIE}\r\n"), None);
        check(&format!("cookie: plexichat_admin={}\"\r\n", &COOKIE[1..]), None);
    }

    #[test]
    fn forms_of_others_are_refused() {
        let token = form_token(COOKIE);
        let sent =
            |token: &str| Value::Object(vec![(FORM_TOKEN, Value::Str(Box::leak(token.to_string().into())))]);
        let try_with = |headers: &str, token: &str| {
            let headers = format!("cookie: plexichat_admin={COOKIE}\r\n{headers}");
            with(&headers, |head| check(head, &sent(token)).is_ok())
        };
        for fine in [
            "",
            "origin: http://h:8000\r\n",
            "origin: https://H:8000\r\n",
            "origin: https://chat.example\r\nsec-fetch-site: same-origin\r\n",
        ] {
            assert!(try_with(fine, &token), "{fine}");
            assert!(!try_with(fine, ""), "{fine}");
            assert!(!try_with(fine, &token[1..]), "{fine}");
            assert!(!try_with(fine, &form_token(&COOKIE.replace('0', "1"))), "{fine}");
        }
        for foreign in [
            "origin: http://evil.example\r\n",
            "origin: http://h\r\n",
            "origin: http://h:8000.evil.example\r\n",
            "origin: null\r\n",
            "origin: http://h:8000\r\nsec-fetch-site: same-site\r\n",
            "origin: http://h:8000\r\nsec-fetch-site: cross-site\r\n",
            "sec-fetch-site: none\r\n",
        ] {
            assert!(!try_with(foreign, &token), "{foreign}");
        }
        assert!(!with("", |head| check(head, &sent(&token)).is_ok()), "without a cookie");
    }
}
