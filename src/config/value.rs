//! How the value of an option is spelled, in TOML and as text, and what a rule lets in.
//!
//! Owns: types and rules. Invariant: a value that was read satisfies its rule, and prints back to itself.

use std::net::IpAddr;
use toml_edit::Value;

use super::BucketSpec;
use crate::limits;

/// A value as it arrived.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// From the file, typed.
    Toml(&'a Value),
    /// From the environment or a flag: bare text, lists separated by commas.
    Text(&'a str),
}

/// What a value must satisfy beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Any,
    /// Both ends included.
    Range(u64, u64),
    /// A range of bytes; `64GiB` is accepted.
    Bytes(u64, u64),
    /// One of these, in any case.
    Choice(&'static [&'static str]),
    /// Characters, at least and at most.
    Text(usize, usize),
    /// An IP address or `localhost`.
    Address,
    /// A file or folder; `~` is the home folder.
    Path,
    /// Empty, or at least [`SECRET_LEN_MIN`] characters. Never printed.
    Secret,
    /// A secret that others have chosen, or empty. Never printed.
    Credential,
    /// Empty, or a name or an address of a machine.
    Host,
    /// An e-mail address, in ASCII.
    Mailbox,
    /// `a.1.0-49`.
    Version,
    OptionalVersion,
    /// `/api/v1`: begins with a slash, does not end with one.
    Prefix,
    /// Empty or `http://…`, `https://…`.
    HttpUrl,
    /// Empty or `ws://…`, `wss://…`.
    WsUrl,
    /// A list of `http(s)://host[:port]`.
    Origins,
    /// Names of methods or headers (RFC 9110 §5.6.2).
    Tokens,
    /// A list of addresses and CIDR networks.
    Networks,
    /// The same, or `localhost`.
    Sources,
    /// A list, not empty, of `#rrggbb`.
    Colors,
    /// A list of words that rules may look for.
    Words,
    /// A list of `type/subtype`.
    MediaTypes,
    /// A list of `stun:…`, `turn:…` (RFC 7064, RFC 7065).
    IceUrls,
}

/// A shorter secret can be guessed over the network.
pub const SECRET_LEN_MIN: usize = 16;
/// The longest text of one value, and the longest list: nothing sensible comes near.
const TEXT_LEN_MAX: usize = 4096;
const LIST_LEN_MAX: usize = 1000;

impl Rule {
    /// Whether what it lets in is not to be shown.
    pub fn is_secret(self) -> bool {
        matches!(self, Rule::Secret | Rule::Credential)
    }
}

/// A type an option can have.
pub trait Setting: Sized {
    /// How the table spells a default.
    type Literal;
    fn from_literal(literal: Self::Literal) -> Self;
    /// Type and bounds in words.
    fn kind(rule: &Rule) -> String;
    /// # Errors
    /// What was given and what is allowed, without the key.
    fn read(given: &Given<'_>, rule: &Rule) -> Result<Self, String>;
    fn to_toml(&self, rule: &Rule) -> String;
}

impl Setting for bool {
    type Literal = bool;

    fn from_literal(literal: bool) -> bool {
        literal
    }

    fn kind(_: &Rule) -> String {
        "true or false".to_owned()
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<bool, String> {
        match given {
            Given::Toml(Value::Boolean(value)) => Ok(*value.value()),
            Given::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(mismatch::<bool>(given, rule)),
            },
            Given::Toml(_) => Err(mismatch::<bool>(given, rule)),
        }
    }

    fn to_toml(&self, _: &Rule) -> String {
        self.to_string()
    }
}

impl Setting for u64 {
    type Literal = u64;

    fn from_literal(literal: u64) -> u64 {
        literal
    }

