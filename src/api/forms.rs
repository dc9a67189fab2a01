//! Forms with one file, `multipart/form-data`: taken while they come. Forms without one are there as a whole.
//!
//! Invariant: what is kept of a form is its short fields and the piece that is being looked at. A file that is longer
//! than its row allows is refused when so much of it has come, if its announced length has not said so before.

use std::str::Utf8Error;

use super::body::{Body, decode_form, is_form};
use super::ctx::Ctx;
use super::fields::Schema;
use crate::config::Config;
use crate::domain::identity::tier;
use crate::domain::{Error, Result};
use crate::limits::{PART_COUNT_MAX, PART_FIELD_LEN_MAX, PART_OVERHEAD_LEN_MAX};
use crate::wire::json::{Object, Value};
use crate::wire::multipart::{Event, Malformed, Multipart, PartHead, boundary};

/// The field that is the file; its row says how long it may be.
pub struct Upload;

impl Schema for Upload {
    const REQUIRED: bool = true;

    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "string").str("format", "binary");
    }
}

/// A form that comes.
pub struct Form {
    parts: Multipart,
    /// Of the field that is the file.
    name: &'static str,
    /// Its head, once that is there.
    file: Option<PartHead>,
    file_len: u64,
    file_len_max: u64,
    fields: Vec<(String, Vec<u8>)>,
    reading: Reading,
}

/// The part that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    File,
    Field,
    /// A file that nobody asked for.
    Nothing,
}

fn malformed(Malformed(reason): Malformed) -> Error {
    Error::bad_request(reason)
}

impl Form {
    /// The form of a request whose row says how long its file may be. Nothing of it has been read: begin it when all
    /// else is known to be right.
    ///
    /// # Errors
    /// 400 when the request says that it is something else, or names no boundary.
    pub fn begin(ctx: &Ctx<'_>, name: &'static str) -> Result<Form> {
        let content_type = ctx.request.head.header("content-type").unwrap_or_default();
        let boundary = boundary(content_type).map_err(malformed)?;
        let boundary =
            boundary.ok_or_else(|| Error::bad_request("Content-Type must be multipart/form-data"))?;
        Ok(Form {
            parts: Multipart::new(&boundary),
            name,
            file: None,
            file_len: 0,
            file_len_max: tier::file_len_max(
                ctx.principal().tier,
                ctx.route.body.file_len_max(&ctx.state.config),
            ),
            fields: Vec::new(),
            reading: Reading::Nothing,
        })
    }

    /// The next piece of the file, never an empty one; `None` when the whole form is there.
    ///
    /// # Errors
    /// 400 when it is no form, or has no such file; 413 when the file is too long.
    pub async fn file_piece(&mut self, ctx: &Ctx<'_>) -> Result<Option<Vec<u8>>> {
        loop {
            while let Some(event) = self.parts.next_event().map_err(malformed)? {
                if let Some(data) = self.take(event)? {
                    return Ok(Some(data));
                }
            }
            match ctx.piece().await? {
                Some(piece) => self.parts.feed(&piece),
                None => break,
            }
        }
        self.parts.finish().map_err(malformed)?;
        if self.file.is_none() {
            return Err(Error::invalid(self.name, "this field is required"));
        }
        Ok(None)
    }

    /// Takes no longer file than this, once it is known what it is.
    ///
    /// # Errors
    /// 413 when it is longer already, or announced to be.
    pub fn limit_file(&mut self, ctx: &Ctx<'_>, len_max: u64) -> Result<()> {
        self.file_len_max = self.file_len_max.min(len_max);
        let announced = ctx.request.head.content_length().unwrap_or(0);
        let announced = announced.saturating_sub(PART_OVERHEAD_LEN_MAX as u64);
        if self.file_len.max(announced) > self.file_len_max { Err(self.too_long()) } else { Ok(()) }
    }

    fn too_long(&self) -> Error {
        Error::new(413, format!("The file is longer than {} bytes", self.file_len_max))
    }

