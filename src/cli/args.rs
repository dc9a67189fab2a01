//! The commands and flags, and how they become a [`Command`] and config [`Inputs`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches};
use clap_complete::Shell;

use super::check::Plan;
use super::check::outside::Outside;
use super::{Command, operate};
use crate::config::{self, Inputs};
use crate::effect::image::Wanted;
use crate::effect::image::worker::Job;
use crate::effect::visit::Place;

/// What the command line said.
pub struct Parsed {
    pub command: Command,
    pub inputs: Inputs,
}

/// Flags that are another spelling of an option: (flag, placeholder, key, help).
const SHORTHANDS: [(&str, &str, &str, &str); 5] = [
    ("host", "ADDRESS", "server.host", "Address to listen on"),
    ("port", "PORT", "server.port", "Port of REST and gateway"),
    ("data", "FOLDER", "store.path", "Folder of the database"),
    ("cores", "COUNT", "runtime.cores", "Core threads; 0 = all available"),
    ("log-level", "LEVEL", "logging.level", "TRACE, DEBUG, INFO, WARN or ERROR"),
];

/// The same for options that are on or off.
const SWITCHES: [(&str, &str, &str); 1] =
    [("any-clock", "runtime.any_clock", "Start although the system clock looks wrong")];

pub(super) const EXAMPLES: &str = "\
Examples:
  plexichat                                   serve on 127.0.0.1:8000, data in ~/.plexichat/data
  plexichat --host 0.0.0.0 --port 80 --data /var/lib/plexichat
  plexichat --set rate_limiting.enabled=false --set store.sync=interval
  plexichat config --sample > config.toml     a file with every option, to be edited
  plexichat --config config.toml config       what would be in force, and who set it
  plexichat check                             does this machine fit, and what to do if not
  plexichat check --plan sessions=50000,posts=200,members=500
  plexichat check --url https://chat.example  do clients get through the proxy, and what to do if not
  plexichat backup /backups/monday            a copy of the running server's database
  plexichat bot create rosie --owner ada      a bot, and its token
  plexichat access-token create               let nobody in without it

Options come from the file, then the environment (PLEXICHAT_SERVER__PORT=9000), then flags; the last one wins.
`plexichat config --help` lists all of them.";

const PLAN_HELP: &str = "\
Say what cores, memory, bandwidth and files a load needs, and what of this machine is in the way. \
The costs it reckons with are printed; the keys are:";

const CHECK_HELP: &str = "\
A finding is one of
  ok       nothing to do
  hint     matters to some: read why
  warning  limits what the machine can carry, or what survives a power cut
  ERROR    the server does not start

The configuration in force counts: give the same --config and flags as the server gets, and run it as the server's user. Nothing is changed; a few pages are written to the data folder and removed, to time a sync.

`plexichat check --commands | sudo sh` does what errors and warnings need. Hints, and what takes more than a command, are comments in it. What each setting does, with measurements, is in tuning/README.md.

Exit code: 0 the server can start, warnings or not; 1 it cannot; 2 wrong command line or configuration.
--plan exits with 0 whatever it says.

--url looks at a server from outside instead, as a client does: name and certificate, whether everything reaches the server, a body of 5 MB, login, the address that the server sees, the gateway, a heartbeat, and a resume where the server says. Run it from another machine than the proxy's to see what clients see. The login session that it begins with --user it also ends. Exit code: 0 clients get through; 1 they do not; 2 wrong command line.";

const RESTORE_HELP: &str = "\
The copy is verified before anything is changed. The store that was there is kept beside the new one as \
data.mdb.before-restore (.2, .3 and so on; nothing is overwritten), and comes back with `plexichat restore` and the \
name of that file. Keys (server.keys) and pictures of the backup are added to those that are there, and none is taken \
away. Owner and mode of the data folder stay, and the new store gets the same owner.";

const VERIFY_HELP: &str = "\
Reads all of it and changes nothing; a store may be in use meanwhile. Exit code: 0 all is well; 1 it is damaged or \
cannot be read; 2 wrong command line or configuration.";

/// # Errors
/// Wrong usage, or a request for help or the version; the error prints itself.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let matches = command_line().try_get_matches_from(args)?;
    Ok(Parsed { command: command(&matches), inputs: inputs(&matches) })
}

