//! Members of a server: list, kick, give and take roles.

use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Id, Int, Needed, Or, Text, fields};
use crate::api::social::presence::moment;
use crate::domain::asking::Asking;
use crate::domain::community::member::{
    MemberKick, MemberResponse, MemberRoleAdd, MemberRoleRemove, check_kick, check_role_change, find,
};
use crate::domain::social::presence::shown_outside;
use crate::domain::{Refusal, Result};
use crate::id::{RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::tables::{MEMBERS, SERVERS};
use crate::wire::json::Array;

fields! {
    /// A page of members.
    pub MEMBER_LIST: MemberListQuery {
        limit: Or<Int, u64> = Or(Int(1..=1_000), 100),
        /// The last member of the page before.
        after: Id = Id,
    }
}

fields! {
    /// Whom to look for.
    pub MEMBER_SEARCH: MemberSearchQuery {
        /// What the user name or nickname begins with, in whatever case.
        query: Needed<Text> = Needed(Text(Chars::UpTo(SEARCH_LEN_MAX))),
        limit: Or<Int, u64> = Or(Int(1..=100), 25),
    }
}

/// Characters of what is looked for: more than any name has.
const SEARCH_LEN_MAX: usize = 64;
/// Members that one search looks at: some 60 ms of a lane.
const SEARCHED_MAX: usize = 100_000;

pub fn member_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let (state, viewer, moment) = (ctx.state, ctx.user_id(), moment(ctx));
    let everyone = RoleId::from(&ctx.asking(&snapshot).server(server_id)?.server.everyone_role_id);
    let limit = MEMBER_LIST.limit.query(ctx)? as usize;
    let after = MEMBER_LIST.after.query(ctx)?.map(UserId);
    let members = match after {
        Some(after) => read.scan_after(MEMBERS, server_id, (server_id, after)),
        None => read.scan(MEMBERS, server_id),
    };
    ctx.json(|out| {
        let mut list = Array::new(out);
        for ((_, user_id), record) in members.take(limit) {
            if list.is_full() {
                break;
            }
            let shown = shown_outside(read, viewer, user_id, state.liveness(user_id), moment);
            let offset = moment.now.offset();
            MemberResponse::write(list.item(), read, server_id, everyone, user_id, record, shown, offset);
        }
    })
}

/// Answers with one member.
pub(super) fn answer(ctx: &mut Ctx<'_>, server_id: ServerId, user_id: UserId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let server = read.get(SERVERS, server_id).ok_or(Refusal::ServerNotFound)?;
    let member = read.get(MEMBERS, (server_id, user_id)).ok_or(Refusal::MemberNotFound)?;
    let everyone = RoleId::from(&server.everyone_role_id);
    let shown = shown_of(ctx, read, user_id);
    let offset = ctx.now().offset();
    ctx.json(|out| MemberResponse::write(out, read, server_id, everyone, user_id, member, shown, offset))
}

/// As what the one who asks sees somebody.
fn shown_of(ctx: &Ctx<'_>, read: Read<'_>, user_id: UserId) -> u8 {
    shown_outside(read, ctx.user_id(), user_id, ctx.state.liveness(user_id), moment(ctx))
}

/// Whom a prefix is of no index tells: so it is looked for off the core.
pub fn member_search(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    ctx.asking(&ctx.snapshot()).server(server_id)?;
    let query = MEMBER_SEARCH.query.query(ctx)?.trim().to_owned();
    check_len(MEMBER_SEARCH.query.name, &query, 1..=SEARCH_LEN_MAX)?;
    let limit = MEMBER_SEARCH.limit.query(ctx)? as usize;
    Ok(Step::task(move |ctx| Box::pin(search(ctx, server_id, query, limit))))
}

async fn search(ctx: &mut Ctx<'_>, server_id: ServerId, query: String, limit: usize) -> Result<Step> {
    let look = move |asking: Asking<'_>| {
        asking.server(server_id)?;
        Ok(find(asking.read, server_id, &query, SEARCHED_MAX))
    };
    let found = ctx.read(look).await?;
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let everyone = RoleId::from(&ctx.asking(&snapshot).server(server_id)?.server.everyone_role_id);
    let members = found.into_iter().filter_map(|id| Some((id, read.get(MEMBERS, (server_id, id))?)));
    let members: Vec<_> =
        members.take(limit).map(|(id, member)| (id, member, shown_of(ctx, read, id))).collect();
    let offset = ctx.now().offset();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (user_id, member, shown) in members {
            MemberResponse::write(list.item(), read, server_id, everyone, user_id, member, shown, offset);
        }
    })
}

