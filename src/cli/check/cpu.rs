//! The cores: how many the server gets, what slows them down, and where they are.

use super::machine::cpu_list;
use super::{Finding, Machine, Verdict};
use crate::config::Runtime;

/// `cores` are those the process may run on.
pub fn findings(machine: &Machine, runtime: &Runtime, cores: &[usize]) -> Vec<Finding> {
    let threads = match runtime.cores as usize {
        0 => cores.len(),
        count => count,
    };
    vec![
        quota(machine, threads),
        threads_and_cores(threads, cores),
        nodes(machine, cores),
        governor(machine),
        clocksource(machine),
        huge_pages(machine),
    ]
}

/// A container's share of CPU time is not a number of cores: threads beyond it are all stopped together.
fn quota(machine: &Machine, threads: usize) -> Finding {
    let cores = quota_millis(machine);
    let (verdict, current) = match cores {
        None => (Verdict::Ok, "none".to_owned()),
        Some(millis) => {
            let verdict = if millis < threads as u64 * 1000 { Verdict::Warning } else { Verdict::Ok };
            (verdict, format!("{}.{} cores", millis / 1000, millis % 1000 / 100))
        }
    };
    let fitting = (cores.unwrap_or(0) / 1000).max(1);
    Finding::new("CPU quota", verdict, current)
        .wanted(format!("none, or {threads} for as many core threads"))
        .why("when the share of a period is used up, all cores stand still until the next: up to 100 ms")
        .remedy(format!("whole cores instead (--cpuset-cpus, AllowedCPUs=), or runtime.cores = {fitting}"))
}

