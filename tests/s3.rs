//! Files of clients in object storage, tried on s3s-fs, which checks what is signed and keeps objects in a folder.
//!
//! `cargo install s3s-fs --version 0.14.1 --features binary`; `.ci/run` installs it.

mod support;

use std::fs;
use std::io::Cursor;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use image::{DynamicImage, ImageFormat};
use plexichat::config::MediaS3;
use plexichat::effect::s3::S3;
use plexichat::store::blobs::{Blobs, Hash, SHELF_COUNT};
use plexichat::store::keyring::Keyring;
use plexichat::store::sealed::MARK;
use support::{PATIENCE, Server};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";
const SECRET: &str = "a-secret-that-both-know";

struct Storage {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Storage {
    /// `None` where there is none to start.
    fn start() -> Option<Storage> {
        let mut storage = Storage::begin(support::temporary_folder(), free_port())?;
        fs::create_dir(storage.folder.path().join("bucket")).unwrap();
        storage.wait();
        Some(storage)
    }

    fn begin(folder: tempfile::TempDir, port: u16) -> Option<Storage> {
        match Storage::spawn(folder.path(), port) {
            Ok(child) => Some(Storage { child, port, folder }),
            Err(error) => {
                // Where nobody reads what is printed, a test that does not run must not pass.
                assert!(std::env::var_os(REQUIRED).is_none(), "s3s-fs: {error}");
                println!("skipped: there is no s3s-fs ({error}); cargo install s3s-fs");
                None
            }
        }
    }

