//! Compressed messages, in and out. One state for all connections of a core: it is large, and of no use between two
//! messages.

use super::connection::{Busy, Connection};
use super::replay::{Entry, write_dispatch_text};
use crate::wire::websocket::{Data, Deflater, InflateError, Inflater, OpCode, insert_frame_header};

#[derive(Default)]
pub struct Compression {
    inflater: Inflater,
    /// Kept for its memory.
    inflated: Vec<u8>,
    deflater: Deflater,
    plain: Vec<u8>,
}

impl Compression {
    /// A message of at most `len_max` bytes, to be given back with [`Compression::put_inflated`].
    ///
    /// # Errors
    /// It is longer, or no stream.
    pub fn inflate(&mut self, bytes: &[u8], len_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflated = std::mem::take(&mut self.inflated);
        inflated.clear();
        match self.inflater.inflate_message(bytes, len_max, &mut inflated) {
            Ok(()) => Ok(inflated),
            Err(error) => {
                self.inflated = inflated;
                Err(error)
            }
        }
    }

    pub fn put_inflated(&mut self, inflated: Vec<u8>) {
        self.inflated = inflated;
    }

    /// Appends a text to what a connection has to send.
    pub fn push_text(&mut self, connection: &mut Connection, text: &[u8]) {
        let Busy { out, deflate, .. } = connection.busy();
        let at = out.len();
        self.deflater.write_frame(deflate, text, out);
        insert_frame_header(out, at, OpCode::Data(Data::Binary));
    }

    /// Appends the frame of a dispatch to `out`, in a connection's stream.
    pub fn write_dispatch(
        &mut self,
        connection: &mut Connection,
        out: &mut Vec<u8>,
        entry: &Entry,
        seq: u32,
    ) {
        self.plain.clear();
        write_dispatch_text(&mut self.plain, entry.name, seq, &entry.payload);
        let at = out.len();
        self.deflater.write_frame(&mut connection.busy().deflate, &self.plain, out);
        insert_frame_header(out, at, OpCode::Data(Data::Binary));
    }
}
