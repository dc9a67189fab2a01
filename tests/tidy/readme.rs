//! What the README says of what is absent.

use std::collections::BTreeSet;

use plexichat::api::absent::{ABSENT, ABSENT_ROOT};

use super::source::read;

/// How the README calls what a documented path belongs to: the first fragment that the path contains decides.
const GROUPS: &[(&str, &str)] = &[
    ("/admin/", "admin API"),
    ("/docs", "documentation pages"),
    ("/redoc", "documentation pages"),
    ("/auth/2fa", "two-factor login"),
    ("/auth/oauth", "OAuth"),
    ("/auth/password-reset", "password reset"),
    ("/automod", "automod"),
    ("/search", "search"),
    ("/webhooks", "webhooks"),
    ("/emojis", "custom emoji"),
    ("/stickers", "stickers"),
    ("/icon", "icons"),
    ("/avatar", "avatars"),
    ("/channels/{channel_id}/attachments", "attachments"),
    ("/media", "media"),
    ("/polls", "polls"),
    ("/notifications", "notifications"),
    ("/voice", "voice"),
    ("/reports", "reports"),
    ("/feedback", "feedback"),
    ("/telemetry", "telemetry"),
    ("/qr", "QR codes"),
];

/// What the README must name under "Limits", and must no longer once it is built.
fn limits_complaints(limits: &str, absent: &[&str]) -> Vec<String> {
    let group = |path: &str| GROUPS.iter().find(|(part, _)| path.contains(part)).map(|(_, name)| *name);
    let mut out = Vec::new();
    let mut named = BTreeSet::new();
    for path in absent {
        match group(path) {
            Some(name) if limits.contains(name) => drop(named.insert(name)),
            Some(name) => {
                out.push(format!("README.md: Limits does not name {name:?}, which {path} is part of"))
            }
            None => out.push(format!("tests/tidy/readme.rs: no group for {path}")),
        }
    }
    let built = GROUPS.iter().filter(|(_, name)| !named.contains(name) && limits.contains(name));
    out.extend(built.map(|(_, name)| format!("README.md: Limits still names {name:?}")));
    out
}

#[test]
fn the_readme_names_what_is_absent() {
    let readme = read("README.md");
    let limits = readme.split("\n## ").find(|part| part.starts_with("Limits\n")).expect("a section Limits");
    let absent: Vec<&str> = ABSENT.iter().chain(ABSENT_ROOT).map(|(path, _)| *path).collect();
    let out = limits_complaints(limits, &absent);
    assert!(out.is_empty(), "\n{}\n", out.join("\n"));
    assert_eq!(limits_complaints("Not part of it: polls", &["/polls", "/qr"]).len(), 1);
    assert_eq!(limits_complaints("Not part of it: polls, QR codes", &["/qr"]).len(), 1);
    assert_eq!(limits_complaints("", &["/never/heard/of"]).len(), 1);
}
