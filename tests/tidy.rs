//! Habits of this repository that a compiler does not check. Every complaint names a file and a line.
//!
//! Sources are read as text: comments and the insides of strings are blanked first, and what is compiled for tests
//! only is told apart by its `#[cfg(test)]`. A check that cannot fail is worse than none: each has a canary.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plexichat::api::absent::{ABSENT, ABSENT_ROOT};
use plexichat::api::routes::ROUTES;
use plexichat::store::tables::ROWS;

const LINE_COUNT_MAX: usize = 900;
/// Files that are longer today. The list may only shrink.
const LONG_FILES: &[&str] = &[];

// -------------------------------------------------------------------------------------------- rules

/// Which layer may use which: only what stands to its right in
/// `cli → net → api, gateway → log → domain → store, wire → config, id, limits`, and of the folders beside them
/// what does I/O for it. What decides and what is stored knows no configuration.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "net", "api", "gateway", "log", "domain", "store", "wire", "config", "id", "limits", "runtime",
            "effect", "observe", "text",
        ],
    ),
    (
        "net",
        &[
            "api", "gateway", "log", "domain", "store", "wire", "config", "id", "limits", "runtime",
            "effect", "observe", "text",
        ],
    ),
    (
        "api",
        &["log", "domain", "store", "wire", "config", "id", "limits", "runtime", "effect", "observe", "text"],
    ),
    ("gateway", &["log", "domain", "store", "wire", "config", "id", "limits", "runtime", "observe", "text"]),
    ("log", &["domain", "store", "config", "id", "limits", "runtime", "observe"]),
    ("domain", &["store", "wire", "id", "limits"]),
    ("store", &["id", "limits"]),
    ("wire", &["id", "limits"]),
    ("config", &["id", "limits"]),
    ("runtime", &["limits"]),
    ("effect", &["runtime", "observe", "config", "wire", "id", "limits", "text"]),
    ("observe", &["runtime", "config", "limits"]),
    ("text", &["limits"]),
    ("limits", &[]),
    ("id", &[]),
];

/// Files that use a layer to their left today. The list may only shrink.
const ARROWS_BACKWARDS: &[(&str, &str)] = &[];

/// Words that must not stand in some part of `src`.
struct Rule {
    words: &'static [&'static str],
    /// Path prefixes below `src/`; none = everywhere.
    inside: &'static [&'static str],
    /// Path prefixes below `src/` where it is allowed.
    except: &'static [&'static str],
    /// Also in code for tests.
    tests_too: bool,
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        words: &[".unwrap()", ".unwrap_err()"],
        inside: &[],
        except: &[],
        tests_too: false,
        why: "write expect(\"why this cannot fail\")",
    },
    Rule {
        words: &["todo!", "unimplemented!", "dbg!"],
        inside: &[],
        except: &[],
        tests_too: true,
        why: "unfinished code does not merge",
    },
    Rule {
        words: &["println!", "print!", "eprintln!", "eprint!"],
        inside: &[],
        except: &[],
        tests_too: false,
        why: "they panic when the output cannot be written: the command line has cli/print.rs, the server tracing",
    },
    Rule {
        words: &["thread::sleep"],
        inside: &[],
        // Ports are opened by the main thread, before there are cores, rings by cores that serve nobody yet.
        except: &["log/", "effect/", "observe/", "net/listen.rs", "net/rings.rs"],
        tests_too: false,
        why: "a core thread never sleeps",
    },
    Rule {
        words: &["Instant::now", "SystemTime::now"],
        inside: &["domain/", "wire/", "gateway/", "store/", "config/", "id.rs"],
        except: &[],
        tests_too: false,
        why: "time is passed in",
    },
    Rule {
        words: &[
            "HashMap",
            "HashSet",
            "FxHashMap",
            "FxHashSet",
            "f32",
            "f64",
            "getrandom",
            "fastrand",
            "std::env",
            "std::fs",
        ],
        inside: &["domain/"],
        except: &[],
        tests_too: false,
        why: "apply is deterministic: no hash order, no floats, no randomness, nothing from outside",
    },
    Rule {
        words: &["TcpStream", "TcpListener", "UdpSocket", "UnixStream"],
        inside: &["domain/", "wire/", "store/", "api/", "gateway/", "config/"],
        except: &[],
        tests_too: false,
        why: "sockets belong to net, effect and observe",
    },
    Rule {
        words: &["heed"],
        inside: &[],
        except: &["store/"],
        tests_too: true,
        why: "LMDB is named in store only",
    },
    Rule {
        words: &["rkyv"],
        inside: &[],
        except: &["store/", "id.rs"],
        tests_too: true,
        why: "records are encoded in store only",
    },
    Rule {
        words: &["monoio", "io_uring", "io_uring_monoio"],
        inside: &[],
        except: &["runtime/", "net/", "effect/"],
        tests_too: true,
        why: "io_uring is named in runtime, net and effect only",
    },
    Rule {
        words: &["simd_json"],
        inside: &[],
        except: &["wire/json/fast.rs"],
        tests_too: true,
        why: "the JSON crate is named in wire/json/fast.rs only",
    },
];

