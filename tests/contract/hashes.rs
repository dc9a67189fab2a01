//! Reports of files by their hash, and which of them are blocked.

use crate::support::{User, Value, json};
use crate::world::{World, shape, text};

cases![hash_report, hash_status_get];

const PATH: &str = "POST /media/report";

#[track_caller]
fn reported(w: &World, user: &User, body: Value) -> String {
    let made = w.ok(user, PATH, body);
    shape(&made, "success: bool, report_id: id, message: str");
    assert_eq!(made["success"], true);
    text(&made["report_id"])
}

#[track_caller]
fn is_blocked(w: &World, user: &User, hash: &str) -> bool {
    let status = w.ok(user, &format!("GET /media/hash/{hash}/status"), Value::Null);
    shape(&status, "hash_value: str, is_blocked: bool, reason: str?");
    assert_eq!(status["hash_value"], hash);
    status["is_blocked"] == true
}

fn hash_report(w: &World) {
    let (reporter, uploader) = (w.user(), w.user());
    let hash = "0123456789abcdef".repeat(4);
    let body = json!({"hash_value": hash, "reason": "spam"});
    let first = reported(w, &reporter, body.clone());
    let mut full = body.clone();
    full["hash_value"] = json!(hash.to_uppercase());
    full["details"] = json!("d".repeat(2_000));
    full["phash_value"] = json!("f".repeat(64));
    full["uploader_id"] = json!(uploader.id);
    full["message_id"] = json!(12_345);
    full["attachment_url"] = json!("/api/v1/media/attachments/0123456789abcdef.png");
    full["block_uploader"] = json!(true);
    assert_eq!(reported(w, &reporter, full.clone()), first, "once by each");
    assert_ne!(reported(w, &uploader, full), first);
    for hash in ["f".repeat(16), "e".repeat(128), "UmVhbGx5IGEgaGFzaA==".into()] {
        reported(w, &reporter, json!({"hash_value": hash, "reason": "r".repeat(500), "details": null}));
    }
    w.anyone(PATH, body.clone()).want(401);
    for (field, bad) in [
        ("hash_value", json!("f".repeat(15))),
        ("hash_value", json!("f".repeat(129))),
        ("hash_value", json!("0123456789 abcdef")),
        ("hash_value", json!("0123456789äbcdef")),
        ("hash_value", json!(1_234_567_890_123_456_u64)),
        ("hash_value", Value::Null),
        ("reason", json!(" ")),
        ("reason", json!("r".repeat(501))),
        ("reason", Value::Null),
        ("details", json!("d".repeat(2_001))),
        ("details", json!(5)),
        ("phash_value", json!("f".repeat(65))),
        ("uploader_id", json!("somebody")),
        ("message_id", json!(-1)),
        ("attachment_url", json!("u".repeat(2_001))),
        ("block_uploader", json!("yes")),
    ] {
        let mut body = body.clone();
        body[field] = bad;
        w.refused(&reporter, PATH, body, 400);
    }
    let off = World::new(&["reports.enabled=false"]);
    off.refused(&off.user(), PATH, body, 503);
}

fn hash_status_get(w: &World) {
    let asking = w.user();
    let hash = "7a".repeat(32);
    for count in 1..=6 {
        assert_eq!(is_blocked(w, &asking, &hash), count > 5, "{count}");
        reported(w, &w.user(), json!({"hash_value": hash, "reason": format!("reason {count}")}));
    }
    assert!(is_blocked(w, &asking, &hash.to_uppercase()));
    let status = w.ok(&asking, &format!("GET /media/hash/{hash}/status"), Value::Null);
    assert_eq!(status["reason"], "reason 5", "of the report that was enough");
    assert!(!is_blocked(w, &asking, &"7b".repeat(32)));
    for bad in ["x".repeat(15), "x".repeat(129), "%20".repeat(20)] {
        w.refused(&asking, &format!("GET /media/hash/{bad}/status"), Value::Null, 400);
    }
    w.anyone(&format!("GET /media/hash/{hash}/status"), Value::Null).want(401);
    let never = World::new(&["media.deduplication.auto_block_threshold=0"]);
    (0..6).for_each(|_| drop(reported(&never, &never.user(), json!({"hash_value": hash, "reason": "x"}))));
    assert!(!is_blocked(&never, &never.user(), &hash));
    // Bots are heard as their owner.
    let two = World::new(&["media.deduplication.auto_block_threshold=2"]);
    let owner = two.user();
    let bots = [two.bot(&owner), two.bot(&owner)];
    let body = json!({"hash_value": hash, "reason": "x"});
    let first = reported(&two, &bots[0], body.clone());
    for who in [&bots[1], &owner] {
        assert_eq!(reported(&two, who, body.clone()), first);
    }
    assert!(!is_blocked(&two, &owner, &hash));
    reported(&two, &two.user(), body);
    assert!(is_blocked(&two, &bots[0], &hash));
}
