//! The command line of the real program.

use std::path::Path;
use std::process::Output;

use plexichat::api::routes::ROUTES;

use crate::support::{PASSWORD, Server, command, json, temporary_folder};

/// Runs a command to its end.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().expect("the program starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn says_what_it_is_and_can() {
    let folder = temporary_folder();
    let version = run(folder.path(), &["--version"]);
    assert!(version.status.success());
    let want = format!("plexichat {} (API level a.1.0-49)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(out(&version), want);
    for arguments in [&["--help"][..], &["help"], &["-h"]] {
        let help = run(folder.path(), arguments);
        assert!(help.status.success());
        for part in ["serve", "config", "check", "backup", "restore", "routes", "--set", "Examples:"] {
            assert!(out(&help).contains(part), "{part}");
        }
    }
    let help = out(&run(folder.path(), &["config", "--help"]));
    for row in plexichat::config::OPTIONS {
        assert!(help.contains(row.help), "{}", row.key);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was written");
}

#[test]
fn lists_the_routes() {
    let folder = temporary_folder();
    let text = out(&run(folder.path(), &["routes"]));
    assert_eq!(text.lines().count(), ROUTES.len());
    for (line, route) in text.lines().zip(ROUTES) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2]), (route.method.as_str(), route.name));
        assert!(words[1].ends_with(route.path), "{line}");
    }
}

#[test]
fn shows_the_configuration_in_force() {
    let folder = temporary_folder();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, "[server]\nport = 9001\nhost = \"127.0.0.2\"\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let mut shown = command(folder.path());
    shown.env("PLEXICHAT_SERVER__PORT", "9002").args([
        "--config",
        file,
        "--set",
        "api.timestamp_unit=ms",
        "config",
    ]);
    shown.args(["--set", "rate_limiting.bypass_secret=correct-horse-battery"]);
    let shown = shown.output().expect("the program starts");
    assert!(shown.status.success(), "{}", err(&shown));
    let text = out(&shown);
    let line = |start: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in\n{text}"))
    };
    assert!(line("port = 9002").contains("PLEXICHAT_SERVER__PORT"));
    assert!(line("host = \"127.0.0.2\"").contains("own.toml:3"));
    assert!(line("timestamp_unit = \"ms\"").contains("--set"));
    assert!(!text.contains("horse"), "secrets are not shown");
    // The sample is a file that loads, with nothing changed.
    let sample = out(&run(folder.path(), &["config", "--sample"]));
    let path = folder.path().join("sample.toml");
    std::fs::write(&path, sample).expect("a file");
    let loaded = run(folder.path(), &["config", "--config", path.to_str().expect("UTF-8")]);
    assert!(loaded.status.success(), "{}", err(&loaded));
}

