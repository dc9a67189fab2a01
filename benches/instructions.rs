//! Guard against slow growth: instructions per operation, counted by callgrind, against a committed table.
//!
//! `cargo bench --bench instructions` counts and compares with `benches/instructions.toml`; it ends with 1 when an
//! operation takes more than [`TOLERANCE_PERCENT`] more. `-- --update` writes the table anew: commit it together with
//! what changed the counts. `-- NAME` looks at operations with that in their name. Needs valgrind.
//!
//! The bench starts itself under callgrind once per operation; only what runs inside [`measured`] counts. Counts do
//! not depend on the machine's speed or load, so this also works where nothing is quiet. They do depend on the
//! compiler, on the C library and on the instruction sets of the processor; the table says what it was made with.
//! Two things make counts differ from times: SHA-256 counts without the processor's instructions for it, which
//! callgrind does not know, and a `rep movs` counts each of its steps. What remains random (the seed of the limiter's table, the name of the store's folder) moves them by less than 1 %.

use std::path::Path;
use std::process::{Command, ExitCode};

use plexichat::domain::{Audience, Event, EventName, Output, intent};
use plexichat::wire::http::{header_slots, parse_head};
use plexichat::wire::json;
use plexichat::wire::websocket::{
    Data, Decoder, DeflateStream, Deflater, OpCode, write_frame, write_frame_header,
};
use world::gateway::{ALL_INTENTS, Gateway, SERVER, Shape, client_frame, message};
use world::service::{Service, Shared};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOLERANCE_PERCENT: f64 = 3.0;
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");
const ONE: &str = "PLEXICHAT_BENCH_OPERATION";

/// Something to count: prepared once, then called.
struct Operation {
    name: &'static str,
    /// How many units one call does, and how often it is called.
    units: u64,
    calls: u64,
    prepare: fn() -> Box<dyn FnMut()>,
}

#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    Operation { name: "websocket: decode a text of 300 B", units: 1, calls: 1_000, prepare: websocket_decode },
    Operation { name: "websocket: encode a text of 300 B", units: 1, calls: 1_000, prepare: websocket_encode },
    Operation { name: "websocket: deflate a dispatch of 700 B", units: 1, calls: 200, prepare: websocket_deflate },
    Operation { name: "http: parse a browser's head", units: 1, calls: 1_000, prepare: http_head },
    Operation { name: "json: parse a message's body", units: 1, calls: 1_000, prepare: json_in },
    Operation { name: "json: write a page of 50 messages, each", units: 50, calls: 20, prepare: json_out },
    Operation { name: "apply: create a message, batch of 256, each", units: 256, calls: 4, prepare: apply_messages },
    Operation { name: "gateway: fan-out to 1,000 sessions, a delivery", units: 1_000, calls: 20, prepare: fan_out },
    Operation { name: "gateway: an event that one of 1,000 wants", units: 1, calls: 100, prepare: collect },
    Operation { name: "gateway: identify", units: 1, calls: 500, prepare: identify },
    Operation { name: "gateway: identify and end among 1,000", units: 1, calls: 200, prepare: come_and_go },
    Operation { name: "api: GET /users/@me from bytes to bytes", units: 1, calls: 500, prepare: users_me },
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(ONE) {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name).expect("one of the table");
        run(operation, operation.calls);
        return ExitCode::SUCCESS;
    }
    if world::is_test() {
        OPERATIONS.iter().for_each(|operation| run(operation, 1));
        return ExitCode::SUCCESS;
    }
    match guard() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Once before, so that nothing is done for the first time inside.
fn run(operation: &Operation, calls: u64) {
    let mut work = (operation.prepare)();
    work();
    measured(&mut *work, calls);
}

/// Callgrind counts from the entry of this function to its return.
#[inline(never)]
fn measured(work: &mut dyn FnMut(), calls: u64) {
    for _ in 0..calls {
        work();
    }
    // Something after the loop, so that no call becomes a jump.
    std::hint::black_box(calls);
}

// ------------------------------------------------------------------------------------------------ guard