pub(super) fn command_line() -> clap::Command {
    let folder = |help: &'static str| {
        Arg::new("folder")
            .value_name("FOLDER")
            .required(true)
            .value_parser(ValueParser::path_buf())
            .help(help)
    };
    let sample = Arg::new("sample")
        .long("sample")
        .action(ArgAction::SetTrue)
        .help("Print a file with every option at its default instead");
    let shell = Arg::new("shell").required(true).value_name("SHELL").value_parser(clap::value_parser!(Shell));
    let shell = shell.help("Which shell");
    let root = clap::Command::new("plexichat")
        .version(super::version())
        .about("A chat server: the Plexichat REST API and gateway in one binary")
        .after_help(EXAMPLES)
        .max_term_width(110)
        .subcommand(clap::Command::new("serve").about("Start the server (the same as no command)"))
        .subcommand(
            clap::Command::new("config")
                .about("Print the configuration in force and where each value comes from")
                .arg(sample)
                .after_long_help(format!("All options, with their defaults:\n\n{}", config::listing())),
        )
        .subcommand(check_command())
        .subcommand(
            clap::Command::new("backup")
                .about("Copy the database, also while the server runs, and verify the copy")
                .arg(folder("New or empty folder for the copy")),
        )
        .subcommand(
            clap::Command::new("restore")
                .about("Put a backup in place, while the server does not run")
                .arg(folder("Folder of the backup, or a data.mdb.before-restore"))
                .after_help(RESTORE_HELP),
        )
        .subcommand(
            clap::Command::new("verify")
                .about("Check every page and record of a store or backup, and list what is damaged")
                .arg(folder("Folder of the store or backup [default: store.path]").required(false))
                .after_help(VERIFY_HELP),
        )
        .subcommand(clap::Command::new("routes").about("List the REST routes"))
        .subcommand(
            clap::Command::new("openapi").about("Print the description of the API, as in /openapi.json"),
        )
        .subcommand(
            clap::Command::new("health").about("Say whether the server of this configuration answers"),
        )
        .subcommand(clap::Command::new("man").about("Print the manual page, for man(1)"))
        .subcommand(
            clap::Command::new("completions").about("Print what a shell completes commands by").arg(shell),
        )
        .subcommands(operate::commands())
        .subcommand(worker_command());
    // Those of operations have commands of their own below them.
    with_options(root).mut_subcommands(|command| with_options(command).mut_subcommands(with_options))
}

/// Not for people: the server starts itself as this.
fn worker_command() -> clap::Command {
    let side = Arg::new("side").required(true).value_parser(clap::value_parser!(u32));
    let image = clap::Command::new("image").arg(side);
    let sides = Arg::new("sides").required(true).value_delimiter(',').value_parser(clap::value_parser!(u32));
    let quality = Arg::new("quality").required(true).value_parser(clap::value_parser!(u8));
    let file = clap::Command::new("file").arg(sides).arg(quality);
    let (demuxer, program) = (Arg::new("demuxer").required(true), Arg::new("program").required(true));
    let frame = clap::Command::new("frame").arg(demuxer).arg(program);
    clap::Command::new("worker").hide(true).subcommand_required(true).subcommands([image, file, frame])
}

fn check_command() -> clap::Command {
    let commands = Arg::new("commands")
        .long("commands")
        .action(ArgAction::SetTrue)
        .help("Print only the commands that mend it, for a root shell; nothing when all is well");
    let plan = Arg::new("plan")
        .long("plan")
        .value_name("KEY=NUMBER,…")
        .value_parser(Plan::parse)
        .conflicts_with("commands")
        .help("Say what cores, memory, bandwidth and files a load needs, and what of this machine is in the way")
        .long_help(format!("{PLAN_HELP}\n\n  {}", Plan::help().replace("; ", "\n  ")));
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .value_parser(|text: &str| Place::parse(text).ok_or("expected https://chat.example[:PORT]"))
        .conflicts_with_all(["commands", "plan"])
        .help(
            "Instead go the way of a client, through the proxy at that address, and say what is wrong there",
        );
    let user = Arg::new("user")
        .long("user")
        .value_name("NAME")
        .requires("url")
        .help("For --url: log in as that account; its password is the first line of standard input");
    let hold = Arg::new("hold")
        .long("hold")
        .value_name("SECONDS")
        .value_parser(clap::value_parser!(u32).range(0..=86_400))
        .requires("url")
        .help("For --url: keep the gateway connection that long, with nothing but heartbeats");
    clap::Command::new("check")
        .about("Say whether this machine fits, and what to change")
        .arg(commands)
        .arg(plan)
        .args([url, user, hold])
        .after_long_help(CHECK_HELP)
}

