//! Who may do what: every row of the table of routes, tried by everybody who might.
//!
//! What a row asks of its caller stands in [`needs`], in the contract's words. A row of which nothing stands there fails,
//! so that none comes without a verdict. Whoever falls short is answered 403, or 401 without an account, and changes
//! nothing; whoever has just what is asked for is not refused.

use std::collections::BTreeMap;
use std::rc::Rc;

use plexichat::api::routes::{Auth, ROUTES, Route};
use plexichat::domain::identity::right::Kind;
use plexichat::domain::permission::NAMES;
use plexichat::store::records::{User as Account, account};
use plexichat::store::tables::USERS;
use plexichat::store::{Options, Store, Sync};

use crate::guards::{Findings, Fixture, body_of, parameters};
use crate::support::{Answer, Server, User, Value, json, temporary_folder};
use crate::world::{Place, World, text};

/// What a row asks of whoever calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// An account: what the row is about is its own, or anybody's.
    Account,
    /// To be a member of the server that it is about.
    Member,
    /// Any one of these permissions there.
    Permission(&'static [&'static str]),
    /// To be in the group that it is about, and where others are taken out of it to own it.
    Participant,
    /// To own that server.
    Owner,
    /// To have written what it is about.
    Author,
}

/// Of rows that take a login. Those of servers and channels hold wherever they are named: in the path or the body.
fn needs(route: &Route) -> Needs {
    use Needs::{Account, Author, Member, Owner, Participant, Permission};
    match route.name {
        "two_factor_status" | "two_factor_enable" | "two_factor_confirm" | "two_factor_disable"
        | "logout" | "refresh" | "session_list" | "session_delete" | "session_revoke_all" => Account,
        "passkey_list"
        | "passkey_register_begin"
        | "passkey_register_finish"
        | "passkey_rename"
        | "passkey_delete" => Account,
        "me_get" | "me_edit" | "me_delete" | "features_get" | "user_search" | "user_get"
        | "avatar_user_upload" | "avatar_user_delete" | "me_avatar_upload" => Account,
        "group_list" | "group_open" => Account,
        "group_get" | "group_edit" | "group_add" | "group_remove" | "group_leave" => Participant,
        "notes_get" | "dm_list" | "dm_open" | "messaging_get" | "messaging_edit" => Account,
        "setting_list" | "setting_get" | "setting_put" | "setting_put_bulk" | "setting_delete" => Account,
        "relationship_list" | "friend_request" | "block" | "friend_accept" | "relationship_delete" => Account,
        "presence_set" | "presence_get" => Account,
        "notification_list" | "notification_read" | "notification_read_all" => Account,
        "unread_list" | "channel_ack_bulk" => Account,
        "user_report" | "hash_report" | "hash_status_get" | "feedback_send" | "feedback_status" => Account,
        "server_list" | "server_create" => Account,
        // Whoever knows the code may look, and come in.
        "invite_get" | "invite_use" => Account,

        "server_get" | "server_permissions" | "member_list" | "member_search" | "role_list"
        | "channel_list" | "server_leave" => Member,
        "server_delete" | "server_owner_set" => Owner,
        "member_edit" => Permission(&["members.manage_nicknames"]),
        "server_edit" | "server_icon_upload" | "avatar_server_upload" | "avatar_server_delete" => {
            Permission(&["server.manage"])
        }
        "server_audit_log" => Permission(&["server.view_audit_log"]),
        "member_kick" => Permission(&["members.kick"]),
        "member_role_add" | "member_role_remove" => Permission(&["members.manage_roles"]),
        "ban_list" => Permission(&["members.ban", "bans.view"]),
        "ban_create" | "ban_delete" => Permission(&["members.ban"]),
        "role_create" | "role_edit" | "role_delete" => Permission(&["roles.manage"]),
        "channel_get" => Permission(&["channels.view"]),
        "voice_channel_info" => Permission(&["voice.connect"]),
        "ice_server_list" => Account,
        "channel_create" | "channel_edit" | "channel_delete" | "channel_arrange" | "override_list"
        | "override_put" | "override_delete" => Permission(&["channels.manage"]),
        "invite_create" => Permission(&["invites.create"]),
        "invite_delete" | "invite_list" => Permission(&["invites.manage", "server.manage"]),

        "message_list" | "message_get" | "unread_get" | "channel_ack" | "pin_list" | "reaction_list"
        | "reaction_user_list" | "message_report" | "message_search" => Permission(&["messages.read"]),
        "message_create" | "typing_start" => Permission(&["messages.send"]),
        "message_edit" | "poll_create" => Author,
        "poll_get" | "poll_results" | "poll_vote" => Permission(&["messages.read"]),
        "poll_close" => Author,
        "poll_delete" => Permission(&["messages.manage"]),
        "message_delete"
        | "message_bulk_delete"
        | "reaction_clear"
        | "reaction_clear_emoji"
        | "pin_create"
        | "pin_delete" => Permission(&["messages.manage"]),
        "reaction_create" => Permission(&["messages.add_reactions"]),
        // Of one's own: taking it back says nothing.
        "reaction_delete" => Permission(&["channels.view"]),

        "webhook_create"
        | "webhook_get"
        | "webhook_edit"
        | "webhook_delete"
        | "webhook_token_regenerate"
        | "webhook_list"
        | "channel_webhook_list" => Permission(&["webhooks.manage"]),
        "automod_rule_list"
        | "automod_rule_create"
        | "automod_rule_edit"
        | "automod_rule_delete"
        | "automod_violation_list" => Permission(&["server.automod"]),
        "emoji_list" | "emoji_counts_get" | "emoji_get" | "sticker_list" | "sticker_send" => Member,
        "emoji_create" | "emoji_edit" | "emoji_delete" | "sticker_create" | "sticker_delete" => {
            Permission(&["emojis.manage", "server.manage"])
        }
        "sticker_suggest" => Account,
        "attachment_upload" => Permission(&["messages.attach_files"]),
        "attachment_get" | "attachment_info" | "attachment_sign" => Account,
        "upload_open" | "chunk_upload" | "upload_complete" | "upload_abort" | "upload_get"
        | "upload_list" | "compression_status" => Account,
        "search_message_list" | "search_user_list" | "search_server_list" => Account,
        name => panic!("nothing is said of who may {name}"),
    }
}

