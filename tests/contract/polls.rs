//! Polls: asked in a message and later, answered, ended.

use crate::support::{User, Value, json};
use crate::world::{MESSAGE, Place, World, shape, success, text};

cases![poll_create, poll_get, poll_results, poll_vote, poll_close, poll_delete];

const POLL: &str = "id: id, message_id: id, question: str, created_by: id, created_at: int, ends_at: int?, \
    ended_at: int?, allow_multiple_choice: bool, results_visibility: str, options: list, total_votes: int, \
    is_ended: bool";
const RESULTS: &str = "poll: object, options: list, total_votes: int, user_voted: bool, user_votes: list";
const OPTION: &str = "id: id, poll_id: id, text: str, position: int, vote_count: int?";

/// The poll of a message that asks.
fn ask(w: &World, user: &User, place: &Place) -> Value {
    let poll = json!({"question": "Tea?", "options": ["yes", "no"], "duration_hours": 1});
    let body = json!({"content": "vote", "poll": poll});
    let message = w.ok(user, &format!("POST /channels/{}/messages", place.channel), body);
    assert_eq!(message["metadata"]["poll_id"], message["poll"]["id"]);
    message["poll"].clone()
}

fn path(poll: &Value) -> String {
    format!("/polls/{}", text(&poll["id"]))
}

fn chosen(poll: &Value, index: usize) -> Value {
    json!({"option_ids": [poll["options"][index]["id"]]})
}

fn poll_create(w: &World) {
    let place = w.place();
    let (member, outsider) = (w.member(&place), w.user());
    let id = w.message(&member, &place.channel, "what do you think?");
    let body = json!({"question": "Tea?", "options": ["yes", "no"], "message_id": id});
    w.refused(&place.owner, "POST /polls", body.clone(), 403);
    w.refused(&outsider, "POST /polls", body.clone(), 404);
    for bad in [json!({}), json!({"question": "q", "options": ["a", "b"]}), json!({"message_id": id})] {
        w.refused(&member, "POST /polls", bad, 400);
    }
    let poll = w.ok(&member, "POST /polls", body.clone());
    shape(&poll, POLL);
    assert_eq!((&poll["message_id"], &poll["created_by"]), (&json!(id), &json!(member.id)));
    w.refused(&member, "POST /polls", body, 409);
    let unknown = json!({"question": "Tea?", "options": ["yes", "no"], "message_id": "999"});
    w.refused(&member, "POST /polls", unknown, 404);
    // In a message that is being sent.
    let poll = ask(w, &member, &place);
    let message = w.get(
        &place.owner,
        &format!("/channels/{}/messages/{}", place.channel, text(&poll["message_id"])),
    );
    shape(&message, MESSAGE);
    shape(&message["poll"], POLL);
    shape(&message["poll_results"], RESULTS);
    let refused = json!({"content": "x", "poll": {"question": "q", "options": ["a"]}});
    w.refused(&member, &format!("POST /channels/{}/messages", place.channel), refused, 400);
    let rosie = w.bot(&place.owner);
    w.join(&place, &rosie);
    ask(w, &rosie, &place);
    what_is_blocked_is_not_asked(w);
}

/// What a poll says is judged as what its message says.
fn what_is_blocked_is_not_asked(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let rule = json!({
        "name": "no", "rule_type": "keyword", "config": {"keywords": ["mischief"]},
        "actions": [{"action_type": "delete_message"}],
    });
    w.ok(&place.owner, &format!("POST /servers/{}/automod/rules", place.id), rule);
    let id = w.message(&member, &place.channel, "what do you think?");
    let poll = json!({"question": "Tea?", "options": ["yes", "mischief"], "message_id": id});
    let line = format!("POST /channels/{}/messages", place.channel);
    for (line, body) in [("POST /polls", poll.clone()), (&line, json!({"content": "x", "poll": poll}))] {
        assert_eq!(w.refused(&member, line, body, 400)["error"]["code"], "MESSAGE_BLOCKED");
    }
    assert_eq!(w.get(&member, &format!("/channels/{}/messages?limit=1", place.channel))[0]["poll"], Value::Null);
}

