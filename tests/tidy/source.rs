//! Rust files as text: comments and the insides of strings are blanked, and what is compiled for tests only is told
//! apart by its `#[cfg(test)]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file, line by line.
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    pub lines: Vec<Line>,
}

pub struct Line {
    /// With comments and the insides of strings blanked.
    pub code: String,
    /// The comment on this line.
    pub comment: String,
    /// Compiled for tests only.
    pub test: bool,
}

impl Source {
    pub fn new(path: &str, text: &str, test: bool) -> Source {
        let (code, comments) = split(text);
        let lines = code.lines().zip(comments.lines());
        let lines =
            lines.map(|(code, comment)| Line { code: code.into(), comment: comment.trim().into(), test });
        let mut source = Source { path: path.to_string(), lines: lines.collect() };
        source.mark_tests();
        source
    }

    /// The names that follow a path such as `crate::`, alone or in braces, and the lines they stand on. Tests may use
    /// what they like.
    pub fn named_after(&self, path: &str) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        // Inside `use crate::{a::…, b::…}` over several lines.
        let mut group = false;
        for (index, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.test) {
            if group {
                named.push((index, ident(&line.code)));
                group = !line.code.contains("};");
            }
            for (at, found) in line.code.match_indices(path) {
                let rest = &line.code[at + found.len()..];
                match rest.strip_prefix('{') {
                    Some(list) => {
                        group = !list.contains('}');
                        named.extend(list.split([',', '}']).map(|item| (index, ident(item))));
                    }
                    None => named.push((index, ident(rest))),
                }
            }
        }
        named
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

    pub fn complain(&self, index: usize, text: &str) -> String {
        format!("{}:{}: {text}", self.path, index + 1)
    }

    /// Below `src/`, if it is there.
    pub fn inside_src(&self) -> Option<&str> {
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

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below the repository but what is built, in order, as paths relative to it.
pub fn files() -> Vec<String> {
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

pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

/// All Rust files. A module that its parent declares under `#[cfg(test)]` is for tests as a whole, with all in its
/// folder.
pub fn sources() -> Vec<Source> {
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

pub fn ident(text: &str) -> String {
    text.trim().chars().take_while(|c| is_ident(*c)).collect()
}

/// Whether the word stands there by itself.
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_ident) && word.starts_with(is_ident);
        let after = code[at + word.len()..].starts_with(is_ident) && word.ends_with(is_ident);
        !before && !after
    })
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
