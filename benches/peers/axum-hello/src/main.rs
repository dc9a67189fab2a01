//! One route on axum and one thread of tokio: what an HTTP read costs without authentication and storage.
//!
//! ```text
//! cd benches/peers/axum-hello && cargo build --release && PORT=9002 target/release/axum-hello
//! plexichat-loadtest gets --peer plain --base http://127.0.0.1:9002 --paths / --pid $AXUM
//! ```

use std::io;
use std::net::Ipv4Addr;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn main() -> io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(9002);
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, Router::new().route("/", get(hello))).await
}

async fn hello() -> Json<Value> {
    Json(json!({ "message": "hello" }))
}
