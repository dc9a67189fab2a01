//! The contract, checked on the real program over real sockets.
//!
//! A file per group of routes; a case per route, named like its operation. What holds for every route (credentials,
//! ids, bodies, methods) is read from the table of routes in `guards.rs`.

#[path = "../support/mod.rs"]
mod support;

mod authorisation;
mod cli;
mod clock;
mod gate;
mod gateway;
mod guards;
mod http_edge;
mod operator;
mod passwords;
mod portal;
mod rate_limits;
mod uploaded_pictures;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use plexichat::api::routes::ROUTES;
use world::World;

/// An operation id and what is tried with it; it must have answered 2xx afterwards.
type Case = (&'static str, fn(&World));

macro_rules! cases {
    ($($name:ident),* $(,)?) => { pub const CASES: &[crate::Case] = &[$((stringify!($name), $name)),*]; };
}

macro_rules! groups {
    (@options) => { &[] };
    (@options $options:path) => { &$options[..] };
    ($($group:ident $(with $options:path)?),* $(,)?) => {
        $(
            mod $group;
            #[test]
            fn $group() {
                run(stringify!($group), $group::CASES, groups!(@options $($options)?));
            }
        )*
        const GROUPS: &[&str] = &[$(stringify!($group)),*];
    };
}

groups! {
    system,
    docs,
    qr,
    auth,
    two_factor,
    password_reset,
    email_verification with email_verification::OPTIONS,
    oauth with oauth::OPTIONS,
    passkeys,
    users,
    dms,
    groups,
    settings,
    relationships,
    presence,
    servers,
    members,
    member_edit,
    bans,
    roles,
    channels,
    arrangement,
    overrides,
    invites,
    automod,
    messages,
    notifications,
    read_marks,
    search,
    pins,
    polls,
    reactions,
    typing,
    avatars,
    pictures,
    webhooks,
    emojis,
    stickers,
    reports,
    hashes,
    feedback,
    telemetry,
    calls,
    uploads with uploads::OPTIONS,
    downloads with uploads::OPTIONS,
    chunks with uploads::OPTIONS,
    admin_login with admin_login::OPTIONS,
    admin_account with admin_login::OPTIONS,
    admin_audit,
    admin_logs with admin_logs::OPTIONS,
    admin_users with admin_login::STANDARD,
    admin_security,
    admin_access_tokens,
    admin_service,
    admin_operations with uploads::OPTIONS,
    admin_reports,
    admin_blocks with uploads::OPTIONS,
    admin_tickets,
    admin_automod,
    admin_dashboard,
    admin_telemetry,
    console_login with admin_login::OPTIONS,
    console_pages with console_pages::OPTIONS,
}

/// Every row of the table of routes belongs to a group that is tested; [`run`] looks at each row.
#[test]
fn every_route_belongs_to_a_tested_group() {
    for route in ROUTES {
        assert!(GROUPS.contains(&route.group), "no cases for {} {}", route.group, route.name);
    }
}

/// Runs the cases of a group on a server of its own, all of them, also after a failure.
fn run(group: &str, cases: &[Case], options: &[&str]) {
    let rows = || ROUTES.iter().filter(|route| route.group == group);
    for route in rows() {
        assert!(cases.iter().any(|(name, _)| *name == route.name), "no case for {}", route.name);
    }
    let world = World::new(options);
    let mut failed = Vec::new();
    for (name, case) in cases {
        assert!(rows().any(|route| route.name == *name), "{name} is no operation of {group}");
        let passed = catch_unwind(AssertUnwindSafe(|| case(&world))).is_ok();
        if !passed {
            failed.push(*name);
            continue;
        }
        let untried = rows().filter(|route| route.name == *name && !world.has_answered(route));
        failed.extend(untried.map(|route| route.path));
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
