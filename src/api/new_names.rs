//! Names that somebody wants to have: whether administrators have banned them.
//!
//! Each core keeps the bans compiled, and compiles them anew when there are other ones. The engine is linear in time;
//! how large a pattern may become is bounded.

use std::cell::RefCell;
use std::collections::HashSet;

use regex::{Regex, RegexBuilder};

use super::state::State;
use crate::domain::identity::banned_name::{all, version};
use crate::domain::{Error, Result};
use crate::limits::KIB;

/// Bytes of a compiled pattern, and of what looking for it keeps.
const PATTERN_LEN_MAX: usize = 64 * KIB;

/// The bans of a version.
#[derive(Default)]
struct Bans {
    version: u64,
    /// In lower case.
    whole: HashSet<String>,
    patterns: Vec<Regex>,
}

/// What a core knows of them.
#[derive(Default)]
pub struct NewNames(RefCell<Bans>);

/// A pattern as it is looked for in a name.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> std::result::Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(PATTERN_LEN_MAX)
        .dfa_size_limit(PATTERN_LEN_MAX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "becomes too large: ask for less".to_string(),
        error => {
            format!("is no regular expression: {}", error.to_string().lines().last().unwrap_or_default())
        }
    })
}

impl NewNames {
    /// # Errors
    /// 400 for a name that is banned.
    pub fn check(&self, state: &State, name: &str) -> Result<()> {
        let snapshot = state.snapshot();
        let read = snapshot.read();
        let mut bans = self.0.borrow_mut();
        if bans.version != version(read) {
            *bans = Bans { version: version(read), ..Bans::default() };
            for (_, ban) in all(read) {
                match ban.is_regex {
                    true => bans.patterns.extend(compile(&ban.pattern)),
                    false => drop(bans.whole.insert(ban.pattern.to_lowercase())),
                }
            }
        }
        let is_banned = bans.whole.contains(&name.to_lowercase())
            || bans.patterns.iter().any(|pattern| pattern.is_match(name));
        if is_banned { Err(Error::invalid("username", "this name may not be taken")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded() {
        assert!(compile("^ad.*min$").unwrap().is_match("ADxMIN"));
        assert!(compile("(abc").unwrap_err().starts_with("is no regular expression"));
        assert_eq!(compile("((a{100}){100}){100}").unwrap_err(), "becomes too large: ask for less");
    }
}
