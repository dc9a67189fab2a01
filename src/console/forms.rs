//! From what somebody has put into a form to the call of an operation.
//!
//! Only spelled here, not judged: what is no number goes as the text that it is, and the operation says so.

use super::actions::{Action, Input, Kind};
use super::time;
use crate::wire::json::{Array, Object, parse_own, to_wire_time, write_str};

/// The box that is ticked for what cannot be taken back.
pub const SURE: &str = "sure";

/// Where an operation takes something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Body,
}

/// What an operation is asked with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub params: Vec<(&'static str, String)>,
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// The call of a form that was sent.
///
/// # Errors
/// A sentence, when something is missing that only forms ask for, or what is no JSON.
pub fn call<'v>(
    action: &Action,
    place: impl Fn(&str) -> Place,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<Call, String> {
    if action.is_grave && value(SURE).is_none() {
        return Err(format!("{}: tick the box to say that you mean it", action.label));
    }
    let mut call = Call::default();
    let mut body = Object::new(&mut call.body);
    for input in action.inputs {
        let given = match input.kind {
            Kind::Fixed(text) => Some(text),
            // A box that is not ticked is not sent.
            Kind::Flag => Some(if value(input.name).is_some() { "true" } else { "false" }),
            _ => value(input.name).filter(|text| !text.is_empty()),
        };
        match (place(input.name), given) {
            (Place::Path, text) => {
                let text = text.ok_or_else(|| format!("{}: this field is required", input.label))?;
                call.params.push((input.name, text.to_string()));
            }
            (Place::Query, Some(text)) => call.query.push((input.name, moment(input, text))),
            (Place::Body, Some(text)) => write(body.key(input.name), input, text)?,
            // A note may be emptied; all else that is needed and missing is named by the operation.
            (Place::Body, None) if input.is_needed && input.kind == Kind::Text => {
                body.str(input.name, "");
            }
            (_, None) => {}
        }
    }
    drop(body);
    Ok(call)
}

/// A moment as the API counts; all else as it is.
fn moment(input: &Input, text: &str) -> String {
    let at = (input.kind == Kind::Moment).then(|| time::read(text)).flatten();
    at.map_or_else(|| text.to_string(), |unix_ms| to_wire_time(unix_ms).to_string())
}

fn write(out: &mut Vec<u8>, input: &Input, text: &str) -> Result<(), String> {
    // Lines of a form end as those of a mail.
    let text = &text.replace("\r\n", "\n");
    match input.kind {
        Kind::Number | Kind::Moment => {
            let number = moment(input, text.trim());
            let is_number = number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit());
            match is_number {
                true => out.extend_from_slice(without_zeros(&number).as_bytes()),
                false => write_str(out, &number),
            }
        }
        Kind::Flag => out.extend_from_slice(text.as_bytes()),
        Kind::Json => {
            let mut copy = text.clone().into_bytes();
            let value =
                parse_own(&mut copy).map_err(|error| format!("{}: this is no JSON: {error}", input.label))?;
            value.write(out);
        }
        Kind::Words => {
            let mut list = Array::new(out);
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).for_each(|word| list.str(word));
        }
        Kind::Known | Kind::Fixed(_) | Kind::Line | Kind::Secret | Kind::Text | Kind::Choice(_) => {
            write_str(out, text);
        }
    }
    Ok(())
}

/// A number in JSON begins with no zero.
fn without_zeros(digits: &str) -> &str {
    let bare = digits.trim_start_matches('0');
    if bare.is_empty() { "0" } else { bare }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, given: &[(&str, &str)], want: Result<(&str, &str, &str), &str>) {
        let place = |name: &str| match name {
            "user_id" if operation != "admin_user_lock" => Place::Path,
            "deletion_at" => Place::Query,
            _ => Place::Body,
        };
        let value = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let action = Action::find(operation).unwrap();
        let got = call(action, place, value).map(|call| {
            let pairs = |pairs: &[(&str, String)]| {
                pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
            };
            (pairs(&call.params), pairs(&call.query), String::from_utf8(call.body).unwrap())
        });
        let got = got.as_ref().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).map_err(String::as_str);
        assert_eq!(got, want);
    }

    #[test]
    fn calls_are_spelled_as_the_api_takes_them() {
        let check_ok = |operation, given: &[_], want| check(operation, given, Ok(want));
        check_ok(
            "admin_user_lock",
            &[("user_id", "7"), ("duration_seconds", "060")],
            ("", "", r#"{"user_id":"7","duration_seconds":60}"#),
        );
        check_ok(
            "admin_user_lock",
            &[("user_id", "7"), ("duration_seconds", "an hour")],
            ("", "", r#"{"user_id":"7","duration_seconds":"an hour"}"#),
        );
        check_ok("admin_user_notes_set", &[("user_id", "7")], ("user_id=7", "", r#"{"notes":""}"#));
        check_ok(
            "admin_user_notes_set",
            &[("user_id", "7"), ("notes", "a \"b\"\r\n<c>")],
            ("user_id=7", "", "{\"notes\":\"a \\\"b\\\"\\n<c>\"}"),
        );
        check_ok(
            "admin_deletion_delay",
            &[("user_id", "7"), ("deletion_at", "2026-01-01T00:00")],
            ("user_id=7", "deletion_at=1767225600", "{}"),
        );
        check_ok("admin_maintenance_set", &[("message", "")], ("", "", r#"{"enabled":false}"#));
        check_ok("admin_maintenance_set", &[("enabled", "on")], ("", "", r#"{"enabled":true}"#));
        check_ok(
            "admin_rule_create",
            &[("server_id", "1"), ("config", " {\"keywords\": [\"</script>\"]} "), ("actions", "[]")],
            ("", "", r#"{"server_id":"1","config":{"keywords":["</script>"]},"actions":[]}"#),
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        check("admin_user_notes_set", &[], Err(": this field is required"));
        check(
            "admin_user_purge",
            &[("user_id", "7")],
            Err("Delete account now: tick the box to say that you mean it"),
        );
        let wrong = call(Action::find("admin_rule_create").unwrap(), |_| Place::Body, |_| Some("{"));
        assert!(wrong.unwrap_err().starts_with("Settings: this is no JSON"));
    }
}
