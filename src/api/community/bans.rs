//! Bans of a server: list, ban, lift.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Int, Or, Prose, fields};
use crate::domain::community::ban::{self, BanCreate, BanDelete, check_ban, check_list, check_unban};
use crate::domain::{Refusal, Result};
use crate::store::tables::BANS;

fields! {
    /// Why somebody is banned, and what goes with him. No body is an empty one.
    pub BAN_CREATE: BanCreateRequest {
        /// Shown in the list of bans and in the audit log.
        reason: Prose = Prose(512),
        /// His messages of so many days go too.
        delete_message_days: Or<Int, u64> = Or(Int(0..=7), 0),
    }
}

pub fn ban_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    check_list(ctx.asking(&snapshot), server_id)?;
    ctx.json(|out| ban::write_list(out, snapshot.read(), server_id))
}

/// If he has written very much, some of his messages go after the answer: see [`ban::CleanUp`].
pub fn ban_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id) = (ctx.path_server()?, ctx.path_user()?);
    let snapshot = ctx.snapshot();
    check_ban(ctx.asking(&snapshot), server_id, user_id)?;
    let body = ctx.body()?;
    let reason = BAN_CREATE.reason.read(&body)?.filter(|reason| !reason.is_empty());
    let delete_message_days = BAN_CREATE.delete_message_days.read(&body)?;
    if snapshot.read().contains(BANS, (server_id, user_id)) {
        return Err(Refusal::AlreadyBanned.into());
    }
    ctx.submit(BanCreate { server_id, user_id, reason, delete_message_days }, |ctx, _| ctx.success())
}

