//! What administrators do to the server that runs, and what becomes of it for others.

use std::time::{Duration, Instant};

use crate::admin_login::session;
use crate::support::{Answer, PASSWORD, PATIENCE, Socket, User, Value, json};
use crate::uploads;
use crate::world::{World, column, shape, success, text};

cases![
    admin_operation_list,
    admin_log_level_set,
    admin_configuration_reload,
    admin_drain_set,
    admin_disconnect,
    admin_backup_start,
    admin_verify_start,
    admin_reindex_start,
    admin_key_rotate,
];

const STATE: &str = "log_level: str, draining: bool, connections: int, jobs: list";
const JOB: &str = "kind: str, state: str, started_at: int?, started_by: str?, ended_at: int?, progress: int?, message: str?";
const RECONNECT: &str = "{\"d\":null,\"op\":7}";

fn call(w: &World, line: &str, body: Value) -> Answer {
    w.call(Some(&session(w)), line, body)
}

fn state(w: &World) -> Value {
    call(w, "GET /admin/operations", Value::Null).want(200)
}

fn job(w: &World, kind: &str) -> Option<Value> {
    state(w)["jobs"].as_array().unwrap().iter().find(|job| job["kind"] == kind).cloned()
}

/// What a job came to.
#[track_caller]
fn ended(w: &World, kind: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = job(w, kind).expect("it was begun");
        shape(&job, JOB);
        if job["state"] != "running" {
            assert_eq!(job["started_by"], "admin");
            assert!(job["ended_at"].as_u64() >= job["started_at"].as_u64(), "{job}");
            return job;
        }
        assert_eq!(job["ended_at"], Value::Null);
        assert!(Instant::now() < deadline, "not in time: {job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The newest line of the audit log: action, target and what is said of it.
fn audited(w: &World) -> [Value; 4] {
    let line = call(w, "GET /admin/audit-log?limit=1", Value::Null).want(200)[0].clone();
    assert_eq!(line["admin_username"], "admin");
    ["action", "target", "before", "after"].map(|key| line[key].clone())
}

fn admin_operation_list(w: &World) {
    let user = w.user();
    let lines = [
        "GET /admin/operations",
        "PUT /admin/operations/log-level",
        "POST /admin/operations/reload",
        "PUT /admin/operations/drain",
        "POST /admin/operations/disconnect",
        "POST /admin/operations/backup",
        "POST /admin/operations/verify",
        "POST /admin/operations/reindex",
        "POST /admin/operations/keys/rotate",
    ];
    for line in lines {
        w.anyone(line, Value::Null).want(401);
        w.call(Some(&user.token), line, Value::Null).want(401);
    }
    let socket = w.server.gateway();
    // Connections are counted at the end of a turn; a store that is new is brought to how it is to lie.
    let rests = |now: &Value| now["connections"] == 1 && now["jobs"] == json!([]);
    let deadline = Instant::now() + PATIENCE;
    let states = std::iter::repeat_with(|| state(w)).take_while(|_| Instant::now() < deadline);
    let now = states.into_iter().find(rests).expect("it comes to rest");
    shape(&now, STATE);
    assert_eq!((&now["log_level"], &now["draining"], &now["jobs"]), (&json!("INFO"), &json!(false), &json!([])));
    drop(socket);
    assert_eq!(call(w, "POST /admin/operations/dance", Value::Null).status, 404);
    let root = w.server.http().get("/admin/operations", Some(&session(w))).want(200);
    assert_eq!(root["draining"], false);
}

fn admin_log_level_set(w: &World) {
    let line = "PUT /admin/operations/log-level";
    for bad in [json!({}), json!({"level": "LOUD"}), json!({"level": 7}), json!({"level": null})] {
        call(w, line, bad).want(400);
    }
    w.get(&w.user(), "/users/@me/settings");
    assert_eq!(call(w, line, json!({"level": "DEBUG"})).want(200)["log_level"], "DEBUG");
    assert_eq!(audited(w), ["operate", "log_level", "INFO", "DEBUG"].map(|text| json!(text)));
    w.get(&w.user(), "/users/@me");
    let log = w.server.log_with("route=\"me_get\"");
    assert!(!log.contains("route=\"setting_list\""), "{log}");
    assert_eq!(call(w, line, json!({"level": "ERROR"})).want(200)["log_level"], "ERROR");
    assert_eq!(call(w, line, json!({"level": "INFO"})).want(200)["log_level"], "INFO");
    w.anyone("GET /version", Value::Null);
    assert!(!w.server.log().contains("route=\"version\""));
}

fn admin_configuration_reload(w: &World) {
    let line = "POST /admin/operations/reload";
    let nothing = json!({"applied": [], "restart_needed": []});
    assert_eq!(call(w, line, Value::Null).want(200), nothing);
    assert_eq!(audited(w)[1], "configuration");
    let file = w.server.folder().join(".plexichat/config.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[logging]\nlevel = \"WARN\"\n[polls]\nmax_options = 7\n");
    let reloaded = call(w, line, Value::Null);
    // The file was not there when the server started: it is found all the same.
    assert_eq!(reloaded.want(200), json!({"applied": ["logging.level"], "restart_needed": ["polls.max_options"]}));
    assert_eq!(state(w)["log_level"], "WARN");
    write("[logging]\nlevel = \"LOUD\"\n[nonsense]\nx = 1\n");
    let refused = call(w, line, Value::Null).want(409);
    let why = text(&refused["error"]["message"]);
    assert!(why.contains("logging.level") && why.contains("nonsense"), "{why}");
    assert_eq!(state(w)["log_level"], "WARN");
    std::fs::remove_file(&file).unwrap();
    call(w, line, Value::Null).want(200);
    assert_eq!(state(w)["log_level"], "INFO");
}

/// Sent away as the contract has it.
#[track_caller]
fn sent_away(socket: &mut Socket) {
    let told = std::iter::repeat_with(|| socket.json()).find(|frame| frame["op"] == 7).unwrap();
    assert_eq!(told.to_string(), RECONNECT);
    assert_eq!(socket.closed(), (4000, "Reconnect".to_owned()));
}

fn resumed(w: &World, user: &User, session_id: &Value) -> Value {
    let mut socket = w.server.gateway();
    socket.send(&json!({"op": 6, "d": {"token": user.token, "session_id": session_id, "seq": 1}}));
    socket.json()
}

fn admin_drain_set(w: &World) {
    let line = "PUT /admin/operations/drain";
    for bad in [
        json!({}),
        json!({"enabled": "yes"}),
        json!({"enabled": true, "spread_seconds": 3601}),
        json!({"enabled": true, "spread_seconds": -1}),
    ] {
        call(w, line, bad).want(400);
    }
    let users = [w.user(), w.user(), w.user()];
    let mut sockets = users.each_ref().map(|_| w.server.gateway());
    let ready = [0, 1, 2].map(|index| sockets[index].identify(&users[index].token));
    // Slowly: nobody has to go at once, and it can be undone.
    let on = call(w, line, json!({"enabled": true, "spread_seconds": 3600})).want(200);
    assert_eq!((&on["draining"], &on["connections"]), (&json!(true), &json!(3)));
    assert_eq!(audited(w), [json!("drain_set"), json!("server"), Value::Null, json!("on, over 3600 s")]);
    let not_ready = w.root("GET", "/health/ready");
    assert_eq!((not_ready.status, not_ready.json()["reason"].clone()), (503, json!("draining")));
    w.root("GET", "/health").want(200);
    w.root("GET", "/health/live").want(200);
    // Nobody is taken in; what is asked over HTTP goes on.
    let mut late = w.server.gateway();
    late.send(&json!({"op": 2, "d": {"token": users[0].token}}));
    sent_away(&mut late);
    w.get(&users[0], "/users/@me");
    assert_eq!(call(w, line, json!({"enabled": false})).want(200)["draining"], false);
    assert_eq!(audited(w)[3], "off");
    w.root("GET", "/health/ready").want(200);
    w.server.gateway().identify(&users[0].token);
    // At once.
    call(w, line, json!({"enabled": true, "spread_seconds": 0})).want(200);
    sockets.iter_mut().for_each(sent_away);
    assert_eq!(resumed(w, &users[1], &ready[1]["session_id"]).to_string(), RECONNECT);
    call(w, line, json!({"enabled": false})).want(200);
    // Sessions have waited.
    assert_eq!(resumed(w, &users[1], &ready[1]["session_id"])["t"], "RESUMED");
    assert_eq!(resumed(w, &users[2], &ready[2]["session_id"])["t"], "RESUMED");
    // Over a second: not all of them in the first half of it.
    let begun = Instant::now();
    let mut many: Vec<Socket> = (0..8).map(|_| w.server.gateway()).collect();
    call(w, line, json!({"enabled": true, "spread_seconds": 2})).want(200);
    let mut times: Vec<Duration> = many
        .iter_mut()
        .map(|socket| {
            sent_away(socket);
            begun.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[7] > Duration::from_millis(1_200), "{times:?}");
    call(w, line, json!({"enabled": false})).want(200);
}

fn admin_disconnect(w: &World) {
    let line = "POST /admin/operations/disconnect";
    let (user, other) = (w.user(), w.user());
    let login = json!({"username": user.name, "password": PASSWORD});
    let second = text(&w.anyone("POST /auth/login", login).want(200)["token"]);
    for bad in [json!({}), json!({"user_id": user.id, "session_id": "1"}), json!({"user_id": "x"}), json!({"session_id": -1})] {
        call(w, line, bad).want(400);
    }
    for absent in [json!({"user_id": "999"}), json!({"session_id": "999"})] {
        call(w, line, absent).want(404);
    }
    let [mut one, mut two, mut three] = [(); 3].map(|()| w.server.gateway());
    let ready = one.identify(&user.token);
    two.identify(&second);
    three.identify(&other.token);
    let sessions = w.call(Some(&second), "GET /auth/sessions", Value::Null).want(200);
    let current = sessions.as_array().unwrap().iter().find(|one| one["current"] == true).expect("one of them");
    let id = text(&current["id"]);
    success(&call(w, line, json!({"session_id": id})).want(200));
    assert_eq!(audited(w), [json!("disconnect"), json!(user.id), Value::Null, json!(format!("session {id}"))]);
    sent_away(&mut two);
    success(&call(w, line, json!({"user_id": user.id})).want(200));
    assert_eq!(audited(w)[1..], [json!(user.id), Value::Null, Value::Null]);
    sent_away(&mut one);
    // They come back, and nobody else was meant.
    assert_eq!(resumed(w, &user, &ready["session_id"])["t"], "RESUMED");
    w.get(&user, "/users/@me");
    three.send(&json!({"op": 1, "d": null}));
    assert_eq!(three.json()["op"], 11);
}

fn admin_backup_start(w: &World) {
    let user = w.user();
    let notes = text(&w.get(&user, "/users/@me/notes")["id"]);
    w.message(&user, &notes, "kept for ever");
    call(w, "POST /admin/operations/backup", Value::Null).want(200);
    let done = ended(w, "backup");
    assert_eq!(done["state"], "done", "{done}");
    let backups = std::fs::read_dir(w.server.folder().join("backups")).unwrap();
    let backups: Vec<_> = backups.map(|entry| entry.unwrap().path()).collect();
    let [backup] = &backups[..] else { panic!("{backups:?}") };
    assert!(text(&done["message"]).contains(&*backup.to_string_lossy()), "{done}");
    let [_, action, _, after] = audited(w);
    assert_eq!((&action, text(&after)), (&json!("backup"), backup.file_name().unwrap().to_string_lossy().into()));
    let verify = crate::support::command(w.server.folder()).arg("verify").arg(backup).output().unwrap();
    assert!(verify.status.success() && String::from_utf8_lossy(&verify.stdout).contains("All is well."));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(backup).unwrap().permissions().mode() & 0o077, 0);
}

fn admin_verify_start(w: &World) {
    call(w, "POST /admin/operations/verify", Value::Null).want(200);
    let done = ended(w, "verify");
    assert_eq!(done["state"], "done", "{done}");
    assert!(text(&done["message"]).ends_with("All is well."), "{done}");
    assert_eq!(audited(w)[1], "verify");
    // A file that is not what was sent is found.
    let place = w.place();
    let sent = uploads::upload(w, &place.owner, &place.channel, "a.txt", "text/plain", b"to be damaged").want(200);
    uploads::send(w, &place.owner, &place.channel, &[&sent]);
    let hash = text(&sent["hash"]);
    let path = w.server.folder().join("blobs").join(&hash[..2]).join(&hash[2..]);
    let bytes = std::fs::read(&path).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    call(w, "POST /admin/operations/verify", Value::Null).want(200);
    let done = ended(w, "verify");
    assert!(done["state"] == "failed" && text(&done["message"]).contains("DAMAGED"), "{done}");
    std::fs::write(&path, bytes).unwrap();
}

fn admin_reindex_start(w: &World) {
    let place = w.place();
    let id = w.message(&place.owner, &place.channel, "looked for anew");
    call(w, "POST /admin/operations/reindex", Value::Null).want(200);
    let done = ended(w, "reindex");
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(audited(w)[1], "reindex");
    w.server.log_with("an administrator has asked for it");
    let found = w.get(&place.owner, "/search/messages?query=anew");
    assert!(found.to_string().contains(&id), "{found}");
}

fn admin_key_rotate(w: &World) {
    let place = w.place();
    let content = b"sealed by the first key".to_vec();
    let sent = uploads::upload(w, &place.owner, &place.channel, "k.txt", "text/plain", &content).want(200);
    uploads::send(w, &place.owner, &place.channel, &[&sent]);
    let hash = text(&sent["hash"]);
    let path = w.server.folder().join("blobs").join(&hash[..2]).join(&hash[2..]);
    let before = std::fs::read(&path).unwrap();
    let begun = call(w, "POST /admin/operations/keys/rotate", Value::Null).want(200);
    assert_eq!(column(&begun["jobs"], "kind").last(), Some(&json!("key_rotation")));
    assert_eq!(audited(w)[1], "key_rotation");
    // One at a time: files follow a moment later.
    let refused = call(w, "POST /admin/operations/keys/rotate", Value::Null).want(409);
    assert!(text(&refused["error"]["message"]).contains("under way"));
    assert_eq!(audited(w)[1], "key_rotation");
    assert_eq!(ended(w, "key_rotation")["state"], "done");
    let after = std::fs::read(&path).unwrap();
    // Its own key, sealed: after a mark and a version, twice; what is sealed with that is as it was.
    let body = 17 + 2 * 61;
    assert!(before[..body] != after[..body] && before[body..] == after[body..]);
    let answer = w.call(Some(&place.owner.token), &format!("GET {}", uploads::path(&sent)), Value::Null);
    assert_eq!((answer.status, answer.body), (200, content));
    let lines = call(w, "GET /admin/audit-log", Value::Null).want(200);
    let rotations = column(&lines, "target").into_iter().filter(|target| target == "key_rotation").count();
    assert_eq!(rotations, 1, "what was refused was not done");
}
