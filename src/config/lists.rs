//! Lists that options begin with, or choose from.

pub(super) const ADMIN_HOSTS: &[&str] = &["127.0.0.1", "localhost", "::1"];
pub(super) const LEVELS: &[&str] = &["TRACE", "DEBUG", "INFO", "WARNING", "WARN", "ERROR"];
pub(super) const TIERS: &[&str] = &["standard", "alpha", "premium", "staff"];
pub(super) const CORS_ORIGINS: &[&str] = &[
    "http://localhost:5000",
    "http://localhost:8000",
    "http://127.0.0.1:5000",
    "http://127.0.0.1:8000",
    "https://localhost:8443",
    "https://plexichat.com",
    "https://app.plexichat.com",
    "https://api.plexichat.com",
];
pub(super) const CORS_METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"];
pub(super) const CORS_HEADERS: &[&str] =
    &["Authorization", "Content-Type", "X-Requested-With", "Accept", "Origin", "X-API-Access-Token"];
pub(super) const STUN_URLS: &[&str] = &[
    "stun:stun.l.google.com:19302",
    "stun:stun1.l.google.com:19302",
    "stun:stun2.l.google.com:19302",
    "stun:stun3.l.google.com:19302",
];
pub(super) const IMAGE_TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
pub(super) const VIDEO_TYPES: &[&str] = &["video/mp4", "video/webm", "video/quicktime"];
pub(super) const AUDIO_TYPES: &[&str] = &["audio/mpeg", "audio/ogg", "audio/wav", "audio/webm"];
pub(super) const DOCUMENT_TYPES: &[&str] =
    &["application/pdf", "text/plain", "application/zip", "text/markdown", "application/json"];
pub(super) const AVATAR_COLORS: &[&str] =
    &["#5865f2", "#3ba55c", "#faa61a", "#ed4245", "#eb459e", "#9b59b6", "#1abc9c", "#607d8b"];
