//! Accounts for stores that are made without a server.

use plexichat::domain::identity::account::{Email, Entry, Register};
use plexichat::domain::identity::credential::{Secret, hash_secret};
use plexichat::domain::identity::token::NewToken;

/// The secret part of their tokens.
pub const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// One with a login session of thirty days, and a password that is none.
pub fn register(name: &str) -> Register {
    let token = NewToken {
        secret_hash: Secret(hash_secret(SECRET)),
        ip_address: "192.0.2.1".into(),
        user_agent: None,
        life_ms: 30 * 24 * 3_600_000,
        count_max: 10,
    };
    let address = format!("{name}@example.com");
    Register {
        username: name.into(),
        email: Box::new(Email { key: address.clone(), address }),
        phc: Secret("$argon2id$".into()),
        age_verified: true,
        tier: 0,
        badges: Vec::new(),
        entry: Entry::Session(token),
    }
}
