//! Memory: how much there is for as many connections as are allowed, and swap.

use super::machine::size_text;
use super::plan::SESSION_LEN;
use super::{Finding, Machine, Verdict};
use crate::config::{Config, Http};

pub fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    vec![enough(machine, &config.http), swap(machine), overcommit(machine)]
}

/// Bytes the server may use: of the machine, or less when its control group says so.
pub fn limit(machine: &Machine) -> Option<u64> {
    // A version 1 group without a limit has a number near 2^63, which the machine's own is below.
    let v2 = machine.group_folders("").into_iter().map(|folder| format!("{folder}/memory.max"));
    let v1 =
        machine.group_folders("memory").into_iter().map(|folder| format!("{folder}/memory.limit_in_bytes"));
    let groups = v2.chain(v1).filter_map(|file| machine.number(&file));
    groups.chain(machine.memory_bytes("MemTotal")).min()
}

fn enough(machine: &Machine, http: &Http) -> Finding {
    let wanted = http.connections_max.saturating_mul(SESSION_LEN);
    let limit = limit(machine);
    let verdict = match limit {
        Some(limit) if limit < wanted => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let current = limit.map_or_else(|| "unknown".to_owned(), size_text);
    Finding::new("memory", verdict, current)
        .wanted(format!("{} for http.connections_max idle sessions", size_text(wanted)))
        .why("without it the kernel kills the server before http.connections_max refuses anybody")
        .remedy("more memory (MemoryMax=, --memory), or a smaller http.connections_max")
}

fn swap(machine: &Machine) -> Finding {
    let total = machine.memory_bytes("SwapTotal").unwrap_or(0);
    let swappiness = machine.number("proc/sys/vm/swappiness").unwrap_or(0);
    let (verdict, current) = match (total, swappiness) {
        (0, _) => (Verdict::Ok, "none".to_owned()),
        (_, 0..=10) => (Verdict::Ok, format!("{}, swappiness {swappiness}", size_text(total))),
        _ => (Verdict::Hint, format!("{}, swappiness {swappiness}", size_text(total))),
    };
    Finding::new("swap", verdict, current)
        .wanted("none, or vm.swappiness of 10 or less")
        .why("a page that has to come back from disk stops all sessions of its core meanwhile")
        .command("sysctl -w vm.swappiness=1")
}

/// The database is a shared file mapping and never counts; the heap does.
fn overcommit(machine: &Machine) -> Finding {
    let mode = machine.number("proc/sys/vm/overcommit_memory");
    let verdict = if mode == Some(2) { Verdict::Hint } else { Verdict::Ok };
    let current = mode.map_or_else(|| "unknown".to_owned(), |mode| mode.to_string());
    Finding::new("vm.overcommit_memory", verdict, current)
        .wanted("0 or 1")
        .why("2 counts what the heap reserves as used: it reserves 1 GiB at a time and uses little of it")
        .command("sysctl -w vm.overcommit_memory=0")
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::tests::find;
    use super::*;

    fn check(name: &str, files: &[(&str, &str)], want: (Verdict, &str)) {
        let (_folder, machine) = fake(files);
        let finding = find(findings(&machine, &Config::default()), name);
        assert_eq!((finding.verdict, finding.current.as_str()), want, "{files:?}");
    }

    #[test]
    fn the_smallest_limit_counts() {
        let total = ("proc/meminfo", "MemTotal: 8388608 kB\n");
        let small = ("sys/fs/cgroup/memory.max", "268435456\n");
        let deep = ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "134217728\n");
        let deep_group = ("proc/self/cgroup", "5:memory:/docker/x\n");
        check("memory", &[total], (Verdict::Ok, "8 GiB"));
        check("memory", &[total, small], (Verdict::Warning, "256 MiB"));
        check("memory", &[total, ("sys/fs/cgroup/memory.max", "max\n")], (Verdict::Ok, "8 GiB"));
        check("memory", &[total, deep, deep_group], (Verdict::Warning, "128 MiB"));
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check("memory", &[total, none, ("proc/self/cgroup", "5:memory:/\n")], (Verdict::Ok, "8 GiB"));
        check("memory", &[], (Verdict::Ok, "unknown"));
    }

    #[test]
    fn swap_is_fine_when_it_is_not_used() {
        let swap = ("proc/meminfo", "SwapTotal: 2097152 kB\n");
        check("swap", &[swap, ("proc/sys/vm/swappiness", "60\n")], (Verdict::Hint, "2 GiB, swappiness 60"));
        check("swap", &[swap, ("proc/sys/vm/swappiness", "1\n")], (Verdict::Ok, "2 GiB, swappiness 1"));
        check("swap", &[], (Verdict::Ok, "none"));
    }

    #[test]
    fn strict_accounting_is_told() {
        check("vm.overcommit_memory", &[("proc/sys/vm/overcommit_memory", "2\n")], (Verdict::Hint, "2"));
        check("vm.overcommit_memory", &[("proc/sys/vm/overcommit_memory", "1\n")], (Verdict::Ok, "1"));
    }
}
