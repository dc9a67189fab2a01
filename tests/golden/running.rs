//! Examples of what is stored of running a server: access tokens, response times.

use plexichat::id::AccessTokenId;
use plexichat::store::records::*;

use super::{AT, Records, number};

pub fn examples(records: &mut Records) {
    let some = |text: &str| Some(text.to_string());
    records.example(AccessToken {
        name: some("desktop"),
        description: some("of the desktop client"),
        secret_hash: [9; 32],
        created_by: Some(number(30)),
        created_at: AT,
        expires_at: Some(AT + 1),
        scope_mode: scope_mode::ENFORCE,
        revoked_at: Some(AT + 2),
        revoked_by: Some(number(31)),
    });
    records.example(AccessRef { id: AccessTokenId(number(32)) });
    records.example(AccessScope {
        kind: scope_kind::CIDR,
        value: "10.0.0.0/8".into(),
        created_by: Some(number(30)),
        created_at: AT,
    });
    records.example(AccessUse {
        first_used_at: Some(AT),
        last_used_at: Some(AT + 1),
        last_ip_address: some("192.0.2.1"),
        last_user_agent: some("a browser"),
        last_path: some("/users/@me"),
        use_count: 5,
        denied_count: 4,
        address_count: 3,
        path_count: 2,
        event_count: 1,
    });
    records.example(AccessCount { let_in: 5, denied: 4, last_at: AT });
    records.example(AccessEvent {
        used_at: AT,
        ip_address: "192.0.2.1".into(),
        method: "GET".into(),
        path: "/users/@me".into(),
        user_agent: some("a browser"),
        scope_match: Some(false),
        reject_reason: some("scope_mismatch"),
    });
    records.example(ResponseTimes {
        count: 3,
        error_count: 1,
        total_us: 60_000,
        min_us: 10_000,
        max_us: 30_000,
        query_count: 6,
        query_us: 900,
        classes: vec![TimeCount { class: 11, count: 1 }, TimeCount { class: 13, count: 2 }],
        lapses_at: AT,
    });
    records.example(TimeCount { class: 11, count: 1 });
    records.example(CspReport {
        count: 2,
        last_at: AT,
        blocked: "inline".into(),
        document: "https://chat.example/".into(),
        source: some("https://chat.example/app.js"),
        lapses_at: AT + 1,
    });
}
