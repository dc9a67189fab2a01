//! JSON: random values in random spellings, random damage, random requests for fields.

use std::time::{Duration, Instant};

use plexichat::api::Body;
use plexichat::wire::json::{self, Value};

/// Of each test, in wall-clock time; the seeds run in order from 0.
const BUDGET: Duration = Duration::from_millis(500);
/// Deeper nesting is refused (`wire/json.rs`).
const DEPTH_MAX: usize = 64;

/// Runs `test` with seeds 0, 1, 2 … until the budget is used; names the seed that fails.
fn for_seeds(test: impl Fn(&mut fastrand::Rng)) {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failing seed: {}", self.0);
            }
        }
    }
    let started = Instant::now();
    for seed in 0.. {
        let _name = Name(seed);
        test(&mut fastrand::Rng::with_seed(seed));
        if started.elapsed() > BUDGET {
            break;
        }
    }
}

/// The compact JSON of a text, or what was wrong with it.
fn round(text: &[u8]) -> Result<String, String> {
    let mut bytes = text.to_vec();
    json::parse(&mut bytes).map(|value| value.to_json()).map_err(|error| error.to_string())
}

/// A value in a random spelling, and as it is written compactly.
#[derive(Default)]
struct Text {
    spelled: String,
    compact: String,
}

impl Text {
    fn both(&mut self, text: &str) {
        self.spelled.push_str(text);
        self.compact.push_str(text);
    }

    fn blanks(&mut self, random: &mut fastrand::Rng) {
        while random.u8(..6) == 0 {
            self.spelled.push([' ', '\n', '\t', '\r'][random.usize(..4)]);
        }
    }

    fn string(&mut self, random: &mut fastrand::Rng) {
        self.string_after("", random);
    }

    /// One that begins with a text.
    fn string_after(&mut self, start: &str, random: &mut fastrand::Rng) {
        self.both("\"");
        self.both(start);
        let len = if random.u8(..20) == 0 { random.usize(..300) } else { random.usize(..12) };
        for _ in 0..len {
            self.char(random);
        }
        self.both("\"");
    }

    fn char(&mut self, random: &mut fastrand::Rng) {
        let next = match random.u8(..8) {
            0 => random.char('\0'..' '),
            1 => random.char(..),
            2 => ['"', '\\', '/', '\u{7f}', '\u{fffd}'][random.usize(..5)],
            _ => random.alphanumeric(),
        };
        let short = match next {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        };
        match short {
            Some(short) => self.compact.push_str(short),
            None if next < ' ' => self.compact.push_str(&format!("\\u{:04x}", u32::from(next))),
            None => self.compact.push(next),
        }
        let must_escape = short.is_some() || next < ' ';
        match (short, random.u8(..8)) {
            (Some(short), 1..) => self.spelled.push_str(short),
            (None, 1..) if !must_escape => self.spelled.push(next),
            _ => {
                for unit in next.encode_utf16(&mut [0; 2]) {
                    let upper = random.bool();
                    self.spelled.push_str(&if upper {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    });
                }
            }
        }
    }

    fn number(&mut self, random: &mut fastrand::Rng) {
        match random.u8(..6) {
            0 => self.both(&random.u64(..).to_string()),
            1 => self.both(&random.i64(..).to_string()),
            2 => self
                .both(&[0, 1, u64::MAX, i64::MAX as u64, i64::MAX as u64 + 1][random.usize(..5)].to_string()),
            3 => self.both(&i64::MIN.to_string()),
            _ => self.both(&random.u32(..1000).to_string()),
        }
    }

    fn value(&mut self, random: &mut fastrand::Rng, depth: usize) {
        self.blanks(random);
        match random.u8(..if depth == 0 { 7 } else { 12 }) {
            0 => self.both("null"),
            1 => self.both("true"),
            2 => self.both("false"),
            3 | 4 => self.number(random),
            5 | 6 => self.string(random),
            kind => {
                let is_array = kind < 9;
                self.both(if is_array { "[" } else { "{" });
                for index in 0..random.usize(..5) {
                    if index > 0 {
                        self.both(",");
                    }
                    if !is_array {
                        self.blanks(random);
                        // Each name once: of several the last would be written.
                        self.string_after(&index.to_string(), random);
                        self.blanks(random);
                        self.both(":");
                    }
                    self.value(random, depth - 1);
                }
                self.blanks(random);
                self.both(if is_array { "]" } else { "}" });
            }
        }
        self.blanks(random);
    }
}

