//! One non-blocking connection with what is unread and unsent.
//!
//! Invariant: `generation` grows whenever the connection ends, so that an event or a timer of an earlier
//! connection in the same place is recognised. An idle link owns no heap.

use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use crate::net;

#[derive(Default)]
pub struct Link {
    stream: Option<TcpStream>,
    pub generation: u32,
    /// Received, but not yet a whole response or frame.
    input: Vec<u8>,
    /// Not yet taken by the kernel.
    output: Vec<u8>,
    /// Why a write failed. The kernel says so once; a read afterwards only sees the end.
    broken: Option<io::ErrorKind>,
}

/// What one read gave.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// So many bytes; `more` says that the kernel may have further ones.
    Bytes {
        len: usize,
        more: bool,
    },
    Nothing,
    End,
    Failed(String),
}

impl Link {
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Takes a connecting stream, watched under `token`.
    pub fn open(&mut self, stream: TcpStream, poll: &net::Poll, token: u64) -> io::Result<()> {
        poll.add(stream.as_raw_fd(), token)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Ends the connection and gives back its stream, which closes when dropped.
    pub fn close(&mut self) -> Option<TcpStream> {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        self.input = Vec::new();
        self.output = Vec::new();
        self.broken = None;
        self.stream.take()
    }

    /// Appends to the output. A write error shows up at the next read.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.output);
        self.flush();
    }

    /// Sends what the kernel takes. On a socket that still connects it takes nothing.
    pub fn flush(&mut self) {
        let Some(stream) = &self.stream else { return };
        let mut sent = 0;
        while sent < self.output.len() {
            match (&*stream).write(&self.output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let kind = Some(e.kind()).filter(|kind| *kind != io::ErrorKind::WouldBlock);
                    // The first is the cause, later ones only say that the socket is dead.
                    self.broken = self.broken.or(kind);
                    break;
                }
            }
        }
        if sent == self.output.len() {
            self.output = Vec::new();
        } else {
            self.output.drain(..sent);
        }
    }

    /// Reads once into `buf`.
    pub fn receive(&mut self, buf: &mut [u8]) -> Received {
        let Some(stream) = &self.stream else { return Received::Nothing };
        loop {
            match (&*stream).read(buf) {
                Ok(0) => match self.broken {
                    Some(kind) => return Received::Failed(kind.to_string()),
                    None => return Received::End,
                },
                Ok(len) => return Received::Bytes { len, more: len == buf.len() },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Received::Failed(e.kind().to_string()),
            }
        }
    }

    /// What was left over, joined with `data`; `None` when nothing was, so that `data` can be used in place.
    pub fn join(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        if self.input.is_empty() {
            return None;
        }
        let mut joined = mem::take(&mut self.input);
        joined.extend_from_slice(data);
        Some(joined)
    }

    /// Keeps the rest of what [`Link::join`] gave.
    pub fn keep(&mut self, joined: Option<Vec<u8>>, data: &[u8], consumed: usize) {
        self.input = match joined {
            Some(whole) if consumed == 0 => whole,
            Some(whole) => whole[consumed..].to_vec(),
            None => data[consumed..].to_vec(),
        };
    }
}
