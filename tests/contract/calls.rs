//! What clients ask before they talk: ICE servers, and what a channel needs.

use crate::support::{User, Value, json};
use crate::world::{Place, World, shape, text};

cases![ice_server_list, voice_channel_info];

const SERVER: &str = "urls: list, username: str?, credential: str?";

fn voice(w: &World, place: &Place, kind: &str) -> String {
    let body = json!({"name": "talk", "channel_type": kind});
    text(&w.ok(&place.owner, &format!("POST /servers/{}/channels", place.id), body)["id"])
}

fn ice_server_list(w: &World) {
    let user = w.user();
    let body = w.get(&user, "/voice/ice-servers");
    let servers = body["ice_servers"].as_array().expect("a list");
    assert_eq!(servers.len(), 1, "no TURN server is configured");
    servers.iter().for_each(|server| shape(server, SERVER));
    assert!(servers[0]["urls"][0].as_str().is_some_and(|url| url.starts_with("stun:")));
    w.anyone("GET /voice/ice-servers", Value::Null).want(401);
    let off = World::new(&["voice.enabled=false"]);
    off.refused(&off.user(), "GET /voice/ice-servers", Value::Null, 503);
    let w = World::new(&[
        "voice.stun_urls=",
        "voice.turn_urls=turn:turn.example.org:3478,turns:turn.example.org",
        "voice.turn_secret=north",
        "voice.turn_ttl=600",
    ]);
    let user = w.user();
    let server = &w.get(&user, "/voice/ice-servers")["ice_servers"][0];
    assert_eq!(server["urls"].as_array().map(Vec::len), Some(2));
    let name = text(&server["username"]);
    let (until, whose) = name.split_once(':').expect("when it ends and whose it is");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let left = until.parse::<u64>().expect("a time") - now;
    assert!((590..=600).contains(&left), "{left}");
    assert_eq!(whose, user.id);
    assert_eq!(text(&server["credential"]).len(), 28, "SHA-1 as base64");
    let all = World::new(&["voice.turn_urls=turn:a", "voice.turn_username=all", "voice.turn_credential=pass"]);
    let servers = all.get(&all.user(), "/voice/ice-servers");
    let turn = json!({"urls": ["turn:a"], "username": "all", "credential": "pass"});
    assert_eq!(servers["ice_servers"][1], turn);
}

fn voice_channel_info(w: &World) {
    let place = w.place();
    let (member, outsider) = (w.member(&place), w.user());
    let info = |user: &User, channel: &str| {
        w.call(Some(&user.token), &format!("GET /voice/channels/{channel}/info"), Value::Null)
    };
    for kind in ["voice", "stage"] {
        let channel = voice(w, &place, kind);
        let body = info(&member, &channel).want(200);
        shape(&body, "channel_id: id, session_id: str, ice_servers: list, bitrate: int");
        assert_eq!((&body["channel_id"], &body["bitrate"]), (&json!(channel), &json!(64_000)));
        let session = text(&body["session_id"]);
        assert!(session.len() == 32 && session.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{session}");
        assert_ne!(info(&member, &channel).want(200)["session_id"], *session, "another each time");
        body["ice_servers"].as_array().expect("a list").iter().for_each(|server| shape(server, SERVER));
        info(&outsider, &channel).want(403);
        w.anyone(&format!("GET /voice/channels/{channel}/info"), Value::Null).want(401);
    }
    info(&member, &place.channel).want(400);
    info(&member, "999").want(404);
    info(&member, "x").want(400);
    let dm = w.ok(&member, "POST /users/@me/channels", json!({"recipient_id": outsider.id}));
    info(&member, &text(&dm["id"])).want(400);
    info(&place.owner, &text(&dm["id"])).want(403);
    let channel = voice(w, &place, "voice");
    let path = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &path, json!({"permissions": {"channels.view": true}}));
    let refused = info(&member, &channel).want(403);
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("voice.connect")));
    info(&place.owner, &channel).want(200);
    w.ok(&place.owner, &path, json!({"permissions": {"voice.connect": true}}));
    info(&member, &channel).want(403);
    let off = World::new(&["voice.enabled=false"]);
    let place = off.place();
    let channel = voice(&off, &place, "voice");
    let line = format!("GET /voice/channels/{channel}/info");
    off.refused(&place.owner, &line, Value::Null, 503);
}
