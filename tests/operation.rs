//! What an operator's machine does to a server: full disks, log readers that went away, limits, killed backups.

#[path = "support/disk.rs"]
mod disk;
mod support;
#[path = "operation/uploads.rs"]
mod uploads;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use disk::SmallDisk;
use support::{PATIENCE, Server, command, json, temporary_folder};

/// prctl(2), capabilities(7).
const CAP_NET_BIND_SERVICE: libc::c_ulong = 10;
const CAP_IPC_LOCK: libc::c_ulong = 14;
const CAP_SYS_RESOURCE: libc::c_ulong = 24;

/// A child that has these limits, soft and hard, and not these capabilities, whoever runs the tests.
fn confine(
    command: &mut Command,
    limits: &[(libc::__rlimit_resource_t, u64)],
    without: &'static [libc::c_ulong],
) {
    let limits = limits.to_vec();
    // SAFETY: system calls that are safe after a fork, on memory that was allocated before.
    unsafe {
        command.pre_exec(move || {
            for (resource, value) in &limits {
                let limit = libc::rlimit { rlim_cur: *value, rlim_max: *value };
                if libc::setrlimit(*resource, &raw const limit) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            // Without the right to it there is nothing to drop.
            for capability in without {
                libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0);
            }
            Ok(())
        });
    }
}

fn confined(
    folder: &Path,
    arguments: &[&str],
    limits: &[(libc::__rlimit_resource_t, u64)],
    without: &'static [libc::c_ulong],
) -> Output {
    let mut command = command(folder);
    command.args(["--set", "metrics.port=0", "--set", "server.port=0"]).args(arguments);
    confine(&mut command, limits, without);
    ended(command)
}

/// What a program said that is to end by itself. One that does not is killed, and then has no exit code.
fn ended(mut command: Command) -> Output {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our child").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait_with_output().expect("our child")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let held: Vec<TcpListener> = (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|index| held[index].local_addr().unwrap().port())
}

/// Waits until it holds.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

fn metric(port: u16, name: &str) -> f64 {
    let (status, body) = get(port, "/metrics").expect("metrics");
    assert_eq!(status, 200);
    let line = body.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in\n{body}"))
}

/// A server whose output goes where the test says.
struct Muted {
    child: Child,
    port: u16,
    metrics: u16,
    _folder: tempfile::TempDir,
}

impl Muted {
    fn start(stderr: impl Into<Stdio>, options: &[&str]) -> Muted {
        let folder = temporary_folder();
        let [port, metrics] = free_ports();
        let mut command = command(folder.path());
        command.args([
            "--port",
            &port.to_string(),
            "--set",
            &format!("metrics.port={metrics}"),
            "--cores",
            "1",
        ]);
        command.args(["--set", "runtime.pin=false", "--set", "store.map_size=1GiB"]);
        options.iter().for_each(|option| {
            command.args(["--set", option]);
        });
        // SAFETY: prctl touches only the new process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("the program starts");
        Muted { child, port, metrics, _folder: folder }
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has it"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    for stderr in [full(), Stdio::from(writer)] {
        let mut server = Muted::start(stderr, &["logging.level=DEBUG"]);
        eventually("it serves", || get(server.port, "/health").is_some_and(|(status, _)| status == 200));
        eventually("lost lines are counted", || {
            metric(server.metrics, "plexichat_log_lines_dropped_total") > 0.0
        });
        // SAFETY: the child is ours and not yet reaped.
        unsafe { libc::kill(server.child.id() as i32, libc::SIGTERM) };
        assert_eq!(server.child.wait().expect("our child").code(), Some(0));
    }
}

#[test]
fn a_log_reader_that_goes_away_later_ends_nothing() {
    let mut server = Muted::start(Stdio::piped(), &["logging.level=DEBUG"]);
    let reader = server.child.stderr.take().expect("piped");
    eventually("it serves", || get(server.port, "/health").is_some());
    drop(reader);
    eventually("lost lines are counted", || {
        assert_eq!(get(server.port, "/health").map(|(status, _)| status), Some(200));
        metric(server.metrics, "plexichat_log_lines_dropped_total") > 0.0
    });
    assert!(server.child.try_wait().expect("our child").is_none());
}