/// What does not belong into a repository: places of one machine, and how a change came about.
const FOREIGN: &[&str] = &[
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

/// Public functions of store, domain and api whose `# Errors` nobody has written yet. The list may only shrink.
const ERRORS_UNDOCUMENTED: &[&str] = &[
    "api/ctx.rs::path_server",
    "api/ctx.rs::path_channel",
    "api/ctx.rs::path_message",
    "api/ctx.rs::path_role",
    "api/ctx.rs::path_user",
    "api/ctx.rs::path_member",
    "api/ctx.rs::path_session",
    "api/ctx.rs::submit",
    "api/ctx.rs::submit_success",
    "api/ctx.rs::success",
    "api/ctx.rs::json",
    "domain/machine.rs::apply",
    "domain/relationship.rs::write_relationship",
];

// ------------------------------------------------------------------------------------------ reading

/// A source file, line by line.
struct Source {
    /// Relative to the repository.
    path: String,
    lines: Vec<Line>,
}

struct Line {
    /// With comments and the insides of strings blanked.
    code: String,
    /// The comment on this line.
    comment: String,
    /// Compiled for tests only.
    test: bool,
}

impl Source {
    fn new(path: &str, text: &str, test: bool) -> Source {
        let (code, comments) = split(text);
        let lines = code.lines().zip(comments.lines());
        let lines =
            lines.map(|(code, comment)| Line { code: code.into(), comment: comment.trim().into(), test });
        let mut source = Source { path: path.to_string(), lines: lines.collect() };
        source.mark_tests();
        source
    }

    /// An item after `#[cfg(test)]` ends at the next line of its own indentation that closes it.
    fn mark_tests(&mut self) {
        let indent = |line: &Line| line.code.len() - line.code.trim_start().len();
        let mut index = 0;
        while index < self.lines.len() {
            if self.lines[index].code.trim() != "#[cfg(test)]" {
                index += 1;
                continue;
            }
            let own = indent(&self.lines[index]);
            loop {
                let line = &mut self.lines[index];
                line.test = true;
                let code = line.code.trim();
                let ends = code.ends_with(';') || code.ends_with('}');
                index += 1;
                if (ends && indent(&self.lines[index - 1]) == own) || index == self.lines.len() {
                    break;
                }
            }
        }
    }

    fn complain(&self, index: usize, text: &str) -> String {
        format!("{}:{}: {text}", self.path, index + 1)
    }

    /// Below `src/`, if it is there.
    fn inside_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }
}

