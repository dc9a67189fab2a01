//! What a rule looks for, read from its JSON. Absent and null stand for the default; unknown keys are left alone.

use std::ops::RangeInclusive;

use crate::limits::{PATTERN_COUNT_MAX, PATTERN_LEN_MAX, RULE_WORD_COUNT_MAX, RULE_WORD_LEN_MAX};
use crate::store::records::{automod_rule, severity};
use crate::wire::json::Value;

/// What is wrong, as a sentence that goes on behind the name of the field.
pub type Problem = String;
type Result<T> = std::result::Result<T, Problem>;

#[derive(Clone, Debug, PartialEq)]
pub enum LooksFor {
    Keyword(Keyword),
    Regex(Vec<Pattern>),
    Mentions(Mentions),
    Messages(Messages),
    Invites(Invites),
    Emoji(Emoji),
    Capitals(Capitals),
    Repeats(Repeats),
    Links(Links),
    Ai(Ai),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Keyword {
    /// Each with its severity.
    pub words: Vec<(String, u8)>,
    pub whole_word: bool,
    pub case_sensitive: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub name: String,
    pub pattern: String,
    pub case_sensitive: bool,
    pub multiline: bool,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mentions {
    pub users_max: u64,
    pub roles_max: u64,
    pub total_max: u64,
    pub everyone: bool,
    /// Each counts once, however often it is mentioned.
    pub unique: bool,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Messages {
    pub count_max: u64,
    pub window_ms: u64,
    /// So many alike are too many.
    pub alike_min: u64,
    pub similarity: f64,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Invites {
    /// Also those to this very server.
    pub all: bool,
    pub allowed: Vec<String>,
    /// What an invite looks like beside the usual ones; its first group is the code.
    pub pattern: Option<String>,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Emoji {
    pub count_max: u64,
    pub percent_max: f64,
    pub custom: bool,
    pub unicode: bool,
    pub length_min: u64,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Capitals {
    pub percent_max: f64,
    pub length_min: u64,
    pub ignore_commands: bool,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Repeats {
    pub repeats_max: u64,
    pub occurrences_min: u64,
    pub ignore_blanks: bool,
    pub ignore_digits: bool,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// Those that are not listed are hit, instead of those that are.
    pub is_whitelist: bool,
    pub all: bool,
    pub whitelist: Vec<String>,
    pub blacklist: Vec<String>,
    pub severity: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ai {
    pub backend: Backend,
    /// Empty: whatever the service finds.
    pub categories: Vec<String>,
    pub threshold: f64,
    pub severity: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    OpenAi,
    Perspective,
    Custom,
}

const BACKENDS: [(&str, Backend); 3] =
    [("openai", Backend::OpenAi), ("perspective", Backend::Perspective), ("custom", Backend::Custom)];

/// The longest time that messages of somebody are looked back at.
const WINDOW_SECONDS_MAX: u64 = 3_600;
/// Numbers of things in one text: above the longest text nothing is ever hit.
const COUNT_MAX: u64 = 10_000;

impl LooksFor {
    /// # Errors
    /// What is wrong with it.
    pub fn read(kind: u8, config: &Value<'_>) -> Result<LooksFor> {
        if config.as_object().is_none() {
            return Err(format!("must be an object, not {}", config.kind()));
        }
        let config = Config(config);
        Ok(match kind {
            automod_rule::KEYWORD => LooksFor::Keyword(keyword(config)?),
            automod_rule::REGEX => LooksFor::Regex(patterns(config)?),
            automod_rule::MENTION_SPAM => LooksFor::Mentions(Mentions {
                users_max: config.int("max_user_mentions", 5, 0..=COUNT_MAX)?,
                roles_max: config.int("max_role_mentions", 3, 0..=COUNT_MAX)?,
                total_max: config.int("max_total_mentions", 10, 0..=COUNT_MAX)?,
                everyone: config.flag("block_everyone", false)?,
                unique: config.flag("count_unique_only", false)?,
                severity: config.severity()?,
            }),
            automod_rule::MESSAGE_SPAM => LooksFor::Messages(Messages {
                count_max: config.int("max_messages", 5, 1..=super::spam::RECENT_COUNT_MAX as u64)?,
                window_ms: config.int("window_seconds", 5, 1..=WINDOW_SECONDS_MAX)? * 1_000,
                alike_min: config.int("duplicate_threshold", 3, 2..=COUNT_MAX)?,
                similarity: config.number("similarity_threshold", 0.9, 0.0..=1.0)?,
                severity: config.severity()?,
            }),
            automod_rule::INVITE_LINKS => LooksFor::Invites(Invites {
                all: config.flag("block_all", false)?,
                allowed: config.words("allowed_codes")?,
                pattern: config.text("pattern", PATTERN_LEN_MAX)?.filter(|pattern| !pattern.is_empty()),
                severity: config.severity()?,
            }),
            automod_rule::MASS_EMOJI => LooksFor::Emoji(Emoji {
                count_max: config.int("max_emoji", 10, 0..=COUNT_MAX)?,
                percent_max: config.number("max_percentage", 50.0, 0.0..=100.0)?,
                custom: config.flag("count_custom", true)?,
                unicode: config.flag("count_unicode", true)?,
                length_min: config.int("min_length", 5, 0..=COUNT_MAX)?,
                severity: config.severity()?,
            }),
            automod_rule::CAPS_PERCENTAGE => LooksFor::Capitals(Capitals {
                percent_max: config.number("max_percentage", 70.0, 0.0..=100.0)?,
                length_min: config.int("min_length", 10, 0..=COUNT_MAX)?,
                ignore_commands: config.flag("ignore_commands", true)?,
                severity: config.severity()?,
            }),
            automod_rule::REPEATED_CHARS => LooksFor::Repeats(Repeats {
                repeats_max: config.int("max_repeats", 5, 1..=COUNT_MAX)?,
                occurrences_min: config.int("min_occurrences", 3, 1..=COUNT_MAX)?,
                ignore_blanks: config.flag("ignore_whitespace", true)?,
                ignore_digits: config.flag("ignore_numbers", false)?,
                severity: config.severity()?,
            }),
            automod_rule::EXTERNAL_LINKS => LooksFor::Links(Links {
                is_whitelist: config
                    .choice("mode", &[("blacklist", false), ("whitelist", true)])?
                    .unwrap_or(false),
                all: config.flag("block_all", false)?,
                whitelist: config.words("whitelist")?,
                blacklist: config.words("blacklist")?,
                severity: config.severity()?,
            }),
            automod_rule::AI_MODERATION => LooksFor::Ai(Ai {
                backend: config.choice("backend", &BACKENDS)?.ok_or("backend is required")?,
                categories: config.words("categories")?,
                threshold: config.number("score_threshold", 0.8, 0.0..=1.0)?,
                severity: config.severity()?,
            }),
            _ => return Err("is of no type of rule that is known".into()),
        })
    }
}

fn keyword(config: Config<'_>) -> Result<Keyword> {
    let words = config.words("keywords")?;
    if words.is_empty() {
        return Err("keywords must have at least one word".into());
    }
    let levels = config.object("severity_map")?;
    let level_of = |word: &str| {
        let level = levels.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        level.map_or(Ok(config.severity()?), |(_, level)| level_code("severity_map", level))
    };
    let words = words.into_iter().map(|word| level_of(&word).map(|level| (word, level)));
    Ok(Keyword {
        words: words.collect::<Result<_>>()?,
        whole_word: config.flag("whole_word", true)?,
        case_sensitive: config.flag("case_sensitive", false)?,
    })
}

fn patterns(config: Config<'_>) -> Result<Vec<Pattern>> {
    let items = config.list("patterns", PATTERN_COUNT_MAX)?;
    if items.is_empty() {
        return Err("patterns must have at least one pattern".into());
    }
    items.iter().map(pattern).collect()
}

/// A pattern with what is said of it, or alone.
fn pattern(item: &Value<'_>) -> Result<Pattern> {
    let item = match item {
        Value::Object(_) => item.clone(),
        Value::Str(_) => Value::Object(vec![("pattern", item.clone())]),
        other => return Err(format!("patterns: each must be an object, not {}", other.kind())),
    };
    let config = Config(&item);
    let pattern = config.text("pattern", PATTERN_LEN_MAX)?.filter(|pattern| !pattern.is_empty());
    let pattern = pattern.ok_or("patterns: each must have a pattern")?;
    Ok(Pattern {
        name: config.text("name", RULE_WORD_LEN_MAX)?.unwrap_or_else(|| pattern.clone()),
        case_sensitive: config.flag("case_sensitive", false)?,
        multiline: config.flag("multiline", false)?,
        severity: config.severity()?,
        pattern,
    })
}

fn level_code(name: &str, value: &Value<'_>) -> Result<u8> {
    let code = value.as_str().and_then(severity::code);
    code.ok_or_else(|| format!("{name} must be one of {}", severity::WORDS.join(", ")))
}

/// Reads fields of an object.
#[derive(Clone, Copy)]
struct Config<'v>(&'v Value<'v>);

impl<'v> Config<'v> {
    fn get(self, name: &str) -> Option<&'v Value<'v>> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn int(self, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let int = value.as_int().and_then(|int| u64::try_from(int).ok()).filter(|int| range.contains(int));
        int.ok_or_else(|| format!("{name} must be a whole number, {} to {}", range.start(), range.end()))
    }

    fn number(self, name: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = match value {
            Value::Int(int) => Some(*int as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        number.ok_or_else(|| format!("{name} must be a number, {} to {}", range.start(), range.end()))
    }

    fn flag(self, name: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_bool().ok_or_else(|| format!("{name} must be a boolean, not {}", value.kind()))
    }

    fn text(self, name: &str, chars_max: usize) -> Result<Option<String>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| format!("{name} must be a string, not {}", value.kind()))?;
        let count = text.chars().count();
        if count > chars_max {
            return Err(format!("{name} must be at most {chars_max} characters, not {count}"));
        }
        Ok(Some(text.to_owned()))
    }

    fn list(self, name: &str, count_max: usize) -> Result<&'v [Value<'v>]> {
        let Some(value) = self.get(name) else { return Ok(&[]) };
        let items = value.as_array().ok_or_else(|| format!("{name} must be a list, not {}", value.kind()))?;
        if items.len() > count_max {
            return Err(format!("{name} must have at most {count_max} items, not {}", items.len()));
        }
        Ok(items)
    }

    fn object(self, name: &str) -> Result<&'v [(&'v str, Value<'v>)]> {
        let Some(value) = self.get(name) else { return Ok(&[]) };
        value.as_object().ok_or_else(|| format!("{name} must be an object, not {}", value.kind()))
    }

    /// Texts that are not blank, trimmed, each once.
    fn words(self, name: &str) -> Result<Vec<String>> {
        let mut words: Vec<String> = Vec::new();
        for item in self.list(name, RULE_WORD_COUNT_MAX)? {
            let word =
                item.as_str().ok_or_else(|| format!("{name}: each must be a string, not {}", item.kind()))?;
            let word = word.trim();
            let count = word.chars().count();
            if !(1..=RULE_WORD_LEN_MAX).contains(&count) {
                return Err(format!("{name}: each must be 1 to {RULE_WORD_LEN_MAX} characters, not {count}"));
            }
            words.push(word.to_owned());
        }
        words.sort_unstable();
        words.dedup();
        Ok(words)
    }

    fn choice<T: Copy>(self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| value.as_str() == Some(word));
        let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(|(_, chosen)| Some(*chosen)).ok_or_else(|| format!("{name} must be one of {}", words()))
    }

    fn severity(self) -> Result<u8> {
        self.get("severity").map_or(Ok(severity::MEDIUM), |value| level_code("severity", value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    fn read(kind: u8, json: &str) -> Result<LooksFor> {
        let mut bytes = json.as_bytes().to_vec();
        LooksFor::read(kind, &parse(&mut bytes).unwrap())
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let severity = severity::MEDIUM;
        let check = |kind: u8, want: LooksFor| assert_eq!(read(kind, "{}"), Ok(want));
        check(
            automod_rule::MENTION_SPAM,
            LooksFor::Mentions(Mentions {
                users_max: 5,
                roles_max: 3,
                total_max: 10,
                everyone: false,
                unique: false,
                severity,
            }),
        );
        check(
            automod_rule::MESSAGE_SPAM,
            LooksFor::Messages(Messages {
                count_max: 5,
                window_ms: 5_000,
                alike_min: 3,
                similarity: 0.9,
                severity,
            }),
        );
        check(
            automod_rule::MASS_EMOJI,
            LooksFor::Emoji(Emoji {
                count_max: 10,
                percent_max: 50.0,
                custom: true,
                unicode: true,
                length_min: 5,
                severity,
            }),
        );
        check(
            automod_rule::CAPS_PERCENTAGE,
            LooksFor::Capitals(Capitals {
                percent_max: 70.0,
                length_min: 10,
                ignore_commands: true,
                severity,
            }),
        );
        check(
            automod_rule::REPEATED_CHARS,
            LooksFor::Repeats(Repeats {
                repeats_max: 5,
                occurrences_min: 3,
                ignore_blanks: true,
                ignore_digits: false,
                severity,
            }),
        );
        let json = r#"{"keywords":["b","a","b"],"severity_map":{"B":"high"},"unknown":[]}"#;
        let words = vec![("a".to_string(), severity), ("b".to_string(), severity::HIGH)];
        let want = Keyword { words, whole_word: true, case_sensitive: false };
        assert_eq!(read(automod_rule::KEYWORD, json), Ok(LooksFor::Keyword(want)));
    }

    #[test]
    fn problems_are_named() {
        let check = |kind: u8, json: &str, want: &str| {
            let problem = read(kind, json).unwrap_err();
            assert!(problem.contains(want), "{json}: {problem}");
        };
        check(automod_rule::KEYWORD, "[]", "must be an object, not a list");
        check(automod_rule::KEYWORD, "{}", "keywords must have at least one word");
        check(automod_rule::KEYWORD, r#"{"keywords":"a"}"#, "keywords must be a list");
        check(automod_rule::KEYWORD, r#"{"keywords":[1]}"#, "keywords: each must be a string");
        check(automod_rule::KEYWORD, r#"{"keywords":[" "]}"#, "keywords: each must be 1 to 100 characters");
        check(automod_rule::KEYWORD, r#"{"keywords":["a"],"whole_word":1}"#, "whole_word must be a boolean");
        check(
            automod_rule::KEYWORD,
            r#"{"keywords":["a"],"severity_map":{"a":"x"}}"#,
            "severity_map must be one of",
        );
        check(automod_rule::REGEX, "{}", "patterns must have at least one");
        check(automod_rule::REGEX, r#"{"patterns":[{"name":"x"}]}"#, "each must have a pattern");
        check(automod_rule::REGEX, r#"{"patterns":[5]}"#, "each must be an object");
        check(automod_rule::MENTION_SPAM, r#"{"max_user_mentions":-1}"#, "must be a whole number, 0 to");
        check(
            automod_rule::MESSAGE_SPAM,
            r#"{"window_seconds":0}"#,
            "window_seconds must be a whole number, 1 to",
        );
        check(automod_rule::MESSAGE_SPAM, r#"{"similarity_threshold":1.1}"#, "must be a number, 0 to 1");
        check(automod_rule::CAPS_PERCENTAGE, r#"{"max_percentage":"70"}"#, "max_percentage must be a number");
        check(automod_rule::EXTERNAL_LINKS, r#"{"mode":"both"}"#, "mode must be one of blacklist, whitelist");
        check(automod_rule::AI_MODERATION, "{}", "backend is required");
        check(automod_rule::AI_MODERATION, r#"{"backend":"mine"}"#, "one of openai, perspective, custom");
        check(99, "{}", "no type of rule");
        let many = format!(r#"{{"patterns":[{}""]}}"#, "\"a\",".repeat(20));
        check(automod_rule::REGEX, &many, "at most 20 items, not 21");
    }
}