/// Thousandths of a core that the control group or one above it allows; the least of them.
fn quota_millis(machine: &Machine) -> Option<u64> {
    let of_v2 = |folder: String| {
        let text = machine.text(&format!("{folder}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        Some((quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?))
    };
    let of_v1 = |folder: String| {
        let read = |name: &str| machine.number(&format!("{folder}/{name}"));
        Some((read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?))
    };
    let v2 = machine.group_folders("").into_iter().filter_map(of_v2);
    let v1 = machine.group_folders("cpu").into_iter().filter_map(of_v1);
    let shares = v2.chain(v1).filter(|(_, period)| *period > 0);
    shares.map(|(quota, period)| quota.saturating_mul(1000) / period).min()
}

fn threads_and_cores(threads: usize, cores: &[usize]) -> Finding {
    let verdict = if threads > cores.len() { Verdict::Warning } else { Verdict::Ok };
    Finding::new("core threads", verdict, format!("{threads} on {} cores", cores.len()))
        .wanted("at most one per core")
        .why("two pinned threads on a core take turns of milliseconds: each waits for the other")
        .remedy("runtime.cores = 0, or give the process more cores (taskset, AllowedCPUs=, --cpuset-cpus)")
}

/// Memory of another socket takes half as long again; the server has one writer and one database.
fn nodes(machine: &Machine, cores: &[usize]) -> Finding {
    let folder = "sys/devices/system/node";
    let names = machine.names(folder);
    let is_node = |name: &&String| name.strip_prefix("node").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let mut used = Vec::new();
    for name in names.iter().filter(is_node) {
        let cpus = machine.text(&format!("{folder}/{name}/cpulist")).and_then(|text| cpu_list(&text));
        if cpus.unwrap_or_default().iter().any(|cpu| cores.contains(cpu)) {
            used.push(name.trim_start_matches("node"));
        }
    }
    let balancing = machine.number("proc/sys/kernel/numa_balancing").unwrap_or(0);
    let verdict = if used.len() > 1 { Verdict::Hint } else { Verdict::Ok };
    let count = used.len().max(1);
    let finding = Finding::new("NUMA nodes in use", verdict, count.to_string())
        .wanted("1")
        .why("events, snapshots and packets cross between the sockets, and pages are moved about under running threads")
        .remedy(format!(
            "numactl --cpunodebind={0} --membind={0} plexichat, with the node of the network card; see tuning/README.md",
            used.first().unwrap_or(&"0")
        ));
    if used.len() > 1 && balancing > 0 {
        return finding.command("sysctl -w kernel.numa_balancing=0");
    }
    finding
}

fn governor(machine: &Machine) -> Finding {
    const FOLDER: &str = "sys/devices/system/cpu/cpufreq";
    let policies = machine.names(FOLDER);
    let mut governors: Vec<String> = policies
        .iter()
        .filter_map(|policy| machine.text(&format!("{FOLDER}/{policy}/scaling_governor")))
        .collect();
    governors.sort();
    governors.dedup();
    let verdict =
        if governors.iter().all(|name| name == "performance") { Verdict::Ok } else { Verdict::Hint };
    let current = match governors.as_slice() {
        [] => "the host's affair".to_owned(),
        _ => governors.join(", "),
    };
    Finding::new("CPU governor", verdict, current)
        .wanted("performance")
        .why("a core that was idle begins a burst at a low clock; matters for latency, costs power")
        .command(
            "for file in /sys/devices/system/cpu/cpufreq/policy*/scaling_governor; do echo performance > \"$file\"; done",
        )
}

fn clocksource(machine: &Machine) -> Finding {
    const FOLDER: &str = "sys/devices/system/clocksource/clocksource0";
    /// Those the C library reads without a system call.
    const FAST: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
    let current = machine.text(&format!("{FOLDER}/current_clocksource"));
    let slow = current.as_deref().is_some_and(|name| !FAST.contains(&name));
    let available = machine.text(&format!("{FOLDER}/available_clocksource")).unwrap_or_default();
    let better = FAST.into_iter().find(|name| available.split_ascii_whitespace().any(|word| word == *name));
    let verdict = if slow { Verdict::Warning } else { Verdict::Ok };
    let finding = Finding::new("clock source", verdict, current.unwrap_or_else(|| "unknown".to_owned()))
        .wanted("tsc, or another that takes no system call")
        .why(
            "every turn and every timer reads the clock; through a device that takes a microsecond and more",
        );
    match better {
        Some(name) => finding.command(format!("echo {name} > /{FOLDER}/current_clocksource")),
        None => {
            finding.remedy("boot with tsc=reliable if the processor's counter is sound; else live with it")
        }
    }
}

/// The server switches them off for itself; when that did not work it shows.
fn huge_pages(machine: &Machine) -> Finding {
    const FILE: &str = "sys/kernel/mm/transparent_hugepage/enabled";
    let mode = machine.choice(FILE);
    let off_here = machine.field("proc/self/status", "THP_enabled") == Some(0);
    let (verdict, current) = match mode.as_deref() {
        None => (Verdict::Ok, "none".to_owned()),
        Some("never") => (Verdict::Ok, "never".to_owned()),
        Some(mode) if off_here => (Verdict::Ok, format!("{mode}, off for the server")),
        Some(mode) => (Verdict::Hint, mode.to_owned()),
    };
    Finding::new("transparent huge pages", verdict, current)
        .wanted("never, or off for the server")
        .why("a page of 2 MiB stays resident for one session of 1 KiB; the server could not switch them off for itself")
        .command(format!("echo never > /{FILE}"))
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::tests::find;
    use super::*;
    use crate::config::Config;
    use crate::config::Runtime;

    fn check(name: &str, files: &[(&str, &str)], cores: &[usize], want: (Verdict, &str)) -> Finding {
        let (_folder, machine) = fake(files);
        let finding = find(findings(&machine, &Config::default().runtime, cores), name);
        assert_eq!((finding.verdict, finding.current.as_str()), want, "{files:?}");
        finding
    }

    #[test]
    fn quotas_of_containers() {
        let check = |files: &[(&str, &str)], want: (Verdict, &str)| check("CPU quota", files, &[0, 1], want);
        check(&[("sys/fs/cgroup/cpu.max", "max 100000\n")], (Verdict::Ok, "none"));
        check(&[("sys/fs/cgroup/cpu.max", "200000 100000\n")], (Verdict::Ok, "2.0 cores"));
        let finding = check(&[("sys/fs/cgroup/cpu.max", "150000 100000\n")], (Verdict::Warning, "1.5 cores"));
        assert!(finding.remedy.ends_with("runtime.cores = 1"), "{finding:?}");
        // The least on the way up counts.
        check(
            &[
                ("proc/self/cgroup", "0::/a.slice/b.service\n"),
                ("sys/fs/cgroup/a.slice/cpu.max", "50000 100000"),
                ("sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000"),
            ],
            (Verdict::Warning, "0.5 cores"),
        );
        check(
            &[
                ("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
            ],
            (Verdict::Warning, "1.0 cores"),
        );
        for odd in ["0 0", "x y", "1", ""] {
            check(&[("sys/fs/cgroup/cpu.max", odd)], (Verdict::Ok, "none"));
        }
        let v1_without = [("proc/self/cgroup", "1:cpu:/\n"), ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")];
        check(&v1_without, (Verdict::Ok, "none"));
    }

    #[test]
    fn threads_need_cores() {
        let (_folder, machine) = fake(&[]);
        for (runtime_cores, want) in [(0, Verdict::Ok), (2, Verdict::Ok), (3, Verdict::Warning)] {
            let config = Config {
                runtime: Runtime { cores: runtime_cores, ..Runtime::default() },
                ..Config::default()
            };
            assert_eq!(find(findings(&machine, &config.runtime, &[4, 5]), "core threads").verdict, want);
        }
    }

    #[test]
    fn sockets() {
        let name = "NUMA nodes in use";
        let two = [
            ("sys/devices/system/node/node0/cpulist", "0-3,8-11\n"),
            ("sys/devices/system/node/node1/cpulist", "4-7\n"),
            ("sys/devices/system/node/online", "0-1\n"),
            ("proc/sys/kernel/numa_balancing", "1\n"),
        ];
        let finding = check(name, &two, &[3, 4], (Verdict::Hint, "2"));
        assert_eq!(finding.commands, ["sysctl -w kernel.numa_balancing=0"]);
        check(name, &two, &[0, 9], (Verdict::Ok, "1"));
        check(name, &[], &[0, 9], (Verdict::Ok, "1"));
        assert!(check(name, &two[..2], &[0, 7], (Verdict::Hint, "2")).commands.is_empty());
    }

    #[test]
    fn governors() {
        let policy = |index: usize, text: &'static str| {
            (
                [
                    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
                    "sys/devices/system/cpu/cpufreq/policy1/scaling_governor",
                ][index],
                text,
            )
        };
        let name = "CPU governor";
        check(name, &[], &[0], (Verdict::Ok, "the host's affair"));
        check(
            name,
            &[policy(0, "performance\n"), policy(1, "performance\n")],
            &[0],
            (Verdict::Ok, "performance"),
        );
        let mixed = [policy(0, "schedutil\n"), policy(1, "performance\n")];
        check(name, &mixed, &[0], (Verdict::Hint, "performance, schedutil"));
    }

    #[test]
    fn clocks() {
        let clock = |current, available| {
            [
                ("sys/devices/system/clocksource/clocksource0/current_clocksource", current),
                ("sys/devices/system/clocksource/clocksource0/available_clocksource", available),
            ]
        };
        let name = "clock source";
        check(name, &clock("tsc\n", "tsc hpet acpi_pm\n"), &[0], (Verdict::Ok, "tsc"));
        let finding = check(name, &clock("hpet\n", "tsc hpet acpi_pm\n"), &[0], (Verdict::Warning, "hpet"));
        assert!(finding.commands[0].starts_with("echo tsc > /sys/"), "{finding:?}");
        let finding = check(name, &clock("xen\n", "xen\n"), &[0], (Verdict::Warning, "xen"));
        assert!(finding.commands.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
        check(name, &[], &[0], (Verdict::Ok, "unknown"));
    }

    #[test]
    fn huge_pages_are_off_for_the_server() {
        let name = "transparent huge pages";
        let enabled = ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
        check(name, &[enabled], &[0], (Verdict::Hint, "always"));
        let off = ("proc/self/status", "THP_enabled:\t0\n");
        check(name, &[enabled, off], &[0], (Verdict::Ok, "always, off for the server"));
        let never = ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
        check(name, &[never], &[0], (Verdict::Ok, "never"));
        check(name, &[], &[0], (Verdict::Ok, "none"));
    }
}
