//! Names that somebody wants to have: whether administrators have banned them.
//!
//! Each core keeps the bans compiled, and has those that are new compiled when there are other ones. The engine is linear
//! in time and how large a pattern may become is bounded, but hundreds of them take milliseconds: where there are
//! patterns, they are compiled and looked for on a lane.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::ctx::Ctx;
use crate::domain::identity::banned_name::{all, version};
use crate::domain::{Error, Result};
use crate::id::NameBanId;
use crate::limits::KIB;
use crate::store::Read;

/// Bytes of a compiled pattern, and of what looking for it keeps.
const PATTERN_LEN_MAX: usize = 64 * KIB;

/// The bans of a version.
#[derive(Clone, Default)]
pub struct Bans {
    version: u64,
    /// In lower case.
    whole: HashSet<String>,
    patterns: HashMap<NameBanId, Regex>,
}

/// What a core knows of them.
#[derive(Default)]
pub struct NewNames(RefCell<Arc<Bans>>);

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

impl Bans {
    /// Those in force; what these have compiled is not compiled anew.
    fn renewed(self: Arc<Bans>, read: Read<'_>) -> Arc<Bans> {
        if self.version == version(read) {
            return self;
        }
        let mut bans = Bans { version: version(read), ..Bans::default() };
        for (ban_id, ban) in all(read) {
            match (ban.is_regex, self.patterns.get(&ban_id)) {
                (false, _) => drop(bans.whole.insert(ban.pattern.to_lowercase())),
                (true, Some(known)) => drop(bans.patterns.insert(ban_id, known.clone())),
                (true, None) => bans.patterns.extend(compile(&ban.pattern).map(|pattern| (ban_id, pattern))),
            }
        }
        Arc::new(bans)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.whole.contains(&name.to_lowercase())
            || self.patterns.values().any(|pattern| pattern.is_match(name))
    }
}

/// What names come to by the bans in force.
///
/// # Errors
/// 503 when too many wait.
pub async fn judged<T: Send + 'static>(
    ctx: &Ctx<'_>,
    judge: impl FnOnce(&Bans) -> T + Send + 'static,
) -> Result<T> {
    let known = ctx.state.new_names.0.borrow().clone();
    if known.version == version(ctx.snapshot().read()) && known.patterns.is_empty() {
        return Ok(judge(&known));
    }
    let judged = move |read: Read<'_>| {
        let bans = known.renewed(read);
        let judgement = judge(&bans);
        Ok((bans, judgement))
    };
    let (bans, judgement) = ctx.read_store(judged).await?;
    *ctx.state.new_names.0.borrow_mut() = bans;
    Ok(judgement)
}

/// # Errors
/// 400 for a name that is banned; 503 when too many wait.
pub async fn require_allowed(ctx: &Ctx<'_>, name: &str) -> Result<()> {
    let owned = name.to_string();
    match judged(ctx, move |bans| bans.contains(&owned)).await? {
        true => Err(Error::invalid("username", "this name may not be taken")),
        false => Ok(()),
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
