//! A member's nickname and timeout.

use crate::support::{Value, json};
use crate::world::World;

cases![member_edit];

fn member_edit(w: &World) {
    let place = w.place();
    let (member, moderator, admin) = (w.member(&place), w.member(&place), w.member(&place));
    let path = |id: &str| format!("PATCH /servers/{}/members/{id}", place.id);
    let mut socket = w.server.gateway();
    socket.identify(&member.token);

    // Everybody has a nickname of his own; those of others take a right, and standing above them.
    let answer = w.ok(&member, &path(&member.id), json!({"nickname": "  Countess "}));
    assert_eq!((&answer["nickname"], &answer["member_id"]), (&json!("Countess"), &json!(member.id)));
    assert_eq!(socket.event("GUILD_MEMBER_UPDATE")["nickname"], "Countess");
    w.refused(&moderator, &path(&member.id), json!({"nickname": "x"}), 403);
    w.grant(&place, &moderator, &["members.manage_nicknames", "members.kick"]);
    w.grant(&place, &admin, &["administrator"]);
    assert_eq!(w.ok(&moderator, &path(&member.id), json!({"nickname": ""}))["nickname"], Value::Null);
    for id in [&admin.id, &place.owner.id] {
        w.refused(&moderator, &path(id), json!({"nickname": "x"}), 403);
        w.refused(&moderator, &path(id), json!({"timeout_seconds": 60}), 403);
    }

    // A timeout silences, and ends when it is told to.
    let send = format!("POST /channels/{}/messages", place.channel);
    let silent = json!({"timeout_seconds": 60, "timeout_reason": "cool down"});
    w.refused(&member, &path(&moderator.id), silent.clone(), 403);
    let answer = w.ok(&moderator, &path(&member.id), silent.clone());
    assert_eq!(answer["timeout_reason"], "cool down");
    assert!(answer["timeout_until"].as_u64() > answer["joined_at"].as_u64().map(|at| at + 50), "{answer}");
    w.refused(&member, &send, json!({"content": "x"}), 403);
    w.refused(&member, &path(&member.id), json!({"timeout_seconds": 0}), 403);
    let answer = w.ok(&moderator, &path(&member.id), json!({"timeout_seconds": 0}));
    assert_eq!((&answer["timeout_until"], &answer["timeout_reason"]), (&Value::Null, &Value::Null));
    w.ok(&member, &send, json!({"content": "x"}));
    w.refused(&moderator, &path(&moderator.id), silent.clone(), 403);
    // Nobody silences an administrator: it would change nothing.
    w.refused(&place.owner, &path(&admin.id), silent.clone(), 403);

    let log = w.get(&place.owner, &format!("/servers/{}/audit-logs?limit=2", place.id));
    assert_eq!((&log[0]["action"], &log[1]["reason"]), (&json!("member_update"), &json!("cool down")));
    assert_eq!(log[0]["changes"]["timeout_seconds"], json!({"old": null, "new": 0}));
    assert_eq!(log[1]["changes"]["timeout_seconds"], json!({"old": null, "new": 60}));
    for bad in [
        json!({"nickname": "n".repeat(33)}),
        json!({"nickname": 5}),
        json!({"timeout_seconds": -1}),
        json!({"timeout_seconds": 2_419_201}),
        json!({"timeout_reason": "of nothing"}),
    ] {
        w.refused(&place.owner, &path(&member.id), bad, 400);
    }
    // Nothing asked for is nothing changed.
    w.ok(&member, &path(&member.id), json!({}));
    w.refused(&place.owner, &path("1"), json!({}), 404);
    w.refused(&w.user(), &path(&member.id), json!({}), 403);
}