/// What a row answers to whoever cannot see what it is about: a poll, and a message that nothing but its id names, are
/// not there for him.
fn unseen(route: &Route) -> u16 {
    if route.group == "polls" { 404 } else { 403 }
}

/// Rows that take a login, with what they ask for.
fn rows() -> impl Iterator<Item = (&'static Route, Needs)> {
    ROUTES.iter().filter(|route| route.auth.is_login()).map(|route| (route, needs(route)))
}

/// Those that are about a server.
fn rows_of_servers() -> impl Iterator<Item = (&'static Route, Needs)> {
    rows().filter(|(_, needs)| *needs != Needs::Account)
}

/// Gives somebody a role with all permissions but these, and without that of administrators, which stands for all.
fn grant_all_but(x: &Fixture, user: &User, names: &[&str]) {
    let granted = NAMES.iter().filter(|name| **name != "administrator" && !names.contains(name));
    x.world.grant(&x.place, user, &granted.copied().collect::<Vec<_>>());
}

/// A server where @everyone may nothing, so that a member may what his roles say.
fn bare(world: &Rc<World>) -> Fixture {
    let x = Fixture::of(world.clone());
    let line = format!("PATCH /servers/{}/roles/{}", x.place.id, x.place.everyone);
    x.world.ok(&x.place.owner, &line, json!({"permissions": {}}));
    x
}

/// What there is, as an owner sees it.
fn seen(world: &World, place: &Place) -> Vec<Value> {
    let (server, channel) = (format!("/servers/{}", place.id), format!("/channels/{}", place.channel));
    let of_server =
        ["", "/members", "/roles", "/channels", "/bans", "/invites", "/webhooks", "/automod/rules"];
    let of_channel = ["", "/messages", "/pins", "/webhooks"];
    let of_server = of_server.iter().map(|rest| format!("{server}{rest}"));
    let paths = of_server.chain(of_channel.iter().map(|rest| format!("{channel}{rest}")));
    paths.map(|path| world.get(&place.owner, &path)).collect()
}

/// The places where two views of [`seen`] differ.
fn differing(one: &[Value], other: &[Value]) -> Vec<usize> {
    (0..one.len()).filter(|index| one[*index] != other[*index]).collect()
}

#[test]
fn nobody() {
    let x = Fixture::of(Rc::new(World::new(&[])));
    let before = seen(&x.world, &x.place);
    let mut findings = Findings::default();
    for route in ROUTES {
        let answer = x.call(route, None, None);
        match route.auth.is_login() || route.auth == Auth::Admin {
            true => findings.status(&answer, 401, route.name),
            false => is_let_in(&mut findings, route, &answer, "nobody"),
        }
    }
    let differs = differing(&before, &seen(&x.world, &x.place));
    assert_eq!(differs, [9], "but for what the webhook has said, all is as it was");
}

