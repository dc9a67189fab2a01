//! Who hears of webhooks, and of what they say.

use super::ready;
use crate::support::{Value, json};
use crate::world::{World, text};

#[test]
fn webhooks_are_told_to_who_manages_them_and_messages_to_who_reads() {
    let w = World::new(&[]);
    let place = w.place();
    let (member, manager) = (w.member(&place), w.member(&place));
    w.grant(&place, &manager, &["webhooks.manage"]);
    let (mut mine, _) = ready(&w, &manager.token);
    let (mut seen, _) = ready(&w, &member.token);
    let mut deaf = w.server.gateway();
    deaf.identify_with(json!({"token": place.owner.token, "intents": 0xffff & !(1 << 5)}));
    let channels = format!("POST /servers/{}/channels", place.id);
    let second = text(&w.ok(&place.owner, &channels, json!({"name": "second"}))["id"]);
    let hook = w.ok(&place.owner, "POST /webhooks", json!({"channel_id": place.channel, "name": "News"}));
    let update = |channel: &str| json!({"guild_id": place.id, "channel_id": channel});
    assert_eq!(mine.event("WEBHOOKS_UPDATE"), update(&place.channel));
    let (id, token) = (text(&hook["id"]), text(&hook["token"]));
    let body = json!({"content": format!("first <@{}>", member.id), "username": "Paper", "embeds": [{"title": "T"}]});
    let said = w.anyone(&format!("POST /webhooks/{id}/{token}?wait=true"), body).want(200);
    for socket in [&mut mine, &mut seen, &mut deaf] {
        let message = socket.event("MESSAGE_CREATE");
        assert_eq!((&message["id"], &message["author_username"]), (&said["id"], &json!("Paper")));
        assert_eq!(
            (&message["author_id"], &message["server_id"]),
            (&json!(place.owner.id), &json!(place.id))
        );
        assert_eq!(message["embeds"][0]["title"], "T");
        let page = w.get(&member, &format!("/channels/{}/messages?limit=1", place.channel));
        for (key, value) in page[0].as_object().expect("a message") {
            assert_eq!(*value, message[key], "{key}");
        }
    }
    assert_eq!(seen.event("NOTIFICATION_CREATE")["sender_id"], *place.owner.id);
    w.ok(&manager, &format!("PATCH /webhooks/{id}"), json!({"channel_id": second}));
    assert_eq!(mine.event("WEBHOOKS_UPDATE"), update(&second));
    assert_eq!(mine.event("WEBHOOKS_UPDATE"), update(&place.channel));
    w.ok(&manager, &format!("POST /webhooks/{id}/regenerate-token"), Value::Null);
    w.ok(&manager, &format!("DELETE /webhooks/{id}"), Value::Null);
    assert_eq!(mine.event("WEBHOOKS_UPDATE"), update(&second));
    assert!(mine.events_until_now().iter().all(|event| event["t"] != "WEBHOOKS_UPDATE"));
    for socket in [&mut seen, &mut deaf] {
        let events = socket.events_until_now();
        assert!(events.iter().all(|event| event["t"] != "WEBHOOKS_UPDATE"), "{events:?}");
    }
}

/// The log of a server that tells everything, also of slow handlers.
#[test]
fn tokens_are_not_in_the_log() {
    let w = World::new(&["logging.level=TRACE", "logging.slow_turn_ms=1"]);
    let place = w.place();
    let hook = w.ok(&place.owner, "POST /webhooks", json!({"channel_id": place.channel, "name": "x"}));
    let (id, token) = (text(&hook["id"]), text(&hook["token"]));
    let secret = token.rsplit('.').next().expect("three parts");
    let embeds =
        vec![json!({"title": "t".repeat(200), "fields": vec![json!({"name": "n", "value": "v"}); 25]}); 10];
    for form in ["", "/github", "/slack"] {
        for _ in 0..20 {
            w.anyone(&format!("POST /webhooks/{id}/{token}{form}"), json!({"embeds": embeds, "text": "x"}));
        }
        w.anyone(&format!("GET /webhooks/{id}/{token}{form}"), Value::Null);
        w.anyone(&format!("POST /webhooks/{id}/{token}{form}/nothing"), json!({}));
    }
    w.anyone(&format!("POST /webhooks/{id}/{token}x"), json!({"content": "x"})).want(401);
    w.anyone(&format!("POST /webhooks/999/{token}"), json!({"content": "x"})).want(404);
    w.anyone("POST /webhooks/1/last", json!({})).want(404);
    w.server.log_with("webhook_execute_slack");
    assert!(!w.server.log().contains(&secret[..16]), "{}", w.server.log());
}
