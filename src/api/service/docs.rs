//! The documentation: pages, viewers, descriptions of REST and gateway. All of it stands ready in [`Site`](crate::api::site::Site).

use crate::api::ctx::{Ctx, Step};
use crate::api::site::Portal;
use crate::domain::{Refusal, Result};

/// What a browser says that it reads.
const HTML: &[u8] = b"text/html";

/// What stands in the place of a page is named in the path.
fn portal<'s>(ctx: &Ctx<'s>) -> Result<&'s Portal> {
    let state = ctx.state;
    state.site.portal.as_ref().ok_or_else(|| Refusal::RouteNotFound.into())
}

pub fn openapi(ctx: &mut Ctx<'_>) -> Result<Step> {
    let state = ctx.state;
    if !state.config.docs.enabled {
        return Err(Refusal::RouteNotFound.into());
    }
    state.site.openapi.send(ctx)
}

pub fn asyncapi(ctx: &mut Ctx<'_>) -> Result<Step> {
    portal(ctx)?.asyncapi.send(ctx)
}

pub fn docs_viewer(ctx: &mut Ctx<'_>) -> Result<Step> {
    portal(ctx)?.viewer.send(ctx)
}

pub fn docs_reader(ctx: &mut Ctx<'_>) -> Result<Step> {
    portal(ctx)?.reader.send(ctx)
}

pub fn docs_index(ctx: &mut Ctx<'_>) -> Result<Step> {
    portal(ctx)?.index.send(ctx)
}

pub fn docs_page(ctx: &mut Ctx<'_>) -> Result<Step> {
    let portal = portal(ctx)?;
    if let Some(page) = portal.pages.get(&*ctx.params.get("page")) {
        return page.send(ctx);
    }
    // A page is for people; a program that has lost its way is told so as everywhere.
    let accepted = ctx.request.head.header("accept").unwrap_or_default();
    if !accepted.windows(HTML.len()).any(|part| part.eq_ignore_ascii_case(HTML)) {
        return Err(Refusal::RouteNotFound.into());
    }
    let step = portal.missing.send(ctx)?;
    ctx.response.status = 404;
    ctx.response.headers.retain(|(name, _)| *name != "etag");
    Ok(step)
}

pub async fn docs_asset(ctx: &mut Ctx<'_>) -> Result<Step> {
    let asset = portal(ctx)?.assets.get(&*ctx.params.get("name")).ok_or(Refusal::RouteNotFound)?;
    asset.send_any(ctx).await
}