/// Not refused for who he is; what else is wrong with the request is another matter.
fn is_let_in(findings: &mut Findings, route: &Route, answer: &Answer, who: &str) {
    // A password or a token is what is wrong with these.
    let proves_in_body = [
        "me_delete",
        "two_factor_enable",
        "login",
        "two_factor_login",
        "password_reset_confirm",
        "email_verify",
        "admin_login",
        "admin_verify_otp",
        // Ended sessions are good for that.
        "admin_logout",
    ];
    let refused = [401, 403].contains(&answer.status) && !proves_in_body.contains(&route.name);
    let why = || format!("{who} {}: {} {} {}", route.name, answer.request, answer.status, answer.text());
    findings.check(!refused && answer.status < 500, why);
}

#[test]
fn who_is_not_there() {
    let world = Rc::new(World::new(&[]));
    let (x, other) = (Fixture::of(world.clone()), Fixture::of(world.clone()));
    let banned = world.member(&x.place);
    // He had everything before.
    grant_all_but(&x, &banned, &[]);
    world.ok(&x.place.owner, &format!("PUT /servers/{}/bans/{}", x.place.id, banned.id), json!({}));
    let gone = world.member(&x.place);
    grant_all_but(&x, &gone, &[]);
    world.ok(&gone, &format!("POST /servers/{}/leave", x.place.id), Value::Null);
    let bot = world.bot(&x.outsider);
    let before = [seen(&world, &x.place), seen(&world, &other.place)];
    let mut findings = Findings::default();
    for (route, _) in rows_of_servers() {
        let askers = [
            ("a stranger", &x.outsider),
            ("who is banned", &banned),
            ("who has left", &gone),
            ("the owner of another server", &other.place.owner),
            ("a stranger's bot", &bot),
        ];
        for (who, user) in askers {
            let answer = x.call(route, None, Some(&user.token));
            findings.status(&answer, unseen(route), &format!("{who} {}", route.name));
        }
    }
    let invite = format!("POST /channels/invites/{}", x.code);
    findings.status(&world.call(Some(&banned.token), &invite, Value::Null), 403, "who is banned");
    for (place, before) in [&x.place, &other.place].into_iter().zip(before) {
        assert_eq!(differing(&before, &seen(&world, place)), [0; 0], "something was changed");
    }
}

#[test]
fn who_lacks_what_is_asked_for() {
    let world = Rc::new(World::new(&[]));
    let x = bare(&world);
    let nothing = world.member(&x.place);
    let silenced = silenced(&x);
    let before = seen(&world, &x.place);
    let mut members: BTreeMap<&[&str], User> = BTreeMap::new();
    let mut findings = Findings::default();
    for (route, needs) in rows_of_servers().filter(|(_, needs)| *needs != Needs::Member) {
        let answer = x.call(route, None, Some(&nothing.token));
        findings.status(&answer, unseen(route), &format!("nothing {}", route.name));
        let lacks: &[&str] = if let Needs::Permission(names) = needs { names } else { &[] };
        let member = members.entry(lacks).or_insert_with(|| {
            let member = world.member(&x.place);
            grant_all_but(&x, &member, lacks);
            member
        });
        let answer = x.call(route, None, Some(&member.token));
        let want = if lacks.contains(&"messages.read") { unseen(route) } else { 403 };
        findings.status(&answer, want, &format!("all but {lacks:?} {}", route.name));
        if says_something(route, needs) {
            let answer = x.call(route, None, Some(&silenced.token));
            findings.status(&answer, 403, &format!("in a timeout {}", route.name));
        }
    }
    // Members and roles have come in between.
    let differs = differing(&before, &seen(&world, &x.place));
    assert!(differs.iter().all(|index| [0, 1, 2, 5].contains(index)), "something was changed: {differs:?}");
}

/// Whether a timeout keeps a member from it, whatever his roles say.
fn says_something(route: &Route, needs: Needs) -> bool {
    let is_of_messages = |name: &&str| name.starts_with("messages.") && *name != "messages.read";
    match needs {
        Needs::Permission(names) => names.iter().all(is_of_messages),
        Needs::Author => true,
        _ => route.name == "typing_start",
    }
}

/// A member with all permissions, in a timeout.
fn silenced(x: &Fixture) -> User {
    let (world, place) = (&x.world, &x.place);
    let member = world.member(place);
    grant_all_but(x, &member, &[]);
    let rule = json!({
        "name": "no", "rule_type": "keyword", "config": {"keywords": ["mischief"]},
        "actions": [{"action_type": "timeout_user", "duration_seconds": 600}],
    });
    let rule = world.ok(&place.owner, &format!("POST /servers/{}/automod/rules", place.id), rule);
    let line = format!("POST /channels/{}/messages", place.channel);
    world.refused(&member, &line, json!({"content": "mischief"}), 400);
    let line = format!("DELETE /servers/{}/automod/rules/{}", place.id, text(&rule["id"]));
    world.ok(&place.owner, &line, Value::Null);
    member
}

