//! Those who run the server: their commands, and what is stored of them.

use plexichat::domain::Op;
use plexichat::domain::admin::account::{
    AdminCodesRenew, AdminCreate, AdminOtpDisable, AdminPasswordChange, AdminReset,
};
use plexichat::domain::admin::act::{AdminAct, AdminNoted};
use plexichat::domain::admin::guessing::{AdminFailed, Guesses};
use plexichat::domain::admin::session::{
    AdminChallengeCreate, AdminChallengePass, AdminSignIn, AdminSignOut, NewAdminSession,
};
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::two_factor::Proof;
use plexichat::id::AdminId;
use plexichat::store::records::*;

use super::{AT, Records, number, some};

const ADMIN: AdminId = AdminId(0x8182_8384_8586_8788);

fn phc() -> Secret<String> {
    Secret("$argon2id$".to_string())
}

/// Those of administrators alone.
pub fn admins() -> Vec<Op> {
    let (admin_id, hash) = (ADMIN, || Secret([9; 32]));
    let session = || {
        Box::new(NewAdminSession {
            hash: hash(),
            ip_address: "192.0.2.1".into(),
            user_agent: some("a browser"),
            life_ms: 28_800_000,
            source: "192.0.2.1".into(),
        })
    };
    let noted = AdminNoted {
        action: "drain".into(),
        target: some("a server"),
        before: some("open"),
        after: some("closed"),
    };
    vec![
        AdminCreate { username: "admin".into(), phc: phc() }.into(),
        AdminReset { admin_id, phc: phc() }.into(),
        AdminFailed {
            source: "192.0.2.1".into(),
            guesses: Guesses { count_max: 5, window_ms: 300_000, lockout_ms: 900_000 },
            challenge: Some(([9; 32], 5)),
        }
        .into(),
        AdminChallengeCreate {
            admin_id,
            phc: phc(),
            hash: hash(),
            sealed: Secret(vec![1, 2]),
            life_ms: 300_000,
        }
        .into(),
        AdminChallengePass { challenge: hash(), proof: Proof::Step(7), session: session() }.into(),
        AdminSignIn { admin_id, phc: phc(), session: session() }.into(),
        AdminSignOut { session: hash() }.into(),
        AdminAct::new([9; 32], "192.0.2.1".into(), &noted.clone().into()).into(),
        AdminPasswordChange { verified: phc(), phc: phc(), session: hash() }.into(),
        AdminOtpDisable { verified: phc(), proof: Proof::Backup(hash()) }.into(),
        AdminCodesRenew { verified: phc(), codes: Secret(vec![[8; 32]]) }.into(),
        noted.into(),
    ]
}

pub fn examples(records: &mut Records) {
    let admin_id = AdminId(number(80));
    records.example(Admin {
        username: "admin".into(),
        email: some("admin@example.org"),
        phc: "$argon2id$".into(),
        created_at: AT,
        last_login: Some(AT + 1),
        sealed: vec![1, 2, 3],
        last_step: 7,
        codes: vec![[8; 32]],
    });
    records.example(AdminRef { id: admin_id });
    records.example(AdminSession {
        admin_id,
        created_at: AT,
        expires_at: AT + 1,
        ip_address: "192.0.2.1".into(),
        user_agent: some("a browser"),
        is_ended: true,
    });
    records.example(AdminChallenge { admin_id, sealed: vec![1, 2], expires_at: AT, failures: 3 });
    records.example(AdminFailures { count: 3, window_until: AT, locked_until: AT + 1, lapses_at: AT + 2 });
    records.example(AdminAudit {
        admin_id,
        admin_name: "admin".into(),
        action: "user_lock".into(),
        target: some("ada"),
        before: some("active"),
        after: some("locked"),
        ip_address: "192.0.2.1".into(),
        at: AT,
    });
}
