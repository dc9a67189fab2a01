//! Bodies taken, and sent, in pieces.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Text, fields};
use crate::api::forms::{Form, Upload};
use bytes::Bytes;

use crate::api::content::{Content, NextPiece, Pieces};
use crate::api::ctx::Desk;
use crate::domain::{Error, Refusal, Result};
use crate::effect::disk::Open;
use crate::limits::PIECE_LEN;
use crate::store::hex;

pub fn upload(_: &mut Ctx<'_>) -> Result<Step> {
    Ok(take(0, 0, 0))
}

fn take(len: usize, count: usize, longest: usize) -> Step {
    Step::Receive(Box::new(move |ctx, piece| match piece {
        Some(piece) => Ok(take(len + piece.len(), count + 1, longest.max(piece.capacity()))),
        None => ctx.json(|out| {
            out.extend_from_slice(format!("[{len},{count},{longest}]").as_bytes());
        }),
    }))
}

pub fn refusal(_: &mut Ctx<'_>) -> Result<Step> {
    Ok(Step::Receive(Box::new(|_, _| Err(Error::bad_request("No such file")))))
}

fields! {
    /// A file with a note.
    pub FORM: TestingForm {
        file: Upload = Upload,
        note: Text = Text(Chars::Any),
    }
}

pub async fn form(ctx: &mut Ctx<'_>) -> Result<Step> {
    let mut form = Form::begin(ctx, FORM.file.name)?;
    let mut len = 0;
    while let Some(piece) = form.file_piece(ctx).await? {
        len += piece.len();
    }
    let name = form.file().and_then(|file| file.file_name.clone()).unwrap_or_default();
    let note = form.field(FORM.note.name)?.unwrap_or_default();
    ctx.json(|out| out.extend_from_slice(format!("[{len},{name:?},{note:?}]").as_bytes()))
}

/// Pieces that are there already; `None` is a failure.
struct Given(std::vec::IntoIter<Option<Bytes>>);

impl Pieces for Given {
    fn next<'d>(&'d mut self, _: &'d dyn Desk) -> NextPiece<'d> {
        let piece = match self.0.next() {
            Some(None) => Err(Refusal::Internal.into()),
            Some(piece) => Ok(piece),
            None => Ok(None),
        };
        Box::pin(std::future::ready(piece))
    }
}

fn answer(ctx: &mut Ctx<'_>, pieces: Vec<Option<Bytes>>) -> Result<Step> {
    ctx.response.content = Some(Content::Stream(Box::new(Given(pieces.into_iter()))));
    Ok(Step::Done)
}

pub fn stream(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer(ctx, vec![Some(Bytes::from(vec![b'x'; PIECE_LEN])), Some(Bytes::from_static(b"yz"))])
}

pub fn broken(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer(ctx, vec![Some(Bytes::from_static(b"abc")), None])
}

pub async fn file(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.param("hash");
    let hash = hex::decode(&name).ok_or(Error::bad_request("No hash"))?;
    let open = Open { blobs: ctx.state.store.blobs(), hash };
    let opened = ctx.effect(open).await?.map_err(|_| Error::new(404, "No such file"))?;
    ctx.response.headers.push(("etag", format!("\"{name}\"")));
    ctx.response.content = Some(Content::file(opened, ctx.source()));
    Ok(Step::Done)
}

pub fn elsewhere(ctx: &mut Ctx<'_>) -> Result<Step> {
    Ok(ctx.redirect(307, "/somewhere/else".into()))
}
