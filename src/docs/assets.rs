//! Scripts and styles of the pages: our own, and the viewers of others.
//!
//! Invariant: what is served under a name never changes, as the name has a part of the hash in it. The viewers are the
//! files of their packages, byte for byte but for what `vendor/VENDORED.txt` says; a test compares their hashes.

use std::collections::HashMap;

use bytes::Bytes;

use crate::api::site::Document;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Files by the names that pages know them by.
pub struct Files {
    names: HashMap<&'static str, String>,
    documents: HashMap<String, Document>,
}

impl Files {
    /// Takes a file in.
    pub fn add(&mut self, name: &'static str, document: Document) {
        let marked = document.marked(name);
        self.names.insert(name, marked.clone());
        self.documents.insert(marked, document.lasting());
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        format!("/docs/assets/{}", self.names.get(name).expect("pages name files that there are"))
    }

    pub fn into_documents(self) -> HashMap<String, Document> {
        self.documents
    }
}

/// All that is the same whatever is configured.
pub fn own() -> Files {
    let mut files = Files { names: HashMap::new(), documents: HashMap::new() };
    let texts = [
        ("portal.css", STYLE, include_str!("assets/portal.css")),
        ("portal.js", SCRIPT, include_str!("assets/portal.js")),
        ("viewer.js", SCRIPT, include_str!("assets/viewer.js")),
        ("viewer.css", STYLE, include_str!("assets/viewer.css")),
        ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
        ("licences.txt", TEXT, include_str!("vendor/LICENCES.txt")),
    ];
    for (name, content_type, text) in texts {
        files.add(name, Document::new(content_type, text.into()));
    }
    for (name, content_type, gzip) in VENDORED {
        files.add(name, Document::packed(content_type, Bytes::from_static(gzip)));
    }
    files
}

/// The viewers, compressed.
const VENDORED: [(&str, &str, &[u8]); 3] = [
    ("swagger-ui-bundle.js", SCRIPT, include_bytes!("vendor/swagger-ui-bundle.js.gz")),
    ("swagger-ui.css", STYLE, include_bytes!("vendor/swagger-ui.css.gz")),
    ("redoc.standalone.js", SCRIPT, include_bytes!("vendor/redoc.standalone.js.gz")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    const ACCOUNT: &str = include_str!("vendor/VENDORED.txt");

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_others_have_written_is_as_it_came() {
        for (name, _, gzip) in VENDORED {
            let plain = Document::inflate(gzip).unwrap();
            for (what, bytes) in [(format!("{name}.gz"), gzip), (name.to_string(), &plain)] {
                let line = format!("{}  {what}", sha256(bytes));
                assert!(ACCOUNT.lines().any(|known| known == line), "VENDORED.txt has no line {line}");
            }
        }
    }

    /// A package that asks a host for something does so from each reader's browser.
    #[test]
    fn what_others_have_written_asks_no_other_host() {
        for (name, _, gzip) in VENDORED {
            let text = String::from_utf8_lossy(&Document::inflate(gzip).unwrap()).into_owned();
            for word in ["cdn.redoc", "cdn.jsdelivr", "unpkg.com", "otel.", "googleapis"] {
                assert!(!text.contains(word), "{name} speaks of {word}");
            }
        }
    }

    #[test]
    fn names_have_a_hash_in_them() {
        let files = own();
        let path = files.path("portal.css");
        assert!(path.starts_with("/docs/assets/portal-") && path.ends_with(".css"), "{path}");
        assert!(files.into_documents().contains_key(path.trim_start_matches("/docs/assets/")));
    }
}
