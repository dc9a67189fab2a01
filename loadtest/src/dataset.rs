//! What `seed` leaves for the scenarios: users with tokens, servers with channels and members.
//!
//! Invariant: a loaded data set is usable: every index points at a user, every server has a channel and a member.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::stats::quote;

/// What a seed consists of.
const FILES: [&str; 2] = ["tokens.txt", "seed.json"];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    pub id: String,
    pub token: String,
    /// Name to log in with; empty in seeds of earlier versions.
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    pub id: String,
    pub channels: Vec<String>,
    /// Index of a user.
    pub owner: u32,
    /// Indices of users, the owner first.
    pub members: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    pub base: String,
    /// Password of every user; empty in seeds of earlier versions.
    pub password: String,
    pub users: Vec<User>,
    pub servers: Vec<Server>,
}

impl Dataset {
    /// Writes `tokens.txt` (a token per line) and `seed.json` into a folder, made if need be.
    pub fn save(&self, dir: &Path) -> Result<(), String> {
        let tokens: String = self.users.iter().map(|u| u.token.clone() + "\n").collect();
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(dir.join(FILES[0]), tokens))
            .and_then(|()| fs::write(dir.join(FILES[1]), self.to_json()))
            .map_err(|e| format!("{}: {e}; choose a folder that can be written.", dir.display()))
    }

    /// An error when a folder holds a seed, whose tokens would be lost.
    pub fn refuse_earlier(dir: &Path) -> Result<(), String> {
        let earlier = FILES.map(|name| dir.join(name)).into_iter().find(|path| path.exists());
        match earlier {
            None => Ok(()),
            Some(path) => Err(format!(
                "{} is there already; choose another --out, or add --overwrite to lose that seed.",
                path.display()
            )),
        }
    }

    /// Stands in for a seed where nothing can be seeded: one user without a token, one server without names.
    pub fn plain(base: &str) -> Dataset {
        let server = Server { channels: vec![String::new()], members: vec![0], ..Server::default() };
        Dataset {
            base: base.into(),
            users: vec![User::default()],
            servers: vec![server],
            ..Dataset::default()
        }
    }

    pub fn load(dir: &Path) -> Result<Dataset, String> {
        let path = dir.join(FILES[1]);
        let text = fs::read(&path).map_err(|e| {
            format!("{}: {e}; run `plexichat-loadtest seed --out {}` first.", path.display(), dir.display())
        })?;
        Dataset::from_json(text).map_err(|e| format!("{}: {e}; seed again.", path.display()))
    }

    fn to_json(&self) -> String {
        let (base, password) = (quote(&self.base), quote(&self.password));
        let mut out = format!("{{\"base\":{base},\n\"password\":{password},\n\"users\":[");
        for (i, user) in self.users.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let (id, token, name) = (quote(&user.id), quote(&user.token), quote(&user.name));
            let _ = write!(out, "{comma}\n{{\"id\":{id},\"token\":{token},\"name\":{name}}}");
        }
        out.push_str("\n],\n\"servers\":[");
        for (i, server) in self.servers.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let channels: Vec<String> = server.channels.iter().map(|c| quote(c)).collect();
            let members: Vec<String> = server.members.iter().map(u32::to_string).collect();
            let _ = write!(
                out,
                "{comma}\n{{\"id\":{},\"channels\":[{}],\"owner\":{},\"members\":[{}]}}",
                quote(&server.id),
                channels.join(","),
                server.owner,
                members.join(",")
            );
        }
        out.push_str("\n]}\n");
        out
    }

    fn from_json(mut text: Vec<u8>) -> Result<Dataset, String> {
        let root = simd_json::to_owned_value(&mut text).map_err(|e| e.to_string())?;
        let users = array(&root, "users")?
            .iter()
            .map(|u| {
                let name = u.get_str("name").unwrap_or_default().into();
                Ok(User { id: string(u, "id")?, token: string(u, "token")?, name })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let index = |value: &OwnedValue| match value.as_u64() {
            Some(n) if (n as usize) < users.len() => Ok(n as u32),
            _ => Err(format!("{value} is not the index of a user")),
        };
        let mut servers = Vec::new();
        for s in array(&root, "servers")? {
            let channels =
                array(s, "channels")?.iter().filter_map(|c| c.as_str().map(String::from)).collect();
            let members = array(s, "members")?.iter().map(index).collect::<Result<Vec<_>, String>>()?;
            let owner = index(s.get("owner").ok_or("a server without owner")?)?;
            let server = Server { id: string(s, "id")?, channels, owner, members };
            if server.channels.is_empty() || server.members.is_empty() {
                return Err("a server without channels or members".into());
            }
            servers.push(server);
        }
        if users.is_empty() || servers.is_empty() {
            return Err("no users or no servers".into());
        }
        let password = root.get_str("password").unwrap_or_default().into();
        Ok(Dataset { base: string(&root, "base")?, password, users, servers })
    }
}

fn array<'a>(value: &'a OwnedValue, key: &str) -> Result<&'a [OwnedValue], String> {
    value.get_array(key).map(|a| &a[..]).ok_or_else(|| format!("no list {key:?}"))
}

fn string(value: &OwnedValue, key: &str) -> Result<String, String> {
    value.get_str(key).map(String::from).ok_or_else(|| format!("no text {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Dataset {
        let user = |n: u32| User { id: n.to_string(), token: format!("{n}.t\"x"), name: format!("u{n}") };
        let server = |owner| Server {
            id: "9".into(),
            channels: vec!["1".into(), "2".into()],
            owner,
            members: vec![owner, 1 - owner],
        };
        Dataset {
            base: "http://h".into(),
            password: "p\"w".into(),
            users: vec![user(1), user(2)],
            servers: vec![server(0), server(1)],
        }
    }

    #[test]
    fn a_data_set_comes_back() {
        assert_eq!(Dataset::from_json(sample().to_json().into_bytes()), Ok(sample()));
    }

    #[test]
    fn seeds_without_names_are_still_read() {
        let text = sample().to_json().replace("\"name\"", "\"n\"").replace("\"password\"", "\"p\"");
        let data = Dataset::from_json(text.into_bytes()).unwrap();
        assert!(data.password.is_empty() && data.users.iter().all(|u| u.name.is_empty()));
    }

    #[test]
    fn unusable_data_sets_are_refused() {
        for (from, to) in [
            ("\"owner\":1", "\"owner\":2"),
            ("\"members\":[0,1]", "\"members\":[]"),
            ("\"members\":[0,1]", "\"members\":[0,-1]"),
            ("\"base\"", "\"b\""),
            ("\"token\"", "\"t\""),
            ("]}\n", "]"),
        ] {
            let text = sample().to_json().replace(from, to);
            assert!(Dataset::from_json(text.clone().into_bytes()).is_err(), "{text}");
        }
    }
}