pub fn ban_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id) = (ctx.path_server()?, ctx.path_user()?);
    check_unban(ctx.asking(&ctx.snapshot()), server_id, user_id)?;
    ctx.submit_success(BanDelete { server_id, user_id })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::server_world::{Person, World, server_id, text_of};
    use crate::domain::{Event, Output};
    use crate::id::{ChannelId, MessageId, UserId, first_id_at};
    use crate::store::records::{ChannelRef, Message, MessageRef, Nil, Reaction, ReactionSet};
    use crate::store::tables::*;

    fn three() -> (World, Person, Person, Person, String, String) {
        let world = World::default();
        let (alice, bob, dave) = (world.user(1, "alice"), world.user(2, "bob"), world.user(4, "dave"));
        let (server, channel) = world.server(&alice, &[&bob, &dave]);
        (world, alice, bob, dave, server, channel)
    }

    #[test]
    fn ban_ends_membership_and_shuts_the_door() {
        let (world, alice, bob, dave, server, channel) = three();
        let bans = format!("{server}/bans");
        let path = format!("{bans}/4");
        assert_eq!(world.ok(&alice, "GET", &bans, ""), "[]");
        let json = r#"{"reason":"spam","delete_message_days":1}"#;
        assert_eq!(world.ok(&alice, "PUT", &path, json), r#"{"success":true}"#);
        let payload = format!(r#"{{"guild_id":"{}","user_id":"4","reason":"spam"}}"#, server_id(&server));
        assert_eq!(world.payload("GUILD_BAN_ADD"), payload);
        assert_eq!(
            world.known(),
            [
                "change MemberRemoved",
                "GUILD_DELETE to user 4",
                "GUILD_MEMBER_REMOVE to members",
                "GUILD_BAN_ADD to members with members.ban|bans.view"
            ]
        );
        let want = r#"[{"user_id":"4","reason":"spam","banned_by":"1","banned_at":1767225600}]"#;
        assert_eq!(world.ok(&alice, "GET", &bans, ""), want);
        let log = world.ok(&alice, "GET", &format!("{server}/audit-logs?limit=1"), "");
        assert!(log.contains(r#""action":"member_ban","target_type":"user","target_id":"4""#), "{log}");
        assert!(log.contains(r#""reason":"spam""#), "{log}");
        world.refused(&alice, ("PUT", &path, ""), 409, "already banned");
        world.refused(&dave, ("GET", &server, ""), 403, "not a member");
        let invite = world.ok(&alice, "POST", &format!("{channel}/invites"), "");
        let invite = format!("/channels/invites/{}", text_of(&invite, "code"));
        world.refused(&dave, ("POST", &invite, ""), 403, "banned");
        world.refused(&bob, ("GET", &bans, ""), 403, "members.ban");
        world.known();

        world.refused(&bob, ("DELETE", &path, ""), 403, "members.ban");
        world.ok(&alice, "DELETE", &path, "");
        assert_eq!(world.known(), ["GUILD_BAN_REMOVE to members with members.ban|bans.view"]);
        world.refused(&alice, ("DELETE", &path, ""), 404, "Ban not found");
        assert_eq!(world.actions(&alice, &server, 1), ["member_unban"]);
        world.ok(&dave, "POST", &invite, "");
    }

    #[test]
    fn who_may_ban_whom() {
        let (world, alice, bob, dave, server, _) = three();
        world.user(9, "stranger");
        let path = |id: &str| format!("{server}/bans/{id}");
        world.refused(&dave, ("PUT", &path("2"), r#"{"reason":"x"}"#), 403, "members.ban");
        world.refused(&dave, ("PUT", &path("77"), ""), 404, "User not found");
        world.refused(&dave, ("PUT", &path("x"), ""), 400, "Invalid user ID");
        world.role(&alice, &server, r#"{"members.ban":true}"#, &[&bob]);
        world.refused(&bob, ("PUT", &path("1"), ""), 403, "owner");
        world.refused(&alice, ("PUT", &path("1"), ""), 403, "owner");
        world.refused(&bob, ("PUT", &path("2"), ""), 403, "highest role");
        world.role(&alice, &server, "{}", &[&dave]);
        world.refused(&bob, ("PUT", &path("4"), ""), 403, "highest role");
        let check = |json: &str, text: &str| world.refused(&bob, ("PUT", &path("9"), json), 400, text);
        check(r#"{"delete_message_days":8}"#, "Invalid delete_message_days: must be 0 to 7");
        check(r#"{"delete_message_days":-1}"#, "Invalid delete_message_days");
        check(r#"{"delete_message_days":"1"}"#, "Invalid delete_message_days");
        check(&format!(r#"{{"reason":"{}"}}"#, "r".repeat(513)), "Invalid reason");
        // A user who is no member, an absent body, `null`.
        world.ok(&bob, "PUT", &path("9"), "null");
        assert_eq!(world.known(), ["GUILD_BAN_ADD to members with members.ban|bans.view"]);
        let list = world.ok(&bob, "GET", &format!("{server}/bans"), "");
        assert!(list.contains(r#""reason":null,"banned_by":"2""#), "{list}");
        world.ok(&alice, "PUT", &path("4"), "");
        let list = world.ok(&bob, "GET", &format!("{server}/bans"), "");
        assert!(list.starts_with(r#"[{"user_id":"4""#), "newest first: {list}");
    }

    #[test]
    fn viewing_bans_takes_either_permission() {
        let (world, alice, bob, _, server, _) = three();
        world.role(&alice, &server, r#"{"bans.view":true}"#, &[&bob]);
        world.ok(&bob, "GET", &format!("{server}/bans"), "");
        world.refused(&bob, ("PUT", &format!("{server}/bans/4"), ""), 403, "members.ban");
    }

    /// How many messages each event says are gone.
    fn deleted(world: &World) -> Vec<usize> {
        let outputs = world.harness.outputs.borrow();
        let bulk = outputs.iter().filter_map(|output| match output {
            Output::Event(event) if event.name.text() == "MESSAGE_DELETE_BULK" => Some(event),
            _ => None,
        });
        let count = |event: &Event| {
            let text = String::from_utf8(event.payload.to_vec()).unwrap();
            text.split("\"message_ids\":[").nth(1).unwrap().split(',').count()
        };
        bulk.map(count).collect()
    }

    #[test]
    fn messages_of_the_last_days_go_in_steps() {
        let (world, alice, _, _, server, channel) = three();
        world.harness.advance(10 * 86_400_000);
        let now = world.harness.state.now_ms();
        let here = ChannelId::parse(channel.strip_prefix("/channels/").unwrap()).unwrap();
        let (elsewhere, dave) = (ChannelId(5), UserId(4));
        let put = |channel_id: ChannelId, message_id: u64, pin: u64| {
            let id = MessageId(message_id);
            let store = world.harness.state.store.clone();
            let mut tx = store.begin().unwrap();
            let reacted = pin != 0;
            let created_at = id.created_ms();
            let message = Message { author_id: dave, created_at, pin, reacted, ..Message::default() };
            tx.put(MESSAGES, (channel_id, id), &message);
            tx.put(AUTHOR_MESSAGES, (dave, id), &ChannelRef { id: channel_id });
            tx.commit().unwrap();
        };
        let (old, recent) = (first_id_at(now - 2 * 86_400_000), first_id_at(now - 3_600_000));
        put(here, old, 0);
        for index in 0..1_300 {
            put(here, recent + index, u64::from(index == 7) * 9);
        }
        put(elsewhere, recent + 5_000, 0);
        let pinned = MessageId(recent + 7);
        world.put(PINS, (here, 9), &MessageRef { id: pinned });
        world.put(REACTION_SETS, pinned, &ReactionSet::default());
        world.put(REACTIONS, (pinned, 0, UserId(1)), &Reaction::default());
        world.put(REACTION_ORDER, (pinned, 0, 1, UserId(1)), &Nil {});
        world.ok(&alice, "PUT", &format!("{server}/bans/4"), r#"{"delete_message_days":1}"#);
        assert_eq!(deleted(&world), [1_000]);
        let known = world.known();
        let bulk = "MESSAGE_DELETE_BULK to channel channels.view|messages.read";
        let pins = "CHANNEL_PINS_UPDATE to channel channels.view|messages.read";
        assert_eq!(known[known.len() - 2..], [bulk, pins]);
        // The rest goes whether or not the ban stands, and takes nothing with it that came after.
        world.ok(&alice, "DELETE", &format!("{server}/bans/4"), "");
        world.harness.advance(1_000);
        let later = first_id_at(world.harness.state.now_ms());
        put(here, later, 0);
        world.known();
        world.harness.run_errands();
        assert_eq!(deleted(&world), [100, 100, 100]);
        assert_eq!(world.known(), [bulk; 3]);
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        let left: Vec<u64> = read.scan(AUTHOR_MESSAGES, dave).map(|((_, id), _)| id.0).collect();
        assert_eq!(left, [old, recent + 5_000, later]);
        assert_eq!((read.len(MESSAGES), read.len(PINS), read.len(OUTBOX)), (3, 0, 0));
        assert_eq!((read.len(REACTION_SETS), read.len(REACTIONS), read.len(REACTION_ORDER)), (0, 0, 0));
    }
}
