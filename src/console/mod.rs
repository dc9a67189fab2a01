//! The administrators' console: what its pages consist of, and how they are spelled in HTML.
//!
//! Owns: the tables of pages ([`list`]) and of what can be done on them ([`actions`]), templates, style and script.
//! A page is a client of the administrators' API like any other: it is put together from the answers of operations,
//! which its table names, and what is done on it is one of them. No rule of theirs is repeated here.
//! Invariant: nothing here reads a socket, the store or a clock. All text that is not of these files is escaped by the
//! templates; there is no script or style in a page, so none that somebody smuggles in has any effect.

pub mod actions;
pub mod assets;
pub mod dashboard;
pub mod forms;
pub mod list;
pub mod pages;
pub mod time;
pub mod view;

pub use actions::{Action, Input, Kind};
pub use pages::{Page, Section};
