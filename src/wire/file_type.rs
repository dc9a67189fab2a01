//! What a file is, by how it begins, and what of it is safe to be looked at in a browser.
//!
//! Invariants: what is told of a file is one of the types of a table here, whatever a client calls it; of two types that
//! begin alike the one that is declared counts. Nothing is unpacked, and no more than [`HEAD_LEN`] bytes are looked at.

/// Bytes of a file that are looked at.
pub const HEAD_LEN: usize = 4_096;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Jpeg,
    Png,
    Gif,
    Webp,
    Bmp,
    Tiff,
    /// ISO base media: MP4, QuickTime and their like.
    Boxes,
    /// ISO base media with a picture in it.
    PictureBoxes,
    Matroska,
    Mp3,
    Ogg,
    Wav,
    Flac,
    Pdf,
    Zip,
    Gzip,
    SevenZip,
    Rar,
    Text,
    /// Like nothing that is known here.
    Unknown,
}

/// A type that files are told to be of.
#[derive(Debug)]
pub struct FileType {
    /// As a media type.
    pub name: &'static str,
    /// How names of such files end, the usual ending first.
    endings: &'static [&'static str],
    aliases: &'static [&'static str],
    form: Form,
    /// A browser shows it without running anything of it in the name of this server.
    pub is_shown: bool,
}

const fn shown(
    name: &'static str,
    endings: &'static [&'static str],
    aliases: &'static [&'static str],
    form: Form,
) -> FileType {
    FileType { name, endings, aliases, form, is_shown: true }
}

const fn saved(
    name: &'static str,
    endings: &'static [&'static str],
    aliases: &'static [&'static str],
    form: Form,
) -> FileType {
    FileType { is_shown: false, ..shown(name, endings, aliases, form) }
}

/// Of what is like nothing else.
const UNKNOWN: &FileType = &TYPES[0];
const PLAIN: &FileType = &TYPES[1];

/// The first of several of one form is what such a file is when nobody says more.
const TYPES: &[FileType] = &[
    saved(
        "application/octet-stream",
        &["bin"],
        &["binary/octet-stream", "application/x-binary"],
        Form::Unknown,
    ),
    shown("text/plain", &["txt", "text", "log"], &[], Form::Text),
    shown("text/markdown", &["md", "markdown"], &["text/x-markdown"], Form::Text),
    shown("application/json", &["json"], &["text/json"], Form::Text),
    shown("text/csv", &["csv"], &["application/csv"], Form::Text),
    shown("image/jpeg", &["jpg", "jpeg", "jpe", "jfif"], &["image/jpg", "image/pjpeg"], Form::Jpeg),
    shown("image/png", &["png"], &["image/x-png"], Form::Png),
    shown("image/gif", &["gif"], &[], Form::Gif),
    shown("image/webp", &["webp"], &[], Form::Webp),
    saved("image/bmp", &["bmp"], &["image/x-ms-bmp", "image/x-bmp"], Form::Bmp),
    saved("image/tiff", &["tiff", "tif"], &[], Form::Tiff),
    saved("image/heic", &["heic", "heif"], &["image/heif"], Form::PictureBoxes),
    saved("image/avif", &["avif"], &[], Form::PictureBoxes),
    shown("video/mp4", &["mp4", "m4v"], &["video/x-m4v", "application/mp4"], Form::Boxes),
    shown("video/quicktime", &["mov", "qt"], &[], Form::Boxes),
    saved("video/3gpp", &["3gp"], &["video/3gpp2"], Form::Boxes),
    shown("audio/mp4", &["m4a"], &["audio/x-m4a", "audio/m4a", "audio/aac"], Form::Boxes),
    shown("video/webm", &["webm"], &[], Form::Matroska),
    shown("audio/webm", &["weba"], &[], Form::Matroska),
    saved("video/x-matroska", &["mkv"], &["video/matroska"], Form::Matroska),
    shown(
        "audio/mpeg",
        &["mp3", "mpga"],
        &["audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3"],
        Form::Mp3,
    ),
    shown("audio/ogg", &["ogg", "oga", "opus"], &["audio/opus", "application/ogg", "audio/x-ogg"], Form::Ogg),
    shown("video/ogg", &["ogv"], &[], Form::Ogg),
    shown(
        "audio/wav",
        &["wav"],
        &["audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"],
        Form::Wav,
    ),
    shown("audio/flac", &["flac"], &["audio/x-flac"], Form::Flac),
    shown("application/pdf", &["pdf"], &["application/x-pdf"], Form::Pdf),
    saved("application/zip", &["zip"], &["application/x-zip-compressed", "application/x-zip"], Form::Zip),
    saved(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["docx"],
        &[],
        Form::Zip,
    ),
    saved("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx"], &[], Form::Zip),
    saved(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["pptx"],
        &[],
        Form::Zip,
    ),
    saved("application/vnd.oasis.opendocument.text", &["odt"], &[], Form::Zip),
    saved("application/vnd.oasis.opendocument.spreadsheet", &["ods"], &[], Form::Zip),
    saved("application/vnd.oasis.opendocument.presentation", &["odp"], &[], Form::Zip),
    saved("application/epub+zip", &["epub"], &[], Form::Zip),
    saved(
        "application/gzip",
        &["gz", "tgz"],
        &["application/x-gzip", "application/x-compressed-tar"],
        Form::Gzip,
    ),
    saved("application/x-7z-compressed", &["7z"], &[], Form::SevenZip),
    saved("application/vnd.rar", &["rar"], &["application/x-rar-compressed", "application/x-rar"], Form::Rar),
];

