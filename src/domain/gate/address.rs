//! Addresses and networks that are not served at all.
//!
//! They are few and asked for with every request: each core keeps them as it needs them, and sees by a number whether
//! there are other ones.

use ipnet::IpNet;
use rkyv::{Archive, Deserialize, Serialize};

use super::token::network;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::time::Offset;
use crate::id::UserId;
use crate::limits::ADDRESS_BLOCK_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedBlockedNet, BlockedNet, Meta};
use crate::store::tables::{ADDRESS_BLOCKS, META};
use crate::wire::json::shape::shape;

/// By what cores see that there are other ones.
const VERSION: &str = "address_blocks";

/// Serves an address or a network no more.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AddressBlock {
    /// As [`spelled`] has it.
    pub address: String,
    pub reason: Option<String>,
    /// For how long; `None`: for good.
    pub life_ms: Option<u64>,
}

/// Serves it again.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AddressUnblock {
    pub address: String,
}

/// An address or a network in the form in which it is stored, and what it means.
pub fn spelled(text: &str) -> Option<(String, IpNet)> {
    let net = network(text.trim())?;
    let net = match net.addr().to_canonical() {
        // A mapped address is the one it maps, unless more than those are meant.
        addr if addr != net.addr() && net.prefix_len() >= 96 => {
            IpNet::new(addr, net.prefix_len() - 96).ok()?
        }
        _ => net,
    };
    let net = net.trunc();
    let is_one = net.prefix_len() == net.max_prefix_len();
    Some((if is_one { net.addr().to_string() } else { net.to_string() }, net))
}

/// Another number whenever one was added or removed.
pub fn version(read: Read<'_>) -> u64 {
    read.get(META, VERSION).map_or(0, |meta| meta.value.to_native())
}

/// All of them, in no order, with until when they are: in steady time, for good at the end of it.
pub fn all(read: Read<'_>) -> impl Iterator<Item = (String, &ArchivedBlockedNet)> {
    read.scan(ADDRESS_BLOCKS, ()).take(ADDRESS_BLOCK_COUNT_MAX)
}

pub fn until(block: &ArchivedBlockedNet) -> u64 {
    block.until.as_ref().map_or(u64::MAX, |until| until.to_native())
}

/// One that is blocked already is for as long, and for the reason, that is said last.
pub(in crate::domain) fn address_block(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AddressBlock,
) -> Result<()> {
    forget_ended(machine);
    let is_known = machine.read().contains(ADDRESS_BLOCKS, op.address.as_str());
    if !is_known && machine.read().len(ADDRESS_BLOCKS) >= ADDRESS_BLOCK_COUNT_MAX as u64 {
        return Err(Error::bad_request(format!(
            "There can be at most {ADDRESS_BLOCK_COUNT_MAX} blocked addresses: unblock one first, or block a network"
        )));
    }
    let block = BlockedNet {
        reason: op.reason.clone(),
        blocked_at: machine.unix_ms,
        blocked_by: machine.admin().map(|admin| admin.0),
        until: op.life_ms.map(|life_ms| machine.at.saturating_add(life_ms)),
        order: machine.next_id(),
    };
    machine.tx.put(ADDRESS_BLOCKS, op.address.as_str(), &block);
    machine.tx.put(META, VERSION, &Meta { value: block.order });
    machine.note(Note::of(&op.address).after(op.reason.as_deref().unwrap_or("blocked")));
    Ok(())
}

/// Those whose time is over make room.
fn forget_ended(machine: &mut Machine<'_, '_>) {
    let at = machine.at;
    let ended = all(machine.read()).filter(|(_, block)| until(block) <= at);
    let ended: Vec<String> = ended.map(|(address, _)| address).collect();
    for address in ended {
        machine.tx.delete(ADDRESS_BLOCKS, address.as_str());
    }
}

/// Replies whether it was blocked.
pub(in crate::domain) fn address_unblock(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AddressUnblock,
) -> Result<bool> {
    if !machine.read().contains(ADDRESS_BLOCKS, op.address.as_str()) {
        return Ok(false);
    }
    machine.tx.delete(ADDRESS_BLOCKS, op.address.as_str());
    let version = machine.next_id();
    machine.tx.put(META, VERSION, &Meta { value: version });
    machine.note(Note::of(&op.address).before("blocked"));
    Ok(true)
}

shape! {
    /// An address or a network that is not served.
    pub BlockedIPResponse(address: &str, block: &ArchivedBlockedNet, offset: Offset) {
        ip_address: str = address,
        reason: opt_str = block.reason.as_deref(),
        blocked_at: time = block.blocked_at.to_native(),
        blocked_by: opt_id = block.blocked_by.as_ref().map(|id| id.to_native()),
        expires_at: opt_time = block.until.as_ref().map(|until| offset.shown(until.to_native())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, want) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1/32 ", Some("192.0.2.1")),
            ("192.0.2.77/24", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1/120", Some("192.0.2.0/24")),
            ("2001:DB8:0::1", Some("2001:db8::1")),
            ("2001:db8::5/32", Some("2001:db8::/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("nowhere", None),
            ("192.0.2", None),
            ("192.0.2.1/33", None),
            ("", None),
        ] {
            assert_eq!(spelled(text).map(|(text, _)| text).as_deref(), want, "{text}");
        }
    }
}
