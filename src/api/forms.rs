//! Forms with one file, `multipart/form-data`: taken while they come.
//!
//! Invariant: what is kept of a form is its short fields and the piece that is being looked at. A file that is longer
//! than its row allows is refused when so much of it has come, if its announced length has not said so before.

use super::ctx::Ctx;
use super::fields::Schema;
use crate::config::Config;
use crate::domain::{Error, Result};
use crate::limits::PART_FIELD_LEN_MAX;
use crate::wire::json::Object;
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
    /// 415 when the request says that it is something else, 400 when it names no boundary.
    pub fn begin(ctx: &Ctx<'_>, name: &'static str) -> Result<Form> {
        let content_type = ctx.request.head.header("content-type").unwrap_or_default();
        let boundary = boundary(content_type).map_err(malformed)?;
        let boundary = boundary.ok_or_else(|| Error::new(415, "Content-Type must be multipart/form-data"))?;
        Ok(Form {
            parts: Multipart::new(&boundary),
            name,
            file: None,
            file_len: 0,
            file_len_max: ctx.route.body.file_len_max(&ctx.state.config),
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

    fn take(&mut self, event: Event) -> Result<Option<Vec<u8>>> {
        match (event, self.reading) {
            (Event::Part(head), _) => self.begin_part(head)?,
            (Event::Data(data), Reading::File) => {
                self.file_len += data.len() as u64;
                if self.file_len > self.file_len_max {
                    let max = self.file_len_max;
                    return Err(Error::new(413, format!("The file is longer than {max} bytes")));
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

#[cfg(test)]
mod tests {
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
    fn what_is_no_form_is_refused_by_its_head() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let status =
            |token: &str, content_type: &str, body: &str| send(&harness, token, content_type, body).0;
        let form = "multipart/form-data; boundary=B";
        assert_eq!(status(&alice.token, "application/json", "{}"), 415);
        assert_eq!(status(&alice.token, "multipart/form-data", ""), 400);
        assert_eq!(status("1.x", "application/json", "{}"), 401);
        assert_eq!(status(&alice.token, &format!("{form}\r\ncontent-encoding: gzip"), "x"), 415);
        assert_eq!(status(&alice.token, form, &"x".repeat(KIB * KIB)), 413);
        assert_eq!(status(&alice.token, form, "--B"), 400);
    }
}