/// The flags of every command. Not clap's global ones, because of which `--set a serve --set b` would lose `a`.
fn with_options(command: clap::Command) -> clap::Command {
    let file = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .help("Config file [default: ~/.plexichat/config.toml, if it exists]");
    let set = Arg::new("set")
        .long("set")
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .value_parser(key_and_value)
        .help("Set any option; may be repeated");
    let shorthands = SHORTHANDS
        .map(|(flag, placeholder, _, help)| Arg::new(flag).long(flag).value_name(placeholder).help(help));
    let switches =
        SWITCHES.map(|(flag, _, help)| Arg::new(flag).long(flag).action(ArgAction::SetTrue).help(help));
    command.arg(file).arg(set).args(shorthands).args(switches)
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as server.port=9000")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn command(matches: &ArgMatches) -> Command {
    let folder = |matches: &ArgMatches| -> PathBuf {
        matches.get_one::<PathBuf>("folder").expect("the argument is required").clone()
    };
    match matches.subcommand() {
        Some(("config", matches)) => Command::Config { sample: matches.get_flag("sample") },
        Some(("check", matches)) => check(matches),
        Some(("backup", matches)) => Command::Backup { folder: folder(matches) },
        Some(("restore", matches)) => Command::Restore { folder: folder(matches) },
        Some(("verify", matches)) => {
            Command::Verify { folder: matches.get_one::<PathBuf>("folder").cloned() }
        }
        Some(("routes", _)) => Command::Routes,
        Some(("openapi", _)) => Command::OpenApi,
        Some(("health", _)) => Command::Health,
        Some(("man", _)) => Command::Man,
        Some(("completions", matches)) => {
            Command::Completions(*matches.get_one("shell").expect("the argument is required"))
        }
        Some(("worker", matches)) => {
            let (name, matches) = matches.subcommand().expect("one is required");
            Command::Worker(match name {
                "image" => convert_job(matches),
                "frame" => frame_job(matches),
                _ => examine_job(matches),
            })
        }
        Some((name, matches)) => match operate::request(name, matches) {
            Some(request) => Command::Operate { request },
            None => Command::Serve,
        },
        None => Command::Serve,
    }
}

fn check(matches: &ArgMatches) -> Command {
    if let Some(place) = matches.get_one::<Place>("url") {
        let user = matches.get_one::<String>("user").cloned();
        let hold = Duration::from_secs(matches.get_one::<u32>("hold").copied().unwrap_or(0).into());
        return Command::Outside(Outside { place: place.clone(), user, hold });
    }
    match matches.get_one::<Plan>("plan") {
        Some(plan) => Command::Plan(*plan),
        None => Command::Check { commands: matches.get_flag("commands") },
    }
}

fn convert_job(matches: &ArgMatches) -> Job {
    Job::Convert { side_max: *matches.get_one("side").expect("the argument is required") }
}

fn frame_job(matches: &ArgMatches) -> Job {
    let word = |name| matches.get_one::<String>(name).expect("the argument is required").clone();
    Job::Frame { demuxer: word("demuxer"), program: word("program") }
}

fn examine_job(matches: &ArgMatches) -> Job {
    let sides = matches.get_many("sides").expect("the argument is required").copied().collect();
    Job::Examine(Wanted { sides, quality: *matches.get_one("quality").expect("the argument is required") })
}

