//! Which commands the seeds have shown, accepted and refused.

use std::collections::BTreeMap;

use plexichat::domain::Op;
use plexichat::domain::command::rows;

/// How often each command was accepted and refused.
pub type Coverage = BTreeMap<u16, (u64, u64)>;

/// Of a command, and of what it brings.
pub fn codes(op: &Op) -> impl Iterator<Item = u16> {
    let inner = match op {
        Op::Admin(plexichat::domain::admin::Op::AdminAct(act)) => Some(act.code),
        _ => None,
    };
    std::iter::once(op.row().code).chain(inner)
}

/// What no command of these seeds has shown.
pub fn never_seen(coverage: &Coverage) -> Vec<String> {
    // These have nothing that could be refused.
    const NEVER_REFUSED: [&str; 6] = [
        "TokenRevokeAll",
        "MessagingEdit",
        "NotesOpen",
        "ChannelsAck",
        "NotificationsRead",
        "MaintenanceSet",
    ];
    // It ends everybody's tokens at once, of which this model knows nothing: tests/contract and the gateway's have it.
    const NOT_DRAWN: &str = "EverybodyLogOut";
    let mut out = Vec::new();
    for row in rows().filter(|row| row.name != NOT_DRAWN) {
        let name = row.name;
        let (accepted, refused) = coverage.get(&row.code).copied().unwrap_or_default();
        out.extend((accepted == 0).then(|| format!("{name} was never accepted")));
        out.extend(
            (refused == 0 && !NEVER_REFUSED.contains(&name)).then(|| format!("{name} was never refused")),
        );
    }
    out
}

/// The command, or what it brings, and whether it is accepted.
pub fn kind(op: &Op, is_accepted: bool) -> (u16, bool) {
    (codes(op).last().expect("it has a code"), is_accepted)
}