#[test]
fn output_onto_a_full_disk_fails_and_into_a_closed_pipe_does_not() {
    let folder = temporary_folder();
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help", "config"],
        &["--version"],
        &["config"],
        &["config", "--sample"],
        &["routes"],
        &["check"],
        &["check", "--plan", "sessions=10,posts=1"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let refused = command(folder.path()).args(arguments).stdout(full).output().expect("it starts");
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", text(&refused));
        assert!(text(&refused).contains("cannot write the output"), "{arguments:?}: {}", text(&refused));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let unread = command(folder.path()).args(arguments).stdout(writer).output().expect("it starts");
        assert_eq!(unread.status.code(), Some(0), "{arguments:?}: {}", text(&unread));
    }
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let wrong = command(folder.path()).arg("--prot").stderr(full).status().expect("it starts");
    assert_eq!(wrong.code(), Some(1), "that usage was wrong could not be told");
}

/// Posts messages until they are refused; the refusal.
fn fill(server: &Server, path: &str, token: &str) -> support::Answer {
    let mut http = server.http();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = http.post(path, Some(token), &json!({"content": "x".repeat(2_000)}));
        if answer.status != 200 {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing is refused");
    }
}

fn notes(server: &Server, token: &str) -> String {
    let notes = server.http().get("/api/v1/users/@me/notes", Some(token)).want(200);
    format!("/api/v1/channels/{}/messages", notes["id"].as_str().expect("an id"))
}

