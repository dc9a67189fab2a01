//! The network: which cores take the packets, connection tracking, ports for outgoing connections.

use std::collections::BTreeSet;

use super::machine::{cpu_list, cpu_mask};
use super::{Finding, Machine, Verdict};
use crate::config::{Config, Http};

const PORTS_WANTED: u64 = 28_000;

pub fn findings(machine: &Machine, config: &Config, cores: &[usize]) -> Vec<Finding> {
    vec![spread(machine, cores), tracking(machine, &config.http), ports(machine)]
}

/// Over how many cores the packets of the default route's card are spread: by its queues, or by RPS in software.
fn spread(machine: &Machine, cores: &[usize]) -> Finding {
    let finding = |verdict, current: String| {
        Finding::new("packets of the network card", verdict, current)
            .wanted(format!("spread over {} cores", cores.len()))
            .why("one core takes all packets and is full first; steering them costs CPU, so look at %soft of mpstat -P ALL")
    };
    let Some(device) = default_device(machine) else {
        return finding(Verdict::Ok, "no default route".to_owned());
    };
    let queues = format!("sys/class/net/{device}/queues");
    let mut receive = machine.names(&queues);
    receive.retain(|name| name.starts_with("rx-"));
    if receive.is_empty() {
        return finding(Verdict::Ok, format!("{device}: no queues"));
    }
    let steered = receive.iter().filter(|queue| {
        let mask = machine.text(&format!("{queues}/{queue}/rps_cpus")).unwrap_or_default();
        mask.bytes().any(|digit| !matches!(digit, b'0' | b','))
    });
    let steered = steered.count() == receive.len();
    let irqs = irq_cores(machine, &device);
    // Without a readable line in /proc/interrupts each queue counts for a core of its own.
    let taking = if irqs.is_empty() { receive.len() } else { irqs.len().min(receive.len()) };
    let current = match (steered, receive.len()) {
        (true, count) => format!("{device}: {count} queue(s) and RPS"),
        (false, count) => format!("{device}: {count} queue(s) on {taking} core(s)"),
    };
    if steered || taking >= cores.len() {
        return finding(Verdict::Ok, current);
    }
    let finding = finding(Verdict::Hint, current)
        .remedy(format!("tuning/affinity.sh --dev {device} --cores {} shows what to set", core_list(cores)));
    if receive.len() >= cores.len() {
        return finding;
    }
    // More queues are not to be had from here; the interrupted core can hand packets on.
    receive.iter().fold(finding, |finding, queue| {
        finding.command(format!("echo {} > /{queues}/{queue}/rps_cpus", cpu_mask(cores)))
    })
}

/// The device of the default route, IPv4 first.
pub fn default_device(machine: &Machine) -> Option<String> {
    // proc(5): Iface Destination Gateway Flags …; flag 1 is up.
    let v4 = machine.text("proc/net/route").unwrap_or_default();
    let v4 = v4.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let up = u32::from_str_radix(fields.get(3)?, 16).ok()? & 1 == 1;
        (*fields.get(1)? == "00000000" && *fields.get(7)? == "00000000" && up).then(|| fields[0].to_owned())
    });
    // Destination, its length, source, its length, next hop, metric, references, uses, flags, device.
    let v6 = machine.text("proc/net/ipv6_route").unwrap_or_default();
    let v6 = v6.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_default = fields.first()?.bytes().all(|digit| digit == b'0') && *fields.get(1)? == "00";
        is_default.then(|| fields.get(9).map(|&name| name.to_owned()))?
    });
    // A name goes into paths and commands: only such as nobody has to quote.
    let plain = |name: &String| {
        let letters = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'@');
        name != "lo" && !name.starts_with(['.', '-']) && name.bytes().all(letters)
    };
    v4.chain(v6).find(plain)
}

/// The cores that the interrupts of the device's queues go to.
fn irq_cores(machine: &Machine, device: &str) -> BTreeSet<usize> {
    let virtio = machine.link_name(&format!("sys/class/net/{device}/device"));
    let text = machine.text("proc/interrupts").unwrap_or_default();
    let mut cores = BTreeSet::new();
    for line in text.lines() {
        let Some((irq, rest)) = line.trim_start().split_once(':') else { continue };
        let Ok(irq) = irq.parse::<u32>() else { continue };
        let mut words = rest.split_ascii_whitespace();
        if !words.any(|word| is_receive_queue(word, device, virtio.as_deref())) {
            continue;
        }
        let file = |name: &str| machine.text(&format!("proc/irq/{irq}/{name}"));
        let list = file("effective_affinity_list").filter(|list| !list.is_empty());
        let list = list.or_else(|| file("smp_affinity_list")).and_then(|list| cpu_list(&list));
        cores.extend(list.and_then(|list| list.first().copied()));
    }
    cores
}

