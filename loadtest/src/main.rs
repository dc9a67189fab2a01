//! plexichat-loadtest: measures a running chat server from outside.
//!
//! Layers: main → hostile, calibrate, coordinator, seed, scenarios → worker → engine, session → link → net, http, ws, gateway
//! (+ marker, peer, stats, schedule, shared, dataset, system, kernel, usage); main → coordinator → progress → report.

mod args;
mod calibrate;
mod coordinator;
mod dataset;
mod engine;
mod gateway;
mod hostile;
mod http;
mod kernel;
mod link;
mod marker;
mod net;
mod peer;
mod progress;
mod report;
mod scenarios;
mod schedule;
mod seed;
mod session;
mod shared;
mod stats;
mod system;
mod usage;
mod worker;
mod ws;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Common, CompareArgs, ReportArgs, Task, WorkerArgs};
use coordinator::Launch;
use peer::Peer;
use report::compare::Comparison;
use report::{Environment, Report};
use scenarios::{
    chat, connect_storm, fanout, faults, heartbeat, idle, requests, resume, resume_storm, slow_readers,
};
use stats::Results;
use worker::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_when_panicking();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Differs from run to run and fits a marker.
    let run = (system::now_ns() >> 10) as u32 ^ std::process::id() << 16;
    let outcome = match Cli::parse().task {
        Task::Load(Command::Seed(seed)) => seed::run(&seed, run),
        Task::Load(Command::Calibrate(args)) => calibrate::run(&args),
        Task::Load(Command::Hostile(args)) => hostile::run(&args),
        Task::Load(Command::Worker(worker)) => work(&worker),
        Task::Load(scenario) => lead(&scenario, run, &arguments),
        Task::Report(args) => render(&args),
        Task::Compare(args) => return compare(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => complain(&problem, ExitCode::FAILURE),
    }
}

/// Nothing is measured by half a program: a panic on any thread ends it.
fn end_when_panicking() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

fn complain(problem: &str, code: ExitCode) -> ExitCode {
    eprintln!("plexichat-loadtest: {problem}");
    code
}

/// Runs a scenario and reports it.
fn lead(scenario: &Command, run: u32, arguments: &[String]) -> Result<(), String> {
    let (name, common) = name_of(scenario);
    check_peer(scenario, common)?;
    let data = worker::dataset(common)?;
    let base = common.base.as_deref().unwrap_or(&data.base);
    args::Target::parse(base, common.allow_remote)?;
    let (sessions, connections) = size_of(scenario, &data)?;
    let memory = matches!(scenario, Command::Idle(_));
    let launch = Launch { common, run, sessions, connections, seconds: seconds_of(scenario), memory };
    let environment = Environment::now(arguments, base, &common.pid);
    let mut outcome = coordinator::run(&launch, arguments);
    let concluded = conclude(scenario, &mut outcome.results);
    let found = faults::sentence(&outcome.results);
    let failed = || faults::too_many_errors(&outcome.results, common.errors_max);
    let judged =
        [found, concluded].into_iter().flatten().reduce(|found, concluded| format!("{found} {concluded}"));
    let problem = outcome.problem.take().or(judged).or_else(failed);
    let parameters = parameters(common.peer, arguments, sessions, outcome.processes, &data);
    let results = outcome.results;
    let report = Report {
        scenario: name.into(),
        problem,
        environment: Environment { duration_s: outcome.duration_s, ..environment },
        parameters,
        latencies: results.latencies.iter().map(|(name, latency)| (name.clone(), latency.into())).collect(),
        counters: results.counters,
        gauges: results.gauges,
        errors: results.errors,
        series: outcome.series,
    };
    publish(report.stored(), common)
}

/// A plain peer has no users, no history and no resume.
fn check_peer(scenario: &Command, common: &Common) -> Result<(), String> {
    let plain = matches!(
        scenario,
        Command::Idle(_) | Command::Fanout(_) | Command::ConnectStorm(_) | Command::Gets(_)
    );
    match common.peer {
        Peer::Plain if !plain => Err(
            "--peer plain is for fanout, idle, connect-storm and gets; the others need the Plexichat API."
                .into(),
        ),
        _ => Ok(()),
    }
}

