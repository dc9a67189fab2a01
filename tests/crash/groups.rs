//! Groups: opened, named, joined, left.

use super::*;

/// The owner's with the member.
pub fn group(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (owner, member) = (m.owner.clone(), m.member.clone());
    let name = format!("group {}", m.fresh());
    let called = |id: &str| Place::of(&owner.token, format!("/groups/{id}"), "/name");
    let there = |id: &str| Place::item(&member.token, "/users/@me/groups".into(), "id", id, "/id");
    let Some(id) = m.pick("group", random) else {
        let body = json!({"user_ids": [member.id], "name": name});
        let made =
            m.change(line, "GroupOpen", ("POST", "/users/@me/groups".into(), &owner.token, body), &[])?;
        let id = text(&made["id"]);
        m.note(&format!("group {id}"), called(&id), json!(name));
        m.note(&format!("in group {id}"), there(&id), json!(id));
        m.pools.entry("group").or_default().push(id);
        return Ok(());
    };
    let (fact, within) = (format!("group {id}"), format!("in group {id}"));
    let (path, leave) = (format!("/groups/{id}"), format!("/groups/{id}/leave"));
    let other = format!("{path}/participants/{}", member.id);
    let is_in = !m.known(&within).is_null();
    match random.u8(..4) {
        0 => {
            let ask = ("PATCH", path, &*owner.token, json!({"name": name}));
            m.change(line, "GroupEdit", ask, &[(&fact, called(&id), json!(name))]).map(drop)
        }
        1 if !is_in => {
            let ask = ("POST", leave, &*owner.token, Value::Null);
            m.change(line, "GroupRemove", ask, &[(&fact, called(&id), Value::Null)])?;
            m.forget("group", &id);
            Ok(())
        }
        _ if !is_in => {
            let ask = ("PUT", other, &*owner.token, Value::Null);
            m.change(line, "GroupAdd", ask, &[(&within, there(&id), json!(id))]).map(drop)
        }
        which => {
            let ask = match which {
                1 => ("DELETE", other, &*owner.token, Value::Null),
                _ => ("POST", leave, &*member.token, Value::Null),
            };
            m.change(line, "GroupRemove", ask, &[(&within, there(&id), Value::Null)]).map(drop)
        }
    }
}
