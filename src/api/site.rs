//! The documentation, as bytes that are ready to be sent.
//!
//! Owns: what an answer with a document consists of. What is in them is made by the layer `docs`, once per process
//! and before any request; a core thread only hands bytes on.
//! Invariant: a document has one entity tag for each of its two spellings, plain and compressed.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::content::Content;
use super::ctx::{Ctx, Step};
use super::openapi;
use super::pages::etag;
use crate::config::{Config, Loaded, OPTIONS, OptionRow};
use crate::console::assets::FILES;
use crate::console::view::{Paths, Setting};
use crate::domain::{Refusal, Result};
use crate::effect::read::Read;
use crate::observe::log_files::level;
use crate::observe::log_level;
use crate::wire::http::Head;

/// Asked for anew each time, and answered with a 304 as long as it is the same.
const CHECKED: &str = "no-cache";
/// The name of such a file has a part of its hash in it: what has another content has another name.
const LASTING: &str = "public, max-age=31536000, immutable";

/// Everything that is documented.
#[derive(Debug)]
pub struct Site {
    pub openapi: Document,
    /// Where `docs.enabled` is off there is none.
    pub portal: Option<Portal>,
    pub console: ConsoleFiles,
    /// What the server was started with, for the console.
    pub settings: Vec<Setting>,
}

/// Style, script and icon of the console.
#[derive(Debug)]
pub struct ConsoleFiles {
    pub paths: Paths,
    /// By the last part of their paths.
    pub documents: HashMap<String, Document>,
}

impl ConsoleFiles {
    fn new(config: &Config) -> ConsoleFiles {
        let (mut paths, mut documents) = (Paths::default(), HashMap::new());
        for (name, content_type, text) in FILES {
            let document = Document::new(content_type, text.into()).lasting();
            let marked = document.marked(name);
            let path = format!("{}/ui/assets/{marked}", config.admin_ui.path.trim_end_matches('/'));
            match name.rsplit_once('.') {
                Some((_, "css")) => paths.css = path,
                Some((_, "js")) => paths.script = path,
                _ => paths.icon = path,
            }
            documents.insert(marked, document);
        }
        ConsoleFiles { paths, documents }
    }
}

/// Every option with its value, who has set it, and what it says. Secrets are not among the values.
pub fn settings(loaded: &Loaded) -> Vec<Setting> {
    let of = |row: &OptionRow| Setting {
        key: row.key,
        value: row.shown(&loaded.config),
        source: loaded.source_of(row.key).to_string(),
        help: row.help,
    };
    OPTIONS.iter().map(of).collect()
}

/// The pages, and what they are made with.
#[derive(Debug)]
pub struct Portal {
    /// `/docs`: operations to be tried out.
    pub viewer: Document,
    /// `/redoc`: operations to be read.
    pub reader: Document,
    pub asyncapi: Document,
    /// The first page.
    pub index: Document,
    /// Below it, by name.
    pub pages: HashMap<&'static str, Document>,
    /// What is shown in place of a page that does not exist.
    pub missing: Document,
    /// Scripts and styles by the last part of their paths.
    pub assets: HashMap<String, Document>,
}

/// Something that is sent as it is.
pub struct Document {
    content_type: &'static str,
    /// Its Content-Security-Policy, when it is a page.
    policy: Option<String>,
    cache: &'static str,
    gzip: Bytes,
    /// What only comes compressed with this program is inflated when somebody cannot do so himself.
    plain: OnceLock<Bytes>,
    etag: String,
    etag_gzip: String,
}

impl Site {
    /// What the API says of itself, without any page.
    pub fn of_api(config: &Config) -> Site {
        Site {
            openapi: Document::new("application/json", openapi::document(config)),
            portal: None,
            console: ConsoleFiles::new(config),
            settings: Vec::new(),
        }
    }

    /// Every option as it is now: what can be changed while the server runs may have been.
    pub fn in_force(&self) -> Vec<Setting> {
        let now = |setting: &Setting| {
            let is_level = setting.key == "logging.level";
            match is_level && level(setting.value.trim_matches('"')) != Some(log_level()) {
                true => Setting {
                    value: format!("{:?}", log_level()),
                    source: "changed since the start".into(),
                    ..setting.clone()
                },
                false => setting.clone(),
            }
        };
        self.settings.iter().map(now).collect()
    }
}

impl Document {
    pub fn new(content_type: &'static str, plain: Vec<u8>) -> Document {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(&plain).and_then(|()| encoder.finish());
        let gzip = written.expect("memory takes what is written");
        let document = Document::packed(content_type, gzip.into());
        document.plain.set(plain.into()).expect("nobody else has it yet");
        document
    }

