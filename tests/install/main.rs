//! What is around the server when it is installed: proxies, service manager, packages, settings of the machine.

#[path = "../support/mod.rs"]
mod support;

mod package;
mod proxy;
mod service;
mod tuning;
