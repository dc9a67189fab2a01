//! E-mail addresses: one mailbox, one spelling.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{nfc, nfd};
use crate::limits::EMAIL_LEN_MAX;

/// Longer texts are not looked at: composing them makes no address of them that is short enough.
pub const TYPED_LEN_MAX: usize = 2 * EMAIL_LEN_MAX;

/// The address as it is stored and compared without regard to case: NFC, without blanks around it, the domain in its
/// Unicode form (`xn--bcher-kva.example` is `bücher.example`). An ASCII domain stays as typed. `None` for what no
/// domain can be.
pub fn normalise(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if text.len() > TYPED_LEN_MAX {
        return None;
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return Some(nfc(text)) };
    if is_plain(domain) {
        return Some(nfc(text));
    }
    let uts46 = Uts46::new();
    let (unicode, result) = uts46.to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow);
    result.ok()?;
    // Also what is too long for the DNS is refused.
    ascii(&unicode)?;
    Some(Cow::Owned(format!("{}@{unicode}", nfc(local))))
}

/// By what an address is looked up: the same in any case. Which letters are one is for the build to say that takes
/// the address, and stored with it.
pub fn key(address: &str) -> String {
    address.to_lowercase()
}

/// The forms, in lower case, under which an address may be stored: the one of today first, then those of accounts
/// from before addresses were normalised: with the domain in ASCII, decomposed as some keyboards send it, as typed.
pub fn forms(text: &str) -> Vec<String> {
    let typed = text.trim();
    let mut forms = Vec::with_capacity(4);
    if typed.len() > TYPED_LEN_MAX {
        return forms;
    }
    let mut add = |form: &str| {
        let form = key(form);
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    if let Some(normal) = normalise(typed) {
        add(&normal);
        if let Some((local, domain)) = normal.rsplit_once('@')
            && let Some(domain) = ascii(domain)
        {
            add(&format!("{local}@{domain}"));
        }
        add(&nfd(&normal));
    }
    add(typed);
    forms
}

/// Local part and domain of an address as mail servers know them: the domain in ASCII. `None` for what has none.
pub fn parts_for_sending(address: &str) -> Option<(&str, Cow<'_, str>)> {
    let (local, domain) = address.rsplit_once('@')?;
    Some((local, ascii(domain)?))
}

fn is_plain(domain: &str) -> bool {
    let encoded = |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    domain.is_ascii() && !domain.split('.').any(encoded)
}

fn ascii(domain: &str) -> Option<Cow<'_, str>> {
    if is_plain(domain) {
        return Some(Cow::Borrowed(domain));
    }
    let uts46 = Uts46::new();
    uts46.to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_one_spelling() {
        let check = |typed: &str, want: &str| {
            assert_eq!(normalise(typed).as_deref(), Some(want), "{typed:?}");
            assert_eq!(normalise(want).as_deref(), Some(want), "{typed:?}");
        };
        check("Alice@Example.com", "Alice@Example.com");
        check(" alice@example.com ", "alice@example.com");
        check("x@b\u{fc}cher.example", "x@b\u{fc}cher.example");
        check("x@bu\u{308}cher.example", "x@b\u{fc}cher.example");
        check("x@B\u{dc}CHER.Example", "x@b\u{fc}cher.example");
        check("x@xn--bcher-kva.example", "x@b\u{fc}cher.example");
        check("x@XN--BCHER-KVA.example", "x@b\u{fc}cher.example");
        check("x@b\u{fc}cher。example", "x@b\u{fc}cher.example");
        check("x@mail.xn--strae-oqa.de", "x@mail.stra\u{df}e.de");
        check("Jose\u{301}@example.com", "Jos\u{e9}@example.com");
        check("a@r3---sn.my_host.example", "a@r3---sn.my_host.example");
        for wrong in ["x@xn--a.example", "x@\u{fc} b.example", &format!("x@{}.example", "\u{fc}".repeat(64))]
        {
            assert_eq!(normalise(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn older_accounts_are_found() {
        assert_eq!(forms("Alice@Example.com"), ["alice@example.com"]);
        let want = ["x@b\u{fc}cher.example", "x@xn--bcher-kva.example", "x@bu\u{308}cher.example"];
        for typed in ["X@xn--Bcher-kva.example", "X@B\u{fc}cher.example", " X@Bu\u{308}cher.example"] {
            assert_eq!(forms(typed), want, "{typed:?}");
        }
        assert_eq!(
            forms("Jos\u{e9}@\u{ff22}.example"),
            ["jos\u{e9}@b.example", "jose\u{301}@b.example", "jos\u{e9}@\u{ff42}.example"]
        );
        assert_eq!(forms("x@xn--a.example"), ["x@xn--a.example"]);
    }
}