/// Whether all operations stay within the table.
fn guard() -> Result<bool, String> {
    let valgrind = version("valgrind")
        .ok_or("valgrind is missing: install it (Debian, Ubuntu: apt-get install valgrind) and try again")?;
    let rustc = version("rustc").unwrap_or_default();
    let update = std::env::args().any(|arg| arg == "--update");
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    if update && !filter.is_empty() {
        return Err("--update counts everything: leave the name out".into());
    }
    let table = if update { Table::default() } else { Table::read(Path::new(TABLE))? };
    for (what, made_with, is) in [("rustc", &table.rustc, &rustc), ("valgrind", &table.valgrind, &valgrind)] {
        if !update && made_with != is {
            println!(
                "note: the table was made with {made_with}, this is {is}: differences may come from {what}"
            );
        }
    }
    println!("{:<60} {:>10} {:>10} {:>8}", "instructions per unit", "committed", "measured", "change");
    let (mut lines, mut fits) = (String::new(), true);
    for operation in OPERATIONS.iter().filter(|operation| operation.name.contains(&filter)) {
        let measured = count(operation)?;
        lines += &format!("{:?} = {measured}\n", operation.name);
        let committed = table.get(operation.name);
        let change = committed.map(|committed| (measured as f64 / committed as f64 - 1.0) * 100.0);
        let verdict = match change {
            _ if update => "",
            None => "not in the table",
            Some(change) if change > TOLERANCE_PERCENT => "TOO MANY",
            Some(change) if change < -TOLERANCE_PERCENT => "fewer: commit a new table",
            Some(_) => "",
        };
        fits &= update || change.is_some_and(|change| change <= TOLERANCE_PERCENT);
        let committed = committed.map_or("–".into(), |committed| committed.to_string());
        let change = change.map_or("–".into(), |change| format!("{change:+.1} %"));
        println!("{:<60} {committed:>10} {measured:>10} {change:>8}  {verdict}", operation.name);
    }
    if update {
        let text = format!(
            "# Instructions per unit of each operation of benches/instructions.rs, written by\n\
             # cargo bench --bench instructions -- --update\n\
             rustc = {rustc:?}\nvalgrind = {valgrind:?}\n\n[instructions]\n{lines}"
        );
        std::fs::write(TABLE, text).map_err(|error| format!("{TABLE} cannot be written: {error}"))?;
    } else if !fits {
        println!(
            "\nMore than {TOLERANCE_PERCENT} % above the table, or not in it. When that is worth it, or meant:"
        );
        println!("cargo bench --bench instructions -- --update");
    }
    Ok(fits)
}

/// First line of what a program says about itself.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_string())
}

/// Instructions per unit.
fn count(operation: &Operation) -> Result<u64, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let report = folder.path().join("callgrind");
    let program = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--demangle=no", "--toggle-collect=*instructions*measured*"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(program)
        .env(ONE, operation.name)
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse::<u64>().ok());
    let units = operation.units * operation.calls;
    match total.filter(|total| output.status.success() && *total >= units) {
        Some(total) => Ok((total + units / 2) / units),
        None => {
            let log = String::from_utf8_lossy(&output.stderr);
            Err(format!("{:?} was not counted:\n{log}", operation.name))
        }
    }
}

#[derive(Default)]
struct Table {
    rustc: String,
    valgrind: String,
    counts: Vec<(String, u64)>,
}

impl Table {
    fn read(path: &Path) -> Result<Table, String> {
        let broken = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| broken(&error))?;
        let document: toml_edit::DocumentMut = text.parse().map_err(|error| broken(&error))?;
        let text = |key: &str| document.get(key).and_then(toml_edit::Item::as_str).unwrap_or("?").to_string();
        let counts = document.get("instructions").and_then(toml_edit::Item::as_table);
        let counts = counts.ok_or_else(|| broken(&"there is no [instructions]"))?.iter();
        let counts = counts
            .filter_map(|(name, count)| Some((name.to_string(), u64::try_from(count.as_integer()?).ok()?)));
        Ok(Table { rustc: text("rustc"), valgrind: text("valgrind"), counts: counts.collect() })
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.counts.iter().find(|(known, _)| known == name).map(|(_, count)| (*count).max(1))
    }
}

// ------------------------------------------------------------------------------------------- operations

