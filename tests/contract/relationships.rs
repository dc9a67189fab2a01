//! Friends, requests and blocks, seen from both sides.

use crate::support::{Value, json};
use crate::world::{World, shape, success};

cases![relationship_list, friend_request, block, friend_accept, relationship_delete];

const RELATIONSHIP: &str = "user_id: id, status: str, created_at: int?";

fn relationship_list(w: &World) {
    let (user, friend, stranger, blocked) = (w.user(), w.user(), w.user(), w.user());
    assert_eq!(w.get(&user, "/relationships/@me"), json!([]));
    w.befriend(&user, &friend);
    w.ok(&stranger, "POST /relationships", json!({"user_id": user.id, "message": "hi"}));
    w.ok(&user, "POST /relationships/block", json!({"user_id": blocked.id}));
    let list = w.get(&user, "/relationships/@me");
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 3);
    for item in list {
        shape(
            item,
            "user_id: id, username: str, avatar_url: str?, status: str, presence: object?, message: str?, \
             created_at: int?",
        );
    }
    let with = |other: &str| list.iter().find(|item| item["user_id"] == *other).expect("listed");
    assert_eq!(with(&friend.id)["status"], "friend");
    assert_eq!(with(&friend.id)["presence"]["status"], "offline");
    assert_eq!(with(&blocked.id)["status"], "blocked");
    let pending = with(&stranger.id);
    assert_eq!((&pending["status"], &pending["message"]), (&json!("pending_incoming"), &json!("hi")));
    let outgoing = &w.get(&stranger, "/relationships/@me")[0];
    assert_eq!((&outgoing["status"], &outgoing["message"]), (&json!("pending_outgoing"), &Value::Null));
    assert_eq!(w.get(&blocked, "/relationships/@me"), json!([]));
}

fn friend_request(w: &World) {
    let (user, other) = (w.user(), w.user());
    let line = "POST /relationships";
    let answer = w.ok(&user, line, json!({"user_id": other.id}));
    shape(&answer, RELATIONSHIP);
    assert_eq!((&answer["user_id"], &answer["status"]), (&json!(other.id), &json!("pending_outgoing")));
    w.refused(&user, line, json!({"user_id": other.id}), 409);
    // The opposite direction accepts.
    assert_eq!(w.ok(&other, line, json!({"user_id": user.id}))["status"], "friend");
    w.refused(&user, line, json!({"user_id": other.id}), 409);
    for bad in [json!({"user_id": user.id}), json!({"user_id": "x"}), json!({})] {
        w.refused(&user, line, bad, 400);
    }
    let long = json!({"user_id": w.user().id, "message": "x".repeat(257)});
    w.refused(&user, line, long, 400);
    w.refused(&user, line, json!({"user_id": "999"}), 404);
    let hostile = w.user();
    w.ok(&hostile, "POST /relationships/block", json!({"user_id": user.id}));
    w.refused(&user, line, json!({"user_id": hostile.id}), 403);
    w.refused(&hostile, line, json!({"user_id": user.id}), 403);
}

fn block(w: &World) {
    let (user, other) = (w.user(), w.user());
    w.befriend(&user, &other);
    let line = "POST /relationships/block";
    let answer = w.ok(&user, line, json!({"user_id": other.id}));
    shape(&answer, RELATIONSHIP);
    assert_eq!(answer["status"], "blocked");
    assert_eq!(w.get(&other, "/relationships/@me"), json!([]));
    w.refused(&user, line, json!({"user_id": other.id}), 409);
    w.refused(&user, line, json!({"user_id": user.id}), 400);
    w.refused(&user, line, json!({"user_id": "999"}), 404);
    w.refused(&user, line, json!({}), 400);
    // Both may block each other.
    w.ok(&other, line, json!({"user_id": user.id}));
}

fn friend_accept(w: &World) {
    let (user, other) = (w.user(), w.user());
    let line = format!("PUT /relationships/{}/accept", other.id);
    w.refused(&user, &line, Value::Null, 404);
    w.ok(&other, "POST /relationships", json!({"user_id": user.id}));
    w.refused(&other, &format!("PUT /relationships/{}/accept", user.id), Value::Null, 404);
    success(&w.ok(&user, &line, Value::Null));
    w.refused(&user, &line, Value::Null, 404);
    assert_eq!(w.get(&other, "/relationships/@me")[0]["status"], "friend");
}

fn relationship_delete(w: &World) {
    let (user, other) = (w.user(), w.user());
    let to = |target: &crate::support::User| format!("DELETE /relationships/{}", target.id);
    w.refused(&user, &to(&other), Value::Null, 404);
    // Cancel, decline, unfriend, unblock.
    w.ok(&user, "POST /relationships", json!({"user_id": other.id}));
    success(&w.ok(&user, &to(&other), Value::Null));
    w.ok(&user, "POST /relationships", json!({"user_id": other.id}));
    success(&w.ok(&other, &to(&user), Value::Null));
    w.befriend(&user, &other);
    success(&w.ok(&other, &to(&user), Value::Null));
    assert_eq!(w.get(&user, "/relationships/@me"), json!([]));
    w.ok(&user, "POST /relationships/block", json!({"user_id": other.id}));
    w.refused(&other, &to(&user), Value::Null, 404);
    success(&w.ok(&user, &to(&other), Value::Null));
    w.ok(&other, "POST /relationships", json!({"user_id": user.id}));
}
