//! Commands that are killed at a random moment, again and again.

use super::*;

/// Runs a command again and again and kills it at a random moment, up to a little after it would have ended. Between
/// two runs `check` looks at what is there; it hears whether the command ended by itself.
fn kill_at_random(folder: &Path, args: &[&str], mut check: impl FnMut(bool)) {
    let seed = number("STORE_SEED", fastrand::u64(..));
    println!("STORE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let whole = run(folder, args);
    let time_max = begun.elapsed().as_micros() as u64 * 5 / 4;
    check(whole.status.success());
    let mut ended = 0;
    let kills = number("STORE_KILLS", 12);
    for _ in 0..kills {
        let mut command = support::command(folder);
        command.args(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.u64(..time_max)));
        let _ = child.kill();
        let done = child.wait().unwrap().success();
        ended += u64::from(done);
        check(done);
    }
    println!("{args:?}: {kills} kills, {ended} came too late");
}

#[test]
fn a_killed_restore_leaves_the_old_store_or_the_new_one() {
    let (folder, first, second) =
        (support::temporary_folder(), support::temporary_folder(), support::temporary_folder());
    filled_store(first.path(), 300);
    filled_store(second.path(), 900);
    filled_store(folder.path(), 600);
    let places = [first.path(), second.path(), folder.path()];
    let keys = |place: &Path| fs::read_to_string(place.join("server.keys")).unwrap();
    for (digit, place) in places.iter().enumerate() {
        fs::write(place.join("server.keys"), format!("1 {}\n", digit.to_string().repeat(64))).unwrap();
    }
    let stores = places.map(|place| (bytes(place), keys(place)));
    let keys_of = |store: &[u8]| {
        let known = stores.iter().find(|(bytes, _)| bytes == store);
        known.expect("the old store or a whole new one").1.as_str()
    };
    for copy in [first.path(), second.path()] {
        kill_at_random(folder.path(), &["restore", path(copy)], |_| {
            // Whichever store is there, the keys of what is sealed in it are.
            let (now, there) = (bytes(folder.path()), keys(folder.path()));
            assert!(there.contains(keys_of(&now)), "{there}");
            for entry in fs::read_dir(folder.path()).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().starts_with("data.mdb.before-restore") {
                    let kept = fs::read(entry.path()).unwrap();
                    assert!(there.contains(keys_of(&kept)), "{:?}: {there}", entry.path());
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            // Each restore replaces another store than its own, with other keys.
            let (store, keys) = &stores[2];
            fs::write(data(folder.path()), store).unwrap();
            fs::write(folder.path().join("server.keys"), keys).unwrap();
        });
        succeeds(folder.path(), &["restore", path(copy)]);
        assert!(bytes(folder.path()) == bytes(copy));
    }
    drop(Server::start_in(folder.path(), &[]));
}

#[test]
fn a_killed_backup_is_whole_or_none_and_the_next_one_succeeds() {
    let (folder, place) = (support::temporary_folder(), support::temporary_folder());
    filled_store(folder.path(), 600);
    let server = Server::start_in(folder.path(), &[]);
    let copy = place.path().join("copy");
    kill_at_random(folder.path(), &["backup", path(&copy)], |_| {
        if data(&copy).exists() {
            succeeds(folder.path(), &["verify", path(&copy)]);
            fs::remove_dir_all(&copy).unwrap();
        }
    });
    let _ = fs::remove_file(data(&copy));
    succeeds(folder.path(), &["backup", path(&copy)]);
    assert_eq!(server.stop().code(), Some(0));
    succeeds(folder.path(), &["verify"]);
}

#[test]
fn a_killed_verify_changes_nothing() {
    let folder = support::temporary_folder();
    filled_store(folder.path(), 600);
    let before = bytes(folder.path());
    kill_at_random(folder.path(), &["verify"], |_| assert!(bytes(folder.path()) == before));
    drop(Server::start_in(folder.path(), &[]));
}

#[test]
fn a_killed_start_is_followed_by_another() {
    let seed = number("STORE_SEED", fastrand::u64(..));
    println!("STORE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..number("STORE_KILLS", 12) {
        let folder = support::temporary_folder();
        // The same folder is started several times; the last one must come up and be whole.
        for _ in 0..3 {
            let mut command = support::command(folder.path());
            command.args(["--set", "server.port=0", "--set", "metrics.port=0", "--set", "runtime.cores=1"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.u64(..40_000)));
            let _ = child.kill();
            let _ = child.wait();
        }
        let server = Server::start_in(folder.path(), &[]);
        server.register("ada");
        assert_eq!(server.stop().code(), Some(0));
        succeeds(folder.path(), &["verify"]);
        assert!(!folder.path().join("data.mdb.new").exists());
    }
}
