//! The commands that need the store open, and the requests that they become: `bot create` sends `bot_create`.
//!
//! Owns: their names, arguments and help. What comes of a request stands in `api/operator/`.

use clap::{Arg, ArgMatches};

use crate::wire::json::Object;

/// A group of commands.
struct Group {
    name: &'static str,
    about: &'static str,
    commands: &'static [Operation],
}

struct Operation {
    name: &'static str,
    about: &'static str,
    arguments: &'static [Argument],
}

/// An argument: a field of the request.
struct Argument {
    name: &'static str,
    placeholder: &'static str,
    help: &'static str,
    form: Form,
}

enum Form {
    /// By its place.
    Place,
    /// `--name TEXT`, needed.
    Needed,
    /// `--name TEXT`.
    Flag,
}

const fn place(name: &'static str, placeholder: &'static str, help: &'static str) -> Argument {
    Argument { name, placeholder, help, form: Form::Place }
}

const fn needed(name: &'static str, placeholder: &'static str, help: &'static str) -> Argument {
    Argument { name, placeholder, help, form: Form::Needed }
}

const fn flag(name: &'static str, placeholder: &'static str, help: &'static str) -> Argument {
    Argument { name, placeholder, help, form: Form::Flag }
}

const BOT: Argument = place("name", "BOT", "Its name or ID");

const GROUPS: &[Group] = &[BOTS, ACCESS_TOKENS, USERS, KEYS, ADMINS];

const ADMINS: Group = Group {
    name: "admin",
    about: "Those who run the server",
    commands: &[Operation {
        name: "reset-password",
        about: "Make another password and write it to admin_ui.credentials_path; sessions and one-time codes end",
        arguments: &[flag("name", "ADMIN", "Whose; without it that of admin")],
    }],
};

const KEYS: Group = Group {
    name: "keys",
    about: "The keys in server.keys, under which lies what people write",
    commands: &[
        Operation {
            name: "list",
            about: "List the keys, and what is still under an older one",
            arguments: &[],
        },
        Operation {
            name: "rotate",
            about: "Make a new key and use it from now on; what was written before follows in the background",
            arguments: &[],
        },
    ],
};

/// Commands of no group.
const SINGLE: &[Operation] = &[Operation {
    name: "reindex",
    about: "Make the index of messages anew, out of the store; a server that runs goes on meanwhile",
    arguments: &[],
}];

const ACCESS_TOKENS: Group = Group {
    name: "access-token",
    about: "Tokens that clients must show to be let in at all, as soon as there is one",
    commands: &[
        Operation {
            name: "create",
            about: "Make a token and print it, which is done only then; from the first on nobody gets in without one",
            arguments: &[
                flag("name", "NAME", "What it is for"),
                flag("days", "DAYS", "How long it is good; for ever without it"),
                flag(
                    "scope",
                    "ADDRESSES",
                    "Addresses and networks it may be used from, with commas between them",
                ),
                flag(
                    "mode",
                    "MODE",
                    "none, monitor or enforce: what becomes of other addresses; enforce when it has a scope",
                ),
            ],
        },
        Operation { name: "list", about: "List the tokens and how they are used", arguments: &[] },
        Operation {
            name: "revoke",
            about: "Make a token void; when it was the last one, everybody gets in again",
            arguments: &[place("id", "ID", "Its ID, as the list shows it")],
        },
    ],
};

const BOTS: Group = Group {
    name: "bot",
    about: "Accounts of programs: make, list and delete them, give them another token",
    commands: &[
        Operation {
            name: "create",
            about: "Make a bot and print its token, which is shown only then",
            arguments: &[
                place("name", "NAME", "What it is called; as a user name"),
                needed("owner", "USER", "Name or ID of who answers for it"),
            ],
        },
        Operation {
            name: "list",
            about: "List the bots, or those of one owner",
            arguments: &[flag("owner", "USER", "Name or ID of the owner")],
        },
        Operation {
            name: "token",
            about: "Print a new token of a bot; the one it had is void",
            arguments: &[BOT],
        },
        Operation { name: "delete", about: "Delete a bot; what it wrote stays", arguments: &[BOT] },
    ],
};

const USER: Argument = place("name", "USER", "Name or ID of the account");
const BADGE: Argument = place(
    "badge",
    "BADGE",
    "alpha_tester, early_supporter, staff, verified, bug_hunter, contributor, moderator or partner",
);

const USERS: Group = Group {
    name: "user",
    about: "Tier and badges of an account",
    commands: &[
        Operation { name: "show", about: "Print tier and badges of an account", arguments: &[USER] },
        Operation {
            name: "tier",
            about: "Give an account a tier; it is in force at once",
            arguments: &[
                USER,
                place("tier", "TIER", "standard, alpha, premium or staff"),
                flag("days", "DAYS", "For how long; then the tier is user_features.default_tier"),
            ],
        },
        Operation {
            name: "badge-add",
            about: "Give an account a badge; what it has keeps its order",
            arguments: &[USER, BADGE],
        },
        Operation { name: "badge-remove", about: "Take a badge from an account", arguments: &[USER, BADGE] },
    ],
};

const HELP: &str = "\
A server that runs on the data folder (--data) carries it out at once. While none runs the command opens the store \
itself. Run it as the server's user, or as root, with the same --config and flags as the server gets.";

pub fn commands() -> impl Iterator<Item = clap::Command> {
    let groups = GROUPS.iter().map(|group| {
        clap::Command::new(group.name)
            .about(group.about)
            .subcommand_required(true)
            .subcommands(group.commands.iter().map(command))
            .after_help(HELP)
    });
    groups.chain(SINGLE.iter().map(command))
}

fn command(operation: &Operation) -> clap::Command {
    let arguments = operation.arguments.iter().map(argument);
    clap::Command::new(operation.name).about(operation.about).args(arguments).after_help(HELP)
}

fn argument(argument: &Argument) -> Arg {
    let arg = Arg::new(argument.name).value_name(argument.placeholder).help(argument.help);
    match argument.form {
        Form::Place => arg.required(true),
        Form::Needed => arg.long(argument.name).required(true),
        Form::Flag => arg.long(argument.name),
    }
}

/// The request that a command is; `None` when it is none of these.
pub fn request(group: &str, matches: &ArgMatches) -> Option<String> {
    if let Some(operation) = SINGLE.iter().find(|known| known.name == group) {
        return Some(spelled(operation.name, operation, matches));
    }
    let group = GROUPS.iter().find(|known| known.name == group)?;
    let (name, matches) = matches.subcommand()?;
    let operation = group.commands.iter().find(|known| known.name == name)?;
    Some(spelled(&format!("{}_{name}", group.name), operation, matches))
}

fn spelled(name: &str, operation: &Operation, matches: &ArgMatches) -> String {
    let mut out = Vec::new();
    {
        let mut request = Object::new(&mut out);
        request.str("do", &name.replace('-', "_"));
        for argument in operation.arguments {
            request.some_str(argument.name, matches.get_one::<String>(argument.name).map(String::as_str));
        }
    }
    String::from_utf8(out).expect("JSON is UTF-8")
}
