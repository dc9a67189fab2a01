//! Reads the JSON of a report back.
//!
//! Invariant: a damaged file is refused with what is wrong in it; unknown keys are passed over, so that a later
//! version may add some.

use std::collections::BTreeMap;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use super::distribution::NAMED;
use super::{Distribution, Environment, Report, Series};

/// Changes when a key changes its meaning, not when one is added.
pub const SCHEMA: u64 = 1;

type Parsed<T> = Result<T, String>;

/// Reads the bytes of a file.
pub fn read(mut text: Vec<u8>) -> Parsed<Report> {
    let root = simd_json::to_owned_value(&mut text)
        .map_err(|e| format!("not JSON ({e}); give a file written with --json."))?;
    match root.get("schema").map(|schema| schema.as_u64()) {
        Some(Some(SCHEMA)) => {}
        Some(_) => {
            return Err(format!(
                "schema {}, and this version reads {SCHEMA}; use the version of the tool that wrote it.",
                root["schema"]
            ));
        }
        None => return Err("no \"schema\": not a result, or one of an older version; run again.".into()),
    }
    report(&root).map_err(|e| format!("{e}; the file is damaged."))
}

fn report(root: &OwnedValue) -> Parsed<Report> {
    let ok = root.get_bool("ok").ok_or("no \"ok\"")?;
    let problem = root.get_str("problem").map(String::from);
    Ok(Report {
        scenario: string(root, "scenario")?,
        problem: if ok { None } else { Some(problem.unwrap_or_else(|| "unknown".into())) },
        environment: environment(root)?,
        parameters: map(root, "parameters", |v| v.as_str().map(String::from))?,
        counters: map(root, "counters", |v| v.as_u64())?,
        gauges: map(root, "gauges", float)?,
        errors: map(root, "errors", |v| v.as_u64())?,
        latencies: map(root, "latencies_us", distribution)?,
        series: series(root.get("series").ok_or("no \"series\"")?)?,
    })
}

fn environment(root: &OwnedValue) -> Parsed<Environment> {
    let e = root.get("environment").ok_or("no \"environment\"")?;
    let process = |p: &OwnedValue| Some((p.get_u64("pid")?, p.get_str("name")?.to_string()));
    let processes = e.get_array("server_processes").ok_or("no \"server_processes\"")?;
    Ok(Environment {
        version: string(root, "version")?,
        started_at: string(e, "started_at")?,
        duration_s: e.get("duration_s").and_then(float).unwrap_or(0.0),
        command: string(e, "command")?,
        target: string(e, "target")?,
        kernel: string(e, "kernel")?,
        cpu_model: string(e, "cpu_model")?,
        cores: e.get_u64("cores").ok_or("no \"cores\"")?,
        memory_kib: e.get_u64("memory_kib").ok_or("no \"memory_kib\"")?,
        server_processes: processes
            .iter()
            .map(process)
            .collect::<Option<_>>()
            .ok_or("bad \"server_processes\"")?,
    })
}

fn distribution(value: &OwnedValue) -> Option<Distribution> {
    let us = |name: &str| value.get(name).and_then(float);
    let mut named = [0.0; NAMED.len()];
    for (slot, (name, _)) in named.iter_mut().zip(NAMED) {
        *slot = us(name)?;
    }
    Some(Distribution {
        count: value.get_u64("count")?,
        mean: us("mean")?,
        min: us("min")?,
        max: us("max")?,
        named,
        curve: pairs(value, "percentiles", float)?,
        buckets: pairs(value, "buckets", |n| n.as_u64())?,
    })
}

/// A list of `[number, x]`.
fn pairs<T>(
    value: &OwnedValue,
    name: &str,
    read: impl Fn(&OwnedValue) -> Option<T>,
) -> Option<Vec<(f64, T)>> {
    let pair = |pair: &OwnedValue| Some((float(pair.get_idx(0)?)?, read(pair.get_idx(1)?)?));
    value.get_array(name)?.iter().map(pair).collect()
}