    fn kind(rule: &Rule) -> String {
        match rule {
            Rule::Range(min, max) => format!("integer {min}..{max}"),
            Rule::Bytes(min, max) => format!("bytes {}..{}", bytes_text(*min), bytes_text(*max)),
            _ => "integer, not negative".to_owned(),
        }
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<u64, String> {
        let is_bytes = matches!(rule, Rule::Bytes(..));
        let number = match given {
            Given::Toml(Value::Integer(value)) => u64::try_from(*value.value()).ok(),
            Given::Toml(Value::String(value)) if is_bytes => parse_bytes(value.value()),
            Given::Toml(_) => None,
            Given::Text(text) if is_bytes => parse_bytes(text),
            Given::Text(text) => parse_integer(text.trim()),
        };
        let allowed = match *rule {
            Rule::Range(min, max) | Rule::Bytes(min, max) => min..=max,
            _ => 0..=u64::MAX,
        };
        number.filter(|number| allowed.contains(number)).ok_or_else(|| mismatch::<u64>(given, rule))
    }

    fn to_toml(&self, rule: &Rule) -> String {
        match rule {
            Rule::Bytes(..) if *self >= 1024 && self.is_multiple_of(1024) => quote(&bytes_text(*self)),
            _ => self.to_string(),
        }
    }
}

impl Setting for String {
    type Literal = &'static str;

    fn from_literal(literal: &'static str) -> String {
        literal.to_owned()
    }

    fn kind(rule: &Rule) -> String {
        match rule {
            Rule::Choice(values) => values.join("|"),
            Rule::Text(min, max) => format!("text of {min}..{max} characters"),
            Rule::Address => "IP address".to_owned(),
            Rule::Path => "path".to_owned(),
            Rule::Secret => format!("secret of {SECRET_LEN_MIN} characters or more, or empty"),
            Rule::Credential => "secret, or empty".to_owned(),
            Rule::Host => "name or address of a machine, or empty".to_owned(),
            Rule::Mailbox => "e-mail address such as noreply@example.org".to_owned(),
            Rule::Version => "version such as a.1.0-49".to_owned(),
            Rule::OptionalVersion => "version such as a.1.0-49, or empty".to_owned(),
            Rule::Prefix => "path such as /api/v1".to_owned(),
            Rule::HttpUrl => "http:// or https:// URL, or empty".to_owned(),
            Rule::WsUrl => "ws:// or wss:// URL, or empty".to_owned(),
            _ => "text".to_owned(),
        }
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<String, String> {
        let text = match given {
            Given::Toml(Value::String(value)) => value.value().as_str(),
            Given::Text(text) => text,
            Given::Toml(_) => return Err(mismatch::<String>(given, rule)),
        };
        check_text(text, rule).ok_or_else(|| mismatch::<String>(given, rule))
    }

    fn to_toml(&self, _: &Rule) -> String {
        quote(self)
    }
}

impl Setting for Vec<String> {
    type Literal = &'static [&'static str];

    fn from_literal(literal: &'static [&'static str]) -> Vec<String> {
        literal.iter().map(|&text| text.to_owned()).collect()
    }

