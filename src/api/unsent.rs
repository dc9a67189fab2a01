//! What clients leave unread: bytes of answers that wait in this core's memory, in all and by who asked.
//!
//! Invariants: whoever has too much unread gets no further request handled until he has read some of it, so neither
//! many connections nor many requests on one make the server keep more; what one payer holds takes nothing from the
//! others, but for the total of the core, which the socket layer brings down by ending whose answers are largest.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use super::ctx::Principal;
use crate::domain::{Error, Refusal};
use crate::limits::{PAGE_LEN_MAX, UNSENT_CORE_LEN_MAX, UNSENT_PAYER_LEN_MAX};

/// Whose memory an answer is counted as: the account that asked, else the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payer(u64);

/// Ids have no highest bit: addresses do.
const ADDRESS: u64 = 1 << 63;

impl Payer {
    pub fn new(principal: Option<Principal>, ip: IpAddr) -> Payer {
        Payer(match (principal, ip) {
            (Some(principal), _) => principal.user_id.0,
            (None, IpAddr::V4(ip)) => ADDRESS | u64::from(ip.to_bits()),
            // By its /56: what the largest of customers are given.
            (None, IpAddr::V6(ip)) => ADDRESS | (ip.to_bits() >> 72) as u64,
        })
    }
}

/// One per core.
#[derive(Debug, Default)]
pub struct Unsent {
    total: Cell<usize>,
    by_payer: RefCell<HashMap<Payer, usize>>,
}

/// Bytes that are counted until it is dropped.
#[must_use = "dropping it ends the count"]
#[derive(Debug)]
pub struct Charge<'u> {
    unsent: &'u Unsent,
    payer: Payer,
    len: usize,
}

impl Unsent {
    /// Bytes of this core.
    pub fn total(&self) -> usize {
        self.total.get()
    }

    /// Why the payer's next request is not handled now: 429 when it is he who does not read, 503 when all others
    /// together do not. `None` nearly always, after one comparison.
    pub fn refusal(&self, payer: Payer) -> Option<Error> {
        // Below it no payer can be.
        const ROOM: usize = UNSENT_PAYER_LEN_MAX - PAGE_LEN_MAX;
        if self.total.get() <= ROOM {
            return None;
        }
        if self.by_payer.borrow().get(&payer).is_some_and(|len| *len > ROOM) {
            return Some(Error::too_many("Read the answers to your earlier requests first", 1_000));
        }
        (self.total.get() > UNSENT_CORE_LEN_MAX).then(|| Refusal::Busy.into())
    }

    /// Counts bytes that are about to be sent.
    pub fn charge(&self, payer: Payer, len: usize) -> Charge<'_> {
        self.total.set(self.total.get() + len);
        *self.by_payer.borrow_mut().entry(payer).or_default() += len;
        Charge { unsent: self, payer, len }
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.unsent.total.set(self.unsent.total.get() - self.len);
        let mut by_payer = self.unsent.by_payer.borrow_mut();
        if let Some(len) = by_payer.get_mut(&self.payer) {
            *len -= self.len;
            if *len == 0 {
                by_payer.remove(&self.payer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{TokenId, UserId};

    fn user(id: u64) -> Payer {
        let principal = Principal { user_id: UserId(id), token_id: TokenId(1), tier: 0, touch_due: false };
        Payer::new(Some(principal), IpAddr::from([1, 2, 3, 4]))
    }

    #[test]
    fn who_reads_nothing_is_refused_and_nobody_else() {
        let unsent = Unsent::default();
        let status = |payer| unsent.refusal(payer).map(|error| error.status);
        let first = unsent.charge(user(1), PAGE_LEN_MAX);
        assert_eq!(status(user(1)), None);
        let second = unsent.charge(user(1), 1);
        assert_eq!((status(user(1)), status(user(2))), (Some(429), None));
        drop(first);
        assert_eq!(status(user(1)), None);
        drop(second);
        assert_eq!((unsent.total(), unsent.by_payer.borrow().len()), (0, 0));
    }

    #[test]
    fn a_full_core_refuses_all() {
        let unsent = Unsent::default();
        let held: Vec<Charge<'_>> =
            (1..=17).map(|id| unsent.charge(user(id), UNSENT_CORE_LEN_MAX / 16)).collect();
        assert_eq!(unsent.refusal(user(99)).map(|error| error.status), Some(503));
        drop(held);
        assert!(unsent.refusal(user(99)).is_none());
    }

    #[test]
    fn accounts_and_addresses_pay_apart() {
        let address = |ip: &str| Payer::new(None, ip.parse().unwrap());
        assert_ne!(user(0x0102_0304), address("1.2.3.4"));
        assert_ne!(address("1.2.3.4"), address("1.2.3.5"));
        assert_eq!(address("2001:db8:0:1::1"), address("2001:db8:0:2::9"));
        assert_ne!(address("2001:db8:0:100::1"), address("2001:db8:0:200::1"));
    }
}
