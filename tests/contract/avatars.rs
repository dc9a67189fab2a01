//! Generated pictures of users and servers.

use crate::support::Value;
use crate::world::World;

cases![avatar_user_get, avatar_server_get];

/// What every picture has.
fn picture(w: &World, path: &str) {
    let answer = w.anyone(&format!("GET {path}"), Value::Null);
    assert_eq!(answer.status, 200);
    for (name, want) in [
        ("content-type", "image/svg+xml"),
        ("cache-control", "public, max-age=3600"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(answer.header(name), Some(want), "{path}: {name}");
    }
    assert!(answer.header("etag").is_some_and(|etag| etag.len() == 18), "{path}");
}

fn avatar_user_get(w: &World) {
    let user = w.user();
    let url = w.get(&user, "/users/@me")["avatar_url"].as_str().unwrap().to_string();
    picture(w, url.strip_prefix("/api/v1").unwrap());
    picture(w, "/avatars/users/0");
    w.anyone("GET /avatars/users/77", Value::Null).want(404);
    w.anyone("GET /avatars/users/abc", Value::Null).want(400);
}

fn avatar_server_get(w: &World) {
    let place = w.place();
    picture(w, &format!("/avatars/servers/{}", place.id));
    w.anyone("GET /avatars/servers/77", Value::Null).want(404);
}
