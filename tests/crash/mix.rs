//! A small world that is changed by every kind of command, one after the other at random; what was acknowledged must be
//! there after a kill, what was under way may be.
//!
//! Invariant: each change names what can be read of it. What is read is what was acknowledged last, or what the one
//! request without an answer would have made of it.

mod accounts;
mod administration;
mod automod;
mod chat;
mod contact;
mod desk;
mod expression;
mod files;
mod gate;
mod groups;
mod kinds;
mod places;
mod polls;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use accounts::{bot, elsewhere, feature, forgotten_password, passer_by, passkey, second_factor};
use administration::administration;
use automod::automod;
use chat::{mark, mention, message, unread};
use contact::contact;
use desk::desk;
use expression::{emoji, sticker};
use files::file;
use gate::access_token;
use groups::group;
pub use kinds::KINDS;
use places::place;
use plexichat::net::control;
use polls::poll;
use webhooks::webhook;

use crate::line::Line;
use crate::support::{PASSWORD, Server, User, Value, json};
use crate::{id, text};

const FORM: &str = "multipart/form-data; boundary=b";
/// Of each kind of thing that is made and deleted.
const POOL_MAX: usize = 4;

/// Where a fact is read.
#[derive(Clone, Debug)]
struct Place {
    /// What is shown at the gate; `None`: what all show.
    access: Option<String>,
    token: String,
    path: String,
    /// The element of a list with this key and value; `None`: the answer itself.
    item: Option<(&'static str, String)>,
    /// Within that (RFC 6901).
    pointer: String,
}

/// Something that can be read; null when it is not there.
#[derive(Clone, Debug)]
struct Fact {
    place: Place,
    /// `None`: it was never acknowledged.
    want: Option<Value>,
    perhaps: Option<Value>,
    dirty: bool,
}

pub struct Mixer {
    name: String,
    /// Of the server's data.
    folder: PathBuf,
    /// A session of an administrator.
    admin: String,
    owner: User,
    member: User,
    guest: User,
    server: String,
    everyone: String,
    invite: String,
    /// Where the member posts, and where the owner does.
    channels: [String; 2],
    facts: BTreeMap<String, Fact>,
    /// Ids by the kind of thing.
    pools: BTreeMap<&'static str, Vec<String>>,
    count: u64,
    pub acknowledged: usize,
    pub kinds: BTreeSet<&'static str>,
}

pub type Action = fn(&mut Mixer, &mut Line, &mut fastrand::Rng) -> Result<(), String>;

pub const ACTIONS: &[Action] = &[
    profile,
    setting,
    messaging,
    friendship,
    guest,
    role,
    channel,
    invite,
    message,
    mark,
    unread,
    server,
    presence,
    passer_by,
    picture,
    mention,
    second_factor,
    webhook,
    bot,
    automod,
    forgotten_password,
    elsewhere,
    passkey,
    contact,
    access_token,
    administration,
    desk,
    poll,
    place,
    group,
    emoji,
    sticker,
    feature,
    file,
];

/// A request: method, path, whose, body; a list of bytes is the file of a form, and so is `image` beside other fields.
type Ask<'a> = (&'a str, String, &'a str, Value);

impl Mixer {
    pub fn new(server: &Server, name: &str) -> Mixer {
        let [owner, member, guest] = ["o", "m", "g"].map(|kind| server.register(&format!("{name}_{kind}")));
        let mut line = Line::open(server.address()).unwrap();
        let mut post =
            |user: &User, path: &str, body: Value| line.post(path, &user.token, &body).unwrap().want(200);
        let made = post(&owner, "/servers", json!({"name": name}));
        let (id, first) = (text(&made["id"]), text(&made["default_channel_id"]));
        let second = post(&owner, &format!("/servers/{id}/channels"), json!({"name": "second"}));
        let invite = post(&owner, &format!("/channels/{first}/invites"), json!({"max_age": 0}));
        let invite = text(&invite["code"]);
        post(&member, &format!("/channels/invites/{invite}"), json!({}));
        let roles = line.get(&format!("/servers/{id}/roles"), &owner.token).unwrap().want(200);
        Mixer {
            name: name.to_owned(),
            folder: server.folder().to_owned(),
            admin: administration::log_in(server),
            owner,
            member,
            guest,
            server: id,
            everyone: text(&roles[0]["id"]),
            invite,
            channels: [first, text(&second["id"])],
            facts: BTreeMap::new(),
            pools: BTreeMap::new(),
            count: 0,
            acknowledged: 0,
            kinds: BTreeSet::new(),
        }
    }

