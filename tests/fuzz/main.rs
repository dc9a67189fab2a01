//! Seeded random bytes against the codecs: no panic, the same messages in any split,
//! and encode∘decode is the identity. A failing seed is printed; add it as a plain test.

mod cbor;
mod http;
mod json;
mod multipart;
mod pictures;
mod websocket;
