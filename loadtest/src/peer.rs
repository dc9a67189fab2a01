//! What kind of server is driven, and how a client of it differs.
//!
//! Owns: paths, and the form of a post. Everything else (windows, latencies, memory) is the same for all.
//! Invariant: nothing is sent or received here.

use std::ops::RangeInclusive;

use crate::marker::{self, Marker};

#[derive(Clone, Copy, Debug, Default, PartialEq, clap::ValueEnum)]
pub enum Peer {
    /// The Plexichat API: HELLO, IDENTIFY, READY; a post is an HTTP request
    #[default]
    Plexichat,
    /// Bare publish/subscribe: a session is ready at the 101; a post is a text frame that begins with P
    Plain,
}

impl Peer {
    /// Where a session connects; a publisher posts and receives nothing.
    pub fn session_path(self, publisher: bool) -> &'static str {
        match self {
            Peer::Plexichat => "/gateway",
            Peer::Plain if publisher => "/pub",
            Peer::Plain => "/",
        }
    }

    /// What stands before the paths of HTTP requests.
    pub fn api_prefix(self) -> &'static str {
        match self {
            Peer::Plexichat => "/api/v1",
            Peer::Plain => "",
        }
    }

    /// Name of the event by which sessions learn of a post; a plain peer's messages have none.
    pub fn post_event(self) -> &'static [u8] {
        match self {
            Peer::Plexichat => b"MESSAGE_CREATE",
            Peer::Plain => b"",
        }
    }

    /// Which --content-len there may be: the marker must fit, and the server must take it.
    pub fn content_len(self) -> RangeInclusive<u32> {
        match self {
            Peer::Plexichat => Marker::LEN as u32..=4000,
            Peer::Plain => Marker::LEN as u32 + 1..=65_536,
        }
    }

    /// Appends a post: the JSON body of a request with `len` characters of content, or a whole message of `len` bytes.
    pub fn write_post(self, out: &mut Vec<u8>, marker: Marker, len: usize) {
        match self {
            Peer::Plexichat => marker::post_body(out, marker, len),
            Peer::Plain => {
                out.push(b'P');
                marker::marked_text(out, marker, len.saturating_sub(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_have_the_length_asked_for() {
        let marker = Marker { run: 1, seq: 2, at_ns: 3 };
        for (peer, around) in [(Peer::Plexichat, r#"{"content":""}"#.len()), (Peer::Plain, 0)] {
            let (shortest, longest) = peer.content_len().into_inner();
            for len in [shortest, shortest + 1, 100, longest] {
                let mut out = Vec::new();
                peer.write_post(&mut out, marker, len as usize);
                assert_eq!(out.len(), len as usize + around, "{peer:?} {len}");
                let found = Marker::find(&out, &mut 0).expect("a marker");
                assert!(found.whole && found.marker == marker, "{peer:?} {len}");
            }
        }
        let mut out = Vec::new();
        Peer::Plain.write_post(&mut out, marker, 40);
        assert_eq!(out[0], b'P', "what does not begin with P is not published");
    }
}