/// The options in effect and the size of the run. What means nothing to a plain peer is left out.
fn parameters(
    peer: Peer,
    arguments: &[String],
    sessions: u32,
    processes: u32,
    data: &dataset::Dataset,
) -> BTreeMap<String, String> {
    let mut parameters = args::parameters(arguments);
    let mut set = |name: &str, value: String| parameters.insert(name.to_string(), value);
    set("sessions", sessions.to_string());
    set("processes", processes.to_string());
    match peer {
        Peer::Plexichat => {
            set("users", data.users.len().to_string());
            set("servers", data.servers.len().to_string());
        }
        Peer::Plain => {
            ["intents", "server"].iter().for_each(|name| drop(parameters.remove(*name)));
            if parameters.contains_key("content-len") {
                parameters.insert("content-len-of".into(), "whole message".into());
            }
        }
    }
    parameters
}

/// Prints a report and writes it where it was asked for.
fn publish(report: Report, common: &Common) -> Result<(), String> {
    print!("{}", report.to_text());
    if let Some(path) = &common.json {
        report::save(path, &report.to_json())?;
    }
    if let Some(path) = &common.html {
        report::save(path, &report.to_html())?;
    }
    let advice = coordinator::advice(&report.errors).map(|a| format!("\n{a}")).unwrap_or_default();
    match report.problem {
        Some(problem) => Err(problem + &advice),
        None if advice.is_empty() => Ok(()),
        None => {
            eprintln!("plexichat-loadtest: some requests failed.{advice}");
            Ok(())
        }
    }
}

/// Shows the results of an earlier run.
fn render(args: &ReportArgs) -> Result<(), String> {
    let report = Report::load(&args.file)?;
    match &args.html {
        Some(path) => report::save(path, &report.to_html()),
        None => {
            print!("{}", report.to_text());
            Ok(())
        }
    }
}

/// Puts two runs side by side. Exits with 1 for a regression, and with 2 when nothing could be compared.
fn compare(args: &CompareArgs) -> ExitCode {
    let side_by_side = || -> Result<Vec<String>, String> {
        let (a, b) = (Report::load(&args.a)?, Report::load(&args.b)?);
        let comparison = Comparison::new(&a, &b, &args.only)?;
        print!("{}", comparison.to_text());
        if let Some(path) = &args.html {
            report::save(path, &report::compare::page(&comparison, &a, &b))?;
        }
        Ok(args.tolerance.map_or(Vec::new(), |percent| comparison.regressions(percent / 100.0)))
    };
    match side_by_side() {
        Err(problem) => complain(&problem, ExitCode::from(2)),
        Ok(regressions) if regressions.is_empty() => ExitCode::SUCCESS,
        Ok(regressions) => {
            let percent = args.tolerance.unwrap_or_default();
            let list = regressions.join("\n  ");
            complain(&format!("B is worse than A by more than {percent} %:\n  {list}"), ExitCode::FAILURE)
        }
    }
}

/// Seconds of load after opening, where the scenario ends by time.
fn seconds_of(scenario: &Command) -> Option<u32> {
    match scenario {
        Command::Idle(a) => Some(a.hold),
        Command::Fanout(a) => a.seconds.or_else(|| a.posts.is_none().then_some(10)),
        Command::Chat(a) => Some(a.load.warmup + a.load.seconds),
        Command::Posts(a) => Some(a.load.warmup + a.load.seconds),
        Command::Gets(a) => Some(a.load.warmup + a.load.seconds),
        Command::Heartbeat(a) => Some(a.load.warmup + a.load.seconds),
        Command::Resume(a) => Some(a.seconds),
        Command::ConnectStorm(a) => a.churn.map(|_| a.seconds),
        _ => None,
    }
}

