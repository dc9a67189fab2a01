//! The whole tool against a small server on loopback: every scenario measures something, and faults of the
//! server are noticed.

mod fake;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use fake::Fault;
use simd_json::OwnedValue;
use simd_json::prelude::*;

const SEED: &str = "--users 12 --servers 3 --channels 2";

struct Run {
    dir: PathBuf,
}

impl Run {
    /// Seeds a fresh server: 12 users, 3 servers, 4 members each.
    fn seeded(name: &str, fault: Fault) -> Run {
        let dir = std::env::temp_dir().join(format!("plexichat-loadtest-{}-{name}", std::process::id()));
        let run = Run { dir };
        let base = fake::start(fault);
        let messages = if fault == Fault::RefusesPosts { 0 } else { 2 };
        let seed = format!("seed --base {base} {SEED} --messages {messages} --out {}", run.dir());
        let out = run.tool(&seed);
        assert!(out.status.success(), "{}", text(&out));
        assert_eq!(text(&out).contains("6 messages in"), messages > 0, "{}", text(&out));
        run
    }

    /// A folder for results, and nothing seeded.
    fn unseeded(name: &str) -> Run {
        let dir = std::env::temp_dir().join(format!("plexichat-loadtest-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Run { dir }
    }

    fn dir(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    fn tool(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_plexichat-loadtest")).args(line.split(' ')).output().unwrap()
    }

    /// Runs a scenario, over what was seeded unless the peer is plain; gives its exit and its JSON.
    fn scenario(&self, line: &str) -> (Output, OwnedValue) {
        let (name, options) = line.split_once(' ').unwrap();
        let json = self.dir.join("out.json");
        let dir = if options.contains("--peer plain") { String::new() } else { format!("{} ", self.dir()) };
        let out = self.tool(&format!("{name} {dir}{options} --json {}", json.display()));
        let mut bytes = fs::read(json).unwrap_or_else(|e| panic!("{e}: {}", text(&out)));
        (out, simd_json::to_owned_value(&mut bytes).unwrap())
    }

    /// Runs a scenario that must succeed; gives its JSON.
    fn measured(&self, line: &str) -> OwnedValue {
        let (out, json) = self.scenario(line);
        assert!(out.status.success(), "{line}: {}", text(&out));
        assert_eq!(json["ok"].as_bool(), Some(true));
        json
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn counter(json: &OwnedValue, name: &str) -> u64 {
    json["counters"].get_u64(name).unwrap_or_else(|| panic!("no {name} in {json}"))
}

fn gauge(json: &OwnedValue, name: &str) -> f64 {
    json["gauges"].get(name).and_then(|v| v.cast_f64()).unwrap_or_else(|| panic!("no {name} in {json}"))
}

fn samples(json: &OwnedValue, name: &str) -> u64 {
    json["latencies_us"]
        .get(name)
        .and_then(|l| l.get_u64("count"))
        .unwrap_or_else(|| panic!("no {name} in {json}"))
}

#[test]
fn seed_writes_what_was_made() {
    let run = Run::seeded("seed", Fault::RateLimits);
    let tokens = fs::read_to_string(run.dir.join("tokens.txt")).unwrap();
    assert_eq!(tokens.lines().filter(|t| t.ends_with(".secret")).count(), 12);
    let seed = simd_json::to_owned_value(&mut fs::read(run.dir.join("seed.json")).unwrap()).unwrap();
    let servers = seed.get_array("servers").unwrap();
    assert_eq!(servers.len(), 3);
    assert_eq!(servers[1]["owner"].as_u64(), Some(4));
    assert!(servers.iter().all(|s| s.get_array("channels").unwrap().len() == 2));
}

#[test]
fn idle_opens_and_holds_over_processes() {
    let run = Run::seeded("idle", Fault::Nothing);
    let pid = std::process::id();
    let json = run.measured(&format!("idle --sessions 20 --hold 1 --processes 2 --sources 2 --pid {pid}"));
    assert_eq!((counter(&json, "sessions_ready"), samples(&json, "ready")), (20, 20));
    assert!(samples(&json, "heartbeat") >= 20);
    for unit in ["anon", "rss", "kernel", "total"] {
        assert!(json["gauges"].get(&*format!("server_{unit}_bytes_per_session")).is_some(), "{unit}: {json}");
    }
    assert!(["connect", "upgrade", "hello"].iter().all(|stage| samples(&json, stage) == 20), "{json}");
}

#[test]
fn fanout_counts_every_delivery() {
    let run = Run::seeded("fanout", Fault::Nothing);
    for (options, posts, sessions) in [
        ("--posts 50 --in-flight 1", 50, 4),
        ("--posts 40 --in-flight 8 --sessions 10", 40, 10),
        ("--posts 30 --in-flight 4 --sessions 9 --processes 3", 30, 9),
    ] {
        let json = run.measured(&format!("fanout {options}"));
        assert_eq!((counter(&json, "posts"), samples(&json, "post")), (posts, posts), "{options}");
        assert_eq!(counter(&json, "deliveries"), posts * sessions, "{options}");
        assert_eq!(samples(&json, "delivery_to_all"), posts, "{options}");
        let len = gauge(&json, "received_bytes_per_delivery");
        assert!(len > 100.0 && len < 300.0, "an event is more than its content: {json}");
        assert_eq!(json["parameters"]["peer"].as_str(), Some("plexichat"));
    }
}

#[test]
fn plain_peers_are_measured_without_a_seed() {
    let run = Run::unseeded("plain");
    let pid = std::process::id();
    for (options, posts, sessions, len) in [
        ("--posts 50 --sessions 4", 50, 4, 100),
        ("--posts 40 --in-flight 8 --sessions 10 --content-len 37", 40, 10, 37),
        ("--posts 30 --in-flight 4 --sessions 9 --processes 3 --content-len 6000", 30, 9, 6000),
    ] {
        let base = fake::plain::start(Fault::Nothing);
        let json = run.measured(&format!("fanout --peer plain --base {base} {options} --pid {pid}"));
        assert_eq!((counter(&json, "posts"), counter(&json, "deliveries")), (posts, posts * sessions));
        assert_eq!(counter(&json, "sessions_ready"), sessions, "the one that posts is none of them");
        assert_eq!((samples(&json, "ready"), samples(&json, "delivery_to_all")), (sessions, posts));
        assert_eq!(gauge(&json, "received_bytes_per_delivery"), f64::from(len), "{options}");
        assert!(json["gauges"].get("server_cpu_s_per_million_deliveries").is_some(), "{json}");
        let parameters = &json["parameters"];
        assert_eq!(parameters["peer"].as_str(), Some("plain"));
        assert_eq!(parameters["content-len-of"].as_str(), Some("whole message"));
        assert!(parameters.get("users").is_none(), "nobody was seeded: {parameters}");
    }
    let base = fake::plain::start(Fault::Nothing);
    let line =
        |options: &str| run.measured(&options.replace("PLAIN", &format!("--peer plain --base {base}")));
    let json = line(&format!("idle PLAIN --sessions 20 --hold 0 --processes 2 --pid {pid}"));
    assert_eq!((counter(&json, "sessions_ready"), samples(&json, "ready")), (20, 20));
    assert!(json["gauges"].get("server_total_bytes_per_session").is_some(), "{json}");
    let json = line("connect-storm PLAIN --sessions 24 --rate 100");
    assert!(["connect", "upgrade", "ready"].iter().all(|stage| samples(&json, stage) == 24), "{json}");
    assert!(json["latencies_us"].get("hello").is_none(), "a plain peer says nothing first: {json}");
    let json = line("gets PLAIN --paths / --connections 2 --seconds 1 --warmup 0");
    assert!(
        counter(&json, "gets") > 10 && json["errors"].as_object().is_some_and(|e| e.is_empty()),
        "{json}"
    );
}

#[test]
fn plain_peers_that_fail_are_noticed() {
    let run = Run::unseeded("plain-fails");
    for (fault, error, ok) in [
        (Fault::LosesAPost, "post that did not reach every session", false),
        (Fault::Doubles, "messages repeated", false),
        (Fault::Alters, "messages altered", false),
        (Fault::RefusesPosts, "before READY: upgrade answered HTTP 403", false),
    ] {
        let base = fake::plain::start(fault);
        let (out, json) = run.scenario(&format!("fanout --peer plain --base {base} --sessions 4 --posts 30"));
        assert_eq!((out.status.success(), json["errors"].get_u64(error)), (ok, Some(1)), "{json}");
    }
    let base = "--base http://127.0.0.1:1";
    for (line, want) in [
        ("fanout --peer plain --sessions 2", "needs --base"),
        ("fanout --peer plain BASE", "give --sessions"),
        ("fanout --peer plain BASE --sessions 2 --content-len 36", "from 37"),
        ("fanout --peer plexichat BASE", "seed"),
        ("fanout DIR --peer plexichat --content-len 4001", "to 4000"),
        ("connect-storm --peer plain BASE --sessions 2 --churn 1", "--churn"),
        ("gets --peer plain BASE", "--paths"),
        ("posts --peer plain BASE", "Plexichat API"),
    ] {
        let dir = if line.contains("DIR") { Some(Run::seeded("plain-limits", Fault::Nothing)) } else { None };
        let line = line.replace("BASE", base).replace("DIR", dir.as_ref().map_or("", |run| run.dir()));
        let out = run.tool(&line);
        assert!(!out.status.success() && text(&out).contains(want), "{line}: {}", text(&out));
    }
}

#[test]
fn posts_and_chat_measure() {
    let run = Run::seeded("posts", Fault::Nothing);
    let json = run.measured("posts --connections 4 --seconds 1 --warmup 0 --processes 2");
    assert!(counter(&json, "posts") > 10);
    let json = run.measured("chat --rate 300 --seconds 1 --warmup 0 --sessions 3 --connections 8");
    assert!((200..400).contains(&counter(&json, "operations")), "{json}");
    assert!(
        ["post", "history", "typing", "reaction", "unreaction", "presence_gateway", "me"]
            .iter()
            .all(|kind| samples(&json, kind) > 0)
    );
    assert!(samples(&json, "delivery") > 0);
    let json =
        run.measured("chat --rate 200 --seconds 1 --warmup 0 --connections 4 --mix presence=1 --zipf 0");
    assert_eq!(samples(&json, "presence"), counter(&json, "operations"), "without sessions, over REST");
}

#[test]
fn requests_keep_a_rate() {
    let run = Run::seeded("rates", Fault::Nothing);
    for (line, count) in [
        ("posts --rate 200 --seconds 1 --warmup 0 --connections 4 --arrivals even --processes 2", "posts"),
        ("gets --rate 200 --seconds 1 --warmup 0 --connections 4 --arrivals even", "gets"),
    ] {
        let json = run.measured(line);
        assert!((195..=201).contains(&counter(&json, count)), "{line}: {json}");
    }
    let json = run.measured("gets --seconds 1 --warmup 0 --connections 2 --paths /users/@me,/channels/{channel}/messages?limit=50");
    let (me, page) = (samples(&json, "/users/@me"), samples(&json, "/channels/{channel}/messages?limit=50"));
    assert!(me > 10 && me.abs_diff(page) <= 4, "{json}");
    let (out, json) = run.scenario("gets --paths /nowhere --seconds 1 --warmup 0");
    assert!(!out.status.success() && json["errors"].get_u64("get: HTTP 404").is_some(), "{json}");
}

/// What was due while the tool itself stood still over the end of the load is sent all the same, and counts as late.
#[test]
fn a_standstill_of_the_tool_leaves_nothing_out() {
    let run = Run::seeded("standstill", Fault::Nothing);
    for (line, name) in [
        ("posts --rate 200 --seconds 2 --warmup 0 --connections 4 --arrivals even", "posts"),
        ("chat --rate 200 --seconds 2 --warmup 0 --connections 4 --arrivals even --mix me=1", "operations"),
    ] {
        let json = run.dir.join("out.json");
        let line = line.replacen(' ', &format!(" {} ", run.dir()), 1);
        let line = format!("{line} --json {}", json.display());
        let tool = Command::new(env!("CARGO_BIN_EXE_plexichat-loadtest"))
            .args(line.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(1_500));
        signal_children(tool.id(), libc::SIGSTOP);
        thread::sleep(Duration::from_millis(1_000));
        signal_children(tool.id(), libc::SIGCONT);
        let out = tool.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        let json = simd_json::to_owned_value(&mut fs::read(json).unwrap()).unwrap();
        assert!((399..=401).contains(&counter(&json, name)), "{json}");
    }
}

/// The processes that make the load.
fn signal_children(pid: u32, signal: i32) {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert!(!children.trim().is_empty());
    for child in children.split_ascii_whitespace() {
        // SAFETY: takes numbers only; a child is not reaped before the tool ends.
        assert_eq!(unsafe { libc::kill(child.parse().unwrap(), signal) }, 0);
    }
}

#[test]
fn a_connect_storm_and_its_churn_add_up() {
    let run = Run::seeded("storm", Fault::Nothing);
    let json = run.measured("connect-storm --sessions 24 --rate 100 --processes 2");
    assert_eq!((counter(&json, "sessions_ready"), samples(&json, "ready")), (24, 24));
    let pid = std::process::id();
    let json = run.measured(&format!(
        "connect-storm --sessions 24 --churn 60 --seconds 2 --away-ms 100 --processes 2 --pid {pid}"
    ));
    let (resumed, identified) = (counter(&json, "churn_resumed"), counter(&json, "churn_identified"));
    assert!(resumed > 0 && identified > 0, "{json}");
    assert_eq!(counter(&json, "churn_dropped"), resumed + identified, "{json}");
    assert_eq!(counter(&json, "churn_posts"), counter(&json, "churn_dropped"), "{json}");
    assert!(json["gauges"].get("server_anon_drift").is_some(), "{json}");
    let line = "connect-storm --sessions 4 --churn 20 --seconds 1 --drift-max 0.1";
    let (out, _) = run.scenario(line);
    assert!(!out.status.success() && text(&out).contains("--pid"), "{}", text(&out));
    let run = Run::seeded("storm-refused", Fault::RefusesResume);
    let (out, json) = run.scenario("connect-storm --sessions 8 --churn 40 --seconds 1 --away-ms 50");
    assert!(!out.status.success() && json["errors"].get_u64("resumes refused").is_some(), "{json}");
}

#[test]
fn a_resume_storm_brings_everybody_back() {
    let run = Run::seeded("cut", Fault::Nothing);
    for options in ["", "--resume-rate 50", "--processes 2 --concurrency 2"] {
        let line = format!("resume-storm --rate 100 --away-ms 300 --sessions 12 {options}");
        let json = run.measured(line.trim_end());
        assert_eq!(counter(&json, "deliveries"), counter(&json, "messages_stored") * 12, "{options}");
        assert_eq!((counter(&json, "sessions_left"), counter(&json, "sessions_resumed")), (12, 12));
        assert_eq!((samples(&json, "resumed"), samples(&json, "caught_up")), (12, 12), "{options}");
        // About thirty posts while they were away.
        assert!(counter(&json, "events_replayed") >= 12 * 20, "{options}: {json}");
    }
}

#[test]
fn a_resume_storm_notices_loss_repeats_and_refusals() {
    for (fault, error) in [
        (Fault::LosesOnResume, "messages missing"),
        (Fault::RepeatsOnResume, "messages repeated"),
        (Fault::RefusesResume, "resumes refused or sessions lost"),
    ] {
        let run = Run::seeded(&format!("cut-{}", error.replace(' ', "-")), fault);
        let (out, json) = run.scenario("resume-storm --rate 100 --away-ms 200 --catch-up 1");
        assert!(!out.status.success(), "{error}");
        assert!(json["errors"].get_u64(error).is_some(), "{error}: {json}");
    }
}

#[test]
fn slow_readers_are_closed_and_come_back() {
    let run = Run::seeded("slow", Fault::Nothing);
    let line = "slow-readers --sessions 8 --slow 0.25 --rate 300 --seconds 3 --content-len 4000";
    let json = run.measured(line);
    assert_eq!((counter(&json, "healthy_sessions"), counter(&json, "slow_sessions")), (6, 2));
    assert_eq!((counter(&json, "slow_sessions_closed"), counter(&json, "slow_sessions_resumed")), (2, 2));
    assert_eq!(counter(&json, "deliveries"), counter(&json, "messages_stored") * 8);
    let (before, during) = (samples(&json, "delivery_before"), samples(&json, "delivery_during"));
    assert_eq!(before + during, counter(&json, "messages_stored") * 6);
    assert!(before.abs_diff(during) <= 12, "{json}");
    let run = Run::seeded("slow-hurts", Fault::LosesWhenSlow);
    let (out, json) = run.scenario(&format!("{line} --catch-up 1"));
    assert!(!out.status.success() && json["errors"].get_u64("messages missing").is_some(), "{json}");
}

#[test]
fn heartbeats_are_timed_under_other_load() {
    let run = Run::seeded("beats", Fault::Nothing);
    let line = "heartbeat --sessions 6 --beat-ms 50 --seconds 1 --warmup 0 --connections 2";
    for (during, latency) in
        [("none", None), ("login-storm", Some("login")), ("history-scan", Some("history_page"))]
    {
        let json = run.measured(&format!("{line} --during {during} --processes 2"));
        assert!((60..=140).contains(&samples(&json, "heartbeat")), "{during}: {json}");
        assert!(latency.is_none_or(|name| samples(&json, name) > 10), "{during}: {json}");
    }
    // 130 messages are a full page and a short one.
    let json = run.measured(&format!("{line} --during history-scan --rate 100 --arrivals even"));
    let (read, pages) = (counter(&json, "messages_read"), samples(&json, "history_page"));
    assert!(read.abs_diff(pages * 65) <= 200, "{json}");
    let (out, _) = run.scenario(&format!("{line} --p99-max-ms 0.0001"));
    assert!(!out.status.success() && text(&out).contains("--p99-max-ms"), "{}", text(&out));
    let out = run.tool(&format!("heartbeat {} --sessions 12 --during login-storm", run.dir()));
    assert!(!out.status.success() && text(&out).contains("fewer --sessions"), "{}", text(&out));
}

#[test]
fn resume_accepts_a_server_that_keeps_its_promise() {
    let run = Run::seeded("resume", Fault::Nothing);
    let json =
        run.measured("resume --rate 200 --seconds 2 --drops 20 --away-ms 200 --sessions 8 --processes 2");
    assert_eq!(counter(&json, "deliveries"), counter(&json, "messages_stored") * 8);
    assert!(counter(&json, "sessions_resumed") > 10);
}

#[test]
fn resume_notices_loss_and_repeats() {
    for (fault, error) in
        [(Fault::LosesOnResume, "messages missing"), (Fault::RepeatsOnResume, "messages repeated")]
    {
        let run = Run::seeded(&error.replace(' ', "-"), fault);
        let (out, json) = run.scenario("resume --rate 200 --seconds 1 --drops 20 --away-ms 100 --catch-up 2");
        assert!(!out.status.success());
        assert!(json["errors"].get_u64(error).is_some(), "{json}");
        assert!(json["errors"].get_u64("event numbers with a gap or repeat").is_some(), "{json}");
    }
}

#[test]
fn a_run_that_measures_nothing_fails_with_advice() {
    let run = Run::seeded("refuses", Fault::RefusesPosts);
    for line in ["posts --connections 2 --seconds 1 --warmup 0", "fanout --posts 5"] {
        let (out, json) = run.scenario(line);
        assert!(!out.status.success(), "{line}");
        assert!(json["errors"].get_u64("post: HTTP 403").is_some(), "{json}");
    }
    let run = Run::seeded("sessions", Fault::RefusesSessions);
    let (out, _) = run.scenario("idle --sessions 3 --hold 1");
    assert!(!out.status.success());
    assert!(text(&out).contains("identify_per_ip_per_minute"), "{}", text(&out));
    let out = run.tool(&format!("posts {} --base http://127.0.0.1:1 --seconds 1", run.dir()));
    assert!(!out.status.success() && text(&out).contains("start it"), "{}", text(&out));
    let out = run.tool(&format!("idle {} --base http://10.9.9.9 --sessions 1", run.dir()));
    assert!(!out.status.success() && text(&out).contains("--allow-remote"), "{}", text(&out));
    let out = run.tool("idle /nonexistent --sessions 1");
    assert!(!out.status.success() && text(&out).contains("seed --out"), "{}", text(&out));
}