/// Whether a word of `/proc/interrupts` names a queue that packets come in by: `eth0-Tx-Rx-0` (ENA, Intel),
/// `eth0-rx-1`, `mlx5_comp3@pci:…` with the device's PCI address, `virtio2-input.0`.
fn is_receive_queue(word: &str, device: &str, bus_name: Option<&str>) -> bool {
    let is_transmit = |rest: &str| {
        let rest = rest.to_ascii_lowercase();
        rest.starts_with("-tx") && !rest.contains("rx")
    };
    if let Some(rest) = word.strip_prefix(device) {
        return rest.is_empty() || (rest.starts_with('-') && !is_transmit(rest));
    }
    let Some(bus_name) = bus_name else { return false };
    match word.strip_prefix(bus_name) {
        Some(rest) => rest.starts_with("-input."),
        None => word.contains("comp") && word.ends_with(bus_name),
    }
}

/// `0-7`, `0,2`.
fn core_list(cores: &[usize]) -> String {
    let whole = cores.windows(2).all(|pair| pair[1] == pair[0] + 1);
    match (cores, whole) {
        ([first, .., last], true) => format!("{first}-{last}"),
        _ => cores.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
    }
}

/// Whether a firewall remembers connections, and how many it can.
fn tracking(machine: &Machine, http: &Http) -> Finding {
    let read = |name: &str| machine.number(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    let wanted = http.connections_max.saturating_mul(2);
    let (verdict, current) = match (read("count"), read("max")) {
        (Some(count), Some(max)) if count > 0 && max < wanted => {
            (Verdict::Warning, format!("{count} of {max} entries"))
        }
        (Some(0), Some(_)) => (Verdict::Ok, "not in use".to_owned()),
        (Some(count), Some(max)) => (Verdict::Ok, format!("{count} of {max} entries")),
        _ => (Verdict::Ok, "none".to_owned()),
    };
    Finding::new("connection tracking", verdict, current)
        .wanted(format!("{wanted} entries: twice http.connections_max, as closed ones stay a while"))
        .why("when the table is full, new connections are dropped; better not to track the server's port at all")
        .command(format!("sysctl -w net.netfilter.nf_conntrack_max={wanted}"))
}

/// Matters to whoever connects from this machine: a proxy in front, or a load test.
fn ports(machine: &Machine) -> Finding {
    let name = "net.ipv4.ip_local_port_range";
    let text = machine.text("proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let count = port_count(&text);
    let verdict = if count.is_some_and(|count| count < PORTS_WANTED) { Verdict::Hint } else { Verdict::Ok };
    let current = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let current = if current.is_empty() { "not on this machine".to_owned() } else { current };
    Finding::new(name, verdict, current)
        .wanted(format!("{PORTS_WANTED} ports or more"))
        .why("a proxy on this machine has so many connections to one address and port, no more")
        .command(format!("sysctl -w {name}='1024 65535'"))
}

fn port_count(text: &str) -> Option<u64> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some(high.saturating_add(1).saturating_sub(low))
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::tests::find;
    use super::*;

    const ROUTE: (&str, &str) = (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
         eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
         eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n",
    );
    const QUEUE: (&str, &str) = ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n");
    const SECOND: (&str, &str) = ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0\n");

    fn check(files: &[(&str, &str)], cores: &[usize], want: (Verdict, &str)) -> Finding {
        let (_folder, machine) = fake(files);
        let finding = find(findings(&machine, &Config::default(), cores), "packets of the network card");
        assert_eq!((finding.verdict, finding.current.as_str()), want, "{files:?}");
        finding
    }

    #[test]
    fn one_queue_for_many_cores() {
        let finding = check(&[ROUTE, QUEUE], &[0, 1, 2, 3], (Verdict::Hint, "eth0: 1 queue(s) on 1 core(s)"));
        assert_eq!(finding.commands, ["echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus"]);
        assert!(finding.remedy.contains("--dev eth0 --cores 0-3 "), "{finding:?}");
        check(&[ROUTE, QUEUE], &[3], (Verdict::Ok, "eth0: 1 queue(s) on 1 core(s)"));
        let steered = (QUEUE.0, "00000000,0000000f\n");
        check(&[ROUTE, steered], &[0, 1, 2, 3], (Verdict::Ok, "eth0: 1 queue(s) and RPS"));
        check(&[ROUTE, steered, SECOND], &[0, 1, 2], (Verdict::Hint, "eth0: 2 queue(s) on 2 core(s)"));
        check(&[ROUTE], &[0, 1], (Verdict::Ok, "eth0: no queues"));
        check(&[], &[0, 1], (Verdict::Ok, "no default route"));
    }

    #[test]
    fn queues_that_interrupt_the_same_core() {
        let interrupts = (
            "proc/interrupts",
            "           CPU0       CPU1\n  30:  1  0  PCI-MSIX-0000:00:05.0 0-edge eth0-Tx-Rx-0\n \
             31:  1  0  PCI-MSIX-0000:00:05.0 1-edge eth0-Tx-Rx-1\n NMI:  0  0 Non-maskable interrupts\n",
        );
        let first = ("proc/irq/30/effective_affinity_list", "0\n");
        let files = [ROUTE, QUEUE, SECOND, interrupts, first, ("proc/irq/31/smp_affinity_list", "0-1\n")];
        let finding = check(&files, &[0, 1], (Verdict::Hint, "eth0: 2 queue(s) on 1 core(s)"));
        assert!(finding.commands.is_empty() && finding.remedy.contains("affinity.sh"), "{finding:?}");
        let files = [ROUTE, QUEUE, SECOND, interrupts, first, ("proc/irq/31/effective_affinity_list", "1\n")];
        check(&files, &[0, 1], (Verdict::Ok, "eth0: 2 queue(s) on 2 core(s)"));
    }

    #[test]
    fn names_of_interrupts() {
        for (word, bus_name, want) in [
            ("eth0", None, true),
            ("eth0-Tx-Rx-3", None, true),
            ("eth0-rx-1", None, true),
            ("eth0-TxRx-1", None, true),
            ("eth0-tx-1", None, false),
            ("eth01", None, false),
            ("virtio2-input.0", Some("virtio2"), true),
            ("virtio2-output.0", Some("virtio2"), false),
            ("virtio20-input.0", Some("virtio2"), false),
            ("mlx5_comp3@pci:0000:3b:00.0", Some("0000:3b:00.0"), true),
            ("mlx5_async0@pci:0000:3b:00.0", Some("0000:3b:00.0"), false),
            ("virtio2-input.0", None, false),
        ] {
            assert_eq!(is_receive_queue(word, "eth0", bus_name), want, "{word}");
        }
    }

    #[test]
    fn default_routes() {
        let v6 = |name: &str| {
            let zero = "0".repeat(32);
            format!("{zero} 00 {zero} 00 fe80000000000000 00000400 00000001 00000000 00000003 {name}\n")
        };
        let down = "Iface\nens5\t00000000\t010200C0\t0002\t0\t0\t0\t00000000\n";
        for (v4, v6, want) in [
            (ROUTE.1, v6("ens6"), Some("eth0")),
            (down, v6("ens6"), Some("ens6")),
            (down, v6("lo"), None),
            ("Iface\n$(reboot)\t00000000\t0\t0003\t0\t0\t0\t00000000\n", String::new(), None),
            ("Iface\n..\t00000000\t0\t0003\t0\t0\t0\t00000000\n", String::new(), None),
            ("Iface\nshort\t00000000\n", "0 00\n".to_owned(), None),
        ] {
            let (_folder, machine) = fake(&[("proc/net/route", v4), ("proc/net/ipv6_route", &v6)]);
            assert_eq!(default_device(&machine).as_deref(), want, "{v4}{v6}");
        }
    }

    #[test]
    fn core_lists() {
        for (cores, want) in [(&[0, 1, 2][..], "0-2"), (&[4], "4"), (&[0, 2], "0,2"), (&[], "")] {
            assert_eq!(core_list(cores), want);
        }
    }

    #[test]
    fn tracked_connections() {
        let count = "proc/sys/net/netfilter/nf_conntrack_count";
        let max = "proc/sys/net/netfilter/nf_conntrack_max";
        for (count_text, max_text, want) in [
            ("0", "1000", Verdict::Ok),
            ("5", "1000", Verdict::Warning),
            ("5", "200000", Verdict::Ok),
            ("", "", Verdict::Ok),
        ] {
            let (_folder, machine) = fake(&[(count, count_text), (max, max_text)]);
            assert_eq!(
                tracking(&machine, &Config::default().http).verdict,
                want,
                "{count_text} of {max_text}"
            );
        }
    }

    #[test]
    fn ports_are_counted() {
        let cases = [("32768\t60999\n", Some(28_232)), ("5 4", Some(0)), ("5", None), ("", None)];
        for (text, want) in cases {
            assert_eq!(port_count(text), want, "{text:?}");
        }
        let file = "proc/sys/net/ipv4/ip_local_port_range";
        for (text, want) in
            [("32768\t60999\n", Verdict::Ok), ("50000 60999", Verdict::Hint), ("?", Verdict::Ok)]
        {
            let (_folder, machine) = fake(&[(file, text)]);
            assert_eq!(ports(&machine).verdict, want, "{text}");
        }
    }
}
