//! What clients ask before they talk.

use crate::api::ctx::{Ctx, Step};
use crate::config::Voice;
use crate::domain::voice::channel::{BITRATE, connectable};
use crate::domain::voice::ice::{ICEServerConfig, Servers};
use crate::domain::{Refusal, Result};
use crate::id::{ChannelId, UserId};
use crate::runtime::random;
use crate::wire::json::shape::{Kind, Slot, shape};

fn servers(servers: Servers<'_>, user_id: UserId, unix_ms: u64) -> impl FnOnce(&mut Vec<u8>) {
    move |out| servers.write(out, user_id, unix_ms)
}

shape! {
    /// Where media find their way around firewalls.
    pub ICEServersResponse(ice: Servers<'_>, user_id: UserId, unix_ms: u64) {
        ice_servers: (Slot::list(&Kind::Object(ICEServerConfig::SHAPE))) = servers(ice, user_id, unix_ms),
    }
}

shape! {
    /// What is needed to talk in a channel.
    pub VoiceChannelInfoResponse(channel_id: ChannelId, session_id: &str, ice: Servers<'_>, user_id: UserId, unix_ms: u64) {
        channel_id: id = channel_id.0,
        /// Of this connection alone.
        session_id: str = session_id,
        ice_servers: (Slot::list(&Kind::Object(ICEServerConfig::SHAPE))) = servers(ice, user_id, unix_ms),
        /// Bits in a second.
        bitrate: u64 = BITRATE,
    }
}

fn ice(voice: &Voice) -> Servers<'_> {
    Servers::new(
        (&voice.stun_urls, &voice.turn_urls),
        (&voice.turn_secret, voice.turn_ttl),
        (&voice.turn_username, &voice.turn_credential),
    )
}

pub fn ice_server_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = &ctx.state.config;
    if !config.voice.enabled {
        return Err(Refusal::VoiceOff.into());
    }
    let (user_id, unix_ms) = (ctx.user_id(), ctx.now().unix_ms);
    ctx.json(|out| ICEServersResponse::write(out, ice(&config.voice), user_id, unix_ms))
}

pub fn voice_channel_info(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = &ctx.state.config;
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    connectable(ctx.asking(&snapshot), channel_id)?;
    if !config.voice.enabled {
        return Err(Refusal::VoiceOff.into());
    }
    let (user_id, unix_ms) = (ctx.user_id(), ctx.now().unix_ms);
    let session_id = crate::store::hex::encode(&random::bytes::<16>());
    let ice = ice(&config.voice);
    ctx.json(|out| VoiceChannelInfoResponse::write(out, channel_id, &session_id, ice, user_id, unix_ms))
}
