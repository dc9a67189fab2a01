//! The networks that a client is counted by.
//!
//! A v6 customer is given a /64, a /56 or a /48 and has as many addresses as he likes in it; a v4 customer has one.
//! Which of the three it is cannot be seen from outside, and others may be customers in the wider ones. So each is
//! counted, and the wider it is the more it may have: who has a /48 of his own has 16 times as much, not 65,536 times.

use std::net::IpAddr;

/// Prefix lengths of a v6 address, and how much more than a single client such a network may have.
const V6: [(u8, u32); 3] = [(64, 1), (56, 4), (48, 16)];
const V4: [(u8, u32); 1] = [(32, 1)];

/// The most there are of one address.
pub const NETWORK_COUNT_MAX: usize = V6.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The upper bits of the address, with zeros behind the prefix.
    pub bits: u64,
    /// Of the prefix; tells v4 from v6.
    pub len: u8,
    /// How many times as much as a single client.
    pub factor: u32,
}

impl Network {
    /// The widest of an address: for what is shared out instead of counted.
    pub fn widest(address: IpAddr) -> Network {
        networks(address).last().expect("an address is in a network")
    }
}

/// All of an address, the narrowest first. A v4 address in v6 clothes is a v4 address.
pub fn networks(address: IpAddr) -> impl Iterator<Item = Network> {
    let (bits, prefixes) = match address.to_canonical() {
        IpAddr::V4(address) => (u64::from(address.to_bits()) << 32, &V4[..]),
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, &V6[..]),
    };
    prefixes.iter().map(move |&(len, factor)| Network { bits: bits >> (64 - len) << (64 - len), len, factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Vec<Network> {
        networks(address.parse().unwrap()).collect()
    }

    #[test]
    fn a_v4_address_is_a_network_of_its_own() {
        assert_eq!(of("192.0.2.1").len(), 1);
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1")[0].factor, 1);
    }

    #[test]
    fn a_v6_address_is_in_three_each_with_more_room() {
        let one = of("2001:db8:1:203::1");
        let factors: Vec<(u8, u32)> = one.iter().map(|network| (network.len, network.factor)).collect();
        assert_eq!(factors, [(64, 1), (56, 4), (48, 16)]);
        assert_eq!(one.len(), NETWORK_COUNT_MAX);
        let shared = |other: &str| {
            let other = of(other);
            [0, 1, 2].map(|index: usize| one[index] == other[index])
        };
        assert_eq!(shared("2001:db8:1:203:ffff::9"), [true, true, true]);
        assert_eq!(shared("2001:db8:1:2ff::1"), [false, true, true]);
        assert_eq!(shared("2001:db8:1:303::1"), [false, false, true]);
        assert_eq!(shared("2001:db8:2:203::1"), [false, false, false]);
        assert_eq!(Network::widest("2001:db8:1:203::1".parse().unwrap()), one[2]);
        // The address ::, by whatever prefix, is no v4 address.
        let none = of("::");
        assert!(none.iter().all(|network| *network != of("0.0.0.0")[0]));
        assert_ne!(none[0], none[1]);
    }
}
