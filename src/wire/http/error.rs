//! What can be wrong with a request before any handler sees it, and the status each answers with.

/// After any of these the connection closes: where the next request begins is not known for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    RequestLine,
    ProxyProtocol,
    ProxyMissing,
    ProxyMalformed,
    HeaderSyntax,
    LineEnd,
    Host,
    ContentLength,
    TransferEncoding,
    LengthConflict,
    Target,
    Escape,
    Chunk,
    Handshake,
    PayloadTooLarge,
    TargetTooLong,
    Expectation,
    WebSocketVersion,
    HeadTooLarge,
    MethodUnknown,
    CodingUnknown,
    Version,
}

impl HttpError {
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// One sentence for the error envelope. Never holds bytes of the request.
    pub const fn message(self) -> &'static str {
        self.row().1
    }

    /// Headers the answer must carry because of its status (RFC 6455 §4.4, RFC 9110 §15.5.22).
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            HttpError::WebSocketVersion => {
                &[("sec-websocket-version", "13"), ("upgrade", "websocket"), ("connection", "upgrade")]
            }
            _ => &[],
        }
    }

    const fn row(self) -> (u16, &'static str) {
        match self {
            HttpError::RequestLine => (400, "Malformed request line"),
            HttpError::ProxyProtocol => (
                400,
                "The PROXY protocol is not taken from this address: name it in http.proxy_protocol_from, or turn it \
                 off in the proxy, which may send X-Forwarded-For",
            ),
            HttpError::ProxyMissing => (
                400,
                "From this address a header of the PROXY protocol, version 2, must come first: have the proxy send \
                 one, or take its address out of http.proxy_protocol_from",
            ),
            HttpError::ProxyMalformed => (400, "Malformed header of the PROXY protocol"),
            HttpError::HeaderSyntax => (400, "Malformed header"),
            HttpError::LineEnd => (400, "Lines of the head must end with CR LF"),
            HttpError::Host => (400, "Missing, repeated or invalid Host header"),
            HttpError::ContentLength => (400, "Invalid Content-Length header"),
            HttpError::TransferEncoding => (400, "Invalid Transfer-Encoding header"),
            HttpError::LengthConflict => (400, "Content-Length and Transfer-Encoding exclude each other"),
            HttpError::Target => (400, "Invalid request target"),
            HttpError::Escape => (400, "Invalid percent-encoding in the request target"),
            HttpError::Chunk => (400, "Malformed chunked body"),
            HttpError::Handshake => (400, "Invalid WebSocket handshake"),
            HttpError::PayloadTooLarge => (413, "Payload too large"),
            HttpError::TargetTooLong => (414, "Request target too long"),
            HttpError::Expectation => (417, "Unknown expectation"),
            HttpError::WebSocketVersion => (426, "WebSocket version 13 required"),
            HttpError::HeadTooLarge => (431, "Request header fields too large"),
            HttpError::MethodUnknown => (501, "Method not implemented"),
            HttpError::CodingUnknown => (501, "Transfer coding not implemented"),
            HttpError::Version => (505, "HTTP version not supported"),
        }
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HttpError {}