/// Flags before the command, then those after it; all `--set` first, so that the flag that names its option wins.
fn inputs(matches: &ArgMatches) -> Inputs {
    let levels: Vec<&ArgMatches> =
        std::iter::successors(Some(matches), |matches| Some(matches.subcommand()?.1)).collect();
    let mut flags = Vec::new();
    for (key, value) in levels.iter().filter_map(|level| level.get_many::<(String, String)>("set")).flatten()
    {
        flags.push(("--set".to_owned(), key.clone(), value.clone()));
    }
    for level in &levels {
        for (flag, _, key, _) in SHORTHANDS {
            if let Some(value) = level.get_one::<String>(flag) {
                flags.push((format!("--{flag}"), key.to_owned(), value.clone()));
            }
        }
        for (flag, key, _) in SWITCHES.into_iter().filter(|(flag, ..)| level.get_flag(flag)) {
            flags.push((format!("--{flag}"), key.to_owned(), "true".to_owned()));
        }
    }
    let file = levels.iter().filter_map(|level| level.get_one::<PathBuf>("config")).next_back();
    Inputs::of_process(file.cloned(), flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OptionRow;

    fn check(line: &str, want: &str) {
        let args = std::iter::once("plexichat").chain(line.split_whitespace()).map(OsString::from);
        let got = match parse(args) {
            Ok(parsed) => {
                let flags: Vec<String> = parsed
                    .inputs
                    .flags
                    .iter()
                    .map(|(flag, key, value)| format!("{flag} {key}={value}"))
                    .collect();
                format!("{:?} {:?} {flags:?}", parsed.command, parsed.inputs.file)
            }
            Err(error) => format!("{:?}", error.kind()),
        };
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn clap_agrees_and_keys_exist() {
        command_line().debug_assert();
        assert!(SHORTHANDS.iter().all(|(_, _, key, _)| OptionRow::find(key).is_some()));
        assert!(SWITCHES.iter().all(|(_, key, _)| OptionRow::find(key).is_some()));
    }

    #[test]
    fn commands() {
        check("", "Serve None []");
        check("serve", "Serve None []");
        check("config", "Config { sample: false } None []");
        check("config --sample", "Config { sample: true } None []");
        check("check -c a.toml", "Check { commands: false } Some(\"a.toml\") []");
        check("check --commands", "Check { commands: true } None []");
        check("check --plan users=5", "ValueValidation");
        check("check --plan sessions=1,posts=1 --commands", "ArgumentConflict");
        let outside = "Outside(Outside { place: Place { is_tls: true, host: \"h\", port: 443 }, user: Some(\"ada\"), \
                       hold: 60s }) None []";
        check("check --url https://h --user ada --hold 60", outside);
        check("check --url h", "ValueValidation");
        check("check --user ada", "MissingRequiredArgument");
        check("check --url https://h --commands", "ArgumentConflict");
        check("backup /b", "Backup { folder: \"/b\" } None []");
        check("restore /b", "Restore { folder: \"/b\" } None []");
        check("verify", "Verify { folder: None } None []");
        check("verify /b --data /d", "Verify { folder: Some(\"/b\") } None [\"--data store.path=/d\"]");
        check("routes", "Routes None []");
        check("openapi --port 1", "OpenApi None [\"--port server.port=1\"]");
        check("health --port 1", "Health None [\"--port server.port=1\"]");
        check("completions bash", "Completions(Bash) None []");
        check("completions perl", "InvalidValue");
        check("worker image 512", "Worker(Convert { side_max: 512 }) None []");
        let examine = "Worker(Examine(Wanted { sides: [64, 128], quality: 85 })) None []";
        check("worker file 64,128 85", examine);
        let frame = "Worker(Frame { demuxer: \"mov\", program: \"/bin/x\" }) None []";
        check("worker frame mov /bin/x", frame);
        check("worker", "MissingSubcommand");
        let request = r#"{"do":"bot_create","name":"rosie","owner":"ada"}"#;
        let want = format!("Operate {{ request: {request:?} }} None [\"--data store.path=/d\"]");
        check("bot create rosie --owner ada --data /d", &want);
        check("bot --data /d create rosie --owner ada", &want);
        check("bot", "MissingSubcommand");
        check("reindex", "Operate { request: \"{\\\"do\\\":\\\"reindex\\\"}\" } None []");
        check("bot create rosie", "MissingRequiredArgument");
    }

    #[test]
    fn flags_stand_before_and_after_the_command() {
        let want = "Serve None [\"--host server.host=::\", \"--port server.port=1\"]";
        for line in ["--host :: --port 1", "serve --host :: --port 1", "--host :: serve --port 1"] {
            check(line, want);
        }
        check(
            "--set a=1 -c x.toml serve --set b=2 -c y.toml",
            "Serve Some(\"y.toml\") [\"--set a=1\", \"--set b=2\"]",
        );
        check(
            "--data /d --cores 2 --log-level debug --set a.b=c=d --set x.y=",
            "Serve None [\"--set a.b=c=d\", \"--set x.y=\", \"--data store.path=/d\", \"--cores runtime.cores=2\", \
             \"--log-level logging.level=debug\"]",
        );
    }

    #[test]
    fn switches_stand_for_true() {
        let want = "Serve None [\"--any-clock runtime.any_clock=true\"]";
        check("--any-clock", want);
        check("serve --any-clock", want);
    }

    #[test]
    fn wrong_usage() {
        check("sing", "InvalidSubcommand");
        check("--set x", "ValueValidation");
        check("--any-clock=true", "TooManyValues");
        check("backup", "MissingRequiredArgument");
        check("--prot 1", "UnknownArgument");
        check("--version", "DisplayVersion");
        check("--help", "DisplayHelp");
        check("help config", "DisplayHelp");
    }

    #[test]
    fn help_lists_every_option() {
        let mut root = command_line();
        let help = root.find_subcommand_mut("config").expect("exists").render_long_help().to_string();
        for row in config::OPTIONS {
            assert!(help.contains(row.help), "{}", row.key);
        }
    }
}
