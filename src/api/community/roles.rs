//! Roles of a server: list, create, edit, delete.

use std::ops::RangeInclusive;

use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Formed, Int, Map, Name, Or, Text, fields};
use crate::config::Config;
use crate::domain::community::role::{self, RoleCreate, RoleDelete, RoleEdit, check_delete, manageable};
use crate::domain::permission::ROLES_MANAGE;
use crate::domain::{Error, Refusal, Result};
use crate::id::{RoleId, ServerId};
use crate::store::records::Grant;
use crate::store::tables::ROLES;
use crate::wire::json::Value;

/// Entries of a permission set: 37 names are known, later versions and wildcards add some.
const GRANTS_MAX: usize = 128;
/// Characters of a permission name.
const GRANT_LEN_MAX: usize = 64;
const NEW_NAME: &str = "New Role";

fn name_range(config: &Config) -> RangeInclusive<usize> {
    1..=config.servers.role_name_max_length as usize
}

fields! {
    /// A new role.
    pub ROLE_CREATE: RoleCreateRequest {
        name: Name = Name(Chars::Configured(name_range)),
        /// `#` and six hexadecimal digits.
        color: Formed = Formed(Text(Chars::Any), "^#[0-9A-Fa-f]{6}$"),
        /// True grants, false denies; by the name of the permission.
        permissions: Map = Map("boolean"),
        hoist: Or<Flag, bool> = Or(Flag, false),
        mentionable: Or<Flag, bool> = Or(Flag, false),
    }
}

fields! {
    /// What changes of a role; the rest stays.
    pub ROLE_EDIT: RoleUpdateRequest {
        name: Name = Name(Chars::Configured(name_range)),
        /// `#` and six hexadecimal digits.
        color: Formed = Formed(Text(Chars::Any), "^#[0-9A-Fa-f]{6}$"),
        /// All that it grants and denies from now on.
        permissions: Map = Map("boolean"),
        hoist: Flag = Flag,
        mentionable: Flag = Flag,
        position: Int = Int(0..=u64::MAX),
    }
}

pub fn role_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).server(server_id)?;
    ctx.json(|out| role::write_list(out, snapshot.read(), server_id))
}

pub fn role_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    ctx.asking(&ctx.snapshot()).server(server_id)?.require(ROLES_MANAGE)?;
    let body = ctx.body()?;
    let op = RoleCreate {
        server_id,
        name: ROLE_CREATE.name.read(&body, &ctx.state.config, None)?.unwrap_or_else(|| NEW_NAME.to_string()),
        color: color(ROLE_CREATE.color.read(&body)?)?,
        permissions: grants(ROLE_CREATE.permissions.read(&body))?.unwrap_or_default(),
        hoist: ROLE_CREATE.hoist.read(&body)?,
        mentionable: ROLE_CREATE.mentionable.read(&body)?,
    };
    ctx.submit(op, move |ctx, role_id| answer(ctx, server_id, role_id))
}

pub fn role_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, role_id) = (ctx.path_server()?, ctx.path_role()?);
    let snapshot = ctx.snapshot();
    let (_, role) = manageable(ctx.asking(&snapshot), server_id, role_id)?;
    let body = ctx.body()?;
    let op = RoleEdit {
        server_id,
        role_id,
        name: ROLE_EDIT.name.read(&body, &ctx.state.config, Some(&role.name))?,
        color: color(ROLE_EDIT.color.read(&body)?)?,
        permissions: grants(ROLE_EDIT.permissions.read(&body))?,
        hoist: ROLE_EDIT.hoist.read(&body)?,
        mentionable: ROLE_EDIT.mentionable.read(&body)?,
        position: ROLE_EDIT.position.read(&body)?,
    };
    ctx.submit(op, move |ctx, _| answer(ctx, server_id, role_id))
}

pub fn role_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, role_id) = (ctx.path_server()?, ctx.path_role()?);
    check_delete(ctx.asking(&ctx.snapshot()), server_id, role_id)?;
    ctx.submit_success(RoleDelete { server_id, role_id })
}

fn answer(ctx: &mut Ctx<'_>, server_id: ServerId, role_id: RoleId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let record = snapshot.read().get(ROLES, (server_id, role_id)).ok_or(Refusal::RoleNotFound)?;
    ctx.json(|out| role::RoleResponse::write(out, server_id, role_id, record))
}

