//! Bots at the gateway: they identify as themselves, as often as they like, and end with their token.

use crate::support::{PASSWORD, Value, json};
use crate::world::{World, text};

use super::{ready, resume, say};

/// A bot that has joined a server.
fn joined(w: &World, place: &crate::world::Place) -> crate::support::User {
    let bot = w.bot(&w.user());
    w.join(place, &bot);
    bot
}

#[test]
fn a_bot_is_itself() {
    let w = World::new(&[]);
    let place = w.place();
    let bot = joined(&w, &place);
    let (mut socket, first) = ready(&w, &bot.token);
    assert_eq!((&first["user"]["bot"], &first["user"]["id"]), (&json!(true), &json!(bot.id)));
    assert_eq!(first["application"]["id"], *bot.id);
    assert_eq!(first["guilds"][0]["id"], *place.id);
    let id = say(&w, &place, "hello");
    assert_eq!(socket.event("MESSAGE_CREATE")["id"], *id);
    // It resumes with its token.
    let seen = socket.sequence;
    drop(socket);
    let missed = say(&w, &place, "missed");
    let mut socket = resume(&w, &bot.token, &first["session_id"], seen);
    assert_eq!(socket.json()["t"], "RESUMED");
    assert_eq!(socket.event("MESSAGE_CREATE")["id"], *missed);
    // Not as a session, and not its owner's.
    for token in [bot.token.replacen("bot.", "", 1), format!("bot.{}", place.owner.token)] {
        let mut socket = w.server.gateway();
        socket.send(&json!({"op": 2, "d": {"token": token}}));
        assert_eq!(socket.closed().0, 4004, "{token}");
    }
}

#[test]
fn a_bot_may_have_more_sessions_than_a_person() {
    let w = World::new(&["websocket.max_connections_per_user=2", "websocket.identify_burst=0"]);
    let place = w.place();
    let bot = joined(&w, &place);
    let mut sockets: Vec<_> = (0..4).map(|_| ready(&w, &bot.token).0).collect();
    let id = say(&w, &place, "to all of them");
    for socket in &mut sockets {
        assert_eq!(socket.event("MESSAGE_CREATE")["id"], *id);
    }
    let (mut oldest, _) = ready(&w, &place.owner.token);
    let _others = [ready(&w, &place.owner.token), ready(&w, &place.owner.token)];
    assert_eq!(oldest.closed().0, 4008);
}

#[test]
fn a_session_of_a_bot_ends_with_its_token() {
    let w = World::new(&[]);
    let owner = w.user();
    let bot = w.bot(&owner);
    let logged_out = |token: &str| {
        let (mut socket, _) = ready(&w, token);
        w.call(Some(token), "POST /auth/logout", Value::Null).want(200);
        assert_eq!(socket.closed(), (4004, "Logged out".to_owned()));
    };
    logged_out(&bot.token);
    let (mut socket, _) = ready(&w, &bot.token);
    let said = w.server.operate(&json!({"do": "bot_token", "name": bot.name})).expect("renewed");
    socket.event("SECURITY_LOGOUT");
    assert_eq!(socket.closed().0, 4004);
    let token = text(&json!(said.lines().last()));
    let (mut socket, first) = ready(&w, &token);
    w.ok(&owner, "DELETE /users/@me", json!({"password": PASSWORD}));
    socket.event("SECURITY_LOGOUT");
    assert_eq!(socket.closed().0, 4004, "it rests with its owner");
    let mut socket = w.server.gateway();
    socket.send(&json!({"op": 2, "d": {"token": token}}));
    assert_eq!(socket.closed().0, 4004);
    let mut socket = resume(&w, &token, &first["session_id"], 1);
    assert_eq!(socket.json(), json!({"op": 9, "d": false}));
}

#[test]
fn a_bot_that_did_not_ask_for_it_is_not_told_what_is_said() {
    let w = World::new(&[]);
    let place = w.place();
    let bot = joined(&w, &place);
    let (mut asked, _) = ready(&w, &bot.token);
    let [mut plain, mut person] = [&bot.token, &place.owner.token].map(|token| {
        let mut socket = w.server.gateway();
        socket.identify_with(json!({"token": token}));
        socket
    });
    let mut hear = |content: &str, author: &crate::support::User, withheld: bool| {
        let id = w.message(author, &place.channel, content);
        for socket in [&mut asked, &mut person] {
            let event = socket.event("MESSAGE_CREATE");
            assert_eq!((&event["id"], &event["content"]), (&json!(id), &json!(content)));
        }
        let event = plain.event("MESSAGE_CREATE");
        let want = if withheld { "" } else { content };
        assert_eq!((&event["id"], &event["content"]), (&json!(id), &json!(want)));
        assert_eq!(event["author_id"], *author.id);
        id
    };
    let id = hear("a secret", &place.owner, true);
    hear(&format!("come here, <@{}>", bot.id), &place.owner, false);
    hear("I am here", &bot, false);
    hear("to @everyone", &place.owner, true);
    let path = format!("/channels/{}/messages/{id}", place.channel);
    w.ok(&place.owner, &format!("PATCH {path}"), json!({"content": "another"}));
    assert_eq!(plain.event("MESSAGE_UPDATE")["content"], "");
    assert_eq!(asked.event("MESSAGE_UPDATE")["content"], "another");
    // What it may read it may ask for.
    assert_eq!(w.get(&bot, &path)["content"], "another");
    // And what is written to it alone is.
    let dm = w.ok(&place.owner, "POST /users/@me/channels", json!({"recipient_id": bot.id}));
    w.message(&place.owner, &text(&dm["id"]), "between us");
    assert_eq!(plain.event("MESSAGE_CREATE")["content"], "between us");
}
