//! A question to the state: which state, at what time, and who asks. Handlers, gateway and apply ask alike.
//!
//! What it answers stands with the nouns: servers and channels in [`super::permission`].

use crate::id::UserId;
use crate::store::Read;

/// Whatever a rule depends on beside the thing it is about. Comes first in a signature; the thing follows.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub read: Read<'a>,
    /// Milliseconds of steady time.
    pub at: u64,
    pub who: UserId,
}

impl<'a> Asking<'a> {
    /// The same question about somebody else.
    pub fn of(self, who: UserId) -> Asking<'a> {
        Asking { who, ..self }
    }
}