    /// Changes things until the connection is lost.
    pub fn run(&mut self, address: SocketAddr, random: &mut fastrand::Rng) -> Result<(), String> {
        let mut line = Line::open(address)?;
        loop {
            let action = ACTIONS[random.usize(..ACTIONS.len())];
            action(self, &mut line, random)?;
        }
    }

    /// Compares what can be read with what was acknowledged: everything, or what was changed since the last time.
    pub fn check(&mut self, address: SocketAddr, whole: bool) {
        let mut line = Line::open(address).unwrap();
        for (name, fact) in self.facts.iter_mut().filter(|(_, fact)| whole || fact.dirty) {
            let got = fact.place.read(&mut line);
            let as_acknowledged = fact.want.as_ref().is_none_or(|want| *want == got);
            let as_under_way = fact.perhaps.as_ref() == Some(&got);
            assert!(as_acknowledged || as_under_way, "{name}: {got} instead of {fact:?}");
            (fact.want, fact.perhaps, fact.dirty) = (Some(got), None, false);
        }
        let facts = &self.facts;
        let is_there = |kind: &str, id: &str| {
            facts
                .get(&format!("{kind} {id}"))
                .and_then(|fact| fact.want.as_ref())
                .is_some_and(|want| !want.is_null())
        };
        self.pools.iter_mut().for_each(|(kind, ids)| ids.retain(|id| is_there(kind, id)));
    }

    /// Asks for a change that is to be read at these places; gives the answer.
    fn change(
        &mut self,
        line: &mut Line,
        kind: &'static str,
        (method, path, token, body): Ask<'_>,
        facts: &[(&str, Place, Value)],
    ) -> Result<Value, String> {
        self.expect(facts);
        let answer = match &body {
            body if body.is_array() || body["image"].is_array() => {
                line.send(method, &path, Some(token), Some((FORM, &form(body))))
            }
            body => line.call(method, &path, Some(token), Some(body).filter(|body| !body.is_null())),
        };
        let answer = answer?.want(200);
        self.acknowledge(facts);
        self.done(kind);
        Ok(answer)
    }

    /// Has the server carry out a request of its operator; gives what it says.
    fn operate(
        &mut self,
        kind: &'static str,
        request: Value,
        facts: &[(&str, Place, Value)],
    ) -> Result<String, String> {
        self.expect(facts);
        let asked = control::ask(&self.folder, &request.to_string())?.ok_or("nobody listens")?;
        let said = asked.unwrap_or_else(|refused| panic!("{request}: {refused}"));
        self.acknowledge(facts);
        self.done(kind);
        Ok(said)
    }

    /// What may be read from now on.
    fn expect(&mut self, facts: &[(&str, Place, Value)]) {
        for (name, place, value) in facts {
            let fact = self.facts.entry((*name).to_owned());
            let fact =
                fact.or_insert_with(|| Fact { place: place.clone(), want: None, perhaps: None, dirty: true });
            (fact.perhaps, fact.dirty) = (Some(value.clone()), true);
        }
    }

    /// What must be.
    fn acknowledge(&mut self, facts: &[(&str, Place, Value)]) {
        for (name, _, value) in facts {
            let fact = self.facts.get_mut(*name).expect("just named");
            (fact.want, fact.perhaps) = (Some(value.clone()), None);
        }
    }

    /// What can be read, and was not there before.
    fn note(&mut self, name: &str, place: Place, want: Value) {
        self.facts.insert(name.to_owned(), Fact { place, want: Some(want), perhaps: None, dirty: true });
    }

    fn done(&mut self, kind: &'static str) {
        debug_assert!(KINDS.contains(&kind), "{kind}");
        self.kinds.insert(kind);
        self.acknowledged += 1;
    }

    /// Makes one of a pool; what it is called can be read once its id is known.
    fn make(
        &mut self,
        line: &mut Line,
        kinds: (&'static str, &'static str),
        ask: Ask<'_>,
        read: impl Fn(&Mixer, &str) -> Place,
        key: &str,
        want: Value,
    ) -> Result<(), String> {
        let (pool, kind) = kinds;
        let made = self.change(line, kind, ask, &[])?;
        let id = text(&made[key]);
        let fact = Fact { place: read(self, &id), want: Some(want), perhaps: None, dirty: true };
        self.facts.insert(format!("{pool} {id}"), fact);
        self.pools.entry(pool).or_default().push(id);
        Ok(())
    }

