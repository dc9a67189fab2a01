//! Answers that never change while the process runs, spelled once.

use crate::config::Config;
use crate::domain::version::Versions;
use crate::wire::json::Object;

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
    pub capabilities: Vec<u8>,
    pub openapi: Vec<u8>,
}

impl Pages {
    pub fn new(config: &Config, versions: &Versions) -> Pages {
        let health = |status: &str| {
            object(|object| {
                object.str("status", status).str("version", &config.application_version);
            })
        };
        let mut version_info = Vec::new();
        versions.server.write(&mut version_info);
        Pages {
            root: object(|object| {
                object.str("name", &config.application_name).str("version", &config.application_version);
                object.str("docs", "/openapi.json").str("api", &config.api_api_prefix).null("api_docs");
            }),
            healthy: health("healthy"),
            degraded: health("degraded"),
            shutting_down: health("shutting_down"),
            api_root: object(|object| {
                let message = format!("{} API", config.application_name);
                object.str("version", "v1").str("status", "online").str("message", &message);
            }),
            version: object(|object| {
                object.raw("version", &version_info);
                versions.min.write(object.key("min_supported_version"));
                object.str("api_version", "v1");
            }),
            version_info,
            capabilities: object(|object| {
                write_avatars(object.object("avatars"), config);
                object.bool("access_token_required", false);
            }),
            openapi: super::openapi::document(config),
        }
    }
}

fn object(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Object::new(&mut out));
    out
}

fn write_avatars(mut avatars: Object<'_>, config: &Config) {
    {
        let mut colors = avatars.array("default_colors");
        config.avatars_default_colors.iter().for_each(|color| colors.str(color));
    }
    avatars.u64("max_size", config.avatars_max_size).u64("max_file_size", config.avatars_max_file_size);
    let mut types = avatars.array("allowed_types");
    ["image/jpeg", "image/png", "image/gif", "image/webp"].iter().for_each(|name| types.str(name));
}
