//! What the operator asks for on the command line, of a server that runs and of a store that nobody has open.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use crate::support::{Server, Value, command, json, temporary_folder};
use crate::world::{World, shape, text};

/// Runs a command to its end; what it printed, and what it said went wrong.
fn run(folder: &Path, line: &str) -> (Option<i32>, String, String) {
    let arguments = line.split(' ');
    let Output { status, stdout, stderr } = command(folder).args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[track_caller]
fn done(folder: &Path, line: &str) -> String {
    let (code, out, err) = run(folder, line);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{line}");
    out
}

#[track_caller]
fn refused(folder: &Path, line: &str, want: &str) {
    let (code, out, err) = run(folder, line);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{line}");
    assert!(err.starts_with("plexichat: ") && err.contains(want), "{line}: {err}");
}

fn last_line(text: &str) -> String {
    text.lines().last().expect("a line").to_owned()
}

#[test]
fn bots_beside_a_server_that_runs() {
    let w = World::new(&["authentication.accounts.max_bots_per_user=2"]);
    let folder = w.server.folder();
    let owner = w.user();
    let made = done(folder, &format!("bot create Rosie --owner {}", owner.name));
    assert!(made.starts_with("Rosie is bot ") && made.contains("shown only now"), "{made}");
    let token = last_line(&made);
    let me = w.call(Some(&token), "GET /users/@me", Value::Null).want(200);
    assert_eq!((&me["username"], &me["email"]), (&json!("Rosie"), &Value::Null));
    // In force with the answer.
    let renewed = last_line(&done(folder, "bot token rosie"));
    w.call(Some(&token), "GET /users/@me", Value::Null).want(401);
    w.call(Some(&renewed), "GET /users/@me", Value::Null).want(200);
    let list = done(folder, "bot list");
    assert!(
        list.lines().next().is_some_and(|head| head.starts_with("ID") && head.ends_with("LAST USED")),
        "{list}"
    );
    assert!(list.contains("Rosie") && list.contains(&owner.name) && list.contains("active"), "{list}");
    refused(folder, "bot create Rosie --owner nobody", "There is no account nobody");
    refused(folder, "bot token nobody", "There is no account nobody");
    refused(folder, &format!("bot delete {}", owner.name), "no bot");
    done(folder, "bot delete ROSIE");
    w.call(Some(&renewed), "GET /users/@me", Value::Null).want(401);
    assert_eq!(done(folder, &format!("bot list --owner {}", owner.id)), "There are no bots.\n");
    // Nobody else hears of it, nor speaks to it.
    let socket = folder.join("server.sock");
    assert_eq!(socket.metadata().expect("a socket").permissions().mode() & 0o077, 0);
    for (line, want) in [("bot", "subcommand"), ("bot create rosie", "--owner"), ("bot sing", "sing")] {
        let (code, _, err) = run(folder, line);
        assert!(code == Some(2) && err.contains(want), "{line}: {err}");
    }
}

#[test]
fn bots_while_no_server_runs() {
    let folder = temporary_folder();
    refused(folder.path(), "bot list", "there is no store in");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is made");
    let server = Server::start_in(folder.path(), &[]);
    let owner = server.register("ada");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!folder.path().join("server.sock").exists(), "gone with its server");
    let token = last_line(&done(folder.path(), "bot create rosie --owner ada"));
    assert!(done(folder.path(), "bot list").contains("rosie"));
    refused(folder.path(), "bot create rosie --owner ada", "Username is already taken");

    let mut server = Server::start_in(folder.path(), &[]);
    let me = server.http().get("/api/v1/users/@me", Some(&token)).want(200);
    let second = server.bot(&owner, "second");
    assert!(text(&me["id"]) < second.id, "ids rise all the same");
    // One that was killed leaves its socket; nobody listens there.
    server.kill();
    assert!(folder.path().join("server.sock").exists());
    let list = done(folder.path(), "bot list");
    assert!(list.contains("rosie") && list.contains("second"), "{list}");
    let server = Server::start_in(folder.path(), &[]);
    assert_eq!(server.operate(&json!({"do": "bot_list"})), Ok(list));
}

#[test]
fn requests_that_are_none() {
    let w = World::new(&[]);
    for (request, want) in [
        (json!({}), "Invalid do: this field is required"),
        (json!({"do": "dance"}), "another version"),
        (json!(["do"]), "must be a JSON object"),
        (json!({"do": "bot_create", "name": "x".repeat(70_000)}), "is too large"),
    ] {
        let refused = w.server.operate(&request).unwrap_err();
        assert!(refused.contains(want), "{refused}");
    }
    // Somebody who says nothing keeps nobody from being served.
    let mute =
        std::os::unix::net::UnixStream::connect(w.server.folder().join("server.sock")).expect("a socket");
    let user = w.user();
    shape(&w.get(&user, "/users/@me"), crate::world::USER);
    drop(mute);
    assert_eq!(w.server.operate(&json!({"do": "bot_list"})), Ok("There are no bots.\n".to_owned()));
}

#[test]
fn tiers_and_badges_are_in_force_at_once() {
    let w = World::new(&["user_features.alpha_registration_enabled=false"]);
    let (folder, place) = (w.server.folder(), w.place());
    let user = w.member(&place);
    let features = || w.get(&user, "/users/@me/features");
    assert_eq!((&features()["tier"], &features()["badges"]), (&json!("standard"), &json!([])));
    let line = format!("POST /channels/{}/messages", place.channel);
    let long = json!({"content": "x".repeat(2_001)});
    w.refused(&user, &line, long.clone(), 400);
    let said = done(folder, &format!("user tier {} premium --days 30", user.name));
    assert_eq!(said, format!("{} has tier premium for 30 days.\n", user.name));
    let limits = features()["tier_limits"].clone();
    assert_eq!((&limits["name"], &limits["multiplier"]), (&json!("premium"), &json!(3)));
    assert_eq!(
        (&limits["max_voice_minutes_per_day"], &limits["custom_emoji_slots"]),
        (&json!(-1), &json!(250))
    );
    w.ok(&user, &line, long);
    let mut socket = w.server.gateway();
    socket.identify(&user.token);
    done(folder, &format!("user badge-add {} verified", user.id));
    assert_eq!(socket.event("USER_UPDATE")["user"]["badges"], json!(["verified"]));
    let badge = &features()["badges"][0];
    shape(badge, "name: str, display_name: str, description: str, icon: str, color: str");
    assert_eq!(w.get(&place.owner, &format!("/users/{}", user.id))["badges"], json!(["verified"]));
    let message = w.message(&user, &place.channel, "hello");
    let message = w.get(&place.owner, &format!("/channels/{}/messages/{message}", place.channel));
    assert_eq!(message["author_badges"], json!(["verified"]));
    let shown = done(folder, &format!("user show {}", user.name));
    assert!(shown.contains("Tier: premium until") && shown.contains("Badges: verified"), "{shown}");
    done(folder, &format!("user badge-remove {} verified", user.name));
    assert_eq!(w.get(&user, "/users/@me")["badges"], json!([]));
    refused(folder, &format!("user tier {} gold", user.name), "must be one of standard");
    refused(folder, "user tier nobody staff", "There is no account nobody");
}