    /// One of a pool, or `None`: then there should be more.
    fn pick(&self, pool: &str, random: &mut fastrand::Rng) -> Option<String> {
        let ids = self.pools.get(pool).map_or(&[][..], Vec::as_slice);
        let make = ids.is_empty() || (ids.len() < POOL_MAX && random.bool());
        (!make).then(|| ids[random.usize(..ids.len())].clone())
    }

    fn forget(&mut self, pool: &str, id: &str) {
        self.pools.get_mut(pool).expect("it was in there").retain(|other| other != id);
    }

    /// What is known of something; null when nothing is.
    fn known(&self, name: &str) -> Value {
        self.facts.get(name).and_then(|fact| fact.want.clone()).unwrap_or_default()
    }

    fn fresh(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Place {
    fn of(token: &str, path: String, pointer: &str) -> Place {
        Place { access: None, token: token.to_owned(), path, item: None, pointer: pointer.to_owned() }
    }

    fn item(token: &str, path: String, key: &'static str, value: &str, pointer: &str) -> Place {
        Place { item: Some((key, value.to_owned())), ..Place::of(token, path, pointer) }
    }

    fn read(&self, line: &mut Line) -> Value {
        line.access.clone_from(&self.access);
        let answer = line.get(&self.path, &self.token).unwrap();
        line.access = None;
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("image/")) {
            // Its own is read whole; a generated one is none.
            let picture = image::load_from_memory(&answer.body).ok();
            return picture.map_or(Value::Null, |picture| json!(picture.width()));
        }
        if [401, 403, 404].contains(&answer.status) {
            return Value::Null;
        }
        let body = answer.want(200);
        let found = match &self.item {
            None => Some(&body),
            Some((key, value)) => {
                body.as_array().expect("a list").iter().find(|item| item[*key] == value.as_str())
            }
        };
        sorted(found.and_then(|found| found.pointer(&self.pointer)).cloned().unwrap_or_default())
    }
}

/// Lists of ids have no order here.
fn sorted(mut value: Value) -> Value {
    if let Some(list) = value.as_array_mut() {
        list.sort_by_key(ToString::to_string);
    }
    value
}

fn profile(m: &mut Mixer, line: &mut Line, _: &mut fastrand::Rng) -> Result<(), String> {
    let (count, token) = (m.fresh(), m.owner.token.clone());
    let name = format!("{}_{count}", m.name);
    let ask = ("PATCH", "/users/@me".into(), &*token, json!({"username": name}));
    let facts = [("name", Place::of(&token, "/users/@me".into(), "/username"), json!(name))];
    m.change(line, "ProfileEdit", ask, &facts).map(drop)
}

fn setting(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (value, token) = (m.fresh().to_string(), m.owner.token.clone());
    let place = |key: &str| Place::of(&token, "/users/@me/settings".into(), &format!("/settings/{key}"));
    let key = ["a", "b", "c"][random.usize(..3)];
    let path = format!("/users/@me/settings/{key}");
    let name = format!("setting {key}");
    match random.u8(..3) {
        0 if !m.known(&name).is_null() => {
            let facts = [(&*name, place(key), Value::Null)];
            m.change(line, "SettingDelete", ("DELETE", path, &token, Value::Null), &facts)
        }
        1 => {
            let ask = ("PUT", "/users/@me/settings/bulk".into(), &*token, json!({"a": value, "b": value}));
            let facts = [("setting a", place("a"), json!(value)), ("setting b", place("b"), json!(value))];
            m.change(line, "SettingsPut", ask, &facts)
        }
        _ => {
            let facts = [(&*name, place(key), json!(value))];
            m.change(line, "SettingsPut", ("PUT", path, &token, json!({"value": value})), &facts)
        }
    }
    .map(drop)
}

fn messaging(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (path, token) = ("/users/@me/messaging-settings", m.owner.token.clone());
    let on = random.bool();
    let facts = [("receipts", Place::of(&token, path.into(), "/read_receipts_enabled"), json!(on))];
    let ask = ("PATCH", path.into(), &*token, json!({"read_receipts_enabled": on}));
    m.change(line, "MessagingEdit", ask, &facts).map(drop)
}

/// Strangers, a request, friends, a block, and strangers again.
fn friendship(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (owner, guest) = (m.owner.clone(), m.guest.clone());
    let place = Place::item(&owner.token, "/relationships/@me".into(), "user_id", &guest.id, "/status");
    let status = m.known("friend");
    let (kind, ask, want) = match (status.as_str(), random.bool()) {
        (None, true) => {
            let ask = ("POST", "/relationships".into(), &*owner.token, json!({"user_id": guest.id}));
            ("FriendRequest", ask, json!("pending_outgoing"))
        }
        (None, false) => {
            let ask = ("POST", "/relationships/block".into(), &*owner.token, json!({"user_id": guest.id}));
            ("Block", ask, json!("blocked"))
        }
        (Some("pending_outgoing"), true) => {
            let path = format!("/relationships/{}/accept", owner.id);
            ("FriendAccept", ("PUT", path, &*guest.token, Value::Null), json!("friend"))
        }
        _ => {
            let path = format!("/relationships/{}", guest.id);
            ("RelationshipRemove", ("DELETE", path, &*owner.token, Value::Null), Value::Null)
        }
    };
    m.change(line, kind, ask, &[("friend", place, want)]).map(drop)
}

/// Comes by invite, and leaves, is kicked, or banned for a while.
fn guest(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (owner, guest) = (m.owner.clone(), m.guest.clone());
    let path = format!("/servers/{}", m.server);
    let member = Place::item(&owner.token, format!("{path}/members"), "user_id", &guest.id, "/user_id");
    let banned = Place::item(&owner.token, format!("{path}/bans"), "user_id", &guest.id, "/user_id");
    let (here, out) = (json!(guest.id), Value::Null);
    let ban = format!("{path}/bans/{}", guest.id);
    let (is_in, is_banned) = (!m.known("guest").is_null(), !m.known("ban").is_null());
    match (is_banned, is_in, random.u8(..3)) {
        (true, ..) => {
            m.change(line, "BanDelete", ("DELETE", ban, &owner.token, Value::Null), &[("ban", banned, out)])
        }
        (_, false, 0) | (_, true, 0) => {
            let ask = ("PUT", ban, &*owner.token, json!({"delete_message_days": 1}));
            m.change(line, "BanCreate", ask, &[("ban", banned, here), ("guest", member, out)])
        }
        (_, false, _) => {
            let ask = ("POST", format!("/channels/invites/{}", m.invite), &*guest.token, json!({}));
            m.change(line, "InviteUse", ask, &[("guest", member, here)])
        }
        (_, true, 1) => {
            let ask = ("POST", format!("{path}/leave"), &*guest.token, Value::Null);
            m.change(line, "MemberLeave", ask, &[("guest", member, out)])
        }
        (_, true, _) => {
            let ask = ("DELETE", format!("{path}/members/{}", guest.id), &*owner.token, Value::Null);
            m.change(line, "MemberKick", ask, &[("guest", member, out)])
        }
    }
    .map(drop)
}

fn role(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, path) = (m.owner.token.clone(), format!("/servers/{}/roles", m.server));
    let name = format!("role {}", m.fresh());
    let place = |id: &str| Place::item(&token, path.clone(), "id", id, "/name");
    let Some(id) = m.pick("role", random) else {
        let ask = ("POST", path.clone(), &*token, json!({"name": name}));
        return m.make(line, ("role", "RoleCreate"), ask, |_, id| place(id), "id", json!(name));
    };
    let members = format!("/servers/{}/members", m.server);
    let worn = Place::item(&token, members.clone(), "user_id", &m.member.id, "/roles");
    let mut roles: Vec<Value> =
        m.known("worn").as_array().cloned().unwrap_or_else(|| vec![json!(m.everyone)]);
    let wears = roles.contains(&json!(id));
    let fact = format!("role {id}");
    let one = format!("{path}/{id}");
    let give = format!("{members}/{}/roles/{id}", m.member.id);
    match random.u8(..4) {
        0 => {
            let facts = [(&*fact, place(&id), json!(name))];
            m.change(line, "RoleEdit", ("PATCH", one, &token, json!({"name": name})), &facts).map(drop)
        }
        1 => {
            roles.retain(|role| *role != json!(id));
            let facts = [(&*fact, place(&id), Value::Null), ("worn", worn, sorted(json!(roles)))];
            m.change(line, "RoleDelete", ("DELETE", one, &token, Value::Null), &facts)?;
            m.forget("role", &id);
            Ok(())
        }
        _ if wears => {
            roles.retain(|role| *role != json!(id));
            let facts = [("worn", worn, sorted(json!(roles)))];
            m.change(line, "MemberRoleRemove", ("DELETE", give, &token, Value::Null), &facts).map(drop)
        }
        _ => {
            roles.push(json!(id));
            let facts = [("worn", worn, sorted(json!(roles)))];
            m.change(line, "MemberRoleAdd", ("PUT", give, &token, Value::Null), &facts).map(drop)
        }
    }
}

fn channel(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, path) = (m.owner.token.clone(), format!("/servers/{}/channels", m.server));
    let name = format!("channel-{}", m.fresh());
    let place = |id: &str| Place::item(&token, path.clone(), "id", id, "/name");
    let Some(id) = m.pick("channel", random) else {
        let ask = ("POST", path.clone(), &*token, json!({"name": name}));
        return m.make(line, ("channel", "ChannelCreate"), ask, |_, id| place(id), "id", json!(name));
    };
    let fact = format!("channel {id}");
    let one = format!("/channels/{id}");
    if random.bool() {
        let facts = [(&*fact, place(&id), json!(name))];
        let body = json!({"name": name, "position": random.u8(..5)});
        return m.change(line, "ChannelEdit", ("PATCH", one, &token, body), &facts).map(drop);
    }
    let facts = [(&*fact, place(&id), Value::Null)];
    m.change(line, "ChannelDelete", ("DELETE", one, &token, Value::Null), &facts)?;
    m.forget("channel", &id);
    Ok(())
}

