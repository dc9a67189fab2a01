//! Client versions: which are too old, and what a client is told about it.
//!
//! `POST /version/negotiate` and the gateway's VERSION_CHECK (op 13) answer with the same object.

use std::fmt;

use super::error::{Error, Extra, Result};
use crate::wire::json::shape::{Slot, shape};

/// `<stage>.<major>.<minor>-<build>`. Ordered by stage (alpha, beta, candidate, release), then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `a`, `b`, `c` or `r`, whose order in the alphabet is their order in time.
    stage: char,
    major: u32,
    minor: u32,
    build: u32,
}

impl Version {
    /// `None` for anything else, also for numbers above nine digits.
    pub fn parse(text: &str) -> Option<Version> {
        let (stage, rest) = text.split_once('.')?;
        let stage = match stage {
            "a" | "b" | "c" | "r" => stage.chars().next()?,
            _ => return None,
        };
        let (major, rest) = rest.split_once('.')?;
        let (minor, build) = rest.split_once('-')?;
        Some(Version { stage, major: number(major)?, minor: number(minor)?, build: number(build)? })
    }
}

shape! {
    /// A version, in parts and as a text.
    pub VersionInfo(version: Version) {
        stage: str = version.stage.encode_utf8(&mut [0; 4]),
        major: u64 = version.major.into(),
        minor: u64 = version.minor.into(),
        build: u64 = version.build.into(),
        string: str = &version.to_string(),
    }
}

pub fn info(version: Version) -> impl FnOnce(&mut Vec<u8>) {
    move |out| VersionInfo::write(out, version)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}-{}", self.stage, self.major, self.minor, self.build)
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// What this server accepts.
#[derive(Debug)]
pub struct Versions {
    pub server: Version,
    /// The oldest client that may connect.
    pub min: Version,
    pub update_url: Option<String>,
}

impl Versions {
    /// `min` empty: this very version. `update_url` empty: none.
    ///
    /// # Panics
    /// When a text is no version: the options' rules let in versions only.
    pub fn new(server: &str, min: &str, update_url: &str) -> Versions {
        let parse = |text: &str| Version::parse(text).expect("the option's rule lets in versions only");
        let server = parse(server);
        let min = if min.is_empty() { server } else { parse(min) };
        let update_url = Some(update_url.to_string()).filter(|url| !url.is_empty());
        Versions { server, min, update_url }
    }
}

/// The outcome for one client.
#[derive(Debug)]
pub struct Negotiation<'v> {
    versions: &'v Versions,
    client: Version,
}

/// # Errors
/// 400 `INVALID_VERSION_FORMAT`; the gateway closes 4002 instead.
pub fn negotiate<'v>(versions: &'v Versions, client: &str) -> Result<Negotiation<'v>> {
    let parsed = Version::parse(client);
    parsed.map(|client| Negotiation { versions, client }).ok_or_else(|| Error {
        code: Some("INVALID_VERSION_FORMAT"),
        extra: vec![("client_version", Extra::Text(client.to_string()))],
        ..Error::bad_request("Versions look like a.1.0-49: <a|b|c|r>.<major>.<minor>-<build>")
    })
}

shape! {
    /// Whether a client may go on, and whether it should be replaced.
    pub VersionNegotiateResponse(negotiation: &Negotiation<'_>) {
        compatible: bool = negotiation.compatible(),
        server_version: (Slot::object(VersionInfo::SHAPE)) = info(negotiation.versions.server),
        client_version: (Slot::object(VersionInfo::SHAPE)) = info(negotiation.client),
        min_supported_version: (Slot::object(VersionInfo::SHAPE)) = info(negotiation.versions.min),
        update_required: bool = !negotiation.compatible(),
        update_recommended: bool = negotiation.outdated(),
        message: opt_str = negotiation.message().as_deref(),
        update_url: opt_str = negotiation.versions.update_url.as_deref(),
    }
}

impl Negotiation<'_> {
    pub fn compatible(&self) -> bool {
        self.client >= self.versions.min
    }

    /// What to say to a client: that it is too old, or that there is a newer one.
    fn message(&self) -> Option<String> {
        match (self.compatible(), self.outdated()) {
            (false, _) => Some(self.too_old()),
            (true, true) => Some(format!("Version {} is available", self.versions.server)),
            (true, false) => None,
        }
    }

    fn outdated(&self) -> bool {
        self.client < self.versions.server
    }

    /// 426 for a client that is too old.
    pub fn refusal(&self) -> Error {
        let text = |version: Version| Extra::Text(version.to_string());
        let update_url = self.versions.update_url.clone();
        Error {
            code: Some("VERSION_OUTDATED"),
            extra: vec![
                ("client_version", text(self.client)),
                ("min_version", text(self.versions.min)),
                ("server_version", text(self.versions.server)),
                ("update_url", update_url.map_or(Extra::Null, Extra::Text)),
            ],
            ..Error::new(426, self.too_old())
        }
    }

    fn too_old(&self) -> String {
        format!("Version {} is no longer supported; update to {} or newer", self.client, self.versions.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_versions() {
        for text in ["a.1.0-49", "r.12.3-0", "c.999999999.0-1"] {
            assert_eq!(Version::parse(text).map(|version| version.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "1.2.3",
            "a.1.0",
            "a.1-49",
            "x.1.0-49",
            "a.1.0-",
            "a.1.0-+1",
            "a.1.0.2-4",
            "A.1.0-1",
            "a.1.0-49 ",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(Version::parse("a.1.0-1000000000"), None);
    }

    #[test]
    fn orders_by_stage_before_numbers() {
        let order = ["a.1.0-9", "a.1.0-49", "a.1.2-0", "a.10.0-0", "b.0.0-1", "c.0.0-0", "r.0.0-0"];
        assert!(order.map(Version::parse).is_sorted());
    }

    #[test]
    fn outcomes() {
        let versions = Versions::new("a.1.0-49", "a.1.0-40", "https://x.y");
        let check = |client: &str, compatible: bool, want: &str| {
            let outcome = negotiate(&versions, client).unwrap();
            assert_eq!(outcome.compatible(), compatible, "{client}");
            let mut out = Vec::new();
            VersionNegotiateResponse::write(&mut out, &outcome);
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with(want), "{text}");
        };
        let tail = |rest: &str| format!("{rest},\"update_url\":\"https://x.y\"}}");
        check(
            "a.1.0-49",
            true,
            &tail(r#""update_required":false,"update_recommended":false,"message":null"#),
        );
        check("r.9.0-1", true, &tail(r#""update_required":false,"update_recommended":false,"message":null"#));
        check(
            "a.1.0-40",
            true,
            &tail(
                r#""update_required":false,"update_recommended":true,"message":"Version a.1.0-49 is available""#,
            ),
        );
        check(
            "a.1.0-39",
            false,
            &tail(
                r#""update_required":true,"update_recommended":true,"message":"Version a.1.0-39 is no longer supported; update to a.1.0-40 or newer""#,
            ),
        );
        assert_eq!(negotiate(&versions, "1.2").unwrap_err().status, 400);
    }
}
