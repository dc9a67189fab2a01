//! What the tests of all groups need to begin with: accounts, and a look into answers.

use crate::api::testing::Harness;
use crate::domain::{Event, Output};
use crate::wire::json::{Value, parse};

pub const PASSWORD: &str = "CorrectHorse1!battery";

pub struct Account {
    pub id: u64,
    pub token: String,
}

/// Registers `name` with the address `name@example.com` and [`PASSWORD`].
pub fn register(harness: &Harness, name: &str) -> Account {
    let body = format!(r#"{{"username":"{name}","email":"{name}@example.com","password":"{PASSWORD}"}}"#);
    let (status, text) = harness.request("POST", "/auth/register", None, Some(&body));
    assert_eq!(status, 200, "{text}");
    Account { id: text_at(&text, &["user", "id"]).parse().unwrap(), token: text_at(&text, &["token"]) }
}

/// Logs in with a name or an address: status and answer.
pub fn login(harness: &Harness, name: &str, password: &str) -> (u16, String) {
    let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
    harness.request("POST", "/auth/login", None, Some(&body))
}

/// The text (or compact JSON) at a path of object keys and list positions.
pub fn text_at(json: &str, path: &[&str]) -> String {
    let mut bytes = json.as_bytes().to_vec();
    let root = parse(&mut bytes).unwrap();
    let found = path.iter().try_fold(&root, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    });
    match found.unwrap_or_else(|| panic!("no {path:?} in {json}")) {
        Value::Str(text) => (*text).to_string(),
        other => other.to_json(),
    }
}

/// Events made known since the last call, as name and payload.
pub fn take_events(harness: &Harness) -> Vec<Event> {
    let outputs = std::mem::take(&mut *harness.outputs.borrow_mut());
    let events = outputs.into_iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        Output::Change(_) => None,
    });
    events.collect()
}

pub fn payload(event: &Event) -> String {
    String::from_utf8(event.payload.to_vec()).unwrap()
}
