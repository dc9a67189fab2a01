//! How fast the server is for its clients, and what browsers refuse to load for a page. Anybody may tell.

use std::sync::LazyLock;

use super::csp;
use crate::api::body::Body;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{List, Needed, fields};
use crate::api::router::Router;
use crate::config::Config;
use crate::domain::contact::telemetry::{OTHER, TelemetryNote, Timing};
use crate::domain::{Command, Error, Refusal, Result};
use crate::id::UserId;
use crate::wire::json::Value;
use crate::wire::json::shape::shape;

const ENTRY_COUNT_MAX: usize = 100;
const ENDPOINT_CHARS_MAX: usize = 255;
const METHOD_CHARS_MAX: usize = 10;
const DAY_MS: u64 = 86_400_000;
/// From here on a status is an error.
const ERROR_STATUS: i128 = 400;

fields! {
    /// What a client has measured.
    pub TELEMETRY: TelemetrySubmission {
        /// Each with `endpoint` (of 255 characters), `method` (of 10), `response_time_ms` and `status_code`, a number or
        /// a word for what went wrong; perhaps `db_queries`, `db_time_ms` and `timestamp`. They count when they come.
        entries: Needed<List> = Needed(List(ENTRY_COUNT_MAX, "object")),
    }
}

shape! {
    /// Timings have been taken.
    pub TelemetryResponse(count: u64) {
        accepted: u64 = count,
        message: str = "Thank you.",
    }
}

pub fn retention_ms(config: &Config) -> u64 {
    config.telemetry.retention_days * DAY_MS
}

pub fn response_times(ctx: &mut Ctx<'_>) -> Result<Step> {
    if !ctx.state.config.telemetry.enabled {
        return Err(Refusal::TelemetryOff.into());
    }
    let body = ctx.body()?;
    let name = TELEMETRY.entries.name;
    if body.value(name).is_none() {
        return Err(Error::invalid(name, "this field is required"));
    }
    let entries = body.list(name, ENTRY_COUNT_MAX)?;
    let (count, prefix) = (entries.len() as u64, &ctx.state.config.api.api_prefix);
    let mut timings: Vec<Timing> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let read = read_entry(entry, prefix)
            .map_err(|(field, problem)| Error::invalid(&format!("entries[{index}]{field}"), problem))?;
        let known = timings.iter().position(|timing| timing.operation == read.operation);
        let known = known.unwrap_or_else(|| {
            timings.push(Timing::new(read.operation));
            timings.len() - 1
        });
        timings[known].add(read.time_us, read.is_error, read.queries);
    }
    if timings.is_empty() {
        return ctx.json(|out| TelemetryResponse::write(out, 0));
    }
    let note = TelemetryNote { timings, retention_ms: retention_ms(&ctx.state.config) };
    ctx.submit_as(UserId(0), note, move |ctx, ()| ctx.json(|out| TelemetryResponse::write(out, count)))
}

struct Entry {
    operation: String,
    time_us: u64,
    is_error: bool,
    queries: (u64, u64),
}

/// The field of an entry that is wrong, and why.
type Wrong = (&'static str, &'static str);

