//! Answers that never change while the process runs, spelled once.

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::domain::version::{VersionInfo, Versions, info};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// Answers that are the same every time.
#[derive(Debug)]
pub struct Pages {
    pub root: Vec<u8>,
    pub healthy: Vec<u8>,
    pub degraded: Vec<u8>,
    pub shutting_down: Vec<u8>,
    pub api_root: Vec<u8>,
    pub version: Vec<u8>,
    /// The server's version, a part of `status`.
    pub version_info: Vec<u8>,
    /// While the gate is open, and while it is closed.
    pub capabilities: [Vec<u8>; 2],
}

impl Pages {
    pub fn new(config: &Config, versions: &Versions) -> Pages {
        let health = |status: &str| written(|out| HealthResponse::write(out, status, config));
        Pages {
            root: written(|out| ApiRootResponse::write(out, config)),
            healthy: health("healthy"),
            degraded: health("degraded"),
            shutting_down: health("shutting_down"),
            api_root: written(|out| ApiStatusResponse::write(out, config)),
            version: written(|out| ServerVersionResponse::write(out, versions)),
            version_info: written(|out| VersionInfo::write(out, versions.server)),
            capabilities: [false, true]
                .map(|is_closed| written(|out| ServerCapabilitiesResponse::write(out, config, is_closed))),
        }
    }
}

/// A strong entity tag of bytes: their hash.
pub fn etag(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("\"{:016x}\"", u64::from_be_bytes(hash[..8].try_into().expect("eight bytes")))
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn texts<'a, T: AsRef<str> + 'a>(texts: &'a [T]) -> impl FnOnce(&mut Vec<u8>) + 'a {
    move |out| {
        let mut list = Array::new(out);
        texts.iter().for_each(|text| list.str(text.as_ref()));
    }
}

shape! {
    /// Whether the server is well.
    pub HealthResponse(status: &str, config: &Config) {
        status: (Slot::word(&["healthy", "degraded", "shutting_down"])) = status,
        version: str = &config.application.version,
    }
}

shape! {
    /// What answers here, and where to go on.
    pub ApiRootResponse(config: &Config) {
        name: str = &config.application.name,
        version: str = &config.application.version,
        /// Where operations can be tried out.
        docs: str = "/docs",
        api: str = &config.api.api_prefix,
        /// The pages of the documentation; null where it is switched off.
        api_docs: opt_str = config.docs.enabled.then_some(config.docs.path.as_str()),
    }
}

shape! {
    /// The API of this server.
    pub ApiStatusResponse(config: &Config) {
        version: str = "v1",
        status: (Slot::word(&["online"])) = "online",
        message: str = &format!("{} API", config.application.name),
    }
}

shape! {
    /// Which version runs, and which clients it accepts.
    pub ServerVersionResponse(versions: &Versions) {
        version: (Slot::object(VersionInfo::SHAPE)) = info(versions.server),
        min_supported_version: (Slot::object(VersionInfo::SHAPE)) = info(versions.min),
        api_version: str = "v1",
    }
}

shape! {
    /// What pictures may be.
    pub AvatarCapabilities(config: &Config) {
        default_colors: (Slot::list(&Kind::Text)) = texts(&config.avatars.default_colors),
        /// Pixels of a side.
        max_size: u64 = config.avatars.max_size,
        /// Bytes.
        max_file_size: u64 = config.avatars.max_file_size,
        allowed_types: (Slot::list(&Kind::Text)) = texts(&["image/jpeg", "image/png", "image/gif", "image/webp"]),
    }
}

shape! {
    /// What this server can do.
    pub ServerCapabilitiesResponse(config: &Config, is_closed: bool) {
        avatars: (Slot::object(AvatarCapabilities::SHAPE)) = |out: &mut Vec<u8>| AvatarCapabilities::write(out, config),
        /// Whether the gate is closed: each request needs an `X-API-Access-Token`.
        access_token_required: bool = is_closed,
    }
}
