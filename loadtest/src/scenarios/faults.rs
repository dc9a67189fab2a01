//! Broken promises: what makes any run a failure, however well it was measured otherwise.
//!
//! Owns: their names among the errors, and the sentences about them.

use crate::args::ErrorsMax;
use crate::stats::Results;

const MISSING: &str = "messages missing";
const REPEATED: &str = "messages repeated";
const UNORDERED: &str = "messages out of order";
const ALTERED: &str = "messages altered";
const PHANTOMS: &str = "messages seen though refused";
const STRAYS: &str = "messages seen by sessions that are not members";
const LOST: &str = "resumes refused or sessions lost";
pub const STALLED: &str = "post that did not reach every session";
pub const REFUSED: &str = "resumes refused";
pub const WRONG_ANSWERS: &str = "answers with other content than asked for";

/// Errors that mean that a promise was broken.
const NAMES: [&str; 11] = [
    MISSING,
    REPEATED,
    UNORDERED,
    ALTERED,
    PHANTOMS,
    STRAYS,
    LOST,
    STALLED,
    REFUSED,
    WRONG_ANSWERS,
    "event numbers with a gap or repeat",
];

/// What sessions have found wrong with the messages they got, or did not get.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub missing: u64,
    pub repeated: u64,
    pub unordered: u64,
    pub altered: u64,
    pub phantoms: u64,
    pub strays: u64,
    pub lost: u64,
}

impl Faults {
    pub fn report(self, results: &mut Results) {
        for (name, n) in [
            (MISSING, self.missing),
            (REPEATED, self.repeated),
            (UNORDERED, self.unordered),
            (ALTERED, self.altered),
            (PHANTOMS, self.phantoms),
            (STRAYS, self.strays),
            (LOST, self.lost),
        ] {
            if n > 0 {
                results.error(name, n);
            }
        }
    }
}

/// How many faults there were.
pub fn count(results: &Results) -> u64 {
    NAMES.iter().filter_map(|name| results.errors.get(*name)).sum()
}

/// A sentence when the run has found a broken promise, of whatever scenario.
pub fn sentence(results: &Results) -> Option<String> {
    let found: Vec<String> = NAMES
        .iter()
        .filter_map(|name| results.errors.get(*name).map(|n| format!("{n} {name}")))
        .chain(
            Some(results.counter("sessions_dropped"))
                .filter(|n| *n > 0)
                .map(|n| format!("{n} sessions lost")),
        )
        .collect();
    (!found.is_empty()).then(|| format!("The server broke its promises: {}.", found.join(", ")))
}

/// A sentence when more of what was tried has failed than may.
pub fn too_many_errors(results: &Results, max: ErrorsMax) -> Option<String> {
    let errors = results.errors.values().sum::<u64>() - count(results);
    let tried = results.counter("requests_sent") + results.counter("sessions_wanted");
    let allowed = match max {
        ErrorsMax::Count(n) => n as f64,
        ErrorsMax::Share(share) => share * tried as f64,
    };
    let percent = 100.0 * errors as f64 / tried.max(1) as f64;
    (errors as f64 > allowed).then(|| {
        format!("{errors} errors in {tried} requests and sessions ({percent:.3} %) are more than --errors-max {max}.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_counts() {
        let mut results = Results::default();
        assert_eq!((count(&results), sentence(&results)), (0, None));
        NAMES.iter().for_each(|name| results.error(name, 2));
        results.error("something else", 1);
        assert_eq!(count(&results), 22);
        let text = sentence(&results).unwrap();
        assert!(NAMES.iter().all(|name| text.contains(&format!("2 {name}"))), "{text}");
        assert!(!text.contains("something else"));
        let mut dropped = Results::default();
        dropped.count("sessions_dropped", 3);
        assert!(sentence(&dropped).unwrap().contains("3 sessions lost"));
    }

    #[test]
    fn errors_have_a_limit() {
        let run = |errors: u64, max: &str| {
            let mut results = Results::default();
            results.count("requests_sent", 990);
            results.count("sessions_wanted", 10);
            results.error("HTTP 500", errors);
            results.error(MISSING, 5);
            too_many_errors(&results, max.parse().unwrap()).is_some()
        };
        for (errors, max, want) in [
            (10, "1%", false),
            (11, "1%", true),
            (1, "0", true),
            (0, "0", false),
            (7, "7", false),
            (8, "7", true),
        ] {
            assert_eq!(run(errors, max), want, "{errors} {max}");
        }
    }
}