#[test]
fn who_has_what_is_asked_for() {
    let world = Rc::new(World::new(&[]));
    let mut findings = Findings::default();
    for (route, needs) in rows() {
        let asked: &[&[&str]] = match needs {
            Needs::Permission(names) => &names.iter().map(std::slice::from_ref).collect::<Vec<_>>(),
            _ => &[&[]],
        };
        for names in asked {
            let mut x = bare(&world);
            let caller = match needs {
                Needs::Account => world.user(),
                // The fixture's poll is the owner's.
                Needs::Author if route.path.contains("{poll_id}") => x.place.owner.clone(),
                Needs::Owner | Needs::Participant => x.place.owner.clone(),
                Needs::Author => author(&x),
                Needs::Member | Needs::Permission(_) => world.member(&x.place),
            };
            if let Needs::Permission(_) = needs {
                let is_of_channel = route.path.contains("{channel_id}") || body_names_channel(route, &x);
                let sight: &[&str] = if is_of_channel { &["channels.view", "messages.read"] } else { &[] };
                let names = [*names, sight].concat();
                world.grant(&x.place, &caller, &names);
            }
            if needs == Needs::Author {
                x.message = x.world.message(&caller, &x.place.channel, "own");
            }
            let answer = x.call(route, None, Some(&caller.token));
            is_let_in(&mut findings, route, &answer, &format!("with {names:?}"));
        }
    }
}

/// Webhooks and polls stand in channels, which are to be seen by whoever manages them.
fn body_names_channel(route: &Route, x: &Fixture) -> bool {
    let body = body_of(route.name, x).map(|(body, _)| body).unwrap_or_default();
    let named = ["{webhook_id}", "{poll_id}"];
    body.to_string().contains(&x.place.channel) || named.iter().any(|name| route.path.contains(name))
}

/// A member who may write.
fn author(x: &Fixture) -> User {
    let member = x.world.member(&x.place);
    x.world.grant(&x.place, &member, &["channels.view", "messages.read", "messages.send"]);
    member
}

#[test]
fn bots() {
    let world = Rc::new(World::new(&[]));
    let mut findings = Findings::default();
    for (route, needs) in rows() {
        let x = Fixture::of(world.clone());
        let bot = world.bot(&x.place.owner);
        world.join(&x.place, &bot);
        world.grant(&x.place, &bot, &["administrator"]);
        let answer = x.call(route, None, Some(&bot.token));
        let lacks = route.right.filter(|right| !Kind::Bot.has(*right));
        let about = format!("a bot {}", route.name);
        match (lacks, route.auth, needs) {
            (Some(right), ..) => {
                findings.status(&answer, 403, &about);
                findings
                    .check(answer.text().contains(right.name()), || format!("{about}: {}", answer.text()));
            }
            (None, Auth::Person, _) | (None, _, Needs::Owner | Needs::Author | Needs::Participant) => {
                findings.status(&answer, 403, &about);
            }
            _ => is_let_in(&mut findings, route, &answer, "a bot"),
        }
    }
}

#[test]
fn ids_of_others() {
    let world = Rc::new(World::new(&[]));
    let (x, other) = (Fixture::of(world.clone()), Fixture::of(world.clone()));
    let sessions = world.get(&other.place.owner, "/auth/sessions");
    let line = format!("<@{}>", other.place.owner.id);
    let notification = world.message(&other.member, &other.place.channel, &line);
    let foreign = |name: &str| match name {
        "message_id" => other.message.clone(),
        "role_id" => other.role.clone(),
        "target_id" => other.role.clone(),
        "member_id" | "user_id" => other.member.id.clone(),
        "rule_id" => other.rule.clone(),
        "poll_id" => text(&other.poll["id"]),
        "session_id" => text(&sessions[0]["id"]),
        "emoji_id" => other.emoji().to_owned(),
        "notification_id" => notification.clone(),
        "passkey_id" => "1".to_owned(),
        "filename" => "fedcba9876543210.txt".to_owned(),
        name => panic!("whose is {name}?"),
    };
    let before = [seen(&world, &x.place), seen(&world, &other.place)];
    let mut findings = Findings::default();
    for (route, needs) in rows() {
        // Below one's own server or channel, or one's own self.
        let is_own = |name: &&str| {
            ![
                "server_id",
                "channel_id",
                "group_id",
                "invite_code",
                "webhook_id",
                "sticker_id",
                "hash_value",
                "key",
                "emoji",
            ]
            .contains(name)
        };
        for name in parameters(route).filter(is_own) {
            // These are about anybody, or answer that in a way of their own.
            if needs == Needs::Account && name == "user_id"
                || ["ban_create", "group_add", "chunk_upload", "upload_complete"].contains(&route.name)
            {
                continue;
            }
            let answer = x.call(route, Some((name, &foreign(name))), Some(&x.place.owner.token));
            findings.status(&answer, 404, &format!("{name} of others: {}", route.name));
        }
    }
    for (line, body, status) in bodies_with_ids(&x, &other) {
        findings.status(&world.call(Some(&x.place.owner.token), &line, body), status, "in a body");
    }
    drop(findings);
    for (place, before) in [&x.place, &other.place].into_iter().zip(before) {
        assert_eq!(differing(&before, &seen(&world, place)), [0; 0], "something was changed");
    }
}

