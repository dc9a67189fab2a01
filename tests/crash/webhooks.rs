//! Webhooks: made, renamed, deleted; and what they say with a fresh token.

use super::*;

pub fn webhook(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, channel) = (m.owner.token.clone(), m.channels[0].clone());
    let name = format!("webhook {}", m.fresh());
    let place = |id: &str| Place::of(&token, format!("/webhooks/{id}"), "/name");
    let Some(id) = m.pick("webhook", random) else {
        let ask = ("POST", "/webhooks".into(), &*token, json!({"channel_id": channel, "name": name}));
        return m.make(line, ("webhook", "WebhookCreate"), ask, |_, id| place(id), "id", json!(name));
    };
    let fact = format!("webhook {id}");
    let one = format!("/webhooks/{id}");
    match random.u8(..4) {
        0 => {
            let facts = [(&*fact, place(&id), json!(name))];
            let ask = ("PATCH", one, &*token, json!({"name": name}));
            m.change(line, "WebhookEdit", ask, &facts).map(drop)
        }
        1 => {
            let facts = [(&*fact, place(&id), Value::Null)];
            m.change(line, "WebhookDelete", ("DELETE", one, &token, Value::Null), &facts)?;
            m.forget("webhook", &id);
            Ok(())
        }
        _ => {
            let ask = ("POST", format!("{one}/regenerate-token"), &*token, Value::Null);
            let made = m.change(line, "WebhookTokenReplace", ask, &[])?;
            let ask =
                ("POST", format!("{one}/{}?wait=true", text(&made["token"])), "", json!({"content": name}));
            let said = m.change(line, "WebhookExecute", ask, &[])?;
            let read = format!("/channels/{channel}/messages/{}", text(&said["id"]));
            let place = Place::of(&token, read, "/content");
            let fact = Fact { place, want: Some(json!(name)), perhaps: None, dirty: true };
            m.facts.insert("said by a webhook".to_owned(), fact);
            Ok(())
        }
    }
}