fn websocket_decode() -> Box<dyn FnMut()> {
    let mut frame = client_frame(world::text().as_bytes());
    let mut decoder = Decoder::new();
    Box::new(move || {
        let mut input = &mut frame[..];
        assert!(decoder.next_message(&mut input, 1 << 20).expect("valid").is_some());
    })
}

fn websocket_encode() -> Box<dyn FnMut()> {
    let (text, mut out) = (world::text(), Vec::with_capacity(1_024));
    Box::new(move || {
        out.clear();
        write_frame(&mut out, OpCode::Data(Data::Text), text.as_bytes());
    })
}

fn websocket_deflate() -> Box<dyn FnMut()> {
    let text = world::text().repeat(3);
    let (mut deflater, mut stream, mut out) = (Deflater::default(), DeflateStream::default(), Vec::new());
    Box::new(move || {
        out.clear();
        deflater.write_frame(&mut stream, &text.as_bytes()[..700], &mut out);
        write_frame_header(&mut out, OpCode::Data(Data::Binary), 0);
    })
}

fn http_head() -> Box<dyn FnMut()> {
    // On the heap: how a constant is aligned changes with anything else in the program.
    let head = world::BROWSER.to_vec();
    Box::new(move || {
        let mut slots = header_slots();
        let head = parse_head(&head, &mut slots).expect("valid").expect("whole");
        assert!(head.header("authorization").is_some());
    })
}

fn json_in() -> Box<dyn FnMut()> {
    let mut body = Vec::new();
    json::Object::new(&mut body).str("content", &world::text()).null("reply_to_id").array("embeds");
    let mut copy = Vec::new();
    Box::new(move || {
        copy.clone_from(&body);
        assert!(json::parse(&mut copy).expect("valid").get("content").is_some());
    })
}

fn json_out() -> Box<dyn FnMut()> {
    let world = world::World::new(8, 60);
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        world.write_page(&mut out);
    })
}

fn apply_messages() -> Box<dyn FnMut()> {
    let world = world::World::new(100, 300);
    let command = |index: usize| {
        let op = world::message(world.channel_id).into();
        plexichat::domain::Command::new(world.users[index % world.users.len()], op)
    };
    let commands: Vec<_> = (0..256).map(command).collect();
    Box::new(move || {
        world.time_apply(&commands);
    })
}

/// Sessions 1..=count of one server; the last one asks for everything.
fn crowd(count: u64) -> Gateway {
    let mut gateway = Gateway::new(Shape::one(count + 600), |config| {
        config.websocket.session_timeout_ms = 0;
    });
    (1..count).for_each(|user| gateway.identify(user));
    gateway.identify_with(count, ALL_INTENTS);
    gateway
}

fn fan_out() -> Box<dyn FnMut()> {
    let (mut gateway, output) = (crowd(1_000), message());
    Box::new(move || {
        gateway.time_event(&output);
    })
}

fn collect() -> Box<dyn FnMut()> {
    let mut gateway = crowd(1_000);
    let payload = br#"{"id":"1"}"#.to_vec();
    let audience = Audience::members(SERVER);
    let event = Event::new(EventName::GuildMemberAdd, intent::GUILD_MEMBERS, audience, payload);
    let output = Output::Event(event);
    Box::new(move || {
        gateway.apply(std::slice::from_ref(&output));
        assert_eq!(gateway.flush(), 1);
    })
}

fn identify() -> Box<dyn FnMut()> {
    let mut gateway = crowd(2);
    let mut user = 2;
    Box::new(move || {
        user += 1;
        gateway.identify(user);
    })
}

fn come_and_go() -> Box<dyn FnMut()> {
    let mut gateway = crowd(1_000);
    let (mut user, before) = (1_000, gateway.hub.session_count());
    Box::new(move || {
        user += 1;
        gateway.identify(user);
        let id = gateway.ids.pop().expect("it was just opened");
        gateway.with_cx(|cx, hub| hub.lost(cx, id));
        gateway.tick();
        assert_eq!(gateway.hub.session_count(), before);
    })
}

fn users_me() -> Box<dyn FnMut()> {
    let world = world::World::new(100, 0);
    let mut service = Service::new(&Shared::new(), &world, 0);
    Box::new(move || {
        // The store's folder goes with the world.
        let _ = &world;
        service.me();
    })
}
