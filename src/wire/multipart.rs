//! `multipart/form-data` bodies (RFC 7578, RFC 2046 §5.1), without I/O.
//!
//! Invariants: what is kept of a body is the head of a part and as much as may be the beginning of a delimiter, never a
//! part; every split of the same bytes gives the same parts. A body that two readers could take apart differently is
//! refused: a delimiter with something else behind it, a part without a name, a folded header, a coding of its own.

use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;

use crate::limits::{BOUNDARY_LEN_MAX, BOUNDARY_PADDING_LEN_MAX, PART_COUNT_MAX, PART_HEAD_LEN_MAX};

/// What is wrong with a body, in one sentence for the error envelope. Never holds bytes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// What comes next in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins; what it holds follows.
    Part(PartHead),
    /// More of the part, not empty.
    Data(Vec<u8>),
    /// The part is whole.
    End,
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Of the field.
    pub name: String,
    /// Set on files, as the client has it; see [`base_name`].
    pub file_name: Option<String>,
    /// As declared: not to be trusted.
    pub content_type: Option<String>,
}

/// Takes a body apart: feed what has come, ask for events until there are none, and so on; [`Multipart::finish`] at
/// the end of the body.
pub struct Multipart {
    /// CR LF, two hyphens, boundary.
    delimiter: Finder<'static>,
    /// Begins with a line end that is not in the body: a delimiter is always behind one.
    buffer: Vec<u8>,
    state: State,
    part_count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// Behind a delimiter.
    Delimited,
    Head,
    Data,
    Epilogue,
}

/// The boundary that a content type names; `None` when it is of another type.
///
/// # Errors
/// When it is a form without a boundary that can be one.
pub fn boundary(content_type: &[u8]) -> Result<Option<String>, Malformed> {
    const WRONG: Malformed = Malformed("The Content-Type names no valid boundary");
    let text = std::str::from_utf8(content_type).map_err(|_| WRONG)?;
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let mut found = None;
    each_parameter(parameters, |name, value| {
        if name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return Err(());
        }
        Ok(())
    })
    .map_err(|_| WRONG)?;
    let is_boundary = |text: &String| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        (1..=BOUNDARY_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.ends_with(' ')
    };
    found.filter(is_boundary).map(Some).ok_or(WRONG)
}

impl Multipart {
    /// `boundary` as [`boundary`] gives it.
    pub fn new(boundary: &str) -> Multipart {
        let delimiter = format!("\r\n--{boundary}");
        Multipart {
            delimiter: Finder::new(delimiter.as_bytes()).into_owned(),
            buffer: b"\r\n".to_vec(),
            state: State::Preamble,
            part_count: 0,
        }
    }

    /// More of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What has come whole; `None` when more has to be fed first.
    ///
    /// # Errors
    /// When it is no form, or a bound is reached. Nothing more is to be asked then.
    pub fn next_event(&mut self) -> Result<Option<Event>, Malformed> {
        loop {
            let before = self.state;
            let event = match self.state {
                State::Preamble => {
                    while !self.until_delimiter().is_empty() {}
                    None
                }
                State::Delimited => {
                    self.behind_delimiter()?;
                    None
                }
                State::Head => self.head()?.map(Event::Part),
                State::Data => {
                    let data = self.until_delimiter();
                    // The end of the part is told after the last of it.
                    if !data.is_empty() {
                        return Ok(Some(Event::Data(data)));
                    }
                    (self.state == State::Delimited).then_some(Event::End)
                }
                State::Epilogue => {
                    self.buffer.clear();
                    None
                }
            };
            if event.is_some() || self.state == before {
                return Ok(event);
            }
        }
    }

