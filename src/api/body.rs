//! JSON bodies, field by field. The first field that breaks a rule is named in the answer.

use std::ops::RangeInclusive;

use crate::domain::{Error, Result};
use crate::wire::json::{self, Value};

/// A JSON object from a request. Absent and null mean the same: not given.
#[derive(Debug)]
pub struct Body<'b> {
    value: Value<'b>,
}

impl<'b> Body<'b> {
    pub fn empty() -> Body<'b> {
        Body { value: Value::Object(Vec::new()) }
    }

    /// An object within another one.
    ///
    /// # Panics
    /// When it is none.
    pub fn of(value: &Value<'b>) -> Body<'b> {
        assert!(value.as_object().is_some(), "fields are those of an object");
        Body { value: value.clone() }
    }

    /// # Errors
    /// 400 for a wrong content type, malformed JSON or a value that is no object.
    pub fn parse(bytes: &'b mut [u8], content_type: Option<&[u8]>) -> Result<Body<'b>> {
        if bytes.is_empty() {
            return Err(Error::bad_request("A JSON body is required"));
        }
        if !content_type.is_some_and(is_json) {
            return Err(Error::bad_request("Content-Type must be application/json"));
        }
        let value = json::parse_marked(bytes)
            .map_err(|error| Error::bad_request(format!("Malformed JSON: {error}")))?;
        match value {
            Value::Object(_) => Ok(Body { value }),
            other => Err(Error::bad_request(format!("The body must be a JSON object, not {}", other.kind()))),
        }
    }

    /// The same, or a form that has it in its field `payload`, as older programs send it. What curl sends without being
    /// told a type is called a form and is none.
    ///
    /// # Errors
    /// As [`Body::parse`]; 400 for a form without that field, or with broken escapes in it.
    pub fn parse_json_or_form(bytes: &'b mut [u8], content_type: Option<&[u8]>) -> Result<Body<'b>> {
        if !content_type.is_some_and(is_form) {
            return Body::parse(bytes, content_type);
        }
        let is_json = bytes.trim_ascii_start().first() == Some(&b'{');
        let payload = if is_json { bytes } else { form_payload(bytes)? };
        Body::parse(payload, Some(JSON))
    }

    /// The object as it is.
    pub fn root(&self) -> &Value<'b> {
        &self.value
    }

    /// The value of a field, unless absent or null.
    pub fn value(&self, field: &str) -> Option<&Value<'b>> {
        self.value.get(field).filter(|value| !value.is_null())
    }

    /// All members, nulls included.
    pub fn members(&self) -> &[(&'b str, Value<'b>)] {
        self.value.as_object().expect("a body is an object")
    }

    /// A required text; the range counts characters.
    ///
    /// # Errors
    /// 400 when missing, no string, or outside the range.
    pub fn str(&self, field: &str, chars: RangeInclusive<usize>) -> Result<&'b str> {
        self.opt_str(field, chars)?.ok_or_else(|| Error::invalid(field, "this field is required"))
    }

    /// # Errors
    /// 400 when no string, or outside the range.
    pub fn opt_str(&self, field: &str, chars: RangeInclusive<usize>) -> Result<Option<&'b str>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| wrong(field, "a string", value))?;
        check_len(field, text, chars)?;
        Ok(Some(text))
    }

    /// # Errors
    /// 400 when no boolean: strings and numbers do not count.
    pub fn opt_bool(&self, field: &str) -> Result<Option<bool>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| wrong(field, "a boolean", value))
    }

    /// # Errors
    /// 400 when no whole number, or outside the range.
    pub fn opt_int(&self, field: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let int = value.as_int().ok_or_else(|| wrong(field, "an integer", value))?;
        let int = u64::try_from(int).ok().filter(|int| range.contains(int));
        int.map(Some).ok_or_else(|| match *range.end() {
            u64::MAX => Error::invalid(field, format_args!("must be at least {}", range.start())),
            end => Error::invalid(field, format_args!("must be {} to {end}", range.start())),
        })
    }

    /// A list; empty when not given.
    ///
    /// # Errors
    /// 400 when no list, or with more items.
    pub fn list(&self, field: &str, count_max: usize) -> Result<&[Value<'b>]> {
        let Some(value) = self.value(field) else { return Ok(&[]) };
        let items = value.as_array().ok_or_else(|| wrong(field, "a list", value))?;
        if items.len() > count_max {
            return Err(Error::invalid(field, format_args!("at most {count_max}, not {}", items.len())));
        }
        Ok(items)
    }

    /// # Errors
    /// 400 when missing or no id.
    pub fn id(&self, field: &str) -> Result<u64> {
        self.opt_id(field)?.ok_or_else(|| Error::invalid(field, "this field is required"))
    }

    /// An id: decimal string or integer.
    ///
    /// # Errors
    /// 400 when no id.
    pub fn opt_id(&self, field: &str) -> Result<Option<u64>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_id().map(Some).ok_or_else(|| Error::invalid(field, "must be an ID"))
    }
}

fn wrong(field: &str, want: &str, got: &Value<'_>) -> Error {
    Error::invalid(field, format_args!("must be {want}, not {}", got.kind()))
}

/// # Errors
/// 400 when the number of characters is outside the range.
pub fn check_len(field: &str, text: &str, chars: RangeInclusive<usize>) -> Result<()> {
    // A text has at most as many characters as bytes: most need no counting.
    if text.len() <= *chars.end() && *chars.start() == 0 {
        return Ok(());
    }
    let count = text.chars().count();
    if chars.contains(&count) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        match (*chars.start(), *chars.end()) {
            (0, end) => format!("must be at most {end} characters, not {count}"),
            (start, end) => format!("must be {start} to {end} characters, not {count}"),
        },
    ))
}

