//! Request target: path segments and query values, percent-decoded on demand (RFC 9112 §3.2, RFC 3986).
//!
//! Invariant: a `Target` holds only valid escapes of valid UTF-8 in its path, so segments cannot fail.
//! Dot segments and doubled slashes are not resolved: they simply have no route.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};
use percent_encoding::percent_decode;

use super::{HttpError, Method};
use crate::limits::TARGET_LEN_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Undecoded, begins with `/`; `*` for a server-wide OPTIONS.
    pub path: &'a str,
    pub query: Query<'a>,
}

/// `key=value&key=value`, undecoded, without the `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a>(pub &'a str);

impl<'a> Target<'a> {
    pub(super) fn parse(raw: &'a str, method: Method) -> Result<Self, HttpError> {
        if raw.len() > TARGET_LEN_MAX {
            return Err(HttpError::TargetTooLong);
        }
        if raw == "*" && method == Method::Options {
            return Ok(Target { path: raw, query: Query("") });
        }
        let origin = if raw.starts_with('/') { raw } else { after_authority(raw)? };
        if memchr(b'#', raw.as_bytes()).is_some() {
            return Err(HttpError::Target);
        }
        let (path, query) = match memchr(b'?', origin.as_bytes()) {
            Some(at) => (&origin[..at], &origin[at + 1..]),
            None => (origin, ""),
        };
        if memchr(b'%', path.as_bytes()).is_some() {
            decode_percent(path)?;
        }
        Ok(Target { path: if path.is_empty() { "/" } else { path }, query: Query(query) })
    }

    /// Decoded segments; one trailing slash is not a segment. `/` has none, `//` and `/a//b` have empty ones.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> + Clone + use<'a> {
        self.raw_segments().map(|raw| match memchr(b'%', raw.as_bytes()) {
            None => Cow::Borrowed(raw),
            // Lossless: `parse` refused paths that are not UTF-8, and a `/` cannot split a character.
            Some(_) => Cow::Owned(percent_decode(raw.as_bytes()).decode_utf8_lossy().into_owned()),
        })
    }

    /// Like `segments`, undecoded: what a router compares with its fixed words.
    pub fn raw_segments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        let mut rest = (!path.is_empty()).then(|| path.strip_suffix('/').unwrap_or(path));
        // Every request is looked at so. They are short: a search that begins with a look at its input is slower.
        std::iter::from_fn(move || {
            let path = rest?;
            let (segment, left) = match path.bytes().position(|byte| byte == b'/') {
                Some(at) => (&path[..at], Some(&path[at + 1..])),
                None => (path, None),
            };
            rest = left;
            Some(segment)
        })
    }
}

impl<'a> Query<'a> {
    /// The first value of `name`, decoded; `?name` and `?name=` are both empty.
    /// Malformed escapes in that value, or in a key before it, are `HttpError::Escape`.
    pub fn get(&self, name: &str) -> Result<Option<Cow<'a, str>>, HttpError> {
        for (key, value) in self.raw_pairs() {
            if key == name || (is_encoded(key) && decode_form(key)? == name) {
                return decode_form(value).map(Some);
            }
        }
        Ok(None)
    }

    /// Every pair, decoded, in order.
    pub fn pairs(&self) -> impl Iterator<Item = Result<(Cow<'a, str>, Cow<'a, str>), HttpError>> + use<'a> {
        self.raw_pairs().map(|(key, value)| Ok((decode_form(key)?, decode_form(value)?)))
    }

    fn raw_pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// What follows `http://authority`. Proxies send this form and every server must take it (RFC 9112 §3.2.2);
/// the authority itself decides nothing here.
fn after_authority(raw: &str) -> Result<&str, HttpError> {
    let (scheme, rest) = raw.split_once("://").ok_or(HttpError::Target)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HttpError::Target);
    }
    let end = memchr2(b'/', b'?', rest.as_bytes()).unwrap_or(rest.len());
    if !is_authority(&rest.as_bytes()[..end]) || end == 0 {
        return Err(HttpError::Target);
    }
    Ok(&rest[end..])
}

/// Bytes of `host[:port]` (RFC 3986 §3.2.2). No comma, although a reg-name may hold one: it is how merged Host
/// headers look. No user information.
pub(super) fn is_authority(host: &[u8]) -> bool {
    host.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+;=".contains(&b))
}

fn is_encoded(text: &str) -> bool {
    memchr2(b'%', b'+', text.as_bytes()).is_some()
}

/// `application/x-www-form-urlencoded`: percent escapes, and `+` for a space.
fn decode_form(text: &str) -> Result<Cow<'_, str>, HttpError> {
    if !is_encoded(text) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    decode_percent(&spaced).map(|decoded| Cow::Owned(decoded.into_owned()))
}

