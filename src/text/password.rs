//! Passwords: the same characters typed on another keyboard are the same password.

use std::borrow::Cow;

/// OpaqueString of RFC 8265 §4.2: blanks of any kind become U+0020, then NFC. Nothing is trimmed and case is kept.
/// The code points that its base class forbids are left to whoever sets a password; to check one, they do no harm.
pub fn normalise(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    // Zs, which is White_Space without controls and separators of lines.
    let other_blank =
        |c: char| !c.is_ascii() && c.is_whitespace() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    if password.chars().any(other_blank) {
        return Cow::Owned(super::nfc(&password.replace(other_blank, " ")).into_owned());
    }
    super::nfc(password)
}

/// The other spelling under which an older hash may have been made, before passwords were normalised: as typed now,
/// or decomposed, as some keyboards send it. `None` when that is no other one.
pub fn older(password: &str) -> Option<String> {
    if password.is_ascii() {
        return None;
    }
    let normal = normalise(password);
    if normal != password {
        return Some(password.to_string());
    }
    let decomposed = super::nfd(password);
    (decomposed != password).then(|| decomposed.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn one_password_from_every_keyboard() {
        let check = |typed: &str, want: &str| assert_eq!(normalise(typed), want, "{typed:?}");
        check("Caf\u{e9} 1!", "Caf\u{e9} 1!");
        check("Cafe\u{301} 1!", "Caf\u{e9} 1!");
        check("a\u{a0}b\u{3000}c\u{1680}", "a b c ");
        check(" Case Kept ", " Case Kept ");
        check("\u{212b}", "\u{c5}");
        check("\u{fb01}\u{ff21}", "\u{fb01}\u{ff21}");
        assert!(matches!(normalise("ascii"), Cow::Borrowed(_)));
    }

    #[test]
    fn older_spellings() {
        assert_eq!(older("ascii"), None);
        assert_eq!(older("Ωßæ"), None);
        assert_eq!(older("cafe\u{301}").as_deref(), Some("cafe\u{301}"));
        assert_eq!(older("caf\u{e9}").as_deref(), Some("cafe\u{301}"));
        assert_eq!(older("ü\u{a0}").as_deref(), Some("ü\u{a0}"));
    }

    #[test]
    fn normalising_is_idempotent() {
        let check = |text: &str| {
            let once = normalise(text);
            assert_eq!(normalise(&once), once, "{text:?}");
        };
        testing::every_code_point().for_each(|text| check(&text));
        let mut random = testing::random(3, 12);
        (0..30_000).for_each(|_| check(&random()));
    }
}
