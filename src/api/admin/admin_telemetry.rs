//! How long requests take: as the server measures it, or as its clients say.
//!
//! Everything here is put together on a lane: a day of all operations is some thousands of rows.

use super::admin_audit::csv;
use crate::api::body::check_len;
use crate::api::contact::telemetry::operation;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Needed, Or, Text, Word, fields};
use crate::api::routes::{ROUTES, Route};
use crate::api::times::Times;
use crate::domain::Result;
use crate::domain::contact::telemetry::{Measured, OTHER, Timing};
use crate::domain::contact::times::{Past, Sum, TelemetryReset, bucket_of, history, resets, row_count, sums};
use crate::store::Read;
use crate::wire::http::Method;
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, write_u64};

/// As long as rows may be kept.
const HOURS: std::ops::RangeInclusive<u64> = 1..=365 * 24;
const HOURS_USUAL: u64 = 24;
const BUCKET_MINUTES: std::ops::RangeInclusive<u64> = 1..=24 * 60;
const MINUTE_MS: u64 = 60_000;
const ENDPOINT_CHARS: std::ops::RangeInclusive<usize> = 1..=255;
/// In the order of [`Measured`].
const SOURCES: &[&str] = &["client", "server"];
const FORMATS: &[&str] = &["json", "csv", "txt"];
/// Whatever has no route: no method tells it from others.
const ANY_METHOD: &str = "*";
const METHODS: &[Method] = &[Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

fields! {
    /// How fast which operations were in the last hours.
    pub STATS_QUERY: AdminTelemetryStatsQuery {
        hours: Or<Int, u64> = Or(Int(HOURS), HOURS_USUAL),
        /// As in the answer, or a path of it; without one, all.
        endpoint: Text = Text(Chars::Configured(|_| ENDPOINT_CHARS)),
        /// Who has measured; the server, unless it is said.
        source: Word = Word(SOURCES),
    }
}

fields! {
    /// How fast an operation was, by time.
    pub HISTORY_QUERY: AdminTelemetryHistoryQuery {
        endpoint: Needed<Text> = Needed(Text(Chars::Configured(|_| ENDPOINT_CHARS))),
        method: Text = Text(Chars::UpTo(10)),
        hours: Or<Int, u64> = Or(Int(HOURS), HOURS_USUAL),
        /// Of five minutes at least, and of an hour for what is older than two days.
        bucket_minutes: Or<Int, u64> = Or(Int(BUCKET_MINUTES), 5),
        source: Word = Word(SOURCES),
    }
}

fields! {
    /// What is written out, and how.
    pub EXPORT_QUERY: AdminTelemetryExportQuery {
        format: Word = Word(FORMATS),
        hours: Or<Int, u64> = Or(Int(HOURS), HOURS_USUAL),
        source: Word = Word(SOURCES),
    }
}

shape! {
    /// How fast an operation was.
    pub TelemetryEndpointStat(row: &Row) {
        /// Its path, as the table of routes has it; `other` for whatever has no route.
        endpoint: str = &row.endpoint,
        method: str = &row.method,
        count: u64 = row.sum.count(),
        avg_ms: (Slot::of(Kind::Number)) = decimal(row.sum.mean_us()),
        min_ms: (Slot::of(Kind::OrNull(&Kind::Number))) = decimal(row.sum.min_us()),
        max_ms: (Slot::of(Kind::OrNull(&Kind::Number))) = decimal(row.sum.max_us()),
        p50_ms: (Slot::of(Kind::OrNull(&Kind::Number))) = decimal(row.sum.quantile_us(500)),
        p95_ms: (Slot::of(Kind::Number)) = decimal(row.sum.quantile_us(950)),
        p99_ms: (Slot::of(Kind::OrNull(&Kind::Number))) = decimal(row.sum.quantile_us(990)),
        /// Which part of them was an error, 0 to 1.
        error_rate: (Slot::of(Kind::Number)) = decimal(row.error_per_mille()),
        /// Answers with a status of 400 or more, and requests that came to none.
        error_count: u64 = row.sum.error_count(),
        /// As clients were told of the server's work; the server counts none.
        avg_queries: (Slot::of(Kind::OrNull(&Kind::Number))) = opt_decimal(row.queries().map(|(count, _)| count)),
        avg_query_time_ms: (Slot::of(Kind::OrNull(&Kind::Number))) = opt_decimal(row.queries().map(|(_, us)| us)),
    }
}

shape! {
    /// How fast operations were.
    pub TelemetryStatsResponse(rows: &[Row], source: &str) {
        stats: (Slot::list(&Kind::Object(TelemetryEndpointStat::SHAPE))) = |out: &mut Vec<u8>| write_rows(out, rows),
        source: (Slot::word(SOURCES)) = source,
    }
}

shape! {
    /// How fast an operation was for some minutes.
    pub TelemetryHistoryBucket(begin_ms: u64, sum: &Sum) {
        /// When they begin.
        timestamp: time = begin_ms,
        avg_ms: (Slot::of(Kind::Number)) = decimal(sum.mean_us()),
        count: u64 = sum.count(),
        error_count: u64 = sum.error_count(),
    }
}

shape! {
    /// How fast an operation was, the oldest first; without the times in which nobody asked for it.
    pub TelemetryHistoryResponse(buckets: &[u8]) {
        history: (Slot::list(&Kind::Object(TelemetryHistoryBucket::SHAPE))) = |out: &mut Vec<u8>| out.extend_from_slice(buckets),
    }
}

shape! {
    /// All was forgotten.
    pub TelemetryResetResponse(count: u64) {
        success: bool = true,
        /// Figures of an operation in five minutes, or in an hour.
        deleted_count: u64 = count,
    }
}

shape! {
    /// How fast operations were, to be kept.
    pub TelemetryExport(rows: &[Row], now_ms: u64, hours: u64) {
        export_time: time = now_ms,
        hours: u64 = hours,
        stats: (Slot::list(&Kind::Object(TelemetryEndpointStat::SHAPE))) = |out: &mut Vec<u8>| write_rows(out, rows),
    }
}

/// An operation and its figures.
pub struct Row {
    pub endpoint: String,
    pub method: String,
    pub sum: Sum,
}

impl Row {
    fn error_per_mille(&self) -> u64 {
        self.sum.error_count() * 1_000 / self.sum.count().max(1)
    }

    /// For each request, in thousandths: how many queries, and how long they took in milliseconds.
    fn queries(&self) -> Option<(u64, u64)> {
        let each = |sum: u64| sum / self.sum.count().max(1);
        self.sum.queries().map(|(count, us)| (each(count.saturating_mul(1_000)), each(us)))
    }

    /// What tables have in their columns.
    fn cells(&self) -> [String; COLUMNS.len()] {
        let Row { endpoint, method, sum } = self;
        let optional = |value: Option<u64>| value.map(decimal_text).unwrap_or_default();
        [
            endpoint.clone(),
            method.clone(),
            sum.count().to_string(),
            decimal_text(sum.mean_us()),
            decimal_text(sum.min_us()),
            decimal_text(sum.max_us()),
            decimal_text(sum.quantile_us(500)),
            decimal_text(sum.quantile_us(950)),
            decimal_text(sum.quantile_us(990)),
            decimal_text(self.error_per_mille()),
            sum.error_count().to_string(),
            optional(self.queries().map(|(count, _)| count)),
            optional(self.queries().map(|(_, us)| us)),
        ]
    }
}

const COLUMNS: [&str; 13] = [
    "endpoint",
    "method",
    "count",
    "avg_ms",
    "min_ms",
    "max_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "error_rate",
    "error_count",
    "avg_queries",
    "avg_query_time_ms",
];

/// A number of thousandths: microseconds as milliseconds.
fn decimal_text(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

fn decimal(thousandths: u64) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        write_u64(out, thousandths / 1_000);
        if !thousandths.is_multiple_of(1_000) {
            out.extend_from_slice(format!(".{:03}", thousandths % 1_000).trim_end_matches('0').as_bytes());
        }
    }
}