const JSON: &[u8] = b"application/json";

/// `application/x-www-form-urlencoded`, parameters ignored.
pub(super) fn is_form(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The field `payload` of a form, decoded where it stands.
fn form_payload(form: &mut [u8]) -> Result<&mut [u8]> {
    const NAME: &[u8] = b"payload=";
    let value = form.split_mut(|&byte| byte == b'&').find_map(|pair| {
        let value = pair.starts_with(NAME).then_some(pair)?;
        Some(&mut value[NAME.len()..])
    });
    let value =
        value.ok_or_else(|| Error::bad_request("The form must have the field payload, with JSON in it"))?;
    let len = decode_form(value)
        .ok_or_else(|| Error::bad_request("Malformed form: % is followed by two hexadecimal digits"))?;
    Ok(&mut value[..len])
}

/// Decodes percent-escapes and blanks in place; how long it is then. `None` for a broken escape.
pub(super) fn decode_form(value: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while from < value.len() {
        let digit = |at: usize| char::from(*value.get(at)?).to_digit(16);
        (value[to], from) = match value[from] {
            b'%' => ((digit(from + 1)? << 4 | digit(from + 2)?) as u8, from + 3),
            b'+' => (b' ', from + 1),
            byte => (byte, from + 1),
        };
        to += 1;
    }
    Some(to)
}

/// `application/json` or `application/*+json`, parameters ignored.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 17
            && essence[..12].eq_ignore_ascii_case(b"application/")
            && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(json: &str, check: impl FnOnce(Body<'_>) -> Result<T>) -> std::result::Result<T, String> {
        let mut bytes = json.as_bytes().to_vec();
        Body::parse(&mut bytes, Some(b"application/json; charset=utf-8"))
            .and_then(check)
            .map_err(|error| error.message.into_owned())
    }

    #[test]
    fn only_json_objects() {
        let refused = |json: &str, want: &str| {
            let error = with(json, |_| Ok(())).unwrap_err();
            assert!(error.contains(want), "{json}: {error}");
        };
        refused("", "A JSON body is required");
        refused("[]", "must be a JSON object, not a list");
        refused("{", "Malformed JSON");
        let mut bytes = b"{}".to_vec();
        assert!(Body::parse(&mut bytes, Some(b"text/plain")).is_err());
        let mut bytes = b"{}".to_vec();
        assert!(Body::parse(&mut bytes, None).is_err());
        let mut bytes = b"{}".to_vec();
        assert!(Body::parse(&mut bytes, Some(b"application/problem+json")).is_ok());
    }

    #[test]
    fn json_in_a_form() {
        let read = |bytes: &str, kind: &str| {
            let mut bytes = bytes.as_bytes().to_vec();
            let body = Body::parse_json_or_form(&mut bytes, Some(kind.as_bytes()));
            body.map(|body| body.root().to_json()).map_err(|error| error.message.into_owned())
        };
        let form = "application/x-www-form-urlencoded";
        let check = |bytes: &str, want: &str| assert_eq!(read(bytes, form).as_deref(), Ok(want), "{bytes}");
        check("payload=%7B%22a%22%3A%22b+c%2B%C3%BC%22%7d", r#"{"a":"b c+ü"}"#);
        check("token=x&payload={}&payload=5", "{}");
        check(r#" {"a":"b&payload=5"}"#, r#"{"a":"b&payload=5"}"#);
        assert_eq!(read(r#"{"a":1}"#, "application/json").as_deref(), Ok(r#"{"a":1}"#));
        for (bytes, kind, want) in [
            ("", form, "must have the field payload"),
            ("payload", form, "must have the field payload"),
            ("xpayload={}", form, "must have the field payload"),
            ("payload=", form, "A JSON body is required"),
            ("payload=%7", form, "Malformed form"),
            ("payload=%zz", form, "Malformed form"),
            ("payload=[]", form, "must be a JSON object"),
            ("payload=%FF", form, "Malformed JSON"),
            ("payload={}", "application/json", "Malformed JSON"),
            ("{}", "text/plain", "Content-Type must be application/json"),
        ] {
            let error = read(bytes, kind).unwrap_err();
            assert!(error.contains(want), "{bytes}: {error}");
        }
    }

    #[test]
    fn fields_by_type() {
        assert_eq!(with(r#"{"a":"ü"}"#, |b| b.str("a", 1..=1).map(str::to_string)), Ok("ü".into()));
        assert_eq!(with(r#"{"a":null}"#, |b| b.opt_str("a", 1..=1).map(|v| v.is_none())), Ok(true));
        let check = |json: &str, want: &str| {
            let error = with(json, |b| {
                b.opt_str("s", 2..=4)?;
                b.opt_bool("b")?;
                b.opt_int("i", 0..=10)?;
                b.opt_id("id")
            });
            assert_eq!(error.unwrap_err(), want, "{json}");
        };
        check(r#"{"s":1}"#, "Invalid s: must be a string, not an integer");
        check(r#"{"s":"x"}"#, "Invalid s: must be 2 to 4 characters, not 1");
        check(r#"{"b":"true"}"#, "Invalid b: must be a boolean, not a string");
        check(r#"{"i":11}"#, "Invalid i: must be 0 to 10");
        check(r#"{"i":-1}"#, "Invalid i: must be 0 to 10");
        check(r#"{"i":1.5}"#, "Invalid i: must be an integer, not a number");
        check(r#"{"id":"x"}"#, "Invalid id: must be an ID");
    }
}
