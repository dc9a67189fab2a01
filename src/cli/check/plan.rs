//! `plexichat check --plan`: from how many and how much to cores, memory, bandwidth and files.
//!
//! Owns: the costs of one of each, in one table, and the sums over them. The costs are of one core of one machine
//! and of loopback, where the kernel does the work of both ends; what another machine needs is told by a run of
//! `plexichat-loadtest calibrate` (`loadtest/README.md`).
//!
//! The answer is a range. A busy server sends in a row, writes many changes with one sync and finds its sockets in the
//! cache; one that wakes for each post, with the sockets of many servers gone cold meanwhile, pays twice for a
//! delivery and ten times for a post. What is needed is reckoned from the upper end.

use std::fmt::Write as _;

use super::limits::{OPEN_FILES_OWN, open_files_max};
use super::machine::size_text;
use super::{Finding, Machine, Verdict, memory, network, table};
use crate::config::{Config, Http};
use crate::runtime::cpu::available;

/// A cost, what it is of, and where the figure is from.
pub struct Cost {
    pub name: &'static str,
    /// In a busy server.
    pub value: f64,
    /// In one that has pauses, and more sockets than a cache holds.
    pub cold: f64,
    pub unit: &'static str,
    pub source: &'static str,
}

const fn cost(name: &'static str, value: f64, unit: &'static str, source: &'static str) -> Cost {
    Cost { name, value, cold: value, unit, source }
}

const fn range(name: &'static str, value: f64, cold: f64, unit: &'static str, source: &'static str) -> Cost {
    Cost { name, value, cold, unit, source }
}

impl Cost {
    fn text(&self) -> String {
        let cold =
            if self.cold == self.value { String::new() } else { format!(" to {}", count_text(self.cold)) };
        format!("{}{cold} {}", count_text(self.value), self.unit)
    }
}

/// The lower and the upper end of an answer.
type Range = [f64; 2];

/// One core of an AMD EPYC (family 26) at 2.6 GHz under KVM, Linux 6.18, loopback, November 2026. CPU is that of the
/// server and of ksoftirqd on its core together.
pub mod costs {
    use super::{Cost, cost, range};

    // 4.66 µs per delivery at one frame a send and 0.86 at eight give 4.35 for the send and 0.31 for each frame.
    // 15,000 sessions in 15 servers at 20 posts a second took 0.21 cores, of which 0.19 are 20,000 cold deliveries.
    pub const SEND: Cost = range("send", 4.35, 9.6, "µs", "fanout --in-flight 1 and 8; calibrate");
    pub const FRAME: Cost =
        range("frame in a send", 0.31, 0.6, "µs", "fanout --in-flight 1 and 8; calibrate");
    // 10 µs where 256 clients post as fast as they can: the fuller the batch, the cheaper. Alone, a post pays for a
    // sync, a commit and the waking of the writer and of every core.
    pub const POST: Cost =
        range("post, writer included", 32.0, 400.0, "µs", "posts --rate 20000; --rate 200");
    pub const READ: Cost = range("GET", 7.1, 40.0, "µs", "gets of /users/@me; --rate 500");
    pub const CONNECT: Cost = range("connect and identify", 32.0, 64.0, "µs", "idle --sessions 15000");
    // An idle core wakes for each: 23 µs at 8,000 a second, 14 at 32,000.
    pub const HEARTBEAT: Cost =
        range("heartbeat", 14.0, 45.0, "µs", "idle, heartbeat_interval_ms=250; as it is");
    pub const PING: Cost = range("ping and pong", 6.0, 20.0, "µs", "idle, ping_interval_ms=1000; as it is");
    pub const PAGE: Cost =
        range("GET of 50 messages", 19.0, 60.0, "µs", "gets of messages?limit=50; --rate 500");
    pub const IDLE: Cost = cost("core without work", 2_750.0, "µs/s", "CPU time after start");
    pub const SESSION_USER: Cost = cost("session, in the server", 360.0, "bytes", "idle --sessions 15000");
    pub const SESSION_KERNEL: Cost =
        cost("session, in the kernel", 3_963.0, "bytes", "idle --sessions 15000");
    pub const PROCESS: Cost = cost("server without sessions", 16.0 * 1_048_576.0, "bytes", "RSS after start");
    pub const HANDLE: Cost = cost("event kept for RESUME", 2.1, "bytes", "cargo bench --bench fanout");
    pub const IN_FLIGHT: Cost =
        cost("send not yet acknowledged", 1_280.0, "bytes", "estimate: skb and its data");
    pub const MESSAGE_FRAME: Cost =
        cost("MESSAGE_CREATE without its content", 540.0, "bytes", "fanout, /proc/net/dev");
    pub const PACKET: Cost = cost("headers of a packet", 90.0, "bytes", "TCP 32, IP 20, Ethernet 38");
    pub const STORED: Cost =
        cost("message on disk, without its content", 180.0, "bytes", "posts, growth of data.mdb");
    pub const STORED_SLACK: Cost =
        range("pages held by snapshots, times", 1.0, 1.6, "", "posts, while a core lags");