fn name_of(scenario: &Command) -> (&'static str, &Common) {
    match scenario {
        Command::Idle(a) => ("idle", &a.common),
        Command::Fanout(a) => ("fanout", &a.common),
        Command::Chat(a) => ("chat", &a.common),
        Command::ConnectStorm(a) => ("connect-storm", &a.common),
        Command::Posts(a) => ("posts", &a.common),
        Command::Gets(a) => ("gets", &a.common),
        Command::Resume(a) => ("resume", &a.common),
        Command::ResumeStorm(a) => ("resume-storm", &a.common),
        Command::SlowReaders(a) => ("slow-readers", &a.common),
        Command::Heartbeat(a) => ("heartbeat", &a.common),
        Command::Seed(_) | Command::Calibrate(_) | Command::Hostile(_) | Command::Worker(_) => {
            unreachable!("main handles these")
        }
    }
}

/// Sessions over all processes, and HTTP connections.
fn size_of(scenario: &Command, data: &dataset::Dataset) -> Result<(u32, u32), String> {
    match scenario {
        Command::Idle(a) => idle::size(a),
        Command::Fanout(a) => fanout::size(a, data),
        Command::Chat(a) => chat::size(a),
        Command::ConnectStorm(a) => connect_storm::size(a),
        Command::Posts(a) => requests::posts_size(a),
        Command::Gets(a) => requests::gets_size(a),
        Command::Resume(a) => resume::size(a, data),
        Command::ResumeStorm(a) => resume_storm::size(a, data),
        Command::SlowReaders(a) => slow_readers::size(a, data),
        Command::Heartbeat(a) => heartbeat::size(a, data),
        Command::Seed(_) | Command::Calibrate(_) | Command::Hostile(_) | Command::Worker(_) => {
            unreachable!("main handles these")
        }
    }
}

/// Adds derived figures; gives a sentence when the run failed.
fn conclude(scenario: &Command, results: &mut Results) -> Option<String> {
    match scenario {
        Command::Idle(_) => idle::conclude(results),
        Command::Fanout(_) => fanout::conclude(results),
        Command::Chat(_) => chat::conclude(results),
        Command::ConnectStorm(a) => connect_storm::conclude(a, results),
        Command::Posts(_) => requests::posts_conclude(results),
        Command::Gets(_) => requests::gets_conclude(results),
        Command::Resume(_) => resume::conclude(results),
        Command::ResumeStorm(_) => resume_storm::conclude(results),
        Command::SlowReaders(_) => slow_readers::conclude(results),
        Command::Heartbeat(a) => heartbeat::conclude(a, results),
        Command::Seed(_) | Command::Calibrate(_) | Command::Hostile(_) | Command::Worker(_) => {
            unreachable!("main handles these")
        }
    }
}

/// Does one process's share of a scenario; its results go to stdout.
fn work(worker: &WorkerArgs) -> Result<(), String> {
    let line = ["plexichat-loadtest".to_string()].into_iter().chain(worker.command.iter().cloned());
    let Task::Load(scenario) = Cli::try_parse_from(line).map_err(|e| e.to_string())?.task else {
        return Err("the first process starts scenarios only".into());
    };
    let (_, common) = name_of(&scenario);
    let data = worker::dataset(common)?;
    let (sessions, connections) = size_of(&scenario, &data)?;
    drop(data);
    let (context, engine) = Context::new(worker, common, sessions + connections)?;
    let results = match &scenario {
        Command::Idle(a) => idle::work(a, context, engine),
        Command::Fanout(a) => fanout::work(a, context, engine),
        Command::Chat(a) => chat::work(a, context, engine),
        Command::ConnectStorm(a) => connect_storm::work(a, context, engine),
        Command::Posts(a) => requests::posts_work(a, context, engine),
        Command::Gets(a) => requests::gets_work(a, context, engine),
        Command::Resume(a) => resume::work(a, context, engine),
        Command::ResumeStorm(a) => resume_storm::work(a, context, engine),
        Command::SlowReaders(a) => slow_readers::work(a, context, engine),
        Command::Heartbeat(a) => heartbeat::work(a, context, engine),
        Command::Seed(_) | Command::Calibrate(_) | Command::Hostile(_) | Command::Worker(_) => {
            unreachable!("the first process starts scenarios only")
        }
    };
    print!("{}", results.to_lines());
    Ok(())
}
