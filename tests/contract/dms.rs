//! Direct messages and the private notes: who may open them, and in which order they are listed.

use crate::support::{Value, json};
use crate::world::{World, column, shape};

cases![notes_get, dm_list, dm_open];

const DM: &str =
    "id: id, type: str, channel_type: str, recipient_id: id?, recipient: object?, last_message_id: id?";

fn notes_get(w: &World) {
    let user = w.user();
    let notes = w.get(&user, "/users/@me/notes");
    shape(
        &notes,
        "id: id, type: str, channel_type: str, name: str, last_message_id: id?, last_message_at: int?",
    );
    assert_eq!((&notes["type"], &notes["channel_type"]), (&json!("notes"), &json!("notes")));
    assert_eq!(w.get(&user, "/users/@me/notes")["id"], notes["id"]);
    let id = notes["id"].as_str().expect("an id");
    let message = w.message(&user, id, "remember");
    assert_eq!(w.get(&user, "/users/@me/notes")["last_message_id"], *message);
    w.refused(&w.user(), &format!("GET /channels/{id}/messages"), Value::Null, 403);
    assert_eq!(w.get(&user, &format!("/channels/{id}"))["channel_type"], "notes");
}

fn dm_list(w: &World) {
    let (user, one, two) = (w.user(), w.user(), w.user());
    assert_eq!(w.get(&user, "/users/@me/channels"), json!([]));
    let (first, second) = (w.dm(&user, &one), w.dm(&two, &user));
    let message = w.message(&one, &first, "hello");
    let list = w.get(&user, "/users/@me/channels");
    assert_eq!(column(&list, "id"), [json!(first), json!(second)], "latest message first");
    shape(&list[0], DM);
    shape(&list[0]["recipient"], "id: id, username: str");
    assert_eq!(list[0]["last_message_id"], *message);
    assert_eq!(list[1]["last_message_id"], Value::Null);
    assert_eq!(list[0]["recipient_id"], *one.id);
    assert_eq!(w.get(&one, "/users/@me/channels")[0]["recipient_id"], *user.id);
}

fn dm_open(w: &World) {
    let (user, other) = (w.user(), w.user());
    let dm = w.ok(&user, "POST /users/@me/channels", json!({"recipient_id": other.id}));
    shape(&dm, DM);
    let number: u64 = user.id.parse().expect("a number");
    let same = w.ok(&other, "POST /users/@me/channels", json!({"recipient_id": number}));
    assert_eq!((&same["id"], &same["recipient_id"]), (&dm["id"], &json!(user.id)));
    let open = |to: Value, status| w.refused(&user, "POST /users/@me/channels", json!({"recipient_id": to}), status);
    for bad in [json!(user.id), json!("x"), Value::Null, json!(""), json!(-1), json!(1.5)] {
        open(bad, 400);
    }
    open(json!("999"), 404);
    let shy = w.user();
    w.ok(&shy, "PATCH /users/@me/messaging-settings", json!({"allow_dms_from": "friends"}));
    open(json!(shy.id), 403);
    w.befriend(&user, &shy);
    w.ok(&user, "POST /users/@me/channels", json!({"recipient_id": shy.id}));
    let closed = w.user();
    w.ok(&closed, "PATCH /users/@me/messaging-settings", json!({"allow_dms_from": "none"}));
    open(json!(closed.id), 403);
    // A block closes both directions, also of a channel that is open.
    w.ok(&other, "POST /relationships/block", json!({"user_id": user.id}));
    open(json!(other.id), 403);
    let id = dm["id"].as_str().expect("an id");
    for sender in [&user, &other] {
        w.refused(sender, &format!("POST /channels/{id}/messages"), json!({"content": "x"}), 403);
    }
}
