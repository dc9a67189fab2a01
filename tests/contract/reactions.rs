//! Reactions: which emojis, in which order, by whom.

use crate::support::{Value, json};
use crate::world::{World, column, shape, success};

cases![
    reaction_list,
    reaction_user_list,
    reaction_create,
    reaction_delete,
    reaction_clear,
    reaction_clear_emoji,
];

/// 👍 and 🦀 as they stand in a path.
const THUMB: &str = "%F0%9F%91%8D";
const CRAB: &str = "%F0%9F%A6%80";

fn reaction_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let base = base(w, &place);
    assert_eq!(w.get(&member, &base), json!([]));
    w.ok(&place.owner, &format!("PUT {base}/{CRAB}"), Value::Null);
    w.ok(&place.owner, &format!("PUT {base}/{THUMB}"), Value::Null);
    w.ok(&member, &format!("PUT {base}/{THUMB}"), Value::Null);
    let list = w.get(&member, &base);
    assert_eq!(column(&list, "emoji"), [json!("🦀"), json!("👍")], "in order of first use");
    assert_eq!(column(&list, "count"), [json!(1), json!(2)]);
    assert_eq!(column(&list, "me"), [json!(false), json!(true)]);
    shape(&list[0], "emoji: str, count: int, me: bool, url: str?, is_custom: bool, custom_emoji_id: str?");
    let message = w.get(&member, base.trim_end_matches("/reactions"));
    assert_eq!(message["reactions"], list);
}

fn reaction_user_list(w: &World) {
    let place = w.place();
    let base = base(w, &place);
    let users: Vec<_> = (0..3).map(|_| w.member(&place)).collect();
    for user in &users {
        w.ok(user, &format!("PUT {base}/{THUMB}"), Value::Null);
    }
    let ids: Vec<Value> = users.iter().map(|user| json!(user.id)).collect();
    let page = |query: &str| w.get(&place.owner, &format!("{base}/{THUMB}?{query}"));
    assert_eq!(column(&page(""), "user_id"), ids);
    shape(&page("")[0], "user_id: id, reacted_at: int");
    assert_eq!(column(&page("limit=2"), "user_id"), ids[..2]);
    assert_eq!(column(&page(&format!("after={}", users[0].id)), "user_id"), ids[1..]);
    assert_eq!(w.get(&place.owner, &format!("{base}/{CRAB}")), json!([]));
    for bad in ["limit=0", "limit=101", "limit=x", "after=x"] {
        w.refused(&place.owner, &format!("GET {base}/{THUMB}?{bad}"), Value::Null, 400);
    }
}

fn reaction_clear(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let base = base(w, &place);
    let line = format!("DELETE {base}");
    success(&w.ok(&place.owner, &line, Value::Null));
    for (who, emoji) in [(&member, THUMB), (&place.owner, THUMB), (&member, CRAB)] {
        w.ok(who, &format!("PUT {base}/{emoji}"), Value::Null);
    }
    w.refused(&member, &line, Value::Null, 403);
    w.grant(&place, &member, &["messages.manage"]);
    success(&w.ok(&member, &line, Value::Null));
    assert_eq!(w.get(&member, &base), json!([]));
    w.ok(&member, &format!("PUT {base}/{CRAB}"), Value::Null);
    assert_eq!(column(&w.get(&member, &base), "count"), [json!(1)]);
}

fn reaction_clear_emoji(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let base = base(w, &place);
    for (who, emoji) in [(&member, THUMB), (&place.owner, THUMB), (&member, CRAB)] {
        w.ok(who, &format!("PUT {base}/{emoji}"), Value::Null);
    }
    w.refused(&member, &format!("DELETE {base}/{THUMB}/all"), Value::Null, 403);
    for emoji in [THUMB, "thumbsup", "nothing"] {
        success(&w.ok(&place.owner, &format!("DELETE {base}/{emoji}/all"), Value::Null));
        assert_eq!(column(&w.get(&member, &base), "emoji"), [json!("🦀")]);
    }
    assert_eq!(w.get(&member, &format!("{base}/{THUMB}")), json!([]));
}

fn reaction_create(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let base = base(w, &place);
    for emoji in [THUMB, THUMB, "%3Acrab%3A", "%E2%9D%A4%EF%B8%8F"] {
        success(&w.ok(&member, &format!("PUT {base}/{emoji}"), Value::Null));
    }
    assert_eq!(w.get(&member, &base).as_array().map(Vec::len), Some(3));
    // A letter, a lone skin tone, text style, names: each the same emoji in all its variants.
    let base = self::base(w, &place);
    for emoji in ["%F0%9F%87%A6", "%F0%9F%8F%BD", "%E2%9D%A4%EF%B8%8E", "%E2%9D%A4", "%3AHeart%3A", "thumbsup", "ThumbsUp"] {
        w.ok(&member, &format!("PUT {base}/{emoji}"), Value::Null);
    }
    let list = ["🇦", "🏽", "❤\u{fe0f}", "👍"].map(|emoji| json!(emoji));
    assert_eq!(column(&w.get(&member, &base), "emoji"), list);
    w.ok(&member, &format!("DELETE {base}/heart"), Value::Null);
    assert_eq!(column(&w.get(&member, &base), "emoji"), [&list[..2], &list[3..]].concat());
    for bad in ["nope", "%3Anosuchname%3A", "%F0%9F%91%8D%F0%9F%91%8D", "hello%20world"] {
        w.refused(&member, &format!("PUT {base}/{bad}"), Value::Null, 400);
    }
    let line = format!("PUT /channels/{}/messages/999/reactions/{THUMB}", place.channel);
    w.refused(&member, &line, Value::Null, 404);
    let role = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &role, json!({"permissions": {"channels.view": true, "messages.read": true}}));
    w.refused(&member, &format!("PUT {base}/{CRAB}"), Value::Null, 403);
}

fn reaction_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let base = base(w, &place);
    w.ok(&place.owner, &format!("PUT {base}/{THUMB}"), Value::Null);
    w.ok(&member, &format!("PUT {base}/{THUMB}"), Value::Null);
    for _ in 0..2 {
        success(&w.ok(&member, &format!("DELETE {base}/{THUMB}"), Value::Null));
    }
    assert_eq!(column(&w.get(&member, &base), "count"), [json!(1)]);
    w.ok(&place.owner, &format!("DELETE {base}/{THUMB}"), Value::Null);
    assert_eq!(w.get(&member, &base), json!([]));
    let line = format!("DELETE /channels/{}/messages/999/reactions/{THUMB}", place.channel);
    w.refused(&member, &line, Value::Null, 404);
}

/// The reactions of a fresh message.
fn base(w: &World, place: &crate::world::Place) -> String {
    let id = w.message(&place.owner, &place.channel, "one");
    format!("/channels/{}/messages/{id}/reactions", place.channel)
}
