//! The gateway described as an AsyncAPI 3 document, from the tables of opcodes, events, intents and close codes.
//!
//! What AsyncAPI has no place for stands under `x-close-codes` and `x-intents`.

use std::collections::BTreeMap;

use super::events::{EVENTS, EventRow};
use super::{fill, words};
use crate::api::openapi::{collect, write_id_schema, write_ref, write_shape};
use crate::config::Config;
use crate::domain::intent;
use crate::gateway::protocol::{CLOSES, Data, OPS, OpRow, When};
use crate::wire::json::shape::Shape;
use crate::wire::json::{Array, Object};

/// A field of the `d` of an opcode: name, JSON type, whether it has to be there.
type Given = (&'static str, &'static str, bool);

/// What stands in `d`, by opcode; others have no object there.
#[rustfmt::skip]
const DATA: &[(&str, &[Given])] = &[
    ("IDENTIFY", &[("token", "string", true), ("intents", "integer", false), ("compress", "boolean", false), ("properties", "object", false)]),
    ("PRESENCE_UPDATE", &[("status", "string", false), ("custom_status", "string", false), ("custom_emoji", "string", false), ("activities", "array", false)]),
    ("VOICE_STATE_UPDATE", &[("channel_id", "id or null", true), ("self_mute", "boolean", false), ("self_deaf", "boolean", false), ("self_video", "boolean", false), ("self_stream", "boolean", false)]),
    ("RESUME", &[("token", "string", true), ("session_id", "string", true), ("seq", "integer", false), ("compress", "boolean", false)]),
    ("REQUEST_GUILD_MEMBERS", &[("guild_id", "id", true), ("query", "string", false), ("limit", "integer", false), ("user_ids", "array", false), ("presences", "boolean", false), ("nonce", "string", false)]),
    ("HELLO", &[("heartbeat_interval", "integer", true)]),
    ("SERVER_STATUS", &[("state", "string", true), ("message", "string", true), ("restart_at", "integer or null", false), ("estimated_downtime_seconds", "integer or null", false), ("closing_in_seconds", "number", true)]),
    ("VERSION_CHECK", &[("client_version", "string", true)]),
    ("VOICE_CONNECT", &[("channel_id", "id", true)]),
    ("VOICE_DISCONNECT", &[("channel_id", "id", false)]),
    ("VOICE_SDP_OFFER", &[("channel_id", "id", true), ("sdp", "string", true)]),
    ("VOICE_SDP_ANSWER", &[("type", "string", true), ("sdp", "string", false), ("session_id", "string", false), ("code", "string", false), ("message", "string", false), ("channel_id", "id", false)]),
    ("VOICE_ICE_CANDIDATE", &[("channel_id", "id", true), ("candidate", "string", true), ("sdpMid", "string or null", false), ("sdpMLineIndex", "integer or null", false)]),
    ("VOICE_SPEAKING", &[("channel_id", "id", false), ("speaking", "boolean", false)]),
    ("TYPING_START", &[("channel_id", "id", true)]),
    ("TYPING_STOP", &[("channel_id", "id", true)]),
];

/// The whole document.
pub fn document(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    let mut document = Object::new(&mut out);
    document.str("asyncapi", "3.0.0");
    document
        .object("info")
        .str("title", &format!("{} gateway", config.application.name))
        .str("version", &config.application.version)
        .str(
            "description",
            "What a client and the server say to each other over the WebSocket of the gateway.",
        );
    document.str("defaultContentType", "application/json");
    write_server(document.object("servers").object("gateway"), config);
    write_channel(document.object("channels").object("gateway"));
    write_operations(document.object("operations"));
    write_components(document.object("components"));
    write_closes(document.array("x-close-codes"));
    write_intents(document.array("x-intents"));
    drop(document);
    out
}

fn write_server(mut server: Object<'_>, config: &Config) {
    let address = fill::base(config);
    let (scheme, host) = address.split_once("://").expect("an address has a scheme");
    server.str("host", host.split('/').next().unwrap_or(host));
    server.str("protocol", if scheme == "https" { "wss" } else { "ws" });
}

fn write_channel(mut channel: Object<'_>) {
    channel.str("address", "/gateway");
    {
        let mut bindings = channel.object("bindings");
        let mut ws = bindings.object("ws");
        ws.str("method", "GET").str("bindingVersion", "0.1.0");
        let mut query = ws.object("query");
        query.str("type", "object");
        let mut properties = query.object("properties");
        let mut version = properties.object("v");
        version.str("type", "integer").u64("minimum", 1).u64("maximum", 10);
        drop(version);
        properties.object("api_access_token").str("type", "string");
    }
    let mut messages = channel.object("messages");
    for name in names() {
        messages.object(&name).str("$ref", &format!("#/components/messages/{name}"));
    }
}

