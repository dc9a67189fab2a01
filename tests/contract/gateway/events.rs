//! What is told of a change, to whom, and in which order.

use super::{ready, say};
use crate::support::{Value, json};
use crate::world::{World, shape, text};

#[test]
fn events_reach_those_they_are_for_in_order() {
    let w = World::new(&[]);
    let place = w.place();
    let (member, outsider) = (w.member(&place), w.user());
    let (mut one, _) = ready(&w, &place.owner.token);
    let (mut two, _) = ready(&w, &member.token);
    let (mut none, _) = ready(&w, &outsider.token);
    let mut deaf = w.server.gateway();
    deaf.identify_with(json!({"token": member.token, "intents": 0}));
    let want: Vec<String> = (0..20).map(|index| say(&w, &place, &index.to_string())).collect();
    for socket in [&mut one, &mut two] {
        let got: Vec<String> = want.iter().map(|_| text(&socket.event("MESSAGE_CREATE")["id"])).collect();
        assert_eq!(got, want);
    }
    for socket in [&mut none, &mut deaf] {
        let events = socket.events_until_now();
        assert!(events.iter().all(|event| event["t"] != "MESSAGE_CREATE"), "{events:?}");
    }
    let base = format!("/channels/{}/messages/{}", place.channel, want[0]);
    w.ok(&place.owner, &format!("PATCH {base}"), json!({"content": "new"}));
    w.ok(&place.owner, &format!("PUT {base}/reactions/%F0%9F%91%8D"), Value::Null);
    w.ok(&place.owner, &format!("DELETE {base}"), Value::Null);
    assert_eq!(two.event("MESSAGE_UPDATE")["content"], "new");
    assert_eq!(two.event("MESSAGE_REACTION_ADD")["emoji"], "👍");
    let deleted = two.event("MESSAGE_DELETE");
    assert_eq!(deleted, json!({"id": want[0], "channel_id": place.channel, "server_id": place.id}));
    // A right that is taken away bites with the next event.
    let role = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &role, json!({"permissions": {}}));
    say(&w, &place, "hidden");
    w.ok(&place.owner, &format!("DELETE /servers/{}/members/{}", place.id, member.id), Value::Null);
    loop {
        let event = two.json();
        assert_ne!(event["t"], "MESSAGE_CREATE");
        if event["t"] == "GUILD_DELETE" {
            assert_eq!(event["d"]["id"], *place.id);
            break;
        }
    }
    say(&w, &place, "after");
    assert_eq!(one.event("GUILD_MEMBER_REMOVE")["user"]["id"], *member.id);
    assert_eq!(two.events_until_now(), Vec::<Value>::new());
}

