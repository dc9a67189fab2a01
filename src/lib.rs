//! plexichat: a chat server that speaks the Plexichat REST API and gateway, API level a.1.0-49.
//!
//! Folders are layers. Code may use what stands to its right, never to its left
//! (`tests/tidy/` reads the `use crate::` lines and fails otherwise):
//!
//! ```text
//! cli → net → docs → api, gateway → search → log → domain → store, wire → config, id, limits   (+ runtime, effect, observe, text)
//! ```

pub mod api;
pub mod cli;
pub mod config;
pub mod console;
pub mod docs;
pub mod domain;
pub mod effect;
pub mod gateway;
pub mod id;
pub mod limits;
pub mod log;
pub mod net;
pub mod observe;
pub mod runtime;
pub mod search;
pub mod store;
pub mod text;
pub mod wire;
