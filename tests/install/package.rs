//! What is installed: scripts, package, image. `PACKAGE_ROOT=…` (a folder made by debootstrap) and `PACKAGE=…` have the
//! package tried on a system of its own, as `tuning/package/try.sh` says; `IMAGE=1` the image, as `tuning/image/try.sh` does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of `tuning/`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Runs a checker; `None` where there is none.
fn checked(program: &str, command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(output.status.success(), "{program}: {said}");
            Some(said)
        }
        Err(error) => {
            assert!(std::env::var_os("PLEXICHAT_SCHEMA_TOOLS").is_none(), "{program}: {error}");
            println!("skipped: there is no {program} ({error})");
            None
        }
    }
}

#[test]
fn scripts_are_what_shellcheck_takes() {
    let is_script =
        |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default().starts_with("#!/bin/sh\n");
    let scripts: Vec<PathBuf> = files(&repository().join("tuning")).into_iter().filter(is_script).collect();
    let names: Vec<&str> = scripts.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    for name in ["affinity.sh", "build.sh", "licences.sh", "postinst", "prerm", "postrm", "try.sh"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    checked("shellcheck", Command::new("shellcheck").args(&scripts));
}

#[test]
fn the_manual_and_completions_are_what_their_readers_take() {
    let folder = support::temporary_folder();
    let made = |arguments: &[&str], file: &str| {
        let output = support::command(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let path = folder.path().join(file);
        std::fs::write(&path, &output.stdout).unwrap();
        (path, String::from_utf8(output.stdout).unwrap())
    };
    let (page, _) = made(&["man"], "plexichat.1");
    // Says what troff would not understand.
    let mut man = Command::new("man");
    man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&page).env("MANROFFSEQ", "");
    if std::process::Command::new("man").arg("--version").output().is_ok() {
        let said = man.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stderr), "");
    }
    let (bash, _) = made(&["completions", "bash"], "plexichat.bash");
    let ask = "source \"$0\"; COMP_WORDS=(plexichat che); COMP_CWORD=1; _plexichat plexichat che plexichat; \
               echo \"${COMPREPLY[@]}\"";
    let said = checked("bash", Command::new("bash").args(["-c", ask]).arg(&bash));
    assert_eq!(said.as_deref().map(str::trim), Some("check"));
}

#[test]
fn the_package_has_what_it_says() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let own = |line: &&str| line.starts_with("    [\"tuning/");
    let sources: Vec<&str> = manifest.lines().filter(own).filter_map(|line| line.split('"').nth(1)).collect();
    assert!(sources.len() > 10, "{sources:?}");
    for source in &sources {
        let path = repository().join(source.trim_end_matches("/*"));
        assert!(path.exists(), "{source}");
    }
    // What is for the machine is in the package; the rest says how to make packages and images.
    for file in std::fs::read_dir(repository().join("tuning")).unwrap() {
        let file = file.unwrap().path();
        let name = format!("tuning/{}", file.file_name().unwrap().to_str().unwrap());
        // Under another name, and packed.
        let is_there = sources.contains(&name.as_str()) || name == "tuning/CHANGELOG.md";
        assert!(file.is_dir() || is_there, "{name} is in no package");
    }
    // The configuration of the package is one, and its options are at their defaults.
    let folder = support::temporary_folder();
    let config = repository().join("tuning/package/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let all =
        text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    let all_on = folder.path().join("all.toml");
    std::fs::write(&all_on, all.collect::<Vec<_>>().join("\n")).unwrap();
    for file in [&config, &all_on] {
        let output =
            support::command(folder.path()).arg("--config").arg(file).arg("config").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A compose file is YAML, and what it says of the server is what the server knows.
#[test]
fn containers_are_set_up_for_the_server() {
    let compose = repository().join("tuning/image/compose.yaml");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let Some(said) = checked("python3 with yaml", Command::new("python3").args(["-c", read]).arg(&compose))
    else {
        return;
    };
    let compose: serde_json::Value = serde_json::from_str(&said).unwrap();
    let server = &compose["services"]["plexichat"];
    assert_eq!(server["read_only"], true);
    let variables = server["environment"].as_object().unwrap();
    let folder = support::temporary_folder();
    let mut command = support::command(folder.path());
    command.envs(variables.iter().map(|(name, value)| (name, value.as_str().unwrap()))).arg("config");
    let image = std::fs::read_to_string(repository().join("tuning/image/Containerfile")).unwrap();
    let set: Vec<(&str, &str)> = image
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(" \\").split_once('='))
        .filter(|(name, _)| name.starts_with("PLEXICHAT_"))
        .collect();
    assert_eq!(set.len(), 2, "{set:?}");
    let output = command.envs(set).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let network = compose["networks"]["inside"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    assert_eq!(variables["PLEXICHAT_API__TRUSTED_PROXIES"], network);
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
}

/// The long form: the package on a system of its own.
#[test]
fn the_package_is_installed_upgraded_and_purged() {
    let Some(root) = std::env::var_os("PACKAGE_ROOT") else { return };
    let package = std::env::var_os("PACKAGE").expect("PACKAGE is the file of the package");
    let script = repository().join("tuning/package/try.sh");
    let said = checked("try.sh", Command::new("sh").arg(script).arg(root).arg(package)).unwrap_or_default();
    assert_eq!(said.lines().filter(|line| line.starts_with("ok   ")).count(), 13, "{said}");
    println!("{said}");
}

/// The same of the image that is built already.
#[test]
fn the_image_runs_without_rights() {
    if std::env::var_os("IMAGE").is_none() {
        return;
    }
    let said = checked("try.sh", Command::new("sh").arg(repository().join("tuning/image/try.sh")));
    let said = said.unwrap_or_default();
    assert_eq!(said.lines().filter(|line| line.starts_with("ok   ")).count(), 4, "{said}");
    println!("{said}");
}