fn invite(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, path) = (m.owner.token.clone(), format!("/servers/{}/invites", m.server));
    let place = |code: &str| Place::item(&token, path.clone(), "code", code, "/max_uses");
    let Some(code) = m.pick("invite", random) else {
        let ask = ("POST", format!("/channels/{}/invites", m.channels[0]), &*token, json!({"max_uses": 7}));
        return m.make(line, ("invite", "InviteCreate"), ask, |_, code| place(code), "code", json!(7));
    };
    let facts = [(&*format!("invite {code}"), place(&code), Value::Null)];
    let ask = ("DELETE", format!("/channels/invites/{code}"), &*token, Value::Null);
    m.change(line, "InviteDelete", ask, &facts)?;
    m.forget("invite", &code);
    Ok(())
}

fn server(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let token = m.owner.token.clone();
    let name = format!("server {}", m.fresh());
    let place = |id: &str| Place::item(&token, "/servers".into(), "id", id, "/name");
    let Some(id) = m.pick("server", random) else {
        let ask = ("POST", "/servers".into(), &*token, json!({"name": name}));
        return m.make(line, ("server", "ServerCreate"), ask, |_, id| place(id), "id", json!(name));
    };
    let fact = format!("server {id}");
    let one = format!("/servers/{id}");
    if random.bool() {
        let facts = [(&*fact, place(&id), json!(name))];
        return m.change(line, "ServerEdit", ("PATCH", one, &token, json!({"name": name})), &facts).map(drop);
    }
    let facts = [(&*fact, place(&id), Value::Null)];
    m.change(line, "ServerDelete", ("DELETE", one, &token, Value::Null), &facts)?;
    m.forget("server", &id);
    Ok(())
}

