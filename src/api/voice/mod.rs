//! Voice: how clients find their way to where they talk. Who talks where goes over the gateway.

pub mod calls;

use super::routes::Answer::One;
use super::routes::routes;

routes! {
    /// STUN and TURN servers, with credentials that last for a time.
    Get "/voice/ice-servers" => calls::ice_server_list, User, Default { answer: One(calls::ICEServersResponse::SHAPE) };
    /// What is needed to talk in a channel.
    Get "/voice/channels/{channel_id}/info" => calls::voice_channel_info, User, Default {
        answer: One(calls::VoiceChannelInfoResponse::SHAPE),
    };
}
