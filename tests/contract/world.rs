//! What every case needs: a server, accounts, calls that are noted down by route.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plexichat::api::routes::{ROUTES, Route};

use crate::support::{Answer, Http, Server, Sink, User, Value, json, register};

/// A server with the routes that answered 2xx so far.
pub struct World {
    pub server: Server,
    /// Where its mail goes.
    pub mail: Sink,
    http: RefCell<Http>,
    answered: RefCell<BTreeSet<usize>>,
    count: Cell<u32>,
    /// A session of an administrator, once somebody has logged in.
    pub admin: OnceCell<String>,
}

/// A chat server and what it is created with.
pub struct Place {
    pub owner: User,
    pub id: String,
    pub channel: String,
    /// @everyone
    pub everyone: String,
}

impl World {
    pub fn new(options: &[&str]) -> World {
        let mail = Sink::start();
        let to_mail = mail.options();
        let options: Vec<&str> = to_mail.iter().map(String::as_str).chain(options.iter().copied()).collect();
        let server = Server::start(&options);
        let http = RefCell::new(server.http());
        World {
            server,
            mail,
            http,
            answered: RefCell::default(),
            count: Cell::new(0),
            admin: OnceCell::new(),
        }
    }

    /// `line` is `METHOD path`, below the prefix; a `Null` body is none.
    #[track_caller]
    pub fn call(&self, token: Option<&str>, line: &str, body: Value) -> Answer {
        let (method, path) = line.split_once(' ').expect("METHOD path");
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = self.http.borrow_mut().call(method, &format!("/api/v1{path}"), token, body);
        if answer.status < 300 {
            self.note(method, path, false);
        }
        answer
    }

    /// A POST of a form, by somebody or nobody.
    #[track_caller]
    pub fn form(&self, user: Option<&User>, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let authorization = user.map(|user| format!("Bearer {}", user.token));
        let mut headers = vec![("Content-Type", content_type)];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let answer = self.http.borrow_mut().request("POST", &format!("/api/v1{path}"), &headers, Some(body));
        if answer.status < 300 {
            self.note("POST", path, false);
        }
        answer
    }

    /// A call by nobody, with these headers.
    #[track_caller]
    pub fn headed(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.http.borrow_mut().request(method, &format!("/api/v1{path}"), headers, Some(body));
        if answer.status < 300 {
            self.note(method, path, false);
        }
        answer
    }

    /// A call below `/` instead of the prefix.
    #[track_caller]
    pub fn root(&self, method: &str, path: &str) -> Answer {
        let answer = self.http.borrow_mut().call(method, path, None, None);
        if answer.status < 300 {
            self.note(method, path, true);
        }
        answer
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self, user: &User, line: &str, body: Value) -> Value {
        self.call(Some(&user.token), line, body).want(200)
    }

    #[track_caller]
    pub fn get(&self, user: &User, path: &str) -> Value {
        self.ok(user, &format!("GET {path}"), Value::Null)
    }

    /// The body of a refusal.
    #[track_caller]
    pub fn refused(&self, user: &User, line: &str, body: Value, status: u16) -> Value {
        self.call(Some(&user.token), line, body).want(status)
    }

    #[track_caller]
    pub fn anyone(&self, line: &str, body: Value) -> Answer {
        self.call(None, line, body)
    }

    /// A fresh account.
    pub fn user(&self) -> User {
        self.count.set(self.count.get() + 1);
        register(&mut self.http.borrow_mut(), &format!("User_{}", self.count.get()))
    }

    /// A fresh bot of somebody.
    pub fn bot(&self, owner: &User) -> User {
        self.count.set(self.count.get() + 1);
        self.server.bot(owner, &format!("Bot_{}", self.count.get()))
    }

    /// A fresh server of a fresh owner.
    pub fn place(&self) -> Place {
        let owner = self.user();
        let server = self.ok(&owner, "POST /servers", json!({"name": "Analytical Society"}));
        let id = text(&server["id"]);
        let channel = text(&self.get(&owner, &format!("/servers/{id}/channels"))[0]["id"]);
        let roles = self.get(&owner, &format!("/servers/{id}/roles"));
        Place { id, channel, everyone: text(&roles[0]["id"]), owner }
    }

    /// A fresh member.
    pub fn member(&self, place: &Place) -> User {
        let user = self.user();
        self.join(place, &user);
        user
    }

    pub fn join(&self, place: &Place, user: &User) {
        let invite = self.ok(&place.owner, &format!("POST /channels/{}/invites", place.channel), Value::Null);
        self.ok(user, &format!("POST /channels/invites/{}", text(&invite["code"])), Value::Null);
    }

