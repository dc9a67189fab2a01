//! Does this machine fit? Each finding has what is, what is wanted, what for, and the commands that mend it.
//!
//! Owns: which settings are looked at and how bad each is. Only what the server cannot run without is an error; what
//! costs reach or speed for everybody is a warning, what matters to some is a hint. `tuning/README.md` has the same
//! settings with what they were measured to do.
//!
//! Invariant: nothing is changed but a file that `disk` writes in the data folder and removes again, and no
//! machine, however odd its /proc and /sys, ends the check early.

mod cpu;
mod disk;
mod limits;
mod machine;
mod memory;
mod network;
pub mod outside;
mod plan;
mod sysctls;

use std::fmt::Write as _;

use machine::Machine;

pub use limits::{fit_connections, raise_open_files};
pub use plan::Plan;

use crate::config::Config;
use crate::runtime::cpu::available;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// Matters to some; read why first.
    Hint,
    /// Limits what the machine can carry, or how it behaves when something else fails.
    Warning,
    /// The server does not start.
    Error,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Hint => "hint",
            Verdict::Warning => "warning",
            Verdict::Error => "ERROR",
        }
    }
}

/// One line of `plexichat check`.
#[derive(Debug)]
pub struct Finding {
    pub verdict: Verdict,
    pub name: &'static str,
    pub current: String,
    pub wanted: String,
    /// What it is for; not shown when all is well, nor is what follows.
    pub why: &'static str,
    /// What to change, when it takes more than the commands.
    pub remedy: String,
    /// For a root shell, complete and in order; running them twice does no harm.
    pub commands: Vec<String>,
}

impl Finding {
    fn new(name: &'static str, verdict: Verdict, current: impl Into<String>) -> Finding {
        Finding {
            verdict,
            name,
            current: current.into(),
            wanted: String::new(),
            why: "",
            remedy: String::new(),
            commands: Vec::new(),
        }
    }

    fn wanted(self, wanted: impl Into<String>) -> Finding {
        Finding { wanted: wanted.into(), ..self }
    }

    fn why(self, why: &'static str) -> Finding {
        Finding { why, ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Finding {
        Finding { remedy: remedy.into(), ..self }
    }

    fn command(mut self, command: impl Into<String>) -> Finding {
        self.commands.push(command.into());
        self
    }
}

/// Below `error_below` an error, below `warn_below` a warning.
fn grade(value: u64, error_below: u64, warn_below: u64) -> Verdict {
    match value {
        value if value < error_below => Verdict::Error,
        value if value < warn_below => Verdict::Warning,
        _ => Verdict::Ok,
    }
}

/// All findings about this machine, those that can be errors first.
#[must_use]
pub fn run(config: &Config) -> Vec<Finding> {
    let cores = available().unwrap_or_else(|_| vec![0]);
    let machine = Machine::this();
    let core_count = if config.runtime.cores == 0 { cores.len() } else { config.runtime.cores as usize };
    let mut findings = limits::essential(&machine, config, core_count);
    findings.extend(disk::findings(&machine, &config.store));
    findings.extend(of_files(&machine, config, &cores));
    findings
}

/// What is read from files alone, so that a test can bring its own. `cores` are those the server may use.
fn of_files(machine: &Machine, config: &Config, cores: &[usize]) -> Vec<Finding> {
    let mut findings = sysctls::findings(machine, config);
    findings.extend(network::findings(machine, config, cores));
    findings.extend(cpu::findings(machine, &config.runtime, cores));
    findings.extend(memory::findings(machine, config));
    findings
}

/// What the server cannot start without: kernel, io_uring, open files, addresses.
///
/// # Errors
/// One sentence that says what is missing and what to do.
pub fn essentials(config: &Config) -> Result<(), String> {
    let findings = limits::to_start(&Machine::this(), config);
    match findings.iter().find(|finding| finding.verdict == Verdict::Error) {
        Some(finding) => Err(format!(
            "{} is {}, but {} is needed: {} (`plexichat check` shows everything)",
            finding.name,
            finding.current,
            finding.wanted,
            instructions(finding).join("; ")
        )),
        None => Ok(()),
    }
}

/// What to do, in words or commands.
fn instructions(finding: &Finding) -> Vec<String> {
    let remedy = Some(finding.remedy.clone()).filter(|remedy| !remedy.is_empty());
    remedy.into_iter().chain(finding.commands.iter().cloned()).collect()
}

/// The findings as a table with a sum at the end.
#[must_use]
pub fn table(findings: &[Finding]) -> String {
    format!("{}\n{}\n", rows(findings), sum(findings))
}

fn rows(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let Finding { verdict, name, current, wanted, why, .. } = finding;
        let line = format!("{:<8}{name:<35}{current:<30} ", verdict.word());
        let line = if wanted.is_empty() { line } else { format!("{line}wanted: {wanted}") };
        let _ = writeln!(out, "{}", line.trim_end());
        if *verdict != Verdict::Ok {
            let _ = writeln!(out, "        {why}");
            for instruction in instructions(finding) {
                let _ = writeln!(out, "        → {instruction}");
            }
        }
    }
    out
}

fn sum(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let hints = match count(Verdict::Hint) {
        0 => String::new(),
        hints => format!(" {hints} hint(s) matter to some."),
    };
    match (count(Verdict::Error), count(Verdict::Warning)) {
        (0, 0) => format!("This machine fits.{hints}"),
        (0, warnings) => {
            format!("This machine fits; {warnings} setting(s) limit what it can carry.{hints}")
        }
        (errors, _) => format!("{errors} thing(s) must be mended before the server can start."),
    }
}

/// The commands that mend what is an error or a warning, for `sh`, each with its reason. Hints and what takes a
/// person are comments. Nothing when all is well.
#[must_use]
pub fn commands(findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut lost = false;
    for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Ok) {
        let Finding { verdict, name, current, wanted, why, remedy, commands } = finding;
        let _ =
            writeln!(out, "\n# {}: {name} is {}, wanted: {}", verdict.word(), plain(current), plain(wanted));
        let _ = writeln!(out, "# {}", plain(why));
        if !remedy.is_empty() {
            let _ = writeln!(out, "# by hand: {}", plain(remedy));
        }
        let sign = if *verdict == Verdict::Hint { "# " } else { "" };
        for command in commands {
            lost |= command.starts_with("sysctl") || command.starts_with("echo");
            let _ = writeln!(out, "{sign}{command}");
        }
    }
    if out.is_empty() {
        return out;
    }
    let notes = if lost { LOST } else { "" };
    format!(
        "# What plexichat check would change here, for a root shell. Hints are comments: read, then decide.\n{notes}{out}"
    )
}