fn count(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

/// The whole story: refused with a reason, told once, not ready but alive, and by itself all right again.
fn full_disk_story(server: &Server, make_room: impl FnOnce()) {
    let ada = server.register("ada");
    let path = notes(server, &ada.token);
    let answer = fill(server, &path, &ada.token);
    assert_eq!(answer.status, 503, "{answer:?}");
    let mut http = server.http();
    for _ in 0..20 {
        let answer = http.post(&path, Some(&ada.token), &json!({"content": "x".repeat(2_000)}));
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(http.get("/health", None).want(200)["status"], "degraded");
    assert_eq!(http.get("/health/live", None).want(200)["status"], "live");
    let ready = http.get("/health/ready", None);
    assert_eq!(ready.status, 503, "{ready:?}");
    let ready = ready.json();
    assert!(["disk_full", "write_failed"].contains(&ready["reason"].as_str().expect("a reason")), "{ready}");
    let notice = http.get("/api/v1/status", None).want(200)["maintenance_message"].clone();
    assert_eq!(notice, ready["message"]);
    // Reading goes on.
    http.get(&path, Some(&ada.token)).want(200);
    let log = server.log_with("changes are refused");
    assert_eq!(count(&log, "changes are refused"), 1, "{log}");
    assert_eq!(count(&log, "restart"), 0, "{log}");
    make_room();
    eventually("it is ready again", || http.get("/health/ready", None).status == 200);
    assert_eq!(http.get("/health", None).want(200)["status"], "healthy");
    http.post(&path, Some(&ada.token), &json!({"content": "after"})).want(200);
    let log = server.log_with("changes are taken again");
    assert_eq!(count(&log, "changes are refused"), 1, "{log}");
}

#[test]
fn a_limit_on_file_lengths_is_a_full_disk_and_recovered_from() {
    let server = Server::start(&["runtime.cores=1"]);
    let limit_files = |len: u64| {
        let limit = libc::rlimit { rlim_cur: len, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the pointers are to a live rlimit and to none.
        let set = unsafe {
            libc::prlimit(server.pid() as i32, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut())
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    };
    limit_files(2 << 20);
    full_disk_story(&server, || limit_files(libc::RLIM_INFINITY));
}

#[test]
fn a_full_disk_is_told_and_recovered_from() {
    let Some(disk) = SmallDisk::mount("size=12m,mode=700") else { return };
    let filler = disk.path().join("filler");
    let data = disk.path().join("data");
    std::fs::create_dir(&data).expect("room for it");
    let server = Server::start_in(&data, &["runtime.cores=1"]);
    std::fs::write(&filler, vec![1; 9 << 20]).expect("room for it");
    full_disk_story(&server, || std::fs::remove_file(&filler).expect("it is there"));
}

#[test]
fn a_disk_that_is_full_from_the_start_is_refused_with_a_sentence() {
    let Some(disk) = SmallDisk::mount("size=256k,mode=700") else { return };
    let filler = disk.path().join("filler");
    let mut file = File::create(&filler).expect("a file");
    let mut refused = 0;
    for left in (0..256).step_by(8) {
        file.set_len(0).expect("ours");
        let _ = std::io::copy(&mut std::io::repeat(1).take((256 - left) << 10), &mut file);
        let data = disk.path().join("data");
        std::fs::create_dir(&data).expect("it takes no block");
        let Err((status, log)) = Server::try_start_in(&data, &["runtime.cores=1"]) else { break };
        assert_eq!(status.code(), Some(1), "with {left} KiB: {log}");
        assert!(log.contains("plexichat: ") && log.contains("No space left"), "with {left} KiB: {log}");
        std::fs::remove_dir_all(&data).expect("ours");
        refused += 1;
    }
    assert!(refused > 2, "{refused}");
}

#[test]
fn a_killed_backup_does_not_pin_the_store() {
    let [metrics] = free_ports();
    let server = Server::start(&["runtime.cores=1", &format!("metrics.port={metrics}")]);
    let ada = server.register("ada");
    let path = notes(&server, &ada.token);
    let mut http = server.http();
    let mut post = || http.post(&path, Some(&ada.token), &json!({"content": "x".repeat(2_000)})).want(200);
    (0..200).for_each(|_| drop(post()));
    let lock = File::open(server.folder().join("lock.mdb")).expect("LMDB's lock file");
    let has_reader = |process: u32| {
        use std::os::unix::fs::FileExt as _;
        let mut table = vec![0; 64 * 1_024];
        let len = lock.read_at(&mut table, 128).expect("readable");
        let entries = table[..len].chunks_exact(64);
        let held = |entry: &[u8]| entry[..8] != [0xff; 8] && entry[8..12] == process.to_ne_bytes();
        entries.into_iter().any(held)
    };
    // Killed in the moment in which it has a snapshot, if need be the next one.
    let copies = temporary_folder();
    let killed = (0..200).any(|round| {
        let mut backup = command(server.folder());
        backup.arg("backup").arg(copies.path().join(round.to_string())).stdout(Stdio::null());
        let mut backup = backup.stderr(Stdio::null()).spawn().expect("the program starts");
        while !has_reader(backup.id()) && backup.try_wait().expect("our child").is_none() {}
        let _ = backup.kill();
        let _ = backup.wait();
        has_reader(backup.id())
    });
    assert!(killed, "no backup could be killed in time");
    post();
    eventually("its snapshot is freed", || metric(metrics, "plexichat_store_stale_snapshots_total") >= 1.0);
    let freed = "freed the snapshots of a process that was killed";
    assert_eq!(count(&server.log_with(freed), freed), 1);
    eventually("nothing is held", || metric(metrics, "plexichat_store_oldest_snapshot_seconds") < 1.0);
    let before = metric(metrics, "plexichat_store_bytes");
    (0..300).for_each(|_| drop(post()));
    eventually("it is looked at again", || metric(metrics, "plexichat_store_bytes") > before);
    let grown = metric(metrics, "plexichat_store_bytes") - before;
    assert!(grown < 4e6, "300 messages of 2,000 bytes took {grown} bytes");
}

#[test]
fn rings_that_do_not_fit_the_limit_of_locked_memory() {
    let folder = temporary_folder();
    let limit = |bytes: u64| [(libc::RLIMIT_MEMLOCK, bytes)];
    let check =
        |bytes: u64| confined(folder.path(), &["check", "--cores", "8"], &limit(bytes), &[CAP_IPC_LOCK]);
    let refused = check(8 << 20);
    if check(64 << 10).status.success() {
        eprintln!("left out: this kernel does not count rings as locked memory");
        return;
    }
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    // The kernel takes the rings of those before apart beside their end.
    eventually("check counts all that fit", || text(&check(8 << 20)).contains("6 of 8 cores"));
    let line = said.lines().find(|line| line.contains("locked memory")).expect("a finding");
    assert!(line.starts_with("ERROR") && line.contains(" of 8 cores") && line.contains("9.3 MiB"), "{line}");
    for part in ["LimitMEMLOCK=infinity", "--ulimit memlock=-1", "ulimit -l unlimited"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    eventually("the start counts all that fit", || {
        let refused = confined(folder.path(), &["--cores", "8"], &limit(8 << 20), &[CAP_IPC_LOCK]);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        for part in ["RLIMIT_MEMLOCK) is 8192 KiB", "8 cores need 9536 KiB", "LimitMEMLOCK=infinity"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        said.contains("--cores 6")
    });
    // What is said to be enough is enough.
    let enough = 6 * plexichat::net::rings::memory_per_core();
    eventually("check finds it enough", || {
        confined(folder.path(), &["check", "--cores", "6"], &limit(enough), &[CAP_IPC_LOCK]).status.success()
    });
    let mut command = command(folder.path());
    let [port] = free_ports();
    command.args(["--cores", "6", "--port", &port.to_string(), "--set", "metrics.port=0"]);
    command.args(["--set", "store.map_size=1GiB"]).stderr(Stdio::null());
    confine(&mut command, &limit(enough), &[CAP_IPC_LOCK]);
    let mut server = command.spawn().expect("the program starts");
    eventually("it serves", || get(port, "/health").is_some_and(|(status, _)| status == 200));
    let _ = server.kill();
    let _ = server.wait();
}

#[test]
fn connections_are_as_many_as_there_are_files_for() {
    let folder = temporary_folder();
    let starting = |limit: u64, wanted: u64| {
        let [port] = free_ports();
        let mut command = command(folder.path());
        command.args(["--cores", "1", "--port", &port.to_string(), "--set", "metrics.port=0"]);
        command.args(["--set", &format!("http.connections_max={wanted}"), "--set", "store.map_size=1GiB"]);
        confine(&mut command, &[(libc::RLIMIT_NOFILE, limit)], &[CAP_SYS_RESOURCE]);
        command.stderr(Stdio::piped());
        (command, port)
    };
    let (mut command, port) = starting(512, 500);
    let mut server = command.spawn().expect("the program starts");
    eventually("it serves", || get(port, "/health").is_some_and(|(status, _)| status == 200));
    // Everybody gets an answer: those for whom there is room theirs, one more a refusal.
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let held: Vec<TcpStream> = (0..256).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    eventually("one too many is told so", || get(port, "/health").is_some_and(|(status, _)| status == 503));
    drop(held);
    eventually("there is room again", || get(port, "/health").is_some_and(|(status, _)| status == 200));
    let _ = server.kill();
    let said = text(&server.wait_with_output().expect("our child"));
    for part in ["http.connections_max is 500", "open files is 512", "256 connections", "LimitNOFILE=756"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let refused = ended(starting(300, 500).0);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in ["open files (hard limit) is 300", "756", "http.connections_max = 500", "LimitNOFILE=756"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// The first port that needs no right (ip(7)).
fn unprivileged_from() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1_024)
}

#[test]
fn refusals_to_start_name_what_is_wrong_and_what_to_do() {
    let folder = temporary_folder();
    let addresses = [(libc::RLIMIT_AS, 4 << 30)];
    let no_bind = &[CAP_NET_BIND_SERVICE];
    let small = &["--set", "store.map_size=1GiB", "--cores", "1"];
    type Case<'a> =
        (&'a [&'a str], &'a [(libc::__rlimit_resource_t, u64)], &'static [libc::c_ulong], i32, &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        (
            &[],
            &addresses,
            &[],
            1,
            &["store.map_size = 64 GiB", "4 GiB", "ulimit -v unlimited", "LimitAS=infinity"],
        ),
        (&["--host", "192.0.2.1"], &[], &[], 1, &["192.0.2.1", "no address of this machine", "--host"]),
        (&["--port", "81"], &[], no_bind, 1, &["127.0.0.1:81", "CAP_NET_BIND_SERVICE", "--port"]),
        (
            &["--host", "chat.example.org"],
            &[],
            &[],
            2,
            &["--host", "chat.example.org", "names are not looked up"],
        ),
    ];
    for (arguments, limits, without, code, parts) in cases {
        let arguments = match limits.is_empty() {
            true => [&small[..], arguments].concat(),
            false => arguments.to_vec(),
        };
        if arguments.contains(&"81") && unprivileged_from() <= 81 {
            eprintln!("left out: everybody may listen on port 81 here");
            continue;
        }
        let refused = confined(folder.path(), &arguments, limits, without);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("stop what listens"), "{said}");
    }
}

/// Which of these texts the memory of a process holds.
fn found_in_memory(process: u32, texts: &[String]) -> Vec<String> {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("our child");
    let memory = File::open(format!("/proc/{process}/mem")).expect("our child, which allows it");
    let mut found = Vec::new();
    let mut part = vec![0; 1 << 20];
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next().expect("a range"), words.next().expect("rights"));
        let (start, end) = range.split_once('-').expect("two addresses");
        let address = |hex: &str| u64::from_str_radix(hex, 16).expect("an address");
        if !rights.starts_with("rw") || line.contains(".mdb") {
            continue;
        }
        let mut at = address(start);
        while at < address(end) {
            let len = (address(end) - at).min(part.len() as u64) as usize;
            let Ok(len) = memory.read_at(&mut part[..len], at) else { break };
            if len == 0 {
                break;
            }
            let is_here = |text: &&String| memchr::memmem::find(&part[..len], text.as_bytes()).is_some();
            found.extend(texts.iter().filter(is_here).cloned());
            at += len as u64;
        }
    }
    found
}

#[test]
fn passwords_are_not_left_in_memory() {
    let server = Server::start(&["runtime.cores=1", "server.core_dumps=true"]);
    let address = server.address();
    // No two alike, each with a letter that the parser writes anew.
    let secret = |index: u32| format!("{index}-Lovelace-1815!");
    let password = |index: u32| format!("Geheim-\\u00df{}", secret(index));
    let send = |parts: &[String]| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        for part in parts {
            stream.write_all(part.as_bytes()).expect("an open socket");
            std::thread::sleep(Duration::from_millis(30));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status: u16 = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, answer)
    };
    let head = |method: &str, path: &str, token: &str, framing: String| {
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\n{framing}\r\n\r\n"
        )
    };
    let sized = |method: &str, path: &str, token: &str, body: &str| {
        send(&[head(method, path, token, format!("Content-Length: {}", body.len())) + body])
    };
    let account = format!(r#"{{"username":"ada","email":"ada@example.org","password":"{}"}}"#, password(0));
    let (status, answer) = sized("POST", "/auth/register", "", &account);
    assert_eq!(status, 200, "{answer}");
    let token = answer.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let login = |index| format!(r#"{{"username":"ada","password":"{}"}}"#, password(index));
    assert_eq!(sized("POST", "/auth/login", "", &login(0)).0, 200);
    assert_eq!(sized("POST", "/auth/login", "", &login(1)).0, 401);
    assert_eq!(sized("POST", "/auth/login", "", &login(2).replace("ada", "nobody")).0, 401);
    assert_eq!(sized("POST", "/auth/login", "", &login(3).replace("ada", "x").replace('}', "")).0, 400);
    let change = format!(r#"{{"password":"{}","current_password":"{}"}}"#, password(4), password(0));
    assert_eq!(sized("PATCH", "/users/@me", token, &change).0, 200);
    let refused = sized("DELETE", "/users/@me", token, &format!(r#"{{"password":"{}"}}"#, password(5))).0;
    assert!([400, 401, 403].contains(&refused), "{refused}");
    // In pieces: a body that comes in two, in chunks, and one that never ends.
    let pieces = |index| {
        let body = login(index).replace("ada", "nobody else");
        let (front, back) = body.split_at(body.len() - 10);
        (front.to_owned(), back.to_owned())
    };
    let (front, back) = pieces(7);
    let framing = format!("Content-Length: {}", front.len() + back.len());
    assert_eq!(send(&[head("POST", "/auth/login", "", framing) + &front, back]).0, 401);
    let (front, back) = pieces(8);
    let chunked = head("POST", "/auth/login", "", "Transfer-Encoding: chunked".to_owned());
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    assert_eq!(send(&[chunked + &chunk(&front), chunk(&back) + "0\r\n\r\n"]).0, 401);
    let long = login(6);
    let mut stream = TcpStream::connect(address).expect("it listens");
    let endless = head("POST", "/auth/login", "", "Content-Length: 9999".to_owned()) + &long;
    stream.write_all(endless.as_bytes()).expect("an open socket");
    let waiting = secret(6);
    eventually("what is being received is found", || {
        found_in_memory(server.pid(), std::slice::from_ref(&waiting)).contains(&waiting)
    });
    drop(stream);
    let secrets: Vec<String> = (0..=8).map(secret).collect();
    let mut left = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        left = found_in_memory(server.pid(), &secrets);
        if left.is_empty() {
            return;
        }
    }
    panic!("still in memory: {left:?}");
}

#[test]
fn no_core_is_dumped_unless_it_is_wanted() {
    use std::os::unix::process::ExitStatusExt as _;

    let crash = |wanted: &str| {
        let folder = temporary_folder();
        let [port] = free_ports();
        let mut command = command(folder.path());
        command.args(["--cores", "1", "--port", &port.to_string(), "--set", "metrics.port=0"]);
        command.args(["--set", "store.map_size=64MiB", "--set", &format!("server.core_dumps={wanted}")]);
        confine(&mut command, &[(libc::RLIMIT_CORE, 1 << 30)], &[]);
        let mut server = command.stderr(Stdio::null()).spawn().expect("the program starts");
        eventually("it serves", || get(port, "/health").is_some_and(|(status, _)| status == 200));
        // SAFETY: the child is ours and not yet reaped.
        unsafe { libc::kill(server.id() as i32, libc::SIGABRT) };
        server.wait().expect("our child")
    };
    let status = crash("false");
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false));
    // Whether one is dumped when it is wanted is up to the machine; that the signal ends the process is not.
    assert_eq!(crash("true").signal(), Some(libc::SIGABRT));
}
