//! Accounts: who somebody is, how he proves it, what his tier allows.

pub mod account;
pub mod credential;
pub mod tier;
pub mod token;