#[test]
fn refuses_what_is_wrong_with_its_place() {
    let folder = temporary_folder();
    let file = folder.path().join("bad.toml");
    let text = "[server]\nport = 99999\nprot = 1\n\n[nothing]\nx = 1\n\n[api]\ntimestamp_unit = \"h\"\n";
    std::fs::write(&file, text).expect("a file");
    for command in ["serve", "config", "check"] {
        let refused = run(folder.path(), &["--config", file.to_str().expect("UTF-8"), command]);
        assert_eq!(refused.status.code(), Some(2), "{command}");
        let text = err(&refused);
        for part in ["bad.toml:2", "bad.toml:3", "server.port", "bad.toml:9", "timestamp_unit"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
    for (arguments, part) in [
        (&["--set", "server.prot=1"][..], "server.prot"),
        (&["--set", "server.port=x"], "server.port"),
        (&["--set", "server.port"], "KEY=VALUE"),
        (&["--port", "70000"], "--port"),
        (&["--prot", "1"], "--prot"),
        (&["sing"], "sing"),
        (&["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (&["backup"], "<FOLDER>"),
    ] {
        let refused = run(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(err(&refused).contains(part), "{arguments:?}: {}", err(&refused));
    }
    let mut environment = command(folder.path());
    let refused = environment.env("PLEXICHAT_SERVER__PORT", "many").output().expect("the program starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("PLEXICHAT_SERVER__PORT"));
}

#[test]
fn checks_the_machine() {
    let folder = temporary_folder();
    let fits = run(folder.path(), &["check"]);
    // The tests of this suite run servers here, so the machine fits.
    assert_eq!(fits.status.code(), Some(0), "{}", out(&fits));
    let text = out(&fits);
    for part in ["kernel", "io_uring", "open files", "free disk", "This machine fits"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn prints_what_mends_the_machine() {
    let folder = temporary_folder();
    // More than any machine has.
    let wanting = ["check", "--commands", "--set", "websocket.socket_send_buffer=64MiB"];
    let commands = run(folder.path(), &wanting);
    assert_eq!(commands.status.code(), Some(0), "{}", out(&commands));
    let text = out(&commands);
    let live: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for line in &live {
        assert!(
            ["sysctl -w ", "echo ", "for ", "chmod "].iter().any(|begin| line.starts_with(begin)),
            "{line}"
        );
    }
    let max = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap_or_default();
    let too_small = max.trim().parse::<u64>().is_ok_and(|max| max < 64 << 20);
    assert_eq!(live.contains(&"sysctl -w net.core.wmem_max=67108864"), too_small, "{text}");
    // What a shell would make of it, without doing it.
    let script = folder.path().join("commands.sh");
    std::fs::write(&script, &text).expect("written");
    let parsed = std::process::Command::new("sh").arg("-n").arg(&script).output().expect("there is a shell");
    assert!(parsed.status.success(), "{text}");
}

#[test]
fn a_machine_that_cannot_run_it_fails_the_check() {
    let folder = temporary_folder();
    let refused = run(folder.path(), &["check", "--set", "store.map_size=64TiB", "--cores", "256"]);
    let text = out(&refused);
    // 64 TiB and 1 GiB of addresses are there on most machines, 256 cores on few: whichever, the code says the same.
    let want = if text.contains("\nERROR ") || text.starts_with("ERROR ") { 1 } else { 0 };
    assert_eq!(refused.status.code(), Some(want), "{text}");
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 8000000 && exec \"$0\" check --data \"$1\""])
        .arg(env!("CARGO_BIN_EXE_plexichat"))
        .arg(folder.path())
        .env_clear()
        .output()
        .expect("there is a shell");
    let text = out(&limited);
    assert_eq!(limited.status.code(), Some(1), "{text}");
    assert!(text.contains("ERROR   address space") && text.contains("must be mended"), "{text}");
}

#[test]
fn plans_for_a_load() {
    let folder = temporary_folder();
    let planned = run(folder.path(), &["check", "--plan", "sessions=1000000,posts=1000,members=1000"]);
    assert_eq!(planned.status.code(), Some(0), "{}", out(&planned));
    for part in
        ["1,000,000 sessions, 1,000 posts/s", "together", "cores ", "memory ", "network, out", "open files"]
    {
        assert!(out(&planned).contains(part), "{part} in\n{}", out(&planned));
    }
    let refused = run(folder.path(), &["check", "--plan", "sessions=many,posts=1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("expected a number from 0 to 1e9"), "{}", err(&refused));
}

#[test]
fn one_server_for_a_folder_and_for_a_port() {
    let folder = temporary_folder();
    let server = Server::start_in(folder.path(), &[]);
    let (status, log) = Server::try_start_in(folder.path(), &[]).err().expect("refused");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(folder.path().to_str().expect("UTF-8")), "{log}");
    assert!(log.lines().any(|line| line.starts_with("plexichat: ")), "{log}");
    let other = temporary_folder();
    let port = format!("server.port={}", server.address().port());
    let (status, log) = Server::try_start_in(other.path(), &[&port]).err().expect("refused");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cannot listen") && log.contains("--port"), "{log}");
    server.http().get("/health", None).want(200);
}

#[test]
fn backs_up_while_it_runs_and_restores() {
    let (folder, place, fresh) = (temporary_folder(), temporary_folder(), temporary_folder());
    let copy = place.path().join("monday");
    let copy = copy.to_str().expect("UTF-8");
    let server = Server::start_in(folder.path(), &[]);
    let user = server.register("ada");
    let notes = server.http().get("/api/v1/users/@me/notes", Some(&user.token)).want(200);
    let path = format!("/api/v1/channels/{}/messages", notes["id"].as_str().expect("an id"));
    server.http().post(&path, Some(&user.token), &json!({"content": "before"})).want(200);
    let backup = run(folder.path(), &["backup", copy]);
    assert!(backup.status.success(), "{}", err(&backup));
    assert!(out(&backup).starts_with("Backed up"), "{}", out(&backup));
    server.http().post(&path, Some(&user.token), &json!({"content": "after"})).want(200);
    let again = run(folder.path(), &["backup", copy]);
    assert_eq!(again.status.code(), Some(1), "a backup is never overwritten");
    let running = run(folder.path(), &["restore", copy]);
    assert_eq!(running.status.code(), Some(1), "not under a running server");
    assert!(err(&running).starts_with("plexichat: "), "{}", err(&running));
    assert_eq!(server.stop().code(), Some(0));

    // To another folder, and over the store it came from, which is kept.
    for target in [fresh.path(), folder.path()] {
        let restored = run(target, &["restore", copy]);
        assert!(restored.status.success(), "{}", err(&restored));
        let server = Server::start_in(target, &[]);
        let login = json!({"username": "ada", "password": PASSWORD});
        server.http().post("/api/v1/auth/login", None, &login).want(200);
        let messages = server.http().get(&path, Some(&user.token)).want(200);
        assert_eq!(messages.as_array().map(Vec::len), Some(1));
        assert_eq!(messages[0]["content"], "before");
    }
    assert!(folder.path().join("data.mdb.before-restore").exists());
    let missing = run(fresh.path(), &["restore", "/no/such/folder"]);
    assert_eq!(missing.status.code(), Some(1));
    std::fs::write(Path::new(copy).join("data.mdb"), b"rubbish").expect("a file");
    let damaged = run(fresh.path(), &["restore", copy]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(err(&damaged).starts_with("plexichat: "), "{}", err(&damaged));
    // What was there is still there.
    let server = Server::start_in(fresh.path(), &[]);
    assert_eq!(server.http().get(&path, Some(&user.token)).want(200)[0]["content"], "before");
}

#[test]
fn what_was_answered_survives_a_kill() {
    let folder = temporary_folder();
    let mut server = Server::start_in(folder.path(), &[]);
    let user = server.register("ada");
    let notes = server.http().get("/api/v1/users/@me/notes", Some(&user.token)).want(200);
    let path = format!("/api/v1/channels/{}/messages", notes["id"].as_str().expect("an id"));
    let mut http = server.http();
    for index in 0..20 {
        http.post(&path, Some(&user.token), &json!({"content": index.to_string()})).want(200);
    }
    server.kill();
    let server = Server::start_in(folder.path(), &[]);
    let messages = server.http().get(&path, Some(&user.token)).want(200);
    assert_eq!(messages.as_array().map(Vec::len), Some(20));
}

#[test]
fn writes_times_in_milliseconds_when_told_so() {
    let server = Server::start(&["api.timestamp_unit=ms"]);
    let user = server.register("ada");
    let me = server.http().get("/api/v1/users/@me", Some(&user.token)).want(200);
    assert!(me["created_at"].as_u64().is_some_and(|at| at > 1_000_000_000_000), "{me}");
}