/// The owner's avatar or the server's icon is there with its file, or not at all.
fn picture(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let token = m.owner.token.clone();
    let (kind, name, write, read) = match random.bool() {
        true => {
            ("AvatarSet", "avatar", "/avatars/users/@me".into(), format!("/avatars/users/{}", m.owner.id))
        }
        false => {
            let path = format!("/avatars/servers/{}", m.server);
            ("IconSet", "icon", path.clone(), path)
        }
    };
    let place = Place::of(&token, read, "");
    if random.u8(..4) == 0 && !m.known(name).is_null() {
        let facts = [(name, place, Value::Null)];
        return m.change(line, kind, ("DELETE", write, &token, Value::Null), &facts).map(drop);
    }
    let width = random.u32(1..40);
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(width, 1).write_to(&mut png, image::ImageFormat::Png).expect("it is small");
    let facts = [(name, place, json!(width))];
    m.change(line, kind, ("POST", write, &token, json!(png.into_inner())), &facts).map(drop)
}

/// A form: of a file, as numbers, or of several fields.
fn form(body: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match body.as_object() {
        Some(fields) => fields.iter().for_each(|(name, value)| part(&mut out, name, value)),
        None => part(&mut out, "file", body),
    }
    out.extend_from_slice(b"--b--");
    out
}

fn part(out: &mut Vec<u8>, name: &str, value: &Value) {
    let file_name = if value.is_array() { "; filename=\"a\"" } else { "" };
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n");
    out.extend_from_slice(head.as_bytes());
    match value.as_array() {
        Some(file) => out.extend(file.iter().filter_map(Value::as_u64).map(|byte| byte as u8)),
        None => out.extend_from_slice(text(value).as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
}

/// Without a session there is nothing to be read of it.
fn presence(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, status) = (m.owner.token.clone(), ["online", "idle", "dnd"][random.usize(..3)]);
    let ask = ("PUT", "/users/@me/presence".into(), &*token, json!({"status": status}));
    m.change(line, "PresenceSet", ask, &[]).map(drop)
}
