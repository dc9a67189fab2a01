//! Reading the configuration again while the server runs, as SIGHUP and administrators ask for.
//!
//! Invariant: a configuration with a problem changes nothing. What cannot be changed while the server runs is named, and
//! waits for the next start.

use crate::config::{Origin, Problems};
use crate::observe::{log_level, set_level};

/// What can be changed while the server runs.
pub const RELOADABLE: &[&str] = &["logging.level"];

/// What became of what has changed, by the keys of the options.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force now.
    pub applied: Vec<&'static str>,
    /// In force after the next start.
    pub waiting: Vec<&'static str>,
}

/// Reads it again, and has in force what can be. Reads files: not on a core.
///
/// # Errors
/// With everything that is wrong with it.
pub fn reload(origin: &Origin) -> Result<Reloaded, Problems> {
    let (config, changed) = origin.read_again()?;
    let mut reloaded = Reloaded::default();
    // Somebody may have set it meanwhile: what stands in the file counts.
    let before = log_level();
    set_level(&config.logging.level);
    if log_level() != before {
        reloaded.applied.push("logging.level");
    }
    reloaded.waiting = changed.into_iter().filter(|key| !RELOADABLE.contains(key)).collect();
    let Reloaded { applied, waiting } = &reloaded;
    tracing::info!(
        applied = applied.join(" "),
        waiting = waiting.join(" "),
        "the configuration was read again"
    );
    Ok(reloaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, load};

    #[test]
    fn what_has_changed_is_found_and_what_is_wrong_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("");
        let inputs =
            Inputs { file: Some(file.clone()), home: Some(folder.path().into()), ..Inputs::default() };
        let origin = load(&inputs).unwrap().origin;
        assert_eq!(reload(&origin).unwrap(), Reloaded::default());
        write("[server]\nport = 9000\n");
        assert_eq!(origin.read_again().unwrap().1, ["server.port"]);
        write("[server]\nport = \"x\"\n");
        assert!(reload(&origin).unwrap_err().0[0].contains("server.port"));
        assert!(format!("{origin:?}") == "Origin");
    }
}