/// Requests of an owner whose bodies name what is of another server.
fn bodies_with_ids(x: &Fixture, other: &Fixture) -> Vec<(String, Value, u16)> {
    let (server, channel) = (format!("/servers/{}", x.place.id), format!("/channels/{}", x.place.channel));
    let (webhook, theirs) = (text(&x.webhook["id"]), &other.place.channel);
    vec![
        (format!("PATCH {server}"), json!({"default_channel_id": theirs}), 400),
        (format!("POST {server}/channels"), json!({"name": "x", "category_id": theirs}), 400),
        (format!("PATCH {server}/channels"), json!({"channels": [{"id": theirs, "position": 0}]}), 404),
        (format!("PUT {server}/owner"), json!({"user_id": other.member.id}), 404),
        (
            format!("PUT {channel}/permissions/{}", other.member.id),
            json!({"type": "member", "permissions": {"channels.view": false}}),
            404,
        ),
        (format!("POST {channel}/messages"), json!({"content": "x", "reply_to_id": other.message}), 404),
        (
            "POST /polls".into(),
            json!({"question": "q", "options": ["a", "b"], "message_id": other.message}),
            404,
        ),
        ("POST /webhooks".into(), json!({"channel_id": theirs, "name": "x"}), 403),
        (format!("PATCH /webhooks/{webhook}"), json!({"channel_id": theirs}), 403),
        (
            "POST /reports/messages".into(),
            json!({"channel_id": theirs, "message_id": other.message, "reason": "x", "category": "spam"}),
            403,
        ),
        (
            "POST /reports/messages".into(),
            json!({"channel_id": x.place.channel, "message_id": other.message, "reason": "x", "category": "spam"}),
            404,
        ),
    ]
}

/// An account that may not be used is told why by every row, and so are its bots.
#[test]
fn who_may_not_be_used() {
    let folder = temporary_folder();
    let server = Server::start_in(folder.path(), &[]);
    let user = server.register("alice");
    let bot = server.bot(&user, "rosie");
    assert!(server.stop().success());
    for (state, reason) in [(account::LOCKED, "suspended"), (account::FROZEN, "frozen")] {
        set_state(folder.path(), &user, state);
        let server = Server::start_in(folder.path(), &[]);
        let mut findings = Findings::default();
        let neither = [Auth::Webhook, Auth::Admin];
        for route in ROUTES.iter().filter(|route| !neither.contains(&route.auth)) {
            for token in [&user.token, &bot.token] {
                let answer = call_anything(&server, route, token);
                let refused = route.auth.is_login();
                if !refused {
                    is_let_in(&mut findings, route, &answer, reason);
                    continue;
                }
                findings.status(&answer, 403, route.name);
                findings
                    .check(answer.text().contains(reason), || format!("{}: {}", route.name, answer.text()));
            }
        }
        drop(findings);
        assert!(server.stop().success());
    }
}

/// Calls a row with whatever ids.
fn call_anything(server: &Server, route: &Route, token: &str) -> Answer {
    let segments = route.path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
    let path = segments.collect::<Vec<_>>().join("/");
    let prefix = if route.root { "" } else { "/api/v1" };
    server.http().call(route.method.as_str(), &format!("{prefix}{path}"), Some(token), None)
}

fn set_state(folder: &std::path::Path, user: &User, state: u8) {
    let options = Options { path: folder.to_owned(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("the store");
    let mut tx = store.begin().expect("a transaction");
    let user_id = user.id.parse().map(plexichat::id::UserId).expect("an id");
    let record = tx.get(USERS, user_id).map(Account::from).expect("the account");
    tx.put(USERS, user_id, &Account { state, ..record });
    tx.commit().expect("a commit");
}