fn color(color: Option<&str>) -> Result<Option<String>> {
    let valid = |color: &str| {
        let digits = color.strip_prefix('#').unwrap_or_default();
        digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if color.is_some_and(|color| !valid(color)) {
        return Err(Error::invalid("color", "must be # and six hexadecimal digits"));
    }
    Ok(color.map(str::to_string))
}

/// The permission set: an object name to boolean. Of a name given twice the last counts.
pub(super) fn grants(value: Option<&Value<'_>>) -> Result<Option<Vec<Grant>>> {
    let Some(value) = value else { return Ok(None) };
    let wrong = || Error::invalid("permissions", "must be an object of names and booleans");
    let members = value.as_object().ok_or_else(wrong)?;
    if members.len() > GRANTS_MAX {
        return Err(Error::invalid("permissions", format_args!("must have at most {GRANTS_MAX} entries")));
    }
    let mut grants: Vec<Grant> = Vec::with_capacity(members.len());
    for (name, value) in members {
        check_len("permissions", name, 1..=GRANT_LEN_MAX)?;
        let allowed = value.as_bool().ok_or_else(wrong)?;
        match grants.iter_mut().find(|grant| grant.name == *name) {
            Some(grant) => grant.allowed = allowed,
            None => grants.push(Grant { name: name.to_string(), allowed }),
        }
    }
    Ok(Some(grants))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{Person, World, text_of};
    use crate::id::{RoleId, ServerId};
    use crate::store::records::{Override, Role};
    use crate::store::tables::{OVERRIDES, ROLES};

    fn two() -> (World, Person, Person, String) {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, _) = world.server(&alice, &[&bob]);
        (world, alice, bob, server)
    }

    fn create(world: &World, person: &Person, server: &str, name: &str) -> String {
        let json = format!(r#"{{"name":"{name}"}}"#);
        text_of(&world.ok(person, "POST", &format!("{server}/roles"), &json), "id").to_string()
    }

    /// Names and positions, highest first.
    fn order(world: &World, person: &Person, server: &str) -> String {
        let body = world.ok(person, "GET", &format!("{server}/roles"), "");
        let roles = body.split("{\"id\"").skip(1).map(|role| {
            let position = role.split("\"position\":").nth(1).unwrap();
            format!("{}{}", text_of(role, "name"), &position[..position.find(',').unwrap()])
        });
        roles.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn create_and_list() {
        let (world, alice, bob, server) = two();
        let path = format!("{server}/roles");
        let json = r##"{"name":"Mod","color":"#ff0000","permissions":{"messages.manage":true,"x.y":false},"hoist":true,"mentionable":true}"##;
        let body = world.ok(&alice, "POST", &path, json);
        let server_id = server.strip_prefix("/servers/").unwrap();
        let want = format!(
            r##"{{"id":"{}","server_id":"{server_id}","name":"Mod","color":"#ff0000","position":1,"permissions":{{"messages.manage":true,"x.y":false}},"hoist":true,"mentionable":true,"is_default":false}}"##,
            text_of(&body, "id")
        );
        assert_eq!(body, want);
        let payload = format!(r#"{{"guild_id":"{server_id}","role":{want}}}"#);
        assert_eq!(world.payload("GUILD_ROLE_CREATE"), payload);
        assert_eq!(world.known(), ["GUILD_ROLE_CREATE to members"]);
        let body = world.ok(&alice, "POST", &path, "{}");
        assert!(body.contains(r#""name":"New Role","color":null,"position":2,"permissions":{}"#), "{body}");
        assert_eq!(order(&world, &bob, &server), "New Role2 Mod1 @everyone0");
        let everyone = r#""name":"@everyone","color":null,"position":0,"permissions":{"channels.view":true,"messages.send":true,"messages.read":true,"messages.embed_links":true,"messages.attach_files":true,"messages.add_reactions":true,"voice.connect":true,"voice.speak":true,"invites.create":true,"events.view":true},"hoist":false,"mentionable":false,"is_default":true}]"#;
        let list = world.ok(&bob, "GET", &path, "");
        assert!(list.ends_with(everyone), "{list}");
        assert_eq!(world.actions(&alice, &server, 2), ["role_create", "role_create"]);
    }

    #[test]
    fn bodies_are_checked() {
        let (world, alice, bob, server) = two();
        let path = format!("{server}/roles");
        world.refused(&bob, ("POST", &path, "nonsense"), 403, "roles.manage");
        let check = |json: &str, text: &str| {
            world.refused(&alice, ("POST", &path, json), 400, text);
            let id = create(&world, &alice, &server, "victim");
            world.refused(&alice, ("PATCH", &format!("{path}/{id}"), json), 400, text);
            world.ok(&alice, "DELETE", &format!("{path}/{id}"), "");
        };
        check(r#"{"name":""}"#, "Invalid name");
        check(r#"{"name":"  "}"#, "Invalid name");
        check(&format!(r#"{{"name":"{}"}}"#, "n".repeat(101)), "Invalid name");
        for color in ["red", "#ff00", "#gg0000", "ff0000", "#ff00000", ""] {
            check(&format!(r#"{{"color":"{color}"}}"#), "Invalid color");
        }
        check(r#"{"color":5}"#, "Invalid color");
        check(r#"{"permissions":[]}"#, "Invalid permissions");
        check(r#"{"permissions":{"a":1}}"#, "Invalid permissions");
        check(r#"{"permissions":{"":true}}"#, "Invalid permissions");
        check(r#"{"hoist":"true"}"#, "Invalid hoist");
        check(r#"{"mentionable":1}"#, "Invalid mentionable");
        let many: Vec<String> = (0..129).map(|index| format!("\"p{index}\":true")).collect();
        check(&format!(r#"{{"permissions":{{{}}}}}"#, many.join(",")), "at most 128");
        let body = world.ok(&alice, "POST", &path, r#"{"permissions":{"a":true,"b":true,"a":false}}"#);
        assert!(body.contains(r#""permissions":{"a":false,"b":true}"#), "{body}");
        let id = text_of(&body, "id");
        for json in [r#"{"position":-1}"#, r#"{"position":1.5}"#, r#"{"position":"1"}"#] {
            world.refused(&alice, ("PATCH", &format!("{path}/{id}"), json), 400, "Invalid position");
        }
    }

    #[test]
    fn nobody_grants_what_he_lacks() {
        let (world, alice, bob, server) = two();
        let path = format!("{server}/roles");
        let low = world.role(&alice, &server, r#"{"members.ban":true}"#, &[]);
        world.role(&alice, &server, r#"{"roles.manage":true,"members.kick":true}"#, &[&bob]);
        for name in ["members.ban", "administrator", "*", "members.*"] {
            let json = format!(r#"{{"permissions":{{"{name}":true}}}}"#);
            world.refused(&bob, ("POST", &path, &json), 403, "cannot grant");
            let json =
                format!(r#"{{"permissions":{{"{name}":true,"members.ban":true,"server.manage":true}}}}"#);
            world.refused(&bob, ("PATCH", &format!("{path}/{low}"), &json), 403, "cannot grant");
        }
        let json = r#"{"permissions":{"members.kick":true,"administrator":false,"made.up":true}}"#;
        let body = world.ok(&bob, "POST", &path, json);
        // Below his own role, which moves up.
        assert!(body.contains(r#""position":2"#), "{body}");
        assert_eq!(order(&world, &bob, &server), "R3 New Role2 R1 @everyone0");
        // What the role had before stays allowed.
        let json = r#"{"permissions":{"members.ban":true,"members.kick":true}}"#;
        world.ok(&bob, "PATCH", &format!("{path}/{low}"), json);
    }

    #[test]
    fn order_decides_who_edits() {
        let (world, alice, bob, server) = two();
        let path = |id: &str| format!("{server}/roles/{id}");
        let low = create(&world, &alice, &server, "low");
        let mine = world.role(&alice, &server, r#"{"roles.manage":true}"#, &[]);
        let high = create(&world, &alice, &server, "high");
        world.refused(&bob, ("PATCH", &path(&low), "{}"), 403, "roles.manage");
        world.refused(&bob, ("PATCH", &path("77"), "{}"), 404, "Role not found");
        world.refused(&bob, ("PATCH", &path("x"), "{}"), 400, "Invalid role ID");
        world.ok(&alice, "PUT", &format!("{server}/members/2/roles/{mine}"), "");
        for role in [&mine, &high] {
            world.refused(&bob, ("PATCH", &path(role), r#"{"name":"x"}"#), 403, "highest role");
            world.refused(&bob, ("DELETE", &path(role), ""), 403, "highest role");
        }
        world.refused(&bob, ("PATCH", &path(&low), r#"{"position":2}"#), 403, "highest role");
        world.ok(&bob, "PATCH", &path(&low), r#"{"name":"lower","position":1}"#);
        world.ok(&bob, "DELETE", &path(&low), "");
    }

    #[test]
    fn edit_replaces_and_moves() {
        let (world, alice, _, server) = two();
        let ids: Vec<String> = ["a", "b", "c"].map(|name| create(&world, &alice, &server, name)).into();
        let path = |id: &str| format!("{server}/roles/{id}");
        world.known();
        let body = world.ok(&alice, "PATCH", &path(&ids[0]), r#"{"position":5,"name":"A"}"#);
        assert!(body.contains(r#""name":"A","color":null,"position":3"#), "{body}");
        assert_eq!(order(&world, &alice, &server), "A3 c2 b1 @everyone0");
        assert_eq!(world.known(), ["GUILD_ROLE_UPDATE to members"; 3]);
        world.ok(&alice, "PATCH", &path(&ids[2]), r#"{"position":0}"#);
        assert_eq!(order(&world, &alice, &server), "A3 b2 c1 @everyone0");
        world.known();

        let json = r#"{"permissions":{"server.manage":true}}"#;
        let body = world.ok(&alice, "PATCH", &path(&ids[1]), json);
        assert!(body.contains(r#""permissions":{"server.manage":true}"#), "{body}");
        assert_eq!(world.known(), ["change PermissionsChanged", "GUILD_ROLE_UPDATE to members"]);
        let log = world.ok(&alice, "GET", &format!("{server}/audit-logs?limit=1"), "");
        assert!(
            log.contains(r#""changes":{"permissions":{"old":{},"new":{"server.manage":true}}}"#),
            "{log}"
        );
        assert_eq!(world.ok(&alice, "PATCH", &path(&ids[1]), "{}"), body);
        assert_eq!(world.known(), Vec::<String>::new());

        world.ok(&alice, "DELETE", &path(&ids[1]), "");
        assert_eq!(order(&world, &alice, &server), "A2 c1 @everyone0");
        assert_eq!(
            world.known(),
            ["change PermissionsChanged", "GUILD_ROLE_DELETE to members", "GUILD_ROLE_UPDATE to members"]
        );
        world.refused(&alice, ("DELETE", &path(&ids[1]), ""), 404, "Role not found");
        assert_eq!(world.actions(&alice, &server, 1), ["role_delete"]);
    }

    #[test]
    fn everyone_has_only_permissions_to_change() {
        let (world, alice, bob, server) = two();
        let list = world.ok(&alice, "GET", &format!("{server}/roles"), "");
        let path = format!("{server}/roles/{}", text_of(&list, "id"));
        world.refused(&alice, ("DELETE", &path, ""), 403, "@everyone");
        for json in [r#"{"name":"x"}"#, r#"{"position":1}"#, r#"{"hoist":true}"#, r##"{"color":"#000000"}"##]
        {
            world.refused(&alice, ("PATCH", &path, json), 400, "Only the permissions of @everyone");
        }
        let json = r#"{"name":"@everyone","position":0,"permissions":{"channels.view":true}}"#;
        world.ok(&alice, "PATCH", &path, json);
        let permissions = world.ok(&bob, "GET", &format!("{server}/permissions"), "");
        assert_eq!(permissions, r#"{"channels.view":true}"#);
    }

    #[test]
    fn a_deleted_role_is_gone_from_its_holders() {
        let (world, alice, bob, server) = two();
        let role = world.role(&alice, &server, r#"{"server.manage":true}"#, &[&bob]);
        let role_id = RoleId::parse(&role).unwrap();
        let channels = world.ok(&alice, "GET", &format!("{server}/channels"), "");
        let channel_id = crate::id::ChannelId::parse(text_of(&channels, "id")).unwrap();
        world.put(OVERRIDES, (channel_id, 0, role_id.0), &Override { allow: 1, deny: 0 });
        world.ok(&alice, "DELETE", &format!("{server}/roles/{role}"), "");
        let members = world.ok(&alice, "GET", &format!("{server}/members"), "");
        assert!(!members.contains(&role), "{members}");
        world.refused(&bob, ("PATCH", &server, r#"{"name":"hax"}"#), 403, "server.manage");
        assert!(!world.harness.state.snapshot().read().contains(OVERRIDES, (channel_id, 0, role_id.0)));
        let path = format!("{server}/members/2/roles/{role}");
        world.refused(&alice, ("DELETE", &path, ""), 404, "Role not found");
    }

    #[test]
    fn a_reorder_among_many_is_one_event() {
        let (world, alice, _, server) = two();
        let ids: Vec<String> =
            (0..40).map(|index| create(&world, &alice, &server, &format!("r{index}"))).collect();
        world.known();
        let path = |id: &str| format!("{server}/roles/{id}");
        world.ok(&alice, "PATCH", &path(&ids[0]), r#"{"position":40}"#);
        let payload = world.payload("GUILD_ROLE_UPDATE");
        assert!(payload.contains(&format!(r#""role":{{"id":"{}""#, ids[0])), "{payload}");
        for (id, position) in [(&ids[0], 40), (&ids[1], 1), (&ids[39], 39)] {
            assert!(payload.contains(&format!(r#"{{"id":"{id}","position":{position}}}"#)), "{payload}");
        }
        assert_eq!(world.known(), ["GUILD_ROLE_UPDATE to members"]);
        world.ok(&alice, "DELETE", &path(&ids[1]), "");
        let known = world.known();
        let updates = known.iter().filter(|name| name.starts_with("GUILD_ROLE_UPDATE")).count();
        assert_eq!(updates, 1, "{known:?}");
    }

    #[test]
    fn positions_stay_one_to_n() {
        let (world, alice, bob, server) = two();
        world.role(&alice, &server, r#"{"roles.manage":true}"#, &[&bob]);
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for step in 0..120 {
            let person = if random.bool() { &alice } else { &bob };
            let list = world.ok(&alice, "GET", &format!("{server}/roles"), "");
            let ids: Vec<&str> =
                list.split("{\"id\":\"").skip(1).map(|role| &role[..role.find('"').unwrap()]).collect();
            let path = format!("{server}/roles/{}", ids[random.usize(..ids.len())]);
            let json = format!(r#"{{"position":{}}}"#, random.u64(..12));
            // Refusals are part of it: bob may not touch everything.
            match random.u8(..4) {
                0 | 1 => world.send(person, "POST", &format!("{server}/roles"), "{}"),
                2 => world.send(person, "PATCH", &path, &json),
                _ => world.send(person, "DELETE", &path, ""),
            };
            let order = order(&world, &alice, &server);
            let digits = |word: &str| word.trim_start_matches(|c: char| !c.is_ascii_digit()).to_string();
            let positions: Vec<String> =
                order.split(' ').map(digits).filter(|word| !word.is_empty()).collect();
            let want: Vec<String> = (0..positions.len()).rev().map(|position| position.to_string()).collect();
            assert_eq!(positions, want, "seed {seed}, step {step}: {order}");
        }
    }

    #[test]
    fn number_of_roles_is_limited() {
        let (world, alice, _, server) = two();
        let server_id = ServerId::parse(server.strip_prefix("/servers/").unwrap()).unwrap();
        for index in 1..=250u64 {
            let role = Role { name: "r".into(), position: index, ..Role::default() };
            world.put(ROLES, (server_id, RoleId(index)), &role);
        }
        world.refused(&alice, ("POST", &format!("{server}/roles"), "{}"), 400, "at most 250 roles");
        world.ok(&alice, "DELETE", &format!("{server}/roles/7"), "");
        let body = world.ok(&alice, "POST", &format!("{server}/roles"), "{}");
        assert!(body.contains(r#""position":250"#), "{body}");
    }
}
