//! Servers: list, create, get, edit, delete, own permissions, audit log, leaving.

use std::ops::RangeInclusive;

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Id, Int, Name, Needed, Or, Prose, Unused, fields};
use crate::api::moderation::default_rules;
use crate::config::Config;
use crate::domain::community::audit;
use crate::domain::community::member::{MemberLeave, check_leave};
use crate::domain::community::owner::{OwnerSet, check_set};
use crate::domain::community::server::{self, ServerCreate, ServerDelete, ServerEdit, require_owner};
use crate::domain::identity::tier;
use crate::domain::moderation::rule::ServerFound;
use crate::domain::permission::{SERVER_MANAGE, SERVER_VIEW_AUDIT_LOG};
use crate::domain::{Refusal, Result};
use crate::id::{ChannelId, ServerId, UserId};
use crate::store::tables::SERVERS;

/// Characters of a description.
const DESCRIPTION_LEN_MAX: usize = 1_000;

fn name_range(config: &Config) -> RangeInclusive<usize> {
    config.servers.server_name_min_length as usize..=config.servers.server_name_max_length as usize
}

fields! {
    /// A new server.
    pub SERVER_CREATE: ServerCreateRequest {
        name: Needed<Name> = Needed(Name(Chars::Configured(name_range))),
        description: Prose = Prose(DESCRIPTION_LEN_MAX),
        icon_url: Unused = Unused,
    }
}

fields! {
    /// What changes of a server; the rest stays.
    pub SERVER_EDIT: ServerUpdateRequest {
        name: Name = Name(Chars::Configured(name_range)),
        /// A blank one takes it away.
        description: Prose = Prose(DESCRIPTION_LEN_MAX),
        icon_url: Unused = Unused,
        /// Where newcomers arrive.
        default_channel_id: Id = Id,
    }
}

fields! {
    /// Whose a server is to be.
    pub OWNER_SET: ServerOwnerRequest {
        /// One of its members.
        user_id: Needed<Id> = Needed(Id),
    }
}

fields! {
    /// How much of the audit log.
    pub AUDIT_LOG: AuditLogQuery {
        limit: Or<Int, u64> = Or(Int(1..=100), 50),
    }
}

pub fn server_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    ctx.json(|out| server::write_list(out, snapshot.read(), user_id))
}

pub fn server_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let name = SERVER_CREATE.name.read(&body, &ctx.state.config)?;
    let description = SERVER_CREATE.description.read(&body)?;
    SERVER_CREATE.icon_url.check(&body)?;
    let server_count_max = tier::server_count_max(ctx.principal().tier);
    let create = ServerCreate { name, description, server_count_max };
    let automod = &ctx.state.config.automod;
    match automod.default_rules {
        true => ctx.submit(ServerFound { create, rules: default_rules::rules(automod) }, answer),
        false => ctx.submit(create, answer),
    }
}

fn answer(ctx: &mut Ctx<'_>, server_id: ServerId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let record = snapshot.read().get(SERVERS, server_id).ok_or(Refusal::ServerNotFound)?;
    ctx.json(|out| server::ServerResponse::write(out, server_id, record))
}

pub fn server_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    ctx.asking(&ctx.snapshot()).server(server_id)?;
    answer(ctx, server_id)
}

pub fn server_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).server(server_id)?.require(SERVER_MANAGE)?;
    let stored = snapshot.read().get(SERVERS, server_id).map(|server| server.name.as_str());
    let body = ctx.body()?;
    let name = SERVER_EDIT.name.read(&body, &ctx.state.config, stored)?;
    let description = SERVER_EDIT.description.read(&body)?;
    SERVER_EDIT.icon_url.check(&body)?;
    let default_channel_id = SERVER_EDIT.default_channel_id.read(&body)?.map(ChannelId);
    let op = ServerEdit { server_id, name, description, default_channel_id };
    ctx.submit(op, move |ctx, _| answer(ctx, server_id))
}

pub fn server_owner_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    require_owner(&ctx.asking(&ctx.snapshot()).server(server_id)?)?;
    let body = ctx.body()?;
    let op = OwnerSet { server_id, user_id: UserId(OWNER_SET.user_id.read(&body)?) };
    check_set(ctx.asking(&ctx.snapshot()), &op)?;
    ctx.submit(op, move |ctx, _| answer(ctx, server_id))
}

pub fn server_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    require_owner(&ctx.asking(&ctx.snapshot()).server(server_id)?)?;
    ctx.submit_success(ServerDelete { server_id })
}

pub fn server_permissions(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let standing = ctx.asking(&snapshot).server(server_id)?;
    ctx.json(|out| server::write_permissions(out, &standing))
}

