//! E-mail addresses: one mailbox, one spelling.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::nfc;

/// Domains longer than this have no address in the DNS (253 octets); their characters have up to four bytes.
const DOMAIN_LEN_MAX: usize = 253 * 4;

/// The address as it is stored and compared without regard to case: NFC, without blanks around it, the domain in its
/// Unicode form (`xn--bcher-kva.example` is `bücher.example`). An ASCII domain stays as typed. `None` for what no
/// domain can be.
pub fn normalise(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let Some((local, domain)) = text.rsplit_once('@') else { return Some(nfc(text)) };
    if domain.len() > DOMAIN_LEN_MAX {
        return None;
    }
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

/// The forms, in lower case, under which an address may be stored: the one of today first, then those of accounts
/// from before addresses were normalised.
pub fn forms(text: &str) -> Vec<String> {
    let mut forms = Vec::with_capacity(3);
    if text.len() > DOMAIN_LEN_MAX {
        return forms;
    }
    if text.len() > DOMAIN_LEN_MAX {
        return forms;
    }
    if let Some(normal) = normalise(text) {
        let ascii = normal.rsplit_once('@').and_then(|(local, domain)| Some((local, ascii(domain)?)));
        let ascii = ascii.map(|(local, domain)| format!("{local}@{domain}").to_lowercase());
        forms.push(normal.to_lowercase());
        forms.extend(ascii);
    }
    forms.push(text.trim().to_lowercase());
    forms.dedup();
    forms
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
        let want = ["x@b\u{fc}cher.example", "x@xn--bcher-kva.example"];
        assert_eq!(forms("X@xn--Bcher-kva.example"), want);
        assert_eq!(forms("X@B\u{fc}cher.example"), [want[0], want[1], want[0]]);
        assert_eq!(forms("x@xn--a.example"), ["x@xn--a.example"]);
    }
}
