//! Writing an administrator's password down where the operator finds it.

use std::path::PathBuf;

use super::lane::{Effect, Row};
use super::password::{Hash, LANE, Params};
use crate::store::{create_folder, folder_of, replace_file};

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
        let written = create_folder(folder_of(&path))
            .and_then(|_| replace_file(&path, &path.with_extension("new"), text.as_bytes()));
        written.map_err(|error| {
            format!(
                "cannot write the administrator's password to {} (admin_ui.credentials_path): {error}",
                path.display()
            )
        })?;
        Ok(phc)
    }
}