/// Why a file is not taken, in one sentence for the error envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

const PROGRAM: Refused = Refused("programs and scripts are not taken");
const PAGE: Refused = Refused("pages and SVG are not taken");
const OTHER: Refused = Refused("it is not what its type or its name says");

/// Media types that nobody may declare, whatever is in the file.
const REFUSED_TYPES: &[(&str, Refused)] = &[
    ("text/html", PAGE),
    ("application/xhtml+xml", PAGE),
    ("image/svg+xml", PAGE),
    ("text/javascript", PROGRAM),
    ("application/javascript", PROGRAM),
    ("application/x-javascript", PROGRAM),
    ("application/ecmascript", PROGRAM),
    ("text/ecmascript", PROGRAM),
    ("application/x-msdownload", PROGRAM),
    ("application/x-dosexec", PROGRAM),
    ("application/x-msdos-program", PROGRAM),
    ("application/vnd.microsoft.portable-executable", PROGRAM),
    ("application/x-executable", PROGRAM),
    ("application/x-elf", PROGRAM),
    ("application/x-sharedlib", PROGRAM),
    ("application/x-mach-binary", PROGRAM),
    ("application/x-sh", PROGRAM),
    ("application/x-shellscript", PROGRAM),
    ("text/x-shellscript", PROGRAM),
    ("application/x-bat", PROGRAM),
    ("application/x-msi", PROGRAM),
    ("application/java-archive", PROGRAM),
    ("application/x-java-archive", PROGRAM),
    ("application/vnd.android.package-archive", PROGRAM),
    ("application/x-httpd-php", PROGRAM),
    ("application/x-php", PROGRAM),
    ("text/x-php", PROGRAM),
    ("text/x-python", PROGRAM),
    ("application/x-python-code", PROGRAM),
    ("application/x-perl", PROGRAM),
    ("application/x-ruby", PROGRAM),
    ("application/hta", PROGRAM),
    ("application/wasm", PROGRAM),
];

/// Endings that are refused wherever they stand in a name: systems that hide the last one show them.
const HIDDEN: &[(&str, Refused)] = &[
    ("exe", PROGRAM),
    ("scr", PROGRAM),
    ("pif", PROGRAM),
    ("bat", PROGRAM),
    ("cmd", PROGRAM),
    ("msi", PROGRAM),
    ("msp", PROGRAM),
    ("dll", PROGRAM),
    ("cpl", PROGRAM),
    ("vbs", PROGRAM),
    ("vbe", PROGRAM),
    ("jse", PROGRAM),
    ("wsf", PROGRAM),
    ("wsh", PROGRAM),
    ("hta", PROGRAM),
    ("lnk", PROGRAM),
    ("ps1", PROGRAM),
    ("psm1", PROGRAM),
    ("reg", PROGRAM),
    ("jar", PROGRAM),
    ("apk", PROGRAM),
    ("php", PROGRAM),
    ("phtml", PROGRAM),
    ("phar", PROGRAM),
    ("html", PAGE),
    ("htm", PAGE),
    ("xhtml", PAGE),
    ("shtml", PAGE),
    ("mhtml", PAGE),
    ("mht", PAGE),
    ("svg", PAGE),
    ("svgz", PAGE),
];

