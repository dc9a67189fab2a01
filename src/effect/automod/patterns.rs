//! Regular expressions of moderators: what they cost, and how they are found in a text.
//!
//! The engine takes time that is linear in the text; how many steps a character takes is up to the pattern. So that is
//! counted before it is compiled: every place at which a text can be inside of it, repetitions written out. Nested
//! repetitions and long alternations of what repeats are beyond any bound soon, and are refused.

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::config::Pattern;
use crate::limits::{KIB, PATTERN_COMPILED_LEN_MAX, PATTERN_COST_MAX};

/// Groups inside of one another.
const NEST_MAX: u32 = 50;
/// How large a pattern may become: tried one after the other, so that it is known about how large it is.
const LENGTHS: [usize; 4] = [16 * KIB, 64 * KIB, 256 * KIB, PATTERN_COMPILED_LEN_MAX as usize];
/// What the engine remembers of a pattern between texts, per thread that looks for it.
const REMEMBERED_LEN_MAX: usize = 128 * KIB;

/// A pattern that is ready, with what it weighs.
pub struct Compiled {
    pub regex: Regex,
    pub len: u64,
    pub cost: u64,
}

/// # Errors
/// What is wrong with it, or that it costs too much.
pub fn compile(pattern: &Pattern) -> Result<Compiled, String> {
    let wrong = |problem: String| format!("pattern {:?}: {problem}", pattern.name);
    let cost = cost_of(pattern).map_err(wrong)?;
    if cost > PATTERN_COST_MAX {
        return Err(wrong(format!(
            "it has {cost} characters and classes, repetitions counted, and may have {PATTERN_COST_MAX}: repeat less"
        )));
    }
    for len in LENGTHS {
        let mut builder = RegexBuilder::new(&pattern.pattern);
        builder.case_insensitive(!pattern.case_sensitive).multi_line(pattern.multiline).nest_limit(NEST_MAX);
        match builder.size_limit(len).dfa_size_limit(REMEMBERED_LEN_MAX).build() {
            Ok(regex) => return Ok(Compiled { regex, len: len as u64, cost }),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => return Err(wrong(last_line(&error.to_string()))),
        }
    }
    Err(wrong(format!(
        "it takes more than {PATTERN_COMPILED_LEN_MAX} bytes: use narrower classes, such as [a-z0-9] for \\w"
    )))
}

fn cost_of(pattern: &Pattern) -> Result<u64, String> {
    let mut parser = ParserBuilder::new();
    parser.case_insensitive(!pattern.case_sensitive).multi_line(pattern.multiline).nest_limit(NEST_MAX);
    let hir = parser.build().parse(&pattern.pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => told(&error.kind().to_string(), error.span().start.offset),
        regex_syntax::Error::Translate(error) => told(&error.kind().to_string(), error.span().start.offset),
        other => last_line(&other.to_string()),
    })?;
    Ok(places(&hir))
}

fn told(problem: &str, at: usize) -> String {
    format!("{problem}, at byte {at}")
}

/// Errors come with a drawing of the pattern.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_string()
}

/// At how many places of it a text can be.
fn places(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).chars().count() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            let times = max.unwrap_or((*min).max(1));
            // What repeats nothing is gone through as often all the same.
            places(sub).max(1).saturating_mul(u64::from(times))
        }
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(places).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::severity;

    fn pattern(text: &str) -> Pattern {
        Pattern {
            name: "p".into(),
            pattern: text.into(),
            case_sensitive: false,
            multiline: false,
            severity: severity::LOW,
        }
    }

    fn refused(text: &str) -> String {
        compile(&pattern(text)).err().unwrap_or_else(|| panic!("{text} is taken"))
    }

    #[test]
    fn usual_patterns_are_taken() {
        let check = |text: &str, hit: &str, miss: &str| {
            let compiled = compile(&pattern(text)).unwrap_or_else(|problem| panic!("{problem}"));
            assert!(compiled.regex.is_match(hit), "{text} {hit}");
            assert!(!compiled.regex.is_match(miss), "{text} {miss}");
            assert!(compiled.cost <= 120, "{text} {}", compiled.cost);
        };
        check(r"\+\d{8,}", "call +4912345678", "call +49");
        check(r"\b\d{3}-\d{2}-\d{4}\b", "123-45-6789", "123-45-67890");
        check(r"[\w.+-]+@[\w-]+\.[\w.]+", "ada@example.org", "ada at example");
        check(r"free\s+nitro", "FREE  Nitro", "freenitro");
        check(r"@\w{3,20}", "@someone", "@me");
        check(r"(?:a+)+$", "aaa", "b");
        check(r"^x", "x", "\nx");
        let lines = Pattern { multiline: true, case_sensitive: true, ..pattern("^x") };
        let compiled = compile(&lines).unwrap();
        assert!(compiled.regex.is_match("\nx") && !compiled.regex.is_match("X"));
    }

    #[test]
    fn hostile_patterns_are_refused_with_a_reason() {
        let check = |text: &str, want: &str| {
            let problem = refused(text);
            assert!(problem.contains(want), "{text}: {problem}");
        };
        check("(a{0,100}){0,100}", "10000 characters and classes");
        check("((((a{9}){9}){9}){9}){9}", "59049 characters");
        check("((a{1000}){1000}){1000}", "repeat less");
        let words: Vec<String> = (100..160).map(|n| format!("word{n}")).collect();
        check(&format!("({}){{9}}", words.join("|")), "characters and classes");
        check(r"\w{499}", "bytes: use narrower classes");
        check(r"(?=x)", "look-around");
        check(r"(a)\1", "backreferences");
        check("[a", "unclosed character class, at byte 0");
        check("(a", "unclosed group, at byte 0");
        check("*", "repetition operator missing expression");
        check(r"\p{Nope}", "Unicode property not found");
        check(&"(".repeat(100), "unclosed group");
        check(&format!("{}a{}", "(".repeat(60), ")".repeat(60)), "exceed the maximum number of nested");
    }

    /// Patterns made of the pieces of the language, against texts made of theirs: an answer, whatever it is.
    #[test]
    fn any_pattern_is_taken_or_refused() {
        const PIECES: [&str; 22] = [
            "a", "b", ".", "\\w", "\\d", "[^a]", "(", ")", "|", "*", "+", "?", "{2,5}", "{9}", "^", "$",
            "\\b", "(?i)", "é", "\\p{L}", "(?:", "[a-c",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let mut taken = 0;
        for _ in 0..2_000 {
            let text: String =
                (0..random.usize(1..9)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            if let Ok(compiled) = compile(&pattern(&text)) {
                taken += 1;
                compiled.regex.is_match("aab bé 12 ccc");
                assert!(compiled.cost <= PATTERN_COST_MAX);
            }
        }
        assert!(taken > 100, "{taken}");
    }
}