/// Stricter than `percent_decode`, which lets `%zz` through as text.
fn decode_percent(text: &str) -> Result<Cow<'_, str>, HttpError> {
    let bytes = text.as_bytes();
    let escapes_valid = memchr_iter(b'%', bytes)
        .all(|at| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)));
    if !escapes_valid {
        return Err(HttpError::Escape);
    }
    percent_decode(bytes).decode_utf8().map_err(|_| HttpError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, want: Result<(&[&str], &str), HttpError>) {
        let got = Target::parse(raw, Method::Get);
        let got = got.map(|target| (target.segments().collect::<Vec<_>>(), target.query.0));
        let want = want.map(|(segments, query)| (segments.iter().map(|&s| Cow::from(s)).collect(), query));
        assert_eq!(got, want, "{raw}");
    }

    #[test]
    fn paths() {
        check("/", Ok((&[], "")));
        check("/a", Ok((&["a"], "")));
        check("/a/", Ok((&["a"], "")));
        check("/a/b?x=1", Ok((&["a", "b"], "x=1")));
        check("/a?", Ok((&["a"], "")));
        check("/a?b?c/d", Ok((&["a"], "b?c/d")));
        check("//", Ok((&[""], "")));
        check("//a", Ok((&["", "a"], "")));
        check("/a//", Ok((&["a", ""], "")));
        check("/../%2e%2E/.", Ok((&["..", "..", "."], "")));
        check("/a%2Fb/c", Ok((&["a/b", "c"], "")));
        check("/a+b", Ok((&["a+b"], "")));
        check("/%F0%9F%91%8D/é", Ok((&["👍", "é"], "")));
        check("http://host", Ok((&[], "")));
        check("HTTPS://host:1/a/b?q", Ok((&["a", "b"], "q")));
        check("http://[::1]:80?q", Ok((&[], "q")));
    }

    #[test]
    fn bad_paths() {
        for raw in
            ["a", "*", "host:443", "ftp://host/", "http:///a", "http://u@h/", "/a#b", "http://a,b/", "?a"]
        {
            check(raw, Err(HttpError::Target));
        }
        for raw in ["/%", "/a%2", "/%zz", "/%+1", "/%ff", "/%c3/%a9", "/%E2%28"] {
            check(raw, Err(HttpError::Escape));
        }
        let mut long = "/".repeat(TARGET_LEN_MAX);
        assert!(Target::parse(&long, Method::Get).is_ok());
        long.push('a');
        check(&long, Err(HttpError::TargetTooLong));
    }

    #[test]
    fn asterisk_is_for_options() {
        let target = Target::parse("*", Method::Options).unwrap();
        assert_eq!(target.segments().collect::<Vec<_>>(), ["*"]);
        assert_eq!(Target::parse("*?a", Method::Options), Err(HttpError::Target));
    }

    #[test]
    fn queries() {
        for (query, name, want) in [
            ("", "a", Ok(None)),
            ("a=1", "a", Ok(Some("1"))),
            ("a=1&a=2", "a", Ok(Some("1"))),
            ("&&b=1&a", "a", Ok(Some(""))),
            ("a=", "a", Ok(Some(""))),
            ("ab=1", "a", Ok(None)),
            ("a=b=c", "a", Ok(Some("b=c"))),
            ("a=x+y%2Bz", "a", Ok(Some("x y+z"))),
            ("%61=1", "a", Ok(Some("1"))),
            ("a+b=1", "a b", Ok(Some("1"))),
            ("a=%F0%9F%91%8D", "a", Ok(Some("👍"))),
            ("a=%", "a", Err(HttpError::Escape)),
            ("a=%2", "a", Err(HttpError::Escape)),
            ("a=%gg", "a", Err(HttpError::Escape)),
            ("a=%+2", "a", Err(HttpError::Escape)),
            ("a=%ff", "a", Err(HttpError::Escape)),
            ("%ff=1&a=1", "a", Err(HttpError::Escape)),
            ("b=%ff&a=1", "a", Ok(Some("1"))),
        ] {
            assert_eq!(Query(query).get(name), want.map(|v| v.map(Cow::from)), "{query}");
        }
        let pairs: Result<Vec<_>, _> = Query("a=1&b=%20&c").pairs().collect();
        assert_eq!(
            pairs.unwrap(),
            [("a".into(), "1".into()), ("b".into(), " ".into()), ("c".into(), "".into())]
        );
        assert!(Query("a=1&b=%").pairs().any(|pair| pair.is_err()));
    }

    #[test]
    fn plain_text_is_borrowed() {
        let target = Target::parse("/a?b=c", Method::Get).unwrap();
        assert!(target.segments().all(|segment| matches!(segment, Cow::Borrowed(_))));
        assert!(matches!(target.query.get("b"), Ok(Some(Cow::Borrowed("c")))));
    }
}
