//! What operators and accidents do to data files: backup, restore, verify, start, with files that are cut, empty, of
//! something else or damaged, and processes that are killed while at it.
//!
//! `STORE_KILLS` sets the number of kills of each kind, `STORE_SEED` repeats the choices of a run. Power cuts need root
//! and a loop device: `POWER_CUTS=20 cargo test --test store power_cut -- --ignored --nocapture`.

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/line.rs"]
mod line;
#[path = "../support/owners.rs"]
mod owners;
#[path = "../support/mod.rs"]
mod support;

mod every_table;
mod kills;
mod pictures;
mod power_cuts;
mod sealed;
mod versions;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use disk::SmallDisk;
use line::Line;
use plexichat::store::tables::SETTINGS;
use plexichat::store::{Options, Store, Sync, records::Setting};
use support::{PASSWORD, Server, json};

/// A backup that the first version made: records without checksums, no checksum file.
const PLAIN: &[u8] = include_bytes!("../stores/format-1-plain.mdb.gz");

/// A folder with the old backup in it.
fn plain_store() -> tempfile::TempDir {
    let folder = support::temporary_folder();
    let mut data = Vec::new();
    flate2::read::GzDecoder::new(PLAIN).read_to_end(&mut data).unwrap();
    fs::write(folder.path().join("data.mdb"), data).unwrap();
    folder
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data.mdb")
}

