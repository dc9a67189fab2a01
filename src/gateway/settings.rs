//! What the gateway takes from the configuration.

use crate::config::Config;
use crate::domain::version::Versions;

/// The options that concern a core's gateway, as it uses them.
#[derive(Debug)]
pub struct Settings {
    /// Which clients are too old.
    pub versions: Versions,
    pub heartbeat_interval_ms: u64,
    pub heartbeat_timeout_ms: u32,
    pub identify_timeout_ms: u32,
    pub session_timeout_ms: u32,
    pub resume_events_max: usize,
    pub resume_len_max: usize,
    pub send_events_max: u32,
    pub send_len_max: usize,
    pub send_timeout_ms: u32,
    pub messages_per_minute: u32,
    pub message_len_max: usize,
    pub inflated_len_max: usize,
    pub compression_enabled: bool,
    pub public_url: String,
    pub ping_interval_ms: u32,
    pub ping_timeout_ms: u32,
    pub close_timeout_ms: u32,
    pub members_chunk_size: usize,
    pub typing_timeout_ms: u32,
    pub shutdown_grace_ms: u64,
    pub replay_len_max: usize,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        let ms = |value: u64| u32::try_from(value).unwrap_or(u32::MAX / 2);
        let or_unlimited = |value: u64| if value == 0 { usize::MAX } else { value as usize };
        Settings {
            versions: Versions::new(
                &config.application.version,
                &config.versioning.min_supported_version,
                &config.versioning.update_url,
            ),
            heartbeat_interval_ms: config.websocket.heartbeat_interval_ms,
            heartbeat_timeout_ms: ms(config.heartbeat_timeout_ms()),
            identify_timeout_ms: ms(config.websocket.identify_timeout_ms),
            session_timeout_ms: ms(config.websocket.session_timeout_ms),
            resume_events_max: or_unlimited(config.websocket.resume_buffer_events),
            resume_len_max: or_unlimited(config.websocket.resume_buffer_bytes),
            send_events_max: u32::try_from(or_unlimited(config.websocket.send_queue_events))
                .unwrap_or(u32::MAX),
            send_len_max: or_unlimited(config.websocket.send_queue_bytes),
            send_timeout_ms: ms(config.websocket.send_timeout_ms),
            messages_per_minute: ms(config.websocket.rate_limit_per_minute),
            message_len_max: config.websocket.max_message_size as usize,
            inflated_len_max: config.websocket.max_decompressed_size as usize,
            compression_enabled: config.websocket.compression_enabled,
            public_url: config.websocket.public_url.clone(),
            ping_interval_ms: ms(config.websocket.ping_interval_ms),
            ping_timeout_ms: ms(config.websocket.ping_timeout_ms),
            close_timeout_ms: ms(config.websocket.close_timeout_ms),
            members_chunk_size: config.websocket.members_chunk_size as usize,
            typing_timeout_ms: ms(config.presence.typing_timeout_ms),
            shutdown_grace_ms: config.server.shutdown_grace_ms,
            replay_len_max: config.websocket.replay_bytes as usize,
        }
    }
}
