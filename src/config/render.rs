//! The table as text: for `--help`, as a sample file, and the values in force.

use std::fmt::Write as _;

use super::load::{Loaded, environment_name};
use super::options::{Config, OPTIONS};

/// Every option with type, bounds, default and help: three lines each, grouped by section.
#[must_use]
pub fn listing() -> String {
    let defaults = Config::default();
    let mut out = String::new();
    let mut section = "";
    for row in OPTIONS {
        if row.section() != section {
            section = row.section();
            let _ = writeln!(out, "{}[{section}]", if out.is_empty() { "" } else { "\n" });
        }
        let _ = writeln!(out, "{} = {}", row.name(), row.shown(&defaults));
        let _ = writeln!(out, "    {}", row.help);
        let _ = writeln!(out, "    {}", row.allowed());
    }
    out
}

/// A file with every option at its default, commented out, ready to be edited.
#[must_use]
pub fn sample() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# plexichat, all options with their defaults. Remove the `#` in front of what you change.\n\
         # Later sources win: this file, the environment, command-line flags. A variable is the key in capitals\n",
    );
    let _ = writeln!(out, "# with `__` for the dot: {}=9000.", environment_name("server.port"));
    let mut section = "";
    for row in OPTIONS {
        if row.section() != section {
            section = row.section();
            let _ = writeln!(out, "\n[{section}]");
        }
        let _ = writeln!(out, "# {}. {}.", row.help, capitalised(&row.allowed()));
        let _ = writeln!(out, "#{} = {}", row.name(), row.shown(&defaults));
    }
    out
}

/// The values in force, as TOML, each with who set it. Secrets are shown as `***`.
#[must_use]
pub fn effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    let mut section = "";
    for row in OPTIONS {
        if row.section() != section {
            section = row.section();
            let _ = writeln!(out, "{}[{section}]", if out.is_empty() { "" } else { "\n" });
        }
        let source = loaded.source_of(row.key);
        let _ = writeln!(out, "{} = {} # {source}", row.name(), row.shown(&loaded.config));
    }
    out
}

/// First letter in upper case, unless the text begins with a value a reader would copy (`true`, `s|ms`).
fn capitalised(text: &str) -> String {
    if text.contains('|') || text.starts_with("true") {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, load};
    use super::*;

    fn loaded_from(toml: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, toml).unwrap();
        load(&Inputs { file: Some(path), home: Some("/home/ada".into()), ..Inputs::default() }).unwrap()
    }

    #[test]
    fn the_sample_is_the_defaults_with_and_without_comments() {
        let home = loaded_from("").config;
        assert_eq!(loaded_from(&sample()).config, home);
        // An option is commented as `#name`, prose as `# text`.
        let active: String = sample()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let loaded = loaded_from(&active);
        assert_eq!(loaded.config, home);
        assert!(OPTIONS.iter().all(|row| loaded.source_of(row.key) != &super::super::Source::Default));
    }

    #[test]
    fn effective_is_a_file_that_gives_the_same() {
        let loaded = loaded_from("[server]\nport = 9\n[rate_limiting]\nuser = \"off\"\n");
        let text = effective(&loaded);
        assert!(text.contains("host = \"127.0.0.1\" # default\n"), "{text}");
        assert!(text.contains("c.toml:2\n"), "{text}");
        assert_eq!(loaded_from(&text).config, loaded.config);
    }

    #[test]
    fn secrets_are_not_printed() {
        let loaded = loaded_from("rate_limiting.bypass_secret = \"correct-horse-battery\"");
        let text = effective(&loaded);
        assert!(text.contains("bypass_secret = \"***\""), "{text}");
        assert!(!text.contains("horse"));
    }

    /// What operators see. `UPDATE_GOLDEN=1 cargo test` rewrites the file.
    #[test]
    fn golden_listing() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/config.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, listing()).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        assert!(golden == listing(), "tests/golden/config.txt differs: review, then UPDATE_GOLDEN=1");
    }
}
