//! Where and how a run was made, so that a figure can be judged and repeated.
//!
//! Invariant: no secret is kept: the value of an option that holds one is replaced before anything is stored.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Options whose value is nobody's business.
pub const SECRETS: [&str; 2] = ["bypass", "password"];
const HIDDEN: &str = "***";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// Of this tool.
    pub version: String,
    /// UTC, as in 2026-01-31T23:59:59Z.
    pub started_at: String,
    /// From the start of the processes to the end of the load.
    pub duration_s: f64,
    /// The program and its arguments, without secrets.
    pub command: String,
    /// Address of the server.
    pub target: String,
    /// Release of the kernel.
    pub kernel: String,
    pub cpu_model: String,
    /// That this process may use.
    pub cores: u64,
    pub memory_kib: u64,
    /// Ids and names of the processes given with --pid.
    pub server_processes: Vec<(u64, String)>,
}

impl Environment {
    /// Of this moment and machine.
    pub fn now(arguments: &[String], target: &str, pids: &[u32]) -> Environment {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = |pid: &u32| (u64::from(*pid), read(&format!("/proc/{pid}/comm")).trim().to_string());
        Environment {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: iso(since_1970),
            duration_s: 0.0,
            command: command(arguments),
            target: target.into(),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            cpu_model: cpu_model(&read("/proc/cpuinfo")),
            cores: thread::available_parallelism().map_or(0, |n| n.get() as u64),
            memory_kib: crate::system::memory_total_kib(),
            server_processes: pids.iter().map(name).collect(),
        }
    }
}

/// `model name` on x86; other machines name no model, or elsewhere.
fn cpu_model(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_string())
    };
    field("model name").or_else(|| field("Model")).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// Seconds since 1970 as a UTC date and time. The date is Howard Hinnant's civil_from_days.
fn iso(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The arguments with the values of secrets replaced.
fn without_secrets(arguments: &[String]) -> Vec<String> {
    let mut hide_next = false;
    let shown = arguments.iter().map(|argument| {
        if std::mem::take(&mut hide_next) {
            return HIDDEN.to_string();
        }
        let Some(option) = argument.strip_prefix("--") else { return argument.clone() };
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        if !SECRETS.contains(&name) {
            return argument.clone();
        }
        hide_next = value.is_none();
        value.map_or(argument.clone(), |_| format!("--{name}={HIDDEN}"))
    });
    shown.collect()
}

/// What a shell would run.
fn command(arguments: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    let quoted = without_secrets(arguments).into_iter().map(|argument| {
        match !argument.is_empty() && argument.chars().all(plain) {
            true => argument,
            false if argument.ends_with(HIDDEN) => argument,
            false => format!("'{}'", argument.replace('\'', r"'\''")),
        }
    });
    std::iter::once("plexichat-loadtest".to_string()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let check = |line: &str, want: &str| {
            let arguments: Vec<String> = line.split(' ').map(String::from).collect();
            assert_eq!(command(&arguments), format!("plexichat-loadtest {want}"));
        };
        check("posts dir --bypass s3cret --seconds 5", "posts dir --bypass *** --seconds 5");
        check("posts dir --bypass=s3cret", "posts dir --bypass=***");
        check("seed --password --bypass x", "seed --password *** x");
        check("gets d --paths /a?b=1,{x}", "gets d --paths '/a?b=1,{x}'");
        check("gets it's", r"gets 'it'\''s'");
        assert_eq!(without_secrets(&["--bypass".into()]), ["--bypass"]);
    }

    #[test]
    fn processors() {
        assert_eq!(
            cpu_model("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\n"),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(cpu_model("processor\t: 0\nModel\t\t: A Board\n"), "A Board");
        assert_eq!(cpu_model(""), std::env::consts::ARCH);
    }

    #[test]
    fn this_machine() {
        let pid = std::process::id();
        let here = Environment::now(&["idle".into()], "http://127.0.0.1:1", &[pid]);
        assert!(here.kernel.len() > 8 && here.cores > 0 && here.memory_kib > 0, "{here:?}");
        assert!(here.server_processes[0].0 == u64::from(pid) && !here.server_processes[0].1.is_empty());
        assert!(here.started_at.starts_with("20"));
    }
}
