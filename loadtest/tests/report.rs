//! Results from a run to a page: files, summary, `report` and `compare`, through the tool itself.

mod fake;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use fake::Fault;
use simd_json::OwnedValue;
use simd_json::prelude::*;

struct Run {
    dir: PathBuf,
}

impl Run {
    fn seeded(name: &str, fault: Fault) -> Run {
        let dir = std::env::temp_dir().join(format!("plexichat-report-{}-{name}", std::process::id()));
        let run = Run { dir };
        let base = fake::start(fault);
        let out = run.tool(&format!("seed --base {base} --users 8 --servers 2 --out DIR"));
        assert!(out.status.success(), "{}", stderr(&out));
        run
    }

    /// Runs the tool; DIR stands for the folder of this run.
    fn tool(&self, line: &str) -> Output {
        let line = line.replace("DIR", self.dir.to_str().unwrap());
        Command::new(env!("CARGO_BIN_EXE_plexichat-loadtest")).args(line.split(' ')).output().unwrap()
    }

    fn code(&self, line: &str) -> (i32, Output) {
        let out = self.tool(line);
        (out.status.code().unwrap(), out)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap()
    }

    fn json(&self, file: &str) -> OwnedValue {
        simd_json::to_owned_value(&mut self.read(file).into_bytes()).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn check_page(html: &str) {
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for word in ["<script", "src=", "href=", "url(", "@import", "NaN", "inf "] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn a_run_leaves_a_file_and_a_page() {
    let run = Run::seeded("run", Fault::Nothing);
    let pid = std::process::id();
    let out = run.tool(&format!(
        "chat DIR --rate 200 --seconds 2 --warmup 0 --sessions 4 --connections 4 --bypass s3cret --pid {pid} --json DIR/a.json --html DIR/a.html"
    ));
    assert!(out.status.success(), "{}", stderr(&out));
    assert!(stderr(&out).contains(" of 2  ") && stderr(&out).contains("p99 "), "{}", stderr(&out));
    assert!(!stderr(&out).contains(['\r', '\x1b']), "{}", stderr(&out));
    assert!(stdout(&out).contains("operations per second"), "{}", stdout(&out));

    let json = run.json("a.json");
    assert_eq!((json["schema"].as_u64(), json["scenario"].as_str()), (Some(1), Some("chat")));
    assert_eq!(json["parameters"]["rate"].as_str(), Some("200"));
    assert_eq!(json["parameters"]["zipf"].as_str(), Some("1"), "defaults are there too");
    let environment = &json["environment"];
    assert_eq!(environment["server_processes"][0]["pid"].as_u64(), Some(u64::from(pid)));
    assert!(environment["command"].as_str().unwrap().contains("--bypass ***"), "{environment}");
    let series = &json["series"];
    let points = series["t_s"].as_array().unwrap().len();
    assert!((6..=40).contains(&points), "{series}");
    for column in ["answers_per_s", "sessions", "server_cpu_cores", "server_anon_kib", "client_cpu_cores"] {
        assert_eq!(series[column].as_array().map(|c| c.len()), Some(points), "{column}");
    }
    let post = &json["latencies_us"]["post"];
    let samples: u64 = post["buckets"].as_array().unwrap().iter().map(|b| b[1].as_u64().unwrap()).sum();
    assert_eq!(post["count"].as_u64(), Some(samples));

    let html = run.read("a.html");
    check_page(&html);
    for text in
        ["Latency by percentile", "Deliveries over time", "CPU over time", "Server memory", "<pre>plexichat"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("s3cret") && !run.read("a.json").contains("s3cret"));
    assert!(run.tool("report DIR/a.json --html DIR/again.html").status.success());
    assert_eq!(run.read("again.html"), html, "a page drawn later is the same");
    assert_eq!(stdout(&run.tool("report DIR/a.json")), stdout(&out), "and so is the summary");
}

#[test]
fn runs_are_compared() {
    let run = Run::seeded("compare", Fault::Nothing);
    for file in ["a", "b"] {
        let out =
            run.tool(&format!("posts DIR --connections 2 --seconds 1 --warmup 0 --json DIR/{file}.json"));
        assert!(out.status.success(), "{}", stderr(&out));
    }
    let (code, out) = run.code("compare DIR/a.json DIR/b.json --html DIR/ab.html");
    assert_eq!(code, 0, "{}", stderr(&out));
    assert!(stdout(&out).contains("posts per second") && stdout(&out).contains("B/A"), "{}", stdout(&out));
    check_page(&run.read("ab.html"));
    assert!(run.tool("report DIR/a.json --html DIR/a.html").status.success());
    assert!(
        run.read("a.html").contains("none of its processes was named with --pid"),
        "the server is missed"
    );
    assert!(run.read("ab.html").contains("Latency of post"));
    assert_eq!(run.code("compare DIR/a.json DIR/a.json --tolerance 0").0, 0);

    let rate = run.json("a.json")["gauges"]["posts_per_s"].cast_f64().unwrap();
    let halved = run
        .read("a.json")
        .replace(&format!("\"posts_per_s\":{rate}"), &format!("\"posts_per_s\":{}", rate / 2.0));
    run.write("slow.json", &halved.replace("\"connections\":\"2\"", "\"connections\":\"3\""));
    let (code, out) = run.code("compare DIR/a.json DIR/slow.json --tolerance 20");
    assert_eq!(code, 1);
    assert!(stderr(&out).contains("posts per second: 0.500 times A"), "{}", stderr(&out));
    assert!(stdout(&out).contains("connections: 2 in A, 3 in B"), "{}", stdout(&out));
    assert_eq!(run.code("compare DIR/a.json DIR/slow.json --tolerance 60").0, 0);
    assert_eq!(run.code("compare DIR/slow.json DIR/a.json --tolerance 20").0, 0, "better is no regression");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let run = Run::seeded("damaged", Fault::Nothing);
    let out = run.tool("posts DIR --connections 1 --seconds 1 --warmup 0 --json DIR/a.json");
    assert!(out.status.success(), "{}", stderr(&out));
    let good = run.read("a.json");
    for (text, want) in [
        (good[..good.len() / 2].to_string(), "not JSON"),
        (good.replace("\"schema\":1", "\"schema\":99"), "schema 99"),
        (good.replace("\"schema\":1,", ""), "older version"),
        (good.replace("\"t_s\"", "\"t\""), "t_s"),
        (good.replace("\"scenario\":\"posts\"", "\"scenario\":\"fanout\""), "one scenario"),
        (String::new(), "not JSON"),
    ] {
        run.write("bad.json", &text);
        let (code, out) = run.code("compare DIR/a.json DIR/bad.json --tolerance 5");
        assert!(code == 2 && stderr(&out).contains(want), "{want}: {}", stderr(&out));
    }
    let (code, out) = run.code("report DIR/none.json");
    assert!(
        code == 1 && stderr(&out).contains("none.json") && stderr(&out).contains("--json"),
        "{}",
        stderr(&out)
    );
}

#[test]
fn a_failed_run_is_reported_too() {
    let run = Run::seeded("failed", Fault::RefusesSessions);
    let (code, out) = run.code("idle DIR --sessions 3 --hold 1 --json DIR/a.json --html DIR/a.html");
    assert_eq!(code, 1);
    let json = run.json("a.json");
    assert!(json["ok"].as_bool() == Some(false) && json["problem"].as_str().is_some(), "{json}");
    assert!(json["errors"].as_object().is_some_and(|errors| !errors.is_empty()), "{json}");
    assert!(stdout(&out).contains("error: before READY"), "{}", stdout(&out));
    let html = run.read("a.html");
    check_page(&html);
    for text in ["The run failed", "identify_per_ip_per_minute"] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn a_server_that_ends_during_the_run_fails_it() {
    let run = Run::seeded("ended", Fault::Nothing);
    let mut server = Command::new("sleep").arg("1").spawn().unwrap();
    let (code, out) = run.code(&format!(
        "posts DIR --connections 1 --seconds 2 --warmup 0 --pid {} --json DIR/a.json",
        server.id()
    ));
    server.wait().unwrap();
    assert!(code == 1 && stderr(&out).contains("ended during the run"), "{}", stderr(&out));
    let json = run.json("a.json");
    assert!(json["counters"].get_u64("posts").is_some_and(|posts| posts > 0), "{json}");
    assert!(json["gauges"].get("server_cpu_s").is_none(), "nothing is known of its CPU time: {json}");
}
