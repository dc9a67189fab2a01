//! What an administrator does: about people, names, and addresses from where nobody comes.

use super::*;
use crate::support::admin::credentials;

/// A session of the first administrator, on a server that asks for no one-time codes.
pub fn log_in(server: &Server) -> String {
    let (username, password) = credentials(server.folder());
    let body = json!({"username": username, "password": password});
    let answer = server.http().call("POST", "/api/v1/admin/login", None, Some(&body)).want(200);
    text(&answer["token"])
}

pub fn administration(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    match random.u8(..5) {
        0 => notes(m, line),
        1 => address(m, line, random),
        2 => name(m, line, random),
        3 => forget(m, line),
        _ => somebody(m, line),
    }
}

fn notes(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let (count, admin) = (m.fresh(), m.admin.clone());
    let path = format!("/admin/users/{}/notes", m.member.id);
    let said = format!("called {count} times");
    let ask = ("POST", path.clone(), &*admin, json!({"notes": said}));
    m.change(line, "UserNoteSet", ask, &[("notes", Place::of(&admin, path, "/notes"), json!(said))]).map(drop)
}

/// All response times.
fn forget(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let admin = m.admin.clone();
    let ask = ("POST", "/admin/telemetry/reset".into(), &*admin, Value::Null);
    m.change(line, "TelemetryReset", ask, &[]).map(drop)
}

fn address(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    // Each mixer has a network of its own.
    let net = m.name.bytes().last().unwrap_or_default() % 10;
    let address = format!("198.51.100.{}", 10 * net + random.u8(..4));
    let (name, admin, count) = (format!("address {address}"), m.admin.clone(), m.fresh());
    let list = "/admin/security/blocked-ips".to_owned();
    let place = Place::item(&admin, list, "ip_address", &address, "/reason");
    if m.known(&name).is_null() {
        let reason = format!("because {count}");
        let body = json!({"ip_address": address, "reason": reason});
        let ask = ("POST", "/admin/security/block-ip".into(), &*admin, body);
        return m.change(line, "AddressBlock", ask, &[(&name, place, json!(reason))]).map(drop);
    }
    let ask = ("DELETE", format!("/admin/security/unblock-ip/{address}"), &*admin, Value::Null);
    m.change(line, "AddressUnblock", ask, &[(&name, place, Value::Null)]).map(drop)
}

fn name(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let admin = m.admin.clone();
    let list = "/admin/security/banned-usernames";
    if let Some(pattern) = m.pick("ban", random) {
        let bans = line.call("GET", list, Some(&admin), None)?.want(200);
        let ban = bans.as_array().unwrap().iter().find(|ban| ban["pattern"] == *pattern);
        let ban = text(&ban.expect("it was acknowledged")["id"]);
        m.forget("ban", &pattern);
        let name = format!("ban {pattern}");
        let place = m.facts[&name].place.clone();
        let ask = ("DELETE", format!("{list}/{ban}"), &*admin, Value::Null);
        m.change(line, "NameBanRemove", ask, &[(&name, place, Value::Null)])?;
        m.facts.remove(&name);
        return Ok(());
    }
    let count = m.fresh();
    let pattern = format!("{}_banned_{count}", m.name);
    let ask = ("POST", list.into(), &*admin, json!({"pattern": pattern}));
    m.change(line, "NameBanCreate", ask, &[])?;
    let place = Place::item(&admin, list.into(), "pattern", &pattern, "/pattern");
    m.note(&format!("ban {pattern}"), place, json!(pattern));
    m.pools.entry("ban").or_default().push(pattern);
    Ok(())
}

/// Somebody who is locked, unlocked, and put out.
fn somebody(m: &mut Mixer, line: &mut Line) -> Result<(), String> {
    let (count, admin) = (m.fresh(), m.admin.clone());
    let name = format!("{}_l{count}", m.name);
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let made = line.call("POST", "/auth/register", None, Some(&body))?.want(200);
    m.done("Register");
    let (token, user) = (text(&made["token"]), id(&made["user"]).to_string());
    let details = Place::of(&admin, format!("/admin/users/{user}"), "/account_locked");
    let lives = Place::of(&token, "/users/@me".into(), "/id");
    m.facts.remove("locked");
    m.facts.remove("somebody");
    let about = json!({"user_id": user});
    let mut act = |m: &mut Mixer, kind, what: &str, facts: &[(&str, Place, Value)]| {
        let ask = ("POST", format!("/admin/security/{what}"), &*admin, about.clone());
        m.change(line, kind, ask, facts).map(drop)
    };
    m.note("somebody", lives.clone(), json!(user));
    let facts = [("locked", details.clone(), json!(true)), ("somebody", lives.clone(), Value::Null)];
    act(m, "UserLock", "lock-user", &facts)?;
    let facts = [("locked", details, json!(false)), ("somebody", lives.clone(), json!(user))];
    act(m, "UserUnlock", "unlock-user", &facts)?;
    act(m, "UserLogOut", "force-logout", &[("somebody", lives, Value::Null)])
}
