//! Log files as they lie in their folder: what they are called, what a line of them looks like, and how one is read.
//!
//! Names: `plexichat.log` is written; `plexichat.7.log` is full, and `plexichat.7.log.gz` the same compressed. Numbers
//! count up, so that a file keeps its name for as long as it exists. Nothing else in the folder is ever opened.
//!
//! A record begins with its time, its level and a blank each: `2026-11-27T21:04:05.000123Z INFO plexichat: started`.
//! Whatever follows in lines of its own begins with a tab, so that nothing a client sends can pass for a record. A line
//! that begins none is of the record before it: it has that one's time and level.
//!
//! Invariant: whatever lies there, reading a file costs no more than [`SCAN_LEN_MAX`] bytes, packed or not, and gives
//! no more than [`ANSWER_LEN_MAX`].

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::bufread::MultiGzDecoder;
use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a file that are looked at: the last ones, or the first ones unpacked. A few tenths of a second.
pub const SCAN_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a line, its end included; of longer ones the rest is left out.
pub const LINE_LEN_MAX: usize = 16 * 1024;
/// Bytes of lines that are given back at once.
pub const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;
/// Files that are listed, the latest first.
const FILE_COUNT_MAX: usize = 2_000;
/// Of `2026-11-27T21:04:05.000123Z`.
const TIME_LEN: usize = 27;

/// What is written.
pub const CURRENT: &str = "plexichat.log";
pub const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

/// A file that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Full {
    pub number: u64,
    pub is_packed: bool,
}

impl Full {
    /// What a name means; `None` when it is none of ours, however like one it looks.
    pub fn of(name: &str) -> Option<Full> {
        let (number, end) = name.strip_prefix("plexichat.")?.split_once('.')?;
        let full = Full { number: number.parse().ok()?, is_packed: end == "log.gz" };
        (full.name() == name).then_some(full)
    }

    pub fn name(self) -> String {
        format!("plexichat.{}.log{}", self.number, if self.is_packed { ".gz" } else { "" })
    }
}

/// A file as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub name: String,
    pub len: u64,
    pub modified_ms: u64,
    pub is_packed: bool,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Of the record that it belongs to; empty when none began before it.
    pub time: String,
    pub level: &'static str,
    pub message: String,
    /// All of it.
    pub raw: String,
}

/// Lines that are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub limit: u64,
    /// How many of those that fit are left out before them.
    pub offset: u64,
    /// A text that they have in them, in any case.
    pub search: Option<String>,
    pub level: Option<&'static str>,
}

/// Lines that were found, from the oldest to the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many fit.
    pub count: u64,
    pub lines: Vec<Line>,
}

/// The level that is meant.
pub fn level(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_uppercase();
    let text = if text == "WARNING" { "WARN" } else { text.as_str() };
    LEVELS.iter().find(|level| **level == text).copied()
}

/// The files there are, the latest first. Without a folder there are none.
pub fn list(folder: &Path) -> Vec<LogFile> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<LogFile> = entries.flatten().filter_map(|entry| listed(&entry)).collect();
    files.sort_by(|a, b| (b.modified_ms, &b.name).cmp(&(a.modified_ms, &a.name)));
    files.truncate(FILE_COUNT_MAX);
    files
}

fn listed(entry: &std::fs::DirEntry) -> Option<LogFile> {
    let name = entry.file_name().into_string().ok()?;
    let is_packed = if name == CURRENT { false } else { Full::of(&name)?.is_packed };
    // Of the entry itself: a link is none of ours.
    let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_ms = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
    Some(LogFile { name, len: metadata.len(), modified_ms, is_packed })
}

/// Lines of a file; `None` when [`list`] would not name it.
///
/// # Errors
/// When it cannot be read.
pub fn view(folder: &Path, name: &str, wanted: &Wanted) -> io::Result<Option<Found>> {
    let is_packed = match Full::of(name) {
        Some(full) => full.is_packed,
        None if name == CURRENT => false,
        None => return Ok(None),
    };
    // Neither a link nor a pipe, which would wait for a writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(folder.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    if is_packed {
        let packed = BufReader::new(file.take(SCAN_LEN_MAX));
        return scan(BufReader::new(MultiGzDecoder::new(packed).take(SCAN_LEN_MAX)), wanted).map(Some);
    }
    let skipped = metadata.len().saturating_sub(SCAN_LEN_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    // What is written meanwhile is for the next look.
    let mut bytes = BufReader::new(file.take(metadata.len() - skipped));
    if skipped > 0 {
        bytes.skip_until(b'\n')?;
    }
    scan(bytes, wanted).map(Some)
}