    /// One that is compressed already, by gzip.
    pub fn packed(content_type: &'static str, gzip: Bytes) -> Document {
        let etag = etag(&gzip);
        Document {
            content_type,
            policy: None,
            cache: CHECKED,
            etag_gzip: format!("{}-gzip\"", etag.trim_end_matches('"')),
            etag,
            gzip,
            plain: OnceLock::new(),
        }
    }

    /// What a page may load.
    pub fn with_policy(self, policy: String) -> Document {
        Document { policy: Some(policy), ..self }
    }

    /// May be kept for ever, because of its name.
    pub fn lasting(self) -> Document {
        Document { cache: LASTING, ..self }
    }

    /// The name of a file with a part of its hash in it.
    pub fn marked(&self, name: &str) -> String {
        let (stem, ending) = name.rsplit_once('.').expect("a file has an ending");
        let mark = self.etag.trim_matches('"').get(..8).expect("a hash has 16 digits");
        format!("{stem}-{mark}.{ending}")
    }

    /// Bytes as they are, if they are here.
    pub fn plain(&self) -> Option<&Bytes> {
        self.plain.get()
    }

    pub fn gzip(&self) -> &Bytes {
        &self.gzip
    }

    /// # Errors
    /// When it is not what gzip writes.
    pub fn inflate(gzip: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut plain)?;
        Ok(plain)
    }

    /// Answers with it, when it is here in the spelling that who asks can read.
    fn answer(&self, ctx: &mut Ctx<'_>) -> bool {
        let is_gzip = takes_gzip(&ctx.request.head);
        let bytes = match (is_gzip, self.plain.get()) {
            (true, _) => self.gzip.clone(),
            (false, Some(plain)) => plain.clone(),
            (false, None) => return false,
        };
        let response = &mut ctx.response;
        response.content_type = self.content_type;
        response.headers.push(("cache-control", self.cache.to_string()));
        response.headers.push(("vary", "Accept-Encoding".to_string()));
        response.headers.push(("etag", if is_gzip { &self.etag_gzip } else { &self.etag }.clone()));
        if is_gzip {
            response.headers.push(("content-encoding", "gzip".to_string()));
        }
        if let Some(policy) = &self.policy {
            response.headers.push(("content-security-policy", policy.clone()));
        }
        response.content = Some(Content::Shared(bytes));
        true
    }

    /// Answers with one that was never compressed alone.
    ///
    /// # Errors
    /// None: it is here in both spellings.
    pub fn send(&self, ctx: &mut Ctx<'_>) -> Result<Step> {
        let is_here = self.answer(ctx);
        assert!(is_here, "a document that was made here is here as it is");
        Ok(Step::Done)
    }

    /// Answers with any.
    ///
    /// # Errors
    /// Those of [`Ctx::effect`].
    pub async fn send_any(&self, ctx: &mut Ctx<'_>) -> Result<Step> {
        if !self.answer(ctx) {
            let gzip = self.gzip.clone();
            let inflated = ctx.effect(Read(move || Document::inflate(&gzip))).await?;
            let plain = inflated.map_err(|_| Refusal::Internal)?;
            self.plain.get_or_init(|| plain.into());
            self.answer(ctx);
        }
        Ok(Step::Done)
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({}, {} bytes compressed)", self.content_type, self.gzip.len())
    }
}

/// Whether `Accept-Encoding` lists gzip, and not with the weight 0 (RFC 9110 §12.5.3).
fn takes_gzip(head: &Head<'_>) -> bool {
    head.header_all("accept-encoding").flat_map(|value| value.split(|&byte| byte == b',')).any(|coding| {
        let mut parts = coding.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        let weight = parts.next().and_then(|part| part.strip_prefix(b"q="));
        let is_refused = weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')));
        is_gzip && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    fn check(accepted: &str, want: bool) {
        let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{accepted}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!(takes_gzip(&head), want, "{accepted}");
    }

    #[test]
    fn who_takes_gzip() {
        check("", false);
        check("accept-encoding: gzip\r\n", true);
        check("accept-encoding: deflate, GZIP;q=0.5, br\r\n", true);
        check("accept-encoding: br\r\naccept-encoding: gzip\r\n", true);
        check("accept-encoding: gzip;q=0\r\n", false);
        check("accept-encoding: gzip; q=0.000\r\n", false);
        check("accept-encoding: identity, x-gzip\r\n", false);
    }

    #[test]
    fn both_spellings_are_the_same_text() {
        let document = Document::new("text/plain", b"as it is".repeat(100));
        assert_eq!(Document::inflate(document.gzip()).unwrap(), document.plain().unwrap()[..]);
        assert!(document.gzip().len() < 100);
        assert_ne!(document.etag, document.etag_gzip);
        assert!(Document::packed("text/plain", document.gzip().clone()).plain().is_none());
    }
}
