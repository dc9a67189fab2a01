//! Invites: create for a channel, look at, join by, revoke, list of a server.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Flag, Int, Or, fields};
use crate::domain::community::invite::{
    self, InviteCreate, InviteDelete, InviteUse, check_create, check_delete, check_list, check_use,
};
use crate::domain::identity::tier;
use crate::domain::{Refusal, Result};
use crate::id::ServerId;
use crate::wire::json::shape::shape;

fields! {
    /// How long and how often an invite works. No body is an empty one.
    pub INVITE_CREATE: ChannelInviteCreateRequest {
        /// Seconds; 0 for ever.
        max_age: Or<Int, u64> = Or(Int(0..=u64::MAX), 86_400),
        /// 0 without end.
        max_uses: Or<Int, u64> = Or(Int(0..=u64::MAX), 0),
        /// Who joins by it leaves again with his last session, unless he was given a role.
        temporary: Or<Flag, bool> = Or(Flag, false),
    }
}

shape! {
    /// The server that somebody has joined.
    pub InviteJoinResponse(server_id: ServerId) {
        success: bool = true,
        server_id: id = server_id.0,
    }
}

/// Codes to try before giving up. With 12 characters two of a million invites collide once in 10^16 times.
const ATTEMPTS_MAX: u32 = 8;
const CODE_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub fn invite_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    check_create(ctx.asking(&ctx.snapshot()), channel_id)?;
    let body = ctx.body()?;
    let op = InviteCreate {
        channel_id,
        code: String::new(),
        max_age: INVITE_CREATE.max_age.read(&body)?,
        max_uses: INVITE_CREATE.max_uses.read(&body)?,
        temporary: INVITE_CREATE.temporary.read(&body)?,
    };
    submit_with_new_code(ctx, op, ATTEMPTS_MAX)
}

fn submit_with_new_code(ctx: &mut Ctx<'_>, op: InviteCreate, attempts: u32) -> Result<Step> {
    let code = new_code(ctx.state.config.servers.invite_code_length as usize)?;
    let op = InviteCreate { code, ..op };
    ctx.submit(op.clone(), move |ctx, is_new| {
        if is_new {
            let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
            invite::write_created(&mut ctx.response.body, snapshot.read(), offset, &op.code)?;
            return Ok(Step::Done);
        }
        if attempts > 1 { submit_with_new_code(ctx, op, attempts - 1) } else { Err(Refusal::Busy.into()) }
    })
}

/// A random code of url-safe characters, six random bits each.
fn new_code(len: usize) -> Result<String> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::Internal)?;
    Ok(bytes.into_iter().map(|byte| char::from(CODE_ALPHABET[usize::from(byte & 63)])).collect())
}

pub fn invite_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, code) = (ctx.snapshot(), ctx.param("invite_code"));
    let now = ctx.now();
    invite::write_info(&mut ctx.response.body, snapshot.read(), now, &code)?;
    Ok(Step::Done)
}

pub fn invite_use(ctx: &mut Ctx<'_>) -> Result<Step> {
    let code = ctx.param("invite_code").into_owned();
    check_use(ctx.asking(&ctx.snapshot()), &code)?;
    let server_count_max = tier::server_count_max(ctx.principal().tier);
    ctx.submit(InviteUse { code, server_count_max }, |ctx, server_id| {
        ctx.json(|out| InviteJoinResponse::write(out, server_id))
    })
}

pub fn invite_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let code = ctx.param("invite_code").into_owned();
    check_delete(ctx.asking(&ctx.snapshot()), &code)?;
    ctx.submit_success(InviteDelete { code })
}

