//! Files that come in chunks.

use crate::support::{User, Value, json};
use crate::uploads::{FORM, UPLOADED, form, path, send};
use crate::world::{World, shape, success, text};

cases![
    upload_open,
    chunk_upload,
    upload_complete,
    upload_abort,
    upload_get,
    upload_list,
    compression_status,
];

const CHUNK: usize = 5 << 20;
const INFO: &str = "session_id: str, filename: str, content_type: str, total_size: int, uploaded_chunks: int, \
    total_chunks: int, progress_percent: num, status: str, expires_at: int";

fn open(w: &World, user: &User, size: usize) -> String {
    let body = json!({"filename": "big.txt", "content_type": "text/plain", "total_size": size});
    text(&w.ok(user, "POST /media/upload/session", body)["session_id"])
}

fn put(w: &World, user: &User, id: &str, query: &str, chunk: &[u8]) -> Value {
    let line = format!("/media/upload/chunk/{id}?{query}");
    w.form(Some(user), &line, FORM, &form("part", "application/octet-stream", chunk)).want(200)
}

fn upload_open(w: &World) {
    let user = w.user();
    let ask = |size: Value| json!({"filename": "c.png", "content_type": "image/png", "total_size": size});
    let line = "POST /media/upload/session";
    let made = w.ok(&user, line, ask(json!(13_000)));
    shape(&made, "session_id: str, chunk_size: int, total_chunks: int, expires_at: int");
    assert_eq!((&made["chunk_size"], &made["total_chunks"]), (&json!(CHUNK), &json!(1)));
    assert_eq!(text(&made["session_id"]).len(), 43);
    for (size, status) in [(json!(0), 400), (json!(1 << 31), 400), (json!("x"), 400), (json!(65_537), 413)] {
        w.refused(&user, line, ask(size), status);
    }
    for body in [
        json!({}),
        json!({"filename": "", "content_type": "a/b", "total_size": 1}),
        json!({"filename": "x.exe", "content_type": "text/plain", "total_size": 1}),
        json!({"filename": "x", "content_type": "text/html", "total_size": 1}),
    ] {
        w.refused(&user, line, body, 400);
    }
    (0..9).for_each(|_| drop(open(w, &user, 1)));
    let full = w.refused(&user, line, ask(json!(1)), 429);
    assert!(full["retry_after"].is_number(), "{full}");
}

fn chunk_upload(w: &World) {
    let (user, other) = (w.user(), w.user());
    let id = open(w, &user, 2 * CHUNK + 7);
    let refused = |answer: &Value, uploaded: u64| {
        assert_eq!((&answer["success"], &answer["uploaded_chunks"]), (&json!(false), &json!(uploaded)));
        assert!(answer["error"].is_string(), "{answer}");
    };
    let last = put(w, &user, &id, "chunk_index=2", b"1234567");
    shape(
        &last,
        "success: bool, chunk_index: int, uploaded_chunks: int, total_chunks: int, progress_percent: num, \
         is_complete: bool, error: str?",
    );
    assert_eq!((&last["uploaded_chunks"], &last["is_complete"]), (&json!(1), &json!(false)));
    assert_eq!(put(w, &user, &id, "chunk_index=2", b"7654321")["uploaded_chunks"], 1, "sent again");
    refused(&put(w, &user, &id, "chunk_index=3", b"x"), 1);
    refused(&put(w, &user, &id, "chunk_index=99999999", b"x"), 1);
    refused(&put(w, &user, &id, "chunk_index=0", b"too short"), 1);
    let wrong = format!("chunk_index=2&chunk_checksum={}", "0".repeat(64));
    refused(&put(w, &user, &id, &wrong, b"1234567"), 1);
    refused(&put(w, &other, &id, "chunk_index=2", b"1234567"), 0);
    refused(&put(w, &user, "nope", "chunk_index=2", b"1234567"), 0);
    let sum = "8bb0cf6eb9b17d0f7d22b456f121257dc1254e1f01665370476383ea776df414";
    let right = format!("chunk_index=2&chunk_checksum={}", sum.to_uppercase());
    assert_eq!(put(w, &user, &id, &right, b"1234567")["success"], true);
    for id in [id.as_str(), "unknown"] {
        w.refused(&user, &format!("POST /media/upload/chunk/{id}?chunk_index=2"), Value::Null, 400);
        let line = format!("/media/upload/chunk/{id}?chunk_index=2");
        w.form(Some(&user), &line, FORM, b"--xyz--\r\n").want(400);
    }
    let body = form("part", "application/octet-stream", b"1234567");
    for query in ["", "?chunk_index=x", "?chunk_index=-1"] {
        w.form(Some(&user), &format!("/media/upload/chunk/{id}{query}"), FORM, &body).want(400);
    }
}