fn read_entry(entry: &Value<'_>, prefix: &str) -> std::result::Result<Entry, Wrong> {
    if entry.as_object().is_none() {
        return Err(("", "must be an object"));
    }
    let body = Body::of(entry);
    let text = |field: &'static str, name: &str, chars_max: usize, problem: &'static str| {
        let text = body.value(name).and_then(Value::as_str);
        text.filter(|text| text.chars().count() <= chars_max).ok_or((field, problem))
    };
    let endpoint =
        text(".endpoint", "endpoint", ENDPOINT_CHARS_MAX, "must be a string of at most 255 characters")?;
    let method = text(".method", "method", METHOD_CHARS_MAX, "must be a string of at most 10 characters")?;
    let time_us = body.value("response_time_ms").and_then(micros);
    let is_error = match body.value("status_code") {
        Some(Value::Str(word)) => word.trim().parse().map_or(true, |status: i128| status >= ERROR_STATUS),
        Some(value) => {
            value.as_int().ok_or((".status_code", "must be an integer or a string"))? >= ERROR_STATUS
        }
        None => return Err((".status_code", "this field is required")),
    };
    let query_count = match body.value("db_queries") {
        None => 0,
        Some(value) => value
            .as_int()
            .and_then(|count| u32::try_from(count).ok())
            .ok_or((".db_queries", "must be an integer, 0 or more"))?,
    };
    let query_us = match body.value("db_time_ms") {
        None => 0,
        Some(value) => micros(value).ok_or((".db_time_ms", "must be a number, 0 or more"))?,
    };
    if body.value("timestamp").is_some_and(|value| value.as_int().is_none()) {
        return Err((".timestamp", "must be an integer"));
    }
    Ok(Entry {
        operation: operation(method, endpoint, prefix),
        time_us: time_us.ok_or((".response_time_ms", "must be a number, 0 or more"))?,
        is_error,
        queries: (query_count.into(), query_us),
    })
}

/// Milliseconds as microseconds; `None` when it is no number, or below zero.
fn micros(value: &Value<'_>) -> Option<u64> {
    let ms = match value {
        Value::Int(ms) => *ms as f64,
        Value::Float(ms) => *ms,
        Value::Long(text) => text.parse().ok()?,
        _ => return None,
    };
    // Beyond what a number holds counts as the most there is.
    (ms >= 0.0).then_some((ms * 1_000.0) as u64)
}

/// What an operation is called in figures: as the table of routes has it, whatever ids a client has sent.
pub fn operation(method: &str, endpoint: &str, prefix: &str) -> String {
    static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new("", "/admin"));
    let after_host =
        endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let path = after_host.strip_prefix(prefix).unwrap_or(after_host);
    let is_sound = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    let method = method.to_ascii_uppercase();
    let is_word = method.bytes().all(|byte| byte.is_ascii_uppercase());
    // What stands for an id is spelled in braces by some.
    let found = (is_sound && is_word).then(|| ROUTER.row(&method, &path.replace(['{', '}'], "_"))).flatten();
    found.map_or(OTHER.to_string(), |route| format!("{} {}", route.method.as_str(), route.path))
}

pub async fn csp_report(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.response.status = 204;
    // A browser has nobody to tell that its report is none, or comes too late.
    let Ok(Some(mut report)) = ctx.piece().await else { return Ok(Step::Done) };
    // What is longer than a piece is no report; it is read all the same, so that the connection goes on.
    let mut is_whole = true;
    while let Ok(Some(_)) = ctx.piece().await {
        is_whole = false;
    }
    if !is_whole {
        return Ok(Step::Done);
    }
    if !ctx.state.config.telemetry.enabled {
        return Ok(Step::Done);
    }
    for note in csp::read(&mut report, retention_ms(&ctx.state.config)) {
        let _ = ctx.desk.decide(Command::new(UserId(0), note.into())).await;
    }
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_table() {
        for (method, endpoint, want) in [
            ("GET", "/api/v1/users/@me", "GET /users/@me"),
            ("get", "/users/@me?x=1", "GET /users/@me"),
            ("GET", "https://chat.example/api/v1/servers/77", "GET /servers/{server_id}"),
            ("GET", "/api/v1/servers/{id}", "GET /servers/{server_id}"),
            ("HEAD", "/api/v1/servers/5", "GET /servers/{server_id}"),
            ("POST", "/api/v1/channels/7/messages", "POST /channels/{channel_id}/messages"),
            ("GET", "/x", OTHER),
            ("BREW", "/api/v1/users/@me", OTHER),
            ("GET", "", OTHER),
            ("GET", "/users/@me HTTP/1.1\r\nx: y", OTHER),
            ("GET /x", "/users/@me", OTHER),
            ("GET", "/n\u{e4}", OTHER),
        ] {
            assert_eq!(operation(method, endpoint, "/api/v1"), want, "{method} {endpoint}");
        }
    }
}
