//! Writing an administrator's password down where the operator finds it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::lane::{Effect, Row};
use super::password::{Hash, LANE, Params};

/// Hashes a password and writes it to a file that is its owner's alone; gives the PHC string.
pub struct Credentials {
    pub params: Params,
    pub path: PathBuf,
    pub username: String,
    pub password: String,
}

impl Effect for Credentials {
    type Answer = Result<String, String>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let Credentials { params, path, username, password } = self;
        let text = format!(
            "Username: {username}\nPassword: {password}\nThe server does not read this file again: delete it once you have logged in.\n"
        );
        let phc = Hash::new(params, password).run().map_err(|error| error.to_string())?;
        write(&path, &text).map_err(|error| {
            format!(
                "cannot write the administrator's password to {} (admin_ui.credentials_path): {error}",
                path.display()
            )
        })?;
        Ok(phc)
    }
}

/// Beside, then in its place: nobody finds half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/admin.txt");
        for text in ["one", "two"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(folder.path().join("deep")).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(write(&folder.path().join("deep"), "x").is_err(), "a folder is in the way");
    }
}
