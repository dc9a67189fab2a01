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
    /// How often it acted.
    pub acts: u64,
    /// Requests for /health that had no answer.
    pub unhealthy: u64,
    pub closed: u64,
    pub resumes_refused: u64,
    /// Why the crowd calls its own run a failure: broken promises, or too far behind.
    pub problem: Option<String>,
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
            acts: 0,
            unhealthy: 0,
            closed: 0,
            resumes_refused: 0,
            problem: None,
            errors: BTreeMap::new(),
            anon_kib: [0; 3],
            found: Vec::new(),
            died: false,
        }
    }

    /// What the others noticed; nothing when all was well.
    pub fn judge(&self, attack: &Attack) -> Vec<String> {
        let mut why = Vec::new();
        let mut check = |missed: bool, text: String| {
            if missed {
                why.push(text);
            }
        };
        let beat = p99_us(&self.heartbeat) / 1e3;
        let health = self.health.at(99.0) as f64 / 1e6;
        check(self.died, "the server has ended".into());
        check(self.acts == 0, format!("the attack did not take place: {} 0", attack.acts));
        check(self.heartbeat.count == 0, "no heartbeat was answered".into());
        check(beat > HEARTBEAT_P99_MAX_MS, format!("heartbeat p99 {beat:.1} ms"));
        check(self.health.count() == 0, "/health was not asked".into());
        check(health > HEALTH_P99_MAX_MS, format!("/health p99 {health:.1} ms"));
        check(self.unhealthy > 0, format!("{} without an answer from /health", self.unhealthy));
        check(self.closed > 0, format!("{} healthy sessions closed", self.closed));
        let unserved: u64 = self.errors.iter().filter(|(error, _)| is_unserved(error)).map(|(_, n)| n).sum();
        check(unserved > 0, format!("{unserved} requests of others without an answer or with HTTP 5xx"));
        check(self.problem.is_some(), self.problem.clone().unwrap_or_default());
        check(self.resumes_refused > 0, format!("{} resumes refused", self.resumes_refused));
        let kept = self.anon_kib[2].saturating_sub(self.anon_kib[0]);
        check(kept > MEMORY_SLACK_KIB, format!("{} MiB kept", kept >> 10));
        for (what, value, max) in &self.found {
            check(value.is_nan() || value > max, format!("{what}: {value:.1}, above {max}"));
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
        let _ = writeln!(out, "    {}: {}", attack.acts, figures::count(self.acts as f64));
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

/// Whether an error of the crowd means that somebody was not served, rather than refused for what he asked.
fn is_unserved(error: &str) -> bool {
    ["HTTP 5", "request lost", "no answer within", "connect: "].iter().any(|part| error.contains(part))
}

#[cfg(test)]
mod tests {
    use super::super::attacks::ATTACKS;
    use super::*;

    /// An attack that acted, and that nobody noticed.
    fn unnoticed() -> Outcome {
        let mut outcome = Outcome::new();
        outcome.health.record(1_000_000);
        outcome.heartbeat = Distribution::from(&outcome.health);
        outcome.acts = 1;
        outcome
    }

    #[test]
    fn whatever_is_missing_is_missed() {
        type Spoil = fn(&mut Outcome);
        let cases: [(Spoil, &str); 13] = [
            (|o| o.acts = 0, "did not take place"),
            (|o| o.heartbeat = Distribution::default(), "no heartbeat"),
            (|o| o.health = Latency::new(), "not asked"),
            (|o| o.health.record(30_000_000), "/health p99"),
            (|o| o.unhealthy = 1, "without an answer from /health"),
            (|o| o.closed = 1, "closed"),
            (|o| o.resumes_refused = 1, "resumes"),
            (|o| o.died = true, "has ended"),
            (|o| o.anon_kib = [0, 0, 30 << 10], "kept"),
            (|o| o.problem = Some("2 messages missing".into()), "missing"),
            (|o| o.found = vec![("figure", f64::INFINITY, 2.0)], "figure"),
            (|o| o.found = vec![("figure", f64::NAN, 2.0)], "figure"),
            (|o| o.errors = [("history: HTTP 503".into(), 3)].into(), "3 requests"),
        ];
        for attack in &ATTACKS {
            assert_eq!(unnoticed().judge(attack), Vec::<String>::new(), "{}", attack.name);
            assert_ne!(Outcome::new().judge(attack), Vec::<String>::new());
            for (spoil, want) in cases {
                let mut outcome = unnoticed();
                spoil(&mut outcome);
                let why = outcome.judge(attack);
                assert!(why.len() == 1 && why[0].contains(want), "{}: {want}: {why:?}", attack.name);
            }
        }
    }

    #[test]
    fn errors_that_mean_that_somebody_was_not_served() {
        for (error, want) in [
            ("post: HTTP 503", true),
            ("history: HTTP 500", true),
            ("request lost: connection closed", true),
            ("operation: no answer within 10 s", true),
            ("connect: connection refused", true),
            ("post: HTTP 429", false),
            ("reaction: HTTP 404", false),
        ] {
            assert_eq!(is_unserved(error), want, "{error}");
        }
    }
}
