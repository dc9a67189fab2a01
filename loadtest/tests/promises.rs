//! A server that breaks a promise fails every scenario that could notice it, whatever else was measured; and what a run
//! has found out is not lost when it is broken off.

mod fake;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fake::Fault;
use simd_json::OwnedValue;
use simd_json::prelude::*;

struct Run {
    dir: PathBuf,
    base: String,
}

impl Run {
    /// Seeds a server with 12 users in 3 servers.
    fn seeded(name: &str, fault: Fault) -> Run {
        let dir = std::env::temp_dir().join(format!("plexichat-promises-{}-{name}", std::process::id()));
        let run = Run { dir, base: fake::start(fault) };
        let messages = if fault == Fault::RefusesMost { "" } else { " --messages 2" };
        let out = run.seed(messages);
        assert!(out.status.success(), "{}", text(&out));
        run
    }

    fn seed(&self, options: &str) -> Output {
        let line = format!("seed --base {} --users 12 --servers 3 --out {}", self.base, self.dir());
        tool(&format!("{line}{options}")).output().unwrap()
    }

    fn dir(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    fn command(&self, line: &str) -> Command {
        let (name, options) = line.split_once(' ').unwrap();
        tool(&format!("{name} {} {options} --json {}", self.dir(), self.dir.join("out.json").display()))
    }

    /// The errors in the file of the last run.
    fn json(&self) -> OwnedValue {
        simd_json::to_owned_value(&mut fs::read(self.dir.join("out.json")).unwrap()).unwrap()
    }

    /// Whether a scenario succeeds, and its file.
    fn scenario(&self, line: &str) -> (bool, OwnedValue) {
        let out = self.command(line).output().unwrap();
        (out.status.success(), self.json())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn tool(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexichat-loadtest"));
    command.args(line.split_ascii_whitespace());
    command
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Scenarios in which sessions see posts, short, with a few posts under way.
const SEEING: [&str; 6] = [
    "fanout --posts 40 --in-flight 4",
    "chat --rate 300 --seconds 1 --warmup 0 --sessions 6 --connections 4 --mix post=1,me=1 --zipf 0",
    "connect-storm --sessions 12 --churn 60 --seconds 1 --away-ms 50 --resumes 1",
    "resume --rate 100 --seconds 1 --drops 5 --away-ms 50 --catch-up 1",
    "resume-storm --rate 100 --away-ms 100 --catch-up 1",
    "slow-readers --rate 100 --seconds 1 --slow 0.25 --content-len 60 --catch-up 1",
];

fn fails(fault: Fault, name: &str, scenarios: &[&str], errors: &[&str]) {
    let scenarios = scenarios.iter().enumerate();
    thread::scope(|scope| {
        for (i, line) in scenarios {
            scope.spawn(move || {
                let run = Run::seeded(&format!("{name}-{i}"), fault);
                let (ok, json) = run.scenario(line);
                let found = errors.iter().any(|error| json["errors"].get_u64(*error).is_some());
                assert!(!ok && found, "{name}: {line}: {json}");
                assert_eq!(json["ok"].as_bool(), Some(false));
            });
        }
    });
}

#[test]
fn nothing_wrong_is_no_fault() {
    thread::scope(|scope| {
        for (i, line) in SEEING.iter().enumerate() {
            scope.spawn(move || {
                let run = Run::seeded(&format!("sound-{i}"), Fault::Nothing);
                let (ok, json) = run.scenario(line);
                assert!(
                    ok && json["errors"].as_object().is_some_and(|errors| errors.is_empty()),
                    "{line}: {json}"
                );
            });
        }
    });
}

#[test]
fn a_dropped_event_fails() {
    fails(Fault::Drops, "drops", &SEEING, &["event numbers with a gap or repeat"]);
}

#[test]
fn a_dropped_event_whose_number_another_takes_fails() {
    let errors = ["messages missing", "post that did not reach every session"];
    fails(Fault::DropsSilently, "drops-silently", &SEEING, &errors);
}

#[test]
fn a_doubled_event_fails() {
    fails(Fault::Doubles, "doubles", &SEEING, &["messages repeated"]);
    fails(Fault::Repeats, "repeats", &SEEING[..2], &["event numbers with a gap or repeat"]);
}

#[test]
fn swapped_events_fail() {
    fails(Fault::Swaps, "swaps", &SEEING, &["messages out of order"]);
}

#[test]
fn an_altered_event_fails() {
    fails(Fault::Alters, "alters", &SEEING, &["messages altered"]);
}

#[test]
fn a_refused_post_that_is_shown_fails() {
    fails(Fault::ShowsRefused, "phantoms", &SEEING, &["messages seen though refused"]);
}

#[test]
fn altered_answers_fail() {
    let scenarios = [
        SEEING[0],
        SEEING[1],
        SEEING[2],
        SEEING[3],
        "posts --connections 2 --seconds 1 --warmup 0",
        "gets --connections 2 --seconds 1 --warmup 0 --paths /users/@me",
        "gets --connections 2 --seconds 1 --warmup 0 --paths /channels/{channel}/messages?limit=50",
        "chat --rate 100 --seconds 1 --warmup 0 --connections 4 --mix history=1",
        "chat --rate 100 --seconds 1 --warmup 0 --connections 4 --mix me=1",
        "heartbeat --sessions 2 --beat-ms 50 --seconds 1 --warmup 0 --connections 2 --during history-scan",
    ];
    fails(Fault::AltersAnswers, "answers", &scenarios, &["answers with other content than asked for"]);
}

#[test]
fn more_errors_than_allowed_fail() {
    let run = Run::seeded("errors", Fault::RefusesMost);
    let line = "posts --connections 2 --seconds 1 --warmup 0";
    for (options, want) in
        [("", false), (" --errors-max 50%", false), (" --errors-max 80%", true), (" --errors-max 5", false)]
    {
        let (ok, json) = run.scenario(&format!("{line}{options}"));
        assert_eq!(ok, want, "{options}: {json}");
        assert!(json["counters"].get_u64("posts").is_some_and(|posts| posts > 0), "{json}");
        let problem = json["problem"].as_str().unwrap_or_default();
        assert_eq!(problem.contains("--errors-max"), !want, "{problem}");
    }
}

/// As Ctrl-C on a terminal does: the signal goes to all processes of the tool.
#[test]
fn a_run_that_is_broken_off_keeps_what_it_has_found() {
    let run = Run::seeded("interrupt", Fault::Nothing);
    for (line, figure) in [
        ("chat --rate 200 --seconds 60 --warmup 0 --sessions 6 --processes 2", "operations_per_s"),
        ("posts --rate 200 --seconds 60 --warmup 0", "posts_per_s"),
        ("fanout --seconds 60", "deliveries_per_s"),
    ] {
        let child = run
            .command(&format!("{line} --html {}", run.dir.join("out.html").display()))
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(2_500));
        // SAFETY: takes numbers only; the child is not reaped yet.
        assert_eq!(unsafe { libc::kill(-(child.id() as i32), libc::SIGINT) }, 0);
        let asked = Instant::now();
        let out = child.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(20), "it ends soon");
        assert_eq!(out.status.code(), Some(1), "{}", text(&out));
        assert!(text(&out).contains("Interrupted") && text(&out).contains("per second"), "{}", text(&out));
        let json = run.json();
        assert!(json["problem"].as_str().is_some_and(|problem| problem.starts_with("Interrupted")), "{json}");
        assert!(
            json["gauges"].get(figure).and_then(|v| v.cast_f64()).is_some_and(|v| v > 50.0),
            "{line}: {json}"
        );
        assert!(json["errors"].as_object().is_some_and(|errors| errors.is_empty()), "{line}: {json}");
        fs::remove_file(run.dir.join("out.html")).unwrap();
    }
}

#[test]
fn phases_have_cpu_time_of_their_own() {
    let run = Run::seeded("phases", Fault::Nothing);
    let (ok, json) = run.scenario(&format!("fanout --posts 20 --pid {}", std::process::id()));
    assert!(ok, "{json}");
    for name in
        ["phase_opening_s", "phase_load_s", "phase_opening_server_cpu_cores", "phase_load_client_cpu_cores"]
    {
        assert!(
            json["gauges"].get(name).and_then(|v| v.cast_f64()).is_some_and(|v| v > 0.0),
            "{name}: {json}"
        );
    }
}

#[test]
fn a_calibration_gives_a_plan_its_figures() {
    let run = Run::seeded("calibrate", Fault::Nothing);
    let line = format!("calibrate {} --pid {} --rate 50 --seconds 1", run.dir(), std::process::id());
    let out = tool(&line).output().unwrap();
    assert!(out.status.success() && text(&out).contains("that reach 4 each"), "{}", text(&out));
    assert!(text(&out).contains("measured=12:") && text(&out).contains("check --plan"), "{}", text(&out));
}

#[test]
fn a_seed_says_what_slows_it_and_overwrites_nothing_unasked() {
    let run = Run::seeded("seed", Fault::RateLimits);
    let tokens = || fs::read_to_string(run.dir.join("tokens.txt")).unwrap();
    let first = tokens();
    let again = run.seed("");
    assert!(!again.status.success() && text(&again).contains("--overwrite"), "{}", text(&again));
    assert_eq!(tokens(), first);
    fs::remove_file(run.dir.join("seed.json")).unwrap();
    assert!(!run.seed("").status.success(), "half a seed is a seed");
    let anew = run.seed(" --overwrite");
    assert!(anew.status.success() && tokens() != first, "{}", text(&anew));
    assert_eq!(text(&anew).matches("rate_limiting.enabled = false").count(), 1, "{}", text(&anew));
}
