//! What clients leave unread: bytes of answers that wait in this core's memory, in all and by who asked.
//!
//! Invariants: whoever has too much unread gets no further request handled until he has read some of it, so neither
//! many connections nor many requests on one make the server keep more. When all together have too much, whoever has
//! the most loses the largest of it first: the others notice nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU64;

use slab::Slab;

use super::ctx::Principal;
use crate::domain::Error;
use crate::limits::{PAGE_LEN_MAX, UNSENT_CORE_LEN_LEFT, UNSENT_CORE_LEN_MAX, UNSENT_PAYER_LEN_MAX};
use crate::runtime::network::Network;

/// Whose memory an answer is counted as: the account that asked, else the widest network of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payer(NonZeroU64);

/// Ids have no highest bit: addresses do.
const ADDRESS: u64 = 1 << 63;

impl Payer {
    pub fn new(principal: Option<Principal>, ip: IpAddr) -> Payer {
        let number = match principal {
            Some(principal) => principal.user_id.0,
            None => {
                // What is behind the prefix is free: its length there tells v4 from v6.
                let network = Network::widest(ip);
                ADDRESS | network.bits >> 1 | u64::from(network.len)
            }
        };
        Payer(NonZeroU64::new(number).expect("0 is nobody's id"))
    }
}

/// One per core.
#[derive(Debug, Default)]
pub struct Unsent {
    /// Of `held`, without what is ending.
    total: Cell<usize>,
    /// The same by payer.
    by_payer: RefCell<HashMap<Payer, usize>>,
    held: RefCell<Slab<Held>>,
}

#[derive(Debug)]
struct Held {
    payer: Payer,
    /// Its entry among the connections.
    connection: usize,
    len: usize,
    /// Its connection was named by [`Unsent::take_excess`].
    is_ending: bool,
}

/// Bytes that are counted until it is dropped.
#[must_use = "dropping it ends the count"]
#[derive(Debug)]
pub struct Charge<'u> {
    unsent: &'u Unsent,
    index: usize,
}

impl Unsent {
    /// Why the payer's next request is not handled now: he does not read. `None` nearly always, after one comparison.
    pub fn refusal(&self, payer: Payer) -> Option<Error> {
        // Below it no payer can be.
        const ROOM: usize = UNSENT_PAYER_LEN_MAX - PAGE_LEN_MAX;
        let is_over = self.total.get() > ROOM && self.by_payer.borrow().get(&payer) > Some(&ROOM);
        is_over.then(|| Error::too_many("Read the answers to your earlier requests first", 1_000))
    }

