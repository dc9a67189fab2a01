//! Files over loopback: sent by the kernel, read by a lane, in part, slowly, and cut under the one who reads.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream as Client;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use super::http::tests::{GET, LAST, Server, read_all, read_answer, server, statuses};
use crate::config::{Config, Http};
use crate::limits::{KIB, MIB, SENDFILE_LEN_MAX, SHORT_FILE_LEN_MAX};
use crate::store::hex;

/// Text in which every place is another.
fn text(len: usize) -> String {
    (0..len / 8 + 1).map(|number| format!("{number:07} ")).collect::<String>()[..len].to_string()
}

struct Kept {
    text: String,
    path: String,
    file: PathBuf,
}

fn keep(server: &Server, len: usize) -> Kept {
    let text = text(len);
    let hash = hex::encode(&server.store.blobs().put(&mut text.as_bytes()).unwrap());
    let file = server.store.path().join("blobs").join(&hash[..2]).join(&hash[2..]);
    Kept { text, path: format!("/api/v1/testing/files/{hash}"), file }
}

fn ask(line: &str, version: &str, headers: &str) -> String {
    format!("{line} HTTP/{version}\r\nHost: h\r\n{headers}\r\n")
}

fn get(kept: &Kept, headers: &str) -> String {
    ask(&format!("GET {}", kept.path), "1.1", headers)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// Has the kernel drop what it has in memory of a file.
fn drop_pages(kept: &Kept, at: usize, len: usize) {
    let file = OpenOptions::new().read(true).open(&kept.file).unwrap();
    let advice = libc::POSIX_FADV_DONTNEED;
    // SAFETY: takes no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), at as i64, len as i64, advice) };
}

#[test]
fn files_of_all_lengths_are_sent_whole_and_in_part() {
    let server = server(Config::default());
    let portion = SENDFILE_LEN_MAX;
    for len in [1, 10_000, SHORT_FILE_LEN_MAX, SHORT_FILE_LEN_MAX + 1, portion, portion + 1, 5 * MIB + 7] {
        let kept = keep(&server, len);
        let mut client = server.client();
        for (headers, range) in [
            ("", 0..len),
            ("Range: bytes=0-0\r\n", 0..1),
            (&format!("Range: bytes={}-\r\n", len / 3), len / 3..len),
            (&format!("Range: bytes=-{}\r\n", len / 2 + 1), len - len / 2 - 1..len),
        ] {
            client.write_all(get(&kept, headers).as_bytes()).unwrap();
            let answer = read_answer(&mut client, true);
            assert!(body(&answer) == &kept.text[range], "{len} {headers}");
        }
        let etag = format!("\"{}\"", kept.path.rsplit('/').next().unwrap());
        let part = format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n");
        let other = "Range: bytes=0-0\r\nIf-Range: \"other\"\r\n";
        let known = format!("If-None-Match: {etag}\r\n");
        for (headers, status, want) in [
            (part.as_str(), 206, 1),
            (other, 200, len),
            (&known, 304, 0),
            ("Range: bytes=9999999-\r\n", 416, 64),
        ] {
            client.write_all(get(&kept, headers).as_bytes()).unwrap();
            let answer = read_answer(&mut client, true);
            assert_eq!(statuses(&answer), [status], "{headers}");
            assert!(status == 416 || body(&answer).len() == want, "{headers}");
        }
        client.write_all(ask(&format!("HEAD {}", kept.path), "1.1", "").as_bytes()).unwrap();
        let head = read_answer(&mut client, false);
        assert!(head.contains(&format!("content-length: {len}\r\n")) && head.ends_with("\r\n\r\n"), "{head}");
        client.write_all(ask(&format!("GET {}", kept.path), "1.0", "").as_bytes()).unwrap();
        assert!(body(&read_all(&mut client)) == kept.text, "{len} for an older client");
    }
    assert!(server.drained());
}

#[test]
fn what_is_not_in_memory_is_read_first() {
    let server = server(Config::default());
    let kept = keep(&server, 2 * MIB);
    let answer = |headers: &str| server.talk(&[&get(&kept, headers), LAST]);
    for (at, len) in [(0, 0), (0, 64 * KIB), (MIB, 4 * KIB), (MIB + 4 * KIB, 0), (300 * KIB, MIB)] {
        drop_pages(&kept, at, len);
        let text = answer("");
        assert!(body(&text).starts_with(&kept.text), "{at} {len}");
        assert_eq!(statuses(&text), [200, 200]);
        drop_pages(&kept, at, len);
        let part = answer("Range: bytes=299999-1999999\r\n");
        assert!(body(&part).starts_with(&kept.text[299_999..2_000_000]), "{at} {len}");
    }
    assert!(server.drained());
}

#[test]
fn files_keep_their_place_among_pipelined_requests() {
    let server = server(Config::default());
    let (short, long) = (keep(&server, 10_000), keep(&server, 700_000));
    let wanted = [&long, &short, &long, &short, &short];
    let requests: String = wanted.iter().flat_map(|kept| [get(kept, ""), GET.to_string()]).collect();
    let text = server.talk(&[&requests, LAST]);
    let mut rest = text.as_str();
    for kept in wanted {
        rest = body(rest).strip_prefix(kept.text.as_str()).expect("the file");
        assert!(rest.starts_with("HTTP/1.1 200 OK"), "the answer behind it");
        rest = body(rest).split_once('}').unwrap().1;
    }
    assert!(rest.starts_with("HTTP/1.1 200 OK"));
    assert!(server.drained());
}

/// Reads so many bytes, a little at a time.
fn read_slowly(client: &mut Client, len: usize) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 50_000]);
    while bytes.len() < len {
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0, "the end after {} bytes", bytes.len());
        bytes.extend_from_slice(&piece[..count]);
        std::thread::sleep(Duration::from_millis(2));
    }
    bytes
}