/// The same of the last ending alone: before another one they are parts of ordinary names.
const LAST: &[(&str, Refused)] = &[
    ("com", PROGRAM),
    ("js", PROGRAM),
    ("mjs", PROGRAM),
    ("cjs", PROGRAM),
    ("sh", PROGRAM),
    ("bash", PROGRAM),
    ("zsh", PROGRAM),
    ("csh", PROGRAM),
    ("ksh", PROGRAM),
    ("fish", PROGRAM),
    ("py", PROGRAM),
    ("pyc", PROGRAM),
    ("pyw", PROGRAM),
    ("pl", PROGRAM),
    ("rb", PROGRAM),
    ("lua", PROGRAM),
    ("asp", PROGRAM),
    ("aspx", PROGRAM),
    ("jsp", PROGRAM),
    ("cgi", PROGRAM),
    ("so", PROGRAM),
    ("dylib", PROGRAM),
    ("app", PROGRAM),
    ("dmg", PROGRAM),
    ("deb", PROGRAM),
    ("rpm", PROGRAM),
    ("run", PROGRAM),
    ("elf", PROGRAM),
    ("class", PROGRAM),
    ("wasm", PROGRAM),
    ("scf", PROGRAM),
    ("url", PROGRAM),
    ("desktop", PROGRAM),
];

fn looked_up(table: &[(&str, Refused)], word: &str) -> Result<(), Refused> {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map_or(Ok(()), |(_, why)| Err(*why))
}

/// The endings of a name, the last one first. Windows takes what is behind a colon for a part of the file.
fn endings(file_name: &str) -> impl Iterator<Item = &str> {
    let name = file_name.split(':').next().unwrap_or_default();
    let name = name.trim_end_matches(['.', ' ']);
    let count = name.matches('.').count();
    name.rsplit('.').take(count).map(str::trim)
}

/// Without parameters.
fn essence(declared: &str) -> &str {
    declared.split(';').next().unwrap_or_default().trim()
}

fn by_name(name: &str) -> Option<&'static FileType> {
    let is_called = |known: &&str| known.eq_ignore_ascii_case(name);
    TYPES.iter().find(|kind| is_called(&kind.name) || kind.aliases.iter().any(is_called))
}

fn by_ending(file_name: &str) -> Option<&'static FileType> {
    let ending = endings(file_name).next()?;
    TYPES.iter().find(|kind| kind.endings.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// The type that was told of a file before.
pub fn named(name: &str) -> &'static FileType {
    by_name(name).unwrap_or(UNKNOWN)
}

/// What a file is called and declared as, when nothing of it has come: `None` where that says nothing.
///
/// # Errors
/// When files that are called, or declared, like that are not taken.
pub fn declared(file_name: &str, content_type: &str) -> Result<Option<&'static FileType>, Refused> {
    let content_type = essence(content_type);
    looked_up(REFUSED_TYPES, content_type)?;
    for (index, ending) in endings(file_name).enumerate() {
        looked_up(HIDDEN, ending)?;
        if index == 0 {
            looked_up(LAST, ending)?;
        }
    }
    let known = by_name(content_type).filter(|kind| kind.form != Form::Unknown);
    Ok(known.or_else(|| by_ending(file_name)))
}

