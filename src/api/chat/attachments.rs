//! Files that a message is to have, as clients name them.

use crate::api::body::Body;
use crate::api::fields::{Chars, Fields, Id, Int, Named, Schema, Text, Unused, fields};
use crate::api::media::downloads::key_of;
use crate::api::moderation::judging::{Speech, Spoken};
use crate::config::Config;
use crate::domain::chat::attachment::{FilesPost, Wanted};
use crate::domain::{Error, Result};
use crate::id::AttachmentId;
use crate::limits::ATTACHMENT_COUNT_MAX;
use crate::wire::json::{Object, Value};

/// Bytes of an address that is looked at.
const URL_LEN_MAX: usize = 2_048;

fields! {
    /// A file that was uploaded: by the address in the answer to that, or by its id. The rest is known.
    pub ATTACHMENT: AttachmentRequest {
        url: Text = Text(Chars::UpTo(URL_LEN_MAX)),
        id: Id = Id,
        filename: Unused = Unused,
        content_type: Unused = Unused,
        size: Int = Int(0..=u64::MAX),
        hash: Unused = Unused,
    }
}

/// A list of them.
pub struct Files;

impl Schema for Files {
    fn write_schema(&self, _config: &Config, schema: &mut Object<'_>) {
        schema.str("type", "array").u64("maxItems", ATTACHMENT_COUNT_MAX);
        let name = ATTACHMENT.name();
        schema.object("items").str("$ref", &format!("#/components/schemas/{name}"));
    }

    fn inner(&self) -> Option<&'static dyn Fields> {
        Some(&ATTACHMENT)
    }
}

impl Named<Files> {
    /// # Errors
    /// 400 when it is no list of them, or has too many.
    pub fn read(&self, body: &Body<'_>) -> Result<Vec<Wanted>> {
        let items = body.list(self.name, ATTACHMENT_COUNT_MAX as usize)?;
        items.iter().map(|item| wanted(self.name, item)).collect()
    }
}

fn wanted(name: &str, item: &Value<'_>) -> Result<Wanted> {
    if item.as_object().is_none() {
        return Err(Error::invalid(name, format_args!("must be a list of objects, not of {}", item.kind())));
    }
    let body = Body::of(item);
    ATTACHMENT.size.read(&body)?;
    for unused in [&ATTACHMENT.filename, &ATTACHMENT.content_type, &ATTACHMENT.hash] {
        unused.check(&body)?;
    }
    let (url, id) = (ATTACHMENT.url.read(&body)?, ATTACHMENT.id.read(&body)?);
    match (url, id) {
        (Some(url), _) => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            let last = path.rsplit('/').next().unwrap_or_default();
            let key = key_of(last);
            key.map(Wanted::Key).ok_or_else(|| Error::invalid(name, "url is the address of no upload"))
        }
        (None, Some(id)) => Ok(Wanted::Id(AttachmentId(id))),
        (None, None) => Err(Error::invalid(name, "each needs the url, or the id, of an upload")),
    }
}

impl Spoken for FilesPost {
    fn speech(&self) -> Speech<'_> {
        let poll = self.poll.iter();
        let beside = poll.flat_map(|poll| {
            std::iter::once(poll.question.as_str()).chain(poll.options.iter().map(String::as_str))
        });
        Speech { content: &self.message.content, embeds: &self.message.embeds, beside: beside.collect() }
    }
}