#[test]
fn every_change_is_told() {
    let w = World::new(&[]);
    let place = w.place();
    let (owner, member, joiner, other) = (&place.owner, w.member(&place), w.user(), w.user());
    let (mut mine, _) = ready(&w, &owner.token);
    let (mut seen, _) = ready(&w, &member.token);
    let (mut join, _) = ready(&w, &joiner.token);
    let (mut far, _) = ready(&w, &other.token);
    let server = format!("/servers/{}", place.id);
    let channel = format!("/channels/{}", place.channel);

    w.ok(owner, &format!("PATCH {server}"), json!({"name": "Renamed"}));
    assert_eq!(seen.event("GUILD_UPDATE")["name"], "Renamed");
    let made = w.ok(owner, &format!("POST {server}/channels"), json!({"name": "new"}));
    assert_eq!(seen.event("CHANNEL_CREATE"), made);
    let new = text(&made["id"]);
    w.ok(owner, &format!("PATCH /channels/{new}"), json!({"topic": "t"}));
    assert_eq!(seen.event("CHANNEL_UPDATE")["topic"], "t");
    w.ok(owner, &format!("DELETE /channels/{new}"), Value::Null);
    assert_eq!(seen.event("CHANNEL_DELETE"), json!({"id": new, "server_id": place.id}));

    let role = w.ok(owner, &format!("POST {server}/roles"), json!({"name": "r"}));
    assert_eq!(seen.event("GUILD_ROLE_CREATE"), json!({"guild_id": place.id, "role": role}));
    let role = text(&role["id"]);
    w.ok(owner, &format!("PATCH {server}/roles/{role}"), json!({"name": "s"}));
    assert_eq!(seen.event("GUILD_ROLE_UPDATE")["role"]["name"], "s");
    w.ok(owner, &format!("PUT {server}/members/{}/roles/{role}", member.id), Value::Null);
    let update = seen.event("GUILD_MEMBER_UPDATE");
    assert_eq!((&update["guild_id"], &update["user"]["id"]), (&json!(place.id), &json!(member.id)));
    assert!(update["roles"].as_array().is_some_and(|roles| roles.contains(&json!(role))), "{update}");
    w.ok(owner, &format!("DELETE {server}/roles/{role}"), Value::Null);
    assert_eq!(seen.event("GUILD_ROLE_DELETE"), json!({"guild_id": place.id, "role_id": role}));

    w.join(&place, &joiner);
    let created = join.event("GUILD_CREATE");
    assert_eq!((&created["id"], &created["member_count"]), (&json!(place.id), &json!(3)));
    assert_eq!(created["channels"][0]["id"], *place.channel);
    let added = seen.event("GUILD_MEMBER_ADD");
    assert_eq!((&added["guild_id"], &added["user"]["id"]), (&json!(place.id), &json!(joiner.id)));
    w.ok(&joiner, &format!("POST {server}/leave"), Value::Null);
    assert_eq!(join.event("GUILD_DELETE")["id"], *place.id);
    assert_eq!(seen.event("GUILD_MEMBER_REMOVE")["user"]["id"], *joiner.id);

    let id = say(&w, &place, "pin me");
    w.ok(owner, &format!("PUT {channel}/pins/{id}"), Value::Null);
    assert_eq!(seen.event("MESSAGE_UPDATE")["pinned"], true);
    w.ok(&member, &format!("POST {channel}/messages/ack"), Value::Null);
    assert_eq!(mine.event("MESSAGE_ACK")["user_id"], *member.id);
    let reactions = format!("{channel}/messages/{id}/reactions/%F0%9F%91%8D");
    for line in ["PUT", "PUT", "DELETE", "DELETE"] {
        w.ok(&member, &format!("{line} {reactions}"), Value::Null);
    }
    assert_eq!(mine.event("MESSAGE_REACTION_ADD")["user_id"], *member.id);
    assert_eq!(mine.json()["t"], "MESSAGE_REACTION_REMOVE", "a repetition tells nothing");
    seen.send(&json!({"op": 40, "d": {"channel_id": place.channel}}));
    assert_eq!(mine.event("TYPING_START")["user_id"], *member.id);
    seen.send(&json!({"op": 41, "d": {"channel_id": place.channel}}));
    assert_eq!(mine.event("TYPING_STOP"), json!({"channel_id": place.channel, "user_id": member.id}));

    w.ok(owner, "POST /relationships", json!({"user_id": other.id, "message": "hi"}));
    let request = far.event("RELATIONSHIP_ADD");
    assert_eq!((&request["status"], &request["message"]), (&json!("pending_incoming"), &json!("hi")));
    assert_eq!(mine.event("RELATIONSHIP_ADD")["status"], "pending_outgoing");
    w.ok(&other, &format!("PUT /relationships/{}/accept", owner.id), Value::Null);
    assert_eq!(mine.event("RELATIONSHIP_ADD")["status"], "friend");
    w.ok(&other, &format!("DELETE /relationships/{}", owner.id), Value::Null);
    assert_eq!(mine.event("RELATIONSHIP_REMOVE"), json!({"user_id": other.id}));
    let dm = w.dm(owner, &other);
    w.message(owner, &dm, "private");
    let message = far.event("MESSAGE_CREATE");
    assert_eq!((&message["channel_id"], &message["server_id"]), (&json!(dm), &Value::Null));

    w.ok(owner, &format!("DELETE {server}"), Value::Null);
    assert_eq!(seen.event("GUILD_DELETE"), json!({"id": place.id, "unavailable": false}));
}

