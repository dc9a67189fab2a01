//! Long bodies over loopback, in both directions.

use std::io::Write;

use super::http::tests::{GET, LAST, read_all, read_answer, server, statuses};
use crate::config::Config;
use crate::limits::{PIECE_LEN, READ_LEN};

/// 100 MB through one connection, in pieces that are all it holds.
#[test]
fn takes_long_bodies_in_pieces() {
    const LEN: usize = 100_000_000;
    let server = server(Config::default());
    let upload = |headers: &str| {
        let auth = format!("Authorization: Bearer {}\r\n", server.token);
        format!("POST /api/v1/testing/upload HTTP/1.1\r\nHost: h\r\n{auth}{headers}\r\n")
    };
    let mut client = server.client();
    client.write_all(upload(&format!("Content-Length: {LEN}\r\n")).as_bytes()).unwrap();
    let part = vec![b'x'; 1_000_000];
    for _ in 0..LEN / part.len() {
        client.write_all(&part).unwrap();
    }
    client.write_all(GET.as_bytes()).unwrap();
    let answer = read_answer(&mut client, true);
    let numbers = answer.rsplit_once("\r\n\r\n").unwrap().1.trim_matches(['[', ']']);
    let numbers: Vec<usize> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    let [len, count, longest] = numbers[..] else { panic!("{answer}") };
    assert_eq!(len, LEN);
    assert!(count <= LEN / PIECE_LEN + 1 && longest <= PIECE_LEN + READ_LEN, "{count} pieces of {longest}");
    assert!(read_answer(&mut client, true).starts_with("HTTP/1.1 200 "), "the next request is read");
    drop(client);
    // In chunks, when asked for, and without any.
    let chunked =
        format!("{}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n{LAST}", upload("Transfer-Encoding: chunked\r\n"));
    let text = server.talk(&[&chunked]);
    assert!(statuses(&text) == [200, 200] && text.contains("[5,1,"), "{text}");
    let asked =
        server.talk(&[&upload("Expect: 100-continue\r\nContent-Length: 2\r\n"), &format!("ab{LAST}")]);
    assert_eq!(statuses(&asked), [100, 200, 200], "{asked}");
    assert_eq!(statuses(&server.talk(&[&upload(""), LAST])), [200, 200]);
    // Too long is refused by its head; a refusal on the way arrives, and ends the connection.
    assert_eq!(statuses(&server.talk(&[&upload("Content-Length: 104857601\r\n")])), [413]);
    let refused = upload(&format!("Content-Length: {LEN}\r\n")).replace("upload", "refusal");
    let mut client = server.client();
    client.write_all(refused.as_bytes()).unwrap();
    for _ in 0..5 {
        client.write_all(&part).unwrap();
    }
    let text = read_all(&mut client);
    assert!(statuses(&text) == [400] && text.contains("connection: close\r\n"), "{text}");
    drop(client);
    assert!(server.drained());
}

/// A task of a handler gets pieces as they come.
#[test]
fn takes_forms_while_they_come() {
    let server = server(Config::default());
    let form = |file: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n{file}\r\n--B--\r\n")
    };
    let head = |len: usize, more: &str| {
        let auth = format!("Authorization: Bearer {}\r\n", server.token);
        format!(
            "POST /api/v1/testing/form HTTP/1.1\r\nHost: h\r\n{auth}Content-Length: {len}\r\n\
             Content-Type: multipart/form-data; boundary=B\r\n{more}\r\n"
        )
    };
    let long = form(&"x".repeat(250_000));
    let (first, second) = long.split_at(100_000);
    let text =
        server.talk(&[&head(long.len(), "Expect: 100-continue\r\n"), first, &format!("{second}{LAST}")]);
    assert!(statuses(&text) == [100, 200, 200] && text.contains("[250000,"), "{text}");
    // What is missing at the end is no form.
    let text = server.talk(&[&format!("{}{}", head(100, ""), &long[..100])]);
    assert!(statuses(&text) == [400] && text.contains("last boundary"), "{text}");
    assert!(server.drained());
}

/// The body of an answer in chunks.
fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        out += &rest[..size];
        body = rest[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            return out;
        }
    }
}

#[test]
fn streams_are_sent_piece_by_piece() {
    let server = server(Config::default());
    let ask = |method: &str, version: &str, more: &str| {
        server.talk(&[&format!("{method} /api/v1/testing/stream HTTP/{version}\r\nHost: h\r\n\r\n{more}")])
    };
    let want = "x".repeat(PIECE_LEN) + "yz";
    let text = ask("GET", "1.1", LAST);
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    let (body, next) = rest.split_once("HTTP/1.1 200 ").unwrap();
    assert_eq!(unchunked(body), want);
    assert!(next.starts_with("OK"), "the next request is answered");
    // Older clients read up to the end of the connection.
    let text = ask("GET", "1.0", "");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, want);
    let text = ask("HEAD", "1.1", LAST);
    assert_eq!(statuses(&text), [200, 200]);
    assert!(!text.contains("xxx"), "HEAD has no body");
    // What breaks off does not look whole.
    let text = server.talk(&["GET /api/v1/testing/broken HTTP/1.1\r\nHost: h\r\n\r\n"]);
    assert!(text.contains("\r\n\r\n3\r\nabc") && !text.ends_with("0\r\n\r\n"), "{text}");
    assert!(server.drained());
}

#[test]
fn shared_bytes_and_redirects() {
    let server = server(Config::default());
    let whole = server.talk(&["GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n", LAST]);
    let (head, rest) = whole.split_once("\r\n\r\n").unwrap();
    let len: usize =
        head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert!(rest.starts_with('{') && rest[len..].starts_with("HTTP/1.1 200 "), "{head}");
    let part = server.talk(&[
        &format!("GET /openapi.json HTTP/1.1\r\nHost: h\r\nRange: bytes=1-{}\r\n\r\n", len - 2),
        LAST,
    ]);
    let (head, body) = part.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 206 ") && body.starts_with(&rest[1..len - 1]), "{head}");
    assert!(body[len - 2..].starts_with("HTTP/1.1 200 "));
    let text = server.talk(&["GET /api/v1/testing/elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", LAST]);
    assert_eq!(statuses(&text), [307, 200]);
    assert!(
        text.contains("\r\nlocation: /somewhere/else\r\n") && text.contains("\r\ncontent-length: 0\r\n"),
        "{text}"
    );
    assert!(server.drained());
}
