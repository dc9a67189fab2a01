//! plexichat-loadtest: measures a running chat server from outside.
//!
//! Layers: main → coordinator, seed, scenarios → worker → engine, session → link → net, http, ws, gateway
//! (+ stats, schedule, shared, dataset, system, kernel).

mod args;
mod coordinator;
mod dataset;
mod engine;
mod gateway;
mod http;
mod kernel;
mod link;
mod net;
mod scenarios;
mod schedule;
mod seed;
mod session;
mod shared;
mod stats;
mod system;
mod worker;
mod ws;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Common, WorkerArgs};
use coordinator::Launch;
use scenarios::{chat, connect_storm, fanout, heartbeat, idle, requests, resume, resume_storm, slow_readers};
use stats::Results;
use worker::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Differs from run to run and fits a marker.
    let run = (system::now_ns() >> 10) as u32 ^ std::process::id() << 16;
    let outcome = match Cli::parse().command {
        Command::Seed(seed) => seed::run(&seed, run),
        Command::Worker(worker) => work(&worker),
        scenario => lead(&scenario, run, &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("plexichat-loadtest: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a scenario and reports it.
fn lead(scenario: &Command, run: u32, arguments: &[String]) -> Result<(), String> {
    let (name, common) = name_of(scenario);
    let data = dataset::Dataset::load(&common.dir)?;
    args::Target::parse(common.base.as_deref().unwrap_or(&data.base), common.allow_remote)?;
    let (sessions, connections) = size_of(scenario, &data)?;
    let memory = matches!(scenario, Command::Idle(_));
    let launch = Launch { common, run, sessions, connections, memory };
    let (results, problem) = match coordinator::run(&launch, arguments) {
        Err(problem) => (Results::default(), Some(problem)),
        Ok(mut results) => {
            let problem = conclude(scenario, &mut results);
            println!("{name}: {} users, {} servers", data.users.len(), data.servers.len());
            print!("{}", results.to_text());
            (results, problem)
        }
    };
    if let Some(path) = &common.json {
        fs::write(path, results.to_json(name, arguments, problem.as_deref()))
            .map_err(|e| format!("{}: {e}; choose a file that can be written.", path.display()))?;
    }
    let advice = coordinator::advice(&results).map(|a| format!("\n{a}")).unwrap_or_default();
    match problem {
        Some(problem) => Err(problem + &advice),
        None if advice.is_empty() => Ok(()),
        None => {
            eprintln!("plexichat-loadtest: some requests failed.{advice}");
            Ok(())
        }
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
        Command::Seed(_) | Command::Worker(_) => unreachable!("main handles these"),
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
        Command::Seed(_) | Command::Worker(_) => unreachable!("main handles these"),
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
        Command::Seed(_) | Command::Worker(_) => unreachable!("main handles these"),
    }
}

/// Does one process's share of a scenario; its results go to stdout.
fn work(worker: &WorkerArgs) -> Result<(), String> {
    let line = ["plexichat-loadtest".to_string()].into_iter().chain(worker.command.iter().cloned());
    let scenario = Cli::try_parse_from(line).map_err(|e| e.to_string())?.command;
    let (_, common) = name_of(&scenario);
    let data = dataset::Dataset::load(&common.dir)?;
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
        Command::Seed(_) | Command::Worker(_) => unreachable!("the first process starts scenarios only"),
    };
    print!("{}", results.to_lines());
    Ok(())
}