/// What a file is that begins like this.
///
/// # Errors
/// As [`declared`]; when it is a program or a page; when it is not what it is called or declared as.
pub fn detect(file_name: &str, content_type: &str, head: &[u8]) -> Result<&'static FileType, Refused> {
    let declared = declared(file_name, content_type)?;
    let head = &head[..head.len().min(HEAD_LEN)];
    let form = form_of(head);
    if matches!(form, Form::Unknown) && is_program(head) {
        return Err(PROGRAM);
    }
    if form == Form::Text {
        refuse_source(head)?;
    }
    // The name may say more than the type, but not something else.
    let of_name = by_ending(file_name).filter(|kind| kind.form != Form::Unknown);
    if [declared, of_name].into_iter().flatten().any(|kind| !kind.fits(form)) {
        return Err(OTHER);
    }
    let first = || TYPES.iter().find(|kind| kind.form == form).unwrap_or(UNKNOWN);
    let found = match form {
        Form::Boxes | Form::PictureBoxes => by_brand(head),
        _ => None,
    };
    let found = found.or(declared.filter(|kind| kind.form == form)).unwrap_or_else(first);
    // Plain text may be text of some other kind.
    let of_name = of_name.filter(|kind| kind.form == Form::Text && found.name == PLAIN.name);
    Ok(of_name.unwrap_or(found))
}

impl FileType {
    /// Whether a file that begins like this may be called so.
    fn fits(&self, form: Form) -> bool {
        matches!(self.form, Form::Unknown) || self.form == form
    }

    /// As it is told to who reads one: most texts are UTF-8, and what is not says so itself or cannot be told.
    pub fn told(&self) -> &'static str {
        match self.name {
            "text/plain" => "text/plain; charset=utf-8",
            "text/markdown" => "text/markdown; charset=utf-8",
            "text/csv" => "text/csv; charset=utf-8",
            name => name,
        }
    }

    /// The usual ending of such files.
    pub fn ending(&self) -> &'static str {
        self.endings[0]
    }
}

/// Which of the types of ISO base media it says itself that it is (ISO/IEC 14496-12 §4.3).
fn by_brand(head: &[u8]) -> Option<&'static FileType> {
    match head.get(8..12)? {
        b"qt  " => by_name("video/quicktime"),
        b"M4A " | b"M4B " => by_name("audio/mp4"),
        b"avif" | b"avis" => by_name("image/avif"),
        _ => None,
    }
}

