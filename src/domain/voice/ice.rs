//! STUN and TURN servers, and who may use the latter: with credentials that last for a time, as coturn knows them under
//! `use-auth-secret` (draft-uberti-behave-turn-rest): the name is when they end and whose they are, the password an
//! HMAC of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::id::UserId;
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub struct Servers<'c> {
    pub stun_urls: &'c [String],
    pub turn_urls: &'c [String],
    /// What is shared with the TURN servers; empty: they have one name and password for all, or none.
    pub turn_secret: &'c str,
    pub turn_ttl_s: u64,
    pub turn_username: &'c str,
    pub turn_credential: &'c str,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub credential: String,
}

impl<'c> Servers<'c> {
    pub fn new(
        (stun_urls, turn_urls): (&'c [String], &'c [String]),
        (turn_secret, turn_ttl_s): (&'c str, u64),
        (turn_username, turn_credential): (&'c str, &'c str),
    ) -> Servers<'c> {
        Servers { stun_urls, turn_urls, turn_secret, turn_ttl_s, turn_username, turn_credential }
    }

    /// With what a user logs in to the TURN servers from now on.
    pub fn login(&self, user_id: UserId, unix_ms: u64) -> Option<Login> {
        if !self.turn_secret.is_empty() {
            let until = (unix_ms / 1_000).saturating_add(self.turn_ttl_s);
            return Some(timed(self.turn_secret, until, user_id));
        }
        let (username, credential) = (self.turn_username, self.turn_credential);
        let is_given = !username.is_empty() || !credential.is_empty();
        is_given.then(|| Login { username: username.to_string(), credential: credential.to_string() })
    }

    /// Appends the list of them.
    pub fn write(&self, out: &mut Vec<u8>, user_id: UserId, unix_ms: u64) {
        let mut list = Array::new(out);
        if !self.stun_urls.is_empty() {
            ICEServerConfig::write(list.item(), self.stun_urls, None);
        }
        if !self.turn_urls.is_empty() {
            let login = self.login(user_id, unix_ms);
            ICEServerConfig::write(list.item(), self.turn_urls, login.as_ref());
        }
    }
}

fn timed(secret: &str, until: u64, user_id: UserId) -> Login {
    let username = format!("{until}:{user_id}");
    let mut hmac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    hmac.update(username.as_bytes());
    let credential = STANDARD.encode(hmac.finalize().into_bytes());
    Login { username, credential }
}

fn texts(texts: &[String]) -> impl FnOnce(&mut Vec<u8>) + '_ {
    move |out| {
        let mut list = Array::new(out);
        texts.iter().for_each(|text| list.str(text));
    }
}

shape! {
    /// A STUN or TURN server, as browsers take it.
    pub ICEServerConfig(urls: &[String], login: Option<&Login>) {
        urls: (Slot::list(&Kind::Text)) = texts(urls),
        username: opt_str = login.map(|login| &*login.username),
        credential: opt_str = login.map(|login| &*login.credential),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers<'c>(turn: &'c [String], secret: &'c str, username: &'c str) -> Servers<'c> {
        Servers {
            stun_urls: &[],
            turn_urls: turn,
            turn_secret: secret,
            turn_ttl_s: 60,
            turn_username: username,
            turn_credential: "pass",
        }
    }

    #[test]
    fn credentials_are_what_a_turn_server_computes() {
        // printf '1700000060:7' | openssl dgst -sha1 -hmac north -binary | base64
        let turn = ["turn:a.example".to_string()];
        let login = servers(&turn, "north", "").login(UserId(7), 1_700_000_000_999).unwrap();
        assert_eq!(login.username, "1700000060:7");
        assert_eq!(login.credential, "pdabs7RuBiON10TgiRlC8G2gttc=");
        let login = servers(&turn, "", "all").login(UserId(7), 0).unwrap();
        assert_eq!((&*login.username, &*login.credential), ("all", "pass"));
    }

    #[test]
    fn the_list_has_what_is_configured() {
        let turn = ["turn:a.example".to_string(), "turns:a.example:443".to_string()];
        let list = |servers: Servers<'_>| {
            let mut out = Vec::new();
            servers.write(&mut out, UserId(7), 0);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(list(servers(&[], "", "")), "[]");
        assert_eq!(
            list(servers(&turn, "", "all")),
            r#"[{"urls":["turn:a.example","turns:a.example:443"],"username":"all","credential":"pass"}]"#
        );
        let stun = ["stun:b.example".to_string()];
        assert_eq!(
            list(Servers { stun_urls: &stun, ..servers(&[], "", "") }),
            r#"[{"urls":["stun:b.example"],"username":null,"credential":null}]"#
        );
    }
}