const LOST: &str = "\
# sysctl -w and echo last until the next start; tuning/99-plexichat.conf in /etc/sysctl.d/ keeps the former.\n";

/// Without what would end a comment.
fn plain(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::machine::fake;
    use super::*;
    use crate::config::Store;

    /// The finding of that name on a machine with these files.
    pub(super) fn find(findings: Vec<Finding>, name: &str) -> Finding {
        findings.into_iter().find(|finding| finding.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn findings_are_complete_on_this_machine_and_on_an_empty_one() {
        let config = Config {
            store: Store { path: "/nowhere/at/all".into(), ..Store::default() },
            ..Config::default()
        };
        let (_folder, empty) = fake(&[]);
        for findings in [run(&config), of_files(&empty, &config, &[0, 1])] {
            let text = table(&findings);
            for finding in &findings {
                assert!(!finding.current.is_empty(), "{finding:?}");
                assert!(text.contains(finding.name));
                if finding.verdict != Verdict::Ok {
                    assert!(!instructions(finding).is_empty() && !finding.why.is_empty(), "{finding:?}");
                    assert!(!finding.wanted.is_empty(), "{finding:?}");
                }
            }
            let mut names: Vec<_> = findings.iter().map(|finding| finding.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), findings.len(), "{names:?}");
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_warnings() {
        let (_folder, empty) = fake(&[]);
        let findings = of_files(&empty, &Config::default(), &[0, 1]);
        let loud: Vec<_> = findings.iter().filter(|finding| finding.verdict > Verdict::Hint).collect();
        assert!(loud.is_empty(), "{loud:?}");
    }

    fn finding(verdict: Verdict) -> Finding {
        let finding = Finding::new("the thing", verdict, "low\nrm -rf x").wanted("high").why("it breaks");
        finding.remedy("buy one").command("sysctl -w a=1")
    }

    #[test]
    fn tables() {
        let ok = table(&[finding(Verdict::Ok)]);
        assert!(ok.starts_with("ok      the thing"), "{ok}");
        assert!(ok.ends_with("\n\nThis machine fits.\n") && !ok.contains("buy one"), "{ok}");
        let mixed = table(&[finding(Verdict::Warning), finding(Verdict::Hint)]);
        let want = "This machine fits; 1 setting(s) limit what it can carry. 1 hint(s) matter to some.\n";
        assert!(mixed.ends_with(want), "{mixed}");
        assert!(mixed.contains("it breaks\n        → buy one\n        → sysctl -w a=1\n"), "{mixed}");
        let bad = table(&[finding(Verdict::Error)]);
        assert!(bad.contains("1 thing(s) must be mended") && bad.starts_with("ERROR "), "{bad}");
    }

    #[test]
    fn commands_are_for_a_shell() {
        assert_eq!(commands(&[finding(Verdict::Ok)]), "");
        let live = |verdict| {
            let text = commands(&[finding(verdict)]);
            let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(live(Verdict::Warning), ["sysctl -w a=1"]);
        assert_eq!(live(Verdict::Error), ["sysctl -w a=1"]);
        assert_eq!(live(Verdict::Hint), [""; 0]);
        let text = commands(&[finding(Verdict::Hint)]);
        assert!(text.contains("# hint: the thing is low rm -rf x, wanted: high\n# it breaks\n"), "{text}");
        assert!(text.contains("# by hand: buy one\n# sysctl -w a=1\n") && text.contains(LOST), "{text}");
    }

    #[test]
    fn grades() {
        let want = [Verdict::Error, Verdict::Warning, Verdict::Ok];
        assert_eq!([0, 10, 20].map(|value| grade(value, 5, 15)), want);
    }
}
