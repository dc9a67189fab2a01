//! Files of whatever kind: what does not belong into a repository, and why each dependency is there.

/// What does not belong into a repository: places of one machine, and how a change came about.
pub const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/bash"),
    concat!("index.crates", ".io"),
    concat!("crates.io", "/"),
    concat!("hel", "per-"),
    concat!("sub", "agent"),
    concat!("an ", "agent"),
    concat!("language ", "model"),
    concat!("the bri", "ef"),
    concat!("BRI", "EF"),
    concat!("work", "tree"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("TO", "DO:"),
];

pub fn foreign(path: &str, text: &str, out: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
            out.push(format!("{path}:{}: {word:?} does not belong here", index + 1));
        }
    }
}

pub fn dependencies(path: &str, text: &str, out: &mut Vec<String>) {
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if inside && !line.trim().is_empty() && !line.starts_with('#') {
            let reason = line.rsplit_once(" # ").is_some_and(|(_, reason)| !reason.trim().is_empty());
            if !reason {
                out.push(format!("{path}:{}: say after a # why this crate is here", index + 1));
            }
        }
    }
}
