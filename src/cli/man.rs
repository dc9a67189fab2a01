//! The manual page and what shells complete, made of the tables that the command line and the options are made of.

use clap::{Arg, Command};
use clap_complete::Shell;

use crate::config::{self, OPTIONS};

/// What a shell is told, so that it completes commands and flags.
#[must_use]
pub fn completions(mut command: Command, shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, "plexichat", &mut out);
    String::from_utf8(out).expect("names and help are UTF-8")
}

/// plexichat(1), for man(1). `examples` is what `--help` ends with.
#[must_use]
pub fn page(command: &Command, examples: &str) -> String {
    let mut page = Page(format!(
        ".\\\" Made by `plexichat man`.\n.TH PLEXICHAT 1 \"\" \"plexichat {}\" \"User Commands\"\n",
        env!("CARGO_PKG_VERSION")
    ));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.section("NAME");
    page.line(&format!("plexichat - {}", about.to_lowercase().trim_start_matches("a ")));
    page.section("SYNOPSIS");
    page.0 += ".B plexichat\n[\\fIOPTION\\fR]... [\\fICOMMAND\\fR] [\\fIARGUMENT\\fR]...\n";
    page.section("DESCRIPTION");
    page.line(&format!("{about}. Without a command it serves."));
    page.section("OPTIONS");
    page.line("Of every command, before or after its name:");
    command.get_arguments().filter(|arg| !arg.is_hide_set()).for_each(|arg| page.argument(arg));
    page.section("COMMANDS");
    commands(command, "", &mut page);
    page.section("CONFIGURATION");
    page.line(
        "Every option can stand in the file, in the environment and on the command line; the last one wins. The variable \
         of server.port is PLEXICHAT_SERVER__PORT.",
    );
    let defaults = config::Config::default();
    for row in OPTIONS {
        page.tag(&format!("\\fB{}\\fR = {}", escaped(row.key), escaped(&row.shown(&defaults))));
        page.line(&format!("{}. {}.", row.help, row.allowed()));
    }
    page.section("FILES");
    for (path, what) in [
        (
            "~/.plexichat/config.toml",
            "The configuration, unless --config names another; installed as a service, /etc/plexichat/config.toml.",
        ),
        (
            "~/.plexichat/data",
            "The database, unless store.path is another; installed as a service, /var/lib/plexichat.",
        ),
    ] {
        page.tag(&format!("\\fI{}\\fR", escaped(path)));
        page.line(what);
    }
    page.section("EXIT STATUS");
    page.line("0 done, 1 failed, 2 wrong command line or configuration.");
    page.section("EXAMPLES");
    page.0 += ".nf\n";
    for line in examples.lines().skip(1).take_while(|line| !line.is_empty()) {
        page.line(line.trim_start());
    }
    page.0 += ".fi\n";
    page.section("SEE ALSO");
    page.line("systemctl(1), journalctl(1); the pages that the server has at /docs.");
    page.0
}

/// Those below a command, each with what it takes besides what all take.
fn commands(of: &Command, before: &str, page: &mut Page) {
    for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{before}{}", command.get_name());
        let places = command.get_positionals().map(|arg| format!(" \\fI{}\\fR", escaped(&placeholder(arg))));
        let has_more = command.get_subcommands().next().is_some();
        if !has_more {
            page.tag(&format!("\\fB{}\\fR{}", escaped(&name), places.collect::<String>()));
            page.line(&sentence(command.get_about()));
            let own = command.get_arguments().filter(|arg| {
                !arg.is_hide_set() && of.get_arguments().all(|common| common.get_id() != arg.get_id())
            });
            page.0 += ".RS\n";
            own.for_each(|arg| page.argument(arg));
            page.0 += ".RE\n";
        }
        commands(command, &format!("{name} "), page);
    }
}

fn placeholder(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => arg.get_id().as_str().to_uppercase(),
    }
}

fn sentence(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.ends_with('.') { text } else { text + "." }
}

/// What has been written of a page.
struct Page(String);

impl Page {
    fn section(&mut self, name: &str) {
        self.0 += &format!(".SH {name}\n");
    }

    /// A text; a line of it must not look like a request.
    fn line(&mut self, text: &str) {
        for line in text.lines() {
            let line = escaped(line);
            if line.starts_with(['.', '\'']) {
                self.0 += "\\&";
            }
            self.0 += &line;
            self.0.push('\n');
        }
    }

    /// Begins a paragraph with what it is about, which is escaped already.
    fn tag(&mut self, text: &str) {
        self.0 += &format!(".TP\n{text}\n");
    }

    fn argument(&mut self, arg: &Arg) {
        let value = if arg.get_action().takes_values() {
            format!(" \\fI{}\\fR", escaped(&placeholder(arg)))
        } else {
            String::new()
        };
        let name = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!(
                "\\fB{}\\fR, \\fB{}\\fR{value}",
                escaped(&format!("-{short}")),
                escaped(&format!("--{long}"))
            ),
            (None, Some(long)) => format!("\\fB{}\\fR{value}", escaped(&format!("--{long}"))),
            _ => value.trim_start().to_owned(),
        };
        self.tag(&name);
        self.line(&sentence(arg.get_help()));
    }
}

/// As troff prints it: hyphens that can be copied, backslashes that are none of its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    #[test]
    fn the_page_has_every_command_and_option() {
        let page = page(&args::command_line(), args::EXAMPLES);
        for row in OPTIONS {
            assert!(page.contains(&format!("\\fB{}\\fR = ", escaped(row.key))), "{}", row.key);
        }
        for part in [
            "\\fBbackup\\fR \\fIFOLDER\\fR\n",
            "\\fBbot create\\fR",
            "\\fB\\-\\-url\\fR \\fIURL\\fR\n",
            ".SH EXAMPLES\n",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("\\fBworker "), "what is for nobody is not told");
        let is_request = |line: &str| line.starts_with(['.', '\'']);
        let known = [".\\\"", ".TH", ".SH", ".TP", ".B ", ".RS", ".RE", ".nf", ".fi"];
        for line in page.lines().filter(|line| is_request(line)) {
            assert!(known.iter().any(|known| line.starts_with(known)), "{line}");
        }
        assert!(page.lines().all(|line| !line.is_empty()), "empty lines are spaces to troff");
    }

    #[test]
    fn shells_know_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions(args::command_line(), shell);
            for command in args::command_line().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
