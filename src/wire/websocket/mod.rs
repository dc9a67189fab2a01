//! WebSocket (RFC 6455, server side), without I/O.
//!
//! Owns: where one frame ends and the next begins, masking, assembly of fragments,
//! the rules whose breach closes a connection, and zlib-stream compression.
//! Invariant: a connection between two messages owns no buffer. Nothing is copied or
//! allocated for a frame that arrives whole; nothing is kept of a frame that is refused.
//!
//! No extension is negotiated here, so every reserved bit is an error.

mod decoder;
mod encoder;
mod frame;
mod mask;
mod zlib;

pub use decoder::{Decoder, Message};
pub use encoder::{
    HEADER_LEN_MAX, header_len, insert_frame_header, write_close, write_frame, write_frame_header,
    write_ping, write_pong,
};
pub use frame::CloseError;
pub use mask::apply_mask;
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
pub use zlib::{DeflateStream, Deflater, InflateError, Inflater, is_zlib};

/// Payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_LEN_MAX: usize = 125;
/// Reason in a close frame: the control payload without the two bytes of the code.
pub const CLOSE_REASON_LEN_MAX: usize = CONTROL_LEN_MAX - 2;
