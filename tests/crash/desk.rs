//! What waits for an administrator, and what he decides: reports, tickets, files, and people who are silenced.

use super::*;

pub fn desk(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    match random.u8(..6) {
        0 => review(
            m,
            line,
            random,
            "message-reports",
            "MessageReportReview",
            &["action", "dismiss", "review"],
        ),
        1 => review(m, line, random, "user-reports", "UserReportReview", &["action", "dismiss", "review"]),
        2 => reported_file(m, line, random),
        3 => ticket(m, line, random),
        4 => file(m, line),
        _ => silence(m, line),
    }
}

/// Something new that is to be decided on.
pub fn wait(m: &mut Mixer, queue: &'static str, id: String) {
    let list = format!("/admin/{queue}?limit=1000");
    let place = Place::item(&m.admin, list, "id", &id, "/status");
    let state = if queue == "tickets" { "open" } else { "pending" };
    m.note(&format!("{queue} {id}"), place, json!(state));
    m.pools.entry(queue).or_default().push(id);
}

/// One of a queue, and its fact.
fn waiting(m: &Mixer, random: &mut fastrand::Rng, queue: &str) -> Option<(String, String, Place)> {
    let id = m.pick(queue, random)?;
    let name = format!("{queue} {id}");
    let place = m.facts[&name].place.clone();
    Some((id, name, place))
}

fn review(
    m: &mut Mixer,
    line: &mut Line,
    random: &mut fastrand::Rng,
    queue: &str,
    kind: &'static str,
    actions: &[&str],
) -> Result<(), String> {
    let Some((id, name, place)) = waiting(m, random, queue) else { return Ok(()) };
    let action = actions[random.usize(..actions.len())];
    let state = match action {
        "action" => "actioned",
        "review" => "reviewed",
        _ => "dismissed",
    };
    let admin = m.admin.clone();
    let ask = ("POST", format!("/admin/{queue}/{id}/review"), &*admin, json!({"action": action}));
    m.change(line, kind, ask, &[(&name, place, json!(state))]).map(drop)
}

fn ticket(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let Some((id, name, place)) = waiting(m, random, "tickets") else { return Ok(()) };
    let (count, admin) = (m.fresh(), m.admin.clone());
    if random.bool() {
        let state = ["open", "in_progress", "resolved", "closed"][random.usize(..4)];
        let ask = ("PATCH", format!("/admin/tickets/{id}/status"), &*admin, json!({"status": state}));
        return m.change(line, "TicketStatusSet", ask, &[(&name, place, json!(state))]).map(drop);
    }
    let said = format!("looked at {count} times");
    let notes = format!("/admin/tickets/{id}/notes");
    let place = Place::item(&admin, notes.clone(), "content", &said, "/content");
    let ask = ("POST", notes, &*admin, json!({"content": said}));
    m.change(line, "TicketNoteAdd", ask, &[(&format!("note {count}"), place, json!(said))]).map(drop)
}

/// A file that somebody reports, and what is decided of it.
fn reported_file(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (admin, reporter) = (m.admin.clone(), m.member.token.clone());
    let hash = format!("{:064x}", u64::MAX - m.fresh());
    let body = json!({"hash_value": hash, "reason": "bad"});
    let made = m.change(line, "HashReportCreate", ("POST", "/media/report".into(), &*reporter, body), &[])?;
    wait(m, "hash-reports", text(&made["report_id"]));
    let id = text(&made["report_id"]);
    let is_blocked = random.bool();
    let (action, state) = if is_blocked { ("block", "blocked") } else { ("clear", "cleared") };
    let report = format!("hash-reports {id}");
    let facts = [
        (&*report, m.facts[&report].place.clone(), json!(state)),
        (
            &*hash,
            Place::of(&reporter, format!("/media/hash/{hash}/status"), "/is_blocked"),
            json!(is_blocked),
        ),
    ];
    let ask = ("POST", format!("/admin/hash-reports/{id}/review"), &*admin, json!({"action": action}));
    m.change(line, "HashReportReview", ask, &facts).map(drop)
}

/// A file that is not taken, and then is again.
fn file(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let admin = m.admin.clone();
    let hash = format!("{:064x}", u64::MAX - m.fresh());
    let place = Place::of(&m.member.token, format!("/media/hash/{hash}/status"), "/is_blocked");
    let name = format!("file {hash}");
    let ask =
        ("POST", "/admin/blocked-hashes".into(), &*admin, json!({"hash_value": hash, "reason": "known"}));
    m.change(line, "HashBlock", ask, &[(&name, place.clone(), json!(true))])?;
    let ask = ("DELETE", format!("/admin/blocked-hashes/{hash}"), &*admin, Value::Null);
    m.change(line, "HashUnblock", ask, &[(&name, place, json!(false))]).map(drop)
}

/// Somebody new, who is silenced and may speak again.
fn silence(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let (count, admin) = (m.fresh(), m.admin.clone());
    let name = format!("{}_s{count}", m.name);
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let made = line.call("POST", "/auth/register", None, Some(&body))?.want(200);
    m.done("Register");
    let user = id(&made["user"]).to_string();
    let place = Place::item(&admin, "/admin/blocked-users?limit=1000".into(), "user_id", &user, "/reason");
    let fact = format!("silence of {user}");
    let ask = ("POST", "/admin/blocked-users".into(), &*admin, json!({"user_id": user, "reason": "flood"}));
    m.change(line, "UserSilence", ask, &[(&fact, place.clone(), json!("flood"))])?;
    if count.is_multiple_of(2) {
        return Ok(());
    }
    let ask = ("DELETE", format!("/admin/blocked-users/{user}"), &*admin, Value::Null);
    m.change(line, "UserUnsilence", ask, &[(&fact, place, Value::Null)]).map(drop)
}
