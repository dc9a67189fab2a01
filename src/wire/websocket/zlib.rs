//! zlib, both ways: zlib-stream to the client (gateway.md §1.3), single zlib messages from it (§1.1).
