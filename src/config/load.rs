//! From the sources to one checked `Config`.
//!
//! Later wins: defaults, the file, the environment, flags. Every problem of every source is collected, so that the
//! operator mends them in one go.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_edit::{Document, Item, TableLike, Value};

use super::options::{Config, OPTIONS, OptionRow};
use super::relations;
use super::value::Given;

/// A file larger than this is not a config file.
const FILE_LEN_MAX: u64 = 1024 * 1024;
/// Beyond this many the rest is only counted.
const PROBLEMS_SHOWN_MAX: usize = 50;
const ENVIRONMENT_PREFIX: &str = "PLEXICHAT_";

/// Where options come from. Everything is given, so that tests need no environment and no home folder.
#[derive(Clone, Default)]
pub struct Inputs {
    /// `--config`: must exist. Without it `<home>/.plexichat/config.toml` is read when it exists.
    pub file: Option<PathBuf>,
    /// `$HOME`, for `~`.
    pub home: Option<PathBuf>,
    /// All environment variables; only those that begin with `PLEXICHAT_` are looked at.
    pub environment: Vec<(String, String)>,
    /// Flags in their order: (how it was written, dotted key, value).
    pub flags: Vec<(String, String, String)>,
}

impl Inputs {
    /// The environment and home folder of this process, and the given file and flags.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String, String)>) -> Inputs {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Inputs {
            file,
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            environment: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            flags,
        }
    }
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A checked configuration and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What is odd but no reason to refuse, one sentence each.
    pub warnings: Vec<String>,
    /// For reading everything again.
    pub origin: Arc<Origin>,
    /// In the order of [`OPTIONS`].
    sources: Vec<Source>,
}

/// Where a configuration came from, and what it was.
pub struct Origin {
    inputs: Inputs,
    config: Config,
}

impl fmt::Debug for Origin {
    /// The environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

impl Origin {
    /// Reads everything again: what it is now, and the keys of what has changed.
    ///
    /// # Errors
    /// As [`load`].
    pub fn read_again(&self) -> Result<(Config, Vec<&'static str>), Problems> {
        let config = load(&self.inputs)?.config;
        let is_changed =
            |row: &&OptionRow| (row.get)(&self.config, &row.rule) != (row.get)(&config, &row.rule);
        let changed = OPTIONS.iter().filter(is_changed).map(|row| row.key).collect();
        Ok((config, changed))
    }
}

impl Loaded {
    /// Who set `key`; `Source::Default` too for a key that does not exist.
    #[must_use]
    pub fn source_of(&self, key: &str) -> &Source {
        OPTIONS.iter().position(|row| row.key == key).map_or(&Source::Default, |index| &self.sources[index])
    }
}

/// Everything that is wrong, one line each: place, key, what was given, what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} problem(s):", self.0.len())?;
        for problem in self.0.iter().take(PROBLEMS_SHOWN_MAX) {
            writeln!(f, "  {problem}")?;
        }
        match self.0.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => write!(f, "`plexichat config --help` lists every option"),
            rest => write!(f, "  and {rest} more\n`plexichat config --help` lists every option"),
        }
    }
}

impl std::error::Error for Problems {}