pub fn member_kick(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id) = (ctx.path_server()?, ctx.path_member()?);
    check_kick(ctx.asking(&ctx.snapshot()), server_id, user_id)?;
    ctx.submit_success(MemberKick { server_id, user_id })
}

pub fn member_role_add(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id, role_id) = checked_role_change(ctx)?;
    ctx.submit_success(MemberRoleAdd { server_id, user_id, role_id })
}

pub fn member_role_remove(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id, role_id) = checked_role_change(ctx)?;
    ctx.submit_success(MemberRoleRemove { server_id, user_id, role_id })
}

fn checked_role_change(ctx: &Ctx<'_>) -> Result<(ServerId, UserId, RoleId)> {
    let (server_id, user_id, role_id) = (ctx.path_server()?, ctx.path_member()?, ctx.path_role()?);
    check_role_change(ctx.asking(&ctx.snapshot()), server_id, user_id, role_id)?;
    Ok((server_id, user_id, role_id))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{Person, World, server_id, text_of};
    use crate::domain::community::member::{ChunkMember, MemberExpire, find};
    use crate::domain::{Command, Reply};
    use crate::id::{RoleId, UserId};
    use crate::store::records::{Member, Presence, Relationship, relation, status};
    use crate::store::tables::{MEMBERS, PRESENCES, RELATIONSHIPS};

    fn three() -> (World, Person, Person, Person, String, String) {
        let world = World::default();
        let (alice, bob, carol) = (world.user(1, "alice"), world.user(2, "bob"), world.user(3, "carol"));
        let (server, channel) = world.server(&alice, &[&bob, &carol]);
        (world, alice, bob, carol, server, channel)
    }

    fn ids(body: &str) -> Vec<&str> {
        body.split("\"user_id\":\"").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]).collect()
    }

    #[test]
    fn list_shows_members_by_id() {
        let (world, alice, bob, _, server, _) = three();
        let roles = world.ok(&alice, "GET", &format!("{server}/roles"), "");
        let everyone = text_of(&roles, "id");
        let path = |query: &str| format!("{server}/members{query}");
        let body = world.ok(&bob, "GET", &path("?limit=1"), "");
        let want = format!(
            r#"[{{"member_id":"1","user_id":"1","username":"alice","nickname":null,"avatar_url":"/api/v1/avatars/users/1","joined_at":1767225600,"roles":["{everyone}"],"presence":{{"status":"offline"}},"badges":[],"timeout_until":null,"timeout_reason":null}}]"#
        );
        assert_eq!(body, want);
        assert_eq!(ids(&world.ok(&bob, "GET", &path(""), "")), ["1", "2", "3"]);
        assert_eq!(ids(&world.ok(&bob, "GET", &path("?after=1"), "")), ["2", "3"]);
        assert_eq!(ids(&world.ok(&bob, "GET", &path("?after=2&limit=1"), "")), ["3"]);
        assert_eq!(ids(&world.ok(&bob, "GET", &path("?after=18446744073709551615"), "")), [""; 0]);
        for query in ["?limit=0", "?limit=1001", "?limit=x", "?after=x"] {
            world.refused(&bob, ("GET", &path(query), ""), 400, "Invalid ");
        }
        // A page goes on where it ended, whoever has gone since.
        world.ok(&alice, "DELETE", &path("/2"), "");
        assert_eq!(ids(&world.ok(&alice, "GET", &path("?after=2"), "")), ["3"]);
    }

    #[test]
    fn presence_is_what_the_viewer_may_see() {
        let (world, alice, _, carol, server, _) = three();
        let now = world.harness.state.now_ms();
        let presence = |code: u8| Presence { status: code, rest_at: now, ..Presence::default() };
        world.put(PRESENCES, UserId(2), &presence(status::IDLE));
        world.put(PRESENCES, UserId(3), &presence(status::INVISIBLE));
        let shown = |viewer: &Person| {
            let body = world.ok(viewer, "GET", &format!("{server}/members"), "");
            let words = body.split("{\"status\":\"").skip(1);
            words.map(|rest| rest[..rest.find('"').unwrap()].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&alice), ["offline", "idle", "offline"]);
        let blocked = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
        world.put(RELATIONSHIPS, (UserId(2), UserId(1)), &blocked);
        assert_eq!(shown(&alice), ["offline", "offline", "offline"]);
        assert_eq!(shown(&carol), ["offline", "idle", "offline"]);
        world.harness.advance(300_000);
        assert_eq!(shown(&carol), ["offline", "offline", "offline"]);
    }

    #[test]
    fn kick() {
        let (world, alice, bob, carol, server, _) = three();
        let path = |id: &str| format!("{server}/members/{id}");
        world.refused(&carol, ("DELETE", &path("2"), ""), 403, "members.kick");
        world.refused(&carol, ("DELETE", &path("77"), ""), 404, "Member not found");
        world.refused(&carol, ("DELETE", &path("abc"), ""), 400, "Invalid member ID");
        world.refused(&alice, ("DELETE", &path("1"), ""), 403, "owner");
        world.role(&alice, &server, r#"{"members.kick":true}"#, &[&bob]);
        world.refused(&bob, ("DELETE", &path("1"), ""), 403, "owner");
        world.refused(&bob, ("DELETE", &path("2"), ""), 403, "yourself");
        world.role(&alice, &server, "{}", &[&carol]);
        world.refused(&bob, ("DELETE", &path("3"), ""), 403, "highest role");
        assert_eq!(world.ok(&alice, "DELETE", &path("3"), ""), r#"{"success":true}"#);
        let payload = format!(
            r#"{{"guild_id":"{}","user":{{"id":"3","username":"carol","avatar_url":"/api/v1/avatars/users/3"}}}}"#,
            server_id(&server)
        );
        assert_eq!(world.payload("GUILD_MEMBER_REMOVE"), payload);
        assert_eq!(
            world.known(),
            ["change MemberRemoved", "GUILD_DELETE to user 3", "GUILD_MEMBER_REMOVE to members"]
        );
        world.refused(&alice, ("DELETE", &path("3"), ""), 404, "Member not found");
        assert_eq!(world.actions(&alice, &server, 1), ["member_kick"]);
        assert!(world.ok(&alice, "GET", &server, "").contains(r#""member_count":2"#));
    }

    #[test]
    fn roles_are_given_and_taken_once() {
        let (world, alice, bob, carol, server, _) = three();
        let role = world.role(&alice, &server, r#"{"server.manage":true}"#, &[]);
        let path = |user: &str, role: &str| format!("{server}/members/{user}/roles/{role}");
        world.refused(&carol, ("PATCH", &server, r#"{"description":"x"}"#), 403, "server.manage");
        assert_eq!(world.ok(&alice, "PUT", &path("3", &role), ""), r#"{"success":true}"#);
        let payload = world.payload("GUILD_MEMBER_UPDATE");
        let want = format!(r#""nickname":null,"roles":["{role}"],"joined_at":1767225600}}"#);
        assert!(payload.ends_with(&want), "{payload}");
        assert_eq!(
            world.known(),
            [
                "change MemberRolesChanged",
                "GUILD_MEMBER_UPDATE to members but 3",
                "GUILD_MEMBER_UPDATE to user 3"
            ]
        );
        world.ok(&carol, "PATCH", &server, r#"{"description":"x"}"#);
        world.known();
        world.ok(&alice, "PUT", &path("3", &role), "");
        assert_eq!(world.known(), Vec::<String>::new());
        let members = world.ok(&bob, "GET", &format!("{server}/members?after=2"), "");
        assert!(members.contains(&format!(r#"","{role}"],"presence""#)), "{members}");
        world.ok(&alice, "DELETE", &path("3", &role), "");
        assert_eq!(world.known().len(), 3);
        world.ok(&alice, "DELETE", &path("3", &role), "");
        assert_eq!(world.known(), Vec::<String>::new());
        world.refused(&carol, ("PATCH", &server, r#"{"description":"x"}"#), 403, "server.manage");
        assert_eq!(world.actions(&alice, &server, 1), ["member_role_remove"]);
    }

    #[test]
    fn role_changes_keep_to_the_order() {
        let (world, alice, bob, carol, server, _) = three();
        let low = world.role(&alice, &server, "{}", &[]);
        let mine = world.role(&alice, &server, r#"{"members.manage_roles":true}"#, &[&bob]);
        let high = world.role(&alice, &server, "{}", &[]);
        let everyone = world.ok(&alice, "GET", &format!("{server}/roles"), "");
        let everyone = everyone.rsplit("{\"id\":\"").next().unwrap().split('"').next().unwrap().to_string();
        let path = |user: &str, role: &str| format!("{server}/members/{user}/roles/{role}");
        let check = |person: &Person, user: &str, role: &str, status: u16, text: &str| {
            for method in ["PUT", "DELETE"] {
                world.refused(person, (method, &path(user, role), ""), status, text);
            }
        };
        check(&alice, "abc", "x", 400, "Invalid member ID");
        check(&alice, "3", "x", 400, "Invalid role ID");
        check(&alice, "77", &low, 404, "Member not found");
        check(&alice, "3", "77", 404, "Role not found");
        check(&carol, "2", &low, 403, "members.manage_roles");
        check(&alice, "3", &everyone, 403, "@everyone");
        check(&bob, "3", &high, 403, "highest role");
        check(&bob, "3", &mine, 403, "highest role");
        check(&bob, "1", &low, 403, "owner");
        world.ok(&bob, "PUT", &path("3", &low), "");
        world.ok(&bob, "PUT", &path("2", &low), "");
        world.ok(&alice, "PUT", &path("1", &high), "");
        world.ok(&alice, "PUT", &path("3", &high), "");
        check(&bob, "3", &low, 403, "highest role");
    }

    #[test]
    fn temporary_members_go_unless_they_have_a_role() {
        let (world, alice, _, _, server, channel) = three();
        let (dave, erin) = (world.user(4, "dave"), world.user(5, "erin"));
        world.join(&alice, &channel, &dave, r#"{"temporary":true}"#);
        world.join(&alice, &channel, &erin, r#"{"temporary":true}"#);
        let role = world.role(&alice, &server, "{}", &[&erin]);
        let expire = |actor: u64, user_id: u64| {
            let op = MemberExpire { server_id: server_id(&server), user_id: UserId(user_id) };
            world.harness.apply(&Command::new(UserId(actor), op.into()))
        };
        assert_eq!(expire(1, 4).unwrap_err().status, 403);
        assert_eq!(expire(0, 4), Ok(Reply::Changed(true)));
        assert_eq!(world.known()[1..], ["GUILD_DELETE to user 4", "GUILD_MEMBER_REMOVE to members"]);
        assert_eq!(expire(0, 4), Ok(Reply::Changed(false)));
        assert_eq!(expire(0, 5), Ok(Reply::Changed(false)));
        assert_eq!(expire(0, 2), Ok(Reply::Changed(false)));
        world.ok(&alice, "DELETE", &format!("{server}/roles/{role}"), "");
        assert_eq!(expire(0, 5), Ok(Reply::Changed(true)));
        world.ok(&alice, "DELETE", &server, "");
        assert_eq!(expire(0, 2), Ok(Reply::Changed(false)));
    }

    #[test]
    fn who_was_given_a_server_stays_though_he_came_for_a_time() {
        let (world, alice, _, _, server, channel) = three();
        let dave = world.user(4, "dave");
        world.join(&alice, &channel, &dave, r#"{"temporary":true}"#);
        let id = server_id(&server);
        let expire = || {
            let op = MemberExpire { server_id: id, user_id: UserId(4) };
            world.harness.apply(&Command::new(UserId(0), op.into()))
        };
        let owner = format!("{server}/owner");
        world.ok(&alice, "PUT", &owner, r#"{"user_id":"4"}"#);
        world.ok(&dave, "PUT", &owner, r#"{"user_id":"1"}"#);
        assert_eq!(expire(), Ok(Reply::Changed(false)), "also when he has handed it on");
        world.ok(&alice, "PUT", &owner, r#"{"user_id":"4"}"#);
        // As it is in stores from before.
        world.put(MEMBERS, (id, UserId(4)), &Member { temporary: true, ..Member::default() });
        assert_eq!(expire(), Ok(Reply::Changed(false)));
    }

    #[test]
    fn members_are_found_by_prefix_in_join_order() {
        let (world, _, _, _, server, _) = three();
        let id = server_id(&server);
        let nick = Member { nickname: Some("Alfred".into()), joined_at: 1, ..Member::default() };
        world.put(MEMBERS, (id, UserId(3)), &nick);
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        let check = |prefix: &str, want: &[u64]| {
            let found: Vec<u64> = find(read, id, prefix, 1_000).into_iter().map(|id| id.0).collect();
            assert_eq!(found, want, "{prefix}");
        };
        check("", &[3, 1, 2]);
        check("AL", &[3, 1]);
        check("car", &[3]);
        check("x", &[]);
        assert_eq!(find(read, id, "", 2).len(), 2);
        let member = read.get(MEMBERS, (id, UserId(3))).unwrap();
        let mut out = Vec::new();
        ChunkMember::write(&mut out, read, id, RoleId(9), UserId(3), member, None);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"user_id":"3","username":"carol","nickname":"Alfred","avatar_url":"/api/v1/avatars/users/3","joined_at":0,"roles":["9"]}"#
        );
    }
}
