//! HTTP/1.1 for a server, without I/O: request heads, bodies, targets, answers, the WebSocket upgrade.
//!
//! Owns: where a request begins and ends in a connection's buffer, and how an answer is spelled.
//! Invariant: a request whose end two implementations could see in different places is refused, never
//! interpreted; a buffer that holds only part of a request gives `None`, and every split of the same bytes
//! gives the same result. No header value written here holds a line end.
//!
//! One request, from the side of the connection:
//!
//! ```
//! use plexichat::wire::http::{BodyDecoder, ResponseHead, ResponseOptions, header_slots, http_date, parse_head};
//!
//! let mut buf = b"PUT /a/b?x=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_vec();
//! let mut slots = header_slots();
//! let head = parse_head(&buf, &mut slots).unwrap().expect("read more until the head is whole");
//! let framing = head.framing; // Copy: outlives the borrow of `buf`
//! let mut body = BodyDecoder::new(framing, 1024).unwrap(); // 413 before a byte of the body is read
//! let end = body.decode(&mut buf).unwrap().expect("read more until the body is whole");
//! assert_eq!(&buf[framing.head_len..end], b"hi"); // contiguous, the head before it untouched
//!
//! let mut out = Vec::new();
//! let date = http_date(0); // formatted once per second, by whoever keeps the clock
//! let options = ResponseOptions::new(&date);
//! ResponseHead::new(&mut out, 200, options).body("application/json", b"{}");
//! buf.drain(..end); // what is left begins the next request
//! ```

mod body;
mod date;
mod error;
mod framing;
mod head;
mod proxy;
mod response;
mod target;
mod upgrade;

pub use body::BodyDecoder;
pub use date::{DATE_LEN, basic_date, http_date};
pub use error::HttpError;
pub use framing::{BodyKind, Framing, list_contains};
pub use head::{Head, HeaderSlots, Method, header_slots, parse_head, raw_header};
pub use proxy::{ProxyHeader, proxy_header};
pub use response::{CONTINUE, OpenBody, ResponseHead, ResponseOptions, reason};
pub use target::{Query, Target};
pub use upgrade::{accept_key, subprotocol, switching_protocols, websocket_key};