    /// The body is at its end.
    ///
    /// # Errors
    /// When the form is not.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Epilogue => Ok(()),
            _ => Err(Malformed("The form ends before its last boundary")),
        }
    }

    /// Takes what is certainly in front of the next delimiter. When that is all there is of it, goes past the
    /// delimiter.
    fn until_delimiter(&mut self) -> Vec<u8> {
        let len = self.delimiter.needle().len();
        match self.delimiter.find(&self.buffer) {
            Some(0) => {
                self.buffer.drain(..len);
                self.state = State::Delimited;
                Vec::new()
            }
            Some(at) => self.take(at),
            // It may begin with any of the last bytes.
            None => self.take(self.buffer.len().saturating_sub(len - 1)),
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(len);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// `--` after the last part, a line end before the next.
    fn behind_delimiter(&mut self) -> Result<(), Malformed> {
        if self.buffer.starts_with(b"--") {
            self.state = State::Epilogue;
            return Ok(());
        }
        let padding_len = self.buffer.iter().take_while(|byte| b" \t".contains(byte)).count();
        match &self.buffer[padding_len..] {
            _ if padding_len > BOUNDARY_PADDING_LEN_MAX => {}
            [] | [b'\r'] => return Ok(()),
            [b'-'] if padding_len == 0 => return Ok(()),
            [b'\r', b'\n', ..] => {
                self.part_count += 1;
                if self.part_count > PART_COUNT_MAX {
                    return Err(Malformed("The form has too many parts"));
                }
                // A head without a header begins with the empty line that ends it.
                self.buffer.drain(..padding_len);
                self.state = State::Head;
                return Ok(());
            }
            _ => {}
        }
        Err(Malformed("Something stands behind a boundary of the form"))
    }

    /// The head of a part, once it is whole. The line end before it is still there.
    fn head(&mut self) -> Result<Option<PartHead>, Malformed> {
        let window = &self.buffer[..self.buffer.len().min(PART_HEAD_LEN_MAX)];
        let Some(len) = memchr::memmem::find(window, b"\r\n\r\n") else {
            let is_long = window.len() == PART_HEAD_LEN_MAX;
            return if is_long { Err(Malformed("The head of a part is too long")) } else { Ok(None) };
        };
        let head = parse_head(&self.buffer[..len])?;
        self.buffer.drain(..len + 4);
        self.state = State::Data;
        Ok(Some(head))
    }
}

/// Lines, each behind its line end.
fn parse_head(head: &[u8]) -> Result<PartHead, Malformed> {
    const WRONG: Malformed = Malformed("The head of a part is malformed");
    let text = std::str::from_utf8(head).map_err(|_| Malformed("The head of a part is not UTF-8"))?;
    let mut part = PartHead::default();
    let mut disposition = None;
    for line in text.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':').ok_or(WRONG)?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_clean = !value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
        if name.is_empty() || !name.bytes().all(is_token) || !is_clean {
            return Err(WRONG);
        }
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if disposition.replace(value).is_some() => return Err(WRONG),
            "content-type" => part.content_type = Some(value.trim().to_string()),
            // Its bytes would be others than those that are there (RFC 7578 §4.7).
            "content-transfer-encoding"
                if !["binary", "8bit", "7bit"].contains(&value.trim().to_ascii_lowercase().as_str()) =>
            {
                return Err(Malformed("A part of the form is encoded"));
            }
            _ => {}
        }
    }
    let disposition = disposition.ok_or(Malformed("A part of the form has no name"))?;
    read_disposition(&mut part, disposition)?;
    Ok(part)
}

fn read_disposition(part: &mut PartHead, value: &str) -> Result<(), Malformed> {
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(Malformed("A part of the form is no form-data"));
    }
    let (mut name, mut plain, mut extended) = (None, None, None);
    let read = each_parameter(parameters, |key, value| {
        let place = match key.to_ascii_lowercase().as_str() {
            "name" => &mut name,
            "filename" => &mut plain,
            "filename*" => &mut extended,
            _ => return Ok(()),
        };
        // Which of two is meant, nobody can tell.
        if place.replace(value).is_some() { Err(()) } else { Ok(()) }
    });
    read.map_err(|()| Malformed("A Content-Disposition of the form is malformed"))?;
    part.name = unescaped(&name.ok_or(Malformed("A part of the form has no name"))?);
    let extended = extended.and_then(|value| extended_value(&value));
    part.file_name = extended.or_else(|| plain.map(|value| unescaped(&value)));
    Ok(())
}

/// `charset'language'value` in UTF-8 (RFC 8187 §3.2); `None` when it is none.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, value) = rest.split_once('\'')?;
    let decoded = percent_decode_str(value).decode_utf8().ok()?;
    charset.eq_ignore_ascii_case("utf-8").then(|| decoded.into_owned())
}

/// Browsers spell a quote and line ends like this, and nothing else (HTML, "multipart/form-data encoding algorithm").
fn unescaped(value: &str) -> String {
    let text = value.replace("%22", "\"");
    let ends = ["%0D", "%0d", "%0A", "%0a"];
    if ends.iter().any(|end| text.contains(end)) {
        return ends.iter().fold(text, |text, end| text.replace(end, " "));
    }
    text
}

