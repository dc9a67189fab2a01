//! How long a file may be.

use super::source::Source;

pub const LINE_COUNT_MAX: usize = 900;

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
