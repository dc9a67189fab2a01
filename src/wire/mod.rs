//! HTTP/1.1, WebSocket, forms, JSON, what files are by how they begin, and what pictures, films and sounds say of
//! themselves, as bytes, without I/O.
//!
//! Owns: where one message ends and the next begins, and how values are spelled.
//! Invariant: nothing here reads a socket, a clock or a random number; the same
//! bytes in, in any split, give the same messages out.

pub mod file_type;
pub mod film;
pub mod http;
pub mod json;
pub mod multipart;
pub mod picture;
pub mod strip;
pub mod websocket;