pub fn server_audit_log(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let viewer = ctx.asking(&snapshot).server(server_id)?;
    viewer.require(SERVER_VIEW_AUDIT_LOG)?;
    let limit = AUDIT_LOG.limit.query(ctx)?;
    ctx.json(|out| audit::write_list(out, &viewer, limit as usize))
}

pub fn server_leave(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    check_leave(&ctx.asking(&ctx.snapshot()).server(server_id)?)?;
    ctx.submit_success(MemberLeave { server_id })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::START_MS;
    use crate::api::testing::server_world::{World, server_id, text_of};
    use crate::domain::community::server::ServerCreate;
    use crate::domain::housekeeping::sweep::Sweep;
    use crate::domain::{Command, Op, Reply};
    use crate::id::UserId;
    use crate::store::records::{Member, Nil};
    use crate::store::tables::{AUDIT, CHANNEL_GARBAGE, MEMBERS, SERVER_GARBAGE, USER_SERVERS};

    #[test]
    fn create_shows_the_server() {
        let world = World::default();
        let alice = world.user(1, "alice");
        assert_eq!(world.ok(&alice, "GET", "/servers", ""), "[]");
        let json = r#"{"name":"<b>Bold & \"Q\"</b>","description":"d","icon_url":"x"}"#;
        let body = world.ok(&alice, "POST", "/servers", json);
        let (id, channel_id) = (text_of(&body, "id"), text_of(&body, "default_channel_id"));
        let want = format!(
            r#"{{"id":"{id}","name":"<b>Bold & \"Q\"</b>","description":"d","icon_url":null,"owner_id":"1","member_count":1,"default_channel_id":"{channel_id}","verification_level":0,"default_message_notifications":0,"created_at":{}}}"#,
            START_MS / 1_000
        );
        assert_eq!(body, want);
        assert_eq!(world.ok(&alice, "GET", &format!("/servers/{id}"), ""), want);
        assert_eq!(world.ok(&alice, "GET", "/servers", ""), format!("[{want}]"));
        let payload = world.payload("GUILD_CREATE");
        assert!(payload.starts_with(&format!(r#"{{"id":"{id}","name":"#)), "{payload}");
        let channels = format!(
            r#""channels":[{{"id":"{channel_id}","name":"general","type":"text","position":0}}],"roles":[{{"id":""#
        );
        assert!(payload.contains(&channels), "{payload}");
        let end = r#""name":"@everyone","color":null,"hoist":false,"position":0}],"members":[]}"#;
        assert!(payload.ends_with(end), "{payload}");
        assert_eq!(world.known(), ["GUILD_CREATE to user 1", "change MemberAdded"]);
        let log = world.ok(&alice, "GET", &format!("/servers/{id}/audit-logs"), "");
        assert!(log.contains(r#""user":{"id":"1","username":"alice""#), "{log}");
        assert!(log.contains(r#""action":"server_create","target_type":"server","target_id":""#), "{log}");
        assert!(log.contains(r#""changes":null,"reason":null,"created_at":1767225600}]"#), "{log}");
    }

    #[test]
    fn create_refuses() {
        let world = World::default();
        let alice = world.user(1, "alice");
        let check = |json: &str, text: &str| world.refused(&alice, ("POST", "/servers", json), 400, text);
        check("{}", "Invalid name: this field is required");
        check(r#"{"name":"x"}"#, "2 to 100 characters");
        check(&format!(r#"{{"name":"{}"}}"#, "n".repeat(101)), "2 to 100 characters");
        check(r#"{"name":"   "}"#, "must not be blank");
        check(r#"{"name":5}"#, "must be a string");
        check(&format!(r#"{{"name":"ok","description":"{}"}}"#, "d".repeat(1_001)), "at most 1000");
        check("[]", "must be a JSON object");
        assert_eq!(world.harness.request("POST", "/servers", None, Some(r#"{"name":"Alpha"}"#)).0, 401);
        assert_eq!(world.known(), Vec::<String>::new());
    }

    #[test]
    fn number_of_servers_is_limited() {
        let world = World::default();
        let alice = world.user(1, "alice");
        let op = ServerCreate { name: "One".into(), description: None, server_count_max: 1 };
        let command = Command::new(alice.id, Op::from(op));
        assert!(world.harness.apply(&command).is_ok());
        let refusal = world.harness.apply(&command).unwrap_err();
        assert_eq!((refusal.status, refusal.message.contains("at most 1 servers")), (400, true));
        let stranger = Command::new(UserId(99), command.op.clone());
        assert_eq!(world.harness.apply(&stranger).unwrap_err().status, 401);
    }

    #[test]
    fn get_and_edit_answer_by_standing() {
        let world = World::default();
        let (alice, bob, gina) = (world.user(1, "alice"), world.user(2, "bob"), world.user(3, "gina"));
        let (server, channel) = world.server(&alice, &[&bob]);
        for path in
            ["", "/permissions", "/channels", "/members", "/roles", "/bans", "/invites", "/audit-logs"]
        {
            let check = |id: &str, status: u16| {
                let path = format!("/servers/{id}{path}");
                assert_eq!(world.send(&gina, "GET", &path, "").0, status, "{path}");
            };
            check("abc", 400);
            check("12345", 404);
            check(server.strip_prefix("/servers/").unwrap(), 403);
            assert_eq!(world.harness.request("GET", &format!("{server}{path}"), None, None).0, 401);
        }
        let edit = |json: &str| (server.clone(), json.to_string());
        let check = |person, json: &str, status, text| {
            let (path, json) = edit(json);
            world.refused(person, ("PATCH", &path, &json), status, text);
        };
        check(&gina, r#"{"name":"hax"}"#, 403, "not a member");
        check(&bob, r#"{"name":"hax"}"#, 403, "server.manage");
        check(&bob, "nonsense", 403, "server.manage");
        check(&alice, r#"{"name":"x"}"#, 400, "Invalid name");
        check(&alice, r#"{"default_channel_id":"7"}"#, 400, "Invalid default_channel_id");
        check(&alice, r#"{"default_channel_id":"x"}"#, 400, "Invalid default_channel_id");
        let voice = r#"{"name":"v","type":"voice"}"#;
        let voice = world.ok(&alice, "POST", &format!("{server}/channels"), voice);
        let json = format!(r#"{{"default_channel_id":"{}"}}"#, text_of(&voice, "id"));
        check(&alice, &json, 400, "must be a text channel of this server");
        world.known();

        let body = world.ok(&alice, "PATCH", &server, r#"{"name":"Renamed","description":null}"#);
        assert!(body.contains(r#""name":"Renamed","description":null"#), "{body}");
        assert_eq!(world.payload("GUILD_UPDATE"), body);
        assert_eq!(world.known(), ["GUILD_UPDATE to members"]);
        let log = world.ok(&alice, "GET", &format!("{server}/audit-logs?limit=1"), "");
        assert!(log.contains(r#""changes":{"name":{"old":"Home","new":"Renamed"}}"#), "{log}");
        world.ok(&alice, "PATCH", &server, r#"{"name":"Renamed"}"#);
        assert_eq!(world.known(), Vec::<String>::new());

        world.ok(&alice, "DELETE", &channel, "");
        let body = world.ok(&alice, "GET", &server, "");
        assert!(body.contains(r#""default_channel_id":null"#), "{body}");
    }

    #[test]
    fn permissions_name_what_is_granted() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, _) = world.server(&alice, &[&bob]);
        let path = format!("{server}/permissions");
        assert_eq!(world.ok(&alice, "GET", &path, "").matches(":true").count(), 37);
        let want = r#"{"channels.view":true,"messages.send":true,"messages.read":true,"messages.embed_links":true,"messages.attach_files":true,"messages.add_reactions":true,"voice.connect":true,"voice.speak":true,"invites.create":true,"events.view":true}"#;
        assert_eq!(world.ok(&bob, "GET", &path, ""), want);
        world.role(&alice, &server, r#"{"members.kick":true,"unknown.name":true}"#, &[&bob]);
        let want = want.replace('}', r#","members.kick":true}"#);
        assert_eq!(world.ok(&bob, "GET", &path, ""), want);
        world.role(&alice, &server, r#"{"administrator":true}"#, &[&bob]);
        assert_eq!(world.ok(&bob, "GET", &path, "").matches(":true").count(), 37);
    }

    #[test]
    fn audit_log_is_limited_and_newest_first() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, _) = world.server(&alice, &[&bob]);
        let actions = world.actions(&alice, &server, 100);
        assert_eq!(actions, ["invite_use", "member_join", "invite_create", "server_create"]);
        assert_eq!(world.actions(&alice, &server, 2).len(), 2);
        for limit in ["0", "101", "x", "-1"] {
            let path = format!("{server}/audit-logs?limit={limit}");
            world.refused(&alice, ("GET", &path, ""), 400, "Invalid limit");
        }
        world.refused(&bob, ("GET", &format!("{server}/audit-logs"), ""), 403, "server.view_audit_log");
    }

    #[test]
    fn the_audit_log_gives_nobody_a_code_that_he_may_not_see() {
        let world = World::default();
        let [alice, bob, carol] =
            [(1, "alice"), (2, "bob"), (3, "carol")].map(|(id, name)| world.user(id, name));
        let (server, channel) = world.server(&alice, &[&bob, &carol]);
        world.role(&alice, &server, r#"{"server.view_audit_log":true}"#, &[&bob, &carol]);
        let create = |person| {
            let body = world.ok(person, "POST", &format!("{channel}/invites"), r#"{"max_age":60}"#);
            text_of(&body, "code").to_string()
        };
        let (of_alice, of_bob) = (create(&alice), create(&bob));
        let shows = |person, code: &str| {
            let log = world.ok(person, "GET", &format!("{server}/audit-logs"), "");
            log.contains(&format!(r#""target_type":"invite","target_id":null,"target_name":"{code}""#))
        };
        assert!(shows(&alice, &of_alice) && shows(&alice, &of_bob), "the owner may list them");
        assert_eq!((shows(&bob, &of_alice), shows(&bob, &of_bob)), (false, true), "his own he knows");
        assert_eq!((shows(&carol, &of_alice), shows(&carol, &of_bob)), (false, false));
        let log = world.ok(&carol, "GET", &format!("{server}/audit-logs"), "");
        assert!(!log.contains(&of_alice) && !log.contains(&of_bob), "nowhere in it: {log}");
        world.role(&alice, &server, r#"{"invites.manage":true}"#, &[&carol]);
        assert!(shows(&carol, &of_alice) && shows(&carol, &of_bob));
        world.harness.advance(60_000);
        assert!(shows(&bob, &of_alice), "it lets nobody in any more");
    }

    #[test]
    fn leave() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        let path = format!("{server}/leave");
        world.refused(&alice, ("POST", &path, ""), 403, "owner cannot leave");
        assert_eq!(world.ok(&bob, "POST", &path, ""), r#"{"success":true}"#);
        assert_eq!(
            world.known(),
            ["change MemberRemoved", "GUILD_DELETE to user 2", "GUILD_MEMBER_REMOVE to members"]
        );
        world.refused(&bob, ("POST", &path, ""), 403, "not a member");
        world.refused(&bob, ("GET", &channel, ""), 403, "not a member");
        assert!(world.ok(&alice, "GET", &server, "").contains(r#""member_count":1"#));
        assert_eq!(world.ok(&bob, "GET", "/servers", ""), "[]");
        assert_eq!(world.actions(&alice, &server, 1), ["member_leave"]);
    }

    #[test]
    fn delete_takes_everything_with_it() {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[]);
        let code = world.join(&alice, &channel, &bob, "{}");
        world.known();
        world.refused(&bob, ("DELETE", &server, ""), 403, "Only the owner");
        assert_eq!(world.ok(&alice, "DELETE", &server, ""), r#"{"success":true}"#);
        let payload = format!(r#"{{"id":"{}","unavailable":false}}"#, server_id(&server));
        assert_eq!(world.payload("GUILD_DELETE"), payload);
        assert_eq!(world.known(), ["GUILD_DELETE to members", "change ServerRemoved"]);
        world.refused(&alice, ("DELETE", &server, ""), 404, "Server not found");
        world.refused(&alice, ("GET", &channel, ""), 404, "Channel not found");
        let invite = format!("/channels/invites/{code}");
        world.refused(&bob, ("GET", &invite, ""), 404, "Invite not found");
        assert_eq!(world.ok(&bob, "GET", "/servers", ""), "[]");
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        assert_eq!((read.len(MEMBERS), read.len(USER_SERVERS), read.len(AUDIT)), (0, 0, 0));
        assert_eq!((read.len(CHANNEL_GARBAGE), read.len(SERVER_GARBAGE)), (1, 0));
    }

    #[test]
    fn large_servers_are_swept_in_steps() {
        const MEMBERS_MORE: u64 = 10_050;
        let world = World::default();
        let alice = world.user(1, "alice");
        let (server, _) = world.server(&alice, &[]);
        let id = server_id(&server);
        let store = world.harness.state.store.clone();
        let mut tx = store.begin().unwrap();
        for user_id in (100..100 + MEMBERS_MORE).map(UserId) {
            tx.put(MEMBERS, (id, user_id), &Member::default());
            tx.put(USER_SERVERS, (user_id, id), &Nil {});
        }
        tx.commit().unwrap();
        world.harness.state.set_snapshot(store.snapshot());
        world.ok(&alice, "DELETE", &server, "");
        world.refused(&alice, ("GET", &server, ""), 404, "Server not found");
        let step = || {
            let command = Command::new(UserId(0), Sweep { records_max: 60 }.into());
            world.harness.apply(&command).unwrap()
        };
        // 51 members with two rows each and the audit entry of the creation are left; the first step does not come to
        // invites and ledgers.
        assert_eq!((step(), step()), (Reply::Count(3), Reply::Count(0)));
        let snapshot = store.snapshot();
        let read = snapshot.read();
        assert_eq!((read.len(MEMBERS), read.len(USER_SERVERS), read.len(SERVER_GARBAGE)), (0, 0, 0));
        assert_eq!(read.len(AUDIT), 0);
    }
}
