//! How many connections there may be, in all and from one address, counted over all cores.
//!
//! Invariant: every admitted connection is counted exactly until its [`Admitted`] is dropped, or what it became by
//! [`Admitted::keep`] is given to [`Admission::leave`]: a gateway connection carries its place as a number.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::Config;

/// Addresses share counters by a hash that nobody can aim at: with one address at its limit, another one is refused
/// with a chance of 1 in 65,536. 256 KiB.
const COUNTER_COUNT: usize = 1 << 16;

/// Places in all of a small installation, where one address is often everybody.
const FEW: u32 = 1_000;

/// One per process.
#[derive(Debug)]
pub struct Admission {
    max: u32,
    per_address_max: u32,
    /// Of a loopback address.
    on_this_machine_max: u32,
    total: AtomicU32,
    counters: Box<[AtomicU32]>,
    hasher: RandomState,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// `http.connections_max`
    Full,
    /// `http.connections_per_address_max`
    TooManyOfAddress,
}

/// A connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Admitted {
    /// `None` once it is kept as a number.
    admission: Option<Arc<Admission>>,
    place: Place,
}

/// Where a connection is counted, besides the total.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// `None` for trusted proxies, which stand for many clients.
    counter: Option<u16>,
}

/// The ticket of a place without a counter.
const NO_COUNTER: u32 = u32::MAX;

impl Place {
    fn ticket(self) -> u32 {
        self.counter.map_or(NO_COUNTER, u32::from)
    }

    fn from_ticket(ticket: u32) -> Place {
        Place { counter: u16::try_from(ticket).ok() }
    }
}

impl Admitted {
    /// Turns the place into a number, and no longer frees it: that is up to [`Admission::leave`].
    pub fn keep(mut self) -> u32 {
        self.admission = None;
        self.place.ticket()
    }
}

impl Admission {
    pub fn new(config: &Config) -> Arc<Admission> {
        let fit = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let max = fit(config.http_connections_max);
        // Whatever the options say, one address leaves a quarter to the others; of few places it may take all. What
        // comes from this machine is a proxy that stands for everybody, or the operator's own load test.
        let share = if max >= FEW { max - max / 4 } else { max };
        let on_this_machine_max = fit(config.http_connections_per_address_max);
        Arc::new(Admission {
            max,
            per_address_max: on_this_machine_max.min(share),
            on_this_machine_max,
            total: AtomicU32::new(0),
            counters: (0..COUNTER_COUNT).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
        })
    }

    /// Open connections, HTTP and gateway.
    pub fn count(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts a connection. A v6 address is counted by its /64, which is what one customer is given.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Result<Admitted, TurnedAway> {
        if !take(&self.total, self.max) {
            return Err(TurnedAway::Full);
        }
        let counter = (!is_proxy).then(|| self.counter_of(address));
        let is_local = address.to_canonical().is_loopback();
        let max = if is_local { self.on_this_machine_max } else { self.per_address_max };
        if counter.is_some_and(|index| !take(&self.counters[usize::from(index)], max)) {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(TurnedAway::TooManyOfAddress);
        }
        Ok(Admitted { admission: Some(self.clone()), place: Place { counter } })
    }

    /// Frees the place of a connection that was kept. `ticket` is its [`Admitted::keep`], once.
    pub fn leave(&self, ticket: u32) {
        self.free(Place::from_ticket(ticket));
    }

    fn free(&self, place: Place) {
        if let Some(index) = place.counter {
            self.counters[usize::from(index)].fetch_sub(1, Ordering::Relaxed);
        }
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    fn counter_of(&self, address: IpAddr) -> u16 {
        let hash = match address.to_canonical() {
            IpAddr::V4(address) => self.hasher.hash_one(address.to_bits()),
            IpAddr::V6(address) => self.hasher.hash_one(address.to_bits() >> 64),
        };
        (hash % COUNTER_COUNT as u64) as u16
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(admission) = &self.admission {
            admission.free(self.place);
        }
    }
}

fn take(count: &AtomicU32, max: u32) -> bool {
    let next = |count: u32| (count < max).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_all_places() {
        let config = Config {
            http_connections_max: 1_000,
            http_connections_per_address_max: 25_000,
            ..Config::default()
        };
        let admission = Admission::new(&config);
        let admit = |ip: &str| admission.admit(ip.parse().unwrap(), false);
        let held: Vec<Admitted> = (0..750).map(|_| admit("1.1.1.1").unwrap()).collect();
        assert_eq!(admit("1.1.1.1").unwrap_err(), TurnedAway::TooManyOfAddress);
        assert!(admit("9.9.9.9").is_ok());
        drop(held);
        let local: Vec<Admitted> = (0..1_000).map(|_| admit("127.0.0.1").unwrap()).collect();
        assert_eq!(admit("127.0.0.1").unwrap_err(), TurnedAway::Full);
        drop(local);
    }

    #[test]
    fn counts_in_all_and_by_address() {
        let config =
            Config { http_connections_max: 4, http_connections_per_address_max: 2, ..Config::default() };
        let admission = Admission::new(&config);
        let admit = |ip: &str, is_proxy| admission.admit(ip.parse().unwrap(), is_proxy);
        let first = admit("1.1.1.1", false).unwrap();
        let _second = admit("::ffff:1.1.1.1", false).unwrap();
        assert_eq!(admit("1.1.1.1", false).unwrap_err(), TurnedAway::TooManyOfAddress);
        let proxied = admit("1.1.1.1", true).unwrap();
        drop(first);
        let third = admit("1.1.1.1", false).unwrap();
        let _fourth = admit("2001:db8::1", true).unwrap();
        assert_eq!(admit("9.9.9.9", false).unwrap_err(), TurnedAway::Full);
        assert_eq!(admission.count(), 4);
        // Kept as numbers they stay counted until they leave.
        let (third, proxied) = (third.keep(), proxied.keep());
        assert_eq!(admission.count(), 4);
        admission.leave(proxied);
        assert_eq!(admit("1.1.1.1", false).unwrap_err(), TurnedAway::TooManyOfAddress);
        admission.leave(third);
        assert_eq!(admission.count(), 2);
        assert!(admit("1.1.1.1", false).is_ok());
    }
}
