//! `hostile` against a server that is none: what did not take place is never taken for an attack that was held.

mod fake;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fake::Fault;

/// A program that says it serves and has a store, which needs its keys, while the fake server answers in its place.
struct Program {
    folder: PathBuf,
}

impl Program {
    fn new(name: &str, fault: Fault) -> Program {
        let folder = std::env::temp_dir().join(format!("plexichat-stage-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = Program { folder };
        let script = format!(
            "#!/bin/sh\nfor option; do case $option in store.path=*) store=${{option#*=}}; mkdir -p \"$store\"; \
             [ -e \"$store/server.keys\" ] || [ ! -e \"$store/data.mdb\" ] || exit 1; \
             : > \"$store/data.mdb\"; : > \"$store/server.keys\" ;; esac; done\n\
             echo '  REST     {}/api/v1' >&2\nexec sleep 1000\n",
            fake::start(fault)
        );
        // By a process of its own: one that another test starts meanwhile would inherit the file as it is open for
        // writing, and while it is open for that it cannot be run.
        let make = "cat > \"$0\" && chmod 700 \"$0\"";
        let mut make =
            Command::new("sh").args(["-c", make]).arg(program.file()).stdin(Stdio::piped()).spawn().unwrap();
        make.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(make.wait().unwrap().success());
        program
    }

    fn file(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// One attack beside a small crowd.
    fn attacked_by(&self, attack: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexichat-loadtest"));
        command.arg("hostile").arg(self.file()).args(["--only", attack, "--seconds", "8"]);
        command.args(["--sessions", "6", "--rate", "20"]).env("TMPDIR", &self.folder);
        command
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn an_attack_that_is_refused_did_not_take_place() {
    const SAID: &str = "the attack did not take place";
    thread::scope(|scope| {
        for attack in ["typing", "settings", "embeds"] {
            for (name, fault) in [("taken", Fault::Nothing), ("refused", Fault::RefusesStrangers)] {
                scope.spawn(move || {
                    let program = Program::new(&format!("{attack}-{name}"), fault);
                    let out = program.attacked_by(attack).output().unwrap();
                    let text = String::from_utf8_lossy(&out.stdout);
                    let is_refused = fault == Fault::RefusesStrangers;
                    assert!(
                        text.contains("memory"),
                        "{attack}: {text}{}",
                        String::from_utf8_lossy(&out.stderr)
                    );
                    assert_eq!(text.contains(SAID), is_refused, "{attack} {name}: {text}");
                    assert!(!is_refused || !out.status.success(), "{attack}");
                });
            }
        }
    });
}

#[test]
fn nothing_is_left_behind_by_an_interrupt() {
    let program = Program::new("interrupted", Fault::Nothing);
    let mut hostile = program.attacked_by("none,typing").spawn().unwrap();
    let is_there = || {
        let mut entries = fs::read_dir(&program.folder).unwrap().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("plexichat-hostile-"))
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < deadline, "it has no folder");
        thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: takes numbers only; the child is not reaped yet.
    unsafe { libc::kill(hostile.id() as i32, libc::SIGINT) };
    assert_eq!(hostile.wait().unwrap().code(), Some(1));
    assert!(!is_there());
}