    /// Counts bytes that are about to be sent on a connection. Ask for [`Unsent::take_excess`] then.
    pub fn charge(&self, payer: Payer, connection: usize, len: usize) -> Charge<'_> {
        self.total.set(self.total.get() + len);
        *self.by_payer.borrow_mut().entry(payer).or_default() += len;
        let held = Held { payer, connection, len, is_ending: false };
        Charge { unsent: self, index: self.held.borrow_mut().insert(held) }
    }

    /// The connections to end now, none nearly always. What they hold counts no longer.
    pub fn take_excess(&self) -> Vec<usize> {
        if self.total.get() > UNSENT_CORE_LEN_MAX { self.take_largest() } else { Vec::new() }
    }

    /// One after the other, each the largest of whoever has the most left.
    #[cold]
    fn take_largest(&self) -> Vec<usize> {
        let mut held = self.held.borrow_mut();
        let mut by_payer: HashMap<Payer, (usize, Vec<(usize, usize)>)> = HashMap::new();
        for (index, held) in held.iter().filter(|(_, held)| !held.is_ending) {
            let (sum, answers) = by_payer.entry(held.payer).or_default();
            *sum += held.len;
            answers.push((held.len, index));
        }
        by_payer.values_mut().for_each(|(_, answers)| answers.sort_unstable());
        let mut heap: BinaryHeap<_> = by_payer.into_values().collect();
        let mut connections = Vec::new();
        while self.total.get() > UNSENT_CORE_LEN_LEFT
            && let Some((sum, mut answers)) = heap.pop()
            && let Some((len, index)) = answers.pop()
        {
            let held = &mut held[index];
            held.is_ending = true;
            connections.push(held.connection);
            self.release(held);
            heap.push((sum - len, answers));
        }
        connections
    }

    fn release(&self, held: &Held) {
        self.total.set(self.total.get() - held.len);
        let mut by_payer = self.by_payer.borrow_mut();
        if let Some(len) = by_payer.get_mut(&held.payer) {
            *len -= held.len;
            if *len == 0 {
                by_payer.remove(&held.payer);
            }
        }
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        let held = self.unsent.held.borrow_mut().remove(self.index);
        if !held.is_ending {
            self.unsent.release(&held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{TokenId, UserId};

    fn user(id: u64) -> Payer {
        let principal = Principal {
            user_id: UserId(id),
            token_id: TokenId(1),
            kind: crate::domain::identity::right::Kind::Person,
            tier: 0,
            touch_due: false,
        };
        Payer::new(Some(principal), IpAddr::from([1, 2, 3, 4]))
    }

    #[test]
    fn who_reads_nothing_is_refused_and_nobody_else() {
        let unsent = Unsent::default();
        let status = |payer| unsent.refusal(payer).map(|error| error.status);
        let first = unsent.charge(user(1), 1, PAGE_LEN_MAX);
        assert_eq!(status(user(1)), None);
        let second = unsent.charge(user(1), 2, 1);
        assert_eq!((status(user(1)), status(user(2))), (Some(429), None));
        drop(first);
        assert_eq!(status(user(1)), None);
        drop(second);
        assert_eq!((unsent.total.get(), unsent.by_payer.borrow().len()), (0, 0));
    }

    #[test]
    fn a_full_core_ends_the_largest_of_whoever_has_the_most() {
        const PAGE: usize = UNSENT_CORE_LEN_MAX / 16;
        let unsent = Unsent::default();
        let long = unsent.charge(user(1), 100, PAGE);
        // Many short ones are more than a long one.
        let short: Vec<Charge<'_>> =
            (0..13 * 64).map(|index| unsent.charge(user(2), 1_000 + index, PAGE / 64)).collect();
        let two = [unsent.charge(user(3), 200, PAGE / 2), unsent.charge(user(3), 201, PAGE)];
        assert!(unsent.take_excess().is_empty());
        let last = unsent.charge(user(4), 300, PAGE);
        let ended = unsent.take_excess();
        assert!(ended.iter().all(|connection| *connection >= 1_000), "{ended:?}");
        assert!(unsent.total.get() <= UNSENT_CORE_LEN_LEFT);
        assert!(unsent.total.get() + PAGE / 64 > UNSENT_CORE_LEN_LEFT, "no more than needed");
        assert!(unsent.take_excess().is_empty(), "once");
        // What was ended counts no longer, and is not given back again.
        let before = unsent.total.get();
        drop(short);
        let freed = before - unsent.total.get();
        assert_eq!(freed, (13 * 64 - ended.len()) * (PAGE / 64));
        drop((long, two, last));
        assert_eq!((unsent.total.get(), unsent.by_payer.borrow().len()), (0, 0));
        assert!(unsent.held.borrow().is_empty());
    }

    #[test]
    fn accounts_and_addresses_pay_apart() {
        let address = |ip: &str| Payer::new(None, ip.parse().unwrap());
        assert_ne!(user(0x0102_0304), address("1.2.3.4"));
        assert_ne!(address("1.2.3.4"), address("1.2.3.5"));
        assert_eq!(address("2001:db8:0:100::1"), address("2001:db8:0:200::9"));
        assert_ne!(address("2001:db8:1::1"), address("2001:db8:2::1"));
        assert_ne!(address("32.1.13.184"), address("2001:db8::1"));
    }
}
