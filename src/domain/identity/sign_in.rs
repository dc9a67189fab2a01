//! From where somebody signs in: the first time from an address he is told by mail.

use std::net::IpAddr;

use super::mail;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::limits::SIGN_IN_SOURCE_COUNT_MAX;
use crate::store::records::{SignIns, mail_kind};
use crate::store::tables::SIGN_INS;

/// Notes that a session was opened from there. Where the very first one came from is nothing to tell.
pub(super) fn note(machine: &mut Machine<'_, '_>, user_id: UserId, address: &str) {
    let source = source(address);
    let known = machine.tx.get(SIGN_INS, user_id);
    if known.is_some_and(|known| known.sources.iter().any(|known| *known == *source)) {
        return;
    }
    let mut known = known.map(SignIns::from).unwrap_or_default();
    if !known.sources.is_empty() {
        mail::tell(machine, user_id, mail_kind::NEW_SIGN_IN, address, 0);
    }
    let surplus = (known.sources.len() + 1).saturating_sub(SIGN_IN_SOURCE_COUNT_MAX);
    known.sources.drain(..surplus);
    known.sources.push(source);
    machine.tx.put(SIGN_INS, user_id, &known);
}

/// What counts as one place: an IPv4 address, or an IPv6 /64, in which one client has as many as he likes.
fn source(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(network))
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_one_source() {
        for (address, want) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
            ("nowhere", "nowhere"),
        ] {
            assert_eq!(source(address), want, "{address}");
        }
    }
}