/// The server's side: it receives what clients send.
fn write_operations(mut operations: Object<'_>) {
    let taken = OPS.iter().filter(|op| op.taken.is_some()).map(|op| op.name.to_string());
    // INTERACTION is kept for later versions, DISPATCH stands for the events.
    let said = OPS.iter().filter(|op| is_said(op)).map(said_name);
    let events = EVENTS.iter().map(event_name);
    write_operation(operations.object("fromClients"), "receive", taken);
    write_operation(operations.object("toClients"), "send", said.chain(events));
}

fn write_operation(mut operation: Object<'_>, action: &str, names: impl Iterator<Item = String>) {
    operation.str("action", action);
    operation.object("channel").str("$ref", "#/channels/gateway");
    let mut messages = operation.array("messages");
    for name in names {
        messages.object().str("$ref", &format!("#/channels/gateway/messages/{name}"));
    }
}

/// Whether the server sends it, as something else than an event.
fn is_said(op: &OpRow) -> bool {
    !matches!(op.name, "DISPATCH" | "INTERACTION") && (op.taken.is_none() || op.name == "VERSION_CHECK")
}

/// What both may send has a name for each direction.
fn said_name(op: &OpRow) -> String {
    if op.taken.is_some() { format!("{}_ANSWER", op.name) } else { op.name.to_string() }
}

/// Some events are called like opcodes.
fn event_name(row: &EventRow) -> String {
    format!("EVENT_{}", row.name.text())
}

fn names() -> impl Iterator<Item = String> {
    let taken = OPS.iter().filter(|op| op.taken.is_some()).map(|op| op.name.to_string());
    taken.chain(OPS.iter().filter(|op| is_said(op)).map(said_name)).chain(EVENTS.iter().map(event_name))
}

fn write_components(mut components: Object<'_>) {
    {
        let mut messages = components.object("messages");
        for op in OPS.iter().filter(|op| op.taken.is_some()) {
            write_message(messages.object(op.name), op);
        }
        for op in OPS.iter().filter(|op| is_said(op)) {
            write_message(messages.object(&said_name(op)), op);
        }
        EVENTS.iter().for_each(|row| write_event(messages.object(&event_name(row)), row));
    }
    let mut schemas = components.object("schemas");
    write_id_schema(schemas.object("Id"));
    shapes().values().for_each(|shape| write_shape(schemas.object(shape.name), shape));
}

/// The shapes in events, and those within them.
fn shapes() -> BTreeMap<&'static str, &'static Shape> {
    let mut shapes = BTreeMap::new();
    EVENTS.iter().flat_map(|row| row.data).for_each(|shape| collect(&mut shapes, shape));
    shapes
}

fn write_message(mut message: Object<'_>, op: &OpRow) {
    let (about, _) = words::of_op(op.name);
    message.str("name", op.name).str("summary", about);
    if let Some(taken) = &op.taken {
        let when = match taken.when {
            When::BeforeSession => "Once, before a session.",
            When::InSession => "In a session.",
            When::Always => "At any time.",
        };
        message.str("description", when);
    }
    let mut payload = message.object("payload");
    payload.str("type", "object");
    {
        let mut properties = payload.object("properties");
        properties.object("op").u64("const", op.code.unsigned_abs() as u64);
        if let Some((_, fields)) = DATA.iter().find(|(name, _)| *name == op.name) {
            write_data(properties.object("d"), fields, op);
        }
    }
    let mut required = payload.array("required");
    required.str("op");
    if op.taken.as_ref().is_some_and(|taken| taken.data == Data::Object) {
        required.str("d");
    }
}

/// Where null does nothing it is allowed.
fn write_data(mut data: Object<'_>, fields: &[Given], op: &OpRow) {
    if op.taken.as_ref().is_some_and(|taken| taken.data == Data::ObjectOrNull) {
        let mut any = data.array("anyOf");
        any.object().str("type", "null");
        return write_object(any.object(), fields);
    }
    write_object(data, fields);
}

