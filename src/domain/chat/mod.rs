//! What is said in channels: messages, reactions, pins, read marks, typing.

pub mod ledger;
pub mod message;
pub mod message_view;
pub mod pin;
pub mod reaction;
pub mod read_mark;
pub mod typing;
pub mod writing;