fn form_of(head: &[u8]) -> Form {
    match head {
        [0xff, 0xd8, 0xff, ..] => Form::Jpeg,
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Form::Png,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Form::Gif,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Form::Webp,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Form::Wav,
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if brand.len() >= 4 => match &brand[..4] {
            b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc" | b"avif" | b"avis" => Form::PictureBoxes,
            _ => Form::Boxes,
        },
        // QuickTime of before there were brands.
        [_, _, _, _, b'm', b'o', b'o', b'v', ..] | [_, _, _, _, b'm', b'd', b'a', b't', ..] => Form::Boxes,
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Form::Matroska,
        [b'O', b'g', b'g', b'S', ..] => Form::Ogg,
        [b'f', b'L', b'a', b'C', ..] => Form::Flac,
        [b'I', b'D', b'3', ..] => Form::Mp3,
        // A frame of MPEG audio, layer III.
        [0xff, 0xfb | 0xfa | 0xf3 | 0xf2, ..] => Form::Mp3,
        [b'%', b'P', b'D', b'F', b'-', ..] => Form::Pdf,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Form::Zip,
        [0x1f, 0x8b, 8, ..] => Form::Gzip,
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Form::SevenZip,
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Form::Rar,
        [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => Form::Tiff,
        [b'B', b'M', ..] if !is_text(head) => Form::Bmp,
        _ if is_text(head) => Form::Text,
        _ => Form::Unknown,
    }
}

/// UTF-8, an encoding of one byte for each character, or UTF-16 that says so: without what no text has in it.
fn is_text(head: &[u8]) -> bool {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = head {
        return true;
    }
    head.iter()
        .all(|&byte| byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

/// What systems run: PE and DOS, ELF, Mach-O and Java, Windows shortcuts, Dalvik, WebAssembly.
fn is_program(head: &[u8]) -> bool {
    matches!(
        head,
        [b'M', b'Z', ..]
            | [0x7f, b'E', b'L', b'F', ..]
            | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [0xca, 0xfe, 0xba, 0xbe, ..]
            | [0x4c, 0, 0, 0, 1, 0x14, 2, 0, ..]
            | [b'd', b'e', b'x', b'\n', ..]
            | [0, b'a', b's', b'm', ..]
    )
}

/// # Errors
/// When a text is a script or a page.
fn refuse_source(head: &[u8]) -> Result<(), Refused> {
    let text = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head).trim_ascii_start();
    let begins =
        |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
    if begins("#!") || begins("<?php") || begins("<%") || begins("@echo off") {
        return Err(PROGRAM);
    }
    const PAGES: [&str; 8] = ["<!doctype", "<html", "<head", "<body", "<script", "<iframe", "<svg", "<xhtml"];
    // Behind a declaration and comments, where the first element is.
    let is_svg = begins("<?xml") && memchr::memmem::find(&text.to_ascii_lowercase(), b"<svg").is_some();
    let is_page = begins("<?xml") && memchr::memmem::find(&text.to_ascii_lowercase(), b"<html").is_some();
    let after = after_comments(text);
    let is_after = |word: &&str| {
        after.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
    };
    match is_svg || is_page || PAGES.iter().any(is_after) {
        true => Err(PAGE),
        false => Ok(()),
    }
}

/// A text behind the comments that it begins with.
fn after_comments(mut text: &[u8]) -> &[u8] {
    while let Some(comment) = text.strip_prefix(b"<!--") {
        let Some(end) = memchr::memmem::find(comment, b"-->") else { return &[] };
        text = comment[end + 3..].trim_ascii_start();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, declared: &str, head: &[u8], want: Result<&str, &str>) {
        let got = detect(name, declared, head);
        let got = got.map(|kind| kind.name).map_err(|Refused(why)| why);
        assert_eq!(got, want, "{name} {declared} {:?}", String::from_utf8_lossy(&head[..head.len().min(20)]));
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0";
    const PE: &[u8] = b"MZ\x90\0\x03\0\0\0";
    const PROGRAM: &str = "programs and scripts are not taken";
    const PAGE: &str = "pages and SVG are not taken";
    const OTHER: &str = "it is not what its type or its name says";
    const STREAM: &str = "application/octet-stream";

    #[test]
    fn types_are_what_files_begin_with() {
        for (name, declared, head, want) in [
            ("a.png", "image/png", PNG, "image/png"),
            ("a.png", "image/png; charset=binary", PNG, "image/png"),
            ("a.PNG", "", PNG, "image/png"),
            ("a", STREAM, PNG, "image/png"),
            ("a.jpg", "image/jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
            ("a.gif", "image/gif", GIF, "image/gif"),
            ("a.webp", "image/webp", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            ("a.mp4", "video/mp4", b"\0\0\0\x20ftypisom", "video/mp4"),
            ("a.mov", "video/quicktime", b"\0\0\0\x14ftypqt  ", "video/quicktime"),
            ("a.mp4", "video/mp4", b"\0\0\0\x14ftypqt  ", "video/quicktime"),
            ("a.m4a", "audio/x-m4a", b"\0\0\0\x20ftypM4A ", "audio/mp4"),
            ("a.avif", "image/avif", b"\0\0\0\x20ftypavif", "image/avif"),
            ("a.heic", "", b"\0\0\0\x20ftypheic", "image/heic"),
            ("a.webm", "video/webm", b"\x1a\x45\xdf\xa3", "video/webm"),
            ("a.webm", "audio/webm", b"\x1a\x45\xdf\xa3", "audio/webm"),
            ("a.mp3", "audio/mp3", b"ID3\x03", "audio/mpeg"),
            ("a.mp3", "audio/mpeg", b"\xff\xfb\x90\0", "audio/mpeg"),
            ("a.ogg", "audio/ogg", b"OggS\0", "audio/ogg"),
            ("a.ogv", "", b"OggS\0", "video/ogg"),
            ("a.wav", "audio/x-wav", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
            ("a.pdf", "application/pdf", b"%PDF-1.7\n", "application/pdf"),
            ("a.zip", "application/x-zip-compressed", ZIP, "application/zip"),
            ("a.epub", "", ZIP, "application/epub+zip"),
            ("a.txt", "text/plain", b"hello", "text/plain"),
            ("a.md", "text/plain", b"# hello", "text/markdown"),
            ("a.md", "text/markdown", b"<!-- toc -->\n# x", "text/markdown"),
            ("a.json", "application/json", b"{}", "application/json"),
            ("a.csv", "", b"a,b", "text/csv"),
            ("notes", "text/plain; charset=utf-8", "gr\u{fc}n".as_bytes(), "text/plain"),
            ("a.txt", "text/plain", b"gr\xfcn", "text/plain"),
            ("a.txt", "text/plain", b"\xff\xfeh\0i\0", "text/plain"),
            ("a.txt", "text/plain", b"MZ is how programs begin", "text/plain"),
            ("a.foo", "application/x-foo", b"\0\x01\x02", STREAM),
            ("a.foo", "application/x-foo", b"words", "text/plain"),
            ("example.com.pdf", "application/pdf", b"%PDF-1.4", "application/pdf"),
            ("jquery.min.js.txt", "text/plain", b"x", "text/plain"),
            // Whatever else is in it.
            ("a.gif", "image/gif", b"GIF89a/*\0<script>alert(1)</script>", "image/gif"),
            ("a.zip", "", b"PK\x03\x04\0\0<html>", "application/zip"),
        ] {
            check(name, declared, head, Ok(want));
        }
    }

    #[test]
    fn programs_and_pages_and_lies_are_refused() {
        for (name, declared, head, want) in [
            ("x.exe", "application/x-msdownload", PE, PROGRAM),
            ("a.txt.exe", STREAM, PE, PROGRAM),
            ("a.exe.txt", "text/plain", b"x", PROGRAM),
            ("a.exe.", "text/plain", b"x", PROGRAM),
            ("a.exe . ", "text/plain", b"x", PROGRAM),
            ("a.exe::$DATA", STREAM, b"x", PROGRAM),
            ("a.EXE", STREAM, b"x", PROGRAM),
            ("a.bin", STREAM, PE, PROGRAM),
            ("a", "", b"\x7fELF\x02", PROGRAM),
            ("a", "", b"\xcf\xfa\xed\xfe\0", PROGRAM),
            ("run.sh", "application/x-sh", b"#!/bin/sh\n", PROGRAM),
            ("run.txt", "text/plain", b"#!/bin/sh\n", PROGRAM),
            ("a.txt", "text/plain", b"\xef\xbb\xbf <?PHP echo", PROGRAM),
            ("a.php.png", "image/png", PNG, PROGRAM),
            ("a.js", "text/plain", b"x", PROGRAM),
            ("a.txt", "text/javascript", b"x", PROGRAM),
            ("a.html", "text/plain", b"x", PAGE),
            ("a.html.txt", "text/plain", b"x", PAGE),
            ("a.txt", "text/html", b"x", PAGE),
            ("a.txt", "text/plain", b"\n <!DOCTYPE html>", PAGE),
            ("a.txt", "text/plain", b"<!-- x --><HTML>", PAGE),
            ("a.md", "text/markdown", b"<script>", PAGE),
            ("a.svg", "image/svg+xml", b"<svg>", PAGE),
            ("a.xml", "text/xml", b"<?xml version='1.0'?><svg xmlns='x'>", PAGE),
            ("a.png", "image/png", b"<html><script>1</script></html>", PAGE),
            ("fake.png", "image/png", b"not a png", OTHER),
            ("a.png", "image/png", GIF, OTHER),
            ("a.png", "text/plain", b"text", OTHER),
            ("a.txt", "text/plain", PNG, OTHER),
            ("a.txt", "text/plain", b"\0\x01\x02", OTHER),
            ("a.pdf", "application/pdf", ZIP, OTHER),
            ("a.mp4", "video/mp4", b"\x1a\x45\xdf\xa3", OTHER),
            ("a.png", "image/png", PE, PROGRAM),
        ] {
            check(name, declared, head, Err(want));
        }
    }

    #[test]
    fn what_was_told_is_known_again() {
        for kind in TYPES {
            assert_eq!((named(kind.name).name, named(kind.name).form), (kind.name, kind.form));
            assert!(kind.ending().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_eq!((named("text/html").name, named("").ending()), (STREAM, "bin"));
        assert!(!named("image/svg+xml").is_shown && named("image/png").is_shown);
    }
}
