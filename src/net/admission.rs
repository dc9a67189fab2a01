//! How many connections there may be, in all and from one address, counted over all cores.
//!
//! Invariant: every admitted connection is counted exactly until its [`Admitted`] is dropped, or, after
//! [`Admitted::keep`], its address is given to [`Admission::leave`]: a gateway connection has that anyway.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::Http;
use crate::runtime::network::{Network, networks};

/// Networks share counters by a hash that nobody can aim at: with one of them at its limit, another one is refused
/// with a chance of 1 in 65,536. 256 KiB.
const COUNTER_COUNT: usize = 1 << 16;

/// Places in all of a small installation, where one address is often everybody.
const FEW: u32 = 1_000;

/// One per process.
#[derive(Debug)]
pub struct Admission {
    max: u32,
    /// What no network has more of, whatever its size.
    share: u32,
    per_address_max: u32,
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
    /// `None` once it is kept.
    admission: Option<Arc<Admission>>,
    /// `None` for trusted proxies, which stand for many clients.
    address: Option<IpAddr>,
}

impl Admitted {
    /// Has it stay counted until [`Admission::leave`]. Whether that is by its address, too.
    pub fn keep(mut self) -> bool {
        self.admission = None;
        self.address.is_some()
    }
}

impl Admission {
    pub fn new(http: &Http) -> Arc<Admission> {
        let fit = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let max = fit(http.connections_max);
        // Whatever the options say, one network leaves a quarter to the others; of few places it may take all. What
        // comes from this machine is a proxy that stands for everybody, or the operator's own load test.
        let share = if max >= FEW { max - max / 4 } else { max };
        let per_address_max = fit(http.connections_per_address_max);
        Arc::new(Admission {
            max,
            share,
            per_address_max,
            total: AtomicU32::new(0),
            counters: (0..COUNTER_COUNT).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
        })
    }

    /// Open connections, HTTP and gateway.
    pub fn count(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts a connection, of a v6 address in each of its [`networks`].
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Result<Admitted, TurnedAway> {
        if !take(&self.total, self.max) {
            return Err(TurnedAway::Full);
        }
        if is_proxy {
            return Ok(Admitted { admission: Some(self.clone()), address: None });
        }
        let is_full = |network: &Network| !take(self.counter_of(*network), self.max_of(address, *network));
        if let Some(full) = networks(address).find(is_full) {
            self.free(networks(address).take_while(|network| *network != full));
            return Err(TurnedAway::TooManyOfAddress);
        }
        Ok(Admitted { admission: Some(self.clone()), address: Some(address) })
    }

    fn max_of(&self, address: IpAddr, network: Network) -> u32 {
        if address.to_canonical().is_loopback() {
            return self.per_address_max;
        }
        self.per_address_max.saturating_mul(network.factor).min(self.share)
    }

    /// Frees the place of a connection that was kept, once. `address`: if it is counted by that.
    pub fn leave(&self, address: Option<IpAddr>) {
        self.free(address.into_iter().flat_map(networks));
    }

    fn free(&self, counted: impl Iterator<Item = Network>) {
        counted.for_each(|network| {
            self.counter_of(network).fetch_sub(1, Ordering::Relaxed);
        });
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    fn counter_of(&self, network: Network) -> &AtomicU32 {
        &self.counters[(self.hasher.hash_one(network) % COUNTER_COUNT as u64) as usize]
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(admission) = &self.admission {
            admission.leave(self.address);
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
    use crate::config::Config;
    use crate::config::Http;

    #[test]
    fn no_address_takes_all_places() {
        let config = Config {
            http: Http { connections_max: 1_000, connections_per_address_max: 25_000, ..Http::default() },
            ..Config::default()
        };
        let admission = Admission::new(&config.http);
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
    fn networks_of_many_clients_have_more_places_each() {
        let config = Config {
            http: Http { connections_max: 4_000, connections_per_address_max: 10, ..Http::default() },
            ..Config::default()
        };
        let admission = Admission::new(&config.http);
        let admit = |part: u16, host: u16| {
            let address = format!("2001:db8:1:{part:x}::{host:x}").parse().unwrap();
            admission.admit(address, false)
        };
        let mut held: Vec<Admitted> = (0..20).filter_map(|host| admit(0, host).ok()).collect();
        assert_eq!(held.len(), 10);
        held.extend((0x01..0xff).filter_map(|part| admit(part, 1).ok()));
        assert_eq!(held.len(), 40);
        held.extend((0x100..0xfff).filter_map(|part| admit(part, 1).ok()));
        assert_eq!(held.len(), 160);
        assert_eq!(admission.count(), 160);
        let kept: Vec<IpAddr> = held.iter().filter_map(|admitted| admitted.address).collect();
        assert!(held.into_iter().all(Admitted::keep));
        assert_eq!(admit(0x700, 1).unwrap_err(), TurnedAway::TooManyOfAddress);
        kept.into_iter().for_each(|address| admission.leave(Some(address)));
        assert_eq!(admission.count(), 0);
        assert!(admission.counters.iter().all(|counter| counter.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn counts_in_all_and_by_address() {
        let config = Config {
            http: Http { connections_max: 4, connections_per_address_max: 2, ..Http::default() },
            ..Config::default()
        };
        let admission = Admission::new(&config.http);
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
        // Kept they stay counted until they leave.
        assert_eq!((third.keep(), proxied.keep()), (true, false));
        assert_eq!(admission.count(), 4);
        admission.leave(None);
        assert_eq!(admit("1.1.1.1", false).unwrap_err(), TurnedAway::TooManyOfAddress);
        admission.leave(Some("1.1.1.1".parse().unwrap()));
        assert_eq!(admission.count(), 2);
        assert!(admit("1.1.1.1", false).is_ok());
    }
}
