//! Those who run the server: their commands, and what is stored of them.

use plexichat::domain::Op;
use plexichat::domain::admin::account::{
    AdminCodesRenew, AdminCreate, AdminOtpDisable, AdminPasswordChange, AdminReset,
};
use plexichat::domain::admin::act::AdminAct;
use plexichat::domain::admin::guessing::{AdminFailed, Guesses};
use plexichat::domain::admin::operation::{Deed, Disconnect, DrainSet, Operate};
use plexichat::domain::admin::session::{
    AdminChallengeCreate, AdminChallengePass, AdminSignIn, AdminSignOut, NewAdminSession,
};
use plexichat::domain::contact::blocked::{HashBlock, HashUnblock};
use plexichat::domain::contact::review::{HashReportReview, MessageReportReview, UserReportReview, Verdict};
use plexichat::domain::contact::silenced::{UserSilence, UserUnsilence};
use plexichat::domain::contact::telemetry::{ClassCount, Timing};
use plexichat::domain::contact::ticket::{TicketNoteAdd, TicketStatusSet};
use plexichat::domain::contact::times::{ServerTimesNote, TelemetryReset};
use plexichat::domain::gate::address::{AddressBlock, AddressUnblock};
use plexichat::domain::gate::change::{
    AccessScopeAdd, AccessScopeRemove, AccessTokenEdit, AccessTokenRotate,
};
use plexichat::domain::gate::closure::{EverybodyLogOut, MaintenanceNotice, MaintenanceSet};
use plexichat::domain::gate::token::Scope;
use plexichat::domain::identity::banned_name::{NameBanCreate, NameBanRemove};
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::custody::{
    self, DeletionCancel, DeletionDelay, UserLogOut, UserNoteSet, UserPurge, UserUnlock, UsernameForce,
};
use plexichat::domain::identity::two_factor::Proof;
use plexichat::id::{AccessScopeId, AccessTokenId, AdminId, NameBanId, ReportId, TicketId, TokenId, UserId};
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
    let inner: Op = AdminOtpDisable { verified: phc(), proof: Proof::Step(8) }.into();
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
        AdminAct::new([9; 32], "192.0.2.1".into(), &inner).into(),
        AdminPasswordChange { verified: phc(), phc: phc(), session: hash() }.into(),
        AdminOtpDisable { verified: phc(), proof: Proof::Backup(hash()) }.into(),
        AdminCodesRenew { verified: phc(), codes: Secret(vec![[8; 32]]) }.into(),
        Operate { deed: Deed::LogLevelSet, before: some("INFO"), after: some("DEBUG") }.into(),
        Disconnect { user_id: UserId(0x0102_0304_0506_0708), token_id: Some(TokenId(7)) }.into(),
        DrainSet { spread_ms: Some(60_000) }.into(),
    ]
}

/// What they do to accounts and names.
pub fn of_accounts() -> Vec<Op> {
    let user_id = UserId(0x0102_0304_0506_0708);
    vec![
        custody::UserLock { user_id, life_ms: Some(60_000) }.into(),
        UserUnlock { user_id, names: vec![7, 8] }.into(),
        UserLogOut { user_id }.into(),
        UsernameForce { user_id, reason: "rude".into(), ban_current: true }.into(),
        DeletionCancel { user_id }.into(),
        DeletionDelay { user_id, in_ms: 60_000 }.into(),
        UserPurge { user_id }.into(),
        UserNoteSet { user_id, notes: "called twice".into() }.into(),
        NameBanCreate { pattern: "^adm".into(), is_regex: true, reason: some("ours") }.into(),
        NameBanRemove { ban_id: NameBanId(9) }.into(),
    ]
}

/// What they do to access tokens and addresses.
pub fn gate() -> Vec<Op> {
    let token_id = AccessTokenId(0x7172_7374_7576_7778);
    vec![
        AccessTokenEdit {
            token_id,
            name: Some(some("desktop")),
            description: Some(None),
            life_ms: Some(Some(86_400_000)),
            scope_mode: Some(2),
        }
        .into(),
        AccessTokenRotate { token_id, secret_hash: Secret([9; 32]) }.into(),
        AccessScopeAdd { token_id, scope: Scope { kind: 2, value: "10.0.0.0/8".into() } }.into(),
        AccessScopeRemove { token_id, scope_id: AccessScopeId(9) }.into(),
        AddressBlock { address: "10.0.0.0/8".into(), reason: some("scanner"), life_ms: Some(3_600_000) }
            .into(),
        AddressUnblock { address: "10.0.0.0/8".into() }.into(),
        MaintenanceSet {
            notice: Some(MaintenanceNotice { message: some("Moving house"), estimated_seconds: Some(600) }),
        }
        .into(),
        EverybodyLogOut {}.into(),
    ]
}

/// What they make of reports and tickets.
pub fn contact() -> Vec<Op> {
    let (report_id, ticket_id) = (ReportId(0x9192_9394_9596_9798), TicketId(0x9192_9394_9596_9799));
    let verdict = || Verdict { status: 2, action: "action".into(), notes: some("warned") };
    let user_id = UserId(0x0102_0304_0506_0708);
    vec![
        MessageReportReview { report_id, verdict: verdict() }.into(),
        UserReportReview { report_id, verdict: verdict() }.into(),
        HashReportReview { report_id, status: 1, action: "block".into(), notes: None }.into(),
        HashBlock { hash_value: "ab".repeat(32), reason: "known".into() }.into(),
        HashUnblock { hash_value: "ab".repeat(32) }.into(),
        UserSilence { user_id, reason: "flood".into(), life_ms: Some(3_600_000) }.into(),
        UserUnsilence { user_id }.into(),
        TicketStatusSet { ticket_id, status: 2 }.into(),
        TicketNoteAdd { ticket_id, content: "thanked him".into() }.into(),
        ServerTimesNote {
            timings: vec![Timing {
                operation: "GET /users/@me".into(),
                count: 3,
                error_count: 1,
                total_us: 95,
                min_us: 20,
                max_us: 50,
                classes: vec![ClassCount { class: 13, count: 2 }, ClassCount { class: 18, count: 1 }],
                ..Timing::default()
            }],
            begun_ms: 1_700_000_000_000,
            resets: 2,
            retention_ms: 86_400_000,
        }
        .into(),
        TelemetryReset {}.into(),
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
    records.example(UserLock { until: Some(AT), locked_at: AT + 1, locked_by: Some(number(30)) });
    records.example(ForcedName { reason: "rude".into(), forced_at: AT });
    records.example(UserNote { text: "called twice".into() });
    records.example(NameBan { pattern: "^adm".into(), is_regex: true, reason: some("ours"), created_at: AT });
    records.example(BlockedNet {
        reason: some("scanner"),
        blocked_at: AT,
        blocked_by: Some(number(30)),
        until: Some(AT + 1),
        order: number(31),
    });
    records.example(Maintenance { message: some("Moving house"), estimated_seconds: Some(600), since: AT });
    records.example(UserBlock {
        reason: "flood".into(),
        blocked_at: AT,
        blocked_by: Some(number(30)),
        until: Some(AT + 1),
        order: number(31),
    });
    records.example(TicketNote {
        admin_id: number(30),
        admin_name: "admin".into(),
        content: "thanked him".into(),
        created_at: AT,
    });
    records.example(AutomodSwitch { enabled: false, ai: "{}".into() });
}
