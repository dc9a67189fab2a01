//! Texts of a body, as they are stored. The rules are those of [`crate::text`]; lengths are counted after them.

use std::ops::RangeInclusive;

use super::body::{Body, check_len};
use crate::domain::{Error, Result};
use crate::store::records::channel_kind;
use crate::text::{self, name::slug};

/// Bytes that a text may have for each character that is allowed in the end, and beyond: the rules are not applied
/// to a megabyte of blanks.
const RAW_PER_CHAR: usize = 16;
const RAW_LEN_MAX: usize = 4_096;

/// A name. `None` when absent, or the stored one as it is: older names may not meet the rules of today.
///
/// # Errors
/// 400 when no string, blank, or outside the range.
pub fn name(
    body: &Body<'_>,
    field: &str,
    chars: RangeInclusive<usize>,
    stored: Option<&str>,
) -> Result<Option<String>> {
    let Some(typed) = typed(body, field, &chars, stored)? else { return Ok(None) };
    let name = text::line(typed);
    if text::is_blank(&name) && *chars.start() > 0 {
        return Err(Error::invalid(field, "must not be blank"));
    }
    check_len(field, &name, chars)?;
    Ok(Some(name.into_owned()))
}

/// The name of a channel: slugged for text and announcement channels. As [`name`].
///
/// # Errors
/// 400 when no string, without a letter or digit (text-like) or blank (others), or too long.
pub fn channel_name(
    body: &Body<'_>,
    kind: u8,
    len_max: usize,
    stored: Option<&str>,
) -> Result<Option<String>> {
    let field = "name";
    if !matches!(kind, channel_kind::TEXT | channel_kind::ANNOUNCEMENT) {
        return name(body, field, 1..=len_max, stored);
    }
    let chars = 1..=len_max;
    let Some(typed) = typed(body, field, &chars, stored)? else { return Ok(None) };
    let name = slug(typed);
    if name.is_empty() {
        return Err(Error::invalid(field, "must have a letter or a digit"));
    }
    check_len(field, &name, chars)?;
    Ok(Some(name))
}

/// A text of one line that may be taken away: absent leaves it, a blank one clears it.
///
/// # Errors
/// 400 when no string, or too long.
pub fn line(body: &Body<'_>, field: &str, len_max: usize) -> Result<Option<Option<String>>> {
    let line = name(body, field, 0..=len_max, None)?;
    Ok(line.map(|line| (!line.is_empty()).then_some(line)))
}

/// A text of many lines; a blank one is empty.
///
/// # Errors
/// 400 when no string, or too long.
pub fn prose(body: &Body<'_>, field: &str, len_max: usize) -> Result<Option<String>> {
    let chars = 0..=len_max;
    let Some(typed) = typed(body, field, &chars, None)? else { return Ok(None) };
    let prose = text::prose(typed);
    check_len(field, &prose, chars)?;
    Ok(Some(prose.into_owned()))
}

/// What was typed, if it is not what is stored.
fn typed<'b>(
    body: &Body<'b>,
    field: &str,
    chars: &RangeInclusive<usize>,
    stored: Option<&str>,
) -> Result<Option<&'b str>> {
    let typed = body.opt_str(field, 0..=usize::MAX)?.filter(|&typed| Some(typed) != stored);
    let raw_max = RAW_LEN_MAX.max(chars.end() * RAW_PER_CHAR);
    if let Some(typed) = typed.filter(|typed| typed.len() > raw_max) {
        check_len(field, typed, chars.clone())?;
    }
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(value: &str, check: impl FnOnce(&Body<'_>) -> Result<T>) -> std::result::Result<T, String> {
        let mut bytes = format!("{{\"name\":{}}}", serde_json::to_string(value).unwrap()).into_bytes();
        let body = Body::parse(&mut bytes, Some(b"application/json")).unwrap();
        check(&body).map_err(|error| error.message.into_owned())
    }

    #[test]
    fn names_are_measured_as_they_are_stored() {
        let check = |typed: &str, want: std::result::Result<&str, &str>| {
            let got = with(typed, |body| name(body, "name", 2..=4, None));
            let want =
                want.map(|name| Some(name.to_string())).map_err(|text| format!("Invalid name: {text}"));
            assert_eq!(got, want, "{typed:?}");
        };
        check("  Ada  ", Ok("Ada"));
        check("A\u{30a}B\u{30a}C\u{30a}", Err("must be 2 to 4 characters, not 5"));
        check("e\u{301}e\u{301}e\u{301}e\u{301}", Ok("\u{e9}\u{e9}\u{e9}\u{e9}"));
        check(" x ", Err("must be 2 to 4 characters, not 1"));
        check("", Err("must not be blank"));
        check("\u{3164}\u{200b}", Err("must not be blank"));
        check(&format!("ab{}", " ".repeat(3_000)), Ok("ab"));
        check(&"x".repeat(100_000), Err("must be 2 to 4 characters, not 100000"));
    }

    #[test]
    fn a_stored_name_can_be_sent_back() {
        let old = "\u{202e} older than the rules\0";
        assert_eq!(with(old, |body| name(body, "name", 1..=4, Some(old))), Ok(None));
        let slugged = |typed: &str, stored: Option<&str>| {
            with(typed, |body| channel_name(body, channel_kind::TEXT, 100, stored))
        };
        let long = "i\u{307}".repeat(100);
        assert_eq!(slugged(&long, Some(&long)), Ok(None));
        let error = Err("Invalid name: must be 1 to 100 characters, not 200".to_string());
        assert_eq!(slugged(&"\u{130}".repeat(100), None), error);
        let half = slugged(&"\u{130}".repeat(50), None).unwrap().unwrap();
        assert_eq!(slugged(&half, None), Ok(Some(half.clone())));
    }

    #[test]
    fn channel_names_by_kind() {
        let check = |kind: u8, typed: &str, want: Option<&str>| {
            let got = with(typed, |body| channel_name(body, kind, 100, None));
            assert_eq!(got.ok().flatten().as_deref(), want, "{typed:?}");
        };
        check(channel_kind::TEXT, "With Spaces & CAPS", Some("with-spaces-caps"));
        check(channel_kind::TEXT, "!!!", None);
        check(channel_kind::TEXT, " - ", None);
        check(channel_kind::ANNOUNCEMENT, "Big News", Some("big-news"));
        check(channel_kind::VOICE, " Big Room! ", Some("Big Room!"));
        check(channel_kind::CATEGORY, "Cat & Dog", Some("Cat & Dog"));
        check(channel_kind::CATEGORY, "\u{2060}", None);
        check(channel_kind::STAGE, "  ", None);
    }

    #[test]
    fn texts_that_may_be_empty() {
        let check = |typed: &str, want: Option<&str>| {
            assert_eq!(with(typed, |body| line(body, "name", 8)), Ok(Some(want.map(str::to_string))));
        };
        check("", None);
        check("\u{3164} ", None);
        check(" a\nb ", Some("a b"));
        assert_eq!(with("a\nb\u{1b}", |body| prose(body, "name", 3)), Ok(Some("a\nb".into())));
        assert_eq!(with(" \u{2060}", |body| prose(body, "name", 3)), Ok(Some(String::new())));
        assert!(with("four", |body| prose(body, "name", 3)).is_err());
    }
}
