//! That every option is read by something.

use plexichat::config::OPTIONS;

use super::source::{Source, has_word};

/// Options whose whole work is to allow what another says.
const PERMISSIONS: &[&str] = &["metrics.allow_public"];

/// Keys of options that no code beside the configuration reads.
pub fn unread<'k>(keys: impl Iterator<Item = &'k str>, sources: &[Source]) -> Vec<&'k str> {
    // What only checks an option or fills it in does not read it.
    let beside = |source: &&Source| {
        source.inside_src().is_some_and(|path| !["config/load.rs", "config/relations.rs"].contains(&path))
    };
    let code: Vec<String> = sources.iter().filter(beside).map(code_of).collect();
    keys.filter(|key| !code.iter().any(|code| reads(code, key))).collect()
}

/// Every option that there is.
pub fn unread_options(sources: &[Source]) -> Vec<&'static str> {
    unread(OPTIONS.iter().map(|row| row.key).filter(|key| !PERMISSIONS.contains(key)), sources)
}

/// Whether code reads an option: by its section, all of whose options a table may read, or as a field where the
/// section's type is taken.
fn reads(code: &str, key: &str) -> bool {
    let (section, name) = key.rsplit_once('.').expect("an option has a section");
    let section = section.replace('.', "_");
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    let taken = match section.strip_prefix("oauth_") {
        // These share one.
        Some(_) => "OauthProvider".to_owned(),
        None => section.split('_').map(part).collect(),
    };
    let field = |text: &str| {
        let mut from = 0;
        while let Some(at) = code[from..].find(text) {
            from += at + text.len();
            if !code[from..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                return true;
            }
        }
        false
    };
    let by_table = code.contains(&format!("{section}.$"));
    by_table || field(&format!("{section}.{name}")) || (has_word(code, &taken) && field(&format!(".{name}")))
}

/// Code without tests, and without the line ends within a chain.
fn code_of(source: &Source) -> String {
    let mut code = String::new();
    for line in source.lines.iter().filter(|line| !line.test) {
        let text = line.code.trim();
        if !text.starts_with('.') {
            code.push('\n');
        }
        code.push_str(text);
    }
    code
}