fn scan(mut bytes: impl BufRead, wanted: &Wanted) -> io::Result<Found> {
    let search = wanted.search.as_deref().map(pattern).transpose()?;
    let mut found = Found::default();
    let (mut line, mut len, mut time, mut level) = (Vec::new(), 0, String::new(), "");
    while next_line(&mut bytes, &mut line) {
        let mut message = 0;
        if let Some(head) = Head::of(&line) {
            time.clear();
            time.push_str(head.time);
            (level, message) = (head.level, head.len);
        }
        let fits = wanted.level.is_none_or(|wanted| wanted == level)
            && search.as_ref().is_none_or(|search| search.is_match(&line));
        if !fits {
            continue;
        }
        let is_shown = found.count >= wanted.offset && (found.lines.len() as u64) < wanted.limit;
        // What is left out is the beginning of the next page, so lines stay without a gap.
        if is_shown && len < ANSWER_LEN_MAX {
            len += 2 * line.len();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (raw, message) = (text(&line), text(&line[message..]));
            found.lines.push(Line { time: time.clone(), level, message, raw });
        }
        found.count += 1;
    }
    Ok(found)
}

/// A text to look for, in any case.
fn pattern(text: &str) -> io::Result<Regex> {
    let mut pattern = RegexBuilder::new(&regex::escape(text));
    pattern.case_insensitive(true).build().map_err(io::Error::other)
}

/// Reads a line without its end; false when there is none. A file that breaks off, damaged, ends there.
fn next_line(bytes: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    let read = bytes.by_ref().take(LINE_LEN_MAX as u64).read_until(b'\n', line);
    let is_whole = line.last() == Some(&b'\n');
    if is_whole {
        line.pop();
    } else if line.len() == LINE_LEN_MAX {
        // Its rest is no line of its own.
        let _ = bytes.skip_until(b'\n');
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    is_whole || (read.is_ok() && !line.is_empty())
}

/// How a record begins.
struct Head<'l> {
    time: &'l str,
    level: &'static str,
    /// Where the message is.
    len: usize,
}

impl Head<'_> {
    fn of(line: &[u8]) -> Option<Head<'_>> {
        let (time, rest) = line.split_at_checked(TIME_LEN)?;
        let time = std::str::from_utf8(time).ok().filter(|time| is_time(time))?;
        let rest = rest.strip_prefix(b" ")?;
        let (level, message) = LEVELS
            .iter()
            .find_map(|level| Some((*level, rest.strip_prefix(level.as_bytes())?.strip_prefix(b" ")?)))?;
        Some(Head { time, level, len: line.len() - message.len() })
    }
}

fn is_time(text: &str) -> bool {
    const FORM: &[u8; TIME_LEN] = b"0000-00-00T00:00:00.000000Z";
    let digits = text.bytes().zip(FORM);
    text.len() == TIME_LEN
        && digits
            .into_iter()
            .all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form })
}

/// Makes what is to be logged a record: one line, and further ones that begin with a tab.
pub(super) fn tame(record: &[u8]) -> Vec<u8> {
    const CUT: &str = "\u{2026}";
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let mut tamed = Vec::with_capacity(record.len() + 2);
    for (index, byte) in record.iter().enumerate() {
        // Where a character begins, so that none is cut in two.
        let is_start = byte & 0xC0 != 0x80;
        if is_start && tamed.len() > LINE_LEN_MAX - 2 * CUT.len() - 4 {
            tamed.extend_from_slice(CUT.as_bytes());
            break;
        }
        match byte {
            b'\n' => tamed.extend_from_slice(b"\n\t"),
            b'\t' => tamed.push(b'\t'),
            0..0x20 | 0x7F => tamed.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            // C1: what some terminals take for the beginning of a command.
            0xC2 if record.get(index + 1).is_some_and(|next| (0x80..0xA0).contains(next)) => {
                tamed.extend_from_slice("\u{FFFD}".as_bytes());
            }
            0x80..0xA0 if index > 0 && record[index - 1] == 0xC2 => {}
            _ => tamed.push(*byte),
        }
    }
    tamed.push(b'\n');
    tamed
}