fn upload_complete(w: &World) {
    let place = w.place();
    let (owner, other) = (&place.owner, w.member(&place));
    let file: Vec<u8> = (0..CHUNK + 3_000).map(|at| b"0123456789abcdef"[at % 16]).collect();
    let id = open(w, owner, file.len());
    let line = format!("POST /media/upload/complete/{id}");
    assert_eq!(put(w, owner, &id, "chunk_index=1", &file[CHUNK..])["success"], true);
    w.refused(owner, &line, Value::Null, 400);
    assert_eq!(put(w, owner, &id, "chunk_index=0", &file[..CHUNK])["is_complete"], true);
    assert_eq!(w.get(owner, "/media/upload/sessions"), json!({"sessions": []}), "none is missing");
    w.refused(&other, &line, Value::Null, 400);
    let done = w.ok(owner, &line, Value::Null);
    assert_eq!((&done["success"], &done["size"]), (&json!(true), &json!(file.len())));
    shape(&done["attachment"], UPLOADED);
    w.refused(owner, &line, Value::Null, 400);
    w.refused(owner, "POST /media/upload/complete/nope", Value::Null, 400);
    send(w, owner, &place.channel, &[&done["attachment"]]);
    let bearer = format!("Bearer {}", other.token);
    let read = w.headed("GET", &path(&done["attachment"]), &[("Authorization", &bearer)], b"");
    assert!(read.status == 200 && read.body == file, "{}", read.status);
    // The content decides, as with any upload.
    let id = open(w, owner, 10);
    put(w, owner, &id, "chunk_index=0", b"#!/bin/sh\n");
    w.refused(owner, &format!("POST /media/upload/complete/{id}"), Value::Null, 400);
}

fn upload_abort(w: &World) {
    let (user, other) = (w.user(), w.user());
    let id = open(w, &user, 3);
    put(w, &user, &id, "chunk_index=0", b"abc");
    let line = format!("DELETE /media/upload/session/{id}");
    w.refused(&other, &line, Value::Null, 404);
    success(&w.ok(&user, &line, Value::Null));
    w.refused(&user, &line, Value::Null, 404);
    w.refused(&user, "DELETE /media/upload/session/x", Value::Null, 404);
}

fn upload_get(w: &World) {
    let (user, other) = (w.user(), w.user());
    let id = open(w, &user, 2 * CHUNK + 7);
    put(w, &user, &id, "chunk_index=2", b"1234567");
    let line = format!("/media/upload/session/{id}");
    let found = w.get(&user, &line);
    shape(&found, &format!("{INFO}, chunks: list"));
    assert_eq!((&found["chunks"], &found["status"]), (&json!([2]), &json!("in_progress")));
    w.refused(&other, &format!("GET {line}"), Value::Null, 404);
}

fn upload_list(w: &World) {
    let (user, other) = (w.user(), w.user());
    let id = open(w, &user, 2 * CHUNK);
    let listed = w.get(&user, "/media/upload/sessions");
    shape(&listed["sessions"][0], INFO);
    assert_eq!((&listed["sessions"][0]["session_id"], &listed["sessions"][0]["status"]), (&json!(id), &json!("pending")));
    assert_eq!(w.get(&other, "/media/upload/sessions"), json!({"sessions": []}));
}

fn compression_status(w: &World) {
    let status = w.get(&w.user(), "/media/compression/status");
    assert_eq!(status, json!({"enabled": true, "image_compression": true, "video_compression": false}));
}
