//! Client settings and messaging preferences.

use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, ConfiguredInt, Flag, Int, Needed, Text, Word, fields};
use crate::domain::social::setting::{self, MessagingEdit, SettingDelete, SettingsPut};
use crate::domain::{Error, Refusal, Result};
use crate::limits::{ATTACHMENT_COUNT_MAX, SETTING_COUNT_MAX, SETTING_KEY_LEN_MAX, SETTING_VALUE_LEN_MAX};
use crate::store::records::dm_policy;
use crate::store::tables::SETTINGS;
use crate::wire::json::Value;

fields! {
    /// The value of a setting.
    pub SETTING: SettingValue {
        value: Needed<Text> = Needed(Text(Chars::UpTo(SETTING_VALUE_LEN_MAX))),
    }
}

fields! {
    /// What changes of the messaging settings; the rest stays.
    pub MESSAGING: MessagingSettingsUpdateRequest {
        read_receipts_enabled: Flag = Flag,
        typing_indicators_enabled: Flag = Flag,
        compact_messages_enabled: Flag = Flag,
        allow_dms_from: Word = Word(dm_policy::WORDS),
        auto_create_dms: Flag = Flag,
        max_message_length: ConfiguredInt = ConfiguredInt(|config| 1..=config.messaging.max_message_length),
        max_attachment_size: ConfiguredInt = ConfiguredInt(|config| 1..=config.messaging.max_attachment_size),
        max_attachments_per_message: Int = Int(1..=ATTACHMENT_COUNT_MAX),
    }
}

/// Keys that start like this belong to the server.
const RESERVED_PREFIX: &str = "__internal";

/// # Errors
/// 400 for keys that are empty, too long or reserved.
fn check_key(key: &str) -> Result<()> {
    check_len("key", key, 1..=SETTING_KEY_LEN_MAX)?;
    if key.starts_with(RESERVED_PREFIX) {
        return Err(Error::invalid("key", format_args!("{RESERVED_PREFIX} is reserved")));
    }
    Ok(())
}

/// The key in the path of a setting that should exist.
///
/// # Errors
/// 404 for a key that cannot exist.
fn path_key(ctx: &Ctx<'_>) -> Result<String> {
    let key = ctx.param("key");
    check_key(&key).map_err(|_| Refusal::SettingNotFound)?;
    Ok(key.into_owned())
}

fn answer_setting(ctx: &mut Ctx<'_>, key: &str) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let stored = snapshot.read().get(SETTINGS, (user_id, key)).ok_or(Refusal::SettingNotFound)?;
    ctx.json(|out| setting::SettingResponse::write(out, key, stored))
}

pub fn setting_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    ctx.json(|out| setting::write_settings(out, snapshot.read(), user_id))
}

pub fn setting_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let key = path_key(ctx)?;
    answer_setting(ctx, &key)
}

pub fn setting_put(ctx: &mut Ctx<'_>) -> Result<Step> {
    let key = ctx.param("key").into_owned();
    check_key(&key)?;
    let value = SETTING.value.read(&ctx.body()?)?.to_string();
    ctx.submit(SettingsPut { entries: vec![(key.clone(), value)] }, move |ctx, _| answer_setting(ctx, &key))
}

pub fn setting_put_bulk(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    // Before anything is copied or handed to the writer; a key given twice is one.
    if body.members().len() > SETTING_COUNT_MAX {
        let problem = format_args!("at most {SETTING_COUNT_MAX} settings can be stored");
        return Err(Error::invalid("key", problem));
    }
    let mut entries = Vec::with_capacity(body.members().len());
    for (key, value) in body.members() {
        check_key(key)?;
        let text = match value {
            Value::Str(text) => (*text).to_string(),
            Value::Null => String::new(),
            other => other.to_json(),
        };
        check_len(key, &text, 0..=SETTING_VALUE_LEN_MAX)?;
        entries.push(((*key).to_string(), text));
    }
    ctx.submit_success(SettingsPut { entries })
}

pub fn setting_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let key = path_key(ctx)?;
    ctx.submit_success(SettingDelete { key })
}

fn answer_messaging(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let messaging = setting::messaging(snapshot.read(), user_id);
    ctx.json(|out| setting::MessagingSettingsResponse::write(out, user_id, &messaging))
}

pub fn messaging_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer_messaging(ctx)
}