fn bytes(folder: &Path) -> Vec<u8> {
    fs::read(data(folder)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a command of the program on a data folder.
fn run(folder: &Path, args: &[&str]) -> Output {
    support::command(folder).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[track_caller]
fn succeeds(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    text(&output)
}

/// An orderly failure, with a sentence that has these words.
#[track_caller]
fn fails(folder: &Path, args: &[&str], words: &[&str]) {
    let output = run(folder, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {:?} {}", output.status, text(&output));
    for word in words {
        assert!(text(&output).contains(word), "{args:?}: {word:?} is not in {}", text(&output));
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A store with some megabytes in it.
fn filled_store(folder: &Path, users: u64) {
    let options = Options { path: folder.into(), map_size: 1 << 28, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).unwrap();
    let mut tx = store.begin().unwrap();
    for user in 0..users {
        let value = format!("{user}").repeat(200 + (user % 7) as usize * 500);
        tx.put(
            SETTINGS,
            (plexichat::id::UserId(user), "key"),
            &Setting { value, created_at: 1, updated_at: 2 },
        );
    }
    tx.commit().unwrap();
}

#[test]
fn a_store_of_the_first_version_opens_and_has_its_content() {
    let folder = plain_store();
    assert!(succeeds(folder.path(), &["verify"]).contains("carry no checksum"));
    let server = Server::start_in(folder.path(), &[]);
    let mut http = server.http();
    let login =
        http.post("/api/v1/auth/login", None, &json!({"username": "ada", "password": PASSWORD})).want(200);
    let token = login["token"].as_str().unwrap().to_owned();
    let servers = http.get("/api/v1/servers", Some(&token)).want(200);
    assert_eq!(servers[0]["name"], "Analytical Engine");
    let channel = servers[0]["default_channel_id"].as_str().unwrap().to_owned();
    let page = format!("/api/v1/channels/{channel}/messages?limit=100");
    let messages = http.get(&page, Some(&token)).want(200);
    assert_eq!(messages.as_array().unwrap().len(), 40, "{messages}");
    let all = messages.to_string();
    assert!(all.contains("message 39 ✓") && all.contains("\"edited\"") && all.contains("👍"), "{all}");
    let dms = http.get("/api/v1/users/@me/channels", Some(&token)).want(200);
    let dm = dms[0]["id"].as_str().unwrap().to_owned();
    let between = http.get(&format!("/api/v1/channels/{dm}/messages"), Some(&token)).want(200);
    assert_eq!(between[0]["content"], "between us");
    // Old and new records live side by side, and survive a way through backup and restore together.
    http.post(&format!("/api/v1/channels/{channel}/messages"), Some(&token), &json!({"content": "new"}))
        .want(200);
    let copy = folder.path().join("copy");
    succeeds(folder.path(), &["backup", path(&copy)]);
    drop(server);
    succeeds(folder.path(), &["restore", path(&copy)]);
    let server = Server::start_in(folder.path(), &[]);
    let messages = server.http().get(&page, Some(&token)).want(200).to_string();
    assert!(messages.contains("message 39 ✓") && messages.contains("\"new\""), "{messages}");
}

/// Ways in which a copy is not what was backed up, and a word of what is said about each.
fn broken(sound: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let pages = sound.len() / 4_096;
    let mut flipped = sound.to_vec();
    let content = sound.windows(10).position(|window| window == b"message 39").unwrap();
    flipped[content] ^= 1;
    let mut meta = sound.to_vec();
    meta[16] ^= 1;
    vec![
        ("half", sound[..pages / 2 * 4_096].to_vec(), "cut off"),
        ("without its last page", sound[..(pages - 1) * 4_096].to_vec(), "cut off"),
        ("without its last bytes", sound[..sound.len() - 100].to_vec(), "cut off"),
        ("one page", sound[..4_096].to_vec(), "cut off"),
        ("empty", Vec::new(), "empty"),
        ("text", b"hello, this is not a database. ".repeat(400), "another file"),
        ("zeroes", vec![0; 65_536], "another file"),
        ("a damaged first page", meta, "first pages is damaged"),
        ("a flipped bit", flipped, "damaged"),
    ]
}

#[test]
fn a_broken_backup_is_refused_and_the_store_is_as_it_was() {
    let live = support::temporary_folder();
    filled_store(live.path(), 3);
    let before = bytes(live.path());
    let copy = support::temporary_folder();
    let checked = plain_store();
    // Written by this version, so that its records have checksums.
    drop(Server::start_in(checked.path(), &[]));
    let sound = checked.path().join("copy");
    succeeds(checked.path(), &["backup", path(&sound)]);
    let sums = fs::read(sound.join("data.mdb.sha256")).unwrap();
    for (what, broken, _) in broken(&bytes(&sound)) {
        for with_sums in [true, false] {
            if what == "a flipped bit" && !with_sums {
                // A record of the first version carries nothing that could tell.
                continue;
            }
            fs::write(data(copy.path()), &broken).unwrap();
            match with_sums {
                true => fs::write(copy.path().join("data.mdb.sha256"), &sums).unwrap(),
                false => fs::remove_file(copy.path().join("data.mdb.sha256")).unwrap(),
            }
            fails(live.path(), &["restore", path(copy.path())], &["cannot restore"]);
            assert!(bytes(live.path()) == before, "{what}");
            fails(live.path(), &["verify", path(copy.path())], &[path(&data(copy.path()))]);
            let names = fs::read_dir(live.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let extra: Vec<_> =
                names.filter(|name| name.to_string_lossy().starts_with("data.mdb.")).collect();
            assert!(extra.is_empty(), "{what} leaves {extra:?}");
        }
    }
    succeeds(live.path(), &["verify"]);
}

#[test]
fn a_broken_store_is_not_started_and_stays_as_it_is() {
    let sound = plain_store();
    let sound = bytes(sound.path());
    for (what, broken, word) in broken(&sound) {
        if what == "a flipped bit" {
            continue;
        }
        let folder = support::temporary_folder();
        fs::write(data(folder.path()), &broken).unwrap();
        let (status, log) =
            Server::try_start_in(folder.path(), &[]).err().unwrap_or_else(|| panic!("{what} starts"));
        assert_eq!(status.code(), Some(1), "{what}: {status} {log}");
        for word in [word, path(&data(folder.path())), "plexichat restore"] {
            assert!(log.contains(word), "{what}: {word:?} is not in {log}");
        }
        assert!(bytes(folder.path()) == broken, "{what}");
        let backup = folder.path().join("copy");
        fails(folder.path(), &["backup", path(&backup)], &[path(&data(folder.path()))]);
        assert!(!backup.exists(), "{what}");
    }
}

#[test]
fn a_restore_overwrites_nothing_that_is_kept() {
    let folder = support::temporary_folder();
    let (first, second) = (support::temporary_folder(), support::temporary_folder());
    filled_store(folder.path(), 1);
    let original = bytes(folder.path());
    for (index, copy) in [first.path(), second.path(), first.path()].into_iter().enumerate() {
        if index < 2 {
            filled_store(copy, 2 + index as u64);
        }
        succeeds(folder.path(), &["restore", path(copy)]);
        assert!(bytes(folder.path()) == bytes(copy));
    }
    let kept =
        |suffix: &str| fs::read(folder.path().join(format!("data.mdb.before-restore{suffix}"))).unwrap();
    assert!(kept("") == original);
    assert!(kept(".2") == bytes(first.path()));
    assert!(kept(".3") == bytes(second.path()));
    // The first one comes back by its name.
    let previous = folder.path().join("data.mdb.before-restore");
    succeeds(folder.path(), &["restore", path(&previous)]);
    assert!(bytes(folder.path()) == original && kept("") == original);
}

#[test]
fn a_store_is_not_restored_from_itself() {
    let folder = support::temporary_folder();
    filled_store(folder.path(), 3);
    let before = bytes(folder.path());
    let other = support::temporary_folder();
    symlink(folder.path(), other.path().join("linked")).unwrap();
    fs::create_dir(other.path().join("hard")).unwrap();
    fs::hard_link(data(folder.path()), data(&other.path().join("hard"))).unwrap();
    fs::create_dir(other.path().join("soft")).unwrap();
    symlink(data(folder.path()), data(&other.path().join("soft"))).unwrap();
    let dotted = folder.path().join("../").join(folder.path().file_name().unwrap());
    let (linked, hard, soft) =
        (other.path().join("linked"), other.path().join("hard"), other.path().join("soft"));
    for name in [folder.path(), &linked, &hard, &soft, &dotted, Path::new("."), &data(folder.path())] {
        fails(folder.path(), &["restore", path(name)], &["the store itself"]);
        assert!(bytes(folder.path()) == before);
    }
    let server = Server::start_in(other.path(), &[]);
    fails(folder.path(), &["restore", path(server.folder())], &["a server is using it", "plexichat backup"]);
    assert!(bytes(folder.path()) == before);
    fails(server.folder(), &["restore", path(folder.path())], &["in use by another process"]);
}

#[test]
fn a_backup_has_a_checksum_and_goes_into_an_empty_folder_only() {
    let folder = support::temporary_folder();
    filled_store(folder.path(), 20);
    let place = support::temporary_folder();
    fs::write(place.path().join("letter.txt"), "keep me").unwrap();
    fails(folder.path(), &["backup", path(place.path())], &["is not empty", "letter.txt"]);
    fails(folder.path(), &["backup", path(folder.path())], &["holds a store already"]);
    fs::remove_file(place.path().join("letter.txt")).unwrap();
    succeeds(folder.path(), &["backup", path(place.path())]);
    fails(folder.path(), &["backup", path(place.path())], &["holds a store already"]);
    let sums = std::process::Command::new("sha256sum")
        .args(["-c", "data.mdb.sha256"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(sums.status.success(), "{}", text(&sums));
    assert!(succeeds(folder.path(), &["verify", path(place.path())]).contains("data.mdb.sha256 agrees"));
    // What an attempt that was killed has left is in nobody's way.
    fs::rename(data(place.path()), place.path().join("data.mdb.partial")).unwrap();
    succeeds(folder.path(), &["backup", path(place.path())]);
}

#[test]
fn everything_with_user_data_is_private_whatever_the_umask() {
    for umask in [0, 0o022, 0o777] {
        let place = support::temporary_folder();
        let (live, copy, restored) =
            (place.path().join("live"), place.path().join("copy/deep"), place.path().join("restored"));
        let with_umask = |folder: &Path, args: &[&str]| {
            let mut command = support::command(folder);
            command.current_dir(place.path()).args(args);
            // SAFETY: umask is async-signal-safe and touches only the new process.
            unsafe {
                command.pre_exec(move || {
                    libc::umask(umask);
                    Ok(())
                });
            }
            command
        };
        let mut server = with_umask(&live, &["--set", "server.port=0", "--set", "metrics.port=0"]);
        let mut server = server.stderr(std::process::Stdio::piped()).spawn().unwrap();
        wait_for(&live.join("lock.mdb"));
        let backup = with_umask(&live, &["backup", path(&copy)]).output().unwrap();
        assert!(backup.status.success(), "{}", text(&backup));
        server.kill().unwrap();
        server.wait().unwrap();
        for _ in 0..2 {
            let restore = with_umask(&restored, &["restore", path(&copy)]).output().unwrap();
            assert!(restore.status.success(), "{}", text(&restore));
        }
        for folder in [&live, &copy, &restored] {
            assert_eq!(mode(folder), 0o700, "{umask:o} {}", folder.display());
            let inside = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let (folders, mut files): (Vec<_>, Vec<_>) = inside(folder).partition(|path| path.is_dir());
            assert!(files.len() >= 2, "{files:?}");
            for folder in folders {
                assert_eq!(mode(&folder), 0o700, "{umask:o} {}", folder.display());
                files.extend(inside(&folder));
            }
            for file in files {
                assert_eq!(mode(&file), 0o600, "{umask:o} {}", file.display());
            }
        }
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + support::PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn rights_that_others_have_are_taken_at_the_start_and_told_by_check() {
    let folder = plain_store();
    fs::set_permissions(data(folder.path()), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(folder.path().join("plexichat.lock"), "").unwrap();
    fs::set_permissions(folder.path().join("plexichat.lock"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let check = |folder: &Path| text(&run(folder, &["check"]));
    let line = check(folder.path());
    let line = line.lines().find(|line| line.contains("who can read the data")).unwrap().to_owned();
    assert!(line.starts_with("warning") && line.contains("0755"), "{line}");
    drop(Server::start_in(folder.path(), &[]));
    assert_eq!(mode(&data(folder.path())), 0o600);
    assert_eq!(mode(&folder.path().join("plexichat.lock")), 0o600);
    assert_eq!(mode(folder.path()), 0o755, "the folder is the operator's");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let line = check(folder.path());
    let line = line.lines().find(|line| line.contains("who can read the data")).unwrap().to_owned();
    assert!(line.starts_with("ok"), "{line}");
}

#[test]
fn a_restore_by_root_leaves_the_store_to_its_user() {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    const USER: u32 = 12_345;
    let folder = support::temporary_folder();
    let copy = support::temporary_folder();
    filled_store(copy.path(), 3);
    for had_store in [false, true] {
        if had_store {
            filled_store(folder.path(), 1);
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER)).unwrap();
        succeeds(folder.path(), &["restore", path(copy.path())]);
        assert_eq!((mode(folder.path()), fs::metadata(folder.path()).unwrap().uid()), (0o750, USER));
        for name in ["data.mdb", "plexichat.lock"] {
            let file = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (USER, USER, 0o600), "{name}");
        }
    }
    // As does a backup, which may be the first to need LMDB's lock file.
    succeeds(folder.path(), &["backup", path(&copy.path().join("backup"))]);
    assert_eq!(fs::metadata(folder.path().join("lock.mdb")).unwrap().uid(), USER);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let folder = support::temporary_folder();
    filled_store(folder.path(), 3);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(12_345), Some(12_345)).unwrap();
    let names = ["plexichat.lock", "lock.mdb", "data.mdb"];
    for name in names {
        for name in names {
            std::os::unix::fs::chown(folder.path().join(name), Some(12_345), Some(12_345)).unwrap();
        }
        std::os::unix::fs::chown(folder.path().join(name), Some(0), Some(0)).unwrap();
        let program = support::temporary_folder();
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copied = program.path().join("plexichat");
        // By a process of its own: one that another test starts meanwhile would inherit the copy as it is open for
        // writing, and while it is open for that it cannot be run.
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg(env!("CARGO_BIN_EXE_plexichat")).arg(&copied).status().unwrap().success());
        let output = std::process::Command::new(copied)
            .args(["--data", path(folder.path()), "--set", "server.port=0", "--set", "metrics.port=0"])
            .uid(12_345)
            .gid(12_345)
            .env_clear()
            .current_dir("/")
            .output()
            .unwrap();
        let said = text(&output);
        let file = folder.path().join(name);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(path(&file)) && said.contains("belongs to user 0"), "{said}");
        assert!(said.contains("sudo chown -R 12345"), "{said}");
    }
}

#[test]
fn a_store_that_went_missing_is_not_replaced_by_an_empty_one() {
    for name in ["data.mdb.before-restore", "data.mdb.partial"] {
        let folder = support::temporary_folder();
        filled_store(folder.path(), 3);
        fs::rename(data(folder.path()), folder.path().join(name)).unwrap();
        let (status, log) = Server::try_start_in(folder.path(), &[]).map(drop).expect_err("no start");
        assert!(status.code() == Some(1) && log.contains(name) && log.contains("plexichat restore"), "{log}");
        assert!(!data(folder.path()).exists());
    }
}

#[test]
fn a_full_disk_at_the_first_start_is_told() {
    for size in ["4k", "8k", "16k"] {
        let Some(disk) = SmallDisk::mount(&format!("size={size},mode=700")) else { return };
        let started = Server::try_start_in(disk.path(), &[]).map(drop);
        let left: Vec<_> =
            fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let (status, log) = started.expect_err("no room, no start");
        assert!(
            status.code() == Some(1) && log.contains("No space left on the disk"),
            "{size}: {status} {log}"
        );
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("data.mdb")), "{left:?}");
    }
}

#[test]
fn a_store_is_read_from_a_disk_that_cannot_be_written() {
    let Some(disk) = SmallDisk::mount("size=32m,mode=700") else { return };
    let place = support::temporary_folder();
    filled_store(disk.path(), 50);
    for is_new in [false, true] {
        if is_new {
            fs::remove_file(disk.path().join("lock.mdb")).unwrap();
        }
        disk.remount("ro");
        let copy = place.path().join(is_new.to_string());
        succeeds(disk.path(), &["backup", path(&copy)]);
        succeeds(disk.path(), &["verify"]);
        succeeds(place.path(), &["verify", path(&copy)]);
        disk.remount("rw");
    }
}

#[test]
fn a_store_in_use_is_found_by_the_bare_name_of_its_file() {
    let folder = support::temporary_folder();
    let mut server = Server::start_in(folder.path(), &[]);
    server.register("ada");
    // Commands run in the folder.
    let said = succeeds(folder.path(), &["verify", "data.mdb"]);
    assert!(said.contains("data.mdb: ") && said.contains("All is well"), "{said}");
    let other = support::temporary_folder();
    let set = format!("store.path={}", other.path().display());
    fails(folder.path(), &["--set", &set, "restore", "data.mdb"], &["a server is using it"]);
    server.kill();
    succeeds(folder.path(), &["verify", "data.mdb"]);
}

#[test]
fn a_damaged_record_is_an_error_and_not_an_answer() {
    // So that it is known where in the file a message lies.
    const PLAIN_TEXT: [&str; 1] = ["messaging.encrypt_messages=false"];
    let folder = support::temporary_folder();
    let (page, token, ids);
    {
        let server = Server::start_in(folder.path(), &PLAIN_TEXT);
        let user = server.register("ada");
        let mut http = server.http();
        let made = http.post("/api/v1/servers", Some(&user.token), &json!({"name": "Damaged"})).want(200);
        let channel = made["default_channel_id"].as_str().unwrap().to_owned();
        page = format!("/api/v1/channels/{channel}/messages");
        token = user.token;
        ids = ["first", "second needle here", "third"].map(|content| {
            let posted = http.post(&page, Some(&token), &json!({"content": content})).want(200);
            posted["id"].as_str().unwrap().to_owned()
        });
        server.stop();
    }
    let mut damaged = bytes(folder.path());
    let places: Vec<usize> = (0..damaged.len() - 6).filter(|at| &damaged[*at..at + 6] == b"needle").collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| damaged[*at] ^= 0x20);
    fs::write(data(folder.path()), &damaged).unwrap();
    fails(folder.path(), &["verify"], &["table messages", &ids[1], "checksum"]);
    fails(folder.path(), &["backup", path(&folder.path().join("copy"))], &["damaged", "table messages"]);
    let server = Server::start_in(folder.path(), &PLAIN_TEXT);
    let mut http = server.http();
    for request in [page.clone(), format!("{page}/{}", ids[1])] {
        let answer = http.get(&request, Some(&token));
        assert_eq!(answer.status, 500, "{request}");
        let said = answer.want(500).to_string();
        assert!(said.contains("damaged on disk") && !said.contains("eedle"), "{said}");
    }
    // Others are served.
    assert_eq!(http.get(&format!("{page}/{}", ids[0]), Some(&token)).want(200)["content"], "first");
    let edit =
        http.call("PATCH", &format!("{page}/{}", ids[1]), Some(&token), Some(&json!({"content": "new"})));
    assert_eq!(edit.status, 500);
    // More than end the window of the ledger that it is in.
    for index in 0..200 {
        http.post(&page, Some(&token), &json!({"content": format!("goes on {index}")})).want(200);
    }
    let log = server.log_with("a record is damaged on disk");
    assert!(log.contains(&ids[1]), "{log}");
}