#[test]
fn some_changes_are_told_to_few() {
    let w = World::new(&[]);
    let place = w.place();
    let (owner, member, other) = (&place.owner, w.member(&place), w.user());
    let (mut mine, _) = ready(&w, &owner.token);
    let (mut seen, _) = ready(&w, &member.token);
    let server = format!("/servers/{}", place.id);
    let channel = format!("/channels/{}", place.channel);

    // Reasons and join codes are for those who may see them by REST.
    w.ok(owner, &format!("PUT {server}/bans/{}", other.id), json!({"reason": "r"}));
    let ban = json!({"guild_id": place.id, "user_id": other.id, "reason": "r"});
    assert_eq!(mine.event("GUILD_BAN_ADD"), ban);
    w.ok(owner, &format!("DELETE {server}/bans/{}", other.id), Value::Null);
    let lifted = json!({"guild_id": place.id, "user_id": other.id});
    assert_eq!(mine.event("GUILD_BAN_REMOVE"), lifted);
    let code = text(&w.ok(owner, &format!("POST {channel}/invites"), Value::Null)["code"]);
    assert_eq!(mine.event("INVITE_CREATE")["invite"]["code"], *code);
    w.ok(owner, &format!("DELETE /channels/invites/{code}"), Value::Null);
    assert_eq!(mine.event("INVITE_DELETE"), json!({"guild_id": place.id, "code": code}));
    let id = say(&w, &place, "fence");
    loop {
        let event = seen.json();
        let name = text(&event["t"]);
        assert!(!name.contains("BAN") && !name.contains("INVITE"), "{event}");
        if name == "MESSAGE_CREATE" {
            break;
        }
    }
    w.ok(owner, &format!("PUT {channel}/pins/{id}"), Value::Null);
    let pins = json!({"channel_id": place.channel, "guild_id": place.id, "pinned_message_ids": [id]});
    assert_eq!(seen.event("CHANNEL_PINS_UPDATE"), pins);
    w.ok(owner, "PATCH /users/@me", json!({"username": "Renamed", "email": "secret@example.org"}));
    let user = seen.event("USER_UPDATE")["user"].clone();
    shape(&user, "id: id, username: str, avatar_url: str?, badges: list, created_at: int");
    // A direct message is opened for both, each seeing the other.
    let dm = w.dm(owner, &member);
    for (socket, recipient) in [(&mut mine, &member.id), (&mut seen, &owner.id)] {
        let created = socket.event("CHANNEL_CREATE");
        assert_eq!((&created["id"], &created["recipient_id"]), (&json!(dm), &json!(recipient)));
    }
    w.ok(owner, "POST /servers", json!({"name": "second"}));
    assert_eq!(mine.event("GUILD_CREATE")["name"], "second");
    assert_eq!(seen.events_until_now(), Vec::<Value>::new());
    // Requests that are answered on the gateway itself.
    mine.send(&json!({"op": 13, "d": {"client_version": "a.1.0-49"}}));
    let version = mine.json();
    assert_eq!((&version["op"], &version["d"]["compatible"]), (&json!(13), &json!(true)));
    mine.send(&json!({"op": 22, "d": {"channel_id": "1", "sdp": "x"}}));
    assert_eq!(mine.json()["d"]["type"], "error", "nothing is invented without a media server");
    mine.send(&json!({"op": 13, "d": {"client_version": "a.0.1-1"}}));
    assert_eq!(mine.json()["d"]["compatible"], false);
    assert_eq!(mine.closed().0, 4015);
}