/// Reads all sources.
///
/// # Errors
/// All problems together: unreadable file, bad syntax, unknown keys, wrong values, broken relations.
pub fn load(inputs: &Inputs) -> Result<Loaded, Problems> {
    let mut loader = Loader {
        config: Config::default(),
        sources: vec![Source::Default; OPTIONS.len()],
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let file = loader.read_file(inputs);
    loader.read_environment(&inputs.environment);
    for (flag, key, value) in &inputs.flags {
        loader.set(key, &Given::Text(value), Source::Flag(flag.clone()));
    }
    loader.expand_home(inputs.home.as_deref());
    let Loader { config, sources, mut problems, warnings } = loader;
    let origin = Arc::new(Origin { inputs: inputs.clone(), config: config.clone() });
    let loaded = Loaded { config, file, warnings, origin, sources };
    if problems.is_empty() {
        problems = relations::problems(&loaded);
    }
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

struct Loader {
    config: Config,
    sources: Vec<Source>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Loader {
    fn set(&mut self, key: &str, given: &Given<'_>, source: Source) {
        if let Some((_, why)) = RETIRED.iter().find(|(retired, _)| *retired == key) {
            self.warnings.push(format!("{source}: {key} does nothing any more: {why}"));
            return;
        }
        let Some(index) = OPTIONS.iter().position(|row| row.key == key) else {
            self.problems.push(format!("{source}: {}", unknown(key)));
            return;
        };
        let row = &OPTIONS[index];
        match (row.set)(&mut self.config, given, &row.rule) {
            Ok(()) => self.sources[index] = source,
            Err(error) => self.problems.push(format!("{source}: {key}: {error}")),
        }
    }

    fn read_file(&mut self, inputs: &Inputs) -> Option<PathBuf> {
        let path = match (&inputs.file, &inputs.home) {
            (Some(path), home) => expand(path, home.as_deref()),
            (None, Some(home)) => {
                let path = home.join(".plexichat/config.toml");
                if !path.exists() {
                    return None;
                }
                path
            }
            (None, None) => return None,
        };
        match read_bounded(&path) {
            Ok(text) => self.read_text(&path, &text),
            Err(error) => self.problems.push(format!("{}: cannot be read: {error}", path.display())),
        }
        Some(path)
    }

    fn read_text(&mut self, path: &Path, text: &str) {
        match Document::parse(text) {
            Ok(document) => FileWalk { loader: self, path, text }.table("", document.as_table()),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let message = error.message().trim().replace('\n', ", ");
                self.problems.push(format!("{}:{line}: not TOML: {message}", path.display()));
            }
        }
    }

    /// `PLEXICHAT_SERVER__PORT` is `server.port`. A name without `__` is no option: orchestrators set such
    /// variables for a service called plexichat, so it is passed over, with a warning when it looks like a slip.
    fn read_environment(&mut self, environment: &[(String, String)]) {
        let mut names: Vec<&(String, String)> =
            environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
        names.sort();
        for (name, value) in names {
            let rest = name[ENVIRONMENT_PREFIX.len()..].to_ascii_lowercase();
            if rest.contains("__") {
                self.set(&rest.replace("__", "."), &Given::Text(value), Source::Environment(name.clone()));
            } else if let Some(row) = OPTIONS.iter().find(|row| row.key.replace('.', "_") == rest) {
                let meant = environment_name(row.key);
                self.warnings.push(format!("environment {name} is not read: did you mean {meant}?"));
            }
        }
    }

    fn expand_home(&mut self, home: Option<&Path>) {
        let config = &mut self.config;
        let path = expand(Path::new(&config.store.path), home);
        if path.starts_with("~") {
            self.problems.push("store.path: `~` needs the environment variable HOME".to_owned());
        }
        // Of a service that has no home folder: beside the database.
        let credentials = match expand(Path::new(&config.admin_ui.credentials_path), home) {
            homeless if homeless.starts_with("~") => path.join(homeless.file_name().unwrap_or_default()),
            credentials => credentials,
        };
        let beside = |folder: &mut String, name: &str| {
            let chosen = if folder.is_empty() { path.join(name) } else { expand(Path::new(folder), home) };
            *folder = chosen.to_string_lossy().into_owned();
        };
        beside(&mut config.logging.folder, "logs");
        beside(&mut config.store.backup_folder, "backups");
        config.store.path = path.to_string_lossy().into_owned();
        config.admin_ui.credentials_path = credentials.to_string_lossy().into_owned();
    }
}

/// The variable that sets a key.
#[must_use]
pub fn environment_name(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_LEN_MAX {
        return Err(format!("{length} bytes, at most {FILE_LEN_MAX} are expected"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

/// Visits the tables of the file. The parser bounds their depth.
struct FileWalk<'a> {
    loader: &'a mut Loader,
    path: &'a Path,
    text: &'a str,
}

impl FileWalk<'_> {
    fn table(&mut self, prefix: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let line = span.map_or(1, |span| line_of(self.text, span.start));
            self.item(&key, item, Source::File { path: self.path.to_owned(), line });
        }
    }

    fn item(&mut self, key: &str, item: &Item, source: Source) {
        let is_section =
            OPTIONS.iter().any(|row| row.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
        match (item.as_table_like(), item.as_value()) {
            (Some(table), _) if is_section => self.table(key, table),
            (_, Some(value)) if !is_section => self.loader.set(key, &Given::Toml(value), source),
            (Some(_), _) => self.wrong_shape(key, &source, "a section"),
            (None, Some(value)) => self.wrong_shape(key, &source, &format!("a {}", value_kind(value))),
            (None, None) => self.wrong_shape(key, &source, "a list of sections"),
        }
    }

    fn wrong_shape(&mut self, key: &str, source: &Source, given: &str) {
        let problem = match OptionRow::find(key) {
            Some(row) => format!("{key}: {given} is not allowed, expected {}", row.allowed()),
            None if OPTIONS.iter().any(|row| row.key.starts_with(&format!("{key}."))) => {
                format!("{key}: {given} is not allowed, this is a section: [{key}]")
            }
            None => unknown(key),
        };
        self.loader.problems.push(format!("{source}: {problem}"));
    }
}

fn value_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "list",
        Value::String(_) => "text",
        _ => "single value",
    }
}

/// What was in the older server's file and has another home here.
const MOVED: [(&str, &str); 3] = [
    ("database", "the database is inside: see store.path, store.map_size and store.sync"),
    ("redis", "nothing outside is needed: leave it out"),
    ("server.workers", "see runtime.cores"),
];

/// Options of earlier versions that nothing is left of: a file may still have them.
const RETIRED: [(&str, &str); 1] = [(
    "websocket.permessage_deflate",
    "the extension is never negotiated, `compress` in IDENTIFY is what there is",
)];

fn unknown(key: &str) -> String {
    let moved = MOVED
        .iter()
        .find(|(old, _)| key.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    if let Some((_, hint)) = moved {
        return format!("{key}: no such option; {hint}");
    }
    match nearest(key) {
        Some(near) => format!("{key}: no such option; did you mean {near}?"),
        None => format!("{key}: no such option"),
    }
}

/// The key, or section, that a slip of a few letters would turn into this one; else the only key with this last part.
fn nearest(key: &str) -> Option<&'static str> {
    let slips_max = (key.chars().count() / 5).clamp(1, 4);
    let sections = OPTIONS.iter().map(OptionRow::section);
    let near = OPTIONS
        .iter()
        .map(|row| row.key)
        .chain(sections)
        .map(|candidate| (edit_distance(key, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= slips_max);
    let last = key.rsplit('.').next().unwrap_or(key);
    let mut same_name = OPTIONS.iter().filter(|row| row.name() == last);
    near.map(|(_, candidate)| candidate).or_else(|| match (same_name.next(), same_name.next()) {
        (Some(row), None) => Some(row.key),
        _ => None,
    })
}

/// Letters to insert, delete or change (Levenshtein), over at most the first 128.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(toml: &str) -> (tempfile::TempDir, Inputs) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, toml).unwrap();
        (folder, Inputs { file: Some(path), home: Some("/home/ada".into()), ..Inputs::default() })
    }

    fn env(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn flag(key: &str, value: &str) -> (String, String, String) {
        ("--set".to_owned(), key.to_owned(), value.to_owned())
    }

    /// Problems of a file, without the folder's random name.
    fn check(toml: &str, want: &[&str]) {
        let (folder, inputs) = inputs(toml);
        let folder = format!("{}/", folder.path().display());
        let got = load(&inputs).map_or_else(|problems| problems.0, |_| Vec::new());
        let got: Vec<String> = got.iter().map(|problem| problem.replace(&folder, "")).collect();
        assert_eq!(got, want, "{toml}");
    }

    #[test]
    fn later_sources_win() {
        let (_folder, mut inputs) =
            inputs("[server]\nport = 1\nhost = \"0.0.0.0\"\nshutdown_grace_ms = 7\n[runtime]\ncores = 1\n");
        inputs.environment = vec![env("PLEXICHAT_SERVER__PORT", "2"), env("PLEXICHAT_RUNTIME__CORES", "2")];
        inputs.flags = vec![flag("server.port", "3"), flag("server.port", "4")];
        let loaded = load(&inputs).unwrap();
        assert_eq!(loaded.config.server.port, 4);
        assert_eq!(loaded.config.runtime.cores, 2);
        assert_eq!(loaded.config.server.host, "0.0.0.0");
        assert_eq!(loaded.config.http.idle_timeout_ms, 75_000);
        assert_eq!(loaded.source_of("server.port").to_string(), "flag --set");
        assert_eq!(loaded.source_of("runtime.cores").to_string(), "environment PLEXICHAT_RUNTIME__CORES");
        assert!(loaded.source_of("server.shutdown_grace_ms").to_string().ends_with("c.toml:4"));
        assert_eq!(loaded.source_of("http.idle_timeout_ms"), &Source::Default);
    }

    #[test]
    fn no_file_is_fine_unless_it_was_named() {
        let home = tempfile::tempdir().unwrap();
        let mut inputs = Inputs { home: Some(home.path().to_owned()), ..Inputs::default() };
        let loaded = load(&inputs).unwrap();
        assert_eq!(loaded.file, None);
        assert_eq!(Path::new(&loaded.config.store.path), home.path().join(".plexichat/data"));
        std::fs::create_dir(home.path().join(".plexichat")).unwrap();
        std::fs::write(home.path().join(".plexichat/config.toml"), "server.port = 9").unwrap();
        assert_eq!(load(&inputs).unwrap().config.server.port, 9);
        inputs.file = Some(home.path().join("absent.toml"));
        let problem = load(&inputs).unwrap_err().0.remove(0);
        assert!(problem.contains("absent.toml: cannot be read"), "{problem}");
    }

    #[test]
    fn home_is_needed_only_for_a_tilde() {
        assert_eq!(
            load(&Inputs::default()).unwrap_err().0,
            ["store.path: `~` needs the environment variable HOME"]
        );
        let flags = vec![flag("store.path", "/srv/chat")];
        assert_eq!(load(&Inputs { flags, ..Inputs::default() }).unwrap().config.store.path, "/srv/chat");
    }

    #[test]
    fn every_spelling_of_a_table_is_read() {
        let (_folder, inputs) = inputs(
            "server = { port = 1, host = \"::1\" }\nauthentication.sessions.expire_hours = 48\n\
             [encryption.argon2]\nworkers = 3\n[api]\ntrusted_proxies = [\"10.0.0.0/8\"]\n\
             [rate_limiting.buckets]\nreactions = \"off\"\n[store]\nmap_size = \"1GiB\"\n",
        );
        let config = load(&inputs).unwrap().config;
        assert_eq!(config.http_address().to_string(), "[::1]:1");
        assert_eq!(config.authentication_sessions.expire_hours, 48);
        assert_eq!(config.encryption_argon2.workers, 3);
        assert_eq!(config.api.trusted_proxies, ["10.0.0.0/8"]);
        assert!(config.rate_limiting_buckets.reactions.is_off());
        assert_eq!(config.store.map_size, 1 << 30);
    }

    #[test]
    fn problems_have_a_line_and_come_together() {
        check(
            "# first\n[server]\nport = 70000\nhots = \"::\"\n\n[loging]\nlevel = \"INFO\"\n[api]\ntimestamp_unit = 5\n",
            &[
                "c.toml:3: server.port: 70000 is not allowed, expected integer 0..65535",
                "c.toml:4: server.hots: no such option; did you mean server.host?",
                "c.toml:6: loging: no such option; did you mean logging?",
                "c.toml:9: api.timestamp_unit: 5 is not allowed, expected s|ms",
            ],
        );
    }

    #[test]
    fn unknown_keys() {
        check("x = 1", &["c.toml:1: x: no such option"]);
        check("[app]\nbypass_secret = \"\"", &["c.toml:1: app: no such option; did you mean api?"]);
        check("[server]\ncross = 1", &["c.toml:2: server.cross: no such option"]);
        check(
            "[http]\nmax_body_size = 5",
            &["c.toml:2: http.max_body_size: no such option; did you mean api.max_body_size?"],
        );
        check(
            "\n[database]\ntype = \"sqlite\"",
            &[
                "c.toml:2: database: no such option; the database is inside: see store.path, store.map_size and store.sync",
            ],
        );
        check("server.workers = 4", &["c.toml:1: server.workers: no such option; see runtime.cores"]);
    }

    #[test]
    fn wrong_shapes() {
        check(
            "server = 5",
            &["c.toml:1: server: a single value is not allowed, this is a section: [server]"],
        );
        check(
            "[[server]]\nport = 1",
            &["c.toml:1: server: a list of sections is not allowed, this is a section: [server]"],
        );
        check(
            "[server.port]\nx = 1",
            &["c.toml:1: server.port: a section is not allowed, expected integer 0..65535"],
        );
        check(
            "[server]\nport = ",
            &["c.toml:2: not TOML: string values must be quoted, expected literal string"],
        );
        check("[server]\nport = 1\nport = 2", &["c.toml:3: not TOML: duplicate key"]);
    }

    #[test]
    fn environment() {
        let (_folder, mut inputs) = inputs("");
        inputs.environment = vec![
            env("PLEXICHAT_API__CORS_ORIGINS", "https://a.example, https://b.example"),
            env("PLEXICHAT_AUTHENTICATION__ACCOUNTS__ALLOW_REGISTRATION", "false"),
            env("PLEXICHAT_STORE__MAP_SIZE", "16GiB"),
            env("PLEXICHAT_SERVICE_HOST", "10.0.0.1"),
            env("PLEXICHAT_SERVER_PORT", "1"),
            env("PATH", "/bin"),
        ];
        let loaded = load(&inputs).unwrap();
        assert_eq!(loaded.config.api.cors_origins, ["https://a.example", "https://b.example"]);
        assert!(!loaded.config.authentication_accounts.allow_registration);
        assert_eq!(loaded.config.store.map_size, 16 << 30);
        assert_eq!(
            loaded.warnings,
            ["environment PLEXICHAT_SERVER_PORT is not read: did you mean PLEXICHAT_SERVER__PORT?"]
        );
        inputs.environment = vec![env("PLEXICHAT_WEBSOCKET__PERMESSAGE_DEFLATE", "true")];
        let warnings = load(&inputs).unwrap().warnings;
        assert!(warnings[0].contains("websocket.permessage_deflate does nothing any more"), "{warnings:?}");
        inputs.environment = vec![env("PLEXICHAT_SERVER__PROT", "1"), env("PLEXICHAT_RUNTIME__PIN", "maybe")];
        assert_eq!(
            load(&inputs).unwrap_err().0,
            [
                "environment PLEXICHAT_RUNTIME__PIN: runtime.pin: `maybe` is not allowed, expected true or false",
                "environment PLEXICHAT_SERVER__PROT: server.prot: no such option; did you mean server.port?",
            ]
        );
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        for row in OPTIONS {
            let name = environment_name(row.key);
            let key = name[ENVIRONMENT_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            assert_eq!(key, row.key);
        }
    }

    #[test]
    fn distance() {
        for (a, b, want) in [("", "", 0), ("a", "", 1), ("port", "prot", 2), ("kitten", "sitting", 3)] {
            assert_eq!(edit_distance(a, b), want, "{a} {b}");
        }
    }
}
