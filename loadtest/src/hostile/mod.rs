//! `hostile`: a crowd chats while one attack after the other goes on, and nobody of the crowd is to notice.
//!
//! Owns: the server that is attacked, the crowd, the probes beside it, and the judgement.
//! Invariant: everything is on this machine and bounded in connections and seconds; every attack begins with the same
//! store and a server of its own.

mod attacks;
mod client;
mod outcome;
mod server;
mod stage;
mod uploads;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use self::attacks::{ATTACKS, Attack};
use self::client::{Line, Target};
use self::outcome::{MEMORY_SLACK_KIB, Outcome};
use self::server::{BYPASS, Server};
use self::stage::Stage;
use crate::args::HostileArgs;
use crate::dataset::Dataset;
use crate::gateway;
use crate::report::{Distribution, Report};
use crate::stats::{Latency, quote};
use crate::system;

/// Password of attackers and crowd.
const PASSWORD: &str = "Hostile-Passw0rd!1";
/// How long it may take to give memory back: sessions that can be resumed, then the allocator.
const SETTLE: Duration = Duration::from_secs(40);
const ATTACKERS: usize = 24;
/// Members of the crowd that hold no session and resume one during the attack.
const RESUMERS: usize = 5;
/// GUILDS and GUILD_MESSAGES: few enough events that a session can always be resumed, whatever else others do.
const SPARSE: u32 = 1 | 1 << 9;
const HEALTH_SOURCE: u8 = 9;
const RESUME_SOURCE: u8 = 10;

/// Runs the command.
pub fn run(args: &HostileArgs) -> Result<(), String> {
    system::raise_file_limit();
    let chosen: Vec<&Attack> = ATTACKS
        .iter()
        .filter(|a| args.only.is_empty() || args.only.iter().any(|name| name == a.name))
        .collect();
    if let Some(name) = args.only.iter().find(|name| ATTACKS.iter().all(|attack| attack.name != **name)) {
        let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        return Err(format!("--only {name}: there are {}.", names.join(", ")));
    }
    system::watch_interrupts();
    let folder = std::env::temp_dir().join(format!("plexichat-hostile-{}", std::process::id()));
    let outcome =
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display())).and_then(|()| {
            seed(args, &folder)?;
            let mut missed = Vec::new();
            for attack in chosen {
                if system::is_interrupted() {
                    return Err("Interrupted.".into());
                }
                match suffer(args, &folder, attack) {
                    Ok(outcome) => {
                        let why = outcome.judge(attack);
                        print!("{}", outcome.to_text(attack, &why));
                        if !why.is_empty() {
                            missed.push(attack.name);
                        }
                    }
                    Err(problem) => {
                        println!("{:<15} not tried: {problem}\n", attack.name);
                        missed.push(attack.name);
                    }
                }
            }
            Ok(missed)
        });
    if !args.keep {
        let _ = fs::remove_dir_all(&folder);
    }
    match outcome? {
        missed if missed.is_empty() => Ok(()),
        missed => Err(format!("Others noticed: {}.", missed.join(", "))),
    }
}

/// The store and the tokens with which every attack begins. Hashing is cheap here: it is not what is attacked.
fn seed(args: &HostileArgs, folder: &Path) -> Result<(), String> {
    let cheap = ["encryption.argon2.time_cost=1", "encryption.argon2.memory_kib=64"].map(String::from);
    let server = Server::start(&args.server, &folder.join("store"), &cheap)?;
    let users = args.sessions as usize + RESUMERS;
    let status = tool(&[
        "seed",
        "--base",
        &format!("http://{}", server.target.address),
        "--users",
        &users.to_string(),
        "--servers",
        "1",
        "--password",
        PASSWORD,
        "--bypass",
        BYPASS,
        "--out",
        &folder.join("seed").to_string_lossy(),
    ])
    .stderr(Stdio::null())
    .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("The seed failed: {other:?}.")),
    }
}

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What of the seeded store another server begins with.
const SEEDED: [&str; 2] = ["data.mdb", "server.keys"];

/// Servers of before have no keys.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !to.ends_with("data.mdb") => Ok(()),
        copied => copied.map(drop),
    }
}

