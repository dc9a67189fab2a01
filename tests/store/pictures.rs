//! Files beside the records: copied, compared and put back with them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat};

use crate::disk::SmallDisk;
use crate::support::{self, Answer, Http, Server, User, json};
use crate::{fails, path, succeeds};

/// Gives somebody an avatar of that size.
fn upload(http: &mut Http, user: &User, side: u32) {
    send(http, user, side).want(200);
}

fn send(http: &mut Http, user: &User, side: u32) -> Answer {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(side, side).write_to(&mut png, ImageFormat::Png).unwrap();
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let body = [head.as_bytes(), png.get_ref(), b"\r\n--b--"].concat();
    let authorization = format!("Bearer {}", user.token);
    let headers = [("Content-Type", "multipart/form-data; boundary=b"), ("Authorization", &authorization)];
    http.request("POST", "/api/v1/avatars/users/@me", &headers, Some(&body))
}

fn content_type(http: &mut Http, user: &User) -> String {
    let answer = http.get(&format!("/api/v1/avatars/users/{}", user.id), None);
    assert_eq!(answer.status, 200);
    answer.header("content-type").unwrap().to_owned()
}

fn blobs(folder: &Path) -> Vec<PathBuf> {
    let shelves = fs::read_dir(folder.join("blobs")).unwrap().map(|shelf| shelf.unwrap().path());
    let shelves = shelves.filter(|shelf| shelf.file_name().unwrap().len() == 2);
    shelves.flat_map(|shelf| fs::read_dir(shelf).unwrap().map(|blob| blob.unwrap().path())).collect()
}

#[test]
fn pictures_are_backed_up_compared_and_restored() {
    let [folder, copies, other] = [(); 3].map(|()| support::temporary_folder());
    let server = Server::start_in(folder.path(), &[]);
    let mut http = server.http();
    let [ada, bob] = ["ada", "bob"].map(|name| support::register(&mut http, name));
    upload(&mut http, &ada, 9);
    upload(&mut http, &bob, 10);
    assert_eq!(blobs(folder.path()).len(), 2);
    let copy = copies.path().join("copy");
    succeeds(folder.path(), &["backup", path(&copy)]);
    // What came later is not in it, and what was replaced stays for those who may still name it.
    upload(&mut http, &ada, 11);
    assert_eq!((blobs(folder.path()).len(), blobs(&copy).len()), (3, 2));
    for place in [folder.path(), &copy] {
        assert!(succeeds(folder.path(), &["verify", path(place)]).contains("All is well"));
    }
    drop(server);
    // Put back elsewhere, they are shown.
    assert!(!succeeds(other.path(), &["restore", path(&copy)]).contains("cannot be shown"));
    let server = Server::start_in(other.path(), &[]);
    let mut http = server.http();
    assert_eq!([&ada, &bob].map(|user| content_type(&mut http, user)), ["image/png", "image/png"]);
    drop(server);
    // One that is missing is told of, and stands in nobody's way.
    fs::remove_file(&blobs(&copy)[0]).unwrap();
    fails(folder.path(), &["verify", path(&copy)], &["DAMAGED", "No such file"]);
    fs::remove_dir_all(other.path().join("blobs")).unwrap();
    let told = succeeds(other.path(), &["restore", path(&copy)]);
    assert_eq!(told.matches("A picture cannot be shown").count(), 1, "{told}");
    let server = Server::start_in(other.path(), &[]);
    let mut http = server.http();
    let mut shown = [&ada, &bob].map(|user| content_type(&mut http, user));
    shown.sort();
    assert_eq!(shown, ["image/png", "image/svg+xml"]);
    server.log_with("the file of a picture cannot be read");
    // A damaged one is copied nowhere.
    fs::write(&blobs(folder.path())[0], "damaged").unwrap();
    fails(folder.path(), &["verify"], &["DAMAGED", "not the file that was written"]);
    let again = copies.path().join("again");
    fails(folder.path(), &["backup", path(&again)], &["is damaged"]);
    assert!(!again.exists());
}

/// Files stop when records still have room.
#[test]
fn files_leave_the_last_of_the_disk_to_records() {
    let Some(disk) = SmallDisk::mount("size=64m,mode=700") else { return };
    let server = Server::start_in(disk.path(), &[]);
    let mut http = server.http();
    let ada = support::register(&mut http, "ada");
    upload(&mut http, &ada, 9);
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 62 << 20]).unwrap();
    let refused = send(&mut http, &ada, 10).want(503);
    assert!(refused["error"]["message"].as_str().unwrap().contains("disk"), "{refused}");
    http.call("PATCH", "/api/v1/users/@me", Some(&ada.token), Some(&json!({"username": "countess"})))
        .want(200);
    assert_eq!(content_type(&mut http, &ada), "image/png");
    fs::remove_file(filler).unwrap();
    upload(&mut http, &ada, 10);
}
