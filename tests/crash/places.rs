//! What is changed of members, channels and owners beside the usual.

use super::*;

pub fn place(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    match random.u8(..4) {
        0 => nickname(m, line),
        1 => permission(m, line, random),
        2 => arrangement(m, line, random),
        _ => hand_over(m, line),
    }
}

fn nickname(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let (token, name) = (m.owner.token.clone(), format!("nick {}", m.fresh()));
    let members = format!("/servers/{}/members", m.server);
    let path = format!("{members}/{}", m.member.id);
    let place = Place::item(&token, members, "user_id", &m.member.id, "/nickname");
    let ask = ("PATCH", path, &*token, json!({"nickname": name}));
    m.change(line, "MemberEdit", ask, &[("nickname", place, json!(name))]).map(drop)
}

/// The guest may use one more sort of emoji in the second channel, or may not.
fn permission(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    const NAME: &str = "messages.use_external_emojis";
    let token = m.owner.token.clone();
    let list = format!("/channels/{}/permissions", m.channels[1]);
    let one = format!("{list}/{}", m.member.id);
    let place = Place::item(&token, list, "id", &m.member.id, &format!("/permissions/{NAME}"));
    let (ask, want) = match (random.u8(..3), m.known("override").is_null()) {
        (0, false) => (("DELETE", one, &*token, Value::Null), Value::Null),
        (roll, _) => {
            let allowed = roll == 1;
            (("PUT", one, &*token, json!({"type": "member", "permissions": {NAME: allowed}})), json!(allowed))
        }
    };
    m.change(line, "OverridePut", ask, &[("override", place, want)]).map(drop)
}

/// The second channel is the first one, or is not. Others stand behind these two.
fn arrangement(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let token = m.owner.token.clone();
    let path = format!("/servers/{}/channels", m.server);
    let first = random.usize(..2);
    let (one, other) = (&m.channels[first], &m.channels[1 - first]);
    let list = json!([{"id": one, "position": 0}, {"id": other, "position": 1}]);
    let ask = ("PATCH", path, &*token, json!({"channels": list}));
    // Where they stand is moved by what is made and deleted beside them, so it is not read.
    m.change(line, "ChannelsArrange", ask, &[]).map(drop)
}

/// A server of its own goes from the owner to the member, and back.
fn hand_over(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let (owner, member) = (m.owner.clone(), m.member.clone());
    let Some(id) = m.pools.get("handed").and_then(|ids| ids.first().cloned()) else {
        let made = line.post("/servers", &owner.token, &json!({"name": "handed"}))?.want(200);
        let (id, channel) = (text(&made["id"]), text(&made["default_channel_id"]));
        let invite = line.post(&format!("/channels/{channel}/invites"), &owner.token, &json!({}))?.want(200);
        line.post(&format!("/channels/invites/{}", text(&invite["code"])), &member.token, &json!({}))?
            .want(200);
        let place = Place::of(&owner.token, format!("/servers/{id}"), "/owner_id");
        m.note(&format!("handed {id}"), place, json!(owner.id));
        m.pools.entry("handed").or_default().push(id);
        return Ok(());
    };
    let fact = format!("handed {id}");
    let place = Place::of(&owner.token, format!("/servers/{id}"), "/owner_id");
    let (from, to) = if m.known(&fact) == json!(owner.id) { (owner, member) } else { (member, owner) };
    let ask = ("PUT", format!("/servers/{id}/owner"), &*from.token, json!({"user_id": to.id}));
    m.change(line, "OwnerSet", ask, &[(&fact, place, json!(to.id))]).map(drop)
}