/// The text twice with the same lines: the code alone, the comments alone.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let len = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => {
                rest.windows(2).position(|pair| pair == ['*', '/']).map_or(rest.len(), |end| end + 2)
            }
            _ => 0,
        };
        if len > 0 {
            for c in &rest[..len] {
                comments.push(*c);
                code.push(if *c == '\n' { '\n' } else { ' ' });
            }
            at += len;
            continue;
        }
        let ident_before = at > 0 && is_ident(chars[at - 1]);
        let len = literal_len(rest, ident_before);
        for (index, c) in rest[..len.max(1)].iter().enumerate() {
            let inside = len > 0 && index > 0 && index + 1 < len;
            code.push(if inside && *c != '\n' { ' ' } else { *c });
            if *c == '\n' {
                comments.push('\n');
            }
        }
        at += len.max(1);
    }
    (code, comments)
}

/// Length of the string or character literal that begins here; 0 when none does.
fn literal_len(rest: &[char], ident_before: bool) -> usize {
    let quoted = |from: usize, quote: char| {
        let mut at = from;
        while at < rest.len() && rest[at] != quote {
            at += if rest[at] == '\\' { 2 } else { 1 };
        }
        (at + 1).min(rest.len())
    };
    match rest {
        ['"', ..] => quoted(1, '"'),
        ['r', second, ..] if !ident_before && (*second == '"' || *second == '#') => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) != Some(&'"') {
                return 0;
            }
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = &rest[2 + hashes..];
            let end = body.windows(close.len()).position(|window| window == close);
            end.map_or(rest.len(), |end| 2 + hashes + end + close.len())
        }
        ['\'', '\\', ..] => quoted(1, '\''),
        // Not a lifetime.
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below the repository but what is built, in order, as paths relative to it.
fn files() -> Vec<String> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        let entries = std::fs::read_dir(folder).expect("a folder can be read");
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("target") || name == ".git" || path.is_symlink() {
                continue;
            }
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut out = Vec::new();
    walk(&repository(), &mut out);
    let relative = |path: PathBuf| path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned();
    out.into_iter().map(relative).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

/// All Rust files. A module that its parent declares under `#[cfg(test)]` is for tests as a whole, with all in its
/// folder.
fn sources() -> Vec<Source> {
    let files: Vec<String> = files().into_iter().filter(|path| path.ends_with(".rs")).collect();
    let mut for_tests = BTreeSet::new();
    for path in files.iter().filter(|path| path.starts_with("src/")) {
        let source = Source::new(path, &read(path), false);
        let folder = match path.strip_suffix("/mod.rs").or(path.strip_suffix("/lib.rs")) {
            Some(folder) => folder,
            None => path.trim_end_matches(".rs"),
        };
        for line in source.lines.iter().filter(|line| line.test) {
            if let Some((_, name)) =
                line.code.trim().strip_suffix(';').and_then(|code| code.rsplit_once("mod "))
            {
                for_tests.insert(format!("{folder}/{name}"));
            }
        }
    }
    let is_test = |path: &str| {
        !path.starts_with("src/") && !path.starts_with("loadtest/src/")
            || for_tests.iter().any(|module| {
                let rest = path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
            || path.ends_with("_tests.rs")
    };
    files.iter().map(|path| Source::new(path, &read(path), is_test(path))).collect()
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ident(text: &str) -> String {
    text.trim().chars().take_while(|c| is_ident(*c)).collect()
}

/// Whether the word stands there by itself.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_ident) && word.starts_with(is_ident);
        let after = code[at + word.len()..].starts_with(is_ident) && word.ends_with(is_ident);
        !before && !after
    })
}

// ------------------------------------------------------------------------------------------- checks

fn arrows(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    let layer = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if ["main", "lib"].contains(&layer) {
        return;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return out.push(source.complain(0, "this folder is no layer: add it to LAYERS"));
    };
    let mut backwards = ARROWS_BACKWARDS.iter().filter(|(path, _)| *path == source.path);
    let excepted = backwards.next().map(|(_, name)| *name);
    let mut excused = false;
    for (index, name) in used_layers(source) {
        let known = LAYERS.iter().any(|(layer, _)| *layer == name);
        if !known || name == layer || allowed.contains(&name.as_str()) {
            continue;
        }
        if excepted == Some(name.as_str()) {
            excused = true;
        } else {
            out.push(source.complain(index, &format!("{layer} must not use {name}")));
        }
    }
    if excepted.is_some() && !excused {
        out.push(source.complain(0, "uses nothing backwards any more: remove it from ARROWS_BACKWARDS"));
    }
}