    /// A fresh role with these permissions, given to the user.
    pub fn grant(&self, place: &Place, user: &User, names: &[&str]) -> String {
        let permissions: Value = names.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
        let role = self.ok(
            &place.owner,
            &format!("POST /servers/{}/roles", place.id),
            json!({"name": "grant", "permissions": permissions}),
        );
        let role = text(&role["id"]);
        let line = format!("PUT /servers/{}/members/{}/roles/{role}", place.id, user.id);
        self.ok(&place.owner, &line, Value::Null);
        role
    }

    /// The id of a fresh message.
    pub fn message(&self, user: &User, channel: &str, content: &str) -> String {
        text(&self.ok(user, &format!("POST /channels/{channel}/messages"), json!({"content": content}))["id"])
    }

    /// The channel of a direct message.
    pub fn dm(&self, from: &User, to: &User) -> String {
        text(&self.ok(from, "POST /users/@me/channels", json!({"recipient_id": to.id}))["id"])
    }

    pub fn befriend(&self, one: &User, other: &User) {
        self.ok(one, "POST /relationships", json!({"user_id": other.id}));
        self.ok(other, &format!("PUT /relationships/{}/accept", one.id), Value::Null);
    }

    fn note(&self, method: &str, path: &str, root: bool) {
        let path = path.split('?').next().unwrap_or_default();
        let rows = ROUTES.iter().enumerate().filter(|(_, route)| {
            route.method.as_str() == method && route.root == root && matches(route.path, path)
        });
        // A fixed segment goes before a parameter, as in the router.
        if let Some((index, _)) = rows.min_by_key(|(_, route)| route.path.matches('{').count()) {
            self.answered.borrow_mut().insert(index);
        }
    }

    /// An operation has answered 2xx, on a server with other options.
    pub fn note_answered(&self, method: &str, path: &str) {
        self.note(method, path, false);
    }

    /// A page, or what was done on it, has led where it should.
    pub fn note_page(&self, method: &str, path: &str) {
        self.note(method, path, true);
    }

    /// Whether this row answered 2xx.
    pub fn has_answered(&self, wanted: &Route) -> bool {
        let same = |route: &Route| {
            (route.method, route.root, route.path) == (wanted.method, wanted.root, wanted.path)
        };
        self.answered.borrow().iter().any(|&index| same(&ROUTES[index]))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(want), Some(got)) if want.starts_with('{') || want == got => {}
            _ => return false,
        }
    }
}

/// Waits for what is so within a moment, as what is said is found.
#[track_caller]
pub fn eventually(holds: impl Fn() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "it is not so within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A JSON string.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} instead of a string")).to_owned()
}

/// The values of one key in a list of objects.
#[track_caller]
pub fn column(list: &Value, key: &str) -> Vec<Value> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} instead of a list"));
    list.iter().map(|item| item[key].clone()).collect()
}

/// Checks the keys of an object, all of them, and their types, in the words of the contract: `id: str, at: int?`.
#[track_caller]
pub fn shape(value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{value} instead of an object"));
    let fields: Vec<(&str, &str)> =
        fields.split(", ").map(|field| field.split_once(": ").expect("name: type")).collect();
    for (name, kind) in &fields {
        let value = object.get(*name).unwrap_or_else(|| panic!("no {name} in {value}"));
        let (kind, nullable) = kind.strip_suffix('?').map_or((*kind, false), |kind| (kind, true));
        let fits = match kind {
            "str" => value.is_string(),
            "id" => value.as_str().is_some_and(|id| id.parse::<u64>().is_ok()),
            "int" => value.is_i64() || value.is_u64(),
            "num" => value.is_number(),
            "bool" => value.is_boolean(),
            "object" => value.is_object(),
            "list" => value.is_array(),
            other => panic!("no such type: {other}"),
        };
        assert!(fits || nullable && value.is_null(), "{name} is {value}, not {kind}");
    }
    let unknown = object.keys().find(|key| !fields.iter().any(|(name, _)| name == key));
    assert_eq!(unknown, None, "unknown key in {value}");
}

/// `{"success": true}`
#[track_caller]
pub fn success(value: &Value) {
    assert_eq!(*value, json!({"success": true}));
}

pub const USER: &str = "id: id, username: str, email: str?, avatar_url: str?, created_at: int, \
    email_verified: bool, totp_enabled: bool, age_verified: bool, badges: list, deletion_status: str, \
    deletion_at: int?";
pub const PUBLIC_USER: &str = "id: id, username: str, avatar_url: str?, created_at: int, badges: list";
pub const MESSAGE: &str = "id: id, channel_id: id, author_id: id, content: str?, created_at: int, \
    edited_at: int?, reply_to_id: id?, attachments: list, embeds: list, pinned: bool, status: str?, \
    delivery_count: int, read_count: int, read: bool, read_by: list, author_username: str?, \
    author_avatar_url: str?, author_badges: list, reactions: list, metadata: object?, poll: object?, \
    poll_results: object?";