fn series(value: &OwnedValue) -> Parsed<Series> {
    let column = |name: &str, value: &OwnedValue| {
        let numbers = value.as_array().and_then(|a| a.iter().map(float).collect::<Option<Vec<_>>>());
        numbers.ok_or_else(|| format!("series {name:?} is no list of numbers"))
    };
    let object = value.as_object().ok_or("\"series\" is no object")?;
    let mut series = Series {
        interval_s: value.get("interval_s").and_then(float).ok_or("no \"interval_s\"")?,
        load_start_s: value.get("load_start_s").and_then(float),
        t_s: column("t_s", value.get("t_s").ok_or("no \"t_s\"")?)?,
        columns: BTreeMap::new(),
    };
    for (name, value) in
        object.iter().filter(|(_, value)| value.is_array()).filter(|(name, _)| *name != "t_s")
    {
        let column = column(name, value)?;
        if column.len() != series.t_s.len() {
            return Err(format!("series {name:?} has {} points, and t_s {}", column.len(), series.t_s.len()));
        }
        series.columns.insert(name.to_string(), column);
    }
    Ok(series)
}

fn string(value: &OwnedValue, key: &str) -> Parsed<String> {
    value.get_str(key).map(String::from).ok_or_else(|| format!("no text {key:?}"))
}

fn float(value: &OwnedValue) -> Option<f64> {
    value.cast_f64().filter(|v| v.is_finite())
}

/// An object whose values all are of one kind. A figure that could not be computed is null and left out.
fn map<T>(
    root: &OwnedValue,
    key: &str,
    read: impl Fn(&OwnedValue) -> Option<T>,
) -> Parsed<BTreeMap<String, T>> {
    let object = root.get(key).and_then(|v| v.as_object()).ok_or_else(|| format!("no object {key:?}"))?;
    let wrong = |name: &String| format!("{key}: {name:?} has a value of the wrong kind");
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| Ok((name.clone(), read(value).ok_or_else(|| wrong(name))?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_was_written_can_be_read() {
        let mut failed = Report { problem: Some("a \"b\"".into()), series: Series::default(), ..sample() };
        failed.latencies.clear();
        for report in [sample(), failed] {
            let json = report.to_json();
            let again = read(json.clone().into_bytes()).unwrap_or_else(|e| panic!("{e}: {json}"));
            assert_eq!(again.to_json(), json, "nothing changes any more");
            // Buckets are rounded to a nanosecond on the way.
            let rounded = |report: &Report| Report { latencies: BTreeMap::new(), ..report.clone() };
            assert_eq!(rounded(&again), rounded(&report));
            for (name, d) in &report.latencies {
                assert_eq!((again.latencies[name].count, again.latencies[name].named), (d.count, d.named));
                assert_eq!(again.latencies[name].buckets.len(), d.buckets.len());
                assert_eq!(again.latencies[name].curve.len(), d.curve.len());
            }
        }
    }

    #[test]
    fn figures_that_could_not_be_computed_are_left_out() {
        let mut report = sample();
        report.gauges.insert("posts_per_s".into(), f64::NAN);
        assert_eq!(read(report.to_json().into_bytes()).unwrap().gauges, sample().gauges);
    }

    #[test]
    fn damage_is_named() {
        let check = |from: &str, to: &str, want: &str| {
            let json = sample().to_json();
            assert!(json.contains(from), "{from} in {json}");
            let error = read(json.replacen(from, to, 1).into_bytes()).unwrap_err();
            assert!(error.contains(want), "{from} → {to}: {error}");
        };
        check("\"schema\":1,", "", "older version");
        check("\"schema\":1,", "\"schema\":2,", "schema 2");
        check("\"schema\":1,", "\"schema\":\"1\",", "schema");
        check("\"scenario\"", "\"scene\"", "scenario");
        check("\"ok\":true", "\"ok\":1", "ok");
        check("\"posts\":3", "\"posts\":\"3\"", "posts");
        check("\"t_s\":[0.25,", "\"t_s\":[", "has 3 points, and t_s 2");
        check("\"p99\":", "\"p98\":", "delivery");
        check("\"answers_per_s\":[0,", "\"answers_per_s\":[{},", "answers_per_s");
        check("}", "", "JSON");
        for text in ["", "[]", "{}", "not json", "null", "{\"schema\":null}"] {
            assert!(read(text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }
}
