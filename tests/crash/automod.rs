//! Rules come, change and go; a text that one refuses is written down, and not stored.

use super::*;

pub fn automod(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, path) = (m.owner.token.clone(), format!("/servers/{}/automod/rules", m.server));
    let name = format!("rule {}", m.fresh());
    let place = |id: &str| Place::item(&token, path.clone(), "id", id, "/name");
    let Some(id) = m.pick("rule", random) else {
        let body = json!({
            "name": name, "rule_type": "regex", "config": {"patterns": ["badger \\d+"]},
            "actions": [{"action_type": "delete_message"}],
        });
        let ask = ("POST", path.clone(), &*token, body);
        return m.make(line, ("rule", "AutomodRuleCreate"), ask, |_, id| place(id), "id", json!(name));
    };
    let fact = format!("rule {id}");
    let one = format!("{path}/{id}");
    match random.u8(..4) {
        0 => {
            let facts = [(&*fact, place(&id), json!(name))];
            let ask = ("PATCH", one, &*token, json!({"name": name, "priority": random.u8(..5)}));
            m.change(line, "AutomodRuleEdit", ask, &facts).map(drop)
        }
        1 => {
            let facts = [(&*fact, place(&id), Value::Null)];
            m.change(line, "AutomodRuleDelete", ("DELETE", one, &token, Value::Null), &facts)?;
            m.forget("rule", &id);
            Ok(())
        }
        _ => refused(m, line),
    }
}

fn refused(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let text = format!("badger {}", m.fresh());
    let path = format!("/servers/{}/automod/violations?limit=100", m.server);
    let place = Place::item(&m.owner.token, path, "matched_content", &text, "/user_id");
    let want = json!(m.member.id);
    // Only the last one is sure to be on the page.
    let fact = Fact { place, want: Some(Value::Null), perhaps: Some(want.clone()), dirty: true };
    m.facts.insert("violation".into(), fact);
    let path = format!("/channels/{}/messages", m.channels[0]);
    let body = json!({"content": text});
    let answer = line.call("POST", &path, Some(&m.member.token), Some(&body))?.want(400);
    assert_eq!(answer["error"]["code"], "MESSAGE_BLOCKED");
    let fact = m.facts.get_mut("violation").expect("just noted");
    (fact.want, fact.perhaps) = (Some(want), None);
    m.done("Judged");
    Ok(())
}
