//! Polls: asked, answered, ended, taken away.

use super::*;

/// How the owner chose is read as his own votes.
fn places(m: &Mixer, id: &str) -> (Place, Place) {
    let token = &m.owner.token;
    let votes = Place::of(token, format!("/polls/{id}/results"), "/user_votes");
    (votes, Place::of(token, format!("/polls/{id}"), "/is_ended"))
}

pub fn poll(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let Some(id) = m.pick("poll", random) else { return asked(m, line, random.bool()) };
    let (votes, ended) = places(m, &id);
    let (fact, end) = (format!("poll {id}"), format!("end of poll {id}"));
    let token = m.member.token.clone();
    match random.u8(..6) {
        0 => {
            let facts = [(&*fact, votes, Value::Null), (&*end, ended, Value::Null)];
            m.change(line, "PollDelete", ("DELETE", format!("/polls/{id}"), &token, Value::Null), &facts)?;
            m.forget("poll", &id);
            Ok(())
        }
        _ if m.known(&end) == json!(true) => Ok(()),
        1 => {
            let ask = ("POST", format!("/polls/{id}/close"), &*token, Value::Null);
            m.change(line, "PollClose", ask, &[(&end, ended, json!(true))]).map(drop)
        }
        _ => {
            let owner = m.owner.token.clone();
            let poll = line.get(&format!("/polls/{id}"), &owner)?.want(200);
            let option = poll["options"][random.usize(..3)]["id"].clone();
            let ask = ("POST", format!("/polls/{id}/vote"), &*owner, json!({"option_ids": [&option]}));
            m.change(line, "PollVote", ask, &[(&fact, votes, json!([option]))]).map(drop)
        }
    }
}

/// With its message, or put into it.
fn asked(m: &mut Mixer, line: &mut Line, at_once: bool) -> Result<(), String> {
    let (token, path) = (m.member.token.clone(), format!("/channels/{}/messages", m.channels[0]));
    let mut poll = json!({"question": "Does it survive?", "options": ["a", "b", "c"], "duration_hours": 1});
    let id = if at_once {
        let made = m.change(line, "PollPost", ("POST", path, &token, json!({"poll": poll})), &[])?;
        text(&made["poll"]["id"])
    } else {
        let said =
            m.change(line, "MessageCreate", ("POST", path, &token, json!({"content": "well?"})), &[])?;
        poll["message_id"] = said["id"].clone();
        text(&m.change(line, "PollCreate", ("POST", "/polls".into(), &token, poll), &[])?["id"])
    };
    let (votes, ended) = places(m, &id);
    m.note(&format!("poll {id}"), votes, json!([]));
    m.note(&format!("end of poll {id}"), ended, json!(false));
    m.pools.entry("poll").or_default().push(id);
    Ok(())
}