    fn spawn(folder: &Path, port: u16) -> std::io::Result<Child> {
        let mut command = Command::new("s3s-fs");
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", "who"]);
        command.args(["--secret-key", SECRET]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    fn wait(&mut self) {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "s3s-fs does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn go_on(&mut self) {
        self.child = Storage::spawn(self.folder.path(), self.port).unwrap();
        self.wait();
    }

    fn options(&self) -> MediaS3 {
        MediaS3 {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            bucket: "bucket".into(),
            prefix: "chat/".into(),
            access_key: "who".into(),
            secret_key: SECRET.into(),
            ..MediaS3::default()
        }
    }

    /// The same as a server takes them.
    fn settings(&self) -> Vec<String> {
        let MediaS3 { endpoint, bucket, prefix, access_key, secret_key, .. } = self.options();
        let options = [
            ("endpoint", endpoint),
            ("bucket", bucket),
            ("prefix", prefix),
            ("access_key", access_key),
            ("secret_key", secret_key),
        ];
        let of_s3 = options.iter().map(|(name, value)| format!("media.s3.{name}={value}"));
        ["media.storage_backend=s3".to_string()].into_iter().chain(of_s3).collect()
    }

    /// Files of objects.
    fn objects(&self) -> Vec<PathBuf> {
        let shelves = fs::read_dir(self.folder.path().join("bucket/chat")).into_iter().flatten();
        let objects = shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap());
        objects.map(|object| object.unwrap().path()).filter(|path| path.is_file()).collect()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("it is bound").port()
}

fn open(options: &MediaS3, place: &Path, keys: &Arc<Keyring>, seals: bool) -> Result<S3, String> {
    S3::open(options, place, keys.clone(), seals)
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 + at / 251 + len) as u8).collect()
}

fn read(blobs: &dyn Blobs, hash: &Hash, at: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    blobs.open(hash)?.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[test]
fn who_does_not_know_the_secret_is_let_nowhere() {
    let Some(storage) = Storage::start() else { return };
    let place = support::temporary_folder();
    let keys = Arc::new(Keyring::new());
    let options = storage.options();
    assert!(open(&options, place.path(), &keys, true).is_ok());
    for wrong in [
        MediaS3 { secret_key: "another".into(), ..options.clone() },
        MediaS3 { access_key: "another".into(), ..options.clone() },
        MediaS3 { bucket: "another".into(), ..options.clone() },
    ] {
        let error = open(&wrong, place.path(), &keys, true).err().expect("it is not let in");
        assert!(error.contains("media.s3") && !error.contains(SECRET) && !error.contains("X-Amz"), "{error}");
    }
    let nowhere = MediaS3 { endpoint: "nowhere".into(), ..options };
    assert!(open(&nowhere, place.path(), &keys, true).err().expect("no address").contains("endpoint"));
}

#[test]
fn files_of_all_lengths_come_back_in_part_and_whole() {
    let Some(storage) = Storage::start() else { return };
    let place = support::temporary_folder();
    let keys = Arc::new(Keyring::new());
    for seals in [false, true] {
        let s3 = open(&storage.options(), place.path(), &keys, seals).unwrap();
        // The last one goes in parts.
        for len in [0, 1, 65_535, 65_536, 66_600, 200_000, 17_000_000] {
            let content = content(len + usize::from(seals));
            let len = content.len();
            let hash = s3.put(&mut content.as_slice()).unwrap();
            assert_eq!(s3.open(&hash).unwrap().len(), len as u64);
            assert!(
                read(&s3, &hash, 0, len.min(1_000_000)).unwrap() == content[..len.min(1_000_000)],
                "{len}"
            );
            for (at, count) in [(len / 2, len / 100), (len - len.min(70_000), len.min(70_000))] {
                let part = read(&s3, &hash, at as u64, count).unwrap();
                assert!(part == content[at..at + count], "{len}: {count} from {at}");
            }
            assert!(read(&s3, &hash, 0, len + 1).is_err());
            // Again is the same object.
            assert!(len > 100_000 || s3.put(&mut content.as_slice()).unwrap() == hash);
        }
    }
    // As they lie there.
    for seals in [false, true] {
        let s3 = open(&storage.options(), place.path(), &keys, seals).unwrap();
        let content = content(100_000 + usize::from(seals));
        let name = plexichat::store::hex::encode(&s3.put(&mut content.as_slice()).unwrap());
        let path = storage.folder.path().join("bucket/chat").join(&name[..2]).join(&name[2..]);
        let raw = fs::read(path).unwrap();
        assert_eq!((raw == content, raw.starts_with(&MARK)), (!seals, seals));
        assert_eq!(read(&s3, &[7; 32], 0, 1).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn what_is_old_and_not_named_is_collected_page_by_page() {
    let Some(storage) = Storage::start() else { return };
    let place = support::temporary_folder();
    let keys = Arc::new(Keyring::new());
    let put = |text: &str| {
        let s3 = open(&storage.options(), place.path(), &keys, true).unwrap();
        s3.put(&mut text.as_bytes()).unwrap()
    };
    let hashes = ["named", "young", "old"].map(put);
    let [named, young, _] = hashes;
    let hour_ago = SystemTime::now() - Duration::from_secs(3_700);
    let name = |hash: &Hash| plexichat::store::hex::encode(hash)[2..].to_string();
    for path in storage.objects().iter().filter(|path| !path.ends_with(name(&young))) {
        fs::File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }
    let s3 = open(&storage.options(), place.path(), &keys, true).unwrap();
    let collect =
        || -> u64 { (0..SHELF_COUNT).map(|shelf| s3.collect(shelf, &|hash| *hash == named).unwrap()).sum() };
    assert_eq!((collect(), collect()), (1, 0));
    let left: Vec<bool> = hashes.iter().map(|hash| s3.open(hash).is_ok()).collect();
    assert_eq!(left, [true, true, false]);
}

/// Sends a picture of that size as somebody's avatar.
fn upload(server: &Server, token: &str, side: u32) -> support::Answer {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(side, side).write_to(&mut png, ImageFormat::Png).unwrap();
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let body = [head.as_bytes(), png.get_ref(), b"\r\n--b--"].concat();
    let authorization = format!("Bearer {token}");
    let headers = [("Content-Type", "multipart/form-data; boundary=b"), ("Authorization", &authorization)];
    server.http().request("POST", "/api/v1/avatars/users/@me", &headers, Some(&body))
}

#[test]
fn pictures_of_messages_lie_there_without_what_was_said_beside_them() {
    let Some(storage) = Storage::start() else { return };
    let settings = storage.settings();
    let settings: Vec<&str> =
        settings.iter().map(String::as_str).chain(["media.thumbnail_sizes=64"]).collect();
    let server = Server::start(&settings);
    let ada = server.register("ada");
    let mut http = server.http();
    let made = http.post("/api/v1/servers", Some(&ada.token), &support::json!({"name": "Society"})).want(200);
    let channels = format!("/api/v1/servers/{}/channels", made["id"].as_str().unwrap());
    let channel = http.get(&channels, Some(&ada.token)).want(200)[0]["id"].as_str().unwrap().to_owned();
    let file = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/turned-6.jpg")).unwrap();
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n";
    let body = [head.as_bytes(), &file, b"\r\n--b--"].concat();
    let authorization = format!("Bearer {}", ada.token);
    let headers = [("Content-Type", "multipart/form-data; boundary=b"), ("Authorization", &authorization)];
    let path = format!("/api/v1/channels/{channel}/attachments");
    let made = http.request("POST", &path, &headers, Some(&body)).want(200);
    assert_eq!(storage.objects().len(), 2, "the picture, and a small one");
    for url in [&made["url"], &made["thumbnails"]["64"]] {
        let kept = http.get(url.as_str().unwrap(), Some(&ada.token));
        assert_eq!(type_of(&kept), (200, Some("image/jpeg")));
        assert!(memchr::memmem::find(&kept.body, b"secret").is_none());
        assert!(image::load_from_memory(&kept.body).is_ok());
    }
}

fn type_of(answer: &support::Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("content-type"))
}

#[test]
fn a_server_keeps_its_pictures_there_and_says_so_when_it_cannot() {
    let Some(mut storage) = Storage::start() else { return };
    let settings = storage.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let place = support::temporary_folder();
    // From before, in the folder.
    let server = Server::start_in(place.path(), &[]);
    let [ada, bob] = ["ada", "bob"].map(|name| server.register(name));
    upload(&server, &ada.token, 9).want(200);
    server.stop();
    let server = Server::start_in(place.path(), &settings);
    upload(&server, &bob.token, 10).want(200);
    assert_eq!(storage.objects().len(), 1);
    let get = |server: &Server, user: &support::User| {
        server.http().get(&format!("/api/v1/avatars/users/{}", user.id), None)
    };
    for user in [&ada, &bob] {
        assert_eq!(type_of(&get(&server, user)), (200, Some("image/png")));
    }
    // Away: told so, and nothing is half there.
    storage.stop();
    let refused = upload(&server, &bob.token, 11);
    let body = refused.want(503);
    assert!(body["error"]["message"].as_str().unwrap().contains("try again"), "{body}");
    assert!(refused.header("retry-after").is_some());
    server.stop();
    let server = Server::start_in(place.path(), &settings);
    let answer = get(&server, &bob);
    answer.want(503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(type_of(&get(&server, &ada)), (200, Some("image/png")), "it lies in the folder");
    storage.go_on();
    let began = Instant::now();
    while get(&server, &bob).status != 200 {
        assert!(began.elapsed() < PATIENCE, "it is not asked again");
        std::thread::sleep(Duration::from_millis(200));
    }
    upload(&server, &bob.token, 11).want(200);
    assert_eq!(storage.objects().len(), 2);
    let log = server.log();
    assert!(!log.contains(SECRET) && !log.contains("X-Amz"), "{log}");
    server.stop();
    let verified = support::command(place.path()).arg("verify").output().unwrap();
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && told.contains("were not looked at"), "{told}");
}
