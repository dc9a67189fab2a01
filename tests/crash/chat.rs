//! What is said in channels, marked, and read.

use super::*;

/// 👍
const THUMB: &str = "%F0%9F%91%8D";

pub fn message(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, path) = (m.member.token.clone(), format!("/channels/{}/messages", m.channels[0]));
    let content = format!("message {}", m.fresh());
    let place = |id: &str| Place::of(&token, format!("{path}/{id}"), "/content");
    let Some(id) = m.pick("message", random) else {
        let ask = ("POST", path.clone(), &*token, json!({"content": content}));
        return m.make(line, ("message", "MessageCreate"), ask, |_, id| place(id), "id", json!(content));
    };
    let fact = format!("message {id}");
    let one = format!("{path}/{id}");
    if random.bool() {
        let facts = [(&*fact, place(&id), json!(content))];
        return m
            .change(line, "MessageEdit", ("PATCH", one, &token, json!({"content": content})), &facts)
            .map(drop);
    }
    let (thumbs, pinned) = marks(m, &id);
    let (thumb, pin) = (format!("thumb {id}"), format!("pin {id}"));
    let facts =
        [(&*fact, place(&id), Value::Null), (&*thumb, thumbs, Value::Null), (&*pin, pinned, Value::Null)];
    // Alone, or by whoever manages messages.
    let all = (m.owner.token.clone(), json!({"message_ids": [id]}));
    match random.bool() {
        true => m.change(line, "MessageDelete", ("DELETE", one, &token, Value::Null), &facts)?,
        false => {
            m.change(line, "MessagesDelete", ("POST", format!("{path}/bulk-delete"), &all.0, all.1), &facts)?
        }
    };
    m.forget("message", &id);
    Ok(())
}

/// Where a reaction and a pin of a message are read.
fn marks(m: &Mixer, id: &str) -> (Place, Place) {
    let (token, path) = (&m.owner.token, format!("/channels/{}/messages/{id}", m.channels[0]));
    let thumbs = Place::item(token, format!("{path}/reactions"), "emoji", "👍", "/count");
    (thumbs, Place::of(token, path, "/pinned"))
}

/// A reaction or a pin comes or goes.
pub fn mark(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let Some(id) = m.pick("message", random) else { return Ok(()) };
    let token = m.owner.token.clone();
    let (thumbs, pinned) = marks(m, &id);
    let (thumb, pin) = (format!("thumb {id}"), format!("pin {id}"));
    let channel = format!("/channels/{}", m.channels[0]);
    let ask = |method| (method, format!("{channel}/messages/{id}/reactions/{THUMB}"), &*token, Value::Null);
    let pin_ask = |method| (method, format!("{channel}/pins/{id}"), &*token, Value::Null);
    let (has_thumb, is_pinned) = (m.known(&thumb) == json!(1), m.known(&pin) == json!(true));
    match (random.bool(), has_thumb, is_pinned) {
        (true, false, _) => m.change(line, "ReactionAdd", ask("PUT"), &[(&thumb, thumbs, json!(1))]),
        (true, true, _) if random.bool() => {
            let ask = ("DELETE", format!("{channel}/messages/{id}/reactions"), &*token, Value::Null);
            m.change(line, "ReactionsClear", ask, &[(&thumb, thumbs, Value::Null)])
        }
        (true, true, _) => m.change(line, "ReactionRemove", ask("DELETE"), &[(&thumb, thumbs, Value::Null)]),
        (false, _, false) => m.change(line, "MessagePin", pin_ask("PUT"), &[(&pin, pinned, json!(true))]),
        (false, _, true) => {
            m.change(line, "MessageUnpin", pin_ask("DELETE"), &[(&pin, pinned, json!(false))])
        }
    }
    .map(drop)
}

/// The owner posts, the member reads.
pub fn unread(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (owner, member) = (m.owner.token.clone(), m.member.token.clone());
    let channel = m.channels[1].clone();
    let place = Place::of(&member, format!("/channels/{channel}/messages/unread"), "/unread_count");
    let count = m.known("unread").as_u64();
    let (kind, ask, want) = match (count, random.u8(..3)) {
        (Some(count @ ..100), 0..2) => {
            let ask = ("POST", format!("/channels/{channel}/messages"), &*owner, json!({"content": "x"}));
            ("MessageCreate", ask, json!(count + 1))
        }
        (None, _) | (Some(_), 0..2) => (
            "ChannelAck",
            ("POST", format!("/channels/{channel}/messages/ack"), &*member, Value::Null),
            json!(0),
        ),
        _ => (
            "ChannelsAck",
            ("POST", "/channels/ack/bulk".into(), &*member, json!({&channel: null})),
            json!(0),
        ),
    };
    m.change(line, kind, ask, &[("unread", place, want)]).map(drop)
}

/// The owner mentions the member, who reads that.
pub fn mention(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (owner, member) = (m.owner.token.clone(), m.member.clone());
    let all = "/users/@me/notifications";
    let place = Place::of(&member.token, all.into(), "/unread_count");
    let (kind, ask, want) = match (m.known("mentions").as_u64(), random.bool()) {
        (Some(count @ ..100), true) => {
            let body = json!({"content": format!("<@{}>", member.id)});
            let ask = ("POST", format!("/channels/{}/messages", m.channels[0]), &*owner, body);
            ("MessageCreate", ask, json!(count + 1))
        }
        _ => {
            let ask = ("PUT", format!("{all}/read-all"), &*member.token, Value::Null);
            ("NotificationsRead", ask, json!(0))
        }
    };
    m.change(line, kind, ask, &[("mentions", place, want)]).map(drop)
}
