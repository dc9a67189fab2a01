//! The pages, in the order in which they are listed.

/// A page in Markdown.
pub struct Page {
    /// The last part of its path.
    pub name: &'static str,
    /// Under which it is listed.
    pub group: &'static str,
    pub text: &'static str,
}

macro_rules! pages {
    ($($group:literal: $($name:literal),+;)*) => {
        pub const PAGES: &[Page] = &[$($(Page {
            name: $name,
            group: $group,
            text: include_str!(concat!("pages/", $name, ".md")),
        },)+)*];
    };
}

pages! {
    "Begin": "getting-started", "clients", "authentication", "access-tokens";
    "Use": "servers", "channels", "messages", "media", "search", "people", "webhooks", "bots";
    "Live": "gateway", "opcodes", "events", "intents", "close-codes", "resume", "compression", "voice";
    "Look up": "errors", "rate-limits", "permissions", "data-types", "objects", "limits", "versions";
    "Run a server": "operating", "tuning", "options";
}

/// The first page.
pub const INDEX: Page = Page { name: "", group: "", text: include_str!("pages/index.md") };
