//! How long a file may be, and a test.

use super::source::{Source, has_word};

pub const LINE_COUNT_MAX: usize = 700;

/// Files that are longer today. The list may only shrink.
pub const LONG_FILES: &[&str] = &[];

pub fn length(source: &Source, out: &mut Vec<String>) {
    let (count, listed) = (source.lines.len(), LONG_FILES.contains(&source.path.as_str()));
    if count > LINE_COUNT_MAX && !listed {
        out.push(source.complain(LINE_COUNT_MAX, &format!("{count} lines: cut it at {LINE_COUNT_MAX}")));
    }
    if count <= LINE_COUNT_MAX && listed {
        out.push(source.complain(0, "short enough now: remove it from LONG_FILES"));
    }
}

/// A test that is longer says too many things at once: what it sets up or expects is a table or a function beside it.
pub const TEST_LINE_COUNT_MAX: usize = 80;

/// Functions marked as tests, from `fn` to the brace that closes them.
pub fn test_length(source: &Source, out: &mut Vec<String>) {
    let lines = &source.lines;
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.code.trim() == "#[test]") {
        let rest = lines.iter().enumerate().skip(index + 1);
        let Some((begin, line)) = rest.clone().find(|(_, line)| has_word(&line.code, "fn")) else { continue };
        let indent = line.code.len() - line.code.trim_start().len();
        let closes = |code: &str| code.trim_end().len() == indent + 1 && code[indent..].starts_with('}');
        let end = rest.skip_while(|(at, _)| *at < begin).find(|(_, line)| closes(&line.code));
        let count = end.map_or(1, |(end, _)| end - begin + 1);
        if count > TEST_LINE_COUNT_MAX {
            out.push(
                source.complain(begin, &format!("a test of {count} lines: at most {TEST_LINE_COUNT_MAX}")),
            );
        }
    }
}
