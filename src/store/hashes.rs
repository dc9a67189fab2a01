//! Records of files that nobody is to see: what is said of them, and which are blocked. As those in [`super::records`].

use super::records::{Review, records};
use super::table::Record;
use crate::id::{MessageId, UserId};

records! {
    /// A file that was reported, by its hash. All but the reporter is what he says; nobody has looked at it.
    HashReport v 1 {
        /// As it is compared: in lower case.
        hash_value: String,
        /// What the picture looks like.
        phash_value: Option<String>,
        reporter_id: UserId,
        /// As whom he counts: a bot is heard as its owner.
        person_id: UserId,
        reason: String,
        details: Option<String>,
        uploader_id: Option<UserId>,
        message_id: Option<MessageId>,
        attachment_url: Option<String>,
        /// Whether the uploader should be blocked too. It is a wish: an administrator decides.
        block_uploader: bool,
        /// A [`hash_status`](super::codes::hash_status) code.
        status: u8,
        reported_at: u64,
        /// The last one. Boxed: it costs five bytes where there is none.
        review: Option<Box<Review>>,
    }

    /// A file that is not taken.
    BlockedHash v 1 {
        /// Shown to whoever asks.
        reason: String,
        blocked_at: u64,
        /// The administrator's id; `None`: so many people have reported it.
        blocked_by: Option<u64>,
        /// Its place in `BLOCKED_HASH_ORDER`.
        order: u64,
        /// What it looks like, where that is known: what looks alike is not taken either.
        look: Option<u64>,
    }

    HashRef v 1 { value: String, }
}
