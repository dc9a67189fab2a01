//! What a name, an address, a password and an age must look like, as the configuration says.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use super::auth::REGISTER;
use crate::api::body::Body;
use crate::config::{AuthenticationAccounts, AuthenticationPassword, Config};
use crate::domain::identity::account::{self, Email};
use crate::domain::{Error, Result};
use crate::id::UserId;
use crate::limits::EMAIL_LEN_MAX;
use crate::store::Read;
use crate::store::records::tier;
use crate::text;

/// Names that would look official, in lower case.
const RESERVED_NAMES: &[&str] =
    &["admin", "administrator", "system", "bot", "api", "root", "null", "undefined"];

pub fn username_range(config: &Config) -> RangeInclusive<usize> {
    config.authentication_accounts.username_min_length as usize
        ..=config.authentication_accounts.username_max_length as usize
}

pub fn password_range(config: &Config) -> RangeInclusive<usize> {
    config.authentication_password.min_length as usize..=config.authentication_password.max_length as usize
}

/// # Errors
/// 400 for a length, a character or a name that is not allowed.
pub fn check_username(accounts: &AuthenticationAccounts, username: &str) -> Result<()> {
    let (min, max) = (accounts.username_min_length, accounts.username_max_length);
    let count = username.chars().count() as u64;
    if !(min..=max).contains(&count) {
        return Err(Error::invalid(
            "username",
            format_args!("must be {min} to {max} characters, not {count}"),
        ));
    }
    if !username.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Error::invalid("username", "only letters, digits and _ are allowed"));
    }
    if RESERVED_NAMES.iter().any(|name| name.eq_ignore_ascii_case(username)) {
        return Err(Error::invalid("username", "this name is reserved"));
    }
    Ok(())
}

/// The tier of whom nobody has given one.
pub fn default_tier(config: &Config) -> u8 {
    tier::code(&config.user_features.default_tier).unwrap_or(tier::STANDARD)
}

/// The address in its one spelling, with its key.
///
/// # Errors
/// 400 for what is no address of a mailbox at a domain with a dot.
pub fn checked_email(typed: &str) -> Result<Email> {
    let wrong = || Error::invalid("email", "must be an e-mail address");
    let email = text::email::normalise(typed).ok_or_else(wrong)?;
    let options = email_address::Options::default().with_required_tld().without_display_text();
    let options = options.without_domain_literal();
    let key = text::email::key(&email);
    let valid = email.len() <= EMAIL_LEN_MAX
        && key.len() <= EMAIL_LEN_MAX
        && email_address::EmailAddress::parse_with_options(&email, options).is_ok();
    if valid { Ok(Email { address: email.into_owned(), key }) } else { Err(wrong()) }
}

/// The name of a login form in its one spelling, so that failures under any of them are counted together.
pub fn login_name(typed: &str) -> Cow<'_, str> {
    if typed.contains('@') {
        return text::email::normalise(typed).unwrap_or(Cow::Borrowed(typed));
    }
    Cow::Borrowed(typed.trim())
}