fn text(random: &mut fastrand::Rng) -> Text {
    let mut text = Text::default();
    text.value(random, 5);
    text
}

#[test]
fn any_spelling_of_a_value_is_written_compactly() {
    for_seeds(|random| {
        let text = text(random);
        assert_eq!(round(text.spelled.as_bytes()).as_ref(), Ok(&text.compact), "{}", text.spelled);
        assert_eq!(round(text.compact.as_bytes()), Ok(text.compact), "written JSON reads back");
    });
}

#[test]
fn floats_read_back() {
    for_seeds(|random| {
        let float = f64::from_bits(random.u64(..));
        if !float.is_finite() {
            return;
        }
        for spelled in [format!("{float:?}"), format!("{float:e}"), format!("[{float:?}]")] {
            let Ok(first) = round(spelled.as_bytes()) else { panic!("{spelled} is a number") };
            assert_eq!(round(first.as_bytes()).as_ref(), Ok(&first), "{spelled}");
        }
    });
}

#[test]
fn damaged_values() {
    for_seeds(|random| {
        let mut bytes = text(random).spelled.into_bytes();
        for _ in 0..random.usize(1..6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.usize(..bytes.len());
            match random.u8(..6) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(..8),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, b"{}[]\",:\\u0e-.tn\0"[random.usize(..16)]),
                4 => bytes.truncate(at),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend_from_slice(&piece);
                }
            }
        }
        if let Ok(compact) = round(&bytes) {
            assert!(std::str::from_utf8(&bytes).is_ok(), "what is no UTF-8 is refused");
            assert_eq!(round(compact.as_bytes()).as_ref(), Ok(&compact), "what was accepted reads back");
        }
    });
}

#[test]
fn random_bytes() {
    for_seeds(|random| {
        let len = random.usize(..200);
        let any: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        let _ = round(&any);
        let token = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d800", "\\udc00", "1", "-", "0", ".", "e",
            "true", "null", " ",
        ];
        let tokens: String =
            std::iter::repeat_with(|| token[random.usize(..token.len())]).take(len / 4).collect();
        if let Ok(compact) = round(tokens.as_bytes()) {
            assert_eq!(round(compact.as_bytes()).as_ref(), Ok(&compact), "{tokens}");
        }
    });
}

#[test]
fn nesting_ends_somewhere() {
    let nested = |open: &str, middle: &str, close: &str, depth: usize| {
        open.repeat(depth) + middle + &close.repeat(depth)
    };
    for (open, middle, close) in [("[", "", "]"), ("{\"a\":", "1", "}"), ("[{\"a\":", "[]", "}]")] {
        let levels = open.matches(['[', '{']).count();
        let fits = (DEPTH_MAX - 2) / levels;
        assert!(round(nested(open, middle, close, fits).as_bytes()).is_ok(), "{open} {fits} deep");
        for depth in [DEPTH_MAX + 2, 1_000, 100_000] {
            assert!(round(nested(open, middle, close, depth).as_bytes()).is_err(), "{open} {depth} deep");
            assert!(round(open.repeat(depth).as_bytes()).is_err(), "{open} {depth} deep, open");
        }
    }
}