/// Looks at each `; name=value`, `text` beginning behind the first semicolon. Values are tokens or quoted; in quotes a
/// backslash stands before a quote or a backslash, any other is meant: old browsers sent whole Windows paths.
fn each_parameter(text: &str, mut look: impl FnMut(&str, String) -> Result<(), ()>) -> Result<(), ()> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(())?;
        let name = name.trim();
        if name.is_empty() || name.contains([';', '"']) {
            return Err(());
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or(())?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_string(), &after[end..])
            }
        };
        look(name, value)?;
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return Err(()),
        };
    }
    Ok(())
}

/// The text up to the closing quote, and what is behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next_if(|(_, next)| ['"', '\\'].contains(next)) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    None
}

/// The last part of a file name as a client has it: folders end with either slash.
pub fn base_name(file_name: &str) -> &str {
    file_name.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event, data of a part taken together; `!` and the reason when it is no form.
    fn read(body: &[u8], step: usize) -> String {
        let mut form = Multipart::new("B");
        let mut out = String::new();
        let mut take = |form: &mut Multipart| -> Result<(), Malformed> {
            while let Some(event) = form.next_event()? {
                match event {
                    Event::Part(part) => {
                        out += &format!("[{}", part.name);
                        part.file_name.iter().for_each(|name| out += &format!("|{name}"));
                        part.content_type.iter().for_each(|kind| out += &format!("|{kind}"));
                        out += "]";
                    }
                    Event::Data(data) => out += &data.escape_ascii().to_string(),
                    Event::End => out += ";",
                }
            }
            Ok(())
        };
        let mut read = Ok(());
        for part in body.chunks(step) {
            form.feed(part);
            read = read.and_then(|()| take(&mut form));
        }
        match read.and_then(|()| form.finish()) {
            Ok(()) => out,
            Err(Malformed(reason)) => format!("!{reason}"),
        }
    }

    fn check(body: &str, want: &str) {
        for step in 1..=body.len() {
            assert_eq!(read(body.as_bytes(), step), want, "{body:?} in steps of {step}");
        }
    }

    fn part(head: &str, want: &str) {
        check(&format!("--B\r\n{head}\r\n\r\nx\r\n--B--"), want);
    }

    const FIELD: &str = "Content-Disposition: form-data; name=\"a\"\r\n\r\n";

    #[test]
    fn parts() {
        check(&format!("--B\r\n{FIELD}one\r\n--B--\r\n"), "[a]one;");
        check(&format!("--B\r\n{FIELD}\r\n--B--"), "[a];");
        check(&format!("--B\r\n{FIELD}1\r\n--B \t\r\n{FIELD}2\r\n--B--x"), "[a]1;[a]2;");
        check(&format!("pre\r\namble\r\n--B\r\n{FIELD}1\r\n--B--\r\nepi\r\n--B\r\nlogue"), "[a]1;");
        check(
            &format!("--B\r\n{FIELD}\r\n\r\n-\r\n--\r\n--b\r\r\n--B--"),
            "[a]\\r\\n\\r\\n-\\r\\n--\\r\\n--b\\r;",
        );
        check("--B--", "");
    }

    #[test]
    fn names() {
        let head = |rest: &str| format!("content-disposition:form-data;{rest}");
        part(&head(r#"filename="C:\\a\b \"q\".png" ; NAME=x"#), r#"[x|C:\a\b "q".png]x;"#);
        part(&head(r#" name=x; filename="a%22b%0D%0A%41""#), "[x|a\"b  %41]x;");
        part(&head(" name=x; filename=plain; filename*=utf-8'en'%e2%82%ac.png"), "[x|€.png]x;");
        part(&head(" name=x; filename=plain; filename*=latin1'en'%ff"), "[x|plain]x;");
        part(&head(" name=\"é\"; filename=\"\""), "[é|]x;");
        part(&format!("X-Y: z\r\nContent-Type: image/png \r\n{}", head(" name=x")), "[x|image/png]x;");
        assert_eq!([base_name("C:\\x\\a.png"), base_name("../a/b"), base_name("")], ["a.png", "b", ""]);
    }

    #[test]
    fn malformed() {
        let unnamed = "!A part of the form has no name";
        check("--B\r\n\r\nx\r\n--B--", unnamed);
        part("Content-Type: text/plain", unnamed);
        part("Content-Disposition: form-data", unnamed);
        part("Content-Disposition: attachment; name=a", "!A part of the form is no form-data");
        for parameters in
            ["name=a; name=b", "name", "name=\"a", "name=\"a\"b", "=a", "name=a; filename=x; filename=y"]
        {
            part(
                &format!("Content-Disposition: form-data; {parameters}"),
                "!A Content-Disposition of the form is malformed",
            );
        }
        for head in ["no colon", " folded: x", ": x", "a b: c", "a: \0", "a: b\nc: d", "a: b\rc"] {
            part(&format!("{head}\r\n{}", FIELD.trim()), "!The head of a part is malformed");
        }
        part(&format!("{0}\r\n{0}", FIELD.trim()), "!The head of a part is malformed");
        let encoded = format!("Content-Transfer-Encoding: base64\r\n{}", FIELD.trim());
        part(&encoded, "!A part of the form is encoded");
        let behind = "!Something stands behind a boundary of the form";
        for text in ["--Bx\r\n", "--B-\r\n", "--B -\r\n", "--B\n", &format!("--B{}\r\n", " ".repeat(65))] {
            check(text, behind);
        }
        let early = "!The form ends before its last boundary";
        check("--B", early);
        check("--B\r\n", early);
        check("x--B--", early);
        check(&format!("--B\r\n{FIELD}x\r\n--B-"), early);
        check(&format!("--B\r\n{FIELD}x\r\n--B"), early);
        check("", early);
    }

    #[test]
    fn bounds() {
        let head = |len: usize| {
            let text = format!("{}\r\nX: ", FIELD.trim());
            format!("{text}{}", "y".repeat(len - text.len() - 6))
        };
        let long = "!The head of a part is too long";
        for (len, want) in [(PART_HEAD_LEN_MAX, "[a]x;"), (PART_HEAD_LEN_MAX + 1, long)] {
            let body = format!("--B\r\n{}\r\n\r\nx\r\n--B--", head(len));
            assert_eq!(
                (read(body.as_bytes(), 1).as_str(), read(body.as_bytes(), 7_000).as_str()),
                (want, want)
            );
        }
        let many = |count: usize| format!("{}--B--", format!("--B\r\n{FIELD}\r\n").repeat(count));
        assert_eq!(read(many(PART_COUNT_MAX).as_bytes(), 9), "[a];".repeat(PART_COUNT_MAX));
        assert_eq!(read(many(PART_COUNT_MAX + 1).as_bytes(), 9), "!The form has too many parts");
        // What is kept is little, however much comes.
        let mut form = Multipart::new("B");
        form.feed(format!("--B\r\n{FIELD}").as_bytes());
        assert!(matches!(form.next_event(), Ok(Some(Event::Part(_)))));
        for _ in 0..100 {
            form.feed(&[b'x'; 10_000]);
            while let Ok(Some(Event::Data(_))) = form.next_event() {}
            assert!(form.buffer.len() < 10);
        }
    }

    #[test]
    fn boundaries() {
        let read = |text: &str| match boundary(text.as_bytes()) {
            Ok(Some(found)) => found,
            Ok(None) => "-".into(),
            Err(_) => "!".into(),
        };
        assert_eq!(read("multipart/form-data; boundary=a"), "a");
        assert_eq!(
            read("Multipart/Form-Data;charset=utf-8; Boundary=\"a b'()+_,-./:=?\""),
            "a b'()+_,-./:=?"
        );
        assert_eq!(read(&format!("multipart/form-data; boundary={}", "a".repeat(70))).len(), 70);
        for text in ["application/json", "multipart/mixed; boundary=a", "", "text/plain; multipart/form-data"]
        {
            assert_eq!(read(text), "-", "{text}");
        }
        for text in
            ["", ";", "; boundary", "; boundary=", "; boundary=\"\"", "; boundary=\"a \"", "; boundary=a@b"]
        {
            assert_eq!(read(&format!("multipart/form-data{text}")), "!", "{text}");
        }
        assert_eq!(read("multipart/form-data; boundary=a; boundary=b"), "!");
        assert_eq!(read(&format!("multipart/form-data; boundary={}", "a".repeat(71))), "!");
    }
}