/// Stands for the name of a login form in whatever case, for counting failures under it. The commands carry it: which
/// letters are one in lower case is for this build to say, not for apply.
pub fn login_key(text: &str) -> u64 {
    let digest = Sha256::digest(text.to_lowercase().as_bytes());
    u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// Whom the name of a login form means, as it was typed: names never contain an `@`, addresses always do.
pub fn by_login(read: Read<'_>, typed: &str) -> Option<UserId> {
    if typed.contains('@') {
        return text::email::forms(typed).iter().find_map(|form| account::by_email(read, form));
    }
    account::by_name(read, typed.trim())
}

/// Refuses an address, as it was typed, that somebody other than `but` has, also in an older spelling.
///
/// # Errors
/// 409.
pub fn require_email_free(read: Read<'_>, typed: &str, but: Option<UserId>) -> Result<()> {
    text::email::forms(typed).iter().try_for_each(|form| account::require_free(read, None, Some(form), but))
}

/// # Errors
/// 400 naming everything that is missing.
pub fn check_password(rules: &AuthenticationPassword, field: &str, password: &str) -> Result<()> {
    let (min, max) = (rules.min_length, rules.max_length);
    let password = text::password::normalise(password);
    let count = password.chars().count() as u64;
    let has = |test: fn(char) -> bool| password.chars().any(test);
    let mut missing: Vec<String> = Vec::new();
    if count < min {
        missing.push(format!("at least {min} characters"));
    }
    if count > max {
        missing.push(format!("at most {max} characters"));
    }
    if has(char::is_control) {
        missing.push("no control characters".to_string());
    }
    for (required, met, text) in [
        (rules.require_uppercase, has(char::is_uppercase), "an upper-case letter"),
        (rules.require_lowercase, has(char::is_lowercase), "a lower-case letter"),
        (rules.require_digit, has(|c| c.is_ascii_digit()), "a digit"),
        (
            rules.require_special,
            has(|c| !c.is_alphanumeric()),
            "a character that is neither letter nor digit",
        ),
    ] {
        if required && !met {
            missing.push(text.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(field, format_args!("the password needs {}", missing.join(", "))))
}

/// Whether the age was confirmed; the fields are not looked at while the gate is off.
///
/// # Errors
/// 400 when they are missing, malformed, or say too young.
pub fn check_age(accounts: &AuthenticationAccounts, body: &Body<'_>, now_ms: u64) -> Result<bool> {
    if !accounts.age_gate_enabled {
        return Ok(false);
    }
    let minimum = accounts.minimum_age;
    let too_young =
        |field: &str| Error::invalid(field, format_args!("you must be at least {minimum} years old"));
    if accounts.age_verification_type == "dob" {
        let dob = REGISTER.dob.read(body)?.ok_or_else(|| Error::invalid("dob", "this field is required"))?;
        let born = parse_date(dob).ok_or_else(|| Error::invalid("dob", "must be a date, YYYY-MM-DD"))?;
        let today = civil_date(now_ms);
        if born > today {
            return Err(Error::invalid("dob", "must not be in the future"));
        }
        return if age_on(born, today) >= minimum { Ok(true) } else { Err(too_young("dob")) };
    }
    match (REGISTER.age.read(body)?, REGISTER.age_verified.read(body)?) {
        (Some(age), _) if age >= minimum => Ok(true),
        (None, Some(true)) => Ok(true),
        (None, None) => Err(Error::invalid("age", "this field is required")),
        _ => Err(too_young("age")),
    }
}

type Date = (u64, u64, u64);

fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    let (year, month, day) = (number(text.get(..4)?)?, number(text.get(5..7)?)?, number(text.get(8..)?)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then_some((year, month, day))
}

/// The date in UTC: days to civil, after Howard Hinnant's `civil_from_days`.
fn civil_date(unix_ms: u64) -> Date {
    let days = unix_ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn age_on(born: Date, today: Date) -> u64 {
    let birthday_passed = (today.1, today.2) >= (born.1, born.2);
    (today.0 - born.0).saturating_sub(u64::from(!birthday_passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_one_spelling() {
        let check = |typed: &str, want: Option<&str>| {
            assert_eq!(checked_email(typed).ok().map(|email| email.address).as_deref(), want, "{typed:?}");
        };
        check("Alice@Example.com", Some("Alice@Example.com"));
        check(" x@xn--bcher-kva.example ", Some("x@b\u{fc}cher.example"));
        check("x@B\u{dc}cher.example", Some("x@b\u{fc}cher.example"));
        check("x@xn--a.example", None);
        check("x@example", None);
        check(&format!("x@{}.example", "\u{fc}".repeat(400)), None);
    }

    #[test]
    fn dates() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(951_782_400_000), (2000, 2, 29));
        assert_eq!(civil_date(1_767_225_599_999), (2025, 12, 31));
        assert_eq!(parse_date("1900-02-29"), None);
        assert_eq!(age_on((2000, 2, 29), (2018, 2, 28)), 17);
        assert_eq!(age_on((2000, 2, 29), (2018, 3, 1)), 18);
    }
}