/// What follows `crate::`, with the line it stands on. Tests may use what they like.
fn used_layers(source: &Source) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    // Inside `use crate::{a::…, b::…}` over several lines.
    let mut group = false;
    for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
        if group {
            used.push((index, ident(&line.code)));
            group = !line.code.contains("};");
        }
        for (at, found) in line.code.match_indices("crate::") {
            let rest = &line.code[at + found.len()..];
            match rest.strip_prefix('{') {
                Some(list) => {
                    group = !list.contains('}');
                    used.extend(list.split([',', '}']).map(|item| (index, ident(item))));
                }
                None => used.push((index, ident(rest))),
            }
        }
    }
    used
}

fn words(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    let below = |prefixes: &[&str]| prefixes.iter().any(|prefix| inside.starts_with(prefix));
    for rule in RULES {
        if below(rule.except) || !(rule.inside.is_empty() || below(rule.inside)) {
            continue;
        }
        for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| rule.tests_too || !line.test)
        {
            for word in rule.words.iter().filter(|word| has_word(&line.code, word)) {
                out.push(source.complain(index, &format!("{word}: {}", rule.why)));
            }
        }
    }
}

/// How many lines above an `unsafe` its reason may begin: a comment of a few lines, or one for a statement.
const SAFETY_REACH: usize = 6;

fn safety(source: &Source, out: &mut Vec<String>) {
    for (index, line) in source.lines.iter().enumerate() {
        if !has_word(&line.code, "unsafe") {
            continue;
        }
        let nearby = &source.lines[index.saturating_sub(SAFETY_REACH)..=index];
        if !nearby.iter().any(|line| line.comment.contains("SAFETY:") || line.comment.contains("# Safety")) {
            out.push(source.complain(index, "unsafe without a SAFETY: comment above it"));
        }
    }
}

fn module_doc(source: &Source, out: &mut Vec<String>) {
    if !source.lines.first().is_some_and(|line| line.comment.starts_with("//!")) {
        out.push(source.complain(0, "a module begins with //! and what it owns"));
    }
}

fn length(source: &Source, out: &mut Vec<String>) {
    let (count, listed) = (source.lines.len(), LONG_FILES.contains(&source.path.as_str()));
    if count > LINE_COUNT_MAX && !listed {
        out.push(source.complain(LINE_COUNT_MAX, &format!("{count} lines: cut it at {LINE_COUNT_MAX}")));
    }
    if count <= LINE_COUNT_MAX && listed {
        out.push(source.complain(0, "short enough now: remove it from LONG_FILES"));
    }
}

fn errors_documented(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    if !["store/", "domain/", "api/"].iter().any(|layer| inside.starts_with(layer)) {
        return;
    }
    for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
        let Some(rest) = line.code.trim().strip_prefix("pub fn ") else { continue };
        let name = ident(rest);
        let fails = signature(&source.lines[index..])
            .rsplit_once("->")
            .is_some_and(|(_, given)| given.trim().starts_with("Result<"));
        let above = source.lines[..index].iter().rev();
        let mut doc =
            above.take_while(|line| line.comment.starts_with("///") || line.code.trim().starts_with("#["));
        let documented = doc.any(|line| line.comment.contains("# Errors"));
        // A handler's refusals are in the contract and in the tests of its route.
        let handler = inside.starts_with("api/") && ROUTES.iter().any(|route| route.name == name);
        let exempt = ERRORS_UNDOCUMENTED.contains(&format!("{inside}::{name}").as_str());
        if fails && !documented && !handler && !exempt {
            out.push(source.complain(index, &format!("{name} returns a Result: say when under # Errors")));
        }
        if exempt && (!fails || documented) {
            out.push(source.complain(index, &format!("remove {name} from ERRORS_UNDOCUMENTED")));
        }
    }
}

