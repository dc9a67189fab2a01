//! websocket fuzz
