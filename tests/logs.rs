//! Log files of a server that is killed, whose disk is full, and whose configuration is read again.

#[path = "support/disk.rs"]
mod disk;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use disk::SmallDisk;
use plexichat::observe::log_files::{self, CURRENT, Full, Wanted};
use support::{PATIENCE, Server, temporary_folder};

/// Waits until it holds.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All lines of all files, in the order in which they were written.
fn lines(folder: &Path) -> Vec<log_files::Line> {
    let number = |name: &str| Full::of(name).map_or(u64::MAX, |full| full.number);
    let mut names: Vec<_> = log_files::list(folder).into_iter().map(|file| file.name).collect();
    // A kill may leave one that is packed already.
    names.sort_by_key(|name| (number(name), !name.ends_with(".gz")));
    names.dedup_by_key(|name| number(name));
    let wanted = Wanted { limit: u64::MAX, ..Wanted::default() };
    names.iter().flat_map(|name| log_files::view(folder, name, &wanted).unwrap().unwrap().lines).collect()
}

/// Asked for in turns, so that a line that is missing is noticed.
const CYCLE: [(&str, &str); 5] = [
    ("/health/live", "health_live"),
    ("/api/v1/version", "version"),
    ("/health/ready", "health_ready"),
    ("/api/v1/capabilities", "capabilities"),
    ("/api/v1/status", "status"),
];

/// The requests, by their place in the cycle.
fn requests(lines: &[log_files::Line]) -> Vec<usize> {
    let place = |line: &log_files::Line| {
        let (_, rest) = line.message.split_once(" route=\"")?;
        let (route, _) = rest.split_once('"')?;
        CYCLE.iter().position(|(_, name)| *name == route)
    };
    lines.iter().filter_map(place).collect()
}

#[test]
fn no_line_is_lost_or_torn_when_the_server_is_killed_while_files_are_full() {
    let folder = temporary_folder();
    let options =
        ["runtime.cores=1", "logging.level=DEBUG", "logging.max_bytes=65536", "logging.backup_count=1000"];
    let logs = folder.path().join("logs");
    let mut seen = 0;
    for round in 0..4 {
        let mut server = Server::start_in(folder.path(), &options);
        std::thread::scope(|scope| {
            let mut http = server.http();
            scope.spawn(move || {
                // Ends with the server.
                let ask =
                    || CYCLE.iter().cycle().take(50_000).for_each(|(path, _)| drop(http.get(path, None)));
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask));
            });
            // Into the middle of whatever is done to the files then.
            eventually("there is more than one file", || log_files::list(&logs).len() > 1 + 2 * round);
            std::thread::sleep(Duration::from_millis(17 * round as u64));
            server.kill();
        });
        let found = lines(&logs);
        let asked = requests(&found);
        assert!(asked.len() > seen, "round {round}: {} of {seen}", asked.len());
        for (index, place) in asked[seen..].iter().enumerate() {
            assert_eq!(*place, index % CYCLE.len(), "round {round}: line {index} of {}", asked.len() - seen);
        }
        seen = asked.len();
    }
    let server = Server::start_in(folder.path(), &options);
    eventually("what a kill has left is packed", || {
        let names =
            std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names = names.filter(|name| name != CURRENT && name != "plexichat-log.lock");
        names.all(|name| Full::of(&name).is_some_and(|full| full.is_packed))
    });
    let found = lines(&logs);
    assert_eq!(requests(&found).len(), seen, "nothing is there twice");
    let torn = found.iter().filter(|line| line.level.is_empty()).count();
    assert_eq!(torn, 0, "each line is of a record");
    assert_eq!(server.stop().code(), Some(0));
    assert!(lines(&logs).iter().any(|line| line.message.ends_with(": stopped")), "the last line is written");
}

#[test]
fn a_full_disk_of_log_files_is_told_once_and_recovered_from() {
    let Some(disk) = SmallDisk::mount("size=256k") else { return };
    let logs = disk.path().join("logs");
    std::fs::write(disk.path().join("filler"), vec![0; 200 * 1024]).unwrap();
    let folder = format!("logging.folder={}", logs.display());
    let server = Server::start(&[&folder, "logging.level=DEBUG"]);
    let mut http = server.http();
    eventually("it is told", || {
        (0..100).for_each(|_| drop(http.get("/health/live", None).want(200)));
        server.log().contains("log files cannot be written")
    });
    for _ in 0..500 {
        http.get("/health/live", None).want(200);
    }
    assert_eq!(server.log().matches("log files cannot be written").count(), 1);
    server.register("ada");
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    eventually("it is over", || {
        http.get("/health/live", None).want(200);
        server.log().contains("log files are written again")
    });
    eventually("the file says what it misses", || {
        http.get("/health/live", None).want(200);
        lines(&logs).iter().any(|line| line.message.contains("lines before this one are missing"))
    });
    assert!(lines(&logs).iter().all(|line| !line.level.is_empty()), "no line is torn");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_folder_that_cannot_be_written_keeps_nobody_from_starting() {
    let folder = temporary_folder();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let options = format!("logging.folder={}", folder.path().join("file/logs").display());
    let server = Server::start(&[&options]);
    server.log_with("log files cannot be written");
    server.register("ada");
    assert_eq!(server.stop().code(), Some(0));
    let off = Server::start_in(folder.path(), &["logging.files=false"]);
    off.register("ada");
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn a_hangup_has_the_configuration_read_again() {
    let folder = temporary_folder();
    let file = folder.path().join(".plexichat/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("");
    let server = Server::start_in(folder.path(), &[]);
    server.http().get("/health/live", None).want(200);
    write("[logging]\nlevel = \"DEBUG\"\n[polls]\nmax_options = 7\n");
    server.signal(libc::SIGHUP);
    let log = server.log_with("the configuration was read again");
    assert!(log.contains("applied=\"logging.level\" waiting=\"polls.max_options\""), "{log}");
    assert!(!log.contains("route="), "{log}");
    server.http().get("/health/live", None).want(200);
    server.log_with("route=\"health_live\"");
    write("[logging]\nlevel = \"LOUD\"\n");
    server.signal(libc::SIGHUP);
    server.log_with("the configuration is left as it is");
    server.http().get("/api/v1/version", None).want(200);
    server.log_with("route=\"version\"");
    assert_eq!(server.stop().code(), Some(0));
}
