//! Channels to talk in.

use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::permission::{Access, CHANNELS_VIEW, VOICE_CONNECT};
use crate::id::{ChannelId, ServerId, UserId};
use crate::store::records::channel_kind;
use crate::wire::json::Object;

/// Bits in a second of whoever talks.
pub const BITRATE: u64 = 64_000;

/// A channel in which the asking user may talk.
///
/// # Errors
/// 404 unknown; 403 not his to view; 400 for other kinds of channels; 403 without `voice.connect`.
pub fn connectable(asking: Asking<'_>, channel_id: ChannelId) -> Result<Access<'_>> {
    let access = asking.channel(channel_id)?;
    if !matches!(access.channel.kind, channel_kind::VOICE | channel_kind::STAGE) {
        return Err(Error::bad_request("Only voice and stage channels can be talked in"));
    }
    access.require(VOICE_CONNECT)?;
    Ok(access)
}

/// Whether somebody who talks in a channel still sees it, and may be heard there. `None`: he does not see it.
pub fn may_speak(asking: Asking<'_>, channel_id: ChannelId) -> Option<bool> {
    let access = asking.channel(channel_id).ok().filter(|access| access.has(CHANNELS_VIEW))?;
    Some(access.has(crate::domain::permission::VOICE_SPEAK))
}

/// What somebody has switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// He is not heard, by his own will.
    pub mute: bool,
    /// He hears nobody, by his own will, and is not heard either.
    pub deaf: bool,
    pub video: bool,
    pub stream: bool,
}

/// `d` of VOICE_STATE_UPDATE; without a channel: he has left. `suppress`: he may not be heard.
pub fn state(
    user_id: UserId,
    server_id: ServerId,
    channel_id: Option<ChannelId>,
    flags: Flags,
    suppress: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    Object::new(&mut out)
        .id("user_id", user_id.0)
        .opt_id("channel_id", channel_id.map(|id| id.0))
        .id("guild_id", server_id.0)
        .bool("self_mute", flags.mute)
        .bool("self_deaf", flags.deaf)
        .bool("self_video", flags.video)
        .bool("self_stream", flags.stream)
        // Nobody can do this to somebody else here.
        .bool("mute", false)
        .bool("deaf", false)
        .bool("suppress", suppress);
    out
}
