//! Voice signalling over real sockets: what clients see of who talks where.

use std::time::{Duration, Instant};

use crate::support::{Socket, Value, json};
use crate::world::{Place, World, shape, text};

use super::ready;

const STATE: &str = "user_id: id, channel_id: id?, guild_id: id, self_mute: bool, self_deaf: bool, \
    self_video: bool, self_stream: bool, mute: bool, deaf: bool, suppress: bool";

fn voice(w: &World, place: &Place) -> String {
    let body = json!({"name": "talk", "channel_type": "voice"});
    text(&w.ok(&place.owner, &format!("POST /servers/{}/channels", place.id), body)["id"])
}

fn state(socket: &mut Socket) -> Value {
    let state = socket.event("VOICE_STATE_UPDATE");
    shape(&state, STATE);
    state
}

#[test]
fn people_come_move_and_go() {
    let w = World::new(&["presence.offline_grace_ms=1000"]);
    let place = w.place();
    let member = w.member(&place);
    let (one, two) = (voice(&w, &place), voice(&w, &place));
    let (mut owner, _) = ready(&w, &place.owner.token);
    let (mut socket, _) = ready(&w, &member.token);
    let (mut stranger, _) = ready(&w, &w.user().token);
    socket.send(&json!({"op": 20, "d": {"channel_id": one}}));
    for seen in [&mut owner, &mut socket].map(state) {
        assert_eq!((&seen["user_id"], &seen["channel_id"]), (&json!(member.id), &json!(one)));
        assert_eq!((&seen["guild_id"], &seen["self_mute"]), (&json!(place.id), &json!(false)));
    }
    let server = socket.event("VOICE_SERVER_UPDATE");
    shape(
        &server,
        "endpoint: str?, token: str, ice_servers: list, session_id: str, channel_id: id, user_id: id, bitrate: int",
    );
    assert_eq!((&server["endpoint"], &server["channel_id"]), (&Value::Null, &json!(one)));
    // Who comes later is told behind his READY.
    let (mut later, _) = ready(&w, &place.owner.token);
    let seen = state(&mut later);
    assert_eq!((&seen["user_id"], &seen["channel_id"]), (&json!(member.id), &json!(one)));
    socket.send(&json!({"op": 4, "d": {"channel_id": one, "self_deaf": true}}));
    assert_eq!(state(&mut owner)["self_mute"], true);
    socket.send(&json!({"op": 20, "d": {"channel_id": two}}));
    assert_eq!(state(&mut owner)["channel_id"], *two);
    // A bot may not.
    let bot = w.bot(&w.user());
    w.join(&place, &bot);
    let (mut of_bot, _) = ready(&w, &bot.token);
    of_bot.send(&json!({"op": 20, "d": {"channel_id": two}}));
    w.ok(&place.owner, &format!("DELETE /channels/{two}"), Value::Null);
    let seen = state(&mut owner);
    assert_eq!((&seen["user_id"], &seen["channel_id"]), (&json!(member.id), &Value::Null));
    // The socket is lost, and nobody comes back.
    socket.send(&json!({"op": 20, "d": {"channel_id": one}}));
    assert_eq!(state(&mut owner)["channel_id"], *one);
    let lost = Instant::now();
    drop(socket);
    assert_eq!(state(&mut owner)["channel_id"], Value::Null);
    assert!(lost.elapsed() >= Duration::from_millis(900), "{:?}", lost.elapsed());
    // Kicked: the others are told, he has lost the server.
    let (mut socket, _) = ready(&w, &member.token);
    socket.send(&json!({"op": 20, "d": {"channel_id": one}}));
    assert_eq!(state(&mut owner)["channel_id"], *one);
    w.ok(&place.owner, &format!("DELETE /servers/{}/members/{}", place.id, member.id), Value::Null);
    assert_eq!(state(&mut owner)["channel_id"], Value::Null);
    stranger.send(&json!({"op": 1, "d": null}));
    assert_eq!(stranger.json(), json!({"op": 11}), "it has heard of nothing");
}