    fn kind(rule: &Rule) -> String {
        let what = match rule {
            Rule::Origins => "list of origins such as https://example.org",
            Rule::Tokens => "list of names without blanks, or *",
            Rule::Networks => "list of addresses or networks such as 10.0.0.0/8",
            Rule::Sources => "list of addresses, networks such as 10.0.0.0/8, or localhost",
            Rule::Colors => "list, not empty, of colours such as #5865f2",
            Rule::Words => "list of words, each of up to 100 characters",
            Rule::MediaTypes => "list of media types such as image/png",
            Rule::IceUrls => "list of addresses such as stun:stun.example.org:3478 or turns:turn.example.org",
            _ => "list of texts",
        };
        what.to_owned()
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<Vec<String>, String> {
        let wrong = || mismatch::<Vec<String>>(given, rule);
        let texts: Vec<&str> = match given {
            Given::Toml(Value::Array(array)) => {
                array.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?
            }
            Given::Toml(_) => return Err(wrong()),
            Given::Text(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
        };
        if texts.len() > LIST_LEN_MAX || (texts.is_empty() && *rule == Rule::Colors) {
            return Err(wrong());
        }
        let check = |text: &str| {
            check_text(text, rule)
                .ok_or_else(|| format!("`{text}` does not belong in a {}", Self::kind(rule)))
        };
        texts.into_iter().map(check).collect()
    }

    fn to_toml(&self, _: &Rule) -> String {
        let items: Vec<String> = self.iter().map(|text| quote(text)).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Setting for Vec<u64> {
    type Literal = &'static [u64];

    fn from_literal(literal: &'static [u64]) -> Vec<u64> {
        literal.to_vec()
    }

    fn kind(rule: &Rule) -> String {
        format!("list of {}", u64::kind(rule))
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<Vec<u64>, String> {
        let wrong = || mismatch::<Vec<u64>>(given, rule);
        let items: Result<Vec<u64>, String> = match given {
            Given::Toml(Value::Array(array)) => {
                array.iter().map(|item| u64::read(&Given::Toml(item), rule)).collect()
            }
            Given::Toml(_) => return Err(wrong()),
            Given::Text(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| u64::read(&Given::Text(item), rule)).collect()
            }
        };
        items.ok().filter(|items| items.len() <= LIST_LEN_MAX).ok_or_else(wrong)
    }

    fn to_toml(&self, rule: &Rule) -> String {
        let items: Vec<String> = self.iter().map(|item| item.to_toml(rule)).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Setting for BucketSpec {
    type Literal = &'static str;

    fn from_literal(literal: &'static str) -> BucketSpec {
        literal.parse().expect("a test parses every default")
    }

    fn kind(_: &Rule) -> String {
        "rate limit such as \"5+3/5s token; 20/h\", or \"off\"".to_owned()
    }

    fn read(given: &Given<'_>, rule: &Rule) -> Result<BucketSpec, String> {
        let text = match given {
            Given::Toml(Value::String(value)) => value.value().as_str(),
            Given::Text(text) => text,
            Given::Toml(_) => return Err(mismatch::<BucketSpec>(given, rule)),
        };
        text.parse().map_err(|error| format!("{}: {error}", mismatch::<BucketSpec>(given, rule)))
    }

    fn to_toml(&self, _: &Rule) -> String {
        quote(&self.to_string())
    }
}

fn mismatch<T: Setting>(given: &Given<'_>, rule: &Rule) -> String {
    let shown = match given {
        _ if rule.is_secret() => "the value (not shown)".to_owned(),
        Given::Text(text) => format!("`{}`", shorten(text)),
        Given::Toml(Value::String(value)) => format!("\"{}\"", shorten(value.value())),
        Given::Toml(Value::Integer(value)) => format!("{}", value.value()),
        Given::Toml(Value::Boolean(value)) => format!("{}", value.value()),
        Given::Toml(Value::Float(value)) => format!("{:?}", value.value()),
        Given::Toml(Value::Array(_)) => "a list".to_owned(),
        Given::Toml(other) => format!("a {}", other.type_name()),
    };
    let advice = match rule {
        Rule::Address => " of this machine: names are not looked up, 0.0.0.0 and :: stand for all of them",
        _ => "",
    };
    format!("{shown} is not allowed, expected {}{advice}", T::kind(rule))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 {
        return text.to_owned();
    }
    text.chars().take(80).chain("…".chars()).collect()
}

/// The text in its canonical spelling, or nothing when the rule refuses it.
fn check_text(text: &str, rule: &Rule) -> Option<String> {
    if text.len() > TEXT_LEN_MAX || text.chars().any(char::is_control) {
        return None;
    }
    let fits = match rule {
        Rule::Choice(values) => {
            return values
                .iter()
                .find(|value| value.eq_ignore_ascii_case(text))
                .map(|&value| value.to_owned());
        }
        Rule::Text(min, max) => (*min..=*max).contains(&text.chars().count()),
        Rule::Address => parse_address(text).is_some(),
        Rule::Path => !text.is_empty(),
        Rule::Secret => text.is_empty() || text.len() >= SECRET_LEN_MIN,
        Rule::Host => is_host(text),
        Rule::Mailbox => is_mailbox(text),
        Rule::Version => is_version(text),
        Rule::OptionalVersion => text.is_empty() || is_version(text),
        Rule::Prefix => is_prefix(text),
        Rule::HttpUrl => text.is_empty() || has_scheme(text, &["http://", "https://"]),
        Rule::WsUrl => text.is_empty() || has_scheme(text, &["ws://", "wss://"]),
        Rule::Origins => is_origin(text),
        Rule::Tokens => {
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            !text.is_empty() && text.bytes().all(is_token)
        }
        Rule::Networks => is_network(text),
        Rule::Sources => text == "localhost" || is_network(text),
        Rule::Colors => is_color(text),
        Rule::IceUrls => {
            let known = ["stun:", "stuns:", "turn:", "turns:"];
            let rest = known.iter().find_map(|scheme| text.strip_prefix(scheme));
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
        }
        Rule::Words => !text.trim().is_empty() && text.chars().count() <= limits::RULE_WORD_LEN_MAX,
        Rule::MediaTypes => {
            let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.+_".contains(&b);
            let mut parts = text.split('/');
            let is_part =
                |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(is_name));
            is_part(parts.next()) && is_part(parts.next()) && parts.next().is_none()
        }
        Rule::Any | Rule::Credential | Rule::Range(..) | Rule::Bytes(..) => true,
    };
    fits.then(|| text.to_owned())
}

/// An IP address; `localhost` is 127.0.0.1, brackets around IPv6 are tolerated.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// `<stage>.<major>.<minor>-<build>` with stage a, b, c or r.
fn is_version(text: &str) -> bool {
    let number = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((rest, build)) = text.split_once('-') else { return false };
    let parts: Vec<&str> = rest.split('.').collect();
    matches!(parts[..], ["a" | "b" | "c" | "r", major, minor] if number(major) && number(minor))
        && number(build)
}

fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    text.starts_with('/') && !text.ends_with('/') && !text.contains("//") && text.bytes().all(plain)
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn is_host(text: &str) -> bool {
    let is_name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    text.len() <= 253 && (is_name(text) || text.parse::<IpAddr>().is_ok())
}

/// A dot-atom at a name (RFC 5322 §3.4.1): whoever sends has no need of more.
fn is_mailbox(text: &str) -> bool {
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && local.bytes().all(is_atom) && !domain.is_empty() && is_host(domain)
    })
}

/// Browsers send scheme, host and port, never a path.
fn is_origin(text: &str) -> bool {
    has_scheme(text, &["http://", "https://"]) && text.matches('/').count() == 2
}

fn is_network(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok()
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn parse_integer(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `1048576`, `64GiB`, `64 GiB`, `64G`; `MB` is 1000², `MiB` and `M` are 1024².
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let (count, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    parse_integer(count)?.checked_mul(unit)
}

/// The shortest exact spelling: `64GiB`, `1MiB`, `1000`.
pub fn bytes_text(bytes: u64) -> String {
    let units: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// A basic TOML string. Control characters never get past [`check_text`].
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `toml` as it would stand after `key =`; a leading `$` marks bare text, as from the environment.
    fn check<T: Setting>(input: &str, rule: Rule, want: &str) {
        let result = match input.strip_prefix('$') {
            Some(text) => T::read(&Given::Text(text), &rule),
            None => {
                let value: Value = input.parse().expect("TOML");
                T::read(&Given::Toml(&value), &rule)
            }
        };
        let got = result.map_or_else(|error| format!("Err({error})"), |value| value.to_toml(&rule));
        assert_eq!(got, want, "{input}");
    }

    #[test]
    fn booleans() {
        check::<bool>("true", Rule::Any, "true");
        check::<bool>("$1", Rule::Any, "true");
        check::<bool>("$OFF", Rule::Any, "false");
        check::<bool>("1", Rule::Any, "Err(1 is not allowed, expected true or false)");
        check::<bool>("\"true\"", Rule::Any, "Err(\"true\" is not allowed, expected true or false)");
        check::<bool>("$", Rule::Any, "Err(`` is not allowed, expected true or false)");
    }

    #[test]
    fn integers() {
        let rule = Rule::Range(1, 65_535);
        check::<u64>("8000", rule, "8000");
        check::<u64>("$ 65_535 ", rule, "65535");
        for bad in ["0", "-1", "65536", "1.5", "$x", "$-1", "$+1", "$", "$99999999999999999999"] {
            let shown = bad.strip_prefix('$').map_or(bad.to_owned(), |text| format!("`{text}`"));
            check::<u64>(bad, rule, &format!("Err({shown} is not allowed, expected integer 1..65535)"));
        }
        check::<u64>("\"5\"", rule, "Err(\"5\" is not allowed, expected integer 1..65535)");
        check::<u64>("[5]", rule, "Err(a list is not allowed, expected integer 1..65535)");
    }

    #[test]
    fn bytes() {
        let rule = Rule::Bytes(1024, 1 << 40);
        check::<u64>("\"16GiB\"", rule, "\"16GiB\"");
        check::<u64>("$16 gib", rule, "\"16GiB\"");
        check::<u64>("$2k", rule, "\"2KiB\"");
        check::<u64>("$2MB", rule, "2000000");
        check::<u64>("1048576", rule, "\"1MiB\"");
        check::<u64>("1025", rule, "1025");
        check::<u64>("$2TiB", rule, "Err(`2TiB` is not allowed, expected bytes 1KiB..1TiB)");
        check::<u64>("$5 apples", rule, "Err(`5 apples` is not allowed, expected bytes 1KiB..1TiB)");
        check::<u64>("$GiB", rule, "Err(`GiB` is not allowed, expected bytes 1KiB..1TiB)");
        check::<u64>(
            "$99999999999TiB",
            rule,
            "Err(`99999999999TiB` is not allowed, expected bytes 1KiB..1TiB)",
        );
    }

    #[test]
    fn texts() {
        let level = Rule::Choice(&["INFO", "WARN"]);
        check::<String>("\"info\"", level, "\"INFO\"");
        check::<String>("$loud", level, "Err(`loud` is not allowed, expected INFO|WARN)");
        check::<String>("5", level, "Err(5 is not allowed, expected INFO|WARN)");
        check::<String>("$a\"b\\", Rule::Any, r#""a\"b\\""#);
        check::<String>("$a\nb", Rule::Any, "Err(`a\nb` is not allowed, expected text)");
        check::<String>(
            "$short",
            Rule::Secret,
            "Err(the value (not shown) is not allowed, expected secret of 16 characters or more, or empty)",
        );
        check::<String>("$0123456789abcdef", Rule::Secret, "\"0123456789abcdef\"");
        check::<String>("$::", Rule::Address, "\"::\"");
        check::<String>("$[::1]", Rule::Address, "\"[::1]\"");
        check::<String>(
            "$example.org",
            Rule::Address,
            "Err(`example.org` is not allowed, expected IP address of this machine: names are not looked up, 0.0.0.0 \
             and :: stand for all of them)",
        );
    }

    #[test]
    fn shapes_of_text() {
        for (rule, good, bad) in [
            (
                Rule::Version,
                &["a.1.0-49", "r.12.3-0"][..],
                &["", "1.0", "x.1.0-49", "a.1-49", "a.1.0-", "a.1.0.2-4"][..],
            ),
            (Rule::OptionalVersion, &["", "a.1.0-1"], &["a"]),
            (Rule::Prefix, &["/api/v1", "/x"], &["", "/", "api", "/api/", "/a//b", "/a b", "/a?b"]),
            (Rule::HttpUrl, &["", "https://x.y/z?q"], &["x", "https://", "ws://x", "https://a b"]),
            (Rule::WsUrl, &["", "wss://x.y/gateway"], &["https://x"]),
            (Rule::Tokens, &["GET", "*", "X-Own"], &["", "a b", "a,b", "a:", "ä"]),
            (
                Rule::Origins,
                &["https://x.y", "http://localhost:5000"],
                &["*", "x.y", "https://x.y/", "https://x.y/z"],
            ),
            (Rule::Networks, &["10.0.0.0/8", "::1", "fd00::/8"], &["10.0.0.0/40", "proxy", ""]),
            (Rule::Sources, &["localhost", "10.0.0.0/8", "::1"], &["example.org", ""]),
            (Rule::Colors, &["#5865F2"], &["5865f2", "#fff", "#gggggg"]),
            (Rule::Words, &["word", "two words"], &["", " ", &"long".repeat(26)]),
            (
                Rule::MediaTypes,
                &["image/png", "audio/x-a.b+c"],
                &["png", "image/", "/png", "a/b/c", "A/b", ""],
            ),
            (Rule::Credential, &["", "short", "a b"], &["a\u{7}"]),
            (Rule::Host, &["", "localhost", "mail.example.org", "10.0.0.1", "::1"], &["a b", "a:1", "a/b"]),
            (
                Rule::Mailbox,
                &["noreply@example.org", "a.b+c@localhost"],
                &["", "a", "@b", "a@", "a b@c", "A <a@b>", "\u{fc}@b", "a@b\nc"],
            ),
        ] {
            for text in good {
                assert_eq!(check_text(text, &rule).as_deref(), Some(*text), "{rule:?}");
            }
            for text in bad {
                assert_eq!(check_text(text, &rule), None, "{rule:?} {text}");
            }
        }
    }

    #[test]
    fn lists_of_numbers() {
        let rule = Rule::Range(1, 9);
        check::<Vec<u64>>("[7, 1]", rule, "[7, 1]");
        check::<Vec<u64>>("$ 7,1, ", rule, "[7, 1]");
        check::<Vec<u64>>("[]", rule, "[]");
        for bad in ["[7, 10]", "[\"7\"]", "7"] {
            let shown = if bad == "7" { "7" } else { "a list" };
            let want = format!("Err({shown} is not allowed, expected list of integer 1..9)");
            check::<Vec<u64>>(bad, rule, &want);
        }
        check::<Vec<u64>>("$7,x", rule, "Err(`7,x` is not allowed, expected list of integer 1..9)");
    }

    #[test]
    fn lists_and_buckets() {
        check::<Vec<String>>(
            "[\"10.0.0.1\", \"10.0.0.0/8\"]",
            Rule::Networks,
            "[\"10.0.0.1\", \"10.0.0.0/8\"]",
        );
        check::<Vec<String>>("$10.0.0.1, ::1,", Rule::Networks, "[\"10.0.0.1\", \"::1\"]");
        check::<Vec<String>>("$", Rule::Networks, "[]");
        check::<Vec<String>>(
            "[\"x\"]",
            Rule::Networks,
            "Err(`x` does not belong in a list of addresses or networks such as 10.0.0.0/8)",
        );
        check::<Vec<String>>(
            "[1]",
            Rule::Networks,
            "Err(a list is not allowed, expected list of addresses or networks such as 10.0.0.0/8)",
        );
        check::<Vec<String>>(
            "[]",
            Rule::Colors,
            "Err(a list is not allowed, expected list, not empty, of colours such as #5865f2)",
        );
        check::<BucketSpec>("\"5/60 fixed\"", Rule::Any, "\"5/60s fixed\"");
        check::<BucketSpec>(
            "5",
            Rule::Any,
            "Err(5 is not allowed, expected rate limit such as \"5+3/5s token; 20/h\", or \"off\")",
        );
        check::<BucketSpec>(
            "\"5/x fixed\"",
            Rule::Any,
            "Err(\"5/x fixed\" is not allowed, expected rate limit such as \"5+3/5s token; 20/h\", or \"off\": `x` is not a window, such as 250ms, 60s, h or 7d (7 days at most))",
        );
    }
}
