//! What somebody is called who has not chosen a name: one made of what he is called elsewhere.

use super::rules::check_username;
use crate::config::AuthenticationAccounts;
use crate::runtime::random;

/// What is put behind a name that is too short, or reserved.
const DIGIT_COUNT: usize = 4;
/// When nothing of what he is called can be used.
const NAMELESS: &str = "user";

/// A name that is allowed, of the first hint of which something can be used.
pub(super) fn name_for<const COUNT: usize>(
    accounts: &AuthenticationAccounts,
    hints: [&str; COUNT],
    is_banned: impl Fn(&str) -> bool,
) -> String {
    let len_max = usize::try_from(accounts.username_max_length).unwrap_or(usize::MAX);
    let cleaned = hints.into_iter().map(|hint| cleaned(hint, len_max)).find(|name| !name.is_empty());
    let name = cleaned.unwrap_or_else(|| NAMELESS.to_owned());
    if check_username(accounts, &name).is_ok() && !is_banned(&name) {
        return name;
    }
    let numbered = numbered(accounts, &name);
    // A pattern may be meant for all that begins so.
    if is_banned(&numbered) { self::numbered(accounts, NAMELESS) } else { numbered }
}

/// A name with digits behind it.
fn numbered(accounts: &AuthenticationAccounts, name: &str) -> String {
    let len_max = usize::try_from(accounts.username_max_length).unwrap_or(usize::MAX);
    let missing = usize::try_from(accounts.username_min_length).unwrap_or(0).saturating_sub(name.len());
    let count = missing.max(DIGIT_COUNT).min(len_max);
    let digits: String =
        random::bytes::<64>()[..count].iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    // Names are ASCII here.
    format!("{}{digits}", &name[..name.len().min(len_max - count)])
}

/// Letters, digits and `_`; what stands between words becomes one `_`, the rest goes.
fn cleaned(hint: &str, len_max: usize) -> String {
    let mut name = String::new();
    for char in hint.chars() {
        match char {
            char if char.is_ascii_alphanumeric() => name.push(char),
            '_' | '-' | '.' | '+' | ' ' | '@' if !name.is_empty() && !name.ends_with('_') => name.push('_'),
            _ => {}
        }
    }
    name.truncate(len_max);
    name.truncate(name.trim_end_matches('_').len());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_hints() {
        let accounts = AuthenticationAccounts::default();
        for (hint, want) in [
            ("ada", "ada"),
            ("Ada Lovelace", "Ada_Lovelace"),
            ("lena-hub", "lena_hub"),
            ("--x..y--z--", "x_y_z"),
            ("Ад\u{430} Ada", "Ada"),
            ("Zo\u{eb}", "Zo"),
            ("a@b.example", "a_b_example"),
            (&"x".repeat(100), &"x".repeat(32)),
            (&format!("{}- y", "x".repeat(31)), &"x".repeat(31)),
        ] {
            let name = name_for(&accounts, [hint], |_| false);
            let is_want = if want.len() < 3 { name.starts_with(want) } else { name == want };
            assert!(is_want, "{hint}: {name}");
            assert!(check_username(&accounts, &name).is_ok(), "{hint}: {name}");
        }
        assert_eq!(name_for(&accounts, ["\u{1f600}", "ada.l"], |_| false), "ada_l");
    }

    #[test]
    fn every_name_is_allowed() {
        for (min, max) in [(3, 32), (1, 1), (8, 8), (64, 64), (1, 3)] {
            let accounts = AuthenticationAccounts {
                username_min_length: min,
                username_max_length: max,
                ..AuthenticationAccounts::default()
            };
            for hint in ["", "admin", "ROOT", "bot", "x", "\u{1f600}", "a very long name of somebody"] {
                let name = name_for(&accounts, [hint], |_| false);
                assert!(check_username(&accounts, &name).is_ok(), "{hint:?} in {min}..{max}: {name}");
            }
        }
    }
}