fn opt_decimal(thousandths: Option<u64>) -> impl FnOnce(&mut Vec<u8>) {
    move |out| match thousandths {
        Some(thousandths) => decimal(thousandths)(out),
        None => out.extend_from_slice(b"null"),
    }
}

pub fn write_rows(out: &mut Vec<u8>, rows: &[Row]) {
    let mut list = Array::new(out);
    rows.iter().for_each(|row| TelemetryEndpointStat::write(list.item(), row));
}

/// What the cores have measured since they last handed it over, with when they began; what clients tell is in rows at
/// once.
fn pending(read: Read<'_>, times: &Times, measured: Measured) -> Vec<(u64, Timing)> {
    match measured {
        Measured::ByClients => Vec::new(),
        Measured::ByServer => times.pending(resets(read)),
    }
}

/// How fast each operation was that `wanted` takes, those that were asked for most often first.
pub fn rows(
    read: Read<'_>,
    times: &Times,
    (measured, past): (Measured, Past),
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Row> {
    let mut all = sums(read, measured, past);
    for (_, timing) in pending(read, times, measured) {
        all.entry(timing.operation.clone()).or_insert_with(|| Sum::new(measured)).add(&timing);
    }
    let named = all.into_iter().filter(|(name, _)| wanted(name)).map(|(name, sum)| {
        let (method, endpoint) = shown(&name, prefix);
        Row { endpoint, method, sum }
    });
    let mut rows: Vec<Row> = named.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sum.count()));
    rows
}

