//! Addresses in texts: where they lead.
//!
//! What counts is where a browser would go, so names of hosts are compared in their one spelling (UTS #46), without what
//! stands before an `@` in them and without ports.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::is_invisible;

/// A host that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As it is looked up: lower case, Punycode.
    pub host: String,
    /// Whether it is an address that clients make a link of; else only a name.
    pub is_address: bool,
}

/// Longer ones are none (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 253;

/// The hosts that a text names, in order.
pub fn find(text: &str) -> Vec<Link> {
    let text = visible(text);
    let mut links = Vec::new();
    // What an address ends at in running text.
    for word in text.split(|c: char| c.is_whitespace() || "<>\"`|".contains(c)) {
        let mut rest = word;
        let mut found = false;
        while let Some(at) = rest.find("://") {
            let has_scheme = rest[..at].bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric());
            rest = &rest[at + 3..];
            if has_scheme {
                links.extend(host(authority(rest)).map(|host| Link { host, is_address: true }));
                found = true;
            }
        }
        if !found {
            links.extend(named(word));
        }
    }
    links
}

/// A word that is the name of a host, maybe with a path behind it.
fn named(word: &str) -> Option<Link> {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let authority = authority(word).trim_end_matches(|c: char| !c.is_alphanumeric());
    if !authority.contains(is_dot) {
        return None;
    }
    let host = host(authority)?;
    let (rest, last) = host.rsplit_once('.')?;
    // `1.5` and `e.g` are none.
    let fits = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fits = fits && !last.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
    let is_address = authority.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    fits.then_some(Link { host, is_address })
}

/// Full stops of other scripts part names of hosts too.
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

/// What stands before path, query and fragment. Browsers take a backslash for a slash.
fn authority(address: &str) -> &str {
    let end = address.find(|c: char| "/\\?#,;()'".contains(c)).unwrap_or(address.len());
    &address[..end]
}

/// A host as it is looked up; `None` when it is none.
fn host(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = percent_decode_str(host).decode_utf8().ok()?;
    let host = idna::domain_to_ascii(&host).unwrap_or_else(|_| host.to_lowercase());
    let host = host.trim_matches(|c: char| c == '.' || !c.is_ascii_graphic());
    (!host.is_empty() && host.len() <= HOST_LEN_MAX).then(|| host.to_string())
}

/// The host that an entry of a list means: a name, an address, or `*.` and a name.
pub fn listed(entry: &str) -> Option<String> {
    let entry = entry.trim();
    let entry = entry.split_once("://").map_or(entry, |(_, rest)| rest);
    host(authority(entry.strip_prefix("*.").unwrap_or(entry)))
}

/// Whether a host is one of the list, or below it.
pub fn is_within(host: &str, listed: &str) -> bool {
    host.strip_suffix(listed).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What stands before the code of an invite: a path of any host, or hosts that are for invites alone.
const INVITES: [&str; 4] = ["/invite/", "/invites/", "discord.gg/", "dsc.gg/"];
/// Longer codes are cut.
const CODE_LEN_MAX: usize = 64;

/// The codes of the invites that a text has links of, in order.
pub fn invites(text: &str) -> Vec<String> {
    let text = visible(text);
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for start in INVITES {
        for (at, _) in lower.match_indices(start) {
            // A path alone leads nowhere.
            let is_address = !start.starts_with('/') || before(&lower, at).is_some_and(char::is_alphanumeric);
            let is_whole = start.starts_with('/') || !before(&lower, at).is_some_and(char::is_alphanumeric);
            let code = &text[at + start.len()..];
            let code: String = code
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                .take(CODE_LEN_MAX)
                .collect();
            if is_address && is_whole && !code.is_empty() {
                found.push((at, code));
            }
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().map(|(_, code)| code).collect()
}

fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// Without characters that cannot be seen, other than blanks.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| !c.is_whitespace() && is_invisible(c);
    match text.is_ascii() || !text.contains(is_hidden) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.chars().filter(|c| !is_hidden(*c)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_browsers_go() {
        let check = |text: &str, want: &[&str]| {
            let links = find(text);
            let hosts: Vec<&str> =
                links.iter().filter(|link| link.is_address).map(|link| &*link.host).collect();
            assert_eq!(hosts, want, "{text:?}");
        };
        check("go to http://evil.example/x now", &["evil.example"]);
        check("(https://EVIL.example:8080)", &["evil.example"]);
        check("https://good.example@evil.example/", &["evil.example"]);
        check("https://evil.example\\@good.example", &["evil.example"]);
        check("[text](https://evil.example/?u=https://good.example)", &["evil.example", "good.example"]);
        check("https://%65vil.example", &["evil.example"]);
        check("https://ev\u{200b}il.example", &["evil.example"]);
        check("https://ｅｖｉｌ。example.", &["evil.example"]);
        check("https://bücher.example", &["xn--bcher-kva.example"]);
        check("ftp://[2001:db8::1]:21/", &["2001:db8::1"]);
        check("<https://evil.example>, www.evil.example", &["evil.example", "www.evil.example"]);
        for text in
            ["nothing", "://", "http://", "a.b", "1.5", "e.g. this", "see :// there", "evil.example/x"]
        {
            check(text, &[]);
        }
    }

    #[test]
    fn names_of_hosts_are_told_from_links() {
        let names = |text: &str| {
            find(text).into_iter().filter(|link| !link.is_address).map(|link| link.host).collect::<Vec<_>>()
        };
        assert_eq!(names("see evil.example/x, (evil.example). *Evil.Example*"), ["evil.example"; 3]);
        for text in ["1.5", "v1.2.3", "...", "i.e.", ".x", "x.", "end.Begin"] {
            assert_eq!(names(text).iter().filter(|host| !host.starts_with("end")).count(), 0, "{text}");
        }
    }

    #[test]
    fn lists_cover_what_is_below() {
        for entry in ["evil.example", "https://Evil.example/path", "*.evil.example", " evil.example:443 "] {
            assert_eq!(listed(entry).as_deref(), Some("evil.example"), "{entry}");
        }
        assert_eq!(listed(" "), None);
        assert!(is_within("evil.example", "evil.example"));
        assert!(is_within("a.b.evil.example", "evil.example"));
        assert!(!is_within("notevil.example", "evil.example"));
        assert!(!is_within("evil.example.org", "evil.example"));
    }

    #[test]
    fn invites_by_their_codes() {
        let check = |text: &str, want: &[&str]| assert_eq!(invites(text), want, "{text:?}");
        check("join https://plexichat.com/invite/abcDEF123456", &["abcDEF123456"]);
        check("discord.gg/x_y-z! and HTTPS://DISCORD.COM/INVITE/Two", &["x_y-z", "Two"]);
        check("dis\u{200b}cord.gg/abc", &["abc"]);
        check("https://a.example/api/v1/channels/invites/qq twice a.example/invite/qq", &["qq"]);
        for text in
            ["https://example.org/", "/invite/abc", "an invite / abc", "notdiscord.gg/abc", "a.b/invite/"]
        {
            check(text, &[]);
        }
    }

    #[test]
    fn any_text_is_taken() {
        let mut random = super::super::testing::random(5, 12);
        for _ in 0..3_000 {
            let text = format!("{}://{}.{}/invite/{}", random(), random(), random(), random());
            let _ = (find(&text), invites(&text), listed(&text));
        }
    }
}