fn write_object(mut object: Object<'_>, fields: &[Given]) {
    object.str("type", "object");
    {
        let mut properties = object.object("properties");
        for (name, kind, _) in fields {
            let mut property = properties.object(name);
            match *kind {
                // Whole numbers are taken too, but decimal text is what is given.
                "id" => write_ref(&mut property, "Id"),
                "id or null" => {
                    let mut any = property.array("anyOf");
                    write_ref(&mut any.object(), "Id");
                    any.object().str("type", "null");
                }
                kind => match kind.strip_suffix(" or null") {
                    Some(kind) => {
                        let mut types = property.array("type");
                        types.str(kind);
                        types.str("null");
                    }
                    None => drop(property.str("type", kind)),
                },
            }
        }
    }
    let mut required = object.array("required");
    fields.iter().filter(|(.., is_needed)| *is_needed).for_each(|(name, ..)| required.str(name));
}

fn write_event(mut message: Object<'_>, row: &EventRow) {
    let name = row.name.text();
    message.str("name", name).str("summary", &format!("Comes when {}.", row.when));
    let intents = match row.intents().join(" or ") {
        names if names.is_empty() => "No intent is needed.".to_string(),
        names => format!("Intent: {names}."),
    };
    message.str("description", &format!("To: {}. {intents}", row.who));
    let mut payload = message.object("payload");
    payload.str("type", "object");
    {
        let mut properties = payload.object("properties");
        properties.object("op").u64("const", 0);
        properties.object("t").str("const", name);
        properties.object("s").str("type", "integer").u64("minimum", 0);
        let mut data = properties.object("d");
        match row.data {
            [shape] => write_ref(&mut data, shape.name),
            shapes => {
                let mut any = data.array("anyOf");
                shapes.iter().for_each(|shape| write_ref(&mut any.object(), shape.name));
            }
        }
    }
    let mut required = payload.array("required");
    ["op", "t", "s", "d"].iter().for_each(|name| required.str(name));
}

fn write_closes(mut list: Array<'_>) {
    for (name, close) in CLOSES {
        let (when, then) = words::of_close(name);
        let mut row = list.object();
        row.u64("code", close.code.into()).str("name", name).str("reason", close.reason);
        row.str("when", when).str("then", then);
    }
}

fn write_intents(mut list: Array<'_>) {
    for (name, bit) in words::INTENTS {
        let mut row = list.object();
        row.str("name", name).u64("value", (*bit).into()).bool("default", intent::DEFAULT & bit != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{Value, parse_own};
    use std::collections::HashSet;

    #[test]
    fn references_lead_somewhere() {
        let mut text = document(&Config::default());
        let whole = String::from_utf8(text.clone()).unwrap();
        let document = parse_own(&mut text).unwrap();
        let mut count = 0;
        for (at, _) in whole.match_indices("\"$ref\":\"#/") {
            let path = whole[at + 10..].split('"').next().unwrap();
            let found = path.split('/').try_fold(&document, |value, key| value.get(key));
            assert!(found.is_some(), "{path}");
            count += 1;
        }
        assert!(count > 200, "{count}");
    }

    #[test]
    fn everything_of_the_tables_is_there() {
        let mut text = document(&Config::default());
        let document = parse_own(&mut text).unwrap();
        assert_eq!(document.get("asyncapi").and_then(Value::as_str), Some("3.0.0"));
        let messages = document.get("components").unwrap().get("messages").unwrap();
        let of = |name: &str| messages.get(name).and_then(|message| message.get("payload"));
        let taken = OPS.iter().filter(|op| op.taken.is_some());
        assert!(taken.clone().all(|op| of(op.name).is_some()));
        assert!(EVENTS.iter().all(|row| of(&event_name(row)).is_some()));
        let names: Vec<String> = names().collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "no name twice");
        assert_eq!(messages.as_object().unwrap().len(), names.len());
        let len = |key: &str| document.get(key).unwrap().as_array().unwrap().len();
        assert_eq!((len("x-close-codes"), len("x-intents")), (CLOSES.len(), 16));
        // Opcodes that need an object say what stands in it.
        let needs = taken.filter(|op| op.taken.as_ref().is_some_and(|taken| taken.data == Data::Object));
        for op in needs {
            assert!(DATA.iter().any(|(name, _)| *name == op.name), "{}", op.name);
        }
    }

    #[test]
    fn one_shape_for_each_name() {
        let rest = crate::api::openapi::shapes();
        for (name, shape) in shapes() {
            if let Some(other) = rest.get(name) {
                let fields = |shape: &Shape| shape.all_fields().map(|field| field.name).collect::<Vec<_>>();
                assert_eq!(
                    (other.doc, fields(other)),
                    (shape.doc, fields(shape)),
                    "{name} is another object in REST"
                );
            }
        }
    }
}
