//! Where channels stand, changed for many at once.

use crate::support::{Value, json};
use crate::world::{Place, World, column, text};

cases![channel_arrange];

fn names(w: &World, place: &Place) -> Vec<Value> {
    column(&w.get(&place.owner, &format!("/servers/{}/channels", place.id)), "name")
}

fn channel_arrange(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let make = |body: Value| text(&w.ok(&place.owner, &format!("POST /servers/{}/channels", place.id), body)["id"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| make(json!({"name": name})));
    let category = make(json!({"name": "Cat", "type": "category"}));
    let path = format!("PATCH /servers/{}/channels", place.id);
    let arrange = |list: Value| w.ok(&place.owner, &path, json!({"channels": list}));
    assert_eq!(names(w, &place), ["general", "a", "b", "c", "Cat"]);

    let mut socket = w.server.gateway();
    socket.identify(&member.token);
    let answer = arrange(json!([{"id": c, "position": 0}, {"id": a, "position": 2}]));
    assert_eq!(column(&answer, "name"), ["c", "general", "a", "b", "Cat"]);
    assert_eq!(column(&answer, "position"), [0, 1, 2, 3, 4]);
    socket.event("CHANNEL_UPDATE");
    // Behind the last is the end; whatever stands first in the request.
    arrange(json!([{"id": place.channel, "position": 99}, {"id": category, "position": 0}]));
    assert_eq!(names(w, &place), ["Cat", "c", "a", "b", "general"]);
    // Into a category, and out of it.
    let answer = arrange(json!([{"id": a, "category_id": category}, {"id": b, "category_id": category}]));
    assert_eq!(column(&answer, "category_id"), [json!(null), json!(null), json!(category), json!(category), json!(null)]);
    let answer = arrange(json!([{"id": a, "category_id": null, "position": 4}]));
    assert_eq!(column(&answer, "name"), ["Cat", "c", "b", "general", "a"]);
    assert_eq!(answer[4]["category_id"], Value::Null);
    let log = w.get(&place.owner, &format!("/servers/{}/audit-logs?limit=1", place.id));
    let change = &log[0]["changes"]["channels"];
    assert_eq!(log[0]["action"], "channel_update");
    assert_eq!(change["old"][&a], json!({"position": 2, "category_id": category}));
    assert_eq!(change["new"][&a], json!({"position": 4, "category_id": null}));

    let other = w.place();
    for (list, status) in [
        (json!([]), 400),
        (json!([{"position": 1}]), 400),
        (json!([{"id": a, "position": -1}]), 400),
        (json!([{"id": a}, {"id": a}]), 400),
        (json!(["x"]), 400),
        (json!([{"id": a, "category_id": b}]), 400),
        (json!([{"id": category, "category_id": category}]), 400),
        (json!([{"id": other.channel, "position": 0}]), 404),
        (json!([{"id": "1", "position": 0}]), 404),
    ] {
        w.refused(&place.owner, &path, json!({"channels": list}), status);
    }
    w.refused(&member, &path, json!({"channels": [{"id": a, "position": 0}]}), 403);
    assert_eq!(names(w, &place), ["Cat", "c", "b", "general", "a"]);
}
