//! Records of those who run the server. As those in [`super::records`].

use super::records::records;
use super::table::Record;
use crate::id::AdminId;

records! {
    /// Somebody who runs the server. He is no user.
    Admin v 1 {
        username: String,
        email: Option<String>,
        /// PHC string of the password hash.
        phc: String,
        created_at: u64,
        last_login: Option<u64>,
        /// The secret of his one-time codes, sealed; empty: he has none.
        sealed: Vec<u8>,
        /// The step of time of the last code that was used: no earlier one is taken.
        last_step: u64,
        /// Sums of the backup codes that are left.
        codes: Vec<[u8; 32]>,
    }

    AdminRef v 1 { id: AdminId, }

    /// A log-in of an administrator, by the SHA-256 of its token.
    AdminSession v 1 {
        admin_id: AdminId,
        created_at: u64,
        /// In steady time. Using it does not put that off.
        expires_at: u64,
        ip_address: String,
        user_agent: Option<String>,
        /// Another session has changed the password: it is good for logging out alone.
        is_ended: bool,
    }

    /// A log-in between password and code, by the SHA-256 of its token.
    AdminChallenge v 1 {
        admin_id: AdminId,
        /// The secret that is being set up, sealed; empty: the one that is in force is asked for.
        sealed: Vec<u8>,
        /// In steady time.
        expires_at: u64,
        failures: u32,
    }

    /// Wrong passwords and codes from one place. Its times are steady.
    AdminFailures v 1 {
        count: u32,
        /// When the window ends that the first of them has opened.
        window_until: u64,
        locked_until: u64,
        lapses_at: u64,
    }

    /// What an administrator has done.
    AdminAudit v 1 {
        admin_id: AdminId,
        /// As he was called then.
        admin_name: String,
        action: String,
        target: Option<String>,
        before: Option<String>,
        after: Option<String>,
        ip_address: String,
        at: u64,
    }

    /// A lock of an account.
    UserLock v 1 {
        /// In steady time; `None`: until somebody unlocks it.
        until: Option<u64>,
        locked_at: u64,
        /// The administrator's id; `None`: the operator.
        locked_by: Option<u64>,
    }

    /// That somebody has to choose another name.
    ForcedName v 1 { reason: String, forced_at: u64, }

    /// What administrators keep in mind about somebody.
    UserNote v 1 { text: String, }

    /// A name that nobody may take.
    NameBan v 1 {
        pattern: String,
        is_regex: bool,
        reason: Option<String>,
        created_at: u64,
    }

    /// An address or a network that is not served.
    BlockedNet v 1 {
        reason: Option<String>,
        blocked_at: u64,
        /// The administrator's id.
        blocked_by: Option<u64>,
        /// In steady time; `None`: for good.
        until: Option<u64>,
        /// An id: later ones have greater ones.
        order: u64,
    }

    /// What is said of maintenance.
    Maintenance v 1 {
        message: Option<String>,
        estimated_seconds: Option<u64>,
        since: u64,
    }

    /// Somebody who may bring nothing before others.
    UserBlock v 1 {
        reason: String,
        blocked_at: u64,
        /// The administrator's id; `None`: the operator.
        blocked_by: Option<u64>,
        /// In steady time; `None`: until somebody takes it back.
        until: Option<u64>,
        /// Its place in `USER_BLOCK_ORDER`.
        order: u64,
    }

    /// What an administrator keeps in mind about a ticket.
    TicketNote v 1 {
        admin_id: u64,
        /// As he was called then.
        admin_name: String,
        content: String,
        created_at: u64,
    }

    /// The switch of automod.
    AutomodSwitch v 1 {
        enabled: bool,
        /// Settings for judging by a model, as they were given.
        ai: String,
    }
}