/// Method and path of an operation, as clients ask for it.
fn shown(name: &str, prefix: &str) -> (String, String) {
    let Some((method, path)) = name.split_once(' ') else { return (ANY_METHOD.into(), name.into()) };
    let is = |row: &&Route| row.path == path && row.method.as_str() == method;
    let is_root = ROUTES.iter().find(is).is_some_and(|row| row.root);
    (method.into(), if is_root { path.into() } else { format!("{prefix}{path}") })
}

fn source(ctx: &Ctx<'_>) -> Result<Measured> {
    let given = STATS_QUERY.source.query(ctx)?;
    Ok(if given == Some(SOURCES[Measured::ByClients as usize]) {
        Measured::ByClients
    } else {
        Measured::ByServer
    })
}

fn endpoint(given: String) -> Result<String> {
    check_len(STATS_QUERY.endpoint.name, &given, ENDPOINT_CHARS)?;
    Ok(given)
}

fn past(ctx: &Ctx<'_>, hours: u64) -> Past {
    Past { now_ms: ctx.now().unix_ms, hours }
}

/// Has rows put together off the core thread.
async fn collect(
    ctx: &Ctx<'_>,
    measured: Measured,
    past: Past,
    wanted: impl Fn(&str) -> bool + Send + 'static,
) -> Result<Vec<Row>> {
    let (times, prefix) = (ctx.state.times.clone(), ctx.state.config.api.api_prefix.clone());
    ctx.read_store(move |read| Ok(rows(read, &times, (measured, past), &prefix, wanted))).await
}

pub async fn admin_telemetry_stats(ctx: &mut Ctx<'_>) -> Result<Step> {
    let past = past(ctx, STATS_QUERY.hours.query(ctx)?);
    let measured = source(ctx)?;
    let given = STATS_QUERY.endpoint.query(ctx)?.map(endpoint).transpose()?;
    let prefix = ctx.state.config.api.api_prefix.clone();
    // Nobody says with which method.
    let names = given.map(|given| -> Vec<String> {
        let with = |method: &Method| named(method.as_str(), &given, &prefix);
        METHODS.iter().filter_map(with).collect()
    });
    let wanted =
        move |name: &str| names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
    let rows = collect(ctx, measured, past, wanted).await?;
    ctx.json(|out| TelemetryStatsResponse::write(out, &rows, SOURCES[measured as usize]))
}

/// What an operation is called; `None` when there is none.
fn named(method: &str, endpoint: &str, prefix: &str) -> Option<String> {
    let name = operation(method, endpoint, prefix);
    (name != OTHER || endpoint == OTHER).then_some(name)
}

pub async fn admin_telemetry_history(ctx: &mut Ctx<'_>) -> Result<Step> {
    let endpoint = endpoint(HISTORY_QUERY.endpoint.query(ctx)?)?;
    let method = HISTORY_QUERY.method.query(ctx)?;
    let past = past(ctx, HISTORY_QUERY.hours.query(ctx)?);
    let bucket_ms = HISTORY_QUERY.bucket_minutes.query(ctx)? * MINUTE_MS;
    let measured = source(ctx)?;
    let method = method.as_deref().unwrap_or(Method::Get.as_str());
    let name = named(method, &endpoint, &ctx.state.config.api.api_prefix);
    let times = ctx.state.times.clone();
    let look = move |read: Read<'_>| {
        let Some(name) = name else { return Ok(Vec::new()) };
        let mut buckets = history(read, (measured, &name), past, bucket_ms);
        let pending =
            pending(read, &times, measured).into_iter().filter(|(_, timing)| timing.operation == name);
        for (begun_ms, timing) in pending {
            let begin = bucket_of(begun_ms, past, bucket_ms);
            buckets.entry(begin).or_insert_with(|| Sum::new(measured)).add(&timing);
        }
        Ok(buckets.into_iter().collect())
    };
    let buckets: Vec<(u64, Sum)> = ctx.read_store(look).await?;
    let mut written = Vec::new();
    {
        let mut list = Array::new(&mut written);
        buckets.iter().for_each(|(begin, sum)| TelemetryHistoryBucket::write(list.item(), *begin, sum));
    }
    ctx.json(|out| TelemetryHistoryResponse::write(out, &written))
}