#[test]
fn slow_readers_get_all_and_those_who_do_not_read_are_ended() {
    let config = Config { http: Http { body_timeout_ms: 5_000, ..Http::default() }, ..Config::default() };
    let server = server(config);
    let kept = keep(&server, 12 * MIB);
    let mut idle: Vec<Client> = (0..20).map(|_| server.client()).collect();
    idle.iter_mut().for_each(|client| client.write_all(get(&kept, "").as_bytes()).unwrap());
    let mut slow = server.client();
    slow.write_all(get(&kept, "").as_bytes()).unwrap();
    // Others have their turn meanwhile.
    assert_eq!(statuses(&server.talk(&[LAST])), [200]);
    let bytes = read_slowly(&mut slow, kept.text.len());
    let text = String::from_utf8_lossy(&bytes);
    assert!(kept.text.starts_with(&body(&text)[..kept.text.len() - 1_000]));
    drop(slow);
    assert!(server.drained(), "nobody is waited for without end");
    let mut part = Vec::new();
    let _ = idle[0].read_to_end(&mut part);
    assert!(part.len() < kept.text.len(), "{}", part.len());
}

#[test]
fn who_stops_half_way_leaves_nothing_behind() {
    let server = server(Config::default());
    let kept = keep(&server, 12 * MIB);
    for _ in 0..10 {
        let mut client = server.client();
        client.write_all(get(&kept, "").as_bytes()).unwrap();
        client.read_exact(&mut [0; 100_000]).unwrap();
    }
    assert!(server.drained());
}

/// Nobody takes the part for the whole.
#[test]
fn a_file_that_is_cut_ends_the_connection() {
    let server = server(Config::default());
    for left in [0, MIB, 3 * MIB + 100] {
        let kept = keep(&server, 24 * MIB);
        let mut client = server.client();
        client.write_all(get(&kept, "").as_bytes()).unwrap();
        client.read_exact(&mut [0; 1_000]).unwrap();
        OpenOptions::new().write(true).open(&kept.file).unwrap().set_len(left as u64).unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.len() < kept.text.len() - 1_000, "{left}: {}", rest.len());
        std::fs::remove_file(&kept.file).unwrap();
    }
    assert_eq!(statuses(&server.talk(&[LAST])), [200]);
    assert!(server.drained());
}
