//! What can be measured. Each scenario says how large it is (`size`), does a process's share (`work`),
//! and judges the whole (`conclude`).

pub mod chat;
pub mod fanout;
pub mod idle;
pub mod posts;
pub mod resume;

use crate::dataset::{Dataset, Server};
use crate::engine::Engine;
use crate::stats::Results;

/// The server that --server names.
fn server(data: &Dataset, index: usize) -> Result<&Server, String> {
    let count = data.servers.len();
    data.servers.get(index).ok_or_else(|| format!("--server {index}: only 0 to {} were seeded.", count - 1))
}

/// Counts a refused request under its status.
fn count_refusal(engine: &mut Engine, what: &str, status: u16) {
    engine.results.error(&format!("{what}: HTTP {status}"), 1);
}

/// A sentence when a scenario measured nothing at all.
fn nothing(results: &Results, counter: &str, sentence: &str) -> Option<String> {
    (results.counter(counter) == 0).then(|| sentence.to_string())
}
