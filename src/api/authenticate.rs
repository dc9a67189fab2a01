//! From the `Authorization` header to a principal, and the secrets that stand in it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::{memchr, memchr2};

use super::ctx::Principal;
use super::identity::rules::default_tier;
use crate::config::Config;
use crate::domain::identity::right::Kind;
use crate::domain::identity::{credential, tier, token};
use crate::domain::{Refusal, Result};
use crate::id::TokenId;
use crate::runtime::random;
use crate::store::Read;
use crate::store::records::ArchivedUser;
use crate::wire::http::Head;

pub use crate::domain::identity::credential::{hash_secret, require_present, require_usable};

/// Bytes of randomness in the token of a session, and in that of a bot: 43 and 64 characters.
pub const SESSION_SECRET_LEN: usize = 32;
pub const BOT_SECRET_LEN: usize = 48;

/// The secret part of a token.
pub fn new_secret<const LEN: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random::bytes::<LEN>())
}

/// The token of a request: `Bearer` or `Bot`, one header, no list.
///
/// # Errors
/// 401 when it is missing, given twice, or of another scheme.
pub fn bearer<'r>(head: &Head<'r>) -> Result<&'r str> {
    let mut values = head.header_all("authorization");
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unauthorized.into());
    };
    // Bytes, as this runs for every request: `str` looks for characters several times slower.
    let text = value.trim_ascii();
    let blank = memchr(b' ', text).ok_or(Refusal::Unauthorized)?;
    let (scheme, token) = (&text[..blank], text[blank..].trim_ascii());
    let known = scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"bot");
    if !known || token.is_empty() || memchr2(b',', b' ', token).is_some() {
        return Err(Refusal::Unauthorized.into());
    }
    std::str::from_utf8(token).map_err(|_| Refusal::Unauthorized.into())
}

/// The cookie that pages keep the token in, so that what they show can be fetched without a header.
const COOKIE: &str = "plexichat_token";

/// The same where a page cannot give a header: it may stand in a cookie.
///
/// # Errors
/// As [`bearer`].
pub fn bearer_or_cookie<'r>(head: &Head<'r>) -> Result<&'r str> {
    if head.header("authorization").is_some() {
        return bearer(head);
    }
    let cookies = head.header_all("cookie").flat_map(|line| line.split(|&byte| byte == b';'));
    let mut values = cookies.filter_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    });
    values.next().filter(|token| !token.is_empty()).ok_or(Refusal::Unauthorized.into())
}

/// Whose live login session a token is, or which bot's it is, whatever the state of the account.
///
/// # Errors
/// 401 when it is unknown, wrong, expired or revoked.
pub fn verify<'a>(
    read: Read<'a>,
    token: &str,
    now_ms: u64,
    void_up_to: TokenId,
    config: &Config,
) -> Result<(Principal, &'a ArchivedUser)> {
    let verified = credential::verify(read, token, now_ms, void_up_to)?;
    let credential::Verified { user_id, token_id, token, user } = verified;
    let touch_due = token::touch_due(token, now_ms);
    let kind = if user.is_bot() { Kind::Bot } else { Kind::Person };
    let tier = tier::in_force(user, now_ms, || default_tier(config));
    Ok((Principal { user_id, token_id, kind, tier, touch_due }, user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    fn check(headers: &str, want: Option<&str>) {
        let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!(bearer(&head).ok(), want, "{headers:?}");
    }

    #[test]
    fn tokens_are_found_in_a_cookie() {
        let check = |headers: &str, want: Option<&str>| {
            let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
            let mut slots = header_slots();
            let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
            assert_eq!(bearer_or_cookie(&head).ok(), want, "{headers:?}");
        };
        check("Cookie: plexichat_token=1.abc\r\n", Some("1.abc"));
        check("Cookie: a=b; plexichat_token=1.abc; c=d\r\n", Some("1.abc"));
        check("Cookie: a=b\r\nCookie: plexichat_token=1.abc\r\n", Some("1.abc"));
        check("Authorization: Bearer 2.x\r\nCookie: plexichat_token=1.abc\r\n", Some("2.x"));
        for refused in [
            "",
            "Cookie: plexichat_token=\r\n",
            "Cookie: xplexichat_token=1.abc\r\n",
            "Cookie: plexichat_tokens=1.abc\r\n",
            "Authorization: x\r\nCookie: plexichat_token=1.abc\r\n",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn tokens_are_found_in_their_header() {
        check("Authorization: Bearer 1.abc\r\n", Some("1.abc"));
        check("authorization: bOT   1.abc  \r\n", Some("1.abc"));
        for refused in [
            "",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: 1.abc\r\n",
            "Authorization: Basic 1.abc\r\n",
            "Authorization: Bearer 1.abc 2.abc\r\n",
            "Authorization: Bearer 1.abc,2.abc\r\n",
            "Authorization: Bearer 1.abc\r\nAuthorization: Bearer 1.abc\r\n",
        ] {
            check(refused, None);
        }
    }
}
