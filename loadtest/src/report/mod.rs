//! What a run found out, as a file, as text, as a page, and beside another run.
//!
//! Layers: text, html, compare → plots → svg → figures → json → environment, distribution, series.
//! Invariant: a page is drawn from what the file holds and nothing else, so that it can be drawn later and elsewhere.

pub mod compare;
mod distribution;
mod environment;
pub mod figures;
mod html;
mod json;
mod plots;
mod series;
mod svg;
mod text;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

pub use distribution::Distribution;
pub use environment::{Environment, SECRETS};
pub use series::{Recorder, Sample, Series};

/// Longest result file read: a hundred times what a run of many latencies writes.
const FILE_LEN_MAX: u64 = 64 << 20;

/// Everything known about a run. Names of figures end in their unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub scenario: String,
    /// Why the run failed.
    pub problem: Option<String>,
    pub environment: Environment,
    /// Options of the scenario as they were in effect, and the size of the run.
    pub parameters: BTreeMap<String, String>,
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, f64>,
    /// How often, by text.
    pub errors: BTreeMap<String, u64>,
    pub latencies: BTreeMap<String, Distribution>,
    pub series: Series,
}

impl Report {
    /// Reads a file that `--json` wrote.
    pub fn load(path: &Path) -> Result<Report, String> {
        let mut text = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut text))
            .map_err(|e| format!("{}: {e}; give a file written with --json.", path.display()))?;
        if text.len() as u64 > FILE_LEN_MAX {
            return Err(format!("{}: longer than 64 MiB; no run writes that.", path.display()));
        }
        json::read(text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The report as its file holds it, so that what is shown now is what will be shown later.
    #[must_use]
    pub fn stored(&self) -> Report {
        json::read(self.to_json().into_bytes()).expect("a report reads what it writes")
    }

    /// The scenario, and what was loaded if it was no Plexichat server.
    pub fn title(&self) -> String {
        match self.parameters.get("peer").filter(|peer| *peer != "plexichat") {
            Some(peer) => format!("{} (peer={peer})", self.scenario),
            None => self.scenario.clone(),
        }
    }

    /// The file for tools, described in the README.
    pub fn to_json(&self) -> String {
        write::json(self)
    }

    /// The summary for people.
    pub fn to_text(&self) -> String {
        text::summary(self)
    }

    /// The page for people.
    pub fn to_html(&self) -> String {
        html::page(self)
    }
}

/// Writes a file somebody asked for.
pub fn save(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}; choose a file that can be written.", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::distribution::tests::even;
    use super::*;

    /// A run with one of everything.
    pub fn sample() -> Report {
        let series = Series {
            interval_s: 0.25,
            load_start_s: Some(0.25),
            t_s: vec![0.25, 0.5, 0.75],
            columns: BTreeMap::from([
                ("answers_per_s".to_string(), vec![0.0, 10.5, 20.0]),
                ("deliveries_per_s".to_string(), vec![0.0, 1e5, 2e5]),
                ("server_cpu_cores".to_string(), vec![0.0, 0.5, 1.5]),
                ("server_anon_kib".to_string(), vec![1024.0, 2048.0, 4096.0]),
            ]),
        };
        Report {
            scenario: "fanout".into(),
            problem: None,
            environment: Environment {
                version: "0.1.0".into(),
                started_at: "2026-01-31T23:59:59Z".into(),
                duration_s: 0.75,
                command: "plexichat-loadtest fanout dir".into(),
                target: "http://127.0.0.1:8000".into(),
                kernel: "Linux 6.1".into(),
                cpu_model: "CPU".into(),
                cores: 2,
                memory_kib: 8 << 20,
                server_processes: vec![(12, "plexichat".into())],
            },
            parameters: BTreeMap::from([("in-flight".to_string(), "1".to_string())]),
            counters: BTreeMap::from([("posts".to_string(), 3)]),
            gauges: BTreeMap::from([
                ("deliveries_per_s".to_string(), 1500.5),
                ("server_cpu_s_per_million_deliveries".to_string(), 4.25),
            ]),
            errors: BTreeMap::from([("HTTP 500: \"oops\" <script>alert(1)</script>\u{1}".to_string(), 2)]),
            latencies: BTreeMap::from([("delivery".to_string(), even(1000))]),
            series,
        }
    }
}