    fn take(&mut self, event: Event) -> Result<Option<Vec<u8>>> {
        match (event, self.reading) {
            (Event::Part(head), _) => self.begin_part(head)?,
            (Event::Data(data), Reading::File) => {
                self.file_len += data.len() as u64;
                if self.file_len > self.file_len_max {
                    return Err(self.too_long());
                }
                return Ok(Some(data));
            }
            (Event::Data(data), Reading::Field) => {
                let (name, value) = self.fields.last_mut().expect("a field has begun");
                value.extend_from_slice(&data);
                if value.len() > PART_FIELD_LEN_MAX {
                    return Err(Error::invalid(name, "this field is too long"));
                }
            }
            (Event::Data(_), Reading::Nothing) | (Event::End, _) => {}
        }
        Ok(None)
    }

    fn begin_part(&mut self, head: PartHead) -> Result<()> {
        self.reading = match head.file_name {
            _ if head.name == self.name => {
                if self.file.replace(head).is_some() {
                    return Err(Error::invalid(self.name, "one file is taken at a time"));
                }
                Reading::File
            }
            Some(_) => Reading::Nothing,
            None => {
                self.fields.push((head.name, Vec::new()));
                Reading::Field
            }
        };
        Ok(())
    }

    /// What the file's part says of itself, once a piece of it has come.
    pub fn file(&self) -> Option<&PartHead> {
        self.file.as_ref()
    }

    /// Bytes of the file that have come.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// All fields that are no files, as those of a body.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    pub fn body(&self) -> Result<Body<'_>> {
        body_of(self.fields.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value))))
    }

    /// A field that is no file; the first of several.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn field(&self, name: &str) -> Result<Option<&str>> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        let text = found.map(|(_, value)| std::str::from_utf8(value)).transpose();
        text.map_err(|_| Error::invalid(name, "must be UTF-8"))
    }
}

/// A form without a file that is there as a whole.
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// The fields of a body that says that it is `application/x-www-form-urlencoded` or `multipart/form-data`.
    ///
    /// # Errors
    /// 400 when it is neither, malformed, or has too many fields.
    pub fn parse(bytes: &[u8], content_type: &[u8]) -> Result<Fields> {
        if is_form(content_type) {
            return Fields::of_pairs(bytes);
        }
        let boundary = boundary(content_type).map_err(malformed)?.ok_or_else(|| {
            Error::bad_request(
                "Content-Type must be application/x-www-form-urlencoded or multipart/form-data",
            )
        })?;
        let (mut parts, mut fields) = (Multipart::new(&boundary), Vec::new());
        parts.feed(bytes);
        while let Some(event) = parts.next_event().map_err(malformed)? {
            match (event, fields.last_mut()) {
                (Event::Part(head), _) => fields.push((head.name, Vec::new())),
                (Event::Data(data), Some((_, value))) => value.extend_from_slice(&data),
                (Event::Data(_) | Event::End, _) => {}
            }
        }
        parts.finish().map_err(malformed)?;
        Ok(Fields(fields))
    }

    fn of_pairs(bytes: &[u8]) -> Result<Fields> {
        let broken = || Error::bad_request("Malformed form: % is followed by two hexadecimal digits");
        let mut fields = Vec::new();
        for pair in bytes.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == PART_COUNT_MAX {
                return Err(Error::bad_request(format!("A form has at most {PART_COUNT_MAX} fields")));
            }
            let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            let [name, value] = [name, value].map(decoded);
            let name = String::from_utf8(name.ok_or_else(broken)?);
            let name = name.map_err(|_| Error::bad_request("Malformed form: names must be UTF-8"))?;
            fields.push((name, value.ok_or_else(broken)?));
        }
        Ok(Fields(fields))
    }

    /// As a body.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    pub fn body(&self) -> Result<Body<'_>> {
        body_of(self.0.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value))))
    }
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut text = text.to_vec();
    let len = decode_form(&mut text)?;
    text.truncate(len);
    Some(text)
}