    /// All of them, as they are printed.
    pub const ALL: [&Cost; 18] = [
        &SEND,
        &FRAME,
        &POST,
        &READ,
        &CONNECT,
        &HEARTBEAT,
        &PING,
        &PAGE,
        &IDLE,
        &SESSION_USER,
        &SESSION_KERNEL,
        &PROCESS,
        &HANDLE,
        &IN_FLIGHT,
        &MESSAGE_FRAME,
        &PACKET,
        &STORED,
        &STORED_SLACK,
    ];
}

/// Memory of an idle session, in the server and in the kernel.
pub const SESSION_LEN: u64 = (costs::SESSION_USER.value + costs::SESSION_KERNEL.value) as u64;
/// Beyond this share of a core, bursts wait noticeably.
const LOAD_MAX: f64 = 0.6;
/// Round trip of the sends under way: half the Earth.
const ROUND_TRIP_S: f64 = 0.1;
/// Durable posts per second of one writer, an ext4 on a virtual disk: `posts --connections 64`.
const POSTS_PER_S_MAX: f64 = 25_000.0;

const MEASURED: &str = "measured";

/// The questions: key, what it is, and its default when there is one that does not follow from others.
const KEYS: [(&str, &str); 10] = [
    ("sessions", "gateway sessions connected at once"),
    ("posts", "messages posted per second, all servers together"),
    ("members", "sessions that a post reaches [100]"),
    ("reads", "short GETs per second [one per session and 100 s]"),
    ("pages", "GETs of 50 messages per second [one per session and 1000 s]"),
    ("connects", "sessions that come per second [all within 10 minutes]"),
    ("coalesced", "frames that leave in one send: 1 when posts are rare, 8 in a busy server [1]"),
    ("content", "characters of a message [100]"),
    ("slower", "CPU time as a multiple of the costs below [1]"),
    (
        MEASURED,
        "SESSIONS:POSTS:MEMBERS:CORES, as `plexichat-loadtest calibrate` prints it: costs of your machine",
    ),
];

/// What the machine is to carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    sessions: f64,
    posts: f64,
    members: f64,
    reads: f64,
    pages: f64,
    connects: f64,
    coalesced: f64,
    content: f64,
    slower: f64,
    measured: Option<Measured>,
}

/// A load of deliveries and heartbeats that was measured, and the cores it took.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    sessions: f64,
    posts: f64,
    members: f64,
    cores: f64,
}

impl Measured {
    fn parse(text: &str) -> Option<Measured> {
        let number =
            |text: &str| text.trim().parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 1e9);
        let numbers: Option<Vec<f64>> = text.split(':').map(number).collect();
        let [sessions, posts, members, cores] = *numbers? else { return None };
        Some(Measured { sessions, posts, members, cores })
    }

    /// How many times the upper end of what the table says this load took.
    fn factor(self, config: &Config) -> f64 {
        let Measured { sessions, posts, members, cores } = self;
        let plan = Plan {
            sessions,
            posts,
            members,
            reads: 0.0,
            pages: 0.0,
            connects: 0.0,
            coalesced: 1.0,
            content: 100.0,
            slower: 1.0,
            measured: None,
        };
        cores / Needs::new(&plan, config).busy[1]
    }
}

