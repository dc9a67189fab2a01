//! Habits of this repository that a compiler does not check. Every complaint names a file and a line.
//!
//! A check that cannot fail is worse than none: each has a canary.

mod areas;
mod docs;
mod layers;
mod length;
mod options;
mod source;
mod texts;
mod words;

use areas::circles;
use docs::{ERRORS_UNDOCUMENTED, errors_documented, module_doc, safety};
use layers::{ARROWS_BACKWARDS, arrows};
use length::{LINE_COUNT_MAX, LONG_FILES, TEST_LINE_COUNT_MAX, length, test_length};
use options::{unread, unread_options};
use source::{Source, files, read, repository, sources};
use texts::{FOREIGN, dependencies, foreign};
use words::{RULES, words};

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
fn areas_use_each_other_in_one_direction() {
    let found = circles(&sources());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
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
fn tests_are_short() {
    check(test_length);
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
fn dependencies_have_reasons() {
    let mut out = Vec::new();
    for path in ["Cargo.toml", "loadtest/Cargo.toml", "benches/peers/axum-hello/Cargo.toml"] {
        dependencies(path, &read(path), &mut out);
    }
    assert!(out.is_empty(), "\n{}\n", out.join("\n"));
}

#[test]
fn every_option_is_read() {
    let sources: Vec<Source> = files()
        .into_iter()
        .filter(|path| path.starts_with("src/") && path.ends_with(".rs"))
        .map(|path| Source::new(&path, &read(&path), false))
        .collect();
    assert_eq!(unread_options(&sources), [""; 0], "remove them, or have them do what they say");
    let text = "fn f(of: &Http, c: &Config) {\n    c.store\n        .path(of.idle_ms);\n}\n#[cfg(test)]\nmod tests {\n    fn f() { x.store.sync }\n}\n";
    let canary = [Source::new("src/net/some.rs", text, false)];
    let keys = ["store.path", "store.sync", "http.idle_ms", "http.idle", "http.path_ms"];
    assert_eq!(unread(keys.into_iter(), &canary), ["store.sync", "http.idle", "http.path_ms"]);
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
    let test_of = |line_count: usize| {
        let body = "        f();\n".repeat(line_count - 2);
        format!("mod tests {{\n    #[test]\n    #[ignore]\n    fn f() {{\n{body}    }}\n}}\n")
    };
    let (longest, too_long) = (test_of(TEST_LINE_COUNT_MAX), test_of(TEST_LINE_COUNT_MAX + 1));
    let bad: &[(Check, &str, &str)] = &[
        (arrows, "src/store/table.rs", "use crate::domain::Op;\n"),
        (arrows, "src/api/identity/users.rs", "fn f() { crate::gateway::x() }\n"),
        (arrows, "src/domain/community/ban.rs", "use crate::{\n    id::UserId,\n    config::Config,\n};\n"),
        (arrows, "src/wire/json.rs", "use crate::{id, store};\n"),
        (arrows, "src/new/mod.rs", "//! x\n"),
        (safety, "src/runtime/cpu.rs", "fn f() {\n    unsafe { x() }\n}\n"),
        (module_doc, "src/domain/community/ban.rs", "use std::fmt;\n"),
        (length, "src/domain/community/ban.rs", &long),
        (test_length, "src/domain/community/ban.rs", &too_long),
        (
            errors_documented,
            "src/domain/community/ban.rs",
            "/// Bans.\npub fn f(\n    a: u8,\n) -> Result<u8> {\n",
        ),
    ];
    for (check, path, text) in bad {
        assert!(complaints(*check, path, text) > 0, "{path}: {text}");
    }
    let good: &[(Check, &str, &str)] = &[
        (arrows, "src/store/table.rs", "/// [`crate::domain::Op`]\nuse crate::id::UserId;\n"),
        (arrows, "src/store/table.rs", "#[cfg(test)]\nmod tests {\n    use crate::domain::Op;\n}\n"),
        (test_length, "src/domain/community/ban.rs", &longest),
        (safety, "src/runtime/cpu.rs", "// SAFETY: x holds.\nlet y =\n    unsafe { x() };\n"),
        (safety, "src/api/service/system.rs", "let policy = \"unsafe\";\n"),
        (
            errors_documented,
            "src/domain/community/ban.rs",
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