/// Opens a file to append to, which only its user may read.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .read(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const AT: &str = "2026-11-27T21:04:05.000123Z";

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn all() -> Wanted {
        Wanted { limit: 10_000, ..Wanted::default() }
    }

    fn messages(found: &Found) -> Vec<&str> {
        found.lines.iter().map(|line| line.message.as_str()).collect()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packing.write_all(bytes).unwrap();
        packing.finish().unwrap()
    }

    #[test]
    fn names_of_others_mean_nothing() {
        assert_eq!(Full::of("plexichat.12.log"), Some(Full { number: 12, is_packed: false }));
        assert_eq!(Full::of("plexichat.12.log.gz"), Some(Full { number: 12, is_packed: true }));
        for name in [
            "plexichat.log",
            "plexichat.012.log",
            "plexichat.+1.log",
            "plexichat..log",
            "plexichat.1.log.gz.part",
            "plexichat.1.log.zip",
            "plexichat.99999999999999999999.log",
            "other.1.log",
            "",
        ] {
            assert_eq!(Full::of(name), None, "{name}");
        }
    }

    #[test]
    fn only_log_files_are_listed_and_read() {
        let folder = folder_with(&[
            ("plexichat.log", b"x\n"),
            ("plexichat.1.log.gz", &packed(b"old\n")),
            ("plexichat-log.lock", b""),
            ("plexichat.2.log.gz.part", b""),
            ("data.mdb", b"secret\n"),
        ]);
        std::fs::create_dir(folder.path().join("plexichat.3.log")).unwrap();
        std::os::unix::fs::symlink("data.mdb", folder.path().join("plexichat.4.log")).unwrap();
        let status = std::process::Command::new("mkfifo").arg(folder.path().join("plexichat.5.log")).status();
        assert!(status.unwrap().success());
        let mut names: Vec<_> =
            list(folder.path()).into_iter().map(|file| (file.name, file.is_packed)).collect();
        names.sort();
        assert_eq!(names, [("plexichat.1.log.gz".to_string(), true), ("plexichat.log".to_string(), false)]);
        for name in
            ["plexichat.3.log", "plexichat.4.log", "plexichat.5.log", "plexichat.6.log", "data.mdb", ".."]
        {
            assert_eq!(view(folder.path(), name, &all()).unwrap(), None, "{name}");
        }
        assert_eq!(messages(&view(folder.path(), "plexichat.1.log.gz", &all()).unwrap().unwrap()), ["old"]);
        assert!(list(&folder.path().join("absent")).is_empty());
    }

    #[test]
    fn the_latest_is_listed_first() {
        let names = ["plexichat.1.log", "plexichat.2.log", "plexichat.10.log", "plexichat.log"];
        let folder = folder_with(&names.map(|name| (name, &b"x"[..])));
        for (name, seconds) in names.into_iter().zip([20, 10, 40, 30]) {
            let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::options().write(true).open(folder.path().join(name)).unwrap().set_modified(time).unwrap();
        }
        let listed = list(folder.path());
        let got: Vec<_> = listed.iter().map(|file| (file.name.as_str(), file.modified_ms)).collect();
        let want = [(names[2], 40_000), (names[3], 30_000), (names[0], 20_000), (names[1], 10_000)];
        assert_eq!(got, want);
    }

    #[test]
    fn what_begins_no_record_is_of_the_one_before() {
        let text = format!(
            "of an earlier file\n{AT} ERROR plexichat: it broke\n\tat the second line\n{AT} INFO two\r\n{AT} LOUD three\n\
             2026-11-27 21:04:05 INFO four\n\n{AT} WARN \nno end"
        );
        let folder = folder_with(&[("plexichat.log", text.as_bytes())]);
        let found = view(folder.path(), CURRENT, &all()).unwrap().unwrap();
        let loud = format!("{AT} LOUD three");
        let got: Vec<_> =
            found.lines.iter().map(|line| (line.time.as_str(), line.level, line.message.as_str())).collect();
        assert_eq!(
            got,
            [
                ("", "", "of an earlier file"),
                (AT, "ERROR", "plexichat: it broke"),
                (AT, "ERROR", "\tat the second line"),
                (AT, "INFO", "two"),
                (AT, "INFO", loud.as_str()),
                (AT, "INFO", "2026-11-27 21:04:05 INFO four"),
                (AT, "INFO", ""),
                (AT, "WARN", ""),
                (AT, "WARN", "no end"),
            ]
        );
        assert_eq!(
            (found.count, found.lines[1].raw.as_str()),
            (9, &*format!("{AT} ERROR plexichat: it broke"))
        );
    }

    #[test]
    fn lines_are_chosen_by_level_and_text_and_place() {
        let mut text = String::new();
        for index in 0..10 {
            text += &format!("{AT} {} Line {index}.\n", if index % 2 == 0 { "INFO" } else { "ERROR" });
        }
        let folder = folder_with(&[("plexichat.log", text.as_bytes())]);
        let look = |limit, offset, search: Option<&str>, level| {
            let wanted = Wanted { limit, offset, search: search.map(str::to_string), level };
            let found = view(folder.path(), CURRENT, &wanted).unwrap().unwrap();
            (found.count, messages(&found).join(" "))
        };
        assert_eq!(look(2, 1, None, None), (10, "Line 1. Line 2.".into()));
        assert_eq!(look(10, 3, None, Some("ERROR")), (5, "Line 7. Line 9.".into()));
        assert_eq!(look(10, 0, Some("lINE 4."), None), (1, "Line 4.".into()));
        assert_eq!(look(10, 0, Some(".*"), None), (0, String::new()));
        assert_eq!(look(10, 0, Some("line 4"), Some("ERROR")), (0, String::new()));
        assert_eq!(look(10, u64::MAX, None, None), (10, String::new()));
        assert_eq!(level("warning"), Some("WARN"));
        assert_eq!(level("loud"), None);
    }

    #[test]
    fn long_lines_are_cut_and_long_answers_end() {
        let long = [&b"a".repeat(LINE_LEN_MAX)[..], b"z\nshort\n"].concat();
        let folder = folder_with(&[("plexichat.log", &long)]);
        let found = view(folder.path(), CURRENT, &all()).unwrap().unwrap();
        assert_eq!((found.count, found.lines[0].raw.len(), &*found.lines[1].raw), (2, LINE_LEN_MAX, "short"));
        let many = [&b"a".repeat(LINE_LEN_MAX - 1)[..], b"\n"].concat().repeat(400);
        let folder = folder_with(&[("plexichat.1.log", &many)]);
        let found = view(folder.path(), "plexichat.1.log", &all()).unwrap().unwrap();
        assert_eq!((found.count, found.lines.len()), (400, 129));
    }

    #[test]
    fn a_file_of_any_length_costs_what_may_be_looked_at() {
        // Packed a thousand to one.
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let block = [&b"x".repeat(1_023)[..], b"\n"].concat().repeat(1_024);
        (0..80).for_each(|_| packing.write_all(&block).unwrap());
        let bomb = packing.finish().unwrap();
        let folder = folder_with(&[("plexichat.1.log.gz", &bomb)]);
        let found = view(folder.path(), "plexichat.1.log.gz", &Wanted::default()).unwrap().unwrap();
        assert_eq!(found.count, SCAN_LEN_MAX / 1_024);
        // One that nobody has rotated: its end.
        let long = File::create(folder.path().join(CURRENT)).unwrap();
        long.set_len(SCAN_LEN_MAX + 10).unwrap();
        (&long).seek(SeekFrom::End(0)).unwrap();
        (&long).write_all(b"\nthe end\n").unwrap();
        let found = view(folder.path(), CURRENT, &Wanted { limit: 1, ..Wanted::default() }).unwrap().unwrap();
        assert_eq!((found.count, found.lines[0].raw.as_str()), (1, "the end"));
    }

    #[test]
    fn a_damaged_file_is_read_up_to_the_damage() {
        let mut bytes = packed(&format!("{AT} INFO one\n").repeat(20_000).into_bytes());
        bytes.truncate(bytes.len() / 2);
        let folder =
            folder_with(&[("plexichat.1.log.gz", &bytes), ("plexichat.2.log.gz", b"no such thing\n")]);
        let found = |name| view(folder.path(), name, &all()).unwrap().unwrap().count;
        assert!((1..20_000).contains(&found("plexichat.1.log.gz")));
        assert_eq!(found("plexichat.2.log.gz"), 0);
    }

    #[test]
    fn nothing_that_is_logged_passes_for_a_record() {
        let forged = format!("{AT} INFO name=\"x\n{AT} ERROR forged\r\u{1b}[31m\u{9b}1m\u{e9}\"\n");
        let tamed = String::from_utf8(tame(forged.as_bytes())).unwrap();
        let want = format!("{AT} INFO name=\"x\n\t{AT} ERROR forged\\x0d\\x1b[31m\u{fffd}1m\u{e9}\"\n");
        assert_eq!(tamed, want);
        let long = tame("\u{e9}".repeat(LINE_LEN_MAX).as_bytes());
        assert!(long.len() <= LINE_LEN_MAX && String::from_utf8(long).unwrap().ends_with("\u{2026}\n"));
    }
}
