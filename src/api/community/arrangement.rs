//! Where the channels of a server stand, changed for many at once.

use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{List, fields};
use crate::domain::community::arrangement::{ChannelsArrange, Place, check_arrange};
use crate::domain::community::channel;
use crate::domain::permission::CHANNELS_MANAGE;
use crate::domain::{Error, Result};
use crate::id::ChannelId;
use crate::limits::CHANNEL_COUNT_MAX;
use crate::wire::json::Value;

fields! {
    /// New places of channels; the others stay around them.
    pub CHANNELS_ARRANGE: ChannelsArrangeRequest {
        /// Of each its `id`, and `position`, `category_id` (null: none) or both.
        channels: List = List(CHANNEL_COUNT_MAX, "object"),
    }
}

pub fn channel_arrange(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).server(server_id)?.require(CHANNELS_MANAGE)?;
    let body = ctx.body()?;
    let mut places: Vec<Place> = Vec::new();
    for item in CHANNELS_ARRANGE.channels.read(&body)? {
        let place = place(item)?;
        if places.iter().any(|known| known.channel_id == place.channel_id) {
            return Err(Error::invalid("channels", format_args!("{} is named twice", place.channel_id)));
        }
        places.push(place);
    }
    if places.is_empty() {
        return Err(Error::invalid("channels", "must name at least one channel"));
    }
    let op = ChannelsArrange { server_id, places };
    check_arrange(ctx.asking(&snapshot), &op)?;
    ctx.submit(op, move |ctx, _| {
        let snapshot = ctx.snapshot();
        let standing = ctx.asking(&snapshot).server(server_id)?;
        ctx.json(|out| channel::write_list(out, &standing))
    })
}

fn place(item: &Value<'_>) -> Result<Place> {
    if item.as_object().is_none() {
        return Err(Error::invalid("channels", format_args!("each must be an object, not {}", item.kind())));
    }
    let item = Body::of(item);
    let is_null = |name: &str| item.members().iter().any(|(known, value)| *known == name && value.is_null());
    let category_id = match item.opt_id("category_id")? {
        Some(id) => Some(Some(ChannelId(id))),
        None => is_null("category_id").then_some(None),
    };
    Ok(Place {
        channel_id: ChannelId(item.id("id")?),
        position: item.opt_int("position", 0..=u64::MAX)?,
        category_id,
    })
}
