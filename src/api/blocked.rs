//! Addresses that are not served: the first thing that is asked of a request.
//!
//! Each core keeps them by their prefixes. While there are none that is one comparison; else one look-up in memory for
//! each length of a prefix that is among them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::state::State;
use crate::domain::gate::address::{all, spelled, until, version};
use crate::domain::{Refusal, Result};

/// What a core knows of them.
#[derive(Default)]
pub struct Blocked {
    /// By the version of the store; `None`: it may have changed.
    version: Cell<Option<u64>>,
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    version: u64,
    /// Lengths of prefixes, each once.
    lens: Vec<u8>,
    /// Until when, in steady time.
    until: HashMap<IpNet, u64>,
}

impl Blocked {
    /// The core has another snapshot.
    pub fn look_again(&self) {
        self.version.set(None);
    }

    /// # Errors
    /// 403 for an address that is not served.
    pub fn check(&self, state: &State, ip: IpAddr) -> Result<()> {
        // Nobody has ever been blocked, by the snapshot that was looked at last.
        if self.version.get() == Some(0) {
            return Ok(());
        }
        if self.version.get().is_none() {
            self.look(state);
        }
        match self.known.borrow().covers(ip.to_canonical(), state.now_ms()) {
            true => Err(Refusal::AddressBlocked.into()),
            false => Ok(()),
        }
    }

    fn look(&self, state: &State) {
        let snapshot = state.snapshot();
        let version = version(snapshot.read());
        self.version.set(Some(version));
        let mut known = self.known.borrow_mut();
        if known.version != version {
            let nets = all(snapshot.read());
            let nets = nets.filter_map(|(address, block)| Some((spelled(&address)?.1, until(block))));
            known.until = nets.collect();
            let mut lens: Vec<u8> = known.until.keys().map(IpNet::prefix_len).collect();
            lens.sort_unstable();
            lens.dedup();
            (known.lens, known.version) = (lens, version);
        }
    }
}

impl Known {
    fn covers(&self, ip: IpAddr, at: u64) -> bool {
        self.lens.iter().any(|len| {
            let net = IpNet::new(ip, *len).ok().map(|net| net.trunc());
            net.and_then(|net| self.until.get(&net)).is_some_and(|until| *until > at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_covered_by_their_networks() {
        let nets = [("10.0.0.0/8", u64::MAX), ("192.0.2.1", 100), ("2001:db8::/32", u64::MAX)];
        let until: HashMap<IpNet, u64> =
            nets.into_iter().map(|(net, until)| (spelled(net).unwrap().1, until)).collect();
        let known = Known { version: 1, lens: vec![8, 32], until };
        for (ip, at, want) in [
            ("10.9.8.7", 0, true),
            ("11.9.8.7", 0, false),
            ("192.0.2.1", 99, true),
            ("192.0.2.1", 100, false),
            ("192.0.2.2", 0, false),
            ("2001:db8:1::1", 0, true),
            ("2001:db9::1", 0, false),
        ] {
            assert_eq!(known.covers(ip.parse().unwrap(), at), want, "{ip}");
        }
    }
}
