//! The first administrator, and a password for one who has lost his: what the operator asks for where the store is.
//!
//! The password goes into a file that only the operator can read, and nowhere else: it is not printed, not logged, and
//! nobody reads the file again.

use crate::api::authenticate::new_secret;
use crate::api::body::Body;
use crate::api::fields::{Chars, Text, fields};
use crate::api::identity::rules::check_password;
use crate::api::operator::Place;
use crate::domain::admin::account::{AdminCreate, AdminReset, by_name, is_one};
use crate::domain::identity::credential::Secret;
use crate::domain::{Error, Result};
use crate::effect::credentials::Credentials;
use crate::effect::password::Params;

/// What the first one is called.
pub const FIRST: &str = "admin";
/// Bytes of randomness of a password: 24 characters.
const PASSWORD_LEN: usize = 18;

fields! {
    /// Whose password.
    pub ADMIN_RESET: AdminResetRequest {
        /// Without it that of the first administrator.
        name: Text = Text(Chars::Any),
    }
}

/// Makes the first administrator, if there is none; what is to be said of it.
///
/// # Errors
/// When his password cannot be written down.
pub async fn make(place: &dyn Place) -> Result<Option<String>> {
    if place.look(|read| Ok(is_one(read)))? {
        return Ok(None);
    }
    let (path, phc) = written_down(place, FIRST).await?;
    place.submit(AdminCreate { username: FIRST.to_string(), phc: Secret(phc) }).await?;
    Ok(Some(path))
}

pub async fn reset(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let name = ADMIN_RESET.name.read(body)?.map_or(FIRST, str::trim);
    let admin_id = place.look(|read| {
        by_name(read, name).ok_or_else(|| Error::new(404, format!("There is no administrator {name}")))
    })?;
    let (path, phc) = written_down(place, name).await?;
    place.submit(AdminReset { admin_id, phc: Secret(phc) }).await?;
    Ok(format!(
        "{name} has another password, which stands in {path}; one-time codes are to be set up anew.\n"
    ))
}

/// A new password in the file of the configuration: which that is, and the PHC string.
async fn written_down(place: &dyn Place, username: &str) -> Result<(String, String)> {
    let config = place.config();
    let path = config.admin_ui.credentials_path.clone();
    let credentials = Credentials {
        params: Params::of(&config.encryption_argon2),
        path: path.clone().into(),
        username: username.to_string(),
        password: new_password(config),
    };
    Ok((path, place.credentials(credentials).await?))
}

/// One that no rule of the configuration refuses.
fn new_password(config: &crate::config::Config) -> String {
    let rules = &config.authentication_password;
    let len = usize::try_from(rules.min_length).unwrap_or(0).max(24);
    loop {
        let mut password = new_secret::<PASSWORD_LEN>();
        while password.len() < len {
            password += &new_secret::<PASSWORD_LEN>();
        }
        password.truncate(len);
        if check_password(rules, "password", &password).is_ok() {
            return password;
        }
    }
}