/// One attack, from a fresh server to its judgement.
fn suffer(args: &HostileArgs, folder: &Path, attack: &Attack) -> Result<Outcome, String> {
    let store = folder.join(attack.name);
    fs::create_dir_all(&store)
        .and_then(|()| {
            SEEDED.iter().try_for_each(|name| copy(&folder.join("store").join(name), &store.join(name)))
        })
        .map_err(|e| format!("{}: {e}", store.display()))?;
    let own = attack.options.iter().copied().map(String::from);
    let options: Vec<String> = own.chain(args.set.iter().cloned()).collect();
    let mut server = Server::start(&args.server, &store, &options)?;
    let data = Dataset::load(&folder.join("seed"))?;
    let mut outcome = Outcome::new();
    {
        let stage = enter(&server, &data)?;
        (attack.prepare)(&stage).map_err(|e| format!("{}: {e}", attack.name))?;
        let crowd = Crowd { args, folder, base: format!("http://{}", server.target.address) };
        let calm = crowd.chat("calm", 4)?;
        outcome.calm =
            crowd.finish(calm, "calm").map(|mut report| heartbeats(&mut report)).unwrap_or_default();
        thread::sleep(Duration::from_secs(1));
        outcome.anon_kib[0] = server.anon_kib();
        let resumers = resumable(&stage, &data);
        let chat = crowd.chat("chat", args.seconds)?;
        // The crowd gathers.
        thread::sleep(Duration::from_secs(2));
        outcome.under_attack(&stage, attack, chat, &crowd, resumers);
    }
    let begun = Instant::now();
    let allowed = outcome.anon_kib[0] + MEMORY_SLACK_KIB;
    loop {
        outcome.anon_kib[2] = server.anon_kib();
        if outcome.anon_kib[2] <= allowed || begun.elapsed() > SETTLE || system::is_interrupted() {
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    outcome.died = server.has_ended();
    Ok(outcome)
}

/// Registers the attackers and lets them into the server of the crowd.
fn enter<'a>(server: &'a Server, data: &Dataset) -> Result<Stage<'a>, String> {
    let home = &data.servers[0];
    let owner = data.users[home.owner as usize].token.clone();
    let target = &server.target;
    let problem = |e: std::io::Error| format!("The attackers cannot enter: {e}");
    let mut line = Line::open(target, HEALTH_SOURCE, None).map_err(problem)?;
    let mut post = |path: &str, token: &str, body: &str| {
        let reply = line.call(&target.friend, "POST", path, token, body).map_err(problem)?;
        match reply.status {
            200 => Ok(reply),
            status => Err(format!("{path}: HTTP {status} {}", String::from_utf8_lossy(&reply.body))),
        }
    };
    let invite = post(
        &format!("/api/v1/channels/{}/invites", home.channels[0]),
        &owner,
        r#"{"max_age":0,"max_uses":0}"#,
    )?
    .text("code");
    let mut attackers = Vec::new();
    for index in 0..ATTACKERS {
        let name = format!("mallory_{index}");
        let body = format!(
            r#"{{"username":"{name}","email":"{name}@hostile.example","password":{}}}"#,
            quote(PASSWORD)
        );
        let token = post("/api/v1/auth/register", "", &body)?.text("token");
        post(&format!("/api/v1/channels/invites/{invite}"), &token, "{}")?;
        attackers.push((token, name));
    }
    // Attackers write elsewhere than the crowd: it is not their text that is measured.
    let body = r#"{"name":"elsewhere","channel_type":"text"}"#;
    let channel = post(&format!("/api/v1/servers/{}/channels", home.id), &owner, body)?.text("id");
    Ok(Stage {
        target,
        server,
        server_id: home.id.clone(),
        owner,
        channel,
        attackers,
        crowd: data.users.iter().map(|user| user.token.clone()).collect(),
        stop: AtomicBool::new(false),
        acts: AtomicU64::new(0),
    })
}

/// The crowd: `chat` of this tool, in processes of its own.
struct Crowd<'a> {
    args: &'a HostileArgs,
    folder: &'a Path,
    base: String,
}

impl Crowd<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn chat(&self, name: &str, seconds: u32) -> Result<Child, String> {
        let (rate, sessions) = (self.args.rate.to_string(), self.args.sessions.to_string());
        let file = self.file(name);
        let _ = fs::remove_file(&file);
        tool(&["chat", &self.folder.join("seed").to_string_lossy(), "--base", &self.base])
            .args(["--rate", &rate, "--sessions", &sessions, "--seconds", &seconds.to_string()])
            .args(["--warmup", "2", "--beat-ms", "1000", "--sources", "4", "--bypass", BYPASS])
            .args(["--mix", "post=30,history=20,typing=10,reaction=8,unreaction=4,me=4"])
            .args(["--errors-max", "100%", "--json", &file.to_string_lossy()])
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("The crowd does not gather: {e}"))
    }

    fn finish(&self, mut child: Child, name: &str) -> Option<Report> {
        let _ = child.wait();
        Report::load(&self.file(name)).ok()
    }
}

