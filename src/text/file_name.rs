//! Names of files, as they are kept and told.

use super::line;
use crate::limits::FILE_NAME_LEN_MAX;

/// What a file without a name is called.
const NAMELESS: &str = "file";

/// The name of a file: the last part of a path, whichever way its folders are separated, on one line. Of a long one the
/// ending is kept.
pub fn clean(typed: &str) -> String {
    let base = typed.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = line(base);
    // Windows leaves these out, so that what is behind them would be the ending.
    let name = name.trim_end_matches(['.', ' ']);
    if name.is_empty() {
        return NAMELESS.to_string();
    }
    if name.len() <= FILE_NAME_LEN_MAX {
        return name.to_string();
    }
    const ENDING_LEN_MAX: usize = 16;
    let ending = name.rfind('.').map(|at| &name[at..]).filter(|ending| ending.len() <= ENDING_LEN_MAX);
    let ending = ending.unwrap_or_default();
    let stem = &name[..name.floor_char_boundary(FILE_NAME_LEN_MAX - ending.len())];
    format!("{}{ending}", stem.trim_end())
}

/// How a file is to be shown, and called when it is saved (RFC 6266): `inline` or `attachment`.
pub fn disposition(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '_',
        })
        .collect();
    if plain == name {
        return format!("{kind}; filename=\"{plain}\"");
    }
    // RFC 8187 §3.2.1: what is no attr-char is encoded.
    let encoded = percent_encoding::utf8_percent_encode(name, NOT_PLAIN);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

const NOT_PLAIN: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_folders_and_no_tricks() {
        for (typed, want) in [
            ("a.txt", "a.txt"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("C:\\x\\y.png", "y.png"),
            ("../..", "file"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("a/", "file"),
            (" a\u{202e}gpj.exe ", "agpj.exe"),
            ("a\0b\r\nSet-Cookie: x", "ab Set-Cookie: x"),
            ("e\u{301}.txt", "é.txt"),
            ("föö 文.txt", "föö 文.txt"),
            ("run.exe. .", "run.exe"),
            (".htaccess", ".htaccess"),
        ] {
            assert_eq!(clean(typed), want, "{typed:?}");
            assert_eq!(clean(want), want);
        }
        let long = clean(&format!("{}.png", "ö".repeat(300)));
        assert!(long.len() <= FILE_NAME_LEN_MAX && long.ends_with("ö.png"), "{long}");
        assert!(clean(&"a.".repeat(300)).len() <= FILE_NAME_LEN_MAX);
    }

    #[test]
    fn dispositions_tell_any_name() {
        assert_eq!(disposition("inline", "a b.png"), "inline; filename=\"a b.png\"");
        assert_eq!(
            disposition("attachment", "föö 文.txt"),
            "attachment; filename=\"f__ _.txt\"; filename*=UTF-8''f%C3%B6%C3%B6%20%E6%96%87.txt"
        );
        assert_eq!(
            disposition("attachment", "a\"; x=\"b%41.txt"),
            "attachment; filename=\"a_; x=_b_41.txt\"; filename*=UTF-8''a%22%3B%20x%3D%22b%2541.txt"
        );
    }
}