pub fn messaging_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let edit = MessagingEdit {
        read_receipts_enabled: MESSAGING.read_receipts_enabled.read(&body)?,
        typing_indicators_enabled: MESSAGING.typing_indicators_enabled.read(&body)?,
        compact_messages_enabled: MESSAGING.compact_messages_enabled.read(&body)?,
        allow_dms_from: MESSAGING.allow_dms_from.read(&body)?.and_then(dm_policy::code),
        auto_create_dms: MESSAGING.auto_create_dms.read(&body)?,
        max_message_length: MESSAGING.max_message_length.read(&body, &ctx.state.config)?,
        max_attachment_size: MESSAGING.max_attachment_size.read(&body, &ctx.state.config)?,
        max_attachments_per_message: MESSAGING.max_attachments_per_message.read(&body)?,
    };
    ctx.submit(edit, |ctx, _| answer_messaging(ctx))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{register, text_at};
    use crate::store::tables::META;

    const PATH: &str = "/users/@me/settings";

    #[test]
    fn one_setting() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let send = |method: &str, key: &str, body: Option<&str>| {
            harness.request(method, &format!("{PATH}/{key}"), Some(&alice.token), body)
        };
        let list = |token: &str| harness.request("GET", PATH, Some(token), None).1;
        assert_eq!(list(&alice.token), r#"{"settings":{},"count":0,"limit":100}"#);
        let want = r#"{"key":"theme","value":"dark","created_at":1767225600,"updated_at":1767225600}"#;
        assert_eq!(send("PUT", "theme", Some(r#"{"value":"dark"}"#)), (200, want.into()));
        harness.advance(1_000);
        let want = r#"{"key":"theme","value":"","created_at":1767225600,"updated_at":1767225601}"#;
        assert_eq!(send("PUT", "theme", Some(r#"{"value":""}"#)), (200, want.into()));
        assert_eq!(send("GET", "theme", None), (200, want.into()));
        assert_eq!(list(&alice.token), r#"{"settings":{"theme":""},"count":1,"limit":100}"#);
        assert_eq!(list(&bob.token), r#"{"settings":{},"count":0,"limit":100}"#);
        assert_eq!(send("DELETE", "theme", None), (200, r#"{"success":true}"#.into()));
        assert_eq!((send("DELETE", "theme", None).0, send("GET", "theme", None).0), (404, 404));
        assert_eq!(send("PUT", "a%2Fb%20%C3%BC", Some(r#"{"value":"x"}"#)).0, 200);
        assert_eq!(list(&alice.token), r#"{"settings":{"a/b ü":"x"},"count":1,"limit":100}"#);
    }

    #[test]
    fn limits() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let put = |key: &str, value: &str| {
            let path = format!("{PATH}/{key}");
            harness.request("PUT", &path, Some(&alice.token), Some(&format!(r#"{{"value":{value}}}"#))).0
        };
        for value in ["5", "null", "[]", "true"] {
            assert_eq!(put("k", value), 400, "{value}");
        }
        assert_eq!(put("k", &format!("{:?}", "x".repeat(10_001))), 400);
        assert_eq!(put("k", &format!("{:?}", "ü".repeat(10_000))), 200);
        let long = "%F0%9F%9A%80".repeat(100);
        assert_eq!(put(&long, r#""100 characters, 400 bytes""#), 200);
        assert_eq!(put(&format!("{long}x"), r#""""#), 400);
        assert_eq!((put("__internal", r#""""#), put("__internal_x", r#""""#)), (400, 400));
        assert_eq!((put("_system", r#""""#), put("__inter", r#""""#)), (200, 200));
        for method in ["GET", "DELETE"] {
            let path = format!("{PATH}/{}", "k".repeat(2_000));
            assert_eq!(harness.request(method, &path, Some(&alice.token), None).0, 404);
        }
        for index in 4..100 {
            assert_eq!(put(&format!("k{index}"), r#""""#), 200, "{index}");
        }
        assert_eq!(put("one_more", r#""""#), 400);
        assert_eq!(put("k50", r#""again""#), 200, "replacing needs no room");
    }

    #[test]
    fn bulk_is_all_or_nothing() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let bulk =
            |body: &str| harness.request("PUT", &format!("{PATH}/bulk"), Some(&alice.token), Some(body)).0;
        let list = || harness.request("GET", PATH, Some(&alice.token), None).1;
        assert_eq!(bulk(r#"{"a":"1","b":3,"c":{"x":[1,null]},"d":null,"e":true,"a":"2"}"#), 200);
        let settings = text_at(&list(), &["settings"]);
        assert_eq!(settings, r#"{"a":"2","b":"3","c":"{\"x\":[1,null]}","d":"","e":"true"}"#);
        assert_eq!((bulk("{}"), bulk("[]"), bulk("null"), bulk("")), (200, 400, 400, 400));
        assert_eq!(bulk(r#"{"new":"1","__internal_x":"2"}"#), 400);
        assert_eq!(bulk(r#"{"new":"1","":"2"}"#), 400);
        assert_eq!(bulk(&format!(r#"{{"new":"1","long":"{}"}}"#, "x".repeat(10_001))), 400);
        let many: Vec<String> = (0..96).map(|index| format!(r#""n{index}":"x""#)).collect();
        assert_eq!(bulk(&format!("{{{}}}", many.join(","))), 400, "5 + 96");
        assert_eq!(text_at(&list(), &["count"]), "5");
        assert_eq!(bulk(&format!("{{{}}}", many[1..].join(","))), 200);
        assert_eq!(text_at(&list(), &["count"]), "100");
        // The word is a path of its own for PUT only.
        let (status, _) = harness.request("GET", &format!("{PATH}/bulk"), Some(&alice.token), None);
        assert_eq!(status, 404);
    }

    #[test]
    fn bulk_beyond_the_limit_never_reaches_the_writer() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let path = format!("{PATH}/bulk");
        let applied = || {
            let snapshot = harness.state.snapshot();
            snapshot.read().get(META, "applied").map(|meta| meta.value.to_native())
        };
        let before = applied();
        let distinct: Vec<String> = (0..101).map(|index| format!(r#""k{index}":1"#)).collect();
        let many: Vec<String> = (0..8_000).map(|index| format!(r#""k{index}":1"#)).collect();
        for entries in [distinct, many] {
            let body = format!("{{{}}}", entries.join(","));
            let (status, text) = harness.request("PUT", &path, Some(&alice.token), Some(&body));
            assert_eq!((status, text.contains("at most 100 settings")), (400, true), "{text}");
        }
        let flood: Vec<String> = (0..70_000).map(|index| format!(r#""k{index}":1"#)).collect();
        let body = format!("{{{}}}", flood.join(","));
        let (status, text) = harness.request("PUT", &path, Some(&alice.token), Some(&body));
        assert_eq!((status, text.contains("more names and values than")), (400, true), "{text}");
        assert_eq!(applied(), before);
        let same = vec![r#""k":1"#; 8_000];
        let body = format!("{{{}}}", same.join(","));
        assert_eq!(harness.request("PUT", &path, Some(&alice.token), Some(&body)).0, 200);
        let list = harness.request("GET", PATH, Some(&alice.token), None).1;
        assert_eq!(text_at(&list, &["settings"]), r#"{"k":"1"}"#);
    }

    #[test]
    fn messaging_preferences() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let path = "/users/@me/messaging-settings";
        let patch = |body: &str| harness.request("PATCH", path, Some(&alice.token), Some(body));
        let defaults = format!(
            r#"{{"user_id":"{}","read_receipts_enabled":true,"typing_indicators_enabled":true,"compact_messages_enabled":true,"allow_dms_from":"everyone","auto_create_dms":true,"max_message_length":null,"max_attachment_size":null,"max_attachments_per_message":null}}"#,
            alice.id
        );
        assert_eq!(harness.request("GET", path, Some(&alice.token), None), (200, defaults.clone()));
        for body in [
            r#"{"allow_dms_from":"bogus"}"#,
            r#"{"allow_dms_from":1}"#,
            r#"{"read_receipts_enabled":"false"}"#,
            r#"{"read_receipts_enabled":false,"max_message_length":4001}"#,
            r#"{"max_message_length":0}"#,
            r#"{"max_attachment_size":10485761}"#,
            r#"{"max_attachments_per_message":11}"#,
            "[]",
        ] {
            assert_eq!(patch(body).0, 400, "{body}");
        }
        assert_eq!(patch("{}"), (200, defaults), "nothing was stored");
        let (_, text) = patch(
            r#"{"typing_indicators_enabled":false,"allow_dms_from":"friends","max_message_length":4000}"#,
        );
        let (_, kept) = patch(r#"{"typing_indicators_enabled":null,"max_message_length":null}"#);
        assert_eq!(text, kept);
        assert_eq!(text_at(&kept, &["typing_indicators_enabled"]), "false");
        assert_eq!(text_at(&kept, &["allow_dms_from"]), "friends");
        assert_eq!(text_at(&kept, &["max_message_length"]), "4000");
    }
}