/// The first of several fields of one name counts.
fn body_of<'b>(
    fields: impl Iterator<Item = (&'b str, std::result::Result<&'b str, Utf8Error>)>,
) -> Result<Body<'b>> {
    let mut members: Vec<(&str, Value<'_>)> = Vec::new();
    for (name, value) in fields {
        let value = value.map_err(|_| Error::invalid(name, "must be UTF-8"))?;
        if members.iter().all(|(known, _)| *known != name) {
            members.push((name, Value::Str(value)));
        }
    }
    Ok(Body::of(&Value::Object(members)))
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::register;
    use crate::limits::{KIB, PART_FIELD_LEN_MAX};

    fn send(harness: &Harness, token: &str, content_type: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST /api/v1/testing/form HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let response = harness.respond(&head, body);
        (response.status, String::from_utf8(response.body).unwrap())
    }

    fn part(parameters: &str, data: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {parameters}\r\n\r\n{data}\r\n")
    }

    #[test]
    fn a_file_and_its_fields() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let check = |parts: &[String], want: (u16, &str)| {
            let body = format!("{}--B--", parts.concat());
            let (status, text) = send(&harness, &alice.token, "multipart/form-data; boundary=B", &body);
            assert!(status == want.0 && text.contains(want.1), "{status} {text} instead of {want:?}");
        };
        let file = |len: usize| part("name=\"file\"; filename=\"a.png\"", &"x".repeat(len));
        let note = |len: usize| part("name=\"note\"", &"n".repeat(len));
        check(&[file(3)], (200, "[3,\"a.png\",\"\"]"));
        check(
            &[note(4), part("name=\"other\"; filename=\"b\"", "zzz"), file(300 * KIB)],
            (200, "[307200,\"a.png\",\"nnnn\"]"),
        );
        check(&[file(300 * KIB + 1)], (413, "longer than 307200 bytes"));
        check(&[file(0)], (200, "[0,"));
        check(&[note(1)], (400, "file: this field is required"));
        check(&[], (400, "file: this field is required"));
        check(&[file(1), file(1)], (400, "one file"));
        check(&[note(PART_FIELD_LEN_MAX), file(1)], (200, "[1,"));
        check(&[note(PART_FIELD_LEN_MAX + 1), file(1)], (400, "note: this field is too long"));
        check(&["--Bx".to_string()], (400, "boundary"));
    }

    #[test]
    fn fields_without_a_file() {
        let read = |content_type: &str, bytes: &str| {
            let fields = Fields::parse(bytes.as_bytes(), content_type.as_bytes());
            let body = fields.and_then(|fields| Ok(fields.body()?.root().to_json()));
            body.map_err(|error| error.message.into_owned())
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(read(form, "a=%C3%BC+b&c&a=2&&d==").unwrap(), r#"{"a":"ü b","c":"","d":"="}"#);
        assert_eq!(read(form, "").unwrap(), "{}");
        let parts = format!("{}{}--B--", part("name=\"a\"", "ü"), part("name=\"b\"; filename=\"x\"", "1"));
        assert_eq!(read("multipart/form-data; boundary=B", &parts).unwrap(), r#"{"a":"ü","b":"1"}"#);
        for (content_type, bytes, want) in [
            (form, "a=%zz", "two hexadecimal digits"),
            (form, "a=%ff", "a: must be UTF-8"),
            (form, "%ff=a", "names must be UTF-8"),
            (form, &"a=1&".repeat(17), "at most 16 fields"),
            ("multipart/form-data; boundary=B", "--B", "ends before its last boundary"),
            ("application/json", "{}", "Content-Type must be"),
            ("", "a=1", "Content-Type must be"),
        ] {
            let error = read(content_type, bytes).unwrap_err();
            assert!(error.contains(want), "{bytes}: {error}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_by_its_head() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let status =
            |token: &str, content_type: &str, body: &str| send(&harness, token, content_type, body).0;
        let form = "multipart/form-data; boundary=B";
        assert_eq!(status(&alice.token, "application/json", "{}"), 400);
        assert_eq!(status(&alice.token, "multipart/form-data", ""), 400);
        assert_eq!(status("1.x", "application/json", "{}"), 401);
        assert_eq!(status(&alice.token, &format!("{form}\r\ncontent-encoding: gzip"), "x"), 415);
        assert_eq!(status(&alice.token, form, &"x".repeat(KIB * KIB)), 413);
        assert_eq!(status(&alice.token, form, "--B"), 400);
    }
}