#[test]
fn numbers_at_the_edges() {
    let check =
        |text: &str, want: Option<&str>| assert_eq!(round(text.as_bytes()).ok().as_deref(), want, "{text}");
    check("18446744073709551615", Some("18446744073709551615"));
    check("-9223372036854775808", Some("-9223372036854775808"));
    for text in
        ["01", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "1_000", "Infinity", "-NaN", "--1", "1.2.3"]
    {
        check(text, None);
    }
    // Beyond 64 bits it is no id, and is written as it was read.
    for text in
        ["18446744073709551616", "-9223372036854775809", &"9".repeat(400), &format!("-{}", "9".repeat(400))]
    {
        let mut bytes = text.as_bytes().to_vec();
        let value = json::parse(&mut bytes).unwrap();
        assert_eq!((value.as_id(), value.to_json().as_str()), (None, text), "{text}");
        let exact = text.parse().unwrap_or(if text.starts_with('-') { i128::MIN } else { i128::MAX });
        assert_eq!(value.as_int(), Some(exact), "{text}");
    }
    for text in ["1e400", "-1e400"] {
        check(text, Some(text));
    }
    for text in ["1e-400", "0.00000000000000000000000000000000000000000000000001"] {
        assert!(round(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn surrogates_stand_in_pairs() {
    let check =
        |text: &str, want: Option<&str>| assert_eq!(round(text.as_bytes()).ok().as_deref(), want, "{text}");
    check(r#""\ud83d\ude00""#, Some("\"😀\""));
    check(r#""\uD83D\uDE00""#, Some("\"😀\""));
    for (text, want) in [
        (r#""\ud83d""#, "\"\u{fffd}\""),
        (r#""\ude00""#, "\"\u{fffd}\""),
        (r#""\ud83d\ud83d""#, "\"\u{fffd}\u{fffd}\""),
        (r#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\""),
        (r#""\ud83dx""#, "\"\u{fffd}x\""),
        (r#""\ud83d\n""#, "\"\u{fffd}\\n\""),
    ] {
        check(text, Some(want));
    }
    check(r#""\u12""#, None);
    check(r#""\uzzzz""#, None);
}

#[test]
fn the_last_of_several_members_counts() {
    for_seeds(|random| {
        let count = random.usize(1..30);
        let members: Vec<(u8, u32)> = (0..count).map(|_| (random.u8(..5), random.u32(..))).collect();
        let text: Vec<String> = members.iter().map(|(name, value)| format!("\"k{name}\":{value}")).collect();
        let mut bytes = format!("{{{}}}", text.join(",")).into_bytes();
        let object = json::parse(&mut bytes).unwrap();
        for name in 0..5 {
            let want =
                members.iter().rev().find(|member| member.0 == name).map(|member| i128::from(member.1));
            assert_eq!(object.get(&format!("k{name}")).and_then(Value::as_int), want);
        }
    });
}

#[test]
fn fields_of_random_bodies() {
    for_seeds(|random| {
        let names = ["name", "content", "id", "count", "flag"];
        let mut text = Text::default();
        text.both("{");
        for index in 0..random.usize(..8) {
            text.both(if index > 0 { "," } else { "" });
            text.both(&format!("\"{}\":", names[random.usize(..names.len())]));
            text.value(random, 2);
        }
        text.both("}");
        let mut bytes = text.spelled.into_bytes();
        if random.u8(..4) == 0 {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let Ok(body) = Body::parse(&mut bytes, Some(b"application/json")) else { return };
        for name in names {
            let given = body.value(name);
            let range = random.usize(..5)..=random.usize(5..20);
            let string = body.opt_str(name, range.clone());
            match given {
                None => assert_eq!(string, Ok(None)),
                Some(Value::Str(text)) => {
                    let fits = range.contains(&text.chars().count());
                    assert_eq!(string.is_ok(), fits, "{text:?} in {range:?}");
                }
                Some(_) => assert_eq!(string.map_err(|error| error.status), Err(400)),
            }
            let is_bool = given.is_none_or(|value| matches!(value, Value::Bool(_)));
            assert_eq!(body.opt_bool(name).is_ok(), is_bool);
            if let Ok(Some(int)) = body.opt_int(name, 3..=1_000) {
                assert!((3..=1_000).contains(&int));
            }
            let id = given.and_then(Value::as_id);
            let want = if given.is_some() && id.is_none() { Err(400) } else { Ok(id) };
            assert_eq!(body.opt_id(name).map_err(|error| error.status), want);
            assert_eq!(body.id(name).ok(), id);
        }
    });
}