fn heartbeats(report: &mut Report) -> Distribution {
    report.latencies.remove("heartbeat").unwrap_or_default()
}

/// Sessions that begin before the attack, to be resumed during it: token and session.
fn resumable(stage: &Stage<'_>, data: &Dataset) -> Vec<(String, String)> {
    let users = data.users.iter().rev().take(RESUMERS);
    let begin = |token: &str| -> Option<String> {
        let (_, ready) = Line::session(stage.target, RESUME_SOURCE, token, SPARSE).ok()?;
        let d = gateway::value_of(&ready, b"d")?;
        Some(gateway::string_of(d, b"session_id")?.to_string())
    };
    users.filter_map(|user| Some((user.token.clone(), begin(&user.token)?))).collect()
}

impl Outcome {
    fn under_attack(
        &mut self,
        stage: &Stage<'_>,
        attack: &Attack,
        chat: Child,
        crowd: &Crowd<'_>,
        resumers: Vec<(String, String)>,
    ) {
        thread::scope(|scope| {
            let attackers = scope.spawn(|| (attack.run)(stage));
            let health = scope.spawn(|| probe_health(stage.target, &stage.stop));
            let resumes = scope.spawn(|| {
                thread::sleep(Duration::from_secs(4));
                resumers.iter().filter(|(token, id)| resumes(stage.target, token, id)).count()
            });
            let peak = scope.spawn(|| {
                let mut peak = 0;
                while !stage.stopped() {
                    peak = peak.max(stage.server.anon_kib());
                    thread::sleep(Duration::from_millis(100));
                }
                peak
            });
            let report = crowd.finish(chat, "chat");
            stage.stop.store(true, Relaxed);
            (self.health, self.unhealthy) = health.join().unwrap_or_else(|_| (Latency::new(), 1));
            // Who could not even begin a session counts, too.
            self.resumes_refused = (RESUMERS - resumes.join().unwrap_or(0)) as u64;
            self.anon_kib[1] = peak.join().unwrap_or_default();
            self.found = attackers.join().unwrap_or_else(|_| vec![("attackers that broke down", 1.0, 0.0)]);
            self.acts = stage.acts.load(Relaxed);
            match report {
                Some(mut report) => {
                    self.heartbeat = heartbeats(&mut report);
                    let counter = |name: &str| report.counters.get(name).copied().unwrap_or(0);
                    self.closed = counter("sessions_dropped") + counter("sessions_failed");
                    self.problem = report.problem;
                    self.errors = report.errors;
                }
                None => self.problem = Some("The crowd has nothing to report.".into()),
            }
        });
    }
}

/// Asks for /health twenty times a second over one connection; each answer counts from when the question was due.
fn probe_health(target: &Target, stop: &AtomicBool) -> (Latency, u64) {
    let (mut latency, mut lost) = (Latency::new(), 0);
    let mut line = None;
    let mut due = Instant::now();
    while !stop.load(Relaxed) {
        due += Duration::from_millis(50);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut ask = || -> std::io::Result<u16> {
            let line = match &mut line {
                Some(line) => line,
                None => line.insert(Line::open(target, HEALTH_SOURCE, None)?),
            };
            Ok(line.call(&target.stranger, "GET", "/health", "", "")?.status)
        };
        match ask() {
            Ok(200) => {}
            Ok(_) => lost += 1,
            Err(_) => {
                line = None;
                lost += 1;
            }
        }
        latency.record(due.elapsed().as_nanos() as u64);
    }
    (latency, lost)
}

fn resumes(target: &Target, token: &str, id: &str) -> bool {
    let resume = || -> std::io::Result<bool> {
        let mut line = Line::open(target, RESUME_SOURCE, None)?;
        line.upgrade(target)?;
        let mut message = Vec::new();
        gateway::resume(&mut message, token, id, 1);
        line.send(&String::from_utf8_lossy(&message))?;
        loop {
            let text = line.receive()?;
            match gateway::head(&text) {
                Some(head) if head.op == 9 => return Ok(false),
                Some(head) if head.op == 0 => return Ok(true),
                _ => {}
            }
        }
    };
    resume().unwrap_or(false)
}