#[test]
fn a_block_cuts_a_direct_message() {
    let w = World::new(&[]);
    let (blocker, blocked) = (w.user(), w.user());
    let dm = w.dm(&blocked, &blocker);
    let theirs = w.message(&blocker, &dm, "one");
    let own = w.message(&blocked, &dm, "two");
    let channel = format!("/channels/{dm}");
    w.ok(&blocked, &format!("PUT {channel}/pins/{own}"), Value::Null);
    w.ok(&blocker, "POST /relationships/block", json!({"user_id": blocked.id}));
    let (mut socket, _) = ready(&w, &blocker.token);
    for (line, body) in [
        (format!("POST {channel}/messages"), json!({"content": "x"})),
        (format!("PATCH {channel}/messages/{own}"), json!({"content": "x"})),
        (format!("PUT {channel}/pins/{theirs}"), Value::Null),
        (format!("DELETE {channel}/pins/{own}"), Value::Null),
        (format!("PUT {channel}/messages/{theirs}/reactions/%F0%9F%91%8D"), Value::Null),
    ] {
        w.refused(&blocked, &line, body, 403);
    }
    for line in ["POST CHANNEL/messages/ack", "POST CHANNEL/typing", "DELETE CHANNEL/messages/OWN"] {
        let line = line.replace("CHANNEL", &channel).replace("OWN", &own);
        w.ok(&blocked, &line, Value::Null);
    }
    let notes = text(&w.get(&blocker, "/users/@me/notes")["id"]);
    w.message(&blocker, &notes, "to myself");
    let first = socket.json();
    assert_eq!((&first["t"], &first["d"]["channel_id"]), (&json!("MESSAGE_CREATE"), &json!(notes)));
    let seen = w.get(&blocker, &format!("{channel}/messages/{theirs}"));
    assert_eq!((&seen["read_count"], &seen["read_by"]), (&json!(0), &json!([])));
}

#[test]
fn a_reorder_among_many_channels_is_one_event() {
    let w = World::new(&[]);
    let place = w.place();
    let line = format!("POST /servers/{}/channels", place.id);
    for index in 0..60 {
        w.ok(&place.owner, &line, json!({"name": format!("c{index}")}));
    }
    let (mut socket, _) = ready(&w, &place.owner.token);
    let list = || w.get(&place.owner, &format!("/servers/{}/channels", place.id));
    let last = text(&list()[60]["id"]);
    let moved = w.ok(&place.owner, &format!("PATCH /channels/{last}"), json!({"position": 0}));
    assert_eq!(moved["position"], 0);
    say(&w, &place, "after it");
    let (first, second) = (socket.json(), socket.json());
    assert_eq!((&first["t"], &second["t"]), (&json!("CHANNEL_UPDATE"), &json!("MESSAGE_CREATE")));
    let update = &first["d"];
    assert_eq!((&update["id"], &update["position"]), (&json!(last), &json!(0)));
    let listed = list();
    let told = update["channels"].as_array().expect("all that moved");
    assert_eq!(told.len(), 61);
    for channel in listed.as_array().expect("a list") {
        let found = told.iter().find(|entry| entry["id"] == channel["id"]).expect("every channel moved");
        assert_eq!(found["position"], channel["position"]);
    }
}

#[test]
fn presence_is_seen_by_friends() {
    let w = World::new(&["presence.offline_grace_ms=200"]);
    let (user, friend) = (w.user(), w.user());
    w.befriend(&user, &friend);
    let (mut watcher, _) = ready(&w, &user.token);
    let (mut socket, _) = ready(&w, &friend.token);
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["user_id"], &seen["status"]), (&json!(friend.id), &json!("online")));
    socket.send(&json!({"op": 3, "d": {"status": "dnd", "custom_status": "busy"}}));
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["status"], &seen["custom_status"]), (&json!("dnd"), &json!("busy")));
    drop(socket);
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["status"], &seen["custom_status"]), (&json!("offline"), &Value::Null));
}
