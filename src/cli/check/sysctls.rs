//! Kernel settings that are one number each: a table, and what its rows come to.

use super::limits::OPEN_FILES_OWN;
use super::{Finding, Machine, Verdict};
use crate::config::Config;

/// What a setting must be.
#[derive(Clone, Copy, Debug)]
enum Want {
    AtLeast(u64),
    AtMost(u64),
}

impl Want {
    fn holds(self, value: u64) -> bool {
        match self {
            Want::AtLeast(least) => value >= least,
            Want::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Want::AtLeast(least) => format!("{least} or more"),
            Want::AtMost(0) => "0".to_owned(),
            Want::AtMost(most) => format!("{most} or less"),
        }
    }
}

/// One sysctl.
struct Row {
    name: &'static str,
    want: Want,
    /// What it is set to when the want does not hold.
    value: u64,
    otherwise: Verdict,
    why: &'static str,
}

/// Those that do not depend on the configuration. `tuning/99-plexichat.conf` sets the same values.
const ROWS: [Row; 6] = [
    Row {
        name: "net.core.somaxconn",
        want: Want::AtLeast(4096),
        value: 65_535,
        otherwise: Verdict::Warning,
        why: "handshakes that wait for accept; when all clients reconnect at once the rest are dropped and retried after 1 s",
    },
    Row {
        name: "net.ipv4.tcp_max_syn_backlog",
        want: Want::AtLeast(4096),
        value: 65_535,
        otherwise: Verdict::Warning,
        why: "handshakes under way; beyond it the kernel answers with SYN cookies or drops",
    },
    Row {
        name: "net.core.netdev_max_backlog",
        want: Want::AtLeast(4096),
        value: 16_384,
        otherwise: Verdict::Hint,
        why: "packets that wait per CPU when RPS or loopback is in use; column 2 of /proc/net/softnet_stat counts the lost",
    },
    Row {
        name: "net.ipv4.tcp_slow_start_after_idle",
        want: Want::AtMost(0),
        value: 0,
        otherwise: Verdict::Hint,
        why: "chat is silent, then bursts: after each silence the kernel forgets how much the path can take",
    },
    Row {
        name: "net.core.busy_poll",
        want: Want::AtMost(0),
        value: 0,
        otherwise: Verdict::Hint,
        why: "spins in poll and select, which the cores do not use; other programs burn the CPU",
    },
    Row {
        name: "vm.max_map_count",
        want: Want::AtLeast(65_530),
        value: 65_530,
        otherwise: Verdict::Hint,
        why: "mappings of one process; the heap asks for some more with each gigabyte",
    },
];

/// One finding each; a setting this kernel does not have is well.
pub fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    let files = config.http.connections_max + OPEN_FILES_OWN;
    let of_config = [
        Row {
            name: "net.core.wmem_max",
            want: Want::AtLeast(config.websocket.socket_send_buffer),
            value: config.websocket.socket_send_buffer.max(4 << 20),
            otherwise: Verdict::Warning,
            why: "caps websocket.socket_send_buffer without a word: what the kernel does not take waits in the server",
        },
        Row {
            name: "fs.nr_open",
            want: Want::AtLeast(files),
            value: files.next_power_of_two().max(1 << 20),
            otherwise: Verdict::Warning,
            why: "the highest limit of open files a process may be given; http.connections_max needs more",
        },
        Row {
            name: "fs.file-max",
            want: Want::AtLeast(files.saturating_mul(2)),
            value: files.saturating_mul(4),
            otherwise: Verdict::Warning,
            why: "open files of all processes together; twice http.connections_max leaves a proxy its share",
        },
    ];
    ROWS.iter().chain(&of_config).map(|row| row.finding(machine)).collect()
}

impl Row {
    fn finding(&self, machine: &Machine) -> Finding {
        let Row { name, want, value, otherwise, why } = *self;
        let (verdict, current) = match machine.text(&path(name)) {
            None => (Verdict::Ok, "not on this machine".to_owned()),
            // fs.file-max is the largest number there is under systemd, which is more than a u64 on no kernel.
            Some(text) => match text.parse() {
                Ok(number) if want.holds(number) => (Verdict::Ok, text),
                Ok(_) => (otherwise, text),
                Err(_) => (Verdict::Ok, "not a number".to_owned()),
            },
        };
        let finding = Finding::new(name, verdict, current).wanted(want.text()).why(why);
        finding.command(format!("sysctl -w {name}={value}"))
    }
}

/// The file of a setting. Names with a dot inside a part, as VLAN devices have, do not occur here.
fn path(name: &str) -> String {
    format!("proc/sys/{}", name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::tests::find;
    use super::*;
    use crate::config::Websocket;

    fn check(name: &'static str, text: &str, want: Verdict) -> Finding {
        let (_folder, machine) = fake(&[(&path(name), text)]);
        let finding = find(findings(&machine, &Config::default()), name);
        assert_eq!(finding.verdict, want, "{name} {text:?}: {finding:?}");
        finding
    }

    #[test]
    fn settings_are_compared() {
        check("net.core.somaxconn", "4095\n", Verdict::Warning);
        check("net.core.somaxconn", "4096\n", Verdict::Ok);
        check("net.ipv4.tcp_max_syn_backlog", "128\n", Verdict::Warning);
        check("net.core.netdev_max_backlog", "1000\n", Verdict::Hint);
        check("net.ipv4.tcp_slow_start_after_idle", "1\n", Verdict::Hint);
        check("net.ipv4.tcp_slow_start_after_idle", "0\n", Verdict::Ok);
        check("net.core.busy_poll", "50\n", Verdict::Hint);
        check("vm.max_map_count", "100\n", Verdict::Hint);
        check("fs.nr_open", "100255\n", Verdict::Warning);
        check("fs.nr_open", "100256\n", Verdict::Ok);
        check("fs.file-max", "200511\n", Verdict::Warning);
        check("fs.file-max", "9223372036854775807\n", Verdict::Ok);
        let finding = check("net.core.wmem_max", "212992\n", Verdict::Warning);
        assert_eq!(finding.commands, ["sysctl -w net.core.wmem_max=4194304"]);
        for odd in ["", "many", "-1", "99999999999999999999999"] {
            check("net.core.somaxconn", odd, Verdict::Ok);
        }
    }

    #[test]
    fn the_file_of_settings_says_the_same() {
        let file = include_str!("../../../tuning/99-plexichat.conf");
        for Row { name, value, .. } in &ROWS {
            let line = format!("{name} = {value}");
            assert!(file.lines().any(|have| have.trim_start_matches('#') == line), "{line}");
        }
        assert!(file.lines().any(|line| line == "net.core.wmem_max = 4194304"));
    }

    #[test]
    fn what_is_set_is_enough() {
        let config = Config {
            websocket: Websocket { socket_send_buffer: 64 << 20, ..Websocket::default() },
            ..Config::default()
        };
        let (_folder, machine) = fake(&[]);
        let of_config = findings(&machine, &config);
        assert_eq!(find(of_config, "net.core.wmem_max").commands, ["sysctl -w net.core.wmem_max=67108864"]);
        for row in &ROWS {
            assert!(row.want.holds(row.value), "{}", row.name);
        }
    }
}
