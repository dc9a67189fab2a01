//! Records of running a server: who is let in at all, how fast it is for its clients. As those in [`super::records`].

use super::records::records;
use super::table::Record;
use crate::id::AccessTokenId;

records! {
    /// A token that lets a client in at all.
    AccessToken v 1 {
        name: Option<String>,
        description: Option<String>,
        /// SHA-256 of all of it.
        secret_hash: [u8; 32],
        /// The administrator's id; `None`: the operator made it.
        created_by: Option<u64>,
        created_at: u64,
        /// In steady time; `None`: never.
        expires_at: Option<u64>,
        /// A [`scope_mode`] code.
        scope_mode: u8,
        revoked_at: Option<u64>,
        /// As `created_by`.
        revoked_by: Option<u64>,
    }

    AccessRef v 1 { id: AccessTokenId, }

    /// An address or network that may use an access token.
    AccessScope v 1 {
        /// A [`scope_kind`] code.
        kind: u8,
        value: String,
        created_by: Option<u64>,
        created_at: u64,
    }

    /// The use of an access token as a whole, as far as it has been noted.
    AccessUse v 1 {
        first_used_at: Option<u64>,
        last_used_at: Option<u64>,
        last_ip_address: Option<String>,
        last_user_agent: Option<String>,
        last_path: Option<String>,
        use_count: u64,
        denied_count: u64,
        /// Rows of the tables beside this one.
        address_count: u64,
        path_count: u64,
        event_count: u64,
    }

    /// How often an address, or an operation, used an access token.
    AccessCount v 1 { let_in: u64, denied: u64, last_at: u64, }

    /// One use of an access token.
    AccessEvent v 1 {
        used_at: u64,
        ip_address: String,
        method: String,
        /// As the table of routes has it.
        path: String,
        user_agent: Option<String>,
        /// Whether the address was among its scopes, where they counted.
        scope_match: Option<bool>,
        /// `None`: it was let in.
        reject_reason: Option<String>,
    }

    /// How fast an operation was for clients in a span of time.
    ResponseTimes v 1 {
        count: u64,
        error_count: u64,
        total_us: u64,
        min_us: u64,
        max_us: u64,
        /// What clients were told of the server's own work on it.
        query_count: u64,
        query_us: u64,
        /// By class.
        classes: Vec<TimeCount>,
        /// When it is forgotten, in steady time.
        lapses_at: u64,
    }

    /// How many times were of a class.
    TimeCount v 1 { class: u8, count: u32, }

    /// What a rule of a Content-Security-Policy has refused on a day, with the last of it.
    CspReport v 1 {
        count: u64,
        last_at: u64,
        /// What was refused, on which page, and what asked for it.
        blocked: String,
        document: String,
        source: Option<String>,
        /// When it is forgotten, in steady time.
        lapses_at: u64,
    }
}
