//! Pinned messages.

use crate::support::{Value, json};
use crate::world::{MESSAGE, World, column, shape, success};

cases![pin_list, pin_create, pin_delete];

fn pin_list(w: &World) {
    let place = w.place();
    let (one, two) = (
        w.message(&place.owner, &place.channel, "one"),
        w.message(&place.owner, &place.channel, "two"),
    );
    let path = format!("/channels/{}/pins", place.channel);
    assert_eq!(w.get(&place.owner, &path), json!([]));
    for id in [&two, &one] {
        w.ok(&place.owner, &format!("PUT {path}/{id}"), Value::Null);
    }
    let list = w.get(&w.member(&place), &path);
    assert_eq!(column(&list, "id"), [json!(one), json!(two)], "newest pin first");
    shape(&list[0], MESSAGE);
    w.ok(&place.owner, &format!("DELETE /channels/{}/messages/{one}", place.channel), Value::Null);
    assert_eq!(column(&w.get(&place.owner, &path), "id"), [json!(two)]);
}

fn pin_create(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let id = w.message(&member, &place.channel, "one");
    let line = format!("PUT /channels/{}/pins/{id}", place.channel);
    w.refused(&member, &line, Value::Null, 403);
    for _ in 0..2 {
        success(&w.ok(&place.owner, &line, Value::Null));
    }
    let message = w.get(&member, &format!("/channels/{}/messages/{id}", place.channel));
    assert_eq!(message["pinned"], true);
    w.refused(&place.owner, &format!("PUT /channels/{}/pins/999", place.channel), Value::Null, 404);
    let dm = w.dm(&member, &place.owner);
    let id = w.message(&member, &dm, "x");
    success(&w.ok(&place.owner, &format!("PUT /channels/{dm}/pins/{id}"), Value::Null));
}

fn pin_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let id = w.message(&member, &place.channel, "one");
    let line = format!("DELETE /channels/{}/pins/{id}", place.channel);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.ok(&place.owner, &format!("PUT /channels/{}/pins/{id}", place.channel), Value::Null);
    w.refused(&member, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    assert_eq!(w.get(&member, &format!("/channels/{}/pins", place.channel)), json!([]));
    w.refused(&place.owner, &format!("DELETE /channels/{}/pins/999", place.channel), Value::Null, 404);
}