impl Plan {
    /// Reads `sessions=1000000,posts=1000,members=1000`; rates may have decimals.
    ///
    /// # Errors
    /// Which part is wrong, and what may stand there.
    pub fn parse(text: &str) -> Result<Plan, String> {
        let mut values = [None; KEYS.len()];
        let mut measured = None;
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}`: expected KEY=NUMBER"))?;
            let index = KEYS.iter().position(|(name, _)| *name == key.trim());
            let index = index.ok_or_else(|| format!("`{key}` is none of: {}", Plan::help()))?;
            if KEYS[index].0 == MEASURED {
                measured = Some(Measured::parse(value.trim()).ok_or_else(|| {
                    format!("`{part}`: expected four numbers above 0, SESSIONS:POSTS:MEMBERS:CORES")
                })?);
                continue;
            }
            let number: Option<f64> = value.trim().parse().ok();
            let number = number.filter(|number| (0.0..=1e9).contains(number));
            values[index] = Some(number.ok_or_else(|| format!("`{part}`: expected a number from 0 to 1e9"))?);
        }
        let [sessions, posts, members, reads, pages, connects, coalesced, content, slower, _] = values;
        let (Some(sessions), Some(posts)) = (sessions, posts) else {
            return Err(format!("sessions and posts are needed; there are: {}", Plan::help()));
        };
        Ok(Plan {
            sessions,
            posts,
            members: members.unwrap_or(100.0).min(sessions),
            reads: reads.unwrap_or(sessions / 100.0),
            pages: pages.unwrap_or(sessions / 1000.0),
            connects: connects.unwrap_or(sessions / 600.0),
            coalesced: coalesced.unwrap_or(1.0).max(1.0),
            content: content.unwrap_or(100.0),
            slower: slower.filter(|&times| times > 0.0).unwrap_or(1.0),
            measured,
        })
    }

    /// The keys with their meaning.
    #[must_use]
    pub fn help() -> String {
        let lines = KEYS.iter().map(|(key, text)| format!("{key}= {text}"));
        lines.collect::<Vec<_>>().join("; ")
    }

    /// The answer, for people: what is needed, and what of this machine is in the way.
    #[must_use]
    pub fn text(&self, config: &Config) -> String {
        let cores = available().map_or(1, |cores| cores.len());
        let files = open_files_max().unwrap_or(0);
        self.answer(config, &Machine::this(), cores, files)
    }

    fn answer(&self, config: &Config, machine: &Machine, cores: usize, files: u64) -> String {
        let needs = Needs::new(self, config);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} sessions, {} posts/s that reach {} sessions each, {} frame(s) in a send\n",
            count_text(self.sessions),
            count_text(self.posts),
            count_text(self.members),
            count_text(self.coalesced)
        );
        let _ = writeln!(out, "{:<30}{:>14}{:>23}{:>17}", "", "per second", "CPU each", "cores");
        for (name, rate, each_us) in needs.work {
            let [low, high] = each_us;
            let each = format!("{low:.2} to {high:.2} µs");
            let busy = range_text(each_us.map(|us| rate * us / 1e6), cores_text);
            let _ = writeln!(out, "{name:<30}{:>14}{each:>23}{busy:>17}", count_text(rate));
        }
        let _ = writeln!(out, "{:<30}{:>54}\n", "together", range_text(needs.busy, cores_text));
        out.push_str(
            "From a busy server, which sends in a row and syncs many changes at once, to one that wakes for each post\n\
             and finds the sockets of many servers cold. Few posts a second are the upper end.\n",
        );
        if let Some(measured) = self.measured {
            let factor = measured.factor(config);
            let _ =
                writeln!(out, "CPU is that of your machine: {factor:.2} times the costs below, as measured.");
        }
        out.push('\n');
        let percent = LOAD_MAX * 100.0;
        needs.lines(&mut out, percent);
        out.push_str("\nThis machine:\n\n");
        out.push_str(&table(&needs.findings(self, &config.http, machine, cores, files)));
        out.push_str(
            "\nCosts, of one core of an AMD EPYC at 2.6 GHz, Linux 6.18, loopback, November 2026:\n",
        );
        for cost in costs::ALL {
            let value = cost.text();
            let _ = writeln!(out, "  {:<38}{value:>20}  {}", cost.name, cost.source);
        }
        out
    }
}

/// What a plan comes to.
struct Needs {
    /// Name, how many per second, microseconds of CPU for each.
    work: [(&'static str, f64, Range); 8],
    /// Cores kept busy by all of it.
    busy: Range,
    cores: f64,
    memory: [(&'static str, f64); 5],
    memory_len: f64,
    sends_per_s: f64,
    out_bits: f64,
    in_bits: f64,
    files: f64,
    stored_per_day: Range,
}

impl Needs {
    fn new(plan: &Plan, config: &Config) -> Needs {
        let &Plan { sessions, posts, members, reads, pages, connects, coalesced, content, slower, measured } =
            plan;
        let slower = slower * measured.map_or(1.0, |measured| measured.factor(config));
        let deliveries = posts * members;
        let sends = deliveries / coalesced;
        let every =
            |interval_ms: u64| if interval_ms == 0 { 0.0 } else { sessions * 1e3 / interval_ms as f64 };
        let heartbeats = every(config.websocket.heartbeat_interval_ms);
        let pings = every(config.websocket.ping_interval_ms);
        let each = |cost: &Cost| [cost.value, cost.cold];
        let delivery = [0, 1].map(|end| each(&costs::SEND)[end] / coalesced + each(&costs::FRAME)[end]);
        let mut work = [
            ("deliveries", deliveries, delivery),
            ("posts", posts, each(&costs::POST)),
            ("short reads", reads, each(&costs::READ)),
            ("pages of 50 messages", pages, each(&costs::PAGE)),
            ("connects and identifies", connects, each(&costs::CONNECT)),
            ("heartbeats", heartbeats, each(&costs::HEARTBEAT)),
            ("pings", pings, each(&costs::PING)),
            ("a core's own timers", 0.0, each(&costs::IDLE)),
        ]
        .map(|(name, rate, us)| (name, rate, us.map(|us| us * slower)));
        let sum = |work: &[(&str, f64, Range)], end: usize| -> f64 {
            work.iter().map(|(_, rate, us)| rate * us[end] / 1e6).sum()
        };
        // Each core has timers of its own, so what is left of it for the work is less.
        let timers = work.len() - 1;
        let left = (LOAD_MAX - work[timers].2[1] / 1e6).max(LOAD_MAX / 100.0);
        let cores = (sum(&work, 1) / left).ceil().max(1.0);
        work[timers].1 = cores;
        let busy = [0, 1].map(|end| sum(&work, end));
        // A session keeps what its client has not confirmed with a heartbeat, up to the configured number.
        let events_per_session = if sessions > 0.0 { deliveries / sessions } else { 0.0 };
        let kept = events_per_session * config.websocket.heartbeat_interval_ms as f64 / 1e3;
        let kept = kept.min(config.websocket.resume_buffer_events as f64);
        let memory = [
            ("server without sessions", costs::PROCESS.value),
            ("sessions", sessions * (costs::SESSION_USER.value + costs::SESSION_KERNEL.value)),
            ("events kept for RESUME", sessions * kept * costs::HANDLE.value),
            ("their text, per core", cores * config.websocket.replay_bytes as f64),
            ("sends under way, 0.1 s each", sends * ROUND_TRIP_S * costs::IN_FLIGHT.value),
        ];
        let frame_len = costs::MESSAGE_FRAME.value + content;
        let small = heartbeats + pings;
        let packet = costs::PACKET.value;
        Needs {
            work,
            busy,
            cores,
            memory_len: memory.iter().map(|(_, len)| len).sum(),
            memory,
            sends_per_s: sends + small,
            out_bits: 8.0 * ((deliveries + pages * 50.0) * frame_len + (sends + small) * packet),
            // Each send is acknowledged; clients answer pings and send heartbeats.
            in_bits: 8.0 * ((sends + 2.0 * small) * packet + posts * (content + 400.0)),
            files: sessions + OPEN_FILES_OWN as f64,
            stored_per_day: stored_len(content).map(|len| posts * 86_400.0 * len),
        }
    }

    fn lines(&self, out: &mut String, percent: f64) {
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<30}{value:>14}");
        };
        line("cores", format!("{} at {percent:.0} % load", count_text(self.cores)));
        line("memory", bytes_text(self.memory_len));
        for (name, len) in self.memory {
            line(&format!("  {name}"), bytes_text(len));
        }
        line("  cached pages", "what is read often".to_owned());
        line("network, out", bits_text(self.out_bits));
        line("network, in", bits_text(self.in_bits));
        line("sends per second", count_text(self.sends_per_s));
        line("open files", count_text(self.files));
        line("disk per day", range_text(self.stored_per_day, bytes_text));
    }

    /// What of this machine and its configuration is too small.
    fn findings(
        &self,
        plan: &Plan,
        http: &Http,
        machine: &Machine,
        cores: usize,
        files: u64,
    ) -> Vec<Finding> {
        let memory = memory::limit(machine);
        let speed = network::default_device(machine)
            .and_then(|device| machine.number(&format!("sys/class/net/{device}/speed")));
        let allowed = http.connections_max as f64;
        let per_address = http.connections_per_address_max as f64;
        let compare = |name, has: Option<f64>, needs: f64, show: fn(f64) -> String, why, remedy: String| {
            let verdict = match has {
                Some(has) if has < needs => Verdict::Warning,
                _ => Verdict::Ok,
            };
            let current = has.map_or_else(|| "unknown".to_owned(), show);
            Finding::new(name, verdict, current).wanted(show(needs)).why(why).remedy(remedy)
        };
        let more_files = format!("LimitNOFILE={}; fs.nr_open has to allow it", self.files);
        vec![
            compare(
                "cores",
                Some(cores as f64),
                self.cores,
                count_text,
                "beyond the load that is planned for, bursts wait",
                "more cores; fewer members in a server cost less".to_owned(),
            ),
            compare(
                "memory",
                memory.map(|len| len as f64),
                self.memory_len,
                bytes_text,
                "the kernel kills what does not fit",
                "more memory, or a smaller websocket.replay_bytes".to_owned(),
            ),
            compare(
                "open files (hard limit)",
                Some(files as f64),
                self.files,
                count_text,
                "a session is a file",
                more_files,
            ),
            compare(
                "http.connections_max",
                Some(allowed),
                plan.sessions,
                count_text,
                "more are turned away",
                format!("http.connections_max = {}", plan.sessions),
            ),
            compare(
                "http.connections_per_address_max",
                Some(per_address),
                plan.sessions,
                count_text,
                "when all come through one proxy: it has one address",
                format!("behind a proxy: http.connections_per_address_max = {}", plan.sessions),
            ),
            compare(
                "network card",
                speed.filter(|&speed| speed > 0).map(|speed| speed as f64 * 1e6),
                self.out_bits,
                bits_text,
                "what does not fit waits, then sessions are closed as too slow",
                "a faster card, or shorter messages".to_owned(),
            ),
            compare(
                "durable posts per second",
                Some(POSTS_PER_S_MAX),
                plan.posts,
                count_text,
                "one thread writes; where this was measured it wrote so many",
                "a disk that syncs faster; measure with plexichat-loadtest posts".to_owned(),
            ),
        ]
    }
}

/// Bytes that a message takes on disk. One channel fills page after page; many channels leave pages half full where
/// they end, and what does not fit a half page has pages of its own. Snapshots hold old pages for a while.
fn stored_len(content: f64) -> Range {
    const PAGE_LEN: f64 = 4096.0;
    // Headers of a page, and of each record in it.
    let (room, record) = (PAGE_LEN - 16.0, costs::STORED.value + content);
    let spread = match (room / record).floor() {
        fit if fit >= 2.0 => PAGE_LEN / (fit / 2.0),
        _ => ((record + 16.0) / PAGE_LEN).ceil() * PAGE_LEN + costs::STORED.value,
    };
    [record * costs::STORED_SLACK.value, spread * costs::STORED_SLACK.cold]
}

fn range_text([low, high]: Range, show: fn(f64) -> String) -> String {
    let (low, high) = (show(low), show(high));
    if low == high { low } else { format!("{low} to {high}") }
}

fn cores_text(cores: f64) -> String {
    format!("{cores:.3}")
}

/// `1,000,000`, `0.25`.
fn count_text(number: f64) -> String {
    if number > 0.0 && number < 100.0 && number.fract() != 0.0 {
        return format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes_text(bytes: f64) -> String {
    size_text(bytes as u64)
}

/// Bits per second.
fn bits_text(bits: f64) -> String {
    let units = [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)];
    match units.into_iter().find(|(_, unit)| bits >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bits / unit),
        None => format!("{bits:.0} bit/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::*;
    use crate::config::Websocket;

    fn check(text: &str, want: Result<([f64; 6], [f64; 2]), &str>) {
        match (Plan::parse(text), want) {
            (Ok(plan), Ok(want)) => {
                let Plan { sessions, posts, members, reads, pages, connects, .. } = plan;
                let rest = [plan.coalesced, plan.content];
                assert_eq!(([sessions, posts, members, reads, pages, connects], rest), want, "{text}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (got, want) => panic!("{text}: {got:?}, not {want:?}"),
        }
    }

    #[test]
    fn plans_are_read() {
        let big = ([1e6, 1000.0, 1000.0, 10_000.0, 1000.0, 1e6 / 600.0], [1.0, 100.0]);
        check("sessions=1000000,posts=1000,members=1000", Ok(big));
        check(" posts = 1e3 , members=1000,sessions=1e6,", Ok(big));
        check(
            "sessions=6,posts=0.5,members=100,reads=1,connects=2,coalesced=0,content=40",
            Ok(([6.0, 0.5, 6.0, 1.0, 0.006, 2.0], [1.0, 40.0])),
        );
        check("", Err("sessions and posts are needed"));
        check("sessions=5", Err("sessions and posts are needed"));
        check("sessions", Err("expected KEY=NUMBER"));
        check("users=5,posts=1", Err("`users` is none of: sessions="));
        for bad in ["-1", "x", "NaN", "inf", "1e10", ""] {
            check(&format!("posts=1,sessions={bad}"), Err("expected a number from 0 to 1e9"));
        }
    }

    #[test]
    fn needs_are_sums_over_the_table() {
        let plan =
            Plan::parse("sessions=1000000,posts=1000,members=1000,reads=0,pages=0,connects=0").unwrap();
        let config = Config {
            websocket: Websocket { heartbeat_interval_ms: 0, ping_interval_ms: 0, ..Websocket::default() },
            ..Config::default()
        };
        let needs = Needs::new(&plan, &config);
        for (end, of) in [|cost: &Cost| cost.value, |cost: &Cost| cost.cold].into_iter().enumerate() {
            let per_delivery = of(&costs::SEND) + of(&costs::FRAME);
            let want = per_delivery + 1e3 * of(&costs::POST) / 1e6 + needs.cores * of(&costs::IDLE) / 1e6;
            assert!((needs.busy[end] - want).abs() < 1e-9, "{:?} {want}", needs.busy);
        }
        // As many as there have to be, their own timers included, and not one more.
        let one_less = needs.busy[1] - costs::IDLE.value / 1e6;
        assert!(needs.busy[1] <= needs.cores * LOAD_MAX && one_less > (needs.cores - 1.0) * LOAD_MAX);
        assert_eq!(needs.memory[1].1, 1e6 * SESSION_LEN as f64);
        assert_eq!(needs.files, 1_000_256.0);
        let eight = Needs::new(&Plan { coalesced: 8.0, ..plan }, &config);
        assert!(eight.busy[0] < needs.busy[0] / 4.0 && eight.out_bits < needs.out_bits);
        let slow = Needs::new(&Plan { slower: 2.0, ..plan }, &config);
        let timers = (slow.cores - needs.cores) * 2.0 * costs::IDLE.value / 1e6;
        assert!((slow.busy[1] - 2.0 * needs.busy[1] - timers).abs() < 1e-9);
        assert_eq!(slow.memory[1], needs.memory[1]);
        let absurd = Needs::new(&Plan { slower: 1e9, ..plan }, &config);
        assert!(absurd.cores.is_finite() && absurd.busy[1].is_finite());
        let nobody = Needs::new(&Plan::parse("sessions=0,posts=0").unwrap(), &config);
        assert_eq!((nobody.busy[0], nobody.cores), (costs::IDLE.value / 1e6, 1.0));
        assert!(nobody.memory_len.is_finite());
    }

    /// What was measured lies within what is answered: 15,000 sessions in 15 servers, 20 posts a second, took 0.21
    /// cores; a message of 100 characters took 303 bytes in one channel and up to 896 in fifty.
    #[test]
    fn ranges_hold_what_was_measured() {
        let plan = Plan::parse("sessions=15000,posts=20,members=1000,reads=0,pages=0,connects=0").unwrap();
        let [low, high] = Needs::new(&plan, &Config::default()).busy;
        assert!(low < 0.21 && (0.21..0.3).contains(&high), "{low} {high}");
        for (content, least, most) in
            [(100.0, 303.0, 896.0), (1000.0, 1180.0, 2238.0), (4000.0, 4180.0, 8192.0)]
        {
            let [low, high] = stored_len(content);
            assert!(low <= least && high >= most && high < 4.0 * low, "{content}: {low} {high}");
        }
    }

    #[test]
    fn a_measurement_replaces_the_machine() {
        let config = Config::default();
        let shape = "sessions=15000,posts=20,members=1000,reads=0,pages=0,connects=0";
        let reckoned = Needs::new(&Plan::parse(shape).unwrap(), &config).busy;
        let measured = Plan::parse(&format!("{shape},measured=15000:20:1000:0.42")).unwrap();
        let needs = Needs::new(&measured, &config);
        assert!(
            (needs.busy[1] - 0.42).abs() < 1e-9,
            "the same load takes what was measured: {:?}",
            needs.busy
        );
        assert!((needs.busy[0] / reckoned[0] - 0.42 / reckoned[1]).abs() < 1e-9);
        for bad in ["1:2:3", "1:2:3:x", "1:2:3:0", "1:2:3:4:5", ""] {
            let error = Plan::parse(&format!("{shape},measured={bad}")).unwrap_err();
            assert!(error.contains("SESSIONS:POSTS:MEMBERS:CORES"), "{bad}: {error}");
        }
    }

    #[test]
    fn answers_name_what_is_in_the_way() {
        let (_folder, machine) = fake(&[("proc/meminfo", "MemTotal: 16777216 kB\n")]);
        let config = Config::default();
        let small = Plan::parse("sessions=50,posts=0.2,members=50").unwrap();
        let text = small.answer(&config, &machine, 1, 20_000);
        assert!(text.contains("cores                         1 at 60 % load"), "{text}");
        assert!(text.contains("This machine fits."), "{text}");
        let big = Plan::parse("sessions=1e6,posts=1000,members=1000").unwrap();
        let text = big.answer(&config, &machine, 2, 20_000);
        for part in ["warning cores", "warning open files", "warning http.connections_max", "ok      memory"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        for cost in costs::ALL {
            assert!(text.contains(cost.name), "{}", cost.name);
        }
    }

    #[test]
    fn numbers_for_people() {
        for (number, want) in [(0.0, "0"), (0.25, "0.25"), (5.3, "5.3"), (999.0, "999"), (1e6, "1,000,000")] {
            assert_eq!(count_text(number), want);
        }
        for (bits, want) in [(12.0, "12 bit/s"), (2.5e6, "2.5 Mbit/s"), (4e9, "4.0 Gbit/s")] {
            assert_eq!(bits_text(bits), want);
        }
    }
}