pub async fn admin_telemetry_reset(ctx: &mut Ctx<'_>) -> Result<Step> {
    let count = ctx.read_store(|read| Ok(row_count(read))).await?;
    ctx.act(TelemetryReset {}).await?;
    ctx.json(|out| TelemetryResetResponse::write(out, count))
}

pub async fn admin_telemetry_export(ctx: &mut Ctx<'_>) -> Result<Step> {
    let format = EXPORT_QUERY.format.query(ctx)?.unwrap_or(FORMATS[0]);
    let past = past(ctx, EXPORT_QUERY.hours.query(ctx)?);
    let measured = source(ctx)?;
    let rows = collect(ctx, measured, past, |_| true).await?;
    let (content_type, text) = match format {
        "csv" => ("text/csv; charset=utf-8", as_csv(&rows)),
        "txt" => ("text/plain; charset=utf-8", as_text(&rows)),
        _ => return ctx.json(|out| TelemetryExport::write(out, &rows, past.now_ms, past.hours)),
    };
    ctx.response.content_type = content_type;
    let name = format!("attachment; filename=\"telemetry.{format}\"");
    ctx.response.headers.push(("content-disposition", name));
    ctx.response.body = text.into_bytes();
    Ok(Step::Done)
}

fn as_csv(rows: &[Row]) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for row in rows {
        for (index, cell) in row.cells().iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            csv(&mut text, cell);
        }
        text += "\r\n";
    }
    text
}

/// Names to the left, numbers to the right.
fn as_text(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_string)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(endpoint: &str) -> Row {
        let mut sum = Sum::new(Measured::ByClients);
        let mut timing = Timing::new(String::new());
        timing.add(1_500, false, (3, 250));
        timing.add(2_000, true, (0, 0));
        sum.add(&timing);
        Row { endpoint: endpoint.into(), method: "GET".into(), sum }
    }

    #[test]
    fn tables_have_a_line_for_each_operation() {
        let csv = as_csv(&[row("/x")]);
        let mut lines = csv.split("\r\n");
        assert_eq!(lines.next().unwrap().split(',').count(), COLUMNS.len());
        let cells =
            r#""/x","GET","2","1.750","1.500","2.000","1.536","2.000","2.000","0.500","1","1.500","0.125""#;
        assert_eq!(lines.next(), Some(cells));
        assert!(as_csv(&[row("=1+1")]).contains("\"'=1+1\""));
        let text = as_text(&[row("/a-path-longer-than-its-title"), row("/x")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("/a-path-longer-than-its-title  GET"), "{text}");
        assert_eq!(lines[1].find("1.750"), lines[2].find("1.750"), "{text}");
    }

    #[test]
    fn numbers_have_no_more_places_than_they_need() {
        for (thousandths, want) in [(0, "0"), (1, "0.001"), (500, "0.5"), (12_000, "12"), (1_230, "1.23")] {
            let mut out = Vec::new();
            decimal(thousandths)(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn operations_are_shown_as_they_are_asked_for() {
        for (name, want) in [
            ("GET /users/@me", ("GET", "/api/v1/users/@me")),
            ("GET /docs", ("GET", "/docs")),
            ("GET /long/gone", ("GET", "/api/v1/long/gone")),
            (OTHER, (ANY_METHOD, OTHER)),
        ] {
            assert_eq!(shown(name, "/api/v1"), (want.0.to_string(), want.1.to_string()));
        }
        assert_eq!(named("GET", "/api/v1/servers/7", "/api/v1"), Some("GET /servers/{server_id}".into()));
        assert_eq!(named("GET", "/api/v1/nothing", "/api/v1"), None);
        assert_eq!(named("GET", OTHER, "/api/v1"), Some(OTHER.into()));
    }
}
