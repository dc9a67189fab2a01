//! Kernel memory of connections, as far as /proc tells.
//!
//! On loopback one machine holds both ends of a connection, and the kernel does not say which end a slab object
//! belongs to. So the growth of all slabs is taken, the objects that only the load generator makes (its epoll items)
//! are taken off, the rest is halved, and what only a server on io_uring makes is added to its half. Whoever lists the
//! descriptors in /proc meanwhile, such as a monitor, leaves an inode for each there: those are taken off too.
//!
//! Sources: proc(5) for meminfo and status, slabinfo(5).

use std::fs;

/// What one watched descriptor costs in epoll where /proc/slabinfo cannot be read: an `eventpoll_epi` of 128 bytes
/// and an `eventpoll_pwq` of 72 (Linux 6.x on 64 bits).
const EPOLL_ITEM_LEN: u64 = 200;

/// Slabs of which the load generator makes one object per session, and the server none unless it uses epoll too.
const EPOLL_SLABS: [&str; 2] = ["eventpoll_epi", "eventpoll_pwq"];
/// Slab of requests under way in io_uring, which the load generator does not use.
const RING_SLAB: &str = "io_kiocb";
/// Slab of what somebody has looked at in /proc, and the directory entry that comes with each (Linux 6.x on 64 bits).
const LOOK_SLAB: &str = "proc_inode_cache";
const DENTRY_LEN: u64 = 192;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    /// All slabs of the machine.
    pub slab_kib: u64,
    /// Page tables and kernel stacks of the machine.
    pub tables_kib: u64,
    /// Pages of TCP socket buffers, which are not all in slabs.
    pub buffers_kib: u64,
    /// Active objects of the named slab, and the length of one; `None` where it cannot be read or does not exist.
    epoll: [Option<(u64, u64)>; 2],
    ring: Option<(u64, u64)>,
    looks: Option<(u64, u64)>,
}

/// As the kernel reports it now.
pub fn kernel() -> Kernel {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (meminfo, slabinfo) = (read("/proc/meminfo"), read("/proc/slabinfo"));
    let field = |name: &str| crate::system::field_kib(&meminfo, name);
    Kernel {
        slab_kib: field("Slab:"),
        tables_kib: field("PageTables:") + field("KernelStack:"),
        buffers_kib: tcp_pages(&read("/proc/net/sockstat")) * 4,
        epoll: EPOLL_SLABS.map(|name| slab(&slabinfo, name)),
        ring: slab(&slabinfo, RING_SLAB),
        looks: slab(&slabinfo, LOOK_SLAB).map(|(count, len)| (count, len + DENTRY_LEN)),
    }
}

/// Pages of socket buffers: `TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 2`.
fn tcp_pages(sockstat: &str) -> u64 {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
    let mut words = line.unwrap_or_default().split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Active objects of a slab and the length of one: `name active total length …`.
fn slab(slabinfo: &str, name: &str) -> Option<(u64, u64)> {
    slabinfo.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != name {
            return None;
        }
        let active = words.next()?.parse().ok()?;
        Some((active, words.nth(1)?.parse().ok()?))
    })
}

/// Bytes of new objects of a slab, at most `count_max` of them.
fn growth(before: Option<(u64, u64)>, after: Option<(u64, u64)>, count_max: u64) -> Option<f64> {
    let ((before, _), (after, len)) = (before?, after?);
    Some((after.saturating_sub(before).min(count_max) * len) as f64)
}

/// The server's share of what the slabs have grown by, in bytes, when `sessions` connections over loopback were made
/// meanwhile.
pub fn server_bytes(before: &Kernel, after: &Kernel, sessions: u64) -> f64 {
    let slabs = (after.slab_kib as f64 - before.slab_kib as f64) * 1024.0;
    let epoll: Option<f64> =
        before.epoll.iter().zip(&after.epoll).map(|(b, a)| growth(*b, *a, sessions)).sum();
    // Newer kernels merge slabs of one size, so that one may be missing: then the fixed cost is taken.
    let epoll = epoll.unwrap_or((sessions * EPOLL_ITEM_LEN) as f64);
    let ring = growth(before.ring, after.ring, u64::MAX).unwrap_or(0.0);
    let looks = growth(before.looks, after.looks, u64::MAX).unwrap_or(0.0);
    let buffers = (after.buffers_kib as f64 - before.buffers_kib as f64) * 1024.0;
    (slabs + buffers - epoll - ring - looks) / 2.0 + ring
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let text = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>\n\
                    eventpoll_epi        100    128    128   32    1 : tunables\nTCP 5 13 2432 13 8 : x\n";
        assert_eq!(slab(text, "eventpoll_epi"), Some((100, 128)));
        assert_eq!(slab(text, "TCP"), Some((5, 2432)));
        assert_eq!(slab(text, "io_kiocb"), None);
        assert_eq!(
            tcp_pages("sockets: used 14\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 155\nUDP: mem 3\n"),
            155
        );
        assert_eq!(tcp_pages(""), 0);
    }

    #[test]
    fn the_client_pays_for_its_epoll_and_the_server_for_its_ring() {
        let before = Kernel {
            slab_kib: 1000,
            epoll: [Some((0, 128)), Some((0, 72))],
            ring: Some((10, 256)),
            ..Kernel::default()
        };
        // 1,024 sessions: 200 bytes of epoll each, 256 of the ring, and 2 × 3,000 of sockets.
        let after = Kernel {
            slab_kib: 1000 + 200 + 256 + 6000,
            epoll: [Some((1024, 128)), Some((1024, 72))],
            ring: Some((1034, 256)),
            ..Kernel::default()
        };
        assert_eq!(server_bytes(&before, &after, 1024), 1024.0 * (3000.0 + 256.0));
        // A monitor has listed all descriptors of the server: 1,024 bytes each.
        let watched = Kernel { slab_kib: after.slab_kib + 1024, looks: Some((2048, 1024)), ..after.clone() };
        let unwatched = Kernel { looks: Some((1024, 1024)), ..before.clone() };
        assert_eq!(server_bytes(&unwatched, &watched, 1024), 1024.0 * (3000.0 + 256.0));
        let blind = |kernel: Kernel| Kernel { epoll: [None; 2], ring: None, ..kernel };
        assert_eq!(server_bytes(&blind(before), &blind(after), 1024), 1024.0 * (3000.0 + 128.0));
    }

    #[test]
    fn a_server_on_epoll_keeps_its_own_items() {
        let before = Kernel { epoll: [Some((0, 128)), Some((0, 72))], ..Kernel::default() };
        let after =
            Kernel { slab_kib: 400, epoll: [Some((2048, 128)), Some((2048, 72))], ..Kernel::default() };
        assert_eq!(server_bytes(&before, &after, 1024), 1024.0 * 100.0);
    }
}
