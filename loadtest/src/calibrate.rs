//! `calibrate`: what a server on this machine needs for many servers with few posts, as `plexichat check --plan` asks.
//!
//! Owns: the shape of that load, and the line that goes into a plan.
//! Invariant: posts come one by one into servers in turn, so that sockets have gone cold when they are needed.

use std::fs;
use std::process::{Command, Stdio};

use crate::args::CalibrateArgs;
use crate::dataset::Dataset;
use crate::report::Report;
use crate::report::figures::count;
use crate::system;

pub fn run(args: &CalibrateArgs) -> Result<(), String> {
    let data = Dataset::load(&args.dir)?;
    let sessions = args.sessions.unwrap_or(data.users.len() as u32);
    let file = std::env::temp_dir().join(format!("plexichat-calibrate-{}.json", std::process::id()));
    // The load ends by itself then; its file is to go with it.
    system::watch_interrupts();
    let pids: Vec<String> = args.pid.iter().map(u32::to_string).collect();
    let status = Command::new("/proc/self/exe")
        .arg("chat")
        .arg(&args.dir)
        .args(["--mix", "post=1", "--zipf", "0", "--connections", "16", "--warmup", "3"])
        .args(["--rate", &args.rate.to_string(), "--seconds", &args.seconds.to_string()])
        .args(["--sessions", &sessions.to_string(), "--pid", &pids.join(",")])
        .args(["--base", args.base.as_deref().unwrap_or(&data.base)])
        .arg("--json")
        .arg(&file)
        .stdout(Stdio::null())
        .status();
    let report = Report::load(&file);
    let _ = fs::remove_file(&file);
    match status {
        Ok(status) if status.success() => {}
        other => return Err(format!("The load failed: {other:?}; see above.")),
    }
    println!("{}", line(&report?, sessions, args.seconds)?);
    Ok(())
}

/// What was found, and how to plan with it.
fn line(report: &Report, sessions: u32, seconds: u32) -> Result<String, String> {
    let counter = |name: &str| report.counters.get(name).copied().unwrap_or(0) as f64;
    let posts = counter("operations");
    let cores = report.gauges.get("server_cpu_cores").copied().unwrap_or(0.0);
    let members = (counter("deliveries") / posts.max(1.0)).round();
    if posts == 0.0 || members == 0.0 || cores <= 0.0 {
        return Err("Nothing was delivered, or the server used no CPU; see --pid and the seed.".into());
    }
    let rate = posts / f64::from(seconds);
    let measured = format!("measured={sessions}:{rate:.3}:{members}:{cores:.4}");
    Ok(format!(
        "{} sessions, {rate:.1} posts/s that reach {} each: {cores:.3} cores.\n\n\
         plexichat check --plan sessions=…,posts=…,members=…,{measured}",
        count(f64::from(sessions)),
        count(members)
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_plan_gets_what_was_measured() {
        let counters = BTreeMap::from([("operations".to_string(), 400), ("deliveries".to_string(), 400_100)]);
        let gauges = BTreeMap::from([("server_cpu_cores".to_string(), 0.21)]);
        let mut report = Report { counters, gauges, ..Report::default() };
        let text = line(&report, 15_000, 20).unwrap();
        assert!(text.contains("15,000 sessions, 20.0 posts/s that reach 1,000 each: 0.210 cores"), "{text}");
        assert!(text.ends_with("measured=15000:20.000:1000:0.2100"), "{text}");
        report.counters.clear();
        assert!(line(&report, 15_000, 20).unwrap_err().contains("--pid"));
    }
}