fn poll_get(w: &World) {
    let place = w.place();
    let (poll, member) = (ask(w, &place.owner, &place), w.member(&place));
    assert_eq!(w.get(&member, &path(&poll)), poll);
    shape(&poll["options"][0], OPTION);
    let lasts = poll["ends_at"].as_u64().unwrap() - poll["created_at"].as_u64().unwrap();
    assert!((3_599..=3_601).contains(&lasts), "{lasts}");
    w.refused(&w.user(), &format!("GET {}", path(&poll)), Value::Null, 404);
    w.refused(&member, "GET /polls/999", Value::Null, 404);
    w.refused(&member, "GET /polls/x", Value::Null, 400);
}

fn poll_results(w: &World) {
    let place = w.place();
    let (poll, member) = (ask(w, &place.owner, &place), w.member(&place));
    w.ok(&member, &format!("POST {}/vote", path(&poll)), chosen(&poll, 1));
    for (user, voted) in [(&member, true), (&place.owner, false)] {
        let results = w.get(user, &format!("{}/results", path(&poll)));
        shape(&results, RESULTS);
        assert_eq!(
            (&results["options"][1]["vote_count"], &results["user_voted"]),
            (&json!(1), &json!(voted))
        );
    }
    w.refused(&w.user(), &format!("GET {}/results", path(&poll)), Value::Null, 404);
}

fn poll_vote(w: &World) {
    let place = w.place();
    let (poll, member) = (ask(w, &place.owner, &place), w.member(&place));
    let line = format!("POST {}/vote", path(&poll));
    for index in [0, 1] {
        let results = w.ok(&member, &line, chosen(&poll, index));
        shape(&results, RESULTS);
        assert_eq!(results["total_votes"], 1);
        assert_eq!(results["options"][index]["vote_count"], 1);
        assert_eq!(results["user_votes"], json!([poll["options"][index]["id"]]));
    }
    let both = json!({"option_ids": [poll["options"][0]["id"], poll["options"][1]["id"]]});
    for bad in [both, json!({"option_ids": []}), json!({}), json!({"option_ids": ["999"]})] {
        w.refused(&member, &line, bad, 400);
    }
    w.refused(&w.user(), &line, chosen(&poll, 0), 404);
}

fn poll_close(w: &World) {
    let place = w.place();
    let (poll, member) = (ask(w, &place.owner, &place), w.member(&place));
    let line = format!("POST {}/close", path(&poll));
    w.refused(&member, &line, Value::Null, 403);
    w.refused(&w.user(), &line, Value::Null, 404);
    // Who moderates may remove it, not end it.
    w.grant(&place, &member, &["messages.manage"]);
    w.refused(&member, &line, Value::Null, 403);
    let ended = w.ok(&place.owner, &line, Value::Null);
    shape(&ended, POLL);
    assert_eq!(ended["is_ended"], true);
    assert!(ended["ended_at"].is_u64());
    w.refused(&place.owner, &line, Value::Null, 400);
    w.refused(&member, &format!("POST {}/vote", path(&poll)), chosen(&poll, 0), 400);
}

fn poll_delete(w: &World) {
    let place = w.place();
    let (poll, member) = (ask(w, &place.owner, &place), w.member(&place));
    let line = format!("DELETE {}", path(&poll));
    w.refused(&member, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.refused(&place.owner, &line, Value::Null, 404);
    let message =
        w.get(&member, &format!("/channels/{}/messages/{}", place.channel, text(&poll["message_id"])));
    assert_eq!((&message["poll"], &message["metadata"]), (&Value::Null, &Value::Null));
    // And with its message.
    let poll = ask(w, &place.owner, &place);
    let id = text(&poll["message_id"]);
    success(&w.ok(&place.owner, &format!("DELETE /channels/{}/messages/{id}", place.channel), Value::Null));
    w.refused(&place.owner, &format!("GET {}", path(&poll)), Value::Null, 404);
}