pub fn invite_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, now) = (ctx.path_server()?, ctx.now());
    let snapshot = ctx.snapshot();
    check_list(ctx.asking(&snapshot), server_id)?;
    ctx.json(|out| invite::write_list(out, snapshot.read(), now, server_id))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{Person, World, server_id, text_of};
    use crate::domain::community::invite::{InviteCreate, InviteUse};
    use crate::domain::{Command, Reply};
    use crate::id::{ChannelId, UserId};
    use crate::store::records::{Invite, Nil};
    use crate::store::tables::{INVITES, SERVER_INVITES};

    fn two() -> (World, Person, Person, String, String) {
        let world = World::default();
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        (world, alice, bob, server, channel)
    }

    fn create(world: &World, person: &Person, channel: &str, json: &str) -> String {
        let body = world.ok(person, "POST", &format!("{channel}/invites"), json);
        text_of(&body, "code").to_string()
    }

    #[test]
    fn create_look_list() {
        let (world, alice, bob, server, channel) = two();
        let gina = world.user(3, "gina");
        let (server_id, channel_id) = (server_id(&server), channel.strip_prefix("/channels/").unwrap());
        let body = world.ok(&bob, "POST", &format!("{channel}/invites"), "");
        let code = text_of(&body, "code");
        assert!(code.len() == 12 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        let want = format!(
            r#"{{"code":"{code}","channel_id":"{channel_id}","server_id":"{server_id}","max_age":86400,"max_uses":0,"temporary":false,"uses":0,"created_at":1767225600}}"#
        );
        assert_eq!(body, want);
        let rest = format!(
            r#"{{"code":"{code}","server_id":"{server_id}","channel_id":"{channel_id}","inviter_id":"2","uses":0,"max_uses":0,"max_age":86400,"temporary":false,"created_at":1767225600,"expires_at":1767312000}}"#
        );
        let payload = format!(r#"{{"guild_id":"{server_id}","invite":{rest}}}"#);
        assert_eq!(world.payload("INVITE_CREATE"), payload);
        assert_eq!(
            world.known(),
            ["INVITE_CREATE to user 2", "INVITE_CREATE to members with invites.manage"]
        );
        let want = format!(
            r#"{{"code":"{code}","server_id":"{server_id}","server_name":"Home","channel_id":"{channel_id}","inviter_id":"2","uses":0,"max_uses":0,"expires_at":1767312000}}"#
        );
        assert_eq!(world.ok(&gina, "GET", &format!("/channels/invites/{code}"), ""), want);
        let list = world.ok(&alice, "GET", &format!("{server}/invites"), "");
        assert!(list.starts_with(&format!("[{rest},")), "newest first: {list}");
        world.refused(&bob, ("GET", &format!("{server}/invites"), ""), 403, "invites.manage");
        let eternal = create(&world, &alice, &channel, r#"{"max_age":0}"#);
        assert_eq!(world.known(), ["INVITE_CREATE to members with invites.manage"]);
        let info = world.ok(&gina, "GET", &format!("/channels/invites/{eternal}"), "");
        assert!(info.ends_with(r#""expires_at":null}"#), "{info}");
    }

    #[test]
    fn create_refuses() {
        let (world, alice, _, server, channel) = two();
        let gina = world.user(3, "gina");
        let path = format!("{channel}/invites");
        world.refused(&gina, ("POST", &path, "{}"), 403, "not a member");
        world.refused(&alice, ("POST", "/channels/77/invites", "{}"), 404, "Channel not found");
        world.refused(&alice, ("POST", "/channels/x/invites", "{}"), 400, "Invalid channel ID");
        for json in [r#"{"max_age":-1}"#, r#"{"max_uses":-1}"#, r#"{"temporary":1}"#, r#"{"max_age":"1"}"#] {
            world.refused(&alice, ("POST", &path, json), 400, "Invalid ");
        }
        world.refused(&alice, ("POST", &path, "[]"), 400, "must be a JSON object");
        let store = world.harness.state.store.clone();
        let mut tx = store.begin().unwrap();
        for index in 0..1_000 {
            let code = format!("code{index}");
            let created_at = world.harness.state.now_ms();
            let invite = Invite { server_id: server_id(&server), created_at, ..Invite::default() };
            tx.put(INVITES, &*code, &invite);
            tx.put(SERVER_INVITES, (server_id(&server), &*code), &Nil {});
        }
        tx.commit().unwrap();
        world.harness.state.set_snapshot(store.snapshot());
        world.refused(&alice, ("POST", &path, "{}"), 400, "at most 1000 invites");
    }

    #[test]
    fn a_code_that_is_taken_is_no_answer() {
        let (world, alice, _, _, channel) = two();
        let code = create(&world, &alice, &channel, "");
        let channel_id = ChannelId::parse(channel.strip_prefix("/channels/").unwrap()).unwrap();
        let op = InviteCreate { channel_id, code, max_age: 0, max_uses: 0, temporary: false };
        assert_eq!(world.harness.apply(&Command::new(alice.id, op.into())), Ok(Reply::Changed(false)));
    }

    #[test]
    fn join() {
        let (world, alice, bob, server, channel) = two();
        let gina = world.user(3, "gina");
        let code = create(&world, &alice, &channel, r#"{"max_uses":1,"max_age":3600}"#);
        let path = format!("/channels/invites/{code}");
        world.known();
        let want = format!(r#"{{"success":true,"server_id":"{}"}}"#, server_id(&server));
        assert_eq!(world.ok(&gina, "POST", &path, ""), want);
        let payload = world.payload("GUILD_CREATE");
        assert!(payload.contains(r#""owner_id":"1","member_count":3"#), "{payload}");
        let want = format!(
            r#"{{"guild_id":"{}","user":{{"id":"3","username":"gina","avatar_url":"/api/v1/avatars/users/3"}},"roles":[],"joined_at":1767225600}}"#,
            server_id(&server)
        );
        assert_eq!(world.payload("GUILD_MEMBER_ADD"), want);
        assert_eq!(
            world.known(),
            [
                "GUILD_CREATE to user 3",
                "change MemberAdded",
                "GUILD_MEMBER_ADD to members but 3",
                "INVITE_DELETE to members with invites.manage"
            ]
        );
        world.ok(&gina, "GET", &server, "");
        assert_eq!(world.actions(&alice, &server, 2), ["invite_use", "member_join"]);
        // A member is told so even by an invite that is used up; others are not let in.
        world.refused(&gina, ("POST", &path, ""), 409, "already a member");
        world.refused(&bob, ("POST", &path, ""), 409, "already a member");
        let dave = world.user(4, "dave");
        world.refused(&dave, ("POST", &path, ""), 404, "Invite not found");
        world.refused(&dave, ("GET", &path, ""), 404, "Invite not found");
        world.refused(&alice, ("DELETE", &path, ""), 404, "Invite not found");
        let list = world.ok(&alice, "GET", &format!("{server}/invites"), "");
        assert!(!list.contains(&code), "{list}");
        for code in ["nope", &"x".repeat(65), &"x".repeat(2_000), "%20"] {
            world.refused(&dave, ("POST", &format!("/channels/invites/{code}"), ""), 404, "Invite not found");
            world.refused(&dave, ("GET", &format!("/channels/invites/{code}"), ""), 404, "Invite not found");
        }
    }

    #[test]
    fn joins_are_limited_by_tier() {
        let (world, alice, _, _, channel) = two();
        let gina = world.user(3, "gina");
        let code = create(&world, &alice, &channel, "");
        let op = InviteUse { code, server_count_max: 0 };
        let refusal = world.harness.apply(&Command::new(gina.id, op.into())).unwrap_err();
        assert_eq!(refusal.status, 400);
        let op = InviteUse { code: create(&world, &alice, &channel, ""), server_count_max: 5 };
        let ghost = world.harness.apply(&Command::new(UserId(99), op.into())).unwrap_err();
        assert_eq!(ghost.status, 401);
    }

    #[test]
    fn invites_expire() {
        let (world, alice, _, server, channel) = two();
        let gina = world.user(3, "gina");
        let code = create(&world, &alice, &channel, r#"{"max_age":60}"#);
        let path = format!("/channels/invites/{code}");
        world.harness.advance(59_999);
        world.ok(&gina, "GET", &path, "");
        world.harness.advance(1);
        for method in ["GET", "POST", "DELETE"] {
            world.refused(&gina, (method, &path, ""), 404, "Invite not found");
        }
        world.known();
        create(&world, &alice, &channel, "");
        assert_eq!(
            world.known(),
            ["INVITE_DELETE to members with invites.manage", "INVITE_CREATE to members with invites.manage"]
        );
        let snapshot = world.harness.state.snapshot();
        assert!(!snapshot.read().contains(INVITES, &*code));
        assert!(!snapshot.read().contains(SERVER_INVITES, (server_id(&server), &*code)));
    }

    #[test]
    fn revoke() {
        let (world, alice, bob, _, channel) = two();
        let (gina, server) = (world.user(3, "gina"), world.ok(&alice, "GET", "/servers", ""));
        let server = format!("/servers/{}", text_of(&server, "id"));
        let of_bob = create(&world, &bob, &channel, "");
        let of_alice = create(&world, &alice, &channel, "");
        let path = |code: &str| format!("/channels/invites/{code}");
        world.known();
        world.refused(&bob, ("DELETE", &path(&of_alice), ""), 403, "invites.manage");
        world.refused(&gina, ("DELETE", &path(&of_alice), ""), 403, "not a member");
        world.refused(&gina, ("DELETE", &path("nope"), ""), 404, "Invite not found");
        assert_eq!(world.ok(&bob, "DELETE", &path(&of_bob), ""), r#"{"success":true}"#);
        let payload = format!(r#"{{"guild_id":"{}","code":"{of_bob}"}}"#, server_id(&server));
        assert_eq!(world.payload("INVITE_DELETE"), payload);
        assert_eq!(
            world.known(),
            ["INVITE_DELETE to user 2", "INVITE_DELETE to members with invites.manage"]
        );
        world.refused(&bob, ("DELETE", &path(&of_bob), ""), 404, "Invite not found");
        world.role(&alice, &server, r#"{"server.manage":true}"#, &[&bob]);
        world.ok(&bob, "GET", &format!("{server}/invites"), "");
        world.ok(&bob, "DELETE", &path(&of_alice), "");
        assert_eq!(world.actions(&alice, &server, 1), ["invite_delete"]);
    }
}
