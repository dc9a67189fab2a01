//! The files of `tuning/`: what the affinity script writes on machines made of plain files, and that the settings, the
//! page about them and `plexichat check` speak of the same things.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder that looks like the root of a machine.
struct Machine(TempDir);

impl Machine {
    /// A card with its queues, on a machine with these cores online.
    fn new(online: &str, card: &str, receive: usize, send: usize) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.put("sys/devices/system/cpu/online", online);
        machine.put("proc/sys/net/core/rps_sock_flow_entries", "0\n");
        machine.put(&format!("sys/class/net/{card}/mtu"), "1500\n");
        for queue in 0..receive {
            machine.put(&format!("sys/class/net/{card}/queues/rx-{queue}/rps_cpus"), "00000000,00000000\n");
            machine.put(&format!("sys/class/net/{card}/queues/rx-{queue}/rps_flow_cnt"), "0\n");
        }
        for queue in 0..send {
            machine.put(&format!("sys/class/net/{card}/queues/tx-{queue}/xps_cpus"), "0\n");
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Interrupts with the names of their actions, all on all cores.
    fn with_interrupts(self, rows: &[(u32, &str)]) -> Machine {
        let mut text = "            CPU0       CPU1\n".to_owned();
        for (irq, action) in rows {
            text +=
                &format!("{irq:>4}:       1812         31 PCI-MSIX-0000:00:05.0   1-edge      {action}\n");
            self.put(&format!("proc/irq/{irq}/smp_affinity_list"), "0-7\n");
        }
        self.put("proc/interrupts", &(text + " NMI:          0          0   Non-maskable interrupts\n"));
        self
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default().trim().to_owned()
    }

    /// What the script says; `line` are its arguments.
    fn run(&self, line: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/affinity.sh");
        let mut command = Command::new("sh");
        command.arg(script).arg("--root").arg(self.0.path()).args(line.split_whitespace());
        command.output().expect("there is a shell")
    }

    fn say(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

#[test]
fn one_queue_is_steered_to_all_cores() {
    let rps = "sys/class/net/eth0/queues/rx-0/rps_cpus";
    let machine = Machine::new("0-7\n", "eth0", 1, 1).with_interrupts(&[(30, "eth0"), (31, "ata")]);
    let said = machine.say("--dev eth0 --cores 0-3");
    for part in [
        "# eth0: 1 receive and 1 send queue(s), for 4 core(s)\n",
        "echo 0 > /proc/irq/30/smp_affinity_list ",
        "echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus ",
        "echo 32768 > /sys/class/net/eth0/queues/rx-0/rps_flow_cnt ",
        "echo 32768 > /proc/sys/net/core/rps_sock_flow_entries ",
        "--apply does it",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert_eq!(
        (machine.read(rps).as_str(), machine.read("proc/irq/30/smp_affinity_list").as_str()),
        ("00000000,00000000", "0-7")
    );
    machine.say("--dev eth0 --cores 0-3 --apply");
    assert_eq!(machine.read(rps), "f");
    assert_eq!(machine.read("proc/irq/30/smp_affinity_list"), "0");
    assert_eq!(machine.read("proc/irq/31/smp_affinity_list"), "0-7", "the disk's stays");
    assert_eq!(machine.read("proc/sys/net/core/rps_sock_flow_entries"), "32768");
    // As the kernel shows it, it is the same.
    machine.put(rps, "00000000,0000000f\n");
    assert!(machine.say("--dev eth0 --cores 0-3 --apply").ends_with("# nothing to change in 4 file(s)\n"));
    assert_eq!(machine.read(rps), "00000000,0000000f");
}

#[test]
fn a_queue_for_each_core_needs_no_steering() {
    let rows =
        [(40, "ena-mgmnt@pci:0000:00:05.0"), (41, "eth0-Tx-Rx-0"), (42, "eth0-Tx-Rx-1"), (43, "eth0-tx-5")];
    let machine = Machine::new("0-7", "eth0", 2, 2).with_interrupts(&rows);
    machine.put("sys/class/net/eth0/queues/rx-0/rps_cpus", "3\n");
    machine.say("--dev eth0 --cores 4,6 --apply");
    let irq = |number: u32| machine.read(&format!("proc/irq/{number}/smp_affinity_list"));
    assert_eq!([40, 41, 42, 43].map(irq), ["0-7", "4", "6", "0-7"]);
    assert_eq!(machine.read("sys/class/net/eth0/queues/rx-0/rps_cpus"), "0");
    let xps = [0, 1].map(|queue| machine.read(&format!("sys/class/net/eth0/queues/tx-{queue}/xps_cpus")));
    assert_eq!(xps, ["10", "40"]);
    assert_eq!(machine.read("proc/sys/net/core/rps_sock_flow_entries"), "0");
}

#[test]
fn every_core_has_a_queue_to_send_by() {
    for (queues, cores, want) in [
        (2, "0-4", &["15", "a"][..]),
        (4, "0-1", &["1", "2", "1", "2"]),
        (3, "0-2", &["1", "2", "4"]),
        (2, "0,33", &["1", "2,00000000"]),
    ] {
        let machine = Machine::new("0-63", "eth0", queues, queues);
        machine.say(&format!("--dev eth0 --cores {cores} --apply"));
        for (queue, want) in want.iter().enumerate() {
            let path = format!("sys/class/net/eth0/queues/tx-{queue}/xps_cpus");
            assert_eq!(machine.read(&path), *want, "{queues} queues, cores {cores}, queue {queue}");
        }
    }
}

#[test]
fn interrupts_are_found_by_their_bus() {
    for (bus, rows) in [
        (
            "../../../virtio2",
            [
                (50, "virtio2-config"),
                (51, "virtio2-input.0"),
                (52, "virtio2-output.0"),
                (53, "virtio20-input.0"),
            ],
        ),
        (
            "../../../0000:3b:00.0",
            [
                (50, "mlx5_async0@pci:0000:3b:00.0"),
                (51, "mlx5_comp0@pci:0000:3b:00.0"),
                (52, "eth1-Tx-Rx-0"),
                (53, "mlx5_comp0@pci:0000:3c:00.0"),
            ],
        ),
    ] {
        let machine = Machine::new("0-7", "eth0", 1, 1).with_interrupts(&rows);
        std::os::unix::fs::symlink(bus, machine.path("sys/class/net/eth0/device")).unwrap();
        machine.say("--dev eth0 --cores 5 --apply");
        let irq = |number: u32| machine.read(&format!("proc/irq/{number}/smp_affinity_list"));
        assert_eq!([50, 51, 52, 53].map(irq), ["0-7", "5", "0-7", "0-7"], "{bus}");
    }
}

#[test]
fn cards_without_queues_or_interrupts_are_told_of() {
    let machine = Machine::new("0-1", "tun0", 0, 0);
    let said = machine.say("--dev tun0 --cores 0-1 --apply");
    for part in ["no interrupts of its own", "no receive queues", "# nothing to change in 0 file(s)"] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let machine = Machine::new("0-3", "eth0", 1, 1);
    for (line, part) in [
        ("", "--dev is missing"),
        ("--dev eth0", "--cores is missing"),
        ("--dev eth0 --cores", "--cores needs a value"),
        ("--dev eth1 --cores 0", "no card eth1"),
        ("--dev ../net/eth0 --cores 0", "not the name of a card"),
        ("--dev .. --cores 0", "not the name of a card"),
        ("--dev eth0;reboot --cores 0", "not the name of a card"),
        ("--dev eth0 --cores 2-1", "runs backwards"),
        ("--dev eth0 --cores 0-4", "core 4 is not online (0-3)"),
        ("--dev eth0 --cores 08", "expected a list"),
        ("--dev eth0 --cores 1-", "expected a list"),
        ("--dev eth0 --cores a", "expected a list"),
        ("--dev eth0 --cores ,", "no core"),
        ("--dev eth0 --cores 99999999999999999999", "there is no core"),
        ("--dev eth0 --cores 0-1 --aply", "--aply is not known"),
    ] {
        let output = machine.run(&format!("--apply {line}"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {error}");
        assert!(error.contains(part), "{line}: {error}");
        assert_eq!(machine.read("sys/class/net/eth0/queues/rx-0/rps_cpus"), "00000000,00000000", "{line}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let machine = Machine::new("0-3", "eth0", 1, 1).with_interrupts(&[(30, "eth0")]);
    // As the kernel's files refuse a value, this one refuses to be opened; root can write to all others.
    std::fs::remove_file(machine.path("proc/irq/30/smp_affinity_list")).unwrap();
    std::os::unix::fs::symlink("/proc/self/status", machine.path("proc/irq/30/smp_affinity_list")).unwrap();
    let output = machine.run("--dev eth0 --cores 0-1 --apply");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("/proc/irq/30/smp_affinity_list does not take 0"), "{error}");
    assert_eq!(machine.read("sys/class/net/eth0/queues/rx-0/rps_cpus"), "3", "the rest is done");
}

#[test]
fn help_is_the_head_of_the_script() {
    let said = Machine::new("0", "eth0", 1, 1).say("--help");
    assert!(said.starts_with("Spreads the packets") && said.contains("--root DIR"), "{said}");
    assert!(!said.contains("set -eu"), "{said}");
}

fn tuning(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(name)).unwrap()
}

/// Names of the settings in a sysctl.d file, those that are commented out too.
fn settings(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, value) = line.trim_start_matches('#').split_once(" = ")?;
        let dotted =
            name.contains('.') && !name.contains(' ') && name.starts_with(|c: char| c.is_ascii_lowercase());
        (dotted && !value.is_empty()).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

#[test]
fn every_setting_is_explained() {
    let page = tuning("README.md");
    let settings = settings(&tuning("99-plexichat.conf"));
    assert!(settings.len() > 20, "{settings:?}");
    for name in settings {
        let last = name.rsplit('.').next().expect("a name has a last part");
        assert!(
            page.contains(&format!("`{name}`")) || page.contains(&format!("`{last}`")),
            "{name} in README.md"
        );
    }
    for file in ["99-plexichat.conf", "plexichat.service", "limits.conf", "seccomp.json", "affinity.sh"] {
        assert!(page.contains(file), "{file} in README.md");
    }
}

#[test]
fn containers_may_use_rings_but_no_namespaces() {
    let profile: serde_json::Value = serde_json::from_str(&tuning("seccomp.json")).expect("JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let allowed: Vec<&str> = profile["syscalls"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .flat_map(|rule| rule["names"].as_array().expect("a list"))
        .map(|name| name.as_str().expect("a name"))
        .collect();
    for name in
        ["io_uring_setup", "io_uring_enter", "io_uring_register", "sched_setaffinity", "fdatasync", "prctl"]
    {
        assert!(allowed.contains(&name), "{name}");
    }
    for name in ["unshare", "setns", "mount", "ptrace", "bpf", "keyctl", "userfaultfd", "clone3"] {
        assert!(!allowed.contains(&name), "{name}");
    }
    let mut once = allowed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len() + 2, allowed.len(), "socket stands three times, the others once");
}