/// From `pub fn` to the brace of the body.
fn signature(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.code);
        if line.code.trim_end().ends_with(['{', ';', '}']) {
            break;
        }
    }
    text
}

fn foreign(path: &str, text: &str, out: &mut Vec<String>) {
    for (index, line) in text.lines().enumerate() {
        for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
            out.push(format!("{path}:{}: {word:?} does not belong here", index + 1));
        }
    }
}

fn dependencies(path: &str, text: &str, out: &mut Vec<String>) {
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

fn check(test: impl Fn(&Source, &mut Vec<String>)) {
    let mut out = Vec::new();
    let sources = sources();
    assert!(sources.len() > 100, "the sources were found");
    sources.iter().for_each(|source| test(source, &mut out));
    assert!(out.is_empty(), "\n{}\n", out.join("\n"));
}

#[test]
fn layers_use_what_stands_to_their_right() {
    check(arrows);
}

#[test]
fn calls_stay_where_they_belong() {
    check(words);
}

#[test]
fn unsafe_has_its_reason() {
    check(safety);
}

#[test]
fn modules_say_what_they_own() {
    check(module_doc);
}

#[test]
fn files_are_short() {
    check(length);
}

#[test]
fn failures_are_documented() {
    check(errors_documented);
}

#[test]
fn exceptions_name_what_exists() {
    let exists = |path: &str| repository().join(path).is_file();
    let arrows = ARROWS_BACKWARDS.iter().map(|(path, _)| path.to_string());
    let errors = ERRORS_UNDOCUMENTED.iter().map(|name| {
        let (path, name) = name.split_once("::").expect("a file and a function");
        assert!(read(&format!("src/{path}")).contains(&format!("pub fn {name}")), "{path} has no {name}");
        format!("src/{path}")
    });
    let long = LONG_FILES.iter().map(|path| path.to_string());
    for path in arrows.chain(errors).chain(long) {
        assert!(exists(&path), "{path} is gone: remove it from the exceptions");
    }
}

#[test]
fn rows_are_documented() {
    for route in ROUTES {
        assert!(route.doc.trim().ends_with('.'), "src/api/routes.rs: {} says nothing", route.name);
    }
    for row in ROWS {
        assert!(row.doc.trim().ends_with('.'), "src/store/tables.rs: {} says nothing", row.name);
    }
}

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
            None => out.push(format!("tests/tidy.rs: no group for {path}")),
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

#[test]
fn dependencies_have_reasons() {
    let mut out = Vec::new();
    for path in ["Cargo.toml", "loadtest/Cargo.toml", "benches/peers/axum-hello/Cargo.toml"] {
        dependencies(path, &read(path), &mut out);
    }
    assert!(out.is_empty(), "\n{}\n", out.join("\n"));
}

#[test]
fn nothing_foreign_is_in_the_repository() {
    let mut out = Vec::new();
    for path in files().iter().filter(|path| !path.ends_with("Cargo.lock")) {
        foreign(path, &read(path), &mut out);
    }
    assert!(out.is_empty(), "\n{}\n", out.join("\n"));
}

// ----------------------------------------------------------------------------------------- canaries

type Check = fn(&Source, &mut Vec<String>);

fn complaints(check: Check, path: &str, text: &str) -> usize {
    let mut out = Vec::new();
    check(&Source::new(path, text, false), &mut out);
    out.len()
}

#[test]
fn every_check_can_fail() {
    let long = "\n".repeat(LINE_COUNT_MAX + 1);
    let bad: &[(Check, &str, &str)] = &[
        (arrows, "src/store/table.rs", "use crate::domain::Op;\n"),
        (arrows, "src/api/users.rs", "fn f() { crate::gateway::x() }\n"),
        (arrows, "src/domain/ban.rs", "use crate::{\n    id::UserId,\n    config::Config,\n};\n"),
        (arrows, "src/wire/json.rs", "use crate::{id, store};\n"),
        (arrows, "src/new/mod.rs", "//! x\n"),
        (safety, "src/runtime/cpu.rs", "fn f() {\n    unsafe { x() }\n}\n"),
        (module_doc, "src/domain/ban.rs", "use std::fmt;\n"),
        (length, "src/domain/ban.rs", &long),
        (errors_documented, "src/domain/ban.rs", "/// Bans.\npub fn f(\n    a: u8,\n) -> Result<u8> {\n"),
    ];
    for (check, path, text) in bad {
        assert!(complaints(*check, path, text) > 0, "{path}: {text}");
    }
    let good: &[(Check, &str, &str)] = &[
        (arrows, "src/store/table.rs", "/// [`crate::domain::Op`]\nuse crate::id::UserId;\n"),
        (arrows, "src/store/table.rs", "#[cfg(test)]\nmod tests {\n    use crate::domain::Op;\n}\n"),
        (safety, "src/runtime/cpu.rs", "// SAFETY: x holds.\nlet y =\n    unsafe { x() };\n"),
        (safety, "src/api/system.rs", "let policy = \"unsafe\";\n"),
        (
            errors_documented,
            "src/domain/ban.rs",
            "/// # Errors\n/// 404.\n#[must_use]\npub fn f() -> Result<u8> {\n",
        ),
        (errors_documented, "src/net/ring.rs", "pub fn f() -> Result<u8> {\n"),
    ];
    for (check, path, text) in good {
        assert_eq!(complaints(*check, path, text), 0, "{path}: {text}");
    }
}

#[test]
fn every_word_can_be_found() {
    for rule in RULES {
        let folder = rule.inside.first().copied().unwrap_or("gateway/");
        let path = format!("src/{folder}some.rs");
        for word in rule.words {
            let code = format!("fn f() {{\n    y{word}(1);\n    {word}(1);\n}}\n");
            assert!(complaints(words, &path, &code) > 0, "{word} in {path}");
            let quoted = format!("// {word}\nlet text = \"{word}\";\nlet raw = r#\"{word}\"#;\n");
            assert_eq!(complaints(words, &path, &quoted), 0, "{word} in a comment or text");
            let test = format!("#[cfg(test)]\nmod tests {{\n    fn f() {{\n        {word}();\n    }}\n}}\n");
            assert_eq!(complaints(words, &path, &test) > 0, rule.tests_too, "{word} in tests");
        }
    }
}

#[test]
fn texts_can_be_refused() {
    let refused = |check: fn(&str, &str, &mut Vec<String>), text: &str| {
        let mut out = Vec::new();
        check("some", text, &mut out);
        !out.is_empty()
    };
    for word in FOREIGN {
        assert!(refused(foreign, &format!("see {word}x")));
    }
    assert!(!refused(foreign, "the User-Agent of a browser"));
    assert!(refused(dependencies, "[dependencies]\nslab = \"0.4\"\n"));
    assert!(refused(dependencies, "[dev-dependencies]\nslab = { version = \"0.4\" } # \n"));
    assert!(!refused(
        dependencies,
        "[package]\nname = \"x\"\n[dependencies]\n# wire\nslab = \"0.4\" # a map\n"
    ));
}

#[test]
fn code_and_comments_are_told_apart() {
    let check = |text: &str, want_code: &str, want_comment: &str| {
        let (code, comment) = split(text);
        assert_eq!((code.as_str(), comment.trim()), (want_code, want_comment), "{text}");
    };
    check("a; // b", "a;     ", "// b");
    check("\"// no\"; // yes", "\"     \";       ", "// yes");
    check("'\"' '\\'' &'a x", "' ' '  ' &'a x", "");
    check("r#\"\"x\"# y", "r     # y", "");
    check("b\"\\\"\" y", "b\"  \" y", "");
    check("a /* b\nc */ d", "a     \n     d", "/* b\nc */");
}
