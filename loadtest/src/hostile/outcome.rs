//! What an attack did to the others, and whether that is too much.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::attacks::{Attack, Found};
use crate::report::{Distribution, figures};
use crate::stats::Latency;

/// What heartbeats and /health of others may take while an attack goes on.
const HEARTBEAT_P99_MAX_MS: f64 = 5.0;
const HEALTH_P99_MAX_MS: f64 = 20.0;
/// What the server may hold on to afterwards: recent events of two cores, and what the allocator has not given back.
pub const MEMORY_SLACK_KIB: u64 = 24 << 10;

/// What an attack did to the others.
pub struct Outcome {
    pub heartbeat: Distribution,
    pub calm: Distribution,
    pub health: Latency,
    /// Requests for /health that had no answer.
    pub unhealthy: u64,
    pub closed: u64,
    pub resumes_refused: u64,
    pub broken: u64,
    pub errors: BTreeMap<String, u64>,
    pub anon_kib: [u64; 3],
    pub found: Found,
    pub died: bool,
}

fn p99_us(distribution: &Distribution) -> f64 {
    distribution.named("p99").unwrap_or_default()
}

impl Outcome {
    pub fn new() -> Outcome {
        Outcome {
            heartbeat: Distribution::default(),
            calm: Distribution::default(),
            health: Latency::new(),
            unhealthy: 0,
            closed: 0,
            resumes_refused: 0,
            broken: 0,
            errors: BTreeMap::new(),
            anon_kib: [0; 3],
            found: Vec::new(),
            died: false,
        }
    }

    /// What the others noticed; nothing when all was well.
    pub fn judge(&self) -> Vec<String> {
        let mut why = Vec::new();
        let mut check = |missed: bool, text: String| {
            if missed {
                why.push(text);
            }
        };
        let beat = p99_us(&self.heartbeat) / 1e3;
        let health = self.health.at(99.0) as f64 / 1e6;
        check(self.died, "the server has ended".into());
        check(self.heartbeat.count == 0, "no heartbeat was answered".into());
        check(beat > HEARTBEAT_P99_MAX_MS, format!("heartbeat p99 {beat:.1} ms"));
        check(health > HEALTH_P99_MAX_MS, format!("/health p99 {health:.1} ms"));
        check(self.unhealthy > 0, format!("{} without an answer from /health", self.unhealthy));
        check(self.closed > 0, format!("{} healthy sessions closed", self.closed));
        check(self.broken > 0, format!("{} promises broken", self.broken));
        check(self.resumes_refused > 0, format!("{} resumes refused", self.resumes_refused));
        let kept = self.anon_kib[2].saturating_sub(self.anon_kib[0]);
        check(kept > MEMORY_SLACK_KIB, format!("{} MiB kept", kept >> 10));
        for (what, value, max) in &self.found {
            check(value > max, format!("{what}: {value:.1}, above {max}"));
        }
        why
    }

    pub fn to_text(&self, attack: &Attack, why: &[String]) -> String {
        let mut out = String::new();
        let verdict = if why.is_empty() { "held".into() } else { format!("MISSED: {}", why.join("; ")) };
        let _ = writeln!(out, "{:<15} {}", attack.name, attack.about);
        let _ = writeln!(
            out,
            "    heartbeat p99 {} (calm: {}), /health p99 {}, sessions closed {}, resumes refused {}",
            figures::duration(p99_us(&self.heartbeat)),
            figures::duration(p99_us(&self.calm)),
            figures::duration(self.health.at(99.0) as f64 / 1e3),
            self.closed,
            self.resumes_refused
        );
        let [start, peak, end] = self.anon_kib.map(|kib| kib as f64 / 1024.0);
        let _ = writeln!(out, "    memory {start:.0} MiB, at most {peak:.0}, afterwards {end:.0}");
        for (what, value, _) in &self.found {
            let _ = writeln!(out, "    {what}: {value:.1}");
        }
        for (error, count) in &self.errors {
            let _ = writeln!(out, "    error of the crowd: {error} ({count})");
        }
        let _ = writeln!(out, "    {verdict}\n");
        out
    }
}
