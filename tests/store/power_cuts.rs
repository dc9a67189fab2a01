//! Power cuts: a disk that is cut off from its machine.

use super::*;

/// An ext4 of its own, which can be cut off from its disk.
struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    fn new() -> Disk {
        let disk = Disk { place: support::temporary_folder() };
        let image = disk.place.path().join("image");
        fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        fs::create_dir(disk.mount()).unwrap();
        tool("mkfs.ext4", &["-q", path(&image)]);
        disk.attach();
        disk
    }

    fn mount(&self) -> PathBuf {
        self.place.path().join("mount")
    }

    fn attach(&self) {
        tool("mount", &["-o", "loop", path(&self.place.path().join("image")), path(&self.mount())]);
    }

    fn detach(&self) {
        tool("umount", &[path(&self.mount())]);
    }

    /// From now on nothing reaches the disk, what waits in the journal included.
    fn cut(&self) {
        use std::os::fd::AsRawFd as _;
        const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
        let no_log_flush: u32 = 2;
        let folder = fs::File::open(self.mount()).unwrap();
        // SAFETY: the ioctl reads a number.
        assert_eq!(unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const no_log_flush) }, 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.mount()).status();
    }
}

fn tool(program: &str, args: &[&str]) {
    assert!(std::process::Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

/// Posts until the connection is lost; contents with the time at which they were acknowledged.
fn post(address: std::net::SocketAddr, token: &str, channel: &str, name: &str) -> Vec<(String, Instant)> {
    let mut known = Vec::new();
    let Ok(mut line) = Line::open(address) else { return known };
    for count in 0.. {
        let content = format!("{name} {count} {}", "·".repeat(count % 300));
        let posted = line.post(&format!("/channels/{channel}/messages"), token, &json!({"content": content}));
        match posted {
            Ok(answer) if answer.status == 200 => known.push((content, Instant::now())),
            _ => break,
        }
    }
    known
}

fn contents(address: std::net::SocketAddr, token: &str, channel: &str) -> std::collections::HashSet<String> {
    let mut line = Line::open(address).unwrap();
    let (mut found, mut last) = (std::collections::HashSet::new(), String::from("0"));
    loop {
        let path = format!("/channels/{channel}/messages?limit=100&after={last}");
        let page = line.get(&path, token).unwrap().want(200);
        let page = page.as_array().unwrap();
        found.extend(page.iter().map(|message| message["content"].as_str().unwrap().to_owned()));
        // In the order of ids, whichever way round the page is.
        let ids = page.iter().map(|message| message["id"].as_str().unwrap().to_owned());
        last = ids.max_by_key(|id| id.parse::<u64>().unwrap()).unwrap_or(last);
        if page.len() < 100 {
            return found;
        }
    }
}

/// Cuts the power again and again while posters post; `lost` is told what is gone of each poster's acknowledged posts,
/// and when the cut was.
fn cut_at_random(sync: &str, lost: impl Fn(&[&(String, Instant)], Instant)) {
    let disk = Disk::new();
    let folder = disk.mount().join("data");
    fs::create_dir(&folder).unwrap();
    let options = [format!("store.sync={sync}"), "store.map_size=128MiB".to_owned()];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut server = Server::start_in(&folder, &options);
    let user = server.register("ada");
    let made = server.http().post("/api/v1/servers", Some(&user.token), &json!({"name": "Power"})).want(200);
    let channel = made["default_channel_id"].as_str().unwrap().to_owned();
    // What comes before the first cut is on disk, with either setting.
    assert_eq!(server.stop().code(), Some(0));
    server = Server::start_in(&folder, &options);
    let (mut acknowledged, mut gone) = (0, 0);
    let cuts = number("POWER_CUTS", 3);
    for cut in 0..cuts {
        let address = server.address();
        let posters: Vec<_> = (0..4)
            .map(|poster| {
                let (token, channel) = (user.token.clone(), channel.clone());
                std::thread::spawn(move || post(address, &token, &channel, &format!("{cut}-{poster}")))
            })
            .collect();
        let pause = if sync == "always" { fastrand::u64(50..800) } else { fastrand::u64(1_500..3_500) };
        std::thread::sleep(Duration::from_millis(pause));
        let at = Instant::now();
        disk.cut();
        server.kill();
        let known: Vec<_> = posters.into_iter().map(|poster| poster.join().unwrap()).collect();
        disk.detach();
        disk.attach();
        assert!(succeeds(&folder, &["verify"]).contains("All is well"));
        server = Server::start_in(&folder, &options);
        let found = contents(server.address(), &user.token, &channel);
        for known in known {
            let missing: Vec<_> = known.iter().filter(|(content, _)| !found.contains(content)).collect();
            let kept = known.len() - missing.len();
            assert!(known[..kept].iter().all(|(content, _)| found.contains(content)), "a hole");
            (acknowledged, gone) = (acknowledged + known.len(), gone + missing.len());
            lost(&missing, at);
        }
    }
    println!("{sync}: {cuts} power cuts, {acknowledged} acknowledged, {gone} lost");
    assert_eq!(server.stop().code(), Some(0));
    succeeds(&folder, &["verify"]);
}

#[test]
#[ignore = "needs root and a loop device"]
fn a_power_cut_loses_nothing_with_always() {
    cut_at_random("always", |missing, _| assert!(missing.is_empty(), "{missing:?}"));
}

#[test]
#[ignore = "needs root and a loop device"]
fn a_power_cut_loses_the_last_interval_with_interval() {
    // A second, and what a busy machine adds to it.
    const LOST_MAX: Duration = Duration::from_millis(1_400);
    cut_at_random("interval", |missing, at| {
        let oldest = missing.first().map_or(at, |(_, acknowledged)| *acknowledged);
        assert!(at.saturating_duration_since(oldest) < LOST_MAX, "{:?}", at - oldest);
    });
}
